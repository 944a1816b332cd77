//! Strategic merge patches: merging lists by the keys that the schema of a built-in type names.
//!
//! Custom kinds have no strategies and do not accept these patches. Plain merge patches and JSON patches are
//! in `jsonpatch`.

use serde_json::{Map, Value as Json};

use super::jsonpatch::PatchError;
use super::schema::{Additional, Patch, Schema};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

type Object = Map<String, Json>;

/// `live` with `patch` laid over it.
///
/// # Errors
/// [`PatchError`], in the API server's words.
pub fn merge(schema: &Schema, live: &Json, patch: &Json) -> Result<Json, PatchError> {
    let Json::Object(patch) = patch else {
        let kind = match patch {
            Json::Array(_) => "array",
            Json::String(_) => "string",
            Json::Number(_) => "number",
            Json::Bool(_) => "bool",
            Json::Null | Json::Object(_) => return Ok(live.clone()),
        };
        return Err(PatchError::Malformed(format!(
            "error decoding patch: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )));
    };
    let mut object = live.as_object().cloned().unwrap_or_default();
    map(Some(schema), &mut object, patch)?;
    Ok(Json::Object(object))
}

fn malformed(message: &str) -> PatchError {
    PatchError::Malformed(message.to_owned())
}

fn unknown_directive(directive: &Json, object: &Object) -> PatchError {
    let directive = directive.as_str().map_or_else(|| directive.to_string(), str::to_owned);
    PatchError::Failed(format!("unknown patch type: {directive} in map: {}", Json::Object(object.clone())))
}

/// The type and the strategy of a field.
fn field<'a>(schema: Option<&'a Schema>, key: &str) -> (Option<&'a Schema>, Patch) {
    let Some(schema) = schema else { return (None, Patch::default()) };
    match (schema.property(key), &schema.additional) {
        (Some(property), _) => (Some(&property.schema), property.patch.as_deref().cloned().unwrap_or_default()),
        (None, Additional::Of(link)) => (Some(link), Patch::default()),
        _ => (None, Patch::default()),
    }
}

fn map(schema: Option<&Schema>, live: &mut Object, patch: &Object) -> Result<(), PatchError> {
    match patch.get(PATCH) {
        None => {}
        Some(Json::String(directive)) if directive == "replace" => {
            *live = patch.clone();
            live.shift_remove(PATCH);
            return Ok(());
        }
        Some(Json::String(directive)) if directive == "delete" => {
            live.clear();
            return Ok(());
        }
        Some(directive) => return Err(unknown_directive(directive, patch)),
    }
    if let Some(keys) = patch.get(RETAIN_KEYS) {
        retain(live, patch, keys)?;
    }
    let mut done = Vec::new();
    for (key, order) in patch {
        if let Some(name) = key.strip_prefix(ORDER) {
            ordered(schema, live, patch, name, order)?;
            done.push(name);
        }
    }
    for (key, value) in patch {
        if key == RETAIN_KEYS || key.starts_with(ORDER) || done.contains(&key.as_str()) {
            continue;
        }
        if let Some(name) = key.strip_prefix(DELETE) {
            let values = value.as_array().ok_or_else(|| malformed("invalid patch format of primitive list"))?;
            if let Some(Json::Array(items)) = live.get_mut(name) {
                items.retain(|item| !values.contains(item));
            }
            continue;
        }
        if value.is_null() {
            live.shift_remove(key);
            continue;
        }
        let (below, strategy) = field(schema, key);
        match (live.get_mut(key), value) {
            (Some(Json::Object(live)), Json::Object(patch)) => map(below, live, patch)?,
            (Some(Json::Array(live)), Json::Array(patch)) if strategy.merge => list(below, &strategy, live, patch)?,
            (Some(Json::Array(live)), Json::Array(patch)) => *live = patch.clone(),
            _ => match plain(value) {
                Some(value) => {
                    live.insert(key.clone(), value);
                }
                None => {
                    live.shift_remove(key);
                }
            },
        }
    }
    Ok(())
}

/// `$retainKeys`: the keys that stay, whether patched or not.
fn retain(live: &mut Object, patch: &Object, keys: &Json) -> Result<(), PatchError> {
    let wrong = || malformed("invalid patch format of retainKeys");
    let keys: Vec<&str> = keys.as_array().ok_or_else(wrong)?.iter().filter_map(Json::as_str).collect();
    let stray =
        |(key, value): (&String, &Json)| !value.is_null() && !key.starts_with('$') && !keys.contains(&key.as_str());
    if patch.iter().any(stray) {
        return Err(wrong());
    }
    live.retain(|key, _| keys.contains(&key.as_str()));
    Ok(())
}

/// A list whose order the patch states, merged when the patch also holds its items.
fn ordered(
    schema: Option<&Schema>,
    live: &mut Object,
    patch: &Object,
    name: &str,
    order: &Json,
) -> Result<(), PatchError> {
    let wrong = || malformed("invalid patch format of setElementOrder list");
    let order = order.as_array().ok_or_else(wrong)?;
    let (below, strategy) = field(schema, name);
    let before = live.get(name).and_then(Json::as_array).cloned();
    let changes = patch.get(name).map(|items| items.as_array().ok_or_else(wrong)).transpose()?;
    let key = strategy.key.as_deref();
    if let Some(changes) = changes {
        let mut places = order.iter();
        let kept = changes.iter().filter(|item| item.get(PATCH).is_none());
        for item in kept {
            if !order.is_empty() && !places.any(|place| identity(place, key) == identity(item, key)) {
                return Err(PatchError::Failed(format!(
                    "The order in patch list:\n{}\n doesn't match {} list:\n{}\n",
                    Json::Array(changes.clone()),
                    ORDER.trim_end_matches('/'),
                    Json::Array(order.clone())
                )));
            }
        }
    }
    let merged = match (before.clone(), changes) {
        (None, None) => return Ok(()),
        (Some(items), None) => items,
        (None, Some(changes)) => changes.iter().filter_map(plain).collect(),
        (Some(mut items), Some(changes)) => {
            if strategy.merge {
                list(below, &strategy, &mut items, changes)?;
            } else {
                items.clone_from(changes);
            }
            items
        }
    };
    live.insert(name.to_owned(), Json::Array(arrange(merged, order, &before.unwrap_or_default(), key)));
    Ok(())
}

/// What tells an item from the others: its merge key, or itself.
fn identity<'a>(item: &'a Json, key: Option<&str>) -> Option<&'a Json> {
    match key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

fn list(schema: Option<&Schema>, strategy: &Patch, live: &mut Vec<Json>, patch: &[Json]) -> Result<(), PatchError> {
    if live.iter().chain(patch).any(Json::is_array) {
        return Err(PatchError::Failed("lists of lists are not supported".to_owned()));
    }
    let scalars = live.iter().chain(patch).all(|item| !item.is_object());
    let before = live.clone();
    let Some(key) = strategy.key.as_deref().filter(|_| !scalars) else {
        for item in patch {
            if !live.contains(item) {
                live.push(item.clone());
            }
        }
        *live = arrange(std::mem::take(live), patch, &before, None);
        return Ok(());
    };
    let no_key = |item: &Json| PatchError::Failed(format!("map: {item} does not contain declared merge key: {key}"));
    let mut before = before;
    let mut changes: Vec<&Json> = Vec::new();
    let mut replaces = false;
    for item in patch {
        match item.get(PATCH) {
            None => changes.push(item),
            Some(Json::String(directive)) if directive == "delete" => {
                let value = item.get(key).ok_or_else(|| no_key(item))?;
                live.retain(|item| item.get(key) != Some(value));
            }
            Some(Json::String(directive)) if directive == "replace" => replaces = true,
            Some(directive) => return Err(unknown_directive(directive, item.as_object().unwrap_or(&Map::new()))),
        }
    }
    if replaces {
        *live = changes.into_iter().filter_map(plain).collect();
        return Ok(());
    }
    before.clone_from(live);
    let items = schema.and_then(|schema| schema.items.as_ref()).map(|link| &**link);
    for change in &changes {
        let value = change.get(key).ok_or_else(|| no_key(change))?;
        match (live.iter_mut().find(|item| item.get(key) == Some(value)), change) {
            (Some(Json::Object(item)), Json::Object(change)) => map(items, item, change)?,
            (Some(item), change) => *item = (*change).clone(),
            (None, change) => live.extend(plain(change)),
        }
    }
    let order: Vec<Json> = changes.into_iter().cloned().collect();
    *live = arrange(std::mem::take(live), &order, &before, Some(key));
    Ok(())
}

/// Puts items that `order` names into its order; the others keep theirs and stand before the first named
/// item that followed them in the live list.
fn arrange(items: Vec<Json>, order: &[Json], live: &[Json], key: Option<&str>) -> Vec<Json> {
    let place = |list: &[Json], item: &Json| {
        let id = identity(item, key);
        list.iter().position(|other| identity(other, key) == id && id.is_some())
    };
    let (mut named, mut others): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    others.sort_by_key(|item| place(live, item).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let Some(next) = named.peek() {
        let earlier = others.peek().is_some_and(|other| match (place(live, other), place(live, next)) {
            (Some(other), Some(next)) => other < next,
            _ => false,
        });
        out.extend(if earlier { others.next() } else { named.next() });
    }
    out.extend(others);
    out
}

/// A new value without directives and nulls; `None` when it is nothing but a directive.
fn plain(value: &Json) -> Option<Json> {
    match value {
        Json::Object(object) => {
            if object.contains_key(PATCH) {
                return None;
            }
            let kept = object.iter().filter(|(key, value)| {
                !value.is_null() && *key != RETAIN_KEYS && !key.starts_with(ORDER) && !key.starts_with(DELETE)
            });
            Some(Json::Object(kept.filter_map(|(key, value)| Some((key.clone(), plain(value)?))).collect()))
        }
        Json::Array(items) => Some(Json::Array(items.iter().filter_map(plain).collect())),
        scalar => Some(scalar.clone()),
    }
}

#[cfg(test)]
mod tests;
