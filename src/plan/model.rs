//! A plan: every change, why, in which order, over which state. Plain data that is saved and shown as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::address::Address;
use crate::plan::cost::Cost;
use crate::plan::places::Placement;
use crate::resource::hook::{self, Moment};
use crate::resource::kind::Change;
use crate::resource::model::Portal;
use crate::state::model::Target;
use crate::value::Value;

/// The format of saved plans; see [`super::file`].
pub const FORMAT: u32 = 4;

/// A complete set of changes.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The stack's name.
    pub stack: String,
    /// What it was made from; apply refuses it when this no longer holds.
    pub basis: Basis,
    /// One per resource that the stack or the state has, in address order.
    pub changes: Vec<ResourceChange>,
    /// Who needs whom among desired resources; addresses without a change are barriers.
    pub edges: Vec<Edge>,
    /// What changed by other hands since the last apply.
    pub drift: Vec<Drift>,
    /// Outputs afterwards.
    pub outputs: BTreeMap<String, OutputChange>,
    /// Completions that must come back at the end.
    pub proofs: Vec<PlannedProof>,
    /// Only a part of the stack was planned (`--target`).
    #[serde(default)]
    pub partial: bool,
    /// The stack is taken away (`destroy`).
    #[serde(default)]
    pub destroy: bool,
    /// Drift is taken note of in the state, and nothing else happens (`--refresh-only`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refresh_only: bool,
    /// What charts asked about the cluster, and whether it was there: what is planned rests on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub looked_up: BTreeMap<String, bool>,
    /// What it has to do with a pause.
    #[serde(default, skip_serializing_if = "Pause::is_none")]
    pub pause: Pause,
    /// What the stack costs, before and after; nothing where it holds nothing that could cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// In which of its locations the stack is made, and which others are approved with the plan; nothing for a stack that
    /// names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// What a plan has to do with a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pause {
    /// Nothing.
    #[default]
    None,
    /// The stack is paused, and stays so.
    Paused,
    /// It takes the nodes away.
    Pauses,
    /// It brings them back.
    Resumes,
}

impl Pause {
    fn is_none(&self) -> bool {
        *self == Pause::None
    }
}

/// What a plan was made from.
#[derive(Clone, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// The state's lineage; empty before the first apply.
    pub lineage: String,
    /// The state's serial.
    pub serial: u64,
    /// The place it was planned for.
    pub target: Option<Target>,
    /// Keyed digests of the secret inputs in use, by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// The name of the key that those, and the digests that apply will record, are made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What happens to a resource.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    NoOp,
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is deleted and made again.
    Replace,
    /// It is deleted.
    Delete,
    /// It is dropped from state: it is gone already, or the user wants to keep it.
    Forget,
    /// It is there and ours, and comes back into state.
    Adopt,
    /// A hook: its object is made, waited for, and removed if its chart wants that.
    Run,
    /// A hook that does not run now: state keeps it for the moment at which it does.
    Record,
}

impl Action {
    /// Whether anything is asked of a platform.
    pub fn acts(self) -> bool {
        !matches!(self, Action::NoOp | Action::Forget | Action::Record)
    }

    /// Terraform's symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Action::NoOp => " ",
            Action::Create => "+",
            Action::Update => "~",
            Action::Replace => "-/+",
            Action::Delete => "-",
            Action::Forget => ".",
            Action::Adopt => "=",
            Action::Run => ">",
            Action::Record => ".",
        }
    }
}

/// Why.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reason {
    /// It is as desired.
    Same,
    /// The stack wants it and nothing is recorded.
    New,
    /// It was recorded and is not there any more.
    Vanished,
    /// An earlier run began and did not finish it.
    Unfinished,
    /// Attributes differ.
    Changed,
    /// The value of a secret input differs.
    SecretChanged(Vec<String>),
    /// An attribute that cannot be changed in place differs.
    Forced(Vec<Vec<String>>),
    /// Asked for with `--replace`.
    Requested,
    /// What it lives in is made anew.
    ConnectionReplaced(Address),
    /// The stack no longer has it.
    Removed,
    /// The whole stack goes.
    Destroyed,
    /// The stack no longer has it, and its makers want it to stay.
    Kept,
    /// The user leaves it where it is (`destroy --abandon`).
    Abandoned,
    /// It is there, carries our labels, and state does not know it.
    Found,
    /// It is there, was nobody's, and the user wants it.
    Wanted,
}

