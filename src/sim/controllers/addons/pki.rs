//! Real certificates: keys, requests, issuing and checking them.
//!
//! ECDSA P-256 throughout, because a simulated cluster issues dozens and RSA keys take seconds. Knows nothing
//! of Kubernetes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::env::clock::Timestamp;

/// What a certificate should say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Subject's common name, may be empty.
    pub common_name: String,
    /// Subject's organisations.
    pub organizations: Vec<String>,
    /// Names it is valid for.
    pub dns_names: Vec<String>,
    /// Addresses it is valid for.
    pub ip_addresses: Vec<IpAddr>,
    /// Whether it may sign others.
    pub is_ca: bool,
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: Timestamp,
    /// How long from there.
    pub lasts: Duration,
}

/// Something was not a certificate, a key or a request.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl From<rcgen::Error> for Malformed {
    fn from(error: rcgen::Error) -> Self {
        Malformed(error.to_string())
    }
}

/// The cryptography all TLS of the simulator uses.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A new private key, in PEM.
///
/// # Errors
/// When the operating system has no randomness.
pub fn new_key() -> Result<String, Malformed> {
    Ok(KeyPair::generate()?.serialize_pem())
}

fn params(wanted: &Wanted) -> Result<CertificateParams, Malformed> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    for organization in &wanted.organizations {
        subject.push(DnType::OrganizationName, DnValue::Utf8String(organization.clone()));
    }
    if !wanted.common_name.is_empty() {
        subject.push(DnType::CommonName, DnValue::Utf8String(wanted.common_name.clone()));
    }
    params.distinguished_name = subject;
    for dns in &wanted.dns_names {
        params.subject_alt_names.push(SanType::DnsName(dns.as_str().try_into()?));
    }
    params.subject_alt_names.extend(wanted.ip_addresses.iter().map(|ip| SanType::IpAddress(*ip)));
    Ok(params)
}

fn authorise(params: &mut CertificateParams, is_ca: bool, validity: Validity) {
    params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages.clear();
    if is_ca {
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    } else {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        params.use_authority_key_identifier_extension = true;
    }
    let epoch = date_time_ymd(1970, 1, 1);
    let from = Duration::from_secs(validity.from.seconds());
    params.not_before = epoch + from;
    params.not_after = epoch + from + validity.lasts;
}

/// A certificate signed with its own key, in PEM.
///
/// # Errors
/// When the key is not one or a name cannot stand in a certificate.
pub fn self_signed(wanted: &Wanted, validity: Validity, key: &str) -> Result<String, Malformed> {
    let mut params = params(wanted)?;
    authorise(&mut params, wanted.is_ca, validity);
    Ok(params.self_signed(&KeyPair::from_pem(key)?)?.pem())
}

/// A certificate for `key`, signed by a CA, in PEM.
///
/// # Errors
/// When something is not what it should be.
pub fn signed(wanted: &Wanted, validity: Validity, key: &str, ca: &str, ca_key: &str) -> Result<String, Malformed> {
    sign_request(&request(wanted, key)?, wanted.is_ca, validity, ca, ca_key)
}

/// A certificate signing request, in PEM.
///
/// # Errors
/// When the key is not one or a name cannot stand in a certificate.
pub fn request(wanted: &Wanted, key: &str) -> Result<String, Malformed> {
    Ok(params(wanted)?.serialize_request(&KeyPair::from_pem(key)?)?.pem()?)
}

/// Grants a request: subject and names from the request, powers and validity from the issuer.
///
/// # Errors
/// When something is not what it should be.
pub fn sign_request(
    request: &str,
    is_ca: bool,
    validity: Validity,
    ca: &str,
    ca_key: &str,
) -> Result<String, Malformed> {
    let mut request = CertificateSigningRequestParams::from_pem(request)?;
    authorise(&mut request.params, is_ca, validity);
    let issuer = Issuer::from_ca_cert_pem(ca, KeyPair::from_pem(ca_key)?)?;
    Ok(request.signed_by(&issuer)?.pem())
}

