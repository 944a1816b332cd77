//! The only home of effects' sources: clock, randomness, variables, disk.
//!
//! Everything that reads the world outside the process goes through a trait of this module, so that tests,
//! crash simulations and the embedded simulator can stand in for it. Nothing here knows what it is used for.

pub mod clock;
pub mod discrete;
pub mod disk;
pub mod memory_disk;
pub mod process;
pub mod random;
pub mod vars;
pub mod websocket;
pub mod wire;
