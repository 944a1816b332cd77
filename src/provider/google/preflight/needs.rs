//! What nodes, load balancers and disks need of quotas and offers: pure sums over the whole plan.
//!
//! Metrics are those of Compute Engine's `regions.get` and `projects.get`; TPU chips are counted by family, which only
//! Cloud Quotas knows. Machines of reservations need no quota of their own.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::platform::preflight::Wanted;
use crate::value::Value;

/// Which quota.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quota {
    /// A metric of a region.
    Region(String, String),
    /// A metric of the project, all regions together.
    Project(String),
    /// Chips of a TPU family in a region.
    Tpu(String, String),
}

/// So much more of a quota than is in use now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Need {
    /// How much more.
    pub more: i64,
    /// Who needs it.
    pub by: BTreeSet<Address>,
}

/// A type that a location must offer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sort {
    /// The zone, or the region of which any zone will do.
    pub location: String,
    /// Its collection in Compute Engine.
    pub collection: Collection,
    /// `n1-standard-4`, `nvidia-tesla-t4`.
    pub name: String,
}

/// Collections of Compute Engine that zones have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Collection {
    /// `machineTypes`.
    Machines,
    /// `acceleratorTypes`.
    Accelerators,
}

/// A version of Kubernetes that a location must offer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Zone or region.
    pub location: String,
    /// Full or a prefix; nothing where the channel chooses.
    pub version: Option<String>,
    /// `regular`.
    pub channel: Option<String>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Google Cloud projects.
    pub projects: BTreeSet<String>,
    /// By project and quota.
    pub quotas: BTreeMap<(String, Quota), Need>,
    /// By project, with who needs it.
    pub sorts: BTreeMap<(String, Sort), BTreeSet<Address>>,
    /// By project.
    pub versions: BTreeMap<(String, Version), BTreeSet<Address>>,
    /// Machine types whose processors nobody here can count.
    pub uncounted: BTreeSet<String>,
}

/// The region of a zone or region.
pub fn region(location: &str) -> &str {
    match location.match_indices('-').nth(1) {
        Some((at, _)) => &location[..at],
        None => location,
    }
}

/// Whether a location is a zone.
pub fn is_zone(location: &str) -> bool {
    region(location) != location
}

/// What `wanted` needs beyond what it has now.
pub fn of(wanted: &[Wanted]) -> Needs {
    let mut needs = Needs::default();
    for one in wanted {
        let pools = |attrs: &Value| pools(&one.kind, attrs);
        let present = one.present.as_ref().map(pools).unwrap_or_default();
        let mut before: BTreeMap<(String, Quota), i64> = BTreeMap::new();
        for pool in &present {
            for (quota, amount) in pool.quotas().0 {
                *before.entry(quota).or_default() += amount;
            }
        }
        let mut after: BTreeMap<(String, Quota), i64> = BTreeMap::new();
        for pool in pools(&one.attrs) {
            needs.projects.insert(pool.project.clone());
            let (quotas, uncounted) = pool.quotas();
            needs.uncounted.extend(uncounted);
            for (quota, amount) in quotas {
                *after.entry(quota).or_default() += amount;
            }
            let accelerator = pool.gpu.as_ref().map(|(kind, _)| (Collection::Accelerators, kind));
            for location in &pool.locations {
                for (collection, name) in [(Collection::Machines, &pool.machine)].into_iter().chain(accelerator) {
                    let sort = Sort { location: location.clone(), collection, name: name.clone() };
                    needs.sorts.entry((pool.project.clone(), sort)).or_default().insert(one.address.clone());
                }
            }
        }
        for (quota, amount) in after {
            let more = amount - before.get(&quota).copied().unwrap_or_default();
            if more > 0 {
                let need = needs.quotas.entry(quota).or_default();
                need.more += more;
                need.by.insert(one.address.clone());
            }
        }
        if let Some(version) = version(one) {
            needs.versions.entry(version).or_default().insert(one.address.clone());
        }
    }
    // What is not made of nodes is in the region of the cluster.
    let place = wanted.iter().find(|one| one.kind == "gke.cluster").and_then(|cluster| {
        Some((text(&cluster.attrs, "project")?.to_owned(), region(text(&cluster.attrs, "location")?).to_owned()))
    });
    if let Some((project, region)) = place {
        for one in wanted.iter().filter(|one| one.present.is_none() && is_balancer(one)) {
            let quota = Quota::Region(region.clone(), "IN_USE_ADDRESSES".to_owned());
            let need = needs.quotas.entry((project.clone(), quota)).or_default();
            need.more += 1;
            need.by.insert(one.address.clone());
        }
    }
    needs
}

