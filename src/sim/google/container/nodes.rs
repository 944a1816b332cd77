//! The machines behind node pools: instance groups, instances, and the Node objects that they register.
//!
//! Everything here brings about what a pool's document says and can be repeated. Readiness of a node is its
//! kubelet's business, inside the cluster.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::operations::Failure;
use super::{ClusterName, clusters, defaults, durations, node_pools, quotas};
use crate::env::clock::Timestamp;
use crate::sim::google::{Google, compute, offers};

/// The instances of a cluster, or of one pool, by name.
pub fn instances(google: &Google, cluster: &ClusterName, pool: Option<&str>) -> Vec<Json> {
    let key = pool.map_or_else(|| cluster.key(), |pool| cluster.pool_key(pool));
    let mine = |d: &Json| d[if pool.is_some() { "_pool" } else { "_cluster" }] == json!(key);
    let mut found: Vec<Json> = compute::all(google, "instances").into_iter().filter(mine).collect();
    found.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    found
}

/// Writes the managed instance groups of a pool as its document says, and removes those it no longer has.
pub fn put_groups(google: &Google, cluster: &ClusterName, pool: &str, document: &Json) {
    let project = &cluster.place.project;
    let key = cluster.pool_key(pool);
    let groups = document["groups"].as_array().cloned().unwrap_or_default();
    let mut kept = Vec::new();
    for group in &groups {
        let (zone, name) = (group["zone"].as_str().unwrap_or_default(), group["name"].as_str().unwrap_or_default());
        let scope = format!("zones/{zone}");
        let base = name.trim_end_matches("-grp");
        let size = group["size"].as_u64().unwrap_or(0);
        let region = offers::region_of(zone);
        let root = format!("https://www.googleapis.com/compute/v1/projects/{project}");
        let template = format!("{root}/regions/{region}/instanceTemplates/{base}");
        kept.push(name.to_owned());
        compute::put(
            google,
            project,
            "instanceGroupManagers",
            &scope,
            name,
            json!({
                "baseInstanceName": base,
                "instanceGroup": format!("{root}/zones/{zone}/instanceGroups/{name}"),
                "instanceLifecyclePolicy": {
                    "defaultActionOnFailure": "REPAIR", "forceUpdateOnRepair": "YES", "onFailedHealthCheck": "DEFAULT_ACTION",
                },
                "instanceTemplate": template,
                "listManagedInstancesResults": "PAGINATED",
                "satisfiesPzs": true,
                "serviceAccount":
                    format!("service-{}@container-engine-robot.iam.gserviceaccount.com", google.project_number(project)),
                "standbyPolicy": {"mode": "MANUAL"},
                "targetSize": size,
                "targetSizePolicy": {"mode": "INDIVIDUAL"},
                "targetStoppedSize": 0,
                "targetSuspendedSize": 0,
                "updatePolicy": {
                    "maxSurge": {"calculated": 1, "fixed": 1}, "maxUnavailable": {"calculated": 1, "fixed": 1},
                    "minReadySec": 0, "minimalAction": "REPLACE", "replacementMethod": "SUBSTITUTE", "type": "OPPORTUNISTIC",
                },
                "versions": [{"instanceTemplate": template, "targetSize": {"calculated": size}}],
                "_cluster": cluster.key(),
                "_pool": key,
            }),
        );
        compute::put(
            google,
            project,
            "instanceGroups",
            &scope,
            name,
            json!({
                "description": "This instance group is controlled by an Instance Group Manager.",
                "size": size,
                "_cluster": cluster.key(),
                "_pool": key,
            }),
        );
    }
    for collection in ["instanceGroupManagers", "instanceGroups"] {
        for old in compute::all(google, collection) {
            let name = old["name"].as_str().unwrap_or_default();
            if old["_pool"] == json!(key) && !kept.iter().any(|k| k == name) {
                compute::delete_document(google, collection, &old);
            }
        }
    }
}

