//! LLMInferenceServices: the reconciliation, its conditions in their order, and the goodbye.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::istio::{gateway_api, networking};
use super::super::objects::{
    annotation, apps, child_name, condition, core, generation, going, is_true, label, name, namespace, number, text,
};
use super::super::work::{Step, Work};
use super::{MANAGER, Settings, kinds, picker, presets, router, workload};
use crate::sim::controllers::{Outcome, fields};
use crate::sim::kube::api::{DeleteOptions, Gvk, Status};

/// Looks after LLMInferenceServices.
pub struct Services;

const FINALIZER: &str = "serving.kserve.io/llmisvc-finalizer";

/// A sub-condition: `Ok` when True, else reason and message.
type State = Result<(), (&'static str, String)>;

impl Services {
    async fn finish(&self, work: &Work, service: &Json) -> Result<Outcome, Status> {
        if !fields::has_finalizer(service, FINALIZER) {
            return Ok(Outcome::Done);
        }
        let binding = Gvk::new("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding");
        let bound = picker::auth_binding(service);
        if work.api.get(&binding, "", &bound).is_some() {
            work.api.delete(&binding, "", &bound, DeleteOptions::default()).await?;
        }
        let mut changed = service.clone();
        fields::remove_finalizer(&mut changed, FINALIZER);
        work.api.update(changed).await?;
        Ok(Outcome::Done)
    }

    /// The state of the Deployment: its own condition, which hides an exceeded deadline.
    fn main_workload(work: &Work, service: &Json) -> (State, i64) {
        let deployment = child_name(name(service), "-kserve");
        let Some(deployment) = work.api.get(&apps("Deployment"), namespace(service), &deployment) else {
            return (Err(("Progressing", "Deployment is being created".to_owned())), 0);
        };
        let ready = number(&deployment, "/status/readyReplicas").unwrap_or(0);
        let state = match condition(&deployment, "Available") {
            Some(c) if c["status"] == "True" => Ok(()),
            Some(c) => {
                let reason = match text(c, "/reason") {
                    "ProgressDeadlineExceeded" => "ProgressDeadlineExceeded",
                    _ => "MinimumReplicasUnavailable",
                };
                Err((reason, text(c, "/message").to_owned()))
            }
            None => Err(("Progressing", "Deployment is progressing".to_owned())),
        };
        (state, ready)
    }
}

struct Report<'a> {
    service: &'a Json,
    conditions: Vec<(&'static str, State)>,
    status: Json,
}

impl Report<'_> {
    fn set(&mut self, kind: &'static str, state: State) {
        self.conditions.push((kind, state));
    }

    /// Copies the first failure among `parts` up into `kind`.
    fn roll_up(&mut self, kind: &'static str, parts: &[&str]) {
        let first = self.conditions.iter().filter(|(kind, _)| parts.contains(kind)).find_map(|(_, s)| s.clone().err());
        self.conditions.push((kind, first.map_or(Ok(()), Err)));
    }

    async fn write(mut self, work: &Work) -> Result<(), Status> {
        let mut status = std::mem::take(&mut self.status);
        let was_ready = is_true(self.service, "Ready");
        let mut conditions = status.get("conditions").cloned().unwrap_or_else(|| json!([]));
        if let Some(old) = conditions.as_array_mut() {
            old.retain(|c| self.conditions.iter().any(|(kind, _)| c["type"] == *kind));
        }
        for (kind, state) in &self.conditions {
            let condition = router::as_condition(kind, state);
            super::super::objects::set_condition(&mut conditions, work.clock.now(), None, condition);
        }
        if let Some(entries) = conditions.as_array_mut() {
            for entry in entries.iter_mut().filter_map(Json::as_object_mut) {
                entry.retain(|_, value| value != "");
            }
            entries.sort_by(|a, b| text(a, "/type").cmp(text(b, "/type")));
        }
        status["conditions"] = conditions;
        status["observedGeneration"] = json!(generation(self.service));
        work.put_status(self.service, status).await?;
        let ready = self.conditions.iter().any(|(kind, state)| *kind == "Ready" && state.is_ok());
        if ready && !was_ready {
            let message = format!("LLMInferenceService [{}] is Ready", name(self.service));
            work.event(self.service, "Normal", "LLMInferenceServiceReady", &message).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Step for Services {
    fn name(&self) -> &'static str {
        "llmisvc"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        kinds("LLMInferenceService")
    }

    fn also_watches(&self) -> Vec<Gvk> {
        let mut all = vec![
            apps("Deployment"),
            core("Service"),
            core("Secret"),
            core("Pod"),
            core("ConfigMap"),
            core("ServiceAccount"),
            gateway_api("HTTPRoute"),
            gateway_api("Gateway"),
            gateway_api("GatewayClass"),
            Gvk::new("inference.networking.k8s.io", "v1", "InferencePool"),
            Gvk::new("inference.networking.x-k8s.io", "v1alpha2", "InferencePool"),
        ];
        all.extend(kinds("LLMInferenceServiceConfig"));
        all.extend(networking("DestinationRule"));
        all
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        match text(changed, "/kind") {
            "Gateway" | "GatewayClass" | "LLMInferenceServiceConfig" => true,
            "ConfigMap" => name(changed) == super::CONFIGURATION,
            "ServiceAccount" => namespace(changed) == namespace(own),
            // Only what carries the common label is in the controller's cache.
            _ => {
                namespace(changed) == namespace(own)
                    && (label(changed, "app.kubernetes.io/name") == name(own)
                        || !label(changed, "istio.io/inferencepool-name").is_empty())
            }
        }
    }

    async fn step(&self, work: &Work, service: &Arc<Json>) -> Result<Outcome, Status> {
        if going(service) {
            return self.finish(work, service).await;
        }
        if !fields::has_finalizer(service, FINALIZER) {
            let mut changed = (**service).clone();
            fields::add_finalizer(&mut changed, FINALIZER);
            work.api.update(changed).await?;
            return Ok(Outcome::Done);
        }
        let fresh = number(service, "/status/observedGeneration") != Some(generation(service));
        let mut report = Report {
            service,
            conditions: Vec::new(),
            status: service.get("status").cloned().unwrap_or_else(|| json!({})),
        };
        let Some(settings) = Settings::read(&*work.api, work.namespace()) else {
            let missing = format!("configmaps \"{}\" not found", super::CONFIGURATION);
            return Err(Status::failure(404, "NotFound", missing));
        };
        if annotation(service, "serving.kserve.io/stop") == "true" {
            return self.stop(work, report).await;
        }
        let combined = match presets::combine(work, service, &settings) {
            Ok(combined) => combined,
            Err((reason, message)) => {
                let waits = reason == "ConfigNotFound";
                report.set("PresetsCombined", Err((reason, message.clone())));
                report.write(work).await?;
                return if waits { Ok(Outcome::Done) } else { Err(Status::failure(500, "InternalError", message)) };
            }
        };
        report.set("PresetsCombined", Ok(()));
        report.status["appliedConfigs"] = json!(combined.applied);
        for (suffix, pinned) in &combined.pinned {
            report.status["annotations"][format!("serving.kserve.io/{suffix}")] = json!(pinned);
        }
        let spec = &combined.spec;
        let mut trouble = None;

        let main = async {
            workload::certificate(work, service).await.map_err(|e| ("ReconcileCertsError", e))?;
            workload::deployment(work, service, spec, &settings, fresh)
                .await
                .map_err(|e| ("ReconcileSingleNodeWorkloadError", e))?;
            workload::frontend(work, service, &settings).await.map_err(|e| ("ReconcileWorkloadServiceError", e))
        };
        let (state, ready) = match main.await {
            Ok(()) => Self::main_workload(work, service),
            Err((reason, status)) => {
                let state = Err((reason, status.message().to_owned()));
                trouble = Some(status);
                (state, 0)
            }
        };
        report.set("MainWorkloadReady", state);
        report.roll_up("WorkloadsReady", &["MainWorkloadReady"]);
        let deployment = child_name(name(service), "-kserve");
        report.status["workloads"] = json!({
            "primary": {"apiGroup": "apps", "kind": "Deployment", "name": deployment, "readyReplicas": ready},
            "service": {"apiGroup": "", "kind": "Service", "name": workload::service_name(service)},
        });

        let asked = |pointer: &str| spec.pointer(pointer).is_some_and(|v| !v.is_null());
        if asked("/router/scheduler") {
            let (states, failure) = picker::reconcile(work, service, spec, &settings, fresh).await;
            for (kind, state) in states {
                report.set(kind, state);
            }
            trouble = trouble.or(failure);
            report.status["workloads"]["scheduler"] = json!({"apiGroup": "apps", "kind": "Deployment",
                "name": picker::deployment_name(service)});
        }
        if asked("/router/gateway/refs") {
            report.set("GatewaysReady", router::gateways_state(work, service, spec, &settings));
        }
        if asked("/router/route") {
            let given = asked("/router/route/http/refs");
            let written = if given { Ok(()) } else { router::route(work, service, spec, &settings, fresh).await };
            match written {
                Ok(()) => report.set("HTTPRoutesReady", router::route_state(work, service, spec)),
                Err(status) => {
                    report.set("HTTPRoutesReady", Err(("HTTPRouteReconcileError", status.message().to_owned())));
                    trouble = trouble.or(Some(status));
                }
            }
        }
        if let Err(status) = router::destination_rules(work, service, spec, &settings).await {
            trouble = trouble.or(Some(status));
        }
        report.roll_up(
            "RouterReady",
            &["GatewaysReady", "HTTPRoutesReady", "InferencePoolReady", "SchedulerWorkloadReady"],
        );
        report.roll_up("Ready", &["WorkloadsReady", "RouterReady"]);
        let urls = router::urls(work, service, spec, &settings);
        let external = urls.iter().find(|(name, _)| name.ends_with("external"));
        if let (Some((_, url)), true) = (external, asked("/router/route")) {
            report.status["url"] = json!(url);
        }
        report.status["addresses"] =
            json!(urls.iter().map(|(name, url)| json!({"name": name, "url": url})).collect::<Vec<_>>());
        report.write(work).await?;
        match trouble {
            Some(status) => Err(status),
            None => Ok(Outcome::After(Duration::from_secs(600))),
        }
    }
}

impl Services {
    /// Takes down what a stopped service runs, and says so.
    async fn stop(&self, work: &Work, mut report: Report<'_>) -> Result<Outcome, Status> {
        let (service, home) = (report.service, namespace(report.service));
        let children = [
            (apps("Deployment"), child_name(name(service), "-kserve")),
            (core("Service"), workload::service_name(service)),
            (gateway_api("HTTPRoute"), router::route_name(service)),
        ];
        for (gvk, child) in children {
            if work.api.get(&gvk, home, &child).is_some() {
                work.api.delete(&gvk, home, &child, DeleteOptions::default()).await?;
            }
        }
        let stopped = || Err(("Stopped", "Service is stopped".to_owned()));
        for kind in ["MainWorkloadReady", "WorkloadsReady", "HTTPRoutesReady", "RouterReady", "Ready"] {
            report.set(kind, stopped());
        }
        if let Some(status) = report.status.as_object_mut() {
            status.remove("url");
            status.remove("addresses");
        }
        tracing::debug!(manager = MANAGER, name = name(service), "stopped");
        report.write(work).await?;
        Ok(Outcome::Done)
    }
}
