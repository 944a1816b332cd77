//! What the API server refuses in a CustomResourceDefinition, in its words.
//!
//! Covers the definition itself (names, versions, schemas present) and the rules for structural schemas.
//! CEL rules and their cost are not judged.

use serde_json::{Map, Value as Json, json};

use crate::openapi::validate::FieldError;

type Object = Map<String, Json>;

/// Everything wrong with a definition; sorted within each schema as the API server sorts.
pub fn check(definition: &Json) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &definition["spec"];
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    let name = text(&definition["metadata"]["name"]);
    if name != format!("{plural}.{group}") {
        errors.push(FieldError::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
    }
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
    }
    match spec["scope"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required("spec.scope", "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported("spec.scope", other, ["Cluster", "Namespaced"])),
    }
    let no_versions = Vec::new();
    let versions = spec["versions"].as_array().unwrap_or(&no_versions);
    let preserve = spec["preserveUnknownFields"] == true;
    let mut complete = true;
    for (index, version) in versions.iter().enumerate() {
        if !version["schema"]["openAPIV3Schema"].is_object() && !preserve {
            complete = false;
            errors.push(FieldError::required(format!("spec.versions[{index}].schema.openAPIV3Schema"), ""));
        }
    }
    if complete {
        schemas(versions, &mut errors);
    }
    let mut names: Vec<&str> = versions.iter().filter_map(|version| version["name"].as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        errors.push(FieldError::invalid(
            "spec.versions",
            spec["versions"].clone(),
            "must contain unique version names",
        ));
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", spec["versions"].clone(), detail));
    }
    for field in ["plural", "kind"] {
        if text(&spec["names"][field]).is_empty() {
            errors.push(FieldError::required(format!("spec.names.{field}"), ""));
        }
    }
    errors
}

/// The API server hoists a schema that all versions share, and then names it differently.
fn schemas(versions: &[Json], errors: &mut Vec<FieldError>) {
    let Some(first) = versions.first() else { return };
    let shared = versions.iter().all(|version| version["schema"] == first["schema"]);
    let mut one = |path: String, version: &Json| {
        if let Some(schema) = version["schema"]["openAPIV3Schema"].as_object() {
            let mut found = Vec::new();
            structural(&path, Level::Root, schema, &mut found);
            found.sort_by_key(ToString::to_string);
            found.dedup();
            errors.append(&mut found);
        }
    };
    if shared {
        one("spec.validation.openAPIV3Schema".to_owned(), first);
    } else {
        for (index, version) in versions.iter().enumerate() {
            one(format!("spec.versions[{index}].schema.openAPIV3Schema"), version);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

fn flag(schema: &Object, name: &str) -> bool {
    schema.get(name) == Some(&Json::Bool(true))
}

fn below<'a>(schema: &'a Object, name: &str) -> Option<&'a Object> {
    schema.get(name).and_then(Json::as_object)
}

fn type_of(schema: &Object) -> &str {
    schema.get("type").and_then(Json::as_str).unwrap_or_default()
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

fn structural(path: &str, level: Level, schema: &Object, errors: &mut Vec<FieldError>) {
    let kind = type_of(schema);
    let (embedded, int_or_string, preserve) = (
        flag(schema, "x-kubernetes-embedded-resource"),
        flag(schema, "x-kubernetes-int-or-string"),
        flag(schema, "x-kubernetes-preserve-unknown-fields"),
    );
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(format!("{path}.type"), kind, TYPES));
    }
    if kind == "array" && !schema.contains_key("items") {
        errors.push(FieldError::required(format!("{path}.items"), "must be specified"));
    }
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match kind {
            "" => FieldError::required(format!("{path}.type"), detail),
            _ => FieldError::invalid(format!("{path}.type"), kind, detail),
        });
    } else if kind.is_empty() && !int_or_string && !preserve {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(format!("{path}.type"), detail));
    }
    if level == Level::Root {
        at_root(path, schema, errors);
    }
    if embedded && schema.contains_key("additionalProperties") {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(format!("{path}.additionalProperties"), detail));
    }
    if embedded && !preserve && below(schema, "properties").is_none_or(Map::is_empty) {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(format!("{path}.properties"), detail));
    }
    for (set, name) in
        [(preserve, "x-kubernetes-preserve-unknown-fields"), (embedded, "x-kubernetes-embedded-resource")]
    {
        if int_or_string && set {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(format!("{path}.{name}"), true, detail));
        }
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Json::Bool(false)) {
        let path = format!("{path}.x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(path, false, "must be true or undefined"));
    }
    if flag(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(format!("{path}.uniqueItems"), detail));
    }
    if below(schema, "properties").is_some_and(|properties| !properties.is_empty())
        && schema.get("additionalProperties").is_some_and(|other| *other != Json::Bool(true))
    {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(format!("{path}.additionalProperties"), detail));
    }
    if schema.contains_key("$ref") {
        errors.push(FieldError::forbidden(format!("{path}.$ref"), "$ref is not supported"));
    }
    if schema.get("items").is_some_and(Json::is_array) {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(format!("{path}.items"), detail));
    }
    map_type(path, schema, errors);
    list_type(path, schema, errors);
    value_validation(path, schema, errors);
    if let Some(items) = below(schema, "items") {
        structural(&format!("{path}.items"), Level::Item, items, errors);
    }
    for (name, property) in below(schema, "properties").into_iter().flatten() {
        // The schema of the root's metadata is the API server's own.
        if let Some(property) = property.as_object().filter(|_| level != Level::Root || name != "metadata") {
            structural(&format!("{path}.properties[{name}]"), Level::Field, property, errors);
        }
    }
    if let Some(values) = below(schema, "additionalProperties") {
        structural(&format!("{path}.additionalProperties"), Level::Field, values, errors);
    }
}

