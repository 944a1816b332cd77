//! The data plane of one cluster: who listens where, and the models behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;

use super::model::Model;
use super::picking::Memory;
use crate::env::clock::SharedClock;
use crate::sim::controllers::addons::istio::attach;
use crate::sim::controllers::addons::objects::{core, list, number, pod_ready, text, uid};
use crate::sim::controllers::addons::vllm;
use crate::sim::controllers::programs::Instance;
use crate::sim::kube::api::Api;

/// The data plane of one cluster. Caches and counters of models live as long as it does, or as their
/// containers.
pub struct DataPlane {
    /// The cluster.
    pub api: Arc<dyn Api>,
    /// Simulated time.
    pub clock: SharedClock,
    models: Mutex<BTreeMap<String, Arc<Model>>>,
    turn: AtomicU64,
    /// What endpoint pickers remember, by the uids of their pods.
    pickers: Mutex<BTreeMap<String, Memory>>,
}

impl DataPlane {
    /// The data plane of the cluster behind `api`, which is only read.
    pub fn new(api: Arc<dyn Api>, clock: SharedClock) -> Arc<Self> {
        Arc::new(DataPlane { api, clock, models: Mutex::default(), turn: AtomicU64::new(0), pickers: Mutex::default() })
    }

    /// Whether somebody accepts connections at this address of a load balancer.
    pub fn reachable(&self, destination: SocketAddr) -> bool {
        self.accepting(destination).is_some()
    }

    /// The pod, and its port, that a connection to a load balancer's address arrives at.
    pub fn accepting(&self, destination: SocketAddr) -> Option<(Arc<Json>, u16)> {
        let address = destination.ip().to_string();
        let services = self.api.list(&core("Service"), None);
        let (service, port) = services.iter().find_map(|service| {
            let ours = list(service, "/status/loadBalancer/ingress").iter().any(|i| text(i, "/ip") == address);
            let mut ports = list(service, "/spec/ports").iter().filter_map(|p| number(p, "/port"));
            ports.find(|port| ours && *port == i64::from(destination.port())).map(|port| (service, port))
        })?;
        let endpoints = attach::endpoints(&*self.api, service, port);
        self.next_of(&endpoints).cloned()
    }

    /// A number that looks like one by chance, the same sequence in every run.
    pub fn chance(&self) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        // SplitMix64, by Sebastiano Vigna.
        let mut mixed = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap_or(0)
    }

    /// What a picker, by the uid of its pod, remembers.
    pub fn remembering<T>(&self, picker: &str, with: impl FnOnce(&mut Memory) -> T) -> T {
        let mut pickers = self.pickers.lock().unwrap_or_else(PoisonError::into_inner);
        with(pickers.entry(picker.to_owned()).or_default())
    }

    /// The next of several, in turn.
    pub fn next_of<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        let turn = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).unwrap_or(0);
        if all.is_empty() { None } else { all.get(turn % all.len()) }
    }

    /// The model server that listens on a pod's port.
    pub fn model(&self, pod: &Arc<Json>, port: u16) -> Option<(Instance, Arc<Model>)> {
        let instance = list(pod, "/spec/containers").iter().find_map(|container| {
            let instance = Instance::of(pod, text(container, "/name"))?;
            (vllm::is_server(&instance.image) && vllm::listens(&instance, port)).then_some(instance)
        })?;
        let started = instance.started_at()?;
        if !pod_ready(pod) && instance.status()["ready"] != true {
            return None;
        }
        let key = format!("{} {} {}", uid(pod), instance.name(), started.0);
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = models.get(&key) {
            return Some((instance, model.clone()));
        }
        let build = vllm::build(&instance, &*self.api, self.clock.now())?;
        // A restarted container has forgotten what it knew.
        let before = format!("{} {} ", uid(pod), instance.name());
        models.retain(|known, _| !known.starts_with(&before));
        let model = Arc::new(Model::new(build));
        models.insert(key, model.clone());
        Some((instance, model))
    }
}
