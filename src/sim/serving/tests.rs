//! A whole cluster from manifests to a completion: the stand-ins of the add-ons, the programs that make them
//! work, a gateway with TLS, a model behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{DataPlane, gateway};
use crate::env::clock::{Clock as _, SharedClock, Timestamp};
use crate::env::discrete::DiscreteClock;
use crate::env::random::SeededRandom;
use crate::sim::controllers::addons::objects::{core, is_true, list, name, text, unbase64};
use crate::sim::controllers::addons::pki;
use crate::sim::controllers::cloud::MemoryCloud;
use crate::sim::controllers::faults::{Faults, NoFaults};
use crate::sim::controllers::runner::Handle;
use crate::sim::controllers::webhooks::ServiceWebhooks;
use crate::sim::controllers::{Surroundings, addons, cluster};
use crate::sim::kube::api::{Api, Gvk, Status};
use crate::sim::kube::{admission, server};
use crate::sim::world::World;

pub(super) struct Cluster {
    pub(super) api: Arc<dyn Api>,
    pub(super) clock: DiscreteClock,
    pub(super) runtime: tokio::runtime::Runtime,
    _keep: (Handle, Arc<ServiceWebhooks>),
}

pub(super) fn cluster() -> Cluster {
    let clock = DiscreteClock::new(Timestamp::parse("2026-11-22T10:00:00Z").expect("time"));
    let runtime = clock.runtime().expect("runtime");
    let shared: SharedClock = Arc::new(clock.clone());
    let programs = cluster::programs(addons::programs(&(Arc::new(NoFaults) as Arc<dyn Faults>)));
    let webhooks = Arc::new(ServiceWebhooks::new(shared.clone(), programs.clone(), Arc::new(NoFaults)));
    let mut plugins = admission::standard();
    plugins.extend(admission::google());
    let server = server::ApiServer::open(server::Parts {
        cluster: "kube/test".to_owned(),
        world: World::in_memory(),
        clock: shared.clone(),
        random: Arc::new(SeededRandom::new(7)),
        webhooks: webhooks.clone(),
        plugins,
        version: "v1.34.1-gke.1293000".to_owned(),
    });
    let api = server.api();
    webhooks.serve(&api);
    let parts = cluster::Parts {
        around: Surroundings { api: api.clone(), clock: shared.clone() },
        ca_pem: "PEM".to_owned(),
        programs,
        cloud: Arc::new(MemoryCloud::new(shared)),
        faults: Arc::new(NoFaults),
        logs: Arc::default(),
    };
    let handle = runtime.block_on(async {
        tokio::spawn(server.run());
        cluster::start(parts)
    });
    Cluster { api, clock, runtime, _keep: (handle, webhooks) }
}

pub(super) fn documents(text: &str) -> Vec<Json> {
    text.split("\n---")
        .map(|document| serde_saphyr::from_str::<Json>(document).expect("YAML"))
        .filter(Json::is_object)
        .collect()
}

impl Cluster {
    /// Applies objects one after the other, each as often as it takes.
    pub(super) async fn apply(&self, objects: Vec<Json>) {
        for object in objects {
            let mut last = None;
            for _ in 0..60 {
                match self.api.apply("test", object.clone(), false).await {
                    Ok(_) => {
                        last = None;
                        break;
                    }
                    Err(status) => last = Some(status),
                }
                self.clock.sleep(Duration::from_secs(5)).await;
            }
            if let Some(status) = last {
                panic!("{} {}: {status}\n{}", text(&object, "/kind"), name(&object), self.trouble());
            }
        }
    }

    pub(super) async fn until(&self, what: &str, minutes: u64, holds: impl Fn() -> bool) {
        for _ in 0..minutes * 12 {
            if holds() {
                return;
            }
            self.clock.sleep(Duration::from_secs(5)).await;
        }
        if !holds() {
            panic!("{what}: not within {minutes} min\n{}", self.trouble());
        }
    }

