//! The spanned tree of a stack file: TOML as read, before anything is known of its meaning.
//!
//! Reports syntax errors, several at once, and refuses what no stack needs: text that is not text, keys
//! nested a hundred deep. Does not know what a key means and does not merge overlays (`overlay`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::diag::{Diagnostic, Source, Span};
use crate::stack::reference::Piece;

/// The longest stack file that is read, in bytes. A hundred thousand `[values]` tables take 40 MB.
const LONGEST: usize = 64 << 20;

/// Keys joined by dots in one place, as in `[a.b.c]`. The parser bounds brackets itself, not these.
const LONGEST_KEY: usize = 32;

/// Tables and arrays within each other.
const DEEPEST: usize = 64;

/// Syntax errors shown of one file; noise has thousands.
const MOST_ERRORS: usize = 50;

/// One value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Where the value stands. For a table made by a header the header, for one made by dotted keys the key.
    pub span: Span,
    /// What stands there.
    pub node: Node,
}

/// A TOML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Text as written, references and escapes in it.
    String(String),
    /// Text whose inputs have been filled in.
    Pieces(Vec<Piece>),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A date, time or both, as written.
    Datetime(String),
    /// `[…]` or `[[…]]`.
    List(Vec<Tree>),
    /// `{…}`, `[header]` or dotted keys.
    Table(Table),
}

/// The entries of a table, by key.
pub type Table = BTreeMap<String, Entry>;

/// One entry of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key: Span,
    /// Its value.
    pub value: Tree,
}

