//! `[workloads]`: models served by vLLM as KServe's LLMInferenceServices.
//!
//! Here: what a workload is made of and what it waits for. `check` has its mistakes, `engine` vLLM's arguments,
//! `storage` where the model's files come from, `routing`, `tls` and `network` the way of a request to one of several
//! copies.

mod check;
mod engine;
mod monitoring;
mod network;
mod routing;
mod storage;
mod tls;

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::address::Address;
use crate::catalog::accelerators::{Accelerator, Family};
use crate::catalog::documents::set;
use crate::catalog::expansion::{Expansion, NewObject, field, mistake};
use crate::catalog::text::join;
use crate::catalog::{cluster, gateway, timing};
use crate::diag::Span;
use crate::resource::model::{Crowded, Proof};
use crate::stack::Spanned;
use crate::stack::model::{Distribution, Mtls, Routing, Workload};
use crate::value::{Map, Value};

/// The port of KServe's Service and of its presets.
const PORT: i64 = 8000;

/// What expanding one workload needs to know.
struct Plan<'a> {
    component: String,
    /// The LLMInferenceService's name.
    name: String,
    namespace: String,
    distribution: Distribution,
    row: &'static Accelerator,
    /// Accelerators of one node.
    per_node: i64,
    workload: &'a Workload,
}

impl Plan<'_> {
    /// Accelerators that one copy is spread over.
    fn parallel(&self) -> i64 {
        let given = self.workload.tensor_parallel.as_ref().map(|count| count.get());
        given.unwrap_or(if self.row.family == Family::Tpu { self.row.per_node } else { 1 })
    }

    /// Accelerators of one copy: all chips of a TPU host, as many GPUs as the model is spread over.
    fn accelerators(&self) -> i64 {
        match self.row.family {
            Family::Tpu => self.row.per_node,
            Family::Gpu => self.parallel(),
        }
    }

    /// The longest context that vLLM is told, in tokens; none where it is the model's own.
    fn context(&self) -> Option<i64> {
        let given = self.workload.max_model_len.as_ref().map(|length| length.get());
        let model = check::shape(self.workload).and_then(|shape| i64::try_from(shape.context).ok());
        given.or(self.row.serving.max_model_len.map(|length| length.min(model.unwrap_or(length))))
    }

    /// Requests at once.
    fn sequences(&self) -> i64 {
        self.workload.max_num_seqs.as_ref().map_or(128, |count| count.get())
    }

    /// Where the stack says what it runs on.
    fn place(&self) -> &Span {
        let named = self.workload.node_pool.as_ref().or(self.workload.accelerator.as_ref());
        named.map_or(&self.workload.span, |name| &name.span)
    }
}

pub(super) fn expand(expansion: &mut Expansion<'_>) {
    let mut plans = Vec::new();
    for (id, workload) in &expansion.stack.workloads {
        let Some(row) = accelerator(expansion, workload) else { continue };
        let kserve = expansion.distribution("kserve");
        let distribution = workload.distribution.as_ref().map_or(kserve, |distribution| distribution.value);
        let namespace = match (&workload.namespace, distribution) {
            (Some(namespace), _) => namespace.to_string(),
            (None, Distribution::Rhaii) => "rhaii-inference".to_owned(),
            (None, Distribution::Upstream) => "inference".to_owned(),
        };
        let component = format!("workloads.{id}");
        let per_node = per_node(expansion, workload, row);
        let plan = Plan { component, name: format!("{id}-svc"), namespace, distribution, row, per_node, workload };
        check::one(expansion, &plan);
        plans.push(plan);
    }
    check::all(expansion, &plans);
    for plan in &plans {
        let service = add(expansion, plan);
        if check::is_crowded(expansion, plan, &plans) {
            let paths = ["model", "template", "labels", "annotations", "storageInitializer"];
            let paths = paths.map(|path| vec!["spec".to_owned(), path.to_owned()]).into();
            let why = "there is no accelerator for a new copy beside the old one, which goes first".to_owned();
            expansion.crowded.insert(service, Crowded { paths, why });
        }
    }
}

