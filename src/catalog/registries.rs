//! `[registries]`: logins to container registries, brought to every namespace whose pods need them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::address::Address;
use crate::catalog::documents::{self, text};
use crate::catalog::expansion::Expansion;
use crate::catalog::{gateway, text as texts};
use crate::diag::Diagnostic;
use crate::resource::hook;
use crate::value::{Map, Value};

/// The registry of Red Hat's images.
const REDHAT: &str = "registry.redhat.io";

/// The name of its pull secret where operators and the gateway run.
pub(super) const REDHAT_SECRET: &str = "redhat-pull-secret";

/// Its name where models run.
const REDHAT_MODELS_SECRET: &str = "rhaiis-pull-secret";

/// The host of an image's registry.
fn host(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// The name of the pull secret of a registry in the namespace of a component.
fn secret_name(host: &str, component: &str) -> String {
    match host {
        REDHAT if component.starts_with("workloads.") => REDHAT_MODELS_SECRET.to_owned(),
        REDHAT => REDHAT_SECRET.to_owned(),
        other => format!("pull-{}", other.replace(['.', ':'], "-")),
    }
}

/// Adds pull secrets to pods and namespaces; called when all components have added their objects.
pub(super) fn wire(expansion: &mut Expansion<'_>) {
    // Namespace and registry, with the first component that asks.
    let mut wanted: BTreeMap<(String, String), String> = BTreeMap::new();
    let accounts = accounts(expansion);
    for at in 0..expansion.resources.len() {
        let resource = &expansion.resources[at];
        let Some(manifest) = hook::object(resource.kind, &resource.attrs) else { continue };
        let component = resource.address.component().to_owned();
        let key = documents::key(manifest);
        let namespace = key.namespace.clone().unwrap_or_default();
        // Accounts and operators' objects that name the secret already.
        if names_redhat(manifest) {
            let namespace = text(manifest, &["spec", "namespace"]).map_or(namespace.clone(), str::to_owned);
            wanted.entry((namespace, REDHAT.to_owned())).or_insert_with(|| component.clone());
        }
        let Some(pods) = pod_spec_path(&key.kind) else { continue };
        let Some(spec) = manifest.at(pods) else { continue };
        let account = text(spec, &["serviceAccountName"]).unwrap_or("default").to_owned();
        let has_login = accounts.contains(&(namespace.clone(), account));
        for host in hosts(spec) {
            let registered = expansion.stack.registries.contains_key(&host);
            if !registered && host != REDHAT {
                continue;
            }
            let secret = secret_name(&host, &component);
            wanted.entry((namespace.clone(), host)).or_insert_with(|| component.clone());
            let outer = &mut expansion.resources[at];
            let within: &[&str] = if outer.kind == hook::KIND { &[hook::MANIFEST] } else { &[] };
            if !has_login
                && let Some(spec) =
                    at_mut(Arc::make_mut(&mut outer.attrs), within).and_then(|manifest| at_mut(manifest, pods))
            {
                add_secret(spec, &secret);
            }
        }
    }
    if expansion.is_rhaii("istio") && expansion.stack.gateway.is_some() {
        let (namespace, _) = gateway::place(expansion);
        wanted.entry((namespace, REDHAT.to_owned())).or_insert_with(|| "gateway".to_owned());
    }
    add_secrets(expansion, wanted);
}

fn add_secrets(expansion: &mut Expansion<'_>, wanted: BTreeMap<(String, String), String>) {
    let mut missing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ((namespace, host), component) in wanted {
        let Some(registry) = expansion.stack.registries.get(&host) else {
            missing.entry(host).or_default().insert(component);
            continue;
        };
        let data = Map::from([(".dockerconfigjson".to_owned(), texts::base64(&registry.pull_secret.value.0))]);
        let mut manifest = Value::from_json(&json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": secret_name(&host, &component), "namespace": namespace},
        }));
        documents::set(&mut manifest, &["data"], Value::Map(data));
        let component = component.as_str();
        expansion.object(crate::catalog::expansion::NewObject { component, manifest, origin: None, timeout: None });
    }
    for (host, components) in missing {
        let who = components.into_iter().collect::<Vec<_>>().join(", ");
        expansion.report(Diagnostic::error(format!("images of {who} come from {host}, which needs a login")).hint(
            format!("add [registries.\"{host}\"] with pull_secret = \"${{inputs.pull_secret}}\", a secret input"),
        ));
    }
    // The gateway's pods are made by istiod from a text, which no edge can be read off.
    let (namespace, name) = gateway::place(expansion);
    let gateway = Address::new(format!("gateway/Gateway.gateway.networking.k8s.io/{namespace}/{name}"));
    let secret = format!("Secret/{namespace}/{REDHAT_SECRET}");
    expansion.need_object(&gateway, &secret, "its pods' images are pulled with this secret");
}

/// Accounts whose pods get a login by the account.
fn accounts(expansion: &Expansion<'_>) -> BTreeSet<(String, String)> {
    let objects = expansion.resources.iter().filter_map(|resource| hook::object(resource.kind, &resource.attrs));
    objects
        .filter(|manifest| text(manifest, &["kind"]) == Some("ServiceAccount"))
        .filter(|manifest| manifest.get("imagePullSecrets").is_some())
        .map(documents::key)
        .map(|key| (key.namespace.unwrap_or_default(), key.name))
        .collect()
}

/// Whether an account, or the object of an operator, names the secret of Red Hat's registry.
fn names_redhat(manifest: &Value) -> bool {
    let list = match text(manifest, &["kind"]) {
        Some("ServiceAccount") => manifest.get("imagePullSecrets"),
        Some("Istio" | "IstioCNI") => manifest.at(&["spec", "values", "global", "imagePullSecrets"]),
        _ => None,
    };
    let items = list.and_then(Value::as_list).unwrap_or_default();
    items.iter().any(|item| item.as_str().or_else(|| text(item, &["name"])) == Some(REDHAT_SECRET))
}

/// Where the pod spec of a kind is.
fn pod_spec_path(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "Deployment" | "DaemonSet" | "StatefulSet" | "Job" => Some(&["spec", "template", "spec"]),
        "LLMInferenceService" => Some(&["spec", "template"]),
        "Pod" => Some(&["spec"]),
        _ => None,
    }
}

/// The registries of a pod's images.
fn hosts(spec: &Value) -> BTreeSet<String> {
    let lists = ["initContainers", "containers"].iter().filter_map(|list| spec.get(list)?.as_list());
    lists.flatten().filter_map(|container| text(container, &["image"])).map(|image| host(image).to_owned()).collect()
}

fn at_mut<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Map(map) => map.get_mut(key),
        _ => None,
    })
}

fn add_secret(spec: &mut Value, name: &str) {
    let Value::Map(map) = spec else { return };
    let entry = Value::Map(Map::from([("name".to_owned(), name.into())]));
    match map.entry("imagePullSecrets".to_owned()).or_insert_with(|| Value::List(Vec::new())) {
        Value::List(list) if !list.contains(&entry) => list.push(entry),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_name_their_registry() {
        assert_eq!(host("kserve/llmisvc-controller:v0.20.0"), "docker.io");
        assert_eq!(host("registry.redhat.io/rhaiis/vllm-tpu-rhel9:3.2.5"), REDHAT);
        assert_eq!(host("localhost/x"), "localhost");
        assert_eq!(secret_name("ghcr.io", "addons.kserve"), "pull-ghcr-io");
    }
}
