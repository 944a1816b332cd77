//! Creating and changing objects: the one way in for POST, PUT and every kind of PATCH.
//!
//! Order of a write, as in the real server: defaults, field ownership, mutating admission, the kind's own
//! preparation, validation, validating admission, storage. A write that lost a race starts again.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::admission::{self, Attributes, Operation};
use super::api::Status;
use super::fault;
use super::fields::{self, Stamp};
use super::registry::Resource;
use super::server::{ApiServer, User};
use super::store::{Name, revision_of};
use super::{builtin, convert, rules, typed};

/// How a write treats fields that it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Validation {
    /// Drop them.
    Ignore,
    /// Drop them and say so.
    #[default]
    Warn,
    /// Refuse.
    Strict,
}

/// Options of a write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Do everything but store.
    pub dry_run: bool,
    /// Field manager.
    pub manager: String,
    /// Unknown fields.
    pub validation: Validation,
    /// Take conflicting fields over.
    pub force: bool,
    /// The object says itself who owns its fields.
    pub owned: bool,
}

/// A request for one object.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Who asks.
    pub user: User,
    /// For what, in the version of the request.
    pub resource: Arc<Resource>,
    /// Empty for cluster scope.
    pub namespace: String,
    /// From the path; empty for a create.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// Options.
    pub options: Options,
}

/// What a write made.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The object in the request's version.
    pub object: Arc<Json>,
    /// It was not there before.
    pub created: bool,
    /// For `Warning` headers.
    pub warnings: Vec<String>,
}

/// A change to an object that is there.
pub(crate) enum Patch {
    /// Replaces it.
    Replace(Json),
    /// RFC 7386.
    Merge(Json),
    /// RFC 6902.
    Operations(Json),
    /// Kubernetes' own.
    Strategic(Json),
}

/// How often a write starts again after losing a race.
const ATTEMPTS: usize = 8;

impl Request {
    /// Where the object is kept.
    pub fn key(&self) -> Name {
        (self.namespace.clone(), self.name.clone())
    }

    fn not_found(&self) -> Status {
        fault::not_found(&self.resource.group, &self.resource.plural, &self.name)
    }

    fn modified(&self) -> Status {
        fault::modified(&self.resource.group, &self.resource.plural, &self.name)
    }

    fn attributes(&self, operation: Operation) -> Attributes {
        Attributes { request: self.clone(), operation }
    }

    fn stamp(&self, server: &ApiServer) -> Stamp {
        Stamp::new(server, &self.resource, &self.subresource, &self.options.manager)
    }
}

fn metadata(object: &mut Json) -> &mut Map<String, Json> {
    typed::metadata(object)
}

impl ApiServer {
    fn healthy(&self) -> Result<(), Status> {
        match self.store.broken() {
            Some(why) => Err(fault::internal(&format!("the world cannot be written: {why}"))),
            None => Ok(()),
        }
    }

    /// POST.
    pub(crate) async fn create(&self, request: Request, object: Json) -> Result<Written, Status> {
        self.healthy()?;
        let mut read = typed::read(self, &request, object)?;
        let resource = request.resource.clone();
        typed::own_namespace(&resource, &mut read.object, &request.namespace)?;
        typed::wipe(&mut read.object);
        builtin::default(self, &resource, &mut read.object);
        let schema = self.schema(&resource);
        fields::update(schema.as_deref(), None, &mut read.object, &request.stamp(self));
        let object = self.finish_create(request, read.object, &mut read.warnings).await?;
        Ok(Written { object, created: true, warnings: read.warnings })
    }

