//! Rules on what a pod is made of.

use serde_json::Value as Json;

use super::{entries, is_empty, items, map, names, needed_port, not_negative, port, port_number, selector, text};
use crate::openapi::quantity::Quantity;
use crate::openapi::validate::{FieldError, is_deferred};

/// Complaints about a pod's spec. `claims` are volumes that a controller adds to the pods it makes.
pub(super) fn pod(path: &str, spec: &Json, claims: &[&str], found: &mut Vec<FieldError>) {
    if map(spec).is_none() {
        return;
    }
    let mut volumes = volumes(path, &spec["volumes"], found);
    volumes.iter_mut().for_each(|volumes| volumes.extend(claims));
    if !is_deferred(&spec["containers"]) && spec["containers"].as_array().is_none_or(Vec::is_empty) {
        found.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for list in ["initContainers", "containers"] {
        for (at, container) in items(&spec[list]) {
            check_container(&format!("{path}.{list}[{at}]"), container, volumes.as_deref(), &mut seen, found);
        }
    }
    for key in ["serviceAccountName", "priorityClassName", "runtimeClassName", "schedulerName"] {
        if let Some(name) = text(&spec[key]).filter(|name| !name.is_empty())
            && let Some(why) = names::subdomain(name)
        {
            found.push(FieldError::invalid(format!("{path}.{key}"), name, why));
        }
    }
    for key in ["hostname", "subdomain"] {
        if let Some(name) = text(&spec[key]).filter(|name| !name.is_empty())
            && let Some(why) = names::label(name)
        {
            found.push(FieldError::invalid(format!("{path}.{key}"), name, why));
        }
    }
    found
        .extend(not_negative(&format!("{path}.terminationGracePeriodSeconds"), &spec["terminationGracePeriodSeconds"]));
    super::labels(&format!("{path}.nodeSelector"), &spec["nodeSelector"], found);
    for (at, toleration) in items(&spec["tolerations"]) {
        self::toleration(&format!("{path}.tolerations[{at}]"), toleration, found);
    }
    affinity(&format!("{path}.affinity"), &spec["affinity"], found);
    for (at, spread) in items(&spec["topologySpreadConstraints"]) {
        let path = format!("{path}.topologySpreadConstraints[{at}]");
        if let Some(skew) = spread["maxSkew"].as_i64().filter(|skew| *skew <= 0) {
            found.push(FieldError::invalid(format!("{path}.maxSkew"), skew, "must be greater than zero"));
        }
        selector(&format!("{path}.labelSelector"), &spread["labelSelector"], found);
    }
    if text(&spec["dnsPolicy"]) == Some("None") && is_empty(&spec["dnsConfig"]) {
        let why = "must provide `dnsConfig` when `dnsPolicy` is None";
        found.push(FieldError::required(format!("{path}.dnsConfig"), why));
    }
}

/// The names of the volumes; `None` when some are not known yet.
fn volumes<'a>(path: &str, volumes: &'a Json, found: &mut Vec<FieldError>) -> Option<Vec<&'a str>> {
    let mut seen: Vec<&str> = Vec::new();
    let mut known = !is_deferred(volumes) && !volumes.as_array().into_iter().flatten().any(is_deferred);
    for (at, volume) in items(volumes) {
        let path = format!("{path}.volumes[{at}]");
        match text(&volume["name"]) {
            Some(name) => {
                if let Some(why) = names::label(name) {
                    found.push(FieldError::invalid(format!("{path}.name"), name, why));
                }
                if seen.contains(&name) {
                    found.push(FieldError::duplicate(format!("{path}.name"), name));
                }
                seen.push(name);
            }
            None => known &= !is_deferred(&volume["name"]),
        }
        let Some(sources) = map(volume) else { continue };
        let mut sources = sources.iter().filter(|(key, value)| *key != "name" && !value.is_null());
        match (sources.next(), sources.next()) {
            (None, _) => found.push(FieldError::required(path, "must specify a volume type")),
            (Some(_), Some((second, _))) => {
                let why = "may not specify more than 1 volume type";
                found.push(FieldError::forbidden(format!("{path}.{second}"), why));
            }
            (Some((source, value)), None) => volume_source(&format!("{path}.{source}"), source, value, found),
        }
    }
    known.then_some(seen)
}

