//! The JSON Schema of a stack file, from the types that parse it. What the catalogue knows is added in `catalog::schema`.
//!
//! Editors read it (`#:schema` in a file's first line). It knows tables, keys, types and words; what the
//! parser finds beyond that (references, circles, settings that do not fit) has no place in a schema.

use schemars::generate::SchemaSettings;

use crate::stack::model::{ADDONS, Stack};

/// The schema, draft 2020-12.
pub fn json_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Stack>().to_value();
    schema["title"] = "stackwright stack".into();
    // An overlay may leave the name to the file that it extends.
    schema["anyOf"] = serde_json::json!([{ "required": ["name"] }, { "required": ["extends"] }]);
    if let Some(root) = schema.as_object_mut() {
        root.shift_remove("required");
    }
    // Names of add-ons are known, so that editors can offer them.
    schema["properties"]["addons"]["propertyNames"] = serde_json::json!({ "enum": ADDONS });
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    /// As much of JSON Schema as the schema uses.
    fn fits(root: &Json, schema: &Json, value: &Json) -> bool {
        if let Some(target) = schema["$ref"].as_str() {
            let pointer = target.trim_start_matches('#');
            return fits(root, root.pointer(pointer).expect("a reference leads somewhere"), value);
        }
        let type_fits = |name: &str| match name {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other}"),
        };
        let types = match &schema["type"] {
            Json::String(name) => type_fits(name),
            Json::Array(names) => names.iter().any(|name| type_fits(name.as_str().unwrap())),
            _ => true,
        };
        let any = schema["anyOf"].as_array().is_none_or(|list| list.iter().any(|schema| fits(root, schema, value)));
        let words = schema["enum"].as_array().is_none_or(|words| words.contains(value));
        let pattern = match (schema["pattern"].as_str(), value.as_str()) {
            // Rust's expressions have no look-ahead; an empty text is refused by the parser's own test.
            (Some(pattern), Some(text)) => regex::Regex::new(&pattern.replace("(?=.)", "")).unwrap().is_match(text),
            _ => true,
        };
        let above = schema["minimum"].as_f64().is_none_or(|min| value.as_f64().is_none_or(|number| number >= min));
        let below = schema["maximum"].as_f64().is_none_or(|max| value.as_f64().is_none_or(|number| number <= max));
        let items = value
            .as_array()
            .into_iter()
            .flatten()
            .all(|item| schema["items"].is_null() || fits(root, &schema["items"], item));
        let entries = value.as_object().into_iter().flatten().all(|(key, value)| match &schema["properties"][key] {
            Json::Null => match &schema["additionalProperties"] {
                Json::Bool(allowed) => *allowed,
                Json::Null => true,
                schema => fits(root, schema, value),
            },
            schema => fits(root, schema, value),
        });
        let required =
            schema["required"].as_array().into_iter().flatten().all(|key| !value[key.as_str().unwrap()].is_null());
        types && any && words && pattern && above && below && items && entries && required
    }

    #[test]
    fn good_stacks_fit_and_bad_ones_do_not() {
        let schema = json_schema();
        let check = |text: &str| {
            fits(&schema, &schema, &serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap())
        };
        assert!(check(crate::stack::tests::GOOD));
        for bad in [
            "",
            "name = 1",
            "name = 'x'\nother = 1",
            "name = 'x'\n[limits]\nttl = '8 hours'",
            "name = 'x'\n[limits]\nttl = 8",
            "name = 'x'\n[node_pools.a]\nnodes = 'two'",
            "name = 'x'\n[node_pools.a]\nnodes = 5000",
            "name = 'x'\n[cluster]\nrelease_channel = 'fast'",
            "name = 'x'\n[workloads.a]\nreplicas = 1",
            "name = 'x'\n[[moved]]\nfrom = 'a'",
            "name = 'x'\n[charts.a]\nsource = './a'\ndepends_on = 'b'",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn every_key_is_described() {
        fn walk(schema: &Json, path: &str) {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].as_str().is_some_and(|text| text.len() > 5), "{path}.{key}");
            }
        }
        let schema = json_schema();
        walk(&schema, "");
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            walk(definition, name);
        }
    }
}
