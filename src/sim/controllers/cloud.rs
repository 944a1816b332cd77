//! What a cluster's controllers ask of the cloud around it: load balancers and disks.
//!
//! Every call states what shall be and is safe to repeat; none waits. Whoever implements it keeps the
//! resources, their durations and their faults.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::durations;
use crate::env::clock::{SharedClock, Timestamp};

/// How far something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// Under way; worth another look after this long.
    Pending(Duration),
    /// There (or gone).
    Done(T),
}

/// A load balancer of a Service of type LoadBalancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    /// `a` and the Service's uid without dashes, 32 characters: the name of forwarding rule and target pool.
    pub name: String,
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Wanted address (`spec.loadBalancerIP`), if any.
    pub address: Option<String>,
    /// `networking.gke.io/load-balancer-type: Internal`.
    pub internal: bool,
    /// Protocol and port of each listener.
    pub ports: Vec<(String, u16)>,
    /// Names of the nodes behind it.
    pub nodes: Vec<String>,
}

/// A persistent disk of a PersistentVolume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// `pvc-<uid of the claim>`: name of the disk and of the volume.
    pub name: String,
    /// `pd-balanced`, `pd-ssd`, `hyperdisk-balanced`, …
    pub kind: String,
    /// GB (2^30 bytes).
    pub gigabytes: u64,
    /// Where the first consumer runs.
    pub zone: String,
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub claim: String,
}

/// One of the things that a load balancer consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// `forwardingRules`, …
    pub collection: &'static str,
    /// `global`, or the cluster's own `region` or `zone`.
    pub place: &'static str,
    /// Its name.
    pub name: String,
    /// What it is besides. A text `@place/collection/name` stands for a link, `@tag` for the tag of the cluster's nodes.
    pub fields: serde_json::Value,
}

/// The cloud, seen by one cluster.
pub trait Cloud: Send + Sync {
    /// Creates or updates a load balancer; `Done` carries its address.
    ///
    /// # Errors
    /// What the cloud answered, in words, e.g. a quota.
    fn ensure_load_balancer(&self, balancer: &Balancer) -> Result<Progress<String>, String>;

    /// Removes a load balancer with everything that belongs to it; `Done` when nothing is left.
    ///
    /// # Errors
    /// What the cloud answered.
    fn release_load_balancer(&self, name: &str) -> Result<Progress<()>, String>;

    /// Creates a disk; `Done` carries the volume handle `projects/P/zones/Z/disks/NAME`.
    ///
    /// # Errors
    /// What the cloud answered.
    fn ensure_disk(&self, disk: &Disk) -> Result<Progress<String>, String>;

    /// Removes a disk by its volume handle; `Done` when it is gone.
    ///
    /// # Errors
    /// What the cloud answered.
    fn delete_disk(&self, handle: &str) -> Result<Progress<()>, String>;

    /// Creates or updates what a load balancer consists of, for an owner (a uid); `Done` carries its address.
    ///
    /// # Errors
    /// What the cloud answered.
    fn ensure_parts(&self, owner: &str, parts: &[Part]) -> Result<Progress<String>, String> {
        let _ = (owner, parts);
        Err("this cloud has no load balancers of that sort".to_owned())
    }

    /// Removes everything that an owner has; `Done` when nothing is left.
    ///
    /// # Errors
    /// What the cloud answered.
    fn release_parts(&self, owner: &str) -> Result<Progress<()>, String> {
        let _ = owner;
        Ok(Progress::Done(()))
    }

    /// What names of the cluster's load balancers carry, as the ConfigMap `kube-system/ingress-uid` has it: 16
    /// hexadecimal digits.
    fn ingress_uid(&self) -> String {
        "0123456789abcdef".to_owned()
    }
}

/// A cloud that keeps nothing outside the process: for tests and for clusters without a project.
pub struct MemoryCloud {
    clock: SharedClock,
    inner: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    balancers: BTreeMap<String, (Timestamp, u8)>,
    disks: BTreeMap<String, Timestamp>,
    given: u8,
}

impl MemoryCloud {
    /// An empty one.
    pub fn new(clock: SharedClock) -> Self {
        MemoryCloud { clock, inner: Mutex::default() }
    }

    /// Names of the load balancers that exist.
    pub fn load_balancers(&self) -> Vec<String> {
        self.lock().balancers.keys().cloned().collect()
    }

    /// Handles of the disks that exist.
    pub fn disks(&self) -> Vec<String> {
        self.lock().disks.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn after<T>(&self, since: Timestamp, duration: Duration, value: T) -> Progress<T> {
        let passed = self.clock.now().since(since);
        if passed < duration { Progress::Pending(duration.saturating_sub(passed)) } else { Progress::Done(value) }
    }
}

impl Cloud for MemoryCloud {
    fn ensure_load_balancer(&self, balancer: &Balancer) -> Result<Progress<String>, String> {
        let mut memory = self.lock();
        let now = self.clock.now();
        let (since, last) = match memory.balancers.get(&balancer.name) {
            Some(known) => *known,
            None => {
                memory.given = memory.given.wrapping_add(1).max(1);
                let fresh = (now, memory.given);
                memory.balancers.insert(balancer.name.clone(), fresh);
                fresh
            }
        };
        drop(memory);
        let address = balancer.address.clone().unwrap_or_else(|| format!("203.0.113.{last}"));
        Ok(self.after(since, durations::LOAD_BALANCER, address))
    }

    fn release_load_balancer(&self, name: &str) -> Result<Progress<()>, String> {
        self.lock().balancers.remove(name);
        Ok(Progress::Done(()))
    }

    fn ensure_parts(&self, owner: &str, _: &[Part]) -> Result<Progress<String>, String> {
        let name = owner.to_owned();
        let (namespace, service) = (String::new(), String::new());
        let (address, internal, ports, nodes) = (None, false, Vec::new(), Vec::new());
        self.ensure_load_balancer(&Balancer { name, namespace, service, address, internal, ports, nodes })
    }

    fn release_parts(&self, owner: &str) -> Result<Progress<()>, String> {
        self.release_load_balancer(owner)
    }

    fn ensure_disk(&self, disk: &Disk) -> Result<Progress<String>, String> {
        let handle = format!("projects/simulated/zones/{}/disks/{}", disk.zone, disk.name);
        let since = *self.lock().disks.entry(handle.clone()).or_insert(self.clock.now());
        Ok(self.after(since, durations::DISK, handle))
    }

    fn delete_disk(&self, handle: &str) -> Result<Progress<()>, String> {
        self.lock().disks.remove(handle);
        Ok(Progress::Done(()))
    }
}
