//! Deployments: a ReplicaSet per template, rolled over within the limits of the strategy.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::replicasets::drop_condition;
use super::writes::Mood;
use super::{Controller, Key, Outcome, Surroundings, fields, kinds, pods, writes};
use crate::env::clock::Timestamp;
use crate::sim::kube::api::{Api, Gvk, Status};

const COMPONENT: &str = "deployment-controller";
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The Deployment controller.
#[derive(Debug, Clone, Copy)]
pub struct Deployments;

#[async_trait]
impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployments"
    }

    fn watches(&self) -> Vec<Gvk> {
        // Pods, because Recreate waits until the old ones are gone for good.
        vec![kinds::of("Deployment"), kinds::of("ReplicaSet"), kinds::of("Pod")]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind != "Pod" {
            return pods::owner_keys("Deployment", changed, object);
        }
        if !fields::is_going(object) {
            return Vec::new();
        }
        let set = fields::controller_of(object).and_then(|r| fields::key_of_owner(r, &changed.namespace));
        let set = set.filter(|key| key.gvk.kind == "ReplicaSet");
        let set = set.and_then(|key| Some((api.get(&key.gvk, &key.namespace, &key.name)?, key)));
        set.map(|(set, key)| pods::owner_keys("Deployment", &key, &set)).unwrap_or_default()
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let Some(deployment) = around.api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if fields::is_going(&deployment) {
            return Ok(Outcome::Done);
        }
        let wanted = fields::number(&deployment, "/spec/replicas").unwrap_or(1);
        let sets = owned(&*around.api, &deployment);
        let current = sets.iter().find(|set| same_template(&deployment, set)).cloned();
        let old: Vec<_> = sets.iter().filter(|set| !same_template(&deployment, set)).cloned().collect();
        let paused = fields::flag(&deployment, "/spec/paused");
        let recreate = fields::text(&deployment, "/spec/strategy/type") == "Recreate";
        if !paused {
            if recreate {
                recreate_step(around, &deployment, current.as_ref(), &old, wanted).await?;
            } else {
                rolling_step(around, &deployment, current.as_ref(), &old, wanted).await?;
            }
            prune(around, &deployment, &old).await?;
            if current.is_none() && owned(&*around.api, &deployment).iter().any(|set| same_template(&deployment, set)) {
                // The new ReplicaSet is noted; it wakes us for the rest.
                return Ok(Outcome::Done);
            }
        } else if let Some(current) = &current {
            scale(around, &deployment, current, wanted).await?;
        }
        observe(around, key).await
    }
}

/// ReplicaSets that a Deployment controls, oldest first.
fn owned(api: &dyn Api, deployment: &Json) -> Vec<Arc<Json>> {
    let mut sets = api.list(&kinds::of("ReplicaSet"), Some(fields::namespace(deployment)));
    sets.retain(|set| fields::is_controlled_by(set, deployment) && !fields::is_going(set));
    sets.sort_by_key(|set| revision(set));
    sets
}

fn revision(object: &Json) -> i64 {
    fields::annotation(object, REVISION).parse().unwrap_or_default()
}

fn same_template(deployment: &Json, set: &Json) -> bool {
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Json::as_object_mut) {
        labels.shift_remove(HASH);
        if labels.is_empty()
            && let Some(metadata) = template.get_mut("metadata").and_then(Json::as_object_mut)
        {
            metadata.shift_remove("labels");
        }
    }
    pods::canonical(&without_nulls(&template)) == pods::canonical(&without_nulls(&deployment["spec"]["template"]))
}

