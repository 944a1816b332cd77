//! Runs controllers over one cluster: one work queue each, woken by writes, by timers and by failures.
//!
//! All waiting is on channels and on the clock, so a cluster in which nothing changes costs nothing and a
//! discrete clock can jump. Knows nothing of what any controller does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::AbortHandle;

use super::{Controller, Key, Outcome, Surroundings};
use crate::env::clock::Timestamp;
use crate::sim::kube::api::{Api, Change, Gvk, Status};

/// First and longest wait after a failure: client-go's default rate limiter.
const FIRST_RETRY: Duration = Duration::from_millis(5);
const LONGEST_RETRY: Duration = Duration::from_secs(1000);
/// Reconciles of one key at one moment of simulated time before it is held back. Two
/// controllers that undo each other's work would otherwise stop simulated time for ever.
const AT_ONE_MOMENT: u32 = 50;
/// How long it is held back then.
const HELD_BACK: Duration = Duration::from_secs(5);

/// Keeps the controllers of one [`start`] running; they stop when it is dropped.
#[derive(Debug, Default)]
pub struct Handle(Vec<AbortHandle>);

impl Handle {
    /// One handle for what two handles keep running.
    pub fn join(mut self, mut other: Handle) -> Handle {
        self.0.append(&mut other.0);
        self
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Starts controllers over one cluster. Must be called on the runtime that shall run them.
///
/// Everything that exists is looked at once; from then on writes, timers and failures wake the controllers.
pub fn start(around: &Surroundings, controllers: Vec<Arc<dyn Controller>>) -> Handle {
    if controllers.is_empty() {
        return Handle::default();
    }
    let changes = around.api.subscribe();
    let mut tasks = Vec::new();
    let mut loops = Vec::new();
    for controller in controllers {
        let queue = Arc::new(Queue::default());
        loops.push(Loop { controller: controller.clone(), queue: queue.clone() });
        tasks.push(tokio::spawn(work(controller, around.clone(), queue)).abort_handle());
    }
    for each in &loops {
        let mut watched = each.controller.watches();
        if watched.contains(&every_kind()) {
            watched = around.api.kinds().into_iter().map(|(gvk, _)| gvk).collect();
        }
        for gvk in watched {
            for object in around.api.list(&gvk, None) {
                let changed = key_of(gvk.clone(), &object);
                each.queue.add(each.controller.keys(&changed, &object, &*around.api));
            }
        }
    }
    tasks.push(tokio::spawn(dispatch(loops, around.api.clone(), changes)).abort_handle());
    Handle(tasks)
}

/// As a watched kind: every kind there is, also those whose definitions come later.
pub fn every_kind() -> Gvk {
    Gvk::new("*", "*", "*")
}

/// The key of an object of a kind.
pub fn key_of(gvk: Gvk, object: &serde_json::Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    Key { gvk, namespace: text("namespace"), name: text("name") }
}

struct Loop {
    controller: Arc<dyn Controller>,
    queue: Arc<Queue>,
}

async fn dispatch(loops: Vec<Loop>, api: Arc<dyn Api>, mut changes: UnboundedReceiver<Change>) {
    let mut watchers: BTreeMap<(String, String), Vec<(usize, Gvk)>> = BTreeMap::new();
    for (index, each) in loops.iter().enumerate() {
        for gvk in each.controller.watches() {
            watchers.entry((gvk.group.clone(), gvk.kind.clone())).or_default().push((index, gvk));
        }
    }
    while let Some(change) = changes.recv().await {
        let by_name = watchers.get(&(change.gvk.group.clone(), change.gvk.kind.clone()));
        let by_star = watchers.get(&("*".to_owned(), "*".to_owned()));
        for (index, gvk) in by_name.into_iter().chain(by_star).flatten() {
            let gvk = if gvk.kind == "*" { &change.gvk } else { gvk };
            let Loop { controller, queue } = &loops[*index];
            // The old object too: a Pod that lost its label concerns the Service that selected it.
            for object in change.old.iter().chain(&change.new) {
                let changed = key_of(gvk.clone(), object);
                queue.add(controller.keys(&changed, object, &*api));
            }
        }
    }
}

async fn work(controller: Arc<dyn Controller>, around: Surroundings, queue: Arc<Queue>) {
    let mut running: FuturesUnordered<BoxFuture<'_, (Key, Result<Outcome, Status>)>> = FuturesUnordered::new();
    let mut done = 0_u32;
    loop {
        while running.len() < controller.parallel().max(1) {
            let Some(key) = queue.take(around.clock.now()) else { break };
            let (controller, around) = (&controller, &around);
            running.push(Box::pin(async move {
                let result = controller.reconcile(around, &key).await;
                (key, result)
            }));
        }
        let timer = queue.earliest().map(|at| around.clock.sleep(at.since(around.clock.now())));
        tokio::select! {
            biased;
            Some((key, result)) = running.next(), if !running.is_empty() => {
                if let Err(error) = &result {
                    tracing::debug!(controller = controller.name(), namespace = key.namespace, name = key.name, %error, "will retry");
                }
                queue.finished(controller.name(), key, result, around.clock.now());
                done += 1;
                if done.is_multiple_of(64) {
                    // Lets sockets be served during a long streak of work that never waits.
                    tokio::task::yield_now().await;
                }
            }
            () = queue.woken.notified() => {}
            () = async { if let Some(timer) = timer { timer.await } else { std::future::pending().await } } => {}
        }
    }
}

#[derive(Default)]
struct Queue {
    inner: Mutex<Inner>,
    woken: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Key>,
    /// The same keys as `waiting`, to find them.
    queued: BTreeSet<Key>,
    running: BTreeSet<Key>,
    /// Woken while running: to be looked at again afterwards.
    again: BTreeSet<Key>,
    timers: BTreeSet<(Timestamp, Key)>,
    failures: BTreeMap<Key, u32>,
    /// How often each key ran at the present moment.
    moment: Timestamp,
    runs: BTreeMap<Key, u32>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, keys: Vec<Key>) {
        let mut inner = self.lock();
        let mut added = false;
        for key in keys {
            added |= inner.add(key);
        }
        drop(inner);
        if added {
            self.woken.notify_one();
        }
    }

    fn take(&self, now: Timestamp) -> Option<Key> {
        let mut inner = self.lock();
        while inner.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = inner.timers.pop_first() else { break };
            inner.add(key);
        }
        let key = inner.waiting.pop_front()?;
        inner.queued.remove(&key);
        inner.running.insert(key.clone());
        Some(key)
    }

