//! Endpoints and EndpointSlices: which Pods stand behind a Service now.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{Controller, Key, Outcome, Surroundings, fields, kinds, pods, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

const SERVICE: &str = "kubernetes.io/service-name";

/// The endpoints controllers, old and new.
#[derive(Debug, Clone, Copy)]
pub struct Endpoints;

#[async_trait]
impl Controller for Endpoints {
    fn name(&self) -> &'static str {
        "endpoints"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Service"), kinds::of("Pod")]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind == "Service" {
            return vec![changed.clone()];
        }
        let services = api.list(&kinds::of("Service"), Some(&changed.namespace));
        let chosen =
            services.iter().filter(|service| fields::selects_map(&service["spec"]["selector"], fields::labels(object)));
        chosen.map(|service| super::runner::key_of(kinds::of("Service"), service)).collect()
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        // Slices and Endpoints go with their Service, by owner reference and by name.
        let Some(service) = api.get(&key.gvk, &key.namespace, &key.name) else {
            if let Some(old) = api.get(&kinds::of("Endpoints"), &key.namespace, &key.name) {
                writes::delete(api, &old, None).await?;
            }
            return Ok(Outcome::Done);
        };
        let selector = &service["spec"]["selector"];
        let outside = fields::text(&service, "/spec/type") == "ExternalName";
        if fields::is_going(&service) || outside || selector.as_object().is_none_or(serde_json::Map::is_empty) {
            return Ok(Outcome::Done);
        }
        let behind: Vec<_> = api
            .list(&kinds::of("Pod"), Some(&key.namespace))
            .into_iter()
            .filter(|pod| fields::selects_map(selector, fields::labels(pod)))
            .filter(|pod| !pods::has_ended(pod) && !fields::text(pod, "/status/podIP").is_empty())
            .collect();
        // Pods whose containers number a named port differently need slices of their own.
        let mut groups: BTreeMap<String, (Json, Vec<Arc<Json>>)> = BTreeMap::new();
        for pod in &behind {
            let ports = ports(&service, Some(pod));
            groups.entry(pods::canonical(&ports)).or_insert_with(|| (ports, Vec::new())).1.push(pod.clone());
        }
        if groups.is_empty() {
            groups.insert(String::new(), (json!([]), Vec::new()));
        }
        let mut wanted = Vec::new();
        for (ports, pods) in groups.values() {
            wanted.push(slice(&service, ports, pods, wanted.len()));
        }
        let slices = api.list(&kinds::of("EndpointSlice"), Some(&key.namespace));
        let mine = slices.iter().filter(|slice| fields::is_controlled_by(slice, &service));
        for old in mine {
            if !wanted.iter().any(|slice| fields::name(slice) == fields::name(old)) {
                writes::delete(api, old, None).await?;
            }
        }
        for slice in wanted {
            put(api, slice, &["endpoints", "ports", "addressType"]).await?;
        }
        put(api, endpoints(&service, groups.values()), &["subsets"]).await?;
        Ok(Outcome::Done)
    }
}

