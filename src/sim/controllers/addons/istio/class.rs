//! GatewayClasses: istiod makes its own once the Gateway API is there, and accepts them.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{Condition, core, generation, name, text};
use super::super::work::{Step, Work};
use super::{CONTROLLER, MANAGER, gateway_api};
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Gvk, Status};

/// Keeps the class `istio` there and accepted, and `istio-remote` for gateways that others run.
pub struct Classes;

const OWN: [(&str, &str, &str); 2] = [
    ("istio", CONTROLLER, "The default Istio GatewayClass"),
    ("istio-remote", "istio.io/unmanaged-gateway", "Remote to this cluster. Does not deploy or affect configuration."),
];

#[async_trait]
impl Step for Classes {
    fn name(&self) -> &'static str {
        "istio-gateway-classes"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![core("Pod")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![gateway_api("GatewayClass"), Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition")]
    }

    fn concerns(&self, changed: &Json, _: &Json) -> bool {
        text(changed, "/kind") == "GatewayClass" || name(changed) == "gatewayclasses.gateway.networking.k8s.io"
    }

    async fn step(&self, work: &Work, _pod: &Arc<Json>) -> Result<Outcome, Status> {
        let gvk = gateway_api("GatewayClass");
        if !work.api.serves(&gvk) {
            return Ok(Outcome::Done);
        }
        for (class, controller, description) in OWN {
            if work.api.get(&gvk, "", class).is_none() {
                let object = json!({
                    "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": class},
                    "spec": {"controllerName": controller, "description": description},
                });
                work.apply(MANAGER, object, false).await?;
            }
        }
        for class in work.api.list(&gvk, None) {
            if !OWN.iter().any(|(_, controller, _)| *controller == text(&class, "/spec/controllerName")) {
                continue;
            }
            let accepted = Condition::new("Accepted", true, "Accepted", "Handled by Istio controller");
            let mut status = class.get("status").cloned().unwrap_or_else(|| json!({}));
            // The API server starts a class with a placeholder condition; ours replaces it.
            super::super::objects::set_condition(
                &mut status["conditions"],
                work.clock.now(),
                Some(generation(&class)),
                accepted,
            );
            work.put_status(&class, status).await?;
        }
        Ok(Outcome::Done)
    }
}
