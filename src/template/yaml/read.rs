//! Reads YAML into plain values: anchors, merge keys, 1.1 scalars, keys as texts. A file whose aliases
//! multiply is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::scalar::{Scalar, resolve};
use crate::template::data::{Data, MAX_NESTING};
use crate::template::tokens::Tokens;
use crate::value::{Map, Value};

/// Values that aliases may add to a text.
const MAX_ALIASED: usize = 1_000_000;

/// Why a text is not YAML, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ReadError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// The first document of a text; null where there is none.
///
/// # Errors
/// Where the text is not YAML or its aliases multiply.
pub fn read(text: &str) -> Result<Value, ReadError> {
    let text = lines(text);
    super::block::read(&text).map_or_else(|| indented(&text, complete), Ok)
}

/// The same as templates see it: every number is a float64.
///
/// # Errors
/// As [`read`].
pub(in crate::template) fn read_data(text: &str) -> Result<Data, ReadError> {
    let text = lines(text);
    match super::block::read(&text) {
        Some(data) => Ok(data),
        None => indented(&text, complete).map(|value| Data::from_value(&value, &mut Tokens::default())),
    }
}

/// The same for who only wants to know what object a text is: of most maps, nothing but `apiVersion`, `kind` and
/// `metadata`. What is wrong with the rest is found all the same.
///
/// # Errors
/// As [`read`].
pub fn head(text: &str) -> Result<Value, ReadError> {
    let text = lines(text);
    super::block::head(&text).map_or_else(|| indented(&text, complete), Ok)
}

/// [`read`] of any kind of YAML.
pub(super) fn complete(text: &str) -> Result<Value, ReadError> {
    let mut reader = Reader::new(text);
    Ok(reader.document()?.map_or(Value::Null, |(_, value)| value))
}

/// All documents of a text, each with the line that it begins on.
///
/// # Errors
/// Where the text is not YAML or its aliases multiply.
pub fn documents(text: &str) -> Result<Vec<(usize, Value)>, ReadError> {
    let text = lines(text);
    match super::block::read(&text) {
        Some(value @ Value::Map(_)) => {
            let above =
                text.split('\n').take_while(|line| matches!(line.trim_start().bytes().next(), None | Some(b'#')));
            Ok(vec![(1 + above.count(), value)])
        }
        _ => indented(&text, all),
    }
}

/// [`documents`] of any kind of YAML.
pub(super) fn all(text: &str) -> Result<Vec<(usize, Value)>, ReadError> {
    let mut reader = Reader::new(text);
    let mut all = Vec::new();
    while let Some(document) = reader.document()? {
        all.push(document);
    }
    Ok(all)
}

/// YAML 1.1 ends lines at NEL, too, which the parser takes for a letter.
fn lines(text: &str) -> Cow<'_, str> {
    if text.contains('\u{85}') { Cow::Owned(text.replace('\u{85}', "\n")) } else { Cow::Borrowed(text) }
}

/// What the parser says of a quoted text that goes on too far left.
const TOO_FAR_LEFT: &str = "invalid indentation in multiline quoted scalar";
/// Lines that are moved to the right before the text is refused.
const MAX_MOVED: usize = 200;

/// Reads with YAML 1.1's leave to go on with a quoted text as far left as one likes: the parser does not give
/// it, and blanks in front of such a line mean nothing.
fn indented<T>(text: &str, read: impl Fn(&str) -> Result<T, ReadError>) -> Result<T, ReadError> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_MOVED {
        match read(&text) {
            Err(error) if error.message.contains(TOO_FAR_LEFT) => {
                let mut lines = text.split_inclusive('\n').collect::<Vec<_>>();
                let Some(line) = lines.get_mut(error.line.saturating_sub(1)) else { return Err(error) };
                // These end a document, wherever they stand.
                if line.starts_with("---") || line.starts_with("...") {
                    return Err(error);
                }
                let moved = format!("{:1$}{line}", "", 2 * MAX_NESTING);
                *line = &moved;
                text = Cow::Owned(lines.concat());
            }
            result => return result,
        }
    }
    read(&text)
}

struct Reader<'t> {
    text: &'t str,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    aliased: usize,
}

/// A collection that is not complete yet.
enum Open {
    List { anchor: usize, items: Vec<Value> },
    Map { anchor: usize, entries: Map, merged: Vec<Value>, key: Option<Key> },
}

enum Key {
    Text(String),
    Merge,
}

