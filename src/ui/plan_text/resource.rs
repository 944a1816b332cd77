//! One resource of a plan: what happens to it, why, and which attributes that concerns. Terraform's words where
//! Terraform has a word for it.

use super::pen::{Mark, Pen};
use super::tree::{self, Pair};
use crate::address::ObjectKey;
use crate::plan::model::{Action, Drift, Reason, ResourceChange};
use crate::resource::hook::MANIFEST;
use crate::resource::kind::Change;
use crate::ui::paint::{tame, tame_line};
use crate::ui::values;
use crate::ui::wrap;
use crate::value::{Map, Template, Value};

/// One resource, with an empty line after it.
pub(super) fn resource(pen: &mut Pen, change: &ResourceChange) {
    let (sentence, notes) = sentence(change);
    title(pen, &change.address, &sentence, &notes);
    let kind = tame_line(&change.kind);
    let opened = format!("{kind} {{");
    let manifest = match (&change.after, change.action) {
        (Some(after), Action::Run | Action::Record) if pen.verbose => after.get(MANIFEST).or(Some(after)),
        _ => None,
    };
    match (&change.after, change.action) {
        (Some(after), Action::Create) => {
            pen.head(change.action, &opened);
            match &**after {
                Value::Map(map) => tree::entries(pen, 6, Mark::Add, map),
                other => tree::whole(pen, 6, Mark::Add, "", other, ""),
            }
            pen.out.push_str("    }\n\n");
        }
        _ if manifest.is_some() => {
            pen.head(change.action, &opened);
            tree::entries(pen, 6, Mark::Same, manifest.and_then(Value::as_map).unwrap_or(&Map::new()));
            pen.out.push_str("    }\n\n");
        }
        (after, Action::Update | Action::Replace) if after.is_some() || !change.changes.is_empty() => {
            pen.head(change.action, &opened);
            let hides = hides_data(&change.address);
            let rotated = after.as_ref().map(|after| rotated(change, after)).unwrap_or_default();
            let all = || change.changes.iter().chain(&rotated);
            let columns = columns(all());
            for one in all() {
                attribute(pen, (6, columns), one, hides);
                holders(pen, one, change.take);
            }
            if let Some(after) = after {
                unchanged(pen, change.action, all(), after);
            }
            pen.out.push_str("    }\n\n");
        }
        _ => {
            pen.head(change.action, &kind);
            pen.out.push('\n');
        }
    }
}

/// What is not changed: all of what is made anew, of anything else how much it is.
fn unchanged<'c>(pen: &mut Pen, action: Action, changes: impl Iterator<Item = &'c Change>, after: &Value) {
    let mut rest = after.clone();
    for one in changes {
        without(&mut rest, &one.path);
    }
    let Value::Map(rest) = rest else { return };
    let number = rest.values().map(tree::leaves).sum::<usize>();
    match action {
        Action::Replace => tree::entries(pen, 6, Mark::Same, &rest),
        _ => pen.hidden(6, number, "attribute"),
    }
}

