//! Which charts and manifests a stack needs from elsewhere: what the lock file lists.

use std::collections::BTreeSet;

use crate::catalog::addons;
use crate::chart::{LockedCapabilities, Reference, Wanted};
use crate::diag::Diagnostic;
use crate::openapi::builtin;
use crate::stack::Stack;
use crate::stack::beside;
use crate::stack::model::{Chart, Manifests};

/// Every chart and every set of manifests of a stack, in the order of their ids.
pub fn sources(stack: &Stack) -> Vec<Wanted> {
    let mut wanted = charts(stack).chain(manifests(stack)).chain(addons::wanted(stack)).collect::<Vec<_>>();
    wanted.sort_by(|a, b| a.id.cmp(&b.id));
    wanted
}

/// The Kubernetes minor that charts are rendered for where the stack names none: what GKE's regular channel
/// gives to new clusters in summer 2026.
const KUBERNETES: &str = "1.34";

/// Served by every cluster, and not among the kinds that are validated here.
const SERVED: [&str; 4] = [
    "apiregistration.k8s.io/v1",
    "authentication.k8s.io/v1",
    "authorization.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1",
];

/// What charts are told about the stack's cluster, before it is there: what its version serves without any
/// custom resources.
pub fn capabilities(stack: &Stack) -> LockedCapabilities {
    let version =
        stack.cluster.as_ref().and_then(|cluster| cluster.version.as_ref()).map(|version| version.to_string());
    // Whole versions of GKE (1.35.5-gke.1241004) say more than charts are to know.
    let minor = version.and_then(|version| {
        let mut parts = version.trim_start_matches('v').split('.');
        let (major, minor) = (parts.next()?, parts.next()?);
        Some(format!("{}.{}", major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    let mut apis = SERVED.map(str::to_owned).into_iter().collect::<BTreeSet<_>>();
    for (group, version, kind) in builtin::kinds() {
        let served = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        apis.insert(format!("{served}/{kind}"));
        apis.insert(served);
    }
    LockedCapabilities { kubernetes: minor.unwrap_or_else(|| KUBERNETES.to_owned()), apis }
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
pub(super) fn reference(chart: &Chart) -> Result<Reference, String> {
    let name = chart.chart.as_ref().map(|name| &***name);
    Reference::chart(&chart.source, name, |path| beside(&chart.source.span.source.name, path)).map_err(|why| why.0)
}

/// `[charts]`.
fn charts(stack: &Stack) -> impl Iterator<Item = Wanted> {
    stack.charts.iter().filter_map(|(name, table)| chart(name, table).ok())
}

/// What a chart of the stack needs.
///
/// # Errors
/// Where its source is no place for a chart; [`mistakes`] says so with its place in the file.
pub(super) fn chart(name: &str, chart: &Chart) -> Result<Wanted, String> {
    Ok(Wanted {
        id: format!("charts.{name}"),
        reference: reference(chart)?,
        version: chart.version.as_ref().map(|version| version.to_string()),
        digest: None,
    })
}

/// `[manifests]` with an address.
fn manifests(stack: &Stack) -> impl Iterator<Item = Wanted> {
    stack.manifests.iter().filter_map(|(name, manifests)| manifest(name, manifests))
}

/// What a table of manifests needs from elsewhere: those in files need no lock.
pub(super) fn manifest(name: &str, manifests: &Manifests) -> Option<Wanted> {
    let url = manifests.url.as_ref()?;
    Some(Wanted {
        id: format!("manifests.{name}"),
        reference: Reference::manifest(url, |path| beside(&url.span.source.name, path)).ok()?,
        version: None,
        digest: manifests.digest.as_ref().map(|digest| digest.to_string()),
    })
}
