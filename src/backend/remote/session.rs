//! The open history of a remote state: segments out, the lease renewed beside them.
//!
//! When the store cannot be reached, what has happened since goes to a file beside the stack, and the next run
//! pushes it: a fact that was paid for is not forgotten because a network was away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::lease::{self, Lease};
use super::segment::{self, Header};
use super::{Me, PATIENCE, RemoteBackend, Taken, insist};
use crate::backend::leash::Leash;
use crate::backend::store::{StoreError, Tag, Written};
use crate::backend::{BackendError, Session, Unpushed};
use crate::env::clock::Timestamp;
use crate::state::codec;
use crate::state::model::State;
use crate::state::transition::Transition;

/// A journal is folded once it has so many segments: each is a request of the next reader.
const FOLD_SEGMENTS: usize = 64;
/// Or so many bytes, and more than the snapshot.
const FOLD_BYTES: usize = 64 * 1024;
/// Snapshots that are kept, to go back to.
const KEPT: usize = 20;
/// Of so many of them the segments too: every state since can be had again, and who made it.
const TOLD: usize = 3;

/// The time between two attempts to renew a lease that has ended.
const AGAIN: Duration = Duration::from_secs(5);

/// The open history of a [`RemoteBackend`].
pub struct RemoteSession {
    backend: RemoteBackend,
    me: Me,
    epoch: u64,
    state: State,
    next: u64,
    unfolded: (usize, usize),
    snapshot: usize,
    leash: Leash,
    /// The last version of the lease; the heartbeat replaces it.
    lease: Arc<Mutex<(Lease, Tag)>>,
    heartbeat: tokio::task::JoinHandle<()>,
    notes: Vec<String>,
    broken: bool,
    /// Who writes, until the records say so.
    holder: Option<String>,
    /// Records that the store did not take.
    unpushed: Vec<u8>,
    /// Whether they could be written down here.
    kept: Result<(), String>,
}

