//! Checks of what a stack stands on: cluster, pools, operators, webhooks, gateways, routes, the services of models.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Course, Fact};
use crate::ops::sight::{Sight, Wanted, condition, list, text};
use crate::plan::model::PlannedProof;
use crate::platform::Sought;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

fn wrong(text: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorClass::Invalid, text)
}

/// The control plane, the nodes, the operators.
pub(super) async fn cluster(course: &mut Course<'_>, sight: &Sight<'_>) {
    let Some(any) = sight.objects().next() else { return };
    let (objects, connection) = (&sight.platforms.objects, sight.connection(any.resource));
    let answers = async {
        let sought = Sought { api_version: "v1", kind: "Namespace", namespace: "", name: "kube-system" };
        let system = objects.look(connection, &sought).await?;
        let system = system.ok_or_else(|| wrong("it has no namespace kube-system"))?;
        let endpoint = connection.and_then(|connection| connection.get("endpoint")).and_then(Value::as_str);
        let endpoint = endpoint.map_or("the API server".to_owned(), |endpoint| format!("the API server at {endpoint}"));
        Ok(Fact::Is(format!("{endpoint} answers; cluster {}", text(&system, "/metadata/uid"))))
    };
    course.take("cluster", "api server", answers).await;
    let nodes = async {
        let nodes = sight.list(any.resource, "v1", "Node", "").await?;
        let mut pools: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for node in &nodes {
            let pool = node["metadata"]["labels"]["cloud.google.com/gke-nodepool"].as_str().unwrap_or("nodes");
            let (ready, all) = pools.entry(pool).or_default();
            *all += 1;
            *ready += usize::from(condition(node, "/status/conditions", "Ready").is_some_and(|(ready, _)| ready));
        }
        let missing =
            sight.desired.resources.iter().filter(|resource| resource.kind == "gke.node_pool").filter_map(|pool| {
                let wanted = &pool.attrs;
                let name = wanted.get("name").and_then(Value::as_str)?;
                (wanted.get("nodes").and_then(Value::as_int)? > 0 && !pools.contains_key(name)).then(|| name.to_owned())
            });
        let missing = missing.collect::<Vec<_>>();
        let facts = pools.iter().map(|(pool, (ready, all))| format!("{pool} {ready}/{all} ready")).collect::<Vec<_>>();
        let facts = if facts.is_empty() { "there are no nodes".to_owned() } else { facts.join(", ") };
        if !missing.is_empty() {
            return Err(wrong(format!("no node of {}: {facts}", missing.join(", "))).hint(
                "a paused stack has none: `stackwright resume`; else see the errors of the pool's instance group",
            ));
        }
        if pools.is_empty() || pools.values().any(|(ready, all)| ready < all) {
            return Err(wrong(facts).hint("`kubectl describe node` says why a node is not ready"));
        }
        Ok(Fact::Is(facts))
    };
    course.take("cluster", "pools", nodes).await;
    let mut components: BTreeMap<&str, Vec<Wanted<'_>>> = BTreeMap::new();
    for wanted in sight.objects().filter(|wanted| wanted.component.starts_with("addons.")) {
        let workload = matches!(wanted.kind.as_str(), "Deployment" | "DaemonSet" | "StatefulSet");
        let members = components.entry(wanted.component).or_default();
        if workload && wanted.api_version == "apps/v1" {
            members.push(wanted);
        }
    }
    for (component, members) in components {
        course.take(component, "operator", operator(sight, &members)).await;
    }
}

async fn operator(sight: &Sight<'_>, members: &[Wanted<'_>]) -> Result<Fact, ProviderError> {
    let mut fine = Vec::new();
    for member in members {
        let Some(live) = sight.live(member).await? else {
            return Err(wrong(format!("{} {} is not there", member.kind, member.name)).hint("run `stackwright apply`"));
        };
        let number = |pointer: &str| live.pointer(pointer).and_then(Json::as_u64);
        let (ready, all) = if member.kind == "DaemonSet" {
            (number("/status/numberReady"), number("/status/desiredNumberScheduled"))
        } else {
            (number("/status/readyReplicas"), number("/spec/replicas").or(Some(1)))
        };
        let (ready, all) = (ready.unwrap_or(0), all.unwrap_or(0));
        if ready < all {
            let text = format!("{} {}: {ready} of {all} pods ready", member.kind, member.name);
            return Err(wrong(text).hint(format!("see its pods: kubectl -n {} get pods", member.namespace)));
        }
        fine.push(format!("{} {ready}/{all}", member.name));
    }
    Ok(match fine.is_empty() {
        true => Fact::Absent("it has no pods of its own".to_owned()),
        false => Fact::Is(fine.join(", ")),
    })
}

