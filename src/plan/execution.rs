//! The order in which a plan is carried out, as a graph of what happens to whom.
//!
//! Derived from a plan alone, so a saved plan is carried out exactly as it was shown. Creating follows the
//! desired edges, deleting the recorded ones turned round; a replace is both.

mod hooks;

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::graph::Graph;
use crate::plan::model::{Action, Plan, ResourceChange};
use crate::plan::places;

/// Which half of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Deleting, dropping from state.
    Destroy,
    /// Everything else, doing nothing included.
    Apply,
    /// Removing the object of a hook that ran, whether it succeeded or not.
    Clear,
}

/// One half of one resource's change, or a barrier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// Which half.
    pub phase: Phase,
    /// Of whom.
    pub address: Address,
}

/// A task and one that it should wait for.
type Wish = (Task, Task);

/// The graph of all tasks.
pub fn graph(plan: &Plan) -> Graph<Task> {
    let mut given_up = BTreeSet::new();
    loop {
        let (graph, wishes) = build(plan, &given_up);
        // Nothing is deleted while something still refers to it, if that can be had: where the new one of what is
        // replaced has to be there first, the reference dangles for a while.
        let Err(cycle) = graph.order() else { return graph };
        let members = cycle.0.iter().collect::<BTreeSet<_>>();
        let in_the_way = wishes.into_iter().filter(|(a, b)| members.contains(a) && members.contains(b));
        let before = given_up.len();
        given_up.extend(in_the_way);
        if given_up.len() == before {
            return graph;
        }
    }
}

/// The graph without the wishes that were given up, and the wishes that are in it.
fn build(plan: &Plan, given_up: &BTreeSet<Wish>) -> (Graph<Task>, Vec<Wish>) {
    let mut wishes = Vec::new();
    let task = |phase, address: &Address| Task { phase, address: address.clone() };
    let mut graph = Graph::new();
    let by_address = plan.changes.iter().map(|c| (&c.address, c)).collect::<BTreeMap<_, _>>();
    let destroys =
        |address: &Address| by_address.get(address).filter(|c| c.is_leaving() || c.action == Action::Replace);
    let mut barriers = BTreeSet::new();
    for change in &plan.changes {
        if change.is_leaving() || change.action == Action::Replace {
            graph.add(task(Phase::Destroy, &change.address));
        }
        if !change.is_leaving() {
            graph.add(task(Phase::Apply, &change.address));
        }
        if change.action == Action::Replace {
            let (before, after) = (task(Phase::Destroy, &change.address), task(Phase::Apply, &change.address));
            graph.depend(after, before, "the old one goes first");
        }
        if let Some(with) = change.goes_with.as_ref().filter(|with| destroys(with).is_some()) {
            graph.depend(task(Phase::Destroy, &change.address), task(Phase::Destroy, with), "it goes with it");
        }
        if change.goes_with.is_none() && destroys(&change.address).is_some() {
            // A recorded need of a whole component: its members wait at a barrier for all that need it.
            for component in change.needed.iter().filter(|a| !by_address.contains_key(a)) {
                let barrier = task(Phase::Destroy, component);
                graph.depend(barrier, task(Phase::Destroy, &change.address), "it is needed until then");
                barriers.insert(component.clone());
            }
        }
        let recorded_needs = change.needed.iter().chain(change.connection.as_ref());
        for needed in recorded_needs.filter(|_| change.goes_with.is_none()) {
            let Some(other) = destroys(needed) else { continue };
            if other.goes_with.is_some() {
                continue;
            }
            if destroys(&change.address).is_some() {
                let reason = "it is needed until then";
                graph.depend(task(Phase::Destroy, needed), task(Phase::Destroy, &change.address), reason);
            } else if matches!(other.action, Action::Delete) {
                let wish = (task(Phase::Destroy, needed), task(Phase::Apply, &change.address));
                if !given_up.contains(&wish) {
                    graph.depend(wish.0.clone(), wish.1.clone(), "it is let go of first");
                    wishes.push(wish);
                }
            }
        }
    }
    for change in plan.changes.iter().filter(|c| barriers.contains(c.address.component())) {
        if change.goes_with.is_none() && destroys(&change.address).is_some() {
            let barrier = task(Phase::Destroy, &Address::new(change.address.component()));
            graph.depend(task(Phase::Destroy, &change.address), barrier, "its component is needed until then");
        }
    }
    for edge in &plan.edges {
        for reason in &edge.reasons {
            let (dependent, dependency) = (task(Phase::Apply, &edge.dependent), task(Phase::Apply, &edge.dependency));
            graph.depend(dependent, dependency, reason.clone());
        }
    }
    if plan.is_open() {
        capacity_first(plan, &mut graph);
    }
    hooks::order(plan, &mut graph, &mut |graph, waits, on| {
        let wish = (waits, on);
        if !given_up.contains(&wish) {
            graph.depend(wish.0.clone(), wish.1.clone(), "it is let go of first");
            wishes.push(wish);
        }
    });
    (graph, wishes)
}

/// Where another location may be taken, nothing is made in a cluster before its capacity was had.
fn capacity_first(plan: &Plan, graph: &mut Graph<Task>) {
    let barrier = Task { phase: Phase::Apply, address: places::barrier() };
    for change in plan.changes.iter().filter(|change| !change.is_leaving()) {
        let task = Task { phase: Phase::Apply, address: change.address.clone() };
        if places::is_capacity(&change.kind) {
            graph.depend(barrier.clone(), task, "the stack moves if it is not to be had");
        } else if change.connection.is_some() {
            graph.depend(task, barrier.clone(), "capacity is had first where another location may be taken");
        }
    }
}

/// How long a half of a change is expected to take, seconds; nothing for what asks nothing of a platform.
pub fn seconds(change: &ResourceChange, phase: Phase) -> u64 {
    match (phase, change.action) {
        (Phase::Clear, _) => 0,
        (Phase::Destroy, _) if change.goes_with.is_some() => 0,
        (Phase::Destroy, Action::Replace) => change.removal_seconds,
        (_, action) if action.acts() || change.resume => change.estimate_seconds,
        _ => 0,
    }
}

/// The half of a change that an event is about, by what it says is done.
pub fn half(plan: &Plan, address: &Address, action: Action) -> Task {
    let leaving = plan.change(address).is_some_and(ResourceChange::is_leaving);
    let destroys = leaving || matches!(action, Action::Delete | Action::Forget);
    Task { phase: if destroys { Phase::Destroy } else { Phase::Apply }, address: address.clone() }
}
