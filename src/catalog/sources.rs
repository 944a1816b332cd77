//! Which charts and manifests a stack needs from elsewhere: what the lock file lists.

use crate::catalog::addons;
use crate::chart::{Reference, Wanted};
use crate::diag::Diagnostic;
use crate::stack::Stack;
use crate::stack::beside;

/// Every chart and every set of manifests of a stack, in the order of their ids.
pub fn sources(stack: &Stack) -> Vec<Wanted> {
    let mut wanted = charts(stack).chain(manifests(stack)).chain(addons::wanted(stack)).collect::<Vec<_>>();
    wanted.sort_by(|a, b| a.id.cmp(&b.id));
    wanted
}

/// What is wrong with the places that the stack names itself.
pub fn mistakes(stack: &Stack) -> Vec<Diagnostic> {
    let charts = stack.charts.values().filter_map(|chart| {
        let why = reference(chart).err()?;
        Some(
            Diagnostic::error(format!("{} is no place for a chart", &**chart.source))
                .at(chart.source.span.clone(), why),
        )
    });
    let manifests = stack.manifests.values().filter_map(|manifests| {
        let url = manifests.url.as_ref()?;
        let why = Reference::manifest(url, |path| path.into()).err()?;
        Some(Diagnostic::error(format!("{} is no place for manifests", &***url)).at(url.span.clone(), why.0))
    });
    charts.chain(manifests).collect()
}

/// Where a chart of the stack comes from.
pub(super) fn reference(chart: &crate::stack::model::Chart) -> Result<Reference, String> {
    let name = chart.chart.as_ref().map(|name| &***name);
    Reference::chart(&chart.source, name, |path| beside(&chart.source.span.source.name, path)).map_err(|why| why.0)
}

/// `[charts]`.
fn charts(stack: &Stack) -> impl Iterator<Item = Wanted> {
    stack.charts.iter().filter_map(|(name, chart)| {
        Some(Wanted {
            id: format!("charts.{name}"),
            reference: reference(chart).ok()?,
            version: chart.version.as_ref().map(|version| version.to_string()),
            digest: None,
        })
    })
}

/// `[manifests]` with an address; those in files need no lock.
fn manifests(stack: &Stack) -> impl Iterator<Item = Wanted> {
    stack.manifests.iter().filter_map(|(name, manifests)| {
        let url = manifests.url.as_ref()?;
        Some(Wanted {
            id: format!("manifests.{name}"),
            reference: Reference::manifest(url, |path| beside(&url.span.source.name, path)).ok()?,
            version: None,
            digest: manifests.digest.as_ref().map(|digest| digest.to_string()),
        })
    })
}
