//! Whether an applied configuration fits its schema well enough to be merged, in the words of the API
//! server's "failed to create typed patch object".

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::shape::{self, Shape, View};
use crate::openapi::schema::{ListType, Schema, Type};

/// The first-rank mistakes of a configuration; empty when it can be merged.
pub fn check(schema: &Schema, value: &Json) -> Vec<String> {
    let mut check = Check { path: String::new(), errors: Vec::new() };
    check.value(Some(schema), value, false);
    check.errors
}

/// One mistake as it is, several as a list.
pub fn join(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        several => format!("errors:\n  {}", several.join("\n  ")),
    }
}

struct Check {
    path: String,
    errors: Vec<String>,
}

impl Check {
    fn say(&mut self, message: impl std::fmt::Display) {
        let path = &self.path;
        self.errors.push(if path.is_empty() { message.to_string() } else { format!("{path}: {message}") });
    }

    /// `loose`: something above keeps unknown fields.
    fn value(&mut self, view: View<'_>, value: &Json, loose: bool) {
        if value.is_null() {
            return;
        }
        let loose = loose || view.is_some_and(|schema| schema.preserve_unknown);
        match shape::shape(view, Some(value)) {
            Shape::Scalar => self.scalar(view, value),
            Shape::List(list) => match value {
                Json::Array(items) => self.items(view, list, items, loose),
                other => self.say(format_args!("expected list, got &{{{}}}", plain(other))),
            },
            Shape::Map { .. } => match value {
                Json::Object(object) => self.fields(view, object, loose),
                other => self.say(format_args!("expected map, got &{{{}}}", plain(other))),
            },
        }
    }

    fn fields(&mut self, view: View<'_>, object: &serde_json::Map<String, Json>, loose: bool) {
        for (key, value) in object {
            let (below, declared) = shape::child(view, key);
            let known = declared || below.is_some() || loose || view.is_none_or(accepts_any_key);
            let length = self.path.len();
            self.path.push('.');
            self.path.push_str(key);
            if known {
                self.value(below, value, loose);
            } else {
                self.say("field not declared in schema");
            }
            self.path.truncate(length);
            if !known {
                return;
            }
        }
    }

    fn items(&mut self, view: View<'_>, list: &ListType, items: &[Json], loose: bool) {
        let mut seen = BTreeSet::new();
        for (index, value) in items.iter().enumerate() {
            let element = match list {
                ListType::Atomic => format!("[{index}]"),
                _ => match shape::identity(view, list, value) {
                    Ok(element) => {
                        let text = element.to_string();
                        if !seen.insert(element) {
                            self.say(format_args!("duplicate entries for key {text}"));
                        }
                        text
                    }
                    Err(error) => return self.say(format_args!("element {index}: {error}")),
                },
            };
            let length = self.path.len();
            self.path.push_str(&element);
            self.value(shape::item(view), value, loose);
            self.path.truncate(length);
        }
    }

    fn scalar(&mut self, view: View<'_>, value: &Json) {
        let Some(schema) = view else { return };
        // Formats other than `byte` leave the kind of scalar open.
        let open = schema.int_or_string
            || schema.kind == Type::String && schema.format.as_deref().is_some_and(|format| format != "byte");
        match schema.kind {
            _ if open && (value.is_object() || value.is_array()) => {
                self.say(format_args!("expected any scalar, got &{{{}}}", plain(value)));
            }
            _ if open => {}
            Type::Integer | Type::Number if !value.is_number() => {
                self.say(format_args!("expected numeric (int or float), got {}", go_type(value)));
            }
            Type::String if !value.is_string() => {
                self.say(format_args!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value)));
            }
            Type::Boolean if !value.is_boolean() => {
                self.say(format_args!("expected boolean, got &{{{}}}", plain(value)));
            }
            _ => {}
        }
    }
}

/// Objects without any declared field are free-form to server-side apply.
fn accepts_any_key(schema: &Schema) -> bool {
    schema.keeps_unknown() || schema.properties.is_empty()
}

fn go_type(value: &Json) -> &'static str {
    match value {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(n) if n.is_f64() => "float64",
        Json::Number(_) => "int64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

fn go_syntax(value: &Json) -> String {
    match value {
        Json::Null => "interface {}(nil)".to_owned(),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Json::Object(object) => {
            let fields: Vec<String> =
                object.iter().map(|(key, value)| format!("{key:?}:{}", go_syntax(value))).collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

/// As Go's `%v` prints it.
fn plain(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(" "))
        }
        Json::Object(object) => {
            let mut fields: Vec<String> = object.iter().map(|(key, value)| format!("{key}:{}", plain(value))).collect();
            fields.sort();
            format!("map[{}]", fields.join(" "))
        }
        scalar => scalar.to_string(),
    }
}
