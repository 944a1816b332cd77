//! ResourceQuota: a namespace holds no more than its quotas say.
//!
//! Quotas with scopes are not judged here: what they cover is a matter of priority classes, which GKE's own rules
//! look at. What counts is what is there now, not what a quota's status says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{Attributes, Cluster, Operation, Plugin};
use crate::openapi::quantity::Quantity;
use crate::sim::kube::api::Status;
use crate::sim::kube::fault::qualified;

/// The plugin.
pub(super) struct Quota;

/// Amounts by name, in billionths.
type Amounts = BTreeMap<String, i128>;

const WHOLE: i128 = 1_000_000_000;

fn nanos(value: &Json) -> i128 {
    Quantity::of(value).map_or(0, |quantity| quantity.nanos())
}

fn ended(pod: &Json) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// What one object uses of everything that can be limited.
fn usage(group: &str, plural: &str, object: &Json) -> Amounts {
    let mut used = Amounts::new();
    used.insert(format!("count/{}", qualified(plural, group)), WHOLE);
    let old_names =
        ["secrets", "configmaps", "persistentvolumeclaims", "services", "replicationcontrollers", "resourcequotas"];
    if group.is_empty() && old_names.contains(&plural) {
        used.insert(plural.to_owned(), WHOLE);
    }
    match (group, plural) {
        ("", "pods") if ended(object) => used.clear(),
        ("", "pods") => {
            used.insert("pods".to_owned(), WHOLE);
            for (name, amount) in needs(object) {
                if let Some(plain) = name.strip_prefix("requests.").filter(|n| matches!(*n, "cpu" | "memory")) {
                    used.insert(plain.to_owned(), amount);
                }
                used.insert(name, amount);
            }
        }
        ("", "services") => {
            let kind = object["spec"]["type"].as_str().unwrap_or_default();
            let ports = object["spec"]["ports"].as_array().map_or(0, Vec::len);
            if matches!(kind, "NodePort" | "LoadBalancer") {
                used.insert("services.nodeports".to_owned(), WHOLE * i128::try_from(ports).unwrap_or(0));
            }
            if kind == "LoadBalancer" {
                used.insert("services.loadbalancers".to_owned(), WHOLE);
            }
        }
        ("", "persistentvolumeclaims") => {
            let storage = nanos(&object["spec"]["resources"]["requests"]["storage"]);
            used.insert("requests.storage".to_owned(), storage);
            if let Some(class) = object["spec"]["storageClassName"].as_str() {
                used.insert(format!("{class}.storageclass.storage.k8s.io/requests.storage"), storage);
                used.insert(format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"), WHOLE);
            }
        }
        _ => {}
    }
    used
}

/// What a pod asks for and may take: its containers together, or the largest of those that run before.
fn needs(pod: &Json) -> Amounts {
    let of = |container: &Json| {
        let mut amounts = Amounts::new();
        for list in ["requests", "limits"] {
            for (name, value) in container["resources"][list].as_object().into_iter().flatten() {
                amounts.insert(format!("{list}.{name}"), nanos(value));
            }
        }
        amounts
    };
    let mut needs = Amounts::new();
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        for (name, amount) in of(container) {
            *needs.entry(name).or_default() += amount;
        }
    }
    for container in pod["spec"]["initContainers"].as_array().into_iter().flatten() {
        for (name, amount) in of(container) {
            let known = needs.entry(name).or_default();
            *known = (*known).max(amount);
        }
    }
    needs
}

/// Containers that do not say what a quota wants to know.
fn unsaid(pod: &Json, hard: &Json) -> Vec<String> {
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        for name in hard.as_object().into_iter().flatten().map(|(name, _)| name.as_str()) {
            let (list, resource) = match name {
                "cpu" | "memory" => ("requests", name),
                _ => match name.split_once('.') {
                    Some((list @ ("requests" | "limits"), resource @ ("cpu" | "memory"))) => (list, resource),
                    _ => continue,
                },
            };
            if container["resources"][list][resource].is_null() {
                missing.entry(name).or_default().insert(container["name"].as_str().unwrap_or_default());
            }
        }
    }
    let each = |(name, containers): (&str, BTreeSet<&str>)| {
        format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
    };
    missing.into_iter().map(each).collect()
}

