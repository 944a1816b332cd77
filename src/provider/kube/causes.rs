//! Why a workload does not come up: the chain from the object over its replica sets and pods to the event that
//! says it, and whether waiting can still help.
//!
//! Reads on demand. Only what repeats or lasts ends a wait: a first failure may be a race with something that is being
//! made at the same moment. How long is in `patience`.

use serde_json::Value as Json;

use super::client::Cluster;
use super::discovery::escape;
use super::patience::{ABSENT, DECIDED, DEVICE, End, Explanation, SUPPLY};
use super::refusal::{Refusal, redact};
use super::status::{condition, is_true, readiness};
use super::{last_words, placement, supplies};
use crate::env::clock::Timestamp;
use crate::resource::readiness::Readiness;

/// How often a pull must have failed before it is final.
const PULLS: u64 = 3;
/// How often the API server must have refused a pod before that is final.
const REFUSALS: u64 = 5;
/// How often a container must have died before that is final: about five minutes of back-off.
const DEATHS: u64 = 7;
/// … of the same thing: memory, or a probe that it never answered.
const LIKE_DEATHS: u64 = 3;
/// … saying what no other start will change: a second time, for what it was given may have come late.
const HOPELESS_DEATHS: u64 = 2;

/// Why `object` is not ready; `None` when there is nothing to say. `grows` while nodes are being made, which no pod can
/// know of.
///
/// # Errors
/// A failed look at the cluster.
pub async fn explain(cluster: &Cluster, object: &Json, grows: bool) -> Result<Option<Explanation>, Refusal> {
    let kind = text(object, "/kind");
    match kind {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => workload(cluster, object, grows).await,
        "Pod" => Ok(pod(cluster, object, grows).await?.map(|(explanation, _)| explanation)),
        _ => {
            let found = children(cluster, object, grows).await?;
            if found.as_ref().is_some_and(|found| found.end != End::Open) {
                return Ok(found);
            }
            Ok(supplies::wanting(cluster, object, grows).await?.or(found))
        }
    }
}

pub(super) fn text<'a>(object: &'a Json, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

pub(super) fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list["items"].as_array().into_iter().flatten()
}

pub(super) fn is_owned_by(object: &Json, uid: &str) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Json::as_array);
    owners.into_iter().flatten().any(|owner| owner["uid"] == uid)
}

pub(super) async fn list(cluster: &Cluster, path: &str) -> Result<Json, Refusal> {
    match cluster.get(path).await {
        Ok(list) => Ok(list),
        Err(refusal) if refusal.is_not_found() => Ok(Json::Null),
        Err(refusal) => Err(refusal),
    }
}

/// The worst of the workloads that an operator made for a custom resource: the others may wait for that one.
async fn children(cluster: &Cluster, object: &Json, grows: bool) -> Result<Option<Explanation>, Refusal> {
    let (uid, namespace) = (text(object, "/metadata/uid"), text(object, "/metadata/namespace"));
    let mut worst: Option<Explanation> = None;
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
                && let Some(found) = Box::pin(workload(cluster, &child, grows)).await?
                && worst.as_ref().is_none_or(|worst| found.weight() > worst.weight())
            {
                worst = Some(found);
            }
        }
    }
    Ok(worst)
}

async fn workload(cluster: &Cluster, object: &Json, grows: bool) -> Result<Option<Explanation>, Refusal> {
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
    let ours = items(&pods).filter(|pod| is_owned_by(pod, text(&maker, "/metadata/uid")));
    if let Some(found) = worst(cluster, ours, grows).await? {
        causes.extend(found.causes);
        return Ok(Some(Explanation { causes, end: found.end }));
    }
    // No pods: the API server refused them.
    let refused = refusals(cluster, &maker).await?;
    let said = condition(&maker, "ReplicaFailure").filter(|c| is_true(c)).map(|c| text(c, "/message").to_owned());
    let Some(message) = said.or_else(|| refused.as_ref().map(|(event, _)| event.message.clone())) else {
        return Ok(None);
    };
    let end = refused.map_or(End::Open, |(event, count)| refusal_end(&message, count, event.first));
    causes.push(format!("its pods are refused: {message}"));
    Ok(Some(Explanation { causes, end }))
}

