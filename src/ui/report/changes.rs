//! What happens to each resource, with its differences: by component, folded, searchable where the script runs.
//!
//! However large a plan is, the page stays small enough to open: bodies are cut to what is left for each, and say so.

use std::collections::BTreeMap;

use super::{Matter, Sections, sentence};
use crate::plan::model::{Action, Reason, ResourceChange};
use crate::resource::hook::MANIFEST;
use crate::resource::kind::Change;
use crate::ui::graph::svg::escaped;
use crate::ui::graph::word;
use crate::ui::paint::count;
use crate::ui::values;
use crate::value::Value;

/// Bytes that the bodies of all changes may take together, and each at least and at most.
const BODIES: usize = 2_600_000;
const LEAST: usize = 200;
const MOST: usize = 14_000;

/// So many of what is needed, and of who needs it, are named.
const NAMED: usize = 6;

/// With more changes than this, what each needs is left to the graph.
const LINKED: usize = 1200;

/// Whether the page tells of it one by one.
pub(super) fn is_told(change: &ResourceChange) -> bool {
    change.action != Action::NoOp || change.moved_from.is_some() || change.resume
}

fn order(action: Action) -> u8 {
    match action {
        Action::Replace => 0,
        Action::Delete => 1,
        Action::Forget => 2,
        Action::Update => 3,
        Action::Run => 4,
        Action::Adopt => 5,
        Action::Create => 6,
        Action::Record => 7,
        Action::NoOp => 8,
    }
}

fn rank(component: &str) -> u8 {
    let first = component.split('.').next().unwrap_or_default();
    let ranks = ["cluster", "node_pools", "addons", "gateway", "workloads"];
    ranks.iter().position(|name| *name == first).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

pub(super) fn section(matter: &Matter<'_>, sections: &mut Sections) {
    let plan = matter.report.plan;
    let told = plan.changes.iter().enumerate().filter(|(_, change)| is_told(change)).collect::<Vec<_>>();
    let mut components: BTreeMap<&str, Vec<(usize, &ResourceChange)>> = BTreeMap::new();
    for &(at, change) in &told {
        components.entry(change.address.component()).or_default().push((at, change));
    }
    let same = plan.changes.len() - told.len();
    let mut body = String::new();
    if told.is_empty() {
        body.push_str(&format!("<p>Nothing changes: {} as the stack has it.</p>\n", is_or_are(same)));
        sections.add("changes", "Changes", &body);
        return;
    }
    search(&components, &mut body);
    let needed_by = needed_by(matter, told.len());
    let budget = (BODIES / told.len()).clamp(LEAST, MOST);
    let mut groups = components.into_iter().collect::<Vec<_>>();
    groups.sort_by_key(|(name, changes)| (changes.iter().map(|(_, c)| order(c.action)).min(), rank(name), *name));
    let few = told.len() <= 12;
    for (component, mut changes) in groups {
        changes.sort_by_key(|(at, change)| (order(change.action), *at));
        let mut counts: BTreeMap<u8, (Action, usize)> = BTreeMap::new();
        for (_, change) in &changes {
            counts.entry(order(change.action)).or_insert((change.action, 0)).1 += 1;
        }
        let counts = counts.values().map(|(action, number)| format!("{} {number}", action.symbol().trim()));
        let counts = counts.collect::<Vec<_>>().join("  ");
        let risky =
            changes.iter().any(|(_, c)| matches!(c.action, Action::Replace | Action::Update)) && changes.len() <= 12;
        body.push_str(&format!(
            "<details class=\"group\" id=\"{}\" data-component=\"{}\"{}><summary><h3>{}</h3><span class=\"counts\">{}: {}</span></summary>\n",
            matter.anchor(component),
            escaped(component),
            if few || risky { " open" } else { "" },
            escaped(component),
            count(changes.len(), "change"),
            escaped(&counts)
        ));
        for (at, change) in changes {
            one(matter, at, change, &needed_by, budget, &mut body);
        }
        body.push_str("</details>\n");
    }
    if same > 0 {
        body.push_str(&format!("<p class=\"faint\">{} as the stack has it.</p>\n", is_or_are(same)));
    }
    sections.add("changes", "Changes", &body);
}

fn is_or_are(number: usize) -> String {
    format!("{} {}", count(number, "resource"), if number == 1 { "is" } else { "are" })
}

/// The form that the script brings to life.
fn search(components: &BTreeMap<&str, Vec<(usize, &ResourceChange)>>, out: &mut String) {
    let mut actions = components.values().flatten().map(|(_, change)| change.action).collect::<Vec<_>>();
    actions.sort_unstable();
    actions.dedup();
    out.push_str("<form class=\"tools\" id=\"search\" role=\"search\" aria-label=\"Changes\" hidden>\n");
    out.push_str("<label>Text<input type=\"search\" id=\"search-text\" autocomplete=\"off\" placeholder=\"name, kind, value\"></label>\n");
    out.push_str("<label>Action<select id=\"search-action\"><option value=\"\">all</option>");
    for action in actions {
        out.push_str(&format!("<option value=\"{0}\">{0}</option>", word(action)));
    }
    out.push_str("</select></label>\n<label>Component<select id=\"search-component\"><option value=\"\">all</option>");
    for component in components.keys() {
        out.push_str(&format!("<option>{}</option>", escaped(component)));
    }
    out.push_str(
        "</select></label>\n<button type=\"reset\">Clear</button><button type=\"button\" id=\"open-all\">Open all</button>\
         <button type=\"button\" id=\"close-all\">Close all</button>\n<span id=\"found\" role=\"status\"></span>\n</form>\n",
    );
}

/// Who needs each resource, by its address.
fn needed_by<'a>(matter: &Matter<'a>, changes: usize) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut needed_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    if changes <= LINKED {
        for edge in &matter.report.plan.edges {
            needed_by.entry(edge.dependency.as_str()).or_default().push(edge.dependent.as_str());
        }
    }
    needed_by
}

