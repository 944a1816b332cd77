//! The pure planner: desired, recorded and observed in, a complete plan out.
//!
//! Synchronous and deterministic: no clock, files, environment, network or driver is in reach (a test reads
//! the imports). The same input gives the same bytes.

pub mod admissible;
pub mod compare;
pub mod cost;
pub mod dependencies;
mod discretion;
pub mod edges;
pub mod execution;
mod expectation;
pub mod file;
pub mod forecast;
pub mod hooks;
pub mod leaving;
pub mod model;
pub mod pause;
pub mod places;
pub mod planner;
pub mod policy;
pub mod prior;
pub mod risk;
#[cfg(test)]
pub(crate) mod sample;
pub mod time;
