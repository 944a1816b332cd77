//! `docs/recovering.md`, as it is written: each situation is brought about, then its commands are run and must print
//! what the page says. `SERIAL` stands for the serial that the page speaks of.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use stackwright::state::codec;
use stackwright::state::transition::Transition;

use crate::arena::{Arena, MAKER, simulated};

const STACK: &str =
    "name = \"demo\"\n[cluster]\nkubeconfig = \"kubeconfig\"\n[manifests.app]\nfiles = [\"app.yaml\"]\n";

const APP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: colours, namespace: demo}
data: {sky: blue}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: docker.io/library/nginx:1.27
        resources: {requests: {cpu: 1000m, memory: 0.5Gi}}
";

/// A block of the page.
#[derive(Debug)]
enum Block {
    /// Commands, each with what it prints and whether it succeeds.
    Console(Vec<(String, Vec<String>, bool)>),
    /// What is added to the stack file.
    Toml(String),
}

/// The page's sections with their blocks.
fn sections(page: &str) -> Vec<(String, Vec<Block>)> {
    let mut sections: Vec<(String, Vec<Block>)> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            sections.push((heading.to_owned(), Vec::new()));
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let text = lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>();
        let block = match language {
            "toml" => Block::Toml(text.join("\n")),
            "console" => {
                let mut commands: Vec<(String, Vec<String>, bool)> = Vec::new();
                for line in text {
                    match (line.strip_prefix("$ stackwright "), line) {
                        (Some(command), _) => commands.push((command.to_owned(), Vec::new(), true)),
                        (None, "[exit 1]") => commands.last_mut().expect("a command").2 = false,
                        (None, line) => commands.last_mut().expect("a command").1.push(line.to_owned()),
                    }
                }
                Block::Console(commands)
            }
            other => panic!("a block of {other}"),
        };
        sections.last_mut().expect("a heading").1.push(block);
    }
    sections
}

/// Words without what a terminal's width breaks them at.
fn flat(text: &str) -> String {
    let frame = |c: char| matches!(c, '│' | '×');
    text.replace(frame, " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn play(arena: &Arena, heading: &str, blocks: &[Block], more: &str) {
    for block in blocks {
        match block {
            Block::Toml(text) => {
                let stack = std::fs::read_to_string(arena.folder().join("stack.toml")).expect("readable");
                arena.write("stack.toml", &format!("{stack}\n{text}\n"));
            }
            Block::Console(commands) => {
                for (command, printed, succeeds) in commands {
                    let mut command = command.clone();
                    if command.contains("SERIAL") {
                        command = command.replace("SERIAL", &serial(arena, more));
                    }
                    let (fine, text) = arena.stackwright(&format!("{command}{more}"));
                    assert_eq!(fine, *succeeds, "{heading}: {command}: {text}");
                    for line in printed {
                        assert!(flat(&text).contains(&flat(line)), "{heading}: {command}: no {line:?} in\n{text}");
                    }
                }
            }
        }
    }
}

/// That of the last run that was no push.
fn serial(arena: &Arena, more: &str) -> String {
    let list = arena.ok(&format!("history list{more}"));
    let run = list.lines().rfind(|line| line.contains("+") && !line.contains("state push")).expect("a run");
    run.split_whitespace().next().expect("a serial").to_owned()
}

fn storage(arena: &Arena, path: &str, body: &str) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().build().expect("client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let status = runtime.block_on(async {
        let request = client.post(format!("{}{path}", arena.simulator())).header("content-type", "application/json");
        request.body(body.to_owned()).send().await.expect("answered").status()
    });
    assert!(status.is_success(), "{path}: {status}");
}

/// What was recorded is spoilt in the middle.
fn damage(journal: &Path) {
    let mut bytes = std::fs::read(journal).expect("a journal");
    let lines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect::<Vec<_>>();
    let at = lines[lines.len() - 2] + 20;
    bytes[at] ^= 1;
    bytes.extend_from_slice(b"rubbish\n");
    std::fs::write(journal, bytes).expect("written");
}

/// A run that is killed once it has begun to make something.
fn kill_a_run(arena: &Arena) {
    let more =
        (0..30).map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{n}, namespace: demo}}\n"));
    arena.write("app.yaml", &format!("{APP}{}", more.collect::<String>()));
    let journal = arena.folder().join("state/demo/journal");
    let length = || std::fs::metadata(&journal).map_or(0, |metadata| metadata.len());
    let before = length();
    let mut run = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(["apply", "--auto-approve", "--parallelism", "1"])
        .current_dir(arena.folder())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let begun = Instant::now();
    while length() == before && run.try_wait().expect("alive or not").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it begins nothing");
        std::thread::sleep(Duration::from_millis(2));
    }
    run.kill().expect("killed");
    run.wait().expect("dead");
}