fn one(
    matter: &Matter<'_>,
    at: usize,
    change: &ResourceChange,
    needed_by: &BTreeMap<&str, Vec<&str>>,
    budget: usize,
    out: &mut String,
) {
    let address = change.address.as_str();
    let own = address.strip_prefix(change.address.component()).map_or(address, |rest| rest.trim_start_matches('/'));
    out.push_str(&format!(
        "<details class=\"change {0}\" id=\"r{at}\" data-action=\"{0}\"><summary><span class=\"symbol\">{1}</span> <span class=\"address\">{2}</span><span class=\"note\">{3}</span></summary>\n",
        word(change.action),
        escaped(change.action.symbol()),
        escaped(if own.is_empty() { address } else { own }),
        sentence(change.action, change.resume)
    ));
    let mut about = vec![format!("<code>{}</code>", escaped(&change.kind))];
    about.extend(why(change).map(|text| escaped(&text)));
    if let Some(from) = &change.moved_from {
        about.push(format!("it was called {}", escaped(from.as_str())));
    }
    if let Some(origin) = &change.origin {
        about.push(format!("from {}", escaped(origin)));
    }
    if let Some(with) = &change.goes_with {
        about.push(format!("it goes with {}, without a call of its own", escaped(with.as_str())));
    }
    out.push_str(&format!("<p class=\"about\">{}</p>\n", about.join(" · ")));
    let mut body = String::new();
    match (&change.after, change.action) {
        (Some(after), Action::Create | Action::Adopt) => block(after, "+", &mut body),
        (Some(after), Action::Run | Action::Record) => {
            block(after.get(MANIFEST).unwrap_or(&Value::Null), " ", &mut body)
        }
        _ => change.changes.iter().for_each(|one| attribute(one, &mut body)),
    }
    if !body.is_empty() {
        out.push_str(&format!("<pre>{}</pre>\n", within(body, budget)));
    }
    let linked = |names: &[&str]| {
        let mut all = names.iter().take(NAMED).map(|name| match matter.resource(name) {
            Some(anchor) => format!("<a href=\"#{anchor}\">{}</a>", escaped(name)),
            None => escaped(name),
        });
        let mut all = all.by_ref().collect::<Vec<_>>();
        if names.len() > NAMED {
            all.push(format!("{} more", names.len() - NAMED));
        }
        all.join(", ")
    };
    if !needed_by.is_empty() {
        let needs = matter.report.plan.needs(&change.address);
        let needs = needs.iter().map(crate::address::Address::as_str).collect::<Vec<_>>();
        if !needs.is_empty() {
            out.push_str(&format!("<p class=\"about faint\">Needs {}.</p>\n", linked(&needs)));
        }
        if let Some(users) = needed_by.get(address) {
            out.push_str(&format!("<p class=\"about faint\">Needed by {}.</p>\n", linked(users)));
        }
    }
    out.push_str("</details>\n");
}

