//! Changes of a living cluster: PUT with `desired…` fields, and the `:set…` verbs.

use serde_json::{Map, Value as Json, json};

use super::operations::{self, Act, Draft, Operation};
use super::{CLUSTERS, ClusterName, clusters, defaults, durations, node_pools, rules};
use crate::sim::google::Google;
use crate::sim::google::answer::Refusal;

/// A `desired…` field and where it goes.
enum Goes {
    /// Laid on this top-level message.
    Merge(&'static str),
    /// Replaces this top-level field.
    Replace(&'static str),
    /// Replaces this field of a message.
    Inside(&'static str, &'static str),
}

/// Where each `desired…` field that is simply stored goes.
const FIELDS: &[(&str, Goes)] = &[
    ("desiredAddonsConfig", Goes::Merge("addonsConfig")),
    ("desiredAuthenticatorGroupsConfig", Goes::Replace("authenticatorGroupsConfig")),
    ("desiredBinaryAuthorization", Goes::Replace("binaryAuthorization")),
    ("desiredClusterAutoscaling", Goes::Merge("autoscaling")),
    ("desiredControlPlaneEndpointsConfig", Goes::Merge("controlPlaneEndpointsConfig")),
    ("desiredCostManagementConfig", Goes::Replace("costManagementConfig")),
    ("desiredDatabaseEncryption", Goes::Merge("databaseEncryption")),
    ("desiredDatapathProvider", Goes::Inside("networkConfig", "datapathProvider")),
    ("desiredDefaultSnatStatus", Goes::Inside("networkConfig", "defaultSnatStatus")),
    ("desiredDnsConfig", Goes::Inside("networkConfig", "dnsConfig")),
    (
        "desiredEnableCiliumClusterwideNetworkPolicy",
        Goes::Inside("networkConfig", "enableCiliumClusterwideNetworkPolicy"),
    ),
    ("desiredEnableFqdnNetworkPolicy", Goes::Inside("networkConfig", "enableFqdnNetworkPolicy")),
    ("desiredEnterpriseConfig", Goes::Merge("enterpriseConfig")),
    ("desiredFleet", Goes::Replace("fleet")),
    ("desiredGatewayApiConfig", Goes::Inside("networkConfig", "gatewayApiConfig")),
    ("desiredIdentityServiceConfig", Goes::Replace("identityServiceConfig")),
    ("desiredInTransitEncryptionConfig", Goes::Inside("networkConfig", "inTransitEncryptionConfig")),
    ("desiredIntraNodeVisibilityConfig", Goes::Merge("networkConfig")),
    ("desiredL4ilbSubsettingConfig", Goes::Merge("networkConfig")),
    ("desiredLocations", Goes::Replace("locations")),
    ("desiredLoggingConfig", Goes::Replace("loggingConfig")),
    ("desiredLoggingService", Goes::Replace("loggingService")),
    ("desiredMasterAuthorizedNetworksConfig", Goes::Replace("masterAuthorizedNetworksConfig")),
    ("desiredMeshCertificates", Goes::Replace("meshCertificates")),
    ("desiredMonitoringConfig", Goes::Merge("monitoringConfig")),
    ("desiredMonitoringService", Goes::Replace("monitoringService")),
    ("desiredNodePoolAutoConfigNetworkTags", Goes::Inside("nodePoolAutoConfig", "networkTags")),
    ("desiredNotificationConfig", Goes::Replace("notificationConfig")),
    ("desiredPodAutoscaling", Goes::Merge("podAutoscaling")),
    ("desiredPrivateClusterConfig", Goes::Merge("privateClusterConfig")),
    ("desiredRbacBindingConfig", Goes::Merge("rbacBindingConfig")),
    ("desiredReleaseChannel", Goes::Replace("releaseChannel")),
    ("desiredResourceUsageExportConfig", Goes::Replace("resourceUsageExportConfig")),
    ("desiredSecretManagerConfig", Goes::Replace("secretManagerConfig")),
    ("desiredSecurityPostureConfig", Goes::Merge("securityPostureConfig")),
    ("desiredServiceExternalIpsConfig", Goes::Inside("networkConfig", "serviceExternalIpsConfig")),
    ("desiredShieldedNodes", Goes::Replace("shieldedNodes")),
    ("desiredVerticalPodAutoscaling", Goes::Replace("verticalPodAutoscaling")),
    ("desiredWorkloadIdentityConfig", Goes::Replace("workloadIdentityConfig")),
];

/// PUT of a cluster: `{"update": {"desiredX": …}}`.
///
/// # Errors
/// 404; 400 for an empty or unknown update; 400 while something else runs.
pub fn update(google: &Google, name: &ClusterName, request: Json) -> Result<Operation, Refusal> {
    let document = operations::require_cluster(google, name)?;
    let resource = &document["resource"];
    let update = request["update"].as_object().cloned().unwrap_or_default();
    let update: Map<String, Json> = update.into_iter().filter(|(key, _)| key != "etag").collect();
    if let Some(etag) = request["update"]["etag"].as_str().filter(|etag| Some(*etag) != resource["etag"].as_str()) {
        return Err(stale(etag));
    }
    if update.is_empty() {
        return Err(Refusal::invalid("Must specify a field to update."));
    }
    let pool = update.get("desiredNodePoolId").and_then(Json::as_str);
    if let Some(autoscaling) = update.get("desiredNodePoolAutoscaling") {
        let only = node_pools::only_pool(google, name);
        let pool = pool
            .map(str::to_owned)
            .or(only)
            .ok_or_else(|| Refusal::invalid("Update.desired_node_pool_id must be set."))?;
        return node_pools::set_autoscaling(google, name, &pool, autoscaling);
    }
    if let Some(version) = update.get("desiredNodeVersion").and_then(Json::as_str) {
        let only = node_pools::only_pool(google, name);
        let pool = pool
            .map(str::to_owned)
            .or(only)
            .ok_or_else(|| Refusal::invalid("Update.desired_node_pool_id must be set."))?;
        return node_pools::update(google, name, &pool, json!({"nodeVersion": version}));
    }
    if let Some(version) = update.get("desiredMasterVersion").and_then(Json::as_str) {
        return update_master(google, name, version);
    }
    let mut change = Map::new();
    for (field, value) in &update {
        let Some((_, goes)) = FIELDS.iter().find(|(name, _)| name == field) else {
            return Err(Refusal::invalid(format!("Updating {field} is not supported by this simulator.")));
        };
        let slot = |field: &str| change.get(field).unwrap_or(&resource[field]).clone();
        let (field, value) = match goes {
            Goes::Replace(field) => (field, value.clone()),
            Goes::Merge(field) => {
                let mut merged = slot(field);
                if merged.is_null() {
                    merged = json!({});
                }
                defaults::lay(&mut merged, value);
                (field, merged)
            }
            Goes::Inside(field, inner) => {
                let mut merged = slot(field);
                merged[*inner] = value.clone();
                (field, merged)
            }
        };
        change.insert((*field).to_owned(), value);
    }
    operations::admit(google, name, None)?;
    Ok(reconciling(google, name, "UPDATE_CLUSTER", durations::UPDATE_CLUSTER, Json::Object(change)))
}

fn stale(etag: &str) -> Refusal {
    Refusal::new(
        409,
        "ABORTED",
        "aborted",
        format!("The etag \"{etag}\" does not match the current state of the resource."),
    )
}

fn reconciling(google: &Google, name: &ClusterName, kind: &'static str, seconds: u64, change: Json) -> Operation {
    clusters::change(google, name, &json!({"status": "RECONCILING"}));
    let draft = Draft::new(kind).after(seconds, Act::ChangeCluster(change)).after(seconds, Act::Status(String::new()));
    operations::start(google, name, None, draft)
}

fn update_master(google: &Google, name: &ClusterName, version: &str) -> Result<Operation, Refusal> {
    let version = rules::version(version, "Master")?;
    operations::admit(google, name, None)?;
    let change = json!({"currentMasterVersion": version});
    Ok(reconciling(google, name, "UPGRADE_MASTER", durations::RESTART_CONTROL_PLANE, change))
}

/// POST on `clusters/C:verb`. `body` brings the request into canonical form as the named message.
///
/// # Errors
/// 404 for the cluster or the verb; the verb's refusals; 400 while something else runs.
pub fn verb(
    google: &Google,
    name: &ClusterName,
    verb: &str,
    body: impl FnOnce(&str) -> Result<Json, Refusal>,
) -> Result<Operation, Refusal> {
    let cluster = operations::require_cluster(google, name);
    let store = |field: &'static str, source: &'static str, message: &'static str| (field, source, message);
    let (field, source, message) = match verb {
        "setResourceLabels" => return set_labels(google, name, &body("SetLabelsRequest")?),
        "setMaintenancePolicy" => return set_maintenance(google, name, &body("SetMaintenancePolicyRequest")?),
        "updateMaster" => {
            let request = body("UpdateMasterRequest")?;
            cluster?;
            return update_master(google, name, request["masterVersion"].as_str().unwrap_or_default());
        }
        "setAddons" => {
            let request = body("SetAddonsConfigRequest")?;
            return update(google, name, json!({"update": {"desiredAddonsConfig": request["addonsConfig"]}}));
        }
        "setLocations" => store("locations", "locations", "SetLocationsRequest"),
        "setLogging" => store("loggingService", "loggingService", "SetLoggingServiceRequest"),
        "setMonitoring" => store("monitoringService", "monitoringService", "SetMonitoringServiceRequest"),
        "setNetworkPolicy" => store("networkPolicy", "networkPolicy", "SetNetworkPolicyRequest"),
        "setLegacyAbac" => {
            let request = body("SetLegacyAbacRequest")?;
            cluster?;
            operations::admit(google, name, None)?;
            let abac = if request["enabled"] == true { json!({"enabled": true}) } else { json!({}) };
            return Ok(reconciling(
                google,
                name,
                "UPDATE_CLUSTER",
                durations::UPDATE_CLUSTER,
                json!({"legacyAbac": abac}),
            ));
        }
        _ => return Err(Refusal::not_found("Method not found.")),
    };
    let request = body(message)?;
    cluster?;
    operations::admit(google, name, None)?;
    let change = json!({ field: request[source] });
    Ok(reconciling(google, name, "UPDATE_CLUSTER", durations::UPDATE_CLUSTER, change))
}

/// Replaces all labels; the fingerprint must be the current one.
fn set_labels(google: &Google, name: &ClusterName, request: &Json) -> Result<Operation, Refusal> {
    let document = operations::require_cluster(google, name)?;
    let labels = request.get("resourceLabels").cloned().unwrap_or(Json::Null);
    rules::labels(&labels)?;
    if request["labelFingerprint"] != document["resource"]["labelFingerprint"] {
        return Err(Refusal::precondition("Labels could not be set due to fingerprint mismatch."));
    }
    operations::admit(google, name, None)?;
    let change = json!({"resourceLabels": labels, "labelFingerprint": clusters::tag(google)});
    Ok(reconciling(google, name, "UPDATE_CLUSTER", durations::UPDATE_CLUSTER / 2, change))
}

fn set_maintenance(google: &Google, name: &ClusterName, request: &Json) -> Result<Operation, Refusal> {
    let document = operations::require_cluster(google, name)?;
    let current = &document["resource"]["maintenancePolicy"]["resourceVersion"];
    let given = &request["maintenancePolicy"]["resourceVersion"];
    if given.is_string() && given != current {
        return Err(stale(given.as_str().unwrap_or_default()));
    }
    operations::admit(google, name, None)?;
    let mut policy = request["maintenancePolicy"].clone();
    if policy.is_null() {
        policy = json!({});
    }
    policy["resourceVersion"] = json!(clusters::tag(google));
    Ok(reconciling(google, name, "UPDATE_CLUSTER", durations::UPDATE_CLUSTER / 2, json!({"maintenancePolicy": policy})))
}

/// Whether the cluster exists and is not going away.
pub fn is_alive(google: &Google, name: &ClusterName) -> bool {
    google.world.get(CLUSTERS, &name.key()).is_some_and(|d| d["resource"]["status"] != "STOPPING")
}
