//! What the last run failed with, kept in a file beside the state until a run succeeds: some failures leave no trace
//! anywhere else. Texts of platforms, without secrets. Not part of the state: nothing is planned from it.

use serde::{Deserialize, Serialize};

use crate::env::clock::Timestamp;
use crate::ops::apply::Applied;
use crate::resource::error::ErrorClass;

/// A failed change, or a model that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastFailure {
    /// The resource's address, or the component of the model.
    pub address: String,
    /// Causes, outermost first.
    pub causes: Vec<String>,
    /// The class of the answer, where one has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// When the run ended, in milliseconds since 1970.
    pub at: u64,
}

/// The failures of a run.
pub fn of(applied: &Applied, now: Timestamp) -> Vec<LastFailure> {
    let failed = applied.summary.failed.iter().map(|(address, failure)| (address.to_string(), failure));
    let unproved = applied.unproved.iter().map(|(component, failure)| (component.clone(), failure));
    let failures = failed.chain(unproved).map(|(address, failure)| LastFailure {
        address,
        causes: failure.causes.clone(),
        class: failure.class,
        at: now.0,
    });
    failures.collect()
}

/// The file's contents.
pub fn encode(failures: &[LastFailure]) -> Vec<u8> {
    serde_json::to_vec_pretty(failures).expect("texts can be written")
}

/// What a file holds; nothing where it is none of ours.
pub fn decode(bytes: &[u8]) -> Vec<LastFailure> {
    serde_json::from_slice(bytes).unwrap_or_default()
}
