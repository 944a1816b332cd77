//! OpenShift's operator for LeaderWorkerSet.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::super::objects::{Condition, apps, going, name};
use super::super::work::{Step, Work};
use super::{deployed, keep, manifests};
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Gvk, Status};

/// What it installs.
pub const FILE: &str = include_str!("lws.yaml");

/// Looks after the LeaderWorkerSetOperator `cluster`.
pub struct Operators;

#[async_trait]
impl Step for Operators {
    fn name(&self) -> &'static str {
        "lws-operator"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![Gvk::new("operator.openshift.io", "v1", "LeaderWorkerSetOperator")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![apps("Deployment"), Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition")]
    }

    fn concerns(&self, changed: &Json, _: &Json) -> bool {
        matches!(
            name(changed),
            "lws-controller-manager" | "issuers.cert-manager.io" | "servicemonitors.monitoring.coreos.com"
        )
    }

    async fn step(&self, work: &Work, own: &Arc<Json>) -> Result<Outcome, Status> {
        // Only this name counts.
        if going(own) || name(own) != "cluster" {
            return Ok(Outcome::Done);
        }
        let needed =
            [Gvk::new("cert-manager.io", "v1", "Issuer"), Gvk::new("monitoring.coreos.com", "v1", "ServiceMonitor")];
        if let Some(missing) = needed.iter().find(|gvk| !work.api.serves(gvk)) {
            let message = format!("please make sure that {} is installed", missing.group);
            let conditions = [
                Condition::new("Available", false, "MissingDependency", &message),
                Condition::new("Degraded", true, "MissingDependency", &message),
            ];
            work.put_status(own, work.with_conditions(own, false, &conditions)).await?;
            return Ok(Outcome::After(Duration::from_secs(30)));
        }
        let operand = work.instance.variable("RELATED_IMAGE_OPERAND_IMAGE", &*work.api).unwrap_or_default();
        for object in manifests(FILE, &[("NAMESPACE", work.namespace()), ("OPERAND", &operand)])? {
            keep(work, own, object).await?;
        }
        let deployment = work.api.get(&apps("Deployment"), work.namespace(), "lws-controller-manager");
        let up = deployment.is_some_and(|d| deployed(&d));
        let reason = if up { "AsExpected" } else { "DeploymentUnavailable" };
        let conditions = [
            Condition::new("Available", up, reason, ""),
            Condition::new("Degraded", false, "AsExpected", ""),
            Condition::new("Progressing", !up, if up { "AsExpected" } else { "DeploymentUpdating" }, ""),
        ];
        let mut status = work.with_conditions(own, false, &conditions);
        status["observedGeneration"] = own["metadata"]["generation"].clone();
        work.put_status(own, status).await?;
        Ok(Outcome::Done)
    }
}
