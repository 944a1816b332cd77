//! Planted mistakes are found where they are, and good objects pass.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::address::ObjectKey;
use crate::resource::hook::OBJECT;
use crate::value::{Part, Template, Value};

/// A resource of one manifest, as a stack would have it.
fn resource(component: &str, manifest: &Json) -> Resource {
    let text = |path: &str| manifest.pointer(path).and_then(Json::as_str).unwrap_or_default().to_owned();
    let api_version = text("/apiVersion");
    let key = ObjectKey {
        group: api_version.split_once('/').map_or("", |(group, _)| group).to_owned(),
        kind: text("/kind"),
        namespace: Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty()),
        name: text("/metadata/name"),
    };
    Resource {
        address: Address::object(component, &key),
        kind: OBJECT,
        attrs: Value::from_json(manifest).into(),
        needs: Vec::new(),
        connection: Some(Address::new("cluster")),
        ceded: Vec::new(),
        timeout: Duration::from_secs(60),
        estimate: Duration::from_secs(1),
        origin: Some("app.yaml".to_owned()),
    }
}

fn desired(objects: &[Json]) -> Desired {
    Desired {
        stack: "test".to_owned(),
        resources: objects.iter().map(|manifest| resource("manifests.app", manifest)).collect(),
        ..Desired::default()
    }
}

fn summaries(objects: &[Json]) -> Vec<String> {
    check(&desired(objects)).into_iter().map(|found| found.summary).collect()
}

/// A Deployment that every API server takes.
fn deployment() -> Json {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "serviceAccountName": "web",
                    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                    "volumes": [{"name": "cache", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}],
                    "containers": [{
                        "name": "web", "image": "nginx:1", "imagePullPolicy": "IfNotPresent",
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": 1, "memory": "1Gi", "nvidia.com/gpu": 1}},
                        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
                        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}, {"name": "shm", "mountPath": "/dev/shm"}],
                    }],
                },
            },
        },
    })
}

/// Changes the value at a JSON pointer; `null` takes it away.
fn with(object: &Json, pointer: &str, value: Json) -> Json {
    let mut object = object.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
    match parent {
        Json::Array(items) => {
            let at = key.parse::<usize>().expect("an index");
            if at == items.len() { items.push(value) } else { items[at] = value }
        }
        Json::Object(map) if value.is_null() => {
            map.shift_remove(key);
        }
        Json::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        _ => panic!("{pointer}"),
    }
    object
}

#[test]
fn a_good_object_has_no_mistakes() {
    assert_eq!(summaries(&[deployment()]), Vec::<String>::new());
}

