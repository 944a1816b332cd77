//! The accelerators that a node pool can name: data, and how GKE shows them to pods.
//!
//! Machine types, topologies, labels and zones of the T4 and of TPU v6e follow Google's documentation and
//! public catalogues (skypilot-catalog v8 for the zones of the T4); prices are in `cost`.

use crate::diag::suggest;

/// What drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// An NVIDIA GPU, attached to a machine as `accelerators`.
    Gpu,
    /// A TPU, which comes with the machine type.
    Tpu,
}

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub struct Accelerator {
    /// As a stack file names it.
    pub name: &'static str,
    /// GPU or TPU.
    pub family: Family,
    /// The machine type unless the pool says another one.
    pub machine_type: &'static str,
    /// GKE's accelerator type: of `accelerators[]` for GPUs, of the node label for TPUs.
    pub kind: &'static str,
    /// Accelerators of one node: GPUs or TPU chips. A pod asks for all chips of a TPU node.
    pub per_node: i64,
    /// The topology of the host or slice, as the node label says; `None` for GPUs.
    pub topology: Option<&'static str>,
    /// Nodes that only come together: more than 1 for slices of several hosts.
    pub hosts: i64,
    /// Machine types that GKE takes this accelerator on, by prefix.
    pub machine_prefixes: &'static [&'static str],
    /// Memory of one GPU or chip in MiB, as its driver reports it.
    pub memory_mib: i64,
    /// What the hardware computes in: NVIDIA's compute capability, 75 for 7.5; 0 for TPUs. bfloat16 begins at 80.
    pub capability: i64,
    /// Zones that offer it; empty where they are not known here.
    pub zones: &'static [&'static str],
    /// What vLLM is told unless the workload says otherwise.
    pub serving: Serving,
}

impl Accelerator {
    /// Whether it computes in bfloat16.
    pub fn has_bfloat16(&self) -> bool {
        self.family == Family::Tpu || self.capability >= 80
    }

    /// Whether vLLM runs on it; it wants compute capability 7.0 of GPUs.
    pub fn runs_vllm(&self) -> bool {
        self.family == Family::Tpu || self.capability >= 70
    }
}

/// Defaults of a workload on the accelerator.
#[derive(Debug, PartialEq, Eq)]
pub struct Serving {
    /// The longest context, in tokens.
    pub max_model_len: Option<i64>,
    /// The share of its memory that vLLM takes, in hundredths; GPUs only.
    pub memory_percent: Option<u8>,
    /// The number format; `half` where the accelerator has no bfloat16.
    pub dtype: Option<&'static str>,
    /// Seconds until the first probe: driver or TPU start, download, compilation.
    pub first_probe: i64,
}

const T4: Serving =
    Serving { max_model_len: Some(4096), memory_percent: Some(85), dtype: Some("half"), first_probe: 180 };
/// GPUs before Ampere have no bfloat16.
const HALF: Serving = Serving { max_model_len: None, memory_percent: Some(90), dtype: Some("half"), first_probe: 180 };
const GPU: Serving = Serving { max_model_len: None, memory_percent: Some(90), dtype: None, first_probe: 180 };
const V6E: Serving = Serving { max_model_len: Some(2048), memory_percent: None, dtype: Some("half"), first_probe: 240 };

const fn gpu(
    name: &'static str,
    machine_type: &'static str,
    kind: &'static str,
    machine_prefixes: &'static [&'static str],
    memory_mib: i64,
    capability: i64,
) -> Accelerator {
    Accelerator {
        name,
        family: Family::Gpu,
        machine_type,
        kind,
        per_node: 1,
        topology: None,
        hosts: 1,
        machine_prefixes,
        memory_mib,
        capability,
        zones: &[],
        serving: GPU,
    }
}

const fn v6e(
    name: &'static str,
    machine_type: &'static str,
    per_node: i64,
    topology: &'static str,
    hosts: i64,
) -> Accelerator {
    Accelerator {
        name,
        family: Family::Tpu,
        machine_type,
        kind: "tpu-v6e-slice",
        per_node,
        topology: Some(topology),
        hosts,
        machine_prefixes: &["ct6e-"],
        memory_mib: 32_000,
        capability: 0,
        zones: V6E_ZONES,
        serving: V6E,
    }
}

