//! What labels say of stacks: whose a cluster is, and until when it may live.

use serde::{Deserialize, Serialize};

/// A cluster that some stack has marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// Google Cloud project id.
    pub project: String,
    /// Zone or region.
    pub location: String,
    /// The cluster's name.
    pub name: String,
    /// The cluster's id.
    pub id: String,
    /// The stack's name.
    pub stack: String,
    /// The stack's random id.
    pub stack_id: String,
    /// Until when it may live, Unix seconds; `None` for ever.
    pub expires: Option<u64>,
    /// What the label says, where that is no time: then nobody knows, and it is left alone.
    pub illegible: Option<String>,
}

impl Marked {
    /// Whether its time is over.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}
