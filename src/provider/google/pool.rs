//! Node pools as GKE's API has them: attributes to request, answer to attributes, change to calls.
//!
//! Shared by `gke.node_pool` and the system pool of `gke.cluster`. Pure but for [`nodes`] and
//! [`group_failure`], which ask Compute Engine.

use std::collections::BTreeMap;

use google_cloud_container_v1::model::node_pool::{PlacementPolicy, Status, UpgradeSettings, placement_policy};
use google_cloud_container_v1::model::{
    AcceleratorConfig, GPUDriverInstallationConfig, GcfsConfig, MaxPodsConstraint, NodeConfig, NodeLabels,
    NodeManagement, NodePool, NodePoolAutoscaling, NodeTaint, NodeTaints, Operation, ReservationAffinity,
    ResourceLabels, UpdateNodePoolRequest, WorkloadMetadataConfig, gpu_driver_installation_config::GPUDriverVersion,
    reservation_affinity, workload_metadata_config,
};

use super::client::GoogleClient;
use super::difference::taints;
use super::error::class_of_text;
use crate::env::clock::Timestamp;
use crate::resource::driver::Ownership;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::kind::Change;
use crate::value::{Map, Value};

/// The labels that mark what a stack makes on Google Cloud.
pub fn marks(ownership: &Ownership) -> BTreeMap<String, String> {
    BTreeMap::from([(STACK.to_owned(), ownership.stack.clone()), (MARK.to_owned(), ownership.id.clone())])
}

/// The label that holds the stack id.
pub const MARK: &str = "stackwright-id";

/// The label of clusters that holds until when the stack may live, Unix seconds.
pub const EXPIRES: &str = "stackwright-expires";

/// The label that holds the stack's name.
pub const STACK: &str = "stackwright-stack";

/// A text attribute.
pub fn text<'a>(attrs: &'a Value, key: &str) -> Option<&'a str> {
    attrs.get(key).and_then(Value::as_str)
}

/// A number attribute, as GKE's 32-bit fields take it.
pub fn number(attrs: &Value, key: &str) -> Option<i32> {
    attrs.get(key).and_then(Value::as_int).map(|number| i32::try_from(number).unwrap_or(i32::MAX))
}

/// The texts of a list attribute.
pub fn texts(attrs: &Value, key: &str) -> Vec<String> {
    attrs.get(key).and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::scalar_text).collect()
}

/// The texts of a map attribute.
pub fn text_map(attrs: &Value, key: &str) -> BTreeMap<String, String> {
    let map = attrs.get(key).and_then(Value::as_map).into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.scalar_text()?))).collect()
}

fn flag(attrs: &Value, key: &str) -> Option<bool> {
    attrs.get(key).and_then(Value::as_bool)
}