/// All rows.
pub static ACCELERATORS: &[Accelerator] = &[
    Accelerator {
        zones: T4_ZONES,
        serving: T4,
        ..gpu("nvidia-t4", "n1-standard-4", "nvidia-tesla-t4", &["n1-"], 15_360, 75)
    },
    gpu("nvidia-l4", "g2-standard-8", "nvidia-l4", &["g2-"], 23_034, 89),
    Accelerator { serving: HALF, ..gpu("nvidia-v100", "n1-standard-8", "nvidia-tesla-v100", &["n1-"], 16_160, 70) },
    Accelerator { serving: HALF, ..gpu("nvidia-p100", "n1-standard-8", "nvidia-tesla-p100", &["n1-"], 16_280, 60) },
    gpu("nvidia-a100-40gb", "a2-highgpu-1g", "nvidia-tesla-a100", &["a2-highgpu-"], 40_960, 80),
    gpu("nvidia-a100-80gb", "a2-ultragpu-1g", "nvidia-a100-80gb", &["a2-ultragpu-"], 81_920, 80),
    Accelerator {
        per_node: 8,
        ..gpu("nvidia-h100-80gb", "a3-highgpu-8g", "nvidia-h100-80gb", &["a3-highgpu-"], 81_559, 90)
    },
    v6e("tpu-v6e-1", "ct6e-standard-1t", 1, "1x1", 1),
    v6e("tpu-v6e-4", "ct6e-standard-4t", 4, "2x2", 1),
    v6e("tpu-v6e-8", "ct6e-standard-8t", 8, "2x4", 1),
    v6e("tpu-v6e-16", "ct6e-standard-4t", 4, "4x4", 4),
    v6e("tpu-v6e-32", "ct6e-standard-4t", 4, "4x8", 8),
    v6e("tpu-v6e-64", "ct6e-standard-4t", 4, "8x8", 16),
    v6e("tpu-v6e-128", "ct6e-standard-4t", 4, "8x16", 32),
    v6e("tpu-v6e-256", "ct6e-standard-4t", 4, "16x16", 64),
];

impl Accelerator {
    /// The row of that name.
    pub fn find(name: &str) -> Option<&'static Accelerator> {
        ACCELERATORS.iter().find(|row| row.name == name)
    }

    /// The row that somebody who wrote `name` most likely meant.
    pub fn suggest(name: &str) -> Option<&'static str> {
        let names = || ACCELERATORS.iter().map(|row| row.name);
        // `t4` and `nvidia-tesla-t4` are near to `nvidia-t4` in meaning, not in letters.
        fn bare(name: &str) -> &str {
            name.trim_start_matches("nvidia-").trim_start_matches("tesla-")
        }
        names().find(|known| bare(known) == bare(name)).or_else(|| suggest(name, names()))
    }

    /// What pods ask for: `nvidia.com/gpu`, `google.com/tpu`.
    pub fn resource(&self) -> &'static str {
        match self.family {
            Family::Gpu => "nvidia.com/gpu",
            Family::Tpu => "google.com/tpu",
        }
    }

    /// How many of it a node of this machine type has: GPUs that come with the machine come in its number.
    ///
    /// Machine types are Compute Engine's; `n1` takes as many as one asks for.
    pub fn on(&self, machine: &str) -> i64 {
        let built_in = match machine.rsplit_once('-') {
            // `a2-highgpu-4g`, `a3-megagpu-8g`: the number is in the name.
            Some((family, size)) if family.ends_with("gpu") => size.strip_suffix('g').and_then(|n| n.parse().ok()),
            Some(("g2-standard", "24")) => Some(2),
            Some(("g2-standard", "48")) => Some(4),
            Some(("g2-standard", "96")) => Some(8),
            _ => None,
        };
        built_in.unwrap_or(self.per_node)
    }

    /// The labels that GKE gives its nodes and that pods select, for a slice of `topology` or a single host.
    pub fn node_labels(&self, topology: Option<&str>) -> Vec<(&'static str, String)> {
        match self.family {
            Family::Gpu => vec![("cloud.google.com/gke-accelerator", self.kind.to_owned())],
            Family::Tpu => vec![
                ("cloud.google.com/gke-tpu-accelerator", self.kind.to_owned()),
                ("cloud.google.com/gke-tpu-topology", topology.or(self.topology).unwrap_or_default().to_owned()),
            ],
        }
    }

    /// What a TPU process is told about its host's chips, `2,2,1`; `None` for GPUs.
    pub fn host_bounds(&self) -> Option<&'static str> {
        match (self.family, self.per_node) {
            (Family::Gpu, _) => None,
            (Family::Tpu, 1) => Some("1,1,1"),
            (Family::Tpu, 8) => Some("2,4,1"),
            (Family::Tpu, _) => Some("2,2,1"),
        }
    }

    /// Whether a location, zone or region, is known to offer it; true where nothing is known.
    pub fn offered_in(&self, location: &str) -> bool {
        self.zones.is_empty()
            || self.zones.iter().any(|zone| *zone == location || zone.rsplit_once('-').is_some_and(|z| z.0 == location))
    }
}

