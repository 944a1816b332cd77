//! An API server's bare bones for the unit tests of controllers: storage, versions, finalizers, watch.
//!
//! No validation, defaulting, authorisation or admission; the real one is in `kube`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::fields;
use crate::env::clock::{Clock, SharedClock, Timestamp};
use crate::env::discrete::DiscreteClock;
use crate::sim::controllers::Surroundings;
use crate::sim::kube::api::{Api, Change, DeleteOptions, Gvk, Status};

type Id = (Gvk, String, String);

#[derive(Default)]
struct Store {
    objects: BTreeMap<Id, Arc<Json>>,
    listeners: Vec<UnboundedSender<Change>>,
    version: u64,
    writes: u64,
    /// Creates of this kind whose name starts so are refused with this message.
    refused: Vec<(String, String, String)>,
}

#[derive(Clone)]
pub struct Fake {
    store: Arc<Mutex<Store>>,
    clock: SharedClock,
}

impl Fake {
    pub fn new(clock: SharedClock) -> Self {
        Fake { store: Arc::default(), clock }
    }

    /// Number of writes that changed something.
    pub fn writes(&self) -> u64 {
        self.store.lock().expect("lock").writes
    }

    pub fn refuse(&self, kind: &str, name: &str, message: &str) {
        self.store.lock().expect("lock").refused.push((kind.into(), name.into(), message.into()));
    }

    pub fn permit_all(&self) {
        self.store.lock().expect("lock").refused.clear();
    }

    fn put(&self, id: Id, mut object: Json) -> Arc<Json> {
        let mut store = self.store.lock().expect("lock");
        let old = store.objects.get(&id).cloned();
        if let Some(old) = &old {
            object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
            if **old == object {
                return old.clone();
            }
        }
        store.version += 1;
        store.writes += 1;
        object["metadata"]["resourceVersion"] = json!(store.version.to_string());
        let idle = fields::is_going(&object)
            && fields::list(&object, "/metadata/finalizers").is_empty()
            && fields::list(&object, "/spec/finalizers").is_empty()
            && (id.0.kind != "Pod" || object["metadata"]["deletionGracePeriodSeconds"] == 0);
        let new = Arc::new(object);
        let change = if idle {
            store.objects.remove(&id);
            Change { gvk: id.0, old, new: None }
        } else {
            store.objects.insert(id.clone(), new.clone());
            Change { gvk: id.0, old, new: Some(new.clone()) }
        };
        store.listeners.retain(|listener| listener.send(change.clone()).is_ok());
        new
    }

    fn id(object: &Json) -> Id {
        let gvk = Gvk::of(object).expect("kind");
        (gvk, fields::namespace(object).to_owned(), fields::name(object).to_owned())
    }

    fn write(&self, object: Json, status: bool) -> Result<Arc<Json>, Status> {
        let id = Self::id(&object);
        let old = self.store.lock().expect("lock").objects.get(&id).cloned();
        let Some(old) = old else { return Err(Status::failure(404, "NotFound", format!("{} not found", id.2))) };
        let version = fields::text(&object, "/metadata/resourceVersion");
        if !version.is_empty() && old["metadata"]["resourceVersion"] != version {
            return Err(Status::failure(409, "Conflict", "the object has been modified"));
        }
        let mut new = if status { (*old).clone() } else { object.clone() };
        if let Some(map) = new.as_object_mut() {
            map.shift_remove("status");
        }
        let from = if status { &object } else { &*old };
        if let Some(value) = from.get("status") {
            new["status"] = value.clone();
        }
        if !status {
            let generation = fields::number(&old, "/metadata/generation").unwrap_or(1);
            let changed = old.get("spec") != new.get("spec");
            new["metadata"]["generation"] = json!(if changed { generation + 1 } else { generation });
        }
        Ok(self.put(id, new))
    }
}

#[async_trait]
impl Api for Fake {
    fn impersonate(&self, _: &str) -> Arc<dyn Api> {
        Arc::new(self.clone())
    }

    fn serves(&self, _: &Gvk) -> bool {
        true
    }

    fn kinds(&self) -> Vec<(Gvk, bool)> {
        let store = self.store.lock().expect("lock");
        let mut kinds: BTreeMap<Gvk, bool> = BTreeMap::new();
        for (gvk, namespace, _) in store.objects.keys() {
            kinds.insert(gvk.clone(), !namespace.is_empty());
        }
        kinds.into_iter().collect()
    }

    fn get(&self, gvk: &Gvk, namespace: &str, name: &str) -> Option<Arc<Json>> {
        let id = (gvk.clone(), namespace.to_owned(), name.to_owned());
        self.store.lock().expect("lock").objects.get(&id).cloned()
    }

    fn list(&self, gvk: &Gvk, namespace: Option<&str>) -> Vec<Arc<Json>> {
        let store = self.store.lock().expect("lock");
        let all = store.objects.iter();
        all.filter(|((g, n, _), _)| g == gvk && namespace.is_none_or(|wanted| wanted == n))
            .map(|(_, object)| object.clone())
            .collect()
    }

    fn subscribe(&self) -> UnboundedReceiver<Change> {
        let (send, receive) = unbounded_channel();
        self.store.lock().expect("lock").listeners.push(send);
        receive
    }