/// Drops null fields and empty metadata that some writers send (`creationTimestamp: null`).
fn without_nulls(template: &Json) -> Json {
    match template {
        Json::Object(map) => {
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect()
        }
        Json::Array(all) => all.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

async fn new_set(around: &Surroundings, deployment: &Json, old: &[Arc<Json>], replicas: i64) -> Result<(), Status> {
    let template = &deployment["spec"]["template"];
    let mut number = old.iter().map(|set| revision(set)).max().unwrap_or_default();
    number += 1;
    // The same template may come back after its ReplicaSet was pruned while a stranger holds the name.
    let mut hash = pods::template_hash(template);
    let namespace = fields::namespace(deployment);
    let taken = |hash: &str| format!("{}-{hash}", fields::name(deployment));
    while let Some(other) = around.api.get(&kinds::of("ReplicaSet"), namespace, &taken(&hash)) {
        if fields::is_controlled_by(&other, deployment) && !fields::is_going(&other) {
            return Ok(());
        }
        hash = fields::hash(&hash);
    }
    let mut template = template.clone();
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = json!(hash);
    let mut annotations = deployment["metadata"]["annotations"].clone();
    if let Some(all) = annotations.as_object_mut() {
        all.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    annotations[REVISION] = json!(number.to_string());
    let wanted = fields::number(deployment, "/spec/replicas").unwrap_or(1);
    let surge =
        if fields::text(deployment, "/spec/strategy/type") == "Recreate" { 0 } else { slack(deployment, wanted).0 };
    annotations["deployment.kubernetes.io/desired-replicas"] = json!(wanted.to_string());
    annotations["deployment.kubernetes.io/max-replicas"] = json!((wanted + surge).to_string());
    let mut spec = json!({"replicas": replicas, "selector": selector, "template": template});
    if let Some(least) = deployment["spec"].get("minReadySeconds") {
        spec["minReadySeconds"] = least.clone();
    }
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", fields::name(deployment)), "namespace": namespace,
            "labels": template["metadata"]["labels"], "annotations": annotations,
            "ownerReferences": [fields::owner_reference(deployment)],
        },
        "spec": spec,
    });
    let name = fields::name(&set).to_owned();
    around.api.create(set).await?;
    told(around, deployment, &name, "up", 0, replicas).await;
    announce(around, deployment, &name, number).await
}

/// Notes a new ReplicaSet on its Deployment: the revision, and that it moves.
async fn announce(around: &Surroundings, deployment: &Json, set: &str, number: i64) -> Result<(), Status> {
    let Some(read) = around.api.get(&kinds::of("Deployment"), fields::namespace(deployment), fields::name(deployment))
    else {
        return Ok(());
    };
    let mut next = (*read).clone();
    next["metadata"]["annotations"][REVISION] = json!(number.to_string());
    let message = format!("Created new replica set \"{set}\"");
    condition(&mut next, "Progressing", "True", "NewReplicaSetCreated", &message, around.clock.now());
    around.api.update_status(next).await.map(|_| ())
}

async fn told(around: &Surroundings, deployment: &Json, set: &str, way: &str, from: i64, to: i64) {
    let message = format!("Scaled {way} replica set {set} from {from} to {to}");
    writes::event(around, deployment, Mood::Normal, "ScalingReplicaSet", &message, COMPONENT).await;
}

fn size(set: &Json) -> i64 {
    fields::number(set, "/spec/replicas").unwrap_or(1)
}

async fn scale(around: &Surroundings, deployment: &Json, set: &Json, to: i64) -> Result<(), Status> {
    let from = size(set);
    if from == to {
        return Ok(());
    }
    let mut next = set.clone();
    next["spec"]["replicas"] = json!(to);
    around.api.update(next).await?;
    let way = if to > from { "up" } else { "down" };
    told(around, deployment, fields::name(set), way, from, to).await;
    Ok(())
}

async fn recreate_step(
    around: &Surroundings,
    deployment: &Json,
    current: Option<&Arc<Json>>,
    old: &[Arc<Json>],
    wanted: i64,
) -> Result<(), Status> {
    for set in old {
        scale(around, deployment, set, 0).await?;
    }
    // Not one new Pod before the last old one has left, terminating ones included.
    let lingering = old.iter().any(|set| pods::controlled(&*around.api, set).iter().any(|pod| !pods::has_ended(pod)));
    if lingering {
        return Ok(());
    }
    match current {
        Some(set) => scale(around, deployment, set, wanted).await,
        None => new_set(around, deployment, old, wanted).await,
    }
}

/// A count or a percentage of the wanted replicas, rounded up or down.
fn share(value: Option<&Json>, wanted: i64, up: bool) -> i64 {
    match value {
        Some(Json::Number(number)) => number.as_i64().unwrap_or_default(),
        Some(Json::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(25);
            if up { (wanted * percent + 99) / 100 } else { wanted * percent / 100 }
        }
        _ if up => (wanted * 25 + 99) / 100,
        _ => wanted * 25 / 100,
    }
}

/// How many Pods more than wanted, and how many fewer, a rolling update may have.
fn slack(deployment: &Json, wanted: i64) -> (i64, i64) {
    let surge = share(deployment.pointer("/spec/strategy/rollingUpdate/maxSurge"), wanted, true);
    let missing = share(deployment.pointer("/spec/strategy/rollingUpdate/maxUnavailable"), wanted, false);
    // Both zero would never move.
    (surge, if surge == 0 && missing == 0 { 1 } else { missing })
}

