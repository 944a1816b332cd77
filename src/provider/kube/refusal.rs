//! What an API server's refusals mean: the one place that turns `metav1.Status` into error classes.
//!
//! Knows nothing of what was asked beyond its name; secret values are taken out of texts here.

use std::time::Duration;

use base64::Engine as _;
use serde_json::Value as Json;

use super::patience::SUPPLY;
use crate::resource::error::{ErrorClass, ProviderError};

/// A request that did not succeed.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The server answered with this code and `metav1.Status`.
    Answered {
        /// HTTP status code.
        code: u16,
        /// The Status, or `{"message": …}` when the body was none.
        status: Json,
    },
    /// No answer came.
    Failed(ProviderError),
}

impl Refusal {
    /// A failure without an answer.
    pub fn failed(class: ErrorClass, text: String) -> Self {
        Refusal::Failed(ProviderError::new(class, text))
    }

    /// Whether the object, or what it lives in, is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Refusal::Answered { code: 404, .. })
    }

    /// The code that was answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Refusal::Answered { code, .. } => Some(*code),
            Refusal::Failed(_) => None,
        }
    }

    /// Whether the same request may be answered in a moment: the server sheds load, restarts, or the connection
    /// broke. Not where it says so of what was asked for.
    pub fn is_passing(&self) -> bool {
        match self {
            Refusal::Answered { code, .. } => matches!(code, 429 | 502 | 503 | 504),
            Refusal::Failed(error) => error.class == ErrorClass::Unavailable && error.hint.is_none(),
        }
    }

    /// How long the server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::Answered { status, .. } => {
                status.pointer("/details/retryAfterSeconds").and_then(Json::as_u64).map(Duration::from_secs)
            }
            Refusal::Failed(_) => None,
        }
    }

    /// The class.
    pub fn class(&self) -> ErrorClass {
        self.error("the request", &Json::Null).class
    }

    /// As an error about `what`. `sent` is the document that was sent: its secret values never get into the text.
    pub fn error(&self, what: &str, sent: &Json) -> ProviderError {
        let (code, status) = match self {
            Refusal::Failed(error) => return error.clone(),
            Refusal::Answered { code, status } => (*code, status),
        };
        let reason = status["reason"].as_str().unwrap_or_default();
        let message = match status["message"].as_str() {
            Some(text) if !text.is_empty() => redact(text, sent),
            _ => format!("the API server answered {code} without a message"),
        };
        let causes = status.pointer("/details/causes").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        if reason == "Conflict" && causes.iter().any(|cause| cause["reason"] == "FieldManagerConflict") {
            return field_conflict(what, causes);
        }
        let class = class_of(code, reason, &message, causes, status);
        let mut error = ProviderError::new(class, format!("{what}: {message}"));
        error.retry_after =
            status.pointer("/details/retryAfterSeconds").and_then(Json::as_u64).map(Duration::from_secs);
        error.hint = hint(class, code, &message);
        error.patience = patience(class, &message);
        error
    }
}

fn class_of(code: u16, reason: &str, message: &str, causes: &[Json], status: &Json) -> ErrorClass {
    let said = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match code {
        401 => ErrorClass::Unauthenticated,
        403 if causes.iter().any(|cause| cause["reason"] == "NamespaceTerminating")
            || said(&["because it is being terminated"]) =>
        {
            ErrorClass::Unavailable
        }
        // The quota controller has not yet counted what was just created.
        403 if said(&["status unknown for quota"]) => ErrorClass::Unavailable,
        403 if said(&["exceeded quota", "insufficient quota"]) => ErrorClass::Quota,
        400 | 403 | 422 if said(&["denied the request", "denied request", "ValidatingAdmissionPolicy"]) => {
            ErrorClass::Invalid
        }
        403 => ErrorClass::Denied,
        // Either the namespace is missing, or the server does not serve the kind (yet).
        404 if status.pointer("/details/kind").and_then(Json::as_str) == Some("namespaces") => ErrorClass::Unavailable,
        404 if said(&["could not find the requested resource", "page not found"]) => ErrorClass::Unavailable,
        404 => ErrorClass::NotFound,
        409 if reason == "AlreadyExists" => ErrorClass::AlreadyExists,
        // The object of that uid is another by now.
        409 if said(&["UID", "uid"]) => ErrorClass::Conflict,
        // Two wrote at one time, or a namespace is going already: nothing was done, and the next try reads anew.
        409 => ErrorClass::Busy,
        429 => ErrorClass::RateLimited,
        // A create that must wait for its ServiceAccount's token, a CRD's storage, a webhook's certificate.
        500..=599 | 408 | 410 => ErrorClass::Unavailable,
        400 | 405 | 406 | 413 | 415 | 422 => ErrorClass::Invalid,
        _ => ErrorClass::Unknown,
    }
}

/// What the server says of the cluster's own state gets the time that others usually need to change it.
fn patience(class: ErrorClass, message: &str) -> Option<Duration> {
    let said = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match class {
        ErrorClass::Unavailable if said(&["failed calling webhook", "conversion webhook", "is being terminated"]) => {
            Some(SUPPLY)
        }
        _ => None,
    }
}

