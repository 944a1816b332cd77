//! KServe's LLMInferenceService controller, its webhooks, the model downloader and the endpoint picker.

mod admission;
mod configs;
pub mod download;
pub mod hub;
pub mod picker;
mod presets;
mod router;
mod service;
mod template;
mod workload;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

pub use download::{StorageInitializer, megabytes as weights};
pub use picker::{EndpointPicker, Plugins, negotiates_http2};

use super::objects::{core, list, secret_text, text};
use super::work::Loop;
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::{Instance, Program, Start};
use crate::sim::controllers::{Controller, Surroundings};
use crate::sim::kube::api::{Api, Gvk};

const MANAGER: &str = "llmisvc-controller";
const GROUP: &str = "serving.kserve.io";
/// The controller's configuration, in its own namespace.
const CONFIGURATION: &str = "inferenceservice-config";

/// Served versions of a kind of KServe's LLM API, the stored one first.
fn kinds(kind: &str) -> Vec<Gvk> {
    ["v1alpha2", "v1alpha1"].map(|version| Gvk::new(GROUP, version, kind)).into()
}

/// The version of a kind that is served.
fn kind(api: &dyn Api, of: &str) -> Option<Gvk> {
    kinds(of).into_iter().find(|gvk| api.serves(gvk))
}

/// Whether this is the build for Red Hat's platform, which adds DestinationRules and signs with a shared CA.
fn is_red_hat(instance: &Instance) -> bool {
    let image = &instance.image;
    image.registry == "registry.redhat.io"
        || image.repository.contains("opendatahub")
        || image.repository.contains("rhoai")
        || image.base().starts_with("odh-")
}

/// What the ConfigMap says, read anew each time as the controller does.
#[derive(Clone, Debug)]
pub struct Settings {
    tls: bool,
    gateway_namespace: String,
    gateway_name: String,
    url_scheme: String,
    routing_header: String,
    storage_image: String,
    storage: Json,
}

impl Settings {
    fn read(api: &dyn Api, namespace: &str) -> Option<Settings> {
        let map = api.get(&core("ConfigMap"), namespace, CONFIGURATION)?;
        let part = |key: &str| -> Json {
            let raw = map["data"].get(key).and_then(Json::as_str).unwrap_or("{}");
            serde_json::from_str(raw).unwrap_or_default()
        };
        let (ingress, storage) = (part("ingress"), part("storageInitializer"));
        let or = |given: &str, default: &str| if given.is_empty() { default.to_owned() } else { given.to_owned() };
        let gateway = or(text(&ingress, "/kserveIngressGateway"), "kserve/kserve-ingress-gateway");
        let (gateway_namespace, gateway_name) = gateway.split_once('/').unwrap_or((namespace, &gateway));
        Some(Settings {
            tls: ingress.get("enableLLMInferenceServiceTLS").is_some_and(|v| v == true || v == "true"),
            gateway_namespace: gateway_namespace.to_owned(),
            gateway_name: gateway_name.to_owned(),
            url_scheme: or(text(&ingress, "/urlScheme"), "http"),
            routing_header: or(text(&ingress, "/modelBasedRoutingHeaderName"), "X-Gateway-Model-Name"),
            storage_image: or(text(&storage, "/image"), "kserve/storage-initializer:v0.20.0"),
            storage,
        })
    }
}

/// KServe's controller of LLMInferenceServices.
pub struct Llmisvc;

#[async_trait]
impl Program for Llmisvc {
    fn name(&self) -> &'static str {
        "llmisvc-controller"
    }

    fn runs(&self, image: &Image) -> bool {
        image.base().contains("llmisvc-controller")
    }

    fn megabytes(&self, _: &Image) -> u64 {
        60
    }

    fn start(&self, _: &Instance, _: &Surroundings) -> Start {
        Start::Serves(Duration::from_secs(3))
    }

    fn controllers(&self, instance: &Instance) -> Vec<Arc<dyn Controller>> {
        vec![Loop::of(service::Services, instance), Loop::of(configs::Configs, instance)]
    }

    fn listens(&self, _: &Instance, port: u16) -> bool {
        matches!(port, 8081 | 8443 | 9443)
    }

    fn certificate(&self, instance: &Instance, around: &Surroundings, port: u16) -> Option<String> {
        if port != 9443 {
            return None;
        }
        // The Secret that the Deployment mounts for its webhook server.
        let mounted = list(&instance.pod, "/spec/volumes").iter().map(|v| text(v, "/secret/secretName"));
        let mut chains = mounted.filter(|name| !name.is_empty()).filter_map(|name| {
            let secret = around.api.get(&core("Secret"), instance.namespace(), name)?;
            Some(secret_text(&secret, "tls.crt")? + &secret_text(&secret, "tls.key")?)
        });
        chains.next()
    }

    async fn webhook(
        &self,
        instance: &Instance,
        around: &Surroundings,
        path: &str,
        review: &Json,
    ) -> Result<Json, String> {
        admission::answer(instance, around, path, review)
    }
}
