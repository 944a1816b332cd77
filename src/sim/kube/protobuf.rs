//! Bodies that kubectl sends in protobuf: the kinds that its own commands create with typed clients.
//!
//! Answers are always JSON, which those clients take too. Field numbers are those of Kubernetes' published
//! `generated.proto` files; kinds that are not in the table are refused as an unknown format.

use base64::Engine;
use serde_json::{Map, Value as Json, json};

/// How a field is read.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Texts,
    Whole,
    Flag,
    /// `map<string, string>`.
    TextMap,
    /// `map<string, bytes>`, written in base64.
    ByteMap,
    Message(&'static str),
    Messages(&'static str),
}

use Form::{ByteMap, Flag, Message, Messages, Text, TextMap, Texts, Whole};

type Field = (u64, &'static str, Form);

const META: Field = (1, "metadata", Message("ObjectMeta"));

fn fields(message: &str) -> Option<&'static [Field]> {
    Some(match message {
        "ObjectMeta" => &[
            (1, "name", Text),
            (2, "generateName", Text),
            (3, "namespace", Text),
            (5, "uid", Text),
            (6, "resourceVersion", Text),
            (11, "labels", TextMap),
            (12, "annotations", TextMap),
            (14, "finalizers", Texts),
        ],
        "Namespace" | "ServiceAccount" | "SelfSubjectReview" => &[META],
        "ConfigMap" => &[META, (2, "data", TextMap), (3, "binaryData", ByteMap), (4, "immutable", Flag)],
        "Secret" => {
            &[META, (2, "data", ByteMap), (3, "type", Text), (4, "stringData", TextMap), (5, "immutable", Flag)]
        }
        "SelfSubjectAccessReview" => &[META, (2, "spec", Message("SelfSubjectAccessReviewSpec"))],
        "SelfSubjectAccessReviewSpec" => &[
            (1, "resourceAttributes", Message("ResourceAttributes")),
            (2, "nonResourceAttributes", Message("NonResourceAttributes")),
        ],
        "ResourceAttributes" => &[
            (1, "namespace", Text),
            (2, "verb", Text),
            (3, "group", Text),
            (4, "version", Text),
            (5, "resource", Text),
            (6, "subresource", Text),
            (7, "name", Text),
        ],
        "NonResourceAttributes" => &[(1, "path", Text), (2, "verb", Text)],
        "SelfSubjectRulesReview" => &[META, (2, "spec", Message("SelfSubjectRulesReviewSpec"))],
        "SelfSubjectRulesReviewSpec" => &[(1, "namespace", Text)],
        "TokenRequest" => &[META, (2, "spec", Message("TokenRequestSpec"))],
        "TokenRequestSpec" => &[(1, "audiences", Texts), (4, "expirationSeconds", Whole)],
        "Eviction" => &[META, (2, "deleteOptions", Message("DeleteOptions"))],
        "DeleteOptions" => &[
            (1, "gracePeriodSeconds", Whole),
            (2, "preconditions", Message("Preconditions")),
            (3, "orphanDependents", Flag),
            (4, "propagationPolicy", Text),
            (5, "dryRun", Texts),
        ],
        "Preconditions" => &[(1, "uid", Text), (2, "resourceVersion", Text)],
        "Role" | "ClusterRole" => &[META, (2, "rules", Messages("PolicyRule"))],
        "PolicyRule" => &[
            (1, "verbs", Texts),
            (2, "apiGroups", Texts),
            (3, "resources", Texts),
            (4, "resourceNames", Texts),
            (5, "nonResourceURLs", Texts),
        ],
        "RoleBinding" | "ClusterRoleBinding" => {
            &[META, (2, "subjects", Messages("Subject")), (3, "roleRef", Message("RoleRef"))]
        }
        "Subject" => &[(1, "kind", Text), (2, "apiGroup", Text), (3, "name", Text), (4, "namespace", Text)],
        "RoleRef" => &[(1, "apiGroup", Text), (2, "kind", Text), (3, "name", Text)],
        _ => return None,
    })
}

/// One field on the wire.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = number(bytes)?;
    let take = |bytes: &mut &'a [u8], length: usize| {
        let (taken, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(taken)
    };
    let value = match key & 7 {
        0 => Value::Number(number(bytes)?),
        1 => Value::Bytes(take(bytes, 8)?),
        2 => {
            let length = usize::try_from(number(bytes)?).ok()?;
            Value::Bytes(take(bytes, length)?)
        }
        5 => Value::Bytes(take(bytes, 4)?),
        _ => return None,
    };
    Some((key >> 3, value))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// Key and value of a map's entry.
fn entry(mut bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut key, mut value): (String, &[u8]) = (String::new(), &[]);
    while !bytes.is_empty() {
        match next(&mut bytes)? {
            (1, Value::Bytes(found)) => key = text(found)?,
            (2, Value::Bytes(found)) => value = found,
            _ => {}
        }
    }
    Some((key, value))
}

