//! What GKE refuses, in its own words.
//!
//! Texts marked "reported" in the collected answers of the live API are used verbatim; where no text is known,
//! the status and reason are Google's and the text is ours. Only checks; nothing is changed here.

use serde_json::{Value as Json, json};

use super::{ClusterName, defaults};
use crate::sim::google::answer::Refusal;
use crate::sim::google::offers;

/// `[a-z]([-a-z0-9]*[a-z0-9])?`, at most 40 characters.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(inner)
        && !name.ends_with('-')
}

/// Checks the name of a cluster or pool.
///
/// # Errors
/// 400.
pub fn name(what: &str, name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::invalid(format!("{what}.name must be set.")));
    }
    if is_name(name) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "Invalid value for field \"{what}.name\": \"{name}\". Must be a match of regex '(?:[a-z](?:[-a-z0-9]{{0,38}}[a-z0-9])?)'."
    )))
}

/// Resource labels: keys and values of Google's alphabet, at most 63 characters and 64 labels.
///
/// # Errors
/// 400.
pub fn labels(labels: &Json) -> Result<(), Refusal> {
    let Some(labels) = labels.as_object() else { return Ok(()) };
    if labels.len() > 64 {
        return Err(Refusal::invalid("resource_labels: at most 64 labels are allowed."));
    }
    let fine = |text: &str| {
        text.chars().count() <= 63
            && text.chars().all(|c| {
                c.is_lowercase() || c.is_numeric() || c == '_' || c == '-' || (c.is_alphabetic() && !c.is_uppercase())
            })
    };
    for (key, value) in labels {
        let value = value.as_str().unwrap_or_default();
        if !key.starts_with(char::is_lowercase) || !fine(key) || !fine(value) {
            return Err(Refusal::invalid(format!(
                "Invalid value for field \"resource_labels\": {{\"{key}\": \"{value}\"}}. Label keys and values can only contain lowercase letters, numeric characters, underscores and dashes."
            )));
        }
    }
    Ok(())
}

/// An unknown or forbidden location.
pub fn no_location(location: &str) -> Refusal {
    Refusal::denied(format!("Permission denied on 'locations/{location}' (or it may not exist).")).because(
        "LOCATION_POLICY_VIOLATED",
        "googleapis.com",
        json!({"location": location, "service": "container.googleapis.com"}),
    )
}

/// The API is off.
pub fn disabled(project_number: &str) -> Refusal {
    let mut refusal = Refusal::denied(format!(
        "Kubernetes Engine API has not been used in project {project_number} before or it is disabled. Enable it by \
         visiting https://console.developers.google.com/apis/api/container.googleapis.com/overview?project={project_number} \
         then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems \
         and retry."
    ));
    refusal.reason = "accessNotConfigured";
    refusal.because(
        "SERVICE_DISABLED",
        "googleapis.com",
        json!({"service": "container.googleapis.com", "consumer": format!("projects/{project_number}")}),
    )
}

/// A version that is not on offer.
///
/// # Errors
/// 400.
pub fn version(wanted: &str, of: &str) -> Result<&'static str, Refusal> {
    offers::resolve_version(wanted)
        .ok_or_else(|| Refusal::invalid(format!("{of} version \"{wanted}\" is unsupported.")))
}

/// Checks a pool as it is asked for.
///
/// # Errors
/// 400 in most cases.
pub fn node_pool(cluster: &ClusterName, pool: &Json, zones: &[String]) -> Result<(), Refusal> {
    let config = &pool["config"];
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let machine_type = text(&config["machineType"]);
    let accelerators = config["accelerators"].as_array().cloned().unwrap_or_default();
    if machine_type.is_empty() && !accelerators.is_empty() {
        return Err(Refusal::invalid(format!(
            "Cannot use default machine type ({}) with GPUs; choose a different machine type.",
            defaults::MACHINE_TYPE
        )));
    }
    let machine_type = if machine_type.is_empty() { defaults::MACHINE_TYPE.to_owned() } else { machine_type };
    if zones.is_empty() {
        return Err(Refusal::invalid("node_pool.locations must not be empty."));
    }
    let region = offers::region_of(&cluster.place.location);
    for zone in zones {
        if !offers::is_zone(zone) || offers::region_of(zone) != region {
            return Err(Refusal::invalid(format!("Location \"{zone}\" is not in region \"{region}\".")));
        }
        let Some(machine) = offers::machine(&machine_type, zone) else {
            return Err(Refusal::invalid(format!(
                "Invalid machine type \"{machine_type}\" in zone \"{zone}\": GCE_NOT_FOUND"
            )));
        };
        if machine.tpu_chips > 0 {
            tpu(pool, &machine, zones)?;
        }
        if accelerators.is_empty() && offers::own_gpus(&machine.name).is_some() {
            return Err(Refusal::invalid(format!(
                "Machine type {} needs its accelerators to be named in node_pool.config.accelerators.",
                machine.name
            )));
        }
        for accelerator in &accelerators {
            gpu(accelerator, &machine, zone)?;
        }
    }
    let count = pool["initialNodeCount"].as_i64().unwrap_or(0);
    if !(0..=1000).contains(&count) {
        return Err(Refusal::invalid(format!("Invalid value for field \"node_pool.initial_node_count\": {count}.")));
    }
    autoscaling(&pool["autoscaling"])?;
    flex_start(pool)?;
    let disk = config["diskSizeGb"].as_i64().unwrap_or(offers::BOOT_DISK_GB);
    if !(10..=65536).contains(&disk) {
        return Err(Refusal::invalid(format!(
            "Invalid value for field \"node_pool.config.disk_size_gb\": {disk}. Must be at least 10."
        )));
    }
    if let Some(wanted) = pool["version"].as_str() {
        version(wanted, "Node")?;
    }
    labels(&config["resourceLabels"])
}