/// The pool to create.
pub fn build(attrs: &Value, ownership: &Ownership) -> NodePool {
    let mut config = NodeConfig::new()
        .set_machine_type(text(attrs, "machine_type").unwrap_or_default())
        .set_disk_size_gb(number(attrs, "disk_size_gb").unwrap_or_default())
        .set_disk_type(text(attrs, "disk_type").unwrap_or_default())
        .set_image_type(text(attrs, "image_type").unwrap_or_default())
        .set_service_account(text(attrs, "service_account").unwrap_or_default())
        .set_labels(text_map(attrs, "labels"))
        .set_taints(request_taints(&taints(attrs.get("taints"))))
        .set_spot(flag(attrs, "spot").unwrap_or_default());
    let scopes = texts(attrs, "oauth_scopes");
    // Without any scope nodes can neither pull from the project's registry nor write logs.
    config = config.set_oauth_scopes(match scopes.is_empty() {
        true => vec!["https://www.googleapis.com/auth/cloud-platform".to_owned()],
        false => scopes,
    });
    let mut labels = text_map(attrs, "resource_labels");
    labels.extend(marks(ownership));
    config = config.set_resource_labels(labels);
    if let Some(accelerator) = attrs.get("accelerator") {
        config = config.set_accelerators([accelerators(accelerator)]);
    }
    if flag(attrs, "flex_start") == Some(true) {
        config = config.set_flex_start(true);
    }
    if let Some(name) = text(attrs, "reservation") {
        config = config.set_reservation_affinity(reservation(name));
    }
    if let Some(on) = flag(attrs, "image_streaming") {
        config = config.set_gcfs_config(GcfsConfig::new().set_enabled(on));
    }
    if let Some(mode) = text(attrs, "workload_metadata") {
        config = config.set_workload_metadata_config(metadata(mode));
    }
    let mut pool = NodePool::new()
        .set_name(text(attrs, "name").unwrap_or_default())
        .set_initial_node_count(number(attrs, "nodes").unwrap_or_default())
        .set_locations(texts(attrs, "node_locations"))
        .set_version(text(attrs, "node_version").unwrap_or_default())
        .set_config(config)
        .set_management(management(attrs))
        .set_upgrade_settings(surge(attrs));
    if let Some(scale) = attrs.get("autoscale").filter(|scale| scale.as_map().is_some()) {
        pool = pool.set_autoscaling(autoscaling(scale));
    }
    if let Some(number) = attrs.get("max_pods_per_node").and_then(Value::as_int) {
        pool = pool.set_max_pods_constraint(MaxPodsConstraint::new().set_max_pods_per_node(number));
    }
    let topology = text(attrs, "tpu_topology");
    if topology.is_some() || text(attrs, "placement") == Some("compact") {
        let placement = PlacementPolicy::new()
            .set_type(placement_policy::Type::Compact)
            .set_tpu_topology(topology.unwrap_or_default());
        pool = pool.set_placement_policy(placement);
    }
    pool
}

fn metadata(mode: &str) -> WorkloadMetadataConfig {
    let mode = match mode {
        "gke" => workload_metadata_config::Mode::GkeMetadata,
        _ => workload_metadata_config::Mode::GceMetadata,
    };
    WorkloadMetadataConfig::new().set_mode(mode)
}

fn accelerators(accelerator: &Value) -> AcceleratorConfig {
    let config = AcceleratorConfig::new()
        .set_accelerator_type(text(accelerator, "type").unwrap_or_default())
        .set_accelerator_count(accelerator.get("count").and_then(Value::as_int).unwrap_or(1));
    let version = match text(accelerator, "gpu_driver") {
        Some("default") => GPUDriverVersion::Default,
        Some("latest") => GPUDriverVersion::Latest,
        Some("disabled") => GPUDriverVersion::InstallationDisabled,
        _ => return config,
    };
    config.set_gpu_driver_installation_config(GPUDriverInstallationConfig::new().set_gpu_driver_version(version))
}

fn reservation(name: &str) -> ReservationAffinity {
    let affinity = ReservationAffinity::new();
    match name {
        "none" => affinity.set_consume_reservation_type(reservation_affinity::Type::NoReservation),
        "any" => affinity.set_consume_reservation_type(reservation_affinity::Type::AnyReservation),
        name => affinity
            .set_consume_reservation_type(reservation_affinity::Type::SpecificReservation)
            .set_key("compute.googleapis.com/reservation-name")
            .set_values([name]),
    }
}

fn management(attrs: &Value) -> NodeManagement {
    // Flex-start nodes live for days only and GKE refuses to repair them.
    let repair = flag(attrs, "auto_repair").unwrap_or(flag(attrs, "flex_start") != Some(true));
    NodeManagement::new().set_auto_repair(repair).set_auto_upgrade(flag(attrs, "auto_upgrade").unwrap_or(true))
}

fn surge(attrs: &Value) -> UpgradeSettings {
    UpgradeSettings::new()
        .set_max_surge(number(attrs, "max_surge").unwrap_or(1))
        .set_max_unavailable(number(attrs, "max_unavailable").unwrap_or(0))
}

