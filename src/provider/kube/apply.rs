//! Creating and changing objects by server-side apply, never by force unless told to adopt.

use http::Method;
use serde_json::{Value as Json, json};

use super::client::{Cluster, Content};
use super::discovery::{Resource, escape};
use super::fields;
use super::object::{self, MARK, RELEASED, canonical, is_ceded, without_ceded};
use super::patience::{DEFINED, SUPPLY};
use super::refusal::Refusal;
use crate::address::ObjectKey;
use crate::resource::driver::{ApplyRequest, Ownership};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::kind::Observed;
use crate::value::Value;

/// An object as the driver hands it out.
pub fn observed(live: &Json) -> Observed {
    let id = live.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or_default().to_owned();
    Observed { id, attrs: Value::from_plain_json(live) }
}

/// Whether an object carries the stack's label.
pub fn is_ours(live: &Json, ownership: &Ownership) -> bool {
    !ownership.id.is_empty() && owner(live) == Some(&ownership.id)
}

/// The stack that an object belongs to.
pub fn owner(live: &Json) -> Option<&str> {
    live.pointer("/metadata/labels").and_then(|labels| labels.get(MARK)).and_then(Json::as_str)
}

/// Group, version and key of a manifest.
///
/// # Errors
/// [`ErrorClass::Invalid`] when one is missing.
pub fn identify(manifest: &Value) -> Result<(String, ObjectKey), ProviderError> {
    let text = |path: &[&str]| manifest.at(path).and_then(Value::as_str).map(str::to_owned);
    let parts = || {
        let api_version = text(&["apiVersion"])?;
        let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        let (kind, name) = (text(&["kind"])?, text(&["metadata", "name"])?);
        Some((api_version, ObjectKey { group, kind, namespace: text(&["metadata", "namespace"]), name }))
    };
    parts().ok_or_else(|| ProviderError::new(ErrorClass::Invalid, "the manifest lacks apiVersion, kind or name"))
}

/// `v1` of `apps/v1`.
pub fn version_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or(api_version, |(_, version)| version)
}

/// How to ask for a kind; an error that says what is missing when it is not served.
pub async fn served(cluster: &Cluster, api_version: &str, key: &ObjectKey) -> Result<Resource, ProviderError> {
    let found = cluster.resource(&key.group, Some(version_of(api_version)), &key.kind).await;
    let found = found.map_err(|refusal| refusal.error("discovery", &Json::Null))?;
    found.ok_or_else(|| {
        let text = format!("{key}: the cluster does not serve {} in {api_version} (yet)", key.kind);
        ProviderError::new(ErrorClass::Unavailable, text)
            .patience(DEFINED)
            .hint("the CustomResourceDefinition may still be missing or not established")
    })
}

/// Creates the object.
///
/// # Errors
/// [`ErrorClass::AlreadyExists`] when it is there and not ours, unless the request adopts.
pub async fn create(cluster: &Cluster, request: &ApplyRequest) -> Result<Json, ProviderError> {
    let (api_version, key) = identify(&request.attrs)?;
    let resource = served(cluster, &api_version, &key).await?;
    let path = resource.object(key.namespace.as_deref(), &key.name);
    let manifest = canonical(&request.attrs);
    let mut sent = document(&key, &manifest, &request.ownership)?;
    if !request.adopt {
        match send(cluster, &path, &sent, &request.ownership, Meant::Absent, false, "").await {
            // Something of that name is there.
            Err(Refusal::Answered { code: 409, .. }) => {}
            answer => return answer.map_err(|refusal| explain(&refusal, &key, &sent)),
        }
    }
    let there = match cluster.get(&path).await {
        Ok(live) => Some(live),
        Err(refusal) if refusal.is_not_found() => None,
        Err(refusal) => return Err(refusal.error(&key.to_string(), &Json::Null)),
    };
    let mut force = false;
    if let Some(live) = &there {
        if live.pointer("/metadata/deletionTimestamp").is_some() {
            let text = format!("{key} is still being deleted");
            return Err(ProviderError::new(ErrorClass::Busy, text).patience(SUPPLY));
        }
        if !is_ours(live, &request.ownership) {
            match owner(live) {
                Some(owner) => {
                    let text = format!("{key} exists and belongs to another stack ({owner})");
                    return Err(ProviderError::new(ErrorClass::AlreadyExists, text)
                        .hint("rename the object, or destroy the other stack first"));
                }
                // Kept on purpose by a stack that is gone: a definition, most often, which this one has too.
                None if is_released(live) => force = true,
                None if !request.adopt => {
                    let text = format!("{key} exists and was not made by this stack{}", makers(live));
                    return Err(ProviderError::new(ErrorClass::AlreadyExists, text)
                        .hint("take it over with `stackwright adopt`, or take it out of the stack"));
                }
                None => force = true,
            }
        } else {
            // A run that was stopped made it; whoever takes fields over may have done so since.
            let left = without_surrendered(&manifest, request, &observed(live));
            sent = document(&key, &left, &request.ownership)?;
        }
    }
    let uid = there.as_ref().and_then(|live| live.pointer("/metadata/uid")).and_then(Json::as_str);
    let meant = uid.map_or(Meant::Absent, Meant::This);
    let answer = send(cluster, &path, &sent, &request.ownership, meant, force, "").await;
    answer.map_err(|refusal| explain(&refusal, &key, &sent))
}

