//! The kubelets of all nodes: from a Pod with a node to containers that run, serve, fail and end.
//!
//! A Pod's status is the only memory. Every look at a Pod computes what must be true by now from its
//! timestamps, writes the difference and says when to look again.

mod container;
pub mod images;
mod logs;
mod mounts;
mod probes;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

pub use logs::Logs;

use super::faults::Faults;
use super::programs::{Instance, Programs};
use super::writes::Mood;
use super::{Controller, Key, Outcome, Surroundings, durations, fields, kinds, pods, writes};
use crate::env::clock::Timestamp;
use crate::sim::kube::api::{Api, Gvk, Status};
use container::{Step, Turn};

const COMPONENT: &str = "kubelet";

/// All kubelets of a cluster.
pub struct Kubelet {
    /// What images do.
    pub programs: Programs,
    /// What goes wrong.
    pub faults: Arc<dyn Faults>,
    /// Where containers' logs go.
    pub logs: Arc<Logs>,
}

#[async_trait]
impl Controller for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Pod"), kinds::of("Node")]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind == "Pod" {
            return vec![changed.clone()];
        }
        // A node that was not ready may be now; whatever else changes on a node is no business of its Pods.
        if fields::condition(object, "Ready") == "True" {
            return Vec::new();
        }
        let all = api.list(&kinds::of("Pod"), None);
        let mine = all.iter().filter(|pod| fields::text(pod, "/spec/nodeName") == changed.name);
        mine.map(|pod| super::runner::key_of(kinds::of("Pod"), pod)).collect()
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let Some(pod) = around.api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let node_name = fields::text(&pod, "/spec/nodeName");
        let Some(node) = around.api.get(&kinds::of("Node"), "", node_name) else { return Ok(Outcome::Done) };
        if fields::condition(&node, "Ready") != "True" || self.faults.node_lost(node_name) {
            return Ok(Outcome::Done);
        }
        if fields::is_going(&pod) {
            return self.terminate(around, &pod).await;
        }
        if pods::has_ended(&pod) {
            return Ok(Outcome::Done);
        }
        self.advance(around, &pod, &node).await
    }
}

/// The earlier of two waits.
fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The containers of a Pod that are meant to run all along.
fn containers(pod: &Json) -> &[Json] {
    fields::list(pod, "/spec/containers")
}

fn init_containers(pod: &Json) -> &[Json] {
    fields::list(pod, "/spec/initContainers")
}

fn is_sidecar(container: &Json) -> bool {
    fields::text(container, "/restartPolicy") == "Always"
}

/// A container's entry among the statuses at a pointer.
fn status_of<'a>(pod: &'a Json, list: &str, name: &str) -> Option<&'a Json> {
    fields::list(pod, &format!("/status/{list}")).iter().find(|status| fields::text(status, "/name") == name)
}

impl Kubelet {
    /// Ends the containers within the grace period, then removes the Pod.
    async fn terminate(&self, around: &Surroundings, pod: &Arc<Json>) -> Result<Outcome, Status> {
        let grace = fields::number(pod, "/metadata/deletionGracePeriodSeconds").unwrap_or(30);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        let end = fields::time(pod, "/metadata/deletionTimestamp").unwrap_or_default();
        let asked = Timestamp(end.0.saturating_sub(u64::try_from(grace.as_millis()).unwrap_or_default()));
        let mut needed = Duration::ZERO;
        for container in containers(pod).iter().chain(init_containers(pod)) {
            let Some(instance) = Instance::of(pod, fields::text(container, "/name")) else { continue };
            if instance.started_at().is_some() {
                let leave = self.programs.of(&instance.image).termination(&instance);
                needed = needed.max(pre_stop(container) + leave);
            }
        }
        let needed = needed.min(grace);
        let passed = around.clock.now().since(asked);
        if passed < needed {
            return Ok(Outcome::After(needed.saturating_sub(passed)));
        }
        self.logs.forget(fields::uid(pod));
        writes::delete(&around.api, pod, Some(0)).await?;
        Ok(Outcome::Done)
    }

    async fn advance(&self, around: &Surroundings, pod: &Arc<Json>, node: &Json) -> Result<Outcome, Status> {
        let now = around.clock.now();
        let mut next = (**pod).clone();
        let mut events = Vec::new();
        let mut wait = None;
        begin(&mut next, node, now);
        let sandbox = match self.sandbox(around, &mut next, node, &mut events) {
            Ok(since) => Some(since),
            Err(again) => {
                wait = Some(again);
                None
            }
        };
        let mut pulled = Vec::new();
        if let Some(since) = sandbox {
            let turn = Turn { kubelet: self, around, pod, node, now };
            wait = containers_step(&turn, &mut next, since, &mut events, &mut pulled);
        } else {
            waiting_statuses(&mut next);
        }
        phase_and_conditions(&mut next, now);
        next["status"]["observedGeneration"] = pod["metadata"]["generation"].clone();
        for image in pulled {
            remember_image(around, fields::name(node), image).await?;
        }
        writes::status(&around.api, pod, next).await?;
        for (mood, reason, message) in events {
            writes::event(around, pod, mood, reason, &message, COMPONENT).await;
        }
        Ok(wait.map_or(Outcome::Done, Outcome::After))
    }

