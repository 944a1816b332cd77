//! `[gateway]`: one address with TLS in front of all workloads.

use serde_json::json;

use crate::catalog::addons::{self, CA, CA_ISSUER};
use crate::catalog::expansion::{Expansion, NewObject, field, mistake};
use crate::catalog::text::join;
use crate::resource::model::Portal;
use crate::stack::GatewayTls;
use crate::stack::model::Gateway;
use crate::value::Value;

/// The component's name.
const COMPONENT: &str = "gateway";

/// The ConfigMap with the authority's certificate, where Red Hat's build of KServe expects it, and its mount
/// in the gateway's pods, which KServe's DestinationRules name.
const CA_BUNDLE: &str = "odh-ca-bundle";
const CA_MOUNT: &str = "/var/run/secrets/opendatahub";

/// Namespace and name of the Gateway.
pub(super) fn place(expansion: &Expansion<'_>) -> (String, String) {
    let gateway = expansion.stack.gateway.as_ref();
    let named = gateway.and_then(|gateway| gateway.namespace.as_ref()).map(|namespace| namespace.to_string());
    let namespace = named.or_else(|| addons::namespace(expansion, "kserve").map(str::to_owned));
    (
        namespace.unwrap_or_else(|| "inference-gateway".to_owned()),
        gateway.map_or("inference-gateway", Gateway::name).to_owned(),
    )
}

/// The Secret with the gateway's certificate, and with that of the authority that issued it.
pub(super) fn certificate(expansion: &Expansion<'_>) -> String {
    let (_, name) = place(expansion);
    format!("{name}-tls")
}

/// The name that the gateway's certificate is for: its address is not known before it exists.
pub(super) fn server_name(expansion: &Expansion<'_>) -> String {
    match expansion.stack.gateway.as_ref().and_then(|gateway| gateway.hostname.as_ref()) {
        Some(hostname) => hostname.strip_prefix("*.").map_or(hostname.to_string(), |rest| format!("inference.{rest}")),
        None => format!("inference.{}.internal", &**expansion.stack.name),
    }
}

pub(super) fn expand(expansion: &mut Expansion<'_>) {
    let Some(gateway) = &expansion.stack.gateway else { return };
    let given = expansion.stack.cluster.as_ref().is_some_and(|cluster| cluster.is_given());
    if gateway.class() == "istio" && expansion.addon("istio").is_none() && !given {
        let what = "a gateway of class istio needs the add-on istio";
        let hint = "add [addons.istio], or name another `class`";
        expansion.report(mistake(what, &gateway.span, "nobody would serve it").hint(hint));
    }
    let (namespace, name) = place(expansion);
    expansion.namespace(COMPONENT, &namespace, &[]);
    let certificate = certificate(expansion);
    let issuer = match gateway.tls() {
        GatewayTls::Issued => Some(CA_ISSUER.to_owned()),
        GatewayTls::Issuer(name) => Some(name),
        GatewayTls::Secret(_) | GatewayTls::Off => None,
    };
    if let Some(issuer) = issuer {
        if gateway.tls() != GatewayTls::Issued && expansion.addon("cert-manager").is_none() && !given {
            let hint = "add [addons.cert-manager], or write tls = \"secret:NAME\"";
            let what = "the gateway's certificate needs the add-on cert-manager";
            expansion.report(mistake(what, &gateway.span, "nobody would issue it").hint(hint));
        }
        expansion.own(
            COMPONENT,
            &json!({
                "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
                "metadata": {"name": certificate, "namespace": namespace},
                "spec": {
                    "secretName": certificate,
                    "dnsNames": [server_name(expansion)],
                    "privateKey": {"algorithm": "ECDSA", "size": 256},
                    "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": issuer},
                },
            }),
        );
    }
    let settings = settings(expansion, gateway, &namespace, &name);
    let mut spec = json!({"gatewayClassName": gateway.class(), "listeners": listeners(gateway, &certificate)});
    if gateway.internal.as_ref().is_some_and(|internal| internal.value) {
        spec["infrastructure"]["annotations"]["networking.gke.io/load-balancer-type"] = "Internal".into();
    }
    if settings.is_some() {
        let reference = json!({"group": "", "kind": "ConfigMap", "name": format!("{name}-config")});
        spec["infrastructure"]["parametersRef"] = reference;
    }
    let manifest = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {
            "name": name, "namespace": namespace,
            "labels": {"serving.kserve.io/gateway": "kserve-ingress-gateway"},
        },
        "spec": spec,
    });
    let timeout = gateway.timeout.as_ref().map(|timeout| timeout.value);
    let manifest = Value::from_json(&manifest);
    let address = expansion.object(NewObject { component: COMPONENT, manifest, origin: None, timeout });
    if settings.is_some() {
        let bundle = format!("ConfigMap/{namespace}/{CA_BUNDLE}");
        expansion.need_object(&address, &bundle, "its pods mount the authority's certificate");
    }
    let at = field(&address, &["status", "addresses", "0", "value"]);
    expansion.offer(COMPONENT, "address", at.clone());
    expansion.offer(COMPONENT, "url", url(gateway, at.into()));
    expansion.offer(COMPONENT, "name", name);
    expansion.offer(COMPONENT, "namespace", namespace);
    if let Some(ca) = ca(expansion) {
        expansion.offer(COMPONENT, "ca_certificate", ca);
    }
}

