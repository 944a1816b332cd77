//! What is there of a stack, for verbs that only look: outputs of what was observed, connections, single objects.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::address::{Address, Identity};
use crate::ops::platforms::Platforms;
use crate::plan::model::Plan;
use crate::platform::Sought;
use crate::resource::error::ProviderError;
use crate::resource::kind::Observed;
use crate::resource::model::{Desired, Resource};
use crate::value::{Reference, Scope, Value};

/// What references can read of everything that is there.
#[derive(Default)]
pub struct Outputs {
    known: BTreeMap<Address, Value>,
    /// The values of secret inputs, for keys that models want to see.
    secrets: BTreeMap<String, String>,
}

impl Outputs {
    /// Those of one resource.
    pub fn of(&self, address: &Address) -> Option<&Value> {
        self.known.get(address)
    }
}

impl Scope for Outputs {
    fn output(&self, reference: &Reference) -> Option<Value> {
        self.known.get(&reference.address)?.at(&reference.path).cloned()
    }

    fn secret(&self, input: &str) -> Option<String> {
        self.secrets.get(input).cloned()
    }
}

/// A stack as it was seen a moment ago.
pub struct Sight<'a> {
    /// Through whom.
    pub platforms: &'a Platforms,
    /// How it should be.
    pub desired: &'a Desired,
    /// What would change.
    pub plan: &'a Plan,
    /// What references can read of it.
    pub outputs: Outputs,
}

/// An object that the stack wants.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Its component.
    pub component: &'a str,
    /// Its resource.
    pub resource: &'a Resource,
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Empty for none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl<'a> Sight<'a> {
    /// Of a preview.
    pub fn new(
        platforms: &'a Platforms,
        desired: &'a Desired,
        plan: &'a Plan,
        observed: &BTreeMap<Identity, Observed>,
    ) -> Self {
        let mut outputs = Outputs::default();
        for change in &plan.changes {
            let kind = platforms.kinds.get(&change.kind);
            if let (Some(kind), Some(observed)) = (kind, observed.get(&change.address.identity())) {
                outputs.known.insert(change.address.clone(), kind.outputs(observed));
            }
        }
        Sight { platforms, desired, plan, outputs }
    }

    /// The same, with the values of the secret inputs: of them models' keys are made.
    pub fn knowing(mut self, secrets: &BTreeMap<String, String>) -> Self {
        self.outputs.secrets.clone_from(secrets);
        self
    }

    /// How the cluster of a resource is reached; nothing for the one of a kubeconfig.
    pub fn connection(&self, resource: &Resource) -> Option<&Value> {
        self.outputs.of(resource.connection.as_ref()?)
    }

    /// All objects that the stack wants to be there.
    pub fn objects(&self) -> impl Iterator<Item = Wanted<'a>> {
        self.desired.resources.iter().filter(|resource| resource.kind == "k8s.object").map(|resource| {
            let attr = |path: &[&str]| resource.attrs.at(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            Wanted {
                component: resource.address.component(),
                resource,
                api_version: attr(&["apiVersion"]),
                kind: attr(&["kind"]),
                namespace: attr(&["metadata", "namespace"]),
                name: attr(&["metadata", "name"]),
            }
        })
    }

    /// An object as it is now.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn live(&self, wanted: &Wanted<'_>) -> Result<Option<Json>, ProviderError> {
        let Wanted { resource, api_version, kind, namespace, name, .. } = wanted;
        self.platforms.objects.look(self.connection(resource), &Sought { api_version, kind, namespace, name }).await
    }

    /// All objects of a kind in a namespace of the cluster that this resource is in.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn list(
        &self,
        beside: &Resource,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> Result<Vec<Json>, ProviderError> {
        let sought = Sought { api_version, kind, namespace, name: "" };
        let found = self.platforms.objects.look(self.connection(beside), &sought).await?;
        Ok(found.and_then(|list| list["items"].as_array().cloned()).unwrap_or_default())
    }
}

/// A text in a document; empty where there is none.
pub fn text<'j>(json: &'j Json, pointer: &str) -> &'j str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// A list in a document; empty where there is none.
pub fn list<'j>(json: &'j Json, pointer: &str) -> &'j [Json] {
    json.pointer(pointer).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A condition of a status: whether it is true, and what it says.
pub fn condition<'j>(json: &'j Json, pointer: &str, kind: &str) -> Option<(bool, &'j str)> {
    let found = list(json, pointer).iter().find(|condition| condition["type"] == kind)?;
    let said = [text(found, "/message"), text(found, "/reason")];
    Some((found["status"] == "True", said.into_iter().find(|said| !said.is_empty()).unwrap_or_default()))
}
