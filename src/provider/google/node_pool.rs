//! The kind `gke.node_pool`: one node pool of a GKE standard cluster.
//!
//! Attributes, `?` = optional; what is not named is the server's choice and never a difference:
//!
//! | attribute | type | meaning; how it changes |
//! |---|---|---|
//! | `name` | text | replaces |
//! | `cluster` `project` `location` | text | the cluster's; replaces |
//! | `machine_type` | text | in place, rolls the nodes; replaces a TPU pool |
//! | `nodes` | number | per zone; in place; only the initial size while `autoscale` is set |
//! | `autoscale`? | `{min, max}` | per zone; in place |
//! | `accelerator`? | `{type, count, gpu_driver?}` | GPUs: `nvidia-tesla-t4`, 1, `default` `latest` `disabled`; replaces. TPUs come with the machine type |
//! | `tpu_topology`? | text | multi-host slices only (`4x4`): GKE refuses it on single hosts; replaces |
//! | `placement`? | text | `compact`; replaces. Implied by `tpu_topology` |
//! | `spot`? `flex_start`? | boolean | replaces |
//! | `reservation`? | text | name of a specific reservation, or `none`; replaces |
//! | `labels`? | map of text | Kubernetes labels of the nodes; in place |
//! | `taints`? | list of `{key, value?, effect}` | effect as Kubernetes writes it, `NoSchedule`; in place |
//! | `resource_labels`? | map of text | Google Cloud labels besides ours; in place |
//! | `disk_size_gb`? `disk_type`? `image_type`? | number, text | in place, rolls the nodes |
//! | `oauth_scopes`? `service_account`? | list, text | replaces |
//! | `max_pods_per_node`? | number | replaces |
//! | `node_locations`? | list of text | zones; in place |
//! | `image_streaming`? | boolean | containers start while their image comes; in place, rolls the nodes |
//! | `workload_metadata`? | text | `gke`: pods are given their own Google accounts' tokens, not the node's; in place, rolls the nodes |
//! | `node_version`? | text | full or prefix; in place, rolls the nodes |
//! | `auto_repair`? `auto_upgrade`? | boolean | in place |
//! | `max_surge`? `max_unavailable`? | number | how upgrades roll; in place |
//!
//! Outputs: `name cluster project location machine_type` (known from the start), `nodes` (as counted by
//! GKE), `version`, `self_link`, `instance_groups`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use google_cloud_container_v1::model::{NodePool, node_pool::Status};

