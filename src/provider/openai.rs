//! Asks a model for a completion through its gateway, over HTTP or verified TLS.
//!
//! One connection and one request per call, straight on hyper and rustls: the certificate is checked against
//! the name that the stack gives, which need not be the URL's host, also behind a proxy. Verification is
//! never switched off. No retry, no streaming.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::env::clock::{SharedClock, timeout};
use crate::platform::{Completion, CompletionRequest, Prover};
use crate::resource::error::{ErrorClass, ProviderError};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a completion may take: a cold prefill on a small GPU takes tens of seconds.
const ANSWER: Duration = Duration::from_secs(120);
/// How many tokens to ask for.
const TOKENS: u32 = 16;

/// Asks models served with an OpenAI API.
pub struct OpenAiProver {
    clock: SharedClock,
    proxy: Option<Uri>,
}

impl OpenAiProver {
    /// A prover that reaches everything through `CONNECT` on `proxy` (`http://127.0.0.1:8080`), if there is one.
    ///
    /// # Errors
    /// When the proxy is not an `http://` URL.
    pub fn new(clock: SharedClock, proxy: Option<&str>) -> Result<Self, ProviderError> {
        let proxy = proxy.map(|text| match text.parse::<Uri>() {
            Ok(uri) if uri.scheme_str() == Some("http") && uri.host().is_some() => Ok(uri),
            _ => Err(ProviderError::new(ErrorClass::Invalid, format!("the proxy {text} is not an http:// URL"))),
        });
        Ok(OpenAiProver { clock, proxy: proxy.transpose()? })
    }
}

