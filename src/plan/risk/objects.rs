//! What changes to Kubernetes objects mean to whoever is served by them: from the kinds that Kubernetes, the Gateway
//! API, LeaderWorkerSet and KServe define, and from how each of them rolls out a change. Others' kinds are told by
//! what they are deleted or replaced for, and by nothing else.

use super::{Class, Level, Risk};
use crate::address::ObjectKey;
use crate::plan::model::{Action, ResourceChange};
use crate::resource::hook::OBJECT;
use crate::resource::kind::Change;
use crate::value::Value;

const GATEWAYS: &str = "gateway.networking.k8s.io";

/// Group and kind of an object.
fn kind_of(change: &ResourceChange) -> Option<(String, String)> {
    if change.kind != OBJECT {
        return None;
    }
    let key = ObjectKey::parse(change.address.object_key()?)?;
    Some((key.group, key.kind))
}

/// Whether what users have stored goes with it.
pub(super) fn holds_data(change: &ResourceChange) -> bool {
    kind_of(change).is_some_and(|(group, kind)| {
        group.is_empty() && matches!(kind.as_str(), "PersistentVolumeClaim" | "PersistentVolume")
    })
}

/// What the deletion of an object takes along besides itself.
pub(super) fn toll(change: &ResourceChange) -> Option<&'static str> {
    let (group, kind) = kind_of(change)?;
    match (group.as_str(), kind.as_str()) {
        ("", "PersistentVolumeClaim" | "PersistentVolume") => {
            Some("the data on a volume goes with it, unless its class retains it")
        }
        ("", "Namespace") => Some("everything in its namespace goes too, whoever made it"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Some("every object of a kind that it defines goes too, whoever made it")
        }
        _ => None,
    }
}

/// Whether something is lost, or nobody is served, when it is deleted.
pub(super) fn is_grave(change: &ResourceChange) -> bool {
    let Some((group, kind)) = kind_of(change) else { return false };
    let serves = matches!(
        (group.as_str(), kind.as_str()),
        ("apps", "Deployment" | "StatefulSet")
            | ("leaderworkerset.x-k8s.io", "LeaderWorkerSet")
            | ("serving.kserve.io", "LLMInferenceService" | "InferenceService")
            | (GATEWAYS, "Gateway")
            | ("networking.k8s.io", "Ingress")
    );
    toll(change).is_some() || (serves && change.action == Action::Replace)
}

/// Whether clients find it elsewhere once it is deleted, or made anew.
pub(super) fn readdressed(change: &ResourceChange, risks: &mut Vec<Risk>) {
    let Some((group, kind)) = kind_of(change) else { return };
    let leaves = change.action == Action::Delete;
    let is_public = match (group.as_str(), kind.as_str()) {
        (GATEWAYS, "Gateway") | ("networking.k8s.io", "Ingress") => true,
        // Of what is deleted, nobody knows any more what it was.
        ("", "Service") => after(change, &["spec", "type"]).and_then(Value::as_str) == Some("LoadBalancer"),
        _ => false,
    };
    if is_public {
        let why = if leaves { "its address goes" } else { "it gets another address, unless that is reserved" };
        risks.push(Risk::of(Level::High, Class::Address, change, why));
    }
}

fn after<'c>(change: &'c ResourceChange, path: &[&str]) -> Option<&'c Value> {
    change.after.as_ref()?.at(path)
}

fn is_below(one: &Change, prefix: &[&str]) -> bool {
    one.path.len() >= prefix.len() && prefix.iter().zip(&one.path).all(|(want, is)| want == is)
}

