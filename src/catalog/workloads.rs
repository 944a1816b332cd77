//! `[workloads]`: models served by vLLM as KServe's LLMInferenceServices.

use serde_json::{Value as Json, json};

use crate::address::Address;
use crate::catalog::accelerators::{Accelerator, Family};
use crate::catalog::documents::set;
use crate::catalog::expansion::{Expansion, NewObject, field, mistake};
use crate::catalog::text::{base64, join};
use crate::catalog::{cluster, gateway, timing};
use crate::diag::Diagnostic;
use crate::resource::model::Proof;
use crate::stack::model::{Distribution, Routing, Workload};
use crate::value::{Map, Value};

/// The Secret with the Hugging Face token. KServe's download reads the key `HF_TOKEN`, vLLM the key `token`.
const TOKEN: &str = "huggingface-token";

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
    workload: &'a Workload,
}

pub(super) fn expand(expansion: &mut Expansion<'_>) {
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
        let plan = Plan { component, name: format!("{id}-svc"), namespace, distribution, row, workload };
        check(expansion, &plan);
        add(expansion, &plan);
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

/// Mistakes between the workload, its pool and the add-ons.
fn check(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let (workload, row) = (plan.workload, plan.row);
    let given = expansion.stack.cluster.as_ref().is_some_and(|cluster| cluster.is_given());
    let needed = ["cert-manager", "istio", "kserve"];
    let mut missing = needed
        .iter()
        .filter(|name| !given && expansion.addon(name).is_none())
        .map(|name| format!("[addons.{name}]"))
        .collect::<Vec<_>>();
    if expansion.stack.gateway.is_none() {
        missing.push("[gateway]".to_owned());
    }
    if !missing.is_empty() {
        let what = format!("{} needs {}", plan.component, missing.join(", "));
        let hint = format!("add {}; empty tables take the tested versions", missing.join(", "));
        expansion.report(mistake(what, &workload.span, "cannot be served").hint(hint));
    }
    if workload.routing() == Routing::CacheAware {
        let span = workload.routing.as_ref().map_or(&workload.span, |routing| &routing.span);
        let what = "cache-aware routing is not supported yet";
        let hint =
            "use routing = \"direct\"; schedulers up to llm-d-inference-scheduler v0.6.1 cannot be reached over TLS";
        expansion.report(mistake(what, span, "needs a scheduler").hint(hint));
    }
    if let Some(port) = workload.port.as_ref().filter(|port| port.get() != PORT) {
        let what = format!("KServe's service leads to port {PORT}, not {}", port.get());
        expansion.report(mistake(what, &port.span, "would not be reached").hint("leave `port` out"));
    }
    if row.hosts > 1 {
        let what = format!("{} is a slice of {} hosts, which workloads cannot span yet", row.name, row.hosts);
        expansion.report(mistake(what, &workload.span, "one host only").hint("use a pool of tpu-v6e-1, -4 or -8"));
    }
    if let Some(wanted) = &workload.tensor_parallel {
        let most = per_node(expansion, plan);
        if wanted.get() > most {
            let what = format!("tensor_parallel = {} on nodes with {most} of {}", wanted.get(), row.name);
            let hint = format!("write tensor_parallel = {most}, or leave it out");
            expansion.report(mistake(what, &wanted.span, "more than a node has").hint(hint));
        } else if row.family == Family::Tpu && wanted.get() < row.per_node {
            let what = format!("tensor_parallel = {} leaves {} chips idle", wanted.get(), row.per_node - wanted.get());
            expansion.report(Diagnostic::warning(what).at(wanted.span.clone(), "a pod gets all chips of its node"));
        }
    }
    if let Some(image) = &workload.image {
        let name = image.to_lowercase();
        let foreign = match row.family {
            Family::Tpu => ["cuda", "vllm-openai", "rocm"].iter().any(|word| name.contains(word)),
            Family::Gpu => name.contains("tpu"),
        };
        if foreign {
            let what = format!("{} is no image for {}", &***image, row.name);
            expansion.report(mistake(what, &image.span, "of another accelerator").hint("leave `image` out"));
        }
    }
    fits(expansion, plan);
}

/// Accelerators of one node of the workload's pool.
fn per_node(expansion: &Expansion<'_>, plan: &Plan<'_>) -> i64 {
    let pool = plan.workload.node_pool.as_ref().and_then(|name| expansion.stack.node_pools.get(&***name));
    let machine = pool.and_then(|pool| pool.machine_type.as_ref()).map(|machine| machine.to_string());
    machine.map_or(plan.row.per_node, |machine| plan.row.on(&machine))
}

/// Whether all copies find room in the pool.
fn fits(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let Some((name, pool)) =
        plan.workload.node_pool.as_ref().and_then(|name| expansion.stack.node_pools.get_key_value(&***name))
    else {
        return;
    };
    let fixed = pool.nodes.as_ref().map_or(1, |nodes| nodes.get());
    let nodes = pool.autoscale.as_ref().map_or(fixed, |bounds| bounds.max);
    let each = accelerators(plan);
    let room = nodes * (per_node(expansion, plan) / each.max(1)).max(1);
    if plan.workload.replicas() > room && plan.row.hosts == 1 {
        let span = plan.workload.replicas.as_ref().map_or(&plan.workload.span, |replicas| &replicas.span);
        let what = format!(
            "{} replicas do not fit into node_pools.{name}, which has room for {room}",
            plan.workload.replicas()
        );
        let hint = format!("give the pool {} nodes", plan.workload.replicas());
        expansion.report(mistake(what, span, "more than there is room for").hint(hint));
    }
}

/// Accelerators of one copy: all chips of a TPU host, as many GPUs as the model is spread over.
fn accelerators(plan: &Plan<'_>) -> i64 {
    match plan.row.family {
        Family::Tpu => plan.row.per_node,
        Family::Gpu => plan.workload.tensor_parallel.as_ref().map_or(1, |count| count.get()),
    }
}

fn add(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let mesh = expansion.addon("istio").is_some();
    let labels: &[(&str, &str)] = if mesh { &[("istio-injection", "enabled")] } else { &[] };
    expansion.namespace(&plan.component, &plan.namespace, labels);
    let token = plan.workload.hf_token.as_ref().map(|token| add_token(expansion, plan, &token.value.0));
    let mut account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": plan.name, "namespace": plan.namespace},
    });
    if let Some(token) = &token {
        account["secrets"] = json!([{"name": token}]);
    }
    expansion.own(&plan.component, &account);
    let service = add_service(expansion, plan, token.as_deref());
    add_health_route(expansion, plan, &service);
    // On a cluster that is there, Istio may be somebody else's.
    let routed = expansion.stack.gateway.as_ref().is_some_and(|gateway| gateway.class() == "istio");
    if (mesh || routed) && plan.distribution == Distribution::Upstream && !expansion.is_rhaii("kserve") {
        add_origination(expansion, plan);
    }
    outputs(expansion, plan, &service);
}

