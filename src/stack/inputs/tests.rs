//! Precedence, types, places and absence of inputs.

use super::*;
use crate::diag::Diagnostics;
use crate::stack::{Draft, NoLoader, Stack, parse};

const STACK: &str = r#"
name = "x"
[inputs]
project = { env = "GOOGLE_CLOUD_PROJECT", description = "the project id" }
token = { secret = true, env = "HF_TOKEN" }
pull = { secret = true }
nodes = { type = "number", default = 2 }
zones = { type = "list", required = false }
tags = { type = "map", default = { a = "b" } }
on = { type = "bool", required = false }
[cluster]
project = "${inputs.project}"
location = "europe-west4-a"
fallback_locations = "${inputs.zones}"
labels = "${inputs.tags}"
private = "${inputs.on}"
[registries."registry.redhat.io"]
pull_secret = "${inputs.pull}"
[node_pools.gpu]
accelerator = "nvidia-t4"
nodes = "${inputs.nodes}"
[workloads.a]
model = "hf://a/b"
node_pool = "gpu"
hf_token = "${inputs.token}"
env = { P = "p-${inputs.project}-${inputs.nodes}", T = "${inputs.token}/${inputs.project}", N = "${inputs.nodes}" }
"#;

fn draft(text: &str) -> Draft {
    let source = Source { name: "stack.toml".into(), text: text.into() };
    parse(Arc::new(source), &NoLoader).unwrap_or_else(|mistakes| panic!("{mistakes}")).0
}

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn file(text: &str) -> Arc<Source> {
    Arc::new(Source { name: "vars.toml".into(), text: text.into() })
}

fn said(given: &Given, vars: &BTreeMap<String, String>) -> Vec<String> {
    let Diagnostics(mistakes) = resolve(&draft(STACK), given, vars).unwrap_err();
    mistakes.into_iter().map(|d| format!("{} | {}", d.summary, d.hint.unwrap_or_default())).collect()
}

fn bound(given: &Given, vars: &BTreeMap<String, String>) -> (Inputs, Stack) {
    let draft = draft(STACK);
    let (inputs, _) = resolve(&draft, given, vars).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let stack = draft.bind(&inputs).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    (inputs, stack)
}

const NEEDED: [(&str, &str); 3] =
    [("GOOGLE_CLOUD_PROJECT", "env-project"), ("HF_TOKEN", "s3cret"), ("STACKWRIGHT_VAR_pull", "{}")];

#[test]
fn flags_win_over_files_over_variables_over_defaults() {
    let mut given = Given::default();
    let mut environment = vars(&NEEDED);
    let project = |given: &Given, environment: &BTreeMap<String, String>| {
        let (inputs, stack) = bound(given, environment);
        let cluster = stack.cluster.unwrap();
        assert_eq!(inputs.get("project"), Some(&Value::from(&*cluster.project.unwrap().value)));
        inputs.origin("project").unwrap().to_string()
    };
    assert_eq!(project(&given, &environment), "$GOOGLE_CLOUD_PROJECT");
    environment.insert("STACKWRIGHT_VAR_project".into(), "var-project".into());
    assert_eq!(project(&given, &environment), "$STACKWRIGHT_VAR_project");
    given.files.push(file("project = 'file-project'"));
    assert_eq!(project(&given, &environment), "vars.toml");
    given.flags = vec!["project=a-project".into(), "project=last-project".into()];
    assert_eq!(project(&given, &environment), "--var");
    assert_eq!(bound(&given, &environment).0.get("project"), Some(&Value::from("last-project")));
    assert_eq!(bound(&given, &environment).0.origin("nodes"), Some(&Origin::Default));
}

