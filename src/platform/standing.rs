//! How things of a platform stand, for who asks why something does not work: clusters, pools, operations, and the logs of
//! containers. Plain data; `provider` looks.

use serde::Serialize;

use crate::env::clock::Timestamp;
use crate::resource::error::ErrorClass;

/// A cluster or a pool, and what the platform says is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Thing {
    /// `cluster`, `node pool`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `RUNNING`, `ERROR`.
    pub status: String,
    /// Where the text stands: `statusMessage`, `operation operation-…`, `instance group …`.
    pub field: String,
    /// What is wrong, in the platform's words; empty where nothing is.
    pub text: String,
    /// The class of what is wrong.
    pub class: Option<ErrorClass>,
    /// When it was said.
    pub at: Option<Timestamp>,
}

/// The log of a container that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOf<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod.
    pub pod: &'a str,
    /// The container.
    pub container: &'a str,
    /// Of the container before it was started again.
    pub previous: bool,
    /// At most this many lines, the last ones.
    pub lines: usize,
}

/// The end of a container's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Of the container before it was started again.
    pub previous: bool,
    /// Its last lines.
    pub text: String,
}