/// Where a request goes.
struct Goal {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

fn goal(url: &str) -> Result<Goal, ProviderError> {
    let invalid = || ProviderError::new(ErrorClass::Invalid, format!("{url} is not a URL of a model"));
    let uri = url.trim_end_matches('/').parse::<Uri>().map_err(|_| invalid())?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(invalid()),
    };
    let host = uri.host().ok_or_else(invalid)?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path().trim_end_matches('/').trim_end_matches("/v1").to_owned();
    Ok(Goal { tls, host, port, path })
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[async_trait]
impl Prover for OpenAiProver {
    async fn complete(&self, request: &CompletionRequest) -> Result<Completion, ProviderError> {
        let goal = goal(&request.url)?;
        let began = self.clock.now();
        // Simulated time stands still until the whole answer is read.
        let _busy = self.clock.busy();
        let stream = match timeout(&*self.clock, CONNECT, self.connect(&goal)).await {
            Ok(stream) => stream?,
            Err(_) => {
                let text = format!("{}:{} accepts no connection", goal.host, goal.port);
                return Err(ProviderError::new(ErrorClass::Unavailable, text));
            }
        };
        let exchange = async {
            if goal.tls {
                let name = request.server_name.as_deref().unwrap_or(&goal.host);
                let stream = secure(stream, name, request.ca_pem.as_deref(), self.clock.clone()).await?;
                ask(stream, &goal, request).await
            } else {
                ask(stream, &goal, request).await
            }
        };
        let (status, body) = match timeout(&*self.clock, ANSWER, exchange).await {
            Ok(answer) => answer?,
            Err(_) => {
                let text = format!("the model did not answer within {} s", ANSWER.as_secs());
                return Err(ProviderError::new(ErrorClass::Unavailable, text));
            }
        };
        let millis = u64::try_from(self.clock.now().since(began).as_millis()).unwrap_or(u64::MAX);
        judge(status, &body, &request.model, millis)
    }
}

impl OpenAiProver {
    async fn connect(&self, goal: &Goal) -> Result<TcpStream, ProviderError> {
        let (host, port) = match &self.proxy {
            Some(proxy) => (proxy.host().unwrap_or_default(), proxy.port_u16().unwrap_or(80)),
            None => (goal.host.as_str(), goal.port),
        };
        let unreachable = |error: std::io::Error| {
            let text = format!("cannot connect to {host}:{port}: {error}");
            ProviderError::new(ErrorClass::Unavailable, text)
        };
        let mut stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        if self.proxy.is_some() {
            tunnel(&mut stream, goal).await?;
        }
        Ok(stream)
    }
}

/// Asks the proxy for a way to the goal.
async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, goal: &Goal) -> Result<(), ProviderError> {
    let unavailable = |text: String| ProviderError::new(ErrorClass::Unavailable, text);
    let authority = format!("{}:{}", bracketed(&goal.host), goal.port);
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let failed = |error: std::io::Error| unavailable(format!("the proxy broke off: {error}"));
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the head belongs to the tunnel.
        match stream.read_u8().await {
            Ok(byte) if head.len() < 8192 => head.push(byte),
            Ok(_) => return Err(unavailable("the proxy's answer has no end".to_owned())),
            Err(error) => return Err(failed(error)),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status.starts_with('2') {
        return Ok(());
    }
    Err(unavailable(format!("nothing answers at {authority} (the proxy says {status})")))
}

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
async fn secure(
    stream: TcpStream,
    name: &str,
    ca: Option<&str>,
    clock: SharedClock,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ProviderError> {
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
                return Err(invalid("the CA given for the gateway is not a PEM certificate".to_owned()));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => {
            let verifier = rustls_platform_verifier::Verifier::new(provider)
                .map_err(|error| invalid(format!("the system's certificates cannot be read: {error}")))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let server = ServerName::try_from(name.to_owned()).map_err(|_| invalid(format!("{name} is not a host name")))?;
    TlsConnector::from(Arc::new(config)).connect(server, stream).await.map_err(|error| untrusted(&error, name, ca))
}

/// What a failed handshake means: a wrong certificate stays wrong, a server that is not up may come.
fn untrusted(error: &std::io::Error, name: &str, ca: Option<&str>) -> ProviderError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (text, hint) = match inner {
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => (
                format!("the certificate of {name} is signed by somebody else than the CA that the stack names"),
                match ca {
                    Some(_) => "check which issuer signs the gateway's certificate; it may have been made anew",
                    None => "name the gateway's CA; the system's roots do not know it",
                },
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                (format!("the certificate of {name} has expired"), "see why cert-manager has not renewed it")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                format!("the server's certificate is not for {name}"),
                "the gateway's certificate must list the host name or address that clients use",
            ),
            other => (format!("the certificate of {name} is not valid: {other:?}"), "see the gateway's certificate"),
        },
        _ => {
            let text = format!("{name} does not speak TLS yet: {error}");
            return ProviderError::new(ErrorClass::Unavailable, text);
        }
    };
    ProviderError::new(ErrorClass::Invalid, text).hint(hint)
}

async fn ask<S>(stream: S, goal: &Goal, request: &CompletionRequest) -> Result<(u16, Bytes), ProviderError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| {
        ProviderError::new(ErrorClass::Unavailable, format!("the connection to {} broke off: {error}", goal.host))
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let drive = tokio::spawn(connection);
    let body = json!({"model": request.model, "prompt": request.prompt, "max_tokens": TOKENS, "temperature": 0});
    let host = request.server_name.clone().unwrap_or_else(|| bracketed(&goal.host));
    let standard = goal.port == if goal.tls { 443 } else { 80 };
    let host = if standard { host } else { format!("{host}:{}", goal.port) };
    let mut message = Request::post(format!("{}/v1/completions", goal.path));
    if let Some(key) = &request.api_key {
        let mut value = http::HeaderValue::try_from(format!("Bearer {}", key.0)).map_err(|_| {
            ProviderError::new(ErrorClass::Invalid, "the API key has characters that no header may have")
        })?;
        value.set_sensitive(true);
        message = message.header(http::header::AUTHORIZATION, value);
    }
    let message = message
        .header(http::header::HOST, host)
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::ACCEPT, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|error| ProviderError::new(ErrorClass::Invalid, format!("{} is not a path: {error}", goal.path)))?;
    let answer = async {
        let answer = sender.send_request(message).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    };
    let answer = answer.await.map_err(broken);
    drive.abort();
    answer
}

/// What the answer says.
fn judge(status: u16, body: &[u8], model: &str, millis: u64) -> Result<Completion, ProviderError> {
    let json = serde_json::from_slice::<Json>(body).unwrap_or_default();
    if status != 200 {
        return Err(refused(status, &json, body, model));
    }
    let text = json.pointer("/choices/0/text").and_then(Json::as_str);
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        let text = "the answer is not a completion".to_owned();
        return Err(ProviderError::new(ErrorClass::Unavailable, text)
            .hint("something else than a model server may answer under this URL"));
    };
    let count = |pointer| json.pointer(pointer).and_then(Json::as_u64).unwrap_or_default();
    Ok(Completion {
        text: text.to_owned(),
        model: json["model"].as_str().unwrap_or(model).to_owned(),
        prompt_tokens: count("/usage/prompt_tokens"),
        completion_tokens: count("/usage/completion_tokens"),
        millis,
    })
}

