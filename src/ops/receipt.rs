//! The receipt: looks for what clusters have left behind, sweeps it away where that is wanted, and says what it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;

use crate::backend::{BackendError, Session};
use crate::cost;
use crate::engine::dispatcher::Interrupt;
use crate::engine::retry::{Delays, is_retryable};
use crate::env::clock::Timestamp;
use crate::ops::capture;
use crate::ops::platforms::Platforms;
use crate::plan::model::{Action, Plan, Reason};
use crate::platform::audit::{Audit, Captured, Entry, Finding, Receipt, Removal, Unseen, Verdict};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::state::transition::Transition;

/// Looks with a hole are repeated: most holes are a moment's.
const LOOKS: usize = 4;
/// Between two looks at an operation.
const PAUSE: Duration = Duration::from_secs(2);
/// One thing is given this long to go; forwarding rules take a minute.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What a receipt is about.
#[derive(Clone, Debug, Default)]
pub struct Matter {
    /// The stack's name.
    pub stack: String,
    /// The stack's random id.
    pub stack_id: String,
    /// What clusters are known by.
    pub captured: Vec<Captured>,
    /// What the destroy removed, by kind.
    pub removed: BTreeMap<String, usize>,
    /// The platform's handles of what the user left where it is.
    pub abandoned: BTreeSet<String>,
    /// The platform's handles of what the state still has: what is there and stays is no residue.
    pub kept: BTreeSet<String>,
}

impl Matter {
    /// What there is to be looked for after `plan`, or without one.
    pub fn of(session: &dyn Session, plan: &Plan) -> Self {
        let state = session.state();
        let mut removed = BTreeMap::new();
        for change in plan.changes.iter().filter(|change| change.action == Action::Delete) {
            *removed.entry(change.kind.clone()).or_insert(0) += 1;
        }
        let abandoned = plan.changes.iter().filter(|change| change.reason == Reason::Abandoned);
        Matter {
            stack: state.stack.clone(),
            stack_id: state.stack_id.clone(),
            captured: capture::captured(&state.captured),
            removed,
            // One without a handle was left all the same.
            abandoned: abandoned.map(|change| change.id.clone().unwrap_or_default()).collect(),
            kept: state.resources.values().filter_map(|recorded| recorded.id.clone()).collect(),
        }
    }
}

/// A look, and the receipt that it makes.
#[derive(Debug, Default)]
pub struct Examined {
    /// What was seen.
    pub audit: Audit,
    /// What is to be said of it.
    pub receipt: Receipt,
}

/// Looks, and looks again where something could not be seen.
///
/// # Errors
/// When nothing could be looked at at all.
pub async fn examine(platforms: &Platforms, matter: &Matter) -> Result<Examined, ProviderError> {
    let mut delays = Delays::new();
    for look in 1.. {
        let error = match platforms.site.audit(&matter.stack_id, &matter.captured).await {
            Ok(audit) if audit.unseen.is_empty() || look >= LOOKS => return Ok(examined(platforms, matter, audit)),
            Ok(_) => ProviderError::new(ErrorClass::Unavailable, "some of it could not be seen"),
            Err(error) if !is_retryable(error.class) || look >= LOOKS => return Err(error),
            Err(error) => error,
        };
        platforms.clock.sleep(delays.next(&error)).await;
    }
    Err(ProviderError::new(ErrorClass::Unavailable, "nothing could be looked at"))
}

fn examined(platforms: &Platforms, matter: &Matter, audit: Audit) -> Examined {
    let on_purpose = |finding: &Finding| !finding.cluster.is_empty() && matter.abandoned.contains(&finding.cluster);
    // A cluster that replaces another carries the stack's mark and may carry the other's name.
    let stays = |finding: &Finding| audit.living.contains(&finding.cluster) && matter.kept.contains(&finding.cluster);
    let entry = |finding: &Finding| Entry { per_hour: cost::residual(&finding.billed), finding: finding.clone() };
    let (others, remaining): (Vec<_>, Vec<_>) = audit
        .findings
        .iter()
        .filter(|finding| !stays(finding))
        .map(entry)
        .partition(|entry| entry.finding.verdict == Verdict::Other || on_purpose(&entry.finding));
    let cluster = |cluster: &Captured| format!("{}/{} ({})", cluster.location, cluster.name, cluster.id);
    let receipt = Receipt {
        stack: matter.stack.clone(),
        stack_id: matter.stack_id.clone(),
        time: platforms.clock.now().rfc3339(),
        clusters: matter.captured.iter().map(cluster).collect(),
        removed: matter.removed.clone(),
        looked_for: audit.looked.iter().cloned().collect(),
        swept: Vec::new(),
        per_hour: remaining.iter().filter_map(|entry| entry.per_hour).sum(),
        price_is_complete: remaining.iter().all(|entry| entry.per_hour.is_some()) && audit.unseen.is_empty(),
        remaining,
        others,
        unknown: audit.unseen.clone(),
        abandoned: !matter.abandoned.is_empty(),
        goes_on: !matter.kept.is_empty(),
    };
    Examined { audit, receipt }
}