fn hint(class: ErrorClass, code: u16, message: &str) -> Option<String> {
    let text = match class {
        ErrorClass::Invalid if message.contains("immutable") => {
            "the field cannot be changed in place: replace the object with `--replace <address>`"
        }
        ErrorClass::Invalid if code == 400 && message.contains("strict decoding") => {
            "check the field's spelling and place; nothing was changed"
        }
        ErrorClass::Unauthenticated => "the token is not accepted: log in again",
        ErrorClass::Denied => "the account in use needs the role roles/container.admin, or a ClusterRoleBinding",
        ErrorClass::Quota if message.contains("match these scopes") => {
            "the namespace needs a ResourceQuota for the pod's priority class before the pods"
        }
        ErrorClass::Quota => "raise the namespace's ResourceQuota, or ask for less",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Names every manager and field, and the ways out.
fn field_conflict(what: &str, causes: &[Json]) -> ProviderError {
    let conflicts = causes.iter().filter(|cause| cause["reason"] == "FieldManagerConflict");
    let conflicts = conflicts.map(|cause| {
        let field = cause["field"].as_str().unwrap_or("a field").trim_start_matches('.');
        // `conflict with "kubectl" using apps/v1`
        let manager = cause["message"].as_str().and_then(|text| text.split('"').nth(1)).unwrap_or("another manager");
        format!("{field} is owned by \"{manager}\"")
    });
    let text = format!("{what}: {}", conflicts.collect::<Vec<_>>().join(", "));
    ProviderError::new(ErrorClass::Conflict, text).hint(
        "let the other manager keep the field by taking it out of the stack, \
         stop that manager, or take the field back with --force-conflicts",
    )
}

/// The text without any value of a Secret that was sent, encoded or not.
pub fn redact(text: &str, sent: &Json) -> String {
    let mut text = text.to_owned();
    if sent["kind"] != "Secret" {
        return text;
    }
    for part in ["data", "stringData"] {
        for value in sent[part].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()) {
            let decoded = base64::engine::general_purpose::STANDARD.decode(value).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
            for secret in [value, decoded.as_str()] {
                // Shorter ones would blot out the text without hiding anything.
                if secret.len() >= 4 {
                    text = text.replace(secret, "(sensitive)");
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answered(code: u16, status: Json) -> ProviderError {
        Refusal::Answered { code, status }.error("Deployment a/b", &Json::Null)
    }

    #[test]
    fn a_conflict_names_manager_and_field() {
        let error = answered(
            409,
            json!({"reason": "Conflict", "message": "Apply failed with 1 conflict", "details": {"causes": [
                {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using apps/v1",
                 "field": ".spec.replicas"}]}}),
        );
        assert_eq!(error.class, ErrorClass::Conflict);
        assert_eq!(error.message, "Deployment a/b: spec.replicas is owned by \"kubectl-edit\"");
        assert!(error.hint.is_some());
    }

    #[test]
    fn classes_follow_meaning_not_code() {
        let webhook = "Internal error occurred: failed calling webhook \"webhook.cert-manager.io\": failed to call \
                       webhook: Post \"https://x\": x509: certificate signed by unknown authority";
        for (code, reason, message, class) in [
            (500, "InternalError", webhook, ErrorClass::Unavailable),
            (503, "ServiceUnavailable", "no endpoints available for service \"x\"", ErrorClass::Unavailable),
            (404, "NotFound", "the server could not find the requested resource", ErrorClass::Unavailable),
            (404, "NotFound", "deployments.apps \"b\" not found", ErrorClass::NotFound),
            (403, "Forbidden", "pods \"x\" is forbidden: exceeded quota: q", ErrorClass::Quota),
            (403, "Forbidden", "secrets is forbidden: User \"u\" cannot list resource", ErrorClass::Denied),
            (403, "Forbidden", "admission webhook \"v\" denied the request: no", ErrorClass::Invalid),
            (
                403,
                "Forbidden",
                "x is forbidden: unable to create new content in namespace n because it is being terminated",
                ErrorClass::Unavailable,
            ),
            (422, "Invalid", "spec.selector: Invalid value: field is immutable", ErrorClass::Invalid),
            (429, "TooManyRequests", "slow down", ErrorClass::RateLimited),
            (401, "Unauthorized", "Unauthorized", ErrorClass::Unauthenticated),
            (409, "AlreadyExists", "exists", ErrorClass::AlreadyExists),
            (409, "Conflict", "Operation cannot be fulfilled on x: the object has been modified", ErrorClass::Busy),
            (
                409,
                "Conflict",
                "Precondition failed: UID in precondition: a, UID in object meta: b",
                ErrorClass::Conflict,
            ),
        ] {
            assert_eq!(answered(code, json!({"reason": reason, "message": message})).class, class, "{message}");
        }
        let missing = json!({"reason": "NotFound", "message": "namespaces \"n\" not found",
                             "details": {"name": "n", "kind": "namespaces"}});
        assert_eq!(answered(404, missing).class, ErrorClass::Unavailable);
    }

    #[test]
    fn secret_values_do_not_get_into_errors() {
        let sent = json!({"kind": "Secret", "data": {"token": "aGZfdmVyeXNlY3JldA=="}});
        let refusal = Refusal::Answered {
            code: 422,
            status: json!({"message": "data: Invalid value: \"hf_verysecret\" / aGZfdmVyeXNlY3JldA=="}),
        };
        let text = refusal.error("Secret a/b", &sent).message;
        assert!(!text.contains("verysecret") && !text.contains("aGZf"), "{text}");
    }
}
