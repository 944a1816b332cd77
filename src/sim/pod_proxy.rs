//! `pods/proxy`: pages of servers in pods, through the API server. The API server decides whether they may be read.
//!
//! As in the real one, `https:NAME:PORT` speaks TLS to the pod without asking whose certificate it is.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, Uri};
use axum::middleware::Next;
use serde_json::json;

use super::controllers::addons::vllm;
use super::kube::api::Gvk;
use super::serving::DataPlane;
use super::serving::connection::respond;
use super::serving::openai::{self, Request as Asking};

/// The largest body that goes through.
const MOST: usize = 1 << 20;

/// A page of a pod's server.
struct Door {
    namespace: String,
    pod: String,
    port: Option<u16>,
    tls: bool,
    tail: String,
}

fn door(path: &str) -> Option<Door> {
    let mut words = path.trim_start_matches('/').splitn(8, '/');
    let mut expect = |word: &str| (words.next()? == word).then_some(());
    expect("api")?;
    expect("v1")?;
    expect("namespaces")?;
    let namespace = words.next()?.to_owned();
    if words.next()? != "pods" {
        return None;
    }
    let name = words.next()?.replace("%3A", ":").replace("%3a", ":");
    if words.next()? != "proxy" {
        return None;
    }
    let (scheme, rest) = match name.split_once(':') {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        _ => ("http", name.as_str()),
    };
    let (pod, port) = rest.split_once(':').map_or((rest, None), |(pod, port)| (pod, port.parse().ok()));
    let tail = format!("/{}", words.next().unwrap_or_default());
    Some(Door { namespace, pod: pod.to_owned(), port, tls: scheme == "https", tail })
}

fn failure(status: StatusCode, reason: &str, message: String) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": status.as_u16()});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", axum::http::HeaderValue::from_static("application/json"));
    response
}

/// Answers for pods whose servers are simulated; all else goes to the API server.
pub(super) async fn pass_on(State(plane): State<Arc<DataPlane>>, request: Request, next: Next) -> Response<Body> {
    let Some(door) = door(request.uri().path()) else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST).await else {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "the body is too large".to_owned());
    };
    // Whether it may be read is the API server's to say, of the pod by its plain name.
    let plain = format!("/api/v1/namespaces/{}/pods/{}/proxy{}", door.namespace, door.pod, door.tail);
    let mut asked = parts.clone();
    asked.uri = plain.parse().unwrap_or(Uri::from_static("/"));
    let said = next.run(Request::from_parts(asked, Body::empty())).await;
    if said.status() != StatusCode::NOT_IMPLEMENTED {
        return said;
    }
    let unreachable = |why: &str| {
        failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", format!("error trying to reach service: {why}"))
    };
    let pod = plane.api.get(&Gvk::new("", "v1", "Pod"), &door.namespace, &door.pod);
    let port = door.port.unwrap_or(80);
    let Some((instance, model)) = pod.and_then(|pod| plane.model(&pod, port)) else {
        return unreachable(&format!("dial tcp: port {port}: connect: connection refused"));
    };
    match (door.tls, vllm::tls_files(&instance, &*plane.api).is_some()) {
        (true, false) => return unreachable("http: server gave HTTP response to HTTPS client"),
        (false, true) => return unreachable("EOF"),
        _ => {}
    }
    let request = Asking { method: parts.method, path: door.tail, headers: parts.headers, body };
    let (parts, body) = respond(openai::answer(&model, &plane.clock, request).await).into_parts();
    Response::from_parts(parts, Body::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_have_scheme_pod_port_and_path() {
        let found = door("/api/v1/namespaces/ns/pods/https:a-b:8000/proxy/v1/models").expect("a door");
        assert_eq!(
            (found.namespace.as_str(), found.pod.as_str(), found.port, found.tls),
            ("ns", "a-b", Some(8000), true)
        );
        assert_eq!(found.tail, "/v1/models");
        let found = door("/api/v1/namespaces/ns/pods/a-b%3A8000/proxy/metrics").expect("a door");
        assert_eq!(
            (found.pod.as_str(), found.port, found.tls, found.tail.as_str()),
            ("a-b", Some(8000), false, "/metrics")
        );
        assert!(door("/api/v1/namespaces/ns/pods/a/log").is_none());
    }
}
