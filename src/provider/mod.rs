//! Platforms: what really happens when a resource is read, created, changed or deleted.
//!
//! One file per kind. Nothing here retries, waits for readiness or prints; the engine and the views do.

pub mod google;
pub mod kube;
