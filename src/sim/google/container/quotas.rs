//! Regional Compute quotas: limits, what is in use, and the check that GKE makes before it accepts a request.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use serde_json::json;

use super::{ClusterName, defaults};
use crate::sim::google::answer::Refusal;
use crate::sim::google::{Google, compute, offers};

/// Limits of a project in each region unless a fault says otherwise. Generous enough for every stack; the
/// order is that of answers.
const LIMITS: &[(&str, f64)] = &[
    ("CPUS", 240.0),
    ("N2_CPUS", 200.0),
    ("N2D_CPUS", 200.0),
    ("C3_CPUS", 200.0),
    ("N4_CPUS", 200.0),
    ("DISKS_TOTAL_GB", 40960.0),
    ("SSD_TOTAL_GB", 20480.0),
    ("HDB_TOTAL_GB", 20480.0),
    ("STATIC_ADDRESSES", 64.0),
    ("IN_USE_ADDRESSES", 128.0),
    ("INSTANCES", 720.0),
    ("INSTANCE_GROUP_MANAGERS", 200.0),
    ("NVIDIA_T4_GPUS", 16.0),
    ("PREEMPTIBLE_NVIDIA_T4_GPUS", 16.0),
    ("NVIDIA_L4_GPUS", 16.0),
    ("PREEMPTIBLE_NVIDIA_L4_GPUS", 16.0),
    ("NVIDIA_V100_GPUS", 8.0),
    ("PREEMPTIBLE_NVIDIA_V100_GPUS", 8.0),
    ("NVIDIA_P100_GPUS", 8.0),
    ("PREEMPTIBLE_NVIDIA_P100_GPUS", 8.0),
    ("NVIDIA_A100_GPUS", 16.0),
    ("PREEMPTIBLE_NVIDIA_A100_GPUS", 16.0),
    ("NVIDIA_A100_80GB_GPUS", 8.0),
    ("PREEMPTIBLE_NVIDIA_A100_80GB_GPUS", 8.0),
    ("NVIDIA_H100_GPUS", 8.0),
    ("PREEMPTIBLE_NVIDIA_H100_GPUS", 8.0),
    ("PREEMPTIBLE_CPUS", 240.0),
];

/// Chips of TPU v6e in each region.
const TPU_CHIPS: f64 = 64.0;
/// GPUs of the whole project.
const ALL_GPUS: f64 = 32.0;

/// The limit of a metric in a region.
pub fn limit(google: &Google, region: &str, metric: &str) -> f64 {
    let default = match metric {
        "TPUS_PER_TPU_FAMILY:CT6E" => TPU_CHIPS,
        "GPUS_ALL_REGIONS" => ALL_GPUS,
        "CPUS_ALL_REGIONS" => 512.0,
        _ => LIMITS.iter().find(|(name, _)| *name == metric).map_or(0.0, |(_, limit)| *limit),
    };
    google.faults.quota(region, metric).unwrap_or(default)
}

/// All metrics of a region as `regions.get` shows them.
pub fn of_region(google: &Google, project: &str, region: &str) -> Vec<Json> {
    let used = usage(google, project, region);
    let row = |metric: &str| {
        let usage = used.get(metric).copied().unwrap_or(0.0);
        json!({"metric": metric, "limit": limit(google, region, metric), "usage": usage})
    };
    LIMITS.iter().map(|(metric, _)| row(metric)).collect()
}

/// The quotas of the whole project.
pub fn of_project(google: &Google, project: &str) -> Vec<Json> {
    let mut gpus = 0.0;
    let mut cpus = 0.0;
    for region in offers::regions() {
        for (metric, used) in usage(google, project, region) {
            if metric.ends_with("_GPUS") {
                gpus += used;
            }
            if metric.ends_with("CPUS") && !metric.starts_with("PREEMPTIBLE") {
                cpus += used;
            }
        }
    }
    vec![
        json!({"metric": "GPUS_ALL_REGIONS", "limit": limit(google, "", "GPUS_ALL_REGIONS"), "usage": gpus}),
        json!({"metric": "CPUS_ALL_REGIONS", "limit": limit(google, "", "CPUS_ALL_REGIONS"), "usage": cpus}),
        json!({"metric": "NETWORKS", "limit": 15.0, "usage": 1.0}),
    ]
}

