//! JSON and YAML bodies: parsed once, with every duplicate key noted, and errors in the words that Go's
//! decoder uses for the cases clients meet.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// A parsed body.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The value; of duplicate keys the last.
    pub value: Json,
    /// Paths that occur twice, as `data.a`.
    pub duplicates: Vec<String>,
}

struct Seed<'a> {
    path: String,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let Seed { path, duplicates } = self;
        let mut items = Vec::new();
        loop {
            let inner = Seed { path: format!("{path}[{}]", items.len()), duplicates: &mut *duplicates };
            match seq.next_element_seed(inner)? {
                Some(item) => items.push(item),
                None => return Ok(Json::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let Seed { path, duplicates } = self;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if object.contains_key(&key) {
                duplicates.push(inner.clone());
            }
            let value = map.next_value_seed(Seed { path: inner, duplicates: &mut *duplicates })?;
            object.insert(key, value);
        }
        Ok(Json::Object(object))
    }
}

/// Parses JSON; the error is Go's sentence.
pub(crate) fn json(bytes: &[u8]) -> Result<Parsed, String> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed { path: String::new(), duplicates: &mut duplicates };
    let result = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match result {
        Ok(value) => Ok(Parsed { value, duplicates }),
        Err(error) if error.is_eof() => Err("unexpected end of JSON input".to_owned()),
        Err(error) => Err(syntax(bytes, &error)),
    }
}

fn syntax(bytes: &[u8], error: &serde_json::Error) -> String {
    let line = bytes.split(|&b| b == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let found = line.get(error.column().saturating_sub(1)).copied().map_or(' ', char::from);
    format!("invalid character '{found}' looking for beginning of value")
}

/// Parses the first document of a YAML text. The duplicates are sentences as Go's YAML library says them.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Parsed, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "yaml: invalid leading UTF-8 octet".to_owned())?;
    let text = first_document(text);
    let last_wins = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    let value: Json = serde_saphyr::from_str_with_options(text, last_wins).map_err(|error| explain(text, &error))?;
    Ok(Parsed { value, duplicates: twice(text) })
}

fn explain(text: &str, error: &serde_saphyr::Error) -> String {
    // Go names the cause, the parser here the token: the one a person makes by hand is told apart.
    let nested = text.lines().any(|line| line.matches(": ").count() > 1 && !line.contains(['"', '\'', '{']))
        || text.lines().any(|line| line.contains(": {") && line.matches(": ").count() > 1);
    if nested {
        return "yaml: mapping values are not allowed in this context".to_owned();
    }
    let first = error.to_string();
    format!("yaml: {}", first.lines().next().unwrap_or_default())
}

/// Everything before a second `---`.
fn first_document(text: &str) -> &str {
    let mut offset = 0;
    let mut content = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_end();
        if trimmed == "---" && content {
            return &text[..offset];
        }
        content |= !trimmed.is_empty() && trimmed != "---" && !trimmed.starts_with('#');
        offset += line.len();
    }
    text
}

/// Keys of block mappings that occur twice, with their line: `line 7: key "a" already set in map`.
fn twice(text: &str) -> Vec<String> {
    let mut open: Vec<(usize, Vec<String>)> = Vec::new();
    let mut found = Vec::new();
    let mut block_scalar: Option<usize> = None;
    for (number, line) in text.lines().enumerate() {
        let body = line.trim_start();
        let mut indent = line.len() - body.len();
        if block_scalar.is_some_and(|outer| body.is_empty() || indent > outer) {
            continue;
        }
        block_scalar = None;
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let mut rest = body;
        while let Some(item) = rest.strip_prefix("- ") {
            open.retain(|(at, _)| *at <= indent);
            indent += 2;
            open.retain(|(at, _)| *at < indent);
            rest = item.trim_start();
        }
        open.retain(|(at, _)| *at <= indent);
        let Some((key, value)) = rest.split_once(':') else { continue };
        if !(value.is_empty() || value.starts_with(' ')) {
            continue;
        }
        if matches!(value.trim().chars().next(), Some('|' | '>')) {
            block_scalar = Some(indent);
        }
        let key = key.trim_matches(['"', '\'']).to_owned();
        match open.iter_mut().find(|(at, _)| *at == indent) {
            Some((_, keys)) if keys.contains(&key) => {
                found.push(format!("line {}: key {key:?} already set in map", number + 1));
            }
            Some((_, keys)) => keys.push(key),
            None => open.push((indent, vec![key])),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_in_json() {
        let parsed = json(br#"{"data":{"a":"1","a":"2"},"l":[{"x":1,"x":2}]}"#).expect("parses");
        assert_eq!(parsed.duplicates, ["data.a", "l[0].x"]);
        assert_eq!(parsed.value["data"]["a"], "2");
        assert_eq!(json(b"").expect_err("empty"), "unexpected end of JSON input");
    }

    #[test]
    fn duplicates_in_yaml() {
        let text = "a:\n  b: 1\n  b: 2\nl:\n- x: 1\n- x: 1\nt: |\n  z: 1\n  z: 2\n";
        let parsed = yaml(text.as_bytes()).expect("parses");
        assert_eq!(parsed.duplicates, ["line 3: key \"b\" already set in map"]);
        assert_eq!(parsed.value["a"]["b"], 2);
    }

    #[test]
    fn only_the_first_document() {
        let parsed = yaml(b"a: 1\n---\na: 2\n").expect("parses");
        assert_eq!(parsed.value["a"], 1);
        let yes = yaml(b"a: y\n").expect("parses");
        assert_eq!(yes.value["a"], true, "YAML 1.1 booleans");
    }
}
