//! Why a workload does not come up: the chain from the object over its replica sets and pods to the event that
//! says it, and whether waiting can still help.
//!
//! Reads on demand. Only what repeats is called terminal: a first failure may be a race with something that is
//! being made at the same moment.

use serde_json::Value as Json;

use super::client::Cluster;
use super::discovery::escape;
use super::refusal::{Refusal, redact};
use super::status::{condition, is_true, readiness};
use crate::resource::readiness::Readiness;

/// A chain of causes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Outermost first.
    pub causes: Vec<String>,
    /// Waiting longer cannot help.
    pub terminal: bool,
}

/// How often a pull must have failed before it is final.
const PULLS: u64 = 3;
/// How often the API server must have refused a pod before that is final.
const REFUSALS: u64 = 5;
/// How often a container must have died before that is final: about five minutes of back-off.
const DEATHS: u64 = 6;

/// Why `object` is not ready; `None` when there is nothing to say.
///
/// # Errors
/// A failed look at the cluster.
pub async fn explain(cluster: &Cluster, object: &Json) -> Result<Option<Explanation>, Refusal> {
    let kind = text(object, "/kind");
    match kind {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => workload(cluster, object).await,
        "Pod" => Ok(pod(cluster, object).await?.map(|(explanation, _)| explanation)),
        _ => children(cluster, object).await,
    }
}

fn text<'a>(object: &'a Json, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list["items"].as_array().into_iter().flatten()
}

fn is_owned_by(object: &Json, uid: &str) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Json::as_array);
    owners.into_iter().flatten().any(|owner| owner["uid"] == uid)
}

async fn list(cluster: &Cluster, path: &str) -> Result<Json, Refusal> {
    match cluster.get(path).await {
        Ok(list) => Ok(list),
        Err(refusal) if refusal.is_not_found() => Ok(Json::Null),
        Err(refusal) => Err(refusal),
    }
}

