//! The legal transitions against a second, smaller description of them; whatever is drawn, the journal gives the
//! state again.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::codec::{decode_snapshot, encode_record, encode_snapshot, replay};
use super::model::{GivenUp, Intent, State, Target};
use super::transition::Transition;
use crate::address::Address;
use crate::value::Value;

/// What a resource is to the rules: has it a handle, and what is under way.
#[derive(Clone, Debug, PartialEq, Default)]
struct Thing {
    known: bool,
    /// The intent, whether its call was answered, and whether the platform named an operation.
    under_way: Option<(Intent, bool, bool)>,
}

/// The rules once more: by name, without anything that a resource is made of.
#[derive(Clone, Debug, PartialEq, Default)]
struct Model {
    begun: bool,
    bound: Option<u8>,
    keyed: Option<u8>,
    things: BTreeMap<u8, Thing>,
    outputs: u8,
    /// Since when it is paused.
    paused: Option<u8>,
    /// Where it is, whether it stays there, and where it could not be.
    placing: Option<(u8, bool, Vec<u8>)>,
    /// How long creations took.
    took: BTreeMap<u8, Vec<u64>>,
}

/// A step, in the model's words.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    Bind(u8),
    Keyed(u8),
    Intent(u8, Intent),
    Operation(u8),
    Applied(u8, bool),
    Ready(u8),
    Refused(u8),
    Gone(u8),
    Forgotten(u8),
    Moved(u8, u8),
    Adopted(u8),
    Outputs(u8),
    Paused(u8),
    Resumed,
    Placed(u8),
    GivenUp(u8),
    Settled,
    Unplaced,
    Took(u8, u64),
}

impl Model {
    /// The model after the step; `None` when it is not legal.
    fn after(&self, step: &Step) -> Option<Model> {
        let mut next = self.clone();
        let thing = |of: &u8| self.things.get(of).cloned();
        let under_way = |of: &u8| thing(of)?.under_way;
        match step {
            Step::Begin => {
                next.begun = true;
                return (!self.begun).then_some(next);
            }
            _ if !self.begun => return None,
            Step::Bind(to) if self.bound.is_some_and(|bound| bound != *to) => return None,
            Step::Bind(to) => next.bound = Some(*to),
            Step::Keyed(with) if self.keyed.is_some_and(|keyed| keyed != *with) => return None,
            Step::Keyed(with) => next.keyed = Some(*with),
            Step::Intent(of, Intent::Create) => {
                next.things.insert(*of, Thing { known: false, under_way: Some((Intent::Create, false, false)) });
            }
            Step::Intent(of, action) => {
                next.things.insert(*of, Thing { under_way: Some((*action, false, false)), ..thing(of)? });
            }
            Step::Operation(of) => {
                let (action, sent, _) = under_way(of)?;
                next.things.insert(*of, Thing { under_way: Some((action, sent, true)), ..thing(of)? });
            }
            Step::Applied(of, ready) => {
                let (action, _, named) = under_way(of).filter(|(action, ..)| *action != Intent::Delete)?;
                let under_way = (!ready).then_some((action, true, named));
                next.things.insert(*of, Thing { known: true, under_way });
            }
            Step::Ready(of) => {
                under_way(of).filter(|(_, sent, _)| *sent)?;
                next.things.insert(*of, Thing { under_way: None, ..thing(of)? });
            }
            Step::Refused(of) => {
                under_way(of)?;
                match thing(of)?.known {
                    true => next.things.insert(*of, Thing { known: true, under_way: None }),
                    false => next.things.remove(of),
                };
            }
            Step::Gone(of) | Step::Forgotten(of) => {
                next.things.remove(of)?;
            }
            Step::Moved(from, to) => {
                let moved = next.things.remove(from)?;
                if next.things.insert(*to, moved).is_some() {
                    return None;
                }
                if let Some(took) = next.took.remove(from) {
                    next.took.insert(*to, took);
                }
            }
            Step::Adopted(of) => {
                if next.things.insert(*of, Thing { known: true, under_way: None }).is_some() {
                    return None;
                }
            }
            Step::Outputs(value) => next.outputs = *value,
            Step::Paused(at) => next.paused = self.paused.or(Some(*at)),
            Step::Resumed => {
                next.paused.take()?;
            }
            Step::Placed(at) => {
                let given_up = match &self.placing {
                    None => Vec::new(),
                    Some((_, false, given_up)) if !given_up.contains(at) => given_up.clone(),
                    Some(_) => return None,
                };
                next.placing = Some((*at, false, given_up));
            }
            Step::GivenUp(at) => match &mut next.placing {
                Some((here, false, given_up)) if here == at && !given_up.contains(at) => given_up.push(*at),
                _ => return None,
            },
            Step::Settled => match &mut next.placing {
                Some((here, settled, given_up)) if !given_up.contains(here) => *settled = true,
                _ => return None,
            },
            Step::Unplaced => next.placing = None,
            Step::Took(of, milliseconds) => {
                let took = next.took.entry(*of).or_default();
                took.push(*milliseconds);
                if took.len() > 5 {
                    took.remove(0);
                }
            }
        }
        Some(next)
    }

