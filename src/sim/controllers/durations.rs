//! How long things take inside a cluster: the one table, with where each figure comes from.
//!
//! "guide" are the times that public guides for this kind of stack state, "seen" are public logs; the rest
//! is experience, marked as estimate. Durations of Google's operations (clusters, pools) are the cloud's.

use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A forwarding rule, target pool and firewall until the Service has its address. Guides: 2-3 min for a
/// Gateway in all, of which the address itself is 40-90 s.
pub const LOAD_BALANCER: Duration = seconds(60);
/// Removing them again (estimate; health checks and firewall go with it).
pub const LOAD_BALANCER_RELEASE: Duration = seconds(30);
/// A persistent disk made, by pd.csi (estimate).
pub const DISK: Duration = seconds(4);
/// A disk attached to its node (estimate; the attach-detach controller and the CSI driver take turns).
pub const DISK_ATTACH: Duration = seconds(8);
/// A node's registration until its kubelet says Ready and the first system Pods run (estimate; seen in
/// "CPU pool create" of 1-2 min, of which booting is the cloud's).
pub const NODE_READY: Duration = seconds(10);
/// How often the node controller looks whether a lost node reports again (Kubernetes' default).
pub const NODE_MONITOR: Duration = seconds(5);
/// GKE's driver installer on a GPU node until drivers are loaded (estimate, COS with the default driver).
pub const GPU_DRIVER_INSTALL: Duration = seconds(60);
/// A device plugin's registration with the kubelet after its container serves (estimate).
pub const DEVICE_REGISTRATION: Duration = seconds(3);

/// The scheduler's and kubelet's own turn before pulling starts (estimate).
pub const POD_SETUP: Duration = Duration::from_millis(500);
/// Creating and starting one container once the image is there (estimate).
pub const CONTAINER_START: Duration = Duration::from_millis(700);
/// A program that is not known otherwise, from its start until it serves (estimate).
pub const PROGRAM_START: Duration = seconds(2);
/// A container of an unknown image that is meant to end (Job, init container) (estimate).
pub const SHORT_RUN: Duration = seconds(2);
/// What a program takes to leave on SIGTERM when it says nothing else (estimate).
pub const TERMINATION: Duration = seconds(1);
/// Size of an image that is not known otherwise, in MB.
pub const IMAGE_MEGABYTES: u64 = 120;
/// An image's pull: Artifact Registry, quay.io and the like give a node about 60 MB/s including unpacking
/// (estimate; 9 GB of a vLLM image take 2-3 min in guides).
pub const PULL_MEGABYTES_PER_SECOND: u64 = 60;
/// The least a pull takes, for resolving and authorisation (estimate).
pub const PULL_LEAST: Duration = Duration::from_millis(800);
/// Kubelet's image and crash back-off: first wait, doubled up to the longest (Kubernetes documentation).
pub const BACKOFF_FIRST: Duration = seconds(10);
/// See [`BACKOFF_FIRST`].
pub const BACKOFF_LONGEST: Duration = seconds(300);
/// A container that ran this long is forgiven its crashes (Kubernetes documentation).
pub const BACKOFF_FORGIVEN: Duration = seconds(600);
/// A mount that cannot be made is tried again after this long at most (kubelet doubles from 0.5 s to 122 s).
pub const MOUNT_RETRY: Duration = seconds(15);
/// A sandbox that cannot be made is tried again with the kubelet's next sync of the Pod (seen every 11 to 15 s).
pub const SANDBOX_RETRY: Duration = seconds(12);
/// Garbage collection after an owner is gone (estimate for a cluster at work, whose collector's graph lags behind;
/// an idle one was seen to take 15 ms).
pub const GARBAGE: Duration = seconds(1);
/// The namespace controller's turn after each change of a namespace that goes (Kubernetes' own constant, so that
/// every API server has heard of it; seen in recordings).
pub const NAMESPACE: Duration = seconds(5);
/// Weights from Hugging Face to a node (estimate: 3B parameters in half precision, 6 GB, in about a minute).
pub const DOWNLOAD_MEGABYTES_PER_SECOND: u64 = 100;

/// How long pulling an image of this size takes.
pub fn pull(megabytes: u64) -> Duration {
    PULL_LEAST + Duration::from_millis(megabytes * 1000 / PULL_MEGABYTES_PER_SECOND)
}

/// How long downloading weights of this size takes.
pub fn download(megabytes: u64) -> Duration {
    Duration::from_millis(megabytes * 1000 / DOWNLOAD_MEGABYTES_PER_SECOND)
}
