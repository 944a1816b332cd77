//! Carries a plan out: decides what may start, owns the state, makes every step durable.
//!
//! One loop. Workers run side by side and only send reports; transitions that arrive together are written
//! together, so a wave of Kubernetes objects costs one sync. An intent is durable before its worker starts.

mod hooks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::address::{Address, Identity};
use crate::backend::{BackendError, Session};
use crate::engine::limit::Limit;
use crate::engine::refresh::Drivers;
use crate::engine::worker::{Failure, Job, Report, Shared, Worker};
use crate::env::clock::SharedClock;
use crate::event::{Event, Sink};
use crate::plan::execution::{self, Phase, Task};
use crate::plan::model::{Action, Plan, Reason, ResourceChange};
use crate::resource::driver::{Ownership, Subject};
use crate::resource::kind::{Kind, KindTable, Observed};
use crate::resource::model::Ceded;
use crate::state::model::Intent;
use crate::state::transition::Transition;
use crate::value::{Reference, Scope, Value};

/// How far an interruption has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interrupt {
    /// Nobody interrupts.
    None,
    /// Finish what is in flight, start nothing.
    Finish,
    /// Leave at once.
    Leave,
}

/// Everything a run needs besides the plan.
pub struct Run<'a> {
    /// Kinds, shared with the workers.
    pub kinds: BTreeMap<&'static str, Arc<dyn Kind>>,
    /// Drivers.
    pub drivers: &'a Drivers,
    /// Time.
    pub clock: SharedClock,
    /// Who watches.
    pub sink: Arc<dyn Sink>,
    /// How to mark what is made.
    pub ownership: Ownership,
    /// What was observed when the plan was made.
    pub observed: BTreeMap<Identity, Observed>,
    /// Values of the secret inputs.
    pub secrets: BTreeMap<String, String>,
    /// Calls under way at any time.
    pub parallelism: usize,
    /// Ctrl-C.
    pub interrupt: watch::Receiver<Interrupt>,
    /// Start ready tasks in an order drawn from this seed instead of the most urgent first: for tests that
    /// show that the graph alone keeps a run correct.
    pub shuffle: Option<u64>,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Resources made.
    pub added: usize,
    /// Resources changed.
    pub changed: usize,
    /// Resources deleted.
    pub destroyed: usize,
    /// Hooks that ran to their end.
    pub run: usize,
    /// Changes that failed.
    pub failed: Vec<(Address, Failure)>,
    /// Changes not tried.
    pub skipped: usize,
    /// The user stopped it.
    pub interrupted: bool,
    /// Outputs of everything that is referred to, for the stack's outputs and proofs.
    pub outputs: BTreeMap<Address, Value>,
    /// How long changes took, in milliseconds, where that is worth a note for the next plan.
    pub took: BTreeMap<Identity, BTreeMap<Intent, u64>>,
}

impl Summary {
    /// Whether everything in the plan was done.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.skipped == 0 && !self.interrupted
    }
}

/// As many tasks start between two looks at the reports; bounds the size of one journal write.
const WAVE: usize = 512;

/// Carries `plan` out.
///
/// # Errors
/// Only when the state cannot be written. What a platform refuses is in the summary.
pub async fn run(plan: &Plan, session: &mut dyn Session, run: Run<'_>) -> Result<Summary, BackendError> {
    let (reports, inbox) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        clock: run.clock.clone(),
        sink: run.sink.clone(),
        ownership: run.ownership.clone(),
        calls: Limit::new(run.parallelism),
        leash: session.leash(),
        reports,
    });
    Dispatcher::new(plan, session, run, shared).dispatch(inbox).await
}

/// A write of the state that takes longer is spoken of.
const SLOW: Duration = Duration::from_secs(10);

/// What takes less, and was expected to, is not worth a note: an object that is there with the answer.
const NOTABLE: Duration = Duration::from_secs(2);

/// How often workers are let run for more of their reports before a batch is written.
const ROUNDS: usize = 4;

/// Takes the reports that are there, and those that come once workers whose answers have arrived have run: answers
/// pile up while a batch is written, and one sync serves them all.
async fn gather(inbox: &mut mpsc::UnboundedReceiver<Report>, batch: &mut Vec<Report>) {
    for _ in 0..ROUNDS {
        let before = batch.len();
        while let Ok(report) = inbox.try_recv() {
            batch.push(report);
        }
        if batch.len() >= WAVE || (batch.len() == before && before > 1) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Outputs and secrets as references see them during a run.
struct Known<'a> {
    outputs: &'a BTreeMap<Address, Value>,
    secrets: &'a BTreeMap<String, String>,
}

impl Scope for Known<'_> {
    fn output(&self, reference: &Reference) -> Option<Value> {
        self.outputs.get(&reference.address)?.at(&reference.path).cloned()
    }

    fn secret(&self, input: &str) -> Option<String> {
        self.secrets.get(input).cloned()
    }
}