/// The accelerator that the workload runs on; reports where there is none.
fn accelerator(expansion: &mut Expansion<'_>, workload: &Workload) -> Option<&'static Accelerator> {
    let (row, span) = match (&workload.node_pool, &workload.accelerator) {
        (Some(name), _) => {
            let pool = expansion.stack.node_pools.get(&***name)?;
            // An unknown accelerator is the pool's mistake and reported there.
            pool.accelerator.as_ref().map_or(Ok(None), |wanted| Accelerator::find(wanted).map(Some).ok_or(())).ok()?;
            (cluster::accelerator(pool), &name.span)
        }
        (None, Some(wanted)) => {
            let row = Accelerator::find(wanted);
            if row.is_none() {
                let close = Accelerator::suggest(wanted).map(|close| format!("did you mean \"{close}\"?"));
                let mut unknown =
                    mistake(format!("there is no accelerator \"{}\"", &***wanted), &wanted.span, "not known");
                unknown.hint = close;
                expansion.report(unknown);
                return None;
            }
            (row, &wanted.span)
        }
        (None, None) => (None, &workload.span),
    };
    if row.is_none() {
        let what = "a model needs an accelerator";
        let hint = "name a pool that has one: node_pool = \"…\"";
        expansion.report(mistake(what, span, "no accelerator here").hint(hint));
    }
    row
}

/// Accelerators of one node of the workload's pool.
fn per_node(expansion: &Expansion<'_>, workload: &Workload, row: &Accelerator) -> i64 {
    let pool = workload.node_pool.as_ref().and_then(|name| expansion.stack.node_pools.get(&***name));
    let machine = pool.and_then(|pool| pool.machine_type.as_ref()).map(|machine| machine.to_string());
    machine.map_or(row.per_node, |machine| row.on(&machine))
}

fn add(expansion: &mut Expansion<'_>, plan: &Plan<'_>) -> Address {
    let mesh = expansion.addon("istio").is_some();
    let labels: &[(&str, &str)] = if mesh { &[("istio-injection", "enabled")] } else { &[] };
    expansion.namespace(&plan.component, &plan.namespace, labels);
    let (token, secrets) = storage::add_secrets(expansion, plan);
    let mut account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": plan.name, "namespace": plan.namespace},
    });
    if !secrets.is_empty() {
        account["secrets"] = secrets.iter().map(|name| json!({"name": name})).collect();
    }
    expansion.own(&plan.component, &account);
    let hop = tls::add_certificate(expansion, plan);
    let service = add_service(expansion, plan, token.as_deref(), &hop);
    if let Some(certificate) = &hop.certificate {
        expansion.need(&service, certificate.clone(), "its pods mount the Secret that cert-manager fills");
    }
    network::add(expansion, plan, &service);
    monitoring::add(expansion, plan, &hop);
    add_health_route(expansion, plan, &service);
    // On a cluster that is there, Istio may be somebody else's.
    let routed = expansion.stack.gateway.as_ref().is_some_and(|gateway| gateway.class() == "istio");
    if (mesh || routed) && plan.distribution == Distribution::Upstream && !expansion.is_rhaii("kserve") {
        tls::add_rules(expansion, plan, &hop);
    }
    outputs(expansion, plan, &service);
    service
}

fn image(plan: &Plan<'_>) -> String {
    let tested = match (plan.distribution, plan.row.family) {
        (Distribution::Rhaii, Family::Gpu) => "registry.redhat.io/rhaiis/vllm-cuda-rhel9:3.2.5",
        (Distribution::Rhaii, Family::Tpu) => "registry.redhat.io/rhaiis/vllm-tpu-rhel9:3.2.5",
        (Distribution::Upstream, Family::Gpu) => "vllm/vllm-openai:v0.32.0",
        (Distribution::Upstream, Family::Tpu) => "vllm/vllm-tpu:v0.32.0",
    };
    plan.workload.image.as_ref().map_or(tested.to_owned(), |image| image.to_string())
}

