//! The lines that programs read: one JSON object per event, all in one envelope, in the words of Terraform's
//! machine-readable interface wherever it has a word for it. `docs/events.md` says what each is for.
//!
//! Plain data and its JSON Schema. What becomes which line is decided in `ui::events_json`. No secret values.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value as Json;

/// The version of the lines. A higher second figure only adds types and keys; readers skip what they do not know.
pub const VERSION: &str = "1.0";

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Line {
    /// How much it matters.
    #[serde(rename = "@level")]
    pub level: Level,
    /// One sentence for people.
    #[serde(rename = "@message")]
    pub message: String,
    /// Which part of the program speaks: `stackwright.ui`, or the module that logs.
    #[serde(rename = "@module")]
    pub module: String,
    /// When, RFC 3339 in UTC with microseconds; simulated time where time is simulated. Never earlier than the line before.
    #[serde(rename = "@timestamp")]
    pub timestamp: String,
    /// What has happened.
    #[serde(flatten)]
    pub body: Body,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Only of interest to who looks for a fault.
    Debug,
    /// As it should be.
    Info,
    /// Somebody should look at it one day.
    Warn,
    /// Something was not done.
    Error,
}

/// What has happened, told by `type`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    /// The first line: who writes.
    Version {
        /// The program's version.
        stackwright: String,
        /// The version of these lines.
        ui: String,
        /// The command, without its arguments: `apply`.
        command: String,
    },
    /// Something that was only said; the message is all of it.
    Log,
    /// A mistake or a warning.
    Diagnostic {
        /// What, where, why and what next.
        diagnostic: Complaint,
    },
    /// What the plan does to a resource; of those that it leaves alone there are no lines.
    PlannedChange {
        /// The change.
        change: Planned,
    },
    /// What others have changed since the last apply.
    ResourceDrift {
        /// The change.
        change: Planned,
    },
    /// How much the plan does, or has done.
    ChangeSummary {
        /// Figures.
        changes: Figures,
    },
    /// A change begins.
    ApplyStart {
        /// Which.
        hook: Step,
    },
    /// The platform works on it, under a name of its own.
    ApplyOperation {
        /// Which; with `operation`.
        hook: Step,
    },
    /// It goes on; about every ten seconds, or when it waits for something else.
    ApplyProgress {
        /// Which; with `waiting_for`.
        hook: Step,
    },
    /// A request was refused and will be repeated.
    ApplyRetry {
        /// Which; with `causes` and `delay_ms`.
        hook: Step,
    },
    /// A change is complete.
    ApplyComplete {
        /// Which.
        hook: Step,
    },
    /// A change did not succeed.
    ApplyErrored {
        /// Which; with `causes`, outermost first, and `hint`.
        hook: Step,
    },
    /// A change was not tried.
    ApplySkipped {
        /// Which; with `causes`.
        hook: Step,
    },
    /// Somebody has asked the run to stop.
    Interrupted {
        /// Changes that were begun and are not over.
        in_flight: usize,
        /// They are left as they are, for the next run to take up.
        at_once: bool,
    },
    /// The state cannot be written any more: nothing more is begun.
    Stranded {
        /// Why.
        because: String,
        /// Addresses of changes that were begun and are not over.
        in_flight: Vec<String>,
    },
    /// A model is asked for a completion.
    ProofStart {
        /// Which.
        proof: Proof,
    },
    /// It has not answered yet.
    ProofProgress {
        /// Which; with `waiting_for`.
        proof: Proof,
    },
    /// It has answered.
    ProofComplete {
        /// Which; with `text`.
        proof: Proof,
    },
    /// It does not answer.
    ProofErrored {
        /// Which; with `waiting_for`.
        proof: Proof,
    },
    /// The stack's outputs; sensitive ones have no value.
    Outputs {
        /// By name.
        outputs: BTreeMap<String, Output>,
    },
    /// How a resource is (`status`).
    ResourceStatus {
        /// Which.
        resource: Resource,
        /// In kstatus' words: `Current`, `InProgress`, `Failed`, `Terminating`, `NotFound`, `Unknown`.
        status: String,
        /// Why, where there is more to say.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        causes: Vec<String>,
    },
    /// Something that the place has, lacks, or does not tell (`preflight`).
    Check {
        /// As in `preflight --json`.
        check: Json,
    },
    /// The stack cannot be made in a location: what was made there is removed again, and it goes on in the next.
    LocationGivenUp {
        /// Where it could not be.
        location: String,
        /// Why.
        reason: String,
        /// Where it goes on; nowhere after the last.
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    /// Stacks that a project holds (`reap`).
    Stacks {
        /// As their clusters' labels say; each with whether it has expired.
        stacks: Vec<Json>,
        /// Places that could not be looked at.
        unknown: Vec<Json>,
    },
    /// What a destroyed stack has left, with the answer to whether that is anything.
    Receipt {
        /// As it is kept beside the state; see docs/destroying.md.
        receipt: Json,
    },
    /// The state was mended by hand (`forget`, `state rm`, `state mv`).
    StateChange {
        /// Which resource, as it was called.
        resource: Resource,
        /// `forgotten` or `moved`.
        change: String,
        /// Its new address.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// Nothing was written.
        dry_run: bool,
    },
    /// The most likely cause of a run's failure.
    Cause {
        /// As in `diagnose --json`.
        cause: Json,
    },
    /// How the run went.
    Summary {
        /// Figures of the run; the keys that its command has.
        summary: Json,
    },
    /// The last line. Without it the run was killed.
    End {
        /// The exit code.
        exit_code: u8,
    },
}

