//! The simulator's process: a world, the Google around it, the clusters in it, and their sockets.
//!
//! Everything that runs is started from documents, at open as after a request, so a process that was killed
//! at any moment goes on. Nothing here decides what Google or Kubernetes answers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::task::AbortHandle;

use super::google::answer::respond;
use super::google::container::{ClusterFacts, clusters, operations};
use super::google::{ControlPlanes, Endpoint, Google, HangUp};
use super::kube::api::{Api, DeleteOptions, Gvk};
use super::net::authority::{Authority, PublicAuthority};
use super::net::internet::{self, DataPlane, FrontDoor, Peer, Relay};
use super::net::{self, Closed, Listening};
use super::trouble;
use super::world::World;
use crate::env::clock::SharedClock;
use crate::env::disk::Disk;
use crate::env::random::{Random, SystemRandom};

/// What a simulator is made of.
pub struct SimOptions {
    /// Its documents. Open the world first: its [`World::time`] is where `clock` should go on from.
    pub world: Arc<World>,
    /// Simulated time.
    pub clock: SharedClock,
    /// Makes identifiers the same every time; random when absent. Only a new world takes it.
    pub seed: Option<u64>,
    /// Simulated seconds per real second, for `/sim/v1/info` only; `None` for a discrete clock.
    pub speed: Option<f64>,
    /// Rules of what goes wrong (the contents of `faults.json`), if they are to be replaced.
    pub faults: Option<Json>,
    /// What is inside clusters.
    pub interiors: Arc<dyn Interiors>,
}

/// The inside of one cluster while it runs; dropping it stops everything in it.
pub trait Interior: Send + Sync {
    /// Its API server for programs of this process.
    fn api(&self) -> Arc<dyn Api>;

    /// Its API server over HTTP.
    fn router(&self) -> axum::Router;

    /// Who answers behind a load balancer (its name, `a…`) on a port.
    fn load_balancer(&self, name: &str, address: &str, port: u16) -> Option<Arc<dyn Peer>>;
}

/// Makes the insides of clusters.
pub trait Interiors: Send + Sync {
    /// Opens a cluster's inside over its documents, `kube/<cluster id>` in the world, and starts what runs in
    /// it. `ca_pem` is the certificate of the API server's authority. Called on the runtime.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn open(
        &self,
        simulator: &Arc<Simulator>,
        cluster: &ClusterFacts,
        ca_pem: &str,
    ) -> Result<Arc<dyn Interior>, String>;
}

/// Why a simulator did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `faults.json` is not a document of faults.
    #[error("the faults of the world are not valid: {0}")]
    Faults(String),
    /// `faults.json` cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
}

/// A running simulator.
pub struct Simulator {
    /// Its documents.
    pub world: Arc<World>,
    /// Simulated time.
    pub clock: SharedClock,
    /// The cloud.
    pub google: Arc<Google>,
    /// Identifiers of this run; differs from run to run of one world, so that names do not repeat.
    pub random: Arc<dyn Random>,
    speed: Option<f64>,
    interiors: Arc<dyn Interiors>,
    running: Mutex<BTreeMap<String, Running>>,
    loops: Mutex<Vec<AbortHandle>>,
}

struct Running {
    inside: Arc<dyn Interior>,
    endpoint: Endpoint,
    listening: Listening,
    answering: net::Answering,
}

/// The simulator's own documents: identity, seed, number of starts.
const SECTION: &str = "sim";
/// Ports of clusters, by cluster id.
const PORTS: &str = "sim/ports";

