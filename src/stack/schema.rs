//! The JSON Schema of a stack file, from the types that parse it.
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
    // Names of add-ons are known, so that editors can offer them.
    schema["properties"]["addons"]["propertyNames"] = serde_json::json!({ "enum": ADDONS });
    schema
}

/// The schema as a file's text.
pub fn json_schema_text() -> String {
    let mut text = serde_json::to_string_pretty(&json_schema()).unwrap_or_default();
    text.push('\n');
    text
}
