//! The inside of a simulated cluster: API server, controllers, programs and data plane, put together.

use std::sync::Arc;

use super::google::container::ClusterFacts;
use super::simulator::{Interior, Interiors, Simulator};

/// Makes the insides of all clusters.
#[derive(Debug, Default, Clone, Copy)]
pub struct Clusters;

impl Interiors for Clusters {
    fn open(&self, _: &Arc<Simulator>, cluster: &ClusterFacts) -> Result<Arc<dyn Interior>, String> {
        Err(format!("cluster {} has no inside yet", cluster.id))
    }
}
