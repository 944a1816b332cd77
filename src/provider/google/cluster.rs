//! The kind `gke.cluster`: a GKE standard cluster with its system node pool.
//!
//! Attributes, `?` = optional; what is not named is the server's choice and never a difference:
//!
//! | attribute | type | meaning; how it changes |
//! |---|---|---|
//! | `name` | text | name in the project and location; replaces |
//! | `project` | text | project id; replaces |
//! | `location` | text | zone (`europe-west4-a`) or region (`europe-west4`); replaces |
//! | `release_channel`? | text | `rapid` `regular` `stable` `extended` `none`; in place |
//! | `version`? | text | Kubernetes version of the control plane, full or a prefix (`1.34`); in place |
//! | `network`? `subnetwork`? | text | name or full path; replaces |
//! | `labels`? | map of text | labels of the cluster besides ours; in place |
//! | `node_locations`? | list of text | zones of the nodes; in place |
//! | `addons`? | map of boolean | `http_load_balancing` `horizontal_pod_autoscaling` `gce_persistent_disk_csi_driver` `gcs_fuse_csi_driver` `gcp_filestore_csi_driver` `dns_cache`; in place |
//! | `gateway_api`? | text | `disabled` or `standard`: GKE's own Gateway API CRDs; in place |
//! | `workload_identity`? | boolean | pool `<project>.svc.id.goog`; in place |
//! | `private`? | boolean | nodes without public addresses, control plane by its DNS endpoint only; replaces |
//! | `network_policy`? | boolean | Dataplane V2, which enforces NetworkPolicies; replaces |
//! | `authorized_networks`? | list of `{cidr, name}` | who may reach the control plane's address; in place |
//! | `maintenance_window`? | `{daily}` or `{start, end, recurrence}` | when GKE may upgrade it; in place |
//! | `logging`? `monitoring`? | list of text | component names, `SYSTEM_COMPONENTS`, `WORKLOADS`; in place |
//! | `system_pool` | map | the pool that the cluster is created with: |
//! | `system_pool.name` | text | replaces |
//! | `system_pool.machine_type`, `.disk_size_gb`?, `.disk_type`?, `.image_type`? | text, number | in place, rolls the pool's nodes |
//! | `system_pool.nodes` | number | per zone; in place; only the initial size while `autoscale` is set |
//! | `system_pool.autoscale`? | `{min, max}` | per zone; in place |
//! | `system_pool.labels`? `.taints`? | as in `gke.node_pool` | in place |
//! | `system_pool.image_streaming`? `.workload_metadata`? | as in `gke.node_pool` | in place, rolls the pool's nodes |
//! | `system_pool.oauth_scopes`?, `.service_account`?, `.spot`? | list, text, boolean | replaces |
//!
//! Outputs: `name project location` (known from the start), `id` (64 hexadecimal digits), `endpoint`
//! (`https://host[:port]`), `ca_certificate` (PEM; of a private cluster none: its name has a public certificate), `version`, `self_link`, `node_tag`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use google_cloud_container_v1::model::{
    AddonsConfig, Cluster, ClusterUpdate, DatapathProvider, DnsCacheConfig, GatewayAPIConfig,
    GcePersistentDiskCsiDriverConfig, GcpFilestoreCsiDriverConfig, GcsFuseCsiDriverConfig, HorizontalPodAutoscaling,
    HttpLoadBalancing, IPAllocationPolicy, LoggingComponentConfig, LoggingConfig, MaintenancePolicy,
    MonitoringComponentConfig, MonitoringConfig, NetworkConfig, Operation, ReleaseChannel, WorkloadIdentityConfig,
    cluster::Status, gateway_api_config, logging_component_config, monitoring_component_config,
};

