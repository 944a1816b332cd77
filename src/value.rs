//! The attribute tree: plain data plus values that are known only later.
//!
//! [`Value`] is JSON with one more variant, [`Value::Deferred`]: a template over references to other
//! resources' outputs and over secret inputs. A deferred value is at once the *unknown* that a plan shows
//! (with its source) and the recipe that apply resolves; a secret is therefore never part of a value at
//! all, only named by it. This module does not evaluate stacks and reads nothing.

mod map;
pub mod reader;
pub mod shared;

use std::fmt;

use crate::address::Address;

pub use map::Map;
use reader::Reader;

/// One attribute value.
#[derive(Clone, PartialEq, Default)]
pub enum Value {
    /// JSON `null`.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number. Never NaN.
    Float(f64),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Value>),
    /// A mapping.
    Map(Map),
    /// Known only at apply, or secret: see [`Template`].
    Deferred(Box<Template>),
}

/// A text or a whole value made of literal parts, references and secrets.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// In order. A single [`Part::Reference`] takes the type of what it refers to; anything else is text.
    pub parts: Vec<Part>,
    /// How the resulting text is written into the attribute.
    #[serde(default, skip_serializing_if = "Encoding::is_plain")]
    pub encoding: Encoding,
    /// Whether the result must not be shown, although no part is a secret input (Secret data of objects).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
}

/// One part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Part {
    /// Literal text.
    Text(String),
    /// An output of another resource.
    Reference(Reference),
    /// The value of a secret input of the stack, by name.
    Secret(String),
}

/// Points at an output of a resource: `${cluster.endpoint}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The resource.
    pub address: Address,
    /// Keys into its outputs, outermost first.
    pub path: Vec<String>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        for key in &self.path {
            write!(f, ".{key}")?;
        }
        Ok(())
    }
}

/// How a resolved template is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As it is.
    #[default]
    Plain,
    /// Standard base64 with padding, as `Secret.data` wants it.
    Base64,
}

impl Encoding {
    fn is_plain(&self) -> bool {
        *self == Encoding::Plain
    }
}

impl Template {
    /// A reference that takes the referenced value's own type.
    pub fn reference(address: Address, path: Vec<String>) -> Self {
        Template {
            parts: vec![Part::Reference(Reference { address, path })],
            encoding: Encoding::Plain,
            sensitive: false,
        }
    }

    /// A secret input as text.
    pub fn secret(input: &str) -> Self {
        Template { parts: vec![Part::Secret(input.to_owned())], encoding: Encoding::Plain, sensitive: true }
    }

    /// The references among the parts.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Text(_) | Part::Secret(_) => None,
        })
    }

    /// The names of the secret inputs among the parts.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Secret(input) => Some(input.as_str()),
            Part::Text(_) | Part::Reference(_) => None,
        })
    }

    /// Whether the result must never be shown.
    pub fn is_sensitive(&self) -> bool {
        self.sensitive || self.secrets().next().is_some()
    }

    /// What a plan shows in place of the value: `cluster.endpoint`, `input hf_token`.
    pub fn source(&self) -> String {
        let mut sources = self.references().map(ToString::to_string).collect::<Vec<_>>();
        sources.extend(self.secrets().map(|name| match is_input(name) {
            true => format!("input {name}"),
            false => name.to_owned(),
        }));
        sources.join(", ")
    }
}

/// A template that could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The referenced resource has no such output (yet).
    #[error("{0} is not known")]
    Missing(String),
    /// A list or map stood where text was wanted.
    #[error("{0} is not a text, number or boolean and cannot be part of a text")]
    NotText(String),
    /// A secret input has no value in this run.
    #[error("the secret input {0} has no value")]
    NoSecret(String),
}

/// Whether the name of a secret is that of an input. Other names say where it stands, with a space in them: in a Secret
/// of the cluster, of a chart or of a manifest.
pub fn is_input(secret: &str) -> bool {
    !secret.contains(' ')
}

/// Answers a template's questions.
pub trait Scope {
    /// The output that `reference` points at, if it is known.
    fn output(&self, reference: &Reference) -> Option<Value>;
    /// The value of a secret input, if it may be read here.
    fn secret(&self, input: &str) -> Option<String>;
}

impl Template {
    /// The value, given everything it refers to.
    ///
    /// # Errors
    /// [`ResolveError`] names the first part that has no value.
    pub fn resolve(&self, scope: &dyn Scope) -> Result<Value, ResolveError> {
        if let ([Part::Reference(reference)], Encoding::Plain) = (&self.parts[..], self.encoding) {
            return scope.output(reference).ok_or_else(|| ResolveError::Missing(reference.to_string()));
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Secret(input) => {
                    text.push_str(&scope.secret(input).ok_or_else(|| ResolveError::NoSecret(input.clone()))?);
                }
                Part::Reference(reference) => {
                    let value = scope.output(reference).ok_or_else(|| ResolveError::Missing(reference.to_string()))?;
                    let scalar = value.scalar_text().ok_or_else(|| ResolveError::NotText(reference.to_string()))?;
                    text.push_str(&scalar);
                }
            }
        }
        Ok(Value::String(match self.encoding {
            Encoding::Plain => text,
            Encoding::Base64 => base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text.as_bytes()),
        }))
    }
}

