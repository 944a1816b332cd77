//! What programs inside a simulated cluster can ask of its API server.
//!
//! The same admission, authorisation, validation and storage as over HTTP, without the socket. Objects are
//! plain JSON as the API would return them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::UnboundedReceiver;

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    /// Empty for the core group.
    pub group: String,
    /// `v1`.
    pub version: String,
    /// `Deployment`.
    pub kind: String,
}

impl Gvk {
    /// From the three parts.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// Of an object, from its `apiVersion` and `kind`.
    pub fn of(object: &Json) -> Option<Self> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        Some(Gvk::new(group, version, object.get("kind")?.as_str()?))
    }

    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// A `metav1.Status` that is not success.
#[derive(Clone, PartialEq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// The whole Status object.
    pub body: Json,
}

impl Status {
    /// A failure with reason and message and no details.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Status {
            code,
            body: json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message.into(), "reason": reason, "code": code,
            }),
        }
    }

    /// `NotFound`, `Conflict`, …
    pub fn reason(&self) -> &str {
        self.body.get("reason").and_then(Json::as_str).unwrap_or_default()
    }

    /// The message.
    pub fn message(&self) -> &str {
        self.body.get("message").and_then(Json::as_str).unwrap_or_default()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason(), self.message())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Status {}

/// Something was written.
#[derive(Clone, Debug)]
pub struct Change {
    /// The kind, in its storage version.
    pub gvk: Gvk,
    /// Before; `None` for a create.
    pub old: Option<Arc<Json>>,
    /// After; `None` when it is gone.
    pub new: Option<Arc<Json>>,
}

/// How to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Only this very object.
    pub uid: Option<String>,
    /// `Background` (the default), `Foreground` or `Orphan`.
    pub propagation: Option<String>,
    /// `gracePeriodSeconds`, for pods: 0 removes the object at once (what the kubelet sends when the
    /// containers are gone); `None` is the pod's own `terminationGracePeriodSeconds`.
    pub grace_seconds: Option<u64>,
}

/// An API server, seen by one user.
#[async_trait]
pub trait Api: Send + Sync {
    /// The same server, seen by another user: `system:serviceaccount:<namespace>:<name>`. Requests are then
    /// authorised by RBAC; the first user of all is `system:masters` and may do anything.
    fn impersonate(&self, user: &str) -> Arc<dyn Api>;

    /// The same server and user, for a program that is known by another name as the manager of its fields:
    /// `kube-scheduler`, `kubelet`.
    fn managing(&self, manager: &str) -> Arc<dyn Api>;

    /// Whether the kind is served now (its CRD is established).
    fn serves(&self, gvk: &Gvk) -> bool;

    /// Every kind that is served now and stored, each once in its storage version, and whether it is
    /// namespaced. What the garbage collector and the namespace controller learn from discovery.
    fn kinds(&self) -> Vec<(Gvk, bool)>;

    /// Reads one object from memory; not authorised, never fails. `namespace` is empty for cluster scope.
    fn get(&self, gvk: &Gvk, namespace: &str, name: &str) -> Option<Arc<Json>>;

    /// Reads all objects of a kind, of one namespace or of all, in key order; not authorised.
    fn list(&self, gvk: &Gvk, namespace: Option<&str>) -> Vec<Arc<Json>>;

    /// Everything written from now on, in order.
    fn subscribe(&self) -> UnboundedReceiver<Change>;

    /// POST. The object carries apiVersion, kind, name, namespace.
    async fn create(&self, object: Json) -> Result<Arc<Json>, Status>;

    /// PUT. With `metadata.resourceVersion` set it is a precondition.
    async fn update(&self, object: Json) -> Result<Arc<Json>, Status>;

    /// PUT on the status subresource.
    async fn update_status(&self, object: Json) -> Result<Arc<Json>, Status>;

    /// PUT on another subresource; `finalize` of a Namespace is how its controller lets it go.
    async fn update_subresource(&self, subresource: &str, object: Json) -> Result<Arc<Json>, Status> {
        match subresource {
            "status" => self.update_status(object).await,
            _ => Err(Status::failure(404, "NotFound", "the server could not find the requested resource")),
        }
    }

    /// Server-side apply.
    async fn apply(&self, manager: &str, object: Json, force: bool) -> Result<Arc<Json>, Status>;

    /// DELETE.
    async fn delete(&self, gvk: &Gvk, namespace: &str, name: &str, options: DeleteOptions) -> Result<(), Status>;

    /// Whether `user` (this one) may do `verb` on the resource, by RBAC.
    fn may(&self, verb: &str, group: &str, resource: &str, namespace: &str) -> bool;
}

/// Answers admission reviews and conversions for webhooks that name a Service.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Posts `review` to the Service's port and path. `ca_bundle` is the decoded PEM of the configuration.
    ///
    /// # Errors
    /// The text that follows `failed calling webhook "…": ` in the API server's message, e.g.
    /// `no endpoints available for service "x"` or `x509: certificate signed by unknown authority`.
    async fn call(&self, service: &ServiceReference, ca_bundle: &str, review: Json) -> Result<Json, String>;
}

/// `clientConfig.service` of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceReference {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Path, `/` when unset.
    pub path: String,
    /// Port, 443 when unset.
    pub port: u16,
}
