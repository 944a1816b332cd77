//! Long-running operations: documents that carry the times of their steps, and the one loop that takes them.
//!
//! A step may be taken twice (a process can die between a step and the note that it was taken), so steps
//! bring about a state and do not count. Which steps an operation has is said by whoever starts it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{CLUSTERS, ClusterName, OPERATIONS, POOLS, Place, Version, clusters, durations, nodes};
use crate::env::clock::Timestamp;
use crate::sim::faults::Fate;
use crate::sim::google::Google;
use crate::sim::google::answer::Refusal;

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Starts the API server and says where it is.
    StartControlPlane,
    /// Makes instances and nodes what the pools want.
    Nodes,
    /// Replaces the oldest node that is older than the operation.
    ReplaceNode,
    /// Removes all instances and nodes of the target.
    RemoveNodes,
    /// Stops the API server.
    StopControlPlane,
    /// Replaces top-level fields of the cluster; `null` removes.
    ChangeCluster(Json),
    /// Replaces top-level fields of the pool's resource; `null` removes.
    ChangePool(Json),
    /// Brings labels and taints of the pool's nodes up to date.
    RefreshNodes,
    /// Sets the target's status; the text is `statusMessage`.
    Status(String),
    /// Removes the documents of the target.
    Forget,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What.
    pub act: Act,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `google.rpc.Code`.
    pub code: i32,
    /// `GCE_STOCKOUT`.
    pub condition: String,
    /// `RESOURCE_EXHAUSTED`.
    pub canonical: String,
    /// The text.
    pub message: String,
}

/// An operation's document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// `operation-<ms>-<uuid>`.
    pub name: String,
    /// `CREATE_CLUSTER`.
    pub kind: String,
    /// Project id.
    pub project: String,
    /// Zone or region.
    pub location: String,
    /// Cluster name.
    pub cluster: String,
    /// Pool name, for operations on a pool.
    #[serde(default)]
    pub pool: Option<String>,
    /// When the request came.
    pub start: Timestamp,
    /// Until when it is PENDING.
    pub running: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub end: Option<Timestamp>,
    /// What it does, in order of time.
    pub steps: Vec<Step>,
    /// Steps taken.
    #[serde(default)]
    pub taken: usize,
    /// How it will end, or ended.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Nodes to upgrade.
    #[serde(default)]
    pub total_nodes: u64,
    /// Asked to stop.
    #[serde(default)]
    pub cancelled: bool,
}

impl Operation {
    fn place(&self) -> Place {
        Place { project: self.project.clone(), location: self.location.clone() }
    }

    /// The cluster it works on.
    pub fn target(&self) -> ClusterName {
        ClusterName { place: self.place(), name: self.cluster.clone() }
    }
}

/// Steps in the making: `after(seconds)` from the start.
#[derive(Debug)]
pub struct Draft {
    kind: &'static str,
    pending: bool,
    steps: Vec<(Duration, Act)>,
    failure: Option<Failure>,
    total_nodes: u64,
}

impl Draft {
    /// An operation of a type.
    pub fn new(kind: &'static str) -> Self {
        Draft { kind, pending: false, steps: Vec::new(), failure: None, total_nodes: 0 }
    }

    /// It is PENDING at first.
    #[must_use]
    pub fn pending(mut self) -> Self {
        self.pending = true;
        self
    }

    /// Adds a step.
    #[must_use]
    pub fn after(mut self, seconds: u64, act: Act) -> Self {
        self.steps.push((Duration::from_secs(seconds), act));
        self
    }

    /// It ends so, after that long, and takes no steps but these.
    #[must_use]
    pub fn failing(mut self, after: Duration, failure: Failure) -> Self {
        self.steps.push((after, Act::Status(failure.message.clone())));
        self.failure = Some(failure);
        self
    }

    /// How many nodes it upgrades.
    #[must_use]
    pub fn nodes(mut self, total: u64) -> Self {
        self.total_nodes = total;
        self
    }
}

