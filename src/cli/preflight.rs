//! `preflight`: whether the place has what the stack needs; changes nothing and costs nothing.

use std::process::ExitCode;

use crate::cli::args::PreflightArgs;
use crate::cli::kept::Kept;
use crate::cli::matter::Planning;
use crate::cli::reach::{Place, with_platforms};
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::diag::Diagnostics;
use crate::env::vars::Vars;
use crate::ops::platforms::Platforms;
use crate::ops::preflight::{Report, is_needed, of_desired, preflight as look};
use crate::ops::preview::preview;
use crate::plan::model::Plan;
use crate::plan::pause::Pausing;
use crate::plan::planner::Options;
use crate::platform::preflight::Verdict;
use crate::ui::preflight_text;

pub(super) fn preflight(args: &PreflightArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.stack.place, &args.stack.file);
    let (synthesize, fetch) = (place.is_simulated(), place.fetches(terminal));
    let planned = source::planned(&args.stack, &args.charts, vars, synthesize, fetch, false)?;
    let state = Kept::of(&args.stack, &place, planned.stack())?.read(terminal)?;
    // A paused stack is to run again one day.
    let options = Options { pausing: Pausing::Resume, ..Options::default() };
    let (stack, options) = (&args.stack, &options);
    let planning =
        Planning { args: stack, place: &place, planned: &planned, options, terminal, create_key: false, vars };
    let report = with_platforms(&place, planned.site(), async |platforms| {
        let planned_for = async {
            let matter = planning.matter(&platforms, &state).await?;
            preview(&matter.keyed(&platforms), matter.subject(&state, true)).await
        };
        match (planned_for.await, planned.known()) {
            (Ok(preview), _) => Ok(look(&platforms, &preview.plan, &preview.observed).await),
            // What keeps it from being read may be the very thing that is missing.
            (Err(error), Some(wanted)) => {
                let report = of_desired(&platforms, &wanted.desired).await;
                if report.is_fine() { Err(error) } else { Ok(report) }
            }
            (Err(error), None) => Err(error),
        }
    })?;
    if let Some(lines) = &terminal.lines {
        report.checks.iter().for_each(|check| lines.check(check));
        lines.summary(report.is_fine(), serde_json::json!({ "fine": report.is_fine() }));
    }
    if args.json {
        let json = serde_json::json!({ "fine": report.is_fine(), "checks": report.checks });
        terminal.print(&format!("{json:#}\n"));
    } else {
        terminal.print(&preflight_text::preflight(&report.checks, terminal.out));
    }
    Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first step of what makes anything: refuses what would fail on the way, and says what nobody could see.
pub(super) async fn first(
    platforms: &Platforms,
    plan: &Plan,
    observed: &crate::cli::apply::Seen,
    terminal: &Terminal,
) -> Result<(), Diagnostics> {
    if !is_needed(plan) {
        return Ok(());
    }
    let report: Report = look(platforms, plan, observed).await;
    report.accept()?;
    let unknown = preflight_text::unknown(report.of(Verdict::Unknown), terminal.err);
    if !unknown.is_empty() {
        terminal.say(&terminal.err.yellow(unknown.trim_end()));
    }
    Ok(())
}
