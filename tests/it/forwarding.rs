//! A gateway without a public address is proven by port-forward, copies show their metrics by it, and kubectl's own
//! port-forward works on the simulator, in both of its manners.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use stackwright::env::disk::RealDisk;
use stackwright::sim::environment::environment;

use crate::arena::has_kubectl;
use crate::served::serve;

/// On one host, with what lets copies have a certificate that can be verified.
const OVERLAY: &str = "
[gateway]
internal = true
http_port = 80

[workloads.qwen-3b-tpu]
monitoring = \"pod-monitoring\"
";

const PATH: &str = "/inference/qwen-3b-tpu-svc";

fn stackwright(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

#[track_caller]
fn done(folder: &Path, words: &str) -> String {
    let output = stackwright(folder, words);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{words}: {text}");
    text
}

fn furnished() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/tpu-v6e.toml");
    std::fs::copy(base, folder.path().join("base.toml")).expect("copied");
    let stack = format!("extends = \"base.toml\"\nname = \"inner\"\n{OVERLAY}");
    std::fs::write(folder.path().join("stack.toml"), stack).expect("written");
    folder
}

#[test]
fn a_gateway_within_its_network_is_proven_by_port_forward() {
    let folder = furnished();
    let folder = folder.path();
    let said = done(folder, "apply --sim --auto-approve");
    let pod = "by port-forward to kserve/inference-gateway-istio-";
    assert!(
        said.contains("asking https://10.164.15.2/inference/qwen-3b-tpu-svc for a completion, by port-forward"),
        "{said}"
    );
    let proof = said.lines().find(|line| line.contains("answers as Qwen/Qwen2.5-3B-Instruct: first token after"));
    let proof = proof.unwrap_or_else(|| panic!("{said}"));
    assert!(proof.contains(pod) && proof.ends_with(":443: its gateway has no public address."), "{proof}");

    let status = done(folder, "status --sim");
    assert!(status.contains(&format!("ok      way: {pod}")), "{status}");
    assert!(status.contains("ok      completion: first token after"), "{status}");

    let verified = done(folder, "verify --sim -vv");
    assert!(
        verified.contains(&format!("ok      way: {pod}")) && verified.contains("ok      stream: 16 pieces"),
        "{verified}"
    );
    assert!(verified.contains("ok      cache metrics of qwen-3b-tpu-svc-kserve-"), "{verified}");
    // Verified TLS by port-forward, not the API server's own look at the page.
    let ways = |end: &str| verified.matches(end).count();
    assert!(verified.contains("/pods/qwen-3b-tpu-svc-kserve-") && ways("/portforward") > 5, "{verified}");
    assert_eq!(ways("/proxy/metrics"), 0, "{verified}");

    // There is no other way: the address leads nowhere from outside.
    let direct = stackwright(folder, &format!("verify --sim --endpoint http://10.164.15.2{PATH}"));
    let text = String::from_utf8_lossy(&direct.stdout).into_owned();
    assert!(!direct.status.success() && text.contains("nothing answers at 10.164.15.2:80"), "{text}");

    let events = done(
        folder,
        "apply --sim --auto-approve --json --replace gateway/Gateway.gateway.networking.k8s.io/kserve/inference-gateway",
    );
    let started = events.lines().find(|line| line.contains("\"type\":\"proof_start\"")).expect("a proof");
    let started: Json = serde_json::from_str(started).expect("JSON");
    assert!(
        started["proof"]["through"].as_str().is_some_and(|pod| pod.starts_with("kserve/inference-gateway-istio-")),
        "{started}"
    );

    if has_kubectl() {
        kubectl_forwards(folder);
    }
}

/// A client that is killed when dropped.
struct Forwarding(Child);

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a kubectl's port-forward says first, which has the port that it took.
fn forward(variables: &[(String, String)], by_websocket: bool, pod: &str, port: u16) -> (Forwarding, u16) {
    let mut child = Command::new("kubectl")
        .args(["port-forward", "-n", "kserve", "--address", "127.0.0.1", pod, &format!(":{port}")])
        .envs(variables.iter().cloned())
        .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", by_websocket.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("kubectl is on the machine");
    let mut out = child.stdout.take().expect("stdout");
    let mut said = String::new();
    let mut byte = [0];
    while !said.ends_with('\n') && out.read(&mut byte).expect("readable") == 1 {
        said.push(char::from(byte[0]));
    }
    let forwarding = Forwarding(child);
    let taken = said.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    // Whoever reads no further would stop kubectl.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    (forwarding, taken.unwrap_or_else(|| panic!("{said}")))
}

/// A request by hand; what came until the other side ended the connection.
fn asked(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("kubectl listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let request = format!("GET {path} HTTP/1.1\r\nHost: inner\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn kubectl_forwards(folder: &Path) {
    let served = serve(&folder.join("state/.sim"), "127.0.0.1:0");
    let mut variables = environment(&RealDisk, &served.url, &folder.join("clients")).expect("variables");
    variables.push(("KUBECONFIG".to_owned(), kubeconfig(folder, &served.url).display().to_string()));
    let listed = Command::new("kubectl")
        .args(["get", "pods", "-n", "kserve", "-o", "name", "-l", "gateway.networking.k8s.io/gateway-name"])
        .envs(variables.iter().cloned())
        .output()
        .expect("kubectl runs");
    let listed = String::from_utf8_lossy(&[listed.stdout, listed.stderr].concat()).into_owned();
    let pod = listed.lines().find(|line| line.contains("inference-gateway")).unwrap_or_else(|| panic!("{listed}"));
    for by_websocket in [true, false] {
        let (_forwarding, port) = forward(&variables, by_websocket, pod, 80);
        // Twice: each is a connection of its own within the one to the API server.
        for path in [format!("{PATH}/health"), format!("{PATH}/v1/models")] {
            let begun = Instant::now();
            let answer = asked(port, &path);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{by_websocket}: {path}: {answer:?}");
            assert!(begun.elapsed() < Duration::from_secs(15), "{path}: the connection did not end by itself");
        }
        let (_forwarding, port) = forward(&variables, by_websocket, pod, 9999);
        assert_eq!(asked(port, "/"), "", "nobody listens there");
    }
}

/// A kubeconfig for the stack's cluster, as the container API describes it.
fn kubeconfig(folder: &Path, url: &str) -> std::path::PathBuf {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let place = format!("{url}/v1/projects/sim-project/locations/europe-west4-a/clusters/inner");
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().build().expect("client");
    let cluster = runtime.block_on(async {
        let answer = client.get(place).bearer_auth("any").send().await.expect("answered");
        answer.json::<Json>().await.expect("JSON")
    });
    let (endpoint, ca) = (cluster["endpoint"].as_str(), cluster["masterAuth"]["clusterCaCertificate"].as_str());
    let (endpoint, ca) = (endpoint.unwrap_or_else(|| panic!("{cluster}")), ca.expect("a CA"));
    let token = std::fs::read_to_string(folder.join("clients/token")).expect("a token");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
         clusters: [{{name: a, cluster: {{server: 'https://{endpoint}', certificate-authority-data: {ca}}}}}]\n\
         users: [{{name: a, user: {{token: '{}'}}}}]\n",
        token.trim()
    );
    let path = folder.join("kubeconfig");
    std::fs::write(&path, text).expect("written");
    path
}
