//! Gateways of class `istio`: ServiceAccount, Deployment and Service for each, and what their status says.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value as Json, json};

use super::super::objects::{
    Condition, annotation, core, generation, going, label, list, merge_template, name, namespace, number,
    owner_reference, secret_text, set_condition, text,
};
use super::super::pki;
use super::super::work::{Step, Work};
use super::{MANAGER, PROXY_CONTAINER, attach, gateway_api, is_ours};
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Api, Gvk, Status};

/// Makes gateways of Gateways.
pub struct Gateways;

/// Name of what belongs to a Gateway.
pub fn child(gateway: &Json) -> String {
    match annotation(gateway, "gateway.istio.io/name-override") {
        "" => format!("{}-{}", name(gateway), text(gateway, "/spec/gatewayClassName")),
        given => given.to_owned(),
    }
}

/// The settings that istiod's chart leaves in its injection ConfigMap.
pub fn values(api: &dyn Api, namespace: &str) -> Json {
    let map = api.get(&core("ConfigMap"), namespace, "istio-sidecar-injector");
    map.and_then(|m| serde_json::from_str(text(&m, "/data/values")).ok()).unwrap_or_default()
}

/// The proxy's image: beside the control plane's own.
pub fn proxy_image(work_image: &str) -> String {
    work_image.replacen("/pilot", "/proxyv2", 1).replacen("istio-pilot-", "istio-proxyv2-", 1)
}

const OVERLAYS: [&str; 5] =
    ["deployment", "service", "serviceAccount", "horizontalPodAutoscaler", "podDisruptionBudget"];

/// The overlays of `spec.infrastructure.parametersRef`.
fn overlays(api: &dyn Api, gateway: &Json) -> Result<Map<String, Json>, String> {
    let Some(reference) = gateway.pointer("/spec/infrastructure/parametersRef") else { return Ok(Map::new()) };
    if text(reference, "/kind") != "ConfigMap" || !text(reference, "/group").is_empty() {
        return Err(format!("unsupported parametersRef kind {}", text(reference, "/kind")));
    }
    let map = api
        .get(&core("ConfigMap"), namespace(gateway), text(reference, "/name"))
        .ok_or_else(|| format!("ConfigMap {} not found", text(reference, "/name")))?;
    let mut found = Map::new();
    for (key, value) in map.get("data").and_then(Json::as_object).into_iter().flatten() {
        if !OVERLAYS.contains(&key.as_str()) {
            return Err(format!("unknown key {key}"));
        }
        let overlay: Json = serde_saphyr::from_str(value.as_str().unwrap_or_default()).map_err(|e| e.to_string())?;
        found.insert(key.clone(), overlay);
    }
    Ok(found)
}

fn metadata(gateway: &Json, child: &str) -> Json {
    let infrastructure = gateway.pointer("/spec/infrastructure/labels").and_then(Json::as_object);
    let own = gateway.pointer("/metadata/labels").and_then(Json::as_object);
    let mut labels = infrastructure.or(own).cloned().unwrap_or_default();
    labels.insert("gateway.networking.k8s.io/gateway-name".into(), json!(name(gateway)));
    labels.insert("gateway.networking.k8s.io/gateway-class-name".into(), gateway["spec"]["gatewayClassName"].clone());
    labels.insert("gateway.istio.io/managed".into(), json!("istio.io-gateway-controller"));
    let annotations = gateway.pointer("/spec/infrastructure/annotations").cloned().unwrap_or_else(|| json!({}));
    let mut metadata = json!({
        "name": child, "namespace": namespace(gateway), "labels": labels, "annotations": annotations,
        "ownerReferences": [owner_reference(gateway)],
    });
    if let Some(reference) = metadata["ownerReferences"][0].as_object_mut() {
        reference.remove("controller");
        reference.remove("blockOwnerDeletion");
    }
    metadata
}

