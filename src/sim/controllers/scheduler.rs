//! The scheduler: a node for every Pod that has none, or the reason why there is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::writes::Mood;
use super::{Controller, Key, Outcome, Surroundings, fields, kinds, placement, pods, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

const COMPONENT: &str = "default-scheduler";
const HARD: [&str; 2] = ["NoSchedule", "NoExecute"];
/// The annotation by which a volume that waits for its first consumer learns the node.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The default scheduler.
#[derive(Debug, Clone, Copy)]
pub struct Scheduler;

#[async_trait]
impl Controller for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Pod"), kinds::of("Node"), kinds::of("PersistentVolumeClaim")]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        let key = |pod: &Json| Key {
            gvk: kinds::of("Pod"),
            namespace: fields::namespace(pod).to_owned(),
            name: fields::name(pod).to_owned(),
        };
        if changed.gvk.kind == "Pod" {
            let placed = !fields::text(object, "/spec/nodeName").is_empty();
            if !placed {
                return vec![changed.clone()];
            }
            // A Pod that leaves makes room; others change nothing for those that wait.
            let now = api.get(&changed.gvk, &changed.namespace, &changed.name);
            if now.is_some_and(|now| !pods::has_ended(&now)) {
                return Vec::new();
            }
        }
        api.list(&kinds::of("Pod"), None).iter().filter(|pod| waits(pod)).map(|pod| key(pod)).collect()
    }

    fn parallel(&self) -> usize {
        // One Pod at a time, or two would get the same place.
        1
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(pod) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if !waits(&pod) {
            return Ok(Outcome::Done);
        }
        let gates = fields::list(&pod, "/spec/schedulingGates");
        if !gates.is_empty() {
            let message = "Scheduling is blocked due to non-empty scheduling gates";
            return refuse(around, &pod, "SchedulingGated", message, false).await;
        }
        let unbound = match claims(&**api, &pod) {
            Ok(unbound) => unbound,
            Err(message) => {
                let nodes = api.list(&kinds::of("Node"), None).len();
                let message = format!("0/{nodes} nodes are available: {message}. not found");
                return refuse(around, &pod, "Unschedulable", message.trim_end_matches(". not found"), true).await;
            }
        };
        let nodes = api.list(&kinds::of("Node"), None);
        let all = api.list(&kinds::of("Pod"), None);
        let mut by_node: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
        for other in &all {
            let node = fields::text(other, "/spec/nodeName");
            if !node.is_empty() {
                by_node.entry(node).or_default().push(other);
            }
        }
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut best: Option<(i128, Arc<Json>)> = None;
        let mut preemptable = 0;
        for node in &nodes {
            let there = by_node.get(fields::name(node)).map(Vec::as_slice).unwrap_or_default();
            let why = objections(&pod, node, there, &nodes, &by_node);
            if why.is_empty() {
                let score = score(&pod, node, there);
                if best.as_ref().is_none_or(|(known, _)| score > *known) {
                    best = Some((score, node.clone()));
                }
                continue;
            }
            if why.iter().any(|w| w.starts_with("Insufficient") || w == "Too many pods") {
                preemptable += 1;
            }
            for reason in why {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        let Some((_, node)) = best else {
            return refuse(around, &pod, "Unschedulable", &sentence(nodes.len(), &reasons, preemptable), true).await;
        };
        if !unbound.is_empty() {
            for claim in unbound {
                if fields::annotation(&claim, SELECTED_NODE).is_empty() {
                    let mut next = (*claim).clone();
                    next["metadata"]["annotations"][SELECTED_NODE] = json!(fields::name(&node));
                    api.update(next).await?;
                }
            }
            // The claim's binding wakes us.
            return Ok(Outcome::Done);
        }
        bind(around, &pod, fields::name(&node)).await
    }
}

/// Whether a Pod waits for this scheduler.
fn waits(pod: &Json) -> bool {
    let scheduler = fields::text(pod, "/spec/schedulerName");
    fields::text(pod, "/spec/nodeName").is_empty()
        && !fields::is_going(pod)
        && !pods::has_ended(pod)
        && matches!(scheduler, "" | "default-scheduler")
}

async fn bind(around: &Surroundings, pod: &Json, node: &str) -> Result<Outcome, Status> {
    let (namespace, name) = (fields::namespace(pod), fields::name(pod));
    let binding = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "uid": pod["metadata"]["uid"]},
        "target": {"kind": "Node", "name": node},
    });
    around.api.update_subresource("binding", binding).await?;
    let message = format!("Successfully assigned {namespace}/{name} to {node}");
    writes::event(around, pod, Mood::Normal, "Scheduled", &message, COMPONENT).await;
    Ok(Outcome::Done)
}

