//! What was refused when it was tried: by the last run, or in a rehearsal just now. A refusal that names a webhook is
//! about the webhook's service, not about what was to be made.

use super::cloud::class;
use super::{Sign, Source};
use crate::diagnosis::facts::{Refused, Subject, Tried};
use crate::diagnosis::look::View;

pub(super) fn read(view: &View<'_>, signs: &mut Vec<Sign>) {
    for refused in &view.facts.refused {
        // What has come up since is no trouble any more.
        let of = &refused.subject;
        let runs = view.facts.things.iter().any(|thing| {
            thing.kind == of.kind && thing.name == of.name && thing.text.is_empty() && thing.status == "RUNNING"
        });
        if refused.tried == Tried::LastRun && (runs || view.is_fine(of)) {
            continue;
        }
        let field = match refused.tried {
            Tried::Rehearsal => "a rehearsal of its creation",
            Tried::LastRun => "the last run",
        };
        let (subject, what) = whose(refused);
        signs.push(Sign::new(Source::Refusal, subject, field, &class(refused.class), &refused.text).what(what));
    }
}

/// What a refusal is about, and what it names.
fn whose(refused: &Refused) -> (Subject, String) {
    let text = &refused.text;
    if (text.contains("failed calling webhook") || text.contains("conversion webhook"))
        && let Some((name, namespace)) = service(text)
    {
        return (Subject::new("Service", namespace, name), format!("{namespace}/{name}"));
    }
    (refused.subject.clone(), refused.address.clone())
}

/// The service in `https://NAME.NAMESPACE.svc:443/path`.
fn service(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("https://")?;
    let host = rest.split([':', '/', '?', '"']).next()?;
    let mut parts = host.split('.');
    let (name, namespace, svc) = (parts.next()?, parts.next()?, parts.next()?);
    (svc == "svc").then_some((name, namespace))
}
