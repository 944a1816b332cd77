//! The kind `k8s.object`: what can be said about an object from its manifest, its record and what was read.
//!
//! The record holds digests, never values: of what was sent, of the set of fields owned afterwards, and of
//! what those held. An object is as wanted when all three agree; server defaults, fields of others and
//! secret values that a plan may not see need no rule. Digests are keyed with the stack's key, where it has one, and
//! the object's uid: a short password can be tried by nobody who has the record alone. Pure.

use base64::Engine as _;

use super::compare;
use super::fields::{self, Path, Step};
use super::{immutable, stored};
use std::time::Duration;

use crate::address::Address;
use crate::diag::Diagnostic;
use crate::resource::kind::{Change, Demise, Kind, Observed, Prior};
use crate::resource::model::{Ceded, Resource};
use crate::state::key::{self, Key};
use crate::value::{Encoding, Map, Template, Value};

/// The label that carries the stack id.
pub const MARK: &str = "stackwright.dev/id";

/// The label of what a stack has let go of: whoever wants it next may take it.
pub const RELEASED: &str = "stackwright.dev/released";

/// The field manager of a stack.
pub fn manager(stack_id: &str) -> String {
    format!("stackwright-{stack_id}")
}

/// What records say of the key that they are made with.
const KEY: &str = "key";

/// The pure half of `k8s.object`.
#[derive(Debug, Default, Clone)]
pub struct ObjectKind {
    key: Option<Key>,
}

impl ObjectKind {
    /// One that makes digests with the stack's key, where it has one.
    pub fn keyed(key: Option<Key>) -> Self {
        ObjectKind { key }
    }

    /// How digests of a record were made; `None` where that was with another key, so that they say nothing.
    fn seal_of(&self, recorded: &Value, uid: &str) -> Option<Seal> {
        match (recorded.get(KEY).and_then(Value::as_str), &self.key) {
            (None, _) => Some(Seal::of(None, uid)),
            (Some(name), Some(key)) if key.name() == name => Some(Seal::of(Some(key), uid)),
            (Some(_), _) => None,
        }
    }

    /// What `manager` owns of an object and what that holds, in digests.
    fn witness(&self, seal: &Seal, manager: &str, ceded: &[Ceded], observed: &Observed) -> Map {
        let live = &observed.attrs;
        let owned = owned(live, manager, ceded);
        let leaves = owned.iter().map(|path| seal.leaf(path, fields::value_at(live, path)));
        let entries = [
            ("uid", Value::from(observed.id.as_str())),
            ("manager", manager.into()),
            ("owned", seal.owned(&owned).into()),
            ("values", seal.values(live, &owned).into()),
            ("leaves", leaves.collect::<String>().into()),
        ];
        let named = self.key.as_ref().map(|key| (KEY, Value::from(key.name())));
        entries.into_iter().chain(named).map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn proof<'a>(&self, recorded: &'a Value, observed: &Observed, ceded: &[Ceded]) -> Option<Proof<'a>> {
        Some(Proof::new(recorded, self.seal_of(recorded, &observed.id)?, observed, ceded))
    }
}

/// What the digests of one object are keyed with.
struct Seal(Vec<u8>);

impl Seal {
    fn of(key: Option<&Key>, uid: &str) -> Self {
        match key {
            Some(key) => Seal(key::mac(&key.derived("objects"), &[uid.as_bytes()]).to_vec()),
            None => Seal(uid.as_bytes().to_vec()),
        }
    }

    fn digest(&self, bytes: &[u8]) -> String {
        key::hexadecimal(&key::mac(&self.0, &[bytes])[..16])
    }

    fn sent(&self, manifest: &Value, ceded: &[Ceded]) -> String {
        self.digest(without_ceded(manifest, ceded).to_json().to_string().as_bytes())
    }

    fn owned(&self, owned: &[Path]) -> String {
        let paths = owned.iter().map(|path| fields::words(path).join("\u{1}")).collect::<Vec<_>>();
        self.digest(paths.join("\u{2}").as_bytes())
    }

