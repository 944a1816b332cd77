//! The catalogue's objects on a simulated cluster: applied in the order of their edges, each waited for, until
//! a model is ready. Nothing of the engine takes part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use stackwright::address::Address;
use stackwright::catalog::{self, ExpandOptions};
use stackwright::chart::{Answers, Library};
use stackwright::diag::Source;
use stackwright::env::clock::{SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::disk::RealDisk;
use stackwright::env::random::SeededRandom;
use stackwright::plan::edges;
use stackwright::provider::kube::status;
use stackwright::resource::model::{Desired, Resource};
use stackwright::resource::readiness::Readiness;
use stackwright::sim::controllers::cloud::MemoryCloud;
use stackwright::sim::controllers::faults::NoFaults;
use stackwright::sim::controllers::programs::Program;
use stackwright::sim::controllers::webhooks::ServiceWebhooks;
use stackwright::sim::controllers::{Surroundings, addons, cluster};
use stackwright::sim::kube::admission;
use stackwright::sim::kube::api::{Api, Gvk};
use stackwright::sim::kube::server::{ApiServer, Parts};
use stackwright::sim::world::World;
use stackwright::stack::{self, NoLoader, inputs::Given};
use stackwright::value::{Reference, Scope, Value};

fn desired(text: &str) -> Desired {
    let source = Arc::new(Source { name: "stack.toml".to_owned(), text: text.to_owned() });
    let given = Given { synthesize: true, ..Given::default() };
    let loaded = stack::load(source, &NoLoader, &given, &BTreeMap::<String, String>::new()).expect("a good stack");
    let library = Library::new(&RealDisk);
    let options = ExpandOptions {
        loader: &NoLoader,
        secrets: BTreeMap::new(),
        library: &library,
        key: None,
        answers: &Answers::default(),
    };
    catalog::expand(&loaded.stack, &options).expect("a good stack").0
}

/// References read live objects; secrets are all the same login.
struct Live<'a>(&'a dyn Api);

impl Scope for Live<'_> {
    fn output(&self, reference: &Reference) -> Option<Value> {
        let (gvk, namespace, name) = locate(reference.address.object_key()?)?;
        let live = self.0.get(&gvk, &namespace, &name)?;
        let [first, key] = &reference.path[..] else {
            return Value::from_json(&live).at(&reference.path).cloned();
        };
        if first != "secret" {
            return Value::from_json(&live).at(&reference.path).cloned();
        }
        let secret = self.0.get(&Gvk::new("", "v1", "Secret"), &namespace, live["spec"]["secretName"].as_str()?)?;
        let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, secret["data"][key].as_str()?);
        Some(Value::String(String::from_utf8(decoded.ok()?).ok()?))
    }

    fn secret(&self, input: &str) -> Option<String> {
        Some(match input {
            "hf_token" => "hf_synthetic".to_owned(),
            _ => json!({"auths": {"registry.redhat.io": {"auth": "dTpw"}}}).to_string(),
        })
    }
}

fn locate(key: &str) -> Option<(Gvk, String, String)> {
    let key = stackwright::address::ObjectKey::parse(key)?;
    let version = match key.group.as_str() {
        "cert-manager.io" | "gateway.networking.k8s.io" => "v1",
        _ => return None,
    };
    Some((Gvk::new(&key.group, version, &key.kind), key.namespace.unwrap_or_default(), key.name))
}

/// The programs of every image of the stacks.
fn all_programs() -> Vec<Arc<dyn Program>> {
    vec![
        Arc::new(addons::cert_manager::CertManager),
        Arc::new(addons::istio::Istiod),
        Arc::new(addons::istio::Proxy),
        Arc::new(addons::istio::Cni),
        Arc::new(addons::lws::Lws),
        Arc::new(addons::gpu::Discovery),
        Arc::new(addons::gpu::Gpu),
        Arc::new(addons::operators::Operator),
        Arc::new(addons::kserve::Llmisvc),
        Arc::new(addons::kserve::StorageInitializer(Arc::new(NoFaults))),
        Arc::new(addons::vllm::Vllm(Arc::new(NoFaults))),
    ]
}

/// What each resource waits for, components taken apart.
fn order(desired: &Desired) -> BTreeMap<Address, BTreeSet<Address>> {
    let inferred = edges::infer(&desired.resources);
    assert!(inferred.barriers.is_empty(), "small stacks need none");
    let mut waits: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
    for resource in desired.resources.iter().filter(|resource| resource.kind == "k8s.object") {
        let own = waits.entry(resource.address.clone()).or_default();
        let mut add = |on: &Address| {
            let members = desired.resources.iter().filter(|r| r.kind == "k8s.object").map(|r| &r.address);
            own.extend(members.filter(|a| *a == on || a.component() == on.as_str()).cloned());
        };
        resource.needs.iter().for_each(|need| add(&need.on));
        resource.attrs.visit_templates(&mut |template| template.references().for_each(|r| add(&r.address)));
    }
    for edge in inferred.edges {
        waits.entry(edge.dependent).or_default().insert(edge.dependency);
    }
    waits
}

