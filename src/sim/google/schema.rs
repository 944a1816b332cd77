//! The messages of the GKE API v1 as a table: which fields there are, of which type, and the numbers of enums.
//!
//! Requests are brought into one form with it (enum numbers become names, 64-bit integers strings, zero
//! values vanish, unknown fields are refused as Google does), and answers of v1 are cut to what v1 shows.
//! The table comes from the field list of Google's own Rust client, `google-cloud-container-v1` 1.15. It
//! knows nothing of what the fields mean.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value as Json, json};

/// The whole table.
#[derive(Debug)]
pub struct Schema {
    messages: BTreeMap<&'static str, BTreeMap<&'static str, Field>>,
    enums: BTreeMap<&'static str, Vec<(&'static str, i64)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Text,
    Bool,
    Int32,
    Int64,
    Float,
    Time,
    Any,
    Message(&'static str),
    Enum(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    One,
    /// Zero is different from absent.
    Optional,
    List,
    Map,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    kind: Type,
    shape: Shape,
}

/// What to do with a field that the table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Refuse, as v1 does.
    Refuse,
    /// Keep: v1beta1 has more fields than the table.
    Keep,
}

const TABLE: &str = include_str!("container/schema.txt");

impl Schema {
    /// The messages of `google.container.v1`.
    pub fn container() -> &'static Schema {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| Schema::parse(TABLE))
    }

    fn parse(table: &'static str) -> Schema {
        let mut schema = Schema { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for line in table.lines() {
            let mut words = line.split_whitespace();
            let Some(first) = words.next() else { continue };
            if first == "enum" {
                let name = words.next().unwrap_or_default();
                let values = words.filter_map(|w| w.split_once('=')).filter_map(|(n, v)| Some((n, v.parse().ok()?)));
                schema.enums.insert(name, values.collect());
                continue;
            }
            let fields = words.filter_map(|word| word.split_once('=')).map(|(name, kind)| (name, Field::parse(kind)));
            schema.messages.insert(first, fields.collect());
        }
        schema
    }

    /// Brings the fields of a request into canonical form.
    ///
    /// # Errors
    /// Google's texts, one per bad field.
    pub fn normalise(&self, message: &str, value: Json, unknown: Unknown) -> Result<Json, Vec<String>> {
        let mut complaints = Vec::new();
        let value = self.message(message, value, "", unknown, &mut complaints);
        if complaints.is_empty() { Ok(value) } else { Err(complaints) }
    }

    fn message(&self, name: &str, value: Json, path: &str, unknown: Unknown, complaints: &mut Vec<String>) -> Json {
        let Some(fields) = self.messages.get(name) else { return value };
        let Json::Object(object) = value else {
            complaints.push(invalid(path, &format!("type.googleapis.com/google.container.v1.{name}"), &value));
            return Json::Null;
        };
        let mut out = Map::new();
        for (key, value) in object {
            if value.is_null() {
                continue;
            }
            let camel = camel(&key);
            let at = if path.is_empty() { snake(&camel) } else { format!("{path}.{}", snake(&camel)) };
            let Some(field) = fields.get(camel.as_str()) else {
                if unknown == Unknown::Keep {
                    out.insert(key, value);
                } else {
                    let place = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
                    complaints.push(format!(
                        "Invalid JSON payload received. Unknown name \"{key}\"{place}: Cannot find field."
                    ));
                }
                continue;
            };
            if let Some(value) = self.field(*field, value, &at, unknown, complaints) {
                out.insert(camel, value);
            }
        }
        Json::Object(out)
    }

    /// The canonical value, or `None` when it is the zero value that JSON leaves out.
    fn field(
        &self,
        field: Field,
        value: Json,
        at: &str,
        unknown: Unknown,
        complaints: &mut Vec<String>,
    ) -> Option<Json> {
        match (field.shape, value) {
            (Shape::List, Json::Array(items)) => {
                let items: Vec<_> = items
                    .into_iter()
                    .enumerate()
                    .map(|(i, item)| self.scalar(field.kind, item, &format!("{at}[{i}]"), unknown, complaints))
                    .collect();
                (!items.is_empty()).then_some(Json::Array(items))
            }
            (Shape::Map, Json::Object(entries)) => {
                let entries: Map<_, _> = entries
                    .into_iter()
                    .map(|(key, item)| {
                        let item = self.scalar(field.kind, item, &format!("{at}[{key}]"), unknown, complaints);
                        (key, item)
                    })
                    .collect();
                (!entries.is_empty()).then_some(Json::Object(entries))
            }
            (Shape::List | Shape::Map, value) => {
                complaints.push(invalid(at, "TYPE_MESSAGE", &value));
                None
            }
            (shape, value) => {
                let value = self.scalar(field.kind, value, at, unknown, complaints);
                let keep = shape == Shape::Optional || !self.is_zero(field.kind, &value);
                keep.then_some(value)
            }
        }
    }

    fn scalar(&self, kind: Type, value: Json, at: &str, unknown: Unknown, complaints: &mut Vec<String>) -> Json {
        let canonical = match (kind, &value) {
            (Type::Message(name), _) => return self.message(name, value, at, unknown, complaints),
            (Type::Text | Type::Time, Json::String(_)) | (Type::Bool, Json::Bool(_)) | (Type::Any, _) => {
                Some(value.clone())
            }
            (Type::Float, Json::Number(_)) => Some(value.clone()),
            (Type::Int32, _) => integer(&value).filter(|i| i32::try_from(*i).is_ok()).map(Json::from),
            (Type::Int64, _) => integer(&value).map(|i| Json::from(i.to_string())),
            (Type::Enum(name), Json::Number(number)) => {
                let number = number.as_i64();
                let values = self.enums.get(name);
                let known = values.and_then(|v| v.iter().find(|(_, i)| Some(*i) == number)).map(|(n, _)| json!(n));
                // A number that is not in the table is legal in proto3 and stays.
                Some(known.unwrap_or_else(|| value.clone()))
            }
            (Type::Enum(name), Json::String(text)) => {
                let known = self.enums.get(name).is_some_and(|values| values.iter().any(|(n, _)| n == text));
                (known || unknown == Unknown::Keep).then(|| value.clone())
            }
            _ => None,
        };
        canonical.unwrap_or_else(|| {
            complaints.push(invalid(at, &kind.name(), &value));
            Json::Null
        })
    }

    fn is_zero(&self, kind: Type, value: &Json) -> bool {
        match (kind, value) {
            (_, Json::Null | Json::Bool(false)) => true,
            (Type::Int64, Json::String(text)) => text == "0",
            (Type::Enum(name), Json::String(text)) => {
                self.enums.get(name).is_some_and(|values| values.iter().any(|(n, i)| n == text && *i == 0))
            }
            (Type::Text, Json::String(text)) => text.is_empty(),
            (_, Json::Number(number)) => number.as_f64() == Some(0.0),
            _ => false,
        }
    }

    /// Leaves out what the table does not have, at every depth.
    #[must_use]
    pub fn view(&self, message: &str, value: &Json) -> Json {
        self.map(message, value, &mut |kind, value| {
            let _ = kind;
            value.clone()
        })
    }

    /// The same with enums as numbers, for a client that asks with `enum-encoding=int`.
    #[must_use]
    pub fn view_with_numbers(&self, message: &str, value: &Json) -> Json {
        self.map(message, value, &mut |kind, value| {
            let (Type::Enum(name), Json::String(text)) = (kind, value) else { return value.clone() };
            let number = self.enums.get(name).and_then(|values| values.iter().find(|(n, _)| n == text));
            number.map_or_else(|| value.clone(), |(_, i)| Json::from(*i))
        })
    }

    fn map(&self, message: &str, value: &Json, leaf: &mut dyn FnMut(Type, &Json) -> Json) -> Json {
        let (Some(fields), Json::Object(object)) = (self.messages.get(message), value) else { return value.clone() };
        let mut out = Map::new();
        for (key, value) in object {
            let Some(field) = fields.get(key.as_str()) else { continue };
            let mut one = |value: &Json| match field.kind {
                Type::Message(name) => self.map(name, value, leaf),
                kind => leaf(kind, value),
            };
            let value = match (field.shape, value) {
                (Shape::List, Json::Array(items)) => Json::Array(items.iter().map(one).collect()),
                (Shape::Map, Json::Object(entries)) => {
                    Json::Object(entries.iter().map(|(k, v)| (k.clone(), one(v))).collect())
                }
                (_, value) => one(value),
            };
            out.insert(key.clone(), value);
        }
        Json::Object(out)
    }
}

