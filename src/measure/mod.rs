//! What was measured, and what it shows: statistics, verdicts, and the reports of `status`, `verify` and `bench`.
//!
//! Pure: no sockets, no clock, no chance but seeded. `ops` fills the reports, `ui` shows them, and neither decides.

pub mod cache;
pub mod checks;
pub mod metrics;
pub mod report;
pub mod routing;
pub mod stats;
