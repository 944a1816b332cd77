//! What GKE fills in: the resource that follows from a request, and the server's configuration.
//!
//! Values are those of recorded answers of the real API (versions 1.34 and 1.35, summer 2026). Identity
//! (links, ids, groups) comes from the callers.

use serde_json::{Map, Value as Json, json};

use super::ClusterName;
use crate::sim::google::offers;

/// The machine type of a pool that names none.
pub const MACHINE_TYPE: &str = "e2-medium";

/// The scopes of a pool that names none.
const SCOPES: [&str; 6] = [
    "https://www.googleapis.com/auth/devstorage.read_only",
    "https://www.googleapis.com/auth/logging.write",
    "https://www.googleapis.com/auth/monitoring",
    "https://www.googleapis.com/auth/service.management.readonly",
    "https://www.googleapis.com/auth/servicecontrol",
    "https://www.googleapis.com/auth/trace.append",
];

/// What identifies a cluster in its own resource.
#[derive(Clone, Debug)]
pub struct Identity {
    /// 64 hexadecimal digits.
    pub id: String,
    /// 36 hexadecimal digits that start with the id's first eight, in the DNS endpoint.
    pub dns: String,
    /// Project number.
    pub number: String,
    /// Second octet of the pod range, a multiple of four.
    pub pods: u8,
    /// `2026-11-22T11:00:00+00:00`.
    pub created: String,
    /// Etag and fingerprint, eight characters of base64.
    pub tag: String,
}

impl Identity {
    /// The first eight digits of the id.
    pub fn short(&self) -> &str {
        &self.id[..8]
    }
}

