//! The in-cluster half of the shipped stacks on a real control plane: every object of every chart through real
//! admission, validation, RBAC and webhooks, up to a completion through the gateway, and away again.
//!
//! With the real charts where `STACKWRIGHT_CHARTS` names a folder of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::arena::controllers::Addons;
use crate::arena::real::ControlPlane;
use crate::arena::{Api, Arena};

/// The shipped stack on a cluster that is there: without cloud, pools and budget.
fn on_a_given_cluster(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(path).expect("a shipped stack");
    let mut stack: toml_edit::DocumentMut = text.parse().expect("TOML");
    let pools = stack.remove("node_pools").expect("pools");
    stack.remove("limits");
    stack["inputs"].as_table_like_mut().expect("inputs").remove("project");
    stack["cluster"] = toml_edit::Item::Table(toml_edit::Table::new());
    stack["cluster"]["kubeconfig"] = toml_edit::value("kubeconfig");
    for (_, workload) in stack["workloads"].as_table_like_mut().expect("workloads").iter_mut() {
        let workload = workload.as_table_like_mut().expect("a table");
        let pool = workload.remove("node_pool").expect("a pool");
        let accelerator = pools[pool.as_str().expect("text")]["accelerator"].as_str().expect("text").to_owned();
        workload.insert("accelerator", toml_edit::value(accelerator));
    }
    stack.to_string()
}

/// Nodes as GKE makes them for the accelerator, with what GKE itself runs there.
fn accelerate(plane: &ControlPlane, name: &str) {
    let tpu = name.contains("tpu");
    let (labels, taint, plugin) = if tpu {
        let labels = json!({"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
            "cloud.google.com/gke-tpu-topology": "2x2", "cloud.google.com/gke-accelerator-count": "4"});
        (labels, "google.com/tpu", "gke.gcr.io/tpu-device-plugin:1")
    } else {
        let labels = json!({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4",
            "cloud.google.com/gke-accelerator-count": "1", "gke-no-default-nvidia-gpu-device-plugin": "true"});
        (labels, "nvidia.com/gpu", "cos.gcr.io/cos-cloud/cos-gpu-installer:v2")
    };
    plane.node("accelerated", &labels, &json!([{"key": taint, "value": "present", "effect": "NoSchedule"}]));
    plane.api.post(
        "/api/v1/namespaces/kube-system/pods",
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "accelerator", "namespace": "kube-system"},
            "spec": {"nodeName": "accelerated", "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "plugin", "image": plugin}]}}),
    );
}

/// Everything in a cluster but what comes and goes by itself: kind, namespace, name.
pub fn inventory(api: &Api) -> BTreeMap<(String, String, String), Json> {
    const PASSING: &[&str] = &["Event", "Lease", "ComponentStatus", "EndpointSlice", "Endpoints", "APIService"];
    let mut lists = Vec::new();
    for group in api.get("/apis")["groups"].as_array().into_iter().flatten() {
        let version = group["preferredVersion"]["groupVersion"].as_str().unwrap_or_default();
        lists.push(format!("/apis/{version}"));
    }
    lists.push("/api/v1".to_owned());
    let mut found = BTreeMap::new();
    for base in lists {
        for resource in api.get(&base)["resources"].as_array().into_iter().flatten() {
            let (name, kind) = (resource["name"].as_str().unwrap_or_default(), resource["kind"].as_str());
            let kind = kind.unwrap_or_default();
            let listed = resource["verbs"].as_array().into_iter().flatten().any(|verb| verb == "list");
            if !listed || name.contains('/') || PASSING.contains(&kind) {
                continue;
            }
            for item in api.get(&format!("{base}/{name}"))["items"].as_array().into_iter().flatten() {
                let text = |pointer| item.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
                let key = (kind.to_owned(), text("/metadata/namespace"), text("/metadata/name"));
                found.insert(key, item.clone());
            }
        }
    }
    found
}

fn count(objects: &BTreeMap<(String, String, String), Json>, wanted: impl Fn(&str, &Json) -> usize) -> usize {
    objects.iter().map(|((kind, ..), object)| wanted(kind, object)).sum()
}

