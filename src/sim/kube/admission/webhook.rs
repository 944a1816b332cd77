//! MutatingWebhookConfigurations and ValidatingWebhookConfigurations.
//!
//! CEL match conditions are not evaluated: a webhook that has them is called.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use serde_json::{Value as Json, json};

use super::{Attributes, Operation};
use crate::env::clock::timeout;
use crate::sim::kube::api::Status;
use crate::sim::kube::registry::Resource;
use crate::sim::kube::selector::Labels;
use crate::sim::kube::server::ApiServer;
use crate::sim::kube::{convert, fault, fields, waiting};

/// The group of everything that is configured about admission.
pub(super) const GROUP: &str = "admissionregistration.k8s.io";

/// The configurations of a kind, by name.
fn configurations(server: &ApiServer, plural: &str) -> Vec<Arc<Json>> {
    server.store.list(&(GROUP.to_owned(), plural.to_owned()), None).1
}

fn has(list: &Json, wanted: &str) -> bool {
    list.as_array().into_iter().flatten().any(|item| item == "*" || item == wanted)
}

fn resource_matches(rule: &Json, plural: &str, subresource: &str) -> bool {
    rule["resources"].as_array().into_iter().flatten().filter_map(Json::as_str).any(|pattern| {
        let (resource, sub) = pattern.split_once('/').unwrap_or((pattern, ""));
        (resource == "*" || resource == plural) && (sub == subresource || sub == "*")
    })
}

fn rule_matches(rule: &Json, resource: &Resource, version: &str, attributes: &Attributes) -> bool {
    let scope = match rule["scope"].as_str() {
        Some("Namespaced") => resource.namespaced,
        Some("Cluster") => !resource.namespaced,
        _ => true,
    };
    scope
        && has(&rule["operations"], attributes.operation().name())
        && has(&rule["apiGroups"], &resource.group)
        && has(&rule["apiVersions"], version)
        && resource_matches(rule, &resource.plural, attributes.subresource())
}

/// The version in which the webhook wants the object, if it wants it at all.
pub(super) fn matched_version(server: &ApiServer, hook: &Json, attributes: &Attributes) -> Option<Arc<Resource>> {
    let resource = &attributes.request.resource;
    let rules = hook["rules"].as_array()?;
    let fits = |version: &str| rules.iter().any(|rule| rule_matches(rule, resource, version, attributes));
    if fits(&resource.version) {
        return Some(resource.clone());
    }
    if hook["matchPolicy"] == "Exact" {
        return None;
    }
    let registry = server.registry();
    let others = registry.all().iter().filter(|r| r.table() == resource.table() && r.version != resource.version);
    others.into_iter().find(|other| fits(&other.version)).cloned()
}

/// Whether namespace and object have the labels that a webhook or policy selects.
pub(super) fn selected(
    server: &ApiServer,
    hook: &Json,
    attributes: &Attributes,
    object: &Json,
    old: Option<&Json>,
) -> bool {
    let by_namespace = Labels::of(&hook["namespaceSelector"]);
    if !by_namespace.is_empty() {
        let (group, plural) = attributes.resource();
        let own = (group, plural) == ("", "namespaces");
        let namespace = attributes.namespace();
        let labels = if own {
            let object = if object.is_null() { old.unwrap_or(&Json::Null) } else { object };
            Some(object["metadata"]["labels"].clone())
        } else if namespace.is_empty() {
            None
        } else {
            let table = (String::new(), "namespaces".to_owned());
            let found = server.store.get(&table, &(String::new(), namespace.to_owned()));
            Some(found.map_or(Json::Null, |ns| ns["metadata"]["labels"].clone()))
        };
        if labels.is_some_and(|labels| !by_namespace.matches(&labels)) {
            return false;
        }
    }
    let by_object = Labels::of(&hook["objectSelector"]);
    by_object.is_empty()
        || by_object.matches(&object["metadata"]["labels"])
        || old.is_some_and(|old| by_object.matches(&old["metadata"]["labels"]))
}

fn exempt(attributes: &Attributes) -> bool {
    let (group, plural) = attributes.resource();
    group == GROUP || matches!(group, "authentication.k8s.io" | "authorization.k8s.io") && plural.ends_with("reviews")
}

struct Call<'a> {
    server: &'a ApiServer,
    hook: &'a Json,
    name: &'a str,
    attributes: &'a Attributes,
    /// The version the webhook is spoken to in.
    resource: Arc<Resource>,
}

