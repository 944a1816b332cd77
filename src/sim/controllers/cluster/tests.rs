//! A whole cluster at work, on the simulated API server.

use std::sync::Mutex;

use async_trait::async_trait;
use base64::Engine;
use serde_json::{Value as Json, json};

use super::super::bench::{Bench, gvk, simple};
use super::super::cloud::MemoryCloud;
use super::super::faults::{Crash, NoFaults};
use super::super::image::Image;
use super::super::programs::{Instance, Start};
use super::super::{admission, fields, pods};
use super::*;
use crate::sim::kube::api::{DeleteOptions, ServiceReference, Webhooks};

struct World {
    bench: Bench,
    cloud: Arc<MemoryCloud>,
    _handle: Handle,
}

fn world_with(addons: Vec<Arc<dyn Program>>, faults: Arc<dyn Faults>) -> World {
    let programs = programs(addons);
    let bench = Bench::new(programs.clone(), faults.clone());
    let cloud = Arc::new(MemoryCloud::new(bench.around.clock.clone()));
    let parts = Parts {
        around: bench.around.clone(),
        ca_pem: "PEM".to_owned(),
        programs,
        cloud: cloud.clone(),
        faults,
        logs: Arc::default(),
    };
    let handle = bench.run(async { start(parts) });
    World { bench, cloud, _handle: handle }
}

fn world() -> World {
    world_with(Vec::new(), Arc::new(NoFaults))
}

impl World {
    async fn namespace(&self, name: &str) {
        self.bench.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
    }

    async fn node(&self, name: &str, labels: Json, taints: Json) {
        let number = self.bench.list("Node").len() + 1;
        let mut labels = labels;
        labels["kubernetes.io/os"] = json!("linux");
        labels["topology.kubernetes.io/zone"] = json!("europe-west4-a");
        let give = json!({"cpu": "4", "memory": "15Gi", "pods": "110"});
        let metadata = json!({"name": name, "labels": labels});
        let spec = json!({"podCIDR": format!("10.8.{number}.0/24"), "taints": taints});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec});
        let mut node = (*self.bench.create(node).await).clone();
        node["status"] = json!({
            "addresses": [{"type": "InternalIP", "address": format!("10.164.0.{number}")}],
            "capacity": give, "allocatable": give,
        });
        self.bench.api.update_status(node).await.expect("status");
    }

    async fn deployment(&self, name: &str, replicas: u32, pod: Json) {
        self.bench.create(deployment(name, replicas, pod)).await;
    }

    fn status(&self, kind: &str, name: &str) -> Json {
        self.bench.get(kind, "app", name).map(|object| object["status"].clone()).unwrap_or_default()
    }

    fn pods(&self) -> Vec<Arc<Json>> {
        self.bench.api.list(&gvk("Pod"), Some("app"))
    }

    fn waiting(&self) -> String {
        let pods = self.pods();
        let all = ["/status/initContainerStatuses", "/status/containerStatuses"];
        let statuses = pods.iter().flat_map(|pod| all.into_iter().flat_map(|list| fields::list(pod, list)));
        let reasons = statuses.filter_map(|s| s.pointer("/state/waiting/reason").and_then(Json::as_str));
        reasons.collect::<Vec<_>>().join(",")
    }
}

fn deployment(name: &str, replicas: u32, pod: Json) -> Json {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "app"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    })
}

async fn remove(world: &World, kind: &str, namespace: &str, name: &str, propagation: &str) {
    let options = DeleteOptions { propagation: Some(propagation.to_owned()), ..DeleteOptions::default() };
    world.bench.api.delete(&gvk(kind), namespace, name, options).await.expect("delete");
}

#[test]
fn a_deployment_becomes_available_and_then_nothing_moves() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.node("n2", json!({}), json!([])).await;
        world.deployment("web", 3, simple("nginx:1")).await;
        world.bench.seconds(5).await;
        assert_eq!(world.status("Deployment", "web")["conditions"][0]["status"], "False");
        world.bench.seconds(60).await;
        let status = world.status("Deployment", "web");
        assert_eq!(status["availableReplicas"], 3, "{status}");
        assert_eq!(status["observedGeneration"], 1);
        let nodes: std::collections::BTreeSet<_> =
            world.pods().iter().map(|pod| fields::text(pod, "/spec/nodeName").to_owned()).collect();
        assert_eq!(nodes.len(), 2, "spread over both nodes");
        world.bench.seconds(600).await;
        let mut changes = world.bench.api.subscribe();
        world.bench.seconds(24 * 3600).await;
        assert!(changes.try_recv().is_err(), "an idle cluster writes nothing");
    });
}

