//! `[limits] ttl` and `reap`: stacks whose time is over are destroyed from their labels alone, and no others.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use stackwright::backend::local::LocalBackend;
use stackwright::env::disk::RealDisk;

use crate::receipts::world;
use crate::stacks::remains;

fn stackwright(folder: &Path, words: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

fn ok(folder: &Path, words: &str) -> String {
    let (fine, text) = stackwright(folder, words);
    assert!(fine, "{words}:\n{text}");
    text
}

fn refused(folder: &Path, words: &str) -> String {
    let (fine, text) = stackwright(folder, words);
    assert!(!fine, "{words} succeeded:\n{text}");
    text
}

/// A stack with a cluster, a pool of GPUs and a load balancer; `limits` is the rest of the file.
fn write(folder: &Path, name: &str, limits: &str) {
    let stack = format!(
        "name = \"{name}\"\n{limits}[cluster]\nname = \"{name}\"\nproject = \"p-demo\"\nlocation = \"europe-west4-a\"\n\
         [node_pools.gpu]\naccelerator = \"nvidia-t4\"\nnodes = 1\n[manifests.web]\nfiles = [\"web.yaml\"]\n"
    );
    std::fs::write(folder.join(format!("{name}.toml")), stack).expect("written");
    let web = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\n\
               spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}\n";
    std::fs::write(folder.join("web.yaml"), web).expect("written");
}

/// The labels of a cluster; `None` when it is not there.
fn labels(folder: &Path, cluster: &str) -> Option<Json> {
    let key = format!("p-demo/europe-west4-a/{cluster}");
    world(folder, |world| Some(world.get("google/clusters", &key)?["resource"]["resourceLabels"].clone()))
}

fn expires(folder: &Path, cluster: &str) -> Option<u64> {
    labels(folder, cluster)?["stackwright-expires"].as_str().map(|text| text.parse().expect("seconds"))
}

fn relabel(folder: &Path, cluster: &str, change: impl FnOnce(&mut Json)) {
    let key = format!("p-demo/europe-west4-a/{cluster}");
    world(folder, |world| {
        let mut document = (*world.get("google/clusters", &key).expect("a cluster")).clone();
        change(&mut document["resource"]["resourceLabels"]);
        world.put("google/clusters", &key, document);
    });
}

fn pass(folder: &Path, time: Duration) {
    world(folder, |world| world.set_time(world.time().expect("a time").plus(time)));
}

const HOUR: u64 = 3600;

#[test]
fn the_time_to_live_is_a_label_that_begins_anew_with_changes() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    write(folder, "brief", "[limits]\nttl = \"8h\"\n");
    ok(folder, "apply brief.toml --sim --auto-approve");
    let first = expires(folder, "brief").expect("a label");
    let now = world(folder, |world| world.time().expect("a time").seconds());
    assert!((now + 7 * HOUR..now + 8 * HOUR).contains(&first), "{first} at {now}");
    let pools = world(folder, |world| world.section("google/pools"));
    let on_pools = pools.values().filter(|pool| pool.to_string().contains("stackwright-expires")).count();
    assert_eq!(on_pools, 0, "a label of nodes that is never renewed would lie");
    // Nothing to do: the end stays where it is, and is no difference.
    pass(folder, Duration::from_secs(2 * HOUR));
    assert!(ok(folder, "apply brief.toml --sim --auto-approve").contains("No changes."));
    assert_eq!(expires(folder, "brief"), Some(first));
    // The user says so.
    let said = ok(folder, "apply brief.toml --sim --auto-approve --extend");
    assert!(said.contains("The stack may live until 20"), "{said}");
    let second = expires(folder, "brief").expect("a label");
    assert!(second >= first + 2 * HOUR, "{first} {second}");
    assert!(ok(folder, "plan brief.toml --sim").contains("No changes."));
    // A change.
    pass(folder, Duration::from_secs(HOUR));
    std::fs::write(
        folder.join("web.yaml"),
        std::fs::read_to_string(folder.join("web.yaml")).expect("readable").replace("port: 80", "port: 81"),
    )
    .expect("written");
    ok(folder, "apply brief.toml --sim --auto-approve");
    assert!(expires(folder, "brief").expect("a label") >= second + HOUR);
    // No limit any more, and one again: what the file says holds, even with nothing else to do.
    write(folder, "brief", "");
    ok(folder, "apply brief.toml --sim --auto-approve");
    assert_eq!(expires(folder, "brief"), None);
    assert!(refused(folder, "apply brief.toml --sim --auto-approve --extend").contains("no time to live"));
    write(folder, "brief", "[limits]\nttl = \"1h\"\n");
    let said = ok(folder, "apply brief.toml --sim --auto-approve");
    assert!(said.contains("No changes.") && expires(folder, "brief").is_some(), "{said}");
}

