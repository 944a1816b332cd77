//! States that are not what they should be are recognised and explained, and never read as nothing; clusters and pools
//! that are nobody's become a stack's.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use stackwright::state::codec;
use stackwright::state::model::{FORMAT, State, Target};
use stackwright::state::transition::Transition;

use crate::served::{Served, serve};

fn stackwright(folder: &Path, words: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // Lines are broken where a terminal ends.
    let text = text.replace(['│', '×'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
    (output.status.success(), text)
}

fn ok(folder: &Path, words: &str) -> String {
    let (fine, text) = stackwright(folder, words);
    assert!(fine, "{words}: {text}");
    text
}

fn begun(stack: &str) -> State {
    let mut state = State::empty(stack);
    let begin = Transition::Begin { lineage: "one".into(), stack_id: "0123456789abcdef".into() };
    state.apply(&begin).expect("begins");
    state
}

#[test]
fn no_state_is_taken_for_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let stack = "name = \"demo\"\n[cluster]\nproject = \"p-demo\"\nlocation = \"europe-west4-a\"\n";
    std::fs::write(folder.join("stack.toml"), stack).expect("written");
    let state = folder.join("state/.sim/state/demo");
    std::fs::create_dir_all(&state).expect("made");
    let put = |name: &str, bytes: &[u8]| std::fs::write(state.join(name), bytes).expect("written");
    let newer = State { format: FORMAT + 1, ..begun("demo") };
    let elsewhere = State { target: Some(Target { platform: "google".into(), id: "42".into() }), ..begun("demo") };
    let departed = State { departed: Some("gs://b".into()), ..begun("demo") };
    let snapshot = codec::encode_snapshot(&begun("demo"));
    let half = &snapshot[..snapshot.len() / 2];
    let unknown = codec::sealed(br#"{"serial":1,"transition":{"transmuted":{}}}"#);
    let cases: [(&str, Vec<u8>, &str, &str); 7] = [
        ("snapshot", codec::encode_snapshot(&newer), "newer than this program understands", "or a newer one"),
        ("snapshot", codec::encode_snapshot(&begun("other")), "is the state of the stack other", "check the name"),
        ("snapshot", codec::encode_snapshot(&elsewhere), "describes google 42", "another state folder"),
        ("snapshot", codec::encode_snapshot(&departed), "is kept in gs://b now", "set `backend = \"gs://b\"`"),
        ("snapshot", half.to_vec(), "is damaged", "`stackwright state rebuild`"),
        ("snapshot", Vec::new(), "the file is empty", "`history restore`"),
        ("journal", [unknown, b"x\n".to_vec()].concat(), "of a newer stackwright", "or a newer one"),
    ];
    for (name, bytes, said, way) in cases {
        put("snapshot", &snapshot);
        put("journal", b"");
        if name == "journal" {
            std::fs::remove_file(state.join("snapshot")).expect("removed");
        }
        put(name, &bytes);
        for command in ["plan --sim", "apply --sim --auto-approve", "destroy --sim --auto-approve", "status --sim"] {
            // A destroy of nothing asks no platform.
            if command.starts_with("destroy") && said.contains("google 42") {
                continue;
            }
            let (fine, text) = stackwright(folder, command);
            assert!(!fine && text.contains(said) && text.contains(way), "{command}: {said}: {text}");
            assert!(!text.contains("to add"), "{command}: {text}");
        }
        assert_eq!(std::fs::read(state.join(name)).expect("readable"), bytes, "{said}: nothing is written over it");
    }
    // What is newer is not to be rebuilt by what is older.
    std::fs::remove_file(state.join("journal")).expect("removed");
    put("snapshot", &codec::encode_snapshot(&newer));
    let (fine, text) = stackwright(folder, "state rebuild --sim --auto-approve");
    assert!(!fine && text.contains("newer"), "{text}");
}

#[test]
fn a_state_of_another_stack_id_does_not_make_everything_twice() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let stack = "name = \"demo\"\n[cluster]\nproject = \"p-demo\"\nlocation = \"europe-west4-a\"\n";
    std::fs::write(folder.join("stack.toml"), stack).expect("written");
    ok(folder, "apply --sim --auto-approve");
    let good = ok(folder, "state pull --sim");
    let good = serde_json::from_str::<Json>(&good).expect("JSON");
    // Somebody has begun anew from an empty folder.
    std::fs::write(folder.join("wrong.json"), serde_json::to_vec(&begun("demo")).expect("JSON")).expect("written");
    let (fine, text) = stackwright(folder, "state push wrong.json --sim");
    let lineage = good["lineage"].as_str().expect("a lineage");
    assert!(
        !fine && text.contains(&format!("here: lineage {lineage}")) && text.contains("pushed: lineage one"),
        "{text}"
    );
    ok(folder, "state push wrong.json --sim --force");
    let (fine, text) = stackwright(folder, "plan --sim");
    assert!(!fine && text.contains("is of the stack id 0123456789abcdef and does not know it"), "{text}");
    // Back by the history, or by labels: either way nothing is to be done.
    let serial = good["serial"].as_u64().expect("a serial");
    ok(folder, &format!("history restore {serial} --sim"));
    assert!(ok(folder, "plan --sim").contains("No changes."));
    ok(folder, "state push wrong.json --sim --force");
    ok(folder, "state rebuild --sim --auto-approve");
    assert!(ok(folder, "plan --sim").contains("No changes."));
    let rebuilt = serde_json::from_str::<Json>(&ok(folder, "state pull --sim")).expect("JSON");
    assert_eq!(rebuilt["stack_id"], good["stack_id"]);
    assert_eq!(rebuilt["resources"]["cluster"]["id"], good["resources"]["cluster"]["id"]);
    assert!(ok(folder, "destroy --sim --auto-approve").contains("0 residual resources"));
}

const POOLED: &str = r#"
name = "pooled"
[cluster]
project = "p-demo"
location = "europe-west4-a"
[node_pools.gpu]
accelerator = "nvidia-t4"
nodes = 1
"#;

fn ask(served: &Served, method: reqwest::Method, path: &str, body: &Json) -> Json {
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().build().expect("client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let mut request = client.request(method, format!("{}{path}", served.url));
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("answered");
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap_or_default());
        answer.json().await.expect("JSON")
    })
}

