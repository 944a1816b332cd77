//! Values: reading them, and laying them over a chart's defaults by Helm's rules, which are about nulls, globals
//! and maps that charts share. Not for switching dependencies.

use std::collections::BTreeSet;

use super::dependencies::Node;
use super::error::{Cause, ChartError};
use crate::template::{self, Data, Text, Tokens, yaml};
use crate::value::{Map, Value};

/// What a user gives a chart. Whole numbers are Go's int64 here (only `--set` makes those), all others float64.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(pub(super) Map);

impl Values {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// From a value tree as a file holds it: every number is a float64.
    ///
    /// # Errors
    /// Where it is not a map.
    pub fn from_tree(tree: &Value) -> Result<Values, ChartError> {
        match tree {
            Value::Map(map) => Ok(Values(map.iter().map(|(k, v)| (k.clone(), floats(v.clone()))).collect())),
            Value::Null => Ok(Values::new()),
            _ => Err(ChartError::new(Cause::Values, "", "values must be a map")),
        }
    }

    /// Adds a values file over those that are there.
    ///
    /// # Errors
    /// Where the text is not YAML or not a map.
    pub fn add_file(&mut self, text: &str) -> Result<(), ChartError> {
        for document in read_documents(text)? {
            let document = document.into_iter().map(|(k, v)| (k, floats(v))).collect();
            self.add_map(document);
        }
        Ok(())
    }

    pub(super) fn add_map(&mut self, map: Map) {
        self.0 = merge_maps(std::mem::take(&mut self.0), map);
    }
}

/// All numbers as float64.
pub(super) fn floats(value: Value) -> Value {
    match value {
        Value::Int(number) => Value::Float(number as f64),
        Value::List(items) => Value::List(items.into_iter().map(floats).collect()),
        Value::Map(map) => Value::Map(map.into_iter().map(|(k, v)| (k, floats(v))).collect()),
        other => other,
    }
}

/// The documents of a values file, each of which must be a map.
pub(super) fn read_documents(text: &str) -> Result<Vec<Map>, ChartError> {
    let refuse = |message: &str| ChartError::new(Cause::Values, "", message);
    let documents = yaml::documents(text).map_err(|e| refuse(&e.message).line(e.line))?;
    let map = |(line, document)| match document {
        Value::Map(map) => Some(Ok(map)),
        Value::Null => None,
        _ => Some(Err(refuse("values must be a map of names to values").line(line))),
    };
    documents.into_iter().filter_map(map).collect()
}

