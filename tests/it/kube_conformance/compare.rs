//! Whether an answer is the recorded one, after what differs from run to run is made equal.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

/// Hashes of templates in names and labels: Kubernetes' own come from a dump of its Go structs, of which only
/// the length is known here.
#[derive(Clone, Debug, Default)]
pub struct Hashes(BTreeSet<String>);

impl Hashes {
    /// Adds those that a document mentions as labels or revisions.
    pub fn learn(&mut self, document: &Json) {
        match document {
            Json::Object(map) => {
                for (key, value) in map {
                    let text = value.as_str().unwrap_or_default();
                    let hash = match key.as_str() {
                        "pod-template-hash" => text,
                        "controller-revision-hash" | "currentRevision" | "updateRevision" => {
                            text.rsplit('-').next().unwrap_or_default()
                        }
                        _ => "",
                    };
                    if !hash.is_empty() {
                        self.0.insert(hash.to_owned());
                    }
                    // A Deployment's condition names its ReplicaSet.
                    if let Some((_, named)) = text.split_once("ReplicaSet \"").or(text.split_once("replica set \""))
                        && let Some((_, hash)) = named.split('"').next().and_then(|name| name.rsplit_once('-'))
                    {
                        self.0.insert(hash.to_owned());
                    }
                    self.learn(value);
                }
            }
            Json::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    fn mask(&self, text: &str) -> String {
        let text = self.0.iter().fold(text.to_owned(), |text, hash| text.replace(hash.as_str(), "<hash>"));
        // What follows a hash in a pod's name is made up.
        match text.split_once("<hash>-") {
            Some((stem, rest)) if rest.len() == 5 => format!("{stem}<hash>-<generated>"),
            _ => text,
        }
    }
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && text.ends_with('Z') && text.starts_with("2026-11")
}

fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, b)| if [8, 13, 18, 23].contains(&at) { b == b'-' } else { b.is_ascii_hexdigit() })
}

/// Makes equal what is different in every run.
pub struct Normal<'a> {
    /// Of the run that a document is from.
    pub hashes: &'a Hashes,
}

