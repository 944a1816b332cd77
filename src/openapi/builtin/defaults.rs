//! Defaults of built-in types: constants from a table, and those that depend on other fields.
//!
//! Facts from Kubernetes' `defaults.go` files. What admission plugins or registries add afterwards (the
//! service account of a pod, the cluster IP of a service) is not a default and not here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json, json};

use crate::openapi::schema::Defaulter;

type Object = Map<String, Json>;

/// The constant defaults of a type: field and JSON text.
pub fn constants(name: &str) -> &'static [(&'static str, &'static str)] {
    static TABLE: LazyLock<BTreeMap<&'static str, Vec<(&'static str, &'static str)>>> = LazyLock::new(|| {
        let mut table: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in include_str!("defaults.txt").lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.splitn(3, ' ');
            if let (Some(name), Some(field), Some(value)) = (words.next(), words.next(), words.next()) {
                table.entry(name).or_default().push((field, value));
            }
        }
        table
    });
    TABLE.get(name).map_or(&[], Vec::as_slice)
}

/// The computed defaults of a type. They run after its constants and before its fields' own defaults.
pub fn computed(name: &str) -> Option<Defaulter> {
    Some(match name {
        "apps.v1.DeploymentStrategy" => deployment_strategy,
        "apps.v1.DaemonSetUpdateStrategy" => daemon_set_strategy,
        "apps.v1.StatefulSetUpdateStrategy" => stateful_set_strategy,
        "autoscaling.v2.HorizontalPodAutoscalerBehavior" => scaling_behavior,
        "batch.v1.JobSpec" => job_spec,
        "batch.v1.Job" => job,
        "core.v1.Container" | "core.v1.EphemeralContainer" => container,
        "core.v1.LimitRangeItem" => limit_range_item,
        "core.v1.Namespace" => namespace,
        "core.v1.NodeStatus" => node_status,
        "core.v1.Pod" => pod,
        "core.v1.Probe" => probe,
        "core.v1.ReplicationController" => replication_controller,
        "core.v1.Secret" => secret,
        "core.v1.Service" => service,
        "core.v1.Volume" => volume,
        "networking.v1.NetworkPolicySpec" => network_policy,
        "rbac.v1.Subject" => subject,
        "apiextensions.v1.CustomResourceDefinition" => custom_resource_definition,
        "apiextensions.v1.CustomResourceDefinitionNames" => names,
        "apiextensions.v1.CustomResourceDefinitionStatus" => accepted_names,
        _ => return None,
    })
}

/// Absent, null and the empty text are the same to the API server's typed objects.
pub fn is_unset(value: Option<&Json>) -> bool {
    match value {
        None | Some(Json::Null) => true,
        Some(Json::String(text)) => text.is_empty(),
        Some(_) => false,
    }
}

fn set_default(object: &mut Object, field: &str, value: impl Into<Json>) {
    if is_unset(object.get(field)) {
        object.insert(field.to_owned(), value.into());
    }
}

fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    object.get(field).and_then(Json::as_str).unwrap_or_default()
}

/// The object under `field`, made when `create`.
fn child<'a>(object: &'a mut Object, field: &str, create: bool) -> Option<&'a mut Object> {
    if create {
        set_default(object, field, json!({}));
    }
    object.get_mut(field)?.as_object_mut()
}

fn items<'a>(object: &'a mut Object, field: &str) -> impl Iterator<Item = &'a mut Object> {
    object.get_mut(field).and_then(Json::as_array_mut).into_iter().flatten().filter_map(Json::as_object_mut)
}

/// A null in a map of texts is decoded as the empty text.
pub fn empty_texts(map: &mut Object) {
    for value in map.values_mut().filter(|value| value.is_null()) {
        *value = "".into();
    }
}

fn deployment_strategy(strategy: &mut Object) {
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = child(strategy, "rollingUpdate", true)
    {
        set_default(rolling, "maxUnavailable", "25%");
        set_default(rolling, "maxSurge", "25%");
    }
}

fn daemon_set_strategy(strategy: &mut Object) {
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = child(strategy, "rollingUpdate", true)
    {
        set_default(rolling, "maxUnavailable", 1);
        set_default(rolling, "maxSurge", 0);
    }
}

