//! From what a client sent to an object of the kind: type checks, unknown fields, and the normal form that
//! decoding into the server's own types would give. Not validation of values, which is `rules`'.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::api::{Gvk, Status};
use super::fault::{self, FieldError};
use super::fields;
use super::registry::Resource;
use super::server::ApiServer;
use super::write::{Patch, Request, Validation, meta_text};
use crate::openapi::schema::Additional;
use crate::openapi::{Schema, Type};

/// An object as the server understands it.
#[derive(Debug)]
pub(crate) struct Read {
    /// The object in the request's version, with defaults still to come.
    pub object: Json,
    /// Sentences for `Warning` headers.
    pub warnings: Vec<String>,
}

/// The metadata, made when it is missing.
pub(crate) fn metadata(object: &mut Json) -> &mut Map<String, Json> {
    if !object["metadata"].is_object() {
        object["metadata"] = Json::Object(Map::new());
    }
    object["metadata"].as_object_mut().expect("just made sure")
}

/// The kind that a request's body has to be of.
fn expected_kind(request: &Request) -> Gvk {
    let resource = &request.resource;
    match resource.subresource(&request.subresource) {
        Some(sub) if !sub.version.is_empty() => Gvk::new(&sub.group, &sub.version, &sub.kind),
        Some(sub) => Gvk::new(&resource.group, &resource.version, &sub.kind),
        None => resource.gvk(),
    }
}

/// The Go package of a group's internal types.
pub(crate) fn internal_package(group: &str) -> &str {
    if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) }
}

fn check_kind(server: &ApiServer, request: &Request, object: &mut Json) -> Result<(), Status> {
    let expected = expected_kind(request);
    let given_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
    let given_kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if request.resource.custom.is_some() {
        if given_kind.is_empty() {
            return Err(fault::bad_request("Object 'Kind' is missing"));
        }
        if given_version != expected.api_version() {
            return Err(fault::bad_request(format!(
                "the API version in the data ({given_version}) does not match the expected API version ({})",
                expected.api_version()
            )));
        }
        if given_kind != expected.kind {
            let error =
                FieldError::invalid("kind", &Json::from(given_kind.as_str()), &format!("must be {}", expected.kind));
            let name = meta_text(object, "name").unwrap_or_default();
            return Err(fault::invalid(&expected.group, &given_kind, name, &[error]));
        }
    } else {
        let version = if given_version.is_empty() { expected.api_version() } else { given_version };
        let kind = if given_kind.is_empty() { expected.kind.clone() } else { given_kind };
        if version != expected.api_version() || kind != expected.kind {
            let given = Gvk::of(&serde_json::json!({"apiVersion": version, "kind": kind}));
            let known = given.as_ref().is_some_and(|gvk| server.registry().by_kind(gvk).is_some());
            let package = |gvk: &Gvk| format!("{}.{}", internal_package(&gvk.group), expected.kind);
            let why = match given {
                Some(gvk) if known => {
                    format!("converting ({}.{}) to ({}): unknown conversion", gvk.version, gvk.kind, package(&expected))
                }
                _ => format!(
                    "no kind {kind:?} is registered for version {version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
                ),
            };
            return Err(cannot_handle(&kind, &expected.version, &expected.kind, &why));
        }
    }
    let Some(map) = object.as_object_mut() else {
        return Err(fault::bad_request("the object provided is unrecognized"));
    };
    map.insert("kind".to_owned(), Json::from(expected.kind.clone()));
    map.insert("apiVersion".to_owned(), Json::from(expected.api_version()));
    Ok(())
}

fn cannot_handle(kind: &str, version: &str, wanted: &str, why: &str) -> Status {
    fault::bad_request(format!("{kind} in version {version:?} cannot be handled as a {wanted}: {why}"))
}

/// Checks and normalises a whole object sent by a client.
pub(crate) fn read(server: &ApiServer, request: &Request, object: Json) -> Result<Read, Status> {
    let duplicates = Vec::new();
    read_noting(server, request, object, duplicates)
}

