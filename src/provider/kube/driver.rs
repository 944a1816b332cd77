//! The driver of `k8s.object`: hands each request to the part that does it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::client::{Cluster, Connections};
use super::patience::{self, Explanation, Wait};
use super::{apply, causes, delete, find, read, settle, status};
use crate::env::clock::{Clock, Timestamp};
use crate::resource::driver::{Ack, ApplyRequest, Driver, Found, Mark, Ownership, Poll, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::kind::Observed;
use crate::resource::readiness::Readiness;
use crate::value::Value;

/// A wait is long after this: from then on a watch tells of its end at once.
const WATCHED: Duration = Duration::from_secs(5);

/// Controllers write in bursts; looking at once would see the first of several writes.
const SETTLE: Duration = Duration::from_millis(200);

/// How long an explanation is good for: looking for causes takes several requests.
const EXPLAINED: Duration = Duration::from_secs(10);

/// … when it has found one.
const WATCHED_CAUSE: Duration = Duration::from_secs(4);

/// What was found out about an object.
#[derive(Clone)]
struct Explained {
    when: Timestamp,
    found: Option<Explanation>,
    /// When the same was first found.
    first: Timestamp,
    /// When the object was first looked at.
    met: Timestamp,
}

/// Does things to Kubernetes objects.
pub struct ObjectDriver {
    connections: Arc<Connections>,
    /// When the run began.
    begun: Timestamp,
    explained: Mutex<BTreeMap<String, Explained>>,
}

impl ObjectDriver {
    /// A driver over these connections.
    pub fn new(connections: Arc<Connections>) -> Self {
        let begun = connections.clock().now();
        ObjectDriver { connections, begun, explained: Mutex::default() }
    }

    pub(super) async fn cluster(&self, subject: &Subject) -> Result<Arc<Cluster>, ProviderError> {
        match subject.connection.as_deref() {
            Some(connection) => self.connections.reach(connection),
            None if self.connections.is_given() => self.connections.given().await,
            None => {
                let text = format!("{}: its cluster is not there", subject.address);
                Err(ProviderError::new(ErrorClass::Unavailable, text))
            }
        }
    }

    /// Why an object is not ready, and whether that ends the wait.
    pub(super) async fn explain(&self, cluster: &Cluster, object: &Json) -> Option<(Explanation, bool)> {
        let uid = object.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or_default().to_owned();
        let now = cluster.clock().now();
        let lock = || self.explained.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&uid).cloned();
        let fresh = known
            .as_ref()
            .filter(|known| now.since(known.when) < if known.found.is_some() { WATCHED_CAUSE } else { EXPLAINED });
        let explained = match fresh {
            Some(fresh) => fresh.clone(),
            None => {
                // An explanation that cannot be had is no reason to fail the wait.
                let found =
                    causes::explain(cluster, object, self.connections.awaits_nodes()).await.unwrap_or_else(|refusal| {
                        tracing::debug!("no causes of {uid}: {:?}", refusal.class());
                        None
                    });
                let causes = |found: &Option<Explanation>| found.as_ref().map(|found| found.causes.clone());
                let met = known.as_ref().map_or(now, |known| known.met);
                let same = known.filter(|known| causes(&known.found) == causes(&found));
                let first = same.map_or(now, |known| known.first);
                let explained = Explained { when: now, found, first, met };
                lock().insert(uid, explained.clone());
                explained
            }
        };
        let found = explained.found?;
        let wait = Wait { begun: self.begun, met: explained.met, seen: explained.first };
        let over = found.is_over(wait, now);
        Some((found, over))
    }
}

#[async_trait]
impl Driver for ObjectDriver {
    async fn read(&self, subjects: &[Subject], ownership: &Ownership) -> Vec<Result<Option<Observed>, ProviderError>> {
        let mut answers = subjects.iter().map(|_| Ok(None)).collect::<Vec<_>>();
        // Subjects of one cluster together; without a cluster there is no object.
        let mut groups = BTreeMap::<String, Vec<usize>>::new();
        for (at, subject) in subjects.iter().enumerate() {
            if subject.connection.is_some() || self.connections.is_given() {
                groups.entry(format!("{:?}", subject.connection)).or_default().push(at);
            }
        }
        for group in groups.into_values() {
            let members = group.iter().map(|at| &subjects[*at]).collect::<Vec<_>>();
            let reached = self.cluster(members[0]).await;
            let found = match reached.clone() {
                Ok(cluster) => {
                    // What was served may have changed since the last read.
                    match cluster.discover().await {
                        Ok(_) => read::read(&cluster, &members, ownership).await,
                        Err(refusal) => {
                            let error = refusal.error("discovery", &Json::Null);
                            members.iter().map(|_| Err(error.clone())).collect()
                        }
                    }
                }
                // A cluster that is still being made has no endpoint, and nothing in it; only what was there
                // before must not be taken for gone.
                Err(error) => {
                    let unreachable = |subject: &&Subject| match subject.id {
                        None if error.class == ErrorClass::Unavailable => Ok(None),
                        _ => Err(error.clone()),
                    };
                    members.iter().map(unreachable).collect()
                }
            };
            for (at, answer) in group.into_iter().zip(found) {
                answers[at] = match (answer, &reached) {
                    (Ok(Some(mut observed)), Ok(cluster)) => {
                        show(cluster, &mut observed).await.map(|()| Some(observed))
                    }
                    (answer, _) => answer,
                };
            }
        }
        answers
    }