/// Checks the bounds of an autoscaler.
///
/// # Errors
/// 400.
pub fn autoscaling(autoscaling: &Json) -> Result<(), Refusal> {
    if autoscaling["enabled"].as_bool() != Some(true) {
        return Ok(());
    }
    let number = |name: &str| autoscaling[name].as_i64().unwrap_or(0);
    let (min, max) = if number("totalMaxNodeCount") > 0 {
        (number("totalMinNodeCount"), number("totalMaxNodeCount"))
    } else {
        (number("minNodeCount"), number("maxNodeCount"))
    };
    if max < 1 || min < 0 || min > max {
        return Err(Refusal::invalid(format!(
            "Invalid autoscaling configuration: minimum node count {min} and maximum node count {max} are not valid."
        )));
    }
    Ok(())
}

fn tpu(pool: &Json, machine: &offers::Machine, zones: &[String]) -> Result<(), Refusal> {
    let placement = &pool["placementPolicy"];
    let topology = placement["tpuTopology"].as_str().unwrap_or_default();
    let autoscaling = &pool["autoscaling"];
    if topology.is_empty() {
        return Ok(());
    }
    let hosts = offers::tpu_hosts(machine, topology).ok_or_else(|| {
        Refusal::invalid(format!("TPU topology \"{topology}\" is not valid for machine type \"{}\".", machine.name))
    })?;
    if hosts == 1 {
        // Google's spelling.
        return Err(Refusal::invalid(
            "TPU topology can't be specified with single-host TPU slice pool; please remove the tpu_topology from the \
             node pool creation request if the node pool is intented to run with single-host TPU slice nodes.",
        ));
    }
    if zones.len() != 1 {
        return Err(Refusal::invalid("Multi-host TPU slice node pools must be in exactly one zone."));
    }
    if autoscaling["enabled"].as_bool() == Some(true) {
        let max = autoscaling["maxNodeCount"].as_u64().unwrap_or(0);
        if max != u64::from(hosts) {
            return Err(Refusal::invalid(format!(
                "Maximum node count {max} is not a valid size of TPU pod slice with topology \"{topology}\""
            )));
        }
    } else if pool["initialNodeCount"].as_u64().unwrap_or(0) != u64::from(hosts) {
        let count = pool["initialNodeCount"].as_u64().unwrap_or(0);
        return Err(Refusal::invalid(format!(
            "Initial node count {count} is not a valid size of TPU pod slice with topology \"{topology}\""
        )));
    }
    Ok(())
}

fn gpu(accelerator: &Json, machine: &offers::Machine, zone: &str) -> Result<(), Refusal> {
    let kind = accelerator["acceleratorType"].as_str().unwrap_or_default();
    let count: u32 = accelerator["acceleratorCount"].as_str().and_then(|c| c.parse().ok()).unwrap_or(0);
    if !offers::has_accelerator(kind, zone) {
        return Err(Refusal::invalid(format!("Accelerator type \"{kind}\" does not exist in zone {zone}.")));
    }
    if !offers::Gpu::find(kind).is_some_and(|gpu| gpu.fits(&machine.name)) {
        let fitting = offers::Gpu::find(kind).map_or("", |gpu| gpu.machines).replace("- ", "* or ").replace('-', "");
        return Err(Refusal::invalid(format!(
            "[{kind}] accelerators are not supported with machine type {}; use an {fitting} machine type.",
            machine.name
        )));
    }
    if let Some(own) = offers::own_gpus(&machine.name) {
        return match own == count {
            true => Ok(()),
            false => Err(Refusal::invalid(format!(
                "Invalid number of accelerators {count} of type {kind}: machine type {} has {own}.",
                machine.name
            ))),
        };
    }
    let counts: &[u32] = if kind == "nvidia-tesla-v100" { &[1, 2, 4, 8] } else { &[1, 2, 4] };
    if !counts.contains(&count) {
        let listed = counts.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        return Err(Refusal::invalid(format!(
            "Invalid number of accelerators {count} of type {kind}: must be one of {listed}."
        )));
    }
    // Limits of virtual CPUs are known of the T4 only.
    if kind != "nvidia-tesla-t4" {
        return Ok(());
    }
    let most = if count == 4 { 96 } else { 48 };
    if machine.cpus > most {
        return Err(Refusal::invalid(format!(
            "{count} {kind} accelerators support at most {most} vCPUs; {} has {}.",
            machine.name, machine.cpus
        )));
    }
    Ok(())
}

