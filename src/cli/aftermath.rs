//! After a run that has failed: what it failed with is kept for `diagnose`, and the most likely cause ends its message.
//! Looks for a few seconds at most: the failure itself must not wait for its explanation.

use std::time::Duration;

use crate::cli::receipt::Looking;
use crate::cli::source::Wanted;
use crate::diagnosis::causes;
use crate::env::clock::timeout;
use crate::env::disk::{Disk, RealDisk};
use crate::ops::apply::Applied;
use crate::ops::diagnose::failures::{self, LastFailure};
use crate::ops::diagnose::mask::Mask;
use crate::ops::diagnose::{Question, collect, known};
use crate::ops::layout;
use crate::state::model::State;
use crate::ui::diagnose_text;

/// A single look.
const PATIENCE: Duration = Duration::from_secs(8);
/// All of them.
const LIMIT: Duration = Duration::from_secs(20);

/// Keeps what a run has failed with, or forgets what an earlier one has.
fn keep(looking: &Looking<'_>, stack: &str, failures: &[LastFailure]) {
    let path = layout::failures(&looking.job.stack.file, looking.place.world(), stack);
    let kept = match failures.is_empty() {
        true if RealDisk.stat(&path).is_err() => Ok(()),
        true => RealDisk.remove(&path),
        false => RealDisk.write(&path, &failures::encode(failures)),
    };
    if let Err(error) = kept {
        tracing::info!(%error, "what the run failed with was not kept");
    }
}

/// Says why, where a run has failed.
pub(super) async fn tell(looking: &Looking<'_>, applied: &Applied, wanted: &Wanted, state: &State) {
    let mut failures = failures::of(applied, looking.platforms.clock.now());
    // Programs say what they know before they end.
    let mask = Mask::of(&wanted.secrets);
    failures.iter_mut().flat_map(|failure| &mut failure.causes).for_each(|cause| *cause = mask.text(cause));
    keep(looking, &looking.plan.stack, &failures);
    let job = looking.job;
    if failures.is_empty() || job.destroy {
        return;
    }
    let again = format!("{}{}", job.stack.file.display(), job.stack.place.again());
    let question = Question {
        desired: &wanted.desired,
        state,
        unreadable: None,
        holder: None,
        failures: &failures,
        secrets: &wanted.secrets,
        again: again.clone(),
        patience: PATIENCE,
    };
    let facts = match timeout(&*looking.platforms.clock, LIMIT, collect(looking.platforms, &question)).await {
        Ok((facts, _)) => facts,
        Err(_) => known(looking.platforms, &question),
    };
    let terminal = looking.terminal;
    match (causes(&facts).first(), &terminal.lines) {
        (Some(cause), Some(lines)) => lines.cause(cause),
        (Some(cause), None) => terminal.say(&diagnose_text::first(cause, &again, terminal.err)),
        (None, _) => terminal.say(&format!("\nFor what else is known: stackwright diagnose {again}")),
    }
}
