//! Reads what is there: one question per kind and connection, connections first.
//!
//! Changes nothing, neither platform nor state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::address::{Address, Identity};
use crate::engine::retry::{Delays, is_retryable};
use crate::env::clock::Clock;
use crate::resource::driver::{Driver, Ownership, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::kind::{KindTable, Observed};
use crate::resource::model::Desired;
use crate::state::model::State;
use crate::value::Value;

/// Drivers by kind.
pub type Drivers = BTreeMap<&'static str, Arc<dyn Driver>>;

/// Something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {address}: {error}")]
pub struct ReadError {
    /// What.
    pub address: Address,
    /// Why.
    pub error: ProviderError,
}

/// Reads give up after this many tries: a plan that waits for minutes helps nobody.
const TRIES: usize = 6;

/// Kind and connection: what one question is asked about.
type Group = (String, Option<Address>);

struct Wanted {
    address: Address,
    kind: String,
    desired: Option<Arc<Value>>,
    recorded: Option<Arc<Value>>,
    id: Option<String>,
    connection: Option<Address>,
    adopt: bool,
}

/// What is looked at differently from everything else.
pub struct Sight<'a> {
    /// What is shown even if it is nobody's.
    pub adopts: &'a (dyn Fn(&Address) -> bool + Sync),
    /// Where connections that do not answer are noted, of which nothing is observed then; without it, they are errors.
    pub unreachable: Option<&'a mut BTreeSet<Address>>,
    /// Where to look for what is recorded as begun and not wanted any more: nothing else says where it would be.
    pub hints: &'a BTreeMap<Identity, Arc<Value>>,
}

/// Observes everything that is desired or recorded.
///
/// # Errors
/// The first resource that could not be read, after retries.
pub async fn refresh(
    kinds: &KindTable,
    drivers: &Drivers,
    clock: &dyn Clock,
    desired: &Desired,
    state: &State,
    ownership: &Ownership,
    sight: Sight<'_>,
) -> Result<BTreeMap<Identity, Observed>, ReadError> {
    let Sight { adopts, mut unreachable, hints } = sight;
    let mut wanted: BTreeMap<Identity, Wanted> = BTreeMap::new();
    for (identity, recorded) in &state.resources {
        wanted.insert(
            identity.clone(),
            Wanted {
                address: recorded.address.clone(),
                kind: recorded.kind.clone(),
                desired: hints.get(identity).filter(|_| *recorded.record == Value::Null).cloned(),
                recorded: Some(recorded.record.clone()),
                id: recorded.id.clone(),
                connection: recorded.connection.clone(),
                adopt: false,
            },
        );
    }
    for resource in &desired.resources {
        let attrs = Some(resource.attrs.clone());
        wanted.entry(resource.address.identity()).and_modify(|w| w.desired.clone_from(&attrs)).or_insert_with(|| {
            Wanted {
                address: resource.address.clone(),
                kind: resource.kind.to_owned(),
                desired: attrs.clone(),
                recorded: None,
                id: None,
                connection: resource.connection.clone(),
                adopt: adopts(&resource.address),
            }
        });
    }
    let connections = wanted.values().filter_map(|w| w.connection.clone()).collect::<BTreeSet<_>>();
    let mut observed = BTreeMap::new();
    let mut outputs: BTreeMap<Address, Option<Arc<Value>>> = BTreeMap::new();
    // Connections are few and shallow: a round per depth.
    let mut left = wanted;
    while !left.is_empty() {
        let ready = |w: &Wanted| w.connection.as_ref().is_none_or(|c| outputs.contains_key(c));
        let pending = left.values().map(|w| w.address.clone()).collect::<BTreeSet<_>>();
        let (now, later): (BTreeMap<_, _>, BTreeMap<_, _>) = left.into_iter().partition(|(_, w)| {
            ready(w) || w.connection.as_ref().is_some_and(|c| !pending.contains(c) || *c == w.address)
        });
        left = later;
        let mut groups: BTreeMap<Group, Vec<(Identity, Wanted)>> = BTreeMap::new();
        for (identity, want) in now {
            groups.entry((want.kind.clone(), want.connection.clone())).or_default().push((identity, want));
        }
        if groups.is_empty() {
            break;
        }
        for ((kind_name, connection), members) in groups {
            let through = connection.as_ref().map(|c| outputs.get(c).cloned().flatten());
            if matches!(through, Some(None)) {
                // What it lives in is not there: neither is it.
                continue;
            }
            let (Some(kind), Some(driver)) = (kinds.get(&kind_name), drivers.get(kind_name.as_str())) else { continue };
            let subjects = members
                .iter()
                .map(|(_, w)| Subject {
                    adopt: w.adopt,
                    address: w.address.clone(),
                    desired: w.desired.clone(),
                    recorded: w.recorded.clone(),
                    id: w.id.clone(),
                    connection: through.clone().flatten(),
                })
                .collect::<Vec<_>>();
            if connection.as_ref().is_some_and(|c| unreachable.as_ref().is_some_and(|silent| silent.contains(c))) {
                continue;
            }
            let answers = match (read(driver.as_ref(), clock, &subjects, ownership).await, &connection) {
                (Ok(answers), _) => answers,
                (Err(ReadError { error, .. }), Some(connection))
                    if error.class == ErrorClass::Unavailable && unreachable.is_some() =>
                {
                    unreachable.iter_mut().for_each(|silent| {
                        silent.insert(connection.clone());
                    });
                    continue;
                }
                (Err(error), _) => return Err(error),
            };
            for ((identity, want), answer) in members.into_iter().zip(answers) {
                if connections.contains(&want.address) {
                    let value = answer.as_ref().map(|o| Arc::new(kind.outputs(o)));
                    outputs.insert(want.address, value);
                }
                if let Some(answer) = answer {
                    observed.insert(identity, answer);
                }
            }
        }
    }
    Ok(observed)
}

async fn read(
    driver: &dyn Driver,
    clock: &dyn Clock,
    subjects: &[Subject],
    ownership: &Ownership,
) -> Result<Vec<Option<Observed>>, ReadError> {
    let mut delays = Delays::new();
    let mut answers = driver.read(subjects, ownership).await;
    for attempt in 1.. {
        let failed =
            (0..subjects.len()).filter(|&at| matches!(answers.get(at), Some(Err(_)) | None)).collect::<Vec<_>>();
        let Some(&first) = failed.first() else { break };
        let error = match answers.get(first) {
            Some(Err(error)) => error.clone(),
            _ => ProviderError::new(ErrorClass::Unknown, "the driver did not answer"),
        };
        if attempt == TRIES || !is_retryable(error.class) {
            return Err(ReadError { address: subjects[first].address.clone(), error });
        }
        clock.sleep(delays.next(&error)).await;
        let again = failed.iter().map(|&at| subjects[at].clone()).collect::<Vec<_>>();
        for (at, answer) in failed.into_iter().zip(driver.read(&again, ownership).await) {
            answers[at] = answer;
        }
    }
    Ok(answers.into_iter().map(Result::unwrap_or_default).collect())
}
