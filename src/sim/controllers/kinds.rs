//! Group and version of Kubernetes' own kinds, by name.

use crate::sim::kube::api::Gvk;

/// The kind of this name. Names that are not in the table are taken for the core group's.
pub fn of(kind: &str) -> Gvk {
    let (group, version) = match kind {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ControllerRevision" => ("apps", "v1"),
        "Job" | "CronJob" => ("batch", "v1"),
        "EndpointSlice" => ("discovery.k8s.io", "v1"),
        "HorizontalPodAutoscaler" => ("autoscaling", "v2"),
        "PodDisruptionBudget" => ("policy", "v1"),
        "StorageClass" | "CSIDriver" | "CSINode" | "VolumeAttachment" => ("storage.k8s.io", "v1"),
        "PriorityClass" => ("scheduling.k8s.io", "v1"),
        "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding" => ("rbac.authorization.k8s.io", "v1"),
        "Lease" => ("coordination.k8s.io", "v1"),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", "v1"),
        "APIService" => ("apiregistration.k8s.io", "v1"),
        "RuntimeClass" => ("node.k8s.io", "v1"),
        _ => ("", "v1"),
    };
    Gvk::new(group, version, kind)
}