impl Field {
    fn parse(text: &'static str) -> Field {
        let (kind, shape) = match text.strip_suffix(['?', '*', '%']) {
            Some(kind) if text.ends_with('?') => (kind, Shape::Optional),
            Some(kind) if text.ends_with('*') => (kind, Shape::List),
            Some(kind) => (kind, Shape::Map),
            None => (text, Shape::One),
        };
        let kind = match kind {
            "s" => Type::Text,
            "b" => Type::Bool,
            "i" => Type::Int32,
            "l" => Type::Int64,
            "f" => Type::Float,
            "t" => Type::Time,
            other => match other.split_once(':') {
                Some(("m", name)) => Type::Message(name),
                Some(("e", name)) => Type::Enum(name),
                _ => Type::Any,
            },
        };
        Field { kind, shape }
    }
}

impl Type {
    fn name(self) -> String {
        match self {
            Type::Text => "TYPE_STRING".to_owned(),
            Type::Bool => "TYPE_BOOL".to_owned(),
            Type::Int32 => "TYPE_INT32".to_owned(),
            Type::Int64 => "TYPE_INT64".to_owned(),
            Type::Float => "TYPE_DOUBLE".to_owned(),
            Type::Time | Type::Any => "TYPE_MESSAGE".to_owned(),
            Type::Message(name) | Type::Enum(name) => format!("type.googleapis.com/google.container.v1.{name}"),
        }
    }
}

