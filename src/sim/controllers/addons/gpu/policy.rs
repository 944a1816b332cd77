//! ClusterPolicy: the operands as DaemonSets, node labels that let them in, and the policy's status.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{
    Condition, apps, core, generation, going, label, metadata, name, number, set_condition, text,
};
use super::super::work::{Step, Work};
use super::{PCI, policy_list};
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Gvk, Status};

/// Looks after ClusterPolicies.
pub struct Policies;
/// Labels GPU nodes.
pub struct NodeLabels;

/// One operand.
pub struct State {
    /// Its name in messages.
    name: &'static str,
    /// DaemonSet and `app` label.
    pub app: &'static str,
    /// The part of the policy that configures it.
    part: &'static str,
    /// Whether it runs where the policy does not say.
    default: bool,
    /// The node label that lets it in, after `nvidia.com/gpu.deploy.`.
    deploy: &'static str,
    /// Whether it runs under the RuntimeClass `nvidia`.
    runtime: bool,
}

/// The operands in the operator's order. Disabled ones have no DaemonSet.
pub const STATES: [State; 8] = [
    State::new("state-driver", "nvidia-driver-daemonset", "driver", "driver", true, false),
    State::new(
        "state-container-toolkit",
        "nvidia-container-toolkit-daemonset",
        "toolkit",
        "container-toolkit",
        true,
        false,
    ),
    State::new("state-operator-validation", "nvidia-operator-validator", "validator", "operator-validator", true, true),
    State::new("state-device-plugin", "nvidia-device-plugin-daemonset", "devicePlugin", "device-plugin", true, true),
    State::new("state-dcgm-exporter", "nvidia-dcgm-exporter", "dcgmExporter", "dcgm-exporter", true, true),
    State::new("gpu-feature-discovery", "gpu-feature-discovery", "gfd", "gpu-feature-discovery", true, true),
    State::new("state-mig-manager", "nvidia-mig-manager", "migManager", "mig-manager", true, true),
    State::new(
        "state-node-status-exporter",
        "nvidia-node-status-exporter",
        "nodeStatusExporter",
        "node-status-exporter",
        false,
        true,
    ),
];

impl State {
    const fn new(
        name: &'static str,
        app: &'static str,
        part: &'static str,
        deploy: &'static str,
        default: bool,
        runtime: bool,
    ) -> Self {
        State { name, app, part, default, deploy, runtime }
    }

    fn enabled(&self, policy: &Json) -> bool {
        let given = policy.pointer(&format!("/spec/{}/enabled", self.part)).and_then(Json::as_bool);
        given.unwrap_or(self.default)
    }

    fn image(&self, policy: &Json, fallback: &str) -> String {
        let part = |field: &str| text(policy, &format!("/spec/{}/{field}", self.part)).to_owned();
        let (repository, image, version) = (part("repository"), part("image"), part("version"));
        if image.is_empty() {
            return fallback.to_owned();
        }
        let name = if repository.is_empty() { image } else { format!("{repository}/{image}") };
        match version.as_str() {
            "" => name,
            digest if digest.starts_with("sha256:") => format!("{name}@{digest}"),
            tag => format!("{name}:{tag}"),
        }
    }

    fn daemonset(&self, work: &Work, policy: &Json) -> Json {
        let own = text(&work.instance.container, "/image");
        let image = self.image(policy, own);
        let validator = STATES[2].image(policy, own);
        let deploy = format!("nvidia.com/gpu.deploy.{}", self.deploy);
        let mut environment = policy_list(policy, &format!("/spec/{}/env", self.part)).to_vec();
        let installed = text(policy, "/spec/hostPaths/driverInstallDir");
        environment.push(json!({"name": "DRIVER_INSTALL_DIR", "value": installed}));
        let driver = if STATES[0].enabled(policy) { "container" } else { "host" };
        environment.push(json!({"name": "DRIVER_SOURCE", "value": driver}));
        let mut container = json!({"name": format!("{}-ctr", self.app), "image": image, "env": environment,
            "securityContext": {"privileged": true}});
        if self.part == "validator" {
            container["command"] =
                json!(["sh", "-c", "echo all validations are successful; nvidia-validator; sleep infinity"]);
        }
        // What has to be there first is the business of init containers.
        let waits_for = match self.part {
            "driver" => Vec::new(),
            "toolkit" => vec!["driver-validation"],
            "validator" => vec!["driver-validation", "toolkit-validation", "cuda-validation", "plugin-validation"],
            _ => vec!["toolkit-validation"],
        };
        let init: Vec<Json> = waits_for
            .into_iter()
            .map(|name| {
                json!({"name": name, "image": validator, "command": ["sh", "-c", "nvidia-validator"],
                "env": environment, "securityContext": {"privileged": true}})
            })
            .collect();
        let mut pod = json!({
            "serviceAccountName": self.app, "priorityClassName": priority(policy),
            "nodeSelector": {deploy: "true"}, "tolerations": policy_list(policy, "/spec/daemonsets/tolerations"),
            "initContainers": init, "containers": [container],
        });
        if policy_list(policy, "/spec/daemonsets/tolerations").is_empty() {
            pod["tolerations"] = json!([{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]);
        }
        if self.runtime {
            pod["runtimeClassName"] = json!("nvidia");
        }
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": metadata(work.namespace(), self.app, &[("app", self.app),
                ("app.kubernetes.io/part-of", "nvidia-gpu"), ("app.kubernetes.io/managed-by", "gpu-operator")], Some(policy)),
            "spec": {"selector": {"matchLabels": {"app": self.app}},
                "template": {"metadata": {"labels": {"app": self.app, "app.kubernetes.io/part-of": "nvidia-gpu",
                    "app.kubernetes.io/managed-by": "gpu-operator"}}, "spec": pod}},
        })
    }
}

