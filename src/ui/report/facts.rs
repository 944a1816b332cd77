//! The parts of the page that are lists: failures, what to look at twice, cost, drift, outputs.

use std::collections::BTreeSet;

use super::{Matter, Sections, tile};
use crate::address::Address;
use crate::event::Event;
use crate::event::timeline::Record;
use crate::plan::model::Plan;
use crate::plan::risk::Level;
use crate::ui::cost_text::dollars;
use crate::ui::graph::svg::escaped;
use crate::ui::paint::{count, duration};
use crate::ui::values;

/// So many addresses are named; the rest is counted.
const NAMED: usize = 8;

/// What failed last, by resource.
pub(super) fn failed(records: &[Record]) -> Vec<&Record> {
    records.iter().filter(|record| matches!(record.event, Event::Failed { .. })).collect()
}

/// How many changes were not tried.
pub(super) fn skipped(records: &[Record]) -> usize {
    let skipped = records.iter().filter_map(|record| match &record.event {
        Event::Skipped { address, .. } => Some(address),
        _ => None,
    });
    skipped.collect::<BTreeSet<_>>().len()
}

fn linked(matter: &Matter<'_>, address: &str) -> String {
    match matter.resource(address) {
        Some(anchor) => format!("<a class=\"address\" href=\"#{anchor}\">{}</a>", escaped(address)),
        None => format!("<span class=\"address\">{}</span>", escaped(address)),
    }
}

/// Several addresses, the first few by name.
pub(super) fn addresses<'a>(matter: &Matter<'_>, all: impl ExactSizeIterator<Item = &'a Address>) -> String {
    let total = all.len();
    let mut named = all.take(NAMED).map(|address| linked(matter, address.as_str())).collect::<Vec<_>>();
    if total > NAMED {
        named.push(format!("{} more", total - NAMED));
    }
    named.join(", ")
}

pub(super) fn failures(matter: &Matter<'_>, sections: &mut Sections) {
    let Some(run) = &matter.report.run else { return };
    let mut body = String::new();
    let mut card = |name: String, at: Option<String>, causes: &[String], hint: Option<&str>| {
        body.push_str(&format!("<li class=\"card high\"><p><span class=\"badge\">failed</span>{name}"));
        if let Some(at) = at {
            body.push_str(&format!(" <span class=\"faint\">after {at}</span>"));
        }
        body.push_str("</p>\n<ol>");
        causes.iter().for_each(|cause| body.push_str(&format!("<li>{}</li>", escaped(cause))));
        body.push_str("</ol>\n");
        if let Some(hint) = hint {
            body.push_str(&format!("<p class=\"hint\">{}</p>\n", escaped(&super::capital(hint))));
        }
        body.push_str("</li>\n");
    };
    for record in failed(run.records) {
        let Event::Failed { address, causes, hint, .. } = &record.event else { continue };
        card(linked(matter, address.as_str()), Some(duration(record.at)), causes, hint.as_deref());
    }
    for (component, causes, hint) in &run.unproved {
        let name = format!("<span class=\"address\">{}</span> does not answer", escaped(component));
        card(name, None, causes, hint.as_deref());
    }
    if !body.is_empty() {
        body = format!("<ul class=\"list\">\n{body}</ul>\n");
    }
    let mut because: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for record in run.records {
        if let Event::Skipped { because: why, .. } = &record.event {
            *because.entry(why).or_default() += 1;
        }
    }
    if !because.is_empty() {
        body.push_str("<h3>Not tried</h3>\n<ul>\n");
        for (why, number) in because {
            body.push_str(&format!("<li>{}: {}</li>\n", count(number, "change"), escaped(why)));
        }
        body.push_str("</ul>\n");
    }
    if !body.is_empty() {
        sections.add("failures", "What went wrong", &body);
    }
}

pub(super) fn risks(matter: &Matter<'_>, sections: &mut Sections) {
    let risks = matter.report.plan.risks();
    if risks.is_empty() {
        return;
    }
    let mut body = "<ul class=\"list\">\n".to_owned();
    for risk in &risks {
        let (class, word) = match risk.level {
            Level::High => ("high", "grave"),
            Level::Medium => ("medium", "noticeable"),
            Level::Low => ("low", "good to know"),
        };
        let whom = match (&risk.component, &risk.addresses[..]) {
            (None, []) => "the stack".to_owned(),
            (None, addresses) => count(addresses.len(), "resource"),
            (Some(component), [one]) if one.as_str() == component => component.clone(),
            (Some(_), [one]) => one.to_string(),
            (Some(component), _) => component.clone(),
        };
        body.push_str(&format!(
            "<li class=\"card {class}\"><p><span class=\"badge\">{word}</span><strong>{}</strong> · {}</p>\n<p>{}.</p>\n",
            super::capital(risk.class.word()),
            escaped(&whom),
            escaped(&super::capital(&risk.why))
        ));
        if !risk.affects.is_empty() {
            body.push_str(&format!("<p>Felt by {}.</p>\n", escaped(&risk.affects.join(", "))));
        }
        if risk.addresses.len() > 1 {
            body.push_str(&format!("<p class=\"faint\">{}</p>\n", addresses(matter, risk.addresses.iter())));
        }
        body.push_str("</li>\n");
    }
    body.push_str("</ul>\n");
    sections.add("risks", "To look at twice", &body);
}

