//! One cluster's API server: what it is made of, and how programs inside the cluster see it.
//!
//! HTTP clients come in through `http`; both ways end in the same `write`, `delete` and `requests`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value as Json;
use tokio::sync::mpsc::UnboundedReceiver;

use super::admission::Plugin;
use super::api::{Api, Change, DeleteOptions, Gvk, Status, Webhooks};
use super::delete::Deletion;
use super::fault;
use super::rbac;
use super::registry::{Registry, Resource};
use super::store::Store;
use super::write::{Options, Request};
use crate::env::clock::SharedClock;
use crate::env::random::Random;
use crate::openapi::Schema;
use crate::sim::world::World;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `system:serviceaccount:<namespace>:<name>`, `admin`, …
    pub name: String,
    /// May be empty.
    pub uid: String,
    /// Groups, `system:authenticated` included.
    pub groups: Vec<String>,
}

impl User {
    /// The administrator, who may do anything.
    pub fn admin() -> Self {
        User {
            name: "admin".to_owned(),
            uid: String::new(),
            groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        }
    }

    /// Nobody.
    pub fn anonymous() -> Self {
        User {
            name: "system:anonymous".to_owned(),
            uid: String::new(),
            groups: vec!["system:unauthenticated".to_owned()],
        }
    }

    /// By name, with the groups that follow from it.
    pub fn named(name: &str) -> Self {
        let mut groups = Vec::new();
        if let Some(account) = name.strip_prefix("system:serviceaccount:") {
            groups.push("system:serviceaccounts".to_owned());
            if let Some((namespace, _)) = account.split_once(':') {
                groups.push(format!("system:serviceaccounts:{namespace}"));
            }
        }
        groups.push("system:authenticated".to_owned());
        User { name: name.to_owned(), uid: String::new(), groups }
    }

    /// Whether authorisation does not apply.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }

    /// The field manager of a program that runs as this user.
    fn manager(&self) -> String {
        if self.is_master() {
            return "kube-controller-manager".to_owned();
        }
        self.name.rsplit(':').next().unwrap_or_default().to_owned()
    }
}

/// What a server is made of.
pub struct Parts {
    /// Names the cluster's section of the world.
    pub cluster: String,
    /// Where its objects are kept.
    pub world: Arc<World>,
    /// Simulated time.
    pub clock: SharedClock,
    /// Names, uids, addresses.
    pub random: Arc<dyn Random>,
    /// Who answers for webhooks.
    pub webhooks: Arc<dyn Webhooks>,
    /// Admission beside the built-in kind, in order; see [`super::admission::standard`] and
    /// [`super::admission::google`].
    pub plugins: Vec<Arc<dyn Plugin>>,
    /// What `/version` says, as `v1.34.1-gke.1293000`.
    pub version: String,
}

/// A cluster's API server.
pub struct ApiServer {
    pub(crate) store: Store,
    pub(crate) clock: SharedClock,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) webhooks: Arc<dyn Webhooks>,
    pub(crate) plugins: Vec<Arc<dyn Plugin>>,
    pub(crate) version: String,
    /// Schemas of CRs by kind, with the revision of the CRD they come from.
    schemas: Mutex<BTreeMap<Gvk, (u64, Arc<Schema>)>>,
}

impl ApiServer {
    /// Opens the cluster: reads what the world has of it and writes what every cluster has from the start.
    pub fn open(parts: Parts) -> Arc<Self> {
        let server = Arc::new(ApiServer {
            store: Store::open(parts.world, &parts.cluster),
            clock: parts.clock,
            random: parts.random,
            webhooks: parts.webhooks,
            plugins: parts.plugins,
            version: parts.version,
            schemas: Mutex::new(BTreeMap::new()),
        });
        super::bootstrap::ensure(&server);
        server
    }

    /// Runs the server's own loops (CRDs become established, CRDs on their way out take their objects along, APIServices are
    /// judged)
    /// until it is aborted. Level-triggered: may be stopped and started again at any time.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(super::crd::run(self.clone()), super::aggregation::run(self));
    }

    /// The server as its first user sees it, who may do anything.
    pub fn api(self: &Arc<Self>) -> Arc<dyn Api> {
        Arc::new(Client::new(self.clone(), User::admin()))
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.store.registry()
    }

    /// Now, as `metav1.Time`.
    pub(crate) fn now(&self) -> String {
        self.clock.now().rfc3339()
    }

    /// The schema of a resource's objects in its version; `None` where nothing is known.
    pub(crate) fn schema(&self, resource: &Resource) -> Option<Arc<Schema>> {
        let Some(crd) = &resource.custom else {
            return crate::openapi::builtin::schema(&resource.group, &resource.version, &resource.kind);
        };
        let gvk = resource.gvk();
        let revision = super::store::revision_of(crd);
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, schema)) = schemas.get(&gvk)
            && *of == revision
        {
            return Some(schema.clone());
        }
        let schema = super::crd::schema(crd, &resource.version)?;
        schemas.insert(gvk, (revision, schema.clone()));
        Some(schema)
    }

    /// The second number of its version.
    pub(crate) fn minor(&self) -> u32 {
        self.version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(34)
    }

    /// Five characters as generated names end in.
    pub(crate) fn suffix(&self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut bytes = [0u8; 5];
        self.random.fill(&mut bytes);
        bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
    }
}

