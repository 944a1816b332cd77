//! The order of hooks among themselves, and of what goes around them. What is made waits for hooks by the edges of
//! the plan; deletions are ordered here.

use std::collections::{BTreeMap, BTreeSet};

use super::{Phase, Task};
use crate::address::Address;
use crate::graph::Graph;
use crate::plan::model::{Action, Plan, ResourceChange};
use crate::resource::hook::{Hook, Moment};
use crate::value::Value;

/// Hooks that run in this plan, or ran and are still to be cleared away, by component and moment in their order.
type Groups<'a> = BTreeMap<(&'a str, Moment), Vec<&'a ResourceChange>>;

fn groups(plan: &Plan) -> Groups<'_> {
    let mut groups = Groups::new();
    let hooks = plan.changes.iter().filter(|c| c.is_hook() && (c.action == Action::Run || c.resume));
    for change in hooks {
        if let Some(moment) = Moment::of(&change.address) {
            groups.entry((change.address.component(), moment)).or_default().push(change);
        }
    }
    let place = |change: &ResourceChange| Hook::of(change.after.as_deref().unwrap_or(&Value::Null)).place;
    groups.values_mut().for_each(|hooks| hooks.sort_by_key(|change| place(change)));
    groups
}

fn task(phase: Phase, change: &ResourceChange) -> Task {
    Task { phase, address: change.address.clone() }
}

/// When a hook runs.
fn run(change: &ResourceChange) -> Task {
    task(if change.is_leaving() { Phase::Destroy } else { Phase::Apply }, change)
}

/// Adds what hooks wait for and what waits for them. `wish` takes pairs that may be given up: who waits, for whom.
pub(super) fn order(plan: &Plan, graph: &mut Graph<Task>, wish: &mut dyn FnMut(&mut Graph<Task>, Task, Task)) {
    let groups = groups(plan);
    if groups.is_empty() {
        return;
    }
    for hooks in groups.values() {
        for pair in hooks.windows(2) {
            graph.depend(run(pair[1]), run(pair[0]), "the chart runs this hook after it");
            graph.depend(task(Phase::Clear, pair[0]), task(Phase::Clear, pair[1]), "the later hook goes first");
        }
        for hook in hooks {
            graph.depend(task(Phase::Clear, hook), run(hook), "it runs before it is cleared away");
        }
    }
    let by_address = plan.changes.iter().map(|c| (&c.address, c)).collect::<BTreeMap<_, _>>();
    // What a hook needs stays until it is cleared away.
    for hook in groups.values().flatten().filter(|hook| hook.is_leaving()) {
        for needed in hook.needed.iter().chain(hook.connection.as_ref()) {
            if by_address.get(needed).is_some_and(|c| goes(c) && c.goes_with.is_none()) {
                let needed = Task { phase: Phase::Destroy, address: needed.clone() };
                graph.depend(needed, task(Phase::Clear, hook), "a hook needs it until then");
            }
        }
    }
    let components = groups.keys().map(|(component, _)| *component).collect::<BTreeSet<_>>();
    for component in components {
        let of = |moment| groups.get(&(component, moment)).map_or(&[][..], Vec::as_slice);
        let members = plan.changes.iter().filter(|c| c.address.component() == component && !c.is_hook() && goes(c));
        let members = members.filter(|c| c.goes_with.is_none()).collect::<Vec<_>>();
        if let (Some(first), Some(last)) = (of(Moment::PreDelete).first(), of(Moment::PreDelete).last()) {
            for member in &members {
                graph.depend(task(Phase::Destroy, member), run(last), "the chart runs this hook before its deletion");
            }
            // Whatever needs the component goes before it says goodbye.
            for other in plan.changes.iter().filter(|c| goes(c) && c.goes_with.is_none()) {
                let needs = |address: &Address| address.component() == component;
                if other.address.component() != component && !other.is_hook() && other.needed.iter().any(needs) {
                    wish(graph, run(first), task(Phase::Destroy, other));
                }
            }
            if let Some(next) = of(Moment::PostDelete).first() {
                graph.depend(run(next), run(last), "the chart runs this hook after it");
            }
        }
        if let Some(first) = of(Moment::PostDelete).first() {
            let kept = needed(of(Moment::PostDelete), &by_address);
            for member in members.iter().filter(|member| !kept.contains(&member.address)) {
                graph.depend(run(first), task(Phase::Destroy, member), "the chart runs this hook after its deletion");
            }
        }
        if let Some(last) = of(Moment::PreUpgrade).last() {
            members.iter().for_each(|member| wish(graph, task(Phase::Destroy, member), run(last)));
        }
        if let Some(first) = of(Moment::PostUpgrade).first() {
            members.iter().for_each(|member| wish(graph, run(first), task(Phase::Destroy, member)));
        }
    }
}

fn goes(change: &ResourceChange) -> bool {
    matches!(change.action, Action::Delete | Action::Replace | Action::Forget)
}

/// Everything that these hooks need, and what that needs.
fn needed<'a>(hooks: &[&'a ResourceChange], changes: &BTreeMap<&Address, &'a ResourceChange>) -> BTreeSet<&'a Address> {
    let mut found = BTreeSet::new();
    let mut queue = hooks.iter().flat_map(|hook| hook.needed.iter()).collect::<Vec<_>>();
    while let Some(address) = queue.pop() {
        if found.insert(address)
            && let Some(change) = changes.get(address)
        {
            queue.extend(change.needed.iter());
        }
    }
    found
}