fn size(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        let mut options = granit_parser::Options::default();
        // Long comments would fill its buffers.
        options.set_emit_comments(false);
        Reader { text, parser: Parser::new_from_str_with_options(text, options), aliased: 0 }
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, ReadError> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(ReadError { line: error.marker().line(), message: error.info().to_owned() }),
        }
    }

    fn document(&mut self) -> Result<Option<(usize, Value)>, ReadError> {
        let mut start = 1;
        let mut stack = Vec::<Open>::new();
        let mut anchors = BTreeMap::<usize, Value>::new();
        let mut document = None;
        while let Some((event, span)) = self.next()? {
            let line = span.start.line();
            let fail = |message: &str| Err(ReadError { line, message: message.to_owned() });
            let done = match event {
                Event::StreamStart | Event::Comment(..) | Event::Anchor(..) => continue,
                Event::DocumentStart(..) => {
                    start = line;
                    continue;
                }
                Event::DocumentEnd => return Ok(Some((start, document.unwrap_or(Value::Null)))),
                Event::StreamEnd => return Ok(None),
                Event::Alias(id) => {
                    let Some(value) = anchors.get(&id) else { return fail("anchor value contains itself") };
                    self.aliased += size(value);
                    if self.aliased > MAX_ALIASED {
                        return fail("document contains excessive aliasing");
                    }
                    Done::Value(value.clone())
                }
                Event::UnresolvedAlias(name) => return fail(&format!("unknown anchor '{name}' referenced")),
                Event::Scalar(mut text, style, anchor, tag) => {
                    // A block that the end of the text cuts off has no last line break.
                    if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
                        && !self.text.ends_with('\n')
                        && span.byte_range().is_some_and(|range| range.end >= self.text.len())
                        && text.ends_with('\n')
                    {
                        text.to_mut().pop();
                    }
                    let is_key = matches!(stack.last(), Some(Open::Map { key: None, .. }));
                    let done =
                        scalar(&text, style, tag.as_deref(), is_key).map_err(|message| ReadError { line, message })?;
                    if anchor > 0 {
                        let value = match &done {
                            Done::Value(value) => value.clone(),
                            Done::Key(_) => {
                                value_of(&text, style, tag.as_deref()).map_err(|message| ReadError { line, message })?
                            }
                        };
                        anchors.insert(anchor, value);
                    }
                    done
                }
                Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) if stack.len() > MAX_NESTING => {
                    let _ = anchor;
                    return fail("nested too deeply");
                }
                Event::SequenceStart(_, anchor, _) => {
                    stack.push(Open::List { anchor, items: Vec::new() });
                    continue;
                }
                Event::MappingStart(_, anchor, _) => {
                    stack.push(Open::Map { anchor, entries: Map::new(), merged: Vec::new(), key: None });
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let (anchor, value) = match stack.pop() {
                        Some(Open::List { anchor, items }) => (anchor, Value::List(items)),
                        Some(Open::Map { anchor, mut entries, merged, .. }) => {
                            for source in merged {
                                merge(&mut entries, source).map_err(|message| ReadError { line, message })?;
                            }
                            (anchor, Value::Map(entries))
                        }
                        None => return fail("an end without a beginning"),
                    };
                    if anchor > 0 {
                        anchors.insert(anchor, value.clone());
                    }
                    Done::Value(value)
                }
                _ => continue,
            };
            match (stack.last_mut(), done) {
                (None, Done::Value(value)) => document = Some(value),
                (None, Done::Key(_)) => {}
                (Some(Open::List { items, .. }), Done::Value(value)) => items.push(value),
                (Some(Open::List { .. }), Done::Key(_)) => {}
                (Some(Open::Map { key: key @ None, .. }), Done::Key(new)) => *key = Some(new),
                (Some(Open::Map { key: key @ None, .. }), Done::Value(value)) => match key_text(&value) {
                    Some(text) => *key = Some(Key::Text(text)),
                    None => return fail("invalid map key: a key must be a text, a number or a boolean"),
                },
                (Some(Open::Map { key, entries, merged, .. }), Done::Value(value)) => match key.take() {
                    Some(Key::Text(name)) => {
                        entries.insert(name, value);
                    }
                    Some(Key::Merge) => merged.push(value),
                    None => {}
                },
                (Some(Open::Map { .. }), Done::Key(_)) => {}
            }
        }
        Ok(None)
    }
}

enum Done {
    Value(Value),
    Key(Key),
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, is_key: bool) -> Result<Done, String> {
    if is_key && style == ScalarStyle::Plain && tag.is_none() && resolve(text) == Scalar::Merge {
        return Ok(Done::Key(Key::Merge));
    }
    Ok(Done::Value(value_of(text, style, tag)?))
}