struct Dispatcher<'a, 'r> {
    plan: &'a Plan,
    session: &'a mut dyn Session,
    run: Run<'r>,
    shared: Arc<Shared>,
    tasks: Vec<Task>,
    dependents: Vec<Vec<usize>>,
    /// Unfinished dependencies per task.
    missing: Vec<usize>,
    /// Seconds from the start of the task to the end of the plan by the estimates, longest way.
    remaining: Vec<u64>,
    ready: BTreeSet<(std::cmp::Reverse<u64>, usize)>,
    in_flight: BTreeSet<usize>,
    /// Tasks that cannot run, with the cause.
    blocked: BTreeMap<usize, String>,
    /// Hooks that ran, and whether they succeeded.
    ran: BTreeMap<Address, bool>,
    referenced: BTreeSet<Address>,
    exclusive: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
    summary: Summary,
}

impl<'a, 'r> Dispatcher<'a, 'r> {
    fn new(plan: &'a Plan, session: &'a mut dyn Session, run: Run<'r>, shared: Arc<Shared>) -> Self {
        let graph = execution::graph(plan);
        let tasks = graph.nodes().cloned().collect::<Vec<_>>();
        let numbers = tasks.iter().enumerate().map(|(at, task)| (task, at)).collect::<BTreeMap<_, _>>();
        let dependents = tasks
            .iter()
            .map(|task| graph.dependents(task).into_iter().filter_map(|(key, _)| numbers.get(key).copied()).collect())
            .collect::<Vec<Vec<usize>>>();
        let mut missing = vec![0; tasks.len()];
        dependents.iter().flatten().for_each(|&at| missing[at] += 1);
        let mut remaining = vec![0; tasks.len()];
        for task in graph.order().unwrap_or_default().iter().rev() {
            let Some(&at) = numbers.get(task) else { continue };
            let own = plan.change(&task.address).map_or(0, |change| execution::seconds(change, task.phase));
            remaining[at] = own + dependents[at].iter().map(|&d| remaining[d]).max().unwrap_or(0);
        }
        if let Some(seed) = run.shuffle {
            let random = crate::env::random::SeededRandom::new(seed);
            remaining.iter_mut().for_each(|urgency| *urgency = random.next());
        }
        let ready = (0..tasks.len()).filter(|&at| missing[at] == 0);
        let ready = ready.map(|at| (std::cmp::Reverse(remaining[at]), at)).collect();
        let mut referenced = BTreeSet::new();
        let mut note = |value: &Value| {
            value.visit_templates(&mut |t| referenced.extend(t.references().map(|r| r.address.clone())));
        };
        plan.changes.iter().filter_map(|c| c.after.as_deref()).for_each(&mut note);
        plan.outputs.values().filter_map(|o| o.after.as_ref()).for_each(&mut note);
        plan.proofs.iter().for_each(|proof| {
            note(&proof.url);
            proof.ca.iter().for_each(&mut note);
        });
        referenced.extend(plan.changes.iter().filter_map(|c| c.connection.clone()));
        drop(numbers);
        Dispatcher {
            plan,
            session,
            run,
            shared,
            tasks,
            dependents,
            missing,
            remaining,
            ready,
            in_flight: BTreeSet::new(),
            blocked: BTreeMap::new(),
            ran: BTreeMap::new(),
            referenced,
            exclusive: BTreeMap::new(),
            summary: Summary::default(),
        }
    }

