//! What an object names in its own fields: namespace, roles, issuers, gateways, services.

use crate::plan::edges::{Found, Object, Objects, items, text};
use crate::value::Value;

const GATEWAY: &str = "gateway.networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const CERTS: &str = "cert-manager.io";

/// Edges from one object to the objects that it names.
pub(super) fn of_object(objects: &Objects<'_>, object: &Object<'_>, found: &mut Found) {
    let (at, namespace, manifest) = (object.at, object.namespace, object.manifest);
    if !namespace.is_empty() {
        found.add(at, objects.get("", "Namespace", "", namespace), "it is in this namespace");
    }
    if let Some((namespace, name)) =
        annotation(manifest, "cert-manager.io/inject-ca-from").and_then(|v| v.split_once('/'))
    {
        let certificate = objects.get(CERTS, "Certificate", namespace, name);
        found.add(at, certificate, "its caBundle is filled from this certificate");
    }
    match (object.group, object.kind) {
        ("", "ServiceAccount") => {
            for list in ["imagePullSecrets", "secrets"] {
                for secret in items(manifest, &[list]) {
                    let name = text(secret, &["name"]).unwrap_or_default();
                    found.add(at, objects.secret(namespace, name), "the account refers to this secret");
                }
            }
        }
        ("", "PersistentVolumeClaim") => {
            let class = text(manifest, &["spec", "storageClassName"]).unwrap_or_default();
            found.add(at, objects.get("storage.k8s.io", "StorageClass", "", class), "its volume is of this class");
        }
        (RBAC, "RoleBinding" | "ClusterRoleBinding") => of_binding(objects, object, found),
        ("apps", "StatefulSet") => {
            let service = text(manifest, &["spec", "serviceName"]).unwrap_or_default();
            found.add(at, objects.get("", "Service", namespace, service), "its pods get their names from this service");
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            let target = manifest.at(&["spec", "scaleTargetRef"]);
            found.add(at, target.and_then(|t| named(objects, t, "apps", namespace)), "it scales this");
        }
        ("networking.k8s.io", "Ingress") => of_ingress(objects, object, found),
        (CERTS, "Certificate" | "CertificateRequest") => {
            if let Some(issuer) = manifest.at(&["spec", "issuerRef"]) {
                let kind = text(issuer, &["kind"]).unwrap_or("Issuer");
                let scope = if kind == "ClusterIssuer" { "" } else { namespace };
                let name = text(issuer, &["name"]).unwrap_or_default();
                found.add(at, objects.get(CERTS, kind, scope, name), "this issuer signs it");
            }
        }
        (CERTS, "Issuer" | "ClusterIssuer") => {
            if let Some(name) = text(manifest, &["spec", "ca", "secretName"]) {
                // A ClusterIssuer looks in cert-manager's own namespace.
                let scope = if object.kind == "Issuer" { namespace } else { "cert-manager" };
                found.add(at, objects.secret(scope, name), "it signs with this key");
            }
        }
        (GATEWAY, "Gateway") => of_gateway(objects, object, found),
        (GATEWAY, "GatewayClass") => {
            let parameters = manifest.at(&["spec", "parametersRef"]);
            found.add(at, parameters.and_then(|p| named(objects, p, "", "")), "it is configured by it");
        }
        (GATEWAY, "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute") => of_route(objects, object, found),
        ("apiregistration.k8s.io", "APIService") => {
            if let Some(service) = manifest.at(&["spec", "service"]) {
                of_backend(objects, at, service, "it serves the API group", found);
            }
        }
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            for webhook in items(manifest, &["webhooks"]) {
                if let Some(service) = webhook.at(&["clientConfig", "service"]) {
                    of_backend(objects, at, service, "it answers the webhook", found);
                }
            }
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            let policy = text(manifest, &["spec", "policyName"]).unwrap_or_default();
            let policy = objects.get(object.group, "ValidatingAdmissionPolicy", "", policy);
            found.add(at, policy, "it binds this policy");
        }
        _ => {}
    }
}

fn annotation<'a>(manifest: &'a Value, key: &str) -> Option<&'a str> {
    text(manifest, &["metadata", "annotations", key])
}

/// The object that `{apiVersion | group, kind, name, namespace?}` names.
fn named(objects: &Objects<'_>, reference: &Value, group: &str, namespace: &str) -> Option<usize> {
    let group = match text(reference, &["apiVersion"]) {
        Some(api_version) => api_version.split_once('/').map_or("", |(group, _)| group),
        None => text(reference, &["group"]).unwrap_or(group),
    };
    let namespace = text(reference, &["namespace"]).unwrap_or(namespace);
    let (kind, name) = (text(reference, &["kind"])?, text(reference, &["name"])?);
    objects.get(group, kind, namespace, name).or_else(|| objects.get(group, kind, "", name))
}