fn autoscaling(scale: &Value) -> NodePoolAutoscaling {
    NodePoolAutoscaling::new()
        .set_enabled(true)
        .set_min_node_count(number(scale, "min").unwrap_or_default())
        .set_max_node_count(number(scale, "max").unwrap_or_default())
}

fn request_taints(taints: &[Value]) -> Vec<NodeTaint> {
    let effect = |effect: &str| match effect {
        "NoSchedule" => "NO_SCHEDULE".to_owned(),
        "PreferNoSchedule" => "PREFER_NO_SCHEDULE".to_owned(),
        "NoExecute" => "NO_EXECUTE".to_owned(),
        other => other.to_owned(),
    };
    let taint = |taint: &Value| {
        NodeTaint::new()
            .set_key(text(taint, "key").unwrap_or_default())
            .set_value(text(taint, "value").unwrap_or_default())
            .set_effect(effect(text(taint, "effect").unwrap_or_default()).as_str())
    };
    taints.iter().map(taint).collect()
}

/// A pool's attributes as GKE shows them. `nodes` is what [`nodes`] counted, per zone.
pub fn attributes(pool: &NodePool, nodes: Option<i64>) -> Map {
    let mut attrs = Map::new();
    let mut put = |key: &str, value: Value| {
        attrs.insert(key.to_owned(), value);
    };
    put("name", pool.name.as_str().into());
    put("nodes", nodes.unwrap_or(i64::from(pool.initial_node_count)).into());
    put("node_version", pool.version.as_str().into());
    put("node_locations", list(&pool.locations));
    put("status", pool.status.name().unwrap_or("UNKNOWN").into());
    put("self_link", pool.self_link.as_str().into());
    put("instance_groups", list(&pool.instance_group_urls));
    if let Some(config) = &pool.config {
        put("machine_type", config.machine_type.as_str().into());
        put("disk_size_gb", i64::from(config.disk_size_gb).into());
        put("disk_type", config.disk_type.as_str().into());
        put("image_type", config.image_type.as_str().into());
        put("oauth_scopes", list(&config.oauth_scopes));
        put("service_account", config.service_account.as_str().into());
        put("labels", map(&config.labels));
        put("spot", config.spot.into());
        put("flex_start", config.flex_start.unwrap_or_default().into());
        put("image_streaming", config.gcfs_config.as_ref().is_some_and(|gcfs| gcfs.enabled).into());
        match config.workload_metadata_config.as_ref().map(|metadata| &metadata.mode) {
            Some(workload_metadata_config::Mode::GkeMetadata) => put("workload_metadata", "gke".into()),
            Some(workload_metadata_config::Mode::GceMetadata) => put("workload_metadata", "gce".into()),
            _ => {}
        }
        put("taints", Value::List(config.taints.iter().map(taint).collect()));
        if let Some(accelerator) = config.accelerators.first() {
            put("accelerator", accelerator_attributes(accelerator));
        }
        let others = config.resource_labels.iter().filter(|(key, _)| !key.starts_with("stackwright-"));
        put("resource_labels", map(others));
        if let Some(id) = config.resource_labels.get(MARK) {
            put("owner", id.as_str().into());
        }
        match config.reservation_affinity.as_ref().map(|affinity| (&affinity.consume_reservation_type, affinity)) {
            Some((reservation_affinity::Type::SpecificReservation, affinity)) => {
                put("reservation", affinity.values.first().cloned().unwrap_or_default().into());
            }
            Some((reservation_affinity::Type::NoReservation, _)) => put("reservation", "none".into()),
            Some((reservation_affinity::Type::AnyReservation, _)) => put("reservation", "any".into()),
            _ => {}
        }
    }
    if let Some(scale) = pool.autoscaling.as_ref().filter(|scale| scale.enabled) {
        let bounds = [("min", scale.min_node_count), ("max", scale.max_node_count)];
        let bounds = bounds.map(|(key, count)| (key.to_owned(), i64::from(count).into()));
        put("autoscale", Value::Map(bounds.into_iter().collect()));
    }
    if let Some(management) = &pool.management {
        put("auto_repair", management.auto_repair.into());
        put("auto_upgrade", management.auto_upgrade.into());
    }
    if let Some(settings) = &pool.upgrade_settings {
        put("max_surge", i64::from(settings.max_surge).into());
        put("max_unavailable", i64::from(settings.max_unavailable).into());
    }
    if let Some(constraint) = &pool.max_pods_constraint {
        put("max_pods_per_node", constraint.max_pods_per_node.into());
    }
    if let Some(placement) = &pool.placement_policy {
        if placement.r#type == placement_policy::Type::Compact {
            put("placement", "compact".into());
        }
        if !placement.tpu_topology.is_empty() {
            put("tpu_topology", placement.tpu_topology.as_str().into());
        }
    }
    attrs
}

