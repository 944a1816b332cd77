//! The object store that the state is in goes away in the middle of a run, at any of its requests.
//!
//! A run goes on as far as what it sets out to do can be recorded, and then ends by itself; what it has learnt
//! meanwhile is pushed by the next run, or found out again by one from elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cloud::{Cloud, desired};
use super::runs::{Machine, actions};
use crate::backend::memory_store::MemoryStore;
use crate::backend::remote::{Me, RemoteBackend, RemoteSession};
use crate::backend::{BackendError, Session, Unpushed};
use crate::engine::dispatcher::{Interrupt, Summary};
use crate::env::clock::{Clock, SharedClock};
use crate::env::discrete::DiscreteClock;
use crate::env::memory_disk::MemoryDisk;
use crate::plan::model::Plan;
use crate::resource::model::Desired;
use crate::state::model::State;

/// One machine after another in a world with one store.
struct Office {
    machine: Machine,
    clock: DiscreteClock,
    store: MemoryStore,
}

impl Office {
    fn backend(&self, disk: &MemoryDisk) -> RemoteBackend {
        let shared: SharedClock = Arc::new(self.clock.clone());
        let (store, disk) = (Arc::new(self.store.clone()), Arc::new(disk.clone()));
        RemoteBackend::new(store, shared, "demo", disk, PathBuf::from("unpushed"), |_| true)
    }

    async fn open(&self, disk: &MemoryDisk, name: &str) -> Result<RemoteSession, BackendError> {
        let me = Me { run: name.to_owned(), holder: format!("run {name}"), process: None };
        self.backend(disk).open(&me, Duration::from_secs(900), &|_| {}).await
    }

    /// One run: plan and apply, and what of it is not in the store.
    async fn run(
        &self,
        disk: &MemoryDisk,
        name: &str,
        stack: &Desired,
    ) -> (Result<(Plan, Summary), BackendError>, Option<Unpushed>) {
        let mut session = match self.open(disk, name).await {
            Ok(session) => session,
            Err(error) => return (Err(error), None),
        };
        let cloud = Cloud { books: self.machine.books.clone(), clock: Arc::new(self.clock.clone()) };
        let done = self.machine.process(&mut session, stack, cloud, self.clock.clone(), Interrupt::None).await;
        session.close().await;
        (done, session.unpushed())
    }

    async fn state(&self) -> State {
        self.backend(&MemoryDisk::new()).read().await.expect("the store is back").state
    }
}

fn office<T>(play: impl AsyncFnOnce(Office) -> T) -> T {
    let machine = Machine::new();
    let clock = DiscreteClock::new(machine.now);
    let store = MemoryStore::new(Arc::new(clock.clone()));
    let runtime = clock.runtime().expect("runtime");
    runtime.block_on(play(Office { machine, clock, store }))
}

/// What came of one outage.
struct Outcome {
    /// The run had that many requests.
    was_met: bool,
    /// It ended without an error.
    is_complete: bool,
    /// It left records to be pushed.
    unpushed: usize,
}

/// The store goes away at the `nth` request of a run; the next one is from the same place, or from another.
fn outage(nth: u64, seconds: u64, is_carried_out: bool, from_elsewhere: bool) -> Outcome {
    let stack = desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"]), ("c", 1, "x", &["b"])]);
    let at = format!("request {nth}, {seconds} s, {is_carried_out}, {from_elsewhere}");
    office(async |office| {
        let (here, there) = (MemoryDisk::new(), MemoryDisk::new());
        office.store.outage(nth, Duration::from_secs(seconds), is_carried_out);
        let begun = office.clock.now();
        let (first, unpushed) = office.run(&here, "first", &stack).await;
        let was_met = office.store.calm();
        let took = office.clock.now().since(begun);
        // Three things of a minute each; the lease and one wait for it; the rest is for the last attempts.
        assert!(took < Duration::from_secs(600), "{at}: it did not end for {took:?}");
        let is_complete = first.as_ref().is_ok_and(|(_, summary)| summary.is_complete());
        if let Some(unpushed) = &unpushed {
            assert!(!is_complete && unpushed.error.is_none(), "{at}");
        }
        // Whatever was made was to be made as far as anybody can know who reads what was recorded.
        office.clock.sleep(Duration::from_secs(seconds)).await;
        let known = office.state().await;
        for name in office.machine.books.lock().expect("books").things.keys() {
            assert!(
                known.resources.keys().any(|identity| identity.as_str() == name),
                "{at}: {name} was made in secret"
            );
        }
        let (second, _) = office.run(if from_elsewhere { &there } else { &here }, "second", &stack).await;
        let (_, summary) = second.unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(summary.is_complete(), "{at}: {:?}", summary.failed);
        // Whoever comes back later pushes nothing that has been settled since.
        for (name, disk) in [("third", &here), ("fourth", &there)] {
            let (plan, _) = office.run(disk, name, &stack).await.0.unwrap_or_else(|error| panic!("{at}: {error}"));
            assert!(plan.is_empty(), "{at}: {:?}", actions(&plan));
        }
        let state = office.state().await;
        assert!(state.resources.len() == 3 && state.resources.values().all(|r| r.pending.is_none()), "{at}");
        assert_eq!(office.machine.books.lock().expect("books").made, 3, "{at}");
        Outcome { was_met, is_complete, unpushed: unpushed.map_or(0, |unpushed| unpushed.records) }
    })
}

/// One outage at each request of a run; how many there were, how many runs went on to their end, and how many left
/// something to be pushed.
fn everywhere(seconds: u64) -> (usize, usize, usize) {
    let (mut met, mut complete, mut left) = (0, 0, 0);
    for nth in 1.. {
        let mut ways = [(false, false), (false, true), (true, false), (true, true)].into_iter();
        let outcomes = ways.by_ref().map(|(carried, elsewhere)| outage(nth, seconds, carried, elsewhere));
        let outcomes = outcomes.collect::<Vec<_>>();
        if !outcomes.iter().any(|outcome| outcome.was_met) {
            break;
        }
        met += outcomes.len();
        complete += outcomes.iter().filter(|outcome| outcome.is_complete).count();
        left += outcomes.iter().filter(|outcome| outcome.unpushed > 0).count();
    }
    (met, complete, left)
}

#[test]
fn for_ten_minutes() {
    let (met, complete, left) = everywhere(600);
    assert!(met >= 80 && left >= 30, "{met} outages, {complete} runs went on, {left} left records");
    // Only what needs the store no more.
    assert!(complete < met / 4, "{complete} of {met}");
}

#[test]
fn for_less_than_a_write_is_tried() {
    let (met, complete, left) = everywhere(40);
    assert!(met >= 80, "{met}");
    assert_eq!((complete, left), (met, 0));
}

/// Longer than a lease, while nothing is to be written: the lease is renewed when the store is back.
#[test]
fn while_nothing_is_written() {
    let stack = desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"])]);
    office(async |office| {
        let disk = MemoryDisk::new();
        let mut session = office.open(&disk, "a").await.expect("free");
        let leash = session.leash();
        office.store.outage(1, Duration::from_secs(300), false);
        office.clock.sleep(Duration::from_secs(250)).await;
        assert!(!leash.holds(office.clock.now()));
        office.clock.sleep(Duration::from_secs(80)).await;
        assert!(leash.holds(office.clock.now()), "nobody has taken it over");
        let cloud = Cloud { books: office.machine.books.clone(), clock: Arc::new(office.clock.clone()) };
        let done = office.machine.process(&mut session, &stack, cloud, office.clock.clone(), Interrupt::None).await;
        assert!(done.expect("written").1.is_complete());
    });
}
