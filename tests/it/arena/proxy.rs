//! What can stand between a client and an API server: a wire that is cut in the middle of answers, and a proxy
//! that answers some requests itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, Response};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use super::Arena;

/// Runs until the process ends; nothing of it is worth waiting for.
fn serve<F: Future<Output = ()> + Send + 'static>(run: impl FnOnce(TcpListener) -> F + Send + 'static) -> SocketAddr {
    let (told, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
            told.send(listener.local_addr().expect("address")).expect("somebody waits");
            run(listener).await;
        });
    });
    address.recv().expect("an address")
}

/// A wire to the arena's server whose connections are cut after so many bytes of answers, one limit after the
/// other; later connections are whole. Returns the server's address behind it.
pub fn cut_wire(arena: &Arena, limits: Vec<u64>) -> String {
    let target = arena.api.server().trim_start_matches("https://").to_owned();
    let address = serve(move |listener| async move {
        let mut limits = limits.into_iter();
        while let Ok((client, _)) = listener.accept().await {
            let limit = limits.next().unwrap_or(u64::MAX);
            let target = target.clone();
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(target).await else { return };
                let ((mut from_client, mut to_client), (from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let up = async {
                    copy(&mut from_client, &mut to_server).await.ok();
                    to_server.shutdown().await.ok();
                };
                let mut limited = from_server.take(limit);
                tokio::select! {
                    () = async { up.await; std::future::pending().await } => {}
                    _ = copy(&mut limited, &mut to_client) => {}
                }
            });
        }
    });
    format!("https://{address}")
}

/// A request as a proxy sees it.
pub struct Seen<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    /// The bearer token.
    pub token: &'a str,
    /// How many requests came before it.
    pub number: usize,
}

/// Answers in the server's place: code, `Retry-After`, `metav1.Status`. `None` passes the request on.
pub type Meddling = dyn Fn(&Seen<'_>) -> Option<(u16, Option<u32>, Json)> + Send + Sync;

/// A Status as API servers send it.
pub fn status(code: u16, reason: &str, message: &str) -> Json {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code})
}

struct Proxy {
    server: String,
    token: String,
    client: reqwest::Client,
    number: AtomicUsize,
    meddling: Box<Meddling>,
}

/// A proxy in front of the arena's server, as its administrator. Returns its address.
pub fn meddle(arena: &Arena, meddling: Box<Meddling>) -> String {
    let proxy = Arc::new(Proxy {
        server: arena.api.server().to_owned(),
        token: super::real::TOKEN.to_owned(),
        client: arena.api.client(),
        number: AtomicUsize::new(0),
        meddling,
    });
    let address = serve(move |listener| async move {
        axum::serve(listener, Router::new().fallback(pass).with_state(proxy)).await.expect("served");
    });
    format!("http://{address}")
}

async fn pass(State(proxy): State<Arc<Proxy>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let token = header("authorization").trim_start_matches("Bearer ");
    let number = proxy.number.fetch_add(1, Ordering::Relaxed);
    let seen = Seen { method: &parts.method, path, token, number };
    if let Some((code, after, status)) = (proxy.meddling)(&seen) {
        let answer = Response::builder().status(code).header("content-type", "application/json");
        let answer = match after {
            Some(seconds) => answer.header("retry-after", seconds),
            None => answer,
        };
        return answer.body(Body::from(status.to_string())).expect("an answer");
    }
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut onward = proxy.client.request(parts.method.clone(), format!("{}{path}", proxy.server));
    for name in ["content-type", "accept"] {
        if !header(name).is_empty() {
            onward = onward.header(name, header(name));
        }
    }
    let lost = |_| Response::builder().status(502).body(Body::empty()).expect("an answer");
    let answer = match onward.bearer_auth(&proxy.token).body(body).send().await {
        Ok(answer) => answer,
        Err(error) => return lost(error),
    };
    let code = answer.status().as_u16();
    match answer.bytes().await {
        Ok(bytes) => {
            let answer = Response::builder().status(code).header("content-type", "application/json");
            answer.body(Body::from(bytes)).expect("an answer")
        }
        Err(error) => lost(error),
    }
}
