//! The catalogue as a whole: the objects of the shipped stacks, their order, and what is said about bad ones.

use std::sync::{Arc, LazyLock};

use super::*;
use crate::chart::{Answers, Library};
use crate::diag::Source;
use crate::env::disk::{Disk as _, RealDisk};
use crate::env::memory_disk::MemoryDisk;
use crate::graph::Graph;
use crate::plan::edges;
use crate::stack::inputs::Given;
use crate::stack::{self, NoLoader};

const STACKS: [(&str, &str); 6] = [
    ("gpu-t4", include_str!("../../stacks/gpu-t4.toml")),
    ("tpu-v6e", include_str!("../../stacks/tpu-v6e.toml")),
    ("rhaii-gpu-t4", include_str!("../../stacks/rhaii-gpu-t4.toml")),
    ("rhaii-tpu-v6e", include_str!("../../stacks/rhaii-tpu-v6e.toml")),
    ("gpu-t4-production", include_str!("../../stacks/gpu-t4-production.toml")),
    ("tpu-v6e-production", include_str!("../../stacks/tpu-v6e-production.toml")),
];

/// Files by name.
struct Files(BTreeMap<&'static str, &'static str>);

impl Loader for Files {
    fn load(&self, _: &str, path: &str) -> Result<Arc<Source>, String> {
        let text = self.0.get(path).ok_or_else(|| "no such file".to_owned())?;
        Ok(Arc::new(Source { name: path.to_owned(), text: (*text).to_owned() }))
    }
}

pub(in crate::catalog) fn try_expand(
    text: &str,
    loader: &dyn Loader,
) -> Result<(Desired, Vec<Diagnostic>), Diagnostics> {
    let source = Arc::new(Source { name: "stack.toml".to_owned(), text: text.to_owned() });
    let given = Given { synthesize: true, ..Given::default() };
    let vars = BTreeMap::<String, String>::new();
    let loaded = stack::load(source, &NoLoader, &given, &vars).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let library = Library::new(&RealDisk);
    expand(
        &loaded.stack,
        &ExpandOptions {
            loader,
            secrets: loaded.inputs.secret_origins(),
            library: &library,
            key: None,
            answers: &Answers::default(),
        },
    )
}

pub(in crate::catalog) fn expanded(text: &str) -> Desired {
    match try_expand(text, &NoLoader) {
        Ok((desired, warnings)) => {
            assert_eq!(warnings, [], "no warnings");
            desired
        }
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// One of the shipped stacks, expanded once.
pub(in crate::catalog) fn named(name: &str) -> &'static Desired {
    static EXPANDED: LazyLock<BTreeMap<&str, Desired>> =
        LazyLock::new(|| STACKS.iter().map(|(name, text)| (*name, expanded(text))).collect());
    &EXPANDED[name]
}

/// Everything that a resource needs, directly or not.
fn needed(graph: &Graph<Address>, by: &Address) -> BTreeSet<Address> {
    let mut found = BTreeSet::new();
    let mut stack = vec![by.clone()];
    while let Some(at) = stack.pop() {
        let next = graph.dependencies(&at).into_iter().map(|(dependency, _)| dependency.clone());
        stack.extend(next.filter(|dependency| found.insert(dependency.clone())).collect::<Vec<_>>());
    }
    found
}

/// Summaries of the mistakes of the T4 stack with one text replaced by another.
pub(in crate::catalog) fn mistakes(name: &str, from: &str, to: &str) -> Vec<String> {
    let text = STACKS.iter().find(|(known, _)| *known == name).expect("a stack").1;
    assert!(text.contains(from), "{from}");
    match try_expand(&text.replace(from, to), &NoLoader) {
        Ok((_, warnings)) => warnings.into_iter().map(|d| format!("warning: {}", d.summary)).collect(),
        Err(Diagnostics(found)) => found.into_iter().map(|d| d.summary).collect(),
    }
}

pub(in crate::catalog) fn find<'d>(desired: &'d Desired, part: &str) -> &'d Resource {
    let mut found = desired.resources.iter().filter(|resource| resource.address.as_str().contains(part));
    let first = found.next().unwrap_or_else(|| panic!("no {part}"));
    assert!(found.next().is_none(), "more than one {part}");
    first
}