fn stateful_set_strategy(strategy: &mut Object) {
    let typed = !text(strategy, "type").is_empty();
    set_default(strategy, "type", "RollingUpdate");
    // A strategy that only names its type keeps no rollingUpdate block.
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = child(strategy, "rollingUpdate", !typed)
    {
        set_default(rolling, "partition", 0);
    }
}

fn scaling_behavior(behavior: &mut Object) {
    let up = json!({
        "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}],
    });
    let down = json!({"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]});
    for (direction, defaults) in [("scaleUp", up), ("scaleDown", down)] {
        if let (Some(rules), Json::Object(defaults)) = (child(behavior, direction, true), defaults) {
            for (field, value) in defaults {
                set_default(rules, &field, value);
            }
        }
    }
}

fn job_spec(spec: &mut Object) {
    if is_unset(spec.get("parallelism")) {
        set_default(spec, "completions", 1);
        set_default(spec, "parallelism", 1);
    }
    let limit = if is_unset(spec.get("backoffLimitPerIndex")) { 6 } else { i32::MAX };
    set_default(spec, "backoffLimit", limit);
    let policy = if is_unset(spec.get("podFailurePolicy")) { "TerminatingOrFailed" } else { "Failed" };
    set_default(spec, "podReplacementPolicy", policy);
}

/// Takes its labels from the template when it has none.
fn labels_from_template(object: &mut Object) {
    let labels = object.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    if let Some(labels @ Json::Object(_)) = labels
        && let Some(metadata) = child(object, "metadata", true)
        && metadata.get("labels").and_then(Json::as_object).is_none_or(Map::is_empty)
    {
        metadata.insert("labels".to_owned(), labels);
    }
}

fn job(job: &mut Object) {
    labels_from_template(job);
}

fn replication_controller(controller: &mut Object) {
    let labels = controller.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    if let Some(labels @ Json::Object(_)) = labels
        && let Some(spec) = child(controller, "spec", true)
        && spec.get("selector").and_then(Json::as_object).is_none_or(Map::is_empty)
    {
        spec.insert("selector".to_owned(), labels);
    }
    labels_from_template(controller);
}

/// The tag of an image reference; `latest` when it has neither tag nor digest.
fn image_tag(image: &str) -> &str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => tag,
        None if digest.is_some() => "",
        None => "latest",
    }
}

fn container(container: &mut Object) {
    let policy = if image_tag(text(container, "image")) == "latest" { "Always" } else { "IfNotPresent" };
    set_default(container, "imagePullPolicy", policy);
}

fn limit_range_item(item: &mut Object) {
    if text(item, "type") != "Container" {
        return;
    }
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        if let Some(source) = item.get(from).and_then(Json::as_object).cloned()
            && let Some(target) = child(item, to, true)
        {
            for (resource, quantity) in source {
                target.entry(resource).or_insert(quantity);
            }
        }
    }
}

fn namespace(namespace: &mut Object) {
    let name = namespace.get("metadata").map(|m| m["name"].clone()).unwrap_or_default();
    if let Some(metadata) = child(namespace, "metadata", false)
        && !is_unset(Some(&name))
        && let Some(labels) = child(metadata, "labels", true)
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
    }
}

fn node_status(status: &mut Object) {
    if let Some(capacity) = status.get("capacity").cloned() {
        set_default(status, "allocatable", capacity);
    }
}

fn pod(pod: &mut Object) {
    let Some(spec) = child(pod, "spec", false) else { return };
    set_default(spec, "enableServiceLinks", true);
    let host = spec.get("hostNetwork").and_then(Json::as_bool).unwrap_or_default();
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            if host {
                for port in items(container, "ports") {
                    if let Some(number) = port.get("containerPort").cloned() {
                        set_default(port, "hostPort", number);
                    }
                }
            }
            if let Some(resources) = child(container, "resources", false)
                && let Some(limits) = resources.get("limits").and_then(Json::as_object).cloned()
                && let Some(requests) = child(resources, "requests", true)
            {
                for (resource, quantity) in limits {
                    requests.entry(resource).or_insert(quantity);
                }
            }
        }
    }
}

