//! One change, from intent to readiness: call, retry, wait.
//!
//! A worker owns nothing: what must be remembered it asks the dispatcher to commit, and goes on only once
//! that is durable. The one wait loop of the program is here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use crate::address::{Address, Identity};
use crate::backend::leash::Leash;
use crate::engine::limit::Limit;
use crate::engine::retry::{Delays, is_retryable};
use crate::env::clock::{SharedClock, Timestamp, timeout};
use crate::event::{Event, Sink};
use crate::plan::hooks::RAN;
use crate::plan::model::Action;
use crate::resource::driver::{Ack, ApplyRequest, Driver, Ownership, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::hook;
use crate::resource::kind::{Change, Kind, Observed, Prior};
use crate::resource::model::Ceded;
use crate::resource::readiness::Readiness;
use crate::state::transition::Transition;
use crate::value::Value;

/// No single request takes longer. GKE answers in seconds; an API server's own limit is a minute.
const CALL_LIMIT: Duration = Duration::from_secs(90);

/// What a last try gets where the patience with the same answer is all but over.
const LAST_CALL: Duration = Duration::from_secs(5);

/// How often a wait that says nothing new is reported.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// How long a deletion waits for what is in its way; load balancers go within a minute or two.
const CLEARING: Duration = Duration::from_secs(10 * 60);

/// … and how long for an answer to what that is.
const SILENCE: Duration = Duration::from_secs(2 * 60);

/// What a worker sends to the dispatcher.
pub(super) enum Report {
    /// Make these durable, then answer.
    Commit(Vec<Transition>, oneshot::Sender<bool>),
    /// The task with this number is over, and took so long, where it was done as a whole in this run.
    Over(usize, Result<Option<Observed>, Failure>, Option<Duration>),
}

/// Why a change did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Causes, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The class of the platform's answer, where one has ended it.
    pub class: Option<ErrorClass>,
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Failure { causes: vec![error.message], hint: error.hint, class: Some(error.class) }
    }
}

/// What a worker is to do.
pub(super) enum Job {
    /// Create, or take up an unfinished create.
    Create {
        /// Fully resolved attributes.
        attrs: Arc<Value>,
        /// The operation that an earlier run left behind.
        operation: Option<String>,
    },
    /// Change in place.
    Update {
        /// Fully resolved attributes.
        attrs: Arc<Value>,
        /// What the plan wants changed.
        changes: Vec<Change>,
        /// As it was read.
        observed: Observed,
        /// Take it over.
        adopt: bool,
    },
    /// Delete.
    Delete {
        /// As it was read; `None` when only the operation is left to wait for.
        observed: Option<Observed>,
        /// The operation that an earlier run left behind.
        operation: Option<String>,
    },
    /// Let go of what outlives the stack.
    Release {
        /// As it was read.
        observed: Observed,
    },
    /// Run a hook.
    Run {
        /// Fully resolved attributes.
        attrs: Arc<Value>,
        /// What state keeps of it: its attributes without secrets. `None` at a deletion.
        record: Option<Value>,
        /// Nothing is left to do after it.
        last: bool,
    },
    /// Remove what a hook left behind.
    Clear {
        /// What is true once it is gone.
        then: Option<Transition>,
    },
}

/// What all workers share.
pub(super) struct Shared {
    pub(super) clock: SharedClock,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) ownership: Ownership,
    pub(super) calls: Limit,
    /// Nothing is begun once it has ended.
    pub(super) leash: Leash,
    pub(super) reports: mpsc::UnboundedSender<Report>,
}

/// One change under way.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) number: usize,
    pub(super) action: Action,
    pub(super) kind: Arc<dyn Kind>,
    pub(super) driver: Arc<dyn Driver>,
    pub(super) subject: Subject,
    pub(super) ceded: Vec<Ceded>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) limit: Duration,
    pub(super) estimate: Duration,
    /// What stands again once an operation has ended without success: the same intent, with no operation to wait for.
    pub(super) again: Option<Transition>,
    /// Held for the whole change where the kind wants exclusivity.
    pub(super) exclusive: Option<Arc<tokio::sync::Mutex<()>>>,
}

impl Worker {
    pub(super) async fn run(self, job: Job) {
        // Requests that are made from here are this resource's.
        let span = tracing::debug_span!("resource", address = %self.subject.address);
        self.carry(job).instrument(span).await;
    }

