//! The last hop: how a gateway's proxy connects to a pod, and when that fails as Envoy's would.

use std::sync::Arc;

use serde_json::Value as Json;

use super::network;
use super::plane::DataPlane;
use crate::sim::controllers::addons::istio::{PROXY_CONTAINER, networking, served};
use crate::sim::controllers::addons::kserve::negotiates_http2;
use crate::sim::controllers::addons::objects::{core, list, name, namespace, number, secret_text, selects, text};
use crate::sim::controllers::addons::{pki, vllm};
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::Instance;
use crate::sim::controllers::webhooks::verify;
use crate::sim::kube::api::{Api, Gvk};

/// What Envoy answers with 503.
pub type Failure = String;

/// How a proxy connects.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    Plain,
    /// TLS; with roots and names the server's certificate is checked against them.
    Tls {
        roots: Option<String>,
        names: Vec<String>,
    },
    /// With the mesh's own certificates.
    Mutual,
}

const RESET: &str = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";

fn tls_failure(code: &str, word: &str) -> Failure {
    format!(
        "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection \
         failure, transport failure reason: TLS_error:|{code}:SSL routines:OPENSSL_internal:{word}:TLS_error_end"
    )
}

/// The namespace of the mesh's own configuration: where the control plane runs.
fn root_namespace(api: &dyn Api) -> String {
    let pods = api.list(&core("Pod"), None);
    let pilot = pods.iter().find(|pod| {
        list(pod, "/spec/containers").iter().any(|c| {
            Image::parse(text(c, "/image")).is_ok_and(|i| i.base() == "pilot" || i.base().starts_with("istio-pilot"))
        })
    });
    pilot.map_or_else(|| "istio-system".to_owned(), |pod| namespace(pod).to_owned())
}

/// Whether a DestinationRule's host is this Service.
fn host_is(rule: &Json, service: &str, home: &str) -> bool {
    let host = text(rule, "/spec/host");
    let whole = format!("{service}.{home}.svc.cluster.local");
    host == whole
        || (host == service && namespace(rule) == home)
        || host == format!("{service}.{home}")
        || host == format!("{service}.{home}.svc")
        || host.strip_prefix('*').is_some_and(|suffix| !suffix.is_empty() && whole.ends_with(suffix))
        || host == "*"
}

/// Whether DestinationRules have a Service's requests spread one after the other, and not by load.
pub fn takes_turns(plane: &DataPlane, proxy: &Json, service: &Json, port: i64) -> bool {
    let way = policy_of(&*plane.api, namespace(proxy), service, port, "loadBalancer");
    way.is_some_and(|way| text(&way, "/simple") == "ROUND_ROBIN")
}

/// The TLS settings that DestinationRules give for a Service's port, seen from a namespace.
fn rule_for(api: &dyn Api, client: &str, service: &Json, port: i64) -> Option<Json> {
    policy_of(api, client, service, port, "tls")
}

/// A part of the traffic policy that DestinationRules give for a Service's port, seen from a namespace.
fn policy_of(api: &dyn Api, client: &str, service: &Json, port: i64, part: &str) -> Option<Json> {
    let (own, home) = (name(service), namespace(service));
    let root = root_namespace(api);
    let rules = served(api, &networking("DestinationRule"));
    let visible = |rule: &&Arc<Json>| {
        let to = list(rule, "/spec/exportTo");
        let exported =
            to.is_empty() || to.iter().any(|t| t == "*" || t == client || (t == "." && namespace(rule) == client));
        exported && host_is(rule, own, home)
    };
    // The client's namespace comes first, then the Service's, then the mesh's.
    let by_preference = [client, home, root.as_str()];
    let rule = by_preference.iter().find_map(|space| {
        let mut found: Vec<&Arc<Json>> = rules.iter().filter(|r| namespace(r) == *space).filter(visible).collect();
        // The most specific host wins.
        found.sort_by_key(|r| (text(r, "/spec/host").starts_with('*'), std::cmp::Reverse(text(r, "/spec/host").len())));
        found.first().copied().cloned()
    })?;
    let ports = list(&rule, "/spec/trafficPolicy/portLevelSettings");
    let own_port = ports.iter().find(|p| number(p, "/port/number") == Some(port)).and_then(|p| p.get(part));
    own_port.or_else(|| rule.pointer("/spec/trafficPolicy")?.get(part)).cloned()
}

