//! Each rule of the inference, and what keeps it from making circles.

use serde_json::json;

use super::*;
use crate::resource::hook::OBJECT;
use crate::resource::model::Need;

fn object(manifest: serde_json::Value) -> Resource {
    let kind = manifest["kind"].as_str().expect("kind");
    let group = manifest["apiVersion"].as_str().expect("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let key = crate::address::ObjectKey {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: manifest["metadata"]["namespace"].as_str().map(str::to_owned),
        name: manifest["metadata"]["name"].as_str().expect("name").to_owned(),
    };
    Resource {
        address: Address::object("manifests.m", &key),
        kind: OBJECT,
        attrs: Value::from_json(&manifest).into(),
        needs: Vec::new(),
        connection: None,
        ceded: Vec::new(),
        timeout: std::time::Duration::ZERO,
        estimate: std::time::Duration::ZERO,
        origin: None,
    }
}

/// `A > B` for each edge, without component, kind group and reason.
fn edges(manifests: Vec<serde_json::Value>) -> Vec<String> {
    let resources = manifests.into_iter().map(object).collect::<Vec<_>>();
    shown(&infer(&resources))
}

fn shown(inferred: &Inferred) -> Vec<String> {
    let short = |address: &Address| {
        let key = address.object_key().expect("an object");
        let (kind, rest) = key.split_once('/').unwrap_or((key, ""));
        format!("{}/{rest}", kind.split('.').next().expect("kind")).trim_end_matches('/').to_owned()
    };
    let mut lines = inferred
        .edges
        .iter()
        .map(|e| format!("{} > {}", short(&e.dependent), short(&e.dependency)))
        .collect::<Vec<_>>();
    lines.sort();
    lines.dedup();
    lines
}

fn core(kind: &str, namespace: Option<&str>, name: &str) -> serde_json::Value {
    let mut manifest = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    if let Some(namespace) = namespace {
        manifest["metadata"]["namespace"] = json!(namespace);
    }
    manifest
}

fn deployment(namespace: &str, name: &str, spec: serde_json::Value) -> serde_json::Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": spec}}})
}

fn crd(group: &str, kind: &str, plural: &str) -> serde_json::Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "names": {"kind": kind, "plural": plural}}})
}

fn webhook(kind: &str, name: &str, service: (&str, &str), group: &str, resources: &str) -> serde_json::Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": [{
        "name": name, "clientConfig": {"service": {"namespace": service.0, "name": service.1}},
        "rules": [{"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE"], "resources": [resources]}]}]})
}

fn service(namespace: &str, name: &str, app: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": app}}})
}

#[test]
fn namespaced_objects_need_their_namespace() {
    let found =
        edges(vec![core("Namespace", None, "a"), core("ConfigMap", Some("a"), "c"), core("ConfigMap", Some("b"), "c")]);
    assert_eq!(found, ["ConfigMap/a/c > Namespace/a"]);
}

#[test]
fn pods_need_what_they_mount_and_run_as() {
    let spec = json!({
        "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}], "priorityClassName": "system-node-critical",
        "runtimeClassName": "nvidia",
        "volumes": [
            {"name": "a", "configMap": {"name": "mounted"}}, {"name": "b", "persistentVolumeClaim": {"claimName": "disk"}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "projected"}}]}},
            {"name": "d", "secret": {"secretName": "issued-tls"}}],
        "initContainers": [{"name": "i", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "token", "key": "k"}}}]}],
        "containers": [{"name": "m", "envFrom": [{"configMapRef": {"name": "env"}}]}]});
    let quota = |name: &str, class: &str| {
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "namespace": "n"}, "spec": {
            "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": [class]}]}}})
    };
    let n = Some("n");
    let found = edges(vec![
        deployment("n", "d", spec),
        core("ServiceAccount", n, "sa"),
        core("Secret", n, "pull"),
        core("ConfigMap", n, "mounted"),
        core("PersistentVolumeClaim", n, "disk"),
        core("Secret", n, "projected"),
        core("Secret", n, "token"),
        core("ConfigMap", n, "env"),
        core("ConfigMap", n, "unrelated"),
        quota("yes", "system-node-critical"),
        quota("no", "high"),
        json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}}),
        json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "cert", "namespace": "n"},
            "spec": {"secretName": "issued-tls"}}),
    ]);
    let expected = [
        "Certificate/n/cert",
        "ConfigMap/n/env",
        "ConfigMap/n/mounted",
        "PersistentVolumeClaim/n/disk",
        "ResourceQuota/n/yes",
        "RuntimeClass/nvidia",
        "Secret/n/projected",
        "Secret/n/pull",
        "Secret/n/token",
        "ServiceAccount/n/sa",
    ];
    assert_eq!(found, expected.map(|to| format!("Deployment/n/d > {to}")));
}

