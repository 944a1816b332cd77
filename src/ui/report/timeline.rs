//! When things happen: expected before, and afterwards what happened beside what was expected.
//!
//! A row per component that opens to its resources; each says what it waited for. Bars are drawings without words: the
//! words stand beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Matter, Sections};
use crate::address::Address;
use crate::event::Event;
use crate::plan::execution::{Phase, Task};
use crate::plan::time::{Schedule, Span};
use crate::ui::graph::svg::escaped;
use crate::ui::paint::{count, duration};

/// So many resources of a component have rows of their own, those that take longest.
const ROWS: usize = 25;

/// Beyond the first few, what takes less than this part of the whole has no row of its own.
const NOTABLE: u32 = 200;
const FEW: usize = 5;

/// What a resource said that it waits for is repeated so often.
const REASONS: usize = 3;

pub(super) fn section(matter: &Matter<'_>, sections: &mut Sections) {
    let shown = matter.executed.as_ref().unwrap_or(&matter.expected);
    if shown.changes.is_empty() {
        return;
    }
    let mut body = String::new();
    path(matter, shown, &mut body);
    let run = matter.report.run.is_some();
    let total = if run { shown.total.max(matter.expected.total) } else { shown.total };
    key(run, &mut body);
    axis(total, &mut body);
    body.push_str("<div class=\"chart\">\n");
    let waits = waits(matter);
    let expected = matter.expected.components.iter().map(|c| (c.component.as_str(), (c.begin, c.end)));
    let expected = expected.collect::<BTreeMap<_, _>>();
    let foreseen = matter.expected.changes.iter();
    let foreseen =
        foreseen.map(|span| ((&span.address, span.phase), (span.begin, span.end))).collect::<BTreeMap<_, _>>();
    for component in &shown.components {
        let mut spans =
            shown.changes.iter().filter(|span| span.address.component() == component.component).collect::<Vec<_>>();
        let failed = spans.iter().any(|span| has_failed(matter, span));
        let before = expected.get(component.component.as_str()).copied().filter(|_| run);
        let word = if failed {
            ", failed"
        } else if component.critical {
            ", on the critical path"
        } else {
            ""
        };
        body.push_str(&format!(
            "<details><summary class=\"row\" aria-label=\"{}: from {} to {}{word}\"><span class=\"name\">{}</span>{}<span class=\"took\">{}</span></summary>\n<ol>\n",
            escaped(&component.component),
            duration(component.begin),
            duration(component.end),
            escaped(&component.component),
            bars(matter, &spans, before, total),
            duration(busy(&spans).iter().map(|(begin, end)| *end - *begin).sum())
        ));
        spans.sort_by_key(|span| (std::cmp::Reverse(span.end - span.begin), span.begin, &span.address));
        let long = spans.iter().filter(|span| span.critical || span.end - span.begin >= total / NOTABLE).count();
        let rows = long.clamp(FEW.min(spans.len()), ROWS);
        let more = spans.len().saturating_sub(rows);
        spans.truncate(rows);
        spans.sort_by_key(|span| (span.begin, span.end, &span.address));
        for span in spans {
            let before = foreseen.get(&(&span.address, span.phase)).copied().filter(|_| run);
            row(matter, span, before, total, waits.get(&span.address).map_or(&[], Vec::as_slice), &mut body);
        }
        if more > 0 {
            body.push_str(&format!("<li class=\"why\">And {} that took less.</li>\n", count(more, "resource")));
        }
        body.push_str("</ol>\n</details>\n");
    }
    body.push_str("</div>\n");
    let name = if run { "What happened when" } else { "Expected timeline" };
    sections.add("time", name, &body);
}

/// The chain that makes it last so long.
fn path(matter: &Matter<'_>, shown: &Schedule, out: &mut String) {
    let legs = shown.legs();
    let least = shown.total / 100;
    let legs = legs.into_iter().filter(|(_, took)| *took >= least && !took.is_zero()).collect::<Vec<_>>();
    let word = if matter.report.run.is_some() { "made it last so long" } else { "will make it last so long" };
    out.push_str(&format!(
        "<p>The critical path is what {word}, {} in all; whatever else is faster or slower makes no difference.</p>\n<ol class=\"path\">\n",
        duration(shown.total)
    ));
    for (component, took) in legs {
        let share = took.as_secs_f64() / shown.total.as_secs_f64().max(0.001) * 100.0;
        out.push_str(&format!(
            "<li><span class=\"leg\">{} <strong>{}</strong> <span class=\"faint\">{share:.0} %</span></span></li>\n",
            escaped(component),
            duration(took)
        ));
    }
    out.push_str("</ol>\n");
}

fn key(run: bool, out: &mut String) {
    let sample = |class: &str| {
        format!(
            "<svg aria-hidden=\"true\" viewBox=\"0 0 26 10\"><rect class=\"{class}\" x=\"1\" y=\"1\" width=\"24\" height=\"8\"/></svg>"
        )
    };
    let mut entries = vec![("critical", "on the critical path"), ("bar", "not on it")];
    if run {
        entries.extend([("failed", "failed"), ("expected", "as expected before")]);
    }
    out.push_str("<ul class=\"key\">");
    for (class, text) in entries {
        out.push_str(&format!("<li>{}{text}</li>", sample(class)));
    }
    out.push_str("</ul>\n");
}

fn axis(total: Duration, out: &mut String) {
    out.push_str("<div class=\"axis\" aria-hidden=\"true\"><span></span><span class=\"ticks\">");
    for quarter in 0..=4_u32 {
        out.push_str(&format!("<span>{}</span>", duration(total * quarter / 4)));
    }
    out.push_str("</span><span></span></div>\n");
}