    /// The second half of a create, from the owned object on.
    async fn finish_create(
        &self,
        mut request: Request,
        mut object: Json,
        warnings: &mut Vec<String>,
    ) -> Result<Arc<Json>, Status> {
        let resource = request.resource.clone();
        let meta = metadata(&mut object);
        let text = |meta: &Map<String, Json>, key: &str| meta.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
        let given = text(meta, "name");
        let prefix = text(meta, "generateName");
        if given.is_empty() && !prefix.is_empty() {
            let cut: String = prefix.chars().take(58).collect();
            meta.insert("name".to_owned(), Json::from(format!("{cut}{}", self.suffix())));
        }
        request.name = text(meta, "name");
        let generated = given.is_empty() && !prefix.is_empty();
        let mut attributes = request.attributes(Operation::Create);
        admission::mutate(self, &mut attributes, &mut object, None, warnings).await?;
        if meta_text(&object, "resourceVersion").is_some_and(|v| !v.is_empty() && v != "0") {
            return Err(fault::unclassified("resourceVersion should not be set on objects to be created"));
        }
        typed::wipe(&mut object);
        let meta = metadata(&mut object);
        meta.shift_remove("resourceVersion");
        meta.insert("uid".to_owned(), Json::from(self.random.uuid()));
        meta.insert("creationTimestamp".to_owned(), Json::from(self.now()));
        builtin::prepare_create(self, &resource, &mut object)?;
        let schema = self.schema(&resource);
        // A status that was sent is dropped; one that its definition has a default for is there whenever it is read.
        if let Some(schema) = schema.as_deref().filter(|_| object.get("status").is_none())
            && schema.property("status").is_some_and(|status| status.default.is_some())
        {
            fields::default(schema, &mut object);
        }
        let mut errors = rules::metadata(&resource, &object, None);
        errors.extend(rules::object(self, &resource, schema.as_deref(), &object, None, ""));
        if !errors.is_empty() {
            return Err(fault::invalid(&resource.group, &resource.kind, &request.name, &errors));
        }
        if let Some(why) = super::crd::terminating(&resource) {
            return Err(fault::forbidden(&resource.group, &resource.plural, &request.name, why));
        }
        admission::validate(self, &attributes, &object, None, warnings).await?;
        typed::tidy(&resource, &mut object);
        let stored = convert::to_storage(self, &resource, object).await?;
        let key = request.key();
        let existing = self.store.get(&resource.table(), &key);
        if let Some(existing) = existing {
            let deleting = !existing["metadata"]["deletionTimestamp"].is_null();
            return Err(fault::already_exists(&resource.group, &resource.plural, &request.name, deleting));
        }
        if request.options.dry_run {
            let mut stored = stored;
            metadata(&mut stored).shift_remove("resourceVersion");
            return convert::one(self, &resource, Arc::new(stored)).await;
        }
        match self.store.put(&resource.storage_gvk(), &resource.table(), &key, None, stored) {
            Ok(stored) => convert::one(self, &resource, stored).await,
            Err(()) if generated => {
                let message = format!("the server was not able to generate a unique name for the {}", resource.plural);
                Err(fault::unclassified(message))
            }
            Err(()) => Err(fault::already_exists(&resource.group, &resource.plural, &request.name, false)),
        }
    }

    /// PUT.
    pub(crate) async fn update(&self, request: Request, object: Json) -> Result<Written, Status> {
        self.patch(request, Patch::Replace(object)).await
    }

    /// PUT and the patches that change what is there.
    pub(crate) async fn patch(&self, request: Request, patch: Patch) -> Result<Written, Status> {
        self.healthy()?;
        for _ in 0..ATTEMPTS {
            if let Some(written) = self.try_patch(&request, &patch).await? {
                return Ok(written);
            }
        }
        Err(request.modified())
    }

    /// One attempt; `None` when somebody else wrote in between and nothing forbids to try again.
    async fn try_patch(&self, request: &Request, patch: &Patch) -> Result<Option<Written>, Status> {
        let resource = &request.resource;
        let live = self.store.get(&resource.table(), &request.key());
        let replace = matches!(patch, Patch::Replace(_));
        let Some(live) = live else {
            return match patch {
                Patch::Replace(object) if builtin::creates_on_update(resource) && request.subresource.is_empty() => {
                    let mut read = typed::read(self, request, object.clone())?;
                    typed::own_name(&mut read.object, &request.name)?;
                    self.create(request.clone(), read.object).await.map(Some)
                }
                Patch::Replace(object) => {
                    let read = typed::read(self, request, object.clone())?;
                    typed::check_name(&read.object, &request.name)?;
                    Err(request.not_found())
                }
                _ => Err(request.not_found()),
            };
        };
        let current = convert::one(self, resource, live.clone()).await?;
        let (mut new, mut warnings) = match patch {
            Patch::Replace(object) => {
                let read = typed::read(self, request, object.clone())?;
                (read.object, read.warnings)
            }
            patch => {
                let patched = typed::patched(self, resource, &current, patch)?;
                let read = typed::read_patched(self, request, patched)?;
                (read.object, read.warnings)
            }
        };
        typed::check_name(&new, &request.name)?;
        typed::own_name(&mut new, &request.name)?;
        typed::own_namespace(resource, &mut new, &request.namespace)?;
        let wanted = meta_text(&new, "resourceVersion").unwrap_or_default().to_owned();
        let wanted = if wanted.is_empty() {
            0
        } else {
            wanted
                .parse::<u64>()
                .map_err(|_| fault::unclassified(format!("strconv.ParseUint: parsing {wanted:?}: invalid syntax")))?
        };
        if replace {
            self.check_uid(request, &new, &live)?;
        }
        builtin::default(self, resource, &mut new);
        typed::keep(&mut new, &current, request);
        let schema = self.schema(resource);
        if !request.options.owned {
            fields::update(schema.as_deref(), Some(&current), &mut new, &request.stamp(self));
        }
        if wanted == 0 && !builtin::unconditional_update(resource) && replace && request.subresource.is_empty() {
            let error = fault::FieldError::other(
                "metadata.resourceVersion",
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
            );
            return Err(fault::invalid(&resource.group, &resource.plural, &request.name, &[error]));
        }
        let outcome = self.finish_update(request, new, &live, &current, wanted, &mut warnings).await?;
        Ok(outcome.map(|object| Written { object, created: false, warnings }))
    }

