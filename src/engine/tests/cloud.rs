//! A cloud with one kind of thing: creation is a long-running operation, names are unique, deletes are slow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::address::Address;
use crate::env::clock::{SharedClock, Timestamp};
use crate::resource::driver::{Ack, ApplyRequest, Driver, Ownership, Poll, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::kind::{Change, Kind, Observed, Prior};
use crate::resource::model::{Ceded, Desired, Resource};
use crate::resource::readiness::Readiness;
use crate::value::{Map, Value};

pub(super) struct Thing {
    attrs: Value,
    id: String,
    stack: String,
    ready: Timestamp,
    gone: Option<Timestamp>,
}

/// What everybody can see and break.
#[derive(Default)]
pub(super) struct Books {
    pub(super) things: BTreeMap<String, Thing>,
    pub(super) made: usize,
    /// Counts down at every call, before and after its effect; at zero the machine stops.
    pub(super) fuse: Option<i64>,
    pub(super) burnt: bool,
    pub(super) stopped: Arc<tokio::sync::Notify>,
    /// Names whose creation is refused.
    pub(super) refuse: Vec<String>,
    /// Until when creations are answered with a webhook that fails.
    pub(super) deaf: Option<Timestamp>,
    /// Objects of hooks: for which attempt, and when they end.
    pub(super) hooks: BTreeMap<String, (String, Timestamp)>,
    /// In the order of calls.
    pub(super) log: Vec<String>,
}

impl Books {
    /// Whether the machine has stopped (or stops now).
    pub(super) fn tick(&mut self) -> bool {
        if let Some(fuse) = &mut self.fuse {
            *fuse -= 1;
            self.burnt |= *fuse < 0;
            if self.burnt {
                self.stopped.notify_one();
            }
        }
        self.burnt
    }
}

#[derive(Clone)]
pub(super) struct Cloud {
    pub(super) books: Arc<Mutex<Books>>,
    pub(super) clock: SharedClock,
}

impl Cloud {
    pub(super) async fn tick(&self) {
        if self.books.lock().expect("books").tick() {
            std::future::pending::<()>().await;
        }
    }

    fn name(subject: &Subject) -> String {
        subject.address.as_str().to_owned()
    }

    fn look(&self, name: &str) -> Option<(Observed, Timestamp, Option<Timestamp>)> {
        let mut books = self.books.lock().expect("books");
        let now = self.clock.now();
        if books.things.get(name)?.gone.is_some_and(|gone| gone <= now) {
            books.things.remove(name);
            return None;
        }
        let thing = &books.things[name];
        Some((Observed { id: thing.id.clone(), attrs: thing.attrs.clone() }, thing.ready, thing.gone))
    }
}

pub(super) struct ThingKind;

impl Kind for ThingKind {
    fn name(&self) -> &'static str {
        "thing"
    }

    fn diff(&self, desired: &Value, _: &[Ceded], prior: Prior<'_>) -> Vec<Change> {
        let Some(observed) = prior.observed else { return Vec::new() };
        let differs = |key: &str| desired.get(key) != observed.attrs.get(key);
        ["size", "zone", "from"]
            .into_iter()
            .filter(|key| differs(key))
            .map(|key| Change {
                path: vec![key.to_owned()],
                before: observed.attrs.get(key).cloned(),
                after: desired.get(key).cloned(),
                forces_replace: key == "zone",
                effect: None,
                held_by: Vec::new(),
            })
            .collect()
    }

    fn drift(&self, _: &[Ceded], _: Prior<'_>) -> Vec<Change> {
        Vec::new()
    }

    fn seen(&self, recorded: &Value, _: &[Ceded], _: &Observed) -> Value {
        recorded.clone()
    }

    fn record(&self, sent: &Value, _: &[Ceded], _: &Observed) -> Value {
        sent.clone()
    }

    fn outputs(&self, observed: &Observed) -> Value {
        Value::Map(Map::from([("id".to_owned(), observed.id.as_str().into())]))
    }
}

#[async_trait]
impl Driver for Cloud {
    async fn read(&self, subjects: &[Subject], ownership: &Ownership) -> Vec<Result<Option<Observed>, ProviderError>> {
        self.tick().await;
        subjects
            .iter()
            .map(|s| {
                let found = self.look(&Self::name(s));
                let books = self.books.lock().expect("books");
                let ours = books.things.get(&Self::name(s)).is_some_and(|t| t.stack == ownership.id);
                Ok(found.filter(|_| ours || s.id.is_some()).map(|(observed, ..)| observed))
            })
            .collect()
    }

