//! How long a run may go on: until the lease on its state ends, unless that is renewed.
//!
//! Shared between the session, which renews it, and whoever is about to begin something. No lock: a question costs
//! nothing. Local state has no end, for its lock goes with the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::env::clock::Timestamp;

/// Until when the state is this run's.
#[derive(Clone, Debug)]
pub struct Leash(Arc<AtomicU64>);

impl Leash {
    /// Without an end.
    pub fn unlimited() -> Self {
        Leash(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// Until then.
    pub fn until(end: Timestamp) -> Self {
        Leash(Arc::new(AtomicU64::new(end.0)))
    }

    /// Whether anything may still be begun.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.end()
    }

    /// When it ends.
    pub fn end(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    /// It was renewed.
    pub fn extend(&self, end: Timestamp) {
        self.0.fetch_max(end.0, Ordering::SeqCst);
    }

    /// It is somebody else's now, for good.
    pub fn cut(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Whether it was cut.
    pub fn is_cut(&self) -> bool {
        self.end() == Timestamp(0)
    }
}
