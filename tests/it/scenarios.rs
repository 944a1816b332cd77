//! Scenarios: each folder under `tests/scenarios` is a test that needs no Rust.
//!
//! `script` holds one command per line, `expected.txt` everything they print with their exit codes.
//! `$ stackwright …` runs the program, `> FILE` with the lines up to `<` writes a file, `replace FILE OLD NEW`
//! edits one, `copy FROM TO` copies a shipped stack in. Lines that begin with `#` are for readers.
//! `STACKWRIGHT_BLESS=1 cargo test scenarios` rewrites what is expected; read the difference before keeping it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn scenarios() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut found = std::fs::read_dir(root).expect("scenarios").flatten().map(|e| e.path()).collect::<Vec<_>>();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

/// Splits a command line at spaces, honouring single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("never empty").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What differs between two runs without meaning anything.
fn settle(text: &str, folder: &Path) -> String {
    let mut text = text.replace(&folder.display().to_string(), "FOLDER");
    for (pattern, with) in [
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
        (r"\b[0-9a-f]{64}\b", "HASH"),
        (r"\b[0-9a-f]{32}\b", "ID"),
        (r"\b[0-9a-f]{16}\b", "STACK-ID"),
        (r"\b(gke-[a-z0-9-]+)-[0-9a-f]{8}\b", "$1-SHORT"),
        (r"expired \w+ ago", "expired SOME TIME ago"),
        (r"expires in \w+", "expires in SOME TIME"),
        (r"process \d+ of [^,]+,", "process N of SOMEBODY,"),
        // How far the pods behind it are at that moment depends on times that each world draws.
        (r"(states not ready: \[[a-z-]+\]): DaemonSet .*", "$1"),
        // Kubernetes draws the ends of pods' names from these.
        (r"\b(pod [a-z0-9-]+)-[b-df-hj-np-tv-xz2-9]{5}\b", "$1-DRAWN"),
        // A world's servers are as even as real ones.
        (r"answered after \d+ ms", "answered after SOME ms"),
        (r"first token after \d\.\d+ s, (\d+) tokens in \d\.\d+ s", "first token after SOME s, $1 tokens in SOME s"),
        (r"the first one after \d+ ms", "the first one after SOME ms"),
        (r"operation-\d+-[0-9a-zA-Z-]+", "OPERATION"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    ] {
        text = regex::Regex::new(pattern).expect("pattern").replace_all(&text, with).into_owned();
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

fn run(folder: &Path, line: &str) -> String {
    let words = words(line);
    assert_eq!(words[0], "stackwright", "only stackwright can be run: {line}");
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(&words[1..])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "")
        .env("HOME", folder)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts");
    let mut text = String::new();
    write!(text, "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        .expect("memory");
    let code = output.status.code().map_or("killed".to_owned(), |code| code.to_string());
    if code != "0" {
        writeln!(text, "[exit {code}]").expect("memory");
    }
    text
}

fn play(scenario: &Path) -> String {
    let folder = tempfile::tempdir().expect("tempdir");
    let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks");
    let script = std::fs::read_to_string(scenario.join("script")).expect("a script");
    let mut transcript = String::new();
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        writeln!(transcript, "{line}").expect("memory");
        if let Some(command) = line.strip_prefix("$ ") {
            transcript.push_str(&settle(&run(folder.path(), command), folder.path()));
        } else if let Some(name) = line.strip_prefix("> ") {
            let text = lines.by_ref().take_while(|line| *line != "<").map(|line| format!("{line}\n"));
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            std::fs::write(path, text.collect::<String>()).expect("writable");
        } else if let Some(rest) = line.strip_prefix("replace ") {
            let [file, old, new] = &words(rest)[..] else { panic!("replace FILE OLD NEW: {line}") };
            let path = folder.path().join(file);
            let text = std::fs::read_to_string(&path).expect("readable");
            assert!(text.contains(old.as_str()), "{file} does not hold {old}");
            std::fs::write(&path, text.replacen(old.as_str(), new, 1)).expect("writable");
        } else if let Some(rest) = line.strip_prefix("copy ") {
            let [from, to] = &words(rest)[..] else { panic!("copy FROM TO: {line}") };
            std::fs::copy(stacks.join(from), folder.path().join(to)).expect("a shipped stack");
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "not a command: {line}");
        }
    }
    transcript
}

#[test]
fn scenarios_print_what_is_expected() {
    let bless = std::env::var_os("STACKWRIGHT_BLESS").is_some();
    let mut different = Vec::new();
    let all = scenarios();
    assert!(!all.is_empty(), "there are no scenarios");
    for scenario in all {
        let transcript = play(&scenario);
        let path = scenario.join("expected.txt");
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if bless {
            std::fs::write(&path, &transcript).expect("writable");
        } else if transcript != expected {
            let diff = similar::TextDiff::from_lines(&expected, &transcript);
            let name = scenario.file_name().expect("a name").to_string_lossy().into_owned();
            different.push(format!("{name}:\n{}", diff.unified_diff().header("expected", "printed")));
        }
    }
    assert!(different.is_empty(), "\n{}", different.join("\n"));
}

#[test]
fn no_scenario_is_half_there() {
    for scenario in scenarios() {
        let mut names = std::fs::read_dir(&scenario)
            .expect("readable")
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, ["expected.txt", "script"], "{}", scenario.display());
    }
}
