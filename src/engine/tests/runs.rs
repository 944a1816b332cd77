//! One run after another: what a user sees of planning and applying, on the small cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::cloud::{Books, Cloud, ThingKind, desired};
use super::hooks::{HookKind, Hooks};
use crate::backend::local::LocalBackend;
use crate::backend::{BackendError, Session};
use crate::engine::dispatcher::{self, Interrupt, Run, Summary};
use crate::engine::refresh::{Drivers, Sight, refresh};
use crate::env::clock::{Clock, Timestamp};
use crate::env::discrete::DiscreteClock;
use crate::env::memory_disk::MemoryDisk;
use crate::event::Collected;
use crate::plan::model::{Action, Plan};
use crate::plan::planner::{self, Options};
use crate::resource::driver::{Driver, Ownership};
use crate::resource::kind::KindTable;
use crate::resource::model::Desired;
use crate::state::transition::Transition;

/// A machine with a disk and a way to the cloud.
pub(super) struct Machine {
    pub(super) disk: MemoryDisk,
    pub(super) books: Arc<Mutex<Books>>,
    pub(super) now: Timestamp,
    pub(super) options: Options,
}

impl Machine {
    pub(super) fn new() -> Self {
        Machine {
            disk: MemoryDisk::new(),
            books: Arc::default(),
            now: Timestamp(1_000_000),
            options: Options::default(),
        }
    }

    pub(super) fn backend(&self) -> LocalBackend {
        LocalBackend::new(Arc::new(self.disk.clone()), Path::new("state"), "demo")
    }

    /// One process: plan and apply. `None` when the machine stopped in between.
    pub(super) fn apply(&mut self, desired: &Desired, interrupt: Interrupt) -> Option<(Plan, Summary)> {
        let clock = DiscreteClock::new(self.now);
        let runtime = clock.runtime().expect("runtime");
        let outcome = runtime.block_on(async {
            let cloud = Cloud { books: self.books.clone(), clock: Arc::new(clock.clone()) };
            // The fuse burns inside calls; the process dies there and then.
            let stop = Arc::new(tokio::sync::Notify::new());
            self.books.lock().expect("books").stopped = stop.clone();
            tokio::select! {
                biased;
                () = stop.notified() => None,
                done = async {
                    let mut session = Fused { inner: self.backend().open("test")?, books: self.books.clone() };
                    self.process(&mut session, desired, cloud, clock.clone(), interrupt).await
                } => done.ok(),
            }
        });
        self.now = clock.now();
        drop(runtime);
        if outcome.is_none() {
            self.disk.lose_power();
            let mut books = self.books.lock().expect("books");
            (books.fuse, books.burnt) = (None, false);
        }
        outcome
    }

    pub(super) async fn process(
        &self,
        session: &mut dyn Session,
        desired: &Desired,
        cloud: Cloud,
        clock: DiscreteClock,
        interrupt: Interrupt,
    ) -> Result<(Plan, Summary), BackendError> {
        let mut kinds = KindTable::default();
        kinds.register(Arc::new(ThingKind));
        kinds.register(Arc::new(HookKind));
        let drivers = Drivers::from([
            ("thing", Arc::new(cloud.clone()) as Arc<dyn Driver>),
            ("k8s.hook", Arc::new(Hooks(cloud)) as Arc<dyn Driver>),
        ]);
        if session.state().is_new() {
            session.commit(vec![Transition::Begin { lineage: "lineage".into(), stack_id: "stack-id".into() }]).await?;
        }
        let ownership = Ownership { stack: "demo".into(), id: "stack-id".into(), expires: None };
        let observed = refresh(
            &kinds,
            &drivers,
            &clock,
            desired,
            session.state(),
            &ownership,
            Sight { adopts: &|_| false, unreachable: None, hints: &BTreeMap::new() },
        )
        .await
        .expect("readable");
        let plan = planner::plan(&planner::Request {
            kinds: &kinds,
            desired,
            recorded: session.state(),
            observed: &observed,
            unreachable: &BTreeSet::new(),
            target: None,
            key: None,
            secrets: &BTreeMap::new(),
            found: &BTreeMap::new(),
            options: &self.options,
        })
        .expect("plannable");
        let (_sender, receiver) = watch::channel(interrupt);
        let run = Run {
            kinds: dispatcher::shared_kinds(&kinds),
            drivers: &drivers,
            clock: Arc::new(clock.clone()),
            sink: Arc::new(Collected::default()),
            ownership,
            observed,
            secrets: BTreeMap::new(),
            parallelism: 10,
            interrupt: receiver,
            shuffle: None,
        };
        let summary = dispatcher::run(&plan, session, run).await?;
        session.compact().await?;
        Ok((plan, summary))
    }
}