fn volume_source(path: &str, source: &str, value: &Json, found: &mut Vec<FieldError>) {
    let (key, what) = match source {
        "configMap" => ("name", ""),
        "secret" => ("secretName", ""),
        "persistentVolumeClaim" => ("claimName", ""),
        "hostPath" => ("path", ""),
        "csi" => ("driver", ""),
        "projected" => {
            for (at, part) in items(&value["sources"]) {
                let given = map(part).map_or(1, |part| part.values().filter(|value| !value.is_null()).count());
                let path = format!("{path}.sources[{at}]");
                match given {
                    0 => found.push(FieldError::required(path, "must specify a volume type")),
                    1 => {}
                    _ => found.push(FieldError::forbidden(path, "may not specify more than 1 volume type per source")),
                }
            }
            return;
        }
        _ => return,
    };
    if map(value).is_some() && is_empty(&value[key]) {
        found.push(FieldError::required(format!("{path}.{key}"), what));
    }
}

fn check_container<'a>(
    path: &str,
    container: &'a Json,
    volumes: Option<&[&str]>,
    seen: &mut Vec<&'a str>,
    found: &mut Vec<FieldError>,
) {
    match text(&container["name"]) {
        Some(name) if !name.is_empty() => {
            if let Some(why) = names::label(name) {
                found.push(FieldError::invalid(format!("{path}.name"), name, why));
            }
            if seen.contains(&name) {
                found.push(FieldError::duplicate(format!("{path}.name"), name));
            }
            seen.push(name);
        }
        Some(_) => found.push(FieldError::required(format!("{path}.name"), "")),
        None => {}
    }
    if is_empty(&container["image"]) {
        found.push(FieldError::required(format!("{path}.image"), ""));
    } else if let Some(image) = text(&container["image"]).filter(|image| image.trim() != *image) {
        let why = "must not have leading or trailing whitespace";
        found.push(FieldError::invalid(format!("{path}.image"), image, why));
    }
    let mut ports: Vec<&str> = Vec::new();
    for (at, one) in items(&container["ports"]) {
        let path = format!("{path}.ports[{at}]");
        found.extend(needed_port(&format!("{path}.containerPort"), &one["containerPort"]));
        if one["hostPort"] != 0 {
            found.extend(port_number(&format!("{path}.hostPort"), &one["hostPort"]));
        }
        if let Some(name) = text(&one["name"]).filter(|name| !name.is_empty()) {
            if let Some(why) = names::port_name(name) {
                found.push(FieldError::invalid(format!("{path}.name"), name, why));
            } else if ports.contains(&name) {
                found.push(FieldError::duplicate(format!("{path}.name"), name));
            }
            ports.push(name);
        }
    }
    for (at, variable) in items(&container["env"]) {
        self::variable(&format!("{path}.env[{at}]"), variable, found);
    }
    for (at, from) in items(&container["envFrom"]) {
        let path = format!("{path}.envFrom[{at}]");
        match (from["configMapRef"].is_null(), from["secretRef"].is_null()) {
            (true, true) => {
                found.push(FieldError::required(path, "must specify one of: `configMapRef` or `secretRef`"));
            }
            (false, false) => {
                let why = "may not have more than one field specified at a time";
                found.push(FieldError::invalid(path, "", why));
            }
            _ => {}
        }
    }
    mounts(path, container, volumes, found);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        self::probe(&format!("{path}.{probe}"), &container[probe], found);
    }
    for hook in ["postStart", "preStop"] {
        let given = &container["lifecycle"][hook];
        let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
        if map(given).is_some() && !kinds.iter().any(|kind| !given[kind].is_null()) {
            let path = format!("{path}.lifecycle.{hook}");
            found.push(FieldError::required(path, "must specify a handler type"));
        }
    }
    amounts(path, &container["resources"], found);
}

fn variable(path: &str, variable: &Json, found: &mut Vec<FieldError>) {
    if let Some(name) = text(&variable["name"]) {
        if name.is_empty() {
            found.push(FieldError::required(format!("{path}.name"), ""));
        } else if let Some(why) = names::variable(name) {
            found.push(FieldError::invalid(format!("{path}.name"), name, why));
        }
    }
    let from = &variable["valueFrom"];
    let Some(sources) = map(from) else { return };
    if text(&variable["value"]).is_some_and(|value| !value.is_empty()) {
        let why = "may not be specified when `value` is not empty";
        found.push(FieldError::invalid(format!("{path}.valueFrom"), "", why));
    }
    match sources.values().filter(|source| !source.is_null()).count() {
        0 => {
            let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or \
                       `fileKeyRef`";
            found.push(FieldError::invalid(format!("{path}.valueFrom"), "", why));
        }
        1 => {}
        _ => {
            let why = "may not have more than one field specified at a time";
            found.push(FieldError::invalid(format!("{path}.valueFrom"), "", why));
        }
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        let source = &from[kind];
        if map(source).is_some() {
            for key in ["name", "key"] {
                if is_empty(&source[key]) {
                    found.push(FieldError::required(format!("{path}.valueFrom.{kind}.{key}"), ""));
                }
            }
        }
    }
    if let Some(field) = text(&from["fieldRef"]["fieldPath"]) {
        let plain = field.split(['[', '\'']).next().unwrap_or(field);
        let known = [
            "metadata.annotations",
            "metadata.labels",
            "metadata.name",
            "metadata.namespace",
            "metadata.uid",
            "spec.nodeName",
            "spec.serviceAccountName",
            "status.hostIP",
            "status.hostIPs",
            "status.podIP",
            "status.podIPs",
        ];
        if !known.contains(&plain) {
            let path = format!("{path}.valueFrom.fieldRef.fieldPath");
            found.push(FieldError::not_supported(path, field, known));
        }
    }
}

