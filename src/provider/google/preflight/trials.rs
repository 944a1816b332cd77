//! Trials of capacity: one machine as the nodes of a pool are, which Compute Engine makes or refuses within seconds, where
//! GKE takes 35 minutes to say so.
//!
//! The machine is labelled as the stack's, has no public address, and is removed by Google itself after ten minutes
//! (`maxRunDuration`), whatever becomes of the run that made it. Not for waiting, which is `ops::probe`'s.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::needs::{is_zone, region};
use crate::env::clock::Timestamp;
use crate::platform::audit::Billed;
use crate::platform::preflight::{Begun, Trial, Wanted};
use crate::provider::google::audit::removal;
use crate::provider::google::client::GoogleClient;
use crate::provider::google::pool::{EXPIRES, MARK, STACK};
use crate::resource::driver::Ownership;
use crate::resource::error::ProviderError;
use crate::value::Value;

/// The label of machines that only try.
pub const PROBE: &str = "stackwright-probe";

/// Seconds after which Google removes such a machine by itself.
const LIFETIME: u64 = 600;

fn text<'a>(attrs: &'a Value, key: &str) -> Option<&'a str> {
    attrs.get(key).and_then(Value::as_str)
}

/// The trials of pools with accelerators that are yet to be made, a zone each.
pub fn of(wanted: &[Wanted], owner: &Ownership, now: Timestamp) -> Vec<Trial> {
    let cluster = wanted.iter().find(|one| one.kind == "gke.cluster").map(|one| &one.attrs);
    let new = wanted.iter().filter(|one| one.kind == "gke.node_pool" && one.present.is_none());
    new.flat_map(|pool| trials(pool, cluster, owner, now)).collect()
}

fn trials(pool: &Wanted, cluster: Option<&Value>, owner: &Ownership, now: Timestamp) -> Vec<Trial> {
    let attrs = &pool.attrs;
    let is = |key: &str| attrs.get(key).and_then(Value::as_bool) == Some(true);
    let (Some(project), Some(location), Some(machine)) =
        (text(attrs, "project"), text(attrs, "location"), text(attrs, "machine_type"))
    else {
        return Vec::new();
    };
    let gpu = attrs
        .get("accelerator")
        .and_then(|gpu| Some((text(gpu, "type")?.to_owned(), gpu.get("count").and_then(Value::as_int).unwrap_or(1))));
    let nodes = attrs.get("nodes").and_then(Value::as_int).unwrap_or_default();
    // What is queued for comes when pods ask for it, and what starts empty needs nothing now.
    if (gpu.is_none() && super::needs::chips(machine).is_none()) || is("flex_start") || nodes == 0 {
        return Vec::new();
    }
    let reservation = text(attrs, "reservation").filter(|name| !matches!(*name, "none" | "any"));
    let named = attrs.get("node_locations").or_else(|| cluster?.get("node_locations")).and_then(Value::as_list);
    let zones = match named {
        Some(zones) => zones.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
        // Which zones of a region GKE will take, nobody can tell.
        None if !is_zone(location) => Vec::new(),
        None => vec![location],
    };
    let trial = |zone: &&str| {
        let with = gpu.as_ref().map_or_else(String::new, |(kind, count)| format!(" with {count} {kind}"));
        let name = name(owner, project, zone, pool.address.as_str());
        let request = request(&name, zone, machine, gpu.as_ref(), is("spot"), cluster, owner, now);
        let accelerators = gpu.iter().map(|(kind, count)| (kind.clone(), u64::try_from(*count).unwrap_or(1))).collect();
        Trial {
            address: pool.address.clone(),
            subject: match reservation {
                Some(reservation) => format!("reservation {reservation} in {zone}"),
                None => format!("{machine}{with} in {zone}"),
            },
            project: project.to_owned(),
            zone: (*zone).to_owned(),
            name,
            billed: match reservation {
                Some(_) => Billed::Nothing,
                None => billed(machine, zone, is("spot"), accelerators),
            },
            request: reservation.is_none().then_some(request),
            reservation: reservation.map(|name| (name.to_owned(), nodes)),
        }
    };
    zones.iter().map(trial).collect()
}

fn billed(machine: &str, zone: &str, spot: bool, accelerators: BTreeMap<String, u64>) -> Billed {
    Billed::Machine { machine_type: machine.to_owned(), region: region(zone).to_owned(), spot, accelerators }
}

/// The same for the same pool of the same stack, so that what a killed run has left is met again.
fn name(owner: &Ownership, project: &str, zone: &str, address: &str) -> String {
    let hash = Sha256::digest(format!("{}\n{}\n{project}\n{zone}\n{address}", owner.stack, owner.id));
    let short = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{PROBE}-{short}")
}