#[test]
fn mistakes_of_every_class_in_a_built_in_object() {
    let container = "/spec/template/spec/containers/0";
    let pod = "spec.template.spec";
    for (pointer, value, path, words) in [
        ("/spec/replcas", json!(1), "spec.replcas", "unknown field"),
        ("/spec/template/containers", json!([]), "spec.template.containers", "unknown field"),
        ("/spec/replicas", json!("2"), "spec.replicas", "must be of type integer"),
        ("/spec/replicas", json!(-1), "spec.replicas", "greater than or equal to 0"),
        ("/spec/replicas", json!(5_000_000_000_i64), "spec.replicas", "int32"),
        ("/spec/strategy", json!({"type": "Rolling"}), "spec.strategy.type", "unsupported value"),
        ("/spec/selector", Json::Null, "spec.selector", "required value"),
        ("/spec/selector/matchLabels/app", json!("other"), "spec.template.metadata.labels", "does not match"),
        ("/spec/template/spec/containers", json!([]), "spec.template.spec.containers", "required value"),
        ("/spec/template/spec/restartPolicy", json!("Never"), "spec.template.spec.restartPolicy", "unsupported"),
        ("/spec/template/spec/dnsPolicy", json!("Sometimes"), "spec.template.spec.dnsPolicy", "unsupported"),
        ("/spec/template/spec/serviceAccountName", json!("A b"), "spec.template.spec.serviceAccountName", "RFC 1123"),
        ("/spec/template/spec/tolerations/0/operator", json!("Equals"), "tolerations[0].operator", "unsupported"),
        ("/spec/template/spec/volumes/2", json!({"name": "cache", "emptyDir": {}}), "volumes[2]", "duplicate"),
        ("/spec/template/spec/volumes/0/hostPath", json!({"path": "/x"}), "volumes[0].hostPath", "more than 1 volume"),
        ("/spec/template/spec/volumes/1/emptyDir/sizeLimit", json!("2Gigs"), "emptyDir.sizeLimit", "quantity"),
        (&format!("{container}/image"), Json::Null, &format!("{pod}.containers[0].image"), "required"),
        (&format!("{container}/name"), json!("Web"), &format!("{pod}.containers[0].name"), "RFC 1123"),
        (&format!("{container}/imagePullPolicy"), json!("Allways"), "containers[0].imagePullPolicy", "unsupported"),
        (&format!("{container}/ports/0/containerPort"), json!(99999), "ports[0].containerPort", "65535"),
        (&format!("{container}/ports/0/containerPort"), json!("80"), "ports[0].containerPort", "type integer"),
        (&format!("{container}/ports/1"), json!({"name": "http", "containerPort": 81}), "ports[1].name", "duplicate"),
        (&format!("{container}/env/0/value"), json!(1), "env[0].value", "type string"),
        (&format!("{container}/env/2"), json!({"name": "A", "value": "2"}), "env[2]", "duplicate"),
        (&format!("{container}/env/2"), json!({"name": "X=1"}), "env[2].name", "environment variable"),
        (&format!("{container}/resources/requests/cpu"), json!("2"), "resources.requests", "less than or equal"),
        (&format!("{container}/resources/limits/memory"), json!("1 GB"), "resources.limits.memory", "quantity"),
        (&format!("{container}/resources/limits/gpu"), json!(1), "resources.limits[gpu]", "standard resource"),
        (&format!("{container}/volumeMounts/0/name"), json!("cach"), "volumeMounts[0].name", "not found"),
        (&format!("{container}/volumeMounts/1/mountPath"), json!("/cache"), "volumeMounts[1]", "duplicate"),
        (&format!("{container}/readinessProbe/httpGet"), Json::Null, "readinessProbe", "handler"),
        ("/metadata/labels/a b", json!("x"), "metadata.labels", "name part"),
        ("/metadata/labels/app", json!("a b"), "metadata.labels[app]", "valid label"),
        ("/metadata/labels/app", json!(true), "metadata.labels.app", "type string"),
        ("/metadata/name", json!("Web_1"), "metadata.name", "RFC 1123"),
        ("/metadata/namespace", Json::Null, "metadata.namespace", "required"),
        ("/metadata/anotations", json!({}), "metadata.anotations", "unknown field"),
        ("/apiVersion", json!("apps/v1beta1"), "no matches for kind", "apps/v1beta1"),
    ] {
        let planted = with(&deployment(), pointer, value.clone());
        let found = summaries(&[planted]);
        assert!(
            found.iter().any(|summary| summary.contains(path) && summary.contains(words)),
            "{pointer} = {value}: {path} {words} in {found:#?}"
        );
        assert!(found.len() <= 3, "{pointer}: {found:#?}");
    }
}

#[test]
fn all_mistakes_at_once_with_where_and_what_to_do() {
    let mut object = with(&deployment(), "/spec/replcas", json!(1));
    object = with(&object, "/spec/template/spec/containers/0/imagePullPolicy", json!("always"));
    object = with(&object, "/spec/template/spec/containers/0/env/0/value", json!(1));
    let found = check(&desired(&[object]));
    assert_eq!(found.len(), 3);
    let first = &found[0];
    assert_eq!(first.summary, "spec.replcas: unknown field");
    assert_eq!(first.hint.as_deref(), Some("did you mean `replicas`?"));
    assert_eq!(first.address.as_ref().map(Address::as_str), Some("manifests.app/Deployment.apps/default/web"));
    assert!(first.detail.starts_with("in app.yaml, checked against Kubernetes v1."), "{}", first.detail);
    let hints = found.iter().filter_map(|one| one.hint.as_deref()).collect::<Vec<_>>();
    assert_eq!(hints, ["did you mean `replicas`?", "put the value in quotes", "did you mean `Always`?"]);
}

#[test]
fn findings_are_capped_but_none_is_lost_from_the_count() {
    let mut object = deployment();
    for at in 0..15 {
        object = with(&object, &format!("/spec/unknown{at}"), json!(1));
    }
    let found = check(&desired(&[object]));
    assert_eq!(found.len(), OF_ONE_AND_THE_REST);
    assert_eq!(found.last().map(|last| last.summary.as_str()), Some("5 more mistakes in objects of the stack"));
}