/// Makes instances and nodes of the pool (or of all pools) what the documents say.
///
/// # Errors
/// When a node cannot be registered or removed; nothing is lost by trying again.
pub async fn reconcile(google: &Arc<Google>, cluster: &ClusterName, pool: Option<&str>) -> Result<(), String> {
    for (name, document) in node_pools::documents(google, cluster) {
        if pool.is_some_and(|pool| pool != name) {
            continue;
        }
        let groups = document["groups"].as_array().cloned().unwrap_or_default();
        let existing = instances(google, cluster, Some(&name));
        for group in &groups {
            let members: Vec<&Json> = existing.iter().filter(|i| i["_group"] == group["name"]).collect();
            let size = usize::try_from(group["size"].as_u64().unwrap_or(0)).unwrap_or_default();
            for _ in members.len()..size {
                create_instance(google, cluster, &name, &document["resource"], group);
            }
            for surplus in members.iter().skip(size) {
                remove_instance(google, cluster, surplus).await?;
            }
        }
        for instance in &existing {
            if !groups.iter().any(|group| group["name"] == instance["_group"]) {
                remove_instance(google, cluster, instance).await?;
            }
        }
        register(google, cluster, &name, &document["resource"]).await?;
    }
    Ok(())
}

/// Registers every instance of a pool as a node. Those that are nodes already stay as they are.
async fn register(google: &Arc<Google>, cluster: &ClusterName, pool: &str, resource: &Json) -> Result<(), String> {
    let (Some(facts), Some(planes)) = (clusters::facts(google, cluster), google.planes()) else { return Ok(()) };
    let other_cpu_pool = node_pools::documents(google, cluster)
        .iter()
        .any(|(name, d)| name != pool && node_pools::hardware(&d["resource"]) == durations::Hardware::Cpu);
    for instance in instances(google, cluster, Some(pool)) {
        let node = node_object(cluster, resource, &instance, other_cpu_pool);
        planes.add_node(&facts.id, node).await?;
    }
    Ok(())
}

/// Brings labels and taints of a pool's nodes up to date.
///
/// # Errors
/// What the API server said.
pub async fn refresh(google: &Arc<Google>, cluster: &ClusterName, pool: &str) -> Result<(), String> {
    let found = node_pools::documents(google, cluster).into_iter().find(|(name, _)| name == pool);
    match found {
        Some((name, document)) => register(google, cluster, &name, &document["resource"]).await,
        None => Ok(()),
    }
}

/// Replaces the oldest node of a pool that is older than `before`: the new one first, as surge does.
///
/// # Errors
/// When a node cannot be registered or removed.
pub async fn replace_oldest(
    google: &Arc<Google>,
    cluster: &ClusterName,
    pool: &str,
    before: Timestamp,
) -> Result<(), String> {
    let found = node_pools::documents(google, cluster).into_iter().find(|(name, _)| name == pool);
    let Some((_, document)) = found else { return Ok(()) };
    let created = |i: &Json| i["_created"].as_u64().unwrap_or(0);
    let mut old = instances(google, cluster, Some(pool));
    old.retain(|instance| created(instance) < before.0);
    old.sort_by_key(|i| (created(i), i["name"].as_str().unwrap_or_default().to_owned()));
    let Some(oldest) = old.first() else { return Ok(()) };
    let groups = document["groups"].as_array().cloned().unwrap_or_default();
    if let Some(group) = groups.iter().find(|group| group["name"] == oldest["_group"]) {
        create_instance(google, cluster, pool, &document["resource"], group);
        register(google, cluster, pool, &document["resource"]).await?;
    }
    remove_instance(google, cluster, oldest).await
}

/// Removes every instance, node and group of a pool, or of the whole cluster.
///
/// # Errors
/// What the API server said.
pub async fn remove_all(google: &Arc<Google>, cluster: &ClusterName, pool: Option<&str>) -> Result<(), String> {
    for instance in instances(google, cluster, pool) {
        remove_instance(google, cluster, &instance).await?;
    }
    let key = pool.map_or_else(|| cluster.key(), |pool| cluster.pool_key(pool));
    let field = if pool.is_some() { "_pool" } else { "_cluster" };
    for collection in ["instanceGroupManagers", "instanceGroups"] {
        for document in compute::all(google, collection).into_iter().filter(|d| d[field] == json!(key)) {
            compute::let_go(google, collection, &document);
        }
    }
    Ok(())
}

