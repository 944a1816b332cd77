//! CustomResourceDefinitions: their schemas per version, and the checks that the API server makes on them.
//!
//! [`Definition::read`] is lenient and quick (a definition of 700 KB takes milliseconds); [`check`] says
//! what a server would refuse. Storing, serving and converting custom objects is not here.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::builtin;
use super::default;
use super::pattern::Pattern;
use super::schema::{Additional, Limits, Link, ListType, Property, Rule, Schema, Type};

mod structural;

pub use structural::check;

/// What a CustomResourceDefinition defines.
#[derive(Clone, Debug)]
pub struct Definition {
    /// `serving.kserve.io`
    pub group: String,
    /// `LLMInferenceService`
    pub kind: String,
    /// `llminferenceservices`
    pub plural: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// In the definition's order.
    pub versions: Vec<Version>,
}

/// One version of a custom kind.
#[derive(Clone, Debug)]
pub struct Version {
    /// `v1alpha2`
    pub name: String,
    /// Whether the API serves it.
    pub served: bool,
    /// Whether objects are stored in it.
    pub storage: bool,
    /// The message for deprecated versions; empty for the standard one.
    pub deprecated: Option<String>,
    /// Whether `status` is a subresource.
    pub status: bool,
    /// Of whole objects, with apiVersion, kind and metadata.
    pub schema: Arc<Schema>,
}

impl Definition {
    /// Reads a definition; `None` when it lacks group, kind or versions.
    pub fn read(definition: &Json) -> Option<Self> {
        let spec = definition.get("spec")?;
        let text = |value: &Json| value.as_str().map(str::to_owned);
        let versions = spec.get("versions")?.as_array()?;
        Some(Definition {
            group: text(spec.get("group")?)?,
            kind: text(spec.get("names")?.get("kind")?)?,
            plural: text(&spec["names"]["plural"]).unwrap_or_default(),
            namespaced: spec["scope"] == "Namespaced",
            versions: versions.iter().filter_map(|version| Version::read(spec, version)).collect(),
        })
    }

    /// The version of that name.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// Reads one version and nothing else of a definition; `None` when it has no such version.
    pub fn read_version(definition: &Json, name: &str) -> Option<Version> {
        let spec = definition.get("spec")?;
        let versions = spec.get("versions")?.as_array()?;
        Version::read(spec, versions.iter().find(|version| version["name"] == name)?)
    }

    /// The version that objects are stored in.
    pub fn storage(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.storage)
    }
}

impl Version {
    fn read(spec: &Json, version: &Json) -> Option<Self> {
        let flag = |name: &str| version.get(name) == Some(&Json::Bool(true));
        let mut schema = match &version["schema"]["openAPIV3Schema"] {
            Json::Object(schema) => read(schema),
            _ => Schema { preserve_unknown: true, ..Schema::of(Type::Object) },
        };
        schema.preserve_unknown |= spec["preserveUnknownFields"] == true;
        as_resource(&mut schema);
        Some(Version {
            name: version.get("name")?.as_str()?.to_owned(),
            served: flag("served"),
            storage: flag("storage"),
            deprecated: flag("deprecated")
                .then(|| version["deprecationWarning"].as_str().unwrap_or_default().to_owned()),
            status: version["subresources"]["status"].is_object(),
            schema: Arc::new(schema),
        })
    }
}

/// Gives an object schema the fields that every resource has.
fn as_resource(schema: &mut Schema) {
    for name in ["apiVersion", "kind"] {
        schema.set_property(name, Schema::of(Type::String).into());
    }
    schema.set_property("metadata", builtin::object_meta());
}

