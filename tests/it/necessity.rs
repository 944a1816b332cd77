//! Every object of every stack is there for a reason: without it the stack does not come up, or
//! `tests/data/necessity.txt` says why its absence does no harm.
//!
//! A line of the table is `<object key> <verdict>`: `needed` and a piece of what the run then says, or
//! `harmless` and why. The long form (`STACKWRIGHT_LONG=1`) tries every object of every stack, the short one a
//! few of each. `STACKWRIGHT_BLESS=1` writes lines for objects that have none to `necessity.<stack>`, to be read and
//! moved into the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use stackwright::resource::model::Desired;

use crate::lab::{Conditions, bring_up, is_long, shipped};

fn table_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/necessity.txt")
}

/// Verdicts by stack and object key.
fn table() -> BTreeMap<(String, String), String> {
    let text = std::fs::read_to_string(table_path()).unwrap_or_default();
    let mut stack = String::new();
    let mut table = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            stack = name.to_owned();
        } else if let Some((key, verdict)) = line.split_once(' ') {
            table.insert((stack.clone(), key.to_owned()), verdict.to_owned());
        }
    }
    table
}

/// The stack without one object, and without explicit needs of it.
fn without(desired: &Desired, at: usize) -> Desired {
    let mut desired = desired.clone();
    let gone = desired.resources.remove(at);
    for resource in &mut desired.resources {
        resource.needs.retain(|need| need.on != gone.address);
    }
    desired
}

/// Whether somebody's attributes refer to the object: the plan itself is refused then.
fn is_referred_to(desired: &Desired, at: usize) -> bool {
    let address = &desired.resources[at].address;
    let mut found = false;
    let mut look = |value: &stackwright::value::Value| {
        value.visit_templates(&mut |t| found |= t.references().any(|r| r.address == *address));
    };
    desired.resources.iter().for_each(|r| look(&r.attrs));
    desired.proofs.iter().for_each(|proof| {
        look(&proof.url);
        proof.ca.iter().for_each(&mut look);
    });
    found
}

fn try_all(name: &str) {
    let bless = std::env::var_os("STACKWRIGHT_BLESS").is_some();
    let table = table();
    let mut wrong = String::new();
    let mut added = format!("[{name}]\n");
    let (desired, secrets) = shipped(name);
    let objects = (0..desired.resources.len()).filter(|&at| desired.resources[at].address.object_key().is_some());
    let all = objects.collect::<Vec<_>>();
    let step = if is_long() { 1 } else { (all.len() / 3).max(1) };
    for &at in all.iter().step_by(step) {
        let key = desired.resources[at].address.object_key().unwrap_or_default().to_owned();
        let verdict = table.get(&(name.to_owned(), key.clone()));
        if bless && verdict.is_some() {
            continue;
        }
        let said = if is_referred_to(&desired, at) {
            "needed: the stack refers to it".to_owned()
        } else {
            let outcome = bring_up(&without(&desired, at), &secrets, &Conditions::default());
            let reason = outcome.failures.first().cloned().unwrap_or_default().replace('\n', " ");
            if outcome.works() { "harmless: ".to_owned() } else { format!("needed: {reason}") }
        };
        let (word, reason) = said.split_once(": ").unwrap_or((&said, ""));
        match verdict.map(|v| v.split_once(": ").unwrap_or((v, ""))) {
            Some((known, expected)) if known == word && !expected.is_empty() => {
                if word == "needed" && !reason.contains(expected) {
                    writeln!(wrong, "{key}: fails otherwise than the table says:\n  {reason}\n  {expected}")
                        .expect("memory");
                }
            }
            Some((known, expected)) => {
                writeln!(wrong, "{key}: is {word} ({reason}), the table says {known}: {expected}").expect("memory");
            }
            None if bless => writeln!(added, "{key} {said}").expect("memory"),
            None => writeln!(wrong, "{key}: is {word} ({reason}), the table does not have it").expect("memory"),
        }
    }
    if bless {
        std::fs::create_dir_all(table_path().parent().expect("a folder")).expect("writable");
        std::fs::write(table_path().with_extension(name), added).expect("writable");
    }
    assert!(wrong.is_empty(), "{name}\n{wrong}");
}

#[test]
fn gpu_t4() {
    try_all("gpu-t4");
}

#[test]
fn tpu_v6e() {
    try_all("tpu-v6e");
}

#[test]
fn rhaii_gpu_t4() {
    try_all("rhaii-gpu-t4");
}

#[test]
fn rhaii_tpu_v6e() {
    try_all("rhaii-tpu-v6e");
}
