//! `history`: what the state was, and going back to it.

use std::process::ExitCode;

use crate::cli::args::{HistoryArgs, HistoryCommand};
use crate::cli::kept::{Kept, Opening};
use crate::cli::push::{mendable, replace};
use crate::cli::reach::Place;
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::vars::Vars;
use crate::state::history::{self, Chapter};
use crate::state::model::State;
use crate::ui::state_text;

pub(super) fn history(args: &HistoryArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let (HistoryCommand::List { stack, .. }
    | HistoryCommand::Show { stack, .. }
    | HistoryCommand::Restore { stack, .. }) = &args.command;
    let place = Place::of(&stack.place, &stack.file);
    let wanted = source::leaving(stack, vars, true)?;
    let kept = Kept::of(stack, &place, &wanted.stack)?;
    let chapters = kept.chapters()?;
    match &args.command {
        HistoryCommand::List { json, .. } => {
            let runs = history::runs(&chapters);
            if *json {
                let lines = runs.iter().map(|run| {
                    serde_json::json!({
                        "serial": run.serial, "before": run.before, "run": run.holder, "added": run.added,
                        "changed": run.changed, "removed": run.removed, "resources": run.resources,
                    })
                });
                terminal.print(&format!("{:#}\n", serde_json::Value::from_iter(lines)));
            } else {
                terminal.print(&state_text::runs(&runs));
            }
        }
        HistoryCommand::Show { serial, json, .. } => {
            let state = find(&chapters, *serial)?;
            if *json {
                let json = serde_json::to_string_pretty(&state).expect("state has only string keys");
                terminal.print(&format!("{json}\n"));
            } else {
                terminal.print(&state_text::state(&state, terminal.out, terminal.verbose));
                if let Some(now) = history::last(&chapters) {
                    terminal.print(&state_text::since(&state, &now, terminal.out));
                }
            }
        }
        HistoryCommand::Restore { serial, dry_run, .. } => {
            let state = find(&chapters, *serial)?;
            let (current, damaged) = mendable(&kept, &state.stack, terminal)?;
            if current.agrees(&state) && current.departed.is_none() && !damaged {
                terminal.say(&format!("Nothing to restore: the state is what it was at serial {serial}."));
                return Ok(ExitCode::SUCCESS);
            }
            terminal.print(&state_text::replacement(&current, &state, terminal.out));
            if *dry_run {
                terminal.say("Dry run: nothing was changed.");
                return Ok(ExitCode::SUCCESS);
            }
            let command = "stackwright history restore";
            let opening = Opening { lock_timeout: None, vars, command, terminal, even_departed: false };
            let now = replace(&kept, &opening, state, damaged)?;
            terminal.say(&format!("Restored: serial {now} is what serial {serial} was."));
            terminal.say(&terminal.err.yellow(
                "Nothing in the world was changed by it. Run `stackwright plan` to see how what is there differs.",
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(chapters: &[Chapter], serial: u64) -> Result<State, Diagnostics> {
    history::at(chapters, serial).ok_or_else(|| {
        Diagnostic::error(format!("what the state was at serial {serial} is not kept, or never was"))
            .hint("`stackwright history list` shows the serials that runs ended with")
            .into()
    })
}
