//! The JSON Schema of a stack file with what the catalogue knows: words that a key can have, examples and defaults.
//! `stack::schema` makes the bare schema from the types that parse a file.

use serde_json::{Value as Json, json};

use crate::catalog::accelerators::ACCELERATORS;
use crate::catalog::addons;

/// (definition, key, default, examples). A default is what the catalogue or GKE takes where nothing is said.
type Row = (&'static str, &'static str, &'static str, &'static str);

/// Defaults and examples as JSON; empty for none.
const KEYS: &[Row] = &[
    ("", "name", "", r#"["qwen-t4"]"#),
    ("", "description", "", r#"["One T4 that serves a small model."]"#),
    ("", "extends", "", r#"["base.toml"]"#),
    ("Input", "type", r#""string""#, ""),
    ("Input", "env", "", r#"["GOOGLE_CLOUD_PROJECT", "HF_TOKEN"]"#),
    ("Input", "secret", "false", ""),
    ("Input", "required", "true", ""),
    ("State", "backend", "", r#"["gs://team-bucket/stackwright", "s3://team-bucket/stackwright", "../state"]"#),
    ("Limits", "budget_per_day", "", "[45]"),
    ("Limits", "ttl", "", r#"["8h", "2d"]"#),
    ("Cluster", "project", "", r#"["${inputs.project}", "my-project"]"#),
    ("Cluster", "location", "", r#"["europe-west4-a", "us-central1"]"#),
    ("Cluster", "fallback_locations", "", r#"[["us-central1-a", "us-east1-c"]]"#),
    ("Cluster", "release_channel", r#""regular""#, ""),
    ("Cluster", "version", "", r#"["1.34", "1.34.1-gke.2909000"]"#),
    ("Cluster", "network", r#""default""#, ""),
    ("Cluster", "private", "false", ""),
    ("Cluster", "kubeconfig", "", r#"["~/.kube/config"]"#),
    ("Cluster", "timeout", "", r#"["45m"]"#),
    ("SystemPool", "machine_type", "", r#"["n1-standard-4", "e2-standard-4"]"#),
    ("SystemPool", "nodes", "", "[2]"),
    ("SystemPool", "autoscale", "", "[[1, 5]]"),
    ("NodePool", "accelerator", "", r#"["nvidia-t4", "tpu-v6e-4"]"#),
    ("NodePool", "machine_type", "", r#"["n1-standard-4", "ct6e-standard-4t"]"#),
    ("NodePool", "nodes", "1", ""),
    ("NodePool", "autoscale", "", "[[0, 3]]"),
    ("NodePool", "provisioning", r#""on-demand""#, r#"["spot", "reservation:mine"]"#),
    ("NodePool", "topology", "", r#"["4x4"]"#),
    ("NodePool", "labels", "", r#"[{ "team": "search" }]"#),
    ("NodePool", "disk_size_gb", "", "[100, 200]"),
    ("NodePool", "disk_type", "", r#"["pd-ssd", "pd-balanced"]"#),
    ("NodePool", "zone", "", r#"["europe-west4-a"]"#),
    ("NodePool", "max_pods_per_node", "110", ""),
    ("NodePool", "max_surge", "", "[0, 1]"),
    ("NodePool", "max_unavailable", "0", ""),
    ("NodePool", "timeout", "", r#"["1h"]"#),
    ("Addon", "distribution", r#""upstream""#, ""),
    ("Addon", "timeout", "", r#"["10m"]"#),
    ("Workload", "model", "", r#"["hf://Qwen/Qwen2.5-3B-Instruct"]"#),
    ("Workload", "node_pool", "", r#"["gpu"]"#),
    ("Workload", "replicas", "1", "[3]"),
    ("Workload", "routing", r#""direct""#, ""),
    ("Workload", "max_model_len", "", "[4096]"),
    ("Workload", "prefix_caching", "true", ""),
    ("Workload", "hf_token", "", r#"["${inputs.hf_token}"]"#),
    ("Workload", "args", "", r#"[["--enable-auto-tool-choice"]]"#),
    ("Chart", "source", "", r#"["./charts/mine", "oci://registry.example.com/charts/mine"]"#),
    ("Moved", "from", "", r#"["node_pools.old"]"#),
    ("Moved", "to", "", r#"["node_pools.new"]"#),
];

/// Lays what the catalogue knows over the schema; `machines` are the types of machines that have a price.
pub fn complete(schema: &mut Json, machines: &[&str]) {
    for (definition, key, default, examples) in KEYS {
        let table = match definition.is_empty() {
            true => &mut *schema,
            false => &mut schema["$defs"][*definition],
        };
        let Some(property) = table["properties"].get_mut(*key).and_then(Json::as_object_mut) else { continue };
        let mut set = |name: &str, text: &str| {
            if let Ok(value) = serde_json::from_str::<Json>(text) {
                property.insert(name.to_owned(), value);
            }
        };
        set("default", default);
        set("examples", examples);
    }
    let accelerators = ACCELERATORS.iter().map(|row| row.name).collect::<Vec<_>>();
    for definition in ["NodePool", "Workload"] {
        offer(&mut schema["$defs"][definition]["properties"]["accelerator"], &accelerators, true);
    }
    // There are more types of machines than have a price here.
    for definition in ["NodePool", "SystemPool"] {
        offer(&mut schema["$defs"][definition]["properties"]["machine_type"], machines, false);
    }
    let base = schema["properties"]["addons"]["additionalProperties"].clone();
    let names = schema["properties"]["addons"]["propertyNames"]["enum"].as_array().cloned().unwrap_or_default();
    let mut known = serde_json::Map::new();
    for name in names.iter().filter_map(Json::as_str) {
        let versions = addons::versions(name);
        let text = format!("Tested: {}.", told(&versions));
        let about = format!("The version. {text}");
        let mut versions = versions.iter().map(|(_, version)| *version).collect::<Vec<_>>();
        versions.dedup();
        known.insert(
            name.to_owned(),
            json!({
                "allOf": [
                    base.clone(),
                    { "properties": { "version": { "examples": versions, "description": about } } },
                ],
                "description": format!("The add-on {name}. {text}"),
            }),
        );
    }
    if let Some(addons) = schema["properties"]["addons"].as_object_mut() {
        addons.insert("properties".to_owned(), Json::Object(known));
    }
}

/// `v1.21.1 (upstream), v1.15.2 (rhaii)`.
fn told(versions: &[(&'static str, &'static str)]) -> String {
    versions.iter().map(|(distribution, version)| format!("{version} ({distribution})")).collect::<Vec<_>>().join(", ")
}

/// Names words of a key: all that there are, or some, besides references.
fn offer(property: &mut Json, words: &[&str], all: bool) {
    let Some(property) = property.as_object_mut() else { return };
    let other = match all {
        true => json!({ "type": "string", "pattern": "\\$\\{.+\\}" }),
        false => json!({ "type": "string" }),
    };
    property.shift_remove("type");
    property.insert("anyOf".to_owned(), json!([{ "enum": words }, other]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed() -> Json {
        let mut schema = crate::stack::schema::json_schema();
        complete(&mut schema, &["n1-standard-4"]);
        schema
    }

    #[test]
    fn rows_name_keys_that_there_are_and_values_that_fit() {
        let schema = completed();
        let at = |definition: &str, key: &str| match definition.is_empty() {
            true => schema["properties"][key].clone(),
            false => schema["$defs"][definition]["properties"][key].clone(),
        };
        for (definition, key, default, examples) in KEYS {
            let property = at(definition, key);
            assert!(property.is_object(), "{definition}.{key} is no key");
            let mut alone = property.clone();
            alone["$defs"] = schema["$defs"].clone();
            let validator = jsonschema::validator_for(&alone).expect("a schema");
            let mut values = Vec::new();
            if !default.is_empty() {
                values.push(serde_json::from_str::<Json>(default).expect("JSON"));
            }
            if !examples.is_empty() {
                values.extend(serde_json::from_str::<Vec<Json>>(examples).expect("a list"));
            }
            assert!(!values.is_empty(), "{definition}.{key} says nothing");
            for value in values {
                assert!(validator.is_valid(&value), "{definition}.{key}: {value} is not allowed");
            }
        }
    }

    #[test]
    fn shipped_stacks_fit_and_invented_words_do_not() {
        let validator = jsonschema::validator_for(&completed()).expect("a schema");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a shipped stack");
        let json = |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).expect("TOML")).expect("JSON");
        for name in ["gpu-t4.toml", "tpu-v6e.toml", "rhaii-gpu-t4.toml", "rhaii-tpu-v6e.toml"] {
            let errors = validator.iter_errors(&json(&read(name))).map(|e| e.to_string()).collect::<Vec<_>>();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        }
        let good = read("gpu-t4.toml");
        for (from, to) in
            [("\"nvidia-t4\"", "\"nvidia-t5\""), ("[addons.kserve]", "[addons.kserv]"), ("nodes = 1", "node = 1")]
        {
            assert!(good.contains(from), "{from}");
            assert!(!validator.is_valid(&json(&good.replacen(from, to, 1))), "{to}");
        }
    }
}
