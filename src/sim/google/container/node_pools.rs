//! Node pools: create, get, list, change, resize, delete.
//!
//! A pool's document holds its resource and its instance groups with the size that each should have; `nodes`
//! makes the machines follow.

use serde_json::{Map, Value as Json, json};

use super::durations::{self, Hardware};
use super::operations::{self, Act, Draft, Operation};
use super::{ClusterName, POOLS, Version, clusters, defaults, nodes, quotas, rules};
use crate::sim::google::answer::Refusal;
use crate::sim::google::{Google, offers};

/// The zones of a pool: its own or the cluster's.
pub fn zones(pool: &Json, of_cluster: &[String]) -> Vec<String> {
    let own: Vec<String> =
        pool["locations"].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
    if own.is_empty() { of_cluster.to_vec() } else { own }
}

fn cluster_zones(cluster: &Json) -> Vec<String> {
    zones(cluster, &[])
}

fn missing(pool: &str) -> Refusal {
    Refusal::not_found(format!("Not found: node pool \"{pool}\" not found."))
}

/// The pool's document.
fn document(google: &Google, cluster: &ClusterName, pool: &str) -> Result<Json, Refusal> {
    operations::require_cluster(google, cluster)?;
    google.world.get(POOLS, &cluster.pool_key(pool)).map(|d| (*d).clone()).ok_or_else(|| missing(pool))
}

/// What a pool is made of.
pub fn hardware(pool: &Json) -> Hardware {
    let config = &pool["config"];
    let machine = config["machineType"].as_str().unwrap_or_default();
    match () {
        () if machine.starts_with("ct") => Hardware::Tpu,
        () if config["accelerators"].as_array().is_some_and(|a| !a.is_empty()) => Hardware::Gpu,
        () => Hardware::Cpu,
    }
}

/// Creates a pool.
///
/// # Errors
/// Google's refusals.
pub fn create(google: &Google, cluster: &ClusterName, request: Json) -> Result<Operation, Refusal> {
    let document = operations::require_cluster(google, cluster)?;
    let wanted = &request["nodePool"];
    let name = wanted["name"].as_str().unwrap_or_default();
    rules::name("node_pool", name)?;
    let status = document["resource"]["status"].as_str().unwrap_or_default();
    if google.world.get(POOLS, &cluster.pool_key(name)).is_some() {
        let place = &cluster.place;
        return Err(Refusal::exists(format!(
            "Already exists: projects/{}/{}/clusters/{}/nodePools/{name}.",
            place.project,
            place.words(),
            cluster.name
        )));
    }
    operations::admit(google, cluster, Some(name))?;
    if status == "ERROR" {
        return Err(Refusal::precondition(format!("Cluster {} is in state ERROR.", cluster.name)));
    }
    let resource = &document["resource"];
    let zones = zones(wanted, &cluster_zones(resource));
    rules::node_pool(cluster, wanted, &zones)?;
    quotas::check(google, cluster, &[(wanted, zones.clone())])?;
    put_new(google, cluster, resource, wanted, &zones);
    let total = durations::create_node_pool(hardware(wanted));
    let draft = Draft::new("CREATE_NODE_POOL").pending();
    let draft = match nodes::trouble(google, cluster, wanted, &zones) {
        Some((after, failure)) => draft.failing(after, failure),
        None => draft.after(total * 7 / 10, Act::Nodes).after(total, Act::Status(String::new())),
    };
    Ok(operations::start(google, cluster, Some(name), draft))
}

/// Writes the document of a new pool, PROVISIONING, with its empty instance groups.
pub fn put_new(google: &Google, cluster: &ClusterName, resource: &Json, wanted: &Json, zones: &[String]) {
    let name = wanted["name"].as_str().unwrap_or_default();
    let control_plane = resource["currentMasterVersion"].as_str().unwrap_or_default();
    let version = wanted["version"].as_str().and_then(offers::resolve_version).unwrap_or(control_plane);
    let mut pool = defaults::node_pool(resource, wanted, zones, version);
    pool["status"] = json!("PROVISIONING");
    pool["etag"] = json!(google.uuid(&format!("etag {}", google.serial())));
    let size = wanted["initialNodeCount"].as_u64().unwrap_or(0);
    let groups: Vec<Json> = zones
        .iter()
        .map(|zone| {
            let hash = google.digits(&format!("group {}", google.serial()), 8);
            json!({"zone": zone, "name": group_name(&cluster.name, name, &hash), "size": size})
        })
        .collect();
    let document = json!({"resource": pool, "groups": groups});
    nodes::put_groups(google, cluster, name, &document);
    google.world.put(POOLS, &cluster.pool_key(name), document);
}