fn is_balancer(one: &Wanted) -> bool {
    let gateway = || text(&one.attrs, "apiVersion").is_some_and(|api| api.starts_with("gateway.networking.k8s.io/"));
    match text(&one.attrs, "kind") {
        Some("Service") => one.attrs.at(&["spec", "type"]).and_then(Value::as_str) == Some("LoadBalancer"),
        Some("Gateway") => one.kind == "k8s.object" && gateway(),
        _ => false,
    }
}

fn version(one: &Wanted) -> Option<(String, Version)> {
    if one.kind != "gke.cluster" {
        return None;
    }
    let own = |key| text(&one.attrs, key).map(str::to_owned);
    let version = Version { location: own("location")?, version: own("version"), channel: own("release_channel") };
    Some((own("project")?, version))
}

fn text<'a>(attrs: &'a Value, key: &str) -> Option<&'a str> {
    attrs.get(key).and_then(Value::as_str)
}

/// Amounts by project and quota.
type Amounts = Vec<((String, Quota), i64)>;

/// Nodes of one shape.
struct Pool {
    project: String,
    region: String,
    /// Zones, or the region where they are not named.
    locations: Vec<String>,
    machine: String,
    /// Type and number per node.
    gpu: Option<(String, i64)>,
    nodes: i64,
    interruptible: bool,
    reserved: bool,
    disk: String,
    disk_gb: i64,
}

fn pools(kind: &str, attrs: &Value) -> Vec<Pool> {
    match kind {
        "gke.cluster" => attrs.get("system_pool").and_then(|pool| Pool::of(pool, attrs)).into_iter().collect(),
        "gke.node_pool" => Pool::of(attrs, attrs).into_iter().collect(),
        _ => Vec::new(),
    }
}

impl Pool {
    fn of(attrs: &Value, place: &Value) -> Option<Self> {
        let location = text(place, "location")?;
        let named = [attrs, place].iter().find_map(|v| v.get("node_locations").and_then(Value::as_list));
        let named = named.map(|zones| zones.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>());
        let per_zone = attrs.get("nodes").and_then(Value::as_int).unwrap_or_default();
        let most = attrs.at(&["autoscale", "max"]).and_then(Value::as_int);
        let is = |key: &str| attrs.get(key).and_then(Value::as_bool) == Some(true);
        // Queued capacity starts empty and is there to be filled.
        let per_zone = if is("flex_start") { most.unwrap_or(per_zone) } else { per_zone };
        let zones = match &named {
            Some(zones) => i64::try_from(zones.len()).unwrap_or(1).max(1),
            None if is_zone(location) => 1,
            None => 3,
        };
        let machine = text(attrs, "machine_type")?.to_owned();
        let gpu = attrs.get("accelerator").and_then(|accelerator| {
            let count = accelerator.get("count").and_then(Value::as_int).unwrap_or(1);
            Some((text(accelerator, "type")?.to_owned(), count))
        });
        let usual_disk = if chips(&machine).is_some() { "hyperdisk-balanced" } else { "pd-balanced" };
        Some(Pool {
            project: text(place, "project")?.to_owned(),
            region: region(location).to_owned(),
            locations: named.unwrap_or_else(|| vec![location.to_owned()]),
            gpu,
            nodes: per_zone * zones,
            interruptible: is("spot") || is("flex_start"),
            reserved: text(attrs, "reservation").is_some_and(|name| name != "none" && name != "any"),
            disk: text(attrs, "disk_type").unwrap_or(usual_disk).to_owned(),
            disk_gb: attrs.get("disk_size_gb").and_then(Value::as_int).unwrap_or(100),
            machine,
        })
    }

