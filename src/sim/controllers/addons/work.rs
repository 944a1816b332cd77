//! How an add-on's control loop works: it says what it looks after and what else concerns it ([`Step`]), and
//! [`Loop`] makes a controller of it.
//!
//! Loops run while their Pod's container is ready, and act as its ServiceAccount; the activation of programs
//! sees to both. Knows nothing of any particular add-on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::objects::{self, Condition, core, name, namespace, text};
use crate::env::clock::{SharedClock, Timestamp};
use crate::sim::controllers::programs::Instance;
use crate::sim::controllers::runner::key_of;
use crate::sim::controllers::{Controller, Key, Outcome, Surroundings};
use crate::sim::kube::api::{Api, Gvk, Status};

/// A program at work.
#[derive(Clone)]
pub struct Work {
    /// The API server, as the Pod's ServiceAccount.
    pub api: Arc<dyn Api>,
    /// Simulated time.
    pub clock: SharedClock,
    /// The container that runs the program.
    pub instance: Arc<Instance>,
}

impl Work {
    /// The namespace the program runs in.
    pub fn namespace(&self) -> &str {
        self.instance.namespace()
    }

    /// Creates or updates an object so that it says at least `wanted`, with POST and PUT. Writes nothing where
    /// that is so already.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn ensure(&self, wanted: Json) -> Result<Arc<Json>, Status> {
        let existing = Gvk::of(&wanted).and_then(|gvk| self.api.get(&gvk, namespace(&wanted), name(&wanted)));
        match existing {
            None => self.api.create(wanted).await,
            Some(existing) if objects::covers(&existing, &wanted) => Ok(existing),
            Some(existing) => {
                let mut changed = (*existing).clone();
                objects::lay_over(&mut changed, &wanted);
                self.api.update(changed).await
            }
        }
    }

    /// The same by server-side apply in the program's name. With `fresh` it applies even where the object says
    /// so already, so that fields no longer wanted go.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn apply(&self, manager: &str, wanted: Json, fresh: bool) -> Result<Arc<Json>, Status> {
        if !fresh
            && let Some(existing) =
                Gvk::of(&wanted).and_then(|gvk| self.api.get(&gvk, namespace(&wanted), name(&wanted)))
            && objects::covers(&existing, &wanted)
        {
            return Ok(existing);
        }
        self.api.apply(manager, wanted, true).await
    }

    /// Writes an object's status if `status` differs from what it has.
    ///
    /// # Errors
    /// As the API server says; a conflict means that the object was changed meanwhile.
    pub async fn put_status(&self, object: &Json, status: Json) -> Result<(), Status> {
        if object.get("status") == Some(&status) {
            return Ok(());
        }
        let mut changed = object.clone();
        changed["status"] = status;
        self.api.update_status(changed).await.map(drop)
    }

    /// The object's status with these conditions set; nothing is written yet.
    pub fn with_conditions(&self, object: &Json, observed: bool, conditions: &[Condition<'_>]) -> Json {
        let mut status = object.get("status").cloned().unwrap_or_else(|| json!({}));
        let generation = observed.then(|| objects::generation(object));
        for condition in conditions {
            objects::set_condition(&mut status["conditions"], self.clock.now(), generation, *condition);
        }
        status
    }

    /// Writes an Event about `object`, once per reason and message.
    pub async fn event(&self, object: &Json, kind: &str, reason: &str, message: &str) {
        record_event(&*self.api, self.clock.now(), object, kind, reason, message).await;
    }

    /// How much of `duration` since `start` is still to come.
    pub fn left(&self, start: Timestamp, duration: Duration) -> Option<Duration> {
        let passed = self.clock.now().since(start);
        duration.checked_sub(passed).filter(|left| !left.is_zero())
    }
}

