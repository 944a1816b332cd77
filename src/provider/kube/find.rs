//! Finding a stack's objects without its state: by the label that they carry and the field manager that made them.
//!
//! Changes nothing; asking what an apply would change is a rehearsal (`dryRun`).

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use serde_json::Value as Json;

use super::client::Cluster;
use super::object::{MARK, manager};
use super::read::{Gvk, Named, gvk, list, locate};
use super::refusal::Refusal;
use super::{apply, fields, hook};
use crate::address::ObjectKey;
use crate::resource::driver::{ApplyRequest, Found, Mark, Ownership, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// Requests in flight at a time.
const PARALLEL: usize = 8;

/// Whose marks the subjects of one cluster carry, in their order.
///
/// # Errors
/// When a kind cannot be listed.
pub async fn marks(cluster: &Arc<Cluster>, subjects: &[&Subject]) -> Result<Vec<Option<Mark>>, ProviderError> {
    let located = subjects.iter().map(|subject| locate(subject)).collect::<Vec<_>>();
    let mut kinds = BTreeMap::<Gvk, Named>::new();
    for (api_version, key) in located.iter().flatten() {
        kinds.entry(gvk(api_version, key)).or_default().insert((key.namespace.clone(), key.name.clone()));
    }
    let lists = stream::iter(kinds.into_iter().map(|(gvk, named)| async move {
        let listed = list(cluster, &gvk, Some(&named), MARK).await;
        (gvk, listed)
    }));
    let mut lists = lists.buffer_unordered(PARALLEL).collect::<BTreeMap<_, _>>().await;
    let mut marks = Vec::new();
    for located in located {
        let Some((api_version, key)) = located else {
            marks.push(None);
            continue;
        };
        let mark = match lists.get_mut(&gvk(&api_version, &key)) {
            Some(Ok(Some((resource, listed)))) => {
                let default = resource.namespaced.then(|| "default".to_owned());
                let namespace = if resource.namespaced { key.namespace.clone().or(default) } else { None };
                let found = listed.get(&(namespace, key.name.clone()));
                found.and_then(|found| found.attrs.at(&["metadata", "labels", MARK])?.as_str().map(str::to_owned))
            }
            Some(Err(refusal)) => return Err(unlisted(refusal, &key.kind)),
            Some(Ok(None)) | None => None,
        };
        marks.push(mark.map(|id| Mark { id, stack: None }));
    }
    Ok(marks)
}

fn unlisted(refusal: &Refusal, kind: &str) -> ProviderError {
    refusal.error(&format!("cannot list {kind}"), &Json::Null)
}

/// Everything in the cluster that the stack has made and still marks. Controllers copy labels to what they make: what
/// counts is who has applied the object. What hooks leave behind is theirs.
///
/// # Errors
/// When a kind cannot be listed: without it, it is not known what there is.
pub async fn find(cluster: &Arc<Cluster>, ownership: &Ownership) -> Result<Vec<Found>, ProviderError> {
    let catalogue = cluster.discover().await.map_err(|refusal| refusal.error("discovery", &Json::Null))?;
    let kinds = catalogue
        .preferred()
        .map(|(kind, resource)| (resource.group.clone(), resource.version.clone(), kind.to_owned()));
    let kinds = kinds.collect::<Vec<_>>();
    let selector = format!("{MARK}={}", ownership.id);
    let lists = stream::iter(kinds.into_iter().map(|gvk| {
        let selector = &selector;
        async move {
            let listed = list(cluster, &gvk, None, selector).await;
            (gvk, listed)
        }
    }));
    let ours = manager(&ownership.id);
    let mut found = Vec::new();
    for ((group, _, kind), listed) in lists.buffered(PARALLEL).collect::<Vec<_>>().await {
        let listed = match listed {
            Ok(Some((_, listed))) => listed,
            Ok(None) => continue,
            // Not every kind can be listed (reviews), and its objects do not last.
            Err(refusal) if matches!(refusal.code(), Some(404 | 405)) => continue,
            Err(refusal) => return Err(unlisted(&refusal, &kind)),
        };
        for ((namespace, name), observed) in listed {
            let is_hook = observed.attrs.at(&["metadata", "annotations", hook::MARK]).is_some();
            if is_hook || fields::owned_by(&observed.attrs, &ours).is_empty() {
                continue;
            }
            let key = ObjectKey { group: group.clone(), kind: kind.clone(), namespace, name };
            found.push(Found { name: key.to_string(), observed });
        }
    }
    Ok(found)
}

/// Whether applying the manifest would leave the object, and what of it is ours, as it is.
///
/// # Errors
/// When the server cannot be asked.
pub async fn would_keep(cluster: &Arc<Cluster>, request: &ApplyRequest) -> Result<bool, ProviderError> {
    let (api_version, key) = apply::identify(&request.attrs)?;
    let resource = apply::served(cluster, &api_version, &key).await?;
    let live = match cluster.get(&resource.object(key.namespace.as_deref(), &key.name)).await {
        Ok(live) => live,
        Err(refusal) if refusal.is_not_found() => return Ok(false),
        Err(refusal) => return Err(refusal.error(&key.to_string(), &Json::Null)),
    };
    let rehearsed = match apply::rehearse(cluster, request).await {
        Ok(rehearsed) => rehearsed,
        // It would be refused, or cannot be asked for without effects.
        Err(error) if matches!(error.class, ErrorClass::Conflict | ErrorClass::Invalid | ErrorClass::Denied) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let ours = manager(&request.ownership.id);
    let owned = |object: &Json| fields::owned_by(&Value::from_plain_json(object), &ours);
    Ok(owned(&live) == owned(&rehearsed) && content(live) == content(rehearsed))
}

/// The object without what every write changes.
fn content(mut object: Json) -> Json {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(key);
        }
    }
    object
}
