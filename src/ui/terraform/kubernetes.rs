//! Kubernetes objects in the words of Terraform's kubernetes provider.
//!
//! Its types follow the API by rules that hold for all of them: names in snake case, structures as blocks (lists of
//! one), lists of structures as repeated blocks with names in the singular. Tables hold what the rules do not say. Kinds
//! without a type of their own are a `kubernetes_manifest`, whose `manifest` is the object as it is.

use crate::value::{Map, Value};

/// The type of whatever has none of its own.
pub const MANIFEST: &str = "kubernetes_manifest";

/// A type of the provider.
pub struct Type {
    plain: &'static str,
    versioned: &'static str,
}

impl Type {
    /// Its name, as most rules have it or as the provider recommends it.
    pub fn name(&self, versioned: bool) -> String {
        if versioned { self.versioned } else { self.plain }.to_owned()
    }
}

/// Group, kind, and the type's two names.
const TYPES: &[(&str, &str, Type)] = &[
    ("", "ConfigMap", Type { plain: "kubernetes_config_map", versioned: "kubernetes_config_map_v1" }),
    ("", "LimitRange", Type { plain: "kubernetes_limit_range", versioned: "kubernetes_limit_range_v1" }),
    ("", "Namespace", Type { plain: "kubernetes_namespace", versioned: "kubernetes_namespace_v1" }),
    (
        "",
        "PersistentVolumeClaim",
        Type { plain: "kubernetes_persistent_volume_claim", versioned: "kubernetes_persistent_volume_claim_v1" },
    ),
    ("", "Pod", Type { plain: "kubernetes_pod", versioned: "kubernetes_pod_v1" }),
    ("", "ResourceQuota", Type { plain: "kubernetes_resource_quota", versioned: "kubernetes_resource_quota_v1" }),
    ("", "Secret", Type { plain: "kubernetes_secret", versioned: "kubernetes_secret_v1" }),
    ("", "Service", Type { plain: "kubernetes_service", versioned: "kubernetes_service_v1" }),
    ("", "ServiceAccount", Type { plain: "kubernetes_service_account", versioned: "kubernetes_service_account_v1" }),
    ("apps", "DaemonSet", Type { plain: "kubernetes_daemonset", versioned: "kubernetes_daemon_set_v1" }),
    ("apps", "Deployment", Type { plain: "kubernetes_deployment", versioned: "kubernetes_deployment_v1" }),
    ("apps", "StatefulSet", Type { plain: "kubernetes_stateful_set", versioned: "kubernetes_stateful_set_v1" }),
    ("batch", "CronJob", Type { plain: "kubernetes_cron_job", versioned: "kubernetes_cron_job_v1" }),
    ("batch", "Job", Type { plain: "kubernetes_job", versioned: "kubernetes_job_v1" }),
    ("networking.k8s.io", "Ingress", Type { plain: "kubernetes_ingress_v1", versioned: "kubernetes_ingress_v1" }),
    (
        "networking.k8s.io",
        "NetworkPolicy",
        Type { plain: "kubernetes_network_policy", versioned: "kubernetes_network_policy_v1" },
    ),
    (
        "policy",
        "PodDisruptionBudget",
        Type { plain: "kubernetes_pod_disruption_budget", versioned: "kubernetes_pod_disruption_budget_v1" },
    ),
    (
        "rbac.authorization.k8s.io",
        "ClusterRole",
        Type { plain: "kubernetes_cluster_role", versioned: "kubernetes_cluster_role_v1" },
    ),
    (
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        Type { plain: "kubernetes_cluster_role_binding", versioned: "kubernetes_cluster_role_binding_v1" },
    ),
    ("rbac.authorization.k8s.io", "Role", Type { plain: "kubernetes_role", versioned: "kubernetes_role_v1" }),
    (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        Type { plain: "kubernetes_role_binding", versioned: "kubernetes_role_binding_v1" },
    ),
];

