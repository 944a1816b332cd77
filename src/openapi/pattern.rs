//! Regular expressions of schemas, translated for the `regex` crate and compiled when first needed.
//!
//! Schemas are written for RE2 or ECMA; the crate rejects a few of their forms inside character classes,
//! which are rewritten here. What it cannot do at all (look-around, back-references) matches everything.

use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};

/// Bytes that one compiled expression may take; bounded repetitions of Unicode classes need megabytes.
const SIZE_LIMIT: usize = 32 << 20;

/// A pattern of a schema.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: Box<str>,
    compiled: Arc<OnceLock<Option<Regex>>>,
}

impl Pattern {
    /// From the text in the schema; compiles nothing.
    pub fn new(source: &str) -> Self {
        Pattern { source: source.into(), compiled: Arc::default() }
    }

    /// As the schema has it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether `text` matches somewhere. A pattern that cannot be compiled matches everything.
    pub fn matches(&self, text: &str) -> bool {
        self.regex().is_none_or(|regex| regex.is_match(text))
    }

    /// Whether the pattern can be checked at all.
    pub fn is_checked(&self) -> bool {
        self.regex().is_some()
    }

    fn regex(&self) -> Option<&Regex> {
        let build = |text: &str| RegexBuilder::new(text).size_limit(SIZE_LIMIT).build().ok();
        self.compiled.get_or_init(|| build(&translate(&self.source)).or_else(|| build(&self.source))).as_ref()
    }
}

/// Escapes what is literal in a class elsewhere but an operator or an error in this crate:
/// `[`, `&`, `~`, and a hyphen beside a class escape.
fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 8);
    let mut chars = source.chars().peekable();
    let mut class: Option<usize> = None;
    let mut after_escape_class = false;
    while let Some(c) = chars.next() {
        let Some(position) = class else {
            out.push(c);
            match c {
                '\\' => out.extend(chars.next()),
                '[' => {
                    class = Some(0);
                    after_escape_class = false;
                    out.extend(chars.next_if_eq(&'^'));
                }
                _ => {}
            }
            continue;
        };
        class = Some(position + 1);
        let was_escape_class = std::mem::take(&mut after_escape_class);
        match c {
            '\\' => {
                out.push('\\');
                if let Some(escaped) = chars.next() {
                    out.push(escaped);
                    after_escape_class = matches!(escaped, 'w' | 'W' | 'd' | 'D' | 's' | 'S');
                }
            }
            // A bracket that comes first is a member.
            ']' if position > 0 => {
                out.push(']');
                class = None;
            }
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '-' => {
                let next_is_class = chars.peek() == Some(&'\\') && {
                    let mut ahead = chars.clone();
                    ahead.next();
                    matches!(ahead.next(), Some('w' | 'W' | 'd' | 'D' | 's' | 'S'))
                };
                if position == 0 || was_escape_class || next_is_class || chars.peek() == Some(&']') {
                    out.push('\\');
                }
                out.push('-');
            }
            '[' | ']' | '&' | '~' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_the_crate_rejects_are_rewritten() {
        for (source, yes, no) in [
            (r"^[\w-\.]+$", "a-b.c", "a b"),
            (r"^[a-z&&x]+$", "a&x", "A"),
            (r"^[[\]]+$", "[]", "x"),
            (r"^[-\w]+$", "a-b", "."),
            (r"^[]a]+$", "]a", "b"),
            (r"^[a\-z]+$", "a-z", "b"),
        ] {
            let pattern = Pattern::new(source);
            assert!(pattern.is_checked(), "{source}");
            assert!(pattern.matches(yes), "{source} {yes}");
            assert!(!pattern.matches(no), "{source} {no}");
        }
    }

    #[test]
    fn what_cannot_be_compiled_matches() {
        let pattern = Pattern::new("^(?!a)b$");
        assert!(!pattern.is_checked());
        assert!(pattern.matches("anything"));
    }
}
