//! What a state was: runs and earlier states, read off the journals that are kept. Pure.
//!
//! A journal that was folded is kept for a while as a [`Chapter`], from which the state as of any of its serials can
//! be had again. Not for deciding what is kept or where, which is the backends'.

use std::collections::BTreeMap;

use crate::address::Identity;
use crate::state::codec;
use crate::state::model::{Recorded, State};

/// A state, and what happened to it from then on.
#[derive(Clone, Debug)]
pub struct Chapter {
    /// The state at its beginning; nothing recorded for the very first.
    pub base: State,
    /// The records since.
    pub journal: Vec<u8>,
}

/// What one run made of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The serial after it: what `history show` and `history restore` take.
    pub serial: u64,
    /// The serial before it.
    pub before: u64,
    /// Process, user, command and time; `None` where the records do not say.
    pub holder: Option<String>,
    /// Resources that it recorded anew.
    pub added: usize,
    /// Resources whose record it changed.
    pub changed: usize,
    /// Resources that it took out.
    pub removed: usize,
    /// Resources recorded after it.
    pub resources: usize,
}

/// How two states differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Only in the later one.
    pub added: Vec<Identity>,
    /// In both, and not the same.
    pub changed: Vec<Identity>,
    /// Only in the earlier one.
    pub removed: Vec<Identity>,
}

/// How `after` differs from `before`.
pub fn difference(before: &State, after: &State) -> Difference {
    resources(&before.resources, &after.resources)
}

fn resources(before: &BTreeMap<Identity, Recorded>, after: &BTreeMap<Identity, Recorded>) -> Difference {
    let mut found = Difference::default();
    for (identity, recorded) in after {
        match before.get(identity) {
            None => found.added.push(identity.clone()),
            Some(earlier) if earlier != recorded => found.changed.push(identity.clone()),
            Some(_) => {}
        }
    }
    found.removed = before.keys().filter(|identity| !after.contains_key(*identity)).cloned().collect();
    found
}

/// Every run that the chapters tell of, oldest first. What is damaged is passed over up to the next chapter.
pub fn runs(chapters: &[Chapter]) -> Vec<Run> {
    let mut runs = Vec::new();
    let Some(first) = chapters.first() else { return runs };
    let mut begun = (first.base.clone(), None);
    let mut end = |begun: &mut (State, Option<String>), state: &State, next: Option<&str>| {
        if state.serial > begun.0.serial {
            let found = difference(&begun.0, state);
            runs.push(Run {
                serial: state.serial,
                before: begun.0.serial,
                holder: begun.1.take(),
                added: found.added.len(),
                changed: found.changed.len(),
                removed: found.removed.len(),
                resources: state.resources.len(),
            });
        }
        *begun = (state.clone(), next.map(str::to_owned));
    };
    let mut state = first.base.clone();
    for chapter in chapters {
        if chapter.base.serial > state.serial {
            // What lies between is not told any more.
            end(&mut begun, &state, None);
            state = chapter.base.clone();
            end(&mut begun, &state, None);
        }
        codec::walk(&mut state, &chapter.journal, &mut |before, run| {
            if run.is_some() {
                end(&mut begun, before, run);
            }
            true
        })
        .ok();
    }
    end(&mut begun, &state, None);
    runs
}

/// The state as of a serial; `None` when no chapter reaches it.
pub fn at(chapters: &[Chapter], serial: u64) -> Option<State> {
    let chapter = chapters.iter().rev().find(|chapter| chapter.base.serial <= serial)?;
    let mut state = chapter.base.clone();
    codec::walk(&mut state, &chapter.journal, &mut |before, _| before.serial < serial).ok();
    (state.serial == serial && serial > 0).then_some(state)
}

/// The last state that can be read.
pub fn last(chapters: &[Chapter]) -> Option<State> {
    let mut last: Option<State> = None;
    for chapter in chapters {
        let mut state = chapter.base.clone();
        codec::replay(&mut state, &chapter.journal).ok();
        if last.as_ref().is_none_or(|last| last.serial <= state.serial) {
            last = Some(state);
        }
    }
    last.filter(|state| !state.is_new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::state::transition::Transition;

    fn write(state: &mut State, journal: &mut Vec<u8>, run: &str, transitions: &[Transition]) {
        for (at, transition) in transitions.iter().enumerate() {
            state.apply(transition).expect("legal");
            codec::encode_record_of((at == 0).then_some(run), state.serial, transition, journal);
        }
    }

    fn adopted(name: &str) -> Transition {
        let address = Address::new(name);
        Transition::Adopted { address, kind: "value".into(), id: "x".into() }
    }

    #[test]
    fn every_run_and_every_serial_is_found_again() {
        let (mut state, mut journal) = (State::empty("s"), Vec::new());
        let begin = Transition::Begin { lineage: "l".into(), stack_id: "i".into() };
        write(&mut state, &mut journal, "one", &[begin, adopted("values.a"), adopted("values.b")]);
        let first = Chapter { base: State::empty("s"), journal: journal.clone() };
        let base = state.clone();
        let mut journal = Vec::new();
        let gone = Transition::Gone(Address::new("values.a").identity());
        write(&mut state, &mut journal, "two", &[gone, adopted("values.c")]);
        write(&mut state, &mut journal, "three", &[adopted("values.d")]);
        let chapters = [first, Chapter { base, journal }];
        let found = runs(&chapters);
        let told = found.iter().map(|run| (run.before, run.serial, run.holder.as_deref(), run.added, run.removed));
        let expected = [(0, 3, Some("one"), 2, 0), (3, 5, Some("two"), 1, 1), (5, 6, Some("three"), 1, 0)];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        for serial in 1..=6 {
            assert_eq!(at(&chapters, serial).expect("kept").serial, serial);
        }
        assert_eq!(at(&chapters, 7), None);
        assert_eq!(at(&chapters, 0), None);
        assert_eq!(last(&chapters), Some(state.clone()));
        // Without the first chapter what it told is not known, and its damage does not hide the second.
        assert_eq!(runs(&chapters[1..])[0].holder.as_deref(), Some("two"));
        assert_eq!(at(&chapters[1..], 2), None);
        let mut damaged = chapters.to_vec();
        damaged[0].journal[30] ^= 1;
        assert_eq!(last(&damaged), Some(state));
        assert_eq!(at(&damaged, 5).expect("kept").serial, 5);
    }
}
