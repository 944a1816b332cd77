//! `plan`: what apply would do.

use std::process::ExitCode;

use crate::address::Address;
use crate::cli::args::PlanArgs;
use crate::cli::kept::Kept;
use crate::cli::reach::{Place, with_platforms};
use crate::cli::terminal::Terminal;
use crate::cli::{run, source};
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::{Disk, RealDisk};
use crate::env::vars::Vars;
use crate::ops::preview::{Subject, preview};
use crate::plan::file;
use crate::ui::plan_text;

pub(super) fn plan(args: &PlanArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.stack.place, &args.stack.file);
    let (synthesize, fetch) = (place.is_simulated(), place.fetches(terminal));
    let planned = source::planned(&args.stack, &args.charts, vars, synthesize, fetch, args.destroy)?;
    if let Some(wanted) = planned.known() {
        wanted.accept(terminal)?;
    }
    let state = Kept::of(&args.stack, &place, planned.stack())?.read(terminal)?;
    let mut options = run::options(&args.planning, planned.stack(), args.destroy);
    options.abandon = args.abandon.iter().map(Address::new).collect();
    let preview = with_platforms(&place, planned.site(), async |platforms| {
        let looked = planned.look(&platforms, &state, &options, terminal).await?;
        let wanted = planned.known().or(looked.as_ref()).expect("what is not known at once was looked up");
        run::recognise(&platforms, &args.stack, wanted, &state, &options).await?;
        let secrets = run::digests(&args.stack, &place, wanted, false)?;
        let subject = Subject {
            desired: &wanted.desired,
            state: &state,
            secrets: &secrets,
            found: &wanted.found.secrets,
            options: &options,
            ttl: wanted.ttl(),
            may_be_blind: true,
        };
        let mut preview = preview(&platforms, subject).await?;
        preview.plan.looked_up.clone_from(&wanted.found.questions);
        Ok(preview)
    })?;
    if let Some(why) = &preview.blind {
        terminal
            .say(&terminal.err.yellow(&format!("Note: planned without looking, as if nothing were there yet: {why}")));
    }
    let mut plan = preview.plan;
    if args.refresh_only {
        plan.changes.clear();
        plan.outputs.clear();
    }
    if args.json {
        let json = serde_json::to_string_pretty(&plan).expect("plans have only string keys");
        terminal.print(&format!("{json}\n"));
    } else {
        let options = plan_text::Options { paint: terminal.out, verbose: terminal.verbose };
        terminal.print(&plan_text::plan(&plan, options));
    }
    if let Some(out) = &args.out {
        RealDisk.write(out, &file::encode(&plan)).map_err(|error| {
            Diagnostics::from(
                Diagnostic::error(format!("cannot write {}", out.display()))
                    .detail(error.to_string())
                    .hint("choose another file with --out"),
            )
        })?;
        terminal.say(&format!("Saved the plan. To carry out exactly this: stackwright apply {}", out.display()));
    }
    let changes = !plan.is_empty() || (args.refresh_only && !plan.drift.is_empty());
    Ok(ExitCode::from(if args.detailed_exitcode && changes { 2 } else { 0 }))
}