use super::access;
use super::client::GoogleClient;
use super::difference::{self, Field, Same};
use super::error::failure;
use super::node_pool::disturbing;
use super::operation::{self, Standing};
use super::pool::{self, EXPIRES, MARK, marks, text, text_map, texts};
use super::{forbids_secrets, required};
use crate::address::Address;
use crate::diag::Diagnostic;
use crate::resource::driver::{Ack, ApplyRequest, Driver, Found, Mark, Ownership, Poll, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::kind::{Attribute, Change, Kind, Observed, Prior};
use crate::resource::model::{Ceded, Resource};
use crate::resource::readiness::Readiness;
use crate::value::{Map, Value};

/// What an upgrade of the control plane does to a zonal cluster.
const UPGRADE: &str = "upgrades the control plane, which a zonal cluster is without for some minutes";

/// How each attribute is compared and changed.
const FIELDS: &[Field] = &[
    Field::replacing(&["name"], Same::Exact),
    Field::replacing(&["project"], Same::Exact),
    Field::replacing(&["location"], Same::Exact),
    Field::in_place(&["release_channel"], Same::Exact),
    Field { path: &["version"], same: Same::Version, replaces: false, effect: Some(UPGRADE), goes: false },
    Field::replacing(&["network"], Same::Name),
    Field::replacing(&["subnetwork"], Same::Name),
    Field::in_place(&["labels"], Same::Keys),
    Field::in_place(&["node_locations"], Same::Set),
    Field::in_place(&["addons"], Same::Exact),
    Field::in_place(&["gateway_api"], Same::Exact),
    Field::in_place(&["workload_identity"], Same::Exact),
    Field::replacing(&["private"], Same::Exact),
    Field::replacing(&["network_policy"], Same::Exact),
    Field::switched(&["authorized_networks"], Same::Exact),
    Field::switched(&["maintenance_window"], Same::Exact),
    Field::in_place(&["logging"], Same::Set),
    Field::in_place(&["monitoring"], Same::Set),
    Field::replacing(&["system_pool", "name"], Same::Exact),
    Field::rolling(&["system_pool", "machine_type"], Same::Exact),
    Field::rolling(&["system_pool", "disk_size_gb"], Same::Exact),
    Field::rolling(&["system_pool", "disk_type"], Same::Exact),
    Field::rolling(&["system_pool", "image_type"], Same::Exact),
    Field::in_place(&["system_pool", "nodes"], Same::Exact),
    Field::switched(&["system_pool", "autoscale"], Same::Exact),
    Field::rolling(&["system_pool", "image_streaming"], Same::Exact),
    Field::rolling(&["system_pool", "workload_metadata"], Same::Exact),
    Field::in_place(&["system_pool", "labels"], Same::Keys),
    Field::in_place(&["system_pool", "taints"], Same::Taints),
    Field::replacing(&["system_pool", "oauth_scopes"], Same::Set),
    Field::replacing(&["system_pool", "service_account"], Same::Exact),
    Field::replacing(&["system_pool", "spot"], Same::Exact),
];

/// The pure half of `gke.cluster`.
#[derive(Debug, Default, Clone, Copy)]
pub struct ClusterKind;

impl Kind for ClusterKind {
    fn name(&self) -> &'static str {
        "gke.cluster"
    }

    fn attributes(&self) -> Vec<Attribute> {
        difference::attributes(FIELDS)
    }

    fn check(&self, resource: &Resource) -> Vec<Diagnostic> {
        let mut found = required(resource, &["name", "project", "location"]);
        found.extend(forbids_secrets(resource));
        if resource.attrs.at(&["system_pool", "name"]).is_none() {
            found.push(
                Diagnostic::error("`system_pool` needs a name")
                    .detail("a GKE standard cluster is created with at least one node pool")
                    .about(resource.address.clone()),
            );
        }
        found
    }

    fn diff(&self, desired: &Value, _: &[Ceded], prior: Prior<'_>) -> Vec<Change> {
        let mut changes = disturbing(without_scaled_size(difference::diff(FIELDS, desired, prior), desired));
        let zonal = text(desired, "location").is_some_and(|location| location.split('-').count() > 2);
        for change in changes.iter_mut().filter(|change| !zonal && change.effect.as_deref() == Some(UPGRADE)) {
            change.effect = Some("upgrades the control plane, one replica after the other".to_owned());
        }
        difference::called_out(changes, "the cluster is deleted with everything in it, then made anew")
    }

    fn drift(&self, _: &[Ceded], prior: Prior<'_>) -> Vec<Change> {
        without_scaled_size(difference::drift(FIELDS, prior), difference::applied(prior))
    }

    fn record(&self, sent: &Value, _: &[Ceded], _: &Observed) -> Value {
        difference::record(sent.clone())
    }

    fn seen(&self, recorded: &Value, ceded: &[Ceded], observed: &Observed) -> Value {
        let drift = self.drift(ceded, Prior { recorded: Some(recorded), observed: Some(observed) });
        difference::seen(recorded, &drift)
    }

    fn record_found(&self, desired: Option<&Value>, _: &[Ceded], observed: &Observed) -> Value {
        difference::found(desired, &observed.attrs)
    }

    fn outputs(&self, observed: &Observed) -> Value {
        let keys = ["name", "project", "location", "endpoint", "ca_certificate", "self_link", "node_tag"];
        let mut outputs = difference::part(&observed.attrs, &keys);
        outputs.insert("version".into(), observed.attrs.get("version").cloned().unwrap_or_default());
        outputs.insert("id".into(), observed.id.as_str().into());
        Value::Map(outputs)
    }

    fn known_outputs(&self, desired: &Value) -> Value {
        difference::known_part(desired, &["name", "project", "location"])
    }

    /// 2:44, 3:09, 3:40 and 8:15 in four public logs.
    fn removal(&self, _: &Value) -> Duration {
        Duration::from_secs(205)
    }

    fn exclusive(&self, _: &Address, attrs: &Value) -> Option<String> {
        Place::of(attrs).map(|place| place.cluster())
    }
}