    /// Everything that is not as it should be, for the message of a failing test.
    fn trouble(&self) -> String {
        let mut lines = Vec::new();
        for pod in self.api.list(&core("Pod"), None) {
            if !is_true(&pod, "Ready") {
                lines.push(format!("{}/{} {}", text(&pod, "/metadata/namespace"), name(&pod), pod["status"]));
            }
        }
        for event in self.api.list(&core("Event"), None) {
            if text(&event, "/type") == "Warning" {
                lines.push(format!(
                    "{} {}: {}",
                    text(&event, "/involvedObject/name"),
                    text(&event, "/reason"),
                    text(&event, "/message")
                ));
            }
        }
        for kind in ["LLMInferenceService"] {
            for object in self.api.list(&Gvk::new("serving.kserve.io", "v1alpha2", kind), None) {
                lines.push(format!("{kind} {}", object["status"]));
            }
        }
        for object in self.api.list(&Gvk::new("gateway.networking.k8s.io", "v1", "Gateway"), None) {
            lines.push(format!("Gateway {}", object["status"]));
        }
        lines.join("\n")
    }

    pub(super) async fn node(&self, name: &str, labels: Json, taints: Json) -> Result<(), Status> {
        let number = self.api.list(&core("Node"), None).len() + 1;
        let mut labels = labels;
        labels["kubernetes.io/os"] = json!("linux");
        labels["topology.kubernetes.io/zone"] = json!("europe-west4-a");
        let give = json!({"cpu": "4", "memory": "15Gi", "pods": "110", "ephemeral-storage": "90Gi"});
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "spec": {"podCIDR": format!("10.8.{number}.0/24"), "taints": taints},
        });
        let created = self.api.create(node).await?;
        let mut node = (*created).clone();
        node["status"] = json!({
            "addresses": [{"type": "InternalIP", "address": format!("10.164.0.{number}")}],
            "capacity": give, "allocatable": give, "nodeInfo": {"kubeletVersion": "v1.34.1-gke.1293000"},
        });
        self.api.update_status(node).await.map(drop)
    }

    /// One request over TLS to a load balancer's address: status and body.
    pub(super) async fn request(
        &self,
        plane: &Arc<DataPlane>,
        address: &str,
        host: &str,
        roots: &str,
        head: &str,
        body: &str,
    ) -> (u16, String) {
        let _busy = self.clock.busy();
        let destination = format!("{address}:443").parse().expect("address");
        assert!(plane.reachable(destination));
        let (mine, theirs) = tokio::io::duplex(64 * 1024);
        let plane = plane.clone();
        tokio::spawn(async move { gateway::serve(theirs, &plane, destination).await.ok() });
        let mut store = rustls::RootCertStore::empty();
        store.add_parsable_certificates(pki::chain(roots));
        let config = rustls::ClientConfig::builder_with_provider(pki::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(store)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let server = rustls::pki_types::ServerName::try_from(host.to_owned()).expect("name");
        let mut stream = connector.connect(server, mine).await.expect("TLS");
        let request = format!(
            "{head} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

macro_rules! stand_in {
    ($path:literal) => {
        documents(include_str!(concat!("../../catalog/standins/", $path, ".yaml")))
    };
}

fn pki_objects() -> Vec<Json> {
    documents(
        "
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: opendatahub-selfsigned-issuer}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: opendatahub-ca, namespace: cert-manager}
spec:
  isCA: true
  commonName: opendatahub-ca
  secretName: opendatahub-ca
  duration: 87600h
  issuerRef: {kind: ClusterIssuer, name: opendatahub-selfsigned-issuer}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: opendatahub-ca-issuer}
spec: {ca: {secretName: opendatahub-ca}}
",
    )
}

fn stack_objects() -> Vec<Json> {
    documents(
        "
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: inference-gateway-tls, namespace: kserve}
spec:
  secretName: inference-gateway-tls
  dnsNames: [inference.test.internal]
  issuerRef: {kind: ClusterIssuer, name: opendatahub-ca-issuer}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: inference-gateway, namespace: kserve}
spec:
  gatewayClassName: istio
  listeners:
    - name: https
      port: 443
      protocol: HTTPS
      tls: {mode: Terminate, certificateRefs: [{name: inference-gateway-tls}]}
      allowedRoutes: {namespaces: {from: All}}
---
apiVersion: v1
kind: Namespace
metadata: {name: models, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: qwen, namespace: models}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: qwen-kserve-workload-svc, namespace: models}
spec:
  host: qwen-kserve-workload-svc.models.svc.cluster.local
  trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}