fn at_root(path: &str, schema: &Object, errors: &mut Vec<FieldError>) {
    let kind = type_of(schema);
    if !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(format!("{path}.type"), kind, "must be object at the root"));
    }
    if schema.contains_key("additionalProperties") {
        errors.push(FieldError::forbidden(format!("{path}.additionalProperties"), "must not be used at the root"));
    }
    if flag(schema, "nullable") {
        errors.push(FieldError::forbidden(format!("{path}.nullable"), "nullable cannot be true at the root"));
    }
    let properties = below(schema, "properties");
    for name in ["kind", "apiVersion"] {
        if let Some(kind) = properties.and_then(|p| p.get(name)).map(|p| p["type"].as_str().unwrap_or_default())
            && kind != "string"
        {
            errors.push(FieldError::invalid(format!("{path}.properties[{name}].type"), kind, "must be string"));
        }
    }
    if let Some(metadata) = properties.and_then(|p| p.get("metadata")).and_then(Json::as_object) {
        let at = format!("{path}.properties[metadata]");
        if type_of(metadata) != "object" {
            errors.push(FieldError::invalid(format!("{at}.type"), type_of(metadata), "must be object"));
        }
        let only_names =
            below(metadata, "properties").is_none_or(|p| p.keys().all(|key| key == "name" || key == "generateName"));
        let more =
            metadata.keys().any(|key| !matches!(key.as_str(), "type" | "properties" | "description" | "default"));
        if !only_names || more {
            let detail =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(at, detail));
        }
    }
}

fn map_type(path: &str, schema: &Object, errors: &mut Vec<FieldError>) {
    let Some(map_type) = schema.get("x-kubernetes-map-type").and_then(Json::as_str) else { return };
    let kind = type_of(schema);
    if kind != "object" {
        let detail = "must be object if x-kubernetes-map-type is specified";
        errors.push(match kind {
            "" => FieldError::required(format!("{path}.type"), detail),
            _ => FieldError::invalid(format!("{path}.type"), kind, detail),
        });
    }
    if !matches!(map_type, "atomic" | "granular") {
        let path = format!("{path}.x-kubernetes-map-type");
        errors.push(FieldError::not_supported(path, map_type, ["atomic", "granular"]));
    }
}

fn list_type(path: &str, schema: &Object, errors: &mut Vec<FieldError>) {
    let list_type = schema.get("x-kubernetes-list-type").and_then(Json::as_str);
    let keys: Vec<&str> = schema
        .get("x-kubernetes-list-map-keys")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    if !keys.is_empty() && list_type != Some("map") {
        let (at, detail) =
            (format!("{path}.x-kubernetes-list-type"), "must be map if x-kubernetes-list-map-keys is non-empty");
        errors.push(match list_type {
            None => FieldError::required(at, detail),
            Some(other) => FieldError::invalid(at, other, detail),
        });
    }
    let Some(list_type) = list_type else { return };
    let kind = type_of(schema);
    if kind != "array" {
        let detail = "must be array if x-kubernetes-list-type is specified";
        errors.push(match kind {
            "" => FieldError::required(format!("{path}.type"), detail),
            _ => FieldError::invalid(format!("{path}.type"), kind, detail),
        });
    }
    if !matches!(list_type, "atomic" | "set" | "map") {
        let path = format!("{path}.x-kubernetes-list-type");
        errors.push(FieldError::not_supported(path, list_type, ["atomic", "set", "map"]));
    }
    let items = below(schema, "items");
    if matches!(list_type, "set" | "map") && items.is_some_and(|items| flag(items, "nullable")) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(format!("{path}.items.nullable"), detail));
    }
    if list_type == "set"
        && let Some(items) = items
        && type_of(items) == "object"
        && items.get("x-kubernetes-map-type").and_then(Json::as_str) != Some("atomic")
    {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        errors.push(FieldError::invalid(format!("{path}.items.x-kubernetes-map-type"), Json::Null, detail));
    }
    if list_type == "map" {
        map_keys(path, &keys, items, errors);
    }
}

