//! What is said about bad stack files: every rendered diagnostic is a snapshot, read by whoever changes one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use stackwright::diag::{Diagnostics, Severity, Source};
use stackwright::stack::{self, Loader, NoLoader, inputs::Given};
use stackwright::ui::diagnostic::{Look, render};

fn source(name: &str, text: &str) -> Arc<Source> {
    Arc::new(Source { name: name.to_owned(), text: text.to_owned() })
}

/// Errors and warnings of a file as a person sees them.
fn said(text: &str, loader: &dyn Loader) -> String {
    let given = Given { synthesize: true, ..Given::default() };
    let diagnostics = match stack::load(source("stack.toml", text), loader, &given, &BTreeMap::new()) {
        Ok(loaded) => loaded.warnings,
        Err(Diagnostics(mistakes)) => mistakes,
    };
    if diagnostics.is_empty() { "nothing\n".to_owned() } else { render(&diagnostics, Look::default()) }
}

/// One snapshot for several files, each under its text.
fn table(cases: &[&str]) -> String {
    let mut all = String::new();
    for case in cases {
        let text = case.trim_start_matches('\n');
        writeln!(all, "════════\n{}────────\n{}", text, said(text, &NoLoader)).expect("a String takes everything");
    }
    all
}

const CLUSTER: &str = "[cluster]\nproject = \"my-project\"\nlocation = \"europe-west4\"\n";

/// A stack with a good cluster and `rest`.
fn with(rest: &str) -> String {
    format!("name = \"x\"\n{CLUSTER}{rest}")
}

fn table_with(cases: &[&str]) -> String {
    let mut all = String::new();
    for case in cases {
        let case = case.trim_start_matches('\n');
        writeln!(all, "════════\n{case}────────\n{}", said(&with(case), &NoLoader)).expect("a String takes everything");
    }
    all
}

#[test]
fn syntax() {
    insta::assert_snapshot!(table(&[
        "",
        "name = \n",
        "name = \"x\nb = [1,\n[cluster\n",
        "name = \"x\"\nname = \"y\"\n",
        "name = \"x\"\n[limits]\n[limits]\n",
        "name = \"x\"\n[limits]\nttl = \"8h\"\nbudget_per_day 45\nbudget = 45\n",
        "name = \"x\"\n[limits]\nbudget_per_day = 1e999\n",
        "name = \"x\"\nvalues = { a = { input = 99999999999999999999 } }\n",
        "just some words\n",
    ]));
}

#[test]
fn keys_and_types() {
    insta::assert_snapshot!(table(&[
        "nam = \"x\"\n",
        "name = 5\n",
        "name = \"x\"\ncluster = \"y\"\nnode_pools = []\nmoved = \"z\"\n",
        "name = \"x\"\n[clustr]\n[state]\nbucket = \"gs://b\"\n",
        "name = \"x\"\n[limits]\nbudget_per_day = \"45\"\nttl = 8\n",
        "name = \"x\"\n[limits]\nbudget_per_day = -1\nttl = \"8 hours\"\n",
        "name = \"Über\"\n[state]\nbackend = \"ftp://x\"\n",
        "name = \"x\"\n[values.a]\n[values.\"b c\"]\ninput = 1\n",
    ]));
}

#[test]
fn clusters() {
    insta::assert_snapshot!(table(&[
        "name = \"x\"\n[cluster]\n",
        "name = \"x\"\n[cluster]\nkubeconfig = \"k\"\nproject = \"my-project\"\nversion = \"1.34\"\n[node_pools.a]\nmachine_type = \"e2-medium\"\n",
        "name = \"x\"\n[cluster]\ncontext = \"c\"\nproject = \"P\"\nlocation = \"mars\"\nrelease_channel = \"regualr\"\n",
        "name = \"x\"\n[addons.istio]\n[gateway]\n",
        "name = \"x\"\n[cluster]\nname = \"a-name-that-is-longer-than-forty-characters\"\nproject = \"my-project\"\nlocation = \"us-east5\"\nfallback_locations = [\"us-east5\", 3]\nlabels = { Team = \"a\", stackwright-id = \"b\", c = \"D\" }\nsystem_pool = { nodes = 9, autoscale = [1, 5], machines = 2 }\n",
    ]));
}

