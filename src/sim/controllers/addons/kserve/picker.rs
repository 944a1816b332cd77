//! The endpoint picker of a service: what the controller makes for it, and the program itself.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::objects::{
    apps, child_name, condition, core, generation, list, merge_template, metadata, name, namespace, number, text,
};
use super::super::work::Work;
use super::workload::{PORT, labels};
use super::{MANAGER, Settings, router};
use crate::sim::controllers::Surroundings;
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::{Instance, Program, Start};
use crate::sim::kube::api::{Gvk, Status};

type States = Vec<(&'static str, Result<(), (&'static str, String)>)>;
const COMPONENT: &str = "llminferenceservice-router-scheduler";

/// The name of the picker's Deployment.
pub fn deployment_name(service: &Json) -> String {
    child_name(name(service), "-kserve-router-scheduler")
}

/// The name of the binding that lets the picker check tokens; it has no owner.
pub fn auth_binding(service: &Json) -> String {
    child_name(&format!("{}-{}", namespace(service), name(service)), "-epp-auth-rb")
}

/// Keeps picker and pools, and says how they stand.
pub async fn reconcile(
    work: &Work,
    service: &Json,
    spec: &Json,
    settings: &Settings,
    fresh: bool,
) -> (States, Option<Status>) {
    let failure = write(work, service, spec, fresh).await.err();
    let mut states: States = Vec::new();
    states.push(("InferencePoolReady", pool_state(work, service, spec, settings)));
    let picker = work.api.get(&apps("Deployment"), namespace(service), &deployment_name(service));
    let available = picker.as_ref().and_then(|d| number(d, "/status/availableReplicas")).unwrap_or(0);
    states.push((
        "SchedulerWorkloadReady",
        match (&failure, picker) {
            (Some(status), _) => Err(("SchedulerReconcileError", status.message().to_owned())),
            (None, _) if available > 0 => Ok(()),
            (None, Some(deployment)) => {
                let late =
                    condition(&deployment, "Progressing").is_some_and(|c| c["reason"] == "ProgressDeadlineExceeded");
                let reason = if late { "ProgressDeadlineExceeded" } else { "MinimumReplicasUnavailable" };
                Err((reason, "Deployment does not have minimum availability.".to_owned()))
            }
            (None, None) => Err(("Progressing", "Deployment is being created".to_owned())),
        },
    ));
    (states, failure)
}

fn pool_kinds() -> [Gvk; 2] {
    [
        Gvk::new("inference.networking.k8s.io", "v1", "InferencePool"),
        Gvk::new("inference.networking.x-k8s.io", "v1alpha2", "InferencePool"),
    ]
}

fn pool_state(work: &Work, service: &Json, spec: &Json, settings: &Settings) -> Result<(), (&'static str, String)> {
    let pool_name = child_name(name(service), "-inference-pool");
    let pools: Vec<_> =
        pool_kinds().iter().filter_map(|gvk| work.api.get(gvk, namespace(service), &pool_name)).collect();
    if pools.is_empty() {
        return Err(("InferencePoolFetchError", format!("InferencePool {pool_name} not found")));
    }
    let gateways = router::gateways(service, spec, settings);
    let accepted = |pool: &Json| {
        gateways.iter().all(|(home, gateway)| {
            list(pool, "/status/parents").iter().any(|parent| {
                text(parent, "/parentRef/name") == gateway
                    && matches!(text(parent, "/parentRef/namespace"), n if n == home || n.is_empty())
                    && list(parent, "/conditions").iter().any(|c| {
                        c["type"] == "Accepted"
                            && c["status"] == "True"
                            && number(c, "/observedGeneration").is_none_or(|g| g >= generation(pool))
                    })
            })
        })
    };
    if pools.iter().any(|pool| accepted(pool)) {
        return Ok(());
    }
    if pools.iter().all(|pool| list(pool, "/status/parents").is_empty()) {
        return Err(("WaitingForGateway", "no gateway has accepted the InferencePool yet".to_owned()));
    }
    Err(("InferencePoolNotReady", format!("InferencePool {pool_name} is not accepted by every gateway")))
}

