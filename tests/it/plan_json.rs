//! Plans and states as JSON: Terraform's shape, held against a recording of its own output, and our published schemas.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

/// Runs the program in a folder; what it prints.
fn run(folder: &Path, words: &str, code: i32) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}: {said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect(text)
}

const SMALL: &str = r#"name = "shape"

[cluster]
project = "my-project"
location = "europe-west4-a"

[manifests.app]
files = ["app.yaml"]

[values.changed]
input = { word = "one", list = ["a"] }
[values.gone]
input = 1
[values.replaced]
input = "${values.changed.output}"
[values.same]
input = "same"

[outputs]
at = "${values.replaced.id}"
"#;

const APP: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: { name: app, namespace: default }
data: { word: one, same: "yes" }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: gone, namespace: default }
data: { a: b }
---
apiVersion: v1
kind: Secret
metadata: { name: key, namespace: default }
stringData: { key: hunter2 }
"#;

/// A small stack as it is applied, then with a change of every sort.
fn changed(folder: &Path) -> &'static str {
    std::fs::write(folder.join("stack.toml"), SMALL).expect("writable");
    std::fs::write(folder.join("app.yaml"), APP).expect("writable");
    run(folder, "apply --sim --auto-approve", 0);
    let without = SMALL.replace("[values.gone]\ninput = 1\n", "").replace("word = \"one\"", "word = \"two\"");
    std::fs::write(folder.join("stack.toml"), without).expect("writable");
    let mut parts = APP.replace("word: one", "word: two").split("---\n").map(str::to_owned).collect::<Vec<_>>();
    parts.remove(1);
    std::fs::write(folder.join("app.yaml"), parts.join("---\n")).expect("writable");
    "plan --sim --replace values.replaced"
}

fn keys(value: &Json) -> BTreeSet<&str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn recording(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/terraform").join(name);
    json(&std::fs::read_to_string(path).expect("a recording"))
}

/// The change of an address.
fn of<'j>(plan: &'j Json, address: &str) -> &'j Json {
    let changes = plan["resource_changes"].as_array().expect("changes");
    changes.iter().find(|change| change["address"] == address).unwrap_or_else(|| panic!("no {address}"))
}

/// Every member of `theirs` is one of `ours`, and of the same type.
fn has_all(theirs: &Json, ours: &Json, place: &str, but: &[&str]) {
    for (key, value) in theirs.as_object().into_iter().flatten().filter(|(key, _)| !but.contains(&key.as_str())) {
        let other = &ours[key];
        assert!(ours.get(key).is_some(), "{place} has no {key}");
        let kind = |value: &Json| match value {
            Json::Null => 'n',
            Json::Bool(_) => 'b',
            Json::Number(_) => '1',
            Json::String(_) => 's',
            Json::Array(_) => '[',
            Json::Object(_) => '{',
        };
        assert_eq!(kind(value), kind(other), "{place}.{key}: {value} and {other}");
    }
}

#[test]
fn a_plan_has_the_shape_of_terraforms() {
    let folder = tempfile::tempdir().expect("tempdir");
    let plan = changed(folder.path());
    let theirs = recording("plan.json");
    for words in ["--json", "--json=terraform"] {
        let ours = json(&run(folder.path(), &format!("{plan} {words}"), 0));
        // A stack's inputs are no part of its plan, a plan has no time of day, and what was read is in `edges`.
        has_all(&theirs, &ours, words, &["variables", "relevant_attributes", "timestamp", "terraform_version"]);
        assert_eq!(ours.get("terraform_version").is_some(), words != "--json");
        for (name, own) in [("changed", "changed"), ("gone[0]", "gone"), ("replaced", "replaced"), ("same", "same")] {
            let one = of(&theirs, &format!("terraform_data.{name}"));
            let address = if words == "--json" { format!("values.{own}") } else { format!("terraform_data.{own}") };
            let other = of(&ours, &address);
            // Terraform replaces for a reason of its own here; ours was asked for.
            has_all(one, other, &address, &["index", "change"]);
            has_all(&one["change"], &other["change"], &address, &["replace_paths"]);
            assert_eq!(one["change"]["actions"], other["change"]["actions"], "{address}");
            for side in ["before", "after"] {
                assert_eq!(one["change"][side].is_null(), other["change"][side].is_null(), "{address} {side}");
            }
        }
        let both = |path: &str| (theirs.pointer(path).expect(path), ours.pointer(path).expect(path));
        for path in [
            "/planned_values",
            "/planned_values/root_module",
            "/prior_state",
            "/prior_state/values",
            "/prior_state/values/root_module",
            "/configuration",
            "/configuration/root_module",
            "/configuration/root_module/resources/0",
        ] {
            let (theirs, ours) = both(path);
            has_all(theirs, ours, path, &["terraform_version", "variables", "expressions"]);
        }
        let (one, other) = both("/planned_values/root_module/resources/0");
        has_all(one, other, "planned resource", &[]);
        let (one, other) = (&theirs["output_changes"]["o"], &ours["output_changes"]["at"]);
        has_all(one, other, "output", &[]);
        assert_eq!(one["after_unknown"], other["after_unknown"]);
    }
    let of_terraform = of(&theirs, "terraform_data.same");
    assert_eq!(of_terraform["change"]["before"], of_terraform["change"]["after"]);
}