/// A mistake or a warning.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Complaint {
    /// `error` or `warning`.
    pub severity: String,
    /// One line.
    pub summary: String,
    /// Why, in sentences; may be empty.
    pub detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The resource it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Range {
    /// As the user named it.
    pub filename: String,
    /// Where it begins.
    pub start: Position,
    /// Where it ends, exclusive.
    pub end: Position,
}

/// A position in a file.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// From 0, in bytes.
    pub byte: usize,
}

/// Which resource.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Resource {
    /// Its address.
    pub addr: String,
    /// The component it belongs to.
    pub component: String,
    /// Its kind, where the plan knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// What it is called within its component; empty where the component is one resource.
    pub resource_name: String,
}

/// What a plan does to a resource.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Planned {
    /// Which.
    pub resource: Resource,
    /// `create`, `update`, `replace`, `delete`, `forget`, `adopt`, `run`, `record`, or of drift `update` or `delete`.
    pub action: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Json>,
    /// Where it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// How long it usually takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<u64>,
}

/// How much a plan does, or has done.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Figures {
    /// Made.
    pub add: usize,
    /// Changed in place.
    pub change: usize,
    /// Deleted.
    pub remove: usize,
    /// Hooks of charts that run.
    pub run: usize,
    /// `plan` before the run; afterwards `apply` or `destroy`.
    pub operation: String,
}

/// A step of a change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Step {
    /// Which resource.
    pub resource: Resource,
    /// `create`, `update`, `replace`, `delete`, `forget`, `adopt`, `run`, `no_op`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Since the change began, whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_seconds: Option<u64>,
    /// The same in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// How long it usually takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<u64>,
    /// The platform's name for its operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Causes, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The class of the answer: `rate_limited`, `busy`, `unavailable`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// In how long it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Default for Resource {
    fn default() -> Self {
        Resource::of(&crate::address::Address::new(""), None)
    }
}

impl Resource {
    /// Of an address, with its kind where that is known.
    pub fn of(address: &crate::address::Address, kind: Option<&str>) -> Self {
        let component = address.component().to_owned();
        let rest = address.as_str().strip_prefix(&component).unwrap_or_default();
        Resource {
            addr: address.to_string(),
            resource_type: kind.map(str::to_owned),
            resource_name: rest.trim_start_matches(['/', '.', ':']).to_owned(),
            component,
        }
    }
}

/// A model that is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Proof {
    /// The workload.
    pub component: String,
    /// Where it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The pod that a port is forwarded to, where the address leads nowhere from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// Why it has not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// The model that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Tokens that it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// How long the answer took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// How long until the answer's first token came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
}

/// An output.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// It has a value that is not shown.
    pub sensitive: bool,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
}

/// The JSON Schema of a line.
pub fn schema() -> Json {
    // What is written, not what could be read: keys that are left out are not required.
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Line>().to_value();
    schema["title"] = "A line of stackwright's events".into();
    schema["$id"] = format!("https://stackwright.dev/schema/events-{VERSION}.json").into();
    // The envelope and the type together name all keys: one that neither knows is a mistake of the writer.
    schema["unevaluatedProperties"] = false.into();
    schema
}
