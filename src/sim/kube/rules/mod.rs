//! What the API server refuses: rules on values, beyond types and unknown fields.

mod metadata;
mod workloads;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

pub(crate) use metadata::metadata;

use super::fault::FieldError;
use super::fields;
use super::registry::Resource;
use super::server::ApiServer;
use crate::openapi::Schema;

/// The complaints about an object of any kind, without its metadata's.
pub(crate) fn object(
    server: &ApiServer,
    resource: &Resource,
    schema: Option<&Schema>,
    object: &Json,
    old: Option<&Json>,
    subresource: &str,
) -> Vec<FieldError> {
    if resource.custom.is_some() {
        return custom(schema, object, old, subresource);
    }
    if subresource == "status" {
        return conditions(schema, object, old);
    }
    let errors = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "configmaps") => config_map(object, old),
        ("", "secrets") => secret(object, old),
        ("", "services") => service(server, object, old),
        ("", "pods") => workloads::pod(object, old),
        ("", "persistentvolumeclaims") => claim(object, old),
        ("apps", _) | ("batch", _) => workloads::controller(resource, object, old),
        ("apiextensions.k8s.io", _) => definition(object, old),
        ("rbac.authorization.k8s.io", _) => role(resource, object, old),
        ("storage.k8s.io", "storageclasses") => storage_class(object, old),
        ("scheduling.k8s.io", _) => priority_class(object, old),
        _ => Vec::new(),
    };
    match schema.filter(|_| errors.is_empty() && old.is_none() && subresource.is_empty()) {
        Some(schema) => fields::check_new(&resource.group, &resource.kind, schema, object),
        None => errors,
    }
}

fn custom(schema: Option<&Schema>, object: &Json, old: Option<&Json>, subresource: &str) -> Vec<FieldError> {
    let Some(schema) = schema else { return Vec::new() };
    match (subresource, schema.child("status")) {
        ("status", Some(status)) if object.get("status").is_some() => {
            let mut errors =
                fields::validate("status", status, &object["status"], old.and_then(|old| old.get("status")));
            // Rules of the whole object are skipped when a part of it does not fit.
            let unfit =
                |error: &FieldError| error.reason == "FieldValueTypeInvalid" || error.reason == "FieldValueRequired";
            if schema.rules_below && !status.rules_below && errors.iter().any(unfit) {
                let why = "some validation rules were not checked because the object was invalid; correct the existing \
                           errors to complete validation";
                errors.push(FieldError::invalid("<nil>", &Json::Null, why));
            }
            errors
        }
        ("status", _) => Vec::new(),
        _ => fields::validate("", schema, object, old),
    }
}

/// The complaints about conditions in the status of a built-in kind, where they are of the one type that all newer
/// kinds share (it asks for a reason; those of older kinds do not).
fn conditions(schema: Option<&Schema>, object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let shared = schema.and_then(|schema| schema.child("status")?.child("conditions")?.items.as_deref());
    if !shared.is_some_and(|item| item.required.iter().any(|key| **key == *"reason")) {
        return Vec::new();
    }
    let list = |object: &Json| object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let known = old.map(list).unwrap_or_default();
    let mut errors = Vec::new();
    for (at, condition) in list(object).iter().enumerate().filter(|(_, condition)| !known.contains(condition)) {
        let path = |key: &str| format!("status.conditions[{at}].{key}");
        let text = |key: &str| condition[key].as_str().unwrap_or_default();
        if !["True", "False", "Unknown"].contains(&text("status")) {
            errors.push(FieldError::unsupported(path("status"), &condition["status"], &["False", "True", "Unknown"]));
        }
        for key in ["lastTransitionTime", "reason"] {
            if text(key).is_empty() {
                errors.push(FieldError::required(path(key), "must be set"));
            }
        }
    }
    errors
}

const MEBIBYTE: usize = 1_048_576;