    async fn carry(self, job: Job) {
        let lock = self.exclusive.clone();
        let _exclusive = match &lock {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let begun = self.shared.clock.now();
        let address = self.subject.address.clone();
        // Only where it fails is there anything to say of tidying up.
        let is_quiet = matches!(job, Job::Clear { .. });
        if !is_quiet {
            self.emit(Event::Started { address: address.clone(), action: self.action, estimate: self.estimate });
        }
        let is_whole = match &job {
            Job::Create { operation, .. } | Job::Delete { operation, .. } => operation.is_none(),
            Job::Update { .. } | Job::Run { .. } => true,
            Job::Release { .. } | Job::Clear { .. } => false,
        };
        let result = match job {
            Job::Create { attrs, operation } => self.create(attrs, operation, begun).await.map(Some),
            Job::Update { attrs, changes, observed, adopt } => {
                self.update(attrs, changes, observed, adopt, begun).await.map(Some)
            }
            Job::Delete { observed, operation } => self.delete(observed, operation, begun).await.map(|()| None),
            Job::Release { observed } => self.release(&observed, begun).await.map(|()| None),
            Job::Run { attrs, record, last } => self.hook(attrs, record, last, begun).await.map(|()| None),
            Job::Clear { then } => self.clear(then, begun).await.map(|()| None),
        };
        let elapsed = self.shared.clock.now().since(begun);
        match &result {
            Ok(_) if is_quiet => {}
            Ok(_) => {
                self.emit(Event::Finished { address, action: self.action, elapsed });
            }
            Err(failure) => self.emit(Event::Failed {
                address,
                action: self.action,
                causes: failure.causes.clone(),
                hint: failure.hint.clone(),
            }),
        }
        self.shared.reports.send(Report::Over(self.number, result, is_whole.then_some(elapsed))).ok();
    }

    fn emit(&self, event: Event) {
        self.shared.sink.emit(event);
    }

    fn address(&self) -> Address {
        self.subject.address.clone()
    }

    fn identity(&self) -> Identity {
        self.subject.address.identity()
    }

    /// Returns once the transitions are durable.
    async fn commit(&self, transitions: Vec<Transition>) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        let sent = self.shared.reports.send(Report::Commit(transitions, answer));
        match (sent, answered.await) {
            (Ok(()), Ok(true)) => Ok(()),
            _ => Err(Failure {
                causes: vec!["what became of it could not be recorded".to_owned()],
                hint: Some("the next run looks what is there, and goes on from that".to_owned()),
                class: None,
            }),
        }
    }

    async fn create(
        &self,
        attrs: Arc<Value>,
        operation: Option<String>,
        begun: Timestamp,
    ) -> Result<Observed, Failure> {
        if let Some(operation) = operation {
            match self.wait(Some(&operation), begun, false).await? {
                Waited::Ready(observed) => {
                    let prior = Prior { recorded: None, observed: Some(&observed) };
                    let changes = self.kind.diff(&attrs, &self.ceded, prior);
                    if changes.is_empty() {
                        return self.applied(&attrs, observed, None, true).await;
                    }
                    return self.update(attrs, changes, observed, false, begun).await;
                }
                Waited::Gone => {}
            }
        }
        let request = self.request(&attrs, Vec::new(), None, false);
        let ack = self.call(begun, &|| self.driver.create(&request)).await?;
        self.finish(&attrs, ack, begun).await
    }

    async fn update(
        &self,
        attrs: Arc<Value>,
        changes: Vec<Change>,
        observed: Observed,
        adopt: bool,
        begun: Timestamp,
    ) -> Result<Observed, Failure> {
        let mut request = self.request(&attrs, changes, Some(observed), adopt);
        loop {
            let ack = self.call(begun, &|| self.driver.update(&request)).await?;
            let more = ack.more;
            let done = self.finish(&attrs, ack, begun).await?;
            if !more {
                return Ok(done);
            }
            let prior = Prior { recorded: None, observed: Some(&done) };
            request.changes = self.kind.diff(&attrs, &self.ceded, prior);
            if request.changes.is_empty() {
                return Ok(done);
            }
            request.observed = Some(done);
        }
    }

    fn request(
        &self,
        attrs: &Arc<Value>,
        changes: Vec<Change>,
        observed: Option<Observed>,
        adopt: bool,
    ) -> ApplyRequest {
        ApplyRequest {
            subject: self.subject.clone(),
            attrs: attrs.clone(),
            changes,
            observed,
            ceded: self.ceded.clone(),
            adopt,
            ownership: self.shared.ownership.clone(),
        }
    }

