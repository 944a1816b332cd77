//! GPUs: node feature discovery, NVIDIA's operator and its operands.

mod discovery;
mod operands;
mod policy;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::objects::{core, label, list, pod_ready, text};
use super::work::Loop;
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::{Instance, Program, Start};
use crate::sim::controllers::{Controller, Surroundings, durations};
use crate::sim::kube::api::{Api, Gvk};

/// The label that NFD puts on nodes with NVIDIA hardware.
const PCI: &str = "feature.node.kubernetes.io/pci-10de.present";

fn node_feature() -> Gvk {
    Gvk::new("nfd.k8s-sigs.io", "v1alpha1", "NodeFeature")
}

/// What kind of NVIDIA GPU a node has, by GKE's label: `nvidia-tesla-t4`.
fn hardware(node: &Json) -> Option<&str> {
    Some(label(node, "cloud.google.com/gke-accelerator")).filter(|kind| kind.starts_with("nvidia"))
}

/// How many GPUs a node has.
fn count(node: &Json) -> u64 {
    label(node, "cloud.google.com/gke-accelerator-count").parse().unwrap_or(1)
}

/// Whether a Ready pod with this `app` label runs on the node.
fn operand_ready(api: &dyn Api, node: &str, app: &str) -> bool {
    api.list(&core("Pod"), None)
        .iter()
        .any(|pod| text(pod, "/spec/nodeName") == node && label(pod, "app") == app && pod_ready(pod))
}

/// Node feature discovery: master, worker and garbage collector in one image.
pub struct Discovery;

impl Program for Discovery {
    fn name(&self) -> &'static str {
        "node-feature-discovery"
    }

    fn runs(&self, image: &Image) -> bool {
        image.base() == "node-feature-discovery"
    }

    fn start(&self, instance: &Instance, _: &Surroundings) -> Start {
        // The chart's hook after the deletion takes labels away, and ends.
        match instance.arguments().contains(&"-prune") {
            true => Start::completes(durations::SHORT_RUN),
            false => Start::Serves(durations::PROGRAM_START),
        }
    }

    fn megabytes(&self, _: &Image) -> u64 {
        80
    }

    /// Workers do each their own node; a second master does no harm.
    fn per_pod(&self) -> bool {
        true
    }

    fn controllers(&self, instance: &Instance) -> Vec<Arc<dyn Controller>> {
        match instance.arguments().first().map(|word| word.rsplit('/').next().unwrap_or(word)) {
            Some("nfd-worker") => vec![Loop::of(discovery::Worker, instance)],
            Some("nfd-master") => vec![Loop::of(discovery::Master, instance)],
            _ => Vec::new(),
        }
    }
}

/// The GPU operator and the images of its operands, told apart by the pods' `app` label.
pub struct Gpu;

impl Program for Gpu {
    fn name(&self) -> &'static str {
        "gpu-operator"
    }

    fn runs(&self, image: &Image) -> bool {
        let nvidia = image.repository.starts_with("nvidia/");
        nvidia
            && matches!(
                image.base(),
                "gpu-operator"
                    | "gpu-operator-validator"
                    | "container-toolkit"
                    | "k8s-device-plugin"
                    | "driver"
                    | "dcgm-exporter"
                    | "k8s-mig-manager"
            )
    }

    fn complaint(&self, instance: &Instance) -> Vec<String> {
        operands::complaint(instance.name())
    }

    fn megabytes(&self, image: &Image) -> u64 {
        match image.base() {
            "driver" => 900,
            "dcgm-exporter" => 400,
            _ => 120,
        }
    }

    fn start(&self, instance: &Instance, around: &Surroundings) -> Start {
        operands::start(instance, around)
    }

    fn devices(&self, instance: &Instance, _: &Surroundings, node: &Json) -> Vec<(String, u64)> {
        let plugin = label(&instance.pod, "app") == "nvidia-device-plugin-daemonset" && !instance.is_init();
        match hardware(node) {
            Some(_) if plugin => vec![("nvidia.com/gpu".to_owned(), count(node))],
            _ => Vec::new(),
        }
    }

    fn controllers(&self, instance: &Instance) -> Vec<Arc<dyn Controller>> {
        let operand = policy::STATES.iter().any(|state| state.app == label(&instance.pod, "app"));
        let validator = instance.arguments().iter().any(|word| word.contains("validator"));
        if instance.image.base() != "gpu-operator" || operand || validator {
            return Vec::new();
        }
        vec![Loop::of(policy::Policies, instance), Loop::of(policy::NodeLabels, instance)]
    }
}

/// Whether the driver of a GPU node works: Google's installer has run, or the operator's own pod is Ready.
fn driver_ready(api: &dyn Api, node: &Json, now: crate::env::clock::Timestamp) -> bool {
    let name = text(node, "/metadata/name");
    let born = crate::env::clock::Timestamp::parse(text(node, "/metadata/creationTimestamp")).unwrap_or_default();
    let installer = !matches!(label(node, "cloud.google.com/gke-gpu-driver-version"), "disabled");
    (installer && now.since(born) >= crate::sim::controllers::durations::GPU_DRIVER_INSTALL)
        || operand_ready(api, name, "nvidia-driver-daemonset")
}

/// How often something that is not there yet is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The names of tolerated lists in a ClusterPolicy's `daemonsets`.
fn policy_list<'a>(policy: &'a Json, pointer: &str) -> &'a [Json] {
    list(policy, pointer)
}
