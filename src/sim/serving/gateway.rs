//! A connection to a load balancer's address: TLS, routes, rewriting, the last hop, the model.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{self, Certificates, Response, respond};
use super::openai::{self, Answer, Request};
use super::plane::DataPlane;
use super::routes::{self, Asking, Chosen, Filtered};
use super::{network, picking, upstream};
use crate::sim::controllers::addons::istio::attach::{self, Backend};
use crate::sim::controllers::addons::istio::{PROXY_CONTAINER, certificate, gateway_api};
use crate::sim::controllers::addons::objects::{core, label, list, number, text};
use crate::sim::controllers::addons::vllm;

/// Serves a connection to `destination`, an address of one of the cluster's load balancers, until it ends.
/// Nobody listening there ends it at once, as a refused connection would; [`DataPlane::reachable`] tells
/// beforehand.
///
/// # Errors
/// When the connection breaks or its TLS handshake fails.
pub async fn serve<S>(stream: S, plane: &Arc<DataPlane>, destination: SocketAddr) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some((pod, port)) = plane.accepting(destination) else {
        return Err(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "nobody listens there"));
    };
    serve_pod(stream, plane, &pod, port).await
}

/// Serves a connection that arrives at a pod's port: from a load balancer, or by port-forwarding.
///
/// # Errors
/// When nobody listens there, the connection breaks or its TLS handshake fails.
pub async fn serve_pod<S>(stream: S, plane: &Arc<DataPlane>, pod: &Arc<Json>, port: u16) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let is_gateway = list(pod, "/spec/containers")
        .iter()
        .any(|c| text(c, "/name") == PROXY_CONTAINER && text(c, "/args/1") == "router");
    if is_gateway {
        return serve_gateway(stream, plane, pod, port).await;
    }
    let refused = || std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "nobody listens there");
    let (instance, model) = plane.model(pod, port).ok_or_else(refused)?;
    let plane = plane.clone();
    let tls = vllm::tls_files(&instance, &*plane.api);
    let handle = move |request: hyper::Request<Incoming>| {
        let (model, clock) = (model.clone(), plane.clock.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = connection::read(body).await;
            let path = parts.uri.path().to_owned();
            let request = Request { method: parts.method, path, headers: parts.headers, body };
            respond(openai::answer(&model, &clock, request).await)
        }
    };
    match tls {
        // uvicorn offers no ALPN and speaks HTTP/1.1 only.
        Some((chain, key)) => {
            let certificates = Certificates::new(vec![(String::new(), chain, key)]);
            let (stream, _) = connection::accept_tls(stream, certificates, &[]).await?;
            connection::serve_http(stream, false, handle).await
        }
        None => connection::serve_http(stream, false, handle).await,
    }
}

async fn serve_gateway<S>(stream: S, plane: &Arc<DataPlane>, pod: &Arc<Json>, port: u16) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let home = text(pod, "/metadata/namespace");
    let name = label(pod, "gateway.networking.k8s.io/gateway-name");
    let gone = || std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the gateway has no configuration");
    let gateway = plane.api.get(&gateway_api("Gateway"), home, name).ok_or_else(gone)?;
    let listeners: Vec<Json> = list(&gateway, "/spec/listeners")
        .iter()
        .filter(|l| number(l, "/port") == Some(i64::from(port)))
        .cloned()
        .collect();
    if listeners.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "no listener has this port"));
    }
    let secure = listeners.iter().any(|l| text(l, "/protocol") == "HTTPS");
    let (plane, proxy) = (plane.clone(), pod.clone());
    if !secure {
        let handle =
            move |request| forward(plane.clone(), proxy.clone(), gateway.clone(), listeners.clone(), None, request);
        return connection::serve_http(stream, true, handle).await;
    }
    // A listener whose certificate cannot be read is not there.
    let mut certificates = Vec::new();
    for listener in &listeners {
        if let Ok(Some((chain, key))) = certificate(&*plane.api, &gateway, listener) {
            certificates.push((text(listener, "/hostname").to_owned(), chain, key));
        }
    }
    if certificates.is_empty() {
        return Err(gone());
    }
    let (stream, asked) = connection::accept_tls(stream, Certificates::new(certificates), &["h2", "http/1.1"]).await?;
    let asked = Some(asked.unwrap_or_default());
    let handle = move |request| {
        forward(plane.clone(), proxy.clone(), gateway.clone(), listeners.clone(), asked.clone(), request)
    };
    connection::serve_http(stream, true, handle).await
}

/// Envoy's answer of its own.
fn envoy(plane: &DataPlane, status: u16, text: &str) -> Answer {
    let media = if text.is_empty() { "" } else { "text/plain" };
    let mut answer = Answer::whole(status, media, text.to_owned());
    answer.headers.push(("server", "istio-envoy".to_owned()));
    answer.headers.push(("date", openai::http_date(&plane.clock)));
    answer
}

/// Forwards one request as the gateway's routes say. `server_name` is what a TLS client asked for.
async fn forward(
    plane: Arc<DataPlane>,
    proxy: Arc<Json>,
    gateway: Arc<Json>,
    listeners: Vec<Json>,
    server_name: Option<String>,
    request: hyper::Request<Incoming>,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = connection::read(body).await;
    let authority = parts.uri.authority().map(|a| a.as_str().to_owned());
    let header = parts.headers.get(http::header::HOST).and_then(|h| h.to_str().ok()).map(str::to_owned);
    let authority = authority.or(header).unwrap_or_default();
    let host = without_port(&authority).to_owned();
    let secure = server_name.is_some();
    let by = server_name.filter(|name| !name.is_empty()).unwrap_or_else(|| host.clone());
    let Some(listener) = listener_for(&listeners, &by, secure) else {
        return respond(envoy(&plane, 404, ""));
    };
    let mut headers = parts.headers.clone();
    let asking = Asking {
        method: &parts.method,
        host: &host,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
    };
    let Some(chosen) = routes::choose(&*plane.api, &gateway, listener, &asking) else {
        return respond(envoy(&plane, 404, ""));
    };
    let path = match routes::filter(&chosen, &asking, secure, &mut headers) {
        Filtered::Forward(path) => path,
        Filtered::Redirect(status, location) => {
            let mut answer = envoy(&plane, status, "");
            answer.headers.push(("location", location));
            return respond(answer);
        }
    };
    let forwarded = Request { method: parts.method.clone(), path, headers, body };
    respond(deliver(&plane, &proxy, &chosen, forwarded).await)
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    }
}

