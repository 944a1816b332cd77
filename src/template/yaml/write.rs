//! Writes YAML in the style of Go's YAML library: keys in natural order, texts plain where they read back
//! as themselves, long lines folded at blanks.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::scalar::{Scalar, is_base60, resolve};
use crate::template::budget::MAX_TEXT;
use crate::template::data::{Data, IntKind, MAX_NESTING};
use crate::template::fault::Fault;
use crate::template::literal::format_float;

/// Where lines are folded.
const WIDTH: usize = 80;

/// As `toYaml` writes it, without the last newline; empty where it cannot be written.
///
/// # Errors
/// Where a limit is reached.
pub fn text(data: &Data) -> Result<String, Fault> {
    match write(data) {
        Err(fault) if fault.kind != crate::template::fault::Kind::Limit => Ok(String::new()),
        result => result,
    }
}

/// As `toYaml` writes it, without the last newline.
///
/// # Errors
/// For what has no JSON form, or too deep nesting.
pub(in crate::template) fn write(data: &Data) -> Result<String, Fault> {
    run(data, false)
}

/// As `toYamlPretty` writes it: lists are indented below their key.
///
/// # Errors
/// For what has no JSON form, or too deep nesting.
pub(in crate::template) fn write_indented(data: &Data) -> Result<String, Fault> {
    run(data, true)
}

fn run(data: &Data, indented: bool) -> Result<String, Fault> {
    let mut writer = Writer { out: String::new(), column: 0, indent: 0, whitespace: true, indention: true, indented };
    writer.node(data, Place::Root, 0)?;
    if writer.out.ends_with('\n') {
        writer.out.pop();
    }
    Ok(writer.out)
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Item,
    MapValue,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

struct Writer {
    out: String,
    column: usize,
    indent: usize,
    whitespace: bool,
    indention: bool,
    indented: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{85}' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}') && c != '\u{FEFF}'
}

/// What a text allows.
struct Analysis {
    multiline: bool,
    plain: bool,
    single: bool,
    block: bool,
}

fn analyze(text: &str, indented: bool) -> Analysis {
    if text.is_empty() {
        return Analysis { multiline: false, plain: true, single: true, block: false };
    }
    let (mut indicators, mut breaks, mut special, mut tabs) = (false, false, false, false);
    let (mut leading_space, mut leading_break, mut trailing_space, mut trailing_break) = (false, false, false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut previous_space, mut previous_break) = (false, false);
    if text.starts_with("---") || text.starts_with("...") {
        indicators = true;
    }
    let mut before_blank = true;
    let mut rest = text.chars();
    let mut first = true;
    while let Some(c) = rest.next() {
        // Nothing is special about a word inside of a text.
        if !first && c.is_ascii_alphanumeric() {
            (previous_space, previous_break, before_blank) = (false, false, false);
            continue;
        }
        let next = rest.clone().next();
        let after_blank = next.is_none_or(|c| matches!(c, ' ' | '\t') || is_break(c));
        match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if first => {
                indicators = true;
            }
            '?' | ':' | '-' if first && after_blank => indicators = true,
            ':' if !first && after_blank => indicators = true,
            '#' if !first && before_blank => indicators = true,
            _ => {}
        }
        if c == '\t' && indented {
            tabs = true;
        } else if !printable(c) {
            special = true;
        }
        let last = next.is_none();
        if c == ' ' {
            leading_space |= first;
            trailing_space |= last;
            break_space |= previous_break;
            (previous_space, previous_break) = (true, false);
        } else if is_break(c) {
            breaks = true;
            leading_break |= first;
            trailing_break |= last;
            space_break |= previous_space;
            (previous_space, previous_break) = (false, true);
        } else {
            (previous_space, previous_break) = (false, false);
        }
        before_blank = matches!(c, ' ' | '\t') || is_break(c);
        first = false;
    }
    let edge = leading_space || leading_break || trailing_space || trailing_break;
    Analysis {
        multiline: breaks,
        plain: !(edge || break_space || space_break || special || tabs || breaks || indicators),
        single: !(break_space || space_break || special || tabs),
        block: !(trailing_space || space_break || special),
    }
}

