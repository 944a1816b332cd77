//! The simulated API server as the programs inside a cluster meet it: admission, RBAC, CRDs, restarts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use serde_json::{Value as Json, json};
use stackwright::env::clock::{SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::random::SeededRandom;
use stackwright::sim::kube::admission;
use stackwright::sim::kube::api::{Api, DeleteOptions, Gvk, ServiceReference, Webhooks};
use stackwright::sim::kube::server::{ApiServer, Parts};
use stackwright::sim::world::World;

/// No webhook answers.
pub struct Silent;

#[async_trait]
impl Webhooks for Silent {
    async fn call(&self, service: &ServiceReference, _ca: &str, _review: Json) -> Result<Json, String> {
        Err(format!("service {:?} not found", service.name))
    }
}

/// One webhook: labels what passes, and refuses what is called `bad`.
#[derive(Default)]
struct Labeller {
    asked: Mutex<Vec<Json>>,
}

#[async_trait]
impl Webhooks for Labeller {
    async fn call(&self, service: &ServiceReference, _ca: &str, review: Json) -> Result<Json, String> {
        if service.name == "down" {
            return Err("no endpoints available for service \"down\"".to_owned());
        }
        let uid = review["request"]["uid"].clone();
        let object = review["request"]["object"].clone();
        self.asked.lock().expect("lock").push(review);
        if object["metadata"]["name"] == "bad" {
            let status = json!({"code": 403, "reason": "Forbidden", "message": "no bad ones"});
            return Ok(json!({"response": {"uid": uid, "allowed": false, "status": status}}));
        }
        let patch = json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]);
        let patch = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
        Ok(json!({"response": {"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": patch}}))
    }
}

fn open(world: &Arc<World>, clock: SharedClock, webhooks: Arc<dyn Webhooks>) -> Arc<ApiServer> {
    let mut plugins = admission::standard();
    plugins.extend(admission::google());
    ApiServer::open(Parts {
        cluster: "c".to_owned(),
        world: world.clone(),
        clock,
        random: Arc::new(SeededRandom::new(1)),
        webhooks,
        plugins,
        version: "v1.34.1-gke.1293000".to_owned(),
    })
}

/// Runs a test on simulated time.
fn simulated<F: Future<Output = ()>>(test: impl FnOnce(SharedClock) -> F) {
    let clock = DiscreteClock::new(Timestamp::parse("2026-11-22T10:00:00Z").expect("a time"));
    let runtime = clock.runtime().expect("a runtime");
    let shared: SharedClock = Arc::new(clock);
    runtime.block_on(test(shared));
}

fn pod(name: &str, spec: Json) -> Json {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i:1"}]},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

async fn account(api: &Arc<dyn Api>) {
    let meta = json!({"name": "default", "namespace": "default"});
    api.create(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})).await.expect("account");
}

fn crd() -> Json {
    let spec = json!({"type": "object", "properties": {"size": {"type": "integer", "default": 2}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}

fn widget(name: &str) -> Json {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, "namespace": "default"},
        "spec": {},
    })
}

#[test]
fn a_missing_role_is_noticed() {
    simulated(|clock| async move {
        let server = open(&World::in_memory(), clock, Arc::new(Silent));
        let api = server.api();
        let user = api.impersonate("system:serviceaccount:default:operator");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}});
        let refused = user.create(map.clone()).await.expect_err("no rights yet");
        assert_eq!(
            refused.message(),
            "configmaps is forbidden: User \"system:serviceaccount:default:operator\" cannot create resource \
             \"configmaps\" in API group \"\" in the namespace \"default\""
        );
        let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]);
        let rbac = "rbac.authorization.k8s.io";
        let role = json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": "o"}, "rules": rules});
        let binding = json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "o"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "o"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "operator"}],
        });
        api.create(binding).await.expect("binding");
        assert!(!user.may("create", "", "configmaps", "default"), "the role is still missing");
        api.create(role).await.expect("role");
        assert!(user.may("create", "", "configmaps", "default"));
        user.create(map).await.expect("now it may");
    });
}

#[test]
fn pods_need_their_account_and_critical_pods_a_quota() {
    simulated(|clock| async move {
        let server = open(&World::in_memory(), clock, Arc::new(Silent));
        let api = server.api();
        let refused = api.create(pod("p", json!({}))).await.expect_err("no account");
        assert!(refused.message().ends_with("serviceaccount \"default\" not found"), "{refused}");
        account(&api).await;
        let made = api.create(pod("p", json!({}))).await.expect("pod");
        assert_eq!(made["spec"]["priority"], 0);
        assert!(made["spec"]["volumes"][0]["projected"].is_object());
        let critical = pod("critical", json!({"priorityClassName": "system-node-critical"}));
        let refused = api.create(critical.clone()).await.expect_err("no quota");
        assert!(refused.message().contains("insufficient quota to match these scopes"), "{refused}");
        let scope = json!({"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]});
        api.create(json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"},
            "spec": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [scope]}},
        }))
        .await
        .expect("quota");
        api.create(critical).await.expect("within the quota");
        let another = pod("another", json!({"priorityClassName": "system-node-critical"}));
        let refused = api.create(another).await.expect_err("one only");
        assert!(refused.message().contains("exceeded quota: q"), "{refused}");
    });
}