/// What the pod says that has most to say: one that ends the wait, else one that has failed, else any.
///
/// # Errors
/// A failed look at the cluster.
pub(super) async fn worst<'p>(
    cluster: &Cluster,
    pods: impl Iterator<Item = &'p Json>,
    grows: bool,
) -> Result<Option<Explanation>, Refusal> {
    let mut best = None;
    for candidate in pods {
        if let Some((found, failed)) = pod(cluster, candidate, grows).await? {
            let (end, since) = found.weight();
            let weight = (end, failed, since);
            if best.as_ref().is_none_or(|(_, heaviest)| weight > *heaviest) {
                best = Some((found, weight));
            }
        }
    }
    Ok(best.map(|(found, _)| found))
}

/// A quota or a policy will not change its mind; a webhook that does not answer may yet, for a while.
fn refusal_end(message: &str, count: u64, first: Option<Timestamp>) -> End {
    if message.contains("failed calling webhook") {
        return End::Lasting(SUPPLY, first);
    }
    let may_pass = ["serviceaccount", "service account", "status unknown for quota"];
    // Controllers try again within milliseconds at first: so many refusals say nothing yet of who makes the quota.
    let is_final = count >= REFUSALS && !may_pass.iter().any(|words| message.contains(words));
    if is_final { End::Lasting(DECIDED, first) } else { End::Open }
}

/// The latest FailedCreate event of a controller, and how often there was one.
async fn refusals(cluster: &Cluster, maker: &Json) -> Result<Option<(Event, u64)>, Refusal> {
    let events = events(cluster, maker).await?;
    let found = events.into_iter().filter(|event| event.reason == "FailedCreate").collect::<Vec<_>>();
    let count = found.iter().map(|event| event.count).sum();
    let first = found.iter().filter_map(|event| event.first).min();
    Ok(found.into_iter().next_back().map(|last| (Event { first, ..last }, count)))
}

/// An event about an object.
pub(super) struct Event {
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) count: u64,
    /// When it was first recorded.
    pub(super) first: Option<Timestamp>,
    /// … and last.
    pub(super) last: Option<Timestamp>,
}

/// The events about an object, oldest first.
pub(super) async fn events(cluster: &Cluster, object: &Json) -> Result<Vec<Event>, Refusal> {
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
        first: ["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"]
            .iter()
            .find_map(|key| Timestamp::parse(text(event, key))),
        last: Timestamp::parse(&time(event)),
        count: event["count"].as_u64().or_else(|| event.pointer("/series/count").and_then(Json::as_u64)).unwrap_or(1),
    });
    Ok(events.collect())
}

/// What keeps a pod, and whether that is a failure rather than a wait.
async fn pod(cluster: &Cluster, pod: &Json, grows: bool) -> Result<Option<(Explanation, bool)>, Refusal> {
    let is_ready = condition(pod, "Ready").is_some_and(is_true) || text(pod, "/status/phase") == "Succeeded";
    if is_ready || pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Ok(None);
    }
    let name = format!("pod {}", text(pod, "/metadata/name"));
    let found = match condition(pod, "PodScheduled").filter(|c| c["status"] == "False") {
        Some(scheduled) => Some((unscheduled(cluster, pod, scheduled, grows).await?, false)),
        None => match container(cluster, pod).await? {
            Some(found) => Some(found),
            // The scheduler has chosen a node, and waits for a volume there before it says so.
            None if text(pod, "/spec/nodeName").is_empty() => {
                claimless(cluster, pod).await?.map(|(claim, found)| (found.below(claim), true))
            }
            None => unstarted(cluster, pod).await?,
        },
    };
    Ok(found.map(|(found, failed)| (found.below(name), failed)))
}

/// Why no node takes a pod.
async fn unscheduled(cluster: &Cluster, pod: &Json, scheduled: &Json, grows: bool) -> Result<Explanation, Refusal> {
    let mut cause = format!("cannot be scheduled: {}", text(scheduled, "/message"));
    if let Some((claim, found)) = claimless(cluster, pod).await? {
        return Ok(found.below(claim).below(cause));
    }
    let nodes = list(cluster, "/api/v1/nodes").await?;
    let nodes = items(&nodes).cloned().collect::<Vec<_>>();
    let grows = grows || events(cluster, pod).await?.iter().any(|event| event.reason == "TriggeredScaleUp");
    if let Some(resource) = placement::lacking(pod, scheduled, &nodes) {
        cause.push_str(&format!(" (no node has so much {resource} to give)"));
    }
    Ok(Explanation::ending(cause, placement::end(pod, scheduled, &nodes, grows)))
}

