//! The locations of a stack that names several: which one a plan is for, and what it would be in the others. Pure.
//!
//! What differs elsewhere is part of the plan, so that whoever approves it approves that, and nothing is planned again when
//! a location has no capacity. Not for deciding that: `ops::places` does.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::diag::Diagnostics;
use crate::plan::cost::{Amount, Cost};
use crate::plan::model::{OutputChange, Plan, ResourceChange};
use crate::plan::planner::{self, Options, Request};
use crate::resource::model::{Desired, Resource};
use crate::state::model::{GivenUp, State};

/// Kinds of what capacity is had for: clusters and pools.
const PREFIX: &str = "gke.";

/// Where a stack is made.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// The location that the plan is for.
    pub location: String,
    /// Capacity is still to be had: it comes before anything else, and the alternatives hold.
    pub open: bool,
    /// Where what was made is removed first, because it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<String>,
    /// Locations that were given up before, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<GivenUp>,
    /// What is known to be missing in the location.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where it is tried next, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
}

/// The same stack in another location.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// Zone or region.
    pub location: String,
    /// What is known to be missing there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The changes that are others there than in the plan: everything is made anew.
    pub changes: Vec<ResourceChange>,
    /// The outputs that are others there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, OutputChange>,
    /// What the stack costs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

impl Placement {
    /// That of a plan that removes what was made in a location before the stack goes on in another.
    pub fn left(location: &str) -> Self {
        Placement {
            location: location.to_owned(),
            open: false,
            leaving: Some(location.to_owned()),
            given_up: Vec::new(),
            notes: Vec::new(),
            alternatives: Vec::new(),
        }
    }
}

impl Alternative {
    /// What the stack costs there once it is made.
    pub fn price(&self) -> Option<Amount> {
        self.cost.as_ref().map(|cost| cost.after)
    }
}

impl Plan {
    /// Whether capacity is still to be had in one of several locations: it then comes before everything that it is for.
    pub fn is_open(&self) -> bool {
        self.placement.as_ref().is_some_and(|placement| placement.open)
    }

    /// This plan in its next location, once nothing of the stack is there any more; `None` after the last.
    pub fn elsewhere(&self) -> Option<Plan> {
        let placement = self.placement.as_ref().filter(|placement| placement.open)?;
        let (next, rest) = placement.alternatives.split_first()?;
        let there = next.changes.iter().map(|change| &change.address).collect::<BTreeSet<_>>();
        let same = self.changes.iter().filter(|change| !change.is_leaving() && !there.contains(&change.address));
        let mut changes = same.chain(&next.changes).cloned().collect::<Vec<_>>();
        changes.sort_by(|a, b| a.address.cmp(&b.address));
        let mut outputs = self.outputs.clone();
        outputs.extend(next.outputs.clone());
        let placement = Placement {
            location: next.location.clone(),
            leaving: None,
            notes: next.notes.clone(),
            alternatives: rest.to_vec(),
            ..placement.clone()
        };
        let (cost, drift) = (next.cost.clone(), Vec::new());
        Some(Plan { changes, outputs, cost, drift, placement: Some(placement), ..self.clone() })
    }
}

/// Whether a change is about what capacity is had for.
pub fn is_capacity(kind: &str) -> bool {
    kind.starts_with(PREFIX)
}

/// Whether capacity for everything that is wanted was had before: clusters and pools are there, or what was only installed
/// after them is.
pub fn is_had(wanted: &[Resource], recorded: &State) -> bool {
    let within = recorded.resources.values().any(|one| one.connection.is_some() && !is_capacity(&one.kind));
    let capacity = wanted.iter().filter(|resource| is_capacity(resource.kind));
    let had = |resource: &Resource| {
        let recorded = recorded.resources.get(&resource.address.identity());
        recorded.is_some_and(|recorded| recorded.pending.is_none() && recorded.id.is_some())
    };
    within || capacity.into_iter().all(had)
}

/// Whether the stack may still move: nothing of it was there before, or what it needs was never had.
fn is_open(request: &Request<'_>) -> bool {
    let wanted = &request.desired.resources;
    match &request.recorded.placing {
        Some(placing) => !placing.settled && !is_had(wanted, request.recorded),
        None => !request.recorded.resources.values().any(|recorded| is_capacity(&recorded.kind)),
    }
}

/// The location that the resources are wanted in.
fn location(desired: &Desired) -> Option<&str> {
    desired.resources.iter().find(|resource| is_capacity(resource.kind))?.attrs.get("location")?.as_str()
}

