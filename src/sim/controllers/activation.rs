//! Runs the controllers of programs while, and only while, a ready Pod runs the program.
//!
//! A program with several Pods has one leader, the one that has run longest; when it goes, the next takes
//! over. They act as the Pod's ServiceAccount, so RBAC decides what they may do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value as Json;

use super::programs::{Instance, Program, Programs};
use super::runner::{self, Handle};
use super::{Controller, Key, Outcome, Surroundings, fields, kinds};
use crate::sim::kube::api::{Api, Gvk, Status};

/// Starts and stops the controllers of programs.
pub struct Activation {
    programs: Programs,
    /// By namespace and group; a cache of what runs in this process, filled again from the Pods at a start.
    active: Mutex<BTreeMap<(String, Group), Active>>,
}

/// Program, user and, for node agents, Pod.
type Group = (&'static str, String, String);

struct Active {
    /// Pod uid, container and restart count of the process that leads.
    process: (String, String, i64),
    _running: Handle,
}

struct Candidate {
    instance: Instance,
    program: Arc<dyn Program>,
    process: (String, String, i64),
}

impl Activation {
    /// With the table of programs.
    pub fn new(programs: Programs) -> Self {
        Activation { programs, active: Mutex::default() }
    }

    /// The process that should lead each group of a namespace.
    fn leaders(&self, api: &dyn Api, namespace: &str) -> BTreeMap<Group, Candidate> {
        let mut leaders: BTreeMap<Group, Candidate> = BTreeMap::new();
        for pod in api.list(&kinds::of("Pod"), Some(namespace)) {
            if fields::is_going(&pod) {
                continue;
            }
            let statuses = ["/status/containerStatuses", "/status/initContainerStatuses"];
            let ready = statuses
                .into_iter()
                .flat_map(|list| fields::list(&pod, list))
                .filter(|status| fields::flag(status, "/ready") && status.pointer("/state/running").is_some());
            for status in ready {
                let Some(instance) = Instance::of(&pod, fields::text(status, "/name")) else { continue };
                let program = self.programs.of(&instance.image);
                let whose = if program.per_pod() { fields::uid(&pod).to_owned() } else { String::new() };
                let group = (program.name(), instance.user(), whose);
                let restarts = fields::number(status, "/restartCount").unwrap_or_default();
                let process = (fields::uid(&pod).to_owned(), instance.name().to_owned(), restarts);
                let older = leaders.get(&group).is_some_and(|known| {
                    let age = |instance: &Instance| (instance.started_at(), fields::name(&instance.pod).to_owned());
                    age(&known.instance) <= age(&instance)
                });
                if !older {
                    leaders.insert(group, Candidate { instance, program, process });
                }
            }
        }
        leaders
    }
}

#[async_trait]
impl Controller for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Pod")]
    }

    fn keys(&self, changed: &Key, _: &Json, _: &dyn Api) -> Vec<Key> {
        // One look at a namespace serves all its Pods.
        vec![Key { name: String::new(), ..changed.clone() }]
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let mut leaders = self.leaders(&*around.api, &key.namespace);
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.retain(|(namespace, group), running| {
            namespace != &key.namespace || leaders.get(group).is_some_and(|leader| leader.process == running.process)
        });
        leaders.retain(|group, _| !active.contains_key(&(key.namespace.clone(), group.clone())));
        for (group, leader) in leaders {
            let controllers = leader.program.controllers(&leader.instance);
            let api = around.api.impersonate(&leader.instance.user());
            let running = runner::start(&Surroundings { api, clock: around.clock.clone() }, controllers);
            let entry = Active { process: leader.process, _running: running };
            active.insert((key.namespace.clone(), group), entry);
        }
        Ok(Outcome::Done)
    }
}
