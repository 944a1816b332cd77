//! What differs between two lists: by name where the items have names, in order otherwise.

use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::pen::{Mark, Pen};
use super::tree::{self, Pair};
use crate::ui::values;
use crate::value::Value;

/// What names an item of a list, most telling first.
const NAMES: &[&str] = &["name", "mountPath", "containerPort", "port", "key", "type", "id", "ip", "uid"];

/// Longer lists are not compared item by item, for that takes the product of their lengths.
const MOST: usize = 2_000;

/// The names of the items, where each has one of its own.
fn names(items: &[Value], key: &str) -> Option<Vec<String>> {
    let names = items.iter().map(|item| item.get(key)?.scalar_text()).collect::<Option<Vec<_>>>()?;
    let mut sorted = names.iter().collect::<Vec<_>>();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1]).then_some(names)
}

pub(super) fn differing(
    pen: &mut Pen,
    indent: usize,
    head: &str,
    (before, after): (&[Value], &[Value]),
    remarks: &[String],
    tail: &str,
) {
    if before.len().max(after.len()) > MOST {
        let (before, after) = (format!("[… {} items]", before.len()), format!("[… {} items]{tail}", after.len()));
        return pen.change(indent, head, (&before, &after), remarks);
    }
    pen.remarked(indent, Mark::Change, &format!("{head}["), "", remarks);
    let named = NAMES.iter().find_map(|key| Some((*key, names(before, key)?, names(after, key)?)));
    match named {
        Some((_, were, are)) if !were.is_empty() || !are.is_empty() => {
            by_name(pen, indent + 4, (before, &were), (after, &are));
        }
        _ => in_order(pen, indent + 4, before, after),
    }
    pen.line(indent, Mark::Same, &format!("]{tail}"));
}

fn by_name(pen: &mut Pen, indent: usize, (before, were): (&[Value], &[String]), (after, are): (&[Value], &[String])) {
    let old = were.iter().map(String::as_str).zip(before).collect::<BTreeMap<_, _>>();
    let new = are.iter().map(String::as_str).zip(after).collect::<BTreeMap<_, _>>();
    let mut unchanged = 0;
    for (name, item) in are.iter().zip(after) {
        match old.get(name.as_str()) {
            Some(was) if *was == item => unchanged += 1,
            was => {
                let pair = Pair { before: was.copied(), after: Some(item) };
                match (pair.before, item) {
                    (Some(Value::Map(was)), Value::Map(is)) => {
                        pen.line(indent, Mark::Change, "{");
                        // Which one it is.
                        let named =
                            NAMES.iter().find(|key| is.get(key).and_then(Value::scalar_text).as_ref() == Some(name));
                        if let Some(key) = named {
                            let value = values::inline(is.get(key).unwrap_or(&Value::Null));
                            pen.line(indent + 4, Mark::Same, &format!("{key} = {value}"));
                        }
                        tree::maps(pen, indent + 4, was, is);
                        pen.line(indent, Mark::Same, "},");
                    }
                    _ => tree::differing(pen, indent, "", &pair, &[], ","),
                }
            }
        }
    }
    for (_, item) in were.iter().zip(before).filter(|(name, _)| !new.contains_key(name.as_str())) {
        tree::whole(pen, indent, Mark::Remove, "", item, ",");
    }
    pen.hidden(indent, unchanged, "element");
    let stays = |names: &[String], others: &BTreeMap<&str, &Value>| {
        names.iter().filter(|name| others.contains_key(name.as_str())).cloned().collect::<Vec<_>>()
    };
    if stays(were, &new) != stays(are, &old) {
        let text = pen.paint.dim("# (their order changes)");
        pen.line(indent, Mark::Same, &text);
    }
}

fn in_order(pen: &mut Pen, indent: usize, before: &[Value], after: &[Value]) {
    let text = |items: &[Value]| items.iter().map(|item| item.to_json().to_string()).collect::<Vec<_>>();
    let mut unchanged = 0;
    for op in capture_diff_slices(Algorithm::Myers, &text(before), &text(after)) {
        match op {
            DiffOp::Equal { len, .. } => unchanged += len,
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                let both = old_len.min(new_len);
                for at in 0..both {
                    let (was, is) = (&before[old_index + at], &after[new_index + at]);
                    tree::differing(pen, indent, "", &Pair { before: Some(was), after: Some(is) }, &[], ",");
                }
                removed(pen, indent, &before[old_index + both..old_index + old_len]);
                added(pen, indent, &after[new_index + both..new_index + new_len]);
            }
            DiffOp::Delete { old_index, old_len, .. } => removed(pen, indent, &before[old_index..old_index + old_len]),
            DiffOp::Insert { new_index, new_len, .. } => added(pen, indent, &after[new_index..new_index + new_len]),
        }
    }
    pen.hidden(indent, unchanged, "element");
}

fn removed(pen: &mut Pen, indent: usize, items: &[Value]) {
    items.iter().for_each(|item| tree::whole(pen, indent, Mark::Remove, "", item, ","));
}

fn added(pen: &mut Pen, indent: usize, items: &[Value]) {
    items.iter().for_each(|item| tree::whole(pen, indent, Mark::Add, "", item, ","));
}
