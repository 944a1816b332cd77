//! Attribute trees, whole or as what differs between two of them, in Terraform's manner: what is unchanged is counted
//! and not shown, texts that are documents are compared as such, others line by line.

use super::pen::{Mark, Pen};
use super::{documents, lists, texts};
use crate::ui::paint::tame_line;
use crate::ui::values;
use crate::ui::wrap;
use crate::value::{Map, Value};

/// What is shorter is shown on one line.
const SHORT: usize = 60;

/// How many values there are, collections not counted but when they are empty.
pub(super) fn leaves(value: &Value) -> usize {
    match value {
        Value::Map(map) if !map.is_empty() => map.values().map(leaves).sum(),
        Value::List(items) if !items.is_empty() => items.iter().map(leaves).sum(),
        _ => 1,
    }
}

/// A value on one line, where it fits and says all.
fn short(value: &Value) -> Option<String> {
    fn take(value: &Value, left: &mut usize) -> Option<()> {
        let cost = match value {
            Value::String(text) if text.contains('\n') => return None,
            Value::String(text) => text.len() + 4,
            Value::Map(map) => {
                map.keys().try_for_each(|key| {
                    *left = left.checked_sub(key.len() + 4)?;
                    Some(())
                })?;
                map.values().try_for_each(|value| take(value, left))?;
                4
            }
            Value::List(items) => {
                items.iter().try_for_each(|item| take(item, left))?;
                4
            }
            Value::Deferred(_) => return None,
            _ => 6,
        };
        *left = left.checked_sub(cost)?;
        Some(())
    }
    match value {
        Value::Map(map) if map.is_empty() => Some("{}".to_owned()),
        Value::List(items) if items.is_empty() => Some("[]".to_owned()),
        Value::Map(_) | Value::List(_) => {
            take(value, &mut SHORT.clone())?;
            Some(values::inline(value))
        }
        Value::String(text) if text.contains('\n') => None,
        Value::String(text) if text.len() > SHORT && text.trim_start().starts_with(['{', '[']) => {
            documents::read(text).is_none().then(|| values::inline(value))
        }
        _ => Some(values::inline(value)),
    }
}

/// Names in one column, as far as they are not very long.
fn column<'k>(keys: impl Iterator<Item = &'k str>) -> usize {
    keys.map(|key| wrap::width(&tame_line(key))).filter(|width| *width <= 28).max().unwrap_or(0)
}

fn label(key: &str, columns: usize) -> String {
    format!("{} = ", wrap::pad(&tame_line(key), columns))
}

/// A value with all that is in it. `head` is what comes before it on its line, `tail` what comes after its end.
pub(super) fn whole(pen: &mut Pen, indent: usize, mark: Mark, head: &str, value: &Value, tail: &str) {
    if let Some(text) = short(value) {
        return pen.line(indent, mark, &format!("{head}{text}{tail}"));
    }
    match value {
        Value::Map(map) => {
            pen.line(indent, mark, &format!("{head}{{"));
            entries(pen, indent + 4, mark, map);
            pen.line(indent, Mark::Same, &format!("}}{tail}"));
        }
        Value::List(items) => {
            pen.line(indent, mark, &format!("{head}["));
            items.iter().for_each(|item| whole(pen, indent + 4, mark, "", item, ","));
            pen.line(indent, Mark::Same, &format!("]{tail}"));
        }
        Value::String(text) => {
            match documents::read(text).filter(|(language, _)| *language == documents::Language::Json) {
                Some((language, tree)) => {
                    pen.line(indent, mark, &format!("{head}{}(", language.function()));
                    whole(pen, indent + 4, mark, "", &tree, "");
                    pen.line(indent, Mark::Same, &format!("){tail}"));
                }
                None => texts::whole(pen, indent, mark, head, text, tail),
            }
        }
        plain => pen.line(indent, mark, &format!("{head}{}{tail}", values::inline(plain))),
    }
}

/// The entries of a map, each whole.
pub(super) fn entries(pen: &mut Pen, indent: usize, mark: Mark, map: &Map) {
    let columns = column(map.iter().filter(|(_, value)| short(value).is_some()).map(|(key, _)| key.as_str()));
    for (key, value) in map.iter() {
        whole(pen, indent, mark, &label(key, if short(value).is_some() { columns } else { 0 }), value, "");
    }
}

