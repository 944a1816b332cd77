//! What controllers say in the conditions of objects that are not as they should be: workloads, certificates, operators,
//! definitions, namespaces, nodes.

use serde_json::Value as Json;

use super::{Sign, Source};
use crate::diagnosis::facts::Subject;
use crate::diagnosis::look::{View, condition, is_going, list, text, time, trouble};

/// Conditions that are bad when they hold.
const BAD: [&str; 9] = [
    "Error",
    "Degraded",
    "Stalled",
    "ReplicaFailure",
    "Failed",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
    "InvalidRequest",
    "Denied",
];

/// Kinds whose conditions are read elsewhere.
const ELSEWHERE: [&str; 3] = ["Pod", "Event", "Gateway"];

pub(super) fn read(view: &View<'_>, signs: &mut Vec<Sign>) {
    for object in &view.facts.objects {
        let kind = text(object, "/kind");
        if ELSEWHERE.contains(&kind) || kind.ends_with("Route") || trouble(object).is_none() {
            continue;
        }
        match kind {
            "Node" => node(object, signs),
            "Namespace" => namespace(object, signs),
            _ => conditions(object, signs),
        }
    }
}

fn conditions(object: &Json, signs: &mut Vec<Sign>) {
    for entry in list(object, "/status/conditions") {
        let (kind, status) = (text(entry, "/type"), text(entry, "/status"));
        let is_bad = if BAD.contains(&kind) { status == "True" } else { status == "False" };
        if !is_bad {
            continue;
        }
        let field = format!("status.conditions[{kind}]");
        let sign = Sign::new(
            Source::Condition,
            Subject::object(object),
            field,
            text(entry, "/reason"),
            text(entry, "/message"),
        );
        signs.push(sign.at(time(entry, "/lastTransitionTime")));
    }
}

fn node(node: &Json, signs: &mut Vec<Sign>) {
    let Some(ready) = condition(node, "/status/conditions", "Ready") else { return };
    let message = match text(ready, "/message") {
        "" => "its kubelet says nothing",
        message => message,
    };
    let field = "status.conditions[Ready]";
    let sign = Sign::new(Source::Condition, Subject::object(node), field, text(ready, "/reason"), message);
    signs.push(sign.at(time(ready, "/lastTransitionTime")));
}

fn namespace(namespace: &Json, signs: &mut Vec<Sign>) {
    if !is_going(namespace) && text(namespace, "/status/phase") != "Terminating" {
        return;
    }
    let said = list(namespace, "/status/conditions").iter().filter(|entry| text(entry, "/status") == "True");
    let said = said.map(|entry| text(entry, "/message")).filter(|said| !said.is_empty()).collect::<Vec<_>>();
    let said = if said.is_empty() { "it is being deleted".to_owned() } else { said.join(" ") };
    let sign = Sign::new(Source::Condition, Subject::object(namespace), "status.phase", "Terminating", &said);
    signs.push(sign.at(time(namespace, "/metadata/deletionTimestamp")));
}
