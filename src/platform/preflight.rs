//! What is looked at before anything is paid for: whether services, rights, quotas and offers suffice.
//!
//! Plain data and a trait; `provider` looks, `ops` decides. Capacity alone is made to be seen, on demand.

use async_trait::async_trait;

use crate::address::Address;
use crate::env::clock::Timestamp;
use crate::platform::audit::Billed;
use crate::resource::driver::Ownership;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// A resource that will be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Which.
    pub address: Address,
    /// Its kind's name.
    pub kind: String,
    /// Its attributes; parts may be deferred.
    pub attrs: Value,
    /// Those that it has now.
    pub present: Option<Value>,
}

/// What a check is about, in the order in which people mend things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The login.
    Credentials,
    /// A service that is on or off.
    Service,
    /// A right of the account.
    Permission,
    /// Something that a place offers.
    Offer,
    /// A quota.
    Quota,
    /// Machines themselves, which only asking for one shows.
    Capacity,
}

impl Topic {
    /// As a heading.
    pub fn word(self) -> &'static str {
        match self {
            Topic::Credentials => "credentials",
            Topic::Service => "services",
            Topic::Permission => "permissions",
            Topic::Offer => "offers",
            Topic::Quota => "quotas",
            Topic::Capacity => "capacity",
        }
    }
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It will fail.
    Missing,
    /// Nobody could tell: that is not fine.
    Unknown,
    /// It suffices.
    Fine,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Check {
    /// What it is about.
    pub topic: Topic,
    /// What was found.
    pub verdict: Verdict,
    /// What was looked at: `NVIDIA_T4_GPUS in europe-west4`.
    pub subject: String,
    /// What was found, in words: how much is missing, why it is not known.
    pub found: String,
    /// The command or page that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// The resources that need it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wanted_by: Vec<String>,
}

/// Looks before anything is paid for.
#[async_trait]
pub trait Preflight: Send + Sync {
    /// Everything that `wanted` needs, as far as it can be seen: all checks, those that are fine too. Sends reading
    /// requests only, all at once.
    async fn check(&self, wanted: &[Wanted]) -> Vec<Check>;

    /// What would show whether there are machines for the pools that are wanted and not there: one for each sort of them
    /// in each of their zones. Sends nothing.
    fn trials(&self, wanted: &[Wanted], owner: &Ownership, now: Timestamp) -> Vec<Trial> {
        let _ = (wanted, owner, now);
        Vec::new()
    }

    /// Begins a trial: what it is about, or the operation that makes the machine.
    ///
    /// # Errors
    /// The platform's refusal; [`ErrorClass::AlreadyExists`] where an
    /// earlier run has left the machine.
    async fn begin(&self, trial: &Trial) -> Result<Begun, ProviderError> {
        Err(impossible(trial))
    }

    /// Whether the operation of a trial is over. One look.
    ///
    /// # Errors
    /// What it failed with, or that of the look.
    async fn is_over(&self, operation: &str) -> Result<bool, ProviderError> {
        let _ = operation;
        Ok(true)
    }

    /// Removes the machine of a trial; the operation that goes on, if one does.
    ///
    /// # Errors
    /// The platform's refusal.
    async fn end(&self, trial: &Trial) -> Result<Option<String>, ProviderError> {
        Err(impossible(trial))
    }
}

fn impossible(trial: &Trial) -> ProviderError {
    ProviderError::new(ErrorClass::Invalid, format!("{} cannot be tried out here", trial.subject))
}

/// One machine that is made to see whether there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The pool that it is for.
    pub address: Address,
    /// What is tried: `n1-standard-4 with 1 nvidia-tesla-t4 in europe-west4-a`.
    pub subject: String,
    /// The Google Cloud project.
    pub project: String,
    /// The zone.
    pub zone: String,
    /// The machine's name, always the same for the same pool of the same stack.
    pub name: String,
    /// What it is billed as; nothing where it is looked for and not made.
    pub billed: Billed,
    /// The request that makes it, or nothing where a reservation is only looked at.
    pub request: Option<serde_json::Value>,
    /// The reservation that is looked at, and how many machines it must have left.
    pub reservation: Option<(String, i64)>,
}

/// How a trial has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The machine is being made by this operation.
    Making(String),
    /// There is capacity, and nothing was made to see it.
    There(String),
    /// There is none.
    Missing(String),
}
