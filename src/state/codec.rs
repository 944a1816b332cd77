//! The text form of snapshots and journal records, as `docs/state-format.md` defines them byte for byte.
//!
//! A record is one line: CRC-32 (IEEE) of the payload as eight lower-case hexadecimal digits, a space, the
//! payload as compact JSON, a line feed. A snapshot is the same with the whole state as payload.

use crate::state::model::{FORMAT, State};
use crate::state::transition::{Illegal, Transition};

/// One journal record: the serial that it leads to, and how.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    serial: u64,
    /// Who began to write with this record.
    #[serde(default)]
    run: Option<String>,
    transition: Transition,
}

/// Why bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The checksum or the syntax is wrong, and it is not a torn last line.
    #[error("the record at byte {offset} is damaged: {what}")]
    Damaged {
        /// From the start of the file.
        offset: usize,
        /// What is wrong with it.
        what: String,
    },
    /// Records are missing.
    #[error("the record at byte {offset} has serial {found}, expected {expected}: records are missing")]
    Gap {
        /// From the start of the file.
        offset: usize,
        /// The serial it carries.
        found: u64,
        /// The serial that would follow.
        expected: u64,
    },
    /// A well-formed record that cannot follow.
    #[error("the record at byte {offset} cannot follow: {error}")]
    Illegal {
        /// From the start of the file.
        offset: usize,
        /// Why not.
        error: Illegal,
    },
    /// Written by a later version.
    #[error("format {found} is newer than this program understands ({FORMAT}); use a newer stackwright")]
    Newer {
        /// The format it says it has.
        found: u64,
    },
    /// An intact record that means nothing to this version.
    #[error("the record at byte {offset} is of a newer stackwright: {what}")]
    Unknown {
        /// From the start of the file.
        offset: usize,
        /// What is not understood.
        what: String,
    },
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
}

fn line(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{:08x} ", crc32fast::hash(payload)).as_bytes());
    out.extend_from_slice(payload);
    out.push(b'\n');
}

/// One line of its own, with its checksum: for what is kept beside a state.
pub fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 10);
    line(payload, &mut out);
    out
}

/// The payload of such a line.
///
/// # Errors
/// What is wrong with it.
pub fn unsealed(bytes: &[u8]) -> Result<&[u8], String> {
    payload(bytes.strip_suffix(b"\n").ok_or("it is cut off")?)
}

/// Writes a snapshot.
pub fn encode_snapshot(state: &State) -> Vec<u8> {
    let payload = serde_json::to_vec(state).expect("state has only string keys");
    let mut out = Vec::with_capacity(payload.len() + 16);
    line(&payload, &mut out);
    out
}

/// Appends the record of `transition`, which leads to `serial`, to `out`.
pub fn encode_record(serial: u64, transition: &Transition, out: &mut Vec<u8>) {
    encode_record_of(None, serial, transition, out);
}

/// As [`encode_record`]; `run` says who begins to write with it: process, user, command and time.
pub fn encode_record_of(run: Option<&str>, serial: u64, transition: &Transition, out: &mut Vec<u8>) {
    #[derive(serde::Serialize)]
    struct Borrowed<'a> {
        serial: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        run: Option<&'a str>,
        transition: &'a Transition,
    }
    let payload = serde_json::to_vec(&Borrowed { serial, run, transition }).expect("records have only string keys");
    line(&payload, out);
}

/// The payload of a whole, intact line (without its line feed).
fn payload(text: &[u8]) -> Result<&[u8], String> {
    let (Some(sum), Some(b' '), Some(payload)) = (text.get(..8), text.get(8), text.get(9..)) else {
        return Err("too short".to_owned());
    };
    // Compared as text: another spelling of the same number is a changed byte too.
    if *sum != *format!("{:08x}", crc32fast::hash(payload)).as_bytes() {
        return Err("its checksum does not match".to_owned());
    }
    Ok(payload)
}

/// Reads a snapshot.
///
/// # Errors
/// [`DecodeError`]; a snapshot is replaced in one step, so a torn one is damage.
pub fn decode_snapshot(bytes: &[u8]) -> Result<State, DecodeError> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if text.is_empty() {
        return Err(DecodeError::Empty);
    }
    let damaged = |what| DecodeError::Damaged { offset: 0, what };
    let payload = payload(text).map_err(damaged)?;
    #[derive(serde::Deserialize)]
    struct Header {
        format: u64,
    }
    let header: Header = serde_json::from_slice(payload).map_err(|e| damaged(e.to_string()))?;
    if header.format > u64::from(FORMAT) {
        return Err(DecodeError::Newer { found: header.format });
    }
    // A state of an earlier format is a state of this one without what that did not have.
    let state: State = serde_json::from_slice(payload).map_err(|e| damaged(e.to_string()))?;
    Ok(State { format: FORMAT, ..state })
}

