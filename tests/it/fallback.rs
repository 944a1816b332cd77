//! `[cluster] fallback_locations` under fire: a run that goes from one location to the next is killed at every record of
//! its journal; the next run, or a destroy, leaves the stack in one place, or nothing anywhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use stackwright::env::disk::RealDisk;
use stackwright::sim::world::World;

use crate::lab::is_long;

const STACK: &str = r#"
name = "short"
[cluster]
project = "sim-project"
location = "europe-west4-a"
fallback_locations = ["us-central1-a"]
[node_pools.gpu]
accelerator = "nvidia-t4"
[manifests.note]
files = ["note.yaml"]
"#;

const NOTE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: note, namespace: default}\ndata: {a: b}\n";

const FAULTS: &str =
    r#"{"faults": [{"kind": "stockout", "zone": "europe-west4-a", "accelerator": "nvidia-tesla-t4"}]}"#;

fn furnished() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("tempdir");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    std::fs::create_dir_all(folder.path().join("state/.sim")).expect("made");
    write("stack.toml", STACK);
    write("note.yaml", NOTE);
    write("state/.sim/faults.json", FAULTS);
    folder
}

fn command(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackwright"));
    command.args(words.split(' ')).current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null());
    command
}

fn run(folder: &Path, words: &str) -> (Output, String) {
    let output = command(folder, words).output().expect("the program starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

fn ok(folder: &Path, words: &str, when: &str) -> String {
    let (output, text) = run(folder, words);
    assert!(output.status.success(), "{when}: {words}: {text}");
    text
}

/// Records of the journal of a stack called `short`, as far as they are whole.
pub fn records(folder: &Path) -> Vec<String> {
    let journal = std::fs::read(folder.join("state/.sim/state/short/journal")).unwrap_or_default();
    let text = String::from_utf8_lossy(&journal).into_owned();
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect()
}

/// Runs a command and kills it as soon as that journal has so many records; whether it still ran.
pub fn kill_at(folder: &Path, words: &str, count: usize) -> bool {
    let mut child = command(folder, words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    let begun = Instant::now();
    while records(folder).len() < count && child.try_wait().expect("alive or not").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it came never to record {count}");
        std::thread::sleep(Duration::from_micros(200));
    }
    let runs = child.try_wait().expect("alive or not").is_none();
    child.kill().ok();
    child.wait().expect("dead");
    runs
}

/// Clusters and pools of the world, by location.
fn books(folder: &Path) -> BTreeMap<String, usize> {
    let world = World::open(&RealDisk, &folder.join("state/.sim")).expect("the world is free");
    let mut books = BTreeMap::new();
    for section in ["google/clusters", "google/compute/instanceGroupManagers"] {
        for (key, _) in world.section(section) {
            let zone = ["europe-west4-a", "us-central1-a"].into_iter().find(|zone| key.contains(zone)).unwrap_or("?");
            *books.entry(format!("{section} {zone}")).or_insert(0) += 1;
        }
    }
    books.insert("disks".to_owned(), world.section("google/compute/disks").len());
    books
}

#[test]
fn a_move_that_is_killed_anywhere_ends_in_one_place() {
    let calm = furnished();
    ok(calm.path(), "apply --sim --auto-approve", "undisturbed");
    let expected = books(calm.path());
    assert_eq!(expected.get("google/clusters us-central1-a"), Some(&1), "{expected:?}");
    assert_eq!(expected.get("google/clusters europe-west4-a"), None, "{expected:?}");
    let all = records(calm.path()).len();
    // Twice as many where one location is left for the other.
    let step = if is_long() { 1 } else { 3 };
    let mut killed = 0;
    for (number, count) in (1..all).step_by(step).enumerate() {
        let folder = furnished();
        let folder = folder.path();
        killed += usize::from(kill_at(folder, "apply --sim --auto-approve", count));
        let when = format!("killed at record {count} of {all}");
        if number % 2 == 0 {
            ok(folder, "apply --sim --auto-approve", &when);
            assert_eq!(books(folder), expected, "{when}");
            ok(folder, "plan --sim --detailed-exitcode", &when);
            let state = ok(folder, "show --sim --json", &when);
            let state = serde_json::from_str::<Json>(&state).expect("a state");
            assert_eq!(state["placing"]["location"], "us-central1-a", "{when}");
            assert_eq!(state["placing"]["settled"], true, "{when}");
        }
        let text = ok(folder, "destroy --sim --auto-approve", &when);
        assert!(text.contains("0 residual resources") || !text.contains("destroyed."), "{when}: {text}");
        assert_eq!(books(folder), BTreeMap::from([("disks".to_owned(), 0)]), "{when}");
    }
    assert!(killed * 3 >= all / step, "only {killed} runs were killed in time, of {all} records");
}

#[test]
fn a_state_that_is_lost_is_found_where_the_stack_went() {
    let folder = furnished();
    let folder = folder.path();
    let text = ok(folder, "apply --sim --auto-approve --json", "at first");
    let line = text.lines().find(|line| line.contains("location_given_up")).expect("a line of it");
    let line = serde_json::from_str::<Json>(line).expect("JSON");
    assert_eq!(line["location"], "europe-west4-a");
    assert_eq!(line["next"], "us-central1-a");
    std::fs::remove_dir_all(folder.join("state/.sim/state")).expect("removed");
    let (output, text) = run(folder, "apply --sim --auto-approve");
    assert!(!output.status.success() && text.contains("whose state is not here"), "{text}");
    ok(folder, "state rebuild --sim --auto-approve stack.toml", "rebuilt");
    let text = ok(folder, "plan --sim --detailed-exitcode", "rebuilt");
    assert!(text.contains("No changes."), "{text}");
    ok(folder, "destroy --sim --auto-approve", "rebuilt");
    assert_eq!(books(folder), BTreeMap::from([("disks".to_owned(), 0)]));
}