#[test]
fn a_rolling_update_keeps_serving_and_a_bad_one_misses_its_deadline() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.deployment("web", 4, simple("nginx:1")).await;
        world.bench.seconds(60).await;
        let image = |object: &mut Json| object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:2");
        world.bench.edit("Deployment", "app", "web", image).await;
        for _ in 0..120 {
            world.bench.seconds(1).await;
            let ready = world.pods().iter().filter(|pod| pods::is_ready(pod)).count();
            assert!(ready >= 3, "maxUnavailable 25% of 4");
        }
        let status = world.status("Deployment", "web");
        assert_eq!((&status["updatedReplicas"], &status["replicas"]), (&json!(4), &json!(4)));
        assert!(world.pods().iter().all(|pod| pod["spec"]["containers"][0]["image"] == "nginx:2"));
        let image = |object: &mut Json| object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("NGINX");
        world.bench.edit("Deployment", "app", "web", image).await;
        world.bench.seconds(590).await;
        assert_eq!(world.waiting(), "InvalidImageName,InvalidImageName");
        let reason = |world: &World| {
            let object = world.bench.get("Deployment", "app", "web").expect("web");
            fields::condition_entry(&object, "Progressing").expect("condition")["reason"].clone()
        };
        assert_eq!(reason(&world), "ReplicaSetUpdated");
        world.bench.seconds(120).await;
        assert_eq!(reason(&world), "ProgressDeadlineExceeded");
        assert_eq!(world.status("Deployment", "web")["availableReplicas"], 3);
    });
}

#[test]
fn a_red_hat_image_needs_a_login() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.deployment("web", 1, simple("registry.redhat.io/rhaiis/vllm-cuda-rhel9:3.2.5")).await;
        world.bench.seconds(30).await;
        assert_eq!(world.waiting(), "ImagePullBackOff");
        let events = world.bench.events("Pod").join("\n");
        assert!(events.contains("401 Unauthorized") && events.contains("Back-off pulling image"), "{events}");
        // A secret for another registry does not help.
        let secret = |registry: &str| {
            let login = base64::engine::general_purpose::STANDARD.encode("user:password");
            let mut auths = json!({});
            auths[registry] = json!({"auth": login});
            let config = json!({"auths": auths});
            base64::engine::general_purpose::STANDARD.encode(config.to_string())
        };
        let object = |name: &str, registry: &str| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "app"},
                "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": secret(registry)},
            })
        };
        world.bench.create(object("quay", "quay.io")).await;
        world.bench.create(object("red-hat", "registry.redhat.io")).await;
        let pull = async |names: Json| {
            let mut account = (*world.bench.get("ServiceAccount", "app", "default").expect("account")).clone();
            account["imagePullSecrets"] = names;
            world.bench.api.update(account).await.expect("update");
        };
        pull(json!([{"name": "quay"}])).await;
        world.bench.seconds(300).await;
        assert_eq!(world.waiting(), "ImagePullBackOff");
        pull(json!([{"name": "red-hat"}])).await;
        world.bench.seconds(400).await;
        assert_eq!(world.status("Deployment", "web")["availableReplicas"], 1);
    });
}

#[test]
fn what_a_pod_mounts_and_reads_must_be_there() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        let pod = json!({
            "volumes": [
                {"name": "tls", "secret": {"secretName": "tls"}},
                {"name": "maybe", "configMap": {"name": "none", "optional": true}},
            ],
            "containers": [{
                "name": "main", "image": "nginx:1",
                "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}}],
            }],
        });
        world.deployment("web", 1, pod).await;
        world.bench.seconds(60).await;
        assert_eq!(world.waiting(), "ContainerCreating");
        let events = world.bench.events("Pod").join("\n");
        assert!(events.contains("FailedMount: MountVolume.SetUp failed for volume \"tls\" : secret \"tls\" not found"));
        let secret = |name: &str| {
            let metadata = json!({"name": name, "namespace": "app"});
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"value": "eA=="}})
        };
        world.bench.create(secret("tls")).await;
        world.bench.seconds(60).await;
        assert_eq!(world.waiting(), "CreateContainerConfigError");
        assert!(world.bench.events("Pod").join("\n").contains("Error: secret \"token\" not found"));
        world.bench.create(secret("token")).await;
        world.bench.seconds(60).await;
        assert_eq!(world.status("Deployment", "web")["availableReplicas"], 1);
    });
}

