//! Drivers and kinds against a stand-in for GKE, and against recorded bodies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use google_cloud_container_v1::client::ClusterManager;
use google_cloud_container_v1::model::{
    self, Cluster, ListNodePoolsResponse, NodePool, Operation, UpdateNodePoolRequest, cluster, node_pool, operation,
};
use google_cloud_container_v1::{Result as GkeResult, stub};
use google_cloud_gax::error::rpc::{Code, Status};
use google_cloud_gax::options::RequestOptions;
use google_cloud_gax::response::Response;
use serde_json::json;

use super::client::GoogleClient;
use super::cluster::{ClusterDriver, ClusterKind, Tenants};
use super::node_pool::{NodePoolDriver, NodePoolKind};
use crate::env::clock::WallClock;
use crate::resource::driver::{ApplyRequest, Driver, Ownership, Subject};
use crate::resource::error::ErrorClass;
use crate::resource::kind::{Kind, Observed, Prior};
use crate::resource::model::Resource;
use crate::resource::readiness::Readiness;
use crate::value::{Template, Value};

/// Nothing lives in the cluster.
struct Nobody;

#[async_trait::async_trait]
impl Tenants for Nobody {
    async fn free(&self, _: &Value) -> Result<Vec<String>, crate::resource::error::ProviderError> {
        Ok(Vec::new())
    }
}

/// One cluster with its pools, and the operations that are answered one after the other.
#[derive(Debug, Default)]
struct World {
    cluster: Option<Cluster>,
    operations: VecDeque<Operation>,
    calls: Vec<String>,
    update: Option<UpdateNodePoolRequest>,
}

#[derive(Clone, Debug, Default)]
struct Fake(Arc<Mutex<World>>);

fn refused<T>(code: Code, message: &str) -> GkeResult<Response<T>> {
    Err(google_cloud_gax::error::Error::service(Status::default().set_code(code).set_message(message)))
}

impl Fake {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().expect("lock")
    }

    fn started(&self, call: &str) -> GkeResult<Response<Operation>> {
        self.world().calls.push(call.to_owned());
        Ok(Response::from(Operation::new().set_name("op-1").set_status(operation::Status::Running)))
    }
}

impl stub::ClusterManager for Fake {
    async fn get_cluster(&self, _: model::GetClusterRequest, _: RequestOptions) -> GkeResult<Response<Cluster>> {
        match &self.world().cluster {
            Some(cluster) => Ok(Response::from(cluster.clone())),
            None => refused(Code::NotFound, "Not found: projects/p/zones/z/clusters/c."),
        }
    }

    async fn create_cluster(
        &self,
        request: model::CreateClusterRequest,
        _: RequestOptions,
    ) -> GkeResult<Response<Operation>> {
        if self.world().cluster.is_some() {
            return refused(Code::AlreadyExists, "Already exists: projects/p/zones/z/clusters/c.");
        }
        self.world().cluster = request.cluster.map(|cluster| cluster.set_id("0123456789abcdef"));
        self.started("create")
    }

    async fn delete_cluster(
        &self,
        _: model::DeleteClusterRequest,
        _: RequestOptions,
    ) -> GkeResult<Response<Operation>> {
        self.started("delete")
    }

    async fn list_node_pools(
        &self,
        _: model::ListNodePoolsRequest,
        _: RequestOptions,
    ) -> GkeResult<Response<ListNodePoolsResponse>> {
        let pools = self.world().cluster.as_ref().map(|cluster| cluster.node_pools.clone()).unwrap_or_default();
        Ok(Response::from(ListNodePoolsResponse::new().set_node_pools(pools)))
    }

    async fn get_node_pool(
        &self,
        request: model::GetNodePoolRequest,
        _: RequestOptions,
    ) -> GkeResult<Response<NodePool>> {
        let name = request.name.rsplit('/').next().unwrap_or_default().to_owned();
        let world = self.world();
        match world.cluster.iter().flat_map(|cluster| &cluster.node_pools).find(|pool| pool.name == name) {
            Some(pool) => Ok(Response::from(pool.clone())),
            None => refused(Code::NotFound, "Not found: node pool \"x\" not found."),
        }
    }

