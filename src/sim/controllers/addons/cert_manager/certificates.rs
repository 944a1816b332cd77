//! Certificates and CertificateRequests: key, request, approval, signature, Secret.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{
    Condition, annotation, base64, condition, core, going, is_true, list, metadata, name, namespace, number, owned_by,
    secret_text, text, unbase64,
};
use super::super::pki::{self, Validity, Wanted};
use super::super::work::{Step, Work};
use super::{MANAGER, issuers, kind};
use crate::env::clock::Timestamp;
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{DeleteOptions, Gvk, Status};

/// 90 days, as cert-manager defaults.
const DEFAULT_DURATION: Duration = Duration::from_secs(90 * 86_400);
/// How long signing takes from the request's creation.
const SIGNING: Duration = Duration::from_secs(1);

/// Looks after Certificates.
pub struct Certificates;
/// Approves and signs CertificateRequests.
pub struct Requests;

/// A Go duration such as `2160h` or `1h30m`.
pub fn duration(text: &str) -> Option<Duration> {
    let (mut total, mut number) = (0.0, String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '0'..='9' | '.' => number.push(c),
            'h' => total += 3600.0 * std::mem::take(&mut number).parse::<f64>().ok()?,
            'm' if chars.peek() == Some(&'s') => {
                chars.next();
                total += 0.001 * std::mem::take(&mut number).parse::<f64>().ok()?;
            }
            'm' => total += 60.0 * std::mem::take(&mut number).parse::<f64>().ok()?,
            's' => total += std::mem::take(&mut number).parse::<f64>().ok()?,
            _ => return None,
        }
    }
    number.is_empty().then(|| Duration::from_secs_f64(total))
}