impl RemoteSession {
    pub(super) async fn open(
        backend: RemoteBackend,
        me: Me,
        taken: Taken,
        note: Option<String>,
    ) -> Result<Self, BackendError> {
        let leash = Leash::of(taken.begun);
        let epoch = taken.lease.epoch;
        let lease = Arc::new(Mutex::new((taken.lease, taken.tag)));
        let heartbeat = tokio::spawn(beat(backend.clone(), lease.clone(), leash.clone()));
        let loaded = fence(&backend, &me, epoch).await;
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                heartbeat.abort();
                return Err(error);
            }
        };
        let holder = Some(me.holder.clone());
        let mut session = RemoteSession {
            backend,
            me,
            holder,
            epoch,
            state: loaded.state,
            next: loaded.next,
            unfolded: loaded.unfolded,
            snapshot: loaded.snapshot,
            leash,
            lease,
            heartbeat,
            notes: note.into_iter().collect(),
            broken: false,
            unpushed: Vec::new(),
            kept: Ok(()),
        };
        session.push_spilled().await?;
        Ok(session)
    }

    /// Adds what an earlier run could not push, unless the history has gone on without it.
    async fn push_spilled(&mut self) -> Result<(), BackendError> {
        let spill = self.backend.spill.clone();
        let bytes = spill.read()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let place = spill.place();
        match self.backend.rest(&bytes, &self.state, (self.next, self.unfolded.0)).await? {
            Some(rest) if rest.records > 0 => {
                self.write(&bytes[rest.span]).await?;
                self.notes.push(format!("pushed {} records that an earlier run left in {place}", rest.records));
                self.state = rest.state;
            }
            Some(_) => {}
            // Another run has gone on from the same intents, and has settled them by looking.
            None => self.notes.push(format!(
                "{place} holds what an earlier run could not push; the state has gone on since, and it is set aside"
            )),
        }
        spill.set_aside(self.epoch, &bytes)
    }

    /// Writes records as the next segment.
    async fn write(&mut self, records: &[u8]) -> Result<(), BackendError> {
        let header = Header { segment: self.next, epoch: self.epoch, run: self.me.run.clone() };
        let bytes = segment::encode(&header, records);
        let key = segment::key(self.next);
        let storage = |backend: &RemoteBackend, text: String| BackendError::Storage {
            what: "write",
            place: backend.at(&key),
            error: std::io::Error::other(text),
        };
        let patience = self.backend.clock.now().plus(PATIENCE);
        let store = self.backend.store.clone();
        let written = loop {
            self.until_it_holds(patience).await?;
            let end = self.leash.end().min(patience);
            match insist(&self.backend.clock, end, || store.create(&key, &bytes)).await {
                Err(StoreError::Unavailable(_)) if self.backend.clock.now().plus(AGAIN) < patience => {
                    self.backend.clock.sleep(AGAIN).await;
                }
                written => break written,
            }
        };
        match written.map_err(|error| storage(&self.backend, error.to_string()))? {
            Written::Done(_) => {}
            Written::Refused => {
                let there = self.backend.get(&key).await?;
                // An attempt of ours whose answer was lost, or somebody who came after us.
                if there.is_none_or(|there| there.bytes != bytes) {
                    self.leash.cut();
                    return Err(BackendError::Overtaken { place: self.backend.place() });
                }
            }
        }
        self.next += 1;
        self.unfolded.0 += 1;
        self.unfolded.1 += bytes.len();
        Ok(())
    }

    /// Returns once something may be written. A lease that has ended while the store was away is renewed when that is
    /// back, if nobody has taken it over.
    async fn until_it_holds(&self, patience: Timestamp) -> Result<(), BackendError> {
        loop {
            let now = self.backend.clock.now();
            if self.leash.holds(now) {
                return Ok(());
            }
            if self.leash.is_cut() || now >= patience {
                return Err(self.lost(now));
            }
            self.backend.clock.sleep(AGAIN).await;
        }
    }

    fn lost(&self, now: Timestamp) -> BackendError {
        match self.leash.is_cut() {
            true => BackendError::Overtaken { place: self.backend.place() },
            false => BackendError::Expired { place: self.backend.place(), since: now.since(self.leash.end()) },
        }
    }

    /// Keeps records that the store did not take.
    fn spill(&mut self, records: &[u8]) {
        self.broken = true;
        self.unpushed.extend_from_slice(records);
        self.kept = self.backend.spill.keep(&self.unpushed).map_err(|error| error.to_string());
    }
}

/// Loads the state and writes the fence: after it nobody from before can add to the journal.
async fn fence(backend: &RemoteBackend, me: &Me, epoch: u64) -> Result<super::Loaded, BackendError> {
    loop {
        let mut loaded = backend.read().await?;
        let header = Header { segment: loaded.next, epoch, run: me.run.clone() };
        let bytes = segment::encode(&header, &[]);
        if backend.put(&segment::key(loaded.next), &bytes, None).await?.is_some() {
            loaded.next += 1;
            loaded.unfolded.0 += 1;
            loaded.unfolded.1 += bytes.len();
            return Ok(loaded);
        }
        // The last holder was quicker, once more.
    }
}

/// Renews the lease until somebody else has it. One that has ended while the store was away is renewed all the same:
/// whoever takes it over replaces its object, and as long as that is the one that was written here, nobody has.
async fn beat(backend: RemoteBackend, lease: Arc<Mutex<(Lease, Tag)>>, leash: Leash) {
    let mut pause = lease::TERM / 3;
    loop {
        backend.clock.sleep(pause).await;
        pause = AGAIN;
        let begun = backend.clock.now();
        if leash.is_cut() {
            return;
        }
        let (mut renewed, tag) = lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        renewed.renewals += 1;
        let bytes = renewed.encode();
        let written = insist(&backend.clock, leash.end(), || backend.store.replace(lease::KEY, &bytes, &tag)).await;
        let tag = match written {
            Ok(Written::Done(tag)) => tag,
            Ok(Written::Refused) => match backend.get(lease::KEY).await {
                Ok(Some(there)) if there.bytes == bytes => there.tag,
                Ok(_) => return leash.cut(),
                Err(_) => continue,
            },
            Err(error) => {
                tracing::debug!("the lease of {} could not be renewed: {error}", backend.place());
                continue;
            }
        };
        *lease.lock().unwrap_or_else(PoisonError::into_inner) = (renewed, tag);
        leash.extend(begun.plus(lease::TERM));
        pause = lease::TERM / 3;
    }
}