fn create_instance(google: &Google, cluster: &ClusterName, pool: &str, resource: &Json, group: &Json) {
    let config = &resource["config"];
    let project = &cluster.place.project;
    let zone = group["zone"].as_str().unwrap_or_default();
    let base = group["name"].as_str().unwrap_or_default().trim_end_matches("-grp");
    let serial = google.serial();
    // Four characters of Google's alphabet.
    let digits = google.digits(&format!("instance {serial}"), 8);
    let word = u32::from_str_radix(&digits, 16).unwrap_or_default();
    let suffix: String = (0..4)
        .map(|i| char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[(word / 36u32.pow(i) % 36) as usize]))
        .collect();
    let name = format!("{base}-{suffix}");
    let machine_type = config["machineType"].as_str().unwrap_or(defaults::MACHINE_TYPE);
    let root = format!("https://www.googleapis.com/compute/v1/projects/{project}");
    let facts = clusters::facts(google, cluster);
    let short = facts.as_ref().map(|f| f.short.clone()).unwrap_or_default();
    let accelerators: Vec<Json> = config["accelerators"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|a| {
            let count: u32 = a["acceleratorCount"].as_str().and_then(|c| c.parse().ok()).unwrap_or(0);
            let kind = a["acceleratorType"].as_str().unwrap_or_default();
            json!({"acceleratorCount": count, "acceleratorType": format!("{root}/zones/{zone}/acceleratorTypes/{kind}")})
        })
        .collect();
    let mut labels = json!({
        "goog-gke-cluster-id-base32": facts.as_ref().map(super::ClusterFacts::label),
        "goog-gke-node": "",
        "goog-gke-node-pool-provisioning-model": config["resourceLabels"]["goog-gke-node-pool-provisioning-model"],
        "goog-k8s-cluster-location": cluster.place.location,
        "goog-k8s-cluster-name": cluster.name,
        "goog-k8s-node-pool-name": pool,
    });
    let mut private = false;
    if let Some(document) = google.world.get(super::CLUSTERS, &cluster.key()) {
        defaults::lay(&mut labels, &document["resource"]["resourceLabels"]);
        private = document["resource"]["networkConfig"]["defaultEnablePrivateNodes"] == true;
    }
    defaults::lay(&mut labels, &config["resourceLabels"]);
    if !labels.is_object() {
        labels = json!({});
    }
    let spot = config["spot"] == true || config["preemptible"] == true;
    let host = serial % 60_000;
    let mut tags = vec![json!(format!("gke-{}-{short}-node", cluster.name))];
    tags.extend(config["tags"].as_array().cloned().unwrap_or_default());
    let mut instance = json!({
        "machineType": format!("{root}/zones/{zone}/machineTypes/{machine_type}"),
        "status": "RUNNING",
        "canIpForward": true,
        "tags": {"items": tags, "fingerprint": google.digits(&format!("tags {serial}"), 8)},
        "labels": labels,
        "disks": [{
            "type": "PERSISTENT", "mode": "READ_WRITE", "boot": true, "autoDelete": true, "deviceName": "persistent-disk-0",
            "source": format!("{root}/zones/{zone}/disks/{name}"), "diskSizeGb": config["bootDisk"]["sizeGb"],
        }],
        "networkInterfaces": [{
            "name": "nic0", "network": format!("{root}/global/networks/default"),
            "networkIP": format!("10.128.{}.{}", host / 250 % 256, host % 250 + 3),
            "accessConfigs": [{
                "name": "external-nat", "type": "ONE_TO_ONE_NAT", "networkTier": "PREMIUM",
                "natIP": format!("198.18.{}.{}", host / 250 % 256, host % 250 + 3),
            }],
            "aliasIpRanges": [{"ipCidrRange": pod_range(google, cluster, serial)}],
        }],
        "scheduling": {
            "onHostMaintenance": if accelerators.is_empty() && !spot { "MIGRATE" } else { "TERMINATE" },
            "automaticRestart": !spot, "preemptible": spot,
            "provisioningModel": if config["spot"] == true { "SPOT" } else { "STANDARD" },
        },
        "serviceAccounts": [{"email": "default", "scopes": config["oauthScopes"]}],
        "_cluster": cluster.key(),
        "_pool": cluster.pool_key(pool),
        "_group": group["name"],
        "_created": google.clock.now().0,
    });
    if private && let Some(nic) = instance["networkInterfaces"][0].as_object_mut() {
        nic.remove("accessConfigs");
    }
    if !accelerators.is_empty() {
        instance["guestAccelerators"] = json!(accelerators);
    }
    let scope = format!("zones/{zone}");
    compute::put(google, project, "instances", &scope, &name, instance);
    compute::put(
        google,
        project,
        "disks",
        &scope,
        &name,
        json!({
            "sizeGb": config["bootDisk"]["sizeGb"],
            "type": format!("{root}/zones/{zone}/diskTypes/{}", config["bootDisk"]["diskType"].as_str().unwrap_or_default()),
            "status": "READY",
            "labels": labels,
            "users": [format!("{root}/zones/{zone}/instances/{name}")],
            "_cluster": cluster.key(),
            "_boot": true,
        }),
    );
}