const V6E_ZONES: &[&str] = &[
    "us-central1-b",
    "us-east1-d",
    "us-east5-a",
    "us-east5-b",
    "europe-west4-a",
    "asia-northeast1-b",
    "southamerica-west1-a",
    "us-central1-ai1",
    "us-south1-ai1b",
];

const T4_ZONES: &[&str] = &[
    "asia-east1-a",
    "asia-east1-c",
    "asia-east2-a",
    "asia-east2-c",
    "asia-northeast1-a",
    "asia-northeast1-c",
    "asia-northeast3-b",
    "asia-northeast3-c",
    "asia-south1-a",
    "asia-south1-b",
    "asia-southeast1-a",
    "asia-southeast1-b",
    "asia-southeast1-c",
    "asia-southeast2-a",
    "asia-southeast2-b",
    "australia-southeast1-a",
    "australia-southeast1-c",
    "europe-central2-b",
    "europe-central2-c",
    "europe-west1-b",
    "europe-west1-c",
    "europe-west1-d",
    "europe-west2-a",
    "europe-west2-b",
    "europe-west3-b",
    "europe-west4-a",
    "europe-west4-b",
    "europe-west4-c",
    "me-west1-b",
    "me-west1-c",
    "northamerica-northeast1-c",
    "southamerica-east1-a",
    "southamerica-east1-b",
    "southamerica-east1-c",
    "us-central1-a",
    "us-central1-b",
    "us-central1-c",
    "us-central1-f",
    "us-east1-b",
    "us-east1-c",
    "us-east1-d",
    "us-east4-a",
    "us-east4-b",
    "us-east4-c",
    "us-west1-a",
    "us-west1-b",
    "us-west2-b",
    "us-west2-c",
    "us-west3-b",
    "us-west4-a",
    "us-west4-b",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_slices_are_whole() {
        for (at, row) in ACCELERATORS.iter().enumerate() {
            assert!(ACCELERATORS[..at].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(row.machine_prefixes.iter().any(|prefix| row.machine_type.starts_with(prefix)), "{}", row.name);
            let chips = row.topology.map(|t| t.split('x').filter_map(|n| n.parse::<i64>().ok()).product::<i64>());
            assert_eq!(chips.unwrap_or(row.per_node), row.per_node * row.hosts, "{}", row.name);
        }
    }

    #[test]
    fn hosts_zones_and_suggestions() {
        let four = Accelerator::find("tpu-v6e-4").expect("a row");
        assert_eq!((four.hosts, four.host_bounds()), (1, Some("2,2,1")));
        assert!(four.offered_in("europe-west4-a") && four.offered_in("europe-west4") && !four.offered_in("us-west1-a"));
        let on = |row: &str, machine: &str| Accelerator::find(row).expect("a row").on(machine);
        assert_eq!((on("nvidia-t4", "n1-standard-32"), on("nvidia-l4", "g2-standard-24")), (1, 2));
        assert_eq!((on("nvidia-a100-40gb", "a2-highgpu-4g"), on("nvidia-h100-80gb", "a3-highgpu-8g")), (4, 8));
        assert_eq!(Accelerator::suggest("t4"), Some("nvidia-t4"));
        assert_eq!(Accelerator::suggest("nvidia-tesla-t4"), Some("nvidia-t4"));
        assert_eq!(Accelerator::suggest("tpu-v6-4"), Some("tpu-v6e-4"));
        assert_eq!(Accelerator::suggest("abacus"), None);
    }
}