    /// Mounts the volumes and gives the Pod its address; the moment from which containers may start.
    ///
    /// # Errors
    /// When to look again.
    fn sandbox(
        &self,
        around: &Surroundings,
        pod: &mut Json,
        node: &Json,
        events: &mut Vec<(Mood, &'static str, String)>,
    ) -> Result<Timestamp, Duration> {
        const READY: &str = "PodReadyToStartContainers";
        let now = around.clock.now();
        if fields::condition(pod, READY) == "True" {
            let entry = fields::condition_entry(pod, READY).unwrap_or(&Json::Null);
            return Ok(fields::time(entry, "/lastTransitionTime").unwrap_or(now));
        }
        let begun = fields::time(pod, "/status/startTime").unwrap_or(now);
        let age = now.since(begun);
        pods::set_condition(pod, READY, "False", "", "", now);
        if let Err(message) = mounts::volumes(&*around.api, pod) {
            events.push((Mood::Warning, "FailedMount", message));
            // The wait doubles from half a second, so it is about as long as what has passed.
            let longest = durations::MOUNT_RETRY;
            return Err(age.clamp(Duration::from_millis(500), longest));
        }
        if let Some(why) = self.faults.sandbox(pod) {
            let message = format!("Failed to create pod sandbox: rpc error: code = Unknown desc = {why}");
            events.push((Mood::Warning, "FailedCreatePodSandBox", message));
            return Err(durations::SANDBOX_RETRY);
        }
        let setup = durations::POD_SETUP + if mounts::has_disk(pod) { durations::DISK_ATTACH } else { Duration::ZERO };
        if age < setup {
            return Err(setup.saturating_sub(age));
        }
        if fields::text(pod, "/status/podIP").is_empty() {
            let address = if fields::flag(pod, "/spec/hostNetwork") {
                node_address(node)
            } else {
                pod_address(&*around.api, node)
            };
            pod["status"]["podIPs"] = json!([{"ip": address}]);
            pod["status"]["podIP"] = json!(address);
        }
        pods::set_condition(pod, READY, "True", "", "", now);
        Ok(now)
    }
}

/// What the first look of a kubelet writes.
fn begin(pod: &mut Json, node: &Json, now: Timestamp) {
    if pod.pointer("/status/startTime").is_none() {
        pod["status"]["phase"] = json!("Pending");
        pod["status"]["startTime"] = json!(now.rfc3339());
        pod["status"]["hostIP"] = json!(node_address(node));
        pod["status"]["hostIPs"] = json!([{"ip": node_address(node)}]);
        if fields::text(pod, "/status/qosClass").is_empty() {
            pod["status"]["qosClass"] = json!(quality(pod));
        }
    }
}

fn quality(pod: &Json) -> &'static str {
    let all: Vec<&Json> = containers(pod).iter().chain(init_containers(pod)).collect();
    let has = |c: &Json, list: &str, name: &str| c.pointer(&format!("/resources/{list}/{name}")).is_some();
    let named = |list: &'static str, name: &'static str| all.iter().all(|c| has(c, list, name));
    let equal = all.iter().all(|c| {
        let of = |list: &str, name: &str| c.pointer(&format!("/resources/{list}/{name}")).map(fields::quantity);
        ["cpu", "memory"].iter().all(|name| of("requests", name).is_none_or(|r| Some(r) == of("limits", name)))
    });
    if named("limits", "cpu") && named("limits", "memory") && equal {
        return "Guaranteed";
    }
    let any =
        all.iter().any(|c| ["requests", "limits"].iter().any(|list| has(c, list, "cpu") || has(c, list, "memory")));
    if any { "Burstable" } else { "BestEffort" }
}

fn node_address(node: &Json) -> String {
    let all = fields::list(node, "/status/addresses");
    let internal = all.iter().find(|a| fields::text(a, "/type") == "InternalIP");
    internal.map(|a| fields::text(a, "/address").to_owned()).unwrap_or_default()
}

