//! Laying an applied configuration over a live object, and taking fields out of one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value as Json};

use super::shape::{self, Shape, View};
use crate::openapi::fields::{Element, FieldSet};
use crate::openapi::schema::{ListType, Schema};

/// The live object with the configuration laid over it.
pub fn merge(schema: &Schema, live: &Json, config: &Json) -> Json {
    value(Some(schema), Some(live), Some(config)).unwrap_or_else(|| Json::Object(Map::new()))
}

fn value(view: View<'_>, live: Option<&Json>, config: Option<&Json>) -> Option<Json> {
    let form = shape::shape(view, config.or(live));
    let whole = || config.or(live).cloned();
    match form {
        Shape::Map { atomic: false } => {
            let (ours, theirs) = (live.and_then(Json::as_object), config.and_then(Json::as_object));
            if ours.is_none_or(Map::is_empty) && theirs.is_none_or(Map::is_empty) {
                return whole();
            }
            let mut out = Map::new();
            for (key, live) in ours.into_iter().flatten() {
                let merged = value(shape::child(view, key).0, Some(live), theirs.and_then(|map| map.get(key)));
                out.extend(merged.map(|merged| (key.clone(), merged)));
            }
            for (key, config) in theirs.into_iter().flatten() {
                if ours.is_none_or(|map| !map.contains_key(key)) {
                    let merged = value(shape::child(view, key).0, None, Some(config));
                    out.extend(merged.map(|merged| (key.clone(), merged)));
                }
            }
            (!out.is_empty()).then_some(Json::Object(out))
        }
        Shape::List(list) if *list != ListType::Atomic => {
            let (ours, theirs) = (live.and_then(Json::as_array), config.and_then(Json::as_array));
            if ours.is_none_or(Vec::is_empty) && theirs.is_none_or(Vec::is_empty) {
                return whole();
            }
            let out = items(view, list, ours.map_or(&[], Vec::as_slice), theirs.map_or(&[], Vec::as_slice));
            (!out.is_empty()).then_some(Json::Array(out))
        }
        _ => whole(),
    }
}

/// Items of both lists: those of the configuration in its order, and each live-only item where it stood
/// between the ones that both share.
fn items(view: View<'_>, list: &ListType, live: &[Json], config: &[Json]) -> Vec<Json> {
    let identify = |items: &[Json]| -> Vec<Element> {
        items.iter().map(|item| shape::identity(view, list, item).unwrap_or(Element::Index(usize::MAX))).collect()
    };
    let (ours, theirs) = (identify(live), identify(config));
    let mut by_ours: BTreeMap<&Element, Option<&Json>> = BTreeMap::new();
    for (element, item) in ours.iter().zip(live) {
        // Live duplicates are not merged with, only replaced.
        by_ours.entry(element).and_modify(|single| *single = None).or_insert(Some(item));
    }
    let by_theirs: BTreeMap<&Element, &Json> = theirs.iter().zip(config).collect();
    let mut shared: VecDeque<&Element> = theirs.iter().filter(|element| by_ours.contains_key(element)).collect();
    let below = shape::item(view);
    let both =
        |element: &Element| value(below, by_ours.get(element).copied().flatten(), by_theirs.get(element).copied());
    let mut merged: BTreeSet<&Element> = BTreeSet::new();
    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let (mut at, mut to) = (0, 0);
    while at < ours.len() || to < theirs.len() {
        if at < ours.len() && to < theirs.len() {
            if ours[at] == theirs[to] {
                merged.insert(&theirs[to]);
                out.extend(both(&theirs[to]));
                shared.pop_front();
                at += 1;
                to += 1;
                continue;
            }
            // Shared, but not the one whose turn it is.
            if by_theirs.contains_key(&ours[at]) && shared.front().is_some_and(|next| **next != ours[at]) {
                at += 1;
                continue;
            }
        }
        if at < ours.len() {
            if !by_theirs.contains_key(&ours[at]) {
                out.extend(value(below, Some(&live[at]), None));
                at += 1;
                continue;
            }
            if merged.contains(&ours[at]) {
                at += 1;
            }
        }
        if to < theirs.len() {
            let element = &theirs[to];
            merged.insert(element);
            out.extend(both(element));
            to += 1;
            if shared.front() == Some(&element) {
                shared.pop_front();
            }
        }
    }
    out
}

/// `object` without the fields of `gone`. A map or list that loses its last entry stays, empty, unless it is
/// named itself.
pub fn remove(schema: &Schema, object: &Json, gone: &FieldSet) -> Json {
    take(Some(schema), object, gone)
}

fn take(view: View<'_>, value: &Json, gone: &FieldSet) -> Json {
    match (shape::shape(view, Some(value)), value) {
        (Shape::List(list), Json::Array(items)) => {
            let mut out = Vec::new();
            if *list == ListType::Atomic {
                return Json::Array(out);
            }
            for item in items {
                let Ok(element) = shape::identity(view, list, item) else { continue };
                if gone.has(&element) {
                    continue;
                }
                match gone.below(&element) {
                    Some(below) => out.push(take(shape::item(view), item, below)),
                    None => out.push(item.clone()),
                }
            }
            Json::Array(out)
        }
        (Shape::Map { atomic }, Json::Object(object)) => {
            let mut out = Map::new();
            if atomic {
                return Json::Object(out);
            }
            for (key, value) in object {
                let element = Element::field(key);
                if gone.has(&element) {
                    continue;
                }
                let rest = match gone.below(&element) {
                    Some(below) => take(shape::child(view, key).0, value, below),
                    None => value.clone(),
                };
                out.insert(key.clone(), rest);
            }
            Json::Object(out)
        }
        _ => value.clone(),
    }
}

/// The set with every declared field that leads to a member made a member itself: what "owning everything
/// in it" means for a struct, but not for a map.
pub fn with_named_parents(schema: &Schema, set: &FieldSet) -> FieldSet {
    let mut out = set.clone();
    parents(Some(schema), set, &mut Vec::new(), &mut out);
    out
}

fn parents(view: View<'_>, set: &FieldSet, path: &mut Vec<Element>, out: &mut FieldSet) {
    for element in set.elements() {
        let Some(below) = set.below(element) else { continue };
        let (next, declared) = match element {
            Element::Field(name) => shape::child(view, name),
            _ => (shape::item(view), false),
        };
        path.push(element.clone());
        if declared {
            out.insert(path);
        }
        parents(next, below, path, out);
        path.pop();
    }
}

/// The set as the schema cuts fields today: what became one value is owned as one.
pub fn reconcile(schema: &Schema, set: &FieldSet) -> FieldSet {
    let mut whole = FieldSet::new();
    atomics(Some(schema), set, &mut Vec::new(), &mut whole);
    if whole.is_empty() { set.clone() } else { set.without(&whole).union(&whole) }
}

fn atomics(view: View<'_>, set: &FieldSet, path: &mut Vec<Element>, whole: &mut FieldSet) {
    let Some(schema) = view else { return };
    for element in set.elements() {
        let Some(below) = set.below(element) else { continue };
        let next = match element {
            Element::Field(name) => shape::child(view, name).0,
            _ => shape::item(Some(schema)),
        };
        path.push(element.clone());
        let one = match shape::shape(next, None) {
            Shape::Map { atomic } => atomic && next.is_some(),
            Shape::List(list) => *list == ListType::Atomic,
            Shape::Scalar => false,
        };
        if one {
            whole.insert(path);
        } else {
            atomics(next, below, path, whole);
        }
        path.pop();
    }
}
