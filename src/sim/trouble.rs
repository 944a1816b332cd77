//! The world's rules of what goes wrong with requests, at the door of a cluster's API server.
//!
//! Google's own door is in `google`; which rules there are is `faults`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use tower::ServiceExt;

use super::faults::{Asked, Interference};
use super::google::Google;
use super::google::answer::{Refusal, respond};
use super::kube::api::Status;
use super::net::Closed;

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
        Some(Interference::Answer(refusal)) => return Ok(refused(&refusal)),
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
    router.oneshot(request).await.map_err(|never| match never {})
}

/// The refusal as an API server words it.
fn refused(refusal: &Refusal) -> Response<Body> {
    let (reason, message) = match refusal.code {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden: not allowed now"),
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
