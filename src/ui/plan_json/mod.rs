//! A plan or a state as JSON, in the shape that Terraform gives its own: for policies, pipelines and reviews.
//!
//! The same plan gives the same bytes; no time of day is part of it. Secret values are never part of a plan, so that
//! only marks stand in their places. Not for reading plans back: saved plans have a format of their own.

mod configuration;
mod dialect;
pub mod model;
mod split;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::address::Address;
use crate::plan::model::{self as plan, Action, Plan, Reason};
use crate::plan::places::Placement;
use crate::plan::time;
use crate::resource::kind;
use crate::state::model::State;
use crate::ui::terraform;
use crate::value::{Template, Value};
use model::{
    Alternative, Ceded, Change, Difference, FORMAT_VERSION, Importing, Module, OutputValue, PlanDocument, PriorState,
    Proof, ResourceChange, ResourceValues, StateDocument, Summary, VALUES_FORMAT_VERSION, Values, Verdict,
};
use split::{Parts, says_something, split};

pub use dialect::{Dialect, Place};

/// How a plan is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// In whose words.
    pub dialect: Dialect,
    /// Large schemas as well.
    pub full: bool,
}

/// A plan as indented JSON.
pub fn plan(plan: &Plan, policy: Option<Vec<Verdict>>, options: Options) -> String {
    text(&document(plan, policy, options))
}

/// A state as indented JSON.
pub fn state(state: &State, options: Options) -> String {
    text(&state_document(state, options))
}

/// The JSON Schema of plans.
pub fn plan_schema() -> Json {
    schema::<PlanDocument>("stackwright plan")
}

/// The JSON Schema of states.
pub fn state_schema() -> Json {
    schema::<StateDocument>("stackwright state")
}

fn schema<T: schemars::JsonSchema>(title: &str) -> Json {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    schema["title"] = title.into();
    schema
}

fn text(document: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(document).expect("documents have only string keys") + "\n"
}

/// A plan as data.
pub fn document(plan: &Plan, policy: Option<Vec<Verdict>>, options: Options) -> PlanDocument {
    let teller = Teller { options };
    let counts = plan.counts();
    let told = plan.changes.iter().map(|change| teller.change(change)).collect::<Vec<_>>();
    let (mut before, mut after) = (Values::default(), Values::default());
    for (resource, change) in told.iter().zip(&plan.changes) {
        before.root_module.resources.extend(teller.values(resource, Moment::Before));
        // What is forgotten stays where it is, and is no part of the stack any more.
        if change.action != Action::Forget {
            after.root_module.resources.extend(teller.values(resource, Moment::After));
        }
    }
    for (name, output) in &plan.outputs {
        let sensitive = output.sensitive;
        let value = |value: &Option<Value>| {
            value.as_ref().map(|value| OutputValue { sensitive, value: shown(value, sensitive, options.full) })
        };
        before.outputs.extend(value(&output.before).map(|value| (name.clone(), value)));
        after.outputs.extend(value(&output.after).map(|value| (name.clone(), value)));
    }
    let dialect = options.dialect;
    PlanDocument {
        format_version: FORMAT_VERSION,
        stackwright_version: env!("CARGO_PKG_VERSION"),
        terraform_version: dialect.is_terraform().then_some(terraform::VERSION),
        stack: plan.stack.clone(),
        planned_values: after,
        resource_drift: plan.drift.iter().map(|drift| teller.drift(drift, plan)).collect(),
        configuration: configuration::of(plan, options),
        resource_changes: told,
        output_changes: plan
            .outputs
            .iter()
            .map(|(name, output)| (name.clone(), output_change(output, options)))
            .collect(),
        prior_state: PriorState {
            format_version: VALUES_FORMAT_VERSION,
            stackwright_version: env!("CARGO_PKG_VERSION"),
            values: before,
        },
        applyable: !plan.is_empty(),
        complete: !plan.partial,
        errored: false,
        summary: Summary { add: counts.add, change: counts.change, destroy: counts.destroy, run: counts.run },
        partial: plan.partial,
        destroy: plan.destroy,
        refresh_only: plan.refresh_only,
        pause: plan.pause,
        basis: plan.basis.clone(),
        cost: plan.cost.clone(),
        placement: plan.placement.as_ref().map(placement),
        time: time::estimate(plan, time::PARALLELISM),
        policy,
        edges: plan.edges.clone(),
        proofs: plan
            .proofs
            .iter()
            .map(|proof| Proof {
                component: proof.component.clone(),
                model: proof.model.clone(),
                url: split(&proof.url, true).known,
                timeout_seconds: proof.timeout_seconds,
            })
            .collect(),
        looked_up: plan.looked_up.clone(),
    }
}

