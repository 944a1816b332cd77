//! Every command and every flag that can be typed is shown to do something.
//!
//! A flag of a command counts as shown when a scenario uses it (what it prints is compared), when [`PROBES`] make the command
//! fail in the flag's own way and in no other, or when [`ELSEWHERE`] names a test that asserts what it changes. Whatever
//! is in none of these fails here; so does a row that has become needless or untrue.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// (command, flag, file under `tests/it`, the test that asserts what it changes).
const ELSEWHERE: &[(&str, &str, &str, &str)] = &[
    ("plan", "--force-conflicts", "kubernetes/drift.rs", "--force-conflicts"),
    ("apply", "--force-conflicts", "adoption.rs", "a_release_of_helm_is_taken_over_without_a_restart"),
    ("apply", "--json", "events.rs", EVERY),
    ("adopt", "--json", "events.rs", EVERY),
    ("resume", "--json", "events.rs", EVERY),
    ("forget", "--json", "events.rs", EVERY),
    ("state rm", "--json", "events.rs", EVERY),
    ("adopt", "--id", "recovery.rs", "a_cluster_and_a_pool_of_nobody_are_adopted"),
    ("reap", "--state", "reaping.rs", "only_what_has_expired_is_reaped_and_nothing_of_it_is_left"),
    ("state migrate", "--from", "recovery.rs", "a_state_moves_and_what_was_moved_halfway_goes_on"),
    ("sim serve", "--addr", "served.rs", "pub fn serve"),
    ("sim serve", "--world", "served.rs", "pub fn serve"),
    ("sim serve", "--speed", "served.rs", "pub fn serve"),
    ("lock", "--upgrade", "sources.rs", "only_an_upgrade_changes_what_is_locked"),
    ("lock", "--bundle", "sources.rs", "a_closed_network_lives_on_a_bundle"),
    ("chart pull", "--repo", "sources.rs", "one_chart_without_a_stack"),
    ("chart pull", "--directory", "sources.rs", "one_chart_without_a_stack"),
    ("chart pull", "--version", "sources.rs", "one_chart_without_a_stack"),
    ("schema", "", "events.rs", "fn schema"),
    ("completions", "", "completion.rs", "bash_is_offered_what_the_stack_has"),
    ("verify", "--server-name", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("verify", "--model", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("verify", "--junit", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("verify", "--json", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--generate", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--rounds", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--warm", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--parallel", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--requests", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--max-seconds", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--seed", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--require-proof", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--html", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench cache", "--workload", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench routing", "--endpoint", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench routing", "--ca", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench routing", "--server-name", "verifying.rs", "a_stack_is_verified_and_measured"),
    ("bench routing", "--prefix-tokens", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--prefixes", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--visits", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--requests", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--max-seconds", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--seed", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--require-proof", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--json", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--markdown", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--html", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("bench routing", "--workload", "verifying.rs", "routing_is_proven_where_it_is_and_only_there"),
    ("", "--trace", "events.rs", "a_trace_says_the_same_as_the_lines"),
    ("", "--no-color", "terminal.rs", "a_terminal_shows_what_is_under_way_and_is_left_as_it_was"),
];

const EVERY: &str = "every_command_that_runs_or_reports_writes_lines_that_fit";

/// What all commands that have it hand to the same code: shown where one of them shows it.
const SHARED: &[&str] =
    &["--sim", "--world", "--parallelism", "--endpoint", "--ca", "--server-name", "--api-key-env", "--model"];

/// A flag of many commands, a value that none of them takes, and the words of the refusal that only the flag brings about.
const PROBES: &[(&str, &str, &str)] = &[
    ("--var", "nosuch=1", "nosuch"),
    ("--var-file", "nosuch.toml", "nosuch.toml"),
    ("--bundle", "nosuch-bundle", "nosuch-bundle"),
    ("--lock-timeout", "soon", "--lock-timeout soon is not a duration"),
];

/// What a command needs besides flags.
const WORDS: &[(&str, &str)] = &[
    ("adopt", "cluster"),
    ("forget", "cluster"),
    ("state show", "cluster"),
    ("state mv", "cluster other"),
    ("state rm", "cluster"),
    ("state push", "pushed.json"),
    ("history show", "1"),
    ("history restore", "1"),
    ("reap", "--project p"),
    ("explain", "certificate"),
];

const PUSHED: &str = r#"{"format": 2, "lineage": "one", "serial": 3, "stack": "demo", "stack_id": "0123456789abcdef",
    "target": null, "resources": {}, "outputs": {}}"#;

const STACK: &str = "name = \"demo\"\n[cluster]\nproject = \"demo-project\"\nlocation = \"europe-west4-a\"\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Commands with their flags: long names, and the short ones that stand for them.
fn commands() -> BTreeMap<String, Vec<(String, Option<char>)>> {
    fn walk(command: &clap::Command, path: &str, found: &mut BTreeMap<String, Vec<(String, Option<char>)>>) {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help").collect::<Vec<_>>();
        let globals = path.is_empty();
        let own = command.get_arguments().filter(|argument| argument.is_global_set() == globals);
        let own = own.filter_map(|argument| Some((format!("--{}", argument.get_long()?), argument.get_short())));
        let own = own.filter(|(name, _)| name != "--help" && !(globals && name == "--version"));
        if below.is_empty() || globals {
            found.insert(path.to_owned(), own.collect());
        }
        for next in below {
            walk(next, format!("{path} {}", next.get_name()).trim(), found);
        }
    }
    let mut found = BTreeMap::new();
    walk(&stackwright::cli::command(), "", &mut found);
    found
}

/// Command lines of all scenarios.
fn scenario_lines() -> Vec<String> {
    let folders = std::fs::read_dir(root().join("scenarios")).expect("scenarios").flatten();
    let scripts = folders.filter_map(|folder| std::fs::read_to_string(folder.path().join("script")).ok());
    let lines = scripts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter_map(|line| Some(line.strip_prefix("$ stackwright ")?.to_owned())).collect()
}

fn uses(line: &str, command: &str, flag: &str, short: Option<char>) -> bool {
    let Some(rest) = line.strip_prefix(command) else { return false };
    if !rest.is_empty() && !rest.starts_with(' ') && !command.is_empty() {
        return false;
    }
    rest.split(' ')
        .any(|word| word.split('=').next() == Some(flag) || short.is_some_and(|short| word == format!("-{short}")))
}

/// Whether the value of a flag is looked at: with it the command says these words and fails, without it it does not say them.
fn is_probed(command: &str, flag: &str) -> Option<String> {
    let (_, value, words) = PROBES.iter().find(|(name, ..)| *name == flag)?;
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("stack.toml"), STACK).expect("written");
    std::fs::write(folder.path().join("pushed.json"), PUSHED).expect("written");
    let besides = WORDS.iter().find(|(name, _)| *name == command).map_or("", |(_, words)| words);
    let flags = &commands()[command];
    let has = |name: &str| flags.iter().any(|(flag, _)| flag == name);
    let mut line = format!("{command} {besides}");
    for name in ["--sim", "--auto-approve"] {
        // A simulated state stays in its world.
        if has(name) && (name != "--sim" || command != "state migrate") {
            line = format!("{line} {name}");
        }
    }
    let run = |more: &[&str]| {
        let words = line.split_whitespace().chain(more.iter().copied());
        let mut command = Command::new(env!("CARGO_BIN_EXE_stackwright"));
        command.args(words).current_dir(folder.path()).env_clear().env("HOME", folder.path()).stdin(Stdio::null());
        let output = command.output().expect("the program starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let (fine, said) = run(&[flag, value]);
    if fine || !said.contains(words) {
        return Some(format!("{line} {flag} {value} is not refused for it:\n{said}"));
    }
    None
}

#[test]
fn every_command_and_flag_is_shown_to_do_something() {
    let lines = scenario_lines();
    let mut missing = Vec::new();
    let mut needed = BTreeSet::new();
    for (command, flags) in commands() {
        let used = lines.iter().any(|line| *line == command || line.starts_with(&format!("{command} ")));
        let elsewhere = ELSEWHERE.iter().any(|(name, ..)| *name == command);
        if !command.is_empty() && !used && !elsewhere {
            missing.push(format!("{command} is in no scenario"));
        }
        for (flag, short) in flags {
            if lines.iter().any(|line| uses(line, &command, &flag, short)) {
                continue;
            }
            if ELSEWHERE.iter().any(|(name, of, ..)| *name == command && *of == flag) {
                needed.insert((command.clone(), flag));
                continue;
            }
            if SHARED.contains(&flag.as_str()) {
                continue;
            }
            match is_probed(&command, &flag) {
                Some(why) => missing.push(why),
                None if PROBES.iter().any(|(name, ..)| *name == flag) => {}
                None => missing.push(format!("{command} {flag} is shown nowhere")),
            }
        }
    }
    for (command, flag, file, test) in ELSEWHERE {
        let text = std::fs::read_to_string(root().join("it").join(file)).unwrap_or_default();
        let short = match *flag {
            "--verbose" => "-v",
            "--directory" => "-d",
            flag => flag,
        };
        if !text.contains(test) || !text.contains(short) {
            missing.push(format!("{file} has no {test} that uses {command} {flag}"));
        }
        if !flag.is_empty() && !needed.contains(&((*command).to_owned(), (*flag).to_owned())) {
            missing
                .push(format!("the row of {command} {flag} is needless: a scenario has it, or there is no such flag"));
        }
    }
    for flag in SHARED {
        let elsewhere = ELSEWHERE.iter().any(|(_, of, ..)| of == flag);
        if !elsewhere && !lines.iter().any(|line| line.split([' ', '=']).any(|word| word == *flag)) {
            missing.push(format!("{flag} is shown nowhere"));
        }
    }
    assert!(missing.is_empty(), "{} flags:\n{}", missing.len(), missing.join("\n"));
}