/// One `JSONSchemaProps` and everything below it. Unknown keywords are ignored.
pub fn read(source: &Map<String, Json>) -> Schema {
    let mut schema = Schema::default();
    let mut limits = Limits::default();
    let mut limited = false;
    let (mut list_type, mut keys) = (None, None);
    for (keyword, value) in source {
        match keyword.as_str() {
            "type" => schema.kind = value.as_str().and_then(Type::of_name).unwrap_or_default(),
            "format" => schema.format = value.as_str().map(Into::into),
            "nullable" => schema.nullable = is_true(value),
            "x-kubernetes-int-or-string" => schema.int_or_string = is_true(value),
            "x-kubernetes-preserve-unknown-fields" => schema.preserve_unknown = is_true(value),
            "x-kubernetes-embedded-resource" => schema.embedded = is_true(value),
            "x-kubernetes-map-type" => schema.atomic = value == "atomic",
            "x-kubernetes-list-type" => list_type = value.as_str(),
            "x-kubernetes-list-map-keys" => keys = Some(texts(value)),
            "required" => schema.required = texts(value),
            "properties" => {
                schema.properties = value.as_object().into_iter().flatten().filter_map(property).collect();
                schema.properties.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            }
            "additionalProperties" => {
                schema.additional = match value {
                    Json::Object(below) => Additional::Of(read(below).into()),
                    Json::Bool(true) => Additional::Anything,
                    _ => Additional::Unstated,
                }
            }
            "items" => schema.items = value.as_object().map(|below| read(below).into()),
            _ => limited |= limit(&mut limits, keyword, value, source),
        }
    }
    schema.list = match list_type {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(keys.unwrap_or_default()),
        _ => ListType::Atomic,
    };
    schema.defaults_below = default::holds(&schema);
    schema.rules_below = !limits.rules.is_empty() || rules_below(&schema);
    if limited {
        schema.limits = Some(Box::new(limits));
    }
    schema
}

fn rules_below(schema: &Schema) -> bool {
    let below = |link: &Link| matches!(link, Link::Shared(schema) if schema.rules_below);
    schema.properties.iter().any(|p| below(&p.schema))
        || schema.items.as_ref().is_some_and(below)
        || matches!(&schema.additional, Additional::Of(link) if below(link))
}

fn property((name, value): (&String, &Json)) -> Option<Property> {
    let source = value.as_object()?;
    let default = source.get("default").cloned().map(Box::new);
    Some(Property { default, ..Property::new(name, read(source).into()) })
}

/// Reads a keyword into `limits`; whether it was one.
fn limit(limits: &mut Limits, keyword: &str, value: &Json, source: &Map<String, Json>) -> bool {
    let branches =
        || value.as_array().into_iter().flatten().filter_map(Json::as_object).map(|b| Arc::new(read(b))).collect();
    match keyword {
        "enum" => limits.one_of_values = value.as_array().cloned().unwrap_or_default(),
        "pattern" => limits.pattern = value.as_str().filter(|text| !text.is_empty()).map(Pattern::new),
        "minimum" => limits.minimum = value.as_f64().map(|n| (n, source.get("exclusiveMinimum").is_some_and(is_true))),
        "maximum" => limits.maximum = value.as_f64().map(|n| (n, source.get("exclusiveMaximum").is_some_and(is_true))),
        "multipleOf" => limits.multiple_of = value.as_f64(),
        "minLength" => limits.min_length = value.as_u64(),
        "maxLength" => limits.max_length = value.as_u64(),
        "minItems" => limits.min_items = value.as_u64(),
        "maxItems" => limits.max_items = value.as_u64(),
        "minProperties" => limits.min_properties = value.as_u64(),
        "maxProperties" => limits.max_properties = value.as_u64(),
        "uniqueItems" => limits.unique_items = is_true(value),
        "allOf" => limits.all_of = branches(),
        "anyOf" => limits.any_of = branches(),
        "oneOf" => limits.one_of = branches(),
        "not" => limits.not = value.as_object().map(|below| Arc::new(read(below))),
        "x-kubernetes-validations" => {
            let text = |rule: &Json, name: &str| rule[name].as_str().unwrap_or_default().into();
            limits.rules = value
                .as_array()
                .into_iter()
                .flatten()
                .map(|rule| Rule {
                    rule: text(rule, "rule"),
                    message: text(rule, "message"),
                    message_expression: text(rule, "messageExpression"),
                    reason: text(rule, "reason"),
                    field_path: text(rule, "fieldPath"),
                    ..Rule::default()
                })
                .collect();
        }
        _ => return false,
    }
    true
}

fn is_true(value: &Json) -> bool {
    *value == Json::Bool(true)
}

fn texts(value: &Json) -> Vec<Box<str>> {
    value.as_array().into_iter().flatten().filter_map(Json::as_str).map(Into::into).collect()
}

#[cfg(test)]
mod tests;
