//! The probe of capacity: a run that is killed while its machine is there leaves nothing that stays: the next run meets it,
//! a destroy and `reap` find it, and Google removes it by itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stackwright::env::disk::RealDisk;
use stackwright::sim::world::World;

const STACK: &str = r#"
name = "short"
[cluster]
project = "sim-project"
location = "europe-west4-a"
probe = true
[node_pools.gpu]
accelerator = "nvidia-t4"
"#;

fn command(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackwright"));
    command.args(words.split(' ')).current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null());
    command
}

fn ok(folder: &Path, words: &str) -> String {
    let output = command(folder, words).output().expect("the program starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words}: {text}");
    text
}

fn machines(folder: &Path) -> Vec<String> {
    let world = World::open(&RealDisk, &folder.join("state/.sim")).expect("the world is free");
    let names = world.section("google/compute/instances").into_keys();
    names.filter(|name| name.contains("stackwright-probe")).collect()
}

/// A folder in which an apply was killed while the machine of its probe was there.
fn killed() -> tempfile::TempDir {
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("tempdir");
        std::fs::write(folder.path().join("stack.toml"), STACK).expect("written");
        let mut child = command(folder.path(), "apply --sim --auto-approve")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("runs");
        let begun = Instant::now();
        let world = folder.path().join("state/.sim/world.jsonl");
        let asked = || std::fs::read_to_string(&world).is_ok_and(|text| text.contains("stackwright-probe"));
        while !asked() && child.try_wait().expect("alive or not").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no machine was asked for");
            std::thread::sleep(Duration::from_micros(100));
        }
        child.kill().ok();
        child.wait().expect("dead");
        if machines(folder.path()).len() == 1 {
            return folder;
        }
    }
    panic!("no run was killed in time");
}

#[test]
fn what_a_killed_probe_leaves_is_met_found_and_reaped() {
    let again = killed();
    ok(again.path(), "apply --sim --auto-approve");
    assert_eq!(machines(again.path()), Vec::<String>::new(), "the next run removes it");

    let gone = killed();
    let text = ok(gone.path(), "destroy --sim --auto-approve --sweep");
    assert!(text.contains("Sweeping instance stackwright-probe-") && text.contains("0 residual"), "{text}");
    assert_eq!(machines(gone.path()), Vec::<String>::new(), "the audit finds it");

    let reaped = killed();
    // Its label says ten minutes; Google, were it to forget, is not waited for.
    let world = World::open(&RealDisk, &reaped.path().join("state/.sim")).expect("the world is free");
    let (key, machine) = world.section("google/compute/instances").into_iter().next().expect("the machine");
    let mut machine = (*machine).clone();
    machine["labels"]["stackwright-expires"] = "1".into();
    world.put("google/compute/instances", &key, machine);
    drop(world);
    let text = ok(reaped.path(), "reap --sim --project sim-project --dry-run");
    assert!(text.contains("left by a probe") && machines(reaped.path()).len() == 1, "{text}");
    let text = ok(reaped.path(), "reap --sim --project sim-project --auto-approve");
    assert!(text.contains("Removed instance stackwright-probe-"), "{text}");
    assert_eq!(machines(reaped.path()), Vec::<String>::new(), "reap removes it");
}
