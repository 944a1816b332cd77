//! istiod's webhooks: sidecars into pods, and the refusal of objects that make no sense.

use serde_json::{Value as Json, json};

use super::super::objects::{annotation, core, label, list, text};
use super::{PROXY_CONTAINER, gateway};
use crate::sim::controllers::programs::Instance;
use crate::sim::kube::api::Api;

/// The init container that checks, with the CNI node agent, that traffic is redirected.
pub const VALIDATION: &str = "istio-validation";
const INIT: &str = "istio-init";

/// The pod with its sidecar, or `None` when it shall have none.
pub fn inject(instance: &Instance, api: &dyn Api, review: &Json) -> Option<Json> {
    let mut pod = review["request"]["object"].clone();
    let own = match label(&pod, "sidecar.istio.io/inject") {
        "" => annotation(&pod, "sidecar.istio.io/inject").to_owned(),
        value => value.to_owned(),
    };
    let space = api.get(&core("Namespace"), "", text(review, "/request/namespace"))?;
    let wanted = own == "true"
        || (own != "false"
            && (label(&space, "istio-injection") == "enabled" || !label(&space, "istio.io/rev").is_empty()));
    let has_one = list(&pod, "/spec/containers").iter().any(|c| text(c, "/name") == PROXY_CONTAINER);
    if !wanted || has_one || pod.pointer("/spec/hostNetwork") == Some(&json!(true)) {
        return None;
    }
    let values = gateway::values(api, instance.namespace());
    let image = gateway::proxy_image(text(&instance.container, "/image"));
    let resources = json!({"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}});
    let push = |list: &mut Json, entry: Json| match list.as_array_mut() {
        Some(entries) => entries.push(entry),
        None => *list = json!([entry]),
    };
    let cni = ["/pilot/cni/enabled", "/istio_cni/enabled"].iter().any(|p| values.pointer(p) == Some(&json!(true)));
    let init = if cni { VALIDATION } else { INIT };
    let init = json!({"name": init, "image": image, "args": ["istio-iptables"], "resources": resources});
    push(&mut pod["spec"]["initContainers"], init);
    push(
        &mut pod["spec"]["containers"],
        json!({
            "name": PROXY_CONTAINER, "image": image, "args": ["proxy", "sidecar"], "resources": resources,
            "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
            "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 15,
                "failureThreshold": 4},
            "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 1,
                "failureThreshold": 600},
            "volumeMounts": [{"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio"}],
        }),
    );
    push(&mut pod["spec"]["volumes"], json!({"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}}));
    for secret in list(&values, "/global/imagePullSecrets") {
        push(&mut pod["spec"]["imagePullSecrets"], json!({"name": secret}));
    }
    pod["metadata"]["labels"]["security.istio.io/tlsMode"] = json!("istio");
    pod["metadata"]["annotations"]["sidecar.istio.io/status"] =
        json!(json!({"initContainers": [INIT], "containers": [PROXY_CONTAINER], "revision": "default"}).to_string());
    Some(pod)
}

/// What the validator says: the mistakes that istiod's schemas let through and its code does not.
///
/// # Errors
/// The message of the refusal.
pub fn validate(object: &Json) -> Result<(), String> {
    let invalid = |why: &str| Err(format!("configuration is invalid: {why}"));
    match text(object, "/kind") {
        "DestinationRule" if text(object, "/spec/host").is_empty() => invalid("host: domain name cannot be empty"),
        "DestinationRule" => match text(object, "/spec/trafficPolicy/tls/mode") {
            "MUTUAL"
                if text(object, "/spec/trafficPolicy/tls/clientCertificate").is_empty()
                    && text(object, "/spec/trafficPolicy/tls/credentialName").is_empty() =>
            {
                invalid("client certificate required for mutual tls")
            }
            _ => Ok(()),
        },
        "Gateway" if list(object, "/spec/servers").is_empty() => invalid("gateway must have at least one server"),
        "VirtualService" if list(object, "/spec/hosts").is_empty() && text(object, "/spec/gateways").is_empty() => {
            invalid("virtual service must have at least one host")
        }
        "EnvoyFilter"
            if list(object, "/spec/configPatches")
                .iter()
                .any(|p| text(p, "/applyTo").is_empty() && p.get("applyTo").is_some()) =>
        {
            invalid("Envoy filter: missing applyTo")
        }
        _ => Ok(()),
    }
}
