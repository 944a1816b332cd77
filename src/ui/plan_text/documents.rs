//! Texts that are JSON or YAML, as trees to compare: then the order of keys, comments and white space are no
//! difference. Only what can be told apart to the letter is read: a text with anchors, tags, doubled keys, or numbers
//! and booleans that are not written the usual way, is compared line by line instead. Not for anything but comparing.

use granit_parser::{Event, Options, Parser, ScalarStyle};

use crate::value::{Map, Value};

/// Longer texts are compared line by line.
const MOST_BYTES: usize = 256 * 1024;
/// So are deeper ones.
const MOST_DEPTH: usize = 48;

/// The language that a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Json,
    Yaml,
}

impl Language {
    /// Terraform's name for what writes such a text.
    pub(super) fn function(self) -> &'static str {
        match self {
            Language::Json => "jsonencode",
            Language::Yaml => "yamlencode",
        }
    }
}

/// The tree of a text; `None` where it is none, or not one that can be told apart to the letter.
pub(super) fn read(text: &str) -> Option<(Language, Value)> {
    let start = text.trim_start();
    let language = if start.starts_with(['{', '[']) { Language::Json } else { Language::Yaml };
    // One line of YAML is read as fast as a tree.
    if text.len() > MOST_BYTES || (language == Language::Yaml && !text.trim_end().contains('\n')) {
        return None;
    }
    let tree = documents(text)?;
    matches!(tree, Value::Map(_) | Value::List(_)).then_some((language, tree))
}

enum Open {
    List(Vec<Value>),
    Map(Map, Option<String>),
}

/// The only document of a text, or the list of them.
fn documents(text: &str) -> Option<Value> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut stack: Vec<Open> = Vec::new();
    let mut found = Vec::new();
    while let Some(event) = parser.next_event() {
        let (event, _) = event.ok()?;
        let value = match event {
            Event::Alias(_) | Event::UnresolvedAlias(_) | Event::Anchor(..) => return None,
            Event::Scalar(_, _, anchor, tag) if anchor > 0 || tag.is_some() => return None,
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag)
                if anchor > 0 || tag.is_some() || stack.len() >= MOST_DEPTH =>
            {
                return None;
            }
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text)?,
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceEnd | Event::MappingEnd => match stack.pop()? {
                Open::List(items) => Value::List(items),
                Open::Map(map, _) => Value::Map(map),
            },
            _ => continue,
        };
        match stack.last_mut() {
            None => found.push(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(_, key @ None)) => *key = Some(value.as_str().filter(|key| *key != "<<")?.to_owned()),
            Some(Open::Map(map, key)) => {
                if map.insert(key.take()?, value).is_some() {
                    return None;
                }
            }
        }
    }
    match found.len() {
        0 => None,
        1 => found.pop(),
        _ => Some(Value::List(found)),
    }
}

/// A scalar without quotes; `None` where two ways to write it would look the same here and are not.
fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" => return Some(Value::Null),
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>() {
        return (number.to_string() == text).then_some(Value::Int(number));
    }
    if let Ok(number) = text.parse::<f64>() {
        return (number.is_finite() && number.to_string() == text).then_some(Value::Float(number));
    }
    let lower = text.to_ascii_lowercase();
    let is_word = matches!(lower.as_str(), "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n");
    let is_number = lower.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && lower.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '+' | '-' | 'x' | 'o' | '_' | ':' | '.'))
        && lower.chars().filter(|c| *c == '.').nth(1).is_none();
    (!is_word && !is_number).then(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Option<serde_json::Value> {
        read(text).map(|(_, value)| value.to_plain_json())
    }

    #[test]
    fn order_comments_and_white_space_are_no_difference() {
        let one = tree("# a\nb: 1\na:\n  - x\n").expect("YAML");
        assert_eq!(Some(one), tree("a: [x]\n\nb: 1 # c\n"));
        assert_eq!(tree("{\"a\": [1, 2]}"), tree("{\n  \"a\": [1,2]\n}\n"));
        assert_eq!(tree("a: 1\n---\nb: 2\n"), Some(serde_json::json!([{"a": 1}, {"b": 2}])));
    }

    #[test]
    fn what_cannot_be_told_apart_to_the_letter_is_left_to_lines() {
        for text in [
            "a: 1.10\nb: 1\n",
            "a: yes\nb: 1\n",
            "a: 0x1f\nb: 1\n",
            "a: &x 1\nb: *x\n",
            "a: !!str 1\nb: 1\n",
            "a: 1\na: 2\n",
            "{\"a\": 1, \"a\": 2}",
            "<<: {a: 1}\nb: 1\n",
            "a: 12:30\nb: 1\n",
            "just text\nand more\n",
            "one: line",
            "{ not json",
            "1: a\n2: b\n",
        ] {
            assert_eq!(tree(text), None, "{text}");
        }
        // A number, a text and a truth stay different.
        let both = tree("a: 1\nb: \"1\"\nc: true\nd: 'true'\ne: 1.5\nf: 1.34.2\ng: 10m\n").expect("YAML");
        assert_eq!(
            both,
            serde_json::json!({"a": 1, "b": "1", "c": true, "d": "true", "e": 1.5, "f": "1.34.2", "g": "10m"})
        );
        assert_eq!(tree(&"[".repeat(100)), None);
    }
}
