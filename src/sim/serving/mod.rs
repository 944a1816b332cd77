//! Serving: what users reach through load balancers, gateways and routes, down to the models.
//!
//! Everything is found in the cluster's objects at the moment of the request. Nothing here writes any.

pub mod arguments;
pub mod asked;
pub mod cache;
pub mod metrics;
pub mod model;
pub mod openai;
pub mod tokens;