    fn values(&self, live: &Value, owned: &[Path]) -> String {
        let values = owned.iter().map(|path| match fields::value_at(live, path) {
            Some(value) => value.to_json().to_string(),
            None => String::new(),
        });
        self.digest(values.collect::<Vec<_>>().join("\u{2}").as_bytes())
    }

    fn leaf(&self, path: &[Step], value: Option<&Value>) -> String {
        let path = self.digest(fields::words(path).join("\u{1}").as_bytes());
        let value = self.digest(value.map(|value| value.to_json().to_string()).unwrap_or_default().as_bytes());
        format!("{}{}", &path[..LEAF / 2], &value[..LEAF / 2])
    }
}

impl Kind for ObjectKind {
    fn name(&self) -> &'static str {
        "k8s.object"
    }

    fn check(&self, resource: &Resource) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for path in [&["apiVersion"][..], &["kind"], &["metadata", "name"]] {
            if resource.attrs.at(path).and_then(Value::as_str).is_none_or(str::is_empty) {
                let summary = format!("the manifest has no {}", path.join("."));
                found.push(Diagnostic::error(summary).about(resource.address.clone()));
            }
        }
        for key in ["uid", "resourceVersion", "managedFields", "creationTimestamp"] {
            if resource.attrs.at(&["metadata", key]).is_some_and(|value| *value != Value::Null) {
                let error = Diagnostic::error(format!("the manifest sets metadata.{key}, which only the server does"))
                    .hint("take it out: it was probably exported from a cluster")
                    .about(resource.address.clone());
                found.push(error);
            }
        }
        found
    }

    fn refuse(&self, desired: &Value, observed: &Observed) -> Vec<Diagnostic> {
        stored::refusal(desired, &observed.attrs).into_iter().collect()
    }

    fn diff(&self, desired: &Value, ceded: &[Ceded], prior: Prior<'_>) -> Vec<Change> {
        let Some(observed) = prior.observed else { return Vec::new() };
        let live = &observed.attrs;
        if let Some(since) = live.at(&["metadata", "deletionTimestamp"]) {
            return vec![Change {
                path: vec!["metadata".into(), "deletionTimestamp".into()],
                before: Some(since.clone()),
                after: None,
                forces_replace: true,
                effect: Some("the object is being deleted".into()),
                held_by: Vec::new(),
            }];
        }
        let desired = canonical(desired);
        let desired = with_live_secrets(&desired, live);
        let proof = prior.recorded.and_then(|recorded| self.proof(recorded, observed, ceded));
        if let Some(proof) = &proof
            && desired.is_known()
            && proof.sent_is(&desired, ceded)
            && proof.owned_agrees
            && proof.values_agree
        {
            return Vec::new();
        }
        let mut changes = compare::changes(&desired, live);
        let owned = proof.as_ref().map(|proof| proof.owned.as_slice()).unwrap_or_default();
        changes.extend(no_longer_wanted(&desired, live, owned));
        changes.retain(|change| !is_ceded(&change.path, ceded));
        if changes.is_empty()
            && let Some(proof) = proof
            && !(proof.owned_agrees && proof.values_agree)
        {
            // What is wanted is there, but it is no longer ours to keep: apply again to own it.
            changes = proof.differences(live, Some(&desired));
        }
        let ours = prior.recorded.and_then(|recorded| recorded.get("manager")).and_then(Value::as_str);
        let others = fields::owned_by_others(live, ours.unwrap_or_default());
        for change in &mut changes {
            change.held_by = held_by(change, &others);
            immutable::judge(live, change);
            hide_secrets(live, change);
        }
        changes
    }

    fn drift(&self, ceded: &[Ceded], prior: Prior<'_>) -> Vec<Change> {
        let (Some(recorded), Some(observed)) = (prior.recorded, prior.observed) else { return Vec::new() };
        let Some(proof) = self.proof(recorded, observed, ceded) else { return Vec::new() };
        if proof.owned_agrees && proof.values_agree {
            return Vec::new();
        }
        let mut changes = proof.differences(&observed.attrs, None);
        for change in &mut changes {
            // Seen from the record: what there is now is after.
            std::mem::swap(&mut change.before, &mut change.after);
            hide_secrets(&observed.attrs, change);
        }
        changes
    }

    fn record(&self, sent: &Value, ceded: &[Ceded], observed: &Observed) -> Value {
        let live = &observed.attrs;
        let text = |path: &[&str]| live.at(path).cloned().unwrap_or_default();
        let manager = text(&["metadata", "labels", MARK]).as_str().map(manager).unwrap_or_default();
        let seal = Seal::of(self.key.as_ref(), &observed.id);
        let mut record = self.witness(&seal, &manager, ceded, observed);
        let api_version = sent.get("apiVersion").cloned().unwrap_or_else(|| text(&["apiVersion"]));
        record.insert("api_version".to_owned(), api_version);
        record.insert("sent".to_owned(), seal.sent(&canonical(sent), ceded).into());
        Value::Map(record)
    }

    fn seen(&self, recorded: &Value, ceded: &[Ceded], observed: &Observed) -> Value {
        let manager = recorded.get("manager").and_then(Value::as_str).unwrap_or_default();
        let seal = Seal::of(self.key.as_ref(), &observed.id);
        Value::Map(self.witness(&seal, manager, ceded, observed))
    }

    fn outputs(&self, observed: &Observed) -> Value {
        let mut live = observed.attrs.clone();
        if let Value::Map(map) = &mut live
            && let Some(Value::Map(metadata)) = map.get_mut("metadata")
        {
            metadata.remove("managedFields");
        }
        live
    }

    fn known_outputs(&self, desired: &Value) -> Value {
        let mut metadata = Map::new();
        for key in ["name", "namespace"] {
            if let Some(value) = desired.at(&["metadata", key]).filter(|value| value.is_known()) {
                metadata.insert(key.to_owned(), value.clone());
            }
        }
        Value::Map(Map::from([("metadata".to_owned(), Value::Map(metadata))]))
    }

    fn is_sensitive_output(&self, desired: &Value, path: &[String]) -> bool {
        // A CA certificate is made to be shown.
        desired.get("kind").and_then(Value::as_str) == Some("Secret")
            && !matches!(path.first().map(String::as_str), Some("metadata" | "type" | "kind" | "apiVersion"))
            && path.last().is_none_or(|key| key != "ca.crt")
    }

    /// Helm's mark, which definitions carry: with them, all objects of their kinds would go.
    fn outlives(&self, attrs: &Value) -> bool {
        let policy = ["metadata", "annotations", "helm.sh/resource-policy"];
        attrs.at(&policy).and_then(Value::as_str).is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"))
    }

    fn demise(&self, attrs: &Value) -> Demise {
        let text = |path: &[&str]| attrs.at(path).and_then(Value::as_str).unwrap_or_default();
        let group = text(&["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
        let own = match (group, text(&["kind"])) {
            ("", "Service") => text(&["spec", "type"]) == "LoadBalancer",
            ("", "PersistentVolumeClaim" | "PersistentVolume") => true,
            ("networking.k8s.io" | "extensions", "Ingress") => true,
            // Their controllers make load balancers.
            ("gateway.networking.k8s.io", "Gateway") => true,
            ("networking.gke.io", "MultiClusterIngress" | "MultiClusterService") => true,
            _ => !is_tame(group),
        };
        if own { Demise::Own } else { Demise::WithConnection }
    }

    /// `kubernetes.io/pvc-protection` and `pv-protection` stay while a pod uses the claim.
    fn waits_for_users(&self, attrs: &Value) -> bool {
        let text = |key| attrs.get(key).and_then(Value::as_str).unwrap_or_default();
        text("apiVersion") == "v1" && matches!(text("kind"), "PersistentVolumeClaim" | "PersistentVolume")
    }

    /// Estimates: most objects are gone with the answer. A load balancer is released after half a minute; a namespace
    /// goes with what is in it, a workload after its pods have left.
    fn removal(&self, attrs: &Value) -> Duration {
        let text = |path: &[&str]| attrs.at(path).and_then(Value::as_str).unwrap_or_default();
        let group = text(&["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
        Duration::from_secs(match (group, text(&["kind"])) {
            ("", "Service") if text(&["spec", "type"]) == "LoadBalancer" => 35,
            ("gateway.networking.k8s.io", "Gateway") | ("networking.k8s.io", "Ingress") => 35,
            ("serving.kserve.io", "LLMInferenceService") => 35,
            ("", "Namespace" | "PersistentVolumeClaim") => 10,
            ("apps", _) | ("batch", "Job") => 3,
            _ => 1,
        })
    }

    fn exclusive(&self, _: &Address, _: &Value) -> Option<String> {
        None
    }
}

/// Groups whose objects are known to own nothing outside their cluster (but for those that
/// [`ObjectKind::demise`] names). A custom resource of any other group may: it is deleted by its own call.
fn is_tame(group: &str) -> bool {
    const TAME: &[&str] = &[
        "",
        "apps",
        "batch",
        "autoscaling",
        "policy",
        "extensions",
        "cert-manager.io",
        "acme.cert-manager.io",
        "leaderworkerset.x-k8s.io",
        "disaggregatedset.x-k8s.io",
        "operator.openshift.io",
        "config.openshift.io",
        "sailoperator.io",
        "nvidia.com",
        "serving.kserve.io",
        "monitoring.coreos.com",
        "llm-d.ai",
    ];
    const TAME_SUFFIXES: &[&str] = &[".k8s.io", ".istio.io", ".x-k8s.io", ".nvidia.com"];
    TAME.contains(&group) || TAME_SUFFIXES.iter().any(|suffix| group.ends_with(suffix))
}

/// The manifest in the form that is sent and digested: `stringData` of Secrets as `data`, which is what the
/// server makes of it, and nothing that is null.
pub fn canonical(manifest: &Value) -> Value {
    let mut manifest = without_nulls(manifest);
    let Value::Map(map) = &mut manifest else { return manifest };
    if map.get("kind").and_then(Value::as_str) != Some("Secret") {
        return manifest;
    }
    if let Some(Value::Map(texts)) = map.remove("stringData") {
        let data = map.entry("data".to_owned()).or_insert_with(Value::map);
        if let Value::Map(data) = data {
            for (key, text) in texts {
                data.insert(key, encoded(text));
            }
        }
    }
    manifest
}

fn encoded(text: Value) -> Value {
    match text {
        Value::Deferred(template) => Value::from(Template { encoding: Encoding::Base64, ..*template }),
        other => {
            let text = other.scalar_text().unwrap_or_default();
            base64::engine::general_purpose::STANDARD.encode(text).into()
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Map(map) => Value::Map(
            map.iter().filter(|(_, v)| **v != Value::Null).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        ),
        Value::List(items) => Value::List(items.iter().map(without_nulls).collect()),
        plain => plain.clone(),
    }
}

/// The manifest with what is live in place of secret inputs. A plan cannot see a secret; where the whole then
/// has the digest of what was sent, the live value is the one that was sent.
fn with_live_secrets(desired: &Value, live: &Value) -> Value {
    match desired {
        Value::Deferred(template) if template.references().next().is_none() => match live {
            Value::Null => desired.clone(),
            live => live.clone(),
        },
        Value::Map(map) => Value::Map(
            map.iter().map(|(k, v)| (k.clone(), with_live_secrets(v, live.get(k).unwrap_or(&Value::Null)))).collect(),
        ),
        Value::List(items) => {
            let live = live.as_list().unwrap_or_default();
            let counterpart = |at: usize, item: &Value| compare::counterpart(item, at, items, live);
            let paired = items.iter().enumerate().map(|(at, item)| {
                with_live_secrets(item, counterpart(at, item).map_or(&Value::Null, |(_, live)| live))
            });
            Value::List(paired.collect())
        }
        plain => plain.clone(),
    }
}

/// Whom the server will name when the change is applied: every other manager that has set what it gives a new
/// value. What is taken away needs nobody's consent.
fn held_by(change: &Change, others: &[(String, Vec<String>)]) -> Vec<String> {
    if change.after.is_none() || change.after == change.before {
        return Vec::new();
    }
    let meets = |path: &[String]| path.iter().zip(&change.path).all(|(a, b)| a == b);
    let mut found = others.iter().filter(|(_, path)| meets(path)).map(|(name, _)| name.clone()).collect::<Vec<_>>();
    found.sort();
    found.dedup();
    found
}

/// Fields that we own and no longer want.
fn no_longer_wanted(desired: &Value, live: &Value, owned: &[Path]) -> Vec<Change> {
    let mut changes = Vec::new();
    for path in owned {
        let ours = [Step::Field("metadata".into()), Step::Field("labels".into()), Step::Field(MARK.into())];
        if path[..] == ours || fields::value_at(desired, path).is_some() || compare::is_inside_deferred(desired, path) {
            continue;
        }
        let Some(value) = fields::value_at(live, path) else { continue };
        changes.push(Change {
            path: fields::words(path),
            before: Some(value.clone()),
            after: None,
            forces_replace: false,
            effect: None,
            held_by: Vec::new(),
        });
    }
    changes
}

/// Whether a path (of words) lies in a ceded field; `*` stands for any list item or map key.
pub fn is_ceded(path: &[String], ceded: &[Ceded]) -> bool {
    ceded.iter().any(|field| {
        field.path.len() <= path.len() && field.path.iter().zip(path).all(|(want, is)| want == "*" || want == is)
    })
}

/// The manifest without its ceded fields.
pub fn without_ceded(manifest: &Value, ceded: &[Ceded]) -> Value {
    let mut manifest = manifest.clone();
    for field in ceded {
        cut(&mut manifest, &field.path);
    }
    manifest
}

fn cut(value: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    match value {
        Value::Map(map) if rest.is_empty() && first == "*" => map.clear(),
        Value::Map(map) if rest.is_empty() => {
            map.remove(first);
        }
        Value::Map(map) if first == "*" => map.values_mut().for_each(|below| cut(below, rest)),
        Value::Map(map) => {
            if let Some(below) = map.get_mut(first) {
                cut(below, rest);
            }
        }
        Value::List(items) if first == "*" => items.iter_mut().for_each(|item| cut(item, rest)),
        _ => {}
    }
}

/// The leaves that `manager` owns in the live object, but for ceded ones.
pub fn owned(live: &Value, manager: &str, ceded: &[Ceded]) -> Vec<Path> {
    let mut owned = fields::owned_by(live, manager);
    owned.retain(|path| !is_ceded(&fields::words(path), ceded));
    owned
}

/// What the record says against what was read.
struct Proof<'a> {
    recorded: &'a Value,
    uid: String,
    seal: Seal,
    manager: String,
    owned: Vec<Path>,
    owned_agrees: bool,
    values_agree: bool,
}

impl<'a> Proof<'a> {
    fn new(recorded: &'a Value, seal: Seal, observed: &Observed, ceded: &[Ceded]) -> Self {
        let text = |key| recorded.get(key).and_then(Value::as_str).unwrap_or_default();
        let manager = text("manager").to_owned();
        let owned = owned(&observed.attrs, &manager, ceded);
        let uid = observed.id.clone();
        let owned_agrees = text("owned") == seal.owned(&owned);
        let values_agree = text("values") == seal.values(&observed.attrs, &owned);
        Proof { recorded, uid, seal, manager, owned, owned_agrees, values_agree }
    }

    fn sent_is(&self, desired: &Value, ceded: &[Ceded]) -> bool {
        self.recorded.get("sent").and_then(Value::as_str) == Some(&self.seal.sent(desired, ceded))
    }

    /// The fields that others changed, took or removed since the last apply; what there is now is `before`.
    fn differences(&self, live: &Value, desired: Option<&Value>) -> Vec<Change> {
        if self.recorded.get("uid").and_then(Value::as_str).is_some_and(|uid| uid != self.uid) {
            // Digests are keyed with the uid too: of another object's fields they say nothing.
            let others = fields::owned_by_others(live, "");
            let mut makers = others.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
            makers.sort();
            makers.dedup();
            return vec![Change {
                path: vec!["metadata".into(), "uid".into()],
                before: Some(self.uid.as_str().into()),
                after: None,
                forces_replace: false,
                effect: Some(format!("made anew, and not by this stack: {}", makers.join(", "))),
                held_by: Vec::new(),
            }];
        }
        let kept = self.recorded.get("leaves").and_then(Value::as_str).unwrap_or_default();
        let kept = kept.as_bytes().chunks(LEAF).filter_map(|leaf| std::str::from_utf8(leaf).ok()).collect::<Vec<_>>();
        let mut named = Vec::new();
        let mut unseen = kept.clone();
        for path in &self.owned {
            let leaf = self.seal.leaf(path, fields::value_at(live, path));
            unseen.retain(|kept| kept[..LEAF / 2] != leaf[..LEAF / 2]);
            if !kept.contains(&leaf.as_str()) {
                named.push(self.difference(live, path, desired));
            }
        }
        // What was ours and is not: look for it among the fields that others own now.
        let others = compare::leaves(live);
        let mark = ["metadata", "labels", MARK].map(|key| Step::Field(key.to_owned()));
        for leaf in unseen {
            if self.seal.leaf(&mark, None)[..LEAF / 2] == leaf[..LEAF / 2] {
                named.push(Change {
                    path: fields::words(&mark),
                    before: fields::value_at(live, &mark).cloned(),
                    after: self.manager.strip_prefix("stackwright-").map(Value::from),
                    forces_replace: false,
                    effect: None,
                    held_by: Vec::new(),
                });
                continue;
            }
            let found = others.iter().find(|path| self.seal.leaf(path, None)[..LEAF / 2] == leaf[..LEAF / 2]);
            match found {
                Some(path) => named.push(self.difference(live, path, desired)),
                None => named.push(Change {
                    path: vec!["(a field that was removed)".into()],
                    before: None,
                    after: None,
                    forces_replace: false,
                    effect: None,
                    held_by: Vec::new(),
                }),
            }
        }
        named.dedup_by(|a, b| a.path == b.path);
        named
    }

    fn difference(&self, live: &Value, path: &[Step], desired: Option<&Value>) -> Change {
        let value = fields::value_at(live, path);
        let wanted = desired.and_then(|desired| fields::value_at(desired, path)).filter(|wanted| wanted.is_known());
        // What is the same in other words stays as it is.
        let wanted = wanted.map(|wanted| match value {
            Some(value) if compare::same(wanted, Some(value), &fields::words(path)) => value,
            _ => wanted,
        });
        let owners = fields::owners(live, path, &self.manager);
        let effect = (!owners.is_empty()).then(|| format!("now owned by {}", owners.join(", ")));
        Change {
            path: fields::words(path),
            before: value.cloned(),
            after: wanted.cloned(),
            forces_replace: false,
            effect,
            held_by: Vec::new(),
        }
    }
}

/// Characters of a leaf's digest: half for its path, half for its value. They only name what the full digests
/// have already found to differ.
const LEAF: usize = 12;

/// What stands for a value that must not be shown.
fn hidden() -> Value {
    Value::from(Template { parts: Vec::new(), encoding: Encoding::Plain, sensitive: true })
}

fn hide_secrets(live: &Value, change: &mut Change) {
    let is_secret = live.get("kind").and_then(Value::as_str) == Some("Secret");
    if is_secret && change.path.first().is_some_and(|first| first == "data" || first == "stringData") {
        for value in [&mut change.before, &mut change.after] {
            if value.as_ref().is_some_and(Value::is_known) {
                *value = Some(hidden());
            }
        }
    }
}

#[cfg(test)]
mod tests;
