//! The failures an API server answers with, word for word. Not for deciding whether something failed.

use serde_json::{Map, Value as Json, json};

use super::api::Status;

/// One complaint about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// `spec.replicas`.
    pub field: String,
    /// `FieldValueInvalid`, …
    pub reason: &'static str,
    /// What follows `field: `.
    pub message: String,
}

impl FieldError {
    fn new(field: impl Into<String>, reason: &'static str, message: String) -> Self {
        FieldError { field: field.into(), reason, message }
    }

    /// `Invalid value: <value>: <detail>`.
    pub fn invalid(field: impl Into<String>, value: &Json, detail: &str) -> Self {
        Self::new(field, "FieldValueInvalid", format!("Invalid value: {value}: {detail}"))
    }

    /// `Required value`, with a detail when it is not empty.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self::new(field, "FieldValueRequired", message)
    }

    /// `Forbidden: <detail>`.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new(field, "FieldValueForbidden", format!("Forbidden: {detail}"))
    }

    /// `Unsupported value`, with the values that are supported, in order.
    pub fn unsupported(field: impl Into<String>, value: &Json, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", list.join(", "));
        Self::new(field, "FieldValueNotSupported", message)
    }

    /// Longer than `limit` bytes.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        Self::new(field, "FieldValueTooLong", format!("Too long: may not be more than {limit} bytes"))
    }

    /// The same value twice.
    pub fn duplicate(field: impl Into<String>, value: &Json) -> Self {
        Self::new(field, "FieldValueDuplicate", format!("Duplicate value: {value}"))
    }

    /// Refers to something that is not there.
    pub fn not_found(field: impl Into<String>, value: &Json) -> Self {
        Self::new(field, "FieldValueNotFound", format!("Not found: {value}"))
    }

    /// From another checker's words.
    pub fn other(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(field, reason, message.into())
    }

    fn cause(&self) -> Json {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

/// `widgets.example.com`, or the bare word for the core group.
pub(crate) fn qualified(word: &str, group: &str) -> String {
    if group.is_empty() { word.to_owned() } else { format!("{word}.{group}") }
}

fn details(name: &str, group: &str, kind: &str) -> Map<String, Json> {
    let mut map = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            map.insert(key.to_owned(), Json::from(value));
        }
    }
    map
}

fn build(code: u16, reason: &str, message: String, details: Option<Map<String, Json>>) -> Status {
    let mut status = Status::failure(code, reason, message);
    if let Some(body) = status.body.as_object_mut() {
        if reason.is_empty() {
            body.shift_remove("reason");
        }
        if let Some(details) = details {
            body.shift_remove("code");
            body.insert("details".to_owned(), Json::Object(details));
            body.insert("code".to_owned(), Json::from(code));
        }
    }
    status
}

/// 404 for an object.
pub(crate) fn not_found(group: &str, resource: &str, name: &str) -> Status {
    let message = format!("{} {name:?} not found", qualified(resource, group));
    build(404, "NotFound", message, Some(details(name, group, resource)))
}

/// 404 for a path that names no resource of a known group version.
pub(crate) fn unknown_resource() -> Status {
    let message = "the server could not find the requested resource".to_owned();
    build(404, "NotFound", message, Some(Map::new()))
}

/// 405.
pub(crate) fn method_not_allowed() -> Status {
    let message = "the server does not allow this method on the requested resource".to_owned();
    build(405, "MethodNotAllowed", message, Some(Map::new()))
}

/// 409 for a create; `deleting` when the one that is there is on its way out.
pub(crate) fn already_exists(group: &str, resource: &str, name: &str, deleting: bool) -> Status {
    let prefix = if deleting { "object is being deleted: " } else { "" };
    let message = format!("{prefix}{} {name:?} already exists", qualified(resource, group));
    build(409, "AlreadyExists", message, Some(details(name, group, resource)))
}

/// 409 for a stale write.
pub(crate) fn modified(group: &str, resource: &str, name: &str) -> Status {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    conflict(group, resource, name, why)
}

/// 409 with any explanation.
pub(crate) fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Status {
    let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(resource, group));
    build(409, "Conflict", message, Some(details(name, group, resource)))
}

