//! Field ownership: which fields of a live object a manager owns, and what they hold.
//!
//! Reads `metadata.managedFields` (fieldsV1). Pure; changes nothing and merges nothing.

use std::borrow::Cow;

use crate::value::Value;

/// One step into an object, as fieldsV1 writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A field of a struct or map: `f:spec`.
    Field(String),
    /// The item of an associative list with these key values: `k:{"name":"x"}`.
    Key(Value),
    /// This very item of a set: `v:"x"`.
    Item(Value),
    /// The item at this position: `i:0`.
    Index(usize),
}

/// A path to a field.
pub type Path = Vec<Step>;

/// The path as a person reads it: `spec.containers[name=main].image`. Text keys only.
pub fn words(path: &[Step]) -> Vec<String> {
    path.iter()
        .map(|step| match step {
            Step::Field(name) => name.clone(),
            Step::Key(key) => {
                let pairs = key.as_map().into_iter().flatten();
                let pairs = pairs.map(|(name, value)| format!("{name}={}", value.scalar_text().unwrap_or_default()));
                format!("[{}]", pairs.collect::<Vec<_>>().join(","))
            }
            Step::Item(value) => format!("[{}]", value.scalar_text().unwrap_or_default()),
            Step::Index(index) => format!("[{index}]"),
        })
        .collect()
}

/// The leaves of the set that `manager` owns by apply: paths without anything owned below them.
/// The order is that of the fieldsV1 text, hence stable.
pub fn owned_by(object: &Value, manager: &str) -> Vec<Path> {
    let mut leaves = Vec::new();
    for entry in entries(object) {
        let text = |key| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("manager") == manager && text("operation") == "Apply" && text("subresource").is_empty() {
            collect(&fields_of(entry), &mut Vec::new(), &mut leaves);
        }
    }
    leaves
}

/// The set of fields of an entry of `managedFields`, which a list leaves as text (`super::live`).
fn fields_of(entry: &Value) -> Cow<'_, Value> {
    match entry.get("fieldsV1") {
        Some(Value::String(text)) => {
            let json = serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
            Cow::Owned(Value::from_plain_json(&json))
        }
        Some(set) => Cow::Borrowed(set),
        None => Cow::Owned(Value::Null),
    }
}

/// Every manager but `except` that owns the field at `path`, or something below it.
pub fn owners(object: &Value, path: &[Step], except: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in entries(object) {
        let manager = entry.get("manager").and_then(Value::as_str).unwrap_or_default();
        if manager == except || found.iter().any(|name| name == manager) {
            continue;
        }
        let set = fields_of(entry);
        if path.iter().try_fold(&*set, find).is_some() {
            found.push(manager.to_owned());
        }
    }
    found
}

/// Every leaf that somebody other than `manager` has set, with who, in words.
pub fn owned_by_others(object: &Value, manager: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for entry in entries(object) {
        let text = |key| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("manager") == manager && text("operation") == "Apply" {
            continue;
        }
        let mut leaves = Vec::new();
        collect(&fields_of(entry), &mut Vec::new(), &mut leaves);
        found.extend(leaves.iter().map(|path| (text("manager").to_owned(), words(path))));
    }
    found
}

fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    object.at(&["metadata", "managedFields"]).and_then(Value::as_list).unwrap_or_default().iter()
}

fn find<'a>(set: &'a Value, step: &Step) -> Option<&'a Value> {
    set.as_map()?.iter().find(|(key, _)| parse(key).as_ref() == Some(step)).map(|(_, below)| below)
}

fn collect(set: &Value, path: &mut Path, leaves: &mut Vec<Path>) {
    let map = set.as_map().into_iter().flatten();
    let mut any = false;
    for (key, below) in map {
        // "." is the container itself; it says nothing that its fields do not.
        let Some(step) = parse(key) else { continue };
        any = true;
        path.push(step);
        collect(below, path, leaves);
        path.pop();
    }
    if !any && !path.is_empty() {
        leaves.push(path.clone());
    }
}

fn parse(key: &str) -> Option<Step> {
    let (kind, rest) = key.split_once(':')?;
    let json = || serde_json::from_str::<serde_json::Value>(rest).ok().map(|json| Value::from_plain_json(&json));
    Some(match kind {
        "f" => Step::Field(rest.to_owned()),
        "k" => Step::Key(json()?),
        "v" => Step::Item(json()?),
        "i" => Step::Index(rest.parse().ok()?),
        _ => return None,
    })
}

/// What is at the end of a path; `None` when it is not there.
pub fn value_at<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Index(index) => value.as_list()?.get(*index),
        Step::Item(item) => value.as_list()?.iter().find(|entry| *entry == item),
        Step::Key(key) => {
            let wanted = key.as_map()?;
            value.as_list()?.iter().find(|entry| {
                // A key field that was defaulted may be missing in a document that was never stored.
                wanted.iter().all(|(name, value)| entry.get(name).is_none_or(|is| is == value))
                    && wanted.keys().any(|name| entry.get(name).is_some())
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leaves_lead_to_their_values() {
        let object = Value::from_json(&json!({
            "metadata": {"managedFields": [
                {"manager": "stackwright-1", "operation": "Apply", "fieldsV1": {
                    "f:metadata": {"f:finalizers": {".": {}, "v:\"a/b\"": {}}},
                    "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:image": {}, "f:name": {}}},
                               "f:replicas": {}}}},
                {"manager": "hpa", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
                "finalizers": ["a/b"]},
            "spec": {"replicas": 3, "containers": [{"name": "side"}, {"name": "main", "image": "i"}]}
        }));
        let leaves = owned_by(&object, "stackwright-1");
        let read = leaves
            .iter()
            .map(|path| (words(path).join("."), value_at(&object, path).and_then(Value::scalar_text)))
            .collect::<Vec<_>>();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            read,
            [
                ("metadata.finalizers.[a/b]".to_owned(), text("a/b")),
                ("spec.containers.[name=main].image".to_owned(), text("i")),
                ("spec.containers.[name=main].name".to_owned(), text("main")),
                ("spec.replicas".to_owned(), text("3")),
            ]
        );
        assert_eq!(owners(&object, &leaves[3], "stackwright-1"), ["hpa"]);
        assert_eq!(owners(&object, &leaves[1], "stackwright-1"), [""; 0]);
    }
}
