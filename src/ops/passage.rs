//! Whether a gateway can be reached at its address, and the way to it where not: by port-forward to one of its pods.

use serde_json::Value as Json;

use crate::ops::platforms::Platforms;
use crate::ops::sight::{list, text};
use crate::plan::model::PlannedProof;
use crate::platform::Sought;
use crate::platform::passage::{Passage, is_public};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::{Reference, Scope, Value};

/// By what Istio's gateways, and those of others that make pods for a Gateway, are marked.
const LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// The way to a model's gateway, where `url` alone leads nowhere from outside of its network.
///
/// # Errors
/// When its pods cannot be listed, or none of them is ready.
pub async fn to_gateway(
    platforms: &Platforms,
    proof: &PlannedProof,
    url: &str,
    scope: &dyn Scope,
) -> Result<Option<Passage>, ProviderError> {
    let Some(gateway) = &proof.gateway else { return Ok(None) };
    let Some((host, port)) = place(url).filter(|(host, _)| !is_public(host)) else { return Ok(None) };
    let connection = match &gateway.connection {
        Some(address) => scope.output(&Reference { address: address.clone(), path: Vec::new() }),
        None => None,
    };
    let sought = Sought { api_version: "v1", kind: "Pod", namespace: &gateway.namespace, name: "" };
    let pods = platforms.objects.look(connection.as_ref(), &sought).await?.unwrap_or_default();
    let of_gateway = |pod: &&Json| pod["metadata"]["labels"][LABEL] == gateway.name.as_str();
    let ready = |pod: &&Json| {
        let conditions = list(pod, "/status/conditions");
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let Some(pod) = list(&pods, "/items").iter().filter(of_gateway).find(ready) else {
        let what = format!(
            "{host} is an address within a network, and no pod of the gateway {}/{} is ready to forward to",
            gateway.namespace, gateway.name
        );
        return Err(ProviderError::new(ErrorClass::Unavailable, what).hint("see the gateway's pods and their events"));
    };
    Ok(Some(Passage {
        objects: platforms.objects.clone(),
        connection,
        namespace: gateway.namespace.clone(),
        pod: text(pod, "/metadata/name").to_owned(),
        port,
    }))
}

/// Host and port of a URL.
fn place(url: &str) -> Option<(String, u16)> {
    let uri = url.parse::<http::Uri>().ok()?;
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    Some((uri.host()?.to_owned(), uri.port_u16().unwrap_or(usual)))
}

/// A value of a proof as text.
pub(super) fn known(value: &Value, scope: &dyn Scope, component: &str) -> Result<String, ProviderError> {
    let unknown = |what: String| ProviderError::new(ErrorClass::Unavailable, what);
    let resolved = value.resolve(scope).map_err(|error| unknown(error.to_string()))?;
    resolved.scalar_text().ok_or_else(|| unknown(format!("the address of {component} is not known")))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn urls_have_a_host_and_a_port() {
        assert_eq!(place("https://10.0.0.9/a/b"), Some(("10.0.0.9".to_owned(), 443)));
        assert_eq!(place("http://10.0.0.9"), Some(("10.0.0.9".to_owned(), 80)));
        assert_eq!(place("https://[fd00::1]:8443/"), Some(("[fd00::1]".to_owned(), 8443)));
        assert_eq!(place("/a"), None);
    }
}
