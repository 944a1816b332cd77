//! Regular expressions with Go's syntax: rewritten for the regex crate where it reads a pattern
//! differently or not at all.

use std::rc::Rc;

use regex::bytes::{Captures, Regex, RegexBuilder};

use super::builtin::text_list;
use super::{Call, Function, T};
use crate::template::budget::MAX_TEXT;
use crate::template::data::{Data, Element, List, Text};
use crate::template::fault::{Fault, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("regexMatch", &[T::Text, T::Text], |c| {
        Ok(Data::Bool(pattern(c).is_ok_and(|p| p.is_match(c.bytes(1)))))
    }),
    Function::new("mustRegexMatch", &[T::Text, T::Text], |c| Ok(Data::Bool(pattern(c)?.is_match(c.bytes(1))))),
    Function::new("regexFind", &[T::Text, T::Text], find),
    Function::new("mustRegexFind", &[T::Text, T::Text], find),
    Function::new("regexFindAll", &[T::Text, T::Text, T::Int], find_all),
    Function::new("mustRegexFindAll", &[T::Text, T::Text, T::Int], find_all),
    Function::new("regexReplaceAll", &[T::Text, T::Text, T::Text], |c| replace(c, true)),
    Function::new("mustRegexReplaceAll", &[T::Text, T::Text, T::Text], |c| replace(c, true)),
    Function::new("regexReplaceAllLiteral", &[T::Text, T::Text, T::Text], |c| replace(c, false)),
    Function::new("mustRegexReplaceAllLiteral", &[T::Text, T::Text, T::Text], |c| replace(c, false)),
    Function::new("regexSplit", &[T::Text, T::Text, T::Int], split),
    Function::new("mustRegexSplit", &[T::Text, T::Text, T::Int], split),
    Function::new("regexQuoteMeta", &[T::Text], |c| {
        let text = c.text(0);
        let mut out = String::with_capacity(text.len() * 2);
        for letter in text.chars() {
            if r"\.+*?()|[]{}^$".contains(letter) {
                out.push('\\');
            }
            out.push(letter);
        }
        Ok(Data::from(out))
    }),
];

/// The first argument as a pattern; compiled once per rendering.
fn pattern(c: &Call<'_, '_>) -> Result<Rc<Regex>, Fault> {
    let Data::Text(source) = c.any(0) else { return Err(Fault::new("the pattern is not a string")) };
    if let Some(known) = c.engine.patterns.borrow().get(source) {
        return Ok(known.clone());
    }
    c.step(1000)?;
    let text = source.str();
    let fail = |why: &str| Fault::new(format!("error parsing regexp: {why}: `{text}`"));
    if text.len() > 10_000 {
        return Err(Fault::limit("the regular expression is longer than a rendering may use"));
    }
    let translated = translate(&text).map_err(|why| fail(&why))?;
    let compiled = RegexBuilder::new(&translated).size_limit(4 << 20).dfa_size_limit(4 << 20).nest_limit(200).build();
    let compiled = Rc::new(compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => fail("expression too large"),
        error if error.to_string().ends_with("unclosed group") => fail("missing closing )"),
        error => fail(error.to_string().lines().last().unwrap_or("invalid syntax").trim_start_matches("error: ")),
    })?);
    c.engine.patterns.borrow_mut().insert(source.clone(), compiled.clone());
    Ok(compiled)
}

/// One of Go's classes, as the inside of a bracket and whether it is a complement.
fn class(letter: char) -> Option<(&'static str, bool)> {
    Some(match letter {
        'd' => ("0-9", false),
        'D' => ("0-9", true),
        'w' => ("0-9A-Za-z_", false),
        'W' => ("0-9A-Za-z_", true),
        's' => ("\\t\\n\\x0C\\r ", false),
        'S' => ("\\t\\n\\x0C\\r ", true),
        _ => return None,
    })
}

fn literal(out: &mut String, c: char) {
    if c.is_ascii() && !c.is_ascii_alphanumeric() && !c.is_ascii_whitespace() && !c.is_ascii_control() && c != '_' {
        out.push('\\');
    }
    out.push(c);
}

/// A repetition `{n}`, `{n,}` or `{n,m}` at the beginning of `rest`, without its braces.
fn repetition(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix('{')?.split_once('}')?.0;
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    (!least.is_empty() && digits(least) && digits(most)).then_some(inner)
}

/// A pattern in Go's syntax as the regex crate wants it.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut at = 0;
    while let Some(c) = pattern[at..].chars().next() {
        let rest = &pattern[at..];
        match c {
            '\\' => at += escape(&mut out, rest, false)?,
            '[' => at += bracket(&mut out, rest)?,
            '{' => {
                if let Some(inner) = repetition(rest) {
                    let too_large = inner.split(',').any(|n| n.len() > 4 || n.parse::<u32>().is_ok_and(|n| n > 1000));
                    if too_large {
                        return Err("invalid repeat count".to_owned());
                    }
                    out.push_str(&rest[..inner.len() + 2]);
                    at += inner.len() + 2;
                } else {
                    out.push_str("\\{");
                    at += 1;
                }
            }
            '}' | ']' => {
                out.push('\\');
                out.push(c);
                at += 1;
            }
            '(' => {
                for bad in ["(?=", "(?!", "(?<=", "(?<!", "(?x"] {
                    if rest.starts_with(bad) {
                        return Err("invalid or unsupported Perl syntax".to_owned());
                    }
                }
                out.push('(');
                at += 1;
            }
            c => {
                out.push(c);
                at += c.len_utf8();
            }
        }
    }
    Ok(out)
}

