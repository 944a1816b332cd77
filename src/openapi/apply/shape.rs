//! How server-side apply sees a value through its schema: as a scalar, a list or a map, whole or in parts.
//!
//! What the schema does not describe is deduced from the value: maps are taken apart, lists are one value.

use serde_json::Value as Json;

use crate::openapi::builtin;
use crate::openapi::fields::{Element, Scalar};
use crate::openapi::schema::{Additional, Link, ListType, Schema, Type};

/// A schema, or nothing where the value alone decides.
pub type View<'a> = Option<&'a Schema>;

/// The form of one value.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape<'a> {
    /// One value.
    Scalar,
    /// Items that are owned apart, or one value.
    List(&'a ListType),
    /// Fields that are owned apart, or one value.
    Map {
        /// One value.
        atomic: bool,
    },
}

/// The form of `value`; absent and null values take the form that the schema prefers.
pub fn shape<'a>(view: View<'a>, value: Option<&Json>) -> Shape<'a> {
    let deduced = |atomic_map: bool| match value {
        Some(Json::Object(_)) => Some(Shape::Map { atomic: atomic_map }),
        Some(Json::Array(_)) => Some(Shape::List(view.map_or(&ListType::Atomic, |schema| &schema.list))),
        Some(Json::Null) | None => None,
        Some(_) => Some(Shape::Scalar),
    };
    let Some(schema) = view else { return deduced(false).unwrap_or(Shape::Map { atomic: false }) };
    if schema.is_scalar() {
        return Shape::Scalar;
    }
    match schema.kind {
        Type::Array => Shape::List(&schema.list),
        Type::Object => Shape::Map { atomic: schema.atomic },
        _ => deduced(schema.atomic).unwrap_or(Shape::Map { atomic: schema.atomic }),
    }
}

/// The schema of the value under `key`, and whether the field is declared by name.
pub fn child<'a>(view: View<'a>, key: &str) -> (View<'a>, bool) {
    let Some(schema) = view else { return (None, false) };
    if let Some(property) = schema.property(key) {
        return (Some(&property.schema), true);
    }
    if schema.embedded && key == "metadata" {
        return (builtin::named("meta.v1.ObjectMeta").map(|entry| &**entry.schema()), true);
    }
    match &schema.additional {
        Additional::Of(link) => (Some(link), false),
        _ => (None, false),
    }
}

/// The schema of a list's items.
pub fn item(view: View<'_>) -> View<'_> {
    view.and_then(|schema| schema.items.as_ref()).map(|link: &Link| &**link)
}

/// How an item of a set or keyed list is told from the others.
///
/// # Errors
/// What the API server says about an item that has no identity.
pub fn identity(view: View<'_>, list: &ListType, value: &Json) -> Result<Element, String> {
    match list {
        ListType::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        ListType::Set => match value {
            Json::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Json::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Json::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            scalar => Ok(Element::Value(Scalar(scalar.clone()))),
        },
        ListType::Map(keys) => {
            let object = match value {
                Json::Object(object) => object,
                Json::Null => return Err("associative list with keys may not have a null element".to_owned()),
                _ => return Err("associative list with keys may not have non-map elements".to_owned()),
            };
            let items = item(view);
            let mut pairs: Vec<(String, Scalar)> = keys
                .iter()
                .filter_map(|key| {
                    let value = object.get(&**key).cloned().or_else(|| key_default(items, key))?;
                    Some((key.to_string(), Scalar(value)))
                })
                .collect();
            if pairs.is_empty() && !keys.is_empty() {
                let names: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
                     values for any key fields)",
                    names.join(" ")
                ));
            }
            pairs.sort();
            Ok(Element::Key(pairs))
        }
    }
}

/// The value of a key field that an item leaves out. Scalars of built-in types that are always written
/// have their zero.
fn key_default(items: View<'_>, key: &str) -> Option<Json> {
    let schema = items?;
    let property = schema.property(key)?;
    if let Some(default) = &property.default {
        return Some((**default).clone());
    }
    property.always.then(|| builtin::zero(&property.schema))?
}
