//! The common part of YAML, read many times faster than the whole: maps and lists in block style, scalars on one
//! line or folded over several, literal blocks, small collections in flow style. What charts render is almost all
//! of this kind, and megabytes of it.
//!
//! Whatever is not plainly of this kind is left to the complete reader, mistakes included: [`read`] and [`head`]
//! answer nothing then. Every text that they take has been gone through to its end.

mod scalars;

use granit_parser::ScalarStyle;

use super::read::{key_text, value_of};
use super::scalar::{Scalar, resolve};
use crate::template::data::Data;
use crate::value::Value;
use scalars::{Ending, flow, plain_end, unquote};

/// Collections inside of each other.
const MAX_DEPTH: usize = 60;
/// Longest key.
const MAX_KEY: usize = 200;
/// What [`head`] keeps of an object.
const HEAD: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// What is made of a text.
pub(super) trait Build: Sized {
    /// A null, and whatever is not kept.
    fn null() -> Self;
    /// A scalar without quotes; nothing where JSON has no such number.
    fn plain(text: &str) -> Option<Self>;
    /// A text.
    fn text(text: String) -> Self;
    /// A list.
    fn list(items: Vec<Self>) -> Self;
    /// A map; of entries with the same key the last one counts.
    fn map(entries: Vec<(String, Self)>) -> Self;
}

impl Build for Value {
    fn null() -> Self {
        Value::Null
    }

    fn plain(text: &str) -> Option<Self> {
        value_of(text, ScalarStyle::Plain, None).ok()
    }

    fn text(text: String) -> Self {
        Value::String(text)
    }

    fn list(items: Vec<Self>) -> Self {
        Value::List(items)
    }

    fn map(entries: Vec<(String, Self)>) -> Self {
        Value::Map(entries.into_iter().collect())
    }
}

/// As templates see it.
impl Build for Data {
    fn null() -> Self {
        Data::Nil
    }

    fn plain(text: &str) -> Option<Self> {
        Some(match resolve(text) {
            Scalar::Null => Data::Nil,
            Scalar::Bool(truth) => Data::Bool(truth),
            Scalar::Int(number) => Data::Float(number as f64),
            Scalar::Float(number) if number.is_finite() => Data::Float(number),
            Scalar::Float(_) => return None,
            Scalar::Timestamp | Scalar::Merge | Scalar::Text => Data::from(text),
        })
    }

    fn text(text: String) -> Self {
        Data::from(text)
    }

    fn list(items: Vec<Self>) -> Self {
        Data::list(items)
    }

    fn map(entries: Vec<(String, Self)>) -> Self {
        Data::map(entries)
    }
}

/// The only document of a text, where it is of the common kind.
pub(super) fn read<B: Build>(text: &str) -> Option<B> {
    document(text, true)
}

/// The same without most of what it says: of a map, only the fields that every object has.
pub(super) fn head(text: &str) -> Option<Value> {
    document(text, false)
}

fn document<B: Build>(text: &str, whole: bool) -> Option<B> {
    if text.bytes().fold(false, |any, b| any | ((b < b' ') & (b != b'\n')) | (b >= 0x7F)) && !usual(text.as_bytes()) {
        return None;
    }
    let mut reader = Reader { text, line: Line::default(), next: 0, over: false, strange: false, whole };
    reader.advance();
    let Some(indent) = reader.seek() else { return (!reader.strange).then(B::null) };
    let value = reader.node(indent, 0, whole)?;
    (reader.seek().is_none() && !reader.strange).then_some(value)
}

/// Whether there is no character that YAML takes for more than itself, or not at all.
fn usual(bytes: &[u8]) -> bool {
    let odd = |bytes: &[u8]| match bytes {
        [0xC2, 0x80..=0x9F, ..] | [0xE2, 0x80, 0xA8 | 0xA9, ..] | [0xEF, 0xBB | 0xBF, ..] => true,
        [first, ..] => (*first < b' ' && *first != b'\n') || *first == 0x7F,
        [] => false,
    };
    !(0..bytes.len()).any(|at| (bytes[at] < b' ' || bytes[at] >= 0x7F) && odd(&bytes[at..]))
}

/// A line without the spaces in front.
#[derive(Clone, Copy, Default)]
struct Line<'t> {
    /// The spaces in front, or the column where an item of a list was set aside.
    indent: usize,
    content: &'t str,
    /// Where the line begins in the text.
    start: usize,
}