/// The lowest address of the node's range that no Pod on it has; `.0` and `.1` are the network's.
fn pod_address(api: &dyn Api, node: &Json) -> String {
    let taken: BTreeSet<String> = api
        .list(&kinds::of("Pod"), None)
        .iter()
        .filter(|pod| fields::text(pod, "/spec/nodeName") == fields::name(node) && !pods::has_ended(pod))
        .map(|pod| fields::text(pod, "/status/podIP").to_owned())
        .collect();
    let range = fields::text(node, "/spec/podCIDR");
    let base = range.split('/').next().and_then(|base| base.parse::<Ipv4Addr>().ok());
    let base = u32::from(base.unwrap_or(Ipv4Addr::new(10, 127, 0, 0)));
    let free = (2..).map(|offset| Ipv4Addr::from(base + offset).to_string()).find(|ip| !taken.contains(ip));
    free.unwrap_or_default()
}

/// Statuses of containers whose turn has not come.
fn waiting_statuses(pod: &mut Json) {
    let initialising = !init_containers(pod).is_empty();
    for (list, source) in [("initContainerStatuses", "initContainers"), ("containerStatuses", "containers")] {
        let all = fields::list(pod, &format!("/spec/{source}")).to_vec();
        let statuses: Vec<Json> = all
            .iter()
            .map(|c| match status_of(pod, list, fields::text(c, "/name")) {
                Some(known) => known.clone(),
                None => container::blank(c, if initialising { "PodInitializing" } else { "ContainerCreating" }),
            })
            .collect();
        if !statuses.is_empty() {
            pod["status"][list] = json!(statuses);
        }
    }
}

