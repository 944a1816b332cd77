//! Deleting objects, and knowing when what they owned outside the cluster is gone too.

use http::Method;
use serde_json::{Value as Json, json};

use super::client::{Cluster, Content};
use super::discovery::escape;
use super::refusal::Refusal;
use super::status;
use crate::address::ObjectKey;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::readiness::Readiness;

/// Asks for the deletion of this very object. Whether it is gone already: without finalizers and grace the
/// server answers with a Status once it is.
///
/// # Errors
/// The server's refusal.
pub async fn delete(cluster: &Cluster, path: &str, key: &ObjectKey, uid: &str) -> Result<bool, ProviderError> {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    if !uid.is_empty() {
        options["preconditions"] = json!({ "uid": uid });
    }
    match cluster.write(Method::DELETE, path, Content::Json, &options).await {
        Ok(answer) => Ok(answer["kind"] == "Status" && key.kind != "Status"),
        Err(refusal) if refusal.is_not_found() => Ok(true),
        // Another object of that name: the one we meant is gone.
        Err(refusal @ Refusal::Answered { code: 409, .. }) => {
            let error = refusal.error(&key.to_string(), &Json::Null);
            if error.message.contains("UID") || error.message.contains("uid") { Ok(true) } else { Err(error) }
        }
        Err(refusal) => {
            let mut error = refusal.error(&key.to_string(), &Json::Null);
            if error.class == ErrorClass::Unavailable && error.message.contains("failed calling webhook") {
                error.hint = Some(
                    "the service behind the webhook is gone or down: start it again, or delete its webhook configuration"
                        .to_owned(),
                );
            }
            Err(error)
        }
    }
}

/// What the deleted object left behind that is still going: cloud resources are freed by its children's
/// finalizers, and a GPU by the end of its pods. [`Readiness::NotFound`] when nothing is.
///
/// # Errors
/// A failed look at the cluster.
pub async fn remains(cluster: &Cluster, key: &ObjectKey, uid: &str) -> Result<Readiness, ProviderError> {
    let namespace = key.namespace.as_deref().unwrap_or("default");
    let children = match (key.group.as_str(), key.kind.as_str()) {
        ("gateway.networking.k8s.io", "Gateway") => {
            let selector = escape(&format!("gateway.networking.k8s.io/gateway-name={}", key.name));
            list(cluster, &format!("/api/v1/namespaces/{namespace}/services?labelSelector={selector}"), "Service")
                .await?
        }
        ("serving.kserve.io", "LLMInferenceService") => {
            let labels = format!("app.kubernetes.io/name={},app.kubernetes.io/part-of=llminferenceservice", key.name);
            let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={}", escape(&labels));
            list(cluster, &path, "Pod").await?
        }
        // Its revisions have a finalizer of the operator, which must therefore live until they are gone.
        ("sailoperator.io", "Istio") => {
            let revisions = list(cluster, "/apis/sailoperator.io/v1/istiorevisions", "IstioRevision").await?;
            let owned = |revision: &Json| {
                let owners = revision.pointer("/metadata/ownerReferences").and_then(Json::as_array);
                owners.into_iter().flatten().any(|owner| owner["kind"] == "Istio" && owner["name"] == *key.name)
            };
            revisions.into_iter().filter(owned).collect()
        }
        ("", "PersistentVolumeClaim") => {
            let volumes = list(cluster, "/api/v1/persistentvolumes", "PersistentVolume").await?;
            let ours = volumes.into_iter().filter(|volume| {
                let text = |pointer| volume.pointer(pointer).and_then(Json::as_str);
                let claimed = match uid {
                    "" => {
                        text("/spec/claimRef/namespace") == Some(namespace)
                            && text("/spec/claimRef/name") == Some(&key.name)
                    }
                    uid => text("/spec/claimRef/uid") == Some(uid),
                };
                // A retained volume stays, as its owner wished.
                claimed && text("/spec/persistentVolumeReclaimPolicy") == Some("Delete")
            });
            ours.collect()
        }
        _ => Vec::new(),
    };
    let Some(child) = children.first() else { return Ok(Readiness::NotFound) };
    let text = |pointer| child.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let name = format!("{} {}", text("/kind"), text("/metadata/name"));
    let waiting_for = match status::readiness(child) {
        Readiness::Terminating { waiting_for } => format!("{name}: {waiting_for}"),
        _ => format!("{name}, which is its child"),
    };
    Ok(Readiness::Terminating { waiting_for })
}

async fn list(cluster: &Cluster, path: &str, kind: &str) -> Result<Vec<Json>, ProviderError> {
    let list = match cluster.get(path).await {
        Ok(list) => list,
        Err(refusal) if refusal.is_not_found() => return Ok(Vec::new()),
        Err(refusal) => return Err(refusal.error(&format!("cannot list {kind}"), &Json::Null)),
    };
    let items = list["items"].as_array().into_iter().flatten().map(|item| {
        let mut item = item.clone();
        item["kind"] = kind.into();
        item
    });
    Ok(items.collect())
}