fn listener_for<'a>(listeners: &'a [Json], host: &str, secure: bool) -> Option<&'a Json> {
    let protocol = if secure { "HTTPS" } else { "HTTP" };
    let mut fitting: Vec<&Json> = listeners
        .iter()
        .filter(|l| text(l, "/protocol") == protocol && attach::host_matches(text(l, "/hostname"), host))
        .collect();
    fitting.sort_by_key(|l| (text(l, "/hostname").is_empty(), std::cmp::Reverse(text(l, "/hostname").len())));
    fitting.first().copied()
}

/// The backend of a rule, by weight and in turn.
fn backend(plane: &DataPlane, chosen: &Chosen) -> Result<Backend, u16> {
    let references = list(&chosen.rule, "/backendRefs");
    let mut weighted: Vec<&Json> = Vec::new();
    for reference in references {
        let weight = number(reference, "/weight").unwrap_or(1).clamp(0, 100);
        weighted.extend(std::iter::repeat_n(reference, usize::try_from(weight).unwrap_or(0)));
    }
    // A rule without backends, or with weight zero only, answers 500 by the Gateway API.
    let reference = plane.next_of(&weighted).ok_or(500_u16)?;
    let pools = if chosen.resolved { Some(text(reference, "/group")) } else { None };
    attach::backend(&*plane.api, &chosen.route, reference, pools).map_err(|_| 500)
}

async fn deliver(plane: &Arc<DataPlane>, proxy: &Json, chosen: &Chosen, request: Request) -> Answer {
    let backend = match backend(plane, chosen) {
        Ok(backend) => backend,
        Err(status) => return envoy(plane, status, ""),
    };
    let endpoints = attach::endpoints(&*plane.api, &backend.service, backend.port);
    let Some((pod, port)) = pick(plane, proxy, &backend, &endpoints, &request) else {
        return envoy(plane, 503, "no healthy upstream");
    };
    let Some((instance, model)) = plane.model(&pod, port) else {
        let refused = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote \
                       connection failure, transport failure reason: delayed connect error: Connection refused";
        return envoy(plane, 503, refused);
    };
    if !network::connects(&*plane.api, proxy, &pod, i64::from(port)) {
        let late = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: connection \
                    timeout";
        return envoy(plane, 503, late);
    }
    if let Err(why) = upstream::connect(plane, proxy, &backend.service, backend.port, &instance) {
        return envoy(plane, 503, &why);
    }
    let began = plane.clock.now();
    let mut answer = openai::answer(&model, &plane.clock, request).await;
    for (name, value) in &mut answer.headers {
        if *name == "server" {
            *value = "istio-envoy".to_owned();
        }
    }
    let took = plane.clock.now().since(began).as_millis();
    answer.headers.push(("x-envoy-upstream-service-time", took.to_string()));
    answer
}

/// The endpoint for a request: by the endpoint picker of a pool, else as the Service's rule says.
fn pick(
    plane: &DataPlane,
    proxy: &Json,
    backend: &Backend,
    endpoints: &[(Arc<Json>, u16)],
    request: &Request,
) -> Option<(Arc<Json>, u16)> {
    let in_turn = || plane.next_of(endpoints).cloned();
    let Some(pool) = &backend.pool else {
        return if upstream::takes_turns(plane, proxy, &backend.service, backend.port) {
            in_turn()
        } else {
            least(plane, endpoints)
        };
    };
    let reference = pool.pointer("/spec/endpointPickerRef").or_else(|| pool.pointer("/spec/extensionRef"))?;
    let port = number(reference, "/port/number").or_else(|| number(reference, "/portNumber")).unwrap_or(9002);
    let service = plane.api.get(&core("Service"), text(pool, "/metadata/namespace"), text(reference, "/name"));
    let picker = service.and_then(|service| {
        let pickers = attach::endpoints(&*plane.api, &service, port);
        let mut reached = pickers.into_iter().map(|(picker, _)| picker);
        reached.find(|picker| upstream::reaches_picker(plane, proxy, &service, port, picker))
    });
    match picker.and_then(|picker| picking::choose(plane, &picker, endpoints, request)) {
        Some(chosen) => Some(chosen),
        // A picker out of reach goes unnoticed where the pool fails open.
        None if text(reference, "/failureMode") == "FailOpen" => in_turn(),
        None => None,
    }
}

/// Envoy's way of its own: of two endpoints by chance, the one with fewer requests under way.
fn least(plane: &DataPlane, endpoints: &[(Arc<Json>, u16)]) -> Option<(Arc<Json>, u16)> {
    let count = endpoints.len();
    if count < 2 {
        return endpoints.first().cloned();
    }
    let chance = plane.chance();
    let first = chance % count;
    let second = (first + 1 + chance / count % (count - 1)) % count;
    let busy = |at: usize| {
        let (pod, port) = &endpoints[at];
        plane.model(pod, *port).map_or(u64::MAX, |(_, model)| model.counters().0.running)
    };
    endpoints.get(if busy(second) < busy(first) { second } else { first }).cloned()
}
