//! In which of its locations a stack is: read off the state, and written into it as capacity is had or not.
//!
//! What the stack is in each of them is the catalogue's and the plan's (`plan::places`); who goes on in the next location
//! when one has no capacity is `cli::fallback`. See `docs/decisions/0013-fallback-locations.md`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::address::Identity;
use crate::backend::{BackendError, Session};
use crate::ops::apply::Applied;
use crate::ops::platforms::Platforms;
use crate::plan::model::Plan;
use crate::plan::places::{self, is_capacity};
use crate::platform::preflight::{Check, Topic, Verdict};
use crate::resource::error::ErrorClass;
use crate::resource::model::Desired;
use crate::state::model::{GivenUp, Placing, State};
use crate::state::transition::Transition;
use crate::value::Value;

/// What is to be planned of a stack that may be in several locations.
pub struct Whereabouts<'a> {
    /// What is wanted, in the location in which it is wanted now.
    pub desired: Cow<'a, Desired>,
    /// What is recorded, without what is removed before anything is made.
    pub recorded: Cow<'a, State>,
    /// The location that was given up and is left first.
    pub leaving: Option<String>,
}

/// Where the stack is, or goes on.
///
/// A stack stays in the location in which its capacity was had as long as its file names that. One that has given a
/// location up goes on in the next, or, when it was the last, begins anew with the first.
pub fn whereabouts<'a>(desired: &'a Desired, state: &'a State) -> Whereabouts<'a> {
    let as_it_is = || Whereabouts { desired: Cow::Borrowed(desired), recorded: Cow::Borrowed(state), leaving: None };
    let Some(placing) = &state.placing else { return as_it_is() };
    if placing.is_leaving() {
        let mut recorded = places::blank(state);
        let next = next(desired, placing);
        recorded.placing = next.map(|next| Placing { location: next.to_owned(), ..placing.clone() });
        let desired = next.map_or(Cow::Borrowed(desired), |next| Cow::Owned(desired.at(next)));
        return Whereabouts { desired, recorded: Cow::Owned(recorded), leaving: Some(placing.location.clone()) };
    }
    match desired.places.iter().any(|place| place.location == placing.location) {
        true => Whereabouts { desired: Cow::Owned(desired.at(&placing.location)), ..as_it_is() },
        false => as_it_is(),
    }
}

/// The location that comes after those that were given up.
pub fn next<'a>(desired: &'a Desired, placing: &Placing) -> Option<&'a str> {
    let mut places = desired.places.iter().map(|place| place.location.as_str());
    places.find(|place| !placing.has_given_up(place))
}

/// What recorded resources are looked for by that are not known to have been made: where they would have been.
pub fn hints(desired: &Desired, state: &State) -> BTreeMap<Identity, Arc<Value>> {
    let here = state.placing.as_ref().map(|placing| placing.location.as_str());
    let place = desired.places.iter().find(|place| here.is_none_or(|here| here == place.location));
    let resources = place.into_iter().flat_map(|place| &place.resources);
    resources.map(|resource| (resource.address.identity(), resource.attrs.clone())).collect()
}

/// What is recorded before anything is made by a plan that may go on elsewhere.
pub(super) fn opening(plan: &Plan, state: &State) -> Option<Transition> {
    let placement = plan.placement.as_ref().filter(|placement| placement.open)?;
    let here = state.placing.as_ref().is_some_and(|placing| placing.location == placement.location);
    (!here).then(|| Transition::Placed { location: placement.location.clone() })
}

/// What is recorded once everything that capacity is had for is there.
pub(super) fn settled(plan: &Plan, state: &State) -> Option<Transition> {
    let placing = state.placing.as_ref().filter(|placing| !placing.settled && !placing.is_leaving())?;
    plan.placement.as_ref().filter(|placement| placement.location == placing.location)?;
    let wanted = plan.changes.iter().filter(|change| is_capacity(&change.kind) && !change.is_leaving());
    let had = |identity: Identity| {
        state.resources.get(&identity).is_some_and(|recorded| recorded.pending.is_none() && recorded.id.is_some())
    };
    let mut wanted = wanted.map(|change| change.address.identity());
    wanted.all(had).then_some(Transition::Settled)
}

/// As `settled`, for a plan that has nothing else to do.
///
/// # Errors
/// When the state cannot be written.
pub async fn settle(session: &mut dyn Session, plan: &Plan) -> Result<(), BackendError> {
    match settled(plan, session.state()) {
        Some(settled) => session.commit(vec![settled]).await,
        None => Ok(()),
    }
}

