//! ReplicaSets (and what a ReplicationController would do): as many Pods of one template as wanted.

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{Controller, Key, Outcome, Surroundings, fields, kinds, pods, writes};
use crate::sim::kube::api::{Gvk, Status};

const COMPONENT: &str = "replicaset-controller";

/// The ReplicaSet controller.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaSets;

#[async_trait]
impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicasets"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("ReplicaSet"), kinds::of("Pod")]
    }

    fn keys(&self, changed: &Key, object: &Json, _: &dyn crate::sim::kube::api::Api) -> Vec<Key> {
        pods::owner_keys("ReplicaSet", changed, object)
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(set) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if fields::is_going(&set) {
            return Ok(Outcome::Done);
        }
        let active =
            |all: Vec<std::sync::Arc<Json>>| -> Vec<_> { all.into_iter().filter(|p| pods::is_active(p)).collect() };
        let mine = active(pods::controlled(&**api, &set));
        let wanted = usize::try_from(fields::number(&set, "/spec/replicas").unwrap_or(1)).unwrap_or_default();
        let mut failure = None;
        if mine.len() < wanted {
            let prefix = format!("{}-", key.name);
            let names = pods::fresh_names(around, &key.namespace, &prefix, fields::uid(&set), wanted - mine.len());
            for name in names {
                let pod = pods::from_template(&set, &set["spec"]["template"], &name);
                // One refusal is enough to know: slow start gives up on the rest of the batch.
                if let Err(status) = pods::create(around, &set, pod, &prefix, COMPONENT).await {
                    failure = Some(status);
                    break;
                }
            }
        } else if mine.len() > wanted {
            let mut order = mine.clone();
            // Those that serve least go first: unscheduled, not ready, youngest.
            order.sort_by_key(|pod| {
                let placed = !fields::text(pod, "/spec/nodeName").is_empty();
                let age = std::cmp::Reverse(fields::text(pod, "/metadata/creationTimestamp").to_owned());
                (placed, pods::is_ready(pod), age)
            });
            for pod in order.iter().take(mine.len() - wanted) {
                pods::delete(around, &set, pod, COMPONENT).await?;
            }
        }
        let mine = active(pods::controlled(&**api, &set));
        let now = around.clock.now();
        let least = pods::least_ready(&set);
        let judged: Vec<_> = mine.iter().map(|pod| pods::availability(pod, least, now)).collect();
        let available = judged.iter().filter(|judged| judged.is_ok()).count();
        let ready = mine.iter().filter(|pod| pods::is_ready(pod)).count();
        let Some(set) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let mut next = (*set).clone();
        let status = &mut next["status"];
        status["replicas"] = json!(mine.len());
        status["observedGeneration"] = set["metadata"]["generation"].clone();
        for (field, count) in
            [("fullyLabeledReplicas", mine.len()), ("readyReplicas", ready), ("availableReplicas", available)]
        {
            match status.as_object_mut() {
                // Zero counts are left out, as by `omitempty`.
                Some(all) if count == 0 => drop(all.shift_remove(field)),
                _ => status[field] = json!(count),
            }
        }
        match &failure {
            Some(why) => fields::set_condition(&mut next, "ReplicaFailure", "True", "FailedCreate", why.message(), now),
            None => drop_condition(&mut next, "ReplicaFailure"),
        }
        writes::status(api, &set, next).await?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let soonest = judged.into_iter().filter_map(|judged| judged.err().flatten()).min();
        Ok(soonest.map_or(Outcome::Done, Outcome::After))
    }
}

/// Removes a condition, and the list with the last one.
pub fn drop_condition(object: &mut Json, kind: &str) {
    let Some(status) = object.get_mut("status").and_then(Json::as_object_mut) else { return };
    if let Some(all) = status.get_mut("conditions").and_then(Json::as_array_mut) {
        all.retain(|entry| fields::text(entry, "/type") != kind);
        if all.is_empty() {
            status.shift_remove("conditions");
        }
    }
}