impl Normal<'_> {
    /// A whole document.
    pub fn document(&self, value: &Json) -> Json {
        self.value(value, "")
    }

    fn value(&self, value: &Json, key: &str) -> Json {
        match value {
            Json::Object(map) => {
                let generated = map.get("generateName").and_then(Json::as_str).map(str::len);
                let event = map.contains_key("involvedObject");
                let fields = map.iter().filter(|(key, _)| !vendors(key)).map(|(key, value)| {
                    let shown = match (key.as_str(), value.as_str(), generated) {
                        ("name", Some(name), Some(prefix)) if name.len() == prefix + 5 => json!("<generated>"),
                        ("metadata", _, _) if event => self.event_metadata(value),
                        _ => self.value(value, key),
                    };
                    let set = ["k:{\"uid\":", "k:{\"ip\":"].into_iter().find(|prefix| key.starts_with(*prefix));
                    (set.map_or_else(|| self.hashes.mask(key), |prefix| format!("{prefix}<any>}}")), shown)
                });
                Json::Object(fields.collect())
            }
            Json::Array(items) if key == "managedFields" => {
                // Order by time of writing: several fall into one second of the recording.
                let mut items: Vec<Json> = items.iter().map(|item| self.value(item, "")).collect();
                items.sort_by_key(|item| {
                    let mut copy = item.clone();
                    copy.sort_all_objects();
                    copy.to_string()
                });
                Json::Array(items)
            }
            Json::Array(items) if matches!(key, "clusterIPs" | "podIPs" | "addresses" | "cells") => {
                items.iter().map(|item| self.value(item, key.trim_end_matches('s'))).collect()
            }
            Json::Array(items) => items.iter().filter(|item| !is_vendors(item)).map(|i| self.value(i, "")).collect(),
            Json::String(text) => match key {
                "resourceVersion" => json!("<revision>"),
                "uid" if is_uid(text) => json!("<uid>"),
                "token" => json!("<token>"),
                "clusterIP" | "podIP" | "ip" => json!("<address>"),
                "addresse" if text.split('.').count() == 4 => json!("<address>"),
                "nodePort" => json!("<port>"),
                "continue" => json!(token(text)),
                "containerID" => json!("<container>"),
                // Whole seconds between two moments, the first of which fell anywhere within its own.
                "cell" if text.strip_suffix('s').is_some_and(|n| n.parse::<u32>().is_ok()) => json!("<seconds>"),
                "name" if text.starts_with("kube-api-access-") => json!("kube-api-access-<generated>"),
                _ if is_uid(text) && !text.starts_with("11111111") => json!("<uid>"),
                _ if is_time(text) => json!("<time>"),
                "message" => self.embedded(text),
                _ => json!(self.hashes.mask(text)),
            },
            Json::Number(_) if key == "nodePort" => json!("<port>"),
            other => other.clone(),
        }
    }

    /// An event's name ends in the nanosecond of its making.
    fn event_metadata(&self, metadata: &Json) -> Json {
        let mut metadata = self.value(metadata, "");
        if let Some((stem, time)) = metadata["name"].as_str().and_then(|name| name.rsplit_once('.'))
            && time.len() == 16
        {
            metadata["name"] = json!(format!("{stem}.<time>"));
        }
        metadata
    }

    /// A message, with the JSON document that it quotes read as JSON: its keys have no order.
    fn embedded(&self, text: &str) -> Json {
        let marker = "Invalid value: \"{";
        let Some(start) = text.find(marker).map(|at| at + marker.len() - 2) else { return json!(self.masked(text)) };
        let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<String>();
        let Some(Ok(quoted)) = stream.next() else { return json!(self.masked(text)) };
        let rest = &text[start + stream.byte_offset()..];
        let document: Json = serde_json::from_str(&quoted).unwrap_or_default();
        json!([&text[..start], self.document(&document), self.masked(rest)])
    }

    fn masked(&self, text: &str) -> String {
        let text = self.hashes.mask(text);
        let words = text.split_inclusive(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
        let mut out = String::new();
        for word in words {
            let end = word.len()
                - word.chars().last().filter(|c| !(c.is_ascii_hexdigit() || *c == '-')).map_or(0, char::len_utf8);
            if is_uid(&word[..end]) && !word.starts_with("11111111") {
                out += "<uid>";
                out += &word[end..];
            } else {
                out += word;
            }
        }
        ["ResourceVersion in record (", "too old resource version: ", "<revision> (", ", current: "]
            .into_iter()
            .fold(out, |text, marker| mask_number(&text, marker))
    }
}

/// What the recorded build adds to upstream's, or has and clusters of the simulated version have not yet.
fn vendors(key: &str) -> bool {
    matches!(key, "terminatingReplicas" | "f:terminatingReplicas")
}

/// The recorded build's own certificate beside every pod's token.
fn is_vendors(item: &Json) -> bool {
    item["configMap"]["name"] == "openshift-service-ca.crt"
}

/// Where a continued list goes on; the revision is this run's.
fn token(text: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let Ok(read) = serde_json::from_slice::<Json>(&bytes) else { return text.to_owned() };
    let fresh = read["rv"].as_i64().is_some_and(|revision| revision < 0);
    // Generated names are the run's own.
    let start = read["start"].as_str().unwrap_or_default();
    let start = if start.len() > 20 { "<generated>" } else { start };
    format!("<token of {} from {start}>", if fresh { "now" } else { "then" })
}

fn mask_number(text: &str, marker: &str) -> String {
    match text.split_once(marker) {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}{marker}<revision>{rest}")
        }
        None => text.to_owned(),
    }
}

/// The first place where two documents differ.
pub fn difference(path: &str, ours: &Json, theirs: &Json) -> Option<String> {
    match (ours, theirs) {
        (Json::Object(a), Json::Object(b)) => {
            for (key, value) in b {
                match a.get(key) {
                    Some(other) => {
                        if let Some(found) = difference(&format!("{path}.{key}"), other, value) {
                            return Some(found);
                        }
                    }
                    None => return Some(format!("{path}.{key} is missing, wanted {value}")),
                }
            }
            let extra = a.keys().find(|key| !b.contains_key(*key))?;
            Some(format!("{path}.{extra} is {} and should not be there", a[extra]))
        }
        (Json::Array(a), Json::Array(b)) if path.ends_with(".managedFields") && a.len() != b.len() => {
            Some(format!("{path} is {ours}, wanted {theirs}"))
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (x, y))| difference(&format!("{path}[{at}]"), x, y))
        }
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path} is {a}, wanted {b}")),
    }
}
