//! Clusters and node pools by tables: what each change of a stack's keys does and which calls it takes, what each
//! accelerator is asked for in each way of buying it, and what is refused before anything is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value as Json, json};
use stackwright::address::Address;
use stackwright::backend::Session;
use stackwright::backend::local::LocalBackend;
use stackwright::engine::dispatcher::Interrupt;
use stackwright::env::clock::{Clock as _, SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::disk::RealDisk;
use stackwright::env::memory_disk::MemoryDisk;
use stackwright::env::random::SeededRandom;
use stackwright::event::Collected;
use stackwright::ops::apply::{Apply, apply};
use stackwright::ops::platforms::Platforms;
use stackwright::ops::preview::{Subject, preview};
use stackwright::plan::model::Plan;
use stackwright::plan::planner::Options;
use stackwright::sim::net::{self, Answering, Closed, Listening};
use stackwright::sim::simulator::Simulator;
use stackwright::sim::world::World;
use stackwright::{catalog, chart, stack};

use crate::lab::{expanded, failures, reaching, simulate, with_room};

/// Google's own client writes these words as their numbers in the API's definition.
const DRIVER_DEFAULT: i64 = 2;
const NO_RESERVATION: i64 = 1;
const SPECIFIC: i64 = 3;
const COMPACT: i64 = 1;

/// What was sent: method, path, body.
type Sent = Arc<Mutex<Vec<(Method, String, Json)>>>;

/// Stands before a simulator and writes down what changes something.
struct Recorder {
    url: String,
    sent: Sent,
    _listening: Listening,
}

async fn record(simulator: &Arc<Simulator>) -> Recorder {
    let sent = Sent::default();
    let (kept, simulator) = (sent.clone(), simulator.clone());
    let answering: Answering = Arc::new(move |request: Request<Incoming>| {
        let (kept, simulator) = (kept.clone(), simulator.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.map_err(|_| Closed)?.to_bytes();
            if parts.method != Method::GET {
                let body = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
                kept.lock().expect("lock").push((parts.method.clone(), parts.uri.path().to_owned(), body));
            }
            Ok(simulator.answer(Request::from_parts(parts, Body::from(bytes))).await)
        })
    });
    let listener = net::bind(([127, 0, 0, 1], 0).into()).await.expect("a socket");
    let listening = net::serve(listener, None, answering).expect("served");
    Recorder { url: format!("http://{}", listening.address), sent, _listening: listening }
}

impl Recorder {
    /// The calls since the last time, as `PUT /nodePools/gpu labels`: fields of the body, those of `update` without it.
    fn calls(&self) -> Vec<String> {
        let calls = self.sent.lock().expect("lock").drain(..).collect::<Vec<_>>();
        let shorten = |(method, path, body): (Method, String, Json)| {
            let tail = path.split_once("/clusters/pools").map_or(path.as_str(), |(_, tail)| tail);
            let body = if body["update"].is_object() { &body["update"] } else { &body };
            let fields = body.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
            let mut fields = fields.filter(|key| !["name", "parent"].contains(key)).collect::<Vec<_>>();
            fields.sort_unstable();
            let fields = fields.join(",");
            format!("{method} {tail} {fields}").split_whitespace().collect::<Vec<_>>().join(" ")
        };
        calls.into_iter().map(shorten).collect()
    }
}

fn providers(url: &str, clock: &SharedClock) -> Platforms {
    reaching(url, None, None, clock, Arc::new(SeededRandom::new(1)))
}

/// Plans the stack and applies it; the plan.
async fn bring(platforms: &Platforms, session: &mut dyn Session, text: &str) -> Plan {
    let (desired, secrets) = expanded("pools", text.to_owned());
    let options = Options::default();
    let subject = Subject::bare(&desired, session.state(), &options);
    let planned = preview(platforms, subject).await.unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"));
    let (_sender, interrupt) = tokio::sync::watch::channel(Interrupt::None);
    let job = Apply {
        plan: &planned.plan,
        observed: planned.observed,
        secrets,
        ttl: None,
        parallelism: 16,
        sink: Arc::new(Collected::default()),
        interrupt,
        shuffle: None,
    };
    let applied = apply(platforms, session, job).await.expect("state can be written");
    assert_eq!(failures(&applied), Vec::<String>::new(), "{text}");
    planned.plan
}

