//! Hooks on the small cloud: when they run, in which order, and that a stop at any point runs none of them twice.

use std::time::Duration;

use async_trait::async_trait;

use super::cloud::{Cloud, desired};
use super::runs::{Machine, actions};
use crate::address::{Address, ObjectKey};
use crate::engine::dispatcher::{Interrupt, Summary};
use crate::plan::model::{Action, Plan};
use crate::resource::driver::{Ack, ApplyRequest, Driver, Ownership, Poll, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::hook::{self, ATTEMPT, Hook, Moment};
use crate::resource::kind::{Change, Kind, Observed, Prior};
use crate::resource::model::{Ceded, Desired, Need, Resource};
use crate::resource::readiness::Readiness;
use crate::value::{Map, Value};

pub(super) struct HookKind;

impl Kind for HookKind {
    fn name(&self) -> &'static str {
        hook::KIND
    }

    fn diff(&self, _: &Value, _: &[Ceded], _: Prior<'_>) -> Vec<Change> {
        Vec::new()
    }

    fn drift(&self, _: &[Ceded], _: Prior<'_>) -> Vec<Change> {
        Vec::new()
    }

    fn record(&self, _: &Value, _: &[Ceded], _: &Observed) -> Value {
        Value::Null
    }

    fn outputs(&self, _: &Observed) -> Value {
        Value::map()
    }
}

/// Runs hooks: an object each, which has ended after 20 s. Those that are refused fail.
pub(super) struct Hooks(pub(super) Cloud);

fn name(subject: &Subject) -> String {
    subject.address.object_key().unwrap_or_default().to_owned()
}

#[async_trait]
impl Driver for Hooks {
    async fn read(&self, subjects: &[Subject], _: &Ownership) -> Vec<Result<Option<Observed>, ProviderError>> {
        self.0.tick().await;
        let books = self.0.books.lock().expect("books");
        let found = |subject: &Subject| {
            let run = books.hooks.get(&name(subject))?;
            Some(Observed { id: run.0.clone(), attrs: Value::Null })
        };
        subjects.iter().map(|subject| Ok(found(subject))).collect()
    }

    async fn create(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        self.0.tick().await;
        let name = name(&request.subject);
        {
            let mut books = self.0.books.lock().expect("books");
            let attempt = request.attrs.get(ATTEMPT).and_then(Value::as_str).expect("an attempt").to_owned();
            let last = books.hooks.get(&name).map(|(last, _)| last.clone());
            if last.as_ref().is_some_and(|last| *last != attempt) {
                books.hooks.remove(&name);
                return Err(ProviderError::new(ErrorClass::Busy, "the last one is being deleted"));
            }
            if last.is_none() {
                let done = self.0.clock.now().plus(Duration::from_secs(20));
                books.log.push(format!("run {name}"));
                books.hooks.insert(name, (attempt, done));
            }
        }
        self.0.tick().await;
        Ok(Ack { observed: Some(Observed { id: "x".into(), attrs: Value::Null }), ..Ack::default() })
    }

    async fn update(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        self.create(request).await
    }

    async fn delete(&self, subject: &Subject, _: &Observed) -> Result<Ack, ProviderError> {
        self.0.tick().await;
        let gone = self.0.books.lock().expect("books").hooks.remove(&name(subject)).is_none();
        self.0.tick().await;
        Ok(Ack { readiness: gone.then_some(Readiness::NotFound), ..Ack::default() })
    }

    async fn poll(&self, subject: &Subject, _: Option<&str>) -> Result<Poll, ProviderError> {
        self.0.tick().await;
        let books = self.0.books.lock().expect("books");
        let Some((_, done)) = books.hooks.get(&name(subject)) else {
            return Ok(Poll { readiness: Readiness::NotFound, observed: None });
        };
        let readiness = match *done > self.0.clock.now() {
            true => Readiness::waiting("its end"),
            false if books.refuse.contains(&name(subject)) => Readiness::failed("it failed".to_owned()),
            false => Readiness::Current,
        };
        Ok(Poll { readiness, observed: Some(Observed { id: "x".into(), attrs: Value::Null }) })
    }
}

