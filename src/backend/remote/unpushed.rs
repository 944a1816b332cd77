//! Records that the store did not take: kept in a file beside the stack, and pushed by the next run from there.
//!
//! They follow a certain state and no other. Where somebody else has recorded anything since, they are not pushed:
//! whoever that was has settled the same intents by looking.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::RemoteBackend;
use super::segment;
use crate::backend::BackendError;
use crate::env::disk::Disk;
use crate::state::codec;
use crate::state::model::State;

/// A local file for what could not be pushed.
#[derive(Clone)]
pub(super) struct Spill {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
}

impl Spill {
    /// Where it is, for messages.
    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// What an earlier run has left; empty when it left nothing.
    pub(super) fn read(&self) -> Result<Vec<u8>, BackendError> {
        match self.disk.read(&self.path) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(BackendError::Storage { what: "read", place: self.place(), error }),
        }
    }

    /// Keeps `records` in place of what is there.
    pub(super) fn keep(&self, records: &[u8]) -> io::Result<()> {
        self.disk.write(&self.path, records)
    }

    /// Keeps what was read for people to look at, and leaves nothing to be pushed.
    pub(super) fn set_aside(&self, epoch: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let aside = self.path.with_extension(format!("{epoch}.done"));
        let done = self.disk.write(&aside, bytes).and_then(|()| self.disk.write(&self.path, b""));
        done.map_err(|error| BackendError::Storage { what: "write", place: self.place(), error })
    }
}

/// What of the records is still to be written, and what the state is then.
pub(super) struct Rest {
    /// Where in the records it begins and ends: the last may be torn.
    pub(super) span: std::ops::Range<usize>,
    /// How many there are.
    pub(super) records: usize,
    /// The state with them.
    pub(super) state: State,
}

impl RemoteBackend {
    /// What is left of `bytes` to be pushed after `state`, whose journal goes on at segment `next` and has `unfolded`
    /// segments; nothing when the history has gone on without them.
    pub(super) async fn rest(
        &self,
        bytes: &[u8],
        state: &State,
        (next, unfolded): (u64, usize),
    ) -> Result<Option<Rest>, BackendError> {
        // Of the first write that failed, the answer alone may have been lost.
        let mut begin = 0;
        if codec::first_serial(bytes).is_some_and(|first| first <= state.serial) {
            begin =
                self.last_recorded(next, unfolded).await?.filter(|last| bytes.starts_with(last)).map_or(0, |l| l.len());
            if begin == 0 {
                return Ok(None);
            }
        }
        let mut after = state.clone();
        Ok(match codec::replay(&mut after, &bytes[begin..]) {
            Ok(done) => Some(Rest { span: begin..begin + done.intact, records: done.applied, state: after }),
            Err(_) => None,
        })
    }

    /// The records that were written last, by whomever; fences have none.
    async fn last_recorded(&self, next: u64, unfolded: usize) -> Result<Option<Vec<u8>>, BackendError> {
        for number in (1..next).rev().take(unfolded) {
            let key = segment::key(number);
            let Some(stored) = self.get(&key).await? else { break };
            let damaged = |error| BackendError::Damaged { place: self.at(&key), error };
            let (_, records) = segment::split(&stored.bytes, number).map_err(damaged)?;
            if !records.is_empty() {
                return Ok(Some(records.to_vec()));
            }
        }
        Ok(None)
    }
}
