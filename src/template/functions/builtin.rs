//! The functions that Go's template language itself has: comparison, logic, `len`, `index`, printing,
//! escaping. Not `slice`: sprig's replaces it.

use super::{Call, Function, Special, T};
use crate::template::data::{Data, Element, Field, IntKind, Object, Text};
use crate::template::fault::{Fault, Outcome};
use crate::template::print;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("and", &[T::Value], |c| Ok(c.last().clone())).rest(T::Value).special(Special::And),
    Function::new("or", &[T::Value], |c| Ok(c.last().clone())).rest(T::Value).special(Special::Or),
    Function::new("not", &[T::Value], |c| Ok(Data::Bool(!c.any(0).truth()))),
    Function::new("len", &[T::Value], len),
    Function::new("index", &[T::Value], index).rest(T::Value).places(),
    Function::new("call", &[T::Value], call).rest(T::Value),
    Function::new("print", &[], |c| Ok(Data::Text(print::print(c.arguments(), false)?.into()))).rest(T::Any).places(),
    Function::new("println", &[], |c| Ok(Data::Text(print::print(c.arguments(), true)?.into()))).rest(T::Any).places(),
    Function::new("printf", &[T::Text], printf).rest(T::Any).places(),
    Function::new("html", &[], |c| Ok(Data::from(html(&joined(c)?)))).rest(T::Any),
    Function::new("js", &[], |c| Ok(Data::from(js(&joined(c)?)))).rest(T::Any),
    Function::new("urlquery", &[], |c| Ok(Data::from(super::paths::query_escape(joined(c)?.as_bytes())))).rest(T::Any),
    Function::new("eq", &[T::Value], |c| Ok(Data::Bool(eq(c)?))).rest(T::Value),
    Function::new("ne", &[T::Value, T::Value], |c| Ok(Data::Bool(!eq(c)?))),
    Function::new("lt", &[T::Value, T::Value], |c| Ok(Data::Bool(less(c)?))),
    Function::new("le", &[T::Value, T::Value], |c| Ok(Data::Bool(less(c)? || eq(c)?))),
    Function::new("gt", &[T::Value, T::Value], |c| Ok(Data::Bool(!(less(c)? || eq(c)?)))),
    Function::new("ge", &[T::Value, T::Value], |c| Ok(Data::Bool(!less(c)?))),
];

fn joined(c: &Call<'_, '_>) -> Result<String, Fault> {
    if let [Data::Text(text)] = c.arguments() {
        return Ok(text.str().into_owned());
    }
    let shown =
        c.arguments().iter().map(|item| if item.is_nothing() { Data::from("<no value>") } else { item.clone() });
    Ok(String::from_utf8_lossy(&print::print(&shown.collect::<Vec<_>>(), false)?).into_owned())
}

/// `printf` places texts that are known only later with `%s`, `%v` and `%q`, and nothing else.
fn printf(c: &Call<'_, '_>) -> Outcome {
    let tokens = &c.engine.options.tokens;
    if !tokens.is_empty()
        && let Some(source) = c.arguments().iter().find_map(|data| tokens.source_in(data, false))
    {
        let format = c.text(0);
        let plain =
            format.split('%').skip(1).all(|verb| verb.starts_with(['s', 'v', 'q', 'd', 't']) || verb.is_empty());
        if !plain || tokens.source(format.as_bytes()).is_some() {
            return Err(Fault::unknown(format!("{source} is known only later; printf with widths looks inside it")));
        }
    }
    Ok(Data::Text(print::printf(c.bytes(0), c.from(1))?.into()))
}

fn call(c: &Call<'_, '_>) -> Outcome {
    Err(Fault::new(match c.any(0) {
        Data::Missing | Data::Nil => "call of nil".to_owned(),
        other => format!("non-function of type {}", other.type_name()),
    }))
}

