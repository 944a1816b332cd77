//! Load balancers that consist of many parts: Services by subsetting (`l4-rbs`), Ingresses of GKE's class, Gateways of
//! GKE's classes. Which parts there are and what they are called; the cloud keeps them.
//!
//! Nothing answers behind Ingresses and Gateways: requests to their addresses go nowhere. Services with a target pool
//! are in `services`.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::cloud::{Cloud, Part, Progress};
use super::{Controller, Key, Outcome, Surroundings, fields, kinds, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

/// Of the service controller; Services have it besides their own.
const CLEANUP: &str = "service.kubernetes.io/load-balancer-cleanup";

/// The controllers of GKE's load balancers.
pub struct Fronts {
    /// Where their parts come from.
    pub cloud: Arc<dyn Cloud>,
}

fn ingresses() -> Gvk {
    Gvk::new("networking.k8s.io", "v1", "Ingress")
}

fn gateways() -> Gvk {
    Gvk::new("gateway.networking.k8s.io", "v1", "Gateway")
}

/// Whether a Service gets a load balancer of parts.
pub fn is_by_parts(service: &Json) -> bool {
    let class = fields::text(service, "/spec/loadBalancerClass");
    fields::text(service, "/spec/type") == "LoadBalancer"
        && (fields::annotation(service, "cloud.google.com/l4-rbs") == "enabled"
            || matches!(class, "networking.gke.io/l4-regional-external" | "networking.gke.io/l4-regional-internal"))
}

fn wants(object: &Json) -> bool {
    match fields::text(object, "/kind") {
        "Service" => is_by_parts(object),
        "Ingress" => {
            let class = fields::annotation(object, "kubernetes.io/ingress.class");
            let named = fields::text(object, "/spec/ingressClassName");
            named.is_empty() && (class.is_empty() || class == "gce")
        }
        "Gateway" => fields::text(object, "/spec/gatewayClassName").starts_with("gke-l7-"),
        _ => false,
    }
}

fn finalizer(object: &Json) -> &'static str {
    match fields::text(object, "/kind") {
        "Service" => "gke.networking.io/l4-netlb-v2",
        "Ingress" => "networking.gke.io/ingress-finalizer-V2",
        _ => "networking.gke.io/gateway-finalizer",
    }
}

#[async_trait]
impl Controller for Fronts {
    fn name(&self) -> &'static str {
        "fronts"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Service"), ingresses(), gateways()]
    }

    fn keys(&self, changed: &Key, object: &Json, _: &dyn Api) -> Vec<Key> {
        if wants(object) || fields::has_finalizer(object, finalizer(object)) {
            vec![changed.clone()]
        } else {
            Vec::new()
        }
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(object) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let own = finalizer(&object);
        let failed = |why: String| Status::failure(500, "InternalError", why);
        if fields::is_going(&object) || !wants(&object) {
            if !fields::has_finalizer(&object, own) {
                return Ok(Outcome::Done);
            }
            if let Progress::Pending(wait) = self.cloud.release_parts(fields::uid(&object)).map_err(failed)? {
                return Ok(Outcome::After(wait));
            }
            let mut next = (*object).clone();
            fields::remove_finalizer(&mut next, own);
            fields::remove_finalizer(&mut next, CLEANUP);
            writes::object(api, &object, next).await?;
            return Ok(Outcome::Done);
        }
        if !fields::has_finalizer(&object, own) {
            let mut next = (*object).clone();
            fields::add_finalizer(&mut next, own);
            if key.gvk.kind == "Service" {
                fields::add_finalizer(&mut next, CLEANUP);
            }
            api.update(next).await?;
            return Ok(Outcome::After(std::time::Duration::from_millis(1)));
        }
        let system = api.get(&kinds::of("Namespace"), "", "kube-system");
        let system = system.map(|system| fields::uid(&system).to_owned()).unwrap_or_default();
        let parts = Names { system, ingress: self.cloud.ingress_uid() }.parts(&object);
        match self.cloud.ensure_parts(fields::uid(&object), &parts).map_err(failed)? {
            Progress::Pending(wait) => Ok(Outcome::After(wait)),
            Progress::Done(address) => {
                let mut next = (*object).clone();
                if key.gvk.kind == "Gateway" {
                    let at = around.clock.now().rfc3339();
                    let is = |kind: &str| json!({"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": at});
                    if object["status"]["addresses"].is_null() {
                        next["status"]["conditions"] = json!([is("Accepted"), is("Programmed")]);
                    }
                    next["status"]["addresses"] = json!([{"type": "IPAddress", "value": address}]);
                } else {
                    next["status"]["loadBalancer"] = json!({"ingress": [{"ip": address}]});
                }
                writes::status(api, &object, next).await?;
                Ok(Outcome::Done)
            }
        }
    }
}

/// What the names of a cluster's parts are made of.
struct Names {
    /// The uid of the namespace `kube-system`.
    system: String,
    ingress: String,
}

/// Eight characters of a digest, in ingress-gce's alphabet.
fn hash(of: &str) -> String {
    let digest = Sha256::digest(of.as_bytes());
    digest[..8].iter().map(|byte| char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::from(byte % 36)])).collect()
}

