//! Which resources are served: the built-in ones and those of established CRDs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::api::Gvk;
use super::catalogue;

/// `pods/status` and the like.
#[derive(Clone, Debug)]
pub(crate) struct Subresource {
    /// `status`.
    pub name: String,
    /// Group of its kind when it differs from the resource's.
    pub group: String,
    /// Version of its kind when it differs.
    pub version: String,
    /// Its kind.
    pub kind: String,
    /// What may be done with it.
    pub verbs: Vec<String>,
}

/// One resource in one version.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// Group; empty for core.
    pub group: String,
    /// Version of this view.
    pub version: String,
    /// Plural name.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Kind.
    pub kind: String,
    /// Kind of its list.
    pub list_kind: String,
    /// Lives in namespaces.
    pub namespaced: bool,
    /// Short names.
    pub short_names: Vec<String>,
    /// `all`, …
    pub categories: Vec<String>,
    /// What may be done.
    pub verbs: Vec<String>,
    /// Subresources.
    pub subresources: Vec<Subresource>,
    /// The version in which objects are stored.
    pub storage_version: String,
    /// The CRD it comes from.
    pub custom: Option<Arc<Json>>,
}

impl Resource {
    /// Group, version, kind of this view.
    pub fn gvk(&self) -> Gvk {
        Gvk::new(&self.group, &self.version, &self.kind)
    }

    /// Group, version, kind as stored.
    pub fn storage_gvk(&self) -> Gvk {
        Gvk::new(&self.group, &self.storage_version, &self.kind)
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        self.gvk().api_version()
    }

    /// `apps/v1` as stored.
    pub fn storage_api_version(&self) -> String {
        self.storage_gvk().api_version()
    }

    /// Where its objects are kept.
    pub fn table(&self) -> Table {
        (self.group.clone(), self.plural.clone())
    }

    /// Whether the verb is served on the resource itself.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// A subresource.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether objects of it are kept at all: reviews and bindings are not.
    pub fn stored(&self) -> bool {
        self.allows("get") && self.plural != "componentstatuses"
    }

    /// The CRD's entry for this version.
    pub fn crd_version(&self) -> Option<&Json> {
        crd_version(self.custom.as_deref()?, &self.version)
    }
}

/// The entry of `spec.versions` with this name.
pub(crate) fn crd_version<'a>(crd: &'a Json, version: &str) -> Option<&'a Json> {
    crd["spec"]["versions"].as_array()?.iter().find(|v| v["name"] == version)
}

/// Group and plural name: what names a table of objects.
pub(crate) type Table = (String, String);

/// All resources served now.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    resources: Vec<Arc<Resource>>,
    by_path: BTreeMap<(String, String, String), usize>,
    by_kind: BTreeMap<Gvk, usize>,
}

impl Registry {
    /// The built-in resources and those of `crds` that are established.
    pub fn new<'a>(crds: impl Iterator<Item = &'a Arc<Json>>) -> Self {
        let mut registry = Registry { resources: Vec::new(), by_path: BTreeMap::new(), by_kind: BTreeMap::new() };
        for resource in catalogue::resources() {
            registry.push(resource);
        }
        for crd in crds {
            for resource in super::crd::resources(crd) {
                registry.push(resource);
            }
        }
        registry
    }

    fn push(&mut self, resource: Resource) {
        let index = self.resources.len();
        let path = (resource.group.clone(), resource.version.clone(), resource.plural.clone());
        if self.by_path.contains_key(&path) {
            return;
        }
        self.by_path.insert(path, index);
        self.by_kind.insert(resource.gvk(), index);
        self.resources.push(Arc::new(resource));
    }

    /// By path.
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        let index = self.by_path.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))?;
        self.resources.get(*index)
    }

    /// By kind.
    pub fn by_kind(&self, gvk: &Gvk) -> Option<&Arc<Resource>> {
        self.resources.get(*self.by_kind.get(gvk)?)
    }

    /// By group and plural in any version, the stored one first.
    pub fn by_table(&self, table: &Table) -> Option<&Arc<Resource>> {
        let of = |r: &&Arc<Resource>| r.group == table.0 && r.plural == table.1;
        self.resources.iter().filter(of).max_by_key(|r| r.version == r.storage_version)
    }

    /// All, in discovery's order.
    pub fn all(&self) -> &[Arc<Resource>] {
        &self.resources
    }
}