#[test]
fn node_pools() {
    insta::assert_snapshot!(table_with(&[
        "[node_pools.a]\n",
        "[node_pools.GPU_pool]\naccelerator = \"nvidia-t4\"\nnodes = -1\n",
        "[node_pools.a]\naccelerator = \"nvidia-t4\"\nprovisioning = \"sopt\"\nautoscale = [3, 1]\ndisk_size_gb = 5\n",
        "[node_pools.a]\naccelerator = \"nvidia-t4\"\nprovisioning = \"reservation:\"\nautoscale = [1]\nzone = \"us-east5-a\"\n",
        "[node_pools.a]\naccelerator = \"tpu-v6e-4\"\ntopology = \"2x2\"\n",
        "[node_pools.a]\nmachine_type = \"ct6e-standard-4t\"\ntopology = \"2x2\"\n",
        "[node_pools.a]\naccelerator = \"nvidia-t4\"\ntopology = \"4x4\"\n",
        "[node_pools.a]\naccelerator = \"tpu-v6e-16\"\ntopology = \"4x4\"\nnodes = 3\n[node_pools.b]\naccelerator = \"tpu-v6e-16\"\ntopology = \"4x8\"\n[node_pools.c]\naccelerator = \"tpu-v6e-16\"\ntopology = \"4x\"\n",
        "[node_pools.a]\naccelerator = \"tpu-v6e-16\"\ntopology = \"4x4\"\nnodes = 4\n[node_pools.b]\nmachine_type = \"ct6e-standard-4t\"\ntopology = \"2x4\"\n",
        "[node_pools.a]\naccelerator = \"nvidia-t4\"\nprovisioning = \"flex-start\"\nautoscale = [1, 3]\n",
        "[node_pools.a]\naccelerator = \"nvidia-t4\"\ntaints = [{ key = \"a b\", efect = \"NoSchedule\" }, 3]\nlabels = { \"a/b/c\" = \"x\", d = \"-\" }\n",
    ]));
}

#[test]
fn workloads_and_gateways() {
    insta::assert_snapshot!(table_with(&[
        "[workloads.a]\n",
        "[workloads.a]\nmodel = \"Qwen/Qwen2.5\"\nnode_pool = \"gpu\"\n",
        "[node_pools.gpu]\naccelerator = \"nvidia-t4\"\n[workloads.a]\nmodel = \"hf://a/b\"\nnode_pool = \"gpuu\"\n[workloads.b]\nmodel = \"hf://a/b\"\n",
        "[node_pools.gpu]\naccelerator = \"nvidia-t4\"\n[workloads.a]\nmodel = \"hf://a/b\"\nnode_pool = \"gpu\"\naccelerator = \"nvidia-t4\"\ndtype = \"bfloat16\"\nreplicas = 1.5\nrouting = \"cache-awre\"\ngpu_memory_utilization = 85\n",
        "[node_pools.tpu]\naccelerator = \"tpu-v6e-4\"\n[workloads.a]\nmodel = \"hf://a/b\"\nnode_pool = \"tpu\"\ngpu_memory_utilization = 0.85\nhf_token = \"hf_abcdef\"\nenv = { \"1A\" = \"x\", B = [] }\nresources = { requests = { memory = \"16 GB\" } }\n",
        "[gateway]\ntls = \"off\"\nhttps_port = 443\nhostname = \"localhost\"\n",
        "[gateway]\nhttp_port = 443\ntls = \"secrets\"\n",
        "[addons.certmanager]\n[addons.lws]\ndistribution = \"redhat\"\nvalues = 3\n",
        "[registries.\"https://registry.redhat.io\"]\npull_secret = \"{}\"\n",
    ]));
}

#[test]
fn charts_and_manifests() {
    insta::assert_snapshot!(table_with(&[
        "[charts.a]\nsource = \"https://charts.example.com\"\n[charts.b]\nsource = \"oci://ghcr.io/x/y\"\nchart = \"y\"\n[charts.c]\nsource = \"charts/c\"\ndepends_on = [\"addon.istio\", \"charts.d\", \"charts.a/Namespace/x\"]\n",
        "[manifests.a]\n[manifests.b]\nfiles = [\"a.yaml\", \"a.yaml\"]\nurl = \"https://x/y.yaml\"\n[manifests.c]\ndigest = \"sha256:1\"\nfiles = \"a.yaml\"\n",
    ]));
}

