//! The simulated internet: HTTP CONNECT on the simulator's main port leads to the addresses of load balancers.
//!
//! A client that has `HTTPS_PROXY` set to the simulator reaches `https://203.0.113.10/` as it would a real
//! load balancer. Who answers behind an address is the [`DataPlane`]'s business.

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