    async fn dispatch(mut self, mut inbox: mpsc::UnboundedReceiver<Report>) -> Result<Summary, BackendError> {
        let mut interrupt = self.run.interrupt.clone();
        let mut listening = true;
        let mut level = *interrupt.borrow_and_update();
        let mut broken: Option<BackendError> = None;
        if level == Interrupt::None
            && let Err(error) = self.promise_hooks().await
        {
            self.strand(&mut broken, error);
        }
        loop {
            if level == Interrupt::None
                && broken.is_none()
                && let Err(error) = self.start_ready().await
            {
                self.strand(&mut broken, error);
            }
            if self.in_flight.is_empty() && (self.ready.is_empty() || level > Interrupt::None || broken.is_some()) {
                break;
            }
            if self.in_flight.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                report = inbox.recv() => {
                    let Some(report) = report else { break };
                    let mut batch = vec![report];
                    gather(&mut inbox, &mut batch).await;
                    if let Err(error) = self.take(batch).await {
                        self.strand(&mut broken, error);
                    }
                }
                changed = interrupt.changed(), if listening => {
                    if changed.is_err() {
                        // Nobody can interrupt any more.
                        listening = false;
                        continue;
                    }
                    level = *interrupt.borrow_and_update();
                    self.summary.interrupted = true;
                    self.run.sink.emit(Event::Interrupted {
                        in_flight: self.in_flight.len(),
                        at_once: level == Interrupt::Leave,
                    });
                    if level == Interrupt::Leave {
                        break;
                    }
                }
            }
        }
        self.count_skipped(level > Interrupt::None);
        match broken {
            Some(error) => Err(error),
            None => Ok(self.summary),
        }
    }

    /// Makes transitions durable; says so when that takes long, because a store is away.
    async fn commit(&mut self, transitions: Vec<Transition>) -> Result<(), BackendError> {
        let (clock, sink) = (self.run.clock.clone(), self.run.sink.clone());
        let in_flight = self.in_flight.len();
        let mut writing = self.session.commit(transitions);
        tokio::select! {
            biased;
            written = &mut writing => return written,
            () = clock.sleep(SLOW) => {}
        }
        let begun = match in_flight {
            0 => "nothing is under way".to_owned(),
            1 => "1 started change goes on".to_owned(),
            number => format!("{number} started changes go on"),
        };
        let what = format!("Waiting for the state to be written: its store does not answer. Meanwhile {begun}.");
        sink.emit(Event::Stage { what });
        writing.await
    }

    /// Takes note of the first write that failed, and says what is still under way.
    fn strand(&self, broken: &mut Option<BackendError>, error: BackendError) {
        if broken.is_some() {
            return;
        }
        if !self.in_flight.is_empty() {
            let in_flight = self.in_flight.iter().map(|at| self.tasks[*at].address.clone()).collect();
            self.run.sink.emit(Event::Stranded { because: error.to_string(), in_flight });
        }
        *broken = Some(error);
    }

    /// Starts everything that may start. Tasks without work finish here and may make more ready.
    async fn start_ready(&mut self) -> Result<(), BackendError> {
        while !self.ready.is_empty() {
            let mut transitions = Vec::new();
            let mut launches = Vec::new();
            while let Some((_, at)) = self.ready.pop_first() {
                match self.prepare(at, &mut transitions) {
                    Prepared::Nothing => self.finished(at),
                    Prepared::Launch(worker, job) => launches.push((at, worker, job)),
                    Prepared::Impossible(failure) => {
                        let address = self.tasks[at].address.clone();
                        self.run.sink.emit(Event::Failed {
                            address: address.clone(),
                            action: self.plan.change(&address).map_or(Action::NoOp, |c| c.action),
                            causes: failure.causes.clone(),
                            hint: failure.hint.clone(),
                        });
                        self.failed(at, failure);
                    }
                }
                if launches.len() >= WAVE {
                    break;
                }
            }
            self.commit(transitions).await?;
            for (at, worker, job) in launches {
                self.in_flight.insert(at);
                tokio::spawn(worker.run(job));
            }
        }
        Ok(())
    }

    async fn take(&mut self, batch: Vec<Report>) -> Result<(), BackendError> {
        let mut transitions = Vec::new();
        let mut answers = Vec::new();
        let mut over = Vec::new();
        for report in batch {
            match report {
                Report::Commit(mut more, answer) => {
                    transitions.append(&mut more);
                    answers.push(answer);
                }
                Report::Over(at, result, elapsed) => {
                    if let Some(elapsed) = elapsed.filter(|_| result.is_ok()) {
                        self.measured(at, elapsed);
                    }
                    over.push((at, result));
                }
            }
        }
        let committed = self.commit(transitions).await;
        for answer in answers {
            answer.send(committed.is_ok()).ok();
        }
        for (at, result) in over {
            self.in_flight.remove(&at);
            match result {
                Ok(observed) => {
                    self.succeeded(at, observed);
                    self.finished(at);
                }
                Err(failure) => self.failed(at, failure),
            }
        }
        committed
    }

    /// Takes note of how long a change took, where that is not nothing, or is not what was expected.
    fn measured(&mut self, at: usize, elapsed: Duration) {
        let Task { phase, address } = &self.tasks[at];
        let Some(change) = self.plan.change(address).filter(|change| !change.resume) else { return };
        let intent = match (phase, change.action) {
            (_, Action::Run) | (Phase::Apply, Action::Create | Action::Replace) => Intent::Create,
            (Phase::Destroy, _) => Intent::Delete,
            _ => Intent::Update,
        };
        let expected = Duration::from_secs(execution::seconds(change, *phase));
        if elapsed.max(expected) >= NOTABLE || change.measured > 0 {
            let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            self.summary.took.entry(address.identity()).or_default().insert(intent, milliseconds);
        }
    }

    fn succeeded(&mut self, at: usize, observed: Option<Observed>) {
        let task = &self.tasks[at];
        let Some(change) = self.plan.change(&task.address) else { return };
        match (task.phase, change.action) {
            (Phase::Clear, _) => {}
            (_, Action::Run) => {
                self.ran.insert(task.address.clone(), true);
                self.summary.run += 1;
            }
            (Phase::Destroy, Action::Forget) => {}
            (Phase::Destroy, _) => self.summary.destroyed += 1,
            (Phase::Apply, Action::Update) => self.summary.changed += 1,
            (Phase::Apply, Action::Create | Action::Replace) => self.summary.added += 1,
            (Phase::Apply, _) if change.resume => self.summary.added += 1,
            (Phase::Apply, _) => {}
        }
        if let Some(observed) = observed
            && self.referenced.contains(&task.address)
            && let Some(kind) = self.run.kinds.get(change.kind.as_str())
        {
            self.summary.outputs.insert(task.address.clone(), kind.outputs(&observed));
        }
    }

    fn finished(&mut self, at: usize) {
        for dependent in std::mem::take(&mut self.dependents[at]) {
            self.missing[dependent] -= 1;
            if self.missing[dependent] == 0 && !self.blocked.contains_key(&dependent) {
                self.ready.insert((std::cmp::Reverse(self.remaining[dependent]), dependent));
            }
        }
    }

    /// Nothing that needs the task can run. Hooks are cleared away all the same, once it is known what ran.
    fn failed(&mut self, at: usize, failure: Failure) {
        let address = self.tasks[at].address.clone();
        let because = format!("{address} failed");
        if self.plan.change(&address).is_some_and(|change| change.action == Action::Run) {
            self.ran.entry(address.clone()).or_insert(false);
        }
        let mut queue = std::mem::take(&mut self.dependents[at]);
        while let Some(next) = queue.pop() {
            if self.tasks[next].phase == Phase::Clear {
                self.missing[next] -= 1;
                if self.missing[next] == 0 {
                    self.ready.insert((std::cmp::Reverse(self.remaining[next]), next));
                }
            } else if self.blocked.insert(next, because.clone()).is_none() {
                queue.append(&mut self.dependents[next]);
            }
        }
        self.summary.failed.push((address, failure));
    }

    fn count_skipped(&mut self, interrupted: bool) {
        let acts = |address: &Address| self.plan.change(address).is_some_and(|c| c.action.acts() || c.resume);
        let mut skipped: BTreeMap<&Address, String> = BTreeMap::new();
        for (at, because) in &self.blocked {
            let address = &self.tasks[*at].address;
            if acts(address) {
                skipped.insert(address, because.clone());
            }
        }
        if interrupted {
            let never = (0..self.tasks.len())
                .filter(|at| self.missing[*at] > 0 || self.ready.iter().any(|(_, r)| r == at))
                .filter(|at| acts(&self.tasks[*at].address));
            for at in never {
                skipped.entry(&self.tasks[at].address).or_insert_with(|| "the run was interrupted".to_owned());
            }
        }
        self.summary.skipped = skipped.len();
        for (address, because) in skipped {
            self.run.sink.emit(Event::Skipped { address: address.clone(), because });
        }
    }

    fn prepare(&mut self, at: usize, transitions: &mut Vec<Transition>) -> Prepared {
        let task = self.tasks[at].clone();
        // A barrier.
        let Some(change) = self.plan.change(&task.address) else { return Prepared::Nothing };
        let identity = task.address.identity();
        let recorded_identity = change.moved_from.as_ref().map_or_else(|| identity.clone(), Address::identity);
        match task.phase {
            Phase::Destroy => self.prepare_destroy(at, change, recorded_identity, transitions),
            Phase::Clear => self.prepare_clear(at, change),
            Phase::Apply => {
                if change.moved_from.is_some() && self.session.state().resources.contains_key(&recorded_identity) {
                    transitions.push(Transition::Moved { from: recorded_identity.clone(), to: task.address.clone() });
                }
                self.prepare_apply(at, change, &recorded_identity, transitions)
            }
        }
    }

    fn prepare_destroy(
        &mut self,
        at: usize,
        change: &ResourceChange,
        identity: Identity,
        transitions: &mut Vec<Transition>,
    ) -> Prepared {
        let Some(recorded) = self.session.state().resources.get(&identity) else { return Prepared::Nothing };
        let operation = recorded
            .pending
            .as_ref()
            .filter(|pending| pending.action == Intent::Delete && !change.is_hook())
            .and_then(|pending| pending.operation.clone());
        if change.action == Action::Run {
            return self.prepare_hook(at, change, transitions);
        }
        let observed = self.run.observed.get(&identity).cloned();
        if change.action == Action::Forget {
            // What its makers want to stay is let go of, so that whoever wants it next may have it; also where the
            // user has named it.
            let kind = self.run.kinds.get(change.kind.as_str());
            let lets_go = |observed: &Observed| match change.reason {
                Reason::Kept => true,
                Reason::Abandoned => kind.is_some_and(|kind| kind.outlives(&observed.attrs)),
                _ => false,
            };
            let Some(observed) = observed.filter(lets_go) else {
                transitions.push(Transition::Forgotten(identity));
                return Prepared::Nothing;
            };
            return match self.worker(at, change, Action::Forget, None, &observed.attrs) {
                Ok(worker) => Prepared::Launch(Box::new(worker), Job::Release { observed }),
                Err(failure) => Prepared::Impossible(failure),
            };
        }
        if change.goes_with.is_some() || (observed.is_none() && operation.is_none()) {
            transitions.push(Transition::Gone(identity));
            self.summary.destroyed += 1;
            return Prepared::Nothing;
        }
        let attrs = observed.as_ref().map_or(Value::Null, |o| o.attrs.clone());
        let mut worker = match self.worker(at, change, Action::Delete, None, &attrs) {
            Ok(worker) => worker,
            Err(failure) => return Prepared::Impossible(failure),
        };
        let intent = self.intent(change, Intent::Delete);
        worker.again = Some(intent.clone());
        if operation.is_none() {
            transitions.push(intent);
        }
        Prepared::Launch(Box::new(worker), Job::Delete { observed, operation })
    }

    fn prepare_apply(
        &mut self,
        at: usize,
        change: &ResourceChange,
        identity: &Identity,
        transitions: &mut Vec<Transition>,
    ) -> Prepared {
        let observed = self.run.observed.get(identity).cloned();
        if change.action == Action::Record {
            self.record_hook(change, transitions);
            return Prepared::Nothing;
        }
        if change.is_hook() && change.action == Action::NoOp {
            return Prepared::Nothing;
        }
        if !change.action.acts() && !change.resume {
            if let Some(observed) = &observed
                && self.referenced.contains(&change.address)
                && let Some(kind) = self.run.kinds.get(change.kind.as_str())
            {
                self.summary.outputs.insert(change.address.clone(), kind.outputs(observed));
            }
            return Prepared::Nothing;
        }
        let Some(after) = &change.after else { return Prepared::Nothing };
        if change.action == Action::Run {
            return self.prepare_hook(at, change, transitions);
        }
        let known = Known { outputs: &self.summary.outputs, secrets: &self.run.secrets };
        let attrs = match after.resolve(&known) {
            Ok(attrs) => Arc::new(attrs),
            Err(error) => {
                return Prepared::Impossible(Failure { causes: vec![error.to_string()], hint: None, class: None });
            }
        };
        let mut worker = match self.worker(at, change, change.action, Some(&attrs), &attrs) {
            Ok(worker) => worker,
            Err(failure) => return Prepared::Impossible(failure),
        };
        let left_behind = |change: &ResourceChange| {
            let recorded = self.session.state().resources.get(identity).filter(|_| change.resume)?;
            recorded.pending.as_ref().filter(|p| p.action != Intent::Delete).and_then(|p| p.operation.clone())
        };
        match (change.action, observed) {
            (Action::Update | Action::Adopt | Action::NoOp, Some(observed)) => {
                let found = matches!(change.reason, Reason::Found | Reason::Wanted);
                if found {
                    transitions.push(Transition::Adopted {
                        address: change.address.clone(),
                        kind: change.kind.clone(),
                        id: observed.id.clone(),
                    });
                }
                let intent = self.intent(change, Intent::Update);
                worker.again = Some(intent.clone());
                transitions.push(intent);
                let changes = change.changes.clone();
                Prepared::Launch(Box::new(worker), Job::Update { attrs, changes, observed, adopt: change.take })
            }
            _ => {
                let operation = left_behind(change);
                let intent = self.intent(change, Intent::Create);
                worker.again = Some(intent.clone());
                if operation.is_none() {
                    transitions.push(intent);
                }
                Prepared::Launch(Box::new(worker), Job::Create { attrs, operation })
            }
        }
    }

    fn intent(&self, change: &ResourceChange, action: Intent) -> Transition {
        let needs = if action == Intent::Delete { Vec::new() } else { self.plan.needs(&change.address) };
        Transition::Intent {
            address: change.address.clone(),
            kind: change.kind.clone(),
            action,
            at: self.run.clock.now().0,
            needs,
            connection: change.connection.clone(),
        }
    }

    fn worker(
        &mut self,
        number: usize,
        change: &ResourceChange,
        action: Action,
        desired: Option<&Arc<Value>>,
        attrs: &Value,
    ) -> Result<Worker, Failure> {
        let kind = self.run.kinds.get(change.kind.as_str()).cloned();
        let driver = self.run.drivers.get(change.kind.as_str()).cloned();
        let (Some(kind), Some(driver)) = (kind, driver) else {
            return Err(Failure {
                causes: vec![format!("there is no driver for {}", change.kind)],
                hint: None,
                class: None,
            });
        };
        let connection = match &change.connection {
            None => None,
            Some(connection) => {
                let outputs = self.summary.outputs.get(connection).cloned().or_else(|| {
                    // Deletes run before anything was done to the connection itself.
                    let observed = self.run.observed.get(&connection.identity())?;
                    let kind = self.plan.change(connection).map_or("gke.cluster", |c| c.kind.as_str());
                    Some(self.run.kinds.get(kind)?.outputs(observed))
                });
                Some(Arc::new(outputs.ok_or_else(|| Failure {
                    causes: vec![format!("{connection} is not there, and {} lives in it", change.address)],
                    hint: None,
                    class: None,
                })?))
            }
        };
        let recorded = self.session.state().resources.get(&change.address.identity());
        let unrecorded = recorded.is_some_and(|recorded| *recorded.record == Value::Null) && *attrs != Value::Null;
        let mut names = BTreeSet::new();
        if let Some(after) = &change.after {
            after.visit_templates(&mut |t| names.extend(t.secrets().map(str::to_owned)));
        }
        let digests = &self.plan.basis.secrets;
        let secrets = names.into_iter().filter_map(|n| digests.get(&n).map(|d| (n, d.clone()))).collect();
        let exclusive =
            kind.exclusive(&change.address, attrs).map(|key| self.exclusive.entry(key).or_default().clone());
        Ok(Worker {
            shared: self.shared.clone(),
            number,
            action,
            driver,
            subject: Subject {
                adopt: change.take,
                address: change.address.clone(),
                // Where nothing was recorded of it, what is there says where that is.
                desired: desired.cloned().or_else(|| unrecorded.then(|| Arc::new(attrs.clone()))),
                recorded: recorded.map(|r| r.record.clone()),
                id: recorded.and_then(|r| r.id.clone()).or_else(|| change.id.clone()),
                connection,
            },
            ceded: change
                .ceded
                .iter()
                .map(|(path, owner)| Ceded { path: path.clone(), owner: owner.clone() })
                .collect(),
            secrets,
            limit: Duration::from_secs(change.timeout_seconds),
            estimate: Duration::from_secs(execution::seconds(change, self.tasks[number].phase)),
            again: None,
            exclusive,
            kind,
        })
    }
}

enum Prepared {
    /// No work, or state only.
    Nothing,
    /// A worker to start once its intent is durable.
    Launch(Box<Worker>, Job),
    /// It cannot even be tried.
    Impossible(Failure),
}

/// The kinds as shared pointers, for [`Run::kinds`].
pub fn shared_kinds(kinds: &KindTable) -> BTreeMap<&'static str, Arc<dyn Kind>> {
    kinds.names().filter_map(|name| Some((name, kinds.shared(name)?))).collect()
}
