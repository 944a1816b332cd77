//! Readiness: has what was sent converged? The words are kstatus's.

use std::fmt;

/// How far an observed resource is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Readiness {
    /// Not there yet; `waiting_for` says for what.
    InProgress {
        /// One phrase: "2 of 3 pods available".
        waiting_for: String,
    },
    /// Converged.
    Current,
    /// A terminal condition: waiting longer cannot help.
    Failed {
        /// The chain of causes, outermost first.
        causes: Vec<String>,
    },
    /// Being deleted; `waiting_for` names finalizers or children.
    Terminating {
        /// One phrase.
        waiting_for: String,
    },
    /// It does not exist.
    NotFound,
    /// Nothing can be said.
    Unknown {
        /// Why not.
        reason: String,
    },
}

impl Readiness {
    /// `InProgress` with what is waited for.
    pub fn waiting(waiting_for: impl Into<String>) -> Self {
        Readiness::InProgress { waiting_for: waiting_for.into() }
    }

    /// `Failed` with a single cause.
    pub fn failed(cause: impl Into<String>) -> Self {
        Readiness::Failed { causes: vec![cause.into()] }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Readiness::InProgress { waiting_for } => write!(f, "in progress: {waiting_for}"),
            Readiness::Current => f.write_str("current"),
            Readiness::Failed { causes } => write!(f, "failed: {}", causes.join(": ")),
            Readiness::Terminating { waiting_for } => write!(f, "terminating: {waiting_for}"),
            Readiness::NotFound => f.write_str("not found"),
            Readiness::Unknown { reason } => write!(f, "unknown: {reason}"),
        }
    }
}
