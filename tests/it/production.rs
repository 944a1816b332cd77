//! The production stacks: what each of their own objects is for, shown by taking it away. And workloads with a key,
//! with mutual TLS, with monitoring, with another model than before.

use serde_json::Value as Json;
use stackwright::resource::model::Desired;

use crate::lab::{Conditions, Outcome, bring_up, expanded, shipped, text};
use crate::stacks::{Place, done};

const STACK: &str = "gpu-t4-production";

/// The stack without one object of its workload, and without what needs it.
fn without(desired: &Desired, part: &str) -> Desired {
    let mut desired = desired.clone();
    let found = desired.resources.iter().position(|r| r.address.as_str().ends_with(part));
    let gone = desired.resources.remove(found.unwrap_or_else(|| panic!("no {part}")));
    for resource in &mut desired.resources {
        resource.needs.retain(|need| need.on != gone.address);
        // A model that cannot come up is given up sooner here.
        resource.timeout = resource.timeout.min(std::time::Duration::from_secs(1500));
    }
    desired
}

fn outcome(part: &str) -> Outcome {
    let (desired, secrets) = shipped(STACK);
    bring_up(&without(&desired, part), &secrets, &Conditions::default())
}

/// A manifest of the stack.
fn manifest(part: &str) -> Json {
    let (desired, _) = shipped(STACK);
    let found = desired.resources.iter().find(|r| r.address.as_str().ends_with(part));
    found.unwrap_or_else(|| panic!("no {part}")).attrs.to_json()
}

#[test]
fn it_comes_up_as_it_is() {
    let (desired, secrets) = shipped(STACK);
    let outcome = bring_up(&desired, &secrets, &Conditions::default());
    assert!(outcome.works(), "{:#?}", outcome.failures);
}

#[test]
fn without_the_certificate_no_copy_starts() {
    let failures = outcome("/Certificate.cert-manager.io/inference/qwen-3b-gpu-svc-serving").failures;
    assert!(failures.iter().any(|failure| failure.contains("qwen-3b-gpu-svc-serving-tls")), "{failures:#?}");
}

#[test]
fn without_the_rule_of_the_pool_no_answer_comes() {
    let failures = outcome("/DestinationRule.networking.istio.io/inference/qwen-3b-gpu-svc-pool").failures;
    assert!(failures.iter().any(|failure| failure.contains("upstream connect error")), "{failures:#?}");
}

#[test]
fn without_the_policy_that_lets_the_gateway_in_nothing_comes_up() {
    // The deny-all stands alone then: the download of the model fails first.
    let failures = outcome("/NetworkPolicy.networking.k8s.io/inference/qwen-3b-gpu-svc-serving").failures;
    assert!(failures.iter().any(|failure| failure.contains("storage-initializer keeps dying")), "{failures:#?}");
}

#[test]
fn without_the_policy_of_the_scheduler_it_never_gets_ready() {
    let failures = outcome("/NetworkPolicy.networking.k8s.io/inference/qwen-3b-gpu-svc-scheduler").failures;
    assert!(failures.iter().any(|failure| failure.contains("API server is out of reach")), "{failures:#?}");
}

#[test]
fn copies_are_not_all_away_at_once() {
    let budget = manifest("/PodDisruptionBudget.policy/inference/qwen-3b-gpu-svc");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    let serving = manifest("/NetworkPolicy.networking.k8s.io/inference/qwen-3b-gpu-svc-serving");
    assert_eq!(budget["spec"]["selector"], serving["spec"]["podSelector"], "both mean the copies");
}

/// The T4 stack with lines more in its workload.
fn with(lines: &str) -> (Desired, std::collections::BTreeMap<String, String>) {
    expanded("gpu-t4", text("gpu-t4").replace("prefix_caching = true", &format!("prefix_caching = true\n{lines}")))
}

#[test]
fn mutual_tls_is_mutual_or_nothing() {
    let (desired, secrets) = with("mtls = \"strict\"");
    let outcome = bring_up(&desired, &secrets, &Conditions::default());
    assert!(outcome.works(), "{:#?}", outcome.failures);
    // The copies take nothing else: without the rule that has the gateway show its certificate, no answer comes.
    let rule = "/DestinationRule.networking.istio.io/inference/qwen-3b-gpu-svc-kserve-workload-svc";
    let outcome = bring_up(&without(&desired, rule), &secrets, &Conditions::default());
    // Between members of the mesh the rule is implied; without a proxy beside the model there is none to show it to.
    assert!(outcome.works(), "{:#?}", outcome.failures);
    let mut bare = desired.clone();
    for resource in bare.resources.iter_mut().filter(|r| r.address.as_str().contains("/LLMInferenceService.")) {
        let path = ["spec", "labels", "sidecar.istio.io/inject"];
        let mut manifest = (*resource.attrs).clone();
        set(&mut manifest, &path, "false");
        resource.attrs = manifest.into();
    }
    let failures = bring_up(&bare, &secrets, &Conditions::default()).failures;
    assert!(failures.iter().any(|failure| failure.contains("TLS_error:|268435703")), "{failures:#?}");
}

