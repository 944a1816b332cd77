//! Requests and answers of Google's REST APIs, and the one shape of their errors.
//!
//! Texts and reasons are those that clients match on; each API decides which to send.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, header};
use serde_json::{Value as Json, json};

/// A request, taken apart.
#[derive(Debug)]
pub struct Call {
    /// HTTP method.
    pub method: Method,
    /// The path's segments after the leading slash, percent-decoded.
    pub segments: Vec<String>,
    /// Query parameters in order.
    pub query: Vec<(String, String)>,
    /// The `Authorization` header's bearer token.
    pub token: Option<String>,
    /// All headers.
    pub headers: axum::http::HeaderMap,
    /// The raw body.
    pub bytes: axum::body::Bytes,
}

/// No API here takes more than this; a container image or a model never passes through.
const LARGEST_BODY: usize = 64 << 20;

impl Call {
    /// Reads a request.
    ///
    /// # Errors
    /// 400 when the body cannot be read.
    pub async fn read(request: Request<Body>) -> Result<Call, Refusal> {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, LARGEST_BODY).await.map_err(|e| Refusal::invalid(e.to_string()))?;
        let segments = parts.uri.path().trim_start_matches('/').split('/').map(decode).collect();
        let query = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = query
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(&value.replace('+', " ")))
            })
            .collect();
        let token = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(|t| t.trim().to_owned());
        Ok(Call { method: parts.method, segments, query, token, headers: parts.headers, bytes })
    }

    /// The first value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; an empty one is `{}`.
    ///
    /// # Errors
    /// Google's 400 for a body that is not JSON.
    pub fn json(&self) -> Result<Json, Refusal> {
        if self.bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(json!({}));
        }
        serde_json::from_slice(&self.bytes)
            .map_err(|error| Refusal::invalid(format!("Invalid JSON payload received. {error}\n")))
    }

    /// `/a/b/c`.
    pub fn path(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }

    /// Whether the client asked for enums as numbers (`$alt=json;enum-encoding=int`).
    pub fn wants_numbers(&self) -> bool {
        self.query.iter().any(|(name, value)| name.ends_with("alt") && value.contains("enum-encoding=int"))
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'%').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Canonical name, `NOT_FOUND`; empty for Compute, which has none.
    pub status: &'static str,
    /// `errors[].reason`.
    pub reason: &'static str,
    /// The text.
    pub message: String,
    /// `ErrorInfo`: reason, domain, metadata.
    pub info: Option<Box<(&'static str, &'static str, Json)>>,
}

impl Refusal {
    /// From its parts.
    pub fn new(code: u16, status: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Refusal { code, status, reason, message: message.into(), info: None }
    }

    /// 400 INVALID_ARGUMENT.
    pub fn invalid(message: impl Into<String>) -> Self {
        Refusal::new(400, "INVALID_ARGUMENT", "badRequest", message)
    }

    /// 404 NOT_FOUND.
    pub fn not_found(message: impl Into<String>) -> Self {
        Refusal::new(404, "NOT_FOUND", "notFound", message)
    }

    /// 409 ALREADY_EXISTS.
    pub fn exists(message: impl Into<String>) -> Self {
        Refusal::new(409, "ALREADY_EXISTS", "alreadyExists", message)
    }

    /// 400 FAILED_PRECONDITION.
    pub fn precondition(message: impl Into<String>) -> Self {
        Refusal::new(400, "FAILED_PRECONDITION", "failedPrecondition", message)
    }

    /// 403 PERMISSION_DENIED.
    pub fn denied(message: impl Into<String>) -> Self {
        Refusal::new(403, "PERMISSION_DENIED", "forbidden", message)
    }

    /// Adds an `ErrorInfo`.
    #[must_use]
    pub fn because(mut self, reason: &'static str, domain: &'static str, metadata: Json) -> Self {
        self.info = Some(Box::new((reason, domain, metadata)));
        self
    }

    /// The body as the API sends it. `request_id` is 16 hexadecimal digits.
    pub fn body(&self, request_id: &str) -> Json {
        let mut error = json!({
            "code": self.code,
            "message": self.message,
            "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
        });
        if !self.status.is_empty() {
            error["status"] = json!(self.status);
            let mut details = vec![
                json!({"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": format!("0x{request_id}")}),
            ];
            if let Some((reason, domain, metadata)) = self.info.as_deref() {
                let mut info =
                    json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain});
                if metadata.as_object().is_some_and(|m| !m.is_empty()) {
                    info["metadata"] = metadata.clone();
                }
                details.push(info);
            }
            error["details"] = json!(details);
        }
        json!({ "error": error })
    }
}

/// A JSON response as Google's front end sends it.
pub fn respond(status: u16, body: &Json) -> Response<Body> {
    let text = if body.is_null() { String::new() } else { format!("{body:#}\n") };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json; charset=UTF-8")
        .header(header::SERVER, "ESF")
        .header(header::VARY, "Origin")
        .header(header::VARY, "X-Origin")
        .header(header::VARY, "Referer")
        .body(Body::from(text))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_shape_that_clients_read() {
        let refusal = Refusal::precondition("Cluster is running incompatible operation o.").because(
            "CLUSTER_ALREADY_HAS_OPERATION",
            "container.googleapis.com",
            json!({}),
        );
        let body = refusal.body("e7ae075979bd6d29");
        assert_eq!(body["error"]["errors"][0]["reason"], "failedPrecondition");
        assert_eq!(body["error"]["details"][0]["requestId"], "0xe7ae075979bd6d29");
        assert_eq!(body["error"]["details"][1]["reason"], "CLUSTER_ALREADY_HAS_OPERATION");
        assert!(body["error"]["details"][1].get("metadata").is_none());
    }

    #[tokio::test]
    async fn takes_requests_apart() {
        let request = Request::builder()
            .uri("/v1/projects/p/x:y?$alt=json;enum-encoding=int&q=a%20b")
            .header("authorization", "Bearer t")
            .body(Body::empty())
            .expect("request");
        let call = Call::read(request).await.expect("read");
        assert_eq!(call.segments, ["v1", "projects", "p", "x:y"]);
        assert_eq!((call.query("q"), call.token.as_deref()), (Some("a b"), Some("t")));
        assert!(call.wants_numbers());
        assert_eq!(call.json().expect("empty"), json!({}));
    }
}