/// `gke-<cluster>-<pool>-<8 hex>-grp`: cluster and pool share 32 characters, at least 16 each.
fn group_name(cluster: &str, pool: &str, hash: &str) -> String {
    let cut = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    let pool_share = 32usize.saturating_sub(cluster.len()).max(16);
    let pool = cut(pool, pool_share);
    let cluster = cut(cluster, 32 - pool.len());
    format!("gke-{cluster}-{pool}-{hash}-grp")
}

/// One pool.
///
/// # Errors
/// 404, with different texts for cluster and pool.
pub fn get(google: &Google, cluster: &ClusterName, pool: &str, version: Version) -> Result<Json, Refusal> {
    Ok(show(cluster, &document(google, cluster, pool)?, version))
}

/// The pools of a cluster; the default pool first, the others by name.
///
/// # Errors
/// 404.
pub fn list(google: &Google, cluster: &ClusterName, version: Version) -> Result<Vec<Json>, Refusal> {
    operations::require_cluster(google, cluster)?;
    let mut found: Vec<Json> = documents(google, cluster).iter().map(|(_, d)| show(cluster, d, version)).collect();
    found.sort_by_key(|pool| pool["name"] != "default-pool");
    Ok(found)
}

/// The documents of a cluster's pools, by pool name.
pub fn documents(google: &Google, cluster: &ClusterName) -> Vec<(String, Json)> {
    let prefix = format!("{}/", cluster.key());
    let section = google.world.section(POOLS);
    section.iter().filter_map(|(key, d)| Some((key.strip_prefix(&prefix)?.to_owned(), (**d).clone()))).collect()
}

/// The name of the only pool, if there is exactly one.
pub fn only_pool(google: &Google, cluster: &ClusterName) -> Option<String> {
    match documents(google, cluster).as_slice() {
        [(name, _)] => Some(name.clone()),
        _ => None,
    }
}

fn show(cluster: &ClusterName, document: &Json, version: Version) -> Json {
    let mut out = document["resource"].clone();
    let name = out["name"].as_str().unwrap_or_default();
    out["selfLink"] =
        json!(format!("https://container.googleapis.com/{}/{}/nodePools/{name}", version.name(), cluster.path()));
    let groups = document["groups"].as_array().cloned().unwrap_or_default();
    let url = |g: &Json| {
        let text = |field: &str| g[field].as_str().unwrap_or_default().to_owned();
        json!(format!(
            "https://www.googleapis.com/compute/v1/projects/{}/zones/{}/instanceGroupManagers/{}",
            cluster.place.project,
            text("zone"),
            text("name")
        ))
    };
    let urls: Vec<Json> = groups.iter().map(url).collect();
    if !urls.is_empty() {
        out["instanceGroupUrls"] = json!(urls);
    }
    out
}

/// Replaces top-level fields of the resource; `null` removes. The etag changes.
pub fn change(google: &Google, cluster: &ClusterName, pool: &str, change: &Json) {
    let Ok(mut document) = document(google, cluster, pool) else { return };
    clusters::set_fields(&mut document["resource"], change);
    document["resource"]["etag"] = json!(google.uuid(&format!("etag {}", google.serial())));
    google.world.put(POOLS, &cluster.pool_key(pool), document);
}