/// The whole graph of a stack: needs, connections, references, inferred edges.
fn graph(desired: &Desired) -> Graph<Address> {
    let mut graph = Graph::new();
    for resource in &desired.resources {
        graph.add(resource.address.clone());
        if resource.address.object_key().is_some() {
            // A component stands for all its objects.
            graph.depend(Address::new(resource.address.component()), resource.address.clone(), "is part of it");
        }
        if let Some(connection) = &resource.connection {
            graph.depend(resource.address.clone(), connection.clone(), "is in it");
        }
        for need in &resource.needs {
            graph.depend(resource.address.clone(), need.on.clone(), need.reason.clone());
        }
        resource.attrs.visit_templates(&mut |template| {
            for reference in template.references() {
                graph.depend(resource.address.clone(), reference.address.clone(), "refers to it");
            }
        });
    }
    for edge in edges::infer(&desired.resources).edges {
        graph.depend(edge.dependent, edge.dependency, edge.reason);
    }
    graph
}

#[test]
fn the_stacks_expand_to_these_objects() {
    for (name, _) in STACKS {
        let desired = named(name);
        let lines = desired.resources.iter().map(|resource| match &resource.origin {
            Some(origin) => format!("{}  ({origin})", resource.address),
            None => resource.address.to_string(),
        });
        insta::assert_snapshot!(format!("objects_{name}"), lines.collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn the_resources_of_google_and_of_the_workload_are_these() {
    for (name, _) in STACKS {
        let desired = named(name);
        let shown = desired
            .resources
            .iter()
            .filter(|resource| resource.origin.is_none() && resource.address.component() != "addons.cert-manager");
        let texts = shown.map(|resource| {
            let json = serde_json::to_string_pretty(&resource.attrs.to_json()).expect("json");
            format!("{}\n{json}", resource.address)
        });
        insta::assert_snapshot!(format!("attributes_{name}"), texts.collect::<Vec<_>>().join("\n\n"));
    }
}

#[test]
fn every_edge_leads_somewhere_and_there_is_no_circle() {
    for (name, _) in STACKS {
        let desired = named(name);
        let graph = graph(desired);
        let order = graph.order().unwrap_or_else(|circle| panic!("{name}: {circle:?}"));
        let components = desired.resources.iter().map(|r| r.address.component()).collect::<BTreeSet<_>>();
        let barriers = edges::infer(&desired.resources).barriers;
        for node in order {
            let known = desired.resources.iter().any(|resource| resource.address == node)
                || components.contains(node.as_str())
                || barriers.contains(&node);
            assert!(known, "{name}: {node} is needed and not there");
        }
    }
}

#[test]
fn what_a_model_relies_on_is_there_before_it() {
    for (name, _) in STACKS {
        let desired = named(name);
        let graph = graph(desired);
        let model = &find(desired, "/LLMInferenceService.").address;
        let needed = needed(&graph, model);
        for on in ["cluster", "addons.kserve", "addons.istio", "gateway"] {
            assert!(needed.contains(on), "{name}: {on}");
        }
        let pool = desired.resources.iter().find(|r| r.address.as_str().starts_with("node_pools.")).expect("a pool");
        assert!(needed.contains(&pool.address), "{name}: pool");
        // Everything but what hangs on the model or on its gateway is needed by it.
        let spare = desired.resources.iter().filter(|r| !needed.contains(&r.address) && r.address != *model);
        let spare = spare.map(|r| r.address.to_string()).collect::<Vec<_>>();
        insta::assert_snapshot!(format!("not_needed_by_the_model_{name}"), spare.join("\n"));
    }
}

#[test]
fn operators_outlive_their_objects() {
    for (dependent, on, name) in [
        ("/ClusterPolicy.", "/Deployment.apps/gpu-operator/gpu-operator", "gpu-t4"),
        ("/Gateway.gateway.networking.k8s.io/", "/Deployment.apps/istio-system/istiod", "gpu-t4"),
        ("/Certificate.cert-manager.io/kserve/", "/Deployment.apps/cert-manager/cert-manager", "gpu-t4"),
        ("/LLMInferenceService.", "/Deployment.apps/kserve/llmisvc-controller-manager", "gpu-t4"),
        (
            "/LLMInferenceServiceConfig.serving.kserve.io/kserve/kserve-config-llm-template",
            "/Deployment.apps/kserve/llmisvc-controller-manager",
            "gpu-t4",
        ),
        ("/IstioCNI.", "/Deployment.apps/istio-system/servicemesh-operator3", "rhaii-gpu-t4"),
        ("/Istio.", "/Deployment.apps/istio-system/servicemesh-operator3", "rhaii-gpu-t4"),
        ("/CertManager.", "/Deployment.apps/cert-manager-operator/", "rhaii-gpu-t4"),
        ("/LeaderWorkerSetOperator.", "/Deployment.apps/openshift-lws-operator/", "rhaii-gpu-t4"),
        ("/Gateway.gateway.networking.k8s.io/", "/Istio.sailoperator.io/default", "rhaii-gpu-t4"),
        ("/Certificate.cert-manager.io/opendatahub/llmisvc", "/CertManager.", "rhaii-gpu-t4"),
    ] {
        let desired = named(name);
        let all = |part: &str| {
            let found = desired.resources.iter().filter(|r| r.address.as_str().contains(part)).collect::<Vec<_>>();
            // The shortest is the one that is meant where one name begins another.
            found
                .into_iter()
                .min_by_key(|r| r.address.as_str().len())
                .unwrap_or_else(|| panic!("no {part}"))
                .address
                .clone()
        };
        assert!(needed(&graph(desired), &all(dependent)).contains(&all(on)), "{dependent} needs {on}");
    }
}

#[test]
fn secrets_stay_names_and_are_listed() {
    let desired = named("rhaii-gpu-t4");
    assert_eq!(desired.secrets.keys().collect::<Vec<_>>(), ["hf_token", "pull_secret"]);
    for resource in &desired.resources {
        if resource.address.as_str().contains("/Secret/") && resource.attrs.get("data").is_some() {
            assert!(!resource.attrs.is_known(), "{}", resource.address);
        }
    }
    let spaces = desired.resources.iter().filter_map(|r| {
        let key = r.address.object_key()?;
        key.ends_with("pull-secret").then(|| key.split('/').nth(1).expect("a namespace"))
    });
    let mut spaces = spaces.collect::<Vec<_>>();
    spaces.sort_unstable();
    let expected = [
        "cert-manager",
        "cert-manager-operator",
        "istio-system",
        "kube-system",
        "opendatahub",
        "openshift-lws-operator",
        "rhaii-inference",
    ];
    assert_eq!(spaces, expected);
}

#[test]
fn every_image_of_red_hats_is_pulled_with_a_login() {
    for name in ["rhaii-gpu-t4", "rhaii-tpu-v6e"] {
        let desired = named(name);
        let logged_in = |namespace: &str, account: &str| {
            let account = format!("/ServiceAccount/{namespace}/{account}");
            desired
                .resources
                .iter()
                .any(|r| r.address.as_str().ends_with(&account) && r.attrs.get("imagePullSecrets").is_some())
        };
        for resource in &desired.resources {
            let path: &[&str] = if resource.address.as_str().contains("/LLMInferenceService.") {
                &["spec", "template"]
            } else {
                &["spec", "template", "spec"]
            };
            let Some(spec) =
                resource.attrs.at(path).filter(|spec| spec.to_json().to_string().contains("\"registry.redhat.io"))
            else {
                continue;
            };
            let namespace = resource.attrs.at(&["metadata", "namespace"]).and_then(Value::as_str).expect("a namespace");
            let account = spec.get("serviceAccountName").and_then(Value::as_str).unwrap_or("default");
            assert!(spec.get("imagePullSecrets").is_some() || logged_in(namespace, account), "{}", resource.address);
        }
    }
}

#[test]
fn outputs_and_proofs_refer_to_resources() {
    for (name, _) in STACKS {
        let desired = named(name);
        let proof = &desired.proofs[0];
        assert_eq!((desired.proofs.len(), proof.model.as_str()), (1, "Qwen/Qwen2.5-3B-Instruct"));
        assert_eq!(proof.server_name.as_deref(), Some(format!("inference.{name}.internal").as_str()));
        let values = desired.outputs.values().map(|o| &o.value).chain([&proof.url]).chain(&proof.ca);
        for value in values {
            value.visit_templates(&mut |template| {
                assert!(!template.is_sensitive());
                for reference in template.references() {
                    assert!(desired.resources.iter().any(|r| r.address == reference.address), "{reference}");
                }
            });
        }
        assert_eq!(desired.outputs["endpoint"].value, proof.url);
        assert_eq!(desired.outputs["model"].value, Value::from("Qwen/Qwen2.5-3B-Instruct"));
    }
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let t4 = "accelerator = \"nvidia-t4\"";
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("gpu-t4", t4, "accelerator = \"nvidia-t5\"", &["there is no accelerator \"nvidia-t5\""]),
        ("gpu-t4", "[addons.kserve]", "", &["workloads.qwen-3b-gpu needs [addons.kserve]"]),
        (
            "gpu-t4",
            "location = \"europe-west4-a\"",
            "location = \"europe-west9-a\"",
            &["warning: europe-west9-a is not known to offer nvidia-t4"],
        ),
        (
            "gpu-t4",
            t4,
            "accelerator = \"nvidia-t4\"\nmachine_type = \"g2-standard-8\"",
            &["nvidia-t4 does not come with machine type g2-standard-8"],
        ),
        (
            "gpu-t4",
            "replicas = 1",
            "replicas = 2",
            &["2 replicas do not fit into node_pools.gpu, which has room for 1"],
        ),
        (
            "gpu-t4",
            "replicas = 1",
            "replicas = 1\ntensor_parallel = 2",
            &["tensor_parallel = 2 on nodes with 1 of nvidia-t4"],
        ),
        (
            "gpu-t4",
            "replicas = 1",
            "replicas = 1\nimage = \"vllm/vllm-tpu:x\"",
            &["vllm/vllm-tpu:x is no image for nvidia-t4"],
        ),
        (
            "gpu-t4",
            "replicas = 1",
            "replicas = 1\nrouting = \"cache-aware\"",
            &[
                "workloads.qwen-3b-gpu needs [addons.inference-extension]",
                "cache-aware routing has nothing to choose from",
                "nobody enforces the network policies of workloads.qwen-3b-gpu",
            ],
        ),
        (
            "gpu-t4",
            "[addons.istio]",
            "[addons.istio]\nversion = \"1.29.0\"",
            &["istio 1.29.0 is not tested with this catalogue", "the chart of istio 1.29.0 is not at hand"],
        ),
        ("gpu-t4", "[addons.lws]", "[addons.lws]\nvalues = { a = 1 }", &["the stand-in of lws takes no values"]),
        ("gpu-t4", "[addons.istio]", "[addons.istio]\nvalues = { a = 1 }", &["istio has no chart a"]),
        (
            "rhaii-gpu-t4",
            "[addons.istio]\ndistribution = \"rhaii\"",
            "[addons.istio]\ndistribution = \"rhaii\"\nversion = \"3.3.0\"",
            &["istio comes in version 3.2.1 only"],
        ),
        (
            "gpu-t4",
            "[addons.gpu-operator]",
            "[addons.gpu-operator]\ndistribution = \"rhaii\"",
            &["gpu-operator has no rhaii distribution"],
        ),
        (
            "gpu-t4",
            "[addons.lws]",
            "[addons.lws]\n[charts.x]\nsource = \"oci://registry.example/x\"\nversion = \"1.0.0\"",
            &["charts.x is not at hand"],
        ),
        (
            "tpu-v6e",
            "tensor_parallel = 4",
            "tensor_parallel = 8",
            &["tensor_parallel = 8 on nodes with 4 of tpu-v6e-4"],
        ),
        (
            "tpu-v6e",
            "tensor_parallel = 4",
            "tensor_parallel = 2",
            &["warning: tensor_parallel = 2 leaves 2 chips idle"],
        ),
        (
            "tpu-v6e",
            "replicas = 1",
            "replicas = 1\nimage = \"vllm/vllm-openai:x\"",
            &["vllm/vllm-openai:x is no image for tpu-v6e-4"],
        ),
    ];
    for (name, from, to, expected) in cases {
        assert_eq!(mistakes(name, from, to), *expected, "{to}");
    }
    let login = "[registries.\"registry.redhat.io\"]\npull_secret = \"${inputs.pull_secret}\"";
    let found = mistakes("rhaii-gpu-t4", login, "");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("come from registry.redhat.io, which needs a login"), "{found:?}");
}

#[test]
fn manifests_of_the_users_own() {
    let files = Files(BTreeMap::from([
        (
            "a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: example.com/v1\nkind: Wide\nmetadata: {name: w}\n",
        ),
        (
            "crd.yaml",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: wides.example.com}\n\
                      spec: {group: example.com, scope: Cluster, names: {kind: Wide, plural: wides}}\n",
        ),
        ("bad.yaml", "kind: [\n"),
        ("again.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: default}\n"),
    ]));
    let stack = |files: &str| {
        format!(
            "name = \"m\"\n[cluster]\nproject = \"sim-project\"\nlocation = \"europe-west4-a\"\n[values.v]\ninput = 1\n\
                 [manifests.own]\nfiles = [{files}]\ndepends_on = [\"values.v\"]\n"
        )
    };
    let (desired, _) = try_expand(&stack("\"a.yaml\", \"crd.yaml\""), &files).expect("good");
    let config = find(&desired, "ConfigMap/default/c");
    assert_eq!(config.origin.as_deref(), Some("a.yaml"));
    assert_eq!(config.needs[0].on, Address::new("values.v"));
    find(&desired, "manifests.own/Wide.example.com/w");
    let bad = try_expand(&stack("\"bad.yaml\", \"none.yaml\", \"a.yaml\", \"again.yaml\""), &files).expect_err("bad");
    let summaries = bad.0.iter().map(|d| d.summary.as_str()).collect::<Vec<_>>();
    assert_eq!(summaries.len(), 3, "{summaries:?}");
    assert!(summaries.iter().any(|s| s.contains("cannot read none.yaml")), "{summaries:?}");
    assert!(summaries.iter().any(|s| s.contains("are the same object")), "{summaries:?}");
}

