//! The stack file as types: one struct per table, one field per key.
//!
//! The doc comment of each key is what editors show. Defaults that depend on the accelerator, the add-on or
//! the distribution belong to the catalogue; those that do not are methods here.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stack::decode::{Decode, Decoder, Entry, Spanned, choice, table};
use crate::stack::leaf::{
    AddressText, Autoscale, BackendUrl, Block, ChartSource, Digest, Dollars, GatewayTls, GkeName, GoogleLabel,
    HostName, KubernetesLabel, LabelKey, LabelName, Location, Moment, NonEmpty, ProjectId, Provisioning, Recurrence,
    Text, TimeOfDay, Topology, Url, Values, VariableName, Whole,
};
use crate::stack::names;
use crate::stack::policy::Policy;
pub use crate::stack::serving::{
    Cache, CacheDtype, Credentials, Dtype, Monitoring, Mtls, Probes, Resources, Routing, Runner, Size, Workload,
};
use crate::stack::tree::Tree;
use crate::value::Value;

table! {
    /// A stack: everything between an empty Google Cloud project and a model that answers.
    pub struct Stack in "the stack" {
        /// The stack's name. Names its state and labels everything it makes.
        pub name: Spanned<LabelName>,
        /// What the stack is for.
        pub description: Option<Spanned<String>>,
        /// Another stack file that this one builds upon, relative to this one. Tables are merged, anything else replaces.
        pub extends: Option<Spanned<NonEmpty>>,
        /// What the stack is given when it is used.
        pub inputs: BTreeMap<String, Input>,
        /// Where the stack's state is kept.
        pub state: Option<State>,
        /// Bounds that a plan must keep.
        pub limits: Option<Limits>,
        /// The Kubernetes cluster: made by this stack, or given by a kubeconfig.
        pub cluster: Option<Cluster>,
        /// Pools of machines beside the cluster's own.
        pub node_pools: BTreeMap<String, NodePool>,
        /// Operators and definitions that the catalogue knows.
        pub addons: BTreeMap<String, Addon>,
        /// The way in: one address with TLS in front of all workloads.
        pub gateway: Option<Gateway>,
        /// Container registries that need a login, by host.
        pub registries: BTreeMap<String, Registry>,
        /// Models that are served.
        pub workloads: BTreeMap<String, Workload>,
        /// Helm charts of your own.
        pub charts: BTreeMap<String, Chart>,
        /// Kubernetes manifests of your own.
        pub manifests: BTreeMap<String, Manifests>,
        /// Values that are stored and referred to.
        pub values: BTreeMap<String, Stored>,
        /// What the stack tells when it is done.
        pub outputs: BTreeMap<String, Output>,
        /// Components that were renamed.
        pub moved: Vec<Moved>,
        /// Rules that every plan of the stack must keep.
        pub policy: Vec<Policy>,
    }
}

choice! {
    /// The type of an input.
    pub enum InputType {
        /// Text.
        String = "string",
        /// A number.
        Number = "number",
        /// `true` or `false`.
        Bool = "bool",
        /// A sequence.
        List = "list",
        /// A table.
        Map = "map",
    }
}

table! {
    /// Something that is given when the stack is used.
    pub struct Input in "[inputs]" {
        /// The input's type: string, number, bool, list or map. A string by default.
        pub kind as "type": Option<Spanned<InputType>>,
        /// An environment variable to read when nothing else gives a value.
        pub env: Option<Spanned<VariableName>>,
        /// The value when nothing gives one.
        pub default: Option<Spanned<Value>>,
        /// Whether the value is never shown and never stored.
        pub secret: Option<Spanned<bool>>,
        /// What it is, for whoever has to give it.
        pub description: Option<Spanned<String>>,
        /// Whether it must be given, which is the default. Without a value, keys that refer to an optional input count as absent.
        pub required: Option<Spanned<bool>>,
    }
}

