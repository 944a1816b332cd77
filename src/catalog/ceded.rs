//! Fields that somebody else owns once an object exists: sent when it is created, never again, and no drift.

use crate::resource::model::Ceded;
use crate::value::Value;

/// Who injects certificates into what carries its annotations.
const CAINJECTOR: &str = "cert-manager-cainjector";

/// The ceded fields of a manifest.
pub fn of(manifest: &Value) -> Vec<Ceded> {
    let text = |path: &[&str]| manifest.at(path).and_then(Value::as_str).unwrap_or_default();
    let name = text(&["metadata", "name"]);
    let injected = ["cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret"]
        .iter()
        .any(|key| manifest.at(&["metadata", "annotations", key]).is_some());
    let webhook = |field: &[&str], owner: &str| field_of(&["webhooks", "*"], field, owner);
    let ca = ["clientConfig", "caBundle"];
    match text(&["kind"]) {
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" if injected => vec![webhook(&ca, CAINJECTOR)],
        "MutatingWebhookConfiguration" if name.starts_with("istio-") => vec![webhook(&ca, "istiod")],
        // istiod turns Ignore into Fail once a request of its own was refused through the webhook.
        "ValidatingWebhookConfiguration" if name.starts_with("istio") => {
            vec![webhook(&ca, "istiod"), webhook(&["failurePolicy"], "istiod")]
        }
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" if name.starts_with("lws-") => {
            vec![webhook(&ca, "lws-controller-manager")]
        }
        "CustomResourceDefinition" if injected => {
            vec![field_of(&["spec", "conversion", "webhook", "clientConfig"], &["caBundle"], CAINJECTOR)]
        }
        // Its rules are those of the roles that it selects.
        "ClusterRole" if manifest.at(&["aggregationRule"]).is_some_and(|rule| *rule != Value::Null) => {
            vec![field_of(&["rules"], &[], "clusterrole-aggregation-controller")]
        }
        "Secret" if name == "lws-webhook-server-cert" => vec![field_of(&["data"], &[], "lws-controller-manager")],
        _ => Vec::new(),
    }
}

/// The replica count of whatever a HorizontalPodAutoscaler scales: (kind, namespace, name).
pub fn scaled(manifest: &Value) -> Option<(&str, &str, &str)> {
    if manifest.get("kind").and_then(Value::as_str) != Some("HorizontalPodAutoscaler") {
        return None;
    }
    let text = |path: &[&str]| manifest.at(path).and_then(Value::as_str);
    Some((
        text(&["spec", "scaleTargetRef", "kind"])?,
        text(&["metadata", "namespace"]).unwrap_or("default"),
        text(&["spec", "scaleTargetRef", "name"])?,
    ))
}

/// The replica count, ceded to the autoscaler.
pub fn replicas() -> Ceded {
    field_of(&["spec"], &["replicas"], "horizontal-pod-autoscaler")
}

fn field_of(path: &[&str], field: &[&str], owner: &str) -> Ceded {
    Ceded { path: path.iter().chain(field).map(|key| (*key).to_owned()).collect(), owner: owner.to_owned() }
}
