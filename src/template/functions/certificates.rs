//! Keys and certificates, made of the rendering's key and the call site. Keys are P-256 (or Ed25519 where
//! asked for) and signatures deterministic, so that the same plan comes out twice. RSA and DSA keys are
//! not made; certificates may be signed with an RSA key that the chart was given.

use std::net::IpAddr;
use std::rc::Rc;

use base64::Engine as _;
use p256::ecdsa::signature::Signer as _;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::{DecodePrivateKey as _, LineEnding};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};

use super::dates::now;
use super::random::Stream;
use super::{Call, Function, T, to_text};
use crate::template::data::{Data, Object};
use crate::template::fault::{Fault, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("genPrivateKey", &[T::Text], private_key),
    Function::new("genCA", &[T::Text, T::Int], |c| authority(c, None)),
    Function::new("genCAWithKey", &[T::Text, T::Int, T::Text], |c| authority(c, Some(2))),
    Function::new("genSelfSignedCert", &[T::Text, T::Any, T::Any, T::Int], |c| signed(c, None, None)),
    Function::new("genSelfSignedCertWithKey", &[T::Text, T::Any, T::Any, T::Int, T::Text], |c| {
        signed(c, None, Some(4))
    }),
    Function::new("genSignedCert", &[T::Text, T::Any, T::Any, T::Int, T::Certificate], |c| signed(c, Some(4), None)),
    Function::new("genSignedCertWithKey", &[T::Text, T::Any, T::Any, T::Int, T::Certificate, T::Text], |c| {
        signed(c, Some(4), Some(5))
    }),
    Function::new("buildCustomCert", &[T::Text, T::Text], custom),
];

/// A certificate and its key, both PEM.
struct Certificate {
    cert: String,
    key: String,
}

impl Object for Certificate {
    fn type_name(&self) -> &'static str {
        T::Certificate.name()
    }

    fn field(&self, name: &str) -> Option<Data> {
        match name {
            "Cert" => Some(Data::from(self.cert.as_str())),
            "Key" => Some(Data::from(self.key.as_str())),
            _ => None,
        }
    }

    fn plain(&self) -> Data {
        Data::map([("Cert", Data::from(self.cert.as_str())), ("Key", Data::from(self.key.as_str()))])
    }
}

/// A key that signs.
enum Key {
    P256 {
        secret: p256::ecdsa::SigningKey,
        public: Vec<u8>,
    },
    /// RSA and Ed25519: their signatures are deterministic by themselves.
    Other(Box<rcgen::KeyPair>),
}

impl Key {
    fn p256(secret: &p256::SecretKey) -> Self {
        let public = secret.public_key().to_encoded_point(false).as_bytes().to_vec();
        Key::P256 { secret: p256::ecdsa::SigningKey::from(secret), public }
    }

    fn read(pem: &str) -> Result<Self, Fault> {
        if let Ok(secret) = p256::SecretKey::from_sec1_pem(pem)
            .or_else(|_| p256::SecretKey::from_pkcs8_pem(pem).map_err(|_| p256::elliptic_curve::Error))
        {
            return Ok(Key::p256(&secret));
        }
        // PKCS #1 differs from PKCS #8 in a header only.
        let pem = match pem.contains("BEGIN RSA PRIVATE KEY") {
            true => rsa_pkcs8(pem).ok_or_else(|| Fault::new("error parsing private key: it is not PEM"))?,
            false => pem.to_owned(),
        };
        let pair = rcgen::KeyPair::from_pem(&pem).map_err(|e| Fault::new(format!("error parsing private key: {e}")))?;
        if std::ptr::eq(pair.algorithm(), &rcgen::PKCS_ECDSA_P384_SHA384) {
            return Err(Fault::new(
                "keys on curves other than P-256 cannot sign here: their signatures would differ each time",
            ));
        }
        Ok(Key::Other(Box::new(pair)))
    }
}

/// A DER element with its header.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..128 => out.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let bytes = &bytes[bytes.iter().take_while(|b| **b == 0).count()..];
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = super::encoding::base64(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn rsa_pkcs8(text: &str) -> Option<String> {
    let body = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect::<String>();
    let inner = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    let algorithm = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let content = [&[0x02, 0x01, 0x00], &algorithm[..], &der(0x04, &inner)].concat();
    Some(pem("PRIVATE KEY", &der(0x30, &content)))
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Key::P256 { public, .. } => public,
            Key::Other(pair) => pair.der_bytes(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Key::P256 { .. } => &rcgen::PKCS_ECDSA_P256_SHA256,
            Key::Other(pair) => pair.algorithm(),
        }
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Key::P256 { secret, .. } => {
                let signature: p256::ecdsa::Signature = secret.sign(message);
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Key::Other(pair) => pair.sign(message),
        }
    }
}

/// A new P-256 key as PEM.
fn fresh(c: &Call<'_, '_>) -> Result<String, Fault> {
    c.step(20_000)?;
    let mut stream = Stream::new(c)?;
    loop {
        // One draw in 2^32 is not a valid key.
        if let Ok(secret) = p256::SecretKey::from_slice(&stream.bytes(32)) {
            let text = secret.to_sec1_pem(LineEnding::LF).map_err(|e| Fault::new(e.to_string()))?;
            return Ok(text.to_string());
        }
    }
}