fn texts(object: &Json, pointer: &str) -> Vec<String> {
    list(object, pointer).iter().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn wanted(certificate: &Json) -> Wanted {
    let mut names = texts(certificate, "/spec/dnsNames");
    let common_name = text(certificate, "/spec/commonName").to_owned();
    if names.is_empty() && !common_name.is_empty() && list(certificate, "/spec/ipAddresses").is_empty() {
        names.push(common_name.clone());
    }
    Wanted {
        common_name,
        organizations: texts(certificate, "/spec/subject/organizations"),
        dns_names: names,
        ip_addresses: texts(certificate, "/spec/ipAddresses").iter().filter_map(|ip| ip.parse().ok()).collect(),
        is_ca: certificate.pointer("/spec/isCA").and_then(Json::as_bool).unwrap_or(false),
    }
}

/// Whether the Secret holds a certificate that answers this Certificate's spec and is not due for renewal.
fn up_to_date(certificate: &Json, secret: &Json, now: Timestamp) -> Option<(Timestamp, Timestamp, Timestamp)> {
    let pem = secret_text(secret, "tls.crt")?;
    if !pki::matches_key(&pem, &secret_text(secret, "tls.key")?)
        || annotation(secret, "cert-manager.io/certificate-name") != name(certificate)
        || annotation(secret, "cert-manager.io/issuer-name") != text(certificate, "/spec/issuerRef/name")
    {
        return None;
    }
    let mut wanted: Vec<String> = wanted(certificate).dns_names;
    wanted.extend(texts(certificate, "/spec/ipAddresses"));
    let has = pki::names(&pem);
    if !wanted.iter().all(|name| has.contains(name)) {
        return None;
    }
    let (from, until) = pki::validity(&pem)?;
    let before = duration(text(certificate, "/spec/renewBefore")).filter(|d| !d.is_zero());
    let lifetime = until.since(from);
    let renewal = from.plus(before.map_or(lifetime * 2 / 3, |before| lifetime.saturating_sub(before)));
    (now < renewal).then_some((from, until, renewal))
}

#[async_trait]
impl Step for Certificates {
    fn name(&self) -> &'static str {
        "cert-manager-certificates"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![kind("Certificate")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![kind("CertificateRequest"), core("Secret")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        namespace(changed) == namespace(own)
            && (owned_by(changed, own) || name(changed) == text(own, "/spec/secretName"))
    }

    async fn step(&self, work: &Work, certificate: &Arc<Json>) -> Result<Outcome, Status> {
        if going(certificate) {
            return Ok(Outcome::Done);
        }
        let (home, now) = (namespace(certificate), work.clock.now());
        let secret = work.api.get(&core("Secret"), home, text(certificate, "/spec/secretName"));
        if let Some((from, until, renewal)) = secret.as_ref().and_then(|s| up_to_date(certificate, s, now)) {
            return settle(work, certificate, from, until, renewal).await;
        }
        let missing = secret.is_none();
        let revision = number(certificate, "/status/revision").unwrap_or(0) + 1;
        let request_name = format!("{}-{revision}", name(certificate));
        let key_name = format!("{}-key-{revision}", name(certificate));
        let Some(key) = work.api.get(&core("Secret"), home, &key_name) else {
            let why =
                if missing { "Issuing certificate as Secret does not exist" } else { "Certificate has to be issued" };
            let reason = if missing { "DoesNotExist" } else { "SecretMismatch" };
            let mut status = work.with_conditions(
                certificate,
                true,
                &[Condition::new("Issuing", true, reason, why), Condition::new("Ready", false, reason, why)],
            );
            status["nextPrivateKeySecretName"] = json!(key_name);
            work.put_status(certificate, status).await?;
            let key = pki::new_key().map_err(|e| Status::failure(500, "InternalError", e.to_string()))?;
            let mut secret = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": metadata(home, &key_name, &[("cert-manager.io/next-private-key", "true"),
                    ("controller.cert-manager.io/fao", "true")], Some(certificate)),
            });
            secret["data"]["tls.key"] = json!(base64(key));
            work.api.create(secret).await?;
            return Ok(Outcome::Done);
        };
        let Some(request) = work.api.get(&kind("CertificateRequest"), home, &request_name) else {
            let key = secret_text(&key, "tls.key").unwrap_or_default();
            let csr = match pki::request(&wanted(certificate), &key) {
                Ok(csr) => csr,
                Err(error) => return failed(work, certificate, "RequestInvalid", &error.to_string()).await,
            };
            let mut request = json!({
                "apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest",
                "metadata": metadata(home, &request_name, &[], Some(certificate)),
                "spec": {
                    "request": base64(csr), "issuerRef": certificate["spec"]["issuerRef"],
                    "isCA": wanted(certificate).is_ca,
                    "duration": certificate.pointer("/spec/duration").cloned().unwrap_or(json!("2160h0m0s")),
                    "usages": certificate.pointer("/spec/usages").cloned()
                        .unwrap_or(json!(["digital signature", "key encipherment"])),
                },
            });
            request["metadata"]["annotations"] = json!({
                "cert-manager.io/certificate-name": name(certificate),
                "cert-manager.io/certificate-revision": revision.to_string(),
                "cert-manager.io/private-key-secret-name": key_name,
            });
            work.api.create(request).await?;
            return Ok(Outcome::Done);
        };
        if !is_true(&request, "Ready") {
            if condition(&request, "Ready").is_some_and(|c| c["reason"] == "Failed" || c["reason"] == "Denied") {
                let message = condition(&request, "Ready").map(|c| text(c, "/message").to_owned()).unwrap_or_default();
                return failed(work, certificate, "Failed", &message).await;
            }
            return Ok(Outcome::Done);
        }
        let part = |pointer: &str| unbase64(text(&request, pointer)).unwrap_or_default();
        let (pem, ca) = (part("/status/certificate"), part("/status/ca"));
        let key_pem = secret_text(&key, "tls.key").unwrap_or_default();
        if !pki::matches_key(&pem, &key_pem) {
            // A leftover request of an earlier life of this name.
            work.api.delete(&kind("CertificateRequest"), home, &request_name, DeleteOptions::default()).await?;
            return Ok(Outcome::Done);
        }
        let secret = secret_of(certificate, &pem, &key_pem, &ca);
        work.apply(MANAGER, secret, true).await?;
        let mut status = certificate.get("status").cloned().unwrap_or_else(|| json!({}));
        status["revision"] = json!(revision);
        work.put_status(certificate, status).await?;
        // The key has served: it is in the Secret now.
        work.api.delete(&core("Secret"), home, &key_name, DeleteOptions::default()).await?;
        Ok(Outcome::After(Duration::from_millis(10)))
    }
}

fn secret_of(certificate: &Json, pem: &str, key: &str, ca: &str) -> Json {
    let template = |part: &str| {
        let given = certificate.pointer(&format!("/spec/secretTemplate/{part}"));
        given.and_then(Json::as_object).cloned().unwrap_or_default()
    };
    let mut annotations = template("annotations");
    for (key, value) in [
        ("cert-manager.io/certificate-name", name(certificate)),
        ("cert-manager.io/common-name", text(certificate, "/spec/commonName")),
        ("cert-manager.io/issuer-name", text(certificate, "/spec/issuerRef/name")),
        ("cert-manager.io/issuer-kind", issuer_kind(certificate)),
        ("cert-manager.io/issuer-group", "cert-manager.io"),
    ] {
        annotations.insert(key.to_owned(), json!(value));
    }
    annotations.insert("cert-manager.io/alt-names".to_owned(), json!(texts(certificate, "/spec/dnsNames").join(",")));
    let mut labels = template("labels");
    labels.insert("controller.cert-manager.io/fao".to_owned(), json!("true"));
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": text(certificate, "/spec/secretName"), "namespace": namespace(certificate),
            "annotations": annotations, "labels": labels},
        "data": {"tls.crt": base64(pem), "tls.key": base64(key), "ca.crt": base64(ca)},
    })
}

fn issuer_kind(object: &Json) -> &str {
    match text(object, "/spec/issuerRef/kind") {
        "" => "Issuer",
        kind => kind,
    }
}

