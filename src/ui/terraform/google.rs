//! Clusters, node pools and values in the words of Terraform's google provider (version 7) and its builtin one.

use super::table::{How, Row, always, row, same};

const CHANNELS: How = How::Words(&[
    ("none", "UNSPECIFIED"),
    ("rapid", "RAPID"),
    ("regular", "REGULAR"),
    ("stable", "STABLE"),
    ("extended", "EXTENDED"),
]);

/// `google_container_cluster`. The rows without a name of ours are what every cluster is that we make.
pub const CLUSTER: &[Row] = &[
    same("name", "name"),
    same("project", "project"),
    same("location", "location"),
    same("version", "min_master_version"),
    same("network", "network"),
    same("subnetwork", "subnetwork"),
    same("labels", "resource_labels"),
    same("node_locations", "node_locations"),
    row("release_channel", "release_channel[].channel", CHANNELS),
    row("addons.http_load_balancing", "addons_config[].http_load_balancing[].disabled", How::Not),
    row("addons.horizontal_pod_autoscaling", "addons_config[].horizontal_pod_autoscaling[].disabled", How::Not),
    same("addons.gce_persistent_disk_csi_driver", "addons_config[].gce_persistent_disk_csi_driver_config[].enabled"),
    same("addons.gcs_fuse_csi_driver", "addons_config[].gcs_fuse_csi_driver_config[].enabled"),
    same("addons.gcp_filestore_csi_driver", "addons_config[].gcp_filestore_csi_driver_config[].enabled"),
    same("addons.dns_cache", "addons_config[].dns_cache_config[].enabled"),
    row(
        "gateway_api",
        "gateway_api_config[].channel",
        How::Words(&[("disabled", "CHANNEL_DISABLED"), ("standard", "CHANNEL_STANDARD")]),
    ),
    row("workload_identity", "workload_identity_config[].workload_pool", How::WhenTrue("{project}.svc.id.goog")),
    // A private cluster's control plane has no address at all.
    same("private", "private_cluster_config[].enable_private_nodes"),
    same("private", "private_cluster_config[].enable_private_endpoint"),
    same("private", "control_plane_endpoints_config[].dns_endpoint_config[].allow_external_traffic"),
    row("private", "control_plane_endpoints_config[].ip_endpoints_config[].enabled", How::Not),
    row(
        "authorized_networks",
        "master_authorized_networks_config[].cidr_blocks",
        How::Blocks(&[same("cidr", "cidr_block"), same("name", "display_name")]),
    ),
    same("maintenance_window.daily", "maintenance_policy[].daily_maintenance_window[].start_time"),
    same("maintenance_window.start", "maintenance_policy[].recurring_window[].start_time"),
    same("maintenance_window.end", "maintenance_policy[].recurring_window[].end_time"),
    same("maintenance_window.recurrence", "maintenance_policy[].recurring_window[].recurrence"),
    same("logging", "logging_config[].enable_components"),
    same("monitoring", "monitoring_config[].enable_components"),
    row("system_pool", "node_pool", How::Block(NODE_POOL)),
    always("networking_mode", How::Text("VPC_NATIVE")),
    always("ip_allocation_policy", How::EmptyBlock),
    always("enable_shielded_nodes", How::Always(true)),
    always("enable_legacy_abac", How::Always(false)),
    always("enable_kubernetes_alpha", How::Always(false)),
    // `destroy` destroys.
    always("deletion_protection", How::Always(false)),
    always("remove_default_node_pool", How::Always(false)),
    // Blocks that Terraform does not fill by itself.
    always("binary_authorization", How::NoBlock),
    always("dns_config", How::NoBlock),
    always("maintenance_policy", How::NoBlock),
    always("network_policy", How::NoBlock),
    always("resource_usage_export_config", How::NoBlock),
];