/// When a component is worked on: its spans, those that touch joined.
fn busy(spans: &[&Span]) -> Vec<(Duration, Duration)> {
    let mut sorted = spans.iter().map(|span| (span.begin, span.end)).collect::<Vec<_>>();
    sorted.sort_unstable();
    let mut busy: Vec<(Duration, Duration)> = Vec::new();
    for (begin, end) in sorted {
        match busy.last_mut() {
            Some((_, last)) if begin <= *last => *last = end.max(*last),
            _ => busy.push((begin, end)),
        }
    }
    busy
}

/// The bars of a component: when it is worked on, what of that is critical, what failed.
fn bars(matter: &Matter<'_>, spans: &[&Span], before: Option<(Duration, Duration)>, total: Duration) -> String {
    let mut parts = busy(spans).into_iter().map(|(begin, end)| (begin, end, "bar")).collect::<Vec<_>>();
    let critical = spans.iter().filter(|span| span.critical).copied().collect::<Vec<_>>();
    parts.extend(busy(&critical).into_iter().map(|(begin, end)| (begin, end, "critical")));
    let failed = spans.iter().filter(|span| has_failed(matter, span)).copied().collect::<Vec<_>>();
    parts.extend(busy(&failed).into_iter().map(|(begin, end)| (begin, end, "failed")));
    drawn(&parts, before, total)
}

/// Bars in a frame of a thousand units, and in outline what was expected.
fn drawn(parts: &[(Duration, Duration, &str)], before: Option<(Duration, Duration)>, total: Duration) -> String {
    let scale = 1000.0 / total.as_secs_f64().max(0.001);
    let place = |begin: Duration, end: Duration| {
        let x = (begin.as_secs_f64() * scale).min(997.0);
        // What is short is still to be seen.
        (x, ((end - begin).as_secs_f64() * scale).max(3.0).min(1000.0 - x))
    };
    let mut out = "<svg aria-hidden=\"true\" viewBox=\"0 0 1000 20\" preserveAspectRatio=\"none\">".to_owned();
    for (begin, end, class) in parts {
        let (x, width) = place(*begin, *end);
        out.push_str(&format!("<rect class=\"{class}\" x=\"{x:.1}\" y=\"5\" width=\"{width:.1}\" height=\"10\"/>"));
    }
    if let Some((begin, end)) = before {
        let (x, width) = place(begin, end);
        out.push_str(&format!("<rect class=\"expected\" x=\"{x:.1}\" y=\"2\" width=\"{width:.1}\" height=\"16\"/>"));
    }
    out.push_str("</svg>");
    out
}

fn has_failed(matter: &Matter<'_>, span: &Span) -> bool {
    let records = matter.report.run.as_ref().map_or(&[][..], |run| run.records);
    records.iter().any(|record| match &record.event {
        Event::Failed { address, action, .. } => {
            let task = Task { phase: span.phase, address: span.address.clone() };
            *address == span.address && crate::plan::execution::half(matter.report.plan, address, *action) == task
        }
        _ => false,
    })
}

/// What resources said that they wait for, each thing once.
fn waits<'a>(matter: &Matter<'a>) -> BTreeMap<&'a Address, Vec<&'a str>> {
    let mut waits: BTreeMap<&Address, Vec<&str>> = BTreeMap::new();
    for record in matter.report.run.as_ref().map_or(&[][..], |run| run.records) {
        if let Event::Waiting { address, waiting_for, .. } = &record.event {
            let said = waits.entry(address).or_default();
            if !said.contains(&waiting_for.as_str()) {
                said.push(waiting_for);
            }
        }
    }
    waits
}

/// `Deployment istio-system/istiod`: a key without the group of its kind.
fn short(key: &str) -> String {
    match key.split_once('/') {
        Some((kind, name)) if kind.starts_with(char::is_uppercase) => {
            format!("{} {name}", kind.split('.').next().unwrap_or(kind))
        }
        _ => key.to_owned(),
    }
}

fn row(
    matter: &Matter<'_>,
    span: &Span,
    before: Option<(Duration, Duration)>,
    total: Duration,
    waits: &[&str],
    out: &mut String,
) {
    let class = if has_failed(matter, span) {
        "failed"
    } else if span.critical {
        "critical"
    } else {
        "bar"
    };
    let address = span.address.as_str();
    let own = address.strip_prefix(span.address.component()).map_or(address, |rest| rest.trim_start_matches('/'));
    let name = escaped(&if own.is_empty() { address.to_owned() } else { short(own) });
    let name = match matter.resource(address) {
        Some(anchor) => format!("<a href=\"#{anchor}\">{name}</a>"),
        None => name,
    };
    let phase = if span.phase == Phase::Destroy && !matter.report.plan.destroy { " (deletion)" } else { "" };
    out.push_str(&format!(
        "<li><div class=\"row\"><span class=\"name\">{name}{phase}</span>{}<span class=\"took\">{}</span></div>\n",
        drawn(&[(span.begin, span.end, class)], before, total),
        duration(span.end - span.begin)
    ));
    let mut why = Vec::new();
    if let Some(after) = &span.after {
        let then = if span.phase == Phase::Destroy { "gone" } else { "there" };
        let own = after.as_str().strip_prefix(span.address.component()).filter(|own| !own.is_empty());
        let after = short(own.map_or(after.as_str(), |own| own.trim_start_matches('/')));
        why.push(format!("began when {} was {then}", escaped(&after)));
    }
    let last = waits.iter().rev().take(REASONS).rev().map(|text| escaped(text)).collect::<Vec<_>>();
    if !last.is_empty() {
        why.push(format!("waited for {}", last.join("; then for ")));
    }
    if !why.is_empty() {
        out.push_str(&format!("<p class=\"why\">{}.</p>\n", super::capital(&why.join("; "))));
    }
    out.push_str("</li>\n");
}