/// A /24 of the cluster's pod range.
fn pod_range(google: &Google, cluster: &ClusterName, serial: u64) -> String {
    let document = google.world.get(super::CLUSTERS, &cluster.key());
    let cidr = document.as_ref().and_then(|d| d["resource"]["clusterIpv4Cidr"].as_str()).unwrap_or("10.0.0.0/14");
    let mut octets = cidr.split(['.', '/']).filter_map(|part| part.parse::<u64>().ok());
    let (first, second, third) = (octets.next().unwrap_or(10), octets.next().unwrap_or(0), octets.next().unwrap_or(0));
    format!("{first}.{}.{}.0/24", second + serial / 256 % 4, (third + serial) % 256)
}

async fn remove_instance(google: &Arc<Google>, cluster: &ClusterName, instance: &Json) -> Result<(), String> {
    let name = instance["name"].as_str().unwrap_or_default();
    if let (Some(facts), Some(planes)) = (clusters::facts(google, cluster), google.planes()) {
        planes.remove_node(&facts.id, name).await?;
    }
    compute::let_go(google, "instances", instance);
    for disk in compute::all(google, "disks") {
        let user = disk["users"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|u| u.as_str().is_some_and(|u| u.ends_with(&format!("/{name}"))));
        if disk["_boot"] == true && disk["name"] == json!(name) {
            compute::let_go(google, "disks", &disk);
        } else if user {
            // A volume survives its node, detached.
            let mut disk = disk;
            if let Some(disk) = disk.as_object_mut() {
                disk.remove("users");
            }
            compute::replace(google, "disks", disk);
        }
    }
    Ok(())
}

