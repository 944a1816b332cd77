//! What the API server refuses in new objects of built-in kinds in code, beyond the types of its OpenAPI:
//! names, words of closed lists, references inside of an object, fields that go together.
//!
//! For a plan: the JSON form of values that are known only at apply fits everywhere. Objects come with their
//! defaults. Types, required fields and unknown fields are `validate`'s and `prune`'s; updates of existing
//! objects and what only a cluster knows (quotas, existing objects, admission) are nobody's here.

mod access;
mod configuration;
pub mod names;
mod networking;
mod pods;
mod scaling;
mod workloads;

use serde_json::{Map, Value as Json};

use super::builtin;
use super::schema::Schema;
use super::validate::{FieldError, is_deferred};

/// Everything wrong with an object of a built-in kind (but for its metadata) whose types are right.
pub fn check(group: &str, kind: &str, schema: &Schema, object: &Json) -> Vec<FieldError> {
    let mut found = Vec::new();
    words(schema, object, &mut String::new(), &mut found);
    match (group, kind) {
        ("", "ConfigMap") => configuration::config_map(object, &mut found),
        ("", "Secret") => configuration::secret(object, &mut found),
        ("", "PersistentVolumeClaim") => configuration::claim("spec", &object["spec"], &mut found),
        ("", "ResourceQuota") => configuration::quota(object, &mut found),
        ("", "Service") => networking::service(object, &mut found),
        ("", "Pod") => pods::pod("spec", &object["spec"], &[], &mut found),
        ("apps" | "batch", _) => workloads::check(kind, object, &mut found),
        ("networking.k8s.io", "Ingress") => networking::ingress(object, &mut found),
        ("networking.k8s.io", "NetworkPolicy") => networking::policy(object, &mut found),
        ("rbac.authorization.k8s.io", _) => access::role(kind, object, &mut found),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            access::webhooks(object, &mut found);
        }
        ("autoscaling", "HorizontalPodAutoscaler") => scaling::autoscaler(object, &mut found),
        ("policy", "PodDisruptionBudget") => scaling::budget(object, &mut found),
        ("scheduling.k8s.io", "PriorityClass") => scaling::priority(object, &mut found),
        ("storage.k8s.io", "StorageClass") if is_empty(&object["provisioner"]) => {
            found.push(FieldError::required("provisioner", ""));
        }
        _ => {}
    }
    found
}

/// Everything wrong with the metadata of a new object of any kind.
pub fn metadata(group: &str, kind: &str, object: &Json) -> Vec<FieldError> {
    let mut found = Vec::new();
    let meta = &object["metadata"];
    match text(&meta["name"]) {
        Some(name) => object_name(group, kind, name, &mut found),
        None if is_empty(&meta["name"]) && is_empty(&meta["generateName"]) => {
            found.push(FieldError::required("metadata.name", "name or generateName is required"));
        }
        None => {}
    }
    if let Some(why) = text(&meta["namespace"]).and_then(names::label) {
        found.push(FieldError::invalid("metadata.namespace", meta["namespace"].clone(), why));
    }
    labels("metadata.labels", &meta["labels"], &mut found);
    annotations("metadata.annotations", &meta["annotations"], &mut found);
    for (at, finalizer) in items(&meta["finalizers"]) {
        let Some(name) = text(finalizer) else { continue };
        let path = || format!("metadata.finalizers[{at}]");
        let bad = names::qualified_name(name);
        found.extend(bad.into_iter().map(|why| FieldError::invalid(path(), name, why)));
        if !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion" | "kubernetes") {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            found.push(FieldError::invalid(path(), name, why));
        }
    }
    found
}

/// How long all annotations together may be.
const ANNOTATIONS: usize = 262_144;

fn object_name(group: &str, kind: &str, name: &str, found: &mut Vec<FieldError>) {
    let why = match (group, kind) {
        ("rbac.authorization.k8s.io", _) | ("networking.k8s.io", "IPAddress") => {
            let bad = name == "." || name == ".." || name.contains(['/', '%']);
            bad.then(|| "may not be '.' or '..' and may not contain '/' or '%'".to_owned())
        }
        ("", "Namespace") => names::label(name),
        ("", "Service") => {
            let fine = names::is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase());
            if fine { names::label(name) } else { Some(names::DNS_1035.to_owned()) }
        }
        // The name becomes a label of its pods, and part of their names.
        ("batch", "CronJob") if name.len() > 52 => Some("must be no more than 52 characters".to_owned()),
        ("apps", "StatefulSet") => names::label(name).map(|_| names::LABEL.to_owned()),
        _ => names::subdomain(name),
    };
    found.extend(why.map(|why| FieldError::invalid("metadata.name", name, why)));
}

/// Complaints about a map of labels.
fn labels(path: &str, labels: &Json, found: &mut Vec<FieldError>) {
    for (key, value) in entries(labels) {
        found.extend(names::qualified_name(key).into_iter().map(|why| FieldError::invalid(path, key.as_str(), why)));
        if let Some(text) = text(value)
            && let Some(why) = names::label_value(text)
        {
            found.push(FieldError::invalid(format!("{path}[{key}]"), text, why));
        }
    }
}

