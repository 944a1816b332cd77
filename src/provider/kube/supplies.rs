//! What an object waits for that others bring: a volume, an address, a signature, a controller.
//!
//! Each looks one step further than the object's own status: at the events about it, at the class that it names, at the
//! request that was made for it. Workloads and their pods are in `causes`.

use serde_json::Value as Json;

use super::causes::{Event, events, is_owned_by, items, list, text, worst};
use super::client::Cluster;
use super::decided::decided;
use super::discovery::escape;
use super::patience::{ABSENT, CLOUD, DECIDED, End, Explanation, SUPPLY};
use super::refusal::Refusal;
use super::status::{condition, describe, is_true};

/// Why an object that is no workload is not ready, as far as what it waits for says.
///
/// # Errors
/// A failed look at the cluster.
pub async fn wanting(cluster: &Cluster, object: &Json, grows: bool) -> Result<Option<Explanation>, Refusal> {
    let group = text(object, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
    match (group, text(object, "/kind")) {
        ("", "PersistentVolumeClaim") => claim(cluster, object).await,
        ("", "Service") => balancer(cluster, object).await,
        ("gateway.networking.k8s.io", "Gateway") => gateway(cluster, object).await,
        ("cert-manager.io", "Certificate") => certificate(cluster, object).await,
        ("admissionregistration.k8s.io", _) => webhooks(cluster, object, grows).await,
        _ => Ok(decided(object)),
    }
}

/// The latest of the events with one of these reasons.
fn latest<'e>(events: &'e [Event], reasons: &[&str]) -> Option<&'e Event> {
    events.iter().rev().find(|event| reasons.contains(&event.reason.as_str()))
}

/// Why a claim is not bound; nothing where it waits for its first consumer, as it should.
///
/// # Errors
/// A failed look at the cluster.
pub async fn claim(cluster: &Cluster, claim: &Json) -> Result<Option<Explanation>, Refusal> {
    if matches!(text(claim, "/status/phase"), "Bound" | "Lost") {
        return Ok(None);
    }
    let events = events(cluster, claim).await?;
    let Some(event) = latest(&events, &["ProvisioningFailed", "FailedBinding"]) else { return Ok(None) };
    // What is not there may come; what is used up may be let go of.
    let patience = if event.message.to_lowercase().contains("quota") { CLOUD } else { ABSENT };
    let cause = format!("{}: {}", event.reason, event.message);
    Ok(Some(Explanation::ending(cause, End::Lasting(patience, event.first))))
}

/// Why a load balancer has no address.
async fn balancer(cluster: &Cluster, service: &Json) -> Result<Option<Explanation>, Refusal> {
    if service.pointer("/status/loadBalancer/ingress/0").is_some() {
        return Ok(None);
    }
    let events = events(cluster, service).await?;
    let Some(event) = latest(&events, &["SyncLoadBalancerFailed"]) else { return Ok(None) };
    let cause = format!("{}: {}", event.reason, event.message);
    // A cluster whose nodes are still to come has nothing to put behind it.
    let end = match event.message.contains("no hosts provided") {
        true => End::Open,
        false => End::Lasting(CLOUD, event.first),
    };
    Ok(Some(Explanation::ending(cause, end)))
}

async fn gateway(cluster: &Cluster, gateway: &Json) -> Result<Option<Explanation>, Refusal> {
    let name = text(gateway, "/spec/gatewayClassName");
    let path = format!("/apis/gateway.networking.k8s.io/v1/gatewayclasses/{}", escape(name));
    match cluster.get(&path).await {
        Ok(class) => {
            if let Some(found) = decided(&class) {
                return Ok(Some(found.below(format!("GatewayClass {name}"))));
            }
        }
        Err(refusal) if refusal.is_not_found() => {
            let cause = format!("GatewayClass {name} does not exist, so no controller looks after the gateway");
            return Ok(Some(Explanation::ending(cause, End::Lasting(ABSENT, None))));
        }
        Err(refusal) => return Err(refusal),
    }
    if let Some(found) = decided(gateway) {
        return Ok(Some(found));
    }
    let selector = escape(&format!("gateway.networking.k8s.io/gateway-name={}", text(gateway, "/metadata/name")));
    let namespace = escape(text(gateway, "/metadata/namespace"));
    let services = list(cluster, &format!("/api/v1/namespaces/{namespace}/services?labelSelector={selector}")).await?;
    for service in items(&services).filter(|service| text(service, "/spec/type") == "LoadBalancer") {
        if let Some(found) = balancer(cluster, service).await? {
            return Ok(Some(found.below(format!("Service {}", text(service, "/metadata/name")))));
        }
    }
    Ok(None)
}

