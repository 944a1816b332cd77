//! Kubernetes quantities: `500m`, `1.5Gi`, `2e3`; reading, comparing, and the API server's canonical form.
//!
//! Amounts are exact multiples of a nano. What is finer is rounded up, as the API server does.

use std::fmt;

use serde_json::Value as Json;

/// How a quantity was written, which its canonical form keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `m`, `k`, `M`, …
    Decimal,
    /// `Ki`, `Mi`, …
    Binary,
    /// `e3`
    Exponent,
}

/// An amount of something.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

const NANO: i128 = 1_000_000_000;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// What stands behind the number.
enum Suffix<'a> {
    /// A power of ten.
    Decimal(i32),
    /// So many times 1024.
    Binary(usize),
    /// A power of ten in digits.
    Exponent(&'a str),
}

/// A quantity's text, taken apart.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: Suffix<'a>,
}

impl Parts<'_> {
    fn of(text: &str) -> Option<Parts<'_>> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let suffix = if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
            Suffix::Decimal(*exponent)
        } else if let Some(power) = BINARY.iter().position(|s| *s == suffix) {
            Suffix::Binary(power)
        } else {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(Suffix::Exponent(exponent))?
        };
        Some(Parts { negative: text.starts_with('-'), whole, fraction, suffix })
    }
}

/// Whether a text is a quantity, however large.
pub fn is_quantity(text: &str) -> bool {
    Parts::of(text).is_some()
}

impl Quantity {
    /// None of it.
    pub const ZERO: Quantity = Quantity { nanos: 0, form: Form::Decimal };

    /// Reads a quantity; `None` when it is none or too large to hold.
    pub fn parse(text: &str) -> Option<Self> {
        let Parts { negative, whole, fraction, suffix } = Parts::of(text)?;
        let digits: i128 = match format!("{whole}{fraction}").trim_start_matches('0') {
            "" => 0,
            digits => digits.parse().ok()?,
        };
        let (form, exponent, factor) = match suffix {
            Suffix::Decimal(exponent) => (Form::Decimal, exponent, 1),
            Suffix::Binary(power) => (Form::Binary, 0, 1_i128.checked_shl(10 * u32::try_from(power).ok()?)?),
            Suffix::Exponent(exponent) => (Form::Exponent, exponent.parse().ok()?, 1),
        };
        let shift = i32::try_from(fraction.len()).ok()?;
        let magnitude = digits.checked_mul(factor)?;
        let nanos = scale(magnitude, exponent.checked_sub(shift)?.checked_add(9)?)?;
        Some(Quantity { nanos: if negative { -nanos } else { nanos }, form })
    }

    /// Reads a quantity as JSON holds it: text or a number.
    pub fn of(value: &Json) -> Option<Self> {
        match value {
            Json::String(text) => Self::parse(text),
            Json::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    /// The amount in billionths.
    pub fn nanos(&self) -> i128 {
        self.nanos
    }

    /// The amount in thousandths, rounded up: milli-CPUs of a CPU quantity.
    pub fn millis(&self) -> i64 {
        i64::try_from(up(self.nanos, 1_000_000)).unwrap_or(i64::MAX)
    }

    /// The amount in whole units, rounded up: bytes of a memory quantity.
    pub fn units(&self) -> i64 {
        i64::try_from(up(self.nanos, NANO)).unwrap_or(i64::MAX)
    }
}

/// `digits × 10^exponent`, rounded up.
fn scale(digits: i128, exponent: i32) -> Option<i128> {
    if digits == 0 {
        return Some(0);
    }
    match u32::try_from(exponent) {
        Ok(more) => digits.checked_mul(10_i128.checked_pow(more)?),
        Err(_) => Some(10_i128.checked_pow(exponent.unsigned_abs()).map_or(1, |part| up(digits, part))),
    }
}

/// Division rounding away from zero.
fn up(amount: i128, part: i128) -> i128 {
    let rest = amount % part;
    amount / part + rest.signum()
}

/// Written as the first that is any.
impl std::ops::Add for Quantity {
    type Output = Quantity;

    fn add(self, other: Quantity) -> Quantity {
        let form = if self.nanos == 0 { other.form } else { self.form };
        Quantity { nanos: self.nanos.saturating_add(other.nanos), form }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// The canonical form: no fraction, the largest suffix that keeps every digit.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        // Less than one Ki has no binary form.
        if self.form == Form::Binary && self.nanos.abs() >= 1024 * NANO {
            let mut amount = up(self.nanos, NANO);
            let mut suffix = 0;
            while amount % 1024 == 0 && suffix + 1 < BINARY.len() {
                amount /= 1024;
                suffix += 1;
            }
            return write!(f, "{amount}{}", BINARY[suffix]);
        }
        let (mut amount, mut exponent) = (self.nanos, -9);
        while amount % 1000 == 0 && exponent < 18 {
            amount /= 1000;
            exponent += 3;
        }
        match DECIMAL.iter().find(|(_, e)| *e == exponent) {
            _ if self.form == Form::Exponent && exponent != 0 => write!(f, "{amount}e{exponent}"),
            Some((suffix, _)) => write!(f, "{amount}{suffix}"),
            None => write!(f, "{amount}e{exponent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_forms() {
        for (text, canonical) in [
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1", "1"),
            ("1.0", "1"),
            ("0", "0"),
            ("0Gi", "0"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1000000", "1M"),
            ("5000", "5k"),
            ("1e3", "1e3"),
            ("12e4", "120e3"),
            ("1E", "1E"),
            ("-1.5", "-1500m"),
            ("0.1Mi", "104858"),
            ("100Gi", "100Gi"),
            ("0.0000000001", "1n"),
            ("+2", "2"),
            (".5", "500m"),
            ("5.", "5"),
        ] {
            let quantity = Quantity::parse(text).expect(text);
            assert_eq!(quantity.to_string(), canonical, "{text}");
        }
        for text in ["", "m", "1x", "1.2.3", "1e", "--1", "1 Gi", "99999999999999999999999999999999999999999E"] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
        assert_eq!(Quantity::parse("1.5").map(|q| q.millis()), Some(1500));
        assert_eq!(Quantity::parse("1Ki").map(|q| q.units()), Some(1024));
        assert!(Quantity::parse("1Gi") > Quantity::parse("1G"));
        let sum = ["1Gi", "512Mi"].into_iter().filter_map(Quantity::parse).fold(Quantity::ZERO, |a, b| a + b);
        assert_eq!(sum.to_string(), "1536Mi");
        // Too large to hold is a quantity all the same.
        assert!(is_quantity("99999999999999999999999999999999999999999E") && !is_quantity("1.2.3"));
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_the_same_amount(
            number in "[0-9]{1,6}(\\.[0-9]{1,3})?",
            suffix in prop::sample::select(vec!["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e2", "e3"]),
        ) {
            let quantity = Quantity::parse(&format!("{number}{suffix}")).expect("a quantity");
            let again = Quantity::parse(&quantity.to_string()).expect("canonical forms are quantities");
            // Bytes are whole: only a fraction of one is rounded.
            prop_assert!(again >= quantity && again.nanos() - quantity.nanos() < NANO);
            // The text may change once more: bytes that are no multiple of 1024 are written without a suffix, and
            // what has none is counted in thousands.
            let third = Quantity::parse(&again.to_string()).expect("canonical forms are quantities");
            prop_assert_eq!(third.nanos(), again.nanos());
        }
    }
}