/// What differs. One of the two is there.
pub(super) struct Pair<'v> {
    pub(super) before: Option<&'v Value>,
    pub(super) after: Option<&'v Value>,
}

/// What differs between two values, with remarks about it.
pub(super) fn differing(pen: &mut Pen, indent: usize, head: &str, pair: &Pair<'_>, remarks: &[String], tail: &str) {
    match (pair.before, pair.after) {
        (Some(Value::Map(before)), Some(Value::Map(after))) if before != after => {
            pen.remarked(indent, Mark::Change, &format!("{head}{{"), "", remarks);
            maps(pen, indent + 4, before, after);
            pen.line(indent, Mark::Same, &format!("}}{tail}"));
        }
        (Some(Value::List(before)), Some(Value::List(after))) if before != after => {
            lists::differing(pen, indent, head, (before, after), remarks, tail);
        }
        (Some(Value::String(before)), Some(Value::String(after))) if before != after => {
            texts::differing(pen, indent, head, (before, after), remarks, tail);
        }
        // It is the author that changes, not the value, or neither side may be shown.
        (Some(before), Some(after)) if values::inline(before) == values::inline(after) => {
            pen.remarked(indent, Mark::Change, &format!("{head}{}{tail}", values::inline(after)), "", remarks);
        }
        (Some(before), Some(after)) => match (short(before), short(after)) {
            (Some(before), Some(after)) => pen.change(indent, head, (&before, &format!("{after}{tail}")), remarks),
            (_, Some(after)) => gone(pen, indent, head, before, &format!(" -> {after}{tail}"), remarks),
            (_, None) => {
                gone(pen, indent, head, before, "", remarks);
                whole(pen, indent, Mark::Add, head, after, tail);
            }
        },
        (None, Some(after)) => match short(after) {
            Some(text) => pen.remarked(indent, Mark::Add, &format!("{head}{text}{tail}"), "", remarks),
            None => {
                remarked_above(pen, indent, remarks);
                whole(pen, indent, Mark::Add, head, after, tail);
            }
        },
        (Some(before), None) => gone(pen, indent, head, before, &format!(" -> null{tail}"), remarks),
        (None, None) => pen.remarked(indent, Mark::Change, head.trim_end_matches(" = "), "", remarks),
    }
}

/// A value that goes, with what comes in its place.
fn gone(pen: &mut Pen, indent: usize, head: &str, before: &Value, tail: &str, remarks: &[String]) {
    match short(before) {
        Some(text) => pen.remarked(indent, Mark::Remove, &format!("{head}{text}"), tail, remarks),
        None => {
            remarked_above(pen, indent, remarks);
            whole(pen, indent, Mark::Remove, head, before, tail);
        }
    }
}

/// Remarks about what is shown on many lines.
fn remarked_above(pen: &mut Pen, indent: usize, remarks: &[String]) {
    if !remarks.is_empty() {
        let text = remarks.iter().map(|remark| format!("# {remark}")).collect::<Vec<_>>().join(" ");
        let painted = pen.paint.yellow(&text);
        pen.line(indent, Mark::Same, &painted);
    }
}

/// The entries that differ, and how many do not.
pub(super) fn maps(pen: &mut Pen, indent: usize, before: &Map, after: &Map) {
    let mut keys = before.keys().chain(after.keys()).map(String::as_str).collect::<Vec<_>>();
    keys.sort_unstable();
    keys.dedup();
    let all = keys.len();
    keys.retain(|key| before.get(key) != after.get(key));
    let columns = column(keys.iter().copied());
    for key in &keys {
        let pair = Pair { before: before.get(key), after: after.get(key) };
        let is_short = [pair.before, pair.after]
            .into_iter()
            .flatten()
            .all(|value| !matches!(value, Value::Map(_) | Value::List(_)));
        differing(pen, indent, &label(key, if is_short { columns } else { 0 }), &pair, &[], "");
    }
    pen.hidden(indent, all - keys.len(), "attribute");
}
