//! The common part of YAML, read several times faster than the whole: maps and lists in block style, scalars on
//! one line, literal blocks. What charts render is almost all of this kind, and megabytes of it.
//!
//! Whatever is not plainly of this kind is left to the complete reader, mistakes included: [`read`] answers
//! nothing then.

use granit_parser::ScalarStyle;

use super::read::{key_text, value_of};
use crate::value::{Map, Value};

/// Collections inside of each other.
const MAX_DEPTH: usize = 60;
/// Longest key.
const MAX_KEY: usize = 200;

/// The only document of a text, where it is of the common kind.
pub(super) fn read(text: &str) -> Option<Value> {
    let odd = |bytes: &[u8]| match bytes {
        [0xC2, 0x80..=0x9F, ..] | [0xE2, 0x80, 0xA8 | 0xA9, ..] | [0xEF, 0xBB | 0xBF, ..] => true,
        [first, ..] => (*first < b' ' && *first != b'\n') || *first == 0x7F,
        [] => false,
    };
    let bytes = text.as_bytes();
    if (0..bytes.len()).any(|at| (bytes[at] < b' ' || bytes[at] >= 0x7F) && odd(&bytes[at..])) {
        return None;
    }
    let lines = text.split('\n').map(|line| {
        let content = line.trim_start_matches(' ');
        Line { indent: line.len() - content.len(), content, whole: line }
    });
    let mut reader = Reader { lines: lines.collect(), at: 0, ends: text.ends_with('\n') };
    if reader
        .lines
        .iter()
        .any(|line| line.indent == 0 && ["---", "...", "%"].iter().any(|m| line.content.starts_with(m)))
    {
        return None;
    }
    let Some(indent) = reader.seek() else { return Some(Value::Null) };
    let value = reader.node(indent, 0)?;
    (reader.seek().is_none()).then_some(value)
}

#[derive(Clone, Copy)]
struct Line<'t> {
    indent: usize,
    content: &'t str,
    whole: &'t str,
}

struct Reader<'t> {
    lines: Vec<Line<'t>>,
    at: usize,
    /// Whether the text ends with a line break.
    ends: bool,
}

/// Whether a text begins an item of a list.
fn is_item(content: &str) -> bool {
    content == "-" || content.starts_with("- ")
}

/// Whether nothing but a comment follows.
fn is_end(rest: &str) -> bool {
    let trimmed = rest.trim_start_matches(' ');
    trimmed.is_empty() || (trimmed.starts_with('#') && trimmed.len() < rest.len())
}

impl<'t> Reader<'t> {
    /// Goes to the next line with content, and returns its indentation.
    fn seek(&mut self) -> Option<usize> {
        while let Some(line) = self.lines.get(self.at) {
            if !line.content.is_empty() && !line.content.starts_with('#') {
                return Some(line.indent);
            }
            self.at += 1;
        }
        None
    }

    /// The collection whose first line is here.
    fn node(&mut self, indent: usize, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        if is_item(self.lines[self.at].content) { self.list(indent, depth) } else { self.map(indent, depth) }
    }

    fn list(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while let Some(here) = self.seek() {
            let line = self.lines[self.at];
            if here < indent || (here == indent && !is_item(line.content)) {
                break;
            }
            if here > indent {
                return None;
            }
            let rest = &line.content[1..];
            let inner = rest.trim_start_matches(' ');
            items.push(if is_end(rest) {
                self.at += 1;
                match self.seek() {
                    Some(deeper) if deeper > indent => self.node(deeper, depth + 1)?,
                    _ => Value::Null,
                }
            } else if is_item(inner) {
                return None;
            } else if key(inner)?.is_some() {
                // The rest of the line is the first of a map.
                let column = indent + line.content.len() - inner.len();
                self.lines[self.at] = Line { indent: column, content: inner, whole: line.whole };
                self.map(column, depth + 1)?
            } else {
                self.scalar(inner, indent)?
            });
        }
        Some(Value::List(items))
    }

    fn map(&mut self, indent: usize, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut entries = Map::new();
        while let Some(here) = self.seek() {
            if here < indent {
                break;
            }
            let line = self.lines[self.at];
            if here > indent || is_item(line.content) {
                return None;
            }
            let (key, rest) = key(line.content)??;
            let value = if is_end(rest) {
                self.at += 1;
                match self.seek() {
                    Some(deeper) if deeper > indent => self.node(deeper, depth + 1)?,
                    Some(same) if same == indent && is_item(self.lines[self.at].content) => {
                        if depth + 1 > MAX_DEPTH {
                            return None;
                        }
                        self.list(indent, depth + 1)?
                    }
                    _ => Value::Null,
                }
            } else {
                self.scalar(rest.trim_start_matches(' '), indent)?
            };
            entries.insert(key, value);
        }
        Some(Value::Map(entries))
    }

