//! The audit after a destroy: what clusters that are gone have left in Compute Engine.
//!
//! One file per idea: `kinds` is what is looked for, `listing` how, `thing` what a list shows, `names` and
//! `attribution` whose it is, `capture` what must be learned while a cluster is there, `removal` how a thing goes.
//! Nothing here decides what is removed.

mod attribution;
pub mod capture;
mod kinds;
mod listing;
mod names;
pub mod probes;
pub mod removal;
mod thing;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};

pub use self::attribution::Living;
use self::attribution::{Claim, Found, attribute};
use self::kinds::KINDS;
use self::thing::{Thing, last, path_of};
use super::client::GoogleClient;
use crate::platform::audit::{Audit, Billed, Captured, Finding, Verdict};

/// List calls under way at a time.
const PARALLEL: usize = 6;

/// Looks for what these clusters have left, and adds it to `audit`, which knows which of them are still there.
/// `living` are all clusters of the projects.
/// Machines of the stack's probes are found on the way.
pub async fn look(client: &GoogleClient, stack_id: &str, captured: &[Captured], living: &[Living], audit: &mut Audit) {
    let mut projects: BTreeMap<&str, Vec<Captured>> = BTreeMap::new();
    for cluster in captured.iter().filter(|cluster| !audit.living.contains(&cluster.id)) {
        projects.entry(&cluster.project).or_default().push(cluster.clone());
    }
    for (project, clusters) in projects {
        let lists = KINDS.iter().map(|row| listing::list(client, project, row)).collect::<Vec<_>>();
        let lists = stream::iter(lists).buffered(PARALLEL).collect::<Vec<_>>().await;
        let mut found = Vec::new();
        for (row, listed) in KINDS.iter().zip(lists) {
            audit.unseen.extend(listed.unseen);
            audit.looked.insert(row.words.to_owned());
            found.extend(listed.things.into_iter().map(|(place, thing)| Found { row, place, thing }));
        }
        let claims = attribute(&clusters, living, &found);
        let claims = found.iter().zip(claims).map(|(found, claim)| (found, probes::claim(found, stack_id).or(claim)));
        let claimed = claims.filter_map(|(found, claim)| Some((found, claim?)));
        audit.findings.extend(claimed.map(|(found, claim)| finding(project, found, claim)));
    }
    audit
        .findings
        .sort_by(|a, b| (a.verdict, a.order, &a.place, &a.name).cmp(&(b.verdict, b.order, &b.place, &b.name)));
    let mut seen = BTreeSet::new();
    audit.unseen.retain(|unseen| seen.insert(unseen.clone()));
}

fn finding(project: &str, found: &Found, claim: Claim) -> Finding {
    let Found { row, place, thing } = found;
    let mut command = format!("gcloud compute {} delete {} --project {project}", row.gcloud, thing.name);
    match place.split_once('/') {
        Some(("zones", zone)) => command.push_str(&format!(" --zone {zone}")),
        Some((_, region)) => command.push_str(&format!(" --region {region}")),
        // Some kinds are nowhere else, and their commands know no flag for it.
        None if row.listing == kinds::Listing::Aggregated => command.push_str(" --global"),
        None => {}
    }
    Finding {
        kind: row.words.to_owned(),
        name: thing.name.clone(),
        place: place.clone(),
        path: match path_of(&thing.self_link) {
            "" => format!("projects/{project}/{place}/{}/{}", row.collection, thing.name),
            path => path.to_owned(),
        },
        cluster: claim.cluster,
        verdict: claim.verdict,
        because: claim.because,
        billed: billed(row.collection, place, thing),
        order: (claim.verdict == Verdict::Proven).then_some(row.order),
        command,
    }
}

/// What a thing is billed as.
fn billed(collection: &str, place: &str, thing: &Thing) -> Billed {
    match collection {
        "disks" => {
            Billed::Disk { kind: last(&thing.kind).to_owned(), gigabytes: thing.size_gb.parse().unwrap_or_default() }
        }
        "forwardingRules" => Billed::ForwardingRule,
        "addresses" if thing.users.is_empty() => Billed::Address,
        "instances" if thing.status != "TERMINATED" => {
            let zone = last(place);
            let accelerators =
                thing.guest_accelerators.iter().map(|a| (last(&a.accelerator_type).to_owned(), a.accelerator_count));
            Billed::Machine {
                machine_type: last(&thing.machine_type).to_owned(),
                region: zone.rsplit_once('-').map_or(zone, |(region, _)| region).to_owned(),
                spot: thing.scheduling.preemptible || thing.scheduling.provisioning_model == "SPOT",
                accelerators: accelerators.collect(),
            }
        }
        _ => Billed::Nothing,
    }
}
