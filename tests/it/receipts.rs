//! Destroy, and the receipt: what clusters leave behind is found, told apart from what is like it, priced and swept;
//! what could not be looked at is unknown, and no receipt.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use stackwright::env::disk::RealDisk;
use stackwright::sim::world::World;

use crate::served::serve;
use crate::stacks::remains;

const STACK: &str = r#"
name = "shop"
[cluster]
name = "shop"
project = "p-demo"
location = "europe-west4-a"
[manifests.web]
files = ["web.yaml"]
"#;

/// A Service with a load balancer, and a disk in use.
const WEB: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 73Gi}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "docker.io/library/busybox:1", volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"#;

/// The program on a stack in a folder; whether it succeeded, standard output, standard error.
fn stackwright(folder: &Path, words: &str) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn ok(folder: &Path, words: &str) -> String {
    let (fine, out, err) = stackwright(folder, words);
    assert!(fine, "{words}:\n{out}\n{err}");
    out + &err
}

fn refused(folder: &Path, words: &str) -> String {
    let (fine, out, err) = stackwright(folder, words);
    assert!(!fine, "{words} succeeded:\n{out}\n{err}");
    out + &err
}

fn furnished() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("stack.toml"), STACK).expect("written");
    std::fs::write(folder.path().join("web.yaml"), WEB).expect("written");
    folder
}

fn faults(folder: &Path, rules: &Json) {
    let world = folder.join("state/.sim");
    std::fs::create_dir_all(&world).expect("made");
    std::fs::write(world.join("faults.json"), json!({ "faults": rules }).to_string()).expect("written");
}

/// Opens a world that no process has. A program that another test is just starting may hold on to its lock for a moment:
/// a new process has all open files until it becomes the program.
pub fn world<T>(folder: &Path, look: impl FnOnce(&World) -> T) -> T {
    let open = || World::open(&RealDisk, &folder.join("state/.sim"));
    let mut tries = 0;
    let world = loop {
        match open() {
            Ok(world) => break world,
            Err(_) if tries < 50 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            Err(error) => panic!("the world is not free: {error}"),
        }
    };
    look(&world)
}

/// Names of a collection of the simulated Compute API.
fn names(folder: &Path, collection: &str) -> BTreeSet<String> {
    let keys = world(folder, |world| world.section(&format!("google/compute/{collection}")));
    keys.into_keys().filter_map(|key| key.rsplit('/').next().map(str::to_owned)).collect()
}

/// The receipt of a run with `--json`.
fn receipt(output: &str) -> Json {
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    lines.filter_map(|line| line.get("receipt").cloned()).next_back().unwrap_or_else(|| panic!("no receipt:\n{output}"))
}

fn client() -> reqwest::ClientBuilder {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy()
}

/// Puts a thing into the simulated Compute API.
fn plant(world: &World, collection: &str, place: &str, name: &str, fields: Json) {
    let mut document = json!({
        "name": name, "_project": "p-demo", "_scope": place, "creationTimestamp": "2099-01-01T00:00:00.000-00:00",
        "selfLink": format!("https://www.googleapis.com/compute/v1/projects/p-demo/{place}/{collection}/{name}"),
    });
    if let (Some(document), Json::Object(fields)) = (document.as_object_mut(), fields) {
        document.extend(fields);
    }
    world.put(&format!("google/compute/{collection}"), &format!("p-demo/{place}/{name}"), document);
}

/// All collections that are looked through, and how each is listed.
const LISTS: [(&str, &str); 19] = [
    ("forwardingRules", "aggregated"),
    ("targetHttpProxies", "aggregated"),
    ("targetHttpsProxies", "aggregated"),
    ("targetSslProxies", "global"),
    ("targetTcpProxies", "global"),
    ("urlMaps", "aggregated"),
    ("sslCertificates", "aggregated"),
    ("targetPools", "aggregated"),
    ("backendServices", "aggregated"),
    ("networkEndpointGroups", "aggregated"),
    ("healthChecks", "aggregated"),
    ("httpHealthChecks", "global"),
    ("addresses", "aggregated"),
    ("instanceGroupManagers", "aggregated"),
    ("instanceGroups", "aggregated"),
    ("instances", "aggregated"),
    ("disks", "aggregated"),
    ("routes", "global"),
    ("firewalls", "global"),
];

