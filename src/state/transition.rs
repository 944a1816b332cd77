//! The only way in which state changes: one function of legal transitions.
//!
//! Every transition is constant work. A journal is a list of them; replaying it gives the state.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::address::{Address, Identity};
use crate::state::model::{FORMAT, GivenUp, Intent, Paused, Pending, Placing, REMEMBERED, Recorded, State, Target};
use crate::value::Value;

/// One step of a state's history.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Transition {
    /// The first of a history.
    Begin {
        /// Random.
        lineage: String,
        /// The stack's random id.
        stack_id: String,
    },
    /// Binds the state to a place.
    Bind(Target),
    /// Digests of secrets are made with the key of this name.
    Keyed(String),
    /// Something is about to be asked of a platform.
    Intent {
        /// Address of the resource.
        address: Address,
        /// Kind's name.
        kind: String,
        /// What is about to happen.
        action: Intent,
        /// When, in milliseconds since 1970.
        at: u64,
        /// What it needs; kept for destroy.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        needs: Vec<Address>,
        /// How its platform is reached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connection: Option<Address>,
    },
    /// The platform named its long-running operation.
    Operation {
        /// Which resource.
        identity: Identity,
        /// The platform's name for it.
        name: String,
    },
    /// The platform carried a create or update out.
    Applied {
        /// Which resource.
        identity: Identity,
        /// The platform's handle.
        id: String,
        /// What the kind keeps.
        #[serde(with = "crate::value::shared")]
        record: Arc<Value>,
        /// Keyed digests of secret inputs.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        secrets: BTreeMap<String, String>,
        /// Nothing is left to wait for.
        ready: bool,
    },
    /// The user has taken note of how it is now; nothing was asked of a platform.
    Seen {
        /// Which resource.
        identity: Identity,
        /// What the kind keeps of that.
        record: Value,
    },
    /// It became ready.
    Ready(Identity),
    /// The platform refused: nothing happened, the intent is off.
    Refused(Identity),
    /// It is gone.
    Gone(Identity),
    /// It is no longer ours to manage, and still there.
    Forgotten(Identity),
    /// It is called something else in the stack.
    Moved {
        /// The old identity.
        from: Identity,
        /// The new address.
        to: Address,
    },
    /// It is there and ours from now on, found by its labels or named by the user.
    Adopted {
        /// Its address.
        address: Address,
        /// Kind's name.
        kind: String,
        /// The platform's handle.
        id: String,
    },
    /// The outputs of a complete apply.
    Outputs(BTreeMap<String, Value>),
    /// What a cluster is known by once it is gone; in the place of what was known before.
    Captured {
        /// The cluster's id.
        cluster: String,
        /// What the platform wants to remember of it.
        facts: Value,
    },
    /// Nothing is left of a cluster that is gone.
    Cleared(String),
    /// The whole state is another one from now on: pushed, restored, or rebuilt.
    Replaced(Box<State>),
    /// The stack is paused from now on.
    Paused {
        /// When, in milliseconds since 1970.
        at: u64,
        /// How many nodes pools have, per zone.
        sizes: BTreeMap<Identity, i64>,
    },
    /// The stack is paused no longer.
    Resumed,
    /// The stack is made in this location from now on, the next of those that it names.
    Placed {
        /// Zone or region.
        location: String,
    },
    /// The location has no capacity: what was made there is removed from now on.
    GivenUp(GivenUp),
    /// Its capacity was had: the stack stays where it is.
    Settled,
    /// The stack is nowhere: the next apply begins with its first location.
    Unplaced,
    /// How long the changes of a run took, in milliseconds.
    Took(BTreeMap<Identity, BTreeMap<Intent, u64>>),
    /// The state is kept elsewhere from now on; nothing but a replacement can follow.
    Departed {
        /// The place, as `[state] backend` names it.
        to: String,
    },
}