---
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata: {name: qwen, namespace: models}
spec:
  model: {uri: 'hf://Qwen/Qwen2.5-3B-Instruct', name: Qwen/Qwen2.5-3B-Instruct}
  replicas: 1
  router: {route: {}, gateway: {}}
  template:
    serviceAccountName: qwen
    nodeSelector: {cloud.google.com/gke-accelerator: nvidia-tesla-t4}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
    containers:
      - name: main
        image: vllm/vllm-openai:v0.32.0
        command: [python3, -m, vllm.entrypoints.openai.api_server]
        args:
          - --model=/mnt/models
          - --served-model-name=Qwen/Qwen2.5-3B-Instruct
          - --port=8000
          - --dtype=half
          - --max-model-len=4096
          - --gpu-memory-utilization=0.85
          - --enable-prefix-caching
          - --max-num-seqs=128
          - --ssl-certfile=/var/run/kserve/tls/tls.crt
          - --ssl-keyfile=/var/run/kserve/tls/tls.key
          - --enable-ssl-refresh
        resources: {limits: {nvidia.com/gpu: '1'}, requests: {nvidia.com/gpu: '1'}}
        readinessProbe: {httpGet: {path: /v1/models, port: 8000, scheme: HTTPS}, initialDelaySeconds: 60, periodSeconds: 10}
",
    )
}

async fn nodes(cluster: &Cluster, own_plugin: bool) {
    let mut gpu = json!({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4",
        "cloud.google.com/gke-accelerator-count": "1", "cloud.google.com/gke-gpu-driver-version": "latest"});
    if own_plugin {
        gpu["gke-no-default-nvidia-gpu-device-plugin"] = json!("true");
    }
    cluster.node("system-1", json!({}), json!([])).await.expect("node");
    cluster.node("system-2", json!({}), json!([])).await.expect("node");
    let taint = json!([{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]);
    cluster.node("gpu-1", gpu, taint).await.expect("node");
}

pub(super) async fn upstream(cluster: &Cluster) {
    nodes(cluster, true).await;
    for crds in [
        stand_in!("crds/cert-manager"),
        stand_in!("crds/gateway-api"),
        stand_in!("crds/gateway-api-routes"),
        stand_in!("crds/inference-extension"),
        stand_in!("crds/istio"),
        stand_in!("crds/lws"),
        stand_in!("crds/gpu-operator"),
    ] {
        cluster.apply(crds).await;
    }
    for addon in [
        stand_in!("upstream/cert-manager"),
        pki_objects(),
        stand_in!("upstream/gpu-operator"),
        stand_in!("upstream/istio"),
        stand_in!("upstream/lws"),
        stand_in!("crds/kserve"),
        stand_in!("upstream/kserve"),
        stack_objects(),
    ] {
        cluster.apply(addon).await;
    }
}

/// A Secret with which registry.redhat.io lets one pull.
fn pull_secret(namespace: &str) -> Json {
    let login = json!({"auths": {"registry.redhat.io": {"auth": "dXNlcjpwYXNzd29yZA=="}}}).to_string();
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "redhat-pull-secret", "namespace": namespace},
        "data": {".dockerconfigjson": crate::sim::controllers::addons::objects::base64(login)}})
}