#[test]
fn components_wait_for_others_wherever_they_stand() {
    let files = Files(BTreeMap::from([
        ("first.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n"),
        (
            "last.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: last}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: last}\n",
        ),
    ]));
    let text = "name = \"m\"\n[cluster]\nkubeconfig = \"kubeconfig\"\n[manifests.a-last]\nfiles = [\"last.yaml\"]\n\
                depends_on = [\"manifests.z-first\", \"manifests.none\"]\n[manifests.none]\nfiles = []\n\
                [manifests.z-first]\nfiles = [\"first.yaml\"]\n";
    let (desired, warnings) = try_expand(text, &files).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let last = find(&desired, "ConfigMap/default/last");
    assert_eq!(last.needs.iter().map(|need| need.on.as_str()).collect::<Vec<_>>(), ["manifests.z-first"]);
    let told = warnings.iter().map(|warning| warning.summary.as_str()).collect::<Vec<_>>();
    assert_eq!(told, ["depends_on names manifests.none, of which nothing is made"], "once");
}

#[test]
fn a_namespace_belongs_to_whoever_declares_it() {
    let files = Files(BTreeMap::from([
        (
            "spaces.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: front, labels: {team: red}}\n---\n\
             apiVersion: v1\nkind: Namespace\nmetadata: {name: models, labels: {istio-injection: disabled}}\n---\n\
             apiVersion: v1\nkind: Namespace\nmetadata: {name: more}\n",
        ),
        ("again.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: front}\n"),
    ]));
    let text = STACKS[0].1.replace("[gateway]", "[gateway]\nnamespace = \"front\"");
    let text = text.replace("[workloads.qwen-3b-gpu]", "[workloads.qwen-3b-gpu]\nnamespace = \"models\"");
    let second = "[workloads.more]\nmodel = \"hf://Qwen/Qwen2.5-0.5B-Instruct\"\nnode_pool = \"gpu\"\nreplicas = 0\nnamespace = \"more\"\n";
    let with = |files: &str| {
        format!("{text}\n{second}[manifests.spaces]\nfiles = [{files}]\ndepends_on = [\"addons.kserve\"]\n")
    };
    let (desired, _) = try_expand(&with("\"spaces.yaml\""), &files).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let label = |name: &str, key: &str| {
        let found = find(&desired, &format!("manifests.spaces/Namespace/{name}"));
        found.attrs.at(&["metadata", "labels", key]).and_then(Value::as_str).map(str::to_owned)
    };
    assert_eq!(label("front", "team").as_deref(), Some("red"));
    assert_eq!(label("models", "istio-injection").as_deref(), Some("disabled"), "what it says itself holds");
    assert_eq!(label("more", "istio-injection").as_deref(), Some("enabled"), "the workload's wish");
    // What lives in it waits for it, and it for nobody of those.
    let graph = graph(&desired);
    let gateway = find(&desired, "gateway/Gateway.gateway.networking.k8s.io/front/inference-gateway").address.clone();
    assert!(needed(&graph, &gateway).contains(&Address::new("manifests.spaces/Namespace/front")));
    // Two that declare it are two owners.
    let twice = try_expand(&with("\"spaces.yaml\", \"again.yaml\""), &files).expect_err("two");
    assert_eq!(twice.0.len(), 1, "{twice}");
    assert!(twice.0[0].summary.contains("are the same object"), "{twice}");
}