/// As [`read`], with the duplicate keys that the parser met.
pub(crate) fn read_noting(
    server: &ApiServer,
    request: &Request,
    mut object: Json,
    duplicates: Vec<String>,
) -> Result<Read, Status> {
    check_kind(server, request, &mut object)?;
    let expected = expected_kind(request);
    decode(server, request, object, duplicates).map_err(|why| match why {
        Undecodable::Type(why) => cannot_handle(&expected.kind, &expected.version, &expected.kind, &why),
    })
}

enum Undecodable {
    Type(String),
}

/// As [`read`] for the outcome of a patch, where failures are the patch's.
pub(crate) fn read_patched(server: &ApiServer, request: &Request, mut object: Json) -> Result<Read, Status> {
    let text = object.to_string();
    let refused = |why: &str| {
        let error = FieldError::invalid("patch", &Json::from(text.clone()), why);
        fault::invalid("", "", "", &[error])
    };
    let expected = expected_kind(request);
    let given = Gvk::of(&object).unwrap_or_else(|| Gvk::new("", "", ""));
    if given != expected && request.resource.custom.is_none() {
        // The real server decodes into the kind that the patch asks for; the first thing that does not
        // fit is the content.
        let why = if given.group.is_empty() && given.kind == "Secret" {
            "illegal base64 data at input byte 0".to_owned()
        } else {
            format!("no kind {:?} is registered for version {:?}", given.kind, given.api_version())
        };
        return Err(refused(&why));
    }
    check_kind(server, request, &mut object)?;
    decode(server, request, object, Vec::new()).map_err(|why| match why {
        Undecodable::Type(why) => refused(&why),
    })
}

fn decode(
    server: &ApiServer,
    request: &Request,
    mut object: Json,
    duplicates: Vec<String>,
) -> Result<Read, Undecodable> {
    let resource = &request.resource;
    let schema = match resource.subresource(&request.subresource) {
        Some(sub) if !sub.version.is_empty() => crate::openapi::builtin::schema(&sub.group, &sub.version, &sub.kind),
        _ => server.schema(resource),
    };
    let mut strict: Vec<String> = Vec::new();
    if let Some(schema) = schema.as_deref() {
        if resource.custom.is_none() {
            fields::undecodable(schema, &object).map_err(Undecodable::Type)?;
        } else if let Some(meta) = schema.child("metadata") {
            fields::undecodable(meta, &object["metadata"]).map_err(Undecodable::Type)?;
        }
        strict.extend(duplicates.iter().map(|path| format!("duplicate field {path:?}")));
        let unknown = fields::prune(schema, &mut object);
        strict.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    }
    let mut warnings = Vec::new();
    match request.options.validation {
        Validation::Strict if !strict.is_empty() => {
            return Err(Undecodable::Type(format!("strict decoding error: {}", strict.join(", "))));
        }
        Validation::Warn => warnings = strict,
        _ => {}
    }
    canonical(resource, schema.as_deref(), &mut object);
    Ok(Read { object, warnings })
}

/// Gives a built-in object the form that storing it in typed fields gives: no nulls, no empty lists and maps.
pub(crate) fn canonical(resource: &Resource, schema: Option<&Schema>, object: &mut Json) {
    if resource.custom.is_some() {
        drop_empty_metadata(object);
        return;
    }
    if let Some(schema) = schema {
        normal_form(schema, object, true);
    }
    drop_empty_metadata(object);
}

/// Metadata has one form for every kind.
fn drop_empty_metadata(object: &mut Json) {
    let meta = metadata(object);
    meta.retain(|key, value| match value {
        Json::Null => false,
        Json::Array(items) => !items.is_empty(),
        Json::Object(map) => !map.is_empty(),
        Json::String(text) => !text.is_empty(),
        Json::Number(number) => key != "generation" || number.as_i64() != Some(0),
        Json::Bool(_) => true,
    });
}

/// Lists that the API writes out even when they are empty.
const KEPT_EMPTY: [&str; 3] = ["rules", "webhooks", "items"];