table! {
    /// Where the stack's state is kept.
    pub struct State in "[state]" {
        /// A bucket with a prefix (`gs://`, `s3://`, `az://`) or a folder. By default state/NAME beside the stack.
        pub backend: Option<Spanned<BackendUrl>>,
    }
}

table! {
    /// Bounds that a plan must keep.
    pub struct Limits in "[limits]" {
        /// US dollars a day: a plan that costs more fails.
        pub budget_per_day: Option<Spanned<Dollars>>,
        /// How long the stack lives after its last apply, as "8h". `reap` destroys it afterwards.
        pub ttl: Option<Spanned<Duration>>,
    }
}

choice! {
    /// How soon GKE brings a cluster to new versions.
    pub enum ReleaseChannel {
        /// Weeks after Kubernetes.
        Rapid = "rapid",
        /// Months after.
        Regular = "regular",
        /// Later still.
        Stable = "stable",
        /// As regular, kept for two years.
        Extended = "extended",
        /// Versions are chosen by hand.
        None = "none",
    }
}

table! {
    /// A network that may reach the control plane.
    pub struct AuthorizedNetwork in "an authorised network" {
        /// The addresses, as "203.0.113.0/24".
        pub cidr: Spanned<Block>,
        /// What network it is, for whoever reads the list.
        pub name: Option<Spanned<NonEmpty>>,
    }
}

table! {
    /// When GKE may upgrade the cluster: every day from `daily` for four hours, or from `start` to `end` and again as `recurrence` says.
    pub struct MaintenanceWindow in "maintenance_window" {
        /// The time of day in UTC, as "03:00".
        pub daily: Option<Spanned<TimeOfDay>>,
        /// When the first window begins, as "2026-01-03T22:00:00Z".
        pub start: Option<Spanned<Moment>>,
        /// When the first window ends.
        pub end: Option<Spanned<Moment>>,
        /// How often it comes again, as "FREQ=WEEKLY;BYDAY=SA,SU".
        pub recurrence: Option<Spanned<Recurrence>>,
    }
}

choice! {
    /// Whose logs go to Cloud Logging.
    pub enum LogSource {
        /// Nobody's.
        None = "none",
        /// GKE's own components on nodes.
        System = "system",
        /// All containers.
        Workloads = "workloads",
        /// The API server.
        ApiServer = "api-server",
        /// The scheduler.
        Scheduler = "scheduler",
        /// The controller manager.
        ControllerManager = "controller-manager",
    }
}

choice! {
    /// Whose metrics go to Cloud Monitoring.
    pub enum MetricSource {
        /// Nobody's.
        None = "none",
        /// GKE's own components on nodes.
        System = "system",
        /// The API server.
        ApiServer = "api-server",
        /// The scheduler.
        Scheduler = "scheduler",
        /// The controller manager.
        ControllerManager = "controller-manager",
        /// Volumes.
        Storage = "storage",
        /// Pod autoscalers.
        Hpa = "hpa",
        /// Pods.
        Pod = "pod",
        /// DaemonSets.
        Daemonset = "daemonset",
        /// Deployments.
        Deployment = "deployment",
        /// StatefulSets.
        Statefulset = "statefulset",
        /// Containers.
        Cadvisor = "cadvisor",
        /// Kubelets.
        Kubelet = "kubelet",
        /// NVIDIA GPUs.
        Dcgm = "dcgm",
    }
}

