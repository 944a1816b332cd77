//! A cluster of a served simulator, made as a user makes one.

use std::process::Command;
use std::sync::Mutex;

use super::{Api, Arena};
use crate::served::serve;

/// A stack of a cluster alone, which shows how to reach it.
pub const MAKER: &str = r#"
name = "maker"
[cluster]
project = "stackwright-sim"
location = "us-central1-a"
[outputs]
endpoint = "${cluster.endpoint}"
ca = "${cluster.ca_certificate}"
"#;

/// A new one.
pub fn arena() -> Arena {
    let folder = tempfile::tempdir().expect("folder");
    let served = serve(&folder.path().join("world"), "127.0.0.1:0");
    std::fs::write(folder.path().join("maker.toml"), MAKER).expect("written");
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
            .args(words)
            .args([&format!("--sim={}", served.url), "--world", "world"])
            .current_dir(folder.path())
            .output()
            .expect("started");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    };
    run(&["apply", "maker.toml", "--auto-approve"]);
    let server = run(&["output", "maker.toml", "--name", "endpoint", "--raw"]);
    let server = format!("https://{}", server.trim_start_matches("https://"));
    let ca = run(&["output", "maker.toml", "--name", "ca", "--raw"]) + "\n";
    let kubeconfig = super::real::kubeconfig(folder.path(), "kubeconfig", &server, &ca, "administrator");
    let api = Api::new(&server, &ca, "administrator");
    Arena { name: "simulator", api, folder, kubeconfig, variables: Mutex::default(), served: Some(served) }
}
