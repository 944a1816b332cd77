//! Drift: what others do to a stack's objects by design is no noise in a plan; what they do against it is named
//! with its field and its author, and mended. No kubectl: each actor is a request with a field manager of its own,
//! as controllers, editors and other tools send them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{app, stack, summary, take_down, unchanged};
use crate::arena::{Arena, everywhere};

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// One request of somebody else's, which must succeed.
fn act(arena: &Arena, method: Method, path: &str, content: &str, manager: &str, body: &Json) -> Json {
    let mark = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{mark}fieldManager={manager}");
    let (code, answer) = arena.api.send(method, &path, content, Some(body));
    assert!((200..300).contains(&code), "{}: {manager} {path}: {code} {answer}", arena.name);
    answer
}

/// What scales, converts, injects and reports around the objects of [`app`].
fn more(namespace: &str) -> String {
    format!(
        r#"---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: scaled, namespace: {namespace}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: scaled}}}}
  template:
    metadata: {{labels: {{app: scaled}}}}
    spec:
      containers:
      - name: main
        image: docker.io/library/nginx:1.27
        resources:
          requests: {{cpu: 1000m, memory: 0.5Gi, ephemeral-storage: 1048576Ki}}
          limits: {{cpu: "2.50", memory: 1.5Gi, ephemeral-storage: 1Gi}}
        volumeMounts: [{{name: scratch, mountPath: /scratch}}]
        livenessProbe: {{httpGet: {{path: /, port: 80}}}}
      volumes: [{{name: scratch, emptyDir: {{sizeLimit: 1024Mi}}}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: scaled, namespace: {namespace}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: scaled}}
  minReplicas: 2
  maxReplicas: 9
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 70}}}}}}]
---
apiVersion: v1
kind: ResourceQuota
metadata: {{name: all, namespace: {namespace}}}
spec: {{hard: {{requests.cpu: "64000m", requests.memory: 262144Mi, pods: 5e1}}}}
---
apiVersion: v1
kind: LimitRange
metadata: {{name: all, namespace: {namespace}}}
spec: {{limits: [{{type: Container, default: {{cpu: 0.5, memory: 256Mi}}, defaultRequest: {{cpu: 250m}}}}]}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: {namespace}
  annotations: {{cert-manager.io/inject-ca-from: {namespace}/serving}}
webhooks:
- name: widgets.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  clientConfig: {{service: {{name: nobody, namespace: {namespace}}}}}
  rules: [{{apiGroups: [{namespace}.other.example.com], apiVersions: [v1], operations: [CREATE], resources: [widgets]}}]
"#
    )
}

fn bundle() -> String {
    use base64::Engine as _;
    let key = rcgen::KeyPair::generate().expect("key");
    let pem = rcgen::CertificateParams::new(vec!["nobody".to_owned()]).expect("params").self_signed(&key);
    base64::engine::general_purpose::STANDARD.encode(pem.expect("certificate").pem())
}

/// Brings [`app`] and [`more`] up, while somebody injects the bundle.
fn bring_up(arena: &Arena, name: &str) -> String {
    arena.write("stack.toml", &stack(name));
    arena
        .write("app.yaml", &(app(name).replace("spec: {colour: blue}", "spec: {colour: blue, size: 4}") + &more(name)));
    std::thread::scope(|scope| {
        let apply = scope.spawn(|| arena.ok("apply stack.toml --auto-approve"));
        let path = format!("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{name}");
        arena.api.wait(&path, Duration::from_secs(90), |_| true);
        let injected = json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle()}]);
        act(arena, Method::PATCH, &path, PATCH, "cert-manager-cainjector", &injected);
        summary(&apply.join().expect("joined"))
    })
}