fn without_scaled_size(mut changes: Vec<Change>, attrs: &Value) -> Vec<Change> {
    if attrs.at(&["system_pool", "autoscale"]).is_some_and(|scale| *scale != Value::Null) {
        changes.retain(|change| change.path != ["system_pool", "nodes"]);
    }
    changes
}

/// Where a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    project: String,
    location: String,
    name: String,
}

impl Place {
    fn of(attrs: &Value) -> Option<Self> {
        let part = |key| text(attrs, key).map(str::to_owned);
        Some(Place { project: part("project")?, location: part("location")?, name: part("name")? })
    }

    fn find(subject: &Subject) -> Result<Self, ProviderError> {
        let recorded = subject.recorded.as_deref().and_then(|recorded| recorded.get("attrs"));
        // The record says where it is; the desired attributes where it shall be.
        recorded.and_then(Place::of).or_else(|| subject.desired.as_deref().and_then(Place::of)).ok_or_else(|| {
            let text = format!("{}: project, location or name is not known", subject.address);
            ProviderError::new(ErrorClass::Invalid, text)
        })
    }

    fn parent(&self) -> String {
        format!("projects/{}/locations/{}", self.project, self.location)
    }

    fn cluster(&self) -> String {
        format!("{}/clusters/{}", self.parent(), self.name)
    }
}

/// A cluster also says until when it may live; only that of a new one is set here.
fn marks_of(ownership: &Ownership) -> BTreeMap<String, String> {
    let mut marks = marks(ownership);
    if let Some(expires) = ownership.expires {
        marks.insert(EXPIRES.to_owned(), expires.to_string());
    }
    marks
}

/// The cluster to create.
fn build(attrs: &Value, ownership: &Ownership) -> Cluster {
    let mut labels = text_map(attrs, "labels");
    labels.extend(marks_of(ownership));
    let system_pool = attrs.get("system_pool").cloned().unwrap_or_else(Value::map);
    let mut cluster = Cluster::new()
        .set_name(text(attrs, "name").unwrap_or_default())
        .set_resource_labels(labels)
        .set_initial_cluster_version(text(attrs, "version").unwrap_or_default())
        .set_network(text(attrs, "network").unwrap_or_default())
        .set_subnetwork(text(attrs, "subnetwork").unwrap_or_default())
        .set_locations(texts(attrs, "node_locations"))
        .set_ip_allocation_policy(IPAllocationPolicy::new().set_use_ip_aliases(true))
        .set_node_pools([pool::build(&system_pool, ownership)]);
    if let Some(channel) = text(attrs, "release_channel") {
        cluster = cluster.set_release_channel(release_channel_of(channel));
    }
    if let Some(addons) = attrs.get("addons") {
        cluster = cluster.set_addons_config(addons_of(addons));
    }
    let private = attrs.get("private").and_then(Value::as_bool) == Some(true);
    let mut network = NetworkConfig::new();
    if let Some(channel) = text(attrs, "gateway_api") {
        network = network.set_gateway_api_config(gateway_api_of(channel));
    }
    if attrs.get("network_policy").and_then(Value::as_bool) == Some(true) {
        network = network.set_datapath_provider(DatapathProvider::AdvancedDatapath);
    }
    if private {
        network = network.set_default_enable_private_nodes(true);
        cluster = cluster.set_control_plane_endpoints_config(access::by_name_only());
    }
    if network != NetworkConfig::new() {
        cluster = cluster.set_network_config(network);
    }
    if attrs.get("authorized_networks").is_some() {
        cluster = cluster.set_master_authorized_networks_config(access::networks(attrs));
    }
    if let Some(window) = attrs.get("maintenance_window") {
        cluster = cluster.set_maintenance_policy(access::maintenance(Some(window), None));
    }
    if attrs.get("workload_identity").and_then(Value::as_bool) == Some(true) {
        cluster = cluster.set_workload_identity_config(workload_identity_of(attrs));
    }
    if attrs.get("logging").is_some() {
        cluster = cluster.set_logging_config(logging_of(attrs));
    }
    if attrs.get("monitoring").is_some() {
        cluster = cluster.set_monitoring_config(monitoring_of(attrs));
    }
    cluster
}

fn release_channel_of(channel: &str) -> ReleaseChannel {
    let name = if channel == "none" { "UNSPECIFIED".to_owned() } else { channel.to_ascii_uppercase() };
    ReleaseChannel::new().set_channel(name.as_str())
}

