//! The programs of the add-ons inside a simulated cluster: cert-manager, Istio, LeaderWorkerSet, KServe, the
//! GPU operator, Red Hat's operators and vLLM.
//!
//! Each does what the real one does to the cluster's objects, while a Ready pod of its image exists and as far
//! as its ServiceAccount may. What they serve to users is in `sim::serving`.

pub mod cert_manager;
pub mod gpu;
pub mod istio;
pub mod kserve;
pub mod lws;
pub mod objects;
pub mod operators;
pub mod pki;
pub mod vllm;
pub mod work;

use std::sync::Arc;

use super::faults::Faults;
use super::programs::Program;

/// The programs of all add-ons, for the table of a cluster; `faults` are those of the world outside that they reach.
pub fn programs(faults: &Arc<dyn Faults>) -> Vec<Arc<dyn Program>> {
    vec![
        Arc::new(cert_manager::CertManager),
        Arc::new(istio::Istiod),
        Arc::new(istio::Proxy),
        Arc::new(istio::Cni),
        Arc::new(lws::Lws),
        Arc::new(gpu::Discovery),
        Arc::new(gpu::Gpu),
        Arc::new(kserve::Llmisvc),
        Arc::new(kserve::StorageInitializer(faults.clone())),
        Arc::new(kserve::EndpointPicker),
        Arc::new(operators::Operator),
        Arc::new(vllm::Vllm(faults.clone())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::controllers::faults::NoFaults;
    use crate::sim::controllers::image::Image;

    fn calm() -> Arc<dyn Faults> {
        Arc::new(NoFaults)
    }

    #[test]
    fn every_image_of_the_stacks_has_its_program() {
        let named = |reference: &str| {
            let image = Image::parse(reference).expect("image");
            programs(&calm()).into_iter().find(|program| program.runs(&image)).map(|program| program.name())
        };
        for (image, program) in [
            ("quay.io/jetstack/cert-manager-controller:v1.21.1", "cert-manager"),
            ("quay.io/jetstack/cert-manager-webhook:v1.21.1", "cert-manager"),
            ("registry.redhat.io/cert-manager/jetstack-cert-manager-rhel9:v1.15.5", "cert-manager"),
            ("registry.redhat.io/cert-manager/cert-manager-operator-rhel9:v1.15.2", "operator"),
            ("docker.io/istio/pilot:1.30.3", "istiod"),
            ("registry.redhat.io/openshift-service-mesh/istio-pilot-rhel9:1.27.3", "istiod"),
            ("docker.io/istio/proxyv2:1.30.3", "istio-proxy"),
            ("docker.io/istio/install-cni:1.30.3", "istio-cni"),
            ("registry.redhat.io/openshift-service-mesh/istio-cni-rhel9:1.27.3", "istio-cni"),
            ("registry.redhat.io/openshift-service-mesh/istio-rhel9-operator:3.2.1", "operator"),
            ("registry.k8s.io/lws/lws:v0.10.0", "lws"),
            ("registry.redhat.io/leader-worker-set/lws-rhel9-operator:1.0", "operator"),
            ("registry.redhat.io/leader-worker-set/lws-rhel9:1.0", "lws"),
            ("kserve/llmisvc-controller:v0.20.0", "llmisvc-controller"),
            ("registry.redhat.io/rhoai/odh-kserve-llmisvc-controller-rhel9:v3.4.0-ea.2", "llmisvc-controller"),
            ("kserve/storage-initializer:v0.20.0", "storage-initializer"),
            ("registry.k8s.io/nfd/node-feature-discovery:v0.18.3", "node-feature-discovery"),
            ("nvcr.io/nvidia/gpu-operator:v26.3.3", "gpu-operator"),
            ("nvcr.io/nvidia/k8s/container-toolkit:v1.19.1", "gpu-operator"),
            ("nvcr.io/nvidia/k8s-device-plugin:v0.19.0", "gpu-operator"),
            ("vllm/vllm-openai:v0.32.0", "vllm"),
            ("vllm/vllm-tpu:v0.32.0", "vllm"),
            ("registry.redhat.io/rhaiis/vllm-cuda-rhel9:3.2.5", "vllm"),
            ("registry.redhat.io/rhaiis/vllm-tpu-rhel9:3.2.5", "vllm"),
        ] {
            assert_eq!(named(image), Some(program), "{image}");
        }
        assert_eq!(named("nginx"), None);
    }
}
