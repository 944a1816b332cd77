//! A process that can be made to stop at one exact moment: wrappers for what a run has in hand, drivers and state, that
//! take note of every moment at which it could stop, and stop it at one of them.
//!
//! Stopped means: no task of it does anything any more, requests under way are cut off, and of the state only the
//! records before that moment are there. The cloud goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Poll as Step;
use std::time::Duration;

use async_trait::async_trait;
use stackwright::address::Identity;
use stackwright::backend::leash::Leash;
use stackwright::backend::{BackendError, Session};
use stackwright::env::clock::Clock;
use stackwright::resource::driver::{Ack, ApplyRequest, Driver, Found, Mark, Ownership, Poll, Subject};
use stackwright::resource::error::ProviderError;
use stackwright::resource::kind::Observed;
use stackwright::resource::readiness::Readiness;
use stackwright::state::model::State;
use stackwright::state::transition::Transition;
use stackwright::value::Value;
use tokio::sync::watch;

/// Where a process can stop: `k8s.object Deployment.apps, create: before applied`. Many moments of a run are alike.
pub type Moment = String;

/// What is to become of a process.
pub struct Fate {
    /// The moment, and which of those that are alike.
    cut: Option<(Moment, usize)>,
    /// Requests that are cut off get so far: so many times their task is run.
    progress: usize,
    met: Mutex<BTreeMap<Moment, usize>>,
    dead: watch::Sender<bool>,
}

impl Fate {
    /// To live, or to stop at the `usize`th of the moments that are alike.
    pub fn new(cut: Option<(Moment, usize)>, progress: usize) -> Arc<Self> {
        Arc::new(Fate { cut, progress, met: Mutex::default(), dead: watch::Sender::new(false) })
    }

    /// How often each moment was met.
    pub fn met(&self) -> BTreeMap<Moment, usize> {
        self.met.lock().expect("counts").clone()
    }

    /// Returns once the process has stopped.
    pub async fn death(&self) {
        self.dead.subscribe().wait_for(|dead| *dead).await.expect("the sender is here");
    }

    /// Whether the process has stopped.
    pub fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Whether the process stops at this moment.
    fn is_the_last(&self, moment: Moment) -> bool {
        let mut met = self.met.lock().expect("counts");
        let count = met.entry(moment.clone()).or_default();
        *count += 1;
        self.cut.as_ref().is_some_and(|(cut, which)| *cut == moment && *which + 1 == *count)
    }

    async fn die<T>(&self) -> T {
        self.dead.send_replace(true);
        std::future::pending().await
    }