#[test]
fn references() {
    insta::assert_snapshot!(table_with(&[
        "[values.a]\ninput = [\"${\", \"${}\", \"${upper(x)}\", \"${values.a b}\", \"$${fine}\", \"${values..id}\"]\n",
        "[values.abc]\ninput = [\"${values.abd.id}\", \"${clustr.endpoint}\", \"${cluster.endpont}\", \"${cluster}\", \"${gateway.url}\", \"${node_pools.gpu.name}\"]\n",
        "[values.a]\ninput = [\"${cluster.endpoint.host}\", \"${inputs.project}\", \"${inputs}\", \"${workloads.a.url}\", \"${addons.a.version}\"]\n",
        "[addons.istio]\n[values.a]\ninput = [\"${objects.addons.istio/Service/istio-system/istiod}\", \"${objects.addons.isto/Service/a/b.spec}\", \"${objects.cluster/Service/a/b.spec}\", \"${objects.x}\"]\n",
        "[values.a]\n\"${cluster.id}\" = 1\ninput = { \"${cluster.name}\" = 1 }\n",
        "[inputs]\nn = { type = \"number\" }\ns = { secret = true }\nb = { type = \"bool\", default = \"${cluster.id}\" }\n[node_pools.a]\naccelerator = \"${cluster.id}\"\nmachine_type = \"${inputs.s}\"\nnodes = \"${inputs.b}\"\ndisk_size_gb = \"${inputs.n}x\"\n",
        "[values.a]\ninput = \"\"\"\nfirst\n  ${valus.a.id} \\\n\"\"\"\n",
        "[values.a]\ninput = \"tab\\t${valus.a.id}\"\n",
    ]));
}

#[test]
fn circles() {
    insta::assert_snapshot!(table_with(&[
        "[values.a]\ninput = \"${values.a.id}\"\n",
        "[values.a]\ninput = \"${values.b.id}\"\n[values.b]\ninput = [\"${values.c.output.x}\", \"${values.a.id}\"]\n[values.c]\ninput = \"${values.b.id}\"\n[values.d]\ninput = \"${values.a.id}\"\n",
        "[charts.a]\nsource = \"a\"\ndepends_on = [\"manifests.b\"]\n[manifests.b]\nfiles = [\"b\"]\ndepends_on = [\"charts.a\"]\n",
        "[charts.a]\nsource = \"a\"\nvalues = { x = \"${objects.manifests.b/Service/x/y.spec.clusterIP}\" }\n[manifests.b]\nfiles = [\"b\"]\ndepends_on = [\"charts.a\"]\n",
    ]));
}

#[test]
fn inputs_outputs_and_moves() {
    insta::assert_snapshot!(table_with(&[
        "[inputs]\na = { type = \"strng\" }\nb = { type = \"number\", default = \"1\" }\nc = { secret = true, default = \"x\" }\nd = { secret = true, type = \"list\" }\n\"e f\" = {}\ng = \"string\"\nh = { env = \"A B\" }\n",
        "[inputs]\nunused = {}\n",
        "[inputs]\ns = { secret = true }\n[values.a]\ninput = { x = [\"${inputs.s}\"] }\n",
        "[inputs]\ns = { secret = true }\n[outputs]\na = \"${inputs.s}\"\nb = { value = \"${cluster.endpoint}\", sensitve = true }\nc = { value = \"x-${inputs.s}\", sensitive = true }\n",
        "[[moved]]\nfrom = \"node_pools.a\"\nto = \"node_pools.b\"\n[[moved]]\nfrom = \"addons.x\"\nto = \"addons.y\"\n[[moved]]\nfrom = \"node_pools.a\"\nto = \"values.a\"\n[[moved]]\nfrom = \"gpu\"\n",
        "[values.a]\ninput = 1\n[values.b]\ninput = 1\n[[moved]]\nfrom = \"values.a\"\nto = \"values.b\"\n[[moved]]\nfrom = \"values.c\"\nto = \"values.b\"\n[[moved]]\nfrom = \"values.c\"\nto = \"values.b\"\n",
    ]));
}

struct Files(BTreeMap<&'static str, &'static str>);

impl Loader for Files {
    fn load(&self, from: &str, path: &str) -> Result<Arc<Source>, String> {
        let name = stack::beside(from, path).display().to_string();
        let text = self.0.get(name.as_str()).ok_or("no such file")?;
        Ok(source(&name, text))
    }
}