/// A component `c` of two things, of this size, with hooks: (moment, name, place, cleared away).
fn component(size: i64, hooks: &[(Moment, &str, i64, bool)]) -> Desired {
    let mut stack = desired(&[("c/one", size, "x", &[]), ("c/two", size, "x", &["c/one"])]);
    let need = |on: &Address| Need { on: on.clone(), reason: "order".into() };
    let mut last: Option<(Moment, Address)> = None;
    for (moment, name, place, clear) in hooks {
        let key = ObjectKey { group: String::new(), kind: "Job".into(), namespace: None, name: (*name).to_owned() };
        let address = hook::address("c", *moment, &key);
        let facts = Hook {
            place: *place,
            clear_success: *clear,
            timeout: 600,
            estimate: 20,
            rendered: (!moment.is_installation() && !moment.is_deletion()).then(|| size.to_string()),
            ..Hook::default()
        };
        let mut needs = Vec::new();
        match moment {
            Moment::PreInstall | Moment::PreUpgrade => {
                stack.resources[..2].iter_mut().for_each(|thing| thing.needs.push(need(&address)));
            }
            Moment::PostDelete => {}
            _ => needs.extend(stack.resources[..2].iter().map(|thing| need(&thing.address))),
        }
        if let Some((_, before)) = last.as_ref().filter(|(before, _)| before == moment && !moment.is_deletion()) {
            needs.push(need(before));
        }
        last = Some((*moment, address.clone()));
        let manifest = Value::Map(Map::from([("name".to_owned(), (*name).into())]));
        stack.resources.push(Resource {
            address,
            kind: hook::KIND,
            attrs: facts.attrs(manifest).into(),
            needs,
            ..stack.resources[0].clone()
        });
    }
    stack
}

const ALL: &[(Moment, &str, i64, bool)] = &[
    (Moment::PreInstall, "a", 0, true),
    (Moment::PreInstall, "b", 1, true),
    (Moment::PostInstall, "c", 0, false),
    (Moment::PreUpgrade, "d", 0, true),
    (Moment::PostUpgrade, "e", 0, true),
    (Moment::PreDelete, "f", 0, true),
    (Moment::PreDelete, "g", 1, false),
    (Moment::PostDelete, "h", 0, true),
];

fn run(machine: &mut Machine, stack: &Desired) -> (Plan, Summary, Vec<String>) {
    let before = machine.books.lock().expect("books").log.len();
    let (plan, summary) = machine.apply(stack, Interrupt::None).expect("ran");
    let log = machine.books.lock().expect("books").log[before..].to_vec();
    (plan, summary, log)
}

fn left(machine: &Machine) -> Vec<String> {
    machine.books.lock().expect("books").hooks.keys().cloned().collect()
}

#[test]
fn each_moment_comes_when_it_should_and_in_its_order() {
    let mut machine = Machine::new();
    let (_, summary, log) = run(&mut machine, &component(1, ALL));
    assert!(summary.is_complete(), "{:?}", summary.failed);
    assert_eq!(
        log,
        ["run pre-install:Job/a", "run pre-install:Job/b", "create c/one", "create c/two", "run post-install:Job/c"]
    );
    assert_eq!(left(&machine), ["post-install:Job/c"]);
    let (plan, _, log) = run(&mut machine, &component(1, ALL));
    assert!(plan.is_empty() && log.is_empty(), "{:?}", actions(&plan));
    let (_, summary, mut log) = run(&mut machine, &component(2, ALL));
    assert!(summary.is_complete(), "{:?}", summary.failed);
    log[1..3].sort();
    assert_eq!(log, ["run pre-upgrade:Job/d", "update c/one", "update c/two", "run post-upgrade:Job/e"]);
    let (plan, ..) = run(&mut machine, &component(2, ALL));
    assert!(plan.is_empty(), "{:?}", actions(&plan));
    let (_, summary, log) = run(&mut machine, &desired(&[]));
    assert!(summary.is_complete(), "{:?}", summary.failed);
    assert_eq!(
        log,
        ["run pre-delete:Job/f", "run pre-delete:Job/g", "delete c/two", "delete c/one", "run post-delete:Job/h"]
    );
    assert_eq!((left(&machine), summary.run), (Vec::new(), 3));
    assert!(machine.backend().read().expect("state").resources.is_empty());
}

