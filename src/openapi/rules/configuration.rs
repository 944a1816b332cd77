//! Rules on ConfigMaps, Secrets and claims. Nothing here quotes what a Secret holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::{entries, is_empty, items, map, names, text};
use crate::openapi::quantity::Quantity;
use crate::openapi::validate::{FieldError, is_deferred};

/// How much one object may hold.
const MEBIBYTE: usize = 1_048_576;

/// Complaints about a ConfigMap.
pub(super) fn config_map(object: &Json, found: &mut Vec<FieldError>) {
    let mut size = 0;
    for list in ["data", "binaryData"] {
        for (key, value) in entries(&object[list]) {
            size += text(value).map_or(0, str::len);
            let path = || format!("{list}[{key}]");
            found.extend(names::data_key(key).map(|why| FieldError::invalid(path(), key.as_str(), why)));
            if list == "binaryData" && map(&object["data"]).is_some_and(|data| data.contains_key(key)) {
                found.push(FieldError::invalid(path(), key.as_str(), "duplicate of key present in data"));
            }
        }
    }
    if size > MEBIBYTE {
        found.push(FieldError::too_long("", MEBIBYTE));
    }
}

/// Complaints about a Secret.
pub(super) fn secret(object: &Json, found: &mut Vec<FieldError>) {
    let mut size = 0;
    for list in ["data", "stringData"] {
        for (key, value) in entries(&object[list]) {
            let path = || format!("{list}[{key}]");
            found.extend(names::data_key(key).map(|why| FieldError::invalid(path(), key.as_str(), why)));
            let Some(value) = text(value) else { continue };
            size += if list == "data" { value.len() / 4 * 3 } else { value.len() };
        }
    }
    if size > MEBIBYTE {
        found.push(FieldError::too_long("data", MEBIBYTE));
    }
    if is_deferred(&object["data"]) || is_deferred(&object["stringData"]) {
        return;
    }
    let held = |key: &str| !object["data"][key].is_null() || !object["stringData"][key].is_null();
    let annotated = |key: &str| !object["metadata"]["annotations"][key].is_null();
    let needed: &[&str] = match text(&object["type"]) {
        Some("kubernetes.io/tls") => &["tls.crt", "tls.key"],
        Some("kubernetes.io/dockerconfigjson") => &[".dockerconfigjson"],
        Some("kubernetes.io/dockercfg") => &[".dockercfg"],
        Some("kubernetes.io/ssh-auth") => &["ssh-privatekey"],
        Some("kubernetes.io/basic-auth") if !held("username") && !held("password") => &["username"],
        Some("kubernetes.io/service-account-token") if !annotated("kubernetes.io/service-account.name") => {
            let path = "metadata.annotations[kubernetes.io/service-account.name]";
            found.push(FieldError::required(path, ""));
            &[]
        }
        _ => &[],
    };
    let missing = needed.iter().filter(|key| !held(key));
    found.extend(missing.map(|key| FieldError::required(format!("data[{key}]"), "")));
    for (kind, key) in
        [("kubernetes.io/dockerconfigjson", ".dockerconfigjson"), ("kubernetes.io/dockercfg", ".dockercfg")]
    {
        if object["type"] == kind && !is_document(&object["data"][key], &object["stringData"][key]) {
            let (path, shown) = (format!("data[{key}]"), "<secret contents redacted>");
            found.push(FieldError::invalid(path, shown, "it is not a JSON document"));
        }
    }
}

/// Complaints about a quota.
pub(super) fn quota(object: &Json, found: &mut Vec<FieldError>) {
    for (name, amount) in entries(&object["spec"]["hard"]) {
        if Quantity::of(amount).is_some_and(|amount| amount.nanos() < 0) {
            let why = "must be greater than or equal to 0";
            found.push(FieldError::invalid(format!("spec.hard[{name}]"), amount.clone(), why));
        }
    }
    for (at, expression) in items(&object["spec"]["scopeSelector"]["matchExpressions"]) {
        let values = &expression["values"];
        if matches!(text(&expression["operator"]), Some("In" | "NotIn"))
            && !is_deferred(values)
            && items(values).next().is_none()
        {
            let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            let path = format!("spec.scopeSelector.matchExpressions[{at}].values");
            found.push(FieldError::required(path, why));
        }
    }
}

/// Whether the one or the other is JSON, as far as it is known.
fn is_document(encoded: &Json, plain: &Json) -> bool {
    let json = |bytes: &[u8]| serde_json::from_slice::<Json>(bytes).is_ok_and(|document| document.is_object());
    match (text(plain), text(encoded)) {
        (Some(plain), _) => json(plain.as_bytes()),
        (None, Some(encoded)) => STANDARD.decode(encoded).is_ok_and(|bytes| json(&bytes)),
        (None, None) => true,
    }
}

/// Complaints about a claim's spec.
pub(super) fn claim(path: &str, spec: &Json, found: &mut Vec<FieldError>) {
    if map(spec).is_none() {
        return;
    }
    let modes = &spec["accessModes"];
    if !is_deferred(modes) && items(modes).next().is_none() {
        found.push(FieldError::required(format!("{path}.accessModes"), "at least 1 access mode is required"));
    }
    if items(modes).count() > 1 && items(modes).any(|(_, mode)| text(mode) == Some("ReadWriteOncePod")) {
        let why = "may not use ReadWriteOncePod with other access modes";
        found.push(FieldError::forbidden(format!("{path}.accessModes"), why));
    }
    let requests = &spec["resources"]["requests"];
    if !is_deferred(&spec["resources"]) && !is_deferred(requests) && is_empty(&requests["storage"]) {
        found.push(FieldError::required(format!("{path}.resources[storage]"), ""));
    }
}
