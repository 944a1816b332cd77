//! The GKE API over documents and a discrete clock, without sockets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value as Json, json};

use super::super::{ControlPlanes, Endpoint, Google};
use super::{ClusterFacts, operations};
use crate::env::clock::{Clock, Timestamp};
use crate::env::discrete::DiscreteClock;
use crate::sim::world::World;

/// Clusters whose inside is a list of nodes.
#[derive(Default)]
struct Lists(Mutex<BTreeMap<String, BTreeMap<String, Json>>>);

#[async_trait]
impl ControlPlanes for Lists {
    async fn start(&self, cluster: &ClusterFacts) -> Result<Endpoint, String> {
        self.0.lock().expect("lock").entry(cluster.id.clone()).or_default();
        Ok(Endpoint { address: "127.0.0.1:6443".to_owned(), ca_pem: "PEM".to_owned() })
    }

    async fn stop(&self, cluster_id: &str) {
        self.0.lock().expect("lock").remove(cluster_id);
    }

    async fn add_node(&self, cluster_id: &str, node: Json) -> Result<(), String> {
        let name = node["metadata"]["name"].as_str().expect("name").to_owned();
        self.0.lock().expect("lock").get_mut(cluster_id).ok_or("no cluster")?.insert(name, node);
        Ok(())
    }

    async fn remove_node(&self, cluster_id: &str, name: &str) -> Result<(), String> {
        if let Some(nodes) = self.0.lock().expect("lock").get_mut(cluster_id) {
            nodes.remove(name);
        }
        Ok(())
    }
}

struct Fixture {
    google: Arc<Google>,
    clock: DiscreteClock,
    inside: Arc<Lists>,
}

impl Fixture {
    fn over(world: Arc<World>, clock: &DiscreteClock) -> Fixture {
        let inside = Arc::new(Lists::default());
        let google = Google::new(world, Arc::new(clock.clone()), "seed".to_owned());
        google.attach(inside.clone());
        tokio::spawn(operations::run(google.clone()));
        Fixture { google, clock: clock.clone(), inside }
    }

