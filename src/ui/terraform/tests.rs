//! Resources in the words of Terraform's providers.

use serde_json::json;

use super::*;

fn told(address: &str, kind: &str, ours: serde_json::Value) -> (Place, serde_json::Value) {
    let address = Address::new(address);
    let place = place(&address, kind, false);
    let value = attributes(&place.kind, &address, kind, &Value::from_json(&ours), false);
    (place, value.to_json())
}

#[test]
fn a_cluster_is_told_in_the_providers_words() {
    let (place, cluster) = told(
        "cluster",
        "gke.cluster",
        json!({"name": "a", "project": "p", "location": "europe-west4", "release_channel": "none", "version": "1.34",
            "addons": {"http_load_balancing": true, "dns_cache": false}, "gateway_api": "standard",
            "workload_identity": true, "private": true, "labels": {"team": "x"},
            "authorized_networks": [{"cidr": "203.0.113.0/24", "name": "office"}],
            "maintenance_window": {"daily": "03:00"}, "logging": ["SYSTEM_COMPONENTS"],
            "system_pool": {"name": "system", "nodes": 2, "autoscale": {"min": 1, "max": 5}, "machine_type": "n1-standard-4"}}),
    );
    assert_eq!(place.address, "google_container_cluster.cluster");
    assert_eq!(place.provider, "registry.terraform.io/hashicorp/google");
    let shielded = json!([{"enable_integrity_monitoring": true, "enable_secure_boot": false}]);
    let expected = json!({"name": "a", "project": "p", "location": "europe-west4", "min_master_version": "1.34",
        "resource_labels": {"team": "x"}, "release_channel": [{"channel": "UNSPECIFIED"}],
        "addons_config": [{"http_load_balancing": [{"disabled": false}], "dns_cache_config": [{"enabled": false}]}],
        "gateway_api_config": [{"channel": "CHANNEL_STANDARD"}],
        "workload_identity_config": [{"workload_pool": "p.svc.id.goog"}],
        "private_cluster_config": [{"enable_private_nodes": true, "enable_private_endpoint": true}],
        "control_plane_endpoints_config": [{"dns_endpoint_config": [{"allow_external_traffic": true}],
            "ip_endpoints_config": [{"enabled": false}]}],
        "master_authorized_networks_config": [{"cidr_blocks": [{"cidr_block": "203.0.113.0/24", "display_name": "office"}]}],
        "maintenance_policy": [{"daily_maintenance_window": [{"start_time": "03:00"}]}],
        "logging_config": [{"enable_components": ["SYSTEM_COMPONENTS"]}],
        "node_pool": [{"name": "system", "initial_node_count": 2, "autoscaling": [{"min_node_count": 1, "max_node_count": 5}],
            "node_config": [{"machine_type": "n1-standard-4", "shielded_instance_config": shielded}]}],
        "networking_mode": "VPC_NATIVE", "ip_allocation_policy": [{}], "enable_shielded_nodes": true,
        "enable_legacy_abac": false, "enable_kubernetes_alpha": false, "deletion_protection": false,
        "remove_default_node_pool": false, "binary_authorization": [], "dns_config": [], "network_policy": [],
        "resource_usage_export_config": []});
    assert_eq!(cluster, expected);
}

#[test]
fn a_pool_is_told_in_the_providers_words() {
    let (place, pool) = told(
        "node_pools.gpu",
        "gke.node_pool",
        json!({"name": "gpu", "cluster": "a", "nodes": 1, "accelerator": {"type": "nvidia-tesla-t4", "count": 1,
            "gpu_driver": "disabled"}, "reservation": "mine", "taints": [{"key": "k", "effect": "NoSchedule"}],
            "workload_metadata": "gke", "auto_repair": true, "tpu_topology": "4x4", "autoscale": null}),
    );
    assert_eq!(place.address, "google_container_node_pool.gpu");
    let expected = json!({"name": "gpu", "cluster": "a", "initial_node_count": 1, "node_count": 1, "node_config": [{
        "taint": [{"key": "k", "effect": "NO_SCHEDULE"}],
        "guest_accelerator": [{"type": "nvidia-tesla-t4", "count": 1,
            "gpu_driver_installation_config": [{"gpu_driver_version": "INSTALLATION_DISABLED"}]}],
        "reservation_affinity": [{"consume_reservation_type": "SPECIFIC_RESERVATION",
            "key": "compute.googleapis.com/reservation-name", "values": ["mine"]}],
        "workload_metadata_config": [{"mode": "GKE_METADATA"}],
        "shielded_instance_config": [{"enable_integrity_monitoring": true, "enable_secure_boot": false}]}],
        "management": [{"auto_repair": true}], "placement_policy": [{"tpu_topology": "4x4", "type": "COMPACT"}]});
    assert_eq!(pool, expected);
}