/// Where its pods are found.
pub(super) fn portal(expansion: &Expansion<'_>) -> Option<Portal> {
    let text = |output: &str| expansion.output(COMPONENT, output)?.as_str().map(str::to_owned);
    Some(Portal { namespace: text("namespace")?, name: text("name")?, connection: expansion.connection() })
}

/// The authority's certificate, PEM: a public field that the Certificate's outputs hold, see `docs` of the
/// Kubernetes provider; no key is ever read.
pub(super) fn ca(expansion: &Expansion<'_>) -> Option<Value> {
    let given = expansion.stack.gateway.as_ref().and_then(|gateway| gateway.ca_certificate.as_ref());
    if let Some(given) = given {
        return Some(given.value.0.clone());
    }
    let issued = expansion.stack.gateway.as_ref().is_some_and(|gateway| gateway.tls() == GatewayTls::Issued);
    let authority = expansion.find(&format!("Certificate.cert-manager.io/cert-manager/{CA}")).filter(|_| issued)?;
    Some(field(&authority, &["secret", "ca.crt"]).into())
}

fn url(gateway: &Gateway, address: Value) -> Value {
    let (scheme, port, usual) = match (gateway.https_port(), gateway.http_port()) {
        (Some(port), _) => ("https://", port, 443),
        (None, port) => ("http://", port.unwrap_or(80), 80),
    };
    let suffix = if port == usual { String::new() } else { format!(":{port}") };
    join(vec![scheme.into(), address, suffix.into()])
}

fn listeners(gateway: &Gateway, certificate: &str) -> Vec<serde_json::Value> {
    let mut listeners = Vec::new();
    if let Some(port) = gateway.https_port() {
        let secret = match gateway.tls() {
            GatewayTls::Secret(name) => name,
            GatewayTls::Issued | GatewayTls::Issuer(_) | GatewayTls::Off => certificate.to_owned(),
        };
        let tls = json!({"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": secret}]});
        listeners.push(json!({"name": "https", "port": port, "protocol": "HTTPS", "tls": tls}));
    }
    if let Some(port) = gateway.http_port() {
        listeners.push(json!({"name": "http", "port": port, "protocol": "HTTP"}));
    }
    for listener in &mut listeners {
        listener["allowedRoutes"] = json!({"namespaces": {"from": "All"}});
        if let Some(hostname) = &gateway.hostname {
            listener["hostname"] = (&***hostname).into();
        }
    }
    listeners
}

/// Red Hat's build verifies the models' certificates with the stack's authority, which the gateway's pods must
/// therefore mount, and pulls the proxy's image with a secret. Both are in the pods from their first day.
fn settings(expansion: &mut Expansion<'_>, gateway: &Gateway, namespace: &str, name: &str) -> Option<()> {
    if !(expansion.is_rhaii("istio") && gateway.class() == "istio") {
        return None;
    }
    let authority = expansion.find(&format!("Certificate.cert-manager.io/cert-manager/{CA}"))?;
    let bundle = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CA_BUNDLE, "namespace": namespace},
        "data": {"ca.crt": Value::from(field(&authority, &["secret", "ca.crt"])).to_json()},
    });
    expansion.own(COMPONENT, &bundle);
    let deployment = json!({"spec": {"template": {"spec": {
        "imagePullSecrets": [{"name": crate::catalog::registries::REDHAT_SECRET}],
        "containers": [{
            "name": "istio-proxy",
            "volumeMounts": [{"name": CA_BUNDLE, "mountPath": CA_MOUNT, "readOnly": true}],
        }],
        "volumes": [{"name": CA_BUNDLE, "configMap": {"name": CA_BUNDLE}}],
    }}}});
    // JSON is YAML; pretty printed it is readable in the cluster.
    let text = serde_json::to_string_pretty(&deployment).unwrap_or_default();
    expansion.own(
        COMPONENT,
        &json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("{name}-config"), "namespace": namespace},
            "data": {"deployment": format!("{text}\n")},
        }),
    );
    Some(())
}
