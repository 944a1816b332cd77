//! Differences between the attributes that a stack names and what GKE says, from one table per kind.
//!
//! Only what the stack names, or named at the last apply, can differ; everything else is the server's
//! choice. Pure; knows nothing of requests.

use std::collections::BTreeSet;

use crate::resource::kind::{Attribute, Change, Prior};
use crate::value::{Map, Value};

/// When two values of an attribute are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// Equal.
    Exact,
    /// The observed version starts with the wanted one, component by component.
    Version,
    /// The last segments of two resource paths are equal.
    Name,
    /// The same items in any order.
    Set,
    /// A map of which only the named keys count, each for itself.
    Keys,
    /// A list of taints of which only the named ones count.
    Taints,
}

/// One attribute of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Where it is.
    pub path: &'static [&'static str],
    /// How it is compared.
    pub same: Same,
    /// It cannot be changed in place.
    pub replaces: bool,
    /// What changing it in place disturbs.
    pub effect: Option<&'static str>,
    /// Taken out of the stack it goes from the resource too; of others the server's choice stays as it is.
    pub goes: bool,
}

impl Field {
    /// A field that is changed in place, without disturbing anything.
    pub const fn in_place(path: &'static [&'static str], same: Same) -> Self {
        Field { path, same, replaces: false, effect: None, goes: false }
    }

    /// A field that is changed in place, and that is off when the stack does not name it any more.
    pub const fn switched(path: &'static [&'static str], same: Same) -> Self {
        Field { path, same, replaces: false, effect: None, goes: true }
    }

    /// A field whose change replaces the resource.
    pub const fn replacing(path: &'static [&'static str], same: Same) -> Self {
        Field { path, same, replaces: true, effect: None, goes: false }
    }

    /// A field whose change rolls the nodes.
    pub const fn rolling(path: &'static [&'static str], same: Same) -> Self {
        Field { path, same, replaces: false, effect: Some("rolls the pool's nodes"), goes: false }
    }
}

/// What a table says of each attribute, whatever its value.
pub fn attributes(fields: &[Field]) -> Vec<Attribute> {
    let attribute = |field: &Field| Attribute { path: field.path, replaces: field.replaces, effect: field.effect };
    fields.iter().map(attribute).collect()
}

/// Says, once, what a replacement takes along.
pub fn called_out(mut changes: Vec<Change>, toll: &str) -> Vec<Change> {
    if let Some(first) = changes.iter_mut().find(|change| change.forces_replace) {
        first.effect = Some(toll.to_owned());
    }
    changes
}

/// What must change for `observed` to be `desired`.
pub fn diff(fields: &[Field], desired: &Value, prior: Prior<'_>) -> Vec<Change> {
    let Some(observed) = prior.observed else { return Vec::new() };
    let applied = prior.recorded.and_then(|recorded| recorded.get("attrs"));
    let mut changes = broken(&observed.attrs, prior.recorded.is_some()).into_iter().collect::<Vec<_>>();
    for field in fields {
        let wanted = desired.at(field.path);
        let before = applied.and_then(|attrs| attrs.at(field.path));
        compare(field, wanted, before, observed.attrs.at(field.path), &mut changes);
    }
    changes
}

/// What differs between the last apply and now.
pub fn drift(fields: &[Field], prior: Prior<'_>) -> Vec<Change> {
    let (Some(recorded), Some(observed)) = (prior.recorded.and_then(|r| r.get("attrs")), prior.observed) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    for field in fields {
        compare(field, recorded.at(field.path), None, observed.attrs.at(field.path), &mut changes);
    }
    // Seen from the record: what was applied is before, what is there is after.
    for change in &mut changes {
        std::mem::swap(&mut change.before, &mut change.after);
        change.forces_replace = false;
        change.effect = None;
    }
    changes
}

/// The record of attributes that were sent, or found.
pub fn record(attrs: Value) -> Value {
    Value::Map(Map::from([("attrs".to_owned(), attrs)]))
}

/// The attributes that were applied last; null where there is no record.
pub fn applied<'a>(prior: Prior<'a>) -> &'a Value {
    prior.recorded.and_then(|recorded| recorded.get("attrs")).unwrap_or(&Value::Null)
}

/// Those of a map's values that these keys name.
pub fn part(of: &Value, keys: &[&str]) -> Map {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), of.get(key)?.clone()))).collect()
}