table! {
    /// The Kubernetes cluster: made by this stack (`project` and `location`), or one that is there (`kubeconfig`).
    pub struct Cluster in "[cluster]" {
        /// The cluster's name, at most 40 characters. By default the stack's name.
        pub name: Option<Spanned<GkeName>>,
        /// The Google Cloud project.
        pub project: Option<Spanned<ProjectId>>,
        /// A zone (one control plane, cheaper) or a region.
        pub location: Option<Spanned<Location>>,
        /// Where to try next when the accelerator is not to be had in `location`. Approved with the plan, tried in order.
        pub fallback_locations: Vec<Spanned<Location>>,
        /// Whether an apply proves that there are machines before it makes anything: it makes one of each sort with accelerators for a moment.
        pub probe: Option<Spanned<bool>>,
        /// How soon the cluster gets new versions: rapid, regular, stable, extended or none. Regular by default.
        pub release_channel: Option<Spanned<ReleaseChannel>>,
        /// The Kubernetes version, whole or a prefix: "1.34". By default the channel's.
        pub version: Option<Spanned<NonEmpty>>,
        /// The VPC network. By default the project's "default".
        pub network: Option<Spanned<NonEmpty>>,
        /// The subnetwork in the cluster's region.
        pub subnetwork: Option<Spanned<NonEmpty>>,
        /// Whether nodes have no public addresses and the control plane is reached by its DNS endpoint only.
        pub private: Option<Spanned<bool>>,
        /// Zones that nodes are in, where the cluster is regional. By default three of the region's.
        pub node_locations: Vec<Spanned<Location>>,
        /// Networks that may reach the control plane, as [{ cidr = "203.0.113.0/24", name = "office" }]. All may without it; yours must be among them.
        pub authorized_networks: Vec<AuthorizedNetwork>,
        /// Whether pods may act as Google service accounts, through the project's workload identity pool.
        pub workload_identity: Option<Spanned<bool>>,
        /// Whether NetworkPolicies are enforced, which takes Dataplane V2. Not by default.
        pub network_policy: Option<Spanned<bool>>,
        /// When GKE may upgrade the cluster, as { daily = "03:00" }. At any time without it.
        pub maintenance_window: Option<MaintenanceWindow>,
        /// Whether containers start before their image is there as a whole; images from Artifact Registry only. For all pools that do not say otherwise.
        pub image_streaming: Option<Spanned<bool>>,
        /// Whose logs go to Cloud Logging: none, system, workloads, api-server, scheduler, controller-manager.
        pub logging: Vec<Spanned<LogSource>>,
        /// Whose metrics go to Cloud Monitoring: none, system, pod, dcgm and others.
        pub monitoring: Vec<Spanned<MetricSource>>,
        /// Google Cloud labels of the cluster.
        pub labels: BTreeMap<String, Spanned<GoogleLabel>>,
        /// The machines that run operators and the gateway.
        pub system_pool: Option<SystemPool>,
        /// A kubeconfig file, relative to this file, of a cluster that is there already; in place of `project` and `location`.
        pub kubeconfig: Option<Spanned<NonEmpty>>,
        /// The kubeconfig's context. By default its current one.
        pub context: Option<Spanned<NonEmpty>>,
        /// How long to wait for the cluster, as "45m".
        pub timeout: Option<Spanned<Duration>>,
    }
}

impl Cluster {
    /// Whether the cluster is given, not made.
    pub fn is_given(&self) -> bool {
        self.kubeconfig.is_some()
    }
}

table! {
    /// The machines that run operators and the gateway.
    pub struct SystemPool in "system_pool" {
        /// The machine type. By default the catalogue's choice for the location.
        pub machine_type: Option<Spanned<NonEmpty>>,
        /// How many nodes.
        pub nodes: Option<Spanned<Whole<0, 1000>>>,
        /// The fewest and the most nodes, as [1, 5]. Without it the pool is not scaled.
        pub autoscale: Option<Spanned<Autoscale>>,
        /// The boot disk's size in GB.
        pub disk_size_gb: Option<Spanned<Whole<10, 65536>>>,
        /// The boot disk's type, as "pd-ssd".
        pub disk_type: Option<Spanned<NonEmpty>>,
        /// The Google service account of the nodes, by its address.
        pub service_account: Option<Spanned<NonEmpty>>,
    }
}

