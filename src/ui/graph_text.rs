//! Dependency graphs as DOT, and the reasons of an edge as text.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::graph::Graph;
use crate::ui::paint::{Paint, tame};

fn quoted(text: &str) -> String {
    format!("\"{}\"", tame(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// GraphViz DOT; an arrow runs from who needs to who is needed.
pub fn dot(graph: &Graph<Address>, components: bool) -> String {
    let name = |address: &Address| if components { address.component().to_owned() } else { address.to_string() };
    let mut nodes = BTreeSet::new();
    let mut edges: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for node in graph.nodes() {
        nodes.insert(name(node));
        for (dependency, reasons) in graph.dependencies(node) {
            let (from, to) = (name(node), name(dependency));
            if from != to {
                edges.entry((from, to)).or_default().extend(reasons.iter().map(String::as_str));
            }
        }
    }
    let mut out = "digraph stack {\n  rankdir = LR\n  node [shape = box]\n".to_owned();
    for node in nodes {
        out.push_str(&format!("  {}\n", quoted(&node)));
    }
    for ((from, to), reasons) in edges {
        let shown = reasons.iter().take(3).copied().collect::<Vec<_>>().join("\n");
        out.push_str(&format!("  {} -> {} [tooltip = {}]\n", quoted(&from), quoted(&to), quoted(&shown)));
    }
    out.push_str("}\n");
    out
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
