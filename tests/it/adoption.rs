//! A release that helm installed becomes part of a stack: the same objects, the same pods, nothing restarted.
//!
//! Helm is the real one that `STACKWRIGHT_HELM` names; the cluster is the simulator's and, where there is one, a real
//! control plane.

use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use crate::arena::{Arena, everywhere};

const CHART: &[(&str, &str)] = &[
    ("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.2.3\n"),
    ("web/values.yaml", "replicas: 2\ncolour: blue\n"),
    (
        "web/templates/all.yaml",
        r#"
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .Release.Name }}
  labels: {app.kubernetes.io/managed-by: {{ .Release.Service }}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-settings
data:
  colour: {{ .Values.colour }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}
spec:
  selector: {app: {{ .Release.Name }}}
  ports: [{port: 80, name: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}}
      annotations: {checksum/settings: {{ .Values.colour | sha256sum | quote }}}
    spec:
      serviceAccountName: {{ .Release.Name }}
      containers:
      - name: web
        image: docker.io/library/nginx:1.27
        resources: {requests: {cpu: 0.1, memory: 64Mi}}
        envFrom: [{configMapRef: {name: {{ .Release.Name }}-settings}}]
"#,
    ),
];

const STACK: &str = "name = \"taking-over\"\n[cluster]\nkubeconfig = \"kubeconfig\"\n\
    [charts.shop]\nsource = \"./web\"\nnamespace = \"shop\"\nvalues = { replicas = 3 }\n";

fn helm(arena: &Arena, program: &std::ffi::OsStr, words: &str) {
    let home = arena.folder().join("helm");
    let output = Command::new(program)
        .args(words.split_whitespace())
        .args(["--kubeconfig", "kubeconfig", "-n", "shop"])
        .current_dir(arena.folder())
        .env_clear()
        .env("HOME", &home)
        .output()
        .expect("started");
    assert!(output.status.success(), "{}: helm {words}: {}", arena.name, String::from_utf8_lossy(&output.stderr));
}

/// Names and uids of the pods, and what their deployment has been through.
fn pods(arena: &Arena) -> (Vec<(String, String)>, Json) {
    let list = arena.api.get("/api/v1/namespaces/shop/pods?labelSelector=app%3Dshop");
    let text = |pod: &Json, key: &str| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
    let mut pods = list["items"].as_array().into_iter().flatten().map(|pod| (text(pod, "name"), text(pod, "uid")));
    let mut pods = pods.by_ref().collect::<Vec<_>>();
    pods.sort();
    let deployment = arena.api.get("/apis/apps/v1/namespaces/shop/deployments/shop");
    (pods, deployment["metadata"]["generation"].clone())
}

#[test]
fn a_release_of_helm_is_taken_over_without_a_restart() {
    let Some(program) = std::env::var_os("STACKWRIGHT_HELM") else {
        eprintln!("skipped: no STACKWRIGHT_HELM");
        return;
    };
    everywhere(|arena| {
        for (name, text) in CHART {
            std::fs::create_dir_all(arena.folder().join(name).parent().expect("a folder")).expect("made");
            arena.write(name, text);
        }
        helm(arena, &program, "install shop ./web --create-namespace --set replicas=3");
        let ready = |live: &Json| live["status"]["readyReplicas"] == 3;
        arena.api.wait("/apis/apps/v1/namespaces/shop/deployments/shop", Duration::from_secs(90), ready);
        let before = pods(arena);
        assert_eq!(before.0.len(), 3, "{}", arena.name);
        arena.write("stack.toml", STACK);

        // Unasked, nothing of it is touched.
        let (fine, text) = arena.stackwright("apply stack.toml --auto-approve");
        assert!(!fine && text.contains("stackwright adopt"), "{}: {text}", arena.name);
        let live = arena.api.get("/api/v1/namespaces/shop/configmaps/shop-settings");
        assert_eq!(live["metadata"]["labels"].get("stackwright.dev/id"), None, "{}", arena.name);

        let text = arena.ok("adopt charts.shop stack.toml --auto-approve");
        assert!(text.contains("0 added, 5 changed, 0 destroyed"), "{}: {text}", arena.name);
        let plan = arena.ok("plan stack.toml");
        assert!(plan.starts_with("No changes."), "{}: {plan}", arena.name);
        assert_eq!(pods(arena), before, "{}: the same pods, the same generation", arena.name);
        let live = arena.api.get("/api/v1/namespaces/shop/configmaps/shop-settings");
        assert!(live["metadata"]["labels"]["stackwright.dev/id"].is_string(), "{}: {live}", arena.name);

        // From here on it is this stack's like any other.
        arena.write("stack.toml", &STACK.replace("replicas = 3", "replicas = 3, colour = \"red\""));
        let text = arena.ok("apply stack.toml --auto-approve --force-conflicts");
        assert!(text.contains("0 added, 2 changed, 0 destroyed"), "{}: {text}", arena.name);
        arena.ok("destroy stack.toml --auto-approve");
        let (code, _) =
            arena.api.send(reqwest::Method::GET, "/apis/apps/v1/namespaces/shop/deployments/shop", "", None);
        assert_eq!(code, 404, "{}", arena.name);
    });
}