fn node(name: &str, labels: Json, taints: Json, number: usize, more: Json) -> Json {
    let mut give = json!({"cpu": "4", "memory": "15Gi", "pods": "110", "ephemeral-storage": "90Gi"});
    give.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    let mut all = json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "europe-west4-a",
        "kubernetes.io/hostname": name});
    all.as_object_mut().expect("a map").extend(labels.as_object().expect("a map").clone());
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": all},
        "spec": {"podCIDR": format!("10.8.{number}.0/24"), "taints": taints},
        "status": {
            "addresses": [{"type": "InternalIP", "address": format!("10.164.0.{number}")}],
            "capacity": give, "allocatable": give,
        },
    })
}

/// Applies all objects, without those that `without` names; returns what never became ready, with the reason.
fn run(name: &str, text: &str, without: &dyn Fn(&Address) -> bool) -> BTreeMap<Address, String> {
    let desired = desired(text);
    let clock = DiscreteClock::new(Timestamp::parse("2026-11-22T10:00:00Z").expect("a time"));
    let runtime = clock.runtime().expect("a runtime");
    let shared: SharedClock = Arc::new(clock.clone());
    runtime.block_on(async {
        let programs = cluster::programs(all_programs());
        let faults = Arc::new(NoFaults);
        let webhooks = Arc::new(ServiceWebhooks::new(shared.clone(), programs.clone(), faults.clone()));
        let mut plugins = admission::standard();
        plugins.extend(admission::google());
        let server = ApiServer::open(Parts {
            cluster: "kube/one".to_owned(),
            world: World::in_memory(),
            clock: shared.clone(),
            random: Arc::new(SeededRandom::new(1)),
            webhooks: webhooks.clone(),
            plugins,
            version: "v1.34.1-gke.1293000".to_owned(),
        });
        let api = server.api();
        webhooks.serve(&api);
        let loops = tokio::spawn(server.clone().run());
        let parts = cluster::Parts {
            around: Surroundings { api: api.clone(), clock: shared.clone() },
            ca_pem: "PEM".to_owned(),
            programs,
            cloud: Arc::new(MemoryCloud::new(shared.clone())),
            faults,
            logs: Arc::default(),
        };
        let handle = cluster::start(parts);
        let (labels, taint, give) = if name.contains("gpu") {
            let labels = json!({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4", "cloud.google.com/gke-accelerator-count": "1",
                "gke-no-default-nvidia-gpu-device-plugin": "true", "cloud.google.com/gke-nodepool": "gpu"});
            (labels, "nvidia.com/gpu", json!({}))
        } else {
            let labels = json!({"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice", "cloud.google.com/gke-tpu-topology": "2x2",
                "cloud.google.com/gke-accelerator-count": "4", "cloud.google.com/gke-nodepool": "tpu"});
            (labels, "google.com/tpu", json!({"cpu": "180", "memory": "720Gi"}))
        };
        let taints = json!([{"key": taint, "value": "present", "effect": "NoSchedule"}]);
        for node in [
            node("system-1", json!({}), json!([]), 1, json!({})),
            node("system-2", json!({}), json!([]), 2, json!({})),
            node("accelerator-1", labels, taints, 3, give),
        ] {
            stackwright::sim::nodes::register(&*api, node).await.expect("a node");
        }
        let waits = order(&desired);
        let mut pending = desired.resources.iter().filter(|r| r.kind == "k8s.object" && !without(&r.address)).collect::<Vec<_>>();
        let mut applied: BTreeMap<Address, Gvk> = BTreeMap::new();
        let mut ready: BTreeSet<Address> = desired.resources.iter().map(|r| r.address.clone()).filter(|a| without(a)).collect();
        let mut said: BTreeMap<Address, String> = BTreeMap::new();
        for _ in 0..1200 {
            let mut rest: Vec<&Resource> = Vec::new();
            for resource in pending {
                let free = waits.get(&resource.address).is_none_or(|on| on.iter().all(|a| ready.contains(a)));
                if !free {
                    rest.push(resource);
                    continue;
                }
                if !applied.contains_key(&resource.address) {
                    let manifest = match resource.attrs.resolve(&Live(&*api)) {
                        Ok(manifest) => manifest.to_json(),
                        Err(why) => {
                            said.insert(resource.address.clone(), why.to_string());
                            rest.push(resource);
                            continue;
                        }
                    };
                    match api.apply("stackwright-test", manifest.clone(), false).await {
                        Ok(_) => {
                            applied.insert(resource.address.clone(), Gvk::of(&manifest).expect("a kind"));
                        }
                        Err(status) => {
                            said.insert(resource.address.clone(), status.to_string());
                        }
                    }
                    rest.push(resource);
                    continue;
                }
                let key = stackwright::address::ObjectKey::parse(resource.address.object_key().expect("an object")).expect("a key");
                let live = api.get(&applied[&resource.address], &key.namespace.unwrap_or_default(), &key.name);
                match live.map(|live| status::readiness(&live)) {
                    Some(Readiness::Current) => {
                        ready.insert(resource.address.clone());
                        said.remove(&resource.address);
                    }
                    other => {
                        said.insert(resource.address.clone(), other.map_or("gone".to_owned(), |r| r.to_string()));
                        rest.push(resource);
                    }
                }
            }
            pending = rest;
            if pending.is_empty() {
                break;
            }
            shared.sleep(Duration::from_secs(2)).await;
        }
        drop(handle);
        loops.abort();
        said.retain(|address, _| pending.iter().any(|resource| resource.address == *address));
        said
    })
}

