//! Signals, closed pipes and full disks in the middle of a run: what was begun ends, nothing else begins, and the next
//! run goes on.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Enough to be met in the middle.
const RESOURCES: usize = 1500;

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let rows = RESOURCES / 50;
    let mut text = "name = \"long\"\n".to_owned();
    for row in 0..50 {
        for at in 0..rows {
            let input = match at {
                0 => "1".to_owned(),
                _ => format!("\"${{values.r{row}-{}.id}}\"", at - 1),
            };
            text.push_str(&format!("[values.r{row}-{at}]\ninput = {input}\n"));
        }
    }
    std::fs::write(folder.path().join("stack.toml"), text).expect("written");
    folder
}

/// Whether these tests run under `nohup`: who is started then is not told that the terminal is gone, unless that is
/// taken back.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let program = env!("CARGO_BIN_EXE_stackwright");
    let mut command = if hangups_are_ignored() { Command::new("/usr/bin/env") } else { Command::new(program) };
    if hangups_are_ignored() {
        command.args(["--default-signal=HUP", program]);
    }
    command.args(words).current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null());
    command
}

/// Starts an apply and waits until it has begun to change something.
fn begun(folder: &Path) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut run = command(folder, &["apply", "--auto-approve", "--trace", "trace.json"]);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
    let mut said = BufReader::new(child.stderr.take().expect("standard error"));
    let mut line = String::new();
    while !line.contains("Creation complete") {
        line.clear();
        assert!(said.read_line(&mut line).expect("text") > 0, "it ended before it had begun");
    }
    (child, said)
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

fn recorded(folder: &Path) -> usize {
    let output = command(folder, &["state", "list"]).output().expect("ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().count()
}

/// Everything is there after one more run, and then nothing is left to do.
fn goes_on(folder: &Path) {
    let output = command(folder, &["apply", "--auto-approve"]).output().expect("ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(recorded(folder), RESOURCES);
    let plan = command(folder, &["plan", "--detailed-exitcode"]).output().expect("ran");
    assert_eq!(plan.status.code(), Some(0), "{}", String::from_utf8_lossy(&plan.stdout));
}

/// A run that was met by the signals in its middle. On a busy machine one may be over before they are sent: another is
/// begun then.
fn met(signals: &[&str]) -> (tempfile::TempDir, std::process::ExitStatus, String) {
    for _ in 0..8 {
        let folder = prepare();
        let (mut child, said) = begun(folder.path());
        let sent = Instant::now();
        signals.iter().for_each(|signal| send(signal, &child));
        let text = said.lines().map_while(Result::ok).collect::<Vec<_>>().join("\n");
        let status = child.wait().expect("ended");
        assert!(sent.elapsed() < Duration::from_secs(8), "{signals:?}: a cancelled job has ten seconds");
        if !status.success() {
            return (folder, status, text);
        }
    }
    panic!("{signals:?}: each of eight runs went on to its end");
}

#[test]
fn a_signal_ends_a_run_in_order() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let (folder, status, text) = met(&[signal]);
        assert_eq!(status.code(), Some(1), "{signal}: {text}");
        assert!(text.contains("nterrupted"), "{signal}: {text}");
        // What was done until then is drawn up, and the file is whole.
        let trace = std::fs::read_to_string(folder.path().join("trace.json")).expect("a trace");
        let trace = serde_json::from_str::<Vec<serde_json::Value>>(&trace).expect("JSON");
        let count = |phase: &str| trace.iter().filter(|event| event["ph"] == phase).count();
        assert!(trace.iter().any(|event| event["name"] == "interrupted: finishing"), "{signal}");
        assert!(count("B") > 1 && count("B") == count("E"), "{signal}");
        // Nothing is pending: what was begun has ended.
        let state = command(folder.path(), &["state", "pull"]).output().expect("ran");
        let state = String::from_utf8_lossy(&state.stdout).into_owned();
        assert!(!state.contains("\"pending\""), "{signal}: {state}");
        let before = recorded(folder.path());
        assert!(before > 0 && before < RESOURCES, "{signal}: {before}");
        goes_on(folder.path());
    }
}

#[test]
fn a_second_signal_leaves_at_once_and_loses_nothing() {
    let (folder, ..) = met(&["-INT", "-TERM"]);
    goes_on(folder.path());
}

#[test]
fn nobody_needs_to_listen() {
    let folder = prepare();
    let mut run = command(folder.path(), &["apply", "--auto-approve", "-vv"]);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().expect("ended").success(), "closed pipes");
    assert_eq!(recorded(folder.path()), RESOURCES);
    let folder = prepare();
    let mut run = command(folder.path(), &["apply", "--auto-approve", "--json"]);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("standard output")).read_line(&mut first).expect("text");
    drop(child.stderr.take());
    assert!(child.wait().expect("ended").success(), "after {first}");
    assert_eq!(recorded(folder.path()), RESOURCES);
}

#[test]
fn under_nohup_the_end_of_the_terminal_is_nothing() {
    let folder = prepare();
    let script = format!("trap '' HUP; exec {} apply --auto-approve", env!("CARGO_BIN_EXE_stackwright"));
    let mut run = Command::new("sh");
    run.args(["-c", &script]).current_dir(folder.path()).env_clear().env("HOME", folder.path());
    let mut child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
    let mut said = BufReader::new(child.stderr.take().expect("standard error"));
    let mut line = String::new();
    while !line.contains("Creation complete") {
        line.clear();
        assert!(said.read_line(&mut line).expect("text") > 0, "it ended before it had begun");
    }
    send("-HUP", &child);
    let text = said.lines().map_while(Result::ok).collect::<Vec<_>>().join("\n");
    assert!(child.wait().expect("ended").success(), "{text}");
    assert_eq!(recorded(folder.path()), RESOURCES);
}
