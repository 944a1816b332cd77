//! Several processes on one stack at once, in a folder and in object stores: one writes, the others say who.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::stores::{self, AZURITE};

/// A stack of values, each of which needs the one before in its row.
fn stack(rows: usize, length: usize, backend: Option<&str>) -> String {
    let mut text = "name = \"rivals\"\n".to_owned();
    if let Some(backend) = backend {
        writeln!(text, "[state]\nbackend = \"{backend}\"").expect("memory");
    }
    for row in 0..rows {
        for at in 0..length {
            let input = match at {
                0 => "1".to_owned(),
                _ => format!("\"${{values.r{row}-{}.id}}\"", at - 1),
            };
            writeln!(text, "[values.r{row}-{at}]\ninput = {input}").expect("memory");
        }
    }
    text
}

/// In a store: whoever waits looks every few seconds.
const ROUNDS: [(usize, bool); 3] = [(2, false), (8, false), (3, true)];

fn start(folder: &Path, words: &[&str], variables: &BTreeMap<&str, String>) -> Child {
    Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("USER", "somebody")
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started")
}

/// How many resources a run says it has added.
fn added(text: &str) -> usize {
    let rest = text.split("Resources: ").nth(1).unwrap_or("0");
    rest.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

/// So many runs at a time, of which all but one have to give way, or wait for one another.
fn rival(
    variables: &BTreeMap<&str, String>,
    backend: impl Fn(&str) -> Option<String>,
    rounds: &[(usize, bool)],
    rows: usize,
    length: usize,
) {
    let mut turned_away = 0;
    for &(rivals, waits) in rounds {
        let folder = tempfile::tempdir().expect("folder");
        let backend = backend(&format!("{rivals}-{waits}"));
        std::fs::write(folder.path().join("stack.toml"), stack(rows, length, backend.as_deref())).expect("written");
        let mut words = vec!["apply", "--auto-approve"];
        if waits {
            words.extend(["--lock-timeout", "120s"]);
        }
        let runs = (0..rivals).map(|_| start(folder.path(), &words, variables)).collect::<Vec<_>>();
        let (mut won, mut sum) = (0, 0);
        for run in runs {
            let output = run.wait_with_output().expect("ran");
            let text = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                won += 1;
                sum += added(&text);
            } else {
                turned_away += 1;
                let holder = text.contains("locked by process ") && text.contains("running `stackwright apply`");
                assert!(holder && text.contains("--lock-timeout"), "{text}");
            }
        }
        assert!(won == rivals || (won > 0 && !waits), "{won} of {rivals}");
        // Nothing twice, nothing left out.
        assert_eq!(sum, rows * length);
        let plan = start(folder.path(), &["plan", "--detailed-exitcode"], variables).wait_with_output().expect("ran");
        assert_eq!(plan.status.code(), Some(0), "{}", String::from_utf8_lossy(&plan.stdout));
    }
    assert!(turned_away > 0, "no two runs ever met");
}

#[test]
fn of_several_runs_in_a_folder_one_writes() {
    rival(&BTreeMap::new(), |_| None, &[(2, false), (4, false), (8, false), (8, true)], 150, 4);
}

#[test]
fn of_several_runs_in_cloud_storage_one_writes() {
    let world = tempfile::tempdir().expect("folder");
    let (_served, endpoint) = stores::gcs(world.path());
    let variables = BTreeMap::from([
        ("GOOGLE_BASE_URL", endpoint),
        ("GOOGLE_BEARER_TOKEN", "simulated".to_owned()),
        ("GOOGLE_ALLOW_HTTP", "true".to_owned()),
    ]);
    rival(&variables, |name| Some(format!("gs://states/{name}")), &ROUNDS, 4, 6);
}

#[test]
fn of_several_runs_in_s3_one_writes() {
    let Some((_moto, endpoint)) = stores::s3() else { return };
    let text = |text: &str| text.to_owned();
    let variables = BTreeMap::from([
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ALLOW_HTTP", text("true")),
        ("AWS_REGION", text("us-east-1")),
        ("AWS_ACCESS_KEY_ID", text("test")),
        ("AWS_SECRET_ACCESS_KEY", text("test")),
    ]);
    rival(&variables, |name| Some(format!("s3://states/{name}")), &ROUNDS, 4, 6);
}

#[test]
fn of_several_runs_in_azure_one_writes() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_azurite, endpoint)) = stores::azure(folder.path()) else { return };
    let variables = BTreeMap::from([
        ("AZURE_ENDPOINT", endpoint),
        ("AZURE_ALLOW_HTTP", "true".to_owned()),
        ("AZURE_STORAGE_ACCOUNT_NAME", AZURITE.0.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE.1.to_owned()),
    ]);
    rival(&variables, |name| Some(format!("az://states/{name}")), &ROUNDS, 4, 6);
}
