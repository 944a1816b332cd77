//! Networks, firewalls and addresses: what clusters and load balancers take and leave.

use serde_json::{Value as Json, json};

use super::{ROOT, all, delete_document, put};
use crate::sim::google::container::ClusterFacts;
use crate::sim::google::{Google, offers};

/// Every project has a default network.
pub fn ensure_default(google: &Google, project: &str) {
    if google.world.get(&super::section("networks"), &format!("{project}/global/default")).is_some() {
        return;
    }
    put(
        google,
        project,
        "networks",
        "global",
        "default",
        json!({
            "description": "Default network for the project", "autoCreateSubnetworks": true,
            "routingConfig": {"routingMode": "REGIONAL"},
        }),
    );
    for (name, allowed) in [("default-allow-internal", "all"), ("default-allow-ssh", "22")] {
        let ports = if allowed == "all" {
            json!([{"IPProtocol": "all"}])
        } else {
            json!([{"IPProtocol": "tcp", "ports": [allowed]}])
        };
        put(google, project, "firewalls", "global", name, firewall(project, ports, json!([])));
    }
}

fn firewall(project: &str, allowed: Json, tags: Json) -> Json {
    let mut out = json!({
        "network": format!("{ROOT}/projects/{project}/global/networks/default"), "direction": "INGRESS", "priority": 1000,
        "disabled": false, "allowed": allowed, "logConfig": {"enable": false},
    });
    if tags.as_array().is_some_and(|tags| !tags.is_empty()) {
        out["targetTags"] = tags;
    }
    out
}

/// The tag of a cluster's nodes.
pub fn node_tag(cluster: &ClusterFacts) -> String {
    format!("gke-{}-{}-node", cluster.name, cluster.short)
}

/// The firewalls that GKE makes with a cluster.
pub fn cluster_created(google: &Google, cluster: &ClusterFacts) {
    ensure_default(google, &cluster.project);
    let tag = json!([node_tag(cluster)]);
    for (suffix, allowed) in [
        ("all", json!([{"IPProtocol": "tcp"}, {"IPProtocol": "udp"}, {"IPProtocol": "icmp"}])),
        ("vms", json!([{"IPProtocol": "icmp"}, {"IPProtocol": "tcp", "ports": ["1-65535"]}])),
        ("inkubelet", json!([{"IPProtocol": "tcp", "ports": ["10255"]}])),
        ("exkubelet", json!([{"IPProtocol": "tcp", "ports": ["10255"]}])),
    ] {
        let name = format!("gke-{}-{}-{suffix}", cluster.name, cluster.short);
        let mut rule = firewall(&cluster.project, allowed, tag.clone());
        rule["_cluster"] = json!(cluster.id);
        put(google, &cluster.project, "firewalls", "global", &name, rule);
    }
}

/// Removes what GKE made with a cluster; load balancers and volumes stay unless `keep` is off.
pub fn cluster_deleted(google: &Google, cluster: &ClusterFacts, keep: bool) {
    for rule in all(google, "firewalls") {
        if rule["_cluster"] == json!(cluster.id) {
            super::let_go(google, "firewalls", &rule);
        }
    }
    if keep {
        return;
    }
    let collections = [
        "forwardingRules",
        "targetHttpProxies",
        "urlMaps",
        "targetPools",
        "backendServices",
        "networkEndpointGroups",
        "healthChecks",
        "httpHealthChecks",
        "instanceGroups",
        "firewalls",
        "disks",
    ];
    for collection in collections {
        for document in all(google, collection) {
            if document["_owner"] == json!(cluster.id) {
                delete_document(google, collection, &document);
            }
        }
    }
}

/// The lowest address of the documentation networks that nothing uses.
pub fn free_address(google: &Google) -> String {
    let taken: Vec<String> = all(google, "forwardingRules")
        .iter()
        .filter_map(|rule| rule["IPAddress"].as_str().map(str::to_owned))
        .chain(all(google, "addresses").iter().filter_map(|a| a["address"].as_str().map(str::to_owned)))
        .collect();
    // RFC 5737: never routed on the real internet.
    let candidates = ["203.0.113", "198.51.100", "192.0.2"]
        .into_iter()
        .flat_map(|net| (10..=250).map(move |host| format!("{net}.{host}")));
    let mut free = candidates.filter(|address| !taken.contains(address));
    free.next().unwrap_or_else(|| "192.0.2.254".to_owned())
}

/// The lowest address within the network that no load balancer has.
pub fn free_internal_address(google: &Google) -> String {
    let rules = all(google, "forwardingRules");
    let taken = |address: &str| rules.iter().any(|rule| rule["IPAddress"] == address);
    // The upper end of the subnet of europe-west4 in a network in auto mode; nodes are elsewhere.
    let mut free = (2..=254).map(|host| format!("10.164.15.{host}")).filter(|address| !taken(address));
    free.next().unwrap_or_else(|| "10.164.14.2".to_owned())
}

/// The region of a location, as a scope.
pub fn region_scope(location: &str) -> String {
    format!("regions/{}", offers::region_of(location))
}

/// A firewall for a load balancer.
pub fn service_firewall(project: &str, ports: &[(String, u16)], tag: &str, service: &str, address: &str) -> Json {
    let allowed: Vec<Json> = ports
        .iter()
        .map(|(protocol, port)| json!({"IPProtocol": protocol.to_lowercase(), "ports": [port.to_string()]}))
        .collect();
    let mut rule = firewall(project, json!(allowed), json!([tag]));
    rule["sourceRanges"] = json!(["0.0.0.0/0"]);
    rule["description"] =
        json!(json!({"kubernetes.io/service-name": service, "kubernetes.io/service-ip": address}).to_string());
    rule
}
