//! Attribute values as text, in Terraform's manner. Secrets never get here as values, only as their names.

use crate::ui::paint::{tame, tame_line};
use crate::value::{Template, Value, is_input};

/// A value on one line: strings quoted, large structures folded.
pub fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => quoted(text),
        Value::List(items) if items.is_empty() => "[]".to_owned(),
        Value::Map(map) if map.is_empty() => "{}".to_owned(),
        Value::List(items) => {
            let text = format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "));
            if text.chars().count() > 100 { format!("[… {} items]", items.len()) } else { text }
        }
        Value::Map(map) => {
            let entries = map.iter().map(|(k, v)| format!("{} = {}", tame_line(k), inline(v)));
            let text = format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "));
            if text.chars().count() > 100 { format!("{{… {} attributes}}", map.len()) } else { text }
        }
        Value::Deferred(template) => deferred(template),
        plain => plain.scalar_text().unwrap_or_default(),
    }
}

/// What stands for a value that is secret or not known yet.
pub fn deferred(template: &Template) -> String {
    if template.is_sensitive() {
        "(sensitive value)".to_owned()
    } else {
        format!("(known after apply: {})", tame_line(&template.source()))
    }
}

/// What secrets are called in a sentence.
pub fn secrets(names: &[&str]) -> String {
    let called = names.iter().map(|name| match is_input(name) {
        true => format!("the secret input {}", tame(name)),
        false => tame(name),
    });
    called.collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    let tamed = tame(text).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
    if tamed.chars().count() > 160 {
        let head = tamed.chars().take(120).collect::<String>();
        format!("\"{head}…\" ({} characters)", text.chars().count())
    } else {
        format!("\"{tamed}\"")
    }
}

/// A path as a person writes it: `spec.template.spec.containers[0].image`.
pub fn path(keys: &[String]) -> String {
    let mut out = String::new();
    for key in keys {
        let key = tame_line(key);
        if key.parse::<usize>().is_ok() {
            out.push_str(&format!("[{key}]"));
        } else if key.starts_with('[') {
            out.push_str(&key);
        } else if key.contains(['.', '/', ' ']) {
            out.push_str(&format!("[\"{key}\"]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&key);
        }
    }
    out
}

/// A value as an indented block, one attribute a line, each line led by `lead`.
pub fn block(value: &Value, lead: &str, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    let Some(map) = value.as_map() else {
        out.push_str(&format!("{pad}{lead} {}\n", inline(value)));
        return;
    };
    let width = map.keys().map(|key| key.chars().count()).max().unwrap_or(0).min(28);
    for (key, value) in map {
        let name = tame_line(key);
        match value {
            Value::Map(inner) if !inner.is_empty() && inline(value).starts_with("{…") => {
                out.push_str(&format!("{pad}{lead} {name} = {{\n"));
                block(value, lead, indent + 4, out);
                out.push_str(&format!("{pad}  }}\n"));
            }
            _ => out.push_str(&format!("{pad}{lead} {name:width$} = {}\n", inline(value))),
        }
    }
}
