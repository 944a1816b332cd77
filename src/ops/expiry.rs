//! `[limits] ttl`: until when a stack may live, on the label of its cluster.
//!
//! Not an attribute that is planned: it would differ at each run. It begins anew with every apply that changes
//! something, or when the user says so; an apply that finds nothing to do leaves it, but for a label that is missing, or
//! is there without a limit in the stack file.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::address::Identity;
use crate::ops::marks::insist;
use crate::ops::platforms::Platforms;
use crate::ops::receipt::wait;
use crate::plan::model::{Action, Plan};
use crate::resource::error::ProviderError;
use crate::resource::kind::Observed;
use crate::value::Value;

/// The kind that carries the label.
const CLUSTER: &str = "gke.cluster";

/// What is to be done about the label of a cluster that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewal {
    cluster: Value,
    ttl: Option<Duration>,
}

/// The clusters whose label is to be set or taken off. `anew` says that the time begins anew whatever the label says.
pub fn due(
    platforms: &Platforms,
    plan: &Plan,
    observed: &BTreeMap<Identity, Observed>,
    ttl: Option<Duration>,
    anew: bool,
) -> Vec<Renewal> {
    let stays = |action: Action| matches!(action, Action::NoOp | Action::Update | Action::Adopt);
    let clusters = plan.changes.iter().filter(|change| change.kind == CLUSTER && stays(change.action));
    let renewal = |change: &crate::plan::model::ResourceChange| {
        let identity = change.moved_from.as_ref().unwrap_or(&change.address).identity();
        let observed = observed.get(&identity)?;
        let labelled = observed.attrs.get("expires").is_some();
        let wanted = ttl.is_some();
        let cluster = platforms.kinds.get(CLUSTER)?.outputs(observed);
        (labelled != wanted || (wanted && anew)).then_some(Renewal { cluster, ttl })
    };
    clusters.filter_map(renewal).collect()
}

/// Sets the label, and waits until GKE takes the next change; until when it lives, Unix seconds, or for ever.
///
/// # Errors
/// The platform's refusal.
pub async fn renew(platforms: &Platforms, renewal: &Renewal) -> Result<Option<u64>, ProviderError> {
    let begun = platforms.clock.now();
    let expires = renewal.ttl.map(|ttl| begun.plus(ttl).seconds());
    let operation = insist(platforms, || platforms.site.renew(&renewal.cluster, expires)).await?;
    if let Some(operation) = operation {
        wait(platforms, &operation, begun).await?;
    }
    Ok(expires)
}
