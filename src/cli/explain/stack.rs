//! Keys of stack files, from the JSON Schema that editors have.

use serde_json::Value as Json;

use crate::cli::explain::{Found, kinds, no_field};
use crate::cli::validate::stack_schema;
use crate::ui::explain_text::{Page, Row};

pub(super) fn names() -> Vec<String> {
    keys(&stack_schema()).into_iter().map(|(name, _)| name).collect()
}

pub(super) fn find(topic: &str) -> Option<Found> {
    let root = stack_schema();
    let mut words = topic.split('.');
    let first = words.next()?;
    let mut at = root["properties"].get(first)?.clone();
    let mut name = first.to_owned();
    let mut path = Vec::new();
    for word in words {
        let table = followed(&root, &at);
        let entry = followed(&root, &table["additionalProperties"]);
        let item = followed(&root, &table["items"]);
        let below = [&table, &entry, &item].into_iter().find_map(|schema| schema["properties"].get(word).cloned());
        match below {
            Some(below) => {
                at = below;
                path.push(word);
            }
            // A name that the user has given: `node_pools.gpu`.
            None if entry.is_object() && path.is_empty() => at = entry,
            None => {
                let known = [&table, &entry, &item].into_iter().flat_map(keys).map(|(name, _)| name);
                let known = known.collect::<Vec<_>>();
                return Some(Err(no_field(&name, word, known.iter().map(String::as_str))));
            }
        }
        name = format!("{name}.{word}");
    }
    let table = followed(&root, &at);
    let mut facts = facts(&at, &table);
    facts.extend(kinds::of_key(first, &path).map(|text| ("In the cloud".to_owned(), text)));
    let entry = followed(&root, &table["additionalProperties"]);
    let item = followed(&root, &table["items"]);
    let fields = [&table, &entry, &item].into_iter().flat_map(keys).map(|(name, schema)| Row {
        name,
        kind: word(&root, &schema),
        text: description(&schema),
    });
    Some(Ok(Page {
        name: topic.to_owned(),
        kind: word(&root, &at),
        text: description(&at),
        facts,
        fields: fields.collect(),
    }))
}

/// What the schema says of a key of a table, or of a component's entry.
pub(super) fn described(table: &str, path: &[&str]) -> Option<String> {
    let root = stack_schema();
    let mut at = followed(&root, &root["properties"][table]);
    if at["additionalProperties"].is_object() {
        at = followed(&root, &at["additionalProperties"]);
    }
    let mut text = None;
    for word in path {
        let next = at["properties"].get(word)?.clone();
        text = Some(description(&next));
        at = followed(&root, &next);
    }
    text
}

/// A schema that is named elsewhere, or put together of several: what the first says, and what the others add to its keys.
fn followed(root: &Json, schema: &Json) -> Json {
    if let Some(target) = schema["$ref"].as_str() {
        return root.pointer(target.trim_start_matches('#')).cloned().unwrap_or_default();
    }
    let Some((first, others)) = schema["allOf"].as_array().and_then(|all| all.split_first()) else {
        return schema.clone();
    };
    let mut whole = followed(root, first);
    for (key, more) in others.iter().flat_map(|other| other["properties"].as_object()).flatten() {
        for (name, value) in more.as_object().into_iter().flatten() {
            whole["properties"][key][name] = value.clone();
        }
    }
    whole
}

fn keys(schema: &Json) -> Vec<(String, Json)> {
    let keys = schema["properties"].as_object().into_iter().flatten();
    keys.map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

fn description(schema: &Json) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}

/// The type in a word or two.
fn word(root: &Json, schema: &Json) -> String {
    let schema = &followed(root, schema);
    let plain = |schema: &Json| schema["type"].as_str().unwrap_or_default().to_owned();
    if let Some(any) = schema["anyOf"].as_array() {
        // References may stand anywhere; that is no news.
        let first = any.first().cloned().unwrap_or_default();
        return if first["enum"].is_array() { "string".to_owned() } else { word(root, &first) };
    }
    match plain(schema).as_str() {
        "array" => format!("list of {}", word(root, &schema["items"])),
        "object" if schema["properties"].is_object() => "table".to_owned(),
        "object" if schema["additionalProperties"]["$ref"].is_string() => "tables by name".to_owned(),
        "object" => "map".to_owned(),
        "" => "any".to_owned(),
        other => other.to_owned(),
    }
}

fn facts(at: &Json, table: &Json) -> Vec<(String, String)> {
    let listed = |list: &Json| {
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        list.as_array().map(|list| list.iter().map(text).collect::<Vec<_>>().join(", "))
    };
    let within = |key: &str| {
        let any = table["anyOf"].as_array().into_iter().flatten();
        std::iter::once(table).chain(any).map(|schema| schema[key].clone()).find(|found| !found.is_null())
    };
    let mut facts = Vec::new();
    let mut note = |name: &str, text: Option<String>| facts.extend(text.map(|text| (name.to_owned(), text)));
    // Where any other text will do as well, these are some that are known.
    let is_open =
        table["anyOf"].as_array().into_iter().flatten().any(|other| *other == serde_json::json!({ "type": "string" }));
    note(if is_open { "Known" } else { "One of" }, within("enum").and_then(|list| listed(&list)));
    note("At least", within("minimum").map(|bound| bound.to_string()));
    note("At most", within("maximum").map(|bound| bound.to_string()));
    note("Default", at.get("default").map(Json::to_string));
    note("Examples", listed(&at["examples"]));
    facts
}