/// A session whose writes are crash points too.
struct Fused<S> {
    inner: S,
    books: Arc<Mutex<Books>>,
}

#[async_trait::async_trait]
impl<S: Session> Session for Fused<S> {
    fn state(&self) -> &crate::state::model::State {
        self.inner.state()
    }

    async fn commit(&mut self, transitions: Vec<Transition>) -> Result<(), BackendError> {
        let stopped = || BackendError::Storage {
            what: "append to",
            place: "journal".into(),
            error: std::io::Error::other("the machine stopped"),
        };
        if transitions.is_empty() {
            return Ok(());
        }
        if self.books.lock().expect("books").tick() {
            return Err(stopped());
        }
        self.inner.commit(transitions).await?;
        if self.books.lock().expect("books").tick() { Err(stopped()) } else { Ok(()) }
    }

    async fn compact(&mut self) -> Result<(), BackendError> {
        self.inner.compact().await
    }

    fn notes(&self) -> &[String] {
        self.inner.notes()
    }
}

pub(super) fn actions(plan: &Plan) -> Vec<(&str, Action)> {
    plan.changes.iter().map(|c| (c.address.as_str(), c.action)).collect()
}

#[test]
fn applying_twice_changes_nothing_and_an_edit_is_one_update() {
    let mut machine = Machine::new();
    let stack = desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"])]);
    let (_, summary) = machine.apply(&stack, Interrupt::None).expect("ran");
    assert_eq!((summary.added, summary.is_complete()), (2, true));
    let (plan, _) = machine.apply(&stack, Interrupt::None).expect("ran");
    assert!(plan.is_empty(), "{:?}", actions(&plan));
    let edited = desired(&[("a", 2, "x", &[]), ("b", 1, "x", &["a"])]);
    let (plan, summary) = machine.apply(&edited, Interrupt::None).expect("ran");
    assert_eq!(actions(&plan), [("a", Action::Update), ("b", Action::NoOp)]);
    assert_eq!(summary.changed, 1);
}