    /// The scalar that begins here, and everything that belongs to it. `indent` is that of what holds it.
    fn scalar(&mut self, text: &'t str, indent: usize) -> Option<Value> {
        if let Some(header) = text.strip_prefix('|') {
            return self.literal(header.trim_end_matches(' '), indent);
        }
        let value = match text.as_bytes()[0] {
            b'"' | b'\'' => {
                let (value, rest) = quoted(text)?;
                if !is_end(rest) {
                    return None;
                }
                Value::String(value)
            }
            b'[' => flow(text)?,
            b'{' => {
                let rest = text.strip_prefix("{}")?;
                if !is_end(rest) {
                    return None;
                }
                Value::map()
            }
            _ => plain(text)?,
        };
        self.at += 1;
        // A line that is deeper goes on with this scalar, or is a mistake.
        let deeper = self.lines[self.at..].iter().find(|line| !line.content.is_empty());
        if deeper.is_some_and(|line| line.indent > indent) { None } else { Some(value) }
    }

    /// A literal block after its bar.
    fn literal(&mut self, header: &str, indent: usize) -> Option<Value> {
        if !matches!(header, "" | "-" | "+") {
            return None;
        }
        let start = self.at + 1;
        let first = start + self.lines[start..].iter().position(|line| !line.content.is_empty())?;
        let inner = self.lines[first].indent;
        if inner <= indent || self.lines[start..first].iter().any(|line| line.indent > inner) {
            return None;
        }
        let mut end = first;
        let mut last = first;
        while let Some(line) = self.lines.get(end) {
            if !line.content.is_empty() {
                if line.indent <= indent {
                    break;
                }
                if line.indent < inner {
                    return None;
                }
                last = end;
            } else if line.indent > inner {
                last = end;
            }
            end += 1;
        }
        if end == self.lines.len() && !self.ends {
            return None;
        }
        let mut value = String::new();
        for line in &self.lines[start..=last] {
            value.push_str(line.whole.get(inner..).unwrap_or(""));
            value.push('\n');
        }
        match header {
            "-" => {
                value.pop();
            }
            "+" => {
                // What follows the last line break of the text is no line.
                let blank = if end == self.lines.len() { end - 1 } else { end } - (last + 1);
                value.extend(std::iter::repeat_n('\n', blank));
            }
            _ => {}
        }
        self.at = end;
        Some(Value::String(value))
    }
}

/// A key with what follows its colon. `None`: not of the common kind; `Some(None)`: no key at all.
#[expect(clippy::option_option, reason = "unclear, no key, a key")]
fn key(content: &str) -> Option<Option<(String, &str)>> {
    let first = content.as_bytes()[0];
    if matches!(first, b'"' | b'\'') {
        let (text, rest) = quoted(content)?;
        return match rest.strip_prefix(':') {
            Some(rest) if text.len() <= MAX_KEY && (rest.is_empty() || rest.starts_with(' ')) => {
                Some(Some((text, rest)))
            }
            Some(_) => None,
            None => Some(None),
        };
    }
    let bytes = content.as_bytes();
    let colon = (0..bytes.len()).find(|at| bytes[*at] == b':' && matches!(bytes.get(at + 1), None | Some(b' ')));
    let Some(colon) = colon else { return Some(None) };
    let (text, rest) = (&content[..colon], &content[colon + 1..]);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-./$~@+()*^\\=: ".contains(&b);
    let starts = |b: u8| b.is_ascii_alphanumeric() || b"_./$~+(^=\\".contains(&b);
    if text.is_empty() || text.len() > MAX_KEY || !starts(first) || !text.bytes().all(fits) || text.ends_with(' ') {
        return None;
    }
    let key = key_text(&value_of(text, ScalarStyle::Plain, None).ok()?)?;
    Some(Some((key, rest)))
}

/// A quoted text that ends on its line, with what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.as_bytes()[0];
    let mut value = String::new();
    let mut from = 1;
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => {
                value.push_str(&text[from..at]);
                value.push(match bytes.get(at + 1)? {
                    b'n' => '\n',
                    b't' => '\t',
                    b'"' => '"',
                    b'\\' => '\\',
                    _ => return None,
                });
                at += 2;
                from = at;
            }
            b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => {
                value.push_str(&text[from..=at]);
                at += 2;
                from = at;
            }
            b if b == quote => {
                value.push_str(&text[from..at]);
                return Some((value, &text[at + 1..]));
            }
            _ => at += 1,
        }
    }
    None
}

/// A scalar without quotes up to the end of the line or a comment.
fn plain(text: &str) -> Option<Value> {
    let bytes = text.as_bytes();
    let starts = match bytes[0] {
        b'-' => bytes.get(1).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')),
        b => b.is_ascii_alphanumeric() || b"_./$~+(^=\\;<".contains(&b) || b >= 0x80,
    };
    let text = text.find(" #").map_or(text, |at| &text[..at]).trim_end_matches(' ');
    if !starts || text.contains(": ") || text.ends_with(':') {
        return None;
    }
    value_of(text, ScalarStyle::Plain, None).ok()
}

