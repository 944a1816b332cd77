//! Reading and writing the common fields of Kubernetes objects kept as JSON.
//!
//! Absent fields read as empty; nothing here fails. Not for talking to the API.

use serde_json::{Map, Value as Json, json};

use super::Key;
use crate::env::clock::Timestamp;
use crate::openapi::quantity::Quantity;
use crate::sim::kube::api::Gvk;

/// The text at a JSON pointer; empty when there is none.
pub fn text<'a>(object: &'a Json, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// The whole number at a JSON pointer.
pub fn number(object: &Json, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Json::as_i64)
}

/// The truth value at a JSON pointer; false when there is none.
pub fn flag(object: &Json, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Json::as_bool).unwrap_or_default()
}

/// The list at a JSON pointer; empty when there is none.
pub fn list<'a>(object: &'a Json, pointer: &str) -> &'a [Json] {
    object.pointer(pointer).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Keys and values of the object at a JSON pointer.
pub fn entries<'a>(object: &'a Json, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Json)> {
    object.pointer(pointer).and_then(Json::as_object).into_iter().flatten().map(|(k, v)| (k.as_str(), v))
}

/// `metadata.name`.
pub fn name(object: &Json) -> &str {
    text(object, "/metadata/name")
}

/// `metadata.namespace`.
pub fn namespace(object: &Json) -> &str {
    text(object, "/metadata/namespace")
}

/// `metadata.uid`.
pub fn uid(object: &Json) -> &str {
    text(object, "/metadata/uid")
}

/// A label's value; empty when there is none.
pub fn label<'a>(object: &'a Json, key: &str) -> &'a str {
    object.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Json::as_str).unwrap_or_default()
}

/// An annotation's value; empty when there is none.
pub fn annotation<'a>(object: &'a Json, key: &str) -> &'a str {
    let annotations = object.pointer("/metadata/annotations");
    annotations.and_then(|all| all.get(key)).and_then(Json::as_str).unwrap_or_default()
}

/// Whether it is being deleted.
pub fn is_going(object: &Json) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// A time at a JSON pointer.
pub fn time(object: &Json, pointer: &str) -> Option<Timestamp> {
    Timestamp::parse(text(object, pointer))
}

/// Whether it has this finalizer.
pub fn has_finalizer(object: &Json, finalizer: &str) -> bool {
    list(object, "/metadata/finalizers").iter().any(|f| f.as_str() == Some(finalizer))
}

/// Adds a finalizer.
pub fn add_finalizer(object: &mut Json, finalizer: &str) {
    if !has_finalizer(object, finalizer) {
        let all = &mut object["metadata"]["finalizers"];
        match all.as_array_mut() {
            Some(all) => all.push(json!(finalizer)),
            None => *all = json!([finalizer]),
        }
    }
}

/// Removes a finalizer.
pub fn remove_finalizer(object: &mut Json, finalizer: &str) {
    if let Some(all) = object.pointer_mut("/metadata/finalizers").and_then(Json::as_array_mut) {
        all.retain(|f| f.as_str() != Some(finalizer));
    }
}

/// The `ownerReferences` entry that says who controls it.
pub fn controller_of(object: &Json) -> Option<&Json> {
    list(object, "/metadata/ownerReferences").iter().find(|owner| flag(owner, "/controller"))
}

/// Whether the object with this uid controls it.
pub fn is_controlled_by(object: &Json, owner: &Json) -> bool {
    controller_of(object).is_some_and(|reference| text(reference, "/uid") == uid(owner))
}

/// The key of the object that an `ownerReferences` entry names.
pub fn key_of_owner(reference: &Json, namespace: &str) -> Option<Key> {
    let gvk = Gvk::of(reference)?;
    Some(Key { gvk, namespace: namespace.to_owned(), name: text(reference, "/name").to_owned() })
}

/// An `ownerReferences` entry by which `owner` controls something.
pub fn owner_reference(owner: &Json) -> Json {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// The status (`True`, `False`, `Unknown`) of a condition; empty when there is none.
pub fn condition<'a>(object: &'a Json, kind: &str) -> &'a str {
    condition_entry(object, kind).map(|entry| text(entry, "/status")).unwrap_or_default()
}

/// A condition in full.
pub fn condition_entry<'a>(object: &'a Json, kind: &str) -> Option<&'a Json> {
    list(object, "/status/conditions").iter().find(|entry| text(entry, "/type") == kind)
}

/// Sets a condition in `status.conditions`. `lastTransitionTime` moves only when the status changes.
/// `now` is what `lastUpdateTime` or the like gets in kinds that have it: none here.
pub fn set_condition(object: &mut Json, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let entry = json!({
        "type": kind, "status": status, "lastTransitionTime": now.rfc3339(), "reason": reason, "message": message,
    });
    put_condition(object, entry);
}

