//! Whole files: what is read from a good one, and what is said about bad ones.

use std::sync::Arc;

use proptest::prelude::*;

use crate::diag::{Diagnostics, Severity, Source};
use crate::stack::format::format;
use crate::stack::{Draft, NoLoader, inputs, parse, validate};

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

pub(super) const GOOD: &str = r#"
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
fn a_stack_is_validated_without_its_inputs() {
    let check = |flags: &[&str]| {
        let given =
            inputs::Given { flags: flags.iter().map(|f| (*f).to_owned()).collect(), ..inputs::Given::default() };
        let vars = std::collections::BTreeMap::new();
        validate(source(GOOD), &NoLoader, &given, &vars).map_err(|Diagnostics(d)| d[0].summary.clone())
    };
    assert_eq!(check(&[]), Ok(vec![]));
    assert_eq!(check(&["nodes=x"]).unwrap_err(), "the input nodes is a number, --var gives something else: \"x\"");
    assert_eq!(check(&["project=my-project", "hf_token=x", "nodes=-1"]).unwrap_err(), "-1 is out of range");
}

/// Mistakes that change a good stack a little, as a tired person or a bad merge would.
fn mutated() -> impl Strategy<Value = String> {
    let edit =
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5u8, "[\\[\\]{}\"'=.,#$a-z0-9\n é]{0,3}");
    prop::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text = GOOD.chars().collect::<Vec<_>>();
        for (at, to, what, new) in edits {
            let (at, to) = (at.index(text.len() + 1), to.index(text.len() + 1));
            let (from, until) = (at.min(to), at.max(to));
            match what {
                0 => drop(text.splice(at..at, new.chars())),
                1 => drop(text.splice(from..until.min(from + 3), new.chars())),
                2 => drop(text.drain(from..until.min(from + 40))),
                3 => {
                    let part = text[from..until.min(from + 60)].to_vec();
                    text.splice(at..at, part);
                }
                _ => text.truncate(until.max(10)),
            }
        }
        text.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn parsing_ends_in_a_stack_or_in_mistakes_with_places(text in mutated()) {
        if let Ok(once) = format(&source(&text)) {
            prop_assert_eq!(format(&source(&once)).unwrap(), once);
        }
        match parse(source(&text), &NoLoader) {
            Ok((draft, _)) => {
                let given = inputs::Given { synthesize: true, ..inputs::Given::default() };
                if let Ok((inputs, _)) = inputs::resolve(&draft, &given, &std::collections::BTreeMap::new()) {
                    let _ = draft.bind(&inputs);
                }
            }
            Err(Diagnostics(mistakes)) => {
                prop_assert!(mistakes.iter().any(|d| d.severity == Severity::Error));
                for mistake in &mistakes {
                    if let Some((span, _)) = &mistake.span {
                        prop_assert!(span.source.text.get(span.range.clone()).is_some(), "{:?} in {}", span.range, text);
                    }
                }
            }
        }
    }
}

/// As `wide` and `chain` of the benchmark: many values, each needing the one before or none.
fn many(count: usize, chain: bool) -> String {
    use std::fmt::Write as _;
    let mut text = "name = \"many\"\n".to_owned();
    for n in 0..count {
        let from = if chain && n > 0 { format!(", from = [\"${{values.n{}.id}}\"]", n - 1) } else { String::new() };
        writeln!(text, "[values.n{n}]\ninput = {{ id = \"n{n}\", tags = {{ team = \"t\", n = [1, 2] }}{from} }}")
            .unwrap();
    }
    text
}

#[test]
fn ten_thousand_values_in_a_row_are_read() {
    let inputs = inputs::Inputs::default();
    assert_eq!(draft(&many(10_000, true)).bind(&inputs).unwrap().values.len(), 10_000);
    let circle =
        many(10_000, true).replace("input = { id = \"n0\"", "input = { from = \"${values.n9999.id}\", id = \"n0\"");
    assert!(summaries(&circle)[0].starts_with("components need each other: values.n0 -> values.n9999 -> values.n9998"));
    let lost = many(2_000, true).replace("${values.n", "${value.n");
    assert_eq!(summaries(&lost).len(), 201);
}

#[test]
fn the_name_is_missed() {
    assert_eq!(summaries("nam = 'x'"), ["unknown key `nam` in the stack", "missing key `name`: the stack's name"]);
}
