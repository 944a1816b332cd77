//! GPUs as a node's kubelet sees them: allocatable once a device plugin has registered.
//!
//! The kubelet's part, not a program's: it acts with the rights of the cluster's own controllers. On nodes
//! without the label that switches Google's plugin off, that plugin registers once the driver is installed.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{condition, core, label, name, pod_ready, text};
use super::{count, driver_ready, hardware};
use crate::env::clock::Timestamp;
use crate::sim::controllers::{Controller, Key, Outcome, Surroundings, durations};
use crate::sim::kube::api::{Api, Status};

/// Keeps `nvidia.com/gpu` of nodes.
pub struct Devices;

const RESOURCE: &str = "nvidia.com/gpu";

/// The device plugin of the GPU operator on a node, if it is Ready: since when.
fn plugin(api: &dyn Api, node: &str) -> Option<Timestamp> {
    let pods = api.list(&core("Pod"), None);
    let pod = pods.iter().find(|pod| {
        text(pod, "/spec/nodeName") == node && label(pod, "app") == "nvidia-device-plugin-daemonset" && pod_ready(pod)
    })?;
    Timestamp::parse(text(condition(pod, "Ready")?, "/lastTransitionTime"))
}

#[async_trait]
impl Controller for Devices {
    fn name(&self) -> &'static str {
        "gpu-devices"
    }

    fn watches(&self) -> Vec<crate::sim::kube::api::Gvk> {
        vec![core("Node"), core("Pod")]
    }

    fn keys(&self, changed: &Key, object: &Json, _: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind == "Node" {
            return vec![changed.clone()];
        }
        if label(object, "app") != "nvidia-device-plugin-daemonset" || text(object, "/spec/nodeName").is_empty() {
            return Vec::new();
        }
        let node = text(object, "/spec/nodeName").to_owned();
        vec![Key { gvk: core("Node"), namespace: String::new(), name: node }]
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let Some(node) = around.api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        if hardware(&node).is_none() {
            return Ok(Outcome::Done);
        }
        let now = around.clock.now();
        let own_plugin = label(&node, "gke-no-default-nvidia-gpu-device-plugin") == "true";
        let registered = if own_plugin {
            plugin(&*around.api, name(&node)).map(|since| since.plus(durations::DEVICE_REGISTRATION))
        } else {
            let born = Timestamp::parse(text(&node, "/metadata/creationTimestamp")).unwrap_or_default();
            Some(born.plus(durations::GPU_DRIVER_INSTALL).plus(durations::DEVICE_REGISTRATION))
                .filter(|at| *at > now || driver_ready(&*around.api, &node, now))
        };
        if let Some(at) = registered
            && at > now
        {
            return Ok(Outcome::After(at.since(now)));
        }
        let known = node.pointer("/status/allocatable").and_then(|a| a.get(RESOURCE)).is_some();
        let wanted = match registered {
            Some(_) => json!(count(&node).to_string()),
            // A plugin that went away leaves the resource behind with nothing in it.
            None if known => json!("0"),
            None => return Ok(Outcome::Done),
        };
        let mut changed = (*node).clone();
        changed["status"]["capacity"][RESOURCE] = json!(count(&node).to_string());
        changed["status"]["allocatable"][RESOURCE] = wanted;
        if changed != *node {
            around.api.update_status(changed).await?;
        }
        Ok(if registered.is_none() { Outcome::After(Duration::from_secs(60)) } else { Outcome::Done })
    }
}