/// Updates of objects that stop somebody from being served, or send them elsewhere.
pub(super) fn interrupted(change: &ResourceChange, risks: &mut Vec<Risk>) {
    if change.action != Action::Update {
        return;
    }
    let Some((group, kind)) = kind_of(change) else { return };
    let touches =
        |prefixes: &[&[&str]]| change.changes.iter().any(|one| prefixes.iter().any(|prefix| is_below(one, prefix)));
    if let Some(why) = moved(&group, &kind, &touches) {
        risks.push(Risk::of(Level::High, Class::Address, change, why));
    }
    let template: &[&[&str]] = match (group.as_str(), kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet") => &[&["spec", "template"]],
        ("leaderworkerset.x-k8s.io", "LeaderWorkerSet") => &[&["spec", "leaderWorkerTemplate"]],
        ("serving.kserve.io", "LLMInferenceService") => {
            &[&["spec", "template"], &["spec", "model"], &["spec", "worker"], &["spec", "parallelism"]]
        }
        ("serving.kserve.io", "InferenceService") => &[&["spec", "predictor"]],
        _ => return,
    };
    let emptied = change.changes.iter().find(|one| {
        one.path == ["spec", "replicas"] && one.after == Some(Value::Int(0)) && one.before != Some(Value::Int(0))
    });
    if emptied.is_some() {
        risks.push(Risk::of(Level::High, Class::Downtime, change, "no replica is left"));
    } else if touches(template)
        && let Some((level, why)) = rolled_out(&kind, change)
    {
        risks.push(Risk::of(level, Class::Downtime, change, why));
    }
}

/// What sends clients elsewhere although the object stays.
fn moved(group: &str, kind: &str, touches: &dyn Fn(&[&[&str]]) -> bool) -> Option<&'static str> {
    match (group, kind) {
        (GATEWAYS, "Gateway") if touches(&[&["spec", "addresses"], &["spec", "gatewayClassName"]]) => {
            Some("it gets another address")
        }
        ("", "Service")
            if touches(&[&["spec", "type"], &["spec", "loadBalancerIP"], &["spec", "loadBalancerClass"]]) =>
        {
            Some("it is reached elsewhere afterwards")
        }
        _ => None,
    }
}

/// Whether a new pod template leaves nobody to answer while it is rolled out.
fn rolled_out(kind: &str, change: &ResourceChange) -> Option<(Level, &'static str)> {
    let text = |path: &[&str]| after(change, path).and_then(Value::as_str);
    if kind == "Deployment" && text(&["spec", "strategy", "type"]) == Some("Recreate") {
        return Some((Level::High, "its pods are stopped before new ones start (strategy Recreate)"));
    }
    // An autoscaler's number is not in the plan.
    let scaled = change.ceded.iter().any(|(path, _)| path[..] == ["spec".to_owned(), "replicas".to_owned()]);
    let replicas = after(change, &["spec", "replicas"]);
    let single = match replicas {
        Some(replicas) => replicas.as_int() == Some(1),
        None => !scaled,
    };
    if !single {
        return None;
    }
    match kind {
        "StatefulSet" if text(&["spec", "updateStrategy", "type"]) == Some("OnDelete") => None,
        "StatefulSet" | "LeaderWorkerSet" => {
            Some((Level::Medium, "its only replica is stopped before its successor starts"))
        }
        "Deployment" if gives_up(after(change, &["spec", "strategy", "rollingUpdate", "maxUnavailable"])) => {
            Some((Level::Medium, "its only replica may stop before its successor is ready"))
        }
        // With room for both, nobody notices.
        "Deployment" if !wants_devices(after(change, &["spec", "template", "spec"])) => None,
        _ => Some((
            Level::Medium,
            "its only replica is replaced: without room for a second one, nobody answers until the new one is ready",
        )),
    }
}

/// Whether one replica of one may be missing; left out it is a quarter, rounded down.
fn gives_up(max_unavailable: Option<&Value>) -> bool {
    match max_unavailable {
        Some(Value::Int(number)) => *number >= 1,
        Some(Value::String(share)) => share.trim_end_matches('%').parse::<u32>().is_ok_and(|share| share >= 100),
        _ => false,
    }
}

/// Whether a pod wants what only some nodes have, and few of: names of such resources have a domain.
fn wants_devices(pod: Option<&Value>) -> bool {
    let containers = pod.and_then(|pod| pod.get("containers")).and_then(Value::as_list).unwrap_or_default();
    containers.iter().any(|container| {
        let limits = container.at(&["resources", "limits"]).and_then(Value::as_map);
        limits.is_some_and(|limits| limits.keys().any(|name| name.contains('/')))
    })
}