impl Call<'_> {
    async fn version_of(&self, object: &Json) -> Result<Json, Status> {
        if object.is_null() || self.resource.version == self.attributes.request.resource.version {
            return Ok(object.clone());
        }
        let shared = Arc::new(object.clone());
        Ok((*convert::one(self.server, &self.resource, shared).await?).clone())
    }

    /// The webhook's response; `None` when it could not be had and that does not matter.
    async fn send(
        &self,
        object: &Json,
        old: Option<&Json>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Json>, Status> {
        let request = &self.attributes.request;
        let effects = self.hook["sideEffects"].as_str().unwrap_or_default();
        if request.options.dry_run && !matches!(effects, "None" | "NoneOnDryRun") {
            return Err(fault::bad_request(format!("admission webhook {:?} does not support dry run", self.name)));
        }
        let kind = |resource: &Resource| {
            json!({
                "group": resource.group, "version": resource.version, "kind": resource.kind,
            })
        };
        let path = |resource: &Resource| {
            json!({
                "group": resource.group, "version": resource.version, "resource": resource.plural,
            })
        };
        let uid = self.server.random.uuid();
        let mut body = json!({
            "uid": uid,
            "kind": kind(&self.resource),
            "resource": path(&self.resource),
            "requestKind": kind(&request.resource),
            "requestResource": path(&request.resource),
            "name": request.name,
            "operation": self.attributes.operation.name(),
            "userInfo": {"username": request.user.name, "groups": request.user.groups},
            "object": self.version_of(object).await?,
            "oldObject": match old {
                Some(old) => self.version_of(old).await?,
                None => Json::Null,
            },
            "dryRun": request.options.dry_run,
            "options": null,
        });
        if !request.namespace.is_empty() {
            body["namespace"] = Json::from(request.namespace.as_str());
        }
        if !request.subresource.is_empty() {
            body["subResource"] = Json::from(request.subresource.as_str());
            body["requestSubResource"] = Json::from(request.subresource.as_str());
        }
        let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": body});
        let answer = match self.post(review).await {
            Ok(answer) => answer,
            Err(_) if self.hook["failurePolicy"] == "Ignore" => return Ok(None),
            Err(why) => return Err(fault::internal(&format!("failed calling webhook {:?}: {why}", self.name))),
        };
        let response = answer["response"].clone();
        for warning in response["warnings"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            warnings.push(warning.to_owned());
        }
        if response["allowed"] == true { Ok(Some(response)) } else { Err(denied(self.name, &response["status"])) }
    }

    async fn post(&self, review: Json) -> Result<Json, String> {
        let config = &self.hook["clientConfig"];
        let seconds = self.hook["timeoutSeconds"].as_u64().unwrap_or(10);
        let Some(service) = convert::service_reference(config) else {
            let url = config["url"].as_str().unwrap_or_default();
            let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            let host = if host.contains(':') { host.to_owned() } else { format!("{host}:443") };
            return Err(format!(
                "failed to call webhook: Post \"{url}?timeout={seconds}s\": dial tcp {host}: connect: connection refused"
            ));
        };
        let ca = convert::ca_bundle(config);
        let call = self.server.webhooks.call(&service, &ca, review);
        let clock = &*self.server.clock;
        let result = waiting::through(clock, timeout(clock, Duration::from_secs(seconds), call)).await;
        let failed = |why: &str| format!("failed to call webhook: {}", convert::post_failure(&service, seconds, why));
        match result {
            Ok(Ok(answer)) if answer["response"].is_object() => Ok(answer),
            Ok(Ok(_)) => Err("received invalid webhook response: webhook response is missing response".to_owned()),
            Ok(Err(why)) => Err(failed(&why)),
            Err(_) => Err(failed("context deadline exceeded")),
        }
    }
}

fn denied(name: &str, status: &Json) -> Status {
    let by = format!("admission webhook {name:?} denied the request");
    let text = |key: &str| status[key].as_str().unwrap_or_default();
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let code = status["code"].as_u64().and_then(|c| u16::try_from(c).ok()).filter(|c| *c >= 400).unwrap_or(400);
    let mut answer = Status::failure(code, text("reason"), message);
    if let Some(details) = status.get("details") {
        answer.body["details"] = details.clone();
    }
    answer
}

async fn each<'a>(
    server: &'a ApiServer,
    attributes: &Attributes,
    configuration: &'a Json,
    object: &Json,
    old: Option<&Json>,
) -> Vec<(&'a Json, Arc<Resource>)> {
    let hooks = configuration["webhooks"].as_array().into_iter().flatten();
    hooks
        .filter_map(|hook| Some((hook, matched_version(server, hook, attributes)?)))
        .filter(|(hook, _)| selected(server, hook, attributes, object, old))
        .collect()
}

/// Lets the mutating webhooks change the object.
pub(super) async fn mutate(
    server: &ApiServer,
    attributes: &Attributes,
    object: &mut Json,
    old: Option<&Json>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    if exempt(attributes) {
        return Ok(());
    }
    for configuration in configurations(server, "mutatingwebhookconfigurations") {
        for (hook, resource) in each(server, attributes, &configuration, object, old).await {
            let name = hook["name"].as_str().unwrap_or_default();
            let call = Call { server, hook, name, attributes, resource: resource.clone() };
            let Some(response) = call.send(object, old, warnings).await? else { continue };
            let Some(patch) = response["patch"].as_str() else { continue };
            let broken = |why: &str| fault::internal(&format!("failed calling webhook {name:?}: {why}"));
            let bytes = base64::engine::general_purpose::STANDARD.decode(patch).map_err(|e| broken(&e.to_string()))?;
            let patch: Json = serde_json::from_slice(&bytes).map_err(|e| broken(&e.to_string()))?;
            let mut changed = call.version_of(object).await?;
            fields::operate(&mut changed, &patch).map_err(|why| broken(&why))?;
            *object = if resource.version == attributes.request.resource.version {
                changed
            } else {
                (*convert::one(server, &attributes.request.resource, Arc::new(changed)).await?).clone()
            };
            super::super::builtin::default(server, &attributes.request.resource, object);
        }
    }
    Ok(())
}

/// Lets the validating webhooks judge.
pub(super) async fn validate(
    server: &ApiServer,
    attributes: &Attributes,
    object: &Json,
    old: Option<&Json>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    if exempt(attributes) {
        return Ok(());
    }
    debug_assert!(attributes.operation != Operation::Create || old.is_none());
    for configuration in configurations(server, "validatingwebhookconfigurations") {
        for (hook, resource) in each(server, attributes, &configuration, object, old).await {
            let name = hook["name"].as_str().unwrap_or_default();
            let call = Call { server, hook, name, attributes, resource };
            call.send(object, old, warnings).await?;
        }
    }
    Ok(())
}
