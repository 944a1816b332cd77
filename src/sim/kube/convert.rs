//! Between the version objects are stored in and the version a request speaks.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::api::{Gvk, ServiceReference, Status};
use super::fault;
use super::registry::Resource;
use super::server::ApiServer;
use super::waiting;

/// One stored object in the request's version.
pub(crate) async fn one(server: &ApiServer, resource: &Resource, object: Arc<Json>) -> Result<Arc<Json>, Status> {
    Ok(many(server, resource, vec![object]).await?.remove(0))
}

/// Stored objects in the request's version.
pub(crate) async fn many(
    server: &ApiServer,
    resource: &Resource,
    objects: Vec<Arc<Json>>,
) -> Result<Vec<Arc<Json>>, Status> {
    let wanted = resource.api_version();
    if objects.iter().all(|object| object["apiVersion"] == wanted) {
        return Ok(objects);
    }
    to(server, resource, &wanted, objects).await
}

/// An object of the request's version in the version it is stored in.
pub(crate) async fn to_storage(server: &ApiServer, resource: &Resource, object: Json) -> Result<Json, Status> {
    let wanted = resource.storage_api_version();
    if object["apiVersion"] == wanted {
        return Ok(object);
    }
    let converted = to(server, resource, &wanted, vec![Arc::new(object)]).await?.remove(0);
    Ok(Arc::try_unwrap(converted).unwrap_or_else(|shared| (*shared).clone()))
}

async fn to(
    server: &ApiServer,
    resource: &Resource,
    wanted: &str,
    objects: Vec<Arc<Json>>,
) -> Result<Vec<Arc<Json>>, Status> {
    let webhook = resource.custom.as_ref().map(|crd| &crd["spec"]["conversion"]);
    match webhook.filter(|conversion| conversion["strategy"] == "Webhook") {
        Some(conversion) => by_webhook(server, resource, conversion, wanted, objects).await,
        None => Ok(objects.into_iter().map(|object| relabel(&object, wanted)).collect()),
    }
}

/// The same object under another apiVersion.
pub(crate) fn relabel(object: &Arc<Json>, api_version: &str) -> Arc<Json> {
    if object["apiVersion"] == api_version {
        return object.clone();
    }
    let mut object = (**object).clone();
    match (object["kind"].as_str(), api_version) {
        (Some("HorizontalPodAutoscaler"), "autoscaling/v1") => autoscaler_to_v1(&mut object),
        (Some("HorizontalPodAutoscaler"), "autoscaling/v2") => autoscaler_to_v2(&mut object),
        _ => {}
    }
    object["apiVersion"] = Json::from(api_version);
    Arc::new(object)
}

fn is_cpu(metric: &Json) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

fn autoscaler_to_v1(object: &mut Json) {
    let Some(spec) = object["spec"].as_object_mut() else { return };
    if let Some(Json::Array(metrics)) = spec.shift_remove("metrics")
        && let Some(cpu) = metrics.iter().find(|m| is_cpu(m))
    {
        let target = cpu["resource"]["target"]["averageUtilization"].clone();
        spec.insert("targetCPUUtilizationPercentage".to_owned(), target);
    }
}

fn autoscaler_to_v2(object: &mut Json) {
    let Some(spec) = object["spec"].as_object_mut() else { return };
    if let Some(target) = spec.shift_remove("targetCPUUtilizationPercentage") {
        let resource = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}});
        spec.insert("metrics".to_owned(), json!([{"type": "Resource", "resource": resource}]));
    }
}

async fn by_webhook(
    server: &ApiServer,
    resource: &Resource,
    conversion: &Json,
    wanted: &str,
    objects: Vec<Arc<Json>>,
) -> Result<Vec<Arc<Json>>, Status> {
    let config = &conversion["webhook"]["clientConfig"];
    let from = objects.iter().find(|o| o["apiVersion"] != wanted);
    let from =
        from.map(|o| Gvk::of(o).map_or_else(String::new, |gvk| format!("{}, Kind={}", gvk.api_version(), gvk.kind)));
    let failed = |why: &str| {
        fault::internal(&format!("conversion webhook for {} failed: {why}", from.clone().unwrap_or_default()))
    };
    let Some(service) = service_reference(config) else { return Err(failed("no service is configured")) };
    let pending: Vec<Json> = objects.iter().filter(|o| o["apiVersion"] != wanted).map(|o| (**o).clone()).collect();
    let review = json!({
        "kind": "ConversionReview",
        "apiVersion": "apiextensions.k8s.io/v1",
        "request": {"uid": server.random.uuid(), "desiredAPIVersion": wanted, "objects": pending},
    });
    let ca = ca_bundle(config);
    let answer = waiting::through(&*server.clock, server.webhooks.call(&service, &ca, review)).await;
    let answer = answer.map_err(|why| failed(&post_failure(&service, 30, &why)))?;
    let response = &answer["response"];
    if response["result"]["status"] != "Success" {
        return Err(failed(response["result"]["message"].as_str().unwrap_or("no result")));
    }
    let mut converted = response["convertedObjects"].as_array().cloned().unwrap_or_default().into_iter();
    if converted.len() != pending.len() {
        return Err(failed(&format!("expected {} converted objects, got {}", pending.len(), converted.len())));
    }
    let mut out = Vec::with_capacity(objects.len());
    for object in objects {
        if object["apiVersion"] == wanted {
            out.push(object);
            continue;
        }
        let mut new = converted.next().unwrap_or_default();
        if new["apiVersion"] != wanted || new["kind"] != resource.kind.as_str() {
            return Err(failed(&format!("returned {} instead of {wanted}", new["apiVersion"])));
        }
        // A webhook changes labels and annotations of the metadata and nothing else.
        for (key, value) in object["metadata"].as_object().into_iter().flatten() {
            if key != "labels" && key != "annotations" {
                new["metadata"][key] = value.clone();
            }
        }
        out.push(Arc::new(new));
    }
    Ok(out)
}

/// What Go's HTTP client says around a failed call.
pub(crate) fn post_failure(service: &ServiceReference, seconds: u64, why: &str) -> String {
    format!(
        "Post \"https://{}.{}.svc:{}{}?timeout={seconds}s\": {why}",
        service.name, service.namespace, service.port, service.path
    )
}

/// `clientConfig.service`, if there is one.
pub(crate) fn service_reference(config: &Json) -> Option<ServiceReference> {
    let service = config["service"].as_object()?;
    let text = |key: &str| service.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let path = text("path");
    Some(ServiceReference {
        namespace: text("namespace"),
        name: text("name"),
        path: if path.is_empty() { "/".to_owned() } else { path },
        port: service.get("port").and_then(Json::as_u64).and_then(|p| u16::try_from(p).ok()).unwrap_or(443),
    })
}

/// The decoded `caBundle`; empty when there is none.
pub(crate) fn ca_bundle(config: &Json) -> String {
    use base64::Engine;
    let text = config["caBundle"].as_str().unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
