//! kubectl as a client of the simulated API server, over plain HTTP on the loopback interface.
//!
//! Ignored by default: it needs kubectl on the machine and opens a socket. Run it with `--ignored`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use stackwright::env::clock::WallClock;
use stackwright::env::random::SystemRandom;
use stackwright::sim::kube::server::{ApiServer, Parts, User};
use stackwright::sim::kube::{admission, router};
use stackwright::sim::world::World;

use crate::kube_server::Silent;

struct Kubectl {
    server: String,
    home: tempfile::TempDir,
}

impl Kubectl {
    fn run(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut child = Command::new("kubectl")
            .args(["--server", &self.server, "--token", "admin", "--cache-dir"])
            .arg(self.home.path())
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl is on the machine");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("kubectl reads");
        let output = child.wait_with_output().expect("kubectl ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    fn ok(&self, arguments: &[&str], input: &str) -> String {
        let (fine, text) = self.run(arguments, input);
        assert!(fine, "kubectl {arguments:?}: {text}");
        text
    }
}

const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wi]}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer, default: 3}}}}}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
"#;

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1"}]}
"#;

#[test]
#[ignore = "needs kubectl on the machine and opens a socket"]
fn kubectl_works() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (server, address) = runtime.block_on(async {
        let server = ApiServer::open(Parts {
            cluster: "c".to_owned(),
            world: World::in_memory(),
            clock: Arc::new(WallClock::new()),
            random: Arc::new(SystemRandom),
            webhooks: Arc::new(Silent),
            plugins: admission::standard(),
            version: "v1.34.1-gke.1293000".to_owned(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(server.clone().run());
        // kubectl sends no token over plain HTTP.
        let app = router(server.clone()).layer(axum::Extension(User::admin()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (server, address)
    });
    let kubectl = Kubectl { server: format!("http://{address}"), home: tempfile::tempdir().expect("a folder") };
    assert!(kubectl.ok(&["version"], "").contains("v1.34.1-gke.1293000"));
    assert!(kubectl.ok(&["api-resources"], "").contains("deployments"));
    kubectl.ok(&["create", "namespace", "demo"], "");
    kubectl.ok(&["create", "configmap", "m", "-n", "demo", "--from-literal=a=b"], "");
    kubectl.ok(&["create", "secret", "generic", "s", "-n", "demo", "--from-literal=a=b"], "");
    kubectl.ok(&["create", "role", "r", "-n", "demo", "--verb=get", "--resource=pods"], "");
    kubectl.ok(&["create", "rolebinding", "r", "-n", "demo", "--role=r", "--user=somebody"], "");
    assert_eq!(kubectl.ok(&["get", "secret/s", "-n", "demo", "-o", "jsonpath={.data.a}"], ""), "Yg==");
    assert!(kubectl.ok(&["get", "ns"], "").contains("demo"));
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "demo"}});
    runtime.block_on(server.api().create(account)).expect("account");
    assert!(kubectl.ok(&["apply", "-f", "-"], DEPLOYMENT).contains("deployment.apps/web created"));
    assert!(kubectl.ok(&["apply", "-f", "-"], DEPLOYMENT).contains("unchanged"));
    let three = DEPLOYMENT.replace("replicas: 2", "replicas: 3");
    assert!(kubectl.ok(&["diff", "-f", "-"], DEPLOYMENT).is_empty());
    assert!(kubectl.ok(&["apply", "-f", "-"], &three).contains("configured"));
    assert!(
        kubectl.ok(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &three).contains("serverside-applied")
    );
    assert!(kubectl.ok(&["get", "deploy", "-n", "demo"], "").contains("0/3"));
    kubectl.ok(&["scale", "deploy/web", "-n", "demo", "--replicas=1"], "");
    kubectl.ok(&["set", "image", "deploy/web", "c=nginx:2", "-n", "demo"], "");
    kubectl.ok(&["label", "deploy/web", "x=y", "-n", "demo"], "");
    let text = kubectl.ok(&["get", "deploy/web", "-n", "demo", "-o", "json"], "");
    let object: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!(object["spec"]["replicas"], 1);
    assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:2");
    assert!(kubectl.ok(&["explain", "deployment.spec.replicas"], "").contains("integer"));
    kubectl.ok(&["apply", "-f", "-"], CRD);
    // `kubectl wait` stumbles over the conditions that a new CRD does not have yet, as on a real server.
    std::thread::sleep(std::time::Duration::from_millis(500));
    kubectl.ok(&["wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s"], "");
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: demo}\nspec: {}\n";
    kubectl.ok(&["apply", "-f", "-"], widget);
    assert!(kubectl.ok(&["get", "wi", "-A"], "").contains('3'));
    let (fine, refused) = kubectl.run(&["apply", "-f", "-"], &widget.replace("spec: {}", "spec: {siez: 1}"));
    assert!(!fine && refused.contains("unknown field \"spec.siez\""), "{refused}");
    assert_eq!(kubectl.run(&["auth", "can-i", "get", "pods", "--as", "nobody"], "").1.trim(), "no");
    assert_eq!(kubectl.ok(&["auth", "can-i", "get", "pods", "-n", "demo", "--as", "somebody"], "").trim(), "yes");
    kubectl.ok(&["delete", "crd", "widgets.example.com", "--timeout=20s"], "");
    kubectl.ok(&["delete", "deploy/web", "-n", "demo"], "");
    assert!(kubectl.ok(&["get", "all", "-n", "demo"], "").contains("No resources found"));
}