/// Creates an object, or brings these fields and its labels up to date.
async fn put(api: &Arc<dyn Api>, wanted: Json, all: &[&str]) -> Result<(), Status> {
    let Some(gvk) = Gvk::of(&wanted) else { return Ok(()) };
    let Some(known) = api.get(&gvk, fields::namespace(&wanted), fields::name(&wanted)) else {
        return writes::create_missing(api, wanted).await;
    };
    let mut next = (*known).clone();
    for field in all {
        match wanted.get(*field) {
            Some(value) => next[*field] = value.clone(),
            None => drop(next.as_object_mut().and_then(|next| next.shift_remove(*field))),
        }
    }
    next["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
    writes::object(api, &known, next).await
}

/// The Service's ports as a Pod has them.
fn ports(service: &Json, pod: Option<&Json>) -> Json {
    let mut all = Vec::new();
    for port in fields::list(service, "/spec/ports") {
        let target = match port.get("targetPort") {
            Some(Json::String(name)) => match pod.and_then(|pod| named_port(pod, name)) {
                Some(number) => number,
                None => continue,
            },
            Some(Json::Number(number)) if number.as_i64() != Some(0) => number.as_i64().unwrap_or_default(),
            _ => fields::number(port, "/port").unwrap_or_default(),
        };
        let protocol = fields::text(port, "/protocol");
        let protocol = if protocol.is_empty() { "TCP" } else { protocol };
        let mut entry = json!({"name": fields::text(port, "/name"), "port": target, "protocol": protocol});
        if let Some(application) = port.get("appProtocol") {
            entry["appProtocol"] = application.clone();
        }
        all.push(entry);
    }
    Json::Array(all)
}

/// The number of a Pod's named port.
pub fn named_port(pod: &Json, name: &str) -> Option<i64> {
    let all = fields::list(pod, "/spec/containers").iter().chain(fields::list(pod, "/spec/initContainers"));
    let mut ports = all.flat_map(|container| fields::list(container, "/ports"));
    ports.find(|port| fields::text(port, "/name") == name).and_then(|port| fields::number(port, "/containerPort"))
}

fn reference(pod: &Json) -> Json {
    json!({"kind": "Pod", "namespace": fields::namespace(pod), "name": fields::name(pod), "uid": fields::uid(pod)})
}

fn serves_early(service: &Json) -> bool {
    fields::flag(service, "/spec/publishNotReadyAddresses")
}

fn slice(service: &Json, ports: &Json, behind: &[Arc<Json>], index: usize) -> Json {
    let endpoints: Vec<Json> = behind
        .iter()
        .map(|pod| {
            let (serving, going) = (pods::is_ready(pod), fields::is_going(pod));
            let ready = (serving && !going) || serves_early(service);
            let mut endpoint = json!({
                "addresses": [fields::text(pod, "/status/podIP")],
                "conditions": {"ready": ready, "serving": serving, "terminating": going},
                "nodeName": fields::text(pod, "/spec/nodeName"),
                "targetRef": reference(pod),
            });
            let (hostname, subdomain) = (fields::text(pod, "/spec/hostname"), fields::text(pod, "/spec/subdomain"));
            if !hostname.is_empty() && subdomain == fields::name(service) {
                endpoint["hostname"] = json!(hostname);
            }
            endpoint
        })
        .collect();
    let mut suffix = fields::hash(&format!("{}/{index}", fields::uid(service)));
    suffix.truncate(5);
    let mut labels = labels(service);
    labels[SERVICE] = json!(fields::name(service));
    labels["endpointslice.kubernetes.io/managed-by"] = json!("endpointslice-controller.k8s.io");
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{}-{suffix}", fields::name(service)),
            "generateName": format!("{}-", fields::name(service)), "namespace": fields::namespace(service),
            "labels": labels, "ownerReferences": [fields::owner_reference(service)],
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    })
}

fn labels(service: &Json) -> Json {
    let mut labels = fields::labels(service).clone();
    if !labels.is_object() {
        labels = json!({});
    }
    if fields::text(service, "/spec/clusterIP") == "None" {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    labels
}

fn endpoints<'a>(service: &Json, groups: impl Iterator<Item = &'a (Json, Vec<Arc<Json>>)>) -> Json {
    let mut subsets = Vec::new();
    for (ports, behind) in groups {
        let mut subset = json!({});
        for pod in behind {
            let ready = (pods::is_ready(pod) && !fields::is_going(pod)) || serves_early(service);
            let address = json!({
                "ip": fields::text(pod, "/status/podIP"), "nodeName": fields::text(pod, "/spec/nodeName"),
                "targetRef": reference(pod),
            });
            let list = &mut subset[if ready { "addresses" } else { "notReadyAddresses" }];
            match list.as_array_mut() {
                Some(list) => list.push(address),
                None => *list = json!([address]),
            }
        }
        if !behind.is_empty() {
            subset["ports"] = ports.clone();
            subsets.push(subset);
        }
    }
    let mut object = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": fields::name(service), "namespace": fields::namespace(service), "labels": labels(service)},
    });
    object["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"] = json!("endpoint-controller");
    if !subsets.is_empty() {
        object["subsets"] = json!(subsets);
    }
    object
}
