//! Filling in defaults, as the API server does when it decodes an object.
//!
//! Custom kinds get the `default`s of their schema, built-in kinds the constants and computed values of
//! `builtin`. Idempotent.

use serde_json::{Map, Value as Json};

use super::builtin;
use super::quantity::Quantity;
use super::schema::{Additional, Schema};
use super::validate::is_deferred;

/// Fills in every default of `schema` that `value` leaves out. What a plan knows only at apply stays as it is.
pub fn apply(schema: &Schema, value: &mut Json) {
    // First everywhere, because computed defaults look at what is below them.
    tidy(schema, value);
    fill(schema, value);
}

fn fill(schema: &Schema, value: &mut Json) {
    if !schema.defaults_below {
        return;
    }
    match value {
        deferred if is_deferred(deferred) => {}
        Json::Object(object) => {
            let built_in = !schema.name.is_empty();
            for property in &schema.properties {
                let Some(default) = &property.default else { continue };
                let unset = match object.get(&*property.name) {
                    None => true,
                    Some(Json::Null) => built_in && !default.is_null() || !built_in && !property.schema.nullable,
                    Some(Json::String(text)) => built_in && text.is_empty(),
                    Some(_) => false,
                };
                if unset {
                    object.insert(property.name.to_string(), (**default).clone());
                }
            }
            if let Some(computed) = schema.defaulter {
                computed(object);
            }
            for (key, child) in object.iter_mut() {
                if let Some(below) = schema.child(key) {
                    fill(below, child);
                }
            }
        }
        Json::Array(items) => {
            if let Some(below) = &schema.items {
                items.iter_mut().for_each(|item| fill(below, item));
            }
        }
        _ => {}
    }
}

/// What decoding into a typed object and writing it out again makes of a value.
fn tidy(schema: &Schema, value: &mut Json) {
    match value {
        Json::Object(object) => {
            if schema.name.is_empty() {
                drop_plain_nulls(schema, object);
            } else {
                drop_unset(schema, object);
            }
            for (key, child) in object.iter_mut() {
                if let Some(below) = schema.child(key) {
                    tidy(below, child);
                }
            }
        }
        Json::Array(items) => {
            if let Some(below) = &schema.items {
                items.iter_mut().for_each(|item| tidy(below, item));
            }
        }
        // Quantities are stored in their canonical form: `0.5` and `1024Mi` come back as `500m` and `1Gi`.
        scalar if schema.format.as_deref() == Some("quantity") => {
            if let Some(quantity) = Quantity::of(scalar) {
                *scalar = Json::String(quantity.to_string());
            }
        }
        _ => {}
    }
}

/// In custom objects a null that is neither allowed nor replaced by a default counts as absent.
fn drop_plain_nulls(schema: &Schema, object: &mut Map<String, Json>) {
    object.retain(|key, value| {
        if !value.is_null() {
            return true;
        }
        match (schema.property(key), schema.child(key)) {
            (Some(property), _) => property.schema.nullable || property.default.is_some(),
            (None, Some(below)) => below.nullable || schema.defaulter.is_some(),
            (None, None) => true,
        }
    });
}

/// The typed objects of built-in kinds have no nulls (but for what is always written) and no empty
/// lists and maps where they may be left out.
fn drop_unset(schema: &Schema, object: &mut Map<String, Json>) {
    object.retain(|key, value| {
        let empty = match value {
            Json::Null => true,
            Json::Array(items) => items.is_empty(),
            Json::Object(map) => map.is_empty(),
            _ => return true,
        };
        let Some(property) = schema.property(key).filter(|_| empty) else { return true };
        match value {
            Json::Null => property.always || property.default.as_deref() == Some(&Json::Null),
            Json::Array(_) => property.always,
            // Empty structs mean something (`emptyDir: {}`), empty maps do not.
            _ => !matches!(property.schema.additional, Additional::Of(_)),
        }
    });
}

/// What the API server's typed object looks like before anything is decoded into it: the structs and
/// fields of built-in types that are always written, nothing for custom ones. Field ownership starts from here.
pub fn zero(schema: &Schema) -> Json {
    let mut object = Map::new();
    if !schema.name.is_empty() {
        for property in &schema.properties {
            let value = if property.inline {
                zero(&property.schema)
            } else if property.always {
                builtin::zero(&property.schema).unwrap_or_default()
            } else if property.default.as_deref() == Some(&Json::Null) {
                Json::Null
            } else {
                continue;
            };
            object.insert(property.name.to_string(), value);
        }
    }
    Json::Object(object)
}

/// Whether the tree holds defaults; built-in types are taken to.
pub(super) fn holds(schema: &Schema) -> bool {
    let below = |link: &super::schema::Link| match link {
        super::schema::Link::Builtin(entry) => builtin::has_defaults(entry.name()),
        super::schema::Link::Shared(schema) => schema.defaults_below,
    };
    schema.properties.iter().any(|p| p.default.is_some() || below(&p.schema))
        || schema.items.as_ref().is_some_and(below)
        || matches!(&schema.additional, Additional::Of(link) if below(link))
}