async fn red_hat(cluster: &Cluster) {
    nodes(cluster, true).await;
    for space in
        ["cert-manager-operator", "cert-manager", "istio-system", "openshift-lws-operator", "opendatahub", "models"]
    {
        let labels = if space == "models" { json!({"istio-injection": "enabled"}) } else { json!({}) };
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": labels}});
        cluster.apply(vec![object, pull_secret(space)]).await;
    }
    cluster.apply(vec![pull_secret("kube-system")]).await;
    for objects in [
        stand_in!("crds/cert-manager"),
        stand_in!("crds/rhaii-cert-manager-operator"),
        stand_in!("crds/gateway-api"),
        stand_in!("crds/gateway-api-routes"),
        stand_in!("crds/inference-extension"),
        stand_in!("crds/istio"),
        stand_in!("crds/rhaii-sail-operator"),
        stand_in!("crds/rhaii-lws-operator"),
        stand_in!("crds/gpu-operator"),
        stand_in!("rhaii/cert-manager"),
        pki_objects(),
        stand_in!("upstream/gpu-operator"),
        stand_in!("rhaii/istio"),
        stand_in!("rhaii/lws"),
        // The conversion webhook is where the controller is.
        documents(
            &include_str!("../../catalog/standins/crds/kserve.yaml")
                .replace("kserve/llmisvc", "opendatahub/llmisvc")
                .replace("namespace: kserve", "namespace: opendatahub"),
        ),
        stand_in!("rhaii/kserve"),
    ] {
        cluster.apply(objects).await;
    }
    let ca = || cluster.api.get(&core("Secret"), "cert-manager", "opendatahub-ca");
    cluster.until("the authority", 10, || ca().is_some()).await;
    let certificate = unbase64(text(&ca().expect("CA"), "/data/tls.crt")).expect("PEM");
    let deployment = json!({"spec": {"template": {"spec": {
        "imagePullSecrets": [{"name": "redhat-pull-secret"}],
        "containers": [{"name": "istio-proxy", "volumeMounts":
            [{"name": "odh-ca-bundle", "mountPath": "/var/run/secrets/opendatahub", "readOnly": true}]}],
        "volumes": [{"name": "odh-ca-bundle", "configMap": {"name": "odh-ca-bundle"}}],
    }}}});
    let map = |name: &str, data: Json| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "opendatahub"}, "data": data});
    cluster
        .apply(vec![
            map("odh-ca-bundle", json!({"ca.crt": certificate})),
            map("inference-gateway-config", json!({"deployment": deployment.to_string()})),
        ])
        .await;
    let mut own = stack_objects();
    own.retain(|object| object["kind"] != "DestinationRule" && object["kind"] != "Namespace");
    for object in &mut own {
        if object["metadata"]["namespace"] == "kserve" {
            object["metadata"]["namespace"] = json!("opendatahub");
        }
        match text(object, "/kind") {
            "Gateway" => {
                object["spec"]["infrastructure"] =
                    json!({"parametersRef": {"group": "", "kind": "ConfigMap", "name": "inference-gateway-config"}});
            }
            "ServiceAccount" => object["imagePullSecrets"] = json!([{"name": "redhat-pull-secret"}]),
            "LLMInferenceService" => {
                object["apiVersion"] = json!("serving.kserve.io/v1alpha1");
                let main = &mut object["spec"]["template"]["containers"][0];
                main["image"] = json!("registry.redhat.io/rhaiis/vllm-cuda-rhel9:3.2.5");
            }
            _ => {}
        }
    }
    cluster.apply(own).await;
}

pub(super) fn service(cluster: &Cluster) -> Json {
    let gvk = Gvk::new("serving.kserve.io", "v1alpha2", "LLMInferenceService");
    cluster.api.get(&gvk, "models", "qwen").map(|s| (*s).clone()).unwrap_or_default()
}