fn annotations(path: &str, annotations: &Json, found: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in entries(annotations) {
        size += key.len() + text(value).map_or(0, str::len);
        let bad = names::qualified_name(&key.to_lowercase());
        found.extend(bad.into_iter().map(|why| FieldError::invalid(path, key.as_str(), why)));
    }
    if size > ANNOTATIONS {
        found.push(FieldError::too_long(path, ANNOTATIONS));
    }
}

/// Words of closed lists, wherever the types have them.
fn words(schema: &Schema, value: &Json, path: &mut String, found: &mut Vec<FieldError>) {
    let length = path.len();
    match value {
        Json::Object(_) if is_deferred(value) => {}
        Json::Object(object) => {
            for (field, choices) in builtin::choices(schema.name).into_iter().flatten() {
                // An empty text counts as not given, where that is possible.
                let given = schema.required.iter().any(|required| **required == **field);
                let mut one = |value: &Json, at: String, given: bool| {
                    let taken = |word: &&str| choices.contains(word) || word.is_empty() && !given;
                    if let Some(word) = text(value).filter(|word| !taken(word)) {
                        found.push(FieldError::not_supported(at, word, choices.iter().copied()));
                    }
                };
                match object.get(*field) {
                    Some(Json::Array(items)) => items
                        .iter()
                        .enumerate()
                        .for_each(|(at, item)| one(item, join(path, &format!("{field}[{at}]")), true)),
                    Some(value) => one(value, join(path, field), given),
                    None => {}
                }
            }
            for (key, below) in object.iter().filter(|(_, below)| below.is_object() || below.is_array()) {
                if let Some(schema) = schema.child(key) {
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(key);
                    words(schema, below, path, found);
                    path.truncate(length);
                }
            }
        }
        Json::Array(items) => {
            let Some(schema) = &schema.items else { return };
            for (at, item) in items.iter().enumerate().filter(|(_, item)| item.is_object() || item.is_array()) {
                path.push_str(&format!("[{at}]"));
                words(schema, item, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// A label selector: operators with the values that they take, keys and values well-formed.
fn selector(path: &str, selector: &Json, found: &mut Vec<FieldError>) {
    labels(&format!("{path}.matchLabels"), &selector["matchLabels"], found);
    for (at, expression) in items(&selector["matchExpressions"]) {
        let path = format!("{path}.matchExpressions[{at}]");
        let (values, known) = (&expression["values"], !is_deferred(&expression["values"]));
        match text(&expression["operator"]) {
            Some("In" | "NotIn") if known && items(values).next().is_none() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                found.push(FieldError::required(format!("{path}.values"), why));
            }
            Some("Exists" | "DoesNotExist") if items(values).next().is_some() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                found.push(FieldError::forbidden(format!("{path}.values"), why));
            }
            _ => {}
        }
        if let Some(key) = text(&expression["key"]) {
            let bad = names::qualified_name(key);
            found.extend(bad.into_iter().map(|why| FieldError::invalid(format!("{path}.key"), key, why)));
        }
    }
}

/// A number of a port, or `None` when it is fine or not known.
fn port_number(path: &str, port: &Json) -> Option<FieldError> {
    let number = port.as_i64()?;
    let fine = (1..=65_535).contains(&number);
    (!fine).then(|| FieldError::invalid(path, number, "must be between 1 and 65535, inclusive"))
}

/// As [`port_number`] where there has to be one: none is zero.
fn needed_port(path: &str, port: &Json) -> Option<FieldError> {
    if port.is_null() { port_number(path, &Json::from(0)) } else { port_number(path, port) }
}

/// A number or name of a port.
fn port(path: &str, port: &Json) -> Option<FieldError> {
    match text(port) {
        Some(name) => names::port_name(name).map(|why| FieldError::invalid(path, name, why)),
        None => port_number(path, port),
    }
}

fn not_negative(path: &str, number: &Json) -> Option<FieldError> {
    let number = number.as_i64().filter(|number| *number < 0)?;
    Some(FieldError::invalid(path, number, "must be greater than or equal to 0"))
}

/// The text, when it is one and known.
fn text(value: &Json) -> Option<&str> {
    value.as_str()
}

/// Absent, null, or an empty text; never what is not known yet.
fn is_empty(value: &Json) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

/// The items of a list with their positions; none of what is not known yet.
fn items(value: &Json) -> impl Iterator<Item = (usize, &Json)> {
    value.as_array().into_iter().flatten().enumerate().filter(|(_, item)| !is_deferred(item))
}

/// The entries of a map; none of what is not known yet.
fn entries(value: &Json) -> impl Iterator<Item = (&String, &Json)> {
    value.as_object().filter(|_| !is_deferred(value)).into_iter().flatten()
}

/// The map; none when it is not known yet.
fn map(value: &Json) -> Option<&Map<String, Json>> {
    value.as_object().filter(|_| !is_deferred(value))
}

#[cfg(test)]
mod tests;
