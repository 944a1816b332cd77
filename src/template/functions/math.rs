//! Arithmetic and conversions between numbers. Whole numbers are int64 and wrap, as Go's do; decimal
//! fractions are exact where they have few digits.

use super::{Call, Function, T, to_text};
use crate::template::data::{Data, IntKind};
use crate::template::fault::{Fault, Outcome};
use crate::template::literal;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("int", &[T::Any], |c| Ok(Data::int(to_int(c.any(0))))),
    Function::new("int64", &[T::Any], |c| Ok(Data::int64(to_int(c.any(0))))),
    Function::new("float64", &[T::Any], |c| Ok(Data::Float(to_float(c.any(0))))),
    Function::new("atoi", &[T::Text], |c| Ok(Data::int(literal::int(&c.text(0), 10).unwrap_or(0)))),
    Function::new("toDecimal", &[T::Any], |c| Ok(Data::int64(literal::int(&to_text(c.any(0))?.str(), 8).unwrap_or(0)))),
    Function::new("add", &[], |c| Ok(Data::int64(ints(c).fold(0, i64::wrapping_add)))).rest(T::Any),
    Function::new("add1", &[T::Any], |c| Ok(Data::int64(to_int(c.any(0)).wrapping_add(1)))),
    Function::new("sub", &[T::Any, T::Any], |c| Ok(Data::int64(to_int(c.any(0)).wrapping_sub(to_int(c.any(1)))))),
    Function::new("mul", &[T::Any], |c| Ok(Data::int64(ints(c).fold(1, i64::wrapping_mul)))).rest(T::Any),
    Function::new("div", &[T::Any, T::Any], |c| divide(c, i64::wrapping_div)),
    Function::new("mod", &[T::Any, T::Any], |c| divide(c, i64::wrapping_rem)),
    Function::new("max", &[T::Any], |c| Ok(Data::int64(ints(c).max().unwrap_or(0)))).rest(T::Any),
    Function::new("biggest", &[T::Any], |c| Ok(Data::int64(ints(c).max().unwrap_or(0)))).rest(T::Any),
    Function::new("min", &[T::Any], |c| Ok(Data::int64(ints(c).min().unwrap_or(0)))).rest(T::Any),
    Function::new("maxf", &[T::Any], |c| Ok(Data::Float(floats(c).reduce(larger).unwrap_or(0.0)))).rest(T::Any),
    Function::new("minf", &[T::Any], |c| Ok(Data::Float(floats(c).reduce(smaller).unwrap_or(0.0)))).rest(T::Any),
    Function::new("addf", &[], |c| fold(c, Decimal::add, |a, b| a + b)).rest(T::Any),
    Function::new("add1f", &[T::Any], |c| {
        let one = [Data::Float(1.0), c.any(0).clone()];
        Ok(Data::Float(combine(one.iter().map(to_float), Decimal::add, |a, b| a + b)?))
    }),
    Function::new("subf", &[T::Any], |c| fold(c, Decimal::sub, |a, b| a - b)).rest(T::Any),
    Function::new("mulf", &[T::Any], |c| fold(c, Decimal::mul, |a, b| a * b)).rest(T::Any),
    Function::new("divf", &[T::Any], |c| {
        if floats(c).skip(1).any(|n| n == 0.0) {
            return Err(Fault::new("decimal division by 0"));
        }
        fold(c, Decimal::div, |a, b| a / b)
    })
    .rest(T::Any),
    Function::new("ceil", &[T::Any], |c| Ok(Data::Float(to_float(c.any(0)).ceil()))),
    Function::new("floor", &[T::Any], |c| Ok(Data::Float(to_float(c.any(0)).floor()))),
    Function::new("round", &[T::Any, T::Int], round).rest(T::Float),
];

fn ints<'c>(c: &'c Call<'_, '_>) -> impl Iterator<Item = i64> + 'c {
    c.arguments().iter().map(to_int)
}

fn floats<'c>(c: &'c Call<'_, '_>) -> impl Iterator<Item = f64> + 'c {
    c.arguments().iter().map(to_float)
}

/// As Go compares: what is no number wins over all but infinity, and zero is larger than minus zero.
fn larger(a: f64, b: f64) -> f64 {
    match () {
        () if a == f64::INFINITY || b == f64::INFINITY => f64::INFINITY,
        () if a.is_nan() || b.is_nan() => f64::NAN,
        () if a == b && a.is_sign_negative() => b,
        () => a.max(b),
    }
}

fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}

/// A text without a fraction of zeros: `12.00` is a whole number.
fn whole(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') && !whole.is_empty() => whole,
        _ => text,
    }
}