    /// When the next timer is due. Keys that wait for a free slot are no timers.
    fn earliest(&self) -> Option<Timestamp> {
        self.lock().timers.first().map(|(at, _)| *at)
    }

    fn finished(&self, controller: &str, key: Key, result: Result<Outcome, Status>, now: Timestamp) {
        let mut inner = self.lock();
        inner.running.remove(&key);
        if inner.moment != now {
            inner.moment = now;
            inner.runs.clear();
        }
        let runs = inner.runs.entry(key.clone()).or_default();
        *runs += 1;
        let dizzy = *runs > AT_ONE_MOMENT;
        let wait = match result {
            Ok(outcome) => {
                inner.failures.remove(&key);
                match outcome {
                    Outcome::Done => None,
                    // A timer of zero length would never let time pass.
                    Outcome::After(wait) => Some(wait.max(Duration::from_millis(1))),
                }
            }
            Err(_) => {
                let failures = inner.failures.entry(key.clone()).or_default();
                let wait = FIRST_RETRY.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX));
                *failures = (*failures + 1).min(30);
                Some(wait.min(LONGEST_RETRY))
            }
        };
        inner.timers.retain(|(_, other)| *other != key);
        let again = inner.again.remove(&key);
        if dizzy && (again || wait.is_some()) {
            tracing::warn!(controller, namespace = key.namespace, name = key.name, "does not come to rest; held back");
            inner.timers.insert((now.plus(HELD_BACK), key));
        } else {
            if let Some(wait) = wait {
                inner.timers.insert((now.plus(wait), key.clone()));
            }
            if again {
                inner.add(key);
            }
        }
    }
}

impl Inner {
    fn add(&mut self, key: Key) -> bool {
        if self.running.contains(&key) {
            self.again.insert(key);
            return false;
        }
        if !self.queued.insert(key.clone()) {
            return false;
        }
        self.waiting.push_back(key);
        true
    }
}