#[test]
fn what_others_do_by_design_is_no_change() {
    everywhere(|arena| {
        let mut told = vec![bring_up(arena, "noise")];
        let deployment = "/apis/apps/v1/namespaces/noise/deployments/scaled";
        for round in 0..10 {
            // An autoscaler.
            let mut scale = arena.api.get(&format!("{deployment}/scale"));
            scale["spec"]["replicas"] = json!(3 + round % 4);
            scale["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
            let path = format!("{deployment}/scale");
            act(arena, Method::PUT, &path, "application/json", "kube-controller-manager", &scale);
            // Writers of status, labels, annotations and finalizers.
            let widget = "/apis/noise.example.com/v1/namespaces/noise/widgets/one";
            let seen = json!({"metadata": {"annotations": {"example.com/round": round.to_string()},
                "labels": {"example.com/seen": "yes"}, "finalizers": []}});
            act(arena, Method::PATCH, widget, MERGE, "widget-operator", &seen);
            let conditions = json!({"status": {"conditions": [{"type": "Waiting", "status": "False", "reason": "Seen", "message": "",
                "lastTransitionTime": format!("2026-01-01T00:00:{:02}Z", round)}]}});
            let status = "/apis/policy/v1/namespaces/noise/poddisruptionbudgets/web/status";
            act(arena, Method::PATCH, status, MERGE, "reporter", &conditions);
            // A renewed authority.
            let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/noise";
            let injected = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle()}]);
            act(arena, Method::PATCH, path, PATCH, "cert-manager-cainjector", &injected);
            // A restart, and somebody's data beside ours.
            let restarted = json!({"spec": {"template": {"metadata": {"annotations":
                {"kubectl.kubernetes.io/restartedAt": format!("2026-01-01T00:00:{round:02}Z")}}}}});
            act(arena, Method::PATCH, deployment, STRATEGIC, "kubectl-rollout", &restarted);
            let data = json!({"data": {"theirs": round.to_string()}});
            act(arena, Method::PATCH, "/api/v1/namespaces/noise/configmaps/settings", MERGE, "neighbour", &data);
            unchanged(arena);
        }
        // What the autoscaler wanted is still so after a change of something else.
        let edited = (app("noise") + &more("noise")).replace("maxReplicas: 9", "maxReplicas: 8");
        arena.write("app.yaml", &edited.replace("spec: {colour: blue}", "spec: {colour: blue, size: 4}"));
        told.push(summary(&arena.ok("apply stack.toml --auto-approve")));
        unchanged(arena);
        let live = arena.api.get(deployment);
        told.push(format!("replicas {}", live["spec"]["replicas"]));
        told.push(take_down(arena));
        told
    });
}

/// A change against the stack: who, what, and the words that the plan must have.
struct Planted {
    what: &'static str,
    act: fn(&Arena),
    /// In the next plan.
    told: &'static [&'static str],
    planned: &'static str,
}

const SETTINGS: &str = "/api/v1/namespaces/planted/configmaps/settings";
const WEB: &str = "/apis/apps/v1/namespaces/planted/deployments/web";
const SERVICE: &str = "/api/v1/namespaces/planted/services/web";
const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.planted.example.com";

const PLANTED: &[Planted] = &[
    Planted {
        what: "an object that was edited as a whole",
        act: |arena| {
            let mut live = arena.api.get(SETTINGS);
            live["data"]["a"] = json!("9");
            act(arena, Method::PUT, SETTINGS, "application/json", "editor", &live);
        },
        told: &["data", "\"9\"", "editor"],
        planned: "1 to change",
    },
    Planted {
        what: "another's apply by force",
        act: |arena| {
            let claim = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
                "data": {"a": "7"}});
            act(arena, Method::PATCH, &format!("{SETTINGS}?force=true"), APPLY, "rival", &claim);
        },
        told: &["\"7\"", "rival"],
        planned: "1 to change",
    },
    Planted {
        what: "a merge patch",
        act: |arena| {
            act(arena, Method::PATCH, SETTINGS, MERGE, "merger", &json!({"data": {"b": "3"}}));
        },
        told: &["\"3\"", "merger"],
        planned: "1 to change",
    },
    Planted {
        what: "a JSON patch that takes a key away",
        act: |arena| {
            let gone = json!([{"op": "remove", "path": "/data/b"}]);
            act(arena, Method::PATCH, SETTINGS, PATCH, "remover", &gone);
        },
        told: &["b = \"2\""],
        planned: "1 to change",
    },
    Planted {
        what: "a strategic patch",
        act: |arena| {
            let image = json!({"spec": {"template": {"spec": {"containers":
                [{"name": "web", "image": "docker.io/library/nginx:1.26"}]}}}});
            act(arena, Method::PATCH, WEB, STRATEGIC, "strategist", &image);
        },
        told: &["nginx:1.26", "strategist"],
        planned: "1 to change",
    },
    Planted {
        what: "a scaled deployment without an autoscaler",
        act: |arena| {
            let mut scale = arena.api.get(&format!("{WEB}/scale"));
            scale["spec"]["replicas"] = json!(5);
            scale["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
            act(arena, Method::PUT, &format!("{WEB}/scale"), "application/json", "scaler", &scale);
        },
        told: &["replicas", "5", "scaler"],
        planned: "1 to change",
    },
    Planted {
        what: "a field taken over without changing it",
        act: |arena| {
            for value in ["other", "1"] {
                act(arena, Method::PATCH, SETTINGS, MERGE, "taker", &json!({"data": {"a": value}}));
            }
        },
        told: &["data", "now owned by taker"],
        planned: "1 to change",
    },
    Planted {
        what: "a deleted object",
        act: |arena| {
            let (code, answer) = arena.api.send(Method::DELETE, SERVICE, "", None);
            assert_eq!(code, 200, "{answer}");
            arena.api.gone(SERVICE);
        },
        told: &["Service/planted/web"],
        planned: "1 to add",
    },
    Planted {
        what: "an object that was restored under another uid",
        act: |arena| {
            let mut copy = arena.api.get(SETTINGS);
            let (code, answer) = arena.api.send(Method::DELETE, SETTINGS, "", None);
            assert_eq!(code, 200, "{answer}");
            arena.api.gone(SETTINGS);
            let metadata = copy["metadata"].as_object_mut().expect("metadata");
            metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "labels" | "annotations"));
            let path = "/api/v1/namespaces/planted/configmaps";
            act(arena, Method::POST, path, "application/json", "restorer", &copy);
        },
        told: &["settings", "restorer"],
        planned: "1 to change",
    },
    Planted {
        what: "a label taken off",
        act: |arena| {
            let off = json!({"metadata": {"labels": {"stackwright.dev/id": null}}});
            act(arena, Method::PATCH, SETTINGS, MERGE, "labeller", &off);
        },
        told: &["settings", "stackwright.dev/id"],
        planned: "1 to change",
    },
    Planted {
        what: "an edited definition",
        act: |arena| {
            let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/default";
            let five = json!([{"op": "replace", "path": path, "value": 5}]);
            act(arena, Method::PATCH, DEFINITION, PATCH, "definer", &five);
        },
        told: &["default", "5", "definer"],
        planned: "1 to change",
    },
    Planted {
        what: "one more key in a map that is one value",
        act: |arena| {
            let extra = json!({"spec": {"selector": {"extra": "yes"}}});
            act(arena, Method::PATCH, SERVICE, STRATEGIC, "adder", &extra);
        },
        told: &["selector", "extra", "adder"],
        planned: "1 to change",
    },
    Planted {
        what: "one more rule in a list that is one value",
        act: |arena| {
            let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/planted/roles/web";
            let more = json!([{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}]);
            act(arena, Method::PATCH, path, PATCH, "escalator", &more);
        },
        told: &["rules", "delete", "escalator"],
        planned: "1 to change",
    },
    Planted {
        what: "a custom resource's field",
        act: |arena| {
            let path = "/apis/planted.example.com/v1/namespaces/planted/widgets/one";
            act(arena, Method::PATCH, path, MERGE, "painter", &json!({"spec": {"colour": "grey"}}));
        },
        told: &["colour", "grey", "painter"],
        planned: "1 to change",
    },
];