    async fn create(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        self.tick().await;
        let name = Self::name(&request.subject);
        let existing = self.look(&name);
        let ack = {
            let mut books = self.books.lock().expect("books");
            books.log.push(format!("create {name}"));
            if books.deaf.is_some_and(|until| self.clock.now() < until) {
                let error = ProviderError::new(ErrorClass::Unavailable, "failed calling webhook");
                return Err(error.patience(Duration::from_secs(100)));
            }
            if books.refuse.contains(&name) {
                return Err(ProviderError::new(ErrorClass::Quota, "over quota"));
            }
            if let Some((observed, ..)) = existing {
                let stack = &books.things[&name].stack;
                if *stack != request.ownership.id {
                    return Err(ProviderError::new(ErrorClass::AlreadyExists, "somebody else's"));
                }
                // It was made before a crash; what was sent then is what is there.
                let _ = observed;
            } else {
                books.made += 1;
                let id = format!("id-{}", books.made);
                let ready = self.clock.now().plus(Duration::from_secs(60));
                let stack = request.ownership.id.clone();
                let attrs = (*request.attrs).clone();
                books.things.insert(name.clone(), Thing { attrs, id, stack, ready, gone: None });
            }
            Ack { operation: Some(format!("operation-{name}")), ..Ack::default() }
        };
        self.tick().await;
        Ok(ack)
    }

    async fn update(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        self.tick().await;
        let name = Self::name(&request.subject);
        let mut books = self.books.lock().expect("books");
        books.log.push(format!("update {name}"));
        let thing = books.things.get_mut(&name).ok_or_else(|| ProviderError::new(ErrorClass::NotFound, "gone"))?;
        thing.attrs = (*request.attrs).clone();
        Ok(Ack::default())
    }

    async fn delete(&self, subject: &Subject, observed: &Observed) -> Result<Ack, ProviderError> {
        self.tick().await;
        let name = Self::name(subject);
        {
            let mut books = self.books.lock().expect("books");
            books.log.push(format!("delete {name}"));
            let gone = self.clock.now().plus(Duration::from_secs(30));
            match books.things.get_mut(&name) {
                Some(thing) if thing.id == observed.id => thing.gone = thing.gone.or(Some(gone)),
                _ => return Err(ProviderError::new(ErrorClass::NotFound, "gone")),
            }
        }
        self.tick().await;
        Ok(Ack { operation: Some(format!("operation-delete-{name}")), ..Ack::default() })
    }

    async fn poll(&self, subject: &Subject, _: Option<&str>) -> Result<Poll, ProviderError> {
        self.tick().await;
        Ok(match self.look(&Self::name(subject)) {
            None => Poll { readiness: Readiness::NotFound, observed: None },
            Some((observed, _, Some(_))) => {
                Poll { readiness: Readiness::Terminating { waiting_for: "the end".into() }, observed: Some(observed) }
            }
            Some((observed, ready, None)) if ready > self.clock.now() => {
                Poll { readiness: Readiness::waiting("provisioning"), observed: Some(observed) }
            }
            Some((observed, ..)) => Poll { readiness: Readiness::Current, observed: Some(observed) },
        })
    }
}

/// A stack of things: (name, size, zone, names it refers to).
pub(super) fn desired(things: &[(&str, i64, &str, &[&str])]) -> Desired {
    let resource = |(name, size, zone, from): &(&str, i64, &str, &[&str])| {
        let references =
            from.iter().map(|f| Value::from(crate::value::Template::reference(Address::new(f), vec!["id".to_owned()])));
        Resource {
            address: Address::new(name),
            kind: "thing",
            attrs: Arc::new(Value::Map(Map::from([
                ("size".to_owned(), Value::from(*size)),
                ("zone".to_owned(), Value::from(*zone)),
                ("from".to_owned(), Value::List(references.collect())),
            ]))),
            needs: Vec::new(),
            connection: None,
            ceded: Vec::new(),
            timeout: Duration::from_secs(600),
            estimate: Duration::from_secs(60),
            origin: None,
        }
    };
    Desired { stack: "demo".to_owned(), resources: things.iter().map(resource).collect(), ..Desired::default() }
}
