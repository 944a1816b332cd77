//! Deleting: preconditions, finalizers, graceful pods, the special ends of namespaces and CRDs.
//!
//! Dependants are not touched: the garbage collector is a controller; only its finalizers are set here.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::admission::{self, Attributes, Operation};
use super::api::Status;
use super::fault;
use super::server::ApiServer;
use super::store::revision_of;
use super::write::{Request, meta_text};
use super::{convert, typed};
use crate::env::clock::Timestamp;

/// How to delete.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletion {
    /// Only this very object.
    pub uid: Option<String>,
    /// Only in this revision.
    pub revision: Option<String>,
    /// `Background`, `Foreground`, `Orphan`.
    pub propagation: Option<String>,
    /// `true` orphans, `false` does not; the old way to say it.
    pub orphan: Option<bool>,
    /// Seconds; for pods.
    pub grace: Option<i64>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) enum Deleted {
    /// It is gone. The last form, in the request's version.
    Gone(Arc<Json>),
    /// It waits for its finalizers or its grace period.
    Pending(Arc<Json>),
}

/// Whether an object that is on its way out has nothing left to wait for.
pub(crate) fn complete(object: &Json) -> bool {
    let meta = &object["metadata"];
    let held = meta["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    let namespace = object["kind"] == "Namespace" && object["apiVersion"] == "v1";
    let spec_held = namespace && object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    let graceful = meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    !meta["deletionTimestamp"].is_null() && !held && !spec_held && !graceful
}

/// The finalizers after a deletion with this propagation.
fn finalizers(object: &Json, deletion: &Deletion) -> Vec<Json> {
    let mut list = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let wanted = match (deletion.propagation.as_deref(), deletion.orphan) {
        (Some("Orphan"), _) | (None, Some(true)) => Some("orphan"),
        (Some("Foreground"), _) => Some("foregroundDeletion"),
        (Some(_), _) | (None, Some(false)) => None,
        (None, None) => return list,
    };
    list.retain(|f| f != "orphan" && f != "foregroundDeletion");
    list.extend(wanted.map(Json::from));
    list
}

impl ApiServer {
    fn check_preconditions(&self, request: &Request, deletion: &Deletion, live: &Json) -> Result<(), Status> {
        let resource = &request.resource;
        let kind = |why: String| fault::conflict(&resource.group, &resource.kind, &request.name, &why);
        let uid = meta_text(live, "uid").unwrap_or_default();
        if let Some(wanted) = deletion.uid.as_deref().filter(|wanted| *wanted != uid) {
            return Err(kind(format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might \
                 have been deleted and then recreated"
            )));
        }
        let revision = meta_text(live, "resourceVersion").unwrap_or_default();
        if let Some(wanted) = deletion.revision.as_deref().filter(|wanted| *wanted != revision) {
            return Err(kind(format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
                 ({revision}). The object might have been modified"
            )));
        }
        Ok(())
    }

    /// DELETE of one object.
    pub(crate) async fn delete(&self, request: Request, deletion: Deletion) -> Result<Deleted, Status> {
        let resource = request.resource.clone();
        let missing = || fault::not_found(&resource.group, &resource.plural, &request.name);
        let protected = resource.group.is_empty()
            && resource.plural == "namespaces"
            && matches!(request.name.as_str(), "default" | "kube-system" | "kube-public");
        if protected {
            return Err(fault::forbidden("", "namespaces", &request.name, "this namespace may not be deleted"));
        }
        loop {
            let table = resource.table();
            let live = self.store.get(&table, &request.key()).ok_or_else(missing)?;
            self.check_preconditions(&request, &deletion, &live)?;
            let current = convert::one(self, &resource, live.clone()).await?;
            let attributes = Attributes { request: request.clone(), operation: Operation::Delete };
            let mut warnings = Vec::new();
            admission::validate(self, &attributes, &Json::Null, Some(&current), &mut warnings).await?;
            let gvk = resource.storage_gvk();
            let expected = revision_of(&live);
            let dry = request.options.dry_run;
            let result = match self.mark(&request, &deletion, &live) {
                Mark::Remove(None) if dry => Ok(Deleted::Gone(current)),
                Mark::Remove(Some(object)) | Mark::End(object) if dry => {
                    Ok(Deleted::Gone(convert::one(self, &resource, Arc::new(object)).await?))
                }
                Mark::Remove(None) => {
                    self.store.remove(&gvk, &table, &request.key(), expected, None).map(|_| Deleted::Gone(current))
                }
                Mark::Remove(last) => match self.store.remove(&gvk, &table, &request.key(), expected, last) {
                    Ok(object) => Ok(Deleted::Gone(convert::one(self, &resource, object).await?)),
                    Err(()) => Err(()),
                },
                // Watches see the last grace period and then the end.
                Mark::End(object) => match self.store.put(&gvk, &table, &request.key(), Some(expected), object) {
                    Ok(last) => match self.store.remove(&gvk, &table, &request.key(), revision_of(&last), None) {
                        Ok(_) => Ok(Deleted::Gone(convert::one(self, &resource, last).await?)),
                        Err(()) => Err(()),
                    },
                    Err(()) => Err(()),
                },
                Mark::Keep(object) => {
                    let kept = if dry || object == *live {
                        Ok(Arc::new(object))
                    } else {
                        self.store.put(&gvk, &table, &request.key(), Some(expected), object)
                    };
                    match kept {
                        Ok(object) => Ok(Deleted::Pending(convert::one(self, &resource, object).await?)),
                        Err(()) => Err(()),
                    }
                }
            };
            if let Ok(deleted) = result {
                return Ok(deleted);
            }
        }
    }

    /// What a deletion does to the object first.
    fn mark(&self, request: &Request, deletion: &Deletion, live: &Json) -> Mark {
        let resource = &request.resource;
        let mut object = live.clone();
        let deleting = !live["metadata"]["deletionTimestamp"].is_null();
        let now = Json::from(self.now());
        let mut held = finalizers(&object, deletion);
        match (resource.group.as_str(), resource.plural.as_str()) {
            ("", "namespaces") => {
                let meta = typed::metadata(&mut object);
                set_finalizers(meta, held);
                if deleting && complete(&object) {
                    return Mark::Remove(Some(object));
                }
                // The first request only marks; even an empty namespace goes with the next one.
                if !deleting {
                    typed::metadata(&mut object).insert("deletionTimestamp".to_owned(), now);
                    object["status"]["phase"] = Json::from("Terminating");
                }
            }
            ("apiextensions.k8s.io", "customresourcedefinitions") => {
                if !deleting {
                    if held.iter().all(|f| f != super::crd::FINALIZER) {
                        held.push(Json::from(super::crd::FINALIZER));
                    }
                    typed::metadata(&mut object).insert("deletionTimestamp".to_owned(), now);
                    super::crd::mark_terminating(self, &mut object);
                }
                set_finalizers(typed::metadata(&mut object), held);
            }
            ("", "pods") => {
                self.mark_pod(deletion, &mut object, deleting, held);
                typed::tidy(resource, &mut object);
                return if complete(&object) { Mark::End(object) } else { Mark::Keep(object) };
            }
            _ => {
                if held.is_empty() {
                    return Mark::Remove(None);
                }
                let meta = typed::metadata(&mut object);
                set_finalizers(meta, held);
                if !deleting {
                    meta.insert("deletionTimestamp".to_owned(), now);
                    meta.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
                    if let Some(generation) = meta.get("generation").and_then(Json::as_i64) {
                        meta.insert("generation".to_owned(), json!(generation + 1));
                    }
                }
            }
        }
        typed::tidy(resource, &mut object);
        Mark::Keep(object)
    }

    /// A pod gets its grace period, unless nobody runs it.
    fn mark_pod(&self, deletion: &Deletion, pod: &mut Json, deleting: bool, held: Vec<Json>) {
        let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
        let done = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let running = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty()) && !done;
        let wanted = if running { deletion.grace.unwrap_or(own).max(0) } else { 0 };
        let meta = typed::metadata(pod);
        set_finalizers(meta, held);
        let left = meta.get("deletionGracePeriodSeconds").and_then(Json::as_i64);
        if deleting && left.is_some_and(|left| wanted >= left) {
            return;
        }
        // A shorter time counts from when the first deletion was asked for.
        let asked = match (meta.get("deletionTimestamp").and_then(Json::as_str).and_then(Timestamp::parse), left) {
            (Some(end), Some(left)) => Timestamp(end.0.saturating_sub(u64::try_from(left).unwrap_or(0) * 1000)),
            _ => self.clock.now(),
        };
        let at = asked.plus(std::time::Duration::from_secs(u64::try_from(wanted).unwrap_or(0)));
        meta.insert("deletionTimestamp".to_owned(), Json::from(at.rfc3339()));
        meta.insert("deletionGracePeriodSeconds".to_owned(), json!(wanted));
        if !deleting {
            let generation = meta.get("generation").and_then(Json::as_i64).unwrap_or(0);
            meta.insert("generation".to_owned(), json!(generation + 1));
        }
    }
}

enum Mark {
    /// It goes now; the last form when it differs from the stored one.
    Remove(Option<Json>),
    /// It goes now, and is seen in this form before.
    End(Json),
    /// It stays for now, in this form.
    Keep(Json),
}

fn set_finalizers(meta: &mut serde_json::Map<String, Json>, list: Vec<Json>) {
    if list.is_empty() {
        meta.shift_remove("finalizers");
    } else {
        meta.insert("finalizers".to_owned(), Json::Array(list));
    }
}
