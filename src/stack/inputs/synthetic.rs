//! Values made up for inputs that are missing, plausible in the place they are referred to from.
//!
//! For the simulator and for checks without inputs; never for a real cloud.

use crate::stack::inputs::search::kind;
use crate::stack::model::{Input, InputType};
use crate::stack::reference::{self, Piece};
use crate::stack::tree::Tree;
use crate::value::Value;

/// A plausible value: what the place wants that the input is referred to from.
pub(super) fn synthetic(name: &str, input: &Input, tree: &Tree) -> Value {
    match kind(input) {
        InputType::Number => Value::Int(1),
        InputType::Bool => Value::Bool(false),
        InputType::List => Value::List(Vec::new()),
        InputType::Map => Value::map(),
        InputType::String => Value::String(synthetic_text(name, tree)),
    }
}

fn synthetic_text(name: &str, tree: &Tree) -> String {
    let refers = |tree: Option<&Tree>| {
        tree.and_then(Tree::text).is_some_and(|text| {
            reference::pieces(text)
                .0
                .iter()
                .any(|piece| matches!(piece, Piece::Path { keys, .. } if keys[..] == ["inputs", name]))
        })
    };
    let any_of = |section: &str, key: &str| {
        let table = tree.get(section).and_then(Tree::table);
        table.into_iter().flatten().find(|(_, entry)| refers(entry.value.get(key))).map(|(name, _)| name.clone())
    };
    let cluster = tree.get("cluster");
    if let Some(host) = any_of("registries", "pull_secret") {
        // user "sim", password "sim"
        return serde_json::json!({ "auths": { host: { "auth": "c2ltOnNpbQ==" } } }).to_string();
    }
    if any_of("workloads", "hf_token").is_some() {
        return "hf_simulatedSimulatedSimulatedSimulated".to_owned();
    }
    if any_of("workloads", "model").is_some() {
        return "hf://Qwen/Qwen2.5-3B-Instruct".to_owned();
    }
    if refers(cluster.and_then(|cluster| cluster.get("project"))) {
        return "sim-project".to_owned();
    }
    if refers(cluster.and_then(|cluster| cluster.get("location"))) {
        return "europe-west4-a".to_owned();
    }
    let plain =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect::<String>();
    format!("sim-{plain}")
}
