//! Reading documents of a cluster: fields, conditions, whether an object is as it should be. An index over all of them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::facts::{Facts, Subject};
use crate::env::clock::Timestamp;

/// A text; empty where there is none.
pub fn text<'j>(json: &'j Json, pointer: &str) -> &'j str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// A list; empty where there is none.
pub fn list<'j>(json: &'j Json, pointer: &str) -> &'j [Json] {
    json.pointer(pointer).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A number, if there is one.
pub fn number(json: &Json, pointer: &str) -> Option<i64> {
    json.pointer(pointer).and_then(Json::as_i64)
}

/// A label.
pub fn label<'j>(json: &'j Json, name: &str) -> &'j str {
    json["metadata"]["labels"][name].as_str().unwrap_or_default()
}

/// A time.
pub fn time(json: &Json, pointer: &str) -> Option<Timestamp> {
    json.pointer(pointer).and_then(Json::as_str).and_then(Timestamp::parse)
}

/// A condition of a list of conditions.
pub fn condition<'j>(json: &'j Json, pointer: &str, kind: &str) -> Option<&'j Json> {
    list(json, pointer).iter().find(|condition| condition["type"] == kind)
}

fn is_true(object: &Json, kind: &str) -> bool {
    condition(object, "/status/conditions", kind).is_some_and(|condition| condition["status"] == "True")
}

/// Whether a pod is on its way out: nothing of it is a cause any more.
pub fn is_going(object: &Json) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Why an object is not as it should be, in a few words; `None` where it is, or where nobody can tell.
pub fn trouble(object: &Json) -> Option<String> {
    let kind = text(object, "/kind");
    if is_going(object) {
        return (kind == "Namespace").then(|| "is being deleted".to_owned());
    }
    let ready = |have: &str, want: &str, default: i64| {
        let (have, want) = (number(object, have).unwrap_or(0), number(object, want).unwrap_or(default));
        (have < want).then(|| format!("{have} of {want} ready"))
    };
    let needs = |kinds: &[&str]| {
        let missing = kinds.iter().find(|kind| !is_true(object, kind))?;
        let found = condition(object, "/status/conditions", missing);
        let said = found.map(|found| text(found, "/message")).filter(|said| !said.is_empty());
        Some(said.map_or_else(|| format!("not {missing}"), |said| format!("not {missing}: {said}")))
    };
    match kind {
        "Pod" => pod(object),
        "Node" => needs(&["Ready"]),
        "Deployment" | "StatefulSet" => ready("/status/readyReplicas", "/spec/replicas", 1),
        "ReplicaSet" => ready("/status/readyReplicas", "/spec/replicas", 1),
        "DaemonSet" => ready("/status/numberReady", "/status/desiredNumberScheduled", 0),
        "Job" => is_true(object, "Failed").then(|| "has failed".to_owned()),
        "Namespace" => (text(object, "/status/phase") != "Active").then(|| "is not active".to_owned()),
        "PersistentVolumeClaim" => (text(object, "/status/phase") != "Bound").then(|| "is not bound".to_owned()),
        "Service" => (text(object, "/spec/type") == "LoadBalancer"
            && object.pointer("/status/loadBalancer/ingress/0").is_none())
        .then(|| "has no address".to_owned()),
        "CustomResourceDefinition" => needs(&["Established"]),
        "Certificate" | "Issuer" | "ClusterIssuer" | "CertificateRequest" | "LLMInferenceService" => needs(&["Ready"]),
        "GatewayClass" => needs(&["Accepted"]),
        "Gateway" => needs(&["Accepted", "Programmed"])
            .or_else(|| list(object, "/status/addresses").is_empty().then(|| "has no address".to_owned())),
        kind if kind.ends_with("Route") && text(object, "/apiVersion").starts_with("gateway.networking.k8s.io") => {
            route(object)
        }
        "ClusterPolicy" => {
            let state = text(object, "/status/state");
            (state != "ready").then(|| format!("is {}", if state.is_empty() { "not looked after" } else { state }))
        }
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => list(object, "/webhooks")
            .iter()
            .find(|hook| {
                hook.pointer("/clientConfig/service").is_some() && text(hook, "/clientConfig/caBundle").is_empty()
            })
            .map(|hook| format!("{} has no CA", text(hook, "/name"))),
        "LeaderWorkerSet" => needs(&["Available"]),
        _ => {
            let bad = |condition: &&Json| match condition["type"].as_str() {
                Some("Ready" | "Available" | "Reconciled") => condition["status"] == "False",
                Some("Degraded" | "Stalled" | "Error") => condition["status"] == "True",
                _ => false,
            };
            let found = list(object, "/status/conditions").iter().find(bad)?;
            Some(format!("{} is {}: {}", text(found, "/type"), text(found, "/status"), text(found, "/message")))
        }
    }
}

