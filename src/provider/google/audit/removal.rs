//! Removing one thing of Compute Engine, and whether its operation is over. No order, no waiting: those are the caller's.

use serde_json::Value as Json;

use super::thing::path_of;
use crate::platform::audit::{Finding, Verdict};
use crate::provider::google::client::GoogleClient;
use crate::provider::google::error::class_of_text;
use crate::resource::error::{ErrorClass, ProviderError};

/// Starts the removal; the path of the operation, or nothing where the thing is gone already.
///
/// # Errors
/// The refusal; [`ErrorClass::Busy`] while something else uses it. Anything but what is proven ours is refused here.
pub async fn remove(client: &GoogleClient, finding: &Finding) -> Result<Option<String>, ProviderError> {
    if finding.verdict != Verdict::Proven || finding.order.is_none() || finding.path.is_empty() {
        let text = format!("{} {} is not known to be the stack's", finding.kind, finding.name);
        return Err(ProviderError::new(ErrorClass::Denied, text).hint("look at it, and remove it by hand"));
    }
    delete(client, &finding.path).await
}

/// The path of an operation of Compute Engine.
pub fn operation_path(operation: &Json) -> String {
    path_of(operation["selfLink"].as_str().unwrap_or_default()).to_owned()
}

/// Starts the removal of what is at a path, which the caller knows to be ours; the path of the operation, or nothing where
/// it is gone already.
///
/// # Errors
/// The refusal; [`ErrorClass::Busy`] while something else uses it.
pub async fn delete(client: &GoogleClient, path: &str) -> Result<Option<String>, ProviderError> {
    match client.delete("compute", &format!("/compute/v1/{path}")).await {
        Ok(operation) => {
            let link = operation_path(&operation);
            if let Some(error) = failure(&operation) {
                return Err(error);
            }
            Ok((!link.is_empty() && operation["status"] != "DONE").then_some(link))
        }
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(in_use(error)),
    }
}

/// Whether an operation is over.
///
/// # Errors
/// What it failed with, or that of the look.
pub async fn is_over(client: &GoogleClient, operation: &str) -> Result<bool, ProviderError> {
    let answer = match client.get("compute", &format!("/compute/v1/{operation}")).await {
        Ok(answer) => answer,
        // Old operations are forgotten.
        Err(error) if error.class == ErrorClass::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    match failure(&answer) {
        Some(error) => Err(error),
        None => Ok(answer["status"] == "DONE"),
    }
}

/// What a finished operation failed with.
fn failure(operation: &Json) -> Option<ProviderError> {
    let first = operation["error"]["errors"].as_array()?.first()?;
    let text = |key: &str| first[key].as_str().unwrap_or_default();
    let (code, message) = (text("code"), text("message"));
    if code == "RESOURCE_NOT_FOUND" {
        return None;
    }
    let class = class_of_text(code);
    Some(in_use(ProviderError::new(class, if message.is_empty() { code } else { message })))
}

/// What uses a thing is usually on its way out.
fn in_use(mut error: ProviderError) -> ProviderError {
    let text = error.message.to_ascii_lowercase();
    if text.contains("already being used by")
        || text.contains("in_use_by_another_resource")
        || text.contains("is not ready")
    {
        error.class = ErrorClass::Busy;
    }
    error
}
