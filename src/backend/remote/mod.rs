//! State in an object store, shared by several people and machines: a lease says who writes, segments that are
//! created once hold the journal, snapshots hold what was folded. See `docs/state-format.md` for the objects.
//!
//! Knows no store: [`Store`] is all it asks. A stale writer is stopped twice: it begins nothing once its lease is
//! over, and whatever it writes collides with the fence of who came after.

mod history;
pub mod lease;
pub mod segment;
mod session;
mod unpushed;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use self::lease::{Lease, Process, Standing};
use self::segment::{JOURNAL, SNAPSHOTS};
pub use self::session::RemoteSession;
use self::unpushed::Spill;
use crate::backend::BackendError;
use crate::backend::leash::Leash;
use crate::backend::store::{REQUEST_LIMIT, Store, StoreError, Stored, Tag, Written};
use crate::env::clock::{SharedClock, Timestamp, timeout};
use crate::env::disk::Disk;
use crate::state::codec::{self, DecodeError};
use crate::state::model::State;

/// How long a read is tried again before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Objects that are read at a time.
const PARALLEL: usize = 16;

/// Looks at objects that vanish while they are read, because somebody folds the journal.
const LOOKS: usize = 5;

/// Who this is.
#[derive(Clone, Debug)]
pub struct Me {
    /// A random number of this run.
    pub run: String,
    /// Process, user, host, command and time, for people.
    pub holder: String,
    /// This process, where the machine can be told apart from others.
    pub process: Option<Process>,
}

/// One stack's state in a store.
#[derive(Clone)]
pub struct RemoteBackend {
    store: Arc<dyn Store>,
    clock: SharedClock,
    stack: String,
    /// Where records go that the store did not take.
    spill: Spill,
    is_alive: fn(u32) -> bool,
}

/// State as it was read, and where its journal goes on.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The state.
    pub state: State,
    /// The number of the next segment.
    pub next: u64,
    /// Segments and bytes since the last snapshot.
    pub unfolded: (usize, usize),
    /// Bytes of the last snapshot.
    pub snapshot: usize,
}

/// A lease as `lease list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The lease.
    pub lease: Lease,
    /// Since its last renewal.
    pub age: Duration,
    /// What can be done about it.
    pub standing: Standing,
}

impl RemoteBackend {
    /// The state of `stack` in a store whose prefix is the stack's own; what cannot be pushed goes to `spill` on
    /// `disk`; `is_alive` tells whether a process of this machine runs.
    pub fn new(
        store: Arc<dyn Store>,
        clock: SharedClock,
        stack: &str,
        disk: Arc<dyn Disk>,
        spill: PathBuf,
        is_alive: fn(u32) -> bool,
    ) -> Self {
        RemoteBackend { store, clock, stack: stack.to_owned(), spill: Spill { disk, path: spill }, is_alive }
    }

    /// Where it is.
    pub fn place(&self) -> String {
        self.store.place()
    }

    /// Reads without a lease.
    ///
    /// # Errors
    /// When the store cannot be read, or what is in it is damaged.
    pub async fn read(&self) -> Result<Loaded, BackendError> {
        for _ in 0..LOOKS {
            if let Some(loaded) = self.look().await? {
                return Ok(loaded);
            }
        }
        let error = std::io::Error::other("it is being rewritten all the time; try again");
        Err(BackendError::Storage { what: "read", place: self.place(), error })
    }

