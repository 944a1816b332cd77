//! The garbage collector: what no owner keeps alive goes, in the background, in the foreground or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value as Json;

use super::{Controller, Key, Outcome, Surroundings, durations, fields, runner, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The collector. Its index of owners is a cache of what the objects say, built anew at each start.
#[derive(Debug, Default)]
pub struct Garbage {
    dependents: Mutex<BTreeMap<String, BTreeSet<Key>>>,
}

impl Garbage {
    fn dependents(&self, api: &dyn Api, uid: &str) -> Vec<(Key, std::sync::Arc<Json>)> {
        let mut index = self.dependents.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = index.get_mut(uid) else { return Vec::new() };
        let mut found = Vec::new();
        keys.retain(|key| {
            let object = api
                .get(&key.gvk, &key.namespace, &key.name)
                .filter(|object| owners(object).any(|o| owner_uid(o) == uid));
            let there = object.is_some();
            found.extend(object.map(|object| (key.clone(), object)));
            there
        });
        if keys.is_empty() {
            index.remove(uid);
        }
        found
    }
}

fn owners(object: &Json) -> impl Iterator<Item = &Json> {
    fields::list(object, "/metadata/ownerReferences").iter()
}

fn owner_uid(reference: &Json) -> &str {
    fields::text(reference, "/uid")
}

/// The owner that a reference names: in the dependent's namespace or of cluster scope.
fn find_owner(api: &dyn Api, reference: &Json, namespace: &str) -> Option<std::sync::Arc<Json>> {
    let gvk = Gvk::of(reference)?;
    let name = fields::text(reference, "/name");
    let near = api.get(&gvk, namespace, name);
    let found = near.or_else(|| if namespace.is_empty() { None } else { api.get(&gvk, "", name) });
    found.filter(|owner| fields::uid(owner) == owner_uid(reference))
}

#[async_trait]
impl Controller for Garbage {
    fn name(&self) -> &'static str {
        "garbage"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![runner::every_kind()]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind == "Event" {
            return Vec::new();
        }
        let mut keys = Vec::new();
        {
            let mut index = self.dependents.lock().unwrap_or_else(PoisonError::into_inner);
            for reference in owners(object) {
                index.entry(owner_uid(reference).to_owned()).or_default().insert(changed.clone());
            }
        }
        let now = api.get(&changed.gvk, &changed.namespace, &changed.name);
        let gone = now.is_none_or(|now| fields::uid(&now) != fields::uid(object));
        if gone || fields::is_going(object) {
            keys.extend(self.dependents(api, fields::uid(object)).into_iter().map(|(key, _)| key));
        }
        let concerned = owners(object).next().is_some() || fields::is_going(object);
        if concerned {
            // A dependent that goes may be what an owner in the foreground waits for.
            keys.extend(owners(object).filter(|_| gone).flat_map(|reference| {
                let near = fields::key_of_owner(reference, &changed.namespace);
                near.into_iter().chain(fields::key_of_owner(reference, ""))
            }));
            keys.push(changed.clone());
        }
        keys
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(object) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if fields::is_going(&object) {
            if fields::has_finalizer(&object, ORPHAN) {
                return self.release(around, &object).await;
            }
            if fields::has_finalizer(&object, FOREGROUND) {
                return self.foreground(around, &object).await;
            }
            return Ok(Outcome::Done);
        }
        let mut absent = Vec::new();
        let mut dying = false;
        let mut alive = false;
        for reference in owners(&object) {
            let known = Gvk::of(reference).is_some_and(|gvk| api.serves(&gvk));
            match find_owner(&**api, reference, &key.namespace) {
                Some(owner) => {
                    // Whether the owner waits for this one decides nothing: it goes all the same.
                    let waits = fields::is_going(&owner) && fields::has_finalizer(&owner, FOREGROUND);
                    dying |= waits;
                    alive |= !waits;
                }
                // A kind that is not served cannot be judged; the real collector keeps trying as well.
                None if !known => return Ok(Outcome::Done),
                None => absent.push(reference.clone()),
            }
        }
        if owners(&object).next().is_none() || (absent.is_empty() && !dying) {
            return Ok(Outcome::Done);
        }
        if alive {
            if absent.is_empty() {
                return Ok(Outcome::Done);
            }
            let mut next = (*object).clone();
            if let Some(all) = next.pointer_mut("/metadata/ownerReferences").and_then(Json::as_array_mut) {
                all.retain(|reference| !absent.contains(reference));
            }
            writes::object(api, &object, next).await?;
            return Ok(Outcome::Done);
        }
        // The collector's graph lags behind the cluster.
        around.clock.sleep(durations::GARBAGE).await;
        let held = !self.dependents(&**api, fields::uid(&object)).is_empty();
        let propagation = if dying && held { "Foreground" } else { "Background" };
        let options = crate::sim::kube::api::DeleteOptions {
            uid: Some(fields::uid(&object).to_owned()),
            propagation: Some(propagation.to_owned()),
            grace_seconds: None,
        };
        match api.delete(&key.gvk, &key.namespace, &key.name, options).await {
            Err(status) if status.code != 404 => Err(status),
            _ => Ok(Outcome::Done),
        }
    }
}

impl Garbage {
    /// Takes the owner's references off its dependents, then lets it go.
    async fn release(&self, around: &Surroundings, owner: &Json) -> Result<Outcome, Status> {
        for (_, dependent) in self.dependents(&*around.api, fields::uid(owner)) {
            let mut next = (*dependent).clone();
            if let Some(all) = next.pointer_mut("/metadata/ownerReferences").and_then(Json::as_array_mut) {
                all.retain(|reference| owner_uid(reference) != fields::uid(owner));
            }
            writes::object(&around.api, &dependent, next).await?;
        }
        let mut next = owner.clone();
        fields::remove_finalizer(&mut next, ORPHAN);
        writes::object(&around.api, owner, next).await?;
        Ok(Outcome::Done)
    }

    /// Lets the owner go once nothing that blocks its deletion is left; its dependents are told by
    /// [`Controller::keys`].
    async fn foreground(&self, around: &Surroundings, owner: &Json) -> Result<Outcome, Status> {
        let blocked = self.dependents(&*around.api, fields::uid(owner)).iter().any(|(_, dependent)| {
            owners(dependent).any(|reference| {
                owner_uid(reference) == fields::uid(owner) && fields::flag(reference, "/blockOwnerDeletion")
            })
        });
        if blocked {
            return Ok(Outcome::Done);
        }
        let mut next = owner.clone();
        fields::remove_finalizer(&mut next, FOREGROUND);
        writes::object(&around.api, owner, next).await?;
        Ok(Outcome::Done)
    }
}
