//! The GKE API, v1 and v1beta1: which path is which call.
//!
//! `clusters` and `node_pools` hold the calls, `rules` what Google refuses, `defaults` what it fills in,
//! `operations` the long-running work, `nodes` the machines behind a pool.

pub mod cluster_updates;
pub mod clusters;
pub mod defaults;
pub mod durations;
pub mod node_pools;
pub mod nodes;
pub mod operations;
pub mod quotas;
pub mod rules;

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value as Json, json};

use super::answer::{Call, Refusal};
use super::schema::{Schema, Unknown};
use super::{Google, offers};

/// Section of cluster documents, keyed by `project/location/name`.
pub const CLUSTERS: &str = "google/clusters";
/// Section of node pool documents, keyed by `project/location/cluster/name`.
pub const POOLS: &str = "google/pools";
/// Section of operation documents, keyed by name.
pub const OPERATIONS: &str = "google/operations";

/// What the inside of a cluster is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Project id.
    pub project: String,
    /// Zone or region.
    pub location: String,
    /// Name.
    pub name: String,
    /// `1.35.5-gke.1241004`.
    pub version: String,
    /// First eight digits of the id, in names of firewalls and ranges.
    pub short: String,
}

impl ClusterFacts {
    /// The id as the label `goog-gke-cluster-id-base32` of disks and machines has it: 52 characters, seen on real disks.
    pub fn label(&self) -> String {
        let bit = |at: usize| self.id.chars().nth(at / 4).and_then(|c| c.to_digit(16)).unwrap_or(0) >> (3 - at % 4) & 1;
        let bits: Vec<u32> = (0..self.id.len() * 4).map(bit).collect();
        let digit = |five: &[u32]| {
            let value = (0..5).fold(0, |value, at| value << 1 | five.get(at).copied().unwrap_or(0));
            char::from(b"abcdefghijklmnopqrstuvwxyz234567"[value as usize])
        };
        bits.chunks(5).map(digit).collect()
    }
}

/// The API version that a call came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `v1`.
    V1,
    /// `v1beta1`.
    Beta,
}

impl Version {
    /// As in paths.
    pub fn name(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::Beta => "v1beta1",
        }
    }
}

/// Names a place in a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Project id.
    pub project: String,
    /// Zone or region, or `-` for all.
    pub location: String,
}

impl Place {
    /// `zones/us-central1-a` or `locations/us-central1`, as links and messages have it.
    pub fn words(&self) -> String {
        let word = if offers::is_zone(&self.location) { "zones" } else { "locations" };
        format!("{word}/{}", self.location)
    }

    /// The start of a link or message: `projects/P/zones/Z`.
    pub fn path(&self) -> String {
        format!("projects/{}/{}", self.project, self.words())
    }
}

/// Names a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterName {
    /// Where.
    pub place: Place,
    /// Its name.
    pub name: String,
}

impl ClusterName {
    /// Key of its document.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.place.project, self.place.location, self.name)
    }

    /// `projects/P/zones/Z/clusters/C`.
    pub fn path(&self) -> String {
        format!("{}/clusters/{}", self.place.path(), self.name)
    }

    /// Key of a pool's document.
    pub fn pool_key(&self, pool: &str) -> String {
        format!("{}/{pool}", self.key())
    }

    /// The refusal for a cluster that is not there.
    pub fn missing(&self) -> Refusal {
        Refusal::not_found(format!("Not found: {}.", self.path()))
    }
}

/// A body in canonical form.
fn body(call: &Call, version: Version, message: &str) -> Result<Json, Refusal> {
    let unknown = if version == Version::V1 { Unknown::Refuse } else { Unknown::Keep };
    Schema::container().normalise(message, call.json()?, unknown).map_err(|c| Refusal::invalid(c.join("\n")))
}

/// An answer as the version and the client want it.
fn shown(call: &Call, version: Version, message: &str, value: Json) -> Json {
    match version {
        Version::V1 if call.wants_numbers() => Schema::container().view_with_numbers(message, &value),
        Version::V1 => Schema::container().view(message, &value),
        Version::Beta => value,
    }
}

