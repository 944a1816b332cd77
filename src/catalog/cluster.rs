//! `[cluster]` and `[node_pools]`: Google's resources.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::address::Address;
use crate::catalog::accelerators::{Accelerator, Family};
use crate::catalog::expansion::{Expansion, mistake};
use crate::catalog::timing;
use crate::diag::Diagnostic;
use crate::env::clock::Timestamp;
use crate::resource::model::{Need, Resource};
use crate::stack::model::{
    AuthorizedNetwork, Cluster, LogSource, MaintenanceWindow, MetricSource, NodePool, ReleaseChannel, TaintEffect,
};
use crate::stack::{Moment, Provisioning, Spanned};
use crate::value::Value;

/// The machine type of the system pool unless the stack says another: offered wherever T4s and TPUs are.
const SYSTEM_MACHINE: &str = "n1-standard-4";

/// Nodes get all of Google's APIs that their service account may use; the account's rights bound them.
const SCOPES: &[&str] = &["https://www.googleapis.com/auth/cloud-platform"];

/// The accelerator of a pool, if it has one that exists.
pub(super) fn accelerator(pool: &NodePool) -> Option<&'static Accelerator> {
    Accelerator::find(pool.accelerator.as_ref()?)
}

pub(super) fn expand(expansion: &mut Expansion<'_>) {
    let Some(cluster) = &expansion.stack.cluster else { return };
    let (Some(project), Some(location)) = (&cluster.project, &cluster.location) else { return };
    if cluster.private.as_ref().is_some_and(|private| private.value) {
        let span = cluster.private.as_ref().map_or(cluster.span.clone(), |private| private.span.clone());
        expansion.report(
            Diagnostic::warning("nodes without public addresses fetch only what Google serves")
                .at(span, "no way to other registries and to huggingface.co")
                .hint(
                    "give the network a Cloud NAT in the cluster's region, or mirror images and models to Google Cloud",
                ),
        );
    }
    for fallback in &cluster.fallback_locations {
        for what in super::places::missing(expansion.stack, fallback) {
            expansion.report(Diagnostic::warning(what).at(fallback.span.clone(), "may not be to be had there"));
        }
    }
    let name = cluster.name.as_ref().map_or(&*expansion.stack.name.value, |name| &**name).to_owned();
    add_cluster(expansion, cluster, &name, project, location);
    let streaming = cluster.image_streaming.as_ref().map(|on| on.value);
    let place = Place { project, location, cluster: &name, streaming, identities: has_identities(cluster) };
    for (pool_name, pool) in &expansion.stack.node_pools {
        add_pool(expansion, pool_name, pool, &place);
    }
}

/// Where a pool is, and what all pools of the cluster have in common.
struct Place<'a> {
    project: &'a str,
    location: &'a str,
    cluster: &'a str,
    streaming: Option<bool>,
    identities: bool,
}