fn key_error(path: &str, key: &str) -> Option<FieldError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let field = format!("{path}[{key}]");
    if key.is_empty() || !key.chars().all(fine) {
        let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                      'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
        return Some(FieldError::invalid(field, &Json::from(key), detail));
    }
    None
}

fn keys(object: &Json, name: &str) -> Vec<String> {
    object[name].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

fn config_map(object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    let mut sorted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for list in ["data", "binaryData"] {
        let mut names = keys(object, list);
        names.sort();
        sorted.insert(list, names);
        for (_, value) in object[list].as_object().into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
        }
    }
    for list in ["data", "binaryData"] {
        errors.extend(sorted[list].iter().filter_map(|key| key_error(list, key)));
    }
    if size > MEBIBYTE {
        errors.push(FieldError::too_long("[]", MEBIBYTE));
    }
    errors.extend(immutable(object, old, &["data", "binaryData"]));
    errors
}

fn immutable(object: &Json, old: Option<&Json>, lists: &[&str]) -> Vec<FieldError> {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return Vec::new() };
    let why = "field is immutable when `immutable` is set";
    let mut errors = Vec::new();
    if object["immutable"] != true {
        errors.push(FieldError::forbidden("immutable", why));
    }
    let changed = lists.iter().filter(|list| object.get(**list) != old.get(**list));
    errors.extend(changed.map(|list| FieldError::forbidden(*list, why)));
    errors
}

fn secret(object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old
        && old["type"] != object["type"]
    {
        errors.push(FieldError::invalid("type", &object["type"], "field is immutable"));
    }
    let mut names = keys(object, "data");
    names.sort();
    errors.extend(names.iter().filter_map(|key| key_error("data", key)));
    let size: usize =
        object["data"].as_object().into_iter().flatten().map(|(_, v)| v.as_str().map_or(0, str::len) * 3 / 4).sum();
    if size > MEBIBYTE {
        errors.push(FieldError::too_long("data", MEBIBYTE));
    }
    let needed: &[&str] = match object["type"].as_str() {
        Some("kubernetes.io/tls") => &["tls.crt", "tls.key"],
        Some("kubernetes.io/dockerconfigjson") => &[".dockerconfigjson"],
        Some("kubernetes.io/dockercfg") => &[".dockercfg"],
        Some("kubernetes.io/ssh-auth") => &["ssh-privatekey"],
        _ => &[],
    };
    for key in needed {
        if object["data"].get(*key).is_none() {
            errors.push(FieldError::required(format!("data[{key}]"), ""));
        }
    }
    if object["type"] == "kubernetes.io/dockerconfigjson"
        && let Some(text) = object["data"][".dockerconfigjson"].as_str()
    {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
        if serde_json::from_slice::<Json>(&bytes).is_err() {
            let error = FieldError::invalid(
                "data[.dockerconfigjson]",
                &json!("<secret contents redacted>"),
                "invalid character",
            );
            errors.push(error);
        }
    }
    errors.extend(immutable(object, old, &["data"]));
    errors
}

fn service(server: &ApiServer, object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &object["spec"];
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    // From 1.36 on a name may begin with a digit.
    if old.is_none() && server.minor() < 36 && !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        let detail = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                      alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
                      regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
        errors.push(FieldError::invalid("metadata.name", &Json::from(name), detail));
    }
    let headless = spec["clusterIP"] == "None";
    let external = spec["type"] == "ExternalName";
    let ports = spec["ports"].as_array().cloned().unwrap_or_default();
    if ports.is_empty() && !headless && !external {
        errors.push(FieldError::required("spec.ports", ""));
    }
    let several = ports.len() > 1;
    let mut names: Vec<&str> = Vec::new();
    for (at, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{at}]");
        match port["name"].as_str() {
            None | Some("") if several => errors.push(FieldError::required(format!("{path}.name"), "")),
            Some(name) if names.contains(&name) => {
                errors.push(FieldError::duplicate(format!("{path}.name"), &json!(name)));
            }
            Some(name) => names.push(name),
            None => {}
        }
        let number = port["port"].as_i64().unwrap_or(0);
        if !(1..=65_535).contains(&number) {
            let detail = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(format!("{path}.port"), &json!(number), detail));
        }
        if let Some(target) = port["targetPort"].as_i64().filter(|target| !(1..=65_535).contains(target)) {
            let detail = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(format!("{path}.targetPort"), &json!(target), detail));
        }
    }
    if external && spec["externalName"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("spec.externalName", ""));
    }
    if let Some(old) = old {
        let was = old["spec"]["clusterIP"].as_str().unwrap_or_default();
        let kept = spec["clusterIP"] == was || was.is_empty() || external || old["spec"]["type"] == "ExternalName";
        if !kept {
            let value = json!([spec["clusterIP"]]);
            errors.push(FieldError::invalid("spec.clusterIPs[0]", &value, "may not change once set"));
        }
    }
    errors
}

