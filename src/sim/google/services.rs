//! The small APIs around: Service Usage, Cloud Quotas, Resource Manager.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value as Json, json};

use super::answer::{Call, Refusal};
use super::container::quotas;
use super::{Google, offers};

/// APIs that a project of this world has on.
const ENABLED: &[&str] = &[
    "cloudquotas.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
    "iam.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
];

/// Section of services that were switched off.
const OFF: &str = "google/services-off";

/// Answers a call.
///
/// # Errors
/// Google's refusals.
pub fn answer(google: &Arc<Google>, call: &Call, words: &[&str]) -> Result<Json, Refusal> {
    let (get, post) = (call.method == Method::GET, call.method == Method::POST);
    match words {
        ["v1", "projects", project, "services"] if get => {
            let states: Vec<Json> = ENABLED.iter().map(|name| service(google, project, name)).collect();
            let wanted = match call.query("filter") {
                Some("state:ENABLED") => Some("ENABLED"),
                Some("state:DISABLED") => Some("DISABLED"),
                _ => None,
            };
            let states: Vec<Json> = states.into_iter().filter(|s| wanted.is_none_or(|w| s["state"] == w)).collect();
            Ok(json!({ "services": states }))
        }
        ["v1", "projects", project, "services:batchEnable"] if post => {
            for id in call.json()?["serviceIds"].as_array().into_iter().flatten().filter_map(Json::as_str) {
                google.world.remove(OFF, &format!("{project}/{id}"));
            }
            Ok(json!({"name": "operations/noop.DONE_OPERATION", "done": true, "response": {}}))
        }
        ["v1", "projects", project, "services", name] => {
            let (name, verb) = name.split_once(':').map_or((*name, None), |(name, verb)| (name, Some(verb)));
            if !name.ends_with(".googleapis.com") {
                return Err(Refusal::not_found(format!("Service {name} not found.")));
            }
            match verb {
                None if get => return Ok(service(google, project, name)),
                Some("enable") if post => google.world.remove(OFF, &format!("{project}/{name}")),
                Some("disable") if post => google.world.put(OFF, &format!("{project}/{name}"), json!(true)),
                _ => return Err(Refusal::not_found("Method not found.")),
            }
            Ok(
                json!({"name": "operations/noop.DONE_OPERATION", "done": true, "response": {"service": service(google, project, name)}}),
            )
        }
        ["v1", "operations", name] if get => {
            Ok(json!({"name": format!("operations/{name}"), "done": true, "response": {}}))
        }
        ["v1", "projects", project, "locations", "global", "services", name, "quotaInfos"] if get => {
            let infos: Vec<Json> =
                QUOTAS.iter().filter(|(s, ..)| s == name).map(|q| quota_info(google, project, q)).collect();
            Ok(json!({ "quotaInfos": infos }))
        }
        ["v1", "projects", project, "locations", "global", "services", name, "quotaInfos", id] if get => {
            let found = QUOTAS.iter().find(|(service, quota, ..)| service == name && quota == id);
            found
                .map(|quota| quota_info(google, project, quota))
                .ok_or_else(|| Refusal::not_found(format!("The quota info {id} of service {name} was not found.")))
        }
        ["v1", "projects", project] if get => Ok(json!({
            "projectNumber": google.project_number(project), "projectId": project, "lifecycleState": "ACTIVE",
            "name": project, "createTime": "2026-01-01T00:00:00.000Z",
        })),
        ["v1", "projects", name] if post => {
            let (_, verb) = name.split_once(':').unwrap_or((name, ""));
            permissions(google, call, verb)
        }
        ["v3", "projects", name] => match name.split_once(':') {
            Some((_, verb)) if post => permissions(google, call, verb),
            None if get => Ok(json!({
                "name": format!("projects/{}", google.project_number(name)), "projectId": name, "state": "ACTIVE",
                "displayName": name, "createTime": "2026-01-01T00:00:00Z", "etag": "W/\"0\"",
            })),
            _ => Err(Refusal::not_found("Method not found.")),
        },
        _ => Err(Refusal::not_found("Method not found.")),
    }
}

/// Whoever calls owns the project, but for what faults take away.
fn permissions(google: &Google, call: &Call, verb: &str) -> Result<Json, Refusal> {
    match verb {
        "testIamPermissions" => {
            let asked = call.json()?["permissions"].as_array().cloned().unwrap_or_default();
            let granted = asked.iter().filter(|name| name.as_str().is_some_and(|name| !google.faults.lacks(name)));
            let granted = granted.cloned().collect::<Vec<_>>();
            // As everywhere at Google, an empty list is left out.
            Ok(if granted.is_empty() { json!({}) } else { json!({ "permissions": granted }) })
        }
        "getIamPolicy" => Ok(json!({"version": 1, "etag": "ACAB", "bindings": []})),
        _ => Err(Refusal::not_found("Method not found.")),
    }
}

fn service(google: &Google, project: &str, name: &str) -> Json {
    let off = google.faults.disabled(name) || google.world.get(OFF, &format!("{project}/{name}")).is_some();
    let known = ENABLED.contains(&name);
    let number = google.project_number(project);
    json!({
        "name": format!("projects/{number}/services/{name}"),
        "config": {"name": name, "title": name},
        "state": if known && !off { "ENABLED" } else { "DISABLED" },
        "parent": format!("projects/{number}"),
    })
}

/// Service, quota id, metric, our metric, dimensions.
type Quota = (&'static str, &'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const QUOTAS: &[Quota] = &[
    (
        "compute.googleapis.com",
        "TPUS-PER-TPU-FAMILY-per-project-region",
        "compute.googleapis.com/tpus_per_tpu_family",
        "TPUS_PER_TPU_FAMILY:CT6E",
        &[("tpu_family", "CT6E")],
    ),
    (
        "compute.googleapis.com",
        "NVIDIA-T4-GPUS-per-project-region",
        "compute.googleapis.com/nvidia_t4_gpus",
        "NVIDIA_T4_GPUS",
        &[],
    ),
    (
        "compute.googleapis.com",
        "PREEMPTIBLE-NVIDIA-T4-GPUS-per-project-region",
        "compute.googleapis.com/preemptible_nvidia_t4_gpus",
        "PREEMPTIBLE_NVIDIA_T4_GPUS",
        &[],
    ),
    ("compute.googleapis.com", "CPUS-per-project-region", "compute.googleapis.com/cpus", "CPUS", &[]),
];

fn quota_info(google: &Google, project: &str, quota: &Quota) -> Json {
    let (service, id, metric, ours, fixed) = quota;
    let number = google.project_number(project);
    let rows: Vec<Json> = offers::regions()
        .map(|region| {
            let mut dimensions = json!({"region": region});
            for (name, value) in *fixed {
                dimensions[*name] = json!(value);
            }
            let value = quotas::limit(google, region, ours);
            json!({"dimensions": dimensions, "details": {"value": format!("{value:.0}")}, "applicableLocations": [region]})
        })
        .collect();
    let mut names = vec!["region"];
    names.extend(fixed.iter().map(|(name, _)| *name));
    json!({
        "name": format!("projects/{number}/locations/global/services/{service}/quotaInfos/{id}"),
        "quotaId": id, "metric": metric, "service": service, "isPrecise": true, "containerType": "PROJECT",
        "dimensions": names, "dimensionsInfos": rows, "quotaIncreaseEligibility": {"isEligible": true},
    })
}
