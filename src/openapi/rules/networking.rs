//! Rules on Services, Ingresses and network policies.

use serde_json::Value as Json;

use super::{is_empty, items, labels, map, names, needed_port, port, port_number, selector, text};
use crate::openapi::validate::{FieldError, is_deferred};

/// Complaints about a Service.
pub(super) fn service(object: &Json, found: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    let kind = text(&spec["type"]).unwrap_or("ClusterIP");
    let headless = spec["clusterIP"] == "None";
    let ports = items(&spec["ports"]).count();
    if ports == 0 && !headless && kind != "ExternalName" && !is_deferred(&spec["ports"]) {
        found.push(FieldError::required("spec.ports", ""));
    }
    match kind {
        "ExternalName" => match text(&spec["externalName"]) {
            Some(name) if !name.is_empty() => {
                // A trailing dot is fine.
                let name = name.strip_suffix('.').unwrap_or(name);
                found.extend(
                    names::subdomain(name)
                        .map(|why| FieldError::invalid("spec.externalName", spec["externalName"].clone(), why)),
                );
            }
            _ if is_empty(&spec["externalName"]) => found.push(FieldError::required("spec.externalName", "")),
            _ => {}
        },
        "LoadBalancer" | "NodePort" if headless => {
            let why = format!("may not be set to 'None' for {kind} services");
            found.push(FieldError::invalid("spec.clusterIPs[0]", "None", why));
        }
        _ => {}
    }
    if kind == "ClusterIP" && text(&spec["externalTrafficPolicy"]).is_some_and(|policy| !policy.is_empty()) {
        let why = "may only be set for externally-accessible services";
        found.push(FieldError::invalid("spec.externalTrafficPolicy", spec["externalTrafficPolicy"].clone(), why));
    }
    labels("spec.selector", &spec["selector"], found);
    let mut seen_names: Vec<&str> = Vec::new();
    for (at, one) in items(&spec["ports"]) {
        let path = format!("spec.ports[{at}]");
        match text(&one["name"]).filter(|name| !name.is_empty()) {
            Some(name) => {
                found.extend(names::label(name).map(|why| FieldError::invalid(format!("{path}.name"), name, why)));
                if seen_names.contains(&name) {
                    found.push(FieldError::duplicate(format!("{path}.name"), name));
                }
                seen_names.push(name);
            }
            None if ports > 1 && is_empty(&one["name"]) => {
                found.push(FieldError::required(format!("{path}.name"), ""));
            }
            None => {}
        }
        found.extend(needed_port(&format!("{path}.port"), &one["port"]));
        found.extend(port(&format!("{path}.targetPort"), &one["targetPort"]));
        if let Some(number) = one["nodePort"].as_i64().filter(|number| *number != 0) {
            if kind == "ClusterIP" {
                let why = "may not be used when `type` is 'ClusterIP'";
                found.push(FieldError::forbidden(format!("{path}.nodePort"), why));
            } else if !(1..=65_535).contains(&number) {
                found.extend(port_number(&format!("{path}.nodePort"), &one["nodePort"]));
            }
        }
    }
}

/// Complaints about an Ingress.
pub(super) fn ingress(object: &Json, found: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    let none = |value: &Json| !is_deferred(value) && items(value).next().is_none();
    if none(&spec["rules"]) && spec["defaultBackend"].is_null() && !is_deferred(spec) {
        let why = "either `defaultBackend` or `rules` must be specified";
        found.push(FieldError::invalid("spec", spec.clone(), why));
    }
    backend("spec.defaultBackend", &spec["defaultBackend"], found);
    for (at, rule) in items(&spec["rules"]) {
        if let Some(host) = text(&rule["host"]).filter(|host| !host.is_empty()) {
            let plain = host.strip_prefix("*.").unwrap_or(host);
            let why = names::subdomain(plain);
            found.extend(why.map(|why| FieldError::invalid(format!("spec.rules[{at}].host"), host, why)));
        }
        for (number, path) in items(&rule["http"]["paths"]) {
            let at = format!("spec.rules[{at}].http.paths[{number}]");
            let kind = text(&path["pathType"]);
            if kind.is_none() && is_empty(&path["pathType"]) {
                found.push(FieldError::required(format!("{at}.pathType"), "pathType must be specified"));
            }
            if let Some(path) = text(&path["path"]).filter(|path| !path.starts_with('/'))
                && matches!(kind, Some("Exact" | "Prefix"))
            {
                found.push(FieldError::invalid(format!("{at}.path"), path, "must be an absolute path"));
            }
            backend(&format!("{at}.backend"), &path["backend"], found);
        }
    }
}

fn backend(path: &str, backend: &Json, found: &mut Vec<FieldError>) {
    let Some(map) = map(backend) else { return };
    let (service, resource) = (&backend["service"], &backend["resource"]);
    if map.contains_key("service") == map.contains_key("resource") {
        let why = "exactly one of service and resource is required";
        found.push(FieldError::required(path, if resource.is_null() { why } else { "cannot set both" }));
        return;
    }
    if super::map(service).is_none() {
        return;
    }
    if let Some(name) = text(&service["name"])
        && let Some(why) = names::label(name)
    {
        found.push(FieldError::invalid(format!("{path}.service.name"), name, why));
    }
    let (name, number) = (&service["port"]["name"], &service["port"]["number"]);
    if is_empty(name) && number.as_i64().unwrap_or(0) == 0 && !is_deferred(&service["port"]) && !is_deferred(number) {
        found.push(FieldError::required(format!("{path}.service.port"), "port name or number is required"));
    }
}

/// Complaints about a network policy.
pub(super) fn policy(object: &Json, found: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    selector("spec.podSelector", &spec["podSelector"], found);
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        for (at, rule) in items(&spec[list]) {
            for (number, peer) in items(&rule[peers]) {
                let path = format!("spec.{list}[{at}].{peers}[{number}]");
                let Some(given) = map(peer) else { continue };
                if given.is_empty() {
                    found.push(FieldError::required(path.clone(), "must specify a peer"));
                } else if given.contains_key("ipBlock") && given.len() > 1 {
                    let why = "may not specify both ipBlock and another peer";
                    found.push(FieldError::forbidden(path.clone(), why));
                }
                selector(&format!("{path}.podSelector"), &peer["podSelector"], found);
                selector(&format!("{path}.namespaceSelector"), &peer["namespaceSelector"], found);
                if let Some(cidr) = text(&peer["ipBlock"]["cidr"]).filter(|cidr| !is_cidr(cidr)) {
                    let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                    found.push(FieldError::invalid(format!("{path}.ipBlock.cidr"), cidr, why));
                }
            }
            for (number, one) in items(&rule["ports"]) {
                found.extend(port(&format!("spec.{list}[{at}].ports[{number}].port"), &one["port"]));
            }
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}