fn scheduled(pod: &mut Json, status: &str, reason: &str, message: &str, around: &Surroundings) {
    pods::set_condition(pod, "PodScheduled", status, reason, message, around.clock.now());
}

async fn refuse(around: &Surroundings, pod: &Json, reason: &str, message: &str, tell: bool) -> Result<Outcome, Status> {
    let known = fields::condition_entry(pod, "PodScheduled");
    let same = known.is_some_and(|c| fields::text(c, "/message") == message);
    if same {
        return Ok(Outcome::Done);
    }
    let mut next = pod.clone();
    scheduled(&mut next, "False", reason, message, around);
    if fields::text(&next, "/status/phase").is_empty() {
        next["status"]["phase"] = json!("Pending");
    }
    writes::status(&around.api, pod, next).await?;
    if tell {
        writes::event(around, pod, Mood::Warning, "FailedScheduling", message, COMPONENT).await;
    }
    Ok(Outcome::Done)
}

/// `0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: …`.
fn sentence(nodes: usize, reasons: &BTreeMap<String, usize>, preemptable: usize) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut parts: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    // The real text is sorted as strings, counts included.
    parts.sort();
    let helpless = nodes - preemptable;
    let mut after = Vec::new();
    if preemptable > 0 {
        after.push(format!("{preemptable} No preemption victims found for incoming pod"));
    }
    if helpless > 0 {
        after.push(format!("{helpless} Preemption is not helpful for scheduling"));
    }
    after.sort();
    let list = parts.join(", ");
    // Two plugins are asked what could be done, the one for claimed devices first.
    format!(
        "0/{nodes} nodes are available: {list}. no new claims to deallocate, preemption: 0/{nodes} nodes are available: \
         {}.",
        after.join(", ")
    )
}

/// Why a node does not do; the first failing filter of Kubernetes' order, resources all at once.
fn objections(
    pod: &Json,
    node: &Json,
    there: &[&Json],
    nodes: &[Arc<Json>],
    by_node: &BTreeMap<&str, Vec<&Json>>,
) -> Vec<String> {
    let tolerations = fields::list(pod, "/spec/tolerations");
    if fields::flag(node, "/spec/unschedulable") {
        let cordon = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
        if !tolerations.iter().any(|t| placement::tolerates(t, &cordon)) {
            return vec!["node(s) were unschedulable".to_owned()];
        }
    }
    if let Some(taint) = placement::untolerated(tolerations, node, &HARD) {
        let (key, value) = (fields::text(taint, "/key"), fields::text(taint, "/value"));
        return vec![format!("node(s) had untolerated taint {{{key}: {value}}}")];
    }
    if !placement::selects_node(&pod["spec"], node) {
        return vec!["node(s) didn't match Pod's node affinity/selector".to_owned()];
    }
    if clashing_ports(pod, there) {
        return vec!["node(s) didn't have free ports for the requested pod ports".to_owned()];
    }
    let lacking = placement::insufficient(pod, node, there.iter().copied());
    if !lacking.is_empty() {
        return lacking;
    }
    for (pointer, wanted, words) in [
        ("podAffinity", true, "node(s) didn't match pod affinity rules"),
        ("podAntiAffinity", false, "node(s) didn't match pod anti-affinity rules"),
    ] {
        let pointer = format!("/spec/affinity/{pointer}/requiredDuringSchedulingIgnoredDuringExecution");
        for term in fields::list(pod, &pointer) {
            if near(pod, term, node, nodes, by_node) != wanted {
                // The first of a group that wants to be near itself may start anywhere.
                let first = wanted
                    && fields::selects(&term["labelSelector"], fields::labels(pod))
                    && !anywhere(pod, term, by_node);
                if !first {
                    return vec![words.to_owned()];
                }
            }
        }
    }
    Vec::new()
}

fn chosen(pod: &Json, term: &Json, other: &Json) -> bool {
    let named = fields::list(term, "/namespaces");
    let namespace = if named.is_empty() && term.get("namespaceSelector").is_none() {
        fields::namespace(other) == fields::namespace(pod)
    } else {
        term.get("namespaceSelector").is_some() || named.iter().any(|n| n.as_str() == Some(fields::namespace(other)))
    };
    namespace && pods::is_active(other) && fields::selects(&term["labelSelector"], fields::labels(other))
}

fn anywhere(pod: &Json, term: &Json, by_node: &BTreeMap<&str, Vec<&Json>>) -> bool {
    by_node.values().flatten().any(|other| chosen(pod, term, other))
}

