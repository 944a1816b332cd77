//! What Kubernetes knows about the shape of objects: schemas of built-in and custom kinds, and what follows
//! from them: validation, defaults, pruning, field ownership, server-side apply, patches.
//!
//! Pure functions over `serde_json::Value`; shared by the planner, the Kubernetes provider and the
//! simulated API server. Nothing here talks to a cluster or knows about single kinds beyond their tables.

pub mod apply;
pub mod builtin;
pub mod cel;
pub mod crd;
pub mod decode;
pub mod default;
pub mod fields;
pub mod jsonpatch;
pub mod pattern;
pub mod prune;
pub mod quantity;
pub mod rules;
pub mod schema;
pub mod strategic;
pub mod validate;

#[cfg(test)]
mod recordings;

pub use schema::{Link, Schema, Type};