/// The webhooks of add-ons: an object of the stack that goes through each is created once more, as a rehearsal.
pub(super) async fn webhooks(course: &mut Course<'_>, sight: &Sight<'_>) {
    let all = sight.objects().collect::<Vec<_>>();
    let kinds = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];
    let mut seen: BTreeMap<&str, Vec<&Wanted<'_>>> = BTreeMap::new();
    for wanted in all.iter().filter(|wanted| kinds.contains(&wanted.kind.as_str())) {
        seen.entry(wanted.component).or_default().push(wanted);
    }
    for (component, configurations) in seen {
        let look = async {
            let (mut through, mut names) = (Vec::new(), Vec::new());
            for configuration in &configurations {
                let Some(live) = sight.live(configuration).await? else {
                    return Err(wrong(format!("{} is not there", configuration.name)).hint("run `stackwright apply`"));
                };
                for hook in list(&live, "/webhooks") {
                    names.push(text(hook, "/name").to_owned());
                    if text(hook, "/clientConfig/caBundle").is_empty() {
                        let text = format!("{} of {} has no CA yet", text(hook, "/name"), configuration.name);
                        return Err(wrong(text).hint("its operator writes the CA once it runs: see its pods"));
                    }
                    let fitting = all.iter().find(|wanted| admits(hook, wanted));
                    through.extend(fitting.map(|wanted| (wanted.resource.address.clone(), wanted)));
                }
            }
            through.sort_by(|a, b| a.0.cmp(&b.0));
            through.dedup_by(|a, b| a.0 == b.0);
            for (_, wanted) in &through {
                rehearse(sight, wanted).await?;
            }
            let through = through.iter().map(|(_, wanted)| wanted.kind.as_str()).collect::<Vec<_>>().join(", ");
            Ok(match (names.len(), through.is_empty()) {
                (0, _) => Fact::Absent("they admit nothing".to_owned()),
                (n, true) => Fact::Absent(format!("{n} of them have a CA; nothing of the stack goes through them")),
                (n, false) => Fact::Is(format!("{n} of them; {through} went through")),
            })
        };
        course.take(component, "webhooks", look).await;
    }
}

/// Whether a webhook is asked when this object is created. What it selects by labels is left to the API server.
fn admits(hook: &Json, wanted: &Wanted<'_>) -> bool {
    let (group, version) = wanted.api_version.split_once('/').unwrap_or(("", &wanted.api_version));
    // The plural of every kind that the add-ons admit.
    let plural = match wanted.kind.to_lowercase() {
        kind if kind.ends_with('y') => format!("{}ies", &kind[..kind.len() - 1]),
        kind if kind.ends_with('s') => format!("{kind}es"),
        kind => format!("{kind}s"),
    };
    let has = |rule: &Json, pointer: &str, word: &str| list(rule, pointer).iter().any(|entry| entry == word);
    list(hook, "/rules").iter().any(|rule| {
        has(rule, "/apiGroups", group)
            && (has(rule, "/resources", &plural) || has(rule, "/resources", "*") || has(rule, "/resources", "*/*"))
            && (has(rule, "/apiVersions", version) || has(rule, "/apiVersions", "*"))
            && (has(rule, "/operations", "CREATE") || has(rule, "/operations", "*"))
    })
}

async fn rehearse(sight: &Sight<'_>, wanted: &Wanted<'_>) -> Result<(), ProviderError> {
    let manifest = wanted.resource.attrs.resolve_known(&sight.outputs);
    // A manifest with secrets is not for rehearsals.
    if !manifest.is_known() {
        return Ok(());
    }
    let mut manifest = manifest.to_plain_json();
    let name = format!("{}-verify", wanted.name.chars().take(40).collect::<String>());
    manifest["metadata"] = serde_json::json!({"name": name, "namespace": wanted.namespace});
    if wanted.namespace.is_empty()
        && let Some(metadata) = manifest["metadata"].as_object_mut()
    {
        metadata.remove("namespace");
    }
    sight.platforms.objects.rehearse(sight.connection(wanted.resource), &manifest).await.map_err(|error| {
        let text = format!("a rehearsal of {} was refused: {}", wanted.kind, error.message);
        let hint =
            error.hint.unwrap_or_else(|| "see the pods and logs of the operator that has the webhook".to_owned());
        ProviderError::new(error.class, text).hint(hint)
    })
}

