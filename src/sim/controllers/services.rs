//! Services of type LoadBalancer: a load balancer of the cloud in front of the nodes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::cloud::{Balancer, Cloud, Progress};
use super::faults::Faults;
use super::writes::Mood;
use super::{Controller, Key, Outcome, Surroundings, fields, kinds, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

const COMPONENT: &str = "service-controller";
/// Of the service controller.
const CLEANUP: &str = "service.kubernetes.io/load-balancer-cleanup";
/// Of GKE's external load balancer with a target pool, and of its internal one.
const EXTERNAL: &str = "gke.networking.io/l4-netlb-v1";
const INTERNAL: &str = "gke.networking.io/l4-ilb-v1";

/// The service controller.
pub struct Services {
    /// Where load balancers come from.
    pub cloud: Arc<dyn Cloud>,
    /// Which of them are stuck.
    pub faults: Arc<dyn Faults>,
}

#[async_trait]
impl Controller for Services {
    fn name(&self) -> &'static str {
        "services"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Service"), kinds::of("Node")]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind == "Service" {
            let concerned =
                wants(object) || (fields::has_finalizer(object, CLEANUP) && !super::fronts::is_by_parts(object));
            return if concerned { vec![changed.clone()] } else { Vec::new() };
        }
        let all = api.list(&kinds::of("Service"), None);
        let balanced = all.iter().filter(|service| wants(service));
        balanced.map(|service| super::runner::key_of(kinds::of("Service"), service)).collect()
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(service) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if fields::is_going(&service) || !wants(&service) {
            return self.release(around, &service).await;
        }
        let kind = if is_internal(&service) { INTERNAL } else { EXTERNAL };
        if !fields::has_finalizer(&service, CLEANUP) || !fields::has_finalizer(&service, kind) {
            let mut next = (*service).clone();
            fields::add_finalizer(&mut next, kind);
            fields::add_finalizer(&mut next, CLEANUP);
            api.update(next).await?;
            let message = "Ensuring load balancer";
            writes::event(around, &service, Mood::Normal, "EnsuringLoadBalancer", message, COMPONENT).await;
            return Ok(Outcome::After(Duration::from_millis(1)));
        }
        let nodes: Vec<String> = api
            .list(&kinds::of("Node"), None)
            .iter()
            .filter(|node| fields::condition(node, "Ready") == "True" && !excluded(node))
            .map(|node| fields::name(node).to_owned())
            .collect();
        let has_address = !fields::list(&service, "/status/loadBalancer/ingress").is_empty();
        let outcome = if nodes.is_empty() && !has_address {
            // The cloud provider makes no target pool of nothing.
            Err("no hosts provided for load balancer".to_owned())
        } else if self.faults.load_balancer_stuck(&service) {
            return Ok(Outcome::After(Duration::from_secs(30)));
        } else {
            self.cloud.ensure_load_balancer(&balancer(&service, nodes))
        };
        match outcome {
            Ok(Progress::Pending(wait)) => Ok(Outcome::After(wait)),
            Ok(Progress::Done(address)) => {
                let mut next = (*service).clone();
                next["status"]["loadBalancer"] = json!({"ingress": [{"ip": address, "ipMode": "VIP"}]});
                let fresh = next.get("status") != service.get("status");
                writes::status(api, &service, next).await?;
                if fresh {
                    let message = "Ensured load balancer";
                    writes::event(around, &service, Mood::Normal, "EnsuredLoadBalancer", message, COMPONENT).await;
                }
                Ok(Outcome::Done)
            }
            Err(why) => {
                let message = format!("Error syncing load balancer: failed to ensure load balancer: {why}");
                writes::event(around, &service, Mood::Warning, "SyncLoadBalancerFailed", &message, COMPONENT).await;
                Err(Status::failure(500, "InternalError", message))
            }
        }
    }
}

/// Whether a Service asks for this cloud's load balancer.
fn wants(service: &Json) -> bool {
    let class = fields::text(service, "/spec/loadBalancerClass");
    fields::text(service, "/spec/type") == "LoadBalancer"
        && !super::fronts::is_by_parts(service)
        && (class.is_empty() || class.starts_with("networking.gke.io/"))
}

fn is_internal(service: &Json) -> bool {
    fields::annotation(service, "networking.gke.io/load-balancer-type") == "Internal"
        || fields::annotation(service, "cloud.google.com/load-balancer-type") == "Internal"
        || fields::text(service, "/spec/loadBalancerClass") == "networking.gke.io/l4-regional-internal"
}

fn excluded(node: &Json) -> bool {
    node.pointer("/metadata/labels")
        .is_some_and(|labels| labels.get("node.kubernetes.io/exclude-from-external-load-balancers").is_some())
}

/// The name that Google's resources of a Service have: `a` and the uid without dashes, 32 characters.
pub fn balancer_name(uid: &str) -> String {
    let mut name = format!("a{}", uid.replace('-', ""));
    name.truncate(32);
    name
}

fn balancer(service: &Json, nodes: Vec<String>) -> Balancer {
    let ports = fields::list(service, "/spec/ports").iter().map(|port| {
        let protocol = fields::text(port, "/protocol");
        let number = fields::number(port, "/port").and_then(|p| u16::try_from(p).ok()).unwrap_or_default();
        (if protocol.is_empty() { "TCP" } else { protocol }.to_owned(), number)
    });
    let address = fields::text(service, "/spec/loadBalancerIP");
    Balancer {
        name: balancer_name(fields::uid(service)),
        namespace: fields::namespace(service).to_owned(),
        service: fields::name(service).to_owned(),
        address: (!address.is_empty()).then(|| address.to_owned()),
        internal: is_internal(service),
        ports: ports.collect(),
        nodes,
    }
}

impl Services {
    async fn release(&self, around: &Surroundings, service: &Json) -> Result<Outcome, Status> {
        if !fields::has_finalizer(service, CLEANUP) || super::fronts::is_by_parts(service) {
            return Ok(Outcome::Done);
        }
        match self.cloud.release_load_balancer(&balancer_name(fields::uid(service))) {
            Ok(Progress::Pending(wait)) => return Ok(Outcome::After(wait)),
            Ok(Progress::Done(())) => {}
            Err(why) => {
                let message = format!("Error deleting load balancer: {why}");
                writes::event(around, service, Mood::Warning, "DeleteLoadBalancerFailed", &message, COMPONENT).await;
                return Err(Status::failure(500, "InternalError", message));
            }
        }
        if !fields::list(service, "/status/loadBalancer/ingress").is_empty() && !fields::is_going(service) {
            let mut next = service.clone();
            next["status"]["loadBalancer"] = json!({});
            writes::status(&around.api, service, next).await?;
            return Ok(Outcome::After(Duration::from_millis(1)));
        }
        let mut next = service.clone();
        for finalizer in [CLEANUP, EXTERNAL, INTERNAL] {
            fields::remove_finalizer(&mut next, finalizer);
        }
        writes::object(&around.api, service, next).await?;
        let message = "Deleted load balancer";
        writes::event(around, service, Mood::Normal, "DeletedLoadBalancer", message, COMPONENT).await;
        Ok(Outcome::Done)
    }
}
