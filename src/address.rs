//! Identity of everything a stack describes: components, resources and Kubernetes objects.
//!
//! An [`Address`] is what a person types (`node_pools.gpu`,
//! `addons.istio/Deployment.apps/istio-system/istiod`); an [`Identity`] is what stays the same when a
//! component is renamed. This module parses and prints both and knows nothing of what they name.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The name of a component as written in the stack file: `cluster`, `gateway`, `node_pools.gpu`,
/// `addons.istio`, `workloads.qwen-3b`, `values.n1`.
pub type ComponentName = str;

/// Names one resource of a stack.
///
/// Either a component that is itself a resource (`cluster`, `node_pools.gpu`, `values.n1`) or one
/// object of a component: `<component>/<object key>` (see [`ObjectKey`]). Ordered and compared as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Arc<str>);

impl Address {
    /// An address from its text.
    pub fn new(text: impl AsRef<str>) -> Self {
        Address(Arc::from(text.as_ref()))
    }

    /// The address of a Kubernetes object that belongs to `component`.
    pub fn object(component: &str, key: &ObjectKey) -> Self {
        Address(Arc::from(format!("{component}/{key}")))
    }

    /// The text, as typed and printed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The component: everything before the first `/`.
    pub fn component(&self) -> &ComponentName {
        self.0.split_once('/').map_or(&*self.0, |(component, _)| component)
    }

    /// The object key's text: everything after the first `/`, for Kubernetes objects only.
    pub fn object_key(&self) -> Option<&str> {
        self.0.split_once('/').map(|(_, key)| key)
    }

    /// What stays the same when the component is renamed or the object moves to another component.
    pub fn identity(&self) -> Identity {
        Identity(Arc::from(self.object_key().unwrap_or(&self.0)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.0)
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Address::new(text)
    }
}

impl Borrow<str> for Address {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl schemars::JsonSchema for Address {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A resource, or a component for all of its resources: `node_pools.gpu`, \
                `addons.istio/Deployment.apps/istio-system/istiod`."
        })
    }
}

impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Address::new)
    }
}

/// The key under which state records a resource.
///
/// For a Kubernetes object this is its [`ObjectKey`] (group, kind, namespace, name; neither version nor
/// component), for everything else the address itself. Two addresses of one stack with the same identity
/// are an error.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<str>);

impl Identity {
    /// An identity from its text.
    pub fn new(text: impl AsRef<str>) -> Self {
        Identity(Arc::from(text.as_ref()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.0)
    }
}

impl Borrow<str> for Identity {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for Identity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Identity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Identity::new)
    }
}

/// Group, kind, namespace and name of a Kubernetes object: its identity within a cluster.
///
/// Printed `Kind[.group]/[namespace/]name`: `Namespace/istio-system`,
/// `Deployment.apps/istio-system/istiod`, `GatewayClass.gateway.networking.k8s.io/istio`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind as in the manifest, `Deployment`.
    pub kind: String,
    /// Namespace; `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// Parses the printed form. `None` when a part is missing or there are too many.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (kind, second, third) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() || kind.is_empty() || second.is_empty() {
            return None;
        }
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        let (namespace, name) = match third {
            Some(name) => (Some(second.to_owned()), name),
            None => (None, second),
        };
        (!name.is_empty()).then(|| ObjectKey {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "/{namespace}")?;
        }
        write!(f, "/{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_keys_round_trip() {
        for text in [
            "Namespace/istio-system",
            "Deployment.apps/istio-system/istiod",
            "GatewayClass.gateway.networking.k8s.io/istio",
        ] {
            assert_eq!(ObjectKey::parse(text).expect(text).to_string(), text);
        }
        for text in ["", "Deployment", "a/b/c/d", "/x", "A//"] {
            assert_eq!(ObjectKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn identity_outlives_the_component() {
        let one = Address::new("addons.istio/Deployment.apps/istio-system/istiod");
        let two = Address::new("charts.mesh/Deployment.apps/istio-system/istiod");
        assert_eq!(one.identity(), two.identity());
        assert_eq!(one.component(), "addons.istio");
        assert_eq!(Address::new("node_pools.gpu").identity().as_str(), "node_pools.gpu");
    }
}