/// The Secret with the token; shared by workloads of one namespace that have the same token.
fn add_token(expansion: &mut Expansion<'_>, plan: &Plan<'_>, token: &Value) -> String {
    let encoded = base64(token);
    let data = Map::from([("HF_TOKEN".to_owned(), encoded.clone()), ("token".to_owned(), encoded)]);
    let mut name = TOKEN.to_owned();
    if let Some(other) = expansion.find(&format!("Secret/{}/{name}", plan.namespace)) {
        let same = expansion
            .resource(&other)
            .is_some_and(|other| other.attrs.get("data").and_then(Value::as_map) == Some(&data));
        if same {
            return name;
        }
        name = format!("{}-{TOKEN}", plan.name);
    }
    let mut manifest = Value::from_json(&json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": name, "namespace": plan.namespace},
    }));
    set(&mut manifest, &["data"], Value::Map(data));
    expansion.object(NewObject { component: &plan.component, manifest, origin: None, timeout: None });
    name
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

/// The arguments of vLLM.
fn arguments(plan: &Plan<'_>) -> Vec<Value> {
    let (workload, serving) = (plan.workload, &plan.row.serving);
    let mut arguments = vec![
        "--model=/mnt/models".to_owned(),
        format!("--served-model-name={}", workload.served_name()),
        format!("--port={PORT}"),
    ];
    let dtype = workload.dtype.as_ref().map(|dtype| dtype.word()).or(serving.dtype);
    arguments.extend(dtype.map(|dtype| format!("--dtype={dtype}")));
    let length = workload.max_model_len.as_ref().map(|length| length.get()).or(serving.max_model_len);
    arguments.extend(length.map(|length| format!("--max-model-len={length}")));
    let spread = workload.tensor_parallel.as_ref().map(|count| count.get());
    let spread = spread.or((plan.row.family == Family::Tpu).then_some(plan.row.per_node)).filter(|count| *count > 1);
    arguments.extend(spread.map(|count| format!("--tensor-parallel-size={count}")));
    let share = workload.gpu_memory_utilization.as_ref().map(|share| share.get());
    let share = share.or(serving.memory_percent.map(|percent| f64::from(percent) / 100.0));
    arguments.extend(share.map(|share| format!("--gpu-memory-utilization={share}")));
    let caching = if workload.prefix_caching() { "--enable-prefix-caching" } else { "--no-enable-prefix-caching" };
    arguments.push(caching.to_owned());
    let sequences = workload.max_num_seqs.as_ref().map_or(128, |count| count.get());
    arguments.push(format!("--max-num-seqs={sequences}"));
    arguments.push("--ssl-certfile=/var/run/kserve/tls/tls.crt".to_owned());
    arguments.push("--ssl-keyfile=/var/run/kserve/tls/tls.key".to_owned());
    // KServe signs anew when a pod gets an address that the certificate does not name.
    arguments.push("--enable-ssl-refresh".to_owned());
    let own = arguments.into_iter().map(Value::String);
    own.chain(workload.args.iter().map(|argument| argument.value.0.clone())).collect()
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
        resources[kind][plan.row.resource()] = accelerators(plan).to_string().into();
    }
    resources
}