    /// Something that ends with the process.
    async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            () = self.death() => std::future::pending().await,
            done = work => done,
        }
    }

    /// A call that changes something; the process may stop while it is under way.
    async fn call<T>(&self, what: &str, subject: &Subject, work: impl Future<Output = T> + Send) -> T {
        let identity = subject.address.identity();
        let label = label(identity.as_str());
        if !self.is_the_last(format!("{label}: during {what}")) {
            return self.within(work).await;
        }
        let mut work = Box::pin(work);
        for _ in 0..self.progress {
            let answered = std::future::poll_fn(|cx| Step::Ready(work.as_mut().poll(cx).is_ready())).await;
            if answered {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(work);
        self.die().await
    }
}

/// What sort of thing an identity is of: the Kubernetes kind, or the kind of component.
fn label(identity: &str) -> &str {
    let ends = if identity.contains('/') { '/' } else { '.' };
    identity.split(ends).next().unwrap_or(identity)
}

/// A record, as it is named in moments; with the identity that it is about.
fn named(transition: &Transition) -> (&'static str, Option<Identity>) {
    match transition {
        Transition::Begin { .. } => ("begin", None),
        Transition::Bind(_) => ("bind", None),
        Transition::Intent { address, .. } => ("intent", Some(address.identity())),
        Transition::Operation { identity, .. } => ("operation", Some(identity.clone())),
        Transition::Applied { identity, ready: false, .. } => ("applied", Some(identity.clone())),
        Transition::Applied { identity, ready: true, .. } => ("applied and ready", Some(identity.clone())),
        Transition::Seen { identity, .. } => ("seen", Some(identity.clone())),
        Transition::Ready(identity) => ("ready", Some(identity.clone())),
        Transition::Refused(identity) => ("refused", Some(identity.clone())),
        Transition::Gone(identity) => ("gone", Some(identity.clone())),
        Transition::Forgotten(identity) => ("forgotten", Some(identity.clone())),
        Transition::Moved { from, .. } => ("moved", Some(from.clone())),
        Transition::Adopted { address, .. } => ("adopted", Some(address.identity())),
        Transition::Outputs(_) => ("outputs", None),
        Transition::Captured { .. } => ("captured", None),
        Transition::Cleared(_) => ("cleared", None),
        Transition::Replaced(_) => ("replaced", None),
        Transition::Departed { .. } => ("departed", None),
        Transition::Keyed(_) => ("keyed", None),
        Transition::Paused { .. } => ("paused", None),
        Transition::Resumed => ("resumed", None),
        Transition::Placed { .. } => ("placed", None),
        Transition::GivenUp(_) => ("given up", None),
        Transition::Settled => ("settled", None),
        Transition::Unplaced => ("unplaced", None),
        Transition::Took(_) => ("took", None),
    }
}

/// A record's moment, without whether it is before or after it.
fn about(transition: &Transition, state: &State) -> (String, &'static str) {
    let (name, identity) = named(transition);
    let Some(identity) = identity else { return ("the state".to_owned(), name) };
    let action = match transition {
        Transition::Intent { action, .. } => Some(*action),
        _ => state.resources.get(&identity).and_then(|recorded| Some(recorded.pending.as_ref()?.action)),
    };
    let action = action.map_or_else(String::new, |action| format!(", {action:?}").to_lowercase());
    (format!("{}{action}", label(identity.as_str())), name)
}

/// A session that ends with its process.
pub struct MortalSession<S> {
    pub inner: S,
    pub fate: Arc<Fate>,
}

#[async_trait]
impl<S: Session> Session for MortalSession<S> {
    fn state(&self) -> &State {
        self.inner.state()
    }

    /// The process may stop when only the records before one of them are written.
    async fn commit(&mut self, transitions: Vec<Transition>) -> Result<(), BackendError> {
        for (at, transition) in transitions.iter().enumerate() {
            let (what, name) = about(transition, self.inner.state());
            for (word, length) in [("before", at), ("after", at + 1)] {
                if self.fate.is_the_last(format!("{what}: {word} {name}")) {
                    self.inner.commit(transitions[..length].to_vec()).await?;
                    return self.fate.die().await;
                }
            }
        }
        self.inner.commit(transitions).await
    }

    async fn compact(&mut self) -> Result<(), BackendError> {
        self.inner.compact().await
    }

    fn leash(&self) -> Leash {
        self.inner.leash()
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }

    fn notes(&self) -> &[String] {
        self.inner.notes()
    }
}

/// A driver that ends with its process.
pub struct MortalDriver {
    pub inner: Arc<dyn Driver>,
    pub fate: Arc<Fate>,
}

#[async_trait]
impl Driver for MortalDriver {
    async fn read(&self, subjects: &[Subject], ownership: &Ownership) -> Vec<Result<Option<Observed>, ProviderError>> {
        self.fate.within(self.inner.read(subjects, ownership)).await
    }

    async fn create(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        self.fate.call("create", &request.subject, self.inner.create(request)).await
    }

    async fn update(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        self.fate.call("update", &request.subject, self.inner.update(request)).await
    }

    async fn clear_way(&self, subject: &Subject, observed: &Observed) -> Result<Readiness, ProviderError> {
        self.fate.call("clear the way", subject, self.inner.clear_way(subject, observed)).await
    }

    async fn delete(&self, subject: &Subject, observed: &Observed) -> Result<Ack, ProviderError> {
        self.fate.call("delete", subject, self.inner.delete(subject, observed)).await
    }

    async fn release(&self, subject: &Subject, observed: &Observed) -> Result<Ack, ProviderError> {
        self.fate.call("release", subject, self.inner.release(subject, observed)).await
    }

    async fn marks(&self, subjects: &[Subject]) -> Result<Vec<Option<Mark>>, ProviderError> {
        self.fate.within(self.inner.marks(subjects)).await
    }

    async fn find(&self, connection: Option<&Value>, ownership: &Ownership) -> Result<Vec<Found>, ProviderError> {
        self.fate.within(self.inner.find(connection, ownership)).await
    }

    async fn would_keep(&self, request: &ApplyRequest) -> Result<bool, ProviderError> {
        self.fate.within(self.inner.would_keep(request)).await
    }

    async fn poll(&self, subject: &Subject, operation: Option<&str>) -> Result<Poll, ProviderError> {
        self.fate.within(self.inner.poll(subject, operation)).await
    }

    async fn until_next_look(&self, clock: &dyn Clock, subject: &Subject, seen: Option<&Observed>, waited: Duration) {
        self.fate.within(self.inner.until_next_look(clock, subject, seen, waited)).await;
    }

    fn poll_interval(&self, waited: Duration) -> Duration {
        self.inner.poll_interval(waited)
    }
}