fn part(collection: &'static str, place: &'static str, name: &str, fields: Json) -> Part {
    Part { collection, place, name: name.to_owned(), fields }
}

impl Names {
    fn parts(&self, object: &Json) -> Vec<Part> {
        let (namespace, name) = (fields::namespace(object), fields::name(object));
        match fields::text(object, "/kind") {
            "Service" => self.service(object, namespace, name),
            "Ingress" => self.layer_seven("k8s2", namespace, name),
            _ => self.layer_seven("gkegw1", namespace, name),
        }
    }

    fn suffix(&self, namespace: &str, name: &str) -> String {
        hash(&format!("{};{namespace};{name}", self.system))
    }

    /// A network load balancer: rule, backend service, endpoint group, health check, firewalls.
    fn service(&self, service: &Json, namespace: &str, name: &str) -> Vec<Part> {
        let (ours, suffix) = (hash(&self.system), self.suffix(namespace, name));
        let base = format!("k8s2-{ours}-{namespace}-{name}-{suffix}");
        let described = json!({"networking.gke.io/service-name": format!("{namespace}/{name}"), "networking.gke.io/api-version": "ga"});
        let described = described.to_string();
        let ports: Vec<u64> =
            fields::list(service, "/spec/ports").iter().filter_map(|port| port["port"].as_u64()).collect();
        let allowed = json!([{"IPProtocol": "tcp", "ports": ports.iter().map(u64::to_string).collect::<Vec<_>>()}]);
        vec![
            part("networkEndpointGroups", "zone", &base, self.endpoints("GCE_VM_IP", namespace, name)),
            part("healthChecks", "region", &base, json!({"type": "HTTP", "description": described})),
            part(
                "backendServices",
                "region",
                &base,
                json!({
                    "description": described, "protocol": "TCP", "loadBalancingScheme": "EXTERNAL",
                    "backends": [{"group": format!("@zone/networkEndpointGroups/{base}")}],
                    "healthChecks": [format!("@region/healthChecks/{base}")],
                }),
            ),
            part(
                "forwardingRules",
                "region",
                &format!("k8s2-tcp-{ours}-{namespace}-{name}-{suffix}"),
                json!({
                    "description": described, "IPProtocol": "TCP", "loadBalancingScheme": "EXTERNAL", "networkTier": "PREMIUM",
                    "backendService": format!("@region/backendServices/{base}"), "_ports": ports,
                }),
            ),
            part(
                "firewalls",
                "global",
                &base,
                json!({"description": described, "targetTags": ["@tag"], "allowed": allowed}),
            ),
            part(
                "firewalls",
                "global",
                &format!("{base}-fw"),
                json!({"description": described, "targetTags": ["@tag"], "allowed": allowed}),
            ),
        ]
    }

    fn endpoints(&self, kind: &str, namespace: &str, name: &str) -> Json {
        let described = json!({"cluster-uid": self.system, "namespace": namespace, "service-name": name, "port": "80"});
        json!({"networkEndpointType": kind, "description": described.to_string(), "size": 0})
    }

    /// An HTTP load balancer: rule, proxy, URL map, backend service, endpoint group, health check.
    fn layer_seven(&self, scheme: &str, namespace: &str, name: &str) -> Vec<Part> {
        let suffix = self.suffix(namespace, name);
        let named = |kind: &str| match scheme {
            "k8s2" => format!("k8s2-{kind}-{}-{namespace}-{name}-{suffix}", hash(&self.system)),
            _ => format!("gkegw1-{}-{namespace}-{name}-{kind}-{suffix}", &suffix[..4]),
        };
        let short = self.ingress.get(..8).unwrap_or_default();
        let group = format!("k8s1-{short}-{namespace}-{name}-80-{}", &suffix);
        vec![
            part("networkEndpointGroups", "zone", &group, self.endpoints("GCE_VM_IP_PORT", namespace, name)),
            part("healthChecks", "global", &group, json!({"type": "HTTP"})),
            part(
                "backendServices",
                "global",
                &group,
                json!({
                    "description": json!({"kubernetes.io/service-name": format!("{namespace}/{name}"), "kubernetes.io/service-port": "80"}).to_string(),
                    "backends": [{"group": format!("@zone/networkEndpointGroups/{group}")}],
                    "healthChecks": [format!("@global/healthChecks/{group}")],
                }),
            ),
            part(
                "urlMaps",
                "global",
                &named("um"),
                json!({"defaultService": format!("@global/backendServices/{group}")}),
            ),
            part(
                "targetHttpProxies",
                "global",
                &named("tp"),
                json!({"urlMap": format!("@global/urlMaps/{}", named("um"))}),
            ),
            part(
                "forwardingRules",
                "global",
                &named("fr"),
                json!({
                    "IPProtocol": "TCP", "portRange": "80-80", "loadBalancingScheme": "EXTERNAL", "networkTier": "PREMIUM",
                    "target": format!("@global/targetHttpProxies/{}", named("tp")), "_ports": [],
                }),
            ),
        ]
    }
}
