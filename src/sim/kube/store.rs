//! The objects of one cluster, their history and who wants to hear about changes.
//!
//! Knows nothing of what objects mean: validation, admission and ownership are `write`'s.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::api::{Change, Gvk};
use super::registry::{Registry, Table};
use crate::sim::world::World;

/// Namespace and name.
pub(crate) type Name = (String, String);

/// One entry of the history.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The revision this change made.
    pub revision: u64,
    /// Whose table.
    pub table: Table,
    /// Before.
    pub old: Option<Arc<Json>>,
    /// After; a deleted object carries the revision of its deletion in `old`.
    pub new: Option<Arc<Json>>,
    /// What was stored before, untouched.
    before: Option<Arc<Json>>,
    name: Name,
}

/// How many changes are remembered for watches; older ones answer 410.
const HISTORY: usize = 2000;

const REVISION: &str = "!revision";

struct Inner {
    revision: u64,
    tables: BTreeMap<Table, BTreeMap<Name, Arc<Json>>>,
    history: VecDeque<Event>,
    /// Changes up to and including this revision are forgotten.
    forgotten: u64,
    subscribers: Vec<UnboundedSender<Change>>,
    registry: Arc<Registry>,
}

/// All objects of a cluster.
pub(crate) struct Store {
    world: Arc<World>,
    section: String,
    inner: Mutex<Inner>,
    revisions: watch::Sender<u64>,
}

fn key(table: &Table, name: &Name) -> String {
    format!("{}/{}/{}/{}", table.0, table.1, name.0, name.1)
}

/// The revision an object carries.
pub(crate) fn revision_of(object: &Json) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Sets `metadata.resourceVersion`.
pub(crate) fn set_revision(object: &mut Json, revision: u64) {
    object["metadata"]["resourceVersion"] = Json::from(revision.to_string());
}

/// The table of CRDs.
pub(crate) fn crds() -> Table {
    ("apiextensions.k8s.io".to_owned(), "customresourcedefinitions".to_owned())
}

impl Store {
    /// Reads what the world remembers of the cluster.
    pub fn open(world: Arc<World>, cluster: &str) -> Self {
        let section = format!("kube/{cluster}");
        let mut tables: BTreeMap<Table, BTreeMap<Name, Arc<Json>>> = BTreeMap::new();
        let mut revision = 1;
        for (key, object) in world.section(&section) {
            if key == REVISION {
                revision = revision.max(object.as_u64().unwrap_or(0));
                continue;
            }
            let mut parts = key.splitn(4, '/').map(str::to_owned);
            let mut next = || parts.next().unwrap_or_default();
            let (group, plural, namespace, name) = (next(), next(), next(), next());
            revision = revision.max(revision_of(&object));
            tables.entry((group, plural)).or_default().insert((namespace, name), object);
        }
        let registry = Arc::new(Registry::new(tables.get(&crds()).into_iter().flat_map(BTreeMap::values)));
        let inner = Inner {
            revision,
            tables,
            history: VecDeque::new(),
            forgotten: revision,
            subscribers: Vec::new(),
            registry,
        };
        Store { world, section, inner: Mutex::new(inner), revisions: watch::channel(revision).0 }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first write that the disk refused.
    pub fn broken(&self) -> Option<String> {
        self.world.broken()
    }

    /// The latest revision.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// What is served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.lock().registry.clone()
    }

    /// One object, as stored.
    pub fn get(&self, table: &Table, name: &Name) -> Option<Arc<Json>> {
        self.lock().tables.get(table)?.get(name).cloned()
    }

    /// All objects of a table, or of one namespace of it, in key order, with the revision of the reading.
    pub fn list(&self, table: &Table, namespace: Option<&str>) -> (u64, Vec<Arc<Json>>) {
        let inner = self.lock();
        let objects = inner
            .tables
            .get(table)
            .into_iter()
            .flatten()
            .filter(|((ns, _), _)| namespace.is_none_or(|wanted| wanted == ns))
            .map(|(_, object)| object.clone())
            .collect();
        (inner.revision, objects)
    }

    /// The objects of a table as they were at `revision`; `Err` when that is no longer known.
    pub fn list_at(&self, table: &Table, namespace: Option<&str>, revision: u64) -> Result<Vec<Arc<Json>>, ()> {
        let inner = self.lock();
        if revision < inner.forgotten {
            return Err(());
        }
        let mut objects = inner.tables.get(table).cloned().unwrap_or_default();
        for event in inner.history.iter().rev().take_while(|event| event.revision > revision) {
            if event.table == *table {
                match &event.before {
                    Some(before) => objects.insert(event.name.clone(), before.clone()),
                    None => objects.remove(&event.name),
                };
            }
        }
        let wanted = |ns: &str| namespace.is_none_or(|wanted| wanted == ns);
        Ok(objects.into_iter().filter(|((ns, _), _)| wanted(ns)).map(|(_, object)| object).collect())
    }