    async fn create_node_pool(
        &self,
        request: model::CreateNodePoolRequest,
        _: RequestOptions,
    ) -> GkeResult<Response<Operation>> {
        let wanted = request.node_pool.expect("pool");
        {
            let mut world = self.world();
            let cluster = world.cluster.as_mut().expect("cluster");
            if cluster.status == cluster::Status::Reconciling {
                return refused(Code::FailedPrecondition, "Cluster is running incompatible operation operation-1.");
            }
            if cluster.node_pools.iter().any(|pool| pool.name == wanted.name) {
                return refused(Code::AlreadyExists, "Already exists: projects/p/locations/z/clusters/c/nodePools/x.");
            }
            cluster.node_pools.push(wanted);
        }
        self.started("create pool")
    }

    async fn update_node_pool(
        &self,
        request: UpdateNodePoolRequest,
        _: RequestOptions,
    ) -> GkeResult<Response<Operation>> {
        {
            let mut world = self.world();
            let pool = world.cluster.as_mut().and_then(|cluster| cluster.node_pools.last_mut()).expect("pool");
            let config = pool.config.get_or_insert_default();
            if let Some(labels) = &request.labels {
                config.labels = labels.labels.clone();
            }
            if let Some(taints) = &request.taints {
                config.taints = taints.taints.clone();
            }
            world.update = Some(request);
        }
        self.started("update pool")
    }

    async fn set_node_pool_size(
        &self,
        request: model::SetNodePoolSizeRequest,
        _: RequestOptions,
    ) -> GkeResult<Response<Operation>> {
        if let Some(pool) = self.world().cluster.as_mut().and_then(|cluster| cluster.node_pools.last_mut()) {
            pool.initial_node_count = request.node_count;
        }
        self.started(&format!("size {}", request.node_count))
    }

    async fn get_operation(
        &self,
        request: model::GetOperationRequest,
        _: RequestOptions,
    ) -> GkeResult<Response<Operation>> {
        assert_eq!(request.name, "projects/p/locations/z/operations/op-1");
        match self.world().operations.pop_front() {
            Some(operation) => Ok(Response::from(operation)),
            None => refused(Code::NotFound, "Not found: projects/p/zones/z/operations/op-1."),
        }
    }
}

fn client(fake: &Fake) -> Arc<GoogleClient> {
    GoogleClient::with_manager(ClusterManager::from_stub(fake.clone()), Arc::new(WallClock::new()))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(future)
}

fn value(json: serde_json::Value) -> Value {
    Value::from_json(&json)
}

fn ownership(id: &str) -> Ownership {
    Ownership { stack: "demo".into(), id: id.into(), expires: Some(7) }
}

fn request(attrs: &Value, recorded: Option<Value>, id: &str) -> ApplyRequest {
    let attrs = Arc::new(attrs.clone());
    let subject = Subject {
        adopt: false,
        address: "x".into(),
        desired: Some(attrs.clone()),
        recorded: recorded.map(Arc::new),
        id: None,
        connection: None,
    };
    ApplyRequest {
        subject,
        attrs,
        changes: vec![],
        observed: None,
        ceded: vec![],
        adopt: false,
        ownership: ownership(id),
    }
}

fn cluster_attrs() -> Value {
    value(json!({"name": "c", "project": "p", "location": "z", "release_channel": "regular",
        "addons": {"http_load_balancing": true, "horizontal_pod_autoscaling": true}, "gateway_api": "disabled",
        "labels": {"team": "ml"},
        "system_pool": {"name": "system", "machine_type": "n1-standard-4", "nodes": 2, "autoscale": {"min": 1, "max": 5}}}))
}

fn pool_attrs() -> Value {
    value(json!({"name": "gpu", "cluster": "c", "project": "p", "location": "z", "machine_type": "n1-standard-4",
        "nodes": 1, "accelerator": {"type": "nvidia-tesla-t4", "count": 1, "gpu_driver": "default"},
        "labels": {"a": "1"}, "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}],
        "oauth_scopes": ["https://www.googleapis.com/auth/cloud-platform"], "auto_repair": true, "max_surge": 1}))
}

fn observe(driver: &dyn Driver, request: &ApplyRequest) -> Option<Observed> {
    let subjects = [request.subject.clone()];
    let mut answers = run(driver.read(&subjects, &request.ownership));
    answers.remove(0).expect("read")
}

