//! What was seen of a stack, as it was told: objects, logs, refusals, things of the cloud, the state. Nothing is judged
//! here, and nothing is secret: who collects leaves values of Secrets out.

use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use crate::env::clock::Timestamp;
use crate::platform::preflight::Check;
use crate::platform::standing::{Log, Thing};
use crate::resource::error::ErrorClass;

/// What a sign is about: an object of a cluster, or a thing outside of one (`cluster`, `node pool`, `project`, `state`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    /// `Deployment`, `node pool`.
    pub kind: String,
    /// Empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Subject {
    /// An object in a namespace; without one where that is empty.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Subject { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// A thing outside of clusters, or an object without a namespace.
    pub fn of(kind: &str, name: &str) -> Self {
        Subject::new(kind, "", name)
    }

    /// The object that a document describes.
    pub fn object(object: &Json) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
        Subject::new(text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.as_str() {
            "state" | "pause" | "lease" => return write!(f, "state of {}", self.name),
            "account" => return f.write_str("the account in use"),
            "project" | "part" => return f.write_str(&self.name),
            kind => f.write_str(kind)?,
        }
        for (before, part) in [(" ", &self.namespace), (if self.namespace.is_empty() { " " } else { "/" }, &self.name)]
        {
            if !part.is_empty() {
                write!(f, "{before}{part}")?;
            }
        }
        Ok(())
    }
}

/// Whether there is a cluster to look into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "why")]
pub enum Reach {
    /// The stack has none.
    #[default]
    Unwanted,
    /// It is not there, and nothing says that it ever was.
    Absent,
    /// The state says that it was made, and it is not there.
    Missing,
    /// It answers.
    There,
    /// It is there, or said to be, and does not answer.
    Silent(String),
    /// Whether it is there cannot be told.
    Unknown(String),
}

/// Something that was not allowed, or did not work, when it was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// What it was about.
    pub subject: Subject,
    /// Its address in the stack; empty where it has none.
    pub address: String,
    /// Who tried: a rehearsal just now, or the last run.
    pub tried: Tried,
    /// The platform's words.
    pub text: String,
    /// The class of the answer, where there was one.
    pub class: Option<ErrorClass>,
}

/// Who tried something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tried {
    /// A creation that nothing keeps, just now.
    Rehearsal,
    /// The last run.
    LastRun,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// `list of Pod`, `quotas`.
    pub what: String,
    /// Why.
    pub why: String,
    /// The class of the answer.
    pub class: ErrorClass,
}

/// Something that the stack wants and that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its address.
    pub address: String,
    /// What it would be.
    pub subject: Subject,
    /// The state says that it was made, or that this was begun.
    pub made: bool,
}

/// What the state says beside what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// So many resources are recorded.
    pub resources: usize,
    /// What a run has begun and not finished.
    pub pending: Vec<Unfinished>,
    /// Since when the stack is paused.
    pub paused: Option<Timestamp>,
    /// Who has the state.
    pub holder: Option<String>,
    /// Why it cannot be read.
    pub unreadable: Option<String>,
}

/// An intent without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    /// What it is about.
    pub address: String,
    /// `create`, `update`, `delete`.
    pub action: String,
    /// Since when.
    pub since: Timestamp,
    /// The platform's operation.
    pub operation: Option<String>,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    /// The stack.
    pub stack: String,
    /// How the stack is named in commands: `stack.toml --sim`.
    pub again: String,
    /// When it was seen.
    pub now: Timestamp,
    /// Whether there is a cluster.
    pub reach: Reach,
    /// Clusters, pools, their operations and instance groups.
    pub things: Vec<Thing>,
    /// Objects of the cluster, events among them. Never Secrets.
    pub objects: Vec<Json>,
    /// The namespaces whose objects are among them; all, where none is named.
    pub namespaces: Vec<String>,
    /// Tails of logs.
    pub logs: Vec<Log>,
    /// What did not work when it was tried.
    pub refused: Vec<Refused>,
    /// What a place offers and allows, as far as that was asked.
    pub checks: Vec<Check>,
    /// What the state says.
    pub recorded: Recorded,
    /// What is wanted and not there.
    pub missing: Vec<Missing>,
    /// Who stands on whom, as the plan has it.
    pub needs: Vec<(Subject, Subject)>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}