    async fn create(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        let cluster = self.cluster(&request.subject).await?;
        let live = apply::create(&cluster, request).await?;
        Ok(acknowledged(&live))
    }

    async fn update(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        let cluster = self.cluster(&request.subject).await?;
        let live = apply::update(&cluster, request).await?;
        Ok(acknowledged(&live))
    }

    async fn delete(&self, subject: &Subject, observed: &Observed) -> Result<Ack, ProviderError> {
        let cluster = self.cluster(subject).await?;
        let (api_version, key) = apply::identify(&observed.attrs)?;
        let version = Some(apply::version_of(&api_version));
        let resource = cluster.resource(&key.group, version, &key.kind).await;
        let resource = resource.map_err(|refusal| refusal.error("discovery", &Json::Null))?;
        // Without its definition the object is gone.
        let Some(resource) = resource else { return Ok(Ack::default()) };
        let path = resource.object(key.namespace.as_deref(), &key.name);
        let readiness = match delete::delete(&cluster, &path, &key, &observed.id).await? {
            true => Some(delete::remains(&cluster, &key, &observed.id).await?),
            false => None,
        };
        Ok(Ack { readiness, ..Ack::default() })
    }

    async fn release(&self, subject: &Subject, observed: &Observed) -> Result<Ack, ProviderError> {
        let cluster = self.cluster(subject).await?;
        let (api_version, key) = apply::identify(&observed.attrs)?;
        let version = Some(apply::version_of(&api_version));
        let resource = cluster.resource(&key.group, version, &key.kind).await;
        let resource = resource.map_err(|refusal| refusal.error("discovery", &Json::Null))?;
        let Some(resource) = resource else { return Ok(Ack::default()) };
        let path = resource.object(key.namespace.as_deref(), &key.name);
        delete::release(&cluster, &path, &key, &observed.id).await?;
        Ok(Ack::default())
    }

    async fn marks(&self, subjects: &[Subject]) -> Result<Vec<Option<Mark>>, ProviderError> {
        let mut marks = vec![None; subjects.len()];
        let mut groups = BTreeMap::<String, Vec<usize>>::new();
        for (at, subject) in subjects.iter().enumerate() {
            if subject.connection.is_some() || self.connections.is_given() {
                groups.entry(format!("{:?}", subject.connection)).or_default().push(at);
            }
        }
        for group in groups.into_values() {
            let members = group.iter().map(|at| &subjects[*at]).collect::<Vec<_>>();
            let cluster = self.cluster(members[0]).await?;
            cluster.discover().await.map_err(|refusal| refusal.error("discovery", &Json::Null))?;
            for (at, mark) in group.into_iter().zip(find::marks(&cluster, &members).await?) {
                marks[at] = mark;
            }
        }
        Ok(marks)
    }

    async fn find(&self, connection: Option<&Value>, ownership: &Ownership) -> Result<Vec<Found>, ProviderError> {
        let cluster = match connection {
            Some(connection) => self.connections.reach(connection)?,
            None if self.connections.is_given() => self.connections.given().await?,
            None => return Ok(Vec::new()),
        };
        find::find(&cluster, ownership).await
    }

    async fn would_keep(&self, request: &ApplyRequest) -> Result<bool, ProviderError> {
        let cluster = self.cluster(&request.subject).await?;
        find::would_keep(&cluster, request).await
    }

