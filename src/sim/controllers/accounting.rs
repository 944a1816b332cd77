//! Status of what counts: ResourceQuotas, PodDisruptionBudgets, HorizontalPodAutoscalers.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{Controller, Key, Outcome, Surroundings, fields, kinds, placement, pods, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

/// The keys of all objects of a kind in a changed object's namespace.
fn all_here(kind: &str, changed: &Key, api: &dyn Api) -> Vec<Key> {
    if changed.gvk.kind == kind {
        return vec![changed.clone()];
    }
    let all = api.list(&kinds::of(kind), Some(&changed.namespace));
    all.iter().map(|object| super::runner::key_of(kinds::of(kind), object)).collect()
}

/// Keeps `status.used` of ResourceQuotas.
#[derive(Debug, Clone, Copy)]
pub struct Quotas;

#[async_trait]
impl Controller for Quotas {
    fn name(&self) -> &'static str {
        "quotas"
    }

    fn watches(&self) -> Vec<Gvk> {
        ["ResourceQuota", "Pod", "Service", "Secret", "ConfigMap", "PersistentVolumeClaim"].map(kinds::of).to_vec()
    }

    fn keys(&self, changed: &Key, _: &Json, api: &dyn Api) -> Vec<Key> {
        all_here("ResourceQuota", changed, api)
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(quota) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let counted: Vec<_> = api
            .list(&kinds::of("Pod"), Some(&key.namespace))
            .into_iter()
            .filter(|pod| !pods::has_ended(pod) && in_scope(&quota, pod))
            .collect();
        let mut requests: BTreeMap<String, i128> = BTreeMap::new();
        for pod in &counted {
            for (name, value) in placement::requests(pod) {
                *requests.entry(name).or_default() += value;
            }
        }
        let mut next = (*quota).clone();
        next["status"]["hard"] = quota["spec"]["hard"].clone();
        let mut used = json!({});
        for (name, _) in fields::entries(&quota, "/spec/hard") {
            let count = |kind: &str| json!(api.list(&kinds::of(kind), Some(&key.namespace)).len().to_string());
            used[name] = match name {
                "pods" | "count/pods" => json!(counted.len().to_string()),
                "services" | "count/services" => count("Service"),
                "secrets" | "count/secrets" => count("Secret"),
                "configmaps" | "count/configmaps" => count("ConfigMap"),
                "persistentvolumeclaims" | "count/persistentvolumeclaims" => count("PersistentVolumeClaim"),
                other => {
                    let resource = other.strip_prefix("requests.").unwrap_or(other);
                    let milli = requests.get(resource).copied().unwrap_or_default();
                    if milli % 1000 == 0 { json!((milli / 1000).to_string()) } else { json!(format!("{milli}m")) }
                }
            };
        }
        next["status"]["used"] = used;
        writes::status(api, &quota, next).await?;
        Ok(Outcome::Done)
    }
}

/// Whether a Pod is in a quota's scope, as far as that is about priority classes.
fn in_scope(quota: &Json, pod: &Json) -> bool {
    let class = fields::text(pod, "/spec/priorityClassName");
    fields::list(quota, "/spec/scopeSelector/matchExpressions")
        .iter()
        .filter(|term| fields::text(term, "/scopeName") == "PriorityClass")
        .all(|term| fields::requirement(term, (!class.is_empty()).then_some(class)))
}

/// Keeps the status of PodDisruptionBudgets.
#[derive(Debug, Clone, Copy)]
pub struct Disruption;