fn placement(placement: &Placement) -> model::Placement {
    let alternatives = placement.alternatives.iter().map(|elsewhere| Alternative {
        location: elsewhere.location.clone(),
        notes: elsewhere.notes.clone(),
        addresses: elsewhere.changes.iter().map(|change| change.address.clone()).collect(),
        cost: elsewhere.cost.clone(),
    });
    model::Placement {
        location: placement.location.clone(),
        open: placement.open,
        leaving: placement.leaving.clone(),
        notes: placement.notes.clone(),
        alternatives: alternatives.collect(),
    }
}

/// A state as data.
pub fn state_document(state: &State, options: Options) -> StateDocument {
    let dialect = options.dialect;
    let kinds = state.resources.values().map(|r| (&r.address, r.kind.as_str())).collect::<BTreeMap<_, _>>();
    let mut resources = state.resources.values().collect::<Vec<_>>();
    resources.sort_by(|a, b| a.address.cmp(&b.address));
    let resources = resources.into_iter().map(|recorded| {
        let place = dialect.place(&recorded.address, &recorded.kind);
        let named = crate::plan::prior::recorded(&recorded.address, &recorded.kind, Some(recorded));
        let parts =
            split(&dialect.attributes(&place, (&recorded.address, &recorded.kind), &named, false), options.full);
        let address = |needed: &Address| match kinds.get(needed) {
            Some(kind) => dialect.place(needed, kind).address,
            None => needed.to_string(),
        };
        ResourceValues {
            depends_on: recorded.needs.iter().map(address).collect(),
            id: recorded.id.clone(),
            pending: recorded.pending.clone(),
            ..values(place, parts.known.unwrap_or_default(), parts.sensitive)
        }
    });
    let output = |(name, value): (&String, &Value)| {
        (name.clone(), OutputValue { sensitive: false, value: shown(value, false, options.full) })
    };
    StateDocument {
        format_version: VALUES_FORMAT_VERSION,
        stackwright_version: env!("CARGO_PKG_VERSION"),
        terraform_version: dialect.is_terraform().then_some(terraform::VERSION),
        stack: state.stack.clone(),
        stack_id: state.stack_id.clone(),
        lineage: state.lineage.clone(),
        serial: state.serial,
        target: state.target.clone(),
        paused_since: state.pause().map(|paused| paused.since),
        placing: state.placing.clone(),
        values: Values {
            outputs: state.outputs.iter().map(output).collect(),
            root_module: Module { resources: resources.collect() },
        },
    }
}

fn shown(value: &Value, sensitive: bool, full: bool) -> Option<Json> {
    split(value, full).known.filter(|_| !sensitive)
}

fn values(place: Place, values: Json, sensitive_values: Json) -> ResourceValues {
    ResourceValues {
        address: place.address,
        mode: "managed",
        kind: place.kind,
        name: place.name,
        index: place.index,
        provider_name: place.provider,
        schema_version: 0,
        values,
        sensitive_values,
        depends_on: Vec::new(),
        id: None,
        pending: None,
    }
}

/// Which side of a change.
#[derive(Clone, Copy, PartialEq)]
enum Moment {
    Before,
    After,
}

struct Teller {
    options: Options,
}

