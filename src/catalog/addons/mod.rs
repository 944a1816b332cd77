//! `[addons]`: operators and definitions. Which manifests they are, and in which version.
//!
//! Where the charts are not at hand, stand-ins of ours take their place, embedded as YAML: real names, images,
//! rights and webhooks, small schemas. Their objects say so in their origin.

mod connect;
mod edits;
mod pki;
mod sets;

use crate::catalog::charts::{self, Renderer};
use crate::catalog::documents;
use crate::catalog::expansion::{Expansion, STAND_IN, mistake};
use crate::catalog::pieces::{self, Installed, Piece, Release};
use crate::chart::{Reference, Wanted};
use crate::diag::Diagnostic;
use crate::stack::Stack;
use crate::stack::model::{Addon, Distribution};
use crate::value::Value;
use sets::{Part, Place, SETS, Set};

pub(super) use connect::connect;
pub(super) use pki::{CA, CA_ISSUER};

use Distribution::{Rhaii, Upstream};

/// The namespace of an add-on's workloads, when the stack has it.
pub(super) fn namespace(expansion: &Expansion<'_>, addon: &str) -> Option<&'static str> {
    expansion.addon(addon)?;
    let distribution = expansion.distribution(addon);
    SETS.iter().find(|set| set.addon == addon && set.distribution == distribution).map(|set| set.namespace)
}

/// In the order in which people install them: what a chart defines is known to those after it.
const ORDER: &[&str] =
    &["gateway-api", "inference-extension", "cert-manager", "istio", "lws", "gpu-operator", "kserve"];

/// One set that a stack has.
pub(super) struct Chosen<'a> {
    component: String,
    set: &'static Set,
    /// The stack's table; none for definitions that come along with another add-on.
    addon: Option<&'a Addon>,
}

impl Chosen<'_> {
    /// What has to be at hand for a part.
    fn wanted(&self, part: &Part) -> Option<Wanted> {
        let version = self.version(part);
        let source = part.place.source().replace("{version}", &version);
        let reference = match part.place {
            Place::Chart(_) => Reference::chart(&source, None, |path| path.into()),
            Place::Manifest(_) => Reference::manifest(&source, |path| path.into()),
        };
        let reference = reference.ok()?;
        let version = reference.has_versions().then_some(version);
        Some(Wanted { id: format!("{}/{}", self.component, part.release), reference, version, digest: None })
    }

    /// The version of a part: the one that the stack asks for, where parts have the add-on's version.
    fn version(&self, part: &Part) -> String {
        match self.other_version().filter(|_| part.version == self.set.version) {
            None => part.version.to_owned(),
            Some(version) if part.version.starts_with('v') && !version.starts_with('v') => format!("v{version}"),
            Some(version) => version.to_owned(),
        }
    }

    /// The version that the stack asks for, when it is not the catalogue's.
    fn other_version(&self) -> Option<&str> {
        let version = self.addon?.version.as_ref()?;
        (bare(version) != bare(self.set.version)).then_some(&***version)
    }
}

/// Everything that a stack's add-ons are made of.
pub(super) fn chosen(stack: &Stack) -> Vec<Chosen<'_>> {
    let mut chosen = Vec::new();
    for name in ORDER {
        let found = |distribution| SETS.iter().find(|set| set.addon == *name && set.distribution == distribution);
        match stack.addons.get(*name) {
            Some(addon) => {
                let distribution = addon.distribution.as_ref().map_or(Upstream, |distribution| distribution.value);
                let chosen_set = found(distribution).map(|set| Chosen {
                    component: format!("addons.{name}"),
                    set,
                    addon: Some(addon),
                });
                chosen.extend(chosen_set);
            }
            // Istio without the Gateway API would serve no gateway; these definitions come along with it.
            None if *name == "gateway-api" && stack.addons.contains_key("istio") => {
                let along =
                    found(Upstream).map(|set| Chosen { component: "addons.istio".to_owned(), set, addon: None });
                chosen.extend(along);
            }
            None => {}
        }
    }
    chosen
}

/// What has to be at hand for a stack's add-ons.
pub(super) fn wanted(stack: &Stack) -> Vec<Wanted> {
    let sets = chosen(stack);
    sets.iter().flat_map(|chosen| chosen.set.parts.iter().filter_map(|part| chosen.wanted(part))).collect()
}

pub(super) fn expand(expansion: &mut Expansion<'_>, renderer: &mut Renderer<'_>) {
    for (name, addon) in &expansion.stack.addons {
        check_distribution(expansion, name, addon);
    }
    let mut contents = Vec::new();
    for chosen in chosen(expansion.stack) {
        if let Some(addon) = chosen.addon {
            expansion.offer(&chosen.component, "namespace", chosen.set.namespace);
            let version = chosen.other_version().unwrap_or(chosen.set.version);
            expansion.offer(&chosen.component, "version", version);
            check(expansion, &chosen, addon);
        }
        let rendered = render(expansion, renderer, &chosen);
        contents.push((chosen, rendered));
    }
    // The order of components, which that of objects within the plan follows.
    contents.sort_by(|(a, _), (b, _)| (a.addon.is_none(), &a.component).cmp(&(b.addon.is_none(), &b.component)));
    for (chosen, rendered) in contents {
        add(expansion, &chosen, rendered);
    }
    mixed(expansion);
    pki::expand(expansion);
}

