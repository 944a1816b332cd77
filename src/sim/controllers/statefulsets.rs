//! StatefulSets: Pods with names that stay, one after the other, each with its own claims.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{Controller, Key, Outcome, Surroundings, fields, kinds, pods, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

const COMPONENT: &str = "statefulset-controller";
const HASH: &str = "controller-revision-hash";

/// The StatefulSet controller.
#[derive(Debug, Clone, Copy)]
pub struct StatefulSets;

#[async_trait]
impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulsets"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("StatefulSet"), kinds::of("Pod")]
    }

    fn keys(&self, changed: &Key, object: &Json, _: &dyn Api) -> Vec<Key> {
        pods::owner_keys("StatefulSet", changed, object)
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let Some(set) = around.api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if fields::is_going(&set) {
            return Ok(Outcome::Done);
        }
        let revision = format!("{}-{}", key.name, pods::template_hash(&set["spec"]["template"]));
        let result = step(around, &set, &revision).await;
        observe(around, key, &revision).await?;
        result.map(|()| Outcome::Done)
    }
}

fn ordinal(set: &Json, pod: &Json) -> Option<i64> {
    fields::name(pod).strip_prefix(fields::name(set))?.strip_prefix('-')?.parse().ok()
}

/// The next step towards the wanted Pods: create in order, remove from the end, then replace from the end.
async fn step(around: &Surroundings, set: &Json, revision: &str) -> Result<(), Status> {
    let first = fields::number(set, "/spec/ordinals/start").unwrap_or_default();
    let count = fields::number(set, "/spec/replicas").unwrap_or(1);
    let parallel = fields::text(set, "/spec/podManagementPolicy") == "Parallel";
    let mine = pods::controlled(&*around.api, set);
    let find = |wanted: i64| mine.iter().find(|pod| ordinal(set, pod) == Some(wanted));
    for number in first..first + count {
        match find(number) {
            Some(pod) if pods::has_ended(pod) && !fields::is_going(pod) => {
                pods::delete(around, set, pod, COMPONENT).await?;
                return Ok(());
            }
            Some(pod) if !parallel && (fields::is_going(pod) || !pods::is_ready(pod)) => {
                // An outdated Pod that never became ready blocks nothing: it is replaced below.
                if fields::is_going(pod) || fields::label(pod, HASH) == revision {
                    return Ok(());
                }
            }
            Some(_) => {}
            None => {
                claims(around, set, number).await?;
                let prefix = format!("{}-{number}", fields::name(set));
                pods::create(around, set, pod(set, number, revision), &prefix, COMPONENT).await?;
                if !parallel {
                    return Ok(());
                }
            }
        }
    }
    let mut surplus: Vec<_> = mine
        .iter()
        .filter(|pod| ordinal(set, pod).is_none_or(|number| !(first..first + count).contains(&number)))
        .collect();
    surplus.sort_by_key(|pod| std::cmp::Reverse(ordinal(set, pod)));
    for pod in surplus {
        if fields::is_going(pod) {
            if parallel { continue } else { return Ok(()) }
        }
        pods::delete(around, set, pod, COMPONENT).await?;
        if !parallel {
            return Ok(());
        }
    }
    if fields::text(set, "/spec/updateStrategy/type") == "OnDelete" {
        return Ok(());
    }
    let partition = fields::number(set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or_default();
    for number in (first.max(partition)..first + count).rev() {
        let Some(pod) = find(number) else { return Ok(()) };
        if fields::is_going(pod) {
            return Ok(());
        }
        if fields::label(pod, HASH) != revision {
            return pods::delete(around, set, pod, COMPONENT).await;
        }
        if !pods::is_ready(pod) {
            return Ok(());
        }
    }
    Ok(())
}

async fn claims(around: &Surroundings, set: &Json, number: i64) -> Result<(), Status> {
    for template in fields::list(set, "/spec/volumeClaimTemplates") {
        let name = format!("{}-{}-{number}", fields::name(template), fields::name(set));
        let namespace = fields::namespace(set);
        if around.api.get(&kinds::of("PersistentVolumeClaim"), namespace, &name).is_some() {
            continue;
        }
        let mut metadata = json!({"name": name, "namespace": namespace});
        let labels = fields::labels(template);
        metadata["labels"] = if labels.is_object() { labels.clone() } else { json!({}) };
        for (key, value) in fields::entries(set, "/spec/selector/matchLabels") {
            metadata["labels"][key] = value.clone();
        }
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"],
        });
        writes::create_missing(&around.api, claim).await?;
    }
    Ok(())
}

fn pod(set: &Json, number: i64, revision: &str) -> Json {
    let name = format!("{}-{number}", fields::name(set));
    let mut pod = pods::from_template(set, &set["spec"]["template"], &name);
    let labels = &mut pod["metadata"]["labels"];
    labels[HASH] = json!(revision);
    labels["statefulset.kubernetes.io/pod-name"] = json!(name);
    labels["apps.kubernetes.io/pod-index"] = json!(number.to_string());
    pod["spec"]["hostname"] = json!(name);
    if let Some(service) = set["spec"].get("serviceName").filter(|service| *service != "") {
        pod["spec"]["subdomain"] = service.clone();
    }
    for template in fields::list(set, "/spec/volumeClaimTemplates") {
        let claim = format!("{}-{name}", fields::name(template));
        let volume = json!({"name": fields::name(template), "persistentVolumeClaim": {"claimName": claim}});
        match pod.pointer_mut("/spec/volumes").and_then(Json::as_array_mut) {
            Some(volumes) => volumes.push(volume),
            None => pod["spec"]["volumes"] = json!([volume]),
        }
    }
    pod
}

async fn observe(around: &Surroundings, key: &Key, revision: &str) -> Result<(), Status> {
    let api = &around.api;
    let Some(set) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(()) };
    let mine: Vec<Arc<Json>> = pods::controlled(&**api, &set);
    let now = around.clock.now();
    let least = pods::least_ready(&set);
    let count = |test: &dyn Fn(&Json) -> bool| mine.iter().filter(|pod| pods::is_active(pod) && test(pod)).count();
    let updated = count(&|pod| fields::label(pod, HASH) == revision);
    let ready = count(&pods::is_ready);
    let wanted = fields::number(&set, "/spec/replicas").unwrap_or(1);
    let mut next = (*set).clone();
    let status = &mut next["status"];
    let known = fields::text(&set, "/status/currentRevision").to_owned();
    // The update revision becomes current when every Pod has it and serves.
    let whole = i64::try_from(updated).is_ok_and(|n| n == wanted) && updated == ready;
    let current = if known.is_empty() || whole { revision.to_owned() } else { known };
    status["observedGeneration"] = set["metadata"]["generation"].clone();
    status["replicas"] = json!(count(&|_| true));
    status["availableReplicas"] = json!(count(&|pod| pods::availability(pod, least, now).is_ok()));
    status["currentRevision"] = json!(current);
    status["updateRevision"] = json!(revision);
    status["collisionCount"] = json!(0);
    let currents = count(&|pod| fields::label(pod, HASH) == current);
    for (field, number) in [("readyReplicas", ready), ("currentReplicas", currents), ("updatedReplicas", updated)] {
        match status.as_object_mut() {
            Some(all) if number == 0 => drop(all.shift_remove(field)),
            _ => status[field] = json!(number),
        }
    }
    writes::status(api, &set, next).await
}
