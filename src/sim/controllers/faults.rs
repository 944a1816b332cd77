//! What may go wrong inside a cluster because the world says so.
//!
//! Asked, never consulted twice for a different answer at one moment: an implementation decides from the
//! object and from simulated time. Faults of Google's services are elsewhere.

use std::time::Duration;

use serde_json::Value as Json;

use super::image::Image;

/// Faults of one cluster. Every question has the answer "nothing goes wrong" as its default.
pub trait Faults: Send + Sync {
    /// Why pulling an image for this Pod fails now, as the container runtime words it.
    fn image_pull(&self, pod: &Json, image: &Image) -> Option<String> {
        let _ = (pod, image);
        None
    }

    /// By which factor pulling an image takes longer.
    fn pull_factor(&self, image: &Image) -> f64 {
        let _ = image;
        1.0
    }

    /// Why a Pod gets no network now, as the container runtime words it.
    fn sandbox(&self, pod: &Json) -> Option<String> {
        let _ = pod;
        None
    }

    /// What the hub of models answers to whoever wants a repository's files, when it does not hand them out.
    fn hub(&self, repository: &str) -> Option<Hub> {
        let _ = repository;
        None
    }

    /// Makes a running container end: exit code and last words. 137 with `oom` is an out-of-memory kill.
    fn crash(&self, pod: &Json, container: &str) -> Option<Crash> {
        let _ = (pod, container);
        None
    }

    /// Makes every call of a webhook wait this long before it is answered.
    fn webhook_delay(&self, namespace: &str, service: &str) -> Option<Duration> {
        let _ = (namespace, service);
        None
    }

    /// Whether calls of a webhook get no answer within the caller's time-out (a firewall drops them).
    fn webhook_unreachable(&self, namespace: &str, service: &str) -> bool {
        let _ = (namespace, service);
        false
    }

    /// Whether a Service's load balancer gets no address for now.
    fn load_balancer_stuck(&self, service: &Json) -> bool {
        let _ = service;
        false
    }

    /// Whether a node has stopped reporting.
    fn node_lost(&self, node: &str) -> bool {
        let _ = node;
        false
    }
}

/// How the hub of models refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hub {
    /// The token is not one of its own.
    Unauthorized,
    /// Whoever asks has not been let in.
    Restricted,
    /// There is no such repository.
    Missing,
    /// No answer comes.
    Unreachable,
}

/// How a container ends against its will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Exit code.
    pub code: i32,
    /// Killed for want of memory.
    pub oom: bool,
    /// The last lines of its log.
    pub log: Vec<String>,
}

/// Nothing goes wrong.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoFaults;

impl Faults for NoFaults {}