/// Whether the nodes of a pool cannot be had, after how long the operation says so, and how.
pub fn trouble(google: &Google, cluster: &ClusterName, pool: &Json, zones: &[String]) -> Option<(Duration, Failure)> {
    let count = pool["initialNodeCount"].as_u64().unwrap_or(0);
    if count == 0 {
        return None;
    }
    let project = &cluster.place.project;
    let config = &pool["config"];
    let machine = config["machineType"].as_str().unwrap_or(defaults::MACHINE_TYPE);
    let accelerator = config["accelerators"][0]["acceleratorType"].as_str().unwrap_or_default();
    let name = pool["name"].as_str().unwrap_or_default();
    for zone in zones {
        if let Some(limit) = quotas::tpu_shortage(google, project, pool, zone) {
            let message = format!(
                "Google Compute Engine: Not all instances running in IGM after {}s. Expected {count}, running 0, \
                 transitioning {count}. Current errors: [GCE_QUOTA_EXCEEDED]: Instance 'gke-{}-{name}-{}' creation \
                 failed: Quota 'TPUS_PER_TPU_FAMILY' exceeded. Limit: {limit:.1} in region {}.",
                durations::ASYNCHRONOUS_QUOTA,
                cluster.name,
                &google.digits(zone, 4),
                offers::region_of(zone)
            );
            let failure = failure("GCE_QUOTA_EXCEEDED", message);
            return Some((Duration::from_secs(durations::ASYNCHRONOUS_QUOTA), failure));
        }
        let Some(until) = google.faults.stockout(zone, machine, accelerator) else { continue };
        let report = google.clock.now().plus(durations::STOCKOUT);
        if until.is_some_and(|until| until < report) {
            continue;
        }
        let message = format!(
            "Google Compute Engine: Not all instances running in IGM after 35m11.182245706s. Expected {count}, running \
             0, transitioning {count}. Current errors: [GCE_STOCKOUT]: Instance 'gke-{}-{name}-{}' creation failed: The \
             zone 'projects/{project}/zones/{zone}' does not have enough resources available to fulfill the request. \
             Try a different zone, or try again later.",
            cluster.name,
            &google.digits(zone, 4)
        );
        return Some((durations::STOCKOUT, failure("GCE_STOCKOUT", message)));
    }
    None
}

fn failure(condition: &str, message: String) -> Failure {
    Failure { code: 8, condition: condition.to_owned(), canonical: "RESOURCE_EXHAUSTED".to_owned(), message }
}

/// What `instanceGroupManagers.listErrors` says: instances that the group wants and cannot have.
pub fn group_errors(google: &Google, group: &Json) -> Vec<Json> {
    let Some(key) = group["_pool"].as_str() else { return Vec::new() };
    let Some(document) = google.world.get(super::POOLS, key) else { return Vec::new() };
    let pool = &document["resource"];
    let zone = group["zone"].as_str().and_then(|z| z.rsplit('/').next()).unwrap_or_default();
    let wanted = group["targetSize"].as_u64().unwrap_or(0);
    let present = compute::all(google, "instances").iter().filter(|i| i["_group"] == group["name"]).count() as u64;
    let config = &pool["config"];
    let machine = config["machineType"].as_str().unwrap_or_default();
    let accelerator = config["accelerators"][0]["acceleratorType"].as_str().unwrap_or_default();
    let project = key.split('/').next().unwrap_or_default();
    if present >= wanted {
        return Vec::new();
    }
    let mut missing = pool.clone();
    missing["initialNodeCount"] = json!(wanted - present);
    let (code, message) = if let Some(limit) = quotas::tpu_shortage(google, project, &missing, zone) {
        (
            "QUOTA_EXCEEDED",
            format!("Quota 'TPUS_PER_TPU_FAMILY' exceeded. Limit: {limit:.1} in region {}.", offers::region_of(zone)),
        )
    } else if google.faults.stockout(zone, machine, accelerator).is_some() {
        let what = if accelerator.is_empty() { String::new() } else { format!(" with {accelerator} accelerator(s)") };
        (
            "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
            format!(
                "The zone 'projects/{project}/zones/{zone}' does not have enough resources available to fulfill the \
             request. A {machine} VM instance{what} is currently unavailable in the {zone} zone."
            ),
        )
    } else {
        return Vec::new();
    };
    let base = group["baseInstanceName"].as_str().unwrap_or_default();
    let at = google.clock.now().rfc3339();
    let error = |index: u64| {
        let name = format!("{base}-{}", google.digits(&format!("failed {base} {index}"), 4));
        json!({
            "error": {"code": code, "message": message},
            "instanceActionDetails": {
                "action": "CREATING",
                "instance": format!("https://www.googleapis.com/compute/v1/projects/{project}/zones/{zone}/instances/{name}"),
            },
            "timestamp": at,
        })
    };
    (present..wanted).map(error).collect()
}

