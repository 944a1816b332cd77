//! What every command that plans has in common: the lock, the secrets' digests, the interrupt.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::sync::watch;

use crate::address::Address;
use crate::backend::{BackendError, Session, Unpushed};
use crate::catalog;
use crate::cli::args::{SelectionArgs, StackArgs};
use crate::cli::reach::Place;
use crate::cli::source::Wanted;
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::dispatcher::Interrupt;
use crate::env::disk::RealDisk;
use crate::env::process;
use crate::env::random::SystemRandom;
use crate::env::vars::Vars;
use crate::ops::layout;
use crate::ops::marks;
use crate::ops::platforms::Platforms;
use crate::plan::file;
use crate::plan::model::Plan;
use crate::plan::pause::Pausing;
use crate::plan::planner::Options;
use crate::state::codec::DecodeError;
use crate::state::key::Key;
use crate::state::model::State;

/// A backend's refusal with the ways out.
pub(super) fn refused(error: &BackendError) -> Diagnostics {
    let diagnostic = Diagnostic::error(error.to_string());
    let diagnostic = match error {
        BackendError::Locked { .. } => diagnostic
            .detail("Two runs at once would undo each other.")
            .hint("wait until it is over, or use --lock-timeout 10m"),
        BackendError::Damaged { error: DecodeError::Newer { .. } | DecodeError::Unknown { .. }, .. } => diagnostic
            .detail("Nothing was changed, and nothing is wrong with the state.")
            .hint("use the stackwright that wrote it, or a newer one"),
        BackendError::Damaged { .. } => {
            diagnostic.detail("Nothing was changed. What the stack made is still there and carries its labels.").hint(
                "`stackwright history list` shows what can still be read and `history restore` brings it back; \
                 `stackwright state rebuild` makes the state again from what is there",
            )
        }
        BackendError::Departed { to, .. } => diagnostic
            .detail("This copy is history: what was done since is recorded there alone. Nothing was changed.")
            .hint(format!("set `backend = \"{to}\"` in [state] of the stack file")),
        BackendError::Storage { place, .. } if place.contains("://") => diagnostic
            .hint("check the network, the address in [state] and the login for it, then run the same command again"),
        BackendError::Storage { .. } => {
            diagnostic.hint("make room and check the permissions of the state folder, then run the command again")
        }
        BackendError::Overtaken { .. } | BackendError::Expired { .. } => diagnostic
            .detail("This run has stopped. What it had begun is recorded as begun, or beside the stack as unpushed.")
            .hint("run the same command again: it settles what was begun by looking at what is there"),
        BackendError::OtherStack { .. } => diagnostic.hint("check the name in the stack file"),
        BackendError::Illegal(_) => {
            diagnostic.hint("this is a defect of stackwright; please report it with the command")
        }
    };
    diagnostic.into()
}

/// Why a run has stopped in its middle, and what it leaves.
pub(super) fn stopped(error: &BackendError, session: &dyn Session) -> Diagnostics {
    let Diagnostics(mut said) = refused(error);
    let Some(Unpushed { records, place, error }) = session.unpushed() else { return Diagnostics(said) };
    let (records, are) =
        if records == 1 { ("1 record".to_owned(), "is") } else { (format!("{records} records"), "are") };
    if let Some(first) = said.first_mut() {
        first.detail = match error {
            None => format!(
                "This run has stopped. {records} of what it did could not be written there and {are} kept in {place}."
            ),
            Some(error) => format!(
                "This run has stopped. {records} of what it did could not be written there, nor in {place}: {error}."
            ),
        };
        first.hint = Some(
            "run the same command again from here once it answers: that writes them there and goes on from what is there"
                .to_owned(),
        );
    }
    Diagnostics(said)
}

/// Which key a run's digests are made with.
pub(super) struct Keyring<'a> {
    pub args: &'a StackArgs,
    pub place: &'a Place,
    pub vars: &'a dyn Vars,
    /// One is made where there is none, if there are secrets: for runs that record or save what they were.
    pub create: bool,
    /// What is recorded is not asked, or made anew: where its key is not here, another will do.
    pub any: bool,
}

impl Keyring<'_> {
    /// The key that the state's digests were made with, or for a state without any, the stack's file or what is in the
    /// environment. Without a key there are no digests, and nothing to compare with.
    ///
    /// # Errors
    /// When the state was made with a key that is not here: everything would seem to have changed.
    pub(super) fn key(&self, wanted: &Wanted, state: &State) -> Result<Option<Key>, Diagnostics> {
        let beside = layout::state(&self.args.file, self.place.world(), &wanted.desired.stack);
        let unusable = |error: std::io::Error| unusable_key(&error);
        let given = layout::given_key(self.vars).map_err(unusable)?;
        let kept = layout::kept_key(&RealDisk, &beside).map_err(unusable)?;
        let none = given.is_none() && kept.is_none();
        if let Some(name) = &state.key {
            match kept.iter().chain(&given).find(|key| key.name() == *name) {
                Some(key) => return Ok(Some(key.clone())),
                None if self.any => {}
                None => return Err(lost_key(name, none, &beside, self.args).into()),
            }
        }
        match kept.or(given) {
            None if self.create && !wanted.secrets.is_empty() => {
                layout::make_key(&RealDisk, &SystemRandom, &beside).map(Some).map_err(unusable)
            }
            key => Ok(key),
        }
    }
}