#[test]
fn accounts_need_their_secrets_and_bindings_their_role_and_subjects() {
    let rbac = |kind: &str, rest: serde_json::Value| {
        let mut manifest =
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "r"}});
        manifest.as_object_mut().expect("a map").extend(rest.as_object().expect("a map").clone());
        manifest
    };
    let mut account = core("ServiceAccount", Some("n"), "sa");
    account["imagePullSecrets"] = json!([{"name": "pull"}]);
    let found = edges(vec![
        account,
        core("Secret", Some("n"), "pull"),
        rbac("ClusterRole", json!({"rules": []})),
        rbac(
            "ClusterRoleBinding",
            json!({"roleRef": {"kind": "ClusterRole", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": "n"}]}),
        ),
        deployment("n", "d", json!({"serviceAccountName": "sa"})),
    ]);
    assert_eq!(
        found,
        [
            "ClusterRoleBinding/r > ClusterRole/r",
            "ClusterRoleBinding/r > ServiceAccount/n/sa",
            "Deployment/n/d > ClusterRoleBinding/r",
            "Deployment/n/d > ServiceAccount/n/sa",
            "ServiceAccount/n/sa > Secret/n/pull",
        ]
    );
}

#[test]
fn custom_resources_need_definition_webhook_and_what_answers() {
    let found = edges(vec![
        crd("x.io", "Thing", "things"),
        webhook("ValidatingWebhookConfiguration", "w", ("n", "s"), "x.io", "things"),
        service("n", "s", "d"),
        deployment("n", "d", json!({})),
        deployment("n", "other", json!({})),
        json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "n"}}),
    ]);
    assert_eq!(
        found,
        [
            "Thing/n/t > CustomResourceDefinition/things.x.io",
            "Thing/n/t > ValidatingWebhookConfiguration/w",
            "ValidatingWebhookConfiguration/w > Deployment/n/d",
            "ValidatingWebhookConfiguration/w > Service/n/s",
        ]
    );
}

#[test]
fn whoever_may_write_the_status_or_finalizers_of_a_kind_is_its_controller() {
    let role = |resources: &str, verbs: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"},
            "rules": [{"apiGroups": ["x.io"], "resources": [resources], "verbs": [verbs]}]})
    };
    let stack = |role: serde_json::Value| {
        edges(vec![
            crd("x.io", "Thing", "things"),
            role,
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "b"},
                "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": "n"}]}),
            deployment("n", "d", json!({"serviceAccountName": "sa"})),
            json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}}),
            core("ConfigMap", Some("n"), "beside"),
            core("ConfigMap", Some("m"), "elsewhere"),
        ])
    };
    let edge = "Thing/t > Deployment/n/d".to_owned();
    assert!(stack(role("things/finalizers", "update")).contains(&edge));
    assert!(stack(role("things/status", "*")).contains(&edge));
    assert!(!stack(role("things/status", "get")).contains(&edge));
    assert!(!stack(role("things", "update")).contains(&edge));
    // It may be configured by what lies beside it, which nothing but its program says.
    let configured = |role| stack(role).into_iter().filter(|edge| edge.contains("> ConfigMap/")).collect::<Vec<_>>();
    assert_eq!(configured(role("things/status", "*")), ["Deployment/n/d > ConfigMap/n/beside"]);
    assert_eq!(configured(role("things", "update")), Vec::<String>::new());
}

