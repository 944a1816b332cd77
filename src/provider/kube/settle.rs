//! The second look: what must be true besides the object itself before others may rely on it.
//!
//! A namespace has its default service account, a definition is in discovery, a certificate's Secret has its
//! keys, a webhook has endpoints, a volume waits for its first consumer, GPUs are there to be asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

use super::client::Cluster;
use super::discovery::escape;
use super::refusal::Refusal;
use super::status::{condition, readiness};
use crate::resource::error::ProviderError;
use crate::resource::readiness::Readiness;
use crate::value::{Map, Value};

/// Readiness of a live object, after every look that its kind needs.
///
/// # Errors
/// A failed look at the cluster.
pub async fn settled(cluster: &Cluster, object: &Json) -> Result<Readiness, ProviderError> {
    let alone = readiness(object);
    let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    let name = text("/metadata/name");
    let seen = match (group, text("/kind"), &alone) {
        ("", "Namespace", Readiness::Current) => {
            // Pods are refused until the controller has made it.
            let path = format!("/api/v1/namespaces/{}/serviceaccounts/default", escape(name));
            there(cluster, &path).await.map(|found| match found {
                Some(_) => Readiness::Current,
                None => Readiness::waiting("the service account default"),
            })
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition", Readiness::Current) => discovered(cluster, object).await,
        ("cert-manager.io", "Certificate", Readiness::Current) => {
            let secret = text("/spec/secretName");
            let path = format!("/api/v1/namespaces/{}/secrets/{}", escape(text("/metadata/namespace")), escape(secret));
            there(cluster, &path).await.map(|found| {
                let data = found.as_ref().map(|secret| &secret["data"]);
                let has = |key: &str| data.and_then(|data| data[key].as_str()).is_some_and(|value| !value.is_empty());
                match has("tls.crt") && has("tls.key") {
                    true => Readiness::Current,
                    false => Readiness::waiting(format!("the keys in Secret {secret}")),
                }
            })
        }
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
            Readiness::Current,
        ) => answering(cluster, object).await,
        ("", "PersistentVolumeClaim", Readiness::InProgress { .. }) => first_consumer(cluster, object).await,
        ("nvidia.com", "ClusterPolicy", Readiness::Current) => graphics(cluster, object).await,
        _ => return Ok(alone),
    };
    seen.map_err(|refusal| refusal.error(&format!("{} {name}", text("/kind")), &Json::Null))
}

/// What a Certificate shows of the Secret that it fills, under `secret`: the certificates, never the key.
/// Nothing for other kinds, and nothing before it is issued.
///
/// # Errors
/// A failed look at the cluster.
pub async fn shown(cluster: &Cluster, object: &Value) -> Result<Option<Value>, ProviderError> {
    let text = |path: &[&str]| object.at(path).and_then(Value::as_str).unwrap_or_default();
    let is_certificate = text(&["kind"]) == "Certificate" && text(&["apiVersion"]).starts_with("cert-manager.io/");
    let secret = text(&["spec", "secretName"]);
    if !is_certificate || secret.is_empty() {
        return Ok(None);
    }
    let namespace = escape(text(&["metadata", "namespace"]));
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{}", escape(secret));
    let found =
        there(cluster, &path).await.map_err(|refusal| refusal.error(&format!("Secret {secret}"), &Json::Null))?;
    let Some(found) = found else { return Ok(None) };
    let mut shown = Map::new();
    for key in ["ca.crt", "tls.crt"] {
        let decoded = found["data"][key].as_str().and_then(|data| BASE64.decode(data).ok());
        if let Some(pem) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|pem| !pem.is_empty()) {
            shown.insert(key.to_owned(), pem.into());
        }
    }
    Ok((!shown.is_empty()).then_some(Value::Map(shown)))
}

async fn there(cluster: &Cluster, path: &str) -> Result<Option<Json>, Refusal> {
    match cluster.get(path).await {
        Ok(found) => Ok(Some(found)),
        Err(refusal) if refusal.is_not_found() => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// Established comes a moment before the server serves the kind.
async fn discovered(cluster: &Cluster, object: &Json) -> Result<Readiness, Refusal> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
    let versions = object.pointer("/spec/versions").and_then(Json::as_array).into_iter().flatten();
    for version in versions.filter(|version| version["served"].as_bool() == Some(true)) {
        let version = version["name"].as_str().unwrap_or_default();
        if cluster.resource(group, Some(version), kind).await?.is_none() {
            return Ok(Readiness::waiting(format!("the server to serve {kind} in {group}/{version}")));
        }
    }
    Ok(Readiness::Current)
}

/// A webhook that must be asked and has nobody behind it refuses everything.
async fn answering(cluster: &Cluster, object: &Json) -> Result<Readiness, Refusal> {
    let mut looked = Vec::new();
    for webhook in object["webhooks"].as_array().into_iter().flatten() {
        let Some(service) = webhook.pointer("/clientConfig/service") else { continue };
        if webhook["failurePolicy"] == "Ignore" || looked.contains(&service) {
            continue;
        }
        looked.push(service);
        let (namespace, name) = (service["namespace"].as_str().unwrap_or("default"), service["name"].as_str());
        let name = name.unwrap_or_default();
        let selector = escape(&format!("kubernetes.io/service-name={name}"));
        let namespace = escape(namespace);
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector={selector}");
        let slices = there(cluster, &path).await?.unwrap_or_default();
        let mut endpoints = slices["items"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        // An absent `ready` means ready.
        let ready = endpoints.any(|endpoint| endpoint.pointer("/conditions/ready") != Some(&Json::Bool(false)));
        if !ready {
            return Ok(Readiness::waiting(format!("an endpoint of the webhook's service {name}")));
        }
    }
    Ok(Readiness::Current)
}

/// A claim of a class that binds late waits for a pod, and a pod must not wait for the claim.
async fn first_consumer(cluster: &Cluster, claim: &Json) -> Result<Readiness, Refusal> {
    let Some(class) = claim.pointer("/spec/storageClassName").and_then(Json::as_str) else {
        return Ok(readiness(claim));
    };
    let class = there(cluster, &format!("/apis/storage.k8s.io/v1/storageclasses/{}", escape(class))).await?;
    Ok(match class {
        Some(class) if class["volumeBindingMode"] == "WaitForFirstConsumer" => Readiness::Current,
        Some(_) => readiness(claim),
        None => Readiness::waiting("the storage class, which does not exist"),
    })
}

/// The operator calls itself ready without a GPU node in sight; where there is one its GPUs must be allocatable.
async fn graphics(cluster: &Cluster, policy: &Json) -> Result<Readiness, Refusal> {
    let nodes = there(cluster, "/api/v1/nodes").await?.unwrap_or_default();
    let mut nodes = nodes["items"].as_array().into_iter().flatten().filter(|node| {
        let labels = node.pointer("/metadata/labels");
        let has = |label: &str| labels.and_then(|labels| labels.get(label)).is_some();
        has("cloud.google.com/gke-accelerator") || has("feature.node.kubernetes.io/pci-10de.present")
    });
    let without = nodes.find(|node| {
        let allocatable = node.pointer("/status/allocatable").and_then(|resources| resources.get("nvidia.com/gpu"));
        allocatable.and_then(Json::as_str).is_none_or(|count| count == "0")
    });
    Ok(match without {
        None => Readiness::Current,
        Some(node) => {
            let name = node.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default();
            let reason = condition(policy, "Ready").and_then(|ready| ready["reason"].as_str()).unwrap_or_default();
            Readiness::waiting(format!("nvidia.com/gpu on node {name} ({reason})"))
        }
    })
}