fn add_service(expansion: &mut Expansion<'_>, plan: &Plan<'_>, token: Option<&str>) -> Address {
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
    let probe = |path: &str, period: i64, timeout: i64, failures: i64| {
        json!({
            "httpGet": {"path": path, "port": PORT, "scheme": "HTTPS"}, "initialDelaySeconds": row.serving.first_probe,
            "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures,
        })
    };
    let version = if plan.distribution == Distribution::Rhaii { "v1alpha1" } else { "v1alpha2" };
    let mut manifest = Value::from_json(&json!({
        "apiVersion": format!("serving.kserve.io/{version}"), "kind": "LLMInferenceService",
        "metadata": {"name": plan.name, "namespace": plan.namespace},
        "spec": {
            "model": {"uri": &**workload.model, "name": workload.served_name()},
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
                    "livenessProbe": probe("/health", 30, 30, 5),
                    "readinessProbe": probe("/v1/models", 10, 10, 3),
                }],
            },
        },
    }));
    if let Some(Value::List(containers)) = manifest.at(&["spec", "template", "containers"]).cloned() {
        let containers = containers.into_iter().map(|mut main| {
            set(&mut main, &["args"], Value::List(arguments(plan)));
            set(&mut main, &["env"], environment(plan, token));
            main
        });
        let containers = Value::List(containers.collect());
        set(&mut manifest, &["spec", "template", "containers"], containers);
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

/// The gateway speaks TLS to the model. KServe's upstream certificates are self-signed and name no authority
/// that could be trusted, so that they encrypt and do not authenticate; Red Hat's build brings rules that do.
fn add_origination(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let host = format!("{}-kserve-workload-svc.{}.svc.cluster.local", plan.name, plan.namespace);
    expansion.own(
        &plan.component,
        &json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": format!("{}-kserve-workload-svc", plan.name), "namespace": plan.namespace},
            "spec": {"host": host, "trafficPolicy": {"tls": {"mode": "SIMPLE", "insecureSkipVerify": true}}},
        }),
    );
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
        timeout: timing::PROOF,
    };
    expansion.proofs.push(proof);
}

/// Edges to everything that a model relies on; called when all components have added their objects.
pub(super) fn connect(expansion: &mut Expansion<'_>) {
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
        expansion.need_component(&service, "gateway", "its route is attached to the gateway");
        let policy = "ClusterPolicy.nvidia.com/cluster-policy";
        expansion.need_object(&service, policy, "nodes offer GPUs once the operator has prepared them");
    }
}
