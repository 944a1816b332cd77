//! `plan`: what apply would do; and `drift`: what others have done.

use std::path::Path;
use std::process::ExitCode;

use crate::address::Address;
use crate::cli::args::{DriftArgs, PlanArgs};
use crate::cli::kept::Kept;
use crate::cli::matter::Planning;
use crate::cli::policy::{Judgement, Rules};
use crate::cli::reach::{Place, with_platforms};
use crate::cli::terminal::Terminal;
use crate::cli::{report, review, run, source};
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::{Disk, RealDisk};
use crate::env::vars::Vars;
use crate::ops::preview::preview;
use crate::plan::file;
use crate::plan::pause::Pausing;
use crate::plan::prior::{self, Known};
use crate::plan::time::PARALLELISM;
use crate::ui::plan_json;

/// `drift`: what others have changed since the last apply; the plan to take note of it, not carried out.
pub(super) fn drift(args: &DriftArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let DriftArgs { stack, charts, told, detailed_exitcode } = args.clone();
    let plan_args = PlanArgs { stack, charts, told, detailed_exitcode, refresh_only: true, ..PlanArgs::default() };
    plan(&plan_args, vars, terminal)
}

pub(super) fn plan(args: &PlanArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.stack.place, &args.stack.file);
    let (synthesize, fetch) = (place.is_simulated(), place.fetches(terminal));
    let planned = source::planned(&args.stack, &args.charts, vars, synthesize, fetch, args.destroy)?;
    if let Some(wanted) = planned.known() {
        wanted.accept(terminal)?;
    }
    let rules = Rules::of(planned.stack(), &args.policy.files)?;
    let state = Kept::of(&args.stack, &place, planned.stack())?.read(terminal)?;
    let mut options = run::options(&args.planning, planned.stack(), args.destroy);
    options.abandon = args.abandon.iter().map(Address::new).collect();
    options.refresh_only = args.refresh_only;
    if args.resume {
        options.pausing = Pausing::Resume;
    }
    let (stack, options) = (&args.stack, &options);
    let planning = Planning {
        args: stack,
        place: &place,
        planned: &planned,
        options,
        terminal,
        vars,
        create_key: args.out.is_some(),
    };
    let is_read = args.told.json.is_some() || args.out.is_some() || !rules.is_empty();
    let preview = with_platforms(&place, planned.site(), async |platforms| {
        let matter = planning.matter(&platforms, &state).await?;
        let mut preview = preview(&matter.keyed(&platforms), matter.subject(&state, true)).await?;
        if is_read {
            let desired = &matter.wanted().desired;
            prior::fill(&mut preview.plan, Known { desired, state: &state, observed: &preview.observed });
        }
        Ok(preview)
    })?;
    if let Some(why) = &preview.blind {
        terminal
            .say(&terminal.err.yellow(&format!("Note: planned without looking, as if nothing were there yet: {why}")));
    }
    let plan = preview.plan;
    terminal.lines_of(&plan);
    let earlier = args.compare.as_deref().map(|file| review::earlier(file, &plan)).transpose()?;
    let judgement = rules.judge(&plan, planned.stack());
    let verdicts = (!rules.is_empty()).then_some(judgement.verdicts);
    if let Some(words) = args.told.json {
        terminal.print(&plan_json::plan(&plan, verdicts, words.options(args.told.full)));
    } else {
        // Who reads the hash looks for the file.
        let hash = args.out.as_ref().map(|_| review::hash(&file::encode(&plan))).unwrap_or_default();
        terminal.print(&review::shown(&plan, earlier.as_ref(), &hash, args.markdown, terminal));
    }
    if let Some(path) = &args.html {
        report::of_plan(&plan, place.is_simulated(), PARALLELISM).write(path, terminal)?;
    }
    if let Some(out) = &args.out {
        RealDisk.write(out, &file::encode(&plan)).map_err(|error| {
            Diagnostics::from(
                Diagnostic::error(format!("cannot write {}", out.display()))
                    .detail(error.to_string())
                    .hint("choose another file with --out"),
            )
        })?;
        let stack = &args.stack.file;
        let named =
            if *stack == Path::new("stack.toml") { String::new() } else { format!(" --stack {}", stack.display()) };
        let again = format!("stackwright apply {}{named}{}", out.display(), args.stack.place.again());
        terminal.say(&format!("Saved the plan. To carry out exactly this: {again}"));
    }
    terminal.diagnostics(&judgement.said);
    if judgement.refused {
        return Ok(Judgement::exit_code());
    }
    Ok(ExitCode::from(if args.detailed_exitcode && !plan.is_empty() { 2 } else { 0 }))
}
