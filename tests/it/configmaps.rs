//! A benchmark, not a test: thousands of ConfigMaps applied, planned again and deleted by this program, by kubectl
//! and by a bare HTTP client, in turn, on one control plane. Prints a table and asserts nothing.
//!
//! `KUBEBUILDER_ASSETS=… STACKWRIGHT_BENCH=target/release/stackwright cargo test --test it configmaps -- --ignored
//! --nocapture`; `KUBECTL` names another kubectl than the one on the path (take the server's own minor version),
//! `STACKWRIGHT_BENCH_SIZES` the numbers of objects.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Method};
use serde_json::{Value as Json, json};

use crate::arena;

/// Requests of the bare client that are under way at a time.
const PARALLEL: usize = 32;

/// What a process used.
struct Used {
    wall: Duration,
    cpu: f64,
    peak_mib: f64,
}

/// Ticks per second of `/proc/PID/stat`; the kernel's user interface has had this one value for decades.
const TICKS: f64 = 100.0;

/// Runs a process to its end, looking at its books every few milliseconds.
fn measure(command: &mut Command) -> Used {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
    let (status_file, stat_file) = (format!("/proc/{}/status", child.id()), format!("/proc/{}/stat", child.id()));
    let (mut cpu, mut peak) = (0.0, 0.0);
    let ended = loop {
        let stat = std::fs::read_to_string(&stat_file).unwrap_or_default();
        let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        let ticks = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok()).unwrap_or_default();
        cpu = f64::max(cpu, (ticks(11) + ticks(12)) / TICKS);
        let status = std::fs::read_to_string(&status_file).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = f64::max(peak, kib.unwrap_or_default() / 1024.0);
        if let Some(ended) = child.try_wait().expect("waited") {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let wall = begun.elapsed();
    if !ended.success() {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().expect("piped"), &mut text).expect("read");
        panic!("{command:?}: {ended}: {text}");
    }
    Used { wall, cpu, peak_mib: peak }
}

/// One object, with a payload of about 300 bytes.
fn object(namespace: &str, number: usize) -> Json {
    let note = format!("{number:08x}").repeat(30);
    let payload = json!({"id": number, "kind": "vm", "tags": {"team": format!("team-{}", number % 40)}, "note": note});
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("n{number}"), "namespace": namespace},
        "data": {"payload": payload.to_string()},
    })
}

fn manifests(namespace: &str, count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, "---\n{}", object(namespace, number)).expect("a string");
        text
    })
}

/// The cluster, as its kubeconfig says.
struct Bare {
    server: String,
    token: String,
    client: Client,
}

impl Bare {
    fn new(kubeconfig: &Path) -> Arc<Bare> {
        let config: Json =
            serde_json::from_slice(&std::fs::read(kubeconfig).expect("a kubeconfig")).expect("it is JSON");
        let text = |pointer: &str| config.pointer(pointer).and_then(Json::as_str).expect("there").to_owned();
        let ca = std::fs::read(text("/clusters/0/cluster/certificate-authority")).expect("the authority");
        let client = Client::builder().no_proxy().tls_certs_only([Certificate::from_pem(&ca).expect("PEM")]);
        Arc::new(Bare {
            server: text("/clusters/0/cluster/server"),
            token: text("/users/0/user/token"),
            client: client.build().expect("client"),
        })
    }

    async fn send(&self, method: Method, path: &str, body: String) -> String {
        let request = self.client.request(method, format!("{}{path}", self.server)).bearer_auth(&self.token);
        let answer = request.header("content-type", "application/apply-patch+yaml").body(body).send().await;
        let answer = answer.expect("an answer");
        let fine = answer.status().is_success();
        let text = answer.text().await.expect("a body");
        assert!(fine, "{path}: {text}");
        text
    }

    /// A request per object, some at a time.
    fn each(self: &Arc<Self>, namespace: &str, count: usize, method: Method, query: &str, body: bool) -> Duration {
        use futures_util::stream::{self, StreamExt};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let begun = Instant::now();
        runtime.block_on(async {
            let requests = (0..count).map(|number| {
                let path = format!("/api/v1/namespaces/{namespace}/configmaps/n{number}{query}");
                let text = if body { object(namespace, number).to_string() } else { String::new() };
                let (bare, method) = (self.clone(), method.clone());
                async move { bare.send(method, &path, text).await }
            });
            stream::iter(requests).buffer_unordered(PARALLEL).for_each(|_| async {}).await;
        });
        begun.elapsed()
    }