/// Whether a Pod that the term chooses runs in the node's topology domain.
fn near(pod: &Json, term: &Json, node: &Json, nodes: &[Arc<Json>], by_node: &BTreeMap<&str, Vec<&Json>>) -> bool {
    let domain = fields::text(term, "/topologyKey");
    let mine = fields::label(node, domain);
    let mut peers = nodes.iter().filter(|peer| !mine.is_empty() && fields::label(peer, domain) == mine);
    peers.any(|peer| by_node.get(fields::name(peer)).into_iter().flatten().any(|other| chosen(pod, term, other)))
}

fn clashing_ports(pod: &Json, there: &[&Json]) -> bool {
    let ports = |pod: &Json| -> Vec<(String, i64)> {
        let containers = fields::list(pod, "/spec/containers").iter();
        let all = containers.flat_map(|c| fields::list(c, "/ports"));
        all.filter_map(|p| {
            let port = fields::number(p, "/hostPort").filter(|port| *port > 0)?;
            let protocol = fields::text(p, "/protocol");
            Some((if protocol.is_empty() { "TCP" } else { protocol }.to_owned(), port))
        })
        .collect()
    };
    let mine = ports(pod);
    !mine.is_empty()
        && there
            .iter()
            .filter(|other| !pods::has_ended(other))
            .any(|other| ports(other).iter().any(|p| mine.contains(p)))
}

/// Spreads: the more of the node's processors and memory stays free the better, preferred affinity and soft
/// taints on top.
fn score(pod: &Json, node: &Json, there: &[&Json]) -> i128 {
    let whole = placement::allocatable(node);
    let mut free = whole.clone();
    for other in there.iter().filter(|other| !pods::has_ended(other)) {
        for (name, value) in placement::requests(other) {
            *free.entry(name).or_default() -= value;
        }
    }
    let share = |name: &str| {
        let all = whole.get(name).copied().unwrap_or_default().max(1);
        free.get(name).copied().unwrap_or_default() * 100 / all
    };
    let mut score = share("cpu") + share("memory");
    // Pods of one owner spread over nodes, as by the default topology constraints.
    let owner = |pod: &Json| fields::controller_of(pod).map(|owner| fields::text(owner, "/uid").to_owned());
    if let Some(mine) = owner(pod) {
        let siblings = there.iter().filter(|other| owner(other).as_ref() == Some(&mine)).count();
        score -= 100 * i128::try_from(siblings).unwrap_or_default();
    }
    let preferred = "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution";
    for term in fields::list(pod, preferred) {
        let labels = fields::labels(node);
        let label = |key: &str| labels.get(key).and_then(Json::as_str);
        if fields::list(term, "/preference/matchExpressions")
            .iter()
            .all(|e| fields::requirement(e, label(fields::text(e, "/key"))))
        {
            score += i128::from(fields::number(term, "/weight").unwrap_or_default());
        }
    }
    if placement::untolerated(fields::list(pod, "/spec/tolerations"), node, &["PreferNoSchedule"]).is_some() {
        score -= 200;
    }
    score
}

/// The Pod's claims that wait for it to choose a node.
///
/// # Errors
/// Why it cannot be placed at all: a claim that is missing, or not bound though it need not wait.
fn claims(api: &dyn Api, pod: &Json) -> Result<Vec<Arc<Json>>, String> {
    let mut waiting = Vec::new();
    for volume in fields::list(pod, "/spec/volumes") {
        let Some(name) = claim_name(pod, volume) else { continue };
        let Some(claim) = api.get(&kinds::of("PersistentVolumeClaim"), fields::namespace(pod), &name) else {
            if volume.get("ephemeral").is_some() {
                return Err(format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\""
                ));
            }
            return Err(format!("persistentvolumeclaim \"{name}\" not found"));
        };
        if fields::is_going(&claim) {
            return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        if fields::text(&claim, "/status/phase") == "Bound" {
            continue;
        }
        let class = api.get(&kinds::of("StorageClass"), "", fields::text(&claim, "/spec/storageClassName"));
        match class {
            Some(class) if fields::text(&class, "/volumeBindingMode") == "WaitForFirstConsumer" => waiting.push(claim),
            _ => return Err("pod has unbound immediate PersistentVolumeClaims".to_owned()),
        }
    }
    Ok(waiting)
}

/// The claim behind a volume, if there is one: named, or made for the Pod.
pub fn claim_name(pod: &Json, volume: &Json) -> Option<String> {
    if volume.get("ephemeral").is_some() {
        return Some(format!("{}-{}", fields::name(pod), fields::text(volume, "/name")));
    }
    volume.pointer("/persistentVolumeClaim/claimName").and_then(Json::as_str).map(str::to_owned)
}
