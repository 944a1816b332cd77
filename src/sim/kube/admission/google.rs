//! What GKE adds to admission: tolerations for accelerators, Warden's rules for TPUs, the quota for
//! system-critical pods.

use serde_json::{Value as Json, json};

use super::pods::containers;
use super::{Attributes, Cluster, Operation, Plugin};
use crate::openapi::quantity::Quantity;
use crate::sim::kube::api::Status;

const TPU: &str = "google.com/tpu";
const TOPOLOGY: &str = "cloud.google.com/gke-tpu-topology";
const ACCELERATOR: &str = "cloud.google.com/gke-tpu-accelerator";

/// Names of extended resources that a pod asks for.
fn extended(pod: &mut Json) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for container in containers(pod) {
        for list in ["requests", "limits"] {
            for (name, amount) in container["resources"][list].as_object().into_iter().flatten() {
                let ours = name.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"));
                let none = *amount == json!(0) || amount == "0";
                if ours && !none && !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
    }
    names.sort();
    names
}

/// A pod that asks for an accelerator tolerates the taint of its nodes.
pub(super) struct ExtendedResources;

impl Plugin for ExtendedResources {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        pod: &mut Json,
        _old: Option<&Json>,
        _cluster: &Cluster,
    ) -> Result<(), Status> {
        if !attributes.creates("", "pods") {
            return Ok(());
        }
        let names = extended(pod);
        if names.is_empty() {
            return Ok(());
        }
        let mut list = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        for name in names {
            if !list.iter().any(|t| t["key"] == name.as_str()) {
                list.push(json!({"key": name, "operator": "Exists", "effect": "NoSchedule"}));
            }
        }
        pod["spec"]["tolerations"] = Json::Array(list);
        Ok(())
    }
}

/// TPU pods say which topology they want and ask for whole chips.
pub(super) struct Warden;

impl Plugin for Warden {
    fn name(&self) -> &'static str {
        "Warden"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        pod: &mut Json,
        _old: Option<&Json>,
        _cluster: &Cluster,
    ) -> Result<(), Status> {
        if !attributes.creates("", "pods") || !extended(pod).iter().any(|name| name == TPU) {
            return Ok(());
        }
        let denied = |why: &str| {
            Err(crate::sim::kube::fault::bad_request(format!(
                "admission webhook \"warden-validating.common-webhooks.networking.gke.io\" denied the request: GKE \
                 Warden rejected the request because it violates one or more constraints.\nViolations details: \
                 {{\"[denied by tpu-pod-validation]\":[\"{why}\"]}}\nRequested by user: '{}', groups: \
                 'system:authenticated'.",
                attributes.user()
            )))
        };
        let selects = |key: &str| {
            let simple = !pod["spec"]["nodeSelector"][key].is_null();
            let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
            let terms = required["nodeSelectorTerms"].as_array().into_iter().flatten();
            let mut expressions = terms.flat_map(|term| term["matchExpressions"].as_array().into_iter().flatten());
            simple || expressions.any(|expression| expression["key"] == key)
        };
        for key in [ACCELERATOR, TOPOLOGY] {
            if !selects(key) {
                return denied(&format!("TPU pods must select nodes by {key}"));
            }
        }
        for container in containers(pod) {
            let requests = container["resources"]["requests"][TPU].clone();
            let limits = container["resources"]["limits"][TPU].clone();
            if !requests.is_null() && requests.to_string().trim_matches('"') != limits.to_string().trim_matches('"') {
                return denied("requests and limits of google.com/tpu must be equal");
            }
        }
        Ok(())
    }
}

/// System-critical priority needs a ResourceQuota for it in the pod's namespace.
pub(super) struct CriticalPods;

/// The priority classes that GKE limits.
const CRITICAL: [&str; 2] = ["system-node-critical", "system-cluster-critical"];

fn covers(quota: &Json, class: &str) -> bool {
    quota["spec"]["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten().any(|expression| {
        let named = expression["values"].as_array().is_some_and(|values| values.iter().any(|v| v == class));
        expression["scopeName"] == "PriorityClass"
            && match expression["operator"].as_str() {
                Some("In") => named,
                Some("NotIn") => !named,
                Some("Exists") => true,
                _ => false,
            }
    })
}

fn counts(pod: &Json) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

impl Plugin for CriticalPods {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn validate(
        &self,
        attributes: &Attributes,
        pod: &Json,
        _old: Option<&Json>,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        if attributes.operation() != Operation::Create || !attributes.creates("", "pods") {
            return Ok(());
        }
        let class = pod["spec"]["priorityClassName"].as_str().unwrap_or_default();
        if !CRITICAL.contains(&class) {
            return Ok(());
        }
        let namespace = attributes.namespace();
        let quotas = cluster.list("", "resourcequotas", Some(namespace));
        let matching: Vec<_> = quotas.iter().filter(|quota| covers(quota, class)).collect();
        if matching.is_empty() {
            let why =
                format!("insufficient quota to match these scopes: [{{PriorityClass In [{}]}}]", CRITICAL.join(" "));
            return Err(attributes.forbid(&why));
        }
        for quota in matching {
            let Some(limit) = Quantity::of(&quota["spec"]["hard"]["pods"]).map(|quantity| quantity.units()) else {
                continue;
            };
            let pods = cluster.list("", "pods", Some(namespace));
            let in_scope = |p: &Json| counts(p) && covers(quota, p["spec"]["priorityClassName"].as_str().unwrap_or(""));
            let used = i64::try_from(pods.iter().filter(|p| in_scope(p)).count()).unwrap_or(i64::MAX);
            if used >= limit {
                let name = quota["metadata"]["name"].as_str().unwrap_or_default();
                let why =
                    format!("exceeded quota: {name}, requested: pods=1, used: pods={used}, limited: pods={limit}");
                return Err(attributes.forbid(&why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_scoped() {
        let quota = json!({"spec": {"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]},
        ]}}});
        assert!(covers(&quota, "system-node-critical"));
        assert!(!covers(&quota, "system-cluster-critical"));
        assert!(!covers(&json!({"spec": {"hard": {"pods": 1}}}), "system-node-critical"));
    }
}