#[test]
fn what_waits_for_a_controller_does_not_configure_it() {
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"},
        "rules": [{"apiGroups": ["x.io"], "resources": ["things/status"], "verbs": ["update"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": "n"}]});
    let controller = deployment("n", "d", json!({"serviceAccountName": "sa"}));
    let mut resources = [role, binding, controller, core("ConfigMap", Some("n"), "after")].map(object).to_vec();
    let on = resources[2].address.clone();
    resources[3].needs.push(Need { on, reason: "test".to_owned() });
    assert!(!shown(&infer(&resources)).iter().any(|edge| edge.contains("> ConfigMap/")));
}

#[test]
fn a_webhook_on_pods_concerns_workloads_in_selected_namespaces_but_never_itself() {
    let mut hook = webhook("MutatingWebhookConfiguration", "inject", ("sys", "s"), "", "pods");
    hook["webhooks"][0]["objectSelector"] =
        json!({"matchExpressions": [{"key": "inject", "operator": "NotIn", "values": ["false"]}]});
    let everywhere = hook.clone();
    hook["webhooks"][0]["namespaceSelector"] = json!({"matchLabels": {"injection": "enabled"}});
    let mut labelled = core("Namespace", None, "in");
    labelled["metadata"]["labels"] = json!({"injection": "enabled"});
    let rest = || {
        vec![
            service("sys", "s", "hook"),
            deployment("sys", "hook", json!({})),
            deployment("in", "d", json!({})),
            deployment("out", "d", json!({})),
        ]
    };
    let admitted = |hook: serde_json::Value| {
        let mut all = vec![hook, labelled.clone()];
        all.extend(rest());
        let found = edges(all);
        found.into_iter().filter(|e| e.ends_with("> MutatingWebhookConfiguration/inject")).collect::<Vec<_>>()
    };
    assert_eq!(admitted(hook), ["Deployment/in/d > MutatingWebhookConfiguration/inject"]);
    // Without a selector the webhook's own deployment would wait for itself.
    let all = [
        "Deployment/in/d > MutatingWebhookConfiguration/inject",
        "Deployment/out/d > MutatingWebhookConfiguration/inject",
    ];
    assert_eq!(admitted(everywhere), all);
}

#[test]
fn explicit_needs_count_when_a_webhook_would_wait_for_itself() {
    let mut resources = vec![
        object(webhook("ValidatingWebhookConfiguration", "w", ("n", "s"), "", "configmaps")),
        object(service("n", "s", "d")),
        object(deployment("n", "d", json!({}))),
        object(core("ConfigMap", Some("n"), "free")),
    ];
    let mut own = object(core("ConfigMap", Some("n"), "own"));
    own.address = Address::new("addons.a/ConfigMap/n/own");
    resources.push(own);
    resources[2].needs.push(Need { on: Address::new("addons.a"), reason: "test".to_owned() });
    let found = shown(&infer(&resources));
    assert!(found.contains(&"ConfigMap/n/free > ValidatingWebhookConfiguration/w".to_owned()), "{found:?}");
    assert!(!found.contains(&"ConfigMap/n/own > ValidatingWebhookConfiguration/w".to_owned()), "{found:?}");
}

#[test]
fn a_definition_waits_for_its_ca_and_its_objects_for_the_converter() {
    let mut definition = crd("x.io", "Thing", "things");
    definition["metadata"]["annotations"] = json!({"cert-manager.io/inject-ca-from": "n/cert"});
    definition["spec"]["conversion"] =
        json!({"webhook": {"clientConfig": {"service": {"namespace": "n", "name": "s"}}}});
    let found = edges(vec![
        definition,
        service("n", "s", "d"),
        deployment("n", "d", json!({})),
        json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "cert", "namespace": "n"}}),
        json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}}),
    ]);
    assert_eq!(
        found,
        [
            "CustomResourceDefinition/things.x.io > Certificate/n/cert",
            "Thing/t > CustomResourceDefinition/things.x.io",
            "Thing/t > Deployment/n/d",
            "Thing/t > Service/n/s",
        ]
    );
}