const ZONE: &str = "location = \"europe-west4-a\"";
const T4: &str = "accelerator = \"nvidia-t4\"\nnodes = 2";

fn text(cluster: &str, pool: &str) -> String {
    format!("name = \"pools\"\n[cluster]\nproject = \"sim-project\"\n{cluster}\n[node_pools.gpu]\n{pool}\n")
}

/// What an edit does.
struct Done {
    /// Address, action and effects of everything that changes.
    changes: Vec<(String, String, Vec<String>)>,
    calls: Vec<String>,
    /// What a plan says afterwards.
    rest: usize,
}

fn edit(before: &str, after: &str) -> Done {
    with_room(|| {
        let clock = DiscreteClock::new(Timestamp(1_800_000_000_000));
        let runtime = clock.runtime().expect("runtime");
        runtime.block_on(async {
            let shared: SharedClock = Arc::new(clock.clone());
            let (simulator, _serving) = simulate(World::in_memory(), &shared, None).await;
            let recorder = record(&simulator).await;
            let platforms = providers(&recorder.url, &shared);
            let backend = LocalBackend::new(Arc::new(MemoryDisk::new()), &PathBuf::from("state"), "pools");
            let mut session = backend.open("lab").expect("state");
            bring(&platforms, &mut session, before).await;
            recorder.calls();
            let plan = bring(&platforms, &mut session, after).await;
            let calls = recorder.calls();
            let rest = bring(&platforms, &mut session, after).await;
            let acting =
                |plan: &Plan| plan.changes.iter().filter(|change| change.action.acts()).cloned().collect::<Vec<_>>();
            let changes = acting(&plan).into_iter().map(|change| {
                let effects = change.changes.iter().filter_map(|change| change.effect.clone()).collect();
                (change.address.to_string(), format!("{:?}", change.action), effects)
            });
            Done { changes: changes.collect(), calls, rest: acting(&rest).len() }
        })
    })
}

/// One edit: what stands in `[cluster]` and in the pool before and after, and what comes of it.
struct Case {
    cluster: [&'static str; 2],
    pool: [&'static str; 2],
    /// Address, action, and words of its effect; empty for none.
    changes: &'static [(&'static str, &'static str, &'static str)],
    calls: &'static [&'static str],
}

const CLUSTER: &str = "cluster";
const POOL: &str = "node_pools.gpu";
const ROLLS: &str = "rolls the pool's nodes";
const ANEW: &str = "deleted with all that runs on it";
const AGAIN: &[&str] = &["DELETE /nodePools/gpu", "POST /nodePools nodePool"];

/// An edit of `[cluster]`.
const fn of_cluster(
    before: &'static str,
    after: &'static str,
    changes: &'static [(&'static str, &'static str, &'static str)],
    calls: &'static [&'static str],
) -> Case {
    Case { cluster: [before, after], pool: ["", ""], changes, calls }
}

/// An edit of the pool.
const fn of_pool(
    before: &'static str,
    after: &'static str,
    changes: &'static [(&'static str, &'static str, &'static str)],
    calls: &'static [&'static str],
) -> Case {
    Case { cluster: ["", ""], pool: [before, after], changes, calls }
}

