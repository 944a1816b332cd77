//! cainjector: fills `caBundle` of webhook configurations, CRD conversions and APIServices.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{annotation, base64, core, secret_text, text};
use super::super::work::{Step, Work};
use super::kind;
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Gvk, Status};

/// Until the injector leads and has filled its caches; the webhook is refused as long (20-60 s are usual).
const ELECTION: Duration = Duration::from_secs(20);

/// Fills CA bundles.
pub struct Injector;

/// The bundle that the object's annotations ask for, once it exists.
fn bundle(work: &Work, object: &Json) -> Option<String> {
    let from = annotation(object, "cert-manager.io/inject-ca-from");
    if let Some((namespace, name)) = from.split_once('/') {
        let certificate = work.api.get(&kind("Certificate"), namespace, name)?;
        let secret = work.api.get(&core("Secret"), namespace, text(&certificate, "/spec/secretName"))?;
        // Only a Secret that cert-manager itself filled for this Certificate is trusted.
        if annotation(&secret, "cert-manager.io/certificate-name") != name {
            return None;
        }
        return secret_text(&secret, "ca.crt");
    }
    let (namespace, name) = annotation(object, "cert-manager.io/inject-ca-from-secret").split_once('/')?;
    let secret = work.api.get(&core("Secret"), namespace, name)?;
    if annotation(&secret, "cert-manager.io/allow-direct-injection") != "true" {
        return None;
    }
    secret_text(&secret, "ca.crt")
}

#[async_trait]
impl Step for Injector {
    fn name(&self) -> &'static str {
        "cert-manager-cainjector"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![
            Gvk::new("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"),
            Gvk::new("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
            Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            Gvk::new("apiregistration.k8s.io", "v1", "APIService"),
        ]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![kind("Certificate"), core("Secret")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        let home = text(changed, "/metadata/namespace");
        ["cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret"]
            .iter()
            .any(|key| annotation(own, key).split_once('/').is_some_and(|(namespace, _)| namespace == home))
    }

    async fn step(&self, work: &Work, object: &Arc<Json>) -> Result<Outcome, Status> {
        if let Some(left) = work.left(work.instance.started_at().unwrap_or_default(), ELECTION) {
            return Ok(Outcome::After(left));
        }
        let Some(bundle) = bundle(work, object).map(|pem| json!(base64(pem))) else { return Ok(Outcome::Done) };
        let mut changed = (**object).clone();
        match text(object, "/kind") {
            "CustomResourceDefinition" => {
                let Some(client) = changed.pointer_mut("/spec/conversion/webhook/clientConfig") else {
                    return Ok(Outcome::Done);
                };
                client["caBundle"] = bundle;
            }
            "APIService" => changed["spec"]["caBundle"] = bundle,
            _ => {
                let webhooks = changed.get_mut("webhooks").and_then(Json::as_array_mut);
                for webhook in webhooks.into_iter().flatten() {
                    webhook["clientConfig"]["caBundle"] = bundle.clone();
                }
            }
        }
        if changed != **object {
            work.api.update(changed).await?;
        }
        Ok(Outcome::Done)
    }
}
