//! A cluster's certificate authority and the certificate of its API server, kept in the world.
//!
//! Clients check validity by the real clock and the simulator has its own, so both certificates are valid for a
//! century around either.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rcgen::{SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio_rustls::TlsAcceptor;

use crate::sim::world::World;

/// Section of authorities, keyed by cluster id.
const SECTION: &str = "sim/authorities";

/// The authority of one cluster.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Its certificate, PEM.
    pub ca_pem: String,
    certificate: String,
    key: String,
}

impl Authority {
    /// Reads the authority of a cluster from the world, or makes it. `service` is the address of the
    /// `kubernetes` Service.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn of(world: &World, cluster_id: &str, common_name: &str, service: &str) -> Result<Authority, String> {
        if let Some(kept) = world.get(SECTION, cluster_id) {
            let text = |field: &str| kept[field].as_str().unwrap_or_default().to_owned();
            return Ok(Authority { ca_pem: text("ca"), certificate: text("certificate"), key: text("key") });
        }
        let made = make(common_name, service).map_err(|error| error.to_string())?;
        let document = json!({"ca": made.ca_pem, "certificate": made.certificate, "key": made.key});
        world.put(SECTION, cluster_id, document);
        Ok(made)
    }

    /// Forgets a cluster's authority.
    pub fn forget(world: &World, cluster_id: &str) {
        world.remove(SECTION, cluster_id);
    }

    /// TLS as the API server, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When the kept certificate or key is damaged.
    pub fn acceptor(&self) -> Result<TlsAcceptor, String> {
        tls(&self.certificate, &self.key)
    }
}

/// Whose certificates everybody in a simulated world trusts, as the real one trusts Google's: it vouches for the
/// names of control planes.
#[derive(Clone, Debug)]
pub struct PublicAuthority {
    /// Its certificate, PEM.
    pub ca_pem: String,
    key: String,
}

/// The key of the public authority among those of clusters.
const PUBLIC: &str = "public";

impl PublicAuthority {
    /// The authority of a world; made at first use.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn of(world: &World) -> Result<PublicAuthority, String> {
        if let Some(kept) = world.get(SECTION, PUBLIC) {
            let text = |field: &str| kept[field].as_str().unwrap_or_default().to_owned();
            return Ok(PublicAuthority { ca_pem: text("ca"), key: text("key") });
        }
        let make = || {
            let key = KeyPair::generate()?;
            let ca_pem = root("Simulated public authority")?.self_signed(&key)?.pem();
            Ok(PublicAuthority { ca_pem, key: key.serialize_pem() })
        };
        let made = make().map_err(|error: rcgen::Error| error.to_string())?;
        world.put(SECTION, PUBLIC, json!({"ca": made.ca_pem, "key": made.key}));
        Ok(made)
    }

    /// TLS as the server of this name.
    ///
    /// # Errors
    /// When the kept key is damaged.
    pub fn acceptor(&self, name: &str) -> Result<TlsAcceptor, String> {
        let make = || {
            let issuer = Issuer::new(root("Simulated public authority")?, KeyPair::from_pem(&self.key)?);
            let mut leaf = CertificateParams::new(vec![name.to_owned()])?;
            for_a_century(&mut leaf);
            leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
            leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let key = KeyPair::generate()?;
            Ok((leaf.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
        };
        let (certificate, key) = make().map_err(|error: rcgen::Error| error.to_string())?;
        tls(&certificate, &key)
    }
}

/// TLS with this certificate and key, HTTP/2 and HTTP/1.1.
fn tls(certificate: &str, key: &str) -> Result<TlsAcceptor, String> {
    let bad = |error: rustls::pki_types::pem::Error| error.to_string();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(bad)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain.map_err(bad)?, key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn for_a_century(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
}

/// An authority's own certificate.
fn root(common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::new())?;
    for_a_century(&mut ca);
    ca.distinguished_name.push(DnType::CommonName, common_name);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    Ok(ca)
}

fn make(common_name: &str, service: &str) -> Result<Authority, rcgen::Error> {
    let ca = root(common_name)?;
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca, ca_key);

    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let mut leaf = CertificateParams::new(names.map(str::to_owned).to_vec())?;
    for_a_century(&mut leaf);
    leaf.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    for address in ["127.0.0.1", service] {
        if let Ok(address) = address.parse() {
            leaf.subject_alt_names.push(SanType::IpAddress(address));
        }
    }
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &issuer)?.pem();
    Ok(Authority { ca_pem, certificate, key: key.serialize_pem() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_authority_vouches_for_names() {
        let world = World::in_memory();
        let first = PublicAuthority::of(&world).expect("made");
        assert_eq!(PublicAuthority::of(&world).expect("read").ca_pem, first.ca_pem);
        assert!(first.acceptor("gke-1.europe-west4-a.gke.goog").is_ok());
    }

    #[test]
    fn an_authority_is_made_once() {
        let world = World::in_memory();
        let first = Authority::of(&world, "id", "ca", "34.118.224.1").expect("made");
        let second = Authority::of(&world, "id", "ca", "34.118.224.1").expect("read");
        assert_eq!(first.ca_pem, second.ca_pem);
        assert!(second.acceptor().is_ok());
        let (_, pem) = x509_parser::pem::parse_x509_pem(first.certificate.as_bytes()).expect("pem");
        let certificate = pem.parse_x509().expect("certificate");
        let names = certificate.subject_alternative_name().expect("extension").expect("names");
        assert!(format!("{:?}", names.value).contains("IPAddress"), "{:?}", names.value);
    }
}
