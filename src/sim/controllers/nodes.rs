//! Nodes: from registration to Ready, lost and gone nodes, and what becomes of their Pods.
//!
//! Node objects are created and removed by the cloud around the cluster.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::faults::Faults;
use super::writes::Mood;
use super::{Controller, Key, Outcome, Surroundings, durations, fields, kinds, placement, pods, writes};
use crate::env::clock::Timestamp;
use crate::sim::kube::api::{Api, Gvk, Status};

const COMPONENT: &str = "node-controller";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const CORDONED: &str = "node.kubernetes.io/unschedulable";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// What kubelets say of their nodes, and the node controller of those that say nothing.
pub struct Nodes {
    /// Which nodes are lost.
    pub faults: Arc<dyn Faults>,
}

#[async_trait]
impl Controller for Nodes {
    fn name(&self) -> &'static str {
        "nodes"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Node")]
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let Some(node) = around.api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        let now = around.clock.now();
        let born = fields::time(&node, "/metadata/creationTimestamp").unwrap_or(now);
        let age = now.since(born);
        let state = if self.faults.node_lost(&key.name) {
            "Unknown"
        } else if age < durations::NODE_READY {
            "False"
        } else {
            "True"
        };
        let mut next = (*node).clone();
        conditions(&mut next, state, now);
        // The kubelet's words, or the node controller's where it has none.
        let writer = if state == "Unknown" { around.api.clone() } else { around.api.managing("kubelet") };
        writes::status(&writer, &node, next).await?;
        if state == "True" {
            lease(around, &node, now).await?;
        }
        if fields::condition(&node, "Ready") != state && state == "True" {
            let message = format!("Node {} status is now: NodeReady", key.name);
            writes::event(around, &node, Mood::Normal, "NodeReady", &message, "kubelet").await;
        }
        if state == "Unknown" {
            return Ok(Outcome::After(durations::NODE_MONITOR));
        }
        if state == "False" {
            return Ok(Outcome::After(durations::NODE_READY.saturating_sub(age)));
        }
        Ok(Outcome::Done)
    }
}

/// The kubelet's lease, by which it is known to live. It is not renewed: simulated kubelets do not stop unseen.
async fn lease(around: &Surroundings, node: &Json, now: Timestamp) -> Result<(), Status> {
    const NAMESPACE: &str = "kube-node-lease";
    let (gvk, name) = (kinds::of("Lease"), fields::name(node));
    let there = around.api.get(&gvk, NAMESPACE, name).is_some();
    if there || around.api.get(&kinds::of("Namespace"), "", NAMESPACE).is_none() {
        return Ok(());
    }
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name, "namespace": NAMESPACE,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": fields::uid(node)}],
        },
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now.rfc3339_micros()},
    });
    writes::create_missing(&around.api.managing("kubelet"), lease).await
}

/// Marks nodes that are not to be used: not ready, not heard of, or cordoned.
#[derive(Debug, Clone, Copy)]
pub struct Taints;

#[async_trait]
impl Controller for Taints {
    fn name(&self) -> &'static str {
        "node-taints"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Node")]
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let Some(node) = around.api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        let mut next = (*node).clone();
        taints(&mut next, fields::condition(&node, "Ready"), around.clock.now());
        writes::object(&around.api, &node, next).await?;
        Ok(Outcome::Done)
    }
}

fn conditions(node: &mut Json, state: &str, now: Timestamp) {
    let mut put = |kind: &str, status: &str, reason: &str, message: &str| {
        let at = now.rfc3339();
        let entry = json!({
            "type": kind, "status": status, "lastHeartbeatTime": at, "lastTransitionTime": at,
            "reason": reason, "message": message,
        });
        fields::put_condition(node, entry);
    };
    if state == "Unknown" {
        for kind in ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"] {
            put(kind, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.");
        }
        return;
    }
    put("NetworkUnavailable", "False", "RouteCreated", "NodeController create implicit route");
    put("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available");
    put("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure");
    put("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available");
    if state == "True" {
        put("Ready", "True", "KubeletReady", "kubelet is posting ready status");
    } else {
        let message = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                       message:Network plugin returns error: cni plugin not initialized";
        put("Ready", "False", "KubeletNotReady", message);
    }
}