/// Brings about what a section is about.
fn prepare(arena: &Arena, heading: &str) {
    let state = arena.folder().join("state/demo");
    match heading {
        "The state is lost" => std::fs::remove_dir_all(&state).expect("removed"),
        "The state is damaged" => {
            arena.write("app.yaml", &APP.replace("sky: blue", "sky: red"));
            arena.ok("apply --auto-approve");
            damage(&state.join("journal"));
        }
        "The stack key is lost" => {
            let login = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: demo}\n";
            arena.write("app.yaml", &format!("{APP}{login}stringData: {{word: hunter2}}\n"));
            arena.ok("apply --auto-approve");
            std::fs::remove_file(arena.folder().join("state/demo.key")).expect("removed");
        }
        "A run was killed" => kill_a_run(arena),
        "The state is to be kept elsewhere" => {
            storage(arena, "/storage/v1/b?project=demo", "{\"name\":\"states\"}");
            // A login that asks nobody for tokens, and leads to the simulator.
            let account = json!({
                "gcs_base_url": format!("{}/storage", arena.simulator()), "disable_oauth": true,
                "client_email": "", "private_key": "", "private_key_id": "",
            });
            arena.write("account.json", &account.to_string());
            arena.set("GOOGLE_SERVICE_ACCOUNT", "account.json");
        }
        "A run is gone and has kept its lease" => {
            let lease = json!({
                "format": 1, "epoch": 1000, "run": "0011223344556677", "holder": "somebody else's laptop",
                "renewals": 3, "term": 60, "released": false,
            });
            let lease = codec::sealed(lease.to_string().as_bytes());
            let path = "/upload/storage/v1/b/states/o?uploadType=media&name=team%2Fdemo%2Flease";
            storage(arena, path, &String::from_utf8(lease).expect("text"));
        }
        "The store was away, and a journal was not pushed" => {
            let pulled: serde_json::Value = serde_json::from_str(&arena.ok("state pull")).expect("JSON");
            let serial = pulled["serial"].as_u64().expect("a serial") + 1;
            let mut record = Vec::new();
            codec::encode_record(serial, &Transition::Outputs(std::collections::BTreeMap::new()), &mut record);
            std::fs::create_dir_all(&state).expect("made");
            std::fs::write(state.join("unpushed"), record).expect("written");
            // The run has something to write.
            arena.write("app.yaml", &APP.replace("sky: blue", "sky: grey"));
        }
        "A wrong state was pushed" => {
            let mut wrong: serde_json::Value = serde_json::from_str(&arena.ok("state pull")).expect("JSON");
            wrong["lineage"] = "of-another".into();
            wrong["resources"].as_object_mut().expect("resources").remove("ConfigMap/demo/colours").expect("there");
            arena.write("wrong.json", &wrong.to_string());
            let (fine, text) = arena.stackwright("state push wrong.json");
            assert!(!fine && text.contains("another lineage"), "{text}");
            arena.ok("state push wrong.json --force");
        }
        "Something is not to be managed any more" | "The state was written by a newer version" => {}
        "The cluster was deleted by hand" => {
            arena.write("stack.toml", MAKER);
            let path = "/v1/projects/stackwright-sim/locations/us-central1-a/clusters/maker";
            rustls::crypto::ring::default_provider().install_default().ok();
            let client = reqwest::Client::builder().no_proxy().build().expect("client");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            let url = format!("{}{path}", arena.simulator());
            let ask = |method: reqwest::Method| {
                runtime.block_on(async { client.request(method, &url).send().await.expect("answered").status() })
            };
            assert!(ask(reqwest::Method::DELETE).is_success());
            let begun = Instant::now();
            while ask(reqwest::Method::GET).is_success() {
                assert!(begun.elapsed() < Duration::from_secs(60), "it stays");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        "The cluster is another stack's" => {
            let other = MAKER.replace("name = \"maker\"", "name = \"other\"");
            arena.write("stack.toml", &other.replace("[cluster]\n", "[cluster]\nname = \"maker\"\n"));
        }
        other => panic!("nothing brings about {other:?}"),
    }
}

#[test]
fn the_page_works_as_it_is_written() {
    let arena = simulated();
    arena.write("stack.toml", STACK);
    arena.write("app.yaml", APP);
    arena.ok("apply --auto-approve");
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recovering.md"));
    let sections = sections(&page.expect("the page"));
    assert!(sections.len() > 9, "{}", sections.len());
    let simulation = format!(" --sim={} --world world", arena.simulator());
    for (heading, blocks) in &sections {
        prepare(&arena, heading);
        // These are about a cluster of Google's: the simulator plays it.
        let more = if heading.starts_with("The cluster") { simulation.as_str() } else { "" };
        play(&arena, heading, blocks, more);
    }
}