fn accelerator_attributes(accelerator: &AcceleratorConfig) -> Value {
    let mut attrs = Map::new();
    attrs.insert("type".into(), accelerator.accelerator_type.as_str().into());
    attrs.insert("count".into(), accelerator.accelerator_count.into());
    let driver = accelerator.gpu_driver_installation_config.as_ref();
    let driver = driver.and_then(|config| config.gpu_driver_version.as_ref());
    let driver = match driver {
        Some(GPUDriverVersion::Default) => "default",
        Some(GPUDriverVersion::Latest) => "latest",
        Some(GPUDriverVersion::InstallationDisabled) => "disabled",
        _ => return Value::Map(attrs),
    };
    attrs.insert("gpu_driver".into(), driver.into());
    Value::Map(attrs)
}

fn taint(taint: &NodeTaint) -> Value {
    let effect = match taint.effect.name().unwrap_or_default() {
        "NO_SCHEDULE" => "NoSchedule",
        "PREFER_NO_SCHEDULE" => "PreferNoSchedule",
        "NO_EXECUTE" => "NoExecute",
        other => other,
    };
    let entries = [("key", taint.key.as_str()), ("value", taint.value.as_str()), ("effect", effect)];
    Value::Map(entries.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect())
}

/// A list of texts.
pub fn list(items: &[String]) -> Value {
    Value::List(items.iter().map(|item| item.as_str().into()).collect())
}

/// A map of texts.
pub fn map<'a>(items: impl IntoIterator<Item = (&'a String, &'a String)>) -> Value {
    Value::Map(items.into_iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect())
}

/// The stack id that a label of the pool holds.
pub fn owner(pool: &NodePool) -> Option<&String> {
    pool.config.as_ref().and_then(|config| config.resource_labels.get(MARK))
}

/// Whether a label marks the pool as this stack's.
pub fn is_ours(pool: &NodePool, ownership: &Ownership) -> bool {
    !ownership.id.is_empty() && owner(pool) == Some(&ownership.id)
}

/// The call that marks a pool as this stack's.
pub fn mark(pool: &NodePool, ownership: &Ownership) -> Step {
    let current = pool.config.as_ref().map(|config| config.resource_labels.clone()).unwrap_or_default();
    let mut labels = current.into_iter().collect::<BTreeMap<_, _>>();
    labels.extend(marks(ownership));
    Step::Put(Box::new(UpdateNodePoolRequest::new().set_resource_labels(ResourceLabels::new().set_labels(labels))))
}

/// One call that carries out part of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `:setSize`, nodes per zone.
    Size(i32),
    /// `:setAutoscaling`.
    Autoscale(NodePoolAutoscaling),
    /// `:setManagement`.
    Manage(NodeManagement),
    /// PUT of one group of fields.
    Put(Box<UpdateNodePoolRequest>),
}

