//! `pods/portforward`: ports of pods through the API server, in the three ways that clients ask for it: channels within
//! a WebSocket, kubectl's SPDY within a WebSocket, and SPDY alone. The API server decides whether it may be.
//!
//! Who listens on a port is the data plane's business. Network policies have no say: a kubelet connects from within the pod.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use axum::middleware::Next;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::kube::api::Gvk;
use super::serving::DataPlane;
use super::serving::gateway;
use super::spdy::{self, Incoming, Session};
use crate::env::websocket::{self, Message, Reader, Writer};

/// Bytes under way in each direction of a forwarded connection.
const BUFFER: usize = 64 << 10;

const CHANNELS: &str = "v4.channel.k8s.io";
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
const SPDY: &str = "SPDY/3.1";
const STREAMS: &str = "portforward.k8s.io";

/// How a client wants to be spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Channels,
    Tunnelled,
    Bare,
}

fn manner(headers: &HeaderMap) -> Option<Manner> {
    let words = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    let has = |name, word: &str| words(name).any(|found| found.trim().eq_ignore_ascii_case(word));
    if has(header::UPGRADE, "websocket") {
        if has(header::SEC_WEBSOCKET_PROTOCOL, TUNNELLED) {
            return Some(Manner::Tunnelled);
        }
        return has(header::SEC_WEBSOCKET_PROTOCOL, CHANNELS).then_some(Manner::Channels);
    }
    has(header::UPGRADE, SPDY).then_some(Manner::Bare)
}

/// Namespace and pod of a path that asks for ports.
fn asked(path: &str) -> Option<(String, String)> {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let ["api", "v1", "namespaces", namespace, "pods", pod, "portforward"] = words.as_slice() else { return None };
    Some(((*namespace).to_owned(), (*pod).to_owned()))
}

/// Forwards ports of pods whose servers are simulated; all else goes to the API server.
pub(super) async fn pass_on(State(plane): State<Arc<DataPlane>>, mut request: Request, next: Next) -> Response<Body> {
    let Some((namespace, pod)) = asked(request.uri().path()) else { return next.run(request).await };
    let manner = manner(request.headers());
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (parts, _) = request.into_parts();
    let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(websocket::accept);
    let ports = ports(&parts.uri);
    // Whether there is such a pod, and it may be done, is the API server's to say; that no process runs in it is ours.
    let said = next.run(Request::from_parts(parts, Body::empty())).await;
    if said.status() != StatusCode::NOT_IMPLEMENTED {
        return said;
    }
    let (Some(manner), Some(upgrade)) = (manner, upgrade) else {
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "Upgrade request required", "reason": "BadRequest", "code": 400});
        let mut refusal = Response::new(Body::from(body.to_string()));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        refusal.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return refusal;
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if manner == Manner::Bare {
        headers.insert(header::UPGRADE, HeaderValue::from_static(SPDY));
        headers.insert("x-stream-protocol-version", HeaderValue::from_static(STREAMS));
    } else {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let protocol = if manner == Manner::Channels { CHANNELS } else { TUNNELLED };
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        if let Some(accept) = key.and_then(|key| HeaderValue::from_str(&key).ok()) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
    }
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let target = Target { plane, namespace, pod };
        let pipes = if manner == Manner::Bare { bare(upgraded) } else { messages(upgraded) };
        match manner {
            Manner::Channels => channels(&target, &ports, pipes).await,
            Manner::Tunnelled | Manner::Bare => streams(&target, pipes).await,
        }
    });
    response
}

/// The ports of a query: `?ports=443,80` or several of them.
fn ports(uri: &Uri) -> Vec<u16> {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("ports="));
    pairs.flat_map(|list| list.split(',')).filter_map(|port| port.parse().ok()).collect()
}

/// What comes from a client, and the way back.
struct Pipes {
    from: mpsc::Receiver<Vec<u8>>,
    to: mpsc::UnboundedSender<Out>,
}

enum Out {
    Data(Vec<u8>),
    Pong(Vec<u8>),
}

