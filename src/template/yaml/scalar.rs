//! What a plain scalar means under YAML 1.1, as Go's YAML library reads it.

use crate::template::literal;

/// The meaning of a plain scalar.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// A whole number beyond int64, or any other number.
    Float(f64),
    /// Looks like a date; is a text nevertheless.
    Timestamp,
    /// The merge key `<<`.
    Merge,
    Text,
}

pub(super) fn resolve(text: &str) -> Scalar {
    let Some(first) = text.bytes().next() else { return Scalar::Null };
    match text {
        "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        "<<" => return Scalar::Merge,
        _ => {}
    }
    match first {
        b'.' => literal::float(text).map_or(Scalar::Text, Scalar::Float),
        b'+' | b'-' | b'0'..=b'9' => number(text),
        _ => Scalar::Text,
    }
}

fn number(text: &str) -> Scalar {
    if is_timestamp(text) {
        return Scalar::Timestamp;
    }
    let plain = text.replace('_', "");
    if let Some(number) = literal::int(&plain, 0) {
        return Scalar::Int(number);
    }
    if let Some(number) = literal::uint(&plain) {
        return Scalar::Float(number as f64);
    }
    if is_float(&plain)
        && let Some(number) = literal::float(&plain)
    {
        return Scalar::Float(number);
    }
    Scalar::Text
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)))
}

fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return false;
    }
    ["2006-1-2T15:4:5.999999999Z07:00", "2006-1-2t15:4:5.999999999Z07:00", "2006-1-2 15:4:5.999999999", "2006-1-2"]
        .iter()
        .any(|layout| crate::template::moment::Moment::parse(layout, text).is_ok())
}

/// A number in base 60 under YAML 1.1, such as `1:20`: written in quotes, read as a text.
pub(super) fn is_base60(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !body.starts_with(|c: char| c.is_ascii_digit()) || !text.contains(':') {
        return false;
    }
    let (numbers, fraction) = body.split_once('.').map_or((body, ""), |(n, f)| (n, f));
    let mut parts = numbers.split(':');
    let head = parts.next().is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit() || b == b'_'));
    let tail = parts.all(|p| {
        matches!(p.as_bytes(), [a] if a.is_ascii_digit())
            || matches!(p.as_bytes(), [b'0'..=b'5', b] if b.is_ascii_digit())
    });
    head && tail && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meanings() {
        for (text, meaning) in [
            ("y", Scalar::Bool(true)),
            ("Off", Scalar::Bool(false)),
            ("0755", Scalar::Int(493)),
            ("08", Scalar::Float(8.0)),
            ("0x1F", Scalar::Int(31)),
            ("1_000", Scalar::Int(1000)),
            ("+1", Scalar::Int(1)),
            ("1e3", Scalar::Float(1000.0)),
            (".5", Scalar::Float(0.5)),
            ("1:20", Scalar::Text),
            ("2001-01-01", Scalar::Timestamp),
            ("1.2.3", Scalar::Text),
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("-", Scalar::Text),
            ("0b11", Scalar::Int(3)),
            ("0o17", Scalar::Int(15)),
        ] {
            assert_eq!(resolve(text), meaning, "{text}");
        }
        assert!(is_base60("1:20") && !is_base60("1:2x") && !is_base60("a:1"));
    }
}