/// The workloads that an operator made for a custom resource.
async fn children(cluster: &Cluster, object: &Json) -> Result<Option<Explanation>, Refusal> {
    let (uid, namespace) = (text(object, "/metadata/uid"), text(object, "/metadata/namespace"));
    for (plural, kind) in [("deployments", "Deployment"), ("statefulsets", "StatefulSet"), ("daemonsets", "DaemonSet")]
    {
        let path = match namespace {
            "" => format!("/apis/apps/v1/{plural}"),
            namespace => format!("/apis/apps/v1/namespaces/{}/{plural}", escape(namespace)),
        };
        let list = list(cluster, &path).await?;
        for child in items(&list).filter(|child| is_owned_by(child, uid)) {
            let mut child = child.clone();
            child["kind"] = kind.into();
            child["apiVersion"] = "apps/v1".into();
            if readiness(&child) != Readiness::Current
                && let Some(found) = Box::pin(workload(cluster, &child)).await?
            {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

async fn workload(cluster: &Cluster, object: &Json) -> Result<Option<Explanation>, Refusal> {
    let mut causes = vec![format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"))];
    let namespace = text(object, "/metadata/namespace");
    // A Deployment's pods are made by the replica set of its latest revision.
    let maker = match text(object, "/kind") {
        "Deployment" => {
            let sets = list(cluster, &format!("/apis/apps/v1/namespaces/{}/replicasets", escape(namespace))).await?;
            let ours = items(&sets).filter(|set| is_owned_by(set, text(object, "/metadata/uid")));
            let revision = |set: &Json| {
                let annotations = set.pointer("/metadata/annotations");
                let revision = annotations.and_then(|all| all.get("deployment.kubernetes.io/revision"));
                revision.and_then(Json::as_str).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default()
            };
            ours.max_by_key(|set| revision(set)).cloned()
        }
        _ => Some(object.clone()),
    };
    let Some(maker) = maker else { return Ok(None) };
    let pods = list(cluster, &format!("/api/v1/namespaces/{}/pods", escape(namespace))).await?;
    // The pod with most to say: a terminal one, else one that explains anything.
    let mut best: Option<(Explanation, u8)> = None;
    for candidate in items(&pods).filter(|pod| is_owned_by(pod, text(&maker, "/metadata/uid"))) {
        if let Some((found, weight)) = pod(cluster, candidate).await?
            && best.as_ref().is_none_or(|(_, heaviest)| weight > *heaviest)
        {
            best = Some((found, weight));
        }
    }
    if let Some((found, _)) = best {
        causes.extend(found.causes);
        return Ok(Some(Explanation { causes, terminal: found.terminal }));
    }
    // No pods: the API server refused them.
    if let Some(failure) = condition(&maker, "ReplicaFailure").filter(|c| is_true(c)) {
        let message = text(failure, "/message").to_owned();
        let count = refusals(cluster, &maker).await?.map_or(0, |(_, count)| count);
        causes.push(format!("its pods are refused: {message}"));
        return Ok(Some(Explanation { terminal: is_final_refusal(&message, count), causes }));
    }
    if let Some((message, count)) = refusals(cluster, &maker).await? {
        causes.push(format!("its pods are refused: {message}"));
        return Ok(Some(Explanation { terminal: is_final_refusal(&message, count), causes }));
    }
    Ok(None)
}

/// A webhook that does not answer may yet; a quota or a policy will not change its mind.
fn is_final_refusal(message: &str, count: u64) -> bool {
    let may_pass = ["failed calling webhook", "serviceaccount", "service account", "status unknown for quota"];
    count >= REFUSALS && !may_pass.iter().any(|words| message.contains(words))
}

/// The latest FailedCreate event of a controller, and how often it came.
async fn refusals(cluster: &Cluster, maker: &Json) -> Result<Option<(String, u64)>, Refusal> {
    let events = events(cluster, maker).await?;
    let found = events.iter().filter(|event| event.reason == "FailedCreate").collect::<Vec<_>>();
    let count = found.iter().map(|event| event.count).sum();
    Ok(found.last().map(|event| (event.message.clone(), count)))
}

struct Event {
    reason: String,
    message: String,
    count: u64,
}

/// The events about an object, oldest first.
async fn events(cluster: &Cluster, object: &Json) -> Result<Vec<Event>, Refusal> {
    let uid = text(object, "/metadata/uid");
    let namespace = escape(text(object, "/metadata/namespace"));
    let selector = escape(&format!("involvedObject.uid={uid}"));
    let list = list(cluster, &format!("/api/v1/namespaces/{namespace}/events?fieldSelector={selector}")).await?;
    let mut events = items(&list).filter(|event| event["involvedObject"]["uid"] == uid).collect::<Vec<_>>();
    let time = |event: &Json| {
        let keys = ["/lastTimestamp", "/series/lastObservedTime", "/eventTime", "/metadata/creationTimestamp"];
        keys.iter().map(|key| text(event, key)).find(|time| !time.is_empty()).unwrap_or_default().to_owned()
    };
    events.sort_by_key(|event| time(event));
    let events = events.into_iter().map(|event| Event {
        reason: text(event, "/reason").to_owned(),
        message: redact(text(event, "/message"), &Json::Null),
        count: event["count"].as_u64().or_else(|| event.pointer("/series/count").and_then(Json::as_u64)).unwrap_or(1),
    });
    Ok(events.collect())
}

/// What keeps a pod, and how much that says (3 terminal, 2 a failure, 1 a wait).
async fn pod(cluster: &Cluster, pod: &Json) -> Result<Option<(Explanation, u8)>, Refusal> {
    let is_ready = condition(pod, "Ready").is_some_and(is_true) || text(pod, "/status/phase") == "Succeeded";
    if is_ready || pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Ok(None);
    }
    let name = format!("pod {}", text(pod, "/metadata/name"));
    let said = |cause: String, terminal: bool, weight: u8| {
        let explanation = Explanation { causes: vec![name.clone(), cause], terminal };
        Ok(Some((explanation, if terminal { 3 } else { weight })))
    };
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|c| c["status"] == "False") {
        // An autoscaler or a pool that is still being made may yet bring the node.
        return said(format!("cannot be scheduled: {}", text(scheduled, "/message")), false, 1);
    }
    for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for container in pod.pointer(list).and_then(Json::as_array).into_iter().flatten() {
            let container_name = text(container, "/name");
            let restarts = container["restartCount"].as_u64().unwrap_or_default();
            let (reason, message) =
                (text(container, "/state/waiting/reason"), text(container, "/state/waiting/message"));
            match reason {
                "" | "PodInitializing" | "ContainerCreating" => {}
                "InvalidImageName" => {
                    return said(format!("container {container_name}: {reason}: {message}"), true, 2);
                }
                "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" => {
                    let events = events(cluster, pod).await?;
                    let failed = events.iter().filter(|event| {
                        event.reason == "Failed"
                            && event.message.contains("pull")
                            && !event.message.starts_with("Error:")
                    });
                    let failed = failed.collect::<Vec<_>>();
                    let count = failed.iter().map(|event| event.count).sum::<u64>();
                    let why = failed.last().map_or(message, |event| event.message.as_str());
                    let cause = format!("container {container_name}: {reason}: {why}");
                    return said(cause, count >= PULLS, 2);
                }
                "CrashLoopBackOff" => {
                    let cause =
                        format!("container {container_name} keeps dying ({restarts} times): {}", death(container));
                    return said(cause, restarts >= DEATHS, 2);
                }
                _ => return said(format!("container {container_name}: {reason}: {message}"), false, 2),
            }
            let ended = container.pointer("/state/terminated/exitCode").and_then(Json::as_i64);
            if ended.is_some_and(|code| code != 0) {
                let cause = format!("container {container_name} died: {}", death(container));
                let never = text(pod, "/spec/restartPolicy") == "Never";
                return said(cause, never || restarts >= DEATHS, 2);
            }
        }
    }
    // Nothing has started: a volume, a network, a Secret.
    let events = events(cluster, pod).await?;
    let failing = events.iter().rev().find(|event| {
        matches!(
            event.reason.as_str(),
            "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox" | "FailedBinding"
        )
    });
    if let Some(event) = failing {
        return said(format!("{}: {}", event.reason, event.message), false, 2);
    }
    let unhealthy = events.iter().rev().find(|event| event.reason == "Unhealthy");
    if let Some(event) = unhealthy {
        return said(event.message.clone(), false, 1);
    }
    Ok(None)
}

/// How a container ended last.
fn death(container: &Json) -> String {
    let ended = ["/state/terminated", "/lastState/terminated"].iter().find_map(|pointer| container.pointer(pointer));
    let Some(ended) = ended else { return "no reason is given".to_owned() };
    let mut words =
        format!("{} (exit code {})", text(ended, "/reason"), ended["exitCode"].as_i64().unwrap_or_default());
    if !text(ended, "/message").is_empty() {
        // The last lines of its log, if the pod asks for them.
        let message = text(ended, "/message").trim();
        words.push_str(&format!(": {}", message.chars().take(500).collect::<String>()));
    }
    words
}
