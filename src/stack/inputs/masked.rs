//! Excerpts of files that give values to inputs: where one of these is secret, keys are shown and values are not.

use std::sync::Arc;

use crate::diag::{Diagnostic, Source};

/// Masks the files in what quotes them. Offsets stay what they were.
pub(super) fn mask<'d>(files: &[Arc<Source>], quoting: impl Iterator<Item = &'d mut Diagnostic>) {
    let mut masked: Vec<Option<Arc<Source>>> = vec![None; files.len()];
    for diagnostic in quoting {
        let Some((span, _)) = &mut diagnostic.span else { continue };
        let Some(at) = files.iter().position(|file| Arc::ptr_eq(file, &span.source)) else { continue };
        let hidden = || Arc::new(Source { name: files[at].name.clone(), text: values_hidden(&files[at].text) });
        span.source = masked[at].get_or_insert_with(hidden).clone();
    }
}

/// Asterisks in place of everything that is no key, byte for byte.
fn values_hidden(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let key = key(line);
        hidden.push_str(&line[..key]);
        for c in line[key..].chars() {
            match c {
                c if c.is_whitespace() || matches!(c, '"' | '\'' | '[' | ']' | '{' | '}' | ',' | '#') => hidden.push(c),
                c => hidden.extend(std::iter::repeat_n('*', c.len_utf8())),
            }
        }
    }
    hidden
}

/// How much of a line is a key with its sign. A line within a long value can look like one; not like a name that is
/// followed by the beginning of a value.
fn key(line: &str) -> usize {
    let Some((name, value)) = line.split_once('=') else { return 0 };
    let plain = name.trim();
    let is_name = plain.starts_with(|c: char| c.is_ascii_lowercase())
        && plain.len() <= 40
        && plain.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
    let begins = value.trim_start().starts_with(['"', '\'', '[', '{']) || value.starts_with(' ');
    if is_name && begins { name.len() + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_and_nothing_moves() {
        let text = "token = \"häs€cret\" # why\nlist = [\"a\", 1]\npem = \"\"\"\nMIIE==\nabc=def\n\"\"\"\nword=x\n";
        let hidden = values_hidden(text);
        assert_eq!(hidden.len(), text.len());
        let expected =
            "token = \"***********\" # ***\nlist = [\"*\", *]\npem = \"\"\"\n******\n*******\n\"\"\"\n******\n";
        assert_eq!(hidden, expected);
    }
}