    /// One look; `None` when something vanished in between.
    async fn look(&self) -> Result<Option<Loaded>, BackendError> {
        let (snapshots, segments) = futures_util::try_join!(self.list(SNAPSHOTS), self.list(JOURNAL))?;
        let mut loaded = Loaded { state: State::empty(&self.stack), next: 1, unfolded: (0, 0), snapshot: 0 };
        if let Some(number) = snapshots.iter().filter_map(|key| segment::number(key)).max() {
            let key = segment::snapshot_key(number);
            let Some(stored) = self.get(&key).await? else { return Ok(None) };
            let decoded = codec::decode_snapshot(&stored.bytes);
            loaded.state = decoded.map_err(|error| BackendError::Damaged { place: self.at(&key), error })?;
            (loaded.next, loaded.snapshot) = (number, stored.bytes.len());
        }
        if loaded.state.stack != self.stack {
            let (found, wanted) = (loaded.state.stack, self.stack.clone());
            return Err(BackendError::OtherStack { place: self.place(), found, wanted });
        }
        let mut numbers = segments.iter().filter_map(|key| segment::number(key)).collect::<Vec<_>>();
        numbers.retain(|number| *number >= loaded.next);
        numbers.sort_unstable();
        let reads = numbers.iter().map(|number| {
            let key = segment::key(*number);
            async move { (self.get(&key).await, *number) }
        });
        let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffered(PARALLEL);
        while let Some((stored, number)) = reads.next().await {
            let Some(stored) = stored? else { return Ok(None) };
            let place = self.at(&segment::key(number));
            if number != loaded.next {
                // The list may be older than a fold; a second look tells.
                let found = BackendError::Damaged {
                    place,
                    error: DecodeError::Gap { offset: 0, found: number, expected: loaded.next },
                };
                return if self.list(SNAPSHOTS).await? == snapshots { Err(found) } else { Ok(None) };
            }
            segment::replay(&mut loaded.state, &stored.bytes, number)
                .map_err(|error| BackendError::Damaged { place, error })?;
            loaded.next = number + 1;
            loaded.unfolded.0 += 1;
            loaded.unfolded.1 += stored.bytes.len();
        }
        Ok(Some(loaded))
    }

    /// Who has the state; `None` when nobody has.
    ///
    /// # Errors
    /// When the store cannot be read or written (its clock is read by writing).
    pub async fn held(&self, me: &Me) -> Result<Option<Held>, BackendError> {
        let Some(stored) = self.get(lease::KEY).await? else { return Ok(None) };
        let lease = self.lease(&stored)?;
        if lease.released {
            return Ok(None);
        }
        let age = self.age(me, &stored).await?;
        let standing = self.standing(&lease, age, me);
        Ok(Some(Held { lease, age, standing }))
    }

    /// Takes the lease and opens the history for writing, waiting for another holder as long as `limit` allows.
    /// `waiting` is told of the first holder that is waited for.
    ///
    /// # Errors
    /// [`BackendError::Locked`] when somebody has it, and as [`RemoteBackend::read`].
    pub async fn open(
        &self,
        me: &Me,
        limit: Duration,
        waiting: &(dyn Fn(&str) + Sync),
    ) -> Result<RemoteSession, BackendError> {
        let begun = self.clock.now();
        let mut said = false;
        loop {
            let (taken, note) = match self.take(me).await? {
                Attempt::Taken(taken, note) => (taken, note),
                Attempt::Lost => continue,
                Attempt::Held(holder, left) => {
                    let waited = self.clock.now().since(begun);
                    if waited >= limit {
                        return Err(BackendError::Locked { stack: self.stack.clone(), holder });
                    }
                    if !said {
                        waiting(&holder);
                        said = true;
                    }
                    let pause = left.min(limit - waited).clamp(Duration::from_secs(1), Duration::from_secs(5));
                    self.clock.sleep(pause).await;
                    continue;
                }
            };
            return RemoteSession::open(self.clone(), me.clone(), taken, note).await;
        }
    }

    async fn take(&self, me: &Me) -> Result<Attempt, BackendError> {
        let begun = self.clock.now();
        let fresh = |epoch| Lease::new(epoch, &me.run, &me.holder, me.process.clone());
        let Some(stored) = self.get(lease::KEY).await? else {
            let mine = fresh(1);
            return Ok(match self.put(lease::KEY, &mine.encode(), None).await? {
                Some(tag) => Attempt::Taken(Taken { lease: mine, tag, begun }, None),
                None => Attempt::Lost,
            });
        };
        let theirs = self.lease(&stored)?;
        let mut note = None;
        if !theirs.released {
            let age = self.age(me, &stored).await?;
            match self.standing(&theirs, age, me) {
                Standing::Held(left) => {
                    let silence = format!("{}, last heard of {} s ago", theirs.holder, age.as_secs());
                    return Ok(Attempt::Held(silence, left));
                }
                Standing::Over | Standing::Free => {
                    note = Some(format!(
                        "took the state over from {}, which ended without letting go of it {} s ago or more",
                        theirs.holder,
                        age.as_secs()
                    ));
                }
            }
        }
        let mine = fresh(theirs.epoch.saturating_add(1));
        Ok(match self.put(lease::KEY, &mine.encode(), Some(&stored.tag)).await? {
            Some(tag) => Attempt::Taken(Taken { lease: mine, tag, begun }, note),
            None => Attempt::Lost,
        })
    }

