//! What the API server says when an object of a built-in kind does not even decode into its Go type.
//!
//! Custom kinds decode as they are and are judged by `validate` alone. Names of Go types that OpenAPI does
//! not publish (named strings such as `v1.PullPolicy`) read as the type beneath them.

use serde_json::Value as Json;

use super::quantity::is_quantity;
use super::schema::{Additional, Schema, Type};
use super::validate;

/// The first value that cannot be decoded, as the end of `… cannot be handled as a ConfigMap: …`;
/// `None` when everything decodes.
pub fn check(schema: &Schema, value: &Json) -> Option<String> {
    let name = type_name(schema);
    walk(schema, value, &name, "")
}

/// `v1.Container` of `core.v1.Container`.
fn type_name(schema: &Schema) -> String {
    schema.name.trim_end_matches('~').split_once('.').map_or("", |(_, name)| name).to_owned()
}

fn go_type(schema: &Schema) -> String {
    if !schema.name.is_empty() {
        return type_name(schema);
    }
    match (schema.kind, schema.format.as_deref()) {
        (Type::Integer, Some("int64")) => "int64".to_owned(),
        (Type::Integer, _) => "int32".to_owned(),
        (Type::Number, _) => "float64".to_owned(),
        (Type::Boolean, _) => "bool".to_owned(),
        (Type::String, Some("byte")) => "[]uint8".to_owned(),
        (Type::String, _) => "string".to_owned(),
        (Type::Array, _) => format!("[]{}", schema.items.as_ref().map(|items| go_type(items)).unwrap_or_default()),
        (Type::Object, _) => match &schema.additional {
            Additional::Of(values) => format!("map[string]{}", go_type(values)),
            _ => "map[string]interface {}".to_owned(),
        },
        (Type::Any, Some("quantity")) => "resource.Quantity".to_owned(),
        (Type::Any, Some("int-or-string")) => "intstr.IntOrString".to_owned(),
        (Type::Any, _) => "interface {}".to_owned(),
    }
}

/// `holder` is the innermost struct, `path` the fields from the root; keys and indices are not part of it.
fn walk(schema: &Schema, value: &Json, holder: &str, path: &str) -> Option<String> {
    let wrong = |found: &str| {
        let of = go_type(schema);
        Some(if path.is_empty() {
            format!("json: cannot unmarshal {found} into Go value of type {of}")
        } else {
            let holder = holder.rsplit('.').next().unwrap_or(holder);
            format!("json: cannot unmarshal {found} into Go struct field {holder}.{path} of type {of}")
        })
    };
    match (schema.kind, value) {
        (_, Json::Null) => None,
        (Type::Any, Json::String(text)) if schema.format.as_deref() == Some("quantity") => {
            (!is_quantity(text)).then(|| {
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned()
            })
        }
        (Type::Any, found) if schema.int_or_string => match found {
            Json::String(_) | Json::Number(_) => None,
            other => wrong(json_type(other)),
        },
        (Type::Any, _) => None,
        (Type::String, Json::String(text)) => match schema.format.as_deref() {
            Some("byte") => bad_base64(text),
            Some("date-time") if !validate::is_date_time(text) => Some(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
            )),
            _ => None,
        },
        (Type::Integer, Json::Number(number)) => {
            let fits = match schema.format.as_deref() {
                Some("int64") => number.is_i64(),
                _ => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            };
            if fits { None } else { wrong(&format!("number {number}")) }
        }
        (Type::Number, Json::Number(_)) | (Type::Boolean, Json::Bool(_)) => None,
        (Type::Array, Json::Array(items)) => {
            let below = schema.items.as_ref()?;
            items.iter().find_map(|item| walk(below, item, holder, path))
        }
        (Type::Object, Json::Object(object)) => {
            let own = type_name(schema);
            object.iter().find_map(|(key, value)| match (schema.property(key), &schema.additional) {
                (Some(property), _) => {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&property.schema, value, &own, &path)
                }
                (None, Additional::Of(below)) => walk(below, value, holder, path),
                _ => None,
            })
        }
        (_, found) => wrong(json_type(found)),
    }
}

fn json_type(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn bad_base64(text: &str) -> Option<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let error = STANDARD.decode(text).err()?;
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len(),
    };
    Some(format!("illegal base64 data at input byte {at}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openapi::{builtin, recordings};

    fn said(api_version: &str, kind: &str, value: &Json) -> Option<String> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        check(&builtin::schema(group, version, kind).expect("a built-in kind"), value)
    }

    #[test]
    fn recorded_refusals() {
        let Some(exchanges) = recordings::exchanges("03-crud") else { return };
        let mut compared = 0;
        for exchange in exchanges {
            let (body, answer) = (&exchange["request"]["body"], &exchange["response"]["body"]);
            let message = answer["message"].as_str().unwrap_or_default();
            let Some((_, recorded)) = message.split_once("cannot be handled as a ") else { continue };
            let Some((kind, recorded)) = recorded.split_once(": ") else { continue };
            if recorded.contains("json:") || recorded.contains("base64") {
                assert_eq!(said("v1", kind, body).as_deref(), Some(recorded), "{}", exchange["name"]);
                compared += 1;
            }
        }
        assert!(compared >= 2);
    }

    #[test]
    fn the_innermost_struct_and_the_whole_path_are_named() {
        let deployment = |container: Json| json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        assert_eq!(
            said("apps/v1", "Deployment", &deployment(json!({"env": [{"name": "A", "value": 1}]}))).as_deref(),
            Some(
                "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of \
                 type string"
            )
        );
        assert_eq!(
            said("apps/v1", "Deployment", &json!({"spec": {"template": {"spec": {"containers": {}}}}})).as_deref(),
            Some(
                "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type \
                 []v1.Container"
            )
        );
        assert!(said("apps/v1", "Deployment", &deployment(json!({"resources": {"limits": {"cpu": "x"}}}))).is_some());
        assert_eq!(
            said("apps/v1", "Deployment", &deployment(json!({"name": null, "resources": {"limits": {"cpu": 1}}}))),
            None
        );
    }
}
