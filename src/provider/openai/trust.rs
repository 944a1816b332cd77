//! TLS with a server of models: whom to trust, by which time, and what a failed handshake means.
//!
//! Nothing here can switch verification off.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::env::clock::{SharedClock, Timestamp};
use crate::platform::models::Presented;
use crate::platform::passage::Duplex;
use crate::resource::error::{ErrorClass, ProviderError};

/// A verified session.
pub(super) type Session = tokio_rustls::client::TlsStream<Box<dyn Duplex>>;

/// The run's own time, by which certificates are judged: the simulator's are made by simulated time.
struct ByClock(SharedClock);

impl std::fmt::Debug for ByClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ByClock({})", self.0.now())
    }
}

impl rustls::time_provider::TimeProvider for ByClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().seconds())))
    }
}

/// A TLS session whose certificate is for `name` and signed by `ca`, or by a system root without one.
pub(super) async fn secure(
    stream: Box<dyn Duplex>,
    name: &str,
    ca: Option<&str>,
    clock: SharedClock,
) -> Result<Session, ProviderError> {
    let invalid = |text: String| ProviderError::new(ErrorClass::Invalid, text);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider.clone(), Arc::new(ByClock(clock)))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?;
    let mut config = match ca {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
            let (added, _) = roots.add_parsable_certificates(certificates.unwrap_or_default());
            if added == 0 {
                return Err(invalid("the CA that is given is not a PEM certificate".to_owned())
                    .hint("a CA certificate begins with -----BEGIN CERTIFICATE-----"));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => {
            let verifier = rustls_platform_verifier::Verifier::new(provider)
                .map_err(|error| invalid(format!("the system's certificates cannot be read: {error}")))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
    };
    // vLLM itself offers no ALPN; a gateway does.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let server = ServerName::try_from(name.to_owned()).map_err(|_| invalid(format!("{name} is not a host name")))?;
    TlsConnector::from(Arc::new(config)).connect(server, stream).await.map_err(|error| untrusted(&error, name, ca))
}

/// What a failed handshake means: a wrong certificate stays wrong, a server that is not up may come.
fn untrusted(error: &std::io::Error, name: &str, ca: Option<&str>) -> ProviderError {
    let wrong = |text: String, hint: &str| ProviderError::new(ErrorClass::Invalid, text).hint(hint);
    let day = |time: &UnixTime| Timestamp(time.as_secs() * 1000).rfc3339();
    let signer = || match ca {
        Some(_) => wrong(
            format!("the certificate of {name} is signed by somebody else than the CA that is given"),
            "check which issuer signs the server's certificate; it may have been made anew",
        ),
        None => wrong(
            format!("the certificate of {name} is signed by a CA that this system does not know"),
            "give the server's CA: `stackwright output --raw ca_certificate` prints that of a stack",
        ),
    };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => signer(),
            // What webpki finds wrong with a root of another authority of the same name.
            CertificateError::Other(_) => signer(),
            CertificateError::Expired => {
                wrong(format!("the certificate of {name} has expired"), "see why it was not renewed")
            }
            CertificateError::ExpiredContext { not_after, .. } => wrong(
                format!("the certificate of {name} has expired, at {}", day(not_after)),
                "see why cert-manager has not renewed it",
            ),
            CertificateError::NotValidYet => {
                wrong(format!("the certificate of {name} is not valid yet"), "check the clock of this machine")
            }
            CertificateError::NotValidYetContext { not_before, .. } => wrong(
                format!("the certificate of {name} is not valid before {}", day(not_before)),
                "check the clock of this machine",
            ),
            CertificateError::NotValidForName => wrong(
                format!("the server's certificate is not for {name}"),
                "the certificate must list the host name or address that clients use",
            ),
            CertificateError::NotValidForNameContext { presented, .. } => wrong(
                format!("the server's certificate is not for {name}, but for {}", presented.join(", ")),
                "the certificate must list the host name or address that clients use",
            ),
            other => {
                wrong(format!("the certificate of {name} is not valid: {other:?}"), "see the server's certificate")
            }
        },
        Some(rustls::Error::InvalidMessage(_)) => {
            wrong(format!("{name} answers without TLS on this port"), "use http:// for it, or the port that serves TLS")
        }
        _ => ProviderError::new(ErrorClass::Unavailable, format!("{name} does not speak TLS yet: {error}"))
            .hint("a gateway without a certificate hangs up: see whether its Secret is there"),
    }
}

/// The first certificate of a session's chain.
pub(super) fn presented(session: &Session) -> Result<Presented, ProviderError> {
    let unreadable = || ProviderError::new(ErrorClass::Invalid, "the server's certificate cannot be read");
    let chain = session.get_ref().1.peer_certificates().unwrap_or_default();
    let first = chain.first().ok_or_else(unreadable)?;
    let (_, certificate) = X509Certificate::from_der(first).map_err(|_| unreadable())?;
    let moment = |time: x509_parser::time::ASN1Time| Timestamp(u64::try_from(time.timestamp()).unwrap_or(0) * 1000);
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter().filter_map(shown).collect()).unwrap_or_default();
    Ok(Presented {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names,
        begins: moment(certificate.validity().not_before),
        ends: moment(certificate.validity().not_after),
        chain: chain.len(),
    })
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(std::net::Ipv4Addr::from(four).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|all| std::net::Ipv6Addr::from(all).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_certificates_stay_wrong_and_early_servers_come() {
        let certificate = |reason| std::io::Error::other(rustls::Error::InvalidCertificate(reason));
        let wrong = untrusted(&certificate(CertificateError::UnknownIssuer), "n", Some("ca"));
        assert_eq!(wrong.class, ErrorClass::Invalid);
        assert!(wrong.hint.is_some());
        let early = untrusted(&std::io::Error::from(std::io::ErrorKind::UnexpectedEof), "n", None);
        assert_eq!(early.class, ErrorClass::Unavailable);
    }
}
