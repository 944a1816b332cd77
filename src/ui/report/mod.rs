//! A plan, and what became of it, as one page of HTML that needs nothing else: no network, no script for its essentials.
//!
//! The page is strict with itself: all text is escaped, styles and script are named by their digests in its content
//! security policy, and nothing else may run or be loaded. It holds what a plan holds, so no secret.

mod changes;
mod facts;
mod timeline;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use sha2::{Digest, Sha256};

use crate::event::timeline::Record;
use crate::plan::execution::Task;
use crate::plan::model::{Action, Plan};
use crate::plan::risk::Level;
use crate::plan::time::{Course, Schedule};
use crate::ui::graph::svg::{Home, escaped, svg};
use crate::ui::graph::{Drawing, Node};
use crate::ui::paint::{count, duration};

const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

/// Resources are drawn one by one up to so many; above that a drawing is no help.
const DRAWN: usize = 320;

/// What the page is about.
pub struct Report<'a> {
    /// What is, or was, to be done.
    pub plan: &'a Plan,
    /// When the page was made, as people read it.
    pub made: String,
    /// In the simulator.
    pub simulated: bool,
    /// Requests under way at a time.
    pub parallelism: usize,
    /// How it went; nothing before.
    pub run: Option<Ran<'a>>,
}

/// How a run went.
pub struct Ran<'a> {
    /// What happened, with times since the run began.
    pub records: &'a [Record],
    /// When halves of changes began and ended.
    pub spans: BTreeMap<Task, (Duration, Duration)>,
    /// From the beginning to the end.
    pub elapsed: Duration,
    /// How it ended.
    pub ending: Ending,
    /// Added, changed, destroyed.
    pub done: (usize, usize, usize),
    /// Models that did not answer: component, causes, hint.
    pub unproved: Vec<(String, Vec<String>, Option<String>)>,
    /// The stack's outputs now, as people read them; without sensitive ones.
    pub outputs: Vec<(String, String)>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was done and proved.
    Complete,
    /// Something failed.
    Failed,
    /// The user stopped it.
    Interrupted,
    /// The state could not be written any more.
    Stranded(String),
    /// A destroy left so many things behind.
    Residue(usize),
}

/// What the parts of the page are made from.
struct Matter<'a> {
    report: &'a Report<'a>,
    expected: Schedule,
    executed: Option<Schedule>,
    /// Anchors of components by name.
    anchors: BTreeMap<&'a str, usize>,
}

impl Matter<'_> {
    /// The anchor of a component's changes.
    fn anchor(&self, component: &str) -> String {
        self.anchors.get(component).map_or("changes".to_owned(), |at| format!("c{at}"))
    }

    /// The anchor of a resource's change, where the page has one.
    fn resource(&self, address: &str) -> Option<String> {
        let changes = &self.report.plan.changes;
        let at = changes.binary_search_by(|change| change.address.as_str().cmp(address)).ok()?;
        changes::is_told(&changes[at]).then(|| format!("r{at}"))
    }
}

/// The whole page.
pub fn page(report: &Report<'_>) -> String {
    let course = Course::of(report.plan, report.parallelism);
    let mut anchors = BTreeMap::new();
    for change in &report.plan.changes {
        let next = anchors.len();
        anchors.entry(change.address.component()).or_insert(next);
    }
    let executed = report.run.as_ref().map(|run| course.executed(&run.spans));
    let matter = Matter { report, expected: course.expected(), executed, anchors };
    let title = escaped(&format!("{}: {}", report.plan.stack, verdict(report).1));
    let digest = |text: &str| base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(CSS),
        digest(JS)
    );
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the content</a>\n"
    );
    let mut sections = Sections::default();
    facts::failures(&matter, &mut sections);
    facts::risks(&matter, &mut sections);
    timeline::section(&matter, &mut sections);
    graph(&matter, &mut sections);
    changes::section(&matter, &mut sections);
    facts::drift(&matter, &mut sections);
    facts::outputs(&matter, &mut sections);
    facts::cost(&matter, &mut sections);
    header(&matter, &sections, &mut out);
    out.push_str("<main id=\"main\">\n");
    out.push_str(&sections.body);
    out.push_str("</main>\n");
    out.push_str(&format!(
        "<footer><p>Made by stackwright {} at {}. This file is complete: it loads nothing and sends nothing.</p></footer>\n",
        env!("CARGO_PKG_VERSION"),
        escaped(&report.made)
    ));
    out.push_str(&format!("<script>{JS}</script>\n</body>\n</html>\n"));
    out
}