/// Why a key is of no use.
pub(super) fn unusable_key(error: &std::io::Error) -> Diagnostics {
    Diagnostic::error("cannot use the stack key").detail(error.to_string()).hint("check the state folder").into()
}

fn lost_key(name: &str, none: bool, beside: &Path, args: &StackArgs) -> Diagnostic {
    let file = layout::key_file(beside);
    let what =
        if none { "the stack key is not here" } else { "the stack key is not the one that the state was made with" };
    Diagnostic::error(what)
        .detail(format!(
            "The state holds digests that are keyed with {name}; without that key every secret would seem to have \
             changed. Nothing was planned."
        ))
        .hint(format!(
            "bring {} back from where the stack was applied before, or set {} to what it holds \
             (\"base64:$(base64 < FILE)\"); if it is lost, `stackwright state rebuild {}{}` records what is there with \
             another",
            file.display(),
            layout::KEY_VARIABLE,
            args.file.display(),
            args.place.again(),
        ))
}

/// Keyed digests of the secrets that the stack uses, by name.
pub(super) fn digests(key: Option<&Key>, wanted: &Wanted) -> BTreeMap<String, String> {
    let Some(key) = key else { return BTreeMap::new() };
    wanted.secrets.iter().map(|(name, value)| (name.clone(), key.secret(name, value))).collect()
}

/// Refuses to plan what is there already and the state does not know: a state that is lost, or of another stack.
pub(super) async fn recognise(
    platforms: &Platforms,
    stack: &StackArgs,
    wanted: &Wanted,
    state: &State,
    options: &Options,
) -> Result<(), Diagnostics> {
    let alone = catalog::cluster_alone(&wanted.stack);
    // What is to go is not expanded; its cluster says whose it is all the same.
    let desired = if alone.resources.is_empty() { &wanted.desired } else { &alone };
    let again = format!("{}{}", stack.file.display(), stack.place.again());
    marks::recognise(platforms, desired, state, options, &again).await?;
    // Elsewhere, another stack's cluster of that name is no concern of this one before it goes there.
    for place in desired.places.iter().skip(1) {
        marks::recognise_own(platforms, &desired.at(&place.location), state, options, &again).await?;
    }
    Ok(())
}

/// The planner's options from flags.
pub(super) fn options(planning: &SelectionArgs, stack: &crate::stack::Stack, destroy: bool) -> Options {
    let addresses = |texts: &[String]| texts.iter().map(Address::new).collect();
    Options {
        destroy,
        targets: addresses(&planning.target),
        replace: addresses(&planning.replace),
        adopt: Vec::new(),
        force_conflicts: planning.force_conflicts,
        no_hooks: planning.no_hooks,
        abandon: Vec::new(),
        refresh_only: false,
        pausing: Pausing::AsItIs,
        moved: stack
            .moved
            .iter()
            .map(|moved| (Address::new(moved.from.value.to_string()), Address::new(moved.to.value.to_string())))
            .collect(),
    }
}

/// Turns Ctrl-C, SIGTERM and the end of the terminal into interrupts: the first finishes what is in flight, the second leaves.
pub(super) fn interrupts() -> watch::Receiver<Interrupt> {
    let (sender, receiver) = watch::channel(Interrupt::None);
    tokio::spawn(async move {
        loop {
            signalled().await;
            let next = match *sender.borrow() {
                Interrupt::None => Interrupt::Finish,
                Interrupt::Finish | Interrupt::Leave => Interrupt::Leave,
            };
            if sender.send(next).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(unix)]
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    // Under nohup, the end of the terminal is nothing to a run.
    let hangup = if process::ignores_hangup() { None } else { signal(SignalKind::hangup()).ok() };
    let hung_up = async {
        match hangup {
            Some(mut hangup) => hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hung_up => {}
            }
        }
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn signalled() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Whether a file that the user named is a saved plan.
pub(super) fn is_saved_plan(path: &Path) -> bool {
    use crate::env::disk::Disk;
    RealDisk.read(path).is_ok_and(|bytes| bytes.starts_with(b"stackwright plan "))
}

/// The saved plan that the user named.
///
/// # Errors
/// It cannot be read, or is not one.
pub(super) fn saved_plan(path: &Path) -> Result<Plan, Diagnostics> {
    use crate::env::disk::Disk;
    let bytes = RealDisk.read(path).unwrap_or_default();
    file::decode(&bytes)
        .map_err(|error| Diagnostic::error(format!("{}: {error}", path.display())).hint("make the plan again").into())
}