#[test]
fn an_accelerator_needs_toleration_driver_and_device_plugin() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.node("n2", json!({}), json!([])).await;
        // Not the usual taint, which GKE's admission makes every GPU Pod tolerate.
        let taint = json!({"key": "dedicated", "value": "models", "effect": "NoSchedule"});
        let labels = json!({
            "cloud.google.com/gke-accelerator": "nvidia-tesla-t4", "cloud.google.com/gke-accelerator-count": "1",
            "cloud.google.com/gke-gpu-driver-version": "default",
        });
        world.node("gpu", labels, json!([taint])).await;
        let resources = json!({"limits": {"nvidia.com/gpu": "1"}});
        let mut pod = json!({"containers": [{"name": "main", "image": "vllm/vllm-openai:v1", "resources": resources}]});
        world.deployment("web", 1, pod.clone()).await;
        world.bench.seconds(300).await;
        let node = world.bench.get("Node", "", "gpu").expect("gpu");
        assert_eq!(node["status"]["allocatable"]["nvidia.com/gpu"], "1");
        assert_eq!(
            fields::text(&world.pods()[0], "/status/conditions/0/message"),
            "0/3 nodes are available: 1 node(s) had untolerated taint {dedicated: models}, 2 Insufficient \
             nvidia.com/gpu. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No \
             preemption victims found for incoming pod."
        );
        remove(&world, "Deployment", "app", "web", "Background").await;
        pod["tolerations"] = json!([{"key": "dedicated", "operator": "Exists"}]);
        world.bench.seconds(30).await;
        assert!(world.pods().is_empty());
        world.deployment("web", 1, pod).await;
        world.bench.seconds(60).await;
        assert_eq!(world.status("Deployment", "web")["availableReplicas"], 1);
    });
}

#[test]
fn a_refused_pod_is_told_on_its_owner_and_tried_again() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        let mut pod = simple("agent:1");
        pod["priorityClassName"] = json!("system-node-critical");
        let mut set = deployment("agent", 1, pod);
        set["kind"] = json!("DaemonSet");
        set["spec"].as_object_mut().expect("spec").shift_remove("replicas");
        world.bench.create(set).await;
        world.bench.seconds(30).await;
        let wanted = "FailedCreate: Error creating: pods \"agent-\" is forbidden: insufficient quota to match these scopes: \
                      [{PriorityClass In [system-node-critical system-cluster-critical]}]";
        assert_eq!(world.bench.events("DaemonSet"), [wanted]);
        let quota = world.bench.get("ResourceQuota", "kube-system", "gcp-critical-pods").expect("quota");
        let metadata = json!({"name": "gcp-critical-pods", "namespace": "app"});
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": quota["spec"]});
        world.bench.create(quota).await;
        world.bench.seconds(60).await;
        assert_eq!(world.status("DaemonSet", "agent")["numberAvailable"], 1);
    });
}

#[test]
fn a_namespace_takes_its_content_along_and_waits_for_finalizers() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.bench.seconds(1).await;
        assert!(world.bench.get("ServiceAccount", "app", "default").is_some());
        assert!(world.bench.get("ConfigMap", "app", "kube-root-ca.crt").is_some());
        world.deployment("web", 2, simple("nginx:1")).await;
        let metadata = json!({"name": "held", "namespace": "app", "finalizers": ["example.com/hold"]});
        world.bench.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await;
        world.bench.seconds(60).await;
        remove(&world, "Namespace", "", "app", "Background").await;
        world.bench.seconds(60).await;
        let namespace = world.bench.get("Namespace", "", "app").expect("still there");
        assert!(world.pods().is_empty());
        let entry = fields::condition_entry(&namespace, "NamespaceFinalizersRemaining").expect("condition");
        let message =
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances";
        assert_eq!(entry["message"], message);
        let mut held = (*world.bench.get("ConfigMap", "app", "held").expect("held")).clone();
        fields::remove_finalizer(&mut held, "example.com/hold");
        world.bench.api.update(held).await.expect("update");
        world.bench.seconds(10).await;
        assert!(world.bench.get("Namespace", "", "app").is_none());
    });
}