fn pod(pod: &Json) -> Option<String> {
    let phase = text(pod, "/status/phase");
    if is_true(pod, "Ready") || phase == "Succeeded" {
        return None;
    }
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let waits = statuses.iter().flat_map(|pointer| list(pod, pointer)).find_map(|status| {
        let reason = [text(status, "/state/waiting/reason"), text(status, "/state/terminated/reason")];
        let reason = reason.into_iter().find(|reason| !matches!(*reason, "" | "PodInitializing" | "Completed"))?;
        Some(format!("{}: {reason}", text(status, "/name")))
    });
    Some(waits.unwrap_or_else(|| match condition(pod, "/status/conditions", "PodScheduled") {
        Some(scheduled) if scheduled["status"] == "False" => "is not scheduled".to_owned(),
        _ => format!("is {} and not ready", if phase.is_empty() { "new" } else { phase }),
    }))
}

fn route(route: &Json) -> Option<String> {
    let parents = list(route, "/status/parents");
    if parents.is_empty() {
        return Some("no gateway has taken it".to_owned());
    }
    let mut conditions = parents.iter().flat_map(|parent| list(parent, "/conditions"));
    let bad = conditions.find(|condition| {
        matches!(condition["type"].as_str(), Some("Accepted" | "ResolvedRefs")) && condition["status"] == "False"
    })?;
    Some(format!("{} is False: {}", text(bad, "/type"), text(bad, "/message")))
}

/// The facts with their objects by kind, by uid, and by name.
pub struct View<'a> {
    /// All of them.
    pub facts: &'a Facts,
    kinds: BTreeMap<&'a str, Vec<&'a Json>>,
    uids: BTreeMap<&'a str, &'a Json>,
    names: BTreeMap<Subject, &'a Json>,
}

impl<'a> View<'a> {
    /// An index.
    pub fn new(facts: &'a Facts) -> Self {
        let mut view = View { facts, kinds: BTreeMap::new(), uids: BTreeMap::new(), names: BTreeMap::new() };
        for object in &facts.objects {
            view.kinds.entry(text(object, "/kind")).or_default().push(object);
            view.uids.insert(text(object, "/metadata/uid"), object);
            view.names.insert(Subject::object(object), object);
        }
        view
    }

    /// All objects of a kind.
    pub fn kind(&self, kind: &str) -> &[&'a Json] {
        self.kinds.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether any object of a kind was seen: without one, that one is missing says little.
    pub fn knows(&self, kind: &str) -> bool {
        self.kinds.contains_key(kind)
    }

    /// An object by its name.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&'a Json> {
        self.names.get(&Subject::new(kind, namespace, name)).copied()
    }

    /// What a sign is about, as it is.
    pub fn find(&self, subject: &Subject) -> Option<&'a Json> {
        self.names.get(subject).copied()
    }

    /// What an object is owned by.
    pub fn owner(&self, object: &Json) -> Option<&'a Json> {
        let owners = list(object, "/metadata/ownerReferences").iter();
        let mut found = owners.filter_map(|owner| self.uids.get(owner["uid"].as_str()?).copied());
        found.next()
    }

    /// What an object belongs to in the end: of a pod, its Deployment, or the service that made that.
    pub fn root(&self, object: &'a Json) -> &'a Json {
        let mut at = object;
        for _ in 0..8 {
            match self.owner(at) {
                Some(owner) => at = owner,
                None => break,
            }
        }
        at
    }

    /// Whether what is wrong with a pod matters: not where it is on its way out, or where what made it has all the pods
    /// that it wants.
    pub fn matters(&self, pod: &Json) -> bool {
        let keeps = |owner: &Json| {
            matches!(text(owner, "/kind"), "ReplicaSet" | "StatefulSet" | "DaemonSet") && trouble(owner).is_none()
        };
        !is_going(pod) && trouble(pod).is_some() && !self.owner(pod).is_some_and(keeps)
    }

    /// Whether nothing is wrong with what is there under that name.
    pub fn is_fine(&self, subject: &Subject) -> bool {
        self.find(subject).is_some_and(|object| trouble(object).is_none())
    }
}
