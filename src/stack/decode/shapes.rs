//! How places, keys, arrays, maps and free values are read, whatever stands in them.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::diag::Diagnostic;
use crate::stack::decode::{Decoder, Spanned, Words, quoted};
use crate::stack::model::InputType;
use crate::stack::tree::{Node, Tree};
use crate::value::Value;

/// A type that stands in a stack file.
pub(crate) trait Decode: Sized {
    /// Reads it; `None` after reporting why not.
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self>;
    /// Its JSON Schema.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
    /// Whether a `${…}` may stand in its place although it is no text.
    const REFERABLE: bool = true;
    /// Whether it is a table, whose mistakes spoil nothing around it.
    const TABLE: bool = false;
}

impl<T: Decode> Decode for Spanned<T> {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        let before = std::mem::take(&mut decoder.pending);
        let value = T::decode(tree, decoder);
        let pending = std::mem::replace(&mut decoder.pending, before);
        Some(Spanned { value: value?, span: tree.span.clone(), pending })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let schema = T::schema(generator);
        let text = schema.get("type").is_some_and(|kind| kind == "string") || schema.get("type").is_none();
        if text || !T::REFERABLE {
            return schema;
        }
        json_schema!({ "anyOf": [schema, { "type": "string", "pattern": r"\$\{.+\}" }] })
    }
}

/// A key of a table: required, optional, or a collection that may be left out.
pub(crate) trait Field: Sized {
    /// Whether the key must be there.
    const REQUIRED: bool;
    /// Reads the key's value.
    fn field(table: &Tree, key: &str, what: &str, decoder: &mut Decoder<'_>) -> Option<Self>;
    /// The JSON Schema of the key's value.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

impl<T: Decode> Field for Spanned<T> {
    const REQUIRED: bool = true;

    fn field(table: &Tree, key: &str, what: &str, decoder: &mut Decoder<'_>) -> Option<Self> {
        match table.get(key) {
            Some(tree) => Decode::decode(tree, decoder),
            None => {
                decoder.missing(table, key, what);
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        <Self as Decode>::schema(generator)
    }
}

impl<T: Decode> Field for Option<T> {
    const REQUIRED: bool = false;

    fn field(table: &Tree, key: &str, _: &str, decoder: &mut Decoder<'_>) -> Option<Self> {
        match table.get(key) {
            // What is wrong has been said; the table's other keys are looked at as if this one were absent.
            Some(tree) => Some(T::decode(tree, decoder)),
            None => Some(None),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

impl<T: Decode> Field for Vec<T> {
    const REQUIRED: bool = false;

    fn field(table: &Tree, key: &str, _: &str, decoder: &mut Decoder<'_>) -> Option<Self> {
        Some(table.get(key).and_then(|tree| Decode::decode(tree, decoder)).unwrap_or_default())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        <Self as Decode>::schema(generator)
    }
}

impl<T: Decode> Decode for Vec<T> {
    const REFERABLE: bool = false;

    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        match &tree.node {
            Node::List(items) => {
                let decoded = items.iter().map(|item| T::decode(item, decoder)).collect::<Vec<_>>();
                if T::TABLE { Some(decoded.into_iter().flatten().collect()) } else { decoded.into_iter().collect() }
            }
            _ => {
                decoder.pending(tree, &[InputType::List], "an array")?;
                Some(Vec::new())
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let items = T::schema(generator);
        json_schema!({ "type": "array", "items": items })
    }
}

/// A value under a name of the user's choice.
pub(crate) trait Entry: Decode {
    /// The section whose entries are components, `node_pools`.
    const SECTION: Option<&'static str> = None;
    /// Why nothing may be referred to in it, if so.
    const LITERAL: Option<&'static str> = None;
    /// What a name must be.
    const KEY: &'static str = "a valid name";
    /// What is wrong with a name, if anything.
    fn check_key(key: &str) -> Result<(), String>;
}

impl<T: Entry> Field for BTreeMap<String, T> {
    const REQUIRED: bool = false;

    fn field(table: &Tree, key: &str, _: &str, decoder: &mut Decoder<'_>) -> Option<Self> {
        Some(table.get(key).and_then(|tree| Decode::decode(tree, decoder)).unwrap_or_default())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        <Self as Decode>::schema(generator)
    }
}

impl<T: Entry> Decode for BTreeMap<String, T> {
    const REFERABLE: bool = false;

    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Some(table) = tree.table() else {
            match T::SECTION {
                Some(_) => decoder.wrong_type(tree, "a table"),
                None => {
                    decoder.pending(tree, &[InputType::Map], "a table")?;
                    return Some(BTreeMap::new());
                }
            }
            return None;
        };
        let mut decoded = BTreeMap::new();
        for (key, entry) in table {
            if let Err(why) = T::check_key(key) {
                let summary = format!("{} is not {}", quoted(key), T::KEY);
                decoder.mistake(Diagnostic::error(summary).at(entry.key.clone(), why));
            }
            let read = |decoder: &mut Decoder<'_>| T::decode(&entry.value, decoder);
            let value = match (T::SECTION, T::LITERAL) {
                (Some(section), _) => decoder.within(format!("{section}.{key}"), read),
                (None, Some(why)) => decoder.literally(why, read),
                (None, None) => read(decoder),
            };
            // An entry with a mistake is reported and left out, so that the others are looked at further.
            if let Some(value) = value {
                decoded.insert(key.clone(), value);
            }
        }
        Some(decoded)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let entries = T::schema(generator);
        json_schema!({ "type": "object", "additionalProperties": entries })
    }
}

impl Decode for Value {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        Some(match &tree.node {
            Node::String(_) | Node::Pieces(_) => match decoder.text(tree)? {
                Words::Known(text) => Value::String(text),
                Words::Pending(_) => {
                    decoder.pending = true;
                    Value::Null
                }
                Words::Deferred(template) => template.into(),
            },
            Node::Int(number) => Value::Int(*number),
            Node::Float(number) => Value::Float(*number),
            Node::Bool(truth) => Value::Bool(*truth),
            Node::Datetime(text) => Value::String(text.clone()),
            Node::List(items) => {
                let decoded = items.iter().map(|item| Value::decode(item, decoder)).collect::<Vec<_>>();
                Value::List(decoded.into_iter().collect::<Option<_>>()?)
            }
            Node::Table(table) => {
                let decoded = table.iter().map(|(key, entry)| (key, Value::decode(&entry.value, decoder)));
                let decoded = decoded.collect::<Vec<_>>();
                Value::Map(decoded.into_iter().map(|(key, value)| Some((key.clone(), value?))).collect::<Option<_>>()?)
            }
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}