#[test]
fn an_orderly_destroy_leaves_nothing_and_says_so() {
    let folder = furnished();
    let folder = folder.path();
    ok(folder, "apply --sim --auto-approve");
    let kept = serde_json::from_str::<Json>(&ok(folder, "state pull --sim")).expect("JSON");
    let facts = kept["captured"].as_object().expect("facts").values().next().expect("of the cluster");
    assert_eq!(facts["services"].as_object().map(serde_json::Map::len), Some(1), "{facts}");
    assert_eq!(facts["volumes"].as_array().map(Vec::len), Some(1), "{facts}");
    assert!(facts["system_uid"].is_string() && facts["ingress_uids"][0].is_string(), "{facts}");
    let said = ok(folder, "destroy --sim --auto-approve --json");
    let receipt = receipt(&said);
    assert_eq!((&receipt["remaining"], &receipt["unknown"]), (&json!([]), &json!([])), "{receipt}");
    assert_eq!(receipt["removed"]["gke.cluster"], 1, "{receipt}");
    assert!(receipt["looked_for"].as_array().is_some_and(|kinds| kinds.len() == 21), "{receipt}");
    let file = std::fs::read(folder.join("state/.sim/state/shop.receipt.json")).expect("the receipt is kept");
    assert_eq!(serde_json::from_slice::<Json>(&file).expect("JSON"), receipt);
    assert_eq!(remains(&folder.join("state/.sim")), Vec::<String>::new());
    let after = serde_json::from_str::<Json>(&ok(folder, "state pull --sim")).expect("JSON");
    assert_eq!(after.get("captured"), None, "nothing is left to be looked for");
}

#[test]
fn what_leaks_is_found_priced_and_swept_and_look_alikes_stay() {
    let folder = furnished();
    let folder = folder.path();
    ok(folder, "apply --sim --auto-approve");
    // Everything that is deleted from now on stays.
    faults(folder, &json!([{"kind": "leak"}]));
    let said = refused(folder, "destroy --sim --auto-approve");
    assert!(said.contains("Destroy complete!") && said.contains(" left:"), "{said}");
    for kind in [
        "forwarding rule a",
        "target pool a",
        "HTTP health check k8s-",
        "disk pvc-",
        "firewall gke-shop-",
        "firewall k8s-fw-",
        "managed instance group gke-shop-",
        "instance gke-shop-",
    ] {
        assert!(said.contains(&format!("  {kind}")), "{kind}:\n{said}");
    }
    assert!(said.contains("the stack's (it is a volume that the cluster had), $0.010 per hour"), "{said}");
    assert!(said.contains("stackwright destroy stack.toml --sim --sweep"), "{said}");
    // Look-alikes of every kind, of another cluster.
    let alike = "a99999999222243338444555555555555";
    let alike = &alike[..32];
    world(folder, |world| {
        for (collection, listing) in LISTS {
            let place = if listing == "global" { "global" } else { "regions/europe-west4" };
            plant(world, collection, place, &format!("k8s2-um-theirs00-shop-web-{}", collection.len()), json!({}));
        }
        for collection in ["forwardingRules", "targetPools", "addresses"] {
            plant(world, collection, "regions/us-east1", alike, json!({}));
        }
        plant(world, "firewalls", "global", "gke-shop-00000000-all", json!({"targetTags": ["gke-shop-00000000-node"]}));
        plant(
            world,
            "disks",
            "zones/europe-west4-a",
            "pvc-theirs",
            json!({"labels": {
                "goog-k8s-cluster-name": "shop", "goog-k8s-cluster-location": "europe-west4-a",
                "goog-gke-cluster-id-base32": "theirs",
            }}),
        );
        plant(world, "disks", "zones/europe-west4-a", "my-data", json!({}));
    });
    // What is still not allowed to go is said to have stayed.
    let planted = LISTS.map(|(collection, _)| names(folder, collection));
    faults(folder, &json!([{"kind": "http", "method": "DELETE", "path": "*/disks/*", "status": 403, "times": 1000}]));
    let said = refused(folder, "destroy --sim --auto-approve --sweep");
    assert!(said.contains("Would not go: disk pvc-") && said.contains("Swept away: forwarding rule a"), "{said}");
    assert!(said.contains("Swept away: instance gke-shop-"), "{said}");
    faults(folder, &json!([]));
    let said = ok(folder, "destroy --sim --auto-approve --sweep --json");
    let receipt = receipt(&said);
    assert!(receipt["swept"].as_array().is_some_and(|swept| !swept.is_empty()), "{receipt}");
    assert!(receipt["others"].as_array().is_some_and(|others| others.len() >= LISTS.len()), "{receipt}");
    for ((collection, _), before) in LISTS.iter().zip(planted) {
        let theirs = |name: &&String| {
            name.contains("theirs") || name.contains("00000000") || **name == alike || *name == "my-data"
        };
        let (theirs, all) = (before.iter().filter(theirs).cloned().collect(), names(folder, collection));
        let all = all.into_iter().filter(|name| !name.starts_with("default")).collect::<BTreeSet<String>>();
        assert_eq!(all, theirs, "{collection}");
    }
}