#[test]
fn values_take_their_places_and_absent_ones_take_their_keys_along() {
    let (inputs, stack) = bound(&Given::default(), &vars(&NEEDED));
    let cluster = stack.cluster.as_ref().unwrap();
    assert!(cluster.fallback_locations.is_empty() && cluster.private.is_none());
    assert_eq!(cluster.labels["a"].value.0, "b");
    assert_eq!(stack.node_pools["gpu"].nodes.as_ref().unwrap().get(), 2);
    let env = &stack.workloads["a"].env;
    assert_eq!(env["P"].value.0, Value::from("p-env-project-2"));
    assert_eq!(env["N"].value.0, Value::from("2"));
    assert_eq!(
        format!("{:?}", env["T"].value.0),
        r#"{"$deferred":{"parts":[{"secret":"token"},{"text":"/env-project"}],"sensitive":true}}"#
    );
    assert_eq!((inputs.secret("token"), inputs.get("token"), inputs.secret("project")), (Some("s3cret"), None, None));
    assert_eq!(inputs.secret_origins()["pull"], "$STACKWRIGHT_VAR_pull");
    assert!(!format!("{inputs:?}{stack:?}").contains("s3cret"));
    let given = Given {
        flags: vec!["zones=[\"us-central1-a\"]".into(), "on=true".into(), "tags={ t = \"x\" }".into()],
        ..Given::default()
    };
    let (_, stack) = bound(&given, &vars(&NEEDED));
    let cluster = stack.cluster.unwrap();
    assert_eq!(&*cluster.fallback_locations[0].value, "us-central1-a");
    assert!(cluster.private.unwrap().value && cluster.labels.contains_key("t"));
}

#[test]
fn a_value_is_data_and_no_reference() {
    for text in ["a${b}", "$${x}", "${inputs.nodes}", "$"] {
        let draft = draft(
            "name = 'x'\n[inputs]\na = {}\ns = { secret = true }\n[outputs]\nv = { value = ['${inputs.a}', 'x${inputs.a}${inputs.s}'], sensitive = true }\n",
        );
        let given = Given { flags: vec![format!("a={text}"), "s=y".into()], ..Given::default() };
        let (inputs, _) = resolve(&draft, &given, &vars(&[])).unwrap();
        let stack = draft.bind(&inputs).unwrap();
        let input = stack.outputs["v"].value.value.clone();
        let template = Value::Deferred(Box::new(crate::value::Template {
            parts: vec![crate::value::Part::Text(format!("x{text}")), crate::value::Part::Secret("s".into())],
            encoding: crate::value::Encoding::Plain,
            sensitive: true,
        }));
        assert_eq!(input, Value::List(vec![Value::from(text), template]));
    }
}

#[test]
fn everything_missing_or_wrong_is_said_at_once() {
    insta::assert_debug_snapshot!(said(&Given::default(), &vars(&[("HF_TOKEN", "")])));
    let given = Given {
        flags: ["nodes=two", "on=yes", "zones={}", "projekt=x", "tags", "token=1"].map(String::from).to_vec(),
        files: vec![file("nodes = 'x'\nother = 1\n"), file("a = \n")],
        ..Given::default()
    };
    insta::assert_debug_snapshot!(said(&given, &vars(&[])));
}

#[test]
fn a_bad_value_is_reported_where_it_is_used() {
    let draft = draft(STACK);
    let given = Given { flags: vec!["project=NO".into(), "nodes=-1".into()], ..Given::default() };
    let (inputs, _) = resolve(&draft, &given, &vars(&NEEDED)).unwrap();
    let Diagnostics(mistakes) = draft.bind(&inputs).unwrap_err();
    let said = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(said, ["stack.toml:12:11: \"NO\" is not a project id", "stack.toml:21:9: -1 is out of range"]);
}

#[test]
fn the_simulator_gets_plausible_values() {
    let (inputs, _) = bound(&Given { synthesize: true, ..Given::default() }, &vars(&[]));
    assert_eq!(inputs.get("project"), Some(&Value::from("sim-project")));
    assert!(inputs.secret("token").unwrap().starts_with("hf_"));
    assert_eq!(inputs.secret("pull"), Some(r#"{"auths":{"registry.redhat.io":{"auth":"c2ltOnNpbQ=="}}}"#));
    assert_eq!(inputs.origin("pull"), Some(&Origin::Synthetic));
}
