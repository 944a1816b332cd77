//! Rules that others have written for Terraform's plans, run unchanged on ours in Terraform's words: each finds what was
//! planted for it, and nothing in a plan that is clean of it. And the example of our own for OPA.
//!
//! Public rules are no part of this repository. `STACKWRIGHT_POLICIES` names a folder with copies, each at
//! OWNER/REPOSITORY/PATH, that have the digests below; `STACKWRIGHT_CHECKOV` names checkov, which brings its own rules and
//! which `.ci/policies` installs. Where one is absent, its part says so and is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

/// A cluster that everybody can reach, a large pool with Google's own account, an image that may be another tomorrow.
const OPEN: &str = r#"name = "open"
[cluster]
project = "my-project"
location = "europe-west4-a"
[node_pools.big]
machine_type = "n1-standard-4"
nodes = 5
[manifests.web]
files = ["web.yaml"]
"#;

const OPEN_WEB: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: default }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers: [{ name: web, image: "docker.io/library/nginx:latest" }]
"#;

/// The same, as somebody who reads such rules would have it.
const CLEAN: &str = r#"name = "clean"
[cluster]
project = "my-project"
location = "europe-west4-a"
private = true
workload_identity = true
labels = { team = "ml" }
[node_pools.small]
machine_type = "n1-standard-4"
nodes = 2
service_account = "nodes@my-project.iam.gserviceaccount.com"
[manifests.web]
files = ["web.yaml"]
"#;

const CLEAN_WEB: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: default }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      automountServiceAccountToken: false
      securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: RuntimeDefault } }
      containers:
        - name: web
          image: "europe-docker.pkg.dev/my-project/web/nginx:1.27@sha256:4c0fdaa8b6341bfdeca5f18f7837462c80cff90527ee35ef185571e1c327beac"
          imagePullPolicy: Always
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } }
          readinessProbe: { httpGet: { path: /, port: 80 } }
          livenessProbe: { httpGet: { path: /, port: 80 } }
          resources: { limits: { cpu: "1", memory: 1Gi }, requests: { cpu: "1", memory: 1Gi } }
"#;

/// Nothing of Google's.
const VALUES: &str = "name = \"values\"\n[values.a]\ninput = 1\n";

/// Plans by name, in Terraform's words.
fn plans() -> &'static BTreeMap<&'static str, Json> {
    static PLANS: OnceLock<BTreeMap<&'static str, Json>> = OnceLock::new();
    PLANS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("tempdir");
        let at = folder.path();
        let write = |name: &str, text: &str| std::fs::write(at.join(name), text).expect("writable");
        for (name, text, web) in [("open", OPEN, OPEN_WEB), ("clean", CLEAN, CLEAN_WEB), ("values", VALUES, "")] {
            std::fs::create_dir_all(at.join(name)).expect("writable");
            write(&format!("{name}/stack.toml"), text);
            write(&format!("{name}/web.yaml"), web);
        }
        let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/gpu-t4.toml");
        std::fs::copy(whole, at.join("whole.toml")).expect("a shipped stack");
        let plan = |words: &str| {
            let text = run(at, &format!("plan {words} --sim --world world --json=terraform"));
            serde_json::from_str::<Json>(&text).expect("JSON")
        };
        let mut plans = BTreeMap::from([
            ("open", plan("open/stack.toml")),
            ("clean", plan("clean/stack.toml")),
            ("values", plan("values/stack.toml")),
            ("whole", plan("whole.toml")),
        ]);
        let pools = CLEAN.split("[manifests.web]").next().expect("the first part");
        write("pools.toml", pools);
        run(at, "apply pools.toml --sim --world world --auto-approve");
        plans.insert("same", plan("pools.toml"));
        write("pools.toml", &pools.replace("nodes = 2", "nodes = 3"));
        plans.insert("update", plan("pools.toml"));
        write("pools.toml", CLEAN.split("[node_pools.small]").next().expect("the first part"));
        plans.insert("delete", plan("pools.toml"));
        let network = "authorized_networks = [{ cidr = \"203.0.113.0/24\", name = \"office\" }]";
        write("clean/guarded.toml", &CLEAN.replace("private = true", network));
        plans.insert("guarded", plan("clean/guarded.toml"));
        write(
            "clean/everybody.toml",
            &CLEAN.replace("private = true", &network.replace("203.0.113.0/24", "0.0.0.0/0")),
        );
        plans.insert("everybody", plan("clean/everybody.toml"));
        plans
    })
}

