//! Completion while one types: scripts for shells, and the answers that they ask for. Manual pages, too, which come from the
//! same definitions.
//!
//! A script runs the program with `STACKWRIGHT_COMPLETE` set and the words of the line so far, the one that is being typed
//! last. Each line of the answer is a candidate and, after a tab, what it is; `:files` and `:directories` leave it to the
//! shell. `engine` finds out what is being typed, `subject` what there is of it.

mod engine;
mod subject;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::args::{Cli, CompletionsArgs, ManArgs};
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::write_document;
use crate::env::vars::Vars;

/// Set by the scripts while they ask.
const VARIABLE: &str = "STACKWRIGHT_COMPLETE";

/// Answers a shell that asks for candidates, on standard output; `None` where no shell asks.
pub(super) fn answer(vars: &dyn Vars, arguments: &[OsString]) -> Option<String> {
    vars.get(VARIABLE)?;
    let words = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let (current, before) = words.split_last()?;
    let command = super::command();
    let wanted = engine::wanted(&command, before, current);
    Some(subject::Subject::of_line(before).answer(&wanted))
}

/// Prints the script of a shell.
pub(super) fn completions(args: &CompletionsArgs, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    use clap_complete::Shell;
    let script = match args.shell {
        Shell::Bash => include_str!("stackwright.bash").to_owned(),
        Shell::Zsh => include_str!("stackwright.zsh").to_owned(),
        Shell::Fish => include_str!("stackwright.fish").to_owned(),
        // Commands and flags, and nothing of the stack.
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut Cli::command(), "stackwright", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    };
    terminal.print(&script);
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual, or writes a page for each command.
pub(super) fn man(args: &ManArgs, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let command = super::command();
    let Some(folder) = &args.directory else {
        terminal.print(&manual(&command));
        return Ok(ExitCode::SUCCESS);
    };
    let mut pages = Vec::new();
    gather(&command, &mut pages);
    for (name, page) in &pages {
        let path = folder.join(format!("{name}.1"));
        write_document(&path, page.as_bytes()).map_err(|error| {
            Diagnostics::from(
                Diagnostic::error(format!("cannot write {}", path.display()))
                    .detail(error.to_string())
                    .hint("choose another folder with --directory"),
            )
        })?;
    }
    terminal.say(&format!("Wrote {} pages. Read one with: man {}/stackwright.1", pages.len(), folder.display()));
    Ok(ExitCode::SUCCESS)
}

/// Pages by name; a command that was built knows its whole name, `stackwright-state-mv`.
fn gather(command: &clap::Command, pages: &mut Vec<(String, String)>) {
    let name = command.get_display_name().unwrap_or(command.get_name());
    pages.push((name.to_owned(), manual(command)));
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        gather(below, pages);
    }
}

fn manual(command: &clap::Command) -> String {
    let mut text = Vec::new();
    // Writing to memory does not fail.
    clap_mangen::Man::new(command.clone()).render(&mut text).ok();
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_a_page_for_every_command() {
        let mut pages = Vec::new();
        gather(&crate::cli::command(), &mut pages);
        let page = |name: &str| pages.iter().find(|(page, _)| page == name).map(|(_, text)| text.clone());
        assert!(page("stackwright-state-mv").unwrap().contains("Rename a resource"));
        assert!(page("stackwright").unwrap().contains("log\\-format"));
    }
}