#[test]
fn what_was_created_reads_back_without_difference() {
    let fake = Fake::default();
    let clusters = ClusterDriver::new(client(&fake), Arc::new(Nobody));
    let wanted = request(&cluster_attrs(), None, "me");
    assert_eq!(observe(&clusters, &wanted), None);
    let ack = run(clusters.create(&wanted)).expect("created");
    assert_eq!(ack.operation.as_deref(), Some("projects/p/locations/z/operations/op-1"));
    let sent = fake.world().cluster.clone().expect("cluster");
    let label = |key: &str| sent.resource_labels.get(key).map(String::as_str);
    assert_eq!((label("stackwright-id"), label("stackwright-stack")), (Some("me"), Some("demo")));
    assert_eq!((label("stackwright-expires"), label("team")), (Some("7"), Some("ml")));
    let observed = observe(&clusters, &wanted).expect("there");
    let prior = Prior { recorded: None, observed: Some(&observed) };
    assert_eq!(ClusterKind.diff(&cluster_attrs(), &[], prior), []);
    let record = ClusterKind.record(&cluster_attrs(), &[], &observed);
    assert_eq!(ClusterKind.drift(&[], Prior { recorded: Some(&record), observed: Some(&observed) }), []);

    let pools = NodePoolDriver::new(client(&fake));
    let wanted = request(&pool_attrs(), None, "me");
    assert_eq!(observe(&pools, &wanted), None);
    run(pools.create(&wanted)).expect("created");
    let observed = observe(&pools, &wanted).expect("there");
    assert_eq!(NodePoolKind.diff(&pool_attrs(), &[], Prior { recorded: None, observed: Some(&observed) }), []);
}

#[test]
fn a_second_create_is_taken_for_the_first_only_when_it_is_ours() {
    let fake = Fake::default();
    let clusters = ClusterDriver::new(client(&fake), Arc::new(Nobody));
    let wanted = request(&cluster_attrs(), None, "me");
    run(clusters.create(&wanted)).expect("created");
    let again = run(clusters.create(&wanted)).expect("ours");
    assert_eq!(again.observed.expect("observed").id, "0123456789abcdef");
    let error = run(clusters.create(&request(&cluster_attrs(), None, "other"))).expect_err("not ours");
    assert_eq!(error.class, ErrorClass::AlreadyExists);
    assert!(error.message.contains("another stack (me)"), "{}", error.message);
    assert_eq!(observe(&clusters, &request(&cluster_attrs(), None, "other")), None);
    assert_eq!(fake.world().calls, ["create"]);
}

#[test]
fn a_busy_cluster_is_tried_again() {
    let fake = Fake::default();
    fake.world().cluster = Some(Cluster::new().set_status(cluster::Status::Reconciling));
    let pools = NodePoolDriver::new(client(&fake));
    let error = run(pools.create(&request(&pool_attrs(), None, "me"))).expect_err("busy");
    assert_eq!(error.class, ErrorClass::Busy);
}

#[test]
fn changes_are_made_one_group_at_a_time() {
    let fake = Fake::default();
    fake.world().cluster = Some(Cluster::new());
    let pools = NodePoolDriver::new(client(&fake));
    let first = request(&pool_attrs(), None, "me");
    run(pools.create(&first)).expect("created");
    // GKE adds a taint of its own, which an update must send again.
    if let Some(pool) = fake.world().cluster.as_mut().and_then(|cluster| cluster.node_pools.last_mut()) {
        let taint = model::NodeTaint::new().set_key("nvidia.com/gpu").set_value("present").set_effect("NO_SCHEDULE");
        pool.config.get_or_insert_default().taints.push(taint);
    }
    let observed = observe(&pools, &first).expect("there");
    let record = NodePoolKind.record(&pool_attrs(), &[], &observed);
    let mut wanted = pool_attrs().to_json();
    wanted["labels"] = json!({"b": "2"});
    wanted["nodes"] = json!(3);
    wanted["taints"] = json!([]);
    let wanted = value(wanted);
    let prior = Prior { recorded: Some(&record), observed: Some(&observed) };
    let changes = NodePoolKind.diff(&wanted, &[], prior);
    let paths = changes.iter().map(|change| change.path.join(".")).collect::<Vec<_>>();
    assert_eq!(paths, ["nodes", "labels.a", "labels.b", "taints"]);
    let update = request(&wanted, Some(record), "me");
    let more = [(); 3].map(|()| run(pools.update(&update)).expect("updated").more);
    assert_eq!(more, [true, true, false]);
    assert_eq!(fake.world().calls, ["create pool", "update pool", "update pool", "size 3"]);
    let sent = fake.world().update.clone().expect("update").taints.expect("taints").taints;
    assert_eq!(sent.iter().map(|taint| taint.key.as_str()).collect::<Vec<_>>(), ["nvidia.com/gpu"]);
    let over = run(pools.update(&update)).expect("nothing left");
    assert_eq!((over.operation, over.more), (None, false));
}