impl Value {
    /// An empty map.
    pub fn map() -> Self {
        Value::Map(Map::new())
    }

    /// The text, when this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, when this is a whole one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The boolean, when this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The entries, when this is a map.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The items, when this is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value under `key`, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// The value at the end of `path`; list indices are written as numbers.
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| match value {
            Value::Map(map) => map.get(key.as_ref()),
            Value::List(items) => items.get(key.as_ref().parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Text of a string, number or boolean; `None` for everything else.
    pub fn scalar_text(&self) -> Option<String> {
        match self {
            Value::String(text) => Some(text.clone()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Int(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) | Value::Deferred(_) => None,
        }
    }

    /// Calls `visit` for every template in the tree.
    pub fn visit_templates<'a>(&'a self, visit: &mut dyn FnMut(&'a Template)) {
        match self {
            Value::Deferred(template) => visit(template),
            Value::List(items) => items.iter().for_each(|item| item.visit_templates(visit)),
            Value::Map(map) => map.values().for_each(|item| item.visit_templates(visit)),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => {}
        }
    }

    /// Whether nothing in the tree is deferred.
    pub fn is_known(&self) -> bool {
        match self {
            Value::Deferred(_) => false,
            Value::List(items) => items.iter().all(Value::is_known),
            Value::Map(map) => map.values().all(Value::is_known),
            _ => true,
        }
    }

    /// The same tree with every template resolved.
    ///
    /// # Errors
    /// The first [`ResolveError`], in key order.
    pub fn resolve(&self, scope: &dyn Scope) -> Result<Value, ResolveError> {
        Ok(match self {
            Value::Deferred(template) => template.resolve(scope)?,
            Value::List(items) => Value::List(items.iter().map(|v| v.resolve(scope)).collect::<Result<_, _>>()?),
            Value::Map(map) => Value::Map(
                map.iter().map(|(k, v)| Ok((k.clone(), v.resolve(scope)?))).collect::<Result<_, ResolveError>>()?,
            ),
            plain => plain.clone(),
        })
    }

    /// The same tree with each template resolved where `scope` can, and left alone where it cannot.
    /// Templates that name a secret are always left alone.
    pub fn resolve_known(&self, scope: &dyn Scope) -> Value {
        match self {
            Value::Deferred(template) if template.is_sensitive() => self.clone(),
            Value::Deferred(template) => template.resolve(scope).unwrap_or_else(|_| self.clone()),
            Value::List(items) => Value::List(items.iter().map(|v| v.resolve_known(scope)).collect()),
            Value::Map(map) => Value::Map(map.iter().map(|(k, v)| (k.clone(), v.resolve_known(scope))).collect()),
            plain => plain.clone(),
        }
    }

    /// The same tree with those templates resolved that `wanted` names, secret or not, and the others left alone.
    ///
    /// # Errors
    /// The first [`ResolveError`], in key order.
    pub fn resolve_where(&self, scope: &dyn Scope, wanted: &dyn Fn(&Template) -> bool) -> Result<Value, ResolveError> {
        Ok(match self {
            Value::Deferred(template) if wanted(template) => template.resolve(scope)?,
            Value::List(items) => {
                Value::List(items.iter().map(|v| v.resolve_where(scope, wanted)).collect::<Result<_, _>>()?)
            }
            Value::Map(map) => {
                Value::Map(map.iter().map(|(k, v)| Ok((k.clone(), v.resolve_where(scope, wanted)?))).collect::<Result<
                    _,
                    ResolveError,
                >>(
                )?)
            }
            plain => plain.clone(),
        })
    }

    /// As JSON. A template becomes `{"$deferred": …}`, which [`Value::from_json`] reads back.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Null => Json::Null,
            Value::Bool(truth) => Json::Bool(*truth),
            Value::Int(number) => Json::from(*number),
            Value::Float(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
            Value::String(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Map(map) => {
                let mut object = map.iter().map(|(k, v)| (k.clone(), v.to_json())).collect::<serde_json::Map<_, _>>();
                // A user's own map that looks like our marker gets one more `$`, taken off again on reading.
                if map.len() == 1
                    && let Some(key) = map.keys().next().filter(|key| is_marker(key))
                    && let Some(inner) = object.remove(key)
                {
                    object.insert(format!("${key}"), inner);
                }
                Json::Object(object)
            }
            Value::Deferred(template) => {
                let inner = serde_json::to_value(template.as_ref()).unwrap_or(Json::Null);
                Json::Object(std::iter::once((MARKER.to_owned(), inner)).collect())
            }
        }
    }

    /// As JSON for others, who know no templates: those become `null`, everything else stays as it is.
    pub fn to_plain_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::List(items) => Json::Array(items.iter().map(Value::to_plain_json).collect()),
            Value::Map(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), v.to_plain_json())).collect()),
            Value::Deferred(_) => Json::Null,
            scalar => scalar.to_json(),
        }
    }

    /// From JSON that others wrote: nothing in it is taken for a template.
    pub fn from_plain_json(json: &serde_json::Value) -> Value {
        use serde_json::Value as Json;
        match json {
            Json::Array(items) => Value::List(items.iter().map(Value::from_plain_json).collect()),
            Json::Object(object) => {
                Value::Map(object.iter().map(|(k, v)| (k.clone(), Value::from_plain_json(v))).collect())
            }
            scalar => Value::from_json(scalar),
        }
    }

    /// From JSON, the inverse of [`Value::to_json`]. Numbers beyond `i64` become floats.
    pub fn from_json(json: &serde_json::Value) -> Value {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Value::String(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Value::from_json).collect()),
            Json::Object(object) => {
                if object.len() == 1
                    && let Some((key, inner)) = object.iter().next().filter(|(key, _)| is_marker(key))
                {
                    return marked(key, inner);
                }
                Value::Map(object.iter().map(|(k, v)| (k.clone(), Value::from_json(v))).collect())
            }
        }
    }
}