fn map_keys(path: &str, keys: &[&str], items: Option<&Object>, errors: &mut Vec<FieldError>) {
    let at = format!("{path}.x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.push(FieldError::required(at.clone(), "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(items) = items else {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(format!("{path}.items"), detail));
        return;
    };
    if type_of(items) != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(format!("{path}.items.type"), type_of(items), detail));
        return;
    }
    let required: Vec<&str> =
        items.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    for (index, key) in keys.iter().enumerate() {
        let Some(property) = below(items, "properties").and_then(|p| p.get(*key)).and_then(Json::as_object) else {
            errors.push(FieldError::invalid(at.clone(), json!(keys), "entries must all be names of item properties"));
            continue;
        };
        let property_path = format!("{path}.items.properties[{key}]");
        if matches!(type_of(property), "array" | "object") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(format!("{property_path}.type"), type_of(items), detail));
        }
        if keys[..index].contains(key) {
            errors.push(FieldError::invalid(at.clone(), json!(keys), "must not contain duplicate entries"));
        }
        if !required.contains(key) && !property.contains_key("default") {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(format!("{property_path}.default"), detail));
        }
        if flag(property, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(format!("{property_path}.nullable"), detail));
        }
    }
}

/// `allOf`, `anyOf`, `oneOf`, `not` may only restrict values, not add structure.
fn value_validation(path: &str, schema: &Object, errors: &mut Vec<FieldError>) {
    let int_or_string = json!([{"type": "integer"}, {"type": "string"}]);
    for keyword in ["anyOf", "allOf", "oneOf"] {
        for (index, branch) in schema.get(keyword).and_then(Json::as_array).into_iter().flatten().enumerate() {
            let Some(branch) = branch.as_object() else { continue };
            // The two documented ways to say that an int-or-string is one or the other.
            if keyword == "anyOf" && schema.get("anyOf") == Some(&int_or_string) {
                continue;
            }
            let mut branch = branch.clone();
            if keyword == "allOf" && index == 0 && branch.get("anyOf") == Some(&int_or_string) {
                branch.shift_remove("anyOf");
            }
            nested(&format!("{path}.{keyword}[{index}]"), &branch, errors);
        }
    }
    if let Some(branch) = below(schema, "not") {
        nested(&format!("{path}.not"), branch, errors);
    }
}

fn nested(path: &str, branch: &Object, errors: &mut Vec<FieldError>) {
    let mut forbid = |wrong: bool, field: &str, detail: &str| {
        if wrong {
            errors.push(FieldError::forbidden(format!("{path}.{field}"), detail));
        }
    };
    let filled = |field: &str| branch.get(field).and_then(Json::as_str).is_some_and(|text| !text.is_empty());
    forbid(filled("type"), "type", "must be empty to be structural");
    forbid(branch.contains_key("additionalProperties"), "additionalProperties", "must be undefined to be structural");
    forbid(branch.contains_key("default"), "default", "must be undefined to be structural");
    forbid(filled("title"), "title", "must be empty to be structural");
    forbid(filled("description"), "description", "must be empty to be structural");
    for name in [
        "nullable",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
    ] {
        forbid(flag(branch, name), name, "must be false to be structural");
    }
    for name in ["x-kubernetes-list-type", "x-kubernetes-map-type"] {
        forbid(branch.contains_key(name), name, "must be undefined to be structural");
    }
    forbid(
        branch.contains_key("x-kubernetes-list-map-keys"),
        "x-kubernetes-list-map-keys",
        "must be empty to be structural",
    );
    let properties = below(branch, "properties");
    let metadata = properties.is_some_and(|p| p.contains_key("metadata"));
    forbid(metadata, "properties[metadata]", "must not be specified in a nested context");
    for (name, property) in properties.into_iter().flatten() {
        if let Some(property) = property.as_object() {
            nested(&format!("{path}.properties[{name}]"), property, errors);
        }
    }
    if let Some(items) = below(branch, "items") {
        nested(&format!("{path}.items"), items, errors);
    }
    value_validation(path, branch, errors);
}
