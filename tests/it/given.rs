//! `[cluster] kubeconfig`: the in-cluster half of a stack on a cluster that is there already.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::arena::MAKER;
use crate::served::serve;

const USER: &str = r#"
name = "user"
[cluster]
kubeconfig = "kube/config"
context = "given"
[manifests.app]
files = ["app.yaml"]
"#;

const APP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: app}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: app}
data: {colour: blue}
";

/// A credential plugin whose first token has run out.
const PLUGIN: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo x >> asked
token=good
[ "$(wc -l < asked)" -gt 1 ] || token=eyJ0.old.old
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$token"
"#;

fn stackwright(folder: &Path, words: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_remove("HTTPS_PROXY")
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

fn ok(folder: &Path, words: &str) -> String {
    let (fine, text) = stackwright(folder, words);
    assert!(fine, "{words}: {text}");
    text
}

#[test]
fn a_kubeconfig_s_cluster_is_planned_applied_and_left_clean() {
    let directory = tempfile::tempdir().expect("tempdir");
    let folder = directory.path();
    let served = serve(&folder.join("world"), "127.0.0.1:0");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(path, text).expect("written");
    };
    write("maker.toml", MAKER);
    let simulated = format!("--sim={} --world world", served.url);
    ok(folder, &format!("apply maker.toml --auto-approve {simulated}"));
    let output = |name: &str| {
        ok(folder, &format!("output maker.toml --name {name} --raw {simulated}")).trim_end().to_owned() + "\n"
    };
    let endpoint = output("endpoint").replace("https://", "");
    write("kube/ca.crt", &output("ca"));
    write("kube/plugin", PLUGIN);
    write(
        "kube/config",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: other\n\
             contexts:\n- {{name: given, context: {{cluster: c, user: u}}}}\n- {{name: other, context: {{cluster: no, user: no}}}}\n\
             clusters: [{{name: c, cluster: {{server: \"https://{}\", certificate-authority: ca.crt}}}}]\n\
             users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [\"{}\"], interactiveMode: Never}}}}}}]\n",
            endpoint.trim(),
            folder.join("kube/plugin").display(),
        ),
    );
    write("user.toml", USER);
    write("app.yaml", APP);

    assert!(ok(folder, "plan user.toml").contains("2 to add"));
    let applied = ok(folder, "apply user.toml --auto-approve");
    assert!(applied.contains("Apply complete! Resources: 2 added, 0 changed, 0 destroyed."), "{applied}");
    // One login for each command and one more for the token that had run out, not one for every request.
    let asked = std::fs::read_to_string(folder.join("kube/asked")).expect("asked").lines().count();
    assert_eq!(asked, 3, "plugin runs");
    assert!(ok(folder, "plan user.toml").contains("No changes."));
    write("app.yaml", &APP.replace("blue", "green"));
    assert!(ok(folder, "apply user.toml --auto-approve").contains("0 added, 1 changed, 0 destroyed"));

    let (fine, text) = stackwright(folder, "apply user.toml --auto-approve --sim");
    assert!(!fine && text.contains("cannot be simulated"), "{text}");

    // Another cluster behind the same file is not taken for this one.
    write(
        "second.toml",
        &MAKER.replace("\"maker\"", "\"second\"").replace("[outputs]", "name = \"second\"\n[outputs]"),
    );
    ok(folder, &format!("apply second.toml --auto-approve {simulated}"));
    let config = std::fs::read_to_string(folder.join("kube/config")).expect("config");
    let other = ok(folder, &format!("output second.toml --name endpoint --raw {simulated}")).replace("https://", "");
    let first_ca = std::fs::read_to_string(folder.join("kube/ca.crt")).expect("ca");
    write("kube/ca.crt", &ok(folder, &format!("output second.toml --name ca --raw {simulated}")));
    write("kube/config", &config.replace(endpoint.trim(), other.trim()));
    let (fine, text) = stackwright(folder, "plan user.toml");
    assert!(!fine && text.contains("the state of user describes kubeconfig"), "{text}");
    write("kube/config", &config);
    write("kube/ca.crt", &first_ca);

    let destroyed = ok(folder, "destroy user.toml --auto-approve");
    assert!(destroyed.contains("0 residual resources"), "{destroyed}");
}
