//! Functions on texts: trimming, cutting, cases, joining, quoting. Not patterns, not numbers.

use super::builtin::text_list;
use super::{Call, Function, T, to_text};
use crate::template::data::{Data, Element, Map, Text};
use crate::template::fault::{Fault, Outcome};
use crate::template::print::quoted;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("trim", &[T::Text], |c| Ok(Data::from(c.text(0).trim_matches(go_space)))),
    Function::new("trimAll", &[T::Text, T::Text], trim_all),
    Function::new("trimall", &[T::Text, T::Text], trim_all),
    Function::new("trimSuffix", &[T::Text, T::Text], |c| {
        let (cut, text) = (c.bytes(0), c.bytes(1));
        Ok(Data::Text(text.strip_suffix(cut).unwrap_or(text).into()))
    }),
    Function::new("trimPrefix", &[T::Text, T::Text], |c| {
        let (cut, text) = (c.bytes(0), c.bytes(1));
        Ok(Data::Text(text.strip_prefix(cut).unwrap_or(text).into()))
    }),
    Function::new("nospace", &[T::Text], |c| Ok(Data::Text(nospace(c.bytes(0)).into()))),
    Function::new("initials", &[T::Text], |c| {
        Ok(Data::from(
            c.text(0).split(char::is_whitespace).filter_map(|w| w.bytes().next().map(char::from)).collect::<String>(),
        ))
    }),
    Function::new("title", &[T::Text], |c| Ok(Data::from(title(&c.text(0))))),
    Function::new("untitle", &[T::Text], |c| Ok(Data::from(word_starts(&c.text(0), |c| c.to_lowercase().collect())))),
    Function::new("upper", &[T::Text], |c| Ok(Data::from(c.text(0).chars().map(upper).collect::<String>()))),
    Function::new("lower", &[T::Text], |c| Ok(Data::from(c.text(0).chars().map(lower).collect::<String>()))),
    Function::new("substr", &[T::Int, T::Int, T::Text], substr),
    Function::new("repeat", &[T::Int, T::Text], repeat),
    Function::new("abbrev", &[T::Int, T::Text], |c| Ok(Data::Text(abbreviate(c.bytes(1), 0, c.int(0)).into()))),
    Function::new("abbrevboth", &[T::Int, T::Int, T::Text], |c| {
        let (left, right) = (c.int(0), c.int(1));
        if right < 4 || left > 0 && right < 7 {
            return Ok(c.any(2).clone());
        }
        Ok(Data::Text(abbreviate(c.bytes(2), left, right).into()))
    }),
    Function::new("trunc", &[T::Int, T::Text], trunc),
    Function::new("contains", &[T::Text, T::Text], |c| Ok(Data::Bool(find(c.bytes(1), c.bytes(0)).is_some()))),
    Function::new("hasPrefix", &[T::Text, T::Text], |c| Ok(Data::Bool(c.bytes(1).starts_with(c.bytes(0))))),
    Function::new("hasSuffix", &[T::Text, T::Text], |c| Ok(Data::Bool(c.bytes(1).ends_with(c.bytes(0))))),
    Function::new("quote", &[], |c| quote(c, |text| quoted(text).into_bytes())).rest(T::Any).places(),
    Function::new("squote", &[], |c| quote(c, |text| [b"'", text, b"'"].concat())).rest(T::Any).places(),
    Function::new("cat", &[], |c| joined(c, b" ")).rest(T::Any).places(),
    Function::new("indent", &[T::Int, T::Text], |c| indent(c, "")).places(),
    Function::new("nindent", &[T::Int, T::Text], |c| indent(c, "\n")).places(),
    Function::new("replace", &[T::Text, T::Text, T::Text], replace),
    Function::new("plural", &[T::Text, T::Text, T::Int], |c| Ok(c.any(usize::from(c.int(2) != 1)).clone())),
    Function::new("snakecase", &[T::Text], |c| Ok(Data::from(connected(&c.text(0), '_')))),
    Function::new("kebabcase", &[T::Text], |c| Ok(Data::from(connected(&c.text(0), '-')))),
    Function::new("camelcase", &[T::Text], |c| Ok(Data::from(camel(&c.text(0))))),
    Function::new("swapcase", &[T::Text], |c| Ok(Data::from(swapped(&c.text(0))))),
    Function::new("wrap", &[T::Int, T::Text], |c| wrap(c, &c.text(1), c.int(0), "\n", false)),
    Function::new("wrapWith", &[T::Int, T::Text, T::Text], |c| wrap(c, &c.text(2), c.int(0), &c.text(1), true)),
    Function::new("toString", &[T::Any], |c| Ok(Data::Text(to_text(c.any(0))?))).places(),
    Function::new("toStrings", &[T::Any], |c| Ok(text_list(texts(c.any(0))?))).places(),
    Function::new("join", &[T::Text, T::Any], join).places(),
    Function::new("split", &[T::Text, T::Text], |c| parts(c, split(c.bytes(0), c.bytes(1), None))),
    Function::new("splitn", &[T::Text, T::Int, T::Text], |c| parts(c, split(c.bytes(0), c.bytes(2), Some(c.int(1))))),
    Function::new("splitList", &[T::Text, T::Text], |c| {
        let parts = split(c.bytes(0), c.bytes(1), None);
        c.items(parts.len())?;
        Ok(text_list(parts))
    }),
    Function::new("sortAlpha", &[T::Any], |c| {
        let mut sorted = if c.any(0).is_nothing() { vec![Text::from("<nil>")] } else { texts(c.any(0))? };
        sorted.sort();
        Ok(text_list(sorted))
    })
    .deep(),
    Function::new("hello", &[], |_| Ok(Data::from("Hello!"))),
];

