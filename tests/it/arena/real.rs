//! A real control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok in place of
//! nodes. One for the whole process, on loopback ports; tests keep to namespaces and names of their own.
//!
//! The programs come from the folder that `KUBEBUILDER_ASSETS` names, the convention of controller-runtime's
//! envtest. No container runs anywhere: kwok says that pods do. Each program is the child of a shell that ends
//! it when this process ends, however that happens.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;

use super::{Api, Arena};

/// The administrator's token, of a server that lives for one test run on the loopback interface.
const TOKEN: &str = "administrator";
/// The range of Services; envtest's.
const SERVICES: &str = "10.0.0.0/24";

struct Running {
    server: String,
    ca: String,
    /// Certificates, logs and etcd's files; kept for the process.
    _folder: tempfile::TempDir,
}

static RUNNING: OnceLock<Option<Running>> = OnceLock::new();

/// The control plane, with a new folder; `None` when there are no programs for it.
pub fn arena() -> Option<Arena> {
    let running = RUNNING.get_or_init(start).as_ref()?;
    let folder = tempfile::tempdir().expect("folder");
    let kubeconfig = kubeconfig(folder.path(), "kubeconfig", &running.server, &running.ca, TOKEN);
    let api = Api::new(&running.server, &running.ca, TOKEN);
    Some(Arena { name: "control plane", api, folder, kubeconfig, _served: None })
}

/// Writes a kubeconfig with a token.
pub fn kubeconfig(folder: &Path, name: &str, server: &str, ca_pem: &str, token: &str) -> PathBuf {
    let ca = folder.join(format!("{name}.ca"));
    std::fs::write(&ca, ca_pem).expect("written");
    let path = folder.join(name);
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": "it", "user": {"token": token}}],
    });
    std::fs::write(&path, text.to_string()).expect("written");
    path
}

fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Starts a program that ends with this process.
fn spawn(folder: &Path, assets: &Path, name: &str, arguments: &[String]) {
    let log = std::fs::File::create(folder.join(format!("{name}.log"))).expect("log");
    #[expect(clippy::zombie_processes, reason = "it ends with this process, which nothing of it outlives")]
    let mut child = Command::new("sh")
        .args(["-c", "exec 3<&0; \"$@\" & child=$!; cat <&3 >/dev/null; kill -9 $child", "sh"])
        .arg(assets.join(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        .spawn()
        .expect("started");
    // Held open until the process is gone; nobody waits for the shell.
    std::mem::forget(child.stdin.take());
}

fn start() -> Option<Running> {
    let assets = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS")?);
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let ca = certificates(folder.path());
    std::fs::write(at("tokens.csv"), format!("{TOKEN},administrator,administrator,\"system:masters\"\n"))
        .expect("tokens");

    let (etcd, peer) = (format!("http://127.0.0.1:{}", port()), format!("http://127.0.0.1:{}", port()));
    let etcd_arguments = [
        format!("--data-dir={}", at("etcd")),
        format!("--listen-client-urls={etcd}"),
        format!("--advertise-client-urls={etcd}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync=true".to_owned(),
    ];
    spawn(folder.path(), &assets, "etcd", &etcd_arguments);

    let server_port = port();
    let server = format!("https://127.0.0.1:{server_port}");
    let server_arguments = [
        format!("--etcd-servers={etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        // Without it the server looks for a way to the world, and there may be none.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={server_port}"),
        format!("--tls-cert-file={}", at("server.crt")),
        format!("--tls-private-key-file={}", at("server.key")),
        format!("--token-auth-file={}", at("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--allow-privileged=true".to_owned(),
        format!("--service-account-issuer={server}/"),
        format!("--service-account-key-file={}", at("accounts.pub")),
        format!("--service-account-signing-key-file={}", at("accounts.key")),
    ];
    spawn(folder.path(), &assets, "kube-apiserver", &server_arguments);
    let api = Api::new(&server, &ca, TOKEN);
    api.wait("/readyz?verbose=", Duration::from_secs(120), |_| true);

    let kubeconfig = kubeconfig(folder.path(), "kubeconfig", &server, &ca, TOKEN).display().to_string();
    let own = |name: &str| {
        let mut arguments = vec![
            format!("--kubeconfig={kubeconfig}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", port()),
            "--leader-elect=false".to_owned(),
        ];
        if name == "kube-controller-manager" {
            arguments.push(format!("--service-account-private-key-file={}", at("accounts.key")));
            arguments.push(format!("--root-ca-file={}", at("ca.crt")));
        }
        arguments
    };
    // A smaller set of programs still serves most suites; what is missing is said, once.
    for name in ["kube-controller-manager", "kube-scheduler"] {
        if assets.join(name).exists() {
            spawn(folder.path(), &assets, name, &own(name));
        } else {
            eprintln!("left out: {} has no {name}", assets.display());
        }
    }
    if assets.join("kwok").exists() {
        let kwok_port = port();
        std::fs::write(at("kwok.yaml"), include_str!("kwok.yaml")).expect("stages");
        let arguments = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--config={}", at("kwok.yaml")),
            "--manage-all-nodes=true".to_owned(),
            "--cidr=10.244.0.0/16".to_owned(),
            "--node-ip=127.0.0.1".to_owned(),
            format!("--node-port={kwok_port}"),
            format!("--server-address=127.0.0.1:{kwok_port}"),
        ];
        spawn(folder.path(), &assets, "kwok", &arguments);
        for number in 0..2 {
            node(&api, number);
        }
        let is_ready = |node: &serde_json::Value| {
            node["status"]["conditions"]
                .as_array()
                .is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        };
        api.wait("/api/v1/nodes/node-1", Duration::from_secs(60), is_ready);
    }
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    api.wait(account, Duration::from_secs(60), |_| true);
    Some(Running { server, ca, _folder: folder })
}

fn node(api: &Api, number: usize) {
    let size = json!({"cpu": "32", "memory": "256Gi", "pods": "110"});
    api.post(
        "/api/v1/nodes",
        &json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("node-{number}"), "labels": {"kubernetes.io/os": "linux"}},
            "status": {"capacity": size, "allocatable": size},
        }),
    );
}

/// An authority, the server's certificate, and the key that signs account tokens. Returns the authority, PEM.
fn certificates(folder: &Path) -> String {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("authority");
    let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let key = KeyPair::generate().expect("key");
    let server =
        CertificateParams::new(names.map(str::to_owned)).expect("names").signed_by(&key, &authority).expect("signed");
    write("ca.crt", &authority.pem());
    write("server.crt", &server.pem());
    write("server.key", &key.serialize_pem());
    let accounts = KeyPair::generate().expect("key");
    write("accounts.key", &accounts.serialize_pem());
    write("accounts.pub", &accounts.public_key_pem());
    authority.pem()
}
