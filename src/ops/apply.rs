//! Carrying a plan out, from the lock to the last proof.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::address::{Address, Identity};
use crate::backend::{BackendError, Session};
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::dispatcher::{self, Interrupt, Run, Summary};
use crate::engine::worker::Failure;
use crate::event::Sink;
use crate::ops::places;
use crate::ops::platforms::Platforms;
use crate::ops::preview::ownership;
use crate::ops::prove::prove;
use crate::plan::model::{Drift, Pause, Plan};
use crate::platform::Completion;
use crate::resource::kind::Observed;
use crate::state::model::Intent;
use crate::state::transition::Transition;
use crate::value::{Reference, Scope, Value};

/// What to carry out, and how.
pub struct Apply<'a> {
    /// The approved plan.
    pub plan: &'a Plan,
    /// What was there when it was made.
    pub observed: BTreeMap<Identity, Observed>,
    /// Values of the secret inputs.
    pub secrets: BTreeMap<String, String>,
    /// From now until `reap` may take the stack away.
    pub ttl: Option<Duration>,
    /// Calls under way at any time.
    pub parallelism: usize,
    /// Who watches.
    pub sink: Arc<dyn Sink>,
    /// Ctrl-C.
    pub interrupt: watch::Receiver<Interrupt>,
    /// See [`Run::shuffle`].
    pub shuffle: Option<u64>,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Applied {
    /// Of the resources.
    pub summary: Summary,
    /// The stack's outputs now; sensitive ones are left out.
    pub outputs: BTreeMap<String, Value>,
    /// Answers of the models, by component.
    pub completions: Vec<(String, Completion)>,
    /// Models that did not answer.
    pub unproved: Vec<(String, Failure)>,
    /// Resources whose drift was taken note of.
    pub noted: usize,
    /// From the first change to the last proof.
    pub elapsed: Duration,
}

impl Applied {
    /// Whether everything was done and proved.
    pub fn is_complete(&self) -> bool {
        self.summary.is_complete() && self.unproved.is_empty()
    }
}

/// A plan that may not be carried out any more.
pub fn check_basis(plan: &Plan, session: &dyn Session) -> Result<(), Diagnostics> {
    let state = session.state();
    if plan.basis.lineage != state.lineage || plan.basis.serial != state.serial {
        return Err(Diagnostic::error("the saved plan is stale")
            .detail(format!(
                "It was made from serial {} of the state, which is at serial {} now: something was applied since.",
                plan.basis.serial, state.serial
            ))
            .hint("make a new plan and review it")
            .into());
    }
    Ok(())
}

/// What the end of a run may refer to. Secrets are for proofs alone; outputs are stored.
struct Outputs<'a> {
    known: &'a BTreeMap<Address, Value>,
    secrets: Option<&'a BTreeMap<String, String>>,
}

impl Scope for Outputs<'_> {
    fn output(&self, reference: &Reference) -> Option<Value> {
        self.known.get(&reference.address)?.at(&reference.path).cloned()
    }

    fn secret(&self, input: &str) -> Option<String> {
        self.secrets?.get(input).cloned()
    }
}

/// The first transition of a history.
pub(super) fn begin(platforms: &Platforms) -> Transition {
    Transition::Begin { lineage: platforms.random.uuid(), stack_id: platforms.random.hex(8) }
}

/// How many nodes the pools have that a pause empties.
fn sizes(plan: &Plan, observed: &BTreeMap<Identity, Observed>) -> BTreeMap<Identity, i64> {
    let identities = plan.changes.iter().filter(|change| change.action.acts()).map(|change| change.address.identity());
    let sized = identities.filter_map(|identity| {
        let nodes = observed.get(&identity)?.attrs.get("nodes")?.as_int()?;
        Some((identity, nodes))
    });
    sized.collect()
}

/// What the state keeps of drift.
fn noted(drift: &Drift) -> Transition {
    let identity = drift.address.identity();
    match &drift.seen {
        Some(record) => Transition::Seen { identity, record: record.clone() },
        None => Transition::Gone(identity),
    }
}