/// POST on `nodePools/N:verb`.
///
/// # Errors
/// 404 for cluster, pool or verb; the verb's refusals; 400 while something else runs.
pub fn verb(
    google: &Google,
    cluster: &ClusterName,
    pool: &str,
    verb: &str,
    body: impl FnOnce(&str) -> Result<Json, Refusal>,
) -> Result<Operation, Refusal> {
    match verb {
        "setSize" => set_size(google, cluster, pool, &body("SetNodePoolSizeRequest")?),
        "setAutoscaling" => {
            let request = body("SetNodePoolAutoscalingRequest")?;
            set_autoscaling(google, cluster, pool, &request["autoscaling"])
        }
        "setManagement" => {
            let request = body("SetNodePoolManagementRequest")?;
            document(google, cluster, pool)?;
            operations::admit(google, cluster, Some(pool))?;
            let change = json!({"management": request.get("management").cloned().unwrap_or_else(|| json!({}))});
            let draft =
                Draft::new("SET_NODE_POOL_MANAGEMENT").after(durations::SET_MANAGEMENT, Act::ChangePool(change));
            Ok(operations::start(google, cluster, Some(pool), draft))
        }
        "rollback" => {
            document(google, cluster, pool)?;
            Err(Refusal::precondition(format!("Node pool \"{pool}\" has no upgrade to roll back.")))
        }
        _ => Err(Refusal::not_found("Method not found.")),
    }
}

/// `:completeUpgrade` answers with nothing and starts nothing.
///
/// # Errors
/// 404, or 400: no pool here is in a blue-green upgrade.
pub fn complete_upgrade(google: &Google, cluster: &ClusterName, pool: &str) -> Result<Json, Refusal> {
    document(google, cluster, pool)?;
    Err(Refusal::precondition(format!("Node pool \"{pool}\" is not in a blue-green upgrade.")))
}

fn set_size(google: &Google, cluster: &ClusterName, pool: &str, request: &Json) -> Result<Operation, Refusal> {
    let mut document = document(google, cluster, pool)?;
    let resource = &document["resource"];
    if resource["placementPolicy"]["tpuTopology"].is_string() {
        let text = format!("Unimplemented: Multi-host TPU pool ({pool}) manual resize is not supported.");
        return Err(Refusal::new(501, "UNIMPLEMENTED", "notImplemented", text).because(
            "UNIMPLEMENTED",
            "container.googleapis.com",
            json!({}),
        ));
    }
    let count = request["nodeCount"].as_i64().unwrap_or(0);
    if !(0..=1000).contains(&count) {
        return Err(Refusal::invalid(format!("Invalid value for field \"node_count\": {count}.")));
    }
    operations::admit(google, cluster, Some(pool))?;
    let wanted_zones = zones(resource, &[]);
    let present = document["groups"][0]["size"].as_i64().unwrap_or(0);
    let mut more = resource.clone();
    more["initialNodeCount"] = json!((count - present).max(0));
    quotas::check(google, cluster, &[(&more, wanted_zones.clone())])?;
    let total = if count > present { durations::grow(hardware(resource)) } else { durations::SHRINK };
    let trouble = nodes::trouble(google, cluster, &more, &wanted_zones);
    for group in document["groups"].as_array_mut().into_iter().flatten() {
        group["size"] = json!(count);
    }
    document["resource"]["status"] = json!("RECONCILING");
    document["resource"]["initialNodeCount"] = json!(count);
    if count == 0
        && let Some(resource) = document["resource"].as_object_mut()
    {
        Map::remove(resource, "initialNodeCount");
    }
    nodes::put_groups(google, cluster, pool, &document);
    google.world.put(POOLS, &cluster.pool_key(pool), document);
    let draft = Draft::new("SET_NODE_POOL_SIZE").pending();
    let draft = match trouble {
        Some((after, failure)) => draft.failing(after, failure),
        None => draft.after(total * 6 / 10, Act::Nodes).after(total, Act::Status(String::new())),
    };
    Ok(operations::start(google, cluster, Some(pool), draft))
}