fn gateway_api_of(channel: &str) -> GatewayAPIConfig {
    let channel = match channel {
        "standard" => gateway_api_config::Channel::Standard,
        _ => gateway_api_config::Channel::Disabled,
    };
    GatewayAPIConfig::new().set_channel(channel)
}

fn workload_identity_of(attrs: &Value) -> WorkloadIdentityConfig {
    let on = attrs.get("workload_identity").and_then(Value::as_bool) == Some(true);
    let pool = if on { format!("{}.svc.id.goog", text(attrs, "project").unwrap_or_default()) } else { String::new() };
    WorkloadIdentityConfig::new().set_workload_pool(pool)
}

fn logging_of(attrs: &Value) -> LoggingConfig {
    let components = texts(attrs, "logging");
    let components = components.iter().map(|name| logging_component_config::Component::from(name.as_str()));
    LoggingConfig::new().set_component_config(LoggingComponentConfig::new().set_enable_components(components))
}

fn monitoring_of(attrs: &Value) -> MonitoringConfig {
    let components = texts(attrs, "monitoring");
    let components = components.iter().map(|name| monitoring_component_config::Component::from(name.as_str()));
    MonitoringConfig::new().set_component_config(MonitoringComponentConfig::new().set_enable_components(components))
}

fn addons_of(addons: &Value) -> AddonsConfig {
    let mut config = AddonsConfig::new();
    for (name, on) in addons.as_map().into_iter().flatten() {
        let on = on.as_bool() == Some(true);
        config = match name.as_str() {
            "http_load_balancing" => config.set_http_load_balancing(HttpLoadBalancing::new().set_disabled(!on)),
            "horizontal_pod_autoscaling" => {
                config.set_horizontal_pod_autoscaling(HorizontalPodAutoscaling::new().set_disabled(!on))
            }
            "gce_persistent_disk_csi_driver" => config
                .set_gce_persistent_disk_csi_driver_config(GcePersistentDiskCsiDriverConfig::new().set_enabled(on)),
            "gcs_fuse_csi_driver" => {
                config.set_gcs_fuse_csi_driver_config(GcsFuseCsiDriverConfig::new().set_enabled(on))
            }
            "gcp_filestore_csi_driver" => {
                config.set_gcp_filestore_csi_driver_config(GcpFilestoreCsiDriverConfig::new().set_enabled(on))
            }
            "dns_cache" => config.set_dns_cache_config(DnsCacheConfig::new().set_enabled(on)),
            _ => config,
        };
    }
    config
}

fn addons(config: &AddonsConfig) -> Value {
    // Two of them are written as what is switched off.
    let entries = [
        ("http_load_balancing", !config.http_load_balancing.as_ref().is_some_and(|addon| addon.disabled)),
        ("horizontal_pod_autoscaling", !config.horizontal_pod_autoscaling.as_ref().is_some_and(|addon| addon.disabled)),
        (
            "gce_persistent_disk_csi_driver",
            config.gce_persistent_disk_csi_driver_config.as_ref().is_some_and(|addon| addon.enabled),
        ),
        ("gcs_fuse_csi_driver", config.gcs_fuse_csi_driver_config.as_ref().is_some_and(|addon| addon.enabled)),
        ("gcp_filestore_csi_driver", config.gcp_filestore_csi_driver_config.as_ref().is_some_and(|a| a.enabled)),
        ("dns_cache", config.dns_cache_config.as_ref().is_some_and(|addon| addon.enabled)),
    ];
    Value::Map(entries.into_iter().map(|(key, on)| (key.to_owned(), on.into())).collect())
}

