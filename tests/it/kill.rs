//! A real SIGKILL in the middle of a real process, again and again; afterwards everything is there once.
//!
//! A hundred kills, a fifth of them on a shipped stack and the others on a graph of values, at random times; the long
//! form has a thousand.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use stackwright::env::disk::RealDisk;
use stackwright::env::random::SeededRandom;
use stackwright::sim::world::World;

use crate::lab::is_long;

fn start(folder: &Path, words: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// What a kind of world is, and what must be in it afterwards.
struct Subject {
    words: &'static [&'static str],
    check: &'static [&'static str],
    prepare: fn(&Path),
    /// What there is, counted.
    books: fn(&Path) -> BTreeMap<String, usize>,
}

const SHIPPED: Subject = Subject {
    words: &["apply", "gpu-t4.toml", "--sim", "--auto-approve"],
    check: &["plan", "gpu-t4.toml", "--sim", "--detailed-exitcode"],
    prepare: |folder| {
        let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/gpu-t4.toml");
        std::fs::copy(stack, folder.join("gpu-t4.toml")).expect("copy");
    },
    books: |folder| {
        let world = World::open(&RealDisk, &folder.join("state/.sim")).expect("the world is free");
        let wanted =
            ["google/clusters", "google/nodePools", "google/compute/forwardingRules", "google/compute/instances"];
        wanted.iter().map(|section| ((*section).to_owned(), world.section(section).len())).collect()
    },
};

/// As many as Terraform forgot of, in eight of eight kills: rows of values, each of which needs the one before.
const VALUES: usize = 1000;

const GRAPH: Subject = Subject {
    words: &["apply", "stack.toml", "--auto-approve"],
    check: &["plan", "stack.toml", "--detailed-exitcode"],
    prepare: |folder| {
        let mut text = "name = \"graph\"\n".to_owned();
        for number in 0..VALUES {
            let input = match number < 100 {
                true => "1".to_owned(),
                false => format!("\"${{values.n{}.id}}\"", number - 100),
            };
            text.push_str(&format!("[values.n{number}]\ninput = {input}\n"));
        }
        std::fs::write(folder.join("stack.toml"), text).expect("written");
    },
    books: |folder| {
        let output = start(folder, &["state", "pull"]).wait_with_output().expect("ran");
        let state = serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("a state");
        let resources = state["resources"].as_object().expect("resources");
        let ids = resources.values().filter_map(|r| r["id"].as_str()).collect::<std::collections::BTreeSet<_>>();
        BTreeMap::from([("values".to_owned(), resources.len()), ("ids".to_owned(), ids.len())])
    },
};

/// How many processes were killed, and how many of them were still running.
struct Series {
    struck: usize,
    kills: usize,
}

/// Kills runs in worlds of their own, several times each; then lets one end, and looks.
fn kill(subject: &Subject, worlds: usize, kills: usize, seed: u64) -> Series {
    let calm = tempfile::tempdir().expect("tempdir");
    (subject.prepare)(calm.path());
    let begun = Instant::now();
    let output = start(calm.path(), subject.words).wait_with_output().expect("ran");
    let whole = begun.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = (subject.books)(calm.path());
    let random = SeededRandom::new(seed);
    let mut struck = 0;
    for number in 0..worlds {
        let folder = tempfile::tempdir().expect("tempdir");
        (subject.prepare)(folder.path());
        for kill in 0..kills {
            let mut child = start(folder.path(), subject.words);
            // Nobody reads what it says; a full pipe must not hold it up.
            drop((child.stdout.take(), child.stderr.take()));
            let share = (random.next() % 1000) as f64 / 1000.0;
            // Later runs of a world have less left to do.
            std::thread::sleep(whole.mul_f64(share / f64::from(u32::try_from(kill).expect("few") + 1)));
            struck += usize::from(child.try_wait().expect("alive or not").is_none());
            child.kill().ok();
            child.wait().expect("dead");
        }
        let output = start(folder.path(), subject.words).wait_with_output().expect("ran");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "seed {seed}, world {number}: {text}");
        assert_eq!((subject.books)(folder.path()), expected, "seed {seed}, world {number}");
        let plan = start(folder.path(), subject.check).wait_with_output().expect("ran");
        let text = String::from_utf8_lossy(&plan.stdout);
        assert_eq!(plan.status.code(), Some(0), "seed {seed}, world {number}: {text}");
    }
    Series { struck, kills: worlds * kills }
}

#[test]
fn whatever_is_killed_is_finished_by_the_next_run() {
    let times = if is_long() { 10 } else { 1 };
    let begun = Instant::now();
    let all = std::thread::scope(|scope| {
        let series = [(&SHIPPED, 5 * times, 4, 1), (&GRAPH, 8 * times, 10, 2)];
        let threads =
            series.map(|(subject, worlds, kills, seed)| scope.spawn(move || kill(subject, worlds, kills, seed)));
        threads.map(|thread| thread.join().expect("as wanted"))
    });
    for Series { struck, kills } in all {
        println!("{struck} of {kills} were still running, {} s", begun.elapsed().as_secs());
        assert!(struck * 3 > kills, "only {struck} of {kills} processes were still running");
    }
}

/// What Terraform is compared with: one kill each, somewhere in the middle; what was finished before stays finished.
#[test]
fn eight_kills_of_a_thousand_values_forget_none() {
    let random = SeededRandom::new(8);
    let mut met = 0;
    for number in 0..8 {
        let folder = tempfile::tempdir().expect("tempdir");
        (GRAPH.prepare)(folder.path());
        let mut child = start(folder.path(), GRAPH.words);
        let mut said = std::io::BufReader::new(child.stderr.take().expect("standard error"));
        drop(child.stdout.take());
        let (mut finished, stop) = (Vec::new(), 100 + usize::try_from(random.next() % 700).expect("small"));
        let mut line = String::new();
        while finished.len() < stop && std::io::BufRead::read_line(&mut said, &mut line).is_ok_and(|n| n > 0) {
            if let Some((address, _)) = line.split_once(": Creation complete") {
                finished.push(address.to_owned());
            }
            line.clear();
        }
        met += usize::from(child.try_wait().expect("alive or not").is_none());
        child.kill().ok();
        child.wait().expect("dead");
        let list = start(folder.path(), &["state", "list"]).wait_with_output().expect("ran");
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let list = list.lines().collect::<std::collections::BTreeSet<_>>();
        let forgotten = finished.iter().filter(|address| !list.contains(address.as_str())).count();
        assert_eq!(forgotten, 0, "run {number}, killed after {} had been finished", finished.len());
    }
    assert!(met > 4, "only {met} of 8 runs were killed in the middle");
}