/// One resource and what happens to it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceChange {
    /// Which.
    pub address: Address,
    /// Its kind's name.
    pub kind: String,
    /// What happens.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Where state has it, when that is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Address>,
    /// The differences; for a create and a delete empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What it is before, for who reads plans ([`super::prior`]); nothing in a plan that is only carried out, and of what
    /// is not there yet.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::value::shared::option")]
    pub before: Option<Arc<Value>>,
    /// The attributes to apply, deferred parts included; `None` for delete and forget.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::value::shared::option")]
    pub after: Option<Arc<Value>>,
    /// The platform's handle, when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it needed when it was last applied; orders deletes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<Address>,
    /// How its platform is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Address>,
    /// It goes together with this resource, without a call of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_with: Option<Address>,
    /// Fields sent on create only, and to whom they are ceded: (path, owner).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ceded: Vec<(Vec<String>, String)>,
    /// Deadline of the wait for readiness, seconds.
    pub timeout_seconds: u64,
    /// How long it usually takes, seconds; of what is replaced, to make it anew.
    pub estimate_seconds: u64,
    /// Of what is replaced: how long it usually takes to delete it, seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub removal_seconds: u64,
    /// So many earlier runs of this stack say how long it takes; without any, the catalogue does.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub measured: u64,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// An unfinished create or update is taken up where it was left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// What others hold of it is taken: the object as a whole, or the fields that its changes name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub take: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ResourceChange {
    /// Whether it is made as part of taking something away: a deletion, or a hook that runs at one.
    pub fn is_leaving(&self) -> bool {
        match self.action {
            Action::Delete | Action::Forget => true,
            Action::Run => Moment::of(&self.address).is_some_and(Moment::is_deletion),
            _ => false,
        }
    }

    /// Whether it is a hook.
    pub fn is_hook(&self) -> bool {
        self.kind == hook::KIND
    }
}

/// `dependent` needs `dependency`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Who needs.
    pub dependent: Address,
    /// Who is needed.
    pub dependency: Address,
    /// Why, at least one.
    pub reasons: Vec<String>,
}

/// A change by other hands.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Which resource.
    pub address: Address,
    /// What differs; empty when the resource is gone.
    pub changes: Vec<Change>,
    /// What the state keeps of it, where the plan is to take note of drift; nothing of a resource that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Value>,
}

/// An output before and after.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputChange {
    /// As recorded.
    pub before: Option<Value>,
    /// As it will be; `None` when the output goes. May be deferred.
    pub after: Option<Value>,
    /// Never shown.
    #[serde(default)]
    pub sensitive: bool,
}

/// [`crate::resource::model::Proof`] in its saved form.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedProof {
    /// The workload component.
    pub component: String,
    /// Base URL, over references.
    pub url: Value,
    /// Model name.
    pub model: String,
    /// CA certificates, over references.
    pub ca: Option<Value>,
    /// Name to verify the certificate against.
    pub server_name: Option<String>,
    /// The key to show, over secret inputs: their names, never their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Value>,
    /// The gateway in front of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Portal>,
    /// Deadline, seconds.
    pub timeout_seconds: u64,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Creates and replaces.
    pub add: usize,
    /// Updates.
    pub change: usize,
    /// Deletes and replaces.
    pub destroy: usize,
    /// Hooks that run.
    pub run: usize,
}

impl Plan {
    /// Terraform's three figures.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for change in &self.changes {
            counts.add += usize::from(matches!(change.action, Action::Create | Action::Replace));
            counts.change += usize::from(change.action == Action::Update);
            counts.destroy += usize::from(matches!(change.action, Action::Delete | Action::Replace));
            counts.run += usize::from(change.action == Action::Run);
        }
        counts
    }

    /// Whether applying it would do nothing at all, state included.
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|c| c.action == Action::NoOp && c.moved_from.is_none() && !c.resume)
            && self.outputs.values().all(|o| o.sensitive || o.before == o.after)
            && (!self.refresh_only || self.drift.is_empty())
    }

    /// What a resource needs, as state keeps it: a need of a whole component is recorded as such, and any other
    /// barrier is stood for by its members.
    pub fn needs(&self, dependent: &Address) -> Vec<Address> {
        let mut needs = Vec::new();
        self.gather_needs(dependent, &mut needs);
        needs
    }

    fn gather_needs(&self, dependent: &Address, needs: &mut Vec<Address>) {
        let start = self.edges.partition_point(|edge| edge.dependent < *dependent);
        for edge in self.edges[start..].iter().take_while(|edge| edge.dependent == *dependent) {
            let is_component = edge.dependency.object_key().is_none();
            if is_component || self.change(&edge.dependency).is_some() {
                needs.push(edge.dependency.clone());
            } else {
                self.gather_needs(&edge.dependency, needs);
            }
        }
    }

    /// The change of that address.
    pub fn change(&self, address: &Address) -> Option<&ResourceChange> {
        let at = self.changes.binary_search_by(|c| c.address.cmp(address)).ok()?;
        self.changes.get(at)
    }
}