fn normal_form(schema: &Schema, value: &mut Json, root: bool) {
    match value {
        Json::Object(map) => {
            let is_map = matches!(schema.additional, Additional::Of(_) | Additional::Anything);
            if !is_map && !schema.keeps_unknown() {
                map.retain(|_, value| !value.is_null());
            }
            for (key, value) in map.iter_mut() {
                if let Some(child) = schema.child(key) {
                    if is_map && value.is_null() && child.kind == Type::String {
                        *value = Json::from("");
                    }
                    normal_form(child, value, false);
                }
            }
            map.retain(|key, value| {
                let Some(child) = schema.property(key) else { return true };
                match value {
                    Json::Array(items) => !items.is_empty() || (root && KEPT_EMPTY.contains(&key.as_str())),
                    Json::Object(inner) => {
                        !inner.is_empty()
                            || !matches!(child.schema.additional, Additional::Of(_))
                            || child.schema.kind != Type::Object
                    }
                    _ => true,
                }
            });
        }
        Json::Array(items) => {
            if let Some(inner) = &schema.items {
                items.iter_mut().for_each(|item| normal_form(inner, item, false));
            }
        }
        _ => {}
    }
}

/// Refuses an object whose name is not the one on the URL.
pub(crate) fn check_name(object: &Json, name: &str) -> Result<(), Status> {
    match meta_text(object, "name") {
        Some(given) if !given.is_empty() && given != name => Err(fault::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        ))),
        _ => Ok(()),
    }
}

/// Gives the object the name on the URL.
pub(crate) fn own_name(object: &mut Json, name: &str) -> Result<(), Status> {
    check_name(object, name)?;
    metadata(object).insert("name".to_owned(), Json::from(name));
    Ok(())
}

const OTHER_NAMESPACE: &str = "the namespace of the provided object does not match the namespace sent on the request";

/// Gives the object the namespace on the URL, refusing another.
pub(crate) fn own_namespace(resource: &Resource, object: &mut Json, namespace: &str) -> Result<(), Status> {
    let meta = metadata(object);
    if !resource.namespaced {
        meta.shift_remove("namespace");
        return Ok(());
    }
    match meta.get("namespace").and_then(Json::as_str) {
        Some(given) if !given.is_empty() && given != namespace => Err(fault::bad_request(OTHER_NAMESPACE)),
        _ => {
            meta.insert("namespace".to_owned(), Json::from(namespace));
            Ok(())
        }
    }
}

/// Removes from a new object what only the server gives.
pub(crate) fn wipe(object: &mut Json) {
    let meta = metadata(object);
    for key in ["uid", "creationTimestamp", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        meta.shift_remove(key);
    }
}

/// Applies a patch to the current object.
pub(crate) fn patched(
    server: &ApiServer,
    resource: &Resource,
    current: &Arc<Json>,
    patch: &Patch,
) -> Result<Json, Status> {
    let mut object = (**current).clone();
    match patch {
        Patch::Replace(object) => return Ok(object.clone()),
        Patch::Merge(patch) => fields::merge(&mut object, patch),
        Patch::Operations(operations) => {
            fields::operate(&mut object, operations).map_err(|_| fault::rejected_patch())?;
        }
        Patch::Strategic(patch) => {
            let schema = server.schema(resource);
            object = fields::strategic(schema.as_deref(), &object, patch).map_err(fault::bad_request)?;
        }
    }
    Ok(object)
}

