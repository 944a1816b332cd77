//! Capturing what clusters are known by once they are gone, into the state: before anything of them is deleted, and
//! after each run that changed something, for those that others delete by hand.

use std::collections::BTreeMap;

use crate::address::Identity;
use crate::backend::{BackendError, Session};
use crate::engine::retry::{Delays, is_retryable};
use crate::ops::platforms::Platforms;
use crate::plan::model::{Action, Plan, Reason};
use crate::platform::audit::Captured;
use crate::resource::error::ProviderError;
use crate::resource::kind::Observed;
use crate::state::transition::Transition;
use crate::value::Value;

/// The kind whose resources leave things behind.
const CLUSTER: &str = "gke.cluster";

/// As often a cluster is asked for before nothing is deleted.
const TRIES: usize = 6;

/// Why facts could not be captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The platform does not answer.
    #[error("{0}")]
    Platform(#[from] ProviderError),
    /// The state cannot be written.
    #[error("{0}")]
    State(#[from] BackendError),
}

/// What state keeps of a cluster, as it was captured.
pub fn captured(facts: &BTreeMap<String, Value>) -> Vec<Captured> {
    facts.values().filter_map(|facts| serde_json::from_value(facts.to_plain_json()).ok()).collect()
}

/// Captures every cluster that the plan takes away, durably.
///
/// # Errors
/// When a cluster cannot be asked for, or the state cannot be written: then nothing may be deleted.
pub async fn before(
    platforms: &Platforms,
    session: &mut dyn Session,
    plan: &Plan,
    observed: &BTreeMap<Identity, Observed>,
) -> Result<(), CaptureError> {
    let leaving = plan.changes.iter().filter(|change| {
        change.kind == CLUSTER
            && (change.is_leaving() || change.action == Action::Replace)
            && !matches!(change.reason, Reason::Abandoned | Reason::Kept)
    });
    let clusters = leaving.filter_map(|change| {
        let identity = change.moved_from.as_ref().unwrap_or(&change.address).identity();
        if let Some(observed) = observed.get(&identity) {
            return Some(platforms.kinds.get(CLUSTER)?.outputs(observed));
        }
        // Somebody has deleted it: what state knows must do.
        let recorded = session.state().resources.get(&identity)?;
        let mut known = recorded.record.get("attrs")?.as_map()?.clone();
        known.insert("id".to_owned(), recorded.id.as_deref()?.into());
        Some(Value::Map(known))
    });
    let clusters = clusters.collect::<Vec<_>>();
    take(platforms, session, &clusters).await
}

/// Captures the clusters that are there, durably.
///
/// # Errors
/// As [`before`]; nothing depends on it.
pub async fn after(platforms: &Platforms, session: &mut dyn Session) -> Result<(), CaptureError> {
    let there = session.state().resources.values().filter(|recorded| recorded.kind == CLUSTER);
    let mut clusters = Vec::new();
    for recorded in there {
        let (Some(id), Some(driver)) = (&recorded.id, platforms.drivers.get(CLUSTER)) else { continue };
        let subject = crate::resource::driver::Subject {
            address: recorded.address.clone(),
            desired: None,
            recorded: Some(recorded.record.clone()),
            id: Some(id.clone()),
            connection: None,
            adopt: false,
        };
        let owner = super::preview::ownership(platforms, session.state(), &session.state().stack, None);
        for answer in driver.read(&[subject], &owner).await {
            if let (Some(observed), Some(kind)) = (answer?, platforms.kinds.get(CLUSTER)) {
                clusters.push(kind.outputs(&observed));
            }
        }
    }
    take(platforms, session, &clusters).await
}

/// Asks, and again where no answer comes.
async fn ask(platforms: &Platforms, cluster: &Value) -> Result<Option<Captured>, ProviderError> {
    let mut delays = Delays::new();
    let mut tries = 1;
    loop {
        match platforms.site.capture(cluster).await {
            Err(error) if is_retryable(error.class) && tries < TRIES => {
                tries += 1;
                platforms.clock.sleep(delays.next(&error)).await;
            }
            answer => return answer,
        }
    }
}

async fn take(platforms: &Platforms, session: &mut dyn Session, clusters: &[Value]) -> Result<(), CaptureError> {
    let mut transitions = Vec::new();
    for cluster in clusters {
        let Some(fresh) = ask(platforms, cluster).await? else { continue };
        if fresh.id.is_empty() {
            continue;
        }
        let known = session.state().captured.get(&fresh.id);
        let mut facts = known.and_then(|known| serde_json::from_value(known.to_plain_json()).ok()).unwrap_or_default();
        Captured::learn(&mut facts, &fresh);
        let facts = Value::from_plain_json(&serde_json::to_value(&facts).unwrap_or_default());
        if known != Some(&facts) {
            transitions.push(Transition::Captured { cluster: fresh.id, facts });
        }
    }
    if !transitions.is_empty() {
        session.commit(transitions).await?;
    }
    Ok(())
}
