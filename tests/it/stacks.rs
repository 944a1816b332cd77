//! The shipped stacks through their whole life, as a user types it: apply, no changes, one edit, destroy.

use std::path::Path;
use std::process::{Command, Output};

use stackwright::env::disk::RealDisk;
use stackwright::sim::world::World;

use crate::lab::{PRODUCTION, STACKS};

/// A folder with a stack, and where its charts are.
pub struct Place<'p> {
    /// The folder.
    pub folder: &'p Path,
    /// Where its charts are; stand-ins without.
    pub charts: Option<&'p Path>,
}

fn stackwright(place: &Place<'_>, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(arguments)
        .current_dir(place.folder)
        .env_clear()
        .env("HOME", place.folder)
        .envs(place.charts.map(|charts| ("STACKWRIGHT_CHARTS", charts)))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts")
}

/// Runs and wants success; returns standard output and standard error.
pub fn done(place: &Place<'_>, arguments: &[&str]) -> (String, String) {
    let output = stackwright(place, arguments);
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

/// The life of a shipped stack, with the charts of a folder or with stand-ins.
pub fn life(name: &str, charts: Option<&Path>) {
    let folder = tempfile::tempdir().expect("tempdir");
    let folder = folder.path();
    let place = Place { folder, charts };
    let file = format!("{name}.toml");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(&file), folder.join(&file)).expect("copy");
    let (out, err) = done(&place, &["apply", &file, "--sim", "--auto-approve"]);
    assert!(err.contains("Apply complete! Resources: "), "{err}");
    assert!(err.contains(" answered after "), "no completion:\n{err}");
    assert!(err.contains(": first token after 0."), "no time to the first token:\n{err}");
    assert_eq!(out.contains("stand-in"), charts.is_none(), "{out}");
    let (out, _) = done(&place, &["apply", &file, "--sim", "--auto-approve"]);
    assert!(out.contains("No changes."), "{out}");
    let (out, _) = done(&place, &["status", &file, "--sim"]);
    assert!(out.contains("completion: first token after"), "{out}");
    lose_and_rebuild(&place, &file);
    let text = std::fs::read_to_string(folder.join(&file)).expect("readable");
    let pool = text.find("[node_pools.").expect("a pool");
    let nodes = if text[pool..].contains("nodes = 1") { 1 } else { 3 };
    let (from, to) = (format!("nodes = {nodes}"), format!("nodes = {}", nodes + 1));
    let edited = format!("{}{}", &text[..pool], text[pool..].replacen(&from, &to, 1));
    assert_ne!(text, edited);
    std::fs::write(folder.join(&file), edited).expect("writable");
    let (out, _) = done(&place, &["plan", &file, "--sim"]);
    assert!(out.contains("Plan: 0 to add, 1 to change, 0 to destroy."), "{out}");
    assert!(out.contains(&format!("nodes = {nodes} -> {}", nodes + 1)), "{out}");
    let (_, err) = done(&place, &["apply", &file, "--sim", "--auto-approve"]);
    assert!(err.contains("Resources: 0 added, 1 changed, 0 destroyed."), "{err}");
    let (_, err) = done(&place, &["destroy", &file, "--sim", "--auto-approve"]);
    assert!(err.contains("Destroy complete!") && err.contains("0 residual resources"), "{err}");
    assert_eq!(remains(&folder.join("state/.sim")), Vec::<String>::new());
    let (out, _) = done(&place, &["plan", &file, "--sim", "--destroy"]);
    assert!(out.contains("No changes."), "{out}");
}

/// A state that is lost is missed, and made again from what is there: nothing is to be added, changed or destroyed.
fn lose_and_rebuild(place: &Place<'_>, file: &str) {
    let (before, _) = done(place, &["state", "list", file, "--sim"]);
    let states = place.folder.join("state/.sim/state");
    for entry in std::fs::read_dir(&states).expect("states").flatten() {
        let path = entry.path();
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.expect("removed");
    }
    for arguments in [&["plan", file, "--sim"][..], &["destroy", file, "--sim", "--auto-approve"]] {
        let output = stackwright(place, arguments);
        let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        let way_out = format!("`stackwright state rebuild {file} --sim`");
        assert!(!output.status.success() && said.contains(&way_out), "{arguments:?}: {said}");
    }
    let (out, _) = done(place, &["state", "rebuild", file, "--sim", "--auto-approve"]);
    assert!(out.contains("all as the stack wants them"), "{out}");
    let (out, _) = done(place, &["plan", file, "--sim"]);
    assert!(out.contains("No changes."), "{out}");
    assert_eq!(done(place, &["state", "list", file, "--sim"]).0, before);
}

#[test]
fn gpu_t4() {
    life(STACKS[0], None);
}

#[test]
fn tpu_v6e() {
    life(STACKS[1], None);
}

#[test]
fn rhaii_gpu_t4() {
    life(STACKS[2], None);
}

#[test]
fn rhaii_tpu_v6e() {
    life(STACKS[3], None);
}

#[test]
fn gpu_t4_production() {
    life(PRODUCTION[0], None);
}

#[test]
fn tpu_v6e_production() {
    life(PRODUCTION[1], None);
}

#[test]
fn each_is_short() {
    for name in STACKS.into_iter().chain(PRODUCTION) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(format!("{name}.toml"));
        let lines = std::fs::read_to_string(path).expect("readable").lines().count();
        assert!(lines < 80, "{name} has {lines} lines");
    }
}
