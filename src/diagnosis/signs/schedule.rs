//! Why pods have no node: what they ask for, compared with the nodes that are there. The scheduler's sentence counts
//! reasons; which of them is the one that matters only the nodes show.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{Sign, Source};
use crate::diagnosis::facts::Subject;
use crate::diagnosis::look::{View, condition, list, text, time};
use crate::openapi::quantity::Quantity;

const TOPOLOGY: &str = "cloud.google.com/gke-tpu-topology";

pub(super) fn read(view: &View<'_>, signs: &mut Vec<Sign>) {
    let nodes = view.kind("Node");
    for pod in view.kind("Pod").iter().filter(|pod| view.matters(pod)) {
        let Some(refused) = condition(pod, "/status/conditions", "PodScheduled").filter(|c| c["status"] == "False")
        else {
            continue;
        };
        let message = text(refused, "/message");
        let say = |reason: &str, text: String, what: String| {
            let sign =
                Sign::new(Source::Schedule, Subject::object(pod), "status.conditions[PodScheduled]", reason, &text);
            sign.what(what).at(time(refused, "/lastTransitionTime"))
        };
        if message.contains("persistentvolumeclaim") || message.contains("unbound immediate PersistentVolumeClaims") {
            signs.push(say("Volume", message.to_owned(), String::new()));
            continue;
        }
        let Some((reason, because, what)) = why(pod, nodes) else {
            signs.push(say("Unschedulable", message.to_owned(), String::new()));
            continue;
        };
        signs.push(say(reason, format!("{because} ({message})"), what));
    }
}

/// The reason, in words, and what it names.
fn why(pod: &Json, nodes: &[&Json]) -> Option<(&'static str, String, String)> {
    if nodes.is_empty() {
        return Some(("NoNodes", "there are no nodes".to_owned(), String::new()));
    }
    let wanted = selectors(pod);
    let fitting = nodes.iter().filter(|node| wanted.iter().all(|(key, values)| holds(node, key, values)));
    let fitting = fitting.copied().collect::<Vec<_>>();
    if fitting.is_empty() {
        return Some(mismatch(&wanted, nodes));
    }
    let tolerated = fitting.iter().filter(|node| untolerated(pod, node).is_none()).copied().collect::<Vec<_>>();
    if tolerated.is_empty() {
        let taint = fitting.iter().find_map(|node| untolerated(pod, node))?;
        // Nodes that are not ready carry a taint that says so: the node is the cause.
        let own = text(taint, "/key");
        if own.starts_with("node.kubernetes.io/") || own.starts_with("node.cloudprovider.kubernetes.io/") {
            return Some(("NodeNotReady", format!("the nodes that it fits have the taint {own}"), own.to_owned()));
        }
        let taint = match text(taint, "/value") {
            "" => format!("{own}:{}", text(taint, "/effect")),
            value => format!("{own}={value}:{}", text(taint, "/effect")),
        };
        let text = format!("the nodes that it fits have the taint {taint}, which it does not tolerate");
        return Some(("Untolerated", text, taint));
    }
    for (resource, wanted) in requests(pod) {
        let have = |node: &&&Json| quantity(&node["status"]["allocatable"][&resource]);
        let most = tolerated.iter().map(|node| have(&node)).max().unwrap_or(Quantity::ZERO);
        if most == Quantity::ZERO && resource.contains('/') {
            let text = format!("the nodes that it fits offer no {resource}: no device plugin has registered it");
            return Some(("NoDevice", text, resource));
        }
        if most < wanted {
            let text = format!("it asks for {resource} {wanted}, and no node that it fits has more than {most}");
            return Some(("NoRoom", text, resource));
        }
    }
    Some(("NoRoom", "the nodes that it fits are full".to_owned(), String::new()))
}

