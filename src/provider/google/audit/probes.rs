//! Machines that were made to see whether there is capacity and were left behind by a run that was killed: found by their
//! labels alone.

use serde_json::Value as Json;

use super::attribution::{Claim, Found};
use super::thing::{last, path_of};
use crate::env::clock::Timestamp;
use crate::platform::audit::{Audit, Billed, Finding, Unseen, Verdict};
use crate::provider::google::client::GoogleClient;
use crate::provider::google::pool::{EXPIRES, MARK};
use crate::provider::google::preflight::trials::PROBE;
use crate::resource::error::ProviderError;

/// Adds those of a stack to an audit, where nothing else is listed in a project.
pub async fn look(client: &GoogleClient, project: &str, stack_id: &str, audit: &mut Audit) {
    match list(client, project).await {
        Ok(machines) => {
            let ours = machines.iter().filter(|one| !stack_id.is_empty() && one["labels"][MARK] == stack_id);
            audit.findings.extend(ours.map(|machine| finding(project, machine)));
        }
        Err(error) => {
            audit.unseen.push(Unseen { what: format!("machines of probes in {project}"), why: error.message });
        }
    }
}

/// Whose a machine is that was listed for another reason.
pub fn claim(found: &Found, stack_id: &str) -> Option<Claim> {
    let label = |key: &str| found.thing.labels.get(key).map(String::as_str);
    let ours = label(PROBE) == Some("true") && !stack_id.is_empty() && label(MARK) == Some(stack_id);
    ours.then(|| Claim { cluster: String::new(), verdict: Verdict::Proven, because: BECAUSE.to_owned() })
}

/// What says whose it is.
const BECAUSE: &str = "it was made to see whether there is capacity, and its label names the stack";

/// Those of any stack of a project whose time is over.
///
/// # Errors
/// When they cannot be listed.
pub async fn expired(client: &GoogleClient, project: &str, now: Timestamp) -> Result<Vec<Finding>, ProviderError> {
    let is_over = |one: &&Json| {
        let expires = one["labels"][EXPIRES].as_str().and_then(|text| text.parse::<u64>().ok());
        expires.is_some_and(|expires| expires <= now.seconds())
    };
    Ok(list(client, project).await?.iter().filter(is_over).map(|one| finding(project, one)).collect())
}

async fn list(client: &GoogleClient, project: &str) -> Result<Vec<Json>, ProviderError> {
    let mut machines = Vec::new();
    let mut page = String::new();
    loop {
        let path = format!(
            "/compute/v1/projects/{project}/aggregated/instances?filter=labels.{PROBE}%3Dtrue&maxResults=500\
             &returnPartialSuccess=true{page}"
        );
        let answer = client.get("compute", &path).await?;
        let scopes = answer["items"].as_object().into_iter().flatten();
        machines.extend(scopes.flat_map(|(_, scope)| scope["instances"].as_array().cloned().unwrap_or_default()));
        match answer["nextPageToken"].as_str() {
            Some(token) => page = format!("&pageToken={token}"),
            None => return Ok(machines),
        }
    }
}

fn finding(project: &str, machine: &Json) -> Finding {
    let text = |key: &str| machine[key].as_str().unwrap_or_default();
    let zone = last(text("zone"));
    let accelerators = machine["guestAccelerators"].as_array().into_iter().flatten().map(|one| {
        let kind = last(one["acceleratorType"].as_str().unwrap_or_default()).to_owned();
        (kind, one["acceleratorCount"].as_u64().unwrap_or(1))
    });
    Finding {
        kind: "instance".to_owned(),
        name: text("name").to_owned(),
        place: format!("zones/{zone}"),
        path: path_of(text("selfLink")).to_owned(),
        cluster: String::new(),
        verdict: Verdict::Proven,
        because: BECAUSE.to_owned(),
        billed: Billed::Machine {
            machine_type: last(text("machineType")).to_owned(),
            region: zone.rsplit_once('-').map_or(zone, |(region, _)| region).to_owned(),
            spot: machine["scheduling"]["provisioningModel"] == "SPOT",
            accelerators: accelerators.collect(),
        },
        order: Some(7),
        command: format!("gcloud compute instances delete {} --project {project} --zone {zone}", text("name")),
    }
}
