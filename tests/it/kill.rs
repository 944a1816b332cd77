//! A real SIGKILL in the middle of a real process, again and again; afterwards everything is there once.
//!
//! A hundred kills, an eighth of them on a shipped stack and the others on a graph of values, at random times; the long
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

/// Rows of values, each of which needs the one before.
fn graph(folder: &Path, values: usize) {
    let mut text = "name = \"graph\"\n".to_owned();
    for number in 0..values {
        let input = match number < 100 {
            true => "1".to_owned(),
            false => format!("\"${{values.n{}.id}}\"", number - 100),
        };
        text.push_str(&format!("[values.n{number}]\ninput = {input}\n"));
    }
    std::fs::write(folder.join("stack.toml"), text).expect("written");
}

const GRAPH: Subject = Subject {
    words: &["apply", "stack.toml", "--auto-approve"],
    check: &["plan", "stack.toml", "--detailed-exitcode"],
    prepare: |folder| graph(folder, 300),
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

/// Kills runs in worlds of their own, several times each, until so many were struck while they ran; after each series
/// of kills lets one run end, and looks.
fn kill(subject: &Subject, kills: usize, seed: u64) -> Series {
    let calm = tempfile::tempdir().expect("tempdir");
    (subject.prepare)(calm.path());
    let begun = Instant::now();
    let output = start(calm.path(), subject.words).wait_with_output().expect("ran");
    let whole = begun.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = (subject.books)(calm.path());
    let random = SeededRandom::new(seed);
    let (mut struck, mut tried) = (0, 0);
    while struck < kills && tried < 4 * kills {
        let folder = tempfile::tempdir().expect("tempdir");
        (subject.prepare)(folder.path());
        // What a run has done, the next does not do again: each has less time than the one before.
        let mut left = whole.mul_f64(0.9);
        for _ in 0..10 {
            let mut child = start(folder.path(), subject.words);
            // Nobody reads what it says.
            drop((child.stdout.take(), child.stderr.take()));
            let share = (random.next() % 1000) as f64 / 1000.0;
            std::thread::sleep(left.mul_f64(share));
            left = left.mul_f64(1.0 - share / 2.0);
            tried += 1;
            let over = child.try_wait().expect("alive or not").is_some();
            child.kill().ok();
            child.wait().expect("dead");
            struck += usize::from(!over);
            if over || struck == kills {
                break;
            }
        }
        let output = start(folder.path(), subject.words).wait_with_output().expect("ran");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "seed {seed}, {struck} kills: {text}");
        assert_eq!((subject.books)(folder.path()), expected, "seed {seed}, {struck} kills");
        let plan = start(folder.path(), subject.check).wait_with_output().expect("ran");
        let text = String::from_utf8_lossy(&plan.stdout);
        assert_eq!(plan.status.code(), Some(0), "seed {seed}, {struck} kills: {text}");
    }
    Series { struck, kills }
}

#[test]
fn whatever_is_killed_is_finished_by_the_next_run() {
    let times = if is_long() { 10 } else { 1 };
    let begun = Instant::now();
    let all = std::thread::scope(|scope| {
        let series = [(&SHIPPED, 12 * times, 1), (&GRAPH, 88 * times, 2)];
        let threads = series.map(|(subject, kills, seed)| scope.spawn(move || kill(subject, kills, seed)));
        threads.map(|thread| thread.join().expect("as wanted"))
    });
    for Series { struck, kills } in all {
        println!("{struck} of {kills} were killed, {} s", begun.elapsed().as_secs());
        assert_eq!(struck, kills, "too many processes had ended before they were killed");
    }
}

/// What Terraform is compared with: one kill each, somewhere in the middle; what was finished before stays finished.
#[test]
fn eight_kills_of_a_thousand_values_forget_none() {
    let random = SeededRandom::new(8);
    let mut met = 0;
    for number in 0..8 {
        let folder = tempfile::tempdir().expect("tempdir");
        // As many as Terraform forgot of, in eight of eight kills.
        graph(folder.path(), 1000);
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
