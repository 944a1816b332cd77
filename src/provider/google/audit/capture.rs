//! What a cluster will be known by once it is gone: read from GKE, and from the cluster itself where it answers.
//!
//! Reads only. What cannot be asked for is left out: less can be proven then, and nothing is guessed.

use google_cloud_container_v1::model::Cluster;
use serde_json::Value as Json;

use super::thing::last;
use crate::platform::audit::Captured;
use crate::platform::{Objects, Sought};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// What GKE says.
pub fn of_cluster(project: &str, cluster: &Cluster) -> Captured {
    let groups = cluster.node_pools.iter().flat_map(|pool| &pool.instance_group_urls);
    Captured {
        project: project.to_owned(),
        location: cluster.location.clone(),
        name: cluster.name.clone(),
        id: cluster.id.clone(),
        created: cluster.create_time.clone(),
        network: last(&cluster.network).to_owned(),
        zones: cluster.locations.iter().cloned().collect(),
        node_tag: node_tag(&cluster.name, &cluster.id),
        instance_groups: groups.map(|url| last(url).to_owned()).collect(),
        ..Captured::default()
    }
}

/// The network tag of a cluster's nodes.
pub fn node_tag(name: &str, id: &str) -> String {
    format!("gke-{name}-{}-node", id.get(..8).unwrap_or_default())
}

/// Adds what the cluster itself says.
///
/// # Errors
/// When it does not say everything; what it has said is kept.
pub async fn of_inside(
    objects: &dyn Objects,
    connection: &Value,
    captured: &mut Captured,
) -> Result<(), ProviderError> {
    let look = async |kind: &str, namespace: &str, name: &str| {
        let sought = Sought { api_version: "v1", kind, namespace, name };
        objects.look(Some(connection), &sought).await.map(Option::unwrap_or_default)
    };
    let text = |value: &Json, pointer: &str| value.pointer(pointer).and_then(Json::as_str).map(str::to_owned);
    let system = look("Namespace", "", "kube-system").await?;
    captured.system_uid = text(&system, "/metadata/uid");
    let ingress = look("ConfigMap", "kube-system", "ingress-uid").await?;
    captured.ingress_uids.extend(["/data/uid", "/data/provider-uid"].iter().filter_map(|key| text(&ingress, key)));
    let services = look("Service", "", "").await?;
    for service in services["items"].as_array().into_iter().flatten() {
        // Others have a load balancer too: those that had the type once, until their finalizer is gone.
        let finalizers = service.pointer("/metadata/finalizers").and_then(Json::as_array);
        let freed = finalizers.is_none_or(|finalizers| {
            !finalizers.iter().filter_map(Json::as_str).any(|f| f.contains("load-balancer") || f.contains("gke"))
        });
        if text(service, "/spec/type").as_deref() != Some("LoadBalancer") && freed {
            continue;
        }
        let (Some(uid), Some(name)) = (text(service, "/metadata/uid"), text(service, "/metadata/name")) else {
            continue;
        };
        let namespace = text(service, "/metadata/namespace").unwrap_or_default();
        captured.services.insert(uid, format!("{namespace}/{name}"));
    }
    let volumes = look("PersistentVolume", "", "").await?;
    for volume in volumes["items"].as_array().into_iter().flatten() {
        if text(volume, "/spec/csi/driver").as_deref() == Some("pd.csi.storage.gke.io")
            && let Some(handle) = text(volume, "/spec/csi/volumeHandle")
        {
            // What is to be retained stays, as its owner wished.
            match text(volume, "/spec/persistentVolumeReclaimPolicy").as_deref() {
                Some("Delete") => captured.volumes.insert(handle),
                _ => captured.retained.insert(handle),
            };
        }
    }
    match captured.system_uid {
        Some(_) => Ok(()),
        None => Err(ProviderError::new(ErrorClass::Unknown, "the namespace kube-system has no uid")),
    }
}
