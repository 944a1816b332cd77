//! The stack key: what digests of secrets are keyed with, what happens without it, and that a saved plan is bound to the
//! values that it was made with. Where secrets must not be seen: `canary`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use stackwright::provider::kube::object::ObjectKind;
use stackwright::resource::kind::{Kind, Observed};
use stackwright::value::Value;

use crate::arena::{Arena, simulated};

const STACK: &str = "
name = \"demo\"
[cluster]
kubeconfig = \"kubeconfig\"
[manifests.app]
files = [\"app.yaml\"]
";

const APP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: demo}
stringData: {word: \"1234\"}
";

fn arena() -> Arena {
    let arena = simulated();
    arena.write("stack.toml", STACK);
    arena.write("app.yaml", APP);
    arena
}

fn key(arena: &Arena) -> std::path::PathBuf {
    arena.folder().join("state/demo.key")
}

#[test]
fn a_short_password_cannot_be_tried_against_the_state() {
    let arena = arena();
    arena.ok("apply --auto-approve");
    assert!(arena.ok("plan").contains("No changes."));
    let pulled: serde_json::Value = serde_json::from_str(&arena.ok("state pull")).expect("JSON");
    let recorded = &pulled["resources"]["Secret/demo/login"];
    // Whoever has the state, and may read nothing else, tries what the password could be.
    let live = arena.api.get("/api/v1/namespaces/demo/secrets/login");
    let observed = Observed { id: recorded["id"].as_str().expect("a uid").to_owned(), attrs: Value::from_json(&live) };
    let sent = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "demo"},
        "stringData": {"word": "1234"},
    });
    let guess = ObjectKind::default().record(&Value::from_json(&sent), &[], &observed).to_json();
    for digest in ["sent", "values", "owned", "leaves"] {
        assert!(guess[digest].is_string() && guess[digest] != recorded["record"][digest], "{digest}: {recorded}");
    }
    assert_eq!(recorded["record"]["key"], pulled["key"], "{pulled}");
    // And with the key they are what they were: drift is found.
    arena
        .api
        .patch("/api/v1/namespaces/demo/secrets/login", &serde_json::json!({"data": {"word": BASE64.encode("4321")}}));
    assert!(arena.ok("plan").contains("data.word"), "{}", arena.ok("plan"));
}

#[test]
fn without_its_key_a_stack_is_not_planned_and_can_be_destroyed() {
    let arena = arena();
    arena.ok("apply --auto-approve");
    let bytes = std::fs::read(key(&arena)).expect("a key");
    std::fs::remove_file(key(&arena)).expect("removed");
    for command in ["plan", "apply --auto-approve", "status", "plan --refresh-only"] {
        let (fine, text) = arena.stackwright(command);
        assert!(!fine && text.contains("the stack key is not here"), "{command}: {text}");
        assert!(!key(&arena).exists(), "{command} has made one");
    }
    std::fs::write(key(&arena), [7; 32]).expect("written");
    let (fine, text) = arena.stackwright("plan");
    assert!(!fine && text.contains("is not the one that the state was made with"), "{text}");
    // The environment holds it, and does so whatever the file is.
    arena.set("STACKWRIGHT_KEY", &format!("base64:{}", BASE64.encode(&bytes)));
    assert!(arena.ok("plan").contains("No changes."));
    arena.set("STACKWRIGHT_KEY", "short");
    let (fine, text) = arena.stackwright("plan");
    assert!(!fine && text.contains("less than 16 bytes"), "{text}");
    arena.set("STACKWRIGHT_KEY", "");
    assert!(arena.ok("destroy --auto-approve").contains("Destroy complete!"));
    assert_eq!(std::fs::read(key(&arena)).expect("the key"), [7; 32]);
}

#[test]
fn what_is_recorded_of_a_stack_in_the_environment_s_key_needs_no_file() {
    let arena = arena();
    arena.set("STACKWRIGHT_KEY", "a long text that somebody has thought of");
    arena.ok("apply --auto-approve");
    assert!(!key(&arena).exists());
    assert!(arena.ok("plan").contains("No changes."));
}