use super::client::GoogleClient;
use super::difference::{self, Field, Same};
use super::error::failure;
use super::operation::{self, Standing};
use super::pool::{self, text};
use super::{forbids_secrets, required};
use crate::address::Address;
use crate::diag::Diagnostic;
use crate::resource::driver::{Ack, ApplyRequest, Driver, Found, Mark, Ownership, Poll, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::kind::{Attribute, Change, Demise, Kind, Observed, Prior};
use crate::resource::model::{Ceded, Resource};
use crate::resource::readiness::Readiness;
use crate::value::Value;

/// How each attribute is compared and changed.
pub(super) const FIELDS: &[Field] = &[
    Field::replacing(&["name"], Same::Exact),
    Field::replacing(&["cluster"], Same::Exact),
    Field::replacing(&["project"], Same::Exact),
    Field::replacing(&["location"], Same::Exact),
    Field::rolling(&["machine_type"], Same::Exact),
    Field::in_place(&["nodes"], Same::Exact),
    Field::switched(&["autoscale"], Same::Exact),
    Field::replacing(&["accelerator"], Same::Exact),
    Field::replacing(&["tpu_topology"], Same::Exact),
    Field::replacing(&["placement"], Same::Exact),
    Field::replacing(&["spot"], Same::Exact),
    Field::replacing(&["flex_start"], Same::Exact),
    Field::replacing(&["reservation"], Same::Exact),
    Field::in_place(&["labels"], Same::Keys),
    Field::in_place(&["taints"], Same::Taints),
    Field::in_place(&["resource_labels"], Same::Keys),
    Field::rolling(&["disk_size_gb"], Same::Exact),
    Field::rolling(&["disk_type"], Same::Exact),
    Field::rolling(&["image_type"], Same::Exact),
    Field::replacing(&["oauth_scopes"], Same::Set),
    Field::replacing(&["service_account"], Same::Exact),
    Field::replacing(&["max_pods_per_node"], Same::Exact),
    Field::in_place(&["node_locations"], Same::Set),
    Field::rolling(&["image_streaming"], Same::Exact),
    Field::rolling(&["workload_metadata"], Same::Exact),
    Field::rolling(&["node_version"], Same::Version),
    Field::in_place(&["auto_repair"], Same::Exact),
    Field::in_place(&["auto_upgrade"], Same::Exact),
    Field::in_place(&["max_surge"], Same::Exact),
    Field::in_place(&["max_unavailable"], Same::Exact),
];

/// The pure half of `gke.node_pool`.
#[derive(Debug, Default, Clone, Copy)]
pub struct NodePoolKind;

impl Kind for NodePoolKind {
    fn name(&self) -> &'static str {
        "gke.node_pool"
    }

    fn attributes(&self) -> Vec<Attribute> {
        difference::attributes(FIELDS)
    }

    fn check(&self, resource: &Resource) -> Vec<Diagnostic> {
        let attrs = &resource.attrs;
        let mut found = required(resource, &["name", "cluster", "project", "location", "machine_type"]);
        found.extend(forbids_secrets(resource));
        let machine = text(attrs, "machine_type").unwrap_or_default();
        if let (Some(topology), Some(chips)) = (text(attrs, "tpu_topology"), chips_per_host(machine)) {
            let product = topology.split('x').map(|side| side.parse::<u32>().unwrap_or(0)).product::<u32>();
            if product > 0 && product <= chips {
                found.push(
                    Diagnostic::error(format!("{topology} on {machine} is a single host and takes no topology"))
                        .detail("GKE refuses placementPolicy.tpuTopology on single-host TPU pools")
                        .hint("leave `tpu_topology` out; select nodes by the label cloud.google.com/gke-tpu-topology")
                        .about(resource.address.clone()),
                );
            }
        }
        let mut mistake = |summary: String, hint: &str| {
            found.push(Diagnostic::error(summary).hint(hint).about(resource.address.clone()));
        };
        if attrs.get("accelerator").is_some() && machine.starts_with("e2-") {
            mistake(format!("{machine} cannot carry accelerators"), "T4 needs an n1 machine type");
        }
        let is = |key: &str| attrs.get(key).and_then(Value::as_bool) == Some(true);
        if is("spot") && is("flex_start") {
            mistake("a pool is spot or flex-start, not both".to_owned(), "leave one of the two out");
        }
        if let (Some(topology), Some(chips)) = (text(attrs, "tpu_topology"), chips_per_host(machine))
            && let Some(most) = attrs.at(&["autoscale", "max"]).and_then(Value::as_int)
        {
            let all = topology.split('x').map(|side| side.parse::<i64>().unwrap_or(0)).product::<i64>();
            let hosts = all / i64::from(chips.max(1));
            let least = attrs.at(&["autoscale", "min"]).and_then(Value::as_int).unwrap_or(0);
            if hosts > 1 && (least, most) != (0, hosts) {
                let hint = format!("write autoscale = [0, {hosts}]");
                mistake(format!("a slice of {topology} has 0 or {hosts} nodes, nothing between"), &hint);
            }
        }
        found
    }

    fn diff(&self, desired: &Value, _: &[Ceded], prior: Prior<'_>) -> Vec<Change> {
        let changes = disturbing(sized(difference::diff(FIELDS, desired, prior), desired));
        difference::called_out(changes, "the pool is deleted with all that runs on it, then made anew")
    }

    fn drift(&self, _: &[Ceded], prior: Prior<'_>) -> Vec<Change> {
        sized(difference::drift(FIELDS, prior), difference::applied(prior))
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
        let keys = ["name", "cluster", "project", "location", "machine_type", "nodes", "self_link", "instance_groups"];
        let mut outputs = difference::part(&observed.attrs, &keys);
        outputs.insert("version".into(), observed.attrs.get("node_version").cloned().unwrap_or_default());
        Value::Map(outputs)
    }

    fn known_outputs(&self, desired: &Value) -> Value {
        difference::known_part(desired, &["name", "cluster", "project", "location", "machine_type"])
    }

    /// Accelerators cost most by far: a pool of them is deleted at once, by a call of its own, while everything else
    /// is still being taken apart. Other pools go with their cluster.
    fn demise(&self, attrs: &Value) -> Demise {
        let is_tpu = text(attrs, "machine_type").is_some_and(|machine| chips_per_host(machine).is_some());
        let has_gpus = attrs.get("accelerator").is_some_and(|accelerator| *accelerator != Value::Null);
        if is_tpu || has_gpus { Demise::Own } else { Demise::WithConnection }
    }

    /// Without nodes, and without an autoscaler that would bring them back; only pools with accelerators.
    fn paused(&self, desired: &Value) -> Result<Option<Value>, String> {
        let has_tpu = text(desired, "machine_type").is_some_and(|machine| chips_per_host(machine).is_some());
        let has_gpu = desired.get("accelerator").is_some_and(|accelerator| *accelerator != Value::Null);
        let Value::Map(map) = desired else { return Ok(None) };
        if !has_tpu && !has_gpu {
            return Ok(None);
        }
        if desired.get("tpu_topology").is_some() {
            return Err("GKE does not resize a slice of several hosts".to_owned());
        }
        let mut map = map.clone();
        map.insert("nodes".to_owned(), 0.into());
        map.remove("autoscale");
        Ok(Some(Value::Map(map)))
    }

    /// With nodes 2:34 and 4:17, empty 10 and 11 s, in four public logs.
    fn removal(&self, attrs: &Value) -> Duration {
        let empty = attrs.get("nodes").and_then(Value::as_int) == Some(0);
        Duration::from_secs(if empty { 11 } else { 180 })
    }

    fn exclusive(&self, _: &Address, attrs: &Value) -> Option<String> {
        Place::of(attrs).map(|place| place.pool())
    }
}