struct Reader<'t> {
    text: &'t str,
    line: Line<'t>,
    /// Where the next line begins; beyond the end of the text after the last.
    next: usize,
    /// There is no line any more.
    over: bool,
    /// There is a mark between documents, or a directive.
    strange: bool,
    /// Whether everything is kept.
    whole: bool,
}

/// Whether a text begins an item of a list.
fn is_item(content: &str) -> bool {
    matches!(content.as_bytes(), [b'-'] | [b'-', b' ', ..])
}

/// Whether nothing but a comment follows.
fn is_end(rest: &str) -> bool {
    let trimmed = rest.trim_start_matches(' ');
    trimmed.is_empty() || (trimmed.starts_with('#') && trimmed.len() < rest.len())
}

/// A plain scalar, `Null` where it is not kept. Numbers that JSON does not have are not of the common kind.
fn plain<B: Build>(text: &str, keep: bool) -> Option<B> {
    if keep {
        return B::plain(text);
    }
    let number = matches!(text.as_bytes().first(), Some(b'0'..=b'9' | b'+' | b'-' | b'.'));
    match if number { resolve(text) } else { Scalar::Text } {
        Scalar::Float(number) if !number.is_finite() => None,
        _ => Some(B::null()),
    }
}

/// A plain scalar as a key, empty where it is not kept.
fn plain_key(text: &str, keep: bool) -> Option<String> {
    let common = matches!(text.as_bytes().first(), Some(b'a'..=b'm' | b'o'..=b'z' | b'A'..=b'M' | b'O'..=b'Z'));
    if !keep && common {
        return Some(String::new());
    }
    key_text(&value_of(text, ScalarStyle::Plain, None).ok()?)
}