/// Why a certificate is not issued: its request, and whoever is to sign it.
async fn certificate(cluster: &Cluster, certificate: &Json) -> Result<Option<Explanation>, Refusal> {
    let namespace = text(certificate, "/metadata/namespace");
    let uid = text(certificate, "/metadata/uid");
    let path = format!("/apis/cert-manager.io/v1/namespaces/{}/certificaterequests", escape(namespace));
    let requests = list(cluster, &path).await?;
    let request = items(&requests).filter(|request| is_owned_by(request, uid)).find_map(|request| {
        let ready = condition(request, "Ready").filter(|ready| !is_true(ready))?;
        Some((format!("CertificateRequest {}", text(request, "/metadata/name")), ready))
    });
    let Some((request, ready)) = request else { return Ok(decided(certificate)) };
    let message = text(ready, "/message");
    let said = describe("Ready", ready);
    if message.contains("not found") {
        return Ok(Some(Explanation::ending(said, since(ready, ABSENT)).below(request)));
    }
    if message.contains("does not have a Ready status condition") {
        let kind = match text(certificate, "/spec/issuerRef/kind") {
            "" => "Issuer",
            kind => kind,
        };
        let name = text(certificate, "/spec/issuerRef/name");
        let place = match kind {
            "ClusterIssuer" => format!("clusterissuers/{}", escape(name)),
            _ => format!("namespaces/{}/issuers/{}", escape(namespace), escape(name)),
        };
        let issuer = match cluster.get(&format!("/apis/cert-manager.io/v1/{place}")).await {
            Ok(issuer) => issuer,
            Err(refusal) if refusal.is_not_found() => Json::Null,
            Err(refusal) => return Err(refusal),
        };
        if let Some(found) = decided(&issuer) {
            return Ok(Some(found.below(format!("{kind} {name}")).below(request)));
        }
    }
    Ok(Some(Explanation::open(said).below(request)))
}

/// What a webhook lacks: the CA that its answers are verified with, or somebody who answers.
async fn webhooks(cluster: &Cluster, configuration: &Json, grows: bool) -> Result<Option<Explanation>, Refusal> {
    for hook in configuration["webhooks"].as_array().into_iter().flatten() {
        let (name, service) = (text(hook, "/name"), hook.pointer("/clientConfig/service"));
        let Some(service) = service else { continue };
        if text(hook, "/clientConfig/caBundle").is_empty() {
            let found = authority(cluster, configuration).await?;
            return Ok(Some(found.below(format!("{name} has no caBundle"))));
        }
        if hook["failurePolicy"] == "Ignore" {
            continue;
        }
        if let Some(found) = behind(cluster, service, grows).await? {
            return Ok(Some(found.below(format!("nobody answers for {name}"))));
        }
    }
    Ok(None)
}

/// Who was to say what a webhook's answers are verified with.
async fn authority(cluster: &Cluster, configuration: &Json) -> Result<Explanation, Refusal> {
    let annotations = configuration.pointer("/metadata/annotations");
    let from = annotations.and_then(|all| all.get("cert-manager.io/inject-ca-from")).and_then(Json::as_str);
    if let Some((namespace, name)) = from.and_then(|from| from.split_once('/')) {
        let path = format!("/apis/cert-manager.io/v1/namespaces/{}/certificates/{}", escape(namespace), escape(name));
        match cluster.get(&path).await {
            Ok(found) if !condition(&found, "Ready").is_some_and(is_true) => {
                let why = certificate(cluster, &found).await?;
                let why = why.unwrap_or_else(|| Explanation::open("it is not issued yet"));
                return Ok(why.below(format!("Certificate {namespace}/{name}")));
            }
            Ok(_) => {}
            Err(refusal) if refusal.is_not_found() => {
                let cause = format!("Certificate {namespace}/{name}, whose CA is to be put there, does not exist");
                return Ok(Explanation::ending(cause, End::Lasting(ABSENT, None)));
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(Explanation::ending("nobody puts one there", End::Lasting(SUPPLY, None)))
}

/// Why a Service has nobody behind it; nothing when it has.
async fn behind(cluster: &Cluster, service: &Json, grows: bool) -> Result<Option<Explanation>, Refusal> {
    let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
    let path = format!("/api/v1/namespaces/{}/services/{}", escape(namespace), escape(name));
    let found = match cluster.get(&path).await {
        Ok(found) => found,
        Err(refusal) if refusal.is_not_found() => {
            let cause = format!("Service {namespace}/{name} does not exist");
            return Ok(Some(Explanation::ending(cause, End::Lasting(ABSENT, None))));
        }
        Err(refusal) => return Err(refusal),
    };
    let selector = found.pointer("/spec/selector").and_then(Json::as_object);
    let pairs = selector.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let selector = pairs.collect::<Vec<_>>().join(",");
    if selector.is_empty() {
        return Ok(None);
    }
    let path = format!("/api/v1/namespaces/{}/pods?labelSelector={}", escape(namespace), escape(&selector));
    let pods = list(cluster, &path).await?;
    if items(&pods).any(|pod| condition(pod, "Ready").is_some_and(is_true)) {
        return Ok(None);
    }
    let outer = format!("Service {namespace}/{name}");
    if let Some(found) = Box::pin(worst(cluster, items(&pods), grows)).await? {
        return Ok(Some(found.below(outer)));
    }
    Ok(Some(Explanation::ending(
        format!("{outer} selects no pod that is ready ({selector})"),
        End::Lasting(SUPPLY, None),
    )))
}

/// As long as the condition has been so.
fn since(condition: &Json, patience: std::time::Duration) -> End {
    End::Lasting(
        patience.max(DECIDED),
        condition["lastTransitionTime"].as_str().and_then(crate::env::clock::Timestamp::parse),
    )
}