fn claim(object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &object["spec"];
    if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
        errors.push(FieldError::required("spec.accessModes", "at least 1 access mode is required"));
    }
    if spec["resources"]["requests"]["storage"].is_null() {
        errors.push(FieldError::required("spec.resources[storage]", ""));
    }
    if let Some(old) = old {
        let bound = old["status"]["phase"] == "Bound";
        let frozen = |spec: &Json| {
            let mut copy = spec.clone();
            if let Some(map) = copy.as_object_mut() {
                if bound {
                    map.shift_remove("resources");
                }
                map.shift_remove("volumeName");
                map.shift_remove("volumeAttributesClassName");
            }
            copy
        };
        if frozen(spec) != frozen(&old["spec"]) {
            let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                       bound claims";
            errors.push(FieldError::forbidden("spec", why));
        }
    }
    errors
}

fn definition(object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut errors = fields::check_definition(object);
    if let Some(old) = old {
        let established = old["status"]["conditions"]
            .as_array()
            .is_some_and(|list| list.iter().any(|c| c["type"] == "Established" && c["status"] == "True"));
        let frozen: &[&str] = if established { &["group", "scope"] } else { &["group"] };
        for key in frozen {
            if object["spec"][*key] != old["spec"][*key] {
                errors.push(FieldError::invalid(format!("spec.{key}"), &object["spec"][*key], "field is immutable"));
            }
        }
        if established {
            for key in ["plural", "kind"] {
                let (new, was) = (&object["spec"]["names"][key], &old["spec"]["names"][key]);
                if new != was {
                    errors.push(FieldError::invalid(format!("spec.names.{key}"), new, "field is immutable"));
                }
            }
        }
        let versions = object["spec"]["versions"].as_array().cloned().unwrap_or_default();
        for (at, stored) in old["status"]["storedVersions"].as_array().into_iter().flatten().enumerate() {
            if !versions.iter().any(|v| v["name"] == *stored) {
                let why = "must appear in spec.versions";
                errors.push(FieldError::invalid(format!("status.storedVersions[{at}]"), stored, why));
            }
        }
    }
    errors
}