/// What is in use in a region.
pub fn usage(google: &Google, project: &str, region: &str) -> BTreeMap<String, f64> {
    let mut used = BTreeMap::new();
    let mut add = |metric: &str, amount: f64| *used.entry(metric.to_owned()).or_insert(0.0) += amount;
    let zone_of = |d: &Json| d["zone"].as_str().and_then(|z| z.rsplit('/').next()).unwrap_or_default().to_owned();
    let tail = |value: &Json| value.as_str().and_then(|t| t.rsplit('/').next()).unwrap_or_default().to_owned();
    let here = |d: &Json| d["_project"] == json!(project) && offers::region_of(&zone_of(d)) == region;
    for instance in compute::all(google, "instances").into_iter().filter(here) {
        let spot = instance["scheduling"]["preemptible"] == true;
        add("INSTANCES", 1.0);
        if instance["networkInterfaces"][0]["accessConfigs"].is_array() {
            add("IN_USE_ADDRESSES", 1.0);
        }
        if let Some(machine) = offers::machine(&tail(&instance["machineType"]), &zone_of(&instance)) {
            let (metric, amount) = machine_metric(&machine, spot);
            add(metric, amount);
        }
        for accelerator in instance["guestAccelerators"].as_array().into_iter().flatten() {
            let count = accelerator["acceleratorCount"].as_f64().unwrap_or(0.0);
            add(gpu_metric(&tail(&accelerator["acceleratorType"]), spot), count);
        }
    }
    for disk in compute::all(google, "disks").into_iter().filter(here) {
        let size: f64 = disk["sizeGb"].as_str().and_then(|s| s.parse().ok()).unwrap_or(0.0);
        add(disk_metric(&tail(&disk["type"])), size);
    }
    for address in compute::all(google, "addresses") {
        if address["_project"] == json!(project) && tail(&address["region"]) == region {
            add("STATIC_ADDRESSES", 1.0);
        }
    }
    for rule in compute::all(google, "forwardingRules") {
        if rule["_project"] == json!(project) && tail(&rule["region"]) == region {
            add("IN_USE_ADDRESSES", 1.0);
        }
    }
    for group in compute::all(google, "instanceGroupManagers").into_iter().filter(here) {
        let _ = group;
        add("INSTANCE_GROUP_MANAGERS", 1.0);
    }
    used
}

fn machine_metric(machine: &offers::Machine, spot: bool) -> (&'static str, f64) {
    if machine.tpu_chips > 0 {
        return ("TPUS_PER_TPU_FAMILY:CT6E", f64::from(machine.tpu_chips));
    }
    let metric = match machine.family() {
        _ if spot => "PREEMPTIBLE_CPUS",
        "n2" => "N2_CPUS",
        "n2d" => "N2D_CPUS",
        "c3" => "C3_CPUS",
        "n4" => "N4_CPUS",
        _ => "CPUS",
    };
    (metric, f64::from(machine.cpus))
}

fn gpu_metric(kind: &str, spot: bool) -> &'static str {
    offers::Gpu::find(kind).map_or("NVIDIA_GPUS", |gpu| gpu.quota[usize::from(spot)])
}

fn disk_metric(kind: &str) -> &'static str {
    match kind {
        "pd-standard" => "DISKS_TOTAL_GB",
        "hyperdisk-balanced" => "HDB_TOTAL_GB",
        _ => "SSD_TOTAL_GB",
    }
}

/// What the nodes of a pool need, all zones together; TPU chips are not among it (GKE does not check them).
fn need(pool: &Json, zones: &[String]) -> BTreeMap<&'static str, f64> {
    let mut need = BTreeMap::new();
    let config = &pool["config"];
    let nodes = pool["initialNodeCount"].as_f64().unwrap_or(0.0) * zones.len() as f64;
    if nodes == 0.0 {
        return need;
    }
    let reserved = config["reservationAffinity"]["consumeReservationType"] == "SPECIFIC_RESERVATION";
    let spot = config["spot"] == true || config["preemptible"] == true;
    let mut add = |metric: &'static str, amount: f64| *need.entry(metric).or_insert(0.0) += amount * nodes;
    let machine = config["machineType"].as_str().unwrap_or(defaults::MACHINE_TYPE);
    if let Some(machine) = zones.first().and_then(|zone| offers::machine(machine, zone))
        && machine.tpu_chips == 0
        && !reserved
    {
        let (metric, amount) = machine_metric(&machine, spot);
        add(metric, amount);
    }
    for accelerator in config["accelerators"].as_array().into_iter().flatten().filter(|_| !reserved) {
        let count: f64 = accelerator["acceleratorCount"].as_str().and_then(|c| c.parse().ok()).unwrap_or(0.0);
        add(gpu_metric(accelerator["acceleratorType"].as_str().unwrap_or_default(), spot), count);
    }
    let is_tpu = config["machineType"].as_str().is_some_and(|m| m.starts_with("ct"));
    let disk = config["diskType"].as_str().or(config["bootDisk"]["diskType"].as_str());
    let disk = disk.unwrap_or(if is_tpu { "hyperdisk-balanced" } else { "pd-balanced" });
    add(disk_metric(disk), config["diskSizeGb"].as_f64().unwrap_or(offers::BOOT_DISK_GB as f64));
    add("IN_USE_ADDRESSES", 1.0);
    add("INSTANCES", 1.0);
    need
}

