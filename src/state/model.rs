//! The recorded state of one stack. Plain data; only [`super::transition`] changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::address::{Address, Identity};
use crate::value::Value;

/// The format written by this version; see `docs/state-format.md`. Earlier ones are read.
pub const FORMAT: u32 = 4;

/// So many durations of one change are remembered.
pub const REMEMBERED: usize = 5;

/// Everything recorded about a stack.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Random, made with the first transition: tells histories apart.
    pub lineage: String,
    /// Counts transitions; every journal record carries the serial it leads to.
    pub serial: u64,
    /// The stack's name.
    pub stack: String,
    /// The stack's random id, in the labels of everything it made: 16 hexadecimal digits.
    pub stack_id: String,
    /// What this state describes, once something was reached. State refuses any other.
    pub target: Option<Target>,
    /// The name of the key that digests of secrets are made with, once there are any. A run with another key plans
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// By identity.
    pub resources: BTreeMap<Identity, Recorded>,
    /// Outputs as of the last complete apply. Never sensitive ones.
    pub outputs: BTreeMap<String, Value>,
    /// What clusters of the stack are known by once they are gone, by their ids: kept until an audit has found nothing
    /// that they left behind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub captured: BTreeMap<String, Value>,
    /// Where the state is kept now, when that is no longer here: this copy is history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departed: Option<String>,
    /// The stack is paused: what costs most has no nodes, and that is how it is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// How long changes took in earlier runs, where that was worth a note: expectations, and nothing that is there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub took: BTreeMap<Identity, Took>,
    /// In which of its locations the stack is, where it names several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placing: Option<Placing>,
}

/// Where a stack is that may be in one of several locations, and where it could not be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Placing {
    /// Where it is, is being made, or is being removed again.
    pub location: String,
    /// Its capacity was had: it stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Locations that were given up, in this order. The last may be `location`: then what was made there is being removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<GivenUp>,
}

/// A location without capacity.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenUp {
    /// Zone or region.
    pub location: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Why, in the platform's words.
    pub reason: String,
}

impl Placing {
    /// Whether what was made in the location is being removed again.
    pub fn is_leaving(&self) -> bool {
        self.has_given_up(&self.location)
    }

    /// Whether a location was given up.
    pub fn has_given_up(&self, location: &str) -> bool {
        self.given_up.iter().any(|given_up| given_up.location == location)
    }
}

/// How long a resource took to be made, changed and deleted: milliseconds, the last [`REMEMBERED`] of each, oldest first.
pub type Took = BTreeMap<Intent, Vec<u64>>;

/// What is remembered of a stack while it is paused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paused {
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// How many nodes pools had then, per zone: what their autoscalers had made of them is known nowhere else.
    pub sizes: BTreeMap<Identity, i64>,
}

impl State {
    /// Nothing recorded yet.
    pub fn empty(stack: &str) -> Self {
        State {
            format: FORMAT,
            lineage: String::new(),
            serial: 0,
            stack: stack.to_owned(),
            stack_id: String::new(),
            target: None,
            key: None,
            resources: BTreeMap::new(),
            outputs: BTreeMap::new(),
            captured: BTreeMap::new(),
            departed: None,
            paused: None,
            took: BTreeMap::new(),
            placing: None,
        }
    }

    /// What is remembered of the pause that the stack is in. A stack that is gone is not paused.
    pub fn pause(&self) -> Option<&Paused> {
        self.paused.as_ref().filter(|_| !self.resources.is_empty())
    }

    /// What a change usually takes, in milliseconds, by the median of what is remembered, and how many runs that is of.
    pub fn usual(&self, identity: &Identity, action: Intent) -> Option<(u64, usize)> {
        let mut took = self.took.get(identity)?.get(&action)?.clone();
        took.sort_unstable();
        let middle = took.len() / 2;
        let upper = *took.get(middle)?;
        let median = if took.len() % 2 == 0 { took[middle - 1].midpoint(upper) } else { upper };
        Some((median, took.len()))
    }

    /// Whether nothing was ever recorded.
    pub fn is_new(&self) -> bool {
        self.serial == 0
    }

    /// Whether two states say the same, whatever their serials and formats and how long it took.
    pub fn agrees(&self, other: &State) -> bool {
        let took = BTreeMap::new;
        let alike = |state: &State| State { format: FORMAT, serial: 0, departed: None, took: took(), ..state.clone() };
        alike(self) == alike(other)
    }
}

/// A place that state is bound to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `google`, `kubeconfig`, `simulator` or `none`.
    pub platform: String,
    /// Project number, cluster uid or world id.
    pub id: String,
}

/// One recorded resource.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Where the stack had it last.
    pub address: Address,
    /// Kind's name.
    pub kind: String,
    /// The platform's handle, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the kind keeps of the last apply; `null` until something was applied.
    #[serde(default, skip_serializing_if = "is_null", with = "crate::value::shared")]
    pub record: Arc<Value>,
    /// What the kind keeps of drift that the user has taken note of (`apply --refresh-only`): drift is what differs from
    /// this. Gone with the next apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Value>,
    /// What it needed, so that destroy knows the order without the stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Address>,
    /// The resource that says how to reach its platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Address>,
    /// Keyed digests of the secret inputs that went into it, by input name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// An intent without a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

fn is_null(value: &Value) -> bool {
    *value == Value::Null
}

/// What a run set out to do to a resource and has not finished.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// What.
    pub action: Intent,
    /// When, in milliseconds since 1970.
    pub since: u64,
    /// The platform's long-running operation, as soon as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The call was answered; only readiness is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sent: bool,
}

/// What an intent is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Making it.
    Create,
    /// Changing it in place.
    Update,
    /// Deleting it.
    Delete,
}
