//! Order that Kubernetes objects bring with themselves: which object needs which other one, and why.
//!
//! A namespaced object needs its namespace, a custom resource its definition, the webhooks that admit it and
//! the controller that reconciles (and finalizes) it, a pod template everything that it mounts, a binding its
//! role and subjects, a route its gateway. The same edges, reversed, keep a destroy from hanging: custom
//! resources go before their controller, webhook configurations before the service behind them, accounts and
//! bindings after the controllers that use them.
//!
//! Pure, and near-linear in the number of objects. It sees desired objects only, adds no edge to what is not
//! part of the stack, and knows nothing of components; those bring their own needs.

mod admission;
mod pods;
mod references;

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::resource::hook::{self, Moment};
use crate::resource::model::Resource;
use crate::value::Value;

/// `dependent` needs `dependency`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Who waits.
    pub dependent: Address,
    /// For whom.
    pub dependency: Address,
    /// Why, in words that `graph --why` prints.
    pub reason: String,
}

/// What [`infer`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inferred {
    /// All edges, sorted, none twice.
    pub edges: Vec<Edge>,
    /// Nodes that are no resources: each stands for "this kind is served, admitted and controlled", so that
    /// n objects of the kind and m preconditions need n + m edges in place of n × m. There is nothing to do
    /// for one; it is done when all that it needs is.
    pub barriers: Vec<Address>,
}

/// What the addresses of barriers begin with, in place of a component.
const BARRIER: &str = "barrier";

/// Whether an address is one of [`Inferred::barriers`].
pub fn is_barrier(address: &Address) -> bool {
    address.component() == BARRIER
}

/// Infers edges between the Kubernetes objects among `resources`; those that are run as hooks need others, and
/// nothing needs them.
pub fn infer(resources: &[Resource]) -> Inferred {
    let objects = Objects::new(resources);
    let mut found = Found::default();
    for object in &objects.all {
        references::of_object(&objects, object, &mut found);
        if let Some(template) = pods::template(object.manifest) {
            pods::of_template(&objects, object, template, &mut found);
        }
    }
    admission::infer(&objects, resources, &mut found);
    found.finish(&objects)
}

/// One object, with what is asked of it all the time.
struct Object<'a> {
    at: usize,
    address: &'a Address,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    /// Empty for cluster scope.
    namespace: &'a str,
    name: &'a str,
    manifest: &'a Value,
}

impl<'a> Object<'a> {
    fn new(at: usize, resource: &'a Resource) -> Option<Self> {
        let manifest = hook::object(resource.kind, &resource.attrs)?;
        let api_version = text(manifest, &["apiVersion"])?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Some(Object {
            at,
            address: &resource.address,
            group,
            version,
            kind: text(manifest, &["kind"])?,
            namespace: text(manifest, &["metadata", "namespace"]).unwrap_or_default(),
            name: text(manifest, &["metadata", "name"])?,
            manifest,
        })
    }

    fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// The plural under which the API serves a built-in kind.
    fn plural(&self) -> String {
        let lower = self.kind.to_lowercase();
        if lower == "endpoints" {
            lower
        } else if let Some(stem) = lower.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
            format!("{stem}ies")
        } else if lower.ends_with(['s', 'x']) || lower.ends_with("ch") {
            format!("{lower}es")
        } else {
            format!("{lower}s")
        }
    }
}

/// All objects, found by identity.
struct Objects<'a> {
    all: Vec<Object<'a>>,
    by_key: BTreeMap<(&'a str, &'a str, &'a str, &'a str), usize>,
    /// Certificates by the namespace and name of the Secret that they fill.
    issued: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Objects<'a> {
    fn new(resources: &'a [Resource]) -> Self {
        let mut all: Vec<Object<'a>> = Vec::new();
        for resource in resources {
            all.extend(Object::new(all.len(), resource));
        }
        let kept = || all.iter().filter(|object: &&Object<'_>| Moment::of(object.address).is_none());
        let by_key = kept().map(|o| ((o.group, o.kind, o.namespace, o.name), o.at)).collect();
        let issued = kept()
            .filter(|o| o.is("cert-manager.io", "Certificate"))
            .filter_map(|o| Some(((o.namespace, text(o.manifest, &["spec", "secretName"])?), o.at)))
            .collect();
        Objects { all, by_key, issued }
    }

    fn get(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<usize> {
        self.by_key.get(&(group, kind, namespace, name)).copied()
    }

    /// Whether a hook runs when the other object is not there: before its own chart is, or after. The chart says in
    /// which order; an edge would turn it round.
    fn is_out_of_reach(&self, hook: usize, other: usize) -> bool {
        let Some(hook) = self.all.get(hook) else { return false };
        let early = matches!(Moment::of(hook.address), Some(Moment::PreInstall | Moment::PreUpgrade));
        let late = Moment::of(hook.address) == Some(Moment::PostDelete);
        self.all.get(other).is_some_and(|other| {
            let lasting = matches!(other.kind, "Namespace" | "CustomResourceDefinition");
            (early || late) && !lasting && hook.address.component() == other.address.component()
        })
    }

    /// The Secret itself, or the Certificate that fills it.
    fn secret(&self, namespace: &str, name: &str) -> Option<usize> {
        self.get("", "Secret", namespace, name).or_else(|| self.issued.get(&(namespace, name)).copied())
    }

    /// The objects of one kind.
    fn of_kind<'s>(&'s self, group: &'s str, kind: &'s str) -> impl Iterator<Item = &'s Object<'a>> {
        self.by_key
            .range((group, kind, "", "")..)
            .take_while(move |(key, _)| key.0 == group && key.1 == kind)
            .map(|(_, &at)| &self.all[at])
    }
}

/// Edges by position in [`Objects::all`]; positions from `objects.len()` on are barriers.
#[derive(Default)]
struct Found {
    edges: BTreeMap<(usize, usize), BTreeSet<String>>,
    barriers: Vec<Address>,
}

impl Found {
    fn add(&mut self, dependent: usize, dependency: Option<usize>, reason: impl Into<String>) {
        if let Some(dependency) = dependency.filter(|&at| at != dependent) {
            self.edges.entry((dependent, dependency)).or_default().insert(reason.into());
        }
    }

    fn finish(self, objects: &Objects<'_>) -> Inferred {
        let address = |at: usize| match objects.all.get(at) {
            Some(object) => object.address.clone(),
            None => self.barriers[at - objects.all.len()].clone(),
        };
        let mut edges = Vec::with_capacity(self.edges.len());
        for ((dependent, dependency), reasons) in &self.edges {
            if objects.is_out_of_reach(*dependent, *dependency) {
                continue;
            }
            for reason in reasons {
                edges.push(Edge {
                    dependent: address(*dependent),
                    dependency: address(*dependency),
                    reason: reason.clone(),
                });
            }
        }
        edges.sort();
        Inferred { edges, barriers: self.barriers.clone() }
    }
}

/// The text at `path`.
fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    value.at(path)?.as_str()
}

/// The items of the list at `path`; none when there is no list.
fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    value.at(path).and_then(Value::as_list).unwrap_or_default()
}

/// The texts of the list at `path`.
fn texts<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a str> {
    items(value, path).iter().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests;