/// The Node object that an instance registers.
pub fn node_object(cluster: &ClusterName, pool: &Json, instance: &Json, other_cpu_pool: bool) -> Json {
    let config = &pool["config"];
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let name = text(&instance["name"]);
    let zone = instance["zone"].as_str().and_then(|z| z.rsplit('/').next()).unwrap_or_default().to_owned();
    let machine_type = text(&config["machineType"]);
    let machine = offers::machine(&machine_type, &zone);
    let (cpus, memory_mb, chips) = machine.as_ref().map_or((2, 4096, 0), |m| (m.cpus, m.memory_mb, m.tpu_chips));
    let version = text(&pool["version"]);
    let spot = config["spot"] == true;
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/instance-type": machine_type,
        "beta.kubernetes.io/os": "linux",
        "cloud.google.com/gke-boot-disk": config["bootDisk"]["diskType"],
        "cloud.google.com/gke-container-runtime": "containerd",
        "cloud.google.com/gke-cpu-scaling-level": cpus.to_string(),
        "cloud.google.com/gke-logging-variant": "DEFAULT",
        "cloud.google.com/gke-max-pods-per-node": "110",
        "cloud.google.com/gke-memory-gb-scaling-level": (memory_mb / 1024).to_string(),
        "cloud.google.com/gke-nodepool": pool["name"],
        "cloud.google.com/gke-os-distribution": "cos",
        "cloud.google.com/gke-provisioning": if spot { "spot" } else { "standard" },
        "cloud.google.com/gke-stack-type": "IPV4",
        "cloud.google.com/machine-family": machine_type.split('-').next().unwrap_or_default(),
        "cloud.google.com/private-node": "false",
        "failure-domain.beta.kubernetes.io/region": offers::region_of(&zone),
        "failure-domain.beta.kubernetes.io/zone": zone,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": machine_type,
        "topology.gke.io/zone": zone,
        "topology.kubernetes.io/region": offers::region_of(&zone),
        "topology.kubernetes.io/zone": zone,
    });
    let mut taints = Vec::new();
    // Accelerators become capacity when a device plugin has registered them.
    let capacity = json!({
        "cpu": cpus.to_string(),
        "memory": format!("{}Ki", memory_mb * 1024 * 98 / 100),
        "ephemeral-storage": format!("{}Ki", config["diskSizeGb"].as_u64().unwrap_or(100) * 1024 * 1024 * 94 / 100),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": "110",
    });
    let mut allocatable = capacity.clone();
    allocatable["cpu"] = json!(format!("{}m", cpus * 1000 - reserved_cpu(cpus)));
    allocatable["memory"] = json!(format!("{}Ki", (memory_mb - reserved_memory(memory_mb)) * 1024 * 98 / 100));
    if spot {
        labels["cloud.google.com/gke-spot"] = json!("true");
    }
    let accelerator = &config["accelerators"][0];
    if let Some(kind) = accelerator["acceleratorType"].as_str() {
        labels["cloud.google.com/gke-accelerator"] = json!(kind);
        labels["cloud.google.com/gke-accelerator-count"] = accelerator["acceleratorCount"].clone();
        let driver = match accelerator["gpuDriverInstallationConfig"]["gpuDriverVersion"].as_str() {
            Some("INSTALLATION_DISABLED") => "disabled",
            Some("LATEST") => "latest",
            _ => "default",
        };
        labels["cloud.google.com/gke-gpu-driver-version"] = json!(driver);
        if other_cpu_pool {
            taints.push(json!({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}));
        }
    }
    if let (true, Some(machine)) = (chips > 0, &machine) {
        let topology =
            pool["placementPolicy"]["tpuTopology"].as_str().unwrap_or_else(|| offers::host_topology(machine));
        labels["cloud.google.com/gke-tpu-accelerator"] = json!("tpu-v6e-slice");
        labels["cloud.google.com/gke-tpu-topology"] = json!(topology);
        labels["cloud.google.com/gke-accelerator-count"] = json!(chips.to_string());
        taints.push(json!({"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"}));
    }
    if config["queuedProvisioning"]["enabled"] == true || pool["queuedProvisioning"]["enabled"] == true {
        taints.push(json!({"key": "cloud.google.com/gke-queued", "value": "true", "effect": "NoSchedule"}));
    }
    defaults::lay(&mut labels, &config.get("labels").cloned().unwrap_or_else(|| json!({})));
    for taint in config["taints"].as_array().into_iter().flatten() {
        let effect = match taint["effect"].as_str() {
            Some("NO_EXECUTE") => "NoExecute",
            Some("PREFER_NO_SCHEDULE") => "PreferNoSchedule",
            _ => "NoSchedule",
        };
        let mut taint = json!({"key": taint["key"], "value": taint["value"], "effect": effect});
        if taint["value"].is_null()
            && let Some(taint) = taint.as_object_mut()
        {
            taint.remove("value");
        }
        taints.push(taint);
    }
    let last_labels: Vec<String> = config["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let own = taints.len() - config["taints"].as_array().map_or(0, Vec::len);
    let last_taints: Vec<String> = taints[own..]
        .iter()
        .map(|taint| format!("{}={}:{}", text(&taint["key"]), text(&taint["value"]), text(&taint["effect"])))
        .collect();
    let (last_labels, last_taints) = (last_labels.join(","), last_taints.join(","));
    let nic = &instance["networkInterfaces"][0];
    let range = &nic["aliasIpRanges"][0]["ipCidrRange"];
    // A node without a public address does not list one.
    let addresses = [
        json!({"type": "InternalIP", "address": nic["networkIP"]}),
        json!({"type": "ExternalIP", "address": nic["accessConfigs"][0]["natIP"]}),
        json!({"type": "Hostname", "address": name}),
    ];
    let addresses = addresses.into_iter().filter(|address| !address["address"].is_null()).collect::<Vec<_>>();
    let project = &cluster.place.project;
    let mut spec = json!({
        "podCIDR": range, "podCIDRs": [range], "providerID": format!("gce://{project}/{zone}/{name}"),
    });
    if !taints.is_empty() {
        spec["taints"] = json!(taints);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {
                "container.googleapis.com/instance_id": instance["id"],
                crate::sim::nodes::LABELS: last_labels,
                crate::sim::nodes::TAINTS: last_taints,
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": spec,
        "status": {
            "addresses": addresses,
            "capacity": capacity,
            "allocatable": allocatable,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux",
                "bootID": "", "machineID": "", "systemUUID": "",
                "containerRuntimeVersion": "containerd://2.1.5",
                "kernelVersion": "6.12.68+",
                "kubeProxyVersion": format!("v{version}"),
                "kubeletVersion": format!("v{version}"),
                "osImage": "Container-Optimized OS from Google",
            },
        },
    })
}

