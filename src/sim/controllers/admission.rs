//! Answers of admission and conversion webhooks, in the words of their reviews.
//!
//! For programs that answer; the API server's side is in `kube`.

use base64::Engine;
use serde_json::{Map, Value as Json, json};

/// Lets the request pass unchanged.
pub fn allow(review: &Json) -> Json {
    answer(review, json!({"allowed": true}))
}

/// Refuses the request; the message follows `admission webhook "…" denied the request: `.
pub fn deny(review: &Json, code: u16, reason: &str, message: &str) -> Json {
    let status = json!({"code": code, "reason": reason, "message": message, "status": "Failure", "metadata": {}});
    answer(review, json!({"allowed": false, "status": status}))
}

/// Lets the request pass with its object changed into `object`.
pub fn patch(review: &Json, object: &Json) -> Json {
    let mut operations = Vec::new();
    difference("", &review["request"]["object"], object, &mut operations);
    if operations.is_empty() {
        return allow(review);
    }
    let patch = base64::engine::general_purpose::STANDARD.encode(Json::Array(operations).to_string());
    answer(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
}

/// Answers a ConversionReview: every object changed by `convert`, which gets the wanted apiVersion.
///
/// # Errors
/// Carried in the review's result, as the API server expects it.
pub fn convert(review: &Json, mut convert: impl FnMut(&Json, &str) -> Result<Json, String>) -> Json {
    let request = &review["request"];
    let wanted = request["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects = request["objects"].as_array().map(Vec::as_slice).unwrap_or_default();
    let converted: Result<Vec<Json>, String> = objects.iter().map(|object| convert(object, wanted)).collect();
    let response = match converted {
        Ok(objects) => json!({"uid": request["uid"], "convertedObjects": objects, "result": {"status": "Success"}}),
        Err(message) => {
            json!({"uid": request["uid"], "convertedObjects": [], "result": {"status": "Failure", "message": message}})
        }
    };
    json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})
}

fn answer(review: &Json, mut response: Json) -> Json {
    response["uid"] = review["request"]["uid"].clone();
    json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})
}

/// JSON Patch operations that turn `old` into `new`. Lists are replaced as a whole.
fn difference(path: &str, old: &Json, new: &Json, out: &mut Vec<Json>) {
    if old == new {
        return;
    }
    let (Json::Object(before), Json::Object(after)) = (old, new) else {
        out.push(json!({"op": "replace", "path": path, "value": new}));
        return;
    };
    let at = |key: &str| format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
    let gone = |a: &Map<String, Json>, b: &Map<String, Json>| -> Vec<String> {
        a.keys().filter(|key| !b.contains_key(*key)).cloned().collect()
    };
    for key in gone(before, after) {
        out.push(json!({"op": "remove", "path": at(&key)}));
    }
    for (key, value) in after {
        match before.get(key) {
            Some(old) => difference(&at(key), old, value, out),
            None => out.push(json!({"op": "add", "path": at(key), "value": value})),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_what_differs() {
        let object = json!({"a/b": 1, "gone": 1, "list": [1], "same": {"x": 1}});
        let review = json!({"request": {"uid": "u", "object": object}});
        let answer = patch(&review, &json!({"a/b": 2, "list": [1, 2], "same": {"x": 1, "y": 2}}));
        let encoded = answer["response"]["patch"].as_str().expect("patch");
        let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
        let operations: Json = serde_json::from_slice(&bytes).expect("json");
        assert_eq!(
            operations,
            json!([
                {"op": "remove", "path": "/gone"},
                {"op": "replace", "path": "/a~1b", "value": 2},
                {"op": "replace", "path": "/list", "value": [1, 2]},
                {"op": "add", "path": "/same/y", "value": 2},
            ])
        );
        assert_eq!(answer["response"]["uid"], "u");
    }
}