/// Anything as a whole number; 0 where it is none.
pub(super) fn to_int(data: &Data) -> i64 {
    match data {
        Data::Bool(truth) => i64::from(*truth),
        // Sprig's conversion knows no durations.
        Data::Int(IntKind::Duration, _) => 0,
        Data::Int(_, number) => *number,
        // Go's conversion of what does not fit is the least number on amd64.
        Data::Float(number) if number.is_nan() || *number >= i64::MAX as f64 => i64::MIN,
        Data::Float(number) => *number as i64,
        Data::Text(text) => literal::int(whole(&text.str()), 0).unwrap_or(0),
        _ => 0,
    }
}

/// Anything as a float; 0 where it is none.
pub(super) fn to_float(data: &Data) -> f64 {
    match data {
        Data::Bool(truth) => f64::from(u8::from(*truth)),
        Data::Int(IntKind::Duration | IntKind::Month | IntKind::Weekday, _) => 0.0,
        Data::Int(_, number) => *number as f64,
        Data::Float(number) => *number,
        Data::Text(text) => literal::float(&text.str()).unwrap_or(0.0),
        _ => 0.0,
    }
}

fn divide(c: &Call<'_, '_>, by: fn(i64, i64) -> i64) -> Outcome {
    let (a, b) = (to_int(c.any(0)), to_int(c.any(1)));
    if b == 0 { Err(Fault::new("runtime error: integer divide by zero")) } else { Ok(Data::int64(by(a, b))) }
}

/// A decimal fraction: `digits` times ten to the minus `scale`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    fn new(number: f64) -> Option<Self> {
        let text = literal::format_float(number, 'f', None);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        if whole.len() + fraction.len() > 30 {
            return None;
        }
        Some(Decimal { digits: format!("{whole}{fraction}").parse().ok()?, scale: fraction.len() as u32 })
    }

    fn aligned(self, other: Self) -> Option<(i128, i128, u32)> {
        let scale = self.scale.max(other.scale);
        let up = |d: Self| d.digits.checked_mul(10i128.checked_pow(scale - d.scale)?);
        Some((up(self)?, up(other)?, scale))
    }

    fn add(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        Some(Decimal { digits: a.checked_add(b)?, scale })
    }

    fn sub(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        Some(Decimal { digits: a.checked_sub(b)?, scale })
    }

    fn mul(self, other: Self) -> Option<Self> {
        Some(Decimal { digits: self.digits.checked_mul(other.digits)?, scale: self.scale + other.scale })
    }

    /// To sixteen digits behind the point, halves away from zero, as sprig's decimals divide.
    fn div(self, other: Self) -> Option<Self> {
        const DIGITS: u32 = 16;
        // Only what one side needs more than the other: digits are few and are soon used up.
        let more = DIGITS + other.scale;
        let over = self.digits.checked_mul(10i128.checked_pow(more.saturating_sub(self.scale))?)?;
        let under = other.digits.checked_mul(10i128.checked_pow(self.scale.saturating_sub(more))?)?;
        let (whole, rest) = (over.checked_div(under)?, over.checked_rem(under)?);
        let up = rest.unsigned_abs() * 2 >= under.unsigned_abs();
        let away = if (over < 0) == (under < 0) { 1 } else { -1 };
        Some(Decimal { digits: if up { whole + away } else { whole }, scale: DIGITS })
    }

    fn number(self) -> Option<f64> {
        format!("{}e-{}", self.digits, self.scale).parse().ok()
    }
}

type Exact = fn(Decimal, Decimal) -> Option<Decimal>;

fn combine(numbers: impl Iterator<Item = f64>, exact: Exact, rough: fn(f64, f64) -> f64) -> Result<f64, Fault> {
    let numbers = numbers.collect::<Vec<_>>();
    if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
        let number = literal::format_float(*number, 'g', None);
        return Err(Fault::new(format!("Cannot create a Decimal from {number}")));
    }
    // Rounded once, at the end.
    let mut decimals = numbers.iter().map(|number| Decimal::new(*number));
    let first = decimals.next().flatten();
    let precise = first.and_then(|first| decimals.try_fold(first, |a, b| exact(a, b?))).and_then(Decimal::number);
    Ok(precise.or_else(|| numbers.into_iter().reduce(rough)).unwrap_or(0.0))
}

fn fold(c: &Call<'_, '_>, exact: Exact, rough: fn(f64, f64) -> f64) -> Outcome {
    // Adding zero makes minus zero plain: decimals have no such number.
    Ok(Data::Float(combine(floats(c), exact, rough)? + 0.0))
}

fn round(c: &Call<'_, '_>) -> Outcome {
    let number = to_float(c.any(0));
    let up_from = if c.arguments().len() > 2 { c.float(2) } else { 0.5 };
    let power = 10f64.powi(i32::try_from(c.int(1)).unwrap_or(i32::MAX));
    let scaled = power * number;
    let rounded = if scaled.fract() >= up_from { scaled.ceil() } else { scaled.floor() };
    Ok(Data::Float(rounded / power))
}
