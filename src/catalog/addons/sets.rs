//! Which charts and manifests an add-on is made of, in which version, with which values; and the stand-ins for
//! where these are not at hand. Data only.

use crate::stack::model::Distribution;

/// The contents of one add-on in one distribution.
pub(super) struct Set {
    pub(super) addon: &'static str,
    pub(super) distribution: Distribution,
    /// The version that the catalogue was made for.
    pub(super) version: &'static str,
    /// Where its workloads run; empty for definitions only.
    pub(super) namespace: &'static str,
    /// What it is really made of, in the order in which people install it.
    pub(super) parts: &'static [Part],
    /// Manifests of ours that stand in for all parts.
    pub(super) standins: &'static [&'static str],
}

/// One chart or file.
pub(super) struct Part {
    /// The release's name, of which templates make names; `[addons] values` of add-ons with several charts
    /// have their top-level keys named after it.
    pub(super) release: &'static str,
    /// Where it comes from.
    pub(super) place: Place,
    /// Its version. A stack that asks for another version of the add-on gets that one.
    pub(super) version: &'static str,
    /// The release's namespace, where it is not the add-on's.
    pub(super) namespace: Option<&'static str>,
    /// Our values for it, YAML.
    pub(super) values: &'static str,
}

/// Where a part comes from, as `chart::Reference` reads it; `{version}` stands for the version.
pub(super) enum Place {
    /// A chart.
    Chart(&'static str),
    /// A file of manifests.
    Manifest(&'static str),
}

impl Place {
    /// The text.
    pub(super) fn source(&self) -> &'static str {
        match self {
            Place::Chart(source) | Place::Manifest(source) => source,
        }
    }
}

macro_rules! standin {
    ($($path:literal),* $(,)?) => { &[$(include_str!(concat!("../standins/", $path))),*] };
}

macro_rules! values {
    ($path:literal) => {
        include_str!(concat!("values/", $path))
    };
}

const fn part(release: &'static str, place: Place, version: &'static str, values: &'static str) -> Part {
    Part { release, place, version, namespace: None, values }
}

use Distribution::{Rhaii, Upstream};
use Place::{Chart, Manifest};

macro_rules! istio {
    ($chart:literal) => {
        Chart(concat!("https://istio-release.storage.googleapis.com/charts#", $chart))
    };
}

macro_rules! xks {
    ($chart:literal) => {
        Chart(concat!(
            "git+https://github.com/opendatahub-io/rhaii-on-xks//charts/",
            $chart,
            "?ref=8f3386a2ea1c2df2bba773655b6cde83c07089f1"
        ))
    };
}

/// The tested combinations, one per distribution. Upstream: what KServe 0.20 is built against, with Istio 1.30
/// in place of its own gateway. Rhaii: what rhaii-on-xks pins at 8f3386a.
pub(super) const SETS: &[Set] = &[
    Set {
        addon: "cert-manager",
        distribution: Upstream,
        version: "v1.21.1",
        namespace: "cert-manager",
        parts: &[part(
            "cert-manager",
            Chart("oci://quay.io/jetstack/charts/cert-manager"),
            "v1.21.1",
            values!("cert-manager.yaml"),
        )],
        standins: standin!("crds/cert-manager.yaml", "upstream/cert-manager.yaml"),
    },
    Set {
        addon: "cert-manager",
        distribution: Rhaii,
        version: "1.15.2",
        namespace: "cert-manager",
        parts: &[Part {
            namespace: Some("cert-manager-operator"),
            ..part("cert-manager-operator", xks!("cert-manager-operator"), "1.0.2", "")
        }],
        standins: standin!(
            "crds/cert-manager.yaml",
            "crds/rhaii-cert-manager-operator.yaml",
            "rhaii/cert-manager.yaml"
        ),
    },
    Set {
        addon: "gateway-api",
        distribution: Upstream,
        version: "v1.5.1",
        namespace: "",
        parts: &[part(
            "gateway-api",
            Manifest(
                "https://github.com/kubernetes-sigs/gateway-api/releases/download/{version}/standard-install.yaml",
            ),
            "v1.5.1",
            "",
        )],
        standins: standin!("crds/gateway-api.yaml", "crds/gateway-api-routes.yaml"),
    },
    Set {
        addon: "inference-extension",
        distribution: Upstream,
        version: "v1.5.0",
        namespace: "",
        parts: &[part(
            "inference-extension",
            Manifest(
                "https://github.com/kubernetes-sigs/gateway-api-inference-extension/releases/download/{version}/manifests.yaml",
            ),
            "v1.5.0",
            "",
        )],
        standins: standin!("crds/inference-extension.yaml"),
    },
    Set {
        addon: "istio",
        distribution: Upstream,
        version: "1.30.3",
        namespace: "istio-system",
        parts: &[
            part("istio-base", istio!("base"), "1.30.3", values!("istio-base.yaml")),
            part("istiod", istio!("istiod"), "1.30.3", values!("istiod.yaml")),
            part("istio-cni", istio!("cni"), "1.30.3", values!("istio-cni.yaml")),
        ],
        standins: standin!("crds/istio.yaml", "upstream/istio.yaml"),
    },
    Set {
        addon: "istio",
        distribution: Rhaii,
        version: "3.2.1",
        namespace: "istio-system",
        parts: &[part("sail-operator", xks!("sail-operator"), "1.0.0", "")],
        standins: standin!("crds/istio.yaml", "crds/rhaii-sail-operator.yaml", "rhaii/istio.yaml"),
    },
    Set {
        addon: "lws",
        distribution: Upstream,
        version: "0.10.0",
        namespace: "lws-system",
        parts: &[part("lws", Chart("oci://registry.k8s.io/lws/charts/lws"), "0.10.0", "")],
        standins: standin!("crds/lws.yaml", "upstream/lws.yaml"),
    },
    Set {
        addon: "lws",
        distribution: Rhaii,
        version: "1.0",
        namespace: "openshift-lws-operator",
        parts: &[part("lws-operator", xks!("lws-operator"), "1.0.0", "")],
        standins: standin!("crds/rhaii-lws-operator.yaml", "rhaii/lws.yaml"),
    },
    Set {
        addon: "kserve",
        distribution: Upstream,
        version: "v0.20.0",
        namespace: "kserve",
        parts: &[
            part("kserve-llmisvc-crd", Chart("oci://ghcr.io/kserve/charts/kserve-llmisvc-crd"), "v0.20.0", ""),
            part(
                "kserve-llmisvc-resources",
                Chart("oci://ghcr.io/kserve/charts/kserve-llmisvc-resources"),
                "v0.20.0",
                values!("kserve-llmisvc-resources.yaml"),
            ),
            part(
                "kserve-runtime-configs",
                Chart("oci://ghcr.io/kserve/charts/kserve-runtime-configs"),
                "v0.20.0",
                values!("kserve-runtime-configs.yaml"),
            ),
        ],
        standins: standin!("crds/kserve.yaml", "upstream/kserve.yaml", "upstream/kserve-scheduler.yaml"),
    },
    Set {
        addon: "kserve",
        distribution: Rhaii,
        version: "3.4.0-ea.2",
        namespace: "opendatahub",
        parts: &[part("kserve-rhaii-xks", Chart("oci://ghcr.io/opendatahub-io/kserve-rhaii-xks"), "3.4.0-ea.2", "")],
        standins: standin!("crds/kserve.yaml", "rhaii/kserve.yaml"),
    },
    Set {
        addon: "gpu-operator",
        distribution: Upstream,
        version: "v26.3.3",
        namespace: "gpu-operator",
        parts: &[part(
            "gpu-operator",
            Chart("https://helm.ngc.nvidia.com/nvidia#gpu-operator"),
            "v26.3.3",
            values!("gpu-operator.yaml"),
        )],
        standins: standin!("crds/gpu-operator.yaml", "upstream/gpu-operator.yaml"),
    },
];