/// The first of a pod's claims that has no volume, and why.
async fn claimless(cluster: &Cluster, pod: &Json) -> Result<Option<(String, Explanation)>, Refusal> {
    let namespace = escape(text(pod, "/metadata/namespace"));
    for volume in pod.pointer("/spec/volumes").and_then(Json::as_array).into_iter().flatten() {
        let name = text(volume, "/persistentVolumeClaim/claimName");
        if name.is_empty() {
            continue;
        }
        let outer = format!("PersistentVolumeClaim {name}");
        let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{}", escape(name));
        match cluster.get(&path).await {
            Ok(claim) => {
                if let Some(found) = supplies::claim(cluster, &claim).await? {
                    return Ok(Some((outer, found)));
                }
            }
            Err(refusal) if refusal.is_not_found() => {
                return Ok(Some((outer, Explanation::ending("it does not exist", End::Lasting(ABSENT, None)))));
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(None)
}

/// The first container with something to say: it cannot be pulled, made, or kept alive.
async fn container(cluster: &Cluster, pod: &Json) -> Result<Option<(Explanation, bool)>, Refusal> {
    for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for container in pod.pointer(list).and_then(Json::as_array).into_iter().flatten() {
            let name = text(container, "/name");
            let (reason, message) =
                (text(container, "/state/waiting/reason"), text(container, "/state/waiting/message"));
            let said =
                |cause: &str, end| Ok(Some((Explanation::ending(format!("container {name}: {cause}"), end), true)));
            match reason {
                "" | "PodInitializing" | "ContainerCreating" | "CrashLoopBackOff" => {}
                "InvalidImageName" => return said(&format!("{reason}: {message}"), End::Now),
                "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" => {
                    let events = events(cluster, pod).await?;
                    let failed = events.iter().filter(|event| {
                        event.reason == "Failed"
                            && event.message.contains("pull")
                            && !event.message.starts_with("Error:")
                    });
                    let failed = failed.collect::<Vec<_>>();
                    let count = failed.iter().map(|event| event.count).sum::<u64>();
                    let last = failed.last().and_then(|event| event.last);
                    let why = failed.last().map_or(message, |event| event.message.as_str());
                    return said(&format!("{reason}: {why}"), if count >= PULLS { at(last) } else { End::Open });
                }
                // A Secret or ConfigMap, or a key of one, that is not there (yet).
                "CreateContainerConfigError" => {
                    return said(&format!("{reason}: {message}"), End::Lasting(ABSENT, None));
                }
                _ => return said(&format!("{reason}: {message}"), End::Lasting(SUPPLY, None)),
            }
            if let Some(found) = dying(cluster, pod, container).await? {
                return Ok(Some((found, true)));
            }
            if list.contains("init")
                && container["ready"] != true
                && let Some(found) = held(cluster, pod, container).await
            {
                return Ok(Some((found, false)));
            }
        }
    }
    Ok(None)
}

/// What a container that does not stay alive dies of, and whether it will do so for ever.
async fn dying(cluster: &Cluster, pod: &Json, container: &Json) -> Result<Option<Explanation>, Refusal> {
    let name = text(container, "/name");
    let restarts = container["restartCount"].as_u64().unwrap_or_default();
    let ended = ["/state/terminated", "/lastState/terminated"].iter().find_map(|pointer| container.pointer(pointer));
    let Some(ended) = ended else { return Ok(None) };
    let (code, reason) = (ended["exitCode"].as_i64().unwrap_or_default(), text(ended, "/reason"));
    let runs = container.pointer("/state/running").is_some();
    let finished = code == 0 && container.pointer("/state/terminated").is_some();
    if finished || container["ready"] == true {
        return Ok(None);
    }
    // While it waits for its next start, the last death is not yet a restart.
    let deaths = if runs { restarts } else { restarts + 1 };
    let mut words = format!("{reason} (exit code {code})");
    let mut enough = DEATHS;
    if reason == "OOMKilled" {
        enough = LIKE_DEATHS;
        words.push_str(": its memory limit is too small for it");
    } else if let Some(probe) = killed_by(cluster, pod, name).await?.filter(|_| code == 137) {
        enough = LIKE_DEATHS;
        words.push_str(&format!(": killed, because {probe}"));
    } else if let Some((line, hopeless)) = spoken(cluster, pod, name, ended, runs).await {
        if hopeless {
            enough = HOPELESS_DEATHS;
        }
        words.push_str(&format!(": {line}"));
    }
    let never = text(pod, "/spec/restartPolicy") == "Never";
    let cause = match deaths {
        _ if never || deaths < 2 => format!("container {name} died: {words}"),
        // The count is left out: it is the same cause when it has grown.
        _ => format!("container {name} keeps dying: {words}"),
    };
    // While it runs again it may as well live.
    let end = match !runs && (never || deaths >= enough) {
        true => at(Timestamp::parse(text(ended, "/finishedAt"))),
        false => End::Open,
    };
    Ok(Some(Explanation::ending(cause, end)))
}

/// The end by what happened then; now where nobody says when.
fn at(happened: Option<Timestamp>) -> End {
    happened.map_or(End::Now, End::At)
}

/// What an init container that runs for long waits for, where its log says so.
async fn held(cluster: &Cluster, pod: &Json, container: &Json) -> Option<Explanation> {
    let since = Timestamp::parse(text(container, "/state/running/startedAt"))?;
    let name = text(container, "/name");
    let line = last_words::waiting(&tail(cluster, pod, name, false).await?)?;
    Some(Explanation::ending(format!("container {name} waits: {line}"), End::Lasting(DEVICE, Some(since))))
}

/// The last lines of a container's log; a log that cannot be read is no reason to say nothing.
async fn tail(cluster: &Cluster, pod: &Json, container: &str, previous: bool) -> Option<String> {
    let (namespace, name) = (escape(text(pod, "/metadata/namespace")), escape(text(pod, "/metadata/name")));
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{name}/log?container={}&tailLines={}&previous={previous}",
        escape(container),
        last_words::TAIL
    );
    cluster.text(&path).await.ok()
}

/// The probe for which the kubelet last had a container killed.
async fn killed_by(cluster: &Cluster, pod: &Json, container: &str) -> Result<Option<String>, Refusal> {
    let events = events(cluster, pod).await?;
    let killed = events.iter().rev().find(|event| {
        event.reason == "Killing"
            && event.message.contains(container)
            && event.message.contains("probe, will be restarted")
    });
    if killed.is_none() {
        return Ok(None);
    }
    let unhealthy = events.iter().rev().find(|event| {
        event.reason == "Unhealthy"
            && (event.message.starts_with("Liveness probe") || event.message.starts_with("Startup probe"))
    });
    Ok(unhealthy.or(killed).map(|event| event.message.clone()))
}

/// The line of a dead container's log, or of its termination message, that says why.
async fn spoken(cluster: &Cluster, pod: &Json, container: &str, ended: &Json, runs: bool) -> Option<(String, bool)> {
    let message = text(ended, "/message");
    if let Some(found) = last_words::of(message) {
        return Some(found);
    }
    last_words::of(&tail(cluster, pod, container, runs).await?)
}

/// Why a pod with a node has started nothing: a volume, a network; or why it is not ready.
async fn unstarted(cluster: &Cluster, pod: &Json) -> Result<Option<(Explanation, bool)>, Refusal> {
    let events = events(cluster, pod).await?;
    let running = pod.pointer("/status/containerStatuses").and_then(Json::as_array).into_iter().flatten();
    let begun = running.into_iter().any(|container| container.pointer("/state/running").is_some());
    let failing = events.iter().rev().find(|event| {
        matches!(
            event.reason.as_str(),
            "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox" | "FailedBinding"
        )
    });
    if let Some(event) = failing.filter(|_| !begun) {
        let cause = format!("{}: {}", event.reason, event.message);
        return Ok(Some((Explanation::ending(cause, End::Lasting(SUPPLY, event.first)), true)));
    }
    let unhealthy = events.iter().rev().find(|event| event.reason == "Unhealthy");
    Ok(unhealthy.map(|event| (Explanation::open(event.message.clone()), false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_pods_gets_its_time() {
        let first = Some(Timestamp(7));
        let quota = "pods \"x\" is forbidden: insufficient quota to match these scopes";
        assert_eq!(refusal_end(quota, REFUSALS, first), End::Lasting(DECIDED, first));
        assert_eq!(refusal_end(quota, REFUSALS - 1, first), End::Open, "others may just be making the quota");
        let account = "error looking up service account app/web: serviceaccount \"web\" not found";
        assert_eq!(refusal_end(account, 100, first), End::Open);
        let webhook = "Internal error occurred: failed calling webhook \"w\": context deadline exceeded";
        assert_eq!(refusal_end(webhook, 1, first), End::Lasting(SUPPLY, first));
    }
}