/// A list of simple scalars on one line.
fn flow(text: &str) -> Option<Value> {
    let mut rest = text.strip_prefix('[')?.trim_start_matches(' ');
    let mut items = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            return is_end(after).then_some(Value::List(items));
        }
        if matches!(rest.as_bytes().first()?, b'"' | b'\'') {
            let (value, after) = quoted(rest)?;
            items.push(Value::String(value));
            rest = after;
        } else {
            let end = rest.find([',', ']'])?;
            let item = rest[..end].trim_end_matches(' ');
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"_./-".contains(&b);
            if !item.bytes().all(fits) || !item.as_bytes().first()?.is_ascii_alphanumeric() {
                return None;
            }
            items.push(value_of(item, ScalarStyle::Plain, None).ok()?);
            rest = &rest[end..];
        }
        rest = rest.trim_start_matches(' ');
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start_matches(' '),
            None if rest.starts_with(']') => {}
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::read::complete;
    use super::*;

    /// Both readers agree wherever this one answers.
    fn agree(text: &str) -> bool {
        let quick = read(text);
        if let Some(value) = &quick {
            match complete(text) {
                Ok(wanted) => assert_eq!(*value, wanted, "{text:?}"),
                Err(error) => panic!("{error}: {text:?}"),
            }
        }
        quick.is_some()
    }

    #[test]
    fn the_common_kind_is_read_here() {
        for text in [
            "a: 1\nb: x y # note\nc:\n- 1\n- a: b\n  c: d\n-\n  - x\nd:\n  e: \"q\\n\"\n  'f g': 'it''s'\n",
            "a: |\n  one\n\n    two\n  three\nb: |-\n  x\n\n\nc: |+\n  y\n\n",
            "a: |+\n  y\n\nb: 1\n",
            "# head\n\na:\n\n  # note\n  b: [a, \"b c\", 'd']\n  c: []\n  d: {}\n  e:\nf: ~\n",
            "- a\n- -1\n- http://x:80/y\n",
            "0755: 0755\nyes: no\n1.5: 1_000\n",
            "a: |\n  x\n# note\nb: c",
            "args:\n  - --flag=x\n  - \"--other\"\n",
            "",
            "# only a note\n",
            "a: b:c\nd: e#f\n",
            "k:\n- name: x\n  v: |\n    a\n- name: y\n",
        ] {
            assert!(agree(text), "{text:?}");
        }
    }

    #[test]
    fn everything_else_is_left_alone() {
        for text in [
            "a: &x 1\nb: *x\n",
            "a: !!str 1\n",
            "a: {b: c}\n",
            "a: [[b]]\n",
            "a: one\n  two\n",
            "a: \"one\n  two\"\n",
            "a: >\n  x\n",
            "a: |2\n   x\n",
            "? a\n: b\n",
            "a: b: c\n",
            "a:\tb\n",
            "--- \na: 1\n",
            "- - a\n",
            "a\n",
            "a: 1\n b: 2\n",
            "a:\n  b: 1\n c: 2\n",
            "<<: {a: 1}\n",
            "a: |\n  x",
            "a: @x\n",
            "a: .inf\n",
            "a: 'x' y\n",
            "a: b\n- c\n",
            "a: \"\\x41\"\n",
            "a: [b\n",
            "a: - b\n",
            "a: |\n    x\n  y\n",
            "- a\n b\n",
        ] {
            assert!(!agree(text), "{text:?}");
        }
    }

    #[test]
    fn files_from_outside_are_read_alike() {
        // A folder of YAML files to compare both readers on.
        #[expect(clippy::disallowed_methods, reason = "only whoever compares names a folder")]
        let Ok(folder) = std::env::var("TEMPLATE_YAML") else { return };
        let (mut quick, mut all) = (0, 0);
        for file in std::fs::read_dir(folder).unwrap().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap();
            for part in text.split("\n---") {
                let part = format!("{}\n", part.trim_start_matches('-').trim());
                all += part.len();
                quick += if agree(&part) { part.len() } else { 0 };
            }
        }
        assert!(quick * 10 > all * 7, "{quick} of {all} bytes");
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_are_read_alike(pieces in proptest::collection::vec(
            prop_oneof![
                Just("a: "), Just("b:"), Just("\n"), Just("  "), Just("- "), Just("x"), Just("#"), Just(" "), Just("\n  "),
                Just("|"), Just("|-"), Just("|+"), Just("'"), Just("\""), Just("''"), Just("["), Just("]"), Just(","),
                Just("1"), Just("-"), Just("\n- "), Just("key: v\n"), Just("é"), Just(":"), Just("\n\n"), Just("{}"),
            ],
            0..14,
        )) {
            agree(&pieces.concat());
        }
    }
}
