//! Reading many objects at once: one paged list per kind by label, a GET only for what is recorded and was not
//! listed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use serde_json::Value as Json;

use super::apply::{identify, is_ours, observed, owner, version_of};
use super::client::Cluster;
use super::discovery::{Resource, escape};
use super::live::Live;
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
pub type Gvk = (String, String, String);
/// What a list found, by namespace and name.
pub type Listed = BTreeMap<(Option<String>, String), Observed>;

/// Version and key of a subject: from its manifest, else from its record and address.
pub fn locate(subject: &Subject) -> Option<(String, ObjectKey)> {
    let recorded = || {
        let key = ObjectKey::parse(subject.address.object_key()?)?;
        let api_version = subject.recorded.as_deref()?.get("api_version")?.as_str()?.to_owned();
        Some((api_version, key))
    };
    subject.desired.as_deref().and_then(|manifest| identify(manifest).ok()).or_else(recorded)
}

/// What a kind's list holds of what was asked for; `None` when the kind is not served.
type Lists = BTreeMap<Gvk, Result<Option<(Resource, Listed)>, Refusal>>;

/// Which objects of a kind were asked for, by namespace and name.
pub type Named = BTreeSet<(Option<String>, String)>;

/// Reads subjects of one cluster, in their order.
pub async fn read(
    cluster: &Arc<Cluster>,
    subjects: &[&Subject],
    ownership: &Ownership,
) -> Vec<Result<Option<Observed>, ProviderError>> {
    let located = subjects.iter().map(|subject| locate(subject)).collect::<Vec<_>>();
    let mut kinds = BTreeMap::<Gvk, Named>::new();
    for (api_version, key) in located.iter().flatten() {
        kinds.entry(gvk(api_version, key)).or_default().insert((key.namespace.clone(), key.name.clone()));
    }
    let lists = stream::iter(kinds.into_iter().map(|(gvk, named)| {
        let (cluster, id) = (cluster.clone(), ownership.id.clone());
        async move {
            // Before the first apply nothing can carry it.
            let listed = match id.is_empty() {
                true => unlisted(&cluster, &gvk).await,
                false => list(&cluster, &gvk, Some(&named), &format!("{MARK}={id}")).await,
            };
            (gvk, listed)
        }
    }));
    let mut lists = lists.buffer_unordered(PARALLEL).collect::<Lists>().await;
    let mut answers = Vec::with_capacity(subjects.len());
    // Thousands are listed; a request, which takes kilobytes, is made for the few that are not.
    let mut looks = Vec::new();
    for (at, (subject, located)) in subjects.iter().zip(located).enumerate() {
        match pick(&mut lists, subject, located) {
            Found::Settled(answer) => answers.push(answer),
            Found::ByName(resource, key) => {
                answers.push(Ok(None));
                looks.push(async move { (at, look(cluster, &resource, &key, subject, ownership).await) });
            }
        }
    }
    let mut looks = stream::iter(looks).buffer_unordered(PARALLEL);
    while let Some((at, answer)) = looks.next().await {
        answers[at] = answer;
    }
    drop(looks);
    answers
}

enum Found {
    Settled(Result<Option<Observed>, ProviderError>),
    /// Only a GET can tell.
    ByName(Resource, ObjectKey),
}

/// Takes one subject out of the lists.
fn pick(lists: &mut Lists, subject: &Subject, located: Option<(String, ObjectKey)>) -> Found {
    let Some((api_version, key)) = located else { return Found::Settled(Ok(None)) };
    let (resource, listed) = match lists.get_mut(&gvk(&api_version, &key)) {
        Some(Ok(Some(found))) => found,
        // A kind that is not served has no objects.
        Some(Ok(None)) | None => return Found::Settled(Ok(None)),
        Some(Err(refusal)) => {
            return Found::Settled(Err(refusal.error(&format!("cannot list {}", key.kind), &Json::Null)));
        }
    };
    let namespace = if resource.namespaced { key.namespace.clone().or(Some("default".into())) } else { None };
    match listed.remove(&(namespace, key.name.clone())) {
        Some(observed) => Found::Settled(Ok(Some(observed))),
        None if subject.recorded.is_some() || subject.adopt => Found::ByName(resource.clone(), key),
        None => Found::Settled(Ok(None)),
    }
}

/// Asks by its name for what is recorded, or to be adopted, and does not carry the label.
async fn look(
    cluster: &Cluster,
    resource: &Resource,
    key: &ObjectKey,
    subject: &Subject,
    ownership: &Ownership,
) -> Result<Option<Observed>, ProviderError> {
    let recorded = subject.recorded.as_deref().unwrap_or(&Value::Null);
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

/// Group, version and kind of an object.
pub fn gvk(api_version: &str, key: &ObjectKey) -> Gvk {
    (key.group.clone(), version_of(api_version).to_owned(), key.kind.clone())
}

/// A kind of which nothing is asked for by label; `None` when it is not served.
async fn unlisted(cluster: &Cluster, gvk: &Gvk) -> Result<Option<(Resource, Listed)>, Refusal> {
    let (group, version, kind) = gvk;
    let resource = cluster.known_resource(group, Some(version), kind).await?;
    Ok(resource.map(|resource| (resource, Listed::new())))
}

/// The objects of a kind that a label selector finds, all or the named ones; `None` when the kind is not served.
///
/// # Errors
/// When the list is refused.
pub async fn list(
    cluster: &Cluster,
    gvk: &Gvk,
    named: Option<&Named>,
    selector: &str,
) -> Result<Option<(Resource, Listed)>, Refusal> {
    let Some((resource, mut listed)) = unlisted(cluster, gvk).await? else { return Ok(None) };
    let (group, version, kind) = gvk;
    let selector = escape(selector);
    let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
    let mut next = String::new();
    loop {
        let path = format!("{}?labelSelector={selector}&limit={PAGE}{next}", resource.collection(None));
        let page = match cluster.page(&path).await {
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
        for Live(mut item) in page.items.into_iter().flatten() {
            let text = |key| item.at(&["metadata", key]).and_then(Value::as_str).map(str::to_owned);
            let (namespace, name, uid) = (text("namespace"), text("name").unwrap_or_default(), text("uid"));
            // A manifest may leave the namespace out.
            let asked = named.is_none_or(|named| {
                [namespace.clone(), None].into_iter().any(|namespace| named.contains(&(namespace, name.clone())))
            });
            let Value::Map(attrs) = &mut item else { continue };
            if !asked {
                continue;
            }
            // Items of a list carry neither.
            attrs.insert("apiVersion".to_owned(), api_version.as_str().into());
            attrs.insert("kind".to_owned(), kind.as_str().into());
            listed.insert((namespace, name), Observed { id: uid.unwrap_or_default(), attrs: item });
        }
        if page.metadata.next.is_empty() {
            return Ok(Some((resource, listed)));
        }
        next = format!("&continue={}", escape(&page.metadata.next));
    }
}
