//! A real SIGKILL in the middle of a real process, again and again; afterwards everything is there once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stackwright::env::disk::RealDisk;
use stackwright::sim::world::World;

use crate::lab::is_long;

fn start(folder: &Path) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(["apply", "gpu-t4.toml", "--sim", "--auto-approve"])
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn prepare(folder: &Path) {
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/gpu-t4.toml");
    std::fs::copy(stack, folder.join("gpu-t4.toml")).expect("copy");
}

/// How many of each collection the simulated cloud has, and how often an object of one name was made.
fn books(folder: &Path) -> BTreeMap<String, usize> {
    let world = World::open(&RealDisk, &folder.join("state/.sim")).expect("the world is free");
    let wanted = ["google/clusters", "google/nodePools", "google/compute/forwardingRules", "google/compute/instances"];
    wanted.iter().map(|section| ((*section).to_owned(), world.section(section).len())).collect()
}

#[test]
fn whatever_is_killed_is_finished_by_the_next_run() {
    let calm = tempfile::tempdir().expect("tempdir");
    prepare(calm.path());
    let begun = Instant::now();
    let output = start(calm.path()).wait_with_output().expect("ran");
    let whole = begun.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = books(calm.path());
    // Several kills a world, each somewhere else in what is left to do: 40 in all, 1,000 in the long form.
    let (worlds, kills) = if is_long() { (250, 4) } else { (10, 4) };
    let mut struck = 0;
    for number in 0..worlds {
        let folder = tempfile::tempdir().expect("tempdir");
        prepare(folder.path());
        for kill in 0..kills {
            let mut child = start(folder.path());
            let share = f64::from(number * kills + kill + 1) / f64::from(worlds * kills + 1);
            // Later runs of a world have less left to do.
            std::thread::sleep(whole.mul_f64(share / f64::from(kill + 1)).min(whole) + Duration::from_millis(3));
            struck += u32::from(child.try_wait().expect("alive or not").is_none());
            child.kill().ok();
            child.wait().expect("dead");
        }
        let output = start(folder.path()).wait_with_output().expect("ran");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "world {number}: {text}");
        assert_eq!(books(folder.path()), expected, "world {number}");
        let plan = Command::new(env!("CARGO_BIN_EXE_stackwright"))
            .args(["plan", "gpu-t4.toml", "--sim", "--detailed-exitcode"])
            .current_dir(folder.path())
            .env_clear()
            .output()
            .expect("ran");
        assert_eq!(plan.status.code(), Some(0), "world {number}: {}", String::from_utf8_lossy(&plan.stdout));
    }
    assert!(struck * 2 > u32::try_from(worlds * kills).expect("small"), "only {struck} processes were still running");
}
