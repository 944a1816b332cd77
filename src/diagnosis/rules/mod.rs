//! What is known to go wrong, as data: by which signs it is known, how much it weighs, what it means, what to do. Also what
//! docs/troubleshooting.md says of it.

mod network;
mod platform;
mod workload;

use super::facts::Facts;
use super::signs::{Sign, Source};

/// What makes two signs signs of one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// That they are of one object, or of the same that made their objects.
    Subject,
    /// That they name the same: an image, a webhook's service.
    What,
}

/// Which signs a rule is known by. Everything that is given must fit; empty is anything. Words are compared in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Who says it.
    pub sources: &'static [Source],
    /// Of which kinds.
    pub kinds: &'static [&'static str],
    /// In a word.
    pub reasons: &'static [&'static str],
    /// One of these is said.
    pub any: &'static [&'static str],
    /// All of these are said.
    pub all: &'static [&'static str],
    /// None of these is said.
    pub none: &'static [&'static str],
}

/// Any sign.
const ANY: Look = Look { sources: &[], kinds: &[], reasons: &[], any: &[], all: &[], none: &[] };

/// Whoever repeats what a program has said: its log, the status of its container, who waited for it.
const SAID: &[Source] = &[Source::Log, Source::Container, Source::Refusal];

/// One thing that goes wrong.
#[derive(Debug)]
pub struct Rule {
    /// Stable, in kebab-case.
    pub id: &'static str,
    /// A heading.
    pub title: &'static str,
    /// What people see of it, for the page.
    pub seen: &'static str,
    /// How sure it is when its signs are there, from 0 to 100; also who explains whom on one object.
    pub weight: u32,
    /// Its signs: any of these.
    pub looks: &'static [Look],
    /// What makes two of its signs one cause.
    pub known_by: Known,
    /// What stands before and after what is named, in what is said; without a match, what the sign names.
    pub names: &'static [(&'static str, &'static str)],
    /// What is wrong: `{object}`, `{kind}`, `{namespace}`, `{name}`, `{what}`, `{stack}` and `{again}` are filled in.
    pub sentence: &'static str,
    /// What happens, for the page.
    pub story: &'static str,
    /// What to do.
    pub mend: &'static str,
    /// The command for it.
    pub command: &'static str,
}

/// All rules.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [platform::RULES, network::RULES, workload::RULES].into_iter().flatten()
}

/// The rule that says most about a sign, and the words that show it.
pub fn best(sign: &Sign) -> Option<(&'static Rule, String)> {
    let mut best: Option<(&'static Rule, String)> = None;
    for rule in all() {
        if best.as_ref().is_some_and(|(other, _)| other.weight >= rule.weight) {
            continue;
        }
        if let Some(says) = rule.looks.iter().find_map(|look| look.matches(sign)) {
            best = Some((rule, says));
        }
    }
    best
}

impl Look {
    /// The words that fit: of several lines, the one that matters.
    fn matches(&self, sign: &Sign) -> Option<String> {
        let fits = |list: &[&str], word: &str| list.is_empty() || list.contains(&word);
        if !(self.sources.is_empty() || self.sources.contains(&sign.source))
            || !fits(self.kinds, &sign.subject.kind)
            || !fits(self.reasons, &sign.reason)
        {
            return None;
        }
        let text = sign.text.to_lowercase();
        let has = |word: &&&str| text.contains(**word);
        if !self.all.iter().all(|word| has(&word)) || self.none.iter().any(|word| has(&word)) {
            return None;
        }
        if self.any.is_empty() {
            return Some(sign.text.clone());
        }
        let found = self.any.iter().find(has)?;
        if sign.source != Source::Log {
            return Some(sign.text.clone());
        }
        // The last line that says it: what a program dies of comes last.
        sign.text.lines().rev().find(|line| line.to_lowercase().contains(found)).map(|line| line.trim().to_owned())
    }
}

impl Rule {
    /// What a sign names.
    pub fn what(&self, sign: &Sign) -> String {
        let between = |(before, after): &(&str, &str)| {
            let (_, rest) = sign.text.split_once(before)?;
            let found = if after.is_empty() { rest.split_whitespace().next()? } else { rest.split_once(after)?.0 };
            (!found.is_empty() && found.len() < 300).then(|| found.to_owned())
        };
        self.names.iter().find_map(between).unwrap_or_else(|| sign.what.clone())
    }

    /// A text with everything filled in.
    pub fn fill(&self, text: &str, sign: &Sign, says: &str, facts: &Facts) -> String {
        let subject = &sign.subject;
        let what = self.what(sign);
        let what = if what.is_empty() { subject.to_string() } else { what };
        [
            ("{object}", subject.to_string()),
            ("{kind}", subject.kind.to_lowercase()),
            ("{namespace}", subject.namespace.clone()),
            ("{name}", subject.name.clone()),
            ("{what}", what),
            ("{says}", says.to_owned()),
            ("{stack}", facts.stack.clone()),
            ("{again}", facts.again.clone()),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (word, value)| text.replace(word, &value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_is_whole() {
        let mut ids = BTreeSet::new();
        for rule in all() {
            assert!(ids.insert(rule.id), "{} is there twice", rule.id);
            assert!(rule.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", rule.id);
            assert!((1..=100).contains(&rule.weight) && !rule.looks.is_empty(), "{}", rule.id);
            for text in [rule.title, rule.seen, rule.sentence, rule.story, rule.mend] {
                assert!(!text.is_empty(), "{} says nothing somewhere", rule.id);
            }
            for look in rule.looks {
                let words = look.any.iter().chain(look.all).chain(look.none);
                let lower = words.clone().all(|word| word.to_lowercase() == **word);
                assert!(lower, "{}: words are compared in lower case: {look:?}", rule.id);
                let empty = look.sources.is_empty() && look.reasons.is_empty() && look.any.is_empty();
                assert!(!empty, "{} fits everything", rule.id);
            }
            for text in [rule.sentence, rule.mend, rule.command] {
                let known = ["object", "kind", "namespace", "name", "what", "says", "stack", "again"];
                // References of stack files and paths of kubectl are no words of ours.
                let text = text.replace("${", "").replace("{.", "");
                for part in text.split('{').skip(1) {
                    let word = part.split('}').next().unwrap_or_default();
                    assert!(known.contains(&word), "{}: {{{word}}} is not filled in", rule.id);
                }
            }
        }
        assert!(ids.len() >= 43, "{}", ids.len());
    }
}