/// Keys in the order in which a person would count them: `a2` before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let differing = a.bytes().zip(b.bytes()).find(|(a, b)| a != b);
    if let Some((a, b)) = differing
        && a.is_ascii_alphabetic()
        && b.is_ascii_alphabetic()
    {
        return a.cmp(&b);
    }
    let (a, b) = (a.chars().collect::<Vec<_>>(), b.chars().collect::<Vec<_>>());
    let shorter = a.len().min(b.len());
    for at in 0..shorter {
        if a[at] == b[at] {
            continue;
        }
        let (left, right) = (a[at].is_alphabetic(), b[at].is_alphabetic());
        if left && right {
            return a[at].cmp(&b[at]);
        }
        if left || right {
            return if right { Ordering::Less } else { Ordering::Greater };
        }
        // A number beginning with zeros is compared after them.
        let (mut left_number, mut right_number) = (0u64, 0u64);
        if a[at] == '0' || b[at] == '0' {
            let mut back = at;
            while back > 0 && a[back - 1].is_numeric() {
                back -= 1;
                if a[back] != '0' {
                    left_number = 1;
                    right_number = 1;
                    break;
                }
            }
        }
        let number = |chars: &[char], seed: u64| {
            let run = chars[at..].iter().take_while(|c| c.is_numeric());
            let (mut value, mut count) = (seed, 0);
            for c in run {
                value = value.wrapping_mul(10).wrapping_add(u64::from(*c as u32 - '0' as u32));
                count += 1;
            }
            (value, count)
        };
        let ((left_value, left_count), (right_value, right_count)) =
            (number(&a, left_number), number(&b, right_number));
        return left_value.cmp(&right_value).then(left_count.cmp(&right_count)).then(a[at].cmp(&b[at]));
    }
    a.len().cmp(&b.len())
}

/// A float as Go's library writes it after it went through JSON.
fn float(number: f64) -> Result<String, Fault> {
    if !number.is_finite() {
        return Err(Fault::new("json: unsupported value"));
    }
    let text = crate::template::literal::json_float(number);
    Ok(match resolve(&text) {
        Scalar::Int(whole) => whole.to_string(),
        Scalar::Float(_) if number >= 0.0 && number.fract() == 0.0 && number < 1.8e19 => {
            format_float(number, 'f', None)
        }
        _ => format_float(number, 'g', None),
    })
}

/// A float as Go's library writes it where it did not go through JSON.
fn bare_float(number: f64) -> String {
    match number {
        number if number.is_nan() => ".nan".to_owned(),
        f64::INFINITY => ".inf".to_owned(),
        f64::NEG_INFINITY => "-.inf".to_owned(),
        number => format_float(number, 'g', None),
    }
}

impl Writer {
    fn put(&mut self, c: char) {
        self.out.push(c);
        if is_break(c) {
            self.column = 0;
        } else {
            self.column += 1;
        }
    }

    fn puts(&mut self, text: &str) {
        text.chars().for_each(|c| self.put(c));
    }

