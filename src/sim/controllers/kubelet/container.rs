//! One container's next step: pull, create, run, serve, end, start again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::super::programs::{Instance, Start};
use super::super::writes::Mood;
use super::super::{Surroundings, durations, fields};
use super::{Kubelet, images, mounts, probes};
use crate::env::clock::Timestamp;

/// A look at a Pod by its kubelet.
pub(super) struct Turn<'a> {
    pub(super) kubelet: &'a Kubelet,
    pub(super) around: &'a Surroundings,
    pub(super) pod: &'a Arc<Json>,
    pub(super) node: &'a Json,
    pub(super) now: Timestamp,
}

/// What became of a container.
pub(super) struct Step {
    /// Its entry in the statuses.
    pub(super) status: Json,
    /// When to look again.
    pub(super) wait: Option<Duration>,
    /// What to tell.
    pub(super) events: Vec<(Mood, &'static str, String)>,
    /// The entry of an image that was pulled, for the node.
    pub(super) pulled: Option<Json>,
}

impl Step {
    fn of(status: Json) -> Self {
        Step { status, wait: None, events: Vec::new(), pulled: None }
    }

    fn after(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    fn warn(mut self, reason: &'static str, message: String) -> Self {
        self.events.push((Mood::Warning, reason, message));
        self
    }

    fn tell(mut self, reason: &'static str, message: String) -> Self {
        self.events.push((Mood::Normal, reason, message));
        self
    }
}

/// The status of a container that has not begun.
pub(super) fn blank(container: &Json, reason: &str) -> Json {
    json!({
        "name": container["name"], "image": container["image"], "imageID": "", "ready": false, "started": false,
        "restartCount": 0, "state": {"waiting": {"reason": reason}}, "lastState": {},
    })
}

fn waiting(status: &Json, reason: &str, message: &str) -> Json {
    let mut next = status.clone();
    let mut state = json!({"reason": reason});
    if !message.is_empty() {
        state["message"] = json!(message);
    }
    next["state"] = json!({"waiting": state});
    next["ready"] = json!(false);
    next["started"] = json!(false);
    next
}

impl Turn<'_> {
    /// Takes a container's next step. `since` is the moment from which it might have begun.
    pub(super) fn advance(&self, container: &Json, old: Option<&Json>, since: Timestamp, init: bool) -> Step {
        let fresh = blank(container, "ContainerCreating");
        let old = old.unwrap_or(&fresh);
        if old.pointer("/state/running").is_some() {
            return self.run(container, old, init);
        }
        if old.pointer("/state/terminated").is_some() {
            return self.ended(container, old, init);
        }
        if fields::text(old, "/state/waiting/reason") == "CrashLoopBackOff" {
            let (due, _) = restart_at(old, "/lastState/terminated");
            if self.now < due {
                return Step::of(old.clone()).after(due.since(self.now));
            }
            return self.begin(container, old, due, init);
        }
        let last_end = fields::time(old, "/lastState/terminated/finishedAt");
        self.begin(container, old, last_end.map_or(since, |end| end.max(since)), init)
    }

    fn instance(&self, container: &Json) -> Option<Instance> {
        Instance::of(self.pod, fields::text(container, "/name"))
    }

