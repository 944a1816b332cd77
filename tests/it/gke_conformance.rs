//! The simulated GKE API against answers recorded from the real one (v1beta1): every request of a recording is
//! made again, and every field of the answer compared.
//!
//! What a recording cannot know (times, ids, addresses, versions of the day) is made equal on both sides by
//! name. Every other difference must be in `EXCEPTIONS` with its reason. Skipped where the recordings are absent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use regex::Regex;
use serde_json::{Value as Json, json};
use stackwright::env::clock::{Clock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::sim::google::container::{ClusterFacts, operations};
use stackwright::sim::google::{ControlPlanes, Endpoint, Google};
use stackwright::sim::world::World;

/// Paths (list indices as `*`) that may differ, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("nodePools.*.kubeletCertInfo", "depends on the node's boot; seen in some recordings only"),
    ("kubeletCertInfo", "depends on the node's boot; seen in some recordings only"),
    ("currentNodeCount", "the real count lags behind the pools, by an amount that differs between recordings"),
    ("ipAllocationPolicy.defaultPodIpv4RangeUtilization", "computed now and then; lags like the node count"),
    ("nodePools.*.networkConfig.podIpv4RangeUtilization", "computed now and then"),
    ("progress.metrics.*.intValue", "the real totals differ between recordings (10 or 12)"),
    ("config.kubeletConfig.maxParallelImagePulls", "the real value changed from 2 to 3 by itself after an update"),
    ("nodePools.*.config.kubeletConfig.maxParallelImagePulls", "the same, seen in the cluster"),
    ("error.details", "dropped by the recorder; the live API sends them"),
];

struct Endpoints;

#[async_trait]
impl ControlPlanes for Endpoints {
    async fn start(&self, _: &ClusterFacts) -> Result<Endpoint, String> {
        Ok(Endpoint { address: "127.0.0.1:6443".to_owned(), ca_pem: "PEM".to_owned() })
    }

    async fn stop(&self, _: &str) {}

    async fn add_node(&self, _: &str, _: Json) -> Result<(), String> {
        Ok(())
    }

    async fn remove_node(&self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }
}

fn recordings() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["../shared/recordings/gke", "../../shared/recordings/gke"];
    places.iter().map(|place| root.join(place)).find(|path| path.is_dir())
}

/// Fields whose value no two runs share.
const VOLATILE: &[&str] = &[
    "startTime",
    "endTime",
    "createTime",
    "id",
    "etag",
    "labelFingerprint",
    "publicEndpoint",
    "privateEndpoint",
    "endpoint",
    "clusterCaCertificate",
    "resourceVersion",
    "clusterIpv4Cidr",
    "clusterIpv4CidrBlock",
    "podIpv4CidrBlock",
    "currentMasterVersion",
    "currentNodeVersion",
    "initialClusterVersion",
    "version",
    "image",
];

/// Makes what no recording can know equal, and orders what the real API leaves unordered.
fn canonical(value: &Json) -> Json {
    static HASH: OnceLock<Regex> = OnceLock::new();
    let hash = HASH.get_or_init(|| Regex::new(r"-[0-9a-f]{8}(-grp|$)").expect("regex"));
    match value {
        Json::Object(object) => {
            let field = |(key, value): (&String, &Json)| {
                let volatile = value.is_string() && VOLATILE.contains(&key.as_str());
                (key.clone(), if volatile { json!("*") } else { canonical(value) })
            };
            Json::Object(object.iter().map(field).collect())
        }
        Json::Array(items) => {
            let mut items: Vec<Json> = items.iter().map(canonical).collect();
            if items.iter().all(Json::is_string) {
                items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
            Json::Array(items)
        }
        Json::String(text) => json!(hash.replace_all(text, "-HASH$1").into_owned()),
        other => other.clone(),
    }
}

/// Every leaf with its path; empty containers count as leaves.
fn leaves(value: &Json, path: &str, out: &mut BTreeMap<String, Json>) {
    let join = |part: &str| if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
    match value {
        Json::Object(object) if !object.is_empty() => {
            object.iter().for_each(|(key, value)| leaves(value, &join(key), out));
        }
        Json::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(index, item)| leaves(item, &join(&index.to_string()), out));
        }
        leaf => {
            out.insert(path.to_owned(), leaf.clone());
        }
    }
}

/// The exception that covers a path.
fn exception(path: &str) -> Option<&'static str> {
    let general: Vec<&str> =
        path.split('.').map(|part| if part.parse::<usize>().is_ok() { "*" } else { part }).collect();
    let general = general.join(".");
    let covers = |name: &str| general == name || general.starts_with(&format!("{name}."));
    EXCEPTIONS.iter().map(|(name, _)| *name).find(|name| covers(name))
}

#[derive(Default)]
struct Score {
    equal: usize,
    total: usize,
    differences: Vec<String>,
    used: BTreeSet<&'static str>,
}