/// What Go's `unicode.IsSpace` holds for a blank.
/// Without blank space. Where there is some, Go's library takes every byte for a character.
fn nospace(text: &[u8]) -> Vec<u8> {
    let left = text.iter().map(|b| char::from(*b)).filter(|c| !c.is_whitespace());
    if left.clone().count() == text.len() { text.to_vec() } else { left.collect::<String>().into_bytes() }
}

fn go_space(c: char) -> bool {
    c.is_whitespace()
}

/// One character to one character, as Go's upper-casing goes.
fn upper(c: char) -> char {
    let mut all = c.to_uppercase();
    match (all.next(), all.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

fn trim_all(c: &Call<'_, '_>) -> Outcome {
    let set = c.text(0);
    Ok(Data::from(c.text(1).trim_matches(|c| set.contains(c))))
}

/// The first place of `part` in `text`.
pub(super) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}

fn title(text: &str) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let separator = match before {
                b if b.is_ascii() => !(b.is_ascii_alphanumeric() || b == '_'),
                b if b.is_alphanumeric() => false,
                b => b.is_whitespace(),
            };
            before = c;
            if separator { upper(c) } else { c }
        })
        .collect()
}

fn word_starts(text: &str, change: impl Fn(char) -> String) -> String {
    let mut start = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_whitespace() {
            start = true;
            out.push(c);
        } else if start {
            out.push_str(&change(c));
            start = false;
        } else {
            out.push(c);
        }
    }
    out
}

fn swapped(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_uppercase() {
                lower(c)
            } else if c.is_lowercase() {
                upper(c)
            } else {
                c
            }
        })
        .collect()
}

fn bounds(text: &str) -> Fault {
    Fault::new(format!("runtime error: slice bounds out of range {text}"))
}

fn substr(c: &Call<'_, '_>) -> Outcome {
    let (start, end, text) = (c.int(0), c.int(1), c.bytes(2));
    let length = text.len();
    let cut = match (usize::try_from(start), usize::try_from(end)) {
        (Err(_), Ok(end)) => text.get(..end).ok_or_else(|| bounds(&format!("[:{end}] with length {length}")))?,
        (Err(_), Err(_)) => return Err(bounds(&format!("[:{end}]"))),
        (Ok(start), Ok(end)) if end <= length => {
            text.get(start..end).ok_or_else(|| bounds(&format!("[{start}:{end}]")))?
        }
        (Ok(start), _) => text.get(start..).ok_or_else(|| bounds(&format!("[{start}:{length}]")))?,
    };
    Ok(Data::Text(cut.into()))
}

fn trunc(c: &Call<'_, '_>) -> Outcome {
    let (count, text) = (c.int(0), c.bytes(1));
    let length = text.len() as i64;
    Ok(Data::Text(if count < 0 && length.saturating_add(count) > 0 {
        text[(length + count) as usize..].into()
    } else if count >= 0 && length > count {
        text[..count as usize].into()
    } else {
        return Ok(c.any(1).clone());
    }))
}

fn repeat(c: &Call<'_, '_>) -> Outcome {
    let count = usize::try_from(c.int(0)).map_err(|_| Fault::new("strings: negative Repeat count"))?;
    c.room(c.bytes(1).len().saturating_mul(count))?;
    Ok(Data::Text(c.bytes(1).repeat(count).into()))
}