/// Where the values of secrets stand that are others than at the last apply.
fn rotated(change: &ResourceChange, after: &Value) -> Vec<Change> {
    fn walk(value: &Value, names: &[String], path: &mut Vec<String>, found: &mut Vec<Change>) {
        let mut below = |key: String, value: &Value| {
            path.push(key);
            walk(value, names, path, found);
            path.pop();
        };
        match value {
            Value::Map(map) => map.iter().for_each(|(key, value)| below(key.clone(), value)),
            Value::List(items) => items.iter().enumerate().for_each(|(at, item)| below(format!("[{at}]"), item)),
            Value::Deferred(template) if template.secrets().any(|name| names.iter().any(|other| other == name)) => {
                found.push(Change {
                    path: path.clone(),
                    before: Some(hidden()),
                    after: Some(value.clone()),
                    forces_replace: false,
                    effect: None,
                    held_by: Vec::new(),
                });
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let (Reason::SecretChanged(names), true) = (&change.reason, change.changes.is_empty()) {
        walk(after, names, &mut Vec::new(), &mut found);
    }
    found
}

/// The column that the values begin in, where names are short.
fn columns<'c>(changes: impl Iterator<Item = &'c Change>) -> usize {
    let widths = changes.map(|change| wrap::width(&values::path(&change.path)));
    widths.filter(|width| *width <= 28).max().unwrap_or(0)
}

/// Takes out what is at a path, and what is empty without it.
fn without(value: &mut Value, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match value {
        Value::Map(map) => {
            let gone = map.get_mut(first).is_some_and(|below| without(below, rest));
            if gone {
                map.remove(first);
            }
            gone && map.is_empty()
        }
        Value::List(items) => {
            let Some(at) = position(items, first) else { return false };
            if without(&mut items[at], rest) {
                items.remove(at);
            }
            items.is_empty()
        }
        _ => false,
    }
}

/// Where the item is that a path means by `3`, `[3]` or `[name=web]`.
fn position(items: &[Value], key: &str) -> Option<usize> {
    let bare = key.strip_prefix('[').and_then(|key| key.strip_suffix(']')).unwrap_or(key);
    if let Ok(at) = bare.parse::<usize>() {
        return (at < items.len()).then_some(at);
    }
    let wanted = bare.split(',').map(|pair| pair.split_once('=')).collect::<Option<Vec<_>>>()?;
    let is = |item: &Value, (key, value): &(&str, &str)| match item.get(key).and_then(Value::scalar_text) {
        Some(text) => text == *value,
        None => (*key, *value) == ("protocol", "TCP"),
    };
    items.iter().position(|item| wanted.iter().all(|pair| is(item, pair)))
}

/// `# ADDRESS SENTENCE` and what there is to say about it, each on a line of its own where it does not fit.
pub(super) fn title(pen: &mut Pen, address: &crate::address::Address, sentence: &str, notes: &[String]) {
    let address = tame_line(address.as_str());
    let bold = pen.paint.bold(&address);
    let columns = pen.columns.unwrap_or(usize::MAX);
    match wrap::width(&address) + wrap::width(sentence) + 5 <= columns {
        true => pen.out.push_str(&format!("  # {bold} {sentence}\n")),
        false => {
            let sentence = wrap::prose(sentence, "  #   ", "  #   ", columns);
            pen.out.push_str(&format!("  # {bold}\n{sentence}"));
        }
    }
    for note in notes {
        let text = wrap::prose(&tame_line(note), "  # (", "  #  ", pen.columns.unwrap_or(usize::MAX));
        let text = format!("{})", text.trim_end());
        let dim = text.lines().map(|line| pen.paint.dim(line)).collect::<Vec<_>>().join("\n");
        pen.out.push_str(&format!("{dim}\n"));
    }
}

/// What stands for a value that must not be shown.
fn hidden() -> Value {
    Value::from(Template { parts: Vec::new(), encoding: crate::value::Encoding::Plain, sensitive: true })
}

/// Whether it is a Secret: whatever is known of what that holds, a view does not show.
fn hides_data(address: &crate::address::Address) -> bool {
    let key = address.object_key().map(|key| key.rsplit_once(':').map_or(key, |(_, key)| key));
    key.and_then(ObjectKey::parse).is_some_and(|key| key.group.is_empty() && key.kind == "Secret")
}

/// One attribute that differs.
fn attribute(pen: &mut Pen, (indent, columns): (usize, usize), change: &Change, hides: bool) {
    let name = wrap::pad(&values::path(&change.path), columns);
    let mut remarks = Vec::new();
    if change.forces_replace {
        remarks.push("forces replacement".to_owned());
    }
    remarks.extend(change.effect.iter().map(|effect| tame_line(effect)));
    let conceal = |value: &Option<Value>| match value {
        Some(_) if hides && matches!(change.path.first().map(String::as_str), Some("data" | "stringData")) => {
            Some(hidden())
        }
        other => other.clone(),
    };
    let (before, after) = (conceal(&change.before), conceal(&change.after));
    let pair = Pair { before: before.as_ref(), after: after.as_ref() };
    tree::differing(pen, indent, &format!("{name} = "), &pair, &remarks, "");
}

/// Who else has set an attribute, and what becomes of that.
fn holders(pen: &mut Pen, change: &Change, take: bool) {
    if change.held_by.is_empty() {
        return;
    }
    let names = change.held_by.iter().map(|name| format!("\"{}\"", tame_line(name))).collect::<Vec<_>>().join(", ");
    let text = match take {
        true => format!("taken from {names}"),
        false => format!("set by {names}: apply stops here, unless --force-conflicts takes it back"),
    };
    let text = wrap::prose(&text, "        # ", "        # ", pen.columns.unwrap_or(usize::MAX));
    for line in text.lines() {
        let painted = pen.paint.yellow(line.trim_start());
        pen.out.push_str(&format!("        {painted}\n"));
    }
}

/// What others have done to a resource, and what the plan does about it.
pub(super) fn drifted(pen: &mut Pen, drift: &Drift, outcome: &str) {
    let sentence = if drift.changes.is_empty() { "has been deleted" } else { "has changed" };
    title(pen, &drift.address, sentence, &[outcome.to_owned()]);
    let hides = hides_data(&drift.address);
    let columns = columns(drift.changes.iter());
    drift.changes.iter().for_each(|change| attribute(pen, (6, columns), change, hides));
    pen.out.push('\n');
}

/// What happens to a resource in words that follow its address, and why.
pub(super) fn sentence(change: &ResourceChange) -> (String, Vec<String>) {
    let mut notes: Vec<String> = match &change.reason {
        Reason::Same | Reason::New | Reason::Changed | Reason::Forced(_) | Reason::Requested | Reason::Destroyed => {
            None
        }
        Reason::Vanished => Some("it was there after the last apply and is not any more".to_owned()),
        Reason::Unfinished => Some("an earlier run began it and was stopped".to_owned()),
        Reason::SecretChanged(names) => {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>();
            let has = if names.len() == 1 { "has" } else { "have" };
            Some(format!("{} {has} another value", values::secrets(&names)))
        }
        Reason::ConnectionReplaced(address) => Some(format!("{address}, which it lives in, is made anew")),
        Reason::Removed => Some("because the stack does not have it any more".to_owned()),
        Reason::Kept => Some("helm.sh/resource-policy says that it, or what is in it, is to stay".to_owned()),
        Reason::Abandoned => {
            Some("it stays where it is, and nothing deletes it later: what it costs, it goes on costing".to_owned())
        }
        Reason::Wanted => Some("it is there and becomes this stack's".to_owned()),
        Reason::Found => Some("it carries this stack's labels, and the state does not know it".to_owned()),
    }
    .into_iter()
    .collect();
    let moves = change.action == Action::NoOp && !change.resume;
    if let Some(from) = change.moved_from.as_ref().filter(|_| !moves) {
        notes.push(format!("moved from {from}"));
    }
    if let Some(origin) = change.origin.as_ref().filter(|_| change.action == Action::Create) {
        notes.push(format!("from {origin}"));
    }
    if change.is_hook() && change.reason != Reason::Unfinished {
        notes = change.origin.iter().map(|origin| format!("from {origin}")).collect();
    }
    let sentence = match change.action {
        Action::Create => "will be created",
        Action::Update if change.reason == Reason::Wanted => "will be adopted",
        Action::Update => "will be updated in-place",
        Action::Replace if change.reason == Reason::Requested => "will be replaced, as requested",
        Action::Replace => "must be replaced",
        Action::Delete => "will be destroyed",
        Action::Forget if matches!(change.reason, Reason::Kept | Reason::Abandoned) => {
            "will no longer be managed by stackwright, but will not be destroyed"
        }
        Action::Forget => "will be forgotten",
        Action::Adopt => "will be adopted",
        Action::Run => "will be run",
        Action::Record => "will be kept for later",
        Action::NoOp if change.is_hook() => "will be cleared away",
        Action::NoOp if change.resume => "will be waited for",
        Action::NoOp => match &change.moved_from {
            Some(from) => return (format!("has moved from {}", tame(from.as_str())), notes),
            None => "has moved",
        },
    };
    (sentence.to_owned(), notes)
}
