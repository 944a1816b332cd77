//! Rules on rights (RBAC) and on webhooks that admit objects.

use serde_json::Value as Json;

use super::{is_empty, items, map, names, port_number, selector, text};
use crate::openapi::validate::{FieldError, is_deferred};

/// Complaints about roles and bindings.
pub(super) fn role(kind: &str, object: &Json, found: &mut Vec<FieldError>) {
    let namespaced = !kind.starts_with("Cluster");
    if kind.ends_with("Role") {
        for (at, rule) in items(&object["rules"]) {
            policy_rule(&format!("rules[{at}]"), rule, namespaced, found);
        }
        return;
    }
    let reference = &object["roleRef"];
    let group = &reference["apiGroup"];
    if text(group).is_some_and(|group| !matches!(group, "" | "rbac.authorization.k8s.io")) {
        found.push(FieldError::not_supported("roleRef.apiGroup", group.clone(), ["rbac.authorization.k8s.io"]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if let Some(kind) = text(&reference["kind"]).filter(|kind| !kinds.contains(kind)) {
        found.push(FieldError::not_supported("roleRef.kind", kind, kinds.iter().copied()));
    }
    if is_empty(&reference["name"]) {
        found.push(FieldError::required("roleRef.name", ""));
    }
    for (at, subject) in items(&object["subjects"]) {
        let path = format!("subjects[{at}]");
        if is_empty(&subject["name"]) {
            found.push(FieldError::required(format!("{path}.name"), ""));
        }
        match text(&subject["kind"]) {
            Some("ServiceAccount") => {
                if !namespaced && is_empty(&subject["namespace"]) {
                    found.push(FieldError::required(format!("{path}.namespace"), ""));
                }
                if let Some(name) = text(&subject["name"]).filter(|name| !name.is_empty())
                    && let Some(why) = names::subdomain(name)
                {
                    found.push(FieldError::invalid(format!("{path}.name"), name, why));
                }
                if let Some(group) = text(&subject["apiGroup"]).filter(|group| !group.is_empty()) {
                    found.push(FieldError::not_supported(format!("{path}.apiGroup"), group, [""]));
                }
            }
            Some("User" | "Group") => {
                let group = text(&subject["apiGroup"]);
                if group.is_some_and(|group| !matches!(group, "" | "rbac.authorization.k8s.io")) {
                    let group = group.unwrap_or_default();
                    let path = format!("{path}.apiGroup");
                    found.push(FieldError::not_supported(path, group, ["rbac.authorization.k8s.io"]));
                }
            }
            Some(kind) => {
                let kinds = ["ServiceAccount", "User", "Group"];
                found.push(FieldError::not_supported(format!("{path}.kind"), kind, kinds));
            }
            None => {}
        }
    }
}

fn policy_rule(path: &str, rule: &Json, namespaced: bool, found: &mut Vec<FieldError>) {
    let none = |key: &str| !is_deferred(&rule[key]) && items(&rule[key]).next().is_none();
    if none("verbs") {
        found.push(FieldError::required(format!("{path}.verbs"), "verbs must contain at least one value"));
    }
    if !none("nonResourceURLs") {
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            found.push(FieldError::invalid(format!("{path}.nonResourceURLs"), rule["nonResourceURLs"].clone(), why));
        } else if !none("apiGroups") || !none("resources") || !none("resourceNames") {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            found.push(FieldError::invalid(format!("{path}.nonResourceURLs"), rule["nonResourceURLs"].clone(), why));
        }
        return;
    }
    if none("apiGroups") {
        let why = "resource rules must supply at least one api group";
        found.push(FieldError::required(format!("{path}.apiGroups"), why));
    }
    if none("resources") {
        let why = "resource rules must supply at least one resource";
        found.push(FieldError::required(format!("{path}.resources"), why));
    }
}

/// Complaints about configurations of webhooks.
pub(super) fn webhooks(object: &Json, found: &mut Vec<FieldError>) {
    let mut seen: Vec<&str> = Vec::new();
    for (at, webhook) in items(&object["webhooks"]) {
        let path = format!("webhooks[{at}]");
        if let Some(name) = text(&webhook["name"]) {
            if !names::is_subdomain(name) || name.split('.').count() < 3 {
                let why = "should be a domain with at least three segments separated by dots";
                found.push(FieldError::invalid(format!("{path}.name"), name, why));
            }
            if seen.contains(&name) {
                found.push(FieldError::duplicate(format!("{path}.name"), name));
            }
            seen.push(name);
        }
        if let Some(seconds) = webhook["timeoutSeconds"].as_i64().filter(|s| !(1..=30).contains(s)) {
            let why = "the timeout value must be between 1 and 30 seconds";
            found.push(FieldError::invalid(format!("{path}.timeoutSeconds"), seconds, why));
        }
        if is_empty(&webhook["sideEffects"]) {
            found.push(FieldError::required(format!("{path}.sideEffects"), "must specify one of None, NoneOnDryRun"));
        }
        review_versions(&path, &webhook["admissionReviewVersions"], found);
        client(&format!("{path}.clientConfig"), &webhook["clientConfig"], found);
        selector(&format!("{path}.namespaceSelector"), &webhook["namespaceSelector"], found);
        selector(&format!("{path}.objectSelector"), &webhook["objectSelector"], found);
        for (at, rule) in items(&webhook["rules"]) {
            for list in ["operations", "apiGroups", "apiVersions", "resources"] {
                let path = || format!("{path}.rules[{at}].{list}");
                if !is_deferred(&rule[list]) && items(&rule[list]).next().is_none() {
                    found.push(FieldError::required(path(), ""));
                }
                for (at, item) in items(&rule[list]).filter(|(_, item)| list != "apiGroups" && is_empty(item)) {
                    // An empty operation is no word of its list, and told as such.
                    if list != "operations" || item.is_null() {
                        found.push(FieldError::required(format!("{}[{at}]", path()), ""));
                    }
                }
                let all = items(&rule[list]).any(|(_, item)| text(item) == Some("*"));
                if list != "resources" && all && items(&rule[list]).count() > 1 {
                    let why = "if '*' is present, must not specify other values";
                    found.push(FieldError::invalid(path(), rule[list].clone(), why));
                }
            }
        }
    }
}

fn review_versions(path: &str, versions: &Json, found: &mut Vec<FieldError>) {
    let path = format!("{path}.admissionReviewVersions");
    let known = ["v1", "v1beta1"];
    if is_deferred(versions) {
        return;
    }
    if items(versions).next().is_none() {
        found.push(FieldError::required(path, "must specify one of v1, v1beta1"));
    } else if !items(versions).any(|(_, version)| text(version).is_none_or(|version| known.contains(&version))) {
        let why = "must include at least one of v1, v1beta1";
        found.push(FieldError::invalid(path, versions.clone(), why));
    }
}

fn client(path: &str, client: &Json, found: &mut Vec<FieldError>) {
    if map(client).is_none() {
        return;
    }
    let (url, service) = (!client["url"].is_null(), !client["service"].is_null());
    if url == service {
        found.push(FieldError::required(path, "exactly one of url or service is required"));
    }
    if let Some(url) = text(&client["url"]).filter(|url| !url.starts_with("https://")) {
        let why = "'https' is the only allowed URL scheme";
        found.push(FieldError::invalid(format!("{path}.url"), url, why));
    }
    if map(&client["service"]).is_some() {
        for key in ["name", "namespace"] {
            if is_empty(&client["service"][key]) {
                found.push(FieldError::required(format!("{path}.service.{key}"), ""));
            }
        }
        found.extend(port_number(&format!("{path}.service.port"), &client["service"]["port"]));
        if let Some(below) = text(&client["service"]["path"]).filter(|path| !path.starts_with('/') && !path.is_empty())
        {
            found.push(FieldError::invalid(format!("{path}.service.path"), below, "must start with a '/'"));
        }
    }
}
