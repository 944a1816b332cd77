//! What each built-in kind does of its own when it is created or changed: generations, generated values,
//! status on the main resource. Defaults that follow from a schema are in `openapi`; refusals in `rules`.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use serde_json::{Map, Value as Json, json};

use super::api::Status;
use super::fault::{self, FieldError};
use super::registry::Resource;
use super::server::ApiServer;
use super::{convert, typed};

/// A stored object as a version of its kind, for readers inside the process. Webhook conversions are not
/// run: such objects keep the fields of the version they are stored in.
pub(crate) fn view(resource: &Resource, object: Arc<Json>) -> Arc<Json> {
    let webhook = resource.custom.as_ref().is_some_and(|crd| crd["spec"]["conversion"]["strategy"] == "Webhook");
    if webhook { object } else { convert::relabel(&object, &resource.api_version()) }
}

/// Fills in what the schema says is there when nothing is said.
pub(crate) fn default(server: &ApiServer, resource: &Resource, object: &mut Json) {
    let (group, plural) = (resource.group.as_str(), resource.plural.as_str());
    if let Some(schema) = server.schema(resource) {
        super::fields::default(&schema, object);
    }
    match (group, plural) {
        ("", "namespaces") => {
            let meta = typed::metadata(object);
            let name = meta.get("name").cloned().unwrap_or_default();
            if name.as_str().is_some_and(|name| !name.is_empty()) {
                let labels = meta.entry("labels").or_insert_with(|| json!({}));
                labels["kubernetes.io/metadata.name"] = name;
            }
        }
        ("", "secrets") => {
            if let Some(map) = object.as_object_mut() {
                merge_string_data(map);
            }
        }
        ("apps", "daemonsets") => {
            let annotations = typed::metadata(object).entry("annotations").or_insert_with(|| json!({}));
            if annotations[TEMPLATE_GENERATION].is_null() {
                annotations[TEMPLATE_GENERATION] = json!("1");
            }
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => super::crd::default(object),
        _ => {}
    }
}

/// How often a DaemonSet's template has changed, which it once had a field for.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn merge_string_data(secret: &mut Map<String, Json>) {
    let Some(Json::Object(texts)) = secret.shift_remove("stringData") else { return };
    let data = secret.entry("data").or_insert_with(|| json!({}));
    for (key, value) in texts {
        let bytes = value.as_str().unwrap_or_default();
        data[key] = Json::from(base64::engine::general_purpose::STANDARD.encode(bytes));
    }
}

/// Whether a PUT on a missing object makes it.
pub(crate) fn creates_on_update(resource: &Resource) -> bool {
    matches!(
        (resource.group.as_str(), resource.plural.as_str()),
        ("", "endpoints" | "events" | "services" | "limitranges" | "podtemplates")
            | ("events.k8s.io", "events")
            | ("coordination.k8s.io", "leases")
            | ("rbac.authorization.k8s.io", _)
    )
}

/// Whether a PUT without resourceVersion is taken.
pub(crate) fn unconditional_update(resource: &Resource) -> bool {
    resource.custom.is_none()
        && !matches!(
            resource.group.as_str(),
            "coordination.k8s.io"
                | "apiextensions.k8s.io"
                | "apiregistration.k8s.io"
                | "admissionregistration.k8s.io"
                | "policy"
        )
}

/// Whether changes of the spec count generations.
fn counts_generations(resource: &Resource) -> bool {
    if resource.custom.is_some() {
        return true;
    }
    matches!(
        (resource.group.as_str(), resource.plural.as_str()),
        ("", "pods" | "replicationcontrollers")
            | ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
            | ("batch", "jobs" | "cronjobs")
            | ("networking.k8s.io", "ingresses" | "networkpolicies" | "ingressclasses")
            | ("policy", "poddisruptionbudgets")
            | ("apiextensions.k8s.io", "customresourcedefinitions")
            | (
                "admissionregistration.k8s.io",
                "mutatingwebhookconfigurations"
                    | "validatingwebhookconfigurations"
                    | "validatingadmissionpolicies"
                    | "validatingadmissionpolicybindings"
                    | "mutatingadmissionpolicies"
                    | "mutatingadmissionpolicybindings"
            )
            | ("discovery.k8s.io", "endpointslices")
            | ("flowcontrol.apiserver.k8s.io", _)
            | ("scheduling.k8s.io", "priorityclasses")
            | ("resource.k8s.io", "deviceclasses" | "resourceslices")
            | ("storage.k8s.io", "csidrivers")
    )
}

/// The part whose changes count.
fn counted(resource: &Resource, object: &Json) -> Json {
    let mut map = object.as_object().cloned().unwrap_or_default();
    for key in ["metadata", "apiVersion", "kind"] {
        map.shift_remove(key);
    }
    if resource.custom.is_none() || resource.subresource("status").is_some() {
        map.shift_remove("status");
    }
    Json::Object(map)
}

