//! The probe: asks for one machine of each sort that a plan wants, to see whether there is one, and removes it again.
//!
//! What is asked for is the provider's; here is the order, the waiting, and that nothing stays: what would not go is said,
//! is met again by the next probe, found by `reap` and by the audit, and removed by the platform itself after a while.

use std::time::Duration;

use crate::backend::{BackendError, Session};
use crate::cost;
use crate::engine::retry::{Delays, is_retryable};
use crate::ops::platforms::Platforms;
use crate::ops::{apply, preview};
use crate::plan::model::{Action, Plan};
use crate::platform::preflight::{Begun, Check, Topic, Trial, Verdict, Wanted};
use crate::resource::driver::Ownership;
use crate::resource::error::{ErrorClass, ProviderError};

/// Between two looks at an operation.
const PAUSE: Duration = Duration::from_secs(2);
/// A machine comes or is refused within seconds; nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(180);
/// A removal is tried so often.
const TRIES: usize = 6;
/// A machine costs at most this long, in hours: then the platform removes it.
const AT_MOST_HOURS: f64 = 1.0 / 6.0;

/// What a plan would try: pools that it makes, with the cluster that they are in.
pub fn trials(platforms: &Platforms, plan: &Plan, owner: &Ownership) -> Vec<Trial> {
    let made = |action| matches!(action, Action::Create | Action::Replace);
    let wanted = plan.changes.iter().filter_map(|change| {
        let attrs = change.after.as_deref().filter(|_| change.kind.starts_with("gke."))?;
        let pool_to_be = change.kind == "gke.node_pool" && made(change.action);
        (pool_to_be || change.kind == "gke.cluster").then(|| Wanted {
            address: change.address.clone(),
            kind: change.kind.clone(),
            attrs: attrs.clone(),
            present: None,
        })
    });
    platforms.preflight.trials(&wanted.collect::<Vec<_>>(), owner, platforms.clock.now())
}

/// What the trials cost at most, in US dollars; `None` where a price is missing.
pub fn price(trials: &[Trial]) -> Option<f64> {
    trials.iter().map(|trial| cost::residual(&trial.billed)).sum::<Option<f64>>().map(|hour| hour * AT_MOST_HOURS)
}

/// Whose the machines are. A stack that was never applied gets its id first, so that what a killed run leaves carries it.
///
/// # Errors
/// When the state cannot be written.
pub async fn owner(platforms: &Platforms, session: &mut dyn Session, stack: &str) -> Result<Ownership, BackendError> {
    if session.state().is_new() {
        session.commit(vec![apply::begin(platforms)]).await?;
    }
    Ok(preview::ownership(platforms, session.state(), stack, None))
}

/// Tries all of it, one after the other.
pub async fn probe(platforms: &Platforms, trials: &[Trial]) -> Vec<Check> {
    let mut checks = Vec::new();
    for trial in trials {
        checks.push(one(platforms, trial).await);
    }
    checks.sort();
    checks
}

fn check(trial: &Trial, topic: Topic, verdict: Verdict, found: String, mend: Option<String>) -> Check {
    let wanted_by = vec![trial.address.to_string()];
    Check { topic, verdict, subject: trial.subject.clone(), found, mend, wanted_by }
}

async fn one(platforms: &Platforms, trial: &Trial) -> Check {
    let made = match begin(platforms, trial).await {
        Ok(Begun::There(said)) => return check(trial, Topic::Capacity, Verdict::Fine, said, None),
        Ok(Begun::Missing(said)) => return check(trial, Topic::Capacity, Verdict::Missing, said, None),
        Ok(Begun::Making(operation)) => wait(platforms, &operation).await,
        Err(error) => Err(error),
    };
    // Also where the answer did not come: the request may have arrived.
    let removed = end(platforms, trial).await;
    let found = match made {
        Ok(()) => check(trial, Topic::Capacity, Verdict::Fine, "one was made, and removed again".to_owned(), None),
        Err(error) if error.class == ErrorClass::StockOut => {
            check(trial, Topic::Capacity, Verdict::Missing, error.message, error.hint)
        }
        Err(error) if error.class == ErrorClass::Quota => {
            check(trial, Topic::Quota, Verdict::Missing, error.message, error.hint)
        }
        Err(error) => check(trial, Topic::Capacity, Verdict::Unknown, error.message, error.hint),
    };
    match removed {
        Ok(()) => found,
        Err(error) => {
            let Trial { project, zone, name, .. } = trial;
            let text = format!("the machine that was made to see it would not go: {}", error.message);
            let mend = format!("gcloud compute instances delete {name} --zone {zone} --project {project}");
            check(trial, Topic::Capacity, Verdict::Unknown, text, Some(mend))
        }
    }
}

/// Begins a trial; what an earlier run has left is removed first.
async fn begin(platforms: &Platforms, trial: &Trial) -> Result<Begun, ProviderError> {
    let mut delays = Delays::new();
    for attempt in 1.. {
        match platforms.preflight.begin(trial).await {
            Err(error) if error.class == ErrorClass::AlreadyExists && attempt < TRIES => end(platforms, trial).await?,
            Err(error) if is_retryable(error.class) && attempt < TRIES => {
                platforms.clock.sleep(delays.next(&error)).await;
            }
            answer => return answer,
        }
    }
    Err(ProviderError::new(ErrorClass::Unavailable, "it could not be tried"))
}

async fn wait(platforms: &Platforms, operation: &str) -> Result<(), ProviderError> {
    let begun = platforms.clock.now();
    loop {
        match platforms.preflight.is_over(operation).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // A look that fails says nothing of the operation.
            Err(error) if matches!(error.class, ErrorClass::Unavailable | ErrorClass::RateLimited) => {}
            Err(error) => return Err(error),
        }
        if platforms.clock.now().since(begun) > PATIENCE {
            let text = format!("no answer within {} s", PATIENCE.as_secs());
            return Err(ProviderError::new(ErrorClass::Unavailable, text));
        }
        platforms.clock.sleep(PAUSE).await;
    }
}

/// Removes the machine, and waits until it is gone: what still runs counts towards the quota of what comes next.
async fn end(platforms: &Platforms, trial: &Trial) -> Result<(), ProviderError> {
    if trial.request.is_none() {
        return Ok(());
    }
    let mut delays = Delays::new();
    for attempt in 1.. {
        let removed = match platforms.preflight.end(trial).await {
            Ok(Some(operation)) => wait(platforms, &operation).await,
            Ok(None) => return Ok(()),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if is_retryable(error.class) && attempt < TRIES => {
                platforms.clock.sleep(delays.next(&error)).await;
            }
            answer => return answer,
        }
    }
    Ok(())
}
