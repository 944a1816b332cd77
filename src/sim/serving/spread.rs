//! Three copies of a model behind one address: that the picker keeps a prefix on one of them, that turns spread it, and
//! what a picker does not do that cannot be called. Tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::DataPlane;
use super::tests::{Cluster, cluster, documents, service, upstream};
use crate::sim::controllers::addons::objects::{core, is_true, label, name, text, unbase64};
use crate::sim::kube::api::Gvk;

const HOST: &str = "inference.test.internal";

/// Three copies with a scheduler, and how to reach them.
struct Production {
    plane: Arc<DataPlane>,
    address: String,
    roots: String,
}

async fn production(cluster: &Cluster) -> Production {
    upstream(cluster).await;
    for at in [2, 3] {
        let labels = json!({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4",
            "cloud.google.com/gke-accelerator-count": "1", "cloud.google.com/gke-gpu-driver-version": "latest",
            "gke-no-default-nvidia-gpu-device-plugin": "true"});
        let taint = json!([{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]);
        cluster.node(&format!("gpu-{at}"), labels, taint).await.expect("node");
    }
    let rule = |name: &str, host: &str| {
        json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": name, "namespace": "models"},
            "spec": {"host": format!("{host}.models.svc.cluster.local"),
                "trafficPolicy": {"tls": {"mode": "SIMPLE", "insecureSkipVerify": true}}}})
    };
    let shadow = crate::sim::controllers::addons::istio::attach::shadow_service("qwen-inference-pool");
    let mut objects = documents(include_str!("../../catalog/standins/upstream/kserve-scheduler.yaml"));
    objects.extend([rule("scheduler", "qwen-epp-service"), rule("pool", &shadow)]);
    let mut changed = service(cluster);
    let kept = json!({
        "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
        "metadata": {"name": "qwen", "namespace": "models"}, "spec": changed["spec"].take(),
    });
    changed = kept;
    changed["spec"]["replicas"] = json!(3);
    changed["spec"]["labels"] = json!({"sidecar.istio.io/inject": "false"});
    changed["spec"]["router"]["scheduler"] = json!({
        "labels": {"sidecar.istio.io/inject": "false"},
        "config": {"inline": {
            "apiVersion": "inference.networking.x-k8s.io/v1alpha1", "kind": "EndpointPickerConfig",
            "plugins": [{"type": "prefix-cache-scorer"}, {"type": "queue-scorer"}, {"type": "max-score-picker"}],
            "schedulingProfiles": [{"name": "default", "plugins": [
                {"pluginRef": "prefix-cache-scorer", "weight": 2}, {"pluginRef": "queue-scorer", "weight": 1},
                {"pluginRef": "max-score-picker"}]}],
        }},
    });
    objects.push(changed);
    cluster.apply(objects).await;
    let ready = || {
        let service = service(cluster);
        is_true(&service, "Ready") && service["status"]["workloads"]["primary"]["readyReplicas"] == 3
    };
    cluster.until("three copies are ready", 60, ready).await;
    let url = text(&service(cluster), "/status/url").to_owned();
    let address = url.trim_start_matches("https://").split('/').next().unwrap_or_default().to_owned();
    let ca = cluster.api.get(&core("Secret"), "cert-manager", "opendatahub-ca").expect("CA");
    let roots = unbase64(text(&ca, "/data/tls.crt")).expect("PEM");
    let clock = Arc::new(cluster.clock.clone());
    Production { plane: DataPlane::new(cluster.api.clone(), clock), address, roots }
}

impl Production {
    /// Prompt tokens that each copy has looked up, by the copy's name.
    fn asked(&self, cluster: &Cluster) -> BTreeMap<String, u64> {
        let pods = cluster.api.list(&core("Pod"), Some("models"));
        let copies = pods.iter().filter(|pod| label(pod, "kserve.io/component") == "workload");
        let asked = copies.map(|pod| {
            let (_, model) = self.plane.model(pod, 8000).expect("it serves");
            (name(pod).to_owned(), model.counters().0.queries)
        });
        asked.collect()
    }

    /// The copies that a prompt went to, asked this often; and the last status.
    async fn copies(&self, cluster: &Cluster, prefix: &str, times: usize) -> (BTreeSet<String>, u16) {
        let (mut copies, mut last) = (BTreeSet::new(), 0);
        for at in 0..times {
            let before = self.asked(cluster);
            let prompt = format!("{} Question {at}: and now?", format!("{prefix} tells a long story. ").repeat(40));
            let body = json!({"model": "Qwen/Qwen2.5-3B-Instruct", "prompt": prompt, "max_tokens": 4}).to_string();
            let head = "POST /models/qwen/v1/completions";
            let (status, _) = cluster.request(&self.plane, &self.address, HOST, &self.roots, head, &body).await;
            last = status;
            let after = self.asked(cluster);
            copies.extend(after.iter().filter(|(name, count)| before[*name] < **count).map(|(name, _)| name.clone()));
        }
        (copies, last)
    }

