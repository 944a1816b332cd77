//! What this Google offers where: regions, zones, machine types, accelerators, versions.
//!
//! Rows are facts with sources in docs; the rest of the simulator asks here and holds no list of its own.

/// Regions with the letters of their zones.
const REGIONS: &[(&str, &str)] = &[
    ("africa-south1", "abc"),
    ("asia-east1", "abc"),
    ("asia-east2", "abc"),
    ("asia-northeast1", "abc"),
    ("asia-northeast2", "abc"),
    ("asia-northeast3", "abc"),
    ("asia-south1", "abc"),
    ("asia-south2", "abc"),
    ("asia-southeast1", "abc"),
    ("asia-southeast2", "abc"),
    ("australia-southeast1", "abc"),
    ("australia-southeast2", "abc"),
    ("europe-central2", "abc"),
    ("europe-north1", "abc"),
    ("europe-southwest1", "abc"),
    ("europe-west1", "bcd"),
    ("europe-west2", "abc"),
    ("europe-west3", "abc"),
    ("europe-west4", "abc"),
    ("europe-west6", "abc"),
    ("europe-west8", "abc"),
    ("europe-west9", "abc"),
    ("europe-west10", "abc"),
    ("europe-west12", "abc"),
    ("me-central1", "abc"),
    ("me-west1", "abc"),
    ("northamerica-northeast1", "abc"),
    ("northamerica-northeast2", "abc"),
    ("southamerica-east1", "abc"),
    ("southamerica-west1", "abc"),
    ("us-central1", "abcf"),
    ("us-central2", "b"),
    ("us-east1", "bcd"),
    ("us-east4", "abc"),
    ("us-east5", "abc"),
    ("us-south1", "abc"),
    ("us-west1", "abc"),
    ("us-west2", "abc"),
    ("us-west3", "abc"),
    ("us-west4", "abc"),
];

/// Zones with `nvidia-tesla-t4`, from a catalogue built from acceleratorTypes.list.
const T4: &str = "asia-east1-a asia-east1-c asia-east2-a asia-east2-c asia-northeast1-a asia-northeast1-c \
asia-northeast3-b asia-northeast3-c asia-south1-a asia-south1-b asia-southeast1-a asia-southeast1-b \
asia-southeast1-c asia-southeast2-a asia-southeast2-b australia-southeast1-a australia-southeast1-c \
europe-central2-b europe-central2-c europe-west1-b europe-west1-c europe-west1-d europe-west2-a europe-west2-b \
europe-west3-b europe-west4-a europe-west4-b europe-west4-c me-west1-b me-west1-c northamerica-northeast1-c \
southamerica-east1-a southamerica-east1-b southamerica-east1-c us-central1-a us-central1-b us-central1-c \
us-central1-f us-east1-b us-east1-c us-east1-d us-east4-a us-east4-b us-east4-c us-west1-a us-west1-b us-west2-b \
us-west2-c us-west3-b us-west4-a us-west4-b";

/// Zones with TPU v6e, as Google's page of TPU regions lists them.
const V6E: &str =
    "us-central1-b us-east1-d us-east5-a us-east5-b europe-west4-a asia-northeast1-b southamerica-west1-a";

/// Zones without general-purpose machines: they hold TPUs only.
const NO_E2: &str = "us-central2-b";

/// Disks that GKE's default pool has.
pub const BOOT_DISK_GB: i64 = 100;

/// Whether there is such a region.
pub fn is_region(name: &str) -> bool {
    REGIONS.iter().any(|(region, _)| *region == name)
}

/// All zones of a region, in order.
pub fn zones_of(region: &str) -> Vec<String> {
    let letters = REGIONS.iter().find(|(name, _)| *name == region).map_or("", |(_, letters)| letters);
    letters.chars().map(|letter| format!("{region}-{letter}")).collect()
}

/// All regions, in order.
pub fn regions() -> impl Iterator<Item = &'static str> {
    REGIONS.iter().map(|(name, _)| *name)
}

/// Whether there is such a zone.
pub fn is_zone(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(region, _)| zones_of(region).iter().any(|zone| zone == name))
}

/// The region of a zone, or the region itself.
pub fn region_of(location: &str) -> &str {
    match location.rsplit_once('-') {
        Some((region, _)) if is_zone(location) => region,
        _ => location,
    }
}

/// A machine type.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// `n1-standard-4`.
    pub name: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mb: u64,
    /// TPU chips per host, 0 without TPU.
    pub tpu_chips: u32,
}

