//! A state that goes from one place to another, and on to the next: a folder, S3, Azure and Cloud Storage, in every
//! direction, with migrations that are killed on the way.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use stackwright::env::random::SeededRandom;

use crate::stores::{self, AZURITE};

/// Resources of the stack.
const VALUES: usize = 12;

/// A user's folder, and how the stores are reached.
struct Desk {
    folder: tempfile::TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Desk {
    /// Says in the stack file where the state is.
    fn keep(&self, backend: &str) {
        let mut text = format!("name = \"carried\"\n[state]\nbackend = \"{backend}\"\n");
        for number in 0..VALUES {
            writeln!(text, "[values.n{number}]\ninput = {number}").expect("memory");
        }
        std::fs::write(self.folder.path().join("stack.toml"), text).expect("written");
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stackwright"));
        command.args(words.split(' ')).current_dir(self.folder.path()).env_clear().envs(&self.variables);
        command.env("HOME", self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, words: &str) -> Output {
        self.command(words).output().expect("started")
    }

    /// What a command prints, which must succeed.
    fn ok(&self, words: &str) -> String {
        let output = self.run(words);
        let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        assert!(output.status.success(), "{words}: {text}");
        text
    }

    /// Kills a command after a while; whether it still ran.
    fn kill(&self, words: &str, after: Duration) -> bool {
        let mut child = self.command(words).spawn().expect("started");
        std::thread::sleep(after);
        let runs = child.try_wait().expect("alive or not").is_none();
        child.kill().ok();
        child.wait().expect("dead");
        runs
    }

    /// What is recorded, without what each place counts for itself.
    fn recorded(&self) -> Json {
        let output = self.run("state pull");
        let mut state = serde_json::from_slice::<Json>(&output.stdout).expect("a state");
        state["serial"].take();
        state
    }
}

fn tour(desk: &Desk, places: &[&str]) {
    desk.keep(places[0]);
    desk.ok("apply --auto-approve");
    let (recorded, runs) = (desk.recorded(), desk.ok("history list").lines().count());
    assert_eq!(recorded["resources"].as_object().map(serde_json::Map::len), Some(VALUES));
    let (random, mut struck) = (SeededRandom::new(9), 0);
    for hop in places.windows(2) {
        let [from, to] = hop else { continue };
        let words = format!("state migrate --to {to}");
        // Each gets further than the one before.
        for millis in [4, 12, 36] {
            struck += usize::from(desk.kill(&words, Duration::from_millis(millis + random.next() % millis)));
        }
        let text = desk.ok(&words);
        let done = ["Migrated: 12 resources", "Nothing to do: the state is in"].iter().any(|said| text.contains(said));
        assert!(done, "{from} to {to}: {text}");
        // Nobody goes on with the old one by mistake; what it was stays there.
        let output = desk.run("plan");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("is kept in"), "{from} to {to}: {said}");
        assert!(desk.ok("history list").lines().count() >= runs, "{from} to {to}");
        desk.keep(to);
        assert!(desk.ok("plan").contains("No changes."), "{from} to {to}");
        assert_eq!(desk.recorded(), recorded, "{from} to {to}");
    }
    assert!(struck > places.len() / 2, "only {struck} migrations were killed while they ran");
}

fn desk(world: &Path) -> (Desk, crate::served::Served) {
    let (served, endpoint) = stores::gcs(world);
    let variables = BTreeMap::from([
        ("GOOGLE_BASE_URL", endpoint),
        ("GOOGLE_BEARER_TOKEN", "simulated".to_owned()),
        ("GOOGLE_ALLOW_HTTP", "true".to_owned()),
    ]);
    (Desk { folder: tempfile::tempdir().expect("folder"), variables }, served)
}

const GS: &str = "gs://states/team";
const S3: &str = "s3://states/team";
const AZ: &str = "az://states/team";

#[test]
fn between_a_folder_and_cloud_storage() {
    let world = tempfile::tempdir().expect("folder");
    let (desk, _served) = desk(world.path());
    tour(&desk, &["state", GS, "elsewhere", GS, "state"]);
}

#[test]
fn between_a_folder_and_all_stores() {
    let world = tempfile::tempdir().expect("folder");
    let (mut desk, _served) = desk(world.path());
    let (Some((_moto, s3)), Some((_azurite, azure))) = (stores::s3(), stores::azure(world.path())) else { return };
    let text = |text: &str| text.to_owned();
    desk.variables.extend([
        ("AWS_ENDPOINT", s3),
        ("AWS_ALLOW_HTTP", text("true")),
        ("AWS_REGION", text("us-east-1")),
        ("AWS_ACCESS_KEY_ID", text("test")),
        ("AWS_SECRET_ACCESS_KEY", text("test")),
        ("AZURE_ENDPOINT", azure),
        ("AZURE_ALLOW_HTTP", text("true")),
        ("AZURE_STORAGE_ACCOUNT_NAME", text(AZURITE.0)),
        ("AZURE_STORAGE_ACCOUNT_KEY", text(AZURITE.1)),
    ]);
    tour(&desk, &["state", S3, AZ, GS, S3, "state", AZ, S3, GS, AZ, "state"]);
}