/// Refuses when an operation that is under way does not allow another on this target.
///
/// # Errors
/// 400 CLUSTER_ALREADY_HAS_OPERATION, or 429 where the world has a quota of operations.
pub fn admit(google: &Google, cluster: &ClusterName, pool: Option<&str>) -> Result<(), Refusal> {
    let busy = |name: &str| {
        Refusal::precondition(format!("Cluster is running incompatible operation {name}.")).because(
            "CLUSTER_ALREADY_HAS_OPERATION",
            "container.googleapis.com",
            json!({}),
        )
    };
    let mut running = 0;
    for other in unfinished(google).into_iter().filter(|other| other.target() == *cluster) {
        let compatible = match (other.pool.as_deref(), pool) {
            // Changes of management may overlap with everything else.
            _ if other.kind == "SET_NODE_POOL_MANAGEMENT" => true,
            (Some(other), Some(pool)) => other != pool,
            _ => false,
        };
        if !compatible {
            return Err(busy(&other.name));
        }
        running += 1;
    }
    if google.faults.operation_quota().is_some_and(|limit| running >= limit) {
        let text = format!(
            "Too many operations: cluster \"{}\" hits the concurrent operations quota {running}, please try again later.",
            cluster.name
        );
        return Err(Refusal::new(429, "RESOURCE_EXHAUSTED", "rateLimitExceeded", text));
    }
    Ok(())
}

/// Records a new operation and wakes the loop.
pub fn start(google: &Google, cluster: &ClusterName, pool: Option<&str>, draft: Draft) -> Operation {
    let now = google.clock.now();
    let uuid = google.uuid(&format!("operation {}", google.serial()));
    let fate = google.faults.on_operation(draft.kind);
    let mut steps: Vec<Step> = draft.steps.into_iter().map(|(after, act)| Step { at: now.plus(after), act }).collect();
    let mut failure = draft.failure;
    match fate {
        Some(Fate::Slow(factor)) => {
            for step in &mut steps {
                step.at = now.plus(step.at.since(now).mul_f64(factor.clamp(0.0, 1e6)));
            }
        }
        Some(Fate::Stuck) => steps = vec![Step { at: Timestamp(u64::MAX), act: Act::Status(String::new()) }],
        Some(Fate::Fail(message)) => {
            let at = steps.last().map_or(now, |step| step.at);
            steps = vec![Step { at, act: Act::Status(message.clone()) }];
            let (condition, canonical) = ("UNKNOWN".to_owned(), "INTERNAL".to_owned());
            failure = Some(Failure { code: 13, condition, canonical, message });
        }
        None => {}
    }
    let running = if draft.pending { now.plus(Duration::from_secs(durations::PENDING)) } else { now };
    let operation = Operation {
        name: format!("operation-{}-{uuid}", now.0),
        kind: draft.kind.to_owned(),
        project: cluster.place.project.clone(),
        location: cluster.place.location.clone(),
        cluster: cluster.name.clone(),
        pool: pool.map(str::to_owned),
        start: now,
        running,
        end: None,
        steps,
        taken: 0,
        failure,
        total_nodes: draft.total_nodes,
        cancelled: false,
    };
    put(google, &operation);
    google.wake.notify_one();
    operation
}

fn put(google: &Google, operation: &Operation) {
    // A document of plain data always serialises.
    google.world.put(OPERATIONS, &operation.name, serde_json::to_value(operation).unwrap_or_default());
}

fn read(google: &Google, name: &str) -> Option<Operation> {
    serde_json::from_value((*google.world.get(OPERATIONS, name)?).clone()).ok()
}

fn unfinished(google: &Google) -> Vec<Operation> {
    all(google).into_iter().filter(|o| o.end.is_none()).collect()
}

fn all(google: &Google) -> Vec<Operation> {
    let section = google.world.section(OPERATIONS);
    section.values().filter_map(|o| serde_json::from_value((**o).clone()).ok()).collect()
}

/// The operations of a place, oldest first.
pub fn list(google: &Google, place: &Place) -> Vec<Operation> {
    let here = |o: &Operation| o.project == place.project && (place.location == "-" || o.location == place.location);
    let mut found: Vec<_> = all(google).into_iter().filter(here).collect();
    found.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
    found
}

/// One operation.
///
/// # Errors
/// 404.
pub fn get(google: &Google, place: &Place, name: &str) -> Result<Operation, Refusal> {
    read(google, name)
        .filter(|o| o.project == place.project && o.location == place.location)
        .ok_or_else(|| Refusal::not_found(format!("Not found: {}/operations/{name}.", place.path())))
}

