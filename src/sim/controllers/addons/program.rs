//! Which add-on's program a container runs, told by the repository of its image.
//!
//! Upstream and Red Hat builds of one program are one program. Says nothing about what programs do.

use serde_json::Value as Json;

use super::objects::words;

/// A program of an add-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// cert-manager's controller.
    CertManager,
    /// cert-manager's admission webhook.
    CertManagerWebhook,
    /// cert-manager's CA injector.
    CaInjector,
    /// cert-manager's check of its own API, a Job.
    StartupApiCheck,
    /// OpenShift's operator for cert-manager.
    CertManagerOperator,
    /// Istio's control plane.
    Istiod,
    /// Istio's proxy: gateways and sidecars.
    Proxy,
    /// Istio's CNI node agent.
    IstioCni,
    /// The operator that installs Istio.
    SailOperator,
    /// LeaderWorkerSet's controller.
    Lws,
    /// OpenShift's operator for LeaderWorkerSet.
    LwsOperator,
    /// KServe's controller of LLMInferenceServices.
    Llmisvc,
    /// KServe's model downloader, an init container.
    StorageInitializer,
    /// The endpoint picker beside an InferencePool.
    EndpointPicker,
    /// NVIDIA's GPU operator.
    GpuOperator,
    /// Node feature discovery: master, worker and gc.
    NodeFeatureDiscovery,
    /// One of the GPU operator's operands, by DaemonSet.
    GpuOperand,
    /// A model server.
    Vllm,
}

/// Repository endings and the programs behind them; the first that fits counts.
const TABLE: &[(&str, Program)] = &[
    ("cert-manager-controller", Program::CertManager),
    ("cert-manager-webhook", Program::CertManagerWebhook),
    ("cert-manager-cainjector", Program::CaInjector),
    ("cert-manager-startupapicheck", Program::StartupApiCheck),
    ("cert-manager-operator-rhel9", Program::CertManagerOperator),
    ("cert-manager-operator", Program::CertManagerOperator),
    ("pilot", Program::Istiod),
    ("istio-pilot-rhel9", Program::Istiod),
    ("proxyv2", Program::Proxy),
    ("istio-proxyv2-rhel9", Program::Proxy),
    ("install-cni", Program::IstioCni),
    ("istio-cni-rhel9", Program::IstioCni),
    ("sail-operator", Program::SailOperator),
    ("istio-sail-operator-rhel9", Program::SailOperator),
    ("istio-rhel9-operator", Program::SailOperator),
    ("lws", Program::Lws),
    ("lws-rhel9", Program::Lws),
    ("lws-operator", Program::LwsOperator),
    ("lws-rhel9-operator", Program::LwsOperator),
    ("llmisvc-controller", Program::Llmisvc),
    ("kserve-llmisvc-controller", Program::Llmisvc),
    ("odh-kserve-llmisvc-controller", Program::Llmisvc),
    ("odh-kserve-llmisvc-controller-rhel9", Program::Llmisvc),
    ("storage-initializer", Program::StorageInitializer),
    ("kserve-storage-initializer", Program::StorageInitializer),
    ("odh-kserve-storage-initializer-rhel9", Program::StorageInitializer),
    ("llm-d-router-endpoint-picker", Program::EndpointPicker),
    ("llm-d-inference-scheduler", Program::EndpointPicker),
    ("odh-llm-d-inference-scheduler-rhel9", Program::EndpointPicker),
    ("gpu-operator", Program::GpuOperator),
    ("node-feature-discovery", Program::NodeFeatureDiscovery),
    ("container-toolkit", Program::GpuOperand),
    ("k8s-device-plugin", Program::GpuOperand),
    ("gpu-operator-validator", Program::GpuOperand),
    ("dcgm-exporter", Program::GpuOperand),
    ("driver", Program::GpuOperand),
    ("k8s-mig-manager", Program::GpuOperand),
    ("vllm-openai", Program::Vllm),
    ("vllm-tpu", Program::Vllm),
    ("vllm-cuda-rhel9", Program::Vllm),
    ("vllm-tpu-rhel9", Program::Vllm),
    ("llm-d-cuda", Program::Vllm),
];

impl Program {
    /// What a container runs, if it is one of these.
    pub fn of(container: &Json) -> Option<Program> {
        let image = container.get("image")?.as_str()?;
        let name = repository_name(image);
        // One image of Red Hat's holds all of cert-manager; the command tells which part.
        if name.starts_with("jetstack-cert-manager") {
            let words = words(container).join(" ");
            return Some(match () {
                () if words.contains("webhook") => Program::CertManagerWebhook,
                () if words.contains("cainjector") => Program::CaInjector,
                () => Program::CertManager,
            });
        }
        // The operator's own image also validates nodes, and carries several commands.
        if name == "gpu-operator" && words(container).iter().any(|w| w.contains("validator")) {
            return Some(Program::GpuOperand);
        }
        TABLE.iter().find(|(ending, _)| *ending == name).map(|(_, program)| *program)
    }
}

/// The last segment of an image's repository, without tag and digest.
pub fn repository_name(image: &str) -> &str {
    let repository = image.split_once('@').map_or(image, |(repository, _)| repository);
    let last = repository.rsplit('/').next().unwrap_or(repository);
    last.split_once(':').map_or(last, |(name, _)| name)
}

/// The tag of an image, if it has one.
pub fn tag(image: &str) -> Option<&str> {
    let repository = image.split_once('@').map_or(image, |(repository, _)| repository);
    repository.rsplit('/').next()?.split_once(':').map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn images_name_their_programs() {
        let of = |image: &str| Program::of(&json!({"image": image}));
        assert_eq!(of("quay.io/jetstack/cert-manager-controller:v1.21.1"), Some(Program::CertManager));
        assert_eq!(of("docker.io/istio/pilot:1.30.3"), Some(Program::Istiod));
        assert_eq!(of("localhost:5000/istio/pilot@sha256:00"), Some(Program::Istiod));
        assert_eq!(of("registry.k8s.io/lws/lws:v0.10.0"), Some(Program::Lws));
        assert_eq!(of("registry.redhat.io/rhaiis/vllm-cuda-rhel9:3.2.5"), Some(Program::Vllm));
        assert_eq!(of("nginx"), None);
        let webhook = json!({"image": "registry.redhat.io/cert-manager/jetstack-cert-manager-rhel9@sha256:1",
            "command": ["/app/cmd/webhook/webhook"]});
        assert_eq!(Program::of(&webhook), Some(Program::CertManagerWebhook));
    }
}
