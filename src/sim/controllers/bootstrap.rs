//! What GKE puts into every cluster: namespaces, storage classes, quota, the add-ons of kube-system.
//!
//! Written again when missing, as GKE's add-on controller does; changed by nobody. The API server's own
//! beginnings (RBAC defaults, priority classes) are the server's.

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{Controller, Key, Outcome, Surroundings, fields, kinds, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

/// Restores GKE's objects of a cluster.
#[derive(Debug, Clone)]
pub struct Addons {
    objects: std::sync::Arc<Vec<Json>>,
}

impl Addons {
    /// GKE's objects, ready to be written, for a cluster of this ingress uid.
    pub fn new(ingress_uid: &str) -> Self {
        Addons { objects: std::sync::Arc::new(objects(ingress_uid)) }
    }
}

#[async_trait]
impl Controller for Addons {
    fn name(&self) -> &'static str {
        "gke-addons"
    }

    fn watches(&self) -> Vec<Gvk> {
        let mut all: Vec<Gvk> = self.objects.iter().filter_map(Gvk::of).collect();
        all.push(kinds::of("Namespace"));
        all.sort();
        all.dedup();
        all
    }

    fn keys(&self, changed: &Key, _: &Json, api: &dyn Api) -> Vec<Key> {
        // Only what is missing is restored; the first namespace to appear sets everything going.
        let first = changed.gvk.kind == "Namespace" && changed.name == "kube-system";
        let gone = api.get(&changed.gvk, &changed.namespace, &changed.name).is_none();
        if first || gone {
            vec![Key { name: String::new(), namespace: String::new(), ..changed.clone() }]
        } else {
            Vec::new()
        }
    }

    async fn reconcile(&self, around: &Surroundings, _: &Key) -> Result<Outcome, Status> {
        for object in self.objects.iter() {
            let Some(gvk) = Gvk::of(object) else { continue };
            if around.api.get(&gvk, fields::namespace(object), fields::name(object)).is_none() {
                writes::create_missing(&around.api, object.clone()).await?;
            }
        }
        Ok(Outcome::Done)
    }
}

const SYSTEM: &str = "kube-system";

fn managed() -> Json {
    json!({"addonmanager.kubernetes.io/mode": "Reconcile", "kubernetes.io/cluster-service": "true"})
}

/// The kind by which managed Prometheus is told what to collect; as much of its schema as says what is wrong.
fn pod_monitoring() -> Json {
    let text = json!({"type": "string"});
    let secret = json!({"type": "object", "properties": {"secret": {
        "type": "object", "required": ["name", "key"], "properties": {"name": text, "key": text, "namespace": text}}}});
    let endpoint = json!({
        "type": "object", "required": ["port"], "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "port": {"x-kubernetes-int-or-string": true}, "path": text, "interval": text,
            "scheme": {"type": "string", "enum": ["http", "https"]},
            "tls": {"type": "object", "properties": {
                "ca": secret, "cert": secret, "key": secret, "serverName": text,
                "insecureSkipVerify": {"type": "boolean"}, "minVersion": text, "maxVersion": text}},
        },
    });
    let spec = json!({
        "type": "object", "required": ["endpoints", "selector"], "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "selector": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "endpoints": {"type": "array", "minItems": 1, "items": endpoint},
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "podmonitorings.monitoring.googleapis.com", "labels": managed()},
        "spec": {
            "group": "monitoring.googleapis.com", "scope": "Namespaced",
            "names": {"plural": "podmonitorings", "singular": "podmonitoring", "kind": "PodMonitoring", "listKind": "PodMonitoringList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {
                    "apiVersion": text, "kind": text, "metadata": {"type": "object"}, "spec": spec,
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
            }],
        },
    })
}