    async fn call(&self, method: &str, path: &str, body: Json) -> (u16, Json) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let path = path.replace("~", "/v1/projects/p/locations/us-central1-a");
        let request = Request::builder().method(method).uri(path).body(body).expect("request");
        let response = self.google.answer(request).await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("body");
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn ok(&self, method: &str, path: &str, body: Json) -> Json {
        let (status, body) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {body:#}");
        body
    }

    async fn refused(&self, method: &str, path: &str, body: Json) -> (u16, String, String) {
        let (status, body) = self.call(method, path, body).await;
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        (status, text(&body["error"]["status"]), text(&body["error"]["message"]))
    }

    /// Polls as clients do; returns the finished operation and the seconds that it took.
    async fn wait(&self, operation: &Json) -> (Json, u64) {
        let start = self.clock.now();
        let path = format!("~/operations/{}", operation["name"].as_str().expect("operation"));
        loop {
            let now = self.ok("GET", &path, Json::Null).await;
            if now["status"] == "DONE" {
                return (now, self.clock.now().since(start).as_secs());
            }
            assert!(self.clock.now().since(start) < Duration::from_secs(86_400), "never done: {now:#}");
            self.clock.sleep(Duration::from_secs(5)).await;
        }
    }

    async fn cluster(&self) -> Json {
        let body =
            json!({"cluster": {"name": "c", "initialNodeCount": 2, "nodeConfig": {"machineType": "n1-standard-4"}}});
        let operation = self.ok("POST", "~/clusters", body).await;
        self.wait(&operation).await.0
    }

    fn nodes(&self) -> Vec<Json> {
        self.inside.0.lock().expect("lock").values().flat_map(|nodes| nodes.values().cloned()).collect()
    }
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(Fixture) -> F) {
    let clock = DiscreteClock::new(Timestamp(1_760_000_000_000));
    let runtime = clock.runtime().expect("runtime");
    runtime.block_on(async { test(Fixture::over(World::in_memory(), &clock)).await });
}

fn t4(name: &str) -> Json {
    json!({"nodePool": {"name": name, "initialNodeCount": 1, "config": {
        "machineType": "n1-standard-4",
        "accelerators": [{"acceleratorCount": 1, "acceleratorType": "nvidia-tesla-t4"}],
        "taints": [{"key": "own", "value": "x", "effect": 3}],
    }}})
}

#[test]
fn a_cluster_lives_and_dies() {
    run(|f| async move {
        assert_eq!(f.ok("GET", "~/clusters", Json::Null).await, json!({}));
        let body =
            json!({"cluster": {"name": "c", "initialNodeCount": 2, "nodeConfig": {"machineType": "n1-standard-4"}}});
        let operation = f.ok("POST", "~/clusters", body.clone()).await;
        assert_eq!((&operation["status"], &operation["zone"]), (&json!("RUNNING"), &json!("us-central1-a")));
        let during = f.ok("GET", "~/clusters/c", Json::Null).await;
        assert_eq!(during["status"], "PROVISIONING");
        assert!(during.get("endpoint").is_none());
        let (_, _, message) = f.refused("POST", "~/clusters", body).await;
        assert_eq!(message, "Already exists: projects/p/zones/us-central1-a/clusters/c.");
        let (done, seconds) = f.wait(&operation).await;
        assert!((200..260).contains(&seconds), "{seconds}");
        assert!(done.get("error").is_none() && done["endTime"].is_string());
        let cluster = f.ok("GET", "~/clusters/c", Json::Null).await;
        assert_eq!((&cluster["status"], &cluster["endpoint"]), (&json!("RUNNING"), &json!("127.0.0.1:6443")));
        assert_eq!((&cluster["currentNodeCount"], &cluster["initialNodeCount"]), (&json!(2), &json!(2)));
        assert_eq!(f.nodes().len(), 2);
        let operation = f.ok("DELETE", "~/clusters/c", Json::Null).await;
        assert_eq!(f.ok("GET", "~/clusters/c", Json::Null).await["status"], "STOPPING");
        f.wait(&operation).await;
        let (code, status, message) = f.refused("GET", "~/clusters/c", Json::Null).await;
        assert_eq!((code, status.as_str()), (404, "NOT_FOUND"));
        assert_eq!(message, "Not found: projects/p/zones/us-central1-a/clusters/c.");
        let all = f.ok("GET", "/compute/v1/projects/p/aggregated/instances", Json::Null).await;
        assert!(!all.to_string().contains("gke-c-"), "{all}");
        assert!(f.google.world.sections("google/compute/instance").is_empty());
    });
}

#[test]
fn pools_come_with_what_google_puts_on_their_nodes() {
    run(|f| async move {
        f.cluster().await;
        let operation = f.ok("POST", "~/clusters/c/nodePools", t4("gpu")).await;
        assert_eq!(operation["status"], "PENDING");
        let (_, seconds) = f.wait(&operation).await;
        assert!((400..440).contains(&seconds), "{seconds}");
        let node =
            f.nodes().into_iter().find(|n| n["metadata"]["name"].as_str().expect("n").contains("-gpu-")).expect("node");
        assert_eq!(node["metadata"]["labels"]["cloud.google.com/gke-accelerator"], "nvidia-tesla-t4");
        let taints: Vec<_> = node["spec"]["taints"]
            .as_array()
            .expect("taints")
            .iter()
            .map(|t| (t["key"].clone(), t["effect"].clone()))
            .collect();
        assert_eq!(taints, [(json!("nvidia.com/gpu"), json!("NoSchedule")), (json!("own"), json!("NoExecute"))]);
        // Labels are replaced on nodes that stay.
        let name = node["metadata"]["name"].clone();
        let operation = f.ok("PUT", "~/clusters/c/nodePools/gpu", json!({"labels": {"labels": {"a": "b"}}})).await;
        assert_eq!(operation["operationType"], "UPGRADE_NODES");
        f.wait(&operation).await;
        let node = f.nodes().into_iter().find(|n| n["metadata"]["name"] == name).expect("the same node");
        assert_eq!(node["metadata"]["labels"]["a"], "b");
        // Another machine type makes new nodes.
        let operation = f.ok("PUT", "~/clusters/c/nodePools/gpu", json!({"machineType": "n1-standard-8"})).await;
        f.wait(&operation).await;
        assert!(f.nodes().iter().all(|n| n["metadata"]["name"] != name));
        let bigger =
            f.nodes().into_iter().find(|n| n["metadata"]["name"].as_str().expect("n").contains("-gpu-")).expect("node");
        assert_eq!(bigger["status"]["capacity"]["cpu"], "8");
        let operation = f.ok("POST", "~/clusters/c/nodePools/gpu:setSize", json!({"nodeCount": 3})).await;
        assert_eq!(operation["operationType"], "SET_NODE_POOL_SIZE");
        f.wait(&operation).await;
        assert_eq!(f.nodes().len(), 5);
        let operation = f.ok("DELETE", "~/clusters/c/nodePools/gpu", Json::Null).await;
        f.wait(&operation).await;
        assert_eq!(f.nodes().len(), 2);
        let (code, _, message) = f.refused("GET", "~/clusters/c/nodePools/gpu", Json::Null).await;
        assert_eq!((code, message.as_str()), (404, "Not found: node pool \"gpu\" not found."));
    });
}

#[test]
fn one_operation_at_a_time() {
    run(|f| async move {
        f.cluster().await;
        let first = f.ok("POST", "~/clusters/c/nodePools", t4("a")).await;
        // Another pool may be made meanwhile; the cluster may not be touched, nor may this pool.
        let second = f.ok("POST", "~/clusters/c/nodePools", t4("b")).await;
        let update = json!({"update": {"desiredVerticalPodAutoscaling": {"enabled": true}}});
        for (method, path, body) in [
            ("PUT", "~/clusters/c", update),
            ("DELETE", "~/clusters/c", Json::Null),
            ("DELETE", "~/clusters/c/nodePools/a", Json::Null),
        ] {
            let (status, answer) = f.call(method, path, body).await;
            assert_eq!((status, &answer["error"]["status"]), (400, &json!("FAILED_PRECONDITION")), "{method} {path}");
            assert_eq!(answer["error"]["details"][1]["reason"], "CLUSTER_ALREADY_HAS_OPERATION");
        }
        f.wait(&first).await;
        f.wait(&second).await;
        assert_eq!(f.nodes().len(), 4);
    });
}

#[test]
fn a_stockout_shows_after_35_minutes_and_in_the_instance_group_at_once() {
    run(|f| async move {
        f.cluster().await;
        let rules =
            json!({"faults": [{"kind": "stockout", "zone": "us-central1-a", "accelerator": "nvidia-tesla-t4"}]});
        f.google.faults.set(&rules).expect("valid");
        let operation = f.ok("POST", "~/clusters/c/nodePools", t4("gpu")).await;
        let pool = f.ok("GET", "~/clusters/c/nodePools/gpu", Json::Null).await;
        let group =
            pool["instanceGroupUrls"][0].as_str().expect("group").trim_start_matches("https://www.googleapis.com");
        let errors = f.ok("GET", &format!("{group}/listErrors"), Json::Null).await;
        assert_eq!(errors["items"][0]["error"]["code"], "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS");
        let (done, seconds) = f.wait(&operation).await;
        assert!((2100..2130).contains(&seconds), "{seconds}");
        assert!(done["statusMessage"].as_str().expect("message").contains("[GCE_STOCKOUT]"));
        assert_eq!(
            (&done["error"]["code"], &done["nodepoolConditions"][0]["code"]),
            (&json!(8), &json!("GCE_STOCKOUT"))
        );
        let pool = f.ok("GET", "~/clusters/c/nodePools/gpu", Json::Null).await;
        assert_eq!(pool["status"], "ERROR");
        assert_eq!(f.refused("POST", "~/clusters/c/nodePools", t4("gpu")).await.0, 409);
        let operation = f.ok("DELETE", "~/clusters/c/nodePools/gpu", Json::Null).await;
        f.wait(&operation).await;
    });
}

#[test]
fn quotas_are_checked_at_the_request_and_for_tpus_later() {
    run(|f| async move {
        let rules = json!({"faults": [
            {"kind": "quota", "region": "us-central1", "metric": "NVIDIA_T4_GPUS", "limit": 0.0},
            {"kind": "quota", "region": "us-central1", "metric": "TPUS_PER_TPU_FAMILY:CT6E", "limit": 0.0},
        ]});
        f.google.faults.set(&rules).expect("valid");
        f.cluster().await;
        let (status, answer) = f.call("POST", "~/clusters/c/nodePools", t4("gpu")).await;
        assert_eq!(status, 403);
        assert_eq!(answer["error"]["details"][1]["reason"], "INSUFFICIENT_QUOTA_REGIONAL");
        assert!(answer["error"]["message"].as_str().expect("text").starts_with(
            "Insufficient regional quota to satisfy request: resource \"NVIDIA_T4_GPUS\": request requires '1.0' and is short '1.0'."
        ));
        let tpu = json!({"nodePool": {"name": "tpu", "initialNodeCount": 1, "locations": ["us-central1-b"], "config": {"machineType": "ct6e-standard-4t"}}});
        let operation = f.ok("POST", "~/clusters/c/nodePools", tpu).await;
        let (done, _) = f.wait(&operation).await;
        assert!(
            done["statusMessage"].as_str().expect("text").contains("Quota 'TPUS_PER_TPU_FAMILY' exceeded. Limit: 0.0")
        );
    });
}

#[test]
fn labels_need_the_fingerprint_and_versions_the_offer() {
    run(|f| async move {
        f.cluster().await;
        let (status, ..) =
            f.refused("POST", "~/clusters/c:setResourceLabels", json!({"resourceLabels": {"a": "b"}})).await;
        assert_eq!(status, 400);
        let fingerprint = f.ok("GET", "~/clusters/c", Json::Null).await["labelFingerprint"].clone();
        let body = json!({"resourceLabels": {"a": "b"}, "labelFingerprint": fingerprint});
        let operation = f.ok("POST", "~/clusters/c:setResourceLabels", body).await;
        assert_eq!(operation["operationType"], "UPDATE_CLUSTER");
        f.wait(&operation).await;
        let cluster = f.ok("GET", "~/clusters/c", Json::Null).await;
        assert_eq!(cluster["resourceLabels"], json!({"a": "b"}));
        assert_ne!(cluster["labelFingerprint"], fingerprint);
        let (status, _, message) = f.refused("PUT", "~/clusters/c", json!({"update": {}})).await;
        assert_eq!((status, message.as_str()), (400, "Must specify a field to update."));
        let update =
            json!({"update": {"desiredNodePoolAutoscaling": {"enabled": true, "maxNodeCount": 5, "minNodeCount": 1}}});
        let operation = f.ok("PUT", "~/clusters/c", update).await;
        f.wait(&operation).await;
        let pool = f.ok("GET", "~/clusters/c/nodePools/default-pool", Json::Null).await;
        assert_eq!(pool["autoscaling"]["maxNodeCount"], 5);
        let bad = json!({"cluster": {"name": "d", "initialNodeCount": 1, "initialClusterVersion": "1.12"}});
        assert_eq!(f.refused("POST", "~/clusters", bad).await.2, "Master version \"1.12\" is unsupported.");
    });
}

#[test]
fn operations_go_on_in_a_new_process() {
    let world = World::in_memory();
    let first = DiscreteClock::new(Timestamp(1_760_000_000_000));
    let runtime = first.runtime().expect("runtime");
    let operation = runtime.block_on(async {
        let f = Fixture::over(world.clone(), &first);
        let body = json!({"cluster": {"name": "c", "initialNodeCount": 1}});
        let operation = f.ok("POST", "~/clusters", body).await;
        f.clock.sleep(Duration::from_secs(140)).await;
        operation
    });
    // The first process is gone with its loop and its inside; the documents and the time are not.
    drop(runtime);
    let second = DiscreteClock::new(first.now());
    let runtime = second.runtime().expect("runtime");
    runtime.block_on(async {
        let f = Fixture::over(world, &second);
        let name = super::clusters::names(&f.google).remove(0);
        super::clusters::start_control_plane(&f.google, &name).await.expect("started");
        let (done, seconds) = f.wait(&operation).await;
        assert!(seconds < 100 && done.get("error").is_none(), "{seconds} {done:#}");
        assert_eq!(f.nodes().len(), 1);
    });
}

#[test]
fn lost_answers_are_carried_out_and_stuck_operations_stay() {
    run(|f| async move {
        let rules = json!({"faults": [
            {"kind": "http", "method": "POST", "path": "*/clusters", "status": 503},
            {"kind": "lost-answer", "method": "POST", "path": "*/clusters"},
            {"kind": "stuck", "operation": "DELETE_CLUSTER"},
        ]});
        f.google.faults.set(&rules).expect("valid");
        let body = json!({"cluster": {"name": "c", "initialNodeCount": 1}});
        assert_eq!(f.refused("POST", "~/clusters", body.clone()).await.0, 503);
        assert_eq!(f.ok("GET", "~/clusters", Json::Null).await, json!({}));
        let rules = json!({"faults": [{"kind": "lost-answer", "method": "POST", "path": "*/clusters"}, {"kind": "stuck", "operation": "DELETE_CLUSTER"}]});
        f.google.faults.set(&rules).expect("valid");
        let request =
            Request::post("/v1/projects/p/locations/us-central1-a/clusters").body(Body::from(body.to_string()));
        let response = f.google.answer(request.expect("request")).await;
        assert!(response.extensions().get::<super::super::HangUp>().is_some());
        let found = f.ok("GET", "~/operations", Json::Null).await;
        f.wait(&found["operations"][0]).await;
        assert_eq!(f.ok("GET", "~/clusters/c", Json::Null).await["status"], "RUNNING");
        let operation = f.ok("DELETE", "~/clusters/c", Json::Null).await;
        f.clock.sleep(Duration::from_secs(86_400)).await;
        let path = format!("~/operations/{}", operation["name"].as_str().expect("name"));
        assert_eq!(f.ok("GET", &path, Json::Null).await["status"], "RUNNING");
    });
}

#[test]
fn the_deprecated_family_of_paths_is_the_same_api() {
    run(|f| async move {
        f.cluster().await;
        let old = f.ok("GET", "/v1/projects/p/zones/us-central1-a/clusters/c", Json::Null).await;
        assert_eq!(old, f.ok("GET", "~/clusters/c", Json::Null).await);
        let config = f.ok("GET", "/v1/projects/p/zones/us-central1-a/serverconfig", Json::Null).await;
        assert!(config["validMasterVersions"].is_array());
        let body = json!({"nodeCount": 1});
        let path = "/v1/projects/p/zones/us-central1-a/clusters/c/nodePools/default-pool/setSize";
        let operation = f.ok("POST", path, body).await;
        f.wait(&operation).await;
        assert_eq!(f.nodes().len(), 1);
    });
}
