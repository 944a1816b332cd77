//! Who reaches a cluster's control plane, and when GKE may work on it: attributes to requests and back.
//!
//! Pure. Clusters themselves are `cluster`'s.

use google_cloud_container_v1::model::control_plane_endpoints_config::{DNSEndpointConfig, IPEndpointsConfig};
use google_cloud_container_v1::model::master_authorized_networks_config::CidrBlock;
use google_cloud_container_v1::model::{
    Cluster, ControlPlaneEndpointsConfig, MaintenancePolicy, MasterAuthorizedNetworksConfig,
};
use serde_json::{Value as Json, json};

use super::pool::text;
use crate::env::clock::Timestamp;
use crate::value::Value;

/// The networks that may reach the control plane's address; off without any.
pub fn networks(attrs: &Value) -> MasterAuthorizedNetworksConfig {
    let listed = attrs.get("authorized_networks").and_then(Value::as_list).unwrap_or_default();
    let block = |network: &Value| {
        CidrBlock::new()
            .set_cidr_block(text(network, "cidr").unwrap_or_default())
            .set_display_name(text(network, "name").unwrap_or_default())
    };
    MasterAuthorizedNetworksConfig::new().set_enabled(!listed.is_empty()).set_cidr_blocks(listed.iter().map(block))
}

/// The authorised networks as GKE shows them, in order of their addresses; nothing while they are off.
pub fn authorized(cluster: &Cluster) -> Value {
    let config = cluster.master_authorized_networks_config.as_ref().filter(|config| config.enabled);
    let blocks = config.map(|config| &config.cidr_blocks[..]).unwrap_or_default();
    let mut blocks = blocks.iter().map(|block| (&block.cidr_block, &block.display_name)).collect::<Vec<_>>();
    blocks.sort();
    let network = |(cidr, name): (&String, &String)| Value::from_json(&json!({"cidr": cidr, "name": name}));
    Value::List(blocks.into_iter().map(network).collect())
}

/// The endpoints of a private cluster: by name from anywhere, for whom IAM lets in, and by address from nowhere.
pub fn by_name_only() -> ControlPlaneEndpointsConfig {
    ControlPlaneEndpointsConfig::new()
        .set_dns_endpoint_config(DNSEndpointConfig::new().set_allow_external_traffic(true))
        .set_ip_endpoints_config(IPEndpointsConfig::new().set_enabled(false))
}

/// The host name of the control plane, where that is the only way to it.
pub fn only_name(cluster: &Cluster) -> Option<&str> {
    let endpoints = cluster.control_plane_endpoints_config.as_ref()?;
    let by_address = endpoints.ip_endpoints_config.as_ref().and_then(|config| config.enabled).unwrap_or(true);
    let name = endpoints.dns_endpoint_config.as_ref()?;
    let open = name.allow_external_traffic == Some(true) && !name.endpoint.is_empty();
    (open && !by_address).then_some(name.endpoint.as_str())
}

/// Whether nodes have no public addresses.
pub fn private_nodes(cluster: &Cluster) -> bool {
    let now = cluster.network_config.as_ref().and_then(|config| config.default_enable_private_nodes);
    let before = cluster.private_cluster_config.as_ref().map(|config| config.enable_private_nodes);
    now.or(before) == Some(true)
}

/// The policy for this window; `current` is the cluster's, whose other parts stay.
pub fn maintenance(window: Option<&Value>, current: Option<&MaintenancePolicy>) -> MaintenancePolicy {
    let mut policy = current.and_then(|policy| serde_json::to_value(policy).ok()).unwrap_or_else(|| json!({}));
    let excluded = policy["window"]["maintenanceExclusions"].take();
    let mut wanted = match window.map(Value::to_json) {
        Some(Json::Object(window)) if window.contains_key("daily") => {
            json!({"dailyMaintenanceWindow": {"startTime": window["daily"]}})
        }
        Some(Json::Object(window)) => json!({"recurringWindow": {
            "window": {"startTime": window.get("start"), "endTime": window.get("end")},
            "recurrence": window.get("recurrence"),
        }}),
        _ => json!({}),
    };
    if excluded.is_object() {
        wanted["maintenanceExclusions"] = excluded;
    }
    policy["window"] = wanted;
    // Only what is checked when the stack is read comes here.
    serde_json::from_value(policy).unwrap_or_default()
}