/// Puts back what this writer has no say in.
pub(crate) fn keep(new: &mut Json, current: &Json, request: &Request) {
    let resource = &request.resource;
    let status = resource.subresource("status").is_some();
    let whole = (*current).clone();
    match request.subresource.as_str() {
        "" if status => {
            restore(new, current.get("status").cloned());
            if current.get("status").is_none() {
                new.as_object_mut().map(|map| map.shift_remove("status"));
            }
        }
        "status" | "approval" => {
            let status = new.get("status").cloned();
            let given = metadata(new).clone();
            *new = whole;
            match status {
                Some(status) => new["status"] = status,
                None => {
                    new.as_object_mut().map(|map| map.shift_remove("status"));
                }
            }
            let meta = metadata(new);
            let keys: &[&str] = if resource.custom.is_some() {
                &["managedFields", "resourceVersion", "uid"]
            } else {
                &["managedFields", "resourceVersion", "uid", "annotations", "finalizers"]
            };
            for key in keys {
                match given.get(*key) {
                    Some(value) => meta.insert((*key).to_owned(), value.clone()),
                    None => meta.shift_remove(*key),
                };
            }
        }
        "finalize" => {
            let finalizers = new["spec"].get("finalizers").cloned();
            *new = whole;
            match finalizers {
                Some(list) => new["spec"]["finalizers"] = list,
                None => {
                    new["spec"].as_object_mut().map(|spec| spec.shift_remove("finalizers"));
                }
            }
        }
        _ => {}
    }
    let meta = metadata(new);
    for key in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if let Some(value) = current["metadata"].get(key)
            && (!meta.contains_key(key) || key == "creationTimestamp")
        {
            meta.insert(key.to_owned(), value.clone());
        }
    }
    match current["metadata"].get("generation") {
        Some(generation) => meta.insert("generation".to_owned(), generation.clone()),
        None => meta.shift_remove("generation"),
    };
    meta.shift_remove("selfLink");
}

/// Checks of an applied configuration before it meets the live object.
pub(crate) fn check_applied(request: &Request, config: &Json) -> Result<(), Status> {
    let expected = expected_kind(request);
    let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if version != expected.api_version() || kind != expected.kind {
        let version = if version.contains('/') { version } else { format!("/{version}") };
        return Err(fault::bad_request(format!("invalid object type: {version}, Kind={kind}")));
    }
    if config["metadata"].get("managedFields").is_some_and(|m| !m.is_null()) {
        return Err(fault::bad_request("metadata.managedFields must be nil"));
    }
    if config["metadata"]["name"].is_string() || config["metadata"]["name"].is_null() {
        match meta_text(config, "name") {
            None | Some("") => {
                return Err(fault::bad_request(format!(
                    "the name of the object ({} based on URL) was undeterminable: name must be provided",
                    request.name
                )));
            }
            Some(_) => check_name(config, &request.name)?,
        }
    }
    match meta_text(config, "namespace") {
        Some(given) if !given.is_empty() && given != request.namespace && request.resource.namespaced => {
            Err(fault::bad_request(OTHER_NAMESPACE))
        }
        _ => Ok(()),
    }
}

/// Cuts the configuration to the part that the endpoint owns.
pub(crate) fn applied_part(config: &mut Json, request: &Request) {
    let Some(map) = config.as_object_mut() else { return };
    match request.subresource.as_str() {
        "" if request.resource.subresource("status").is_some() => {
            map.shift_remove("status");
        }
        "status" => map.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status")),
        _ => {}
    }
}

/// Puts a status back.
fn restore(object: &mut Json, status: Option<Json>) {
    if let Some(status) = status {
        object["status"] = status;
    }
}

/// The order in which the API writes metadata.
const METADATA: [&str; 14] = [
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// The order in which objects are written: apiVersion and kind, metadata in the API's order, the rest.
pub(crate) fn tidy(resource: &Resource, object: &mut Json) {
    let meta = metadata(object);
    let mut old = std::mem::take(meta);
    for key in METADATA {
        if let Some(value) = old.shift_remove(key) {
            meta.insert(key.to_owned(), value);
        }
    }
    meta.extend(old);
    drop_empty_metadata(object);
    let Some(map) = object.as_object_mut() else { return };
    let mut old = std::mem::take(map);
    let first = if resource.custom.is_some() { ["apiVersion", "kind"] } else { ["kind", "apiVersion"] };
    for key in [first[0], first[1], "metadata"] {
        if let Some(value) = old.shift_remove(key) {
            map.insert(key.to_owned(), value);
        }
    }
    map.extend(old);
}
