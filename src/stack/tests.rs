//! Whole files: what is read from a good one, and what is said about bad ones.

use std::sync::Arc;

use crate::diag::{Diagnostics, Severity, Source};
use crate::stack::{Draft, NoLoader, inputs, parse};

fn source(text: &str) -> Arc<Source> {
    Arc::new(Source { name: "stack.toml".to_owned(), text: text.to_owned() })
}

fn draft(text: &str) -> Draft {
    match parse(source(text), &NoLoader) {
        Ok((draft, _)) => draft,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

fn summaries(text: &str) -> Vec<String> {
    match parse(source(text), &NoLoader) {
        Ok((_, warnings)) => warnings.into_iter().map(|d| d.summary).collect(),
        Err(Diagnostics(mistakes)) => {
            mistakes.iter().filter(|d| d.severity == Severity::Error).map(|d| d.summary.clone()).collect()
        }
    }
}

const GOOD: &str = r#"
name = "qwen-t4"
[inputs]
project = { type = "string", env = "GOOGLE_CLOUD_PROJECT" }
hf_token = { secret = true, env = "HF_TOKEN" }
nodes = { type = "number", default = 1 }
note = { required = false }
[limits]
budget_per_day = 45
ttl = "8h"
[cluster]
name = "qwen-t4"
project = "${inputs.project}"
location = "europe-west4-a"
fallback_locations = ["us-central1-a"]
release_channel = "regular"
system_pool = { machine_type = "n1-standard-4", nodes = 2, autoscale = [1, 5] }
[node_pools.gpu]
accelerator = "nvidia-t4"
nodes = "${inputs.nodes}"
provisioning = "on-demand"
[addons.gpu-operator]
[addons.kserve]
values = { a = ["${cluster.endpoint}", "x-${inputs.project}-${cluster.id}"], gone = "${inputs.note}" }
[gateway]
[workloads.qwen-3b]
model = "hf://Qwen/Qwen2.5-3B-Instruct"
node_pool = "gpu"
max_model_len = 4096
hf_token = "${inputs.hf_token}"
[values.extra]
input = { plain = "$${not}", from = "${objects.addons.kserve/Secret/kserve/x.data[\"ca.crt\"]}" }
[outputs]
endpoint = "${workloads.qwen-3b.url}"
"#;

#[test]
fn a_good_stack_binds() {
    let draft = draft(GOOD);
    let vars = [("GOOGLE_CLOUD_PROJECT", "my-project"), ("HF_TOKEN", "s3cret")];
    let vars =
        vars.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect::<std::collections::BTreeMap<_, _>>();
    let (inputs, _) = inputs::resolve(&draft, &inputs::Given::default(), &vars).unwrap();
    let stack = draft.bind(&inputs).unwrap();
    assert_eq!(&*stack.cluster.as_ref().unwrap().project.as_ref().unwrap().value, "my-project");
    assert_eq!(stack.node_pools["gpu"].nodes.as_ref().unwrap().get(), 1);
    insta::assert_debug_snapshot!((
        &stack.addons["kserve"].values,
        &stack.workloads["qwen-3b"].hf_token.as_ref().unwrap().value,
        &stack.values["extra"].input.value,
        &stack.outputs["endpoint"].value.value
    ));
}

#[test]
fn the_name_is_missed() {
    assert_eq!(summaries("nam = 'x'"), ["unknown key `nam` in the stack", "missing key `name`: the stack's name"]);
}