fn mismatch(wanted: &BTreeMap<String, BTreeSet<String>>, nodes: &[&Json]) -> (&'static str, String, String) {
    let have = |key: &str| {
        let values = nodes.iter().filter_map(|node| node["metadata"]["labels"][key].as_str());
        values.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let words = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(" or ");
    // A label that nodes have with other values says more than one that nobody has.
    let alone = |key: &String, values: &BTreeSet<String>| !nodes.iter().any(|node| holds(node, key, values));
    let mut missing = wanted.iter().filter(|(key, values)| alone(key, values)).collect::<Vec<_>>();
    missing.sort_by_key(|(key, _)| (key.as_str() != TOPOLOGY || have(key).is_empty(), have(key).is_empty()));
    let Some((key, values)) = missing.first() else {
        let all = wanted.iter().map(|(key, values)| format!("{key}={}", words(values))).collect::<Vec<_>>().join(", ");
        return ("NoSuchLabel", format!("no node has all of {all}"), all);
    };
    let what = format!("{key}={}", words(values));
    let there = have(key);
    let text = match there.is_empty() {
        true => format!("no node has the label {key}; it asks for {}", words(values)),
        false => format!("it asks for {what}, and nodes have {}", words(&there)),
    };
    let reason = if key.as_str() == TOPOLOGY && !there.is_empty() { "TopologyMismatch" } else { "NoSuchLabel" };
    (reason, text, what)
}

/// The labels that a node must have: of the selector, and of the required affinity where it has one term.
fn selectors(pod: &Json) -> BTreeMap<String, BTreeSet<String>> {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, value) in pod.pointer("/spec/nodeSelector").and_then(Json::as_object).into_iter().flatten() {
        wanted.entry(key.clone()).or_default().extend(value.as_str().map(str::to_owned));
    }
    let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    if let [term] = list(pod, terms) {
        for expression in list(term, "/matchExpressions").iter().filter(|e| text(e, "/operator") == "In") {
            let values = list(expression, "/values").iter().filter_map(Json::as_str).map(str::to_owned);
            wanted.entry(text(expression, "/key").to_owned()).or_default().extend(values);
        }
    }
    wanted
}

fn holds(node: &Json, key: &str, values: &BTreeSet<String>) -> bool {
    node["metadata"]["labels"][key].as_str().is_some_and(|value| values.contains(value))
}

fn untolerated<'n>(pod: &Json, node: &'n Json) -> Option<&'n Json> {
    let tolerates = |taint: &Json| {
        list(pod, "/spec/tolerations").iter().any(|toleration| {
            let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
            let exists = text(toleration, "/operator") == "Exists";
            (effect.is_empty() || effect == text(taint, "/effect"))
                && ((key.is_empty() && exists)
                    || (key == text(taint, "/key") && (exists || text(toleration, "/value") == text(taint, "/value"))))
        })
    };
    let hard = list(node, "/spec/taints").iter().filter(|taint| text(taint, "/effect") != "PreferNoSchedule");
    hard.into_iter().find(|taint| !tolerates(taint))
}

/// What the pod's containers ask for together, devices first.
fn requests(pod: &Json) -> Vec<(String, Quantity)> {
    let mut sum: BTreeMap<String, Quantity> = BTreeMap::new();
    for container in list(pod, "/spec/containers") {
        let mut asked: BTreeMap<&String, &Json> = BTreeMap::new();
        for part in ["limits", "requests"] {
            asked.extend(
                container.pointer(&format!("/resources/{part}")).and_then(Json::as_object).into_iter().flatten(),
            );
        }
        // A limit without a request is one.
        for (resource, amount) in asked {
            let is_limit_alone = container.pointer("/resources/requests").is_none_or(|r| r.get(resource).is_none());
            if !is_limit_alone || resource.contains('/') {
                let sum = sum.entry(resource.clone()).or_insert(Quantity::ZERO);
                *sum = *sum + quantity(amount);
            }
        }
    }
    let mut sum = sum.into_iter().filter(|(_, amount)| *amount > Quantity::ZERO).collect::<Vec<_>>();
    sum.sort_by_key(|(resource, _)| !resource.contains('/'));
    sum
}

/// An amount as Kubernetes writes it.
fn quantity(value: &Json) -> Quantity {
    Quantity::of(value).unwrap_or(Quantity::ZERO)
}
