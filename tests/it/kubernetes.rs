//! The Kubernetes side, from a stack file to a clean cluster: life, drift, prune, conflicts, adoption, deletes.
//!
//! Each suite runs on the simulator and, where there is one, on a real control plane, and must come to the same end.

mod charts;
mod drift;
mod faults;
mod recovery;

use std::time::Duration;

use serde_json::json;

use crate::arena::{Arena, everywhere, has_kubectl};

fn stack(name: &str) -> String {
    format!("name = \"{name}\"\n[cluster]\nkubeconfig = \"kubeconfig\"\n[manifests.app]\nfiles = [\"app.yaml\"]\n")
}

/// One object of each kind that behaves in its own way; quantities and defaults as people write them.
fn app(namespace: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{namespace}.example.com}}
spec:
  group: {namespace}.example.com
  scope: Namespaced
  names: {{plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {{type: integer, default: 3}}
              colour: {{type: string}}
---
apiVersion: {namespace}.example.com/v1
kind: Widget
metadata: {{name: one, namespace: {namespace}}}
spec: {{colour: blue}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {namespace}}}
data: {{a: "1", b: "2"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: login, namespace: {namespace}}}
stringData: {{word: hello}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: web, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: web, namespace: {namespace}}}
rules: [{{apiGroups: [""], resources: [configmaps], verbs: [get]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: web, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}}
subjects: [{{kind: ServiceAccount, name: web, namespace: {namespace}}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      serviceAccountName: web
      containers:
      - name: web
        image: docker.io/library/nginx:1.27
        resources:
          requests: {{cpu: 0.1, memory: 1024Mi}}
          limits: {{cpu: 1000m, memory: 1Gi}}
        ports: [{{containerPort: 80}}]
        envFrom: [{{configMapRef: {{name: settings}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {namespace}}}
spec:
  selector: {{app: web}}
  ports: [{{port: 80, name: http}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: {namespace}}}
spec: {{minAvailable: 1, selector: {{matchLabels: {{app: web}}}}}}
"#
    )
}

/// The summary line of a plan or an apply.
fn summary(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| {
        ["Plan: ", "No changes.", "Apply complete!", "Destroy complete!"].iter().any(|start| line.starts_with(start))
    });
    lines.next().unwrap_or_default().to_owned()
}

fn unchanged(arena: &Arena) {
    let text = arena.ok("plan stack.toml");
    assert_eq!(summary(&text).split(" Your").next(), Some("No changes."), "{}: {text}", arena.name);
}

fn bring_up(arena: &Arena, name: &str) -> String {
    arena.write("stack.toml", &stack(name));
    arena.write("app.yaml", &app(name));
    summary(&arena.ok("apply stack.toml --auto-approve"))
}

fn take_down(arena: &Arena) -> String {
    let text = arena.ok("destroy stack.toml --auto-approve");
    assert!(text.contains("0 residual resources"), "{}: {text}", arena.name);
    summary(&text)
}

#[test]
fn a_life_without_noise() {
    everywhere(|arena| {
        let mut told = vec![bring_up(arena, "life")];
        for _ in 0..10 {
            unchanged(arena);
        }
        let edited = app("life").replace("replicas: 2", "replicas: 3").replace("colour: blue", "colour: red");
        arena.write("app.yaml", &edited);
        told.push(summary(&arena.ok("plan stack.toml")));
        told.push(summary(&arena.ok("apply stack.toml --auto-approve")));
        unchanged(arena);
        // What left the stack is deleted, and only that.
        let without = edited.split("---\n").filter(|text| !text.contains("PodDisruptionBudget")).collect::<Vec<_>>();
        arena.write("app.yaml", &without.join("---\n"));
        told.push(summary(&arena.ok("apply stack.toml --auto-approve")));
        unchanged(arena);
        told.push(take_down(arena));
        told
    });
}

/// Every way in which somebody else can change something, the words that must be in the next plan, and the
/// planned changes.
const PLANTED: &[(&str, &[&str], &str, &str)] = &[
    ("an edited field", &["patch", "configmap", "settings", "-p", r#"{"data":{"a":"9"}}"#], "settings", "1 to change"),
    ("a scaled deployment", &["scale", "deployment", "web", "--replicas=5"], "replicas", "1 to change"),
    ("a removed label", &["label", "configmap", "settings", "stackwright.dev/id-"], "settings", "1 to change"),
    (
        "another manager's claim",
        &["apply", "--server-side", "--force-conflicts", "--field-manager=other", "-f", "claim.yaml"],
        "settings",
        "1 to change",
    ),
    ("a deleted object", &["delete", "service", "web"], "web", "1 to add"),
    (
        "a custom resource",
        &["patch", "widgets.drift.example.com", "one", "--type=merge", "-p", r#"{"spec":{"colour":"grey"}}"#],
        "colour",
        "1 to change",
    ),
    (
        "a role that grew",
        &["patch", "role", "web", "--type=json", "-p", r#"[{"op":"add","path":"/rules/0/verbs/-","value":"delete"}]"#],
        "delete",
        "1 to change",
    ),
    ("a secret", &["patch", "secret", "login", "-p", r#"{"data":{"word":"b3RoZXI="}}"#], "login", "1 to change"),
];

#[test]
fn true_drift_is_seen_and_mended() {
    if !has_kubectl() {
        return;
    }
    everywhere(|arena| {
        bring_up(arena, "drift");
        arena.write(
            "claim.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: drift}\ndata: {a: \"7\"}\n",
        );
        let mut told = Vec::new();
        for (what, words, mentioned, planned) in PLANTED {
            arena.kubectl(&[&["-n", "drift"], *words].concat());
            let plan = arena.ok("plan stack.toml");
            assert!(plan.contains(mentioned) && plan.contains(planned), "{}: {what}: {plan}", arena.name);
            assert!(!plan.contains("b3RoZXI") && !plan.contains("hello"), "{}: {what}: {plan}", arena.name);
            // Nothing is taken from another manager that the user did not say.
            let contested = plan.contains("--force-conflicts");
            let (fine, text) = arena.stackwright("apply stack.toml --auto-approve");
            assert_eq!(fine, !contested, "{}: {what}: {plan}\n{text}", arena.name);
            told.push(format!("{what}: {contested} {}", summary(&text)));
            if contested {
                arena.ok("apply stack.toml --auto-approve --force-conflicts");
            }
            unchanged(arena);
        }
        // What is nobody's drift: fields and labels of others beside ours.
        arena.kubectl(&["-n", "drift", "label", "deployment", "web", "team=red"]);
        arena.kubectl(&["-n", "drift", "annotate", "service", "web", "note=here"]);
        unchanged(arena);
        told.push(take_down(arena));
        told
    });
}

#[test]
fn what_is_another_s_is_not_taken() {
    everywhere(|arena| {
        let foreign = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "taken"}});
        arena.api.post("/api/v1/namespaces", &foreign);
        let other =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "theirs"}});
        arena.api.post("/api/v1/namespaces/taken/configmaps", &other);
        arena.write("stack.toml", &stack("taken"));
        arena.write(
            "app.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: taken}\ndata: {a: ours}\n",
        );
        let (fine, text) = arena.stackwright("apply stack.toml --auto-approve");
        assert!(!fine, "{}: {text}", arena.name);
        assert!(text.contains("settings"), "{}: {text}", arena.name);
        let live = arena.api.get("/api/v1/namespaces/taken/configmaps/settings");
        assert_eq!(live["data"]["a"], "theirs");
        arena.ok("destroy stack.toml --auto-approve");
        let live = arena.api.get("/api/v1/namespaces/taken/configmaps/settings");
        assert_eq!(live["data"]["a"], "theirs", "{}: destroy left it alone", arena.name);
        // Unless the user says so; then it is the same object, and ours.
        let adopted = arena.ok("adopt manifests.app stack.toml --auto-approve");
        assert!(adopted.contains("will be adopted"), "{}: {adopted}", arena.name);
        let now = arena.api.get("/api/v1/namespaces/taken/configmaps/settings");
        assert_eq!((&now["data"]["a"], &now["metadata"]["uid"]), (&json!("ours"), &live["metadata"]["uid"]));
        unchanged(arena);
        take_down(arena);
    });
}

#[test]
fn a_delete_that_waits_says_whose_finalizer_it_waits_for() {
    everywhere(|arena| {
        arena.write("stack.toml", &stack("held"));
        arena.write(
            "app.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: held}\n---\napiVersion: v1\nkind: ConfigMap\n\
             metadata: {name: kept, namespace: held, finalizers: [example.com/keeper]}\n",
        );
        arena.ok("apply stack.toml --auto-approve");
        std::thread::scope(|scope| {
            let destroy = scope.spawn(|| arena.stackwright("destroy stack.toml --auto-approve -v"));
            let path = "/api/v1/namespaces/held/configmaps/kept";
            arena.api.wait(path, Duration::from_secs(60), |live| !live["metadata"]["deletionTimestamp"].is_null());
            std::thread::sleep(Duration::from_secs(8));
            arena.api.patch(path, &json!({"metadata": {"finalizers": null}}));
            let (fine, text) = destroy.join().expect("joined");
            assert!(fine && text.contains("0 residual resources"), "{}: {text}", arena.name);
            assert!(text.contains("example.com/keeper"), "{}: {text}", arena.name);
        });
    });
}

#[test]
fn drift_is_taken_note_of_without_a_change() {
    everywhere(|arena| {
        bring_up(arena, "noted");
        let settings = "/api/v1/namespaces/noted/configmaps/settings";
        arena.api.patch(settings, &json!({"data": {"a": "9"}}));
        arena.api.patch("/api/v1/namespaces/noted/secrets/login", &json!({"data": {"word": "b3RoZXI="}}));
        let (code, _) =
            arena.api.send(reqwest::Method::DELETE, "/api/v1/namespaces/noted/services/web", "application/json", None);
        assert_eq!(code, 200);
        let outside = "outside of stackwright";
        let before = arena.ok("plan stack.toml");
        assert!(before.contains(outside), "{}: {before}", arena.name);
        let plan = arena.ok("plan stack.toml --refresh-only");
        for part in [outside, "settings has changed", "login has changed", "web has been deleted", "refresh-only plan"]
        {
            assert!(plan.contains(part), "{}: {part}: {plan}", arena.name);
        }
        let text = arena.ok("apply stack.toml --refresh-only --auto-approve");
        assert!(text.contains("taken note of 3 resources"), "{}: {text}", arena.name);
        assert_eq!(arena.api.get(settings)["data"]["a"], "9", "{}: nothing was changed", arena.name);
        let plan = arena.ok("plan stack.toml --refresh-only --detailed-exitcode");
        assert_eq!(
            summary(&plan),
            "No changes. Your infrastructure still matches the configuration.",
            "{}",
            arena.name
        );
        // What the stack wants is as it was; only that it differs is no news.
        let after = arena.ok("plan stack.toml");
        assert!(!after.contains(outside), "{}: {after}", arena.name);
        assert_eq!(summary(&after), summary(&before), "{}: {before}{after}", arena.name);
        // A saved plan takes note of what it has seen, and of nothing else. (What others own now is theirs to change.)
        arena.api.patch(settings, &json!({"data": {"b": "10"}}));
        arena.ok("plan stack.toml --refresh-only --out noted.plan");
        arena.api.patch(settings, &json!({"data": {"b": "11"}}));
        let (fine, text) = arena.stackwright("apply noted.plan --stack stack.toml");
        assert!(!fine && text.contains("is stale"), "{}: {text}", arena.name);
        arena.ok("plan stack.toml --refresh-only --out noted.plan");
        let text = arena.ok("apply noted.plan --stack stack.toml --refresh-only");
        assert!(text.contains("taken note of 1 resource."), "{}: {text}", arena.name);
        arena.ok("plan stack.toml --out change.plan");
        let (fine, text) = arena.stackwright("apply change.plan --stack stack.toml --refresh-only");
        assert!(!fine && text.contains("changes more than the state"), "{}: {text}", arena.name);
        let mended = summary(&arena.ok("apply stack.toml --auto-approve --force-conflicts"));
        assert_eq!(arena.api.get(settings)["data"]["a"], "1", "{}", arena.name);
        unchanged(arena);
        (summary(&before), mended, take_down(arena))
    });
}

#[test]
fn what_is_abandoned_and_outlives_its_stack_is_let_go_of() {
    everywhere(|arena| {
        let definition = app("apart").split("---\n").nth(1).expect("the definition").to_owned();
        let keep = "metadata: {annotations: {helm.sh/resource-policy: keep}, name";
        let definition = definition.replace("metadata: {name", keep);
        arena.write("stack.toml", &stack("apart"));
        arena.write("app.yaml", &definition);
        arena.ok("apply stack.toml --auto-approve");
        let text = arena.ok("destroy stack.toml --auto-approve --abandon manifests.app");
        assert!(text.contains("left there and forgotten"), "{}: {text}", arena.name);
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.apart.example.com";
        let labels = &arena.api.get(path)["metadata"]["labels"];
        assert_eq!(labels, &json!({"stackwright.dev/released": "true"}), "{}", arena.name);
        arena.write("stack.toml", &stack("apart-again"));
        arena.ok("apply stack.toml --auto-approve");
        unchanged(arena);
        take_down(arena)
    });
}

#[test]
fn what_outlives_its_stack_can_be_had_by_the_next() {
    everywhere(|arena| {
        let definition = app("kept").split("---\n").nth(1).expect("the definition").to_owned();
        let keep = "metadata: {annotations: {helm.sh/resource-policy: keep}, name";
        let definition = definition.replace("metadata: {name", keep);
        arena.write("stack.toml", &stack("kept"));
        arena.write("app.yaml", &definition);
        arena.ok("apply stack.toml --auto-approve");
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.kept.example.com";
        let before = arena.api.get(path);
        let mut told = vec![take_down(arena)];
        let after = arena.api.get(path);
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "{}", arena.name);
        assert_eq!(after["metadata"]["labels"]["stackwright.dev/id"], json!(null), "{}", arena.name);
        // Another stack, with another idea of it, meets no conflict with the one that is gone.
        arena.write("stack.toml", &stack("kept-again"));
        arena.write("app.yaml", &definition.replace("default: 3", "default: 4"));
        told.push(summary(&arena.ok("apply stack.toml --auto-approve")));
        unchanged(arena);
        arena.write("app.yaml", &definition.replace("default: 3", "default: 5"));
        told.push(summary(&arena.ok("apply stack.toml --auto-approve")));
        unchanged(arena);
        told.push(take_down(arena));
        told
    });
}
