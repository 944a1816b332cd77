//! The engine against a small cloud in memory: order, failure, interruption, and a crash at every point.

mod away;
mod cloud;
mod crash;
mod hooks;
mod runs;