/// Parts of the page that have something to say, in their order.
#[derive(Default)]
struct Sections {
    body: String,
    names: Vec<(&'static str, &'static str)>,
}

impl Sections {
    fn add(&mut self, anchor: &'static str, name: &'static str, body: &str) {
        self.body.push_str(&format!(
            "<section aria-labelledby=\"{anchor}-title\" id=\"{anchor}\">\n<h2 id=\"{anchor}-title\">{name}</h2>\n{body}</section>\n"
        ));
        self.names.push((anchor, name));
    }
}

/// The tone of the header, and its sentence.
fn verdict(report: &Report<'_>) -> (&'static str, String) {
    let plan = report.plan;
    let Some(run) = &report.run else {
        if plan.refresh_only {
            return ("other", "drift is taken note of, and nothing is changed".to_owned());
        }
        if plan.is_empty() {
            return ("good", "no changes".to_owned());
        }
        let counts = plan.counts();
        let hooks = if counts.run > 0 { format!(", {} to run", count(counts.run, "hook")) } else { String::new() };
        let text = format!("{} to add, {} to change, {} to destroy{hooks}", counts.add, counts.change, counts.destroy);
        let grave = plan.risks().iter().any(|risk| risk.level == Level::High);
        return (if grave { "careful" } else { "other" }, text);
    };
    let failed = facts::failed(run.records).len() + run.unproved.len();
    let skipped = facts::skipped(run.records);
    let rest = if skipped > 0 { format!(", {skipped} not tried") } else { String::new() };
    match &run.ending {
        Ending::Complete if plan.destroy => ("good", "destroyed".to_owned()),
        Ending::Complete => ("good", "applied, and everything is ready".to_owned()),
        Ending::Failed => ("bad", format!("{} failed{rest}", count(failed, "change"))),
        Ending::Interrupted => ("careful", format!("interrupted{rest}")),
        Ending::Stranded(_) => ("bad", "stopped: the state could not be written".to_owned()),
        Ending::Residue(left) => ("bad", format!("destroyed, and {} left behind", count(*left, "thing"))),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn header(matter: &Matter<'_>, sections: &Sections, out: &mut String) {
    let Matter { report, expected, .. } = matter;
    let plan = report.plan;
    let (tone, sentence) = verdict(report);
    let what = match (&report.run, plan.destroy) {
        (None, false) => "Plan",
        (None, true) => "Plan to destroy",
        (Some(_), false) => "Apply",
        (Some(_), true) => "Destroy",
    };
    let place = match &plan.basis.target {
        _ if report.simulated => "in the simulator".to_owned(),
        Some(target) => format!("on {} {}", target.platform, target.id),
        None => String::new(),
    };
    out.push_str(&format!(
        "<header>\n<p class=\"eyebrow\">{what} of the stack {place}</p>\n<div class=\"verdict {tone}\">\n<h1>{}</h1>\n<p>{}.</p>\n",
        escaped(&plan.stack),
        escaped(&capital(&sentence))
    ));
    if plan.partial {
        out.push_str("<p>This is a part of the stack (<code>--target</code>), not the whole.</p>\n");
    }
    if let Some(Ran { ending: Ending::Stranded(why), .. }) = &report.run {
        out.push_str(&format!("<p>{}</p>\n", escaped(why)));
    }
    out.push_str("</div>\n<dl class=\"tiles\">\n");
    let counts = plan.counts();
    let figures = |(add, change, destroy): (usize, usize, usize)| {
        let one = |number: usize, sign: &str, class: &str| {
            let class = if number == 0 { "none" } else { class };
            format!("<span class=\"{class}\">{sign}{number}</span>")
        };
        [one(add, "+", "create"), one(change, "~", "update"), one(destroy, "−", "delete")].concat()
    };
    let planned = (counts.add, counts.change, counts.destroy);
    match &report.run {
        None => tile("Changes", &figures(planned), "add, change, destroy", out),
        Some(run) => {
            let note = format!("add, change, destroy; {} + {} + {} planned", planned.0, planned.1, planned.2);
            tile("Done", &figures(run.done), &note, out);
        }
    }
    let from = match expected.measured {
        0 => "by the catalogue; earlier runs will make it exact".to_owned(),
        measured => format!("{} measured in earlier runs", count(measured, "change")),
    };
    match &report.run {
        None => tile("Estimated time", &duration(expected.total), &from, out),
        Some(run) => {
            let name = if report.simulated { "Simulated time" } else { "Time" };
            tile(name, &duration(run.elapsed), &format!("{} expected", duration(expected.total)), out);
        }
    }
    facts::cost_tile(plan, out);
    let risks = plan.risks();
    let high = risks.iter().filter(|risk| risk.level == Level::High).count();
    match &report.run {
        Some(run) => {
            let failed = facts::failed(run.records).len() + run.unproved.len();
            tile("Failures", &failed.to_string(), &format!("{} not tried", facts::skipped(run.records)), out);
        }
        None => tile("To look at twice", &risks.len().to_string(), &format!("{high} of them grave"), out),
    }
    out.push_str("</dl>\n<nav aria-label=\"On this page\"><ul>\n");
    for (anchor, name) in &sections.names {
        out.push_str(&format!("<li><a href=\"#{anchor}\">{name}</a></li>\n"));
    }
    out.push_str("</ul></nav>\n</header>\n");
}

fn tile(name: &str, figure: &str, note: &str, out: &mut String) {
    out.push_str(&format!(
        "<div class=\"tile\"><dt>{name}</dt><dd>{figure}</dd><dd class=\"note\">{}</dd></div>\n",
        escaped(note)
    ));
}

fn graph(matter: &Matter<'_>, sections: &mut Sections) {
    let plan = matter.report.plan;
    let by_component = Drawing::of_plan(plan, true);
    if by_component.boxes.len() < 2 {
        return;
    }
    let mut body =
        "<p class=\"faint\">What is needed stands to the left of what needs it. Each box leads to its changes.</p>\n"
            .to_owned();
    frame(
        "graph-components",
        &svg(&by_component, Home::Page(&|node: &Node| matter.anchor(&node.component))),
        &mut body,
    );
    let by_resource = Drawing::of_plan(plan, false);
    if by_resource.boxes.len() <= DRAWN && by_resource.boxes.len() > by_component.boxes.len() {
        let link = |node: &Node| matter.resource(&node.name).unwrap_or_else(|| matter.anchor(&node.component));
        body.push_str(&format!("<details><summary>By resource ({} boxes)</summary>\n", by_resource.boxes.len()));
        frame("graph-resources", &svg(&by_resource, Home::Page(&link)), &mut body);
        body.push_str("</details>\n");
    }
    sections.add("graph", "Graph", &body);
}

fn frame(id: &str, drawing: &str, out: &mut String) {
    let button = |does: &str, name: &str, label: &str| {
        format!(
            "<button type=\"button\" data-graph=\"{id}\" data-zoom=\"{does}\" aria-label=\"{label}\">{name}</button>"
        )
    };
    out.push_str(&format!(
        "<div class=\"tools\" hidden>{}{}{}{}<span class=\"faint wide\">Keys: + and − zoom, 0 fits, arrows move, Enter chooses a box, Escape lets go of it.</span></div>\n\
         <div class=\"graph\" id=\"{id}\" tabindex=\"0\" role=\"group\" aria-label=\"Graph of dependencies\" data-said=\"{id}-said\">\n{drawing}</div>\n\
         <p class=\"said\" id=\"{id}-said\" role=\"status\"></p>\n",
        button("in", "+", "Zoom in"),
        button("out", "−", "Zoom out"),
        button("fit", "Fit", "Show the whole graph"),
        button("full", "100 %", "Show the graph in its own size"),
    ));
}

/// `will be created` and the like, in the manner of the page.
fn sentence(action: Action, resume: bool) -> &'static str {
    match action {
        Action::Create => "will be created",
        Action::Update => "will be updated in-place",
        Action::Replace => "must be replaced",
        Action::Delete => "will be destroyed",
        Action::Forget => "will be forgotten",
        Action::Adopt => "will be adopted",
        Action::Run => "will be run",
        Action::Record => "will be kept for later",
        Action::NoOp if resume => "will be waited for",
        Action::NoOp => "has moved",
    }
}

#[cfg(test)]
mod tests;
