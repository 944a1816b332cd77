//! Rules on pods and on the kinds that make them.

use serde_json::{Value as Json, json};

use super::metadata;
use crate::sim::kube::fault::FieldError;
use crate::sim::kube::registry::Resource;
use crate::sim::kube::selector::Labels;

const VOLUME_SOURCES: &str = "must specify a volume type";

/// Complaints about a pod.
pub(super) fn pod(pod: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let Some(old) = old else { return pod_spec("spec", &pod["spec"], &[]) };
    if frozen(&pod["spec"]) == frozen(&old["spec"]) && kept_tolerations(pod, old) {
        return Vec::new();
    }
    let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
               `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
               `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    vec![FieldError::forbidden("spec", why)]
}

/// The part of a pod's spec that never changes. The scheduler sets the node through `binding`.
fn frozen(spec: &Json) -> Json {
    let mut spec = spec.clone();
    if let Some(map) = spec.as_object_mut() {
        for key in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"] {
            map.shift_remove(key);
        }
        for list in ["containers", "initContainers"] {
            for container in map.get_mut(list).and_then(Json::as_array_mut).into_iter().flatten() {
                container.as_object_mut().map(|c| c.shift_remove("image"));
            }
        }
        // Binding is an update of the spec to readers of the old object.
        map.shift_remove("nodeName");
        map.shift_remove("nodeSelector");
    }
    spec
}

fn kept_tolerations(pod: &Json, old: &Json) -> bool {
    let list = |pod: &Json| pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    let new = list(pod);
    list(old).iter().all(|toleration| new.contains(toleration))
}

/// `claims` are volumes that a controller adds to the pods it makes.
fn pod_spec(path: &str, spec: &Json, claims: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut volumes: Vec<&str> = Vec::new();
    for (at, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let name = volume["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.volumes[{at}].name"), ""));
        } else if volumes.contains(&name) {
            errors.push(FieldError::duplicate(format!("{path}.volumes[{at}].name"), &json!(name)));
        }
        if volume.as_object().is_none_or(|map| map.len() < 2) {
            errors.push(FieldError::required(format!("{path}.volumes[{at}]"), VOLUME_SOURCES));
        }
        volumes.push(name);
    }
    volumes.extend(claims);
    let containers = spec["containers"].as_array().cloned().unwrap_or_default();
    if containers.is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut names: Vec<String> = Vec::new();
    for list in ["containers", "initContainers"] {
        for (at, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            errors.extend(check_container(&format!("{path}.{list}[{at}]"), container, &mut names, &volumes));
        }
    }
    errors
}

fn check_container(path: &str, container: &Json, names: &mut Vec<String>, volumes: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = container["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    } else if names.iter().any(|n| n == name) {
        errors.push(FieldError::duplicate(format!("{path}.name"), &json!(name)));
    }
    names.push(name.to_owned());
    if container["image"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    }
    for (at, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let number = port["containerPort"].as_i64().unwrap_or(0);
        if !(1..=65_535).contains(&number) {
            let detail = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(format!("{path}.ports[{at}].containerPort"), &json!(number), detail));
        }
    }
    for (at, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
        if variable["name"].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(format!("{path}.env[{at}].name"), ""));
        }
    }
    for (at, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let name = mount["name"].as_str().unwrap_or_default();
        if !volumes.contains(&name) {
            errors.push(FieldError::not_found(format!("{path}.volumeMounts[{at}].name"), &json!(name)));
        }
        if mount["mountPath"].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(format!("{path}.volumeMounts[{at}].mountPath"), ""));
        }
    }
    errors.extend(amounts(path, container));
    errors
}

/// Requests above limits, and extended resources that are not the same in both.
fn amounts(path: &str, container: &Json) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let resources = &container["resources"];
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for (name, request) in resources["requests"].as_object().into_iter().flatten() {
        let extended = name.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"));
        let limit = &resources["limits"][name];
        if extended && limit.is_null() {
            errors.push(FieldError::required(
                format!("{path}.resources.limits"),
                "Limit must be set for non overcommitable resources",
            ));
        } else if extended && text(limit) != text(request) {
            let why = format!("must be equal to {name} limit of {}", text(limit));
            errors.push(FieldError::invalid(format!("{path}.resources.requests"), &json!(text(request)), &why));
        }
    }
    errors
}