/// Answers a call below `/v1/projects/` or `/v1beta1/projects/`.
///
/// # Errors
/// Google's refusals.
pub fn answer(google: &Arc<Google>, call: &Call, words: &[&str]) -> Result<Json, Refusal> {
    let version = if words.first() == Some(&"v1beta1") { Version::Beta } else { Version::V1 };
    let rest = modern(words.get(2..).unwrap_or_default());
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let [project, "locations", location, tail @ ..] = rest.as_slice() else {
        return Err(Refusal::not_found("Method not found."));
    };
    if google.faults.disabled("container.googleapis.com") {
        return Err(rules::disabled(&google.project_number(project)));
    }
    let place = Place { project: (*project).to_owned(), location: (*location).to_owned() };
    let all = *location == "-";
    if !all && !offers::is_zone(location) && !offers::is_region(location) {
        return Err(rules::no_location(location));
    }
    let (get, post, put, delete) = (
        call.method == Method::GET,
        call.method == Method::POST,
        call.method == Method::PUT,
        call.method == Method::DELETE,
    );
    let cluster = |name: &str| ClusterName { place: place.clone(), name: name.to_owned() };
    let operation = |result: Result<operations::Operation, Refusal>| {
        result.map(|o| shown(call, version, "Operation", operations::show(google, &o, version)))
    };
    match tail {
        ["serverConfig"] if get => Ok(shown(call, version, "ServerConfig", defaults::server_config())),
        ["operations"] if get => {
            let found = operations::list(google, &place);
            let found = found.iter().map(|o| shown(call, version, "Operation", operations::show(google, o, version)));
            Ok(listing("operations", found.collect()))
        }
        ["operations", name] => match name.split_once(':') {
            None if get => operation(operations::get(google, &place, name)),
            Some((name, "cancel")) if post => operations::cancel(google, &place, name).map(|()| json!({})),
            _ => Err(Refusal::not_found("Method not found.")),
        },
        ["clusters"] if get => {
            let found = clusters::list(google, &place, version);
            let found = found.into_iter().map(|c| shown(call, version, "Cluster", c));
            Ok(listing("clusters", found.collect()))
        }
        ["clusters"] if post => {
            operation(clusters::create(google, &place, body(call, version, "CreateClusterRequest")?))
        }
        ["clusters", name] => match name.split_once(':') {
            Some((name, verb)) if post => {
                operation(cluster_updates::verb(google, &cluster(name), verb, |m| body(call, version, m)))
            }
            None if get => clusters::get(google, &cluster(name), version).map(|c| shown(call, version, "Cluster", c)),
            None if put => {
                operation(cluster_updates::update(google, &cluster(name), body(call, version, "UpdateClusterRequest")?))
            }
            None if delete => operation(clusters::delete(google, &cluster(name))),
            _ => Err(Refusal::not_found("Method not found.")),
        },
        ["clusters", name, "nodePools"] if get => {
            let found = node_pools::list(google, &cluster(name), version)?;
            let found = found.into_iter().map(|p| shown(call, version, "NodePool", p));
            Ok(listing("nodePools", found.collect()))
        }
        ["clusters", name, "nodePools"] if post => {
            operation(node_pools::create(google, &cluster(name), body(call, version, "CreateNodePoolRequest")?))
        }
        ["clusters", name, "nodePools", pool] => {
            let cluster = cluster(name);
            match pool.split_once(':') {
                Some((pool, verb)) if post => {
                    if verb == "completeUpgrade" {
                        return node_pools::complete_upgrade(google, &cluster, pool);
                    }
                    operation(node_pools::verb(google, &cluster, pool, verb, |m| body(call, version, m)))
                }
                None if get => {
                    node_pools::get(google, &cluster, pool, version).map(|p| shown(call, version, "NodePool", p))
                }
                None if put => {
                    operation(node_pools::update(google, &cluster, pool, body(call, version, "UpdateNodePoolRequest")?))
                }
                None if delete => operation(node_pools::delete(google, &cluster, pool)),
                _ => Err(Refusal::not_found("Method not found.")),
            }
        }
        _ => Err(Refusal::not_found("Method not found.")),
    }
}

/// An empty list is `{}`, as everywhere in this API.
fn listing(name: &str, items: Vec<Json>) -> Json {
    if items.is_empty() { json!({}) } else { json!({ name: items }) }
}

/// The deprecated `/zones/` family in the words of the present one.
fn modern(words: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    if words.get(1).map(String::as_str) != Some("zones") {
        return words;
    }
    words[1] = "locations".to_owned();
    if let Some(last) = words.last_mut().filter(|last| *last == "serverconfig") {
        *last = "serverConfig".to_owned();
    }
    let verb = |word: &str| match word {
        "resourceLabels" => "setResourceLabels",
        "addons" => "setAddons",
        "legacyAbac" => "setLegacyAbac",
        "locations" => "setLocations",
        "logging" => "setLogging",
        "monitoring" => "setMonitoring",
        "master" => "updateMaster",
        "autoscaling" => "setAutoscaling",
        "setManagement" => "setManagement",
        "setSize" => "setSize",
        _ => "",
    };
    let at_end = (words.len() == 6 && words[3] == "clusters") || (words.len() == 8 && words[5] == "nodePools");
    if at_end && let Some(last) = words.last() {
        let verb = verb(last);
        if !verb.is_empty() {
            words.pop();
            if let Some(name) = words.last_mut() {
                *name = format!("{name}:{verb}");
            }
        }
    }
    words
}

#[cfg(test)]
mod tests;
