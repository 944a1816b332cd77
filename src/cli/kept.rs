//! Where a stack's state is kept: a folder, or an object store that others share. Which, the stack says; in a
//! simulated place it is always the world's folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::local::{LocalBackend, LocalSession};
use crate::backend::remote::lease::Process;
use crate::backend::remote::{Me, RemoteBackend};
use crate::backend::{BackendError, Session, bucket};
use crate::cli::args::StackArgs;
use crate::cli::reach::{Place, wall_clock_runtime};
use crate::cli::run::refused;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::clock::WallClock;
use crate::env::disk::RealDisk;
use crate::env::process;
use crate::env::random::{Random, SystemRandom};
use crate::env::vars::Vars;
use crate::ops::layout;
use crate::stack::Stack;
use crate::state::model::State;

/// A backend.
pub(super) enum Kept {
    Local(LocalBackend),
    Remote(RemoteBackend),
}

impl Kept {
    /// The state of a stack in a place.
    pub(super) fn of(args: &StackArgs, place: &Place, stack: &Stack) -> Result<Self, Diagnostics> {
        let name = stack.name.value.to_string();
        let backend = stack.state.as_ref().and_then(|state| state.backend.as_ref()).map(|url| url.value.to_string());
        let local = |directory: &Path| Kept::Local(LocalBackend::new(Arc::new(RealDisk), directory, &name));
        Ok(match backend {
            Some(url) if !place.is_simulated() && url.contains("://") => {
                let store = bucket::open(&format!("{}/{name}", url.trim_end_matches('/'))).map_err(|why| {
                    Diagnostics::from(
                        Diagnostic::error(format!("the state at {url} cannot be reached"))
                            .detail(why)
                            .hint("check the address in [state], and that this machine is logged in"),
                    )
                })?;
                let spill = layout::state(&args.file, None, &name).join("unpushed");
                let clock = Arc::new(WallClock::new());
                Kept::Remote(RemoteBackend::new(store, clock, &name, Arc::new(RealDisk), spill, process::is_alive))
            }
            Some(folder) if !place.is_simulated() => {
                local(&args.file.parent().unwrap_or(Path::new("")).join(folder).join(&name))
            }
            _ => local(&layout::state(&args.file, place.world(), &name)),
        })
    }

    /// Reads the state without taking it. Not inside a runtime.
    pub(super) fn read(&self, terminal: &Terminal) -> Result<State, Diagnostics> {
        match self {
            Kept::Local(backend) => {
                let (state, note) = backend.inspect().map_err(|error| refused(&error))?;
                if let Some(note) = note {
                    terminal.say(&terminal.err.yellow(&format!("Note: {note}")));
                }
                Ok(state)
            }
            Kept::Remote(backend) => {
                let loaded = wall_clock_runtime()?.block_on(backend.read()).map_err(|error| refused(&error))?;
                Ok(loaded.state)
            }
        }
    }

    /// Takes the state of a folder, before anything else is begun; `None` for a store, which is taken by
    /// [`Kept::open`]: its lease is renewed while the run goes on.
    pub(super) fn open_folder(&self, opening: &Opening<'_>) -> Result<Option<Box<dyn Session>>, Diagnostics> {
        let Kept::Local(backend) = self else { return Ok(None) };
        let limit = opening.limit()?;
        let session = wait(backend, opening, limit).map_err(|error| refused(&error))?;
        opening.tell(&session);
        Ok(Some(Box::new(session)))
    }

    /// Takes the state for writing, waiting for another run as long as the user allows.
    pub(super) async fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Session>, Diagnostics> {
        let Kept::Remote(backend) = self else {
            let session = self.open_folder(opening)?;
            return Ok(session.expect("what is not in a store is in a folder"));
        };
        let limit = opening.limit()?;
        let me = me(opening.vars, opening.command);
        let session = backend.open(&me, limit, &|holder| opening.wait_for(holder)).await;
        let session = session.map_err(|error| refused(&error))?;
        opening.tell(&session);
        Ok(Box::new(session))
    }
}

/// How the state is taken, and who is told.
pub(super) struct Opening<'a> {
    pub lock_timeout: Option<&'a str>,
    pub vars: &'a dyn Vars,
    /// The command, for the message that somebody else will read.
    pub command: &'a str,
    pub terminal: &'a Terminal,
}

impl Opening<'_> {
    fn limit(&self) -> Result<Duration, Diagnostics> {
        let Some(text) = self.lock_timeout else { return Ok(Duration::ZERO) };
        crate::stack::parse_duration(text).ok_or_else(|| {
            let diagnostic = Diagnostic::error(format!("--lock-timeout {text} is not a duration"));
            Diagnostics::from(diagnostic.hint("write 30s, 5m or 1h"))
        })
    }

    fn wait_for(&self, holder: &str) {
        self.terminal.say(&format!("Waiting for the state, which is locked by {holder}"));
    }

    fn tell(&self, session: &dyn Session) {
        let yellow = |note: &String| self.terminal.err.yellow(&format!("Note: {note}"));
        session.notes().iter().for_each(|note| self.terminal.say(&yellow(note)));
    }
}

/// Waits in real time: nothing else goes on in this process, and another process knows no other time.
fn wait(backend: &LocalBackend, opening: &Opening<'_>, limit: Duration) -> Result<LocalSession, BackendError> {
    let begun = WallClock::real_now();
    let me = layout::holder(opening.vars, opening.command, begun);
    let mut said = false;
    loop {
        match backend.open(&me) {
            Err(BackendError::Locked { holder, .. }) if WallClock::real_now().since(begun) < limit => {
                if !said {
                    opening.wait_for(&holder);
                    said = true;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            outcome => return outcome,
        }
    }
}

/// Who this run is to others.
pub(super) fn me(vars: &dyn Vars, command: &str) -> Me {
    Me {
        run: SystemRandom.hex(8),
        holder: layout::holder(vars, command, WallClock::real_now()),
        // Without a realm a dead holder is waited for like a silent one.
        process: process::realm().map(|realm| Process { realm, pid: std::process::id() }),
    }
}