/// `2`, `500m`, `3Gi`: as Kubernetes writes an amount of this resource.
fn shown(name: &str, nanos: i128) -> String {
    let whole = nanos / WHOLE;
    if nanos % WHOLE != 0 {
        return format!("{}m", nanos / 1_000_000);
    }
    let bytes = name.ends_with("memory") || name.ends_with("storage");
    let units = [("Ti", 1_i128 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    let unit = units.iter().find(|(_, size)| bytes && whole != 0 && whole % size == 0);
    unit.map_or_else(|| whole.to_string(), |(unit, size)| format!("{}{unit}", whole / size))
}

fn scoped(quota: &Json) -> bool {
    quota["spec"]["scopes"].as_array().is_some_and(|list| !list.is_empty())
        || quota["spec"]["scopeSelector"].is_object()
}

impl Plugin for Quota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn validate(
        &self,
        attributes: &Attributes,
        object: &Json,
        _old: Option<&Json>,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        let (group, plural) = attributes.resource();
        let counted = !(group.is_empty() && matches!(plural, "events" | "resourcequotas"));
        if attributes.operation() != Operation::Create || !attributes.subresource().is_empty() || !counted {
            return Ok(());
        }
        let namespace = attributes.namespace();
        let quotas =
            if namespace.is_empty() { Vec::new() } else { cluster.list("", "resourcequotas", Some(namespace)) };
        let asked = usage(group, plural, object);
        for quota in quotas.iter().filter(|quota| !scoped(quota)) {
            let name = quota["metadata"]["name"].as_str().unwrap_or_default();
            let hard = &quota["spec"]["hard"];
            if plural == "pods" && group.is_empty() {
                let missing = unsaid(object, hard);
                if !missing.is_empty() {
                    return Err(
                        attributes.forbid(&format!("failed quota: {name}: must specify {}", missing.join("; ")))
                    );
                }
            }
            let limited: Vec<(&String, i128, i128)> = hard
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(name, limit)| {
                    Some((name, asked.get(name).copied().filter(|more| *more > 0)?, nanos(limit)))
                })
                .collect();
            if limited.is_empty() {
                continue;
            }
            let mut used = Amounts::new();
            for other in cluster.list(group, plural, Some(namespace)) {
                for (name, amount) in usage(group, plural, &other) {
                    *used.entry(name).or_default() += amount;
                }
            }
            let of = |name: &str| used.get(name).copied().unwrap_or(0);
            let mut over: Vec<_> = limited.into_iter().filter(|(name, more, limit)| of(name) + more > *limit).collect();
            over.sort();
            if !over.is_empty() {
                let list = |value: &dyn Fn(&(&String, i128, i128)) -> i128| {
                    let all = over.iter().map(|entry| format!("{}={}", entry.0, shown(entry.0, value(entry))));
                    all.collect::<Vec<_>>().join(",")
                };
                let (requested, there, limit) = (list(&|e| e.1), list(&|e| of(e.0)), list(&|e| e.2));
                let why = format!("exceeded quota: {name}, requested: {requested}, used: {there}, limited: {limit}");
                return Err(attributes.forbid(&why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_uses_what_its_containers_ask_for() {
        let pod = json!({"spec": {
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
                {"name": "b", "resources": {"requests": {"cpu": "1"}}},
            ],
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "2"}}}],
        }});
        let used = usage("", "pods", &pod);
        assert_eq!(shown("requests.cpu", used["requests.cpu"]), "2");
        assert_eq!(shown("requests.memory", used["memory"]), "1Gi");
        assert_eq!(unsaid(&pod, &json!({"limits.cpu": "1", "pods": "3"})), ["limits.cpu for: a,b"]);
    }
}
