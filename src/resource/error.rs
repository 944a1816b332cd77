//! What a platform can answer besides success, classed by what a caller should do about it.

use std::time::Duration;

/// The class decides between waiting, retrying and giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// No such thing.
    NotFound,
    /// A thing of that name is there.
    AlreadyExists,
    /// Somebody else changed or owns it: stale version, field conflict.
    Conflict,
    /// Who we are may not do this.
    Denied,
    /// The platform does not know who we are: no, wrong or expired credentials.
    Unauthenticated,
    /// The service is not switched on in the project.
    Disabled,
    /// Over a quota; waiting does not help.
    Quota,
    /// No capacity in the location; may pass, but not soon.
    StockOut,
    /// Too many requests; retry after a while.
    RateLimited,
    /// Another operation holds the resource; retry when it is over.
    Busy,
    /// The platform or the way to it is down, or an admission webhook does not answer; retry.
    Unavailable,
    /// The request is wrong and will stay wrong.
    Invalid,
    /// None of these.
    Unknown,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// What to do about it.
    pub class: ErrorClass,
    /// The platform's own words, without secrets.
    pub message: String,
    /// What the platform asked us to wait.
    pub retry_after: Option<Duration>,
    /// What the user can do.
    pub hint: Option<String>,
    /// How long retries may be answered like this before it is taken for the last word; the time of the change as a
    /// whole where nothing is said.
    pub patience: Option<Duration>,
}

impl ProviderError {
    /// An error of this class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        ProviderError { class, message: message.into(), retry_after: None, hint: None, patience: None }
    }

    /// With an end to its retries.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// With a next step for the user.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