#[test]
fn a_wait_ends_with_the_operation_and_its_class() {
    let fake = Fake::default();
    fake.world().cluster = Some(Cluster::new());
    let pools = NodePoolDriver::new(client(&fake));
    let wanted = request(&pool_attrs(), None, "me");
    let operation = run(pools.create(&wanted)).expect("created").operation;
    let done = Operation::new().set_status(operation::Status::Done);
    fake.world().operations.extend([
        Operation::new().set_status(operation::Status::Pending),
        done.clone().set_status_message("[GCE_STOCKOUT]: does not have enough resources available"),
    ]);
    let poll = || run(pools.poll(&wanted.subject, operation.as_deref()));
    assert!(matches!(poll().expect("running").readiness, Readiness::InProgress { .. }));
    assert_eq!(poll().expect_err("stock-out").class, ErrorClass::StockOut);
    let set = |status: node_pool::Status| {
        let mut world = fake.world();
        world.operations.push_back(done.clone());
        world.cluster.as_mut().expect("cluster").node_pools[0].status = status;
    };
    set(node_pool::Status::Reconciling);
    assert!(matches!(poll().expect("polled").readiness, Readiness::InProgress { .. }));
    set(node_pool::Status::Error);
    assert!(matches!(poll().expect("polled").readiness, Readiness::Failed { .. }));
    let broken = observe(&pools, &wanted).expect("there");
    let changes = NodePoolKind.diff(&pool_attrs(), &[], Prior { recorded: None, observed: Some(&broken) });
    assert!(changes[0].forces_replace && changes[0].path == ["status"], "{changes:?}");
    // The operation is forgotten after some days: the object says the rest.
    fake.world().cluster.as_mut().expect("cluster").node_pools[0].status = node_pool::Status::Running;
    let over = poll().expect("polled");
    assert_eq!(over.readiness, Readiness::Current);
    assert!(over.observed.is_some());
    fake.world().cluster.as_mut().expect("cluster").node_pools.clear();
    assert_eq!(poll().expect("polled").readiness, Readiness::NotFound);
}

#[test]
fn a_cluster_made_anew_by_others_is_not_deleted() {
    let fake = Fake::default();
    let clusters = ClusterDriver::new(client(&fake), Arc::new(Nobody));
    let wanted = request(&cluster_attrs(), None, "me");
    run(clusters.create(&wanted)).expect("created");
    let observed = observe(&clusters, &wanted).expect("there");
    let other = Observed { id: "ffff".into(), attrs: observed.attrs.clone() };
    let error = run(clusters.delete(&wanted.subject, &other)).expect_err("another one");
    assert_eq!(error.class, ErrorClass::Conflict);
    run(clusters.delete(&wanted.subject, &observed)).expect("deleted");
    assert_eq!(fake.world().calls, ["create", "delete"]);
}

#[test]
fn what_cannot_be_changed_forces_a_replacement() {
    let fake = Fake::default();
    fake.world().cluster = Some(Cluster::new());
    let pools = NodePoolDriver::new(client(&fake));
    let first = request(&pool_attrs(), None, "me");
    run(pools.create(&first)).expect("created");
    let observed = observe(&pools, &first).expect("there");
    for (key, wanted, replaces, effect) in [
        ("machine_type", json!("n1-standard-8"), false, true),
        ("machine_type", json!("ct6e-standard-4t"), true, true),
        ("spot", json!(true), true, true),
        ("spot", json!(false), false, false),
        ("accelerator", json!({"type": "nvidia-l4", "count": 1}), true, true),
        ("location", json!("elsewhere"), true, true),
        ("node_version", json!("1.34"), false, true),
        ("disk_size_gb", json!(200), false, true),
    ] {
        let mut attrs = pool_attrs().to_json();
        attrs[key] = wanted.clone();
        let changes = NodePoolKind.diff(&value(attrs), &[], Prior { recorded: None, observed: Some(&observed) });
        let found = changes.iter().any(|change| change.forces_replace);
        assert_eq!(found, replaces, "{key} {wanted}: {changes:?}");
        assert_eq!(changes.iter().any(|change| change.effect.is_some()), effect, "{key} {wanted}: {changes:?}");
    }
    // A size that is not known yet differs; an autoscaled one never does.
    let mut attrs = pool_attrs();
    if let Value::Map(map) = &mut attrs {
        map.insert("nodes".into(), Template::reference("values.n".into(), vec!["output".into()]).into());
    }
    let prior = Prior { recorded: None, observed: Some(&observed) };
    assert_eq!(NodePoolKind.diff(&attrs, &[], prior).len(), 1);
    if let Value::Map(map) = &mut attrs {
        map.insert("autoscale".into(), value(json!({"min": 0, "max": 9})));
    }
    let paths = NodePoolKind.diff(&attrs, &[], prior).into_iter().map(|change| change.path.join("."));
    assert_eq!(paths.collect::<Vec<_>>(), ["autoscale"]);
}