/// Advances every container whose turn it is; says when to look again.
fn containers_step(
    turn: &Turn<'_>,
    next: &mut Json,
    since: Timestamp,
    events: &mut Vec<(Mood, &'static str, String)>,
    pulled: &mut Vec<Json>,
) -> Option<Duration> {
    let pod = turn.pod;
    let mut since = since;
    let mut wait = None;
    let mut open = true;
    let mut take = |step: Step, wait: &mut Option<Duration>| -> Json {
        *wait = sooner(*wait, step.wait);
        events.extend(step.events);
        pulled.extend(step.pulled);
        step.status
    };
    let mut inits = Vec::new();
    for container in init_containers(pod) {
        let name = fields::text(container, "/name");
        let old = status_of(pod, "initContainerStatuses", name);
        if !open {
            inits.push(old.cloned().unwrap_or_else(|| container::blank(container, "PodInitializing")));
            continue;
        }
        let status = take(turn.advance(container, old, since, true), &mut wait);
        let finished = fields::time(&status, "/state/terminated/finishedAt");
        let success = fields::number(&status, "/state/terminated/exitCode") == Some(0);
        if is_sidecar(container) {
            open = fields::flag(&status, "/started");
            since = since.max(fields::time(&status, "/state/running/startedAt").unwrap_or(since));
        } else {
            open = success;
            since = since.max(finished.unwrap_or(since));
        }
        inits.push(status);
    }
    let mut mains = Vec::new();
    for container in containers(pod) {
        let name = fields::text(container, "/name");
        let old = status_of(pod, "containerStatuses", name);
        if !open && old.is_none_or(|old| old.pointer("/state/waiting/reason") == Some(&json!("PodInitializing"))) {
            mains.push(old.cloned().unwrap_or_else(|| container::blank(container, "PodInitializing")));
            continue;
        }
        let status = take(turn.advance(container, old, since, false), &mut wait);
        // The kubelet starts one container after the other; the next one's pull begins when this one runs.
        match fields::time(&status, "/state/running/startedAt") {
            Some(started) if fields::number(&status, "/restartCount") == Some(0) => since = since.max(started),
            Some(_) => {}
            None if status.pointer("/state/waiting").is_some()
                && status.get("lastState").is_none_or(|l| l == &json!({})) =>
            {
                // Failing containers do not hold up the others, one that is being pulled does.
                open = fields::text(&status, "/state/waiting/reason") != "ContainerCreating";
            }
            None => {}
        }
        mains.push(status);
    }
    if !inits.is_empty() {
        next["status"]["initContainerStatuses"] = json!(inits);
    }
    next["status"]["containerStatuses"] = json!(mains);
    wait
}

/// Derives phase and conditions from the containers' statuses.
fn phase_and_conditions(pod: &mut Json, now: Timestamp) {
    let policy = match fields::text(pod, "/spec/restartPolicy") {
        "" => "Always".to_owned(),
        policy => policy.to_owned(),
    };
    let inits = init_containers(pod).to_vec();
    let mains = containers(pod).to_vec();
    let status = |list: &str, container: &Json| {
        status_of(pod, list, fields::text(container, "/name")).cloned().unwrap_or_default()
    };
    let init_statuses: Vec<Json> = inits.iter().map(|c| status("initContainerStatuses", c)).collect();
    let statuses: Vec<Json> = mains.iter().map(|c| status("containerStatuses", c)).collect();
    let code = |status: &Json| fields::number(status, "/state/terminated/exitCode");
    let init_done = |container: &Json, status: &Json| {
        if is_sidecar(container) { fields::flag(status, "/started") } else { code(status) == Some(0) }
    };
    let unfinished: Vec<&str> = inits
        .iter()
        .zip(&init_statuses)
        .filter(|(container, status)| !init_done(container, status))
        .map(|(container, _)| fields::text(container, "/name"))
        .collect();
    let init_failed = policy == "Never"
        && inits.iter().zip(&init_statuses).any(|(c, s)| !is_sidecar(c) && code(s).is_some_and(|code| code != 0));
    let ended = !statuses.is_empty() && statuses.iter().all(|status| code(status).is_some());
    let begun = statuses.iter().any(|status| {
        status.pointer("/state/running").is_some()
            || code(status).is_some()
            || status.pointer("/lastState/terminated").is_some()
    });
    let never = statuses
        .iter()
        .any(|status| status.pointer("/state/waiting").is_some() && status.pointer("/lastState/terminated").is_none());
    let failed = statuses.iter().any(|status| code(status).is_some_and(|code| code != 0));
    let phase = if init_failed || (ended && failed && policy == "Never") {
        "Failed"
    } else if ended && !failed && policy != "Always" {
        "Succeeded"
    } else if !unfinished.is_empty() || !begun || never {
        "Pending"
    } else {
        "Running"
    };
    let unready: Vec<String> = inits
        .iter()
        .zip(&init_statuses)
        .filter(|(container, _)| is_sidecar(container))
        .chain(mains.iter().zip(&statuses))
        .filter(|(_, status)| !fields::flag(status, "/ready"))
        .map(|(container, _)| fields::text(container, "/name").to_owned())
        .collect();
    let ended_phase = matches!(phase, "Succeeded" | "Failed");
    let waiting = unfinished.join(" ");
    pod["status"]["phase"] = json!(phase);
    if unfinished.is_empty() {
        let reason = if phase == "Succeeded" { "PodCompleted" } else { "" };
        pods::set_condition(pod, "Initialized", "True", reason, "", now);
    } else {
        let message = format!("containers with incomplete status: [{waiting}]");
        pods::set_condition(pod, "Initialized", "False", "ContainersNotInitialized", &message, now);
    }
    let (ready, reason, message) = if ended_phase {
        let reason = if phase == "Succeeded" { "PodCompleted" } else { "PodFailed" };
        (false, reason, String::new())
    } else if unready.is_empty() {
        (true, "", String::new())
    } else {
        (false, "ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
    };
    let word = if ready { "True" } else { "False" };
    pods::set_condition(pod, "ContainersReady", word, reason, &message, now);
    let gate = fields::list(pod, "/spec/readinessGates")
        .iter()
        .map(|gate| fields::text(gate, "/conditionType").to_owned())
        .find(|kind| fields::condition(pod, kind) != "True");
    match gate {
        Some(gate) if ready => {
            let message = format!("corresponding condition of pod readiness gate \"{gate}\" does not exist.");
            pods::set_condition(pod, "Ready", "False", "ReadinessGatesNotReady", &message, now);
        }
        _ => pods::set_condition(pod, "Ready", word, reason, &message, now),
    }
}

/// Notes an image in the node's list of images that are there.
async fn remember_image(around: &Surroundings, node: &str, image: Json) -> Result<(), Status> {
    let Some(read) = around.api.get(&kinds::of("Node"), "", node) else { return Ok(()) };
    if fields::list(&read, "/status/images").iter().any(|known| known["names"] == image["names"]) {
        return Ok(());
    }
    let mut next = (*read).clone();
    match next.pointer_mut("/status/images").and_then(Json::as_array_mut) {
        Some(images) => images.push(image),
        None => next["status"]["images"] = json!([image]),
    }
    writes::status(&around.api, &read, next).await
}

/// How long a container's preStop hook takes, where that can be read from it.
fn pre_stop(container: &Json) -> Duration {
    if let Some(seconds) = fields::number(container, "/lifecycle/preStop/sleep/seconds") {
        return Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    }
    let command = fields::list(container, "/lifecycle/preStop/exec/command");
    let words = command.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" ");
    let after = words.split("sleep ").nth(1).unwrap_or_default();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    Duration::from_secs(digits.parse().unwrap_or_default())
}

#[cfg(test)]
mod tests;
