//! InferencePools: the shadow Service that stands for one inside Istio, and its status.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{
    Condition, core, generation, going, list, name, namespace, number, owner_reference, set_condition, text,
};
use super::super::work::{Step, Work};
use super::{CONTROLLER, MANAGER, attach, gateway_api, pool_group};
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Gvk, Status};

/// Looks after InferencePools that routes refer to.
pub struct Pools;

#[async_trait]
impl Step for Pools {
    fn name(&self) -> &'static str {
        "istio-inference-pools"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![
            Gvk::new("inference.networking.k8s.io", "v1", "InferencePool"),
            Gvk::new("inference.networking.x-k8s.io", "v1alpha2", "InferencePool"),
        ]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![gateway_api("HTTPRoute"), core("Service")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        namespace(changed) == namespace(own)
    }

    async fn step(&self, work: &Work, pool: &Arc<Json>) -> Result<Outcome, Status> {
        let group = pool_group(&work.instance, &*work.api);
        let own = Gvk::of(pool).map(|gvk| gvk.group).unwrap_or_default();
        if going(pool) || group != Some(own.as_str()) {
            return Ok(Outcome::Done);
        }
        let routes = work.api.list(&gateway_api("HTTPRoute"), Some(namespace(pool)));
        let parents: Vec<&Json> = routes
            .iter()
            .filter(|route| {
                attach::backend_references(route).any(|r| text(r, "/name") == name(pool) && text(r, "/group") == own)
            })
            .flat_map(|route| list(route, "/status/parents"))
            .filter(|parent| text(parent, "/controllerName") == CONTROLLER)
            .collect();
        if parents.is_empty() {
            return Ok(Outcome::Done);
        }
        let picker = pool.pointer("/spec/endpointPickerRef").or_else(|| pool.pointer("/spec/extensionRef"));
        let picker = picker.cloned().unwrap_or_default();
        let picker_port = number(&picker, "/port/number").or_else(|| number(&picker, "/portNumber")).unwrap_or(9002);
        let targets = list(pool, "/spec/targetPorts").iter().filter_map(|p| number(p, "/number"));
        let targets: Vec<i64> = targets.chain(number(pool, "/spec/targetPortNumber")).collect();
        let ports: Vec<Json> = targets
            .iter()
            .enumerate()
            .map(|(i, target)| {
                let port = 54321 + i64::try_from(i).unwrap_or(0);
                json!({"name": format!("http-{i}"), "port": port, "targetPort": target, "protocol": "TCP"})
            })
            .collect();
        let selector = pool.pointer("/spec/selector/matchLabels").or_else(|| pool.pointer("/spec/selector")).cloned();
        let failure = match text(&picker, "/failureMode") {
            "" => "FailClose",
            mode => mode,
        };
        let shadow = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": attach::shadow_service(name(pool)), "namespace": namespace(pool),
                "labels": {
                    "istio.io/inferencepool-name": name(pool),
                    "istio.io/inferencepool-extension-service": text(&picker, "/name"),
                    "istio.io/inferencepool-extension-port": picker_port.to_string(),
                    "istio.io/inferencepool-extension-failure-mode": failure,
                    "istio.io/inferencepool-semantics": "internal",
                },
                "ownerReferences": [owner_reference(pool)],
            },
            "spec": {"clusterIP": "None", "ports": ports, "selector": selector},
        });
        work.apply(MANAGER, shadow, false).await?;

        let (now, generation) = (work.clock.now(), Some(generation(pool)));
        let found = work.api.get(&core("Service"), namespace(pool), text(&picker, "/name")).is_some();
        let mut status = pool.get("status").cloned().unwrap_or_else(|| json!({}));
        let old = list(&status, "/parents").to_vec();
        let mut entries: Vec<Json> = Vec::new();
        for parent in parents {
            let home = match text(parent, "/parentRef/namespace") {
                "" => namespace(pool),
                home => home,
            };
            let reference = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway",
                "name": text(parent, "/parentRef/name"), "namespace": home});
            if entries.iter().any(|e| e["parentRef"] == reference) {
                continue;
            }
            let mut entry = old
                .iter()
                .find(|e| e["parentRef"] == reference)
                .cloned()
                .unwrap_or_else(|| json!({"parentRef": reference, "conditions": []}));
            let is_accepted =
                list(parent, "/conditions").iter().any(|c| c["type"] == "Accepted" && c["status"] == "True");
            let accepted = if is_accepted {
                Condition::new(
                    "Accepted",
                    true,
                    "Accepted",
                    "Referenced by an HTTPRoute accepted by the parentRef Gateway",
                )
            } else {
                Condition::new(
                    "Accepted",
                    false,
                    "HTTPRouteNotAccepted",
                    "Referenced HTTPRoute is not accepted by the parentRef Gateway",
                )
            };
            let resolved = if found {
                Condition::new("ResolvedRefs", true, "ResolvedRefs", "Referenced ExtensionRef resolved successfully")
            } else {
                Condition::new("ResolvedRefs", false, "InvalidExtensionRef", "Referenced ExtensionRef was not found")
            };
            set_condition(&mut entry["conditions"], now, generation, accepted);
            set_condition(&mut entry["conditions"], now, generation, resolved);
            entries.push(entry);
        }
        status["parents"] = json!(entries);
        work.put_status(pool, status).await?;
        Ok(Outcome::Done)
    }
}