/// Cancels one; promised for UPGRADE_NODES only.
///
/// # Errors
/// 404, or 400 where the type cannot be cancelled.
pub fn cancel(google: &Google, place: &Place, name: &str) -> Result<(), Refusal> {
    let mut operation = get(google, place, name)?;
    if operation.end.is_some() {
        return Ok(());
    }
    if operation.kind != "UPGRADE_NODES" {
        return Err(Refusal::precondition(format!("Operation {name} of type {} cannot be cancelled.", operation.kind)));
    }
    operation.cancelled = true;
    let at = google.clock.now().plus(Duration::from_secs(durations::SET_MANAGEMENT));
    operation.steps.truncate(operation.taken);
    operation.steps.push(Step { at, act: Act::Status(String::new()) });
    let message = "Operation was cancelled.".to_owned();
    let (condition, canonical) = ("CANCELLED".to_owned(), "CANCELLED".to_owned());
    operation.failure = Some(Failure { code: 1, condition, canonical, message });
    put(google, &operation);
    google.wake.notify_one();
    Ok(())
}

/// The operation as the API shows it now.
pub fn show(google: &Google, operation: &Operation, version: Version) -> Json {
    let place = operation.place();
    let root = format!(
        "https://container.googleapis.com/{}/projects/{}/{}",
        version.name(),
        google.project_number(&operation.project),
        place.words()
    );
    let now = google.clock.now();
    let status = match operation.end {
        Some(_) => "DONE",
        None if operation.cancelled => "ABORTING",
        None if now < operation.running => "PENDING",
        None => "RUNNING",
    };
    let mut target = format!("{root}/clusters/{}", operation.cluster);
    if let Some(pool) = &operation.pool {
        target = format!("{target}/nodePools/{pool}");
    }
    let mut out = json!({
        "name": operation.name,
        "zone": operation.location,
        "operationType": operation.kind,
        "status": status,
        "selfLink": format!("{root}/operations/{}", operation.name),
        "targetLink": target,
        "startTime": nanos(operation.start),
    });
    // The answer to the request itself has none.
    if now > operation.start
        && let Some(progress) = progress(operation)
    {
        out["progress"] = progress;
    }
    if let Some(end) = operation.end {
        out["endTime"] = json!(nanos(end));
        if let Some(failure) = &operation.failure {
            out["statusMessage"] = json!(failure.message);
            out["error"] = json!({"code": failure.code, "message": failure.message});
            let condition =
                json!([{"code": failure.condition, "canonicalCode": failure.canonical, "message": failure.message}]);
            let list = if operation.pool.is_some() { "nodepoolConditions" } else { "clusterConditions" };
            out[list] = condition;
        }
    }
    out
}

/// Google's operations have nanoseconds.
pub fn nanos(at: Timestamp) -> String {
    at.rfc3339_micros().replace('Z', "123Z")
}

/// The metrics that answers of the real API carried.
fn progress(operation: &Operation) -> Option<Json> {
    let metric = |name: &str, value: u64| json!({"name": name, "intValue": value.to_string()});
    let share = |total: u64| match operation.end {
        Some(_) => total,
        None => total * operation.taken as u64 / (operation.steps.len() as u64).max(1),
    };
    let metrics = match operation.kind.as_str() {
        "CREATE_CLUSTER" => {
            let configuring = if operation.place().words().starts_with("zones") { 8 } else { 9 };
            vec![
                metric("CLUSTER_CONFIGURING", share(configuring)),
                metric("CLUSTER_CONFIGURING_TOTAL", configuring),
                metric("CLUSTER_DEPLOYING", share(12)),
                metric("CLUSTER_DEPLOYING_TOTAL", 12),
                metric("CLUSTER_HEALTHCHECKING", share(1)),
                metric("CLUSTER_HEALTHCHECKING_TOTAL", 2),
            ]
        }
        "UPGRADE_NODES" => vec![
            metric("NODES_TOTAL", operation.total_nodes),
            metric("NODES_FAILED", 0),
            metric("NODES_COMPLETE", share(operation.total_nodes)),
            metric("NODES_DONE", share(operation.total_nodes)),
            metric("NODE_PDB_DELAY_SECONDS", 0),
        ],
        _ => return None,
    };
    Some(json!({ "metrics": metrics }))
}

/// Takes the steps of all operations when they are due, for ever.
pub async fn run(google: Arc<Google>) {
    loop {
        let next = settle(&google).await;
        let woken = google.wake.notified();
        match next {
            None => woken.await,
            Some(at) => {
                let sleep = google.clock.sleep(at.since(google.clock.now()));
                tokio::select! {
                    () = sleep => {}
                    () = woken => {}
                }
            }
        }
    }
}