fn run(folder: &Path, words: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What a rule written in Rego says of an input.
fn said(file: &str, text: &str, query: &str, input: &Json) -> Vec<String> {
    let mut engine = regorus::Engine::new();
    // Most public rules are of before Rego had versions; those of after say so by an import.
    engine.set_rego_v0(true);
    engine.add_policy(file.to_owned(), text.to_owned()).unwrap_or_else(|error| panic!("{file}: {error}"));
    engine.set_input_json(&input.to_string()).expect("an input");
    let value = engine.eval_rule(query.to_owned()).unwrap_or_else(|error| panic!("{file}: {error}"));
    let value = serde_json::from_str::<Json>(&value.to_json_str().expect("JSON")).expect("JSON");
    let said = value.as_array().cloned().unwrap_or_default();
    said.iter().map(|text| text.as_str().map_or_else(|| text.to_string(), str::to_owned)).collect()
}

/// A public file of rules.
struct Public {
    repository: &'static str,
    path: &'static str,
    sha256: &'static str,
    /// The rule that collects what is wrong.
    query: &'static str,
    /// What the platform that it is written for hands it.
    input: fn(&Json) -> Json,
    /// A plan with what it denies, what it says of that, and a plan of which it does not say so.
    cases: &'static [(&'static str, &'static str, &'static str)],
}

