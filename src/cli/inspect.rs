//! `show`, `output`, `status`: looking without changing.

use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::cli::args::{OutputArgs, ShowArgs, StatusArgs};
use crate::cli::kept::Kept;
use crate::cli::matter::Planning;
use crate::cli::reach::{Place, with_platforms};
use crate::cli::terminal::Terminal;
use crate::cli::{report, review, run, source};
use crate::diag::{Diagnostic, Diagnostics, suggest};
use crate::env::disk::{Disk, RealDisk};
use crate::env::vars::Vars;
use crate::ops::status;
use crate::plan::planner::Options;
use crate::plan::time::PARALLELISM;
use crate::ui::{plan_json, state_text, summary, values};

pub(super) fn show(args: &ShowArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    if run::is_saved_plan(&args.stack.file) {
        let plan = run::saved_plan(&args.stack.file)?;
        if let Some(path) = &args.html {
            report::of_plan(&plan, args.stack.place.sim.is_some(), PARALLELISM).write(path, terminal)?;
            return Ok(ExitCode::SUCCESS);
        }
        let earlier = args.compare.as_deref().map(|file| review::earlier(file, &plan)).transpose()?;
        let text = match args.told.json {
            Some(words) => plan_json::plan(&plan, None, words.options(args.told.full)),
            None => review::shown(
                &plan,
                earlier.as_ref(),
                &review::hash(&RealDisk.read(&args.stack.file).unwrap_or_default()),
                args.markdown,
                terminal,
            ),
        };
        terminal.print(&text);
        return Ok(ExitCode::SUCCESS);
    }
    if args.markdown || args.compare.is_some() || args.html.is_some() {
        let flag = match (args.markdown, &args.compare) {
            (true, _) => "--markdown",
            (false, Some(_)) => "--compare",
            (false, None) => "--html",
        };
        return Err(Diagnostic::error(format!("{} is no saved plan", args.stack.file.display()))
            .detail(format!("{flag} is for plans; without it, `show` shows the state."))
            .hint(format!("save a plan with `stackwright plan --out FILE`, then `stackwright show FILE {flag}`"))
            .into());
    }
    let place = Place::of(&args.stack.place, &args.stack.file);
    let wanted = source::leaving(&args.stack, vars, true)?;
    let state = Kept::of(&args.stack, &place, &wanted.stack)?.read(terminal)?;
    let text = match args.told.json {
        Some(words) => plan_json::state(&state, words.options(args.told.full)),
        None => state_text::state(&state, terminal.out, terminal.verbose),
    };
    terminal.print(&text);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn output(args: &OutputArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.stack.place, &args.stack.file);
    let wanted = source::leaving(&args.stack, vars, true)?;
    let state = Kept::of(&args.stack, &place, &wanted.stack)?.read(terminal)?;
    let Some(name) = &args.name else {
        let text = if args.json {
            serde_json::to_string_pretty(&state.outputs).expect("outputs have only string keys") + "\n"
        } else {
            summary::outputs(&state.outputs, terminal.out).trim_start().to_owned()
        };
        if state.outputs.is_empty() && !args.json {
            terminal.say("No outputs: nothing was applied yet, or the stack declares none.");
        }
        terminal.print(&text);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(value) = state.outputs.get(name) else {
        let diagnostic = Diagnostic::error(format!("there is no output {name} in the state"));
        let known = suggest(name, state.outputs.keys().map(String::as_str));
        return Err(match known {
            Some(known) => diagnostic.hint(format!("did you mean {known}?")),
            None => diagnostic.hint("declare it under [outputs] and apply"),
        }
        .into());
    };
    let text = match (args.raw, args.json) {
        (true, _) => value.scalar_text().unwrap_or_else(|| value.to_json().to_string()),
        (_, true) => value.to_json().to_string(),
        _ => values::inline(value),
    };
    terminal.print(&format!("{text}\n"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn status(args: &StatusArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.stack.place, &args.stack.file);
    let planned = source::planned(&args.stack, &args.charts, vars, place.is_simulated(), None, false)?;
    let state = Kept::of(&args.stack, &place, planned.stack())?.read(terminal)?;
    let (stack, options) = (&args.stack, &Options::default());
    let planning =
        Planning { args: stack, place: &place, planned: &planned, options, terminal, vars, create_key: false };
    let status = with_platforms(&place, planned.site(), async |platforms| {
        let matter = planning.matter(&platforms, &state).await?;
        status::status(&matter.keyed(&platforms), matter.subject(&state, false), &matter.wanted().secrets).await
    })?;
    if let Some(lines) = &terminal.lines {
        status.resources.iter().for_each(|(address, readiness)| lines.readiness(address, readiness));
        let (healthy, chain) = (status.is_healthy(), &status.chain);
        let summary =
            serde_json::json!({ "healthy": healthy, "pending_changes": status.pending_changes, "chain": chain });
        lines.summary(healthy, summary);
    }
    if args.json {
        let resources = status.resources.iter().map(|(a, r)| (a.to_string(), r)).collect::<BTreeMap<_, _>>();
        let json = serde_json::json!({
            "healthy": status.is_healthy(),
            "pending_changes": status.pending_changes,
            "resources": resources,
            "chain": status.chain,
        });
        terminal.print(&format!("{json:#}\n"));
    } else {
        let text = state_text::status(&status.resources, status.pending_changes, &status.chain, terminal.out);
        terminal.print(&text);
    }
    Ok(if status.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
