//! Which nodes a Pod may run on, and what it needs there: the predicates of scheduler and DaemonSets.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{fields, pods};

/// Whether `spec.nodeSelector` and the required node affinity accept a node.
pub fn selects_node(spec: &Json, node: &Json) -> bool {
    let labels = fields::labels(node);
    if !fields::entries(spec, "/nodeSelector").all(|(key, value)| labels.get(key) == Some(value)) {
        return false;
    }
    let required = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let Some(required) = spec.pointer(required) else { return true };
    fields::list(required, "/nodeSelectorTerms").iter().any(|term| {
        let expressions = fields::list(term, "/matchExpressions");
        let names = fields::list(term, "/matchFields");
        let label = |key: &str| labels.get(key).and_then(Json::as_str);
        // A term without requirements matches nothing.
        !(expressions.is_empty() && names.is_empty())
            && expressions.iter().all(|e| fields::requirement(e, label(fields::text(e, "/key"))))
            && names.iter().all(|e| fields::requirement(e, Some(fields::name(node))))
    })
}

/// The first taint of the node with one of these effects that nothing tolerates, with its value.
pub fn untolerated<'a>(tolerations: &[Json], node: &'a Json, effects: &[&str]) -> Option<&'a Json> {
    let mut taints = fields::list(node, "/spec/taints").iter();
    taints.find(|taint| {
        effects.contains(&fields::text(taint, "/effect")) && !tolerations.iter().any(|t| tolerates(t, taint))
    })
}

/// Whether a toleration tolerates a taint.
pub fn tolerates(toleration: &Json, taint: &Json) -> bool {
    let effect = fields::text(toleration, "/effect");
    let key = fields::text(toleration, "/key");
    let exists = fields::text(toleration, "/operator") == "Exists";
    (effect.is_empty() || effect == fields::text(taint, "/effect"))
        && (key == fields::text(taint, "/key") || (key.is_empty() && exists))
        && (exists || fields::text(toleration, "/value") == fields::text(taint, "/value"))
}

/// What a Pod requests in all, by resource, in thousandths: the larger of what its containers need together
/// and what its init containers need one at a time; sidecars count all along.
pub fn requests(pod: &Json) -> BTreeMap<String, i128> {
    let of = |container: &Json| -> BTreeMap<String, i128> {
        let mut all: BTreeMap<String, i128> = BTreeMap::new();
        // A limit without a request is a request.
        for list in ["/resources/limits", "/resources/requests"] {
            for (name, value) in fields::entries(container, list) {
                all.insert(name.to_owned(), fields::quantity(value));
            }
        }
        all
    };
    let mut sum: BTreeMap<String, i128> = BTreeMap::new();
    let mut peak: BTreeMap<String, i128> = BTreeMap::new();
    for init in fields::list(pod, "/spec/initContainers") {
        let sidecar = fields::text(init, "/restartPolicy") == "Always";
        for (name, value) in of(init) {
            let so_far = sum.get(&name).copied().unwrap_or_default();
            let highest = peak.entry(name.clone()).or_default();
            *highest = (*highest).max(so_far + value);
            if sidecar {
                *sum.entry(name).or_default() += value;
            }
        }
    }
    for container in fields::list(pod, "/spec/containers") {
        for (name, value) in of(container) {
            *sum.entry(name).or_default() += value;
        }
    }
    for (name, value) in fields::entries(pod, "/spec/overhead") {
        *sum.entry(name.to_owned()).or_default() += fields::quantity(value);
    }
    for (name, value) in peak {
        let entry = sum.entry(name).or_default();
        *entry = (*entry).max(value);
    }
    sum.retain(|_, value| *value > 0);
    sum
}

/// What a node can give, by resource, in thousandths.
pub fn allocatable(node: &Json) -> BTreeMap<String, i128> {
    fields::entries(node, "/status/allocatable")
        .map(|(name, value)| (name.to_owned(), fields::quantity(value)))
        .collect()
}

/// The resources of which a node has too little left for a Pod, given those that run there.
pub fn insufficient<'a>(pod: &Json, node: &Json, there: impl Iterator<Item = &'a Json>) -> Vec<String> {
    let mut free = allocatable(node);
    let mut places = free.remove("pods").unwrap_or(110_000);
    for other in there.filter(|other| !pods::has_ended(other)) {
        places -= 1000;
        for (name, value) in requests(other) {
            *free.entry(name).or_default() -= value;
        }
    }
    let mut lacking = Vec::new();
    if places < 1000 {
        lacking.push("Too many pods".to_owned());
    }
    for (name, value) in requests(pod) {
        if free.get(&name).copied().unwrap_or_default() < value {
            lacking.push(format!("Insufficient {name}"));
        }
    }
    lacking
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn init_containers_count_by_their_peak_and_sidecars_all_along() {
        let pod = json!({"spec": {
            "initContainers": [
                {"name": "proxy", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "fetch", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}},
            ],
            "containers": [{"name": "main", "resources": {"requests": {"cpu": "500m"}, "limits": {"nvidia.com/gpu": 1}}}],
        }});
        let requests = requests(&pod);
        assert_eq!(requests["cpu"], 2100);
        assert_eq!(requests["nvidia.com/gpu"], 1000);
        assert_eq!(requests["memory"], 1024 * 1024 * 1024 * 1000);
    }

    #[test]
    fn tolerations() {
        let taint = json!({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"});
        assert!(tolerates(&json!({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}), &taint));
        assert!(tolerates(&json!({"operator": "Exists"}), &taint));
        assert!(!tolerates(&json!({"key": "nvidia.com/gpu", "value": "other"}), &taint));
        assert!(!tolerates(&json!({"key": "google.com/tpu", "operator": "Exists"}), &taint));
    }
}
