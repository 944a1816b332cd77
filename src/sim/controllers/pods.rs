//! What the controllers that own Pods have in common: making one from a template, judging one, counting.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::writes::Mood;
use super::{Key, Surroundings, fields, kinds, writes};
use crate::env::clock::Timestamp;
use crate::sim::kube::api::{Api, Status};

/// The Pods that an object controls, in name order.
pub fn controlled(api: &dyn Api, owner: &Json) -> Vec<Arc<Json>> {
    let mut pods = api.list(&kinds::of("Pod"), Some(fields::namespace(owner)));
    pods.retain(|pod| fields::is_controlled_by(pod, owner));
    pods
}

/// The key of the object that controls a changed one, if it is of this kind; else the changed one itself if
/// it is of this kind.
pub fn owner_keys(kind: &str, changed: &Key, object: &Json) -> Vec<Key> {
    if changed.gvk.kind == kind {
        return vec![changed.clone()];
    }
    let Some(reference) = fields::controller_of(object) else { return Vec::new() };
    if fields::text(reference, "/kind") != kind {
        return Vec::new();
    }
    fields::key_of_owner(reference, &changed.namespace).into_iter().collect()
}

/// Whether its Ready condition is true.
pub fn is_ready(pod: &Json) -> bool {
    fields::condition(pod, "Ready") == "True"
}

/// Whether it has been ready for this long, and if it is on the way, how much longer it needs.
pub fn availability(pod: &Json, least: Duration, now: Timestamp) -> Result<(), Option<Duration>> {
    let Some(ready) = fields::condition_entry(pod, "Ready").filter(|c| fields::text(c, "/status") == "True") else {
        return Err(None);
    };
    if fields::is_going(pod) {
        return Err(None);
    }
    let since = fields::time(ready, "/lastTransitionTime").unwrap_or(now);
    let passed = now.since(since);
    if passed >= least { Ok(()) } else { Err(Some(least.saturating_sub(passed))) }
}

/// Whether it has ended for good.
pub fn has_ended(pod: &Json) -> bool {
    matches!(fields::text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether it counts as one of its owner's Pods: neither going nor ended.
pub fn is_active(pod: &Json) -> bool {
    !fields::is_going(pod) && !has_ended(pod)
}

/// `minReadySeconds` of an owner.
pub fn least_ready(owner: &Json) -> Duration {
    Duration::from_secs(fields::number(owner, "/spec/minReadySeconds").and_then(|s| u64::try_from(s).ok()).unwrap_or(0))
}

/// A Pod of an owner's template under a name that stands for a generated one.
pub fn from_template(owner: &Json, template: &Json, name: &str) -> Json {
    let mut metadata = json!({
        "name": name, "generateName": format!("{}-", fields::name(owner)), "namespace": fields::namespace(owner),
        "ownerReferences": [fields::owner_reference(owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    let spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// Sets a condition of a Pod, with the generation that it speaks of.
pub fn set_condition(pod: &mut Json, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let entry = json!({
        "type": kind, "observedGeneration": pod["metadata"]["generation"], "status": status, "lastProbeTime": null,
        "lastTransitionTime": now.rfc3339(), "reason": reason, "message": message,
    });
    fields::put_condition(pod, entry);
}

/// Names of `wanted` new Pods, `<prefix><5 characters>`, none of which is taken.
pub fn fresh_names(around: &Surroundings, namespace: &str, prefix: &str, seed: &str, wanted: usize) -> Vec<String> {
    let mut names = Vec::new();
    let now = around.clock.now().0;
    for attempt in 0.. {
        if names.len() == wanted {
            break;
        }
        let mut suffix = fields::hash(&format!("{seed}/{now}/{attempt}"));
        suffix.truncate(5);
        let name = format!("{prefix}{suffix}");
        if !names.contains(&name) && around.api.get(&kinds::of("Pod"), namespace, &name).is_none() {
            names.push(name);
        }
    }
    names
}

/// Creates a Pod for an owner and tells of it in an event; `prefix` is the generated part's stem, by which
/// Kubernetes names a Pod that was refused.
///
/// # Errors
/// What the API server answers: quota, Warden, webhook, missing ServiceAccount.
pub async fn create(
    around: &Surroundings,
    owner: &Json,
    pod: Json,
    prefix: &str,
    component: &str,
) -> Result<(), Status> {
    let name = fields::name(&pod).to_owned();
    match around.api.create(pod).await {
        Ok(_) => {
            let message = format!("Created pod: {name}");
            writes::event(around, owner, Mood::Normal, "SuccessfulCreate", &message, component).await;
            Ok(())
        }
        Err(mut status) => {
            // The real controllers create with generateName, and the refusal carries that stem.
            let words = status.message().replace(&format!("\"{name}\""), &format!("\"{prefix}\""));
            status.body["message"] = json!(words);
            let message = format!("Error creating: {words}");
            writes::event(around, owner, Mood::Warning, "FailedCreate", &message, component).await;
            Err(status)
        }
    }
}

/// Deletes a Pod of an owner and tells of it in an event.
///
/// # Errors
/// What the API server answers.
pub async fn delete(around: &Surroundings, owner: &Json, pod: &Json, component: &str) -> Result<(), Status> {
    writes::delete(&around.api, pod, None).await?;
    let message = format!("Deleted pod: {}", fields::name(pod));
    writes::event(around, owner, Mood::Normal, "SuccessfulDelete", &message, component).await;
    Ok(())
}

/// The text of a JSON value with keys in order, for hashing.
pub fn canonical(value: &Json) -> String {
    match value {
        Json::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            let fields: Vec<_> = keys.iter().map(|(key, value)| format!("{key}:{}", canonical(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Json::Array(all) => format!("[{}]", all.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// A short hash of a Pod template.
pub fn template_hash(template: &Json) -> String {
    let mut hash = fields::hash(&canonical(template));
    hash.truncate(10);
    hash
}
