//! The columns of pods: the one word that says how a pod is, and what its containers add to it.

use serde_json::{Value as Json, json};

use super::{Column, age_column, column, condition, count, human, items, name, number, or_none, text};
use crate::env::clock::Timestamp;

/// How a container ended, where it says nothing else.
fn ending(terminated: &Json) -> String {
    match number(&terminated["signal"]) {
        0 => format!("ExitCode:{}", number(&terminated["exitCode"])),
        signal => format!("Signal:{signal}"),
    }
}

/// What a row about a pod says of its containers.
struct Pod {
    ready: usize,
    total: usize,
    /// The one word that says how it is.
    status: String,
    restarts: i64,
    /// When a container ended last.
    ended: Option<Timestamp>,
}

impl Pod {
    fn of(pod: &Json) -> Self {
        let status = &pod["status"];
        let sidecar = |name: &Json| {
            items(&pod["spec"]["initContainers"]).any(|c| c["name"] == *name && c["restartPolicy"] == "Always")
        };
        let sidecars = items(&pod["spec"]["initContainers"]).filter(|c| c["restartPolicy"] == "Always").count();
        let mut row = Pod {
            ready: 0,
            total: count(&pod["spec"]["containers"]) + sidecars,
            status: [&status["reason"], &status["phase"]]
                .map(text)
                .into_iter()
                .find(|t| !t.is_empty())
                .unwrap_or_default(),
            restarts: 0,
            ended: None,
        };
        if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
            row.status = "SchedulingGated".to_owned();
        }
        let initializing = row.initialize(pod, &sidecar);
        let initialized = condition(pod, "Initialized").is_some_and(|c| c["status"] == "True");
        if !initializing || initialized {
            let mut running = false;
            for container in items(&status["containerStatuses"]).rev() {
                row.restarted(container);
                let (waiting, terminated) = (&container["state"]["waiting"], &container["state"]["terminated"]);
                if !text(&waiting["reason"]).is_empty() {
                    row.status = text(&waiting["reason"]);
                } else if terminated.is_object() {
                    let reason = text(&terminated["reason"]);
                    row.status = if reason.is_empty() { ending(terminated) } else { reason };
                } else if container["ready"] == true && container["state"]["running"].is_object() {
                    running = true;
                    row.ready += 1;
                }
            }
            if row.status == "Completed" && running {
                let ready = condition(pod, "Ready").is_some_and(|c| c["status"] == "True");
                row.status = if ready { "Running" } else { "NotReady" }.to_owned();
            }
        }
        let done = matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"));
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if status["reason"] == "NodeLost" {
                row.status = "Unknown".to_owned();
            } else if !done {
                row.status = "Terminating".to_owned();
            }
        }
        row
    }

    fn restarted(&mut self, container: &Json) {
        self.restarts += number(&container["restartCount"]);
        let ended = container["lastState"]["terminated"]["finishedAt"].as_str().and_then(Timestamp::parse);
        self.ended = self.ended.max(ended);
    }

    /// Looks at the containers that run before; whether one of them is not done.
    fn initialize(&mut self, pod: &Json, sidecar: &dyn Fn(&Json) -> bool) -> bool {
        let mut of_sidecars = 0;
        let mut initializing = false;
        for (at, container) in items(&pod["status"]["initContainerStatuses"]).enumerate() {
            self.restarted(container);
            let lasting = sidecar(&container["name"]);
            if lasting {
                of_sidecars += number(&container["restartCount"]);
            }
            let (waiting, terminated) =
                (text(&container["state"]["waiting"]["reason"]), &container["state"]["terminated"]);
            if terminated.is_object() && number(&terminated["exitCode"]) == 0 {
                continue;
            }
            if lasting && container["started"] == true {
                self.ready += usize::from(container["ready"] == true);
                continue;
            }
            let reason = text(&terminated["reason"]);
            self.status = match () {
                () if terminated.is_object() && reason.is_empty() => format!("Init:{}", ending(terminated)),
                () if terminated.is_object() => format!("Init:{reason}"),
                () if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
                () => format!("Init:{at}/{}", count(&pod["spec"]["initContainers"])),
            };
            initializing = true;
            break;
        }
        if !initializing {
            self.restarts = of_sidecars;
        }
        initializing
    }

    fn restarts(&self, now: Timestamp) -> Json {
        match self.ended.filter(|_| self.restarts != 0) {
            Some(ended) => json!(format!("{} ({} ago)", self.restarts, human(now.since(ended).as_secs()))),
            None => json!(self.restarts.to_string()),
        }
    }
}

/// The columns.
pub(super) fn columns() -> Vec<Column> {
    vec![
        name(),
        column("Ready", |o, _| {
            let pod = Pod::of(o);
            json!(format!("{}/{}", pod.ready, pod.total))
        }),
        column("Status", |o, _| json!(Pod::of(o).status)),
        column("Restarts", |o, now| Pod::of(o).restarts(now)),
        age_column(),
        column("IP", |o, _| or_none(text(&o["status"]["podIP"]))).wide(),
        column("Node", |o, _| or_none(text(&o["spec"]["nodeName"]))).wide(),
        column("Nominated Node", |o, _| or_none(text(&o["status"]["nominatedNodeName"]))).wide(),
        column("Readiness Gates", |o, _| {
            let gates: Vec<&Json> = items(&o["spec"]["readinessGates"]).collect();
            let open = |gate: &&&Json| {
                condition(o, gate["conditionType"].as_str().unwrap_or_default()).is_some_and(|c| c["status"] == "True")
            };
            let open = gates.iter().filter(open).count();
            if gates.is_empty() { json!("<none>") } else { json!(format!("{open}/{}", gates.len())) }
        })
        .wide(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_in_one_word() {
        let row = |pod: Json| {
            let row = Pod::of(&pod);
            format!("{}/{} {}", row.ready, row.total, row.status)
        };
        let running = json!({"name": "c", "ready": true, "state": {"running": {}}});
        assert_eq!(
            row(json!({"spec": {"containers": [{}]}, "status": {"phase": "Running", "containerStatuses": [running]}})),
            "1/1 Running"
        );
        let crash = json!({"name": "c", "ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        assert_eq!(
            row(json!({"spec": {"containers": [{}]}, "status": {"phase": "Running", "containerStatuses": [crash]}})),
            "0/1 CrashLoopBackOff"
        );
        let sidecar = json!({"name": "s", "ready": true, "started": true, "state": {"running": {}}});
        let init = json!({"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}});
        let pod = json!({
            "spec": {
                "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}], "containers": [{"name": "c"}],
            },
            "status": {"phase": "Pending", "initContainerStatuses": [sidecar, init]},
        });
        assert_eq!(row(pod), "1/2 Init:1/2");
        let gone = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"containers": [{}]}, "status": {"phase": "Running"}});
        assert_eq!(row(gone), "0/1 Terminating");
    }

    #[test]
    fn restarts_say_when() {
        let status = json!({
            "name": "c", "restartCount": 3, "ready": true, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:00Z"}},
        });
        let pod = json!({"spec": {"containers": [{}]}, "status": {"phase": "Running", "containerStatuses": [status]}});
        let now = Timestamp::parse("2026-01-01T00:05:00Z").expect("time");
        assert_eq!(Pod::of(&pod).restarts(now), "3 (5m ago)");
    }
}