fn check_distribution(expansion: &mut Expansion<'_>, name: &str, addon: &Addon) {
    let distribution = expansion.distribution(name);
    if !SETS.iter().any(|set| set.addon == name && set.distribution == distribution) {
        let span = addon.distribution.as_ref().map_or(&addon.span, |distribution| &distribution.span);
        let what = format!("{name} has no {} distribution", distribution.word());
        expansion.report(mistake(what, span, "not built there").hint("leave `distribution` out"));
    }
}

/// What a stack may ask of an add-on besides having it.
fn check(expansion: &mut Expansion<'_>, chosen: &Chosen<'_>, addon: &Addon) {
    let set = chosen.set;
    if let (Some(other), Some(version)) = (chosen.other_version(), &addon.version) {
        if set.parts.iter().any(|part| part.version == set.version) {
            let what = format!("{} {other} is not tested with this catalogue", set.addon);
            let hint = format!("leave `version` out for {}", set.version);
            expansion.report(Diagnostic::warning(what).at(version.span.clone(), "another version").hint(hint));
        } else {
            let what = format!("{} comes in version {} only", set.addon, set.version);
            let hint = "leave `version` out: its makers publish the charts of this distribution together";
            expansion.report(mistake(what, &version.span, "cannot be chosen").hint(hint));
        }
    }
    if let Some(values) = addon.values.as_ref().filter(|_| set.parts.len() > 1) {
        let known = set.parts.iter().map(|part| part.release).collect::<Vec<_>>();
        let given = values.value.0.keys().map(String::as_str);
        for key in given.filter(|key| !known.contains(key)).collect::<Vec<_>>() {
            let what = format!("{} has no chart {key}", set.addon);
            let hint = format!("it is made of {}: write values = {{ {} = {{ … }} }}", known.join(", "), known[0]);
            expansion.report(mistake(what, &values.span, "values go to one of its charts").hint(hint));
        }
    }
}

/// The user's values for a part.
fn given(chosen: &Chosen<'_>, part: &Part) -> Option<Value> {
    let values = &chosen.addon?.values.as_ref()?.value.0;
    if chosen.set.parts.len() > 1 { values.get(part.release).cloned() } else { Some(Value::Map(values.clone())) }
}

/// The contents of all parts; `None` when one is not at hand or cannot be rendered.
fn render(expansion: &mut Expansion<'_>, renderer: &mut Renderer<'_>, chosen: &Chosen<'_>) -> Option<Vec<Vec<Piece>>> {
    let mut all = Vec::new();
    let mut missing = false;
    for part in chosen.set.parts {
        let wanted = chosen.wanted(part)?;
        let mut values = charts::values(part.values).unwrap_or_else(|why| {
            expansion.report(Diagnostic::error(format!("our values of {} cannot be read: {why}", part.release)));
            Value::map()
        });
        if let Some(given) = given(chosen, part) {
            values = charts::laid_over(values, given);
        }
        let namespace = part.namespace.unwrap_or(chosen.set.namespace);
        let release = charts::Release { wanted: &wanted, name: part.release, namespace, values: &values };
        match renderer.render(&release) {
            Ok(Some(contents)) => {
                all.push(contents.pieces);
            }
            Ok(None) => missing = true,
            Err(diagnostic) => {
                expansion.report(diagnostic);
                missing = true;
            }
        }
    }
    (!missing).then_some(all)
}

fn bare(version: &str) -> &str {
    version.trim_start_matches('v')
}

/// The tested versions of an add-on: (distribution, version).
pub(super) fn versions(addon: &str) -> Vec<(&'static str, &'static str)> {
    let sets = sets::SETS.iter().filter(|set| set.addon == addon);
    sets.map(|set| (if set.distribution == Upstream { "upstream" } else { "rhaii" }, set.version)).collect()
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
fn add(expansion: &mut Expansion<'_>, chosen: &Chosen<'_>, rendered: Option<Vec<Vec<Piece>>>) {
    let (set, component) = (chosen.set, chosen.component.as_str());
    let timeout = chosen.addon.and_then(|addon| addon.timeout.as_ref()).map(|timeout| timeout.value);
    let release = |namespace| Release { component, namespace, timeout };
    let mut installed = Installed::default();
    match rendered {
        Some(releases) => {
            for (part, mut pieces) in set.parts.iter().zip(releases) {
                pieces.iter_mut().for_each(|piece| edits::apply(expansion, set, &mut piece.manifest));
                let namespace = part.namespace.unwrap_or(set.namespace);
                installed.extend(pieces::install(expansion, &release(namespace), pieces));
            }
        }
        None => {
            not_at_hand(expansion, chosen);
            let pieces = stand_ins(expansion, set);
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

/// What a stand-in cannot do.
fn not_at_hand(expansion: &mut Expansion<'_>, chosen: &Chosen<'_>) {
    let Some(addon) = chosen.addon.filter(|_| !expansion.has_errors()) else { return };
    let name = chosen.set.addon;
    let next = "run `stackwright lock`, which fetches the chart";
    if let (Some(other), Some(version)) = (chosen.other_version(), &addon.version) {
        let what = format!("the chart of {name} {other} is not at hand");
        let label = format!("there is a stand-in of {} only", chosen.set.version);
        expansion.report(mistake(what, &version.span, &label).hint(next));
    }
    if let Some(values) = &addon.values {
        let what = format!("the stand-in of {name} takes no values");
        expansion.report(mistake(what, &values.span, "would change nothing").hint(next));
    }
}

fn stand_ins(expansion: &mut Expansion<'_>, set: &Set) -> Vec<Piece> {
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
    pieces
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