fn add_cluster(
    expansion: &mut Expansion<'_>,
    cluster: &Cluster,
    name: &str,
    project: &str,
    location: &Spanned<crate::stack::Location>,
) {
    let system = cluster.system_pool.as_ref();
    let mut pool = json!({
        "name": "system",
        "machine_type": system.and_then(|s| s.machine_type.as_ref()).map_or(SYSTEM_MACHINE, |m| &**m),
        "nodes": system.and_then(|s| s.nodes.as_ref()).map_or(2, |n| n.get()),
        "oauth_scopes": SCOPES,
    });
    if let Some(bounds) = system.and_then(|s| s.autoscale.as_ref()) {
        pool["autoscale"] = json!({"min": bounds.min, "max": bounds.max});
    }
    put(&mut pool, "disk_size_gb", system.and_then(|s| s.disk_size_gb.as_ref()).map(|n| n.get()));
    put(&mut pool, "disk_type", system.and_then(|s| s.disk_type.as_ref()).map(|kind| kind.to_string()));
    put(&mut pool, "service_account", system.and_then(|s| s.service_account.as_ref()).map(|name| name.to_string()));
    put(&mut pool, "image_streaming", cluster.image_streaming.as_ref().map(|on| on.value));
    put(&mut pool, "workload_metadata", has_identities(cluster).then_some("gke"));
    let channel = cluster.release_channel.as_ref().map_or(ReleaseChannel::Regular, |channel| channel.value);
    let mut attrs = json!({
        "name": name, "project": project, "location": &***location,
        "release_channel": channel.word(),
        "addons": {"http_load_balancing": true, "horizontal_pod_autoscaling": true},
        // The stack brings definitions of its own; GKE would revert any change to its.
        "gateway_api": "disabled",
        "system_pool": pool,
    });
    put(&mut attrs, "version", cluster.version.as_ref().map(|v| v.to_string()));
    put(&mut attrs, "network", cluster.network.as_ref().map(|v| v.to_string()));
    put(&mut attrs, "subnetwork", cluster.subnetwork.as_ref().map(|v| v.to_string()));
    if !cluster.labels.is_empty() {
        attrs["labels"] = cluster.labels.iter().map(|(key, label)| (key.clone(), Json::from(&*label.0))).collect();
    }
    put(&mut attrs, "private", cluster.private.as_ref().map(|private| private.value));
    put(&mut attrs, "network_policy", cluster.network_policy.as_ref().map(|on| on.value));
    put(&mut attrs, "workload_identity", cluster.workload_identity.as_ref().map(|on| on.value));
    put(&mut attrs, "maintenance_window", cluster.maintenance_window.as_ref().map(maintenance));
    if !cluster.node_locations.is_empty() {
        attrs["node_locations"] = cluster.node_locations.iter().map(|zone| zone.to_string()).collect();
    }
    if !cluster.authorized_networks.is_empty() {
        let network = |network: &AuthorizedNetwork| {
            (network.cidr.to_string(), network.name.as_ref().map(|name| name.to_string()).unwrap_or_default())
        };
        let mut networks = cluster.authorized_networks.iter().map(network).collect::<Vec<_>>();
        networks.sort();
        attrs["authorized_networks"] =
            networks.into_iter().map(|(cidr, name)| json!({"cidr": cidr, "name": name})).collect();
    }
    let logs = cluster.logging.iter().map(|source| log_component(source.value)).collect::<Vec<_>>();
    put(&mut attrs, "logging", components(logs));
    let metrics = cluster.monitoring.iter().map(|source| metric_component(source.value)).collect::<Vec<_>>();
    put(&mut attrs, "monitoring", components(metrics));
    let timing = timing::cluster(location.is_zone());
    expansion.add(Resource {
        address: Address::new("cluster"),
        kind: "gke.cluster",
        attrs: Value::from_json(&attrs).into(),
        needs: Vec::new(),
        connection: None,
        ceded: Vec::new(),
        timeout: cluster.timeout.as_ref().map_or(timing.timeout, |timeout| timeout.value),
        estimate: timing.estimate,
        origin: None,
    });
}

/// Whether pods have Google identities of their own, so that nodes must not give them the node's.
fn has_identities(cluster: &Cluster) -> bool {
    cluster.workload_identity.as_ref().is_some_and(|on| on.value)
}

fn maintenance(window: &MaintenanceWindow) -> Json {
    if let Some(daily) = &window.daily {
        return json!({"daily": &***daily});
    }
    // As GKE writes them: in UTC, with whole seconds.
    let moment = |moment: &Option<Spanned<Moment>>| {
        moment.as_ref().and_then(|moment| Timestamp::parse(moment)).map(Timestamp::rfc3339)
    };
    json!({
        "start": moment(&window.start), "end": moment(&window.end),
        "recurrence": window.recurrence.as_ref().map(|recurrence| recurrence.to_string()),
    })
}

/// GKE's names of log sources.
fn log_component(source: LogSource) -> Option<&'static str> {
    Some(match source {
        LogSource::None => return None,
        LogSource::System => "SYSTEM_COMPONENTS",
        LogSource::Workloads => "WORKLOADS",
        LogSource::ApiServer => "APISERVER",
        LogSource::Scheduler => "SCHEDULER",
        LogSource::ControllerManager => "CONTROLLER_MANAGER",
    })
}

/// GKE's names of metric sources.
fn metric_component(source: MetricSource) -> Option<&'static str> {
    Some(match source {
        MetricSource::None => return None,
        MetricSource::System => "SYSTEM_COMPONENTS",
        MetricSource::ApiServer => "APISERVER",
        MetricSource::Scheduler => "SCHEDULER",
        MetricSource::ControllerManager => "CONTROLLER_MANAGER",
        MetricSource::Storage => "STORAGE",
        MetricSource::Hpa => "HPA",
        MetricSource::Pod => "POD",
        MetricSource::Daemonset => "DAEMONSET",
        MetricSource::Deployment => "DEPLOYMENT",
        MetricSource::Statefulset => "STATEFULSET",
        MetricSource::Cadvisor => "CADVISOR",
        MetricSource::Kubelet => "KUBELET",
        MetricSource::Dcgm => "DCGM",
    })
}

/// The list to send; nothing where the stack says nothing.
fn components(named: Vec<Option<&'static str>>) -> Option<Json> {
    (!named.is_empty()).then(|| named.into_iter().flatten().map(Json::from).collect())
}

