//! What kubelets and programs say of pods that are not ready: container statuses, logs, events; and of pods that have no
//! sidecar where there should be one.

use serde_json::Value as Json;

use super::{Sign, Source};
use crate::diagnosis::facts::Subject;
use crate::diagnosis::look::{View, is_going, label, list, text, time, trouble};

pub(super) fn read(view: &View<'_>, signs: &mut Vec<Sign>) {
    for pod in view.kind("Pod") {
        if is_going(pod) {
            continue;
        }
        sidecar(view, pod, signs);
        if !view.matters(pod) {
            continue;
        }
        for (pointer, list_name) in [
            ("/status/initContainerStatuses", "status.initContainerStatuses"),
            ("/status/containerStatuses", "status.containerStatuses"),
        ] {
            for status in list(pod, pointer) {
                container(pod, status, list_name, signs);
            }
        }
        if text(pod, "/status/phase") == "Failed" && !text(pod, "/status/reason").is_empty() {
            let (reason, message) = (text(pod, "/status/reason"), text(pod, "/status/message"));
            signs.push(Sign::new(Source::Container, Subject::object(pod), "status.reason", reason, message));
        }
    }
    for log in &view.facts.logs {
        let subject = Subject::new("Pod", &log.namespace, &log.pod);
        if !view.find(&subject).is_some_and(|pod| view.matters(pod)) {
            continue;
        }
        let field = format!("log of {}{}", log.container, if log.previous { " (before it ended)" } else { "" });
        signs.push(Sign::new(Source::Log, subject, field, "", &log.text));
    }
    events(view, signs);
}

fn container(pod: &Json, status: &Json, list_name: &str, signs: &mut Vec<Sign>) {
    let name = text(status, "/name");
    let of = |state: &str| format!("{list_name}[{name}].{state}");
    let image = text(status, "/image").to_owned();
    let waiting = text(status, "/state/waiting/reason");
    if !matches!(waiting, "" | "PodInitializing" | "ContainerCreating") {
        let message = text(status, "/state/waiting/message");
        let sign = Sign::new(Source::Container, Subject::object(pod), of("state.waiting"), waiting, message);
        signs.push(sign.what(image.clone()));
    }
    for state in ["state", "lastState"] {
        let Some(ended) = status.pointer(&format!("/{state}/terminated")) else { continue };
        if ended["exitCode"].as_i64().unwrap_or_default() == 0 {
            continue;
        }
        let (reason, code) = (text(ended, "/reason"), &ended["exitCode"]);
        let message = match text(ended, "/message") {
            "" => format!("{reason}, exit code {code}"),
            message => format!("exit code {code}: {message}"),
        };
        let field = of(&format!("{state}.terminated"));
        let sign = Sign::new(Source::Container, Subject::object(pod), field, reason, &message);
        let times = status["restartCount"].as_u64().unwrap_or_default().max(1);
        signs.push(sign.what(name).at(time(ended, "/finishedAt")).times(times));
    }
}

/// A pod that asks for a proxy beside it, by itself or by its namespace, and has none.
fn sidecar(view: &View<'_>, pod: &Json, signs: &mut Vec<Sign>) {
    let own = match label(pod, "sidecar.istio.io/inject") {
        "" => pod.pointer("/metadata/annotations/sidecar.istio.io~1inject").and_then(Json::as_str).unwrap_or_default(),
        own => own,
    };
    let namespace = text(pod, "/metadata/namespace");
    let space = view.get("Namespace", "", namespace);
    let asks = space
        .is_some_and(|space| label(space, "istio-injection") == "enabled" || !label(space, "istio.io/rev").is_empty());
    let is_proxy = |container: &Json| matches!(text(container, "/name"), "istio-proxy");
    let has = ["/spec/containers", "/spec/initContainers"].iter().any(|at| list(pod, at).iter().any(is_proxy));
    let host = pod.pointer("/spec/hostNetwork").and_then(Json::as_bool) == Some(true);
    if has || host || own == "false" || text(pod, "/status/phase") == "Succeeded" || !(own == "true" || asks) {
        return;
    }
    let who = if own == "true" { "it" } else { "its namespace" };
    let text = format!("{who} asks for a sidecar, and it has no container istio-proxy");
    let sign = Sign::new(Source::Object, Subject::object(pod), "spec.containers", "NoSidecar", &text);
    signs.push(sign.at(time(pod, "/metadata/creationTimestamp")));
}

fn events(view: &View<'_>, signs: &mut Vec<Sign>) {
    for event in view.kind("Event") {
        let reason = text(event, "/reason");
        if text(event, "/type") != "Warning" && reason != "Killing" {
            continue;
        }
        let about = &event["involvedObject"];
        let subject = Subject::new(text(about, "/kind"), text(about, "/namespace"), text(about, "/name"));
        // What is gone, or is well again, is no trouble any more.
        let is_over = match view.find(&subject) {
            Some(object) if subject.kind == "Pod" => !view.matters(object),
            Some(object) => trouble(object).is_none(),
            None => view.knows(&subject.kind),
        };
        if is_over {
            continue;
        }
        let times = ["/lastTimestamp", "/series/lastObservedTime", "/eventTime", "/metadata/creationTimestamp"];
        let at = times.iter().find_map(|pointer| time(event, pointer));
        let count = event["count"].as_u64().or_else(|| event.pointer("/series/count")?.as_u64()).unwrap_or(1);
        let sign = Sign::new(Source::Event, subject, format!("event {reason}"), reason, text(event, "/message"));
        signs.push(sign.at(at).times(count));
    }
}