/// A life of a shipped stack, with what it took.
fn life(name: &str) {
    let Some(charts) = std::env::var_os("STACKWRIGHT_CHARTS") else {
        eprintln!("skipped: STACKWRIGHT_CHARTS names no folder of charts");
        return;
    };
    let Some(plane) = ControlPlane::start() else { return };
    accelerate(&plane, name);
    let addons = plane.addons(&[]);
    let arena = plane.arena();
    arena.set("STACKWRIGHT_CHARTS", &charts.to_string_lossy());
    arena.set("HTTPS_PROXY", &addons.proxy);
    arena.set("NO_PROXY", "127.0.0.1");
    arena.set("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz");
    arena.set("REDHAT_PULL_SECRET", r#"{"auths":{"registry.redhat.io":{"auth":"dTpw"}}}"#);
    arena.write("stack.toml", &on_a_given_cluster(name));
    through(&plane, &addons, &arena, name);
}

fn through(plane: &ControlPlane, addons: &Addons, arena: &Arena, name: &str) {
    let before = inventory(&plane.api);
    let begun = Instant::now();
    let (fine, text) = arena.stackwright("apply stack.toml --auto-approve -v");
    if !fine {
        keep(plane, &text);
    }
    assert!(fine, "{name}: {}", tail(&text));
    let applied = begun.elapsed();
    let there = inventory(&plane.api);
    let state = arena.ok("state list stack.toml");
    let planned = Instant::now();
    for _ in 0..10 {
        let plan = arena.ok("plan stack.toml");
        assert!(plan.contains("No changes."), "{name}: {}", tail(&plan));
    }
    let planned = planned.elapsed() / 10;
    let gone = Instant::now();
    let (fine, text) = arena.stackwright("destroy stack.toml --auto-approve -v");
    if !fine {
        keep(plane, &text);
    }
    assert!(fine && text.contains("0 residual resources"), "{name}: {}", tail(&text));
    let gone = gone.elapsed();
    let keep = |object: &&Json| object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
    let kept = there.values().filter(keep).filter_map(|object| object["metadata"]["name"].as_str());
    let kept = kept.collect::<BTreeSet<_>>();
    let after = inventory(&plane.api);
    let new = |all: &BTreeMap<(String, String, String), Json>| {
        all.iter().filter(|(key, _)| !before.contains_key(*key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let (made, left): (BTreeMap<_, _>, BTreeMap<_, _>) = (new(&there), new(&after));
    let definitions = count(&made, |kind, _| usize::from(kind == "CustomResourceDefinition"));
    let webhooks = count(&made, |kind, object| {
        let list = object["webhooks"].as_array().map_or(0, Vec::len);
        if kind.ends_with("WebhookConfiguration") { list } else { 0 }
    });
    let reviews: usize = addons.reviews().values().sum();
    eprintln!(
        "{name}: {} resources, {} objects in the cluster of which {definitions} definitions and {webhooks} webhooks, \
         {reviews} reviews answered; apply {:.1} s, plan {:.2} s, destroy {:.1} s",
        state.lines().count(),
        made.len(),
        applied.as_secs_f64(),
        planned.as_secs_f64(),
        gone.as_secs_f64(),
    );
    let left = left.keys().map(|(kind, namespace, name)| format!("{kind} {namespace}/{name}")).collect::<BTreeSet<_>>();
    eprintln!("{name}: {} kept or left by others: {left:?}", left.len());
    // Definitions that charts say to keep, and what istiod strews into every namespace.
    let known = |left: &&String| {
        let definition = left.strip_prefix("CustomResourceDefinition /");
        definition.is_some_and(|name| kept.contains(name)) || left.ends_with("/istio-ca-root-cert")
    };
    assert_eq!(left.iter().filter(|left| !known(left)).collect::<Vec<_>>(), Vec::<&String>::new(), "{name}");
    let missing = before.keys().filter(|key| !after.contains_key(*key)).collect::<Vec<_>>();
    assert_eq!(missing, Vec::<&(String, String, String)>::new(), "what was there before is gone");
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(6000);
    &text[text.ceil_char_boundary(start)..]
}

/// Logs, where somebody asked for them.
fn keep(plane: &ControlPlane, text: &str) {
    let Some(folder) = std::env::var_os("STACKWRIGHT_KEEP").map(std::path::PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).expect("folder");
    std::fs::write(folder.join("said"), text).expect("written");
    std::fs::write(folder.join("apiserver"), plane.log("kube-apiserver")).expect("written");
    std::fs::write(folder.join("manager"), plane.log("kube-controller-manager")).expect("written");
    let all = inventory(&plane.api).into_values().collect::<Vec<_>>();
    std::fs::write(folder.join("objects.json"), Json::Array(all).to_string()).expect("written");
}

#[test]
fn gpu_t4() {
    life("gpu-t4");
}

#[test]
fn tpu_v6e() {
    life("tpu-v6e");
}

#[test]
fn rhaii_gpu_t4() {
    life("rhaii-gpu-t4");
}

#[test]
fn rhaii_tpu_v6e() {
    life("rhaii-tpu-v6e");
}
