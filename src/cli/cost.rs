//! `cost`: what a stack costs, now and as it is wanted; changes nothing.

use std::process::ExitCode;

use crate::cli::args::CostArgs;
use crate::cli::kept::Kept;
use crate::cli::matter::Planning;
use crate::cli::reach::{Place, with_platforms};
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::diag::Diagnostics;
use crate::env::vars::Vars;
use crate::ops::preview::preview;
use crate::plan::planner::Options;
use crate::ui::cost_text;

pub(super) fn cost(args: &CostArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.stack.place, &args.stack.file);
    let (synthesize, fetch) = (place.is_simulated(), place.fetches(terminal));
    let planned = source::planned(&args.stack, &args.charts, vars, synthesize, fetch, false)?;
    let state = Kept::of(&args.stack, &place, planned.stack())?.read(terminal)?;
    let options = Options::default();
    let (stack, options) = (&args.stack, &options);
    let planning =
        Planning { args: stack, place: &place, planned: &planned, options, terminal, create_key: false, vars };
    let preview = with_platforms(&place, planned.site(), async |platforms| {
        let matter = planning.matter(&platforms, &state).await?;
        preview(&matter.keyed(&platforms), matter.subject(&state, true)).await
    })?;
    if let Some(why) = &preview.blind {
        terminal
            .say(&terminal.err.yellow(&format!("Note: priced without looking, as if nothing were there yet: {why}")));
    }
    let budget = planned.budget();
    if args.json {
        let json = serde_json::json!({ "stack": preview.plan.stack, "currency": "USD",
            "budget_per_day": budget, "cost": preview.plan.cost });
        terminal.print(&format!("{json:#}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    match &preview.plan.cost {
        Some(cost) => terminal.print(&cost_text::cost(cost, true, terminal.out)),
        None => terminal.print("Nothing in this stack costs anything by itself.\n"),
    }
    if let Some(budget) = budget {
        terminal.print(&format!("Budget: ${budget:.2} a day ([limits] budget_per_day).\n"));
    }
    Ok(ExitCode::SUCCESS)
}