impl<'t> Reader<'t> {
    /// Goes to the next line.
    fn advance(&mut self) {
        if self.next > self.text.len() {
            self.over = true;
            self.line = Line { content: "", indent: 0, start: self.text.len() };
            return;
        }
        let start = self.next;
        let rest = &self.text[start..];
        let whole = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest, |end| &rest[..end]);
        self.next = start + whole.len() + 1;
        let content = whole.trim_start_matches(' ');
        self.line = Line { indent: whole.len() - content.len(), content, start };
    }

    /// Goes on to a line with content, if this one has none, and returns its indentation.
    fn seek(&mut self) -> Option<usize> {
        loop {
            let content = self.line.content;
            match content.as_bytes().first() {
                None if self.over => return None,
                None | Some(b'#') => self.advance(),
                Some(b'-' | b'.' | b'%')
                    if self.line.indent == 0 && ["---", "...", "%"].iter().any(|mark| content.starts_with(mark)) =>
                {
                    self.strange = true;
                    return None;
                }
                Some(_) => return Some(self.line.indent),
            }
        }
    }

    /// The collection whose first line is here.
    fn node<B: Build>(&mut self, indent: usize, depth: usize, keep: bool) -> Option<B> {
        if depth > MAX_DEPTH {
            return None;
        }
        if is_item(self.line.content) { self.list(indent, depth, keep) } else { self.map(indent, depth, keep) }
    }

    /// What stands on lines of its own below a key or hyphen at `outer`.
    fn below<B: Build>(&mut self, indent: usize, outer: usize, depth: usize, keep: bool) -> Option<B> {
        let content = self.line.content;
        if content.starts_with(['[', '{']) {
            return self.scalar(content, outer, depth, keep);
        }
        self.node(indent, depth, keep)
    }

    fn list<B: Build>(&mut self, indent: usize, depth: usize, keep: bool) -> Option<B> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut items = Vec::new();
        while let Some(here) = self.seek() {
            let line = self.line;
            if here < indent || (here == indent && !is_item(line.content)) {
                break;
            }
            if here > indent {
                return None;
            }
            let rest = &line.content[1..];
            let inner = rest.trim_start_matches(' ');
            let item = if is_end(rest) {
                self.advance();
                match self.seek() {
                    Some(deeper) if deeper > indent => self.below(deeper, indent, depth + 1, keep)?,
                    _ => B::null(),
                }
            } else if is_item(inner) || (!inner.starts_with(['[', '{']) && key(inner, false)?.is_some()) {
                // The rest of the line is the first of a list or map.
                let column = indent + line.content.len() - inner.len();
                self.line = Line { indent: column, content: inner, start: line.start };
                self.node(column, depth + 1, keep)?
            } else {
                self.scalar(inner, indent, depth, keep)?
            };
            if keep {
                items.push(item);
            }
        }
        // Of the outermost list it is known that it is one.
        Some(if keep || depth == 0 { B::list(items) } else { B::null() })
    }

    fn map<B: Build>(&mut self, indent: usize, depth: usize, keep: bool) -> Option<B> {
        if depth > MAX_DEPTH {
            return None;
        }
        // Of the outermost map some fields are kept in any case.
        let heads = depth == 0 && !self.whole;
        let mut entries = Vec::new();
        while let Some(here) = self.seek() {
            if here < indent {
                break;
            }
            let line = self.line;
            if here > indent || is_item(line.content) {
                return None;
            }
            let (key, rest) = key(line.content, keep || heads)??;
            let keep = keep || (heads && HEAD.contains(&key.as_str()));
            let value = if is_end(rest) {
                self.advance();
                match self.seek() {
                    Some(deeper) if deeper > indent => self.below(deeper, indent, depth + 1, keep)?,
                    Some(same) if same == indent && is_item(self.line.content) => self.list(indent, depth + 1, keep)?,
                    _ => B::null(),
                }
            } else {
                self.scalar(rest.trim_start_matches(' '), indent, depth, keep)?
            };
            if keep {
                entries.push((key, value));
            }
        }
        Some(if keep || heads { B::map(entries) } else { B::null() })
    }

    /// The scalar or flow collection that begins here, and everything that belongs to it. `indent` is that of
    /// what holds it.
    fn scalar<B: Build>(&mut self, text: &'t str, indent: usize, depth: usize, keep: bool) -> Option<B> {
        let value = match text.as_bytes()[0] {
            b'|' => return self.literal(text[1..].trim_end_matches(' '), indent, keep),
            b'"' | b'\'' => self.quoted(text, indent, keep)?,
            b'[' | b'{' => {
                let (value, rest) = flow(text, depth + 1, keep)?;
                if !is_end(rest) {
                    return None;
                }
                self.advance();
                value
            }
            _ => self.plain(text, indent, keep)?,
        };
        // A line that is deeper would go on with this scalar, or is a mistake.
        if self.seek().is_some_and(|deeper| deeper > indent) { None } else { Some(value) }
    }

    /// Goes to the next line with content, comments included, and returns how many blank ones there were.
    fn skip_blank(&mut self) -> usize {
        self.advance();
        let mut blank = 0;
        while self.line.content.is_empty() && !self.over {
            blank += 1;
            self.advance();
        }
        blank
    }

    /// A scalar without quotes, up to a comment or a line that is not deeper.
    fn plain<B: Build>(&mut self, text: &'t str, indent: usize, keep: bool) -> Option<B> {
        let bytes = text.as_bytes();
        let starts = match bytes[0] {
            b'-' => bytes.get(1).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')),
            b => b.is_ascii_alphanumeric() || b"_./$~+(^=\\;<".contains(&b) || b >= 0x80,
        };
        if !starts {
            return None;
        }
        let (first, commented) = plain_end(text)?;
        let mut blank = self.skip_blank();
        let deeper = |line: &Line<'_>| !line.content.is_empty() && line.indent > indent;
        if commented || !deeper(&self.line) {
            return plain(first, keep);
        }
        let mut folded = String::new();
        if keep {
            folded.push_str(first);
        }
        let mut several = false;
        while deeper(&self.line) && !self.line.content.starts_with('#') {
            several = true;
            let (more, commented) = plain_end(self.line.content)?;
            if commented {
                return None;
            }
            if keep {
                fold(&mut folded, blank);
                folded.push_str(more);
            }
            blank = self.skip_blank();
        }
        // A text of several lines is no number, whatever it looks like.
        plain(if several { &folded } else { first }, keep)
    }

    fn quoted<B: Build>(&mut self, text: &'t str, indent: usize, keep: bool) -> Option<B> {
        let quote = text.as_bytes()[0];
        let mut value = String::new();
        let mut piece = &text[1..];
        loop {
            // Spaces at the end of a line mean nothing, unless the last of them is escaped.
            let trimmed = piece.trim_end_matches(' ');
            let slashes = trimmed.len() - trimmed.trim_end_matches('\\').len();
            if quote == b'"' && trimmed.len() < piece.len() && slashes % 2 == 1 {
                return None;
            }
            match unquote(trimmed, quote, keep.then_some(&mut value))? {
                Ending::Closed(rest) => {
                    if !is_end(rest) {
                        return None;
                    }
                    self.advance();
                    return Some(if keep { B::text(value) } else { B::null() });
                }
                Ending::Open { joined } => {
                    let blank = self.skip_blank();
                    if self.over || self.line.indent <= indent || (joined && blank > 0) {
                        return None;
                    }
                    if keep && !joined {
                        fold(&mut value, blank);
                    }
                    piece = self.line.content;
                }
            }
        }
    }

    /// A literal block after its bar.
    fn literal<B: Build>(&mut self, header: &str, indent: usize, keep: bool) -> Option<B> {
        let (depth, chomp) = match header.as_bytes() {
            [] => (None, b' '),
            [chomp @ (b'-' | b'+')] => (None, *chomp),
            [depth @ b'1'..=b'9'] => (Some(depth - b'0'), b' '),
            [depth @ b'1'..=b'9', chomp @ (b'-' | b'+')] => (Some(depth - b'0'), *chomp),
            _ => return None,
        };
        let mut widest = 0;
        let mut blank = 0;
        self.advance();
        while self.line.content.is_empty() && !self.over {
            widest = widest.max(self.line.indent);
            blank += 1;
            self.advance();
        }
        let inner = depth.map_or(self.line.indent, |depth| indent + usize::from(depth));
        if self.over || inner <= indent || self.line.indent < inner || widest > inner {
            return None;
        }
        let mut value = String::new();
        if keep {
            value.extend(std::iter::repeat_n('\n', blank));
        }
        blank = 0;
        while !self.over {
            if self.line.content.is_empty() && self.line.indent <= inner {
                blank += 1;
            } else if !self.line.content.is_empty() && self.line.indent <= indent {
                break;
            } else if self.line.indent < inner {
                return None;
            } else {
                if keep {
                    value.extend(std::iter::repeat_n('\n', blank));
                    value.push_str(&self.text[self.line.start + inner..self.next - 1]);
                    value.push('\n');
                }
                blank = 0;
            }
            self.advance();
        }
        // Where the end of the text cuts the block off is for the complete reader to see.
        if self.over && !self.text.ends_with('\n') {
            return None;
        }
        match chomp {
            b'-' => {
                value.pop();
            }
            b'+' => {
                // What follows the last line break of the text is no line.
                let blank = if self.over { blank - 1 } else { blank };
                value.extend(std::iter::repeat_n('\n', blank));
            }
            _ => {}
        }
        Some(if keep { B::text(value) } else { B::null() })
    }
}