fn abbreviate(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let length = text.len();
    let Some(width) = usize::try_from(width).ok().filter(|w| *w >= 4 && length > *w) else { return text.to_vec() };
    let offset = usize::try_from(offset).unwrap_or(0).min(length);
    let offset = if length - offset < width - 3 { length - (width - 3) } else { offset };
    if offset <= 4 {
        return [&text[..width - 3], b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + width - 3 < length {
        return [b"...", &abbreviate(&text[offset..], 0, width as i64 - 3)[..]].concat();
    }
    [b"...", &text[length - (width - 3)..]].concat()
}

fn quote(c: &Call<'_, '_>, around: impl Fn(&[u8]) -> Vec<u8>) -> Outcome {
    let mut out = Vec::new();
    for item in c.arguments().iter().filter(|item| !item.is_nothing()) {
        let text = to_text(item)?;
        c.room(out.len() + text.bytes().len() * 2)?;
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(&around(text.bytes()));
    }
    Ok(Data::Text(out.into()))
}

fn joined(c: &Call<'_, '_>, separator: &[u8]) -> Outcome {
    let shown = c.arguments().iter().filter(|item| !item.is_nothing());
    let shown = shown.map(crate::template::print::shown).collect::<Result<Vec<_>, _>>()?;
    c.room(shown.iter().map(Vec::len).sum())?;
    Ok(Data::Text(shown.join(separator).into()))
}

fn indent(c: &Call<'_, '_>, before: &str) -> Outcome {
    let width = usize::try_from(c.int(0)).map_err(|_| Fault::new("strings: negative Repeat count"))?;
    let text = c.bytes(1);
    let lines = text.iter().filter(|b| **b == b'\n').count() + 1;
    c.room(width.saturating_mul(lines).saturating_add(text.len()))?;
    let mut out = Vec::with_capacity(text.len() + width * lines + 1);
    out.extend_from_slice(before.as_bytes());
    for (at, line) in text.split(|b| *b == b'\n').enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        out.resize(out.len() + width, b' ');
        out.extend_from_slice(line);
    }
    Ok(Data::Text(out.into()))
}

fn replace(c: &Call<'_, '_>) -> Outcome {
    let (old, new, text) = (c.bytes(0), c.bytes(1), c.bytes(2));
    if old.is_empty() {
        let text = c.text(2);
        c.room(new.len().saturating_mul(text.len() + 1).saturating_add(text.len()))?;
        let mut out = new.to_vec();
        for letter in text.chars() {
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            out.extend_from_slice(new);
        }
        return Ok(Data::Text(out.into()));
    }
    let parts = split(old, text, None);
    c.room(text.len().saturating_add(parts.len().saturating_mul(new.len())))?;
    let parts = parts.iter().map(Text::bytes).collect::<Vec<_>>();
    Ok(Data::Text(parts.join(new).into()))
}

/// As Go splits: an empty separator yields characters, a count limits the parts.
fn split(separator: &[u8], text: &[u8], count: Option<i64>) -> Vec<Text> {
    let most = match count {
        Some(0) => return Vec::new(),
        Some(count) if count > 0 => count as usize,
        _ => usize::MAX,
    };
    let mut parts = Vec::new();
    let mut rest = text;
    if separator.is_empty() {
        while !rest.is_empty() && parts.len() + 1 < most {
            let step = rest.utf8_chunks().next().and_then(|c| c.valid().chars().next()).map_or(1, char::len_utf8);
            parts.push(Text::from(&rest[..step]));
            rest = &rest[step..];
        }
        if !rest.is_empty() {
            parts.push(Text::from(rest));
        }
        return parts;
    }
    while parts.len() + 1 < most
        && let Some(at) = find(rest, separator)
    {
        parts.push(Text::from(&rest[..at]));
        rest = &rest[at + separator.len()..];
    }
    parts.push(Text::from(rest));
    parts
}

/// Parts as a map with the keys `_0`, `_1`, ….
fn parts(c: &Call<'_, '_>, parts: Vec<Text>) -> Outcome {
    c.items(parts.len())?;
    let entries = parts.into_iter().enumerate().map(|(at, part)| (Text::from(format!("_{at}")), Data::Text(part)));
    Ok(Data::Map(Map::of(Element::Text, None, entries.collect())))
}

/// Any value as a list of texts; nothings are left out.
pub(super) fn texts(data: &Data) -> Result<Vec<Text>, Fault> {
    match data {
        Data::Missing | Data::Nil => Ok(Vec::new()),
        Data::List(list) => list.items().iter().filter(|i| !i.is_nothing()).map(to_text).collect(),
        Data::Object(object) if matches!(object.plain(), Data::List(_)) => texts(&object.plain()),
        other => Ok(vec![to_text(other)?]),
    }
}

fn join(c: &Call<'_, '_>) -> Outcome {
    let parts = texts(c.any(1))?;
    let between = c.bytes(0);
    let total = parts.iter().map(|p| p.bytes().len() + between.len()).fold(0usize, usize::saturating_add);
    c.room(total)?;
    let parts = parts.iter().map(Text::bytes).collect::<Vec<_>>();
    Ok(Data::Text(parts.join(between).into()))
}

fn connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// Words in upper camel case; leading connectors stay.
fn camel(text: &str) -> String {
    let start = text.find(|c| !connector(c)).unwrap_or(text.len());
    let mut out = text[..start].to_owned();
    let mut rest = text[start..].chars();
    let Some(mut held) = rest.next() else {
        // Of what only joins words the last one is written twice.
        out.extend(text.chars().next_back());
        return out;
    };
    // Capitals that follow a first capital become small; the first small letter ends that for the word.
    let mut lowering = held.is_uppercase();
    held = upper(held);
    for mut c in rest {
        match (connector(held), connector(c)) {
            (true, true) => out.push(held),
            (true, false) => {
                lowering = c.is_uppercase();
                c = upper(c);
            }
            (false, _) => {
                lowering &= c.is_uppercase();
                if lowering {
                    c = lower(c);
                }
                out.push(held);
            }
        }
        held = c;
    }
    out.push(held);
    out
}

/// Symbols and the like, which make words of their own; punctuation joins words.
fn symbol(c: char) -> bool {
    let punctuation = c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c)
        || "\u{a1}\u{a7}\u{ab}\u{b6}\u{b7}\u{bb}\u{bf}".contains(c)
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}');
    !c.is_alphanumeric() && !punctuation && !connector(c) && c != '\u{FFFD}'
}