#[test]
fn a_replace_takes_dependents_along_in_order() {
    let mut machine = Machine::new();
    machine.apply(&desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"])]), Interrupt::None).expect("ran");
    let moved = desired(&[("a", 1, "y", &[]), ("b", 1, "y", &["a"])]);
    let (plan, summary) = machine.apply(&moved, Interrupt::None).expect("ran");
    assert_eq!(actions(&plan), [("a", Action::Replace), ("b", Action::Replace)]);
    assert_eq!((summary.added, summary.destroyed), (2, 2));
    let log = machine.books.lock().expect("books").log.clone();
    assert_eq!(log, ["create a", "create b", "delete b", "delete a", "create a", "create b"]);
    let (plan, _) = machine.apply(&moved, Interrupt::None).expect("ran");
    assert!(plan.is_empty(), "{:?}", actions(&plan));
}

#[test]
fn independent_branches_go_on_when_one_fails() {
    let mut machine = Machine::new();
    machine.books.lock().expect("books").refuse.push("a".into());
    let stack = desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"]), ("c", 1, "x", &[])]);
    let (_, summary) = machine.apply(&stack, Interrupt::None).expect("ran");
    assert_eq!((summary.added, summary.failed.len(), summary.skipped), (1, 1, 1));
    // A refused create leaves no trace in state.
    assert!(!machine.backend().read().expect("state").resources.keys().any(|i| i.as_str() == "a"));
    machine.books.lock().expect("books").refuse.clear();
    let (_, summary) = machine.apply(&stack, Interrupt::None).expect("ran");
    assert_eq!((summary.added, summary.is_complete()), (2, true));
}

#[test]
fn the_same_answer_is_borne_for_as_long_as_it_says() {
    let mut machine = Machine::new();
    let stack = desired(&[("a", 1, "x", &[])]);
    let deaf = |machine: &Machine, seconds: u64| {
        let until = machine.now.plus(std::time::Duration::from_secs(seconds));
        machine.books.lock().expect("books").deaf = Some(until);
    };
    deaf(&machine, 10_000);
    let before = machine.now;
    let (_, summary) = machine.apply(&stack, Interrupt::None).expect("ran");
    assert_eq!(summary.failed[0].1.causes, ["the same answer for 100 s", "failed calling webhook"]);
    assert_eq!(machine.now.since(before).as_secs(), 100);
    deaf(&machine, 90);
    let (_, summary) = machine.apply(&stack, Interrupt::None).expect("ran");
    assert!(summary.is_complete() && summary.added == 1, "{:?}", summary.failed);
}

#[test]
fn an_interrupted_run_starts_nothing_and_is_taken_up() {
    let mut machine = Machine::new();
    let stack = desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"])]);
    let (_, summary) = machine.apply(&stack, Interrupt::Finish).expect("ran");
    assert_eq!((summary.added, summary.skipped), (0, 2));
    let (_, summary) = machine.apply(&stack, Interrupt::None).expect("ran");
    assert_eq!(summary.added, 2);
}

#[test]
fn removing_everything_deletes_dependents_first() {
    let mut machine = Machine::new();
    machine.apply(&desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"])]), Interrupt::None).expect("ran");
    let (_, summary) = machine.apply(&desired(&[]), Interrupt::None).expect("ran");
    assert_eq!(summary.destroyed, 2);
    let books = machine.books.lock().expect("books");
    assert_eq!(books.log[2..], ["delete b", "delete a"]);
    assert!(books.things.is_empty());
    assert!(machine.backend().read().expect("state").resources.is_empty());
}

#[test]
fn a_deletion_does_not_wait_for_an_update_that_waits_for_it() {
    let mut machine = Machine::new();
    let before = desired(&[("d", 1, "x", &[]), ("f", 1, "x", &["d"]), ("g", 1, "x", &["f"])]);
    machine.apply(&before, Interrupt::None).expect("ran");
    // d is replaced, f goes, and g, which let go of f, needs the new d.
    let after = desired(&[("d", 1, "y", &[]), ("g", 1, "x", &["d"])]);
    let (_, summary) = machine.apply(&after, Interrupt::None).expect("ran");
    assert!(summary.is_complete(), "{:?}", summary.failed);
}

/// Up to eight things, each with a size, a zone, and references to earlier ones.
fn drawn() -> impl proptest::strategy::Strategy<Value = Vec<(bool, i64, bool, Vec<usize>)>> {
    use proptest::prelude::*;
    proptest::collection::vec((any::<bool>(), 0i64..3, any::<bool>(), proptest::collection::vec(0usize..8, 0..3)), 8)
}

fn build(things: &[(bool, i64, bool, Vec<usize>)]) -> Desired {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut stack = Desired { stack: "demo".to_owned(), ..Desired::default() };
    for (at, (there, size, east, from)) in things.iter().enumerate().filter(|(_, thing)| thing.0) {
        let _ = there;
        let from = from.iter().filter(|f| **f < at && things[**f].0).map(|f| names[*f]).collect::<Vec<_>>();
        let one = desired(&[(names[at], *size, if *east { "x" } else { "y" }, &from)]);
        stack.resources.extend(one.resources);
    }
    stack
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    /// From any stack to any other, and then nothing is left to do: creating, changing, replacing and deleting
    /// in one run, whatever refers to what.
    #[test]
    fn any_stack_becomes_any_other(before in drawn(), after in drawn()) {
        let mut machine = Machine::new();
        let (before, after) = (build(&before), build(&after));
        let (_, summary) = machine.apply(&before, Interrupt::None).expect("ran");
        proptest::prop_assert!(summary.is_complete(), "{:?}", summary.failed);
        let (_, summary) = machine.apply(&after, Interrupt::None).expect("ran");
        proptest::prop_assert!(summary.is_complete(), "{:?}", summary.failed);
        let (plan, _) = machine.apply(&after, Interrupt::None).expect("ran");
        proptest::prop_assert!(plan.is_empty(), "{:?}", actions(&plan));
        let there = machine.books.lock().expect("books").things.keys().cloned().collect::<Vec<_>>();
        let wanted = after.resources.iter().map(|r| r.address.as_str().to_owned()).collect::<Vec<_>>();
        proptest::prop_assert_eq!(there, wanted);
    }
}
