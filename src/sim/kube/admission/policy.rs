//! ValidatingAdmissionPolicies: rules in CEL that are bound to requests.
//!
//! What the CEL of this program cannot evaluate (`authorizer`, quantities, …) refuses nothing.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::webhook::{GROUP, matched_version, selected};
use super::{Attributes, Operation};
use crate::openapi::cel::{Outcome, Program};
use crate::sim::kube::api::{Gvk, Status};
use crate::sim::kube::fault::{self, qualified};
use crate::sim::kube::server::ApiServer;

/// Whether rules with the fields of `matchConstraints` are about this request.
fn concerned(server: &ApiServer, rules: &Json, attributes: &Attributes, object: &Json, old: Option<&Json>) -> bool {
    let as_hook = |list: &str| {
        json!({
            "rules": rules[list], "matchPolicy": rules["matchPolicy"],
            "namespaceSelector": rules["namespaceSelector"], "objectSelector": rules["objectSelector"],
        })
    };
    let any = |list: &str| rules[list].as_array().is_some_and(|list| !list.is_empty());
    let wanted = !any("resourceRules") || matched_version(server, &as_hook("resourceRules"), attributes).is_some();
    let left_out =
        any("excludeResourceRules") && matched_version(server, &as_hook("excludeResourceRules"), attributes).is_some();
    wanted && !left_out && selected(server, &as_hook("resourceRules"), attributes, object, old)
}

/// What expressions may speak of.
struct Names {
    object: Json,
    old: Json,
    request: Json,
    params: Json,
    namespace: Json,
    variables: Json,
}

impl Names {
    fn of(server: &ApiServer, attributes: &Attributes, object: &Json, old: Option<&Json>) -> Self {
        let request = &attributes.request;
        let resource = &request.resource;
        let table = (String::new(), "namespaces".to_owned());
        let namespace = server.store.get(&table, &(String::new(), request.namespace.clone()));
        Names {
            object: object.clone(),
            old: old.cloned().unwrap_or_default(),
            request: json!({
                "kind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
                "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
                "subResource": request.subresource, "name": request.name, "namespace": request.namespace,
                "operation": attributes.operation.name(), "dryRun": request.options.dry_run,
                "userInfo": {"username": request.user.name, "uid": request.user.uid, "groups": request.user.groups},
            }),
            params: Json::Null,
            namespace: namespace.map(|namespace| (*namespace).clone()).unwrap_or_default(),
            variables: Json::Object(Map::new()),
        }
    }

    fn list(&self) -> [(&str, &Json); 6] {
        [
            ("object", &self.object),
            ("oldObject", &self.old),
            ("request", &self.request),
            ("params", &self.params),
            ("namespaceObject", &self.namespace),
            ("variables", &self.variables),
        ]
    }

    fn decides(&self, expression: &Json) -> Outcome {
        let program = Program::parse(expression.as_str().unwrap_or_default());
        program.map_or(Outcome::Unknown, |program| program.decides(&self.list()))
    }

    fn value(&self, expression: &Json) -> Option<Json> {
        Program::parse(expression.as_str()?)?.value(&self.list())
    }
}

/// The object that a binding gives its policy to work with; `Err` says that there is none.
fn params(server: &ApiServer, policy: &Json, binding: &Json, attributes: &Attributes) -> Result<Json, ()> {
    let kind = &policy["spec"]["paramKind"];
    let reference = &binding["spec"]["paramRef"];
    let (Some(gvk), Some(name)) = (Gvk::of(kind), reference["name"].as_str()) else { return Ok(Json::Null) };
    let registry = server.registry();
    let resource = registry.by_kind(&gvk).ok_or(())?;
    let namespace = match reference["namespace"].as_str() {
        Some(namespace) => namespace,
        None if resource.namespaced => attributes.namespace(),
        None => "",
    };
    let found: Option<Arc<Json>> = server.store.get(&resource.table(), &(namespace.to_owned(), name.to_owned()));
    match found {
        Some(found) => Ok((*found).clone()),
        None if reference["parameterNotFoundAction"] == "Allow" => Ok(Json::Null),
        None => Err(()),
    }
}