/// What a request asks for.
///
/// # Errors
/// When it is not a request or its signature is wrong.
pub fn read_request(request: &str) -> Result<Wanted, Malformed> {
    let params = CertificateSigningRequestParams::from_pem(request)?.params;
    let mut wanted = Wanted { is_ca: matches!(params.is_ca, IsCa::Ca(_)), ..Wanted::default() };
    for (kind, value) in params.distinguished_name.iter() {
        let DnValue::Utf8String(value) = value else { continue };
        match kind {
            DnType::CommonName => wanted.common_name.clone_from(value),
            DnType::OrganizationName => wanted.organizations.push(value.clone()),
            _ => {}
        }
    }
    for name in params.subject_alt_names {
        match name {
            SanType::DnsName(name) => wanted.dns_names.push(name.to_string()),
            SanType::IpAddress(ip) => wanted.ip_addresses.push(ip),
            _ => {}
        }
    }
    Ok(wanted)
}

/// First and last moment of the first certificate in a PEM text.
pub fn validity(pem: &str) -> Option<(Timestamp, Timestamp)> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    let validity = certificate.validity();
    let at = |seconds: i64| Timestamp(u64::try_from(seconds).unwrap_or(0) * 1000);
    Some((at(validity.not_before.timestamp()), at(validity.not_after.timestamp())))
}

/// The names and addresses the first certificate in a PEM text is valid for, addresses as text.
pub fn names(pem: &str) -> Vec<String> {
    let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return Vec::new() };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&der) else { return Vec::new() };
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &x509_parser::extensions::GeneralName<'_>| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
        x509_parser::extensions::GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(IpAddr::from(four).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|sixteen| IpAddr::from(sixteen).to_string()),
        },
        _ => None,
    };
    alternatives.value.general_names.iter().filter_map(name).collect()
}

/// All certificates of a PEM text.
pub fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
}

/// The private key of a PEM text.
pub fn private_key(pem: &str) -> Option<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()
}

/// Whether a key belongs to the first certificate of a PEM text.
pub fn matches_key(pem: &str, key: &str) -> bool {
    let Ok(key) = KeyPair::from_pem(key) else { return false };
    let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
    x509_parser::parse_x509_certificate(&der)
        .is_ok_and(|(_, c)| c.public_key().subject_public_key.data.as_ref() == key.public_key_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::controllers::webhooks::verify;

    const DAY: Duration = Duration::from_secs(86_400);

    fn wanted(name: &str, is_ca: bool) -> Wanted {
        Wanted { common_name: name.into(), dns_names: vec![name.into()], is_ca, ..Wanted::default() }
    }

    #[test]
    fn a_request_is_granted_and_checked() {
        let now = Timestamp(1_795_000_000_000);
        let validity = Validity { from: now, lasts: DAY * 90 };
        let ca_key = new_key().expect("key");
        let ca = self_signed(&wanted("ca", true), validity, &ca_key).expect("ca");
        let key = new_key().expect("key");
        let mut leaf = wanted("a.b.svc", false);
        leaf.ip_addresses.push([10, 0, 0, 7].into());
        let request = request(&leaf, &key).expect("request");
        assert_eq!(read_request(&request).expect("read"), leaf);
        let certificate = sign_request(&request, false, validity, &ca, &ca_key).expect("sign");
        assert!(matches_key(&certificate, &key));
        assert!(!matches_key(&certificate, &ca_key));
        assert_eq!(names(&certificate), ["a.b.svc", "10.0.0.7"]);
        assert_eq!(super::validity(&certificate), Some((now, now.plus(DAY * 90))));
        assert_eq!(verify(&certificate, &ca, "a.b.svc", now), Ok(()));
        let late = verify(&certificate, &ca, "a.b.svc", now.plus(DAY * 91)).expect_err("time");
        assert!(late.contains("expired"), "{late}");
        let stranger = self_signed(&wanted("ca", true), validity, &key).expect("stranger");
        assert!(verify(&certificate, &stranger, "a.b.svc", now).expect_err("authority").contains("unknown authority"));
    }

    #[test]
    fn a_self_signed_server_is_trusted_by_those_who_have_its_certificate() {
        let now = Timestamp(1_795_000_000_000);
        let key = new_key().expect("key");
        let certificate = self_signed(&wanted("x.svc", false), Validity { from: now, lasts: DAY }, &key).expect("sign");
        assert_eq!(verify(&certificate, &certificate, "x.svc", now), Ok(()));
    }
}
