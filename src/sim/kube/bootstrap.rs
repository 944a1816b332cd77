//! What every cluster has before anybody asks: namespaces, roles, priority classes, the API's own Service.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::api::Gvk;
use super::fields::{self, Stamp};
use super::server::ApiServer;
use super::{builtin, typed};

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// Writes what is missing; changes nothing that is there.
pub(crate) fn ensure(server: &Arc<ApiServer>) {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        put(server, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    put(
        server,
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": "34.118.224.1",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 443}],
            },
        }),
    );
    for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)] {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": critical(name),
        });
        put(server, class);
    }
    for (name, labels, rules) in roles() {
        let mut role = json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": meta(name), "rules": rules});
        for (key, value) in labels {
            role["metadata"]["labels"][key] = Json::from(value);
        }
        put(server, role);
    }
    for (name, below) in [("admin", "admin"), ("edit", "edit"), ("view", "view")] {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{below}");
        put(
            server,
            json!({
                "apiVersion": RBAC, "kind": "ClusterRole", "metadata": meta(name),
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}, "rules": [],
            }),
        );
    }
    for (name, subjects) in bindings() {
        let subjects: Vec<Json> = subjects
            .iter()
            .map(|group| json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group}))
            .collect();
        put(
            server,
            json!({
                "apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": meta(name), "subjects": subjects,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            }),
        );
    }
}

fn critical(name: &str) -> &'static str {
    if name == "system-node-critical" {
        "Used for system critical pods that must not be moved from their current node."
    } else {
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
    }
}

fn meta(name: &str) -> Json {
    json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Json {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

type Role = (&'static str, Vec<(&'static str, &'static str)>, Json);

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

fn roles() -> Vec<Role> {
    let view = json!([
        rule(
            &[""],
            &[
                "configmaps",
                "endpoints",
                "events",
                "limitranges",
                "namespaces",
                "namespaces/status",
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "pods",
                "pods/log",
                "pods/status",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
                "serviceaccounts",
                "services",
                "services/status",
            ],
            &READ
        ),
        rule(&["discovery.k8s.io"], &["endpointslices"], &READ),
        rule(
            &["apps"],
            &[
                "controllerrevisions",
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "statefulsets",
                "statefulsets/scale",
                "statefulsets/status",
            ],
            &READ
        ),
        rule(&["autoscaling"], &["horizontalpodautoscalers", "horizontalpodautoscalers/status"], &READ),
        rule(&["batch"], &["cronjobs", "cronjobs/status", "jobs", "jobs/status"], &READ),
        rule(&["policy"], &["poddisruptionbudgets", "poddisruptionbudgets/status"], &READ),
        rule(&["networking.k8s.io"], &["ingresses", "ingresses/status", "networkpolicies"], &READ),
    ]);
    let edit = json!([
        rule(
            &[""],
            &["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"],
            &READ
        ),
        rule(&[""], &["serviceaccounts"], &["impersonate"]),
        rule(
            &[""],
            &[
                "configmaps",
                "events",
                "persistentvolumeclaims",
                "pods",
                "pods/attach",
                "pods/eviction",
                "pods/exec",
                "pods/portforward",
                "pods/proxy",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ],
            &WRITE
        ),
        rule(&[""], &["serviceaccounts/token"], &["create"]),
        rule(
            &["apps"],
            &[
                "daemonsets",
                "deployments",
                "deployments/rollback",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ],
            &WRITE
        ),
        rule(&["autoscaling"], &["horizontalpodautoscalers"], &WRITE),
        rule(&["batch"], &["cronjobs", "jobs"], &WRITE),
        rule(&["policy"], &["poddisruptionbudgets"], &WRITE),
        rule(&["networking.k8s.io"], &["ingresses", "networkpolicies"], &WRITE),
        rule(
            &["coordination.k8s.io"],
            &["leases"],
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        ),
    ]);
    let admin = json!([
        rule(&["authorization.k8s.io"], &["localsubjectaccessreviews"], &["create"]),
        rule(
            &["rbac.authorization.k8s.io"],
            &["rolebindings", "roles"],
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        ),
    ]);
    let all = json!([
        rule(&["*"], &["*"], &["*"]),
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]);
    let delegator = json!([
        rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
        rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"]),
    ]);
    let basic = json!([
        rule(&["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], &["create"]),
        rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
    ]);
    let discovery = json!([{
        "nonResourceURLs": [
            "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
            "/version", "/version/",
        ],
        "verbs": ["get"],
    }]);
    let public = json!([{
        "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"],
    }]);
    let issuer = json!([{"nonResourceURLs": ["/.well-known", "/.well-known/*"], "verbs": ["get"]}]);
    let to = |to: &'static str| vec![(to, "true")];
    vec![
        ("cluster-admin", vec![], all),
        ("system:aggregate-to-view", to("rbac.authorization.k8s.io/aggregate-to-view"), view.clone()),
        (
            "system:aggregate-to-edit",
            vec![("rbac.authorization.k8s.io/aggregate-to-edit", "true")],
            join(&[&edit, &view]),
        ),
        (
            "system:aggregate-to-admin",
            to("rbac.authorization.k8s.io/aggregate-to-admin"),
            join(&[&admin, &edit, &view]),
        ),
        ("system:auth-delegator", vec![], delegator),
        ("system:basic-user", vec![], basic),
        ("system:discovery", vec![], discovery),
        ("system:public-info-viewer", vec![], public),
        ("system:service-account-issuer-discovery", vec![], issuer),
    ]
}

fn join(parts: &[&Json]) -> Json {
    parts.iter().flat_map(|part| part.as_array().into_iter().flatten().cloned()).collect()
}

fn bindings() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("cluster-admin", vec!["system:masters"]),
        ("system:basic-user", vec!["system:authenticated"]),
        ("system:discovery", vec!["system:authenticated"]),
        ("system:public-info-viewer", vec!["system:authenticated", "system:unauthenticated"]),
        ("system:service-account-issuer-discovery", vec!["system:authenticated"]),
    ]
}

/// Stores an object as the server's own, past admission: it cannot be refused.
fn put(server: &Arc<ApiServer>, mut object: Json) {
    let Some(gvk) = Gvk::of(&object) else { return };
    let registry = server.registry();
    let Some(resource) = registry.by_kind(&gvk) else { return };
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    let name = (text("namespace"), text("name"));
    if server.store.get(&resource.table(), &name).is_some() {
        return;
    }
    builtin::default(server, resource, &mut object);
    let stamp = Stamp::new(server, resource, "", "kube-apiserver");
    fields::update(server.schema(resource).as_deref(), None, &mut object, &stamp);
    let now = server.now();
    let uid = server.random.uuid();
    let meta = typed::metadata(&mut object);
    meta.insert("uid".to_owned(), Json::from(uid));
    meta.insert("creationTimestamp".to_owned(), Json::from(now));
    if builtin::prepare_create(server, resource, &mut object).is_ok() {
        typed::tidy(resource, &mut object);
        // Nobody else writes yet.
        server.store.put(&resource.storage_gvk(), &resource.table(), &name, None, object).ok();
    }
}
