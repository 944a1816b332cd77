//! Semantic versions and constraints on them, as charts write them: `^1.2`, `>=1.0 <3 || 4.x`, `1.2 - 2`.
//! Loose versions (`v1.2`) are read, too.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use super::{Call, Function, T};
use crate::template::data::{Data, IntKind, Object};
use crate::template::fault::{Fault, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("semver", &[T::Text], |c| {
        Ok(Data::Object(Rc::new(Version::loose(&c.text(0)).ok_or_else(|| refusal(&c.text(0)))?)))
    }),
    Function::new("semverCompare", &[T::Text, T::Text], |c| {
        let constraint = Constraint::parse(&c.text(0)).map_err(Fault::new)?;
        let version = Version::loose(&c.text(1)).ok_or_else(|| Fault::new("invalid semantic version"))?;
        Ok(Data::Bool(constraint.allows(&version)))
    }),
];

fn refusal(text: &str) -> Fault {
    let zeros = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
    let pre = text.split('+').next().and_then(|text| text.split_once('-')).map_or("", |(_, pre)| pre);
    Fault::new(if pre.split('.').any(zeros) { "version segment starts with 0" } else { "invalid semantic version" })
}

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// As it was written.
    pub original: String,
    /// Major, minor, patch.
    pub numbers: [u64; 3],
    /// After the hyphen.
    pub pre: String,
    /// After the plus sign.
    pub build: String,
}

fn identifiers(text: &str, numbers_strict: bool) -> bool {
    text.split('.').all(|part| {
        let numeric = part.bytes().all(|b| b.is_ascii_digit());
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !(numbers_strict && numeric && part.len() > 1 && part.starts_with('0'))
    })
}

impl Version {
    /// Reads `1`, `v1.2` and `1.2.3-rc.1+build`.
    pub fn loose(text: &str) -> Option<Version> {
        let original = text.to_owned();
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
        let mut numbers = [0; 3];
        for (at, part) in core.split('.').enumerate() {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            *numbers.get_mut(at)? = part.parse().ok()?;
        }
        if pre.is_some_and(|pre| !identifiers(pre, true)) || build.is_some_and(|build| !identifiers(build, false)) {
            return None;
        }
        Some(Version {
            original,
            numbers,
            pre: pre.unwrap_or_default().to_owned(),
            build: build.unwrap_or_default().to_owned(),
        })
    }

    fn plain(numbers: [u64; 3]) -> Version {
        Version { original: String::new(), numbers, pre: String::new(), build: String::new() }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build)?;
        }
        Ok(())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => pre_order(&self.pre, &other.pre),
        })
    }
}

fn pre_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl Object for Version {
    fn type_name(&self) -> &'static str {
        "*semver.Version"
    }

    fn field(&self, name: &str) -> Option<Data> {
        let number = |at: usize| Data::Int(IntKind::Uint64, i64::try_from(self.numbers[at]).unwrap_or(i64::MAX));
        Some(match name {
            "Major" => number(0),
            "Minor" => number(1),
            "Patch" => number(2),
            "Prerelease" => Data::from(self.pre.as_str()),
            "Metadata" => Data::from(self.build.as_str()),
            "Original" => Data::from(self.original.as_str()),
            "String" => Data::from(self.to_string()),
            "IncMajor" => Data::Object(Rc::new(Version::plain([self.numbers[0].wrapping_add(1), 0, 0]))),
            "IncMinor" => Data::Object(Rc::new(Version::plain([self.numbers[0], self.numbers[1].wrapping_add(1), 0]))),
            "IncPatch" => {
                let [major, minor, patch] = self.numbers;
                Data::Object(Rc::new(Version::plain([
                    major,
                    minor,
                    patch.wrapping_add(u64::from(self.pre.is_empty())),
                ])))
            }
            _ => return None,
        })
    }

    // All its fields are its own: a deep copy is a version of nothing.
    fn copied(&self) -> Option<Rc<dyn Object>> {
        Some(Rc::new(Version::plain([0; 3])))
    }

    fn method(&self, name: &str, call: &Call<'_, '_>) -> Option<Outcome> {
        let ordered = |test: fn(Ordering) -> Data| {
            let [Data::Object(other)] = call.arguments() else {
                return Some(Err(Fault::new("wrong type for value; expected *semver.Version")));
            };
            let text = other.shown().unwrap_or_default();
            Some(Version::loose(&text).map(|v| test(self.cmp(&v))).ok_or_else(|| Fault::new("not a version")))
        };
        match name {
            "Compare" => ordered(|o| Data::int(o as i64)),
            "Equal" => ordered(|o| Data::Bool(o == Ordering::Equal)),
            "LessThan" => ordered(|o| Data::Bool(o == Ordering::Less)),
            "LessThanEqual" => ordered(|o| Data::Bool(o != Ordering::Greater)),
            "GreaterThan" => ordered(|o| Data::Bool(o == Ordering::Greater)),
            "GreaterThanEqual" => ordered(|o| Data::Bool(o != Ordering::Less)),
            _ => None,
        }
    }

    fn plain(&self) -> Data {
        Data::from(self.to_string())
    }

    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Which versions are allowed: any of some lists of conditions.
#[derive(Clone, Debug)]
pub struct Constraint {
    any: Vec<Vec<Condition>>,
}

#[derive(Clone, Debug)]
struct Condition {
    operator: String,
    version: Version,
    /// How many of the three numbers were given; the rest are wildcards.
    given: usize,
}