/// A cluster's attributes as GKE shows them.
fn attributes(place: &Place, cluster: &Cluster, system_pool: Option<Map>) -> Value {
    let mut attrs = Map::new();
    let mut put = |key: &str, value: Value| {
        attrs.insert(key.to_owned(), value);
    };
    put("name", place.name.as_str().into());
    put("project", place.project.as_str().into());
    put("location", place.location.as_str().into());
    put("version", cluster.current_master_version.as_str().into());
    put("network", cluster.network.as_str().into());
    put("subnetwork", cluster.subnetwork.as_str().into());
    put("node_locations", pool::list(&cluster.locations));
    put("status", cluster.status.name().unwrap_or("UNKNOWN").into());
    put("self_link", cluster.self_link.as_str().into());
    let channel = cluster.release_channel.as_ref().and_then(|channel| channel.channel.name()).unwrap_or_default();
    let channel = if matches!(channel, "" | "UNSPECIFIED") { "none".to_owned() } else { channel.to_ascii_lowercase() };
    put("release_channel", channel.into());
    let others = cluster.resource_labels.iter().filter(|(key, _)| !key.starts_with("stackwright-"));
    put("labels", pool::map(others));
    if let Some(owner) = cluster.resource_labels.get(MARK) {
        put("owner", owner.as_str().into());
    }
    if let Some(expires) = cluster.resource_labels.get(EXPIRES) {
        put("expires", expires.as_str().into());
    }
    put("addons", addons(&cluster.addons_config.clone().unwrap_or_default()));
    let gateway = cluster.network_config.as_ref().and_then(|config| config.gateway_api_config.as_ref());
    let standard = gateway.is_some_and(|config| config.channel == gateway_api_config::Channel::Standard);
    put("gateway_api", if standard { "standard" } else { "disabled" }.into());
    let datapath = cluster.network_config.as_ref().map(|config| config.datapath_provider.clone());
    put("network_policy", (datapath == Some(DatapathProvider::AdvancedDatapath)).into());
    let workload_pool = cluster.workload_identity_config.as_ref().map(|config| config.workload_pool.as_str());
    put("workload_identity", workload_pool.is_some_and(|pool| !pool.is_empty()).into());
    let logging = cluster.logging_config.as_ref().and_then(|config| config.component_config.as_ref());
    let logging = logging.map(|config| config.enable_components.iter().filter_map(|c| c.name()).collect::<Vec<_>>());
    put("logging", Value::List(logging.into_iter().flatten().map(Value::from).collect()));
    let monitoring = cluster.monitoring_config.as_ref().and_then(|config| config.component_config.as_ref());
    let monitoring =
        monitoring.map(|config| config.enable_components.iter().filter_map(|c| c.name()).collect::<Vec<_>>());
    put("monitoring", Value::List(monitoring.into_iter().flatten().map(Value::from).collect()));
    put("private", access::private_nodes(cluster).into());
    put("authorized_networks", access::authorized(cluster));
    if let Some(window) = access::window(cluster) {
        put("maintenance_window", window);
    }
    let certificate = match access::only_name(cluster) {
        // The name is there before the control plane is. Its certificate is Google's, not the cluster's.
        Some(name) if !cluster.endpoint.is_empty() || cluster.status == Status::Running => {
            put("endpoint", format!("https://{name}").into());
            ""
        }
        Some(_) => "",
        None => {
            if !cluster.endpoint.is_empty() {
                put("endpoint", format!("https://{}", cluster.endpoint).into());
            }
            cluster.master_auth.as_ref().map(|auth| auth.cluster_ca_certificate.as_str()).unwrap_or_default()
        }
    };
    let certificate = base64::engine::general_purpose::STANDARD.decode(certificate).unwrap_or_default();
    if let Some(pem) = String::from_utf8(certificate).ok().filter(|pem| !pem.is_empty()) {
        put("ca_certificate", pem.into());
    }
    if let Some(hash) = cluster.id.get(..8) {
        put("node_tag", format!("gke-{}-{hash}-node", cluster.name).into());
    }
    if let Some(system_pool) = system_pool {
        put("system_pool", Value::Map(system_pool));
    }
    Value::Map(attrs)
}

fn is_ours(cluster: &Cluster, ownership: &Ownership) -> bool {
    !ownership.id.is_empty() && cluster.resource_labels.get(MARK) == Some(&ownership.id)
}

/// One call that carries out part of a change.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Update(Box<ClusterUpdate>),
    Labels(BTreeMap<String, String>),
    Maintenance(Box<MaintenancePolicy>),
    Pool(pool::Step),
}

