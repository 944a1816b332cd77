//! The simulated internet: as an HTTP proxy, the simulator's main port leads to the addresses of load balancers.
//!
//! A client that has `HTTPS_PROXY` and `HTTP_PROXY` set to the simulator reaches `https://203.0.113.10/` by
//! CONNECT and `http://203.0.113.10/` by requests that name the whole URL, as it would a real load balancer.
//! Who answers behind an address is the [`DataPlane`]'s business.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Something that takes connections.
#[async_trait]
pub trait Peer: Send + Sync {
    /// Serves one connection to its end.
    async fn serve(&self, stream: Box<dyn Stream>);
}

/// What listens on the simulated internet.
pub trait DataPlane: Send + Sync {
    /// Who answers at an address (IP or host name) and port; `None` when the connection is refused.
    fn dial(&self, host: &str, port: u16) -> Option<Arc<dyn Peer>>;
}

/// An internet on which nothing listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl DataPlane for Nothing {
    fn dial(&self, _: &str, _: u16) -> Option<Arc<dyn Peer>> {
        None
    }
}

/// Answers CONNECT: 200 and a tunnel, 400 for a malformed target, 502 when nobody listens.
pub fn tunnel(request: Request<Incoming>, plane: &dyn DataPlane) -> Response<Body> {
    let answer = |status: StatusCode, text: String| {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response
    };
    let Some((host, port)) = request.uri().authority().and_then(|a| Some((a.host().to_owned(), a.port_u16()?))) else {
        return answer(StatusCode::BAD_REQUEST, "CONNECT needs host:port\n".to_owned());
    };
    let Some(peer) = plane.dial(host.trim_matches(['[', ']']), port) else {
        return answer(StatusCode::BAD_GATEWAY, format!("connect {host}:{port}: connection refused\n"));
    };
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            peer.serve(Box::new(TokioIo::new(upgraded))).await;
        }
    });
    Response::new(Body::empty())
}

/// Whether a request names a whole URL: it is meant for a proxy.
pub fn is_proxied<B>(request: &Request<B>) -> bool {
    request.uri().scheme().is_some() && request.uri().authority().is_some()
}

/// Passes a plain HTTP request on to whoever answers at its URL; 502 when nobody does.
pub async fn forward(mut request: Request<Body>, plane: &dyn DataPlane) -> Response<Body> {
    let bad = |text: String| {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    let Some(authority) = request.uri().authority().cloned() else { return bad("no host\n".to_owned()) };
    let (host, port) = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
    let Some(peer) = plane.dial(host, port) else {
        return bad(format!("connect {host}:{port}: connection refused\n"));
    };
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move { peer.serve(Box::new(theirs)).await });
    let (mut sender, connection) = match hyper::client::conn::http1::handshake(TokioIo::new(ours)).await {
        Ok(open) => open,
        Err(error) => return bad(format!("{error}\n")),
    };
    tokio::spawn(connection.with_upgrades());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if let Ok(path) = path.parse() {
        *request.uri_mut() = path;
    }
    let headers = request.headers_mut();
    headers.remove("proxy-connection");
    if let Ok(host) = authority.as_str().parse() {
        headers.insert(axum::http::header::HOST, host);
    }
    *request.version_mut() = axum::http::Version::HTTP_11;
    match sender.send_request(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => bad(format!("{error}\n")),
    }
}

/// A peer that is a socket of this machine: an API server that a client reaches through the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Relay(pub std::net::SocketAddr);

#[async_trait]
impl Peer for Relay {
    async fn serve(&self, mut stream: Box<dyn Stream>) {
        if let Ok(mut target) = tokio::net::TcpStream::connect(self.0).await {
            tokio::io::copy_bidirectional(&mut stream, &mut target).await.ok();
        }
    }
}

/// A peer that speaks TLS under a name of its own and answers as somebody else does: a front door.
pub struct FrontDoor {
    /// Its certificate and key.
    pub tls: tokio_rustls::TlsAcceptor,
    /// Who answers.
    pub answering: super::Answering,
}

#[async_trait]
impl Peer for FrontDoor {
    async fn serve(&self, stream: Box<dyn Stream>) {
        if let Ok(stream) = self.tls.accept(stream).await {
            super::connection(TokioIo::new(stream), self.answering.clone()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::net::{self, Answering};

    /// Answers with the host and path that it was asked for.
    struct Echo;

    #[async_trait]
    impl Peer for Echo {
        async fn serve(&self, stream: Box<dyn Stream>) {
            let answering: Answering = Arc::new(|request: Request<Incoming>| {
                Box::pin(async move {
                    let host = request.headers()["host"].to_str().unwrap_or_default().to_owned();
                    Ok(Response::new(Body::from(format!("{host} {}", request.uri()))))
                })
            });
            net::connection(TokioIo::new(stream), answering).await;
        }
    }

    struct OneHost;

    impl DataPlane for OneHost {
        fn dial(&self, host: &str, port: u16) -> Option<Arc<dyn Peer>> {
            (host == "203.0.113.10" && port == 80).then(|| Arc::new(Echo) as Arc<dyn Peer>)
        }
    }

    #[tokio::test]
    async fn plain_requests_reach_the_address_in_their_url() {
        let request = |url: &str| Request::builder().uri(url).body(Body::empty()).expect("request");
        let there = request("http://203.0.113.10/a?b=c");
        assert!(is_proxied(&there) && !is_proxied(&request("/a")));
        let response = forward(there, &OneHost).await;
        let body = axum::body::to_bytes(response.into_body(), 1024).await.expect("body");
        assert_eq!(body, "203.0.113.10 /a?b=c");
        let nowhere = forward(request("http://203.0.113.11/"), &OneHost).await;
        assert_eq!(nowhere.status(), StatusCode::BAD_GATEWAY);
    }
}
