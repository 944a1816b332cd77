//! LLMInferenceServiceConfigs: seen by the controller, and kept while a service needs them.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{Condition, generation, going, list, name, namespace, text};
use super::super::work::{Step, Work};
use super::{kind, kinds, presets};
use crate::sim::controllers::{Outcome, fields};
use crate::sim::kube::api::{Api, Gvk, Status};

/// Looks after LLMInferenceServiceConfigs.
pub struct Configs;

const FINALIZER: &str = "serving.kserve.io/llmisvcconfig-finalizer";

fn in_use(work: &Work, config: &Json) -> bool {
    let Some(gvk) = kind(&*work.api, "LLMInferenceService") else { return false };
    let shared = namespace(config) == work.namespace();
    work.api.list(&gvk, None).iter().any(|service| {
        (shared && presets::well_known(config))
            || ((shared || namespace(service) == namespace(config))
                && list(service, "/spec/baseRefs").iter().any(|r| text(r, "/name") == name(config)))
    })
}

/// Older builds only read configs: their definition has no status, and their account may not write one.
pub(super) fn are_looked_after(api: &dyn Api) -> bool {
    let definitions = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definition = api.get(&definitions, "", "llminferenceserviceconfigs.serving.kserve.io");
    let versions = definition.as_ref().map(|definition| list(definition, "/spec/versions")).unwrap_or_default();
    versions.iter().any(|version| version.pointer("/subresources/status").is_some())
}

#[async_trait]
impl Step for Configs {
    fn name(&self) -> &'static str {
        "llmisvc-configs"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        kinds("LLMInferenceServiceConfig")
    }

    fn also_watches(&self) -> Vec<Gvk> {
        kinds("LLMInferenceService")
    }

    fn concerns(&self, _: &Json, own: &Json) -> bool {
        going(own)
    }

    async fn step(&self, work: &Work, config: &Arc<Json>) -> Result<Outcome, Status> {
        if !are_looked_after(&*work.api) {
            return Ok(Outcome::Done);
        }
        let held = fields::has_finalizer(config, FINALIZER);
        if going(config) {
            if held && !in_use(work, config) {
                let mut changed = (**config).clone();
                fields::remove_finalizer(&mut changed, FINALIZER);
                work.api.update(changed).await?;
            }
            return Ok(Outcome::Done);
        }
        if !held {
            let mut changed = (**config).clone();
            fields::add_finalizer(&mut changed, FINALIZER);
            work.api.update(changed).await?;
            return Ok(Outcome::Done);
        }
        let mut status = work.with_conditions(config, false, &[Condition::new("Ready", true, "Ready", "")]);
        status["observedGeneration"] = json!(generation(config));
        work.put_status(config, status).await?;
        Ok(Outcome::Done)
    }
}
