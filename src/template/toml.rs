//! TOML as charts write it: plain keys first, then tables, each level indented by two.

use super::budget::MAX_TEXT;
use super::data::{Data, IntKind, MAX_NESTING};
use super::fault::Fault;
use super::literal::format_float;
use super::moment::duration_text;

/// Reads a TOML document. Whole numbers stay whole.
pub(super) fn read(text: &str) -> Result<Data, Fault> {
    let table = text.parse::<::toml::Table>().map_err(|e| Fault::new(format!("toml: {}", e.message())))?;
    Ok(data(&::toml::Value::Table(table)))
}

fn data(value: &::toml::Value) -> Data {
    match value {
        ::toml::Value::String(text) => Data::from(text.as_str()),
        ::toml::Value::Integer(number) => Data::int64(*number),
        ::toml::Value::Float(number) => Data::Float(*number),
        ::toml::Value::Boolean(truth) => Data::Bool(*truth),
        ::toml::Value::Datetime(when) => Data::from(when.to_string()),
        ::toml::Value::Array(items) => Data::list(items.iter().map(data).collect()),
        ::toml::Value::Table(table) => Data::map(table.iter().map(|(k, v)| (k.as_str(), data(v)))),
    }
}

/// Writes a map as a TOML document.
pub(super) fn write(value: &Data) -> Result<String, Fault> {
    let mut out = String::new();
    if !matches!(value, Data::Map(_)) {
        inline(&mut out, value, 0)?;
        return Ok(out);
    }
    table(&mut out, &mut Vec::new(), value)?;
    Ok(out)
}

fn is_tables(data: &Data) -> bool {
    matches!(data, Data::List(list) if !list.items().is_empty() && list.items().iter().all(|i| matches!(i, Data::Map(_))))
}

fn table(out: &mut String, path: &mut Vec<String>, value: &Data) -> Result<(), Fault> {
    if path.len() > MAX_NESTING || out.len() > MAX_TEXT {
        return Err(Fault::limit("the TOML is longer or deeper than a rendering may make"));
    }
    let Data::Map(map) = value else { return Ok(()) };
    let inner = "  ".repeat(path.len());
    let entries = map.snapshot();
    let nested = |data: &Data| matches!(data, Data::Map(_)) || is_tables(data);
    for (name, item) in entries.iter().filter(|(_, item)| !nested(item) && !item.is_nothing()) {
        out.push_str(&format!("{inner}{} = ", key(&name.str())));
        inline(out, item, 0)?;
        out.push('\n');
    }
    for (name, item) in entries.iter().filter(|(_, item)| nested(item)) {
        path.push(key(&name.str()));
        let tables = match item {
            Data::List(list) => list.items().to_vec(),
            single => vec![single.clone()],
        };
        for one in &tables {
            if path.len() == 1 && !out.is_empty() {
                out.push('\n');
            }
            let (open, close) = if is_tables(item) { ("[[", "]]") } else { ("[", "]") };
            out.push_str(&format!("{inner}{open}{}{close}\n", path.join(".")));
            table(out, path, one)?;
        }
        path.pop();
    }
    Ok(())
}

fn key(text: &str) -> String {
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn inline(out: &mut String, data: &Data, depth: usize) -> Result<(), Fault> {
    if depth > MAX_NESTING || out.len() > MAX_TEXT {
        return Err(Fault::limit("the TOML is longer or deeper than a rendering may make"));
    }
    match data {
        Data::Missing | Data::Nil => return Err(Fault::new("toml: cannot encode array with nil element")),
        Data::Bool(truth) => out.push_str(&truth.to_string()),
        Data::Int(IntKind::Duration, number) => out.push_str(&quoted(&duration_text(*number))),
        Data::Int(_, number) => out.push_str(&number.to_string()),
        Data::Float(number) if number.is_nan() => out.push_str("nan"),
        Data::Float(number) if number.is_infinite() => out.push_str(if *number > 0.0 { "inf" } else { "-inf" }),
        Data::Float(number) => {
            let text = format_float(*number, 'g', None);
            let plain = !text.contains(['.', 'e']);
            out.push_str(&text);
            if plain {
                out.push_str(".0");
            }
        }
        Data::Text(text) => out.push_str(&quoted(&text.str())),
        Data::Bytes(bytes) => out.push_str(&quoted(&super::functions::encoding::base64(bytes.bytes()))),
        Data::Time(moment) => out.push_str(&moment.rfc3339()),
        Data::List(list) => {
            out.push('[');
            for (at, item) in list.items().iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                inline(out, item, depth + 1)?;
            }
            out.push(']');
        }
        Data::Map(map) => {
            out.push('{');
            let entries = map.snapshot();
            for (at, (name, item)) in entries.iter().filter(|(_, item)| !item.is_nothing()).enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                out.push_str(&format!("{} = ", key(&name.str())));
                inline(out, item, depth + 1)?;
            }
            out.push('}');
        }
        Data::Object(object) => inline(out, &object.plain(), depth + 1)?,
    }
    Ok(())
}