async fn failed(work: &Work, certificate: &Json, reason: &str, message: &str) -> Result<Outcome, Status> {
    let mut status = work.with_conditions(
        certificate,
        true,
        &[Condition::new("Issuing", false, reason, message), Condition::new("Ready", false, reason, message)],
    );
    if status.get("lastFailureTime").is_none() {
        status["lastFailureTime"] = json!(work.clock.now().rfc3339());
    }
    work.put_status(certificate, status).await?;
    // cert-manager tries again an hour after a failed issuance.
    Ok(Outcome::After(Duration::from_secs(3600)))
}

async fn settle(
    work: &Work,
    certificate: &Json,
    from: Timestamp,
    until: Timestamp,
    renewal: Timestamp,
) -> Result<Outcome, Status> {
    let ready = Condition::new("Ready", true, "Ready", "Certificate is up to date and has not expired");
    let mut status = work.with_conditions(certificate, true, &[ready]);
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.retain(|c| c["type"] != "Issuing");
    }
    status["notBefore"] = json!(from.rfc3339());
    status["notAfter"] = json!(until.rfc3339());
    status["renewalTime"] = json!(renewal.rfc3339());
    if number(&status, "/revision").is_none() {
        status["revision"] = json!(1);
    }
    if let Some(status) = status.as_object_mut() {
        status.remove("nextPrivateKeySecretName");
        status.remove("lastFailureTime");
    }
    work.put_status(certificate, status).await?;
    Ok(Outcome::After(renewal.since(work.clock.now())))
}

#[async_trait]
impl Step for Requests {
    fn name(&self) -> &'static str {
        "cert-manager-requests"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![kind("CertificateRequest")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![kind("Issuer"), kind("ClusterIssuer")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        name(changed) == text(own, "/spec/issuerRef/name")
    }

    async fn step(&self, work: &Work, request: &Arc<Json>) -> Result<Outcome, Status> {
        if going(request)
            || condition(request, "Ready").is_some_and(|c| c["reason"] == "Issued" || c["reason"] == "Failed")
        {
            return Ok(Outcome::Done);
        }
        if !is_true(request, "Approved") {
            let message = "Certificate request has been approved by cert-manager.io";
            let approved = Condition::new("Approved", true, "cert-manager.io", message);
            let status = work.with_conditions(request, false, &[approved]);
            work.put_status(request, status).await?;
            return Ok(Outcome::Done);
        }
        let created = Timestamp::parse(text(request, "/metadata/creationTimestamp")).unwrap_or_default();
        if let Some(left) = work.left(created, SIGNING) {
            return Ok(Outcome::After(left));
        }
        let issuer_name = text(request, "/spec/issuerRef/name");
        let of = issuer_kind(request);
        let home = if of == "ClusterIssuer" { "" } else { namespace(request) };
        let pending = |message: String| async move {
            let waiting = Condition::new("Ready", false, "Pending", &message);
            let status = work.with_conditions(request, false, &[waiting]);
            work.put_status(request, status).await.map(|()| Outcome::Done)
        };
        let Some(issuer) = work.api.get(&kind(of), home, issuer_name) else {
            let lower = of.to_lowercase();
            return pending(format!(
                "Referenced \"{of}\" not found: {lower}.cert-manager.io \"{issuer_name}\" not found"
            ))
            .await;
        };
        if !is_true(&issuer, "Ready") {
            return pending("Referenced issuer does not have a Ready status condition".to_owned()).await;
        }
        let csr = unbase64(text(request, "/spec/request")).unwrap_or_default();
        let is_ca = request.pointer("/spec/isCA").and_then(Json::as_bool).unwrap_or(false);
        let lasts = duration(text(request, "/spec/duration")).filter(|d| !d.is_zero()).unwrap_or(DEFAULT_DURATION);
        let key_secret = annotation(request, "cert-manager.io/private-key-secret-name");
        let key_secret = work.api.get(&core("Secret"), namespace(request), key_secret);
        let validity = Validity { from: work.clock.now(), lasts };
        let status = match issuers::sign(work, &issuer, &csr, is_ca, validity, key_secret) {
            Ok(issued) => {
                let message = "Certificate fetched from issuer successfully";
                let ready = Condition::new("Ready", true, "Issued", message);
                let mut status = work.with_conditions(request, false, &[ready]);
                status["certificate"] = json!(base64(issued.certificate));
                status["ca"] = json!(base64(issued.ca));
                status
            }
            Err(message) => {
                let failed = Condition::new("Ready", false, "Failed", &message);
                let mut status = work.with_conditions(request, false, &[failed]);
                status["failureTime"] = json!(work.clock.now().rfc3339());
                status
            }
        };
        work.put_status(request, status).await?;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        assert_eq!(duration("2160h"), Some(DEFAULT_DURATION));
        assert_eq!(duration("1h30m5s"), Some(Duration::from_secs(5405)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("5"), None);
        assert_eq!(duration("5x"), None);
    }
}