/// vLLM says `{"error": {"message", …}}`, `{"error": "Unauthorized"}` or `{"detail": …}`; Envoy says plain text.
fn refused(status: u16, json: &Json, body: &[u8], model: &str) -> ProviderError {
    let said = json.pointer("/error/message").or_else(|| json.get("error")).or_else(|| json.get("detail"));
    let said = match said.and_then(Json::as_str) {
        Some(text) => text.to_owned(),
        None => String::from_utf8_lossy(body).trim().chars().take(200).collect(),
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let error = |class, text: String| ProviderError::new(class, format!("{text}{said}"));
    match status {
        401 | 403 => error(ErrorClass::Denied, "the model server wants an API key".into())
            .hint("the workload is protected by a key that the stack does not name"),
        404 if json.pointer("/error/message").is_some() => {
            error(ErrorClass::Unavailable, format!("the server does not serve the model {model} (404)"))
                .hint("compare the workload's model name with what /v1/models lists")
        }
        404 => error(ErrorClass::Unavailable, "no route leads to the model yet (404)".into()),
        400 | 405 | 413 | 415 | 422 => error(ErrorClass::Invalid, format!("the request is refused ({status})")),
        429 => error(ErrorClass::RateLimited, "the model server is over its limit (429)".into()),
        500..=599 => error(ErrorClass::Unavailable, format!("the model is not ready ({status})")),
        _ => error(ErrorClass::Unknown, format!("the gateway answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_host_port_and_path() {
        let there = goal("https://203.0.113.9/llm/qwen/").expect("goal");
        assert_eq!(
            (there.tls, there.host.as_str(), there.port, there.path.as_str()),
            (true, "203.0.113.9", 443, "/llm/qwen")
        );
        let there = goal("http://[::1]:8000/v1").expect("goal");
        assert_eq!((there.tls, there.host.as_str(), there.port, there.path.as_str()), (false, "::1", 8000, ""));
        for url in ["", "ftp://x", "203.0.113.9/llm", "https://"] {
            assert_eq!(goal(url).err().map(|error| error.class), Some(ErrorClass::Invalid), "{url}");
        }
    }

    #[test]
    fn answers_are_judged() {
        let completion =
            br#"{"model":"m","choices":[{"text":" hi"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
        let judged = judge(200, completion, "m", 7).expect("completion");
        assert_eq!((judged.text.as_str(), judged.prompt_tokens, judged.millis), (" hi", 3, 7));
        for (status, body, class, words) in [
            (
                404,
                r#"{"error":{"message":"The model `x` does not exist.","code":404}}"#,
                ErrorClass::Unavailable,
                "does not exist",
            ),
            (404, "", ErrorClass::Unavailable, "no route"),
            (401, r#"{"error":"Unauthorized"}"#, ErrorClass::Denied, "Unauthorized"),
            (400, r#"{"error":{"message":"too long"}}"#, ErrorClass::Invalid, "too long"),
            (405, r#"{"detail":"Method Not Allowed"}"#, ErrorClass::Invalid, "Method Not Allowed"),
            (503, "no healthy upstream", ErrorClass::Unavailable, "no healthy upstream"),
            (200, "<html>", ErrorClass::Unavailable, "not a completion"),
        ] {
            let error = judge(status, body.as_bytes(), "x", 0).expect_err(body);
            assert_eq!(error.class, class, "{body}");
            assert!(error.message.contains(words), "{}", error.message);
        }
    }

    #[test]
    fn wrong_certificates_stay_wrong_and_early_servers_come() {
        let certificate = |reason| std::io::Error::other(rustls::Error::InvalidCertificate(reason));
        let wrong = untrusted(&certificate(CertificateError::UnknownIssuer), "n", Some("ca"));
        assert_eq!(wrong.class, ErrorClass::Invalid);
        assert!(wrong.hint.is_some());
        let early = untrusted(&std::io::Error::from(std::io::ErrorKind::UnexpectedEof), "n", None);
        assert_eq!(early.class, ErrorClass::Unavailable);
    }

    #[test]
    fn a_proxy_that_refuses_is_named() {
        let run = |answer: &str| {
            let answer = answer.as_bytes().to_vec();
            futures_util::future::FutureExt::now_or_never(async move {
                let (mut near, mut far) = tokio::io::duplex(4096);
                far.write_all(&answer).await.expect("answer");
                let goal = goal("https://203.0.113.9/").expect("goal");
                tunnel(&mut near, &goal).await
            })
            .expect("the answer is there")
        };
        assert_eq!(run("HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        let refused = run("HTTP/1.1 502 Bad Gateway\r\nA: b\r\n\r\n").expect_err("refused");
        assert!(refused.message.contains("203.0.113.9:443"), "{}", refused.message);
    }
}