fn message(name: &str, mut bytes: &[u8]) -> Option<Json> {
    let known = fields(name)?;
    let mut object = Map::new();
    while !bytes.is_empty() {
        let (at, value) = next(&mut bytes)?;
        let Some((_, name, form)) = known.iter().find(|(field, _, _)| *field == at) else { continue };
        let mut push = |value: Json| match object.entry(*name).or_insert_with(|| json!([])) {
            Json::Array(items) => items.push(value),
            other => *other = value,
        };
        match (form, value) {
            // Go's encoder writes empty texts out.
            (Text, Value::Bytes([])) => {}
            (Text, Value::Bytes(found)) => {
                object.insert((*name).to_owned(), Json::from(text(found)?));
            }
            (Texts, Value::Bytes(found)) => push(Json::from(text(found)?)),
            (Messages(inner), Value::Bytes(found)) => push(message(inner, found)?),
            (Message(inner), Value::Bytes(found)) => {
                object.insert((*name).to_owned(), message(inner, found)?);
            }
            (Whole, Value::Number(found)) => {
                object.insert((*name).to_owned(), Json::from(found.cast_signed()));
            }
            (Flag, Value::Number(found)) => {
                object.insert((*name).to_owned(), Json::from(found != 0));
            }
            (TextMap | ByteMap, Value::Bytes(found)) => {
                let (key, value) = entry(found)?;
                let value = match form {
                    ByteMap => base64::engine::general_purpose::STANDARD.encode(value),
                    _ => text(value)?,
                };
                object.entry(*name).or_insert_with(|| json!({}))[key] = Json::from(value);
            }
            _ => return None,
        }
    }
    Some(Json::Object(object))
}

/// An object from its wire form; `None` when it is malformed or of a kind that is not in the table.
pub(crate) fn decode(bytes: &[u8]) -> Option<Json> {
    let mut envelope = bytes.strip_prefix(b"k8s\0")?;
    let (mut api_version, mut kind, mut raw): (String, String, &[u8]) = (String::new(), String::new(), &[]);
    while !envelope.is_empty() {
        match next(&mut envelope)? {
            (1, Value::Bytes(mut meta)) => {
                while !meta.is_empty() {
                    match next(&mut meta)? {
                        (1, Value::Bytes(found)) => api_version = text(found)?,
                        (2, Value::Bytes(found)) => kind = text(found)?,
                        _ => {}
                    }
                }
            }
            (2, Value::Bytes(found)) => raw = found,
            _ => {}
        }
    }
    let mut object = message(&kind, raw)?;
    object["apiVersion"] = Json::from(api_version);
    object["kind"] = Json::from(kind);
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).expect("short");
        [&[number << 3 | 2, length], bytes].concat()
    }

    #[test]
    fn a_config_map() {
        let meta = [field(1, b"a"), field(2, b""), field(11, &[field(1, b"k"), field(2, b"v")].concat())].concat();
        let data = [field(1, b"key"), field(2, b"value")].concat();
        let raw = [field(1, &meta), field(2, &data)].concat();
        let kind = [field(1, b"v1"), field(2, b"ConfigMap")].concat();
        let bytes = [b"k8s\0".to_vec(), field(1, &kind), field(2, &raw)].concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"k": "v"}},
            "data": {"key": "value"},
        });
        assert_eq!(decode(&bytes), Some(expected));
        assert_eq!(decode(&bytes[..bytes.len() - 3]), None, "cut short");
        assert_eq!(decode(b"noise"), None);
    }
}
