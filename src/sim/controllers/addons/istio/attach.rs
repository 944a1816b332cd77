//! Which routes attach to which listeners, and where their backends are: the rules of the Gateway API.
//!
//! Pure readings of the cluster, shared by the control plane, which reports them, and the data plane, which
//! follows them.

use std::sync::Arc;

use serde_json::Value as Json;

use super::super::objects::{core, label, list, name, namespace, number, selects, text};
use super::gateway_api;
use crate::sim::kube::api::{Api, Gvk};

/// Why a route does not attach: reason and message of `Accepted`.
pub type Refusal = (&'static str, String);

/// The Gateway that a parent reference of a route names, if it is there.
pub fn parent(api: &dyn Api, route: &Json, reference: &Json) -> Option<Arc<Json>> {
    let kind = text(reference, "/kind");
    if !matches!(kind, "" | "Gateway") || !matches!(text(reference, "/group"), "" | "gateway.networking.k8s.io") {
        return None;
    }
    let home = match text(reference, "/namespace") {
        "" => namespace(route),
        home => home,
    };
    api.get(&gateway_api("Gateway"), home, text(reference, "/name"))
}

/// Whether a listener's hostname (empty for all) and a route's can serve a common host.
fn hostnames_meet(listener: &str, route: &str) -> bool {
    let wild = |pattern: &str, host: &str| {
        pattern.strip_prefix('*').is_some_and(|suffix| host.len() > suffix.len() && host.ends_with(suffix))
    };
    listener.is_empty() || listener == route || wild(listener, route) || wild(route, listener)
}

/// Whether a host is one that a hostname (`*.x.y` allowed, empty for all) stands for.
pub fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    pattern.is_empty()
        || pattern.eq_ignore_ascii_case(&host)
        || pattern.strip_prefix('*').is_some_and(|suffix| host.len() > suffix.len() && host.ends_with(suffix))
}

fn namespace_allowed(api: &dyn Api, gateway: &Json, listener: &Json, home: &str) -> bool {
    let allowed = listener.pointer("/allowedRoutes/namespaces");
    match allowed.map_or("", |a| text(a, "/from")) {
        "All" => true,
        "Selector" => api.get(&core("Namespace"), "", home).is_some_and(|space| {
            let selector = allowed.and_then(|a| a.get("selector")).unwrap_or(&Json::Null);
            selects(selector, space.pointer("/metadata/labels").unwrap_or(&Json::Null))
        }),
        "None" => false,
        _ => namespace(gateway) == home,
    }
}

/// The listeners of `gateway` to which `route` attaches by `reference`.
///
/// # Errors
/// Why there is none.
pub fn listeners<'a>(
    api: &dyn Api,
    gateway: &'a Json,
    route: &Json,
    reference: &Json,
) -> Result<Vec<&'a Json>, Refusal> {
    let section = text(reference, "/sectionName");
    let port = number(reference, "/port");
    let named: Vec<&Json> = list(gateway, "/spec/listeners")
        .iter()
        .filter(|l| section.is_empty() || text(l, "/name") == section)
        .filter(|l| port.is_none() || number(l, "/port") == port)
        .collect();
    if named.is_empty() {
        return Err(("NoMatchingParent", format!("sectionName \"{section}\" not found")));
    }
    let home = namespace(route);
    let allowed: Vec<&Json> = named
        .into_iter()
        .filter(|l| matches!(text(l, "/protocol"), "HTTP" | "HTTPS"))
        .filter(|l| {
            let kinds = list(l, "/allowedRoutes/kinds");
            kinds.is_empty() || kinds.iter().any(|k| text(k, "/kind") == text(route, "/kind"))
        })
        .filter(|l| namespace_allowed(api, gateway, l, home))
        .collect();
    if allowed.is_empty() {
        return Err((
            "NotAllowedByListeners",
            format!("hostnames and namespace \"{home}\" are not allowed by any listener of the parent"),
        ));
    }
    let hosts = list(route, "/spec/hostnames");
    let meeting: Vec<&Json> = allowed
        .into_iter()
        .filter(|l| {
            hosts.is_empty()
                || hosts.iter().filter_map(Json::as_str).any(|host| hostnames_meet(text(l, "/hostname"), host))
        })
        .collect();
    if meeting.is_empty() {
        return Err(("NoMatchingListenerHostname", "no hostnames matched parent hostname".to_owned()));
    }
    Ok(meeting)
}

/// Whether a reference across namespaces is granted by a ReferenceGrant in the namespace it points to.
pub fn granted(api: &dyn Api, from: (&str, &str, &str), to: (&str, &str, &str, &str)) -> bool {
    let (from_group, from_kind, from_namespace) = from;
    let (to_group, to_kind, to_namespace, to_name) = to;
    if from_namespace == to_namespace {
        return true;
    }
    let versions = ["v1", "v1beta1"].map(|v| Gvk::new("gateway.networking.k8s.io", v, "ReferenceGrant"));
    let Some(gvk) = versions.iter().find(|gvk| api.serves(gvk)) else { return false };
    api.list(gvk, Some(to_namespace)).iter().any(|grant| {
        list(grant, "/spec/from").iter().any(|f| {
            text(f, "/group") == from_group && text(f, "/kind") == from_kind && text(f, "/namespace") == from_namespace
        }) && list(grant, "/spec/to").iter().any(|t| {
            text(t, "/group") == to_group
                && text(t, "/kind") == to_kind
                && matches!(text(t, "/name"), name if name.is_empty() || name == to_name)
        })
    })
}