fn len(c: &Call<'_, '_>) -> Outcome {
    let count = match c.any(0) {
        Data::Missing => return Err(Fault::new("reflect: call of reflect.Value.Type on zero Value")),
        Data::Nil => return Err(Fault::new("len of nil pointer")),
        Data::Text(text) | Data::Bytes(text) => text.bytes().len(),
        Data::List(list) => list.items().len(),
        Data::Map(map) => map.len(),
        Data::Object(object) => match object.plain() {
            Data::List(list) => list.items().len(),
            Data::Map(map) if object.structure().is_none() => map.len(),
            _ => return Err(Fault::new(format!("len of type {}", object.type_name()))),
        },
        other => return Err(Fault::new(format!("len of type {}", other.type_name()))),
    };
    Ok(Data::int(count as i64))
}

/// A list index; `None` where there is no such item.
fn position(index: &Data, length: usize) -> Result<usize, Fault> {
    let number = match index {
        Data::Int(_, number) => *number,
        Data::Missing | Data::Nil => return Err(Fault::new("cannot index slice/array with nil")),
        other => return Err(Fault::new(format!("cannot index slice/array with type {}", other.type_name()))),
    };
    match usize::try_from(number) {
        Ok(at) if at < length => Ok(at),
        _ => Err(Fault::new(format!("index out of range: {number}"))),
    }
}

/// A position in a text, refused in the words for texts.
fn letter(index: &Data, length: usize) -> Result<usize, Fault> {
    position(index, length).map_err(|fault| match fault.text.strip_prefix("index out of range: ") {
        Some(number) if !number.starts_with('-') => Fault::new("reflect: string index out of range"),
        _ => fault,
    })
}

fn index(c: &Call<'_, '_>) -> Outcome {
    let mut item = c.any(0).clone();
    if item.is_nothing() {
        return Err(Fault::new("index of untyped nil"));
    }
    for index in c.from(1) {
        if let Data::Object(object) = &item {
            if object.structure().is_some() {
                let name = object.type_name().trim_start_matches('*');
                return Err(Fault::new(format!("can't index item of type {name}")));
            }
            item = object.plain();
        }
        item = match &item {
            Data::Missing | Data::Nil => return Err(Fault::new("index of nil pointer")),
            Data::List(list) => list.items()[position(index, list.items().len())?].clone(),
            Data::Text(text) | Data::Bytes(text) => {
                if let Some(source) = c.engine.options.tokens.source(text.bytes()) {
                    return Err(Fault::unknown(format!("{source} is known only later; index looks inside it")));
                }
                Data::Int(IntKind::Uint8, i64::from(text.bytes()[letter(index, text.bytes().len())?]))
            }
            Data::Map(map) => match index {
                Data::Text(key) => map.get(key.bytes()).unwrap_or_else(|| map.element().zero()),
                Data::Missing | Data::Nil => return Err(Fault::new("value is nil; should be of type string")),
                other => {
                    return Err(Fault::new(format!("value has type {}; should be string", other.type_name())));
                }
            },
            other => return Err(Fault::new(format!("can't index item of type {}", other.type_name()))),
        };
    }
    Ok(item)
}

#[derive(PartialEq)]
enum Basic {
    Bool,
    Int,
    Uint,
    Float,
    Text,
    Other,
}

fn basic(data: &Data) -> Basic {
    match data {
        Data::Bool(_) => Basic::Bool,
        Data::Int(kind, _) if kind.unsigned() => Basic::Uint,
        Data::Int(..) => Basic::Int,
        Data::Float(_) => Basic::Float,
        Data::Text(_) => Basic::Text,
        _ => Basic::Other,
    }
}

fn incompatible(a: &Data, b: &Data) -> Fault {
    Fault::new(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()))
}

