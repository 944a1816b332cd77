//! Which kinds an API server serves, and under which path.
//!
//! Aggregated discovery (two requests), or one request per group and version where a server lacks it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::client::Cluster;
use super::refusal::Refusal;
use crate::resource::error::ErrorClass;

/// How to ask for one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Group; empty for the core group.
    pub group: String,
    /// Version, `v1`.
    pub version: String,
    /// `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// The path of all objects: of one namespace, or of all.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/namespaces/{}/{}", escape(namespace), self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// The path of one object.
    pub fn object(&self, namespace: Option<&str>, name: &str) -> String {
        let namespace = namespace.or(self.namespaced.then_some("default"));
        format!("{}/{}", self.collection(namespace), escape(name))
    }
}

/// Percent-encodes everything that is not unreserved: names of RBAC objects hold colons, queries anything.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// What a server serves, by group and kind; versions in the server's order of preference.
#[derive(Clone, Debug, Default)]
pub struct Catalogue(BTreeMap<(String, String), Vec<Resource>>);

impl Catalogue {
    /// The resource of a kind in this version, or in the preferred one.
    pub fn find(&self, group: &str, version: Option<&str>, kind: &str) -> Option<&Resource> {
        let versions = self.0.get(&(group.to_owned(), kind.to_owned()))?;
        match version {
            Some(version) => versions.iter().find(|resource| resource.version == version),
            None => versions.first(),
        }
    }

    /// Every kind, in its preferred version.
    pub fn preferred(&self) -> impl Iterator<Item = (&str, &Resource)> {
        self.0.iter().filter_map(|((_, kind), versions)| Some((kind.as_str(), versions.first()?)))
    }

    fn add(&mut self, kind: &str, resource: Resource) {
        self.0.entry((resource.group.clone(), kind.to_owned())).or_default().push(resource);
    }

    /// From an `APIGroupDiscoveryList`.
    fn read_aggregated(&mut self, list: &Json) {
        for group in array(list, "items") {
            let name = group.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default();
            for version in array(group, "versions") {
                for resource in array(version, "resources") {
                    let Some(kind) = resource.pointer("/responseKind/kind").and_then(Json::as_str) else { continue };
                    let entry = Resource {
                        group: name.to_owned(),
                        version: text(version, "version"),
                        plural: text(resource, "resource"),
                        namespaced: resource["scope"] == "Namespaced",
                    };
                    self.add(kind, entry);
                }
            }
        }
    }

    /// From an `APIResourceList`.
    fn read_list(&mut self, group: &str, version: &str, list: &Json) {
        for resource in array(list, "resources") {
            let plural = text(resource, "name");
            if plural.contains('/') {
                continue;
            }
            let namespaced = resource["namespaced"].as_bool().unwrap_or_default();
            let entry = Resource { group: group.to_owned(), version: version.to_owned(), plural, namespaced };
            self.add(&text(resource, "kind"), entry);
        }
    }
}

fn array<'a>(json: &'a Json, key: &str) -> impl Iterator<Item = &'a Json> {
    json[key].as_array().into_iter().flatten()
}

fn text(json: &Json, key: &str) -> String {
    json[key].as_str().unwrap_or_default().to_owned()
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// Asks the server what it serves.
async fn ask(cluster: &Cluster) -> Result<Catalogue, Refusal> {
    let mut catalogue = Catalogue::default();
    let (core, groups) =
        futures_util::try_join!(cluster.get_as("/api", AGGREGATED), cluster.get_as("/apis", AGGREGATED))?;
    if core["kind"] == "APIGroupDiscoveryList" {
        catalogue.read_aggregated(&core);
    } else {
        for version in core["versions"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            catalogue.read_list("", version, &cluster.get(&format!("/api/{version}")).await?);
        }
    }
    if groups["kind"] == "APIGroupDiscoveryList" {
        catalogue.read_aggregated(&groups);
    } else {
        for group in array(&groups, "groups") {
            let name = text(group, "name");
            for version in array(group, "versions") {
                let version = text(version, "version");
                // A group whose server is down must not hide all the others.
                match cluster.get(&format!("/apis/{name}/{version}")).await {
                    Ok(list) => catalogue.read_list(&name, &version, &list),
                    Err(refusal) if refusal.class() == ErrorClass::Unavailable => {}
                    Err(refusal) => return Err(refusal),
                }
            }
        }
    }
    Ok(catalogue)
}

impl Cluster {
    /// Everything served now, freshly asked.
    ///
    /// # Errors
    /// When discovery is not answered.
    pub async fn discover(&self) -> Result<Arc<Catalogue>, Refusal> {
        let mut held = self.catalogue.lock().await;
        let fresh = Arc::new(ask(self).await?);
        *held = Some(fresh.clone());
        Ok(fresh)
    }

    /// How to ask for a kind; `None` when the server, asked again, does not serve it.
    ///
    /// # Errors
    /// When discovery is not answered.
    pub async fn resource(&self, group: &str, version: Option<&str>, kind: &str) -> Result<Option<Resource>, Refusal> {
        let held = self.catalogue.lock().await.clone();
        if let Some(found) = held.as_ref().and_then(|catalogue| catalogue.find(group, version, kind)) {
            return Ok(Some(found.clone()));
        }
        Ok(self.discover().await?.find(group, version, kind).cloned())
    }

    /// Like [`Cluster::resource`] without asking again: for reads, where what is missing is simply not there.
    ///
    /// # Errors
    /// When discovery was never answered and is not now.
    pub async fn known_resource(
        &self,
        group: &str,
        version: Option<&str>,
        kind: &str,
    ) -> Result<Option<Resource>, Refusal> {
        let held = self.catalogue.lock().await.clone();
        let catalogue = match held {
            Some(catalogue) => catalogue,
            None => self.discover().await?,
        };
        Ok(catalogue.find(group, version, kind).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_recorded_aggregated_discovery() {
        let Some(recording) = crate::provider::recording("kube/01-discovery.json") else { return };
        let mut catalogue = Catalogue::default();
        for exchange in recording["exchanges"].as_array().expect("exchanges") {
            let body = &exchange["response"]["body"];
            if body["kind"] == "APIGroupDiscoveryList" {
                catalogue.read_aggregated(body);
            }
        }
        let deployment = catalogue.find("apps", None, "Deployment").expect("deployments");
        assert_eq!(deployment.object(Some("a"), "b"), "/apis/apps/v1/namespaces/a/deployments/b");
        let namespace = catalogue.find("", Some("v1"), "Namespace").expect("namespaces");
        assert_eq!(namespace.object(None, "a"), "/api/v1/namespaces/a");
        assert_eq!(catalogue.find("apps", Some("v9"), "Deployment"), None);
    }

    #[test]
    fn names_are_escaped() {
        let role = Resource {
            group: "rbac.authorization.k8s.io".into(),
            version: "v1".into(),
            plural: "clusterroles".into(),
            namespaced: false,
        };
        assert_eq!(
            role.object(None, "system:auth/delegator"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aauth%2Fdelegator"
        );
    }
}
