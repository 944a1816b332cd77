//! What is seen inside a cluster: objects of the kinds that say something, what is wanted and not there, what the API
//! server says to its creation, and the logs of what does not run.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use serde_json::Value as Json;

use super::mask::Mask;
use super::outside::is_silence;
use super::{Looker, Question, subject, unseen};
use crate::diagnosis::facts::{Facts, Missing, Reach, Refused, Subject, Tried};
use crate::diagnosis::look::{is_going, list, text, trouble};
use crate::platform::Sought;
use crate::platform::standing::{Log, LogOf};
use crate::resource::error::ProviderError;
use crate::resource::model::{Desired, Resource};
use crate::state::model::Intent;
use crate::value::Value;

/// Kinds that say something, whether the stack has any of its own or not.
const KINDS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "Event"),
    ("v1", "Node"),
    ("v1", "Namespace"),
    ("v1", "Service"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "ResourceQuota"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    ("cert-manager.io/v1", "Certificate"),
    ("cert-manager.io/v1", "CertificateRequest"),
    ("cert-manager.io/v1", "Issuer"),
    ("cert-manager.io/v1", "ClusterIssuer"),
    ("gateway.networking.k8s.io/v1", "GatewayClass"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("inference.networking.k8s.io/v1", "InferencePool"),
];

/// Kinds whose objects say nothing, are many or large, or hold what nobody may see. Whether they are there, the state says.
const MUTE: [&str; 12] = [
    "Secret",
    "ConfigMap",
    "CustomResourceDefinition",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "NetworkPolicy",
    "PriorityClass",
    "PodDisruptionBudget",
    "APIService",
];

/// Looks under way at a time.
const PARALLEL: usize = 12;
/// Rehearsals at most: what stands in the way of one usually stands in the way of all.
const REHEARSALS: usize = 12;
/// Pods whose logs are read, at most.
const PODS: usize = 16;
/// Lines of each log.
const LINES: usize = 60;

pub(super) async fn look(
    looker: &Looker<'_>,
    desired: &Desired,
    question: &Question<'_>,
    connection: Option<&Value>,
    facts: &mut Facts,
    mask: &mut Mask,
) {
    let objects = &looker.platforms.objects;
    let system = Sought { api_version: "v1", kind: "Namespace", namespace: "", name: "kube-system" };
    if let Err(error) = looker.once(objects.look(connection, &system)).await {
        if is_silence(&error) {
            facts.reach = Reach::Silent(error.message);
            return;
        }
        facts.unseen.push(unseen("Namespace kube-system", error));
    }
    let wanted = desired.resources.iter().filter(|resource| resource.kind == "k8s.object").collect::<Vec<_>>();
    let subjects = wanted.iter().map(|resource| subject(resource));
    // A namespace of the stack's in which nothing of it is may be where others look for something.
    let namespaces = subjects.map(|of| if of.kind == "Namespace" { of.name } else { of.namespace });
    let mut namespaces = namespaces.collect::<BTreeSet<_>>();
    namespaces.extend(["kube-system".to_owned(), String::new()]);
    facts.namespaces = namespaces.iter().filter(|namespace| !namespace.is_empty()).cloned().collect();
    let kinds = kinds(&wanted);
    let listed = futures_util::stream::iter(kinds.iter().map(|(kind, api_version)| async move {
        let sought = Sought { api_version, kind, namespace: "", name: "" };
        (kind, looker.once(objects.look(connection, &sought)).await)
    }));
    let listed = listed.buffered(PARALLEL).collect::<Vec<_>>().await;
    let (mut known, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for (kind, found) in listed {
        match found {
            Ok(Some(found)) => {
                known.insert(kind.clone());
                let ours = |object: &&Json| namespaces.contains(text(object, "/metadata/namespace"));
                facts.objects.extend(list(&found, "/items").iter().filter(ours).map(slim));
            }
            Ok(None) => {
                unknown.insert(kind.clone());
            }
            Err(error) => facts.unseen.push(unseen(format!("list of {kind}"), error)),
        }
    }
    secrets(looker, connection, &namespaces, mask).await;
    let frontier = missing(question, &wanted, &known, &unknown, facts);
    rehearse(looker, connection, &frontier, question, facts).await;
    logs(looker, connection, facts).await;
}

/// Kinds to list, each with the version that the stack uses.
fn kinds(wanted: &[&Resource]) -> BTreeMap<String, String> {
    let own = wanted.iter().map(|resource| {
        let text = |key: &str| resource.attrs.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("kind"), text("apiVersion"))
    });
    let mut kinds =
        KINDS.iter().map(|(version, kind)| ((*kind).to_owned(), (*version).to_owned())).collect::<BTreeMap<_, _>>();
    for (kind, version) in own.filter(|(kind, _)| !MUTE.contains(&kind.as_str()) && !kind.is_empty()) {
        kinds.entry(kind).or_insert(version);
    }
    kinds
}

/// An object without what nobody looks at.
fn slim(object: &Json) -> Json {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Json::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if let Some(hooks) = object["webhooks"].as_array_mut() {
        for hook in hooks {
            if let Some(ca) =
                hook.pointer_mut("/clientConfig/caBundle").filter(|ca| ca.as_str().is_some_and(|ca| !ca.is_empty()))
            {
                *ca = "(a certificate)".into();
            }
        }
    }
    object
}

/// Learns what the Secrets around hold, so that no log or message shows it. It is not kept.
async fn secrets(looker: &Looker<'_>, connection: Option<&Value>, namespaces: &BTreeSet<String>, mask: &mut Mask) {
    let spaces = namespaces.iter().filter(|namespace| !namespace.is_empty());
    let found = futures_util::stream::iter(spaces.map(|namespace| async move {
        let sought = Sought { api_version: "v1", kind: "Secret", namespace, name: "" };
        looker.once(looker.platforms.objects.look(connection, &sought)).await
    }));
    for found in found.buffered(PARALLEL).collect::<Vec<_>>().await {
        // Who may not see Secrets sees none of them in logs that he may see.
        let Ok(Some(found)) = found else { continue };
        list(&found, "/items").iter().for_each(|secret| mask.secret(secret));
    }
}

/// Notes what is wanted and not there; gives back what nothing that it needs keeps from being there.
fn missing<'d>(
    question: &Question<'_>,
    wanted: &[&'d Resource],
    known: &BTreeSet<String>,
    unknown: &BTreeSet<String>,
    facts: &mut Facts,
) -> Vec<&'d Resource> {
    let there = facts.objects.iter().map(Subject::object).collect::<BTreeSet<_>>();
    let done = |resource: &Resource| {
        let recorded = question.state.resources.get(&resource.address.identity());
        recorded.is_some_and(|r| {
            !r.pending.as_ref().is_some_and(|pending| pending.action == Intent::Create && !pending.sent)
        })
    };
    let is_missing = |resource: &Resource| {
        let subject = subject(resource);
        if known.contains(&subject.kind) {
            !there.contains(&subject)
        } else {
            unknown.contains(&subject.kind) || !done(resource)
        }
    };
    let missing = wanted.iter().copied().filter(|resource| is_missing(resource)).collect::<Vec<_>>();
    let names = missing.iter().map(|resource| subject(resource)).collect::<BTreeSet<_>>();
    facts.missing = missing
        .iter()
        .map(|resource| Missing {
            address: resource.address.to_string(),
            subject: subject(resource),
            made: done(resource),
        })
        .collect();
    // Barriers of whole components stand for their members.
    let mut below: BTreeMap<&Subject, Vec<&Subject>> = BTreeMap::new();
    for (above, on) in &facts.needs {
        below.entry(above).or_default().push(on);
    }
    let blocked = |of: &Subject| {
        let mut queue = below.get(of).cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        while let Some(next) = queue.pop() {
            if names.contains(next) {
                return true;
            }
            if next.kind == "part" && seen.insert(next) {
                queue.extend(below.get(next).into_iter().flatten().copied());
            }
        }
        false
    };
    let frontier = missing.into_iter().filter(|resource| !blocked(&subject(resource))).collect::<Vec<_>>();
    for resource in &frontier {
        let of = subject(resource);
        if unknown.contains(&of.kind) {
            let version = resource.attrs.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
            let text = format!("the cluster does not know {version} {}", of.kind);
            facts.refused.push(Refused {
                subject: Subject::of("CustomResourceDefinition", &of.kind),
                address: resource.address.to_string(),
                tried: Tried::Rehearsal,
                text,
                class: None,
            });
        }
    }
    frontier
}