fn children(work: &Work, gateway: &Json) -> Result<Vec<Json>, String> {
    let overlays = overlays(&*work.api, gateway)?;
    let child = child(gateway);
    let account = match annotation(gateway, "gateway.istio.io/service-account") {
        "" => child.clone(),
        given => given.to_owned(),
    };
    let metadata = metadata(gateway, &child);
    let selector = json!({"gateway.networking.k8s.io/gateway-name": name(gateway)});
    let mut pod_labels = metadata["labels"].clone();
    pod_labels["sidecar.istio.io/inject"] = json!("false");
    pod_labels["service.istio.io/canonical-name"] = json!(child);
    let values = values(&*work.api, work.namespace());
    let secrets: Vec<Json> = list(&values, "/global/imagePullSecrets").iter().map(|s| json!({"name": s})).collect();
    let mut account_object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    account_object["metadata"]["name"] = json!(account);
    if !secrets.is_empty() {
        account_object["imagePullSecrets"] = json!(secrets);
    }
    let image = proxy_image(text(&work.instance.container, "/image"));
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": pod_labels, "annotations": {"istio.io/rev": "default",
                    "prometheus.io/path": "/stats/prometheus", "prometheus.io/port": "15020", "prometheus.io/scrape": "true"}},
                "spec": {
                    "serviceAccountName": account,
                    "containers": [{
                        "name": PROXY_CONTAINER, "image": image, "args": ["proxy", "router"],
                        "ports": [
                            {"containerPort": 15020, "name": "metrics", "protocol": "TCP"},
                            {"containerPort": 15021, "name": "status-port", "protocol": "TCP"},
                            {"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"},
                        ],
                        "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021},
                            "failureThreshold": 4, "periodSeconds": 15, "timeoutSeconds": 1},
                        "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021},
                            "failureThreshold": 30, "periodSeconds": 1, "timeoutSeconds": 1, "initialDelaySeconds": 1},
                        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"},
                            "limits": {"cpu": "2", "memory": "1Gi"}},
                        "volumeMounts": [{"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio"}],
                    }],
                    "volumes": [{"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}}],
                },
            },
        },
    });
    let mut ports = vec![json!({"name": "status-port", "port": 15021, "protocol": "TCP"})];
    for listener in list(gateway, "/spec/listeners") {
        if !ports.iter().any(|p| p["port"] == listener["port"]) {
            let protocol = text(listener, "/protocol").to_lowercase();
            ports.push(json!({"name": listener["name"], "port": listener["port"], "protocol": "TCP",
                "appProtocol": protocol}));
        }
    }
    let kind = match annotation(gateway, "networking.istio.io/service-type") {
        "" => "LoadBalancer",
        given => given,
    };
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"type": kind, "ports": ports, "selector": selector, "ipFamilyPolicy": "PreferDualStack"},
    });
    if let Some(address) = gateway.pointer("/spec/addresses/0/value") {
        service["spec"]["loadBalancerIP"] = address.clone();
    }
    let overlaid =
        [("serviceAccount", &mut account_object), ("deployment", &mut deployment), ("service", &mut service)];
    for (key, object) in overlaid {
        if let Some(overlay) = overlays.get(key) {
            if ["name", "namespace", "ownerReferences", "finalizers"]
                .iter()
                .any(|field| overlay.pointer(&format!("/metadata/{field}")).is_some())
            {
                return Err(format!("{key}: the overlay changes the object's identity"));
            }
            merge_template(object, overlay);
        }
    }
    Ok(vec![account_object, deployment, service])
}

