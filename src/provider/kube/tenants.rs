//! What lives in a cluster and owns something outside of it: load balancers and disks. Taken away before the cluster
//! is, whoever made it; GKE promises no more than to try.
//!
//! One look and one round of deletions per call; waiting is the engine's. Not for what a stack records: that has been
//! deleted in order before.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::client::{Cluster, Connections};
use super::refusal::Refusal;
use super::{apply, delete};
use crate::address::ObjectKey;
use crate::provider::google::cluster::Tenants;
use crate::resource::error::ProviderError;
use crate::value::Value;

/// Kinds whose objects own something outside, with their paths.
const OWNERS: &[(&str, &str, &str)] = &[
    ("", "Service", "/api/v1/services"),
    ("gateway.networking.k8s.io", "Gateway", "/apis/gateway.networking.k8s.io/v1/gateways"),
    ("networking.k8s.io", "Ingress", "/apis/networking.k8s.io/v1/ingresses"),
    ("", "PersistentVolumeClaim", "/api/v1/persistentvolumeclaims"),
    ("", "PersistentVolume", "/api/v1/persistentvolumes"),
];

/// How far owners of owners are followed: Pod, StatefulSet, LeaderWorkerSet, LLMInferenceService.
const DEPTH: usize = 6;

/// Through the connections of a run.
pub struct KubeTenants {
    connections: Arc<Connections>,
}

impl KubeTenants {
    /// Over these connections.
    pub fn new(connections: Arc<Connections>) -> Self {
        KubeTenants { connections }
    }
}

#[async_trait]
impl Tenants for KubeTenants {
    async fn free(&self, connection: &Value) -> Result<Vec<String>, ProviderError> {
        let cluster = self.connections.reach(connection)?;
        let mut left = Vec::new();
        for (group, kind, path) in OWNERS {
            for object in list(&cluster, path, kind).await? {
                if !owns(&object, kind) {
                    continue;
                }
                let key = key_of(group, kind, &object);
                // A volume goes with its claim.
                if *kind != "PersistentVolume" && object.pointer("/metadata/deletionTimestamp").is_none() {
                    remove(&cluster, &key, path, &object).await?;
                }
                if *kind == "PersistentVolumeClaim" {
                    free_claim(&cluster, &key).await?;
                }
                left.push(key.to_string());
            }
        }
        Ok(left)
    }
}

fn text<'a>(object: &'a Json, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

fn key_of(group: &str, kind: &str, object: &Json) -> ObjectKey {
    let namespace = Some(text(object, "/metadata/namespace").to_owned()).filter(|namespace| !namespace.is_empty());
    let name = text(object, "/metadata/name").to_owned();
    ObjectKey { group: group.to_owned(), kind: kind.to_owned(), namespace, name }
}

/// Whether an object of these kinds owns something outside the cluster now.
fn owns(object: &Json, kind: &str) -> bool {
    match kind {
        "Service" => {
            let finalizers = object.pointer("/metadata/finalizers").and_then(Json::as_array).into_iter().flatten();
            let mut finalizers = finalizers.filter_map(Json::as_str);
            text(object, "/spec/type") == "LoadBalancer" || finalizers.any(|f| f.contains("load-balancer"))
        }
        // A retained volume stays, as its owner wished, and so does its disk.
        "PersistentVolume" => text(object, "/spec/persistentVolumeReclaimPolicy") == "Delete",
        _ => true,
    }
}

async fn list(cluster: &Cluster, path: &str, kind: &str) -> Result<Vec<Json>, ProviderError> {
    match cluster.get(path).await {
        Ok(list) => Ok(list["items"].as_array().cloned().unwrap_or_default()),
        // A kind that is not served has no objects.
        Err(refusal) if refusal.is_not_found() => Ok(Vec::new()),
        Err(refusal) => Err(refusal.error(&format!("cannot list {kind}"), &Json::Null)),
    }
}