    async fn poll(&self, subject: &Subject, _: Option<&str>) -> Result<Poll, ProviderError> {
        let cluster = self.cluster(subject).await?;
        let Some((api_version, key)) = read::locate(subject) else {
            let text = format!("{}: neither manifest nor record says what it is", subject.address);
            return Err(ProviderError::new(ErrorClass::Invalid, text));
        };
        let uid = subject.recorded.as_deref().and_then(|recorded| recorded.get("uid")).and_then(Value::as_str);
        let uid = uid.or(subject.id.as_deref()).unwrap_or_default();
        let gone = async || {
            let readiness = delete::remains(&cluster, &key, uid).await?;
            Ok(Poll { readiness, observed: None })
        };
        let version = Some(apply::version_of(&api_version));
        let resource = cluster.known_resource(&key.group, version, &key.kind).await;
        let resource = resource.map_err(|refusal| refusal.error("discovery", &Json::Null))?;
        let Some(resource) = resource else { return gone().await };
        let live = match cluster.get(&resource.object(key.namespace.as_deref(), &key.name)).await {
            Ok(live) => live,
            Err(refusal) if refusal.is_not_found() => return gone().await,
            Err(refusal) => return Err(refusal.error(&key.to_string(), &Json::Null)),
        };
        let mut observed = apply::observed(&live);
        if subject.desired.is_none() && !uid.is_empty() && observed.id != uid {
            // Ours is gone; somebody has made another of that name.
            return gone().await;
        }
        let readiness = settle::settled(&cluster, &live).await?;
        let mut readiness = patience::without_old_verdicts(readiness, &live, self.begun);
        if readiness == Readiness::Current {
            show(&cluster, &mut observed).await?;
        }
        if matches!(readiness, Readiness::InProgress { .. } | Readiness::Failed { .. })
            && let Some((found, over)) = self.explain(&cluster, &live).await
        {
            readiness = join(readiness, found, over);
        }
        Ok(Poll { readiness, observed: Some(observed) })
    }

    async fn until_next_look(&self, clock: &dyn Clock, subject: &Subject, seen: Option<&Observed>, waited: Duration) {
        let interval = self.poll_interval(waited);
        let begun = clock.now();
        if waited >= WATCHED && clock.is_continuous() {
            // A watch that cannot be had is a wait like any other.
            let changed = match seen {
                Some(seen) => self.watch(subject, seen, interval).await,
                None => Ok(()),
            };
            match changed {
                Ok(()) if seen.is_some() => return clock.sleep(SETTLE).await,
                Ok(()) => {}
                Err(error) => tracing::debug!("no watch of {}: {error}", subject.address),
            }
        }
        clock.sleep(interval.saturating_sub(clock.now().since(begun))).await;
    }

    fn poll_interval(&self, waited: Duration) -> Duration {
        match waited.as_secs() {
            0..5 => Duration::from_secs(1),
            5..60 => Duration::from_secs(2),
            // Of causes that do not change the object itself only a look tells.
            _ => Duration::from_secs(5),
        }
    }
}

impl ObjectDriver {
    /// Returns once the object is no longer as it was seen, or after `limit`.
    async fn watch(&self, subject: &Subject, seen: &Observed, limit: Duration) -> Result<(), ProviderError> {
        let cluster = self.cluster(subject).await?;
        let (api_version, key) = apply::identify(&seen.attrs)?;
        let failed = |refusal: super::refusal::Refusal| refusal.error(&key.to_string(), &Json::Null);
        let found = cluster.known_resource(&key.group, Some(apply::version_of(&api_version)), &key.kind).await;
        let Some(resource) = found.map_err(failed)? else { return Ok(()) };
        let revision = seen.attrs.at(&["metadata", "resourceVersion"]).and_then(Value::as_str).unwrap_or_default();
        let namespace = key.namespace.as_deref();
        cluster.until_changed(&resource.collection(namespace), &key.name, revision, limit).await.map_err(failed)
    }
}

/// The answer to an apply; spares the first poll where storing is all there is to it.
fn acknowledged(live: &Json) -> Ack {
    let readiness = status::is_at_once(live).then_some(Readiness::Current);
    Ack { observed: Some(apply::observed(live)), readiness, ..Ack::default() }
}

/// Adds what the object shows of others, for references to read; no manifest names it, so it never differs.
async fn show(cluster: &Cluster, observed: &mut Observed) -> Result<(), ProviderError> {
    if let Some(shown) = settle::shown(cluster, &observed.attrs).await?
        && let Value::Map(attrs) = &mut observed.attrs
    {
        attrs.insert("secret".to_owned(), shown);
    }
    Ok(())
}

/// Readiness with its causes; `over` when they end the wait.
pub(super) fn join(readiness: Readiness, found: Explanation, over: bool) -> Readiness {
    let said = match &readiness {
        Readiness::Failed { causes } => causes.join(": "),
        Readiness::InProgress { waiting_for } => waiting_for.clone(),
        _ => String::new(),
    };
    // What the object says itself is not said twice.
    let found = found.causes.into_iter().filter(|cause| !said.contains(cause.as_str())).collect::<Vec<_>>();
    match readiness {
        other if found.is_empty() && !over => other,
        Readiness::Failed { mut causes } => {
            causes.extend(found);
            Readiness::Failed { causes }
        }
        Readiness::InProgress { waiting_for } if over => {
            let causes = std::iter::once(waiting_for).chain(found).collect();
            Readiness::Failed { causes }
        }
        Readiness::InProgress { waiting_for } => {
            Readiness::InProgress { waiting_for: format!("{waiting_for}: {}", found.join(": ")) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