#[test]
fn the_four_stacks_become_ready() {
    let mut all = Vec::new();
    for (name, text) in [
        ("gpu-t4", include_str!("../../stacks/gpu-t4.toml")),
        ("tpu-v6e", include_str!("../../stacks/tpu-v6e.toml")),
        ("rhaii-gpu-t4", include_str!("../../stacks/rhaii-gpu-t4.toml")),
        ("rhaii-tpu-v6e", include_str!("../../stacks/rhaii-tpu-v6e.toml")),
    ] {
        let left = run(name, text, &|_| false);
        all.extend(left.iter().map(|(address, why)| format!("{name}: {address}: {why}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// Objects that a simulated run does not miss, by a part of their address, with why the stacks have them all the
/// same. They are taken away all at once: whatever stands here is needed by nothing else either.
const SPARE: &[(&str, &str)] = &[
    (
        "CustomResourceDefinition.apiextensions.k8s.io/challenges.acme",
        "ACME only; cert-manager's controller watches it",
    ),
    ("CustomResourceDefinition.apiextensions.k8s.io/orders.acme", "ACME only; cert-manager's controller watches it"),
    (":leaderelection", "simulated programs hold no leases"),
    ("leader-election-role", "simulated programs hold no leases"),
    ("approve:cert-manager-io", "the simulated approver asks for no right on signers"),
    ("webhook:subjectaccessreviews", "the simulated webhook does not ask who may approve"),
    (
        "MutatingWebhookConfiguration.admissionregistration.k8s.io/cert-manager-webhook",
        "only writes who asked into requests",
    ),
    ("CustomResourceDefinition.apiextensions.k8s.io/nvidiadrivers", "drivers are the node image's"),
    ("CustomResourceDefinition.apiextensions.k8s.io/nodefeaturerules", "for rules of users' own"),
    ("envoyfilters.networking.istio.io", "for users' own objects"),
    ("/gateways.networking.istio.io", "for users' own objects"),
    ("proxyconfigs.networking.istio.io", "for users' own objects"),
    ("serviceentries.networking.istio.io", "for users' own objects"),
    ("sidecars.networking.istio.io", "for users' own objects"),
    ("virtualservices.networking.istio.io", "for users' own objects"),
    ("workloadentries.networking.istio.io", "for users' own objects"),
    ("workloadgroups.networking.istio.io", "for users' own objects"),
    (".security.istio.io", "for users' own objects"),
    ("telemetries.telemetry.istio.io", "for users' own objects"),
    ("wasmplugins.extensions.istio.io", "for users' own objects"),
    ("istio-validator-istio-system", "refuses bad objects of Istio only"),
    ("istiod-default-validator", "refuses bad objects of Istio only"),
    ("istio-cni-repair-role", "repairs pods that started before the plugin"),
    ("ConfigMap/istio-system/istio", "mesh settings; an optional mount, defaults are the same"),
    ("grpcroutes.gateway", "for users' own routes"),
    ("tlsroutes.gateway", "for users' own routes"),
    ("referencegrants.gateway", "nothing refers across namespaces to a Secret"),
    ("backendtlspolicies.gateway", "for users' own policies"),
    ("addons.lws/", "only models on several hosts become LeaderWorkerSets"),
];

fn is_spare(address: &Address) -> bool {
    SPARE.iter().any(|(part, _)| {
        // One ConfigMap's name begins another's.
        if part.starts_with("ConfigMap/") { address.as_str().ends_with(part) } else { address.as_str().contains(part) }
    })
}

#[test]
fn what_is_spare_is_not_missed() {
    let stacks = [
        ("gpu-t4", include_str!("../../stacks/gpu-t4.toml")),
        ("rhaii-gpu-t4", include_str!("../../stacks/rhaii-gpu-t4.toml")),
    ];
    for (name, text) in stacks {
        let left = run(name, text, &is_spare);
        let lines = left.iter().map(|(address, why)| format!("{address}: {why}")).collect::<Vec<_>>();
        assert!(lines.is_empty(), "{name}:\n{}", lines.join("\n"));
    }
    let all = stacks.map(|(_, text)| desired(text));
    for (part, why) in SPARE {
        let named = all.iter().flat_map(|desired| &desired.resources).any(|r| r.address.as_str().contains(part));
        assert!(named && !why.is_empty(), "{part} is in no stack");
    }
}
