//! The cloud around the clusters: GKE, Compute, Service Usage, Cloud Quotas, Resource Manager, Cloud Storage.
//!
//! One HTTP entry for all of them, told apart by path. Documents in the world are the only memory; operations
//! carry the times at which they take their steps, so that a killed process goes on where it was. What runs
//! inside a cluster is behind [`ControlPlanes`].

pub mod answer;
pub mod compute;
pub mod container;
pub mod offers;
pub mod schema;
pub mod services;
pub mod storage;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, Response};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::env::clock::SharedClock;
use crate::sim::faults::{Asked, Faults, Interference};
use crate::sim::requests::{Refused, Requests};
use crate::sim::world::World;
use answer::{Call, Refusal, respond};

/// Where a cluster's API server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `127.0.0.1:40123`.
    pub address: String,
    /// The certificate authority, PEM.
    pub ca_pem: String,
}

/// What Google knows of the inside of clusters. All calls may be repeated.
#[async_trait]
pub trait ControlPlanes: Send + Sync {
    /// Starts a cluster's API server and everything that runs in it.
    ///
    /// # Errors
    /// When no socket or certificate could be had; the caller tries again later.
    async fn start(&self, cluster: &container::ClusterFacts) -> Result<Endpoint, String>;

    /// Stops it and forgets everything in it.
    async fn stop(&self, cluster_id: &str);

    /// Registers a node, as its kubelet would.
    ///
    /// # Errors
    /// What the API server said.
    async fn add_node(&self, cluster_id: &str, node: Json) -> Result<(), String>;

    /// Removes a node.
    ///
    /// # Errors
    /// What the API server said.
    async fn remove_node(&self, cluster_id: &str, name: &str) -> Result<(), String>;
}

/// The simulated Google.
pub struct Google {
    /// All documents.
    pub world: Arc<World>,
    /// Simulated time.
    pub clock: SharedClock,
    /// What goes wrong.
    pub faults: Faults,
    /// What was asked, clusters included.
    pub requests: Requests,
    seed: String,
    /// Says that an operation began.
    wake: Notify,
    planes: OnceLock<Arc<dyn ControlPlanes>>,
}

/// Set on a response that must not reach the client: the connection is closed instead.
#[derive(Clone, Copy, Debug)]
pub struct HangUp;

impl Google {
    /// Over a world. `seed` makes identifiers and port-free choices the same every time.
    pub fn new(world: Arc<World>, clock: SharedClock, seed: String) -> Arc<Self> {
        let faults = Faults::new(world.clone(), clock.clone());
        Arc::new(Google {
            world,
            clock,
            faults,
            requests: Requests::default(),
            seed,
            wake: Notify::new(),
            planes: OnceLock::new(),
        })
    }

    /// Says who runs the clusters; once, before the first request.
    pub fn attach(&self, planes: Arc<dyn ControlPlanes>) {
        self.planes.set(planes).ok();
    }

    fn planes(&self) -> Option<&Arc<dyn ControlPlanes>> {
        self.planes.get()
    }

    /// Lower-case hexadecimal digits that depend on the seed and `of` only.
    pub fn digits(&self, of: &str, length: usize) -> String {
        let mut out = String::new();
        let mut round = 0u32;
        while out.len() < length {
            let digest = Sha256::digest(format!("{}\n{of}\n{round}", self.seed));
            out.extend(digest.iter().map(|byte| format!("{byte:02x}")));
            round += 1;
        }
        out.truncate(length);
        out
    }

