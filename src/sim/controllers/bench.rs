//! A cluster for unit tests: the real API server on a discrete clock, without sockets.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::faults::Faults;
use super::programs::Programs;
use super::webhooks::ServiceWebhooks;
use super::{Surroundings, fields, kinds};
use crate::env::clock::{Clock, SharedClock, Timestamp};
use crate::env::discrete::DiscreteClock;
use crate::env::random::SeededRandom;
use crate::sim::kube::admission;
use crate::sim::kube::api::{Api, Gvk};
use crate::sim::kube::server::{ApiServer, Parts};
use crate::sim::world::World;

/// An API server with nothing running in it, and the runtime that advances its clock.
pub struct Bench {
    pub api: Arc<dyn Api>,
    pub around: Surroundings,
    pub webhooks: Arc<ServiceWebhooks>,
    clock: DiscreteClock,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    pub fn new(programs: Programs, faults: Arc<dyn Faults>) -> Self {
        let clock = DiscreteClock::new(Timestamp::parse("2026-11-22T10:00:00Z").expect("time"));
        let runtime = clock.runtime().expect("runtime");
        let shared: SharedClock = Arc::new(clock.clone());
        let webhooks = Arc::new(ServiceWebhooks::new(shared.clone(), programs, faults));
        let mut plugins = admission::standard();
        plugins.extend(admission::google());
        let server = ApiServer::open(Parts {
            cluster: "kube/test".to_owned(),
            world: World::in_memory(),
            clock: shared.clone(),
            random: Arc::new(SeededRandom::new(7)),
            webhooks: webhooks.clone(),
            plugins,
            version: "v1.34.1-gke.1293000".to_owned(),
        });
        let api = server.api();
        webhooks.serve(&api);
        runtime.spawn(server.run());
        let around = Surroundings { api: api.clone(), clock: shared };
        Bench { api, around, webhooks, clock, runtime }
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub async fn seconds(&self, seconds: u64) {
        self.clock.sleep(std::time::Duration::from_secs(seconds)).await;
    }

    pub async fn create(&self, object: Json) -> Arc<Json> {
        self.api.create(object).await.expect("create")
    }

    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Json>> {
        self.api.get(&gvk(kind), namespace, name)
    }

    pub fn list(&self, kind: &str) -> Vec<Arc<Json>> {
        self.api.list(&gvk(kind), None)
    }

    /// Changes an object.
    pub async fn edit(&self, kind: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Json)) {
        let mut object = (*self.get(kind, namespace, name).expect("object")).clone();
        change(&mut object);
        self.api.update(object).await.expect("update");
    }

    /// Reasons and messages of all events about objects of a kind in the namespace `app`.
    pub fn events(&self, kind: &str) -> Vec<String> {
        let all = self.api.list(&gvk("Event"), Some("app")).into_iter();
        all.filter(|e| e["involvedObject"]["kind"] == kind)
            .map(|e| format!("{}: {}", fields::text(&e, "/reason"), fields::text(&e, "/message")))
            .collect()
    }
}

/// The kinds of these tests by name.
pub fn gvk(kind: &str) -> Gvk {
    kinds::of(kind)
}

/// A container that requests nothing.
pub fn simple(image: &str) -> Json {
    json!({"containers": [{"name": "main", "image": image}]})
}
