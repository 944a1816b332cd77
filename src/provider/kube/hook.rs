//! Hooks: objects that are made to be run, waited for, and removed. The kind is planned by the planner's own rules;
//! the driver makes one attempt. Not for when a hook runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::client::Cluster;
use super::driver::{ObjectDriver, join};
use super::{apply, delete, settle};
use crate::address::ObjectKey;
use crate::diag::Diagnostic;
use crate::resource::driver::{Ack, ApplyRequest, Driver, Ownership, Poll, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::hook::{ATTEMPT, KIND, MANIFEST};
use crate::resource::kind::{Change, Kind, Observed, Prior};
use crate::resource::model::{Ceded, Resource};
use crate::resource::readiness::Readiness;
use crate::value::Value;

/// The annotation that names the attempt that an object was made for.
pub(super) const MARK: &str = "stackwright.dev/attempt";

/// The pure half of hooks: nothing of them is compared with what is there.
#[derive(Debug, Default, Clone, Copy)]
pub struct HookKind;

impl Kind for HookKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, resource: &Resource) -> Vec<Diagnostic> {
        let manifest = resource.attrs.get(MANIFEST).cloned().unwrap_or_default();
        super::object::ObjectKind::default().check(&Resource { attrs: manifest.into(), ..resource.clone() })
    }

    fn diff(&self, _: &Value, _: &[Ceded], _: Prior<'_>) -> Vec<Change> {
        Vec::new()
    }

    fn drift(&self, _: &[Ceded], _: Prior<'_>) -> Vec<Change> {
        Vec::new()
    }

    /// The engine says itself what state keeps of a hook; what was sent may hold secrets.
    fn seen(&self, recorded: &Value, _: &[Ceded], _: &Observed) -> Value {
        recorded.clone()
    }

    fn record(&self, _: &Value, _: &[Ceded], _: &Observed) -> Value {
        Value::Null
    }

    fn outputs(&self, _: &Observed) -> Value {
        Value::map()
    }
}

/// Makes hooks run.
pub struct HookDriver(Arc<ObjectDriver>);

impl HookDriver {
    /// A driver that reaches clusters as `objects` does.
    pub fn new(objects: Arc<ObjectDriver>) -> Self {
        HookDriver(objects)
    }
}

/// The object of a hook and what it is called.
fn object(subject: &Subject) -> Result<(&Value, String, ObjectKey), ProviderError> {
    let attrs = subject.desired.as_deref().or(subject.recorded.as_deref());
    let manifest = attrs.and_then(|attrs| attrs.get(MANIFEST)).unwrap_or(&Value::Null);
    let (api_version, key) = apply::identify(manifest)?;
    Ok((manifest, api_version, key))
}

/// The object as it is; `None` where it, or its kind, is not there.
async fn look(cluster: &Cluster, api_version: &str, key: &ObjectKey) -> Result<Option<(String, Json)>, ProviderError> {
    let resource = cluster.resource(&key.group, Some(apply::version_of(api_version)), &key.kind).await;
    let resource = resource.map_err(|refusal| refusal.error("discovery", &Json::Null))?;
    let Some(resource) = resource else { return Ok(None) };
    let path = resource.object(key.namespace.as_deref(), &key.name);
    match cluster.get(&path).await {
        Ok(live) => Ok(Some((path, live))),
        Err(refusal) if refusal.is_not_found() => Ok(None),
        Err(refusal) => Err(refusal.error(&key.to_string(), &Json::Null)),
    }
}

/// Names an attempt: since when it is meant to be made, and all that the hook is.
fn attempt(attrs: &Value) -> String {
    let digest = Sha256::digest(attrs.to_json().to_string().as_bytes());
    let since = attrs.get(ATTEMPT).and_then(Value::as_str).unwrap_or_default();
    let digest = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{since}-{digest}")
}

/// The manifest with the name of its attempt.
fn marked(manifest: &Value, attempt: &str) -> Value {
    let mut manifest = manifest.clone();
    if let Value::Map(map) = &mut manifest
        && let Value::Map(metadata) = map.entry("metadata".to_owned()).or_insert_with(Value::map)
        && let Value::Map(annotations) = metadata.entry("annotations".to_owned()).or_insert_with(Value::map)
    {
        annotations.insert(MARK.to_owned(), attempt.into());
    }
    manifest
}

/// How far a hook is. As with Helm, only what ends by itself is waited for, and what others cannot do without.
async fn ended(cluster: &Cluster, live: &Json) -> Result<Readiness, ProviderError> {
    let text = |pointer| live.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    match (text("/apiVersion").split_once('/').map_or("", |(group, _)| group), text("/kind")) {
        ("batch", "Job") | ("apiextensions.k8s.io", "CustomResourceDefinition") | ("", "Namespace") => {
            settle::settled(cluster, live).await
        }
        // A pod that is ready has not ended.
        ("", "Pod") if !matches!(text("/status/phase"), "Succeeded" | "Failed") => {
            Ok(Readiness::waiting("its pod to end"))
        }
        ("", "Pod") => settle::settled(cluster, live).await,
        _ => Ok(Readiness::Current),
    }
}