/// The size of an autoscaled pool is the autoscaler's; a TPU pool's machine type cannot be changed.
pub(super) fn sized(mut changes: Vec<Change>, attrs: &Value) -> Vec<Change> {
    let is = |change: &Change, key: &str| change.path.last().is_some_and(|last| last == key);
    if attrs.get("autoscale").is_some_and(|scale| *scale != Value::Null) {
        // An empty pool that gets an autoscaler, as after a pause, starts with its size.
        let begins = changes.iter().any(|change| is(change, "autoscale") && change.before.is_none());
        changes.retain(|change| !is(change, "nodes") || (begins && change.before == Some(0.into())));
    }
    for change in &mut changes {
        let is_tpu = |value: &Option<Value>| {
            value.as_ref().and_then(Value::as_str).is_some_and(|machine| chips_per_host(machine).is_some())
        };
        if change.path.last().is_some_and(|last| last == "machine_type")
            && (is_tpu(&change.before) || is_tpu(&change.after))
            && change.before.is_some()
        {
            change.forces_replace = true;
            change.effect = None;
        }
        // Multi-host slices are atomic: GKE answers a resize with 501.
        if change.path == ["nodes"] && attrs.get("tpu_topology").is_some() {
            change.forces_replace = true;
        }
    }
    changes
}

