//! Namespaces: what each one starts with, and how its content goes when it is deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{Controller, Key, Outcome, Surroundings, durations, fields, kinds, writes};
use crate::sim::kube::api::{Api, DeleteOptions, Gvk, Status};

/// Gives every active namespace its ServiceAccount `default` and ConfigMap `kube-root-ca.crt`.
#[derive(Debug, Clone)]
pub struct Furnishing {
    /// PEM certificate of the API server's authority.
    pub ca_pem: String,
}

#[async_trait]
impl Controller for Furnishing {
    fn name(&self) -> &'static str {
        "namespace-furnishing"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Namespace"), kinds::of("ServiceAccount"), kinds::of("ConfigMap")]
    }

    fn keys(&self, changed: &Key, _: &Json, _: &dyn Api) -> Vec<Key> {
        match (changed.gvk.kind.as_str(), changed.name.as_str()) {
            ("Namespace", _) => vec![changed.clone()],
            ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt") => {
                vec![Key { gvk: kinds::of("Namespace"), namespace: String::new(), name: changed.namespace.clone() }]
            }
            _ => Vec::new(),
        }
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(namespace) = api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        if fields::is_going(&namespace) {
            return Ok(Outcome::Done);
        }
        let metadata = |name: &str| json!({"name": name, "namespace": key.name});
        if api.get(&kinds::of("ServiceAccount"), &key.name, "default").is_none() {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("default")});
            writes::create_missing(api, account).await?;
        }
        let mut map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("kube-root-ca.crt"),
            "data": {"ca.crt": self.ca_pem},
        });
        match api.get(&kinds::of("ConfigMap"), &key.name, "kube-root-ca.crt") {
            None => {
                let note = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
                            endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
                            guaranteed across distributions of Kubernetes clusters.";
                map["metadata"]["annotations"] = json!({"kubernetes.io/description": note});
                writes::create_missing(api, map).await?;
            }
            Some(known) if known.get("data") != map.get("data") => {
                let mut next = (*known).clone();
                next["data"] = map["data"].clone();
                api.update(next).await?;
            }
            Some(_) => {}
        }
        Ok(Outcome::Done)
    }
}

/// What an object that waits for a finalizer is expected to take, in seconds (Kubernetes' own constant).
const FINALIZING: u64 = 15;

/// Deletes the content of namespaces that are being deleted, and lets them go when it is gone.
#[derive(Debug, Clone, Copy)]
pub struct Deletion;

#[async_trait]
impl Controller for Deletion {
    fn name(&self) -> &'static str {
        "namespace-deletion"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Namespace")]
    }

    fn parallel(&self) -> usize {
        // Each waits its turn asleep.
        64
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let going = |namespace: &std::sync::Arc<Json>| {
            fields::is_going(namespace) && !fields::list(namespace, "/spec/finalizers").is_empty()
        };
        if api.get(&key.gvk, "", &key.name).filter(going).is_none() {
            return Ok(Outcome::Done);
        }
        around.clock.sleep(durations::NAMESPACE).await;
        if api.get(&key.gvk, "", &key.name).filter(going).is_none() {
            return Ok(Outcome::Done);
        }
        let mut failures = Vec::new();
        for (gvk, namespaced) in api.kinds() {
            if !namespaced {
                continue;
            }
            for object in api.list(&gvk, Some(&key.name)) {
                if fields::is_going(&object) {
                    continue;
                }
                let options = DeleteOptions { propagation: Some("Background".to_owned()), ..DeleteOptions::default() };
                match api.delete(&gvk, &key.name, fields::name(&object), options).await {
                    Err(status) if status.code != 404 => failures.push(status.message().to_owned()),
                    _ => {}
                }
            }
        }
        let mut remaining: BTreeMap<Gvk, usize> = BTreeMap::new();
        let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
        let mut estimate = 0;
        for (gvk, namespaced) in api.kinds() {
            for object in if namespaced { api.list(&gvk, Some(&key.name)) } else { Vec::new() } {
                let finalizing = !fields::list(&object, "/metadata/finalizers").is_empty();
                let grace = fields::number(&object, "/metadata/deletionGracePeriodSeconds").unwrap_or_default();
                estimate = estimate.max(if finalizing { FINALIZING } else { u64::try_from(grace).unwrap_or_default() });
                *remaining.entry(gvk.clone()).or_default() += 1;
                for finalizer in fields::list(&object, "/metadata/finalizers") {
                    *finalizers.entry(finalizer.as_str().unwrap_or_default().to_owned()).or_default() += 1;
                }
            }
        }
        let Some(read) = api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        let mut next = (*read).clone();
        let undiscovered = undiscovered(&**api);
        conditions(&mut next, &remaining, &finalizers, &failures, &undiscovered, around);
        writes::status(api, &read, next).await?;
        if !undiscovered.is_empty() {
            return Ok(Outcome::After(Duration::from_millis(1)));
        }
        if !remaining.is_empty() || !failures.is_empty() {
            // Half of the longest that what remains is expected to take, and a second.
            let expected = Duration::from_secs(estimate);
            return Ok(Outcome::After((expected / 2 + Duration::from_secs(1)).saturating_sub(durations::NAMESPACE)));
        }
        let Some(read) = api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        let mut next = (*read).clone();
        next["spec"]["finalizers"] = json!([]);
        api.update_subresource("finalize", next).await?;
        Ok(Outcome::Done)
    }
}