/// What creating adds.
pub(crate) fn prepare_create(server: &ApiServer, resource: &Resource, object: &mut Json) -> Result<(), Status> {
    let with_status = resource.subresource("status").is_some();
    if with_status && resource.plural != "nodes" {
        object.as_object_mut().map(|map| map.shift_remove("status"));
    }
    if counts_generations(resource) {
        typed::metadata(object).insert("generation".to_owned(), json!(1));
    }
    if resource.custom.is_some() {
        return Ok(());
    }
    let initial = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => {
            let spec = object["spec"].as_object_mut();
            let held = spec.and_then(|spec| spec.get_mut("finalizers")?.as_array_mut());
            match held {
                Some(list) if list.iter().any(|f| f == "kubernetes") => {}
                Some(list) => list.push(Json::from("kubernetes")),
                None => object["spec"]["finalizers"] = json!(["kubernetes"]),
            }
            json!({"phase": "Active"})
        }
        ("", "pods") => {
            object["status"] = json!({"phase": "Pending", "qosClass": quality(object)});
            return Ok(());
        }
        ("", "services") => {
            service_addresses(server, object, None)?;
            json!({"loadBalancer": {}})
        }
        ("", "persistentvolumeclaims" | "persistentvolumes") => json!({"phase": "Pending"}),
        ("apps", "statefulsets") => json!({"replicas": 0, "availableReplicas": 0}),
        ("apps", "replicasets") => json!({"replicas": 0}),
        ("", "replicationcontrollers") => json!({"replicas": 0}),
        ("apps", "daemonsets") => json!({
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
        }),
        ("policy", "poddisruptionbudgets") => json!({
            "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0,
        }),
        ("networking.k8s.io", "ingresses") => json!({"loadBalancer": {}}),
        ("autoscaling", _) => json!({"desiredReplicas": 0, "currentMetrics": null}),
        ("apiextensions.k8s.io", _) => super::crd::initial_status(object),
        ("batch", "jobs") => {
            job_selector(object);
            json!({})
        }
        ("flowcontrol.apiserver.k8s.io", _) => json!({}),
        _ => json!({}),
    };
    if with_status && resource.plural != "nodes" {
        object["status"] = initial;
    }
    Ok(())
}

