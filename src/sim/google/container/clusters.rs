//! Clusters: create, get, list, delete, and what an operation's steps do to them.
//!
//! Changes of a living cluster are in `cluster_updates`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::operations::{self, Act, Draft, Failure, Operation};
use super::{
    CLUSTERS, ClusterFacts, ClusterName, POOLS, Place, Version, defaults, durations, node_pools, nodes, quotas, rules,
};
use crate::env::clock::Timestamp;
use crate::sim::google::answer::Refusal;
use crate::sim::google::{Google, compute, offers};

/// Creates a cluster and its first pools.
///
/// # Errors
/// Google's refusals.
pub fn create(google: &Google, place: &Place, request: Json) -> Result<Operation, Refusal> {
    let wanted = &request["cluster"];
    let name = ClusterName { place: place.clone(), name: wanted["name"].as_str().unwrap_or_default().to_owned() };
    if place.location == "-" {
        return Err(rules::no_location("-"));
    }
    rules::name("cluster", &name.name)?;
    rules::labels(&wanted["resourceLabels"])?;
    if google.world.get(CLUSTERS, &name.key()).is_some() {
        return Err(Refusal::exists(format!("Already exists: {}.", name.path())));
    }
    let pools = first_pools(wanted)?;
    let zones = locations(&name, &wanted["locations"])?;
    let asked = wanted["initialClusterVersion"].as_str().unwrap_or_default();
    let version = match wanted["releaseChannel"]["channel"].as_str() {
        Some(channel) if asked.is_empty() || asked == "-" => {
            let offer = offers::CHANNELS.iter().find(|c| c.name == channel);
            offer.map_or_else(|| rules::version("", "Master"), |offer| Ok(offer.version))?
        }
        _ => rules::version(asked, "Master")?,
    };
    for pool in &pools {
        rules::name("node_pool", pool["name"].as_str().unwrap_or_default())?;
        let zones = node_pools::zones(pool, &zones);
        rules::node_pool(&name, pool, &zones)?;
    }
    quotas::check(google, &name, &pools.iter().map(|p| (p, node_pools::zones(p, &zones))).collect::<Vec<_>>())?;

    let serial = google.serial();
    let id = google.digits(&format!("cluster {serial} {}", name.key()), 64);
    let now = google.clock.now();
    let identity = defaults::Identity {
        dns: format!("{}{}", &id[..8], google.digits(&format!("dns {id}"), 28)),
        number: google.project_number(&place.project),
        pods: u8::try_from(serial % 32 * 4).unwrap_or_default(),
        created: now.rfc3339().replace('Z', "+00:00"),
        tag: tag(google),
        id,
    };
    let resource = defaults::cluster(&name, wanted, &identity, version, &zones);
    let mut resource = resource;
    resource["status"] = json!("PROVISIONING");
    google.world.put(CLUSTERS, &name.key(), json!({"id": identity.id, "serial": serial, "resource": resource}));
    compute::network::cluster_created(google, &facts_of(&name, &identity.id, version));
    let mut failure: Option<(Duration, Failure)> = None;
    for pool in &pools {
        node_pools::put_new(google, &name, &resource, pool, &node_pools::zones(pool, &zones));
        failure = failure.or_else(|| nodes::trouble(google, &name, pool, &node_pools::zones(pool, &zones)));
    }
    let zonal = offers::is_zone(&place.location);
    let total = if zonal { durations::CREATE_ZONAL_CLUSTER } else { durations::CREATE_REGIONAL_CLUSTER };
    let draft = Draft::new("CREATE_CLUSTER").after(total * 6 / 10, Act::StartControlPlane);
    let draft = match failure {
        Some((after, failure)) => draft.failing(after, failure),
        None => draft.after(total * 8 / 10, Act::Nodes).after(total, Act::Status(String::new())),
    };
    Ok(operations::start(google, &name, None, draft))
}

/// The pools of a create request: its `nodePools`, or the default pool that `initialNodeCount` and
/// `nodeConfig` describe.
fn first_pools(cluster: &Json) -> Result<Vec<Json>, Refusal> {
    let pools = cluster["nodePools"].as_array().cloned().unwrap_or_default();
    let count = cluster["initialNodeCount"].as_i64().unwrap_or(0);
    if !pools.is_empty() {
        if count != 0 || cluster.get("nodeConfig").is_some() {
            return Err(Refusal::invalid(
                "Cluster.initial_node_count and cluster.node_config must not be used together with cluster.node_pools.",
            ));
        }
        let mut names: Vec<_> = pools.iter().map(|p| p["name"].as_str().unwrap_or_default()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            // Seen on the live API: not a 400.
            return Err(Refusal::new(500, "INTERNAL", "backendError", "Internal error encountered."));
        }
        return Ok(pools);
    }
    if count < 1 {
        return Err(Refusal::invalid("Cluster.initial_node_count must be greater than zero."));
    }
    let mut pool = json!({"name": "default-pool", "initialNodeCount": count});
    if let Some(config) = cluster.get("nodeConfig") {
        pool["config"] = config.clone();
    }
    Ok(vec![pool])
}