async fn rolling_step(
    around: &Surroundings,
    deployment: &Json,
    current: Option<&Arc<Json>>,
    old: &[Arc<Json>],
    wanted: i64,
) -> Result<(), Status> {
    let (surge, missing) = slack(deployment, wanted);
    let others: i64 = old.iter().map(|set| size(set)).sum();
    let Some(current) = current else {
        let room = (wanted + surge - others).clamp(0, wanted);
        return new_set(around, deployment, old, room).await;
    };
    if others == 0 {
        return scale(around, deployment, current, wanted).await;
    }
    if size(current) > wanted {
        return scale(around, deployment, current, wanted).await;
    }
    let room = (wanted + surge - others - size(current)).clamp(0, wanted - size(current));
    if room > 0 {
        return scale(around, deployment, current, size(current) + room).await;
    }
    let available = |set: &Json| fields::number(set, "/status/availableReplicas").unwrap_or_default();
    let least = wanted - missing;
    let new_unavailable = size(current) - available(current);
    let mut budget = others + size(current) - least - new_unavailable;
    // Old Pods that serve nobody go first and cost nothing.
    for set in old {
        if budget <= 0 {
            return Ok(());
        }
        let dead = (size(set) - available(set)).min(budget);
        if dead > 0 {
            scale(around, deployment, set, size(set) - dead).await?;
            budget -= dead;
        }
    }
    let serving: i64 = old.iter().map(|set| available(set)).sum::<i64>() + available(current);
    let mut spare = serving - least;
    for set in old {
        let Some(set) = around.api.get(&kinds::of("ReplicaSet"), fields::namespace(set), fields::name(set)) else {
            continue;
        };
        let fewer = spare.min(size(&set));
        if fewer > 0 {
            scale(around, deployment, &set, size(&set) - fewer).await?;
            spare -= fewer;
        }
    }
    Ok(())
}

/// Removes empty old ReplicaSets beyond the history limit.
async fn prune(around: &Surroundings, deployment: &Json, old: &[Arc<Json>]) -> Result<(), Status> {
    let limit = fields::number(deployment, "/spec/revisionHistoryLimit").unwrap_or(10);
    let idle: Vec<_> = old
        .iter()
        .filter(|set| size(set) == 0 && fields::number(set, "/status/replicas").unwrap_or_default() == 0)
        .collect();
    let surplus = idle.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
    for set in idle.into_iter().take(surplus) {
        writes::delete(&around.api, set, None).await?;
    }
    Ok(())
}