/// Says which nodes a change takes away; paths end in the attribute's name.
pub(super) fn disturbing(mut changes: Vec<Change>) -> Vec<Change> {
    for change in changes.iter_mut().filter(|change| !change.forces_replace && change.effect.is_none()) {
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        change.effect = match change.path.last().map(String::as_str) {
            Some("nodes") => match (before.and_then(Value::as_int), after.and_then(Value::as_int)) {
                (Some(is), Some(shall)) if shall < is => {
                    Some(format!("{} of {is} nodes go, with the pods on them", is - shall))
                }
                _ => None,
            },
            Some("node_locations") => {
                let zones = |value: Option<&Value>| {
                    let list = value.and_then(Value::as_list).unwrap_or_default();
                    list.iter().filter_map(Value::scalar_text).collect::<Vec<_>>()
                };
                let (left, stays) = (zones(before), zones(after));
                let left = left.into_iter().filter(|zone| !stays.contains(zone)).collect::<Vec<_>>();
                (!left.is_empty()).then(|| format!("the nodes in {} go, with the pods on them", left.join(", ")))
            }
            Some("taints") => {
                let evicts = |taint: &Value| taint.get("effect").and_then(Value::as_str) == Some("NoExecute");
                let list = after.and_then(Value::as_list).unwrap_or_default();
                let more = list
                    .iter()
                    .any(|taint| evicts(taint) && !before.and_then(Value::as_list).unwrap_or_default().contains(taint));
                more.then(|| "pods that do not tolerate it are evicted".to_owned())
            }
            _ => None,
        };
    }
    changes
}

/// TPU chips of one host, by machine type (`ct6e-standard-4t`); `None` for anything but TPUs.
fn chips_per_host(machine: &str) -> Option<u32> {
    let (family, size) = machine.rsplit_once('-')?;
    (family.starts_with("ct") || family.starts_with("tpu")).then(|| size.strip_suffix('t')?.parse().ok()).flatten()
}

/// Where a pool is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    project: String,
    location: String,
    cluster: String,
    name: String,
}

impl Place {
    fn of(attrs: &Value) -> Option<Self> {
        let part = |key| text(attrs, key).map(str::to_owned);
        Some(Place {
            project: part("project")?,
            location: part("location")?,
            cluster: part("cluster")?,
            name: part("name")?,
        })
    }

    /// Where the resource is: as recorded, by its handle, and as desired where neither is there yet. What is
    /// being made anew has no record, but may still have the handle of the pool before it.
    fn find(subject: &Subject) -> Result<Self, ProviderError> {
        let by_id = || {
            let parts = subject.id.as_deref()?.split('/').collect::<Vec<_>>();
            let [_, project, _, location, _, cluster, _, name] = parts[..] else { return None };
            let [project, location, cluster, name] = [project, location, cluster, name].map(str::to_owned);
            Some(Place { project, location, cluster, name })
        };
        let desired = || subject.desired.as_deref().and_then(Place::of);
        let found = match applied(subject) {
            Some(attrs) => by_id().or_else(|| Place::of(attrs)).or_else(desired),
            None => desired().or_else(by_id),
        };
        found.ok_or_else(|| {
            let text = format!("{}: project, location, cluster or name is not known", subject.address);
            ProviderError::new(ErrorClass::Invalid, text)
        })
    }

    fn parent(&self) -> String {
        format!("projects/{}/locations/{}", self.project, self.location)
    }

    fn in_cluster(&self) -> String {
        format!("{}/clusters/{}", self.parent(), self.cluster)
    }

    fn pool(&self) -> String {
        format!("{}/nodePools/{}", self.in_cluster(), self.name)
    }

    fn observe(&self, pool: &NodePool, nodes: Option<i64>) -> Observed {
        let mut attrs = pool::attributes(pool, nodes);
        for (key, value) in [("project", &self.project), ("location", &self.location), ("cluster", &self.cluster)] {
            attrs.insert(key.to_owned(), value.as_str().into());
        }
        Observed { id: self.pool(), attrs: Value::Map(attrs) }
    }
}

/// The attributes as last applied; `None` before that, when state has at most the intent.
fn applied(subject: &Subject) -> Option<&Value> {
    subject.recorded.as_deref()?.get("attrs")
}

/// Does things to node pools.
pub struct NodePoolDriver {
    client: Arc<GoogleClient>,
}

impl NodePoolDriver {
    /// A driver over this client.
    pub fn new(client: Arc<GoogleClient>) -> Self {
        NodePoolDriver { client }
    }

