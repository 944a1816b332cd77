//! How long Google's operations take, in one table.
//!
//! Seconds of simulated time, taken from public logs of the real API (summaries: cluster create zonal
//! 2m46-4m32, regional 5m25-9m22; CPU pool 1m04-1m56; GPU pool 5-10 min, TPU v6e pool 10-15 min; pool delete
//! 10 s-4m17; cluster delete 2m44-8m15; surge upgrade of ten nodes over 30 min; a stock-out is reported after
//! 35m06-35m11).

use std::time::Duration;

/// What a pool is made of, as far as its durations go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// General purpose.
    Cpu,
    /// With GPUs.
    Gpu,
    /// TPU slices.
    Tpu,
}

/// A zonal cluster with its first pool.
pub const CREATE_ZONAL_CLUSTER: u64 = 218;
/// A regional one.
pub const CREATE_REGIONAL_CLUSTER: u64 = 402;
/// A cluster with all its nodes.
pub const DELETE_CLUSTER: u64 = 189;
/// A change of the control plane that restarts it: version, network.
pub const RESTART_CONTROL_PLANE: u64 = 240;
/// Any other change of a cluster.
pub const UPDATE_CLUSTER: u64 = 30;
/// A pool and its nodes.
pub const DELETE_NODE_POOL: u64 = 154;
/// Without nodes to drain.
pub const DELETE_EMPTY_NODE_POOL: u64 = 11;
/// One node of a surge upgrade.
pub const UPGRADE_ONE_NODE: u64 = 185;
/// Labels, taints and other settings that need no new node.
pub const CHANGE_NODES_IN_PLACE: u64 = 35;
/// Repair and upgrade settings.
pub const SET_MANAGEMENT: u64 = 5;
/// The API waits this long for instances before it gives up.
pub const STOCKOUT: Duration = Duration::from_millis(2_111_182);
/// A quota that only Compute checks shows in the first failed instance.
pub const ASYNCHRONOUS_QUOTA: u64 = 95;
/// The longest an operation stays PENDING.
pub const PENDING: u64 = 2;

/// A pool until its nodes are ready.
pub fn create_node_pool(hardware: Hardware) -> u64 {
    match hardware {
        Hardware::Cpu => 106,
        Hardware::Gpu => 420,
        Hardware::Tpu => 720,
    }
}

/// More nodes.
pub fn grow(hardware: Hardware) -> u64 {
    match hardware {
        Hardware::Cpu => 75,
        Hardware::Gpu => 360,
        Hardware::Tpu => 600,
    }
}

/// Fewer nodes.
pub const SHRINK: u64 = 90;