/// What is not known of a cluster before it is made.
pub const CLUSTER_COMPUTED: &[&str] = &[
    "id",
    "endpoint",
    "master_version",
    "self_link",
    "services_ipv4_cidr",
    "label_fingerprint",
    "operation",
    "tpu_ipv4_cidr_block",
    "node_version",
    "network",
    "subnetwork",
    "node_locations",
    "private_cluster_config",
    "master_authorized_networks_config",
    "workload_identity_config",
    "logging_config",
    "monitoring_config",
    "master_auth",
    "database_encryption",
    "vertical_pod_autoscaling",
    "authenticator_groups_config",
];

/// `google_container_node_pool`.
pub const NODE_POOL: &[Row] = &[
    same("name", "name"),
    same("cluster", "cluster"),
    same("project", "project"),
    same("location", "location"),
    row("nodes", "initial_node_count", How::Same),
    row("nodes", "node_count", How::Unless("autoscale")),
    same("autoscale.min", "autoscaling[].min_node_count"),
    same("autoscale.max", "autoscaling[].max_node_count"),
    same("machine_type", "node_config[].machine_type"),
    same("disk_size_gb", "node_config[].disk_size_gb"),
    same("disk_type", "node_config[].disk_type"),
    row("image_type", "node_config[].image_type", How::Upper),
    same("oauth_scopes", "node_config[].oauth_scopes"),
    same("service_account", "node_config[].service_account"),
    same("spot", "node_config[].spot"),
    same("flex_start", "node_config[].flex_start"),
    same("labels", "node_config[].labels"),
    same("resource_labels", "node_config[].resource_labels"),
    row(
        "taints",
        "node_config[].taint",
        How::Blocks(&[
            same("key", "key"),
            same("value", "value"),
            row(
                "effect",
                "effect",
                How::Words(&[
                    ("NoSchedule", "NO_SCHEDULE"),
                    ("PreferNoSchedule", "PREFER_NO_SCHEDULE"),
                    ("NoExecute", "NO_EXECUTE"),
                ]),
            ),
        ]),
    ),
    row(
        "accelerator",
        "node_config[].guest_accelerator",
        How::Block(&[
            same("type", "type"),
            same("count", "count"),
            row(
                "gpu_driver",
                "gpu_driver_installation_config[].gpu_driver_version",
                How::Words(&[("default", "DEFAULT"), ("latest", "LATEST"), ("disabled", "INSTALLATION_DISABLED")]),
            ),
        ]),
    ),
    row(
        "reservation",
        "node_config[].reservation_affinity[].consume_reservation_type",
        How::Words(&[("none", "NO_RESERVATION"), ("*", "SPECIFIC_RESERVATION")]),
    ),
    row(
        "reservation",
        "node_config[].reservation_affinity[].key",
        How::Text("compute.googleapis.com/reservation-name"),
    ),
    row("reservation", "node_config[].reservation_affinity[].values", How::One),
    same("image_streaming", "node_config[].gcfs_config[].enabled"),
    row(
        "workload_metadata",
        "node_config[].workload_metadata_config[].mode",
        How::Words(&[("gke", "GKE_METADATA"), ("gce", "GCE_METADATA")]),
    ),
    same("node_version", "version"),
    same("max_pods_per_node", "max_pods_per_node"),
    same("node_locations", "node_locations"),
    same("auto_repair", "management[].auto_repair"),
    same("auto_upgrade", "management[].auto_upgrade"),
    same("max_surge", "upgrade_settings[].max_surge"),
    same("max_unavailable", "upgrade_settings[].max_unavailable"),
    same("tpu_topology", "placement_policy[].tpu_topology"),
    row("tpu_topology", "placement_policy[].type", How::Text("COMPACT")),
    row("placement", "placement_policy[].type", How::Upper),
    // GKE's own, which nothing of ours changes.
    always("node_config[].shielded_instance_config[].enable_integrity_monitoring", How::Always(true)),
    always("node_config[].shielded_instance_config[].enable_secure_boot", How::Always(false)),
];

/// What is not known of a pool before it is made.
pub const NODE_POOL_COMPUTED: &[&str] = &[
    "id",
    "instance_group_urls",
    "managed_instance_group_urls",
    "operation",
    "version",
    "max_pods_per_node",
    "node_locations",
    "name_prefix",
];

/// `terraform_data`.
pub const VALUE: &[Row] = &[same("input", "input")];
