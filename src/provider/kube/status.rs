//! How far a live object is, in kstatus's words: one table of rules by kind.
//!
//! Pure over JSON. What needs a second look at the cluster (a Certificate's Secret, a webhook's endpoints)
//! is in `settle`; why a workload does not come up is in `causes`.

use serde_json::Value as Json;

use crate::resource::readiness::Readiness;

/// Readiness from the object alone.
pub fn readiness(object: &Json) -> Readiness {
    if let Some(waiting_for) = terminating(object) {
        return Readiness::Terminating { waiting_for };
    }
    if let Some(stale) = stale(object) {
        return stale;
    }
    let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let api_version = text("/apiVersion");
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, text("/kind")) {
        ("", "Namespace") => match text("/status/phase") {
            "Active" => Readiness::Current,
            _ => Readiness::waiting("the namespace to become active"),
        },
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "Pod") => pod(object),
        ("", "Service") => service(object),
        ("", "ReplicationController") | ("apps", "ReplicaSet") => replica_set(object),
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("batch", "Job") => job(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("apiregistration.k8s.io", "APIService") => all_true(object, &["Available"]),
        ("networking.k8s.io", "Ingress") => match object.pointer("/status/loadBalancer/ingress/0") {
            Some(_) => Readiness::Current,
            None => Readiness::waiting("an address of the load balancer"),
        },
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            webhooks(object)
        }
        ("policy", "PodDisruptionBudget") => Readiness::Current,
        ("cert-manager.io", "Issuer" | "ClusterIssuer" | "Certificate") => certified(object),
        ("gateway.networking.k8s.io", "GatewayClass") => all_true(object, &["Accepted"]),
        ("gateway.networking.k8s.io", "Gateway") => gateway(object),
        ("gateway.networking.k8s.io", kind) if kind.ends_with("Route") => route(object),
        ("inference.networking.k8s.io" | "inference.networking.x-k8s.io", "InferencePool") => pool(object),
        ("leaderworkerset.x-k8s.io", "LeaderWorkerSet") => all_true(object, &["Available"]),
        ("operator.openshift.io", "LeaderWorkerSetOperator") => match condition(object, "Degraded") {
            Some(degraded) if is_true(degraded) => not_yet("Degraded", degraded),
            _ => all_true(object, &["Available"]),
        },
        ("sailoperator.io", "Istio" | "IstioCNI" | "IstioRevision" | "ZTunnel") => sail(object),
        ("nvidia.com", "ClusterPolicy") => cluster_policy(object),
        ("serving.kserve.io", "LLMInferenceService") => inference_service(object),
        // Older builds of KServe give configs neither status nor finalizer; nothing waits for either.
        ("serving.kserve.io", "LLMInferenceServiceConfig") => match condition(object, "Ready") {
            Some(_) => all_true(object, &["Ready"]),
            None => Readiness::Current,
        },
        _ => generic(object),
    }
}

/// Whether objects of this kind are what they should be as soon as they are stored: no controller has a say.
pub fn is_at_once(object: &Json) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    let stored = match group {
        "" => match text("/kind") {
            "Service" => text("/spec/type") != "LoadBalancer",
            kind => matches!(kind, "ConfigMap" | "Secret" | "ServiceAccount" | "LimitRange" | "Endpoints"),
        },
        "rbac.authorization.k8s.io" | "scheduling.k8s.io" | "node.k8s.io" | "discovery.k8s.io" => true,
        "storage.k8s.io" => matches!(text("/kind"), "StorageClass" | "CSIDriver"),
        "networking.k8s.io" => matches!(text("/kind"), "NetworkPolicy" | "IngressClass"),
        _ => false,
    };
    stored && object.pointer("/metadata/deletionTimestamp").is_none()
}

/// Why a deleted object is still there; `None` when it is not being deleted.
fn terminating(object: &Json) -> Option<String> {
    object.pointer("/metadata/deletionTimestamp")?;
    let finalizers = strings(object, "/metadata/finalizers");
    // Namespaces and CRDs say in conditions what they wait for.
    let said = conditions(object)
        .filter(|c| {
            let kind = c["type"].as_str().unwrap_or_default();
            matches!(
                kind,
                "NamespaceContentRemaining"
                    | "NamespaceFinalizersRemaining"
                    | "NamespaceDeletionContentFailure"
                    | "NamespaceDeletionDiscoveryFailure"
                    | "NamespaceDeletionGroupVersionParsingFailure"
            ) && is_true(c)
                || kind == "Terminating" && !is_true(c)
        })
        .filter_map(|c| c["message"].as_str())
        .collect::<Vec<_>>();
    Some(match (finalizers.is_empty(), said.is_empty()) {
        (_, false) => said.join("; "),
        (false, true) => format!("the finalizer {}", finalizers.join(", ")),
        (true, true) => "its grace period".to_owned(),
    })
}

