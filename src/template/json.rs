//! JSON as Go writes it, and reading it.

use std::borrow::Cow;

use super::budget::MAX_TEXT;
use super::data::{Data, MAX_NESTING};
use super::fault::Fault;
use super::literal::json_float;
use crate::value::Value;

/// Reads one JSON text. Numbers keep their kind; chart values make floats of them.
///
/// # Errors
/// Where the text is not JSON.
pub fn read(text: &str) -> Result<Value, Fault> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    if let Some(first) = text.bytes().find(|b| !blank(b)).filter(|b| !b"{[\"-0123456789tfn".contains(b)) {
        return Err(Fault::new(format!("invalid character '{}' looking for beginning of value", char::from(first))));
    }
    let json = serde_json::from_str::<serde_json::Value>(text).map_err(|e| {
        let place = format!(" at line {} column {}", e.line(), e.column());
        Fault::new(match e.classify() {
            serde_json::error::Category::Eof => "unexpected end of JSON input".to_owned(),
            _ => format!("invalid JSON: {}{place}", e.to_string().trim_end_matches(&place)),
        })
    })?;
    Ok(plain(&json))
}

/// Like [`Value::from_json`], without its marker for deferred values.
fn plain(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Array(items) => Value::List(items.iter().map(plain).collect()),
        serde_json::Value::Object(map) => Value::Map(map.iter().map(|(k, v)| (k.clone(), plain(v))).collect()),
        scalar => Value::from_json(scalar),
    }
}

/// Writes JSON with sorted keys. `html` escapes `<`, `>` and `&`; `pretty` indents by two.
///
/// # Errors
/// For what JSON cannot hold, or too deep nesting.
pub(super) fn write(data: &Data, html: bool, pretty: bool) -> Result<String, Fault> {
    let mut writer = Writer { out: String::new(), html, pretty };
    writer.value(data, 0)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    html: bool,
    pretty: bool,
}

impl Writer {
    fn line(&mut self, depth: usize) {
        if self.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", depth));
        }
    }

    fn value(&mut self, data: &Data, depth: usize) -> Result<(), Fault> {
        if depth > MAX_NESTING {
            return Err(Fault::limit("the value is nested too deeply, or holds itself"));
        }
        if self.out.len() > MAX_TEXT {
            return Err(Fault::limit("the JSON is longer than a rendering may make"));
        }
        match data {
            Data::Missing | Data::Nil => self.out.push_str("null"),
            Data::Bool(truth) => self.out.push_str(if *truth { "true" } else { "false" }),
            Data::Int(_, number) => self.out.push_str(&number.to_string()),
            Data::Float(number) if number.is_finite() => self.out.push_str(&json_float(*number)),
            Data::Float(_) => return Err(Fault::new("json: unsupported value")),
            Data::Text(text) => self.text(&text.str()),
            Data::Bytes(bytes) => self.text(&super::functions::encoding::base64(bytes.bytes())),
            Data::Time(moment) => self.text(&moment.rfc3339()),
            Data::List(list) if list.is_nil() => self.out.push_str("null"),
            Data::List(list) => {
                self.out.push('[');
                for (at, item) in list.items().iter().enumerate() {
                    if at > 0 {
                        self.out.push(',');
                    }
                    self.line(depth + 1);
                    self.value(item, depth + 1)?;
                }
                if !list.items().is_empty() {
                    self.line(depth);
                }
                self.out.push(']');
            }
            Data::Map(map) => {
                let entries = map.entries();
                self.entries(entries.iter().map(|(key, item)| (key.str(), item)), depth)?;
            }
            Data::Object(object) => match object.structure() {
                Some(fields) => {
                    let known = fields.iter().filter_map(|field| Some((field.json?, &field.value)));
                    self.entries(known.map(|(name, value)| (name.into(), value)), depth)?;
                }
                None => self.value(&object.plain(), depth)?,
            },
        }
        Ok(())
    }

    fn entries<'e>(
        &mut self,
        entries: impl Iterator<Item = (Cow<'e, str>, &'e Data)>,
        depth: usize,
    ) -> Result<(), Fault> {
        self.out.push('{');
        let mut any = false;
        for (key, item) in entries {
            if any {
                self.out.push(',');
            }
            any = true;
            self.line(depth + 1);
            self.text(&key);
            self.out.push_str(if self.pretty { ": " } else { ":" });
            self.value(item, depth + 1)?;
        }
        if any {
            self.line(depth);
        }
        self.out.push('}');
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '<' | '>' | '&' if self.html => self.out.push_str(&format!("\\u{:04x}", c as u32)),
                '\u{2028}' | '\u{2029}' => self.out.push_str(&format!("\\u{:04x}", c as u32)),
                c if (c as u32) < 0x20 => self.out.push_str(&format!("\\u{:04x}", c as u32)),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}
