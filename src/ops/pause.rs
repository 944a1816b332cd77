//! Pausing a stack and resuming it: plans of its pools with accelerators alone. Whatever else is to be changed waits for
//! an apply.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::diag::{Diagnostic, Diagnostics};
use crate::plan::model::{Action, Plan, Reason};
use crate::resource::kind::KindTable;
use crate::resource::model::{Desired, Need, Resource};
use crate::state::model::{Recorded, State};
use crate::value::Value;

/// How long a pool may take to lose its nodes.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// The kinds that clusters and pools are of.
const KINDS: [&str; 2] = ["gke.cluster", "gke.node_pool"];

/// The cluster and its pools as they were applied last: what is paused. What the stack file says now does not matter to
/// a pause.
pub fn as_recorded(state: &State) -> Desired {
    let resource = |recorded: &Recorded| {
        let kind = KINDS.into_iter().find(|kind| *kind == recorded.kind)?;
        let attrs = recorded.record.get("attrs")?.clone();
        let need = |on: &Address| Need { on: on.clone(), reason: "the pool is part of the cluster".to_owned() };
        Some(Resource {
            address: recorded.address.clone(),
            kind,
            attrs: Arc::new(attrs),
            needs: recorded.connection.iter().map(need).collect(),
            connection: recorded.connection.clone(),
            ceded: Vec::new(),
            timeout: TIMEOUT,
            estimate: Duration::from_secs(120),
            origin: None,
        })
    };
    let resources = state.resources.values().filter_map(resource).collect();
    Desired { stack: state.stack.clone(), resources, ..Desired::default() }
}

/// The pools that a pause empties, of those that are recorded.
///
/// # Errors
/// When there are none.
pub fn pools(kinds: &KindTable, desired: &Desired, state: &State) -> Result<Vec<Address>, Diagnostics> {
    let pauses = |resource: &&Resource| {
        let kind = kinds.get(resource.kind);
        kind.is_some_and(|kind| kind.paused(&resource.attrs) != Ok(None))
            && state.resources.contains_key(&resource.address.identity())
    };
    let pools = desired.resources.iter().filter(pauses).map(|resource| resource.address.clone()).collect::<Vec<_>>();
    if pools.is_empty() {
        return Err(Diagnostic::error(format!("{} has no pool with accelerators that is there", desired.stack))
            .detail(
                "A pause takes the nodes of such pools away, and a resumption brings them back. Nothing was changed.",
            )
            .hint("`stackwright state list` shows what is there; `stackwright destroy` takes everything away")
            .into());
    }
    Ok(pools)
}

/// The plan with nothing in it but the sizes of `pools`.
///
/// # Errors
/// When a pool, or the cluster, is not there or would be made anew.
pub fn of_pools(mut plan: Plan, pools: &[Address]) -> Result<Plan, Diagnostics> {
    let mut mistakes = Vec::new();
    for change in &mut plan.changes {
        let is_pool = pools.contains(&change.address);
        match change.action {
            Action::NoOp | Action::Update if is_pool => {}
            Action::Create | Action::Replace if KINDS.contains(&change.kind.as_str()) => mistakes.push(
                Diagnostic::error(format!("{} is not as it was left", change.address))
                    .detail(match change.reason {
                        Reason::Vanished => {
                            "It was there after the last apply and is not any more. Nothing was changed."
                        }
                        Reason::Unfinished => "An earlier run began it and was stopped. Nothing was changed.",
                        _ => "It would have to be made anew. Nothing was changed.",
                    })
                    .hint("`stackwright plan` shows what is to be done; apply that first")
                    .about(change.address.clone()),
            ),
            _ => {
                change.action = Action::NoOp;
                change.reason = Reason::Same;
                change.moved_from = None;
                change.changes.clear();
                change.after = None;
                change.resume = false;
                change.take = false;
            }
        }
    }
    plan.drift.retain(|drift| pools.contains(&drift.address));
    if mistakes.is_empty() { Ok(plan) } else { Err(Diagnostics(mistakes)) }
}

/// What pools have and are to have: "1 -> 0 nodes".
pub fn sizes(plan: &Plan) -> Vec<(Address, Option<i64>, Option<i64>)> {
    let nodes = |value: &Option<Value>| value.as_ref().and_then(Value::as_int);
    let sized = plan.changes.iter().filter(|change| change.action == Action::Update).map(|change| {
        let sized = change.changes.iter().find(|one| one.path == ["nodes"]);
        (change.address.clone(), sized.and_then(|one| nodes(&one.before)), sized.and_then(|one| nodes(&one.after)))
    });
    sized.collect()
}