const CASES: &[Case] = &[
    of_cluster("", "release_channel = \"rapid\"", &[(CLUSTER, "Update", "")], &["PUT desiredReleaseChannel"]),
    of_cluster(
        "version = \"1.34\"",
        "version = \"1.35\"",
        &[(CLUSTER, "Update", "a zonal cluster is without for some minutes")],
        &["PUT desiredMasterVersion"],
    ),
    of_cluster(
        "labels = { team = \"red\" }",
        "labels = { team = \"blue\" }",
        &[(CLUSTER, "Update", "")],
        &["POST :setResourceLabels labelFingerprint,resourceLabels"],
    ),
    of_cluster(
        "",
        "authorized_networks = [{ cidr = \"203.0.113.0/24\", name = \"office\" }, { cidr = \"10.0.0.0/8\" }]",
        &[(CLUSTER, "Update", "")],
        &["PUT desiredMasterAuthorizedNetworksConfig"],
    ),
    of_cluster(
        "authorized_networks = [{ cidr = \"203.0.113.0/24\" }]",
        "",
        &[(CLUSTER, "Update", "")],
        &["PUT desiredMasterAuthorizedNetworksConfig"],
    ),
    of_cluster(
        "",
        "maintenance_window = { daily = \"03:00\" }",
        &[(CLUSTER, "Update", "")],
        &["POST :setMaintenancePolicy maintenancePolicy"],
    ),
    of_cluster(
        "maintenance_window = { daily = \"03:00\" }",
        "maintenance_window = { start = \"2026-01-03T22:00:00Z\", end = \"2026-01-04T04:00:00Z\", recurrence = \"FREQ=WEEKLY;BYDAY=SA,SU\" }",
        &[(CLUSTER, "Update", "")],
        &["POST :setMaintenancePolicy maintenancePolicy"],
    ),
    of_cluster(
        "maintenance_window = { daily = \"03:00\" }",
        "",
        &[(CLUSTER, "Update", "")],
        &["POST :setMaintenancePolicy maintenancePolicy"],
    ),
    of_cluster(
        "",
        "workload_identity = true",
        &[(CLUSTER, "Update", ROLLS), (POOL, "Update", ROLLS)],
        &[
            "PUT desiredWorkloadIdentityConfig",
            "PUT /nodePools/system workloadMetadataConfig",
            "PUT /nodePools/gpu workloadMetadataConfig",
        ],
    ),
    of_cluster("", "logging = [\"system\"]", &[(CLUSTER, "Update", "")], &["PUT desiredLoggingConfig"]),
    of_cluster("", "monitoring = [\"system\", \"dcgm\"]", &[(CLUSTER, "Update", "")], &["PUT desiredMonitoringConfig"]),
    of_cluster(
        "node_locations = [\"europe-west4-a\"]",
        "node_locations = [\"europe-west4-a\", \"europe-west4-b\"]",
        &[(CLUSTER, "Update", "")],
        &["PUT desiredLocations"],
    ),
    of_cluster(
        "",
        "image_streaming = true",
        &[(CLUSTER, "Update", ROLLS), (POOL, "Update", ROLLS)],
        &["PUT /nodePools/system gcfsConfig", "PUT /nodePools/gpu gcfsConfig"],
    ),
    of_cluster(
        "",
        "system_pool = { machine_type = \"n1-standard-8\" }",
        &[(CLUSTER, "Update", ROLLS)],
        &["PUT /nodePools/system diskSizeGb,diskType,machineType"],
    ),
    of_pool("", "nodes = 3", &[(POOL, "Update", "")], &["POST /nodePools/gpu:setSize nodeCount"]),
    of_pool("", "nodes = 1", &[(POOL, "Update", "1 of 2 nodes go")], &["POST /nodePools/gpu:setSize nodeCount"]),
    of_pool("", "autoscale = [0, 3]", &[(POOL, "Update", "")], &["POST /nodePools/gpu:setAutoscaling autoscaling"]),
    of_pool("autoscale = [0, 3]", "", &[(POOL, "Update", "")], &["POST /nodePools/gpu:setAutoscaling autoscaling"]),
    of_pool("", "labels = { tier = \"a\" }", &[(POOL, "Update", "")], &["PUT /nodePools/gpu labels"]),
    of_pool(
        "",
        "taints = [{ key = \"only\", value = \"models\", effect = \"NoSchedule\" }]",
        &[(POOL, "Update", "")],
        &["PUT /nodePools/gpu taints"],
    ),
    of_pool(
        "",
        "taints = [{ key = \"only\", value = \"models\", effect = \"NoExecute\" }]",
        &[(POOL, "Update", "evicted")],
        &["PUT /nodePools/gpu taints"],
    ),
    of_pool(
        "",
        "disk_size_gb = 200",
        &[(POOL, "Update", ROLLS)],
        &["PUT /nodePools/gpu diskSizeGb,diskType,machineType"],
    ),
    of_pool(
        "",
        "disk_type = \"pd-ssd\"",
        &[(POOL, "Update", ROLLS)],
        &["PUT /nodePools/gpu diskSizeGb,diskType,machineType"],
    ),
    of_pool(
        "",
        "machine_type = \"n1-standard-8\"",
        &[(POOL, "Update", ROLLS)],
        &["PUT /nodePools/gpu diskSizeGb,diskType,machineType"],
    ),
    of_pool("", "image_streaming = true", &[(POOL, "Update", ROLLS)], &["PUT /nodePools/gpu gcfsConfig"]),
    of_pool("", "max_surge = 0\nmax_unavailable = 1", &[(POOL, "Update", "")], &["PUT /nodePools/gpu upgradeSettings"]),
    of_pool(
        "node_locations = [\"europe-west4-a\", \"europe-west4-b\"]",
        "node_locations = [\"europe-west4-a\"]",
        &[(POOL, "Update", "the nodes in europe-west4-b go")],
        &["PUT /nodePools/gpu locations"],
    ),
    of_pool("", "service_account = \"nodes@sim-project.iam.gserviceaccount.com\"", &[(POOL, "Replace", ANEW)], AGAIN),
    of_pool("", "max_pods_per_node = 32", &[(POOL, "Replace", ANEW)], AGAIN),
    of_pool("", "provisioning = \"spot\"", &[(POOL, "Replace", ANEW)], AGAIN),
    of_pool("", "provisioning = \"reservation:mine\"", &[(POOL, "Replace", ANEW)], AGAIN),
];