/// Complaints about Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs.
pub(super) fn controller(resource: &Resource, object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &object["spec"];
    let (path, template) = match resource.plural.as_str() {
        "cronjobs" => {
            if spec["schedule"].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required("spec.schedule", ""));
            }
            ("spec.jobTemplate.spec.template", &spec["jobTemplate"]["spec"]["template"])
        }
        "controllerrevisions" => return errors,
        _ => ("spec.template", &spec["template"]),
    };
    let wants_selector = !matches!(resource.plural.as_str(), "cronjobs" | "jobs");
    let selector = &spec["selector"];
    if wants_selector {
        if selector.is_null() {
            errors.push(FieldError::required("spec.selector", ""));
        } else if Labels::of(selector).is_empty() {
            let why = format!("empty selector is invalid for {}", resource.singular);
            errors.push(FieldError::invalid("spec.selector", selector, &why));
        }
    }
    if let Some(replicas) = spec["replicas"].as_i64().filter(|r| *r < 0) {
        errors.push(FieldError::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0"));
    }
    errors.extend(metadata::labels(&format!("{path}.labels"), &template["metadata"]["labels"]));
    if wants_selector && !selector.is_null() && !Labels::of(selector).matches(&template["metadata"]["labels"]) {
        let labels = &template["metadata"]["labels"];
        let shown = if labels.is_null() { json!({}) } else { labels.clone() };
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(format!("{path}.metadata.labels"), &shown, why));
    }
    let claims = spec["volumeClaimTemplates"].as_array().into_iter().flatten();
    let claims: Vec<&str> = claims.filter_map(|claim| claim["metadata"]["name"].as_str()).collect();
    errors.extend(pod_spec(&format!("{path}.spec"), &template["spec"], &claims));
    errors.extend(restart_policy(resource, path, template));
    if let Some(old) = old {
        errors.extend(immutable(resource, object, old));
    }
    errors
}

fn restart_policy(resource: &Resource, path: &str, template: &Json) -> Option<FieldError> {
    let policy = &template["spec"]["restartPolicy"];
    let job = matches!(resource.plural.as_str(), "jobs" | "cronjobs");
    let allowed: &[&str] = if job { &["OnFailure", "Never"] } else { &["Always"] };
    if policy.as_str().is_some_and(|policy| allowed.contains(&policy)) {
        return None;
    }
    let field = format!("{path}.spec.restartPolicy");
    if job && policy == "Always" {
        return Some(FieldError::other(
            field,
            "FieldValueRequired",
            "Required value: valid values: \"OnFailure\", \"Never\"",
        ));
    }
    Some(FieldError::unsupported(field, policy, allowed))
}

fn immutable(resource: &Resource, object: &Json, old: &Json) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (new, was) = (&object["spec"], &old["spec"]);
    let frozen = |key: &str| {
        let changed = new[key] != was[key];
        changed.then(|| FieldError::invalid(format!("spec.{key}"), &new[key], "field is immutable"))
    };
    match resource.plural.as_str() {
        "deployments" | "daemonsets" | "replicasets" => errors.extend(frozen("selector")),
        "jobs" => {
            errors.extend(["selector", "completionMode", "template"].iter().filter_map(|key| frozen(key)));
            let indexed = new["completionMode"] == "Indexed";
            if !indexed {
                errors.extend(frozen("completions"));
            }
        }
        "statefulsets" => {
            let fixed = |spec: &Json| {
                let mut spec = spec.clone();
                if let Some(map) = spec.as_object_mut() {
                    for key in [
                        "replicas",
                        "ordinals",
                        "template",
                        "updateStrategy",
                        "revisionHistoryLimit",
                        "persistentVolumeClaimRetentionPolicy",
                        "minReadySeconds",
                    ] {
                        map.shift_remove(key);
                    }
                }
                spec
            };
            if fixed(new) != fixed(was) {
                let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                           'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                           'minReadySeconds' are forbidden";
                errors.push(FieldError::forbidden("spec", why));
            }
        }
        _ => {}
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_keep_their_spec() {
        let old = json!({"spec": {"containers": [{"name": "c", "image": "a"}]}});
        let image = json!({"spec": {"containers": [{"name": "c", "image": "b"}]}});
        let more = json!({"spec": {"containers": [{"name": "c", "image": "a", "env": [{"name": "A"}]}]}});
        assert!(pod(&image, Some(&old)).is_empty());
        assert_eq!(pod(&more, Some(&old)).len(), 1);
    }

    #[test]
    fn mounts_need_volumes() {
        let spec = json!({"containers": [
            {"name": "c", "image": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        ]});
        // A StatefulSet's claims become volumes of its pods.
        assert_eq!(pod_spec("spec", &spec, &["v"]), Vec::new());
        let errors = pod_spec("spec", &spec, &[]);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].message, "Not found: \"v\"");
    }
}