#[test]
fn a_load_balancer_needs_nodes_and_time_and_goes_before_its_service() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world
            .bench
            .create(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "gate", "namespace": "app"},
                "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 443}]},
            }))
            .await;
        world.bench.seconds(120).await;
        assert!(world.cloud.load_balancers().is_empty());
        assert!(world.bench.events("Service").join("\n").contains("SyncLoadBalancerFailed"));
        world.node("n1", json!({}), json!([])).await;
        world.bench.seconds(40).await;
        assert_eq!(world.status("Service", "gate")["loadBalancer"]["ingress"], Json::Null);
        world.bench.seconds(40).await;
        assert_eq!(world.status("Service", "gate")["loadBalancer"]["ingress"][0]["ip"], "203.0.113.1");
        remove(&world, "Service", "app", "gate", "Background").await;
        world.bench.seconds(60).await;
        assert!(world.bench.get("Service", "app", "gate").is_none());
        assert!(world.cloud.load_balancers().is_empty());
    });
}

#[test]
fn a_claim_waits_for_its_first_consumer_and_its_disk_goes_with_it() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world
            .bench
            .create(json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "app"},
                "spec": {
                    "storageClassName": "standard-rwo", "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "10Gi"}},
                },
            }))
            .await;
        world.bench.seconds(30).await;
        assert_eq!(world.status("PersistentVolumeClaim", "data")["phase"], "Pending");
        let mut pod = simple("nginx:1");
        pod["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
        world.deployment("web", 1, pod).await;
        world.bench.seconds(60).await;
        assert_eq!(world.status("PersistentVolumeClaim", "data")["phase"], "Bound");
        assert_eq!(world.status("Deployment", "web")["availableReplicas"], 1);
        assert_eq!(world.cloud.disks().len(), 1);
        remove(&world, "Deployment", "app", "web", "Background").await;
        remove(&world, "PersistentVolumeClaim", "app", "data", "Background").await;
        world.bench.seconds(60).await;
        assert!(world.bench.list("PersistentVolume").is_empty());
        assert!(world.cloud.disks().is_empty());
    });
}

fn job(name: &str, image: &str, extra: Json) -> Json {
    let mut spec = json!({
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}},
    });
    for (key, value) in extra.as_object().expect("object") {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "app"}, "spec": spec})
}

/// Containers of this image end as they are told.
struct Failing;

impl Program for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn runs(&self, image: &Image) -> bool {
        image.base() == "failing"
    }

    fn start(&self, _: &Instance, _: &Surroundings) -> Start {
        Start::fails(std::time::Duration::from_secs(2), "cannot go on")
    }
}

#[test]
fn jobs_complete_fail_and_expire() {
    let world = world_with(vec![Arc::new(Failing)], Arc::new(NoFaults));
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.bench.create(job("good", "busybox:1", json!({"completions": 2, "ttlSecondsAfterFinished": 100}))).await;
        world.bench.create(job("bad", "failing:1", json!({"backoffLimit": 2}))).await;
        world.bench.seconds(60).await;
        let good = world.bench.get("Job", "app", "good").expect("good");
        assert_eq!((fields::condition(&good, "Complete"), &good["status"]["succeeded"]), ("True", &json!(2)));
        world.bench.seconds(120).await;
        assert!(world.bench.get("Job", "app", "good").is_none());
        let bad = world.bench.get("Job", "app", "bad").expect("bad");
        assert_eq!((fields::condition(&bad, "Failed"), &bad["status"]["failed"]), ("True", &json!(3)));
    });
}

#[test]
fn a_crashing_container_backs_off_longer_each_time() {
    let world = world_with(vec![Arc::new(Failing)], Arc::new(NoFaults));
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.deployment("web", 1, simple("failing:1")).await;
        world.bench.seconds(60).await;
        assert_eq!(world.waiting(), "CrashLoopBackOff");
        let restarts = |world: &World| fields::number(&world.pods()[0], "/status/containerStatuses/0/restartCount");
        let early = restarts(&world).expect("count");
        world.bench.seconds(3600).await;
        let late = restarts(&world).expect("count");
        assert!((2..=4).contains(&early) && (12..=20).contains(&late), "{early} {late}");
        assert_eq!(world.status("Deployment", "web")["availableReplicas"], Json::Null);
    });
}