/// The calls that carry out `changes`, in the order to make them: GKE takes one group of fields per call.
fn steps(desired: &Value, changes: &[Change], current: &Cluster) -> Vec<Step> {
    let changed = |key: &str| changes.iter().any(|change| change.path.first().is_some_and(|first| first == key));
    let mut steps = Vec::new();
    let mut update = |update: ClusterUpdate| steps.push(Step::Update(Box::new(update)));
    let new = ClusterUpdate::new;
    if changed("release_channel") {
        update(
            new().set_desired_release_channel(release_channel_of(text(desired, "release_channel").unwrap_or("none"))),
        );
    }
    if changed("version") {
        update(new().set_desired_master_version(text(desired, "version").unwrap_or("-")));
    }
    if changed("addons") {
        update(new().set_desired_addons_config(addons_of(desired.get("addons").unwrap_or(&Value::Null))));
    }
    if changed("gateway_api") {
        let channel = text(desired, "gateway_api").unwrap_or("disabled");
        update(new().set_desired_gateway_api_config(gateway_api_of(channel)));
    }
    if changed("workload_identity") {
        update(new().set_desired_workload_identity_config(workload_identity_of(desired)));
    }
    if changed("logging") {
        update(new().set_desired_logging_config(logging_of(desired)));
    }
    if changed("monitoring") {
        update(new().set_desired_monitoring_config(monitoring_of(desired)));
    }
    if changed("node_locations") {
        update(new().set_desired_locations(texts(desired, "node_locations")));
    }
    if changed("authorized_networks") {
        update(new().set_desired_master_authorized_networks_config(access::networks(desired)));
    }
    if changed("maintenance_window") {
        let policy = access::maintenance(desired.get("maintenance_window"), current.maintenance_policy.as_ref());
        steps.push(Step::Maintenance(Box::new(policy)));
    }
    if changed("labels") {
        steps.push(Step::Labels(pool::merged(current.resource_labels.iter(), changes, "labels")));
    }
    if let Some(system_pool) = desired.get("system_pool") {
        let name = text(system_pool, "name").unwrap_or_default();
        let inner = changes.iter().filter(|change| change.path.first().is_some_and(|first| first == "system_pool"));
        let inner =
            inner.map(|change| Change { path: change.path[1..].to_vec(), ..change.clone() }).collect::<Vec<_>>();
        if let Some(pool) = current.node_pools.iter().find(|pool| pool.name == name) {
            steps.extend(pool::steps(system_pool, &inner, pool).into_iter().map(Step::Pool));
        }
    }
    steps
}

/// What lives in clusters and owns something outside of them.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Begins to take it away, in the cluster of this connection; what is still there.
    ///
    /// # Errors
    /// When the cluster does not answer.
    async fn free(&self, connection: &Value) -> Result<Vec<String>, ProviderError>;
}

/// Does things to clusters.
pub struct ClusterDriver {
    client: Arc<GoogleClient>,
    tenants: Arc<dyn Tenants>,
}

impl ClusterDriver {
    /// A driver over this client; `tenants` are asked to leave before a cluster is deleted.
    pub fn new(client: Arc<GoogleClient>, tenants: Arc<dyn Tenants>) -> Self {
        ClusterDriver { client, tenants }
    }