#[test]
fn a_state_has_the_shape_of_terraforms() {
    let folder = tempfile::tempdir().expect("tempdir");
    changed(folder.path());
    let ours = json(&run(folder.path(), "show --sim --json=terraform", 0));
    let theirs = recording("state.json");
    has_all(&theirs, &ours, "state", &[]);
    has_all(&theirs["values"], &ours["values"], "values", &[]);
    let resources = ours["values"]["root_module"]["resources"].as_array().expect("resources");
    let same = resources.iter().find(|resource| resource["address"] == "terraform_data.same").expect("same");
    has_all(&theirs["values"]["root_module"]["resources"][3], same, "resource", &["index", "depends_on"]);
    let map = resources.iter().find(|resource| resource["type"] == "kubernetes_config_map").expect("a map");
    assert_eq!(map["values"]["metadata"][0]["name"], "app");
    assert_eq!(map["depends_on"][0], "google_container_cluster.cluster");
}

#[test]
fn before_and_after_are_true_and_hold_no_secret() {
    let folder = tempfile::tempdir().expect("tempdir");
    let command = changed(folder.path());
    let text = run(folder.path(), &format!("{command} --json --out saved"), 0);
    assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "a secret is told");
    let plan = json(&text);
    let change = &of(&plan, "manifests.app/ConfigMap/default/app")["change"];
    assert_eq!(change["actions"], serde_json::json!(["update"]));
    assert_eq!((&change["before"]["data"]["word"], &change["after"]["data"]["word"]), (&"one".into(), &"two".into()));
    assert_eq!(change["before"]["data"]["same"], "yes");
    let undone = serde_json::json!({"word": "one", "same": "yes"});
    assert_eq!(change["before"]["data"], undone);
    let gone = &of(&plan, "manifests.app/ConfigMap/default/gone")["change"];
    assert_eq!((&gone["before"]["data"]["a"], &gone["after"]), (&"b".into(), &Json::Null));
    assert!(gone["before"]["metadata"].get("uid").is_none(), "the server's own");
    let secret = &of(&plan, "manifests.app/Secret/default/key")["change"];
    assert_eq!(secret["before"], secret["after"]);
    let key = "/stringData/key";
    assert_eq!(secret["before"].pointer(key), Some(&Json::Null));
    assert_eq!(secret["before_sensitive"].pointer(key), Some(&true.into()));
    let kept = of(&plan, "cluster");
    assert_eq!((kept["change"]["before"]["name"].as_str(), kept["action"].as_str()), (Some("shape"), Some("no_op")));
    assert_eq!(plan["prior_state"]["values"]["outputs"]["at"]["sensitive"], false);
    // A saved plan tells the same, and another run the same bytes.
    assert_eq!(json(&run(folder.path(), "show saved --json", 0)), plan);
    assert_eq!(run(folder.path(), &format!("{command} --json"), 0), text);
}

#[test]
fn documents_fit_the_published_schemas() {
    let folder = tempfile::tempdir().expect("tempdir");
    let command = changed(folder.path());
    let schema = |which: &str| {
        let printed = run(folder.path(), &format!("schema {which}"), 0);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{which}.schema.json"));
        let published = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(published == printed, "run: stackwright schema {which} > docs/schema/{which}.schema.json");
        let schema = json(&printed);
        let described = |schema: &Json, place: &str| {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                let says = property["description"].as_str().is_some_and(|text| text.len() > 3);
                assert!(says, "{which} {place}.{key} has no description");
            }
        };
        described(&schema, "");
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            described(definition, name);
        }
        jsonschema::validator_for(&schema).expect("a schema")
    };
    let fits = |validator: &jsonschema::Validator, words: &str| {
        let document = json(&run(folder.path(), words, 0));
        let faults = validator.iter_errors(&document).map(|fault| format!("{}: {fault}", fault.instance_path()));
        assert_eq!(faults.collect::<Vec<_>>(), [""; 0], "{words}");
        // A schema that takes everything would say nothing.
        let mut wrong = document;
        let object = wrong.as_object_mut().expect("an object");
        let first = object.keys().next().expect("a member").clone();
        object.insert(first, Json::Null);
        assert!(!validator.is_valid(&wrong), "{words}");
    };
    let plan = schema("plan");
    fits(&plan, &format!("{command} --json --full"));
    fits(&plan, &format!("{command} --json=terraform"));
    fits(&plan, "plan --sim --destroy --json=terraform-v1");
    fits(&plan, "plan --sim --refresh-only --json");
    let state = schema("state");
    fits(&state, "show --sim --json");
    fits(&state, "show --sim --json=terraform");
    assert!(keys(&json(&run(folder.path(), "schema stack", 0))).contains("$defs"));
}
