//! `state push` and `state migrate`: a state takes the place of another, or goes to another place.

use std::io::Read;
use std::path::Path;

use crate::backend::{BackendError, Session};
use crate::cli::args::StackArgs;
use crate::cli::kept::{Kept, Opening, backend};
use crate::cli::reach::{Place, wall_clock_runtime};
use crate::cli::run::refused;
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::{Disk, RealDisk};
use crate::env::vars::Vars;
use crate::ops::migrate::{self, Step};
use crate::ops::push::{self, Verdict};
use crate::state::codec::DecodeError;
use crate::state::transition::Transition;
use crate::ui::paint::count;
use crate::ui::state_text;

/// Reads a state for mending: what can still be read of one that is damaged, and whether it is.
pub(super) fn mendable(
    kept: &Kept,
    stack: &str,
    terminal: &Terminal,
) -> Result<(crate::state::model::State, bool), Diagnostics> {
    match kept.read_as_it_is(terminal) {
        Ok(state) => Ok((state, false)),
        // Nothing is wrong with what is only newer.
        Err(error @ BackendError::Damaged { error: DecodeError::Newer { .. } | DecodeError::Unknown { .. }, .. }) => {
            Err(refused(&error))
        }
        Err(error @ BackendError::Damaged { .. }) => {
            terminal.say(&terminal.err.yellow(&format!("Note: {error}")));
            Ok((kept.remains(stack)?, true))
        }
        Err(error) => Err(refused(&error)),
    }
}

pub(super) fn push(
    file: &Path,
    stack: &StackArgs,
    (force, dry_run): (bool, bool),
    vars: &dyn Vars,
    terminal: &Terminal,
) -> Result<(), Diagnostics> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        RealDisk.read(file)
    };
    let bytes = bytes.map_err(|error| {
        let diagnostic = Diagnostic::error(format!("cannot read {}", file.display())).detail(error.to_string());
        Diagnostics::from(diagnostic.hint("name a file that `stackwright state pull` was written to, or -"))
    })?;
    let pushed = push::read(&bytes, &file.display().to_string())?;
    let place = Place::of(&stack.place, &stack.file);
    let wanted = source::leaving(stack, vars, true)?;
    let kept = Kept::of(stack, &place, &wanted.stack)?;
    let (current, damaged) = mendable(&kept, &wanted.stack.name.value, terminal)?;
    let verdict = push::judge(&current, &pushed, force)?;
    if verdict == Verdict::Same && !damaged {
        terminal.say(&format!("Nothing to push: it is what the state is at serial {}.", current.serial));
        return Ok(());
    }
    terminal.print(&state_text::replacement(&current, &pushed, terminal.out));
    if dry_run {
        terminal.say("Dry run: nothing was changed.");
        return Ok(());
    }
    let opening =
        Opening { lock_timeout: None, vars, command: "stackwright state push", terminal, even_departed: force };
    let serial = replace(&kept, &opening, pushed, damaged)?;
    terminal.say(&format!("Pushed: the state is at serial {serial} now. Nothing in the world was changed by it."));
    Ok(())
}

/// Puts a state in the place of what is there; the serial that it has then. Not inside a runtime.
pub(super) fn replace(
    kept: &Kept,
    opening: &Opening<'_>,
    state: crate::state::model::State,
    damaged: bool,
) -> Result<u64, Diagnostics> {
    wall_clock_runtime()?.block_on(async {
        if damaged {
            kept.repair(opening, &state).await?;
            return kept.read_back().await.map(|state| state.serial).map_err(|error| refused(&error));
        }
        let mut session = kept.open(opening).await?;
        let changed = session.commit(vec![Transition::Replaced(Box::new(state))]).await;
        let serial = session.state().serial;
        session.close().await;
        changed.map(|()| serial).map_err(|error| refused(&error))
    })
}

pub(super) fn migrate(
    from: Option<&str>,
    to: Option<&str>,
    stack: &StackArgs,
    vars: &dyn Vars,
    terminal: &Terminal,
) -> Result<(), Diagnostics> {
    let place = Place::of(&stack.place, &stack.file);
    if place.is_simulated() {
        return Err(Diagnostic::error("the state about a simulated place stays in its world")
            .hint("leave --sim out, or copy the world's folder")
            .into());
    }
    let wanted = source::leaving(stack, vars, true)?;
    let name = &*wanted.stack.name.value;
    let says = backend(&wanted.stack);
    let (old, new) = match (from, to) {
        (None, None) => {
            return Err(Diagnostic::error("neither --from nor --to says where the state is or goes")
                .hint("set [state] backend to the new place and give the old one with --from, or the new one with --to")
                .into());
        }
        (from, to) => (from.map(str::to_owned).or(says.clone()), to.map(str::to_owned).or(says.clone())),
    };
    let (source, target) =
        (Kept::at(stack, &place, name, old.as_deref())?, Kept::at(stack, &place, name, new.as_deref())?);
    if source.place() == target.place() {
        return Err(Diagnostic::error(format!("the state is in {} already", target.place()))
            .hint("name another place with --to, or the old one with --from")
            .into());
    }
    // What [state] is to say, or would say if it did.
    let word = new.clone().unwrap_or_else(|| usual(&stack.file).to_owned());
    // Before anything is made: what cannot be carried over.
    let read = |kept: &Kept| kept.read_as_it_is(terminal).map_err(|error| refused(&error));
    migrate::step(&read(&source)?, &read(&target)?, &word)?;
    let opening =
        Opening { lock_timeout: None, vars, command: "stackwright state migrate", terminal, even_departed: true };
    wall_clock_runtime()?.block_on(async {
        let mut from = source.open(&opening).await?;
        let moved = match target.open(&opening).await {
            Ok(mut to) => {
                let moved = carry(from.as_mut(), to.as_mut(), (&source, &target), &word, terminal).await;
                to.close().await;
                moved
            }
            Err(said) => Err(said),
        };
        from.close().await;
        moved
    })?;
    if says.as_deref() != new.as_deref() {
        terminal.say(&format!("Now set `backend = \"{word}\"` in [state] of {}.", stack.file.display()));
    }
    Ok(())
}

/// What `[state] backend` would say of the place where state is kept unless it says otherwise.
fn usual(file: &Path) -> &'static str {
    let parent = file.parent().and_then(Path::file_name);
    if parent.is_some_and(|name| name == "stacks") { "../state" } else { "state" }
}

async fn carry(
    from: &mut dyn Session,
    to: &mut dyn Session,
    (source, target): (&Kept, &Kept),
    word: &str,
    terminal: &Terminal,
) -> Result<(), Diagnostics> {
    let old = from.state().clone();
    let step = migrate::step(&old, to.state(), word)?;
    if step == Step::Nothing {
        terminal.say(&format!("Nothing to do: the state is in {} already.", target.place()));
        return Ok(());
    }
    if step == Step::Copy {
        migrate::copy(&old, to).await.map_err(|error| refused(&error))?;
    }
    let read = target.read_back().await.map_err(|error| refused(&error))?;
    migrate::verify(&old, &read, word)?;
    migrate::depart(from, word).await.map_err(|error| refused(&error))?;
    terminal.say(&format!(
        "Migrated: {}, serial {}, are kept in {} now. The old copy says so to every run that still uses it. The \
         history until now stays in {}.",
        count(read.resources.len(), "resource"),
        read.serial,
        target.place(),
        source.place()
    ));
    Ok(())
}