#[test]
fn a_deployment_is_told_in_blocks() {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "n", "labels": {"app.kubernetes.io/name": "web"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"hostPID": true, "nodeSelector": {"x/y": "z"}, "serviceAccountName": "s", "containers": [{
                "name": "web", "image": "nginx:1", "args": ["-x"], "ports": [{"containerPort": 80}],
                "resources": {"limits": {"nvidia.com/gpu": 1}},
                "securityContext": {"runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}},
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}],
                "volumes": [{"name": "v", "emptyDir": {}}]}}}});
    let (place, told) = told("charts.web/Deployment.apps/n/web", hook::OBJECT, object);
    assert_eq!(place.address, r#"kubernetes_deployment.charts_web["n/web"]"#);
    let expected = json!({"metadata": [{"name": "web", "namespace": "n", "labels": {"app.kubernetes.io/name": "web"}}],
        "spec": [{"replicas": 2, "selector": [{"match_labels": {"a": "b"}}], "template": [{
            "metadata": [{"labels": {"a": "b"}}],
            "spec": [{"host_pid": true, "node_selector": {"x/y": "z"}, "service_account_name": "s", "container": [{
                "name": "web", "image": "nginx:1", "args": ["-x"], "port": [{"container_port": 80}],
                "resources": [{"limits": {"nvidia.com/gpu": 1}}],
                "security_context": [{"run_as_non_root": true, "capabilities": [{"drop": ["ALL"]}]}],
                "env": [{"name": "A", "value_from": [{"secret_key_ref": [{"name": "s", "key": "k"}]}]}]}],
                "volume": [{"name": "v", "empty_dir": [{}]}]}]}]}]});
    assert_eq!(told, expected);
}

#[test]
fn what_has_no_type_is_a_manifest_and_hooks_say_their_moment() {
    let object = json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "i"}});
    let (place, told) = told("addons.x/Issuer.cert-manager.io/n/i", hook::OBJECT, object.clone());
    assert_eq!(place.address, r#"kubernetes_manifest.addons_x["Issuer.cert-manager.io/n/i"]"#);
    assert_eq!(told, json!({ "manifest": object }));
    let hook = Address::new("charts.x/pre-delete:Job.batch/n/clean");
    assert_eq!(super::place(&hook, hook::KIND, true).address, r#"kubernetes_job_v1.charts_x["pre-delete:n/clean"]"#);
    assert_eq!(super::place(&"node_pools.9".into(), "gke.node_pool", true).address, "google_container_node_pool._9");
}

#[test]
fn paths_lead_to_the_same_attributes() {
    let words = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let of = |theirs: &str, kind: &str, text: &str| Json::from(path(theirs, kind, &words(text))).to_string();
    let cluster = |text| of("google_container_cluster", "gke.cluster", text);
    assert_eq!(cluster("location"), r#"["location"]"#);
    assert_eq!(cluster("private"), r#"["private_cluster_config",0,"enable_private_nodes"]"#);
    assert_eq!(cluster("system_pool/oauth_scopes"), r#"["node_pool",0,"node_config",0,"oauth_scopes"]"#);
    let pool = |text| of("google_container_node_pool", "gke.node_pool", text);
    assert_eq!(pool("accelerator"), r#"["node_config",0,"guest_accelerator"]"#);
    assert_eq!(
        of("kubernetes_deployment", hook::OBJECT, "spec/selector/matchLabels"),
        r#"["spec",0,"selector",0,"match_labels"]"#
    );
    assert_eq!(of(kubernetes::MANIFEST, hook::OBJECT, "spec/x"), r#"["manifest","spec","x"]"#);
}