/// Why a location has not what the plan needs, where that is what has ended it.
pub fn shortage(plan: &Plan, applied: &Applied) -> Option<String> {
    if !plan.is_open() || applied.summary.interrupted {
        return None;
    }
    let failed = applied.summary.failed.iter().find(|(address, failure)| {
        plan.change(address).is_some_and(|change| is_capacity(&change.kind) && !change.is_leaving())
            && matches!(failure.class, Some(ErrorClass::StockOut | ErrorClass::Quota))
    });
    failed.map(|(address, failure)| format!("{address}: {}", failure.causes.join(": ")))
}

/// Why a location has not what the plan needs, as checks have found; `None` where they found nothing missing, or something
/// that is missing everywhere.
pub fn shortfall(plan: &Plan, checks: &[Check]) -> Option<String> {
    let missing = checks.iter().filter(|check| check.verdict == Verdict::Missing).collect::<Vec<_>>();
    let local = missing.iter().all(|check| matches!(check.topic, Topic::Offer | Topic::Quota | Topic::Capacity));
    if !plan.is_open() || missing.is_empty() || !local {
        return None;
    }
    let said = missing.iter().map(|check| format!("{}: {}", check.subject, check.found));
    Some(said.collect::<Vec<_>>().join("; "))
}

/// Takes note that the plan's location has no capacity: what was made there is removed from now on.
///
/// # Errors
/// When the state cannot be written.
pub async fn give_up(
    platforms: &Platforms,
    session: &mut dyn Session,
    plan: &Plan,
    reason: &str,
) -> Result<(), BackendError> {
    let Some(placement) = &plan.placement else { return Ok(()) };
    let mut transitions = Vec::new();
    if session.state().is_new() {
        transitions.push(super::apply::begin(platforms));
    }
    transitions.extend(opening(plan, session.state()));
    let (location, at) = (placement.location.clone(), platforms.clock.now().0);
    transitions.push(Transition::GivenUp(GivenUp { location, at, reason: reason.to_owned() }));
    session.commit(transitions).await
}

/// Takes note that nothing is left of the stack in the location that it has given up: it goes on in the next, or nowhere.
///
/// # Errors
/// When the state cannot be written.
pub async fn move_on(session: &mut dyn Session, next: Option<&str>) -> Result<(), BackendError> {
    let transition = match next {
        Some(location) => Transition::Placed { location: location.to_owned() },
        None => Transition::Unplaced,
    };
    session.commit(vec![transition]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::model::Place;

    fn desired() -> Desired {
        let place = |location: &str| Place { location: location.to_owned(), resources: Vec::new(), notes: Vec::new() };
        Desired { stack: "s".to_owned(), places: ["a", "b", "c"].map(place).to_vec(), ..Desired::default() }
    }

    fn placed(location: &str, settled: bool, given_up: &[&str]) -> State {
        let given_up = given_up.iter().map(|location| GivenUp {
            location: (*location).to_owned(),
            at: 1,
            reason: "gone".to_owned(),
        });
        let placing = Placing { location: location.to_owned(), settled, given_up: given_up.collect() };
        State { placing: Some(placing), ..State::empty("s") }
    }

    #[test]
    fn what_was_given_up_is_left_and_not_tried_again() {
        let desired = desired();
        for (state, leaving, next) in [
            (placed("a", false, &["a"]), Some("a"), Some("b")),
            (placed("b", false, &["a", "b"]), Some("b"), Some("c")),
            // One that was named first afterwards is tried, too.
            (placed("c", false, &["b", "c"]), Some("c"), Some("a")),
            (placed("c", false, &["a", "b", "c"]), Some("c"), None),
            (placed("b", true, &["a"]), None, Some("b")),
            (placed("b", false, &["a"]), None, Some("b")),
            // The file names it no longer.
            (placed("z", true, &[]), None, Some("z")),
        ] {
            let found = whereabouts(&desired, &state);
            assert_eq!(found.leaving.as_deref(), leaving, "{state:?}");
            assert_eq!(found.recorded.placing.as_ref().map(|placing| placing.location.as_str()), next, "{state:?}");
            assert!(found.recorded.placing.as_ref().is_none_or(|placing| !placing.is_leaving()), "{state:?}");
        }
        assert!(whereabouts(&desired, &State::empty("s")).leaving.is_none());
    }
}
