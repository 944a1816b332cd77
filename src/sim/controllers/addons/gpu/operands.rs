//! What the GPU operator's operands do when they start: wait for driver and toolkit, or fail as real ones do.

use std::time::Duration;

use super::super::objects::{core, env_of, label, text};
use super::{LOOK_AGAIN, driver_ready, operand_ready};
use crate::sim::controllers::programs::{Instance, Start};
use crate::sim::controllers::{Surroundings, durations};

/// Where Google's installer puts the driver on Container-Optimized OS.
const GOOGLE_DRIVER: &str = "/home/kubernetes/bin/nvidia";
/// Compiling and loading the driver in its own container.
const DRIVER_BUILD: Duration = Duration::from_secs(180);

/// What a container of the operator or of one of its operands does.
pub fn start(instance: &Instance, around: &Surroundings) -> Start {
    // What the chart's hooks run of the same image: it writes or deletes definitions, and ends.
    if instance.arguments().first().is_some_and(|command| command.ends_with("manage-crds")) {
        return Start::completes(durations::SHORT_RUN);
    }
    let api = &*around.api;
    let Some(node) = api.get(&core("Node"), "", instance.node()) else { return Start::Waits(LOOK_AGAIN) };
    let wait_for = |there: bool| {
        if there { Start::completes(durations::SHORT_RUN) } else { Start::Waits(LOOK_AGAIN) }
    };
    if instance.is_init() {
        let directory = env_of(&instance.container, "DRIVER_INSTALL_DIR").unwrap_or_default();
        let own_driver = env_of(&instance.container, "DRIVER_SOURCE") == Some("container");
        return match instance.name() {
            // Looking in the wrong place never finds it.
            "driver-validation" => wait_for(
                driver_ready(api, &node, around.clock.now())
                    && (own_driver == directory.is_empty())
                    && (own_driver || directory == GOOGLE_DRIVER),
            ),
            "toolkit-validation" | "cuda-validation" => {
                wait_for(operand_ready(api, instance.node(), "nvidia-container-toolkit-daemonset"))
            }
            "plugin-validation" => wait_for(
                node.pointer("/status/allocatable").and_then(|a| a.get("nvidia.com/gpu")).is_some_and(|n| n != "0"),
            ),
            _ => Start::completes(durations::SHORT_RUN),
        };
    }
    match label(&instance.pod, "app") {
        "nvidia-driver-daemonset" => Start::Serves(DRIVER_BUILD),
        "nvidia-container-toolkit-daemonset" => {
            let source = env_of(&instance.container, "RUNTIME_CONFIG_SOURCE").unwrap_or_default();
            let minor = text(&node, "/status/nodeInfo/kubeletVersion").split('.').nth(1);
            let recent = minor.and_then(|m| m.parse::<u32>().ok()).is_some_and(|m| m >= 33);
            if recent && !source.split(',').any(|s| s == "file") {
                return Start::fails(
                    Duration::from_secs(10),
                    "level=error msg=\"error running nvidia-toolkit: unable to setup runtime: unable to restart \
                     containerd: the configuration printed by 'containerd config dump' cannot be loaded\"",
                );
            }
            Start::Serves(Duration::from_secs(15))
        }
        _ => Start::Serves(Duration::from_secs(3)),
    }
}

/// What the validator's init containers log before they try again.
pub fn complaint(validation: &str) -> Vec<String> {
    let why = match validation {
        "driver-validation" => "chroot: failed to run command 'nvidia-smi': No such file or directory",
        "toolkit-validation" => "toolkit is not ready",
        "cuda-validation" => "cuda workload is not ready",
        "plugin-validation" => "GPU resources are not discovered by the node",
        _ => return Vec::new(),
    };
    vec![why.to_owned(), "command failed, retrying after 5 seconds".to_owned()]
}
