//! Delivers the API server's webhook calls to the programs behind Services.
//!
//! Follows the way of a real call: Service, port, a ready endpoint, a program that listens, its
//! certificate; and fails in Kubernetes' words where the way ends.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use serde_json::Value as Json;

use super::faults::Faults;
use super::fields;
use super::programs::{Instance, Programs};
use super::{Surroundings, programs::Program};
use crate::env::clock::{SharedClock, Timestamp};
use crate::sim::kube::api::{Api, Gvk, ServiceReference, Webhooks};

/// A server answered 404.
pub const NO_SUCH_PATH: &str = "the server could not find the requested resource";

/// The Services of one cluster as webhook backends.
pub struct ServiceWebhooks {
    /// Set once the API server exists, which itself needs this. Weak, because the server owns us.
    api: OnceLock<Weak<dyn Api>>,
    clock: SharedClock,
    programs: Programs,
    faults: Arc<dyn Faults>,
}

impl ServiceWebhooks {
    /// Backends of a cluster whose API server is told with [`ServiceWebhooks::serve`].
    pub fn new(clock: SharedClock, programs: Programs, faults: Arc<dyn Faults>) -> Self {
        ServiceWebhooks { api: OnceLock::new(), clock, programs, faults }
    }

    /// Names the API server, whose Services and Pods are looked up. Only the first call counts.
    pub fn serve(&self, api: &Arc<dyn Api>) {
        self.api.set(Arc::downgrade(api)).ok();
    }

    async fn deliver(
        &self,
        service: &ServiceReference,
        ca_bundle: &str,
        review: &Json,
        limit: Duration,
    ) -> Result<Json, String> {
        let api = self.api.get().and_then(Weak::upgrade).ok_or("connection refused")?;
        if self.faults.webhook_unreachable(&service.namespace, &service.name) {
            self.clock.sleep(limit).await;
            return Err("context deadline exceeded".to_owned());
        }
        if let Some(delay) = self.faults.webhook_delay(&service.namespace, &service.name) {
            self.clock.sleep(delay.min(limit)).await;
            if delay >= limit {
                return Err("context deadline exceeded".to_owned());
            }
        }
        let (instance, program, port) = self.backend(&*api, service)?;
        let around = Surroundings { api: api.impersonate(&instance.user()), clock: self.clock.clone() };
        let presented = program.certificate(&instance, &around, port);
        let Some(chain) = presented else {
            return Err("http: server gave HTTP response to HTTPS client".to_owned());
        };
        let host = format!("{}.{}.svc", service.name, service.namespace);
        verify(&chain, ca_bundle, &host, self.clock.now())
            .map_err(|why| format!("tls: failed to verify certificate: {why}"))?;
        let path = service.path.split('?').next().unwrap_or_default();
        program.webhook(&instance, &around, path, review).await
    }

    /// The program behind a Service's port.
    fn backend(
        &self,
        api: &dyn Api,
        reference: &ServiceReference,
    ) -> Result<(Instance, Arc<dyn Program>, u16), String> {
        let (namespace, name) = (&reference.namespace, &reference.name);
        let service = api
            .get(&Gvk::new("", "v1", "Service"), namespace, name)
            .ok_or_else(|| format!("service \"{name}\" not found"))?;
        let ports = fields::list(&service, "/spec/ports");
        let port = ports
            .iter()
            .find(|p| p["port"] == reference.port)
            .ok_or_else(|| format!("no service port {} found for service \"{name}\"", reference.port))?;
        let port_name = fields::text(port, "/name");
        for slice in api.list(&Gvk::new("discovery.k8s.io", "v1", "EndpointSlice"), Some(namespace)) {
            if fields::label(&slice, "kubernetes.io/service-name") != name {
                continue;
            }
            let Some(target) = fields::list(&slice, "/ports").iter().find(|p| fields::text(p, "/name") == port_name)
            else {
                continue;
            };
            let target = fields::number(target, "/port").and_then(|p| u16::try_from(p).ok()).unwrap_or_default();
            for endpoint in fields::list(&slice, "/endpoints") {
                if fields::flag(endpoint, "/conditions/ready") {
                    return self.listener(api, namespace, endpoint, target);
                }
            }
        }
        Err(format!("no endpoints available for service \"{name}\""))
    }

