//! A real SIGKILL in the middle of a real process, again and again; afterwards everything is there once.
//!
//! A hundred kills at random times: of runs that make the shipped stacks, of runs that take them away, and of a graph of
//! values. `STACKWRIGHT_LONG=1` has a thousand, `STACKWRIGHT_KILLS` so many.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use stackwright::env::disk::RealDisk;
use stackwright::env::random::SeededRandom;
use stackwright::sim::world::World;

use crate::lab::{STACKS, is_long};

fn start(folder: &Path, words: &[impl AsRef<OsStr>]) -> std::process::Child {
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

/// What is brought about, and what must be there afterwards.
struct Subject {
    /// The command that is killed; it says a line of JSON for each step.
    words: Vec<String>,
    /// A plan, which must be empty afterwards.
    check: Vec<String>,
    prepare: Box<dyn Fn(&Path) + Send>,
    /// What there is, counted.
    books: fn(&Path) -> BTreeMap<String, usize>,
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A shipped stack: being made, and being taken away.
fn shipped(stack: &'static str) -> [Subject; 2] {
    let prepare = move |folder: &Path| {
        std::fs::write(folder.join(format!("{stack}.toml")), crate::lab::text(stack)).expect("written");
    };
    let books = |folder: &Path| {
        let world = World::open(&RealDisk, &folder.join("state/.sim")).expect("the world is free");
        let wanted =
            ["google/clusters", "google/nodePools", "google/compute/forwardingRules", "google/compute/instances"];
        wanted.iter().map(|section| ((*section).to_owned(), world.section(section).len())).collect()
    };
    let make = words(&format!("apply {stack}.toml --sim --auto-approve --json"));
    let made = {
        let make = make.clone();
        move |folder: &Path| {
            prepare(folder);
            finish(folder, &make);
        }
    };
    let check = |flag: &str| words(&format!("plan {stack}.toml --sim --detailed-exitcode{flag}"));
    [
        Subject { words: make, check: check(""), prepare: Box::new(prepare), books },
        Subject {
            words: words(&format!("destroy {stack}.toml --sim --auto-approve --json")),
            check: check(" --destroy"),
            prepare: Box::new(made),
            books,
        },
    ]
}

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

fn values() -> Subject {
    Subject {
        words: words("apply stack.toml --auto-approve --json"),
        check: words("plan stack.toml --detailed-exitcode"),
        prepare: Box::new(|folder| graph(folder, 300)),
        books: |folder| {
            let output = start(folder, &["state", "pull"]).wait_with_output().expect("ran");
            let state = serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("a state");
            let resources = state["resources"].as_object().expect("resources");
            let ids = resources.values().filter_map(|r| r["id"].as_str()).collect::<std::collections::BTreeSet<_>>();
            BTreeMap::from([("values".to_owned(), resources.len()), ("ids".to_owned(), ids.len())])
        },
    }
}

/// Runs to the end; the lines that it says.
fn finish(folder: &Path, command: &[String]) -> u64 {
    let output = start(folder, command).wait_with_output().expect("ran");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().count() as u64
}

/// Kills one run: at any time before it says anything, or after so many lines and a moment. Whether it still ran.
fn strike(folder: &Path, subject: &Subject, lines: u64, random: &SeededRandom) -> bool {
    let mut child = start(folder, &subject.words);
    // Nobody reads what it says besides.
    drop(child.stderr.take());
    let mut said = BufReader::new(child.stdout.take().expect("standard output"));
    let wanted = (!random.next().is_multiple_of(4)).then(|| 1 + random.next() % lines);
    let mut line = String::new();
    for _ in 0..wanted.unwrap_or(0) {
        if said.read_line(&mut line).is_ok_and(|length| length == 0) {
            break;
        }
    }
    let most = if wanted.is_some() { 30 } else { 600 };
    std::thread::sleep(Duration::from_millis(random.next() % most));
    let runs = child.try_wait().expect("alive or not").is_none();
    child.kill().ok();
    child.wait().expect("dead");
    runs
}

/// Kills runs until so many were struck while they ran: in one world, until a run comes to its end, and then in others;
/// looks at each world in the end.
fn kill(subject: &Subject, kills: usize, seed: u64) -> usize {
    let calm = tempfile::tempdir().expect("tempdir");
    (subject.prepare)(calm.path());
    let lines = finish(calm.path(), &subject.words);
    let expected = (subject.books)(calm.path());
    let random = SeededRandom::new(seed);
    let mut struck = 0;
    for _ in 0..4 * kills {
        if struck == kills {
            break;
        }
        let folder = tempfile::tempdir().expect("tempdir");
        (subject.prepare)(folder.path());
        // A world has about a dozen of them.
        while struck < kills && strike(folder.path(), subject, (lines / 6).max(1), &random) {
            struck += 1;
        }
        finish(folder.path(), &subject.words);
        assert_eq!((subject.books)(folder.path()), expected, "{:?}, seed {seed}, {struck} kills", subject.words);
        let plan = start(folder.path(), &subject.check).wait_with_output().expect("ran");
        let text = String::from_utf8_lossy(&plan.stdout);
        assert_eq!(plan.status.code(), Some(0), "{:?}, seed {seed}, {struck} kills: {text}", subject.words);
    }
    struck
}

#[test]
fn whatever_is_killed_is_finished_by_the_next_run() {
    let asked = std::env::var("STACKWRIGHT_KILLS").ok().and_then(|kills| kills.parse::<usize>().ok());
    let kills = asked.unwrap_or(if is_long() { 1000 } else { 100 });
    let begun = Instant::now();
    let mut series = vec![(values(), 16)];
    for [made, gone] in STACKS.map(shipped) {
        series.extend([(made, 16), (gone, 5)]);
    }
    let series = series.into_iter().enumerate().map(|(at, (subject, share))| (at as u64, subject, kills * share / 100));
    // The last ones are the longest.
    let (work, struck) = (Mutex::new(series.collect::<Vec<_>>()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((seed, subject, wanted)) = work.lock().expect("work").pop() else { break };
                    let met = kill(&subject, wanted, seed + 1);
                    println!("{}: {met} of {wanted} killed, {} s", subject.words.join(" "), begun.elapsed().as_secs());
                    assert_eq!(met, wanted, "too many processes had ended before they were killed");
                    *struck.lock().expect("a number") += met;
                }
            });
        }
    });
    println!("{} killed, {} s", struck.into_inner().expect("a number"), begun.elapsed().as_secs());
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
        let mut child = start(folder.path(), &["apply", "stack.toml", "--auto-approve"]);
        let mut said = BufReader::new(child.stderr.take().expect("standard error"));
        drop(child.stdout.take());
        let (mut finished, stop) = (Vec::new(), 100 + usize::try_from(random.next() % 700).expect("small"));
        let mut line = String::new();
        while finished.len() < stop && said.read_line(&mut line).is_ok_and(|n| n > 0) {
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
