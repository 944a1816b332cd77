//! The components of a plan and who needs whom, as a drawing that GitHub and GitLab make of Mermaid's text. Only where
//! it is small enough to be looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::model::{Action, Plan};
use crate::ui::plan_text;

const MOST_NODES: usize = 24;
const MOST_EDGES: usize = 60;
/// A name in a node.
const NAME: usize = 40;

/// A name without anything that Mermaid, or whoever reads its text, could take for more.
fn name(text: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/') { c } else { '?' };
    text.chars().take(NAME).map(safe).collect()
}

fn style(action: Action) -> &'static str {
    match action {
        Action::Replace => "replace",
        Action::Delete | Action::Forget => "destroy",
        Action::Update => "change",
        Action::Create => "add",
        _ => "same",
    }
}

pub(super) fn graph(plan: &Plan, out: &mut String) {
    let mut actions: BTreeMap<&str, Action> = BTreeMap::new();
    for change in &plan.changes {
        let action = actions.entry(change.address.component()).or_insert(Action::NoOp);
        if plan_text::weight(change.action) < plan_text::weight(*action) {
            *action = change.action;
        }
    }
    let ids = actions.keys().enumerate().map(|(at, component)| (*component, at)).collect::<BTreeMap<_, _>>();
    let edges = plan.edges.iter().filter_map(|edge| {
        let (from, to) = (ids.get(edge.dependency.component())?, ids.get(edge.dependent.component())?);
        (from != to).then_some((*from, *to))
    });
    let edges = edges.collect::<BTreeSet<_>>();
    if actions.len() < 2 || edges.is_empty() || actions.len() > MOST_NODES || edges.len() > MOST_EDGES {
        return;
    }
    let mut text = String::from("graph LR\n");
    for (component, id) in &ids {
        let action = actions[component];
        let symbol = action.symbol().trim();
        let label = if symbol.is_empty() { name(component) } else { format!("{symbol} {}", name(component)) };
        text.push_str(&format!("  c{id}[\"{label}\"]:::{}\n", style(action)));
    }
    edges.iter().for_each(|(from, to)| text.push_str(&format!("  c{from} --> c{to}\n")));
    for (class, colour) in [("add", "#2da44e"), ("change", "#bf8700"), ("replace", "#cf222e"), ("destroy", "#cf222e")] {
        text.push_str(&format!("  classDef {class} stroke:{colour},stroke-width:2px\n"));
    }
    text.push_str("  classDef same stroke:#888888\n");
    let body = format!("```mermaid\n{text}```\n");
    out.push_str(&super::folded("Components: an arrow leads to what needs it", &body));
}
