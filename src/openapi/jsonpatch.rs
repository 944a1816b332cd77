//! RFC 6902 JSON patches and RFC 7386 merge patches, as the API server takes them.
//!
//! Strategic merge patches are in `strategic`.

use serde_json::{Map, Value as Json};

/// Lays an RFC 7386 merge patch over a value: objects are merged, null removes, everything else replaces.
pub fn merge(target: &mut Json, patch: &Json) {
    let Json::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Json::Object(Map::new());
    }
    let Some(object) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            object.shift_remove(key);
        } else {
            merge(object.entry(key.clone()).or_insert(Json::Null), value);
        }
    }
}

/// Why a patch was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// 400 `BadRequest` with this message: the patch is not a patch.
    Malformed(String),
    /// 422 `Invalid`: an operation failed. The API server gives no reason; this one is for people.
    Failed(String),
}

/// The message of the Status for [`PatchError::Failed`].
pub const FAILED: &str = "the server rejected our request due to an error in our request";

impl std::fmt::Display for PatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PatchError::Malformed(message) | PatchError::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for PatchError {}

/// The value with all operations of an RFC 6902 patch done, or with none. As in the API server, replacing a
/// missing key of an object adds it.
///
/// # Errors
/// See [`PatchError`].
pub fn apply(target: &Json, patch: &Json) -> Result<Json, PatchError> {
    let Json::Array(operations) = patch else {
        let kind = match patch {
            Json::Object(_) => "object",
            Json::String(_) => "string",
            Json::Number(_) => "number",
            Json::Bool(_) => "bool",
            Json::Null | Json::Array(_) => "null",
        };
        return Err(PatchError::Malformed(format!(
            "error decoding patch: json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp"
        )));
    };
    let mut out = target.clone();
    for (index, operation) in operations.iter().enumerate() {
        one(&mut out, operation).map_err(|why| PatchError::Failed(format!("operation {index}: {why}")))?;
    }
    Ok(out)
}

fn one(target: &mut Json, operation: &Json) -> Result<(), String> {
    let text = |name: &str| operation.get(name).and_then(Json::as_str);
    let path = pointer(text("path").ok_or("it has no path")?)?;
    let value = || operation.get("value").ok_or("it has no value");
    match text("op").unwrap_or_default() {
        "add" => add(target, &path, value()?.clone()),
        "remove" => remove(target, &path).map(drop),
        "replace" => {
            let value = value()?.clone();
            match parent(target, &path)? {
                Some((Json::Object(object), key)) => {
                    object.insert(key.to_owned(), value);
                    Ok(())
                }
                Some((Json::Array(items), key)) => {
                    let at = index(key, items.len())?;
                    *items.get_mut(at).ok_or_else(|| format!("there is no item {key}"))? = value;
                    Ok(())
                }
                Some(_) => Err(format!("{path:?} is not in an object or a list")),
                None => {
                    *target = value;
                    Ok(())
                }
            }
        }
        "move" => {
            let from = pointer(text("from").ok_or("it has no from")?)?;
            if path.len() > from.len() && path.starts_with(&from) {
                return Err("a value cannot move into itself".to_owned());
            }
            let value = remove(target, &from)?;
            add(target, &path, value)
        }
        "copy" => {
            let from = pointer(text("from").ok_or("it has no from")?)?;
            let value = find(target, &from).cloned().ok_or("there is nothing at from")?;
            add(target, &path, value)
        }
        "test" => {
            // A test for null holds for what is not there.
            let found = find(target, &path).unwrap_or(&Json::Null);
            let wanted = operation.get("value").unwrap_or(&Json::Null);
            if found == wanted { Ok(()) } else { Err(format!("{found} is not {wanted}")) }
        }
        other => Err(format!("{other:?} is no operation")),
    }
}