/// Gateways: address, listeners, certificates.
pub(super) async fn gateways(course: &mut Course<'_>, sight: &Sight<'_>) {
    for gateway in
        sight.objects().filter(|wanted| wanted.kind == "Gateway" && wanted.api_version.starts_with("gateway."))
    {
        let address = async {
            let Some(live) = sight.live(&gateway).await? else {
                return Err(wrong(format!("Gateway {} is not there", gateway.name)).hint("run `stackwright apply`"));
            };
            let addresses = list(&live, "/status/addresses").iter().map(|entry| text(entry, "/value"));
            let addresses = addresses.collect::<Vec<_>>().join(", ");
            if let Some((false, why)) = condition(&live, "/status/conditions", "Programmed") {
                return Err(wrong(format!("the gateway is not programmed: {why}"))
                    .hint("see the gateway's Service: a load balancer may wait for an address or a quota"));
            }
            if addresses.is_empty() {
                return Err(wrong("the gateway has no address").hint("see the events of the gateway's Service"));
            }
            let ready =
                |listener: &&Json| condition(listener, "/conditions", "Programmed").is_none_or(|(ready, _)| ready);
            let listeners = list(&live, "/status/listeners");
            if let Some(broken) = listeners.iter().find(|listener| !ready(listener)) {
                let (name, why) = (text(broken, "/name"), condition(broken, "/conditions", "ResolvedRefs"));
                return Err(wrong(format!(
                    "the listener {name} is not programmed: {}",
                    why.map_or("", |(_, why)| why)
                ))
                .hint("see whether the Secret with its certificate is there"));
            }
            let attached = listeners.iter().filter_map(|listener| listener["attachedRoutes"].as_u64()).sum::<u64>();
            Ok(Fact::Is(format!("{addresses}, {} listeners, {attached} routes attached", listeners.len())))
        };
        course.take(gateway.component, "address", address).await;
    }
    for wanted in
        sight.objects().filter(|wanted| wanted.kind == "Certificate" && !wanted.component.starts_with("addons."))
    {
        let issued = async {
            let Some(live) = sight.live(&wanted).await? else {
                return Err(wrong(format!("Certificate {} is not there", wanted.name)).hint("run `stackwright apply`"));
            };
            match condition(&live, "/status/conditions", "Ready") {
                Some((true, _)) => {
                    let names = list(&live, "/spec/dnsNames").iter().filter_map(Json::as_str).collect::<Vec<_>>();
                    let names =
                        if names.is_empty() { text(&live, "/spec/commonName").to_owned() } else { names.join(", ") };
                    Ok(Fact::Is(format!("{} for {names}, until {}", wanted.name, text(&live, "/status/notAfter"))))
                }
                Some((false, why)) => Err(wrong(format!("{} is not issued: {why}", wanted.name))
                    .hint("`kubectl describe certificate` and its CertificateRequest say what the issuer waits for")),
                None => Err(wrong(format!("cert-manager has not looked at {} yet", wanted.name))
                    .hint("see the pods of cert-manager")),
            }
        };
        course.take(wanted.component, "certificate", issued).await;
    }
}

/// The route and the service of a model.
pub(super) async fn workload(course: &mut Course<'_>, sight: &Sight<'_>, proof: &PlannedProof) {
    let of = proof.component.as_str();
    let services = sight.objects().filter(|w| w.component == of && w.kind == "LLMInferenceService").collect::<Vec<_>>();
    for service in &services {
        let ready = async {
            let Some(live) = sight.live(service).await? else {
                return Err(wrong("the LLMInferenceService is not there").hint("run `stackwright apply`"));
            };
            match condition(&live, "/status/conditions", "Ready") {
                Some((true, _)) => {
                    Ok(Fact::Is(format!("{} is ready, at {}", service.name, text(&live, "/status/url"))))
                }
                other => {
                    let broken = list(&live, "/status/conditions")
                        .iter()
                        .find(|c| c["status"] == "False" && c["type"] != "Ready");
                    let broken = broken.map(|c| format!("{}: {}", text(c, "/type"), text(c, "/message")));
                    let why = broken
                        .or(other.map(|(_, why)| why.to_owned()))
                        .unwrap_or_else(|| "no word of KServe yet".into());
                    Err(wrong(format!("{} is not ready: {why}", service.name))
                        .hint("see the model's pods: a download or a start takes minutes"))
                }
            }
        };
        course.take(of, "service", ready).await;
        let accepted = async {
            let routes =
                sight.list(service.resource, "gateway.networking.k8s.io/v1", "HTTPRoute", &service.namespace).await?;
            let ours = |route: &&Json| {
                text(route, "/metadata/name").starts_with(&service.name)
                    || list(route, "/metadata/ownerReferences").iter().any(|owner| text(owner, "/name") == service.name)
            };
            let Some(route) = routes.iter().find(ours) else {
                return Err(wrong(format!("no HTTPRoute of {} is there", service.name))
                    .hint("KServe makes it: see its controller's logs"));
            };
            let name = text(route, "/metadata/name");
            let parents = list(route, "/status/parents");
            for parent in parents {
                for kind in ["Accepted", "ResolvedRefs"] {
                    if let Some((false, why)) = condition(parent, "/conditions", kind) {
                        return Err(wrong(format!(
                            "the route {name} is not {}: {why}",
                            if kind == "Accepted" { "accepted" } else { "resolved" }
                        ))
                        .hint("compare the route's parents and backends with what is there"));
                    }
                }
            }
            match parents.first() {
                None => Err(wrong(format!("no gateway has looked at the route {name}")).hint("see the logs of istiod")),
                Some(parent) => Ok(Fact::Is(format!("{name} is accepted by {}", text(parent, "/parentRef/name")))),
            }
        };
        course.take(of, "route", accepted).await;
    }
}
