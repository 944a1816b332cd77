//! What a destroy takes away when the user names a part of it, and what it leaves where it is.
//!
//! Pure selection over the state; what becomes of each resource is the planner's.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::{Address, Identity};
use crate::diag::{Diagnostic, Diagnostics, suggest};
use crate::state::model::State;

/// The recorded resources that a destroy of `targets` takes away: they and everything that needs them, as
/// Terraform has it. `None` without targets.
///
/// # Errors
/// A target that is not in the state.
pub fn targeted(state: &State, targets: &[Address]) -> Result<Option<BTreeSet<Identity>>, Diagnostics> {
    if targets.is_empty() {
        return Ok(None);
    }
    let mut queue = named(state, targets, "the target")?;
    let mut dependents: BTreeMap<Identity, Vec<&Identity>> = BTreeMap::new();
    for (identity, recorded) in &state.resources {
        for need in recorded.needs.iter().chain(&recorded.connection) {
            dependents.entry(need.identity()).or_default().push(identity);
        }
    }
    let mut leaving = BTreeSet::new();
    while let Some(identity) = queue.pop() {
        // A need may name a whole component, which is there no longer once a part of it is gone.
        let component = state.resources.get(&identity).map(|r| Address::new(r.address.component()).identity());
        if leaving.insert(identity.clone()) {
            for gone in std::iter::once(identity).chain(component) {
                let more = dependents.get(&gone).into_iter().flatten();
                queue.extend(more.map(|&dependent| dependent.clone()));
            }
        }
    }
    Ok(Some(leaving))
}

/// The recorded resources that `addresses` name, each a resource or a whole component.
///
/// # Errors
/// All addresses that name nothing.
pub fn named(state: &State, addresses: &[Address], what: &str) -> Result<Vec<Identity>, Diagnostics> {
    let mut found = Vec::new();
    let mut mistakes = Vec::new();
    for wanted in addresses {
        let matching = state
            .resources
            .iter()
            .filter(|(_, recorded)| names(wanted, &recorded.address))
            .map(|(identity, _)| identity.clone())
            .collect::<Vec<_>>();
        if matching.is_empty() {
            let diagnostic = Diagnostic::error(format!("{what} {wanted} is not in the state"));
            mistakes.push(match suggest(wanted.as_str(), state.resources.values().map(|r| r.address.as_str())) {
                Some(candidate) => diagnostic.hint(format!("did you mean {candidate}?")),
                None => diagnostic.hint("`stackwright state list` shows the addresses"),
            });
        }
        found.extend(matching);
    }
    if mistakes.is_empty() { Ok(found) } else { Err(Diagnostics(mistakes)) }
}

/// Whether `wanted` is the resource, or its component.
pub fn names(wanted: &Address, address: &Address) -> bool {
    wanted == address || wanted.as_str() == address.component()
}