    async fn get(&self, place: &Place) -> Result<Option<NodePool>, ProviderError> {
        let name = place.pool();
        self.client.note(&place.project);
        let answer = self.client.call(|gke| async move { gke.get_node_pool().set_name(name).send().await }).await;
        match answer {
            Ok(pool) => Ok(Some(pool)),
            Err(error) if error.class == ErrorClass::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn observe(&self, place: &Place, pool: &NodePool) -> Observed {
        place.observe(pool, pool::nodes(&self.client, pool).await)
    }
}

#[async_trait]
impl Driver for NodePoolDriver {
    async fn read(&self, subjects: &[Subject], ownership: &Ownership) -> Vec<Result<Option<Observed>, ProviderError>> {
        // One list per cluster.
        let mut lists = BTreeMap::new();
        let mut answers = Vec::new();
        for subject in subjects {
            let place = match Place::find(subject) {
                Ok(place) => place,
                Err(error) => {
                    // A name that is not known yet cannot be there yet.
                    answers.push(if applied(subject).is_none() { Ok(None) } else { Err(error) });
                    continue;
                }
            };
            let parent = place.in_cluster();
            if !lists.contains_key(&parent) {
                let cluster = parent.clone();
                let call =
                    self.client.call(|gke| async move { gke.list_node_pools().set_parent(cluster).send().await });
                let list = match call.await {
                    Ok(answer) => Ok(answer.node_pools),
                    Err(error) if error.class == ErrorClass::NotFound => Ok(Vec::new()),
                    Err(error) => Err(error),
                };
                lists.insert(parent.clone(), list);
            }
            answers.push(match &lists[&parent] {
                Err(error) => Err(error.clone()),
                Ok(pools) => match pools.iter().find(|pool| pool.name == place.name) {
                    Some(pool)
                        if applied(subject).is_some()
                            || pool::is_ours(pool, ownership)
                            || (subject.adopt && pool::owner(pool).is_none()) =>
                    {
                        Ok(Some(self.observe(&place, pool).await))
                    }
                    // Somebody else's pool of that name: creating ours will say so.
                    _ => Ok(None),
                },
            });
        }
        answers
    }

    async fn marks(&self, subjects: &[Subject]) -> Result<Vec<Option<Mark>>, ProviderError> {
        let mut marks = Vec::new();
        for subject in subjects {
            let pool = match Place::find(subject) {
                Ok(place) => self.get(&place).await?,
                Err(_) => None,
            };
            marks.push(pool.and_then(|pool| {
                let labels = pool.config?.resource_labels;
                Some(Mark { id: labels.get(pool::MARK)?.clone(), stack: labels.get(pool::STACK).cloned() })
            }));
        }
        Ok(marks)
    }

    /// In the cluster that `connection` describes, the cluster's own pool included.
    async fn find(&self, connection: Option<&Value>, ownership: &Ownership) -> Result<Vec<Found>, ProviderError> {
        let part = |key| connection.and_then(|connection| text(connection, key)).map(str::to_owned);
        let (Some(project), Some(location), Some(cluster)) = (part("project"), part("location"), part("name")) else {
            return Ok(Vec::new());
        };
        let place = |name: &str| Place {
            project: project.clone(),
            location: location.clone(),
            cluster: cluster.clone(),
            name: name.to_owned(),
        };
        let parent = place("").in_cluster();
        let call = self.client.call(|gke| async move { gke.list_node_pools().set_parent(parent).send().await });
        let mut found = Vec::new();
        for pool in call.await?.node_pools.iter().filter(|pool| pool::is_ours(pool, ownership)) {
            let observed = self.observe(&place(&pool.name), pool).await;
            found.push(Found { name: pool.name.clone(), observed });
        }
        Ok(found)
    }

    async fn create(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        let place = Place::of(&request.attrs)
            .ok_or_else(|| ProviderError::new(ErrorClass::Invalid, "project, location, cluster or name is missing"))?;
        let parent = place.in_cluster();
        let wanted = pool::build(&request.attrs, &request.ownership);
        self.client.note_pool(&place.pool(), true);
        let call = self
            .client
            .call(|gke| async move { gke.create_node_pool().set_parent(parent).set_node_pool(wanted).send().await });
        match call.await {
            Ok(operation) => Ok(Ack { operation: operation::path(&place.parent(), &operation), ..Ack::default() }),
            Err(error) if error.class == ErrorClass::AlreadyExists => {
                let Some(pool) = self.get(&place).await? else { return Err(error) };
                if pool::is_ours(&pool, &request.ownership) {
                    return Ok(Ack { observed: Some(self.observe(&place, &pool).await), ..Ack::default() });
                }
                let owner = pool::owner(&pool);
                if request.adopt && owner.is_none() {
                    let step = pool::mark(&pool, &request.ownership);
                    let operation = pool::take(&self.client, &place.pool(), step).await?;
                    return Ok(Ack { operation: operation::path(&place.parent(), &operation), ..Ack::default() });
                }
                Err(super::foreign(&format!("node pool {}", place.name), owner.map(String::as_str)))
            }
            Err(error) => Err(error),
        }
    }

    async fn update(&self, request: &ApplyRequest) -> Result<Ack, ProviderError> {
        let place = Place::find(&request.subject)?;
        let Some(pool) = self.get(&place).await? else {
            return Err(ProviderError::new(ErrorClass::NotFound, format!("node pool {} is gone", place.name)));
        };
        // What is left to do is read off the pool as it is now: earlier calls may have done a part.
        let observed = self.observe(&place, &pool).await;
        let prior = Prior { recorded: request.subject.recorded.as_deref(), observed: Some(&observed) };
        let changes = NodePoolKind.diff(&request.attrs, &[], prior);
        let mut steps = pool::steps(&request.attrs, &changes, &pool);
        if request.adopt && pool::owner(&pool).is_none() {
            // First: from then on it is this stack's.
            steps.insert(0, pool::mark(&pool, &request.ownership));
        }
        let more = steps.len() > 1;
        let Some(step) = steps.into_iter().next() else {
            return Ok(Ack { observed: Some(observed), ..Ack::default() });
        };
        let operation = pool::take(&self.client, &place.pool(), step).await?;
        Ok(Ack { operation: operation::path(&place.parent(), &operation), more, ..Ack::default() })
    }

    async fn delete(&self, subject: &Subject, _: &Observed) -> Result<Ack, ProviderError> {
        let place = Place::find(subject)?;
        let name = place.pool();
        let call = self.client.call(|gke| async move { gke.delete_node_pool().set_name(name).send().await });
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
            if let Some(pool) = self.get(&place).await?
                && let Some(error) = pool::group_failure(&self.client, &pool, since).await
            {
                return Err(error);
            }
            self.client.note_pool(&place.pool(), true);
            return Ok(Poll { readiness: Readiness::waiting(phrase), observed: None });
        }
        self.client.note_pool(&place.pool(), false);
        let Some(pool) = self.get(&place).await? else {
            return Ok(Poll { readiness: Readiness::NotFound, observed: None });
        };
        let said = if pool.status_message.is_empty() { "GKE gives no reason" } else { pool.status_message.as_str() };
        let readiness = match pool.status {
            Status::Running => Readiness::Current,
            Status::Stopping => Readiness::Terminating { waiting_for: "the nodes to be deleted".into() },
            Status::Error | Status::RunningWithError => {
                let error = failure(said, pool.conditions.iter());
                if matches!(error.class, ErrorClass::StockOut | ErrorClass::Quota) {
                    return Err(error);
                }
                Readiness::failed(format!("the pool is in the state {}: {said}", pool.status.name().unwrap_or("ERROR")))
            }
            Status::Provisioning => Readiness::waiting("the nodes are being made"),
            _ => Readiness::waiting("GKE is working on the pool"),
        };
        Ok(Poll { readiness, observed: Some(self.observe(&place, &pool).await) })
    }

    fn poll_interval(&self, waited: Duration) -> Duration {
        if waited < Duration::from_secs(30) { Duration::from_secs(5) } else { Duration::from_secs(10) }
    }
}