fn role(resource: &Resource, object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if matches!(resource.plural.as_str(), "roles" | "clusterroles") {
        for (at, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
            let empty = |key: &str| rule[key].as_array().is_none_or(Vec::is_empty);
            let path = format!("rules[{at}]");
            if empty("verbs") {
                errors.push(FieldError::required(format!("{path}.verbs"), "verbs must contain at least one value"));
            }
            if !empty("nonResourceURLs") {
                if resource.namespaced {
                    let why = "namespaced rules cannot apply to non-resource URLs";
                    errors.push(FieldError::invalid(format!("{path}.nonResourceURLs"), &rule["nonResourceURLs"], why));
                }
                continue;
            }
            if empty("apiGroups") {
                let why = "resource rules must supply at least one api group";
                errors.push(FieldError::required(format!("{path}.apiGroups"), why));
            }
            if empty("resources") {
                let why = "resource rules must supply at least one resource";
                errors.push(FieldError::required(format!("{path}.resources"), why));
            }
        }
        return errors;
    }
    let reference = &object["roleRef"];
    if let Some(old) = old
        && *reference != old["roleRef"]
    {
        let shown = json!({"APIGroup": reference["apiGroup"], "Kind": reference["kind"], "Name": reference["name"]});
        errors.push(FieldError::invalid("roleRef", &shown, "cannot change roleRef"));
    }
    if reference["apiGroup"] != "rbac.authorization.k8s.io" {
        let value = &reference["apiGroup"];
        errors.push(FieldError::unsupported("roleRef.apiGroup", value, &["rbac.authorization.k8s.io"]));
    }
    let kinds: &[&str] = if resource.namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !reference["kind"].as_str().is_some_and(|kind| kinds.contains(&kind)) {
        errors.push(FieldError::unsupported("roleRef.kind", &reference["kind"], kinds));
    }
    if reference["name"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    for (at, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
        let path = format!("subjects[{at}]");
        if subject["name"].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        let kinds = ["ServiceAccount", "User", "Group"];
        if !subject["kind"].as_str().is_some_and(|kind| kinds.contains(&kind)) {
            errors.push(FieldError::unsupported(format!("{path}.kind"), &subject["kind"], &kinds));
        }
        if subject["kind"] == "ServiceAccount"
            && !resource.namespaced
            && subject["namespace"].as_str().unwrap_or_default().is_empty()
        {
            errors.push(FieldError::required(format!("{path}.namespace"), ""));
        }
    }
    errors
}

fn storage_class(object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if object["provisioner"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("provisioner", ""));
    }
    if let Some(old) = old {
        for key in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            if object.get(key) != old.get(key) {
                errors.push(FieldError::forbidden(key, &format!("updates to {key} are forbidden.")));
            }
        }
    }
    errors
}

fn priority_class(object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let system = matches!(name, "system-node-critical" | "system-cluster-critical");
    if name.starts_with("system-") && !system {
        let why = "priority class names with 'system-' prefix are reserved for system use only";
        errors.push(FieldError::forbidden("metadata.name", why));
    }
    if !system && object["value"].as_i64().unwrap_or(0) > 1_000_000_000 {
        let why = "maximum allowed value of a user defined priority is 1000000000";
        errors.push(FieldError::forbidden("value", why));
    }
    if let Some(old) = old
        && object.get("value") != old.get("value")
    {
        errors.push(FieldError::forbidden("value", "may not be changed in an update."));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_the_shared_type_say_why() {
        let schema =
            |group: &str, kind: &str| crate::openapi::builtin::schema(group, "v1", kind).expect("a built-in kind");
        let object = |conditions: Json| json!({"status": {"conditions": conditions}});
        let told = |group: &str, kind: &str, object: &Json, old: Option<&Json>| {
            let errors = conditions(Some(&schema(group, kind)), object, old);
            errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>()
        };
        let time = "2026-01-01T00:00:00Z";
        let bare = json!([{"type": "DisruptionAllowed", "status": "True", "lastTransitionTime": time}]);
        let budget = "PodDisruptionBudget";
        assert_eq!(told("policy", budget, &object(bare.clone()), None).len(), 1);
        assert!(told("policy", budget, &object(bare.clone()), None)[0].starts_with("status.conditions[0].reason"));
        assert!(told("policy", budget, &object(bare.clone()), Some(&object(bare.clone()))).is_empty(), "as it was");
        let full = json!([{"type": "DisruptionAllowed", "status": "True", "lastTransitionTime": time, "reason": "SufficientPods"}]);
        assert!(told("policy", budget, &object(full), None).is_empty());
        let odd = json!([{"type": "DisruptionAllowed", "status": "Yes", "reason": "Why"}]);
        assert_eq!(told("policy", budget, &object(odd), None).len(), 2);
        // Deployments have had theirs before there was a shared type.
        assert!(told("apps", "Deployment", &object(bare), None).is_empty());
    }
}
