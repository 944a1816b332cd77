//! `[addons]`: operators and definitions. Which manifests they are, and in which version.
//!
//! The manifests are stand-ins of our own for the charts, embedded as YAML: real names, images, rights and
//! webhooks, small schemas. Their objects say so in their origin.

mod connect;
mod edits;
mod pki;
mod sets;

use std::time::Duration;

use crate::catalog::documents;
use crate::catalog::expansion::{Expansion, STAND_IN, mistake};
use crate::catalog::pieces::{self, Installed, Piece, Release};
use crate::diag::Diagnostic;
use crate::stack::model::{Addon, Distribution};
use sets::{SETS, Set};

pub(super) use connect::connect;
pub(super) use pki::{CA, CA_ISSUER};

use Distribution::{Rhaii, Upstream};

/// The namespace of an add-on's workloads, when the stack has it.
pub(super) fn namespace(expansion: &Expansion<'_>, addon: &str) -> Option<&'static str> {
    expansion.addon(addon)?;
    let distribution = expansion.distribution(addon);
    SETS.iter().find(|set| set.addon == addon && set.distribution == distribution).map(|set| set.namespace)
}

pub(super) fn expand(expansion: &mut Expansion<'_>) {
    for (name, addon) in &expansion.stack.addons {
        if let Some(set) = set_of(expansion, name, addon) {
            let component = format!("addons.{name}");
            add(expansion, &component, set, addon.timeout.as_ref().map(|timeout| timeout.value));
            expansion.offer(&component, "namespace", set.namespace);
            expansion.offer(&component, "version", set.version);
        }
    }
    if expansion.addon("istio").is_some() && expansion.addon("gateway-api").is_none() {
        // Istio without the Gateway API would serve no gateway; these definitions come along with it.
        for set in SETS.iter().filter(|set| set.addon == "gateway-api") {
            add(expansion, "addons.istio", set, None);
        }
    }
    mixed(expansion);
    pki::expand(expansion);
}

/// The set that an add-on's table asks for.
fn set_of(expansion: &mut Expansion<'_>, name: &str, addon: &Addon) -> Option<&'static Set> {
    let distribution = expansion.distribution(name);
    let Some(set) = SETS.iter().find(|set| set.addon == name && set.distribution == distribution) else {
        let span = addon.distribution.as_ref().map_or(&addon.span, |distribution| &distribution.span);
        let what = format!("{name} has no {} distribution", distribution.word());
        expansion.report(mistake(what, span, "not built there").hint("leave `distribution` out"));
        return None;
    };
    if let Some(version) = addon.version.as_ref().filter(|version| bare(version) != bare(set.version)) {
        let what = format!("{name} {} is not in the catalogue", &***version);
        let hint = format!("leave `version` out for {}; other versions need charts, which are to come", set.version);
        expansion.report(mistake(what, &version.span, "there is a stand-in of one version only").hint(hint));
    }
    if let Some(values) = &addon.values {
        let what = format!("the stand-in of {name} takes no values");
        let hint = "leave `values` out; charts, which take values, are to come";
        expansion.report(mistake(what, &values.span, "would change nothing").hint(hint));
    }
    Some(set)
}

fn bare(version: &str) -> &str {
    version.trim_start_matches('v')
}

/// Builds of different makers are not tested together.
fn mixed(expansion: &mut Expansion<'_>) {
    let of = |wanted| {
        let parts = ["cert-manager", "istio", "lws", "kserve"].into_iter();
        let found = parts.filter(|part| expansion.addon(part).is_some() && expansion.distribution(part) == wanted);
        found.collect::<Vec<_>>().join(", ")
    };
    let (upstream, rhaii) = (of(Upstream), of(Rhaii));
    if !upstream.is_empty() && !rhaii.is_empty() {
        expansion.report(
            Diagnostic::warning("add-ons of different distributions are not tested together")
                .detail(format!("Upstream: {upstream}. Rhaii: {rhaii}.")),
        );
    }
}

/// Adds the objects of a set; its workloads wait for its definitions.
fn add(expansion: &mut Expansion<'_>, component: &str, set: &Set, timeout: Option<Duration>) {
    let release = |namespace| Release { component, namespace, timeout };
    let mut installed = Installed::default();
    let releases = set.parts.iter().map(|part| charted(expansion, set, part)).collect::<Option<Vec<_>>>();
    match releases {
        Some(releases) => {
            for (part, mut pieces) in set.parts.iter().zip(releases) {
                pieces.iter_mut().for_each(|piece| edits::apply(expansion, set, &mut piece.manifest));
                let namespace = part.namespace.unwrap_or(set.namespace);
                installed.extend(pieces::install(expansion, &release(namespace), pieces));
            }
        }
        None => {
            let mut pieces = Vec::new();
            for text in set.standins {
                let objects = documents::parse(text).unwrap_or_else(|why| {
                    expansion.report(Diagnostic::error(format!("the stand-in of {} cannot be read: {why}", set.addon)));
                    Vec::new()
                });
                for mut manifest in objects {
                    edits::apply(expansion, set, &mut manifest);
                    pieces.push(Piece { manifest, origin: STAND_IN.to_owned(), hook: None });
                }
            }
            installed = pieces::install(expansion, &release(set.namespace), pieces);
        }
    }
    edits::complete(expansion, component, set);
    for workload in &installed.workloads {
        for definition in &installed.definitions {
            expansion.need(workload, definition.clone(), "it watches this kind from its start");
        }
    }
}

/// The objects of a part, when it is at hand.
fn charted(_expansion: &Expansion<'_>, _set: &Set, part: &sets::Part) -> Option<Vec<Piece>> {
    let folder = std::env::var("STACKWRIGHT_RENDERED").ok()?;
    let text = std::fs::read_to_string(format!("{folder}/{}.yaml", part.release)).expect(part.release);
    let mut pieces = Vec::new();
    let mut origin = String::new();
    for document in text.split("\n---") {
        if let Some(line) = document.lines().find_map(|line| line.strip_prefix("# Source: ")) {
            origin = line.to_owned();
        }
        for manifest in documents::parse(document).expect("yaml") {
            let hook = documents::text(&manifest, &["metadata", "annotations", "helm.sh/hook"]);
            let hook = match hook {
                None => None,
                Some(hook) if hook.contains("post-install") => Some(pieces::Hook::After(0)),
                Some(_) => continue,
            };
            pieces.push(Piece { manifest, origin: origin.clone(), hook });
        }
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stand_in_can_be_read_and_every_add_on_has_one() {
        for set in SETS {
            for text in set.standins {
                let objects = documents::parse(text).unwrap_or_else(|why| panic!("{}: {why}", set.addon));
                assert!(!objects.is_empty(), "{}", set.addon);
                for key in objects.iter().map(documents::key) {
                    let cluster_scoped = documents::is_cluster_scoped(&key.group, &key.kind);
                    assert!(!(cluster_scoped && key.namespace.is_some()), "{key} is cluster scoped");
                }
            }
        }
        for addon in crate::stack::model::ADDONS {
            assert!(SETS.iter().any(|set| set.addon == *addon && set.distribution == Upstream), "{addon}");
        }
    }
}
