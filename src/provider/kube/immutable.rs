//! Fields that the API server refuses to change: what forces an object to be made anew.
//!
//! One table, from the validation code of Kubernetes 1.34 (`ValidateXUpdate`). Pure.

use crate::resource::kind::Change;
use crate::value::Value;

/// Kind, group, immutable paths (a prefix each), paths below them that may change all the same.
type Rule = (&'static str, &'static str, &'static [&'static [&'static str]], &'static [&'static [&'static str]]);

const RULES: &[Rule] = &[
    ("Deployment", "apps", &[&["spec", "selector"]], &[]),
    ("ReplicaSet", "apps", &[&["spec", "selector"]], &[]),
    ("DaemonSet", "apps", &[&["spec", "selector"]], &[]),
    (
        "StatefulSet",
        "apps",
        &[&["spec"]],
        &[
            &["spec", "replicas"],
            &["spec", "ordinals"],
            &["spec", "template"],
            &["spec", "updateStrategy"],
            &["spec", "persistentVolumeClaimRetentionPolicy"],
            &["spec", "minReadySeconds"],
            &["spec", "revisionHistoryLimit"],
        ],
    ),
    (
        "Job",
        "batch",
        &[&["spec", "template"], &["spec", "selector"], &["spec", "completionMode"], &["spec", "completions"]],
        &[],
    ),
    ("Service", "", &[&["spec", "clusterIP"], &["spec", "clusterIPs"]], &[]),
    ("RoleBinding", "rbac.authorization.k8s.io", &[&["roleRef"]], &[]),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io", &[&["roleRef"]], &[]),
    ("PersistentVolumeClaim", "", &[&["spec"]], &[&["spec", "resources"], &["spec", "volumeAttributesClassName"]]),
    ("Secret", "", &[&["type"]], &[]),
    (
        "StorageClass",
        "storage.k8s.io",
        &[&["provisioner"], &["parameters"], &["reclaimPolicy"], &["volumeBindingMode"]],
        &[],
    ),
    ("PriorityClass", "scheduling.k8s.io", &[&["value"], &["preemptionPolicy"]], &[]),
    ("RuntimeClass", "node.k8s.io", &[&["handler"]], &[]),
    (
        "CustomResourceDefinition",
        "apiextensions.k8s.io",
        &[&["spec", "group"], &["spec", "scope"], &["spec", "names", "kind"], &["spec", "names", "plural"]],
        &[],
    ),
    ("GatewayClass", "gateway.networking.k8s.io", &[&["spec", "controllerName"]], &[]),
    ("IngressClass", "networking.k8s.io", &[&["spec", "controller"]], &[]),
    ("Pod", "", &[&["spec"]], &[&["spec", "tolerations"], &["spec", "activeDeadlineSeconds"]]),
];

/// Whether a field of a kind can be changed at all.
pub fn is_immutable(group: &str, kind: &str, path: &[&str]) -> bool {
    let below = |prefixes: &[&[&str]]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    let rule = RULES.iter().find(|(name, of, ..)| *name == kind && *of == group);
    rule.is_some_and(|(_, _, immutable, except)| below(immutable) && !below(except))
}

/// Marks a change that cannot be made in place.
pub fn judge(live: &Value, change: &mut Change) {
    let text = |path: &[&str]| live.at(path).and_then(Value::as_str).unwrap_or_default();
    let kind = text(&["kind"]);
    let group = text(&["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
    // `immutable: true` cannot be taken back, nor the data under it be changed.
    let sealed = matches!(kind, "ConfigMap" | "Secret")
        && group.is_empty()
        && live.get("immutable").and_then(Value::as_bool) == Some(true)
        && matches!(change.path.first().map(String::as_str), Some("data" | "binaryData" | "immutable"));
    let below = |prefixes: &[&[&str]]| {
        prefixes.iter().any(|prefix| {
            prefix.len() <= change.path.len() && prefix.iter().zip(&change.path).all(|(want, is)| want == is)
        })
    };
    // Only a Service that had an address cannot change it.
    let unset = kind == "Service" && change.before.is_none();
    let rule = RULES.iter().find(|(name, of, ..)| *name == kind && *of == group);
    if sealed || rule.is_some_and(|(_, _, immutable, except)| !unset && below(immutable) && !below(except)) {
        change.forces_replace = true;
    }
}
