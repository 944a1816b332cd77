//! The shipped stacks, paused and resumed as a user types it: the nodes go, nothing else is touched, and the model
//! answers again.

use std::path::Path;
use std::process::Command;

use stackwright::env::disk::RealDisk;
use stackwright::sim::world::World;

/// Runs in `folder` and wants success; returns both outputs, one after the other.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {:?}\n{text}", output.status);
    text
}

/// Virtual machines of the simulated cloud with this in their names.
fn machines(folder: &Path, part: &str) -> usize {
    let world = World::open(&RealDisk, &folder.join("state/.sim")).expect("the world is free");
    let sections = world.sections("google/").into_iter().filter(|section| section.ends_with("/instances"));
    sections.flat_map(|section| world.section(&section).into_keys()).filter(|key| key.contains(part)).count()
}

fn rests(name: &str, pool: &str) {
    let folder = tempfile::tempdir().expect("tempdir");
    let folder = folder.path();
    let file = format!("{name}.toml");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(&file), folder.join(&file)).expect("copy");
    done(folder, &["apply", &file, "--sim", "--auto-approve"]);
    let nodes = format!("-{name}-{pool}-");
    let all = machines(folder, "");
    assert_eq!(machines(folder, &nodes), 1, "of {all}");
    let text = done(folder, &["pause", &file, "--sim", "--auto-approve"]);
    assert!(text.contains(&format!("Paused. node_pools.{pool}: 1 -> 0 nodes.")), "{text}");
    assert_eq!((machines(folder, &nodes), machines(folder, "")), (0, all - 1));
    let text = done(folder, &["plan", &file, "--sim", "--detailed-exitcode"]);
    assert!(text.contains("This stack is paused") && text.contains("No changes."), "{text}");
    let text = done(folder, &["resume", &file, "--sim", "--auto-approve"]);
    assert!(text.contains(&format!("Resumed. node_pools.{pool}: 0 -> 1 nodes.")), "{text}");
    assert!(text.contains(" answers: "), "{text}");
    assert_eq!(machines(folder, &nodes), 1);
    let text = done(folder, &["status", &file, "--sim"]);
    assert!(text.contains("completion: first token after"), "{text}");
    let text = done(folder, &["plan", &file, "--sim", "--detailed-exitcode"]);
    assert!(!text.contains("paused:") && text.contains("No changes."), "{text}");
}

#[test]
fn a_gpu_rests_and_answers_again() {
    rests("gpu-t4", "gpu");
}

#[test]
fn a_tpu_rests_and_answers_again() {
    rests("tpu-v6e", "tpu");
}