/// Kills one container once for want of memory.
struct Oom(Mutex<bool>);

impl Faults for Oom {
    fn crash(&self, pod: &Json, _: &str) -> Option<Crash> {
        if fields::namespace(pod) != "app" {
            return None;
        }
        let mut armed = self.0.lock().expect("lock");
        std::mem::take(&mut *armed).then(|| Crash { code: 137, oom: true, log: vec!["killed".to_owned()] })
    }
}

#[test]
fn a_fault_kills_a_container_that_then_starts_again() {
    let world = world_with(Vec::new(), Arc::new(Oom(Mutex::new(true))));
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.deployment("web", 1, simple("nginx:1")).await;
        world.bench.seconds(60).await;
        let pod = world.pods().remove(0);
        assert_eq!(fields::text(&pod, "/status/containerStatuses/0/lastState/terminated/reason"), "OOMKilled");
        assert!(pods::is_ready(&pod));
    });
}

#[test]
fn pods_of_a_removed_node_come_back_elsewhere() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.deployment("web", 2, simple("nginx:1")).await;
        world.bench.seconds(60).await;
        world.node("n2", json!({}), json!([])).await;
        world.bench.seconds(30).await;
        remove(&world, "Node", "", "n1", "Background").await;
        world.bench.seconds(60).await;
        assert_eq!(world.status("Deployment", "web")["availableReplicas"], 2);
        assert!(world.pods().iter().all(|pod| pod["spec"]["nodeName"] == "n2"));
    });
}

#[test]
fn statefulsets_start_in_order_with_claims_and_roll_from_the_end() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        let mut set = deployment("db", 2, simple("db:1"));
        set["kind"] = json!("StatefulSet");
        set["spec"]["serviceName"] = json!("db");
        set["spec"]["volumeClaimTemplates"] = json!([{
            "metadata": {"name": "data"},
            "spec": {"storageClassName": "standard-rwo", "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}},
        }]);
        world.bench.create(set).await;
        world.bench.seconds(10).await;
        assert_eq!(world.pods().len(), 1, "the second waits for the first");
        world.bench.seconds(120).await;
        assert_eq!(world.status("StatefulSet", "db")["readyReplicas"], 2);
        assert!(world.bench.get("PersistentVolumeClaim", "app", "data-db-1").is_some());
        let image = |object: &mut Json| object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("db:2");
        world.bench.edit("StatefulSet", "app", "db", image).await;
        world.bench.seconds(120).await;
        let status = world.status("StatefulSet", "db");
        assert_eq!(status["currentRevision"], status["updateRevision"]);
        assert!(world.pods().iter().all(|pod| pod["spec"]["containers"][0]["image"] == "db:2"));
    });
}

/// A program with a webhook and a controller that stamps ConfigMaps.
struct Hook;

fn certificate() -> &'static (String, String) {
    static MADE: std::sync::OnceLock<(String, String)> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let signed = |host: &str| {
            let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).expect("params");
            params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            params.not_after = rcgen::date_time_ymd(2036, 1, 1);
            params.self_signed(&rcgen::KeyPair::generate().expect("key")).expect("certificate").pem()
        };
        (signed("hook.app.svc"), signed("other.app.svc"))
    })
}

#[async_trait]
impl Program for Hook {
    fn name(&self) -> &'static str {
        "hook"
    }

    fn runs(&self, image: &Image) -> bool {
        image.base() == "hook"
    }

    fn start(&self, _: &Instance, _: &Surroundings) -> Start {
        Start::Serves(std::time::Duration::from_secs(20))
    }

    fn certificate(&self, _: &Instance, _: &Surroundings, _: u16) -> Option<String> {
        Some(certificate().0.clone())
    }

    fn controllers(&self, _: &Instance) -> Vec<Arc<dyn Controller>> {
        vec![Arc::new(Stamp)]
    }

    async fn webhook(&self, _: &Instance, _: &Surroundings, path: &str, review: &Json) -> Result<Json, String> {
        if path == "/validate" { Ok(admission::allow(review)) } else { Err("not served".to_owned()) }
    }
}

struct Stamp;