    /// Puts `object` where `expected` (a revision, `None` for nothing) still is; `Err` says it is not. The
    /// stored object has the new revision. `gvk` is the storage kind.
    pub fn put(
        &self,
        gvk: &Gvk,
        table: &Table,
        name: &Name,
        expected: Option<u64>,
        mut object: Json,
    ) -> Result<Arc<Json>, ()> {
        let mut inner = self.lock();
        let old = inner.tables.get(table).and_then(|t| t.get(name)).cloned();
        if old.as_deref().map(revision_of) != expected {
            return Err(());
        }
        inner.revision += 1;
        let revision = inner.revision;
        set_revision(&mut object, revision);
        let object = Arc::new(object);
        self.world.put(&self.section, &key(table, name), (*object).clone());
        inner.tables.entry(table.clone()).or_default().insert(name.clone(), object.clone());
        let before = old.clone();
        let event =
            Event { revision, table: table.clone(), old, new: Some(object.clone()), before, name: name.clone() };
        self.record(&mut inner, gvk, event);
        Ok(object)
    }

    /// Removes the object where `expected` still is; answers its last form with the new revision.
    pub fn remove(
        &self,
        gvk: &Gvk,
        table: &Table,
        name: &Name,
        expected: u64,
        last: Option<Json>,
    ) -> Result<Arc<Json>, ()> {
        let mut inner = self.lock();
        let old = inner.tables.get(table).and_then(|t| t.get(name)).cloned();
        let Some(old) = old.filter(|o| revision_of(o) == expected) else { return Err(()) };
        inner.revision += 1;
        let revision = inner.revision;
        let mut last = last.unwrap_or_else(|| (*old).clone());
        set_revision(&mut last, revision);
        let last = Arc::new(last);
        self.world.remove(&self.section, &key(table, name));
        self.world.put(&self.section, REVISION, Json::from(revision));
        if let Some(table) = inner.tables.get_mut(table) {
            table.remove(name);
        }
        let (table, name) = (table.clone(), name.clone());
        let event = Event { revision, table, old: Some(last.clone()), new: None, before: Some(old), name };
        self.record(&mut inner, gvk, event);
        Ok(last)
    }

    fn record(&self, inner: &mut Inner, gvk: &Gvk, event: Event) {
        let change = Change { gvk: gvk.clone(), old: event.old.clone(), new: event.new.clone() };
        inner.subscribers.retain(|subscriber| subscriber.send(change.clone()).is_ok());
        if event.table == crds() {
            let all = inner.tables.get(&crds());
            inner.registry = Arc::new(Registry::new(all.into_iter().flat_map(BTreeMap::values)));
        }
        let revision = event.revision;
        inner.history.push_back(event);
        while inner.history.len() > HISTORY {
            if let Some(event) = inner.history.pop_front() {
                inner.forgotten = event.revision;
            }
        }
        self.revisions.send_replace(revision);
    }

    /// Changes of a table after `revision`; `Err` when they are no longer all known.
    pub fn since(&self, table: &Table, revision: u64) -> Result<(u64, Vec<Event>), u64> {
        let inner = self.lock();
        if revision < inner.forgotten {
            return Err(inner.forgotten);
        }
        let start = inner.history.partition_point(|event| event.revision <= revision);
        let events = inner.history.range(start..).filter(|event| event.table == *table).cloned().collect();
        Ok((inner.revision, events))
    }

    /// Wakes at each new revision.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revisions.subscribe()
    }

    /// Everything from now on.
    pub fn subscribe(&self) -> UnboundedReceiver<Change> {
        let (sender, receiver) = unbounded_channel();
        self.lock().subscribers.push(sender);
        receiver
    }

    /// A small document of the server's own that is no object: counters, keys.
    pub fn note(&self, key: &str) -> Option<Arc<Json>> {
        self.world.get(&format!("{}/notes", self.section), key)
    }

    /// Remembers such a document.
    pub fn set_note(&self, key: &str, value: Json) {
        self.world.put(&format!("{}/notes", self.section), key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Table {
        (String::new(), "configmaps".to_owned())
    }

    #[test]
    fn a_reopened_store_goes_on_counting() {
        let world = World::in_memory();
        let store = Store::open(world.clone(), "c");
        let gvk = Gvk::new("", "v1", "ConfigMap");
        let name = ("ns".to_owned(), "a".to_owned());
        let put = store.put(&gvk, &table(), &name, None, json!({"metadata": {"name": "a"}})).expect("put");
        assert!(store.put(&gvk, &table(), &name, None, json!({"metadata": {}})).is_err());
        store.remove(&gvk, &table(), &name, revision_of(&put), None).expect("remove");
        let last = store.revision();
        let again = Store::open(world, "c");
        assert_eq!(again.revision(), last);
        assert!(again.get(&table(), &name).is_none());
        assert!(again.since(&table(), last - 1).is_err(), "history does not survive");
        assert!(again.since(&table(), last).is_ok());
    }
}
