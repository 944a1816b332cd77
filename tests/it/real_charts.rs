//! The shipped stacks with the real charts, which `STACKWRIGHT_CHARTS` names a folder of; without it these tests
//! say so and pass. docs/charts.md says how such a folder is made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use stackwright::catalog;
use stackwright::chart::{Answers, Library};
use stackwright::env::disk::RealDisk;
use stackwright::resource::model::Resource;
use stackwright::stack;
use stackwright::value::Value;

use crate::lab::STACKS;
use crate::stacks::life;

/// The folder with the archives.
fn charts() -> Option<PathBuf> {
    let folder = std::env::var_os("STACKWRIGHT_CHARTS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: STACKWRIGHT_CHARTS names no folder of charts");
    }
    folder
}

fn with_charts(name: &str) {
    if let Some(charts) = charts() {
        life(name, Some(&charts));
    }
}

#[test]
fn gpu_t4() {
    with_charts(STACKS[0]);
}

#[test]
fn tpu_v6e() {
    with_charts(STACKS[1]);
}

#[test]
fn rhaii_gpu_t4() {
    with_charts(STACKS[2]);
}

#[test]
fn rhaii_tpu_v6e() {
    with_charts(STACKS[3]);
}

#[derive(Default)]
struct Counts {
    objects: usize,
    definitions: usize,
    hooks: usize,
    webhooks: usize,
    policies: usize,
}

impl Counts {
    fn add(&mut self, resource: &Resource) {
        if resource.kind == "k8s.hook" {
            self.hooks += 1;
            return;
        }
        let manifest = &resource.attrs;
        self.objects += 1;
        match manifest.get("kind").and_then(Value::as_str).unwrap_or_default() {
            "CustomResourceDefinition" => self.definitions += 1,
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
                self.webhooks += manifest.get("webhooks").and_then(Value::as_list).map_or(0, <[Value]>::len);
            }
            "ValidatingAdmissionPolicy" => self.policies += 1,
            _ => {}
        }
    }
}

/// The table of docs/charts.md; `cargo test --test it real_charts::table -- --nocapture` prints it.
#[test]
fn table() {
    let Some(charts) = charts() else { return };
    let library = Library::new(&RealDisk).folder(Some(charts));
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for name in STACKS {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stacks").join(format!("{name}.toml"));
        let bytes = std::fs::read(&path).expect("a shipped stack");
        let source = Arc::new(stack::source(&path.display().to_string(), bytes).expect("text"));
        let given = stack::inputs::Given { synthesize: true, ..Default::default() };
        let vars = BTreeMap::<String, String>::new();
        let loaded = stack::load(source, &stack::DiskLoader(&RealDisk), &given, &vars).expect("a valid stack");
        let options = catalog::ExpandOptions {
            key: None,
            answers: &Answers::default(),
            loader: &stack::DiskLoader(&RealDisk),
            library: &library,
            secrets: loaded.inputs.secret_origins(),
        };
        let (desired, warnings) = catalog::expand(&loaded.stack, &options).expect("expands");
        assert_eq!(warnings, [], "{name}");
        let mut own: BTreeMap<String, Counts> = BTreeMap::new();
        for resource in &desired.resources {
            let Some(origin) = &resource.origin else { continue };
            assert_ne!(origin, "stand-in", "{}", resource.address);
            let chart = origin.split_once('/').map_or(origin.as_str(), |(chart, _)| chart);
            own.entry(chart.to_owned()).or_default().add(resource);
        }
        // A chart is the same in each stack that has it.
        counts.extend(own);
    }
    assert!(counts.len() >= 14, "{:?}", counts.keys());
    eprintln!("| chart or file | objects | CRDs | hooks | webhooks | admission policies |");
    eprintln!("|---|--:|--:|--:|--:|--:|");
    for (chart, of) in counts {
        let Counts { objects, definitions, hooks, webhooks, policies } = of;
        eprintln!("| {chart} | {objects} | {definitions} | {hooks} | {webhooks} | {policies} |");
        assert!(objects > 0, "{chart}");
    }
}

/// The hooks that the GPU operator's chart has, all switched on: at an upgrade, before and after the deletion.
#[test]
fn hooks_of_the_gpu_operator() {
    let Some(charts) = charts() else { return };
    let archive = charts.join("gpu-operator-v26.3.3.tgz");
    let folder = tempfile::tempdir().expect("tempdir");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writable");
    let stack = |chart: &str| {
        format!("name = \"gpu\"\n[cluster]\nproject = \"p-roject\"\nlocation = \"europe-west4-a\"\n{chart}")
    };
    write(
        "quota.yaml",
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: critical}\nspec:\n  hard: {pods: 100}\n  scopeSelector:\n    \
         matchExpressions:\n    - operator: In\n      scopeName: PriorityClass\n      values: [system-node-critical, \
         system-cluster-critical]\n",
    );
    let chart = |replicas: u32| {
        stack(&format!(
            "[manifests.quota]\nfiles = [\"quota.yaml\"]\nnamespace = \"gpu-operator\"\n[charts.gpu]\n\
             depends_on = [\"manifests.quota\"]\nsource = \"{}\"\nnamespace = \"gpu-operator\"\n[charts.gpu.values]\noperator = {{ cleanupCRD = true, \
         upgradeCRD = true, resources = {{ limits = {{ cpu = \"{replicas}\" }} }} }}\ndriver = {{ enabled = false }}\n\
         node-feature-discovery = {{ postDeleteCleanup = true }}\n",
            archive.display()
        ))
    };
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_stackwright"))
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    };
    write("stack.toml", &chart(1));
    let said = run(&["apply", "--sim", "--auto-approve", "--verbose"]);
    assert!(said.contains("9 hooks to keep") || said.contains("will be kept for later"), "{said}");
    assert!(!said.contains("run.\n"), "no hook runs at the installation: {said}");
    assert!(run(&["plan", "--sim"]).contains("No changes"));
    write("stack.toml", &chart(2));
    let said = run(&["apply", "--sim", "--auto-approve", "--verbose"]);
    assert!(said.contains("4 hooks run."), "{said}");
    assert!(run(&["plan", "--sim"]).contains("No changes"));
    // Without the chart at hand, and the cluster stays: everything in its order, and nothing is left.
    write("stack.toml", &stack(""));
    let said = run(&["apply", "--sim", "--auto-approve", "--verbose"]);
    assert!(said.contains("5 hooks run."), "{said}");
    let at = |part: &str| said.find(part).unwrap_or_else(|| panic!("{part}: {said}"));
    let cleaned = at("pre-delete:Job.batch/gpu-operator/gpu-operator-cleanup-crd: Run complete");
    let deleted = at("Deployment.apps/gpu-operator/gpu-operator: Destroying...");
    let pruned = at("post-delete:Job.batch/gpu-operator/gpu-node-feature-discovery-prune: Running...");
    assert!(cleaned < deleted && deleted < pruned, "{said}");
    assert!(run(&["plan", "--sim"]).contains("No changes"));
    assert!(run(&["destroy", "--sim", "--auto-approve"]).contains("0 residual resources"));
}
