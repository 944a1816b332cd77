//! Secrets with a mark, in everything that takes one; then every byte that any command prints or writes is searched
//! for the marks.

mod bundles;
mod hunt;
mod logins;
mod panics;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::json;

use hunt::{Canary, Sighting, hunt, hunt_files};

/// Runs commands and searches what they say.
struct Watch<'a> {
    folder: &'a Path,
    variables: BTreeMap<String, String>,
    canaries: Vec<Canary>,
    seen: Mutex<Vec<Sighting>>,
}

impl Watch<'_> {
    /// Runs the program as loudly as it can be; its exit code and what it said.
    fn run(&self, words: &str) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
            .args(words.split_whitespace())
            .arg("-vvv")
            .current_dir(self.folder)
            .env_clear()
            .envs([("HOME", self.folder)])
            .envs([("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")])
            .envs(&self.variables)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        for (stream, bytes) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
            let place = format!("{stream} of `{words}`");
            self.seen.lock().expect("lock").extend(hunt(&place, bytes, &self.canaries));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked"), "{words}: {text}");
        (output.status.code(), text)
    }

    fn ok(&self, words: &str) -> String {
        let (code, text) = self.run(words);
        assert_eq!(code, Some(0), "{words}: {text}");
        text
    }

    /// Fails, and says this among other things.
    fn fails(&self, words: &str, with: &str) {
        let (code, text) = self.run(words);
        assert!(code != Some(0) && text.contains(with), "{words}: {text}");
    }

    fn canary(&mut self, name: &str) -> Canary {
        let canary = Canary::new(name);
        self.canaries.push(canary.clone());
        canary
    }

    /// Searches all files but those that the user wrote and the simulated world, which plays the cloud.
    fn search(&self, given: &[&str]) -> usize {
        // A stack's key is a secret in a file of its own.
        let skip =
            |name: &str| given.contains(&name) || (name.ends_with(".key") && !name.contains('/') || is_key(name));
        let (files, seen) = hunt_files(self.folder, &skip, &self.canaries);
        self.seen.lock().expect("lock").extend(seen);
        files
    }

    fn finish(self) {
        let seen = self.seen.into_inner().expect("lock").iter().map(|s| format!("{s}\n")).collect::<String>();
        assert!(seen.is_empty(), "secrets were seen:\n{seen}");
    }
}

fn is_key(name: &str) -> bool {
    name.starts_with("state/") && name.ends_with(".key")
}

const STACK: &str = r#"
name = "user"
[inputs]
flag = { secret = true }
file = { secret = true }
env = { secret = true, env = "CANARY" }
variable = { secret = true }
pull = { secret = true }
[cluster]
kubeconfig = "config"
[registries."registry.example.com"]
pull_secret = "${inputs.pull}"
[manifests.app]
files = ["app.yaml"]
[charts.web]
source = "web"
namespace = "app"
depends_on = ["manifests.app"]
values = { flag = "${inputs.flag}", file = "${inputs.file}", env = "${inputs.env}", deep = { variable = "x-${inputs.variable}-y" } }
[outputs]
word = { value = "${objects.charts.web/Secret/app/login.data.file}", sensitive = true }
"#;

const CHART: &str = r#"
apiVersion: v1
kind: Secret
metadata:
  name: login
stringData:
  flag: {{ .Values.flag | quote }}
  generated: {{ randAlphaNum 40 }}
  literal: {{ .Values.literal | quote }}
