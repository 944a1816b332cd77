//! What is looked at before anything is paid for: whether services, rights, quotas and offers suffice.
//!
//! Plain data and a trait; `provider` looks, `ops` decides.

use async_trait::async_trait;

use crate::address::Address;
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
}