    /// How many of several prefixes stay on one copy, and how many copies are used at all.
    async fn kept(&self, cluster: &Cluster, which: &str) -> (usize, usize) {
        let (mut kept, mut all) = (0, BTreeSet::new());
        for at in 0..6 {
            let (copies, status) = self.copies(cluster, &format!("{which} {at}"), 4).await;
            assert_eq!(status, 200);
            kept += usize::from(copies.len() == 1);
            all.extend(copies);
        }
        (kept, all.len())
    }
}

fn policy(name: &str, selector: Json, spec: Json) -> Json {
    let mut spec = spec;
    spec["podSelector"] = json!({"matchLabels": selector});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "models"}, "spec": spec})
}

#[test]
fn a_prefix_stays_where_it_is_cached_as_long_as_the_picker_can_be_called() {
    let cluster = cluster();
    cluster.runtime.block_on(async {
        let production = production(&cluster).await;
        let (kept, used) = production.kept(&cluster, "picked").await;
        assert_eq!((kept, used), (6, 3), "each prefix on one copy, and all copies at work");

        // The picker is closed off: nobody notices, and prefixes wander.
        let picker = json!({"app.kubernetes.io/component": "llminferenceservice-router-scheduler"});
        let closed = policy("closed", picker, json!({"policyTypes": ["Ingress"]}));
        cluster.apply(vec![closed]).await;
        assert_eq!(production.kept(&cluster, "unpicked").await, (0, 3));
        let gvk = Gvk::new("networking.k8s.io", "v1", "NetworkPolicy");
        cluster.api.delete(&gvk, "models", "closed", Default::default()).await.expect("deleted");
        assert_eq!(production.kept(&cluster, "again").await.0, 6);

        // The copies are closed off: that is noticed.
        let copies = json!({"app.kubernetes.io/component": "llminferenceservice-workload"});
        cluster.apply(vec![policy("closed", copies, json!({"policyTypes": ["Ingress"]}))]).await;
        let (_, status) = production.copies(&cluster, "x", 1).await;
        assert_eq!(status, 503);
        cluster.api.delete(&gvk, "models", "closed", Default::default()).await.expect("deleted");

        // A scheduler that does not negotiate HTTP/2.
        let kind = Gvk::new("serving.kserve.io", "v1alpha2", "LLMInferenceService");
        let mut old = (*cluster.api.get(&kind, "models", "qwen").expect("there")).clone();
        let image = "ghcr.io/llm-d/llm-d-inference-scheduler:v0.6.1";
        old["spec"]["router"]["scheduler"]["template"] = json!({"containers": [{"name": "main", "image": image}]});
        cluster.api.update(old).await.expect("updated");
        let replaced = || {
            let pods = cluster.api.list(&core("Pod"), Some("models"));
            let pickers = pods.iter().filter(|pod| text(pod, "/spec/containers/0/command/0") == "/app/epp");
            let pickers = pickers.map(|pod| (text(pod, "/spec/containers/0/image") == image, is_true(pod, "Ready")));
            pickers.collect::<Vec<_>>() == [(true, true)]
        };
        cluster.until("the old scheduler runs", 20, replaced).await;
        assert_eq!(production.kept(&cluster, "defect").await, (0, 3), "it is ready, and of no use");
    });
}

#[test]
fn without_a_scheduler_turns_and_chance_spread_a_prefix() {
    let cluster = cluster();
    cluster.runtime.block_on(async {
        let production = production(&cluster).await;
        let kind = Gvk::new("serving.kserve.io", "v1alpha2", "LLMInferenceService");
        let mut plain = (*cluster.api.get(&kind, "models", "qwen").expect("there")).clone();
        plain["spec"]["router"].as_object_mut().expect("a map").shift_remove("scheduler");
        cluster.api.update(plain).await.expect("updated");
        let routed = || {
            let gvk = Gvk::new("gateway.networking.k8s.io", "v1", "HTTPRoute");
            let route = cluster.api.get(&gvk, "models", "qwen-kserve-route").expect("a route");
            !route["spec"].to_string().contains("InferencePool")
        };
        cluster.until("the route leads to the Service", 5, routed).await;
        let (copies, _) = production.copies(&cluster, "by chance", 12).await;
        assert_eq!(copies.len(), 3);
        let gvk = Gvk::new("networking.istio.io", "v1", "DestinationRule");
        let mut rule = (*cluster.api.get(&gvk, "models", "qwen-kserve-workload-svc").expect("a rule")).clone();
        rule["spec"]["trafficPolicy"]["loadBalancer"] = json!({"simple": "ROUND_ROBIN"});
        cluster.api.update(rule).await.expect("updated");
        let (copies, _) = production.copies(&cluster, "in turn", 3).await;
        assert_eq!(copies.len(), 3, "three requests, three copies");
    });
}
