//! The server's use of `openapi`: ownership of fields, server-side apply, patches, defaults, pruning.

use serde_json::Value as Json;

use super::api::Status;
use super::fault::{self, FieldError};
use super::registry::Resource;
use super::server::ApiServer;
use crate::openapi::apply::{self, ApplyError, Tracked, Write};
use crate::openapi::fields::{FieldSet, Path};
use crate::openapi::{self, Schema, jsonpatch, strategic};

/// Who writes, how and when.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    /// Field manager.
    manager: String,
    /// Empty for the object itself.
    subresource: String,
    /// Version of the request.
    api_version: String,
    /// Kind of the object.
    kind: String,
    /// Now.
    time: String,
    /// What the endpoint can own.
    tracked: Tracked,
    /// API versions of the kind that exist.
    versions: Vec<String>,
}

impl Stamp {
    /// For a write through an endpoint of `resource`.
    pub fn new(server: &ApiServer, resource: &Resource, subresource: &str, manager: &str) -> Self {
        let status = resource.subresource("status").is_some();
        let tracked = match subresource {
            "" if status => Tracked::except(&["status"]),
            "status" if resource.custom.is_some() => Tracked::Only("status"),
            "status" => {
                let paths: [&[&str]; 2] = [&["spec"], &["metadata", "labels"]];
                Tracked::Except(paths.iter().map(|path| Path::of_fields(path)).collect::<FieldSet>())
            }
            _ => Tracked::All,
        };
        let registry = server.registry();
        let of = registry.all().iter().filter(|other| other.table() == resource.table());
        Stamp {
            manager: manager.to_owned(),
            subresource: subresource.to_owned(),
            api_version: resource.api_version(),
            kind: resource.kind.clone(),
            time: server.now(),
            tracked,
            versions: of.map(|other| other.api_version()).collect(),
        }
    }
}

impl Stamp {
    /// For an object of a kind that is not stored.
    pub fn of_kind(server: &ApiServer, api_version: &str, kind: &str, subresource: &str, manager: &str) -> Self {
        Stamp {
            manager: manager.to_owned(),
            subresource: subresource.to_owned(),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            time: server.now(),
            tracked: Tracked::All,
            versions: vec![api_version.to_owned()],
        }
    }
}

fn with<T>(schema: Option<&Schema>, stamp: &Stamp, run: impl FnOnce(&Write) -> T) -> T {
    let anything = Schema::anything();
    let knows_version = |version: &str| stamp.versions.iter().any(|known| known == version);
    run(&Write {
        schema: schema.unwrap_or(&anything),
        api_version: &stamp.api_version,
        kind: &stamp.kind,
        manager: &stamp.manager,
        subresource: &stamp.subresource,
        now: &stamp.time,
        tracked: stamp.tracked.clone(),
        knows_version: &knows_version,
    })
}

/// Notes on `new` who owns its fields after an ordinary write over `live`.
pub(crate) fn update(schema: Option<&Schema>, live: Option<&Json>, new: &mut Json, stamp: &Stamp) {
    *new = with(schema, stamp, |write| apply::update(write, live, std::mem::take(new)));
}

/// Server-side apply of `config` over `live`.
pub(crate) fn apply(
    schema: Option<&Schema>,
    live: Option<&Json>,
    config: &Json,
    stamp: &Stamp,
    force: bool,
) -> Result<Json, Status> {
    with(schema, stamp, |write| apply::apply(write, live, config, force)).map_err(|error| match error {
        ApplyError::BadRequest(message) => fault::bad_request(message),
        ApplyError::Untyped(message) => fault::unclassified(message),
        ApplyError::Conflict(conflicts) => {
            let causes: Vec<_> = conflicts.iter().map(|c| (c.message(), c.field())).collect();
            fault::apply_conflict(apply::conflict_message(&conflicts), &causes)
        }
    })
}

/// Removes fields that the schema does not know; answers their paths.
pub(crate) fn prune(schema: &Schema, object: &mut Json) -> Vec<String> {
    openapi::prune::prune(schema, object)
}

/// Fills in defaults.
pub(crate) fn default(schema: &Schema, object: &mut Json) {
    openapi::default::apply(schema, object);
}

/// RFC 7386.
pub(crate) fn merge(object: &mut Json, patch: &Json) {
    jsonpatch::merge(object, patch);
}

/// RFC 6902.
pub(crate) fn operate(object: &mut Json, operations: &Json) -> Result<(), String> {
    *object = jsonpatch::apply(object, operations).map_err(|error| error.to_string())?;
    Ok(())
}

/// Kubernetes' strategic merge.
pub(crate) fn strategic(schema: Option<&Schema>, object: &Json, patch: &Json) -> Result<Json, String> {
    let anything = Schema::anything();
    strategic::merge(schema.unwrap_or(&anything), object, patch).map_err(|error| error.to_string())
}

/// Everything that the schema forbids in a custom object, or in the part of it at `path`, and that was not
/// wrong in `old` already.
pub(crate) fn validate(path: &str, schema: &Schema, value: &Json, old: Option<&Json>) -> Vec<FieldError> {
    openapi::validate::validate_under(path, schema, old, value).into_iter().map(from).collect()
}

/// What is wrong with a new object of a built-in kind whose types are right, but for its metadata.
pub(crate) fn check_new(group: &str, kind: &str, schema: &Schema, object: &Json) -> Vec<FieldError> {
    let mut errors = openapi::validate::validate(schema, object);
    // Metadata is looked at elsewhere; what a status has to hold is its writers' matter: kubelets register nodes
    // with half of it.
    let elsewhere = |path: &str| ["metadata", "status"].contains(&path.split('.').next().unwrap_or_default());
    errors.retain(|error| error.reason == openapi::validate::Reason::Required && !elsewhere(&error.path));
    errors.extend(openapi::rules::check(group, kind, schema, object));
    errors.into_iter().map(from).collect()
}

/// Everything that is wrong with a CRD.
pub(crate) fn check_definition(definition: &Json) -> Vec<FieldError> {
    openapi::crd::check(definition).into_iter().map(from).collect()
}

fn from(error: openapi::validate::FieldError) -> FieldError {
    let message = error.message();
    FieldError::other(error.path, error.reason.name(), message)
}

/// Why an object does not even decode into its kind.
pub(crate) fn undecodable(schema: &Schema, object: &Json) -> Result<(), String> {
    openapi::decode::check(schema, object).map_or(Ok(()), Err)
}
