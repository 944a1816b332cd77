//! The fields of a value, and which of them differ between two values.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::shape::{self, Shape, View};
use crate::openapi::fields::{Element, FieldSet};
use crate::openapi::schema::{ListType, Schema};

/// The fields that `value` sets, as an applied configuration owns them.
pub fn field_set(schema: &Schema, value: &Json) -> FieldSet {
    let mut set = FieldSet::new();
    collect(Some(schema), value, &mut Vec::new(), &mut set);
    set
}

fn collect(view: View<'_>, value: &Json, path: &mut Vec<Element>, set: &mut FieldSet) {
    match (shape::shape(view, Some(value)), value) {
        (Shape::Scalar | Shape::Map { atomic: true } | Shape::List(ListType::Atomic), _) => set.insert(path),
        (Shape::List(list), Json::Array(items)) => {
            let mut counts: BTreeMap<Element, usize> = BTreeMap::new();
            let elements: Vec<Option<Element>> =
                items.iter().map(|item| shape::identity(view, list, item).ok()).collect();
            for element in elements.iter().flatten() {
                *counts.entry(element.clone()).or_default() += 1;
            }
            for (item, element) in items.iter().zip(elements) {
                let Some(element) = element else { continue };
                // Items that share an identity are owned together, without their fields.
                let single = counts.get(&element) == Some(&1);
                path.push(element);
                set.insert(path);
                if single {
                    collect(shape::item(view), item, path, set);
                }
                path.pop();
            }
        }
        (Shape::Map { .. }, Json::Object(object)) => {
            for (key, value) in object {
                let (below, declared) = shape::child(view, key);
                path.push(Element::field(key));
                collect(below, value, path, set);
                if !declared || value.is_null() || value.as_object().is_some_and(Map::is_empty) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        _ => {}
    }
}

/// What changed between two values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Only in the new one.
    pub added: FieldSet,
    /// Only in the old one.
    pub removed: FieldSet,
    /// In both with different values.
    pub modified: FieldSet,
}

/// Compares two values of one schema.
pub fn compare(schema: &Schema, old: &Json, new: &Json) -> Comparison {
    let mut walk = Walk { path: Vec::new(), out: Comparison::default() };
    walk.value(Some(schema), Some(old), Some(new));
    walk.out
}

struct Walk {
    path: Vec<Element>,
    out: Comparison,
}

impl Walk {
    fn value(&mut self, view: View<'_>, old: Option<&Json>, new: Option<&Json>) {
        let (before, after) = (shape::shape(view, old), shape::shape(view, new));
        let leaf = match (old, new) {
            (None, None) => return,
            (_, None) => self.visit(before, view, old, new),
            (None, _) => self.visit(after, view, old, new),
            _ => {
                // Values of different forms are walked as both.
                if before != after {
                    self.visit(before, view, old, new);
                }
                self.visit(after, view, old, new)
            }
        };
        if !leaf {
            if old.is_none() {
                self.out.added.insert(&self.path);
            } else if new.is_none() {
                self.out.removed.insert(&self.path);
            }
        }
    }

    /// Whether the value was taken as one.
    fn visit(&mut self, form: Shape<'_>, view: View<'_>, old: Option<&Json>, new: Option<&Json>) -> bool {
        match form {
            Shape::Map { atomic: false } => {
                let (before, after) = (old.and_then(Json::as_object), new.and_then(Json::as_object));
                if before.is_none_or(Map::is_empty) && after.is_none_or(Map::is_empty) {
                    return self.leaf(old, new);
                }
                for (key, value) in before.into_iter().flatten() {
                    self.enter(view, key, Some(value), after.and_then(|map| map.get(key)));
                }
                for (key, value) in after.into_iter().flatten() {
                    if before.is_none_or(|map| !map.contains_key(key)) {
                        self.enter(view, key, None, Some(value));
                    }
                }
                false
            }
            Shape::List(list) if *list != ListType::Atomic => {
                let (before, after) = (old.and_then(Json::as_array), new.and_then(Json::as_array));
                if before.is_none_or(Vec::is_empty) && after.is_none_or(Vec::is_empty) {
                    return self.leaf(old, new);
                }
                self.items(view, list, before, after);
                false
            }
            _ => self.leaf(old, new),
        }
    }

    fn leaf(&mut self, old: Option<&Json>, new: Option<&Json>) -> bool {
        match (old, new) {
            (None, _) => self.out.added.insert(&self.path),
            (_, None) => self.out.removed.insert(&self.path),
            (Some(old), Some(new)) if !same(old, new) => self.out.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    fn enter(&mut self, view: View<'_>, key: &str, old: Option<&Json>, new: Option<&Json>) {
        self.path.push(Element::field(key));
        self.value(shape::child(view, key).0, old, new);
        self.path.pop();
    }

    fn items(&mut self, view: View<'_>, list: &ListType, old: Option<&Vec<Json>>, new: Option<&Vec<Json>>) {
        let mut both: BTreeMap<Element, (Vec<&Json>, Vec<&Json>)> = BTreeMap::new();
        for item in old.into_iter().flatten() {
            if let Ok(element) = shape::identity(view, list, item) {
                both.entry(element).or_default().0.push(item);
            }
        }
        for item in new.into_iter().flatten() {
            if let Ok(element) = shape::identity(view, list, item) {
                both.entry(element).or_default().1.push(item);
            }
        }
        let below = shape::item(view);
        for (element, (old, new)) in both {
            self.path.push(element);
            match (&old[..], &new[..]) {
                ([_, _, ..], [_, _, ..]) => {
                    if old.len() != new.len() || old.iter().zip(&new).any(|(a, b)| !same(a, b)) {
                        self.out.modified.insert(&self.path);
                    }
                }
                // Duplicates come or go: their shared marker does, and a single item is new or gone.
                ([_, _, ..], rest) => {
                    if let Some(item) = rest.first() {
                        self.value(below, None, Some(item));
                    }
                    self.out.removed.insert(&self.path);
                }
                (rest, [_, _, ..]) => {
                    if let Some(item) = rest.first() {
                        self.value(below, Some(item), None);
                    }
                    self.out.added.insert(&self.path);
                }
                _ => self.value(below, old.first().copied(), new.first().copied()),
            }
            self.path.pop();
        }
    }
}

/// Equality that does not tell `1` from `1.0`.
pub fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(x), Json::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Json::Array(x), Json::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Json::Object(x), Json::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}