fn mounts(path: &str, container: &Json, volumes: Option<&[&str]>, found: &mut Vec<FieldError>) {
    let mut places: Vec<&str> = Vec::new();
    for (at, mount) in items(&container["volumeMounts"]) {
        let path = format!("{path}.volumeMounts[{at}]");
        if let (Some(name), Some(volumes)) = (text(&mount["name"]), volumes)
            && !volumes.contains(&name)
            && !name.is_empty()
        {
            found.push(FieldError::not_found(format!("{path}.name"), name));
        }
        for key in ["name", "mountPath"] {
            if is_empty(&mount[key]) && mount[key].is_string() {
                found.push(FieldError::required(format!("{path}.{key}"), ""));
            }
        }
        if let Some(place) = text(&mount["mountPath"]).filter(|place| !place.is_empty()) {
            if places.contains(&place) {
                found.push(FieldError::invalid(format!("{path}.mountPath"), place, "must be unique"));
            }
            places.push(place);
        }
        for key in ["subPath", "subPathExpr"] {
            if let Some(below) = text(&mount[key])
                && (below.starts_with('/') || below.split('/').any(|part| part == ".."))
            {
                let why = "must be a relative path and must not contain '..'";
                found.push(FieldError::invalid(format!("{path}.{key}"), below, why));
            }
        }
    }
}

fn probe(path: &str, probe: &Json, found: &mut Vec<FieldError>) {
    let Some(given) = map(probe) else { return };
    let kinds = ["exec", "httpGet", "tcpSocket", "grpc"];
    let mut handlers = kinds.iter().filter(|kind| given.get(**kind).is_some_and(|handler| !handler.is_null()));
    match (handlers.next(), handlers.next()) {
        (None, _) => found.push(FieldError::required(path, "must specify a handler type")),
        (_, Some(second)) => {
            let why = "may not specify more than 1 handler type";
            found.push(FieldError::forbidden(format!("{path}.{second}"), why));
        }
        _ => {}
    }
    for kind in ["httpGet", "tcpSocket", "grpc"] {
        let path = format!("{path}.{kind}.port");
        match kind {
            "grpc" => found.extend(port_number(&path, &probe[kind]["port"])),
            _ => found.extend(port(&path, &probe[kind]["port"])),
        }
    }
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        found.extend(not_negative(&format!("{path}.{key}"), &probe[key]));
    }
    let must_be_one = path.ends_with("livenessProbe") || path.ends_with("startupProbe");
    if let Some(threshold) = probe["successThreshold"].as_i64().filter(|threshold| must_be_one && *threshold > 1) {
        found.push(FieldError::invalid(format!("{path}.successThreshold"), threshold, "must be 1"));
    }
}

/// Amounts below zero, requests above limits, and extended resources that are not the same in both.
fn amounts(path: &str, resources: &Json, found: &mut Vec<FieldError>) {
    for list in ["limits", "requests"] {
        for (name, amount) in entries(&resources[list]) {
            let at = || format!("{path}.resources.{list}[{name}]");
            let bad = names::qualified_name(name);
            found.extend(bad.into_iter().map(|why| FieldError::invalid(at(), name.as_str(), why)));
            if !name.contains('/')
                && !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
                && !name.starts_with("hugepages-")
            {
                let why = "must be a standard resource type or fully qualified";
                found.push(FieldError::invalid(at(), name.as_str(), why));
            }
            if Quantity::of(amount).is_some_and(|amount| amount.nanos() < 0) {
                found.push(FieldError::invalid(at(), amount.clone(), "must be greater than or equal to 0"));
            }
        }
    }
    if is_deferred(&resources["limits"]) {
        return;
    }
    for (name, request) in entries(&resources["requests"]) {
        let limit = &resources["limits"][name];
        let extended = name.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"));
        let at = || format!("{path}.resources.requests");
        match (Quantity::of(request), Quantity::of(limit)) {
            (Some(asked), Some(most)) if extended && asked.nanos() != most.nanos() => {
                let why = format!("must be equal to {name} limit of {}", shown(limit));
                found.push(FieldError::invalid(at(), shown(request), why));
            }
            (Some(asked), Some(most)) if asked.nanos() > most.nanos() => {
                let why = format!("must be less than or equal to {name} limit of {}", shown(limit));
                found.push(FieldError::invalid(at(), shown(request), why));
            }
            (Some(_), None) if extended && limit.is_null() => {
                let why = "Limit must be set for non overcommitable resources";
                found.push(FieldError::required(format!("{path}.resources.limits"), why));
            }
            _ => {}
        }
    }
}