#[test]
fn overlays() {
    let files = Files(BTreeMap::from([
        ("base.toml", "name = \"base\"\n[limits]\nttl = \"soon\"\n[values.a]\ninput = \"${values.gone.id}\"\n"),
        ("broken.toml", "name = \n"),
        ("circle.toml", "extends = \"stack.toml\"\n"),
        ("stack.toml", "extends = \"circle.toml\"\n"),
    ]));
    let cases = [
        "extends = \"base.toml\"\n[limits]\nbudget = 1\n[values.a]\nother = 1\n",
        "extends = \"base.toml\"\nname = \"over\"\n[limits]\nttl = \"1h\"\n[values.a]\ninput = 1\n",
        "extends = \"broken.toml\"\n",
        "extends = \"gone.toml\"\nname = \"x\"\n",
        "extends = \"circle.toml\"\nname = \"x\"\n",
        "extends = 3\nname = \"x\"\n",
    ];
    let all = cases.map(|case| format!("════════\n{case}────────\n{}", said(case, &files)));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn fifty_mistakes_in_one_file_are_all_reported() {
    let text = include_str!("stack_files/fifty.toml");
    let Err(Diagnostics(mistakes)) = stack::parse(source("fifty.toml", text), &NoLoader) else {
        panic!("a file full of mistakes was taken");
    };
    // Each line with a mistake says so at its end.
    let expected = text.lines().enumerate().filter(|(_, line)| line.contains("# mistake")).map(|(n, _)| n + 1);
    let reported = mistakes.iter().filter(|d| d.severity == Severity::Error);
    let reported = reported.filter_map(|d| d.span.as_ref()).map(|(span, _)| span.line_column().0).collect::<Vec<_>>();
    assert_eq!(reported, expected.collect::<Vec<_>>(), "{}", render(&mistakes, Look::default()));
    assert_eq!(reported.len(), 50);
    insta::assert_snapshot!(render(&mistakes, Look::default()));
}

#[test]
fn noise_depth_and_length_are_refused_with_a_message() {
    let noise = (0..200_000u32).map(|n| char::from(33 + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 90));
    let cases = [
        noise.clone().collect::<String>(),
        noise.cycle().take(3 << 20).collect(),
        "\0\0\0".to_owned(),
        "[".repeat(500_000),
        format!("x = {}", "{ a = ".repeat(500_000)),
        "a.".repeat(500_000),
        format!("name = \"{}\"", "x".repeat(5_000_000)),
    ];
    for text in cases {
        let Err(Diagnostics(mistakes)) = stack::parse(source("noise", &text), &NoLoader) else {
            panic!("{} was taken", &text[..40]);
        };
        assert!(!mistakes.is_empty() && mistakes.len() < 300, "{}", mistakes.len());
        assert!(render(&mistakes, Look::default()).len() < 300_000);
    }
}

/// Every key that the parser knows stands in the page about the format, in a table under its section.
#[test]
fn every_key_is_documented() {
    let page = include_str!("../../docs/stack-format.md");
    let section = |title: &str| {
        let start = page.find(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
        let rest = &page[start + 4..];
        &rest[..rest.find("\n## ").unwrap_or(rest.len())]
    };
    let schema = stack::schema::json_schema();
    let keys = |schema: &serde_json::Value| {
        let properties = schema["properties"].as_object().expect("an object's schema");
        properties.keys().cloned().collect::<Vec<_>>()
    };
    let titles = BTreeMap::from([
        ("Addon", "addons"),
        ("AuthorizedNetwork", "cluster"),
        ("Cache", "workloads"),
        ("Chart", "charts"),
        ("Cluster", "cluster"),
        ("Credentials", "workloads"),
        ("Gateway", "gateway"),
        ("Input", "Inputs"),
        ("Limits", "limits"),
        ("MaintenanceWindow", "cluster"),
        ("Manifests", "manifests"),
        ("Moved", "moved"),
        ("NodePool", "node_pools"),
        ("OutputTable", "outputs"),
        ("Policy", "policy"),
        ("Probes", "workloads"),
        ("Registry", "registries"),
        ("Resources", "workloads"),
        ("Size", "workloads"),
        ("State", "state"),
        ("Stored", "values"),
        ("SystemPool", "cluster"),
        ("Taint", "node_pools"),
        ("Workload", "workloads"),
    ]);
    for key in keys(&schema) {
        assert!(section("Top level").contains(&format!("`{key}`")), "{key}");
    }
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        let text = section(titles.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no section")));
        for key in keys(definition) {
            assert!(text.contains(&format!("`{key}`")), "{name}: {key}");
        }
    }
    for output in stack::outputs::OUTPUTS {
        assert!(section("References").contains(&format!("`{}`", output.name)), "{output:?}");
    }
}

/// The page's first example is a good stack in canonical layout but for its aligned inputs.
#[test]
fn the_documented_example_is_good() {
    let page = include_str!("../../docs/stack-format.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    assert_eq!(said(example, &NoLoader), "nothing\n");
    let formatted = stack::format::format(&source("example", example)).expect("good TOML");
    assert_eq!(formatted, example.replace("project  =", "project ="));
}
