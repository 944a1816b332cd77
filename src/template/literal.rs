//! Go's literals: numbers from text and to text, quoted strings, characters. Not for YAML's or JSON's.

/// The value of the text between the quotes of a Go string literal.
pub(super) fn unquote(inner: &str, quote: char) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c == quote || c == '\n' {
            return None;
        }
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let code = |rest: &mut std::str::Chars<'_>, first: Option<char>, digits: usize, radix: u32| {
            let text = first.into_iter().chain(rest.by_ref().take(digits)).collect::<String>();
            let complete = text.len() == digits + usize::from(first.is_some());
            (complete && !text.starts_with(['+', '-'])).then(|| u32::from_str_radix(&text, radix).ok()).flatten()
        };
        match rest.next()? {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            c if c == quote => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            'x' => out.push(u8::try_from(code(&mut rest, None, 2, 16)?).ok()?),
            c @ '0'..='7' => out.push(u8::try_from(code(&mut rest, Some(c), 2, 8)?).ok()?),
            c @ ('u' | 'U') => {
                let code = code(&mut rest, None, if c == 'u' { 4 } else { 8 }, 16)?;
                out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    Some(out)
}

/// The code of a character literal with its quotes.
pub(super) fn character(source: &str) -> Option<u32> {
    let inner = source.strip_prefix('\'')?.strip_suffix('\'')?;
    let bytes = unquote(inner, '\'')?;
    // `'\xff'` is the number 255, not a piece of UTF-8.
    if inner.starts_with('\\') && bytes.len() == 1 {
        return Some(u32::from(bytes[0]));
    }
    let text = String::from_utf8(bytes).ok()?;
    let mut chars = text.chars();
    let c = chars.next()?;
    chars.next().is_none().then_some(c as u32)
}

/// Splits off Go's base prefix; removes underscores where a base-0 literal may have them.
fn digits(text: &str, base: u32) -> Option<(String, u32)> {
    if base != 0 {
        return Some((text.to_owned(), base));
    }
    let lower = text.get(..2).map(str::to_ascii_lowercase);
    let (body, base, prefixed) = match lower.as_deref() {
        Some("0x") => (&text[2..], 16, true),
        Some("0o") => (&text[2..], 8, true),
        Some("0b") => (&text[2..], 2, true),
        _ if text.len() > 1 && text.starts_with('0') => (&text[1..], 8, true),
        _ => (text, 10, false),
    };
    if body.contains('_') {
        let inner = if prefixed { body.strip_prefix('_').unwrap_or(body) } else { body };
        if inner.starts_with('_') || inner.ends_with('_') || inner.contains("__") {
            return None;
        }
    }
    Some((body.replace('_', ""), base))
}

/// An unsigned number in Go's base-0 syntax.
pub(super) fn uint(text: &str) -> Option<u64> {
    let (digits, base) = digits(text, 0)?;
    (!digits.starts_with(['+', '-'])).then(|| u64::from_str_radix(&digits, base).ok()).flatten()
}

/// A signed number; base 0 reads Go's prefixes.
pub(super) fn int(text: &str, base: u32) -> Option<i64> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, base) = digits(body, base)?;
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(&digits, base).ok()?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// Whether a number is written in hexadecimal without a fraction or exponent.
pub(super) fn is_hex_int(text: &str) -> bool {
    let lower = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    lower.starts_with("0x") && !lower.contains('p')
}

/// A float in Go's syntax, hexadecimal ones included.
pub(super) fn float(text: &str) -> Option<f64> {
    // Underscores stand between digits.
    if text.contains('_') && !text.to_ascii_lowercase().contains("0x") {
        let bytes = text.as_bytes();
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        let fits =
            bytes.iter().enumerate().all(|(at, b)| *b != b'_' || digit(at.checked_sub(1)) && digit(Some(at + 1)));
        return if fits { float(&text.replace('_', "")) } else { None };
    }
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = body.to_ascii_lowercase();
    let number = if let Some(hex) = lower.strip_prefix("0x") {
        hex_float(&hex.replace('_', ""))?
    } else {
        match lower.as_str() {
            "inf" | "infinity" => f64::INFINITY,
            "nan" => f64::NAN,
            _ => {
                let plain = lower.bytes().all(|b| b.is_ascii_digit() || b"eE.+-".contains(&b));
                if !plain || !lower.bytes().any(|b| b.is_ascii_digit()) {
                    return None;
                }
                lower.parse::<f64>().ok().filter(|n| n.is_finite())?
            }
        }
    };
    Some(if negative { -number } else { number })
}

fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut number = 0.0f64;
    for c in whole.chars().chain(fraction.chars()) {
        number = number * 16.0 + f64::from(c.to_digit(16)?);
    }
    let exponent = exponent.parse::<i32>().ok()?.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    Some(number * 2f64.powi(exponent)).filter(|n| n.is_finite())
}

