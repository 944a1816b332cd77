//! `state rebuild`: the state made again from what carries the stack's labels, after a look at what it would be.

use crate::catalog;
use crate::cli::args::{BundleArgs, StackArgs};
use crate::cli::kept::{Kept, Opening};
use crate::cli::push::mendable;
use crate::cli::reach::{Place, with_platforms};
use crate::cli::terminal::Terminal;
use crate::cli::{run, source};
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::vars::Vars;
use crate::ops::platforms::Platforms;
use crate::ops::preview::Subject;
use crate::ops::rebuild::{self, Rebuilt};
use crate::plan::planner::Options;
use crate::provider;
use crate::state::key::Key;
use crate::state::model::State;
use crate::state::transition::Transition;
use crate::ui::rebuild_text::{self, Lists};

/// How to go about it.
pub(super) struct Rebuild<'a> {
    pub stack: &'a StackArgs,
    pub charts: &'a BundleArgs,
    pub stack_id: Option<&'a str>,
    pub lock_timeout: Option<&'a str>,
    pub auto_approve: bool,
}

pub(super) fn rebuild(args: &Rebuild<'_>, vars: &dyn Vars, terminal: &Terminal) -> Result<(), Diagnostics> {
    let stack = args.stack;
    let place = Place::of(&stack.place, &stack.file);
    let (synthesize, fetch) = (place.is_simulated(), place.fetches(terminal));
    source::renew_key(stack, vars, synthesize)?;
    let planned = source::planned(stack, args.charts, vars, synthesize, fetch, false)?;
    if let Some(wanted) = planned.known() {
        wanted.accept(terminal)?;
    }
    let kept = Kept::of(stack, &place, planned.stack())?;
    let name = planned.stack().name.value.to_string();
    let (current, damaged) = mendable(&kept, &name, terminal)?;
    if let Some(to) = &current.departed {
        let place = kept.place();
        return Err(run::refused(&crate::backend::BackendError::Departed { place, to: to.clone() }));
    }
    let command = "stackwright state rebuild";
    let opening = Opening { lock_timeout: args.lock_timeout, vars, command, terminal, even_departed: false };
    let folder = if damaged { None } else { kept.open_folder(&opening)? };
    with_platforms(&place, planned.site(), async |platforms| {
        let mut session = match folder {
            Some(session) => Some(session),
            None if damaged => None,
            None => Some(kept.open(&opening).await?),
        };
        let work = async {
            let options = Options::default();
            terminal.say(&terminal.err.dim("Looking for what carries the stack's labels..."));
            let alone = catalog::cluster_alone(planned.stack());
            let location = rebuild::location(&platforms, &alone).await?;
            let alone = location.as_ref().map_or_else(|| alone.clone(), |location| alone.at(location));
            // Where a kubeconfig leads to the cluster, charts can ask it before it is known whose its objects are.
            let early = match alone.resources.is_empty() {
                true => planned.look(&platforms, &rebuild::blank(&name, ""), &options, terminal).await?,
                false => None,
            };
            let objects = planned.known().or(early.as_ref()).filter(|_| alone.resources.is_empty());
            let marked = objects.map_or(&alone, |wanted| &wanted.desired);
            let id = rebuild::stack_id(&platforms, marked, args.stack_id).await?;
            let blank = rebuild::placed(&rebuild::blank(&name, &id), &alone, location.as_deref());
            let looked = match early {
                Some(wanted) => Some(wanted),
                None => planned.look(&platforms, &blank, &options, terminal).await?,
            };
            let wanted = planned.known().or(looked.as_ref()).expect("what is not known at once was looked up");
            // Every digest is made anew: the key may be another one than before.
            let keyring = run::Keyring { args: stack, place: &place, vars, create: true, any: true };
            let key = keyring.key(wanted, &current)?;
            let key_name = key.as_ref().map(Key::name);
            let secrets = run::digests(key.as_ref(), wanted);
            let platforms = Platforms { kinds: provider::kinds(key), ..platforms.clone() };
            let subject = Subject {
                desired: &wanted.desired,
                state: &blank,
                key: key_name.as_deref(),
                secrets: &secrets,
                found: &wanted.found,
                options: &options,
                ttl: wanted.ttl(),
                may_be_blind: false,
            };
            let mut rebuilt = rebuild::rebuild(&platforms, subject, &wanted.secrets).await?;
            let current = session.as_ref().map_or(&current, |session| session.state());
            adjust(&mut rebuilt.state, current, &platforms.random.uuid());
            terminal.print(&rebuild_text::rebuilt(&lists(&rebuilt), current, &rebuilt.state, terminal.out));
            if !damaged && rebuilt.state.agrees(current) {
                terminal.say("Nothing to do: the state says what is there.");
                return Ok(());
            }
            if !args.auto_approve && !approve(&platforms, terminal).await? {
                return Err(Diagnostic::error("cancelled: nothing was changed").into());
            }
            let state = rebuilt.state;
            match &mut session {
                Some(session) => {
                    let changed = session.commit(vec![Transition::Replaced(Box::new(state))]).await;
                    changed.map_err(|error| run::refused(&error))?;
                    session.compact().await.map_err(|error| run::refused(&error))?;
                }
                None => kept.repair(&opening, &state).await?,
            }
            terminal.say(&format!(
                "Rebuilt: the state of {name} is what is there. Run `stackwright plan` to see the rest."
            ));
            Ok(())
        };
        let outcome = work.await;
        if let Some(session) = &mut session {
            session.close().await;
        }
        outcome
    })
}

/// It goes on from what is there, where that is of the same stack id; otherwise it is a history of its own.
fn adjust(state: &mut State, current: &State, fresh: &str) {
    let same = current.stack_id == state.stack_id && !current.lineage.is_empty();
    state.lineage = if same { current.lineage.clone() } else { fresh.to_owned() };
    state.serial = current.serial.max(1);
    // No label says that a stack is paused.
    state.paused = current.paused.clone().filter(|_| same);
}

fn lists(rebuilt: &Rebuilt) -> Lists<'_> {
    Lists {
        found: &rebuilt.found,
        differing: &rebuilt.differing,
        missing: &rebuilt.missing,
        unclaimed: &rebuilt.unclaimed,
        anew: &rebuilt.anew,
        hooks: &rebuilt.hooks,
    }
}

async fn approve(platforms: &crate::ops::platforms::Platforms, terminal: &Terminal) -> Result<bool, Diagnostics> {
    if !terminal.interactive {
        return Err(Diagnostic::error("nobody is there to approve the state")
            .detail("Standard input is not a terminal. Nothing was changed.")
            .hint("read what is shown above, then use --auto-approve")
            .into());
    }
    // Waiting for a person must not let simulated time pass.
    let _busy = platforms.clock.busy();
    Ok(terminal
        .confirm("\nRecord this as the state of the stack?\n  What was recorded before stays in the history.")
        .await)
}
