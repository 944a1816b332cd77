//! What a run reaches: kinds, drivers and the outside world, wired together by the command line.

use std::sync::Arc;

use crate::engine::refresh::Drivers;
use crate::env::clock::SharedClock;
use crate::env::random::Random;
use crate::platform::models::Models;
use crate::platform::preflight::Preflight;
use crate::platform::{Objects, Prover, Site};
use crate::resource::kind::KindTable;

/// The platforms of one run.
#[derive(Clone)]
pub struct Platforms {
    /// Pure halves.
    pub kinds: KindTable,
    /// Effectful halves.
    pub drivers: Drivers,
    /// Where this is.
    pub site: Arc<dyn Site>,
    /// Asks models whether they answer.
    pub prover: Arc<dyn Prover>,
    /// Talks to models.
    pub models: Arc<dyn Models>,
    /// Looks at objects for charts.
    pub objects: Arc<dyn Objects>,
    /// Looks before anything is paid for.
    pub preflight: Arc<dyn Preflight>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: Arc<dyn Random>,
}