async fn remove(cluster: &Cluster, key: &ObjectKey, path: &str, object: &Json) -> Result<(), ProviderError> {
    let (root, plural) = path.rsplit_once('/').unwrap_or_default();
    let path = match &key.namespace {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}/{}", key.name),
        None => format!("{root}/{plural}/{}", key.name),
    };
    delete::delete(cluster, &path, key, text(object, "/metadata/uid")).await.map(drop)
}

/// A claim stays as long as pods use it: whatever makes those goes.
async fn free_claim(cluster: &Cluster, claim: &ObjectKey) -> Result<(), ProviderError> {
    let namespace = claim.namespace.as_deref().unwrap_or("default");
    let pods = list(cluster, &format!("/api/v1/namespaces/{namespace}/pods"), "Pod").await?;
    let uses = |pod: &&Json| {
        let volumes = pod.pointer("/spec/volumes").and_then(Json::as_array).into_iter().flatten();
        let mut claims = volumes.map(|volume| text(volume, "/persistentVolumeClaim/claimName"));
        claims.any(|name| name == claim.name)
    };
    let mut gone = BTreeSet::new();
    for pod in pods.iter().filter(uses) {
        let mut makers = vec![("v1".to_owned(), key_of("", "Pod", pod), pod.clone())];
        for _ in 0..DEPTH {
            let Some((_, _, last)) = makers.last() else { break };
            let Some(maker) = maker(cluster, namespace, last).await? else { break };
            makers.push(maker);
        }
        let Some((api_version, key, object)) = makers.pop() else { continue };
        if object.pointer("/metadata/deletionTimestamp").is_some() || !gone.insert(key.to_string()) {
            continue;
        }
        let resource = apply::served(cluster, &api_version, &key).await?;
        let path = resource.object(key.namespace.as_deref(), &key.name);
        delete::delete(cluster, &path, &key, text(&object, "/metadata/uid")).await?;
    }
    Ok(())
}

/// What controls an object, if that is still there.
async fn maker(
    cluster: &Cluster,
    namespace: &str,
    object: &Json,
) -> Result<Option<(String, ObjectKey, Json)>, ProviderError> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Json::as_array).into_iter().flatten();
    let Some(owner) = owners.into_iter().find(|owner| owner["controller"] == true) else { return Ok(None) };
    let api_version = text(owner, "/apiVersion").to_owned();
    let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
    let mut key = ObjectKey {
        group,
        kind: text(owner, "/kind").to_owned(),
        namespace: Some(namespace.to_owned()),
        name: text(owner, "/name").to_owned(),
    };
    let Ok(resource) = apply::served(cluster, &api_version, &key).await else { return Ok(None) };
    if !resource.namespaced {
        key.namespace = None;
    }
    match cluster.get(&resource.object(key.namespace.as_deref(), &key.name)).await {
        Ok(found) if text(&found, "/metadata/uid") == text(owner, "/uid") => Ok(Some((api_version, key, found))),
        Ok(_) => Ok(None),
        Err(refusal @ Refusal::Answered { .. }) if refusal.is_not_found() => Ok(None),
        Err(refusal) => Err(refusal.error(&key.to_string(), &Json::Null)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_owns_something_outside_is_in_the_way() {
        let service =
            |kind: &str, finalizers: Json| json!({"spec": {"type": kind}, "metadata": {"finalizers": finalizers}});
        assert!(owns(&service("LoadBalancer", json!([])), "Service"));
        assert!(owns(&service("ClusterIP", json!(["service.kubernetes.io/load-balancer-cleanup"])), "Service"));
        assert!(!owns(&service("ClusterIP", json!(["example.com/keep"])), "Service"));
        let volume = |policy: &str| json!({"spec": {"persistentVolumeReclaimPolicy": policy}});
        assert!(owns(&volume("Delete"), "PersistentVolume") && !owns(&volume("Retain"), "PersistentVolume"));
        assert!(owns(&json!({}), "Gateway"));
    }
}
