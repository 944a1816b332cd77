//! What a stack changes in the stand-ins: the gateway that KServe attaches routes to, and the namespace in
//! the definitions that both distributions share.

use crate::catalog::documents::{self, set, text};
use crate::catalog::expansion::Expansion;
use crate::catalog::gateway;
use crate::value::Value;

pub(super) fn apply(expansion: &Expansion<'_>, addon: &str, namespace: &str, manifest: &mut Value) {
    if addon != "kserve" {
        return;
    }
    let key = documents::key(manifest);
    match (key.kind.as_str(), key.name.as_str()) {
        ("CustomResourceDefinition", _) => {
            let service = ["spec", "conversion", "webhook", "clientConfig", "service", "namespace"];
            set(manifest, &service, namespace.into());
            let certificate = format!("{namespace}/llmisvc-serving-cert");
            set(manifest, &["metadata", "annotations", "cert-manager.io/inject-ca-from"], certificate.into());
        }
        ("ConfigMap", "inferenceservice-config") => {
            let ingress = text(manifest, &["data", "ingress"]).map(serde_json::from_str::<serde_json::Value>);
            let Some(Ok(mut ingress)) = ingress else { return };
            let (namespace, name) = gateway::place(expansion);
            ingress["kserveIngressGateway"] = format!("{namespace}/{name}").into();
            let tls = expansion.stack.gateway.as_ref().is_none_or(|gateway| gateway.https_port().is_some());
            ingress["urlScheme"] = if tls { "https" } else { "http" }.into();
            let pretty = serde_json::to_string_pretty(&ingress).unwrap_or_default();
            set(manifest, &["data", "ingress"], format!("{pretty}\n").into());
        }
        _ => {}
    }
}