/// The controller has not looked at the latest generation yet: what status says is of the past.
fn stale(object: &Json) -> Option<Readiness> {
    let generation = object.pointer("/metadata/generation").and_then(Json::as_i64)?;
    let seen = object.pointer("/status/observedGeneration").and_then(Json::as_i64)?;
    (seen < generation).then(|| Readiness::waiting("its controller to see the latest change"))
}

fn number(object: &Json, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Json::as_i64).unwrap_or_default()
}

fn strings<'a>(object: &'a Json, pointer: &str) -> Vec<&'a str> {
    object.pointer(pointer).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
}

fn items<'a>(object: &'a Json, pointer: &str) -> impl Iterator<Item = &'a Json> {
    object.pointer(pointer).and_then(Json::as_array).into_iter().flatten()
}

/// `status.conditions`.
pub fn conditions(object: &Json) -> impl Iterator<Item = &Json> {
    items(object, "/status/conditions")
}

/// The condition of this type.
pub fn condition<'a>(object: &'a Json, kind: &str) -> Option<&'a Json> {
    conditions(object).find(|condition| condition["type"] == kind)
}

/// Whether a condition holds.
pub fn is_true(condition: &Json) -> bool {
    condition["status"] == "True"
}

/// Whether a condition speaks of this generation or does not say.
fn is_current(condition: &Json, generation: i64) -> bool {
    condition["observedGeneration"].as_i64().is_none_or(|seen| seen >= generation)
}

fn not_yet(kind: &str, condition: &Json) -> Readiness {
    Readiness::waiting(describe(kind, condition))
}

/// `Ready is False (Reason): message`.
pub fn describe(kind: &str, condition: &Json) -> String {
    let text = |key: &str| condition[key].as_str().unwrap_or_default();
    let mut words = format!("{kind} is {}", text("status"));
    if !text("reason").is_empty() {
        words.push_str(&format!(" ({})", text("reason")));
    }
    if !text("message").is_empty() {
        words.push_str(&format!(": {}", text("message")));
    }
    words
}

fn all_true(object: &Json, kinds: &[&str]) -> Readiness {
    let generation = number(object, "/metadata/generation");
    for kind in kinds {
        match condition(object, kind) {
            None => return Readiness::waiting(format!("the condition {kind}")),
            Some(condition) if !is_current(condition, generation) => {
                return Readiness::waiting(format!("the condition {kind} to be of the latest change"));
            }
            Some(condition) if !is_true(condition) => return not_yet(kind, condition),
            Some(_) => {}
        }
    }
    Readiness::Current
}

fn deployment(object: &Json) -> Readiness {
    if number(object, "/status/observedGeneration") == 0 {
        return Readiness::waiting("the deployment controller");
    }
    if let Some(progressing) = condition(object, "Progressing")
        && progressing["reason"] == "ProgressDeadlineExceeded"
    {
        return Readiness::failed(describe("Progressing", progressing));
    }
    let wanted = object.pointer("/spec/replicas").and_then(Json::as_i64).unwrap_or(1);
    let (updated, all) = (number(object, "/status/updatedReplicas"), number(object, "/status/replicas"));
    let available = number(object, "/status/availableReplicas");
    if updated < wanted {
        return Readiness::waiting(format!("{updated} of {wanted} pods updated"));
    }
    if all > updated {
        return Readiness::waiting(format!("{} old pods to go", all - updated));
    }
    if available < wanted {
        return Readiness::waiting(format!("{available} of {wanted} pods available"));
    }
    Readiness::Current
}

fn replica_set(object: &Json) -> Readiness {
    let wanted = object.pointer("/spec/replicas").and_then(Json::as_i64).unwrap_or(1);
    let available = number(object, "/status/availableReplicas");
    match available < wanted {
        true => Readiness::waiting(format!("{available} of {wanted} pods available")),
        false => Readiness::Current,
    }
}

