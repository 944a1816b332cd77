//! The mistakes of the scripts that this program takes the place of, each with the name of what went wrong there.
//!
//! Those that take a whole stack are scenarios: `stock-out`, `second-run`, `failed-delete`, `running-is-not-ready`,
//! `fallback`. That health was checked with `curl -k`, which believes any certificate: `openai_client`.

use std::path::Path;
use std::process::{Command, Stdio};

use stackwright::env::disk::RealDisk;
use stackwright::sim::world::World;

const STACK: &str = r#"
name = "short"
[cluster]
project = "sim-project"
location = "europe-west4-a"
[node_pools.gpu]
accelerator = "nvidia-t4"
"#;

fn furnished(faults: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("tempdir");
    std::fs::create_dir_all(folder.path().join("state/.sim")).expect("made");
    std::fs::write(folder.path().join("stack.toml"), STACK).expect("written");
    let rules = format!(r#"{{"faults": [{faults}]}}"#);
    std::fs::write(folder.path().join("state/.sim/faults.json"), rules).expect("written");
    folder
}

fn run(folder: &Path, words: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackwright"));
    command.args(words.split(' ')).current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null());
    let output = command.output().expect("the program starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn books(folder: &Path) -> (usize, usize) {
    let world = World::open(&RealDisk, &folder.join("state/.sim")).expect("the world is free");
    (world.section("google/clusters").len(), world.section("google/compute/instanceGroupManagers").len())
}

/// `set -e` ended the script before the branch that was to deal with a stock-out.
#[test]
fn a_stock_out_is_told_with_what_goes_on_costing_and_the_way_out() {
    let folder = furnished(r#"{"kind": "stockout", "accelerator": "nvidia-tesla-t4"}"#);
    let (fine, text) = run(folder.path(), "apply --sim --auto-approve");
    assert!(!fine && text.contains("node_pools.gpu") && text.contains("does not have enough resources"), "{text}");
    assert!(text.contains("fallback_locations") && text.contains("Cost while it runs"), "{text}");
    assert_eq!(books(folder.path()).0, 1, "a cluster that is paid for");
    let (fine, text) = run(folder.path(), "destroy --sim --auto-approve");
    assert!(fine && text.contains("0 residual resources"), "{text}");
    assert_eq!(books(folder.path()), (0, 0));
}

/// The same pool was created by two steps, and most steps failed the second time.
#[test]
fn what_is_there_is_not_made_a_second_time() {
    let folder = furnished("");
    assert!(run(folder.path(), "apply --sim --auto-approve").0);
    let there = books(folder.path());
    let (fine, text) = run(folder.path(), "apply --sim --auto-approve");
    assert!(fine && text.contains("No changes.") && text.contains("0 added, 0 changed, 0 destroyed"), "{text}");
    assert_eq!((there, books(folder.path())), ((1, 2), (1, 2)), "one cluster, its own pool and the one of GPUs");
}

/// "Cleanup complete" was printed whatever had happened.
#[test]
fn a_clean_up_that_failed_is_not_called_complete() {
    let folder = furnished(r#"{"kind": "fail", "operation": "DELETE_CLUSTER", "message": "internal error"}"#);
    assert!(run(folder.path(), "apply --sim --auto-approve").0);
    let (fine, text) = run(folder.path(), "destroy --sim --auto-approve");
    assert!(!fine && text.contains("internal error"), "{text}");
    assert!(!text.contains("complete!") && !text.contains("0 residual"), "{text}");
    assert_eq!(books(folder.path()).0, 1, "it is still there");
    let (fine, text) = run(folder.path(), "destroy --sim --auto-approve");
    assert!(fine && text.contains("0 residual resources"), "{text}");
}
