//! Parts of lines: where a plain scalar ends, what is between quotes, collections in flow style on one line. Not
//! for lines.

use super::{Build, MAX_DEPTH, MAX_KEY, plain, plain_key};

/// The plain scalar that a line holds, and whether a comment follows it. Nothing where a colon makes it a key.
pub(super) fn plain_end(text: &str) -> Option<(&str, bool)> {
    let bytes = text.as_bytes();
    let mut end = bytes.len();
    for at in memchr::memchr2_iter(b':', b'#', bytes) {
        if bytes[at] == b':' && matches!(bytes.get(at + 1), None | Some(b' ')) {
            return None;
        }
        if bytes[at] == b'#' && at > 0 && bytes[at - 1] == b' ' {
            end = at;
            break;
        }
    }
    Some((text[..end].trim_end_matches(' '), end < bytes.len()))
}

/// How a line of a quoted text ends.
pub(super) enum Ending<'t> {
    /// With the quote, and what follows it.
    Closed(&'t str),
    /// It goes on in the next line; `joined` without a space between them.
    Open {
        /// Whether the line break is escaped.
        joined: bool,
    },
}

/// One line of a quoted text, which is added to `value`. Nothing where it is not of the common kind.
pub(super) fn unquote<'t>(text: &'t str, quote: u8, mut value: Option<&mut String>) -> Option<Ending<'t>> {
    let bytes = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    let mut add = |part: &str| {
        if let Some(value) = &mut value {
            value.push_str(part);
        }
    };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => {
                add(&text[from..at]);
                let Some(escape) = bytes.get(at + 1) else { return Some(Ending::Open { joined: true }) };
                let (meaning, length) = match escape {
                    b'n' => ('\n', 2),
                    b't' => ('\t', 2),
                    b'r' => ('\r', 2),
                    b'"' | b'\\' | b'/' | b' ' => (char::from(*escape), 2),
                    b'x' | b'u' => {
                        let length = if *escape == b'x' { 4 } else { 6 };
                        let digits = text.get(at + 2..at + length)?;
                        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                            return None;
                        }
                        (char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, length)
                    }
                    _ => return None,
                };
                add(meaning.encode_utf8(&mut [0; 4]));
                at += length;
                from = at;
            }
            b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => {
                add(&text[from..=at]);
                at += 2;
                from = at;
            }
            b if b == quote => {
                add(&text[from..at]);
                return Some(Ending::Closed(&text[at + 1..]));
            }
            _ => at += 1,
        }
    }
    add(&text[from..]);
    Some(Ending::Open { joined: false })
}

/// A plain scalar of letters, digits and a few others at the beginning of a text, with what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_./- ".contains(&b);
    let end = text.bytes().position(|b| !fits(b))?;
    let word = text[..end].trim_end_matches(' ');
    match word.as_bytes() {
        [first, ..] if first.is_ascii_alphanumeric() => Some((word, &text[end..])),
        [b'-', b'0'..=b'9', ..] => Some((word, &text[end..])),
        _ => None,
    }
}

/// A collection in flow style on one line, with what follows it: quoted texts, simple plain scalars, and
/// collections of them.
pub(super) fn flow<B: Build>(text: &str, depth: usize, keep: bool) -> Option<(B, &str)> {
    if depth > MAX_DEPTH {
        return None;
    }
    let is_map = text.starts_with('{');
    let close = if is_map { '}' } else { ']' };
    let mut rest = text[1..].trim_start_matches(' ');
    let mut items = Vec::new();
    let mut entries = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(close) {
            let value = match (keep, is_map) {
                (false, _) => B::null(),
                (true, true) => B::map(entries),
                (true, false) => B::list(items),
            };
            return Some((value, after));
        }
        let mut name = String::new();
        if is_map {
            let after;
            (name, after) = match rest.as_bytes().first()? {
                quote @ (b'"' | b'\'') => {
                    let Ending::Closed(after) = unquote(&rest[1..], *quote, Some(&mut name))? else { return None };
                    (name, after)
                }
                _ => {
                    let (text, after) = word(rest)?;
                    (plain_key(text, keep)?, after)
                }
            };
            rest = after.strip_prefix(": ")?.trim_start_matches(' ');
            if name.len() > MAX_KEY {
                return None;
            }
        }
        let value;
        (value, rest) = match rest.as_bytes().first()? {
            quote @ (b'"' | b'\'') => {
                let mut text = String::new();
                let Ending::Closed(after) = unquote(&rest[1..], *quote, keep.then_some(&mut text))? else {
                    return None;
                };
                (if keep { B::text(text) } else { B::null() }, after)
            }
            b'[' | b'{' => flow(rest, depth + 1, keep)?,
            _ => {
                let (text, after) = word(rest)?;
                (plain(text, keep)?, after)
            }
        };
        match (keep, is_map) {
            (false, _) => {}
            (true, true) => entries.push((name, value)),
            (true, false) => items.push(value),
        }
        rest = rest.trim_start_matches(' ');
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start_matches(' '),
            None if rest.starts_with(close) => {}
            None => return None,
        }
    }
}