fn probe(probe: &mut Object) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe.get(field).and_then(Json::as_i64).unwrap_or_default() == 0 {
            probe.insert(field.to_owned(), value.into());
        }
    }
}

/// `stringData` is write-only: decoding moves it into `data`.
fn secret(secret: &mut Object) {
    use base64::Engine as _;
    let Some(texts) = secret.get("stringData").and_then(Json::as_object) else { return };
    // What a plan does not know yet cannot be moved.
    if !texts.values().all(|value| value.is_string() || value.is_null()) {
        return;
    }
    let encode = |value: &Json| base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
    let texts: Vec<(String, String)> = texts.iter().map(|(key, value)| (key.clone(), encode(value))).collect();
    secret.shift_remove("stringData");
    if let Some(data) = child(secret, "data", true) {
        data.extend(texts.into_iter().map(|(key, value)| (key, value.into())));
    }
}

fn service(service: &mut Object) {
    let Some(spec) = child(service, "spec", true) else { return };
    if text(spec, "sessionAffinity") == "ClientIP" {
        if let Some(config) = child(spec, "sessionAffinityConfig", true)
            && let Some(client) = child(config, "clientIP", true)
        {
            set_default(client, "timeoutSeconds", 10_800);
        }
    } else {
        spec.shift_remove("sessionAffinityConfig");
    }
    for port in items(spec, "ports") {
        set_default(port, "protocol", "TCP");
        let target = port.get("targetPort");
        if (is_unset(target) || target == Some(&json!(0)))
            && let Some(number) = port.get("port").cloned()
        {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = match text(spec, "type") {
        "" => "ClusterIP".to_owned(),
        kind => kind.to_owned(),
    };
    let balanced = kind == "LoadBalancer";
    let external_ips = spec.get("externalIPs").and_then(Json::as_array).is_some_and(|ips| !ips.is_empty());
    if balanced || kind == "NodePort" || (kind == "ClusterIP" && external_ips) {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind != "ExternalName" {
        set_default(spec, "internalTrafficPolicy", "Cluster");
    }
    if balanced {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
        if let Some(status) = child(service, "status", false)
            && let Some(balancer) = child(status, "loadBalancer", false)
        {
            for ingress in items(balancer, "ingress") {
                if !is_unset(ingress.get("ip")) {
                    set_default(ingress, "ipMode", "VIP");
                }
            }
        }
    }
}

fn volume(volume: &mut Object) {
    if !volume.iter().any(|(key, value)| key != "name" && !value.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(image) = child(volume, "image", false) {
        let policy = if image_tag(text(image, "reference")) == "latest" { "Always" } else { "IfNotPresent" };
        set_default(image, "pullPolicy", policy);
    }
}

fn network_policy(spec: &mut Object) {
    if spec.get("policyTypes").and_then(Json::as_array).is_none_or(Vec::is_empty) {
        let egress = spec.get("egress").and_then(Json::as_array).is_some_and(|rules| !rules.is_empty());
        let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
}

fn subject(subject: &mut Object) {
    if matches!(text(subject, "kind"), "User" | "Group") {
        set_default(subject, "apiGroup", "rbac.authorization.k8s.io");
    }
}

fn names(names: &mut Object) {
    let kind = text(names, "kind").to_owned();
    if !kind.is_empty() {
        set_default(names, "singular", kind.to_lowercase());
        set_default(names, "listKind", format!("{kind}List"));
    }
}

/// Until names are accepted the status has empty ones.
fn accepted_names(status: &mut Object) {
    if let Some(names) = child(status, "acceptedNames", true) {
        set_default(names, "plural", "");
        set_default(names, "kind", "");
    }
}

fn custom_resource_definition(definition: &mut Object) {
    let stored = definition
        .get("spec")
        .and_then(|spec| spec.get("versions"))
        .and_then(Json::as_array)
        .and_then(|versions| versions.iter().find(|version| version["storage"] == json!(true)))
        .map(|version| version["name"].clone());
    if let Some(name) = stored
        && let Some(status) = child(definition, "status", true)
        && status.get("storedVersions").and_then(Json::as_array).is_none_or(Vec::is_empty)
    {
        status.insert("storedVersions".to_owned(), json!([name]));
    }
}