#[test]
fn a_hook_that_fails_stops_what_comes_after_it_until_it_succeeds() {
    let mut machine = Machine::new();
    let refuse = |machine: &Machine, name: &str| machine.books.lock().expect("books").refuse.push(name.into());
    refuse(&machine, "pre-install:Job/b");
    let stack = component(1, ALL);
    let (_, summary, log) = run(&mut machine, &stack);
    assert_eq!((summary.failed.len(), log), (1, vec!["run pre-install:Job/a".into(), "run pre-install:Job/b".into()]));
    // What went before it is cleared away; it stays to be looked at.
    assert_eq!(left(&machine), ["pre-install:Job/b"]);
    machine.books.lock().expect("books").refuse.clear();
    machine.books.lock().expect("books").hooks.clear();
    let (_, summary, log) = run(&mut machine, &stack);
    assert!(summary.is_complete(), "{:?}", summary.failed);
    assert_eq!(log[0], "run pre-install:Job/b", "the first one has run already");
    refuse(&machine, "pre-delete:Job/f");
    let (_, summary, log) = run(&mut machine, &desired(&[]));
    assert_eq!((summary.failed.len(), log), (1, vec!["run pre-delete:Job/f".to_owned()]));
    machine.options.no_hooks = true;
    let (_, summary, log) = run(&mut machine, &desired(&[]));
    assert!(summary.is_complete(), "{:?}", summary.failed);
    assert_eq!((log, left(&machine)), (vec!["delete c/two".to_owned(), "delete c/one".to_owned()], Vec::new()));
}

#[test]
fn a_chart_that_gets_hooks_later_is_upgraded_and_not_installed() {
    let mut machine = Machine::new();
    run(&mut machine, &component(1, &[]));
    let (plan, _, log) = run(&mut machine, &component(2, ALL));
    assert_eq!(log[0], "run pre-upgrade:Job/d", "{:?}", actions(&plan));
    assert!(!log.iter().any(|line| line.contains("install")), "{log:?}");
    // A hook that the chart has no longer is forgotten, and does not run when the chart goes.
    let (plan, ..) = run(&mut machine, &component(2, &ALL[..3]));
    assert!(plan.changes.iter().filter(|c| c.is_hook()).all(|c| matches!(c.action, Action::NoOp | Action::Forget)));
    let (_, _, log) = run(&mut machine, &desired(&[]));
    assert_eq!(log, ["delete c/two", "delete c/one"]);
}

/// Stops at point `at` of the last step; afterwards everything is as if it had not, and each hook ran once.
fn crash_at(steps: &[Desired], expected: usize, at: i64) -> bool {
    let mut machine = Machine::new();
    let (last, before) = steps.split_last().expect("a step");
    for step in before {
        machine.apply(step, Interrupt::None).expect("undisturbed");
    }
    let begun = machine.books.lock().expect("books").log.len();
    machine.books.lock().expect("books").fuse = Some(at);
    let stopped = machine.apply(last, Interrupt::None).is_none();
    machine.books.lock().expect("books").fuse = None;
    let (_, summary) = machine.apply(last, Interrupt::None).expect("resumed");
    assert!(summary.is_complete(), "point {at}: {:?}", summary.failed);
    let (plan, _) = machine.apply(last, Interrupt::None).expect("looked again");
    assert!(plan.is_empty(), "point {at}: {:?}", actions(&plan));
    let mut ran = machine.books.lock().expect("books").log[begun..].to_vec();
    ran.retain(|line| line.starts_with("run "));
    assert_eq!(ran.len(), expected, "point {at}: {ran:?}");
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), expected, "point {at}");
    let state = machine.backend().read().expect("state");
    assert!(state.resources.values().all(|r| r.pending.is_none()), "point {at}");
    let kept = if last.resources.is_empty() { 0 } else { 1 };
    assert_eq!(left(&machine).len(), kept, "point {at}");
    stopped
}

fn crash_everywhere(steps: &[Desired], expected: usize) {
    let mut at = 0;
    while crash_at(steps, expected, at) {
        at += 1;
    }
    assert!(at >= 20, "only {at} crash points were met");
}

#[test]
fn whatever_stops_an_installation_no_hook_runs_twice() {
    crash_everywhere(&[component(1, ALL)], 3);
}

#[test]
fn whatever_stops_an_upgrade_no_hook_runs_twice() {
    crash_everywhere(&[component(1, ALL), component(2, ALL)], 2);
}

#[test]
fn whatever_stops_a_deletion_no_hook_runs_twice() {
    crash_everywhere(&[component(1, ALL), desired(&[])], 3);
}
