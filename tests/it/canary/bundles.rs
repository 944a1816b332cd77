//! Secrets in everything that `diagnose` looks at: logs, environments, Secrets of the stack and of others, its inputs and
//! its state. None of them is in what it prints, in what it keeps, or in its bundle.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::json;

use super::Watch;

const STACK: &str = r#"
name = "user"
[inputs]
word = { secret = true, env = "CANARY" }
[cluster]
project = "sim-project"
location = "europe-west4-a"
system_pool = { machine_type = "n1-standard-4", nodes = 1 }
[manifests.app]
files = ["app.yaml"]
"#;

const APP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: app}
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: app}
stringData: {word: SECRET}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: main
        image: docker.io/library/nginx:1.27
        terminationMessagePolicy: FallbackToLogsOnError
        env: [{name: API_TOKEN, value: VARIABLE}]
"#;

#[test]
fn no_secret_is_seen_by_who_asks_why() {
    let folder = tempfile::tempdir().expect("folder");
    let mut watch =
        Watch { folder: folder.path(), variables: BTreeMap::new(), canaries: Vec::new(), seen: Mutex::default() };
    let names = ["input", "secret", "variable", "header", "flag", "assigned", "password"];
    let [input, secret, variable, header, flag, assigned, password] = names.map(|name| watch.canary(name));
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(path, text).expect("written");
    };
    write("user.toml", STACK);
    write("app.yaml", &APP.replace("SECRET", &secret.plain()).replace("VARIABLE", &variable.plain()));
    watch.variables.insert("CANARY".to_owned(), input.plain());
    // A program that says whatever it knows before it ends.
    let log = format!(
        "login failed: {} {}\nAuthorization: Bearer {}\nrun --api-key {}\ntoken={} url=https://me:{}@example.com/",
        secret.plain(),
        input.plain(),
        header.plain(),
        flag.plain(),
        assigned.plain(),
        password.plain()
    );
    let faults = json!({"faults": [{"kind": "crash", "pod": "app/*", "code": 1, "log": log}]});
    write("world/faults.json", &faults.to_string());
    // Logs live as long as the nodes do: in a simulator that goes on.
    let served = crate::served::serve(&folder.path().join("world"), "127.0.0.1:0");
    let sim = format!("--sim={}", served.url);
    let found = |said: &str| {
        assert!(said.contains("crash-loop") && said.contains("login failed"), "the log was not read: {said}");
    };
    // What apply itself shows is for other tests: the pod's last words are in its message.
    let applied = std::process::Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(["apply", "user.toml", &sim, "--auto-approve"])
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .env("CANARY", input.plain())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts");
    assert!(!applied.status.success(), "{}", String::from_utf8_lossy(&applied.stdout));
    let (code, said) = watch.run(&format!("diagnose user.toml {sim} --json --bundle report.tar.gz"));
    assert_eq!(code, Some(1), "{said}");
    found(&said);
    found(&watch.run(&format!("diagnose user.toml {sim}")).1);
    let bundle = std::fs::read(folder.path().join("report.tar.gz")).expect("the bundle");
    let mut unpacked = String::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bundle.as_slice()));
    let mut files = Vec::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        files.push(entry.path().expect("a name").display().to_string());
        std::io::Read::read_to_string(&mut entry, &mut unpacked).expect("text");
    }
    for part in ["stack.toml", "plan.json", "state.json", "facts.json", "events.jsonl", "versions.json", "causes.json"]
    {
        assert!(files.contains(&format!("diagnose-user/{part}")), "{part} is missing: {files:?}");
        assert!(said.contains(part), "{part} was not listed: {said}");
    }
    assert!(files.iter().any(|file| file.contains("/main.")), "{files:?}");
    assert!(unpacked.contains("(sensitive)") && unpacked.contains("login failed"), "nothing was masked");
    // All but the user's own files, and the simulated cloud: the bundle, the state, and what is kept of the failure.
    assert!(folder.path().join("state/.sim/state/user.failures.json").exists(), "the failure is not kept");
    let searched = watch.search(&["user.toml", "app.yaml", "world"]);
    assert!(searched >= 3, "{searched} files");
    watch.finish();
}
