//! Issuers and ClusterIssuers: whether they can sign, and the signing itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::super::objects::{self, Condition, core, namespace, secret_text, text};
use super::super::pki::{self, Validity};
use super::super::work::{Step, Work};
use super::kind;
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Gvk, Status};

/// Keeps the Ready condition of issuers.
pub struct Issuers;

/// The namespace in which a ClusterIssuer's Secrets are.
fn cluster_namespace(work: &Work) -> String {
    match work.instance.argument("cluster-resource-namespace") {
        Some(given) if !given.is_empty() && !given.contains("$(") => given.to_owned(),
        _ => work.namespace().to_owned(),
    }
}

fn secret_namespace(work: &Work, issuer: &Json) -> String {
    match namespace(issuer) {
        "" => cluster_namespace(work),
        own => own.to_owned(),
    }
}

/// The certificate and key with which a CA issuer signs.
pub fn signing_pair(work: &Work, issuer: &Json) -> Result<(String, String), (&'static str, String)> {
    let name = text(issuer, "/spec/ca/secretName");
    let home = secret_namespace(work, issuer);
    let secret = work.api.get(&core("Secret"), &home, name).ok_or_else(|| {
        ("ErrGetKeyPair", format!("Error getting keypair for CA issuer: secrets \"{name}\" not found"))
    })?;
    let part = |key: &str| {
        secret_text(&secret, key).ok_or_else(|| {
            (
                "ErrGetKeyPair",
                format!("Error getting keypair for CA issuer: no data for \"{key}\" in secret '{home}/{name}'"),
            )
        })
    };
    let (certificate, key) = (part("tls.crt")?, part("tls.key")?);
    if !pki::matches_key(&certificate, &key) {
        return Err(("ErrInvalidKeyPair", "Error parsing keypair: key does not belong to certificate".to_owned()));
    }
    Ok((certificate, key))
}

/// A signed certificate and the certificate of who signed it.
pub struct Issued {
    pub certificate: String,
    pub ca: String,
}

/// Signs a request with an issuer. `key_secret` is the Secret that holds the requester's key, which only a
/// self-signing issuer needs.
pub fn sign(
    work: &Work,
    issuer: &Json,
    request: &str,
    is_ca: bool,
    validity: Validity,
    key_secret: Option<Arc<Json>>,
) -> Result<Issued, String> {
    if issuer.pointer("/spec/selfSigned").is_some() {
        let key = key_secret.and_then(|s| secret_text(&s, "tls.key")).ok_or("the referenced private key is missing")?;
        let mut wanted = pki::read_request(request).map_err(|e| e.to_string())?;
        wanted.is_ca = is_ca;
        let certificate = pki::self_signed(&wanted, validity, &key).map_err(|e| e.to_string())?;
        return Ok(Issued { ca: certificate.clone(), certificate });
    }
    if issuer.pointer("/spec/ca").is_some() {
        let (ca, ca_key) = signing_pair(work, issuer).map_err(|(_, message)| message)?;
        let certificate = pki::sign_request(request, is_ca, validity, &ca, &ca_key).map_err(|e| e.to_string())?;
        return Ok(Issued { certificate, ca });
    }
    Err("this kind of issuer cannot sign in a simulated cluster".to_owned())
}

#[async_trait]
impl Step for Issuers {
    fn name(&self) -> &'static str {
        "cert-manager-issuers"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![kind("Issuer"), kind("ClusterIssuer")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![core("Secret")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        objects::name(changed) == text(own, "/spec/ca/secretName")
    }

    async fn step(&self, work: &Work, issuer: &Arc<Json>) -> Result<Outcome, Status> {
        let (ready, reason, message) = if issuer.pointer("/spec/selfSigned").is_some() {
            (true, "IsReady", String::new())
        } else if issuer.pointer("/spec/ca").is_some() {
            match signing_pair(work, issuer) {
                Ok(_) => (true, "KeyPairVerified", "Signing CA verified".to_owned()),
                Err((reason, message)) => (false, reason, message),
            }
        } else {
            (false, "ErrInitIssuer", "this kind of issuer cannot be reached from a simulated cluster".to_owned())
        };
        let status = work.with_conditions(issuer, true, &[Condition::new("Ready", ready, reason, &message)]);
        work.put_status(issuer, status).await?;
        Ok(if ready { Outcome::Done } else { Outcome::After(Duration::from_secs(30)) })
    }
}
