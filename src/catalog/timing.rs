//! How long things take and how long to wait for them.
//!
//! Estimates are medians of public logs of GKE and of the add-ons' own documentation; they feed the critical
//! path only. Timeouts are far above them: GKE itself reports a stock-out only after 35 minutes.

use std::time::Duration;

/// An estimate and a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long it usually takes.
    pub estimate: Duration,
    /// How long to wait at most.
    pub timeout: Duration,
}

const fn timing(estimate_seconds: u64, timeout_minutes: u64) -> Timing {
    Timing { estimate: Duration::from_secs(estimate_seconds), timeout: Duration::from_secs(timeout_minutes * 60) }
}

/// A cluster. Zonal: 3:33 to 4:32 in four logs. Regional: 5:25 to 9:22 in four logs.
pub fn cluster(zonal: bool) -> Timing {
    if zonal { timing(240, 45) } else { timing(450, 45) }
}

/// A pool without accelerator: 1:04 to 1:56 in four logs.
pub const PLAIN_POOL: Timing = timing(95, 45);

/// A pool of GPUs: 5 to 10 minutes.
pub const GPU_POOL: Timing = timing(420, 60);

/// A pool of TPUs: 10 to 15 minutes.
pub const TPU_POOL: Timing = timing(720, 60);

/// A stored value.
pub const VALUE: Timing = timing(0, 1);

/// How long the proof may go on failing after everything is ready.
pub const PROOF: Duration = Duration::from_secs(600);

/// A Kubernetes object.
pub fn object(group: &str, kind: &str) -> Timing {
    match (group, kind) {
        ("apps", "Deployment" | "StatefulSet") => timing(30, 10),
        ("apps", "DaemonSet") => timing(40, 10),
        ("batch", "Job") => timing(30, 15),
        ("apiextensions.k8s.io", _) => timing(2, 5),
        // Its certificate is injected after the rollout of whoever injects it.
        ("admissionregistration.k8s.io", _) => timing(10, 10),
        ("cert-manager.io", _) => timing(5, 10),
        // The load balancer's address takes two to three minutes.
        ("gateway.networking.k8s.io", "Gateway") => timing(150, 15),
        ("gateway.networking.k8s.io", _) => timing(3, 10),
        ("", "PersistentVolumeClaim") => timing(15, 10),
        // Toolkit, validator, device plugin, side by side; the node's driver is in the time of its pool.
        ("nvidia.com", "ClusterPolicy") => timing(20, 30),
        ("operator.openshift.io", "CertManager") => timing(75, 15),
        ("operator.openshift.io", _) => timing(60, 15),
        ("sailoperator.io", _) => timing(60, 15),
        // Image of several GB, download, and on TPUs the compilation: guides say 7 to 15 minutes, for a 3B model the
        // lower half of that.
        ("serving.kserve.io", "LLMInferenceService") => timing(550, 45),
        ("serving.kserve.io", _) => timing(3, 5),
        _ => timing(1, 5),
    }
}