fn stateful_set(object: &Json) -> Readiness {
    if number(object, "/status/observedGeneration") == 0 {
        return Readiness::waiting("the statefulset controller");
    }
    let wanted = object.pointer("/spec/replicas").and_then(Json::as_i64).unwrap_or(1);
    let ready = number(object, "/status/readyReplicas");
    if ready < wanted {
        return Readiness::waiting(format!("{ready} of {wanted} pods ready"));
    }
    if number(object, "/status/replicas") > wanted {
        return Readiness::waiting("surplus pods to go");
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    let on_delete = object.pointer("/spec/updateStrategy/type").and_then(Json::as_str) == Some("OnDelete");
    let (current, update) = (object.pointer("/status/currentRevision"), object.pointer("/status/updateRevision"));
    if !on_delete && partition == 0 && current != update {
        return Readiness::waiting(format!("{} of {wanted} pods updated", number(object, "/status/updatedReplicas")));
    }
    Readiness::Current
}

fn daemon_set(object: &Json) -> Readiness {
    if number(object, "/status/observedGeneration") == 0 {
        return Readiness::waiting("the daemonset controller");
    }
    let wanted = number(object, "/status/desiredNumberScheduled");
    let (updated, available) =
        (number(object, "/status/updatedNumberScheduled"), number(object, "/status/numberAvailable"));
    let on_delete = object.pointer("/spec/updateStrategy/type").and_then(Json::as_str) == Some("OnDelete");
    if updated < wanted && !on_delete {
        return Readiness::waiting(format!("{updated} of {wanted} pods updated"));
    }
    if available < wanted {
        return Readiness::waiting(format!("{available} of {wanted} pods available"));
    }
    Readiness::Current
}

fn job(object: &Json) -> Readiness {
    if let Some(failed) = condition(object, "Failed").filter(|c| is_true(c)) {
        return Readiness::failed(describe("Failed", failed));
    }
    if condition(object, "Complete").is_some_and(is_true) {
        return Readiness::Current;
    }
    if object.pointer("/spec/suspend").and_then(Json::as_bool) == Some(true) {
        return Readiness::Current;
    }
    let wanted = object.pointer("/spec/completions").and_then(Json::as_i64).unwrap_or(1);
    Readiness::waiting(format!("{} of {wanted} completions", number(object, "/status/succeeded")))
}

fn pod(object: &Json) -> Readiness {
    match object.pointer("/status/phase").and_then(Json::as_str).unwrap_or_default() {
        "Succeeded" => Readiness::Current,
        "Failed" => {
            let text = |pointer| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
            Readiness::failed(format!("the pod failed: {} {}", text("/status/reason"), text("/status/message")))
        }
        _ => all_true(object, &["Ready"]),
    }
}

fn service(object: &Json) -> Readiness {
    if object.pointer("/spec/type").and_then(Json::as_str) != Some("LoadBalancer") {
        return Readiness::Current;
    }
    match object.pointer("/status/loadBalancer/ingress/0") {
        Some(_) => Readiness::Current,
        None => Readiness::waiting("an address of the load balancer"),
    }
}

fn claim(object: &Json) -> Readiness {
    match object.pointer("/status/phase").and_then(Json::as_str).unwrap_or_default() {
        "Bound" => Readiness::Current,
        "Lost" => Readiness::failed("the volume behind the claim is gone"),
        // A class that waits for the first consumer binds only then; `settle` looks at the class.
        _ => Readiness::waiting("a volume"),
    }
}

fn definition(object: &Json) -> Readiness {
    if let Some(names) = condition(object, "NamesAccepted").filter(|c| !is_true(c))
        && names["status"] == "False"
    {
        return Readiness::failed(describe("NamesAccepted", names));
    }
    all_true(object, &["NamesAccepted", "Established"])
}

/// Every webhook that goes to a Service needs the CA that its answers are verified with.
fn webhooks(object: &Json) -> Readiness {
    for webhook in items(object, "/webhooks") {
        let bundle = webhook.pointer("/clientConfig/caBundle").and_then(Json::as_str).unwrap_or_default();
        if webhook.pointer("/clientConfig/service").is_some() && bundle.is_empty() {
            let name = webhook["name"].as_str().unwrap_or_default();
            return Readiness::waiting(format!("the CA bundle of {name}"));
        }
    }
    Readiness::Current
}

fn certified(object: &Json) -> Readiness {
    let generation = number(object, "/metadata/generation");
    if let Some(issuing) = condition(object, "Issuing")
        && issuing["status"] == "False"
        && issuing["reason"] == "Failed"
        && is_current(issuing, generation)
        && !condition(object, "Ready").is_some_and(is_true)
    {
        // cert-manager tries again in an hour at the earliest.
        return Readiness::failed(describe("Issuing", issuing));
    }
    all_true(object, &["Ready"])
}

fn gateway(object: &Json) -> Readiness {
    if let Some(accepted) = condition(object, "Accepted").filter(|c| c["status"] == "False")
        && is_current(accepted, number(object, "/metadata/generation"))
        && accepted["reason"] != "Pending"
    {
        return not_yet("Accepted", accepted);
    }
    match all_true(object, &["Accepted", "Programmed"]) {
        Readiness::Current if object.pointer("/status/addresses/0/value").is_none() => {
            Readiness::waiting("an address of the gateway")
        }
        other => other,
    }
}

fn route(object: &Json) -> Readiness {
    let generation = number(object, "/metadata/generation");
    for parent in items(object, "/spec/parentRefs") {
        let name = parent["name"].as_str().unwrap_or_default();
        let Some(entry) = items(object, "/status/parents").find(|entry| {
            entry.pointer("/parentRef/name").and_then(Json::as_str) == Some(name)
                && (parent["sectionName"].is_null()
                    || entry.pointer("/parentRef/sectionName") == parent.get("sectionName"))
        }) else {
            return Readiness::waiting(format!("the gateway {name} to take the route"));
        };
        for kind in ["Accepted", "ResolvedRefs"] {
            let Some(condition) = items(entry, "/conditions").find(|condition| condition["type"] == kind) else {
                return Readiness::waiting(format!("{kind} by the gateway {name}"));
            };
            if !is_true(condition) {
                return not_yet(&format!("{kind} by the gateway {name}"), condition);
            }
            if !is_current(condition, generation) {
                return Readiness::waiting(format!("the gateway {name} to see the latest change"));
            }
        }
    }
    Readiness::Current
}

fn pool(object: &Json) -> Readiness {
    let mut parents = items(object, "/status/parents").peekable();
    if parents.peek().is_none() {
        // A pool without a route that uses it has no parents, and nothing is wrong with that.
        return Readiness::Current;
    }
    for parent in parents {
        match items(parent, "/conditions").find(|condition| condition["type"] == "Accepted") {
            Some(accepted) if is_true(accepted) => {}
            Some(accepted) => return not_yet("Accepted", accepted),
            None => return Readiness::waiting("the gateway to accept the pool"),
        }
    }
    Readiness::Current
}

fn sail(object: &Json) -> Readiness {
    match all_true(object, &["Reconciled", "Ready"]) {
        Readiness::Current => match object.pointer("/status/state").and_then(Json::as_str) {
            Some("Healthy") | None => Readiness::Current,
            Some(state) => Readiness::waiting(format!("the state is {state}")),
        },
        other => other,
    }
}

fn cluster_policy(object: &Json) -> Readiness {
    if let Some(error) = condition(object, "Error").filter(|c| is_true(c)) {
        return not_yet("Error", error);
    }
    match object.pointer("/status/state").and_then(Json::as_str).unwrap_or_default() {
        "ready" => Readiness::Current,
        "ignored" => Readiness::failed("another ClusterPolicy is in charge; only one may exist"),
        "disabled" => Readiness::failed("the GPU operator is disabled"),
        "" => Readiness::waiting("the GPU operator"),
        state => Readiness::waiting(format!("the state is {state}")),
    }
}

fn inference_service(object: &Json) -> Readiness {
    if number(object, "/status/observedGeneration") == 0 && condition(object, "Ready").is_none() {
        return Readiness::waiting("the KServe controller");
    }
    // Outside Ready, and the one condition that says that the spec cannot be carried out.
    if let Some(presets) = condition(object, "PresetsCombined").filter(|c| c["status"] == "False") {
        return match presets["reason"].as_str() {
            Some("ConfigNotFound" | "InvalidRenderedConfig") => Readiness::failed(describe("PresetsCombined", presets)),
            _ => not_yet("PresetsCombined", presets),
        };
    }
    if let other @ (Readiness::InProgress { .. } | Readiness::Failed { .. }) = all_true(object, &["Ready"]) {
        // The first part that is not there says more than the roll-up.
        let parts =
            ["MainWorkloadReady", "HTTPRoutesReady", "GatewaysReady", "InferencePoolReady", "SchedulerWorkloadReady"];
        let part = parts.iter().find_map(|kind| {
            let condition = condition(object, kind).filter(|c| c["status"] == "False")?;
            Some(not_yet(kind, condition))
        });
        return part.unwrap_or(other);
    }
    if let (Some(ready), Some(wanted)) = (
        object.pointer("/status/workloads/primary/readyReplicas").and_then(Json::as_i64),
        object.pointer("/spec/replicas").and_then(Json::as_i64),
    ) && ready < wanted
    {
        return Readiness::waiting(format!("{ready} of {wanted} replicas ready"));
    }
    if object.pointer("/spec/router/route").is_some() && object.pointer("/status/url").is_none() {
        return Readiness::waiting("a URL");
    }
    Readiness::Current
}

/// kstatus's rules for kinds it does not know: abnormal-true conditions, then Ready; without any, current.
fn generic(object: &Json) -> Readiness {
    let generation = number(object, "/metadata/generation");
    for condition in conditions(object).filter(|c| is_true(c) && is_current(c, generation)) {
        match condition["type"].as_str().unwrap_or_default() {
            "Stalled" => return Readiness::failed(describe("Stalled", condition)),
            kind @ "Reconciling" => return not_yet(kind, condition),
            _ => {}
        }
    }
    match condition(object, "Ready") {
        Some(ready) if !is_true(ready) => not_yet("Ready", ready),
        Some(ready) if !is_current(ready, generation) => Readiness::waiting("its controller to see the latest change"),
        _ => Readiness::Current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn word(object: Json) -> String {
        match readiness(&object) {
            Readiness::InProgress { waiting_for } => format!("waiting: {waiting_for}"),
            other => other.to_string(),
        }
    }

    fn with(api_version: &str, kind: &str, rest: Json) -> Json {
        let mut object = rest;
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object
    }

    #[test]
    fn the_table() {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
        let ready = |status: &str| json!({"status": {"conditions": [condition("Ready", status)]}});
        let cases: &[(&str, &str, Json, &str)] = &[
            ("v1", "ConfigMap", json!({}), "current"),
            ("v1", "ServiceAccount", json!({}), "current"),
            ("v1", "Namespace", json!({"status": {"phase": "Active"}}), "current"),
            ("v1", "Service", json!({"spec": {"type": "ClusterIP"}}), "current"),
            (
                "v1",
                "Service",
                json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {}}}),
                "waiting: an address of the load balancer",
            ),
            (
                "v1",
                "Service",
                json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
                "current",
            ),
            (
                "apps/v1",
                "Deployment",
                json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}),
                "waiting: its controller to see the latest change",
            ),
            (
                "apps/v1",
                "Deployment",
                json!({"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": {"observedGeneration": 1,
                    "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}}),
                "waiting: 1 of 2 pods available",
            ),
            (
                "apps/v1",
                "Deployment",
                json!({"spec": {"replicas": 1}, "status": {"observedGeneration": 1, "conditions": [
                    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}]}}),
                "failed: Progressing is False (ProgressDeadlineExceeded): m",
            ),
            ("apps/v1", "DaemonSet", json!({"status": {"observedGeneration": 1}}), "current"),
            (
                "apps/v1",
                "DaemonSet",
                json!({"status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2,
                    "numberAvailable": 1}}),
                "waiting: 1 of 2 pods available",
            ),
            ("batch/v1", "Job", json!({"status": {"conditions": [condition("Complete", "True")]}}), "current"),
            (
                "batch/v1",
                "Job",
                json!({"status": {"conditions": [condition("Failed", "True")]}}),
                "failed: Failed is True",
            ),
            (
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                json!({"status": {"conditions": [condition("NamesAccepted", "True")]}}),
                "waiting: the condition Established",
            ),
            (
                "admissionregistration.k8s.io/v1",
                "ValidatingWebhookConfiguration",
                json!({"webhooks": [{"name": "w", "clientConfig": {"service": {"name": "s"}}}]}),
                "waiting: the CA bundle of w",
            ),
            ("cert-manager.io/v1", "ClusterIssuer", ready("True"), "current"),
            ("cert-manager.io/v1", "Certificate", ready("False"), "waiting: Ready is False"),
            ("cert-manager.io/v1", "Certificate", json!({}), "waiting: the condition Ready"),
            (
                "gateway.networking.k8s.io/v1",
                "Gateway",
                json!({"status": {"conditions": [condition("Accepted", "True"), condition("Programmed", "True")]}}),
                "waiting: an address of the gateway",
            ),
            (
                "gateway.networking.k8s.io/v1",
                "HTTPRoute",
                json!({"spec": {"parentRefs": [{"name": "g"}]}}),
                "waiting: the gateway g to take the route",
            ),
            (
                "gateway.networking.k8s.io/v1",
                "HTTPRoute",
                json!({"spec": {"parentRefs": [{"name": "g"}]}, "status": {"parents": [{"parentRef": {"name": "g"},
                    "conditions": [condition("Accepted", "True"),
                        {"type": "ResolvedRefs", "status": "False", "reason": "InvalidKind"}]}]}}),
                "waiting: ResolvedRefs by the gateway g is False (InvalidKind)",
            ),
            (
                "sailoperator.io/v1",
                "Istio",
                json!({"status": {"state": "Healthy", "conditions": [condition("Reconciled", "True"), condition("Ready", "True")]}}),
                "current",
            ),
            (
                "nvidia.com/v1",
                "ClusterPolicy",
                json!({"status": {"state": "notReady"}}),
                "waiting: the state is notReady",
            ),
            ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", json!({}), "waiting: the condition Available"),
            ("serving.kserve.io/v1alpha1", "LLMInferenceService", json!({}), "waiting: the KServe controller"),
            (
                "serving.kserve.io/v1alpha2",
                "LLMInferenceService",
                json!({"spec": {"router": {"route": {}}}, "status": {"observedGeneration": 1,
                    "conditions": [condition("Ready", "True")]}}),
                "waiting: a URL",
            ),
            (
                "serving.kserve.io/v1alpha2",
                "LLMInferenceService",
                json!({"status": {"observedGeneration": 1, "conditions": [
                    {"type": "PresetsCombined", "status": "False", "reason": "ConfigNotFound", "message": "x"}]}}),
                "failed: PresetsCombined is False (ConfigNotFound): x",
            ),
            ("example.com/v1", "Thing", ready("False"), "waiting: Ready is False"),
            (
                "example.com/v1",
                "Thing",
                json!({"status": {"conditions": [condition("Stalled", "True")]}}),
                "failed: Stalled is True",
            ),
            (
                "v1",
                "Service",
                json!({"metadata": {"deletionTimestamp": "x", "finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}}),
                "terminating: the finalizer service.kubernetes.io/load-balancer-cleanup",
            ),
            (
                "v1",
                "Namespace",
                json!({"metadata": {"deletionTimestamp": "x"}, "status": {"conditions": [
                    {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: pods. has 1 resource instances"}]}}),
                "terminating: Some resources are remaining: pods. has 1 resource instances",
            ),
        ];
        for (api_version, kind, rest, expected) in cases {
            assert_eq!(word(with(api_version, kind, rest.clone())), *expected, "{kind} {rest}");
        }
    }

    /// Every workload of the recording, watched or read: what controllers call done, and only that, is current.
    #[test]
    fn recorded_workloads_agree_with_their_controllers() {
        let Some(recording) = crate::provider::recording("kube/11-workloads.json") else { return };
        let mut objects = Vec::new();
        gather(&recording["exchanges"], &mut objects);
        let mut current = std::collections::BTreeMap::<&str, [usize; 2]>::new();
        for object in objects {
            let kind = object["kind"].as_str().unwrap_or_default();
            if !matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "Job") || object["status"].is_null() {
                continue;
            }
            let is = readiness(object) == Readiness::Current;
            current.entry(kind).or_default()[usize::from(is)] += 1;
            if kind == "Deployment" && is {
                let available = condition(object, "Available").is_some_and(is_true);
                assert!(available, "current without being available: {object}");
            }
        }
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "Job"] {
            let [not_yet, done] = current.get(kind).copied().unwrap_or_default();
            // No recorded Job comes to its end.
            let both = not_yet > 0 && (done > 0 || kind == "Job");
            assert!(both, "{kind}: {not_yet} in progress, {done} current");
        }
    }

    fn gather<'a>(json: &'a Json, objects: &mut Vec<&'a Json>) {
        match json {
            Json::Object(map) => {
                if map.contains_key("apiVersion") && map.contains_key("metadata") {
                    objects.push(json);
                }
                map.values().for_each(|value| gather(value, objects));
            }
            Json::Array(items) => items.iter().for_each(|item| gather(item, objects)),
            _ => {}
        }
    }
}