/// Sets a pool's autoscaling; answers UPDATE_CLUSTER, as GKE does.
///
/// # Errors
/// 404, 400.
pub fn set_autoscaling(
    google: &Google,
    cluster: &ClusterName,
    pool: &str,
    autoscaling: &Json,
) -> Result<Operation, Refusal> {
    document(google, cluster, pool)?;
    rules::autoscaling(autoscaling)?;
    operations::admit(google, cluster, Some(pool))?;
    let mut wanted = autoscaling.clone();
    let on = wanted["enabled"] == true;
    if on && wanted["locationPolicy"].is_null() {
        wanted["locationPolicy"] = json!("BALANCED");
    }
    let change = json!({"autoscaling": if on { wanted } else { Json::Null }});
    let draft = Draft::new("UPDATE_CLUSTER").after(durations::UPDATE_CLUSTER, Act::ChangePool(change));
    Ok(operations::start(google, cluster, Some(pool), draft))
}

/// Fields of an update that only touch nodes that stay.
const IN_PLACE: &[&str] =
    &["labels", "taints", "tags", "resourceLabels", "upgradeSettings", "nodeDrainConfig", "locations"];
/// Fields that name the target.
const NAMES: &[&str] = &["name", "projectId", "zone", "clusterId", "nodePoolId", "etag"];

/// PUT of a pool; always answers UPGRADE_NODES.
///
/// # Errors
/// 404, 400, 409 for a stale etag.
pub fn update(google: &Google, cluster: &ClusterName, pool: &str, request: Json) -> Result<Operation, Refusal> {
    let document = document(google, cluster, pool)?;
    let resource = &document["resource"];
    if let Some(etag) = request["etag"].as_str().filter(|etag| Some(*etag) != resource["etag"].as_str()) {
        let text = format!("The etag \"{etag}\" does not match the current state of the resource.");
        return Err(Refusal::new(409, "ABORTED", "aborted", text));
    }
    let fields: Map<String, Json> = request
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !NAMES.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if fields.is_empty() {
        return Err(Refusal::invalid("Must specify a field to update."));
    }
    let mut changed = resource.clone();
    for (field, value) in &fields {
        set_field(&mut changed, field, value)?;
    }
    let new_zones = zones(&changed, &[]);
    let mut checked = changed.clone();
    checked["initialNodeCount"] = json!(document["groups"][0]["size"]);
    rules::node_pool(cluster, &checked, &new_zones)?;
    operations::admit(google, cluster, Some(pool))?;
    let moved = changed["locations"] != resource["locations"];
    if moved {
        relocate(google, cluster, pool, &new_zones);
    }
    change(google, cluster, pool, &json!({"status": "RECONCILING"}));
    let fresh = |field: &str| (changed[field] != resource[field]).then(|| (field.to_owned(), changed[field].clone()));
    let fields_changed: Map<String, Json> =
        ["config", "version", "locations", "upgradeSettings", "queuedProvisioning", "nodeDrainConfig"]
            .into_iter()
            .filter_map(fresh)
            .collect();
    let rolls = fields.keys().any(|field| !IN_PLACE.contains(&field.as_str()));
    let total = nodes::instances(google, cluster, Some(pool)).len() as u64;
    let mut draft = Draft::new("UPGRADE_NODES").pending().nodes(total);
    let mut end = durations::CHANGE_NODES_IN_PLACE;
    draft = draft.after(durations::PENDING, Act::ChangePool(Json::Object(fields_changed)));
    if rolls {
        end = durations::UPGRADE_ONE_NODE * total.max(1);
        for node in 1..=total {
            draft = draft.after(durations::UPGRADE_ONE_NODE * node - 20, Act::ReplaceNode);
        }
    } else if moved {
        end = durations::grow(hardware(resource));
        draft = draft.after(end / 2, Act::Nodes);
    } else {
        draft = draft.after(end / 2, Act::RefreshNodes);
    }
    Ok(operations::start(google, cluster, Some(pool), draft.after(end, Act::Status(String::new()))))
}

/// Gives the pool a group in every zone and takes away those in others.
fn relocate(google: &Google, cluster: &ClusterName, pool: &str, zones: &[String]) {
    let Ok(mut document) = document(google, cluster, pool) else { return };
    let groups = document["groups"].as_array().cloned().unwrap_or_default();
    let size = groups.first().map_or(json!(0), |g| g["size"].clone());
    let fresh = zones
        .iter()
        .map(|zone| match groups.iter().find(|g| g["zone"] == json!(zone)) {
            Some(group) => group.clone(),
            None => {
                let hash = google.digits(&format!("group {}", google.serial()), 8);
                json!({"zone": zone, "name": group_name(&cluster.name, pool, &hash), "size": size})
            }
        })
        .collect::<Vec<_>>();
    document["groups"] = json!(fresh);
    nodes::put_groups(google, cluster, pool, &document);
    google.world.put(POOLS, &cluster.pool_key(pool), document);
}