/// Writes the escape that `rest` begins with; how long it was.
fn escape(out: &mut String, rest: &str, inside: bool) -> Result<usize, String> {
    let Some(letter) = rest[1..].chars().next() else {
        return Err("trailing backslash at end of expression".to_owned());
    };
    if let Some((set, complement)) = class(letter) {
        match (inside, complement) {
            (false, false) => out.push_str(&format!("[{set}]")),
            (_, true) => out.push_str(&format!("[^{set}]")),
            (true, false) => out.push_str(set),
        }
        return Ok(2);
    }
    match letter {
        'Q' if !inside => {
            let quoted = &rest[2..];
            let end = quoted.find("\\E").unwrap_or(quoted.len());
            quoted[..end].chars().for_each(|c| literal(out, c));
            return Ok(2 + end + if end < quoted.len() { 2 } else { 0 });
        }
        'E' if !inside => {}
        'A' if !inside => out.push_str("\\A"),
        'z' if !inside => out.push_str("\\z"),
        'b' if !inside => out.push_str("(?-u:\\b)"),
        'B' if !inside => out.push_str("(?-u:\\B)"),
        'C' if !inside => out.push_str("(?s-u:.)"),
        'a' => out.push_str("\\x07"),
        'f' => out.push_str("\\x0C"),
        't' | 'n' | 'r' => {
            out.push('\\');
            out.push(letter);
        }
        'v' => out.push_str("\\x0B"),
        'x' => {
            let (digits, length) = match rest[2..].strip_prefix('{') {
                Some(braced) => {
                    let end = braced.find('}').ok_or("invalid escape sequence")?;
                    (&braced[..end], end + 4)
                }
                None => (rest.get(2..4).ok_or("invalid escape sequence")?, 4),
            };
            let code = u32::from_str_radix(digits, 16).map_err(|_| "invalid escape sequence".to_owned())?;
            let c = char::from_u32(code).ok_or("invalid escape sequence")?;
            out.push_str(&format!("\\x{{{:X}}}", c as u32));
            return Ok(length);
        }
        'p' | 'P' => {
            let length = match rest[2..].strip_prefix('{') {
                Some(braced) => braced.find('}').ok_or("invalid character class range")? + 4,
                None => 2 + rest[2..].chars().next().map_or(0, char::len_utf8),
            };
            out.push_str(rest.get(..length).ok_or("invalid character class range")?);
            return Ok(length);
        }
        '0'..='7' => {
            let count = rest[1..].bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            if letter != '0' && count < 2 {
                return Err("invalid escape sequence".to_owned());
            }
            let code = u32::from_str_radix(&rest[1..=count], 8).unwrap_or(0);
            out.push_str(&format!("\\x{{{code:X}}}"));
            return Ok(1 + count);
        }
        c if c.is_ascii_punctuation() => {
            if c == '_' {
                out.push('_');
            } else {
                out.push('\\');
                out.push(c);
            }
        }
        _ => return Err("invalid escape sequence".to_owned()),
    }
    Ok(1 + letter.len_utf8())
}

/// Writes the bracket expression that `rest` begins with; how long it was.
fn bracket(out: &mut String, rest: &str) -> Result<usize, String> {
    out.push('[');
    let mut at = 1;
    if rest[at..].starts_with('^') {
        out.push('^');
        at += 1;
    }
    let mut first = true;
    loop {
        let here = &rest[at..];
        let Some(c) = here.chars().next() else { return Err("missing closing ]".to_owned()) };
        match c {
            ']' if !first => {
                out.push(']');
                return Ok(at + 1);
            }
            '[' if here.starts_with("[:") && here.contains(":]") => {
                let length = here.find(":]").unwrap_or(0) + 2;
                out.push_str(&here[..length]);
                at += length;
            }
            '\\' => at += escape(out, here, true)?,
            // A hyphen that makes no range: first, last, or after a class or range.
            '-' if range_end(&here[1..]) && !first && !after_class(&rest[..at]) => {
                out.push('-');
                at += 1;
            }
            c => {
                literal(out, c);
                at += c.len_utf8();
            }
        }
        first = false;
    }
}

/// Whether what follows a hyphen can end a range.
fn range_end(after: &str) -> bool {
    let class_follows = after.starts_with('\\') && after[1..].chars().next().is_some_and(|c| class(c).is_some());
    !after.starts_with(']') && !after.is_empty() && !class_follows
}