fn add_pool(expansion: &mut Expansion<'_>, name: &str, pool: &NodePool, place: &Place<'_>) {
    let row = match &pool.accelerator {
        None => None,
        Some(wanted) => match Accelerator::find(wanted) {
            Some(row) => Some(row),
            None => {
                let hint = match Accelerator::suggest(wanted) {
                    Some(close) => format!("did you mean \"{close}\"?"),
                    None => {
                        let names = crate::catalog::accelerators::ACCELERATORS.iter().map(|row| row.name);
                        format!("known: {}", names.collect::<Vec<_>>().join(", "))
                    }
                };
                let what = format!("there is no accelerator \"{}\"", &***wanted);
                expansion.report(mistake(what, &wanted.span, "not known").hint(hint));
                return;
            }
        },
    };
    let machine = match (&pool.machine_type, row) {
        (Some(machine), _) => machine.to_string(),
        (None, Some(row)) => row.machine_type.to_owned(),
        (None, None) => SYSTEM_MACHINE.to_owned(),
    };
    if let Some(row) = row
        && !row.machine_prefixes.iter().any(|prefix| machine.starts_with(prefix))
    {
        let what = format!("{} does not come with machine type {machine}", row.name);
        let span = pool.machine_type.as_ref().map_or(&pool.span, |machine| &machine.span);
        let hint = format!(
            "leave `machine_type` out for {}, or choose one of {}*",
            row.machine_type,
            row.machine_prefixes.join("*, ")
        );
        expansion.report(mistake(what, span, "GKE refuses this pair").hint(hint));
    }
    let zone = pool.zone.as_ref().map_or(place.location, |zone| &**zone);
    if let Some(row) = row.filter(|row| !row.offered_in(zone)) {
        let span = pool.accelerator.as_ref().map_or(pool.span.clone(), |wanted| wanted.span.clone());
        let near =
            row.zones.iter().filter(|z| z.split('-').next() == zone.split('-').next()).copied().collect::<Vec<_>>();
        let list = if near.is_empty() { row.zones } else { &near };
        expansion.report(
            Diagnostic::warning(format!("{zone} is not known to offer {}", row.name))
                .at(span, "may not be to be had here")
                .hint(format!("zones that do: {}", list.join(", "))),
        );
    }
    let mut attrs = json!({
        "name": name, "cluster": place.cluster, "project": place.project, "location": place.location,
        "machine_type": machine,
        "nodes": pool.nodes.as_ref().map_or(1, |nodes| nodes.get()),
        "oauth_scopes": SCOPES,
        "auto_repair": true, "auto_upgrade": true,
        "max_surge": pool.max_surge.as_ref().map_or(1, |count| count.get()),
    });
    put(&mut attrs, "max_unavailable", pool.max_unavailable.as_ref().map(|count| count.get()));
    if let Some(bounds) = &pool.autoscale {
        attrs["autoscale"] = json!({"min": bounds.min, "max": bounds.max});
    }
    put(&mut attrs, "disk_size_gb", pool.disk_size_gb.as_ref().map(|size| size.get()));
    put(&mut attrs, "disk_type", pool.disk_type.as_ref().map(|kind| kind.to_string()));
    put(&mut attrs, "service_account", pool.service_account.as_ref().map(|name| name.to_string()));
    put(&mut attrs, "max_pods_per_node", pool.max_pods_per_node.as_ref().map(|count| count.get()));
    put(&mut attrs, "image_streaming", pool.image_streaming.as_ref().map(|on| on.value).or(place.streaming));
    put(&mut attrs, "workload_metadata", place.identities.then_some("gke"));
    let zones = pool.zone.iter().chain(&pool.node_locations).map(|zone| zone.to_string()).collect::<Vec<_>>();
    if !zones.is_empty() {
        attrs["node_locations"] = zones.into();
    }
    let mut labels =
        pool.labels.iter().map(|(key, label)| (key.clone(), Json::from(&*label.0))).collect::<serde_json::Map<_, _>>();
    match row {
        Some(row) if row.family == Family::Gpu => {
            let count = row.on(&machine);
            attrs["accelerator"] = json!({"type": row.kind, "count": count, "gpu_driver": "default"});
            if expansion.addon("gpu-operator").is_some() {
                // Two device plugins would race; Google's stays off nodes with this label, from their birth.
                labels.insert("gke-no-default-nvidia-gpu-device-plugin".to_owned(), "true".into());
            }
        }
        Some(row) => slice(expansion, pool, row, &mut attrs),
        None => {}
    }
    if !labels.is_empty() {
        attrs["labels"] = Json::Object(labels);
    }
    if !pool.taints.is_empty() {
        attrs["taints"] = pool.taints.iter().map(taint).collect();
    }
    provisioning(expansion, pool, row, &mut attrs);
    let timing = match row.map(|row| row.family) {
        None => timing::PLAIN_POOL,
        Some(Family::Gpu) => timing::GPU_POOL,
        Some(Family::Tpu) => timing::TPU_POOL,
    };
    expansion.add(Resource {
        address: Address::new(format!("node_pools.{name}")),
        kind: "gke.node_pool",
        attrs: Value::from_json(&attrs).into(),
        needs: vec![Need { on: Address::new("cluster"), reason: "the pool is part of the cluster".to_owned() }],
        connection: Some(Address::new("cluster")),
        ceded: Vec::new(),
        timeout: pool.timeout.as_ref().map_or(timing.timeout, |timeout: &Spanned<Duration>| timeout.value),
        estimate: timing.estimate,
        origin: None,
    });
}