/// proto3 accepts integers as numbers, as numbers with a zero fraction and as strings.
fn integer(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn invalid(at: &str, kind: &str, value: &Json) -> String {
    format!("Invalid value at '{at}' ({kind}), {value}")
}

/// proto3 accepts a field's original name too: `node_pool` for `nodePool`.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brings_requests_into_one_form() {
        let request = json!({
            "parent": "",
            "nodePool": {
                "name": "t4", "initialNodeCount": "1", "locations": [],
                "config": {
                    "taints": [{"key": "a", "effect": 1}],
                    "accelerators": [{"acceleratorCount": 1, "acceleratorType": "nvidia-tesla-t4"}],
                    "spot": false, "flexStart": false, "labels": {},
                },
            },
        });
        let normal = Schema::container().normalise("CreateNodePoolRequest", request, Unknown::Refuse).expect("valid");
        let expected = json!({
            "nodePool": {
                "name": "t4", "initialNodeCount": 1,
                "config": {
                    "taints": [{"key": "a", "effect": "NO_SCHEDULE"}],
                    "accelerators": [{"acceleratorCount": "1", "acceleratorType": "nvidia-tesla-t4"}],
                    "flexStart": false,
                },
            },
        });
        assert_eq!(normal, expected);
        let numbers = Schema::container().view_with_numbers("CreateNodePoolRequest", &normal);
        assert_eq!(numbers["nodePool"]["config"]["taints"][0]["effect"], json!(1));
    }

    #[test]
    fn refuses_what_google_refuses() {
        let request = json!({"cluster": {"name": "c", "colour": "red", "initialNodeCount": "many"}});
        let complaints =
            Schema::container().normalise("CreateClusterRequest", request, Unknown::Refuse).expect_err("two mistakes");
        let expected = [
            "Invalid JSON payload received. Unknown name \"colour\" at 'cluster': Cannot find field.",
            "Invalid value at 'cluster.initial_node_count' (TYPE_INT32), \"many\"",
        ];
        assert_eq!(complaints, expected);
    }
}
