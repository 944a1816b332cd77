//! A laboratory: whole stacks brought up in this process, on the simulator and its clock, with a hand on what
//! is desired and on the order. For tests that need hundreds of runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use stackwright::backend::Session;
use stackwright::backend::local::LocalBackend;
use stackwright::catalog;
use stackwright::chart::{Answers, Library};
use stackwright::engine::dispatcher::Interrupt;
use stackwright::env::clock::{SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::disk::RealDisk;
use stackwright::env::memory_disk::MemoryDisk;
use stackwright::env::random::SeededRandom;
use stackwright::event::Collected;
use stackwright::ops::apply::{Applied, Apply, apply};
use stackwright::ops::platforms::Platforms;
use stackwright::ops::preview::{Subject, preview};
use stackwright::plan::planner::Options;
use stackwright::provider;
use stackwright::resource::model::Desired;
use stackwright::sim::interior::Clusters;
use stackwright::sim::simulator::{Serving, SimOptions, Simulator};
use stackwright::sim::world::World;
use stackwright::stack;

/// The shipped stacks.
pub const STACKS: [&str; 4] = ["gpu-t4", "tpu-v6e", "rhaii-gpu-t4", "rhaii-tpu-v6e"];

/// The shipped stacks with several copies of a model.
pub const PRODUCTION: [&str; 2] = ["gpu-t4-production", "tpu-v6e-production"];

/// Whether the long forms of suites were asked for.
pub fn is_long() -> bool {
    std::env::var_os("STACKWRIGHT_LONG").is_some()
}

/// The text of a shipped stack.
pub fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(format!("{name}.toml"));
    std::fs::read_to_string(path).expect("a shipped stack")
}

/// A shipped stack, expanded, with the values of its secrets.
pub fn shipped(name: &str) -> (Desired, BTreeMap<String, String>) {
    expanded(name, text(name))
}

/// A stack of the shipped ones' folder, expanded, with the values of its secrets.
pub fn expanded(name: &str, text: String) -> (Desired, BTreeMap<String, String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(format!("{name}.toml"));
    let source = Arc::new(stack::source(&path.display().to_string(), text.into_bytes()).expect("text"));
    let given = stack::inputs::Given { synthesize: true, ..Default::default() };
    let vars = BTreeMap::<String, String>::new();
    let loaded = stack::load(source, &stack::DiskLoader(&RealDisk), &given, &vars).expect("a valid stack");
    let library = Library::new(&RealDisk);
    let options = catalog::ExpandOptions {
        key: None,
        answers: &Answers::default(),
        loader: &stack::DiskLoader(&RealDisk),
        secrets: loaded.inputs.secret_origins(),
        library: &library,
    };
    let (desired, _) = catalog::expand(&loaded.stack, &options).expect("expands");
    let names = loaded.inputs.names().map(str::to_owned).collect::<Vec<_>>();
    let secrets = names.into_iter().filter_map(|n| Some((n.clone(), loaded.inputs.secret(&n)?.to_owned()))).collect();
    (desired, secrets)
}

/// How a run goes.
#[derive(Clone, Default)]
pub struct Conditions {
    /// Rules of what goes wrong.
    pub faults: Option<Json>,
    /// A random order of ready tasks.
    pub shuffle: Option<u64>,
    /// Calls at a time; 16 when zero.
    pub parallelism: usize,
}

/// What came of it.
pub struct Outcome {
    /// As the program reports it.
    pub applied: Applied,
    /// Every failure, causes joined, in the order of their addresses.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Everything was done and the model answered.
    pub fn works(&self) -> bool {
        self.applied.is_complete()
    }
}

/// Brings a stack up in a new world.
pub fn bring_up(desired: &Desired, secrets: &BTreeMap<String, String>, conditions: &Conditions) -> Outcome {
    with_room(|| run(desired, secrets, conditions))
}

/// A test's thread has a quarter of a main thread's stack, and unoptimised futures are large.
pub fn with_room<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, run).expect("a thread");
        thread.join().expect("the run does not panic")
    })
}