/// What it costs, as one of the figures on top.
pub(super) fn cost_tile(plan: &Plan, out: &mut String) {
    let Some(cost) = &plan.cost else { return };
    let more = cost.after.per_day - cost.now.per_day;
    let note = match more.abs() < 0.005 {
        true => "as now".to_owned(),
        false => format!(
            "{}${:.2} a day; {} an hour",
            if more < 0.0 { '−' } else { '+' },
            more.abs(),
            dollars(cost.after.per_hour, cost.after.complete)
        ),
    };
    tile("Cost a day", &dollars(cost.after.per_day, cost.after.complete), &note, out);
}

pub(super) fn cost(matter: &Matter<'_>, sections: &mut Sections) {
    let Some(cost) = &matter.report.plan.cost else { return };
    let mut body = "<table>\n<thead><tr><th scope=\"col\">What</th><th scope=\"col\" class=\"wide\">Of what price</th><th scope=\"col\" class=\"number\">An hour</th><th scope=\"col\" class=\"number\">A day</th></tr></thead>\n<tbody>\n".to_owned();
    for line in cost.components.iter().flat_map(|component| &component.lines) {
        let money = |hours: f64| line.per_hour.map_or("unknown".to_owned(), |price| format!("${:.2}", price * hours));
        let source = match line.as_of.is_empty() {
            true => line.source.clone(),
            false => format!("{}, {}", line.source, line.as_of),
        };
        body.push_str(&format!(
            "<tr><td><span class=\"address\">{}</span><br><span class=\"faint\">{}</span></td><td class=\"faint wide\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
            escaped(line.address.as_str()),
            escaped(&line.what),
            escaped(&source),
            money(1.0),
            money(24.0)
        ));
    }
    let mut sums = vec![("Now", cost.now), ("With this plan", cost.after)];
    sums.extend(cost.most.map(|most| ("Autoscaled to the most", most)));
    sums.extend(cost.paused.map(|paused| ("Paused", paused)));
    sums.push(("Destroyed", cost.destroyed));
    for (name, sum) in sums {
        body.push_str(&format!(
            "<tr><th scope=\"row\">{name}</th><td class=\"wide\"></td><td class=\"number\">{}</td><td class=\"number\"><strong>{}</strong></td></tr>\n",
            dollars(sum.per_hour, sum.complete),
            dollars(sum.per_day, sum.complete)
        ));
    }
    body.push_str(
        "</tbody>\n</table>\n<p class=\"faint\">By list prices in US dollars, without traffic and taxes.</p>\n",
    );
    sections.add("cost", "Cost", &body);
}

pub(super) fn drift(matter: &Matter<'_>, sections: &mut Sections) {
    let drift = &matter.report.plan.drift;
    if drift.is_empty() {
        return;
    }
    let mut body = "<p>Others have changed these since the last apply:</p>\n<ul>\n".to_owned();
    for one in drift.iter().take(200) {
        body.push_str(&format!("<li>{}", linked(matter, one.address.as_str())));
        if one.changes.is_empty() {
            body.push_str(" is not there any more");
        }
        if !one.changes.is_empty() {
            body.push_str("\n<pre>");
            one.changes.iter().for_each(|change| super::changes::attribute(change, &mut body));
            body.push_str("</pre>");
        }
        body.push_str("</li>\n");
    }
    body.push_str("</ul>\n");
    if drift.len() > 200 {
        body.push_str(&format!("<p>And {} more.</p>\n", drift.len() - 200));
    }
    sections.add("drift", "Drift", &body);
}

pub(super) fn outputs(matter: &Matter<'_>, sections: &mut Sections) {
    let plan = matter.report.plan;
    let mut rows = Vec::new();
    if let Some(run) = &matter.report.run {
        rows.extend(run.outputs.iter().cloned());
    } else {
        for (name, output) in &plan.outputs {
            let text = match &output.after {
                _ if output.sensitive => "(sensitive value)".to_owned(),
                Some(after) => values::inline(after),
                None => "goes".to_owned(),
            };
            rows.push((name.clone(), text));
        }
    }
    if rows.is_empty() {
        return;
    }
    let mut body =
        "<table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Value</th></tr></thead>\n<tbody>\n"
            .to_owned();
    for (name, value) in rows {
        body.push_str(&format!("<tr><td>{}</td><td><code>{}</code></td></tr>\n", escaped(&name), escaped(&value)));
    }
    body.push_str("</tbody>\n</table>\n");
    sections.add("outputs", "Outputs", &body);
}