    /// What all its nodes need, and the machine type where its processors cannot be counted.
    fn quotas(&self) -> (Amounts, Option<String>) {
        let mut quotas = Vec::new();
        let mut uncounted = None;
        if self.nodes == 0 {
            return (quotas, uncounted);
        }
        let project = || self.project.clone();
        let regional = |metric: String| (project(), Quota::Region(self.region.clone(), metric));
        let preemptible = if self.interruptible { "PREEMPTIBLE_" } else { "" };
        if !self.reserved {
            if let Some((family, chips)) = chips(&self.machine) {
                quotas.push(((project(), Quota::Tpu(self.region.clone(), family)), chips * self.nodes));
            } else if let Some((metric, cpus)) = cpus(&self.machine) {
                let metric = if self.interruptible { "PREEMPTIBLE_CPUS" } else { metric };
                quotas.push((regional(metric.to_owned()), cpus * self.nodes));
                if !self.interruptible {
                    quotas.push(((project(), Quota::Project("CPUS_ALL_REGIONS".to_owned())), cpus * self.nodes));
                }
            } else {
                uncounted = Some(self.machine.clone());
            }
            if let Some((kind, count)) = &self.gpu {
                quotas.push((regional(format!("{preemptible}{}", gpu_metric(kind))), count * self.nodes));
                quotas.push(((project(), Quota::Project("GPUS_ALL_REGIONS".to_owned())), count * self.nodes));
            }
        }
        let disks = match self.disk.as_str() {
            "pd-standard" => "DISKS_TOTAL_GB",
            "hyperdisk-balanced" => "HDB_TOTAL_GB",
            _ => "SSD_TOTAL_GB",
        };
        quotas.push((regional(disks.to_owned()), self.disk_gb * self.nodes));
        quotas.push((regional("IN_USE_ADDRESSES".to_owned()), self.nodes));
        quotas.push((regional("INSTANCES".to_owned()), self.nodes));
        (quotas, uncounted)
    }
}

/// Family and chips of one host of a TPU machine type: `ct6e-standard-4t` is 4 of `CT6E`.
pub fn chips(machine: &str) -> Option<(String, i64)> {
    let (family, size) = (machine.split('-').next()?, machine.rsplit('-').next()?);
    if !family.starts_with("ct") {
        return None;
    }
    Some((family.to_ascii_uppercase(), size.strip_suffix('t')?.parse().ok()?))
}

/// The metric that a machine type's processors count towards, and how many there are: as its name says.
fn cpus(machine: &str) -> Option<(&'static str, i64)> {
    if let "e2-micro" | "e2-small" | "e2-medium" = machine {
        return Some(("CPUS", 2));
    }
    let family = machine.split('-').next()?;
    let metric = match family {
        "n1" | "e2" => "CPUS",
        "n2" => "N2_CPUS",
        "n2d" => "N2D_CPUS",
        "n4" => "N4_CPUS",
        "t2d" => "T2D_CPUS",
        "c2" => "C2_CPUS",
        "c2d" => "C2D_CPUS",
        "c3" => "C3_CPUS",
        _ => return None,
    };
    Some((metric, machine.rsplit('-').next()?.parse().ok()?))
}

