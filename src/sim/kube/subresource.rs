//! Requests that are not about a stored object: reviews, tokens, bindings, evictions, logs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::api::Status;
use super::delete::Deletion;
use super::fault;
use super::fields::{self, Stamp};
use super::rbac::{self, Question};
use super::registry::Resource;
use super::requests::Query;
use super::server::{ApiServer, User};
use super::write::{Options, Request};
use super::{scale, token, typed};

/// Whether a request is for a subresource with a kind of its own.
pub(crate) fn handles(request: &Request) -> bool {
    let bindings = request.resource.group.is_empty() && request.resource.plural == "bindings";
    bindings
        || !matches!(
            request.subresource.as_str(),
            "" | "status" | "finalize" | "approval" | "resize" | "ephemeralcontainers"
        )
}

/// Whether objects of a resource are questions, answered and forgotten.
pub(crate) fn is_review(resource: &Resource) -> bool {
    matches!(resource.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
}

/// Answers a review.
pub(crate) fn review(server: &ApiServer, request: &Request, body: Json) -> Result<Json, Status> {
    let mut object = typed::read(server, request, body)?.object;
    let stamp = Stamp::new(server, &request.resource, "", &request.options.manager);
    let asked = |spec: &Json, user: &User| {
        let attributes = &spec["resourceAttributes"];
        let text = |key: &str| attributes[key].as_str().unwrap_or_default().to_owned();
        if attributes.is_object() {
            let (verb, group, namespace, name) = (text("verb"), text("group"), text("namespace"), text("name"));
            let resource = match text("subresource") {
                sub if sub.is_empty() => text("resource"),
                sub => format!("{}/{sub}", text("resource")),
            };
            let question =
                Question { verb: &verb, group: &group, resource: &resource, namespace: &namespace, name: &name };
            return rbac::may(server, user, &question);
        }
        let path = &spec["nonResourceAttributes"];
        let (verb, path) = (path["verb"].as_str().unwrap_or_default(), path["path"].as_str().unwrap_or_default());
        rbac::may_path(server, user, verb, path)
    };
    match request.resource.plural.as_str() {
        "selfsubjectreviews" => {
            typed::metadata(&mut object).insert("creationTimestamp".to_owned(), Json::from(server.now()));
            let mut info = json!({"username": request.user.name});
            if !request.user.uid.is_empty() {
                info["uid"] = Json::from(request.user.uid.as_str());
            }
            info["groups"] = json!(request.user.groups);
            object["status"] = json!({"userInfo": info});
        }
        "selfsubjectrulesreviews" => {
            let namespace = object["spec"]["namespace"].as_str().unwrap_or_default().to_owned();
            let rules = rbac::rules_for(server, &request.user, &namespace);
            let (paths, resources): (Vec<Json>, Vec<Json>) =
                rules.into_iter().partition(|rule| rule["nonResourceURLs"].as_array().is_some_and(|l| !l.is_empty()));
            object["metadata"] = json!({});
            object["spec"] = json!({});
            object["status"] = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
        }
        "selfsubjectaccessreviews" => {
            fields::update(server.schema(&request.resource).as_deref(), None, &mut object, &stamp);
            object["status"] = json!({"allowed": asked(&object["spec"], &request.user)});
        }
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            fields::update(server.schema(&request.resource).as_deref(), None, &mut object, &stamp);
            let spec = &object["spec"];
            let mut user = User::named(spec["user"].as_str().unwrap_or_default());
            let groups = spec["groups"].as_array().into_iter().flatten().filter_map(Json::as_str);
            user.groups.extend(groups.map(str::to_owned));
            object["status"] = json!({"allowed": asked(spec, &user)});
        }
        _ => {
            let given = object["spec"]["token"].as_str().unwrap_or_default();
            object["status"] = match token::verify(server, given) {
                Some(user) => json!({
                    "authenticated": true,
                    "user": {"username": user.name, "uid": user.uid, "groups": user.groups},
                    "audiences": [token::AUDIENCE],
                }),
                None => json!({"user": {}, "error": "invalid bearer token"}),
            };
        }
    }
    Ok(object)
}