#[async_trait]
impl Controller for Stamp {
    fn name(&self) -> &'static str {
        "stamp"
    }

    fn watches(&self) -> Vec<crate::sim::kube::api::Gvk> {
        vec![gvk("ConfigMap")]
    }

    async fn reconcile(
        &self,
        around: &Surroundings,
        key: &super::super::Key,
    ) -> Result<super::super::Outcome, crate::sim::kube::api::Status> {
        let map = around.api.get(&key.gvk, &key.namespace, &key.name);
        // The root certificate's map has an owner who would undo it.
        if let Some(map) = map.filter(|_| key.name != "kube-root-ca.crt") {
            let mut next = (*map).clone();
            next["data"]["stamp"] = json!("seen");
            around.api.update(next).await?;
        }
        Ok(super::super::Outcome::Done)
    }
}

#[test]
fn a_webhook_answers_only_when_everything_behind_it_is_there() {
    let world = world_with(vec![Arc::new(Hook)], Arc::new(NoFaults));
    let webhooks = world.bench.webhooks.clone();
    world.bench.run(async {
        let at = |name: &str, port: u16| ServiceReference {
            namespace: "app".to_owned(),
            name: name.to_owned(),
            path: "/validate".to_owned(),
            port,
        };
        let review = json!({"kind": "AdmissionReview", "request": {"uid": "1"}});
        let call = async |ca: &str| webhooks.call(&at("hook", 443), ca, review.clone()).await;
        let error = async |ca: &str| call(ca).await.expect_err("refused");
        let good = &certificate().0;
        assert_eq!(error(good).await, "service \"hook\" not found");
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world
            .bench
            .create(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook", "namespace": "app"},
                "spec": {"selector": {"app": "hook"}, "ports": [{"port": 443, "targetPort": "webhook"}]},
            }))
            .await;
        world.bench.seconds(1).await;
        assert_eq!(error(good).await, "no endpoints available for service \"hook\"");
        let ports = json!([{"name": "webhook", "containerPort": 9443}]);
        world.deployment("hook", 1, json!({"containers": [{"name": "main", "image": "hook:1", "ports": ports}]})).await;
        world.bench.seconds(25).await;
        // Ready, for want of a probe, before it listens.
        assert_eq!(error(good).await, "dial tcp 10.8.1.2:9443: connect: connection refused");
        world.bench.seconds(20).await;
        assert_eq!(
            error(&certificate().1).await,
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        );
        let none = webhooks.call(&at("hook", 8443), good, review.clone()).await.expect_err("no port");
        assert_eq!(none, "no service port 8443 found for service \"hook\"");
        assert_eq!(call(good).await.expect("answer")["response"]["allowed"], true);
    });
}

#[test]
fn controllers_of_a_program_run_while_it_is_ready() {
    let world = world_with(vec![Arc::new(Hook)], Arc::new(NoFaults));
    world.bench.run(async {
        world.namespace("app").await;
        let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "app"}});
        world.bench.create(map("first")).await;
        let stamped = |name: &str| world.bench.get("ConfigMap", "app", name).expect("map")["data"]["stamp"] == "seen";
        let mut pod = simple("hook:1");
        pod["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 1}, "periodSeconds": 5});
        world.deployment("hook", 1, pod).await;
        world.bench.seconds(60).await;
        assert!(!stamped("first"), "no node, no Pod, no controller");
        world.node("n1", json!({}), json!([])).await;
        world.bench.seconds(60).await;
        assert!(!stamped("first"), "its ServiceAccount may not");
        world
            .bench
            .create(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "stamp", "namespace": "app"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
                "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "app"}],
            }))
            .await;
        world.bench.seconds(60).await;
        assert!(stamped("first"));
        remove(&world, "Deployment", "app", "hook", "Foreground").await;
        world.bench.seconds(60).await;
        assert!(world.bench.get("Deployment", "app", "hook").is_none());
        world.bench.create(map("second")).await;
        world.bench.seconds(60).await;
        assert!(!stamped("second"));
    });
}

#[test]
fn an_orphaned_dependent_stays() {
    let world = world();
    world.bench.run(async {
        world.namespace("app").await;
        world.node("n1", json!({}), json!([])).await;
        world.deployment("web", 1, simple("nginx:1")).await;
        world.bench.seconds(60).await;
        remove(&world, "Deployment", "app", "web", "Orphan").await;
        world.bench.seconds(60).await;
        assert!(world.bench.get("Deployment", "app", "web").is_none());
        assert_eq!(world.bench.api.list(&gvk("ReplicaSet"), Some("app")).len(), 1);
        assert_eq!(world.pods().len(), 1);
    });
}