/// Carries the plan out.
///
/// # Errors
/// When the state cannot be written; everything else is in the result.
pub async fn apply(
    platforms: &Platforms,
    session: &mut dyn Session,
    apply: Apply<'_>,
) -> Result<Applied, BackendError> {
    let plan = apply.plan;
    let begun = platforms.clock.now();
    let mut opening = Vec::new();
    if session.state().is_new() {
        opening.push(begin(platforms));
    }
    opening.extend(places::opening(plan, session.state()));
    if let Some(target) = plan.basis.target.as_ref().filter(|t| session.state().target.as_ref() != Some(t)) {
        opening.push(Transition::Bind(target.clone()));
    }
    if plan.pause == Pause::Pauses {
        // Before the first node goes: whatever becomes of this run, empty pools are meant.
        opening.push(Transition::Paused { at: begun.0, sizes: sizes(plan, &apply.observed) });
    }
    // A state that has a key is planned with no other; see `cli::run`.
    if let Some(key) = plan.basis.key.as_ref().filter(|_| session.state().key.is_none()) {
        opening.push(Transition::Keyed(key.clone()));
    }
    session.commit(opening).await?;
    if plan.refresh_only {
        session.commit(plan.drift.iter().map(noted).collect()).await?;
        session.compact().await?;
        return Ok(Applied { noted: plan.drift.len(), ..Applied::default() });
    }
    let secrets = apply.secrets.clone();
    let run = Run {
        kinds: dispatcher::shared_kinds(&platforms.kinds),
        drivers: &platforms.drivers,
        clock: platforms.clock.clone(),
        sink: apply.sink.clone(),
        ownership: ownership(platforms, session.state(), &plan.stack, apply.ttl),
        observed: apply.observed,
        secrets: apply.secrets,
        parallelism: apply.parallelism,
        interrupt: apply.interrupt,
        shuffle: apply.shuffle,
    };
    let summary = dispatcher::run(plan, session, run).await?;
    if let Some(settled) = places::settled(plan, session.state()) {
        session.commit(vec![settled]).await?;
    }
    let mut applied = Applied { summary, ..Applied::default() };
    let mut took = applied.summary.took.clone();
    if matches!(plan.pause, Pause::Pauses | Pause::Resumes) {
        // How long nodes take to go or to come says nothing of other changes.
        took.values_mut().for_each(|times| times.retain(|intent, _| *intent != Intent::Update));
        took.retain(|_, times| !times.is_empty());
    }
    if !took.is_empty() {
        session.commit(vec![Transition::Took(took)]).await?;
    }
    let over = plan.pause == Pause::Resumes || (plan.destroy && !plan.partial);
    if applied.summary.is_complete() && over && session.state().paused.is_some() {
        session.commit(vec![Transition::Resumed]).await?;
    }
    // What is nowhere any more begins with its first location again.
    let gone = plan.destroy && !plan.partial && plan.placement.is_none();
    if applied.summary.is_complete() && gone && session.state().placing.is_some() {
        session.commit(vec![Transition::Unplaced]).await?;
    }
    let scope = Outputs { known: &applied.summary.outputs, secrets: None };
    if applied.summary.is_complete() {
        for (name, output) in plan.outputs.iter().filter(|(_, output)| !output.sensitive) {
            if let Some(value) = output.after.as_ref().and_then(|after| after.resolve(&scope).ok()) {
                applied.outputs.insert(name.clone(), value);
            }
        }
        if !plan.partial && applied.outputs != session.state().outputs {
            session.commit(vec![Transition::Outputs(applied.outputs.clone())]).await?;
        }
        for proof in plan.proofs.iter().filter(|_| !plan.partial) {
            let scope = Outputs { secrets: Some(&secrets), ..scope };
            match prove(platforms, proof, &scope, &apply.sink).await {
                Ok(completion) => applied.completions.push((proof.component.clone(), completion)),
                Err(error) => applied.unproved.push((proof.component.clone(), error.into())),
            }
        }
    }
    session.compact().await?;
    applied.elapsed = platforms.clock.now().since(begun);
    Ok(applied)
}