    async fn get(&self, place: &Place) -> Result<Option<Cluster>, ProviderError> {
        let name = place.cluster();
        self.client.note(&place.project);
        let answer = self.client.call(|gke| async move { gke.get_cluster().set_name(name).send().await }).await;
        match answer {
            Ok(cluster) => Ok(Some(cluster)),
            Err(error) if error.class == ErrorClass::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `wanted` names the system pool; without it the first pool is taken.
    async fn observe(&self, place: &Place, cluster: &Cluster, subject: &Subject) -> Observed {
        let applied = subject.recorded.as_deref().and_then(|recorded| recorded.at(&["attrs", "system_pool", "name"]));
        let wanted = subject.desired.as_deref().and_then(|desired| desired.at(&["system_pool", "name"]));
        let name = applied.or(wanted).and_then(Value::as_str);
        let pool = cluster.node_pools.iter().find(|pool| name.is_none_or(|name| pool.name == name));
        let system_pool = match pool {
            Some(pool) => Some(pool::attributes(pool, pool::nodes(&self.client, pool).await)),
            None => None,
        };
        Observed { id: cluster.id.clone(), attrs: attributes(place, cluster, system_pool) }
    }

    async fn set_labels(
        &self,
        place: &Place,
        cluster: &Cluster,
        labels: BTreeMap<String, String>,
    ) -> Result<Operation, ProviderError> {
        let (name, fingerprint) = (place.cluster(), cluster.label_fingerprint.clone());
        let call = self.client.call(|gke| async move {
            let request = gke.set_labels().set_name(name).set_label_fingerprint(fingerprint);
            request.set_resource_labels(labels).send().await
        });
        call.await
    }
}

#[async_trait]
impl Driver for ClusterDriver {
    async fn read(&self, subjects: &[Subject], ownership: &Ownership) -> Vec<Result<Option<Observed>, ProviderError>> {
        let mut answers = Vec::new();
        for subject in subjects {
            let answer = match Place::find(subject) {
                Ok(place) => match self.get(&place).await {
                    Ok(Some(cluster))
                        if is_known(subject, &cluster)
                            || is_ours(&cluster, ownership)
                            || (subject.adopt && !cluster.resource_labels.contains_key(MARK)) =>
                    {
                        Ok(Some(self.observe(&place, &cluster, subject).await))
                    }
                    // Somebody else's cluster of that name: creating ours will say so.
                    Ok(_) => Ok(None),
                    Err(error) => Err(error),
                },
                // A name that is not known yet cannot be there yet.
                Err(_) if subject.id.is_none() => Ok(None),
                Err(error) => Err(error),
            };
            answers.push(answer);
        }
        answers
    }

    async fn marks(&self, subjects: &[Subject]) -> Result<Vec<Option<Mark>>, ProviderError> {
        let mut marks = Vec::new();
        for subject in subjects {
            let cluster = match Place::find(subject) {
                Ok(place) => self.get(&place).await?,
                // A name that is not known yet cannot be there yet.
                Err(_) => None,
            };
            marks.push(cluster.and_then(|cluster| {
                let id = cluster.resource_labels.get(MARK)?.clone();
                Some(Mark { id, stack: cluster.resource_labels.get(pool::STACK).cloned() })
            }));
        }
        Ok(marks)
    }

    /// In every project that this run has asked about.
    async fn find(&self, _: Option<&Value>, ownership: &Ownership) -> Result<Vec<Found>, ProviderError> {
        let mut found = Vec::new();
        for project in self.client.projects() {
            let parent = format!("projects/{project}/locations/-");
            let call = self.client.call(|gke| async move { gke.list_clusters().set_parent(parent).send().await });
            for cluster in call.await?.clusters.iter().filter(|cluster| is_ours(cluster, ownership)) {
                let (project, location) = (project.clone(), cluster.location.clone());
                let place = Place { project, location, name: cluster.name.clone() };
                let observed = Observed { id: cluster.id.clone(), attrs: attributes(&place, cluster, None) };
                found.push(Found { name: cluster.name.clone(), observed });
            }
        }
        Ok(found)
    }

    async fn create(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        let place = Place::of(&request.attrs)
            .ok_or_else(|| ProviderError::new(ErrorClass::Invalid, "project, location or name is missing"))?;
        let (parent, wanted) = (place.parent(), build(&request.attrs, &request.ownership));
        let call = self
            .client
            .call(|gke| async move { gke.create_cluster().set_parent(parent).set_cluster(wanted).send().await });
        match call.await {
            Ok(operation) => Ok(Ack { operation: operation::path(&place.parent(), &operation), ..Ack::default() }),
            Err(error) if error.class == ErrorClass::AlreadyExists => {
                let Some(cluster) = self.get(&place).await? else { return Err(error) };
                if is_ours(&cluster, &request.ownership) {
                    let observed = self.observe(&place, &cluster, &request.subject).await;
                    return Ok(Ack { observed: Some(observed), ..Ack::default() });
                }
                let owner = cluster.resource_labels.get(MARK);
                if request.adopt && owner.is_none() {
                    let current = cluster.resource_labels.iter().map(|(key, value)| (key.clone(), value.clone()));
                    let mut labels = current.collect::<BTreeMap<_, _>>();
                    labels.extend(marks_of(&request.ownership));
                    let operation = self.set_labels(&place, &cluster, labels).await?;
                    return Ok(Ack { operation: operation::path(&place.parent(), &operation), ..Ack::default() });
                }
                Err(super::foreign(&format!("cluster {}", place.name), owner.map(String::as_str)))
            }
            Err(error) => Err(error),
        }
    }

    async fn update(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        let place = Place::find(&request.subject)?;
        let Some(cluster) = self.get(&place).await? else {
            return Err(ProviderError::new(ErrorClass::NotFound, format!("cluster {} is gone", place.name)));
        };
        // What is left to do is read off the cluster as it is now: earlier calls may have done a part.
        let observed = self.observe(&place, &cluster, &request.subject).await;
        let prior = Prior { recorded: request.subject.recorded.as_deref(), observed: Some(&observed) };
        let changes = ClusterKind.diff(&request.attrs, &[], prior);
        let mut steps = steps(&request.attrs, &changes, &cluster);
        if request.adopt && !cluster.resource_labels.contains_key(MARK) {
            // Its marks come with its labels, and first: from then on it is this stack's.
            steps.retain(|step| !matches!(step, Step::Labels(_)));
            steps.insert(0, Step::Labels(pool::merged(cluster.resource_labels.iter(), &changes, "labels")));
        }
        let more = steps.len() > 1;
        let operation = match steps.into_iter().next() {
            None => return Ok(Ack { observed: Some(observed), ..Ack::default() }),
            Some(Step::Update(update)) => {
                let name = place.cluster();
                let call = self
                    .client
                    .call(|gke| async move { gke.update_cluster().set_name(name).set_update(*update).send().await });
                call.await?
            }
            Some(Step::Labels(mut labels)) => {
                labels.extend(marks(&request.ownership));
                self.set_labels(&place, &cluster, labels).await?
            }
            Some(Step::Maintenance(policy)) => {
                let name = place.cluster();
                let call = self.client.call(|gke| async move {
                    gke.set_maintenance_policy().set_name(name).set_maintenance_policy(*policy).send().await
                });
                call.await?
            }
            Some(Step::Pool(step)) => {
                let name = request.attrs.at(&["system_pool", "name"]).and_then(Value::as_str).unwrap_or_default();
                pool::take(&self.client, &format!("{}/nodePools/{name}", place.cluster()), step).await?
            }
        };
        Ok(Ack { operation: operation::path(&place.parent(), &operation), more, ..Ack::default() })
    }

    /// Load balancers and disks go while there is a cluster to take them away.
    async fn clear_way(&self, subject: &Subject, observed: &Observed) -> Result<Readiness, ProviderError> {
        let outputs = ClusterKind.outputs(observed);
        let endpoint = outputs.get("endpoint").and_then(Value::as_str).unwrap_or_default();
        let place = Place::of(&observed.attrs).map_or_else(|| Place::find(subject), Ok)?;
        let status = self.get(&place).await?.map(|cluster| cluster.status);
        if endpoint.is_empty() || !matches!(status, Some(Status::Running | Status::Reconciling | Status::Degraded)) {
            return Ok(Readiness::Current);
        }
        let left = self.tenants.free(&outputs).await?;
        Ok(match &left[..] {
            [] => Readiness::Current,
            [one] => Readiness::waiting(format!("{one}, which owns something outside the cluster, to go")),
            [first, rest @ ..] => Readiness::waiting(format!(
                "{first} and {} more, which own something outside the cluster, to go",
                rest.len()
            )),
        })
    }

    async fn delete(&self, subject: &Subject, observed: &Observed) -> Result<Ack, ProviderError> {
        let place = Place::of(&observed.attrs).map_or_else(|| Place::find(subject), Ok)?;
        // GKE has no precondition on delete: look that it is still the same cluster.
        match self.get(&place).await? {
            None => return Ok(Ack::default()),
            Some(cluster) if cluster.id != observed.id => {
                let text = format!("cluster {} was made anew by somebody else since it was read", place.name);
                return Err(ProviderError::new(ErrorClass::Conflict, text));
            }
            Some(_) => {}
        }
        let name = place.cluster();
        let call = self.client.call(|gke| async move { gke.delete_cluster().set_name(name).send().await });
        match call.await {
            Ok(operation) => Ok(Ack { operation: operation::path(&place.parent(), &operation), ..Ack::default() }),
            Err(error) if error.class == ErrorClass::NotFound => Ok(Ack::default()),
            Err(error) => Err(error),
        }
    }

    async fn poll(&self, subject: &Subject, operation: Option<&str>) -> Result<Poll, ProviderError> {
        let place = Place::find(subject)?;
        if let Some(operation) = operation
            && let Standing::Running { phrase, since } = operation::look(&self.client, operation).await?
        {
            if let Some(cluster) = self.get(&place).await? {
                for pool in &cluster.node_pools {
                    if let Some(error) = pool::group_failure(&self.client, pool, since).await {
                        return Err(error);
                    }
                }
            }
            return Ok(Poll { readiness: Readiness::waiting(phrase), observed: None });
        }
        let Some(cluster) = self.get(&place).await? else {
            return Ok(Poll { readiness: Readiness::NotFound, observed: None });
        };
        let said = if cluster.status_message.is_empty() { "GKE gives no reason" } else { &cluster.status_message };
        let readiness = match cluster.status {
            Status::Running => Readiness::Current,
            Status::Stopping => Readiness::Terminating { waiting_for: "the cluster to be deleted".into() },
            Status::Error | Status::Degraded => {
                let error = failure(said, cluster.conditions.iter());
                if matches!(error.class, ErrorClass::StockOut | ErrorClass::Quota) {
                    return Err(error);
                }
                let status = cluster.status.name().unwrap_or("ERROR");
                Readiness::failed(format!("the cluster is in the state {status}: {said}"))
            }
            Status::Provisioning => Readiness::waiting("the control plane is being made"),
            _ => Readiness::waiting("GKE is working on the cluster"),
        };
        Ok(Poll { readiness, observed: Some(self.observe(&place, &cluster, subject).await) })
    }

    fn poll_interval(&self, waited: Duration) -> Duration {
        if waited < Duration::from_secs(30) { Duration::from_secs(5) } else { Duration::from_secs(10) }
    }
}

/// Whether the cluster is the one that state records, even when its labels were taken off.
fn is_known(subject: &Subject, cluster: &Cluster) -> bool {
    match &subject.id {
        Some(id) => *id == cluster.id,
        None => {
            let applied = subject.recorded.as_deref().is_some_and(|recorded| recorded.get("attrs").is_some());
            applied && !cluster.resource_labels.contains_key(MARK)
        }
    }
}
