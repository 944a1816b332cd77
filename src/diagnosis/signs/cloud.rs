//! What is said outside of clusters: by Google Cloud, by the state, by looks at quotas and rights, by a cluster that does
//! not answer.

use super::{Sign, Source};
use crate::diagnosis::facts::{Reach, Subject};
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
    for unseen in &facts.unseen {
        let subject = Subject::of("account", "");
        signs.push(Sign::new(Source::Refusal, subject, unseen.what.clone(), &class(Some(unseen.class)), &unseen.why));
    }
}

/// A class as rules name it.
pub(super) fn class(class: Option<ErrorClass>) -> String {
    class.map(|class| format!("{class:?}")).unwrap_or_default()
}