fn private_key(c: &Call<'_, '_>) -> Outcome {
    match c.text(0).as_ref() {
        "ecdsa" => Ok(Data::from(fresh(c)?)),
        "ed25519" => {
            let header =
                [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
            Ok(Data::from(pem("PRIVATE KEY", &[&header[..], &Stream::new(c)?.bytes(32)].concat())))
        }
        kind @ ("" | "rsa" | "dsa") => {
            let kind = if kind.is_empty() { "rsa" } else { kind };
            Err(Fault::new(format!(
                "{kind} keys are not made here, because they cannot be made the same way twice; \
                 give the chart a key of your own, or one of type ecdsa or ed25519"
            )))
        }
        kind => Ok(Data::from(format!("Unknown type {kind}"))),
    }
}

/// The key of a certificate: given, or new.
fn key_for(c: &Call<'_, '_>, given: Option<usize>) -> Result<(Key, String), Fault> {
    let text = match given {
        Some(index) => c.text(index).into_owned(),
        None => fresh(c)?,
    };
    Ok((Key::read(&text)?, text))
}

fn params(c: &Call<'_, '_>, days: i64) -> Result<CertificateParams, Fault> {
    let fail = |e: rcgen::Error| Fault::new(e.to_string());
    let mut params = CertificateParams::new(Vec::new()).map_err(fail)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, c.text(0).as_ref());
    params.distinguished_name = name;
    let date = |seconds: i64| {
        let text = crate::template::moment::Moment::utc(seconds, 0).format("2006 1 2");
        let numbers = text.split(' ').map(|n| n.parse::<i32>().unwrap_or(1)).collect::<Vec<_>>();
        rcgen::date_time_ymd(numbers[0], numbers[1] as u8, numbers[2] as u8)
    };
    let start = now(c).seconds;
    params.not_before = date(start);
    params.not_after = date(start.saturating_add(days.clamp(-36_500, 1_000_000).saturating_mul(86_400)));
    let mut serial = Stream::new(c)?.bytes(16);
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn done(certificate: &rcgen::Certificate, key: String) -> Outcome {
    Ok(Data::Object(Rc::new(Certificate { cert: certificate.pem().replace('\r', ""), key })))
}

fn authority(c: &Call<'_, '_>, given: Option<usize>) -> Outcome {
    let (key, text) = key_for(c, given)?;
    let mut params = params(c, c.int(1))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    done(&params.self_signed(&key).map_err(|e| Fault::new(e.to_string()))?, text)
}

/// The texts of a list argument; nothing is an empty list.
fn names(c: &Call<'_, '_>, index: usize, what: &str) -> Result<Vec<String>, Fault> {
    let list = match c.any(index) {
        Data::Missing | Data::Nil => return Ok(Vec::new()),
        Data::List(list) => list,
        other => return Err(Fault::new(format!("error parsing {what}: expected a list, got {}", other.type_name()))),
    };
    list.items()
        .iter()
        .map(|item| match item {
            Data::Text(text) => Ok(text.str().into_owned()),
            other => {
                let shown = to_text(other)?;
                Err(Fault::new(format!("error parsing {what}: {} is not a string", shown.str())))
            }
        })
        .collect()
}

fn signed(c: &Call<'_, '_>, by: Option<usize>, given: Option<usize>) -> Outcome {
    let fail = |e: rcgen::Error| Fault::new(e.to_string());
    let (key, text) = key_for(c, given)?;
    let mut params = params(c, c.int(3))?;
    for address in names(c, 1, "ip")? {
        let address = address.parse::<IpAddr>().map_err(|_| Fault::new(format!("error parsing ip: {address}")))?;
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    for name in names(c, 2, "alternate dns name")? {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(fail)?));
    }
    let Some(by) = by else {
        return done(&params.self_signed(&key).map_err(fail)?, text);
    };
    let Data::Object(authority) = c.any(by) else { return Err(Fault::new("not a certificate")) };
    let part = |name: &str| match authority.field(name) {
        Some(Data::Text(text)) => text.str().into_owned(),
        _ => String::new(),
    };
    let issuer = Issuer::from_ca_cert_pem(&part("Cert"), Key::read(&part("Key"))?).map_err(fail)?;
    params.use_authority_key_identifier_extension = true;
    done(&params.signed_by(&key, &issuer).map_err(fail)?, text)
}

fn custom(c: &Call<'_, '_>) -> Outcome {
    let read = |index: usize, what: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(c.bytes(index));
        let bytes = bytes.map_err(|_| Fault::new(format!("unable to decode base64 {what}")))?;
        let text = String::from_utf8(bytes).map_err(|_| Fault::new(format!("unable to decode {what}")))?;
        if text.contains("-----BEGIN ") { Ok(text) } else { Err(Fault::new(format!("unable to decode {what}"))) }
    };
    let (cert, key) = (read(0, "certificate")?, read(1, "private key")?);
    let parsed =
        x509_parser::pem::parse_x509_pem(cert.as_bytes()).map_err(|_| Fault::new("unable to decode certificate"))?;
    parsed.1.parse_x509().map_err(|e| Fault::new(format!("error parsing certificate: {e}")))?;
    Key::read(&key)?;
    Ok(Data::Object(Rc::new(Certificate { cert, key })))
}
