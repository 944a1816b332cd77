//! Google Cloud: GKE clusters and node pools over `google-cloud-container-v1`.
//!
//! Not for anything inside a cluster (`provider::kube`) and not for prices.

#![expect(deprecated, reason = "GKE fills the deprecated texts and conditions, and some failures only them")]

mod access;
mod audit;
pub mod client;
pub mod cluster;
mod difference;
pub mod error;
mod expiry;
pub mod login;
pub mod node_pool;
mod operation;
mod pool;
pub mod preflight;
pub mod site;
mod standing;

use crate::diag::Diagnostic;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::model::Resource;
use crate::value::Value;

/// Attributes that must be there, as text or as a reference.
fn required(resource: &Resource, keys: &[&str]) -> Vec<Diagnostic> {
    let missing = keys.iter().filter(|key| {
        let value = resource.attrs.get(key);
        !value.is_some_and(|value| matches!(value, Value::Deferred(_)) || value.as_str().is_some_and(|t| !t.is_empty()))
    });
    missing
        .map(|key| Diagnostic::error(format!("`{key}` is missing or not a text")).about(resource.address.clone()))
        .collect()
}

/// What GKE is told, it shows to everybody who may look: no secret belongs there, nor into its record.
fn forbids_secrets(resource: &Resource) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    resource.attrs.visit_templates(&mut |template| {
        if template.is_sensitive() {
            let summary = format!("{} may not hold a secret ({})", resource.kind, template.source());
            found.push(
                Diagnostic::error(summary)
                    .hint("put it into a Kubernetes Secret instead")
                    .about(resource.address.clone()),
            );
        }
    });
    found
}

/// Something of that name is there and is not this stack's.
fn foreign(what: &str, owner: Option<&str>) -> ProviderError {
    let (text, hint) = match owner {
        Some(id) => (
            format!("{what} exists and belongs to another stack ({id})"),
            "choose another name, or destroy the other stack first",
        ),
        None => (
            format!("{what} exists and was not made by this stack"),
            "take it over with `stackwright adopt`, or choose another name",
        ),
    };
    ProviderError::new(ErrorClass::AlreadyExists, text).hint(hint)
}

#[cfg(test)]
mod tests;
