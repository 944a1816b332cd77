//! Compares a manifest with a live object, field by field, for people to read.
//!
//! Whether anything must be done at all is decided by digests (`object`); this names what differs. Lists of
//! named things are matched by name, quantities by amount, and what the manifest does not name never differs.

use super::fields::{Path, Step};
use crate::openapi::quantity::Quantity;
use crate::resource::kind::Change;
use crate::value::Value;

/// The differences, in the order of the manifest's keys.
pub fn changes(desired: &Value, live: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    walk(desired, Some(live), &mut Vec::new(), &mut changes);
    changes
}

fn walk(desired: &Value, live: Option<&Value>, path: &mut Vec<String>, changes: &mut Vec<Change>) {
    match (desired, live) {
        (Value::Map(map), Some(Value::Map(_)) | None) if !map.is_empty() => {
            // What is absent as a whole is one difference.
            let Some(live) = live else { return push(path, None, desired, changes) };
            for (key, value) in map {
                path.push(key.clone());
                walk(value, live.get(key), path, changes);
                path.pop();
            }
        }
        (Value::List(items), Some(Value::List(live_items))) if is_associative(items) => {
            for (at, item) in items.iter().enumerate() {
                let found = counterpart(item, at, items, live_items);
                path.push(label(item, at));
                walk(item, found.map(|(_, live)| live), path, changes);
                path.pop();
            }
        }
        (Value::List(items), Some(Value::List(live_items))) if items.len() == live_items.len() => {
            let whole = items.iter().all(|item| !matches!(item, Value::Map(_) | Value::Deferred(_)));
            if whole {
                if items.iter().zip(live_items).any(|(a, b)| !same(a, Some(b), path)) {
                    push(path, live, desired, changes);
                }
                return;
            }
            for (at, (item, live_item)) in items.iter().zip(live_items).enumerate() {
                path.push(format!("[{at}]"));
                walk(item, Some(live_item), path, changes);
                path.pop();
            }
        }
        (desired, live) if !same(desired, live, path) => push(path, live, desired, changes),
        _ => {}
    }
}

fn push(path: &[String], before: Option<&Value>, after: &Value, changes: &mut Vec<Change>) {
    // The server leaves out what is empty.
    if before.is_none() && is_empty(after) {
        return;
    }
    changes.push(Change {
        path: path.to_vec(),
        before: before.cloned(),
        after: Some(after.clone()),
        forces_replace: false,
        effect: None,
        held_by: Vec::new(),
    });
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.values().all(is_empty),
        _ => false,
    }
}

/// Whether a field holds what is wanted, in whatever words.
pub fn same(desired: &Value, live: Option<&Value>, path: &[String]) -> bool {
    let Some(live) = live else { return is_empty(desired) };
    if desired == live || (is_empty(desired) && is_empty(live)) {
        return true;
    }
    let in_amounts = path.iter().any(|key| {
        matches!(key.as_str(), "limits" | "requests" | "capacity" | "hard" | "sizeLimit" | "allocatable" | "divisor")
    });
    match (desired.scalar_text(), live.scalar_text()) {
        (Some(a), Some(b)) if in_amounts => {
            Quantity::parse(&a).is_some_and(|amount| Quantity::parse(&b) == Some(amount))
        }
        // 8080 and "8080" are one int-or-string; 1.0 and 1 one number.
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// The fields that name an item of a list, most telling first.
const NAMES: &[&[&str]] =
    &[&["name"], &["mountPath"], &["containerPort", "protocol"], &["port", "protocol"], &["key"], &["type"], &["ip"]];

fn name_of(item: &Value) -> Option<(&'static [&'static str], Vec<String>)> {
    NAMES.iter().find_map(|keys| {
        // `protocol` is defaulted and may be left out.
        item.get(keys[0])?.scalar_text()?;
        let texts = keys.iter().map(|key| match item.get(key).and_then(Value::scalar_text) {
            Some(text) => text,
            None if *key == "protocol" => "TCP".to_owned(),
            None => String::new(),
        });
        Some((*keys, texts.collect()))
    })
}

/// Whether every item has a name and no two the same.
fn is_associative(items: &[Value]) -> bool {
    let names = items.iter().map(name_of).collect::<Option<Vec<_>>>();
    let Some(mut names) = names.filter(|names| !names.is_empty()) else { return false };
    if names.iter().any(|(keys, _)| *keys != names[0].0) {
        return false;
    }
    let count = names.len();
    names.sort();
    names.dedup();
    names.len() == count
}

/// The live item that an item of a manifest's list stands for, with its position.
pub fn counterpart<'a>(item: &Value, at: usize, items: &[Value], live: &'a [Value]) -> Option<(usize, &'a Value)> {
    if is_associative(items) {
        let name = name_of(item)?;
        return live.iter().enumerate().find(|(_, live)| name_of(live).as_ref() == Some(&name));
    }
    live.get(at).filter(|_| items.len() == live.len()).map(|live| (at, live))
}

