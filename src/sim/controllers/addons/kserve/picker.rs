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
use crate::sim::serving::network;

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
    let plugins = plugins(work, spec, home)?;
    tailor(&mut pod, &plugins);
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

/// What the controller tells a picker of whose plugins a service says nothing.
const DEFAULT_PLUGINS: &str = r#"{"apiVersion":"inference.networking.x-k8s.io/v1alpha1","kind":"EndpointPickerConfig",
"plugins":[{"type":"queue-scorer"},{"type":"kv-cache-utilization-scorer"},{"type":"prefix-cache-scorer"},
{"type":"no-hit-lru-scorer"},{"type":"max-score-picker"}],"schedulingProfiles":[{"name":"default","plugins":[
{"pluginRef":"queue-scorer","weight":2},{"pluginRef":"kv-cache-utilization-scorer","weight":2},
{"pluginRef":"prefix-cache-scorer","weight":3},{"pluginRef":"no-hit-lru-scorer","weight":2},
{"pluginRef":"max-score-picker"}]}]}"#;

/// The text of a picker's plugins: the service's own, a ConfigMap's, or the default.
fn plugins(work: &Work, spec: &Json, home: &str) -> Result<String, Status> {
    if let Some(inline) = spec.pointer("/router/scheduler/config/inline").filter(|inline| !inline.is_null()) {
        return Ok(inline.to_string());
    }
    let Some(reference) = spec.pointer("/router/scheduler/config/ref").filter(|r| !r.is_null()) else {
        return Ok(DEFAULT_PLUGINS.to_owned());
    };
    let (map, key) = (text(reference, "/name"), text(reference, "/key"));
    let key = if key.is_empty() { "epp" } else { key };
    let missing = || Status::failure(404, "NotFound", format!("configmaps \"{map}\" has no key {key}"));
    let found = work.api.get(&core("ConfigMap"), home, map).ok_or_else(missing)?;
    found["data"].get(key).and_then(Json::as_str).map(str::to_owned).ok_or_else(missing)
}

/// Tells the picker its plugins, and takes away the tokenizer that none of them asks for.
fn tailor(pod: &mut Json, plugins: &str) {
    if !plugins.contains("precise-prefix-cache-scorer")
        && let Some(containers) = pod.get_mut("containers").and_then(Json::as_array_mut)
    {
        containers.retain(|container| container["name"] != "tokenizer");
    }
    let containers = pod.get_mut("containers").and_then(Json::as_array_mut).into_iter().flatten();
    for main in containers.filter(|container| container["name"] == "main") {
        let mut args = list(main, "/args").to_vec();
        args.extend([json!("--config-text"), json!(plugins)]);
        main["args"] = json!(args);
    }
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

    fn start(&self, instance: &Instance, _: &Surroundings) -> Start {
        match Plugins::of(instance) {
            Ok(_) => Start::Serves(Duration::from_secs(5)),
            Err(why) => Start::fails(Duration::from_secs(1), format!("failed to load the EPP configuration: {why}")),
        }
    }

    fn ready(&self, instance: &Instance, around: &Surroundings) -> Result<(), String> {
        // It reads its pool and the pods in it through the API server.
        if !network::reaches_outside(&*around.api, &instance.pod, 443) {
            return Err("rpc error: code = Unavailable desc = the API server is out of reach".to_owned());
        }
        // It serves once it has seen its pool.
        let pool = instance.argument("pool-name").unwrap_or_default();
        let home = instance.argument("pool-namespace").filter(|n| !n.is_empty()).unwrap_or(instance.namespace());
        let seen = pool_kinds().iter().any(|gvk| around.api.get(gvk, home, pool).is_some());
        if seen { Ok(()) } else { Err("rpc error: code = Unavailable desc = pool is not ready".to_owned()) }
    }
}

/// What a picker goes by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plugins {
    /// Scorers by type, with their weights.
    pub scorers: Vec<(String, f64)>,
    /// `max-score-picker` or another one.
    pub picker: String,
}

/// Scorers that a picker has.
const SCORERS: [&str; 7] = [
    "prefix-cache-scorer",
    "queue-scorer",
    "kv-cache-utilization-scorer",
    "running-requests-size-scorer",
    "load-aware-scorer",
    "lora-affinity-scorer",
    "no-hit-lru-scorer",
];
const PICKERS: [&str; 3] = ["max-score-picker", "random-picker", "weighted-random-picker"];

impl Plugins {
    /// Those of a running picker.
    ///
    /// # Errors
    /// What is wrong with its configuration.
    pub fn of(instance: &Instance) -> Result<Plugins, String> {
        let given = instance.argument("config-text").filter(|given| !given.is_empty()).unwrap_or(DEFAULT_PLUGINS);
        Self::parse(given)
    }

    fn parse(text_of: &str) -> Result<Plugins, String> {
        let config: Json = serde_saphyr::from_str(text_of).map_err(|error| error.to_string())?;
        if text(&config, "/kind") != "EndpointPickerConfig" {
            return Err(format!("no kind \"{}\" is registered", text(&config, "/kind")));
        }
        let mut types = std::collections::BTreeMap::new();
        for plugin in list(&config, "/plugins") {
            let kind = text(plugin, "/type");
            if !SCORERS.contains(&kind) && !PICKERS.contains(&kind) && !kind.ends_with("-handler") {
                return Err(format!("plugin type '{kind}' is not registered"));
            }
            let named = if text(plugin, "/name").is_empty() { kind } else { text(plugin, "/name") };
            types.insert(named.to_owned(), kind.to_owned());
        }
        let mut plugins = Plugins { scorers: Vec::new(), picker: PICKERS[0].to_owned() };
        for reference in list(&config, "/schedulingProfiles/0/plugins") {
            let named = text(reference, "/pluginRef");
            let kind = types.get(named).ok_or_else(|| format!("plugin '{named}' is not defined"))?;
            if SCORERS.contains(&kind.as_str()) {
                let weight = reference.get("weight").and_then(Json::as_f64).unwrap_or(1.0);
                plugins.scorers.push((kind.clone(), weight));
            } else if PICKERS.contains(&kind.as_str()) {
                plugins.picker = kind.clone();
            }
        }
        Ok(plugins)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_read_and_checked() {
        let default = Plugins::parse(DEFAULT_PLUGINS).expect("plugins");
        assert_eq!(default.scorers.len(), 4);
        assert_eq!(default.scorers[2], ("prefix-cache-scorer".to_owned(), 3.0));
        let one = "kind: EndpointPickerConfig\nplugins:\n- {type: random-picker, name: any}\n\
                   schedulingProfiles:\n- {name: default, plugins: [{pluginRef: any}]}\n";
        assert_eq!(Plugins::parse(one), Ok(Plugins { scorers: Vec::new(), picker: "random-picker".to_owned() }));
        assert!(Plugins::parse(&one.replace("type: random-picker", "type: chance")).is_err());
        assert!(Plugins::parse(&one.replace("pluginRef: any", "pluginRef: none")).is_err());
    }
}
