//! Dependency graphs in four forms: DOT, Mermaid, JSON and SVG. Also the reasons of an edge as text.
//!
//! All four are made of one [`Drawing`]: what is drawn, of the stack or of a plan, by resource or by component.

pub mod layout;
pub mod svg;

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::graph::Graph;
use crate::plan::edges::is_barrier;
use crate::plan::model::{Action, Plan};
use crate::ui::paint::{Paint, count, tame};

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    /// The stack's name.
    pub stack: String,
    /// Resources or components.
    pub boxes: Vec<Node>,
    /// Who needs whom.
    pub lines: Vec<Line>,
}

/// A resource or a component.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Node {
    /// Its address or name.
    pub name: String,
    /// The component that it is part of.
    pub component: String,
    /// What happens to it in the plan; of a component, the gravest that happens to any of its resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// So many resources are in it.
    pub resources: usize,
}

/// `from` needs `to`, by their places in the drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Who needs.
    pub from: usize,
    /// Who is needed.
    pub to: usize,
    /// Why.
    pub reasons: Vec<String>,
}

impl Drawing {
    /// Of a stack's dependencies.
    pub fn of_stack(stack: &str, graph: &Graph<Address>, components: bool) -> Self {
        let actions = graph.nodes().map(|address| (address.clone(), None)).collect();
        let edges = graph.nodes().flat_map(|dependent| {
            let needs = graph.dependencies(dependent);
            needs.into_iter().map(move |(dependency, reasons)| (dependent, dependency, reasons))
        });
        Drawing::of(stack, &actions, edges, components)
    }

    /// Of a plan: what it makes and changes by what is needed, what it deletes by what was needed.
    pub fn of_plan(plan: &Plan, components: bool) -> Self {
        let mut actions = BTreeMap::new();
        for edge in &plan.edges {
            actions.insert(edge.dependent.clone(), None);
            actions.insert(edge.dependency.clone(), None);
        }
        actions.extend(plan.changes.iter().map(|change| (change.address.clone(), Some(change.action))));
        let was = ["it was needed when this was applied".to_owned()];
        let gone = plan.changes.iter().filter(|change| change.is_leaving());
        let gone = gone.flat_map(|change| change.needed.iter().map(move |need| (&change.address, need)));
        let gone = gone.filter(|(_, need)| actions.contains_key(*need)).collect::<Vec<_>>();
        let edges = plan.edges.iter().map(|edge| (&edge.dependent, &edge.dependency, &edge.reasons[..]));
        let edges = edges.chain(gone.iter().map(|(dependent, need)| (*dependent, *need, &was[..])));
        Drawing::of(&plan.stack, &actions, edges, components)
    }

    fn of<'a>(
        stack: &str,
        actions: &BTreeMap<Address, Option<Action>>,
        edges: impl Iterator<Item = (&'a Address, &'a Address, &'a [String])>,
        components: bool,
    ) -> Self {
        let name = |address: &Address| match components {
            true => address.component().to_owned(),
            false => address.to_string(),
        };
        let edges = edges.collect::<Vec<_>>();
        let edges = if components { without_barriers(edges) } else { edges };
        let mut boxes: BTreeMap<String, Node> = BTreeMap::new();
        for (address, action) in actions.iter().filter(|(address, _)| !components || !is_barrier(address)) {
            let node = boxes.entry(name(address)).or_insert_with(|| Node {
                name: name(address),
                component: address.component().to_owned(),
                action: None,
                resources: 0,
            });
            node.resources += usize::from(address.object_key().is_some() || action.is_some());
            node.action = match (node.action, *action) {
                (Some(known), Some(action)) => Some(if gravity(action) > gravity(known) { action } else { known }),
                (known, action) => known.or(action),
            };
        }
        let numbers = boxes.keys().enumerate().map(|(at, name)| (name.clone(), at)).collect::<BTreeMap<_, _>>();
        let mut lines: BTreeMap<(usize, usize), BTreeSet<&str>> = BTreeMap::new();
        for (dependent, dependency, reasons) in edges {
            let (Some(&from), Some(&to)) = (numbers.get(&name(dependent)), numbers.get(&name(dependency))) else {
                continue;
            };
            if from != to {
                lines.entry((from, to)).or_default().extend(reasons.iter().map(String::as_str));
            }
        }
        let lines = lines.into_iter().map(|((from, to), reasons)| Line {
            from,
            to,
            reasons: reasons.into_iter().map(str::to_owned).collect(),
        });
        boxes.values_mut().for_each(|node| node.resources = node.resources.max(1));
        Drawing { stack: stack.to_owned(), lines: lines.collect(), boxes: boxes.into_values().collect() }
    }
}