/// Takes every step that is due now; returns when the next one is.
pub async fn settle(google: &Arc<Google>) -> Option<Timestamp> {
    loop {
        let now = google.clock.now();
        let due = |o: &Operation| o.steps.get(o.taken).map_or(now, |step| step.at);
        let mut waiting = unfinished(google);
        waiting.sort_by(|a, b| (due(a), &a.name).cmp(&(due(b), &b.name)));
        let mut operation = waiting.into_iter().next()?;
        let at = due(&operation);
        if at > now {
            return (at.0 != u64::MAX).then_some(at);
        }
        if let Some(step) = operation.steps.get(operation.taken).cloned() {
            if let Err(reason) = take(google, &operation, &step.act).await {
                tracing::debug!(operation = operation.name, reason, "a step is tried again");
                // The document may have changed while the step ran.
                let retry = now.plus(Duration::from_secs(5));
                if let Some(mut current) = read(google, &operation.name) {
                    for later in current.steps.iter_mut().skip(operation.taken) {
                        later.at = later.at.max(retry);
                    }
                    put(google, &current);
                }
                continue;
            }
            let Some(current) = read(google, &operation.name) else { continue };
            operation = current;
            operation.taken += 1;
        }
        if operation.taken >= operation.steps.len() {
            operation.end = Some(now);
        }
        put(google, &operation);
    }
}

async fn take(google: &Arc<Google>, operation: &Operation, act: &Act) -> Result<(), String> {
    let target = operation.target();
    let pool = operation.pool.as_deref();
    match act {
        Act::StartControlPlane => clusters::start_control_plane(google, &target).await,
        Act::Nodes => nodes::reconcile(google, &target, pool).await,
        Act::ReplaceNode => nodes::replace_oldest(google, &target, pool.unwrap_or_default(), operation.start).await,
        Act::RemoveNodes => nodes::remove_all(google, &target, pool).await,
        Act::StopControlPlane => {
            clusters::stop_control_plane(google, &target).await;
            Ok(())
        }
        Act::ChangeCluster(change) => {
            clusters::change(google, &target, change);
            Ok(())
        }
        Act::ChangePool(change) => {
            if let Some(pool) = pool {
                super::node_pools::change(google, &target, pool, change);
            }
            Ok(())
        }
        Act::RefreshNodes => nodes::refresh(google, &target, pool.unwrap_or_default()).await,
        Act::Status(_) => {
            set_status(google, operation);
            Ok(())
        }
        Act::Forget => {
            match pool {
                Some(pool) => google.world.remove(POOLS, &target.pool_key(pool)),
                None => clusters::forget(google, &target),
            }
            Ok(())
        }
    }
}

/// The last step of most operations: the target is RUNNING again, or says what went wrong.
fn set_status(google: &Google, operation: &Operation) {
    let target = operation.target();
    let created = operation.kind.starts_with("CREATE");
    let (status, message, conditions) = match &operation.failure {
        Some(failure) if failure.code != 1 => {
            let status = match (created, operation.pool.is_some()) {
                (true, _) => "ERROR",
                (false, true) => "RUNNING_WITH_ERROR",
                (false, false) => "DEGRADED",
            };
            let condition =
                json!([{"code": failure.condition, "canonicalCode": failure.canonical, "message": failure.message}]);
            (status, json!(failure.message), condition)
        }
        _ => ("RUNNING", Json::Null, Json::Null),
    };
    let change = json!({"status": status, "statusMessage": message, "conditions": conditions});
    match operation.pool.as_deref() {
        Some(pool) => super::node_pools::change(google, &target, pool, &change),
        None => {
            clusters::change(google, &target, &change);
            let prefix = format!("{}/", target.key());
            if created {
                for key in google.world.section(POOLS).into_keys().filter(|key| key.starts_with(&prefix)) {
                    super::node_pools::change(google, &target, &key[prefix.len()..], &change);
                }
            }
        }
    }
}

/// Whether a cluster is there at all, for calls that only need that.
///
/// # Errors
/// 404.
pub fn require_cluster(google: &Google, cluster: &ClusterName) -> Result<Arc<Json>, Refusal> {
    google.world.get(CLUSTERS, &cluster.key()).ok_or_else(|| cluster.missing())
}
