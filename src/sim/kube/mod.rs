//! One simulated cluster's Kubernetes API server.

pub mod api;
