//! The kind `gke.cluster`: a GKE standard cluster with its system node pool.
//!
//! Attributes, `?` = optional; what is not named is the server's choice and never a difference:
//!
//! | attribute | type | meaning; how it changes |
//! |---|---|---|
//! | `name` | text | name in the project and location; replaces |
//! | `project` | text | project id; replaces |
//! | `location` | text | zone (`europe-west4-a`) or region (`europe-west4`); replaces |
//! | `release_channel`? | text | `rapid` `regular` `stable` `extended` `none`; in place |
//! | `version`? | text | Kubernetes version of the control plane, full or a prefix (`1.34`); in place |
//! | `network`? `subnetwork`? | text | name or full path; replaces |
//! | `labels`? | map of text | labels of the cluster besides ours; in place |
//! | `node_locations`? | list of text | zones of the nodes; in place |
//! | `addons`? | map of boolean | `http_load_balancing` `horizontal_pod_autoscaling` `gce_persistent_disk_csi_driver` `gcs_fuse_csi_driver` `gcp_filestore_csi_driver` `dns_cache`; in place |
//! | `gateway_api`? | text | `disabled` or `standard`: GKE's own Gateway API CRDs; in place |
//! | `workload_identity`? | boolean | pool `<project>.svc.id.goog`; in place |
//! | `logging`? `monitoring`? | list of text | component names, `SYSTEM_COMPONENTS`, `WORKLOADS`; in place |
//! | `system_pool` | map | the pool that the cluster is created with: |
//! | `system_pool.name` | text | replaces |
//! | `system_pool.machine_type`, `.disk_size_gb`?, `.disk_type`?, `.image_type`? | text, number | in place, rolls the pool's nodes |
//! | `system_pool.nodes` | number | per zone; in place; only the initial size while `autoscale` is set |
//! | `system_pool.autoscale`? | `{min, max}` | per zone; in place |
//! | `system_pool.labels`? `.taints`? | as in `gke.node_pool` | in place |
//! | `system_pool.oauth_scopes`?, `.service_account`?, `.spot`? | list, text, boolean | replaces |
//!
//! Outputs: `name project location` (known from the start), `id` (64 hexadecimal digits), `endpoint`
//! (`https://host[:port]`), `ca_certificate` (PEM), `version`, `self_link`, `node_tag`.
