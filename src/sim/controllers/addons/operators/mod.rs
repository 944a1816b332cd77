//! Red Hat's operators: Sail for Istio, OpenShift's for cert-manager and for LeaderWorkerSet.
//!
//! Each keeps the manifests of its operand (the `.yaml` files here, written for the simulator) as long as its
//! custom resource asks for them, and reports on it.

mod cert_manager;
mod lws;
mod sail;

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::objects::{is_true, name, namespace, number, owner_reference, text};
use super::work::{Loop, Work};
use crate::sim::controllers::Controller;
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::{Instance, Program};
use crate::sim::kube::api::{Gvk, Status};

/// Fills a file of manifests in.
fn manifests(file: &str, values: &[(&str, &str)]) -> Result<Vec<Json>, Status> {
    let mut whole = file.to_owned();
    for (word, value) in values {
        whole = whole.replace(&format!("@{word}@"), value);
    }
    let read = |document: &str| {
        serde_saphyr::from_str::<Json>(document)
            .map_err(|error| Status::failure(500, "InternalError", format!("manifest: {error}")))
    };
    let documents: Vec<Json> = whole.split("\n---\n").map(read).collect::<Result<_, _>>()?;
    Ok(documents.into_iter().filter(Json::is_object).collect())
}

/// Keeps one manifest, owned by `owner`. What programs fill in later, a webhook's CA bundle and policy, stays.
async fn keep(work: &Work, owner: &Json, mut object: Json) -> Result<Arc<Json>, Status> {
    let mut reference = owner_reference(owner);
    // Several operators may own what they share.
    if let Some(fields) = reference.as_object_mut() {
        fields.remove("controller");
        fields.remove("blockOwnerDeletion");
    }
    object["metadata"]["ownerReferences"] = json!([reference]);
    let existing = Gvk::of(&object).and_then(|gvk| work.api.get(&gvk, namespace(&object), name(&object)));
    if let Some(existing) = &existing {
        let theirs = super::objects::list(existing, "/metadata/ownerReferences");
        if !theirs.is_empty() && !super::objects::covers(existing, &object["metadata"]["ownerReferences"]) {
            let mut all = theirs.to_vec();
            if !all.iter().any(|r| r["uid"] == object["metadata"]["ownerReferences"][0]["uid"]) {
                all.push(object["metadata"]["ownerReferences"][0].clone());
            }
            object["metadata"]["ownerReferences"] = json!(all);
        }
        if let Some(fields) = object.as_object_mut()
            && text(existing, "/kind").ends_with("WebhookConfiguration")
        {
            fields.remove("webhooks");
        }
    }
    work.ensure(object).await
}

/// Whether a Deployment has all the replicas it should.
fn deployed(deployment: &Json) -> bool {
    is_true(deployment, "Available")
        && number(deployment, "/status/observedGeneration") == number(deployment, "/metadata/generation")
        && number(deployment, "/status/availableReplicas") == number(deployment, "/spec/replicas")
}

/// Red Hat's operators, one image each.
pub struct Operator;

impl Program for Operator {
    fn name(&self) -> &'static str {
        "operator"
    }

    fn runs(&self, image: &Image) -> bool {
        matches!(
            image.base(),
            "cert-manager-operator-rhel9"
                | "cert-manager-operator"
                | "lws-rhel9-operator"
                | "lws-operator"
                | "istio-rhel9-operator"
                | "istio-sail-operator-rhel9"
                | "sail-operator"
        )
    }

    fn controllers(&self, instance: &Instance) -> Vec<Arc<dyn Controller>> {
        match instance.image.base() {
            base if base.starts_with("cert-manager") => vec![Loop::of(cert_manager::CertManagers, instance)],
            base if base.starts_with("lws") => vec![Loop::of(lws::Operators, instance)],
            _ => vec![
                Loop::of(sail::Istios, instance),
                Loop::of(sail::Revisions, instance),
                Loop::of(sail::Cnis, instance),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_whole() {
        let all = [
            ("NAMESPACE", "n"),
            ("PILOT", "p"),
            ("CNI", "c"),
            ("OPERAND", "o"),
            ("CONTROLLER", "x"),
            ("WEBHOOK", "y"),
            ("CAINJECTOR", "z"),
        ];
        for file in [cert_manager::FILE, lws::FILE, sail::ISTIOD, sail::CNI] {
            let objects = manifests(file, &all).expect("manifests");
            assert!(objects.len() > 5);
            for object in objects {
                assert!(Gvk::of(&object).is_some() && !name(&object).is_empty(), "{object}");
                assert!(!object.to_string().contains('@'), "{object}");
            }
        }
    }
}