const OF_ONE_AND_THE_REST: usize = 11;

#[test]
fn what_is_known_later_fits_everywhere_and_secrets_are_not_quoted() {
    let later = |parts: Vec<Part>| Value::from(Template { parts, ..Template::secret("token") }).to_json();
    let later = later(vec![Part::Secret("token".into())]);
    for pointer in [
        "/spec/replicas",
        "/spec/selector",
        "/spec/selector/matchLabels/app",
        "/spec/template/metadata/labels",
        "/spec/template/spec",
        "/spec/template/spec/volumes",
        "/spec/template/spec/volumes/0",
        "/spec/template/spec/volumes/0/name",
        "/spec/template/spec/containers/0/image",
        "/spec/template/spec/containers/0/imagePullPolicy",
        "/spec/template/spec/containers/0/ports/0/containerPort",
        "/spec/template/spec/containers/0/env",
        "/spec/template/spec/containers/0/env/0/value",
        "/spec/template/spec/containers/0/resources/limits/memory",
        "/spec/template/spec/containers/0/resources/limits",
        "/metadata/labels/app",
    ] {
        let found = summaries(&[with(&deployment(), pointer, later.clone())]);
        assert!(found.is_empty(), "{pointer}: {found:#?}");
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"},
        "data": {"a": "hunter2 is not base64", "b": later}, "stringData": {"c/d": "swordfish", "e": 5}, "typ": "Opaque",
    });
    let found = check(&desired(&[secret]));
    let told = format!("{found:?}");
    assert!(found.len() >= 4, "{told}");
    assert!(!told.contains("hunter2") && !told.contains("swordfish"), "{told}");
}

