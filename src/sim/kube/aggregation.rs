//! APIServices: API groups that other servers would serve. None of them is reached here; what a cluster sees of
//! one is whether its Service has somebody behind it.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::api::Gvk;
use super::server::{ApiServer, User};
use super::write::{Options, Request};

const GROUP: &str = "apiregistration.k8s.io";

fn services(server: &ApiServer) -> Vec<Arc<Json>> {
    server.store.list(&(GROUP.to_owned(), "apiservices".to_owned()), None).1
}

/// Groups and versions that another server is to serve.
pub(crate) fn remote(server: &ApiServer) -> Vec<(String, String)> {
    let all = services(server);
    let remote = all.iter().filter(|service| service["spec"]["service"].is_object());
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    remote.map(|service| (text(&service["spec"]["group"]), text(&service["spec"]["version"]))).collect()
}

/// Whether requests for a group and version are another server's.
pub(crate) fn is_remote(server: &ApiServer, group: &str, version: &str) -> bool {
    remote(server).iter().any(|(g, v)| g == group && v == version)
}

/// Status, reason and message of `Available`.
fn judge(server: &ApiServer, service: &Json) -> (&'static str, &'static str, String) {
    let reference = &service["spec"]["service"];
    if !reference.is_object() {
        return ("True", "Local", "Local APIServices are always available".to_owned());
    }
    let text = |key: &str| reference[key].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let key = (namespace.clone(), name.clone());
    if server.store.get(&(String::new(), "services".to_owned()), &key).is_none() {
        return ("False", "ServiceNotFound", format!("service/{name} in {namespace:?} is not present"));
    }
    let slices = server.store.list(&("discovery.k8s.io".to_owned(), "endpointslices".to_owned()), Some(&namespace)).1;
    let ready = slices
        .iter()
        .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name.as_str())
        .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
        .any(|endpoint| endpoint["conditions"]["ready"] == true);
    if ready {
        ("True", "Passed", "all checks passed".to_owned())
    } else {
        let port = reference["port"].as_u64().unwrap_or(443);
        let why = format!("endpoints for service/{name} in {namespace:?} have no addresses with port name {port:?}");
        ("False", "MissingEndpoints", why)
    }
}

async fn observe(server: &ApiServer) {
    let gvk = Gvk::new(GROUP, "v1", "APIService");
    for service in services(server) {
        let (status, reason, message) = judge(server, &service);
        let list = service["status"]["conditions"].as_array();
        let old = list.and_then(|list| list.iter().find(|condition| condition["type"] == "Available"));
        let same = |key: &str, value: &str| old.is_some_and(|old| old[key] == value);
        if same("status", status) && same("reason", reason) && same("message", &message) {
            continue;
        }
        let since = old.filter(|old| old["status"] == status).and_then(|old| old["lastTransitionTime"].as_str());
        let now = server.now();
        let mut next = (*service).clone();
        next["status"] = json!({"conditions": [{
            "type": "Available", "status": status, "lastTransitionTime": since.unwrap_or(&now),
            "reason": reason, "message": message,
        }]});
        let Some(resource) = server.registry().by_kind(&gvk).cloned() else { return };
        let request = Request {
            user: User::admin(),
            resource,
            namespace: String::new(),
            name: service["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            subresource: "status".to_owned(),
            options: Options { manager: "kube-apiserver".to_owned(), ..Options::default() },
        };
        // Who changed it in between wakes this loop again.
        server.update(request, next).await.ok();
    }
}

/// Keeps the conditions of all APIServices until it is aborted.
pub(crate) async fn run(server: Arc<ApiServer>) {
    let mut changes = server.store.subscribe();
    loop {
        observe(&server).await;
        loop {
            let Some(change) = changes.recv().await else { return };
            if matches!(change.gvk.kind.as_str(), "APIService" | "Service" | "EndpointSlice") {
                break;
            }
        }
    }
}

/// What is known of remote groups in discovery: that they are there, and nothing of what they serve.
pub(crate) fn stale(server: &ApiServer) -> Vec<Json> {
    let mut groups: Vec<Json> = Vec::new();
    for (group, version) in remote(server) {
        let version = json!({"version": version, "freshness": "Stale"});
        match groups.iter_mut().find(|known| known["metadata"]["name"] == group.as_str()) {
            Some(known) => {
                if let Some(list) = known["versions"].as_array_mut() {
                    list.push(version);
                }
            }
            None => groups.push(json!({"metadata": {"name": group}, "versions": [version]})),
        }
    }
    groups
}