fn set(value: &mut stackwright::value::Value, path: &[&str], text: &str) {
    use stackwright::value::Value;
    let Value::Map(map) = value else { panic!("a map") };
    match path {
        [last] => drop(map.insert((*last).to_owned(), text.into())),
        [first, rest @ ..] => set(map.get_mut(first).expect("there"), rest, text),
        [] => {}
    }
}

#[test]
fn a_key_is_asked_for_shown_by_the_proof_and_never_printed() {
    let text = text("gpu-t4")
        .replace(
            "prefix_caching = true",
            "prefix_caching = true\napi_key = \"${inputs.key}\"\nmonitoring = \"pod-monitoring\"",
        )
        .replace("[limits]", "key = { secret = true, env = \"MODEL_KEY\" }\n\n[limits]");
    let folder = tempfile::tempdir().expect("tempdir");
    let place = Place { folder: folder.path(), charts: None };
    std::fs::write(folder.path().join("a.toml"), text).expect("writable");
    let key = ["--var", "key=sk-very-secret"];
    let run = |arguments: &[&str]| {
        let (out, err) = done(&place, &[arguments, &key].concat());
        assert!(!out.contains("very-secret") && !err.contains("very-secret"), "{out}{err}");
        out + &err
    };
    let said = run(&["apply", "a.toml", "--sim", "--auto-approve"]);
    assert!(said.contains(" answered after "), "{said}");
    let said = run(&["status", "a.toml", "--sim"]);
    assert!(said.contains("completion: first token after"), "{said}");
    assert!(run(&["plan", "a.toml", "--sim"]).contains("No changes."));
    // Another model: what is told is the model and what depends on it, nothing else.
    let text = std::fs::read_to_string(folder.path().join("a.toml")).expect("readable");
    let swapped = text.replace("Qwen/Qwen2.5-3B-Instruct", "Qwen/Qwen2.5-1.5B-Instruct");
    std::fs::write(folder.path().join("a.toml"), swapped).expect("writable");
    let said = run(&["plan", "a.toml", "--sim"]);
    assert!(said.contains("Plan: 1 to add, 0 to change, 1 to destroy."), "{said}");
    assert!(
        said.contains("~ spec.model.name = \"Qwen/Qwen2.5-3B-Instruct\" -> \"Qwen/Qwen2.5-1.5B-Instruct\""),
        "{said}"
    );
    assert!(said.contains("# there is no accelerator for a new copy beside the old one, which goes first"), "{said}");
    let said = run(&["apply", "a.toml", "--sim", "--auto-approve"]);
    assert!(said.contains(" answered after "), "{said}");
}

#[test]
fn a_gateway_with_a_certificate_of_somebody_elses_is_verified_all_the_same() {
    let issuer = "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: ours-root}\nspec: {selfSigned: {}}\n---\n\
        apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: ours, namespace: cert-manager}\nspec: {isCA: true, commonName: ours, \
        secretName: ours, issuerRef: {kind: ClusterIssuer, name: ours-root}}\n---\n\
        apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: ours}\nspec: {ca: {secretName: ours}}\n";
    let reference = "${objects.manifests.ours/Certificate.cert-manager.io/cert-manager/ours.secret[\"ca.crt\"]}";
    let gateway = format!(
        "[gateway]\nhostname = \"models.example.com\"\ntls = \"issuer:ours\"\nca_certificate = '{reference}'\n"
    );
    let manifests = "[manifests.ours]\nfiles = [\"ours.yaml\"]\n\n[outputs]";
    let folder = tempfile::tempdir().expect("tempdir");
    let place = Place { folder: folder.path(), charts: None };
    let stack = text("gpu-t4").replace("[gateway]\n", &gateway).replace("[outputs]", manifests);
    std::fs::write(folder.path().join("ours.yaml"), issuer).expect("writable");
    std::fs::write(folder.path().join("a.toml"), &stack).expect("writable");
    let (_, said) = done(&place, &["apply", "a.toml", "--sim", "--auto-approve"]);
    assert!(said.contains(" answered after "), "{said}");
}

#[test]
fn routing_can_be_changed_and_changed_back() {
    let folder = tempfile::tempdir().expect("tempdir");
    let place = Place { folder: folder.path(), charts: None };
    let cache_aware = text(STACK);
    let round_robin = cache_aware.replace("\"cache-aware\"", "\"round-robin\"");
    for stack in [&cache_aware, &round_robin, &cache_aware] {
        std::fs::write(folder.path().join("a.toml"), stack).expect("writable");
        let (_, said) = done(&place, &["apply", "a.toml", "--sim", "--auto-approve"]);
        assert!(said.contains("Apply complete!") && said.contains(" answered after "), "{said}");
    }
}
