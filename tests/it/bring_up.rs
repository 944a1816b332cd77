//! How long bringing a shipped stack up takes in simulated time, against the critical path of its plan; and private
//! clusters, which are reached by name alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stackwright::backend::Session;
use stackwright::backend::local::LocalBackend;
use stackwright::engine::dispatcher::Interrupt;
use stackwright::env::clock::{Clock as _, SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::memory_disk::MemoryDisk;
use stackwright::env::random::SeededRandom;
use stackwright::event::{Collected, Event};
use stackwright::ops::apply::{Apply, apply};
use stackwright::ops::preview::{Subject, preview};
use stackwright::plan::planner::Options;
use stackwright::plan::time::estimate;
use stackwright::resource::model::Desired;
use stackwright::sim::world::World;

use crate::lab::{PRODUCTION, STACKS, expanded, failures, shipped, simulate, trusting, with_room};

/// What a bring-up took and what was expected, and how each step of the chain went.
struct Raised {
    took: Duration,
    expected: f64,
    steps: Vec<String>,
    failures: Vec<String>,
    /// The address that Google shows of the control plane.
    endpoint: String,
}

fn raise(desired: &Desired, secrets: &BTreeMap<String, String>, trusted: bool) -> Raised {
    with_room(|| {
        let clock = DiscreteClock::new(Timestamp(1_800_000_000_000));
        let runtime = clock.runtime().expect("runtime");
        runtime.block_on(async {
            let shared: SharedClock = Arc::new(clock.clone());
            let (simulator, serving) = simulate(World::in_memory(), &shared, None).await;
            let root = if trusted { simulator.public_root() } else { None };
            let platforms = trusting(&serving, root, &shared, Arc::new(SeededRandom::new(1)));
            let backend = LocalBackend::new(Arc::new(MemoryDisk::new()), &PathBuf::from("state"), &desired.stack);
            let mut session = backend.open("lab").expect("state");
            let options = Options::default();
            let subject = Subject::bare(desired, session.state(), &options);
            let planned = preview(&platforms, subject).await.expect("a plan");
            let expected = estimate(&planned.plan, 16);
            let sink = Arc::new(Collected::default());
            let (_sender, interrupt) = tokio::sync::watch::channel(Interrupt::None);
            let job = Apply {
                plan: &planned.plan,
                observed: planned.observed,
                secrets: secrets.clone(),
                ttl: None,
                parallelism: 16,
                sink: sink.clone(),
                interrupt,
                shuffle: None,
            };
            let start = clock.now();
            let applied = apply(&platforms, &mut session, job).await.expect("state can be written");
            let took = Duration::from_millis(clock.now().0 - start.0);
            let events = sink.0.lock().expect("lock");
            let finished = events.iter().filter_map(|event| match event {
                Event::Finished { address, elapsed, .. } => Some((address, *elapsed)),
                _ => None,
            });
            let finished = finished.collect::<BTreeMap<_, _>>();
            let estimates =
                planned.plan.changes.iter().map(|c| (&c.address, c.estimate_seconds)).collect::<BTreeMap<_, _>>();
            let all = finished.iter().filter(|(_, took)| took.as_secs() > 4);
            let mark = |address: &stackwright::address::Address| {
                if expected.critical_path.iter().any(|step| &step.address == address) { "*" } else { " " }
            };
            let steps = all.map(|(address, took)| {
                format!("{}{address}: {:.1} s, estimated {}", mark(address), took.as_secs_f64(), estimates[*address])
            });
            let endpoint = simulator.info()["clusters"][0]["endpoint"].as_str().unwrap_or_default().to_owned();
            let expected = expected.total.as_secs_f64();
            Raised { took, expected, steps: steps.collect(), failures: failures(&applied), endpoint }
        })
    })
}

#[test]
fn the_shipped_stacks_take_as_long_as_their_critical_path() {
    let mut off = Vec::new();
    for name in STACKS.into_iter().chain(PRODUCTION) {
        let (desired, secrets) = shipped(name);
        let raised = raise(&desired, &secrets, true);
        assert_eq!(raised.failures, Vec::<String>::new(), "{name}");
        let (took, expected) = (raised.took.as_secs_f64(), raised.expected);
        println!("{name}: {took:.0} s, critical path {expected:.0} s ({:+.1} %)", (took / expected - 1.0) * 100.0);
        if (took / expected - 1.0).abs() > 0.03 {
            off.push(format!("{name}: took {took:.0} s, expected {expected:.0} s\n  {}", raised.steps.join("\n  ")));
        }
        // The guide that these stacks replace states 45 minutes.
        assert!(took < 45.0 * 60.0, "{name}");
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
}

const PRIVATE: &str = "name = \"hidden\"\n[cluster]\nproject = \"sim-project\"\nlocation = \"europe-west4-a\"\nprivate = true\n[addons.cert-manager]\n";

#[test]
fn a_private_cluster_is_reached_by_its_name() {
    let (desired, secrets) = expanded("hidden", PRIVATE.to_owned());
    let raised = raise(&desired, &secrets, true);
    assert_eq!(raised.failures, Vec::<String>::new());
    assert_eq!(raised.endpoint, "10.128.0.2", "its address is one of the VPC network");
}

#[test]
fn the_name_of_a_private_cluster_is_not_believed_without_its_certificate() {
    let (mut desired, secrets) = expanded("hidden", PRIVATE.to_owned());
    for resource in &mut desired.resources {
        resource.timeout = resource.timeout.min(Duration::from_secs(300));
    }
    let raised = raise(&desired, &secrets, false);
    assert!(raised.failures.iter().any(|failure| failure.contains("certificate")), "{:?}", raised.failures);
}
