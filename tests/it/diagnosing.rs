//! `diagnose` as a user types it, where there is more to it than a cause: healthy, paused, unreachable and lost stacks, a
//! state that somebody has; and the page that is made from the rules. Causes one by one are the gallery's.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;
use stackwright::ui::diagnose_text;

fn stackwright(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts")
}

/// What `diagnose --json` says, and its exit code.
#[track_caller]
fn diagnose(folder: &Path, code: i32) -> Json {
    let output = stackwright(folder, &["diagnose", "--sim", "--json"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {said}"))
}

#[track_caller]
fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = stackwright(folder, arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

fn faults(folder: &Path, faults: &Json) {
    let path = folder.join("state/.sim/faults.json");
    std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    std::fs::write(path, serde_json::json!({ "faults": faults }).to_string()).expect("written");
}

fn first(found: &Json) -> &str {
    found["causes"][0]["id"].as_str().unwrap_or_default()
}

#[test]
fn a_stack_that_works_a_pause_and_a_cluster_that_is_silent_or_gone() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/gpu-t4.toml");
    std::fs::copy(stack, folder.join("stack.toml")).expect("copy");
    let found = diagnose(folder, 0);
    assert_eq!((&found["healthy"], &found["cluster"]["is"]), (&Json::from(true), &Json::from("absent")), "{found:#}");
    run(folder, &["apply", "--sim", "--auto-approve"]);
    let found = diagnose(folder, 0);
    assert_eq!(found["causes"], serde_json::json!([]), "{found:#}");
    assert_eq!(found["not_looked_at"], serde_json::json!([]), "{found:#}");
    assert!(run(folder, &["diagnose", "--sim"]).contains("Nothing is wrong: 3 nodes and "));

    // Pods of the model wait for nodes that were taken away on purpose: one cause, and the rest under it.
    run(folder, &["pause", "--sim", "--auto-approve"]);
    let found = diagnose(folder, 1);
    assert_eq!(first(&found), "paused", "{found:#}");
    assert!(found["causes"][0]["explains"].as_array().is_some_and(|all| !all.is_empty()), "{found:#}");
    run(folder, &["resume", "--sim", "--auto-approve"]);

    // Every request of the API server is lost, and Google still answers.
    faults(folder, &serde_json::json!([{"kind": "http", "path": "/api*", "status": 503, "times": 1_000_000}]));
    let found = diagnose(folder, 1);
    assert_eq!(first(&found), "cluster-unreachable", "{found:#}");
    faults(folder, &serde_json::json!([]));

    // A state that knows a cluster, and a world that does not.
    std::fs::remove_file(folder.join("state/.sim/world.jsonl")).expect("the world");
    let output = stackwright(folder, &["diagnose", "--sim", "--json"]);
    let found: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(first(&found), "cluster-missing", "{found:#}");
}

#[test]
fn the_page_of_troubles_is_made_from_the_rules() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let page = diagnose_text::page();
    if std::env::var_os("STACKWRIGHT_BLESS").is_some() {
        std::fs::write(&path, &page).expect("writable");
    }
    let written = std::fs::read_to_string(&path).expect("docs/troubleshooting.md");
    assert_eq!(written, page, "make it anew: STACKWRIGHT_BLESS=1 cargo test --test it -- the_page_of_troubles");
}
