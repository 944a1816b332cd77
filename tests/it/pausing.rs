//! The shipped stacks, paused and resumed as a user types it: the nodes go, nothing else is touched, and the model
//! answers again.

use std::path::Path;
use std::process::Command;

use crate::fallback::{kill_at, records};

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

/// A folder with all that is in it.
fn copied(from: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("made");
        for entry in std::fs::read_dir(from).expect("a folder").flatten() {
            let there = to.join(entry.file_name());
            match entry.path().is_dir() {
                true => copy(&entry.path(), &there),
                false => drop(std::fs::copy(entry.path(), there).expect("copied")),
            }
        }
    }
    let folder = tempfile::tempdir().expect("tempdir");
    copy(from, folder.path());
    folder
}

/// `words` is killed at each record that it writes and run again: it ends as it does undisturbed.
fn survives(begin: &Path, words: &str, nodes: usize) -> tempfile::TempDir {
    let arguments = words.split(' ').collect::<Vec<_>>();
    let before = records(begin).len();
    let calm = copied(begin);
    done(calm.path(), &arguments);
    let all = records(calm.path()).len();
    assert!(all > before + 2, "{words} wrote {} records", all - before);
    let mut killed = 0;
    for count in before + 1..=all {
        let folder = copied(begin);
        killed += usize::from(kill_at(folder.path(), words, count));
        done(folder.path(), &arguments);
        assert_eq!(machines(folder.path(), "-short-gpu-"), nodes, "{words}, killed at record {count} of {all}");
        let plan = done(folder.path(), &["plan", "--sim", "--detailed-exitcode"]);
        assert!(plan.contains("No changes."), "{words}, killed at record {count}: {plan}");
    }
    assert!(killed > 0, "{words} was never killed in time");
    calm
}

#[test]
fn a_pause_and_its_end_survive_every_kill() {
    let folder = tempfile::tempdir().expect("tempdir");
    let text = "name = \"short\"\n[cluster]\nproject = \"sim-project\"\nlocation = \"europe-west4-a\"\n\
                [node_pools.gpu]\naccelerator = \"nvidia-t4\"\n";
    std::fs::write(folder.path().join("stack.toml"), text).expect("written");
    done(folder.path(), &["apply", "--sim", "--auto-approve"]);
    let paused = survives(folder.path(), "pause --sim --auto-approve", 0);
    survives(paused.path(), "resume --sim --auto-approve", 1);
}