    fn listener(
        &self,
        api: &dyn Api,
        namespace: &str,
        endpoint: &Json,
        port: u16,
    ) -> Result<(Instance, Arc<dyn Program>, u16), String> {
        let address = fields::text(endpoint, "/addresses/0");
        let refused = || format!("dial tcp {}: connect: connection refused", socket(address, port));
        let pod = fields::text(endpoint, "/targetRef/name");
        let pod = api.get(&Gvk::new("", "v1", "Pod"), namespace, pod).ok_or_else(refused)?;
        let containers =
            fields::list(&pod, "/spec/containers").iter().chain(fields::list(&pod, "/spec/initContainers"));
        for container in containers {
            let Some(instance) = Instance::of(&pod, fields::text(container, "/name")) else { continue };
            let program = self.programs.of(&instance.image);
            if program.listens(&instance, port) && self.serves(api, &instance, &*program) {
                return Ok((instance, program, port));
            }
        }
        Err(refused())
    }

    /// Whether the process has come so far that it accepts connections.
    fn serves(&self, api: &dyn Api, instance: &Instance, program: &dyn Program) -> bool {
        let Some(started) = instance.started_at() else { return false };
        // A probed program that is ready has served before; an unprobed one is ready from its first moment.
        if fields::flag(instance.status(), "/ready") && instance.container.get("readinessProbe").is_some() {
            return true;
        }
        let around = Surroundings { api: api.impersonate(&instance.user()), clock: self.clock.clone() };
        match program.start(instance, &around) {
            super::programs::Start::Serves(after) => self.clock.now() >= started.plus(after),
            _ => false,
        }
    }
}

#[async_trait]
impl Webhooks for ServiceWebhooks {
    async fn call(&self, service: &ServiceReference, ca_bundle: &str, review: Json) -> Result<Json, String> {
        // The longest time-out that a webhook may have; the API server gives up earlier by its own count.
        self.deliver(service, ca_bundle, &review, Duration::from_secs(30)).await
    }
}

fn socket(address: &str, port: u16) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{address}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

/// Verifies a presented chain for a host name, as a Go client does.
///
/// # Errors
/// `x509: …` in Go's words.
pub fn verify(chain: &str, ca_bundle: &str, host: &str, now: Timestamp) -> Result<(), String> {
    const UNKNOWN: &str = "x509: certificate signed by unknown authority";
    let certificates = |pem: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
    };
    let presented = certificates(chain);
    let trusted = certificates(ca_bundle);
    let (leaf, between) = presented.split_first().ok_or("x509: malformed certificate")?;
    if trusted.contains(leaf) {
        // Go trusts a certificate that is itself in the pool, authority or not.
        return named(leaf, host);
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    if roots.is_empty() {
        return Err(UNKNOWN.to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|e| e.to_string())?;
    let server = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let time = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    match verifier.verify_server_cert(leaf, between, &server, &[], time) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(error)) => Err(match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                return named(leaf, host);
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("x509: certificate has expired or is not yet valid: current time {now} is after its end")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("x509: certificate has expired or is not yet valid: current time {now} is before its start")
            }
            _ => UNKNOWN.to_owned(),
        }),
        Err(error) => Err(format!("x509: {error}")),
    }
}

/// Whether a certificate names a host.
fn named(leaf: &CertificateDer<'_>, host: &str) -> Result<(), String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| "x509: malformed certificate")?;
    let names: Vec<String> = match parsed.subject_alternative_name() {
        Ok(Some(extension)) => extension
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let matches = |name: &String| match name.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(rest)),
        None => name.eq_ignore_ascii_case(host),
    };
    if names.iter().any(matches) {
        Ok(())
    } else if names.is_empty() {
        Err(format!("x509: certificate is not valid for any names, but wanted to match {host}"))
    } else {
        Err(format!("x509: certificate is valid for {}, not {host}", names.join(", ")))
    }
}
