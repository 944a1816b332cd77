//! `[addons]`: operators and definitions. Which manifests they are, and in which version.
//!
//! The manifests are stand-ins of our own for the charts, embedded as YAML: real names, images, rights and
//! webhooks, small schemas. Their objects say so in their origin.

mod connect;
mod edits;
mod pki;

use std::time::Duration;

use crate::catalog::documents;
use crate::catalog::expansion::{Expansion, NewObject, STAND_IN, mistake};
use crate::diag::Diagnostic;
use crate::stack::model::{Addon, Distribution};

pub(super) use connect::connect;
pub(super) use pki::{CA, CA_ISSUER};

/// The manifests of one add-on in one distribution.
struct Set {
    addon: &'static str,
    distribution: Distribution,
    /// The version that the catalogue was made for.
    version: &'static str,
    /// Where its workloads run; empty for definitions only.
    namespace: &'static str,
    manifests: &'static [&'static str],
}

macro_rules! standin {
    ($($path:literal),* $(,)?) => { &[$(include_str!(concat!("../standins/", $path))),*] };
}

const fn set(
    addon: &'static str,
    distribution: Distribution,
    version: &'static str,
    namespace: &'static str,
    manifests: &'static [&'static str],
) -> Set {
    Set { addon, distribution, version, namespace, manifests }
}

use Distribution::{Rhaii, Upstream};

/// The tested combinations, one per distribution. Upstream: what KServe 0.20 is built against, with Istio 1.30
/// in place of its own gateway. Rhaii: what rhaii-on-xks pins at 8f3386a.
const SETS: &[Set] = &[
    set(
        "cert-manager",
        Upstream,
        "v1.21.1",
        "cert-manager",
        standin!("crds/cert-manager.yaml", "upstream/cert-manager.yaml"),
    ),
    set(
        "cert-manager",
        Rhaii,
        "1.15.2",
        "cert-manager",
        standin!("crds/cert-manager.yaml", "crds/rhaii-cert-manager-operator.yaml", "rhaii/cert-manager.yaml"),
    ),
    set("gateway-api", Upstream, "v1.5.1", "", standin!("crds/gateway-api.yaml", "crds/gateway-api-routes.yaml")),
    set("inference-extension", Upstream, "v1.5.0", "", standin!("crds/inference-extension.yaml")),
    set("istio", Upstream, "1.30.3", "istio-system", standin!("crds/istio.yaml", "upstream/istio.yaml")),
    set(
        "istio",
        Rhaii,
        "3.2.1",
        "istio-system",
        standin!("crds/istio.yaml", "crds/rhaii-sail-operator.yaml", "rhaii/istio.yaml"),
    ),
    set("lws", Upstream, "0.10.0", "lws-system", standin!("crds/lws.yaml", "upstream/lws.yaml")),
    set("lws", Rhaii, "1.0", "openshift-lws-operator", standin!("crds/rhaii-lws-operator.yaml", "rhaii/lws.yaml")),
    set("kserve", Upstream, "v0.20.0", "kserve", standin!("crds/kserve.yaml", "upstream/kserve.yaml")),
    set("kserve", Rhaii, "3.4.0-ea.2", "opendatahub", standin!("crds/kserve.yaml", "rhaii/kserve.yaml")),
    set(
        "gpu-operator",
        Upstream,
        "v26.3.3",
        "gpu-operator",
        standin!("crds/gpu-operator.yaml", "upstream/gpu-operator.yaml"),
    ),
];

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
    let (mut definitions, mut workloads) = (Vec::new(), Vec::new());
    for text in set.manifests {
        let objects = documents::parse(text).unwrap_or_else(|why| {
            expansion.report(Diagnostic::error(format!("the stand-in of {} cannot be read: {why}", set.addon)));
            Vec::new()
        });
        for mut manifest in objects {
            edits::apply(expansion, set.addon, set.namespace, &mut manifest);
            let kind = documents::key(&manifest).kind;
            let address = expansion.object(NewObject { component, manifest, origin: Some(STAND_IN), timeout });
            match kind.as_str() {
                "CustomResourceDefinition" => definitions.push(address),
                "Deployment" | "DaemonSet" => workloads.push(address),
                _ => {}
            }
        }
    }
    for workload in &workloads {
        for definition in &definitions {
            expansion.need(workload, definition.clone(), "it watches this kind from its start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stand_in_can_be_read_and_every_add_on_has_one() {
        for set in SETS {
            for text in set.manifests {
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