pub(super) fn value_of(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let string = || Value::String(text.to_owned());
    let tag: Option<Cow<'_, str>> = tag.and_then(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:"));
    match tag.as_deref() {
        Some("str") => return Ok(string()),
        Some("binary") => {
            use base64::Engine as _;
            let body = text.replace(['\r', '\n'], "");
            let bytes = base64::engine::general_purpose::STANDARD.decode(body);
            let bytes = bytes.map_err(|_| "!!binary value contains invalid base64 data".to_owned())?;
            return Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        }
        _ => {}
    }
    if style != ScalarStyle::Plain && tag.is_none() {
        return Ok(string());
    }
    let value = match resolve(text) {
        Scalar::Null => Value::Null,
        Scalar::Bool(truth) => Value::Bool(truth),
        Scalar::Int(number) => Value::Int(number),
        Scalar::Float(number) if number.is_finite() => Value::Float(number),
        Scalar::Float(_) => return Err("a number that JSON cannot hold".to_owned()),
        Scalar::Timestamp | Scalar::Merge | Scalar::Text => string(),
    };
    match (tag.as_deref(), &value) {
        (Some("int"), Value::Int(_)) | (Some("bool"), Value::Bool(_)) | (Some("null"), Value::Null) => Ok(value),
        (Some("float"), Value::Int(number)) => Ok(Value::Float(*number as f64)),
        (Some("float"), Value::Float(_)) | (None, _) => Ok(value),
        (Some("int" | "bool" | "null" | "float"), _) => {
            Err(format!("cannot decode `{text}` as a !!{}", tag.unwrap_or_default()))
        }
        _ => Ok(value),
    }
}

/// A key as JSON has it.
pub(super) fn key_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(crate::template::literal::format_float(*number, 'g', None)),
        _ => None,
    }
}

/// What the map lacks, from a map or a list of maps.
fn merge(entries: &mut Map, source: Value) -> Result<(), String> {
    match source {
        Value::Map(map) => {
            for (key, value) in map {
                entries.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::List(items) => items.into_iter().try_for_each(|item| match item {
            Value::Map(_) => merge(entries, item),
            _ => Err("map merge requires map or sequence of maps as the value".to_owned()),
        }),
        _ => Err("map merge requires map or sequence of maps as the value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_texts_go_on_as_far_left_as_they_like() {
        let text = "a:\n  b: \"x\ny\n\nz\"\n  c: 'p\n q'\nl:\n    - \"z\nw\"\nm: \"x\u{85}y\"\n";
        let json = read(text).unwrap().to_json().to_string();
        assert_eq!(json, r#"{"a":{"b":"x y\nz","c":"p q"},"l":["z w"],"m":"x y"}"#);
        assert!(read("a: \"x\n---\ny\"\n").is_err());
    }

    #[test]
    fn reads_as_helm_does() {
        let value =
            read("n: y\n0755: 0755\nk: 'no'\nlist:\n- 1.0\n- ~\nbase: &b {a: 1}\nuse:\n  <<: *b\n  c: 2\n").unwrap();
        assert_eq!(
            value.to_json(),
            serde_json::json!({"false": true, "493": 493, "k": "no", "list": [1.0, null], "base": {"a": 1}, "use": {"a": 1, "c": 2}})
        );
        assert_eq!(documents("a: 1\n---\n---\nb: 2\n").unwrap().len(), 3);
        let commented = format!("a:\n{}b:\n- c\n{}", "  # note\n".repeat(500), "# note\n".repeat(500));
        assert_eq!(read(&commented).unwrap().to_json(), serde_json::json!({"a": null, "b": ["c"]}));
        assert!(read("a: [").is_err() && read("a: .nan").is_err());
    }

    #[test]
    fn a_block_at_the_end_has_the_line_break_that_is_there() {
        for (text, value) in
            [("a: |\n  x\n  y", "x\ny"), ("a: |\n  x\n", "x\n"), ("a: >\n  x\n  y", "x y"), ("a: |+\n  x\n\n", "x\n\n")]
        {
            assert_eq!(read(text).unwrap().get("a").and_then(Value::as_str), Some(value), "{text:?}");
        }
        assert_eq!(read("a: |\n  x\nb: 1").unwrap().get("a").and_then(Value::as_str), Some("x\n"));
    }

    #[test]
    fn multiplying_aliases_are_refused() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let last = format!("*a{},", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", last.trim_end_matches(',')));
        }
        assert!(read(&text).unwrap_err().message.contains("excessive aliasing"));
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read(&"- ".repeat(100_000)).is_err());
    }
}