/// The calls that carry out `changes` (paths relative to the pool), in the order to make them.
pub fn steps(desired: &Value, changes: &[Change], current: &NodePool) -> Vec<Step> {
    let changed = |keys: &[&str]| {
        changes.iter().any(|change| change.path.first().is_some_and(|first| keys.contains(&first.as_str())))
    };
    let put = |request: UpdateNodePoolRequest| Step::Put(Box::new(request));
    let update = UpdateNodePoolRequest::new;
    let config = current.config.clone().unwrap_or_default();
    let mut steps = Vec::new();
    if changed(&["labels"]) {
        let labels = merged(config.labels.iter(), changes, "labels");
        steps.push(put(update().set_labels(NodeLabels::new().set_labels(labels))));
    }
    if changed(&["taints"]) {
        // The list is replaced as a whole: what GKE added must be sent again.
        let removed = changes.iter().find(|change| change.path == ["taints"]).and_then(|change| change.before.clone());
        let removed = taints(removed.as_ref());
        let mut all = taints(desired.get("taints"));
        let kept = config.taints.iter().map(taint).filter(|taint| !removed.contains(taint) && !all.contains(taint));
        let kept = kept.collect::<Vec<_>>();
        all.extend(kept);
        steps.push(put(update().set_taints(NodeTaints::new().set_taints(request_taints(&all)))));
    }
    if changed(&["resource_labels"]) {
        let labels = merged(config.resource_labels.iter(), changes, "resource_labels");
        steps.push(put(update().set_resource_labels(ResourceLabels::new().set_labels(labels))));
    }
    if changed(&["auto_repair", "auto_upgrade"]) {
        let mut wanted = current.management.clone().unwrap_or_default();
        wanted.auto_repair = flag(desired, "auto_repair").unwrap_or(wanted.auto_repair);
        wanted.auto_upgrade = flag(desired, "auto_upgrade").unwrap_or(wanted.auto_upgrade);
        steps.push(Step::Manage(wanted));
    }
    if changed(&["max_surge", "max_unavailable"]) {
        let mut wanted = current.upgrade_settings.clone().unwrap_or_default();
        wanted.max_surge = number(desired, "max_surge").unwrap_or(wanted.max_surge);
        wanted.max_unavailable = number(desired, "max_unavailable").unwrap_or(wanted.max_unavailable);
        steps.push(put(update().set_upgrade_settings(wanted)));
    }
    if changed(&["node_locations"]) {
        steps.push(put(update().set_locations(texts(desired, "node_locations"))));
    }
    if changed(&["machine_type", "disk_type", "disk_size_gb"]) {
        let request = update()
            .set_machine_type(text(desired, "machine_type").unwrap_or(&config.machine_type))
            .set_disk_type(text(desired, "disk_type").unwrap_or(&config.disk_type))
            .set_disk_size_gb(
                desired.get("disk_size_gb").and_then(Value::as_int).unwrap_or(config.disk_size_gb.into()),
            );
        steps.push(put(request));
    }
    if changed(&["image_type"]) {
        steps.push(put(update().set_image_type(text(desired, "image_type").unwrap_or_default())));
    }
    if changed(&["image_streaming"]) {
        let on = flag(desired, "image_streaming").unwrap_or_default();
        steps.push(put(update().set_gcfs_config(GcfsConfig::new().set_enabled(on))));
    }
    if changed(&["workload_metadata"]) {
        let mode = text(desired, "workload_metadata").unwrap_or_default();
        steps.push(put(update().set_workload_metadata_config(metadata(mode))));
    }
    if changed(&["node_version"]) {
        steps.push(put(update().set_node_version(text(desired, "node_version").unwrap_or_default())));
    }
    let scale = changed(&["autoscale"]).then(|| desired.get("autoscale").filter(|scale| scale.as_map().is_some()));
    let size = changed(&["nodes"]).then(|| Step::Size(number(desired, "nodes").unwrap_or_default()));
    // An autoscaler undoes what is asked for beside it: it goes first, and it comes last.
    let (first, last) = match scale {
        Some(Some(bounds)) => (size, Some(Step::Autoscale(autoscaling(bounds)))),
        Some(None) => (Some(Step::Autoscale(NodePoolAutoscaling::new())), size),
        None => (size, None),
    };
    steps.extend(first.into_iter().chain(last));
    steps
}

