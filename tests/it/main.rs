//! All integration tests, in one binary.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests run real processes and say what they skip"
)]

mod admissible;
mod adoption;
mod architecture;
mod arena;
mod benches;
mod bring_up;
mod browser;
mod canary;
mod catalogue;
mod ci_kit;
mod completion;
mod configmaps;
mod crash_points;
mod decoders;
mod diagnosing;
mod durations;
mod events;
mod export;
mod fallback;
mod flags;
mod forwarding;
mod gallery;
mod gcloud;
mod given;
mod gke_client;
mod gke_conformance;
mod guides;
mod helm;
mod interrupts;
mod keys;
mod kill;
mod kube_conformance;
mod kube_kubectl;
mod kube_server;
mod kubernetes;
mod lab;
mod live;
mod login;
mod migration;
mod mortal;
mod necessity;
mod openai_client;
mod order;
mod pausing;
mod plan_json;
mod policies;
mod pools;
mod probing;
mod production;
mod real_charts;
mod reaping;
mod receipts;
mod recovering;
mod recovery;
mod rivals;
mod scenarios;
mod schedules;
mod scripts;
mod served;
mod sources;
mod stack_files;
mod stacks;
mod stores;
mod terminal;
mod verifying;
mod vllm_conformance;

/// A module that is not declared here would never run.
#[test]
fn no_test_file_is_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let declared = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".rs").filter(|name| *name != "main") else { continue };
        assert!(declared.contains(&format!("mod {name};")), "tests/it/{name}.rs is not declared");
    }
}