/// A transition that the state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// `Begin` came twice or something came before it.
    #[error("a history begins exactly once")]
    Begin,
    /// It is bound to another place.
    #[error("state is bound to {0} and cannot be bound to {1}")]
    Bound(String, String),
    /// No such resource.
    #[error("{0} is not recorded")]
    Absent(Identity),
    /// It is keyed with another key.
    #[error("digests in the state are made with the key {0}, not with {1}")]
    Keyed(String, String),
    /// Result without intent.
    #[error("{0} has no intent that this could be the result of")]
    NoIntent(Identity),
    /// An intent is to be settled first.
    #[error("{0} has an intent without a result")]
    Pending(Identity),
    /// Create of what is there, or change of what is not.
    #[error("{0} cannot be set out to {1:?} in its present state")]
    WrongIntent(Identity, Intent),
    /// The new name is taken.
    #[error("{0} is recorded already")]
    Taken(Identity),
    /// Resumed without having been paused.
    #[error("the stack is not paused")]
    NotPaused,
    /// Something about a location in which the stack is not, or in which it stays.
    #[error("the stack is not being made in {0}")]
    NotPlaced(String),
    /// The state is kept elsewhere.
    #[error("the state is kept in {0} now")]
    Departed(String),
    /// What would replace the state is the state of something else, or of nothing.
    #[error("what would replace the state {0}")]
    Replacement(&'static str),
}

impl State {
    /// Applies one transition and counts it.
    ///
    /// # Errors
    /// [`Illegal`]; the state is then as before.
    pub fn apply(&mut self, transition: &Transition) -> Result<(), Illegal> {
        let serial = self.serial_after(transition);
        self.change(transition)?;
        self.serial = serial;
        Ok(())
    }

    /// The serial that a transition leads to: the next one, but for a replacement, which is newer than both what it
    /// replaces and what it was. Where there was nothing, it keeps its own.
    pub fn serial_after(&self, transition: &Transition) -> u64 {
        match transition {
            Transition::Replaced(other) if self.is_new() => other.serial,
            Transition::Replaced(other) => self.serial.max(other.serial) + 1,
            _ => self.serial + 1,
        }
    }

