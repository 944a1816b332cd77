//! Reading many objects at once: one paged list per kind by label, a GET only for what is recorded and was not
//! listed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use serde_json::Value as Json;

use super::apply::{identify, is_ours, observed, owner, version_of};
use super::client::Cluster;
use super::discovery::{Resource, escape};
use super::object::MARK;
use super::refusal::Refusal;
use crate::address::ObjectKey;
use crate::resource::driver::{Ownership, Subject};
use crate::resource::error::ProviderError;
use crate::resource::kind::Observed;
use crate::value::Value;

/// Requests in flight at a time.
const PARALLEL: usize = 8;
/// Objects per page.
const PAGE: usize = 500;

/// Group, version and kind.
type Gvk = (String, String, String);
/// What a list found, by namespace and name.
type Listed = BTreeMap<(Option<String>, String), Json>;

/// Version and key of a subject: from its manifest, else from its record and address.
pub fn locate(subject: &Subject) -> Option<(String, ObjectKey)> {
    let recorded = || {
        let key = ObjectKey::parse(subject.address.object_key()?)?;
        let api_version = subject.recorded.as_deref()?.get("api_version")?.as_str()?.to_owned();
        Some((api_version, key))
    };
    subject.desired.as_deref().and_then(|manifest| identify(manifest).ok()).or_else(recorded)
}

/// The answer of each kind's list; `None` when the kind is not served.
type Lists = BTreeMap<Gvk, Result<Option<(Resource, Listed)>, Refusal>>;

/// Reads subjects of one cluster, in their order.
pub async fn read(
    cluster: &Arc<Cluster>,
    subjects: &[&Subject],
    ownership: &Ownership,
) -> Vec<Result<Option<Observed>, ProviderError>> {
    let located = subjects.iter().map(|subject| locate(subject)).collect::<Vec<_>>();
    let kinds = located.iter().flatten().map(|(api_version, key)| gvk(api_version, key)).collect::<BTreeSet<_>>();
    let lists = stream::iter(kinds.into_iter().map(|gvk| {
        let cluster = cluster.clone();
        let id = ownership.id.clone();
        async move {
            let listed = list(&cluster, &gvk, &id).await;
            (gvk, listed)
        }
    }));
    let lists = lists.buffer_unordered(PARALLEL).collect::<Lists>().await;
    let looks =
        subjects.iter().zip(located).map(|(subject, located)| look(cluster, &lists, subject, located, ownership));
    let looks = looks.collect::<Vec<_>>();
    stream::iter(looks).buffered(PARALLEL).collect().await
}

/// Finds one subject in the lists, or by its name when it is recorded.
async fn look(
    cluster: &Cluster,
    lists: &Lists,
    subject: &Subject,
    located: Option<(String, ObjectKey)>,
    ownership: &Ownership,
) -> Result<Option<Observed>, ProviderError> {
    let Some((api_version, key)) = located else { return Ok(None) };
    let (resource, listed) = match &lists[&gvk(&api_version, &key)] {
        Ok(Some(found)) => found,
        // A kind that is not served has no objects.
        Ok(None) => return Ok(None),
        Err(refusal) => return Err(refusal.error(&format!("cannot list {}", key.kind), &Json::Null)),
    };
    let namespace = if resource.namespaced { key.namespace.clone().or(Some("default".into())) } else { None };
    if let Some(live) = listed.get(&(namespace, key.name.clone())) {
        return Ok(Some(observed(live)));
    }
    let recorded = match subject.recorded.as_deref() {
        Some(recorded) => recorded,
        None if subject.adopt => &Value::Null,
        None => return Ok(None),
    };
    match cluster.get(&resource.object(key.namespace.as_deref(), &key.name)).await {
        // Another object of the same name, made by others since: ours is gone.
        Ok(live) if is_ours(&live, ownership) || is_recorded(&live, recorded) => Ok(Some(observed(&live))),
        Ok(live) if subject.adopt && owner(&live).is_none() => Ok(Some(observed(&live))),
        Ok(_) => Ok(None),
        Err(refusal) if refusal.is_not_found() => Ok(None),
        Err(refusal) => Err(refusal.error(&key.to_string(), &Json::Null)),
    }
}

fn is_recorded(live: &Json, recorded: &Value) -> bool {
    let uid = recorded.get("uid").and_then(Value::as_str);
    uid.is_some() && live.pointer("/metadata/uid").and_then(Json::as_str) == uid
}

fn gvk(api_version: &str, key: &ObjectKey) -> Gvk {
    (key.group.clone(), version_of(api_version).to_owned(), key.kind.clone())
}

/// All objects of a kind that carry the stack's label; `None` when the kind is not served.
async fn list(cluster: &Cluster, gvk: &Gvk, id: &str) -> Result<Option<(Resource, Listed)>, Refusal> {
    let (group, version, kind) = gvk;
    let Some(resource) = cluster.known_resource(group, Some(version), kind).await? else { return Ok(None) };
    let mut listed = Listed::new();
    if id.is_empty() {
        // Before the first apply nothing can carry it.
        return Ok(Some((resource, listed)));
    }
    let selector = escape(&format!("{MARK}={id}"));
    let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
    let mut next = String::new();
    loop {
        let path = format!("{}?labelSelector={selector}&limit={PAGE}{next}", resource.collection(None));
        let page = match cluster.get(&path).await {
            Ok(page) => page,
            // The snapshot that the pages were of is gone: from the start.
            Err(refusal) if refusal.code() == Some(410) && !next.is_empty() => {
                next.clear();
                listed.clear();
                continue;
            }
            Err(refusal) if refusal.is_not_found() => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        for item in page["items"].as_array().into_iter().flatten() {
            let mut item = item.clone();
            // Items of a list carry neither.
            item["apiVersion"] = api_version.clone().into();
            item["kind"] = kind.clone().into();
            let text = |pointer| item.pointer(pointer).and_then(Json::as_str).map(str::to_owned);
            let key = (text("/metadata/namespace"), text("/metadata/name").unwrap_or_default());
            listed.insert(key, item);
        }
        match page.pointer("/metadata/continue").and_then(Json::as_str) {
            Some(token) if !token.is_empty() => next = format!("&continue={}", escape(token)),
            _ => return Ok(Some((resource, listed))),
        }
    }
}
