//! How requests reach a model: the HTTPRoute, and on Red Hat's build the DestinationRules.

use serde_json::{Value as Json, json};

use super::super::istio::{gateway_api, networking};
use super::super::objects::{
    Condition, annotation, child_name, condition, core, generation, is_true, label, list, metadata, name, namespace,
    number, text,
};
use super::super::work::Work;
use super::workload::{PORT, labels, service_name};
use super::{MANAGER, Settings, is_red_hat};
use crate::sim::kube::api::{Gvk, Status};

/// The Gateways a service is reached through: namespace and name.
pub fn gateways(service: &Json, spec: &Json, settings: &Settings) -> Vec<(String, String)> {
    let refs = list(spec, "/router/gateway/refs");
    if refs.is_empty() {
        return vec![(settings.gateway_namespace.clone(), settings.gateway_name.clone())];
    }
    let home = |r: &Json| match text(r, "/namespace") {
        "" => namespace(service).to_owned(),
        home => home.to_owned(),
    };
    refs.iter().map(|r| (home(r), text(r, "/name").to_owned())).collect()
}

/// The name of the route that the controller keeps.
pub fn route_name(service: &Json) -> String {
    child_name(name(service), "-kserve-route")
}

/// The rules of a managed route, where the preset leaves them out.
fn managed_rules(service: &Json, spec: &Json, settings: &Settings) -> Json {
    let (home, own) = (namespace(service), name(service));
    let model = format!("publishers/{home}/models/{}", text(spec, "/model/name"));
    let pool = json!({"group": "inference.networking.k8s.io", "kind": "InferencePool",
        "name": child_name(own, "-inference-pool"), "port": PORT, "weight": 1});
    let direct = json!({"group": "", "kind": "Service", "name": service_name(service), "port": PORT, "weight": 1});
    let rule = |path: String, to: &str, backend: &Json| {
        json!({
            "matches": [{"path": {"type": "PathPrefix", "value": path}}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"path":
                {"type": "ReplacePrefixMatch", "replacePrefixMatch": to}}}],
            "backendRefs": [backend], "timeouts": {"request": "0s", "backendRequest": "0s"},
        })
    };
    let mut rules = Vec::new();
    for prefix in [format!("/{home}/{own}"), format!("/{model}")] {
        for call in ["completions", "chat/completions", "responses", "messages"] {
            rules.push(rule(format!("{prefix}/v1/{call}"), &format!("/v1/{call}"), &pool));
        }
    }
    rules.push(rule(format!("/{home}/{own}"), "/", &direct));
    rules.push(rule(format!("/{model}"), "/", &direct));
    rules.push(json!({
        "matches": [{"path": {"type": "PathPrefix", "value": "/"},
            "headers": [{"type": "Exact", "name": settings.routing_header, "value": model}]}],
        "backendRefs": [direct], "timeouts": {"request": "0s", "backendRequest": "0s"},
    }));
    json!(rules)
}

