//! gcloud and kubectl as clients of `stackwright sim serve`, a killed and restarted simulator included.
//!
//! Skipped where either program is absent. Takes about a minute: gcloud polls every few real seconds.

use std::process::{Command, Stdio};

use stackwright::env::disk::RealDisk;
use stackwright::sim::environment::environment;

use crate::served::serve;

fn installed(program: &str) -> bool {
    Command::new(program).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Runs a client; its standard output, or its failure.
fn run(variables: &[(String, String)], words: &str) -> Result<String, String> {
    let mut words = words.split_whitespace();
    let program = words.next().expect("program");
    let output =
        Command::new(program).args(words).envs(variables.iter().cloned()).stdin(Stdio::null()).output().expect("run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn official_clients_work_and_a_killed_simulator_goes_on() {
    if !installed("gcloud") || !installed("kubectl") {
        eprintln!("skipped: gcloud or kubectl is not installed");
        return;
    }
    let directory = tempfile::tempdir().expect("tempdir");
    let world = directory.path().join("world");
    let served = serve(&world, "127.0.0.1:0");
    let url = served.url.clone();
    let variables = environment(&RealDisk, &url, &directory.path().join("clients")).expect("variables");
    let ok = |words: &str| run(&variables, words).unwrap_or_else(|error| panic!("{words}: {error}"));
    let zone = "--zone us-central1-a";

    ok(&format!("gcloud container clusters create demo {zone} --num-nodes 2 --machine-type n1-standard-4"));
    assert_eq!(ok("gcloud container clusters list --format=value(name,status,currentNodeCount)"), "demo\tRUNNING\t2");
    ok(&format!("gcloud container clusters get-credentials demo {zone}"));
    assert_eq!(ok("kubectl get nodes -o name").lines().count(), 2);
    let listed = ok("kubectl get nodes,ns,pods -A");
    assert!(listed.contains("namespace/kube-system") && listed.contains("pod/kube-dns"), "{listed}");

    let address = url.trim_start_matches("http://").to_owned();
    drop(served);
    let served = serve(&world, &address);
    assert_eq!(served.url, url);
    assert_eq!(ok("kubectl get nodes -o name").lines().count(), 2, "the kubeconfig still holds");

    ok(&format!(
        "gcloud container node-pools create gpu --cluster demo {zone} --machine-type n1-standard-4 --num-nodes 1 \
         --accelerator type=nvidia-tesla-t4,count=1,gpu-driver-version=disabled"
    ));
    let labelled = ok("kubectl get nodes -l cloud.google.com/gke-accelerator=nvidia-tesla-t4 -o name");
    assert_eq!(labelled.lines().count(), 1);
    ok(&format!("gcloud container clusters resize demo {zone} --node-pool default-pool --num-nodes 1 -q"));
    assert_eq!(ok("kubectl get nodes -o name").lines().count(), 2);
    // What is changed shows, in the cloud and on the nodes.
    let told = |what: &str| ok(&format!("gcloud container clusters describe demo {zone} --format=value({what})"));
    let pool = |what: &str| {
        ok(&format!("gcloud container node-pools describe gpu --cluster demo {zone} --format=value({what})"))
    };
    assert_eq!((told("status"), told("location")), ("RUNNING".to_owned(), "us-central1-a".to_owned()));
    ok(&format!("gcloud container clusters update demo {zone} --update-labels=team=red"));
    assert_eq!(told("resourceLabels.team"), "red");
    let bounds = "--enable-autoscaling --min-nodes 0 --max-nodes 3";
    ok(&format!("gcloud container node-pools update gpu --cluster demo {zone} {bounds}"));
    assert_eq!(pool("autoscaling.enabled,autoscaling.maxNodeCount"), "True\t3");
    ok(&format!("gcloud container node-pools update gpu --cluster demo {zone} --node-taints=only=models:NoSchedule"));
    assert_eq!(pool("config.taints[0].key,config.taints[0].effect"), "only\tNO_SCHEDULE");
    let taints = "jsonpath={.items[*].spec.taints[*].key}";
    assert!(ok(&format!("kubectl get nodes -o {taints}")).split_whitespace().any(|key| key == "only"));
    let pools = ok(&format!("gcloud container node-pools list --cluster demo {zone} --format=value(name)"));
    assert_eq!(pools.lines().collect::<Vec<_>>(), ["default-pool", "gpu"]);
    let wrong = run(
        &variables,
        &format!("gcloud container node-pools create bad --cluster demo {zone} --machine-type ct6e-standard-4t"),
    );
    let wrong = wrong.expect_err("no TPU in this zone");
    assert!(wrong.contains("Invalid machine type \"ct6e-standard-4t\""), "{wrong}");
    ok(&format!("gcloud container node-pools delete gpu --cluster demo {zone} -q"));
    let operations = ok(&format!("gcloud container operations list {zone} --format=value(operationType,status)"));
    assert!(operations.lines().all(|line| line.ends_with("DONE")), "{operations}");
    let one = ok(&format!(
        "gcloud container operations list {zone} --filter=operationType=DELETE_NODE_POOL --format=value(name)"
    ));
    let described =
        ok(&format!("gcloud container operations describe {one} {zone} --format=value(operationType,status)"));
    assert_eq!(described, "DELETE_NODE_POOL\tDONE");
    ok(&format!("gcloud container clusters delete demo {zone} -q"));
    for kind in ["instances", "disks", "forwarding-rules", "addresses"] {
        assert_eq!(ok(&format!("gcloud compute {kind} list --format=value(name)")), "", "{kind}");
    }
    let gone = run(&variables, &format!("gcloud container clusters describe demo {zone}")).expect_err("gone");
    assert!(gone.contains("Not found"), "{gone}");
}
