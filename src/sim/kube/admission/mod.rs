//! Admission: what may still change or refuse a request that is well-formed and authorised.
//!
//! First the plugins and then the webhooks change, first the plugins and then the webhooks judge, as in the
//! real server.

mod google;
mod pods;
mod policy;
mod quota;
mod security;
mod standard;
mod webhook;

use std::sync::Arc;

use serde_json::Value as Json;

use super::api::Status;
use super::server::ApiServer;
use super::write::Request;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// POST, or a PATCH or PUT that makes the object.
    Create,
    /// PUT, PATCH.
    Update,
    /// DELETE.
    Delete,
}

impl Operation {
    /// As webhooks name it.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
        }
    }
}

/// What admission knows of a request.
pub struct Attributes {
    pub(crate) request: Request,
    pub(crate) operation: Operation,
}

impl Attributes {
    /// Create, update or delete.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Group and plural name of the resource.
    pub fn resource(&self) -> (&str, &str) {
        (&self.request.resource.group, &self.request.resource.plural)
    }

    /// Empty for the object itself.
    pub fn subresource(&self) -> &str {
        &self.request.subresource
    }

    /// Empty for cluster scope.
    pub fn namespace(&self) -> &str {
        &self.request.namespace
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.request.name
    }

    /// Who asks.
    pub fn user(&self) -> &str {
        &self.request.user.name
    }

    /// 403 with this explanation.
    pub fn forbid(&self, why: &str) -> Status {
        let (group, plural) = self.resource();
        super::fault::forbidden(group, plural, self.name(), why)
    }

    /// Whether this creates an object of the resource itself.
    pub fn creates(&self, group: &str, plural: &str) -> bool {
        self.operation == Operation::Create && self.resource() == (group, plural) && self.subresource().is_empty()
    }
}

/// Read access to the cluster for plugins.
pub struct Cluster<'a>(pub(crate) &'a ApiServer);

impl Cluster<'_> {
    /// One object as stored.
    pub fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Json>> {
        self.0.store.get(&(group.to_owned(), plural.to_owned()), &(namespace.to_owned(), name.to_owned()))
    }

    /// All objects as stored.
    pub fn list(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Arc<Json>> {
        self.0.store.list(&(group.to_owned(), plural.to_owned()), namespace).1
    }

    /// Five characters for a generated name.
    pub fn suffix(&self) -> String {
        self.0.suffix()
    }
}

/// One piece of built-in admission.
pub trait Plugin: Send + Sync {
    /// For messages.
    fn name(&self) -> &'static str;

    /// May change the object or refuse. Called for creates and updates.
    ///
    /// # Errors
    /// The refusal.
    fn mutate(
        &self,
        attributes: &Attributes,
        object: &mut Json,
        old: Option<&Json>,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        let _ = (attributes, object, old, cluster);
        Ok(())
    }

    /// May refuse. Called for every write; `object` is null for a delete.
    ///
    /// # Errors
    /// The refusal.
    fn validate(
        &self,
        attributes: &Attributes,
        object: &Json,
        old: Option<&Json>,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        let _ = (attributes, object, old, cluster);
        Ok(())
    }
}

/// What every Kubernetes API server has.
pub fn standard() -> Vec<Arc<dyn Plugin>> {
    vec![
        Arc::new(standard::NamespaceLifecycle),
        Arc::new(standard::NodeTaints),
        Arc::new(standard::StorageClassDefault),
        Arc::new(standard::StorageProtection),
        Arc::new(pods::Accounts),
        Arc::new(pods::Priority),
        Arc::new(pods::DefaultTolerations),
        Arc::new(standard::Escalation),
        Arc::new(quota::Quota),
    ]
}

/// What GKE adds.
pub fn google() -> Vec<Arc<dyn Plugin>> {
    vec![Arc::new(google::ExtendedResources), Arc::new(google::Warden), Arc::new(google::CriticalPods)]
}

/// The changing half. The name of a generated object is known by now.
pub(crate) async fn mutate(
    server: &ApiServer,
    attributes: &mut Attributes,
    object: &mut Json,
    old: Option<&Json>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let cluster = Cluster(server);
    for plugin in &server.plugins {
        plugin.mutate(attributes, object, old, &cluster)?;
    }
    webhook::mutate(server, attributes, object, old, warnings).await
}

/// The judging half.
pub(crate) async fn validate(
    server: &ApiServer,
    attributes: &Attributes,
    object: &Json,
    old: Option<&Json>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let cluster = Cluster(server);
    for plugin in &server.plugins {
        plugin.validate(attributes, object, old, &cluster)?;
    }
    security::validate(server, attributes, object, old, warnings)?;
    policy::validate(server, attributes, object, old, warnings)?;
    webhook::validate(server, attributes, object, old, warnings).await
}
