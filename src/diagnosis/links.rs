//! Who stands on whom: what cannot be well while something else is not. Read off the objects (owners, volumes, selectors,
//! references) and off the plan's own edges.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::facts::Subject;
use super::look::{View, label, list, text};

/// Edges from what stands to what it stands on.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<Subject, BTreeSet<Subject>>);

/// Things outside of clusters: nothing inside of one carries them.
const OUTSIDE: [&str; 9] = ["cluster", "node pool", "project", "state", "pause", "lease", "account", "part", "run"];

impl Links {
    /// Everything that can be told from what was seen.
    pub fn of(view: &View<'_>) -> Links {
        let mut links = Links::default();
        for (above, below) in &view.facts.needs {
            links.add(above.clone(), below.clone());
        }
        for object in &view.facts.objects {
            let subject = Subject::object(object);
            if let Some(owner) = view.owner(object) {
                links.add(Subject::object(owner), subject.clone());
            }
            match subject.kind.as_str() {
                "Event" => {}
                "Pod" => pod(view, object, &subject, &mut links),
                "Service" => service(view, object, &subject, &mut links),
                "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
                    for hook in list(object, "/webhooks") {
                        let at = |part: &str| text(hook, &format!("/clientConfig/service/{part}"));
                        links.add(subject.clone(), Subject::new("Service", at("namespace"), at("name")));
                    }
                }
                "Certificate" | "CertificateRequest" => certificate(object, &subject, &mut links),
                "Gateway" => gateway(view, object, &subject, &mut links),
                "Node" => {
                    let pool = label(object, "cloud.google.com/gke-nodepool");
                    links.add(subject.clone(), Subject::of("node pool", pool));
                    // Devices of nodes come from what an operator runs on them.
                    if !label(object, "cloud.google.com/gke-accelerator").is_empty() {
                        for policy in view.kind("ClusterPolicy") {
                            links.add(Subject::of("device of", &subject.name), Subject::object(policy));
                        }
                        links.add(Subject::of("device of", &subject.name), subject.clone());
                    }
                }
                kind if kind.ends_with("Route") => route(object, &subject, &mut links),
                "ClusterPolicy" => {
                    let daemons = view
                        .kind("DaemonSet")
                        .iter()
                        .filter(|set| view.owner(set).is_some_and(|o| o["kind"] == "ClusterPolicy"));
                    daemons.for_each(|set| links.add(subject.clone(), Subject::object(set)));
                }
                _ => {}
            }
            if !subject.namespace.is_empty() {
                links.add(subject.clone(), Subject::of("Namespace", &subject.namespace));
            }
        }
        for thing in &view.facts.things {
            if thing.kind == "node pool" {
                let clusters = view.facts.things.iter().filter(|thing| thing.kind == "cluster");
                clusters
                    .for_each(|c| links.add(Subject::of("node pool", &thing.name), Subject::of("cluster", &c.name)));
            }
        }
        links
    }

    fn add(&mut self, above: Subject, below: Subject) {
        if above != below && !below.name.is_empty() {
            self.0.entry(above).or_default().insert(below);
        }
    }

    /// Everything that these stand on, directly or not, themselves included.
    pub fn below<'s>(&self, subjects: impl IntoIterator<Item = &'s Subject>) -> BTreeSet<Subject> {
        let mut seen = BTreeSet::new();
        let mut queue = subjects.into_iter().cloned().collect::<Vec<_>>();
        let inside = queue.iter().any(|subject| !OUTSIDE.contains(&subject.kind.as_str()));
        while let Some(next) = queue.pop() {
            if seen.insert(next.clone()) {
                queue.extend(self.0.get(&next).into_iter().flatten().cloned());
            }
        }
        if inside {
            // Whatever is in a cluster stands on it.
            seen.insert(Subject::of("cluster", ""));
        }
        seen
    }
}

