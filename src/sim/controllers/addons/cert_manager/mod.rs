//! cert-manager: issuers, certificates that are real, the webhook's own CA, and the injection of CA bundles.

mod certificates;
mod inject;
mod issuers;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::work::Loop;
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::{Instance, Program, Start};
use crate::sim::controllers::{Controller, Surroundings, admission, durations, webhooks};
use crate::sim::kube::api::Gvk;

/// The field manager of everything cert-manager applies.
const MANAGER: &str = "cert-manager";
/// The port of the webhook in cert-manager's charts.
const WEBHOOK_PORT: u16 = 10250;

fn kind(kind: &str) -> Gvk {
    Gvk::new("cert-manager.io", "v1", kind)
}

/// cert-manager's programs: controller, webhook, cainjector and the check of the API.
pub struct CertManager;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Controller,
    Webhook,
    Injector,
    Check,
}

impl CertManager {
    fn part(instance: &Instance) -> Part {
        // One image of Red Hat's holds every part; the command says which.
        let words = || instance.arguments().join(" ");
        match instance.image.base() {
            "cert-manager-webhook" => Part::Webhook,
            "cert-manager-cainjector" => Part::Injector,
            "cert-manager-startupapicheck" => Part::Check,
            name if name.starts_with("jetstack-") && words().contains("webhook") => Part::Webhook,
            name if name.starts_with("jetstack-") && words().contains("cainjector") => Part::Injector,
            _ => Part::Controller,
        }
    }
}

#[async_trait]
impl Program for CertManager {
    fn name(&self) -> &'static str {
        "cert-manager"
    }

    fn runs(&self, image: &Image) -> bool {
        let name = image.base();
        name.starts_with("jetstack-cert-manager") || (name.starts_with("cert-manager-") && !name.contains("operator"))
    }

    fn megabytes(&self, _: &Image) -> u64 {
        20
    }

    fn start(&self, instance: &Instance, around: &Surroundings) -> Start {
        match Self::part(instance) {
            Part::Check => webhook::check(around),
            _ => Start::Serves(durations::PROGRAM_START),
        }
    }

    fn controllers(&self, instance: &Instance) -> Vec<Arc<dyn Controller>> {
        match Self::part(instance) {
            Part::Controller => vec![
                Loop::of(issuers::Issuers, instance),
                Loop::of(certificates::Certificates, instance),
                Loop::of(certificates::Requests, instance),
            ],
            Part::Webhook => vec![Loop::of(webhook::ServingCa, instance)],
            Part::Injector => vec![Loop::of(inject::Injector, instance)],
            Part::Check => Vec::new(),
        }
    }

    fn listens(&self, instance: &Instance, port: u16) -> bool {
        Self::part(instance) == Part::Webhook
            && instance.argument("secure-port").map_or(port == WEBHOOK_PORT, |given| given.parse() == Ok(port))
    }

    fn certificate(&self, instance: &Instance, around: &Surroundings, _: u16) -> Option<String> {
        webhook::serving_certificate(instance, around)
    }

    async fn webhook(&self, instance: &Instance, _: &Surroundings, path: &str, review: &Json) -> Result<Json, String> {
        match path {
            "/validate" => Ok(match webhook::review(&review["request"]["object"]) {
                Ok(()) => admission::allow(review),
                Err(message) => admission::deny(review, 403, "Forbidden", &message),
            }),
            "/mutate" => {
                let mut object = review["request"]["object"].clone();
                object["spec"]["username"] = review["request"]["userInfo"]["username"].clone();
                Ok(admission::patch(review, &object))
            }
            _ => {
                tracing::debug!(path, pod = instance.name(), "no such webhook");
                Err(webhooks::NO_SUCH_PATH.to_owned())
            }
        }
    }
}

/// How long after its start the check asks again.
const CHECK_AGAIN: Duration = Duration::from_secs(1);
