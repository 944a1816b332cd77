//! What is known of a kind: built into Kubernetes, defined in the stack, brought by somebody else, or nothing.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::Object;
use crate::address::Address;
use crate::diag::{Severity, suggest};
use crate::openapi::crd::{Definition, Version};
use crate::openapi::{Schema, builtin};

/// What was found of an object's kind.
pub(super) enum Found<'d> {
    /// Kubernetes has it.
    BuiltIn(Arc<Schema>),
    /// The stack defines it.
    Custom(Custom<'d>),
    /// Somebody brings it whose definitions the stack does not show.
    Unchecked,
    /// No API server would know it: how bad that is, the sentence, and what to do.
    Wrong(Severity, String, Option<String>),
}

/// A kind that the stack defines.
pub(super) struct Custom<'d> {
    /// Where.
    pub definition: &'d Address,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// The version, unless the definition cannot be read; then that is reported where it stands.
    pub version: Option<&'d Version>,
}

/// Every definition of a stack, by group and kind.
pub(super) struct Definitions<'a> {
    defined: BTreeMap<(&'a str, &'a str), Defined<'a>>,
    addons: Vec<&'a str>,
}

struct Defined<'a> {
    address: &'a Address,
    sent: &'a Json,
    namespaced: bool,
    /// Name, whether it is served, and the version once an object needed it.
    versions: Vec<(&'a str, bool, OnceCell<Option<Version>>)>,
}

/// Who brings the kinds of a group: its suffix and the add-on.
const BROUGHT: &[(&str, &str)] = &[
    ("cert-manager.io", "cert-manager"),
    ("gateway.networking.k8s.io", "gateway-api"),
    ("inference.networking.k8s.io", "inference-extension"),
    ("inference.networking.x-k8s.io", "inference-extension"),
    ("istio.io", "istio"),
    ("sailoperator.io", "istio"),
    ("leaderworkerset.x-k8s.io", "lws"),
    ("disaggregatedset.x-k8s.io", "lws"),
    ("serving.kserve.io", "kserve"),
    ("nvidia.com", "gpu-operator"),
    ("nfd.k8s-sigs.io", "gpu-operator"),
];

/// Groups whose kinds GKE itself installs, or an aggregated server of it serves.
const PLATFORM: &[&str] = &[
    "gke.io",
    "googleapis.com",
    "cloud.google.com",
    "snapshot.storage.k8s.io",
    "metrics.k8s.io",
    "autoscaling.x-k8s.io",
];

fn is_below(group: &str, suffix: &str) -> bool {
    group.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl<'a> Definitions<'a> {
    pub(super) fn new(objects: &'a [Object<'a>]) -> Self {
        let mut defined = BTreeMap::new();
        let mut addons = Vec::new();
        for object in objects {
            if let Some(addon) = object.address().component().strip_prefix("addons.")
                && !addons.contains(&addon)
            {
                addons.push(addon);
            }
            let spec = &object.sent["spec"];
            if object.is_definition()
                && let (Some(group), Some(kind)) = (spec["group"].as_str(), spec["names"]["kind"].as_str())
            {
                let versions = spec["versions"].as_array().into_iter().flatten();
                let versions = versions.filter_map(|version| {
                    Some((version["name"].as_str()?, version["served"] == true, OnceCell::new()))
                });
                let address = object.address();
                let namespaced = spec["scope"] != "Cluster";
                let entry = Defined { address, sent: &object.sent, namespaced, versions: versions.collect() };
                defined.insert((group, kind), entry);
            }
        }
        Definitions { defined, addons }
    }

    /// What is known of the object's kind.
    pub(super) fn find<'s>(&'s self, object: &Object<'s>) -> Found<'s> {
        let Object { group, version, kind, .. } = *object;
        if let Some(schema) = builtin::schema(group, version, kind) {
            return Found::BuiltIn(schema);
        }
        if let Some(defined) = self.defined.get(&(group, kind)) {
            return defined.find(object);
        }
        let summary = format!("no matches for kind {kind:?} in version \"{}\"", api_version(group, version));
        if let Some(hint) = built_in_elsewhere(group, kind) {
            return Found::Wrong(Severity::Error, summary, Some(hint));
        }
        let kinds = self.defined.keys().filter(|(other, _)| *other == group).map(|(_, kind)| *kind);
        if let Some(meant) = suggest(kind, kinds) {
            return Found::Wrong(Severity::Error, summary, Some(format!("did you mean {meant}?")));
        }
        if PLATFORM.iter().any(|suffix| is_below(group, suffix)) {
            return Found::Unchecked;
        }
        // Without a cluster of its own, the stack goes into one that may have the definition already.
        let own = object.resource.connection.is_some();
        let severity = if own { Severity::Error } else { Severity::Warning };
        let brought = BROUGHT.iter().find(|(suffix, _)| is_below(group, suffix)).map(|(_, addon)| *addon);
        let hint = match brought {
            Some(addon) if self.addons.contains(&addon) => return Found::Unchecked,
            Some(addon) => format!("add [addons.{addon}], which defines it"),
            None if own => "add its CustomResourceDefinition, for example under [manifests]".to_owned(),
            None => "it is sent as it is, unchecked; the cluster must have its definition by then".to_owned(),
        };
        Found::Wrong(severity, summary, Some(hint))
    }
}

impl Defined<'_> {
    fn find<'s>(&'s self, object: &Object<'_>) -> Found<'s> {
        let named = self.versions.iter().find(|(name, _, _)| *name == object.version);
        let Some((name, true, compiled)) = named else {
            let served = self.versions.iter().filter(|(_, served, _)| *served).map(|(name, _, _)| *name);
            let served = served.collect::<Vec<_>>().join(", ");
            let asked = api_version(object.group, object.version);
            let summary = format!("no matches for kind {:?} in version {asked:?}", object.kind);
            let hint = format!("{} serves: {served}", self.address);
            return Found::Wrong(Severity::Error, summary, Some(hint));
        };
        let version = compiled.get_or_init(|| Definition::read_version(self.sent, name)).as_ref();
        Found::Custom(Custom { definition: self.address, namespaced: self.namespaced, version })
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Where Kubernetes has the kind, or which of its kinds is meant; `None` when the group is not its own.
fn built_in_elsewhere(group: &str, kind: &str) -> Option<String> {
    let served = |wanted: Option<&str>| {
        let found = builtin::kinds().filter(|(g, _, k)| *k == kind && wanted.is_none_or(|wanted| wanted == *g));
        found.map(|(group, version, _)| api_version(group, version)).collect::<Vec<_>>()
    };
    let own = builtin::kinds().any(|(known, _, _)| known == group) || matches!(group, "extensions");
    let same_group = served(Some(group));
    if !same_group.is_empty() {
        return Some(format!("Kubernetes {} serves {kind} as {}", builtin::VERSION, same_group.join(", ")));
    }
    if !own {
        return None;
    }
    let anywhere = served(None);
    if !anywhere.is_empty() {
        return Some(format!("Kubernetes {} serves {kind} as {}", builtin::VERSION, anywhere.join(", ")));
    }
    let kinds = builtin::kinds().filter(|(known, _, _)| *known == group).map(|(_, _, kind)| kind);
    Some(match suggest(kind, kinds) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("Kubernetes {} has no such kind", builtin::VERSION),
    })
}