#[test]
fn a_list_that_fails_is_unknown_and_no_receipt() {
    let folder = furnished();
    let folder = folder.path();
    ok(folder, "apply --sim --auto-approve");
    // One firewall stays, so that there is something to look for.
    faults(folder, &json!([{"kind": "leak", "collection": "firewalls", "name": "gke-shop-*-vms"}]));
    let said = refused(folder, "destroy --sim --auto-approve");
    assert!(said.contains("1 resource left:") && said.contains("It costs nothing by itself."), "{said}");
    for (collection, listing) in LISTS {
        let path = format!("*/{listing}/{collection}");
        faults(folder, &json!([{"kind": "http", "method": "GET", "path": path, "status": 503, "times": 1000}]));
        let said = refused(folder, "destroy --sim --auto-approve --json");
        let receipt = receipt(&said);
        assert_eq!(receipt["unknown"].as_array().map(Vec::len), Some(1), "{collection}: {receipt}");
        assert_eq!(receipt["price_is_complete"], false, "{collection}");
    }
    faults(folder, &json!([{"kind": "unreachable", "place": "zones/us-east1-b", "collection": "disks"}]));
    let said = refused(folder, "destroy --sim --auto-approve --sweep");
    assert!(said.contains("Unknown: ") && said.contains("zones/us-east1-b"), "{said}");
    assert!(!said.contains("0 residual"), "{said}");
    // A passing failure is looked past, and now the firewall is gone.
    faults(
        folder,
        &json!([{"kind": "http", "method": "GET", "path": "*/aggregated/disks", "status": 503, "times": 2}]),
    );
    let said = ok(folder, "destroy --sim --auto-approve");
    assert!(said.contains("0 residual resources"), "{said}");
    // A cluster list that fails is worse: whose things are whose is not known then.
    let said = ok(folder, "apply --sim --auto-approve");
    assert!(said.contains("Apply complete!"), "{said}");
    faults(
        folder,
        &json!([{"kind": "http", "method": "GET", "path": "*/locations/-/clusters", "status": 503, "times": 1000}]),
    );
    let said = refused(folder, "destroy --sim --auto-approve");
    assert!(said.contains("Unknown: 1 list") && said.contains("everything that might be left"), "{said}");
    faults(folder, &json!([]));
    assert!(ok(folder, "destroy --sim --auto-approve").contains("0 residual resources"));
}

