//! What the pods of a workload need before they can start: accounts, mounts, priorities, quotas.

use crate::plan::edges::{Found, Object, Objects, items, text};
use crate::value::Value;

/// A pod template: labels that the pods carry, and their spec.
#[derive(Clone, Copy)]
pub(super) struct Template<'a> {
    /// `metadata` of the pods; `None` for kinds that have none of their own.
    pub metadata: Option<&'a Value>,
    /// Their `spec`.
    pub spec: &'a Value,
}

/// The pod template of an object, when pods come from it.
pub(super) fn template(manifest: &Value) -> Option<Template<'_>> {
    let kind = text(manifest, &["kind"])?;
    let at = |path: &[&str]| {
        let template = manifest.at(path)?;
        Some(Template { metadata: template.get("metadata"), spec: template.get("spec")? })
    };
    match kind {
        "Pod" => Some(Template { metadata: manifest.get("metadata"), spec: manifest.get("spec")? }),
        "Deployment" | "DaemonSet" | "StatefulSet" | "ReplicaSet" | "Job" | "ReplicationController" => {
            at(&["spec", "template"])
        }
        "CronJob" => at(&["spec", "jobTemplate", "spec", "template"]),
        "LeaderWorkerSet" => at(&["spec", "leaderWorkerTemplate", "workerTemplate"]),
        // Its template is a pod spec, not a pod template.
        "LLMInferenceService" => Some(Template { metadata: None, spec: manifest.at(&["spec", "template"])? }),
        _ => None,
    }
}

/// Edges from a workload to what its pods refer to.
pub(super) fn of_template(objects: &Objects<'_>, object: &Object<'_>, template: Template<'_>, found: &mut Found) {
    let (at, namespace, spec) = (object.at, object.namespace, template.spec);
    let account = text(spec, &["serviceAccountName"]).unwrap_or("default");
    found.add(at, objects.get("", "ServiceAccount", namespace, account), "its pods run as this account");
    for secret in items(spec, &["imagePullSecrets"]) {
        let name = text(secret, &["name"]).unwrap_or_default();
        found.add(at, objects.secret(namespace, name), "its images are pulled with this secret");
    }
    for volume in items(spec, &["volumes"]) {
        of_volume(objects, object, volume, found);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, &[list]) {
            of_container(objects, object, container, found);
        }
    }
    if let Some(class) = text(spec, &["priorityClassName"]) {
        found.add(at, objects.get("scheduling.k8s.io", "PriorityClass", "", class), "its pods have this priority");
        for quota in objects.of_kind("", "ResourceQuota").filter(|quota| quota.namespace == namespace) {
            if admits_priority(quota.manifest, class) {
                found.add(at, Some(quota.at), format!("pods of priority {class} are allowed here by this quota only"));
            }
        }
    }
    if let Some(class) = text(spec, &["runtimeClassName"]) {
        found.add(at, objects.get("node.k8s.io", "RuntimeClass", "", class), "its pods run in this runtime class");
    }
    for claim in items(object.manifest, &["spec", "volumeClaimTemplates"]) {
        let class = text(claim, &["spec", "storageClassName"]).unwrap_or_default();
        found.add(at, objects.get("storage.k8s.io", "StorageClass", "", class), "its volumes are of this class");
    }
}

fn of_volume(objects: &Objects<'_>, object: &Object<'_>, volume: &Value, found: &mut Found) {
    let (at, namespace) = (object.at, object.namespace);
    let mut source = |source: &Value| {
        if let Some(name) = text(source, &["configMap", "name"]) {
            found.add(at, objects.get("", "ConfigMap", namespace, name), "its pods mount it");
        }
        let secret = text(source, &["secret", "secretName"]).or_else(|| text(source, &["secret", "name"]));
        if let Some(name) = secret {
            found.add(at, objects.secret(namespace, name), "its pods mount this secret");
        }
        if let Some(name) = text(source, &["persistentVolumeClaim", "claimName"]) {
            found.add(at, objects.get("", "PersistentVolumeClaim", namespace, name), "its pods mount this volume");
        }
    };
    source(volume);
    items(volume, &["projected", "sources"]).iter().for_each(source);
}

fn of_container(objects: &Objects<'_>, object: &Object<'_>, container: &Value, found: &mut Found) {
    let (at, namespace) = (object.at, object.namespace);
    for source in items(container, &["envFrom"]) {
        if let Some(name) = text(source, &["configMapRef", "name"]) {
            found.add(at, objects.get("", "ConfigMap", namespace, name), "its environment comes from it");
        }
        if let Some(name) = text(source, &["secretRef", "name"]) {
            found.add(at, objects.secret(namespace, name), "its environment comes from this secret");
        }
    }
    for variable in items(container, &["env"]) {
        if let Some(name) = text(variable, &["valueFrom", "configMapKeyRef", "name"]) {
            found.add(at, objects.get("", "ConfigMap", namespace, name), "its environment comes from it");
        }
        if let Some(name) = text(variable, &["valueFrom", "secretKeyRef", "name"]) {
            found.add(at, objects.secret(namespace, name), "its environment comes from this secret");
        }
    }
}

/// Whether a quota is scoped to the priority class: GKE lets pods of the system classes only into namespaces
/// that have such a quota.
fn admits_priority(quota: &Value, class: &str) -> bool {
    items(quota, &["spec", "scopeSelector", "matchExpressions"]).iter().any(|scope| {
        text(scope, &["scopeName"]) == Some("PriorityClass")
            && items(scope, &["values"]).iter().any(|value| value.as_str() == Some(class))
    })
}
