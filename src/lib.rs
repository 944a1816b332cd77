//! stackwright: from an empty Google Cloud project to a language model that answers, and back to nothing.
//!
//! One module per job, in layers; `tests/it/architecture.rs` holds who may use whom, and
//! `docs/architecture.md` explains the flow.

pub mod address;
pub mod backend;
pub mod catalog;
pub mod chart;
pub mod cli;
pub mod cost;
pub mod diag;
pub mod diagnosis;
pub mod engine;
pub mod env;
pub mod event;
pub mod graph;
pub mod measure;
pub mod openapi;
pub mod ops;
pub mod plan;
pub mod platform;
pub mod provider;
pub mod resource;
pub mod sim;
pub mod stack;
pub mod state;
pub mod template;
pub mod ui;
pub mod value;