fn environment(plan: &Plan<'_>, token: Option<&str>) -> Value {
    let mut variables = Vec::new();
    if let Some(bounds) = plan.row.host_bounds() {
        for (name, value) in
            [("TPU_CHIPS_PER_HOST_BOUNDS", bounds), ("TPU_HOST_BOUNDS", "1,1,1"), ("PJRT_DEVICE", "TPU")]
        {
            variables.push(json!({"name": name, "value": value}));
        }
    }
    if let Some(token) = token {
        let source = json!({"secretKeyRef": {"name": token, "key": "token"}});
        variables.push(json!({"name": "HF_TOKEN", "valueFrom": source}));
    }
    if plan.workload.cache.is_some() {
        variables.push(json!({"name": "HF_HUB_CACHE", "value": storage::DISK}));
    }
    if plan.workload.api_key.is_some() {
        let source = json!({"secretKeyRef": {"name": storage::key_name(plan), "key": storage::API_KEY}});
        variables.push(json!({"name": "VLLM_API_KEY", "valueFrom": source}));
    }
    let mut list = variables.iter().map(Value::from_json).collect::<Vec<_>>();
    list.extend(plan.workload.env.iter().map(|(name, text)| {
        Value::Map(Map::from([("name".to_owned(), name.as_str().into()), ("value".to_owned(), text.value.0.clone())]))
    }));
    Value::List(list)
}

fn resources(plan: &Plan<'_>) -> Json {
    let mut resources = json!({"limits": {}, "requests": {}});
    if let Some(wanted) = &plan.workload.resources {
        for (kind, quantities) in [("requests", &wanted.requests), ("limits", &wanted.limits)] {
            for (name, quantity) in quantities {
                resources[kind][name] = quantity.0.as_str().into();
            }
        }
    }
    // Extended resources are never overcommitted: requests equal limits.
    for kind in ["limits", "requests"] {
        resources[kind][plan.row.resource()] = plan.accelerators().to_string().into();
    }
    resources
}