/// The words of every validation of a policy that does not hold, each with its reason.
fn complaints(policy: &Json, names: &mut Names) -> Vec<(String, String)> {
    let spec = &policy["spec"];
    let each = |list: &str| spec[list].as_array().cloned().unwrap_or_default();
    if each("matchConditions").iter().any(|condition| names.decides(&condition["expression"]) != Outcome::True) {
        return Vec::new();
    }
    for variable in each("variables") {
        if let (Some(name), Some(value)) = (variable["name"].as_str(), names.value(&variable["expression"])) {
            names.variables[name] = value;
        }
    }
    let failed = each("validations").into_iter().filter(|rule| names.decides(&rule["expression"]) == Outcome::False);
    let words = failed.map(|rule| {
        let made = names.value(&rule["messageExpression"]).and_then(|text| text.as_str().map(str::to_owned));
        let given = made.or_else(|| rule["message"].as_str().map(str::to_owned));
        let words = given.unwrap_or_else(|| {
            format!("failed expression: {}", rule["expression"].as_str().unwrap_or_default().trim())
        });
        (words, rule["reason"].as_str().unwrap_or("Invalid").to_owned())
    });
    words.collect()
}

/// Lets the policies judge.
pub(super) fn validate(
    server: &ApiServer,
    attributes: &Attributes,
    object: &Json,
    old: Option<&Json>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let (group, _) = attributes.resource();
    if group == GROUP {
        return Ok(());
    }
    let all = |plural: &str| server.store.list(&(GROUP.to_owned(), plural.to_owned()), None).1;
    let policies = all("validatingadmissionpolicies");
    if policies.is_empty() {
        return Ok(());
    }
    debug_assert!(attributes.operation != Operation::Create || old.is_none());
    for binding in all("validatingadmissionpolicybindings") {
        let Some(policy) = policies.iter().find(|p| p["metadata"]["name"] == binding["spec"]["policyName"]) else {
            continue;
        };
        if !concerned(server, &policy["spec"]["matchConstraints"], attributes, object, old)
            || !concerned(server, &binding["spec"]["matchResources"], attributes, object, old)
        {
            continue;
        }
        let name = |object: &Json| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let by = format!("ValidatingAdmissionPolicy '{}' with binding '{}'", name(policy), name(&binding));
        let does = |action: &str| {
            binding["spec"]["validationActions"].as_array().is_some_and(|list| list.iter().any(|a| a == action))
        };
        let mut names = Names::of(server, attributes, object, old);
        let found = match params(server, policy, &binding, attributes) {
            Ok(params) => {
                names.params = params;
                complaints(policy, &mut names)
            }
            Err(()) if policy["spec"]["failurePolicy"] == "Ignore" => Vec::new(),
            Err(()) => {
                let why = "failed to configure binding: no params found for policy binding with `Deny` \
                           parameterNotFoundAction";
                vec![(why.to_owned(), "Invalid".to_owned())]
            }
        };
        if does("Warn") {
            warnings.extend(found.iter().map(|(words, _)| format!("Validation failed for {by}: {words}")));
        }
        if does("Deny")
            && let Some((words, reason)) = found.first()
        {
            return Err(denied(attributes, &format!("{by} denied request: {words}"), reason));
        }
    }
    Ok(())
}

fn denied(attributes: &Attributes, why: &str, reason: &str) -> Status {
    let (group, plural) = attributes.resource();
    let code = match reason {
        "Unauthorized" => 401,
        "Forbidden" => 403,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    let mut status = fault::forbidden(group, plural, attributes.name(), why);
    status.code = code;
    status.body["reason"] = json!(reason);
    status.body["code"] = json!(code);
    status.body["details"]["causes"] = json!([{"message": why}]);
    debug_assert!(status.message().starts_with(&qualified(plural, group)));
    status
}