#[async_trait]
impl Session for RemoteSession {
    fn state(&self) -> &State {
        &self.state
    }

    fn leash(&self) -> Leash {
        self.leash.clone()
    }

    async fn commit(&mut self, transitions: Vec<Transition>) -> Result<(), BackendError> {
        if transitions.is_empty() {
            return Ok(());
        }
        let mut records = Vec::new();
        for transition in &transitions {
            if let Err(illegal) = self.state.apply(transition) {
                self.broken = true;
                return Err(illegal.into());
            }
            codec::encode_record_of(self.holder.as_deref(), self.state.serial, transition, &mut records);
            self.holder = None;
        }
        if self.broken {
            // What was in flight when the store went away still ends, and is worth knowing.
            self.spill(&records);
            let error = std::io::Error::other("an earlier write failed");
            return Err(BackendError::Storage { what: "write", place: self.backend.place(), error });
        }
        let written = self.write(&records).await;
        if written.is_err() {
            self.spill(&records);
        }
        written
    }

    async fn compact(&mut self) -> Result<(), BackendError> {
        let (segments, bytes) = self.unfolded;
        if self.broken || (segments < FOLD_SEGMENTS && bytes < FOLD_BYTES.max(self.snapshot)) {
            return Ok(());
        }
        let snapshot = codec::encode_snapshot(&self.state);
        if self.backend.put(&segment::snapshot_key(self.next), &snapshot, None).await?.is_none() {
            self.leash.cut();
            self.broken = true;
            return Err(BackendError::Overtaken { place: self.backend.place() });
        }
        (self.snapshot, self.unfolded) = (snapshot.len(), (0, 0));
        // A reader that comes upon a hole looks again, and finds the snapshot.
        let old = self.backend.list(segment::JOURNAL).await?;
        let snapshots = self.backend.list(segment::SNAPSHOTS).await?;
        // The first chapter begins with nothing.
        let told = snapshots.iter().rev().nth(TOLD - 1).and_then(|key| segment::number(key)).unwrap_or(0);
        for key in old.iter().filter(|key| segment::number(key).is_some_and(|number| number < told)) {
            self.backend.store.delete(key).await.ok();
        }
        for key in snapshots.iter().take(snapshots.len().saturating_sub(KEPT)) {
            self.backend.store.delete(key).await.ok();
        }
        Ok(())
    }

    async fn close(&mut self) {
        self.heartbeat.abort();
        if self.leash.is_cut() {
            return;
        }
        let (lease, tag) = self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let released = Lease { released: true, renewals: lease.renewals + 1, ..lease };
        // A lease that cannot be let go of ends by itself.
        let soon = self.backend.clock.now().plus(Duration::from_secs(5));
        let bytes = released.encode();
        let mut let_go =
            insist(&self.backend.clock, soon, || self.backend.store.replace(lease::KEY, &bytes, &tag)).await;
        if let_go == Ok(Written::Refused)
            && let Ok(Some(there)) = self.backend.store.get(lease::KEY).await
            && Lease::decode(&there.bytes).is_some_and(|lease| lease.run == self.me.run)
        {
            // A renewal was under way, or an answer was lost.
            let renew = || self.backend.store.replace(lease::KEY, &bytes, &there.tag);
            let_go = insist(&self.backend.clock, soon, renew).await;
        }
        if let Err(error) = let_go {
            tracing::warn!("the lease of {} was not let go of: {error}", self.backend.place());
        }
        self.leash.cut();
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn unpushed(&self) -> Option<Unpushed> {
        let records = self.unpushed.iter().filter(|byte| **byte == b'\n').count();
        let place = self.backend.spill.place();
        (records > 0).then(|| Unpushed { records, place, error: self.kept.clone().err() })
    }
}

impl Drop for RemoteSession {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}