data:
  file: {{ .Values.file | b64enc }}
  pem: {{ genPrivateKey "ecdsa" | b64enc }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  annotations: {word: {{ .Values.flag | quote }} }
data:
  env: "begin {{ .Values.env }} end"
  variable: {{ .Values.deep.variable }}
---
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: web
    image: registry.example.com/web:1
    env: [{name: WORD, value: {{ .Values.env | quote }} }]
"#;

const HOOKS: &str = r#"
apiVersion: v1
kind: Secret
metadata:
  name: setup
  annotations: {helm.sh/hook: "pre-install,pre-upgrade"}
stringData:
  word: HOOK
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: bye
  annotations: {helm.sh/hook: pre-delete}
data:
  word: {{ .Values.file | quote }}
"#;

#[test]
fn no_secret_of_a_cluster_s_stack_is_ever_seen() {
    let arena = crate::arena::simulated();
    let folder = tempfile::tempdir().expect("folder");
    let mut watch =
        Watch { folder: folder.path(), variables: BTreeMap::new(), canaries: Vec::new(), seen: Mutex::default() };
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(path, text).expect("written");
    };
    let names = ["flag", "file", "env", "variable", "pull", "literal", "hook", "data", "string", "applied", "token"];
    let [flag, file, env, variable, pull, literal, hook, data, string, applied, token] =
        names.map(|name| watch.canary(name));
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, arena.api.ca()).expect("written");
    let config = |user: serde_json::Value| {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": arena.api.server(), "certificate-authority": ca}}],
            "users": [{"name": "it", "user": user}],
        })
        .to_string()
    };
    write("config", &config(json!({ "token": token.plain() })));
    write("user.toml", STACK);
    write("inputs.toml", &format!("file = {}\n", serde_json::to_string(&file.quoted()).expect("JSON")));
    let app = |string: &str, more: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: app}}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {{name: plain, namespace: app, annotations: \
             {{kubectl.kubernetes.io/last-applied-configuration: {:?}}}}}\n\
             data: {{word: {}}}\nstringData: {{text: {:?}}}\n{more}",
            applied.plain(),
            base64(&data.quoted()),
            string
        )
    };
    write("app.yaml", &app(&string.plain(), ""));
    write("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
    write("web/values.yaml", &format!("literal: {}\n", serde_json::to_string(&literal.quoted()).expect("JSON")));
    write("web/templates/web.yaml", CHART);
    write("web/templates/hooks.yaml", &HOOKS.replace("HOOK", &hook.plain()));
    let login = json!({"auths": {"registry.example.com": {"auth": base64(&format!("me:{}", pull.plain()))}}});
    watch.variables.insert("CANARY".to_owned(), env.quoted());
    watch.variables.insert("STACKWRIGHT_VAR_variable".to_owned(), variable.quoted());
    watch.variables.insert("STACKWRIGHT_VAR_pull".to_owned(), login.to_string());
    watch.variables.insert("STACKWRIGHT_VAR_flag".to_owned(), flag.quoted());
    let inputs = "user.toml --var-file inputs.toml";

    watch.ok(&format!("validate {inputs}"));
    watch.ok(&format!("graph {inputs}"));
    let planned = watch.ok(&format!("plan {inputs} --out plan"));
    assert!(planned.contains("(sensitive value)"), "{planned}");
    watch.ok(&format!("plan {inputs} --json"));
    watch.ok("show plan");
    watch.ok("show plan --json");
    watch.ok("apply plan --stack user.toml --var-file inputs.toml");
    let held = arena.api.get("/api/v1/namespaces/app/secrets/login");
    let decoded = |key: &str| {
        let text = held["data"][key].as_str().unwrap_or_default();
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).expect("base64")
    };
    // They did arrive.
    assert_eq!(String::from_utf8_lossy(&decoded("flag")), flag.quoted());
    assert_eq!(String::from_utf8_lossy(&decoded("literal")), literal.quoted());
    watch.canaries.push(Canary::of("generated", &decoded("generated")));
    let pem = String::from_utf8(decoded("pem")).expect("PEM");
    watch.canaries.push(Canary::of("generated key", pem.lines().nth(1).expect("PEM").as_bytes()));
    let key = std::fs::read(folder.path().join("state/user.key")).expect("the stack's key");
    watch.canaries.push(Canary::of("stack key", &key));
    assert!(watch.ok(&format!("plan {inputs}")).contains("No changes."));
    for words in ["show", "show --json", "state list", "state pull", "output --json", "output --name word"] {
        let (command, rest) = words.split_once(" -").map_or((words, String::new()), |(c, r)| (c, format!("-{r}")));
        watch.run(&format!("{command} user.toml {rest}"));
    }
    watch.ok("state show charts.web/Secret/app/login user.toml");
    for words in ["status", "status --json", "export --stdout", "export -d files", "plan --refresh-only --json"] {
        let (command, rest) = words.split_once(' ').unwrap_or((words, ""));
        watch.run(&format!("{command} {inputs} {rest}"));
    }

    recovery(&watch, inputs);

    // Drift by another hand, and taking it back.
    let drift = watch.canary("drift");
    let patch = json!({"data": {"literal": base64(&drift.quoted())}, "metadata": {"annotations":
        {"kubectl.kubernetes.io/last-applied-configuration": drift.quoted()}}});
    arena.api.patch("/api/v1/namespaces/app/secrets/login", &patch);
    arena.api.patch("/api/v1/namespaces/app/secrets/plain", &json!({"data": {"word": base64(&drift.plain())}}));
    assert!(!watch.ok(&format!("plan {inputs}")).contains("No changes."));
    watch.ok(&format!("plan {inputs} --json"));
    watch.run(&format!("status {inputs}"));
    watch.run(&format!("apply {inputs} --auto-approve --json"));
    watch.ok(&format!("apply {inputs} --auto-approve --force-conflicts"));

    // Other values, at every place.
    let [second, third] = ["second flag", "second string"].map(|name| watch.canary(name));
    watch.variables.insert("STACKWRIGHT_VAR_flag".to_owned(), second.quoted());
    write("app.yaml", &app(&third.quoted(), ""));
    let planned = watch.ok(&format!("plan {inputs}"));
    assert!(planned.contains("data.text = (sensitive value)"), "{planned}");
    watch.ok(&format!("apply {inputs} --auto-approve --json"));
    assert!(watch.ok(&format!("plan {inputs}")).contains("No changes."));

    mistakes(&watch, &write, &app, inputs, &string);
    logins(&mut watch, &write, &config);
    write("config", &config(json!({ "token": token.plain() })));
    watch.ok(&format!("destroy {inputs} --auto-approve"));
    let given = ["config", "inputs.toml", "broken.toml", "app.yaml", "web", "plugin"];
    let files = watch.search(&given);
    assert!(files >= 5, "{files} files");
    watch.finish();
    drop(arena);
}

