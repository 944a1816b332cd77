//! Presets: which LLMInferenceServiceConfigs a service uses, and the spec that comes out of merging them.

use serde_json::{Value as Json, json};

use super::super::objects::{annotation, list, merge_template, name, namespace, text};
use super::super::work::Work;
use super::{Settings, kind, template};

/// Why presets do not combine: reason and message of `PresetsCombined`.
pub type Failure = (&'static str, String);

/// A service's spec with presets and base references merged in and templates rendered.
pub struct Combined {
    /// The spec.
    pub spec: Json,
    /// `status.appliedConfigs`.
    pub applied: Vec<Json>,
    /// Preset suffixes and the names they were pinned to.
    pub pinned: Vec<(String, String)>,
}

/// The presets a spec needs, by the part of their names after the prefix.
fn needed(spec: &Json) -> Vec<&'static str> {
    let mut needed = Vec::new();
    let has = |pointer: &str| spec.pointer(pointer).is_some_and(|v| !v.is_null());
    match (has("/worker"), has("/prefill")) {
        (true, false) => needed.push("config-llm-worker-data-parallel"),
        (true, true) => needed.push("config-llm-decode-worker-data-parallel"),
        (false, true) => needed.push("config-llm-decode-template"),
        (false, false) => needed.push("config-llm-template"),
    }
    if has("/prefill") {
        needed.push(if has("/prefill/worker") {
            "config-llm-prefill-worker-data-parallel"
        } else {
            "config-llm-prefill-template"
        });
    }
    if has("/router/scheduler") && !has("/router/scheduler/pool/ref") {
        needed.push("config-llm-scheduler");
    }
    if has("/router/route") && !has("/router/route/http/refs") {
        needed.push("config-llm-router-route");
    }
    if has("/tracing") {
        needed.push("config-llm-tracing");
    }
    needed
}

/// Combines what a service asks for.
///
/// # Errors
/// Reason and message of `PresetsCombined`.
pub fn combine(work: &Work, service: &Json, settings: &Settings) -> Result<Combined, Failure> {
    let api = &*work.api;
    let Some(gvk) = kind(api, "LLMInferenceServiceConfig") else {
        return Err(("CombineBaseError", "no matches for kind \"LLMInferenceServiceConfig\"".to_owned()));
    };
    let prefix = work.instance.variable("LLM_INFERENCE_SERVICE_CONFIG_PREFIX", api);
    let prefix = prefix.unwrap_or_else(|| "kserve-".to_owned());
    let mut wanted: Vec<(String, &str)> = Vec::new();
    let mut pinned = Vec::new();
    for suffix in needed(&service["spec"]) {
        let pin = service.pointer("/status/annotations").and_then(|a| a.get(format!("serving.kserve.io/{suffix}")));
        let whole = pin.and_then(Json::as_str).map_or_else(|| format!("{prefix}{suffix}"), str::to_owned);
        if suffix != "config-llm-router-route" {
            pinned.push((suffix.to_owned(), whole.clone()));
        }
        wanted.push((whole, "Preset"));
    }
    for base in list(service, "/spec/baseRefs") {
        wanted.push((text(base, "/name").to_owned(), "UserRef"));
    }
    let mut spec = json!({});
    let mut applied = Vec::new();
    for (config, source) in wanted {
        let homes = [namespace(service), work.namespace()];
        let Some(found) = homes.iter().find_map(|home| api.get(&gvk, home, &config)) else {
            let message = format!(
                "failed to get LLMInferenceServiceConfig {config:?} from namespaces [{:?}, {:?}]: \
                 llminferenceserviceconfigs.serving.kserve.io \"{config}\" not found",
                homes[0], homes[1]
            );
            return Err(("ConfigNotFound", message));
        };
        merge_template(&mut spec, &found["spec"]);
        applied.push(json!({"name": config, "namespace": namespace(&found), "source": source}));
    }
    let mut own = service["spec"].clone();
    if let Some(own) = own.as_object_mut() {
        own.remove("baseRefs");
    }
    merge_template(&mut spec, &own);
    if text(&spec, "/model/name").is_empty() {
        spec["model"]["name"] = json!(name(service));
    }
    let variables = json!({
        "ObjectMeta": service["metadata"], "Spec": spec,
        "GlobalConfig": {
            "SystemNamespace": work.namespace(),
            "IngressGatewayName": settings.gateway_name, "IngressGatewayNamespace": settings.gateway_namespace,
            "EnableTLS": settings.tls, "UrlScheme": settings.url_scheme,
            "ModelBasedRoutingHeaderName": settings.routing_header,
            "InferencePoolNamespacedName": format!("{}/{}-inference-pool", namespace(service), name(service)),
        },
    });
    template::render_all(&mut spec, &variables).map_err(|why| ("CombineBaseError", why))?;
    Ok(Combined { spec, applied, pinned })
}

/// Whether a config is one of those that come with KServe.
pub fn well_known(config: &Json) -> bool {
    let name = name(config);
    let suffix = name.find("config-llm-").map(|at| &name[at..]);
    suffix.is_some() && annotation(config, "serving.kserve.io/user-defined").is_empty()
}