/// The server, seen by one user.
struct Client {
    server: Arc<ApiServer>,
    user: User,
    /// The manager of the fields that are written.
    manager: String,
}

impl Client {
    fn new(server: Arc<ApiServer>, user: User) -> Self {
        let manager = user.manager();
        Client { server, user, manager }
    }

    fn request(&self, object: &Json, verb: &str, subresource: &str) -> Result<Request, Status> {
        let gvk = Gvk::of(object).ok_or_else(|| fault::bad_request("Object 'Kind' is missing"))?;
        let resource = self.resource(&gvk)?;
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        let namespace = if resource.namespaced { text("namespace") } else { String::new() };
        let request = Request {
            user: self.user.clone(),
            resource,
            namespace,
            name: text("name"),
            subresource: subresource.to_owned(),
            options: Options { manager: self.manager.clone(), ..Options::default() },
        };
        rbac::authorize(&self.server, &request, verb)?;
        Ok(request)
    }

    fn resource(&self, gvk: &Gvk) -> Result<Arc<Resource>, Status> {
        self.server.registry().by_kind(gvk).cloned().ok_or_else(fault::unknown_resource)
    }
}

#[async_trait]
impl Api for Client {
    fn impersonate(&self, user: &str) -> Arc<dyn Api> {
        Arc::new(Client::new(self.server.clone(), User::named(user)))
    }

    fn managing(&self, manager: &str) -> Arc<dyn Api> {
        Arc::new(Client { server: self.server.clone(), user: self.user.clone(), manager: manager.to_owned() })
    }

    fn serves(&self, gvk: &Gvk) -> bool {
        self.server.registry().by_kind(gvk).is_some()
    }

    fn kinds(&self) -> Vec<(Gvk, bool)> {
        let registry = self.server.registry();
        let mut kinds: Vec<(Gvk, bool)> = Vec::new();
        for resource in registry.all().iter().filter(|r| r.stored()) {
            // Events of both groups are one table; the core group's kind stands for it.
            let kind = (resource.storage_gvk(), resource.namespaced);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    fn get(&self, gvk: &Gvk, namespace: &str, name: &str) -> Option<Arc<Json>> {
        let resource = self.resource(gvk).ok()?;
        let object = self.server.store.get(&resource.table(), &(namespace.to_owned(), name.to_owned()))?;
        Some(super::builtin::view(&resource, object))
    }

    fn list(&self, gvk: &Gvk, namespace: Option<&str>) -> Vec<Arc<Json>> {
        let Ok(resource) = self.resource(gvk) else { return Vec::new() };
        let (_, objects) = self.server.store.list(&resource.table(), namespace);
        objects.into_iter().map(|object| super::builtin::view(&resource, object)).collect()
    }

    fn subscribe(&self) -> UnboundedReceiver<Change> {
        self.server.store.subscribe()
    }

    async fn create(&self, object: Json) -> Result<Arc<Json>, Status> {
        let request = self.request(&object, "create", "")?;
        Ok(self.server.create(request, object).await?.object)
    }

    async fn update(&self, object: Json) -> Result<Arc<Json>, Status> {
        let request = self.request(&object, "update", "")?;
        Ok(self.server.update(request, object).await?.object)
    }

    async fn update_status(&self, object: Json) -> Result<Arc<Json>, Status> {
        let request = self.request(&object, "update", "status")?;
        Ok(self.server.update(request, object).await?.object)
    }

    async fn update_subresource(&self, subresource: &str, object: Json) -> Result<Arc<Json>, Status> {
        let mut request = self.request(&object, "update", subresource)?;
        let served = request.resource.subresource(subresource);
        if served.is_none() && subresource != "binding" {
            return Err(fault::unknown_resource());
        }
        if super::subresource::handles(&request) {
            request.options.validation = super::write::Validation::Ignore;
            return super::subresource::create(&self.server, &request, object).await.map(Arc::new);
        }
        Ok(self.server.update(request, object).await?.object)
    }

    async fn apply(&self, manager: &str, object: Json, force: bool) -> Result<Arc<Json>, Status> {
        let mut request = self.request(&object, "patch", "")?;
        request.options.manager = manager.to_owned();
        request.options.force = force;
        Ok(self.server.apply(request, object).await?.object)
    }

    async fn delete(&self, gvk: &Gvk, namespace: &str, name: &str, options: DeleteOptions) -> Result<(), Status> {
        let request = Request {
            user: self.user.clone(),
            resource: self.resource(gvk)?,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
            options: Options { manager: self.manager.clone(), ..Options::default() },
        };
        rbac::authorize(&self.server, &request, "delete")?;
        let grace = options.grace_seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
        let deletion = Deletion { uid: options.uid, propagation: options.propagation, grace, ..Deletion::default() };
        self.server.delete(request, deletion).await.map(|_| ())
    }

    fn may(&self, verb: &str, group: &str, resource: &str, namespace: &str) -> bool {
        rbac::may(&self.server, &self.user, &rbac::Question { verb, group, resource, namespace, name: "" })
    }
}