    /// From nothing to a running process.
    fn begin(&self, container: &Json, old: &Json, since: Timestamp, init: bool) -> Step {
        let reference = fields::text(container, "/image");
        let Some(instance) = self.instance(container) else {
            let why = super::super::image::Image::parse(reference).err().unwrap_or_default();
            let message = format!("Failed to apply default image tag \"{reference}\": {why}");
            let step = Step::of(waiting(old, "InvalidImageName", &message));
            return step
                .warn("InspectFailed", message.clone())
                .warn("Failed", format!("Error: InvalidImageName: {why}"));
        };
        let program = self.kubelet.programs.of(&instance.image);
        let present = images::present(self.node, &instance.image);
        let policy = fields::text(container, "/imagePullPolicy");
        let always = policy == "Always" || (policy.is_empty() && instance.image.tag == "latest");
        let mut events = Vec::new();
        let mut pulled = None;
        let mut begun = since;
        if !present || always {
            let reason = fields::text(old, "/state/waiting/reason");
            let backing_off = matches!(reason, "ErrImagePull" | "ImagePullBackOff");
            let (last, next) = images::attempts(since, self.now);
            // Between two attempts nothing is tried.
            if backing_off && self.now.since(last) >= Duration::from_secs(1) {
                let wait = next.since(self.now);
                if reason == "ImagePullBackOff" {
                    return Step::of(old.clone()).after(wait);
                }
                let why = fields::text(old, "/state/waiting/message");
                let message = format!("Back-off pulling image \"{reference}\": ErrImagePull: {why}");
                let step = Step::of(waiting(old, "ImagePullBackOff", &message)).after(wait);
                let told = format!("Back-off pulling image \"{reference}\"");
                return step.tell("BackOff", told).warn("Failed", "Error: ImagePullBackOff".to_owned());
            }
            if let Err(why) =
                images::pull(&*self.around.api, self.pod, &instance.image, &*program, &*self.kubelet.faults)
            {
                let step = Step::of(waiting(old, "ErrImagePull", &why)).after(Duration::from_secs(1));
                let told = format!("Failed to pull image \"{reference}\": {why}");
                let step = step.tell("Pulling", format!("Pulling image \"{reference}\""));
                return step.warn("Failed", told).warn("Failed", "Error: ErrImagePull".to_owned());
            }
            let megabytes = program.megabytes(&instance.image);
            let whole = durations::pull(megabytes).mul_f64(self.kubelet.faults.pull_factor(&instance.image));
            let duration = if present { durations::PULL_LEAST } else { whole };
            let done = last.plus(duration);
            if self.now < done {
                let known = fields::text(old, "/state/waiting/reason") == "ContainerCreating";
                let step = Step::of(waiting(old, "ContainerCreating", "")).after(done.since(self.now));
                let first = !known || old.get("imageID").is_none_or(|id| id == "") && self.now.since(last).is_zero();
                return if first { step.tell("Pulling", format!("Pulling image \"{reference}\"")) } else { step };
            }
            begun = done;
            let size = megabytes * 1_000_000;
            let words = format!(
                "Successfully pulled image \"{reference}\" in {:.3}s ({:.3}s including waiting). Image size: {size} bytes.",
                duration.as_secs_f64(),
                duration.as_secs_f64()
            );
            events.push((Mood::Normal, "Pulled", words));
            pulled = Some(json!({"names": [instance.image.reference()], "sizeBytes": size}));
        }
        if let Err(message) = mounts::environment(&*self.around.api, self.pod, container) {
            let mut step =
                Step::of(waiting(old, "CreateContainerConfigError", &message)).after(Duration::from_secs(10));
            step.events = events;
            step.pulled = pulled;
            return step.warn("Failed", format!("Error: {message}"));
        }
        let due = begun.plus(durations::CONTAINER_START);
        if self.now < due {
            let mut step = Step::of(waiting(old, "ContainerCreating", "")).after(due.since(self.now));
            step.pulled = pulled;
            return step;
        }
        if present && !always {
            let words = format!("Container image \"{reference}\" already present on machine");
            events.push((Mood::Normal, "Pulled", words));
        }
        self.start(container, old, &instance, init, events, pulled)
    }

