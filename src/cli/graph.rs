//! `graph`: the dependencies of the stack or of a plan, in one of four forms, or the reasons of one.

use std::collections::BTreeSet;
use std::process::ExitCode;

use crate::address::Address;
use crate::cli::args::{GraphArgs, SelectionArgs};
use crate::cli::kept::Kept;
use crate::cli::matter::Planning;
use crate::cli::reach::{Place, with_platforms};
use crate::cli::terminal::Terminal;
use crate::cli::{run, source};
use crate::diag::{Diagnostic, Diagnostics, suggest};
use crate::env::vars::Vars;
use crate::graph::Graph;
use crate::ops::preview::preview;
use crate::plan::dependencies;
use crate::plan::model::Plan;
use crate::ui::graph::svg::{Home, svg};
use crate::ui::graph::{self, Drawing};

/// The form of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// GraphViz.
    Dot,
    /// For Markdown.
    Mermaid,
    /// A picture.
    Svg,
    /// For programs.
    Json,
}

pub(super) fn graph(args: &GraphArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    if run::is_saved_plan(&args.stack.file) {
        let plan = run::saved_plan(&args.stack.file)?;
        print(&Drawing::of_plan(&plan, args.components), args.format, terminal);
        return Ok(ExitCode::SUCCESS);
    }
    if args.plan {
        print(&Drawing::of_plan(&planned(args, vars, terminal)?, args.components), args.format, terminal);
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = source::load(&args.stack, &args.charts, vars, true, None)?;
    let graph = dependencies::graph(&wanted.desired).map_err(Diagnostics)?;
    let Some(why) = &args.why else {
        print(&Drawing::of_stack(&wanted.desired.stack, &graph, args.components), args.format, terminal);
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
            terminal.print(&graph::why(&chain, terminal.out));
            Ok(ExitCode::SUCCESS)
        }
        None => {
            terminal.say(&format!("{} does not need {}.", why[0], why[1]));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn print(drawing: &Drawing, format: Format, terminal: &Terminal) {
    terminal.print(&match format {
        Format::Dot => graph::dot(drawing),
        Format::Mermaid => graph::mermaid(drawing),
        Format::Svg => svg(drawing, Home::File),
        Format::Json => graph::json(drawing),
    });
}

/// A plan of the stack as it is.
fn planned(args: &GraphArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<Plan, Diagnostics> {
    let place = Place::of(&args.stack.place, &args.stack.file);
    let (synthesize, fetch) = (place.is_simulated(), place.fetches(terminal));
    let planned = source::planned(&args.stack, &args.charts, vars, synthesize, fetch, args.destroy)?;
    let state = Kept::of(&args.stack, &place, planned.stack())?.read(terminal)?;
    let options = run::options(&SelectionArgs::default(), planned.stack(), args.destroy);
    let (stack, options) = (&args.stack, &options);
    let planning =
        Planning { args: stack, place: &place, planned: &planned, options, terminal, vars, create_key: false };
    let preview = with_platforms(&place, planned.site(), async |platforms| {
        let matter = planning.matter(&platforms, &state).await?;
        preview(&matter.keyed(&platforms), matter.subject(&state, true)).await
    })?;
    Ok(preview.plan)
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