/// Has the API server go through the creation of what is not there, without keeping it.
async fn rehearse(
    looker: &Looker<'_>,
    connection: Option<&Value>,
    frontier: &[&Resource],
    question: &Question<'_>,
    facts: &mut Facts,
) {
    let whole = frontier.iter().filter(|resource| resource.attrs.is_known());
    // One of each kind first: another kind, another webhook.
    let mut seen = BTreeSet::new();
    let (first, later): (Vec<_>, Vec<_>) = whole.partition(|resource| seen.insert(subject(resource).kind));
    let tried: Vec<&Resource> = first.into_iter().chain(later).take(REHEARSALS).copied().collect();
    let outcomes = futures_util::stream::iter(tried.into_iter().map(|resource| async move {
        let manifest = resource.attrs.to_plain_json();
        (resource, looker.once(looker.platforms.objects.rehearse(connection, &manifest)).await)
    }));
    for (resource, outcome) in outcomes.buffered(PARALLEL).collect::<Vec<_>>().await {
        let of = subject(resource);
        let refused = |text: String, class| Refused {
            subject: of.clone(),
            address: resource.address.to_string(),
            tried: Tried::Rehearsal,
            text,
            class,
        };
        match outcome {
            Err(ProviderError { message, class, .. }) => facts.refused.push(refused(message, Some(class))),
            Ok(()) => {
                let recorded = question.state.resources.get(&resource.address.identity());
                if recorded.is_some_and(|recorded| recorded.pending.is_none()) {
                    let text = "it was made and is not there any more, and nothing is in the way of making it anew";
                    facts.refused.push(refused(format!("deleted by another hand: {text}"), None));
                }
            }
        }
    }
}

