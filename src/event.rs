//! What a run tells whoever watches: one type, plain data, no secret values.
//!
//! The engine emits, views show; nothing is ever read back. What programs read of it is in `line`.

pub mod line;
pub mod timeline;

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::plan::model::Action;
use crate::resource::error::ErrorClass;

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A step of the command itself, before and after the resources: "refreshing 214 resources".
    Stage {
        /// One phrase, present participle first.
        what: String,
    },
    /// A change begins.
    Started {
        /// Of whom.
        address: Address,
        /// What.
        action: Action,
        /// How long it usually takes, milliseconds.
        estimate: Duration,
    },
    /// The platform works on it under this name.
    Operation {
        /// Which resource.
        address: Address,
        /// The platform's name for its operation.
        name: String,
    },
    /// It is not ready yet.
    Waiting {
        /// Which resource.
        address: Address,
        /// For what.
        waiting_for: String,
        /// Since the change began.
        elapsed: Duration,
    },
    /// A call is going to be repeated.
    Retrying {
        /// Which resource.
        address: Address,
        /// Class of the answer.
        class: ErrorClass,
        /// The platform's words.
        message: String,
        /// In how long.
        delay: Duration,
    },
    /// A change is complete.
    Finished {
        /// Of whom.
        address: Address,
        /// What.
        action: Action,
        /// How long it took.
        elapsed: Duration,
    },
    /// A change did not succeed.
    Failed {
        /// Of whom.
        address: Address,
        /// What.
        action: Action,
        /// Causes, outermost first.
        causes: Vec<String>,
        /// What to do.
        hint: Option<String>,
    },
    /// A change was not tried, because something that it needs failed or the run was stopped.
    Skipped {
        /// Of whom.
        address: Address,
        /// Why.
        because: String,
    },
    /// The user asked to stop.
    Interrupted {
        /// Changes that were started and are not finished.
        in_flight: usize,
        /// Asked twice: they are left as they are, and the next run takes them up.
        at_once: bool,
    },
    /// The state cannot be written any more: nothing more is begun.
    Stranded {
        /// Why.
        because: String,
        /// Changes that were started and are not finished: they end by themselves.
        in_flight: Vec<Address>,
    },
    /// A model was asked for a completion.
    Proving {
        /// The workload.
        component: String,
        /// The URL.
        url: String,
        /// The pod that a port is forwarded to, because the URL's address leads nowhere from here.
        through: Option<String>,
        /// Why not yet, after the first try.
        waiting_for: Option<String>,
    },
    /// A model answered.
    Proved {
        /// The workload.
        component: String,
        /// The URL.
        url: String,
        /// The model that answered.
        model: String,
        /// What it said.
        text: String,
        /// Tokens it made.
        tokens: u64,
        /// How long it took.
        elapsed: Duration,
        /// How long until its first token came.
        first_token: Option<Duration>,
    },
}

/// Where events go.
pub trait Sink: Send + Sync {
    /// Takes one event. Must not block.
    fn emit(&self, event: Event);
}

/// Keeps events, for tests and for reports.
#[derive(Default)]
pub struct Collected(pub std::sync::Mutex<Vec<Event>>);

impl Sink for Collected {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event);
    }
}

/// Tells each of several.
pub struct Several(pub Vec<Arc<dyn Sink>>);

impl Sink for Several {
    fn emit(&self, event: Event) {
        if let Some((last, others)) = self.0.split_last() {
            others.iter().for_each(|sink| sink.emit(event.clone()));
            last.emit(event);
        }
    }
}