#[test]
fn rules_of_other_kinds() {
    let object = |api_version: &str, kind: &str, rest: Json| {
        let mut object =
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}});
        object.as_object_mut().expect("a map").extend(rest.as_object().expect("a map").clone());
        object
    };
    let wide = |api_version: &str, kind: &str, rest: Json| {
        let mut object = object(api_version, kind, rest);
        object["metadata"].as_object_mut().expect("a map").shift_remove("namespace");
        object
    };
    let rbac = "rbac.authorization.k8s.io/v1";
    let admission = "admissionregistration.k8s.io/v1";
    let hook = |change: Json| {
        let mut hook = json!({
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "s", "namespace": "n"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        });
        hook.as_object_mut().expect("a map").extend(change.as_object().expect("a map").clone());
        wide(admission, "ValidatingWebhookConfiguration", json!({"webhooks": [hook]}))
    };
    for (object, path) in [
        (object("v1", "Service", json!({"spec": {"selector": {"a": "b"}}})), "spec.ports"),
        (object("v1", "Service", json!({"spec": {"ports": [{"port": 1}, {"port": 2}]}})), "spec.ports[0].name"),
        (object("v1", "Service", json!({"spec": {"ports": [{"port": 70000}]}})), "spec.ports[0].port"),
        (object("v1", "Service", json!({"spec": {"type": "Loadbalancer", "ports": [{"port": 1}]}})), "spec.type"),
        (object("v1", "ConfigMap", json!({"data": {"a/b": "x"}})), "data[a/b]"),
        (object("v1", "ConfigMap", json!({"data": {"a": 1}})), "data.a"),
        (object("v1", "Secret", json!({"type": "kubernetes.io/tls", "data": {}})), "data[tls.crt]"),
        (object("v1", "PersistentVolumeClaim", json!({"spec": {"accessModes": ["ReadWriteAll"]}})), "accessModes[0]"),
        (
            object(
                "batch/v1",
                "CronJob",
                json!({"spec": {"schedule": "61 * * * *", "jobTemplate": {"spec": {"template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}}}}}}),
            ),
            "spec.schedule",
        ),
        (
            object(
                "batch/v1",
                "Job",
                json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}),
            ),
            "spec.template.spec.restartPolicy",
        ),
        (object("policy/v1", "PodDisruptionBudget", json!({"spec": {"minAvailable": 1, "maxUnavailable": 1}})), "spec"),
        (
            object(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"spec": {"minReplicas": 5, "maxReplicas": 2,
            "scaleTargetRef": {"kind": "Deployment", "name": "x"}}}),
            ),
            "spec.maxReplicas",
        ),
        (
            object(
                "networking.k8s.io/v1",
                "Ingress",
                json!({"spec": {"rules": [{"http": {"paths": [{"path": "x",
            "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 1}}}}]}}]}}),
            ),
            "paths[0].path",
        ),
        (
            object(
                "networking.k8s.io/v1",
                "NetworkPolicy",
                json!({"spec": {"podSelector": {}, "ingress": [{"from": [{}]}]}}),
            ),
            "spec.ingress[0].from[0]",
        ),
        (object(rbac, "Role", json!({"rules": [{"apiGroups": [""], "resources": ["pods"]}]})), "rules[0].verbs"),
        (
            object(
                rbac,
                "RoleBinding",
                json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Rol", "name": "x"}}),
            ),
            "roleRef.kind",
        ),
        (
            wide(
                rbac,
                "ClusterRoleBinding",
                json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "x"}, "subjects": [{"kind": "ServiceAccount", "name": "x"}]}),
            ),
            "subjects[0].namespace",
        ),
        (hook(json!({"sideEffects": "Unknown"})), "webhooks[0].sideEffects"),
        (hook(json!({"timeoutSeconds": 60})), "webhooks[0].timeoutSeconds"),
        (hook(json!({"failurePolicy": "Fails"})), "webhooks[0].failurePolicy"),
        (hook(json!({"name": "short"})), "webhooks[0].name"),
        (wide("scheduling.k8s.io/v1", "PriorityClass", json!({"value": 2_000_000_001})), "value"),
        (wide("v1", "Namespace", json!({"spec": {"finalizer": []}})), "spec.finalizer"),
    ] {
        let found = summaries(std::slice::from_ref(&object));
        assert!(found.iter().any(|summary| summary.contains(path)), "{path} in {found:#?} of {object}");
    }
    for good in [hook(json!({})), object("v1", "Service", json!({"spec": {"clusterIP": "None"}}))] {
        assert_eq!(summaries(&[good]), Vec::<String>::new());
    }
    let lost = check(&desired(&[object(rbac, "ClusterRole", json!({}))]));
    assert_eq!(lost.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Warning]);
}

#[test]
fn kinds_that_nobody_defines() {
    let of = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}});
    let told = |object: Json, own: bool| {
        let mut desired = desired(&[object]);
        desired.resources[0].connection = own.then(|| Address::new("cluster"));
        check(&desired).into_iter().map(|one| (one.severity, one.hint.unwrap_or_default())).collect::<Vec<_>>()
    };
    let hint = |api_version: &str, kind: &str| {
        let found = told(of(api_version, kind), true);
        assert_eq!(found.len(), 1, "{kind}");
        assert_eq!(found[0].0, Severity::Error, "{kind}");
        found[0].1.clone()
    };
    assert_eq!(hint("cert-manager.io/v1", "Certificate"), "add [addons.cert-manager], which defines it");
    assert_eq!(hint("networking.istio.io/v1", "Sidecar"), "add [addons.istio], which defines it");
    assert!(hint("example.com/v1", "Widget").starts_with("add its CustomResourceDefinition"));
    assert!(hint("v1", "Deployment").ends_with("serves Deployment as apps/v1"));
    assert!(hint("extensions/v1beta1", "Ingress").ends_with("serves Ingress as networking.k8s.io/v1"));
    assert_eq!(hint("apps/v1", "Deploymnet"), "did you mean Deployment?");
    assert_eq!(told(of("example.com/v1", "Widget"), false)[0].0, Severity::Warning);
    assert_eq!(told(of("monitoring.googleapis.com/v1", "PodMonitoring"), true), []);
}

/// The real definitions, where they are at hand; read once.
static REAL: LazyLock<Vec<Json>> = LazyLock::new(|| {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = ["../shared/crds", "../../shared/crds"].iter().map(|path| root.join(path)).find(|path| path.is_dir());
    let mut found = Vec::new();
    let names = [
        "cert-manager",
        "gateway-api",
        "gpu-operator",
        "inference-extension",
        "istio",
        "kserve-llmisvc",
        "lws",
        "sail-operator",
    ];
    for name in names {
        let text = folder.as_ref().and_then(|folder| std::fs::read_to_string(folder.join(format!("{name}.yaml"))).ok());
        let Some(text) = text else { return Vec::new() };
        let options = serde_saphyr::options! { budget: None };
        let documents: Vec<Json> = serde_saphyr::from_multiple_with_options(&text, options).expect("YAML");
        found.extend(documents.into_iter().filter(|document| document["kind"] == "CustomResourceDefinition"));
    }
    found
});

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn real() -> Option<&'static [Json]> {
    if REAL.is_empty() {
        eprintln!("skipped: no shared/crds");
        return None;
    }
    Some(&REAL)
}

