//! HTTP over a connection, with or without TLS: the part that speaks hyper and rustls.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};

use super::openai::{Answer, Body};
use crate::sim::controllers::addons::istio::attach::host_matches;
use crate::sim::controllers::addons::pki;

/// A response as hyper sends it.
pub type Response = hyper::Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Makes a response of an answer.
pub fn respond(answer: Answer) -> Response {
    let mut builder = hyper::Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        builder = builder.header(name, value);
    }
    let body = match answer.body {
        Body::Whole(bytes) => Full::new(bytes).boxed_unsync(),
        Body::Events(events) => {
            StreamBody::new(events.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)))).boxed_unsync()
        }
    };
    // Names and values are ours or were headers before.
    builder.body(body).unwrap_or_else(|_| hyper::Response::new(Full::new(Bytes::new()).boxed_unsync()))
}

/// Certificates by the host they are for; an empty host takes whoever asks for none of the others.
#[derive(Debug)]
pub struct Certificates(Vec<(String, Arc<CertifiedKey>)>);

impl Certificates {
    /// From hosts with chain and key, PEM. What cannot be read is left out.
    pub fn new(entries: Vec<(String, String, String)>) -> Self {
        let provider = pki::provider();
        let mut all: Vec<(String, Arc<CertifiedKey>)> = entries
            .into_iter()
            .filter_map(|(host, chain, key)| {
                let key = provider.key_provider.load_private_key(pki::private_key(&key)?).ok()?;
                Some((host, Arc::new(CertifiedKey::new(pki::chain(&chain), key))))
            })
            .collect();
        // The most specific host first.
        all.sort_by_key(|(host, _)| (host.is_empty(), host.starts_with('*'), std::cmp::Reverse(host.len())));
        Certificates(all)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().unwrap_or_default();
        self.0
            .iter()
            .find(|(host, _)| host.is_empty() || (!asked.is_empty() && host_matches(host, asked)))
            .map(|(_, key)| key.clone())
    }
}

/// Takes TLS off a connection. Returns the stream and the name the client asked for.
///
/// # Errors
/// When the client gave up or nothing fits.
pub async fn accept_tls<S>(
    stream: S,
    certificates: Certificates,
    protocols: &[&str],
) -> std::io::Result<(tokio_rustls::server::TlsStream<S>, Option<String>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let builder = ServerConfig::builder_with_provider(pki::provider())
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
    let name = stream.get_ref().1.server_name().map(str::to_owned);
    Ok((stream, name))
}

/// Serves HTTP until the client has had enough. `handle` gets a request with its body still to be read.
///
/// # Errors
/// When the connection breaks.
pub async fn serve_http<S, H, F>(stream: S, http2: bool, handle: H) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(hyper::Request<Incoming>) -> F,
    F: Future<Output = Response> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let builder = if http2 { builder } else { builder.http1_only() };
    builder.serve_connection(TokioIo::new(stream), service).await.map_err(std::io::Error::other)
}

/// Reads a body to its end; one that breaks off counts as what has come.
pub async fn read(body: Incoming) -> Bytes {
    body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}