fn add_service(expansion: &mut Expansion<'_>, plan: &Plan<'_>, token: Option<&str>, hop: &tls::Hop) -> Address {
    let (workload, row) = (plan.workload, plan.row);
    let pool = workload.node_pool.as_ref().and_then(|name| expansion.stack.node_pools.get(&***name));
    let topology = pool.and_then(|pool| pool.topology.as_ref()).map(|topology| &***topology);
    let toleration = match row.family {
        Family::Gpu => json!({"key": row.resource(), "operator": "Exists", "effect": "NoSchedule"}),
        Family::Tpu => json!({"key": row.resource(), "operator": "Equal", "value": "present", "effect": "NoSchedule"}),
    };
    let mut selector = row.node_labels(topology).into_iter().collect::<Vec<_>>();
    let alike = expansion.stack.node_pools.values().filter(|pool| cluster::accelerator(pool) == Some(row)).count();
    if let Some(name) = workload.node_pool.as_ref().filter(|_| alike > 1) {
        selector.push(("cloud.google.com/gke-nodepool", name.to_string()));
    }
    let selector = selector.into_iter().map(|(key, value)| (key.to_owned(), Json::from(value))).collect::<Json>();
    let probes = workload.probes.as_ref();
    let seconds = |given: Option<&Spanned<Duration>>, default: i64| {
        given.map_or(default, |given| i64::try_from(given.value.as_secs()).unwrap_or(default))
    };
    let first = seconds(probes.and_then(|probes| probes.first.as_ref()), row.serving.first_probe);
    let period = seconds(probes.and_then(|probes| probes.period.as_ref()), 30);
    let patience = seconds(probes.and_then(|probes| probes.timeout.as_ref()), 30);
    let failures = probes.and_then(|probes| probes.failures.as_ref()).map_or(5, |count| count.get());
    let strict = workload.mtls() == Mtls::Strict;
    let scheme = if strict { "HTTP" } else { "HTTPS" };
    let probe = |path: &str, period: i64, timeout: i64, failures: i64| {
        json!({
            "httpGet": {"path": path, "port": PORT, "scheme": scheme}, "initialDelaySeconds": first,
            "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures,
        })
    };
    let version = if plan.distribution == Distribution::Rhaii { "v1alpha1" } else { "v1alpha2" };
    let mut manifest = Value::from_json(&json!({
        "apiVersion": format!("serving.kserve.io/{version}"), "kind": "LLMInferenceService",
        "metadata": {"name": plan.name, "namespace": plan.namespace},
        "spec": {
            "model": {"uri": storage::uri(workload), "name": workload.served_name()},
            "replicas": workload.replicas(),
            "router": {"route": {}, "gateway": {}},
            "template": {
                "serviceAccountName": plan.name,
                "nodeSelector": selector,
                "tolerations": [toleration],
                "containers": [{
                    "name": "main",
                    "image": image(plan),
                    "command": ["python3", "-m", "vllm.entrypoints.openai.api_server"],
                    "resources": resources(plan),
                    "livenessProbe": probe("/health", period, patience, failures),
                    // Where a key is wanted, Kubernetes has none to show.
                    "readinessProbe": probe(if workload.api_key.is_some() { "/health" } else { "/v1/models" }, 10, 10, 3),
                }],
            },
        },
    }));
    if let Some(Value::List(containers)) = manifest.at(&["spec", "template", "containers"]).cloned() {
        let containers = containers.into_iter().map(|mut main| {
            set(&mut main, &["args"], Value::List(engine::arguments(plan)));
            set(&mut main, &["env"], environment(plan, token));
            if strict {
                // KServe's preset asks over TLS.
                set(&mut main, &["startupProbe", "httpGet", "scheme"], scheme.into());
                set(&mut main, &["startupProbe", "httpGet", "path"], "/health".into());
                set(&mut main, &["startupProbe", "httpGet", "port"], Value::Int(PORT));
            }
            if workload.cache.is_some() {
                let mount = json!([{"name": "models", "mountPath": storage::DISK}]);
                set(&mut main, &["volumeMounts"], Value::from_json(&mount));
            }
            main
        });
        let containers = Value::List(containers.collect());
        set(&mut manifest, &["spec", "template", "containers"], containers);
    }
    if let Some(scheduler) = routing::scheduler(plan, hop.volume()) {
        set(&mut manifest, &["spec", "router", "scheduler"], Value::from_json(&scheduler));
    }
    if strict {
        set(&mut manifest, &["spec", "labels", routing::NO_PROXY.0], "true".into());
        // The model is fetched before the proxy runs, and past it.
        set(&mut manifest, &["spec", "annotations", "traffic.sidecar.istio.io/excludeOutboundPorts"], "443".into());
    } else if workload.routing() != Routing::Direct {
        let (label, value) = routing::NO_PROXY;
        set(&mut manifest, &["spec", "labels", label], value.into());
    }
    let mut volumes = hop.volume().into_iter().collect::<Vec<_>>();
    if let Some(claim) = storage::add_disk(expansion, plan) {
        set(&mut manifest, &["spec", "storageInitializer", "enabled"], Value::Bool(false));
        volumes.push(json!({"name": "models", "persistentVolumeClaim": {"claimName": claim}}));
    }
    if !volumes.is_empty() {
        set(&mut manifest, &["spec", "template", "volumes"], Value::from_json(&Json::from(volumes)));
    }
    let timeout = workload.timeout.as_ref().map(|timeout| timeout.value);
    expansion.object(NewObject { component: &plan.component, manifest, origin: None, timeout })
}