fn pointer(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rest = text.strip_prefix('/').ok_or_else(|| format!("{text:?} does not start with a slash"))?;
    Ok(rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

fn index(key: &str, length: usize) -> Result<usize, String> {
    if key == "-" {
        return Ok(length);
    }
    key.parse().map_err(|_| format!("{key:?} is no index"))
}

fn find<'a>(target: &'a Json, path: &[String]) -> Option<&'a Json> {
    path.iter().try_fold(target, |value, key| match value {
        Json::Object(object) => object.get(key),
        Json::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The container that the path ends in, and the last key; `None` for the root.
fn parent<'a, 'p>(target: &'a mut Json, path: &'p [String]) -> Result<Option<(&'a mut Json, &'p str)>, String> {
    let Some((last, above)) = path.split_last() else { return Ok(None) };
    let mut value = target;
    for key in above {
        value = match value {
            Json::Object(object) => object.get_mut(key),
            Json::Array(items) => key.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
            _ => None,
        }
        .ok_or_else(|| format!("there is no {key:?}"))?;
    }
    Ok(Some((value, last)))
}

fn add(target: &mut Json, path: &[String], value: Json) -> Result<(), String> {
    match parent(target, path)? {
        None => *target = value,
        Some((Json::Object(object), key)) => {
            object.insert(key.to_owned(), value);
        }
        Some((Json::Array(items), key)) => {
            let at = index(key, items.len())?;
            if at > items.len() {
                return Err(format!("there is no place {key}"));
            }
            items.insert(at, value);
        }
        Some((_, key)) => return Err(format!("{key:?} is not in an object or a list")),
    }
    Ok(())
}

fn remove(target: &mut Json, path: &[String]) -> Result<Json, String> {
    let found = match parent(target, path)? {
        None => Some(target.take()),
        Some((Json::Object(object), key)) => object.shift_remove(key),
        Some((Json::Array(items), key)) => {
            let at = index(key, items.len())?;
            (at < items.len()).then(|| items.remove(at))
        }
        Some(_) => None,
    };
    found.ok_or_else(|| "there is nothing to remove".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patches() {
        // The examples of RFC 7386, appendix A.
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut value = target;
            merge(&mut value, &patch);
            assert_eq!(value, result);
        }
    }

    #[test]
    fn operations() {
        let target = json!({"a": {"b": [1, 2]}, "c/d": 1});
        let patch = json!([
            {"op": "add", "path": "/a/b/1", "value": 9}, {"op": "add", "path": "/a/b/-", "value": 8},
            {"op": "move", "from": "/c~1d", "path": "/e"}, {"op": "copy", "from": "/a/b/0", "path": "/f"},
            {"op": "test", "path": "/f", "value": 1}, {"op": "remove", "path": "/a/b/0"},
            {"op": "replace", "path": "/new", "value": true},
        ]);
        assert_eq!(apply(&target, &patch), Ok(json!({"a": {"b": [9, 2, 8]}, "e": 1, "f": 1, "new": true})));
        assert_eq!(apply(&target, &json!([])), Ok(target.clone()));
    }

    #[test]
    fn operations_that_fail_leave_no_trace() {
        let target = json!({"a": [1]});
        for operation in [
            json!({"op": "remove", "path": "/x"}),
            json!({"op": "add", "path": "/x/y", "value": 1}),
            json!({"op": "add", "path": "/a/7", "value": 1}),
            json!({"op": "test", "path": "/a/0", "value": 2}),
            json!({"op": "frob", "path": "/a"}),
            json!({"op": "move", "from": "/a", "path": "/a/0"}),
            json!({"op": "add", "path": "no-slash", "value": 1}),
            json!({"op": "add", "path": "/b"}),
        ] {
            let patch = json!([{"op": "add", "path": "/ok", "value": 1}, operation]);
            assert!(matches!(apply(&target, &patch), Err(PatchError::Failed(_))), "{patch}");
        }
        assert_eq!(
            apply(&target, &json!({})).expect_err("not a list").to_string(),
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        );
    }
}