#[test]
fn only_what_has_expired_is_reaped_and_nothing_of_it_is_left() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    for (name, limits) in
        [("brief", "[limits]\nttl = \"1h\"\n"), ("lasting", "[limits]\nttl = \"99h\"\n"), ("ever", "")]
    {
        write(folder, name, limits);
        ok(folder, &format!("apply {name}.toml --sim --auto-approve"));
    }
    // One of nobody, with a label that looks expired: without the marks it is no stack's.
    relabel(folder, "ever", |labels| *labels = json!({"stackwright-expires": "1", "team": "search"}));
    let reap = "reap --project p-demo --sim";
    let said = ok(folder, &format!("{reap} --auto-approve"));
    assert!(said.contains("2 stacks in p-demo, 0 expired."), "{said}");
    pass(folder, Duration::from_secs(2 * HOUR));
    let before = world(folder, |world| world.section("google/clusters").len());
    let said = ok(folder, &format!("{reap} --dry-run"));
    assert!(said.contains("cluster brief in europe-west4-a: expired 1h"), "{said}");
    assert!(said.contains("cluster lasting in europe-west4-a: expires in 9") && !said.contains("ever"), "{said}");
    let said = refused(folder, reap);
    assert!(said.contains("nobody is there to approve") && said.contains("--dry-run"), "{said}");
    assert_eq!(world(folder, |world| world.section("google/clusters").len()), before, "nothing was changed");
    // Whoever has its state is working on it.
    let backend = LocalBackend::new(Arc::new(RealDisk), &folder.join("state/.sim/state/brief"), "brief");
    let session = backend.open("somebody").expect("nobody has it");
    let said = refused(folder, &format!("{reap} --auto-approve"));
    assert!(said.contains("is left alone") && said.contains("somebody"), "{said}");
    let said = refused(folder, &format!("{reap} --auto-approve --state elsewhere"));
    assert!(said.contains("is left alone"), "a simulated place has its own states: {said}");
    assert_eq!(world(folder, |world| world.section("google/clusters").len()), before, "nothing was changed");
    drop(session);
    // What its controllers would leave is swept at once: nobody could prove later whose it was.
    std::fs::write(
        folder.join("state/.sim/faults.json"),
        json!({"faults": [{"kind": "leak", "collection": "firewalls"}]}).to_string(),
    )
    .expect("written");
    let said = ok(folder, &format!("{reap} --auto-approve"));
    assert!(
        said.contains("node_pools.gpu: Destruction complete") && said.contains("cluster: Destruction complete"),
        "{said}"
    );
    assert!(said.contains("Swept away: firewall k8s-fw-") && said.contains("0 residual resources"), "{said}");
    assert_eq!(labels(folder, "brief"), None);
    assert!(labels(folder, "lasting").is_some() && labels(folder, "ever").is_some());
    let left =
        remains(&folder.join("state/.sim")).into_iter().filter(|thing| thing.contains("gke-brief")).collect::<Vec<_>>();
    assert_eq!(left, Vec::<String>::new());
    // The stack's own state learns of it by looking.
    let said = ok(folder, "destroy brief.toml --sim --auto-approve");
    assert!(said.contains("0 residual resources"), "{said}");
    // A label that is no time: left alone, and said.
    relabel(folder, "lasting", |labels| labels["stackwright-expires"] = json!("tomorrow"));
    let said = refused(folder, &format!("{reap} --auto-approve"));
    assert!(said.contains("its label says tomorrow") && labels(folder, "lasting").is_some(), "{said}");
    // A project that cannot be seen is no empty one.
    let faults = json!({"faults": [{"kind": "http", "path": "*/locations/-/clusters", "status": 503, "times": 1000}]});
    std::fs::write(folder.join("state/.sim/faults.json"), faults.to_string()).expect("written");
    assert!(refused(folder, &format!("{reap} --dry-run")).contains("cannot be listed"));
}
