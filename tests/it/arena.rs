//! Where the suites of the Kubernetes side run: on a cluster of the simulator, and on a real control plane where
//! `KUBEBUILDER_ASSETS` names the folder of its programs. Both are reached as any user's cluster is, by a
//! kubeconfig; a suite does not know which one it has, and its outcome must not depend on it.

mod api;
mod real;
mod simulated;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use api::Api;
pub use simulated::MAKER;

/// A cluster to try things on, with a folder for the files of one test.
pub struct Arena {
    /// `simulator` or `control plane`.
    pub name: &'static str,
    /// Requests past stackwright.
    pub api: Api,
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
    /// Goes away with the arena.
    _served: Option<crate::served::Served>,
}

/// Runs a suite everywhere it can be run, and compares what it returns.
pub fn everywhere<T: PartialEq + std::fmt::Debug>(suite: impl Fn(&Arena) -> T) {
    let simulated = suite(&simulated::arena());
    match real::arena() {
        Some(arena) => assert_eq!(suite(&arena), simulated, "the control plane (left) and the simulator differ"),
        None => eprintln!("left out: no KUBEBUILDER_ASSETS, so this ran on the simulator only"),
    }
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

    /// Writes a file of the test.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).expect("written");
    }

    /// Runs the program; whether it ended well, and all that it said.
    pub fn stackwright(&self, words: &str) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stackwright"));
        self.run(command.args(words.split_whitespace()).env_clear().env("HOME", self.folder()))
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
        let output = command.current_dir(self.folder()).stdin(Stdio::null()).output().expect("started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
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
