//! The JSON of a plan as types: members and meaning are those of Terraform's plan format, and those that it has no
//! counterpart of are our own. `schema plan` prints the JSON Schema that follows from them. Data only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::address::Address;
use crate::plan::cost::Cost;
use crate::plan::model::{Action, Basis, Edge, Pause, Reason};
use crate::plan::time::Schedule;

/// Terraform's version of the plan format that this one follows.
pub const FORMAT_VERSION: &str = "1.2";

/// Terraform's version of the format of state values.
pub const VALUES_FORMAT_VERSION: &str = "1.0";

/// A plan, as `plan --json` and `show PLAN --json` print it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanDocument {
    /// The version of Terraform's plan format that the shape follows. A later minor version only adds members.
    pub format_version: &'static str,
    /// The version of stackwright that printed it.
    pub stackwright_version: &'static str,
    /// The version of Terraform whose format it is; with `--json=terraform` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terraform_version: Option<&'static str>,
    /// The stack's name.
    pub stack: String,
    /// What everything is once the plan is carried out, as far as it is known.
    pub planned_values: Values,
    /// What others have changed since the last apply: before as it was recorded, after as it is now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_drift: Vec<ResourceChange>,
    /// One per resource that the stack or the state has, those without a change included.
    pub resource_changes: Vec<ResourceChange>,
    /// The stack's outputs, by name.
    pub output_changes: BTreeMap<String, Change>,
    /// What everything is before.
    pub prior_state: PriorState,
    /// Of each resource, which attributes come from other resources.
    pub configuration: Configuration,
    /// Whether there is anything to apply.
    pub applyable: bool,
    /// Whether everything is as desired once it is applied: not so for a part of a stack.
    pub complete: bool,
    /// Whether planning has failed; such a plan is not printed.
    pub errored: bool,
    /// How many of each.
    pub summary: Summary,
    /// Only a part of the stack was planned (`--target`).
    pub partial: bool,
    /// The stack is taken away.
    pub destroy: bool,
    /// Only drift is taken note of.
    pub refresh_only: bool,
    /// What it has to do with a pause.
    pub pause: Pause,
    /// What the plan was made from.
    pub basis: Basis,
    /// What the stack costs, before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// In which of its locations the stack is made; of a stack that names several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// How long it takes, and what it waits for.
    pub time: Schedule,
    /// What the rules of `[[policy]]` and `--policy` say of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Vec<Verdict>>,
    /// Who needs whom, and why; addresses without a change stand for several resources.
    pub edges: Vec<Edge>,
    /// The models that must answer at the end.
    pub proofs: Vec<Proof>,
    /// What charts have asked about the cluster, and whether it was there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub looked_up: BTreeMap<String, bool>,
}

/// In which of its locations a stack is made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Placement {
    /// The location that the plan is for.
    pub location: String,
    /// Capacity is still to be had: the alternatives hold.
    pub open: bool,
    /// Where what was made is removed first, because it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaving: Option<String>,
    /// What is known to be missing there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where it is tried next, in this order: approved with the plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
}

/// The same stack in another location.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Alternative {
    /// Zone or region.
    pub location: String,
    /// What is known to be missing there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is another there than in the plan.
    pub addresses: Vec<Address>,
    /// What the stack costs there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// How many resources something happens to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// Made, replaced ones included.
    pub add: usize,
    /// Changed in place.
    pub change: usize,
    /// Deleted, replaced ones included.
    pub destroy: usize,
    /// Hooks that run.
    pub run: usize,
}

/// A rule that is broken.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verdict {
    /// The rule's name.
    pub rule: String,
    /// `error` or `warning`.
    pub severity: crate::diag::Severity,
    /// What it is about, where that is one resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// What is wrong.
    pub summary: String,
    /// The rule's own words, and why.
    pub detail: String,
    /// The file and line that the rule stands in.
    pub place: String,
}

/// One resource and what happens to it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResourceChange {
    /// Which: the address that every command takes; with `--json=terraform`, as Terraform would write it.
    pub address: String,
    /// Where the state has it, when that is elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_address: Option<String>,
    /// Always `managed`.
    pub mode: &'static str,
    /// Its kind: `gke.cluster`, `gke.node_pool`, `k8s.object`, `k8s.hook`, `value`; with `--json=terraform`, the type of
    /// Terraform's provider.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name within the type.
    pub name: String,
    /// Which of several with that name; with `--json=terraform` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Who carries it out.
    pub provider_name: &'static str,
    /// What happens.
    pub change: Change,
    /// Terraform's word for why, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_reason: Option<&'static str>,
    /// Our address, where `address` is Terraform's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stackwright_address: Option<Address>,
    /// The component that it belongs to.
    pub component: String,
    /// What happens, in our words: Terraform's has none for adopting a resource, or for running a hook.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The differences, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// The platform's name for it, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The chart and template, or the file, that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The resource with which it goes, without a call of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes_with: Option<Address>,
    /// Fields that are sent once, and then belong to somebody else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ceded: Vec<Ceded>,
    /// How long it usually takes, seconds; of what is replaced, to make it anew.
    pub estimate_seconds: u64,
    /// Of what is replaced: how long it usually takes to delete it, seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub removal_seconds: u64,
    /// So many earlier runs of the stack say how long it takes.
    #[serde(skip_serializing_if = "is_zero")]
    pub measured: u64,
    /// How long it may take, seconds.
    pub timeout_seconds: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Before and after.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Change {
    /// `no-op`, `create`, `update`, `delete`, `delete` and `create`, or `forget`.
    pub actions: Vec<&'static str>,
    /// As it is; `null` of what is not there. Secret values are `null`: `before_sensitive` has them.
    pub before: Json,
    /// As it will be; `null` of what goes. What is not known yet is left out: `after_unknown` has it. Secret values are
    /// `null`: `after_sensitive` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
    /// `true` in the place of each value that is known only when the plan is carried out.
    pub after_unknown: Json,
    /// `true` in the place of each secret value.
    pub before_sensitive: Json,
    /// `true` in the place of each secret value.
    pub after_sensitive: Json,
    /// The attributes that cannot be changed in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_paths: Option<Vec<Vec<Json>>>,
    /// What is there already and becomes the stack's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importing: Option<Importing>,
}

