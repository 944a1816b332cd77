//! Our kinds and attributes in the words of Terraform's google and kubernetes providers, so that rules written for
//! their plans find what they look for. Tables say what is called how; what has no counterpart is left out.
//!
//! Not a way to run Terraform: names and values are those that its plans would have, not a configuration of it. Why
//! which type was taken is in docs/decisions/0011.

mod google;
mod kubernetes;
mod table;

use serde_json::Value as Json;

use crate::address::{Address, ObjectKey};
use crate::resource::hook;
use crate::ui::plan_json::Place;
use crate::value::{Map, Template, Value};
use table::Row;

/// The version of Terraform whose plan format is followed: rules and tools ask for one.
pub const VERSION: &str = "1.11.4";

const GOOGLE: &str = "registry.terraform.io/hashicorp/google";
const KUBERNETES: &str = "registry.terraform.io/hashicorp/kubernetes";
const BUILTIN: &str = "terraform.io/builtin/terraform";

/// The type of a kind that has a table.
fn typed(kind: &str) -> Option<(&'static str, &'static [Row], &'static [&'static str])> {
    match kind {
        "gke.cluster" => Some(("google_container_cluster", google::CLUSTER, google::CLUSTER_COMPUTED)),
        "gke.node_pool" => Some(("google_container_node_pool", google::NODE_POOL, google::NODE_POOL_COMPUTED)),
        "value" => Some(("terraform_data", google::VALUE, &["id", "output"])),
        _ => None,
    }
}

/// Where Terraform would have a resource: `google_container_node_pool.gpu`,
/// `kubernetes_deployment.addons_istio["istio-system/istiod"]`.
pub fn place(address: &Address, kind: &str, versioned: bool) -> Place {
    if let Some((kind, ..)) = typed(kind) {
        let name = identifier(address.component().rsplit('.').next().unwrap_or_default());
        let provider = if kind == "terraform_data" { BUILTIN } else { GOOGLE };
        return Place { address: format!("{kind}.{name}"), kind: kind.to_owned(), name, index: None, provider };
    }
    let text = address.object_key().unwrap_or_default();
    let hook = text.split_once(':').filter(|_| kind == hook::KIND);
    let (moment, plain) = hook.map_or((None, text), |(moment, plain)| (Some(moment), plain));
    let key = ObjectKey::parse(plain);
    let found = key.as_ref().and_then(|key| kubernetes::type_of(&key.group, &key.kind));
    let (kind, index) = match (found, &key) {
        (Some(found), Some(key)) => {
            let index = key.namespace.iter().chain([&key.name]).cloned().collect::<Vec<_>>().join("/");
            (found.name(versioned), index)
        }
        _ => (kubernetes::MANIFEST.to_owned(), plain.to_owned()),
    };
    let index = moment.map_or(index.clone(), |moment| format!("{moment}:{index}"));
    let name = identifier(address.component());
    let quoted = serde_json::to_string(&index).unwrap_or_default();
    Place { address: format!("{kind}.{name}[{quoted}]"), kind, name, index: Some(index), provider: KUBERNETES }
}

/// A name that Terraform takes: letters, digits, `_` and `-`, no digit first.
fn identifier(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name = name.chars().map(plain).collect::<String>();
    match name.chars().next() {
        Some(c) if c.is_ascii_alphabetic() => name,
        _ => format!("_{name}"),
    }
}

/// The attributes of a resource. Of one that is `made`, what only its provider can tell is not known yet.
pub fn attributes(theirs: &str, address: &Address, kind: &str, value: &Value, made: bool) -> Value {
    let (mut map, computed) = match (typed(kind), hook::object(kind, value)) {
        (Some((_, rows, computed)), _) => (table::apply(rows, value), computed),
        (None, Some(object)) if theirs == kubernetes::MANIFEST => {
            (Map::from([("manifest".to_owned(), object.clone())]), &["object"][..])
        }
        (None, Some(object)) => (kubernetes::attributes(object), &["id"][..]),
        (None, None) => return value.clone(),
    };
    for name in computed.iter().filter(|_| made) {
        let unknown = || Value::from(Template::reference(address.clone(), vec![(*name).to_owned()]));
        map.entry((*name).to_owned()).or_insert_with(unknown);
    }
    Value::Map(map)
}

/// The path of an attribute.
pub fn path(theirs: &str, kind: &str, path: &[String]) -> Vec<Json> {
    let words = match typed(kind) {
        Some((_, rows, _)) => table::path(rows, path),
        None if theirs == kubernetes::MANIFEST => {
            ["manifest".to_owned()].into_iter().chain(path.iter().cloned()).collect()
        }
        None => kubernetes::path(path),
    };
    // Items are told by what names them, which is no position.
    let words = words.into_iter().take_while(|word| !word.starts_with('['));
    words.map(|word| word.parse::<u64>().map_or(Json::String(word), Json::from)).collect()
}

#[cfg(test)]
mod tests;