impl Constraint {
    /// Reads a constraint.
    ///
    /// # Errors
    /// Where it is none, with the text.
    pub fn parse(text: &str) -> Result<Constraint, String> {
        let improper = || format!("improper constraint: {}", crate::template::print::quoted(text.as_bytes()));
        let mut any = Vec::new();
        for part in text.split("||") {
            let part = hyphen_ranges(part);
            let mut all = Vec::new();
            let mut rest = part.trim().trim_matches(',').trim();
            if rest.is_empty() {
                return Err(improper());
            }
            while !rest.is_empty() {
                let (condition, length) = condition(rest).ok_or_else(improper)?;
                all.push(condition);
                rest = rest[length..].trim_start_matches([' ', ',', '\t', '\n']);
            }
            any.push(all);
        }
        Ok(Constraint { any })
    }

    /// Whether `version` is allowed. Pre-releases are only where the constraint names one.
    pub fn allows(&self, version: &Version) -> bool {
        self.any.iter().any(|all| {
            let names_pre = all.iter().any(|condition| !condition.version.pre.is_empty());
            all.iter().all(|condition| condition.allows(version, names_pre))
        })
    }
}

/// `1.2 - 2.0` as `>=1.2 <=2.0`.
fn hyphen_ranges(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>();
    match words.iter().position(|w| *w == "-") {
        Some(at) if at > 0 && at + 1 < words.len() => {
            let mut out = words[..at - 1].join(" ");
            out.push_str(&format!(" >={} <={} ", words[at - 1], words[at + 1]));
            out.push_str(&hyphen_ranges(&words[at + 2..].join(" ")));
            out
        }
        _ => text.to_owned(),
    }
}

fn condition(text: &str) -> Option<(Condition, usize)> {
    let operators = ["=>", "=<", "~>", "!=", ">=", "<=", "=", ">", "<", "~", "^"];
    let operator = operators.iter().find(|o| text.starts_with(**o)).copied().unwrap_or("");
    let after = text[operator.len()..].trim_start();
    let skipped = text.len() - after.len();
    let length = after.find(|c: char| !(c.is_ascii_alphanumeric() || "*.-+".contains(c))).unwrap_or(after.len());
    let word = &after[..length];
    if word.is_empty() {
        return None;
    }
    let body = word.strip_prefix('v').unwrap_or(word);
    let (core, suffix) = body.split_at(body.find(['-', '+']).unwrap_or(body.len()));
    let parts = core.split('.').collect::<Vec<_>>();
    let wild = |part: &str| matches!(part, "x" | "X" | "*");
    let given = parts.iter().position(|p| wild(p)).unwrap_or(parts.len());
    if parts.len() > 3 || parts.iter().skip(given).any(|p| !wild(p) && !p.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let version = if given == 0 {
        Version::plain([0, 0, 0])
    } else {
        Version::loose(&format!("{}{suffix}", parts[..given].join(".")))?
    };
    let operator = match operator {
        "=>" => ">=",
        "=<" => "<=",
        "~>" => "~",
        other => other,
    };
    Some((Condition { operator: operator.to_owned(), version, given }, skipped + length))
}

impl Condition {
    fn allows(&self, version: &Version, names_pre: bool) -> bool {
        if !version.pre.is_empty() && !names_pre {
            return false;
        }
        let same_given = version.numbers[..self.given.min(3)] == self.version.numbers[..self.given.min(3)];
        let exact = self.given >= 3;
        match self.operator.as_str() {
            "" | "=" if exact => version.cmp(&self.version) == Ordering::Equal,
            "!=" if exact => version.cmp(&self.version) != Ordering::Equal,
            "!=" => !same_given,
            ">" if exact => version > &self.version,
            ">" if self.given == 0 => false,
            ">" => version > &self.version && !same_given,
            "<" => version < &self.version,
            ">=" => version >= &self.version,
            "<=" if exact => version <= &self.version,
            "<=" => version <= &self.version || same_given,
            "^" => {
                if version < &self.version {
                    return false;
                }
                let [major, minor, patch] = self.version.numbers;
                match self.given {
                    // A caret on a wildcard allows nothing but zero.
                    0 => version.numbers == [0, 0, 0],
                    _ if major > 0 || self.given == 1 => version.numbers[0] == major,
                    _ if version.numbers[0] != major => false,
                    _ if minor > 0 || self.given == 2 => version.numbers[1] == minor,
                    _ if version.numbers[1] != 0 => false,
                    _ => version.numbers[2] == patch,
                }
            }
            // A tilde, and a bare or equals version with wildcards.
            _ => {
                if version < &self.version {
                    return false;
                }
                let fixed = self.given.min(2);
                version.numbers[..fixed] == self.version.numbers[..fixed]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints() {
        for (constraint, version, allowed) in [
            (">=1.21-0", "v1.30.0-gke.100", true),
            (">=1.21", "v1.30.0-gke.100", false),
            ("^1.2.3", "1.9.0", true),
            ("^0.2.3", "0.3.0", false),
            ("~1.2", "1.2.9", true),
            ("~1.2", "1.3.0", false),
            ("1.2.x", "1.2.5", true),
            ("*", "3.1.4", true),
            (">= 1.0, < 2.0 || 3.x", "3.7.1", true),
            (">= 1.0 < 2.0", "2.0.0", false),
            ("1.2 - 1.4.5", "1.4.5", true),
            ("!=1.2.3", "1.2.3", false),
            ("<1.19-0", "1.19.0-beta.1", false),
            ("<=1.2", "1.2.9", true),
            (">1.2", "1.2.9", false),
        ] {
            let version = Version::loose(version).unwrap();
            assert_eq!(Constraint::parse(constraint).unwrap().allows(&version), allowed, "{constraint} {version}");
        }
        assert!(Constraint::parse("x1").is_err());
        assert!(Version::loose("1.2.3.4").is_none() && Version::loose("a").is_none());
    }
}
