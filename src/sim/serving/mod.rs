//! Serving: what users reach through load balancers, gateways and routes, down to the models.
//!
//! Everything is found in the cluster's objects at the moment of the request. Nothing here writes any.

pub mod arguments;
pub mod cache;
pub mod model;
pub mod tokens;
