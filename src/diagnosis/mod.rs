//! From what was seen of a stack to why it does not work: facts → signs → causes. Pure: `ops::diagnose` looks, `ui`
//! shows, neither decides.
//!
//! A *sign* is one thing that somebody says about one object: an event, a condition, a line of a log, a refusal. A
//! [`rules::Rule`] is data: which signs it is known by, what it means, what to do. Causes are ranked, and what stands on
//! the object of a cause is folded under it ([`links`]): a gateway without an address is no cause where its pods' image
//! cannot be pulled.

pub mod facts;
pub mod links;
pub mod look;
mod rank;
pub mod rules;
pub mod signs;

#[cfg(test)]
mod tests;

pub use facts::{Facts, Subject};
pub use rank::{Cause, Fact, causes, unexplained};
