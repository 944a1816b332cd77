//! Where the suites of the Kubernetes side run: on a cluster of the simulator, and on a real control plane where
//! `KUBEBUILDER_ASSETS` names the folder of its programs. Both are reached as any user's cluster is, by a
//! kubeconfig; a suite does not know which one it has, and its outcome must not depend on it.

mod api;
pub mod controllers;
pub mod proxy;
pub mod real;
mod simulated;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub use api::Api;
pub use simulated::MAKER;

/// How long one command may take: what hangs is shown with what it has said.
const PATIENCE: Duration = Duration::from_secs(300);

/// A cluster to try things on, with a folder for the files of one test.
pub struct Arena {
    /// `simulator` or `control plane`.
    pub name: &'static str,
    /// Requests past stackwright.
    pub api: Api,
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
    /// What the program finds in its environment.
    variables: Mutex<BTreeMap<String, String>>,
    /// Goes away with the arena.
    served: Option<crate::served::Served>,
}

/// Runs a suite everywhere it can be run, and compares what it returns.
pub fn everywhere<T: PartialEq + std::fmt::Debug>(suite: impl Fn(&Arena) -> T) {
    let simulated = suite(&simulated::arena());
    match real::arena() {
        Some(arena) => assert_eq!(suite(&arena), simulated, "the control plane (left) and the simulator differ"),
        None => eprintln!("left out: no KUBEBUILDER_ASSETS, so this ran on the simulator only"),
    }
}

/// The simulator's cluster alone.
pub fn simulated() -> Arena {
    simulated::arena()
}

/// The real control plane alone, where there is one.
pub fn control_plane() -> Option<Arena> {
    real::arena()
}

impl Arena {
    /// The folder of the test's files; `stack.toml` in it may say `kubeconfig = "kubeconfig"`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the simulator is served that plays the cluster.
    pub fn simulator(&self) -> &str {
        &self.served.as_ref().expect("a simulated arena").url
    }

    /// Writes a file of the test.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).expect("written");
    }

    /// Sets a variable for the program.
    pub fn set(&self, name: &str, value: &str) {
        self.variables.lock().expect("lock").insert(name.to_owned(), value.to_owned());
    }

    /// Runs the program; whether it ended well, and all that it said.
    pub fn stackwright(&self, words: &str) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stackwright"));
        let command = command.args(words.split_whitespace()).env_clear().env("HOME", self.folder());
        self.run(command.envs(&*self.variables.lock().expect("lock")))
    }

    /// The same, which must end well.
    pub fn ok(&self, words: &str) -> String {
        let (fine, text) = self.stackwright(words);
        assert!(fine, "{}: stackwright {words}: {text}", self.name);
        text
    }

    /// Runs kubectl as somebody else would.
    pub fn kubectl(&self, words: &[&str]) -> String {
        let mut command = Command::new("kubectl");
        let command =
            command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(self.folder().join("cache"));
        let (fine, text) = self.run(command.args(words));
        assert!(fine, "{}: kubectl {words:?}: {text}", self.name);
        text
    }

    fn run(&self, command: &mut Command) -> (bool, String) {
        let files = [tempfile::NamedTempFile::new(), tempfile::NamedTempFile::new()].map(|file| file.expect("file"));
        let [out, err] = files.each_ref().map(|file| file.reopen().expect("file"));
        let command = command.current_dir(self.folder()).stdin(Stdio::null()).stdout(out).stderr(err);
        let mut child = command.spawn().expect("started");
        let begun = Instant::now();
        let fine = loop {
            match child.try_wait().expect("waited") {
                Some(status) => break status.success(),
                None if begun.elapsed() > PATIENCE => {
                    child.kill().ok();
                    child.wait().ok();
                    break false;
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let text = files.map(|file| String::from_utf8_lossy(&std::fs::read(file.path()).expect("read")).into_owned());
        (fine, text.concat())
    }
}

/// Whether kubectl is on this machine; says once per suite when it is not.
pub fn has_kubectl() -> bool {
    let found =
        Command::new("kubectl").args(["version", "--client"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok();
    if !found {
        eprintln!("skipped: kubectl is not installed");
    }
    found
}