fn shown(data: &Data) -> String {
    print::printf(b"%s", std::slice::from_ref(data))
        .map_or_else(|_| "…".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn eq(c: &Call<'_, '_>) -> Result<bool, Fault> {
    let first = c.any(0);
    if c.arguments().len() < 2 {
        return Err(Fault::new("missing argument for comparison"));
    }
    for other in c.from(1) {
        let equal = match (first, other) {
            (Data::Bool(a), Data::Bool(b)) => a == b,
            (Data::Int(_, a), Data::Int(_, b)) => a == b,
            (Data::Float(a), Data::Float(b)) => a == b,
            (Data::Text(a), Data::Text(b)) => a == b,
            (a, b) if basic(a) != basic(b) => {
                if !a.is_nothing() && !b.is_nothing() {
                    return Err(incompatible(a, b));
                }
                false
            }
            (a, b) if a.is_nothing() || b.is_nothing() => a.is_nothing() && b.is_nothing(),
            (Data::Time(a), Data::Time(b)) => a == b,
            (a, b) if a.kind_name() != b.kind_name() => {
                return Err(Fault::new(format!(
                    "non-comparable types {}: {}, {}: {}",
                    shown(a),
                    a.type_name(),
                    b.type_name(),
                    String::from_utf8_lossy(&print::shown(b)?)
                )));
            }
            (Data::Object(a), Data::Object(b)) if comparable(a.as_ref()) && comparable(b.as_ref()) => {
                a.type_name() == b.type_name() && deep_equal(c, first, other, 0)?
            }
            (_, b) => return Err(Fault::new(format!("non-comparable type {}: {}", shown(b), b.type_name()))),
        };
        if equal {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether Go compares it as it is: a struct without lists and maps.
fn comparable(object: &dyn Object) -> bool {
    let simple = |field: &Field| !matches!(field.value, Data::List(_) | Data::Map(_) | Data::Object(_));
    object.structure().is_some_and(|fields| fields.iter().all(simple))
}

fn less(c: &Call<'_, '_>) -> Result<bool, Fault> {
    let (a, b) = (c.any(0), c.any(1));
    if basic(a) == Basic::Other || basic(b) == Basic::Other {
        return Err(Fault::new("invalid type for comparison"));
    }
    match (a, b) {
        (Data::Int(_, a), Data::Int(_, b)) => Ok(a < b),
        (Data::Float(a), Data::Float(b)) => Ok(a < b),
        (Data::Text(a), Data::Text(b)) => Ok(a < b),
        (Data::Bool(_), Data::Bool(_)) => Err(Fault::new("invalid type for comparison")),
        _ => Err(incompatible(a, b)),
    }
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{FFFD}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if c.is_ascii() || print::printable(c) => out.push(c),
            c => out.push_str(&format!("\\u{:04X}", c as u32)),
        }
    }
    out
}

/// An equality that also looks inside lists and maps and wants the same types: Go's DeepEqual.
pub(super) fn deep_equal(c: &Call<'_, '_>, a: &Data, b: &Data, depth: usize) -> Result<bool, Fault> {
    c.step(1)?;
    if depth > crate::template::data::MAX_NESTING {
        return Err(Fault::limit("the values to compare are nested too deeply, or hold themselves"));
    }
    Ok(match (a, b) {
        (a, b) if a.is_nothing() || b.is_nothing() => a.is_nothing() && b.is_nothing(),
        (Data::Bool(a), Data::Bool(b)) => a == b,
        (Data::Int(k, a), Data::Int(l, b)) => k == l && a == b,
        (Data::Float(a), Data::Float(b)) => a == b,
        (Data::Text(a), Data::Text(b)) | (Data::Bytes(a), Data::Bytes(b)) => a == b,
        (Data::Time(a), Data::Time(b)) => a == b,
        (Data::List(a), Data::List(b)) => {
            if a.element() != b.element() || a.is_nil() != b.is_nil() || a.items().len() != b.items().len() {
                return Ok(false);
            }
            for (a, b) in a.items().iter().zip(b.items()) {
                if !deep_equal(c, a, b, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Data::Map(a), Data::Map(b)) => {
            if a.same(b) {
                return Ok(true);
            }
            if a.element() != b.element() || a.len() != b.len() || a.type_name() != b.type_name() {
                return Ok(false);
            }
            for (key, item) in a.entries().iter() {
                match b.get(key.bytes()) {
                    Some(other) if deep_equal(c, item, &other, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Data::Object(a), Data::Object(b)) => match (a.structure(), b.structure()) {
            (Some(left), Some(right)) => {
                if a.type_name() != b.type_name() || left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(&right) {
                    if !deep_equal(c, &left.value, &right.value, depth + 1)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => deep_equal(c, &a.plain(), &b.plain(), depth + 1)?,
        },
        _ => false,
    })
}

/// A `[]string`.
pub(super) fn text_list(texts: Vec<Text>) -> Data {
    Data::List(crate::template::data::List::of(Element::Text, texts.into_iter().map(Data::Text).collect()))
}
