//! Tables of attributes: which of ours is which of theirs, and how its value is written there. Not the tables themselves.
//!
//! Blocks are lists of one in Terraform: `release_channel[].channel` is the attribute `channel` of the block
//! `release_channel`.

use crate::value::{Map, Value};

/// One attribute.
pub struct Row {
    /// Ours, keys with `.` between them; empty for what is always so.
    pub ours: &'static str,
    /// Theirs, with `[]` behind blocks.
    pub theirs: &'static str,
    /// How its value is written.
    pub how: How,
}

/// How a value is written.
pub enum How {
    /// As it is.
    Same,
    /// In capitals.
    Upper,
    /// The other way round.
    Not,
    /// By a table of words; others as they are.
    Words(&'static [(&'static str, &'static str)]),
    /// This, whatever our value is.
    Text(&'static str),
    /// As it is, unless our attribute of that name is there.
    Unless(&'static str),
    /// A list of blocks.
    Blocks(&'static [Row]),
    /// One block.
    Block(&'static [Row]),
    /// `true` as this text, in which `{project}` is the project; `false` not at all.
    WhenTrue(&'static str),
    /// `true` or `false`.
    Always(bool),
    /// No block.
    NoBlock,
    /// One block without attributes.
    EmptyBlock,
    /// A list of this one text.
    One,
}

/// A row whose value is written as it is.
pub const fn same(ours: &'static str, theirs: &'static str) -> Row {
    Row { ours, theirs, how: How::Same }
}

/// A row whose value is written otherwise.
pub const fn row(ours: &'static str, theirs: &'static str, how: How) -> Row {
    Row { ours, theirs, how }
}

/// A row that is the same of all.
pub const fn always(theirs: &'static str, how: How) -> Row {
    Row { ours: "", theirs, how }
}

/// Their attributes for ours.
pub fn apply(rows: &[Row], value: &Value) -> Map {
    let mut out = Map::new();
    for row in rows {
        let ours = match row.ours {
            "" => Some(&Value::Null),
            path => value.at(&path.split('.').collect::<Vec<_>>()).filter(|value| **value != Value::Null),
        };
        if let Some(theirs) = ours.and_then(|ours| written(&row.how, ours, value)) {
            put(&mut out, row.theirs, theirs);
        }
    }
    out
}

fn written(how: &How, ours: &Value, all: &Value) -> Option<Value> {
    let text = |convert: &dyn Fn(&str) -> String| match ours {
        Value::String(text) => Value::String(convert(text)),
        other => other.clone(),
    };
    Some(match how {
        How::Same => ours.clone(),
        How::Upper => text(&str::to_ascii_uppercase),
        How::Not => match ours {
            Value::Bool(on) => Value::Bool(!on),
            other => other.clone(),
        },
        How::Words(words) => text(&|text| {
            let found = words.iter().find(|(ours, _)| *ours == text || *ours == "*");
            found.map_or(text, |(_, theirs)| theirs).to_owned()
        }),
        How::Text(text) => Value::from(*text),
        How::Unless(other) => return all.get(other).is_none_or(|other| *other == Value::Null).then(|| ours.clone()),
        How::Blocks(rows) => {
            let items = ours.as_list().unwrap_or_default();
            Value::List(items.iter().map(|item| Value::Map(apply(rows, item))).collect())
        }
        How::Block(rows) => Value::List(vec![Value::Map(apply(rows, ours))]),
        How::WhenTrue(text) => {
            let project = all.get("project").and_then(Value::as_str).unwrap_or_default();
            return (ours.as_bool() == Some(true)).then(|| text.replace("{project}", project).into());
        }
        How::Always(on) => Value::Bool(*on),
        How::NoBlock => Value::List(Vec::new()),
        How::EmptyBlock => Value::List(vec![Value::map()]),
        How::One => Value::List(vec![ours.clone()]),
    })
}

/// Puts a value where their path says, unless a row before it has.
fn put(out: &mut Map, path: &str, value: Value) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Some(rest) = rest else {
        let taken = out.get(first).is_some_and(|there| *there != Value::List(Vec::new()));
        if !taken {
            out.insert(first.to_owned(), value);
        }
        return;
    };
    let Some(block) = first.strip_suffix("[]") else { return };
    let list = out.entry(block.to_owned()).or_insert_with(|| Value::List(Vec::new()));
    if *list == Value::List(Vec::new()) {
        *list = Value::List(vec![Value::map()]);
    }
    if let Value::List(items) = list
        && let Some(Value::Map(block)) = items.first_mut()
    {
        put(block, rest, value);
    }
}

/// Their path for one of ours: that of the row that says most of it.
pub fn path(rows: &[Row], path: &[String]) -> Vec<String> {
    let leads = |row: &&Row| {
        let keys = row.ours.split('.').filter(|key| !key.is_empty()).collect::<Vec<_>>();
        !keys.is_empty() && keys.iter().zip(path).all(|(key, step)| key == step)
    };
    let exact = |row: &&Row| row.ours.split('.').count() <= path.len();
    // Of several rows of one attribute, the first is the one that is meant by it.
    let Some(row) = rows.iter().rev().filter(leads).max_by_key(|row| (exact(row), row.ours.len())) else {
        return path.to_vec();
    };
    let mut found = Vec::new();
    for step in row.theirs.split('.') {
        match step.strip_suffix("[]") {
            Some(block) => found.extend([block.to_owned(), "0".to_owned()]),
            None => found.push(step.to_owned()),
        }
    }
    let known = row.ours.split('.').count();
    if let How::Block(rows) | How::Blocks(rows) = row.how
        && path.len() > known
    {
        found.push("0".to_owned());
        found.extend(self::path(rows, &path[known..]));
    }
    found
}