/// The part of a body that there is room for, cut at a line.
fn within(body: String, budget: usize) -> String {
    if body.len() <= budget {
        return body;
    }
    let mut end = budget;
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let kept = body[..end].rfind('\n').map_or("", |at| &body[..=at]);
    // A line is never split, and neither is a mark around lines.
    let open = |tag: &str| kept.matches(&format!("<{tag}>")).count() > kept.matches(&format!("</{tag}>")).count();
    let closing = ["ins", "del", "b"].iter().filter(|tag| open(tag)).map(|tag| format!("</{tag}>")).collect::<String>();
    let more = body[kept.len()..].lines().count();
    format!("{kept}{closing}… and {} more; <code>stackwright show</code> has them all", count(more, "line"))
}

fn why(change: &ResourceChange) -> Option<String> {
    Some(match &change.reason {
        Reason::Same | Reason::New | Reason::Changed | Reason::Destroyed => return None,
        Reason::Forced(paths) => {
            let paths = paths.iter().map(|path| values::path(path)).collect::<Vec<_>>().join(", ");
            format!("{paths} cannot be changed in place")
        }
        Reason::Vanished => "it was there after the last apply and is not any more".to_owned(),
        Reason::Unfinished => "an earlier run began it and was stopped".to_owned(),
        Reason::SecretChanged(names) => {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>();
            format!("{} {} another value", values::secrets(&names), if names.len() == 1 { "has" } else { "have" })
        }
        Reason::Requested => "asked for with --replace".to_owned(),
        Reason::ConnectionReplaced(address) => format!("{address}, which it lives in, is made anew"),
        Reason::Removed => "the stack does not have it any more".to_owned(),
        Reason::Kept => "its makers want it to stay".to_owned(),
        Reason::Abandoned => "it stays where it is, and nothing deletes it later".to_owned(),
        Reason::Found => "it carries this stack's labels, and the state does not know it".to_owned(),
        Reason::Wanted => "it is there and becomes this stack's".to_owned(),
    })
}

fn block(value: &Value, lead: &str, out: &mut String) {
    let mut text = String::new();
    values::block(value, lead, 0, &mut text);
    out.push_str(&escaped(&text));
}

/// One difference, with what it forces and disturbs.
pub(super) fn attribute(change: &Change, out: &mut String) {
    let name = escaped(&values::path(&change.path));
    let mut notes = String::new();
    if change.forces_replace {
        notes.push_str(" <b># forces replacement</b>");
    }
    if let Some(effect) = &change.effect {
        notes.push_str(&format!(" <b># {}</b>", escaped(effect)));
    }
    if !change.held_by.is_empty() {
        notes.push_str(&format!(" <b># set by {}</b>", escaped(&change.held_by.join(", "))));
    }
    if let (Some(Value::String(before)), Some(Value::String(after))) = (&change.before, &change.after)
        && (before.contains('\n') || after.contains('\n'))
    {
        out.push_str(&format!("~ {name}:{notes}\n"));
        for line in similar::TextDiff::from_lines(before.as_str(), after.as_str()).iter_all_changes() {
            let text = escaped(line.value().trim_end_matches('\n'));
            match line.tag() {
                similar::ChangeTag::Delete => out.push_str(&format!("<del>- {text}</del>\n")),
                similar::ChangeTag::Insert => out.push_str(&format!("<ins>+ {text}</ins>\n")),
                similar::ChangeTag::Equal => out.push_str(&format!("  {text}\n")),
            }
        }
        return;
    }
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if before == after => {
            out.push_str(&format!("~ {name} = {}{notes}\n", escaped(&values::inline(before))));
        }
        (before, after) => {
            let notes = std::cell::Cell::new(notes);
            if let Some(before) = before {
                let notes = if after.is_none() { notes.take() } else { String::new() };
                out.push_str(&format!("<del>- {name} = {}{notes}</del>\n", escaped(&values::inline(before))));
            }
            if let Some(after) = after {
                out.push_str(&format!("<ins>+ {name} = {}{}</ins>\n", escaped(&values::inline(after)), notes.take()));
            }
        }
    }
}