/// The shape of a TPU pool: a single host names no topology, a slice has as many nodes as fill it.
fn slice(expansion: &mut Expansion<'_>, pool: &NodePool, row: &Accelerator, attrs: &mut Json) {
    // Google's samples state it for TPUs.
    attrs["reservation"] = "none".into();
    if row.hosts > 1 {
        let topology = pool.topology.as_ref().map_or(row.topology.unwrap_or_default(), |topology| &***topology);
        attrs["nodes"] = row.hosts.into();
        attrs["tpu_topology"] = topology.into();
        attrs["placement"] = "compact".into();
        if let Some(nodes) = pool.nodes.as_ref().filter(|nodes| nodes.get() != row.hosts) {
            let what = format!("a slice of {topology} has {} nodes, not {}", row.hosts, nodes.get());
            let hint = "leave `nodes` out; another size is another accelerator, and a new pool";
            expansion.report(mistake(what, &nodes.span, "all at once").hint(hint));
        }
        let zones = attrs["node_locations"].as_array().map_or(0, Vec::len);
        let regional = attrs["location"].as_str().is_some_and(|location| location.split('-').count() == 2);
        if zones > 1 || (zones == 0 && regional) {
            let span = pool.node_locations.first().map_or(&pool.span, |zone| &zone.span);
            let what = format!("a slice of {topology} is in one zone");
            expansion.report(mistake(what, span, "its hosts are neighbours").hint("name the zone with `zone`"));
        }
        if let Some(bounds) = &pool.autoscale
            && (bounds.min, bounds.max) != (0, row.hosts)
        {
            let what = format!("a slice of {topology} has 0 or {} nodes, nothing between", row.hosts);
            let hint = format!("write autoscale = [0, {}], or leave it out", row.hosts);
            expansion.report(mistake(what, &bounds.span, "GKE makes and removes it as a whole").hint(hint));
        }
    }
}

fn provisioning(expansion: &mut Expansion<'_>, pool: &NodePool, row: Option<&Accelerator>, attrs: &mut Json) {
    match pool.provisioning.as_ref().map(|provisioning| (&provisioning.value, &provisioning.span)) {
        None | Some((Provisioning::OnDemand, _)) => {}
        Some((Provisioning::Spot, _)) => attrs["spot"] = true.into(),
        Some((Provisioning::Reservation(name), _)) => attrs["reservation"] = name.as_str().into(),
        Some((Provisioning::FlexStart, span)) => {
            if row.is_none() {
                let what = "flex-start is for accelerators";
                expansion.report(mistake(what, span, "this pool has none").hint("use spot or on-demand"));
            }
            // Queued capacity: the pool starts empty, scales up to its size, and is never repaired.
            let nodes = attrs["nodes"].as_i64().unwrap_or(1).max(1);
            let max = pool.autoscale.as_ref().map_or(nodes, |bounds| bounds.max);
            attrs["flex_start"] = true.into();
            attrs["nodes"] = 0.into();
            attrs["autoscale"] = json!({"min": 0, "max": max});
            attrs["reservation"] = "none".into();
            attrs["auto_repair"] = false.into();
        }
    }
}

fn taint(taint: &crate::stack::model::Taint) -> Json {
    let effect = match taint.effect.value {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    };
    let mut json = json!({"key": &**taint.key, "effect": effect});
    put(&mut json, "value", taint.value.as_ref().map(|value| value.0.clone()));
    json
}

fn put(json: &mut Json, key: &str, value: Option<impl Into<Json>>) {
    if let Some(value) = value {
        json[key] = value.into();
    }
}