#[test]
fn accelerators_are_tolerated_and_tpus_need_a_topology() {
    simulated(|clock| async move {
        let server = open(&World::in_memory(), clock, Arc::new(Silent));
        let api = server.api();
        account(&api).await;
        let asks = |resource: &str| {
            json!({"containers": [{"name": "c", "image": "i", "resources": {
                "limits": {resource: "4"}, "requests": {resource: "4"},
            }}]})
        };
        let gpu = api.create(pod("gpu", asks("nvidia.com/gpu"))).await.expect("pod");
        let tolerations = gpu["spec"]["tolerations"].as_array().expect("list");
        assert!(tolerations.iter().any(|t| t["key"] == "nvidia.com/gpu" && t["operator"] == "Exists"));
        let refused = api.create(pod("tpu", asks("google.com/tpu"))).await.expect_err("no selector");
        assert!(refused.message().contains("GKE Warden"), "{refused}");
        let mut spec = asks("google.com/tpu");
        spec["nodeSelector"] = json!({
            "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice", "cloud.google.com/gke-tpu-topology": "2x2",
        });
        api.create(pod("tpu", spec)).await.expect("pod");
    });
}

#[test]
fn webhooks_change_refuse_and_fail() {
    simulated(|clock| async move {
        let labeller = Arc::new(Labeller::default());
        let server = open(&World::in_memory(), clock, labeller.clone());
        let api = server.api();
        let hook = |service: &str| {
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "hook"},
                "webhooks": [{
                    "name": "hook.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                    "clientConfig": {"service": {"namespace": "default", "name": service, "path": "/m"}},
                    "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
                }],
            })
        };
        let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}});
        let configuration = api.create(hook("up")).await.expect("configuration");
        assert_eq!(configuration["webhooks"][0]["failurePolicy"], "Fail");
        let made = api.create(map("a")).await.expect("allowed");
        assert_eq!(made["metadata"]["labels"]["seen"], "yes");
        assert_eq!(labeller.asked.lock().expect("lock")[0]["request"]["operation"], "CREATE");
        let refused = api.create(map("bad")).await.expect_err("refused");
        assert_eq!(refused.message(), "admission webhook \"hook.example.com\" denied the request: no bad ones");
        assert_eq!(refused.code, 403);
        let mut changed = (*configuration).clone();
        changed["webhooks"][0]["clientConfig"]["service"]["name"] = json!("down");
        api.update(changed).await.expect("changed");
        let failed = api.create(map("b")).await.expect_err("nobody answers");
        assert_eq!(failed.code, 500);
        assert_eq!(
            failed.message(),
            "Internal error occurred: failed calling webhook \"hook.example.com\": failed to call webhook: Post \
             \"https://down.default.svc:443/m?timeout=10s\": no endpoints available for service \"down\""
        );
    });
}

#[test]
fn a_crd_lives_survives_a_restart_and_takes_its_objects_along() {
    simulated(|clock| async move {
        let world = World::in_memory();
        let server = open(&world, clock.clone(), Arc::new(Silent));
        let api = server.api();
        let kind = Gvk::new("example.com", "v1", "Widget");
        let running = tokio::spawn(server.clone().run());
        api.create(crd()).await.expect("crd");
        assert_eq!(api.create(widget("w")).await.expect_err("not yet").code, 404);
        clock.sleep(Duration::from_secs(1)).await;
        assert!(api.serves(&kind));
        assert!(api.kinds().contains(&(kind.clone(), true)));
        let made = api.create(widget("w")).await.expect("widget");
        assert_eq!(made["spec"]["size"], 2);
        running.abort();
        drop((api, server));

        let server = open(&world, clock.clone(), Arc::new(Silent));
        let api = server.api();
        let _running = tokio::spawn(server.clone().run());
        let found = api.get(&kind, "default", "w").expect("it is still there");
        assert_eq!(found, made);
        let definition = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        api.delete(&definition, "", "widgets.example.com", DeleteOptions::default()).await.expect("deleted");
        assert_eq!(api.create(widget("x")).await.expect_err("on its way out").code, 403);
        clock.sleep(Duration::from_secs(1)).await;
        assert!(api.get(&definition, "", "widgets.example.com").is_none());
        assert!(!api.serves(&kind));
    });
}

#[test]
fn pods_wait_for_their_kubelet_and_finalizers_for_their_controllers() {
    simulated(|clock| async move {
        let server = open(&World::in_memory(), clock, Arc::new(Silent));
        let api = server.api();
        account(&api).await;
        let kind = Gvk::new("", "v1", "Pod");
        api.create(pod("p", json!({}))).await.expect("pod");
        let target = json!({"kind": "Node", "name": "n"});
        let binding = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "target": target,
        });
        api.update_subresource("binding", binding).await.expect("bound");
        assert_eq!(api.get(&kind, "default", "p").expect("pod")["spec"]["nodeName"], "n");
        api.delete(&kind, "default", "p", DeleteOptions::default()).await.expect("deleted");
        let dying = api.get(&kind, "default", "p").expect("still there");
        assert_eq!(dying["metadata"]["deletionGracePeriodSeconds"], 30);
        let now = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
        api.delete(&kind, "default", "p", now).await.expect("gone");
        assert!(api.get(&kind, "default", "p").is_none());
    });
}