fn of_binding(objects: &Objects<'_>, object: &Object<'_>, found: &mut Found) {
    if let Some(role) = object.manifest.at(&["roleRef"]) {
        let kind = text(role, &["kind"]).unwrap_or_default();
        let scope = if kind == "ClusterRole" { "" } else { object.namespace };
        let name = text(role, &["name"]).unwrap_or_default();
        found.add(object.at, objects.get(RBAC, kind, scope, name), "it grants this role");
    }
    for subject in items(object.manifest, &["subjects"]) {
        if text(subject, &["kind"]) == Some("ServiceAccount") {
            let namespace = text(subject, &["namespace"]).unwrap_or(object.namespace);
            let name = text(subject, &["name"]).unwrap_or_default();
            found.add(object.at, objects.get("", "ServiceAccount", namespace, name), "it grants to this account");
        }
    }
}

fn of_ingress(objects: &Objects<'_>, object: &Object<'_>, found: &mut Found) {
    let (at, namespace, manifest) = (object.at, object.namespace, object.manifest);
    let class = text(manifest, &["spec", "ingressClassName"]).unwrap_or_default();
    found.add(at, objects.get("networking.k8s.io", "IngressClass", "", class), "it is of this class");
    let mut service = |backend: &Value| {
        let name = text(backend, &["service", "name"]).unwrap_or_default();
        found.add(at, objects.get("", "Service", namespace, name), "it routes to this service");
    };
    manifest.at(&["spec", "defaultBackend"]).into_iter().for_each(&mut service);
    for rule in items(manifest, &["spec", "rules"]) {
        for path in items(rule, &["http", "paths"]) {
            path.get("backend").into_iter().for_each(&mut service);
        }
    }
    for tls in items(manifest, &["spec", "tls"]) {
        let name = text(tls, &["secretName"]).unwrap_or_default();
        found.add(at, objects.secret(namespace, name), "it serves with this certificate");
    }
}

fn of_gateway(objects: &Objects<'_>, object: &Object<'_>, found: &mut Found) {
    let (at, namespace, manifest) = (object.at, object.namespace, object.manifest);
    let class = text(manifest, &["spec", "gatewayClassName"]).unwrap_or_default();
    found.add(at, objects.get(GATEWAY, "GatewayClass", "", class), "it is of this class");
    if let Some(parameters) = manifest.at(&["spec", "infrastructure", "parametersRef"]) {
        found.add(at, named(objects, parameters, "", namespace), "it is configured by it");
    }
    for listener in items(manifest, &["spec", "listeners"]) {
        for certificate in items(listener, &["tls", "certificateRefs"]) {
            let scope = text(certificate, &["namespace"]).unwrap_or(namespace);
            let name = text(certificate, &["name"]).unwrap_or_default();
            found.add(at, objects.secret(scope, name), "a listener serves with this certificate");
        }
    }
}

fn of_route(objects: &Objects<'_>, object: &Object<'_>, found: &mut Found) {
    let (at, namespace, manifest) = (object.at, object.namespace, object.manifest);
    let find = |reference: &Value, group: &str, kind: &str| {
        let scope = text(reference, &["namespace"]).unwrap_or(namespace);
        let group = text(reference, &["group"]).unwrap_or(group);
        objects.get(group, text(reference, &["kind"]).unwrap_or(kind), scope, text(reference, &["name"])?)
    };
    for parent in items(manifest, &["spec", "parentRefs"]) {
        found.add(at, find(parent, GATEWAY, "Gateway"), "it is attached to this gateway");
    }
    for rule in items(manifest, &["spec", "rules"]) {
        for backend in items(rule, &["backendRefs"]) {
            found.add(at, find(backend, "", "Service"), "it routes to it");
        }
    }
}

/// Edges to a service that has to answer, and to the workloads that it selects.
pub(super) fn of_backend(objects: &Objects<'_>, at: usize, service: &Value, reason: &str, found: &mut Found) {
    let namespace = text(service, &["namespace"]).unwrap_or_default();
    let name = text(service, &["name"]).unwrap_or_default();
    let Some(service) = objects.get("", "Service", namespace, name) else { return };
    found.add(at, Some(service), reason);
    for workload in selected(objects, &objects.all[service]) {
        found.add(at, Some(workload), reason);
    }
}

/// The workloads whose pods a service selects.
fn selected(objects: &Objects<'_>, service: &Object<'_>) -> Vec<usize> {
    let Some(selector) = service.manifest.at(&["spec", "selector"]).and_then(Value::as_map) else { return Vec::new() };
    ["Deployment", "DaemonSet", "StatefulSet"]
        .into_iter()
        .flat_map(|kind| objects.of_kind("apps", kind))
        .filter(|workload| workload.namespace == service.namespace)
        .filter(|workload| {
            let labels = workload.manifest.at(&["spec", "template", "metadata", "labels"]);
            !selector.is_empty() && selector.iter().all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
        })
        .map(|workload| workload.at)
        .collect()
}
