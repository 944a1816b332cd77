//! The simulator: a Google Cloud project, its clusters and its models behind real sockets, on one clock.
//!
//! `world` keeps everything on disk, `kube` is one cluster's API server, `controllers` are the programs that
//! run in it, `google` the cloud around it, `serving` the models. It shares no code with the engine it tests.

pub mod cluster_faults;
pub mod controllers;
pub mod environment;
pub mod faults;
pub mod google;
pub mod interior;
pub mod kube;
pub mod net;
pub mod nodes;
mod pod_proxy;
mod port_forward;
pub mod requests;
pub mod serving;
pub mod simulator;
mod spdy;
mod trouble;
pub mod world;
