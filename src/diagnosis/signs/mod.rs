//! Everything that somebody says about something that is not as it should be. What it means is the rules' business.

mod cloud;
mod gateways;
mod pods;
mod refusals;
mod schedule;
mod statuses;

use super::facts::Subject;
use super::look::View;
use crate::env::clock::Timestamp;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Google Cloud: of a cluster, a pool, an operation or an instance group.
    Cloud,
    /// The kubelet, in the status of a container.
    Container,
    /// A program, in its log.
    Log,
    /// What the scheduler cannot do, compared with the nodes that are there.
    Schedule,
    /// A controller, in a condition.
    Condition,
    /// A component, in an event.
    Event,
    /// The API server, or another that was asked to do something.
    Refusal,
    /// Objects that do not fit together.
    Object,
    /// A look at what a place offers and allows.
    Check,
    /// The state of the stack.
    State,
    /// Whether the cluster answers.
    Reach,
}

/// One thing that is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Sign {
    /// Who.
    pub source: Source,
    /// About what.
    pub subject: Subject,
    /// Where it says so: `status.conditions[Ready]`, `event FailedScheduling`.
    pub field: String,
    /// In a word.
    pub reason: String,
    /// In sentences.
    pub text: String,
    /// What it names: an image, a taint, a webhook's service.
    pub what: String,
    /// When.
    pub at: Option<Timestamp>,
    /// How often.
    pub count: u64,
}

impl Sign {
    /// Something that is said about a subject.
    pub fn new(source: Source, subject: Subject, field: impl Into<String>, reason: &str, text: &str) -> Self {
        Sign {
            source,
            subject,
            field: field.into(),
            reason: reason.to_owned(),
            text: text.trim().to_owned(),
            what: String::new(),
            at: None,
            count: 1,
        }
    }

    fn at(mut self, at: Option<Timestamp>) -> Self {
        self.at = at;
        self
    }

    fn what(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    fn times(mut self, count: u64) -> Self {
        self.count = count;
        self
    }
}

/// Everything that is said.
pub fn signs(view: &View<'_>) -> Vec<Sign> {
    let mut signs = Vec::new();
    cloud::read(view, &mut signs);
    pods::read(view, &mut signs);
    schedule::read(view, &mut signs);
    statuses::read(view, &mut signs);
    gateways::read(view, &mut signs);
    refusals::read(view, &mut signs);
    signs
}