    fn change(&mut self, transition: &Transition) -> Result<(), Illegal> {
        if let Transition::Replaced(other) = transition {
            return self.replace(other);
        }
        if let Some(place) = &self.departed {
            return Err(Illegal::Departed(place.clone()));
        }
        if matches!(transition, Transition::Begin { .. }) != self.lineage.is_empty() {
            return Err(Illegal::Begin);
        }
        match transition {
            Transition::Begin { lineage, stack_id } => {
                self.lineage.clone_from(lineage);
                self.stack_id.clone_from(stack_id);
            }
            Transition::Bind(target) => match &self.target {
                Some(bound) if bound != target => {
                    return Err(Illegal::Bound(
                        format!("{} {}", bound.platform, bound.id),
                        format!("{} {}", target.platform, target.id),
                    ));
                }
                _ => self.target = Some(target.clone()),
            },
            Transition::Keyed(name) => match &self.key {
                Some(key) if key != name => return Err(Illegal::Keyed(key.clone(), name.clone())),
                _ => self.key = Some(name.clone()),
            },
            Transition::Intent { address, kind, action, at, needs, connection } => {
                let identity = address.identity();
                let pending = Pending { action: *action, since: *at, operation: None, sent: false };
                match (self.resources.get_mut(&identity), action) {
                    (None, Intent::Create) => {
                        let recorded = Recorded {
                            address: address.clone(),
                            kind: kind.clone(),
                            id: None,
                            record: Arc::default(),
                            seen: None,
                            needs: needs.clone(),
                            connection: connection.clone(),
                            secrets: BTreeMap::new(),
                            pending: Some(pending),
                        };
                        self.resources.insert(identity, recorded);
                    }
                    (Some(recorded), Intent::Create | Intent::Update) => {
                        // A create of something recorded means that it vanished, or was pending already.
                        if *action == Intent::Create {
                            recorded.id = None;
                            recorded.record = Arc::default();
                            recorded.seen = None;
                        }
                        recorded.address = address.clone();
                        recorded.needs.clone_from(needs);
                        recorded.connection.clone_from(connection);
                        recorded.pending = Some(pending);
                    }
                    (Some(recorded), Intent::Delete) => recorded.pending = Some(pending),
                    (None, _) => return Err(Illegal::WrongIntent(identity, *action)),
                }
            }
            Transition::Operation { identity, name } => {
                self.pending(identity)?.operation = Some(name.clone());
            }
            Transition::Applied { identity, id, record, secrets, ready } => {
                if self.pending(identity)?.action == Intent::Delete {
                    return Err(Illegal::NoIntent(identity.clone()));
                }
                let recorded = self.recorded(identity)?;
                recorded.id = Some(id.clone());
                recorded.record = record.clone();
                recorded.seen = None;
                recorded.secrets.clone_from(secrets);
                match &mut recorded.pending {
                    Some(pending) if !ready => pending.sent = true,
                    pending => *pending = None,
                }
            }
            Transition::Seen { identity, record } => {
                let recorded = self.recorded(identity)?;
                if recorded.pending.is_some() {
                    return Err(Illegal::Pending(identity.clone()));
                }
                recorded.seen = Some(record.clone());
            }
            Transition::Ready(identity) => {
                if !self.pending(identity)?.sent {
                    return Err(Illegal::NoIntent(identity.clone()));
                }
                self.recorded(identity)?.pending = None;
            }
            Transition::Refused(identity) => {
                self.pending(identity)?;
                let recorded = self.recorded(identity)?;
                recorded.pending = None;
                if recorded.id.is_none() {
                    self.resources.remove(identity);
                }
            }
            Transition::Gone(identity) | Transition::Forgotten(identity) => {
                self.recorded(identity)?;
                self.resources.remove(identity);
            }
            Transition::Moved { from, to } => {
                let identity = to.identity();
                if identity != *from && self.resources.contains_key(&identity) {
                    return Err(Illegal::Taken(identity));
                }
                let mut recorded = self.resources.remove(from).ok_or_else(|| Illegal::Absent(from.clone()))?;
                recorded.address = to.clone();
                if let Some(took) = self.took.remove(from) {
                    self.took.insert(identity.clone(), took);
                }
                self.resources.insert(identity, recorded);
            }
            Transition::Adopted { address, kind, id } => {
                let identity = address.identity();
                if self.resources.contains_key(&identity) {
                    return Err(Illegal::Taken(identity));
                }
                let recorded = Recorded {
                    address: address.clone(),
                    kind: kind.clone(),
                    id: Some(id.clone()),
                    record: Arc::default(),
                    seen: None,
                    needs: Vec::new(),
                    connection: None,
                    secrets: BTreeMap::new(),
                    pending: None,
                };
                self.resources.insert(identity, recorded);
            }
            Transition::Outputs(outputs) => self.outputs.clone_from(outputs),
            Transition::Paused { at, sizes } => {
                // A second pause finds nothing but empty pools: what the first has seen is what counts.
                let paused = self.paused.get_or_insert_with(|| Paused { since: *at, sizes: BTreeMap::new() });
                for (identity, nodes) in sizes {
                    paused.sizes.entry(identity.clone()).or_insert(*nodes);
                }
            }
            Transition::Resumed => {
                self.paused.take().ok_or(Illegal::NotPaused)?;
            }
            Transition::Placed { location } => match &mut self.placing {
                // What has capacity stays, and what is given up is not tried again.
                Some(placing) if placing.settled || placing.has_given_up(location) => {
                    return Err(Illegal::NotPlaced(location.clone()));
                }
                Some(placing) => placing.location.clone_from(location),
                None => {
                    let location = location.clone();
                    self.placing = Some(Placing { location, settled: false, given_up: Vec::new() });
                }
            },
            Transition::GivenUp(given_up) => {
                let placing = self.placing.as_mut().filter(|placing| {
                    placing.location == given_up.location && !placing.settled && !placing.is_leaving()
                });
                let placing = placing.ok_or_else(|| Illegal::NotPlaced(given_up.location.clone()))?;
                placing.given_up.push(given_up.clone());
            }
            Transition::Settled => {
                let placing = self.placing.as_mut().filter(|placing| !placing.is_leaving());
                placing.ok_or_else(|| Illegal::NotPlaced("any location".to_owned()))?.settled = true;
            }
            Transition::Unplaced => self.placing = None,
            Transition::Took(times) => {
                for (identity, actions) in times {
                    let known = self.took.entry(identity.clone()).or_default();
                    for (action, milliseconds) in actions {
                        let took = known.entry(*action).or_default();
                        took.push(*milliseconds);
                        took.drain(..took.len().saturating_sub(REMEMBERED));
                    }
                }
            }
            Transition::Captured { cluster, facts } => drop(self.captured.insert(cluster.clone(), facts.clone())),
            Transition::Cleared(cluster) => drop(self.captured.remove(cluster)),
            Transition::Departed { to } => self.departed = Some(to.clone()),
            Transition::Replaced(other) => self.replace(other)?,
        }
        Ok(())
    }