#[test]
fn what_others_do_against_the_stack_is_named_and_mended() {
    everywhere(|arena| {
        let mut told = vec![bring_up(arena, "planted")];
        for Planted { what, act, told: words, planned } in PLANTED {
            act(arena);
            let plan = arena.ok("plan stack.toml");
            assert!(plan.contains(planned), "{}: {what}: {plan}", arena.name);
            for word in *words {
                assert!(plan.contains(word), "{}: {what}: no {word} in {plan}", arena.name);
            }
            let contested = plan.contains("--force-conflicts");
            let (fine, text) = arena.stackwright("apply stack.toml --auto-approve");
            assert_eq!(fine, !contested, "{}: {what}: {plan}\n{text}", arena.name);
            if contested {
                // Nothing was taken that the user did not say, and the refusal names whose it is.
                assert!(text.contains(words[words.len() - 1]), "{}: {what}: {text}", arena.name);
                arena.ok("apply stack.toml --auto-approve --force-conflicts");
            }
            unchanged(arena);
            told.push(format!("{what}: {} {contested}", summary(&text)));
        }
        told.push(take_down(arena));
        told
    });
}

#[test]
fn an_object_that_somebody_made_in_the_place_of_ours_is_not_taken_unasked() {
    everywhere(|arena| {
        arena.write("stack.toml", &stack("replaced"));
        arena.write("app.yaml", &app("replaced"));
        let mut told = vec![summary(&arena.ok("apply stack.toml --auto-approve"))];
        let path = "/api/v1/namespaces/replaced/configmaps/settings";
        arena.api.send(Method::DELETE, path, "", None);
        arena.api.gone(path);
        let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": "replaced"}, "data": {"a": "theirs"}});
        let all = "/api/v1/namespaces/replaced/configmaps";
        act(arena, Method::POST, all, "application/json", "usurper", &theirs);
        told.push(summary(&arena.ok("plan stack.toml")));
        let (fine, text) = arena.stackwright("apply stack.toml --auto-approve");
        assert!(!fine && text.contains("usurper"), "{}: {text}", arena.name);
        assert_eq!(arena.api.get(path)["data"], json!({"a": "theirs"}), "{}: {text}", arena.name);
        arena.ok("adopt manifests.app stack.toml --auto-approve");
        unchanged(arena);
        told.push(take_down(arena));
        told
    });
}
