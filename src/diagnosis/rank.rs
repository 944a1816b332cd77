//! From signs to causes: each sign goes to the rule that says most about it, signs of one cause come together, what
//! stands on another cause is folded under it, and the rest is ranked.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::facts::{Facts, Missing, Reach, Subject};
use super::links::Links;
use super::look::{View, trouble};
use super::rules::{self, Known, Rule};
use super::signs::{Sign, signs};
use crate::env::clock::Timestamp;

/// What shows a cause: who says what, where and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// `Pod app/web-5d`.
    pub object: String,
    /// `status.containerStatuses[web].state.waiting`.
    pub field: String,
    /// The words.
    pub says: String,
    /// When, where that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How often.
    pub times: u64,
}

/// Why a stack does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Stable: `image-not-found`.
    pub id: &'static str,
    /// How sure it is, and how much hangs on it; only good for comparing.
    pub score: u32,
    /// What is wrong.
    pub sentence: String,
    /// What shows it best.
    pub fact: Fact,
    /// What shows it besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Fact>,
    /// What to do.
    pub mend: String,
    /// The command for it, or to see more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Other troubles that go away with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explains: Vec<String>,
}

/// As many characters of what somebody says are repeated.
const WORDS: usize = 600;
/// As many facts beside the best.
const ALSO: usize = 3;
/// What hangs on a cause counts up to this.
const MOST: u32 = 9;

/// Signs of one cause.
struct Group<'s> {
    rule: &'static Rule,
    subjects: BTreeSet<Subject>,
    signs: Vec<(&'s Sign, String)>,
    explains: Vec<String>,
}

impl Group<'_> {
    fn score(&self) -> u32 {
        self.rule.weight + u32::try_from(self.explains.len()).unwrap_or(MOST).min(MOST)
    }
}

/// Why the stack does not work: the most likely first. Nothing where nothing is known to be wrong.
pub fn causes(facts: &Facts) -> Vec<Cause> {
    let view = View::new(facts);
    let signs = signs(&view);
    let mut groups = groups(&view, &signs);
    let links = Links::of(&view);
    fold(&mut groups, &links);
    for (subject, words) in symptoms(&view) {
        let below = links.below([&subject]);
        let whose = groups.iter().position(|group| group.subjects.iter().any(|below_it| reaches(&below, below_it)));
        let whose = whose.or_else(|| groups.iter().position(|group| leaves_out(group, facts, &subject)));
        if let Some(whose) = whose
            && !groups[whose].subjects.contains(&subject)
        {
            groups[whose].explains.push(words);
        }
    }
    groups.sort_by(|a, b| b.score().cmp(&a.score()).then_with(|| a.subjects.cmp(&b.subjects)));
    groups.iter().map(|group| cause(facts, group)).collect()
}

/// What is not as it should be and that no cause explains.
pub fn unexplained(facts: &Facts) -> Vec<String> {
    let view = View::new(facts);
    let signs = signs(&view);
    let groups = groups(&view, &signs);
    let links = Links::of(&view);
    let explained = |subject: &Subject| {
        let below = links.below([subject]);
        let stands = |group: &Group<'_>| group.subjects.iter().any(|below_it| reaches(&below, below_it));
        groups.iter().any(|group| stands(group) || leaves_out(group, facts, subject))
    };
    symptoms(&view).into_iter().filter(|(subject, _)| !explained(subject)).map(|(_, words)| words).collect()
}

/// Whether something is among what another stands on; of clusters, whichever.
fn reaches(below: &BTreeSet<Subject>, subject: &Subject) -> bool {
    below.contains(subject) || (subject.kind == "cluster" && below.iter().any(|below| below.kind == "cluster"))
}

/// Whether something is not there because a run did not come to it, or not to its end. What keeps it from being made all the same says more,
/// so that this is no link.
fn leaves_out(group: &Group<'_>, facts: &Facts, subject: &Subject) -> bool {
    let begun = |address: &str| facts.recorded.pending.iter().any(|pending| pending.address == address);
    let left = |missing: &&Missing| !missing.made || begun(&missing.address);
    group.subjects.iter().any(|it| it.kind == "run")
        && facts.missing.iter().filter(left).any(|missing| missing.subject == *subject)
}

fn groups<'s>(view: &View<'_>, signs: &'s [Sign]) -> Vec<Group<'s>> {
    let mut found: BTreeMap<(&str, String), Group<'s>> = BTreeMap::new();
    for sign in signs {
        let Some((rule, says)) = rules::best(sign) else { continue };
        let root = view.find(&sign.subject).map_or_else(|| sign.subject.clone(), |o| Subject::object(view.root(o)));
        let what = rule.what(sign);
        let key = match rule.known_by {
            Known::What if !what.is_empty() => what,
            _ => root.to_string(),
        };
        let group = found.entry((rule.id, key)).or_insert_with(|| Group {
            rule,
            subjects: BTreeSet::new(),
            signs: Vec::new(),
            explains: Vec::new(),
        });
        group.subjects.insert(sign.subject.clone());
        group.signs.push((sign, says));
    }
    let mut groups = found.into_values().collect::<Vec<_>>();
    for group in &mut groups {
        group.signs.sort_by(|(a, _), (b, _)| {
            (a.source, std::cmp::Reverse(a.at), &a.subject).cmp(&(b.source, std::cmp::Reverse(b.at), &b.subject))
        });
    }
    groups.sort_by(|a, b| b.rule.weight.cmp(&a.rule.weight).then_with(|| a.subjects.cmp(&b.subjects)));
    groups
}