/// Lays `over` on `base`: objects are merged, everything else replaced.
pub fn lay(base: &mut Json, over: &Json) {
    match (base, over) {
        (Json::Object(base), Json::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(key) {
                    Some(slot) => lay(slot, value),
                    None => {
                        base.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn remove(value: &mut Json, path: &[&str]) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut at = value;
    for part in parents {
        match at.get_mut(*part) {
            Some(inner) => at = inner,
            None => return,
        }
    }
    if let Some(object) = at.as_object_mut() {
        object.remove(*last);
    }
}

/// The last segment of a path or the name itself.
fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The cluster that a create request makes, without pools, status and links. `request` is valid.
pub fn cluster(name: &ClusterName, request: &Json, identity: &Identity, version: &str, zones: &[String]) -> Json {
    let project = &name.place.project;
    let location = &name.place.location;
    let region = offers::region_of(location);
    let network = last(request["network"].as_str().filter(|n| !n.is_empty()).unwrap_or("default")).to_owned();
    let subnetwork = last(request["subnetwork"].as_str().filter(|n| !n.is_empty()).unwrap_or("default")).to_owned();
    let channel = match request["releaseChannel"]["channel"].as_str() {
        Some(channel) => channel.to_owned(),
        // A version prefix without a channel put the recorded cluster in STABLE.
        None if request["initialClusterVersion"].as_str().is_some_and(|v| v != "-" && v != "latest") => {
            "STABLE".to_owned()
        }
        None => "REGULAR".to_owned(),
    };
    let minor_135 = version.starts_with("1.35");
    let range = format!("10.{}.0.0/14", identity.pods);
    let block = |wanted: &Json, default: &str| match wanted.as_str() {
        Some(block) if !block.starts_with('/') && !block.is_empty() => block.to_owned(),
        _ => default.to_owned(),
    };
    let pods = block(&request["ipAllocationPolicy"]["clusterIpv4CidrBlock"], &range);
    let pods = block(&request["clusterIpv4Cidr"], &pods);
    let services = block(&request["ipAllocationPolicy"]["servicesIpv4CidrBlock"], "34.118.224.0/20");
    let secondary = format!("gke-{}-pods-{}", name.name, identity.short());
    let mut out = json!({
        "addonsConfig": {
            "dnsCacheConfig": {"enabled": true},
            "gcePersistentDiskCsiDriverConfig": {"enabled": true},
            "kubernetesDashboard": {"disabled": true},
            "networkPolicyConfig": {"disabled": true},
        },
        "anonymousAuthenticationConfig": {"mode": if minor_135 { "LIMITED" } else { "ENABLED" }},
        "autopilot": {},
        "autoscaling": {
            "autoprovisioningNodePoolDefaults": {
                "imageType": "COS_CONTAINERD",
                "management": {"autoRepair": true, "autoUpgrade": true},
                "oauthScopes": SCOPES,
                "serviceAccount": "default",
            },
            "autoscalingProfile": "BALANCED",
        },
        "binaryAuthorization": {},
        "clusterTelemetry": {"type": "ENABLED"},
        "controlPlaneEgress": {"mode": "VIA_CONTROL_PLANE"},
        "controlPlaneEndpointsConfig": {
            "dnsEndpointConfig": {
                "allowExternalTraffic": false,
                "enableK8sCertsViaDns": false,
                "enableK8sTokensViaDns": false,
                "endpoint": format!("gke-{}-{}.{location}.gke.goog", identity.dns, identity.number),
            },
            "ipEndpointsConfig": {
                "authorizedNetworksConfig": {"gcpPublicCidrsAccessEnabled": true},
                "enablePublicEndpoint": true,
                "enabled": true,
                "privateEndpoint": "10.128.0.2",
            },
        },
        "databaseEncryption": {"currentState": "CURRENT_STATE_DECRYPTED", "state": "DECRYPTED"},
        "defaultMaxPodsConstraint": {"maxPodsPerNode": "110"},
        "enterpriseConfig": {"clusterTier": "STANDARD"},
        "ipAllocationPolicy": {
            "networkTierConfig": {"networkTier": "NETWORK_TIER_DEFAULT"},
            "podCidrOverprovisionConfig": {},
            "stackType": "IPV4",
        },
        "legacyAbac": {},
        "loggingConfig": {"componentConfig": {"enableComponents": ["SYSTEM_COMPONENTS", "WORKLOADS"]}},
        "loggingService": "logging.googleapis.com/kubernetes",
        "maintenancePolicy": {},
        "master": {},
        "masterAuth": {"clientCertificateConfig": {}},
        "masterAuthorizedNetworksConfig": {"gcpPublicCidrsAccessEnabled": true},
        "monitoringConfig": {
            "advancedDatapathObservabilityConfig": {},
            "componentConfig": {"enableComponents": [
                "SYSTEM_COMPONENTS", "STORAGE", "HPA", "POD", "DAEMONSET", "DEPLOYMENT", "STATEFULSET", "CADVISOR",
                "KUBELET", "DCGM", "JOBSET",
            ]},
            "managedPrometheusConfig": {"enabled": true},
        },
        "monitoringService": "monitoring.googleapis.com/kubernetes",
        "networkConfig": {"defaultSnatStatus": {}, "serviceExternalIpsConfig": {}},
        "nodePoolAutoConfig": {"nodeKubeletConfig": {"insecureKubeletReadonlyPortEnabled": false}},
        "nodePoolDefaults": {"nodeConfigDefaults": {
            "loggingConfig": {"variantConfig": {"variant": "DEFAULT"}},
            "nodeKubeletConfig": {"insecureKubeletReadonlyPortEnabled": false},
        }},
        "notificationConfig": {"pubsub": {}},
        "podAutoscaling": {"hpaProfile": "PERFORMANCE"},
        "privateCluster": true,
        "privateClusterConfig": {"privateEndpoint": "10.128.0.2"},
        "protectConfig": {
            "workloadConfig": {"auditMode": "BASIC"},
            "workloadVulnerabilityMode": "WORKLOAD_VULNERABILITY_MODE_UNSPECIFIED",
        },
        "rbacBindingConfig": {
            "enableInsecureBindingSystemAuthenticated": true,
            "enableInsecureBindingSystemUnauthenticated": true,
        },
        "securityPostureConfig": {"mode": "BASIC", "vulnerabilityMode": "VULNERABILITY_MODE_UNSPECIFIED"},
        "shieldedNodes": {"enabled": true},
        "userManagedKeysConfig": {},
    });
    if minor_135 {
        out["addonsConfig"]["nodeReadinessConfig"] = json!({});
        out["nodeCreationConfig"] = json!({"nodeCreationMode": "VIA_KUBELET"});
    }
    let mut asked = request.clone();
    for field in ["nodePools", "nodeConfig", "initialNodeCount", "instanceGroupUrls", "status"] {
        remove(&mut asked, &[field]);
    }
    lay(&mut out, &asked);
    drop_zeros(&mut out);
    for path in [&["maintenancePolicy", "window"][..], &["networkPolicy"], &["autopilot", "enabled"]] {
        let empty = path.iter().fold(&out, |at, part| &at[*part]).as_object().is_none_or(Map::is_empty);
        if empty {
            remove(&mut out, path);
        }
    }
    remove(&mut out, &["controlPlaneEndpointsConfig", "ipEndpointsConfig", "globalAccess"]);
    remove(&mut out, &["controlPlaneEndpointsConfig", "ipEndpointsConfig", "privateEndpointSubnetwork"]);
    let own = json!({
        "name": name.name,
        "location": location,
        "zone": location,
        "locations": zones,
        "id": identity.id,
        "createTime": identity.created,
        "network": network,
        "subnetwork": subnetwork,
        "networkConfig": {
            "network": format!("projects/{project}/global/networks/{network}"),
            "subnetwork": format!("projects/{project}/regions/{region}/subnetworks/{subnetwork}"),
        },
        "clusterIpv4Cidr": pods,
        "servicesIpv4Cidr": services,
        "ipAllocationPolicy": {
            "clusterIpv4Cidr": pods,
            "clusterIpv4CidrBlock": pods,
            "clusterSecondaryRangeName": secondary,
            "servicesIpv4Cidr": services,
            "servicesIpv4CidrBlock": services,
            "useIpAliases": true,
        },
        "initialClusterVersion": version,
        "currentMasterVersion": version,
        "currentNodeVersion": version,
        "releaseChannel": {"channel": channel},
        "maintenancePolicy": {"resourceVersion": identity.short()},
        "etag": identity.tag,
        "labelFingerprint": identity.tag,
    });
    lay(&mut out, &own);
    out
}

/// Leaves out `false` and `0` where the client spelled out a default that answers do not show.
fn drop_zeros(cluster: &mut Json) {
    for path in [
        &["autopilot", "enabled"][..],
        &["autoscaling", "enableNodeAutoprovisioning"],
        &["binaryAuthorization", "enabled"],
        &["legacyAbac", "enabled"],
        &["networkPolicy", "enabled"],
        &["master", "enabled"],
    ] {
        if path.iter().fold(&*cluster, |at, part| &at[*part]) == &json!(false) {
            remove(cluster, path);
        }
    }
}

/// The pool that a create request makes, without status, links, groups and etag. `request` is valid.
pub fn node_pool(cluster: &Json, request: &Json, zones: &[String], version: &str) -> Json {
    let config = &request["config"];
    let machine_type = config["machineType"].as_str().unwrap_or(MACHINE_TYPE);
    let is_tpu = machine_type.starts_with("ct");
    let disk_type = config["diskType"].as_str().or(config["bootDisk"]["diskType"].as_str());
    // v6e machines attach Hyperdisk only.
    let disk_type = disk_type.unwrap_or(if is_tpu { "hyperdisk-balanced" } else { "pd-balanced" });
    let disk_gb = config["diskSizeGb"].as_i64();
    let disk_gb =
        disk_gb.or_else(|| config["bootDisk"]["sizeGb"].as_str()?.parse().ok()).unwrap_or(offers::BOOT_DISK_GB);
    let provisioning = match () {
        () if config["spot"] == true => "spot",
        () if config["preemptible"] == true => "preemptible",
        () if config["flexStart"] == true => "flex-start",
        () if config["reservationAffinity"]["consumeReservationType"] == "SPECIFIC_RESERVATION" => "reservation",
        () => "on-demand",
    };
    let mut out = json!({
        "config": {
            "bootDisk": {"diskType": disk_type, "sizeGb": disk_gb.to_string()},
            "diskSizeGb": disk_gb,
            "diskType": disk_type,
            "effectiveCgroupMode": "EFFECTIVE_CGROUP_MODE_V2",
            "imageType": "COS_CONTAINERD",
            "kubeletConfig": {"insecureKubeletReadonlyPortEnabled": false, "maxParallelImagePulls": 2},
            "machineType": machine_type,
            "metadata": {"disable-legacy-endpoints": "true"},
            "nodeImageConfig": {"image": node_image(version), "imageProject": "gke-node-images"},
            "oauthScopes": SCOPES,
            "resourceLabels": {"goog-gke-node-pool-provisioning-model": provisioning},
            "serviceAccount": "default",
            "shieldedInstanceConfig": {"enableIntegrityMonitoring": true},
            "windowsNodeConfig": {},
        },
        "maxPodsConstraint": {"maxPodsPerNode": "110"},
        "networkConfig": {
            "networkTierConfig": {"networkTier": "NETWORK_TIER_DEFAULT"},
            "podIpv4CidrBlock": cluster["clusterIpv4Cidr"],
            "podRange": cluster["ipAllocationPolicy"]["clusterSecondaryRangeName"],
            "subnetwork": cluster["networkConfig"]["subnetwork"],
        },
        "podIpv4CidrSize": 24,
        "upgradeSettings": {"maxSurge": 1, "strategy": "SURGE"},
    });
    let mut asked = request.clone();
    for field in ["locations", "version", "status", "instanceGroupUrls", "selfLink", "etag"] {
        remove(&mut asked, &[field]);
    }
    lay(&mut out, &asked);
    out["config"]["bootDisk"]["diskType"] = json!(disk_type);
    out["config"]["bootDisk"]["sizeGb"] = json!(disk_gb.to_string());
    if request.get("management").is_none() {
        out["management"] = json!({"autoRepair": true, "autoUpgrade": true});
    }
    out["locations"] = json!(zones);
    out["version"] = json!(version);
    // gcloud sends the topology alone; the placement of a multi-host slice is always compact.
    if out["placementPolicy"]["tpuTopology"].is_string() && out["placementPolicy"]["type"].is_null() {
        out["placementPolicy"]["type"] = json!("COMPACT");
    }
    if out["placementPolicy"].is_null() {
        remove(&mut out, &["placementPolicy"]);
    }
    out
}

/// The COS image of a version, named as Google names them.
pub fn node_image(version: &str) -> String {
    let compact: String = version.split('-').next().unwrap_or_default().split('.').collect();
    let gke = version.split("-gke.").nth(1).unwrap_or_default();
    let build = if version.starts_with("1.35.5") { "cos-125-19216-395-7" } else { "cos-125-19216-395-109" };
    format!("gke-{compact}-gke{gke}-{build}-c-pre")
}

/// `serverConfig`.
pub fn server_config() -> Json {
    let channels: Vec<Json> = offers::CHANNELS
        .iter()
        .map(|channel| {
            let minor = &channel.version[..4];
            let valid: Vec<_> = offers::VERSIONS.iter().filter(|v| v.starts_with(minor)).collect();
            json!({"channel": channel.name, "defaultVersion": channel.version, "validVersions": valid})
        })
        .collect();
    let default = offers::resolve_version("").unwrap_or_default();
    json!({
        "channels": channels,
        "defaultClusterVersion": default,
        "defaultImageType": "COS_CONTAINERD",
        "validImageTypes": ["COS_CONTAINERD", "UBUNTU_CONTAINERD", "WINDOWS_LTSC_CONTAINERD"],
        "validMasterVersions": offers::VERSIONS,
        "validNodeVersions": offers::VERSIONS,
    })
}