impl Teller {
    fn change(&self, change: &plan::ResourceChange) -> ResourceChange {
        let dialect = self.options.dialect;
        let place = dialect.place(&change.address, &change.kind);
        let made = matches!(change.action, Action::Create | Action::Replace | Action::Run);
        let parts = |value: Option<&Value>, made: bool| {
            value.map(|value| {
                let attributes = dialect.attributes(&place, (&change.address, &change.kind), value, made);
                split(&attributes, self.options.full)
            })
        };
        let before = parts(change.before.as_deref(), false);
        let after = match change.action {
            Action::NoOp | Action::Forget | Action::Record | Action::Adopt if change.after.is_none() => {
                // What stays as it is leaves nothing to be known later.
                parts(change.before.as_deref(), false).map(|parts| Parts { unknown: json!({}), ..parts })
            }
            Action::Delete | Action::Forget => None,
            _ => parts(settled(change).as_ref().or(change.after.as_deref()), made),
        };
        let importing =
            matches!(change.reason, Reason::Found | Reason::Wanted).then(|| Importing { id: change.id.clone() });
        let previous = change.moved_from.as_ref();
        ResourceChange {
            previous_address: previous.map(|from| dialect.place(from, &change.kind).address),
            mode: "managed",
            change: Change {
                replace_paths: replace_paths(dialect, &place, change),
                importing,
                ..sides(actions(change.action), before, after)
            },
            action_reason: action_reason(change),
            stackwright_address: dialect.is_terraform().then(|| change.address.clone()),
            component: change.address.component().to_owned(),
            action: change.action,
            reason: change.reason.clone(),
            differences: change.changes.iter().map(|change| difference(change, self.options.full)).collect(),
            id: change.id.clone(),
            origin: change.origin.clone(),
            goes_with: change.goes_with.clone(),
            ceded: change
                .ceded
                .iter()
                .map(|(path, owner)| Ceded { path: path.clone(), owner: owner.clone() })
                .collect(),
            estimate_seconds: change.estimate_seconds,
            removal_seconds: change.removal_seconds,
            measured: change.measured,
            timeout_seconds: change.timeout_seconds,
            address: place.address,
            kind: place.kind,
            name: place.name,
            index: place.index,
            provider_name: place.provider,
        }
    }

    /// A resource on one side of its change; nothing where it is not there.
    fn values(&self, told: &ResourceChange, moment: Moment) -> Option<ResourceValues> {
        let (json, sensitive) = match moment {
            Moment::Before => (Some(&told.change.before), &told.change.before_sensitive),
            Moment::After => (told.change.after.as_ref(), &told.change.after_sensitive),
        };
        let json = json.filter(|json| !json.is_null())?;
        let place = Place {
            address: told.address.clone(),
            kind: told.kind.clone(),
            name: told.name.clone(),
            index: told.index.clone(),
            provider: told.provider_name,
        };
        Some(values(place, json.clone(), sensitive.clone()))
    }

    /// A change by other hands. Of a Kubernetes object, only a digest is recorded of what it was: that is `null`.
    fn drift(&self, drift: &plan::Drift, plan: &Plan) -> ResourceChange {
        let change = plan.change(&drift.address);
        let now = change.and_then(|change| change.before.as_deref());
        let whole = now.cloned().unwrap_or_else(Value::map);
        let gone = drift.changes.is_empty();
        let (mut was, mut is) = (whole.clone(), whole);
        for difference in &drift.changes {
            let put = |value: &mut Value, side: &Option<Value>| {
                crate::plan::prior::paste(value, &difference.path, side.clone().unwrap_or_default());
            };
            put(&mut was, &difference.before);
            if now.is_none() {
                put(&mut is, &difference.after);
            }
        }
        let kind = match (change, drift.address.object_key()) {
            (Some(change), _) => change.kind.clone(),
            (None, Some(_)) => crate::resource::hook::OBJECT.to_owned(),
            (None, None) if drift.address.as_str() == "cluster" => "gke.cluster".to_owned(),
            (None, None) => "gke.node_pool".to_owned(),
        };
        let (action, reason) = match gone {
            true => (Action::Delete, Reason::Vanished),
            false => (Action::Update, Reason::Changed),
        };
        let told = plan::ResourceChange {
            address: drift.address.clone(),
            kind,
            action,
            reason,
            moved_from: None,
            changes: drift.changes.clone(),
            before: Some(std::sync::Arc::new(was)),
            after: (!gone).then(|| std::sync::Arc::new(is)),
            id: change.and_then(|change| change.id.clone()),
            needed: Vec::new(),
            connection: None,
            goes_with: None,
            ceded: Vec::new(),
            timeout_seconds: 0,
            estimate_seconds: 0,
            removal_seconds: 0,
            measured: 0,
            origin: change.and_then(|change| change.origin.clone()),
            resume: false,
            take: false,
        };
        self.change(&told)
    }
}