/// What a change adds.
pub(crate) fn prepare_update(
    server: &ApiServer,
    resource: &Resource,
    new: &mut Json,
    current: &Json,
    subresource: &str,
) -> Result<(), Status> {
    if resource.custom.is_none() && subresource.is_empty() {
        match (resource.group.as_str(), resource.plural.as_str()) {
            ("", "services") => service_addresses(server, new, Some(current))?,
            ("", "pods") => keep_pod(new, current),
            ("", "namespaces") => {
                // Finalizers of the spec change only through the finalize subresource.
                match current["spec"].get("finalizers") {
                    Some(list) => new["spec"]["finalizers"] = list.clone(),
                    None => {
                        new["spec"].as_object_mut().map(|spec| spec.shift_remove("finalizers"));
                    }
                }
            }
            ("batch", "jobs") => keep_job(new, current),
            ("apps", "daemonsets") => {
                let count = current["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
                let count: u64 = count.and_then(|count| count.parse().ok()).unwrap_or(1);
                let rolled = u64::from(new["spec"]["template"] != current["spec"]["template"]);
                new["metadata"]["annotations"][TEMPLATE_GENERATION] = json!((count + rolled).to_string());
            }
            ("", "persistentvolumeclaims")
                if new["spec"]["volumeName"].is_null() && !current["spec"]["volumeName"].is_null() =>
            {
                new["spec"]["volumeName"] = current["spec"]["volumeName"].clone();
            }
            ("", "serviceaccounts") => {
                for key in ["secrets"] {
                    if new.get(key).is_none() && current.get(key).is_some() {
                        new[key] = current[key].clone();
                    }
                }
            }
            ("apiextensions.k8s.io", _) => super::crd::prepare_update(new, current),
            _ => {}
        }
    }
    let status_only = matches!(subresource, "status" | "approval");
    if counts_generations(resource) && !status_only && counted(resource, new) != counted(resource, current) {
        let generation = current["metadata"]["generation"].as_i64().unwrap_or(0);
        typed::metadata(new).insert("generation".to_owned(), json!(generation + 1));
    }
    Ok(())
}

fn keep_pod(new: &mut Json, current: &Json) {
    for key in ["nodeName", "serviceAccountName", "serviceAccount", "hostname", "priority", "preemptionPolicy"] {
        if new["spec"][key].is_null() && !current["spec"][key].is_null() {
            new["spec"][key] = current["spec"][key].clone();
        }
    }
    if let Some(status) = current.get("status") {
        new["status"] = status.clone();
    }
}

fn keep_job(new: &mut Json, current: &Json) {
    if new["spec"]["selector"].is_null() {
        new["spec"]["selector"] = current["spec"]["selector"].clone();
        for (key, value) in current["spec"]["template"]["metadata"]["labels"].as_object().into_iter().flatten() {
            if new["spec"]["template"]["metadata"]["labels"][key].is_null() {
                new["spec"]["template"]["metadata"]["labels"][key] = value.clone();
            }
        }
    }
}

fn job_selector(job: &mut Json) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let uid = job["metadata"]["uid"].clone();
    let name = job["metadata"]["name"].clone();
    let labels = [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ];
    for (key, value) in labels {
        job["metadata"]["labels"][key] = value.clone();
        job["spec"]["template"]["metadata"]["labels"][key] = value.clone();
    }
    job["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = uid.clone();
    if job["spec"]["manualSelector"].is_null() {
        job["spec"]["manualSelector"] = Json::from(false);
    }
}

/// Guaranteed, Burstable or BestEffort.
fn quality(pod: &Json) -> &'static str {
    let lists = ["containers", "initContainers"].map(|key| pod["spec"][key].as_array());
    let containers: Vec<&Json> = lists.into_iter().flatten().flatten().collect();
    let (mut any, mut all) = (false, !containers.is_empty());
    for container in containers {
        for name in ["cpu", "memory"] {
            let request = &container["resources"]["requests"][name];
            let limit = &container["resources"]["limits"][name];
            any |= !request.is_null() || !limit.is_null();
            all &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// The first two numbers of cluster addresses, as in many GKE clusters.
const SERVICE_RANGE: [u8; 2] = [34, 118];

/// Gives a Service its cluster address and node ports.
fn service_addresses(server: &ApiServer, service: &mut Json, current: Option<&Json>) -> Result<(), Status> {
    let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    if let Some(current) = current
        && current["spec"]["type"] != "ExternalName"
    {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"] {
            if service["spec"][key].is_null() && !current["spec"][key].is_null() {
                service["spec"][key] = current["spec"][key].clone();
            }
        }
    }
    let table = (String::new(), "services".to_owned());
    let (_, services) = server.store.list(&table, None);
    if service["spec"]["clusterIP"].as_str().unwrap_or_default().is_empty() {
        let used: BTreeSet<&str> = services.iter().filter_map(|s| s["spec"]["clusterIP"].as_str()).collect();
        let address = loop {
            let mut bytes = [0u8; 2];
            server.random.fill(&mut bytes);
            let [a, b] = SERVICE_RANGE;
            let address = format!("{a}.{b}.{}.{}", 224 + bytes[0] % 16, bytes[1].clamp(2, 250));
            if !used.contains(address.as_str()) {
                break address;
            }
        };
        service["spec"]["clusterIP"] = Json::from(address);
    }
    let spec = &mut service["spec"];
    if spec["clusterIPs"].is_null() {
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
    }
    if spec["ipFamilies"].is_null() {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
    let wants_ports = kind == "NodePort" || kind == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false;
    node_ports(server, service, current, &services, wants_ports)
}

fn node_ports(
    server: &ApiServer,
    service: &mut Json,
    current: Option<&Json>,
    services: &[Arc<Json>],
    wanted: bool,
) -> Result<(), Status> {
    let own = service["metadata"]["uid"].clone();
    let others = services.iter().filter(|s| s["metadata"]["uid"] != own);
    let mut used: BTreeSet<i64> = others
        .flat_map(|s| s["spec"]["ports"].as_array().into_iter().flatten())
        .filter_map(|port| port["nodePort"].as_i64())
        .collect();
    let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let old: Vec<Json> = current.and_then(|c| c["spec"]["ports"].as_array()).cloned().unwrap_or_default();
    let ports = service.pointer_mut("/spec/ports").and_then(Json::as_array_mut);
    for (at, port) in ports.into_iter().flatten().enumerate() {
        if !wanted {
            continue;
        }
        if let Some(given) = port["nodePort"].as_i64().filter(|p| *p != 0) {
            if !used.insert(given) {
                let field = format!("spec.ports[{at}].nodePort");
                let error = FieldError::invalid(field, &Json::from(given), "provided port is already allocated");
                return Err(fault::invalid("", "Service", &name, &[error]));
            }
            continue;
        }
        let same = |o: &&Json| o["port"] == port["port"] && o["protocol"] == port["protocol"];
        if let Some(kept) = old.iter().find(same).and_then(|o| o["nodePort"].as_i64()) {
            used.insert(kept);
            port["nodePort"] = json!(kept);
            continue;
        }
        let chosen = loop {
            let mut bytes = [0u8; 2];
            server.random.fill(&mut bytes);
            let candidate = 30_000 + i64::from(u16::from_be_bytes(bytes)) % 2_768;
            if used.insert(candidate) {
                break candidate;
            }
        };
        port["nodePort"] = json!(chosen);
    }
    Ok(())
}