/// All of GKE's objects.
pub fn objects(ingress_uid: &str) -> Vec<Json> {
    let mut all = Vec::new();
    for name in ["gke-managed-cim", "gke-managed-system", "gke-managed-volumepopulator", "gmp-public", "gmp-system"] {
        all.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": managed()}}));
    }
    all.push(pod_monitoring());
    all.push(json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "gcp-critical-pods", "namespace": SYSTEM, "labels": managed()},
        "spec": {
            "hard": {"pods": "1G"},
            "scopeSelector": {"matchExpressions": [{
                "operator": "In", "scopeName": "PriorityClass",
                "values": ["system-node-critical", "system-cluster-critical"],
            }]},
        },
    }));
    all.push(json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": "gmp-critical", "labels": managed()}, "value": 1_000_000_000,
        "description": "Used for GMP collector pods.",
    }));
    all.push(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "ingress-uid", "namespace": SYSTEM}, "data": {"provider-uid": ingress_uid, "uid": ingress_uid},
    }));
    all.push(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "cluster-autoscaler-status", "namespace": SYSTEM}, "data": {"status": ""},
    }));
    for (name, kind, provisioner, default, late) in [
        ("standard", "pd-standard", "kubernetes.io/gce-pd", false, false),
        ("standard-rwo", "pd-balanced", "pd.csi.storage.gke.io", true, true),
        ("premium-rwo", "pd-ssd", "pd.csi.storage.gke.io", false, true),
    ] {
        let mut class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": name, "labels": managed()},
            "provisioner": provisioner, "parameters": {"type": kind}, "reclaimPolicy": "Delete",
            "allowVolumeExpansion": true,
            "volumeBindingMode": if late { "WaitForFirstConsumer" } else { "Immediate" },
        });
        if default {
            class["metadata"]["annotations"] = json!({"storageclass.kubernetes.io/is-default-class": "true"});
        }
        all.push(class);
    }
    all.push(json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "pd.csi.storage.gke.io"},
        "spec": {"attachRequired": true, "podInfoOnMount": false},
    }));
    all.push(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": SYSTEM, "labels": {"k8s-app": "kube-dns"}},
        "spec": {
            "clusterIP": "34.118.224.10", "selector": {"k8s-app": "kube-dns"},
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    }));
    // Requests as on a default GKE cluster, so that small nodes are as full as there.
    for (name, image, replicas, cpu, memory) in [
        ("kube-dns", "k8s-dns-kube-dns:1.26.7-gke.0", 2, "260m", "110Mi"),
        ("kube-dns-autoscaler", "cluster-proportional-autoscaler:v1.9.1-gke.0", 1, "20m", "10Mi"),
        ("konnectivity-agent", "proxy-agent:v0.33.1-gke.0", 2, "10m", "30Mi"),
        ("konnectivity-agent-autoscaler", "cluster-proportional-autoscaler:v1.9.1-gke.0", 1, "10m", "10M"),
        ("metrics-server-v1.35.1", "metrics-server:v0.8.0-gke.5", 1, "48m", "105Mi"),
        ("l7-default-backend", "ingress-gce-404-server-with-metrics:v1.25.0", 1, "10m", "20Mi"),
        ("event-exporter-gke", "event-exporter:v0.5.4-gke.1", 1, "10m", "10Mi"),
    ] {
        all.push(account(name));
        all.push(workload(
            "Deployment",
            name,
            image,
            Some(replicas),
            cpu,
            memory,
            &json!([{"operator": "Exists", "key": "components.gke.io/gke-managed-components"}]),
        ));
    }
    let everywhere =
        json!([{"operator": "Exists", "effect": "NoExecute"}, {"operator": "Exists", "effect": "NoSchedule"}]);
    for (name, image, cpu, memory) in [
        ("pdcsi-node", "gcp-compute-persistent-disk-csi-driver:v1.21.4-gke.0", "10m", "20Mi"),
        ("fluentbit-gke", "fluent-bit-gke-exporter:v1.0.3-gke.0", "100m", "200Mi"),
        ("gke-metrics-agent", "gke-metrics-agent:1.18.0-gke.1", "9m", "110Mi"),
        ("netd", "netd:v0.4.20-gke.0", "2m", "30Mi"),
    ] {
        all.push(account(name));
        all.push(workload("DaemonSet", name, image, None, cpu, memory, &everywhere));
    }
    all.push(gpu_plugin(&everywhere));
    all.push(tpu_plugin(&everywhere));
    all
}

fn account(name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM, "labels": managed()}})
}

fn workload(
    kind: &str,
    name: &str,
    image: &str,
    replicas: Option<u32>,
    cpu: &str,
    memory: &str,
    tolerations: &Json,
) -> Json {
    let labels = json!({"k8s-app": name});
    // Names of workloads may hold a version, with dots; those of containers may not.
    let container = name.split_once("-v").map_or(name, |(name, _)| name);
    let class = if kind == "DaemonSet" { "system-node-critical" } else { "system-cluster-critical" };
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": SYSTEM, "labels": managed()},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": name, "priorityClassName": class, "tolerations": tolerations,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "containers": [{
                        "name": container, "image": format!("gke.gcr.io/{image}"),
                        "resources": {"requests": {"cpu": cpu, "memory": memory}},
                    }],
                },
            },
        },
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = json!(replicas);
    }
    object
}

/// GKE's GPU device plugin, with the driver's installer before it; one DaemonSet stands for the three sizes.
fn gpu_plugin(tolerations: &Json) -> Json {
    let name = "nvidia-gpu-device-plugin-small-cos";
    let mut set =
        workload("DaemonSet", name, "nvidia-gpu-device-plugin:v1.0.41-gke.0", None, "50m", "50Mi", tolerations);
    let spec = &mut set["spec"]["template"]["spec"];
    if let Some(spec) = spec.as_object_mut() {
        spec.shift_remove("serviceAccountName");
    }
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
        "nodeSelectorTerms": [{"matchExpressions": [
            {"key": super::devices::GPU_MODEL, "operator": "Exists"},
            {"key": super::devices::NO_PLUGIN, "operator": "DoesNotExist"},
        ]}],
    });
    set
}

fn tpu_plugin(tolerations: &Json) -> Json {
    let mut set = workload(
        "DaemonSet",
        "tpu-device-plugin",
        "tpu-device-plugin:20251110-gke.0",
        None,
        "50m",
        "50Mi",
        tolerations,
    );
    let spec = &mut set["spec"]["template"]["spec"];
    if let Some(spec) = spec.as_object_mut() {
        spec.shift_remove("serviceAccountName");
    }
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
        "nodeSelectorTerms": [{"matchExpressions": [
            {"key": "cloud.google.com/gke-tpu-accelerator", "operator": "Exists"},
        ]}],
    });
    set
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sim::controllers::bench::Bench;
    use crate::sim::controllers::cluster;
    use crate::sim::controllers::faults::NoFaults;

    #[test]
    fn the_server_takes_all_of_them() {
        let bench = Bench::new(cluster::programs(Vec::new()), Arc::new(NoFaults));
        bench.run(async {
            for object in objects("0123456789abcdef") {
                bench.create(object).await;
            }
        });
    }
}