async fn write(work: &Work, service: &Json, spec: &Json, fresh: bool) -> Result<(), Status> {
    let (home, own) = (namespace(service), name(service));
    let meta = |suffix: &str| metadata(home, &child_name(own, suffix), &labels(service, COMPONENT), Some(service));
    let account = child_name(own, "-epp-sa");
    let mut account_object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("-epp-sa")});
    let source = match text(spec, "/template/serviceAccountName") {
        "" => "default",
        given => given,
    };
    if let Some(source) = work.api.get(&core("ServiceAccount"), home, source) {
        for field in ["secrets", "imagePullSecrets"] {
            if let Some(value) = source.get(field) {
                account_object[field] = value.clone();
            }
        }
    }
    work.ensure(account_object).await?;
    let rules = json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["inference.networking.k8s.io", "inference.networking.x-k8s.io"],
         "resources": ["inferencepools", "inferenceobjectives", "inferencemodels"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
         "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    ]);
    let rbac = "rbac.authorization.k8s.io/v1";
    work.ensure(json!({"apiVersion": rbac, "kind": "Role", "metadata": meta("-epp-role"), "rules": rules})).await?;
    let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": home});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": child_name(own, "-epp-role")});
    let binding = json!({"apiVersion": rbac, "kind": "RoleBinding", "metadata": meta("-epp-rb"),
        "subjects": [subject.clone()], "roleRef": role});
    work.ensure(binding).await?;
    let auth = json!({"apiVersion": rbac, "kind": "ClusterRoleBinding",
        "metadata": metadata("", &auth_binding(service), &labels(service, COMPONENT), None), "subjects": [subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"}});
    work.ensure(auth).await?;

    let mut pod = spec.pointer("/router/scheduler/template").cloned().unwrap_or_else(|| json!({}));
    if list(&pod, "/containers").is_empty() {
        return Err(Status::failure(422, "Invalid", "the scheduler preset has no container"));
    }
    pod["serviceAccountName"] = json!(account);
    let mut selector = json!({});
    for (key, value) in labels(service, COMPONENT) {
        selector[key] = json!(value);
    }
    let mut pod_labels = selector.clone();
    merge_template(&mut pod_labels, spec.pointer("/router/scheduler/labels").unwrap_or(&json!({})));
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("-kserve-router-scheduler"),
        "spec": {"replicas": number(spec, "/router/scheduler/replicas").unwrap_or(1), "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector}, "template": {"metadata": {"labels": pod_labels}, "spec": pod}},
    });
    work.apply(MANAGER, deployment, fresh).await?;
    let ports: Vec<Json> = [("grpc-ext-proc", 9002), ("grpc-health", 9003), ("metrics", 9090), ("zmq", 5557)]
        .map(|(name, port)| json!({"name": name, "port": port, "targetPort": port, "protocol": "TCP"}))
        .into();
    let frontend = json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("-epp-service"),
        "spec": {"selector": selector, "ports": ports}});
    work.ensure(frontend).await?;

    let picker = child_name(own, "-epp-service");
    let chosen = json!({"app.kubernetes.io/name": own, "app.kubernetes.io/part-of": "llminferenceservice",
        "kserve.io/component": "workload"});
    let pools = [
        (
            &pool_kinds()[0],
            json!({"selector": {"matchLabels": chosen}, "targetPorts": [{"number": PORT}],
            "endpointPickerRef": {"group": "", "kind": "Service", "name": picker, "port": {"number": 9002},
                "failureMode": "FailOpen"}}),
        ),
        (
            &pool_kinds()[1],
            json!({"selector": chosen, "targetPortNumber": PORT,
            "extensionRef": {"group": "", "kind": "Service", "name": picker, "portNumber": 9002,
                "failureMode": "FailOpen"}}),
        ),
    ];
    for (gvk, pool) in pools {
        let old = gvk.version == "v1alpha2";
        if old && !work.api.serves(gvk) {
            continue;
        }
        let pool = json!({"apiVersion": gvk.api_version(), "kind": "InferencePool", "metadata": meta("-inference-pool"),
            "spec": pool});
        work.ensure(pool).await?;
    }
    Ok(())
}

/// The endpoint picker.
pub struct EndpointPicker;

impl Program for EndpointPicker {
    fn name(&self) -> &'static str {
        "endpoint-picker"
    }

    fn runs(&self, image: &Image) -> bool {
        image.base().contains("endpoint-picker") || image.base().contains("inference-scheduler")
    }

    fn start(&self, _: &Instance, _: &Surroundings) -> Start {
        Start::Serves(Duration::from_secs(5))
    }

    fn ready(&self, instance: &Instance, around: &Surroundings) -> Result<(), String> {
        // It serves once it has seen its pool.
        let pool = instance.argument("pool-name").unwrap_or_default();
        let home = instance.argument("pool-namespace").filter(|n| !n.is_empty()).unwrap_or(instance.namespace());
        let seen = pool_kinds().iter().any(|gvk| around.api.get(gvk, home, pool).is_some());
        if seen { Ok(()) } else { Err("rpc error: code = Unavailable desc = pool is not ready".to_owned()) }
    }
}

/// Whether a picker's build negotiates HTTP/2 on its TLS port; without that Envoy cannot call it.
pub fn negotiates_http2(image: &Image) -> bool {
    let mut parts = image.tag.trim_start_matches('v').split(['.', '-']).map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    match image.base() {
        "llm-d-inference-scheduler" => version >= (0, 7),
        "epp" => version >= (1, 4),
        _ => true,
    }
}
