//! Rows and columns for `kubectl get`.

mod kinds;
mod pods;

use serde_json::{Value as Json, json};

use super::registry::Resource;
use super::server::ApiServer;
use crate::env::clock::Timestamp;

/// What a column is: its heading, type, format, whether it is only in wide output, and its cell.
struct Column {
    name: String,
    kind: &'static str,
    wide: bool,
    description: String,
    cell: Cell,
}

/// An object's text or number in a column, now.
type Cell = Box<dyn Fn(&Json, Timestamp) -> Json>;

fn column(name: &str, cell: impl Fn(&Json, Timestamp) -> Json + 'static) -> Column {
    Column { name: name.to_owned(), kind: "string", wide: false, description: String::new(), cell: Box::new(cell) }
}

impl Column {
    fn wide(self) -> Self {
        Column { wide: true, ..self }
    }

    fn of_type(self, kind: &'static str) -> Self {
        Column { kind, ..self }
    }
}

/// `5m`, `2d3h`: how kubectl writes an age.
pub(crate) fn human(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |whole: u64, unit: &str, rest: u64, small: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{small}") }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if days < 730 => format!("{days}d"),
        () => two(days / 365, "y", days % 365, "d"),
    }
}

fn age(object: &Json, now: Timestamp) -> Json {
    since(&object["metadata"]["creationTimestamp"], now)
}

fn since(time: &Json, now: Timestamp) -> Json {
    match time.as_str().and_then(Timestamp::parse) {
        Some(then) => Json::from(human(now.since(then).as_secs())),
        None => Json::from("<unknown>"),
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

fn or_none(text: String) -> Json {
    Json::from(if text.is_empty() { "<none>".to_owned() } else { text })
}

fn items(list: &Json) -> std::slice::Iter<'_, Json> {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn number(value: &Json) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn count(value: &Json) -> usize {
    value.as_array().map(Vec::len).or(value.as_object().map(serde_json::Map::len)).unwrap_or(0)
}

fn name() -> Column {
    column("Name", |o, _| o["metadata"]["name"].clone())
}

fn age_column() -> Column {
    column("Age", age)
}

fn condition<'a>(object: &'a Json, kind: &str) -> Option<&'a Json> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// The columns of a resource in a server of this minor version.
fn columns(resource: &Resource, minor: u32) -> Vec<Column> {
    match (kinds::columns(&resource.group, &resource.plural, minor), resource.crd_version()) {
        (Some(known), _) => known,
        (None, Some(version)) => printer_columns(version),
        (None, None) => vec![name(), age_column()],
    }
}

/// Walks a simple JSONPath: fields, and `[?(@.a=="b")]` filters.
fn walk(object: &Json, path: &str) -> Json {
    let mut value = object.clone();
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[?(@.") {
            let Some((test, after)) = inner.split_once(")]") else { return Json::Null };
            let Some((key, wanted)) = test.split_once("==") else { return Json::Null };
            let wanted = wanted.trim().trim_matches(['"', '\'']);
            let found = value.as_array().and_then(|list| list.iter().find(|item| item[key.trim()] == wanted));
            value = found.cloned().unwrap_or_default();
            rest = after.trim_start_matches('.');
        } else if let Some(inner) = rest.strip_prefix('[') {
            let Some((index, after)) = inner.split_once(']') else { return Json::Null };
            value = match index.trim_matches(['\'', '"']).parse::<usize>() {
                Ok(at) => value.get(at).cloned().unwrap_or_default(),
                Err(_) if index == "*" => value.get(0).cloned().unwrap_or_default(),
                Err(_) => value[index.trim_matches(['\'', '"'])].clone(),
            };
            rest = after.trim_start_matches('.');
        } else {
            let end = rest
                .char_indices()
                .find(|(at, c)| matches!(c, '.' | '[') && !rest[..*at].ends_with('\\'))
                .map_or(rest.len(), |(at, _)| at);
            value = value[rest[..end].replace("\\.", ".").as_str()].clone();
            rest = rest[end..].trim_start_matches('.');
        }
    }
    value
}

