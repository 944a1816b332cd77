//! The locations that a stack may be in, and what differs between them: `[cluster] location` and `fallback_locations`.
//!
//! Not for choosing one: `ops::places` does, by what is recorded.

use crate::catalog::cluster;
use crate::catalog::expansion::Expansion;
use crate::catalog::references;
use crate::resource::model::Place;
use crate::stack::{Location, Spanned, Stack};

/// All of them, the first being the stack's own; none for a cluster that is given.
pub(super) fn of(stack: &Stack) -> Vec<Place> {
    let Some(cluster) = &stack.cluster else { return Vec::new() };
    let Some(first) = cluster.location.as_ref().filter(|_| !cluster.is_given()) else { return Vec::new() };
    std::iter::once(first).chain(&cluster.fallback_locations).map(|location| place(stack, location)).collect()
}

fn place(stack: &Stack, location: &Spanned<Location>) -> Place {
    let mut there = stack.clone();
    if let Some(cluster) = &mut there.cluster {
        cluster.location = Some(location.clone());
        cluster.fallback_locations.clear();
    }
    let mut expansion = Expansion::new(&there);
    cluster::expand(&mut expansion);
    super::values(&mut expansion);
    references::rewrite(&mut expansion, &mut []);
    let mut resources = expansion.resources;
    resources.retain(|resource| resource.kind != "value");
    Place { location: location.to_string(), resources, notes: missing(stack, location) }
}

/// What of a stack a location is not known to offer.
pub(super) fn missing(stack: &Stack, location: &str) -> Vec<String> {
    let rows = stack.node_pools.values().filter_map(cluster::accelerator);
    let mut notes = rows
        .filter(|row| !row.offered_in(location))
        .map(|row| format!("{location} is not known to offer {}", row.name))
        .collect::<Vec<_>>();
    notes.dedup();
    notes
}