#[test]
fn upstream_from_manifests_to_a_completion() {
    let cluster = cluster();
    cluster.runtime.block_on(async {
        upstream(&cluster).await;
        cluster.until("the model is ready", 30, || is_true(&service(&cluster), "Ready")).await;
        let policy =
            cluster.api.get(&Gvk::new("nvidia.com", "v1", "ClusterPolicy"), "", "cluster-policy").expect("policy");
        assert_eq!(text(&policy, "/status/state"), "ready", "{}", policy["status"]);
        let url = text(&service(&cluster), "/status/url").to_owned();
        let address = url.trim_start_matches("https://").split('/').next().unwrap_or_default().to_owned();
        assert!(url.ends_with("/models/qwen") && address.starts_with("203.0.113."), "{url}");

        let ca = cluster.api.get(&core("Secret"), "cert-manager", "opendatahub-ca").expect("CA");
        let roots = unbase64(text(&ca, "/data/tls.crt")).expect("PEM");
        let plane = DataPlane::new(cluster.api.clone(), Arc::new(cluster.clock.clone()));
        let host = "inference.test.internal";
        let (status, body) = cluster.request(&plane, &address, host, &roots, "GET /models/qwen/v1/models", "").await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("\"max_model_len\":4096"), "{body}");
        let prompt = json!({"model": "Qwen/Qwen2.5-3B-Instruct", "max_tokens": 16,
            "messages": [{"role": "user", "content": "What is a prefix cache?"}]});
        let before = cluster.clock.now();
        let (status, body) = cluster
            .request(&plane, &address, host, &roots, "POST /models/qwen/v1/chat/completions", &prompt.to_string())
            .await;
        assert_eq!(status, 200, "{body}");
        let answer: Json = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["usage"]["completion_tokens"], 16);
        assert!(!text(&answer, "/choices/0/message/content").is_empty());
        assert!(cluster.clock.now().since(before) > Duration::from_millis(200), "answers take time");
        let stream = json!({"model": "Qwen/Qwen2.5-3B-Instruct", "max_tokens": 4, "prompt": "One two", "stream": true,
            "stream_options": {"include_usage": true}});
        let (status, body) = cluster
            .request(&plane, &address, host, &roots, "POST /models/qwen/v1/completions", &stream.to_string())
            .await;
        assert_eq!(status, 200);
        assert!(body.contains("data: [DONE]") && body.contains("\"choices\":[],\"usage\""), "{body}");
        let (status, _) = cluster.request(&plane, &address, host, &roots, "GET /elsewhere", "").await;
        assert_eq!(status, 404);

        // Without the rule that has the gateway speak TLS, the server hangs up.
        let rule = Gvk::new("networking.istio.io", "v1", "DestinationRule");
        cluster.api.delete(&rule, "models", "qwen-kserve-workload-svc", Default::default()).await.expect("delete");
        let (status, body) = cluster.request(&plane, &address, host, &roots, "GET /models/qwen/v1/models", "").await;
        assert_eq!(status, 503);
        assert!(body.contains("upstream connect error"), "{body}");
        let known: BTreeMap<String, usize> = cluster
            .api
            .list(&core("Pod"), None)
            .iter()
            .map(|pod| (name(pod).to_owned(), list(pod, "/spec/containers").len()))
            .collect();
        let model = known.iter().find(|(name, _)| name.starts_with("qwen-kserve")).expect("pod");
        assert_eq!(*model.1, 2, "a sidecar beside the model");
    });
}

#[test]
fn red_hat_from_manifests_to_a_completion() {
    let cluster = cluster();
    cluster.runtime.block_on(async {
        red_hat(&cluster).await;
        cluster.until("the model is ready", 40, || is_true(&service(&cluster), "Ready")).await;
        let istio = cluster.api.get(&Gvk::new("sailoperator.io", "v1", "Istio"), "", "default").expect("Istio");
        assert_eq!(text(&istio, "/status/state"), "Healthy", "{}", istio["status"]);
        let url = text(&service(&cluster), "/status/url").to_owned();
        let address = url.trim_start_matches("https://").split('/').next().unwrap_or_default().to_owned();
        let ca = cluster.api.get(&core("Secret"), "cert-manager", "opendatahub-ca").expect("CA");
        let roots = unbase64(text(&ca, "/data/tls.crt")).expect("PEM");
        let plane = DataPlane::new(cluster.api.clone(), Arc::new(cluster.clock.clone()));
        let host = "inference.test.internal";
        let ask = "GET /models/qwen/v1/models";
        let (status, body) = cluster.request(&plane, &address, host, &roots, ask, "").await;
        assert_eq!(status, 200, "{body}");
        // The gateway trusts what it mounts: another authority there, and the model is not believed.
        let map = cluster.api.get(&core("ConfigMap"), "opendatahub", "odh-ca-bundle").expect("bundle");
        let mut other = (*map).clone();
        let istio = cluster.api.get(&core("Secret"), "istio-system", "istio-ca-secret").expect("secret");
        other["data"]["ca.crt"] = json!(unbase64(text(&istio, "/data/ca-cert.pem")).expect("PEM"));
        cluster.api.update(other).await.expect("update");
        let (status, body) = cluster.request(&plane, &address, host, &roots, ask, "").await;
        assert_eq!(status, 503);
        assert!(body.contains("CERTIFICATE_VERIFY_FAILED"), "{body}");
    });
}