fn priority(policy: &Json) -> &str {
    match text(policy, "/spec/daemonsets/priorityClassName") {
        "" => "system-node-critical",
        given => given,
    }
}

fn kind() -> Gvk {
    Gvk::new("nvidia.com", "v1", "ClusterPolicy")
}

/// Whether a DaemonSet has rolled out; with no node to run on it has.
fn rolled_out(set: &Json) -> bool {
    let of = |field: &str| number(set, &format!("/status/{field}")).unwrap_or(0);
    let desired = of("desiredNumberScheduled");
    number(set, "/status/observedGeneration") == Some(generation(set))
        && (desired == 0 || (of("updatedNumberScheduled") == desired && of("numberAvailable") == desired))
}

#[async_trait]
impl Step for Policies {
    fn name(&self) -> &'static str {
        "gpu-cluster-policy"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![kind()]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![apps("DaemonSet"), core("Node")]
    }

    fn concerns(&self, changed: &Json, _: &Json) -> bool {
        text(changed, "/kind") == "Node" || STATES.iter().any(|state| state.app == name(changed))
    }

    async fn step(&self, work: &Work, policy: &Arc<Json>) -> Result<Outcome, Status> {
        if going(policy) {
            return Ok(Outcome::Done);
        }
        let first = work.api.list(&kind(), None).into_iter().min_by(|a, b| {
            let age = |p: &Json| (text(p, "/metadata/creationTimestamp").to_owned(), name(p).to_owned());
            age(a).cmp(&age(b))
        });
        if first.is_some_and(|first| name(&first) != name(policy)) {
            let mut status = policy.get("status").cloned().unwrap_or_else(|| json!({}));
            status["state"] = json!("ignored");
            work.put_status(policy, status).await?;
            return Ok(Outcome::Done);
        }
        let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
            "metadata": metadata("", "nvidia", &[], Some(policy)), "handler": "nvidia"});
        work.ensure(class).await?;
        let nodes = work.api.list(&core("Node"), None);
        let gpu_nodes = nodes.iter().filter(|node| label(node, PCI) == "true").count();
        let discovered = nodes.iter().any(|n| {
            n.pointer("/metadata/labels")
                .and_then(Json::as_object)
                .is_some_and(|l| l.keys().any(|key| key.starts_with("feature.node.kubernetes.io/")))
        });
        let mut waiting = Vec::new();
        for state in &STATES {
            let existing = work.api.get(&apps("DaemonSet"), work.namespace(), state.app);
            if !state.enabled(policy) {
                if existing.is_some() {
                    work.api.delete(&apps("DaemonSet"), work.namespace(), state.app, Default::default()).await?;
                }
                continue;
            }
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": metadata(work.namespace(), state.app, &[], Some(policy))});
            work.ensure(account).await?;
            let set = work.ensure(state.daemonset(work, policy)).await?;
            if !rolled_out(&set) {
                waiting.push(state.name);
            }
        }
        let mut status = policy.get("status").cloned().unwrap_or_else(|| json!({}));
        status["namespace"] = json!(work.namespace());
        let message;
        let (state, ready, error) = if !discovered {
            let text = "No NFD labels found on any node";
            (
                "ready",
                Condition::new("Ready", true, "NFDLabelsMissing", text),
                Condition::new("Error", false, "Ready", ""),
            )
        } else if gpu_nodes == 0 {
            let text = "No GPU node found, watching for new nodes to join the cluster.";
            ("ready", Condition::new("Ready", true, "NoGPUNodes", text), Condition::new("Error", false, "Ready", ""))
        } else if waiting.is_empty() {
            let text = "ClusterPolicy is ready as all resources have been successfully reconciled";
            ("ready", Condition::new("Ready", true, "Reconciled", text), Condition::new("Error", false, "Ready", ""))
        } else {
            message = format!("ClusterPolicy is not ready, states not ready: [{}]", waiting.join(" "));
            (
                "notReady",
                Condition::new("Ready", false, "Error", ""),
                Condition::new("Error", true, "OperandNotReady", &message),
            )
        };
        status["state"] = json!(state);
        set_condition(&mut status["conditions"], work.clock.now(), None, ready);
        set_condition(&mut status["conditions"], work.clock.now(), None, error);
        work.put_status(policy, status).await?;
        Ok(if discovered { Outcome::Done } else { Outcome::After(Duration::from_secs(45)) })
    }
}

#[async_trait]
impl Step for NodeLabels {
    fn name(&self) -> &'static str {
        "gpu-node-labels"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![core("Node")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![kind()]
    }

    async fn step(&self, work: &Work, node: &Arc<Json>) -> Result<Outcome, Status> {
        if going(node) || work.api.list(&kind(), None).is_empty() {
            return Ok(Outcome::Done);
        }
        let mut changed = (**node).clone();
        let present = label(node, PCI) == "true";
        let labels = &mut changed["metadata"]["labels"];
        if present {
            labels["nvidia.com/gpu.present"] = json!("true");
            if label(node, "nvidia.com/gpu.deploy.operands") != "false" {
                for state in STATES.iter().filter(|state| state.part != "migManager") {
                    labels[format!("nvidia.com/gpu.deploy.{}", state.deploy)] = json!("true");
                }
            }
        } else if label(node, "nvidia.com/gpu.present") == "true" {
            labels["nvidia.com/gpu.present"] = json!("false");
            if let Some(labels) = labels.as_object_mut() {
                labels.retain(|key, _| !key.starts_with("nvidia.com/gpu.deploy."));
            }
        }
        if changed != **node {
            work.api.update(changed).await?;
        }
        Ok(Outcome::Done)
    }
}
