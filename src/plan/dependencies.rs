//! The graph of what is desired: explicit needs, references, connections and what the objects imply.
//!
//! Pure. Component-level needs go through one barrier node per component, so that n dependents of m
//! resources cost n + m edges.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::diag::{Diagnostic, suggest};
use crate::graph::{Cycle, Graph};
use crate::plan::edges;
use crate::resource::model::{Desired, Resource};

/// The graph over addresses; the ones that name no resource are barriers.
///
/// # Errors
/// A diagnostic for each reference to nothing, or one for a cycle with its members and reasons.
pub fn graph(desired: &Desired) -> Result<Graph<Address>, Vec<Diagnostic>> {
    let resources = &desired.resources;
    let known = resources.iter().map(|r| &r.address).collect::<BTreeSet<_>>();
    let mut components: BTreeMap<&str, Vec<&Address>> = BTreeMap::new();
    for resource in resources {
        components.entry(resource.address.component()).or_default().push(&resource.address);
    }
    let mut graph = Graph::new();
    let mut mistakes = Vec::new();
    let mut barriers = BTreeSet::new();
    for resource in resources {
        graph.add(resource.address.clone());
        if let Some(connection) = &resource.connection {
            graph.depend(resource.address.clone(), connection.clone(), "it lives in it");
        }
        for need in &resource.needs {
            if known.contains(&need.on) {
                graph.depend(resource.address.clone(), need.on.clone(), need.reason.clone());
            } else if let Some(members) = components.get(need.on.as_str()) {
                graph.depend(resource.address.clone(), need.on.clone(), need.reason.clone());
                if barriers.insert(need.on.clone()) {
                    for member in members {
                        graph.depend(need.on.clone(), (*member).clone(), format!("part of {}", need.on));
                    }
                }
            } else {
                mistakes.push(dangling(resource, need.on.as_str(), &known, &components));
            }
        }
        resource.attrs.visit_templates(&mut |template| {
            for reference in template.references() {
                if known.contains(&reference.address) {
                    let reason = format!("refers to {reference}");
                    graph.depend(resource.address.clone(), reference.address.clone(), reason);
                } else {
                    mistakes.push(dangling(resource, reference.address.as_str(), &known, &components));
                }
            }
        });
    }
    for edge in edges::infer(resources).edges {
        graph.depend(edge.dependent, edge.dependency, edge.reason);
    }
    if !mistakes.is_empty() {
        mistakes.dedup();
        return Err(mistakes);
    }
    match graph.order() {
        Ok(_) => Ok(graph),
        Err(cycle) => Err(vec![describe(&graph, &cycle)]),
    }
}

fn dangling(
    resource: &Resource,
    to: &str,
    known: &BTreeSet<&Address>,
    components: &BTreeMap<&str, Vec<&Address>>,
) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(format!("refers to {to}, which the stack does not have")).about(resource.address.clone());
    let candidates = components.keys().copied().chain(known.iter().map(|a| a.as_str()));
    match suggest(to, candidates) {
        Some(candidate) => diagnostic.hint(format!("did you mean {candidate}?")),
        None => diagnostic.hint("declare it, or take the reference out"),
    }
}

fn describe(graph: &Graph<Address>, Cycle(members): &Cycle<Address>) -> Diagnostic {
    let mut lines = Vec::new();
    for (at, member) in members.iter().enumerate() {
        let next = &members[(at + 1) % members.len()];
        let why = graph
            .dependencies(member)
            .into_iter()
            .find(|(key, _)| *key == next)
            .map(|(_, reasons)| reasons.join("; "))
            .unwrap_or_default();
        lines.push(format!("{member} needs {next} ({why})"));
    }
    Diagnostic::error(format!("{} resources need each other in a circle", members.len()))
        .detail(lines.join("\n"))
        .hint("take one of these references or depends_on away")
}