    /// What a state is in the model's words.
    fn of(state: &State) -> Model {
        let thing = |recorded: &super::model::Recorded| Thing {
            known: recorded.id.is_some(),
            under_way: recorded.pending.as_ref().map(|p| (p.action, p.sent, p.operation.is_some())),
        };
        let number = |text: &str| text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
        Model {
            begun: !state.lineage.is_empty(),
            bound: state.target.as_ref().map(|target| number(&target.id)),
            keyed: state.key.as_ref().map(|key| number(key)),
            things: state.resources.iter().map(|(identity, r)| (number(identity.as_str()), thing(r))).collect(),
            outputs: state.outputs.get("n").and_then(Value::as_int).map_or(0, |n| u8::try_from(n).expect("small")),
            paused: state.paused.as_ref().map(|paused| u8::try_from(paused.since).expect("small")),
            placing: state.placing.as_ref().map(|placing| {
                let given_up = placing.given_up.iter().map(|given_up| number(&given_up.location)).collect();
                (number(&placing.location), placing.settled, given_up)
            }),
            took: state.took.iter().map(|(of, took)| (number(of.as_str()), took[&Intent::Create].clone())).collect(),
        }
    }
}

fn address(number: u8) -> Address {
    Address::new(format!("values.n{number}"))
}

fn transition(step: &Step) -> Transition {
    let identity = |number: &u8| address(*number).identity();
    match step {
        Step::Begin => Transition::Begin { lineage: "l".into(), stack_id: "i".into() },
        Step::Bind(to) => Transition::Bind(Target { platform: "none".into(), id: to.to_string() }),
        Step::Keyed(with) => Transition::Keyed(format!("k{with}")),
        Step::Intent(of, action) => Transition::Intent {
            address: address(*of),
            kind: "value".into(),
            action: *action,
            at: 7,
            needs: vec![address(of.wrapping_add(1))],
            connection: Some(address(*of)),
        },
        Step::Operation(of) => Transition::Operation { identity: identity(of), name: "op \"ü\n".into() },
        Step::Applied(of, ready) => Transition::Applied {
            identity: identity(of),
            id: "x".into(),
            record: Value::from("line\nfeed").into(),
            secrets: BTreeMap::from([("s".to_owned(), "d".to_owned())]),
            ready: *ready,
        },
        Step::Ready(of) => Transition::Ready(identity(of)),
        Step::Refused(of) => Transition::Refused(identity(of)),
        Step::Gone(of) => Transition::Gone(identity(of)),
        Step::Forgotten(of) => Transition::Forgotten(identity(of)),
        Step::Moved(from, to) => Transition::Moved { from: identity(from), to: address(*to) },
        Step::Adopted(of) => Transition::Adopted { address: address(*of), kind: "value".into(), id: "y".into() },
        Step::Outputs(value) => {
            let outputs =
                if *value == 0 { BTreeMap::new() } else { [("n".to_owned(), i64::from(*value).into())].into() };
            Transition::Outputs(outputs)
        }
        Step::Paused(at) => {
            Transition::Paused { at: u64::from(*at), sizes: BTreeMap::from([(identity(at), i64::from(*at))]) }
        }
        Step::Resumed => Transition::Resumed,
        Step::Placed(at) => Transition::Placed { location: format!("z{at}") },
        Step::GivenUp(at) => {
            Transition::GivenUp(GivenUp { location: format!("z{at}"), at: 7, reason: "stock \"out\"".into() })
        }
        Step::Settled => Transition::Settled,
        Step::Unplaced => Transition::Unplaced,
        Step::Took(of, milliseconds) => {
            Transition::Took(BTreeMap::from([(identity(of), BTreeMap::from([(Intent::Create, *milliseconds)]))]))
        }
    }
}

