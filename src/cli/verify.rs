//! `verify`: every link from the cluster to the last token.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::kept::Kept;
use crate::cli::matter::Planning;
use crate::cli::reach::{Place, Site, with_platforms};
use crate::cli::source;
use crate::cli::target::TargetArgs;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::write_document;
use crate::env::vars::Vars;
use crate::measure::checks::{Check, are_fine, tally};
use crate::ops::preview::{Preview, preview};
use crate::ops::sight::Sight;
use crate::ops::verify;
use crate::plan::planner::Options;
use crate::ui::{verify_junit, verify_text};

#[derive(Debug, Args, Clone)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Write a JUnit report for a build server.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn verify(args: &VerifyArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let target = &args.target;
    let place = Place::of(&target.stack.place, &target.stack.file);
    // Where the report goes elsewhere, or is long in coming, each line is said as it comes.
    let tell = |check: &Check| {
        if args.json || args.junit.is_some() || terminal.live {
            terminal.say(&verify_text::line(check, terminal.err));
        }
    };
    let (name, checks) = match target.endpoint(vars)? {
        Some(endpoint) => {
            let (name, model) = (endpoint.url.clone(), target.model.clone());
            let checks = with_platforms(&place, Site::default(), async |platforms| {
                Ok(verify::server(&platforms, endpoint, model, &tell).await)
            })?;
            (name, checks)
        }
        None => of_stack(args, &place, vars, terminal, &tell)?,
    };
    if let Some(path) = &args.junit {
        write_document(path, verify_junit::junit(&name, &checks).as_bytes()).map_err(|error| {
            let diagnostic = Diagnostic::error(format!("cannot write {}", path.display()));
            Diagnostics::from(diagnostic.detail(error.to_string()).hint("choose another file with --junit"))
        })?;
    }
    let fine = are_fine(&checks);
    if args.json {
        let (passed, failed, skipped) = tally(&checks);
        let json = serde_json::json!({ "verified": fine, "of": name, "passed": passed, "failed": failed,
            "skipped": skipped, "checks": checks });
        terminal.print(&format!("{json:#}\n"));
    } else {
        terminal.print(&verify_text::checks(&checks, terminal.out));
        terminal.print(&verify_text::verdict(&checks, terminal.out));
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn of_stack(
    args: &VerifyArgs,
    place: &Place,
    vars: &dyn Vars,
    terminal: &Terminal,
    tell: verify::Tell<'_>,
) -> Result<(String, Vec<Check>), Diagnostics> {
    let target = &args.target;
    let planned = source::planned(&target.stack, &target.charts, vars, place.is_simulated(), None, false)?;
    let state = Kept::of(&target.stack, place, planned.stack())?.read(terminal)?;
    if state.resources.is_empty() {
        return Err(Diagnostic::error("nothing of this stack is recorded: it was not applied, or it was destroyed")
            .hint("run `stackwright apply` first; `verify --endpoint URL` looks at a server without a stack")
            .into());
    }
    let options = &Options::default();
    let (stack, planned) = (&target.stack, &planned);
    let planning = Planning { args: stack, place, planned, options, terminal, vars, create_key: false };
    with_platforms(place, planned.site(), async |platforms| {
        let matter = planning.matter(&platforms, &state).await?;
        let platforms = matter.keyed(&platforms);
        let Preview { plan, observed, .. } = preview(&platforms, matter.subject(&state, false)).await?;
        let wanted = matter.wanted();
        let sight = Sight::new(&platforms, &wanted.desired, &plan, &observed).knowing(&wanted.secrets);
        let checks = verify::stack(&sight, tell).await;
        Ok((plan.stack.clone(), checks))
    })
}
