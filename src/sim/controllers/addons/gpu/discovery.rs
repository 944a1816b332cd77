//! Node feature discovery: workers write what they find on their node, the master labels nodes with it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{core, label, metadata, name, text};
use super::super::work::{Step, Work};
use super::{PCI, count, hardware, node_feature, operand_ready};
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Gvk, Status};

/// Publishes its node's features.
pub struct Worker;
/// Labels nodes.
pub struct Master;

#[async_trait]
impl Step for Worker {
    fn name(&self) -> &'static str {
        "nfd-worker"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![core("Pod")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![core("Node"), core("Pod")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        name(changed) == text(own, "/spec/nodeName")
            || (label(changed, "app") == "gpu-feature-discovery"
                && text(changed, "/spec/nodeName") == text(own, "/spec/nodeName"))
    }

    async fn step(&self, work: &Work, _pod: &Arc<Json>) -> Result<Outcome, Status> {
        let node_name = work.instance.node();
        let Some(node) = work.api.get(&core("Node"), "", node_name) else { return Ok(Outcome::Done) };
        let mut labels = json!({"feature.node.kubernetes.io/kernel-version.major": "6",
            "feature.node.kubernetes.io/system-os_release.ID": "cos"});
        if let Some(kind) = hardware(&node) {
            labels[PCI] = json!("true");
            if operand_ready(&*work.api, node_name, "gpu-feature-discovery") {
                let (product, memory) = match kind {
                    "nvidia-tesla-t4" => ("Tesla-T4", "15360"),
                    "nvidia-l4" => ("NVIDIA-L4", "23034"),
                    "nvidia-tesla-a100" => ("NVIDIA-A100-SXM4-40GB", "40960"),
                    "nvidia-h100-80gb" => ("NVIDIA-H100-80GB-HBM3", "81559"),
                    other => (other, "16384"),
                };
                labels["nvidia.com/gpu.product"] = json!(product);
                labels["nvidia.com/gpu.memory"] = json!(memory);
                labels["nvidia.com/gpu.count"] = json!(count(&node).to_string());
                labels["nvidia.com/cuda.driver.major"] = json!("580");
            }
        }
        let feature = json!({
            "apiVersion": node_feature().api_version(), "kind": "NodeFeature",
            "metadata": metadata(work.namespace(), node_name, &[("nfd.node.kubernetes.io/node-name", node_name)], None),
            "spec": {"labels": labels},
        });
        work.ensure(feature).await?;
        Ok(Outcome::Done)
    }
}

#[async_trait]
impl Step for Master {
    fn name(&self) -> &'static str {
        "nfd-master"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![node_feature()]
    }

    async fn step(&self, work: &Work, feature: &Arc<Json>) -> Result<Outcome, Status> {
        let Some(node) = work.api.get(&core("Node"), "", label(feature, "nfd.node.kubernetes.io/node-name")) else {
            return Ok(Outcome::Done);
        };
        let mut changed = (*node).clone();
        for (key, value) in feature.pointer("/spec/labels").and_then(Json::as_object).into_iter().flatten() {
            changed["metadata"]["labels"][key] = value.clone();
        }
        if changed != *node {
            work.api.update(changed).await?;
        }
        Ok(Outcome::Done)
    }
}
