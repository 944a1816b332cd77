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
    for number in 1..=if name.contains("production") { 3 } else { 1 } {
        let node = format!("accelerated-{number}");
        plane.node(&node, &labels, &json!([{"key": taint, "value": "present", "effect": "NoSchedule"}]));
        let name = format!("accelerator-{number}");
        plane.api.post(
            "/api/v1/namespaces/kube-system/pods",
            &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system"},
                "spec": {"nodeName": node, "tolerations": [{"operator": "Exists"}],
                    "containers": [{"name": "plugin", "image": plugin}]}}),
        );
    }
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

/// A life of a shipped stack with the real charts.
fn life(name: &str) {
    let Some(charts) = std::env::var_os("STACKWRIGHT_CHARTS") else {
        eprintln!("skipped: STACKWRIGHT_CHARTS names no folder of charts");
        return;
    };
    on_a_control_plane(name, |plane, addons, arena| {
        arena.set("STACKWRIGHT_CHARTS", &charts.to_string_lossy());
        through(plane, addons, arena, name, &[on_a_given_cluster(name)]);
    });
}

/// A cluster with the stack's accelerator, and a user who can reach its load balancers.
fn on_a_control_plane(name: &str, run: impl Fn(&ControlPlane, &Addons, &Arena)) {
    let Some(plane) = ControlPlane::start() else { return };
    accelerate(&plane, name);
    let addons = plane.addons(&[]);
    let arena = plane.arena();
    arena.set("HTTPS_PROXY", &addons.proxy);
    arena.set("NO_PROXY", "127.0.0.1");
    arena.set("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz");
    arena.set("REDHAT_PULL_SECRET", r#"{"auths":{"registry.redhat.io":{"auth":"dTpw"}}}"#);
    run(&plane, &addons, &arena);
}

/// The real definitions, where they are; else the few of our own stand-ins.
fn definitions() -> Option<Vec<String>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = [root.join("../shared/crds"), root.join("../../shared/crds")].into_iter();
    let folder = folders.find(|folder| folder.exists())?;
    let files =
        ["cert-manager", "gateway-api", "gpu-operator", "inference-extension", "istio", "kserve-llmisvc", "lws"];
    let read = |file: &str| std::fs::read_to_string(folder.join(format!("{file}.yaml"))).expect("definitions");
    Some(files.map(read).into())
}

/// Without any chart: the add-ons of our stand-ins as manifests of a user's, with the real definitions, and the
/// gateway and the model as ever.
#[test]
fn stand_ins_and_real_definitions() {
    // With everything that the smaller stacks have, and a scheduler, a pool and policies.
    const STACK: &str = "gpu-t4-production";
    let (desired, _) = crate::lab::shipped(STACK);
    let real = definitions();
    let text = |manifest: &Json, key: &str| manifest[key].as_str().unwrap_or_default().to_owned();
    let (mut all, mut settings) = (Vec::new(), Vec::new());
    for resource in desired.resources.iter().filter(|resource| resource.address.as_str().starts_with("addons.")) {
        let manifest = resource.attrs.to_json();
        if resource.attrs.is_known() && !(real.is_some() && text(&manifest, "kind") == "CustomResourceDefinition") {
            // KServe reads its configuration from the API server, also to let go of what it has made, and no object
            // says so: whoever brings it as manifests has to.
            let first = ["Namespace/kserve", "ConfigMap/kserve/inferenceservice-config"];
            let is_first = resource.address.object_key().is_some_and(|key| first.contains(&key));
            if is_first { settings.push(manifest.to_string()) } else { all.push(manifest.to_string()) }
        }
    }
    on_a_control_plane(STACK, |plane, addons, arena| {
        let stack = on_a_given_cluster(STACK);
        let mut stack: toml_edit::DocumentMut = stack.parse().expect("TOML");
        stack.remove("addons");
        // Without the add-on nobody is known to issue its certificate.
        stack["gateway"]["tls"] = toml_edit::value("off");
        // Where KServe's configuration looks for it.
        stack["gateway"]["namespace"] = toml_edit::value("kserve");
        stack["outputs"].as_table_like_mut().expect("outputs").remove("ca_certificate");
        let mut files = toml_edit::Array::from_iter(["addons.yaml"]);
        arena.write("addons.yaml", &all.join("\n---\n"));
        arena.write("settings.yaml", &settings.join("\n---\n"));
        stack["manifests"]["settings"]["files"] = toml_edit::value(toml_edit::Array::from_iter(["settings.yaml"]));
        let first = toml_edit::Array::from_iter(["manifests.settings"]);
        stack["manifests"]["addons"]["depends_on"] = toml_edit::value(first);
        for (number, text) in real.iter().flatten().enumerate() {
            arena.write(&format!("definitions-{number}.yaml"), text);
            files.push(format!("definitions-{number}.yaml"));
        }
        stack["manifests"]["addons"]["files"] = toml_edit::value(files);
        // A model cannot know that a user's manifests are the add-ons that it needs.
        let whole = stack.to_string();
        for part in ["gateway", "workloads", "outputs"] {
            stack.remove(part);
        }
        through(plane, addons, arena, "stand-ins", &[stack.to_string(), whole]);
    });
}

/// Up, stage by stage, ten plans without a change, and down; what it took, and that nothing is left.
fn through(plane: &ControlPlane, addons: &Addons, arena: &Arena, name: &str, stages: &[String]) {
    let before = inventory(&plane.api);
    let begun = Instant::now();
    for stage in stages {
        arena.write("stack.toml", stage);
        let (fine, text) = arena.stackwright("apply stack.toml --auto-approve -v");
        assert!(fine, "{name}: {}", tail(&text));
    }
    let applied = begun.elapsed();
    let there = inventory(&plane.api);
    let state = arena.ok("state list stack.toml");
    let planned = Instant::now();
    for _ in 0..10 {
        let plan = arena.ok("plan stack.toml");
        assert!(plan.contains("No changes."), "{name}: {}", tail(&plan));
    }
    let planned = planned.elapsed() / 10;
    // Without its state, everything is found again.
    super::recovery::lose(arena);
    let rebuilt = arena.ok("state rebuild stack.toml --auto-approve");
    assert!(rebuilt.contains("all as the stack wants them"), "{name}: {}", tail(&rebuilt));
    assert_eq!(arena.ok("state list stack.toml"), state, "{name}");
    let plan = arena.ok("plan stack.toml");
    assert!(plan.contains("No changes."), "{name}: {}", tail(&plan));
    let gone = Instant::now();
    let (fine, text) = arena.stackwright("destroy stack.toml --auto-approve -v");
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

#[test]
fn gpu_t4() {
    life("gpu-t4");
}

#[test]
fn tpu_v6e() {
    life("tpu-v6e");
}

#[test]
fn gpu_t4_production() {
    life("gpu-t4-production");
}

#[test]
fn tpu_v6e_production() {
    life("tpu-v6e-production");
}

#[test]
fn rhaii_gpu_t4() {
    life("rhaii-gpu-t4");
}

#[test]
fn rhaii_tpu_v6e() {
    life("rhaii-tpu-v6e");
}
