//! Is everything there and ready, and does the model answer? Reads only.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;

use crate::address::Address;
use crate::diag::Diagnostics;
use crate::event::Sink;
use crate::measure::checks::{self, Check, Outcome};
use crate::ops::platforms::Platforms;
use crate::ops::preview::{self, Preview, Subject};
use crate::ops::prove::prove;
use crate::ops::sight::Sight;
use crate::ops::verify;
use crate::plan::model::PlannedProof;
use crate::platform::Completion;
use crate::resource::driver;
use crate::resource::error::ProviderError;
use crate::resource::readiness::Readiness;

/// Polls under way at a time.
const PARALLEL: usize = 16;

/// The state of a stack as it is now.
#[derive(Debug)]
pub struct Status {
    /// Every recorded or wanted resource, in address order.
    pub resources: Vec<(Address, Readiness)>,
    /// Differences between the stack and what is there.
    pub pending_changes: usize,
    /// Every link from the cluster to a completion, up to the first that is broken; none for a stack that is not there.
    pub chain: Vec<Check>,
}

impl Status {
    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.pending_changes == 0
            && self.resources.iter().all(|(_, readiness)| *readiness == Readiness::Current)
            && self.chain.iter().all(|check| check.outcome != Outcome::Failed)
    }
}

/// A completion of each model, by component, or why there is none.
pub type Proofs = Vec<(String, Result<Completion, ProviderError>)>;

/// Waits until every model answers again (`secrets` are the values of the inputs, for keys that models want), once its nodes are back: for as long as its workload may take, and then as
/// long as the proof of an apply may.
///
/// # Errors
/// When nothing can be read at all.
pub async fn answers_again(
    platforms: &Platforms,
    subject: Subject<'_>,
    secrets: &BTreeMap<String, String>,
    sink: &Arc<dyn Sink>,
) -> Result<Proofs, Diagnostics> {
    let desired = subject.desired;
    let Preview { plan, observed, .. } = preview::preview(platforms, subject).await?;
    let sight = Sight::new(platforms, desired, &plan, &observed).knowing(secrets);
    let mut proofs = Vec::new();
    for proof in &plan.proofs {
        let part = plan.changes.iter().filter(|change| change.address.component() == proof.component);
        let patience = part.map(|change| change.timeout_seconds).max().unwrap_or_default();
        let proof = PlannedProof { timeout_seconds: proof.timeout_seconds + patience, ..proof.clone() };
        proofs.push((proof.component.clone(), prove(platforms, &proof, &sight.outputs, sink).await));
    }
    Ok(proofs)
}

/// Looks.
///
/// # Errors
/// When nothing can be read at all.
pub async fn status(
    platforms: &Platforms,
    subject: Subject<'_>,
    secrets: &BTreeMap<String, String>,
) -> Result<Status, Diagnostics> {
    let (state, desired) = (subject.state, subject.desired);
    let Preview { plan, observed, .. } = preview::preview(platforms, subject).await?;
    let sight = Sight::new(platforms, desired, &plan, &observed).knowing(secrets);
    let connection = |address: &Option<Address>| Some(Arc::new(sight.outputs.of(address.as_ref()?)?.clone()));
    // Hooks are run, not kept.
    let polls = plan.changes.iter().filter(|change| !change.is_hook()).map(|change| {
        let recorded = state.resources.get(&change.address.identity());
        let subject = driver::Subject {
            adopt: false,
            address: change.address.clone(),
            desired: change.after.clone(),
            recorded: recorded.map(|r| r.record.clone()),
            id: change.id.clone(),
            connection: connection(&change.connection),
        };
        let there = observed.contains_key(&change.address.identity());
        let driver = platforms.drivers.get(change.kind.as_str()).cloned();
        async move {
            let readiness = match driver {
                _ if !there => Readiness::NotFound,
                None => Readiness::Unknown { reason: "no driver".to_owned() },
                Some(driver) => match driver.poll(&subject, None).await {
                    Ok(poll) => poll.readiness,
                    Err(error) => Readiness::Unknown { reason: error.message },
                },
            };
            (subject.address, readiness)
        }
    });
    let mut resources = futures_util::stream::iter(polls).buffer_unordered(PARALLEL).collect::<Vec<_>>().await;
    resources.sort_by(|a, b| a.0.cmp(&b.0));
    // Of a stack that was never applied, nothing is broken.
    let chain = if observed.is_empty() { Vec::new() } else { verify::chain(&sight).await };
    debug_assert!(chain.is_empty() || checks::tally(&chain).1 <= 1, "a chain breaks once");
    let pending_changes = plan.changes.iter().filter(|c| c.action.acts()).count();
    Ok(Status { resources, pending_changes, chain })
}
