//! A real control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok in place of
//! nodes. Most suites share one for the whole process and keep to namespaces and names of their own; those that
//! fill a cluster, or break it, start one for themselves.
//!
//! The programs come from the folder that `KUBEBUILDER_ASSETS` names, the convention of controller-runtime's
//! envtest. No container runs anywhere: kwok says that pods do, and `controllers` plays the add-ons' programs.
//! Each program is the child of a shell that ends it when this process ends, however that happens.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::controllers::{Addons, Wanted};
use super::{Api, Arena};

/// The administrator's token, of a server that lives for one test run on the loopback interface.
pub const TOKEN: &str = "administrator";
/// The range of Services; envtest's.
const SERVICES: &str = "10.0.0.0/24";

/// A control plane; its programs end when it is dropped.
pub struct ControlPlane {
    /// `https://127.0.0.1:…`.
    pub server: String,
    /// The server's authority, PEM.
    pub ca: String,
    /// Requests past stackwright.
    pub api: Api,
    assets: PathBuf,
    /// Certificates, logs and etcd's files.
    folder: tempfile::TempDir,
    arguments: BTreeMap<&'static str, Vec<String>>,
    running: Mutex<BTreeMap<&'static str, Child>>,
}

/// The one that suites share; never dropped, but ended with the process.
static SHARED: OnceLock<Option<ControlPlane>> = OnceLock::new();