/// The BackendTLSPolicy of a Service: roots and name.
fn policy_for(api: &dyn Api, service: &Json) -> Option<Mode> {
    let versions = ["v1", "v1alpha3"].map(|v| Gvk::new("gateway.networking.k8s.io", v, "BackendTLSPolicy"));
    let policy = served(api, &versions).into_iter().find(|policy| {
        namespace(policy) == namespace(service)
            && list(policy, "/spec/targetRefs")
                .iter()
                .any(|t| text(t, "/kind") == "Service" && text(t, "/name") == name(service))
    })?;
    let mut roots = String::new();
    for reference in list(&policy, "/spec/validation/caCertificateRefs") {
        let home = namespace(&policy);
        if text(reference, "/kind") == "Secret" {
            let secret = api.get(&core("Secret"), home, text(reference, "/name"));
            roots.push_str(&secret.and_then(|s| secret_text(&s, "ca.crt")).unwrap_or_default());
        } else if let Some(map) = api.get(&core("ConfigMap"), home, text(reference, "/name")) {
            roots.push_str(text(&map, "/data/ca.crt"));
        }
        roots.push('\n');
    }
    Some(Mode::Tls { roots: Some(roots), names: vec![text(&policy, "/spec/validation/hostname").to_owned()] })
}

/// The contents of a file in a container, as far as it comes from a ConfigMap or Secret.
pub fn file(api: &dyn Api, pod: &Json, container: &str, path: &str) -> Option<String> {
    let container = list(pod, "/spec/containers").iter().find(|c| text(c, "/name") == container)?;
    let mount = list(container, "/volumeMounts")
        .iter()
        .filter(|m| path.starts_with(text(m, "/mountPath").trim_end_matches('/')))
        .max_by_key(|m| text(m, "/mountPath").len())?;
    let wanted = match text(mount, "/subPath") {
        "" => path.strip_prefix(text(mount, "/mountPath").trim_end_matches('/'))?.trim_start_matches('/'),
        sub => sub,
    };
    let volume = list(pod, "/spec/volumes").iter().find(|v| v["name"] == mount["name"])?;
    let key = |source: &Json| -> Option<String> {
        match list(source, "/items") {
            [] => Some(wanted.to_owned()),
            items => items.iter().find(|i| text(i, "/path") == wanted).map(|i| text(i, "/key").to_owned()),
        }
    };
    let home = namespace(pod);
    let map = |source: &Json| -> Option<String> {
        let map = api.get(&core("ConfigMap"), home, text(source, "/name"))?;
        map["data"].get(key(source)?)?.as_str().map(str::to_owned)
    };
    let secret = |source: &Json, name: &str| -> Option<String> {
        secret_text(&*api.get(&core("Secret"), home, text(source, name))?, &key(source)?)
    };
    if let Some(source) = volume.get("configMap") {
        return map(source);
    }
    if let Some(source) = volume.get("secret") {
        return secret(source, "/secretName");
    }
    list(volume, "/projected/sources").iter().find_map(|source| {
        let from_map = source.get("configMap").and_then(map);
        from_map.or_else(|| source.get("secret").and_then(|s| secret(s, "/name")))
    })
}

fn mode(plane: &DataPlane, proxy: &Json, service: &Json, port: i64, pod: &Json) -> Result<Mode, Failure> {
    let api = &*plane.api;
    let Some(tls) = rule_for(api, namespace(proxy), service, port).filter(|tls| !text(tls, "/mode").is_empty()) else {
        if let Some(policy) = policy_for(api, service) {
            return Ok(policy);
        }
        // Between members of the mesh, proxies agree on TLS by themselves.
        return Ok(if in_mesh(pod) { Mode::Mutual } else { Mode::Plain });
    };
    match text(&tls, "/mode") {
        "DISABLE" => Ok(Mode::Plain),
        "ISTIO_MUTUAL" => Ok(Mode::Mutual),
        _ => {
            if tls["insecureSkipVerify"] == true {
                return Ok(Mode::Tls { roots: None, names: Vec::new() });
            }
            let names = list(&tls, "/subjectAltNames").iter().filter_map(Json::as_str).map(str::to_owned).collect();
            let roots = match (text(&tls, "/credentialName"), text(&tls, "/caCertificates")) {
                // The system's authorities, none of which has signed anything in this cluster.
                ("", "" | "system") => String::new(),
                ("", path) => file(api, proxy, PROXY_CONTAINER, path).unwrap_or_default(),
                (credential, _) => {
                    let home = namespace(proxy);
                    let find = |name: &str| api.get(&core("Secret"), home, name);
                    let secret = find(&format!("{credential}-cacert")).or_else(|| find(credential));
                    secret
                        .and_then(|s| secret_text(&s, "ca.crt").or_else(|| secret_text(&s, "cacert")))
                        .unwrap_or_default()
                }
            };
            Ok(Mode::Tls { roots: Some(roots), names })
        }
    }
}