/// The same of what is known before an apply.
pub fn known_part(desired: &Value, keys: &[&str]) -> Value {
    let mut part = part(desired, keys);
    part.retain(|_, value| value.is_known());
    Value::Map(part)
}

/// The record with what `drift` says of each attribute.
pub fn seen(recorded: &Value, drift: &[Change]) -> Value {
    let mut seen = recorded.clone();
    let Value::Map(record) = &mut seen else { return seen };
    let attrs = record.entry("attrs".to_owned()).or_insert_with(Value::map);
    drift.iter().for_each(|change| put(attrs, &change.path, change.after.as_ref()));
    seen
}

/// Sets what is at a path, or removes it.
fn put(value: &mut Value, path: &[String], new: Option<&Value>) {
    let Some((first, rest)) = path.split_first() else { return };
    if !matches!(value, Value::Map(_)) {
        *value = Value::map();
    }
    let Value::Map(map) = value else { return };
    match new {
        Some(new) if rest.is_empty() => {
            map.insert(first.clone(), new.clone());
        }
        None if rest.is_empty() => {
            map.remove(first);
        }
        _ => put(map.entry(first.clone()).or_default(), rest, new),
    }
}

/// Of what is there, all that `desired` names, or what says where it is: the record of a resource that was found
/// again.
pub fn found(desired: Option<&Value>, observed: &Value) -> Value {
    fn common(desired: &Value, observed: &Value) -> Value {
        let (Value::Map(wanted), Value::Map(is)) = (desired, observed) else { return observed.clone() };
        let both = wanted.iter().filter_map(|(key, value)| Some((key.clone(), common(value, is.get(key)?))));
        Value::Map(both.collect())
    }
    let attrs = match desired {
        Some(desired) => common(desired, observed),
        None => Value::Map(part(observed, &["name", "cluster", "project", "location"])),
    };
    record(attrs)
}

/// A resource in the state ERROR is unusable and is made anew; so is one that has never been more than half there,
/// as a pool after a stock-out, which costs what there is of it.
fn broken(observed: &Value, was_whole: bool) -> Option<Change> {
    let status = observed.get("status")?.as_str()?;
    (status == "ERROR" || (status == "RUNNING_WITH_ERROR" && !was_whole)).then(|| Change {
        path: vec!["status".into()],
        before: Some(status.into()),
        after: Some("RUNNING".into()),
        forces_replace: true,
        effect: None,
        held_by: Vec::new(),
    })
}

fn compare(
    field: &Field,
    wanted: Option<&Value>,
    before: Option<&Value>,
    observed: Option<&Value>,
    changes: &mut Vec<Change>,
) {
    let push = |changes: &mut Vec<Change>, key: Option<&str>, is: Option<Value>, shall: Option<Value>| {
        changes.push(Change {
            path: field.path.iter().copied().chain(key).map(str::to_owned).collect(),
            before: is,
            after: shall,
            forces_replace: field.replaces,
            effect: field.effect.map(str::to_owned),
            held_by: Vec::new(),
        });
    };
    if field.same == Same::Keys && !matches!(wanted, Some(Value::Deferred(_))) {
        let empty = Map::new();
        let wanted = wanted.and_then(Value::as_map).unwrap_or(&empty);
        let before = before.and_then(Value::as_map).unwrap_or(&empty);
        let observed = observed.and_then(Value::as_map).unwrap_or(&empty);
        for key in wanted.keys().chain(before.keys()).collect::<BTreeSet<_>>() {
            let (shall, is) = (wanted.get(key), observed.get(key));
            if shall != is {
                push(changes, Some(key), is.cloned(), shall.cloned());
            }
        }
        return;
    }
    if field.same == Same::Taints && !matches!(wanted, Some(Value::Deferred(_))) {
        let (wanted, before) = (taints(wanted), taints(before));
        let observed = taints(observed);
        // GKE adds taints of its own: only what is or was ours counts.
        let ours = observed.iter().filter(|t| wanted.contains(t) || before.contains(t)).cloned().collect::<Vec<_>>();
        if ours != wanted {
            let listed = |items: Vec<Value>| (!items.is_empty()).then_some(Value::List(items));
            push(changes, None, listed(ours), listed(wanted));
        }
        return;
    }
    match wanted {
        Some(shall) if !same(field.same, shall, observed) => {
            push(changes, None, observed.cloned(), Some(shall.clone()));
        }
        None if field.goes
            && before.is_some()
            && observed.is_some_and(|observed| !same(field.same, observed, None)) =>
        {
            push(changes, None, observed.cloned(), None);
        }
        _ => {}
    }
}