table! {
    /// A pool of machines, all alike.
    pub struct NodePool in "[node_pools]" {
        /// A row of the catalogue's table, such as "nvidia-t4" or "tpu-v6e-4". It gives machine type, labels, taints and driver.
        pub accelerator: Option<Spanned<NonEmpty>>,
        /// The machine type. By default the accelerator's.
        pub machine_type: Option<Spanned<NonEmpty>>,
        /// How many nodes; 1 by default. Multi-host TPU slices have as many as their topology needs.
        pub nodes: Option<Spanned<Whole<0, 1000>>>,
        /// The fewest and the most nodes, as [0, 3]. Without it the pool is not scaled.
        pub autoscale: Option<Spanned<Autoscale>>,
        /// How the machines are bought: on-demand, spot, flex-start or reservation:NAME. On demand by default.
        pub provisioning: Option<Spanned<Provisioning>>,
        /// The shape of a multi-host TPU slice, as "4x4". A single-host pool takes none.
        pub topology: Option<Spanned<Topology>>,
        /// Kubernetes labels of the nodes, besides those that GKE and the accelerator bring.
        pub labels: BTreeMap<String, Spanned<KubernetesLabel>>,
        /// Kubernetes taints of the nodes, besides those that GKE and the accelerator bring.
        pub taints: Vec<Taint>,
        /// The boot disk's size in GB.
        pub disk_size_gb: Option<Spanned<Whole<10, 65536>>>,
        /// The boot disk's type, as "pd-ssd". By default what Google takes for the machine type.
        pub disk_type: Option<Spanned<NonEmpty>>,
        /// The zone, where the cluster is regional.
        pub zone: Option<Spanned<Location>>,
        /// The zones, in place of `zone`; `nodes` and `autoscale` count in each of them.
        pub node_locations: Vec<Spanned<Location>>,
        /// Whether containers start before their image is there as a whole; images from Artifact Registry only. As the cluster by default.
        pub image_streaming: Option<Spanned<bool>>,
        /// The Google service account of the nodes, by its address. By default Compute Engine's own.
        pub service_account: Option<Spanned<NonEmpty>>,
        /// The most pods on a node. 110 by default.
        pub max_pods_per_node: Option<Spanned<Whole<8, 256>>>,
        /// How many nodes more than `nodes` an upgrade may have for a while. 1 by default; 0 where there are no spare accelerators.
        pub max_surge: Option<Spanned<Whole<0, 20>>>,
        /// How many nodes an upgrade may take away at a time. 0 by default.
        pub max_unavailable: Option<Spanned<Whole<0, 20>>>,
        /// How long to wait for the pool, as "1h".
        pub timeout: Option<Spanned<Duration>>,
    }
}

choice! {
    /// What a taint does to pods that do not tolerate it.
    pub enum TaintEffect {
        /// They are not scheduled.
        NoSchedule = "NoSchedule",
        /// They are scheduled only where there is no other place.
        PreferNoSchedule = "PreferNoSchedule",
        /// They are not scheduled, and evicted when they run.
        NoExecute = "NoExecute",
    }
}

table! {
    /// A Kubernetes taint.
    pub struct Taint in "a taint" {
        /// The taint's key.
        pub key: Spanned<LabelKey>,
        /// The taint's value.
        pub value: Option<Spanned<KubernetesLabel>>,
        /// What happens to pods that do not tolerate it: NoSchedule, PreferNoSchedule or NoExecute.
        pub effect: Spanned<TaintEffect>,
    }
}

choice! {
    /// Who builds an add-on or an image.
    pub enum Distribution {
        /// The project itself.
        Upstream = "upstream",
        /// Red Hat AI Inference; images need a login to registry.redhat.io.
        Rhaii = "rhaii",
    }
}

/// The add-ons of the catalogue.
pub const ADDONS: &[&str] =
    &["gpu-operator", "cert-manager", "istio", "lws", "kserve", "gateway-api", "inference-extension"];