/// Words in lower case with `between` between them. A number begins a word where a small letter follows
/// it, and ends one otherwise.
fn connected(text: &str, between: char) -> String {
    let chars = text.chars().collect::<Vec<_>>();
    let mut out = String::with_capacity(text.len() + 8);
    let mut number_word = false;
    let mut punctuation = false;
    for (at, &c) in chars.iter().enumerate() {
        // A hyphen among other punctuation joins nothing.
        punctuation = matches!(c, '-' | '_') && punctuation
            || !(connector(c) || c.is_alphanumeric() || symbol(c) || c == char::REPLACEMENT_CHARACTER);
        if punctuation {
            out.push(c);
            continue;
        }
        if connector(c) {
            out.push(between);
            number_word = false;
            continue;
        }
        let before = at.checked_sub(1).map(|at| chars[at]);
        let after = |at: usize| chars.get(at).copied();
        let boundary = match before {
            Some(b) if b.is_alphanumeric() || symbol(b) => {
                if symbol(c) != symbol(b) && !(c.is_numeric() && symbol(b)) {
                    c.is_alphanumeric() || symbol(c)
                } else if c.is_uppercase() {
                    !b.is_uppercase() || after(at + 1).is_some_and(char::is_lowercase)
                } else if c.is_numeric() && (b.is_alphabetic() || symbol(b)) {
                    let end = (at..chars.len()).find(|at| !chars[*at].is_numeric());
                    !number_word && end.is_some_and(|end| chars[end].is_lowercase())
                } else {
                    false
                }
            }
            _ => false,
        };
        if boundary {
            out.push(between);
        }
        if boundary || before.is_none_or(connector) {
            number_word = c.is_numeric();
        }
        out.push(lower(c));
    }
    out
}

/// Breaks lines at blanks so that they have at most `width` characters; `long` breaks words, too.
fn wrap(c: &Call<'_, '_>, text: &str, width: i64, newline: &str, long: bool) -> Outcome {
    let width = usize::try_from(width).unwrap_or(0).max(1);
    let chars = text.chars().collect::<Vec<_>>();
    let newline = if newline.is_empty() { "\n" } else { newline };
    let mut out = String::new();
    let mut offset = 0;
    while chars.len() - offset > width {
        c.room(out.len())?;
        if chars[offset] == ' ' {
            offset += 1;
            continue;
        }
        let end = offset + width + 1;
        if let Some(at) = (offset..end.min(chars.len())).rev().find(|at| chars[*at] == ' ') {
            out.extend(&chars[offset..at]);
            out.push_str(newline);
            offset = at + 1;
        } else if long {
            out.extend(&chars[offset..offset + width]);
            out.push_str(newline);
            offset += width;
        } else {
            match (offset + width..chars.len()).find(|at| chars[*at] == ' ') {
                Some(at) => {
                    out.extend(&chars[offset..at]);
                    out.push_str(newline);
                    offset = at + 1;
                }
                None => {
                    out.extend(&chars[offset..]);
                    offset = chars.len();
                }
            }
        }
    }
    out.extend(&chars[offset..]);
    Ok(Data::from(out))
}