#[test]
fn mistakes_are_found_without_asking() {
    let check = |attrs: serde_json::Value| {
        let resource = Resource {
            address: "node_pools.x".into(),
            kind: "gke.node_pool",
            attrs: value(attrs).into(),
            needs: vec![],
            connection: None,
            ceded: vec![],
            timeout: std::time::Duration::ZERO,
            estimate: std::time::Duration::ZERO,
            origin: None,
        };
        NodePoolKind.check(&resource).into_iter().map(|found| found.summary).collect::<Vec<_>>()
    };
    assert_eq!(check(pool_attrs().to_json()), [""; 0]);
    let mut tpu = pool_attrs().to_json();
    tpu["machine_type"] = json!("ct6e-standard-4t");
    tpu["tpu_topology"] = json!("2x2");
    assert_eq!(check(tpu.clone()), ["2x2 on ct6e-standard-4t is a single host and takes no topology"]);
    tpu["tpu_topology"] = json!("4x4");
    assert_eq!(check(tpu), [""; 0]);
    let mut secret = pool_attrs().to_json();
    secret["labels"]["token"] = Value::from(Template::secret("hf_token")).to_json();
    assert_eq!(check(secret), ["gke.node_pool may not hold a secret (input hf_token)"]);
}

/// A cluster as the real API showed it: what a stack that made it would say about it does not differ.
#[test]
fn a_recorded_cluster_does_not_differ_from_its_request() {
    let Some(recording) = crate::provider::recording("gke/real_zonal_cluster_nodepool_lifecycle.json") else { return };
    let exchanges = recording["exchanges"].as_array().expect("exchanges");
    let bodies = exchanges.iter().map(|exchange| &exchange["response"]["body"]);
    let body = bodies.into_iter().find(|body| body["nodePools"].is_array()).expect("a cluster");
    let cluster = serde_json::from_value::<Cluster>(body.clone()).expect("a cluster");
    let fake = Fake::default();
    let (name, version) = (cluster.name.clone(), cluster.current_master_version.clone());
    // Sizes are counted by Compute Engine, which is not asked here.
    let pools =
        cluster.node_pools.iter().cloned().map(|pool| pool.set_instance_group_urls([""; 0])).collect::<Vec<_>>();
    let pool = pools[0].clone();
    fake.world().cluster =
        Some(cluster.set_node_pools(pools).set_resource_labels([("stackwright-id", "me")]).set_id("0123456789abcdef"));
    let prefix = version.split('.').take(2).collect::<Vec<_>>().join(".");
    let attrs = value(json!({"name": name, "project": "p", "location": "us-central1-a", "version": prefix,
        "network": "default", "addons": {"http_load_balancing": true}, "gateway_api": "disabled",
        "system_pool": {"name": pool.name, "machine_type": "e2-medium", "nodes": pool.initial_node_count}}));
    let clusters = ClusterDriver::new(client(&fake), Arc::new(Nobody));
    let observed = observe(&clusters, &request(&attrs, None, "me")).expect("there");
    assert_eq!(ClusterKind.diff(&attrs, &[], Prior { recorded: None, observed: Some(&observed) }), []);
    let outputs = ClusterKind.outputs(&observed);
    let endpoint = outputs.get("endpoint").and_then(Value::as_str).expect("endpoint");
    assert!(endpoint.starts_with("https://"), "{endpoint}");
}