    /// Records an acknowledged create or update and waits until it is ready.
    async fn finish(&self, attrs: &Arc<Value>, ack: Ack, begun: Timestamp) -> Result<Observed, Failure> {
        if let Some(name) = &ack.operation {
            self.commit(vec![Transition::Operation { identity: self.identity(), name: name.clone() }]).await?;
            self.emit(Event::Operation { address: self.address(), name: name.clone() });
        }
        let answered = ack.observed;
        if let (Some(observed), Some(Readiness::Current)) = (&answered, &ack.readiness) {
            let ready = !ack.more;
            return self.applied(attrs, observed.clone(), None, ready).await;
        }
        if let Some(observed) = &answered {
            self.applied(attrs, observed.clone(), None, false).await?;
        }
        match self.wait(ack.operation.as_deref(), begun, false).await? {
            Waited::Ready(observed) if ack.more => Ok(observed),
            // What the call answered is what was applied; what is there now may hold others' changes already.
            Waited::Ready(observed) if answered.is_some() => {
                self.commit(vec![Transition::Ready(self.identity())]).await?;
                Ok(observed)
            }
            Waited::Ready(observed) => self.applied(attrs, observed, None, true).await,
            Waited::Gone => Err(Failure {
                causes: vec!["it was accepted and then disappeared".to_owned()],
                hint: Some("somebody else may be deleting it; apply again to create it anew".to_owned()),
                class: None,
            }),
        }
    }

    async fn applied(
        &self,
        attrs: &Arc<Value>,
        observed: Observed,
        record: Option<Value>,
        ready: bool,
    ) -> Result<Observed, Failure> {
        let record = record.unwrap_or_else(|| self.kind.record(attrs, &self.ceded, &observed));
        self.commit(vec![Transition::Applied {
            identity: self.identity(),
            id: observed.id.clone(),
            record: Arc::new(record),
            secrets: self.secrets.clone(),
            ready,
        }])
        .await?;
        Ok(observed)
    }

    async fn delete(
        &self,
        observed: Option<Observed>,
        operation: Option<String>,
        begun: Timestamp,
    ) -> Result<(), Failure> {
        let mut operation = operation;
        if let Some(observed) = &observed
            && operation.is_none()
        {
            self.clear_way(observed, begun).await;
            let called = self.call(begun, &|| self.driver.delete(&self.subject, observed)).await;
            match called {
                Ok(ack) if ack.readiness == Some(Readiness::NotFound) => {
                    return self.commit(vec![Transition::Gone(self.identity())]).await;
                }
                Ok(ack) => operation = ack.operation,
                Err(Refusal::NotFound) => return self.commit(vec![Transition::Gone(self.identity())]).await,
                Err(refusal) => return Err(refusal.into()),
            }
            if let Some(name) = &operation {
                self.commit(vec![Transition::Operation { identity: self.identity(), name: name.clone() }]).await?;
                self.emit(Event::Operation { address: self.address(), name: name.clone() });
            }
        }
        self.wait(operation.as_deref(), begun, true).await?;
        self.commit(vec![Transition::Gone(self.identity())]).await
    }

    /// Waits until nothing is in the way of a deletion. What will not go in time, or cannot be asked, stays: the
    /// deletion is not held up by it for ever, and whoever looks afterwards finds what is left.
    async fn clear_way(&self, observed: &Observed, begun: Timestamp) {
        let since = self.shared.clock.now();
        let mut said = (String::new(), since);
        while self.shared.leash.holds(self.shared.clock.now()) {
            let looked = {
                let _permit = self.shared.calls.acquire().await;
                timeout(self.shared.clock.as_ref(), CALL_LIMIT, self.driver.clear_way(&self.subject, observed)).await
            };
            self.note(&looked);
            let waited = self.shared.clock.now().since(since);
            let (waiting_for, limit) = match looked {
                Ok(Ok(Readiness::InProgress { waiting_for } | Readiness::Terminating { waiting_for })) => {
                    (waiting_for, CLEARING)
                }
                Ok(Ok(_)) => return,
                Ok(Err(error)) if is_retryable(error.class) => (error.message, SILENCE),
                Ok(Err(_)) => return,
                Err(_) => ("an answer".to_owned(), SILENCE),
            };
            let now = self.shared.clock.now();
            if waiting_for != said.0 || now.since(said.1) >= REPORT_EVERY {
                let elapsed = now.since(begun);
                self.emit(Event::Waiting { address: self.address(), waiting_for: waiting_for.clone(), elapsed });
                said = (waiting_for, now);
            }
            if waited >= limit {
                return;
            }
            self.shared.clock.sleep(self.driver.poll_interval(waited)).await;
        }
    }