fn taints(node: &mut Json, state: &str, now: Timestamp) {
    let mut all = fields::list(node, "/spec/taints").to_vec();
    let wanted = match state {
        "True" => None,
        "Unknown" => Some(UNREACHABLE),
        _ => Some(NOT_READY),
    };
    let cordoned = fields::flag(node, "/spec/unschedulable");
    all.retain(|taint| match fields::text(taint, "/key") {
        key @ (NOT_READY | UNREACHABLE) => Some(key) == wanted,
        CORDONED => cordoned,
        _ => true,
    });
    if cordoned && !all.iter().any(|taint| fields::text(taint, "/key") == CORDONED) {
        all.push(json!({"key": CORDONED, "effect": "NoSchedule", "timeAdded": now.rfc3339()}));
    }
    if let Some(key) = wanted {
        for effect in ["NoSchedule", "NoExecute"] {
            // A node that has only just registered evicts nobody.
            if effect == "NoExecute" && state == "False" {
                continue;
            }
            if !all.iter().any(|taint| fields::text(taint, "/key") == key && fields::text(taint, "/effect") == effect) {
                let mut taint = json!({"key": key, "effect": effect});
                if effect == "NoExecute" {
                    taint["timeAdded"] = json!(now.rfc3339());
                }
                all.push(taint);
            }
        }
    }
    if all.is_empty() {
        if let Some(spec) = node.get_mut("spec").and_then(Json::as_object_mut) {
            spec.shift_remove("taints");
        }
    } else {
        node["spec"]["taints"] = json!(all);
    }
}

/// Removes Pods whose node is gone, and evicts those that do not tolerate a NoExecute taint.
#[derive(Debug, Clone, Copy)]
pub struct Eviction;

#[async_trait]
impl Controller for Eviction {
    fn name(&self) -> &'static str {
        "eviction"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Node"), kinds::of("Pod")]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        let node = if changed.gvk.kind == "Node" {
            let known = api.get(&changed.gvk, "", &changed.name);
            let troubled = known.is_none_or(|node| {
                fields::list(&node, "/spec/taints").iter().any(|taint| fields::text(taint, "/effect") == "NoExecute")
            });
            if !troubled {
                return Vec::new();
            }
            changed.name.clone()
        } else {
            // A Pod concerns us when it is put on a node that is gone or troubled.
            return if fields::text(object, "/spec/nodeName").is_empty() { Vec::new() } else { vec![changed.clone()] };
        };
        let all = api.list(&kinds::of("Pod"), None);
        let mine = all.iter().filter(|pod| fields::text(pod, "/spec/nodeName") == node);
        mine.map(|pod| super::runner::key_of(kinds::of("Pod"), pod)).collect()
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(pod) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let name = fields::text(&pod, "/spec/nodeName");
        if name.is_empty() {
            return Ok(Outcome::Done);
        }
        let Some(node) = api.get(&kinds::of("Node"), "", name) else {
            writes::delete(api, &pod, Some(0)).await?;
            return Ok(Outcome::Done);
        };
        if fields::is_going(&pod) || pods::has_ended(&pod) {
            return Ok(Outcome::Done);
        }
        let now = around.clock.now();
        let mut wait: Option<Duration> = None;
        for taint in fields::list(&node, "/spec/taints") {
            if fields::text(taint, "/effect") != "NoExecute" {
                continue;
            }
            let tolerations = fields::list(&pod, "/spec/tolerations");
            let matching: Vec<_> = tolerations.iter().filter(|t| placement::tolerates(t, taint)).collect();
            let seconds = matching.iter().filter_map(|t| fields::number(t, "/tolerationSeconds")).min();
            let since = fields::time(taint, "/timeAdded").unwrap_or(now);
            let left = match (matching.is_empty(), seconds) {
                (true, _) => Duration::ZERO,
                (false, None) => continue,
                (false, Some(seconds)) => {
                    Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).saturating_sub(now.since(since))
                }
            };
            wait = Some(wait.map_or(left, |known| known.min(left)));
        }
        match wait {
            Some(Duration::ZERO) => {
                let message = format!("Marking for deletion Pod {}/{}", key.namespace, key.name);
                writes::event(around, &pod, Mood::Normal, "TaintManagerEviction", &message, COMPONENT).await;
                writes::delete(api, &pod, None).await?;
                Ok(Outcome::Done)
            }
            Some(left) => Ok(Outcome::After(left)),
            None => Ok(Outcome::Done),
        }
    }
}