    fn replace(&mut self, other: &State) -> Result<(), Illegal> {
        if other.stack != self.stack {
            return Err(Illegal::Replacement("is that of another stack"));
        }
        if other.lineage.is_empty() || other.serial == 0 {
            return Err(Illegal::Replacement("has no history: nothing was ever recorded in it"));
        }
        *self = State { format: FORMAT, departed: None, ..other.clone() };
        Ok(())
    }

    fn recorded(&mut self, identity: &Identity) -> Result<&mut Recorded, Illegal> {
        self.resources.get_mut(identity).ok_or_else(|| Illegal::Absent(identity.clone()))
    }

    fn pending(&mut self, identity: &Identity) -> Result<&mut Pending, Illegal> {
        self.recorded(identity)?.pending.as_mut().ok_or_else(|| Illegal::NoIntent(identity.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(serial: u64) -> State {
        let mut state = State::empty("s");
        state.apply(&Transition::Begin { lineage: "l".into(), stack_id: "i".into() }).expect("begins");
        for _ in 1..serial {
            state.apply(&Transition::Outputs(BTreeMap::new())).expect("legal");
        }
        state
    }

    #[test]
    fn a_replacement_is_newer_than_both() {
        let (old, new) = (begun(3), begun(7));
        for (mut state, other, serial) in
            [(old.clone(), &new, 8), (new.clone(), &old, 8), (State::empty("s"), &new, 7), (new.clone(), &new, 8)]
        {
            state.apply(&Transition::Replaced(Box::new(other.clone()))).expect("legal");
            assert_eq!(state.serial, serial);
            assert!(state.agrees(other));
        }
        let nothing = Transition::Replaced(Box::new(State::empty("s")));
        assert!(matches!(old.clone().apply(&nothing), Err(Illegal::Replacement(_))));
        let others = Transition::Replaced(Box::new(State { stack: "t".into(), ..new }));
        assert!(matches!(old.clone().apply(&others), Err(Illegal::Replacement(_))));
    }

    #[test]
    fn the_last_few_durations_are_remembered_and_an_odd_one_does_not_count() {
        let mut state = begun(1);
        let identity = Address::new("cluster").identity();
        assert_eq!(state.usual(&identity, Intent::Create), None);
        let took = |state: &mut State, milliseconds| {
            let times = BTreeMap::from([(identity.clone(), BTreeMap::from([(Intent::Create, milliseconds)]))]);
            state.apply(&Transition::Took(times)).expect("legal");
            state.usual(&identity, Intent::Create)
        };
        let medians = [1000, 3000, 90_000, 3100, 2900, 3050].map(|took_now| took(&mut state, took_now));
        assert_eq!(
            medians,
            [1000, 2000, 3000, 3050, 3000, 3050]
                .iter()
                .zip([1, 2, 3, 4, 5, 5])
                .map(|(ms, runs)| Some((*ms, runs)))
                .collect::<Vec<_>>()[..]
        );
        assert_eq!(state.usual(&identity, Intent::Delete), None);
        state
            .apply(&Transition::Adopted { address: Address::new("cluster"), kind: "k".into(), id: "i".into() })
            .expect("legal");
        state.apply(&Transition::Moved { from: identity.clone(), to: Address::new("other") }).expect("legal");
        assert_eq!(state.usual(&Address::new("other").identity(), Intent::Create), Some((3050, 5)));
        assert_eq!(state.usual(&identity, Intent::Create), None);
        assert!(
            state.agrees(&State { took: BTreeMap::new(), ..state.clone() }),
            "how long it took is not what is there"
        );
    }

    #[test]
    fn what_has_departed_takes_nothing_but_a_replacement() {
        let mut state = begun(2);
        state.apply(&Transition::Departed { to: "gs://b".into() }).expect("legal");
        let before = state.clone();
        assert_eq!(state.apply(&Transition::Outputs(BTreeMap::new())), Err(Illegal::Departed("gs://b".into())));
        assert_eq!(state, before);
        state.apply(&Transition::Replaced(Box::new(begun(2)))).expect("it comes back");
        assert_eq!((state.departed.clone(), state.serial), (None, 4));
    }
}