/// Routes for health and the list of models, which KServe's own route leaves to its catch-all.
fn add_health_route(expansion: &mut Expansion<'_>, plan: &Plan<'_>, service: &Address) {
    let (gateway_namespace, gateway_name) = gateway::place(expansion);
    let rule = |path: &str| {
        json!({
            "matches": [{"path": {"type": "PathPrefix", "value": format!("/{}/{}{path}", plan.namespace, plan.name)}}],
            "filters": [{
                "type": "URLRewrite",
                "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": path}},
            }],
            "backendRefs": [{
                "group": "", "kind": "Service", "name": format!("{}-kserve-workload-svc", plan.name), "port": PORT, "weight": 1,
            }],
        })
    };
    let route = expansion.own(
        &plan.component,
        &json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": format!("{}-health-models", plan.name), "namespace": plan.namespace},
            "spec": {
                "parentRefs": [{
                    "group": "gateway.networking.k8s.io", "kind": "Gateway",
                    "name": gateway_name, "namespace": gateway_namespace,
                }],
                "rules": [rule("/health"), rule("/v1/models")],
            },
        }),
    );
    expansion.need(&route, service.clone(), "KServe makes the service behind it");
}

fn outputs(expansion: &mut Expansion<'_>, plan: &Plan<'_>, service: &Address) {
    let base = expansion.output("gateway", "url").cloned();
    let url = match base {
        Some(base) => join(vec![base, format!("/{}/{}", plan.namespace, plan.name).into()]),
        None => field(service, &["status", "url"]).into(),
    };
    expansion.offer(&plan.component, "url", url.clone());
    expansion.offer(&plan.component, "model", plan.workload.served_name());
    expansion.offer(&plan.component, "name", plan.name.as_str());
    expansion.offer(&plan.component, "namespace", plan.namespace.as_str());
    let tls = expansion.stack.gateway.as_ref().is_some_and(|gateway| gateway.https_port().is_some());
    let proof = Proof {
        component: plan.component.clone(),
        url,
        model: plan.workload.served_name().to_owned(),
        ca: gateway::ca(expansion),
        server_name: tls.then(|| gateway::server_name(expansion)),
        api_key: plan.workload.api_key.as_ref().map(|key| key.value.0.clone()),
        gateway: gateway::portal(expansion),
        timeout: timing::PROOF,
    };
    expansion.proofs.push(proof);
}

/// Edges to everything that a model relies on; called when all components have added their objects.
pub(super) fn connect(expansion: &mut Expansion<'_>) {
    routing::check_presets(expansion);
    let services = expansion.proofs.iter().map(|proof| proof.component.clone()).collect::<Vec<_>>();
    for component in services {
        let id = component.trim_start_matches("workloads.").to_owned();
        let Some(service) = expansion
            .resources
            .iter()
            .find(|r| r.address.component() == component && r.address.as_str().contains("/LLMInferenceService."))
            .map(|r| r.address.clone())
        else {
            continue;
        };
        let pool = expansion.stack.workloads.get(&id).and_then(|workload| workload.node_pool.as_ref());
        if let Some(pool) = pool.map(|pool| Address::new(format!("node_pools.{}", &***pool)))
            && expansion.resource(&pool).is_some()
        {
            expansion.need(&service, pool, "its pods run on these nodes");
        }
        expansion.need_component(&service, "addons.kserve", "KServe runs the model");
        expansion.need_component(&service, "addons.istio", "its pods and its route are part of the mesh");
        expansion.need_component(&service, "addons.inference-extension", "its copies may be a pool");
        expansion.need_component(&service, "gateway", "its route is attached to the gateway");
        let policy = "ClusterPolicy.nvidia.com/cluster-policy";
        expansion.need_object(&service, policy, "nodes offer GPUs once the operator has prepared them");
    }
}

#[cfg(test)]
mod tests;
