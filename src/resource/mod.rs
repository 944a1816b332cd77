//! The contract between stacks, planner, engine and providers: what a resource is, what a kind of resource
//! can say about it without looking (`kind`), and what a driver can do to it (`driver`).

pub mod driver;
pub mod error;
pub mod hook;
pub mod kind;
pub mod model;
pub mod readiness;
