//! Where state lives, and who may write it. [`local`] keeps it in a directory.
//!
//! A backend hands out one [`Session`] at a time; only a session can add to the history. Nothing here knows
//! what a transition means beyond applying it.

pub mod bucket;
pub mod leash;
pub mod local;
pub mod memory_store;
pub mod remote;
pub mod store;

use async_trait::async_trait;

use self::leash::Leash;

use crate::state::model::State;
use crate::state::transition::{Illegal, Transition};

/// Why state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Another run has it.
    #[error("the state of {stack} is locked by {holder}")]
    Locked {
        /// The stack.
        stack: String,
        /// Process, user, host, command and time of the other run.
        holder: String,
    },
    /// The storage refused.
    #[error("cannot {what} {place}: {error}")]
    Storage {
        /// What was tried: `read`, `append to`.
        what: &'static str,
        /// The file or object.
        place: String,
        /// The cause.
        error: std::io::Error,
    },
    /// The bytes are not a state.
    #[error("{place}: {error}")]
    Damaged {
        /// The file or object.
        place: String,
        /// What is wrong.
        error: crate::state::codec::DecodeError,
    },
    /// The state is of another stack.
    #[error("{place} is the state of the stack {found}, not of {wanted}")]
    OtherStack {
        /// The file.
        place: String,
        /// Whose it is.
        found: String,
        /// Whose was wanted.
        wanted: String,
    },
    /// The state is kept elsewhere now.
    #[error("the state that was in {place} is kept in {to} now")]
    Departed {
        /// Where this copy is.
        place: String,
        /// Where it went, as `[state] backend` names it.
        to: String,
    },
    /// Another run has added to the history since.
    #[error("another run has taken over {place}: what this one did since was not written there")]
    Overtaken {
        /// Where.
        place: String,
    },
    /// The lease was not renewed in time: nothing may be begun or written any more.
    #[error("the lease on {place} ended {} s ago and could not be renewed", since.as_secs())]
    Expired {
        /// Where.
        place: String,
        /// How long ago.
        since: std::time::Duration,
    },
    /// A transition that is not legal: a defect of this program.
    #[error("a transition is not possible: {0}")]
    Illegal(#[from] Illegal),
}

/// The exclusive right to add to one stack's history.
#[async_trait]
pub trait Session: Send {
    /// The state as of the last committed transition.
    fn state(&self) -> &State;

    /// Applies transitions and returns when they are durable, all of them or, on error, possibly a prefix.
    /// One call is one write and one sync, however many transitions.
    ///
    /// # Errors
    /// After an error the session refuses further writes: what is on disk is then behind, never wrong.
    async fn commit(&mut self, transitions: Vec<Transition>) -> Result<(), BackendError>;

    /// Replaces journal by snapshot when that is worth it. Called at the end of a run.
    ///
    /// # Errors
    /// As for a write; nothing is lost by it.
    async fn compact(&mut self) -> Result<(), BackendError>;

    /// How long anything may still be begun.
    fn leash(&self) -> Leash {
        Leash::unlimited()
    }

    /// Lets go of the state, so that nobody has to wait.
    async fn close(&mut self) {}

    /// Messages about what was mended on opening (a torn last record), for the user.
    fn notes(&self) -> &[String];

    /// What is not where the state lives, after writes that failed.
    fn unpushed(&self) -> Option<Unpushed> {
        None
    }
}

/// Records that could not be written where the state lives, and are kept for the next run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpushed {
    /// How many.
    pub records: usize,
    /// The file.
    pub place: String,
    /// Why they could not be kept there either.
    pub error: Option<String>,
}
