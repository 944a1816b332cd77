//! NetworkPolicies: who may connect to whom, as Dataplane V2 enforces them.
//!
//! A pod that no policy selects for a direction may do anything in it; one that some policy selects may do what any of
//! them allows. Probes come from the pod's own node and pass. Names of ports and address blocks other than those of
//! the outside world are not looked at.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::sim::controllers::addons::objects::{core, list, namespace, number, selects, text};
use crate::sim::kube::api::{Api, Gvk};

/// The other end of a connection.
#[derive(Clone, Copy)]
enum Peer<'a> {
    Pod(&'a Json),
    /// Some host that is no pod.
    Outside,
}

fn policies(api: &dyn Api, pod: &Json, direction: &str) -> Vec<Arc<Json>> {
    let labels = pod.pointer("/metadata/labels").unwrap_or(&Json::Null);
    let applies = |policy: &Arc<Json>| {
        let types = list(policy, "/spec/policyTypes");
        // Without types a policy is about what comes in, and about what goes out where it says something of it.
        let by_type = match types {
            [] => direction == "Ingress" || policy.pointer("/spec/egress").is_some(),
            types => types.iter().any(|kind| kind == direction),
        };
        by_type && selects(policy.pointer("/spec/podSelector").unwrap_or(&Json::Null), labels)
    };
    let all = api.list(&Gvk::new("networking.k8s.io", "v1", "NetworkPolicy"), Some(namespace(pod)));
    all.into_iter().filter(applies).collect()
}

fn meant(api: &dyn Api, home: &str, peer: &Json, other: Peer<'_>) -> bool {
    if let Some(block) = peer.get("ipBlock") {
        return matches!(other, Peer::Outside) && text(block, "/cidr").ends_with("/0");
    }
    let Peer::Pod(pod) = other else { return false };
    let space = match peer.get("namespaceSelector") {
        None => namespace(pod) == home,
        Some(selector) => api
            .get(&core("Namespace"), "", namespace(pod))
            .is_some_and(|space| selects(selector, space.pointer("/metadata/labels").unwrap_or(&Json::Null))),
    };
    let labels = pod.pointer("/metadata/labels").unwrap_or(&Json::Null);
    space && peer.get("podSelector").is_none_or(|selector| selects(selector, labels))
}

fn allowed(api: &dyn Api, pod: &Json, direction: &str, other: Peer<'_>, port: i64) -> bool {
    let (rules, peers) = if direction == "Ingress" { ("/spec/ingress", "/from") } else { ("/spec/egress", "/to") };
    let all = policies(api, pod, direction);
    all.is_empty()
        || all.iter().any(|policy| {
            list(policy, rules).iter().any(|rule| {
                let ports = list(rule, "/ports");
                let by_port = ports.is_empty()
                    || ports.iter().any(|entry| {
                        let first = number(entry, "/port");
                        let last = number(entry, "/endPort").or(first);
                        first.is_none_or(|first| first <= port && last.is_none_or(|last| port <= last))
                            && matches!(text(entry, "/protocol"), "" | "TCP")
                    });
                let peers = list(rule, peers);
                by_port && (peers.is_empty() || peers.iter().any(|peer| meant(api, namespace(pod), peer, other)))
            })
        })
}

/// Whether a pod may connect to a port of another.
pub fn connects(api: &dyn Api, from: &Json, to: &Json, port: i64) -> bool {
    allowed(api, from, "Egress", Peer::Pod(to), port) && allowed(api, to, "Ingress", Peer::Pod(from), port)
}

/// Whether a pod may connect to a port of hosts that are no pods: the API server, the internet.
pub fn reaches_outside(api: &dyn Api, pod: &Json, port: i64) -> bool {
    allowed(api, pod, "Egress", Peer::Outside, port)
}
