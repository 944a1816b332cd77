//! What a chart renders to becomes resources: namespaces that Helm would have made, scopes, hooks in their
//! order. Not for rendering, see [`super::charts`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::address::Address;
use crate::catalog::documents::{self, set, text};
use crate::catalog::expansion::{Expansion, NewObject};
use crate::value::Value;

/// One rendered object.
pub(super) struct Piece {
    pub(super) manifest: Value,
    /// Chart and template: `cert-manager/templates/deployment.yaml`.
    pub(super) origin: String,
    /// Whether it must outlive the release.
    pub(super) keep: bool,
    /// When it is there, for hooks; `None` for what is simply part of the release.
    pub(super) hook: Option<Hook>,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hook {
    /// Before everything else of the release, by weight.
    Before(i64),
    /// After everything else of the release, by weight.
    After(i64),
    /// Before anything of the release is taken away, by weight.
    BeforeDelete(i64),
    /// After everything of the release was taken away, by weight.
    AfterDelete(i64),
}

/// A release: the objects of one chart.
pub(super) struct Release<'r> {
    pub(super) component: &'r str,
    pub(super) namespace: &'r str,
    pub(super) timeout: Option<Duration>,
}

/// The addresses of what a release became.
#[derive(Default)]
pub(super) struct Installed {
    pub(super) definitions: Vec<Address>,
    pub(super) workloads: Vec<Address>,
    pub(super) all: Vec<Address>,
}

impl Installed {
    pub(super) fn extend(&mut self, other: Installed) {
        self.definitions.extend(other.definitions);
        self.workloads.extend(other.workloads);
        self.all.extend(other.all);
    }
}

/// Adds the objects of a release.
pub(super) fn install(expansion: &mut Expansion<'_>, release: &Release<'_>, pieces: Vec<Piece>) -> Installed {
    let clustered = cluster_scoped(expansion, pieces.iter().map(|piece| &piece.manifest));
    let mut installed = Installed::default();
    let mut steps: BTreeMap<Step, Vec<Address>> = BTreeMap::new();
    for mut piece in pieces {
        if matches!(piece.hook, Some(Hook::BeforeDelete(_) | Hook::AfterDelete(_))) {
            continue;
        }
        settle(&mut piece.manifest, release.namespace, &clustered);
        let key = documents::key(&piece.manifest);
        if let Some(namespace) = key.namespace.as_deref().filter(|name| !is_given(name)) {
            expansion.namespace(release.component, namespace, &[]);
        }
        let (component, origin) = (release.component, Some(piece.origin.as_str()));
        let before = expansion.resources.len();
        let address =
            expansion.object(NewObject { component, manifest: piece.manifest, origin, timeout: release.timeout });
        if expansion.resources.len() == before {
            continue;
        }
        match key.kind.as_str() {
            "CustomResourceDefinition" => installed.definitions.push(address.clone()),
            "Deployment" | "DaemonSet" | "StatefulSet" => installed.workloads.push(address.clone()),
            _ => {}
        }
        installed.all.push(address.clone());
        steps.entry(Step::of(&key.kind, piece.hook)).or_default().push(address);
    }
    ordered(expansion, &steps);
    installed
}

/// The steps of a release, in their order. Definitions and namespaces are there before any hook, as with Helm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Definitions,
    Before(i64),
    Release,
    After(i64),
}

impl Step {
    fn of(kind: &str, hook: Option<Hook>) -> Self {
        match hook {
            Some(Hook::Before(weight)) => Step::Before(weight),
            Some(Hook::After(weight)) => Step::After(weight),
            None if kind == "CustomResourceDefinition" => Step::Definitions,
            None | Some(Hook::BeforeDelete(_) | Hook::AfterDelete(_)) => Step::Release,
        }
    }
}

/// Whatever is no hook waits for the last hook before it, and a hook for everything before it.
fn ordered(expansion: &mut Expansion<'_>, steps: &BTreeMap<Step, Vec<Address>>) {
    let mut before: Option<(Step, &Vec<Address>)> = None;
    for (step, addresses) in steps {
        let (hook, release) = ("the chart runs this hook after it", "the chart runs this hook before everything else");
        let reason = if matches!(step, Step::Release) { release } else { hook };
        if let Some((earlier, on)) = before
            && !(earlier == Step::Definitions && *step == Step::Release)
        {
            for (dependent, on) in addresses.iter().flat_map(|dependent| on.iter().map(move |on| (dependent, on))) {
                expansion.need(dependent, on.clone(), reason);
            }
        }
        before = Some((*step, addresses));
    }
}

/// Namespaces that every cluster has.
fn is_given(namespace: &str) -> bool {
    matches!(namespace, "default" | "kube-system" | "kube-public" | "kube-node-lease")
}

/// Puts an object where its scope says, and takes out what says nothing: nulls, and the status of kinds whose
/// status is not for writers.
fn settle(manifest: &mut Value, namespace: &str, clustered: &BTreeSet<(String, String)>) {
    without_nulls(manifest);
    let key = documents::key(manifest);
    let wide = documents::is_cluster_scoped(&key.group, &key.kind)
        || clustered.contains(&(key.group.clone(), key.kind.clone()));
    let Value::Map(map) = manifest else { return };
    if !key.group.contains('.') || key.group.ends_with(".k8s.io") {
        map.remove("status");
    }
    match (wide, &key.namespace) {
        (true, Some(_)) => {
            if let Some(Value::Map(metadata)) = map.get_mut("metadata") {
                metadata.remove("namespace");
            }
        }
        (false, None) => set(manifest, &["metadata", "namespace"], namespace.into()),
        _ => {}
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Map(map) => {
            map.retain(|_, item| *item != Value::Null);
            map.values_mut().for_each(without_nulls);
        }
        Value::List(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// Groups and kinds that definitions, of the stack and among the manifests themselves, put outside namespaces.
pub(super) fn cluster_scoped<'m>(
    expansion: &'m Expansion<'_>,
    objects: impl Iterator<Item = &'m Value>,
) -> BTreeSet<(String, String)> {
    let own = expansion.resources.iter().map(|resource| &resource.attrs);
    let mut found = BTreeSet::new();
    for manifest in own.chain(objects) {
        if text(manifest, &["kind"]) == Some("CustomResourceDefinition")
            && text(manifest, &["spec", "scope"]) == Some("Cluster")
            && let (Some(group), Some(kind)) =
                (text(manifest, &["spec", "group"]), text(manifest, &["spec", "names", "kind"]))
        {
            found.insert((group.to_owned(), kind.to_owned()));
        }
    }
    // Istio's operator makes its classes; whoever writes one himself means the same kind.
    found.insert(("gateway.networking.k8s.io".to_owned(), "GatewayClass".to_owned()));
    found
}