/// A connection without frames of its own.
fn bare(upgraded: hyper::upgrade::Upgraded) -> Pipes {
    let (mut source, mut sink) = tokio::io::split(TokioIo::new(upgraded));
    let (came, from) = mpsc::channel(16);
    let (to, mut goes) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut bytes = vec![0; 16 << 10];
        while let Ok(count @ 1..) = source.read(&mut bytes).await {
            if came.send(bytes[..count].to_vec()).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(Out::Data(bytes)) = goes.recv().await {
            if sink.write_all(&bytes).await.is_err() {
                break;
            }
        }
        sink.shutdown().await.ok();
    });
    Pipes { from, to }
}

/// A WebSocket.
fn messages(upgraded: hyper::upgrade::Upgraded) -> Pipes {
    let (source, sink) = tokio::io::split(TokioIo::new(upgraded));
    let (mut reader, mut writer) = (Reader::new(source), Writer::server(sink));
    let (came, from) = mpsc::channel(16);
    let (to, mut goes) = mpsc::unbounded_channel();
    let answers = to.downgrade();
    tokio::spawn(async move {
        loop {
            let over = match reader.next().await {
                Ok(Message::Data(bytes)) => came.send(bytes).await.is_err(),
                Ok(Message::Ping(bytes)) => answers.upgrade().is_none_or(|to| to.send(Out::Pong(bytes)).is_err()),
                Ok(Message::Closed) | Err(_) => true,
            };
            if over {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(out) = goes.recv().await {
            let written = match out {
                Out::Data(bytes) => writer.data(&bytes).await,
                Out::Pong(bytes) => writer.pong(&bytes).await,
            };
            if written.is_err() {
                break;
            }
        }
        writer.close().await.ok();
    });
    Pipes { from, to }
}

/// The pod that is meant.
struct Target {
    plane: Arc<DataPlane>,
    namespace: String,
    pod: String,
}

/// A connection to a port of the pod.
struct Dialled {
    from: ReadHalf<DuplexStream>,
    to: WriteHalf<DuplexStream>,
    serving: JoinHandle<io::Result<()>>,
}

impl Target {
    fn dial(&self, port: u16) -> Dialled {
        let (near, far) = tokio::io::duplex(BUFFER);
        let pod = self.plane.api.get(&Gvk::new("", "v1", "Pod"), &self.namespace, &self.pod);
        let plane = self.plane.clone();
        let serving = tokio::spawn(async move {
            let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens there");
            let pod: Arc<Json> = pod.filter(|pod| pod["status"]["phase"] == "Running").ok_or_else(refused)?;
            gateway::serve_pod(far, &plane, &pod, port).await
        });
        let (from, to) = tokio::io::split(near);
        Dialled { from, to, serving }
    }

    /// What a kubelet says of a port on which nobody listens.
    fn complaint(&self, port: u16) -> String {
        format!(
            "an error occurred forwarding {port} -> {port}: error forwarding port {port} to pod {}, uid : failed to connect \
             to localhost:{port} inside namespace {}: dial tcp4 127.0.0.1:{port}: connect: connection refused",
            self.pod, self.namespace
        )
    }
}

/// Reads a connection to its end, telling of each piece; then whether nobody listened at all.
async fn drain(mut from: ReadHalf<DuplexStream>, serving: JoinHandle<io::Result<()>>, tell: impl Fn(&[u8])) -> bool {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        tell(&bytes[..count]);
    }
    drop(from);
    let ended = serving.await;
    matches!(ended, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Two channels for each port: its bytes, and what went wrong; each begins with the port.
async fn channels(target: &Target, ports: &[u16], pipes: Pipes) {
    let mut writers = BTreeMap::new();
    for (at, port) in ports.iter().enumerate() {
        let Ok(channel) = u8::try_from(2 * at) else { break };
        for channel in [channel, channel + 1] {
            let mut first = vec![channel];
            first.extend(port.to_le_bytes());
            pipes.to.send(Out::Data(first)).ok();
        }
        let Dialled { from, to, serving } = target.dial(*port);
        writers.insert(channel, to);
        let (out, complaint) = (pipes.to.clone(), target.complaint(*port));
        let say = move |channel: u8, bytes: &[u8]| {
            out.send(Out::Data([&[channel], bytes].concat())).ok();
        };
        tokio::spawn(async move {
            if drain(from, serving, |bytes| say(channel, bytes)).await {
                say(channel + 1, complaint.as_bytes());
            }
        });
    }
    // From here on the connection is over when all that is forwarded is.
    let Pipes { mut from, to } = pipes;
    drop(to);
    while let Some(message) = from.recv().await {
        let Some((channel, bytes)) = message.split_first() else { continue };
        let Some(writer) = writers.get_mut(channel) else { continue };
        if writer.write_all(bytes).await.is_err() {
            writers.remove(channel);
        }
    }
}

/// Two streams for each connection: one for what goes wrong, one for its bytes.
async fn streams(target: &Target, mut pipes: Pipes) {
    let mut session = Session::default();
    let mut complaints = BTreeMap::new();
    let mut writers = BTreeMap::new();
    while let Some(bytes) = pipes.from.recv().await {
        let Ok(heard) = session.hear(&bytes) else { return };
        for incoming in heard {
            match incoming {
                Incoming::Begun { stream, headers } => {
                    pipes.to.send(Out::Data(session.reply(stream))).ok();
                    let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
                    let request = find("requestid").unwrap_or_default();
                    if find("streamtype").as_deref() == Some("error") {
                        complaints.insert(request, stream);
                        continue;
                    }
                    let port = find("port").and_then(|port| port.parse().ok()).unwrap_or_default();
                    let Dialled { from, to, serving } = target.dial(port);
                    writers.insert(stream, to);
                    let (out, complaint, error) =
                        (pipes.to.clone(), target.complaint(port), complaints.remove(&request));
                    tokio::spawn(async move {
                        let say = |stream, bytes: &[u8], ends| {
                            out.send(Out::Data(spdy::data(stream, bytes, ends))).ok();
                        };
                        let refused = drain(from, serving, |bytes| say(stream, bytes, false)).await;
                        if let Some(error) = error {
                            say(error, if refused { complaint.as_bytes() } else { b"" }, true);
                        }
                        say(stream, b"", true);
                    });
                }
                Incoming::Data { stream, bytes, ends } => {
                    let Some(writer) = writers.get_mut(&stream) else { continue };
                    let broken = writer.write_all(&bytes).await.is_err();
                    if ends {
                        writer.shutdown().await.ok();
                    }
                    if ends || broken {
                        writers.remove(&stream);
                    }
                }
                Incoming::Reset(stream) => {
                    writers.remove(&stream);
                }
                Incoming::Ping(id) => {
                    pipes.to.send(Out::Data(spdy::pong(id))).ok();
                }
                Incoming::Leaving => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spoken_with_in_their_manner() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            manner(&headers)
        };
        let protocol = "sec-websocket-protocol";
        assert_eq!(of(&[("upgrade", "websocket"), (protocol, "v4.channel.k8s.io")]), Some(Manner::Channels));
        let both = "SPDY/3.1+portforward.k8s.io, v4.channel.k8s.io";
        assert_eq!(of(&[("upgrade", "websocket"), (protocol, both)]), Some(Manner::Tunnelled));
        assert_eq!(of(&[("upgrade", "SPDY/3.1")]), Some(Manner::Bare));
        assert_eq!(of(&[("upgrade", "websocket"), (protocol, "chat")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn paths_and_ports_are_read() {
        assert_eq!(asked("/api/v1/namespaces/a/pods/b/portforward"), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(asked("/api/v1/namespaces/a/pods/b/log"), None);
        assert_eq!(ports(&Uri::from_static("/x?ports=443,80&a=b&ports=8000")), [443, 80, 8000]);
    }
}