#[test]
fn the_real_definitions_are_clean_themselves() {
    let Some(definitions) = real() else { return };
    let mut seen = std::collections::BTreeSet::new();
    let once =
        definitions.iter().filter(|d| seen.insert(d["metadata"]["name"].to_string())).cloned().collect::<Vec<_>>();
    assert!(once.len() > 50);
    assert_eq!(summaries(&once), Vec::<String>::new());
}

/// The definition of that name, as a stack would have it.
fn definition(name: &str) -> Option<Json> {
    let found = real()?.iter().find(|definition| definition["metadata"]["name"] == name);
    Some(found.unwrap_or_else(|| panic!("no {name}")).clone())
}

/// Each: the definition, a good object, and mistakes: where, what, the path and words that are told.
#[test]
fn mistakes_of_every_class_in_custom_objects() {
    let meta = json!({"name": "x", "namespace": "default"});
    let wide = json!({"name": "x"});
    type Planted = (&'static str, Json, &'static str, &'static str);
    let cases: Vec<(&str, Json, Vec<Planted>)> = vec![
        (
            "llminferenceservices.serving.kserve.io",
            json!({"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService", "metadata": meta, "spec": {
                "model": {"uri": "hf://Qwen/Qwen2.5-3B-Instruct", "name": "q"}, "replicas": 1,
                "router": {"route": {}, "gateway": {}, "scheduler": {}},
                "template": {"containers": [{"name": "main", "image": "vllm", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]},
            }}),
            vec![
                ("/spec/modell", json!({}), "spec.modell", "unknown field"),
                ("/spec/template/container", json!([]), "spec.template.container", "unknown field"),
                ("/spec/model/uri", Json::Null, "spec.model.uri", "required"),
                ("/spec/replicas", json!("one"), "spec.replicas", "type integer"),
                ("/spec/template/containers/0/name", Json::Null, "spec.template.containers[0].name", "required"),
                ("/spec/template/containers/1", json!({"name": "main"}), "spec.template.containers[1]", "duplicate"),
                (
                    "/spec/template/containers/0/resources/limits/memory",
                    json!("lots"),
                    "resources.limits.memory",
                    "should match",
                ),
                ("/spec/template/containers/0/env", json!([{"value": "x"}]), "env[0].name", "required"),
                ("/apiVersion", json!("serving.kserve.io/v1"), "no matches for kind", "serving.kserve.io/v1"),
                ("/metadata/namespace", Json::Null, "metadata.namespace", "required"),
            ],
        ),
        (
            "gateways.gateway.networking.k8s.io",
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": meta, "spec": {
                "gatewayClassName": "istio",
                "listeners": [{"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"mode": "Terminate",
                    "certificateRefs": [{"name": "tls"}]}, "allowedRoutes": {"namespaces": {"from": "All"}}}],
            }}),
            vec![
                ("/spec/gatewayClassName", Json::Null, "spec.gatewayClassName", "required"),
                ("/spec/listeners/0/port", json!(70000), "spec.listeners[0].port", "less than or equal to 65535"),
                ("/spec/listeners/0/port", json!("443"), "spec.listeners[0].port", "type integer"),
                ("/spec/listeners/0/tls/mode", json!("Terminated"), "spec.listeners[0].tls.mode", "unsupported"),
                ("/spec/listeners/0/protocol", json!("HT TP"), "spec.listeners[0].protocol", "should match"),
                (
                    "/spec/listeners/0/allowedRoutes/namespaces/from",
                    json!("Everywhere"),
                    "namespaces.from",
                    "unsupported",
                ),
                ("/spec/listeners/0/hostname", json!("*"), "spec.listeners[0].hostname", "should match"),
                ("/spec/listeners", json!([]), "spec.listeners", "at least 1 items"),
                ("/spec/listeners/0/protocol", json!("HTTP"), "spec.listeners", "tls must not be specified"),
                (
                    "/spec/listeners/1",
                    json!({"name": "https", "port": 444, "protocol": "TCP"}),
                    "spec.listeners[1]",
                    "duplicate",
                ),
            ],
        ),
        (
            "httproutes.gateway.networking.k8s.io",
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": meta, "spec": {
                "parentRefs": [{"name": "gateway"}],
                "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}], "backendRefs": [{"name": "s", "port": 80}]}],
            }}),
            vec![
                ("/spec/rules/0/matches/0/path/type", json!("Prefix"), "matches[0].path.type", "unsupported"),
                (
                    "/spec/rules/0/backendRefs/0/weight",
                    json!(-1),
                    "backendRefs[0].weight",
                    "greater than or equal to 0",
                ),
                ("/spec/rules/0/matches/0/path/value", json!("v1"), "matches[0].path", "must be an absolute path"),
                ("/spec/rules/0/backendRef", json!([]), "spec.rules[0].backendRef", "unknown field"),
                ("/spec/hostnames", json!(["a b"]), "spec.hostnames[0]", "should match"),
                ("/spec/rules/0/backendRefs/0/port", Json::Null, "backendRefs[0]", "Must have port for Service"),
            ],
        ),
        (
            "certificates.cert-manager.io",
            json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": meta, "spec": {
                "secretName": "tls", "dnsNames": ["a.example.com"], "issuerRef": {"name": "ca", "kind": "ClusterIssuer"},
                "privateKey": {"algorithm": "ECDSA", "size": 256},
            }}),
            vec![
                ("/spec/secretName", Json::Null, "spec.secretName", "required"),
                ("/spec/privateKey/algorithm", json!("ECDSA256"), "spec.privateKey.algorithm", "unsupported"),
                ("/spec/dnsNames", json!("a.example.com"), "spec.dnsNames", "type array"),
                ("/spec/issuer", json!({}), "spec.issuer", "unknown field"),
                ("/spec/usages", json!(["server-auth"]), "spec.usages[0]", "unsupported"),
                ("/spec/isCA", json!("true"), "spec.isCA", "type boolean"),
            ],
        ),
        (
            "istios.sailoperator.io",
            json!({"apiVersion": "sailoperator.io/v1", "kind": "Istio", "metadata": wide, "spec": {
                "version": "v1.26-latest", "namespace": "istio-system", "values": {"pilot": {"env": {"A": "true"}}},
            }}),
            vec![
                ("/spec/version", json!("v0.1"), "spec.version", "unsupported"),
                ("/spec/values/pilots", json!({}), "spec.values.pilots", "unknown field"),
                ("/spec/updateStrategy", json!({"type": "Rolling"}), "spec.updateStrategy.type", "unsupported"),
                ("/metadata/namespace", json!("istio-system"), "metadata.namespace", "outside of namespaces"),
            ],
        ),
        (
            "clusterpolicies.nvidia.com",
            json!({"apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy", "metadata": wide, "spec": {
                "daemonsets": {}, "operator": {"defaultRuntime": "containerd"}, "driver": {"enabled": false}, "toolkit": {}, "devicePlugin": {},
                "dcgm": {}, "dcgmExporter": {}, "nodeStatusExporter": {}, "gfd": {},
            }}),
            vec![
                ("/spec/driver/enabled", json!("no"), "spec.driver.enabled", "type boolean"),
                ("/spec/daemonsets/updateStrategy", json!("Recreate"), "spec.daemonsets.updateStrategy", "unsupported"),
                ("/spec/gfd", Json::Null, "spec.gfd", "required"),
                ("/spec/drivers", json!({}), "spec.drivers", "unknown field"),
                ("/spec/driver/imagePullPolicy", json!(1), "spec.driver.imagePullPolicy", "type string"),
            ],
        ),
        (
            "leaderworkersets.leaderworkerset.x-k8s.io",
            json!({"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": meta, "spec": {
                "replicas": 1, "leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": {"containers": [{"name": "w", "image": "i"}]}}},
            }}),
            vec![
                ("/spec/leaderWorkerTemplate/workerTemplate", Json::Null, "workerTemplate", "required"),
                ("/spec/leaderWorkerTemplate/size", json!("two"), "leaderWorkerTemplate.size", "type integer"),
                ("/spec/startupPolicy", json!("LeaderFirst"), "spec.startupPolicy", "unsupported"),
                ("/spec/leaderWorkerTemplate/restartPolicy", json!("Always"), "restartPolicy", "unsupported"),
                (
                    "/spec/leaderWorkerTemplate/workerTemplate/spec/container",
                    json!([]),
                    "spec.container",
                    "unknown field",
                ),
                (
                    "/spec/leaderWorkerTemplate/workerTemplate/spec/containers/0/ports",
                    json!([{"containerPort": 80.5}]),
                    "ports[0].containerPort",
                    "type integer",
                ),
            ],
        ),
    ];
    for (name, good, planted) in cases {
        let Some(definition) = definition(name) else { return };
        assert_eq!(summaries(&[definition.clone(), good.clone()]), Vec::<String>::new(), "{name}");
        for (pointer, value, path, words) in planted {
            let found = summaries(&[definition.clone(), with(&good, pointer, value.clone())]);
            assert!(
                found.iter().any(|summary| summary.contains(path) && summary.contains(words)),
                "{name} {pointer} = {value}: {path} {words} in {found:#?}"
            );
            assert!(found.len() <= 3, "{name} {pointer}: {found:#?}");
        }
    }
}