fn pod(view: &View<'_>, pod: &Json, subject: &Subject, links: &mut Links) {
    let namespace = &subject.namespace;
    let node = text(pod, "/spec/nodeName");
    if node.is_empty() {
        for thing in view.facts.things.iter().filter(|thing| thing.kind == "node pool") {
            links.add(subject.clone(), Subject::of("node pool", &thing.name));
        }
        links.add(subject.clone(), Subject::of("pause", &view.facts.stack));
        // A device that no node offers is one that some node should.
        for node in view.kind("Node") {
            links.add(subject.clone(), Subject::of("device of", text(node, "/metadata/name")));
        }
    } else {
        links.add(subject.clone(), Subject::of("Node", node));
    }
    links.add(subject.clone(), Subject::new("ServiceAccount", namespace, text(pod, "/spec/serviceAccountName")));
    for volume in list(pod, "/spec/volumes") {
        for (kind, pointer) in [
            ("Secret", "/secret/secretName"),
            ("ConfigMap", "/configMap/name"),
            ("PersistentVolumeClaim", "/persistentVolumeClaim/claimName"),
        ] {
            links.add(subject.clone(), Subject::new(kind, namespace, text(volume, pointer)));
        }
    }
}

fn service(view: &View<'_>, service: &Json, subject: &Subject, links: &mut Links) {
    let Some(selector) = service.pointer("/spec/selector").and_then(Json::as_object).filter(|s| !s.is_empty()) else {
        return;
    };
    let takes =
        |labels: Option<&Json>| selector.iter().all(|(key, value)| labels.is_some_and(|l| l.get(key) == Some(value)));
    for (kind, pointer) in [("Pod", "/metadata/labels"), ("Deployment", "/spec/template/metadata/labels")] {
        for object in view.kind(kind) {
            if text(object, "/metadata/namespace") == subject.namespace && takes(object.pointer(pointer)) {
                links.add(subject.clone(), Subject::object(object));
            }
        }
    }
}

fn certificate(object: &Json, subject: &Subject, links: &mut Links) {
    let issuer = |part: &str| text(object, &format!("/spec/issuerRef/{part}"));
    let kind = if issuer("kind").is_empty() { "Issuer" } else { issuer("kind") };
    let namespace = if kind == "ClusterIssuer" { "" } else { &subject.namespace };
    links.add(subject.clone(), Subject::new(kind, namespace, issuer("name")));
    if subject.kind == "Certificate" {
        links.add(Subject::new("Secret", &subject.namespace, text(object, "/spec/secretName")), subject.clone());
    }
}

fn gateway(view: &View<'_>, gateway: &Json, subject: &Subject, links: &mut Links) {
    let class = text(gateway, "/spec/gatewayClassName");
    links.add(subject.clone(), Subject::of("GatewayClass", class));
    // The class is made by the controller.
    for deployment in view.kind("Deployment").iter().filter(|d| label(d, "app") == class || label(d, "app") == "istiod")
    {
        links.add(Subject::of("GatewayClass", class), Subject::object(deployment));
    }
    for kind in ["Service", "Deployment"] {
        for object in view.kind(kind) {
            let ours = label(object, "gateway.networking.k8s.io/gateway-name") == subject.name
                && text(object, "/metadata/namespace") == subject.namespace;
            if ours {
                links.add(subject.clone(), Subject::object(object));
            }
        }
    }
    for listener in list(gateway, "/spec/listeners") {
        for reference in list(listener, "/tls/certificateRefs") {
            let namespace = match text(reference, "/namespace") {
                "" => &subject.namespace,
                namespace => namespace,
            };
            links.add(subject.clone(), Subject::new("Secret", namespace, text(reference, "/name")));
        }
    }
}

fn route(route: &Json, subject: &Subject, links: &mut Links) {
    let at = |reference: &Json, default: &str| {
        let namespace = match text(reference, "/namespace") {
            "" => &subject.namespace,
            namespace => namespace,
        };
        let kind = match text(reference, "/kind") {
            "" => default,
            kind => kind,
        };
        Subject::new(kind, namespace, text(reference, "/name"))
    };
    for parent in list(route, "/spec/parentRefs") {
        links.add(subject.clone(), at(parent, "Gateway"));
    }
    for rule in list(route, "/spec/rules") {
        for backend in list(rule, "/backendRefs") {
            links.add(subject.clone(), at(backend, "Service"));
        }
    }
}