/// Groups and versions that nobody can say the content of: their servers do not answer.
fn undiscovered(api: &dyn Api) -> Vec<String> {
    let away = |service: &std::sync::Arc<Json>| fields::condition(service, "Available") == "False";
    let name = |service: &std::sync::Arc<Json>| {
        format!("{}/{}", fields::text(service, "/spec/group"), fields::text(service, "/spec/version"))
    };
    api.list(&kinds::of("APIService"), None).iter().filter(|service| away(service)).map(name).collect()
}

fn conditions(
    namespace: &mut Json,
    remaining: &BTreeMap<Gvk, usize>,
    finalizers: &BTreeMap<String, usize>,
    failures: &[String],
    undiscovered: &[String],
    around: &Surroundings,
) {
    let now = around.clock.now();
    let mut set = |kind: &str, bad: bool, reasons: (&str, &str), messages: (String, &str)| {
        let (reason, message) = if bad { (reasons.0, messages.0.as_str()) } else { (reasons.1, messages.1) };
        let status = if bad { "True" } else { "False" };
        fields::set_condition(namespace, kind, status, reason, message, now);
    };
    set(
        "NamespaceDeletionDiscoveryFailure",
        !undiscovered.is_empty(),
        ("DiscoveryFailed", "ResourcesDiscovered"),
        (
            format!(
                "Discovery failed for some groups, {} failing: unable to retrieve the complete list of server APIs: {}",
                undiscovered.len(),
                undiscovered
                    .iter()
                    .map(|v| format!("{v}: stale GroupVersion discovery: {v}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            "All resources successfully discovered",
        ),
    );
    set(
        "NamespaceDeletionGroupVersionParsingFailure",
        false,
        ("GroupVersionParsingFailed", "ParsedGroupVersions"),
        (String::new(), "All legacy kube types successfully parsed"),
    );
    set(
        "NamespaceDeletionContentFailure",
        !failures.is_empty(),
        ("ContentDeletionFailed", "ContentDeleted"),
        (
            format!("Failed to delete all resource types, {} remaining: {}", failures.len(), failures.join(", ")),
            "All content successfully deleted, may be waiting on finalization",
        ),
    );
    let left: Vec<_> = remaining
        .iter()
        .map(|(gvk, count)| {
            let plural = format!("{}s", gvk.kind.to_lowercase());
            format!("{plural}.{} has {count} resource instances", gvk.group)
        })
        .collect();
    set(
        "NamespaceContentRemaining",
        !remaining.is_empty(),
        ("SomeResourcesRemain", "ContentRemoved"),
        (format!("Some resources are remaining: {}", left.join(", ")), "All content successfully removed"),
    );
    let held: Vec<_> = finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
    set(
        "NamespaceFinalizersRemaining",
        !finalizers.is_empty(),
        ("SomeFinalizersRemain", "ContentHasNoFinalizers"),
        (
            format!("Some content in the namespace has finalizers remaining: {}", held.join(", ")),
            "All content-preserving finalizers finished",
        ),
    );
}
