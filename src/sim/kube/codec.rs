//! Media types: what a client accepts and sends, and answers in that form.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value as Json, json};

use super::api::Status;
use super::fault;

/// How an object is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Whole,
    /// Rows and columns.
    Table,
    /// Only its metadata.
    Metadata,
    /// Only the metadata of a list's items.
    MetadataList,
    /// Aggregated discovery.
    Discovery,
}

/// What a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub form: Form,
    /// YAML instead of JSON.
    pub yaml: bool,
}

impl Accepted {
    /// JSON objects as they are.
    pub const JSON: Accepted = Accepted { form: Form::Whole, yaml: false };
}

/// The forms that an endpoint can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Object,
    List,
    Discovery,
}

fn parameter<'a>(parameters: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
}

/// The first form of `Accept` that the endpoint can give.
pub(crate) fn negotiate(accept: &str, endpoint: Endpoint) -> Result<Accepted, Status> {
    if accept.trim().is_empty() {
        return Ok(Accepted::JSON);
    }
    let mut asked_for_view = false;
    for clause in accept.split(',') {
        let mut parts = clause.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let yaml = match media {
            "application/json" | "*/*" | "application/*" => false,
            "application/yaml" => true,
            _ => continue,
        };
        let view = parameter(&parameters, "as");
        let version = (parameter(&parameters, "g"), parameter(&parameters, "v"));
        let form = match (view, version) {
            (None, _) => Form::Whole,
            (Some("Table"), (Some("meta.k8s.io"), Some("v1"))) if endpoint != Endpoint::Discovery => Form::Table,
            (Some("PartialObjectMetadata"), (Some("meta.k8s.io"), Some("v1"))) if endpoint == Endpoint::Object => {
                Form::Metadata
            }
            (Some("PartialObjectMetadataList"), (Some("meta.k8s.io"), Some("v1"))) if endpoint == Endpoint::List => {
                Form::MetadataList
            }
            (Some("APIGroupDiscoveryList"), (Some("apidiscovery.k8s.io"), Some("v2")))
                if endpoint == Endpoint::Discovery =>
            {
                Form::Discovery
            }
            _ => {
                asked_for_view = true;
                continue;
            }
        };
        return Ok(Accepted { form, yaml });
    }
    if asked_for_view {
        let message = "only the following media types are accepted: application/json, application/yaml, \
                       application/vnd.kubernetes.protobuf";
        return Err(fault::not_acceptable(message, false));
    }
    let message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                   application/vnd.kubernetes.protobuf";
    Err(fault::not_acceptable(message, true))
}

/// A body of text.
pub(crate) fn text(code: u16, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// What a server says to a path that it has never heard of.
pub(crate) fn no_page() -> Response<Body> {
    let mut response = text(404, "404 page not found\n");
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// A body of JSON or YAML.
pub(crate) fn object(code: u16, accepted: Accepted, body: &Json) -> Response<Body> {
    let (kind, bytes) = if accepted.yaml {
        ("application/yaml", yaml(body).into_bytes())
    } else {
        let mut bytes = serde_json::to_vec(body).unwrap_or_default();
        bytes.push(b'\n');
        ("application/json", bytes)
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A failure.
pub(crate) fn failure(status: &Status) -> Response<Body> {
    let mut response = object(status.code, Accepted::JSON, &status.body);
    if let Some(seconds) = status.body["details"]["retryAfterSeconds"].as_u64() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_str());
            Json::Object(pairs.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        Json::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn yaml(body: &Json) -> String {
    serde_saphyr::to_string(&sorted(body)).unwrap_or_default()
}

/// Adds `Warning` headers, each sentence once.
pub(crate) fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    let mut said: Vec<&String> = Vec::new();
    for warning in warnings {
        if said.contains(&warning) {
            continue;
        }
        said.push(warning);
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}

/// `PartialObjectMetadata` of an object.
pub(crate) fn partial(object: &Json) -> Json {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_gets_a_table() {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(accept, Endpoint::List).map(|a| a.form), Ok(Form::Table));
        assert_eq!(negotiate(accept, Endpoint::Discovery).map(|a| a.form), Ok(Form::Whole));
    }

    #[test]
    fn the_first_known_type_counts() {
        let protobuf = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(negotiate(protobuf, Endpoint::Object), Ok(Accepted::JSON));
        assert_eq!(negotiate("text/html", Endpoint::Object).map_err(|s| s.code), Err(406));
    }
}