/// Writes the status from what is there.
async fn observe(around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
    let api = &around.api;
    let Some(deployment) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
    let now = around.clock.now();
    let sets = owned(&**api, &deployment);
    let current = sets.iter().find(|set| same_template(&deployment, set));
    let total = |field: &str| -> i64 {
        sets.iter().map(|set| fields::number(set, &format!("/status/{field}")).unwrap_or_default()).sum()
    };
    let (replicas, ready, available) = (total("replicas"), total("readyReplicas"), total("availableReplicas"));
    let updated = current.and_then(|set| fields::number(set, "/status/replicas")).unwrap_or_default();
    let wanted = fields::number(&deployment, "/spec/replicas").unwrap_or(1);
    let mut next = (*deployment).clone();
    next["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
    let counts = [
        ("replicas", replicas),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", available),
        ("unavailableReplicas", (wanted.max(replicas) - available).max(0)),
    ];
    for (field, count) in counts {
        match next["status"].as_object_mut() {
            Some(status) if count == 0 => drop(status.shift_remove(field)),
            _ => next["status"][field] = json!(count),
        }
    }
    let (_, missing) = slack(&deployment, wanted);
    let enough =
        available >= wanted - if fields::text(&deployment, "/spec/strategy/type") == "Recreate" { 0 } else { missing };
    if enough {
        condition(
            &mut next,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
            now,
        );
    } else {
        let message = "Deployment does not have minimum availability.";
        condition(&mut next, "Available", "False", "MinimumReplicasUnavailable", message, now);
    }
    match current.and_then(|set| fields::condition_entry(set, "ReplicaFailure")) {
        Some(failure) => {
            let (reason, message) = (fields::text(failure, "/reason"), fields::text(failure, "/message"));
            condition(&mut next, "ReplicaFailure", "True", reason, message, now);
        }
        None => drop_condition(&mut next, "ReplicaFailure"),
    }
    let complete = updated == wanted && replicas == wanted && available == wanted && wanted >= 0;
    let after = progress(&mut next, &deployment, current, complete, now);
    if let Some(set) = current
        && fields::annotation(&deployment, REVISION) != fields::annotation(set, REVISION)
    {
        if sets.iter().any(|other| revision(other) > revision(set)) {
            // Rolled back to an earlier template: its ReplicaSet becomes the newest revision.
            let mut set = (**set).clone();
            let newest = sets.iter().map(|other| revision(other)).max().unwrap_or_default();
            set["metadata"]["annotations"][REVISION] = json!((newest + 1).to_string());
            api.update(set).await?;
            return Ok(Outcome::After(Duration::from_millis(1)));
        }
        // The revision is written with the status: whoever owns the spec is not disturbed.
        next["metadata"]["annotations"][REVISION] = json!(fields::annotation(set, REVISION));
        api.update_status(next).await?;
        return Ok(after.map_or(Outcome::Done, Outcome::After));
    }
    writes::status(api, &deployment, next).await?;
    Ok(after.map_or(Outcome::Done, Outcome::After))
}

/// Sets the Progressing condition; says when the deadline has to be looked at.
fn progress(
    next: &mut Json,
    before: &Json,
    current: Option<&Arc<Json>>,
    complete: bool,
    now: Timestamp,
) -> Option<Duration> {
    let deadline = fields::number(before, "/spec/progressDeadlineSeconds").unwrap_or(600);
    let deadline = Duration::from_secs(u64::try_from(deadline).unwrap_or(600));
    let name = current.map(|set| fields::name(set).to_owned()).unwrap_or_default();
    let old = fields::condition_entry(before, "Progressing").cloned();
    if complete {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        condition(next, "Progressing", "True", "NewReplicaSetAvailable", &message, now);
        return None;
    }
    let counts = |object: &Json| {
        ["updatedReplicas", "readyReplicas", "availableReplicas", "replicas"]
            .map(|field| fields::number(object, &format!("/status/{field}")).unwrap_or_default())
    };
    let (was, is) = (counts(before), counts(next));
    let mentioned = old.as_ref().is_some_and(|old| fields::text(old, "/message").contains(&format!("\"{name}\"")));
    // Progress is a new ReplicaSet, more updated, ready or available Pods, or fewer old ones.
    let moved = old.is_none()
        || (!mentioned && current.is_some())
        || is[0] > was[0]
        || is[1] > was[1]
        || is[2] > was[2]
        || is[3] - is[0] < was[3] - was[0];
    let stale = old.as_ref().is_some_and(|old| fields::text(old, "/reason") == "NewReplicaSetAvailable");
    if moved || (stale && is[0] < fields::number(before, "/spec/replicas").unwrap_or(1)) {
        let (reason, words) =
            if is[0] == 0 { ("NewReplicaSetCreated", "Created new replica set") } else { ("ReplicaSetUpdated", "") };
        let message = match reason {
            "NewReplicaSetCreated" => format!("{words} \"{name}\""),
            _ => format!("ReplicaSet \"{name}\" is progressing."),
        };
        condition(next, "Progressing", "True", reason, &message, now);
        // The clock of the deadline starts again.
        if let Some(entry) = next.pointer_mut("/status/conditions").and_then(Json::as_array_mut)
            && let Some(entry) = entry.iter_mut().find(|entry| fields::text(entry, "/type") == "Progressing")
        {
            entry["lastUpdateTime"] = json!(now.rfc3339());
        }
        return Some(deadline);
    }
    let old = old?;
    if fields::text(&old, "/reason") == "ProgressDeadlineExceeded" || stale {
        return None;
    }
    let since = fields::time(&old, "/lastUpdateTime").unwrap_or(now);
    let passed = now.since(since);
    if passed < deadline {
        return Some(deadline.saturating_sub(passed));
    }
    let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
    condition(next, "Progressing", "False", "ProgressDeadlineExceeded", &message, now);
    None
}

fn condition(object: &mut Json, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let mut since = now.rfc3339();
    if let Some(old) = fields::condition_entry(object, kind) {
        if [("/status", status), ("/reason", reason), ("/message", message)]
            .iter()
            .all(|(at, word)| fields::text(old, at) == *word)
        {
            return;
        }
        if fields::text(old, "/status") == status {
            since = fields::text(old, "/lastTransitionTime").to_owned();
        }
    }
    let entry = json!({
        "type": kind, "status": status, "lastUpdateTime": now.rfc3339(), "lastTransitionTime": since, "reason": reason,
        "message": message,
    });
    // What changes goes to the end of the list.
    match object.pointer_mut("/status/conditions").and_then(Json::as_array_mut) {
        Some(all) => {
            all.retain(|entry| fields::text(entry, "/type") != kind);
            all.push(entry);
        }
        None => object["status"]["conditions"] = json!([entry]),
    }
}