#[test]
fn a_cluster_that_was_deleted_by_hand_is_settled_with_a_receipt() {
    let folder = furnished();
    let folder = folder.path();
    let served = serve(&folder.join("served"), "127.0.0.1:0");
    let sim = format!("--sim={} --auto-approve", served.url);
    ok(folder, &format!("apply {sim}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let client = client().build().expect("client");
    let url = format!("{}/v1/projects/p-demo/locations/europe-west4-a/clusters/shop", served.url);
    let ask = |method: reqwest::Method| {
        runtime.block_on(async { client.request(method, &url).send().await.expect("an answer").status() })
    };
    assert!(ask(reqwest::Method::DELETE).is_success());
    while ask(reqwest::Method::GET).is_success() {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    // GKE has left the load balancer and the disk: nobody had deleted them.
    let said = refused(folder, &format!("destroy {sim}"));
    assert!(said.contains("Destroy complete!") && said.contains("forwarding rule a"), "{said}");
    assert!(said.contains("is made of the uid of the Service default/web"), "{said}");
    let said = ok(folder, &format!("destroy {sim} --sweep"));
    assert!(said.contains("Swept away: disk pvc-") && said.contains("0 residual resources"), "{said}");
}

#[test]
fn a_cluster_that_does_not_answer_is_deleted_all_the_same() {
    let folder = furnished();
    let folder = folder.path();
    ok(folder, "apply --sim --auto-approve");
    world(folder, |world| {
        for (key, document) in world.section("google/clusters") {
            let mut document = (*document).clone();
            document["resource"].as_object_mut().expect("a cluster").remove("endpoint");
            world.put("google/clusters", &key, document);
        }
    });
    let said = refused(folder, "destroy --sim --auto-approve");
    assert!(said.contains("cluster does not answer") && said.contains("Destroy complete!"), "{said}");
    assert!(said.contains("forwarding rule a") && said.contains("disk pvc-"), "{said}");
    let said = ok(folder, "destroy --sim --auto-approve --sweep");
    assert!(said.contains("0 residual resources"), "{said}");
    assert_eq!(remains(&folder.join("state/.sim")), Vec::<String>::new());
}

/// What a user has made in the cluster by hand owns load balancers and disks too.
#[test]
fn what_others_made_in_the_cluster_is_taken_away_before_it() {
    let folder = furnished();
    let folder = folder.path();
    std::fs::write(
        folder.join("web.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: note, namespace: default}\n",
    )
    .expect("written");
    let served = serve(&folder.join("served"), "127.0.0.1:0");
    let sim = format!("--sim={} --auto-approve", served.url);
    ok(folder, &format!("apply {sim}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let client = client().danger_accept_invalid_certs(true).build().expect("client");
        let info = client.get(format!("{}/sim/v1/info", served.url)).send().await.expect("an answer");
        let info = info.json::<Json>().await.expect("JSON");
        let endpoint = info["clusters"][0]["endpoint"].as_str().expect("an endpoint").to_owned();
        let post = async |path: &str, body: Json| {
            let request = client.post(format!("https://{endpoint}{path}")).bearer_auth("simulated").json(&body);
            let answer = request.send().await.expect("an answer");
            assert!(answer.status().is_success(), "{path}: {:?}", answer.text().await);
        };
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "mine"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "mine"}}});
        post("/api/v1/namespaces/default/services", service).await;
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "mine"}, "spec": {
            "serviceName": "mine", "replicas": 1, "selector": {"matchLabels": {"app": "mine"}},
            "template": {"metadata": {"labels": {"app": "mine"}}, "spec": {"containers": [
                {"name": "main", "image": "docker.io/library/busybox:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}}],
        }});
        post("/apis/apps/v1/namespaces/default/statefulsets", set).await;
        let counted = async |collection: &str| {
            let url = format!("{}/compute/v1/projects/p-demo/aggregated/{collection}", served.url);
            let list = client.get(url).send().await.expect("an answer").json::<Json>().await.expect("JSON");
            let places = list["items"].as_object().into_iter().flatten();
            let things = places.flat_map(|(_, held)| held[collection].as_array().cloned().unwrap_or_default());
            things.filter(|thing| !thing["name"].as_str().unwrap_or_default().starts_with("gke-")).count()
        };
        let mut looks = 0;
        while counted("forwardingRules").await + counted("disks").await < 2 {
            looks += 1;
            assert!(looks < 300, "no load balancer, or no disk");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    });
    let said = ok(folder, &format!("destroy {sim}"));
    assert!(said.contains("0 residual resources"), "{said}");
}

/// Load balancers by subsetting, Ingresses and Gateways of GKE's classes: each part has the name that tells whose it is.
#[test]
fn every_kind_of_load_balancer_is_known_by_the_names_of_its_parts() {
    let folder = furnished();
    let folder = folder.path();
    let fronts = "apiVersion: v1\nkind: Service\nmetadata: {name: net, namespace: default, annotations: {cloud.google.com/l4-rbs: enabled}}\n\
                  spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}\n---\n\
                  apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front, namespace: default}\n\
                  spec: {defaultBackend: {service: {name: net, port: {number: 80}}}}\n";
    std::fs::write(folder.join("web.yaml"), fronts).expect("written");
    ok(folder, "apply --sim --auto-approve");
    let of = |word: &str| {
        LISTS.iter().flat_map(|(collection, _)| names(folder, collection)).filter(|name| name.contains(word)).count()
    };
    assert_eq!((of("-default-net-"), of("-default-front-")), (6, 6));
    // In good order nothing is left.
    ok(folder, "destroy --sim --auto-approve");
    assert_eq!(remains(&folder.join("state/.sim")), Vec::<String>::new());
    // What leaks is proven, and swept.
    ok(folder, "apply --sim --auto-approve");
    faults(folder, &json!([{"kind": "leak", "name": "k8s*"}]));
    let said = refused(folder, "destroy --sim --auto-approve --json");
    let found = receipt(&said);
    let left = found["remaining"].as_array().expect("entries");
    assert_eq!(left.len(), 12, "{found}");
    assert!(left.iter().all(|entry| entry["verdict"] == "proven"), "{found}");
    faults(folder, &json!([]));
    ok(folder, "destroy --sim --auto-approve --sweep");
    assert_eq!(remains(&folder.join("state/.sim")), Vec::<String>::new());
}
