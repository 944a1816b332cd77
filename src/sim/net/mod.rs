//! The simulator's sockets: listeners on the loopback interface, TLS, and the simulated internet.
//!
//! HTTP/1 and HTTP/2 on every listener, with upgrades. What is answered is said by whoever serves; nothing
//! here knows Google or Kubernetes.

pub mod authority;
pub mod internet;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// Answers one request; an error closes the connection without an answer.
pub type Answering = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Result<Response<Body>, Closed>> + Send + Sync>;

/// The connection is to be closed instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was closed on purpose")]
pub struct Closed;

/// Keeps a listener running; it stops, with its connections, when this is dropped.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    task: AbortHandle,
    connections: Arc<Connections>,
}

/// The tasks of open connections.
#[derive(Debug, Default)]
struct Connections(std::sync::Mutex<Vec<AbortHandle>>);

impl Connections {
    fn add(&self, task: AbortHandle) {
        let mut all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.retain(|task| !task.is_finished());
        all.push(task);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        let all = self.connections.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.iter().for_each(AbortHandle::abort);
    }
}

/// Binds `address`, which must be on the loopback interface.
///
/// # Errors
/// `InvalidInput` for any other address: what this serves believes every caller. As the system says otherwise.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let text = format!("the simulator listens on 127.0.0.1 only, not on {}", address.ip());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    TcpListener::bind(address).await
}

/// Serves HTTP, or HTTPS with a TLS configuration, until the result is dropped.
///
/// # Errors
/// When the listener has no address.
pub fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, answering: Answering) -> io::Result<Listening> {
    let address = listener.local_addr()?;
    let connections = Arc::new(Connections::default());
    let held = connections.clone();
    let task = tokio::spawn(async move {
        loop {
            // A refused connection (out of descriptors) is the client's to try again.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            stream.set_nodelay(true).ok();
            let (tls, answering) = (tls.clone(), answering.clone());
            let connection = tokio::spawn(async move {
                match tls {
                    None => connection(TokioIo::new(stream), answering).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            connection(TokioIo::new(stream), answering).await;
                        }
                    }
                }
            });
            held.add(connection.abort_handle());
        }
    });
    Ok(Listening { address, task: task.abort_handle(), connections })
}

/// Serves one connection to its end.
pub async fn connection<S>(stream: S, answering: Answering)
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| answering(request));
    let served = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    if let Err(error) = served.serve_connection_with_upgrades(stream, service).await {
        tracing::trace!(error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refuses_to_be_reachable_from_outside() {
        for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
            let error = bind(address.parse().expect("address")).await.expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{address}");
        }
    }
}