impl Machine {
    /// `n1`, `e2`, `ct6e`.
    pub fn family(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }
}

/// Families with a shape that follows from the name: MiB per virtual CPU for standard, highmem, highcpu, and
/// the sizes there are.
const FAMILIES: &[(&str, [u64; 3], &[u32])] = &[
    ("n1", [3840, 6656, 922], &[1, 2, 4, 8, 16, 32, 64, 96]),
    ("n2", [4096, 8192, 1024], &[2, 4, 8, 16, 32, 48, 64, 80, 96, 128]),
    ("n2d", [4096, 8192, 1024], &[2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224]),
    ("e2", [4096, 8192, 1024], &[2, 4, 8, 16, 32]),
    ("c3", [4096, 8192, 2048], &[4, 8, 22, 44, 88, 176]),
    ("n4", [4096, 8192, 2048], &[2, 4, 8, 16, 32, 48, 64, 80]),
    ("g2", [4096, 0, 0], &[4, 8, 12, 16, 24, 32, 48, 96]),
];

/// The machine type of that name, if the zone has it.
pub fn machine(name: &str, zone: &str) -> Option<Machine> {
    let make = |cpus, memory_mb, tpu_chips| Machine { name: name.to_owned(), cpus, memory_mb, tpu_chips };
    if !is_zone(zone) {
        return None;
    }
    // vcpu and memory of ct6e-standard-{1t,8t}: public code; 180 vcpu and 720 GB of 4t: not verified.
    let tpu = match name {
        "ct6e-standard-1t" => Some(make(44, 176 << 10, 1)),
        "ct6e-standard-4t" => Some(make(180, 720 << 10, 4)),
        "ct6e-standard-8t" => Some(make(180, 1440 << 10, 8)),
        _ => None,
    };
    if tpu.is_some() {
        return tpu.filter(|_| V6E.split(' ').any(|z| z == zone));
    }
    if NO_E2.split(' ').any(|z| z == zone) {
        return None;
    }
    let shared = match name {
        "e2-micro" => Some(make(2, 1024, 0)),
        "e2-small" => Some(make(2, 2048, 0)),
        "e2-medium" => Some(make(2, 4096, 0)),
        "f1-micro" => Some(make(1, 614, 0)),
        "g1-small" => Some(make(1, 1740, 0)),
        _ => None,
    };
    if shared.is_some() {
        return shared;
    }
    // Machines with GPUs of their own are where those are.
    if own_gpus(name).is_some() && !GPUS.iter().any(|gpu| gpu.fits(name) && gpu.is_in(zone)) {
        return None;
    }
    if let Some((_, cpus, memory_mb)) = built_in(name) {
        return Some(make(cpus, memory_mb, 0));
    }
    let mut parts = name.splitn(3, '-');
    let (family, class, size) = (parts.next()?, parts.next()?, parts.next()?);
    let size: u32 = size.parse().ok()?;
    let (_, memory, sizes) = FAMILIES.iter().find(|(name, ..)| *name == family)?;
    let per_cpu = match class {
        "standard" => memory[0],
        "highmem" => memory[1],
        "highcpu" => memory[2],
        _ => return None,
    };
    (per_cpu > 0 && sizes.contains(&size)).then(|| make(size, per_cpu * u64::from(size), 0))
}

/// The names of all machine types of a zone.
pub fn machines(zone: &str) -> Vec<Machine> {
    let mut names: Vec<String> =
        ["e2-micro", "e2-small", "e2-medium", "f1-micro", "g1-small"].map(str::to_owned).into();
    for (family, _, sizes) in FAMILIES {
        for class in ["standard", "highmem", "highcpu"] {
            names.extend(sizes.iter().map(|size| format!("{family}-{class}-{size}")));
        }
    }
    for (class, sizes) in
        [("a2-highgpu", "1 2 4 8"), ("a2-megagpu", "16"), ("a2-ultragpu", "1 2 4 8"), ("a3-highgpu", "1 2 4 8")]
    {
        names.extend(sizes.split(' ').map(|count| format!("{class}-{count}g")));
    }
    names.extend(["1t", "4t", "8t"].map(|t| format!("ct6e-standard-{t}")));
    names.iter().filter_map(|name| machine(name, zone)).collect()
}