#[test]
fn a_plan_saved_before_the_first_apply_is_bound_to_its_secrets() {
    let arena = arena();
    arena.ok("plan");
    assert!(!key(&arena).exists(), "looking makes no key");
    arena.ok("plan --out saved");
    arena.write("app.yaml", &APP.replace("1234", "4321"));
    let (fine, text) = arena.stackwright("apply saved");
    assert!(!fine && text.contains("another value than when the plan was made"), "{text}");
    arena.write("app.yaml", APP);
    let bytes = std::fs::read(key(&arena)).expect("a key");
    for other in [Some([7; 32]), None] {
        match other {
            Some(other) => std::fs::write(key(&arena), other).expect("written"),
            None => std::fs::remove_file(key(&arena)).expect("removed"),
        }
        let (fine, text) = arena.stackwright("apply saved");
        assert!(!fine && text.contains("made with another stack key"), "{text}");
    }
    std::fs::write(key(&arena), bytes).expect("written");
    arena.ok("apply saved");
    assert!(arena.ok("plan").contains("No changes."));
}

#[test]
fn a_destroy_of_what_a_lost_state_has_made_is_no_empty_one() {
    let arena = arena();
    assert!(arena.ok("destroy --auto-approve").contains("0 destroyed"));
    arena.ok("apply --auto-approve");
    std::fs::remove_dir_all(arena.folder().join("state/demo")).expect("removed");
    for command in ["destroy --auto-approve", "plan --destroy"] {
        let (fine, text) = arena.stackwright(command);
        assert!(!fine && text.contains("made by a stack whose state is not here"), "{command}: {text}");
        assert!(text.contains("state rebuild"), "{command}: {text}");
    }
    arena.ok("state rebuild --auto-approve");
    arena.ok("destroy --auto-approve");
    // What is gone is gone: nothing is left to be recognised.
    assert!(arena.ok("destroy --auto-approve").contains("0 destroyed"));
}

const CHART: &str = "
apiVersion: v1
kind: Secret
metadata:
  name: chosen
stringData:
  word: WORD
---
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {helm.sh/hook: pre-upgrade, helm.sh/hook-delete-policy: hook-succeeded}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: docker.io/library/busybox:1.37, command: [\"true\"]}]
";

#[test]
fn what_a_hook_s_component_holds_is_told_by_a_keyed_digest() {
    let arena = arena();
    let chart = |word: &str| {
        std::fs::create_dir_all(arena.folder().join("web/templates")).expect("folder");
        arena.write("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
        arena.write("web/templates/web.yaml", &CHART.replace("WORD", word));
    };
    chart("first");
    let more = "[charts.web]\nsource = \"web\"\nnamespace = \"demo\"\ndepends_on = [\"manifests.app\"]\n";
    arena.write("stack.toml", &format!("{STACK}{more}"));
    arena.ok("apply --auto-approve");
    let recorded = || {
        let pulled: serde_json::Value = serde_json::from_str(&arena.ok("state pull")).expect("JSON");
        pulled["resources"]["pre-upgrade:Job.batch/demo/migrate"]["record"]["rendered"].as_str().map(str::to_owned)
    };
    let first = recorded().expect("a digest");
    assert!(first.starts_with("keyed:"), "{first}");
    // As a state of before has it. What it says cannot be compared, so that the objects decide.
    let pulled = arena.ok("state pull").replace(&first, "00112233445566778899aabbccddeeff");
    let start = pulled.find('{').expect("JSON");
    arena.write("old.json", &pulled[start..]);
    arena.ok("state push old.json --force");
    assert!(arena.ok("plan").contains("No changes."));
    for word in ["second", "third"] {
        chart(word);
        let text = arena.ok("plan");
        assert!(text.contains("pre-upgrade:Job.batch/demo/migrate") && text.contains("data.word"), "{text}");
        arena.ok("apply --auto-approve");
        assert!(arena.ok("plan").contains("No changes."));
        assert!(recorded().is_some_and(|digest| digest.starts_with("keyed:") && digest != first));
    }
}
