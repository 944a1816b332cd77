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

use super::programs::Program;

/// The programs of all add-ons, for the table of a cluster.
pub fn programs() -> Vec<Arc<dyn Program>> {
    vec![
        Arc::new(cert_manager::CertManager),
        Arc::new(istio::Istiod),
        Arc::new(istio::Proxy),
        Arc::new(istio::Cni),
        Arc::new(lws::Lws),
        Arc::new(kserve::Llmisvc),
        Arc::new(kserve::download::StorageInitializer),
        Arc::new(kserve::picker::EndpointPicker),
        Arc::new(gpu::Discovery),
        Arc::new(gpu::Gpu),
        Arc::new(operators::Operator),
        Arc::new(vllm::Vllm),
    ]
}