/// Puts causes that stand on others under those; the rest stays, in its order.
fn fold(groups: &mut Vec<Group<'_>>, links: &Links) {
    let below = groups.iter().map(|group| links.below(&group.subjects)).collect::<Vec<_>>();
    let stands = |above: usize, on: usize| {
        let alike = groups[above].subjects.intersection(&groups[on].subjects).next().is_some();
        // Of two causes of one object the heavier explains the other.
        let alike = alike && (groups[on].rule.weight, above) > (groups[above].rule.weight, on);
        let reach = |above: usize, on: usize| groups[on].subjects.iter().any(|subject| reaches(&below[above], subject));
        alike || (reach(above, on) && !reach(on, above))
    };
    let all = 0..groups.len();
    let mut under: Vec<Option<usize>> =
        all.clone().map(|above| all.clone().find(|on| *on != above && stands(above, *on))).collect();
    // Where causes stand on each other in a circle, the heaviest is on top of none.
    for start in all.clone() {
        let (mut at, mut path) = (start, Vec::new());
        while let Some(on) = under[at] {
            path.push(at);
            if let Some(first) = path.iter().position(|seen| *seen == on) {
                let heaviest = path[first..].iter().copied().min().unwrap_or(on);
                under[heaviest] = None;
                break;
            }
            at = on;
        }
    }
    for at in all {
        let Some(mut on) = under[at] else { continue };
        // What is said besides of the same object is no other trouble.
        let is_echo = groups[at].subjects.is_subset(&groups[on].subjects);
        while let Some(next) = under[on] {
            on = next;
        }
        let more = std::mem::take(&mut groups[at].explains);
        groups[on].explains.extend(more);
        if groups[at].rule.id == groups[on].rule.id {
            // The same, said of another part of it.
            let (signs, subjects) = (std::mem::take(&mut groups[at].signs), groups[at].subjects.clone());
            groups[on].signs.extend(signs);
            groups[on].subjects.extend(subjects);
        } else if !is_echo {
            let words = format!("{}: {}", groups[at].rule.title, first_subject(&groups[at]));
            groups[on].explains.push(words);
        }
    }
    let mut at = 0;
    groups.retain(|_| {
        at += 1;
        under[at - 1].is_none()
    });
}

fn first_subject(group: &Group<'_>) -> String {
    group.signs.first().map(|(sign, _)| sign.subject.to_string()).unwrap_or_default()
}

/// What is not as it should be, whatever the cause: objects, and what is not there.
fn symptoms(view: &View<'_>) -> Vec<(Subject, String)> {
    let mut found = Vec::new();
    for object in &view.facts.objects {
        let subject = Subject::object(object);
        // Of a Deployment, its ReplicaSets and pods, the Deployment says enough.
        let is_part = matches!(subject.kind.as_str(), "Event" | "ReplicaSet" | "CertificateRequest" | "EndpointSlice")
            || (subject.kind == "Pod" && view.owner(object).is_some());
        if let Some(trouble) = trouble(object).filter(|_| !is_part) {
            let words = format!("{subject}: {trouble}");
            found.push((subject, words));
        }
    }
    if view.facts.reach != Reach::Absent {
        found.extend(view.facts.missing.iter().map(|missing| {
            let subject = missing.subject.clone();
            (subject, format!("{} is not there", missing.address))
        }));
    }
    found
}

fn cause(facts: &Facts, group: &Group<'_>) -> Cause {
    let Group { rule, signs, explains, .. } = group;
    let (first, says) = signs.first().map(|(sign, says)| (*sign, says.as_str())).expect("a group has a sign");
    let mut seen = BTreeSet::new();
    let mut facts_of = signs.iter().map(|(sign, says)| fact(sign, says));
    let best = facts_of.next().expect("a group has a sign");
    seen.insert((best.object.clone(), best.says.clone()));
    let also = facts_of.filter(|fact| seen.insert((fact.object.clone(), fact.says.clone()))).take(ALSO).collect();
    Cause {
        id: rule.id,
        score: group.score(),
        sentence: rule.fill(rule.sentence, first, says, facts),
        fact: best,
        also,
        mend: rule.fill(rule.mend, first, says, facts),
        command: (!rule.command.is_empty()).then(|| rule.fill(rule.command, first, says, facts)),
        explains: explains.clone(),
    }
}

fn fact(sign: &Sign, says: &str) -> Fact {
    let said = if says.is_empty() { &sign.reason } else { says };
    Fact {
        object: sign.subject.to_string(),
        field: sign.field.clone(),
        says: shortened(said),
        at: sign.at.map(Timestamp::rfc3339),
        times: sign.count,
    }
}

/// On one line, and not longer than somebody reads.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WORDS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