#[async_trait]
impl Driver for HookDriver {
    /// What hooks have left behind.
    async fn read(&self, subjects: &[Subject], ownership: &Ownership) -> Vec<Result<Option<Observed>, ProviderError>> {
        let objects = subjects.iter().map(|subject| {
            let manifest = object(subject).map(|(manifest, ..)| Arc::new(manifest.clone())).ok();
            // Without a record only what carries the label is found.
            Subject { desired: manifest, recorded: None, id: None, ..subject.clone() }
        });
        self.0.read(&objects.collect::<Vec<_>>(), ownership).await
    }

    async fn create(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        let subject = &request.subject;
        let cluster = self.0.cluster(subject).await?;
        let (manifest, api_version, key) = object(subject)?;
        let attempt = attempt(&request.attrs);
        let lasting = key.kind == "CustomResourceDefinition";
        if let Some((path, live)) = look(&cluster, &api_version, &key).await?.filter(|_| !lasting) {
            if live.pointer("/metadata/deletionTimestamp").is_some() {
                return Err(ProviderError::new(ErrorClass::Busy, format!("the last {key} is still being deleted")));
            }
            if !apply::is_ours(&live, &request.ownership) {
                let text = format!("{key} exists and was not made by this stack");
                return Err(ProviderError::new(ErrorClass::AlreadyExists, text)
                    .hint("delete it, if it is what another tool has left behind of the same hook"));
            }
            let annotations = live.pointer("/metadata/annotations");
            let made_for = annotations.and_then(|annotations| annotations.get(MARK)).and_then(Json::as_str);
            let readiness = ended(&cluster, &live).await?;
            if made_for == Some(&attempt) && !matches!(readiness, Readiness::Failed { .. }) {
                return Ok(Ack {
                    observed: Some(apply::observed(&live)),
                    readiness: Some(readiness),
                    ..Ack::default()
                });
            }
            let uid = live.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or_default();
            delete::delete(&cluster, &path, &key, uid).await?;
            return Err(ProviderError::new(ErrorClass::Busy, format!("the last {key} is being deleted")));
        }
        let attrs = Arc::new(marked(manifest, &attempt));
        let made = ApplyRequest { attrs, ..request.clone() };
        let live = apply::create(&cluster, &made).await?;
        let readiness = ended(&cluster, &live).await?;
        Ok(Ack { observed: Some(apply::observed(&live)), readiness: Some(readiness), ..Ack::default() })
    }

    /// A hook is never changed: it is made anew.
    async fn update(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        self.create(request).await
    }

    async fn delete(&self, subject: &Subject, _: &Observed) -> Result<Ack, ProviderError> {
        let cluster = self.0.cluster(subject).await?;
        let (_, api_version, key) = object(subject)?;
        let gone = Ack { readiness: Some(Readiness::NotFound), ..Ack::default() };
        let Some((path, live)) = look(&cluster, &api_version, &key).await? else { return Ok(gone) };
        let annotations = live.pointer("/metadata/annotations");
        if annotations.and_then(|annotations| annotations.get(MARK)).is_none() {
            // Somebody else's of the same name.
            return Ok(gone);
        }
        let uid = live.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or_default();
        delete::delete(&cluster, &path, &key, uid).await?;
        Ok(Ack::default())
    }

    async fn poll(&self, subject: &Subject, _: Option<&str>) -> Result<Poll, ProviderError> {
        let cluster = self.0.cluster(subject).await?;
        let (_, api_version, key) = object(subject)?;
        let Some((_, live)) = look(&cluster, &api_version, &key).await? else {
            return Ok(Poll { readiness: Readiness::NotFound, observed: None });
        };
        let mut readiness = ended(&cluster, &live).await?;
        if matches!(readiness, Readiness::InProgress { .. } | Readiness::Failed { .. })
            && let Some((found, over)) = self.0.explain(&cluster, &live).await
        {
            readiness = join(readiness, found, over);
        }
        Ok(Poll { readiness, observed: Some(apply::observed(&live)) })
    }

    fn poll_interval(&self, waited: Duration) -> Duration {
        self.0.poll_interval(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Map;

    #[test]
    fn an_attempt_is_named_by_when_and_what() {
        let attrs = |since: &str, image: &str| {
            Value::Map(Map::from([
                (ATTEMPT.to_owned(), since.into()),
                (MANIFEST.to_owned(), Value::Map(Map::from([("image".to_owned(), image.into())]))),
            ]))
        };
        let one = attempt(&attrs("1", "a"));
        assert_eq!(one, attempt(&attrs("1", "a")));
        assert_ne!(one, attempt(&attrs("2", "a")));
        assert_ne!(one, attempt(&attrs("1", "b")));
        let marked = marked(&Value::map(), &one);
        assert_eq!(marked.at(&["metadata", "annotations", MARK]), Some(&Value::from(one.as_str())));
    }
}
