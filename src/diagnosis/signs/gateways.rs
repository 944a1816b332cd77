//! What is said of gateways, routes and webhooks, and of objects that refer to others that are not there.

use serde_json::Value as Json;

use super::{Sign, Source};
use crate::diagnosis::facts::Subject;
use crate::diagnosis::look::{View, condition, list, text, time, trouble};

pub(super) fn read(view: &View<'_>, signs: &mut Vec<Sign>) {
    for gateway in view.kind("Gateway").iter().filter(|gateway| trouble(gateway).is_some()) {
        of_gateway(view, gateway, signs);
    }
    for route in view.facts.objects.iter().filter(|object| text(object, "/kind").ends_with("Route")) {
        for parent in list(route, "/status/parents") {
            for entry in list(parent, "/conditions").iter().filter(|entry| text(entry, "/status") == "False") {
                let field =
                    format!("status.parents[{}].conditions[{}]", text(parent, "/parentRef/name"), text(entry, "/type"));
                let subject = Subject::object(route);
                let sign =
                    Sign::new(Source::Condition, subject, field, text(entry, "/reason"), text(entry, "/message"));
                signs.push(sign.what(text(parent, "/parentRef/name")).at(time(entry, "/lastTransitionTime")));
            }
        }
    }
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        for configuration in view.kind(kind) {
            of_webhooks(view, configuration, signs);
        }
    }
}

fn of_gateway(view: &View<'_>, gateway: &Json, signs: &mut Vec<Sign>) {
    let class = text(gateway, "/spec/gatewayClassName");
    if view.get("GatewayClass", "", class).is_none() && !class.is_empty() {
        let text = format!("there is no GatewayClass {class}: nobody looks after the gateway");
        let field = "spec.gatewayClassName";
        signs.push(Sign::new(Source::Object, Subject::object(gateway), field, "NoClass", &text).what(class));
        return;
    }
    let mut entries = list(gateway, "/status/conditions").iter().map(|entry| ("status.conditions", entry));
    let bad = |entry: &Json| text(entry, "/status") == "False" && text(entry, "/type") != "Conflicted";
    let listeners = list(gateway, "/status/listeners").iter().flat_map(|listener| list(listener, "/conditions"));
    let listeners = listeners.filter(|entry| bad(entry)).map(|entry| ("status.listeners.conditions", entry));
    let said = entries.by_ref().filter(|(_, entry)| bad(entry)).chain(listeners).collect::<Vec<_>>();
    for (at, entry) in said {
        let field = format!("{at}[{}]", text(entry, "/type"));
        let sign = Sign::new(
            Source::Condition,
            Subject::object(gateway),
            field,
            text(entry, "/reason"),
            text(entry, "/message"),
        );
        signs.push(sign.at(time(entry, "/lastTransitionTime")));
    }
    let programmed = condition(gateway, "/status/conditions", "Programmed");
    if programmed.is_some_and(|programmed| programmed["status"] == "True")
        && list(gateway, "/status/addresses").is_empty()
    {
        let text = "it is programmed and has no address";
        signs.push(Sign::new(Source::Condition, Subject::object(gateway), "status.addresses", "NoAddress", text));
    }
}

/// Webhooks that refuse everything while they do not answer, and cannot: without a CA, or without a pod behind them.
fn of_webhooks(view: &View<'_>, configuration: &Json, signs: &mut Vec<Sign>) {
    for hook in list(configuration, "/webhooks") {
        let Some(service) = hook.pointer("/clientConfig/service") else { continue };
        let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
        if text(hook, "/clientConfig/caBundle").is_empty() {
            let said = format!("{} has no CA bundle: the API server trusts no certificate of it", text(hook, "/name"));
            let field = format!("webhooks[{}].clientConfig.caBundle", text(hook, "/name"));
            let sign = Sign::new(Source::Object, Subject::object(configuration), field, "NoCa", &said);
            signs.push(sign.what(format!("{namespace}/{name}")));
            continue;
        }
        // Of namespaces that nobody has looked into, nothing is known.
        let looked = &view.facts.namespaces;
        let is_seen = looked.is_empty() || looked.iter().any(|seen| seen == namespace);
        // A namespace with no Service at all has no endpoints either.
        let is_absent = !looked.is_empty() && view.get("Service", namespace, name).is_none();
        let is_known = view.knows("EndpointSlice") || is_absent;
        if text(hook, "/failurePolicy") == "Ignore" || !is_known || !is_seen {
            continue;
        }
        let slices = view.kind("EndpointSlice").iter().filter(|slice| {
            text(slice, "/metadata/namespace") == namespace
                && slice["metadata"]["labels"]["kubernetes.io/service-name"] == name
        });
        let mut endpoints = slices.flat_map(|slice| list(slice, "/endpoints"));
        if endpoints.any(|endpoint| endpoint.pointer("/conditions/ready").and_then(Json::as_bool) != Some(false)) {
            continue;
        }
        let said = format!("nothing answers for it, and {} is asked of everything that it admits", text(hook, "/name"));
        let subject = Subject::new("Service", namespace, name);
        let sign = Sign::new(Source::Object, subject, "endpoints", "NoEndpoints", &said);
        signs.push(sign.what(format!("{namespace}/{name}")));
    }
}
