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
use crate::state::history::{self, Chapter};
use crate::state::model::State;

/// A backend.
pub(super) enum Kept {
    Local(LocalBackend),
    Remote(RemoteBackend),
}

impl Kept {
    /// The state of a stack in a place.
    pub(super) fn of(args: &StackArgs, place: &Place, stack: &Stack) -> Result<Self, Diagnostics> {
        Kept::at(args, place, &stack.name.value, backend(stack).as_deref())
    }

    /// The state of a stack in a place, where `[state] backend` were this.
    pub(super) fn at(args: &StackArgs, place: &Place, name: &str, backend: Option<&str>) -> Result<Self, Diagnostics> {
        Kept::beside(&args.file, place, name, backend)
    }

    /// The state of the stack of that name, of which no more is known than where its file would be.
    pub(super) fn beside(file: &Path, place: &Place, name: &str, backend: Option<&str>) -> Result<Self, Diagnostics> {
        let local = |directory: &Path| Kept::Local(LocalBackend::new(Arc::new(RealDisk), directory, name));
        Ok(match backend {
            Some(url) if !place.is_simulated() && url.contains("://") => {
                let store = bucket::open(&format!("{}/{name}", url.trim_end_matches('/'))).map_err(|why| {
                    Diagnostics::from(
                        Diagnostic::error(format!("the state at {url} cannot be reached"))
                            .detail(why)
                            .hint("check the address in [state], and that this machine is logged in"),
                    )
                })?;
                let spill = layout::state(file, None, name).join("unpushed");
                let clock = Arc::new(WallClock::new());
                Kept::Remote(RemoteBackend::new(store, clock, name, Arc::new(RealDisk), spill, process::is_alive))
            }
            Some(folder) if !place.is_simulated() => {
                local(&file.parent().unwrap_or(Path::new("")).join(folder).join(name))
            }
            _ => local(&layout::state(file, place.world(), name)),
        })
    }

    /// Where it is.
    pub(super) fn place(&self) -> String {
        match self {
            Kept::Local(backend) => backend.directory().display().to_string(),
            Kept::Remote(backend) => backend.place(),
        }
    }

    /// Reads the state without taking it. Not inside a runtime.
    pub(super) fn read(&self, terminal: &Terminal) -> Result<State, Diagnostics> {
        let state = self.read_as_it_is(terminal).map_err(|error| refused(&error))?;
        self.stays(state).map_err(|error| refused(&error))
    }

    /// Reads the state without taking it, even where it says that it is kept elsewhere now. Not inside a runtime.
    pub(super) fn read_as_it_is(&self, terminal: &Terminal) -> Result<State, BackendError> {
        match self {
            Kept::Local(backend) => {
                let (state, note) = backend.inspect()?;
                if let Some(note) = note {
                    terminal.say(&terminal.err.yellow(&format!("Note: {note}")));
                }
                Ok(state)
            }
            Kept::Remote(backend) => {
                let runtime = wall_clock_runtime().map_err(|Diagnostics(said)| BackendError::Storage {
                    what: "read",
                    place: backend.place(),
                    error: std::io::Error::other(said.first().map(|d| d.summary.clone()).unwrap_or_default()),
                })?;
                runtime.block_on(backend.read()).map(|loaded| loaded.state)
            }
        }
    }

    /// Reads the state once more, while a session is open.
    pub(super) async fn read_back(&self) -> Result<State, BackendError> {
        match self {
            Kept::Local(backend) => backend.read(),
            Kept::Remote(backend) => backend.read().await.map(|loaded| loaded.state),
        }
    }

    /// Everything that can be read of what the state was. Not inside a runtime.
    pub(super) fn chapters(&self) -> Result<Vec<Chapter>, Diagnostics> {
        match self {
            Kept::Local(backend) => backend.chapters(),
            Kept::Remote(backend) => wall_clock_runtime()?.block_on(backend.chapters()),
        }
        .map_err(|error| refused(&error))
    }

    /// The last state that can be read, for one that is damaged; nothing where there is none. Not inside a runtime.
    pub(super) fn remains(&self, stack: &str) -> Result<State, Diagnostics> {
        Ok(history::last(&self.chapters()?).unwrap_or_else(|| State::empty(stack)))
    }

    /// Puts a state in the place of one that cannot be read; says where that is kept.
    pub(super) async fn repair(&self, opening: &Opening<'_>, state: &State) -> Result<(), Diagnostics> {
        match self {
            Kept::Local(backend) => {
                let holder = layout::holder(opening.vars, opening.command, WallClock::real_now());
                let aside = backend.repair(&holder, state).map_err(|error| refused(&error))?;
                for path in aside {
                    opening.terminal.say(&format!("What could not be read is kept as {}.", path.display()));
                }
                Ok(())
            }
            Kept::Remote(backend) => {
                let repaired = backend.repair(&me(opening.vars, opening.command), state).await;
                repaired.map_err(|error| refused(&error))
            }
        }
    }

    fn stays(&self, state: State) -> Result<State, BackendError> {
        match state.departed {
            Some(to) => Err(BackendError::Departed { place: self.place(), to }),
            None => Ok(state),
        }
    }

    /// Takes the state of a folder, before anything else is begun; `None` for a store, which is taken by
    /// [`Kept::open`]: its lease is renewed while the run goes on.
    pub(super) fn open_folder(&self, opening: &Opening<'_>) -> Result<Option<Box<dyn Session>>, Diagnostics> {
        let Kept::Local(backend) = self else { return Ok(None) };
        let limit = opening.limit()?;
        let session = wait(backend, opening, limit).map_err(|error| refused(&error))?;
        opening.tell(&session);
        self.admits(session.state(), opening).map_err(|error| refused(&error))?;
        Ok(Some(Box::new(session)))
    }

    fn admits(&self, state: &State, opening: &Opening<'_>) -> Result<(), BackendError> {
        match &state.departed {
            Some(to) if !opening.even_departed => Err(BackendError::Departed { place: self.place(), to: to.clone() }),
            _ => Ok(()),
        }
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
        let mut session = session.map_err(|error| refused(&error))?;
        opening.tell(&session);
        if let Err(error) = self.admits(session.state(), opening) {
            session.close().await;
            return Err(refused(&error));
        }
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
    /// Also where it says that it is kept elsewhere now.
    pub even_departed: bool,
}

/// What a stack says about where its state is kept.
pub(super) fn backend(stack: &Stack) -> Option<String> {
    stack.state.as_ref().and_then(|state| state.backend.as_ref()).map(|url| url.value.to_string())
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