/// Keys of `over` in the place of those of `base`.
fn laid(base: &str, over: &str) -> String {
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let kept = base.lines().filter(|line| !over.lines().any(|other| key(other) == key(line)));
    kept.chain(over.lines()).collect::<Vec<_>>().join("\n")
}

/// What of an edit is not as the table says.
fn differs(done: &Done, case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    let found = done.changes.iter().map(|(address, action, _)| (address.as_str(), action.as_str())).collect::<Vec<_>>();
    let wanted = case.changes.iter().map(|(address, action, _)| (*address, *action)).collect::<Vec<_>>();
    if found != wanted {
        wrong.push(format!("changes {found:?}, not {wanted:?}"));
    }
    for ((address, _, effects), (_, _, words)) in done.changes.iter().zip(case.changes) {
        let fits =
            if words.is_empty() { effects.is_empty() } else { effects.iter().any(|effect| effect.contains(words)) };
        if !fits {
            wrong.push(format!("{address} has the effects {effects:?}, not {words:?}"));
        }
    }
    if done.calls != case.calls {
        wrong.push(format!("calls {:?}, not {:?}", done.calls, case.calls));
    }
    if done.rest != 0 {
        wrong.push("a second plan wants more".to_owned());
    }
    wrong
}

#[test]
fn every_edit_has_its_action_its_effect_and_its_calls() {
    let mut wrong = Vec::new();
    for case in CASES {
        let [before, after] = [0, 1].map(|at| text(&laid(ZONE, case.cluster[at]), &laid(T4, case.pool[at])));
        let done = edit(&before, &after);
        let found = differs(&done, case).into_iter();
        wrong.extend(found.map(|what| format!("{:?} {:?}: {what}", case.cluster, case.pool)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_regional_cluster_stays_there_while_it_is_upgraded() {
    let of = |version: &str| text(&format!("location = \"europe-west4\"\nversion = \"{version}\""), T4);
    let done = edit(&of("1.34"), &of("1.35"));
    assert_eq!(done.changes[0].2, ["upgrades the control plane, one replica after the other"]);
    assert_eq!(done.calls, ["PUT desiredMasterVersion"]);
}

#[test]
fn what_makes_a_cluster_anew_says_so() {
    for key in ["network = \"other\"", "private = true"] {
        let done = edit(&text(ZONE, T4), &text(&format!("{ZONE}\n{key}"), T4));
        let (address, action, effects) = &done.changes[0];
        assert_eq!((address.as_str(), action.as_str()), (CLUSTER, "Replace"), "{key}");
        assert_eq!(effects, &["the cluster is deleted with everything in it, then made anew"], "{key}");
        assert_eq!(done.rest, 0, "{key}");
    }
}

#[test]
fn another_slice_is_another_pool() {
    let of = |name: &str| text(ZONE, &format!("accelerator = \"{name}\""));
    for (before, after) in [("tpu-v6e-16", "tpu-v6e-32"), ("tpu-v6e-4", "tpu-v6e-8"), ("nvidia-t4", "tpu-v6e-1")] {
        let done = edit(&of(before), &of(after));
        assert_eq!(done.changes.len(), 1, "{before} {after}");
        let (address, action, effects) = &done.changes[0];
        assert_eq!((address.as_str(), action.as_str()), (POOL, "Replace"), "{before} {after}");
        assert!(effects[0].contains(ANEW), "{effects:?}");
        assert_eq!(done.calls, AGAIN, "{before} {after}");
    }
}

/// What GKE is to be asked for: stack name, zone, machine type, GPU and how many, topology and hosts of a slice.
type Row =
    (&'static str, &'static str, &'static str, Option<(&'static str, &'static str)>, Option<(&'static str, i64)>);

const ROWS: &[Row] = &[
    ("nvidia-t4", "europe-west4-a", "n1-standard-4", Some(("nvidia-tesla-t4", "1")), None),
    ("nvidia-l4", "europe-west4-a", "g2-standard-8", Some(("nvidia-l4", "1")), None),
    ("nvidia-v100", "europe-west4-a", "n1-standard-8", Some(("nvidia-tesla-v100", "1")), None),
    ("nvidia-p100", "europe-west4-a", "n1-standard-8", Some(("nvidia-tesla-p100", "1")), None),
    ("nvidia-a100-40gb", "europe-west4-a", "a2-highgpu-1g", Some(("nvidia-tesla-a100", "1")), None),
    ("nvidia-a100-80gb", "europe-west4-a", "a2-ultragpu-1g", Some(("nvidia-a100-80gb", "1")), None),
    ("nvidia-h100-80gb", "europe-west4-b", "a3-highgpu-8g", Some(("nvidia-h100-80gb", "8")), None),
    ("tpu-v6e-1", "europe-west4-a", "ct6e-standard-1t", None, None),
    ("tpu-v6e-4", "europe-west4-a", "ct6e-standard-4t", None, None),
    ("tpu-v6e-8", "europe-west4-a", "ct6e-standard-8t", None, None),
    ("tpu-v6e-16", "europe-west4-a", "ct6e-standard-4t", None, Some(("4x4", 4))),
    ("tpu-v6e-32", "europe-west4-a", "ct6e-standard-4t", None, Some(("4x8", 8))),
    ("tpu-v6e-64", "europe-west4-a", "ct6e-standard-4t", None, Some(("8x8", 16))),
    ("tpu-v6e-128", "europe-west4-a", "ct6e-standard-4t", None, Some(("8x16", 32))),
    ("tpu-v6e-256", "europe-west4-a", "ct6e-standard-4t", None, Some(("16x16", 64))),
];

const PURCHASES: [&str; 4] = ["on-demand", "spot", "flex-start", "reservation:mine"];

/// The body that GKE is to be sent.
fn wanted(row: &Row, purchase: &str) -> Json {
    let (_, _, machine, gpu, slice) = row;
    let hosts = slice.map_or(1, |(_, hosts)| hosts);
    let mut pool = json!({
        "name": "gpu",
        "initialNodeCount": hosts,
        "config": {
            "machineType": machine,
            "oauthScopes": ["https://www.googleapis.com/auth/cloud-platform"],
        },
        "management": {"autoRepair": true, "autoUpgrade": true},
        "upgradeSettings": {"maxSurge": 1},
    });
    if let Some((kind, count)) = gpu {
        pool["config"]["accelerators"] = json!([{
            "acceleratorType": kind, "acceleratorCount": count,
            "gpuDriverInstallationConfig": {"gpuDriverVersion": DRIVER_DEFAULT},
        }]);
    } else {
        // Stated for TPUs even where nothing is reserved.
        pool["config"]["reservationAffinity"] = json!({"consumeReservationType": NO_RESERVATION});
    }
    if let Some((topology, _)) = slice {
        pool["placementPolicy"] = json!({"type": COMPACT, "tpuTopology": topology});
    }
    match purchase {
        "spot" => pool["config"]["spot"] = true.into(),
        "flex-start" => {
            pool["config"]["flexStart"] = true.into();
            pool["config"]["reservationAffinity"] = json!({"consumeReservationType": NO_RESERVATION});
            pool["autoscaling"] = json!({"enabled": true, "maxNodeCount": hosts});
            pool["management"] = json!({"autoUpgrade": true});
            pool.as_object_mut().expect("a pool").remove("initialNodeCount");
        }
        "reservation:mine" => {
            pool["config"]["reservationAffinity"] = json!({
                "consumeReservationType": SPECIFIC, "key": "compute.googleapis.com/reservation-name",
                "values": ["mine"],
            });
        }
        _ => {}
    }
    pool
}

/// Without what means nothing: zeros, false, empty texts and messages; and without the marks of the stack.
fn bare(json: &Json) -> Json {
    match json {
        Json::Object(map) => {
            let kept = map.iter().filter(|(key, _)| *key != "resourceLabels").map(|(key, value)| (key, bare(value)));
            let kept = kept.filter(|(_, value)| {
                !value.is_null()
                    && *value != json!(0)
                    && *value != json!(false)
                    && *value != json!("")
                    && *value != json!([])
                    && *value != json!({})
            });
            Json::Object(kept.map(|(key, value)| (key.clone(), value)).collect())
        }
        Json::Array(items) => items.iter().map(bare).collect(),
        other => other.clone(),
    }
}

/// Creates the pool of a stack; what was sent, and whether it was taken.
fn ask(text: &str) -> (Json, Result<(), String>) {
    use stackwright::resource::driver::{ApplyRequest, Ownership, Subject};
    let (desired, _) = expanded("pools", text.to_owned());
    let resource = desired.resources.iter().find(|r| r.address == Address::new(POOL)).expect("a pool").clone();
    let location = resource.attrs.get("location").and_then(|l| l.as_str()).expect("a location").to_owned();
    let clock = DiscreteClock::new(Timestamp(1_800_000_000_000));
    let runtime = clock.runtime().expect("runtime");
    runtime.block_on(async {
        let shared: SharedClock = Arc::new(clock.clone());
        let (simulator, _serving) = simulate(World::in_memory(), &shared, None).await;
        let cluster = json!({"cluster": {"name": "pools", "nodePools": [{"name": "system", "initialNodeCount": 1}]}});
        let path = format!("/v1/projects/sim-project/locations/{location}/clusters");
        let request = Request::builder().method("POST").uri(path).header("content-type", "application/json");
        let answer = simulator.answer(request.body(Body::from(cluster.to_string())).expect("a request")).await;
        assert_eq!(answer.status(), 200);
        clock.sleep(std::time::Duration::from_secs(900)).await;
        let recorder = record(&simulator).await;
        let platforms = providers(&recorder.url, &shared);
        let request = ApplyRequest {
            subject: Subject {
                adopt: false,
                address: resource.address.clone(),
                desired: Some(resource.attrs.clone()),
                recorded: None,
                id: None,
                connection: None,
            },
            attrs: resource.attrs.clone(),
            changes: vec![],
            observed: None,
            ceded: vec![],
            adopt: false,
            ownership: Ownership { stack: "pools".into(), id: "me".into(), expires: None },
        };
        let answer = platforms.drivers["gke.node_pool"].create(&request).await;
        let body = recorder.sent.lock().expect("lock").first().map(|(_, _, body)| body["nodePool"].clone());
        (body.unwrap_or_default(), answer.map(|_| ()).map_err(|error| error.message))
    })
}

#[test]
fn each_accelerator_is_asked_for_as_google_documents_it() {
    with_room(|| {
        let mut wrong = Vec::new();
        for row in ROWS {
            for purchase in PURCHASES {
                let (name, zone, ..) = row;
                let pool = format!("accelerator = \"{name}\"\nprovisioning = \"{purchase}\"");
                let (sent, answer) = ask(&text(&format!("location = \"{zone}\""), &pool));
                if bare(&sent) != wanted(row, purchase) {
                    wrong.push(format!("{name} {purchase}: {}\n  not {}", bare(&sent), wanted(row, purchase)));
                }
                if let Err(error) = answer {
                    wrong.push(format!("{name} {purchase}: the simulator refuses it: {error}"));
                }
                // The stack's marks are what finds it again.
                assert_eq!(sent["config"]["resourceLabels"]["stackwright-id"], "me", "{name} {purchase}");
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn pools_scale_to_nothing_and_slices_as_a_whole() {
    with_room(|| {
        let (sent, answer) = ask(&text(ZONE, "accelerator = \"nvidia-t4\"\nnodes = 0\nautoscale = [0, 3]"));
        assert_eq!((&sent["autoscaling"]["enabled"], &sent["autoscaling"]["maxNodeCount"]), (&json!(true), &json!(3)));
        assert_eq!((bare(&sent)["initialNodeCount"].clone(), answer), (Json::Null, Ok(())));
        let (sent, answer) = ask(&text(ZONE, "accelerator = \"tpu-v6e-16\"\nautoscale = [0, 4]"));
        assert_eq!(bare(&sent)["autoscaling"], json!({"enabled": true, "maxNodeCount": 4}));
        assert!(sent["autoscaling"]["totalMaxNodeCount"].as_i64().unwrap_or(0) == 0);
        assert_eq!(answer, Ok(()));
    });
}

/// Every mistake of a stack, joined.
fn refused(text: &str) -> String {
    let source = Arc::new(stack::source("stack.toml", text.as_bytes().to_vec()).expect("text"));
    let given = stack::inputs::Given { synthesize: true, ..Default::default() };
    let vars = BTreeMap::<String, String>::new();
    let loaded = match stack::load(source, &stack::DiskLoader(&RealDisk), &given, &vars) {
        Ok(loaded) => loaded,
        Err(mistakes) => return mistakes.to_string(),
    };
    let library = chart::Library::new(&RealDisk);
    let options = catalog::ExpandOptions {
        key: None,
        answers: &chart::Answers::default(),
        loader: &stack::DiskLoader(&RealDisk),
        secrets: loaded.inputs.secret_origins(),
        library: &library,
    };
    catalog::expand(&loaded.stack, &options).err().map(|mistakes| mistakes.to_string()).unwrap_or_default()
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_asked() {
    let mut wrong = Vec::new();
    for (pool, said) in [
        ("accelerator = \"tpu-v6e-4\"\ntopology = \"2x2\"", "a single-host pool takes no topology"),
        ("accelerator = \"nvidia-t4\"\ntopology = \"2x2\"", "only TPU pools have a topology"),
        ("accelerator = \"tpu-v6e-16\"\ntopology = \"8x8\"", "has 64 chips, the accelerator 16"),
        ("accelerator = \"tpu-v6e-16\"\nnodes = 3", "a slice of 4x4 has 4 nodes, not 3"),
        ("accelerator = \"tpu-v6e-16\"\nautoscale = [1, 4]", "has 0 or 4 nodes, nothing between"),
        ("accelerator = \"tpu-v6e-16\"\nautoscale = [0, 8]", "has 0 or 4 nodes, nothing between"),
        (
            "accelerator = \"tpu-v6e-16\"\nnode_locations = [\"europe-west4-a\", \"europe-west4-b\"]",
            "a slice of 4x4 is in one zone",
        ),
        (
            "accelerator = \"nvidia-t4\"\nmachine_type = \"e2-standard-4\"",
            "does not come with machine type e2-standard-4",
        ),
        ("accelerator = \"nvidia-a100-40gb\"\nmachine_type = \"a3-highgpu-8g\"", "does not come with machine type"),
        ("accelerator = \"nvidia-h100-80gb\"\nmachine_type = \"a2-highgpu-8g\"", "does not come with machine type"),
        ("accelerator = \"tpu-v6e-4\"\nmachine_type = \"n1-standard-4\"", "does not come with machine type"),
        ("machine_type = \"n1-standard-4\"\nprovisioning = \"flex-start\"", "flex-start is for accelerators"),
        ("accelerator = \"nvidia-t4\"\nprovisioning = \"flex-start\"\nautoscale = [1, 2]", "starts from no nodes"),
        ("accelerator = \"nvidia-t4\"\nmax_surge = 0", "a node more or a node less"),
        ("accelerator = \"nvidia-t4\"\nmax_pods_per_node = 4", "out of range"),
        ("accelerator = \"nvidia-t4\"\nnode_locations = [\"us-central1-a\"]", "not in the cluster's region"),
        (
            "accelerator = \"nvidia-t4\"\nzone = \"europe-west4-a\"\nnode_locations = [\"europe-west4-a\"]",
            "say the same",
        ),
    ] {
        let found = refused(&text(ZONE, pool));
        if !found.contains(said) {
            wrong.push(format!("{pool}: {found:?}, not {said:?}"));
        }
    }
    let slice = "accelerator = \"tpu-v6e-16\"";
    assert!(refused(&text("location = \"europe-west4\"", slice)).contains("is in one zone"));
    assert_eq!(refused(&text("location = \"europe-west4\"", &format!("{slice}\nzone = \"europe-west4-a\""))), "");
    for (cluster, said) in [
        ("private = true\nauthorized_networks = [{ cidr = \"10.0.0.0/8\" }]", "a private cluster does not have"),
        ("authorized_networks = [{ cidr = \"10.0.0.1/8\" }]", "is not a block of addresses"),
        ("authorized_networks = [{ cidr = \"10.0.0.0\" }]", "is not a block of addresses"),
        ("maintenance_window = { daily = \"25:00\" }", "is not a time of day"),
        ("maintenance_window = {}", "daily or recurring"),
        ("maintenance_window = { start = \"2026-01-03T22:00:00Z\" }", "needs start, end and recurrence"),
        (
            "maintenance_window = { start = \"2026-01-03T22:00:00Z\", end = \"2026-01-03T21:00:00Z\", recurrence = \"FREQ=DAILY\" }",
            "ends before it begins",
        ),
        ("logging = [\"everything\"]", "everything"),
        ("node_locations = [\"europe-west4\"]", "is no zone"),
    ] {
        let found = refused(&text(&format!("{ZONE}\n{cluster}"), T4));
        if !found.contains(said) {
            wrong.push(format!("{cluster}: {found:?}, not {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