/// Whether a bracket's text so far ends in a class such as `\w` or `[:alpha:]`.
fn after_class(before: &str) -> bool {
    if before.ends_with(":]") {
        return true;
    }
    let mut last = before.chars().rev();
    let letter = last.next();
    let backslashes = last.take_while(|c| *c == '\\').count();
    backslashes % 2 == 1 && letter.is_some_and(|c| class(c).is_some())
}

fn find(c: &Call<'_, '_>) -> Outcome {
    Ok(Data::Text(pattern(c)?.find(c.bytes(1)).map_or(&b""[..], |m| m.as_bytes()).into()))
}

fn limit(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Whether a place lies between the bytes of one character: Go matches nothing there.
fn within(text: &[u8], place: usize) -> bool {
    (1..=3.min(place)).any(|back| {
        let start = place - back;
        let length = match text[start] {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        length > back && text.get(start..start + length).is_some_and(|bytes| std::str::from_utf8(bytes).is_ok())
    })
}

fn find_all(c: &Call<'_, '_>) -> Outcome {
    let (pattern, text) = (pattern(c)?, c.bytes(1));
    let found = pattern.find_iter(text).filter(|found| !(found.is_empty() && within(text, found.start())));
    let found = found.take(limit(c.int(2))).map(|m| Text::from(m.as_bytes())).collect::<Vec<_>>();
    c.items(found.len())?;
    Ok(Data::List(List::appended(Element::Text, found.into_iter().map(Data::Text).collect())))
}

fn replace(c: &Call<'_, '_>, expands: bool) -> Outcome {
    let (pattern, text, new) = (pattern(c)?, c.bytes(1), c.bytes(2));
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for captures in pattern.captures_iter(text) {
        let Some(whole) = captures.get(0).filter(|found| !(found.is_empty() && within(text, found.start()))) else {
            continue;
        };
        out.extend_from_slice(&text[from..whole.start()]);
        if expands {
            expand(&mut out, &captures, new);
        } else {
            out.extend_from_slice(new);
        }
        from = whole.end();
        if out.len() > MAX_TEXT {
            c.room(out.len())?;
        }
    }
    out.extend_from_slice(&text[from..]);
    Ok(Data::Text(out.into()))
}

/// A replacement with `$1`, `${name}` and `$$`.
fn expand(out: &mut Vec<u8>, captures: &Captures<'_>, new: &[u8]) {
    let mut rest = new;
    while let Some(at) = rest.iter().position(|b| *b == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if rest.first() == Some(&b'$') {
            out.push(b'$');
            rest = &rest[1..];
            continue;
        }
        let word = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let (name, length) = if rest.first() == Some(&b'{') {
            let count = word(&rest[1..]);
            if count == 0 || rest.get(1 + count) != Some(&b'}') {
                out.push(b'$');
                continue;
            }
            (&rest[1..=count], count + 2)
        } else {
            let count = word(rest);
            if count == 0 {
                out.push(b'$');
                continue;
            }
            (&rest[..count], count)
        };
        let name = String::from_utf8_lossy(name);
        let group = match name.parse::<usize>() {
            Ok(number) => captures.get(number),
            Err(_) => captures.name(&name),
        };
        if let Some(group) = group {
            out.extend_from_slice(group.as_bytes());
        }
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
}

fn split(c: &Call<'_, '_>) -> Outcome {
    let (pattern, text, count) = (pattern(c)?, c.bytes(1), c.int(2));
    if count == 0 {
        return Ok(Data::List(List::appended(Element::Text, Vec::new())));
    }
    let most = limit(count);
    let mut parts = Vec::new();
    let mut from = 0;
    let mut end = 0;
    if !(pattern.as_str().is_empty() || text.is_empty()) || !text.is_empty() {
        for found in pattern.find_iter(text).filter(|found| !(found.is_empty() && within(text, found.start()))) {
            if parts.len() + 1 >= most {
                break;
            }
            end = found.start();
            if found.end() != 0 {
                parts.push(Text::from(&text[from..end]));
            }
            from = found.end();
        }
    } else if text.is_empty() {
        return Ok(text_list(vec![Text::from("")]));
    }
    if end != text.len() {
        parts.push(Text::from(&text[from..]));
    }
    c.items(parts.len())?;
    Ok(text_list(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_only_go_reads() {
        for (pattern, text, matches) in [
            (r"^[\w-\.]+$", "a-b.c", true),
            (r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "my-name", true),
            (r"^[[]x]$", "[x]", true),
            (r"\Qa.b\E", "a.b", true),
            (r"\Qa.b\E", "axb", false),
            (r"^\d+$", "٣", false),
            (r"x{,5}", "x{,5}", true),
            (r"^[^\s/]+$", "a/b", false),
            (r"^[a&&b]+$", "&", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a\]]+$", "]a", true),
            (r"^(?P<n>a)(?i:B)$", "ab", true),
        ] {
            let regex = Regex::new(&translate(pattern).unwrap()).unwrap();
            assert_eq!(regex.is_match(text.as_bytes()), matches, "{pattern} on {text}");
        }
        assert!(translate("a(?=b)").is_err());
        assert!(translate("a\\").is_err());
        assert!(translate("a{1001}").is_err());
    }
}
