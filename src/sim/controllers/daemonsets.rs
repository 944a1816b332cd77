//! DaemonSets: one Pod on every node that wants one.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{Controller, Key, Outcome, Surroundings, fields, kinds, placement, pods, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

const COMPONENT: &str = "daemonset-controller";
const HASH: &str = "controller-revision-hash";

/// The DaemonSet controller.
#[derive(Debug, Clone, Copy)]
pub struct DaemonSets;

#[async_trait]
impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemonsets"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("DaemonSet"), kinds::of("Pod"), kinds::of("Node")]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind == "Node" {
            let gvk = kinds::of("DaemonSet");
            return api.list(&gvk, None).iter().map(|set| super::runner::key_of(gvk.clone(), set)).collect();
        }
        pods::owner_keys("DaemonSet", changed, object)
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(set) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if fields::is_going(&set) {
            return Ok(Outcome::Done);
        }
        let hash = pods::template_hash(&set["spec"]["template"]);
        let nodes = api.list(&kinds::of("Node"), None);
        let wanted: Vec<_> =
            nodes.iter().filter(|node| wants(&set, node)).map(|n| fields::name(n).to_owned()).collect();
        let mut by_node: BTreeMap<String, Vec<Arc<Json>>> = BTreeMap::new();
        for pod in pods::controlled(&**api, &set) {
            by_node.entry(target(&pod)).or_default().push(pod);
        }
        let mut failure = None;
        for node in &wanted {
            let there = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
            for ended in there.iter().filter(|pod| pods::has_ended(pod) && !fields::is_going(pod)) {
                pods::delete(around, &set, ended, COMPONENT).await?;
            }
            if there.is_empty() && failure.is_none() {
                let pod = pod_for(around, &set, node, &hash);
                let prefix = format!("{}-", key.name);
                failure = pods::create(around, &set, pod, &prefix, COMPONENT).await.err();
            }
        }
        for (node, there) in &by_node {
            let surplus = if wanted.contains(node) { 1 } else { 0 };
            let active: Vec<_> = there.iter().filter(|pod| pods::is_active(pod)).collect();
            for pod in active.into_iter().skip(surplus) {
                pods::delete(around, &set, pod, COMPONENT).await?;
            }
        }
        roll(around, &set, &hash, wanted.len()).await?;
        let after = observe(around, key, &hash, &wanted).await?;
        match failure {
            Some(failure) => Err(failure),
            None => Ok(after),
        }
    }
}

/// Whether a node should run the set's Pod.
fn wants(set: &Json, node: &Json) -> bool {
    let spec = &set["spec"]["template"]["spec"];
    placement::selects_node(spec, node)
        && placement::untolerated(&tolerations(spec), node, &["NoSchedule", "NoExecute"]).is_none()
}

/// A daemon's own tolerations and those that every daemon gets.
fn tolerations(spec: &Json) -> Vec<Json> {
    let mut all = fields::list(spec, "/tolerations").to_vec();
    let mut add = |key: &str, effect: &str| {
        all.push(json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect}));
    };
    add("not-ready", "NoExecute");
    add("unreachable", "NoExecute");
    for key in ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"] {
        add(key, "NoSchedule");
    }
    if fields::flag(spec, "/hostNetwork") {
        add("network-unavailable", "NoSchedule");
    }
    all
}

const NODE_TERMS: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";

/// The node that a daemon's Pod is meant for.
fn target(pod: &Json) -> String {
    let placed = fields::text(pod, "/spec/nodeName");
    if placed.is_empty() { fields::text(pod, NODE_TERMS).to_owned() } else { placed.to_owned() }
}

fn pod_for(around: &Surroundings, set: &Json, node: &str, hash: &str) -> Json {
    let prefix = format!("{}-", fields::name(set));
    let seed = format!("{}/{node}", fields::uid(set));
    let name = pods::fresh_names(around, fields::namespace(set), &prefix, &seed, 1).remove(0);
    let mut pod = pods::from_template(set, &set["spec"]["template"], &name);
    pod["metadata"]["labels"][HASH] = json!(hash);
    pod["spec"]["tolerations"] = json!(tolerations(&set["spec"]["template"]["spec"]));
    // Replaces the template's own node terms, which were checked already.
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}],
    });
    pod
}

/// Replaces Pods of an older template, as many at a time as may be missing.
async fn roll(around: &Surroundings, set: &Json, hash: &str, wanted: usize) -> Result<(), Status> {
    if fields::text(set, "/spec/updateStrategy/type") == "OnDelete" {
        return Ok(());
    }
    let limit = match set.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable") {
        Some(Json::Number(number)) => number.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
        Some(Json::String(text)) => {
            let percent: usize = text.trim_end_matches('%').parse().unwrap_or(0);
            (wanted * percent).div_ceil(100)
        }
        _ => 1,
    };
    let mine = pods::controlled(&*around.api, set);
    let serving = mine.iter().filter(|pod| pods::is_active(pod) && pods::is_ready(pod)).count();
    let mut budget = (serving + limit).saturating_sub(wanted);
    for pod in mine.iter().filter(|pod| pods::is_active(pod) && fields::label(pod, HASH) != hash) {
        // One that serves nobody costs nothing to replace.
        if pods::is_ready(pod) {
            if budget == 0 {
                continue;
            }
            budget -= 1;
        }
        pods::delete(around, set, pod, COMPONENT).await?;
    }
    Ok(())
}

async fn observe(around: &Surroundings, key: &Key, hash: &str, wanted: &[String]) -> Result<Outcome, Status> {
    let api = &around.api;
    let Some(set) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
    let now = around.clock.now();
    let least = pods::least_ready(&set);
    let (mut current, mut stray, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0);
    let mut soonest = None;
    let mut seen = Vec::new();
    for pod in pods::controlled(&**api, &set) {
        if fields::is_going(&pod) || seen.contains(&target(&pod)) {
            continue;
        }
        seen.push(target(&pod));
        if !wanted.contains(&target(&pod)) {
            stray += 1;
            continue;
        }
        current += 1;
        ready += usize::from(pods::is_ready(&pod));
        updated += usize::from(fields::label(&pod, HASH) == hash);
        match pods::availability(&pod, least, now) {
            Ok(()) => available += 1,
            Err(Some(wait)) => soonest = Some(soonest.map_or(wait, |known: std::time::Duration| known.min(wait))),
            Err(None) => {}
        }
    }
    let mut next = (*set).clone();
    next["status"]["currentNumberScheduled"] = json!(current);
    next["status"]["numberMisscheduled"] = json!(stray);
    next["status"]["desiredNumberScheduled"] = json!(wanted.len());
    next["status"]["numberReady"] = json!(ready);
    next["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
    for (field, count) in [
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", wanted.len().saturating_sub(available)),
    ] {
        match next["status"].as_object_mut() {
            Some(status) if count == 0 => drop(status.shift_remove(field)),
            _ => next["status"][field] = json!(count),
        }
    }
    writes::status(api, &set, next).await?;
    Ok(soonest.map_or(Outcome::Done, Outcome::After))
}