/// The shared control plane, with a new folder; `None` when there are no programs for it.
pub fn arena() -> Option<Arena> {
    SHARED.get_or_init(ControlPlane::start).as_ref().map(ControlPlane::arena)
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

impl ControlPlane {
    /// A new one; `None`, after saying so, when there are no programs for it.
    pub fn start() -> Option<ControlPlane> {
        let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from) else {
            eprintln!("left out: no KUBEBUILDER_ASSETS, so there is no control plane");
            return None;
        };
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let ca = certificates(folder.path());
        std::fs::write(at("tokens.csv"), format!("{TOKEN},administrator,administrator,\"system:masters\"\n"))
            .expect("tokens");
        let egress = json!({
            "apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": {
                "proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": at("egress.sock")}}}}],
        });
        std::fs::write(at("egress.json"), egress.to_string()).expect("written");
        let server = format!("https://127.0.0.1:{}", port());
        let api = Api::new(&server, &ca, TOKEN);
        let mut arguments = arguments(&at, &server);
        kubeconfig(folder.path(), "kubeconfig", &server, &ca, TOKEN);
        // A smaller set of programs still serves most suites; what is missing is said.
        for name in ["kube-controller-manager", "kube-scheduler", "kwok"] {
            if !assets.join(name).exists() {
                eprintln!("left out: {} has no {name}", assets.display());
                arguments.remove(name);
            }
        }
        let running = Mutex::default();
        let plane = ControlPlane { server, ca, api, assets, folder, arguments, running };
        plane.spawn("etcd");
        plane.spawn("kube-apiserver");
        plane.is_ready();
        for name in ["kube-controller-manager", "kube-scheduler", "kwok"] {
            plane.spawn(name);
        }
        if plane.arguments.contains_key("kwok") {
            for number in 0..2 {
                plane.node(&format!("node-{number}"), &json!({}), &json!([]));
            }
        }
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        plane.api.wait(account, Duration::from_secs(60), |_| true);
        Some(plane)
    }

    /// Waits until the API server is ready.
    pub fn is_ready(&self) {
        self.api.wait("/readyz?verbose=", Duration::from_secs(120), |_| true);
    }

    /// A folder and a kubeconfig for a test.
    pub fn arena(&self) -> Arena {
        let folder = tempfile::tempdir().expect("folder");
        let kubeconfig = kubeconfig(folder.path(), "kubeconfig", &self.server, &self.ca, TOKEN);
        Arena {
            name: "control plane",
            api: self.api.clone(),
            folder,
            kubeconfig,
            variables: Mutex::default(),
            served: None,
        }
    }

    /// The add-ons' programs, but for those named.
    pub fn addons(&self, absent: &[&'static str]) -> Addons {
        let socket = self.folder.path().join("egress.sock");
        std::fs::remove_file(&socket).ok();
        let (server, ca, token) = (self.server.clone(), self.ca.clone(), TOKEN.to_owned());
        Addons::start(Wanted { server, ca, token, socket, absent: absent.to_vec() })
    }

    /// Adds a node and waits until it is ready.
    pub fn node(&self, name: &str, labels: &Json, taints: &Json) {
        let size = json!({"cpu": "64", "memory": "512Gi", "pods": "250", "ephemeral-storage": "512Gi"});
        let mut node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints}, "status": {"capacity": size, "allocatable": size},
        });
        node["metadata"]["labels"]["kubernetes.io/os"] = json!("linux");
        node["metadata"]["labels"]["kubernetes.io/arch"] = json!("amd64");
        self.api.post("/api/v1/nodes", &node);
        let path = format!("/api/v1/nodes/{name}");
        self.api.wait(&path, Duration::from_secs(60), |node| super::controllers::condition(node, "Ready") == "True");
    }

    /// Starts a program, if it is there.
    pub fn spawn(&self, name: &'static str) {
        let Some(arguments) = self.arguments.get(name) else { return };
        let path = self.folder.path().join(format!("{name}.log"));
        let log = std::fs::File::options().create(true).append(true).open(path).expect("log");
        let child = Command::new("sh")
            .args(["-c", "exec 3<&0; \"$@\" & child=$!; cat <&3 >/dev/null; kill -9 $child", "sh"])
            .arg(self.assets.join(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("started");
        self.running.lock().expect("lock").insert(name, child);
    }

    /// Ends a program as a power cut would.
    pub fn kill(&self, name: &str) {
        let child = self.running.lock().expect("lock").remove(name);
        if let Some(mut child) = child {
            // The shell kills it when its own input ends.
            child.stdin.take();
            child.wait().ok();
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for name in ["kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"] {
            self.kill(name);
        }
    }
}

/// What each program is told.
fn arguments(at: &impl Fn(&str) -> String, server: &str) -> BTreeMap<&'static str, Vec<String>> {
    let (etcd, peer) = (format!("http://127.0.0.1:{}", port()), format!("http://127.0.0.1:{}", port()));
    let etcd_arguments = vec![
        format!("--data-dir={}", at("etcd")),
        format!("--listen-client-urls={etcd}"),
        format!("--advertise-client-urls={etcd}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync=true".to_owned(),
    ];
    let server_arguments = vec![
        format!("--etcd-servers={etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        // Without it the server looks for a way to the world, and there may be none.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={}", server.rsplit(':').next().unwrap_or_default()),
        format!("--tls-cert-file={}", at("server.crt")),
        format!("--tls-private-key-file={}", at("server.key")),
        format!("--token-auth-file={}", at("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--allow-privileged=true".to_owned(),
        format!("--service-account-issuer={server}/"),
        format!("--service-account-key-file={}", at("accounts.pub")),
        format!("--service-account-signing-key-file={}", at("accounts.key")),
        // Webhooks are reached at a ready pod, as in production, by way of a tunnel that knows the pods.
        "--enable-aggregator-routing=true".to_owned(),
        format!("--egress-selector-config-file={}", at("egress.json")),
    ];
    let own = || {
        vec![
            format!("--kubeconfig={}", at("kubeconfig")),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", port()),
            "--leader-elect=false".to_owned(),
        ]
    };
    let mut manager = own();
    manager.push(format!("--service-account-private-key-file={}", at("accounts.key")));
    manager.push(format!("--root-ca-file={}", at("ca.crt")));
    // Nobody reports for the nodes again once they are ready.
    manager.push("--node-monitor-grace-period=24h".to_owned());
    std::fs::write(at("kwok.yaml"), include_str!("kwok.yaml")).expect("stages");
    let kwok_port = port();
    let kwok = vec![
        format!("--kubeconfig={}", at("kubeconfig")),
        format!("--config={}", at("kwok.yaml")),
        "--manage-all-nodes=true".to_owned(),
        "--cidr=10.244.0.0/16".to_owned(),
        "--node-ip=127.0.0.1".to_owned(),
        format!("--node-port={kwok_port}"),
        format!("--server-address=127.0.0.1:{kwok_port}"),
    ];
    BTreeMap::from([
        ("etcd", etcd_arguments),
        ("kube-apiserver", server_arguments),
        ("kube-controller-manager", manager),
        ("kube-scheduler", own()),
        ("kwok", kwok),
    ])
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