fn printer_columns(version: &Json) -> Vec<Column> {
    let given = version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default();
    let mut list = vec![name()];
    if given.is_empty() {
        list.push(Column { kind: "date", ..age_column() });
        if let Some(age) = list.last_mut() {
            age.description = "CreationTimestamp is a timestamp representing the server time when this object was \
                               created."
                .to_owned();
        }
        return list;
    }
    for entry in given {
        let path = text(&entry["jsonPath"]);
        let kind = match entry["type"].as_str() {
            Some("integer") => "integer",
            Some("number") => "number",
            Some("boolean") => "boolean",
            Some("date") => "date",
            _ => "string",
        };
        let description = match text(&entry["description"]) {
            text if text.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
            text => text,
        };
        let cell = move |object: &Json, now: Timestamp| {
            let value = walk(object, &path);
            match (kind, &value) {
                ("date", Json::String(_)) => since(&value, now),
                ("string", Json::Object(_) | Json::Array(_) | Json::Number(_) | Json::Bool(_)) => {
                    Json::from(text(&value))
                }
                _ => value,
            }
        };
        let wide = number(&entry["priority"]) > 0;
        list.push(Column { name: text(&entry["name"]), kind, wide, description, cell: Box::new(cell) });
    }
    list
}

const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although \
                                some resources may allow a client to request the generation of an appropriate name \
                                automatically. Name is primarily intended for creation idempotence and configuration \
                                definition. Cannot be updated. More info: \
                                https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

const AGE_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was \
                               created. It is not guaranteed to be set in happens-before order across separate \
                               operations. Clients may not set this value. It is represented in RFC3339 form and is \
                               in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
                               https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

const ADDRESSES_DESCRIPTION: &str = "List of addresses reachable to the node. Queried from cloud provider, if available. More info: \
     https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but \
     the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should \
     instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that \
     addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be \
     possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API \
     (status.hostIP).";

/// What a column's heading means.
fn describe<'a>(resource: &Resource, column: &'a Column) -> &'a str {
    if !column.description.is_empty() || resource.custom.is_some() {
        return &column.description;
    }
    match (resource.plural.as_str(), column.name.as_str()) {
        (_, "Age") => AGE_DESCRIPTION,
        ("configmaps", "Data") => {
            "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. \
             Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not \
             overlap with the keys in the BinaryData field, this is enforced during validation process."
        }
        ("namespaces", "Status") => "The status of the namespace",
        ("nodes", "Status") => "The status of the node",
        ("nodes", "Roles") => "The roles of the node",
        ("nodes", "Version") => "Kubelet Version reported by the node.",
        ("nodes", "Internal-IP" | "External-IP") => ADDRESSES_DESCRIPTION,
        ("nodes", "OS-Image") => {
            "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy))."
        }
        ("nodes", "Kernel-Version") => {
            "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64)."
        }
        ("nodes", "Container-Runtime") => {
            "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2)."
        }
        ("pods", "Ready") => "The aggregate readiness state of this pod for accepting traffic.",
        ("pods", "Status") => "The aggregate status of the containers in this pod.",
        ("pods", "Restarts") => {
            "The number of times the containers in this pod have been restarted and when the last container in this \
             pod has restarted."
        }
        _ => "",
    }
}

/// A table of objects.
pub(crate) fn many(
    server: &ApiServer,
    resource: &Resource,
    objects: &[std::sync::Arc<Json>],
    metadata: &Json,
    include: Option<&str>,
) -> Json {
    let now = server.clock.now();
    let columns = columns(resource, server.minor());
    let definitions: Vec<Json> = columns
        .iter()
        .map(|column| {
            let named = column.name == "Name";
            json!({
                "name": column.name,
                "type": column.kind,
                "format": if named { "name" } else { "" },
                "description": if named { NAME_DESCRIPTION } else { describe(resource, column) },
                "priority": i32::from(column.wide),
            })
        })
        .collect();
    let rows: Vec<Json> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Json> = columns.iter().map(|column| (column.cell)(object, now)).collect();
            let shown = match include {
                Some("None") => Json::Null,
                Some("Object") => (**object).clone(),
                _ => super::codec::partial(object),
            };
            json!({"cells": cells, "object": shown})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// A table of one object.
pub(crate) fn one(server: &ApiServer, resource: &Resource, object: &Json, include: Option<&str>) -> Json {
    let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
    many(server, resource, &[std::sync::Arc::new(object.clone())], &metadata, include)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let all =
            [(5, "5s"), (125, "2m5s"), (3_600, "60m"), (4 * 3_600 + 60, "4h1m"), (90_000, "25h"), (864_000, "10d")];
        for (seconds, expected) in all {
            assert_eq!(human(seconds), expected);
        }
    }

    #[test]
    fn json_paths() {
        let object = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"a": [1, 2]}});
        assert_eq!(walk(&object, ".status.conditions[?(@.type==\"Ready\")].status"), "True");
        assert_eq!(walk(&object, ".spec.a[1]"), 2);
        assert_eq!(walk(&object, ".gone.deep"), Json::Null);
    }
}
