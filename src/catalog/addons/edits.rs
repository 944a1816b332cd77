//! What a stack changes in charts and stand-ins before they are sent: what no chart has a value for, and what
//! their makers' scripts patch or add afterwards.

use serde_json::{Value as Json, json};

use crate::catalog::addons::sets::Set;
use crate::catalog::documents::{self, set as put, text};
use crate::catalog::expansion::Expansion;
use crate::catalog::{gateway, registries};
use crate::stack::model::Distribution::Rhaii;
use crate::value::Value;

/// What the download of a model may use. The chart's 1Gi ends the download of larger models.
const DOWNLOAD_MEMORY: &str = "24Gi";

/// Where Red Hat's build of Istio puts its CNI plugin: the one namespace whose pods may be critical without a
/// quota of their own.
const CNI_NAMESPACE: &str = "kube-system";

/// Changes one object.
pub(super) fn apply(expansion: &Expansion<'_>, set: &Set, manifest: &mut Value) {
    let key = documents::key(manifest);
    match (set.addon, key.kind.as_str(), key.name.as_str()) {
        ("kserve", "CustomResourceDefinition", _) => {
            let service = ["spec", "conversion", "webhook", "clientConfig", "service", "namespace"];
            if manifest.at(&service).is_some() {
                put(manifest, &service, set.namespace.into());
            }
            let injected = ["metadata", "annotations", "cert-manager.io/inject-ca-from"];
            let certificate = text(manifest, &injected).and_then(|from| Some(from.split_once('/')?.1.to_owned()));
            if let Some(certificate) = certificate {
                put(manifest, &injected, format!("{}/{certificate}", set.namespace).into());
            }
        }
        ("kserve", "ConfigMap", "inferenceservice-config") => configure(expansion, manifest),
        ("istio", "Istio", _) if set.distribution == Rhaii => merge(manifest, &json!({"spec": {"values": mesh()}})),
        _ => {}
    }
}

/// What KServe's charts have no values for: TLS between gateway and model, the memory of downloads; and the
/// stack's gateway.
fn configure(expansion: &Expansion<'_>, manifest: &mut Value) {
    let (namespace, name) = gateway::place(expansion);
    let tls = expansion.stack.gateway.as_ref().is_none_or(|gateway| gateway.https_port().is_some());
    change(manifest, "ingress", |ingress| {
        ingress["kserveIngressGateway"] = format!("{namespace}/{name}").into();
        ingress["urlScheme"] = if tls { "https" } else { "http" }.into();
        ingress["enableLLMInferenceServiceTLS"] = true.into();
    });
    change(manifest, "storageInitializer", |storage| storage["memoryLimit"] = DOWNLOAD_MEMORY.into());
}

/// Changes the JSON in one key of a ConfigMap.
fn change(manifest: &mut Value, key: &str, with: impl FnOnce(&mut Json)) {
    let Some(Ok(mut json)) = text(manifest, &["data", key]).map(serde_json::from_str::<Json>) else { return };
    with(&mut json);
    let pretty = serde_json::to_string_pretty(&json).unwrap_or_default();
    put(manifest, &["data", key], format!("{pretty}\n").into());
}

/// What the control plane needs on GKE with Red Hat's images.
fn mesh() -> Json {
    json!({
        "global": {"imagePullSecrets": [registries::REDHAT_SECRET], "platform": "gke"},
        "pilot": {"autoscaleEnabled": false, "cni": {"enabled": true}},
    })
}

fn merge(value: &mut Value, other: &Json) {
    match (value, other) {
        (Value::Map(map), Json::Object(other)) => {
            for (key, other) in other {
                merge(map.entry(key.clone()).or_default(), other);
            }
        }
        (value, other) => *value = Value::from_json(other),
    }
}

/// Adds what the makers' scripts add beside their charts, where it is not there yet.
pub(super) fn complete(expansion: &mut Expansion<'_>, component: &str, set: &Set) {
    let pull = json!([{"name": registries::REDHAT_SECRET}]);
    let objects = match (set.addon, set.distribution) {
        // GKE lets pods of the system's priority classes into namespaces with a quota for them only.
        ("gpu-operator", _) => vec![json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "gcp-critical-pods", "namespace": set.namespace},
            "spec": {
                "hard": {"pods": "1000"},
                "scopeSelector": {"matchExpressions": [{
                    "scopeName": "PriorityClass", "operator": "In",
                    "values": ["system-node-critical", "system-cluster-critical"],
                }]},
            },
        })],
        ("istio", Rhaii) => vec![json!({
            "apiVersion": "sailoperator.io/v1", "kind": "IstioCNI", "metadata": {"name": "default"},
            "spec": {
                "namespace": CNI_NAMESPACE,
                "version": istio_version(expansion),
                "values": {
                    "global": {"imagePullSecrets": [registries::REDHAT_SECRET], "platform": "gke"},
                    "cni": {
                        "cniBinDir": "/home/kubernetes/bin", "cniConfDir": "/etc/cni/net.d",
                        "excludeNamespaces": ["istio-system", "kube-system", "gke-managed-system", "gmp-system"],
                    },
                },
            },
        })],
        ("lws", Rhaii) => vec![
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "imagePullSecrets": pull,
                "metadata": {"name": "lws-controller-manager", "namespace": set.namespace},
            }),
            json!({
                "apiVersion": "operator.openshift.io/v1", "kind": "LeaderWorkerSetOperator",
                "metadata": {"name": "cluster"},
                "spec": {"managementState": "Managed", "logLevel": "Normal", "operatorLogLevel": "Normal"},
            }),
        ],
        _ => Vec::new(),
    };
    for object in objects {
        let key = documents::key(&Value::from_json(&object)).to_string();
        if expansion.find(&key).is_none() {
            expansion.own(component, &object);
        }
    }
}

/// The version that the control plane has: the plugin must not be another.
fn istio_version(expansion: &Expansion<'_>) -> String {
    let control_plane = expansion.find("Istio.sailoperator.io/default");
    let resource = expansion.resources.iter().find(|resource| Some(&resource.address) == control_plane.as_ref());
    let version = resource.and_then(|resource| text(&resource.attrs, &["spec", "version"]));
    version.unwrap_or("v1.27-latest").to_owned()
}