/// Whatever deals with a state as a whole.
fn recovery(watch: &Watch<'_>, inputs: &str) {
    let object = "manifests.app/Secret/app/plain";
    for words in ["history list user.toml", "history show 3 user.toml", "lease list user.toml"] {
        watch.run(words);
    }
    watch.ok(&format!("forget {object} user.toml --dry-run"));
    watch.ok(&format!("forget {object} user.toml"));
    assert!(watch.ok(&format!("plan {inputs}")).contains(object));
    watch.run(&format!("adopt {object} {inputs} --auto-approve"));
    watch.ok(&format!("apply {inputs} --auto-approve"));
    let pulled = watch.ok("state pull user.toml");
    let start = pulled.find("{\n").expect("JSON");
    std::fs::write(watch.folder.join("pulled.json"), &pulled[start..]).expect("written");
    watch.ok("state push pulled.json user.toml --force");
    watch.ok(&format!("state rebuild {inputs} --auto-approve"));
    watch.ok("state migrate user.toml --to elsewhere");
    watch.fails(&format!("plan {inputs}"), "elsewhere");
    let stack = STACK.replacen("[inputs]", "[state]\nbackend = \"elsewhere\"\n[inputs]", 1);
    std::fs::write(watch.folder.join("user.toml"), stack).expect("written");
    assert!(watch.ok(&format!("plan {inputs}")).contains("No changes."));
}

/// What is wrong is shown, with what stands around it; and what an API server refuses.
fn mistakes(
    watch: &Watch<'_>,
    write: &dyn Fn(&str, &str),
    app: &dyn Fn(&str, &str) -> String,
    inputs: &str,
    word: &Canary,
) {
    let plain = word.plain();
    for broken in [
        format!("file = \"{plain}\nother = 1\n"),
        format!("file = \"{plain}\" nonsense\n"),
        format!("file = [\"{plain}\"]\n"),
        format!("flie = \"{plain}\"\n"),
        format!("file = {plain}\n"),
    ] {
        write("broken.toml", &broken);
        let (code, text) = watch.run("plan user.toml --var-file broken.toml");
        assert!(code != Some(0), "{broken}: {text}");
    }
    watch.run(&format!("plan {inputs} --var flag{plain}"));
    watch.run(&format!("plan {inputs} --var nobody={plain}"));
    let base = app(&plain, "");
    for broken in [
        format!("{base}type: [{plain}\n"),
        format!("{base}\t- {plain}: {plain}\n"),
        base.replace("data: {word: ", &format!("data: {{more: {plain}?!, word: ")),
        base.replace("data: {word: ", &format!("data: {{more: [{plain}], word: ")),
        base.replace("data: {word: ", &format!("data: {{\"{}\": 7, word: ", "no such key!")),
        base.replace("stringData: {", &format!("stringData: {{more: {{a: {plain}}}, ")),
        base.replace("kind: Secret", "kind: Secret\ntype: kubernetes.io/tls"),
        base.replace("kind: Secret", "kind: Secret\ntype: kubernetes.io/dockerconfigjson")
            .replace("text:", "\".dockerconfigjson\":"),
        // What only the server knows: the type cannot be changed.
        base.replace("kind: Secret", "kind: Secret\ntype: example.com/other"),
    ] {
        write("app.yaml", &broken);
        watch.run(&format!("plan {inputs} --json"));
        watch.run(&format!("validate {inputs} --json"));
        watch.run(&format!("apply {inputs} --auto-approve"));
    }
    write("app.yaml", &base);
    watch.ok(&format!("apply {inputs} --auto-approve"));
    for broken in [
        "{{ .Values.flag | atoi }}",
        "{{ fail .Values.file }}",
        "{{ .Values.literal.more }}",
        "{{ len .Values.env }}",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: {{ .Values.literal | b64enc }}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData:\n\ta: {{ .Values.literal | quote }}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: {{ .Values.literal | quote }}}\n",
    ] {
        write("web/templates/broken.yaml", broken);
        watch.run(&format!("plan {inputs}"));
    }
    write("web/templates/broken.yaml", "");
    let schema = json!({"properties": {"literal": {"type": "number"}, "flag": {"enum": ["a"]}}});
    write("web/values.schema.json", &schema.to_string());
    watch.run(&format!("plan {inputs}"));
    write("web/values.schema.json", "{}");
}