/// The simulator over a world, and its address; it ends with what is returned.
pub async fn simulate(world: Arc<World>, clock: &SharedClock, faults: Option<Json>) -> (Arc<Simulator>, Serving) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let options =
        SimOptions { world, clock: clock.clone(), seed: Some(7), speed: None, faults, interiors: Arc::new(Clusters) };
    let simulator = Simulator::open(options).await.expect("simulator");
    let serving = simulator.serve(([127, 0, 0, 1], 0).into()).await.expect("socket");
    (simulator, serving)
}

/// What one process has in hand to reach the simulator.
pub fn platforms(serving: &Serving, clock: &SharedClock, random: Arc<SeededRandom>) -> Platforms {
    trusting(serving, None, clock, random)
}

/// The same, trusting this root in servers with public names.
pub fn trusting(
    serving: &Serving,
    public_root: Option<String>,
    clock: &SharedClock,
    random: Arc<SeededRandom>,
) -> Platforms {
    reaching(&serving.url, Some(&serving.url), public_root, clock, random)
}

/// What reaches Google at one address, and what lies behind gateways through another.
pub fn reaching(
    google: &str,
    proxy: Option<&str>,
    public_root: Option<String>,
    clock: &SharedClock,
    random: Arc<SeededRandom>,
) -> Platforms {
    let providers = provider::registry(provider::ProviderOptions {
        google_endpoint: Some(google.to_owned()),
        proxy: proxy.map(str::to_owned),
        public_root,
        project: Some("sim-project".to_owned()),
        given: None,
        clock: clock.clone(),
        random: random.clone(),
        vars: Arc::new(BTreeMap::<String, String>::new()),
    })
    .expect("providers");
    Platforms {
        kinds: providers.kinds,
        drivers: providers.drivers,
        site: providers.site,
        prover: providers.prover,
        models: providers.models,
        objects: providers.objects,
        preflight: providers.preflight,
        clock: clock.clone(),
        random,
    }
}

fn run(desired: &Desired, secrets: &BTreeMap<String, String>, conditions: &Conditions) -> Outcome {
    // A fixed day: two runs see the same times.
    let clock = DiscreteClock::new(Timestamp(1_800_000_000_000));
    let runtime = clock.runtime().expect("runtime");
    runtime.block_on(async {
        let shared: SharedClock = Arc::new(clock.clone());
        let (_simulator, serving) = simulate(World::in_memory(), &shared, conditions.faults.clone()).await;
        let random = Arc::new(SeededRandom::new(conditions.shuffle.unwrap_or(1)));
        let platforms = platforms(&serving, &shared, random);
        let backend = LocalBackend::new(Arc::new(MemoryDisk::new()), &PathBuf::from("state"), &desired.stack);
        let mut session = backend.open("lab").expect("state");
        let options = Options::default();
        let subject = Subject::bare(desired, session.state(), &options);
        let planned = preview(&platforms, subject).await.expect("a plan");
        let sink = Arc::new(Collected::default());
        let (_sender, interrupt) = tokio::sync::watch::channel(Interrupt::None);
        let job = Apply {
            plan: &planned.plan,
            observed: planned.observed,
            secrets: secrets.clone(),
            ttl: None,
            parallelism: if conditions.parallelism == 0 { 16 } else { conditions.parallelism },
            sink: sink.clone(),
            interrupt,
            shuffle: conditions.shuffle,
        };
        let applied = apply(&platforms, &mut session, job).await.expect("state can be written");
        let failures = failures(&applied);
        Outcome { applied, failures }
    })
}

/// Every failure, causes joined, in the order of their addresses.
pub fn failures(applied: &Applied) -> Vec<String> {
    let failed = applied.summary.failed.iter();
    let mut failures = failed
        .map(|(address, failure)| format!("{address}: {}", failure.causes.join(": ")))
        .chain(applied.unproved.iter().map(|(component, f)| format!("{component}: {}", f.causes.join(": "))))
        .collect::<Vec<_>>();
    failures.sort();
    failures
}