const MARKER: &str = "$deferred";

/// `$deferred` and its escaped forms `$$deferred`, `$$$deferred`, …
fn is_marker(key: &str) -> bool {
    key.ends_with(MARKER) && key[..key.len() - MARKER.len()].bytes().all(|b| b == b'$')
}

/// What a map with the single entry `key`, a marker, means.
fn marked(key: &str, inner: &serde_json::Value) -> Value {
    if key == MARKER
        && let Ok(template) = serde_json::from_value::<Template>(inner.clone())
    {
        return Value::Deferred(Box::new(template));
    }
    let original = key.strip_prefix('$').unwrap_or(key).to_owned();
    Value::Map(std::iter::once((original, Value::from_json(inner))).collect())
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}

impl serde::Serialize for Value {
    /// The same as [`Value::to_json`] would be.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::String(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items),
            Value::Map(map) => match map.iter().next() {
                Some((key, inner)) if map.len() == 1 && is_marker(key) => {
                    serializer.collect_map([(format!("${key}"), inner)])
                }
                _ => serializer.collect_map(map),
            },
            Value::Deferred(template) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(MARKER, template)?;
                map.end()
            }
        }
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    /// The same as [`Value::from_json`] would make of it.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader::<Marked>::new())
    }
}

/// Maps as we write them: one may be a template.
struct Marked;

impl reader::Maps for Marked {
    fn map<'de, A: serde::de::MapAccess<'de>>(mut entries: A, reader: Reader<Self>) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut first = entries.next_key::<String>()?;
        if first.as_deref().is_some_and(is_marker) {
            let key = first.take().unwrap_or_default();
            let inner = entries.next_value::<serde_json::Value>()?;
            first = entries.next_key()?;
            if first.is_none() {
                return Ok(marked(&key, &inner));
            }
            map.insert(key, Value::from_json(&inner));
        }
        while let Some(key) = first {
            map.insert(key, entries.next_value_seed(reader)?);
            first = entries.next_key()?;
        }
        map.shrink_to_fit();
        Ok(Value::Map(map))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<Template> for Value {
    fn from(template: Template) -> Self {
        Value::Deferred(Box::new(template))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;
    impl Scope for Known {
        fn output(&self, reference: &Reference) -> Option<Value> {
            (reference.to_string() == "cluster.endpoint").then(|| Value::from("1.2.3.4"))
        }
        fn secret(&self, input: &str) -> Option<String> {
            (input == "token").then(|| "s3cret".to_owned())
        }
    }

    #[test]
    fn templates_resolve_and_keep_types() {
        let reference = Template::reference("cluster".into(), vec!["endpoint".into()]);
        assert_eq!(reference.resolve(&Known), Ok(Value::from("1.2.3.4")));
        let mut text = reference.clone();
        text.parts.insert(0, Part::Text("https://".into()));
        assert_eq!(text.resolve(&Known), Ok(Value::from("https://1.2.3.4")));
        let secret = Template { encoding: Encoding::Base64, ..Template::secret("token") };
        assert_eq!(secret.resolve(&Known), Ok(Value::from("czNjcmV0")));
        let unknown = Template::reference("cluster".into(), vec!["uid".into()]);
        assert_eq!(unknown.resolve(&Known), Err(ResolveError::Missing("cluster.uid".into())));
    }

    #[test]
    fn what_others_wrote_is_never_a_template() {
        let template = Value::from(Template::secret("token")).to_json();
        assert!(!Value::from_json(&template).is_known());
        let value = Value::from_plain_json(&template);
        assert!(value.is_known());
        assert_eq!(value.to_plain_json(), template);
    }

    #[test]
    fn json_round_trips_even_for_look_alikes_of_the_marker() {
        let deferred = Value::from(Template::secret("token"));
        let plain = Value::Map(std::iter::once(("$deferred".to_owned(), Value::from("x"))).collect());
        let escaped = Value::Map(std::iter::once(("$$deferred".to_owned(), plain.clone())).collect());
        for value in [deferred, plain, escaped, Value::Float(0.5), Value::Int(-3)] {
            assert_eq!(Value::from_json(&value.to_json()), value);
        }
    }
}
