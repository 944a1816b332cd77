//! cert-manager's webhook: the CA it makes for itself, and what it says to reviews.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{base64, core, list, metadata, secret_text, text};
use super::super::pki::{self, Validity, Wanted};
use super::super::work::{Step, Work};
use super::CHECK_AGAIN;
use crate::sim::controllers::programs::{Instance, Start};
use crate::sim::controllers::{Outcome, Surroundings, durations};
use crate::sim::kube::api::{Gvk, Status};

/// Keeps the Secret with the webhook's own CA, from which its serving certificates come.
pub struct ServingCa;

/// Namespace and name of the Secret with the webhook's own CA.
fn ca_secret(instance: &Instance) -> (String, String) {
    let given = |name: &str| instance.argument(name).filter(|value| !value.is_empty() && !value.contains("$("));
    let home = given("dynamic-serving-ca-secret-namespace").unwrap_or(instance.namespace());
    let name = given("dynamic-serving-ca-secret-name").unwrap_or("cert-manager-webhook-ca");
    (home.to_owned(), name.to_owned())
}

/// One year, as cert-manager's dynamic authority issues.
const LIFETIME: Duration = Duration::from_secs(365 * 86_400);

#[async_trait]
impl Step for ServingCa {
    fn name(&self) -> &'static str {
        "cert-manager-webhook-ca"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![core("Pod")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![core("Secret")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        let home = text(changed, "/metadata/namespace");
        home == text(own, "/metadata/namespace") && text(changed, "/metadata/name").ends_with("webhook-ca")
    }

    async fn step(&self, work: &Work, _pod: &Arc<Json>) -> Result<Outcome, Status> {
        let (home, name) = ca_secret(&work.instance);
        let existing = work.api.get(&core("Secret"), &home, &name);
        if existing.is_some_and(|s| secret_text(&s, "tls.crt").is_some() && secret_text(&s, "ca.crt").is_some()) {
            return Ok(Outcome::Done);
        }
        let broken = |e: pki::Malformed| Status::failure(500, "InternalError", e.to_string());
        let key = pki::new_key().map_err(broken)?;
        let wanted = Wanted { common_name: "cert-manager-webhook-ca".to_owned(), is_ca: true, ..Wanted::default() };
        let validity = Validity { from: work.clock.now(), lasts: LIFETIME };
        let ca = pki::self_signed(&wanted, validity, &key).map_err(broken)?;
        let mut metadata = metadata(&home, &name, &[("app.kubernetes.io/managed-by", "cert-manager-webhook")], None);
        metadata["annotations"] = json!({"cert-manager.io/allow-direct-injection": "true"});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata,
            "data": {"ca.crt": base64(&ca), "tls.crt": base64(&ca), "tls.key": base64(&key)},
        });
        work.ensure(secret).await?;
        Ok(Outcome::Done)
    }
}

/// What the webhook presents: a certificate for its Service, fresh from its own CA, and its key.
pub fn serving_certificate(instance: &Instance, around: &Surroundings) -> Option<String> {
    let (home, name) = ca_secret(instance);
    let ca = around.api.get(&core("Secret"), &home, &name)?;
    let given = instance.values("dynamic-serving-dns-names").flat_map(|list| list.split(','));
    let mut names = given
        .filter(|name| !name.is_empty())
        .map(|name| name.replace("$(POD_NAMESPACE)", instance.namespace()))
        .collect::<Vec<_>>();
    if names.is_empty() {
        names.push(format!("cert-manager-webhook.{}.svc", instance.namespace()));
    }
    let wanted = Wanted { dns_names: names, ..Wanted::default() };
    let validity = Validity { from: around.clock.now(), lasts: Duration::from_secs(7 * 86_400) };
    let key = pki::new_key().ok()?;
    let leaf =
        pki::signed(&wanted, validity, &key, &secret_text(&ca, "tls.crt")?, &secret_text(&ca, "tls.key")?).ok()?;
    Some(leaf + &key)
}

/// What the check of the API does: it ends once the webhook's certificate is trusted by its configuration.
pub fn check(around: &Surroundings) -> Start {
    let configuration = Gvk::new("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
    let ready = around.api.list(&configuration, None).iter().any(|c| {
        list(c, "/webhooks")
            .iter()
            .any(|w| text(w, "/name") == "webhook.cert-manager.io" && !text(w, "/clientConfig/caBundle").is_empty())
    });
    if ready { Start::completes(durations::SHORT_RUN) } else { Start::Waits(CHECK_AGAIN) }
}

/// What the webhook says to an object: the refusals that matter for installers, else yes.
pub fn review(object: &Json) -> Result<(), String> {
    let needs = |pointer: &str, field: &str| match text(object, pointer) {
        "" => Err(format!("spec.{field}: Required value: must be specified")),
        _ => Ok(()),
    };
    match text(object, "/kind") {
        "Certificate" => {
            needs("/spec/secretName", "secretName")?;
            needs("/spec/issuerRef/name", "issuerRef.name")?;
            let named =
                ["commonName", "dnsNames", "ipAddresses", "uris", "emailAddresses", "literalSubject", "otherNames"];
            if !named.iter().any(|field| object.pointer(&format!("/spec/{field}")).is_some_and(|v| !v.is_null())) {
                return Err(
                    "spec: Invalid value: \"\": at least one of commonName (from the commonName field or from \
                            a literalSubject), dnsNames, uriSANs, ipAddresses, emailSANs or otherNames must be set"
                        .to_owned(),
                );
            }
            Ok(())
        }
        "Issuer" | "ClusterIssuer" => {
            let spec = object.get("spec").and_then(Json::as_object);
            let kinds = ["acme", "ca", "vault", "selfSigned", "venafi"];
            match spec.map_or(0, |spec| spec.keys().filter(|k| kinds.contains(&k.as_str())).count()) {
                0 => Err("spec: Required value: at least one issuer must be configured".to_owned()),
                1 => needs_ca(object),
                _ => Err("spec: Forbidden: may not specify more than one issuer type".to_owned()),
            }
        }
        _ => Ok(()),
    }
}

fn needs_ca(issuer: &Json) -> Result<(), String> {
    match issuer.pointer("/spec/ca") {
        Some(ca) if text(ca, "/secretName").is_empty() => {
            Err("spec.ca.secretName: Required value: must be specified".to_owned())
        }
        _ => Ok(()),
    }
}
