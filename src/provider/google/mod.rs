//! Google Cloud: GKE clusters and node pools over `google-cloud-container-v1`.
//!
//! Not for anything inside a cluster (`provider::kube`) and not for Compute quotas or prices.

pub mod cluster;
pub mod node_pool;
