//! HTTPRoutes: what istiod reports about their parents and backends.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{Condition, core, generation, going, list, set_condition, text};
use super::super::work::{Step, Work};
use super::{CONTROLLER, attach, gateway_api, is_ours, pool_group};
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Gvk, Status};

/// Reports on HTTPRoutes.
pub struct Routes;

#[async_trait]
impl Step for Routes {
    fn name(&self) -> &'static str {
        "istio-routes"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![gateway_api("HTTPRoute")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        let mut kinds = vec![gateway_api("Gateway"), gateway_api("GatewayClass"), core("Service"), core("Namespace")];
        kinds.push(Gvk::new("inference.networking.k8s.io", "v1", "InferencePool"));
        kinds.push(Gvk::new("inference.networking.x-k8s.io", "v1alpha2", "InferencePool"));
        kinds.push(Gvk::new("gateway.networking.k8s.io", "v1beta1", "ReferenceGrant"));
        kinds
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        match text(changed, "/kind") {
            "Gateway" => {
                let gateway = text(changed, "/metadata/name");
                list(own, "/spec/parentRefs").iter().any(|r| text(r, "/name") == gateway)
            }
            "Service" => {
                let service = text(changed, "/metadata/name");
                attach::backend_references(own)
                    .any(|r| text(r, "/name") == service || attach::shadow_service(text(r, "/name")) == service)
            }
            "InferencePool" => {
                let pool = text(changed, "/metadata/name");
                attach::backend_references(own).any(|r| text(r, "/name") == pool)
            }
            _ => true,
        }
    }

    async fn step(&self, work: &Work, route: &Arc<Json>) -> Result<Outcome, Status> {
        if going(route) {
            return Ok(Outcome::Done);
        }
        let api = &*work.api;
        let (now, generation) = (work.clock.now(), Some(generation(route)));
        let pools = pool_group(&work.instance, api);
        let unresolved =
            attach::backend_references(route).find_map(|reference| attach::backend(api, route, reference, pools).err());
        let resolved = match &unresolved {
            None => Condition::new("ResolvedRefs", true, "ResolvedRefs", "All references resolved"),
            Some((reason, message)) => Condition::new("ResolvedRefs", false, reason, message),
        };
        let mut status = route.get("status").cloned().unwrap_or_else(|| json!({}));
        let old = list(&status, "/parents").to_vec();
        let mut parents: Vec<Json> = old.iter().filter(|p| text(p, "/controllerName") != CONTROLLER).cloned().collect();
        for reference in list(route, "/spec/parentRefs") {
            let Some(gateway) = attach::parent(api, route, reference) else { continue };
            if !is_ours(api, &gateway) {
                continue;
            }
            let known = old.iter().find(|p| p["parentRef"] == *reference && text(p, "/controllerName") == CONTROLLER);
            let mut entry = known
                .cloned()
                .unwrap_or_else(|| json!({"parentRef": reference, "controllerName": CONTROLLER, "conditions": []}));
            let refusal = attach::listeners(api, &gateway, route, reference).err();
            let accepted = match &refusal {
                None => Condition::new("Accepted", true, "Accepted", "Route was valid"),
                Some((reason, message)) => Condition::new("Accepted", false, reason, message),
            };
            set_condition(&mut entry["conditions"], now, generation, accepted);
            set_condition(&mut entry["conditions"], now, generation, resolved);
            parents.push(entry);
        }
        status["parents"] = json!(parents);
        if parents.is_empty() && route.pointer("/status/parents").is_none() {
            return Ok(Outcome::Done);
        }
        work.put_status(route, status).await?;
        Ok(Outcome::Done)
    }
}