#[test]
fn gateways_routes_and_certificates_need_what_they_name() {
    let gw = |kind: &str, name: &str, spec: serde_json::Value| json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": "n"}, "spec": spec});
    let cert = |kind: &str, namespace: &str, name: &str, spec: serde_json::Value| json!({"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec});
    let found = edges(vec![
        gw(
            "Gateway",
            "g",
            json!({"gatewayClassName": "istio", "infrastructure": {"parametersRef": {"group": "", "kind": "ConfigMap", "name": "params"}},
            "listeners": [{"name": "https", "tls": {"certificateRefs": [{"name": "tls"}]}}]}),
        ),
        core("ConfigMap", Some("n"), "params"),
        gw(
            "HTTPRoute",
            "r",
            json!({"parentRefs": [{"name": "g", "namespace": "n"}], "rules": [{"backendRefs": [{"name": "svc", "port": 80}]}]}),
        ),
        core("Service", Some("n"), "svc"),
        cert(
            "Certificate",
            "n",
            "serving",
            json!({"secretName": "tls", "issuerRef": {"kind": "ClusterIssuer", "name": "ca"}}),
        ),
        json!({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": "ca"}, "spec": {"ca": {"secretName": "root"}}}),
        cert(
            "Certificate",
            "cert-manager",
            "root",
            json!({"secretName": "root", "issuerRef": {"kind": "Issuer", "name": "self"}}),
        ),
        cert("Issuer", "cert-manager", "self", json!({"selfSigned": {}})),
    ]);
    assert_eq!(
        found,
        [
            "Certificate/cert-manager/root > Issuer/cert-manager/self",
            "Certificate/n/serving > ClusterIssuer/ca",
            "ClusterIssuer/ca > Certificate/cert-manager/root",
            "Gateway/n/g > Certificate/n/serving",
            "Gateway/n/g > ConfigMap/n/params",
            "HTTPRoute/n/r > Gateway/n/g",
            "HTTPRoute/n/r > Service/n/svc",
        ]
    );
}

#[test]
fn many_objects_with_the_same_preconditions_share_a_barrier() {
    let mut manifests = vec![
        crd("x.io", "Thing", "things"),
        webhook("ValidatingWebhookConfiguration", "w", ("n", "s"), "x.io", "*"),
        webhook("MutatingWebhookConfiguration", "m", ("n", "s"), "x.io", "*"),
    ];
    manifests.extend(
        (0..1000).map(|n| json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": format!("t{n}")}})),
    );
    let inferred = infer(&manifests.into_iter().map(object).collect::<Vec<_>>());
    assert_eq!(inferred.barriers, [Address::new("barrier/Thing.x.io")]);
    assert_eq!(inferred.edges.len(), 1000 + 3);
    assert!(inferred.edges.iter().all(|e| !e.reason.is_empty()));
}

#[test]
fn plurals_of_built_in_kinds() {
    let plural = |kind: &str| {
        let resource = object(core(kind, None, "x"));
        Object::new(0, &resource).expect("an object").plural()
    };
    let kinds = ["Pod", "NetworkPolicy", "Ingress", "Endpoints", "StorageClass", "Gateway"];
    assert_eq!(kinds.map(plural), ["pods", "networkpolicies", "ingresses", "endpoints", "storageclasses", "gateways"]);
}

#[test]
fn the_rest_of_what_objects_name() {
    let of = |api: &str, kind: &str, namespace: Option<&str>, name: &str, rest: serde_json::Value| {
        let mut manifest = core(kind, namespace, name);
        manifest["apiVersion"] = json!(api);
        manifest.as_object_mut().expect("a map").extend(rest.as_object().expect("a map").clone());
        manifest
    };
    let n = Some("n");
    let found = edges(vec![
        of(
            "apps/v1",
            "StatefulSet",
            n,
            "set",
            json!({"spec": {"serviceName": "svc", "template": {"spec": {}},
            "volumeClaimTemplates": [{"spec": {"storageClassName": "fast"}}]}}),
        ),
        of(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            n,
            "hpa",
            json!({"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "set"}}}),
        ),
        of(
            "networking.k8s.io/v1",
            "Ingress",
            n,
            "ing",
            json!({"spec": {"ingressClassName": "c", "tls": [{"secretName": "tls"}],
            "rules": [{"http": {"paths": [{"backend": {"service": {"name": "svc"}}}]}}]}}),
        ),
        of("networking.k8s.io/v1", "IngressClass", None, "c", json!({})),
        core("Secret", n, "tls"),
        core("Service", n, "svc"),
        of("v1", "PersistentVolumeClaim", n, "pvc", json!({"spec": {"storageClassName": "fast"}})),
        of("storage.k8s.io/v1", "StorageClass", None, "fast", json!({})),
        of(
            "apiregistration.k8s.io/v1",
            "APIService",
            None,
            "v1.x",
            json!({"spec": {"service": {"namespace": "n", "name": "api"}}}),
        ),
        service("n", "api", "server"),
        deployment("n", "server", json!({})),
        of(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
            None,
            "b",
            json!({"spec": {"policyName": "p"}}),
        ),
        of("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", None, "p", json!({})),
        of(
            "batch/v1",
            "CronJob",
            n,
            "job",
            json!({"spec": {"jobTemplate": {"spec": {"template": {"spec":
            {"volumes": [{"secret": {"secretName": "tls"}}]}}}}}}),
        ),
        of(
            "gateway.networking.k8s.io/v1",
            "GatewayClass",
            None,
            "gc",
            json!({"spec": {"parametersRef": {"group": "", "kind": "Secret", "name": "tls", "namespace": "n"}}}),
        ),
        of("v1", "ConfigMap", n, "plain", json!({"data": {"name": "svc"}})),
    ]);
    assert_eq!(
        found,
        [
            "APIService/v1.x > Deployment/n/server",
            "APIService/v1.x > Service/n/api",
            "CronJob/n/job > Secret/n/tls",
            "GatewayClass/gc > Secret/n/tls",
            "HorizontalPodAutoscaler/n/hpa > StatefulSet/n/set",
            "Ingress/n/ing > IngressClass/c",
            "Ingress/n/ing > Secret/n/tls",
            "Ingress/n/ing > Service/n/svc",
            "PersistentVolumeClaim/n/pvc > StorageClass/fast",
            "StatefulSet/n/set > Service/n/svc",
            "StatefulSet/n/set > StorageClass/fast",
            "ValidatingAdmissionPolicyBinding/b > ValidatingAdmissionPolicy/p",
        ]
    );
}
