//! What remote state was, and putting an earlier one in the place of one that cannot be read. Not for reading what
//! it is, which is the backend's own.

use super::lease::{self, Lease};
use super::segment::{self, Header, JOURNAL, SNAPSHOTS};
use super::{Attempt, Me, RemoteBackend};
use crate::backend::BackendError;
use crate::backend::leash::Leash;
use crate::state::codec;
use crate::state::history::Chapter;
use crate::state::model::State;

impl RemoteBackend {
    /// Everything that can be read of what the state was, oldest first: also where the state itself is damaged.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn chapters(&self) -> Result<Vec<Chapter>, BackendError> {
        let (snapshots, segments) = futures_util::try_join!(self.list(SNAPSHOTS), self.list(JOURNAL))?;
        let numbers = |keys: &[String]| keys.iter().filter_map(|key| segment::number(key)).collect::<Vec<_>>();
        let (snapshots, segments) = (numbers(&snapshots), numbers(&segments));
        let mut chapters = Vec::new();
        for (at, begin) in std::iter::once(0).chain(snapshots.iter().copied()).enumerate() {
            let base = match begin {
                0 => State::empty(&self.stack),
                number => {
                    let stored = self.get(&segment::snapshot_key(number)).await?;
                    // What was deleted in the meantime, or is damaged, tells nothing.
                    let decoded = stored.and_then(|stored| codec::decode_snapshot(&stored.bytes).ok());
                    let Some(base) = decoded else { continue };
                    base
                }
            };
            let end = snapshots.get(at).copied().unwrap_or(u64::MAX);
            let mut next = begin.max(1);
            let mut journal = Vec::new();
            for number in segments.iter().copied().filter(|number| (next..end).contains(number)).collect::<Vec<_>>() {
                let Some(stored) = self.get(&segment::key(number)).await?.filter(|_| number == next) else { break };
                let Ok((_, records)) = segment::split(&stored.bytes, number) else { break };
                journal.extend_from_slice(records);
                next = number + 1;
            }
            if begin > 0 || !journal.is_empty() {
                chapters.push(Chapter { base, journal });
            }
        }
        Ok(chapters)
    }

    /// Puts `state` in the place of one that cannot be read. Nothing is deleted: what is there lies before it.
    ///
    /// # Errors
    /// [`BackendError::Locked`] when another run has it; when the store cannot be read or written.
    pub async fn repair(&self, me: &Me, state: &State) -> Result<(), BackendError> {
        let taken = loop {
            match self.take(me).await? {
                Attempt::Taken(taken, _) => break taken,
                Attempt::Lost => {}
                Attempt::Held(holder, _) => return Err(BackendError::Locked { stack: self.stack.clone(), holder }),
            }
        };
        let leash = Leash::of(taken.begun);
        let written = self.overlay(me, taken.lease.epoch, state, &leash).await;
        let released = Lease { released: true, renewals: taken.lease.renewals + 1, ..taken.lease };
        // One that cannot be let go of ends by itself.
        self.put(lease::KEY, &released.encode(), Some(&taken.tag)).await.ok();
        written
    }

    async fn overlay(&self, me: &Me, epoch: u64, state: &State, leash: &Leash) -> Result<(), BackendError> {
        let (snapshots, segments) = futures_util::try_join!(self.list(SNAPSHOTS), self.list(JOURNAL))?;
        let mut highest = state.serial;
        for key in snapshots.iter().chain(&segments) {
            if let Some(stored) = self.get(key).await? {
                highest = highest.max(codec::highest_serial(&stored.bytes));
            }
        }
        let last = snapshots.iter().chain(&segments).filter_map(|key| segment::number(key)).max().unwrap_or(0);
        // The fence comes first: whoever held the state before cannot add to what is replaced.
        let header = Header { segment: last + 1, epoch, run: me.run.clone() };
        let fenced = self.put(&segment::key(last + 1), &segment::encode(&header, &[]), None).await?.is_some();
        let state = State { serial: highest + 1, departed: None, ..state.clone() };
        let holds = fenced && leash.holds(self.clock.now());
        let key = segment::snapshot_key(last + 2);
        if !holds || self.put(&key, &codec::encode_snapshot(&state), None).await?.is_none() {
            return Err(BackendError::Overtaken { place: self.place() });
        }
        Ok(())
    }
}
