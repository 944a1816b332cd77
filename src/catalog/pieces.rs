//! What a chart renders to becomes resources: namespaces that Helm would have made, scopes, hooks in their
//! order. Not for rendering, see [`super::charts`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::address::Address;
use crate::catalog::documents::{self, set, text};
use crate::catalog::expansion::{Expansion, NewObject};
use crate::catalog::timing;
use crate::diag::Diagnostic;
use crate::resource::hook::{self, Moment};
use crate::resource::model::Resource;
use crate::state::key;
use crate::value::Value;

/// One rendered object.
pub(super) struct Piece {
    pub(super) manifest: Value,
    /// Chart and template: `cert-manager/templates/deployment.yaml`.
    pub(super) origin: String,
    /// When it runs, for hooks; `None` for what is simply part of the release.
    pub(super) hook: Option<Run>,
}

/// When a hook runs, and what becomes of its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) moments: BTreeSet<Moment>,
    pub(super) weight: i64,
    pub(super) clear_success: bool,
    pub(super) clear_failure: bool,
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
    let mut around = Around::default();
    let mut hooks = Vec::new();
    for mut piece in pieces {
        settle(&mut piece.manifest, release.namespace, &clustered);
        let key = documents::key(&piece.manifest);
        if let Some(namespace) = key.namespace.as_deref().filter(|name| !is_given(name)) {
            expansion.namespace(release.component, namespace, &[]);
        }
        if let Some(run) = piece.hook {
            let mut hook = Hooked { manifest: piece.manifest, origin: piece.origin, run, kept: None };
            if hook.is_kept() {
                let (component, origin) = (release.component, Some(hook.origin.as_str()));
                let (manifest, timeout) = (hook.manifest.clone(), release.timeout);
                let new = NewObject { component, manifest, origin, timeout };
                let Ok(address) = expansion.declare(new) else { continue };
                installed.all.push(address.clone());
                hook.kept = Some(address);
            }
            hooks.push(hook);
            continue;
        }
        let (component, origin) = (release.component, Some(piece.origin.as_str()));
        let new = NewObject { component, manifest: piece.manifest, origin, timeout: release.timeout };
        let Ok(address) = expansion.declare(new) else { continue };
        match key.kind.as_str() {
            "CustomResourceDefinition" => installed.definitions.push(address.clone()),
            "Deployment" | "DaemonSet" | "StatefulSet" => installed.workloads.push(address.clone()),
            _ => {}
        }
        installed.all.push(address.clone());
        match key.kind.as_str() {
            "CustomResourceDefinition" => around.definitions.push(address),
            // Hooks may run in it, so that it does not wait for them.
            "Namespace" => around.namespaces.push(address),
            _ => around.objects.push(address),
        }
    }
    // By kind they are in Helm's order already.
    hooks.sort_by_key(|hook| hook.run.weight);
    for moment in Moment::ALL {
        let due = hooks.iter().filter(|hook| hook.run.moments.contains(&moment));
        installed.all.extend(around.hooks(expansion, release, moment, due));
    }
    installed
}

/// An object that is run.
struct Hooked {
    manifest: Value,
    origin: String,
    run: Run,
    /// The address of one that is not run at all, but made in its turn and kept.
    kept: Option<Address>,
}

impl Hooked {
    /// Whether a chart only means the order: what neither ends nor is removed, and is there after the installation as
    /// after each upgrade, is part of the release.
    fn is_kept(&self) -> bool {
        let kind = text(&self.manifest, &["kind"]).unwrap_or_default();
        let at = |moments: [Moment; 2]| moments.iter().all(|moment| self.run.moments.contains(moment));
        !matches!(kind, "Job" | "Pod")
            && !self.run.clear_success
            && (at([Moment::PreInstall, Moment::PreUpgrade]) || at([Moment::PostInstall, Moment::PostUpgrade]))
    }
}

/// What hooks run before and after.
#[derive(Default)]
struct Around {
    definitions: Vec<Address>,
    namespaces: Vec<Address>,
    objects: Vec<Address>,
}

impl Around {
    /// The hooks of one moment, one after the other. Definitions and namespaces are there before any hook.
    fn hooks<'h>(
        &self,
        expansion: &mut Expansion<'_>,
        release: &Release<'_>,
        moment: Moment,
        hooks: impl Iterator<Item = &'h Hooked>,
    ) -> Vec<Address> {
        let mut added = Vec::new();
        let mut last: Option<Address> = None;
        for (place, hook) in (0..).zip(hooks) {
            let address = match hook.kept.as_ref().filter(|_| !moment.is_deletion()) {
                Some(kept) => kept.clone(),
                None => {
                    let Some(address) = add(expansion, release, moment, place, hook) else { continue };
                    added.push(address.clone());
                    address
                }
            };
            let (all, reason) = match moment {
                // In what order these run is for the deletion to say. They are recorded once there is something
                // that they could be run for.
                Moment::PreDelete => (true, "it is run for what the chart has installed"),
                Moment::PostDelete => (false, ""),
                _ => (last.is_none() && !moment.is_before(), "the chart runs this hook after it"),
            };
            for on in self.objects.iter().filter(|_| all) {
                expansion.need(&address, on.clone(), reason);
            }
            if last.is_none() && !moment.is_deletion() {
                for on in self.definitions.iter().chain(&self.namespaces) {
                    expansion.need(&address, on.clone(), "the chart runs this hook after it");
                }
            }
            if let Some(last) = last.replace(address.clone()).filter(|_| !moment.is_deletion()) {
                expansion.need(&address, last, "the chart runs this hook after it");
            }
        }
        if let Some(last) = last.filter(|_| matches!(moment, Moment::PreInstall | Moment::PreUpgrade)) {
            for object in &self.objects {
                expansion.need(object, last.clone(), "the chart runs this hook before everything else");
            }
        }
        added
    }
}