/// Digits and decimal exponent of a finite number, in the shortest form or with so many digits after the first.
fn scientific(number: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(precision) => format!("{:.*e}", precision.min(1100), number.abs()),
        None => shortest(number.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}

/// The fewest digits that read back as the same number, with an exponent. Where two such texts are as near to the
/// number, Go takes the one with an even last digit, as rounding to so many digits does.
fn shortest(magnitude: f64) -> String {
    let text = format!("{magnitude:e}");
    let digits = text.split('e').next().map_or(0, |mantissa| mantissa.len().saturating_sub(2));
    if digits < 14 {
        return text;
    }
    let rounded = format!("{magnitude:.digits$e}");
    if rounded.parse() == Ok(magnitude) { rounded } else { text }
}

/// A float as Go's strconv writes it. `style` is one of `e E f F g G`; without a precision the shortest
/// form that reads back as the same number.
pub(super) fn format_float(number: f64, style: char, precision: Option<usize>) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let upper = style.is_ascii_uppercase();
    let exponential = |digits: &str, exponent: i32| {
        let point = if digits.len() > 1 { "." } else { "" };
        let e = if upper { 'E' } else { 'e' };
        let direction = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{}{point}{}{e}{direction}{:02}", &digits[..1], &digits[1..], exponent.abs())
    };
    match style.to_ascii_lowercase() {
        'e' => {
            let (digits, exponent) = scientific(number, precision);
            exponential(&digits, exponent)
        }
        'f' => match precision {
            Some(precision) => format!("{sign}{:.*}", precision.min(1100), number.abs()),
            None => {
                let (digits, exponent) = scientific(number, None);
                format!("{sign}{}", plain(&digits, exponent))
            }
        },
        _ => {
            let (digits, exponent) = match precision {
                Some(precision) => scientific(number, Some(precision.max(1) - 1)),
                None => scientific(number, None),
            };
            let digits = match digits.trim_end_matches('0') {
                "" => "0",
                digits => digits,
            };
            let mut limit = match precision {
                Some(precision) => i32::try_from(precision.max(1)).unwrap_or(i32::MAX),
                None => 6,
            };
            let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
            if precision.is_some() && limit > count && count > exponent {
                limit = count;
            }
            if exponent < -4 || exponent >= limit {
                return exponential(digits, exponent);
            }
            format!("{sign}{}", plain(digits, exponent))
        }
    }
}

/// Digits of which the first stands for `10^exponent`, without an exponent.
fn plain(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        return format!("0.{}{digits}", "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0)));
    }
    let whole = usize::try_from(exponent + 1).unwrap_or(1);
    if digits.len() > whole {
        format!("{}.{}", &digits[..whole], &digits[whole..])
    } else {
        format!("{digits}{}", "0".repeat(whole - digits.len()))
    }
}

/// A float as Go's JSON encoder writes it.
pub(super) fn json_float(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format_float(number, 'e', None);
        // e-09 is written e-9.
        return match text.split_once("e-0") {
            Some((mantissa, digit)) => format!("{mantissa}e-{digit}"),
            None => text,
        };
    }
    format_float(number, 'f', None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_go() {
        for (number, text) in [
            (1_000_000.0, "1e+06"),
            (100_000.0, "100000"),
            (1_234_567.5, "1.2345675e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.0, "-0"),
            (3.25, "3.25"),
            (1e21, "1e+21"),
            // As near to one text as to the other.
            (3_602_879_701_896_397.0 / 4.0, "9.007199254740992e+14"),
            (3_602_879_701_896_399.0 / 4.0, "9.007199254740998e+14"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(format_float(number, 'g', None), text);
        }
        assert_eq!(format_float(1234.5678, 'g', Some(3)), "1.23e+03");
        assert_eq!(format_float(1234.5678, 'f', Some(2)), "1234.57");
        assert_eq!(format_float(100_000.0, 'g', Some(10)), "100000");
        assert_eq!(json_float(1e21), "1e+21");
        assert_eq!(json_float(1e-7), "1e-7");
        assert_eq!(json_float(1_000_000.0), "1000000");
    }

    #[test]
    fn integers_read_as_in_go() {
        assert_eq!(int("0755", 0), Some(493));
        assert_eq!(int("08", 0), None);
        assert_eq!(int("-0x1F", 0), Some(-31));
        assert_eq!(int("1_000", 0), Some(1000));
        assert_eq!(int("1__0", 0), None);
        assert_eq!(int("-9223372036854775808", 0), Some(i64::MIN));
        assert_eq!(int("9223372036854775808", 0), None);
        assert_eq!(character("'a'"), Some(97));
        assert_eq!(character("'\\n'"), Some(10));
        assert_eq!(character("'ab'"), None);
    }
}