/// The line break, and the blank lines after it, as a folded scalar has them.
fn fold(value: &mut String, blank: usize) {
    if blank == 0 {
        value.push(' ');
    }
    value.extend(std::iter::repeat_n('\n', blank));
}

/// Bytes that may stand in a plain key.
static IN_KEY: [bool; 256] = table(b"_-./$~@+()*^\\=: ");
/// Bytes that may begin one.
static BEGINS_KEY: [bool; 256] = table(b"_./$~+(^=\\");

/// Letters, digits and some others.
const fn table(others: &[u8]) -> [bool; 256] {
    let mut all = [false; 256];
    let mut at = 0;
    while at < 256 {
        all[at] = (at as u8).is_ascii_alphanumeric();
        at += 1;
    }
    at = 0;
    while at < others.len() {
        all[others[at] as usize] = true;
        at += 1;
    }
    all
}

/// A key with what follows its colon. `None`: not of the common kind; `Some(None)`: no key at all.
#[expect(clippy::option_option, reason = "unclear, no key, a key")]
fn key(content: &str, keep: bool) -> Option<Option<(String, &str)>> {
    let bytes = content.as_bytes();
    let first = bytes[0];
    if matches!(first, b'"' | b'\'') {
        let mut text = String::new();
        let Ending::Closed(rest) = unquote(&content[1..], first, Some(&mut text))? else { return Some(None) };
        return match rest.strip_prefix(':') {
            Some(rest) if text.len() <= MAX_KEY && (rest.is_empty() || rest.starts_with(' ')) => {
                Some(Some((text, rest)))
            }
            Some(_) => None,
            None => Some(None),
        };
    }
    let colon = memchr::memchr_iter(b':', bytes).find(|at| matches!(bytes.get(at + 1), None | Some(b' ')));
    let Some(colon) = colon else { return Some(None) };
    let (text, rest) = (&content[..colon], &content[colon + 1..]);
    let fits = text.bytes().all(|b| IN_KEY[usize::from(b)]);
    if text.is_empty() || text.len() > MAX_KEY || !BEGINS_KEY[usize::from(first)] || !fits || text.ends_with(' ') {
        return None;
    }
    Some(Some((plain_key(text, keep)?, rest)))
}

#[cfg(test)]
mod tests;