/// `over` laid over `base`: maps are merged, everything else is replaced.
pub(super) fn merge_maps(mut base: Map, over: Map) -> Map {
    for (key, value) in over {
        match (base.remove(&key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => base.insert(key, Value::Map(merge_maps(old, new))),
            (_, value) => base.insert(key, value),
        };
    }
    base
}

/// As templates see it. `whole`: whole numbers stay int64.
pub(super) fn data(value: &Value, whole: bool, tokens: &mut Tokens) -> Data {
    match value {
        Value::Int(number) if whole => Data::int64(*number),
        Value::List(items) => Data::list(items.iter().map(|item| data(item, whole, tokens)).collect()),
        Value::Map(map) => Data::Map(table(map, whole, tokens)),
        scalar => Data::from_value(scalar, tokens),
    }
}

/// A map as templates see it.
pub(super) fn table(map: &Map, whole: bool, tokens: &mut Tokens) -> template::Map {
    let entries = map.iter().map(|(k, v)| (Text::from(k.as_str()), data(v, whole, tokens)));
    template::Map::new(entries.collect())
}

/// A copy that shares no map with the original.
pub(super) fn copy(value: &Data) -> Data {
    match value {
        Data::Map(map) => Data::Map(copy_table(map)),
        Data::List(list) => Data::list(list.items().iter().map(copy).collect()),
        other => other.clone(),
    }
}

/// A copy that shares no map with the original.
pub(super) fn copy_table(map: &template::Map) -> template::Map {
    template::Map::new(map.entries().iter().map(|(k, v)| (k.clone(), copy(v))).collect())
}

/// The table below `key`.
pub(super) fn child(map: &template::Map, key: &str) -> Option<template::Map> {
    match map.get(key.as_bytes()) {
        Some(Data::Map(child)) => Some(child),
        _ => None,
    }
}

/// The values of the user over those of a chart and of all charts inside. With `merge` nulls are kept, for a
/// later pass to see.
pub(super) fn coalesce(node: &Node, values: &template::Map, merge: bool) -> Result<(), ChartError> {
    coalesce_own(node, values, merge);
    for dependency in &node.dependencies {
        let name = dependency.name.as_str();
        let inner = match values.get(name.as_bytes()) {
            None => {
                let fresh = template::Map::new(Default::default());
                values.set(name.into(), Data::Map(fresh.clone()));
                fresh
            }
            Some(Data::Map(inner)) => inner,
            Some(_) => {
                let message = format!("the value {name} must be a map, because it holds the values of the dependency");
                return Err(ChartError::new(Cause::Values, &node.name, message)
                    .hint("give the dependency's values below its name, or use another name"));
            }
        };
        coalesce_globals(&inner, values);
        coalesce(dependency, &inner, merge)?;
    }
    Ok(())
}

const GLOBAL: &str = "global";

/// Gives a dependency the globals of its parent. Maps below the second level stay shared between both, as they
/// are in Helm: what one adds, the other sees.
fn coalesce_globals(to: &template::Map, from: &template::Map) {
    let own = match to.get(GLOBAL.as_bytes()) {
        None => template::Map::new(Default::default()),
        Some(Data::Map(own)) => own,
        Some(_) => return,
    };
    let given = match from.get(GLOBAL.as_bytes()) {
        None => Vec::new(),
        Some(Data::Map(given)) => given.snapshot(),
        Some(_) => return,
    };
    for (key, value) in given {
        match (value, own.get(key.bytes())) {
            (Data::Map(value), have) => {
                let fresh = template::Map::new(value.snapshot().into_iter().collect());
                match have {
                    None => own.set(key, Data::Map(fresh)),
                    Some(Data::Map(have)) => {
                        coalesce_tables(&fresh, &have, true);
                        own.set(key, Data::Map(fresh));
                    }
                    Some(_) => {}
                }
            }
            (_, Some(Data::Map(_))) => {}
            (value, _) => own.set(key, value),
        }
    }
    to.set(GLOBAL.into(), Data::Map(own));
}

/// Lays the values over the chart's own defaults.
fn coalesce_own(node: &Node, values: &template::Map, merge: bool) {
    let defaults = node.defaults();
    for (key, default) in defaults.snapshot() {
        match (values.get(key.bytes()), default) {
            (Some(Data::Nil), _) if !merge => values.unset(key.bytes()),
            (Some(Data::Map(table)), Data::Map(default)) => {
                let merge = merge || node.dependencies.iter().any(|d| d.name.as_bytes() == key.bytes());
                if !merge {
                    drop_nulls(&default);
                }
                coalesce_tables(&table, &default, merge);
            }
            (Some(_), _) => {}
            (None, Data::Nil) if !merge => {}
            (None, default) => {
                if let (Data::Map(table), false) = (&default, merge) {
                    drop_nulls(table);
                }
                values.set(key, default);
            }
        }
    }
}

/// Adds to `to` what it lacks of `from`. A null in `to` takes away what `from` has, unless nulls are kept.
pub(super) fn coalesce_tables(to: &template::Map, from: &template::Map, merge: bool) {
    let given = from.entries().iter().filter(|(_, v)| !v.is_nothing()).map(|(k, _)| k.clone()).collect::<BTreeSet<_>>();
    for (key, value) in to.snapshot() {
        if value.is_nothing() {
            from.set(key, Data::Nil);
        }
    }
    for (key, value) in from.snapshot() {
        match (to.get(key.bytes()), value) {
            (Some(Data::Nil), _) if !merge && given.contains(&key) => to.unset(key.bytes()),
            (None, value) => to.set(key, value),
            (Some(Data::Map(to)), Data::Map(from)) => coalesce_tables(&to, &from, merge),
            _ => {}
        }
    }
}

fn drop_nulls(map: &template::Map) {
    for (key, value) in map.snapshot() {
        match value {
            Data::Nil => map.unset(key.bytes()),
            Data::Map(inner) => drop_nulls(&inner),
            _ => {}
        }
    }
}
