//! The journal of remote state: objects that are created once and never changed.
//!
//! A segment is a header line and records as in a local journal. Its number follows that of the last one, and it is
//! created only if nothing has that number: of two writers, one collides. The first segment of a holder, the fence,
//! has no records: once it is there, whoever held the state before cannot add to it. Pure.

use serde::{Deserialize, Serialize};

use crate::state::codec::{self, DecodeError};
use crate::state::model::State;

/// The folder of segments.
pub const JOURNAL: &str = "journal/";
/// The folder of snapshots.
pub const SNAPSHOTS: &str = "snapshots/";

/// The first line of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its number, from 1 without gaps.
    pub segment: u64,
    /// The epoch of the lease that it was written under.
    pub epoch: u64,
    /// The run that wrote it: tells one's own write, whose answer was lost, from another's.
    pub run: String,
}

/// The key of a segment.
pub fn key(segment: u64) -> String {
    format!("{JOURNAL}{segment:016}")
}

/// The key of the snapshot that holds everything before `segment`.
pub fn snapshot_key(segment: u64) -> String {
    format!("{SNAPSHOTS}{segment:016}")
}

/// The number in the key of a segment or a snapshot.
pub fn number(key: &str) -> Option<u64> {
    let digits = key.strip_prefix(JOURNAL).or_else(|| key.strip_prefix(SNAPSHOTS))?;
    (digits.len() == 16).then(|| digits.parse().ok()).flatten()
}

/// A segment's bytes; `records` are encoded records.
pub fn encode(header: &Header, records: &[u8]) -> Vec<u8> {
    let mut bytes = codec::sealed(&serde_json::to_vec(header).expect("a header has only string keys"));
    bytes.extend_from_slice(records);
    bytes
}

/// Header and records of a segment.
///
/// # Errors
/// [`DecodeError::Damaged`] when the header is not one, or of another segment.
pub fn split(bytes: &[u8], segment: u64) -> Result<(Header, &[u8]), DecodeError> {
    let damaged = |what: String| DecodeError::Damaged { offset: 0, what };
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(|| damaged("it has no header".into()))? + 1;
    let payload = codec::unsealed(&bytes[..end]).map_err(damaged)?;
    let header = serde_json::from_slice::<Header>(payload).map_err(|error| damaged(error.to_string()))?;
    if header.segment != segment {
        return Err(damaged(format!("it says that it is segment {}", header.segment)));
    }
    Ok((header, &bytes[end..]))
}

/// Replays a segment.
///
/// # Errors
/// [`DecodeError`]; an object is written as a whole, so that a torn record is damage.
pub fn replay(state: &mut State, bytes: &[u8], segment: u64) -> Result<Header, DecodeError> {
    let (header, records) = split(bytes, segment)?;
    let done = codec::replay(state, records)?;
    if done.intact < records.len() {
        return Err(DecodeError::Damaged {
            offset: bytes.len() - records.len() + done.intact,
            what: "it is cut off".into(),
        });
    }
    Ok(header)
}