/// The zones of a cluster's nodes.
fn locations(cluster: &ClusterName, wanted: &Json) -> Result<Vec<String>, Refusal> {
    let location = &cluster.place.location;
    let region = offers::region_of(location);
    let wanted: Vec<String> =
        wanted.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
    if wanted.is_empty() {
        let zones = offers::zones_of(region);
        return Ok(if offers::is_zone(location) {
            vec![location.clone()]
        } else {
            zones.into_iter().take(3).collect()
        });
    }
    for zone in &wanted {
        if !offers::is_zone(zone) || offers::region_of(zone) != region {
            return Err(Refusal::invalid(format!("Location \"{zone}\" is not in region \"{region}\".")));
        }
    }
    if offers::is_zone(location) && !wanted.contains(location) {
        return Err(Refusal::invalid(format!("Cluster.locations must contain the cluster's zone \"{location}\".")));
    }
    Ok(wanted)
}

/// A fresh etag or fingerprint.
pub fn tag(google: &Google) -> String {
    google.digits(&format!("tag {}", google.serial()), 8)
}

fn facts_of(name: &ClusterName, id: &str, version: &str) -> ClusterFacts {
    ClusterFacts {
        id: id.to_owned(),
        project: name.place.project.clone(),
        location: name.place.location.clone(),
        name: name.name.clone(),
        version: version.to_owned(),
        short: id.get(..8).unwrap_or_default().to_owned(),
    }
}

/// What the inside of the cluster is started with.
pub fn facts(google: &Google, name: &ClusterName) -> Option<ClusterFacts> {
    let document = google.world.get(CLUSTERS, &name.key())?;
    let version = document["resource"]["currentMasterVersion"].as_str().unwrap_or_default();
    Some(facts_of(name, document["id"].as_str()?, version))
}

/// Every cluster of the world.
pub fn names(google: &Google) -> Vec<ClusterName> {
    let name = |key: &String| {
        let mut parts = key.splitn(3, '/').map(str::to_owned);
        let place = Place { project: parts.next()?, location: parts.next()? };
        Some(ClusterName { place, name: parts.next()? })
    };
    google.world.section(CLUSTERS).keys().filter_map(name).collect()
}

/// One cluster.
///
/// # Errors
/// 404.
pub fn get(google: &Google, name: &ClusterName, version: Version) -> Result<Json, Refusal> {
    let document = operations::require_cluster(google, name)?;
    Ok(show(google, name, &document, version))
}

/// The clusters of a place, in order of their names.
pub fn list(google: &Google, place: &Place, version: Version) -> Vec<Json> {
    let here = |n: &ClusterName| {
        n.place.project == place.project && (place.location == "-" || n.place.location == place.location)
    };
    names(google).iter().filter(|n| here(n)).filter_map(|n| get(google, n, version).ok()).collect()
}

/// The resource with all that is derived: pools, counts, links.
fn show(google: &Google, name: &ClusterName, document: &Json, version: Version) -> Json {
    let mut out = document["resource"].clone();
    let pools = node_pools::list(google, name, version).unwrap_or_default();
    let root = format!("https://container.googleapis.com/{}/{}", version.name(), name.path());
    out["selfLink"] = json!(root);
    let count = nodes::instances(google, name, None).len();
    if count > 0 {
        out["currentNodeCount"] = json!(count);
        // A /24 per node of the pod range, as the recordings round it.
        let prefix: u32 = out["clusterIpv4Cidr"].as_str().and_then(|c| c.split('/').nth(1)?.parse().ok()).unwrap_or(14);
        let share = count as f64 / f64::from(2u32.pow(24u32.saturating_sub(prefix)));
        let share = (share * 1000.0).round() / 1000.0;
        if share > 0.0 {
            out["ipAllocationPolicy"]["defaultPodIpv4RangeUtilization"] = json!(share);
        }
    }
    let urls: Vec<Json> =
        pools.iter().flat_map(|p| p["instanceGroupUrls"].as_array().cloned().unwrap_or_default()).collect();
    if !urls.is_empty() {
        out["instanceGroupUrls"] = json!(urls);
    }
    if let Some(pool) = pools.iter().find(|p| p["name"] == "default-pool") {
        out["nodeConfig"] = pool["config"].clone();
        out["initialNodeCount"] = pool["initialNodeCount"].clone();
    }
    if !pools.is_empty() {
        out["nodePools"] = json!(pools);
    }
    if let Some(object) = out.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    out
}