/// A type of GPU.
#[derive(Debug)]
pub struct Gpu {
    /// GKE's name of it.
    pub name: &'static str,
    /// What `acceleratorTypes` says of it.
    pub description: &'static str,
    /// The machine types that carry it, by prefix.
    pub machines: &'static str,
    /// Where it is; for all but the T4 only a part of the zones.
    zones: &'static str,
    /// Its quota on demand, and as spot.
    pub quota: [&'static str; 2],
}

/// All GPUs. Machine types and zones of those beside the T4 follow Compute Engine's page of GPU locations; they are
/// not checked against the live API.
pub const GPUS: &[Gpu] = &[
    Gpu {
        name: "nvidia-tesla-t4",
        description: "NVIDIA T4",
        machines: "n1-",
        zones: T4,
        quota: ["NVIDIA_T4_GPUS", "PREEMPTIBLE_NVIDIA_T4_GPUS"],
    },
    Gpu {
        name: "nvidia-l4",
        description: "NVIDIA L4",
        machines: "g2-",
        zones: "us-central1-a us-central1-b us-central1-c us-east1-b us-east4-a us-west1-a europe-west4-a europe-west4-b \
                europe-west4-c asia-southeast1-b",
        quota: ["NVIDIA_L4_GPUS", "PREEMPTIBLE_NVIDIA_L4_GPUS"],
    },
    Gpu {
        name: "nvidia-tesla-v100",
        description: "NVIDIA V100",
        machines: "n1-",
        zones: "us-central1-a us-central1-b us-central1-c us-central1-f us-west1-a us-west1-b europe-west4-a europe-west4-b \
                europe-west4-c asia-east1-c",
        quota: ["NVIDIA_V100_GPUS", "PREEMPTIBLE_NVIDIA_V100_GPUS"],
    },
    Gpu {
        name: "nvidia-tesla-p100",
        description: "NVIDIA P100",
        machines: "n1-",
        zones: "us-central1-c us-central1-f us-east1-b us-east1-c us-west1-a us-west1-b europe-west1-b europe-west1-d \
                europe-west4-a asia-east1-a asia-east1-c",
        quota: ["NVIDIA_P100_GPUS", "PREEMPTIBLE_NVIDIA_P100_GPUS"],
    },
    Gpu {
        name: "nvidia-tesla-a100",
        description: "NVIDIA A100 40GB",
        machines: "a2-highgpu- a2-megagpu-",
        zones: "us-central1-a us-central1-b us-central1-c us-central1-f us-east1-b us-west1-b europe-west4-a \
                europe-west4-b asia-northeast1-a asia-southeast1-c",
        quota: ["NVIDIA_A100_GPUS", "PREEMPTIBLE_NVIDIA_A100_GPUS"],
    },
    Gpu {
        name: "nvidia-a100-80gb",
        description: "NVIDIA A100 80GB",
        machines: "a2-ultragpu-",
        zones: "us-central1-a us-central1-c us-east4-c us-east5-b europe-west4-a asia-southeast1-c",
        quota: ["NVIDIA_A100_80GB_GPUS", "PREEMPTIBLE_NVIDIA_A100_80GB_GPUS"],
    },
    Gpu {
        name: "nvidia-h100-80gb",
        description: "NVIDIA H100 80GB",
        machines: "a3-highgpu-",
        zones: "us-central1-a us-east4-a us-east5-a us-west1-a europe-west4-b europe-west4-c asia-southeast1-b",
        quota: ["NVIDIA_H100_GPUS", "PREEMPTIBLE_NVIDIA_H100_GPUS"],
    },
];

impl Gpu {
    /// The type of that name.
    pub fn find(name: &str) -> Option<&'static Gpu> {
        GPUS.iter().find(|gpu| gpu.name == name)
    }

    /// Whether a machine type carries it.
    pub fn fits(&self, machine: &str) -> bool {
        self.machines.split(' ').any(|prefix| machine.starts_with(prefix))
    }

    fn is_in(&self, zone: &str) -> bool {
        self.zones.split_whitespace().any(|z| z == zone)
    }
}

/// GPUs that come with a machine type, virtual CPUs and memory in MiB of those whose name says nothing of them.
fn built_in(machine: &str) -> Option<(u32, u32, u64)> {
    let (class, size) = machine.rsplit_once('-')?;
    let (per_gpu, per_gpu_gb, sizes): (u32, u64, &[u32]) = match class {
        "a2-highgpu" => (12, 85, &[1, 2, 4, 8]),
        "a2-megagpu" => (6, 85, &[16]),
        "a2-ultragpu" => (12, 170, &[1, 2, 4, 8]),
        "a3-highgpu" => (26, 234, &[1, 2, 4, 8]),
        _ => return None,
    };
    let count = size.strip_suffix('g')?.parse::<u32>().ok().filter(|count| sizes.contains(count))?;
    Some((count, per_gpu * count, (per_gpu_gb * u64::from(count)) << 10))
}

