//! Istio's own certificate authority, and everybody who has to know it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{base64, core, going, list, metadata, name, namespace, secret_text, text};
use super::super::pki::{self, Validity, Wanted};
use super::super::work::{Step, Work};
use crate::sim::controllers::programs::Instance;
use crate::sim::controllers::{Outcome, Surroundings};
use crate::sim::kube::api::{Gvk, Status};

/// Makes the authority's Secret.
pub struct RootCa;
/// Puts `istio-ca-root-cert` into every namespace.
pub struct RootCertificates;
/// Fills the CA bundles of Istio's webhooks and makes the validators strict.
pub struct Bundles;

const SECRET: &str = "istio-ca-secret";
const TEN_YEARS: Duration = Duration::from_secs(3650 * 86_400);
/// How long after its start istiod has proven that its validator refuses bad objects, and makes it strict.
const STRICT_AFTER: Duration = Duration::from_secs(5);

fn root(work: &Work) -> Option<String> {
    secret_text(&*work.api.get(&core("Secret"), work.namespace(), SECRET)?, "ca-cert.pem")
}

/// What istiod presents to the API server, and its key.
pub fn serving_certificate(instance: &Instance, around: &Surroundings) -> Option<String> {
    let home = instance.namespace();
    let secret = around.api.get(&core("Secret"), home, SECRET)?;
    let mut names: Vec<String> =
        ["istiod", "istiod-remote", "istio-pilot"].map(|service| format!("{service}.{home}.svc")).into();
    let revision = instance.variable("REVISION", &*around.api).unwrap_or_default();
    if !matches!(revision.as_str(), "" | "default") {
        names.push(format!("istiod-{revision}.{home}.svc"));
    }
    let wanted = Wanted { dns_names: names, ..Wanted::default() };
    let validity = Validity { from: around.clock.now(), lasts: TEN_YEARS };
    let key = pki::new_key().ok()?;
    let (ca, ca_key) = (secret_text(&secret, "ca-cert.pem")?, secret_text(&secret, "ca-key.pem")?);
    Some(pki::signed(&wanted, validity, &key, &ca, &ca_key).ok()? + &key)
}

#[async_trait]
impl Step for RootCa {
    fn name(&self) -> &'static str {
        "istio-ca"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![core("Pod")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![core("Secret")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        name(changed) == SECRET && namespace(changed) == namespace(own)
    }

    async fn step(&self, work: &Work, _pod: &Arc<Json>) -> Result<Outcome, Status> {
        if root(work).is_some() {
            return Ok(Outcome::Done);
        }
        let broken = |e: pki::Malformed| Status::failure(500, "InternalError", e.to_string());
        let key = pki::new_key().map_err(broken)?;
        let wanted = Wanted { organizations: vec!["cluster.local".to_owned()], is_ca: true, ..Wanted::default() };
        let validity = Validity { from: work.clock.now(), lasts: TEN_YEARS };
        let ca = pki::self_signed(&wanted, validity, &key).map_err(broken)?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "istio.io/ca-root",
            "metadata": metadata(work.namespace(), SECRET, &[], None),
            "data": {"ca-cert.pem": base64(&ca), "ca-key.pem": base64(&key), "root-cert.pem": "", "cert-chain.pem": "", "key.pem": ""},
        });
        work.ensure(secret).await?;
        Ok(Outcome::Done)
    }
}

#[async_trait]
impl Step for RootCertificates {
    fn name(&self) -> &'static str {
        "istio-root-certificates"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![core("Namespace")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![core("Secret"), core("ConfigMap")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        name(changed) == SECRET || (name(changed) == "istio-ca-root-cert" && namespace(changed) == name(own))
    }

    async fn step(&self, work: &Work, space: &Arc<Json>) -> Result<Outcome, Status> {
        let Some(root) = root(work) else { return Ok(Outcome::Done) };
        if going(space) || matches!(name(space), "kube-system" | "kube-public" | "kube-node-lease") {
            return Ok(Outcome::Done);
        }
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": metadata(name(space), "istio-ca-root-cert", &[("istio.io/config", "true")], None),
            "data": {"root-cert.pem": root},
        });
        work.ensure(map).await?;
        Ok(Outcome::Done)
    }
}

#[async_trait]
impl Step for Bundles {
    fn name(&self) -> &'static str {
        "istio-webhook-bundles"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]
            .map(|kind| Gvk::new("admissionregistration.k8s.io", "v1", kind))
            .into()
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![core("Secret")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        name(changed) == SECRET && name(own).contains("istio")
    }

    async fn step(&self, work: &Work, configuration: &Arc<Json>) -> Result<Outcome, Status> {
        let ours = |webhook: &Json| {
            text(webhook, "/clientConfig/service/namespace") == work.namespace()
                && text(webhook, "/clientConfig/service/name").starts_with("istiod")
        };
        if !list(configuration, "/webhooks").iter().any(ours) {
            return Ok(Outcome::Done);
        }
        let Some(root) = root(work) else { return Ok(Outcome::Done) };
        let started = work.instance.started_at().unwrap_or_default();
        let strict = work.left(started, STRICT_AFTER).is_none();
        let validating = text(configuration, "/kind") == "ValidatingWebhookConfiguration";
        let mut changed = (**configuration).clone();
        for webhook in changed.get_mut("webhooks").and_then(Json::as_array_mut).into_iter().flatten() {
            if ours(webhook) {
                webhook["clientConfig"]["caBundle"] = json!(base64(&root));
                if validating && strict {
                    webhook["failurePolicy"] = json!("Fail");
                }
            }
        }
        if changed != **configuration {
            work.api.update(changed).await?;
        }
        Ok(match work.left(started, STRICT_AFTER) {
            Some(left) if validating => Outcome::After(left),
            _ => Outcome::Done,
        })
    }
}