/// Refuses pools that the region's quota does not cover.
///
/// # Errors
/// 403 with INSUFFICIENT_QUOTA_REGIONAL (it is not a 429).
pub fn check(google: &Google, cluster: &ClusterName, pools: &[(&Json, Vec<String>)]) -> Result<(), Refusal> {
    let project = &cluster.place.project;
    let region = offers::region_of(&cluster.place.location);
    let mut total: BTreeMap<&'static str, f64> = BTreeMap::new();
    for (pool, zones) in pools {
        for (metric, amount) in need(pool, zones) {
            *total.entry(metric).or_insert(0.0) += amount;
        }
    }
    let used = usage(google, project, region);
    let mut short = Vec::new();
    let mut regional = true;
    for (metric, wanted) in &total {
        let limit = limit(google, region, metric);
        let available = (limit - used.get(*metric).copied().unwrap_or(0.0)).max(0.0);
        if *wanted > available {
            short.push(format!(
                "resource \"{metric}\": request requires '{wanted:.1}' and is short '{:.1}'. project has a quota of \
                 '{limit:.1}' with '{available:.1}' available.",
                wanted - available
            ));
        }
    }
    let gpus: f64 = total.iter().filter(|(metric, _)| metric.ends_with("_GPUS")).map(|(_, amount)| amount).sum();
    if short.is_empty() && gpus > 0.0 {
        let all = of_project(google, project);
        let (limit, used) = (all[0]["limit"].as_f64().unwrap_or(0.0), all[0]["usage"].as_f64().unwrap_or(0.0));
        let available = (limit - used).max(0.0);
        if gpus > available {
            regional = false;
            short.push(format!(
                "resource \"GPUS_ALL_REGIONS\": request requires '{gpus:.1}' and is short '{:.1}'. project has a quota \
                 of '{limit:.1}' with '{available:.1}' available.",
                gpus - available
            ));
        }
    }
    if short.is_empty() {
        return Ok(());
    }
    let link = format!(
        "View and manage quotas at https://console.cloud.google.com/iam-admin/quotas?usage=USED&project={project}."
    );
    let scope = if regional { "regional" } else { "project" };
    let text = match short.as_slice() {
        [one] => format!("Insufficient {scope} quota to satisfy request: {one} {link}"),
        many => {
            let lines = many.iter().enumerate().map(|(i, line)| {
                format!("\n\t({}) insufficient {scope} quota to satisfy request: {line} {link}", i + 1)
            });
            lines.collect()
        }
    };
    let reason = if regional { "INSUFFICIENT_QUOTA_REGIONAL" } else { "INSUFFICIENT_QUOTA_PROJECT" };
    Err(Refusal::denied(text).because(reason, "container.googleapis.com", json!({})))
}

/// The limit of TPU chips when a pool in this zone goes beyond it: Compute notices, GKE's request check does
/// not.
pub fn tpu_shortage(google: &Google, project: &str, pool: &Json, zone: &str) -> Option<f64> {
    let machine = offers::machine(pool["config"]["machineType"].as_str()?, zone)?;
    let reserved = pool["config"]["reservationAffinity"]["consumeReservationType"] == "SPECIFIC_RESERVATION";
    if machine.tpu_chips == 0 || reserved {
        return None;
    }
    let region = offers::region_of(zone);
    let metric = "TPUS_PER_TPU_FAMILY:CT6E";
    let limit = limit(google, region, metric);
    let used = usage(google, project, region).get(metric).copied().unwrap_or(0.0);
    let wanted = f64::from(machine.tpu_chips) * pool["initialNodeCount"].as_f64().unwrap_or(0.0);
    (used + wanted > limit).then_some(limit)
}