const PUBLIC: &[Public] = &[
    Public {
        repository: "zessam/terraforge-inference",
        path: "terraform/policy/gke.rego",
        sha256: "361194592a3734f7277ace16f03f27a76b3a62487975c738cad8c061ac770f31",
        query: "data.main.warn",
        input: |plan| plan.clone(),
        cases: &[
            ("open", "google_container_cluster.cluster: cluster should enable Workload Identity", "clean"),
            ("open", "google_container_cluster.cluster: cluster should enable private nodes", "clean"),
            ("open", "google_container_node_pool.big: node pool should set a dedicated service_account", "clean"),
            ("open", "node pool should set workload_metadata_config mode = GKE_METADATA", "clean"),
            ("everybody", "google_container_cluster.cluster: control plane is open to 0.0.0.0/0", "guarded"),
            // GKE's own default, which nothing in a stack changes.
            ("clean", "google_container_node_pool.small: node pool should enable shielded secure boot", "values"),
        ],
    },
    Public {
        repository: "hashicorp/learn-terraform-tfe-provider-run-triggers",
        path: "policy/gke_3_node.rego",
        sha256: "8d0d808b4d29c11a33db5b72a10d55a33647c69f6fd03eb43da5e51c366678b3",
        query: "data.terraform.policies.gke_3_nodes.deny",
        input: |plan| json!({ "plan": plan }),
        cases: &[("open", "big has more than 3 nodes", "clean")],
    },
    Public {
        repository: "open-policy-agent/conftest",
        path: "examples/hcl1/policy/base.rego",
        sha256: "978c9ff6958e9a03cb5b93a9c55706b03a2ff2d8d3d546113df0227026f19373",
        query: "data.main.deny",
        input: |plan| plan.clone(),
        cases: &[(
            "open",
            "will change prohibited resources in the following namespaces: google_iam, google_container",
            "values",
        )],
    },
    Public {
        repository: "env0/policy-catalog",
        path: "all-containers-must-have-resource-limits/policy.rego",
        sha256: "716b0022c6c8f6f1f11503376234e84a68445c4e77c0a6455d23d2e8e7ad38db",
        query: "data.env0.deny",
        // It looks for limits beside the block that holds them: a block of one is a list, of which it asks for a key.
        input: |plan| json!({ "plan": plan }),
        cases: &[("open", "Container 'web' must have resource limits defined.", "values")],
    },
    Public {
        repository: "env0/policy-catalog",
        path: "restrict-container-images-to-specific-registry/policy.rego",
        sha256: "95ed0453a32e92fb5504b34ebfd0a43d45f673048b3d7355bf0e97cbd9d112e3",
        query: "data.env0.deny",
        input: |plan| json!({ "plan": plan, "policyData": { "allowed_registries": ["europe-docker.pkg.dev/my-project/"] } }),
        cases: &[(
            "open",
            "Container 'web' uses unauthorized registry. Image: docker.io/library/nginx:latest",
            "clean",
        )],
    },
    Public {
        repository: "JSchwerberg/opa-poc",
        path: "deny_delete.rego",
        sha256: "ede2d96c63f8f9943fd4b653d40c81a5d4aedf4ccb393603db2a4be060144da1",
        query: "data.terraform.deny",
        input: |plan| json!({ "tfplan": plan }),
        cases: &[("delete", "Resources are going to be destroyed as part of this plan", "same")],
    },
    Public {
        repository: "spacelift-io/spacelift-policies-example-library",
        path: "examples/plan/check-blast-radius.rego",
        sha256: "fdc8d2e68c70125e2164fd769b12dc5d60c0998c162c138cc1a8406f2f0a94f9",
        query: "data.spacelift.deny",
        input: |plan| json!({ "terraform": plan, "spacelift": { "run": { "type": "PROPOSED" } } }),
        cases: &[("whole", "change blast radius too high", "clean")],
    },
    Public {
        repository: "spacelift-io/spacelift-policies-example-library",
        path: "examples/plan/require-human-review-for-update-deletion.rego",
        sha256: "948e0a36015ea3d85347ce469c21512157eee989b1bc54a4899a7a1198e70076",
        query: "data.spacelift.warn",
        input: |plan| json!({ "terraform": plan }),
        cases: &[
            ("update", "action 'update' requires human review (google_container_node_pool.small)", "same"),
            ("delete", "action 'delete' requires human review (google_container_node_pool.small)", "update"),
        ],
    },
];

#[test]
fn public_rules_find_what_was_planted_and_nothing_in_clean_plans() {
    let Some(folder) = std::env::var_os("STACKWRIGHT_POLICIES").map(PathBuf::from) else {
        eprintln!("skipped: STACKWRIGHT_POLICIES names no folder with public rules");
        return;
    };
    let mut held = 0;
    for public in PUBLIC {
        let path = folder.join(public.repository).join(public.path);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let digest = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(digest, public.sha256, "{}: not the file that is meant", path.display());
        for (planted, says, clean) in public.cases {
            let of = |plan: &str| said(public.path, &text, public.query, &(public.input)(&plans()[plan]));
            let found = of(planted);
            assert!(found.iter().any(|text| text.contains(says)), "{} of {planted}: {found:#?}", public.path);
            let other = of(clean);
            let shared = says.rsplit(": ").next().unwrap_or(says);
            assert!(!other.iter().any(|text| text.contains(shared)), "{} of {clean}: {other:#?}", public.path);
            held += 1;
        }
    }
    eprintln!("{held} public rules of {} files held against plans", PUBLIC.len());
}

