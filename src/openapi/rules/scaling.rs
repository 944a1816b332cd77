//! Rules on autoscalers, disruption budgets and priorities.

use serde_json::Value as Json;

use super::{is_empty, items, not_negative, selector, text};
use crate::openapi::validate::FieldError;

/// Complaints about an autoscaler, of either version.
pub(super) fn autoscaler(object: &Json, found: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    let (least, most) = (spec["minReplicas"].as_i64(), spec["maxReplicas"].as_i64());
    if let Some(most) = most.filter(|most| *most < 1) {
        found.push(FieldError::invalid("spec.maxReplicas", most, "must be greater than 0"));
    }
    if let Some(least) = least.filter(|least| *least < 0) {
        found.push(FieldError::invalid("spec.minReplicas", least, "must be greater than or equal to 1"));
    }
    if let (Some(least), Some(most)) = (least, most)
        && least > most
    {
        let why = "must be greater than or equal to `minReplicas`";
        found.push(FieldError::invalid("spec.maxReplicas", most, why));
    }
    for key in ["kind", "name"] {
        if is_empty(&spec["scaleTargetRef"][key]) && !spec["scaleTargetRef"].is_null() {
            found.push(FieldError::required(format!("spec.scaleTargetRef.{key}"), ""));
        }
    }
    for (at, metric) in items(&spec["metrics"]) {
        let source = match text(&metric["type"]) {
            Some("Object") => "object",
            Some("Pods") => "pods",
            Some("Resource") => "resource",
            Some("ContainerResource") => "containerResource",
            Some("External") => "external",
            _ => continue,
        };
        if metric[source].is_null() {
            let why = "must populate information for the given metric source";
            found.push(FieldError::required(format!("spec.metrics[{at}].{source}"), why));
        }
    }
}

/// Complaints about a disruption budget.
pub(super) fn budget(object: &Json, found: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let why = "minAvailable and maxUnavailable cannot be both set";
        found.push(FieldError::invalid("spec", "", why));
    }
    for key in ["minAvailable", "maxUnavailable"] {
        amount(&format!("spec.{key}"), &spec[key], found);
    }
    selector("spec.selector", &spec["selector"], found);
}

/// A count or a percentage.
pub(super) fn amount(path: &str, value: &Json, found: &mut Vec<FieldError>) {
    found.extend(not_negative(path, value));
    let Some(text) = text(value) else { return };
    let number = text.strip_suffix('%').filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    match number.map(str::parse::<u32>) {
        None => {
            let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                       '93%', regex used for validation is '[0-9]+%')";
            found.push(FieldError::invalid(path, text, why));
        }
        Some(Ok(0..=100)) => {}
        Some(_) => found.push(FieldError::invalid(path, text, "must not be greater than 100%")),
    }
}

/// Complaints about a priority class.
pub(super) fn priority(object: &Json, found: &mut Vec<FieldError>) {
    let name = text(&object["metadata"]["name"]).unwrap_or_default();
    let system = matches!(name, "system-node-critical" | "system-cluster-critical");
    if name.starts_with("system-") && !system {
        let why = "priority class names with 'system-' prefix are reserved for system use only";
        found.push(FieldError::forbidden("metadata.name", why));
    }
    if !system && object["value"].as_i64().is_some_and(|value| value > 1_000_000_000) {
        let why = "maximum allowed value of a user defined priority is 1000000000";
        found.push(FieldError::forbidden("value", why));
    }
}
