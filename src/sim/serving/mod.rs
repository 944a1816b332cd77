//! Serving: what users reach through load balancers, gateways and routes, down to the models.
//!
//! Everything is found in the cluster's objects at the moment of the request, and nothing here writes any.
//! [`gateway::serve`] takes a connection to an address of the cluster's load balancers.

pub mod arguments;
pub mod asked;
pub mod cache;
pub mod connection;
pub mod gateway;
pub mod metrics;
pub mod model;
pub mod network;
pub mod openai;
pub mod picking;
pub mod plane;
pub mod routes;
pub mod tokens;
pub mod upstream;

pub use plane::DataPlane;

#[cfg(test)]
mod spread;
#[cfg(test)]
mod tests;
