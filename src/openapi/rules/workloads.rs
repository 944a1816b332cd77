//! Rules on Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs.

use serde_json::Value as Json;

use super::{configuration, is_empty, items, labels, map, not_negative, pods, scaling, selector, text};
use crate::openapi::validate::{FieldError, is_deferred};

/// Complaints about an object that makes pods.
pub(super) fn check(kind: &str, object: &Json, found: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    match kind {
        "CronJob" => {
            schedule(&spec["schedule"], found);
            job("spec.jobTemplate.spec", &spec["jobTemplate"]["spec"], found);
        }
        "Job" => job("spec", spec, found),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => controller(kind, spec, found),
        _ => {}
    }
}

fn controller(kind: &str, spec: &Json, found: &mut Vec<FieldError>) {
    found.extend(not_negative("spec.replicas", &spec["replicas"]));
    found.extend(not_negative("spec.minReadySeconds", &spec["minReadySeconds"]));
    match (kind, text(&spec["strategy"]["type"])) {
        ("Deployment", Some("Recreate")) if !spec["strategy"]["rollingUpdate"].is_null() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            found.push(FieldError::forbidden("spec.strategy.rollingUpdate", why));
        }
        _ => {}
    }
    for strategy in ["strategy", "updateStrategy"] {
        let rolling = &spec[strategy]["rollingUpdate"];
        for key in ["maxSurge", "maxUnavailable"] {
            scaling::amount(&format!("spec.{strategy}.rollingUpdate.{key}"), &rolling[key], found);
        }
        let zero = |key: &str| rolling[key] == 0 || rolling[key] == "0%";
        if zero("maxSurge") && zero("maxUnavailable") {
            let path = format!("spec.{strategy}.rollingUpdate.maxUnavailable");
            found.push(FieldError::invalid(path, 0, "may not be 0 when `maxSurge` is 0"));
        }
    }
    selects_template(kind, spec, found);
    let claims = items(&spec["volumeClaimTemplates"]).filter_map(|(_, claim)| text(&claim["metadata"]["name"]));
    let claims = claims.collect::<Vec<_>>();
    template("spec.template", &spec["template"], &["Always"], &claims, found);
    for (at, claim) in items(&spec["volumeClaimTemplates"]) {
        configuration::claim(&format!("spec.volumeClaimTemplates[{at}].spec"), &claim["spec"], found);
    }
}

/// The selector is there, asks for something, and gets it from the template's labels.
fn selects_template(kind: &str, spec: &Json, found: &mut Vec<FieldError>) {
    let wanted = &spec["selector"];
    if is_deferred(wanted) {
        return;
    }
    selector("spec.selector", wanted, found);
    let asks = |key: &str| match &wanted[key] {
        Json::Object(map) => !map.is_empty(),
        Json::Array(items) => !items.is_empty(),
        _ => false,
    };
    if wanted.is_null() {
        found.push(FieldError::required("spec.selector", ""));
        return;
    }
    if !asks("matchLabels") && !asks("matchExpressions") {
        let why = format!("empty selector is invalid for {}", kind.to_lowercase());
        found.push(FieldError::invalid("spec.selector", wanted.clone(), why));
        return;
    }
    let given = &spec["template"]["metadata"]["labels"];
    if is_deferred(&spec["template"]) || is_deferred(&spec["template"]["metadata"]) || is_deferred(given) {
        return;
    }
    let label = |key: &str| &given[key];
    let exact = map(&wanted["matchLabels"]).into_iter().flatten();
    let mut missed: Vec<&str> = exact
        .filter(|(key, value)| !is_deferred(value) && !is_deferred(label(key)) && label(key) != *value)
        .map(|(key, _)| key.as_str())
        .collect();
    for (_, expression) in items(&wanted["matchExpressions"]) {
        let Some(key) = text(&expression["key"]) else { continue };
        let (label, values) = (label(key), &expression["values"]);
        if is_deferred(label) || is_deferred(values) || values.as_array().into_iter().flatten().any(is_deferred) {
            continue;
        }
        let listed = items(values).any(|(_, value)| value == label);
        let fits = match text(&expression["operator"]) {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => !label.is_null(),
            Some("DoesNotExist") => label.is_null(),
            _ => true,
        };
        if !fits {
            missed.push(key);
        }
    }
    if !missed.is_empty() {
        let shown = if given.is_null() { Json::Object(serde_json::Map::new()) } else { given.clone() };
        let why = format!("`selector` does not match template `labels` ({})", missed.join(", "));
        found.push(FieldError::invalid("spec.template.metadata.labels", shown, why));
    }
}