fn in_mesh(pod: &Json) -> bool {
    list(pod, "/spec/containers").iter().any(|c| text(c, "/name") == PROXY_CONTAINER)
}

/// Whether the mesh takes nothing but its own TLS into this pod.
fn strict(api: &dyn Api, pod: &Json) -> bool {
    let versions = ["v1", "v1beta1"].map(|v| Gvk::new("security.istio.io", v, "PeerAuthentication"));
    let root = root_namespace(api);
    let policies = served(api, &versions);
    let labels = pod.pointer("/metadata/labels").unwrap_or(&Json::Null);
    let selector = |p: &Json| p.pointer("/spec/selector").cloned().filter(|s| s.is_object());
    let own = policies
        .iter()
        .find(|p| namespace(p) == namespace(pod) && selector(p).is_some_and(|s| selects(&s, labels)))
        .or_else(|| policies.iter().find(|p| namespace(p) == namespace(pod) && selector(p).is_none()))
        .or_else(|| policies.iter().find(|p| namespace(p) == root && selector(p).is_none()));
    own.is_some_and(|p| text(p, "/spec/mtls/mode") == "STRICT")
}

/// Whether a gateway's proxy gets through to the server in a pod, reached as a Service's port.
///
/// # Errors
/// The text of Envoy's 503.
pub fn connect(plane: &DataPlane, proxy: &Json, service: &Json, port: i64, server: &Instance) -> Result<(), Failure> {
    let api = &*plane.api;
    let pod = &*server.pod;
    let presents = vllm::tls_files(server, api).map(|(chain, _)| chain);
    let reset = || Err(RESET.to_owned());
    let wrong_version = || Err(tls_failure("268435703", "WRONG_VERSION_NUMBER"));
    let unverified = || Err(tls_failure("268435581", "CERTIFICATE_VERIFY_FAILED"));
    let mode = mode(plane, proxy, service, port, pod)?;
    if in_mesh(pod) && mode != Mode::Mutual && strict(api, pod) {
        return reset();
    }
    match (mode, presents) {
        (Mode::Plain, None) => Ok(()),
        (Mode::Plain, Some(_)) => reset(),
        // The sidecar takes the mesh's TLS off and goes on in plain text.
        (Mode::Mutual, None) if in_mesh(pod) => Ok(()),
        (Mode::Mutual, Some(_)) if in_mesh(pod) => reset(),
        (Mode::Mutual, Some(_)) => unverified(),
        (Mode::Mutual | Mode::Tls { .. }, None) => wrong_version(),
        (Mode::Tls { roots: None, .. }, Some(_)) => Ok(()),
        (Mode::Tls { roots: Some(roots), names }, Some(chain)) => {
            let has = pki::names(&chain);
            // Without names to look for, Envoy checks the chain alone.
            let candidates = if names.is_empty() { has.clone() } else { names };
            let named = candidates.iter().find(|name| has.contains(name));
            match named.map(|name| verify(&chain, &roots, name, plane.clock.now())) {
                Some(Ok(())) => Ok(()),
                _ => unverified(),
            }
        }
    }
}

/// Whether the proxy gets through to an endpoint picker, which always speaks TLS and needs HTTP/2 in it.
pub fn reaches_picker(plane: &DataPlane, proxy: &Json, service: &Json, port: i64, picker: &Arc<Json>) -> bool {
    let api = &*plane.api;
    let Some(instance) = Instance::of(picker, "main") else { return false };
    if !negotiates_http2(&instance.image) || !network::connects(api, proxy, picker, port) {
        return false;
    }
    let presents = instance
        .argument("cert-path")
        .filter(|path| !path.is_empty())
        .and_then(|path| file(api, picker, "main", &format!("{}/tls.crt", path.trim_end_matches('/'))));
    match (mode(plane, proxy, service, port, picker), presents) {
        (Ok(Mode::Tls { roots: None, .. }), _) => true,
        // Without files it presents a certificate that it signed itself.
        (Ok(Mode::Tls { roots: Some(roots), names }), Some(chain)) => {
            let has = pki::names(&chain);
            let candidates = if names.is_empty() { has.clone() } else { names };
            let named = candidates.iter().find(|name| has.contains(name));
            named.is_some_and(|name| verify(&chain, &roots, name, plane.clock.now()).is_ok())
        }
        _ => false,
    }
}
