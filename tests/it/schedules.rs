//! Whatever goes wrong while a stack is brought up and taken away: some runs later everything is there once, and
//! some runs after that nothing is left.
//!
//! A schedule is drawn from a seed: requests that fail, wait or lose their answers, of every kind that an undisturbed
//! run makes, operations that fail or are slow, and kills. Two hundred in the gate; `STACKWRIGHT_SCHEDULES=20000` for
//! more. Kind × fault coverage is printed, and must be nearly whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use stackwright::backend::Session;
use stackwright::backend::local::LocalBackend;
use stackwright::catalog;
use stackwright::chart::{Answers, Library};
use stackwright::diag::Source;
use stackwright::engine::dispatcher::Interrupt;
use stackwright::env::clock::{Clock, SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::disk::RealDisk;
use stackwright::env::memory_disk::MemoryDisk;
use stackwright::env::random::SeededRandom;
use stackwright::event::Collected;
use stackwright::ops::apply::{Apply, apply};
use stackwright::ops::capture;
use stackwright::ops::preview::{Subject, preview};
use stackwright::ops::receipt;
use stackwright::plan::planner::Options;
use stackwright::resource::model::Desired;
use stackwright::sim::requests::Count;
use stackwright::sim::simulator::Serving;
use stackwright::sim::world::World;
use stackwright::stack;

use crate::lab::{platforms, simulate, with_room};

const STACK: &str = r#"
name = "schedule"
[cluster]
project = "sim-project"
location = "europe-west4-a"
system_pool = { machine_type = "n1-standard-4", nodes = 1 }
[node_pools.gpu]
accelerator = "nvidia-t4"
[manifests.app]
files = ["app.yaml"]
"#;

const APP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: app}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: app}
data: {a: "1"}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: one, namespace: app}
spec: {colour: blue}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk, namespace: app}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: docker.io/library/nginx:1.27, volumeMounts: [{name: disk, mountPath: /data}]}]
      volumes: [{name: disk, persistentVolumeClaim: {claimName: disk}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: app}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
"#;

struct App;

impl stack::Loader for App {
    fn load(&self, _: &str, path: &str) -> Result<Arc<Source>, String> {
        Ok(Arc::new(Source { name: path.to_owned(), text: APP.to_owned() }))
    }
}

fn desired() -> Desired {
    let source = Arc::new(Source { name: "stack.toml".to_owned(), text: STACK.to_owned() });
    let given = stack::inputs::Given { synthesize: true, ..Default::default() };
    let loaded = stack::load(source, &App, &given, &BTreeMap::<String, String>::new()).expect("a good stack");
    let library = Library::new(&RealDisk);
    let options = catalog::ExpandOptions {
        key: None,
        answers: &Answers::default(),
        loader: &App,
        secrets: BTreeMap::new(),
        library: &library,
    };
    catalog::expand(&loaded.stack, &options).expect("expands").0
}

/// A machine and a cloud that outlive the processes on them.
struct Lab {
    world: Arc<World>,
    disk: MemoryDisk,
    now: Timestamp,
    /// What was asked by all processes so far.
    asked: BTreeMap<String, Count>,
    total: u64,
}

/// How a process ended.
#[derive(Debug, PartialEq)]
enum End {
    /// It did all that it had planned; whether that was anything.
    Done(bool),
    /// It says what did not work.
    Failed(String),
    Killed,
}

impl Lab {
    fn new() -> Self {
        Lab {
            world: World::in_memory(),
            disk: MemoryDisk::new(),
            now: Timestamp(1_800_000_000_000),
            asked: BTreeMap::new(),
            total: 0,
        }
    }

    /// One process: plans and applies, or destroys; killed with the request of that number.
    fn run(&mut self, desired: &Desired, destroy: bool, kill: Option<u64>, faults: Option<&Json>) -> End {
        with_room(|| self.run_here(desired, destroy, kill, faults))
    }

    fn run_here(&mut self, desired: &Desired, destroy: bool, kill: Option<u64>, faults: Option<&Json>) -> End {
        let clock = DiscreteClock::new(self.now);
        let runtime = clock.runtime().expect("runtime");
        let end = runtime.block_on(async {
            let shared: SharedClock = Arc::new(clock.clone());
            let (simulator, serving) = simulate(self.world.clone(), &shared, faults.cloned()).await;
            let mut total = simulator.google.requests.total();
            let killed = async {
                match kill {
                    Some(kill) => total.wait_for(|total| *total >= kill).await.map(|_| ()).expect("counted"),
                    None => std::future::pending().await,
                }
            };
            let end = tokio::select! {
                biased;
                () = killed => End::Killed,
                end = process(&self.disk, desired, destroy, &serving, shared) => end,
            };
            for (kind, count) in simulator.google.requests.kinds() {
                let sum = self.asked.entry(kind).or_default();
                sum.asked += count.asked;
                count.struck.into_iter().for_each(|(word, times)| *sum.struck.entry(word).or_default() += times);
            }
            self.total += *simulator.google.requests.total().borrow();
            end
        });
        self.now = clock.now();
        drop(runtime);
        if end == End::Killed {
            self.disk.lose_power();
        }
        end
    }

    /// What Google's books say that there is, counted.
    fn books(&self) -> BTreeMap<String, usize> {
        let sections = self.world.sections("google/");
        let kept = sections.into_iter().filter(|section| {
            *section == "google/clusters" || *section == "google/nodePools" || section.starts_with("google/compute/")
        });
        kept.map(|section| (section.clone(), self.world.section(&section).len())).filter(|(_, n)| *n > 0).collect()
    }
}

async fn process(disk: &MemoryDisk, desired: &Desired, destroy: bool, serving: &Serving, clock: SharedClock) -> End {
    let random = Arc::new(SeededRandom::new(clock.now().0));
    let platforms = platforms(serving, &clock, random);
    let backend = LocalBackend::new(Arc::new(disk.clone()), &PathBuf::from("state"), &desired.stack);
    let mut session = backend.open("lab").expect("state");
    let options = Options { destroy, ..Options::default() };
    let none = Desired { stack: desired.stack.clone(), ..Desired::default() };
    let subject = Subject::bare(if destroy { &none } else { desired }, session.state(), &options);
    let planned = match preview(&platforms, subject).await {
        Ok(planned) => planned,
        Err(diagnostics) => return End::Failed(format!("{diagnostics:?}")),
    };
    let (_sender, interrupt) = tokio::sync::watch::channel(Interrupt::None);
    let captured = capture::before(&platforms, &mut session, &planned.plan, &planned.observed).await;
    if let Err(error) = captured {
        return End::Failed(format!("nothing was captured, and nothing deleted: {error}"));
    }
    let job = Apply {
        plan: &planned.plan,
        observed: planned.observed,
        secrets: BTreeMap::new(),
        ttl: None,
        parallelism: 16,
        sink: Arc::new(Collected::default()),
        interrupt: interrupt.clone(),
        shuffle: None,
    };
    let applied = apply(&platforms, &mut session, job).await.expect("the disk works");
    if !destroy {
        capture::after(&platforms, &mut session).await.ok();
    }
    if !applied.is_complete() {
        let failed = applied.summary.failed.iter().map(|(address, f)| format!("{address}: {}", f.causes.join(": ")));
        return End::Failed(failed.collect::<Vec<_>>().join("; "));
    }
    if destroy {
        let matter = receipt::Matter::of(&session, &planned.plan);
        let found = match receipt::examine(&platforms, &matter).await {
            Ok(found) => receipt::sweep(&platforms, &session, &matter, found, &interrupt, &mut |_| {}).await,
            Err(error) => Err(error),
        };
        let examined = match found {
            Ok(examined) => examined,
            Err(error) => return End::Failed(format!("no receipt: {}", error.message)),
        };
        receipt::settle(&mut session, &examined).await.expect("the disk works");
        if !examined.receipt.is_clean() {
            return End::Failed(format!("receipt: {:?} {:?}", examined.receipt.remaining, examined.receipt.unknown));
        }
    }
    End::Done(!planned.plan.is_empty())
}

/// What an undisturbed life looks like.
struct Calm {
    /// Requests of each kind.
    asked: BTreeMap<String, u64>,
    /// Requests of apply, and of destroy.
    requests: [u64; 2],
    /// What there is in between, and afterwards.
    books: [BTreeMap<String, usize>; 2],
}

fn calm(desired: &Desired) -> Calm {
    let mut lab = Lab::new();
    assert_eq!(lab.run(desired, false, None, None), End::Done(true));
    let first = (lab.total, lab.books());
    assert_eq!(lab.run(desired, false, None, None), End::Done(false));
    let second = lab.total;
    assert_eq!(lab.run(desired, true, None, None), End::Done(true));
    let asked = lab.asked.iter().map(|(kind, count)| (kind.clone(), count.asked)).collect();
    Calm { asked, requests: [first.0, lab.total - second], books: [first.1, lab.books()] }
}

/// What can be done to a request: its rule without method, path and number.
const HARMS: &[(&str, &str)] = &[
    ("http-429", r#"{"kind": "http", "status": 429}"#),
    ("http-500", r#"{"kind": "http", "status": 500}"#),
    ("http-503", r#"{"kind": "http", "status": 503, "times": 2}"#),
    ("http-401", r#"{"kind": "http", "status": 401}"#),
    ("http-403", r#"{"kind": "http", "status": 403}"#),
    ("lost-answer", r#"{"kind": "lost-answer"}"#),
    ("delay", r#"{"kind": "delay", "seconds": 70}"#),
];

/// What can be done to operations, and the runs that an apply may need then.
const OPERATIONS: &[&str] = &[
    r#"{"kind": "fail", "operation": "CREATE_CLUSTER", "message": "Internal error."}"#,
    r#"{"kind": "fail", "operation": "CREATE_NODE_POOL", "message": "[GCE_STOCKOUT] no capacity"}"#,
    r#"{"kind": "fail", "operation": "DELETE_NODE_POOL", "message": "Internal error."}"#,
    r#"{"kind": "fail", "operation": "DELETE_CLUSTER", "message": "Internal error."}"#,
    r#"{"kind": "slow", "operation": "CREATE_CLUSTER", "factor": 4.0}"#,
    r#"{"kind": "slow", "operation": "CREATE_NODE_POOL", "factor": 4.0}"#,
    r#"{"kind": "slow", "operation": "DELETE_CLUSTER", "factor": 4.0}"#,
];

/// Runs that a schedule may need until nothing is left to do.
const RUNS: usize = 8;

/// One life under a schedule; what was asked, or what went wrong.
fn live(
    desired: &Desired,
    calm: &Calm,
    seed: u64,
    pairs: &[(String, usize)],
) -> Result<BTreeMap<String, Count>, String> {
    let random = SeededRandom::new(seed);
    let below = |limit: u64| random.next() % limit.max(1);
    let mut rules = Vec::new();
    for (kind, harm) in pairs {
        let (method, path) = kind.split_once(' ').expect("a kind");
        let mut rule: Json = serde_json::from_str(HARMS[*harm].1).expect("a rule");
        rule["method"] = method.into();
        rule["path"] = path.into();
        rule["nth"] = (1 + below(calm.asked[kind])).into();
        rules.push(rule);
    }
    if below(3) == 0 {
        let at = below(OPERATIONS.len() as u64) as usize;
        rules.push(serde_json::from_str(OPERATIONS[at]).expect("a rule"));
    }
    let faults = json!({ "faults": rules });
    let kills = [0, 1].map(|phase| (below(2) == 0).then(|| 1 + below(calm.requests[phase])));
    let mut lab = Lab::new();
    let mut told = Vec::new();
    for (phase, mut kill) in kills.into_iter().enumerate() {
        let destroy = phase == 1;
        let mut ended = false;
        for _ in 0..RUNS {
            let end = lab.run(desired, destroy, kill.take(), Some(&faults));
            told.push(format!("{}: {end:?}", if destroy { "destroy" } else { "apply" }));
            ended = end == End::Done(false) || (destroy && end == End::Done(true));
            if ended {
                break;
            }
        }
        let (books, wanted) = (lab.books(), &calm.books[phase]);
        if !ended || books != *wanted {
            return Err(format!("seed {seed}\n{faults}\nkills {kills:?}\n{}\n{books:?}\n{wanted:?}", told.join("\n")));
        }
    }
    Ok(lab.asked)
}

#[test]
fn what_goes_wrong_is_put_right_and_nothing_stays() {
    let schedules = std::env::var("STACKWRIGHT_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let desired = desired();
    let calm = calm(&desired);
    assert!(calm.books[0].len() > 5, "{:?}", calm.books[0]);
    let pairs =
        calm.asked.keys().flat_map(|kind| (0..HARMS.len()).map(|harm| (kind.clone(), harm))).collect::<Vec<_>>();
    // Every pair in turn, in an order of its own each time round.
    let random = SeededRandom::new(1);
    let mut deck = Vec::new();
    let mut hands = Vec::new();
    for seed in 0..schedules {
        let mut hand = Vec::new();
        while hand.len() < 4 {
            if deck.is_empty() {
                deck.clone_from(&pairs);
                for at in (1..deck.len()).rev() {
                    deck.swap(at, (random.next() % (at as u64 + 1)) as usize);
                }
            }
            hand.extend(deck.pop());
        }
        hands.push((seed as u64, hand));
    }
    let queue = Mutex::new(hands.into_iter());
    let met = Mutex::new(BTreeMap::<String, BTreeSet<String>>::new());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let work = || {
                loop {
                    let next = queue.lock().expect("lock").next();
                    let Some((seed, hand)) = next else { break };
                    // A long run tells how far it is, and what failed while it still runs.
                    if seed % 1000 == 999 {
                        eprintln!("{} schedules", seed + 1);
                    }
                    match live(&desired, &calm, seed, &hand) {
                        Ok(asked) => {
                            let mut met = met.lock().expect("lock");
                            for (kind, count) in asked {
                                met.entry(kind).or_default().extend(count.struck.into_keys());
                            }
                        }
                        Err(text) => {
                            eprintln!("{text}");
                            wrong.lock().expect("lock").push(text);
                        }
                    }
                }
            };
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().expect("lock");
    assert!(wrong.is_empty(), "{} of {schedules}:\n{}", wrong.len(), wrong.join("\n\n"));
    let met = met.into_inner().expect("lock");
    let missed = pairs
        .iter()
        .filter(|(kind, harm)| !met.get(kind).is_some_and(|met| met.contains(HARMS[*harm].0)))
        .map(|(kind, harm)| format!("{kind} × {}", HARMS[*harm].0))
        .collect::<Vec<_>>();
    let covered = pairs.len() - missed.len();
    println!(
        "{schedules} schedules; {covered} of {} pairs of {} kinds and {} faults",
        pairs.len(),
        calm.asked.len(),
        HARMS.len()
    );
    assert!(covered * 100 >= pairs.len() * 95, "not met:\n{}", missed.join("\n"));
}
