//! `graph`: the dependencies as DOT, or the reasons of one.

use std::collections::BTreeSet;
use std::process::ExitCode;

use crate::address::Address;
use crate::cli::args::GraphArgs;
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics, suggest};
use crate::env::vars::Vars;
use crate::graph::Graph;
use crate::plan::dependencies;
use crate::ui::graph_text;

pub(super) fn graph(args: &GraphArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let wanted = source::load(&args.stack, &args.charts, vars, true, None)?;
    let graph = dependencies::graph(&wanted.desired).map_err(Diagnostics)?;
    let Some(why) = &args.why else {
        terminal.print(&graph_text::dot(&graph, args.components));
        return Ok(ExitCode::SUCCESS);
    };
    let [dependent, dependency] = &why[..] else { return Ok(ExitCode::FAILURE) };
    let (dependent, dependency) = (find(&graph, dependent)?, find(&graph, dependency)?);
    // Any member of one component may need any member of the other: the shortest answer is given.
    let mut chains = Vec::new();
    for from in &dependent {
        chains.extend(dependency.iter().map(|to| graph.why(from, to)).filter(|chain| !chain.is_empty()));
    }
    let shortest = chains.into_iter().min_by_key(Vec::len);
    match shortest {
        Some(chain) => {
            terminal.print(&graph_text::why(&chain, terminal.out));
            Ok(ExitCode::SUCCESS)
        }
        None => {
            terminal.say(&format!("{} does not need {}.", why[0], why[1]));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The node of that address, or all nodes of that component.
fn find(graph: &Graph<Address>, text: &str) -> Result<Vec<Address>, Diagnostics> {
    let exact = Address::new(text);
    if graph.contains(&exact) {
        return Ok(vec![exact]);
    }
    let members = graph.nodes().filter(|a| a.component() == text).cloned().collect::<Vec<_>>();
    if !members.is_empty() {
        return Ok(members);
    }
    let names = graph.nodes().flat_map(|a| [a.as_str(), a.component()]).collect::<BTreeSet<_>>();
    let diagnostic = Diagnostic::error(format!("{text} is not in the stack"));
    Err(match suggest(text, names.iter().copied()) {
        Some(name) => diagnostic.hint(format!("did you mean {name}?")),
        None => diagnostic.hint("`stackwright graph` without --why prints all addresses"),
    }
    .into())
}
