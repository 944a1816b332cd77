//! The CI kit of docs/ci, carried out: each step's script runs in the shell that the service would give it, with the
//! simulator as the cloud and a small stand-in for the service's API. What only the service has (runners, identity,
//! check-outs) is named here and passed over.

mod forge;
mod github;
mod gitlab;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

/// A stack that is cheap to simulate and still has a cluster, which costs and can expire.
const STACK: &str = r#"name = "shop"

[limits]
ttl = "8h"

[cluster]
project = "sim-project"
location = "europe-west4-a"
system_pool = { machine_type = "n1-standard-4", nodes = 1 }
"#;

/// Programs that the scripts use besides the shell's own.
const PROGRAMS: [&str; 4] = ["jq", "curl", "unzip", "python3"];

/// Whether the scripts' programs are here; says which are not.
fn is_equipped() -> bool {
    let has =
        |program: &&str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    // unzip has no --version that succeeds.
    let missing = PROGRAMS.iter().filter(|program| !has(program) && Command::new(program).arg("-v").output().is_err());
    let missing = missing.copied().collect::<Vec<_>>();
    if !missing.is_empty() {
        println!("skipped: the CI kit's scripts need {}", missing.join(", "));
    }
    missing.is_empty()
}

/// A YAML document of the kit.
fn document(path: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci").join(path);
    let text = std::fs::read_to_string(&path).expect("a file of the kit");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A machine of the service: a folder, programs in front of the machine's own, and what is set in its environment.
struct Runner {
    folder: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

impl Runner {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("tempdir");
        for name in ["bin", "home", "work"] {
            std::fs::create_dir(folder.path().join(name)).expect("writable");
        }
        let runner = Runner { folder, variables: BTreeMap::new() };
        let program = Path::new(env!("CARGO_BIN_EXE_stackwright"));
        std::os::unix::fs::symlink(program, runner.path("bin/stackwright")).expect("a link");
        // What installs is a registry's or the distribution's business: it is written down, not done.
        for installer in ["cargo", "apt-get"] {
            let script = format!("#!/bin/sh\necho {installer} \"$@\" >> {}\n", runner.path("installed").display());
            let path = runner.path(&format!("bin/{installer}"));
            std::fs::write(&path, script).expect("writable");
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        }
        runner
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn work(&self) -> PathBuf {
        self.path("work")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.work().join(name), text).expect("writable");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Runs a script as the service does: code and everything that was printed.
    fn script(&self, shell: &[&str], text: &str, env: &BTreeMap<String, String>) -> (i32, String) {
        let file = self.path("script.sh");
        std::fs::write(&file, text).expect("writable");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .arg(&file)
            .current_dir(self.work())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .envs(&self.variables)
            .envs(env)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("a shell");
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code().unwrap_or(-1), told)
    }
}

/// How a job ended: its code, and what its steps said.
#[derive(Debug)]
struct End {
    code: i32,
    told: String,
}

impl End {
    #[track_caller]
    fn end_well(self) -> String {
        assert_eq!(self.code, 0, "{}", self.told);
        self.told
    }

    #[track_caller]
    fn fails_with(self, words: &str) {
        assert!(self.code != 0 && self.told.contains(words), "{} {}", self.code, self.told);
    }
}