table! {
    /// An operator or a set of definitions that the catalogue knows; an empty table takes the tested version.
    pub struct Addon in "[addons]" {
        /// Who builds it: upstream or rhaii. Upstream by default.
        pub distribution: Option<Spanned<Distribution>>,
        /// The version. By default the one that the catalogue was tested with.
        pub version: Option<Spanned<NonEmpty>>,
        /// Values that are laid over the catalogue's.
        pub values: Option<Spanned<Values>>,
        /// How long to wait until it is ready, as "10m".
        pub timeout: Option<Spanned<Duration>>,
    }
}

table! {
    /// The way in: one address with TLS in front of all workloads.
    pub struct Gateway in "[gateway]" {
        /// The Gateway's name. "inference-gateway" by default.
        pub name: Option<Spanned<LabelName>>,
        /// Its namespace.
        pub namespace: Option<Spanned<LabelName>>,
        /// The GatewayClass. "istio" by default.
        pub class: Option<Spanned<LabelName>>,
        /// Where its certificate comes from: issued (the stack's own authority), issuer:NAME (a ClusterIssuer), secret:NAME, or off. Issued by default.
        pub tls: Option<Spanned<GatewayTls>>,
        /// The authority that the certificate of issuer:NAME or secret:NAME is checked with, PEM. By default those that this machine trusts.
        pub ca_certificate: Option<Spanned<Text>>,
        /// The host name that listeners answer to. Any by default.
        pub hostname: Option<Spanned<HostName>>,
        /// The port for HTTPS. 443 by default.
        pub https_port: Option<Spanned<Whole<1, 65535>>>,
        /// A port for plain HTTP. None by default, 80 where `tls` is off.
        pub http_port: Option<Spanned<Whole<1, 65535>>>,
        /// Whether the address is reachable from the VPC network only.
        pub internal: Option<Spanned<bool>>,
        /// How long to wait for the address, as "10m".
        pub timeout: Option<Spanned<Duration>>,
    }
}

impl Gateway {
    /// The Gateway's name.
    pub fn name(&self) -> &str {
        self.name.as_ref().map_or("inference-gateway", |name| &***name)
    }

    /// The GatewayClass.
    pub fn class(&self) -> &str {
        self.class.as_ref().map_or("istio", |class| &***class)
    }

    /// Where the certificate comes from.
    pub fn tls(&self) -> GatewayTls {
        self.tls.as_ref().map_or(GatewayTls::Issued, |tls| tls.value.clone())
    }

    /// The port for HTTPS, unless TLS is off.
    pub fn https_port(&self) -> Option<i64> {
        (self.tls() != GatewayTls::Off).then(|| self.https_port.as_ref().map_or(443, |port| port.get()))
    }

    /// The port for plain HTTP, if any.
    pub fn http_port(&self) -> Option<i64> {
        let default = (self.tls() == GatewayTls::Off).then_some(80);
        self.http_port.as_ref().map(|port| port.get()).or(default)
    }
}

table! {
    /// The login to a container registry. Pods whose images come from it get it as an image pull secret.
    pub struct Registry in "[registries]" {
        /// The content of a Docker configuration file (`{"auths": …}`); refer to a secret input.
        pub pull_secret: Spanned<Text>,
    }
}

table! {
    /// A Helm chart of your own.
    pub struct Chart in "[charts]" {
        /// Where the chart is: oci://…, the address of a repository or archive (https://…), git+https://HOST/OWNER/REPOSITORY//FOLDER?ref=TAG, or a folder or archive relative to this file.
        pub source: Spanned<ChartSource>,
        /// The chart's name in a repository given by https://.
        pub chart: Option<Spanned<NonEmpty>>,
        /// The chart's version, or a range of versions; the lock file says which one it is. Charts from a folder need none.
        pub version: Option<Spanned<NonEmpty>>,
        /// The namespace it is installed in. "default" by default.
        pub namespace: Option<Spanned<LabelName>>,
        /// The chart's values.
        pub values: Option<Spanned<Values>>,
        /// Components that must be ready first, as ["addons.istio"].
        pub depends_on: Vec<Spanned<AddressText>>,
        /// How long to wait for each of its objects, as "10m".
        pub timeout: Option<Spanned<Duration>>,
    }
}

