//! An object store in memory that is slow, loses answers and goes away: the model for tests of what shares state.
//!
//! Consistent as the real ones are: a write that happened is seen by every later read. Everything else that can go
//! wrong does, as a seed says. Not for use without a test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::store::{Store, StoreError, Stored, Tag, Written};
use crate::env::clock::{SharedClock, Timestamp};
use crate::env::random::SeededRandom;

/// One way to a shared store; each has its own troubles.
#[derive(Clone)]
pub struct MemoryStore {
    objects: Arc<Mutex<Objects>>,
    clock: SharedClock,
    trouble: Arc<Mutex<Trouble>>,
}

#[derive(Default)]
struct Objects {
    by_key: BTreeMap<String, (Vec<u8>, u64, Timestamp)>,
    versions: u64,
}

struct Trouble {
    random: SeededRandom,
    /// Of 100 requests, so many are lost before they arrive.
    lost: u64,
    /// And so many after they were carried out.
    unanswered: u64,
    /// The longest that a request is under way before it is carried out, and its answer after.
    slow: Duration,
    /// Nothing gets through.
    away: bool,
    /// Nothing gets through from a certain request on, for so long; that one may be carried out without an answer.
    outage: Option<(u64, Duration, bool)>,
    /// Until when that is.
    back: Timestamp,
    /// Requests so far.
    requests: u64,
}

impl MemoryStore {
    /// An empty store without trouble.
    pub fn new(clock: SharedClock) -> Self {
        MemoryStore { objects: Arc::default(), clock, trouble: Arc::new(Mutex::new(Trouble::none(0))) }
    }

    /// Another way to the same store, with troubles of its own.
    #[must_use]
    pub fn another(&self, seed: u64) -> Self {
        let trouble = Arc::new(Mutex::new(Trouble::none(seed)));
        MemoryStore { objects: self.objects.clone(), clock: self.clock.clone(), trouble }
    }

    /// Of 100 requests, `lost` never arrive and `unanswered` are carried out without an answer; each takes up to
    /// `slow` there and back.
    pub fn trouble(&self, lost: u64, unanswered: u64, slow: Duration) {
        let mut trouble = self.ways();
        (trouble.lost, trouble.unanswered, trouble.slow) = (lost, unanswered, slow);
    }

    /// Nothing gets through, or everything does again.
    pub fn away(&self, away: bool) {
        self.ways().away = away;
    }

    /// Nothing gets through for `long`, from the `nth` of the requests from now on, which may be carried out before its
    /// answer is lost.
    pub fn outage(&self, nth: u64, long: Duration, is_carried_out: bool) {
        let mut trouble = self.ways();
        trouble.outage = Some((trouble.requests + nth, long, is_carried_out));
    }

    /// Takes an outage back that has not begun; whether it had begun.
    pub fn calm(&self) -> bool {
        self.ways().outage.take().is_none()
    }

    /// Requests that were sent this way.
    pub fn requests(&self) -> u64 {
        self.ways().requests
    }

    /// The keys that are there.
    pub fn keys(&self) -> Vec<String> {
        self.all().by_key.keys().cloned().collect()
    }

    /// Writes past all troubles.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let now = self.clock.now();
        self.all().write(key, bytes, now);
    }

    fn ways(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T>(&self, act: impl FnOnce(&mut Objects, Timestamp) -> T) -> Result<T, StoreError> {
        let (there, back, lost, unanswered) = {
            let mut trouble = self.ways();
            trouble.requests += 1;
            let (there, back) = (trouble.moment(), trouble.moment());
            let mut lost = trouble.away || trouble.random.next() % 100 < trouble.lost;
            let mut unanswered = trouble.random.next() % 100 < trouble.unanswered;
            lost |= self.clock.now() < trouble.back;
            let sent = trouble.requests;
            if let Some((_, long, is_carried_out)) = trouble.outage.take_if(|(nth, ..)| *nth == sent) {
                trouble.back = self.clock.now().plus(long);
                (lost, unanswered) = (lost || !is_carried_out, true);
            }
            (there, back, lost, unanswered)
        };
        let nothing = || StoreError::Unavailable("the connection was reset".to_owned());
        if !there.is_zero() {
            self.clock.sleep(there).await;
        }
        if lost {
            return Err(nothing());
        }
        let now = self.clock.now();
        let answer = act(&mut self.all(), now);
        if !back.is_zero() {
            self.clock.sleep(back).await;
        }
        if unanswered || self.ways().away { Err(nothing()) } else { Ok(answer) }
    }
}

impl Trouble {
    fn none(seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        Trouble {
            random,
            lost: 0,
            unanswered: 0,
            slow: Duration::ZERO,
            away: false,
            outage: None,
            back: Timestamp(0),
            requests: 0,
        }
    }

    fn moment(&self) -> Duration {
        match u64::try_from(self.slow.as_millis()).unwrap_or(u64::MAX) {
            0 => Duration::ZERO,
            most => Duration::from_millis(self.random.next() % most),
        }
    }
}

impl Objects {
    fn write(&mut self, key: &str, bytes: &[u8], now: Timestamp) -> Tag {
        self.versions += 1;
        self.by_key.insert(key.to_owned(), (bytes.to_vec(), self.versions, now));
        tag(self.versions)
    }
}

fn tag(version: u64) -> Tag {
    Tag { etag: Some(format!("\"{version}\"")), version: None }
}

#[async_trait]
impl Store for MemoryStore {
    fn place(&self) -> String {
        "memory://state".to_owned()
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        self.ask(|objects, _| {
            let (bytes, version, modified) = objects.by_key.get(key)?.clone();
            Some(Stored { bytes, tag: tag(version), modified })
        })
        .await
    }

    async fn create(&self, key: &str, bytes: &[u8]) -> Result<Written, StoreError> {
        self.ask(|objects, now| match objects.by_key.contains_key(key) {
            true => Written::Refused,
            false => Written::Done(objects.write(key, bytes, now)),
        })
        .await
    }

    async fn replace(&self, key: &str, bytes: &[u8], over: &Tag) -> Result<Written, StoreError> {
        self.ask(|objects, now| match objects.by_key.get(key) {
            Some((_, version, _)) if tag(*version) == *over => Written::Done(objects.write(key, bytes, now)),
            _ => Written::Refused,
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.ask(|objects, _| objects.by_key.keys().filter(|key| key.starts_with(prefix)).cloned().collect()).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.ask(|objects, _| {
            objects.by_key.remove(key);
        })
        .await
    }
}
