//! The kind `value`: keeps a value and gives it back, so that other resources can depend on it.
//!
//! Attributes: `input` (anything but a secret). Outputs: `output`, the input as last applied, and `id`, 32
//! random hexadecimal digits made at creation. There is no platform: what state records is the resource.

use std::sync::Arc;

use async_trait::async_trait;

use crate::diag::Diagnostic;
use crate::env::random::Random;
use crate::resource::driver::{Ack, ApplyRequest, Driver, Ownership, Poll, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::kind::{Change, Kind, Observed, Prior};
use crate::resource::model::{Ceded, Resource};
use crate::resource::readiness::Readiness;
use crate::value::{Map, Value};

/// The pure half of `value`.
#[derive(Debug, Default, Clone, Copy)]
pub struct ValueKind;

impl Kind for ValueKind {
    fn name(&self) -> &'static str {
        "value"
    }

    fn check(&self, resource: &Resource) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        resource.attrs.visit_templates(&mut |template| {
            if template.is_sensitive() {
                found.push(
                    Diagnostic::error(format!("a value may not hold a secret ({})", template.source()))
                        .detail("values are kept in state, and state holds no secrets")
                        .hint("refer to the secret where it is used")
                        .about(resource.address.clone()),
                );
            }
        });
        found
    }

    fn diff(&self, desired: &Value, _: &[Ceded], prior: Prior<'_>) -> Vec<Change> {
        let Some(observed) = prior.observed else { return Vec::new() };
        let (wanted, is) = (desired.get("input"), observed.attrs.get("input"));
        if wanted.unwrap_or(&Value::Null) == is.unwrap_or(&Value::Null) {
            return Vec::new();
        }
        vec![Change {
            path: vec!["input".into()],
            before: is.cloned(),
            after: wanted.cloned(),
            forces_replace: false,
            effect: None,
            held_by: Vec::new(),
        }]
    }

    fn drift(&self, _: &[Ceded], _: Prior<'_>) -> Vec<Change> {
        // Nothing outside state could change it.
        Vec::new()
    }

    fn seen(&self, recorded: &Value, _: &[Ceded], _: &Observed) -> Value {
        recorded.clone()
    }

    fn record(&self, sent: &Value, _: &[Ceded], observed: &Observed) -> Value {
        let input = sent.get("input").cloned().unwrap_or_default();
        Value::Map(Map::from([("id".to_owned(), observed.id.as_str().into()), ("input".to_owned(), input)]))
    }

    fn outputs(&self, observed: &Observed) -> Value {
        let output = observed.attrs.get("input").cloned().unwrap_or_default();
        Value::Map(Map::from([("id".to_owned(), observed.id.as_str().into()), ("output".to_owned(), output)]))
    }

    fn known_outputs(&self, desired: &Value) -> Value {
        match desired.get("input") {
            Some(input) if input.is_known() => Value::Map(Map::from([("output".to_owned(), input.clone())])),
            _ => Value::map(),
        }
    }
}

/// Keeps values in the record.
pub struct ValueDriver {
    random: Arc<dyn Random>,
}

impl ValueDriver {
    /// A driver that draws ids from `random`.
    pub fn new(random: Arc<dyn Random>) -> Self {
        ValueDriver { random }
    }
}

/// There is nothing to wait for.
fn done(observed: Observed) -> Ack {
    Ack { observed: Some(observed), readiness: Some(Readiness::Current), ..Ack::default() }
}

fn observe(id: &str, input: Option<&Value>) -> Observed {
    let attrs = Map::from([("input".to_owned(), input.cloned().unwrap_or_default())]);
    Observed { id: id.to_owned(), attrs: Value::Map(attrs) }
}

fn recorded(subject: &Subject) -> Option<Observed> {
    let recorded = subject.recorded.as_deref()?;
    Some(observe(recorded.get("id")?.as_str()?, recorded.get("input")))
}

#[async_trait]
impl Driver for ValueDriver {
    async fn read(&self, subjects: &[Subject], _: &Ownership) -> Vec<Result<Option<Observed>, ProviderError>> {
        subjects.iter().map(|subject| Ok(recorded(subject))).collect()
    }

    async fn create(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        Ok(done(observe(&self.random.hex(16), request.attrs.get("input"))))
    }

    async fn update(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        let Some(before) = recorded(&request.subject).or_else(|| request.observed.clone()) else {
            return Err(ProviderError::new(ErrorClass::NotFound, "the value is not in state"));
        };
        Ok(done(observe(&before.id, request.attrs.get("input"))))
    }

    async fn delete(&self, _: &Subject, _: &Observed) -> Result<Ack, ProviderError> {
        Ok(Ack { readiness: Some(Readiness::NotFound), ..Ack::default() })
    }

    async fn poll(&self, subject: &Subject, _: Option<&str>) -> Result<Poll, ProviderError> {
        Ok(match recorded(subject) {
            Some(observed) => Poll { readiness: Readiness::Current, observed: Some(observed) },
            None => Poll { readiness: Readiness::NotFound, observed: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::random::SeededRandom;

    fn request(input: &str, recorded: Option<Value>) -> ApplyRequest {
        let attrs = Arc::new(Value::Map(Map::from([("input".to_owned(), input.into())])));
        let subject = Subject {
            adopt: false,
            address: "values.a".into(),
            desired: Some(attrs.clone()),
            recorded: recorded.map(Arc::new),
            id: None,
            connection: None,
        };
        let ownership = Ownership { stack: "s".into(), id: "i".into(), expires: None };
        ApplyRequest { subject, attrs, changes: vec![], observed: None, ceded: vec![], adopt: false, ownership }
    }

    #[test]
    fn the_id_stays_while_the_input_changes() {
        let driver = ValueDriver::new(Arc::new(SeededRandom::new(1)));
        futures_util::future::FutureExt::now_or_never(async {
            let first = request("one", None);
            let made = driver.create(&first).await.expect("create").observed.expect("observed");
            let record = ValueKind.record(&first.attrs, &[], &made);
            let second = request("two", Some(record.clone()));
            let read = driver.read(std::slice::from_ref(&second.subject), &second.ownership).await;
            let read = read.into_iter().next().expect("one").expect("read").expect("there");
            let prior = Prior { recorded: Some(&record), observed: Some(&read) };
            assert_eq!(ValueKind.diff(&first.attrs, &[], prior), []);
            let changes = ValueKind.diff(&second.attrs, &[], prior);
            assert_eq!(changes.len(), 1);
            assert_eq!((changes[0].before.clone(), changes[0].after.clone()), (Some("one".into()), Some("two".into())));
            let changed = driver.update(&second).await.expect("update").observed.expect("observed");
            assert_eq!(changed.id, made.id);
            assert_eq!(ValueKind.outputs(&changed).get("output"), Some(&"two".into()));
        })
        .expect("values wait for nothing");
    }
}
