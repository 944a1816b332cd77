//! Edges that add-ons know and that no object shows: what operators make, what controllers look for at
//! their start, what "ready" is worth.

use crate::address::Address;
use crate::catalog::accelerators::Family;
use crate::catalog::addons::{CA, namespace};
use crate::catalog::cluster;
use crate::catalog::documents;
use crate::catalog::expansion::Expansion;

const CERT_MANAGER: &str = "CertManager.operator.openshift.io/cluster";
const ISTIO: &str = "Istio.sailoperator.io/default";
const ISTIO_CNI: &str = "IstioCNI.sailoperator.io/default";
const LWS: &str = "LeaderWorkerSetOperator.operator.openshift.io/cluster";

/// Adds the edges; called when all components have added their objects.
pub(in crate::catalog) fn connect(expansion: &mut Expansion<'_>) {
    controllers(expansion);
    injection(expansion);
    operands(expansion);
    gpu(expansion);
    kserve(expansion);
}

/// In Red Hat's builds operators make webhooks and controllers, which are therefore no objects of the stack:
/// whatever these take care of waits for the operator's own object.
fn controllers(expansion: &mut Expansion<'_>) {
    let mesh = ["gateway.networking.k8s.io", "networking.istio.io", "security.istio.io", "telemetry.istio.io"];
    let rows: [(&str, &str, &[&str]); 3] = [
        ("cert-manager", CERT_MANAGER, &["cert-manager.io", "acme.cert-manager.io"]),
        ("istio", ISTIO, &mesh),
        ("lws", LWS, &["leaderworkerset.x-k8s.io"]),
    ];
    for (addon, operator, groups) in rows {
        let Some(operator) = expansion.find(operator).filter(|_| expansion.is_rhaii(addon)) else { continue };
        for address in of_groups(expansion, groups) {
            expansion.need(&address, operator.clone(), "the operator brings the controller and webhooks of this kind");
        }
    }
}

/// What cert-manager does for objects besides answering their webhook.
fn injection(expansion: &mut Expansion<'_>) {
    let requests = "MutatingWebhookConfiguration.admissionregistration.k8s.io/cert-manager-webhook";
    let keys = ["cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret"];
    let objects = expansion.resources.iter().filter(|resource| resource.kind == "k8s.object");
    let (mut certificates, mut injected) = (Vec::new(), Vec::new());
    for resource in objects {
        if documents::key(&resource.attrs).kind == "Certificate" {
            certificates.push(resource.address.clone());
        }
        if keys.iter().any(|key| resource.attrs.at(&["metadata", "annotations", key]).is_some()) {
            injected.push(resource.address.clone());
        }
    }
    for address in certificates {
        expansion.need_object(&address, requests, "this webhook admits the requests that are made for it");
    }
    for address in injected {
        let injector = "Deployment.apps/cert-manager/cert-manager-cainjector";
        expansion.need_object(&address, injector, "it fills the object's caBundle");
    }
}

/// The objects whose kind is of one of these groups.
fn of_groups(expansion: &Expansion<'_>, groups: &[&str]) -> Vec<Address> {
    let objects = expansion.resources.iter().filter(|resource| resource.kind == "k8s.object");
    objects
        .filter(|resource| groups.contains(&documents::key(&resource.attrs).group.as_str()))
        .map(|resource| resource.address.clone())
        .collect()
}

/// What operators' objects need besides what the operators' own pods do.
fn operands(expansion: &mut Expansion<'_>) {
    let pull = "its pods' images are pulled with this secret";
    let account = "its pods run as this account, which must be there with its pull secret first";
    let rows = [
        (CERT_MANAGER, "ServiceAccount/cert-manager/cert-manager", account),
        (CERT_MANAGER, "ServiceAccount/cert-manager/cert-manager-cainjector", account),
        (CERT_MANAGER, "ServiceAccount/cert-manager/cert-manager-webhook", account),
        (
            "Deployment.apps/cert-manager-operator/cert-manager-operator-controller-manager",
            "Infrastructure.config.openshift.io/cluster",
            "the operator reads it at its start",
        ),
        (ISTIO, "Secret/istio-system/redhat-pull-secret", pull),
        (ISTIO_CNI, "Secret/kube-system/redhat-pull-secret", pull),
        (ISTIO, ISTIO_CNI, "pods of the mesh rely on the CNI plugin to redirect their traffic"),
        (
            ISTIO,
            "CustomResourceDefinition.apiextensions.k8s.io/gateways.gateway.networking.k8s.io",
            "istiod serves gateways only where their definitions are",
        ),
        (LWS, "ServiceAccount/openshift-lws-operator/lws-controller-manager", account),
        (LWS, CERT_MANAGER, "the operator has cert-manager issue the certificates of its webhooks"),
    ];
    for (dependent, on, reason) in rows {
        if let Some(dependent) = expansion.find(dependent) {
            expansion.need_object(&dependent, on, reason);
        }
    }
}

/// The operator calls itself ready without a GPU in sight; with the pools there first, ready means GPUs.
fn gpu(expansion: &mut Expansion<'_>) {
    let Some(policy) = expansion.find("ClusterPolicy.nvidia.com/cluster-policy") else { return };
    for (name, pool) in &expansion.stack.node_pools {
        let pool_address = Address::new(format!("node_pools.{name}"));
        let gpus = cluster::accelerator(pool).is_some_and(|row| row.family == Family::Gpu);
        if gpus && expansion.resource(&pool_address).is_some() {
            expansion.need(&policy, pool_address, "it is ready once it has prepared the GPUs of these nodes");
        }
    }
    for key in [
        "Deployment.apps/gpu-operator/gpu-operator-node-feature-discovery-master",
        "DaemonSet.apps/gpu-operator/gpu-operator-node-feature-discovery-worker",
    ] {
        expansion.need_object(&policy, key, "nodes with GPUs are found by the labels that it gives");
    }
}

/// The controller looks once, at its start, which of the kinds that it builds upon are there.
fn kserve(expansion: &mut Expansion<'_>) {
    let Some(namespace) = namespace(expansion, "kserve") else { return };
    let controller = format!("Deployment.apps/{namespace}/llmisvc-controller-manager");
    let Some(controller) = expansion.find(&controller) else { return };
    for definition in [
        "gateways.gateway.networking.k8s.io",
        "httproutes.gateway.networking.k8s.io",
        "inferencepools.inference.networking.k8s.io",
        "leaderworkersets.leaderworkerset.x-k8s.io",
        "destinationrules.networking.istio.io",
    ] {
        let key = format!("CustomResourceDefinition.apiextensions.k8s.io/{definition}");
        expansion.need_object(&controller, &key, "it watches this kind only if it is there at its start");
    }
    expansion.need_object(&controller, LWS, "the operator brings the definition of LeaderWorkerSet, which it watches");
    let config = format!("ConfigMap/{namespace}/inferenceservice-config");
    expansion.need_object(&controller, &config, "it reads its configuration from it");
    if expansion.is_rhaii("kserve") {
        let ca = format!("Certificate.cert-manager.io/cert-manager/{CA}");
        expansion.need_object(&controller, &ca, "it signs the models' certificates with this authority");
    }
    for address in of_groups(expansion, &["serving.kserve.io"]) {
        expansion.need_object(&address, &config, "the webhooks of the kind read it, and refuse every write without it");
    }
}