#[test]
fn a_cluster_and_a_pool_of_nobody_are_adopted() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let served = serve(&folder.join("world"), "127.0.0.1:0");
    let simulated = format!("--sim={} --world world", served.url);
    let run = |words: &str| stackwright(folder, &format!("{words} {simulated}"));
    std::fs::write(folder.join("stack.toml"), POOLED).expect("written");
    assert!(run("apply --auto-approve").0);
    // Whoever made them has left no label.
    let cluster = "/v1/projects/p-demo/locations/europe-west4-a/clusters/pooled";
    let there = ask(&served, reqwest::Method::GET, cluster, &Json::Null);
    let fingerprint = there["labelFingerprint"].clone();
    let labels = json!({"resourceLabels": {"team": "search"}, "labelFingerprint": fingerprint});
    let wait = |operation: &Json| {
        let name = operation["name"].as_str().expect("an operation").to_owned();
        let path = format!("/v1/projects/p-demo/locations/europe-west4-a/operations/{name}");
        while ask(&served, reqwest::Method::GET, &path, &Json::Null)["status"] != "DONE" {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    wait(&ask(&served, reqwest::Method::POST, &format!("{cluster}:setResourceLabels"), &labels));
    let pool =
        there["nodePools"].as_array().expect("pools").iter().find(|pool| pool["name"] != "system").expect("a pool");
    let pool = format!("{cluster}/nodePools/{}", pool["name"].as_str().expect("a name"));
    let labels = json!({"resourceLabels": {"labels": {"team": "search"}}});
    wait(&ask(&served, reqwest::Method::PUT, &pool, &labels));
    for entry in std::fs::read_dir(folder.join("world/state")).expect("states").flatten() {
        let path = entry.path();
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.expect("removed");
    }

    let (fine, text) = run("apply --auto-approve");
    assert!(!fine && text.contains("stackwright adopt"), "{text}");
    let (fine, text) = run("adopt cluster --auto-approve --id 00ff");
    assert!(!fine && text.contains("00ff is not what is there"), "{text}");
    let id = there["id"].as_str().expect("an id");
    let (fine, text) = run(&format!("adopt cluster --auto-approve --id {id}"));
    assert!(fine && text.contains("0 added, 1 changed, 0 destroyed"), "{text}");
    // A pool that could not stay what it is.
    std::fs::write(folder.join("stack.toml"), POOLED.replace("nvidia-t4", "nvidia-l4")).expect("written");
    let (fine, text) = run("adopt node_pools.gpu --auto-approve");
    assert!(!fine && text.contains("would have to be made anew"), "{text}");
    std::fs::write(folder.join("stack.toml"), POOLED).expect("written");
    let (fine, text) = run("adopt node_pools.gpu --auto-approve");
    assert!(fine && text.contains("0 added, 1 changed, 0 destroyed"), "{text}");
    let (fine, text) = run("plan");
    assert!(fine && text.contains("No changes."), "{text}");
    let now = ask(&served, reqwest::Method::GET, cluster, &Json::Null);
    assert_eq!(now["id"], there["id"]);
    assert_eq!(now["resourceLabels"]["team"], "search");
    assert_eq!(now["resourceLabels"]["stackwright-stack"], "pooled");
    let (fine, text) = run("adopt values.x --auto-approve");
    assert!(!fine && text.contains("cannot be adopted"), "{text}");
    // What is forgotten stays, and is found again.
    let (fine, text) = run("forget node_pools.gpu");
    assert!(fine && text.contains("is forgotten"), "{text}");
    let (fine, text) = run("apply --auto-approve");
    assert!(fine && text.contains("0 destroyed"), "{text}");
    let (fine, text) = run("destroy --auto-approve");
    assert!(fine && text.contains("0 residual resources"), "{text}");
}

#[test]
fn a_state_moves_and_what_was_moved_halfway_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let stack = "name = \"demo\"\n[values.a]\ninput = 1\n";
    std::fs::write(folder.join("stack.toml"), stack).expect("written");
    ok(folder, "apply --auto-approve");
    let pulled = ok(folder, "state pull");
    // Killed after the copy, before the old one was marked.
    std::fs::write(folder.join("pulled.json"), &pulled).expect("written");
    std::fs::write(folder.join("there.toml"), format!("{stack}[state]\nbackend = \"there\"\n")).expect("written");
    ok(folder, "state push pulled.json there.toml");
    assert!(ok(folder, "state migrate --to there").contains("Migrated: 1 resource"));
    assert!(ok(folder, "state migrate --to there").contains("Nothing to do"));
    let (fine, text) = stackwright(folder, "apply --auto-approve");
    assert!(!fine && text.contains("is kept in there now"), "{text}");
    assert_eq!(ok(folder, "state pull there.toml"), pulled);
    // It goes on there, and comes back.
    std::fs::write(folder.join("there.toml"), format!("{stack}[values.b]\ninput = 2\n[state]\nbackend = \"there\"\n"))
        .expect("written");
    ok(folder, "apply there.toml --auto-approve");
    let (fine, text) = stackwright(folder, "state migrate --to there --from state");
    assert!(fine && text.contains("Nothing to do"), "{text}");
    assert!(ok(folder, "state migrate --from there").contains("Migrated: 2 resources"));
    assert!(ok(folder, "state list").contains("values.b"));
    let (fine, text) = stackwright(folder, "plan there.toml");
    assert!(!fine && text.contains("set `backend = \"state\"`"), "{text}");
    // Another state that is there already is not written over.
    std::fs::write(folder.join("else.toml"), format!("{stack}[state]\nbackend = \"else\"\n")).expect("written");
    ok(folder, "apply else.toml --auto-approve");
    let (fine, text) = stackwright(folder, "state migrate --to else");
    assert!(!fine && text.contains("another state is in else already"), "{text}");
    let (fine, text) = stackwright(folder, "state migrate --from nowhere");
    assert!(!fine && text.contains("there is no state to migrate"), "{text}");
    assert!(!folder.join("nowhere").exists());
    let (fine, text) = stackwright(folder, "state migrate --to else --sim");
    assert!(!fine && text.contains("stays in its world"), "{text}");
}