    fn check_uid(&self, request: &Request, new: &Json, live: &Json) -> Result<(), Status> {
        let Some(uid) = meta_text(new, "uid").filter(|uid| !uid.is_empty()) else { return Ok(()) };
        let real = meta_text(live, "uid").unwrap_or_default();
        if uid == real {
            return Ok(());
        }
        let path = [&request.resource.plural, &request.namespace, &request.name];
        let path: Vec<&str> = path.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: {uid}, UID in object meta: {real}",
            path.join("/")
        );
        Err(fault::conflict(&request.resource.group, &request.resource.plural, &request.name, &why))
    }

    /// The second half of a change, from the owned object on; `None` after a lost race that may be run again.
    /// `wanted` is the revision that the writer insists on, or 0.
    async fn finish_update(
        &self,
        request: &Request,
        mut new: Json,
        live: &Arc<Json>,
        current: &Arc<Json>,
        wanted: u64,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Arc<Json>>, Status> {
        let resource = &request.resource;
        let mut attributes = request.attributes(Operation::Update);
        admission::mutate(self, &mut attributes, &mut new, Some(current), warnings).await?;
        if wanted != 0 && wanted != revision_of(live) {
            return Err(request.modified());
        }
        builtin::prepare_update(self, resource, &mut new, current, &request.subresource)?;
        super::store::set_revision(&mut new, revision_of(live));
        let schema = self.schema(resource);
        let mut errors = rules::metadata(resource, &new, Some(current));
        errors.extend(rules::object(self, resource, schema.as_deref(), &new, Some(current), &request.subresource));
        if !errors.is_empty() {
            return Err(fault::invalid(&resource.group, &resource.kind, &request.name, &errors));
        }
        admission::validate(self, &attributes, &new, Some(current), warnings).await?;
        typed::tidy(resource, &mut new);
        let stored = convert::to_storage(self, resource, new).await?;
        let unchanged = stored == **live;
        let gone = super::delete::complete(&stored);
        if request.options.dry_run || (unchanged && !gone) {
            return convert::one(self, resource, Arc::new(stored)).await.map(Some);
        }
        let table = resource.table();
        let expected = revision_of(live);
        let gvk = resource.storage_gvk();
        let result = if gone {
            // Watches are told of the object as it was stored last.
            let answer = Arc::new(stored);
            self.store.remove(&gvk, &table, &request.key(), expected, None).map(|_| answer)
        } else {
            self.store.put(&gvk, &table, &request.key(), Some(expected), stored)
        };
        match result {
            Ok(stored) => convert::one(self, resource, stored).await.map(Some),
            Err(()) if wanted != 0 => Err(request.modified()),
            Err(()) => Ok(None),
        }
    }

    /// Server-side apply.
    pub(crate) async fn apply(&self, request: Request, config: Json) -> Result<Written, Status> {
        self.healthy()?;
        for _ in 0..ATTEMPTS {
            if let Some(written) = self.try_apply(&request, &config).await? {
                return Ok(written);
            }
        }
        Err(request.modified())
    }

    async fn try_apply(&self, request: &Request, config: &Json) -> Result<Option<Written>, Status> {
        let resource = &request.resource;
        let mut config = config.clone();
        typed::check_applied(request, &config)?;
        let live = self.store.get(&resource.table(), &request.key());
        let schema = self.schema(resource);
        let stamp = request.stamp(self);
        typed::applied_part(&mut config, request);
        let mut warnings = Vec::new();
        let Some(live) = live else {
            if !request.subresource.is_empty() {
                return Err(request.not_found());
            }
            if let Some(uid) = meta_text(&config, "uid").filter(|uid| !uid.is_empty()) {
                let error = fault::FieldError::invalid("metadata.uid", &Json::from(uid), "field is immutable");
                let errors = [error.clone(), error];
                return Err(fault::invalid(&resource.group, &resource.kind, &request.name, &errors));
            }
            let mut object = fields::apply(schema.as_deref(), None, &config, &stamp, true)?;
            metadata(&mut object).shift_remove("resourceVersion");
            typed::own_namespace(resource, &mut object, &request.namespace)?;
            typed::wipe(&mut object);
            typed::canonical(resource, schema.as_deref(), &mut object);
            builtin::default(self, resource, &mut object);
            let mut create = request.clone();
            create.name = String::new();
            let object = self.finish_create(create, object, &mut warnings).await?;
            return Ok(Some(Written { object, created: true, warnings }));
        };
        let current = convert::one(self, resource, live.clone()).await?;
        let wanted = meta_text(&config, "resourceVersion").and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        if wanted != 0 && wanted != revision_of(&live) {
            return Err(request.modified());
        }
        let mut new = fields::apply(schema.as_deref(), Some(&current), &config, &stamp, request.options.force)?;
        typed::canonical(resource, schema.as_deref(), &mut new);
        builtin::default(self, resource, &mut new);
        typed::keep(&mut new, &current, request);
        let outcome = self.finish_update(request, new, &live, &current, wanted, &mut warnings).await?;
        Ok(outcome.map(|object| Written { object, created: false, warnings }))
    }
}

/// A text of the metadata.
pub(crate) fn meta_text<'a>(object: &'a Json, key: &str) -> Option<&'a str> {
    object["metadata"][key].as_str()
}
