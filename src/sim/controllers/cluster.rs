//! Everything that runs in one cluster, put together: Kubernetes' own controllers, scheduler, kubelets, GKE's
//! additions, and the programs of its images.

use std::sync::Arc;

use super::activation::Activation;
use super::cloud::Cloud;
use super::faults::Faults;
use super::kubelet::{Kubelet, Logs};
use super::programs::{Program, Programs};
use super::runner::{self, Handle};
use super::{
    Controller, Surroundings, accounting, accounts, bootstrap, daemonsets, deployments, devices, endpoints, fronts,
    garbage, jobs, namespaces, nodes, replicasets, scheduler, services, statefulsets, volumes,
};

/// What a cluster is made of besides its API server.
pub struct Parts {
    /// The API server as its first user, and time.
    pub around: Surroundings,
    /// PEM certificate of the API server's authority, for `kube-root-ca.crt`.
    pub ca_pem: String,
    /// What images do; from [`programs`].
    pub programs: Programs,
    /// Load balancers and disks.
    pub cloud: Arc<dyn Cloud>,
    /// What goes wrong.
    pub faults: Arc<dyn Faults>,
    /// Where containers' logs go.
    pub logs: Arc<Logs>,
}

/// The table of programs: GKE's own and those of the add-ons.
pub fn programs(addons: Vec<Arc<dyn Program>>) -> Programs {
    let mut all: Vec<Arc<dyn Program>> = vec![Arc::new(devices::GkeGpuPlugin), Arc::new(devices::GkeTpuPlugin)];
    all.extend(addons);
    Programs::new(all)
}

/// Starts everything in a cluster; it stops when the handle is dropped. Must be called on the runtime that
/// shall run it. What an earlier process left half done is taken up from the objects.
pub fn start(parts: Parts) -> Handle {
    let Parts { around, ca_pem, programs, cloud, faults, logs } = parts;
    let controllers: Vec<Arc<dyn Controller>> = vec![
        Arc::new(bootstrap::Addons::new(&cloud.ingress_uid())),
        Arc::new(nodes::Nodes { faults: faults.clone() }),
        Arc::new(devices::Devices { programs: programs.clone() }),
        Arc::new(volumes::Claims { cloud: cloud.clone() }),
        Arc::new(volumes::Volumes { cloud: cloud.clone() }),
        Arc::new(fronts::Fronts { cloud: cloud.clone() }),
        Arc::new(services::Services { cloud, faults: faults.clone() }),
        Arc::new(Activation::new(programs.clone())),
    ];
    let kubelet = around.managing("kubelet");
    control_plane(&around, ca_pem)
        .join(runner::start(&around, controllers))
        .join(runner::start(&kubelet, vec![Arc::new(Kubelet { programs, faults, logs })]))
}

/// Starts what any control plane runs, wherever it is: the controllers that need neither a cloud nor nodes that
/// live, and the scheduler.
pub fn control_plane(around: &Surroundings, ca_pem: String) -> Handle {
    let controllers: Vec<Arc<dyn Controller>> = vec![
        Arc::new(namespaces::Furnishing { ca_pem }),
        Arc::new(namespaces::Deletion),
        Arc::new(accounts::Tokens),
        Arc::new(garbage::Garbage::default()),
        Arc::new(nodes::Taints),
        Arc::new(nodes::Eviction),
        Arc::new(deployments::Deployments),
        Arc::new(replicasets::ReplicaSets),
        Arc::new(statefulsets::StatefulSets),
        Arc::new(daemonsets::DaemonSets),
        Arc::new(jobs::Jobs),
        Arc::new(endpoints::Endpoints),
        Arc::new(accounting::Quotas),
        Arc::new(accounting::Disruption),
        Arc::new(accounting::Autoscaling),
    ];
    let scheduler = around.managing("kube-scheduler");
    runner::start(around, controllers).join(runner::start(&scheduler, vec![Arc::new(scheduler::Scheduler)]))
}

#[cfg(test)]
mod tests;
