//! Admission that is not about pods: namespaces, nodes, storage, roles.

use serde_json::{Value as Json, json};

use super::{Attributes, Cluster, Operation, Plugin};
use crate::sim::kube::api::Status;
use crate::sim::kube::{fault, rbac};

/// No new objects in a namespace that is not there or goes away.
pub(super) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        _object: &mut Json,
        _old: Option<&Json>,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        let namespace = attributes.namespace();
        if attributes.operation() != Operation::Create || namespace.is_empty() {
            return Ok(());
        }
        let (group, plural) = attributes.resource();
        if (group, plural) == ("", "namespaces") || plural.ends_with("accessreviews") {
            return Ok(());
        }
        match cluster.get("", "namespaces", "", namespace) {
            None => Err(fault::not_found("", "namespaces", namespace)),
            Some(found) if found["metadata"]["deletionTimestamp"].is_null() => Ok(()),
            Some(_) => Err(fault::namespace_terminating(group, plural, attributes.name(), namespace)),
        }
    }
}

/// New nodes are not ready.
pub(super) struct NodeTaints;

impl Plugin for NodeTaints {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        object: &mut Json,
        _old: Option<&Json>,
        _cluster: &Cluster,
    ) -> Result<(), Status> {
        const TAINT: &str = "node.kubernetes.io/not-ready";
        if !attributes.creates("", "nodes") {
            return Ok(());
        }
        if !object["spec"]["taints"].is_array() {
            object["spec"]["taints"] = json!([]);
        }
        if let Some(taints) = object["spec"]["taints"].as_array_mut()
            && !taints.iter().any(|t| t["key"] == TAINT && t["effect"] == "NoSchedule")
        {
            taints.push(json!({"key": TAINT, "effect": "NoSchedule"}));
        }
        Ok(())
    }
}

/// A claim without a class gets the default one.
pub(super) struct StorageClassDefault;

impl Plugin for StorageClassDefault {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        object: &mut Json,
        _old: Option<&Json>,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        if !attributes.creates("", "persistentvolumeclaims") || object["spec"]["storageClassName"].is_string() {
            return Ok(());
        }
        let classes = cluster.list("storage.k8s.io", "storageclasses", None);
        let marked =
            |class: &Json| class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
        // Of several defaults the newest counts, then the first by name.
        let newest = |class: &&std::sync::Arc<Json>| {
            let name = class["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            (class["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned(), std::cmp::Reverse(name))
        };
        if let Some(class) = classes.iter().filter(|class| marked(class)).max_by_key(newest) {
            object["spec"]["storageClassName"] = class["metadata"]["name"].clone();
        }
        Ok(())
    }
}

/// Claims and volumes are not deleted under their users.
pub(super) struct StorageProtection;

impl Plugin for StorageProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        object: &mut Json,
        _old: Option<&Json>,
        _cluster: &Cluster,
    ) -> Result<(), Status> {
        let finalizer = if attributes.creates("", "persistentvolumeclaims") {
            "kubernetes.io/pvc-protection"
        } else if attributes.creates("", "persistentvolumes") {
            "kubernetes.io/pv-protection"
        } else {
            return Ok(());
        };
        let mut list = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !list.iter().any(|f| f == finalizer) {
            list.push(Json::from(finalizer));
        }
        object["metadata"]["finalizers"] = Json::Array(list);
        Ok(())
    }
}

/// Nobody grants more than they have.
pub(super) struct Escalation;

impl Plugin for Escalation {
    fn name(&self) -> &'static str {
        "RBAC"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        object: &mut Json,
        old: Option<&Json>,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        let unchanged = old.is_some_and(|old| {
            ["rules", "roleRef", "subjects", "aggregationRule"].iter().all(|key| old.get(*key) == object.get(*key))
        });
        if unchanged { Ok(()) } else { rbac::check_escalation(cluster.0, &attributes.request, object) }
    }
}