/// Writes an Event about `object`, once per reason and message. Not being allowed to is no error: real
/// programs go on as well.
pub async fn record_event(api: &dyn Api, now: Timestamp, object: &Json, kind: &str, reason: &str, message: &str) {
    let home = match namespace(object) {
        "" => "default",
        home => home,
    };
    let digest = objects::sha256_hex(format!("{reason}\n{message}\n{}", text(object, "/metadata/uid")).as_bytes());
    let event = format!("{}.{}", name(object), &digest[..16]);
    if api.get(&core("Event"), home, &event).is_some() {
        return;
    }
    let written = api.create(json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": event, "namespace": home},
        "involvedObject": {
            "apiVersion": object["apiVersion"], "kind": object["kind"], "name": name(object),
            "namespace": namespace(object), "uid": text(object, "/metadata/uid"),
        },
        "type": kind, "reason": reason, "message": message, "count": 1,
        "firstTimestamp": now.rfc3339(), "lastTimestamp": now.rfc3339(), "source": {"component": "controller"},
    }));
    if let Err(status) = written.await {
        tracing::debug!(%status, "event not written");
    }
}

/// What an add-on's loop looks after.
#[async_trait]
pub trait Step: Send + Sync + 'static {
    /// For messages.
    fn name(&self) -> &'static str;

    /// The kinds it looks after, the preferred version of each kind first. `Pod` here stands for the Pod that
    /// runs the program itself: for loops that make things from nothing.
    fn looks_after(&self) -> Vec<Gvk>;

    /// Kinds whose changes concern the objects it looks after.
    fn also_watches(&self) -> Vec<Gvk> {
        Vec::new()
    }

    /// Whether a change of `changed` concerns `own`.
    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        let _ = (changed, own);
        true
    }

    /// Takes the next step for one object.
    async fn step(&self, work: &Work, object: &Arc<Json>) -> Result<Outcome, Status>;
}

/// A controller made of a [`Step`].
pub struct Loop<S> {
    step: S,
    instance: Arc<Instance>,
}

impl<S: Step> Loop<S> {
    /// The loop of a program in one container.
    pub fn of(step: S, instance: &Instance) -> Arc<dyn Controller> {
        Arc::new(Loop { step, instance: Arc::new(instance.clone()) })
    }

    /// The served version of each kind it looks after.
    fn served(&self, api: &dyn Api) -> Vec<Gvk> {
        let mut kinds: Vec<Gvk> = Vec::new();
        for gvk in self.step.looks_after() {
            if !kinds.iter().any(|k| k.group == gvk.group && k.kind == gvk.kind) && api.serves(&gvk) {
                kinds.push(gvk);
            }
        }
        kinds
    }

    /// Whether an object of a kind it looks after is its own: of Pods, only the one it runs in.
    fn own(&self, gvk: &Gvk, object: &Json) -> bool {
        *gvk != core("Pod")
            || (name(object) == name(&self.instance.pod) && namespace(object) == self.instance.namespace())
    }

    fn concerned(&self, api: &dyn Api, changed: &Json) -> Vec<Key> {
        let mut keys = Vec::new();
        for gvk in self.served(api) {
            for object in api.list(&gvk, None) {
                if self.own(&gvk, &object) && self.step.concerns(changed, &object) {
                    keys.push(key_of(gvk.clone(), &object));
                }
            }
        }
        keys
    }
}

#[async_trait]
impl<S: Step> Controller for Loop<S> {
    fn name(&self) -> &'static str {
        self.step.name()
    }

    fn watches(&self) -> Vec<Gvk> {
        let mut kinds = self.step.looks_after();
        kinds.extend(self.step.also_watches());
        kinds.sort();
        kinds.dedup_by(|a, b| a.group == b.group && a.kind == b.kind);
        kinds
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        let same = |gvk: &Gvk| gvk.group == changed.gvk.group && gvk.kind == changed.gvk.kind;
        let mut keys = Vec::new();
        if let Some(gvk) = self.served(api).into_iter().find(|gvk| same(gvk))
            && self.own(&gvk, object)
        {
            keys.push(Key { gvk, ..changed.clone() });
        }
        if self.step.also_watches().iter().any(same) {
            keys.extend(self.concerned(api, object));
        }
        keys.sort();
        keys.dedup();
        keys
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let Some(object) = around.api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let work = Work { api: around.api.clone(), clock: around.clock.clone(), instance: self.instance.clone() };
        let result = self.step.step(&work, &object).await;
        if let Err(status) = &result
            && status.code != 409
        {
            record_event(&*around.api, around.clock.now(), &object, "Warning", "ReconcileError", status.message())
                .await;
        }
        result
    }
}