fn add(
    expansion: &mut Expansion<'_>,
    release: &Release<'_>,
    moment: Moment,
    place: i64,
    hook: &Hooked,
) -> Option<Address> {
    let key = documents::key(&hook.manifest);
    let address = hook::address(release.component, moment, &key);
    if moment.is_deletion() && key.kind == "Secret" && key.group.is_empty() && holds_text(&hook.manifest) {
        let what = format!("the {} hook {key} is left out", moment.word());
        let why = "The state would have to keep its contents until then, and state holds no secrets.";
        let hint = "if other hooks cannot do without it, destroy with --no-hooks";
        let from = format!("It comes from {}. {why}", hook.origin);
        expansion.report(Diagnostic::warning(what).detail(from).hint(hint).about(address));
        return None;
    }
    let timing = timing::object(&key.group, &key.kind);
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let timeout = release.timeout.unwrap_or(timing.timeout);
    let facts = hook::Hook {
        place,
        clear_success: hook.run.clear_success,
        clear_failure: hook.run.clear_failure,
        timeout: seconds(timeout),
        estimate: seconds(timing.estimate),
        rendered: None,
    };
    let before = expansion.resources.len();
    let address = expansion.hook(Resource {
        address,
        kind: hook::KIND,
        attrs: facts.attrs(hook.manifest.clone()).into(),
        needs: Vec::new(),
        connection: expansion.connection(),
        ceded: Vec::new(),
        timeout,
        estimate: timing.estimate,
        origin: Some(hook.origin.clone()),
    });
    (expansion.resources.len() > before).then_some(address)
}

/// Whether a Secret has contents that stand in it as they are.
fn holds_text(manifest: &Value) -> bool {
    let data = ["data", "stringData"].into_iter().filter_map(|key| manifest.get(key)?.as_map());
    data.flat_map(|map| map.values()).any(|value| value.as_str().is_some_and(|text| !text.is_empty()))
}

/// Tells hooks that run at upgrades what their components consist of; called when nothing is changed any more. State
/// keeps these digests: where Secrets with contents are part of it, they are keyed, or without a key leave those out.
pub(super) fn digest(resources: &mut [Resource], key: Option<[u8; 32]>) {
    let upgrades =
        |resource: &Resource| matches!(Moment::of(&resource.address), Some(Moment::PreUpgrade | Moment::PostUpgrade));
    let concerned = resources.iter().filter(|resource| upgrades(resource));
    let components = concerned.map(|resource| resource.address.component().to_owned()).collect::<BTreeSet<_>>();
    for component in components {
        let own = resources.iter().filter(|resource| resource.address.component() == component);
        let contents = own.map(|resource| (&resource.address, &*resource.attrs)).collect::<BTreeMap<_, _>>();
        let secret = contents.values().any(|attrs| contents_of_secret(attrs).is_some_and(holds_text));
        let mut text = Vec::new();
        for (address, attrs) in contents {
            text.extend_from_slice(address.identity().as_str().as_bytes());
            let attrs = if secret && key.is_none() { without_contents(attrs) } else { attrs.to_json() };
            text.extend_from_slice(attrs.to_string().as_bytes());
        }
        let digest = match key.filter(|_| secret) {
            Some(key) => format!("{}{}", hook::KEYED, key::hexadecimal(&key::mac(&key, &[b"rendered\0", &text])[..16])),
            None => key::hexadecimal(&Sha256::digest(&text)[..16]),
        };
        for resource in resources.iter_mut().filter(|r| upgrades(r) && r.address.component() == component) {
            documents::set(Arc::make_mut(&mut resource.attrs), &["rendered"], digest.as_str().into());
        }
    }
}

/// The Secret that attributes are of: an object, or that of a hook.
fn contents_of_secret(attrs: &Value) -> Option<&Value> {
    let manifest = attrs.get(hook::MANIFEST).unwrap_or(attrs);
    let text = |key| manifest.get(key).and_then(Value::as_str);
    ((text("apiVersion"), text("kind")) == (Some("v1"), Some("Secret"))).then_some(manifest)
}

/// Attributes without what a Secret holds, kubectl's copy of it included.
fn without_contents(attrs: &Value) -> serde_json::Value {
    let mut json = attrs.to_json();
    if contents_of_secret(attrs).is_some() {
        let manifest = match json.get_mut(hook::MANIFEST).is_some() {
            true => &mut json[hook::MANIFEST],
            false => &mut json,
        };
        for list in ["data", "stringData"] {
            if let Some(held) = manifest.get_mut(list).and_then(serde_json::Value::as_object_mut) {
                held.values_mut().for_each(|value| *value = serde_json::Value::Null);
            }
        }
        if let Some(metadata) = manifest.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
            metadata.remove("annotations");
        }
    }
    json
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
    let own = expansion.resources.iter().map(|resource| &*resource.attrs);
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
