//! Turns Google's answers into error classes: the one place that knows what they mean.
//!
//! A 403 has four meanings, a stock-out is never an HTTP error, and "busy" is a 400; only the ErrorInfo
//! reason or the text tells them apart. Not for Kubernetes answers (`provider::kube`).

use std::time::Duration;

use google_cloud_container_v1::model::{Operation, StatusCondition, operation, status_condition};
use google_cloud_gax::error::Error;
use google_cloud_gax::error::rpc::StatusDetails;

use crate::resource::error::{ErrorClass, ProviderError};

/// What a refusal says, however it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// HTTP status code.
    pub http: u16,
    /// Canonical code by name, `PERMISSION_DENIED`; empty when the body had none.
    pub status: &'a str,
    /// `reason` of the ErrorInfo detail.
    pub reason: Option<&'a str>,
    /// The text.
    pub message: &'a str,
}

/// The class of a refusal, and what the user can do about it.
pub fn refusal(answer: Answer<'_>) -> ProviderError {
    let class = class_of(answer);
    let mut error = ProviderError::new(class, sentence(answer.message, answer.http));
    error.hint = hint(class, answer.message);
    if class == ErrorClass::RateLimited {
        error.retry_after = Some(Duration::from_secs(10));
    }
    error
}

fn class_of(answer: Answer<'_>) -> ErrorClass {
    let text = answer.message.to_ascii_lowercase();
    // Said with the same reasons as of a service that is off, and with the word "quota" in it.
    if text.contains("requires a quota project") {
        return ErrorClass::Unauthenticated;
    }
    match answer.reason {
        Some("USER_PROJECT_DENIED") => return ErrorClass::Denied,
        Some("CLUSTER_ALREADY_HAS_OPERATION") => return ErrorClass::Busy,
        Some("SERVICE_DISABLED") => return ErrorClass::Disabled,
        Some("IAM_PERMISSION_DENIED") => return ErrorClass::Denied,
        Some("LOCATION_POLICY_VIOLATED") => return ErrorClass::Invalid,
        Some(reason) if reason.starts_with("INSUFFICIENT_QUOTA") => return ErrorClass::Quota,
        Some("RATE_LIMIT_EXCEEDED") => return ErrorClass::RateLimited,
        _ => {}
    }
    match (answer.http, answer.status) {
        (_, "FAILED_PRECONDITION") if is_busy(&text) => ErrorClass::Busy,
        (401, _) | (_, "UNAUTHENTICATED") => ErrorClass::Unauthenticated,
        (403, _) | (_, "PERMISSION_DENIED") => {
            if text.contains("quota") {
                ErrorClass::Quota
            } else if text.contains("has not been used in project") || text.contains("is not enabled for this project")
            {
                ErrorClass::Disabled
            } else if text.contains("permission denied on 'locations/") {
                ErrorClass::Invalid
            } else {
                ErrorClass::Denied
            }
        }
        (404, _) | (_, "NOT_FOUND") => ErrorClass::NotFound,
        (409, "ABORTED") | (412, _) => ErrorClass::Conflict,
        (409, _) | (_, "ALREADY_EXISTS") => ErrorClass::AlreadyExists,
        (429, _) | (_, "RESOURCE_EXHAUSTED") => {
            if text.contains("too many operations") {
                ErrorClass::Busy
            } else {
                ErrorClass::RateLimited
            }
        }
        (400 | 501, _) | (_, "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" | "UNIMPLEMENTED") => {
            ErrorClass::Invalid
        }
        (408 | 500 | 502 | 503 | 504, _) | (_, "UNAVAILABLE" | "INTERNAL" | "DEADLINE_EXCEEDED") => {
            ErrorClass::Unavailable
        }
        _ => ErrorClass::Unknown,
    }
}

/// The texts that GKE's page on concurrent operations lists, and those seen in public reports.
fn is_busy(text: &str) -> bool {
    text.contains("incompatible operation")
        || text.contains("please wait and try again")
        || (text.contains("currently") && (text.contains("operation") || text.contains("being")))
}

fn sentence(message: &str, http: u16) -> String {
    match message.trim() {
        "" => format!("Google Cloud answered {http} without a message"),
        text => text.trim_end_matches('.').to_owned(),
    }
}

