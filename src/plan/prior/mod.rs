//! What each resource of a plan is before it is carried out: for programs that read plans, and for saved ones.
//!
//! What is there of a resource holds far more than a stack has a say in. Before a change, a resource is therefore what
//! is desired of it with each difference undone: whoever compares before and after finds the differences, and nothing
//! else. What is to go is shown as it is. Not for deciding what changes: that is the planner's. Pure.

mod paste;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::address::{Address, Identity, ObjectKey};
use crate::plan::discretion;
use crate::plan::model::{Action, Plan, ResourceChange};
use crate::resource::hook;
use crate::resource::kind::Observed;
use crate::resource::model::{Desired, Resource};
use crate::state::model::{Recorded, State};
use crate::value::{Map, Value};

pub use paste::{copy, paste, undo};

/// What is known besides the plan.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// What the stack wants.
    pub desired: &'a Desired,
    /// What is recorded.
    pub state: &'a State,
    /// What was there when the plan was made.
    pub observed: &'a BTreeMap<Identity, Observed>,
}

/// Adds to each change of a plan what its resource is before.
pub fn fill(plan: &mut Plan, known: Known<'_>) {
    let wanted = known.desired.resources.iter().map(|r| (&r.address, r)).collect::<BTreeMap<&Address, &Resource>>();
    for change in &mut plan.changes {
        let identity = change.moved_from.as_ref().unwrap_or(&change.address).identity();
        let recorded = known.state.resources.get(&identity);
        let observed = known.observed.get(&identity);
        let before = match (change.action, wanted.get(&change.address)) {
            (Action::Create | Action::Run, _) => None,
            (_, wanted) if change.is_hook() => {
                recorded.map(|recorded| recorded.record.clone()).or(wanted.map(|resource| resource.attrs.clone()))
            }
            (_, Some(resource)) => Some(as_it_is(change, resource, observed, recorded)),
            (_, None) => Some(Arc::new(as_it_stays(change, observed, recorded))),
        };
        change.before = before;
    }
}

/// A resource that the stack wants: as desired, but for what differs.
fn as_it_is(
    change: &ResourceChange,
    resource: &Resource,
    observed: Option<&Observed>,
    recorded: Option<&Recorded>,
) -> Arc<Value> {
    let desired = change.after.as_ref().unwrap_or(&resource.attrs);
    let untouched = change.changes.is_empty() && change.ceded.is_empty() && desired.is_known();
    if untouched {
        return desired.clone();
    }
    let mut before = (**desired).clone();
    if let Some(observed) = observed {
        let told = recorded.is_some_and(discretion::is_told_secrets);
        paste::found(&mut before, Some(&observed.attrs), &|value| match told && discretion::holds_text(value) {
            true => discretion::hidden(),
            false => value.clone(),
        });
        for (path, _) in &change.ceded {
            let quotable = |live: &Value| !told || !discretion::holds_text(live);
            if !path.iter().any(|key| key == "*") && paste::at(&observed.attrs, path).is_some_and(quotable) {
                paste::copy(&mut before, &observed.attrs, path);
            }
        }
    }
    for difference in &change.changes {
        undo(&mut before, difference);
    }
    Arc::new(before)
}

/// A resource that the stack does not want: all of it that is not the server's own.
fn as_it_stays(change: &ResourceChange, observed: Option<&Observed>, recorded: Option<&Recorded>) -> Value {
    let Some(observed) = observed else { return self::recorded(&change.address, &change.kind, recorded) };
    let mut value = observed.attrs.clone();
    if change.kind == hook::OBJECT {
        strip(&mut value);
    }
    let told = recorded.is_some_and(discretion::is_told_secrets);
    if told && let Value::Map(map) = &mut value {
        for (key, value) in map.iter_mut() {
            match key.as_str() {
                "apiVersion" | "kind" => {}
                "metadata" => hide_texts(value, &["name", "namespace"]),
                _ => hide_texts(value, &[]),
            }
        }
    }
    value
}

/// What the state alone can say of a resource: the attributes that it was applied with; of a Kubernetes object, of which
/// the state keeps digests, what names it.
pub fn recorded(address: &Address, kind: &str, recorded: Option<&Recorded>) -> Value {
    if let Some(recorded) = recorded {
        match kind {
            hook::KIND => return (*recorded.record).clone(),
            "value" => {
                let input = recorded.record.get("input").cloned().unwrap_or_default();
                return Value::Map(Map::from([("input".to_owned(), input)]));
            }
            _ => {}
        }
        if let Some(attrs) = recorded.record.get("attrs") {
            return attrs.clone();
        }
    }
    let Some(key) = address.object_key().and_then(ObjectKey::parse) else { return Value::map() };
    let mut metadata = Map::from([("name".to_owned(), Value::from(key.name))]);
    if let Some(namespace) = key.namespace {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    let mut map =
        Map::from([("kind".to_owned(), Value::from(key.kind)), ("metadata".to_owned(), Value::Map(metadata))]);
    if let Some(version) = recorded.and_then(|recorded| recorded.record.get("api_version")) {
        map.insert("apiVersion".to_owned(), version.clone());
    }
    Value::Map(map)
}

/// Takes out of a live object what its server keeps, and what a Secret holds.
fn strip(live: &mut Value) {
    let is_secret = live.get("kind").and_then(Value::as_str) == Some("Secret");
    let Value::Map(map) = live else { return };
    map.remove("status");
    if let Some(Value::Map(metadata)) = map.get_mut("metadata") {
        metadata.retain(|key, _| matches!(key, "name" | "namespace" | "labels" | "annotations" | "finalizers"));
        if let Some(Value::Map(annotations)) = metadata.get_mut("annotations") {
            // kubectl keeps the whole object there, with all that a Secret holds.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if is_secret {
        for list in ["data", "stringData"] {
            if let Some(Value::Map(held)) = map.get_mut(list) {
                held.values_mut().for_each(|value| *value = discretion::hidden());
            }
        }
    }
}

fn hide_texts(value: &mut Value, but: &[&str]) {
    match value {
        Value::Map(map) => {
            map.iter_mut().filter(|(key, _)| !but.contains(&key.as_str())).for_each(|(_, value)| hide_texts(value, &[]))
        }
        Value::List(items) => items.iter_mut().for_each(|item| hide_texts(item, &[])),
        text @ Value::String(_) => *text = discretion::hidden(),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
