//! Writing to the API as controllers do: only what differs, deletes that do not mind absence, events.
//!
//! Writes carry the resourceVersion that was read, so a stale view ends in a conflict and a retry.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Surroundings, fields};
use crate::sim::kube::api::{Api, DeleteOptions, Gvk, Status};

/// Writes the status if it differs from what was read.
///
/// # Errors
/// What the API server answers.
pub async fn status(api: &Arc<dyn Api>, read: &Json, wanted: Json) -> Result<(), Status> {
    if read.get("status") != wanted.get("status") {
        api.update_status(wanted).await?;
    }
    Ok(())
}

/// Writes metadata and spec if anything but the status differs from what was read.
///
/// # Errors
/// What the API server answers.
pub async fn object(api: &Arc<dyn Api>, read: &Json, wanted: Json) -> Result<(), Status> {
    let differs = wanted.as_object().is_some_and(|all| {
        all.iter().any(|(key, value)| key != "status" && read.get(key) != Some(value))
            || read.as_object().is_some_and(|read| read.keys().any(|key| !all.contains_key(key)))
    });
    if differs {
        api.update(wanted).await?;
    }
    Ok(())
}

/// Creates an object, or does nothing when one of its name is there.
///
/// # Errors
/// What else the API server answers.
pub async fn create_missing(api: &Arc<dyn Api>, object: Json) -> Result<(), Status> {
    match api.create(object).await {
        Err(status) if status.reason() != "AlreadyExists" => Err(status),
        _ => Ok(()),
    }
}

/// Deletes this very object; its absence is fine.
///
/// # Errors
/// What else the API server answers.
pub async fn delete(api: &Arc<dyn Api>, object: &Json, grace_seconds: Option<u64>) -> Result<(), Status> {
    let Some(gvk) = Gvk::of(object) else { return Ok(()) };
    let uid = Some(fields::uid(object).to_owned());
    let options = DeleteOptions { uid, propagation: Some("Background".to_owned()), grace_seconds };
    match api.delete(&gvk, fields::namespace(object), fields::name(object), options).await {
        Err(status) if status.code != 404 => Err(status),
        _ => Ok(()),
    }
}

/// Whether an event is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// `Normal`.
    Normal,
    /// `Warning`.
    Warning,
}

/// Records an event about an object, or counts one more of the same. Failure to record is of no consequence,
/// as in Kubernetes.
pub async fn event(around: &Surroundings, about: &Json, mood: Mood, reason: &str, message: &str, component: &str) {
    let namespace = match fields::namespace(about) {
        "" => "default",
        namespace => namespace,
    };
    let gvk = Gvk::new("", "v1", "Event");
    let now = around.clock.now();
    let same = |event: &Arc<Json>| {
        event["involvedObject"]["uid"] == about["metadata"]["uid"]
            && event["message"] == message
            && event["reason"] == reason
            && event["source"]["component"] == component
    };
    if let Some(known) = around.api.list(&gvk, Some(namespace)).into_iter().find(same) {
        let mut again = (*known).clone();
        again["count"] = json!(fields::number(&again, "/count").unwrap_or(1) + 1);
        again["lastTimestamp"] = json!(now.rfc3339());
        around.api.update(again).await.ok();
        return;
    }
    // The name ends in the moment in nanoseconds, so that a list by name is one by time.
    let mut moment = now.0 * 1_000_000;
    let name = loop {
        let name = format!("{}.{moment:016x}", fields::name(about));
        if around.api.get(&gvk, namespace, &name).is_none() {
            break name;
        }
        moment += 1;
    };
    let now = now.rfc3339();
    let kind = match mood {
        Mood::Normal => "Normal",
        Mood::Warning => "Warning",
    };
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "apiVersion": about["apiVersion"], "kind": about["kind"], "name": fields::name(about),
            "namespace": fields::namespace(about), "uid": fields::uid(about),
            "resourceVersion": about["metadata"]["resourceVersion"],
        },
        "type": kind, "reason": reason, "message": message, "count": 1,
        "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": component}, "reportingComponent": component, "reportingInstance": "",
    });
    around.api.create(event).await.ok();
}
