//! What was recorded: the snapshot, the transitions that change it, and the text form of both. Pure.

pub mod codec;
pub mod model;
#[cfg(test)]
mod tests;
pub mod transition;