/// Rules of checkov: a plan that each must fail for, and one that it must hold for.
const CHECKS: &[(&str, &str, &str)] = &[
    ("CKV_GCP_18", "everybody", "guarded"), // no authorised network is everybody's
    ("CKV_GCP_20", "open", "guarded"),      // authorised networks
    ("CKV_GCP_21", "open", "clean"),        // labels
    ("CKV_GCP_25", "open", "clean"),        // private cluster
    ("CKV_GCP_64", "open", "clean"),        // private nodes
    ("CKV_K8S_8", "open", "clean"),         // liveness
    ("CKV_K8S_9", "open", "clean"),         // readiness
    ("CKV_K8S_10", "open", "clean"),        // requests of processors
    ("CKV_K8S_11", "open", "clean"),        // limits of processors
    ("CKV_K8S_12", "open", "clean"),        // limits of memory
    ("CKV_K8S_13", "open", "clean"),        // requests of memory
    ("CKV_K8S_14", "open", "clean"),        // image tag
    ("CKV_K8S_28", "open", "clean"),        // capabilities
    ("CKV_K8S_29", "open", "clean"),        // security context of the pod
    ("CKV_K8S_30", "open", "clean"),        // security context of containers
    ("CKV_K8S_43", "open", "clean"),        // image digest
];

#[test]
fn checkov_reads_plans_as_terraforms() {
    let Some(checkov) = std::env::var_os("STACKWRIGHT_CHECKOV").map(PathBuf::from) else {
        eprintln!("skipped: STACKWRIGHT_CHECKOV names no checkov");
        return;
    };
    let folder = tempfile::tempdir().expect("tempdir");
    let names = ["open", "clean", "guarded", "everybody"];
    for plan in names {
        std::fs::write(folder.path().join(format!("{plan}.json")), plans()[plan].to_string()).expect("writable");
    }
    // All at once: it takes longer to start than to judge.
    let output = Command::new(&checkov)
        .args(["--framework", "terraform_plan", "--output", "json", "--compact", "--skip-download", "--soft-fail"])
        .args(["--directory", "."])
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .output()
        .expect("checkov starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice::<Json>(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let of = |which: &str, plan: &str| {
        let list = report["results"][which].as_array().cloned().unwrap_or_default();
        let here =
            |check: &Json| check["file_path"].as_str().is_some_and(|path| path.ends_with(&format!("/{plan}.json")));
        let ids = list.iter().filter(|check| here(check)).filter_map(|check| check["check_id"].as_str());
        ids.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let figures = &report["summary"];
    eprintln!("checkov on {} plans: {} passed, {} failed", names.len(), figures["passed"], figures["failed"]);
    assert_eq!(figures["resource_count"].as_u64(), Some(12), "everything is read");
    let wrong = CHECKS.iter().filter(|(check, planted, clean)| {
        let (failed, passed) = (of("failed_checks", clean), of("passed_checks", clean));
        !of("failed_checks", planted).contains(*check) || failed.contains(*check) || !passed.contains(*check)
    });
    assert_eq!(wrong.map(|(check, ..)| *check).collect::<Vec<_>>(), [""; 0], "do not bite, or bite too much");
}

/// The example that docs/policy.md shows.
#[test]
fn our_own_example_for_opa_works_on_plans_in_our_words() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy/stack.rego");
    let text = std::fs::read_to_string(&path).expect("the example");
    let folder = tempfile::tempdir().expect("tempdir");
    let plan = |name: &str, stack: &str, web: &str| {
        std::fs::write(folder.path().join(format!("{name}.toml")), stack).expect("writable");
        std::fs::write(folder.path().join("web.yaml"), web).expect("writable");
        let text = run(folder.path(), &format!("plan {name}.toml --sim --world world --json"));
        serde_json::from_str::<Json>(&text).expect("JSON")
    };
    let of = |plan: &Json| said("stack.rego", &text, "data.stack.deny", plan);
    let open = of(&plan("open", OPEN, OPEN_WEB));
    for with in ["runs docker.io/library/nginx:latest without a digest", "node_pools.big has 5 nodes", "would cost"] {
        assert!(open.iter().any(|text| text.contains(with)), "{with}: {open:#?}");
    }
    assert_eq!(of(&plan("values", VALUES, "")), [""; 0]);
    assert_eq!(of(&plan("clean", &CLEAN.replace("nodes = 2", "nodes = 1"), CLEAN_WEB)), [""; 0]);
}