/// Lists whose blocks are called otherwise than the list in snake case.
const BLOCKS: &[(&str, &str)] = &[
    ("containers", "container"),
    ("initContainers", "init_container"),
    ("volumes", "volume"),
    ("volumeMounts", "volume_mount"),
    ("volumeDevices", "volume_device"),
    ("volumeClaimTemplates", "volume_claim_template"),
    ("ports", "port"),
    ("tolerations", "toleration"),
    ("topologySpreadConstraints", "topology_spread_constraint"),
    ("nodeSelectorTerms", "node_selector_term"),
    ("readinessGates", "readiness_gate"),
    ("httpHeaders", "http_header"),
    ("rules", "rule"),
    ("subjects", "subject"),
    ("secrets", "secret"),
    ("paths", "path"),
    ("limits", "limit"),
];

/// Names that snake case by letters gets wrong, or that stand for another.
const NAMES: &[(&str, &str)] = &[("nonResourceURLs", "non_resource_urls"), ("stringData", "data")];

/// Maps whose keys are the user's: they stay as they are.
const MAPS: &[&str] = &[
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "data",
    "stringData",
    "binaryData",
    "limits",
    "requests",
    "hard",
    "default",
    "defaultRequest",
    "max",
    "min",
    "maxLimitRequestRatio",
    "driverOpts",
    "volumeAttributes",
];

/// The type of a kind of the API.
pub fn type_of(group: &str, kind: &str) -> Option<&'static Type> {
    TYPES.iter().find(|(g, k, _)| *g == group && *k == kind).map(|(_, _, found)| found)
}

/// The attributes of a typed resource.
pub fn attributes(object: &Value) -> Map {
    let mut map = Map::new();
    for (key, value) in object.as_map().into_iter().flatten() {
        if matches!(key.as_str(), "apiVersion" | "kind" | "status") {
            continue;
        }
        let (name, value) = attribute(key, value);
        match (map.get_mut(&name), value) {
            // `data` and `stringData` of a Secret are one.
            (Some(Value::Map(known)), Value::Map(more)) => known.extend(more),
            (_, value) => {
                map.insert(name, value);
            }
        }
    }
    map
}

fn attribute(key: &str, value: &Value) -> (String, Value) {
    match value {
        Value::Map(map) if is_plain(key, map) => (name_of(key), value.clone()),
        Value::Map(map) => (name_of(key), Value::List(vec![Value::Map(block(map))])),
        Value::List(items) if items.iter().any(|item| item.as_map().is_some()) => {
            let blocks = items.iter().map(|item| match item {
                Value::Map(map) => Value::Map(block(map)),
                other => other.clone(),
            });
            (block_of(key), Value::List(blocks.collect()))
        }
        other => (name_of(key), other.clone()),
    }
}

fn block(map: &Map) -> Map {
    map.iter().map(|(key, value)| attribute(key, value)).collect()
}

/// Whether a map is one of the user's keys. A selector is one where it has nothing but texts.
fn is_plain(key: &str, map: &Map) -> bool {
    MAPS.contains(&key) || (key == "selector" && map.values().all(|value| value.scalar_text().is_some()))
}

fn block_of(key: &str) -> String {
    match BLOCKS.iter().find(|(ours, _)| *ours == key) {
        Some((_, theirs)) => (*theirs).to_owned(),
        None => name_of(key),
    }
}

fn name_of(key: &str) -> String {
    match NAMES.iter().find(|(ours, _)| *ours == key) {
        Some((_, theirs)) => (*theirs).to_owned(),
        None => snake(key),
    }
}

/// `hostPID` as `host_pid`, `clusterIPs` as `cluster_ips`.
fn snake(name: &str) -> String {
    let letters = name.chars().collect::<Vec<_>>();
    let mut out = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        let begins = before.is_some_and(|before| before.is_ascii_lowercase() || before.is_ascii_digit())
            || (before.is_some_and(|before| before.is_ascii_uppercase())
                && after.is_some_and(|after| after.is_ascii_lowercase())
                && !(after == Some(&'s') && at + 2 == letters.len()));
        if letter.is_ascii_uppercase() && begins {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// The path of an attribute. Structures are blocks, so that each has a position.
pub fn path(path: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, step) in path.iter().enumerate() {
        let next = path.get(at + 1);
        match next {
            Some(next) if next.starts_with('[') => found.push(block_of(step)),
            Some(_) if !MAPS.contains(&step.as_str()) && !step.starts_with('[') => {
                found.extend([name_of(step), "0".to_owned()]);
            }
            _ if at > 0 && MAPS.contains(&path[at - 1].as_str()) => found.push(step.clone()),
            _ => found.push(name_of(step)),
        }
    }
    found
}