/// What is there already and becomes the stack's.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Importing {
    /// The platform's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// One difference of one attribute.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Difference {
    /// Where: keys, and for items of lists what names them.
    pub path: Vec<String>,
    /// As it is; `null` where there is nothing, or a secret.
    pub before: Json,
    /// As it will be; `null` where there is nothing, a secret, or what is not known yet.
    pub after: Json,
    /// It is a secret.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// It is not known yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// It cannot be changed in place.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forces_replace: bool,
    /// What carrying it out disturbs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// Who else has set it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<String>,
}

/// A field that is sent once, and then belongs to somebody else.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ceded {
    /// Where; `*` stands for every item or key.
    pub path: Vec<String>,
    /// Whose it is.
    pub owner: String,
}

/// Outputs and resources at one moment.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Values {
    /// The stack's outputs, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, OutputValue>,
    /// All resources.
    pub root_module: Module,
}

/// An output at one moment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OutputValue {
    /// It is never shown.
    pub sensitive: bool,
    /// Its value, where that is known and no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
}

/// Resources. There is one module: components are no scopes.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Module {
    /// The resources, in the order of their addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceValues>,
}

/// A resource at one moment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResourceValues {
    /// Which.
    pub address: String,
    /// Always `managed`.
    pub mode: &'static str,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name within the type.
    pub name: String,
    /// Which of several with that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Who carries it out.
    pub provider_name: &'static str,
    /// Always 0.
    pub schema_version: u32,
    /// Its attributes, as far as they are known.
    pub values: Json,
    /// `true` in the place of each secret value.
    pub sensitive_values: Json,
    /// What it needs; in a state only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// The platform's name for it; in a state only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What a run has begun and not finished; in a state only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<crate::state::model::Pending>,
}

/// What everything is before a plan.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PriorState {
    /// The version of Terraform's format of values.
    pub format_version: &'static str,
    /// The version of stackwright that printed it.
    pub stackwright_version: &'static str,
    /// The values.
    pub values: Values,
}

/// What a stack says of its resources, beside their attributes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Configuration {
    /// Who carries resources out, by key.
    pub provider_config: BTreeMap<String, ProviderConfig>,
    /// All resources and outputs.
    pub root_module: ConfigurationModule,
}

/// Who carries resources out.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderConfig {
    /// Its short name.
    pub name: String,
    /// Its full name, the `provider_name` of resources.
    pub full_name: &'static str,
}

/// What a stack says of its resources and outputs.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ConfigurationModule {
    /// The outputs, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, ConfigurationOutput>,
    /// The resources; those that differ by index alone are one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ConfigurationResource>,
}

/// What a stack says of an output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigurationOutput {
    /// It is never shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// Where it comes from.
    pub expression: Expression,
}

/// What a stack says of a resource.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigurationResource {
    /// Which, without an index.
    pub address: String,
    /// Always `managed`.
    pub mode: &'static str,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name within the type.
    pub name: String,
    /// The key of who carries it out.
    pub provider_config_key: String,
    /// Those of its attributes that are one plain value, or come from other resources or secret inputs.
    pub expressions: Map<String, Json>,
    /// Always 0.
    pub schema_version: u32,
}

/// Where a value comes from.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Expression {
    /// The value, where it is written as such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant_value: Option<Json>,
    /// Resources with what is read of them, and secret inputs as `var.NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

/// A model that must answer at the end.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Proof {
    /// The workload.
    pub component: String,
    /// The model.
    pub model: String,
    /// Where it is asked; left out where that is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Json>,
    /// How long it may take, seconds.
    pub timeout_seconds: u64,
}

/// A state, as `show STACK --json` prints it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StateDocument {
    /// The version of Terraform's format of values that the shape follows.
    pub format_version: &'static str,
    /// The version of stackwright that printed it.
    pub stackwright_version: &'static str,
    /// The version of Terraform whose format it is; with `--json=terraform` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terraform_version: Option<&'static str>,
    /// The stack's name.
    pub stack: String,
    /// The stack's id, in the labels of everything that it made.
    pub stack_id: String,
    /// Tells one history of states from another.
    pub lineage: String,
    /// Counts changes of the state.
    pub serial: u64,
    /// The place that the state is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<crate::state::model::Target>,
    /// The stack is paused since then, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<u64>,
    /// Where the stack is, and which locations were given up; of a stack that may be in one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placing: Option<crate::state::model::Placing>,
    /// Outputs and resources. Of a Kubernetes object, the state keeps digests: its values are what names it.
    pub values: Values,
}