    /// The same for a text without line breaks.
    fn run(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    /// Whether a text ends before the place where lines are folded.
    fn fits(&self, text: &str) -> bool {
        self.column + text.len() <= WIDTH
    }

    fn write_indent(&mut self) {
        if !self.indention || self.column > self.indent || self.column == self.indent && !self.whitespace {
            self.put('\n');
        }
        if self.column < self.indent {
            self.out.extend(std::iter::repeat_n(' ', self.indent - self.column));
            self.column = self.indent;
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, needs_space: bool, is_whitespace: bool, is_indention: bool) {
        if needs_space && !self.whitespace {
            self.put(' ');
        }
        self.puts(text);
        self.whitespace = is_whitespace;
        self.indention = self.indention && is_indention;
    }

    fn node(&mut self, data: &Data, place: Place, depth: usize) -> Result<(), Fault> {
        if depth > MAX_NESTING {
            return Err(Fault::limit("the value is nested too deeply, or holds itself"));
        }
        if self.out.len() > MAX_TEXT {
            return Err(Fault::limit("the YAML is longer than a rendering may make"));
        }
        match data {
            Data::Missing | Data::Nil => self.word("null"),
            Data::Bool(truth) => self.word(if *truth { "true" } else { "false" }),
            // Go's own library for YAML knows durations; the detour over JSON does not.
            Data::Int(kind @ IntKind::Duration, number) if self.indented => {
                let text = crate::template::moment::named(*kind, *number).unwrap_or_default();
                self.text(&text, false)
            }
            Data::Int(_, number) => self.word(&number.to_string()),
            Data::Float(number) => {
                let text = if self.indented { bare_float(*number) } else { float(*number)? };
                self.word(&text);
            }
            Data::Text(text) => match std::str::from_utf8(text.bytes()) {
                Err(_) if self.indented => self.binary(text.bytes()),
                _ => self.text(&text.str(), false),
            },
            Data::Bytes(bytes) => self.text(&crate::template::functions::encoding::base64(bytes.bytes()), false),
            Data::Time(moment) => self.text(&moment.rfc3339(), false),
            Data::Object(object) => match object.structure().filter(|_| self.indented) {
                // Go's library has names of its own for fields that do not go through JSON.
                Some(fields) => {
                    let known = fields.iter().filter(|field| field.json.is_some());
                    let entries = known.map(|field| (field.name.to_ascii_lowercase().into(), &field.value));
                    return self.entries(entries.collect(), place, depth);
                }
                None => return self.node(&object.plain(), place, depth + 1),
            },
            Data::List(list) if list.is_nil() => self.word(if self.indented { "[]" } else { "null" }),
            Data::List(list) if list.items().is_empty() => self.word("[]"),
            Data::Map(map) if map.is_empty() => self.word("{}"),
            Data::List(list) => {
                let outer = self.indent;
                // Below a key, items stand as far left as the key.
                let flush = place == Place::MapValue && !self.indention && !self.indented;
                self.deeper(place, flush);
                for item in list.items() {
                    self.write_indent();
                    self.indicator("-", true, false, true);
                    self.node(item, Place::Item, depth + 1)?;
                }
                self.indent = outer;
            }
            Data::Map(map) => {
                let held = map.entries();
                let mut entries = held.iter().map(|(key, item)| (key.str(), item)).collect::<Vec<_>>();
                entries.sort_by(|a, b| natural(&a.0, &b.0));
                self.entries(entries, place, depth)?;
            }
        }
        Ok(())
    }

    fn entries(&mut self, entries: Vec<(Cow<'_, str>, &Data)>, place: Place, depth: usize) -> Result<(), Fault> {
        let outer = self.indent;
        self.deeper(place, false);
        for (key, item) in entries {
            self.write_indent();
            let simple = !analyze(&key, self.indented).multiline && key.len() <= 128;
            if simple {
                self.text(&key, true);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.text(&key, false);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            self.node(item, Place::MapValue, depth + 1)?;
        }
        self.indent = outer;
        Ok(())
    }

    /// What is no text, where it does not go through JSON.
    fn binary(&mut self, bytes: &[u8]) {
        const LINE: usize = 70;
        let text = crate::template::functions::encoding::base64(bytes);
        self.indicator("!!binary", true, false, false);
        self.indent += 2;
        if text.len() < LINE {
            self.plain(&text, false);
        } else {
            let lines = text.as_bytes().chunks(LINE).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
            self.literal(&lines.collect::<String>());
        }
        self.indent -= 2;
    }

    fn deeper(&mut self, place: Place, flush: bool) {
        if place != Place::Root && !flush {
            self.indent += 2;
        }
    }

    fn word(&mut self, text: &str) {
        if !self.whitespace {
            self.put(' ');
        }
        self.puts(text);
        self.whitespace = false;
        self.indention = false;
    }

    fn text(&mut self, text: &str, key: bool) {
        // On its way through JSON, Go's library takes a NEL for a line break inside a quoted text.
        if text.contains('\u{85}') && !self.indented {
            let lines = text.split('\u{85}').collect::<Vec<_>>();
            let mut folded = lines[0].trim_end_matches([' ', '\t']).to_owned();
            let mut empty = 0;
            for (at, line) in lines.iter().enumerate().skip(1) {
                let last = at + 1 == lines.len();
                let line = line.trim_start_matches([' ', '\t']);
                let line = if last { line } else { line.trim_end_matches([' ', '\t']) };
                if line.is_empty() && !last {
                    empty += 1;
                    continue;
                }
                folded.push_str(&if empty == 0 { " ".to_owned() } else { "\n".repeat(empty) });
                folded.push_str(line);
                empty = 0;
            }
            return self.text(&folded, key);
        }
        let plain = matches!(resolve(text), Scalar::Text | Scalar::Merge) && !is_base60(text);
        let analysis = analyze(text, self.indented);
        let mut style = if text.contains('\n') {
            Style::Literal
        } else if plain {
            Style::Plain
        } else {
            Style::Double
        };
        if analysis.multiline && (key || self.indented && text.contains('\u{85}')) {
            style = Style::Double;
        }
        if style == Style::Plain && (!analysis.plain || text.is_empty() && key) {
            style = Style::Single;
        }
        if style == Style::Single && !analysis.single {
            style = Style::Double;
        }
        if style == Style::Literal && (!analysis.block || key) {
            style = Style::Double;
        }
        // What continues on further lines stands one level deeper than what it belongs to.
        self.indent += 2;
        match style {
            Style::Plain => self.plain(text, !key),
            Style::Single => self.single(text, !key),
            Style::Double => self.double(text, !key),
            Style::Literal => self.literal(text),
        }
        self.indent -= 2;
    }

    /// Whether the blank before `rest` may become a line break.
    fn folds(&self, rest: &str, allowed: bool, after_space: bool) -> bool {
        allowed && !self.indented && !after_space && self.column > WIDTH && !rest.starts_with(' ')
    }

    fn plain(&mut self, text: &str, folds: bool) {
        if !self.whitespace && !text.is_empty() {
            self.put(' ');
        }
        if !folds || self.fits(text) {
            self.run(text);
            self.whitespace = false;
            self.indention = false;
            return;
        }
        let mut rest = text;
        let mut spaces = false;
        loop {
            let word;
            (word, rest) = rest.split_at(memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len()));
            if !word.is_empty() {
                self.run(word);
                self.indention = false;
                spaces = false;
            }
            let Some(after) = rest.strip_prefix(' ') else { break };
            rest = after;
            if self.folds(rest, folds, spaces) {
                self.below();
            } else {
                self.put(' ');
            }
            spaces = true;
        }
        self.whitespace = false;
        self.indention = false;
    }

    /// A new line inside a scalar.
    fn below(&mut self) {
        self.write_indent();
    }

    fn single(&mut self, text: &str, folds: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks) = (false, false);
        let mut rest = text;
        loop {
            let word;
            (word, rest) = rest.split_at(rest.find(|c| matches!(c, ' ' | '\'') || is_break(c)).unwrap_or(rest.len()));
            let mut after = rest.chars();
            let next = after.next();
            if !word.is_empty() || next == Some('\'') {
                if breaks {
                    self.below();
                }
                self.run(word);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
            let Some(c) = next else { break };
            let first = rest.len() == text.len();
            rest = after.as_str();
            if c == ' ' {
                if self.folds(rest, folds, spaces) && !first && !rest.is_empty() {
                    self.below();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if c == '\'' {
                self.run("''");
            } else {
                if !breaks && c == '\n' {
                    self.put('\n');
                }
                self.put(c);
                self.indention = true;
                breaks = true;
            }
        }
        self.indicator("'", false, false, false);
    }

    fn double(&mut self, text: &str, folds: bool) {
        self.indicator("\"", true, false, false);
        let chars = text.chars().collect::<Vec<_>>();
        let mut spaces = false;
        // Go's library looks for a byte order mark at the beginning of the text only, wherever it is.
        let marked = text.starts_with('\u{FEFF}');
        for (at, &c) in chars.iter().enumerate() {
            if marked || !printable(c) || is_break(c) || c == '"' || c == '\\' {
                let escape = match c {
                    '\0' => "\\0".to_owned(),
                    '\u{7}' => "\\a".to_owned(),
                    '\u{8}' => "\\b".to_owned(),
                    '\t' => "\\t".to_owned(),
                    '\n' => "\\n".to_owned(),
                    '\u{b}' => "\\v".to_owned(),
                    '\u{c}' => "\\f".to_owned(),
                    '\r' => "\\r".to_owned(),
                    '\u{1b}' => "\\e".to_owned(),
                    '"' => "\\\"".to_owned(),
                    '\\' => "\\\\".to_owned(),
                    '\u{85}' => "\\N".to_owned(),
                    '\u{a0}' => "\\_".to_owned(),
                    '\u{2028}' => "\\L".to_owned(),
                    '\u{2029}' => "\\P".to_owned(),
                    c if (c as u32) < 0x100 => format!("\\x{:02X}", c as u32),
                    c if (c as u32) < 0x10000 => format!("\\u{:04X}", c as u32),
                    c => format!("\\U{:08X}", c as u32),
                };
                self.puts(&escape);
                spaces = false;
            } else if c == ' ' {
                if folds && !self.indented && !spaces && self.column > WIDTH && at > 0 && at + 1 < chars.len() {
                    self.below();
                    if chars.get(at + 1) == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with(' ') || text.starts_with(is_break) {
            self.indicator("2", false, false, false);
        }
        let ends = text.chars().rev().take(2).map(is_break).collect::<Vec<_>>();
        match ends[..] {
            [false, ..] => self.indicator("-", false, false, false),
            [true] | [true, true] => self.indicator("+", false, false, false),
            _ => {}
        }
        self.put('\n');
        self.indention = true;
        self.whitespace = true;
        let mut rest = text;
        loop {
            let line;
            (line, rest) = rest.split_at(rest.find(is_break).unwrap_or(rest.len()));
            if !line.is_empty() {
                self.write_indent();
                self.run(line);
                self.indention = false;
            }
            let mut after = rest.chars();
            let Some(c) = after.next() else { return };
            rest = after.as_str();
            self.put(c);
            self.indention = true;
        }
    }
}