/// Refuses what needs a process in a container: none runs in a simulated cluster.
pub(crate) fn refuse_processes(server: &ApiServer, request: &Request) -> Result<(), Status> {
    let what = match request.subresource.split('/').next().unwrap_or_default() {
        "exec" => "nothing can be executed in it",
        "attach" => "nothing can be attached to it",
        "portforward" => "none of its ports can be forwarded",
        "proxy" => "it cannot be reached through the API server",
        _ => return Ok(()),
    };
    let (plural, name) = (&request.resource.plural, &request.name);
    if server.store.get(&request.resource.table(), &request.key()).is_none() {
        return Err(fault::not_found(&request.resource.group, plural, name));
    }
    let message = format!("{plural} {name:?} is simulated, without processes: {what}");
    Err(Status::failure(501, "NotImplemented", message))
}

/// POST to a subresource.
pub(crate) async fn create(server: &Arc<ApiServer>, request: &Request, body: Json) -> Result<Json, Status> {
    match request.subresource.as_str() {
        "token" => issue(server, request, body),
        "eviction" => evict(server, request, &body).await,
        "binding" => bind(server, request, &body),
        "" => {
            let mut request = request.clone();
            request.name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            request.resource =
                server.registry().by_path("", "v1", "pods").cloned().ok_or_else(fault::unknown_resource)?;
            bind(server, &request, &body)
        }
        other => {
            let message = format!("the simulated cluster does not serve {}/{other}", request.resource.plural);
            Err(Status::failure(501, "NotImplemented", message))
        }
    }
}

fn issue(server: &ApiServer, request: &Request, body: Json) -> Result<Json, Status> {
    let table = request.resource.table();
    let missing = || fault::not_found("", "serviceaccounts", &request.name);
    let account = server.store.get(&table, &request.key()).ok_or_else(missing)?;
    let mut object = typed::read(server, request, body)?.object;
    let schema = crate::openapi::builtin::schema("authentication.k8s.io", "v1", "TokenRequest");
    let stamp = Stamp::of_kind(server, "authentication.k8s.io/v1", "TokenRequest", "token", &request.options.manager);
    fields::update(schema.as_deref(), None, &mut object, &stamp);
    let seconds = object["spec"]["expirationSeconds"].as_u64().unwrap_or(3600);
    if seconds < 600 {
        let value = json!(seconds);
        let error = fault::FieldError::invalid(
            "spec.expirationSeconds",
            &value,
            "may not specify a duration less than 10 minutes",
        );
        return Err(fault::invalid("authentication.k8s.io", "TokenRequest", "", &[error]));
    }
    let audiences = match object["spec"]["audiences"].as_array() {
        Some(list) if !list.is_empty() => Json::Array(list.clone()),
        _ => json!([token::AUDIENCE]),
    };
    let expires = server.clock.now().plus(Duration::from_secs(seconds));
    let text = token::issue(server, &request.namespace, &account, &audiences, expires.seconds());
    let uid = account["metadata"]["uid"].clone();
    let now = server.now();
    let meta = typed::metadata(&mut object);
    meta.insert("name".to_owned(), Json::from(request.name.as_str()));
    meta.insert("namespace".to_owned(), Json::from(request.namespace.as_str()));
    meta.insert("uid".to_owned(), uid);
    meta.insert("creationTimestamp".to_owned(), Json::from(now));
    object["spec"] = json!({"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": object["spec"]["boundObjectRef"]});
    object["status"] = json!({"token": text, "expirationTimestamp": expires.rfc3339()});
    Ok(object)
}

fn success(code: u16) -> Json {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code})
}