fn template(path: &str, template: &Json, restart: &[&str], claims: &[&str], found: &mut Vec<FieldError>) {
    if map(template).is_none() {
        return;
    }
    labels(&format!("{path}.metadata.labels"), &template["metadata"]["labels"], found);
    super::annotations(&format!("{path}.metadata.annotations"), &template["metadata"]["annotations"], found);
    let spec = &template["spec"];
    pods::pod(&format!("{path}.spec"), spec, claims, found);
    if let Some(policy) = text(&spec["restartPolicy"]).filter(|policy| !restart.contains(policy)) {
        let path = format!("{path}.spec.restartPolicy");
        // Words that no pod knows were reported as such.
        if matches!(policy, "Always" | "OnFailure" | "Never") {
            found.push(FieldError::not_supported(path, policy, restart.iter().copied()));
        }
    }
}

fn job(path: &str, spec: &Json, found: &mut Vec<FieldError>) {
    for key in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        found.extend(not_negative(&format!("{path}.{key}"), &spec[key]));
    }
    if spec["completionMode"] == "Indexed" && spec["completions"].is_null() {
        let why = "when completion mode is Indexed";
        found.push(FieldError::required(format!("{path}.completions"), why));
    }
    template(&format!("{path}.template"), &spec["template"], &["OnFailure", "Never"], &[], found);
}

/// `*/5 * * * *`, `@hourly`, `@every 1h`.
fn schedule(value: &Json, found: &mut Vec<FieldError>) {
    if is_empty(value) {
        found.push(FieldError::required("spec.schedule", ""));
        return;
    }
    let Some(text) = text(value) else { return };
    if text.contains("TZ") {
        let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        found.push(FieldError::invalid("spec.schedule", text, why));
        return;
    }
    let fine = match text.strip_prefix('@') {
        Some(word) => {
            matches!(word, "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly")
                || word.strip_prefix("every ").is_some_and(|every| every.starts_with(|c: char| c.is_ascii_digit()))
        }
        None => {
            let fields: Vec<&str> = text.split_whitespace().collect();
            let limits = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
            fields.len() == limits.len() && fields.iter().zip(limits).all(|(field, limit)| is_field(field, limit))
        }
    };
    if !fine {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let why = match (text.starts_with('@'), fields.len()) {
            (true, _) => format!("unrecognized descriptor: {text}"),
            (false, 5) => "expected five fields (minute hour day month weekday)".to_owned(),
            (false, count) => format!("expected exactly 5 fields, found {count}: [{}]", fields.join(" ")),
        };
        found.push(FieldError::invalid("spec.schedule", text, why));
    }
}

/// One field of a schedule: numbers, names of months and days, lists, ranges, steps.
fn is_field(field: &str, (least, most): (u32, u32)) -> bool {
    let one = |text: &str| match text.parse::<u32>() {
        Ok(number) => (least..=most).contains(&number),
        Err(_) => text.len() == 3 && text.bytes().all(|b| b.is_ascii_alphabetic()),
    };
    field.split(',').all(|part| {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let ranged = match range.split_once('-') {
            Some((from, to)) => one(from) && one(to),
            None => matches!(range, "*" | "?") || one(range),
        };
        ranged && step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0))
    })
}
