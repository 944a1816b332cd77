//! How an add-on's control loop works: only while a Ready pod runs its program, and as that pod's ServiceAccount.
//!
//! A loop says what it looks after and what else concerns it ([`Step`]); [`Loop`] makes a controller of it.
//! Knows nothing of any particular add-on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::objects::{self, Condition, containers, core, list, name, namespace, pod_ready, text};
use super::program::Program;
use crate::env::clock::{SharedClock, Timestamp};
use crate::sim::controllers::{Controller, Key, Outcome, Surroundings};
use crate::sim::kube::api::{Api, Gvk, Status};

/// A program at work: a Ready pod and the API server as its ServiceAccount sees it.
#[derive(Clone)]
pub struct Work {
    /// The API server, as the pod's ServiceAccount.
    pub api: Arc<dyn Api>,
    /// Simulated time.
    pub clock: SharedClock,
    /// The pod.
    pub pod: Arc<Json>,
    /// The container of the pod that runs the program.
    pub container: Json,
}

impl Work {
    /// The program at work, if a Ready pod runs it. Of several pods the first by name leads.
    pub fn of(around: &Surroundings, program: Program) -> Option<Work> {
        let pods = around.api.list(&core("Pod"), None);
        let (pod, container) = pods.iter().filter(|pod| pod_ready(pod)).find_map(|pod| {
            let container = list(pod, "/spec/containers").iter().find(|c| Program::of(c) == Some(program))?;
            Some((pod.clone(), container.clone()))
        })?;
        let account = match text(&pod, "/spec/serviceAccountName") {
            "" => "default",
            account => account,
        };
        let user = format!("system:serviceaccount:{}:{account}", namespace(&pod));
        Some(Work { api: around.api.impersonate(&user), clock: around.clock.clone(), pod, container })
    }

    /// The namespace the program runs in.
    pub fn namespace(&self) -> &str {
        namespace(&self.pod)
    }

    /// When its pod became Ready.
    pub fn since(&self) -> Timestamp {
        objects::condition(&self.pod, "Ready")
            .and_then(|c| Timestamp::parse(c["lastTransitionTime"].as_str()?))
            .unwrap_or_default()
    }

    /// Creates or changes an object so that it says at least `wanted`, by server-side apply in the program's
    /// name. Writes nothing where that is so already.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn ensure(&self, manager: &str, wanted: Json) -> Result<Arc<Json>, Status> {
        if let Some(existing) = Gvk::of(&wanted).and_then(|gvk| self.api.get(&gvk, namespace(&wanted), name(&wanted)))
            && objects::covers(&existing, &wanted)
        {
            return Ok(existing);
        }
        self.api.apply(manager, wanted, true).await
    }

    /// Like [`Work::ensure`], but always applies, so that fields no longer wanted go.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn enforce(&self, manager: &str, wanted: Json) -> Result<Arc<Json>, Status> {
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

    /// The program that must be running.
    fn program(&self) -> Program;

    /// The kinds it looks after, the preferred version of each kind first. `Pod` here stands for the pods
    /// that run the program itself: for loops that make things from nothing.
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
pub struct Loop<S>(pub S);

impl<S: Step> Loop<S> {
    /// The served version of each kind it looks after.
    fn served(&self, api: &dyn Api) -> Vec<Gvk> {
        let mut kinds: Vec<Gvk> = Vec::new();
        for gvk in self.0.looks_after() {
            if !kinds.iter().any(|k| k.group == gvk.group && k.kind == gvk.kind) && api.serves(&gvk) {
                kinds.push(gvk);
            }
        }
        kinds
    }

    fn all(&self, api: &dyn Api, concerned: impl Fn(&Json) -> bool) -> Vec<Key> {
        let own = self.0.program();
        self.served(api)
            .into_iter()
            .flat_map(|gvk| {
                let objects = api.list(&gvk, None);
                let keys: Vec<Key> = objects
                    .iter()
                    .filter(|o| gvk.kind != "Pod" || runs(o, own))
                    .filter(|o| concerned(o))
                    .map(|o| Key { gvk: gvk.clone(), namespace: namespace(o).to_owned(), name: name(o).to_owned() })
                    .collect();
                keys
            })
            .collect()
    }
}

/// Whether a pod runs the program.
pub fn runs(pod: &Json, program: Program) -> bool {
    pod.get("spec").is_some_and(|spec| containers(spec).any(|c| Program::of(c) == Some(program)))
}

#[async_trait]
impl<S: Step> Controller for Loop<S> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn watches(&self) -> Vec<Gvk> {
        let mut kinds = self.0.looks_after();
        kinds.extend(self.0.also_watches());
        kinds.push(core("Pod"));
        kinds.sort();
        kinds.dedup();
        kinds
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        let same = |gvk: &Gvk| gvk.group == changed.gvk.group && gvk.kind == changed.gvk.kind;
        let mut keys = Vec::new();
        if let Some(gvk) = self.served(api).into_iter().find(|gvk| same(gvk))
            && (gvk.kind != "Pod" || runs(object, self.0.program()))
        {
            keys.push(Key { gvk, ..changed.clone() });
        }
        if changed.gvk.kind == "Pod" && changed.gvk.group.is_empty() && runs(object, self.0.program()) {
            keys.extend(self.all(api, |_| true));
        } else if self.0.also_watches().iter().any(same) {
            keys.extend(self.all(api, |own| self.0.concerns(object, own)));
        }
        keys.sort();
        keys.dedup();
        keys
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let Some(work) = Work::of(around, self.0.program()) else { return Ok(Outcome::Done) };
        let Some(object) = around.api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let result = self.0.step(&work, &object).await;
        if let Err(status) = &result
            && status.code != 409
        {
            tracing::debug!(controller = self.0.name(), name = key.name, %status, "reconcile failed");
            let message = status.message();
            record_event(&*around.api, around.clock.now(), &object, "Warning", "ReconcileError", message).await;
        }
        result
    }
}
