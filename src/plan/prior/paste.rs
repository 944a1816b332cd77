//! Puts values where the path of a difference says: maps by key, items of lists by position or by what names them.
//!
//! Paths are those of [`Change`]: a list's item is `[name=main]`, `[0]`, or for a set the item itself.

use crate::resource::kind::Change;
use crate::value::{Map, Value};

/// Undoes a difference: what it was stands at its path again, or nothing does.
pub fn undo(value: &mut Value, change: &Change) {
    match &change.before {
        Some(before) => paste(value, &change.path, before.clone()),
        None => take_out(value, &change.path),
    }
}

/// Puts `new` at `path`, and makes what leads there where it is missing.
pub fn paste(value: &mut Value, path: &[String], new: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if *value == Value::Null || matches!(value, Value::Deferred(_)) {
        *value = if first.starts_with('[') { Value::List(Vec::new()) } else { Value::map() };
    }
    match value {
        Value::Map(map) => paste(map.entry(first.clone()).or_default(), rest, new),
        Value::List(items) => {
            let at = find(items, first).unwrap_or_else(|| {
                items.push(named(first));
                items.len() - 1
            });
            if rest.is_empty() && matches!(items[at], Value::String(_)) && !matches!(new, Value::Map(_)) {
                items[at] = new;
            } else {
                paste(&mut items[at], rest, new);
            }
        }
        _ => {}
    }
}

/// Takes away what stands at `path`.
fn take_out(value: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    match value {
        Value::Map(map) if rest.is_empty() => {
            map.remove(first);
        }
        Value::Map(map) => {
            if let Some(below) = map.get_mut(first) {
                take_out(below, rest);
            }
        }
        Value::List(items) => match find(items, first) {
            Some(at) if rest.is_empty() => {
                items.remove(at);
            }
            Some(at) => take_out(&mut items[at], rest),
            None => {}
        },
        _ => {}
    }
}

/// What stands at the path of a difference.
pub(super) fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Map(map) => map.get(step),
        Value::List(items) => items.get(find(items, step)?),
        _ => None,
    })
}

/// Puts what `from` has at `path` into `value`, where both have something there.
pub fn copy(value: &mut Value, from: &Value, path: &[String]) {
    if at(value, path).is_some()
        && let Some(live) = at(from, path)
    {
        paste(value, path, live.clone());
    }
}

/// Puts what is there in place of what is not known, but for secrets; `shown` says what of it may be shown.
pub(super) fn found(value: &mut Value, live: Option<&Value>, shown: &dyn Fn(&Value) -> Value) {
    match value {
        Value::Deferred(template) if !template.is_sensitive() => *value = live.map(shown).unwrap_or_default(),
        Value::Map(map) => {
            for (key, value) in map.iter_mut().filter(|(_, value)| !value.is_known()) {
                found(value, live.and_then(|live| live.get(key)), shown);
            }
        }
        Value::List(items) => {
            let live = live.and_then(Value::as_list).unwrap_or_default();
            for (at, item) in items.iter_mut().enumerate().filter(|(_, item)| !item.is_known()) {
                let name = item.get("name").and_then(Value::as_str);
                let like = |other: &&Value| name.is_some() && other.get("name").and_then(Value::as_str) == name;
                let counterpart = live.iter().find(like).or_else(|| live.get(at).filter(|_| name.is_none()));
                found(item, counterpart, shown);
            }
        }
        _ => {}
    }
}

/// The pairs of `[name=a,protocol=TCP]`; none of anything else.
fn pairs(step: &str) -> Vec<(&str, &str)> {
    let inner = step.strip_prefix('[').and_then(|step| step.strip_suffix(']')).unwrap_or_default();
    inner.split(',').filter_map(|pair| pair.split_once('=')).collect()
}

fn find(items: &[Value], step: &str) -> Option<usize> {
    let inner = step.strip_prefix('[').and_then(|step| step.strip_suffix(']')).unwrap_or(step);
    let pairs = pairs(step);
    let is = |item: &Value, (key, text): &(&str, &str)| match item.get(key).and_then(Value::scalar_text) {
        Some(value) => value == *text,
        // A protocol is defaulted and may be left out.
        None => *key == "protocol" && *text == "TCP",
    };
    if !pairs.is_empty()
        && let Some(at) =
            items.iter().position(|item| item.as_map().is_some() && pairs.iter().all(|pair| is(item, pair)))
    {
        return Some(at);
    }
    let item = items.iter().position(|item| item.scalar_text().is_some_and(|text| text == inner));
    item.or_else(|| inner.parse().ok().filter(|at| *at < items.len()))
}

/// A new item of a list that a step names.
fn named(step: &str) -> Value {
    let pairs = pairs(step).into_iter().map(|(key, text)| {
        let value = text.parse::<i64>().map_or_else(|_| Value::from(text), Value::Int);
        (key.to_owned(), value)
    });
    let map = pairs.collect::<Map>();
    match map.is_empty() {
        false => Value::Map(map),
        true => Value::from(step.trim_start_matches('[').trim_end_matches(']')),
    }
}