/// Keeps the managed HTTPRoute.
///
/// # Errors
/// As the API server says; also when the Gateway or its class is missing, after the route was written.
pub async fn route(work: &Work, service: &Json, spec: &Json, settings: &Settings, fresh: bool) -> Result<(), Status> {
    let parents: Vec<Json> = gateways(service, spec, settings)
        .into_iter()
        .map(|(home, name)| json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": home, "name": name}))
        .collect();
    let mut route = spec.pointer("/router/route/http/spec").cloned().unwrap_or_else(|| json!({}));
    route["parentRefs"] = json!(parents);
    if list(&route, "/rules").is_empty() {
        route["rules"] = managed_rules(service, spec, settings);
    }
    let scheduled = spec.pointer("/router/scheduler").is_some_and(|s| !s.is_null());
    let home = namespace(service);
    let existing = work.api.get(&gateway_api("HTTPRoute"), home, &route_name(service));
    let migrated = existing.as_ref().is_some_and(|r| migrated(r));
    for backend in route
        .get_mut("rules")
        .and_then(Json::as_array_mut)
        .into_iter()
        .flatten()
        .flat_map(|rule| rule.get_mut("backendRefs").and_then(Json::as_array_mut).into_iter().flatten())
    {
        if backend["kind"] != "InferencePool" {
            continue;
        }
        if !scheduled {
            backend["group"] = json!("");
            backend["kind"] = json!("Service");
            backend["name"] = json!(service_name(service));
            backend["port"] = json!(PORT);
        } else {
            // The old group first; the gateway's refusal of it is what moves the route to the new one.
            let old =
                !migrated && work.api.serves(&Gvk::new("inference.networking.x-k8s.io", "v1alpha2", "InferencePool"));
            backend["group"] = json!(if old { "inference.networking.x-k8s.io" } else { "inference.networking.k8s.io" });
        }
    }
    let mut metadata =
        metadata(home, &route_name(service), &labels(service, "llminferenceservice-router"), Some(service));
    if migrated {
        metadata["annotations"] = json!({"serving.kserve.io/inference-pool-migrated": "v1"});
    }
    let wanted = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": route,
    });
    work.apply(MANAGER, wanted, fresh).await?;
    for (home, name) in gateways(service, spec, settings) {
        let missing = |what: String| Status::failure(404, "NotFound", format!("failed to discover gateways: {what}"));
        let gateway = work
            .api
            .get(&gateway_api("Gateway"), &home, &name)
            .ok_or_else(|| missing(format!("gateways.gateway.networking.k8s.io \"{name}\" not found")))?;
        let class = text(&gateway, "/spec/gatewayClassName");
        if work.api.get(&gateway_api("GatewayClass"), "", class).is_none() {
            return Err(missing(format!("gatewayclasses.gateway.networking.k8s.io \"{class}\" not found")));
        }
    }
    Ok(())
}

/// Whether the gateway has refused the old group of InferencePools, or that was noted before.
fn migrated(route: &Json) -> bool {
    annotation(route, "serving.kserve.io/inference-pool-migrated") == "v1"
        || list(route, "/status/parents")
            .iter()
            .flat_map(|p| list(p, "/conditions"))
            .any(|c| c["type"] == "ResolvedRefs" && c["status"] == "False" && c["reason"] == "InvalidKind")
}