/// How many GPUs a machine type brings; `None` where one asks for some number of them.
pub fn own_gpus(machine: &str) -> Option<u32> {
    if let Some((count, ..)) = built_in(machine) {
        return Some(count);
    }
    match machine.strip_prefix("g2-standard-")? {
        "24" => Some(2),
        "48" => Some(4),
        "96" => Some(8),
        _ => Some(1),
    }
}

/// Whether the zone has that accelerator type.
pub fn has_accelerator(name: &str, zone: &str) -> bool {
    Gpu::find(name).is_some_and(|gpu| gpu.is_in(zone))
}

/// The accelerator types of a zone, with a description.
pub fn accelerators(zone: &str) -> Vec<(&'static str, &'static str)> {
    GPUS.iter().filter(|gpu| gpu.is_in(zone)).map(|gpu| (gpu.name, gpu.description)).collect()
}

/// Hosts of a TPU topology on a machine type: product of the sides over the chips of a host.
pub fn tpu_hosts(machine: &Machine, topology: &str) -> Option<u32> {
    let chips = topology.split('x').map(|side| side.parse::<u32>().ok()).product::<Option<u32>>()?;
    let valid = match machine.tpu_chips {
        1 => chips == 1,
        4 => ["2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"].contains(&topology),
        8 => topology == "2x4",
        _ => false,
    };
    valid.then(|| chips / machine.tpu_chips)
}

/// The topology of one host of a TPU machine type.
pub fn host_topology(machine: &Machine) -> &'static str {
    match machine.tpu_chips {
        1 => "1x1",
        4 => "2x2",
        _ => "2x4",
    }
}

/// A release channel with its default version and the node image of that version.
#[derive(Debug)]
pub struct Channel {
    /// `REGULAR`.
    pub name: &'static str,
    /// The default version.
    pub version: &'static str,
}

/// Versions seen in answers of the real API in summer 2026.
pub const CHANNELS: &[Channel] = &[
    Channel { name: "RAPID", version: "1.35.6-gke.1127000" },
    Channel { name: "REGULAR", version: "1.35.5-gke.1241004" },
    Channel { name: "STABLE", version: "1.34.9-gke.1131000" },
];

/// All versions on offer, newest first.
pub const VERSIONS: &[&str] =
    &["1.35.6-gke.1127000", "1.35.5-gke.1241004", "1.34.9-gke.1131000", "1.34.9-gke.1065000", "1.33.12-gke.1098000"];

/// The newest version that a version or alias (`1.34`, `latest`, `-`) names.
pub fn resolve_version(wanted: &str) -> Option<&'static str> {
    match wanted {
        "" | "-" => CHANNELS.iter().find(|c| c.name == "REGULAR").map(|c| c.version),
        "latest" => VERSIONS.first().copied(),
        _ => VERSIONS.iter().copied().find(|version| {
            *version == wanted
                || version.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('-'))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_where() {
        assert_eq!(machine("n1-standard-4", "us-central1-a").expect("there").memory_mb, 15360);
        assert!(machine("n1-standard-3", "us-central1-a").is_none());
        assert!(machine("e2-standard-4", "us-central2-b").is_none());
        assert!(machine("ct6e-standard-4t", "us-central1-a").is_none());
        let tpu = machine("ct6e-standard-4t", "europe-west4-a").expect("there");
        assert_eq!((tpu_hosts(&tpu, "2x2"), tpu_hosts(&tpu, "4x4"), tpu_hosts(&tpu, "3x3")), (Some(1), Some(4), None));
        assert_eq!(resolve_version("1.34"), Some("1.34.9-gke.1131000"));
        assert_eq!(resolve_version("1.3"), None);
        assert_eq!(region_of("us-east1-d"), "us-east1");
        let a100 = machine("a2-highgpu-4g", "europe-west4-a").expect("there");
        assert_eq!((a100.cpus, own_gpus(&a100.name)), (48, Some(4)));
        assert!(
            machine("a2-highgpu-3g", "europe-west4-a").is_none() && machine("g2-highmem-4", "us-west1-a").is_none()
        );
        assert!(machine("a3-highgpu-8g", "europe-west4-a").is_none());
        for zone in GPUS.iter().flat_map(|gpu| gpu.zones.split_whitespace()).chain(V6E.split(' ')) {
            assert!(is_zone(zone), "{zone}");
        }
    }
}