impl Tree {
    /// The type's name with its article, as messages say it: `a string`.
    pub fn type_name(&self) -> &'static str {
        match self.node {
            Node::String(_) | Node::Pieces(_) => "a string",
            Node::Int(_) => "a whole number",
            Node::Float(_) => "a decimal number",
            Node::Bool(_) => "a boolean",
            Node::Datetime(_) => "a date or time",
            Node::List(_) => "an array",
            Node::Table(_) => "a table",
        }
    }

    /// The entries, when this is a table.
    pub fn table(&self) -> Option<&Table> {
        match &self.node {
            Node::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The value under `key`, when this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.table()?.get(key).map(|entry| &entry.value)
    }

    /// The text, when this is a string.
    pub fn text(&self) -> Option<&str> {
        match &self.node {
            Node::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a text. The tree holds what could be read; with any diagnostic it is incomplete.
pub fn read(source: &Arc<Source>) -> (Tree, Vec<Diagnostic>) {
    let whole = |range| Span { source: source.clone(), range };
    let empty = Tree { span: whole(0..0), node: Node::Table(Table::new()) };
    if let Some(mistake) = unreadable(source) {
        return (empty, vec![mistake]);
    }
    // A long text is read for its first error only: noise of ten megabytes has a million.
    let (table, errors) = if source.text.len() > 1 << 20 {
        match DeTable::parse(&source.text) {
            Ok(table) => (table, Vec::new()),
            Err(error) => return (empty, vec![syntax_error(source, &error)]),
        }
    } else {
        DeTable::parse_recoverable(&source.text)
    };
    let mut reader = Reader { source, diagnostics: Vec::new() };
    for error in errors.iter().take(MOST_ERRORS) {
        let diagnostic = syntax_error(source, error);
        if reader.diagnostics.last() != Some(&diagnostic) {
            reader.diagnostics.push(diagnostic);
        }
    }
    if errors.len() > MOST_ERRORS {
        let more = errors.len() - MOST_ERRORS;
        reader.diagnostics.push(
            Diagnostic::error(format!("{more} more syntax errors in this file"))
                .hint("correct the first ones; the others may follow from them"),
        );
    }
    let table = reader.table(table.get_ref(), 0);
    (Tree { span: whole(0..0), node: Node::Table(table) }, reader.diagnostics)
}

fn syntax_error(source: &Arc<Source>, error: &toml::de::Error) -> Diagnostic {
    let length = source.text.len();
    let range = error.span().unwrap_or(length..length);
    let range = floor(&source.text, range.start)..floor(&source.text, range.end.max(range.start));
    let (what, expected) = match error.message().split_once(", expected ") {
        Some(("string values must be quoted", _)) if range.is_empty() => {
            ("a value is missing", "belongs here".to_owned())
        }
        Some((what @ "string values must be quoted", _)) => (what, "not in quotes".to_owned()),
        Some((what, expected)) if expected != "nothing" => (what, format!("expected {expected}")),
        Some((what, _)) => (what, "not expected here".to_owned()),
        None if error.message() == "duplicate key" => ("duplicate key", "is there already".to_owned()),
        None => (error.message(), "here".to_owned()),
    };
    Diagnostic::error(format!("not valid TOML: {what}")).at(Span { source: source.clone(), range }, expected)
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What makes a text unfit for the parser.
fn unreadable(source: &Arc<Source>) -> Option<Diagnostic> {
    let text = &source.text;
    if text.len() > LONGEST {
        let size = text.len() >> 20;
        return Some(
            Diagnostic::error(format!("{} is too long: {size} MiB", source.name))
                .detail(format!("A stack file holds at most {} MiB.", LONGEST >> 20))
                .hint("split the stack, or keep big values in files of their own"),
        );
    }
    if let Some(at) = text.bytes().position(|byte| byte == 0) {
        return Some(
            Diagnostic::error(format!("{} is not a text file", source.name))
                .at(Span { source: source.clone(), range: at..at + 1 }, "a zero byte")
                .hint("name a stack file, for example stacks/gpu-t4.toml"),
        );
    }
    long_key(text).map(|range| {
        Diagnostic::error("this key has too many parts")
            .detail(format!("At most {LONGEST_KEY} parts may be joined by dots."))
            .at(Span { source: source.clone(), range }, "too deep")
    })
}

/// The start of a run of more than [`LONGEST_KEY`] words joined by single dots.
///
/// Looks at characters only, so that a text of a hundred thousand dotted keys never becomes a tree as deep,
/// whose mere destruction would overflow the stack.
fn long_key(text: &str) -> Option<Range<usize>> {
    let (mut start, mut parts, mut in_word) = (0, 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'.' if in_word => {
                parts += 1;
                in_word = false;
                if parts > LONGEST_KEY {
                    return Some(floor(text, start)..floor(text, at));
                }
            }
            b' ' | b'\t' => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'"' | b'\'' => {
                if parts == 0 && !in_word {
                    start = at;
                }
                in_word = true;
            }
            _ => (parts, in_word) = (0, false),
        }
    }
    None
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn span(&self, range: Range<usize>) -> Span {
        let (start, end) = (floor(&self.source.text, range.start), floor(&self.source.text, range.end));
        Span { source: self.source.clone(), range: start..end.max(start) }
    }

    fn table(&mut self, table: &DeTable<'_>, depth: usize) -> Table {
        let mut entries = Table::new();
        for (key, value) in table {
            let span = self.span(key.span());
            let name = key.get_ref().to_string();
            if name.contains("${") {
                self.diagnostics.push(
                    Diagnostic::error("a key cannot hold a reference")
                        .at(span.clone(), "references are resolved in values only")
                        .hint("write the key out, or move the reference into the value"),
                );
            }
            if let Some(value) = self.value(value.get_ref(), value.span(), &span, depth + 1) {
                entries.insert(name, Entry { key: span, value });
            }
        }
        entries
    }

    fn value(&mut self, value: &DeValue<'_>, range: Range<usize>, key: &Span, depth: usize) -> Option<Tree> {
        // Tables of dotted keys have no place of their own.
        let span = if range.is_empty() { key.clone() } else { self.span(range) };
        if depth > DEEPEST {
            let label = format!("more than {DEEPEST} levels deep");
            self.diagnostics.push(Diagnostic::error("this value is nested too deeply").at(span, label));
            return None;
        }
        let node = match value {
            DeValue::String(text) => Node::String(text.to_string()),
            DeValue::Boolean(truth) => Node::Bool(*truth),
            DeValue::Datetime(datetime) => Node::Datetime(datetime.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Node::Int(number),
                Err(_) => {
                    self.out_of_range(span, "whole numbers hold 64 bits");
                    return None;
                }
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => Node::Float(number),
                _ => {
                    self.out_of_range(span, "not a finite number");
                    return None;
                }
            },
            DeValue::Array(items) => Node::List(
                items.iter().filter_map(|item| self.value(item.get_ref(), item.span(), &span, depth + 1)).collect(),
            ),
            DeValue::Table(table) => Node::Table(self.table(table, depth)),
        };
        Some(Tree { span, node })
    }

    fn out_of_range(&mut self, span: Span, why: &str) {
        self.diagnostics.push(Diagnostic::error("this number is out of range").at(span, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> (Tree, Vec<Diagnostic>) {
        read(&Arc::new(Source { name: "s.toml".into(), text: text.into() }))
    }

    #[test]
    fn several_syntax_errors_are_found_at_once() {
        let (_, mistakes) = tree("a = \nb = [1,\nc = 'x\n[t\n");
        assert!(mistakes.len() > 2, "{mistakes:#?}");
    }

    #[test]
    fn a_header_chain_of_a_hundred_thousand_parts_is_refused() {
        for text in [format!("[{}a]", "a.".repeat(100_000)), format!("x = {{ {}a = 1 }}", "\"a\" . ".repeat(100_000))] {
            let (_, mistakes) = tree(&text);
            assert_eq!(mistakes[0].summary, "this key has too many parts");
        }
        let (_, mistakes) = tree("text = '''\nWell.... it. goes. on.\n'''\nversion = '1.2.3.4.5.6.7.8.9.10'\n");
        assert_eq!(mistakes, []);
    }

    #[test]
    fn nested_brackets_are_refused_before_they_hurt() {
        for text in [format!("x = {}", "[".repeat(100_000)), format!("x = {}1{}", "[".repeat(70), "]".repeat(70))] {
            assert!(!tree(&text).1.is_empty());
        }
    }

    #[test]
    fn numbers_beyond_64_bits_and_infinities_are_refused() {
        let (_, mistakes) = tree("a = 9223372036854775808\nb = inf\nc = 1e999\nd = nan\ne = 9223372036854775807\n");
        assert_eq!(mistakes.len(), 4, "{mistakes:#?}");
    }
}