/// The maintenance window as GKE shows it, in the attributes' words.
pub fn window(cluster: &Cluster) -> Option<Value> {
    let policy = serde_json::to_value(cluster.maintenance_policy.as_ref()?).ok()?;
    let window = &policy["window"];
    if let Some(daily) = window["dailyMaintenanceWindow"]["startTime"].as_str() {
        return Some(Value::from_json(&json!({"daily": daily})));
    }
    // Two spellings of one thing.
    let (recurring, times) = match &window["recurringWindow"] {
        Json::Null => return None,
        recurring => (recurring, &recurring["window"]),
    };
    let moment = |key: &str| Some(Timestamp::parse(times[key].as_str()?)?.rfc3339());
    let found = json!({
        "start": moment("startTime")?, "end": moment("endTime")?, "recurrence": recurring["recurrence"].as_str()?,
    });
    Some(Value::from_json(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_networks_come_back_as_they_were_sent() {
        for wanted in [
            json!({"daily": "03:00"}),
            json!({"start": "2026-01-03T22:00:00Z", "end": "2026-01-04T04:00:00Z", "recurrence": "FREQ=WEEKLY;BYDAY=SA,SU"}),
        ] {
            let wanted = Value::from_json(&wanted);
            let current = serde_json::from_value::<MaintenancePolicy>(json!({"resourceVersion": "abc", "window":
                {"maintenanceExclusions": {"freeze": {"startTime": "2026-12-20T00:00:00Z", "endTime": "2027-01-03T00:00:00Z"}}}}));
            let policy = maintenance(Some(&wanted), current.ok().as_ref());
            assert_eq!(policy.resource_version, "abc");
            assert!(policy.window.as_ref().is_some_and(|window| window.maintenance_exclusions.contains_key("freeze")));
            let cluster = Cluster::new().set_maintenance_policy(policy.clone());
            assert_eq!(window(&cluster), Some(wanted));
            let off = Cluster::new().set_maintenance_policy(maintenance(None, Some(&policy)));
            assert_eq!(window(&off), None);
        }
        let attrs = Value::from_json(&json!({"authorized_networks": [
            {"cidr": "10.0.0.0/8", "name": ""}, {"cidr": "203.0.113.0/24", "name": "office"}]}));
        let cluster = Cluster::new().set_master_authorized_networks_config(networks(&attrs));
        assert_eq!(Some(&authorized(&cluster)), attrs.get("authorized_networks"));
        let none = networks(&Value::map());
        assert!(!none.enabled && none.cidr_blocks.is_empty());
        assert_eq!(authorized(&Cluster::new().set_master_authorized_networks_config(none)), Value::List(vec![]));
    }

    #[test]
    fn only_a_cluster_without_an_address_is_reached_by_name() {
        let named = |name: &str| {
            let mut config = by_name_only();
            config.dns_endpoint_config.get_or_insert_default().endpoint = name.to_owned();
            config
        };
        let private = Cluster::new().set_control_plane_endpoints_config(named("gke-1.europe-west4.gke.goog"));
        assert_eq!(only_name(&private), Some("gke-1.europe-west4.gke.goog"));
        let mut both = named("gke-1.europe-west4.gke.goog");
        both.ip_endpoints_config.get_or_insert_default().enabled = Some(true);
        assert_eq!(only_name(&Cluster::new().set_control_plane_endpoints_config(both)), None);
        assert_eq!(only_name(&Cluster::new().set_control_plane_endpoints_config(by_name_only())), None, "not yet");
    }
}