    /// Ends the lease of somebody else, whoever that is. Their next write is refused.
    ///
    /// # Errors
    /// When the store cannot be read or written, or the lease was renewed in the same moment.
    pub async fn break_lease(&self) -> Result<Option<Lease>, BackendError> {
        let Some(stored) = self.get(lease::KEY).await? else { return Ok(None) };
        let lease = self.lease(&stored)?;
        if lease.released {
            return Ok(None);
        }
        let broken = Lease { released: true, renewals: lease.renewals + 1, ..lease.clone() };
        match self.put(lease::KEY, &broken.encode(), Some(&stored.tag)).await? {
            Some(_) => Ok(Some(lease)),
            None => Err(BackendError::Locked { stack: self.stack.clone(), holder: lease.holder }),
        }
    }

    fn lease(&self, stored: &Stored) -> Result<Lease, BackendError> {
        Lease::decode(&stored.bytes).ok_or_else(|| BackendError::Damaged {
            place: self.at(lease::KEY),
            error: DecodeError::Damaged { offset: 0, what: "it is no lease that this program understands".into() },
        })
    }

    fn standing(&self, lease: &Lease, age: Duration, me: &Me) -> Standing {
        lease.standing(age, me.process.as_ref().map(|process| &*process.realm), self.is_alive)
    }

    /// Time since an object was written, by the clock of the store alone: that of an object written now.
    async fn age(&self, me: &Me, stored: &Stored) -> Result<Duration, BackendError> {
        let key = format!("clock/{}", me.run);
        self.put(&key, b"now\n", None).await?;
        let now = self.get(&key).await?.map_or(stored.modified, |probe| probe.modified);
        // One that is left behind is an object of four bytes.
        self.store.delete(&key).await.ok();
        Ok(now.since(stored.modified))
    }

    fn at(&self, key: &str) -> String {
        format!("{}/{key}", self.place())
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, BackendError> {
        self.insist("read", key, || self.store.get(key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        self.insist("list", prefix, || self.store.list(prefix)).await
    }

    /// Writes an object unless something came between; `None` when something did. What an earlier attempt of ours
    /// wrote is ours.
    async fn put(&self, key: &str, bytes: &[u8], over: Option<&Tag>) -> Result<Option<Tag>, BackendError> {
        let written = self.insist("write", key, || async {
            match over {
                Some(tag) => self.store.replace(key, bytes, tag).await,
                None => self.store.create(key, bytes).await,
            }
        });
        match written.await? {
            Written::Done(tag) => Ok(Some(tag)),
            Written::Refused => {
                let there = self.get(key).await?;
                Ok(there.filter(|there| there.bytes == bytes).map(|there| there.tag))
            }
        }
    }

    async fn insist<T, F>(&self, what: &'static str, key: &str, ask: impl Fn() -> F) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let end = self.clock.now().plus(PATIENCE);
        insist(&self.clock, end, ask).await.map_err(|error| BackendError::Storage {
            what,
            place: self.at(key),
            error: std::io::Error::other(error.to_string()),
        })
    }
}

enum Attempt {
    Taken(Taken, Option<String>),
    /// Somebody was quicker: look again.
    Lost,
    Held(String, Duration),
}

/// A lease that is ours.
pub(super) struct Taken {
    pub lease: Lease,
    pub tag: Tag,
    /// When the request for it began: it counts from then.
    pub begun: Timestamp,
}

/// Asks until there is an answer, or `end` has come; a single attempt has a limit of its own.
pub(super) async fn insist<T, F>(clock: &SharedClock, end: Timestamp, ask: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = Duration::from_millis(250);
    loop {
        let answer = match timeout(&**clock, REQUEST_LIMIT, ask()).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", REQUEST_LIMIT.as_secs()))),
        };
        match answer {
            Err(StoreError::Unavailable(_)) if clock.now().plus(pause) < end => clock.sleep(pause).await,
            answer => return answer,
        }
        pause = (pause * 2).min(Duration::from_secs(8));
    }
}

impl Leash {
    /// The leash of a lease that was asked for at `begun`.
    pub(super) fn of(begun: Timestamp) -> Self {
        Leash::until(begun.plus(lease::TERM))
    }
}

#[cfg(test)]
mod tests;
