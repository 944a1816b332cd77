//! YAML, JSON and TOML from values and back.

use super::{Call, Function, T};
use crate::template::data::{Data, Element, List};
use crate::template::fault::{Fault, Outcome};
use crate::template::tokens::Tokens;
use crate::template::{json, toml, yaml};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("toYaml", &[T::Any], |c| lenient(yaml::write(c.any(0)))).places(),
    Function::new("mustToYaml", &[T::Any], |c| Ok(Data::from(yaml::write(c.any(0))?))).places(),
    Function::new("toYamlPretty", &[T::Any], |c| lenient(yaml::write_indented(c.any(0)))).places(),
    Function::new("fromYaml", &[T::Text], |c| object(read_yaml(c), true)).places(),
    Function::new("fromYamlArray", &[T::Text], |c| array(read_yaml(c), true)).places(),
    Function::new("toJson", &[T::Any], |c| lenient(json::write(c.any(0), true, false))).places(),
    Function::new("mustToJson", &[T::Any], |c| Ok(Data::from(json::write(c.any(0), true, false)?))).places(),
    Function::new("toPrettyJson", &[T::Any], |c| lenient(json::write(c.any(0), true, true))).places(),
    Function::new("mustToPrettyJson", &[T::Any], |c| Ok(Data::from(json::write(c.any(0), true, true)?))).places(),
    Function::new("toRawJson", &[T::Any], |c| Ok(Data::from(json::write(c.any(0), false, false)?))).places(),
    Function::new("mustToRawJson", &[T::Any], |c| Ok(Data::from(json::write(c.any(0), false, false)?))).places(),
    Function::new("fromJson", &[T::Text], |c| object(read_json(c), false)).places(),
    Function::new("fromJsonArray", &[T::Text], |c| array(read_json(c), false)).places(),
    Function::new("mustFromJson", &[T::Text], read_json).places(),
    Function::new("toToml", &[T::Any], to_toml).places(),
    Function::new("mustToToml", &[T::Any], |c| Ok(Data::from(toml::write(c.any(0))?))).places(),
    Function::new("fromToml", &[T::Text], |c| {
        Ok(match toml::read(&c.text(0)) {
            Ok(data) => data,
            Err(fault) => Data::map([("Error", Data::from(fault.to_string()))]),
        })
    })
    .places(),
];

/// What cannot be written is the reason.
fn to_toml(c: &Call<'_, '_>) -> Outcome {
    if c.any(0).is_nothing() {
        return Err(Fault::new("reflect: call of reflect.Value.Type on zero Value"));
    }
    match toml::write(c.any(0)) {
        Err(fault) if fault.kind != crate::template::fault::Kind::Limit => Ok(Data::from(fault.to_string())),
        text => Ok(Data::from(text?)),
    }
}

/// What cannot be written is an empty text, except where a limit was reached.
fn lenient(text: Result<String, Fault>) -> Outcome {
    match text {
        Ok(text) => Ok(Data::from(text)),
        Err(fault) if fault.kind == crate::template::fault::Kind::Limit => Err(fault),
        Err(_) => Ok(Data::from("")),
    }
}

fn read_yaml(c: &Call<'_, '_>) -> Outcome {
    // Two characters can make a value.
    c.memory(c.bytes(0).len() * 16)?;
    yaml::read_data(&c.text(0)).map_err(|error| {
        // Of this one mistake Go's library does not say where it is.
        let place = !error.message.starts_with("!!binary");
        let said = if place { error.to_string() } else { error.message };
        Fault::new(format!("error converting YAML to JSON: yaml: {said}"))
    })
}

fn read_json(c: &Call<'_, '_>) -> Outcome {
    c.memory(c.bytes(0).len() * 16)?;
    json::read(&c.text(0)).map(|value| Data::from_value(&value, &mut Tokens::default()))
}

fn is_limit(fault: &Fault) -> bool {
    fault.kind == crate::template::fault::Kind::Limit
}

/// A map, or a map that holds the error.
fn object(value: Outcome, yaml: bool) -> Outcome {
    let error = |text: String| Data::map([("Error", Data::from(text))]);
    Ok(match value {
        Err(fault) if is_limit(&fault) => return Err(fault),
        Ok(Data::Nil) if !yaml => Data::Nil,
        Ok(Data::Nil) => Data::map(std::iter::empty::<(&str, Data)>()),
        Ok(data @ Data::Map(_)) => data,
        Ok(other) => error(mismatch(&other, "map[string]interface {}", yaml)),
        Err(fault) => error(fault.to_string()),
    })
}

/// A list, or a list that holds the error.
fn array(value: Outcome, yaml: bool) -> Outcome {
    Ok(match value {
        Err(fault) if is_limit(&fault) => return Err(fault),
        Ok(Data::Nil) if yaml => Data::list(Vec::new()),
        Ok(Data::Nil) => Data::List(List::appended(Element::Any, Vec::new())),
        Ok(data @ Data::List(_)) => data,
        Ok(other) => Data::list(vec![Data::from(mismatch(&other, "[]interface {}", yaml))]),
        Err(fault) => Data::list(vec![Data::from(fault.to_string())]),
    })
}

fn mismatch(value: &Data, wanted: &str, yaml: bool) -> String {
    let before = if yaml { "error unmarshaling JSON: while decoding JSON: " } else { "" };
    format!("{before}json: cannot unmarshal {} into Go value of type {wanted}", kind(value))
}

fn kind(value: &Data) -> &'static str {
    match value {
        Data::Missing | Data::Nil => "null",
        Data::Bool(_) => "bool",
        Data::Int(..) | Data::Float(_) => "number",
        Data::List(_) => "array",
        Data::Map(_) | Data::Object(_) => "object",
        Data::Text(_) | Data::Bytes(_) | Data::Time(_) => "string",
    }
}
