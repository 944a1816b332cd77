//! Circles among components, found on references and `depends_on` alone.
//!
//! The plan's graph has more edges (`catalog` adds those that components bring); what is a circle here is
//! one there, and here the file and line are known.

use std::collections::BTreeMap;

use petgraph::graph::{DiGraph, NodeIndex};

use crate::diag::{Diagnostic, Span};
use crate::stack::check::Checker;
use crate::stack::decode::Use;
use crate::stack::model::Stack;

/// The most members of a circle that are named.
const LONGEST: usize = 8;

/// Components as nodes; an edge runs from a component to what it needs and holds the place that says so.
#[derive(Default)]
struct Needs<'a> {
    graph: DiGraph<&'a str, &'a Span>,
    index: BTreeMap<&'a str, NodeIndex>,
}

impl<'a> Needs<'a> {
    fn node(&mut self, component: &'a str) -> NodeIndex {
        let graph = &mut self.graph;
        *self.index.entry(component).or_insert_with(|| graph.add_node(component))
    }

    fn need(&mut self, from: &'a str, to: &'a str, span: &'a Span) {
        let (from, to) = (self.node(from), self.node(to));
        self.graph.add_edge(from, to, span);
    }

    /// A shortest circle through `start` within `knot`: the places of its edges, in order.
    fn circle(&self, start: NodeIndex, knot: &[NodeIndex]) -> Vec<(NodeIndex, &'a Span)> {
        let inside = knot.iter().copied().collect::<std::collections::BTreeSet<_>>();
        let mut came: BTreeMap<NodeIndex, (NodeIndex, &'a Span)> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            let mut next = self.graph.edges(at).map(|edge| (edge, *edge.weight())).collect::<Vec<_>>();
            next.sort_by_key(|(edge, _)| self.graph[petgraph::visit::EdgeRef::target(edge)]);
            for (edge, span) in next {
                let to = petgraph::visit::EdgeRef::target(&edge);
                if to == start {
                    let mut path = vec![(at, span)];
                    let mut back = at;
                    while let Some(&(before, span)) = came.get(&back) {
                        path.push((before, span));
                        back = before;
                    }
                    path.reverse();
                    return path;
                }
                if inside.contains(&to) && !came.contains_key(&to) {
                    came.insert(to, (at, span));
                    queue.push_back(to);
                }
            }
        }
        Vec::new()
    }
}

impl Checker<'_> {
    /// One mistake for each knot of components that need each other.
    pub(super) fn circles(&mut self, stack: &Stack, uses: &[Use]) {
        let dependents = stack
            .charts
            .iter()
            .map(|(name, chart)| (format!("charts.{name}"), &chart.depends_on))
            .chain(stack.manifests.iter().map(|(name, set)| (format!("manifests.{name}"), &set.depends_on)))
            .collect::<Vec<_>>();
        let mut needs = Needs::default();
        for used in uses {
            if let Some(from) = &used.from {
                needs.need(from, used.reference.address.component(), &used.span);
            }
        }
        for (from, list) in &dependents {
            for on in list.iter() {
                needs.need(from, &on.value, &on.span);
            }
        }
        // Kosaraju's walk keeps its own stack; Tarjan's would use the thread's, ten thousand calls deep.
        for knot in petgraph::algo::kosaraju_scc(&needs.graph) {
            let Some(&start) = knot.iter().min_by_key(|node| needs.graph[**node]) else { continue };
            let circle = needs.circle(start, &knot);
            let Some((_, first)) = circle.first() else { continue };
            // A person follows a few steps; of a long circle the first ones are named.
            let steps = circle.iter().take(LONGEST).map(|(node, span)| {
                let (line, _) = span.line_column();
                format!("{} needs it in {}:{line}", needs.graph[*node], span.source.name)
            });
            let detail = format!("Going round: {}.", steps.collect::<Vec<_>>().join(", "));
            let mut names =
                circle.iter().take(LONGEST).map(|(node, _)| needs.graph[*node].to_owned()).collect::<Vec<_>>();
            if circle.len() > LONGEST {
                names.push(format!("({} more)", circle.len() - LONGEST));
            }
            names.push(needs.graph[start].to_owned());
            let summary = match circle.len() {
                1 => format!("{} needs itself", names[0]),
                _ => format!("components need each other: {}", names.join(" -> ")),
            };
            self.mistakes.push(
                Diagnostic::error(summary)
                    .detail(if circle.len() == 1 { String::new() } else { detail })
                    .at((*first).clone(), "part of the circle")
                    .hint("remove one of these references"),
            );
        }
    }
}
