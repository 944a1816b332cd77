//! `reap`: destroying stacks whose time is over, from labels alone.
//!
//! What is found by labels is put into a state that lives in memory, and from there on it is an ordinary destroy: the
//! same plan, the same order, the same receipt. The stack's own state, wherever that is, learns of it by looking.

use std::path::Path;
use std::sync::Arc;

use crate::address::Address;
use crate::backend::local::{LocalBackend, LocalSession};
use crate::backend::{BackendError, Session};
use crate::env::memory_disk::MemoryDisk;
use crate::ops::marks::insist;
use crate::ops::platforms::Platforms;
use crate::platform::audit::{Finding, Unseen};
use crate::platform::expiry::Marked;
use crate::resource::driver::{Ownership, Subject};
use crate::resource::error::ProviderError;
use crate::resource::kind::Observed;
use crate::state::model::Intent;
use crate::state::transition::Transition;
use crate::value::{Map, Value};

/// The address of a reaped cluster.
const CLUSTER: &str = "cluster";

/// Why a stack could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum ReapError {
    /// The platform does not answer.
    #[error("{0}")]
    Platform(#[from] ProviderError),
    /// The state in memory cannot be written.
    #[error("{0}")]
    State(#[from] BackendError),
}

/// The clusters of a project that stacks have marked, and where nobody could look.
///
/// # Errors
/// When they cannot be listed.
pub async fn marked(platforms: &Platforms, project: &str) -> Result<(Vec<Marked>, Vec<Unseen>), ProviderError> {
    insist(platforms, || platforms.site.marked(project)).await
}

/// Machines of a project that probes have left.
///
/// # Errors
/// When they cannot be listed.
pub async fn stray(platforms: &Platforms, project: &str) -> Result<Vec<Finding>, ProviderError> {
    insist(platforms, || platforms.site.stray(project)).await
}

/// A state that holds the cluster and its pools, as their labels say. `None` when the cluster is not there any more,
/// or its time is not over: somebody may have renewed it since it was listed.
///
/// # Errors
/// When it cannot be asked.
pub async fn take_up(platforms: &Platforms, marked: &Marked) -> Result<Option<LocalSession>, ReapError> {
    let (now, _) = self::marked(platforms, &marked.project).await?;
    let same = now.iter().find(|other| other.id == marked.id && other.stack_id == marked.stack_id);
    if !same.is_some_and(|same| same.is_expired(platforms.clock.now().seconds())) {
        return Ok(None);
    }
    let ownership = Ownership { stack: marked.stack.clone(), id: marked.stack_id.clone(), expires: None };
    let place = [("project", &marked.project), ("location", &marked.location), ("name", &marked.name)];
    let place = place.map(|(key, value)| (key.to_owned(), Value::from(value.as_str())));
    let subject = Subject {
        address: Address::new(CLUSTER),
        desired: Some(Arc::new(Value::Map(Map::from(place)))),
        recorded: None,
        id: Some(marked.id.clone()),
        connection: None,
        adopt: false,
    };
    let Some(driver) = platforms.drivers.get("gke.cluster") else { return Ok(None) };
    let read = insist(platforms, || async {
        let mut answers = driver.read(std::slice::from_ref(&subject), &ownership).await;
        answers.pop().unwrap_or(Ok(None))
    });
    let Some(cluster) = read.await? else { return Ok(None) };
    let backend = LocalBackend::new(Arc::new(MemoryDisk::new()), Path::new("state"), &marked.stack);
    let mut session = backend.open("reap")?;
    let begin = Transition::Begin { lineage: platforms.random.uuid(), stack_id: marked.stack_id.clone() };
    session.commit(vec![begin]).await?;
    record(platforms, &mut session, CLUSTER, "gke.cluster", &cluster, None).await?;
    let kind = platforms.kinds.get("gke.cluster");
    if let (Some(driver), Some(kind)) = (platforms.drivers.get("gke.node_pool"), kind) {
        let connection = kind.outputs(&cluster);
        for pool in insist(platforms, || driver.find(Some(&connection), &ownership)).await? {
            let address = format!("node_pools.{}", pool.name);
            let within = Some(Address::new(CLUSTER));
            record(platforms, &mut session, &address, "gke.node_pool", &pool.observed, within).await?;
        }
    }
    Ok(Some(session))
}

async fn record(
    platforms: &Platforms,
    session: &mut LocalSession,
    address: &str,
    kind: &str,
    observed: &Observed,
    connection: Option<Address>,
) -> Result<(), BackendError> {
    let address = Address::new(address);
    let record = platforms.kinds.get(kind).map(|kind| kind.record_found(None, &[], observed)).unwrap_or_default();
    let intent = Transition::Intent {
        address: address.clone(),
        kind: kind.to_owned(),
        action: Intent::Create,
        at: platforms.clock.now().0,
        needs: connection.iter().cloned().collect(),
        connection,
    };
    let applied = Transition::Applied {
        identity: address.identity(),
        id: observed.id.clone(),
        record: Arc::new(record),
        secrets: std::collections::BTreeMap::new(),
        ready: true,
    };
    session.commit(vec![intent, applied]).await
}
