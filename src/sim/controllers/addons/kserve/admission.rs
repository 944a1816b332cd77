//! KServe's webhooks: defaults, refusals, and the conversion between the two versions.

use serde_json::{Value as Json, json};

use super::super::objects::{core, list, name, namespace, number, text};
use super::{CONFIGURATION, configs, presets, template};
use crate::sim::controllers::programs::Instance;
use crate::sim::controllers::{Surroundings, admission, webhooks};

/// The key under which a criticality, which only the older version has, survives conversion.
const CRITICALITY: &str = "internal.serving.kserve.io/model-criticality";

/// Answers a review.
///
/// # Errors
/// For paths that are not served.
pub fn answer(instance: &Instance, around: &Surroundings, path: &str, review: &Json) -> Result<Json, String> {
    let configured = around.api.get(&core("ConfigMap"), instance.namespace(), CONFIGURATION).is_some();
    let object = &review["request"]["object"];
    let verdict = |result: Result<(), String>| match result {
        Ok(()) => admission::allow(review),
        Err(message) => admission::deny(review, 403, "Forbidden", &message),
    };
    let unconfigured = || format!("unable to get configmap: configmaps \"{CONFIGURATION}\" not found");
    match path {
        "/convert" => Ok(admission::convert(review, convert)),
        _ if path.starts_with("/mutate-") && path.ends_with("-llminferenceservice") => {
            if !configured {
                return Ok(admission::deny(review, 500, "InternalError", &unconfigured()));
            }
            Ok(admission::patch(review, &defaulted(object)))
        }
        _ if path.starts_with("/validate-") && path.ends_with("-llminferenceservice") => {
            Ok(verdict(validate(object, &review["request"]["oldObject"])))
        }
        _ if path.starts_with("/validate-") && path.ends_with("-llminferenceserviceconfig") => {
            if text(review, "/request/operation") == "DELETE" {
                return Ok(verdict(deletable(instance, around, &review["request"]["oldObject"])));
            }
            if !configured {
                return Ok(admission::deny(review, 500, "InternalError", &unconfigured()));
            }
            Ok(verdict(validate_config(object)))
        }
        _ => Err(webhooks::NO_SUCH_PATH.to_owned()),
    }
}

fn defaulted(object: &Json) -> Json {
    let mut service = object.clone();
    if text(&service, "/spec/model/name").is_empty() && service.pointer("/spec/model").is_some() {
        service["spec"]["model"]["name"] = json!(name(object));
    }
    for part in ["template", "worker"] {
        if let Some(pod) = service.pointer_mut(&format!("/spec/{part}")).filter(|p| p.is_object())
            && pod.get("containers").is_none()
        {
            pod["containers"] = json!([]);
        }
    }
    service
}

fn validate(service: &Json, old: &Json) -> Result<(), String> {
    if service.pointer("/metadata/deletionTimestamp").is_some() {
        return Ok(());
    }
    let invalid = |path: &str, why: &str| {
        Err(format!("LLMInferenceService.serving.kserve.io \"{}\" is invalid: {path}: {why}", name(service)))
    };
    let has = |pointer: &str| service.pointer(pointer).is_some_and(|v| !v.is_null());
    if !text(service, "/spec/model/uri").contains("://") {
        return invalid("spec.model.uri", "Required value: must be a URI with a scheme");
    }
    if has("/spec/replicas") && has("/spec/scaling") {
        return invalid("spec.replicas", "Forbidden: replicas and scaling are mutually exclusive");
    }
    if has("/spec/router/route/http/refs") && has("/spec/router/route/http/spec") {
        return invalid("spec.router.route.http", "Forbidden: refs and spec are mutually exclusive");
    }
    if has("/spec/router/route/group") != has("/spec/router/route/weight") {
        return invalid("spec.router.route", "Invalid value: group and weight go together");
    }
    let parallelism = |field: &str| number(service, &format!("/spec/parallelism/{field}"));
    if parallelism("data").is_some() != parallelism("dataLocal").is_some() {
        return invalid("spec.parallelism", "Invalid value: data and dataLocal go together");
    }
    if parallelism("pipeline").is_some() && parallelism("data").is_some() {
        return invalid("spec.parallelism", "Invalid value: pipeline and data are mutually exclusive");
    }
    if has("/spec/worker") && parallelism("data").is_none() && parallelism("pipeline").is_none() {
        return invalid("spec.worker", "Invalid value: worker requires data or pipeline parallelism");
    }
    let size = |object: &Json| {
        let of = |field: &str| number(object, &format!("/spec/parallelism/{field}")).unwrap_or(1);
        of("pipeline") * of("data") / of("dataLocal").max(1)
    };
    if old.is_object() && size(old) != size(service) {
        return invalid("spec.parallelism", "Forbidden: the total size is immutable");
    }
    let mut names = Vec::new();
    for adapter in list(service, "/spec/model/lora/adapters") {
        let adapter = text(adapter, "/name");
        if matches!(adapter, "" | "." | "..")
            || adapter == text(service, "/spec/model/name")
            || names.contains(&adapter)
        {
            return invalid("spec.model.lora.adapters", "Invalid value: names must be set, unique and not the model's");
        }
        names.push(adapter);
    }
    Ok(())
}

