//! Dropping fields that a schema does not declare, and telling which they were.
//!
//! The returned paths read as in the API server's warnings: `spec.containers[0].nope`.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::builtin;
use super::schema::{Schema, Type};
use super::validate::is_deferred;

/// Removes every undeclared field and returns their paths, in document order.
pub fn prune(schema: &Schema, value: &mut Json) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, value, &mut String::new(), &mut found);
    found
}

/// The paths of undeclared fields, the value left as it is. What a plan knows only at apply counts as declared.
pub fn unknown(schema: &Schema, value: &Json) -> Vec<String> {
    undeclared(schema, value).into_iter().map(|field| field.path).collect()
}

/// A field that a schema does not declare.
#[derive(Clone, Debug)]
pub struct Undeclared<'s> {
    /// `spec.containers[0].nope`
    pub path: String,
    /// `nope`
    pub name: String,
    /// The type of the object that has it.
    pub holder: &'s Schema,
}

/// As [`unknown`], with what is known of the objects that have these fields.
pub fn undeclared<'s>(schema: &'s Schema, value: &Json) -> Vec<Undeclared<'s>> {
    let mut found = Vec::new();
    look(schema, value, &mut String::new(), &mut found);
    found
}

/// How the schema sees one key of an object.
enum Known<'a> {
    Declared(&'a Schema),
    Kept,
    Unknown,
}

fn known<'a>(schema: &'a Schema, key: &str) -> Known<'a> {
    match schema.child(key) {
        Some(below) => Known::Declared(below),
        None if schema.embedded => match key {
            "apiVersion" | "kind" => Known::Kept,
            "metadata" => match builtin::named("meta.v1.ObjectMeta") {
                Some(entry) => Known::Declared(entry.schema()),
                None => Known::Kept,
            },
            _ if schema.keeps_unknown() => Known::Kept,
            _ => Known::Unknown,
        },
        None if schema.keeps_unknown() => Known::Kept,
        None => Known::Unknown,
    }
}

fn enter(path: &mut String, key: &str) -> usize {
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(key);
    length
}

fn enter_item(path: &mut String, index: usize) -> usize {
    let length = path.len();
    // Writing to a String cannot fail.
    let _ = write!(path, "[{index}]");
    length
}

fn walk(schema: &Schema, value: &mut Json, path: &mut String, found: &mut Vec<String>) {
    match value {
        Json::Object(object) if !schema.is_scalar() && schema.kind != Type::Array => {
            object.retain(|key, child| {
                let length = enter(path, key);
                let keep = match known(schema, key) {
                    Known::Declared(below) => {
                        walk(below, child, path, found);
                        true
                    }
                    Known::Kept => true,
                    Known::Unknown => {
                        found.push(path.clone());
                        false
                    }
                };
                path.truncate(length);
                keep
            });
        }
        Json::Array(items) => {
            if let Some(below) = &schema.items {
                for (index, item) in items.iter_mut().enumerate() {
                    let length = enter_item(path, index);
                    walk(below, item, path, found);
                    path.truncate(length);
                }
            }
        }
        _ => {}
    }
}

fn look<'s>(schema: &'s Schema, value: &Json, path: &mut String, found: &mut Vec<Undeclared<'s>>) {
    match value {
        Json::Object(object) if !schema.is_scalar() && schema.kind != Type::Array && !is_deferred(value) => {
            for (key, child) in object {
                let length = enter(path, key);
                match known(schema, key) {
                    Known::Declared(below) => look(below, child, path, found),
                    Known::Kept => {}
                    Known::Unknown => {
                        found.push(Undeclared { path: path.clone(), name: key.clone(), holder: schema });
                    }
                }
                path.truncate(length);
            }
        }
        Json::Array(items) => {
            if let Some(below) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    let length = enter_item(path, index);
                    look(below, item, path, found);
                    path.truncate(length);
                }
            }
        }
        _ => {}
    }
}