/// Milli-CPU that GKE keeps for the node: 6% of the first core, 1% of the next, 0.5% of the next two,
/// 0.25% above (GKE documentation, plan for node sizes).
fn reserved_cpu(cpus: u32) -> u32 {
    let mut reserved = 0.0;
    for core in 0..cpus {
        reserved += match core {
            0 => 60.0,
            1 => 10.0,
            2 | 3 => 5.0,
            _ => 2.5,
        };
    }
    reserved as u32
}

/// MiB that GKE keeps: 25% of the first 4 GiB, 20% of the next 4, 10% of the next 8, 6% of the next 112,
/// 2% above, and 100 MiB for eviction (same source).
fn reserved_memory(memory_mb: u64) -> u64 {
    let mut left = memory_mb;
    let mut reserved = 100;
    for (size, percent) in [(4096, 25), (4096, 20), (8192, 10), (114_688, 6), (u64::MAX, 2)] {
        let part = left.min(size);
        reserved += part * percent / 100;
        left -= part;
    }
    reserved.min(memory_mb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserves_what_google_documents() {
        assert_eq!((reserved_cpu(1), reserved_cpu(4), reserved_cpu(8)), (60, 80, 90));
        // 15 GiB: 1024 + 819 + 716 + 100.
        assert_eq!(reserved_memory(15360), 2659);
    }
}