impl Simulator {
    /// Opens the simulator over a world: everything that was running runs again. Needs a runtime.
    ///
    /// # Errors
    /// When the world's faults are not valid.
    pub async fn open(options: SimOptions) -> Result<Arc<Self>, OpenError> {
        let SimOptions { world, clock, seed, speed, faults, interiors } = options;
        world.keep_time(clock.clone());
        let seed = ensure_identity(&world, seed);
        let starts = world.get(SECTION, "starts").and_then(|n| n.as_u64()).unwrap_or(0) + 1;
        world.put(SECTION, "starts", json!(starts));
        let google = Google::new(world.clone(), clock.clone(), seed.clone());
        if let Some(faults) = faults {
            apply_faults(&world, &google, &faults)?;
        }
        let digest = Sha256::digest(format!("{seed} {starts}"));
        let word = u64::from_le_bytes(digest[..8].try_into().unwrap_or_default());
        let random = Arc::new(crate::env::random::SeededRandom::new(word));
        let simulator = Arc::new(Simulator {
            world,
            clock,
            google: google.clone(),
            random,
            speed,
            interiors,
            running: Mutex::default(),
            loops: Mutex::default(),
        });
        google.attach(Arc::new(Planes(Arc::downgrade(&simulator))));
        for name in clusters::names(&google) {
            if clusters::has_control_plane(&google, &name)
                && let Err(reason) = clusters::start_control_plane(&google, &name).await
            {
                tracing::warn!(cluster = name.name, reason, "a cluster's API server did not start");
            }
        }
        let task = tokio::spawn(operations::run(google));
        simulator.lock_loops().push(task.abort_handle());
        Ok(simulator)
    }

    /// Serves the main port: all Google APIs, `/sim/v1/…`, and CONNECT. Loopback only.
    ///
    /// # Errors
    /// `InvalidInput` for another address; as the system says otherwise.
    pub async fn serve(self: &Arc<Self>, address: SocketAddr) -> io::Result<Serving> {
        let listener = net::bind(address).await?;
        let simulator = Arc::downgrade(self);
        let own = listener.local_addr()?.to_string();
        let answering: net::Answering = Arc::new(move |request: Request<Incoming>| {
            let (simulator, own) = (simulator.upgrade(), own.clone());
            Box::pin(async move {
                let Some(simulator) = simulator else { return Err(Closed) };
                if request.method() == Method::CONNECT {
                    return Ok(internet::tunnel(request, &*simulator));
                }
                let request = request.map(Body::new);
                let own = request.uri().authority().is_some_and(|to| to.as_str() == own);
                if internet::is_proxied(&request) && !own {
                    return Ok(internet::forward(request, &*simulator).await);
                }
                let response = simulator.answer(request).await;
                if response.extensions().get::<HangUp>().is_some() { Err(Closed) } else { Ok(response) }
            })
        });
        let listening = net::serve(listener, None, answering)?;
        let url = format!("http://{}", listening.address);
        Ok(Serving { url, _listening: listening })
    }

    /// Answers one request of the main port, except CONNECT.
    pub async fn answer(self: &Arc<Self>, request: Request<Body>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/sim/v1/info") => respond(200, &self.info()),
            (&Method::POST, "/sim/v1/reset") => {
                self.reset().await;
                respond(200, &self.info())
            }
            (&Method::GET, "/sim/v1/requests") => respond(200, &self.google.requests.document()),
            (&Method::GET, "/sim/v1/faults") => respond(200, &self.google.faults.get()),
            (&Method::PUT | &Method::POST, "/sim/v1/faults") => {
                let bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
                let set = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
                match set.and_then(|document: Json| self.google.faults.set(&document)) {
                    Ok(()) => respond(200, &self.google.faults.get()),
                    Err(reason) => respond(400, &json!({ "error": {"code": 400, "message": reason} })),
                }
            }
            (_, path) if path == "/sim" || path.starts_with("/sim/") => {
                let mut response = Response::new(Body::from("not found\n"));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
            _ => self.google.answer(request).await,
        }
    }

    /// What `/sim/v1/info` says.
    pub fn info(&self) -> Json {
        let clusters: Vec<Json> = clusters::names(&self.google)
            .iter()
            .filter_map(|name| {
                let shown = clusters::get(&self.google, name, super::google::container::Version::V1).ok()?;
                Some(json!({
                    "project": name.place.project, "location": name.place.location, "name": name.name,
                    "id": shown["id"], "status": shown["status"], "endpoint": shown["endpoint"],
                }))
            })
            .collect();
        json!({
            "world": self.world_id(),
            "directory": self.world.directory().map(|d| d.display().to_string()),
            "time": self.clock.now().rfc3339(),
            "clock": if self.speed.is_some() { "wall" } else { "discrete" },
            "speed": self.speed,
            "clusters": clusters,
            "root": self.public_root(),
        })
    }