/// Puts a condition, keeping the old `lastTransitionTime` while its status stays. An entry that differs in
/// nothing else is left alone.
pub fn put_condition(object: &mut Json, mut entry: Json) {
    if let Some(map) = entry.as_object_mut() {
        map.retain(|_, value| value.as_str() != Some(""));
    }
    let kind = text(&entry, "/type").to_owned();
    let conditions = &mut object["status"]["conditions"];
    let Some(all) = conditions.as_array_mut() else {
        *conditions = json!([entry]);
        return;
    };
    let Some(old) = all.iter_mut().find(|old| text(old, "/type") == kind) else {
        all.push(entry);
        return;
    };
    if text(old, "/status") == text(&entry, "/status") {
        entry["lastTransitionTime"] = old["lastTransitionTime"].clone();
        let mut same = entry.clone();
        for clock in ["lastUpdateTime", "lastProbeTime", "lastHeartbeatTime"] {
            if old.get(clock).is_some() && same.get(clock).is_some() {
                same[clock] = old[clock].clone();
            }
        }
        if same == *old {
            return;
        }
    }
    *old = entry;
}

/// Whether labels match a `metav1.LabelSelector` (an empty one matches everything, none nothing).
pub fn selects(selector: &Json, labels: &Json) -> bool {
    if !selector.is_object() {
        return false;
    }
    let value = |key: &str| labels.get(key).and_then(Json::as_str);
    entries(selector, "/matchLabels").all(|(key, wanted)| value(key) == wanted.as_str())
        && list(selector, "/matchExpressions").iter().all(|term| requirement(term, value(text(term, "/key"))))
}

/// Whether one selector requirement (`operator`, `values`) accepts a label's value. Numbers compare for
/// `Gt` and `Lt`, which only nodes know.
pub fn requirement(term: &Json, value: Option<&str>) -> bool {
    let listed = |value: &str| list(term, "/values").iter().any(|v| v.as_str() == Some(value));
    let bound = || list(term, "/values").first().and_then(Json::as_str).and_then(|v| v.parse::<i64>().ok());
    let mine = value.and_then(|v| v.parse::<i64>().ok());
    match text(term, "/operator") {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => mine.zip(bound()).is_some_and(|(mine, bound)| mine > bound),
        "Lt" => mine.zip(bound()).is_some_and(|(mine, bound)| mine < bound),
        _ => false,
    }
}

/// Whether labels carry every pair of a plain selector map (a Service's); an empty map matches nothing.
pub fn selects_map(selector: &Json, labels: &Json) -> bool {
    selector.as_object().is_some_and(|pairs| !pairs.is_empty() && contains(labels, pairs))
}

fn contains(labels: &Json, pairs: &Map<String, Json>) -> bool {
    pairs.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The labels of an object (null when there are none).
pub fn labels(object: &Json) -> &Json {
    object.pointer("/metadata/labels").unwrap_or(&Json::Null)
}

/// A Kubernetes quantity in thousandths of its unit: `500m` is 500, `2` is 2000, `1Gi` is 2^30 × 1000; 0 for what is
/// none.
pub fn quantity(value: &Json) -> i128 {
    Quantity::of(value).map_or(0, |quantity| i128::from(quantity.millis()))
}

/// The 32-bit FNV-1a hash in Kubernetes' alphabet of safe characters: suffixes of generated names.
pub fn hash(text: &str) -> String {
    const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = 0x811c_9dc5_u32;
    for byte in text.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash.to_string().bytes().map(|digit| char::from(SAFE[usize::from(digit) % SAFE.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let read = |text: &str| quantity(&json!(text));
        assert_eq!(read("500m"), 500);
        assert_eq!(read("2"), 2000);
        assert_eq!(read("1Ki"), 1_024_000);
        assert_eq!(read("1e3"), 1_000_000);
        assert_eq!(quantity(&json!(4)), 4000);
    }

    #[test]
    fn selectors() {
        let labels = json!({"a": "1", "b": "2"});
        assert!(selects(&json!({}), &labels));
        assert!(!selects(&Json::Null, &labels));
        assert!(selects(&json!({"matchLabels": {"a": "1"}}), &labels));
        let term =
            |op: &str, values: Json| json!({"matchExpressions": [{"key": "b", "operator": op, "values": values}]});
        assert!(selects(&term("In", json!(["2", "3"])), &labels));
        assert!(!selects(&term("NotIn", json!(["2"])), &labels));
        assert!(!selects(&term("DoesNotExist", json!([])), &labels));
        assert!(!selects_map(&json!({}), &labels));
    }

    #[test]
    fn a_condition_keeps_its_transition_time() {
        let mut object = json!({});
        set_condition(&mut object, "Ready", "False", "Waiting", "", Timestamp(1000));
        set_condition(&mut object, "Ready", "False", "StillWaiting", "", Timestamp(9000));
        assert_eq!(text(&object, "/status/conditions/0/lastTransitionTime"), "1970-01-01T00:00:01Z");
        set_condition(&mut object, "Ready", "True", "Done", "", Timestamp(9000));
        assert_eq!(text(&object, "/status/conditions/0/lastTransitionTime"), "1970-01-01T00:00:09Z");
    }
}