fn same(how: Same, wanted: &Value, observed: Option<&Value>) -> bool {
    let Some(observed) = observed else {
        // Absent, false, zero and empty are one thing to GKE: it leaves all of them out.
        return match wanted {
            Value::Null | Value::Bool(false) | Value::Int(0) => true,
            Value::String(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Map(map) => map.values().all(|value| same(Same::Exact, value, None)),
            _ => false,
        };
    };
    match (how, wanted, observed) {
        (Same::Version, Value::String(prefix), Value::String(version)) => version_matches(prefix, version),
        (Same::Name, Value::String(a), Value::String(b)) => a.rsplit('/').next() == b.rsplit('/').next(),
        (Same::Set, Value::List(a), Value::List(b)) => {
            let sorted = |items: &[Value]| items.iter().filter_map(Value::scalar_text).collect::<BTreeSet<_>>();
            a.iter().all(Value::is_known) && sorted(a) == sorted(b)
        }
        (Same::Exact, Value::Map(wanted), Value::Map(observed)) => {
            wanted.iter().all(|(key, value)| same(Same::Exact, value, observed.get(key)))
        }
        _ => wanted == observed,
    }
}

/// `1.34` matches `1.34.2-gke.100` but not `1.3` or `1.340`; `latest` and `-` match everything.
fn version_matches(wanted: &str, version: &str) -> bool {
    let rest = version.strip_prefix(wanted);
    matches!(wanted, "latest" | "-" | "") || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
}

/// Taints in one order and form: an absent value is the empty one.
pub fn taints(list: Option<&Value>) -> Vec<Value> {
    let mut taints = Vec::new();
    for taint in list.and_then(Value::as_list).unwrap_or_default() {
        let text = |key| taint.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let entries = ["key", "value", "effect"].map(|key| (key.to_owned(), Value::String(text(key))));
        taints.push(Value::Map(entries.into_iter().collect()));
    }
    taints.sort_by_key(|taint| format!("{taint:?}"));
    taints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_note_of_is_no_drift_any_more() {
        const FIELDS: &[Field] = &[
            Field::in_place(&["version"], Same::Version),
            Field::in_place(&["pool", "nodes"], Same::Exact),
            Field::in_place(&["labels"], Same::Keys),
            Field::in_place(&["taints"], Same::Taints),
        ];
        let value = |json: serde_json::Value| Value::from_json(&json);
        let taint = serde_json::json!({"key": "a", "value": "", "effect": "NoSchedule"});
        let recorded = value(serde_json::json!({"attrs": {"version": "1.34", "pool": {"nodes": 2},
            "labels": {"team": "red", "gone": "x"}, "taints": [taint]}}));
        let attrs = value(
            serde_json::json!({"version": "1.35.1", "pool": {"nodes": 3}, "labels": {"team": "blue", "other": "y"}}),
        );
        let observed = crate::resource::kind::Observed { id: "1".into(), attrs };
        let prior = Prior { recorded: Some(&recorded), observed: Some(&observed) };
        let found = drift(FIELDS, prior);
        assert_eq!(found.len(), 5, "{found:?}");
        let seen = seen(&recorded, &found);
        let now = Prior { recorded: Some(&seen), observed: Some(&observed) };
        assert_eq!(drift(FIELDS, now), []);
        // Anything new is seen, back to how it was as well.
        let back = crate::resource::kind::Observed {
            id: "1".into(),
            attrs: recorded.get("attrs").cloned().unwrap_or_default(),
        };
        assert_ne!(drift(FIELDS, Prior { recorded: Some(&seen), observed: Some(&back) }), []);
    }

    #[test]
    fn versions_match_by_component() {
        for (wanted, version, yes) in [
            ("1.34", "1.34.2-gke.100", true),
            ("1.3", "1.34.2", false),
            ("1.34.2-gke.100", "1.34.2-gke.100", true),
            ("1.34.2-gke.10", "1.34.2-gke.100", false),
            ("latest", "1.30", true),
        ] {
            assert_eq!(version_matches(wanted, version), yes, "{wanted} {version}");
        }
    }
}
