//! GKE's long-running operations: where one stands, and what its failure means.
//!
//! Operations are named by their full path (`projects/P/locations/L/operations/O`), so that a later run
//! finds them with nothing else. Does not wait; the engine does.

use google_cloud_container_v1::model::{Operation, operation};

use super::client::GoogleClient;
use super::error::failed_operation;
use crate::env::clock::Timestamp;
use crate::resource::error::{ErrorClass, ProviderError};

/// Where an operation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Still going.
    Running {
        /// One phrase of what it does.
        phrase: String,
        /// When it began.
        since: Option<Timestamp>,
    },
    /// Over, and it succeeded; or so long ago that GKE has forgotten it.
    Over,
}

/// The full path of an operation that a call under `parent` (`projects/P/locations/L`) answered.
pub fn path(parent: &str, operation: &Operation) -> Option<String> {
    (!operation.name.is_empty()).then(|| format!("{parent}/operations/{}", operation.name))
}

/// Looks once.
///
/// # Errors
/// The operation's own failure, with its class, when it is over and failed; a failed look-up otherwise.
pub async fn look(client: &GoogleClient, path: &str) -> Result<Standing, ProviderError> {
    let answer = client.call(|gke| async move { gke.get_operation().set_name(path).send().await }).await;
    let operation = match answer {
        Ok(operation) => operation,
        Err(error) if error.class == ErrorClass::NotFound => return Ok(Standing::Over),
        Err(error) => return Err(error),
    };
    if let Some(error) = failed_operation(&operation) {
        return Err(error);
    }
    if operation.status == operation::Status::Done {
        return Ok(Standing::Over);
    }
    Ok(Standing::Running { phrase: phrase(&operation), since: Timestamp::parse(&operation.start_time) })
}

fn phrase(operation: &Operation) -> String {
    let what = match operation.operation_type.name() {
        Some("CREATE_CLUSTER") => "the control plane is being made",
        Some("DELETE_CLUSTER") => "the cluster is being deleted",
        Some("CREATE_NODE_POOL") => "the nodes are being made",
        Some("DELETE_NODE_POOL") => "the nodes are being deleted",
        Some("UPGRADE_NODES") => "the nodes are being rolled",
        Some("UPGRADE_MASTER") => "the control plane is being upgraded",
        Some("SET_NODE_POOL_SIZE") => "the pool is being resized",
        _ => "the change is being made",
    };
    match operation.detail.trim() {
        "" => what.to_owned(),
        detail => format!("{what}: {detail}"),
    }
}
