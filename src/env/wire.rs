//! What goes over the wire: each request to a platform and how it ended, as an event of `tracing`.
//!
//! Whoever wants to see them listens there (`-vv`, `--trace`). No bodies, no headers, and of an address no query: it may hold
//! what is nobody's business.

use crate::env::clock::{Clock, Timestamp};

/// Where these events come from.
pub const TARGET: &str = "stackwright::env::wire";

/// A request that was sent.
pub struct Request<'a> {
    clock: &'a dyn Clock,
    method: &'a str,
    what: &'a str,
    begun: Timestamp,
}

impl<'a> Request<'a> {
    /// Is sent now. `what` is its address, or what it asks for where that is not known.
    pub fn begin(clock: &'a dyn Clock, method: &'a str, what: &'a str) -> Self {
        let what = what.split('?').next().unwrap_or_default();
        Request { clock, method, what, begun: clock.now() }
    }

    /// Has ended: with a status, or a word for why there is none.
    pub fn over(self, outcome: &dyn std::fmt::Display) {
        let took = u64::try_from(self.clock.now().since(self.begun).as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            target: TARGET,
            method = self.method,
            what = self.what,
            outcome = %outcome,
            at_ms = self.begun.0,
            took_ms = took,
        );
    }
}