/// Deletes a cluster.
///
/// # Errors
/// 404, or 400 while something else runs.
pub fn delete(google: &Google, name: &ClusterName) -> Result<Operation, Refusal> {
    operations::require_cluster(google, name)?;
    operations::admit(google, name, None)?;
    change(google, name, &json!({"status": "STOPPING"}));
    let total = durations::DELETE_CLUSTER;
    let draft = Draft::new("DELETE_CLUSTER")
        .after(total / 4, Act::StopControlPlane)
        .after(total / 2, Act::RemoveNodes)
        .after(total, Act::Forget);
    Ok(operations::start(google, name, None, draft))
}

/// Replaces top-level fields of the resource; `null` removes.
pub fn change(google: &Google, name: &ClusterName, change: &Json) {
    let Some(document) = google.world.get(CLUSTERS, &name.key()) else { return };
    let mut document = (*document).clone();
    set_fields(&mut document["resource"], change);
    document["resource"]["etag"] = json!(tag(google));
    google.world.put(CLUSTERS, &name.key(), document);
}

/// Replaces top-level fields; `null` removes.
pub fn set_fields(resource: &mut Json, change: &Json) {
    let (Some(resource), Some(change)) = (resource.as_object_mut(), change.as_object()) else { return };
    for (key, value) in change {
        if value.is_null() {
            Map::remove(resource, key);
        } else {
            resource.insert(key.clone(), value.clone());
        }
    }
}

/// Starts the API server and notes where it is.
///
/// # Errors
/// When it does not start.
pub async fn start_control_plane(google: &Arc<Google>, name: &ClusterName) -> Result<(), String> {
    let Some(facts) = facts(google, name) else { return Ok(()) };
    let Some(planes) = google.planes() else { return Err("nothing runs clusters here".to_owned()) };
    let endpoint = planes.start(&facts).await?;
    let Some(document) = google.world.get(CLUSTERS, &name.key()) else { return Ok(()) };
    let mut document = (*document).clone();
    let resource = &mut document["resource"];
    let ca = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, endpoint.ca_pem.as_bytes());
    // Without an endpoint for addresses what is shown is one that nobody outside reaches.
    let hidden = resource["controlPlaneEndpointsConfig"]["ipEndpointsConfig"]["enabled"] == false;
    let shown =
        if hidden { resource["privateClusterConfig"]["privateEndpoint"].clone() } else { json!(endpoint.address) };
    resource["endpoint"] = shown.clone();
    resource["masterAuth"]["clusterCaCertificate"] = json!(ca);
    if !hidden {
        resource["controlPlaneEndpointsConfig"]["ipEndpointsConfig"]["publicEndpoint"] = shown.clone();
        resource["privateClusterConfig"]["publicEndpoint"] = shown;
    }
    if document != *google.world.get(CLUSTERS, &name.key()).unwrap_or_default() {
        google.world.put(CLUSTERS, &name.key(), document);
    }
    Ok(())
}

/// Stops the API server and forgets what was in the cluster.
pub async fn stop_control_plane(google: &Arc<Google>, name: &ClusterName) {
    if let (Some(facts), Some(planes)) = (facts(google, name), google.planes()) {
        planes.stop(&facts.id).await;
    }
}

/// Whether a control plane should be running: there is an endpoint and nobody has begun to stop it.
pub fn has_control_plane(google: &Google, name: &ClusterName) -> bool {
    google.world.get(CLUSTERS, &name.key()).is_some_and(|d| d["resource"]["endpoint"].is_string())
}

/// The id of the running cluster whose control plane answers to this host name from outside.
pub fn of_name(google: &Google, host: &str) -> Option<String> {
    if !host.ends_with(".gke.goog") {
        return None;
    }
    google.world.section(CLUSTERS).into_values().find_map(|document| {
        let resource = &document["resource"];
        let config = &resource["controlPlaneEndpointsConfig"]["dnsEndpointConfig"];
        let here = config["endpoint"] == json!(host) && config["allowExternalTraffic"] == true;
        (here && resource["endpoint"].is_string()).then(|| document["id"].as_str().map(str::to_owned)).flatten()
    })
}

/// Removes the cluster's documents and what Google made for it.
pub fn forget(google: &Google, name: &ClusterName) {
    let prefix = format!("{}/", name.key());
    for key in google.world.section(POOLS).into_keys().filter(|key| key.starts_with(&prefix)) {
        google.world.remove(POOLS, &key);
    }
    if let Some(facts) = facts(google, name) {
        compute::network::cluster_deleted(google, &facts, google.faults.leftovers());
    }
    google.world.remove(CLUSTERS, &name.key());
}

/// When the cluster was made, for things that count from there.
pub fn created(google: &Google, name: &ClusterName) -> Option<Timestamp> {
    let document = google.world.get(CLUSTERS, &name.key())?;
    Timestamp::parse(document["resource"]["createTime"].as_str()?)
}
