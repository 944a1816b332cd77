//! What is said outside of clusters: by Google Cloud, by the state, by looks at quotas and rights, by a cluster that does
//! not answer.

use super::{Sign, Source};
use crate::diagnosis::facts::{Facts, Reach, Recorded, Subject, Tried};
use crate::diagnosis::look::View;
use crate::platform::preflight::{Topic, Verdict};
use crate::resource::error::ErrorClass;

pub(super) fn read(view: &View<'_>, signs: &mut Vec<Sign>) {
    let facts = view.facts;
    let cluster = facts.things.iter().find(|thing| thing.kind == "cluster").map(|thing| thing.name.as_str());
    let cluster = Subject::of("cluster", cluster.unwrap_or_default());
    match &facts.reach {
        Reach::Missing => {
            let text = "the state says that it was made, and Google Cloud has none of that name";
            signs.push(Sign::new(Source::Reach, cluster, "GET cluster", "Missing", text));
        }
        Reach::Silent(why) => signs.push(Sign::new(Source::Reach, cluster, "the API server", "Silent", why)),
        Reach::Unknown(why) => signs.push(Sign::new(Source::Reach, cluster, "GET cluster", "Unknown", why)),
        Reach::Unwanted | Reach::Absent | Reach::There => {}
    }
    for thing in facts.things.iter().filter(|thing| !thing.text.is_empty()) {
        let subject = Subject::of(&thing.kind, &thing.name);
        let mut sign = Sign::new(Source::Cloud, subject, thing.field.clone(), &class(thing.class), &thing.text);
        sign.at = thing.at;
        sign.what.clone_from(&thing.name);
        signs.push(sign);
    }
    for check in facts.checks.iter().filter(|check| check.verdict == Verdict::Missing) {
        let reason = match check.topic {
            Topic::Credentials => "Credentials",
            Topic::Service => "Service",
            Topic::Permission => "Permission",
            Topic::Offer => "Offer",
            Topic::Quota => "Quota",
            Topic::Capacity => "Capacity",
        };
        let subject = Subject::of("project", &check.subject);
        let sign = Sign::new(Source::Check, subject, check.topic.word(), reason, &check.found);
        signs.push(sign.what(check.subject.clone()));
    }
    let of = |kind: &str| Subject::of(kind, &facts.stack);
    if let Some(since) = facts.recorded.paused {
        let text = format!("paused since {}: its pools with accelerators have no nodes", since.rfc3339());
        signs.push(Sign::new(Source::State, of("pause"), "paused", "Paused", &text).at(Some(since)));
    }
    if let Some(holder) = &facts.recorded.holder {
        let text = format!("{holder} has it: another run is under way, or has not let go");
        signs.push(Sign::new(Source::State, of("lease"), "holder", "Held", &text).what(holder.clone()));
    }
    if let Some(why) = &facts.recorded.unreadable {
        signs.push(Sign::new(Source::State, of("state"), "snapshot and journal", "Unreadable", why));
    }
    signs.extend(cut_off(facts));
    for unseen in &facts.unseen {
        let subject = Subject::of("account", "");
        signs.push(Sign::new(Source::Refusal, subject, unseen.what.clone(), &class(Some(unseen.class)), &unseen.why));
    }
}

/// What a run has begun or left to be done, where it did not say why: it was killed, or the file has grown since.
fn cut_off(facts: &Facts) -> Option<Sign> {
    let Recorded { resources, pending, holder, unreadable, .. } = &facts.recorded;
    let told = facts.refused.iter().any(|refused| refused.tried == Tried::LastRun);
    if *resources == 0 || told || holder.is_some() || unreadable.is_some() {
        return None;
    }
    let left =
        facts.missing.iter().filter(|missing| !missing.made && pending.iter().all(|p| p.address != missing.address));
    let left = left.count();
    let begun = pending.first().map(|first| {
        let operation = first.operation.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let more = if pending.len() > 1 { format!(", like {} more", pending.len() - 1) } else { String::new() };
        let since = first.since.rfc3339();
        format!(
            "the {} of {} was begun at {since}{operation}{more}, and its end is not known",
            first.action, first.address
        )
    });
    let left = (left > 0).then(|| match left {
        1 => "1 resource was not begun".to_owned(),
        many => format!("{many} resources were not begun"),
    });
    let words = begun.into_iter().chain(left).collect::<Vec<_>>();
    let reason = if pending.iter().any(|one| one.action == "delete") { "PartlyDeleted" } else { "PartlyMade" };
    let subject = Subject::of("run", &facts.stack);
    let sign = Sign::new(Source::State, subject, "what was begun", reason, &words.join("; "));
    (!words.is_empty()).then(|| sign.at(pending.first().map(|first| first.since)))
}

/// A class as rules name it.
pub(super) fn class(class: Option<ErrorClass>) -> String {
    class.map(|class| format!("{class:?}")).unwrap_or_default()
}