/// Logins that do not work.
fn logins(watch: &mut Watch<'_>, write: &dyn Fn(&str, &str), config: &dyn Fn(serde_json::Value) -> String) {
    let [plugin, key, password] = ["plugin", "client key", "password"].map(|name| watch.canary(name));
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let inputs = "user.toml --var-file inputs.toml";
    write("plugin", &format!("echo {0}; echo {0} >&2; exit 3\n", plugin.plain()));
    let script = watch.folder.join("plugin");
    let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh",
        "args": [script], "env": [{"name": "WORD", "value": plugin.plain()}], "interactiveMode": "Never"}});
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64(&key.plain()));
    for user in [
        exec,
        json!({"client-key-data": base64(&pem), "client-certificate-data": base64(&pem)}),
        json!({"client-key-data": key.plain(), "client-certificate-data": key.plain()}),
        json!({"username": "me", "password": password.plain()}),
        json!({"token": [password.plain()]}),
        json!({"token": format!("{}\n{}", password.plain(), password.plain())}),
    ] {
        write("config", &config(user));
        watch.run(&format!("plan {inputs}"));
        watch.run(&format!("apply {inputs} --auto-approve"));
    }
    write("config", &format!("apiVersion: v1\nusers: [{{name: it, user: {{token: {}\n", password.plain()));
    watch.fails(&format!("plan {inputs}"), "kubeconfig");
}

/// A whole stack of ours, with a token for its model, in the simulator.
#[test]
fn no_token_of_a_model_is_ever_seen() {
    let folder = tempfile::tempdir().expect("folder");
    let mut watch =
        Watch { folder: folder.path(), variables: BTreeMap::new(), canaries: Vec::new(), seen: Mutex::default() };
    let [token, other, literal] = ["token", "other token", "add-on"].map(|name| watch.canary(name));
    let stack = include_str!("../../stacks/gpu-t4.toml");
    // Stand-ins take no values, and the real charts take minutes: `STACKWRIGHT_CANARY_CHARTS` is the folder for those.
    let charts = std::env::var("STACKWRIGHT_CANARY_CHARTS").ok();
    let table = "\n[addons.cert-manager]\n";
    let values = format!("{table}values = {{ podAnnotations = {{ word = \"${{inputs.word}}\" }} }}\n");
    let stack = match &charts {
        Some(_) => stack.replacen(table, &values, 1).replacen("[inputs]\n", "[inputs]\nword = { secret = true }\n", 1),
        None => stack.to_owned(),
    };
    assert_eq!(stack.contains("inputs.word"), charts.is_some(), "the stack has other tables now: {stack}");
    if let Some(charts) = charts {
        watch.variables.insert("STACKWRIGHT_CHARTS".to_owned(), charts);
        watch.variables.insert("STACKWRIGHT_VAR_word".to_owned(), literal.quoted());
    }
    std::fs::write(folder.path().join("user.toml"), stack).expect("written");
    watch.variables.insert("HF_TOKEN".to_owned(), token.plain());
    let simulated = "user.toml --sim";
    watch.run("validate user.toml");
    watch.ok(&format!("plan {simulated} --out plan"));
    watch.ok("show plan --json");
    watch.ok("apply plan --stack user.toml --sim --json");
    assert!(watch.ok(&format!("plan {simulated}")).contains("No changes."));
    watch.variables.insert("HF_TOKEN".to_owned(), other.quoted());
    let planned = watch.ok(&format!("plan {simulated}"));
    assert!(planned.contains("has another value"), "{planned}");
    watch.run(&format!("status {simulated} --json"));
    watch.ok(&format!("state rebuild {simulated} --auto-approve"));
    watch.run(&format!("export {simulated} -d files"));
    watch.ok(&format!("state pull {simulated}"));
    // The world holds what the cluster holds.
    watch.search(&["state/.sim/world.jsonl", "state/.sim/state/gpu-t4.key"]);
    watch.finish();
}
