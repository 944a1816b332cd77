//! Who may write: one object that its holder renews, replaced only by who has seen its last version.
//!
//! A lease is believed to be over only by the store's own clock, never by that of one of the two machines: its age
//! is the time between its last renewal and an object written just now. Whoever takes one over waits, besides, for
//! as long as a call that its last holder began may take. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::state::codec;

/// A lease that is not renewed for this long is over.
pub const TERM: Duration = Duration::from_secs(60);

/// The longest call that a holder may have begun in the last moment of its lease (the engine's own limit of a call).
pub const CALL: Duration = Duration::from_secs(90);

/// The key of the lease.
pub const KEY: &str = "lease";

/// Who has the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// 1; another one is a later program's.
    pub format: u32,
    /// Counts holders: each new one has a greater epoch than all before.
    pub epoch: u64,
    /// The run, a random number.
    pub run: String,
    /// Process, user, host, command and time, for people.
    pub holder: String,
    /// The machine and process, where they can be told apart from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// How often it was renewed: no two versions of a lease are the same bytes.
    pub renewals: u64,
    /// Seconds without a renewal after which it is over.
    pub term: u64,
    /// Its holder is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
}

/// One process of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The set of processes that its number is of (`env::process::realm`).
    pub realm: String,
    /// The process.
    pub pid: u32,
}

/// What can be done about a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has it.
    Free,
    /// Its holder is known to be dead, or has been silent for long enough.
    Over,
    /// Somebody has it, for at least this long.
    Held(Duration),
}

impl Lease {
    /// One that begins now.
    pub fn new(epoch: u64, run: &str, holder: &str, process: Option<Process>) -> Self {
        let (run, holder) = (run.to_owned(), holder.to_owned());
        Lease { format: 1, epoch, run, holder, process, renewals: 0, term: TERM.as_secs(), released: false }
    }

    /// How it stands; `age` is the time since its last renewal by the store's clock, `is_alive` whether a process of
    /// this realm runs.
    pub fn standing(&self, age: Duration, realm: Option<&str>, is_alive: impl Fn(u32) -> bool) -> Standing {
        if self.released {
            return Standing::Free;
        }
        let dead =
            self.process.as_ref().is_some_and(|process| Some(&*process.realm) == realm && !is_alive(process.pid));
        let patience = Duration::from_secs(self.term).saturating_add(CALL);
        // A dead process begins nothing, and what it began answers to nobody; but it may still be carried out.
        let patience = if dead { Duration::ZERO } else { patience };
        match patience.checked_sub(age) {
            Some(left) if !left.is_zero() => Standing::Held(left),
            _ => Standing::Over,
        }
    }

    /// As an object.
    pub fn encode(&self) -> Vec<u8> {
        codec::sealed(&serde_json::to_vec(self).expect("a lease has only string keys"))
    }

    /// From an object; `None` when it is not a lease of this format.
    pub fn decode(bytes: &[u8]) -> Option<Lease> {
        let lease = serde_json::from_slice::<Lease>(codec::unsealed(bytes).ok()?).ok()?;
        (lease.format == 1).then_some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        Lease::new(3, "r", "process 7 of me", Some(Process { realm: "b".into(), pid: 7 }))
    }

    #[test]
    fn a_silent_holder_is_waited_for_and_a_dead_one_is_not() {
        let lease = lease();
        let seconds = Duration::from_secs;
        assert_eq!(lease.standing(seconds(10), None, |_| false), Standing::Held(seconds(140)));
        assert_eq!(lease.standing(seconds(10), Some("other"), |_| false), Standing::Held(seconds(140)));
        assert_eq!(lease.standing(seconds(10), Some("b"), |pid| pid == 7), Standing::Held(seconds(140)));
        assert_eq!(lease.standing(seconds(10), Some("b"), |_| false), Standing::Over);
        assert_eq!(lease.standing(seconds(150), None, |_| false), Standing::Over);
        let endless = Lease { term: u64::MAX, ..lease.clone() };
        assert!(matches!(endless.standing(seconds(150), None, |_| true), Standing::Held(_)));
        let released = Lease { released: true, ..lease };
        assert_eq!(released.standing(seconds(0), None, |_| true), Standing::Free);
    }

    #[test]
    fn it_is_read_back_and_noise_is_not() {
        let bytes = lease().encode();
        assert_eq!(Lease::decode(&bytes), Some(lease()));
        assert_eq!(Lease::decode(&bytes[1..]), None);
        assert_eq!(Lease::decode(b""), None);
        assert_eq!(Lease::decode(&Lease { format: 2, ..lease() }.encode()), None);
    }
}
