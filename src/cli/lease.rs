//! `lease`: who has the state, and taking it away from whoever cannot let go of it.

use std::process::ExitCode;

use crate::backend::BackendError;
use crate::backend::remote::Held;
use crate::backend::remote::lease::Standing;
use crate::cli::args::{LeaseArgs, LeaseCommand};
use crate::cli::kept::{Kept, me};
use crate::cli::reach::{Place, wall_clock_runtime};
use crate::cli::terminal::Terminal;
use crate::cli::{run, source};
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::vars::Vars;

pub(super) fn lease(args: &LeaseArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let (LeaseCommand::List { stack, .. } | LeaseCommand::Break { stack, .. }) = &args.command;
    let place = Place::of(&stack.place, &stack.file);
    let wanted = source::leaving(stack, vars, true)?;
    let kept = Kept::of(stack, &place, &wanted.stack)?;
    let refused = |error: BackendError| run::refused(&error);
    match &args.command {
        LeaseCommand::List { json, .. } => {
            let (holder, held) = match &kept {
                Kept::Local(backend) => (backend.holder().map_err(refused)?, None),
                Kept::Remote(backend) => {
                    let held =
                        wall_clock_runtime()?.block_on(backend.held(&me(vars, "lease list"))).map_err(refused)?;
                    (held.as_ref().map(|held| held.lease.holder.clone()), held)
                }
            };
            if *json {
                let lease = held.as_ref().map(|held| &held.lease);
                let age = held.as_ref().map(|held| held.age.as_secs());
                let line = serde_json::json!({ "holder": holder, "lease": lease, "age_seconds": age });
                terminal.print(&format!("{line}\n"));
            } else {
                terminal.print(&text(holder.as_deref(), held.as_ref()));
            }
        }
        LeaseCommand::Break { auto_approve, .. } => {
            let Kept::Remote(backend) = &kept else {
                return Err(Diagnostic::error(
                    "the state is in a folder, and its lock goes with the process that has it",
                )
                .detail("There is no lease to break.")
                .hint("end that process; `stackwright lease list` names it")
                .into());
            };
            let runtime = wall_clock_runtime()?;
            let Some(held) = runtime.block_on(backend.held(&me(vars, "lease break"))).map_err(refused)? else {
                terminal.say("Nobody has the state.");
                return Ok(ExitCode::SUCCESS);
            };
            terminal.say(text(Some(&held.lease.holder), Some(&held)).trim_end());
            if !auto_approve {
                if !terminal.interactive {
                    return Err(Diagnostic::error("nobody is there to confirm that the lease is to be broken")
                        .hint("use --auto-approve once you know that its holder is gone")
                        .into());
                }
                let question = "\nDo you really want to break this lease?\n  A run that still goes on stops at its next \
                                write; what it has under way then goes on unwatched.";
                if !runtime.block_on(terminal.confirm(question)) {
                    terminal.say("Cancelled. Nothing was changed.");
                    return Ok(ExitCode::FAILURE);
                }
            }
            match runtime.block_on(backend.break_lease()).map_err(refused)? {
                Some(lease) => terminal.say(&format!("Broken: the lease of {}.", lease.holder)),
                None => terminal.say("Nobody has the state any more."),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(holder: Option<&str>, held: Option<&Held>) -> String {
    let Some(holder) = holder else { return "Nobody has the state.\n".to_owned() };
    let Some(held) = held else { return format!("{holder}\n") };
    let standing = match held.standing {
        Standing::Held(left) => format!("can be taken over in {} s unless it is renewed", left.as_secs()),
        Standing::Over | Standing::Free => "is over: the next run takes it over".to_owned(),
    };
    format!("{holder}\n  epoch {}, renewed {} s ago, {standing}\n", held.lease.epoch, held.age.as_secs())
}