/// Few names, so that steps meet; `Begin` is rare, so that most draws get somewhere.
fn step() -> impl Strategy<Value = Step> {
    let one = || 0u8..4;
    let action = prop_oneof![Just(Intent::Create), Just(Intent::Update), Just(Intent::Delete)];
    prop_oneof![
        1 => Just(Step::Begin),
        2 => (0u8..2).prop_map(Step::Bind),
        2 => (0u8..2).prop_map(Step::Keyed),
        9 => (one(), action).prop_map(|(of, action)| Step::Intent(of, action)),
        5 => one().prop_map(Step::Operation),
        9 => (one(), any::<bool>()).prop_map(|(of, ready)| Step::Applied(of, ready)),
        6 => one().prop_map(Step::Ready),
        4 => one().prop_map(Step::Refused),
        4 => one().prop_map(Step::Gone),
        2 => one().prop_map(Step::Forgotten),
        4 => (one(), one()).prop_map(|(from, to)| Step::Moved(from, to)),
        4 => one().prop_map(Step::Adopted),
        2 => (0u8..3).prop_map(Step::Outputs),
        2 => (0u8..3).prop_map(Step::Paused),
        2 => Just(Step::Resumed),
        4 => (0u8..3).prop_map(Step::Placed),
        4 => (0u8..3).prop_map(Step::GivenUp),
        1 => Just(Step::Settled),
        1 => Just(Step::Unplaced),
        4 => (one(), 0u64..90).prop_map(|(of, milliseconds)| Step::Took(of, milliseconds)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_are_those_of_the_model(begins in any::<bool>(), steps in proptest::collection::vec(step(), 0..120)) {
        let (mut state, mut model, mut journal, mut serial) = (State::empty("s"), Model::default(), Vec::new(), 0);
        let first = begins.then_some(Step::Begin);
        let mut middle = None;
        for (number, step) in first.into_iter().chain(steps).enumerate() {
            let transition = transition(&step);
            let before = state.clone();
            let next = model.after(&step);
            match (state.apply(&transition), &next) {
                (Ok(()), Some(next)) => {
                    serial += 1;
                    encode_record(state.serial, &transition, &mut journal);
                    prop_assert_eq!(&Model::of(&state), next, "{:?}", step);
                    model = next.clone();
                }
                // What is refused has changed nothing.
                (Err(_), None) => prop_assert_eq!(&state, &before, "{:?}", step),
                (found, expected) => prop_assert!(false, "{step:?} after {before:?}: {found:?}, not {expected:?}"),
            }
            prop_assert_eq!(state.serial, serial);
            if number == 20 {
                middle = Some(state.clone());
            }
        }
        let mut replayed = State::empty("s");
        let done = replay(&mut replayed, &journal).expect("a whole journal");
        prop_assert_eq!((done.applied as u64, done.intact), (serial, journal.len()));
        prop_assert_eq!(&replayed, &state);
        // A fold in between, after which the journal was not cut yet.
        if let Some(middle) = middle {
            let mut folded = decode_snapshot(&encode_snapshot(&middle)).expect("a snapshot");
            prop_assert_eq!(&folded, &middle);
            replay(&mut folded, &journal).expect("what the snapshot holds is passed over");
            prop_assert_eq!(&folded, &state);
        }
    }
}