fn hint(class: ErrorClass, message: &str) -> Option<String> {
    let text = match class {
        ErrorClass::Disabled => {
            "enable the service: gcloud services enable container.googleapis.com compute.googleapis.com"
        }
        ErrorClass::Quota => {
            "ask for more quota at https://console.cloud.google.com/iam-admin/quotas, or use another region or a smaller pool"
        }
        ErrorClass::Unauthenticated if message.contains("quota project") => QUOTA_PROJECT,
        ErrorClass::Denied if message.contains("to use project") => {
            "the account in use needs the role roles/serviceusage.serviceUsageConsumer in the quota project"
        }
        ErrorClass::StockOut => "try another zone (`location` or `fallback_locations`), or try again later",
        ErrorClass::Unauthenticated => LOGIN,
        ErrorClass::Denied => "the account in use needs the role roles/container.admin in this project",
        ErrorClass::Invalid if message.contains("'locations/") => {
            "check the spelling of `location`, and whether an organisation policy allows it"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// How to name the project that a user's calls are counted towards.
const QUOTA_PROJECT: &str =
    "gcloud auth application-default set-quota-project PROJECT, or set GOOGLE_CLOUD_QUOTA_PROJECT";

/// How to log in.
pub const LOGIN: &str =
    "log in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file";

/// The class of a failed call of Google's client.
pub fn failed_call(error: &Error) -> ProviderError {
    if let Some(status) = error.status() {
        let reason = status.details.iter().find_map(|detail| match detail {
            StatusDetails::ErrorInfo(info) => Some(info.reason.as_str()),
            _ => None,
        });
        let name = status.code.name();
        let http = error.http_status_code().unwrap_or_default();
        let mut refused = refusal(Answer { http, status: name, reason, message: &status.message });
        refused.retry_after = retry_after(error).or(refused.retry_after);
        return refused;
    }
    if error.is_authentication() {
        return ProviderError::new(ErrorClass::Unauthenticated, "no usable Google credentials").hint(LOGIN);
    }
    if error.is_serialization() || error.is_binding() {
        return ProviderError::new(ErrorClass::Invalid, format!("the request cannot be made: {}", chain(error)));
    }
    if let Some(http) = error.http_status_code() {
        let mut refused = refusal(Answer { http, ..Answer::default() });
        refused.retry_after = retry_after(error).or(refused.retry_after);
        return refused;
    }
    let what = if error.is_timeout() { "Google Cloud did not answer in time" } else { "cannot reach Google Cloud" };
    ProviderError::new(ErrorClass::Unavailable, format!("{what}: {}", chain(error)))
}

fn retry_after(error: &Error) -> Option<Duration> {
    let seconds = error.http_headers()?.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The error and its sources, each once. Where rustls points programmers to its manual is left out.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let said = |error: &dyn std::error::Error| match error.to_string().split_once(": https://docs.rs/") {
        Some((words, manual)) if !manual.contains(char::is_whitespace) => words.to_owned(),
        _ => error.to_string(),
    };
    let mut texts = vec![said(error)];
    let mut source = error.source();
    while let Some(inner) = source {
        let text = said(inner);
        if !texts.iter().any(|outer| outer.contains(&text)) {
            texts.push(text);
        }
        source = inner.source();
    }
    texts.join(": ")
}

/// The error of an operation that is over; `None` when it succeeded or still runs.
///
/// GKE reports failure in `error`, in the older `statusMessage`, or in both.
pub fn failed_operation(operation: &Operation) -> Option<ProviderError> {
    if operation.status != operation::Status::Done {
        return None;
    }
    let text = match &operation.error {
        Some(error) if !error.message.is_empty() => error.message.as_str(),
        Some(_) if operation.status_message.is_empty() => "the operation failed without a message",
        None if operation.status_message.is_empty() => return None,
        _ => operation.status_message.as_str(),
    };
    let conditions = operation.cluster_conditions.iter().chain(&operation.nodepool_conditions);
    Some(failure(text, conditions))
}

/// A failure that GKE describes by a text and conditions: of an operation, a cluster or a pool.
pub fn failure<'a>(text: &str, conditions: impl Iterator<Item = &'a StatusCondition>) -> ProviderError {
    let mut class = class_of_text(text);
    for condition in conditions {
        class = match condition.code {
            status_condition::Code::GceStockout => ErrorClass::StockOut,
            status_condition::Code::GceQuotaExceeded => ErrorClass::Quota,
            _ => class,
        };
    }
    let mut error = ProviderError::new(class, sentence(text, 200));
    error.hint = hint(class, text);
    error
}

/// The class that the text of an asynchronous failure implies: of GKE, or of an instance group's error
/// (`ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS`, `QUOTA_EXCEEDED`).
pub fn class_of_text(text: &str) -> ErrorClass {
    let lower = text.to_ascii_lowercase();
    let stock_out = ["gce_stockout", "resource_pool_exhausted", "does not have enough resources available", "stockout"];
    if stock_out.iter().any(|word| lower.contains(word)) {
        ErrorClass::StockOut
    } else if lower.contains("quota") {
        ErrorClass::Quota
    } else if lower.contains("permission") {
        ErrorClass::Denied
    } else {
        ErrorClass::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_each_thing_once_and_no_manual_for_programmers() {
        let inner = std::io::Error::other("peer closed connection: https://docs.rs/rustls/latest/rustls/manual/#eof");
        let outer = std::io::Error::other(Outer(inner));
        assert_eq!(chain(&outer), "SendRequest: peer closed connection");
        let about = std::io::Error::other("see: https://docs.rs/ for more");
        assert_eq!(chain(&about), "see: https://docs.rs/ for more");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("SendRequest")]
    struct Outer(#[source] std::io::Error);

    /// Which class each recorded error body is.
    const EXPECTED: &[(&str, ErrorClass)] = &[
        ("cluster_not_found", ErrorClass::NotFound),
        ("nodepool_not_found", ErrorClass::NotFound),
        ("operation_not_found", ErrorClass::NotFound),
        ("cluster_exists", ErrorClass::AlreadyExists),
        ("nodepool_exists", ErrorClass::AlreadyExists),
        ("cluster_busy", ErrorClass::Busy),
        ("cluster_busy_old_text", ErrorClass::Busy),
        ("too_many_operations", ErrorClass::Busy),
        ("quota_at_request", ErrorClass::Quota),
        ("iam_denied", ErrorClass::Denied),
        ("api_disabled", ErrorClass::Disabled),
        ("api_disabled_2", ErrorClass::Disabled),
        ("location_policy", ErrorClass::Invalid),
        ("bad_machine_type_zone", ErrorClass::Invalid),
        ("gpu_with_default_machine", ErrorClass::Invalid),
        ("tpu_topology_on_single_host", ErrorClass::Invalid),
        ("tpu_max_nodes", ErrorClass::Invalid),
        ("tpu_resize_multi_host", ErrorClass::Invalid),
        ("flex_start_no_autoscaling", ErrorClass::Invalid),
        ("flex_start_initial_nodes", ErrorClass::Invalid),
        ("flex_start_reservation", ErrorClass::Invalid),
        ("empty_update", ErrorClass::Invalid),
        ("bad_node_version", ErrorClass::Invalid),
        ("etag_mismatch", ErrorClass::Conflict),
        ("duplicate_pool_in_create", ErrorClass::Unavailable),
    ];

    #[test]
    fn every_recorded_body_has_its_class() {
        let Some(recorded) = crate::provider::recording("gke/errors.json") else { return };
        let errors = recorded["errors"].as_array().expect("errors");
        let mut seen = 0;
        for entry in errors {
            let Some(body) = entry.pointer("/response/body/error") else { continue };
            let name = entry["name"].as_str().expect("name");
            let reason = body["details"].as_array().into_iter().flatten().find_map(|d| d["reason"].as_str());
            let answer = Answer {
                http: u16::try_from(body["code"].as_u64().expect("code")).expect("small"),
                status: body["status"].as_str().unwrap_or_default(),
                reason,
                message: body["message"].as_str().expect("message"),
            };
            let expected = EXPECTED.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name} has no class"));
            assert_eq!(refusal(answer).class, expected.1, "{name}");
            // The same without the detail, as older answers come.
            assert_eq!(refusal(Answer { reason: None, ..answer }).class, expected.1, "{name} by its text");
            seen += 1;
        }
        assert!(seen >= 20, "only {seen} bodies");
    }

    #[test]
    fn a_login_without_a_quota_project_is_no_missing_quota() {
        let message = "Your application is authenticating by using local Application Default Credentials. The \
                       cloudresourcemanager.googleapis.com API requires a quota project, which is not set by default.";
        let error =
            refusal(Answer { http: 403, status: "PERMISSION_DENIED", reason: Some("SERVICE_DISABLED"), message });
        assert_eq!(error.class, ErrorClass::Unauthenticated);
        assert!(error.hint.expect("a hint").contains("set-quota-project"), "how to name one");
        let message = "Caller does not have required permission to use project p. Grant the caller the \
                       roles/serviceusage.serviceUsageConsumer role";
        let error =
            refusal(Answer { http: 403, status: "PERMISSION_DENIED", reason: Some("USER_PROJECT_DENIED"), message });
        assert_eq!(error.class, ErrorClass::Denied);
        assert!(error.hint.expect("a hint").contains("serviceUsageConsumer"), "the role");
    }

    #[test]
    fn a_done_operation_fails_by_error_or_by_status_message() {
        let running = Operation::new().set_status(operation::Status::Running).set_status_message("x");
        assert_eq!(failed_operation(&running), None);
        let fine = Operation::new().set_status(operation::Status::Done);
        assert_eq!(failed_operation(&fine), None);
        let text = "Google Compute Engine: Not all instances running in IGM after 35m11s. Current errors: \
                    [GCE_STOCKOUT]: Instance 'x' creation failed: The zone does not have enough resources available";
        let stock_out = fine.clone().set_status_message(text);
        assert_eq!(failed_operation(&stock_out).expect("failed").class, ErrorClass::StockOut);
        let quota = fine
            .set_status_message("Insufficient quota")
            .set_nodepool_conditions([StatusCondition::new().set_code(status_condition::Code::GceQuotaExceeded)]);
        let error = failed_operation(&quota).expect("failed");
        assert_eq!(error.class, ErrorClass::Quota);
        assert!(error.hint.is_some());
    }
}
