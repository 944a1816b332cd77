//! Istio: the control plane that makes gateways of Gateways and judges routes, the proxy, the CNI node agent.
//!
//! What a proxy does with traffic is in `sim::serving`; both read the same [`attach`] rules.

pub mod attach;
mod class;
mod gateway;
mod inject;
mod pools;
mod routes;
mod trust;

use std::sync::Arc;
use std::time::Duration;

pub use gateway::certificate;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::objects::{core, pod_ready, text};
use super::work::Loop;
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::{Instance, Program, Start};
use crate::sim::controllers::{Controller, Surroundings, admission, durations, webhooks};
use crate::sim::kube::api::{Api, Gvk};

/// The `controllerName` of Istio's classes and route statuses.
pub const CONTROLLER: &str = "istio.io/gateway-controller";
const MANAGER: &str = "istio.io/gateway-controller";
/// The container of every Istio proxy.
pub const PROXY_CONTAINER: &str = "istio-proxy";

/// A kind of the Gateway API.
pub fn gateway_api(kind: &str) -> Gvk {
    Gvk::new("gateway.networking.k8s.io", "v1", kind)
}

/// A kind of Istio's networking group, served versions in order of preference.
pub fn networking(kind: &str) -> Vec<Gvk> {
    ["v1", "v1beta1", "v1alpha3"].map(|version| Gvk::new("networking.istio.io", version, kind)).into()
}

/// All objects of the first version that is served.
pub fn served(api: &dyn Api, versions: &[Gvk]) -> Vec<Arc<Json>> {
    versions.iter().find(|gvk| api.serves(gvk)).map(|gvk| api.list(gvk, None)).unwrap_or_default()
}

fn is_pilot(name: &str) -> bool {
    name == "pilot" || name.starts_with("istio-pilot")
}

/// Minor version of an Istio image's tag; a tag without numbers counts as the newest.
fn minor(tag: &str) -> u32 {
    tag.trim_start_matches('v').split('.').nth(1).and_then(|m| m.split('-').next()?.parse().ok()).unwrap_or(99)
}

/// The API group whose InferencePools this control plane understands, if any: 1.27 knew only the old group,
/// later ones only the new, and all only when told to.
fn pool_group(instance: &Instance, api: &dyn Api) -> Option<&'static str> {
    let on = instance.variable("ENABLE_GATEWAY_API_INFERENCE_EXTENSION", api).is_some_and(|v| v == "true");
    let old = minor(&instance.image.tag) <= 27;
    on.then_some(if old { "inference.networking.x-k8s.io" } else { "inference.networking.k8s.io" })
}

/// Istio's control plane.
pub struct Istiod;

#[async_trait]
impl Program for Istiod {
    fn name(&self) -> &'static str {
        "istiod"
    }

    fn runs(&self, image: &Image) -> bool {
        is_pilot(image.base())
    }

    fn megabytes(&self, _: &Image) -> u64 {
        80
    }

    fn start(&self, _: &Instance, _: &Surroundings) -> Start {
        Start::Serves(Duration::from_secs(4))
    }

    fn controllers(&self, instance: &Instance) -> Vec<Arc<dyn Controller>> {
        vec![
            Loop::of(trust::RootCa, instance),
            Loop::of(trust::RootCertificates, instance),
            Loop::of(trust::Bundles, instance),
            Loop::of(class::Classes, instance),
            Loop::of(gateway::Gateways, instance),
            Loop::of(routes::Routes, instance),
            Loop::of(pools::Pools, instance),
        ]
    }

    fn listens(&self, _: &Instance, port: u16) -> bool {
        matches!(port, 8080 | 15010 | 15012 | 15014 | 15017)
    }

    fn certificate(&self, instance: &Instance, around: &Surroundings, port: u16) -> Option<String> {
        (port == 15012 || port == 15017).then(|| trust::serving_certificate(instance, around)).flatten()
    }

    async fn webhook(
        &self,
        instance: &Instance,
        around: &Surroundings,
        path: &str,
        review: &Json,
    ) -> Result<Json, String> {
        if path == "/validate" {
            return Ok(match inject::validate(&review["request"]["object"]) {
                Ok(()) => admission::allow(review),
                Err(message) => admission::deny(review, 400, "", &message),
            });
        }
        if path.starts_with("/inject") {
            return Ok(match inject::inject(instance, &*around.api, review) {
                Some(pod) => admission::patch(review, &pod),
                None => admission::allow(review),
            });
        }
        Err(webhooks::NO_SUCH_PATH.to_owned())
    }
}

/// Istio's proxy: a gateway, a sidecar, or the init container that checks or sets the redirection.
pub struct Proxy;

#[async_trait]
impl Program for Proxy {
    fn name(&self) -> &'static str {
        "istio-proxy"
    }

    fn runs(&self, image: &Image) -> bool {
        image.base() == "proxyv2" || image.base().starts_with("istio-proxyv2")
    }

    fn megabytes(&self, _: &Image) -> u64 {
        110
    }

    fn start(&self, instance: &Instance, around: &Surroundings) -> Start {
        if instance.name() == inject::VALIDATION {
            let node = instance.node();
            let redirected = around.api.list(&core("Pod"), None).iter().any(|pod| {
                let cni = || super::objects::containers(&pod["spec"]).any(|c| is_cni_image(text(c, "/image")));
                text(pod, "/spec/nodeName") == node && pod_ready(pod) && cni()
            });
            return if redirected {
                Start::completes(durations::SHORT_RUN)
            } else {
                Start::Exits {
                    after: Duration::from_secs(5),
                    code: 126,
                    oom: false,
                    log: vec!["iptables validation failed; workload is not ready for Istio.".to_owned()],
                }
            };
        }
        if instance.is_init() && text(&instance.container, "/restartPolicy") != "Always" {
            return Start::completes(durations::SHORT_RUN);
        }
        Start::Serves(durations::PROGRAM_START)
    }

    fn ready(&self, _: &Instance, around: &Surroundings) -> Result<(), String> {
        // The first configuration comes from the control plane.
        let up = around.api.list(&core("Pod"), None).iter().any(|pod| {
            pod_ready(pod)
                && super::objects::containers(&pod["spec"])
                    .any(|c| Image::parse(text(c, "/image")).is_ok_and(|image| is_pilot(image.base())))
        });
        if up { Ok(()) } else { Err("HTTP probe failed with statuscode: 503".to_owned()) }
    }

    fn listens(&self, _: &Instance, _: u16) -> bool {
        true
    }
}

fn is_cni_image(image: &str) -> bool {
    Image::parse(image).is_ok_and(|image| image.base() == "install-cni" || image.base().starts_with("istio-cni"))
}

/// Istio's CNI node agent; its DaemonSet needs a quota for its priority class outside kube-system, which the
/// API server enforces.
pub struct Cni;

impl Program for Cni {
    fn name(&self) -> &'static str {
        "istio-cni"
    }

    fn runs(&self, image: &Image) -> bool {
        image.base() == "install-cni" || image.base().starts_with("istio-cni")
    }

    fn per_pod(&self) -> bool {
        true
    }

    fn megabytes(&self, _: &Image) -> u64 {
        70
    }
}

/// Whether this Gateway belongs to a class of ours that has been accepted or may yet be.
pub fn is_ours(api: &dyn Api, gateway: &Json) -> bool {
    api.get(&gateway_api("GatewayClass"), "", text(gateway, "/spec/gatewayClassName"))
        .is_some_and(|class| text(&class, "/spec/controllerName") == CONTROLLER)
}