    async fn create(&self, mut object: Json) -> Result<Arc<Json>, Status> {
        let id = Self::id(&object);
        {
            let store = self.store.lock().expect("lock");
            if store.objects.contains_key(&id) {
                return Err(Status::failure(409, "AlreadyExists", format!("{} already exists", id.2)));
            }
            let hit =
                store.refused.iter().find(|(kind, name, _)| *kind == id.0.kind && id.2.starts_with(name.as_str()));
            if let Some((_, _, message)) = hit {
                let plural = format!("{}s", id.0.kind.to_lowercase());
                return Err(Status::failure(
                    403,
                    "Forbidden",
                    format!("{plural} \"{}\" is forbidden: {message}", id.2),
                ));
            }
        }
        let count = self.store.lock().expect("lock").version + 1;
        object["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{count:012}"));
        object["metadata"]["creationTimestamp"] = json!(self.clock.now().rfc3339());
        object["metadata"]["generation"] = json!(1);
        if id.0.kind == "Namespace" {
            object["spec"]["finalizers"] = json!(["kubernetes"]);
        }
        Ok(self.put(id, object))
    }

    async fn update(&self, object: Json) -> Result<Arc<Json>, Status> {
        self.write(object, false)
    }

    async fn update_status(&self, object: Json) -> Result<Arc<Json>, Status> {
        self.write(object, true)
    }

    async fn update_subresource(&self, _: &str, object: Json) -> Result<Arc<Json>, Status> {
        self.write(object, false)
    }

    async fn apply(&self, _: &str, object: Json, _: bool) -> Result<Arc<Json>, Status> {
        let id = Self::id(&object);
        if self.get(&id.0, &id.1, &id.2).is_some() { self.write(object, false) } else { self.create(object).await }
    }

    async fn delete(&self, gvk: &Gvk, namespace: &str, name: &str, options: DeleteOptions) -> Result<(), Status> {
        let Some(old) = self.get(gvk, namespace, name) else {
            return Err(Status::failure(404, "NotFound", format!("{name} not found")));
        };
        if options.uid.is_some_and(|uid| uid != fields::uid(&old)) {
            return Err(Status::failure(409, "Conflict", "uid"));
        }
        let mut new = (*old).clone();
        match options.propagation.as_deref() {
            Some("Foreground") => fields::add_finalizer(&mut new, "foregroundDeletion"),
            Some("Orphan") => fields::add_finalizer(&mut new, "orphan"),
            _ => {}
        }
        let own = fields::number(&new, "/spec/terminationGracePeriodSeconds").unwrap_or(30);
        let scheduled = !fields::text(&new, "/spec/nodeName").is_empty();
        let grace = match options.grace_seconds {
            Some(grace) => i64::try_from(grace).expect("small"),
            None if scheduled => own,
            None => 0,
        };
        if !fields::is_going(&new) || gvk.kind == "Pod" && grace == 0 {
            // A graceful deletion's time lies in the future by its grace period.
            let seconds = if gvk.kind == "Pod" { u64::try_from(grace).expect("small") } else { 0 };
            let at = self.clock.now().plus(std::time::Duration::from_secs(seconds));
            new["metadata"]["deletionTimestamp"] = json!(at.rfc3339());
            if gvk.kind == "Pod" {
                new["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            }
        }
        if gvk.kind == "Namespace" {
            new["status"]["phase"] = json!("Terminating");
        }
        self.put((gvk.clone(), namespace.to_owned(), name.to_owned()), new);
        Ok(())
    }

    fn may(&self, _: &str, _: &str, _: &str, _: &str) -> bool {
        true
    }
}

/// A cluster's surroundings on a discrete clock, and the runtime that advances it.
pub struct Bench {
    pub fake: Fake,
    pub around: Surroundings,
    pub clock: DiscreteClock,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Bench {
    pub fn new() -> Self {
        let clock = DiscreteClock::new(Timestamp::parse("2026-11-22T10:00:00Z").expect("time"));
        let runtime = clock.runtime().expect("runtime");
        let shared: SharedClock = Arc::new(clock.clone());
        let fake = Fake::new(shared.clone());
        let around = Surroundings { api: Arc::new(fake.clone()), clock: shared };
        Bench { fake, around, clock, runtime: Some(runtime) }
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("runtime").block_on(future)
    }

    pub async fn seconds(&self, seconds: u64) {
        self.clock.sleep(std::time::Duration::from_secs(seconds)).await;
    }

    pub async fn create(&self, object: Json) -> Arc<Json> {
        self.fake.create(object).await.expect("create")
    }

    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Json>> {
        self.fake.get(&gvk(kind), namespace, name)
    }

    pub fn list(&self, kind: &str) -> Vec<Arc<Json>> {
        self.fake.list(&gvk(kind), None)
    }

    /// Reasons and messages of all events about objects of a kind.
    pub fn events(&self, kind: &str) -> Vec<String> {
        let all = self.fake.list(&gvk("Event"), None).into_iter();
        all.filter(|e| e["involvedObject"]["kind"] == kind)
            .map(|e| format!("{}: {}", fields::text(&e, "/reason"), fields::text(&e, "/message")))
            .collect()
    }
}

/// The kinds of these tests by name.
pub fn gvk(kind: &str) -> Gvk {
    super::kinds::of(kind)
}