/// The attributes afterwards, where fields that belong to somebody else stay as they are; nothing where there are none.
fn settled(change: &plan::ResourceChange) -> Option<Value> {
    let (before, after) = (change.before.as_deref()?, change.after.as_deref()?);
    if change.ceded.is_empty() || change.action != Action::Update {
        return None;
    }
    let mut after = after.clone();
    for (path, _) in change.ceded.iter().filter(|(path, _)| !path.iter().any(|key| key == "*")) {
        crate::plan::prior::copy(&mut after, before, path);
    }
    Some(after)
}

fn sides(actions: Vec<&'static str>, before: Option<Parts>, after: Option<Parts>) -> Change {
    let (is, is_sensitive) = match before {
        Some(parts) => (parts.known.unwrap_or_default(), parts.sensitive),
        None => (Json::Null, Json::Bool(false)),
    };
    let (after, after_unknown, after_sensitive) = match after {
        Some(parts) => (parts.known, parts.unknown, parts.sensitive),
        None => (Some(Json::Null), json!({}), Json::Bool(false)),
    };
    Change {
        actions,
        before: is,
        after,
        after_unknown,
        before_sensitive: is_sensitive,
        after_sensitive,
        replace_paths: None,
        importing: None,
    }
}

fn actions(action: Action) -> Vec<&'static str> {
    match action {
        Action::NoOp | Action::Adopt | Action::Record => vec!["no-op"],
        Action::Create | Action::Run => vec!["create"],
        Action::Update => vec!["update"],
        Action::Replace => vec!["delete", "create"],
        Action::Delete => vec!["delete"],
        Action::Forget => vec!["forget"],
    }
}

fn action_reason(change: &plan::ResourceChange) -> Option<&'static str> {
    match (&change.reason, change.action) {
        (Reason::Forced(_), _) => Some("replace_because_cannot_update"),
        (Reason::Requested, _) => Some("replace_by_request"),
        (Reason::ConnectionReplaced(_), Action::Replace) => Some("replace_by_triggers"),
        (Reason::Unfinished, Action::Replace) => Some("replace_because_tainted"),
        (Reason::Removed, Action::Delete) => Some("delete_because_no_resource_config"),
        _ => None,
    }
}

fn replace_paths(dialect: Dialect, place: &Place, change: &plan::ResourceChange) -> Option<Vec<Vec<Json>>> {
    let Reason::Forced(paths) = &change.reason else { return None };
    Some(paths.iter().map(|path| dialect.path(place, change, path)).collect())
}

fn difference(change: &kind::Change, full: bool) -> Difference {
    let parts = |value: &Option<Value>| value.as_ref().map(|value| split(value, full)).unwrap_or_default();
    let (before, after) = (parts(&change.before), parts(&change.after));
    Difference {
        path: change.path.clone(),
        sensitive: says_something(&before.sensitive) || says_something(&after.sensitive),
        unknown: says_something(&after.unknown),
        before: before.known.unwrap_or_default(),
        after: after.known.unwrap_or_default(),
        forces_replace: change.forces_replace,
        effect: change.effect.clone(),
        held_by: change.held_by.clone(),
    }
}

fn output_change(output: &plan::OutputChange, options: Options) -> Change {
    let hide = |value: &Value| match output.sensitive && value.is_known() {
        true => Value::from(Template { parts: Vec::new(), sensitive: true, encoding: Default::default() }),
        false => value.clone(),
    };
    let parts = |value: &Option<Value>| value.as_ref().map(|value| split(&hide(value), options.full));
    let action = match (&output.before, &output.after) {
        (_, None) => Action::Delete,
        (None, Some(_)) => Action::Create,
        (Some(before), Some(after)) if before == after => Action::NoOp,
        (Some(_), Some(_)) => Action::Update,
    };
    let mut change = sides(actions(action), parts(&output.before), parts(&output.after));
    // An output is one value: its marks are one as well.
    change.after_unknown = Json::Bool(says_something(&change.after_unknown));
    change.before_sensitive = Json::Bool(output.sensitive && output.before.is_some());
    change.after_sensitive = Json::Bool(output.sensitive);
    change
}

#[cfg(test)]
mod tests;
