//! The inside of a simulated cluster: API server, controllers, programs and data plane, put together.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::AbortHandle;

use super::controllers::faults::{Faults, NoFaults};
use super::controllers::kubelet::Logs;
use super::controllers::runner::Handle;
use super::controllers::webhooks::ServiceWebhooks;
use super::controllers::{Surroundings, addons, cluster};
use super::google::compute::cloud::ClusterCloud;
use super::google::container::ClusterFacts;
use super::kube::admission;
use super::kube::api::Api;
use super::kube::server::{ApiServer, Parts};
use super::net::authority::Authority;
use super::net::internet::{Peer, Stream};
use super::serving::gateway;
use super::serving::plane::DataPlane;
use super::simulator::{Interior, Interiors, Simulator};

/// Makes the insides of all clusters.
#[derive(Debug, Default, Clone, Copy)]
pub struct Clusters;

impl Interiors for Clusters {
    fn open(&self, simulator: &Arc<Simulator>, facts: &ClusterFacts) -> Result<Arc<dyn Interior>, String> {
        let clock = simulator.clock.clone();
        let faults: Arc<dyn Faults> = Arc::new(NoFaults);
        let programs = cluster::programs(addons::programs());
        let webhooks = Arc::new(ServiceWebhooks::new(clock.clone(), programs.clone(), faults.clone()));
        let mut plugins = admission::standard();
        plugins.extend(admission::google());
        let server = ApiServer::open(Parts {
            cluster: facts.id.clone(),
            world: simulator.world.clone(),
            clock: clock.clone(),
            random: simulator.random.clone(),
            webhooks: webhooks.clone(),
            plugins,
            version: format!("v{}", facts.version),
        });
        let api = server.api();
        webhooks.serve(&api);
        let loops = tokio::spawn(server.clone().run()).abort_handle();
        let ca_pem = Authority::of(&simulator.world, &facts.id, "", "")?.ca_pem;
        let controllers = cluster::start(cluster::Parts {
            around: Surroundings { api: api.clone(), clock: clock.clone() },
            ca_pem,
            programs,
            cloud: Arc::new(ClusterCloud::new(simulator.google.clone(), facts.clone())),
            faults,
            logs: Arc::new(Logs::default()),
        });
        let plane = DataPlane::new(api.clone(), clock);
        Ok(Arc::new(Running { server, api, plane, loops, _controllers: controllers, _webhooks: webhooks }))
    }
}

/// A cluster while it runs.
struct Running {
    server: Arc<ApiServer>,
    api: Arc<dyn Api>,
    plane: Arc<DataPlane>,
    loops: AbortHandle,
    _controllers: Handle,
    _webhooks: Arc<ServiceWebhooks>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.loops.abort();
    }
}

impl Interior for Running {
    fn api(&self) -> Arc<dyn Api> {
        self.api.clone()
    }

    fn router(&self) -> axum::Router {
        super::kube::router(self.server.clone())
    }

    fn load_balancer(&self, _: &str, address: &str, port: u16) -> Option<Arc<dyn Peer>> {
        let destination = SocketAddr::new(address.parse::<IpAddr>().ok()?, port);
        self.plane.reachable(destination).then(|| {
            let gateway: Arc<dyn Peer> = Arc::new(Gateway { plane: self.plane.clone(), destination });
            gateway
        })
    }
}

/// A load balancer's address and port.
struct Gateway {
    plane: Arc<DataPlane>,
    destination: SocketAddr,
}

#[async_trait]
impl Peer for Gateway {
    async fn serve(&self, stream: Box<dyn Stream>) {
        if let Err(error) = gateway::serve(stream, &self.plane, self.destination).await {
            tracing::debug!(destination = %self.destination, %error, "a connection ended");
        }
    }
}