/// What `plan` has to do with locations; `None` for a stack that names one, and for a part of a stack.
///
/// # Errors
/// As for a plan.
pub(super) fn of(request: &Request<'_>, plan: &Plan) -> Result<Option<Placement>, Diagnostics> {
    let places = &request.desired.places;
    let Some(here) = location(request.desired).filter(|_| places.len() > 1 && !plan.destroy && !plan.partial) else {
        return Ok(None);
    };
    let placing = request.recorded.placing.as_ref();
    let given_up = placing.map(|placing| placing.given_up.clone()).unwrap_or_default();
    let open = is_open(request);
    let mut alternatives = Vec::new();
    let left = places
        .iter()
        .filter(|place| place.location != here && placing.is_none_or(|p| !p.has_given_up(&place.location)));
    for place in left.filter(|_| open) {
        let desired = Desired { places: Vec::new(), ..request.desired.at(&place.location) };
        let (recorded, nothing) = (blank(request.recorded), BTreeMap::new());
        let options = Options { no_hooks: request.options.no_hooks, ..Options::default() };
        let there = planner::plan(&Request {
            desired: &desired,
            recorded: &recorded,
            observed: &nothing,
            unreachable: &BTreeSet::new(),
            target: request.target.clone(),
            options: &options,
            ..*request
        })?;
        let differs = |change: &ResourceChange| plan.change(&change.address) != Some(change);
        let changes = there.changes.into_iter().filter(differs).collect();
        let outputs =
            there.outputs.into_iter().filter(|(name, output)| plan.outputs.get(name) != Some(output)).collect();
        let (location, notes) = (place.location.clone(), place.notes.clone());
        alternatives.push(Alternative { location, notes, changes, outputs, cost: there.cost });
    }
    let notes = places.iter().find(|place| place.location == here).map(|place| place.notes.clone()).unwrap_or_default();
    Ok(Some(Placement { location: here.to_owned(), open, leaving: None, given_up, notes, alternatives }))
}

/// A state of which nothing is there any more.
pub fn blank(state: &State) -> State {
    State { resources: BTreeMap::new(), paused: None, ..state.clone() }
}

/// A barrier before everything that is made in a cluster: capacity comes first.
pub(super) fn barrier() -> Address {
    Address::new("capacity")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::execution::{self, Phase, Task};
    use crate::plan::sample::{created, deleted, plan};

    fn somewhere(open: bool) -> Plan {
        let at = |location: &str| created("cluster", json!({ "location": location }));
        let alternative = |location: &str| Alternative {
            location: location.to_owned(),
            notes: Vec::new(),
            changes: vec![at(location)],
            outputs: BTreeMap::new(),
            cost: None,
        };
        let changes = vec![
            at("a"),
            created("node_pools.gpu", json!({})),
            created("manifests.note/ConfigMap/default/note", json!({})),
            deleted("manifests.old/ConfigMap/default/old"),
        ];
        let alternatives = vec![alternative("b"), alternative("c")];
        let placement = Placement { open, leaving: None, alternatives, ..Placement::left("a") };
        Plan { placement: Some(placement), ..plan(changes) }
    }

    #[test]
    fn elsewhere_is_the_same_plan_with_what_differs_there() {
        let there = somewhere(true).elsewhere().expect("a second location");
        let location = |plan: &Plan| plan.placement.as_ref().expect("a placement").location.clone();
        assert_eq!(location(&there), "b");
        let cluster = there.change(&"cluster".into()).and_then(|change| change.after.clone()).expect("a cluster");
        assert_eq!(cluster.get("location").and_then(|location| location.as_str()), Some("b"));
        assert!(there.change(&"node_pools.gpu".into()).is_some(), "what is the same comes along");
        assert!(there.changes.iter().all(|change| !change.is_leaving()), "nothing is there that could go");
        let last = there.elsewhere().expect("a third");
        assert_eq!((location(&last), last.elsewhere()), ("c".to_owned(), None));
        assert_eq!(somewhere(false).elsewhere(), None, "what has its capacity stays");
    }

    #[test]
    fn capacity_comes_first_only_where_a_stack_may_move() {
        let task = |address: &str| Task { phase: Phase::Apply, address: Address::new(address) };
        let waits = |plan: &Plan| {
            let graph = execution::graph(plan);
            let needs =
                |of: &Task| graph.dependencies(of).into_iter().map(|(task, _)| task.clone()).collect::<Vec<_>>();
            let barrier = Task { phase: Phase::Apply, address: barrier() };
            let note = needs(&task("manifests.note/ConfigMap/default/note"));
            note.contains(&barrier) && needs(&barrier).contains(&task("node_pools.gpu"))
        };
        assert!(waits(&somewhere(true)));
        assert!(!waits(&somewhere(false)));
    }
}