/// `nvidia-tesla-t4` is counted by `NVIDIA_T4_GPUS`.
fn gpu_metric(kind: &str) -> String {
    let bare = kind.trim_start_matches("nvidia-").trim_start_matches("tesla-");
    let bare = if bare == "h100-80gb" { "h100" } else { bare };
    format!("NVIDIA_{}_GPUS", bare.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(address: &str, kind: &str, attrs: serde_json::Value, present: Option<serde_json::Value>) -> Wanted {
        let (attrs, present) = (Value::from_json(&attrs), present.as_ref().map(Value::from_json));
        Wanted { address: address.into(), kind: kind.to_owned(), attrs, present }
    }

    fn pool(more: serde_json::Value) -> serde_json::Value {
        let mut attrs = json!({"project": "p", "location": "europe-west4-a", "machine_type": "n1-standard-4", "nodes": 1,
            "accelerator": {"type": "nvidia-tesla-t4", "count": 1}});
        attrs.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        attrs
    }

    /// What is needed, as `metric@region amount`.
    fn told(needs: &Needs) -> Vec<String> {
        let line = |((_, quota), need): (&(String, Quota), &Need)| match quota {
            Quota::Region(region, metric) => format!("{metric}@{region} {}", need.more),
            Quota::Project(metric) => format!("{metric} {}", need.more),
            Quota::Tpu(region, family) => format!("{family}@{region} {}", need.more),
        };
        needs.quotas.iter().map(line).collect()
    }

    #[test]
    fn everything_in_a_plan_is_summed() {
        let cluster = json!({"project": "p", "location": "europe-west4-a",
            "system_pool": {"machine_type": "n1-standard-4", "nodes": 2}});
        let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"});
        let all = [
            wanted("cluster", "gke.cluster", cluster, None),
            wanted("node_pools.a", "gke.node_pool", pool(json!({})), None),
            wanted("node_pools.b", "gke.node_pool", pool(json!({"nodes": 2})), None),
            wanted("gateway/Gateway/g", "k8s.object", gateway, None),
        ];
        let needs = of(&all);
        let expected = [
            "CPUS@europe-west4 20",
            "INSTANCES@europe-west4 5",
            "IN_USE_ADDRESSES@europe-west4 6",
            "NVIDIA_T4_GPUS@europe-west4 3",
            "SSD_TOTAL_GB@europe-west4 500",
            "CPUS_ALL_REGIONS 20",
            "GPUS_ALL_REGIONS 3",
        ];
        assert_eq!(told(&needs), expected);
        assert_eq!(needs.sorts.len(), 2);
    }

    #[test]
    fn only_growth_needs_quota() {
        let grown = wanted("node_pools.a", "gke.node_pool", pool(json!({"nodes": 3})), Some(pool(json!({}))));
        assert!(told(&of(&[grown])).contains(&"NVIDIA_T4_GPUS@europe-west4 2".to_owned()));
        let same = wanted("node_pools.a", "gke.node_pool", pool(json!({})), Some(pool(json!({"nodes": 2}))));
        assert_eq!(told(&of(&[same])), [""; 0]);
    }

    #[test]
    fn how_it_is_bought_decides_which_quota_counts() {
        let one = |attrs| told(&of(&[wanted("node_pools.a", "gke.node_pool", attrs, None)]));
        let spot = one(pool(json!({"spot": true})));
        assert!(spot.contains(&"PREEMPTIBLE_NVIDIA_T4_GPUS@europe-west4 1".to_owned()), "{spot:?}");
        assert!(spot.contains(&"PREEMPTIBLE_CPUS@europe-west4 4".to_owned()), "{spot:?}");
        let reserved = one(pool(json!({"reservation": "mine"})));
        assert!(!reserved.iter().any(|need| need.contains("GPUS") || need.contains("CPUS")), "{reserved:?}");
        let queued = one(pool(json!({"nodes": 0, "flex_start": true, "autoscale": {"min": 0, "max": 2}})));
        assert!(queued.contains(&"PREEMPTIBLE_NVIDIA_T4_GPUS@europe-west4 2".to_owned()), "{queued:?}");
    }

    #[test]
    fn tpus_are_counted_by_family_and_regions_have_three_zones() {
        let tpu = json!({"project": "p", "location": "us-east5", "machine_type": "ct6e-standard-4t", "nodes": 1});
        let needs = of(&[wanted("node_pools.t", "gke.node_pool", tpu, None)]);
        let expected =
            ["HDB_TOTAL_GB@us-east5 300", "INSTANCES@us-east5 3", "IN_USE_ADDRESSES@us-east5 3", "CT6E@us-east5 12"];
        assert_eq!(told(&needs), expected);
        assert_eq!(gpu_metric("nvidia-a100-80gb"), "NVIDIA_A100_80GB_GPUS");
        assert_eq!(gpu_metric("nvidia-h100-80gb"), "NVIDIA_H100_GPUS");
        assert_eq!(cpus("a3-highgpu-8g"), None);
    }
}
