//! The effectful half of a kind: what the engine can ask a platform to do.
//!
//! A driver sends one request at a time and classes its answer; it neither retries nor waits, both of which
//! are the engine's. Every call is safe to repeat: creating what is there and ours answers as if it had been
//! created, deleting what is gone answers gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::address::Address;
use crate::env::clock::Clock;
use crate::resource::error::ProviderError;
use crate::resource::kind::{Change, Observed};
use crate::resource::model::Ceded;
use crate::resource::readiness::Readiness;
use crate::value::Value;

/// Marks everything a stack makes, so that it is found again without state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The stack's name (label `stackwright-stack`).
    pub stack: String,
    /// The stack's random id (labels `stackwright-id` on Google Cloud, `stackwright.dev/id` on Kubernetes).
    pub id: String,
    /// When `reap` may delete it (label `stackwright-expires`, Unix seconds).
    pub expires: Option<u64>,
}

/// Names one resource to a driver.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Address, for messages.
    pub address: Address,
    /// Desired attributes, resolved as far as they can be, when the stack has the resource.
    pub desired: Option<Arc<Value>>,
    /// What [`crate::resource::kind::Kind::record`] kept, when state has the resource.
    pub recorded: Option<Arc<Value>>,
    /// The platform's handle, when state has it.
    pub id: Option<String>,
    /// Outputs of the resource's connection, as observed now; `None` when it has no connection.
    pub connection: Option<Arc<Value>>,
    /// The user wants it even if it is nobody's: a read shows it then.
    pub adopt: bool,
}

/// Something to create or update.
#[derive(Clone, Debug)]
pub struct ApplyRequest {
    /// What.
    pub subject: Subject,
    /// The attributes to send, fully resolved. May hold secret values: never logged, never kept.
    pub attrs: Arc<Value>,
    /// What the plan wants changed; empty for a create.
    pub changes: Vec<Change>,
    /// The object as it was read before; `None` for a create.
    pub observed: Option<Observed>,
    /// Fields to send on create only.
    pub ceded: Vec<Ceded>,
    /// Take over an object that exists and is nobody's, and fields that others own.
    pub adopt: bool,
    /// How to mark it.
    pub ownership: Ownership,
}

/// A request was accepted.
#[derive(Clone, Debug, Default)]
pub struct Ack {
    /// The platform's long-running operation, to be recorded at once.
    pub operation: Option<String>,
    /// The resource as the answer showed it.
    pub observed: Option<Observed>,
    /// How far it is, where the answer says so; spares a poll.
    pub readiness: Option<Readiness>,
    /// More requests are needed to carry out all changes; call again once this one is over.
    pub more: bool,
}

/// Where a resource stands while it is waited for.
#[derive(Clone, Debug)]
pub struct Poll {
    /// How far it is. `NotFound` ends a delete.
    pub readiness: Readiness,
    /// What was read, when it was.
    pub observed: Option<Observed>,
}

/// Whose a resource is, as its labels say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The stack id.
    pub id: String,
    /// The stack's name, where the platform's labels hold it.
    pub stack: Option<String>,
}

/// Something that carries a stack's mark.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its name among its kind: for a Kubernetes object its key.
    pub name: String,
    /// As it is.
    pub observed: Observed,
}

/// Does things to resources of one kind.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Reads many resources at once, answering in the same order; `Ok(None)` is "not there".
    /// Uses list calls where the platform has them.
    async fn read(&self, subjects: &[Subject], ownership: &Ownership) -> Vec<Result<Option<Observed>, ProviderError>>;

    /// Starts creating.
    async fn create(&self, request: &ApplyRequest) -> Result<Ack, ProviderError>;

    /// Starts changing in place.
    async fn update(&self, request: &ApplyRequest) -> Result<Ack, ProviderError>;

    /// Removes what must be gone before the resource is deleted, and says whether it is: `Current` when nothing is in
    /// the way, `InProgress` with what is. Asked again until then, for a while; what cannot be removed is left.
    async fn clear_way(&self, subject: &Subject, observed: &Observed) -> Result<Readiness, ProviderError> {
        let _ = (subject, observed);
        Ok(Readiness::Current)
    }

    /// Starts deleting, with the uid or etag of `observed` as a precondition where the platform has one.
    async fn delete(&self, subject: &Subject, observed: &Observed) -> Result<Ack, ProviderError>;

    /// Lets go of a resource that outlives its stack: it stays, and is nobody's from now on.
    async fn release(&self, subject: &Subject, observed: &Observed) -> Result<Ack, ProviderError> {
        let _ = (subject, observed);
        Ok(Ack::default())
    }

    /// Whose marks the subjects carry, whoever that is, in the same order; `None` for what is not there or nobody's.
    /// Kinds without a platform have no marks.
    async fn marks(&self, subjects: &[Subject]) -> Result<Vec<Option<Mark>>, ProviderError> {
        Ok(vec![None; subjects.len()])
    }

    /// Everything of this kind that carries the stack's mark and was made by it, where `connection` leads: also what
    /// no subject names. Kinds without a platform find nothing.
    async fn find(&self, connection: Option<&Value>, ownership: &Ownership) -> Result<Vec<Found>, ProviderError> {
        let _ = (connection, ownership);
        Ok(Vec::new())
    }

    /// Whether an update would leave the resource as it is. The platform is asked without being changed; where it
    /// cannot be asked so, only a difference of attributes can tell, and the answer is no.
    async fn would_keep(&self, request: &ApplyRequest) -> Result<bool, ProviderError> {
        let _ = request;
        Ok(false)
    }

    /// Looks once: is it ready, or gone? `operation` is the one that [`Ack`] named, if it did.
    async fn poll(&self, subject: &Subject, operation: Option<&str>) -> Result<Poll, ProviderError>;

    /// Waits until another look is worth while: a change, where the platform tells of those, or the interval's
    /// end. `seen` is the resource as the last look showed it, `waited` the time since the request.
    async fn until_next_look(&self, clock: &dyn Clock, _: &Subject, _seen: Option<&Observed>, waited: Duration) {
        clock.sleep(self.poll_interval(waited)).await;
    }

    /// How long to wait between two polls; `waited` is the time since the request.
    fn poll_interval(&self, waited: Duration) -> Duration {
        if waited < Duration::from_secs(10) { Duration::from_secs(1) } else { Duration::from_secs(5) }
    }
}