/// The edges with each barrier's dependents needing themselves what it stands for: it is in no component.
fn without_barriers<'a>(
    edges: Vec<(&'a Address, &'a Address, &'a [String])>,
) -> Vec<(&'a Address, &'a Address, &'a [String])> {
    // A barrier needs many resources of few components, and one of each draws the line.
    let mut behind: BTreeMap<&Address, BTreeMap<&str, &Address>> = BTreeMap::new();
    for (dependent, dependency, _) in edges.iter().filter(|(dependent, ..)| is_barrier(dependent)) {
        behind.entry(dependent).or_default().insert(dependency.component(), dependency);
    }
    let direct = |(dependent, dependency, reasons): (&'a Address, &'a Address, &'a [String])| {
        let targets = match behind.get(dependency) {
            Some(targets) => targets.values().copied().collect(),
            None => vec![dependency],
        };
        targets.into_iter().map(move |target| (dependent, target, reasons))
    };
    edges.into_iter().filter(|(dependent, ..)| !is_barrier(dependent)).flat_map(direct).collect()
}

/// Which of two actions a component is coloured by.
fn gravity(action: Action) -> u8 {
    match action {
        Action::NoOp | Action::Record => 0,
        Action::Forget => 1,
        Action::Adopt => 2,
        Action::Create => 3,
        Action::Run => 4,
        Action::Update => 5,
        Action::Delete => 6,
        Action::Replace => 7,
    }
}

/// One word for what happens, as the classes of drawings and pages have it.
pub fn word(action: Action) -> &'static str {
    match action {
        Action::NoOp => "no-op",
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Delete => "delete",
        Action::Forget => "forget",
        Action::Adopt => "adopt",
        Action::Run => "run",
        Action::Record => "record",
    }
}

/// Fill and stroke by what happens, the same in DOT and Mermaid; readable in print too, since the symbol says the same.
fn colours(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Create => ("#dafbe1", "#1a7f37"),
        Action::Update => ("#fff8c5", "#9a6700"),
        Action::Replace => ("#ffe0cc", "#bc4c00"),
        Action::Delete | Action::Forget => ("#ffebe9", "#cf222e"),
        Action::Adopt | Action::Run => ("#ddf4ff", "#0969da"),
        Action::NoOp | Action::Record => ("#f6f8fa", "#656d76"),
    }
}

