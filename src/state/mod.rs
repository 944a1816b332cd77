//! What was recorded: the snapshot, the transitions that change it, the text form of both, and what was
//! recorded earlier. Pure.

pub mod codec;
pub mod history;
pub mod key;
pub mod model;
#[cfg(test)]
mod tests;
pub mod transition;
