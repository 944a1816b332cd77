//! Durations as numbers of a unit, rounded and cut. Whoever gives a number means seconds. Not for dates.

use super::{Call, Function, T};
use crate::template::data::{Data, IntKind};
use crate::template::fault::{Fault, Outcome};
use crate::template::moment::parse_duration;

const SECOND: i64 = 1_000_000_000;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("mustToDuration", &[T::Any], |c| Ok(Data::Int(IntKind::Duration, duration(c.any(0))?))),
    Function::new("durationSeconds", &[T::Any], |c| Ok(Data::Float(split(c, SECOND)))),
    Function::new("durationMilliseconds", &[T::Any], |c| Ok(Data::int64(duration(c.any(0)).unwrap_or(0) / 1_000_000))),
    Function::new("durationMicroseconds", &[T::Any], |c| Ok(Data::int64(duration(c.any(0)).unwrap_or(0) / 1_000))),
    Function::new("durationNanoseconds", &[T::Any], |c| Ok(Data::int64(duration(c.any(0)).unwrap_or(0)))),
    Function::new("durationMinutes", &[T::Any], |c| Ok(Data::Float(split(c, 60 * SECOND)))),
    Function::new("durationHours", &[T::Any], |c| Ok(Data::Float(split(c, 3600 * SECOND)))),
    Function::new("durationDays", &[T::Any], |c| Ok(Data::Float(split(c, 3600 * SECOND) / 24.0))),
    Function::new("durationWeeks", &[T::Any], |c| Ok(Data::Float(split(c, 3600 * SECOND) / 24.0 / 7.0))),
    Function::new("durationRoundTo", &[T::Any, T::Any], |c| fitted(c, round)),
    Function::new("durationTruncateTo", &[T::Any, T::Any], |c| fitted(c, truncate)),
];

/// The whole units and the rest, added as Go adds them; 0 for what is no duration.
fn split(c: &Call<'_, '_>, unit: i64) -> f64 {
    let nanoseconds = duration(c.any(0)).unwrap_or(0);
    (nanoseconds / unit) as f64 + (nanoseconds % unit) as f64 / unit as f64
}

fn fitted(c: &Call<'_, '_>, fit: fn(i64, i64) -> i64) -> Outcome {
    let Ok(given) = duration(c.any(0)) else { return Ok(Data::Int(IntKind::Duration, 0)) };
    let fitted = duration(c.any(1)).map_or(given, |multiple| fit(given, multiple));
    Ok(Data::Int(IntKind::Duration, fitted))
}

fn truncate(given: i64, multiple: i64) -> i64 {
    if multiple <= 0 { given } else { given - given % multiple }
}

/// To the nearest multiple, halves away from zero; what overflows stays at the end of the range.
fn round(given: i64, multiple: i64) -> i64 {
    if multiple <= 0 {
        return given;
    }
    let rest = given % multiple;
    let up = rest.unsigned_abs().saturating_mul(2) >= multiple.unsigned_abs();
    let cut = given - rest;
    match (up, given < 0) {
        (false, _) => cut,
        (true, false) => cut.saturating_add(multiple),
        (true, true) => cut.saturating_sub(multiple),
    }
}

fn duration(data: &Data) -> Result<i64, Fault> {
    match data {
        Data::Int(IntKind::Duration, nanoseconds) => Ok(*nanoseconds),
        Data::Int(kind, seconds) => {
            let shown = if kind.unsigned() { (*seconds as u64).to_string() } else { seconds.to_string() };
            let whole = if kind.unsigned() { i64::try_from(*seconds as u64).ok() } else { Some(*seconds) };
            whole
                .and_then(|seconds| seconds.checked_mul(SECOND))
                .ok_or_else(|| Fault::new(format!("duration seconds overflow: {shown}")))
        }
        Data::Float(seconds) => from_float(*seconds),
        Data::Text(text) => {
            let text = text.str();
            let trimmed = text.trim();
            if trimmed.is_empty() {
                return Err(Fault::new("empty duration"));
            }
            if let Ok(nanoseconds) = parse_duration(trimmed) {
                return Ok(nanoseconds);
            }
            let number = crate::template::literal::float(trimmed);
            number.map_or_else(|| Err(Fault::new(format!("could not parse duration {text:?}"))), from_float)
        }
        Data::Missing | Data::Nil => Err(Fault::new("invalid duration")),
        other => Err(Fault::new(format!("unsupported duration type {}", other.type_name()))),
    }
}

fn from_float(seconds: f64) -> Result<i64, Fault> {
    let shown = || crate::template::literal::format_float(seconds, 'g', None);
    if !seconds.is_finite() {
        return Err(Fault::new(format!("invalid duration seconds: {}", shown())));
    }
    let most = i64::MAX as f64 / SECOND as f64;
    if seconds.abs() > most {
        return Err(Fault::new(format!("duration seconds overflow: {}", shown())));
    }
    Ok((seconds * SECOND as f64) as i64)
}
