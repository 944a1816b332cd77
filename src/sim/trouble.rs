//! The world's rules of what goes wrong with requests, at the door of a cluster's API server.
//!
//! Google's own door is in `google`; which rules there are is `faults`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use serde_json::Value as Json;
use tower::ServiceExt;

use super::faults::{Asked, Interference};
use super::google::Google;
use super::google::answer::{Refusal, respond};
use super::kube::api::Status;
use super::net::Closed;
use super::requests::Refused;

/// No answer that is an error is longer.
const LONGEST: usize = 1 << 20;

/// Passes a request to a cluster, unless a rule has it otherwise.
///
/// # Errors
/// The connection is to be closed; the request may have been carried out.
pub(super) async fn pass(
    google: Arc<Google>,
    router: Router,
    request: Request<Body>,
) -> Result<Response<Body>, Closed> {
    let (method, path) = (request.method().as_str().to_owned(), request.uri().path().to_owned());
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    match google.interfere(&Asked { method: &method, path: &path, token }) {
        Some(Interference::Answer(refusal)) => {
            return Ok(noted(&google, &method, &path, refused(&refusal, &method, &path)).await);
        }
        Some(Interference::Delay(delay)) => {
            let lent = google.clock.lend();
            google.clock.sleep(delay).await;
            drop(lent);
        }
        Some(Interference::HangUp) => {
            router.oneshot(request).await.map_err(|never| match never {})?;
            return Err(Closed);
        }
        None => {}
    }
    let response = router.oneshot(request).await.map_err(|never| match never {})?;
    Ok(if response.status().as_u16() >= 400 { noted(&google, &method, &path, response).await } else { response })
}

/// Notes an answer that is an error in the world's books.
async fn noted(google: &Google, method: &str, path: &str, response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, LONGEST).await.unwrap_or_default();
    let status: Json = serde_json::from_slice(&bytes).unwrap_or_default();
    let message = status["message"].as_str().unwrap_or_default().to_owned();
    let (at, code) = (google.clock.now(), parts.status.as_u16());
    google.requests.refuse(Refused { at, asked: format!("{method} {path}"), code, message });
    Response::from_parts(parts, Body::from(bytes))
}

/// The refusal as an API server words it.
fn refused(refusal: &Refusal, method: &str, path: &str) -> Response<Body> {
    let denied = forbidden(method, path);
    let (reason, message) = match refusal.code {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", denied.as_str()),
        429 => ("TooManyRequests", "too many requests, please try again later"),
        503 => ("ServiceUnavailable", "apiserver is shutting down"),
        504 => ("Timeout", "the server was unable to return a response in the time allotted"),
        _ => ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    };
    let mut response = respond(refusal.code, &Status::failure(refusal.code, reason, message).body);
    if refusal.code == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// What GKE's authoriser says to somebody without a role: RBAC has no rule, and IAM has not the permission.
fn forbidden(method: &str, path: &str) -> String {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match words.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => ("", words.as_slice()),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let plural = rest.first().copied().unwrap_or_default();
    let named = rest.get(1).map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let verb = match (method, rest.len()) {
        ("GET", 0 | 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        (other, _) => other,
    };
    let qualified = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    let scope = match namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let permission = format!("container.{plural}.{}", if verb == "patch" { "update" } else { verb });
    format!(
        "{qualified}{named} is forbidden: User \"user@example.com\" cannot {verb} resource \"{plural}\" in API group \
         \"{group}\" {scope}: requires one of [\"{permission}\"] permission(s)."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_role_is_told_the_permission() {
        let text = forbidden("PATCH", "/apis/apps/v1/namespaces/app/deployments/web");
        assert!(text.starts_with("deployments.apps \"web\" is forbidden: User"), "{text}");
        assert!(
            text.contains("in the namespace \"app\": requires one of [\"container.deployments.update\"]"),
            "{text}"
        );
        assert!(
            forbidden("GET", "/api/v1/nodes")
                .contains("cannot list resource \"nodes\" in API group \"\" at the cluster scope")
        );
    }
}