fn shown(amount: &Json) -> String {
    amount.as_str().map_or_else(|| amount.to_string(), str::to_owned)
}

fn toleration(path: &str, toleration: &Json, found: &mut Vec<FieldError>) {
    if let Some(key) = text(&toleration["key"]).filter(|key| !key.is_empty()) {
        let bad = names::qualified_name(key);
        found.extend(bad.into_iter().map(|why| FieldError::invalid(format!("{path}.key"), key, why)));
    }
    let operator = text(&toleration["operator"]).unwrap_or_default();
    if is_empty(&toleration["key"]) && operator != "Exists" && !is_deferred(&toleration["operator"]) {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        found.push(FieldError::invalid(format!("{path}.operator"), operator, why));
    }
    if operator == "Exists"
        && let Some(value) = text(&toleration["value"]).filter(|value| !value.is_empty())
    {
        let why = "value must be empty when `operator` is 'Exists'";
        found.push(FieldError::invalid(format!("{path}.operator"), value, why));
    }
    if let Some(effect) = text(&toleration["effect"]).filter(|effect| *effect != "NoExecute")
        && !toleration["tolerationSeconds"].is_null()
    {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        found.push(FieldError::invalid(format!("{path}.effect"), effect, why));
    }
}

fn affinity(path: &str, affinity: &Json, found: &mut Vec<FieldError>) {
    let node = &affinity["nodeAffinity"];
    let required = &node["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = items(&required["nodeSelectorTerms"]).map(|(at, term)| {
        (format!("{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{at}]"), term)
    });
    let preferred = items(&node["preferredDuringSchedulingIgnoredDuringExecution"]).map(|(at, term)| {
        let path = format!("{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{at}].preference");
        (path, &term["preference"])
    });
    if map(required).is_some()
        && !is_deferred(&required["nodeSelectorTerms"])
        && items(&required["nodeSelectorTerms"]).next().is_none()
    {
        let path = format!("{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
        found.push(FieldError::required(path, "must have at least one node selector term"));
    }
    for (path, term) in terms.chain(preferred) {
        for (at, expression) in items(&term["matchExpressions"]) {
            let path = format!("{path}.matchExpressions[{at}]");
            let count = (!is_deferred(&expression["values"])).then(|| items(&expression["values"]).count());
            match (text(&expression["operator"]), count) {
                (Some("In" | "NotIn"), Some(0)) => {
                    let why = "must be specified when `operator` is 'In' or 'NotIn'";
                    found.push(FieldError::required(format!("{path}.values"), why));
                }
                (Some("Exists" | "DoesNotExist"), Some(1..)) => {
                    let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    found.push(FieldError::forbidden(format!("{path}.values"), why));
                }
                (Some("Gt" | "Lt"), Some(0 | 2..)) => {
                    let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                    found.push(FieldError::required(format!("{path}.values"), why));
                }
                _ => {}
            }
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let affinity = &affinity[kind];
        let required = items(&affinity["requiredDuringSchedulingIgnoredDuringExecution"])
            .map(|(at, term)| (format!("requiredDuringSchedulingIgnoredDuringExecution[{at}]"), term));
        let preferred = items(&affinity["preferredDuringSchedulingIgnoredDuringExecution"]).map(|(at, term)| {
            let path = format!("preferredDuringSchedulingIgnoredDuringExecution[{at}].podAffinityTerm");
            (path, &term["podAffinityTerm"])
        });
        for (below, term) in required.chain(preferred) {
            let path = format!("{path}.{kind}.{below}");
            selector(&format!("{path}.labelSelector"), &term["labelSelector"], found);
            if map(term).is_some() && is_empty(&term["topologyKey"]) {
                found.push(FieldError::required(format!("{path}.topologyKey"), "can not be empty"));
            }
        }
    }
}