/// Any JSON, a few levels deep, with the words that schemas are made of.
fn any_json() -> impl Strategy<Value = Json> {
    let word = prop_oneof![
        "[a-z]{0,4}",
        Just("object".to_owned()),
        Just("array".to_owned()),
        Just("string".to_owned()),
        Just("map".to_owned()),
        Just("self.all(x, x.a == 'b')".to_owned()),
        Just("^(a+)+$".to_owned()),
        Just("$deferred".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        word.prop_map(Json::from),
    ];
    let key = prop_oneof![
        Just("type"),
        Just("properties"),
        Just("items"),
        Just("required"),
        Just("default"),
        Just("additionalProperties"),
        Just("x-kubernetes-list-type"),
        Just("x-kubernetes-list-map-keys"),
        Just("x-kubernetes-int-or-string"),
        Just("x-kubernetes-validations"),
        Just("x-kubernetes-embedded-resource"),
        Just("rule"),
        Just("anyOf"),
        Just("pattern"),
        Just("a"),
        Just("name"),
        Just("metadata"),
        Just("$deferred"),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            proptest::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn nothing_panics_whatever_stands_where(schema in any_json(), value in any_json(), at in 0_usize..40, kind in 0_usize..200) {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}, "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
        });
        let custom = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": value, "a": value, "name": value});
        let kinds = builtin::kinds().collect::<Vec<_>>();
        let (group, version, kind) = kinds[kind % kinds.len()];
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let other = json!({"apiVersion": api_version, "kind": kind, "metadata": value, "spec": value, "rules": value, "webhooks": value,
            "data": value, "subjects": value, "roleRef": value});
        // One value of a good Deployment, replaced.
        let mut planted = deployment();
        let mut pointers = Vec::new();
        let mut queue = vec![(String::new(), planted.clone())];
        while let Some((path, below)) = queue.pop() {
            match &below {
                Json::Object(map) => queue.extend(map.iter().map(|(key, value)| (format!("{path}/{}", key.replace('/', "~1")), value.clone()))),
                Json::Array(items) => queue.extend(items.iter().enumerate().map(|(at, value)| (format!("{path}/{at}"), value.clone()))),
                _ => {}
            }
            pointers.push(path);
        }
        let pointer = pointers[at % pointers.len()].clone();
        if let Some(place) = planted.pointer_mut(&pointer) {
            *place = value;
        }
        check(&desired(&[definition, custom, other, planted]));
    }
}

#[test]
fn mistakes_in_definitions() {
    let good = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}, "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}},
        ]},
    });
    assert_eq!(summaries(std::slice::from_ref(&good)), Vec::<String>::new());
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    for (pointer, value, words) in [
        ("/metadata/name", json!("widget.example.com"), "metadata.name"),
        ("/spec/scope", json!("Global"), "spec.scope"),
        ("/spec/names/kind", Json::Null, "spec.names.kind"),
        ("/spec/versions/0/storage", json!(false), "storage version"),
        ("/spec/versions/0/schema", Json::Null, "openAPIV3Schema"),
        (&format!("{schema}/type"), json!("array"), "must be object at the root"),
        (&format!("{schema}/propertys"), json!({}), "unknown field"),
        (&format!("{schema}/properties/spec/type"), Json::Null, "must not be empty for specified object fields"),
        (&format!("{schema}/properties/spec/properties/size/type"), json!("int"), "unsupported value"),
    ] {
        let found = summaries(&[with(&good, pointer, value)]);
        assert!(found.iter().any(|summary| summary.contains(words)), "{pointer}: {words} in {found:#?}");
    }
}