    fn get(&self, path: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(self.send(Method::GET, path, String::new()))
    }

    /// Requests about ConfigMaps that the server has answered so far.
    fn requests(&self) -> f64 {
        let metrics = self.get("/metrics");
        let ours = metrics
            .lines()
            .filter(|line| line.starts_with("apiserver_request_total{") && line.contains("resource=\"configmaps\""));
        ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

#[test]
#[ignore = "a benchmark: minutes, and figures instead of a verdict"]
fn apply_plan_delete() {
    let Some(arena) = arena::control_plane() else {
        eprintln!("skipped: no KUBEBUILDER_ASSETS");
        return;
    };
    let program = std::env::var_os("STACKWRIGHT_BENCH").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_stackwright")),
        |path| std::path::absolute(path).expect("a path"),
    );
    let kubectl = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
    let sizes = std::env::var("STACKWRIGHT_BENCH_SIZES").unwrap_or_else(|_| "1000,5000".to_owned());
    let bare = Bare::new(&arena.folder().join("kubeconfig"));
    println!("| objects | what | wall | CPU of the client | requests | peak memory |\n|--:|---|--:|--:|--:|--:|");
    for count in sizes.split(',').map(|word| word.parse::<usize>().expect("a number")) {
        let line = |what: &str, used: &Used, requests: f64| {
            let (wall, cpu, peak) = (used.wall.as_secs_f64(), used.cpu, used.peak_mib);
            println!("| {count} | {what} | {wall:.2} s | {cpu:.2} s | {requests} | {peak:.0} MiB |");
        };
        let own = |what: &str, wall: Duration, requests: f64| {
            println!("| {count} | {what} | {:.2} s | | {requests} | |", wall.as_secs_f64());
        };
        let counted = |run: &dyn Fn() -> Used| {
            let before = bare.requests();
            let used = run();
            (used, bare.requests() - before)
        };
        let (for_bare, for_kubectl, for_us) =
            (format!("bare-{count}"), format!("kubectl-{count}"), format!("stackwright-{count}"));
        for namespace in [&for_bare, &for_kubectl, &for_us] {
            arena.api.post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}));
        }

        // A bare client: no state, no plan, no look before a write.
        bare.each(&for_bare, 1, Method::PATCH, "?fieldManager=bare", true);
        let applied = bare.each(&for_bare, count, Method::PATCH, "?fieldManager=bare", true);
        own("bare client: server-side apply", applied, count as f64);
        let begun = Instant::now();
        bare.get(&format!("/api/v1/namespaces/{for_bare}/configmaps"));
        own("bare client: list", begun.elapsed(), 1.0);
        let deleted = bare.each(&for_bare, count, Method::DELETE, "", false);
        own("bare client: delete", deleted, count as f64);

        arena.write(&format!("{for_kubectl}.yaml"), &manifests(&for_kubectl, count));
        let ctl = |words: &[&str]| {
            let file = format!("{for_kubectl}.yaml");
            counted(&|| {
                let mut command = Command::new(&kubectl);
                command.args(["--kubeconfig", "kubeconfig", "--cache-dir", "cache"]).args(words).args(["-f", &file]);
                measure(command.current_dir(arena.folder()))
            })
        };
        for words in [&["apply", "--server-side"][..], &["diff", "--server-side"], &["delete", "--wait=false"]] {
            let (used, requests) = ctl(words);
            line(&format!("`kubectl {}`", words.join(" ")), &used, requests);
        }

        arena.write(&format!("{for_us}.yaml"), &manifests(&for_us, count));
        arena.write(
            &format!("{for_us}.toml"),
            &format!(
                "name = \"{for_us}\"\n[cluster]\nkubeconfig = \"kubeconfig\"\n[manifests.all]\nfiles = [\"{for_us}.yaml\"]\n"
            ),
        );
        let ours = |words: &[&str]| {
            let file = format!("{for_us}.toml");
            counted(&|| {
                let mut command = Command::new(&program);
                command.args(words).arg(&file).env_clear().env("HOME", arena.folder());
                measure(command.current_dir(arena.folder()))
            })
        };
        for words in [
            &["plan"][..],
            &["apply", "--auto-approve"],
            &["plan", "--detailed-exitcode"],
            &["destroy", "--auto-approve"],
        ] {
            let (used, requests) = ours(words);
            let what = if words == ["plan", "--detailed-exitcode"] {
                "plan` (no changes)"
            } else {
                &format!("{}`", words.join(" "))
            };
            line(&format!("`stackwright {what}"), &used, requests);
        }
    }
}
