//! `preflight`: whether the place has what the stack needs, and each place that it may go on in; changes nothing and costs
//! nothing, but for `--probe`.

use std::process::ExitCode;

use crate::cli::args::PreflightArgs;
use crate::cli::kept::Kept;
use crate::cli::matter::Planning;
use crate::cli::reach::{Place, with_platforms};
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::diag::Diagnostics;
use crate::env::vars::Vars;
use crate::ops::places::shortfall;
use crate::ops::platforms::Platforms;
use crate::ops::preflight::{Report, is_needed, of_desired, preflight as look};
use crate::ops::preview::{ownership, preview};
use crate::ops::probe;
use crate::plan::model::Plan;
use crate::plan::pause::Pausing;
use crate::plan::planner::Options;
use crate::platform::preflight::Verdict;
use crate::state::model::State;
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
    let reports = with_platforms(&place, planned.site(), async |platforms| {
        let planned_for = async {
            let matter = planning.matter(&platforms, &state).await?;
            preview(&matter.keyed(&platforms), matter.subject(&state, true)).await
        };
        match (planned_for.await, planned.known()) {
            (Ok(preview), _) => {
                let reports = every(&platforms, preview.plan, &preview.observed).await;
                Ok(if args.probe { probed(&platforms, args, reports, &state, terminal).await } else { reports })
            }
            // What keeps it from being read may be the very thing that is missing.
            (Err(error), Some(wanted)) => {
                let report = of_desired(&platforms, &wanted.desired).await;
                if report.is_fine() { Err(error) } else { Ok(vec![Looked { plan: None, report }]) }
            }
            (Err(error), None) => Err(error),
        }
    })?;
    // It suffices if one of the locations does.
    let fine = reports.iter().any(|looked| looked.report.is_fine());
    if let Some(lines) = &terminal.lines {
        reports.iter().flat_map(|looked| &looked.report.checks).for_each(|check| lines.check(check));
        lines.summary(fine, serde_json::json!({ "fine": fine }));
    }
    if args.json {
        let first = reports.first().map(|looked| &looked.report.checks[..]).unwrap_or_default();
        let mut json = serde_json::json!({ "fine": fine, "checks": first });
        if reports.len() > 1 {
            let location = |looked: &Looked| {
                serde_json::json!({
                    "location": looked.location(), "fine": looked.report.is_fine(), "checks": looked.report.checks,
                })
            };
            json["locations"] = reports.iter().map(location).collect();
        }
        terminal.print(&format!("{json:#}\n"));
    } else {
        for looked in &reports {
            if reports.len() > 1 {
                let heading = format!("In {}:", looked.location().unwrap_or_default());
                terminal.print(&format!("{}\n", terminal.out.bold(&heading)));
            }
            terminal.print(&preflight_text::preflight(&looked.report.checks, terminal.out));
        }
        if let Some(first) = reports.iter().find(|looked| looked.report.is_fine()).filter(|_| reports.len() > 1) {
            terminal.print(&format!("The stack can be made in {}.\n", first.location().unwrap_or_default()));
        }
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was seen of one location.
struct Looked {
    plan: Option<Plan>,
    report: Report,
}

impl Looked {
    fn location(&self) -> Option<&str> {
        Some(self.plan.as_ref()?.placement.as_ref()?.location.as_str())
    }
}

/// A look at every location that the plan may be carried out in.
async fn every(platforms: &Platforms, plan: Plan, observed: &crate::cli::apply::Seen) -> Vec<Looked> {
    let mut reports = vec![Looked { report: look(platforms, &plan, observed).await, plan: Some(plan) }];
    while let Some(next) = reports.last().and_then(|looked| looked.plan.as_ref()?.elsewhere()) {
        let report = look(platforms, &next, &crate::cli::apply::Seen::new()).await;
        reports.push(Looked { plan: Some(next), report });
    }
    reports
}

/// … and a probe in those of which nothing is known to be missing.
async fn probed(
    platforms: &Platforms,
    args: &PreflightArgs,
    reports: Vec<Looked>,
    state: &State,
    terminal: &Terminal,
) -> Vec<Looked> {
    let mut after = Vec::new();
    for mut looked in reports {
        let missing = looked.report.of(Verdict::Missing).next().is_some();
        if let Some(plan) = looked.plan.as_ref().filter(|_| !missing) {
            let owner = ownership(platforms, state, &plan.stack, None);
            let trials = probe::trials(platforms, plan, &owner);
            if !trials.is_empty() {
                if !args.json {
                    terminal.say(&preflight_text::trials(&trials, probe::price(&trials)));
                }
                looked.report.checks.extend(probe::probe(platforms, &trials).await);
            }
        }
        after.push(looked);
    }
    after
}

/// The first step of what makes anything: refuses what would fail on the way, and says what nobody could see. Where the
/// stack may go on in another location, what its own has not is the answer.
pub(super) async fn first(
    platforms: &Platforms,
    plan: &Plan,
    observed: &crate::cli::apply::Seen,
    terminal: &Terminal,
) -> Result<Option<String>, Diagnostics> {
    if !is_needed(plan) {
        return Ok(None);
    }
    let report: Report = look(platforms, plan, observed).await;
    if let Some(shortfall) = shortfall(plan, &report.checks) {
        return Ok(Some(shortfall));
    }
    report.accept()?;
    let unknown = preflight_text::unknown(report.of(Verdict::Unknown), terminal.err);
    if !unknown.is_empty() {
        terminal.say(&terminal.err.yellow(unknown.trim_end()));
    }
    Ok(None)
}