/// Puts one field of an UpdateNodePoolRequest where it goes.
fn set_field(pool: &mut Json, field: &str, value: &Json) -> Result<(), Refusal> {
    let config = &mut pool["config"];
    // Labels and taints are replaced, not merged; an empty wrapper removes them.
    let inner = |name: &str| value.get(name).cloned();
    match field {
        "labels" | "resourceLabels" => put_or_remove(config, field, inner("labels")),
        "taints" => put_or_remove(config, field, inner("taints")),
        "tags" => put_or_remove(config, field, inner("tags")),
        "nodeVersion" => {
            let version = rules::version(value.as_str().unwrap_or_default(), "Node")?;
            pool["version"] = json!(version);
            pool["config"]["nodeImageConfig"]["image"] = json!(defaults::node_image(version));
        }
        "locations" | "upgradeSettings" | "queuedProvisioning" | "nodeDrainConfig" => {
            pool[field] = value.clone();
            if field == "upgradeSettings" && pool[field]["strategy"].is_null() {
                pool[field]["strategy"] = json!("SURGE");
            }
        }
        "nodeNetworkConfig" => {
            let mut network = pool["networkConfig"].clone();
            defaults::lay(&mut network, value);
            pool["networkConfig"] = network;
        }
        "kubeletConfig" => {
            let mut kubelet = json!({"insecureKubeletReadonlyPortEnabled": false, "maxParallelImagePulls": 2});
            defaults::lay(&mut kubelet, value);
            config[field] = kubelet;
        }
        "diskSizeGb" => {
            let gigabytes: i64 = value.as_str().and_then(|g| g.parse().ok()).unwrap_or(offers::BOOT_DISK_GB);
            config[field] = json!(gigabytes);
            config["bootDisk"]["sizeGb"] = json!(gigabytes.to_string());
        }
        "diskType" => {
            config[field] = value.clone();
            config["bootDisk"]["diskType"] = value.clone();
        }
        "image" | "imageProject" => config["nodeImageConfig"][field] = value.clone(),
        _ => config[field] = value.clone(),
    }
    Ok(())
}

fn put_or_remove(object: &mut Json, field: &str, value: Option<Json>) {
    let Some(object) = object.as_object_mut() else { return };
    match value {
        Some(value) => object.insert(field.to_owned(), value),
        None => Map::remove(object, field),
    };
}

/// Deletes a pool.
///
/// # Errors
/// 404, or 400 while something else runs.
pub fn delete(google: &Google, cluster: &ClusterName, pool: &str) -> Result<Operation, Refusal> {
    document(google, cluster, pool)?;
    operations::admit(google, cluster, Some(pool))?;
    change(google, cluster, pool, &json!({"status": "STOPPING"}));
    let empty = nodes::instances(google, cluster, Some(pool)).is_empty();
    let total = if empty { durations::DELETE_EMPTY_NODE_POOL } else { durations::DELETE_NODE_POOL };
    let draft =
        Draft::new("DELETE_NODE_POOL").pending().after(total * 7 / 10, Act::RemoveNodes).after(total, Act::Forget);
    Ok(operations::start(google, cluster, Some(pool), draft))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_google_names_them() {
        let name = |cluster, pool| group_name(cluster, pool, "dac7c9d6");
        assert_eq!(name("cluster-sample-fydeyx", "default-pool"), "gke-cluster-sample-fydey-default-pool-dac7c9d6-grp");
        assert_eq!(
            name("cluster-sample-fydeyx", "nodepool-sample-fydeyx"),
            "gke-cluster-sample-f-nodepool-sample--dac7c9d6-grp"
        );
        assert_eq!(name("qwen", "gpu"), "gke-qwen-gpu-dac7c9d6-grp");
    }
}