/// The name of the headless Service that stands for an InferencePool inside Istio.
pub fn shadow_service(pool: &str) -> String {
    let digest = super::super::objects::sha256_hex(pool.as_bytes());
    let name = format!("{pool}-ip-{}", &digest[..8]);
    name.chars().take(63).collect()
}

/// What a backend reference of a route points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The Service: the one named, or the shadow of the pool named.
    pub service: Arc<Json>,
    /// The Service's port.
    pub port: i64,
    /// The InferencePool, when one is named.
    pub pool: Option<Arc<Json>>,
}

/// Resolves a backend reference of a route. `pools` is the group whose InferencePools are understood.
///
/// # Errors
/// Reason and message of `ResolvedRefs`.
pub fn backend(api: &dyn Api, route: &Json, reference: &Json, pools: Option<&str>) -> Result<Backend, Refusal> {
    let (group, kind) = (text(reference, "/group"), text(reference, "/kind"));
    let kind = if kind.is_empty() { "Service" } else { kind };
    let home = match text(reference, "/namespace") {
        "" => namespace(route),
        home => home,
    };
    let to = text(reference, "/name");
    let from = ("gateway.networking.k8s.io", text(route, "/kind"), namespace(route));
    let grant = || match granted(api, from, (group, kind, home, to)) {
        true => Ok(()),
        false => Err((
            "RefNotPermitted",
            format!(
                "backendRef {to}/{home} not accessible to a {} in namespace \"{}\" (missing a ReferenceGrant?)",
                text(route, "/kind"),
                namespace(route)
            ),
        )),
    };
    match (group, kind) {
        ("", "Service") => {
            grant()?;
            let Some(port) = number(reference, "/port") else {
                return Err(("InvalidDestination", "port is required in backendRef".to_owned()));
            };
            let not_found = || ("BackendNotFound", format!("backend({to}.{home}.svc.cluster.local) not found"));
            let service = api.get(&core("Service"), home, to).ok_or_else(not_found)?;
            Ok(Backend { service, port, pool: None })
        }
        (_, "InferencePool") if pools == Some(group) => {
            grant()?;
            let not_found = || ("BackendNotFound", format!("backend({to}.{home}.svc.cluster.local) not found"));
            let version = if group.contains("x-k8s") { "v1alpha2" } else { "v1" };
            let pool = api.get(&Gvk::new(group, version, "InferencePool"), home, to).ok_or_else(not_found)?;
            let service = api.get(&core("Service"), home, &shadow_service(to)).ok_or_else(not_found)?;
            let port = number(&service, "/spec/ports/0/port").unwrap_or(54321);
            Ok(Backend { service, port, pool: Some(pool) })
        }
        (_, "InferencePool") if pools.is_none() => Err((
            "InvalidKind",
            "InferencePool is not enabled. To enable, set ENABLE_GATEWAY_API_INFERENCE_EXTENSION to true in istiod"
                .to_owned(),
        )),
        _ => Err(("InvalidKind", format!("referencing unsupported backendRef: group \"{group}\" kind \"{kind}\""))),
    }
}

/// All backend references of a route.
pub fn backend_references(route: &Json) -> impl Iterator<Item = &Json> {
    list(route, "/spec/rules").iter().flat_map(|rule| list(rule, "/backendRefs"))
}

/// The ready endpoints of a Service's port: pod and port number.
pub fn endpoints(api: &dyn Api, service: &Json, port: i64) -> Vec<(Arc<Json>, u16)> {
    let home = namespace(service);
    let Some(entry) = list(service, "/spec/ports").iter().find(|p| number(p, "/port") == Some(port)) else {
        return Vec::new();
    };
    let port_name = text(entry, "/name");
    let slices = api.list(&Gvk::new("discovery.k8s.io", "v1", "EndpointSlice"), Some(home));
    let mut found = Vec::new();
    for slice in slices.iter().filter(|s| label(s, "kubernetes.io/service-name") == name(service)) {
        let Some(target) = list(slice, "/ports").iter().find(|p| text(p, "/name") == port_name) else { continue };
        let Some(target) = number(target, "/port").and_then(|p| u16::try_from(p).ok()) else { continue };
        for endpoint in list(slice, "/endpoints") {
            if endpoint.pointer("/conditions/ready").and_then(Json::as_bool) == Some(true)
                && let Some(pod) = api.get(&core("Pod"), home, text(endpoint, "/targetRef/name"))
            {
                found.push((pod, target));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert!(host_matches("", "a.b"));
        assert!(host_matches("*.b", "A.b"));
        assert!(!host_matches("*.b", "b"));
        assert!(hostnames_meet("*.example.com", "a.example.com"));
        assert!(!hostnames_meet("a.example.com", "b.example.com"));
    }

    #[test]
    fn shadow_names_fit() {
        assert!(shadow_service("qwen-inference-pool").starts_with("qwen-inference-pool-ip-"));
        assert_eq!(shadow_service(&"x".repeat(70)).len(), 63);
    }
}
