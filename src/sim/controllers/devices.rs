//! Devices of nodes: what device plugins register, and whether a GPU's driver is there.
//!
//! The kubelet's device manager. A resource whose plugin is not ready counts as nothing allocatable.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::image::Image;
use super::programs::{Instance, Program, Programs, Start};
use super::{Controller, Key, Outcome, Surroundings, durations, fields, kinds, writes};
use crate::env::clock::Timestamp;
use crate::sim::kube::api::{Api, Gvk, Status};

/// Node label with the model of its GPUs.
pub const GPU_MODEL: &str = "cloud.google.com/gke-accelerator";
/// Node label with the number of its accelerators.
pub const ACCELERATORS: &str = "cloud.google.com/gke-accelerator-count";
/// Node label by which GKE's own GPU device plugin stays away.
pub const NO_PLUGIN: &str = "gke-no-default-nvidia-gpu-device-plugin";
/// Node label with what GKE does about the GPU's driver: `default`, `latest`, `disabled`.
pub const DRIVER: &str = "cloud.google.com/gke-gpu-driver-version";

/// Keeps the extended resources of nodes up to date with the device plugins that run there.
pub struct Devices {
    /// What images do.
    pub programs: Programs,
}

#[async_trait]
impl Controller for Devices {
    fn name(&self) -> &'static str {
        "devices"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Node"), kinds::of("Pod")]
    }

    fn keys(&self, changed: &Key, object: &Json, _: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind == "Node" {
            return vec![changed.clone()];
        }
        let node = fields::text(object, "/spec/nodeName");
        if node.is_empty() {
            return Vec::new();
        }
        vec![Key { gvk: kinds::of("Node"), namespace: String::new(), name: node.to_owned() }]
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let Some(node) = around.api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        let now = around.clock.now();
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        let mut wait: Option<Duration> = None;
        for pod in around.api.list(&kinds::of("Pod"), None) {
            if fields::text(&pod, "/spec/nodeName") != key.name || fields::is_going(&pod) {
                continue;
            }
            for status in fields::list(&pod, "/status/containerStatuses") {
                let Some(started) = fields::time(status, "/state/running/startedAt") else { continue };
                if !fields::flag(status, "/ready") {
                    continue;
                }
                let Some(instance) = Instance::of(&pod, fields::text(status, "/name")) else { continue };
                let api = around.api.impersonate(&instance.user());
                let own = Surroundings { api, clock: around.clock.clone() };
                let program = self.programs.of(&instance.image);
                let sooner =
                    |known: Option<Duration>, left: Duration| Some(known.map_or(left, |known| known.min(left)));
                let due = match program.start(&instance, &own) {
                    Start::Serves(after) => started.plus(after).plus(durations::DEVICE_REGISTRATION),
                    Start::Waits(again) => {
                        wait = sooner(wait, again);
                        continue;
                    }
                    Start::Exits { .. } => continue,
                };
                let devices = program.devices(&instance, &own, &node);
                if devices.is_empty() {
                    continue;
                }
                if now < due {
                    wait = sooner(wait, due.since(now));
                    continue;
                }
                found.extend(devices);
            }
        }
        let mut next = (*node).clone();
        for list in ["capacity", "allocatable"] {
            let known: Vec<String> = fields::entries(&node, &format!("/status/{list}"))
                .filter(|(name, _)| name.contains('/') && !name.starts_with("attachable-volumes"))
                .map(|(name, _)| name.to_owned())
                .collect();
            for name in known.into_iter().filter(|name| !found.contains_key(name)) {
                // The capacity stays known after a plugin has gone; before it came there was none.
                if list == "allocatable" {
                    next["status"][list][name] = json!("0");
                }
            }
            for (name, count) in &found {
                next["status"][list][name] = json!(count.to_string());
            }
        }
        writes::status(&around.api, &node, next).await?;
        Ok(wait.map_or(Outcome::Done, Outcome::After))
    }
}

fn count(node: &Json) -> u64 {
    fields::label(node, ACCELERATORS).parse().unwrap_or(1)
}

/// Whether the driver of a node's GPUs is loaded: GKE installs it unless told not to, or a DaemonSet with
/// Google's installer image has.
pub fn driver_loaded(api: &dyn Api, node: &Json, now: Timestamp) -> bool {
    if fields::label(node, GPU_MODEL).is_empty() {
        return false;
    }
    if matches!(fields::label(node, DRIVER), "default" | "latest") {
        let born = fields::time(node, "/metadata/creationTimestamp").unwrap_or_default();
        return now >= born.plus(durations::NODE_READY + durations::GPU_DRIVER_INSTALL);
    }
    api.list(&kinds::of("Pod"), None).iter().any(|pod| {
        let installs = fields::list(pod, "/spec/initContainers").iter().chain(fields::list(pod, "/spec/containers"));
        fields::text(pod, "/spec/nodeName") == fields::name(node)
            && super::pods::is_ready(pod)
            && installs.filter_map(|c| Image::parse(fields::text(c, "/image")).ok()).any(|image| is_installer(&image))
    })
}

fn is_installer(image: &Image) -> bool {
    matches!(image.base(), "cos-gpu-installer" | "nvidia-driver-installer" | "ubuntu-nvidia-driver-installer")
        || (image.registry == "cos.gcr.io" && image.base().contains("gpu-installer"))
}

/// GKE's own GPU device plugin.
#[derive(Debug, Clone, Copy)]
pub struct GkeGpuPlugin;

impl Program for GkeGpuPlugin {
    fn name(&self) -> &'static str {
        "nvidia-gpu-device-plugin"
    }

    fn runs(&self, image: &Image) -> bool {
        image.name() == "gke.gcr.io/nvidia-gpu-device-plugin"
    }

    fn start(&self, instance: &Instance, around: &Surroundings) -> Start {
        if instance.name() == "nvidia-driver-installer" {
            return Start::completes(durations::GPU_DRIVER_INSTALL);
        }
        let node = around.api.get(&kinds::of("Node"), "", instance.node());
        let loaded = node.is_some_and(|node| driver_loaded(&*around.api, &node, around.clock.now()));
        if loaded { Start::Serves(durations::PROGRAM_START) } else { Start::Waits(Duration::from_secs(5)) }
    }

    fn devices(&self, _: &Instance, around: &Surroundings, node: &Json) -> Vec<(String, u64)> {
        if driver_loaded(&*around.api, node, around.clock.now()) {
            vec![("nvidia.com/gpu".to_owned(), count(node))]
        } else {
            Vec::new()
        }
    }
}

/// GKE's TPU device plugin.
#[derive(Debug, Clone, Copy)]
pub struct GkeTpuPlugin;

impl Program for GkeTpuPlugin {
    fn name(&self) -> &'static str {
        "tpu-device-plugin"
    }

    fn runs(&self, image: &Image) -> bool {
        image.name() == "gke.gcr.io/tpu-device-plugin"
    }

    fn devices(&self, _: &Instance, _: &Surroundings, node: &Json) -> Vec<(String, u64)> {
        vec![("google.com/tpu".to_owned(), count(node))]
    }
}