#[async_trait]
impl Controller for Disruption {
    fn name(&self) -> &'static str {
        "disruption"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("PodDisruptionBudget"), kinds::of("Pod")]
    }

    fn keys(&self, changed: &Key, _: &Json, api: &dyn Api) -> Vec<Key> {
        all_here("PodDisruptionBudget", changed, api)
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(budget) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let chosen: Vec<_> = api
            .list(&kinds::of("Pod"), Some(&key.namespace))
            .into_iter()
            .filter(|pod| pods::is_active(pod) && fields::selects(&budget["spec"]["selector"], fields::labels(pod)))
            .collect();
        let expected = i64::try_from(chosen.len()).unwrap_or_default();
        let healthy = i64::try_from(chosen.iter().filter(|pod| pods::is_ready(pod)).count()).unwrap_or_default();
        let amount = |value: &Json| match value {
            Json::Number(number) => number.as_i64().unwrap_or_default(),
            Json::String(text) => {
                let percent: i64 = text.trim_end_matches('%').parse().unwrap_or_default();
                (expected * percent + 99) / 100
            }
            _ => 0,
        };
        let desired = match (budget["spec"].get("minAvailable"), budget["spec"].get("maxUnavailable")) {
            (Some(least), _) => amount(least),
            (None, Some(most)) => (expected - amount(most)).max(0),
            (None, None) => expected,
        };
        let allowed = if expected == 0 { 0 } else { (healthy - desired).max(0) };
        let mut next = (*budget).clone();
        let status = &mut next["status"];
        status["observedGeneration"] = budget["metadata"]["generation"].clone();
        status["expectedPods"] = json!(expected);
        status["currentHealthy"] = json!(healthy);
        status["desiredHealthy"] = json!(desired);
        status["disruptionsAllowed"] = json!(allowed);
        let (word, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let now = around.clock.now().rfc3339();
        let old = fields::condition_entry(&budget, "DisruptionAllowed");
        let since = old
            .filter(|old| fields::text(old, "/status") == word)
            .map_or("", |o| fields::text(o, "/lastTransitionTime"));
        let since = if since.is_empty() { now.as_str() } else { since };
        next["status"]["conditions"] = json!([{
            "type": "DisruptionAllowed", "status": word, "observedGeneration": budget["metadata"]["generation"],
            "lastTransitionTime": since, "reason": reason, "message": "",
        }]);
        writes::status(api, &budget, next).await?;
        Ok(Outcome::Done)
    }
}

/// Keeps the replicas of autoscaled workloads within their bounds. Load is not simulated: within the bounds
/// nothing moves.
#[derive(Debug, Clone, Copy)]
pub struct Autoscaling;

#[async_trait]
impl Controller for Autoscaling {
    fn name(&self) -> &'static str {
        "autoscaling"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("HorizontalPodAutoscaler"), kinds::of("Deployment"), kinds::of("StatefulSet")]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind == "HorizontalPodAutoscaler" {
            return vec![changed.clone()];
        }
        let all = api.list(&kinds::of("HorizontalPodAutoscaler"), Some(&changed.namespace));
        let target = |scaler: &Json| {
            fields::text(scaler, "/spec/scaleTargetRef/kind") == changed.gvk.kind
                && fields::text(scaler, "/spec/scaleTargetRef/name") == fields::name(object)
        };
        let mine = all.iter().filter(|scaler| target(scaler));
        mine.map(|scaler| super::runner::key_of(kinds::of("HorizontalPodAutoscaler"), scaler)).collect()
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(scaler) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let kind = fields::text(&scaler, "/spec/scaleTargetRef/kind");
        let target = fields::text(&scaler, "/spec/scaleTargetRef/name");
        let now = around.clock.now();
        let mut next = (*scaler).clone();
        let found = api.get(&kinds::of(kind), &key.namespace, target);
        let Some(workload) = found else {
            let message = format!(
                "the HPA controller was unable to get the target's current scale: {kind} \"{target}\" not found"
            );
            fields::set_condition(&mut next, "AbleToScale", "False", "FailedGetScale", &message, now);
            writes::status(api, &scaler, next).await?;
            return Ok(Outcome::Done);
        };
        let current = fields::number(&workload, "/spec/replicas").unwrap_or(1);
        let least = fields::number(&scaler, "/spec/minReplicas").unwrap_or(1);
        let most = fields::number(&scaler, "/spec/maxReplicas").unwrap_or(least);
        // A workload scaled to zero by hand is left alone.
        let wanted = if current == 0 { 0 } else { current.clamp(least, most.max(least)) };
        if wanted != current {
            let mut scaled = (*workload).clone();
            scaled["spec"]["replicas"] = json!(wanted);
            api.update(scaled).await?;
        }
        next["status"]["currentReplicas"] = json!(fields::number(&workload, "/status/replicas").unwrap_or_default());
        next["status"]["desiredReplicas"] = json!(wanted);
        let message = "the HPA controller was able to get the target's current scale";
        fields::set_condition(&mut next, "AbleToScale", "True", "SucceededGetScale", message, now);
        let (word, reason, message) = if current == 0 {
            ("False", "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
        } else {
            ("True", "ValidMetricFound", "the HPA was able to successfully calculate a replica count")
        };
        fields::set_condition(&mut next, "ScalingActive", word, reason, message, now);
        writes::status(api, &scaler, next).await?;
        Ok(Outcome::Done)
    }
}