/// What replaying a journal gave.
#[derive(Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Records applied; earlier ones than the state's serial are passed over.
    pub applied: usize,
    /// Length of the intact part; anything after it is a torn last record, to be cut off.
    pub intact: usize,
}

/// Replays a journal onto the state it belongs to.
///
/// # Errors
/// [`DecodeError`] for everything but a torn last line, which an interrupted write leaves behind.
pub fn replay(state: &mut State, bytes: &[u8]) -> Result<Replayed, DecodeError> {
    walk(state, bytes, &mut |_, _| true)
}

/// Replays as long as `goes_on`, which is asked before each record that is applied, with the state before it and
/// who begins to write with it.
///
/// # Errors
/// As [`replay`]; the state is then as of the last record before.
pub fn walk(
    state: &mut State,
    bytes: &[u8],
    goes_on: &mut dyn FnMut(&State, Option<&str>) -> bool,
) -> Result<Replayed, DecodeError> {
    let mut offset = 0;
    let mut applied = 0;
    while offset < bytes.len() {
        let Some(length) = bytes[offset..].iter().position(|&b| b == b'\n') else { break };
        let end = offset + length + 1;
        let is_last = end == bytes.len();
        let payload = match payload(&bytes[offset..end - 1]) {
            Ok(payload) => payload,
            // A torn sector can leave garbage that happens to end in a line feed, but only at the end.
            Err(_) if is_last => break,
            Err(what) => return Err(DecodeError::Damaged { offset, what }),
        };
        let record: Record = serde_json::from_slice(payload).map_err(|e| not_understood(payload, offset, &e))?;
        if record.serial > state.serial {
            let expected = state.serial_after(&record.transition);
            if record.serial != expected {
                return Err(DecodeError::Gap { offset, found: record.serial, expected });
            }
            if !goes_on(state, record.run.as_deref()) {
                break;
            }
            state.apply(&record.transition).map_err(|error| DecodeError::Illegal { offset, error })?;
            applied += 1;
        }
        offset = end;
    }
    Ok(Replayed { applied, intact: offset })
}

/// The checksum is right, so that somebody has meant it.
fn not_understood(payload: &[u8], offset: usize, error: &serde_json::Error) -> DecodeError {
    #[derive(serde::Deserialize)]
    struct Any {
        serial: u64,
    }
    let what = error.to_string();
    match serde_json::from_slice::<Any>(payload) {
        Ok(any) if any.serial > 0 => DecodeError::Unknown { offset, what },
        _ => DecodeError::Damaged { offset, what },
    }
}

/// The highest serial that an intact record of a journal names, whatever else is wrong with it; 0 without any.
pub fn highest_serial(bytes: &[u8]) -> u64 {
    serials(bytes).max().unwrap_or(0)
}

/// The serial of the first intact record.
pub fn first_serial(bytes: &[u8]) -> Option<u64> {
    serials(bytes).next()
}

