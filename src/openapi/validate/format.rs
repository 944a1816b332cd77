//! The `format`s that the API server checks.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value as Json;

use crate::openapi::quantity::is_quantity;

/// Whether `value` has the format; unknown formats always hold, as in the API server.
pub fn holds(format: &str, value: &Json) -> bool {
    match value {
        Json::Number(number) => match format {
            "int32" => number.as_i64().is_none_or(|n| i32::try_from(n).is_ok()) && !number.is_u64_only(),
            "int64" => !number.is_u64_only(),
            _ => true,
        },
        Json::String(text) => text_holds(format, text),
        _ => true,
    }
}

trait Range {
    /// Above `i64::MAX`.
    fn is_u64_only(&self) -> bool;
}

impl Range for serde_json::Number {
    fn is_u64_only(&self) -> bool {
        self.is_u64() && !self.is_i64()
    }
}

fn text_holds(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => is_date_time(text),
        "date" => is_date(text),
        "byte" => is_base64(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => uuid::Uuid::parse_str(text).is_ok(),
        "hostname" => is_hostname(text),
        "uri" => text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty()),
        "email" => text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && is_hostname(host)),
        "mac" => is_mac(text),
        "duration" => is_duration(text),
        "quantity" => is_quantity(text),
        _ => true,
    }
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let number = |part: &str, width| {
        (part.len() == width && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u32>().ok()).flatten()
    };
    match (number(year, 4), number(month, 2), number(day, 2)) {
        (Some(year), Some(month @ 1..=12), Some(day)) => {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (1..=days).contains(&day)
        }
        _ => false,
    }
}

/// An RFC 3339 time.
pub fn is_date_time(text: &str) -> bool {
    // `T` and an offset are required; jiff alone would take a space.
    text.as_bytes().get(10).is_some_and(|b| matches!(b, b'T' | b't')) && text.parse::<jiff::Timestamp>().is_ok()
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        let most = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|length| length <= most)
    })
}

fn is_hostname(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.trim_end_matches('.').split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    matches!(parts.len(), 6 | 8 | 20)
        && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Go's `1h30m`, `1.5s`, `-2ms`; zero needs no unit.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if digits == 0 || rest[..digits].matches('.').count() > 1 {
            return false;
        }
        rest = &rest[digits..];
        match ["ns", "us", "µs", "ms", "s", "m", "h"].iter().find_map(|unit| rest.strip_prefix(unit)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (format, good, bad) in [
            ("date-time", "2026-11-22T10:22:01Z", "2026-11-22"),
            ("date-time", "2026-11-22T10:22:01.5+01:00", "yesterday"),
            ("date", "2024-02-29", "2023-02-29"),
            ("byte", "aGk=", "a"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("duration", "1h30m", "1 hour"),
            ("duration", "1.5ms", "5"),
            ("quantity", "1.5Gi", "1.5gb"),
            ("quantity", "1e3", "1e"),
            ("quantity", "-500m", ""),
            ("uri", "https://x", "x"),
            ("hostname", "a.example.com", "a_b"),
            ("mac", "00:11:22:33:44:55", "00:11"),
        ] {
            assert!(text_holds(format, good), "{format} {good}");
            assert!(!text_holds(format, bad), "{format} {bad}");
        }
        assert!(!holds("int32", &Json::from(1_i64 << 40)));
        assert!(holds("int64", &Json::from(1_i64 << 40)));
    }
}
