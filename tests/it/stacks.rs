//! The shipped stacks through their whole life, as a user types it: apply, no changes, one edit, destroy.

use std::path::Path;
use std::process::{Command, Output};

use stackwright::env::disk::RealDisk;
use stackwright::sim::world::World;

use crate::lab::STACKS;

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

/// Runs and wants success; returns standard output and standard error.
fn done(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = stackwright(folder, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {:?}\n{out}\n{err}", output.status);
    (out, err)
}

/// Documents of the simulated cloud that cost money or were made by somebody, by section.
pub fn remains(world: &Path) -> Vec<String> {
    let world = World::open(&RealDisk, world).expect("the world is free");
    let mut left = Vec::new();
    for section in world.sections("google/").into_iter().chain(world.sections("kube/")) {
        // Operations stay readable for a while, and networks are there from the beginning.
        if ["operations", "networks", "subnetworks", "routes", "faults", "counters"].iter().any(|s| section.contains(s))
        {
            continue;
        }
        // Every project has the default network's firewalls.
        let made = world.section(&section).into_keys().filter(|key| !key.contains("/default-"));
        left.extend(made.map(|key| format!("{section}: {key}")));
    }
    left
}

fn life(name: &str) {
    let folder = tempfile::tempdir().expect("tempdir");
    let folder = folder.path();
    let file = format!("{name}.toml");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(&file), folder.join(&file)).expect("copy");
    let (_, err) = done(folder, &["apply", &file, "--sim", "--auto-approve"]);
    assert!(err.contains("Apply complete! Resources: "), "{err}");
    assert!(err.contains(" answered after "), "no completion:\n{err}");
    let (out, _) = done(folder, &["apply", &file, "--sim", "--auto-approve"]);
    assert!(out.contains("No changes."), "{out}");
    let (out, _) = done(folder, &["status", &file, "--sim"]);
    assert!(out.contains("answered in"), "{out}");
    let text = std::fs::read_to_string(folder.join(&file)).expect("readable");
    let pool = text.find("[node_pools.").expect("a pool");
    let edited = format!("{}{}", &text[..pool], text[pool..].replacen("nodes = 1", "nodes = 2", 1));
    assert_ne!(text, edited);
    std::fs::write(folder.join(&file), edited).expect("writable");
    let (out, _) = done(folder, &["plan", &file, "--sim"]);
    assert!(out.contains("Plan: 0 to add, 1 to change, 0 to destroy."), "{out}");
    assert!(out.contains("nodes = 1 -> 2"), "{out}");
    let (_, err) = done(folder, &["apply", &file, "--sim", "--auto-approve"]);
    assert!(err.contains("Resources: 0 added, 1 changed, 0 destroyed."), "{err}");
    let (_, err) = done(folder, &["destroy", &file, "--sim", "--auto-approve"]);
    assert!(err.contains("Destroy complete!") && err.contains("0 residual resources"), "{err}");
    assert_eq!(remains(&folder.join("state/.sim")), Vec::<String>::new());
    let (out, _) = done(folder, &["plan", &file, "--sim", "--destroy"]);
    assert!(out.contains("No changes."), "{out}");
}

#[test]
fn gpu_t4() {
    life(STACKS[0]);
}

#[test]
fn tpu_v6e() {
    life(STACKS[1]);
}

#[test]
fn rhaii_gpu_t4() {
    life(STACKS[2]);
}

#[test]
fn rhaii_tpu_v6e() {
    life(STACKS[3]);
}

#[test]
fn each_is_short() {
    for name in STACKS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(format!("{name}.toml"));
        let lines = std::fs::read_to_string(path).expect("readable").lines().count();
        assert!(lines < 80, "{name} has {lines} lines");
    }
}