#[test]
fn slices_and_ways_of_buying() {
    let stack = |pool: &str| {
        let text = format!(
            "name = \"m\"\n[cluster]\nproject = \"sim-project\"\nlocation = \"europe-west4-a\"\n[node_pools.p]\n{pool}\n"
        );
        find(&expanded(&text), "node_pools.p").attrs.clone()
    };
    let slice = stack("accelerator = \"tpu-v6e-16\"");
    assert_eq!((slice.get("nodes"), slice.get("tpu_topology")), (Some(&Value::Int(4)), Some(&Value::from("4x4"))));
    let flex = stack("accelerator = \"nvidia-t4\"\nnodes = 2\nprovisioning = \"flex-start\"");
    assert_eq!((flex.get("nodes"), flex.at(&["autoscale", "max"])), (Some(&Value::Int(0)), Some(&Value::Int(2))));
    let single = stack("accelerator = \"tpu-v6e-4\"\nprovisioning = \"reservation:mine\"");
    assert_eq!((single.get("reservation"), single.get("tpu_topology")), (Some(&Value::from("mine")), None));
    assert_eq!(stack("accelerator = \"nvidia-t4\"").get("labels"), None);
}

#[test]
fn the_stacks_cost_what_their_comments_say() {
    let per_day = |name: &str| crate::cost::estimate(&named(name).resources).per_day();
    for (name, expected) in [
        ("gpu-t4", 28.0),
        ("tpu-v6e", 300.0),
        ("rhaii-gpu-t4", 28.0),
        ("rhaii-tpu-v6e", 300.0),
        ("gpu-t4-production", 57.0),
        ("tpu-v6e-production", 870.0),
    ] {
        let found = per_day(name);
        assert!((found - expected).abs() < expected * 0.03, "{name}: {found}");
    }
}