/// Gives a pod its node. Nobody owns what a binding writes.
fn bind(server: &ApiServer, request: &Request, body: &Json) -> Result<Json, Status> {
    let table = request.resource.table();
    let missing = || fault::not_found("", "pods", &request.name);
    let conflict = |why: String| Err(fault::conflict("", "pods/binding", &request.name, &why));
    loop {
        let live = server.store.get(&table, &request.key()).ok_or_else(missing)?;
        if !live["metadata"]["deletionTimestamp"].is_null() {
            return conflict(format!("pod {} is being deleted, cannot be assigned to a host", request.name));
        }
        if let Some(node) = live["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
            return conflict(format!("pod {} is already assigned to node {node:?}", request.name));
        }
        let wanted = body["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty());
        if let (Some(wanted), Some(uid)) = (wanted, live["metadata"]["uid"].as_str())
            && wanted != uid
        {
            return conflict(format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"));
        }
        if request.options.dry_run {
            return Ok(success(201));
        }
        let mut pod = (*live).clone();
        pod["spec"]["nodeName"] = body["target"]["name"].clone();
        let scheduled = json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": server.now(),
        });
        match pod["status"]["conditions"].as_array_mut() {
            Some(conditions) => {
                conditions.retain(|condition| condition["type"] != "PodScheduled");
                conditions.push(scheduled);
            }
            None => pod["status"]["conditions"] = json!([scheduled]),
        }
        let gvk = request.resource.storage_gvk();
        let expected = super::store::revision_of(&live);
        if server.store.put(&gvk, &table, &request.key(), Some(expected), pod).is_ok() {
            return Ok(success(201));
        }
    }
}

async fn evict(server: &Arc<ApiServer>, request: &Request, body: &Json) -> Result<Json, Status> {
    let table = request.resource.table();
    let missing = || fault::not_found("", "pods", &request.name);
    let pod = server.store.get(&table, &request.key()).ok_or_else(missing)?;
    let budgets = ("policy".to_owned(), "poddisruptionbudgets".to_owned());
    let (_, budgets) = server.store.list(&budgets, Some(&request.namespace));
    let finished = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"));
    let guarded = budgets.iter().find(|b| scale::selects(&b["spec"]["selector"], &pod["metadata"]["labels"]));
    if let Some(budget) = guarded.filter(|_| !finished)
        && budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) <= 0
    {
        let message = format!(
            "The disruption budget {} needs {} healthy pods and has {} currently",
            budget["metadata"]["name"].as_str().unwrap_or_default(),
            budget["status"]["desiredHealthy"],
            budget["status"]["currentHealthy"]
        );
        let causes = json!([{"reason": "DisruptionBudget", "message": message}]);
        let text = "Cannot evict pod as it would violate the pod's disruption budget.";
        return Err(fault::too_many_requests(text, causes));
    }
    let options = &body["deleteOptions"];
    let deletion = Deletion {
        uid: options["preconditions"]["uid"].as_str().map(str::to_owned),
        grace: options["gracePeriodSeconds"].as_i64(),
        ..Deletion::default()
    };
    let dry_run = request.options.dry_run || options["dryRun"].as_array().is_some_and(|list| !list.is_empty());
    let whole = Request {
        subresource: String::new(),
        options: Options { dry_run, ..request.options.clone() },
        ..request.clone()
    };
    server.delete(whole, deletion).await?;
    Ok(success(201))
}

fn log_key(namespace: &str, pod: &str, container: &str) -> String {
    format!("log/{namespace}/{pod}/{container}")
}

impl ApiServer {
    /// Adds to what `pods/log` answers for a container.
    pub fn append_log(&self, namespace: &str, pod: &str, container: &str, text: &str) {
        let key = log_key(namespace, pod, container);
        let old = self.store.note(&key).and_then(|old| old.as_str().map(str::to_owned)).unwrap_or_default();
        self.store.set_note(&key, Json::from(old + text));
    }
}

/// `pods/log`.
pub(crate) fn log(server: &ApiServer, request: &Request, query: &Query) -> Result<String, Status> {
    let missing = || fault::not_found("", "pods", &request.name);
    let pod = server.store.get(&request.resource.table(), &request.key()).ok_or_else(missing)?;
    let names: Vec<&str> = ["initContainers", "containers"]
        .iter()
        .flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str())
        .collect();
    let plain = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let container = match query.get("container") {
        Some(name) if names.contains(&name) => name.to_owned(),
        Some(name) => {
            return Err(fault::bad_request(format!("container {name} is not valid for pod {}", request.name)));
        }
        None if plain == 1 => pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default().to_owned(),
        None => {
            return Err(fault::bad_request(format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                request.name,
                names.join(" ")
            )));
        }
    };
    let text = server.store.note(&log_key(&request.namespace, &request.name, &container));
    let text = text.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default();
    let Some(tail) = query.get("tailLines").and_then(|n| n.parse::<usize>().ok()) else { return Ok(text) };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    Ok(lines[lines.len().saturating_sub(tail)..].concat())
}