/// A whole label map after the changes below `key`: labels are replaced, not merged, by the server.
pub fn merged<'a>(
    current: impl Iterator<Item = (&'a String, &'a String)>,
    changes: &[Change],
    key: &str,
) -> BTreeMap<String, String> {
    let mut labels = current.map(|(key, value)| (key.clone(), value.clone())).collect::<BTreeMap<_, _>>();
    for change in changes {
        if let [first, label] = &change.path[..]
            && first == key
        {
            match change.after.as_ref().and_then(Value::scalar_text) {
                Some(value) => labels.insert(label.clone(), value),
                None => labels.remove(label),
            };
        }
    }
    labels
}

/// Makes one step's call on the pool with this full name.
///
/// # Errors
/// The answer's class.
pub async fn take(client: &GoogleClient, pool: &str, step: Step) -> Result<Operation, ProviderError> {
    let call = |gke: google_cloud_container_v1::client::ClusterManager| async move {
        match step {
            Step::Size(nodes) => gke.set_node_pool_size().set_name(pool).set_node_count(nodes).send().await,
            Step::Autoscale(scale) => {
                gke.set_node_pool_autoscaling().set_name(pool).set_autoscaling(scale).send().await
            }
            Step::Manage(management) => {
                gke.set_node_pool_management().set_name(pool).set_management(management).send().await
            }
            Step::Put(request) => gke.update_node_pool().with_request(request.set_name(pool)).send().await,
        }
    };
    client.call(call).await
}

/// How many nodes per zone the pool's instance groups aim at; `None` when Compute Engine cannot be asked.
///
/// GKE's own `initialNodeCount` and `currentNodeCount` follow a resize late or never.
pub async fn nodes(client: &GoogleClient, pool: &NodePool) -> Option<i64> {
    let mut sizes = Vec::new();
    for group in &pool.instance_group_urls {
        let group = client.get("compute", &group_path(group)?).await.ok()?;
        sizes.push(group["targetSize"].as_i64()?);
    }
    let zones = i64::try_from(sizes.len()).ok().filter(|zones| *zones > 0)?;
    let sum = sizes.iter().sum::<i64>();
    // Uneven zones: the largest, so that asking for fewer is still seen as a change.
    if sum % zones == 0 { Some(sum / zones) } else { sizes.into_iter().max() }
}

/// A stock-out or missing quota that the pool's instance groups report since `since`: known within a minute,
/// half an hour before the operation itself fails.
pub async fn group_failure(client: &GoogleClient, pool: &NodePool, since: Option<Timestamp>) -> Option<ProviderError> {
    if !matches!(pool.status, Status::Provisioning | Status::Reconciling | Status::Running) {
        return None;
    }
    for group in &pool.instance_group_urls {
        let path = format!("{}/listErrors", group_path(group)?);
        let Ok(errors) = client.get("compute", &path).await else { continue };
        for item in errors["items"].as_array().into_iter().flatten() {
            let when = item["timestamp"].as_str().and_then(Timestamp::parse);
            if let (Some(when), Some(since)) = (when, since)
                && when < since
            {
                continue;
            }
            let code = item["error"]["code"].as_str().unwrap_or_default();
            let message = item["error"]["message"].as_str().unwrap_or_default();
            let class = class_of_text(&format!("{code} {message}"));
            if matches!(class, ErrorClass::StockOut | ErrorClass::Quota) {
                return Some(super::error::failure(&format!("{code}: {message}"), std::iter::empty()));
            }
        }
    }
    None
}

/// The path of the manager of an instance group that GKE names.
pub fn group_path(url: &str) -> Option<String> {
    let (_, path) = url.split_once("/projects/")?;
    Some(format!("/compute/v1/projects/{}", path.replace("/instanceGroups/", "/instanceGroupManagers/")))
}