/// 409 of server-side apply. `causes` are (message, field), `message` is the whole sentence.
pub(crate) fn apply_conflict(message: String, causes: &[(String, String)]) -> Status {
    let causes: Vec<Json> = causes
        .iter()
        .map(|(message, field)| json!({"reason": "FieldManagerConflict", "message": message, "field": field}))
        .collect();
    let mut map = Map::new();
    map.insert("causes".to_owned(), Json::Array(causes));
    build(409, "Conflict", message, Some(map))
}

/// 422 for an object of `kind` in `group`.
pub(crate) fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Status {
    let mut sentences: Vec<String> = Vec::new();
    for error in errors {
        let sentence = format!("{}: {}", error.field, error.message);
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    let text = match sentences.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let message = format!("{} {name:?} is invalid: {text}", qualified(kind, group));
    let mut map = details(name, group, kind);
    map.insert("causes".to_owned(), errors.iter().map(FieldError::cause).collect());
    build(422, "Invalid", message, Some(map))
}

/// 422 for a patch that cannot be carried out.
pub(crate) fn rejected_patch() -> Status {
    let message = "the server rejected our request due to an error in our request".to_owned();
    build(422, "Invalid", message, Some(Map::new()))
}

/// 400.
pub(crate) fn bad_request(message: impl Into<String>) -> Status {
    build(400, "BadRequest", message.into(), None)
}

/// 401.
pub(crate) fn unauthorized() -> Status {
    build(401, "Unauthorized", "Unauthorized".to_owned(), None)
}

/// 403 with any explanation.
pub(crate) fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Status {
    let message = if name.is_empty() {
        format!("{} is forbidden: {why}", qualified(resource, group))
    } else {
        format!("{} {name:?} is forbidden: {why}", qualified(resource, group))
    };
    build(403, "Forbidden", message, Some(details(name, group, resource)))
}

/// 403 because the namespace goes away.
pub(crate) fn namespace_terminating(group: &str, resource: &str, name: &str, namespace: &str) -> Status {
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut status = forbidden(group, resource, name, &why);
    status.body["details"]["causes"] = json!([{
        "reason": "NamespaceTerminating",
        "message": format!("namespace {namespace} is being terminated"),
        "field": "metadata.namespace",
    }]);
    status
}

/// 500 `InternalError`.
pub(crate) fn internal(message: &str) -> Status {
    let mut map = Map::new();
    map.insert("causes".to_owned(), json!([{"message": message}]));
    build(500, "InternalError", format!("Internal error occurred: {message}"), Some(map))
}

/// 500 without a reason: an error nobody classified.
pub(crate) fn unclassified(message: impl Into<String>) -> Status {
    build(500, "", message.into(), None)
}

/// 406.
pub(crate) fn not_acceptable(message: &str, with_details: bool) -> Status {
    build(406, "NotAcceptable", message.to_owned(), with_details.then(Map::new))
}

/// 415.
pub(crate) fn unsupported_media_type(message: &str, with_details: bool) -> Status {
    build(415, "UnsupportedMediaType", message.to_owned(), with_details.then(Map::new))
}

/// 413.
pub(crate) fn too_large(limit: usize) -> Status {
    build(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"), None)
}

/// 410 of a watch, list or continue token that is too old.
pub(crate) fn expired(message: impl Into<String>) -> Status {
    build(410, "Expired", message.into(), None)
}

/// 429 that asks to come again.
pub(crate) fn too_many_requests(message: &str, causes: Json) -> Status {
    let mut map = Map::new();
    map.insert("causes".to_owned(), causes);
    build(429, "TooManyRequests", message.to_owned(), Some(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_errors_are_listed_once_each() {
        let error = FieldError::required("a", "");
        let status = invalid("apps", "Deployment", "d", &[error.clone(), error, FieldError::required("b", "x")]);
        assert_eq!(status.message(), "Deployment.apps \"d\" is invalid: [a: Required value, b: Required value: x]");
        assert_eq!(status.body["details"]["causes"].as_array().map(Vec::len), Some(3));
    }
}