/// The box's name with what happens to it.
fn label(node: &Node) -> String {
    let symbol = node.action.filter(|action| !matches!(action, Action::NoOp)).map(Action::symbol);
    let name = tame(&node.name);
    symbol.map_or(name.clone(), |symbol| format!("{symbol} {name}"))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", tame(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// GraphViz DOT; an arrow runs from who needs to who is needed.
pub fn dot(drawing: &Drawing) -> String {
    let mut out = "digraph stack {\n  rankdir = LR\n  node [shape = box]\n".to_owned();
    for node in &drawing.boxes {
        let colour = node.action.map(|action| {
            let (fill, stroke) = colours(action);
            let label = quoted(&label(node));
            format!(" [label = {label}, style = filled, fillcolor = \"{fill}\", color = \"{stroke}\"]")
        });
        out.push_str(&format!("  {}{}\n", quoted(&node.name), colour.unwrap_or_default()));
    }
    for line in &drawing.lines {
        let shown = line.reasons.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("\n");
        let (from, to) = (&drawing.boxes[line.from].name, &drawing.boxes[line.to].name);
        out.push_str(&format!("  {} -> {} [tooltip = {}]\n", quoted(from), quoted(to), quoted(&shown)));
    }
    out.push_str("}\n");
    out
}

/// Mermaid, for Markdown; an arrow runs from who needs to who is needed.
pub fn mermaid(drawing: &Drawing) -> String {
    // Mermaid has character references of its own; anything else could end a label or begin a tag.
    let escaped = |text: &str| {
        let plain = |c: char| c.is_alphanumeric() || " .-_:/+~=>".contains(c);
        text.chars().map(|c| if plain(c) { c.to_string() } else { format!("#{};", u32::from(c)) }).collect::<String>()
    };
    let mut out = "flowchart RL\n".to_owned();
    let mut used = BTreeSet::new();
    for (at, node) in drawing.boxes.iter().enumerate() {
        let class = node.action.map(|action| {
            used.insert(action);
            format!(":::{}", word(action).replace('-', ""))
        });
        out.push_str(&format!("  n{at}[\"{}\"]{}\n", escaped(&label(node)), class.unwrap_or_default()));
    }
    for line in &drawing.lines {
        out.push_str(&format!("  n{} --> n{}\n", line.from, line.to));
    }
    for action in used {
        let (fill, stroke) = colours(action);
        let class = word(action).replace('-', "");
        out.push_str(&format!("  classDef {class} fill:{fill},stroke:{stroke},color:#1f2328\n"));
    }
    out
}

/// JSON: `nodes` and `edges` with names and reasons.
pub fn json(drawing: &Drawing) -> String {
    let name = |at: usize| &drawing.boxes[at].name;
    let edges = drawing.lines.iter().map(|line| {
        serde_json::json!({ "dependent": name(line.from), "dependency": name(line.to), "reasons": line.reasons })
    });
    let json = serde_json::json!({
        "stack": drawing.stack, "nodes": drawing.boxes, "edges": edges.collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&json).expect("only string keys") + "\n"
}

/// What a screen reader says of a box.
fn spoken(node: &Node) -> String {
    let action = node.action.map_or(String::new(), |action| format!(", {}", word(action)));
    let within = if node.name == node.component && node.resources > 1 {
        format!(", {}", count(node.resources, "resource"))
    } else {
        String::new()
    };
    format!("{}{action}{within}", tame(&node.name))
}

/// A chain of edges with the reasons of each.
pub fn why(chain: &[(Address, Address, Vec<String>)], paint: Paint) -> String {
    let mut out = String::new();
    for (dependent, dependency, reasons) in chain {
        out.push_str(&format!(
            "{} needs {}\n",
            paint.bold(&tame(dependent.as_str())),
            paint.bold(&tame(dependency.as_str()))
        ));
        for reason in reasons {
            out.push_str(&format!("  because {}\n", tame(reason)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_need_each_other_and_no_barrier() {
        let mut graph = Graph::new();
        let address = |text: &str| Address::new(text);
        let barrier = address("barrier/Thing.x.io");
        graph.depend(address("addons.a/Thing.x.io/n/one"), barrier.clone(), "things can be made");
        graph.depend(address("addons.b/Thing.x.io/n/two"), barrier.clone(), "things can be made");
        graph.depend(barrier.clone(), address("addons.b/Service/n/hook"), "it admits things");
        graph.depend(barrier, address("addons.c/CustomResourceDefinition.k/things"), "it defines things");
        let drawing = Drawing::of_stack("s", &graph, true);
        let name = |at: usize| drawing.boxes[at].name.as_str();
        let lines =
            drawing.lines.iter().map(|line| format!("{} {}: {:?}", name(line.from), name(line.to), line.reasons));
        assert_eq!(
            drawing.boxes.iter().map(|node| &node.name).collect::<Vec<_>>(),
            ["addons.a", "addons.b", "addons.c"]
        );
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                r#"addons.a addons.b: ["things can be made"]"#,
                r#"addons.a addons.c: ["things can be made"]"#,
                r#"addons.b addons.c: ["things can be made"]"#,
            ]
        );
        let whole = Drawing::of_stack("s", &graph, false);
        assert_eq!((whole.boxes.len(), whole.lines.len()), (5, 4));
    }
}