    /// The certificate that the world's clients trust beside a cluster's own, PEM; `None` when none can be made.
    pub fn public_root(&self) -> Option<String> {
        PublicAuthority::of(&self.world).ok().map(|authority| authority.ca_pem)
    }

    /// The identity of the world; another one after a reset.
    pub fn world_id(&self) -> String {
        let id = self.world.get(SECTION, "id");
        id.and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Removes everything from the world: clusters stop, documents vanish, the identity changes. Rules of
    /// what goes wrong stay and count from the beginning.
    pub async fn reset(&self) {
        self.google.reset().await;
        let ids: Vec<String> = self.lock().keys().cloned().collect();
        for id in ids {
            self.stop(&id).await;
        }
        for prefix in ["kube/", "sim/", "google"] {
            for section in self.world.sections(prefix) {
                self.world.remove_section(&section);
            }
        }
        self.world.put(SECTION, "id", json!(SystemRandom.uuid()));
    }

    /// A running cluster's API server, for tests and for views of the inside.
    pub fn api(&self, cluster_id: &str) -> Option<Arc<dyn Api>> {
        self.lock().get(cluster_id).map(|running| running.inside.api())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_loops(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(self: &Arc<Self>, cluster: &ClusterFacts) -> Result<Endpoint, String> {
        if let Some(running) = self.lock().get(&cluster.id) {
            return Ok(running.endpoint.clone());
        }
        let common_name = self.google.uuid(&format!("authority {}", cluster.id));
        let authority = Authority::of(&self.world, &cluster.id, &common_name, "34.118.224.1")?;
        let tls = authority.acceptor()?;
        let listener = self.listener(&cluster.id).await.map_err(|error| error.to_string())?;
        let inside = self.interiors.open(self, cluster, &authority.ca_pem)?;
        let router = inside.router();
        let google = self.google.clone();
        let answering: net::Answering = Arc::new(move |request: Request<Incoming>| {
            Box::pin(trouble::pass(google.clone(), router.clone(), request.map(Body::new)))
        });
        let listening = net::serve(listener, Some(tls), answering.clone()).map_err(|error| error.to_string())?;
        self.world.put(PORTS, &cluster.id, json!(listening.address.port()));
        let endpoint = Endpoint { address: listening.address.to_string(), ca_pem: authority.ca_pem };
        let running = Running { inside, endpoint: endpoint.clone(), listening, answering };
        self.lock().insert(cluster.id.clone(), running);
        Ok(endpoint)
    }

    /// The port that the cluster had, when it is free, or another.
    async fn listener(&self, cluster_id: &str) -> io::Result<tokio::net::TcpListener> {
        let port = self.world.get(PORTS, cluster_id).and_then(|p| u16::try_from(p.as_u64()?).ok());
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        if let Some(port) = port
            && let Ok(listener) = net::bind(loopback(port)).await
        {
            return Ok(listener);
        }
        net::bind(loopback(0)).await
    }

    async fn stop(&self, cluster_id: &str) {
        // Dropped outside the lock: the inside may look at the simulator while it ends.
        let running = self.lock().remove(cluster_id);
        drop(running);
        let section = format!("kube/{cluster_id}");
        for name in self.world.sections(&section) {
            if name == section || name.starts_with(&format!("{section}/")) {
                self.world.remove_section(&name);
            }
        }
        self.world.remove(PORTS, cluster_id);
        Authority::forget(&self.world, cluster_id);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.lock_loops().iter().for_each(AbortHandle::abort);
    }
}

/// Keeps the main port open; it closes when this is dropped.
#[derive(Debug)]
pub struct Serving {
    /// `http://127.0.0.1:40000`.
    pub url: String,
    _listening: Listening,
}

impl DataPlane for Simulator {
    fn dial(&self, host: &str, port: u16) -> Option<Arc<dyn Peer>> {
        if host == "127.0.0.1" || host == "localhost" {
            let running = self.lock();
            let address = running.values().map(|r| r.listening.address).find(|a| a.port() == port)?;
            return Some(Arc::new(Relay(address)));
        }
        if let Some(cluster) = clusters::of_name(&self.google, host) {
            if port != 443 {
                return None;
            }
            let answering = self.lock().get(&cluster).map(|running| running.answering.clone())?;
            let tls = PublicAuthority::of(&self.world).and_then(|authority| authority.acceptor(host)).ok()?;
            return Some(Arc::new(FrontDoor { tls, answering }));
        }
        // Addresses within a network lead nowhere from outside of it.
        if host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_private()) {
            return None;
        }
        let (cluster, name, ports) = super::google::compute::cloud::at_address(&self.google, host)?;
        if !ports.contains(&port) {
            return None;
        }
        let inside = self.lock().get(&cluster).map(|running| running.inside.clone())?;
        inside.load_balancer(&name, host, port)
    }
}

/// The world's seed; made, with its identity, when the world is new.
fn ensure_identity(world: &World, seed: Option<u64>) -> String {
    if let Some(kept) = world.get(SECTION, "seed").and_then(|s| s.as_str().map(str::to_owned)) {
        return kept;
    }
    let random: Box<dyn Random> = match seed {
        Some(seed) => Box::new(crate::env::random::SeededRandom::new(seed)),
        None => Box::new(SystemRandom),
    };
    let seed = random.hex(16);
    world.put(SECTION, "id", json!(random.uuid()));
    world.put(SECTION, "seed", json!(seed));
    seed
}

/// Takes rules over unless they are those that the world has already counted with.
fn apply_faults(world: &World, google: &Google, document: &Json) -> Result<(), OpenError> {
    let digest = Sha256::digest(document.to_string()).iter().map(|b| format!("{b:02x}")).collect::<String>();
    if world.get(SECTION, "faults").and_then(|d| d.as_str().map(str::to_owned)) == Some(digest.clone()) {
        return Ok(());
    }
    google.faults.set(document).map_err(OpenError::Faults)?;
    world.put(SECTION, "faults", json!(digest));
    Ok(())
}

/// Reads `faults.json` of a world's directory, if it has one.
///
/// # Errors
/// When the file cannot be read or is not JSON.
pub fn read_faults(disk: &dyn Disk, directory: &Path) -> Result<Option<Json>, OpenError> {
    let path = directory.join("faults.json");
    match disk.read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| OpenError::Faults(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::Read(path, error)),
    }
}

/// The simulator as Google sees it; it may be gone already.
struct Planes(Weak<Simulator>);

#[async_trait]
impl ControlPlanes for Planes {
    async fn start(&self, cluster: &ClusterFacts) -> Result<Endpoint, String> {
        let simulator = self.0.upgrade().ok_or("the simulator is ending")?;
        simulator.start(cluster).await
    }

    async fn stop(&self, cluster_id: &str) {
        if let Some(simulator) = self.0.upgrade() {
            simulator.stop(cluster_id).await;
        }
    }

    async fn add_node(&self, cluster_id: &str, node: Json) -> Result<(), String> {
        let Some(api) = self.0.upgrade().and_then(|s| s.api(cluster_id)) else { return Ok(()) };
        super::nodes::register(&*api, node).await.map_err(|status| status.to_string())
    }

    async fn remove_node(&self, cluster_id: &str, name: &str) -> Result<(), String> {
        let Some(api) = self.0.upgrade().and_then(|s| s.api(cluster_id)) else { return Ok(()) };
        match api.delete(&Gvk::new("", "v1", "Node"), "", name, DeleteOptions::default()).await {
            Err(status) if status.reason() != "NotFound" => Err(status.to_string()),
            _ => Ok(()),
        }
    }
}