    /// A version-4 UUID that depends on the seed and `of` only.
    pub fn uuid(&self, of: &str) -> String {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&Sha256::digest(format!("{}\nuuid\n{of}", self.seed))[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// A number that no other thing of this world has.
    pub fn serial(&self) -> u64 {
        let next = self.world.get("google", "serial").and_then(|n| n.as_u64()).unwrap_or(0) + 1;
        self.world.put("google", "serial", json!(next));
        next
    }

    /// The number of a project; 12 digits.
    pub fn project_number(&self, project: &str) -> String {
        let digest = Sha256::digest(format!("project {project}"));
        let word = u64::from_be_bytes(digest[..8].try_into().unwrap_or_default());
        (100_000_000_000 + word % 899_999_999_999).to_string()
    }

    /// A decimal identifier as Compute has them.
    pub fn number(&self, of: &str) -> String {
        let word = u64::from_str_radix(&self.digits(of, 15), 16).unwrap_or_default();
        (1_000_000_000_000_000_000 + word).to_string()
    }

    /// Answers one HTTP request.
    pub async fn answer(self: &Arc<Self>, request: Request<Body>) -> Response<Body> {
        let request_id = self.digits(&format!("request {}", self.clock.now().0), 16);
        let call = match Call::read(request).await {
            Ok(call) => call,
            Err(refusal) => return respond(refusal.code, &refusal.body(&request_id)),
        };
        if let Some(broken) = self.world.broken() {
            let refusal =
                Refusal::new(500, "INTERNAL", "backendError", format!("the world cannot be written: {broken}"));
            return respond(500, &refusal.body(&request_id));
        }
        let path = call.path();
        let asked = Asked { method: call.method.as_str(), path: &path, token: call.token.as_deref() };
        let interference = self.interfere(&asked);
        if let Some(Interference::Answer(refusal)) = &interference {
            self.refused(&asked, refusal);
            return respond(refusal.code, &refusal.body(&request_id));
        }
        if let Some(Interference::Delay(delay)) = &interference {
            let lent = self.clock.lend();
            self.clock.sleep(*delay).await;
            drop(lent);
        }
        let mut response = self.route(&call, &request_id).await;
        if let Some(Interference::HangUp) = interference {
            response.extensions_mut().insert(HangUp);
        }
        response
    }

    /// Counts a request, and says what happens to it by the world's rules.
    pub fn interfere(&self, asked: &Asked<'_>) -> Option<Interference> {
        let interference = self.faults.on_request(asked);
        let word = interference.as_ref().map(Interference::word);
        self.requests.count(asked.method, asked.path, word.as_deref());
        interference
    }

    /// Notes an answer that was an error.
    fn refused(&self, asked: &Asked<'_>, refusal: &Refusal) {
        let (code, message) = (refusal.code, refusal.message.clone());
        self.requests.refuse(Refused {
            at: self.clock.now(),
            asked: format!("{} {}", asked.method, asked.path),
            code,
            message,
        });
    }

    async fn route(self: &Arc<Self>, call: &Call, request_id: &str) -> Response<Body> {
        let words: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        let result = match words.as_slice() {
            ["storage", ..] | ["upload", "storage", ..] | ["download", "storage", ..] => {
                return storage::answer(self, call, &words, request_id);
            }
            ["v1", "projects", _]
            | ["v1", "projects", _, "services" | "services:batchEnable", ..]
            | ["v3", "projects", ..]
            | ["v1", "projects", _, "locations", "global", "services", ..] => services::answer(self, call, &words),
            ["v1" | "v1beta1", "projects", ..] => container::answer(self, call, &words),
            ["compute", "v1" | "beta", "projects", ..] => compute::answer(self, call, &words[2..]),
            ["v1", "operations", ..] => services::answer(self, call, &words),
            _ => Err(Refusal::not_found("Method not found.")),
        };
        match result {
            Ok(body) => respond(200, &body),
            Err(refusal) => {
                let path = call.path();
                self.refused(&Asked { method: call.method.as_str(), path: &path, token: None }, &refusal);
                respond(refusal.code, &refusal.body(request_id))
            }
        }
    }

    /// Forgets every document of Google's, clusters included, and everything that runs.
    pub async fn reset(&self) {
        for (_, document) in self.world.section(container::CLUSTERS) {
            if let (Some(planes), Some(id)) = (self.planes(), document["id"].as_str()) {
                planes.stop(id).await;
            }
        }
        for section in self.world.sections("google/") {
            self.world.remove_section(&section);
        }
        self.faults.reset();
    }
}