#[expect(clippy::too_many_arguments, reason = "the parts of one request")]
fn request(
    name: &str,
    zone: &str,
    machine: &str,
    gpu: Option<&(String, i64)>,
    spot: bool,
    cluster: Option<&Value>,
    owner: &Ownership,
    now: Timestamp,
) -> Json {
    let network = cluster.and_then(|cluster| text(cluster, "network")).unwrap_or("default");
    let network = if network.contains('/') { network.to_owned() } else { format!("global/networks/{network}") };
    let mut interface = json!({ "network": network });
    if let Some(subnetwork) = cluster.and_then(|cluster| text(cluster, "subnetwork")) {
        let path = format!("regions/{}/subnetworks/{subnetwork}", region(zone));
        interface["subnetwork"] = if subnetwork.contains('/') { subnetwork.into() } else { path.into() };
    }
    let mut labels = json!({ PROBE: "true", STACK: owner.stack, EXPIRES: (now.seconds() + LIFETIME).to_string() });
    if !owner.id.is_empty() {
        labels[MARK] = owner.id.as_str().into();
    }
    let mut request = json!({
        "name": name,
        "description": "proves that there is capacity, for a moment",
        "machineType": format!("zones/{zone}/machineTypes/{machine}"),
        "labels": labels,
        "disks": [{
            "boot": true, "autoDelete": true,
            "initializeParams": {"sourceImage": "projects/cos-cloud/global/images/family/cos-stable"},
        }],
        "networkInterfaces": [interface],
        "scheduling": {
            "onHostMaintenance": "TERMINATE", "automaticRestart": false,
            "provisioningModel": if spot { "SPOT" } else { "STANDARD" },
            "maxRunDuration": {"seconds": LIFETIME.to_string()}, "instanceTerminationAction": "DELETE",
        },
    });
    if let Some((kind, count)) = gpu {
        request["guestAccelerators"] =
            json!([{"acceleratorType": format!("zones/{zone}/acceleratorTypes/{kind}"), "acceleratorCount": count}]);
    }
    request
}

/// Begins a trial.
///
/// # Errors
/// The refusal.
pub async fn begin(client: &GoogleClient, trial: &Trial) -> Result<Begun, ProviderError> {
    let zone = format!("/compute/v1/projects/{}/zones/{}", trial.project, trial.zone);
    if let Some((reservation, nodes)) = &trial.reservation {
        let found = client.get("compute", &format!("{zone}/reservations/{reservation}")).await?;
        let number = |key: &str| found["specificReservation"][key].as_str().and_then(|n| n.parse::<i64>().ok());
        let left = number("count").unwrap_or_default() - number("inUseCount").unwrap_or_default();
        let said = format!("{left} of its machines are free, {nodes} are needed");
        return Ok(if left >= *nodes { Begun::There(said) } else { Begun::Missing(said) });
    }
    let request = trial.request.as_ref().unwrap_or(&Json::Null);
    let operation = client.post("compute", &format!("{zone}/instances"), request).await?;
    Ok(Begun::Making(removal::operation_path(&operation)))
}

/// Removes the machine of a trial.
///
/// # Errors
/// The refusal.
pub async fn end(client: &GoogleClient, trial: &Trial) -> Result<Option<String>, ProviderError> {
    let path = format!("projects/{}/zones/{}/instances/{}", trial.project, trial.zone, trial.name);
    removal::delete(client, &path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(more: Json) -> Wanted {
        let mut attrs = json!({"project": "p", "location": "europe-west4-a", "machine_type": "n1-standard-4", "nodes": 1,
            "accelerator": {"type": "nvidia-tesla-t4", "count": 1}});
        attrs.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        let kind = "gke.node_pool".to_owned();
        Wanted { address: "node_pools.gpu".into(), kind, attrs: Value::from_json(&attrs), present: None }
    }

    fn tried(more: Json) -> Vec<Trial> {
        let owner = Ownership { stack: "s".to_owned(), id: "0123".to_owned(), expires: None };
        of(&[pool(more)], &owner, Timestamp(1_000_000))
    }

    #[test]
    fn a_trial_is_one_machine_that_google_removes_by_itself() {
        let trials = tried(json!({"nodes": 3}));
        let [trial] = &trials[..] else { panic!("{trials:?}") };
        assert_eq!(trial.subject, "n1-standard-4 with 1 nvidia-tesla-t4 in europe-west4-a");
        let request = trial.request.as_ref().expect("a request");
        assert_eq!(request["scheduling"]["instanceTerminationAction"], "DELETE");
        assert_eq!(request["labels"]["stackwright-id"], "0123");
        assert_eq!(request["labels"]["stackwright-expires"], "1600");
        assert!(request["networkInterfaces"][0].get("accessConfigs").is_none());
        assert_eq!(trial.name, tried(json!({}))[0].name, "met again");
        assert_ne!(trial.name, tried(json!({"location": "us-east1-c"}))[0].name);
    }

    #[test]
    fn only_what_is_wanted_now_is_tried() {
        for nothing in [
            json!({"nodes": 0}),
            json!({"flex_start": true}),
            json!({"accelerator": null}),
            json!({"location": "europe-west4"}),
        ] {
            assert_eq!(tried(nothing.clone()), Vec::new(), "{nothing}");
        }
        assert_eq!(
            tried(json!({"location": "europe-west4", "node_locations": ["europe-west4-a", "europe-west4-b"]})).len(),
            2
        );
        let reserved = tried(json!({"reservation": "mine"}));
        assert!(reserved[0].request.is_none() && reserved[0].reservation == Some(("mine".to_owned(), 1)));
        assert_eq!(tried(json!({"machine_type": "ct6e-standard-4t", "accelerator": null})).len(), 1);
    }
}
