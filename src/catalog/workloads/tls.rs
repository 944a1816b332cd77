//! The hop from the gateway to the copies: who vouches for whom.
//!
//! KServe signs a copy's certificate with itself, which encrypts and does not authenticate. Where the stack has an
//! authority, cert-manager issues one in its place, for copies and scheduler alike, and the gateway checks it. Red
//! Hat's build does the same by itself.

use serde_json::{Value as Json, json};

use crate::address::Address;
use crate::catalog::addons::CA_ISSUER;
use crate::catalog::expansion::{Expansion, mistake};
use crate::catalog::gateway;
use crate::catalog::text::sha256_hex;
use crate::catalog::workloads::{Plan, network, routing};
use crate::stack::GatewayTls;
use crate::stack::model::{Distribution, Mtls, Routing};

/// The volume of KServe's presets with the certificate of copies and scheduler.
const VOLUME: &str = "tls-certs";

/// What the hop is.
pub(super) struct Hop {
    /// The Secret with the certificate, where the stack's authority issues it.
    secret: Option<String>,
    /// The Certificate.
    pub(super) certificate: Option<Address>,
}

impl Hop {
    /// The Secret with the certificate and that of its authority, where the stack's authority issues it.
    pub(super) fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// The volume that takes the place of KServe's certificate.
    pub(super) fn volume(&self) -> Option<Json> {
        let secret = self.secret.as_ref()?;
        Some(json!({"name": VOLUME, "secret": {"secretName": secret}}))
    }
}

fn service(plan: &Plan<'_>) -> String {
    format!("{}-kserve-workload-svc", plan.name)
}

fn picker(plan: &Plan<'_>) -> String {
    format!("{}-epp-service", plan.name)
}

/// The Service that Istio makes of the pool: its name holds a digest of the pool's.
fn shadow(plan: &Plan<'_>) -> String {
    let pool = format!("{}-inference-pool", plan.name);
    let digest = sha256_hex(&pool);
    format!("{pool}-ip-{}", &digest[..8]).chars().take(63).collect()
}

fn host(plan: &Plan<'_>, service: &str) -> String {
    format!("{service}.{}.svc.cluster.local", plan.namespace)
}

/// Whether the stack's own authority vouches for the copies.
fn is_vouched(expansion: &Expansion<'_>, plan: &Plan<'_>) -> bool {
    let issued = expansion
        .stack
        .gateway
        .as_ref()
        .is_some_and(|gateway| gateway.tls() == GatewayTls::Issued && gateway.class() == "istio");
    let strict = plan.workload.mtls() == Mtls::Strict;
    let ours = plan.distribution == Distribution::Upstream && !expansion.is_rhaii("kserve");
    issued
        && ours
        && !strict
        && expansion.addon("cert-manager").is_some()
        && (plan.workload.routing() != Routing::Direct || plan.workload.monitoring.is_some())
}

/// The name by which the copies are known, all of them together.
pub(super) fn copies(plan: &Plan<'_>) -> String {
    host(plan, &service(plan))
}

/// Mistakes about mutual TLS.
pub(super) fn check(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let Some(mtls) = plan.workload.mtls.as_ref().filter(|mtls| mtls.value == Mtls::Strict) else { return };
    let class = expansion.stack.gateway.as_ref().map_or("istio", |gateway| gateway.class());
    let why = if expansion.is_rhaii("kserve") || plan.distribution == Distribution::Rhaii {
        Some((
            "Red Hat's KServe has the copies speak TLS themselves",
            "remove `mtls`: the gateway checks their certificates",
        ))
    } else if class != "istio" {
        Some(("a gateway of another class is no part of the mesh", "remove `class` in [gateway], or `mtls`"))
    } else if routing::is_scheduled(plan.workload) {
        let why = "the scheduler reads the copies' metrics at their own addresses, which a strict mesh refuses";
        Some((why, "use routing = \"round-robin\", or remove `mtls`"))
    } else {
        None
    };
    if let Some((why, hint)) = why {
        let what = "strict mTLS cannot work here";
        expansion.report(mistake(what, &mtls.span, why).hint(hint));
    }
}

/// Adds the certificate.
pub(super) fn add_certificate(expansion: &mut Expansion<'_>, plan: &Plan<'_>) -> Hop {
    if !is_vouched(expansion, plan) {
        return Hop { secret: None, certificate: None };
    }
    // `localhost` for whoever looks at one copy through a port-forwarding.
    let mut names = vec!["localhost".to_owned()];
    let mut services = vec![service(plan)];
    services.extend(routing::is_scheduled(plan.workload).then(|| picker(plan)));
    for service in services {
        names.push(format!("{service}.{}.svc", plan.namespace));
        names.push(host(plan, &service));
    }
    let secret = format!("{}-serving-tls", plan.name);
    let certificate = expansion.own(
        &plan.component,
        &json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": format!("{}-serving", plan.name), "namespace": plan.namespace},
            "spec": {
                "secretName": secret,
                "dnsNames": names,
                "privateKey": {"algorithm": "ECDSA", "size": 256},
                "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": CA_ISSUER},
            },
        }),
    );
    Hop { secret: Some(secret), certificate: Some(certificate) }
}

/// Adds the rules by which the gateway speaks TLS to copies and scheduler.
pub(super) fn add_rules(expansion: &mut Expansion<'_>, plan: &Plan<'_>, hop: &Hop) {
    let trust = gateway::certificate(expansion);
    let strict = plan.workload.mtls() == Mtls::Strict;
    let tls = |host: &str| match &hop.secret {
        // Both ends show certificates of the mesh.
        _ if strict => json!({"mode": "ISTIO_MUTUAL"}),
        // The gateway's own certificate comes with that of its authority, which is the copies' as well.
        Some(_) => json!({"mode": "SIMPLE", "credentialName": trust, "subjectAltNames": [host]}),
        None => json!({"mode": "SIMPLE", "insecureSkipVerify": true}),
    };
    let rule = |name: String, host: &str, policy: Json| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": name, "namespace": plan.namespace},
            "spec": {"host": host, "trafficPolicy": policy},
        })
    };
    let copies = host(plan, &service(plan));
    let mut policy = json!({"tls": tls(&copies)});
    if plan.workload.routing() == Routing::RoundRobin {
        policy["loadBalancer"] = json!({"simple": "ROUND_ROBIN"});
    }
    expansion.own(&plan.component, &rule(service(plan), &copies, policy));
    if strict {
        expansion.own(
            &plan.component,
            &json!({
                "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
                "metadata": {"name": plan.name, "namespace": plan.namespace},
                "spec": {
                    "selector": {"matchLabels": network::labels(plan, network::COPIES)},
                    "mtls": {"mode": "STRICT"},
                },
            }),
        );
    }
    if routing::is_scheduled(plan.workload) {
        let picker = host(plan, &picker(plan));
        expansion
            .own(&plan.component, &rule(format!("{}-scheduler", plan.name), &picker, json!({"tls": tls(&picker)})));
        // Copies behind a pool are reached by another name and show the same certificate.
        let shadow = host(plan, &shadow(plan));
        let policy = json!({"tls": tls(&copies)});
        expansion.own(&plan.component, &rule(format!("{}-pool", plan.name), &shadow, policy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_known_by_a_digest_of_its_name() {
        // As Istio's own tests have it: the first eight hexadecimal digits of SHA-256.
        assert_eq!(&sha256_hex("abc")[..8], "ba7816bf");
    }
}