/// Logs of containers that have ended, or do not get ready.
async fn logs(looker: &Looker<'_>, connection: Option<&Value>, facts: &mut Facts) {
    let pods = facts.objects.iter().filter(|object| text(object, "/kind") == "Pod");
    let pods = pods.filter(|pod| !is_going(pod) && trouble(pod).is_some()).take(PODS);
    let asked = pods.flat_map(|pod| {
        let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
        let statuses = statuses.into_iter().flat_map(|pointer| list(pod, pointer));
        statuses.flat_map(move |status| {
            let ended = status.pointer("/lastState/terminated/exitCode").and_then(Json::as_i64).is_some_and(|c| c != 0);
            let now = status.pointer("/state/terminated/exitCode").and_then(Json::as_i64).is_some_and(|code| code != 0)
                || (status.pointer("/state/running").is_some() && status["ready"] == false);
            let log = move |previous| LogOf {
                namespace,
                pod: name,
                container: text(status, "/name"),
                previous,
                lines: LINES,
            };
            // While a container waits to be started again, its log is that of the one that has ended.
            let waits = status.pointer("/state/waiting").is_some();
            [(ended && !waits, true), (now || (ended && waits), false)]
                .into_iter()
                .filter(|(is, _)| *is)
                .map(move |(_, previous)| log(previous))
        })
    });
    let asked = asked.collect::<Vec<_>>();
    let read = futures_util::stream::iter(
        asked.iter().map(|of| async move { (of, looker.once(looker.platforms.objects.log(connection, of)).await) }),
    );
    let read = read.buffered(PARALLEL).collect::<Vec<_>>().await;
    // A container that is gone has no log, and that says nothing.
    let logs = read.into_iter().filter_map(|(of, read)| {
        let text = read.ok().filter(|text| !text.trim().is_empty())?;
        Some(Log {
            namespace: of.namespace.to_owned(),
            pod: of.pod.to_owned(),
            container: of.container.to_owned(),
            previous: of.previous,
            text,
        })
    });
    let logs = logs.collect::<Vec<_>>();
    facts.logs = logs;
}