#[test]
fn a_chart_of_ones_own_with_hooks_scopes_and_what_says_nothing() {
    let disk = MemoryDisk::new();
    let job = |name: &str, hook: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: \"{hook}\"}}}}\n\
             spec: {{template: {{spec: {{restartPolicy: Never, containers: []}}}}}}\n"
        )
    };
    let files = [
        ("Chart.yaml", "apiVersion: v2\nname: own\nversion: 1.0.0\n".to_owned()),
        (
            "crds/thing.yaml",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.x.io}\n\
             spec: {group: x.io, scope: Cluster, names: {kind: Thing, plural: things}, versions: [{name: v1, served: true}]}\n"
                .to_owned(),
        ),
        (
            "templates/thing.yaml",
            "{{ if .Capabilities.APIVersions.Has \"x.io/v1/Thing\" }}\napiVersion: x.io/v1\nkind: Thing\n\
             metadata: {name: t, namespace: wrong, labels: null}\n{{ end }}\n"
                .to_owned(),
        ),
        (
            "templates/map.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: {{ .Values.a | quote }}}\n".to_owned(),
        ),
        ("templates/before.yaml", job("before", "pre-install")),
        ("templates/after.yaml", job("after", "post-install,post-upgrade")),
        ("templates/upgrade.yaml", job("upgrade", "pre-upgrade")),
        (
            "templates/late.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, annotations: {helm.sh/hook: \"post-install,post-upgrade\"}}\n"
                .to_owned(),
        ),
        ("templates/clean.yaml", job("clean", "pre-delete,post-delete")),
        ("templates/test.yaml", job("test", "test")),
    ];
    let folder = stack::beside("stack.toml", "./own");
    for (name, text) in files {
        disk.write(&folder.join(name), text.as_bytes()).expect("room");
    }
    let text =
        format!("{}\n[charts.mine]\nsource = \"./own\"\nnamespace = \"mine\"\nvalues = {{ a = \"x\" }}\n", STACKS[0].1);
    let source = Arc::new(Source { name: "stack.toml".to_owned(), text });
    let given = Given { synthesize: true, ..Given::default() };
    let loaded = stack::load(source, &NoLoader, &given, &BTreeMap::<String, String>::new()).expect("a good stack");
    let library = Library::new(&disk);
    let options = ExpandOptions {
        loader: &NoLoader,
        library: &library,
        secrets: BTreeMap::new(),
        key: None,
        answers: &Answers::default(),
    };
    let (desired, warnings) = expand(&loaded.stack, &options).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(warnings, []);
    let mine = desired.resources.iter().filter(|resource| resource.address.component() == "charts.mine");
    let mut names = mine.clone().map(|resource| resource.address.to_string()).collect::<Vec<_>>();
    names.sort();
    assert_eq!(
        names,
        [
            "charts.mine/ConfigMap/mine/late",
            "charts.mine/ConfigMap/mine/m",
            "charts.mine/CustomResourceDefinition.apiextensions.k8s.io/things.x.io",
            "charts.mine/Namespace/mine",
            "charts.mine/Thing.x.io/t",
            "charts.mine/post-delete:Job.batch/mine/clean",
            "charts.mine/post-install:Job.batch/mine/after",
            "charts.mine/post-upgrade:Job.batch/mine/after",
            "charts.mine/pre-delete:Job.batch/mine/clean",
            "charts.mine/pre-install:Job.batch/mine/before",
            "charts.mine/pre-upgrade:Job.batch/mine/upgrade",
        ]
    );
    let needs = |part: &str| {
        let needs = find(&desired, part).needs.iter();
        needs.map(|need| need.on.as_str().rsplit('/').next().unwrap_or_default()).collect::<BTreeSet<_>>()
    };
    assert_eq!(needs("pre-install:Job.batch/mine/before"), BTreeSet::from(["things.x.io"]));
    assert_eq!(needs("mine/m"), BTreeSet::from(["before", "upgrade"]));
    assert_eq!(needs("post-install:Job.batch/mine/after"), BTreeSet::from(["late"]));
    // What stays, and is there after each upgrade, is made in its turn and kept.
    assert_eq!(needs("ConfigMap/mine/late"), BTreeSet::from(["m", "t", "things.x.io"]));
    assert_eq!(needs("pre-delete:Job.batch/mine/clean"), BTreeSet::from(["m", "t"]));
    assert_eq!(needs("post-delete:Job.batch/mine/clean"), BTreeSet::new());
    let rendered = |part: &str| find(&desired, part).attrs.get("rendered").is_some();
    assert!(rendered("pre-upgrade:Job") && rendered("post-upgrade:Job") && !rendered("pre-delete:Job"));
    let thing = find(&desired, "Thing.x.io");
    assert_eq!(thing.attrs.at(&["metadata", "labels"]), None);
    assert_eq!(thing.origin.as_deref(), Some("own/templates/thing.yaml"));
    let policy = ["metadata", "annotations", "helm.sh/resource-policy"];
    assert_eq!(find(&desired, "things.x.io").attrs.at(&policy), Some(&Value::from("keep")));
}