    /// The process starts now.
    fn start(
        &self,
        container: &Json,
        old: &Json,
        instance: &Instance,
        init: bool,
        mut events: Vec<(Mood, &'static str, String)>,
        pulled: Option<Json>,
    ) -> Step {
        let name = fields::text(container, "/name");
        let mut status = old.clone();
        let again = old.pointer("/lastState/terminated").is_some();
        let count = fields::number(old, "/restartCount").unwrap_or_default() + i64::from(again);
        status["restartCount"] = json!(count);
        status["image"] = json!(instance.image.reference());
        status["imageID"] = json!(images::id(&instance.image));
        let id = Sha256::digest(format!("{}/{name}/{count}", fields::uid(self.pod)));
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        status["containerID"] = json!(format!("containerd://{id}"));
        status["state"] = json!({"running": {"startedAt": self.now.rfc3339()}});
        status["ready"] = json!(false);
        status["started"] = json!(false);
        events.push((Mood::Normal, "Created", format!("Created container: {name}")));
        events.push((Mood::Normal, "Started", format!("Started container {name}")));
        let program = self.kubelet.programs.of(&instance.image);
        self.kubelet.logs.begin(fields::uid(self.pod), name, self.now, program.log(instance));
        let mut step = self.run(container, &status, init);
        events.append(&mut step.events);
        step.events = events;
        step.pulled = pulled;
        step
    }

    /// A running process: whether it serves by now, or has ended.
    fn run(&self, container: &Json, old: &Json, init: bool) -> Step {
        let started = fields::time(old, "/state/running/startedAt").unwrap_or(self.now);
        let name = fields::text(container, "/name");
        if let Some(crash) = self.kubelet.faults.crash(self.pod, name) {
            return self.end(container, old, started, crash.code, crash.oom, &crash.log, init);
        }
        // The program sees the container as it is about to be.
        let mut seen = (**self.pod).clone();
        put_status(&mut seen, old, init);
        let Some(instance) = Instance::of(&Arc::new(seen), name) else { return Step::of(old.clone()) };
        let program = self.kubelet.programs.of(&instance.image);
        let api = self.around.api.impersonate(&instance.user());
        let around = Surroundings { api, clock: self.around.clock.clone() };
        let settled = fields::flag(old, "/ready") && probes::any(container);
        let mut wait = None;
        let serves = if settled {
            Some(started)
        } else {
            match program.start(&instance, &around) {
                Start::Serves(after) => Some(started.plus(after)),
                Start::Waits(again) => {
                    let lines = program.complaint(&instance);
                    self.kubelet.logs.append(fields::uid(self.pod), name, self.now, &lines);
                    wait = Some(again);
                    None
                }
                Start::Exits { after, code, oom, log } => {
                    let end = started.plus(after);
                    if self.now >= end {
                        return self.end(container, old, started, code, oom, &log, init);
                    }
                    wait = Some(end.since(self.now));
                    None
                }
            }
        };
        let answers = |probe: &Json| program.answers(&instance, &around, probe);
        let ready = || program.ready(&instance, &around);
        let verdict = probes::judge(container, started, self.now, serves, &answers, &ready);
        if let Some((which, why)) = verdict.killed {
            let probe = if which == "startupProbe" { "Startup" } else { "Liveness" };
            let step = self.end(container, old, started, 137, false, &[], init);
            let lower = probe.to_lowercase();
            let told = format!("Container {name} failed {lower} probe, will be restarted");
            return step.warn("Unhealthy", format!("{probe} probe failed: {why}")).tell("Killing", told);
        }
        let mut status = old.clone();
        status["started"] = json!(verdict.started);
        // Init containers that end are ready once they have ended.
        status["ready"] = json!(verdict.ready && (!init || super::is_sidecar(container)));
        let mut step = Step::of(status);
        step.wait = super::sooner(wait, verdict.wait);
        match verdict.unready {
            Some(why) => step.warn("Unhealthy", format!("Readiness probe failed: {why}")),
            None => step,
        }
    }

    /// The process has ended.
    #[expect(clippy::too_many_arguments, reason = "all of them facts of one exit")]
    fn end(
        &self,
        container: &Json,
        old: &Json,
        started: Timestamp,
        code: i32,
        oom: bool,
        log: &[String],
        init: bool,
    ) -> Step {
        let name = fields::text(container, "/name");
        self.kubelet.logs.append(fields::uid(self.pod), name, self.now, log);
        let code = if oom { 137 } else { code };
        let reason = match (oom, code) {
            (true, _) => "OOMKilled",
            (false, 0) => "Completed",
            (false, _) => "Error",
        };
        let mut terminated = json!({
            "exitCode": code, "reason": reason, "startedAt": started.rfc3339(), "finishedAt": self.now.rfc3339(),
            "containerID": old["containerID"],
        });
        let fallback = fields::text(container, "/terminationMessagePolicy") == "FallbackToLogsOnError";
        if fallback && code != 0 && !log.is_empty() {
            terminated["message"] = json!(log.join("\n"));
        }
        let mut status = old.clone();
        status["state"] = json!({"terminated": terminated});
        status["started"] = json!(false);
        status["ready"] = json!(init && code == 0);
        self.ended(container, &status, init)
    }

    /// Decides whether an ended container starts again.
    fn ended(&self, container: &Json, old: &Json, init: bool) -> Step {
        let success = fields::number(old, "/state/terminated/exitCode") == Some(0);
        let policy = match fields::text(self.pod, "/spec/restartPolicy") {
            _ if super::is_sidecar(container) => "Always",
            "" => "Always",
            policy => policy,
        };
        let again = match policy {
            _ if init && !super::is_sidecar(container) => !success && policy != "Never",
            "Always" => true,
            "OnFailure" => !success,
            _ => false,
        };
        if !again {
            return Step::of(old.clone());
        }
        let (due, pause) = restart_at(old, "/state/terminated");
        let mut status = old.clone();
        status["lastState"] = json!({"terminated": old["state"]["terminated"]});
        if self.now >= due {
            let status = waiting(&status, "ContainerCreating", "");
            return self.begin(container, &status, due, init);
        }
        let name = fields::text(container, "/name");
        let pod = format!("{}_{}({})", fields::name(self.pod), fields::namespace(self.pod), fields::uid(self.pod));
        let whose = format!("restarting failed container={name} pod={pod}");
        let message = format!("back-off {} {whose}", go_duration(pause));
        let step = Step::of(waiting(&status, "CrashLoopBackOff", &message)).after(due.since(self.now));
        step.warn("BackOff", format!("Back-off {whose}"))
    }
}

/// When an ended container starts again, and the back-off before that: none after the first end, then 10 s,
/// doubled up to 5 min; a run of ten minutes is forgiven.
fn restart_at(status: &Json, ended: &str) -> (Timestamp, Duration) {
    let finished = fields::time(status, &format!("{ended}/finishedAt")).unwrap_or_default();
    let started = fields::time(status, &format!("{ended}/startedAt")).unwrap_or(finished);
    let count = u32::try_from(fields::number(status, "/restartCount").unwrap_or_default()).unwrap_or(30);
    let pause = match count {
        0 => Duration::ZERO,
        _ if finished.since(started) >= durations::BACKOFF_FORGIVEN => Duration::ZERO,
        n => durations::BACKOFF_FIRST.saturating_mul(1 << (n - 1).min(10)).min(durations::BACKOFF_LONGEST),
    };
    (finished.plus(pause), pause)
}

/// A duration as Go prints it: `10s`, `1m20s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

fn put_status(pod: &mut Json, status: &Json, init: bool) {
    let list = if init { "initContainerStatuses" } else { "containerStatuses" };
    let all = &mut pod["status"][list];
    match all.as_array_mut() {
        Some(all) => match all.iter_mut().find(|known| known["name"] == status["name"]) {
            Some(known) => *known = status.clone(),
            None => all.push(status.clone()),
        },
        None => *all = json!([status]),
    }
}
