//! The kind `gke.node_pool`: one node pool of a GKE standard cluster.
//!
//! Attributes, `?` = optional; what is not named is the server's choice and never a difference:
//!
//! | attribute | type | meaning; how it changes |
//! |---|---|---|
//! | `name` | text | replaces |
//! | `cluster` `project` `location` | text | the cluster's; replaces |
//! | `machine_type` | text | in place, rolls the nodes; replaces a TPU pool |
//! | `nodes` | number | per zone; in place; only the initial size while `autoscale` is set |
//! | `autoscale`? | `{min, max}` | per zone; in place |
//! | `accelerator`? | `{type, count, gpu_driver?}` | GPUs: `nvidia-tesla-t4`, 1, `default` `latest` `disabled`; replaces. TPUs come with the machine type |
//! | `tpu_topology`? | text | multi-host slices only (`4x4`): GKE refuses it on single hosts; replaces |
//! | `placement`? | text | `compact`; replaces. Implied by `tpu_topology` |
//! | `spot`? `flex_start`? | boolean | replaces |
//! | `reservation`? | text | name of a specific reservation, or `none`; replaces |
//! | `labels`? | map of text | Kubernetes labels of the nodes; in place |
//! | `taints`? | list of `{key, value?, effect}` | effect as Kubernetes writes it, `NoSchedule`; in place |
//! | `resource_labels`? | map of text | Google Cloud labels besides ours; in place |
//! | `disk_size_gb`? `disk_type`? `image_type`? | number, text | in place, rolls the nodes |
//! | `oauth_scopes`? `service_account`? | list, text | replaces |
//! | `max_pods_per_node`? | number | replaces |
//! | `node_locations`? | list of text | zones; in place |
//! | `node_version`? | text | full or prefix; in place, rolls the nodes |
//! | `auto_repair`? `auto_upgrade`? | boolean | in place |
//! | `max_surge`? `max_unavailable`? | number | how upgrades roll; in place |
//!
//! Outputs: `name cluster project location machine_type` (known from the start), `nodes` (as counted by
//! GKE), `version`, `self_link`, `instance_groups`.