table! {
    /// Kubernetes manifests of your own: files, or one address with its digest.
    pub struct Manifests in "[manifests]" {
        /// Files relative to this file.
        pub files: Vec<Spanned<NonEmpty>>,
        /// An address to fetch them from.
        pub url: Option<Spanned<Url>>,
        /// The sha256 digest of what `url` returns, as "sha256:…".
        pub digest: Option<Spanned<Digest>>,
        /// The namespace of objects that name none. "default" by default.
        pub namespace: Option<Spanned<LabelName>>,
        /// Components that must be ready first, as ["addons.istio"].
        pub depends_on: Vec<Spanned<AddressText>>,
        /// How long to wait for each object, as "10m".
        pub timeout: Option<Spanned<Duration>>,
    }
}

table! {
    /// A value that is stored; others refer to its `output` and `id`.
    pub struct Stored in "[values]" {
        /// Anything; may refer to other components.
        pub input: Spanned<Value>,
    }
}

table! {
    /// A component that was renamed.
    pub struct Moved in "[[moved]]" {
        /// The address it had.
        pub from: Spanned<AddressText>,
        /// The address it has now.
        pub to: Spanned<AddressText>,
    }
}

/// What the stack tells when it is done: a value, or a table with `value`, `description` and `sensitive`.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The value.
    pub value: Spanned<Value>,
    /// What it is.
    pub description: Option<Spanned<String>>,
    /// Whether it is shown only when asked for by name.
    pub sensitive: Option<Spanned<bool>>,
}

table! {
    /// An output with all its keys.
    pub struct OutputTable in "[outputs]" {
        /// The value; usually a reference.
        pub value: Spanned<Value>,
        /// What it is.
        pub description: Option<Spanned<String>>,
        /// Whether it is shown only when asked for by name.
        pub sensitive: Option<Spanned<bool>>,
    }
}

impl Decode for Output {
    const REFERABLE: bool = false;

    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        if tree.get("value").is_some() {
            let OutputTable { value, description, sensitive, .. } = Decode::decode(tree, decoder)?;
            return Some(Output { value, description, sensitive });
        }
        Some(Output { value: Decode::decode(tree, decoder)?, description: None, sensitive: None })
    }

    fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let table = generator.subschema_for::<OutputTable>();
        schemars::json_schema!({ "anyOf": [table, {}] })
    }
}

/// Says which names the entries of a section may have, and whether they are components.
macro_rules! entries {
    ($($name:ty: $section:expr, $rule:path;)*) => { $(
        impl Entry for $name {
            const SECTION: Option<&'static str> = $section;

            fn check_key(key: &str) -> Result<(), String> {
                $rule(key)
            }
        }
    )* };
}

entries! {
    NodePool: Some("node_pools"), names::gke;
    Registry: None, names::registry;
    Workload: Some("workloads"), names::workload;
    Chart: Some("charts"), names::release;
    Manifests: Some("manifests"), names::label;
    Stored: Some("values"), names::word;
    Output: None, names::word;
}

impl Entry for Input {
    const LITERAL: Option<&'static str> = Some("an input is given from outside");

    fn check_key(key: &str) -> Result<(), String> {
        names::word(key)
    }
}

/// Entries of plain maps keep their places.
impl<T: Entry> Entry for Spanned<T> {
    fn check_key(key: &str) -> Result<(), String> {
        T::check_key(key)
    }
}

impl Entry for Addon {
    const SECTION: Option<&'static str> = Some("addons");
    const KEY: &'static str = "an add-on of the catalogue";

    fn check_key(name: &str) -> Result<(), String> {
        if ADDONS.contains(&name) {
            return Ok(());
        }
        Err(match crate::diag::suggest(name, ADDONS.iter().copied()) {
            Some(close) => format!("did you mean {close}?"),
            None => format!("there are {}", ADDONS.join(", ")),
        })
    }
}