fn validate_config(config: &Json) -> Result<(), String> {
    if !list(config, "/spec/baseRefs").is_empty() {
        return Err("spec.baseRefs: Forbidden: a config may not refer to others".to_owned());
    }
    let sample = json!({
        "ObjectMeta": {"name": "sample", "namespace": "sample", "labels": {}, "annotations": {}},
        "Spec": {"model": {"name": "sample", "uri": "hf://sample/sample"}, "parallelism": {}, "prefill": {}, "router": {},
            "template": {}, "worker": {}, "replicas": 1, "tracing": {}},
        "GlobalConfig": {"SystemNamespace": "kserve", "IngressGatewayName": "g", "IngressGatewayNamespace": "n",
            "EnableTLS": true, "UrlScheme": "https", "ModelBasedRoutingHeaderName": "X", "InferencePoolNamespacedName": "n/p"},
    });
    let mut spec = config["spec"].clone();
    template::render_all(&mut spec, &sample).map_err(|why| format!("spec: Invalid value: {why}"))
}

fn deletable(instance: &Instance, around: &Surroundings, config: &Json) -> Result<(), String> {
    let allowed = instance.variable("PREVENT_WELL_KNOWN_CONFIG_DELETION", &*around.api).is_some_and(|v| v == "false");
    // Builds that do not look after configs warn, and let them go.
    if allowed
        || !configs::are_looked_after(&*around.api)
        || namespace(config) != instance.namespace()
        || !presets::well_known(config)
    {
        return Ok(());
    }
    Err(format!("{} is a well-known LLMInferenceServiceConfig and cannot be deleted", name(config)))
}

/// Between v1alpha1 and v1alpha2.
fn convert(object: &Json, wanted: &str) -> Result<Json, String> {
    let mut converted = object.clone();
    converted["apiVersion"] = json!(wanted);
    if wanted.ends_with("/v1alpha1") {
        // These exist in the newer version only and are lost in the older one's eyes.
        if let Some(status) = converted.get_mut("status").and_then(Json::as_object_mut) {
            for field in ["router", "workloads", "appliedConfigs"] {
                status.remove(field);
            }
        }
        let kept = converted.pointer("/metadata/annotations").and_then(|a| a.get(CRITICALITY)).cloned();
        if let Some(kept) = kept {
            converted["spec"]["model"]["criticality"] = kept;
            if let Some(all) = converted.pointer_mut("/metadata/annotations").and_then(Json::as_object_mut) {
                all.remove(CRITICALITY);
            }
        }
    } else if let Some(model) = converted.pointer_mut("/spec/model").and_then(Json::as_object_mut)
        && let Some(criticality) = model.remove("criticality")
    {
        converted["metadata"]["annotations"][CRITICALITY] = criticality;
    }
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criticality_survives_the_way_there_and_back() {
        let old = json!({"apiVersion": "serving.kserve.io/v1alpha1", "kind": "LLMInferenceService",
            "metadata": {"name": "x"}, "spec": {"model": {"uri": "hf://a/b", "criticality": "Critical"}}});
        let new = convert(&old, "serving.kserve.io/v1alpha2").expect("up");
        assert_eq!(new.pointer("/spec/model/criticality"), None);
        let mut back = convert(&new, "serving.kserve.io/v1alpha1").expect("down");
        assert_eq!(back["metadata"]["annotations"], json!({}));
        back["metadata"].as_object_mut().expect("metadata").remove("annotations");
        assert_eq!(back, old);
    }

    #[test]
    fn mistakes_are_refused() {
        let with = |spec: Json| validate(&json!({"metadata": {"name": "x"}, "spec": spec}), &Json::Null);
        assert_eq!(with(json!({"model": {"uri": "hf://a/b"}})), Ok(()));
        assert!(with(json!({"model": {"uri": "a/b"}})).is_err());
        assert!(with(json!({"model": {"uri": "hf://a/b"}, "replicas": 1, "scaling": {}})).is_err());
        assert!(with(json!({"model": {"uri": "hf://a/b"}, "worker": {}})).is_err());
    }
}