/// Whether a stack has let go of an object that outlived it.
fn is_released(live: &Json) -> bool {
    live.pointer("/metadata/labels").and_then(|labels| labels.get(RELEASED)).is_some()
}

/// Who made an object, for messages.
fn makers(live: &Json) -> String {
    let entries = live.pointer("/metadata/managedFields").and_then(Json::as_array).into_iter().flatten();
    let mut names = entries.filter_map(|entry| entry["manager"].as_str()).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { String::new() } else { format!(" (managed by {})", names.join(", ")) }
}

/// Changes the object in place.
///
/// # Errors
/// [`ErrorClass::Conflict`] when others own a field, or the object was made anew since it was read.
pub async fn update(cluster: &Cluster, request: &ApplyRequest) -> Result<Json, ProviderError> {
    change(cluster, request, false).await
}

/// What [`update`] would make of the object, by the server's word; nothing is changed.
///
/// # Errors
/// As [`update`]; [`ErrorClass::Invalid`] also where a webhook cannot be asked without effects.
pub async fn rehearse(cluster: &Cluster, request: &ApplyRequest) -> Result<Json, ProviderError> {
    change(cluster, request, true).await
}

async fn change(cluster: &Cluster, request: &ApplyRequest, rehearsed: bool) -> Result<Json, ProviderError> {
    let (api_version, key) = identify(&request.attrs)?;
    let resource = served(cluster, &api_version, &key).await?;
    let manifest = canonical(&request.attrs);
    let manifest = match &request.observed {
        Some(observed) => without_surrendered(&manifest, request, observed),
        None => without_ceded(&manifest, &request.ceded),
    };
    let path = resource.object(key.namespace.as_deref(), &key.name);
    let sent = document(&key, &manifest, &request.ownership)?;
    let dry = if rehearsed { "&dryRun=All" } else { "" };
    let meant = request.observed.as_ref().map_or(Meant::Any, |observed| Meant::This(&observed.id));
    let answer = send(cluster, &path, &sent, &request.ownership, meant, request.adopt, dry).await;
    answer.map_err(|refusal| explain(&refusal, &key, &sent))
}

/// The manifest without the ceded fields that another manager has taken over. One that is still ours alone is
/// sent again: leaving it out would remove it.
fn without_surrendered(manifest: &Value, request: &ApplyRequest, observed: &Observed) -> Value {
    let manager = object::manager(&request.ownership.id);
    let ours = fields::owned_by(&observed.attrs, &manager).into_iter().filter(|path| {
        is_ceded(&fields::words(path), &request.ceded) && fields::owners(&observed.attrs, path, &manager).is_empty()
    });
    let kept = ours.map(|path| fields::words(&path)).collect::<Vec<_>>();
    // A pattern of several fields is given up as a whole once any of them has been taken.
    let surrendered =
        request.ceded.iter().filter(|field| !kept.iter().any(|path| is_ceded(path, std::slice::from_ref(*field))));
    without_ceded(manifest, &surrendered.cloned().collect::<Vec<_>>())
}

/// Which object an apply is for; any other is refused with a conflict, in the same request.
#[derive(Clone, Copy)]
enum Meant<'a> {
    /// None: it is to be created.
    Absent,
    /// The one with this uid.
    This(&'a str),
    /// Whichever has the name.
    Any,
}

/// A resource version that no object has: revision 1 of etcd is that of the empty store. An apply that names it
/// creates, and conflicts with whatever is there (measured on kube-apiserver 1.36, built-in and custom kinds).
const NEVER: &str = "1";

/// What is sent: the manifest with the stack's mark.
fn document(key: &ObjectKey, manifest: &Value, ownership: &Ownership) -> Result<Json, ProviderError> {
    let mut body = manifest.to_plain_json();
    let Some(metadata) = body["metadata"].as_object_mut() else {
        return Err(ProviderError::new(ErrorClass::Invalid, format!("{key}: the manifest has no metadata")));
    };
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(MARK.to_owned(), json!(ownership.id));
    }
    Ok(body)
}

async fn send(
    cluster: &Cluster,
    path: &str,
    document: &Json,
    ownership: &Ownership,
    meant: Meant<'_>,
    force: bool,
    more: &str,
) -> Result<Json, Refusal> {
    let mut body = document.clone();
    match meant {
        Meant::Absent => body["metadata"]["resourceVersion"] = NEVER.into(),
        Meant::This(uid) => body["metadata"]["uid"] = uid.into(),
        Meant::Any => {}
    }
    let manager = object::manager(&ownership.id);
    let path = format!("{path}?fieldManager={}&fieldValidation=Strict&force={force}{more}", escape(&manager));
    cluster.write(Method::PATCH, &path, Content::Apply, &body).await
}

/// The error, with what is missing where something is.
fn explain(refusal: &Refusal, key: &ObjectKey, sent: &Json) -> ProviderError {
    let error = refusal.error(&key.to_string(), sent);
    match refusal {
        Refusal::Answered { code: 404, .. } if error.class == ErrorClass::NotFound => {
            // The object itself cannot be what is missing: apply creates.
            ProviderError { class: ErrorClass::Unavailable, ..error }
        }
        _ => error,
    }
}