/// Two components of hooks that run at upgrades: one has a Secret, the other has not.
fn digests_of(word: &str, key: Option<[u8; 32]>) -> [String; 2] {
    let object = |kind: &str, data: Value| {
        Value::from_json(&serde_json::json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"},
            "stringData": data.to_json()}))
    };
    let address = |component: &str, key: &str| Address::new(format!("charts.{component}/{key}"));
    let data = Value::from_json(&serde_json::json!({"word": word}));
    let resource = |address: Address, kind: &'static str, attrs: Value| Resource {
        address,
        kind,
        attrs: attrs.into(),
        needs: Vec::new(),
        connection: None,
        ceded: Vec::new(),
        timeout: std::time::Duration::ZERO,
        estimate: std::time::Duration::ZERO,
        origin: None,
    };
    let job = || crate::resource::hook::Hook::default().attrs(object("ConfigMap", Value::map()));
    let mut resources = vec![
        resource(address("a", "Secret/n/x"), "k8s.object", object("Secret", data.clone())),
        resource(address("a", "pre-upgrade:Job.batch/n/x"), "k8s.hook", job()),
        resource(address("b", "ConfigMap/n/x"), "k8s.object", object("ConfigMap", data)),
        resource(address("b", "post-upgrade:Job.batch/n/x"), "k8s.hook", job()),
    ];
    pieces::digest(&mut resources, key);
    [1, 3].map(|at| resources[at].attrs.get("rendered").and_then(Value::as_str).expect("a digest").to_owned())
}

#[test]
fn digests_of_secrets_are_keyed_or_leave_them_out() {
    let [secret, plain] = digests_of("a", Some([1; 32]));
    assert!(secret.starts_with("keyed:") && !plain.starts_with("keyed:"), "{secret} {plain}");
    let [other, _] = digests_of("a", Some([2; 32]));
    let [changed, _] = digests_of("b", Some([1; 32]));
    assert!(other != secret && changed != secret);
    // Without a key it tells nothing of them; of all else it is what it ever was.
    assert_eq!(digests_of("a", None)[0], digests_of("b", None)[0]);
    assert_eq!(digests_of("a", None)[1], plain);
    assert_ne!(digests_of("b", None)[1], plain);
}
