//! What stands in for the add-ons' containers on a real control plane, where no container runs: the programs of
//! the simulator, against a real API server. While kwok says that a pod of theirs is ready they act as its
//! ServiceAccount, as far as real RBAC lets them; their webhooks are asked by the real API server over TLS, with
//! the certificates and CA bundles that the charts and cert-manager made for them.
//!
//! They can be absent, and their webhooks late, silent, broken or wrong.

mod egress;
mod remote;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::Value as Json;
use stackwright::env::clock::{SharedClock, WallClock};
use stackwright::sim::controllers::activation::Activation;
use stackwright::sim::controllers::cloud::{Balancer, Cloud, Disk, Progress};
use stackwright::sim::controllers::devices::Devices;
use stackwright::sim::controllers::faults::{Faults, NoFaults};
use stackwright::sim::controllers::image::Image;
use stackwright::sim::controllers::programs::{Instance, Program, Start};
use stackwright::sim::controllers::services::Services;
use stackwright::sim::controllers::{Controller, Surroundings, addons, cluster, runner};
use stackwright::sim::kube::api::Api;
use stackwright::sim::serving::DataPlane;

pub use egress::Manner;

/// The programs of a control plane's pods; they stop when this is dropped.
pub struct Addons {
    /// What to say in `HTTPS_PROXY` to reach load balancers.
    pub proxy: String,
    manners: Arc<Mutex<BTreeMap<String, Manner>>>,
    reviews: Arc<Mutex<BTreeMap<String, usize>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What to run, and against what.
pub struct Wanted {
    /// The API server.
    pub server: String,
    /// Its authority, PEM.
    pub ca: String,
    /// The administrator's token.
    pub token: String,
    /// Where the API server looks for its egress.
    pub socket: PathBuf,
    /// Programs, by name, whose controllers never start.
    pub absent: Vec<&'static str>,
}

impl Addons {
    /// Starts them in a thread of their own.
    pub fn start(wanted: Wanted) -> Addons {
        let manners = Arc::new(Mutex::new(BTreeMap::new()));
        let reviews = Arc::new(Mutex::new(BTreeMap::new()));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (started, ready) = std::sync::mpsc::channel();
        let (their_manners, their_reviews) = (manners.clone(), reviews.clone());
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async move {
                let api: Arc<dyn Api> = remote::Remote::open(&wanted.server, &wanted.ca, &wanted.token).await;
                let clock: SharedClock = Arc::new(WallClock::new());
                let absent = |program: Arc<dyn Program>| -> Arc<dyn Program> {
                    if wanted.absent.contains(&program.name()) { Arc::new(Absent(program)) } else { program }
                };
                let programs = cluster::programs(
                    addons::programs(&(Arc::new(NoFaults) as Arc<dyn Faults>)).into_iter().map(absent).collect(),
                );
                let egress = Arc::new(egress::Egress {
                    api: api.clone(),
                    clock: clock.clone(),
                    programs: programs.clone(),
                    plane: DataPlane::new(api.clone(), clock.clone()),
                    manners: their_manners,
                    reviews: their_reviews,
                });
                egress.serve(&wanted.socket);
                let proxy = egress.proxy().await;
                let controllers: Vec<Arc<dyn Controller>> = vec![
                    Arc::new(Services { cloud: Arc::new(Balancers::default()), faults: Arc::new(NoFaults) }),
                    Arc::new(Devices { programs: programs.clone() }),
                    Arc::new(Activation::new(programs)),
                ];
                let _running = runner::start(&Surroundings { api, clock }, controllers);
                started.send(proxy).expect("somebody waits");
                stopped.await.ok();
            });
        };
        let thread = std::thread::Builder::new().stack_size(32 << 20).spawn(run).expect("thread");
        let proxy = ready.recv().expect("the programs start");
        Addons { proxy, manners, reviews, stop: Some(stop), thread: Some(thread) }
    }

    /// How the webhooks of a namespace's programs behave from now on.
    pub fn behave(&self, namespace: &str, manner: Manner) {
        self.manners.lock().expect("lock").insert(namespace.to_owned(), manner);
    }

    /// How many reviews have been answered, by path.
    pub fn reviews(&self) -> BTreeMap<String, usize> {
        self.reviews.lock().expect("lock").clone()
    }
}

impl Drop for Addons {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A program whose pod runs and that does nothing.
struct Absent(Arc<dyn Program>);

#[async_trait]
impl Program for Absent {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn runs(&self, image: &Image) -> bool {
        self.0.runs(image)
    }

    fn start(&self, instance: &Instance, around: &Surroundings) -> Start {
        self.0.start(instance, around)
    }

    fn listens(&self, _: &Instance, _: u16) -> bool {
        false
    }
}

/// A cloud whose load balancers are there at once.
#[derive(Default)]
struct Balancers(Mutex<BTreeMap<String, usize>>);

impl Cloud for Balancers {
    fn ensure_load_balancer(&self, balancer: &Balancer) -> Result<Progress<String>, String> {
        let mut known = self.0.lock().expect("lock");
        let next = known.len() + 1;
        let number = *known.entry(balancer.name.clone()).or_insert(next);
        Ok(Progress::Done(format!("203.0.113.{number}")))
    }

    fn release_load_balancer(&self, _: &str) -> Result<Progress<()>, String> {
        Ok(Progress::Done(()))
    }

    fn ensure_disk(&self, _: &Disk) -> Result<Progress<String>, String> {
        Err("this cloud has no disks".to_owned())
    }

    fn delete_disk(&self, _: &str) -> Result<Progress<()>, String> {
        Ok(Progress::Done(()))
    }
}

/// The condition of a kind in words that tests compare: `True`, `False`, or nothing.
pub fn condition<'a>(object: &'a Json, kind: &str) -> &'a str {
    let all = object.pointer("/status/conditions").and_then(Json::as_array).into_iter().flatten();
    let found = all.into_iter().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}
