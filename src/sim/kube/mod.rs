//! One simulated cluster's Kubernetes API server.
//!
//! `api` is what the programs inside the cluster see, `http` what clients outside see; both go through
//! `write`, where admission, validation and field ownership happen, into `store`.

mod aggregation;
pub mod api;
mod bootstrap;
mod builtin;
mod catalogue;
mod codec;
mod convert;
mod crd;
mod delete;
mod discovery;
mod fault;
mod fields;
mod http;
mod json_text;
mod paths;
mod protobuf;
mod rbac;
mod registry;
mod requests;
mod scale;
mod selector;
pub mod server;
mod store;
mod subresource;
mod table;
mod token;
mod typed;
mod waiting;
mod watch;
mod write;

pub mod admission;
mod openapi_document;
mod rules;

pub use http::router;