/// How each listener stands, and what the Gateway's own status says.
fn status(work: &Work, gateway: &Json) -> Json {
    let (now, generation) = (work.clock.now(), Some(generation(gateway)));
    let api = &*work.api;
    let mut status = gateway.get("status").cloned().unwrap_or_else(|| json!({}));
    let old = list(&status, "/listeners").to_vec();
    let routes = api.list(&gateway_api("HTTPRoute"), None);
    let mut listeners = Vec::new();
    let mut invalid = Vec::new();
    for listener in list(gateway, "/spec/listeners") {
        let name = text(listener, "/name");
        let mut entry = old.iter().find(|l| text(l, "/name") == name).cloned().unwrap_or_else(|| json!({"name": name}));
        entry["supportedKinds"] = json!([
            {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"},
            {"group": "gateway.networking.k8s.io", "kind": "GRPCRoute"},
        ]);
        let attached = routes.iter().filter(|route| {
            list(route, "/spec/parentRefs").iter().any(|reference| {
                attach::parent(api, route, reference)
                    .is_some_and(|p| p["metadata"]["uid"] == gateway["metadata"]["uid"])
                    && attach::listeners(api, gateway, route, reference)
                        .is_ok_and(|ls| ls.iter().any(|l| text(l, "/name") == name))
            })
        });
        entry["attachedRoutes"] = json!(attached.count());
        let certificate = certificate(api, gateway, listener).err();
        let resolved = match &certificate {
            None => Condition::new("ResolvedRefs", true, "ResolvedRefs", "No errors found"),
            Some((reason, message)) => Condition::new("ResolvedRefs", false, reason, message),
        };
        let bad = certificate.is_some();
        if bad {
            invalid.push(name.to_owned());
        }
        let programmed = if bad {
            Condition::new("Programmed", false, "Invalid", "Bad TLS configuration")
        } else {
            Condition::new("Programmed", true, "Programmed", "No errors found")
        };
        for condition in [
            Condition::new("Accepted", true, "Accepted", "No errors found"),
            Condition::new("Conflicted", false, "NoConflicts", "No errors found"),
            programmed,
            resolved,
        ] {
            set_condition(&mut entry["conditions"], now, generation, condition);
        }
        listeners.push(entry);
    }
    status["listeners"] = json!(listeners);

    let child = child(gateway);
    let host = format!("{child}.{}.svc.cluster.local", namespace(gateway));
    let service = api.get(&core("Service"), namespace(gateway), &child);
    let ports: Vec<i64> = list(gateway, "/spec/listeners").iter().filter_map(|l| number(l, "/port")).collect();
    let addresses: Vec<Json> = match &service {
        Some(service) if text(service, "/spec/type") == "LoadBalancer" => {
            list(service, "/status/loadBalancer/ingress").iter().filter_map(address).collect()
        }
        Some(_) => vec![json!({"type": "Hostname", "value": host})],
        None => Vec::new(),
    };
    let reachable = service
        .as_ref()
        .is_some_and(|service| ports.iter().any(|port| !attach::endpoints(api, service, *port).is_empty()));
    let port = ports.first().copied().unwrap_or(80);
    let message;
    let programmed = if service.is_none() {
        message = format!("hostname \"{host}\" not found");
        Condition::new("Programmed", false, "AddressNotUsable", &message)
    } else if !reachable {
        message = format!("no instances found for hostname \"{host}\"");
        Condition::new("Programmed", false, "AddressNotAssigned", &message)
    } else if addresses.is_empty() {
        message = format!("address pending for hostname \"{host}\"");
        Condition::new("Programmed", false, "AddressNotAssigned", &message)
    } else {
        message = format!("Resource programmed, assigned to service(s) {host}:{port}");
        Condition::new("Programmed", true, "Programmed", &message)
    };
    let accepted = if invalid.is_empty() {
        Condition::new("Accepted", true, "Accepted", "Resource accepted")
    } else {
        Condition::new("Accepted", true, "ListenersNotValid", "Some listeners are not valid")
    };
    set_condition(&mut status["conditions"], now, generation, accepted);
    set_condition(&mut status["conditions"], now, generation, programmed);
    // Once written, addresses stay.
    if reachable && !addresses.is_empty() {
        status["addresses"] = json!(addresses);
    }
    status
}

fn address(ingress: &Json) -> Option<Json> {
    let by = |field: &str, kind: &str| {
        Some(json!({"type": kind, "value": ingress.get(field)?.as_str().filter(|v| !v.is_empty())?}))
    };
    by("ip", "IPAddress").or_else(|| by("hostname", "Hostname"))
}

/// The certificate chain and key of a listener: `None` for one without TLS.
///
/// # Errors
/// Reason and message of the listener's `ResolvedRefs`.
pub fn certificate(
    api: &dyn Api,
    gateway: &Json,
    listener: &Json,
) -> Result<Option<(String, String)>, (&'static str, String)> {
    if !matches!(text(listener, "/protocol"), "HTTPS" | "TLS") || text(listener, "/tls/mode") == "Passthrough" {
        return Ok(None);
    }
    let invalid = |message: String| ("InvalidCertificateRef", message);
    let reference = listener
        .pointer("/tls/certificateRefs/0")
        .ok_or_else(|| invalid("TLS terminate requires a certificateRef".to_owned()))?;
    if !matches!(text(reference, "/kind"), "" | "Secret") || !text(reference, "/group").is_empty() {
        return Err(invalid(format!("invalid certificate reference {}, only secret is allowed", reference)));
    }
    let to = text(reference, "/name");
    let home = match text(reference, "/namespace") {
        "" => namespace(gateway),
        home => home,
    };
    let from = ("gateway.networking.k8s.io", "Gateway", namespace(gateway));
    if !attach::granted(api, from, ("", "Secret", home, to)) {
        let message = format!(
            "certificateRef {home}/{to} not accessible to a Gateway in namespace \"{}\" (missing a ReferenceGrant?)",
            namespace(gateway)
        );
        return Err(("RefNotPermitted", message));
    }
    let missing = || invalid(format!("invalid certificate reference /{home}/{to}, secret {home}/{to} not found"));
    let secret = api.get(&core("Secret"), home, to).ok_or_else(missing)?;
    match (secret_text(&secret, "tls.crt"), secret_text(&secret, "tls.key")) {
        (Some(chain), Some(key)) if pki::matches_key(&chain, &key) => Ok(Some((chain, key))),
        _ => Err(invalid(format!("invalid certificate reference /{home}/{to}, the certificate is malformed"))),
    }
}

#[async_trait]
impl Step for Gateways {
    fn name(&self) -> &'static str {
        "istio-gateways"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![gateway_api("Gateway")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![
            gateway_api("GatewayClass"),
            gateway_api("HTTPRoute"),
            core("Service"),
            core("ConfigMap"),
            core("Secret"),
            Gvk::new("discovery.k8s.io", "v1", "EndpointSlice"),
            Gvk::new("apps", "v1", "Deployment"),
        ]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        let at_home = namespace(changed) == namespace(own);
        match text(changed, "/kind") {
            "Service" | "Deployment" => at_home && name(changed) == child(own),
            "EndpointSlice" => at_home && label(changed, "kubernetes.io/service-name") == child(own),
            "ConfigMap" => at_home && name(changed) == text(own, "/spec/infrastructure/parametersRef/name"),
            "Secret" => list(own, "/spec/listeners")
                .iter()
                .flat_map(|l| list(l, "/tls/certificateRefs"))
                .any(|r| text(r, "/name") == name(changed)),
            "HTTPRoute" => list(changed, "/spec/parentRefs").iter().any(|r| text(r, "/name") == name(own)),
            "GatewayClass" => name(changed) == text(own, "/spec/gatewayClassName"),
            _ => false,
        }
    }

    async fn step(&self, work: &Work, gateway: &Arc<Json>) -> Result<Outcome, Status> {
        if going(gateway) || !is_ours(&*work.api, gateway) {
            return Ok(Outcome::Done);
        }
        match children(work, gateway) {
            Ok(children) => {
                for wanted in children {
                    let existing =
                        Gvk::of(&wanted).and_then(|gvk| work.api.get(&gvk, namespace(&wanted), name(&wanted)));
                    // What somebody else made is never taken over.
                    if existing.is_some_and(|e| label(&e, "gateway.istio.io/managed").is_empty()) {
                        continue;
                    }
                    work.apply(MANAGER, wanted, false).await?;
                }
            }
            // A log line is all that a bad parametersRef leaves.
            Err(why) => tracing::debug!(gateway = name(gateway), %why, "gateway not deployed"),
        }
        let now = work.api.get(&gateway_api("Gateway"), namespace(gateway), name(gateway));
        if let Some(gateway) = now {
            work.put_status(&gateway, status(work, &gateway)).await?;
        }
        Ok(Outcome::After(Duration::from_secs(600)))
    }
}