    async fn release(&self, observed: &Observed, begun: Timestamp) -> Result<(), Failure> {
        match self.call(begun, &|| self.driver.release(&self.subject, observed)).await {
            Ok(_) | Err(Refusal::NotFound) => self.commit(vec![Transition::Forgotten(self.identity())]).await,
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Runs a hook to its end. Its intent stays until it has succeeded: whatever happens, the next run knows.
    async fn hook(
        &self,
        attrs: Arc<Value>,
        record: Option<Value>,
        last: bool,
        begun: Timestamp,
    ) -> Result<(), Failure> {
        let failed = |mut failure: Failure| {
            failure.hint.get_or_insert_with(|| {
                "mend what it lacks and run the same command again, or leave hooks out with --no-hooks".to_owned()
            });
            failure
        };
        let request = self.request(&attrs, Vec::new(), None, false);
        let ack = self.call(begun, &|| self.driver.create(&request)).await.map_err(|refusal| failed(refusal.into()))?;
        let ended = match (ack.readiness, ack.observed) {
            (Some(Readiness::Current), Some(observed)) => Waited::Ready(observed),
            _ => self.wait(None, begun, false).await.map_err(failed)?,
        };
        let Waited::Ready(observed) = ended else {
            return Err(failed(Failure {
                causes: vec!["its object disappeared before it had ended".to_owned()],
                hint: Some("run the same command again: the hook is run once more".to_owned()),
                class: None,
            }));
        };
        match record {
            Some(record) => self.applied(&attrs, observed, Some(record), last).await.map(drop),
            None => self.commit(vec![Transition::Operation { identity: self.identity(), name: RAN.to_owned() }]).await,
        }
    }

    /// Removes what a hook left behind.
    async fn clear(&self, then: Option<Transition>, begun: Timestamp) -> Result<(), Failure> {
        let nobody = Observed { id: String::new(), attrs: Value::Null };
        match self.call(begun, &|| self.driver.delete(&self.subject, &nobody)).await {
            Ok(ack) if ack.readiness == Some(Readiness::NotFound) => {}
            Ok(_) => drop(self.wait(None, begun, true).await?),
            Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(refusal.into()),
        }
        self.commit(then.into_iter().collect()).await
    }

    /// Tells the limit what became of a request; one that was never answered says nothing.
    fn note<T, E>(&self, answer: &Result<Result<T, ProviderError>, E>) {
        let Ok(answer) = answer else { return };
        let refused = matches!(answer, Err(error) if error.class == ErrorClass::RateLimited);
        self.shared.calls.note(refused, self.shared.clock.now());
    }

    /// Calls until it is answered, refused for good, or the change's time is up.
    async fn call<'f>(
        &self,
        begun: Timestamp,
        call: &(dyn Fn() -> futures_util::future::BoxFuture<'f, Result<Ack, ProviderError>> + Send + Sync),
    ) -> Result<Ack, Refusal> {
        let mut delays = Delays::new();
        // A request without an answer may have been carried out, whatever is answered to the next one.
        let mut unanswered = false;
        // The answer that is had all the time, since when, and how long that is borne.
        let mut alike: Option<(ProviderError, Timestamp, Duration)> = None;
        loop {
            let answer = {
                let _permit = self.shared.calls.acquire().await;
                if !self.shared.leash.holds(self.shared.clock.now()) {
                    return Err(Refusal::Final(unleashed()));
                }
                let now = self.shared.clock.now();
                let left = alike.as_ref().map(|(_, since, patience)| patience.saturating_sub(now.since(*since)));
                let limit = left.map_or(CALL_LIMIT, |left| left.clamp(LAST_CALL, CALL_LIMIT));
                timeout(self.shared.clock.as_ref(), limit, call()).await
            };
            self.note(&answer);
            if let (Err(_), Some((error, since, patience))) = (&answer, &alike)
                && self.shared.clock.now().since(*since) >= *patience
            {
                return Err(Refusal::Final(borne(error.clone(), *patience)));
            }
            let error = match answer {
                Ok(Ok(ack)) => return Ok(ack),
                Ok(Err(error)) => error,
                Err(_) => {
                    ProviderError::new(ErrorClass::Unavailable, format!("no answer within {} s", CALL_LIMIT.as_secs()))
                }
            };
            if error.class == ErrorClass::NotFound {
                return Err(Refusal::NotFound);
            }
            if !is_retryable(error.class) {
                // The platform said no and did nothing: the intent is off. That of a hook is to have run, and to let
                // go of something is none.
                if self.kind.name() != hook::KIND && self.action != Action::Forget && !unanswered {
                    self.commit(vec![Transition::Refused(self.identity())]).await.ok();
                }
                return Err(Refusal::Final(error.into()));
            }
            unanswered |= error.class == ErrorClass::Unavailable;
            let now = self.shared.clock.now();
            alike = error.patience.map(|patience| match alike.take() {
                Some((_, since, known)) if known == patience => (error.clone(), since, patience),
                _ => (error.clone(), now, patience),
            });
            let mut delay = delays.next(&error);
            if let Some((_, since, patience)) = &alike {
                let left = patience.saturating_sub(now.since(*since));
                if left.is_zero() {
                    return Err(Refusal::Final(borne(error, *patience)));
                }
                delay = delay.min(left);
            }
            if now.plus(delay).since(begun) > self.limit {
                let mut failure = Failure::from(error);
                failure.causes.insert(0, format!("gave up after {} s", self.limit.as_secs()));
                return Err(Refusal::Final(failure));
            }
            self.emit(Event::Retrying {
                address: self.address(),
                class: error.class,
                message: error.message.clone(),
                delay,
            });
            self.shared.clock.sleep(delay).await;
        }
    }

    /// Notes that the operation is over, so that the next run looks at what it has left and does not wait for it.
    async fn give_up(&self, operation: Option<&str>) {
        if let (Some(_), Some(intent)) = (operation, &self.again) {
            // Where even this cannot be written, the next run gives up in its turn.
            self.commit(vec![intent.clone()]).await.ok();
        }
    }

    /// Polls until the resource is ready (or gone), fails for good, or its time is up.
    async fn wait(&self, operation: Option<&str>, begun: Timestamp, gone: bool) -> Result<Waited, Failure> {
        let mut said = (String::new(), begun);
        let waiting_since = self.shared.clock.now();
        loop {
            let polled = {
                let _permit = self.shared.calls.acquire().await;
                timeout(self.shared.clock.as_ref(), CALL_LIMIT, self.driver.poll(&self.subject, operation)).await
            };
            self.note(&polled);
            let seen = polled.as_ref().ok().and_then(|poll| poll.as_ref().ok()?.observed.clone());
            let waiting_for = match polled {
                Ok(Ok(poll)) => match (poll.readiness, poll.observed) {
                    (Readiness::Current, Some(observed)) if !gone => return Ok(Waited::Ready(observed)),
                    (Readiness::NotFound, _) => return Ok(Waited::Gone),
                    (Readiness::Failed { causes }, _) => {
                        self.give_up(operation).await;
                        return Err(Failure { causes, hint: None, class: None });
                    }
                    (Readiness::InProgress { waiting_for } | Readiness::Terminating { waiting_for }, _) => waiting_for,
                    (Readiness::Unknown { reason }, _) => reason,
                    (Readiness::Current, _) => "it to go".to_owned(),
                },
                Ok(Err(error)) if error.class == ErrorClass::NotFound => return Ok(Waited::Gone),
                Ok(Err(error)) if is_retryable(error.class) => error.message,
                Ok(Err(error)) => {
                    self.give_up(operation).await;
                    return Err(error.into());
                }
                Err(_) => format!("an answer; none came within {} s", CALL_LIMIT.as_secs()),
            };
            let now = self.shared.clock.now();
            if now.since(begun) > self.limit {
                return Err(Failure {
                    causes: vec![format!("not ready after {} s", self.limit.as_secs()), waiting_for],
                    hint: Some("run the same command again to go on waiting, or set a longer timeout".to_owned()),
                    class: None,
                });
            }
            if waiting_for != said.0 || now.since(said.1) >= REPORT_EVERY {
                self.emit(Event::Waiting {
                    address: self.address(),
                    waiting_for: waiting_for.clone(),
                    elapsed: now.since(begun),
                });
                said = (waiting_for, now);
            }
            let waited = now.since(waiting_since);
            self.driver.until_next_look(self.shared.clock.as_ref(), &self.subject, seen.as_ref(), waited).await;
        }
    }
}

/// What was answered for so long is the last word.
fn borne(error: ProviderError, patience: Duration) -> Failure {
    let mut failure = Failure::from(error);
    failure.causes.insert(0, format!("the same answer for {} s", patience.as_secs()));
    failure
}

/// The state is somebody else's, or may be by now.
fn unleashed() -> Failure {
    Failure {
        causes: vec!["the lease on the state has ended, so nothing more is begun".to_owned()],
        hint: Some("run the same command again: it goes on from what is there".to_owned()),
        class: None,
    }
}

enum Waited {
    Ready(Observed),
    Gone,
}

enum Refusal {
    NotFound,
    Final(Failure),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => {
                Failure { causes: vec!["it is not there any more".to_owned()], hint: None, class: None }
            }
            Refusal::Final(failure) => failure,
        }
    }
}
