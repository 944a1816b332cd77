//! `state`: looking at the recorded state and mending it.

use std::process::ExitCode;

use crate::address::Address;
use crate::cli::args::{ForgetArgs, StackArgs, StateArgs, StateCommand};
use crate::cli::kept::{Kept, Opening};
use crate::cli::reach::{Place, wall_clock_runtime};
use crate::cli::rebuild::Rebuild;
use crate::cli::terminal::Terminal;
use crate::cli::{push, rebuild, run, source};
use crate::diag::{Diagnostic, Diagnostics, suggest};
use crate::env::vars::Vars;
use crate::state::model::State;
use crate::state::transition::Transition;
use crate::ui::state_text;

pub(super) fn state(args: &StateArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    match &args.command {
        StateCommand::List { stack } => {
            let (_, state) = look(stack, vars, terminal)?;
            let lines = state.resources.values().map(|r| format!("{}\n", r.address));
            let mut lines = lines.collect::<Vec<_>>();
            lines.sort();
            terminal.print(&lines.concat());
        }
        StateCommand::Show { address, stack } => {
            let (_, state) = look(stack, vars, terminal)?;
            let address = find(&state, address)?;
            let recorded = &state.resources[&address.identity()];
            terminal.print(&state_text::resource(recorded, terminal.out));
        }
        StateCommand::Pull { stack } => {
            let place = Place::of(&stack.place, &stack.file);
            let kept = Kept::of(stack, &place, &source::leaving(stack, vars, true)?.stack)?;
            // Also of a copy that is history.
            let state = kept.read_as_it_is(terminal).map_err(|error| run::refused(&error))?;
            let json = serde_json::to_string_pretty(&state).expect("state has only string keys");
            terminal.print(&format!("{json}\n"));
        }
        StateCommand::Mv { from, to, stack, dry_run } => {
            let (kept, state) = look(stack, vars, terminal)?;
            let (from, to) = (find(&state, from)?, Address::new(to));
            let said = format!("{from} is called {to} from now on.");
            let transition = Transition::Moved { from: from.identity(), to: to.clone() };
            let mending = Mending { address: &from, to: Some(&to), dry_run: *dry_run, said };
            change(&kept, transition, "stackwright state mv", &mending, vars, terminal)?;
        }
        StateCommand::Rm(args) => return forget(args, vars, terminal),
        StateCommand::Push { pushed, stack, force, dry_run } => {
            push::push(pushed, stack, (*force, *dry_run), vars, terminal)?;
        }
        StateCommand::Migrate { stack, from, to } => {
            push::migrate(from.as_deref(), to.as_deref(), stack, vars, terminal)?;
        }
        StateCommand::Rebuild { stack, charts, stack_id, lock_timeout, auto_approve } => {
            let (stack_id, lock_timeout, auto_approve) = (stack_id.as_deref(), lock_timeout.as_deref(), *auto_approve);
            rebuild::rebuild(&Rebuild { stack, charts, stack_id, lock_timeout, auto_approve }, vars, terminal)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `forget`, and `state rm`, which is Terraform's name for it.
pub(super) fn forget(args: &ForgetArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let (kept, state) = look(&args.stack, vars, terminal)?;
    let address = find(&state, &args.address)?;
    let said = format!("{address} is forgotten: it stays where it is, and stackwright no longer manages it.");
    let transition = Transition::Forgotten(address.identity());
    let mending = Mending { address: &address, to: None, dry_run: args.dry_run, said };
    change(&kept, transition, "stackwright forget", &mending, vars, terminal)?;
    Ok(ExitCode::SUCCESS)
}

fn look(stack: &StackArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<(Kept, State), Diagnostics> {
    let place = Place::of(&stack.place, &stack.file);
    let wanted = source::leaving(stack, vars, true)?;
    let kept = Kept::of(stack, &place, &wanted.stack)?;
    let state = kept.read(terminal)?;
    Ok((kept, state))
}

fn find(state: &State, text: &str) -> Result<Address, Diagnostics> {
    let address = Address::new(text);
    if state.resources.get(&address.identity()).is_some_and(|r| r.address == address) {
        return Ok(address);
    }
    let diagnostic = Diagnostic::error(format!("{text} is not in the state"));
    Err(match suggest(text, state.resources.values().map(|r| r.address.as_str())) {
        Some(known) => diagnostic.hint(format!("did you mean {known}?")),
        None => diagnostic.hint("`stackwright state list` shows the addresses"),
    }
    .into())
}

/// What is done to one resource's record.
struct Mending<'a> {
    address: &'a Address,
    to: Option<&'a Address>,
    dry_run: bool,
    said: String,
}

impl Mending<'_> {
    fn tell(&self, terminal: &Terminal) {
        let said = if self.dry_run { format!("Dry run: {}", self.said) } else { self.said.clone() };
        match &terminal.lines {
            Some(lines) => lines.mended(self.address, self.to, self.dry_run, &said),
            None => terminal.say(&said),
        }
    }
}

fn change(
    kept: &Kept,
    transition: Transition,
    command: &str,
    mending: &Mending<'_>,
    vars: &dyn Vars,
    terminal: &Terminal,
) -> Result<(), Diagnostics> {
    if mending.dry_run {
        let mut state = kept.read(terminal)?;
        state.apply(&transition).map_err(|illegal| Diagnostic::error(illegal.to_string()))?;
        mending.tell(terminal);
        return Ok(());
    }
    let opening = Opening { lock_timeout: None, vars, command, terminal, even_departed: false };
    wall_clock_runtime()?.block_on(async {
        let mut session = kept.open(&opening).await?;
        let changed = session.commit(vec![transition]).await;
        session.close().await;
        changed.map_err(|error| run::refused(&error))
    })?;
    mending.tell(terminal);
    Ok(())
}