fn flex_start(pool: &Json) -> Result<(), Refusal> {
    let config = &pool["config"];
    if config["flexStart"].as_bool() != Some(true) {
        return Ok(());
    }
    if pool["autoscaling"]["enabled"].as_bool() != Some(true) {
        return Err(Refusal::invalid("Flex start node pools require autoscaling enabled."));
    }
    if pool["initialNodeCount"].as_i64().unwrap_or(0) > 0 {
        return Err(Refusal::invalid("Flex start node pools require initial node count to be set to 0."));
    }
    let reservation = config["reservationAffinity"]["consumeReservationType"].as_str();
    if reservation != Some("NO_RESERVATION") {
        return Err(Refusal::invalid("Flex start node pools don't support reservations."));
    }
    if config["spot"].as_bool() == Some(true) {
        return Err(Refusal::invalid("Flex start node pools can't be spot."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::google::container::Place;

    fn refused(pool: Json, zone: &str) -> String {
        let place = Place { project: "p".to_owned(), location: zone.to_owned() };
        let cluster = ClusterName { place, name: "c".to_owned() };
        node_pool(&cluster, &pool, &[zone.to_owned()]).err().map(|r| r.message).unwrap_or_default()
    }

    #[test]
    fn names_and_labels() {
        assert!(name("cluster", "a").is_ok() && name("cluster", &"a".repeat(40)).is_ok());
        for bad in ["", "A", "1a", "a-", "a_b", &"a".repeat(41)] {
            assert!(name("cluster", bad).is_err(), "{bad}");
        }
        assert!(labels(&json!({"stackwright-id": "x_1"})).is_ok());
        assert!(labels(&json!({"stackwright.dev/id": "x"})).is_err() && labels(&json!({"a": "B"})).is_err());
    }

    #[test]
    fn hardware_that_does_not_fit() {
        let t4 = json!([{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": "1"}]);
        let pool =
            |machine: &str| json!({"initialNodeCount": 1, "config": {"machineType": machine, "accelerators": t4}});
        assert_eq!(refused(pool("n1-standard-4"), "us-central1-a"), "");
        assert!(refused(pool("e2-standard-4"), "us-central1-a").contains("n1"));
        let gpu = |kind: &str, count: &str, machine: &str| {
            let accelerators = json!([{"acceleratorType": kind, "acceleratorCount": count}]);
            let pool = json!({"initialNodeCount": 1, "config": {"machineType": machine, "accelerators": accelerators}});
            refused(pool, "us-central1-a")
        };
        for (kind, count, machine) in [
            ("nvidia-l4", "1", "g2-standard-8"),
            ("nvidia-l4", "2", "g2-standard-24"),
            ("nvidia-tesla-v100", "8", "n1-standard-32"),
            ("nvidia-tesla-a100", "4", "a2-highgpu-4g"),
            ("nvidia-a100-80gb", "1", "a2-ultragpu-1g"),
            ("nvidia-h100-80gb", "8", "a3-highgpu-8g"),
        ] {
            assert_eq!(gpu(kind, count, machine), "", "{kind} {machine}");
        }
        assert!(gpu("nvidia-l4", "1", "g2-standard-24").contains("has 2"));
        assert!(
            gpu("nvidia-tesla-a100", "1", "n1-standard-8").contains("not supported with machine type n1-standard-8")
        );
        assert!(gpu("nvidia-h100-80gb", "8", "a2-highgpu-8g").contains("not supported"));
        assert!(gpu("nvidia-tesla-t4", "3", "n1-standard-8").contains("must be one of 1, 2, 4"));
        let bare = json!({"initialNodeCount": 1, "config": {"machineType": "a2-highgpu-1g"}});
        assert!(refused(bare, "us-central1-a").contains("needs its accelerators"));
        assert!(refused(pool("n1-standard-4"), "us-west4-c").contains("does not exist in zone"));
        let tpu = json!({"initialNodeCount": 1, "config": {"machineType": "ct6e-standard-4t"}});
        assert_eq!(refused(tpu.clone(), "europe-west4-a"), "");
        assert_eq!(
            refused(tpu, "us-central1-a"),
            "Invalid machine type \"ct6e-standard-4t\" in zone \"us-central1-a\": GCE_NOT_FOUND"
        );
        let slice = |topology: &str, count: u32| {
            let placement = json!({"tpuTopology": topology});
            json!({"initialNodeCount": count, "config": {"machineType": "ct6e-standard-4t"}, "placementPolicy": placement})
        };
        assert!(refused(slice("2x2", 1), "europe-west4-a").starts_with("TPU topology can't be specified"));
        assert_eq!(refused(slice("4x4", 4), "europe-west4-a"), "");
        assert!(refused(slice("4x4", 3), "europe-west4-a").contains("not a valid size"));
    }
}
