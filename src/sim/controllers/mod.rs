//! The programs of a simulated cluster: what kube-controller-manager, scheduler, kubelet and the add-ons do.
//!
//! Every controller is level-triggered: it looks at what is there and takes the next step, and keeps no
//! memory of its own, so that a restarted process goes on where the last one was killed. Durations count
//! from timestamps in the objects.

pub mod accounting;
pub mod accounts;
pub mod activation;
pub mod addons;
pub mod admission;
#[cfg(test)]
mod bench;
pub mod bootstrap;
pub mod cloud;
pub mod cluster;
pub mod daemonsets;
pub mod deployments;
pub mod devices;
pub mod durations;
pub mod endpoints;
pub mod faults;
pub mod fields;
pub mod fronts;
pub mod garbage;
pub mod image;
pub mod jobs;
pub mod kinds;
pub mod kubelet;
pub mod namespaces;
pub mod nodes;
pub mod placement;
pub mod pods;
pub mod programs;
pub mod replicasets;
pub mod runner;
pub mod scheduler;
pub mod services;
pub mod statefulsets;
pub mod volumes;
pub mod webhooks;
pub mod writes;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::env::clock::SharedClock;
use crate::sim::kube::api::{Api, Gvk};

/// Names one object to a controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Kind.
    pub gvk: Gvk,
    /// Empty for cluster scope.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What a controller works with.
#[derive(Clone)]
pub struct Surroundings {
    /// The API server, as the user that the controller runs as.
    pub api: Arc<dyn Api>,
    /// Simulated time.
    pub clock: SharedClock,
}

impl Surroundings {
    /// The same, for a program that is known by this name as the manager of the fields it writes.
    pub fn managing(&self, manager: &str) -> Surroundings {
        Surroundings { api: self.api.managing(manager), clock: self.clock.clone() }
    }
}

/// What to do next about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing until something changes.
    Done,
    /// Look again after this long, or when something changes.
    After(Duration),
}

/// One control loop.
#[async_trait]
pub trait Controller: Send + Sync {
    /// For messages.
    fn name(&self) -> &'static str;

    /// The kinds whose changes wake it. The changed object itself is the key unless
    /// [`Controller::keys`] says otherwise.
    fn watches(&self) -> Vec<Gvk>;

    /// Which keys to reconcile when `changed` changed: an owner, the objects that select it, …
    fn keys(&self, changed: &Key, object: &serde_json::Value, api: &dyn Api) -> Vec<Key> {
        let _ = (object, api);
        vec![changed.clone()]
    }

    /// How many keys it works on at a time; more than one matters only while a call waits for simulated time.
    fn parallel(&self) -> usize {
        8
    }

    /// Takes the next step for one key. Errors are retried with back-off by the runner.
    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, crate::sim::kube::api::Status>;
}