impl Score {
    fn compare(&mut self, what: &str, real: &Json, ours: &Json) {
        let (mut expected, mut found) = (BTreeMap::new(), BTreeMap::new());
        leaves(&canonical(real), "", &mut expected);
        leaves(&canonical(ours), "", &mut found);
        let paths: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
        for path in paths {
            self.total += 1;
            if expected.get(path) == found.get(path) {
                self.equal += 1;
            } else if let Some(name) = exception(path) {
                self.used.insert(name);
            } else {
                let show = |value: Option<&Json>| value.map_or("absent".to_owned(), Json::to_string);
                let (real, ours) = (show(expected.get(path)), show(found.get(path)));
                self.differences.push(format!("{what}: {path}: real {real}, ours {ours}"));
            }
        }
    }
}

async fn replay(file: &Path, clock: &DiscreteClock, score: &mut Score) {
    let google = Google::new(World::in_memory(), Arc::new(clock.clone()), "seed".to_owned());
    google.attach(Arc::new(Endpoints));
    let steps = tokio::spawn(operations::run(google.clone()));
    let recording: Json = serde_json::from_slice(&std::fs::read(file).expect("file")).expect("JSON");
    let mut operation = String::new();
    let cut = Regex::new(r"gke-(cluster-sample-|containercluster-)\w*").expect("regex");
    for exchange in recording["exchanges"].as_array().expect("exchanges") {
        let request = &exchange["request"];
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let fill = |text: String, operation: &str| {
            text.replace("${projectId}", "p").replace("${uniqueId}", "fydeyx").replace("${operationID}", operation)
        };
        let path = fill(text(&request["path"]), &operation);
        let method = text(&request["method"]);
        let body =
            if request["body"].is_null() { String::new() } else { fill(request["body"].to_string(), &operation) };
        let uri = format!("{path}?{}", text(&request["query"]));
        let answer = loop {
            let request = Request::builder().method(method.as_str()).uri(&uri).body(Body::from(body.clone()));
            let response = google.answer(request.expect("request")).await;
            let status = response.status().as_u16();
            let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("body");
            let answer = json!({"code": status, "body": serde_json::from_slice::<Json>(&bytes).unwrap_or_default()});
            // The recorder kept the first and the last answer of each wait.
            let real = &exchange["response"]["body"]["status"];
            let polls = method == "GET" && path.contains("/operations/") && status == 200;
            if !polls || answer["body"]["status"] == *real {
                break answer;
            }
            clock.sleep(Duration::from_secs(5)).await;
        };
        if let Some(name) = answer["body"]["name"].as_str().filter(|name| name.starts_with("operation-")) {
            name.clone_into(&mut operation);
        }
        let number = google.project_number("p");
        let real = exchange["response"].to_string().replace("${projectNumber}", &number);
        let mut real: Json = serde_json::from_str(&fill(real, &operation)).expect("JSON");
        let mut ours = answer;
        // The recorder replaced the unique part of names after they had been cut.
        for side in [&mut real, &mut ours] {
            let text = cut.replace_all(&side.to_string(), "gke-${1}CUT").into_owned();
            *side = serde_json::from_str(&text).expect("JSON");
        }
        let mut real_body = real["body"].clone();
        // The real API answers PENDING or RUNNING to requests about pools; both are right.
        if real_body["status"] == "RUNNING" && ours["body"]["status"] == "PENDING" {
            real_body["status"] = json!("PENDING");
        }
        let what = format!("{} {method} {path}", file.file_name().unwrap_or_default().to_string_lossy());
        score.compare(&what, &json!({"code": real["status"]}), &json!({"code": ours["code"]}));
        score.compare(&what, &real_body, &ours["body"]);
    }
    steps.abort();
}

#[test]
fn answers_like_the_real_api() {
    let Some(directory) = recordings() else {
        eprintln!("skipped: no recordings beside the repository");
        return;
    };
    let mut all = Score::default();
    for name in [
        "real_zonal_cluster_nodepool_lifecycle.json",
        "real_zonal_nodepool_pending_ops.json",
        "real_regional_cluster_lifecycle.json",
        "real_cluster_update.json",
    ] {
        let clock = DiscreteClock::new(Timestamp(1_760_000_000_000));
        let runtime = clock.runtime().expect("runtime");
        let mut score = Score::default();
        runtime.block_on(replay(&directory.join(name), &clock, &mut score));
        eprintln!("{name}: {} of {} fields", score.equal, score.total);
        all.equal += score.equal;
        all.total += score.total;
        all.differences.append(&mut score.differences);
        all.used.append(&mut score.used);
    }
    eprintln!("all: {} of {} fields equal; {} exceptions by name", all.equal, all.total, EXCEPTIONS.len());
    assert!(all.total > 1000, "the recordings were not read");
    assert!(all.differences.is_empty(), "{}", all.differences.join("\n"));
    let stale: Vec<_> = EXCEPTIONS.iter().map(|(name, _)| *name).filter(|name| !all.used.contains(name)).collect();
    assert!(stale.is_empty(), "exceptions that nothing needs: {stale:?}");
}