/// Removes what is proven ours, users before what they use, and looks again. What would not go is in the receipt.
///
/// # Errors
/// As [`examine`].
pub async fn sweep(
    platforms: &Platforms,
    session: &dyn Session,
    matter: &Matter,
    found: Examined,
    interrupt: &watch::Receiver<Interrupt>,
    say: &mut (dyn FnMut(&Finding) + Send),
) -> Result<Examined, ProviderError> {
    let mut proven = found.receipt.remaining.iter().map(|entry| &entry.finding);
    let mut proven = proven.by_ref().filter(|f| f.verdict == Verdict::Proven && f.order.is_some()).collect::<Vec<_>>();
    proven.sort_by_key(|finding| finding.order);
    let mut swept = Vec::new();
    let leash = session.leash();
    for finding in proven {
        let failed = if *interrupt.borrow() != Interrupt::None {
            Some("the run was interrupted".to_owned())
        } else if !leash.holds(platforms.clock.now()) {
            Some("the lease on the state has ended".to_owned())
        } else {
            say(finding);
            remove(platforms, finding).await.err().map(|error| error.message)
        };
        let Finding { kind, name, place, .. } = finding.clone();
        swept.push(Removal { kind, name, place, failed });
    }
    let mut after = examine(platforms, matter).await?;
    after.receipt.swept = swept;
    Ok(after)
}

/// Removes one thing and waits until it is gone.
///
/// # Errors
/// Why it would not go.
pub async fn remove(platforms: &Platforms, finding: &Finding) -> Result<(), ProviderError> {
    let begun = platforms.clock.now();
    let mut delays = Delays::new();
    loop {
        let error = match once(platforms, finding, begun).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let late = platforms.clock.now().since(begun) > PATIENCE;
        if late || !is_retryable(error.class) {
            return Err(error);
        }
        platforms.clock.sleep(delays.next(&error)).await;
    }
}

async fn once(platforms: &Platforms, finding: &Finding, begun: Timestamp) -> Result<(), ProviderError> {
    match platforms.site.remove(finding).await? {
        Some(operation) => wait(platforms, &operation, begun).await,
        None => Ok(()),
    }
}

/// Waits until an operation of the site is over; not for ever.
///
/// # Errors
/// What it failed with, or that it takes too long.
pub async fn wait(platforms: &Platforms, operation: &str, begun: Timestamp) -> Result<(), ProviderError> {
    loop {
        match platforms.site.is_over(operation).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // A look that fails says nothing of the operation.
            Err(error) if matches!(error.class, ErrorClass::Unavailable | ErrorClass::RateLimited) => {}
            Err(error) => return Err(error),
        }
        if platforms.clock.now().since(begun) > PATIENCE {
            let text = format!("it was still going after {} s", PATIENCE.as_secs());
            return Err(ProviderError::new(ErrorClass::Unknown, text));
        }
        platforms.clock.sleep(PAUSE).await;
    }
}

/// Forgets the facts of clusters that have left nothing, and of those that are there and nobody's concern any more.
///
/// # Errors
/// When the state cannot be written.
pub async fn settle(session: &mut dyn Session, examined: &Examined) -> Result<(), BackendError> {
    let state = session.state();
    let kept = |id: &String| state.resources.values().any(|recorded| recorded.id.as_ref() == Some(id));
    let left = |id: &String| examined.receipt.remaining.iter().any(|entry| entry.finding.cluster == *id);
    let seen = examined.receipt.unknown.is_empty();
    let done = |id: &&String| match examined.audit.living.contains(*id) {
        true => seen && !kept(id),
        false => seen && !left(id),
    };
    let cleared = state.captured.keys().filter(done).cloned().map(Transition::Cleared).collect::<Vec<_>>();
    if cleared.is_empty() {
        return Ok(());
    }
    session.commit(cleared).await
}

/// What is not known when nothing could be looked at.
pub fn blind(platforms: &Platforms, matter: &Matter, error: &ProviderError) -> Receipt {
    let unseen = Unseen { what: "everything that might be left".to_owned(), why: error.message.clone() };
    examined(platforms, matter, Audit { unseen: vec![unseen], ..Audit::default() }).receipt
}