/// What `HTTPRoutesReady` says: reason and message of what is wrong.
pub fn route_state(work: &Work, service: &Json, spec: &Json) -> Result<(), (&'static str, String)> {
    let own = vec![route_name(service)];
    let refs: Vec<String> = list(spec, "/router/route/http/refs").iter().map(|r| text(r, "/name").to_owned()).collect();
    let (routes, given) = if refs.is_empty() { (own, false) } else { (refs, true) };
    for wanted in routes {
        let Some(route) = work.api.get(&gateway_api("HTTPRoute"), namespace(service), &wanted) else {
            let reason = if given { "RefsInvalid" } else { "HTTPRouteFetchError" };
            return Err((reason, format!("HTTPRoute {}/{wanted} not found", namespace(service))));
        };
        for parent in list(&route, "/spec/parentRefs") {
            let entry = list(&route, "/status/parents").iter().find(|p| p["parentRef"] == *parent);
            for kind in ["Accepted", "ResolvedRefs"] {
                let found = entry.and_then(|e| list(e, "/conditions").iter().find(|c| c["type"] == kind));
                let current =
                    found.is_some_and(|c| number(c, "/observedGeneration").is_none_or(|g| g >= generation(&route)));
                match found {
                    Some(c) if c["status"] == "True" && current => {}
                    Some(c) => {
                        let why = format!("HTTPRoute {wanted}: {kind} {}: {}", text(c, "/reason"), text(c, "/message"));
                        return Err(("HTTPRoutesNotReady", why));
                    }
                    None => {
                        let gateway = text(parent, "/name");
                        return Err((
                            "HTTPRoutesNotReady",
                            format!("HTTPRoute {wanted}: no {kind} from gateway {gateway} yet"),
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

/// What `GatewaysReady` says, where Gateways are referred to by name.
pub fn gateways_state(
    work: &Work,
    service: &Json,
    spec: &Json,
    settings: &Settings,
) -> Result<(), (&'static str, String)> {
    for (home, name) in gateways(service, spec, settings) {
        match work.api.get(&gateway_api("Gateway"), &home, &name) {
            None => return Err(("RefsInvalid", format!("Gateway {home}/{name} not found"))),
            Some(gateway) if !is_true(&gateway, "Programmed") => {
                let why = condition(&gateway, "Programmed").map_or("", |c| text(c, "/message"));
                return Err(("GatewaysNotReady", format!("Gateway {home}/{name} is not programmed: {why}")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The addresses at which a service answers: name and URL, external ones first.
pub fn urls(work: &Work, service: &Json, spec: &Json, settings: &Settings) -> Vec<(String, String)> {
    let path = format!("/{}/{}", namespace(service), name(service));
    let mut found = Vec::new();
    for (home, gateway_name) in gateways(service, spec, settings) {
        let Some(gateway) = work.api.get(&gateway_api("Gateway"), &home, &gateway_name) else { continue };
        for address in list(&gateway, "/status/addresses") {
            for listener in list(&gateway, "/spec/listeners") {
                let scheme = if text(listener, "/protocol") == "HTTPS" { "https" } else { "http" };
                let port = number(listener, "/port").unwrap_or(80);
                let usual = (scheme, port) == ("https", 443) || (scheme, port) == ("http", 80);
                let host = match text(listener, "/hostname") {
                    "" => text(address, "/value"),
                    host => host.trim_start_matches("*."),
                };
                let port = if usual { String::new() } else { format!(":{port}") };
                found.push((scheme.to_owned(), format!("{scheme}://{host}{port}{path}")));
            }
        }
    }
    found.sort_by_key(|(scheme, _)| *scheme != settings.url_scheme);
    let mut named: Vec<(String, String)> =
        found.into_iter().map(|(_, url)| ("gateway-external".to_owned(), url)).collect();
    if spec.get("router").is_none_or(Json::is_null) {
        let scheme = if settings.tls { "https" } else { "http" };
        let host = format!("{}.{}.svc.cluster.local", service_name(service), namespace(service));
        named.push(("internal".to_owned(), format!("{scheme}://{host}:{PORT}")));
    }
    named
}

/// Keeps the DestinationRules that Red Hat's build adds, so that gateways speak TLS to pods.
///
/// # Errors
/// As the API server says.
pub async fn destination_rules(work: &Work, service: &Json, spec: &Json, settings: &Settings) -> Result<(), Status> {
    if !is_red_hat(&work.instance) || !settings.tls {
        return Ok(());
    }
    let Some(gvk) = networking("DestinationRule").into_iter().find(|gvk| work.api.serves(gvk)) else { return Ok(()) };
    let ca = work.instance.variable("ISTIO_CA_CERTIFICATE_PATH", &*work.api).filter(|v| !v.is_empty());
    let ca = ca.unwrap_or_else(|| "/var/run/secrets/opendatahub/ca.crt".to_owned());
    let home = namespace(service);
    let rule = |suffix: &str, host: String, tls: Json| {
        let mut own = labels(service, "llminferenceservice-router");
        own.push(("llm-d.ai/managed", "true"));
        json!({
            "apiVersion": gvk.api_version(), "kind": "DestinationRule",
            "metadata": metadata(home, &child_name(name(service), suffix), &own, Some(service)),
            "spec": {"host": host, "exportTo": ["*"], "trafficPolicy": {"tls": tls}},
        })
    };
    let host = |service: &str| format!("{service}.{home}.svc.cluster.local");
    let verified = json!({"mode": "SIMPLE", "caCertificates": ca});
    let unverified = json!({"mode": "SIMPLE", "insecureSkipVerify": true});
    let tls = if spec.get("prefill").is_some_and(|p| !p.is_null()) { &unverified } else { &verified };
    work.ensure(rule("-kserve-workload-svc", host(&service_name(service)), tls.clone())).await?;
    if spec.pointer("/router/scheduler").is_some_and(|s| !s.is_null()) {
        let picker = child_name(name(service), "-epp-service");
        work.ensure(rule("-kserve-scheduler", host(&picker), unverified.clone())).await?;
        let pool = child_name(name(service), "-inference-pool");
        let shadow = work
            .api
            .list(&core("Service"), Some(home))
            .into_iter()
            .find(|s| label(s, "istio.io/inferencepool-name") == pool);
        if let Some(shadow) = shadow {
            work.ensure(rule("-kserve-shadow-svc", host(name(&shadow)), tls.clone())).await?;
        }
    }
    Ok(())
}

/// A condition from a state.
pub fn as_condition<'a>(kind: &'a str, state: &'a Result<(), (&'static str, String)>) -> Condition<'a> {
    match state {
        Ok(()) => Condition::new(kind, true, "", ""),
        Err((reason, message)) => Condition::new(kind, false, reason, message),
    }
}
