//! One tree of values as the three that Terraform's format has: what is known, what is not known yet, what is secret.
//!
//! What is not known is left out of the known tree, but for items of lists, which are `null` there; a secret is `null`.
//! Definitions of Kubernetes kinds carry schemas of hundreds of kilobytes: unless all is wanted, a marker with digest and
//! size stands in the place of a large one.

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::value::{Template, Value};

/// The key of what is large and tells little.
const SCHEMA: &str = "openAPIV3Schema";

/// The key of the marker that stands for it.
pub const ELIDED: &str = "$elided";

/// Schemas of fewer bytes are shown.
const LARGE: usize = 2048;

/// Three trees of one shape.
#[derive(Debug, Default, PartialEq)]
pub struct Parts {
    /// The values; nothing where the whole is not known yet.
    pub known: Option<Json>,
    /// `true` for what is not known.
    pub unknown: Json,
    /// `true` for what is secret.
    pub sensitive: Json,
}

/// Splits a value; with `full`, large schemas as well.
pub fn split(value: &Value, full: bool) -> Parts {
    match value {
        Value::Deferred(template) => deferred(template),
        Value::Map(map) => {
            let (mut known, mut unknown, mut sensitive) = (Map::new(), Map::new(), Map::new());
            for (key, value) in map {
                if !full
                    && key == SCHEMA
                    && let Some(marker) = elided(value)
                {
                    known.insert(key.clone(), marker);
                    continue;
                }
                let parts = split(value, full);
                if let Some(value) = parts.known {
                    known.insert(key.clone(), value);
                }
                if says_something(&parts.unknown) {
                    unknown.insert(key.clone(), parts.unknown);
                }
                if says_something(&parts.sensitive) {
                    sensitive.insert(key.clone(), parts.sensitive);
                }
            }
            Parts {
                known: Some(Json::Object(known)),
                unknown: Json::Object(unknown),
                sensitive: Json::Object(sensitive),
            }
        }
        Value::List(items) => {
            let parts = items.iter().map(|item| split(item, full)).collect::<Vec<_>>();
            let marks = |of: &dyn Fn(&Parts) -> &Json| match parts.iter().any(|part| says_something(of(part))) {
                true => Json::Array(parts.iter().map(|part| of(part).clone()).collect()),
                false => json!([]),
            };
            let (unknown, sensitive) = (marks(&|part| &part.unknown), marks(&|part| &part.sensitive));
            let known = parts.into_iter().map(|part| part.known.unwrap_or_default()).collect();
            Parts { known: Some(Json::Array(known)), unknown, sensitive }
        }
        plain => Parts { known: Some(plain.to_json()), unknown: Json::Bool(false), sensitive: Json::Bool(false) },
    }
}

fn deferred(template: &Template) -> Parts {
    let unknown = template.references().next().is_some();
    let known = (!unknown).then_some(Json::Null);
    Parts { known, unknown: Json::Bool(unknown), sensitive: Json::Bool(template.is_sensitive()) }
}

/// Whether a tree of marks has any.
pub fn says_something(marks: &Json) -> bool {
    match marks {
        Json::Bool(mark) => *mark,
        Json::Object(map) => map.values().any(says_something),
        Json::Array(items) => items.iter().any(says_something),
        _ => false,
    }
}

/// What stands for a large schema.
fn elided(value: &Value) -> Option<Json> {
    let text = value.to_json().to_string();
    (text.len() > LARGE).then(|| {
        let digest = Sha256::digest(text.as_bytes());
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        json!({ ELIDED: { "sha256": hex, "bytes": text.len() } })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_unknown_and_secret_are_apart() {
        let reference = Value::from(Template::reference("cluster".into(), vec!["endpoint".into()]));
        let secret = Value::from(Template::secret("token"));
        let map = |pairs: Vec<(&str, Value)>| Value::Map(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
        let value = map(vec![
            ("at", reference.clone()),
            ("list", Value::List(vec!["a".into(), reference, secret.clone()])),
            ("plain", map(vec![("x", Value::Int(1))])),
            ("token", secret),
        ]);
        let parts = split(&value, true);
        assert_eq!(parts.known, Some(json!({"list": ["a", null, null], "plain": {"x": 1}, "token": null})));
        assert_eq!(parts.unknown, json!({"at": true, "list": [false, true, false]}));
        assert_eq!(parts.sensitive, json!({"list": [false, false, true], "token": true}));
    }

    #[test]
    fn only_large_schemas_are_elided_and_differ_where_they_differ() {
        let schema = |length: usize| Value::from_json(&json!({ SCHEMA: { "description": "x".repeat(length) } }));
        assert_eq!(split(&schema(10), false), split(&schema(10), true));
        let (one, two) = (split(&schema(5000), false), split(&schema(5001), false));
        let marker = |parts: &Parts| parts.known.clone().expect("known")[SCHEMA][ELIDED].clone();
        assert_eq!(marker(&one)["bytes"], 5018);
        assert_ne!(marker(&one)["sha256"], marker(&two)["sha256"]);
        assert_eq!(
            split(&schema(5000), true).known.expect("known")[SCHEMA]["description"].as_str().map(str::len),
            Some(5000)
        );
    }
}
