//! OpenShift's operator for cert-manager.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{Condition, apps, going, name, set_condition};
use super::super::work::{Step, Work};
use super::{deployed, keep, manifests};
use crate::sim::controllers::Outcome;
use crate::sim::kube::api::{Gvk, Status};

/// What it installs.
pub const FILE: &str = include_str!("cert-manager.yaml");
const NAMESPACE: &str = "cert-manager";
const PARTS: [(&str, &str); 3] = [
    ("cert-manager", "cert-manager-controller-deployment"),
    ("cert-manager-cainjector", "cert-manager-cainjector-deployment"),
    ("cert-manager-webhook", "cert-manager-webhook-deployment"),
];

/// Looks after the CertManager `cluster`.
pub struct CertManagers;

#[async_trait]
impl Step for CertManagers {
    fn name(&self) -> &'static str {
        "cert-manager-operator"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![Gvk::new("operator.openshift.io", "v1alpha1", "CertManager")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![apps("Deployment"), Gvk::new("config.openshift.io", "v1", "Infrastructure")]
    }

    fn concerns(&self, changed: &Json, _: &Json) -> bool {
        name(changed) == "cluster" || PARTS.iter().any(|(part, _)| *part == name(changed))
    }

    async fn step(&self, work: &Work, own: &Arc<Json>) -> Result<Outcome, Status> {
        if going(own) || name(own) != "cluster" {
            return Ok(Outcome::Done);
        }
        // It learns the platform from this object, which only OpenShift has by itself.
        let platform = Gvk::new("config.openshift.io", "v1", "Infrastructure");
        if work.api.get(&platform, "", "cluster").is_none() {
            let missing = "infrastructures.config.openshift.io \"cluster\" not found";
            let degraded = Condition::new("Degraded", true, "MissingDependency", missing);
            work.put_status(own, work.with_conditions(own, false, &[degraded])).await?;
            return Ok(Outcome::After(Duration::from_secs(30)));
        }
        let image = |part: &str| {
            work.instance.variable(&format!("RELATED_IMAGE_CERT_MANAGER_{part}"), &*work.api).unwrap_or_default()
        };
        let (controller, webhook, injector) = (image("CONTROLLER"), image("WEBHOOK"), image("CA_INJECTOR"));
        let values = [("CONTROLLER", controller.as_str()), ("WEBHOOK", &webhook), ("CAINJECTOR", &injector)];
        for object in manifests(FILE, &values)? {
            keep(work, own, object).await?;
        }
        let mut status = own.get("status").cloned().unwrap_or_else(|| json!({}));
        for (part, condition) in PARTS {
            let up = work.api.get(&apps("Deployment"), NAMESPACE, part).is_some_and(|d| deployed(&d));
            let kind = format!("{condition}Available");
            let reason = if up { "AsExpected" } else { "Deploying" };
            let now = work.clock.now();
            set_condition(&mut status["conditions"], now, None, Condition::new(&kind, up, reason, ""));
        }
        let degraded = Condition::new("Degraded", false, "AsExpected", "");
        set_condition(&mut status["conditions"], work.clock.now(), None, degraded);
        work.put_status(own, status).await?;
        Ok(Outcome::Done)
    }
}