fn label(item: &Value, at: usize) -> String {
    match name_of(item) {
        Some((keys, texts)) => {
            let pairs = keys.iter().zip(texts).map(|(key, text)| format!("{key}={text}"));
            format!("[{}]", pairs.collect::<Vec<_>>().join(","))
        }
        None => format!("[{at}]"),
    }
}

/// Every leaf of a live object, as field paths, with list items by name where they have one.
pub fn leaves(live: &Value) -> Vec<Path> {
    let mut leaves = Vec::new();
    descend(live, &mut Vec::new(), &mut leaves);
    leaves
}

fn descend(value: &Value, path: &mut Path, leaves: &mut Vec<Path>) {
    // A field may be owned as a whole or by its parts: every level is a candidate.
    if !path.is_empty() {
        leaves.push(path.clone());
    }
    match value {
        Value::Map(map) => {
            for (key, below) in map {
                if path.len() == 1 && key == "managedFields" {
                    continue;
                }
                path.push(Step::Field(key.clone()));
                descend(below, path, leaves);
                path.pop();
            }
        }
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                let step = match (name_of(item), item) {
                    (Some((keys, _)), _) => {
                        let pairs = keys.iter().filter_map(|key| Some(((*key).to_owned(), item.get(key)?.clone())));
                        Step::Key(Value::Map(pairs.collect()))
                    }
                    (None, Value::Map(_) | Value::List(_)) => Step::Index(at),
                    (None, scalar) => Step::Item(scalar.clone()),
                };
                path.push(step);
                descend(item, path, leaves);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Whether the path leads through a value that is not known yet.
pub fn is_inside_deferred(desired: &Value, path: &[Step]) -> bool {
    (0..path.len()).any(|end| matches!(super::fields::value_at(desired, &path[..end]), Some(Value::Deferred(_))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(desired: serde_json::Value, live: serde_json::Value) -> Vec<String> {
        let changes = changes(&Value::from_json(&desired), &Value::from_json(&live));
        changes.iter().map(|change| change.path.join(".")).collect()
    }

    #[test]
    fn defaults_quantities_and_order_do_not_differ() {
        let desired = json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1000m", "memory": "1Gi"}},
            "env": [{"name": "X", "value": ""}], "ports": [{"containerPort": 80}]}], "empty": {}, "off": false}});
        let live = json!({"spec": {"containers": [{"name": "b"}, {"name": "a", "imagePullPolicy": "Always",
            "resources": {"limits": {"memory": "1024Mi", "cpu": 1}}, "env": [{"name": "X"}],
            "ports": [{"containerPort": 80, "protocol": "TCP"}]}], "restartPolicy": "Always"}});
        assert_eq!(paths(desired, live), [""; 0]);
    }

    #[test]
    fn differences_are_named() {
        let desired = json!({"spec": {"replicas": 2, "containers": [{"name": "a", "image": "new"}, {"name": "c"}],
            "args": ["x", "y"]}});
        let live = json!({"spec": {"replicas": 1, "containers": [{"name": "a", "image": "old"}], "args": ["x"]}});
        let expected = ["spec.args", "spec.containers.[name=a].image", "spec.containers.[name=c]", "spec.replicas"];
        assert_eq!(paths(desired, live), expected);
    }
}
