//! Dates and durations. `now` is the instant that the rendering was given; the local zone is UTC.

use super::{Call, Function, T};
use crate::template::data::{Data, IntKind};
use crate::template::fault::{Fault, Outcome};
use crate::template::moment::{Moment, duration_text, parse_duration};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("now", &[], |c| Ok(Data::Time(now(c)))),
    Function::new("date", &[T::Text, T::Any], |c| Ok(Data::from(when(c, 1).in_zone("Local").format(&c.text(0))))),
    Function::new("dateInZone", &[T::Text, T::Any, T::Text], in_zone),
    Function::new("date_in_zone", &[T::Text, T::Any, T::Text], in_zone),
    Function::new("htmlDate", &[T::Any], |c| Ok(Data::from(when(c, 0).in_zone("Local").format("2006-01-02")))),
    Function::new("htmlDateInZone", &[T::Any, T::Text], |c| {
        Ok(Data::from(when(c, 0).in_zone(&c.text(1)).format("2006-01-02")))
    }),
    Function::new("dateModify", &[T::Text, T::Time], |c| Ok(modify(c).unwrap_or_else(|_| c.any(1).clone()))),
    Function::new("date_modify", &[T::Text, T::Time], |c| Ok(modify(c).unwrap_or_else(|_| c.any(1).clone()))),
    Function::new("mustDateModify", &[T::Text, T::Time], modify),
    Function::new("must_date_modify", &[T::Text, T::Time], modify),
    Function::new("ago", &[T::Any], |c| {
        let age = match c.any(0) {
            Data::Time(moment) => now(c).since(moment),
            Data::Int(IntKind::Int64 | IntKind::Int, seconds) => now(c).since(&Moment::utc(*seconds, 0)),
            _ => 0,
        };
        let whole = 1_000_000_000;
        let rounded = age.saturating_add(whole / 2 * age.signum()) / whole * whole;
        Ok(Data::from(duration_text(rounded)))
    }),
    Function::new("duration", &[T::Any], |c| {
        let seconds = match c.any(0) {
            Data::Text(text) => crate::template::literal::int(&text.str(), 10).unwrap_or(0),
            Data::Int(IntKind::Int64, seconds) => *seconds,
            _ => 0,
        };
        Ok(Data::from(duration_text(seconds.wrapping_mul(1_000_000_000))))
    }),
    Function::new("durationRound", &[T::Any], |c| Ok(Data::from(rounded(c)))),
    Function::new("toDate", &[T::Text, T::Text], |c| {
        let zero = Moment { seconds: -62_135_596_800, ..Moment::utc(0, 0) };
        Ok(Data::Time(Moment::parse(&c.text(0), &c.text(1)).unwrap_or(zero)))
    }),
    Function::new("mustToDate", &[T::Text, T::Text], |c| Ok(Data::Time(Moment::parse(&c.text(0), &c.text(1))?))),
    Function::new("unixEpoch", &[T::Time], |c| match c.any(0) {
        Data::Time(moment) => Ok(Data::from(moment.seconds.to_string())),
        _ => Err(Fault::new("not a time")),
    }),
];

pub(super) fn now(c: &Call<'_, '_>) -> Moment {
    let (seconds, nanos) = c.engine.options.now;
    Moment::utc(seconds, nanos)
}

fn when(c: &Call<'_, '_>, index: usize) -> Moment {
    match c.any(index) {
        Data::Time(moment) => moment.clone(),
        Data::Int(_, seconds) => Moment::utc(*seconds, 0),
        _ => now(c),
    }
}

fn in_zone(c: &Call<'_, '_>) -> Outcome {
    Ok(Data::from(when(c, 1).in_zone(&c.text(2)).format(&c.text(0))))
}

fn modify(c: &Call<'_, '_>) -> Outcome {
    match c.any(1) {
        Data::Time(moment) => Ok(Data::Time(moment.plus(parse_duration(&c.text(0))?))),
        _ => Err(Fault::new("not a time")),
    }
}

/// The largest unit of a duration: `2h`, `3mo`.
fn rounded(c: &Call<'_, '_>) -> String {
    let nanoseconds = match c.any(0) {
        Data::Text(text) => parse_duration(&text.str()).unwrap_or(0),
        Data::Int(IntKind::Int64, nanoseconds) => *nanoseconds,
        Data::Time(moment) => now(c).since(moment),
        Data::Int(IntKind::Duration, nanoseconds) => *nanoseconds,
        _ => 0,
    };
    let second = 1_000_000_000u64;
    let units = [
        (8760 * 3600 * second, "y"),
        (730 * 3600 * second, "mo"),
        (24 * 3600 * second, "d"),
        (3600 * second, "h"),
        (60 * second, "m"),
        (second, "s"),
    ];
    let magnitude = nanoseconds.unsigned_abs();
    units
        .iter()
        .find(|(size, _)| magnitude > *size)
        .map_or_else(|| "0s".to_owned(), |(size, unit)| format!("{}{unit}", magnitude / size))
}