/// The serials of the intact records, whatever else is wrong with them.
fn serials(bytes: &[u8]) -> impl Iterator<Item = u64> {
    #[derive(serde::Deserialize)]
    struct Any {
        serial: u64,
    }
    let lines = bytes.split(|&byte| byte == b'\n').filter_map(|text| payload(text).ok());
    lines.filter_map(|payload| serde_json::from_slice::<Any>(payload).ok()).map(|any| any.serial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::state::model::Intent;
    use crate::value::Value;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn intent(address: &str, action: Intent) -> Transition {
        Transition::Intent {
            address: Address::new(address),
            kind: "value".into(),
            action,
            at: 7,
            needs: vec![],
            connection: None,
        }
    }

    fn history(names: &[u8]) -> (State, Vec<u8>) {
        let mut state = State::empty("s");
        let mut journal = Vec::new();
        let mut push = |state: &mut State, t: Transition| {
            if state.apply(&t).is_ok() {
                encode_record(state.serial, &t, &mut journal);
            }
        };
        push(&mut state, Transition::Begin { lineage: "l".into(), stack_id: "i".into() });
        for name in names {
            let address = format!("values.n{}", name % 8);
            let identity = Address::new(&address).identity();
            let t = match name % 5 {
                0 => intent(&address, Intent::Create),
                1 => Transition::Applied {
                    identity,
                    id: "x".into(),
                    record: Value::from(i64::from(*name)).into(),
                    secrets: BTreeMap::new(),
                    ready: name % 2 == 0,
                },
                2 => Transition::Ready(identity),
                3 => intent(&address, Intent::Delete),
                _ => Transition::Gone(identity),
            };
            push(&mut state, t);
        }
        (state, journal)
    }

    /// States written by earlier versions are read for ever: each format has a folder with what it was.
    #[test]
    fn states_of_earlier_formats_are_read() {
        macro_rules! golden {
            ($format:literal, $file:literal) => {
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/state/format-", $format, "/", $file))
            };
        }
        let first: [&[u8]; 3] = [golden!("1", "snapshot"), golden!("1", "journal"), golden!("1", "state.json")];
        let second: [&[u8]; 3] = [golden!("2", "snapshot"), golden!("2", "journal"), golden!("2", "state.json")];
        let third: [&[u8]; 3] = [golden!("3", "snapshot"), golden!("3", "journal"), golden!("3", "state.json")];
        let formats = [(first, 5), (second, 4), (third, 7)];
        assert_eq!(formats.len() + 1, FORMAT as usize, "each format before this one has its folder");
        for ([snapshot, journal, expected], records) in formats {
            let mut state = decode_snapshot(snapshot).expect("a snapshot");
            let done = replay(&mut state, journal).expect("a journal");
            assert_eq!((done.applied, done.intact), (records, journal.len()));
            let expected = serde_json::from_slice::<State>(expected).expect("a state");
            assert_eq!(state, State { format: FORMAT, ..expected });
            // What is written from here on is of this format.
            assert_eq!(decode_snapshot(&encode_snapshot(&state)), Ok(state));
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_called_so() {
        let mut snapshot = State::empty("s");
        snapshot.format = FORMAT + 1;
        let newer = DecodeError::Newer { found: u64::from(FORMAT) + 1 };
        assert_eq!(decode_snapshot(&encode_snapshot(&snapshot)), Err(newer));
        let mut journal = Vec::new();
        line(br#"{"serial":1,"transition":{"transmuted":{"into":"gold"}}}"#, &mut journal);
        let found = replay(&mut State::empty("s"), &journal);
        assert!(matches!(found, Err(DecodeError::Unknown { offset: 0, .. })), "{found:?}");
        let mut rubbish = Vec::new();
        line(b"{\"serial\":", &mut rubbish);
        assert!(matches!(replay(&mut State::empty("s"), &rubbish), Err(DecodeError::Damaged { .. })));
    }

    proptest! {
        #[test]
        fn replay_gives_the_state_again(names in proptest::collection::vec(any::<u8>(), 0..80)) {
            let (state, journal) = history(&names);
            let mut replayed = State::empty("s");
            let done = replay(&mut replayed, &journal).expect("intact");
            prop_assert_eq!(done.intact, journal.len());
            prop_assert_eq!(&replayed, &state);
            prop_assert_eq!(decode_snapshot(&encode_snapshot(&state)).expect("intact"), state);
        }

        #[test]
        fn a_cut_journal_is_a_prefix(names in proptest::collection::vec(any::<u8>(), 1..40), cut in any::<prop::sample::Index>()) {
            let (_, journal) = history(&names);
            let at = cut.index(journal.len());
            let mut replayed = State::empty("s");
            let done = replay(&mut replayed, &journal[..at]).expect("a cut is a torn tail");
            prop_assert!(done.intact <= at);
            prop_assert_eq!(done.applied, journal[..done.intact].iter().filter(|&&b| b == b'\n').count());
        }

        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            replay(&mut State::empty("s"), &bytes).ok();
            decode_snapshot(&bytes).ok();
        }

        #[test]
        fn a_flipped_bit_is_noticed(names in proptest::collection::vec(any::<u8>(), 5..30), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let (state, mut journal) = history(&names);
            let at = at.index(journal.len());
            journal[at] ^= 1 << bit;
            let mut replayed = State::empty("s");
            // Either an error, or the damage was in the last record and is cut off as torn.
            if replay(&mut replayed, &journal).is_ok() {
                prop_assert!(replayed.serial < state.serial);
            }
        }
    }
}
