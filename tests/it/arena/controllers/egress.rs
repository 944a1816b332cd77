//! How the API server and users reach what "runs" in pods that no container runs: connections that ask for a
//! pod's address (webhooks) or a load balancer's (the gateway) end here, at the programs of the simulator.
//!
//! The API server dials through its egress selector, users through `HTTPS_PROXY`; both speak CONNECT. TLS is
//! served with the certificate that the program has at that moment, or not at all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;
use stackwright::env::clock::SharedClock;
use stackwright::sim::controllers::Surroundings;
use stackwright::sim::controllers::kinds;
use stackwright::sim::controllers::programs::{Instance, Program, Programs};
use stackwright::sim::kube::api::Api;
use stackwright::sim::serving::connection::{Certificates, accept_tls, read, serve_http};
use stackwright::sim::serving::openai::Answer;
use stackwright::sim::serving::{DataPlane, connection, gateway};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// How the webhooks of a namespace behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As their programs do.
    #[default]
    Right,
    /// They accept and never answer.
    Silent,
    /// They answer this much later.
    Late(Duration),
    /// They break the connection off in the middle of an answer.
    Broken,
    /// They answer what no API server understands.
    Wrong,
}

/// The network of a cluster without one.
pub struct Egress {
    pub api: Arc<dyn Api>,
    pub clock: SharedClock,
    pub programs: Programs,
    pub plane: Arc<DataPlane>,
    /// By namespace.
    pub manners: Arc<Mutex<BTreeMap<String, Manner>>>,
    /// Answers to reviews so far, by path.
    pub reviews: Arc<Mutex<BTreeMap<String, usize>>>,
}

type Backend = (Instance, Arc<dyn Program>, u16);

impl Egress {
    /// Serves the API server's egress selector.
    pub fn serve(self: &Arc<Self>, socket: &Path) {
        let listener = UnixListener::bind(socket).expect("socket");
        let egress = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(egress.clone().tunnel(stream));
            }
        });
    }

    /// Serves users; the address to name in `HTTPS_PROXY`.
    pub async fn proxy(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let egress = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(egress.clone().tunnel(stream));
            }
        });
        url
    }

    async fn tunnel<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self: Arc<Self>, mut stream: S) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) if head.len() < 4096 => head.push(byte),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_whitespace().next());
        let Some(target) = target.and_then(|target| target.parse::<SocketAddr>().ok()) else { return };
        const FINE: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
        if target.ip().is_loopback() {
            let Ok(mut other) = TcpStream::connect(target).await else { return };
            if stream.write_all(FINE).await.is_ok() {
                tokio::io::copy_bidirectional(&mut stream, &mut other).await.ok();
            }
        } else if self.plane.reachable(target) {
            if stream.write_all(FINE).await.is_ok() {
                gateway::serve(stream, &self.plane, target).await.ok();
            }
        } else if let Some(backend) = self.listening(target) {
            if stream.write_all(FINE).await.is_ok() {
                self.answer(stream, backend).await.ok();
            }
        } else {
            stream.write_all(b"HTTP/1.1 503 connection refused\r\ncontent-length: 0\r\n\r\n").await.ok();
        }
    }

    /// The program that listens at a pod's address.
    fn listening(&self, target: SocketAddr) -> Option<Backend> {
        let address = target.ip().to_string();
        let pods = self.api.list(&kinds::of("Pod"), None);
        let here = pods.iter().filter(|pod| pod.pointer("/status/podIP").and_then(Json::as_str) == Some(&address));
        let instances = here.flat_map(|pod| {
            let containers = pod.pointer("/spec/containers").and_then(Json::as_array).into_iter().flatten();
            containers.filter_map(|container| Instance::of(pod, container["name"].as_str()?))
        });
        instances.into_iter().find_map(|instance| {
            let program = self.programs.of(&instance.image);
            program.listens(&instance, target.port()).then_some((instance, program, target.port()))
        })
    }

    async fn answer<S>(&self, stream: S, backend: Backend) -> std::io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (instance, program, port) = backend;
        let around = Surroundings { api: self.api.impersonate(&instance.user()), clock: self.clock.clone() };
        let Some(pem) = program.certificate(&instance, &around, port) else { return Ok(()) };
        let certificates = Certificates::new(vec![(String::new(), pem.clone(), pem)]);
        let (stream, _) = accept_tls(stream, certificates, &["http/1.1"]).await?;
        let manner = self.manners.lock().expect("lock").get(instance.namespace()).copied().unwrap_or_default();
        match manner {
            Manner::Silent => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return Ok(());
            }
            Manner::Broken => {
                let mut stream = stream;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"apiVersion\"").await?;
                return stream.shutdown().await;
            }
            Manner::Right | Manner::Late(_) | Manner::Wrong => {}
        }
        let (instance, around, reviews) = (Arc::new(instance), Arc::new(around), self.reviews.clone());
        serve_http(stream, false, move |request: hyper::Request<hyper::body::Incoming>| {
            let (instance, around, program, reviews) =
                (instance.clone(), around.clone(), program.clone(), reviews.clone());
            async move {
                let path = request.uri().path().to_owned();
                let review = serde_json::from_slice::<Json>(&read(request.into_body()).await).unwrap_or_default();
                if let Manner::Late(delay) = manner {
                    tokio::time::sleep(delay).await;
                }
                let said = program.webhook(&instance, &around, &path, &review).await;
                *reviews.lock().expect("lock").entry(path).or_default() += 1;
                let (status, body) = match said {
                    Ok(_) if manner == Manner::Wrong => (200, "{\"apiVersion\":\"v0\"}".to_owned()),
                    Ok(answer) => (200, answer.to_string()),
                    Err(why) => (404, why),
                };
                let mut answer = Answer::whole(status, "application/json", body);
                // One review a connection: the next one meets the manner of its own moment.
                answer.headers.push(("connection", "close".to_owned()));
                connection::respond(answer)
            }
        })
        .await
    }
}
