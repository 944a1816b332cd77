//! The Compute API as far as clusters and their clean-up need it: lists, gets, deletes and simple inserts of
//! the resources that pools, load balancers and volumes are made of, offers, and quotas.
//!
//! Documents live in `google/compute/<collection>` under `project/scope/name`; fields that begin with `_` are
//! ours and never shown. What creates them is in `container::nodes`, `network` and `cloud`.

pub mod cloud;
pub mod filter;
pub mod network;

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Map, Value as Json, json};

use super::answer::{Call, Refusal};
use super::container::{nodes, quotas};
use super::{Google, offers};

/// Collections with the kind of their members.
const COLLECTIONS: &[(&str, &str)] = &[
    ("addresses", "address"),
    ("backendServices", "backendService"),
    ("disks", "disk"),
    ("firewalls", "firewall"),
    ("forwardingRules", "forwardingRule"),
    ("healthChecks", "healthCheck"),
    ("httpHealthChecks", "httpHealthCheck"),
    ("instanceGroupManagers", "instanceGroupManager"),
    ("instanceGroups", "instanceGroup"),
    ("instances", "instance"),
    ("networkEndpointGroups", "networkEndpointGroup"),
    ("networks", "network"),
    ("reservations", "reservation"),
    ("routers", "router"),
    ("routes", "route"),
    ("sslCertificates", "sslCertificate"),
    ("subnetworks", "subnetwork"),
    ("targetHttpProxies", "targetHttpProxy"),
    ("targetHttpsProxies", "targetHttpsProxy"),
    ("targetPools", "targetPool"),
    ("targetSslProxies", "targetSslProxy"),
    ("targetTcpProxies", "targetTcpProxy"),
    ("urlMaps", "urlMap"),
];

const ROOT: &str = "https://www.googleapis.com/compute/v1";

fn section(collection: &str) -> String {
    format!("google/compute/{collection}")
}

fn kind(collection: &str) -> Option<&'static str> {
    COLLECTIONS.iter().find(|(name, _)| *name == collection).map(|(_, kind)| *kind)
}

/// All documents of a collection, ours included.
pub fn all(google: &Google, collection: &str) -> Vec<Json> {
    google.world.section(&section(collection)).values().map(|d| (**d).clone()).collect()
}

/// Writes a resource; identity, links and time are filled in, and kept where it exists already.
pub fn put(google: &Google, project: &str, collection: &str, scope: &str, name: &str, fields: Json) {
    let key = format!("{project}/{scope}/{name}");
    let old = google.world.get(&section(collection), &key);
    let id = match &old {
        Some(old) => old["id"].clone(),
        None => json!(google.number(&format!("{collection} {key} {}", google.serial()))),
    };
    let created = old.as_ref().map_or_else(|| json!(created(google)), |old| old["creationTimestamp"].clone());
    let mut document = json!({
        "kind": format!("compute#{}", kind(collection).unwrap_or(collection)),
        "id": id,
        "creationTimestamp": created,
        "name": name,
        "selfLink": format!("{ROOT}/projects/{project}/{scope}/{collection}/{name}"),
        "_project": project,
        "_scope": scope,
    });
    if let Some((word, place)) = scope.split_once('/') {
        document[if word == "zones" { "zone" } else { "region" }] = json!(format!("{ROOT}/projects/{project}/{scope}"));
        let _ = place;
    }
    if let (Some(document), Json::Object(fields)) = (document.as_object_mut(), fields) {
        document.extend(fields);
        if document.contains_key("labels") && !document.contains_key("labelFingerprint") {
            let fingerprint = google.digits(&format!("labels {:?}", document["labels"]), 8);
            document.insert("labelFingerprint".to_owned(), json!(fingerprint));
        }
    }
    if old.as_deref() != Some(&document) {
        google.world.put(&section(collection), &key, document);
    }
}

fn created(google: &Google) -> String {
    let micros = google.clock.now().rfc3339_micros();
    format!("{}.{}-00:00", &micros[..19], &micros[20..23])
}

fn key_of(document: &Json) -> String {
    let text = |field: &str| document[field].as_str().unwrap_or_default();
    format!("{}/{}/{}", text("_project"), text("_scope"), text("name"))
}

/// Writes a document that was read before, changed.
pub fn replace(google: &Google, collection: &str, document: Json) {
    google.world.put(&section(collection), &key_of(&document), document);
}

/// Removes a document that was read before.
pub fn delete_document(google: &Google, collection: &str, document: &Json) {
    google.world.remove(&section(collection), &key_of(document));
}

/// Removes what a cluster or its controllers made, unless the world's rules make it leak.
pub fn let_go(google: &Google, collection: &str, document: &Json) {
    if !google.faults.leaks(collection, document["name"].as_str().unwrap_or_default()) {
        delete_document(google, collection, document);
    }
}

/// Answers a call; `words` begin with `projects`.
///
/// # Errors
/// Compute's refusals.
pub fn answer(google: &Arc<Google>, call: &Call, words: &[&str]) -> Result<Json, Refusal> {
    let ["projects", project, rest @ ..] = words else { return Err(unknown(call)) };
    if google.faults.disabled("compute.googleapis.com") {
        let number = google.project_number(project);
        let text = format!(
            "Compute Engine API has not been used in project {number} before or it is disabled. Enable it by visiting \
             https://console.developers.google.com/apis/api/compute.googleapis.com/overview?project={number} then retry."
        );
        return Err(Refusal::new(403, "PERMISSION_DENIED", "accessNotConfigured", text).because(
            "SERVICE_DISABLED",
            "googleapis.com",
            json!({"service": "compute.googleapis.com", "consumer": format!("projects/{number}")}),
        ));
    }
    network::ensure_default(google, project);
    bury(google);
    let get = call.method == Method::GET;
    match rest {
        [] if get => Ok(json!({
            "kind": "compute#project", "id": google.project_number(project), "name": project,
            "selfLink": format!("{ROOT}/projects/{project}"), "quotas": quotas::of_project(google, project),
            "defaultServiceAccount": format!("{}-compute@developer.gserviceaccount.com", google.project_number(project)),
        })),
        ["regions"] if get => {
            let items: Vec<Json> = offers::regions().map(|r| region(google, project, r)).collect();
            listed(call, "region", &format!("projects/{project}/regions"), items)
        }
        ["regions", name] if get => match offers::is_region(name) {
            true => Ok(region(google, project, name)),
            false => Err(missing(&format!("projects/{project}/regions/{name}"))),
        },
        ["zones"] if get => {
            let items = offers::regions().flat_map(offers::zones_of).map(|z| zone(project, &z)).collect();
            listed(call, "zone", &format!("projects/{project}/zones"), items)
        }
        ["zones", name] if get => match offers::is_zone(name) {
            true => Ok(zone(project, name)),
            false => Err(missing(&format!("projects/{project}/zones/{name}"))),
        },
        ["aggregated", collection] if get => aggregated(google, call, project, collection),
        ["zones" | "regions", place, "operations", name, ..] => {
            operation_of(google, call, &format!("{}/{place}", rest[0]), project, name)
        }
        ["global", "operations", name, ..] => operation_of(google, call, "global", project, name),
        ["zones", place, "machineTypes" | "acceleratorTypes", tail @ ..] if get => {
            offer(call, project, place, rest[2], tail.first().copied())
        }
        [word @ ("zones" | "regions"), place, collection, tail @ ..] => {
            let known = if *word == "zones" { offers::is_zone(place) } else { offers::is_region(place) };
            if !known {
                return Err(missing(&format!("projects/{project}/{word}/{place}")));
            }
            resources(google, call, project, &format!("{word}/{place}"), collection, tail)
        }
        ["global", collection, tail @ ..] => resources(google, call, project, "global", collection, tail),
        _ => Err(unknown(call)),
    }
}

fn unknown(call: &Call) -> Refusal {
    Refusal::new(404, "", "notFound", format!("The requested URL {} was not found on this server.", call.path()))
}

fn missing(path: &str) -> Refusal {
    Refusal::new(404, "", "notFound", format!("The resource '{path}' was not found"))
}

fn region(google: &Google, project: &str, name: &str) -> Json {
    let zones: Vec<_> = offers::zones_of(name).iter().map(|z| format!("{ROOT}/projects/{project}/zones/{z}")).collect();
    json!({
        "kind": "compute#region", "id": google.number(&format!("region {name}")), "name": name, "description": name,
        "status": "UP", "zones": zones, "quotas": quotas::of_region(google, project, name),
        "selfLink": format!("{ROOT}/projects/{project}/regions/{name}"),
    })
}

fn zone(project: &str, name: &str) -> Json {
    let region = offers::region_of(name);
    json!({
        "kind": "compute#zone", "name": name, "description": name, "status": "UP",
        "region": format!("{ROOT}/projects/{project}/regions/{region}"),
        "selfLink": format!("{ROOT}/projects/{project}/zones/{name}"),
    })
}

fn machine_type(project: &str, zone: &str, machine: &offers::Machine) -> Json {
    json!({
        "kind": "compute#machineType", "name": machine.name, "zone": zone, "guestCpus": machine.cpus,
        "memoryMb": machine.memory_mb, "isSharedCpu": machine.name.ends_with("micro") || machine.name.ends_with("small"),
        "description": format!("{} vCPUs, {} GB RAM", machine.cpus, machine.memory_mb / 1024),
        "selfLink": format!("{ROOT}/projects/{project}/zones/{zone}/machineTypes/{}", machine.name),
    })
}

fn accelerator_type(project: &str, zone: &str, name: &str, description: &str) -> Json {
    json!({
        "kind": "compute#acceleratorType", "name": name, "description": description, "maximumCardsPerInstance": 4,
        "zone": format!("{ROOT}/projects/{project}/zones/{zone}"),
        "selfLink": format!("{ROOT}/projects/{project}/zones/{zone}/acceleratorTypes/{name}"),
    })
}

fn offered(project: &str, zone: &str, collection: &str) -> Vec<Json> {
    if collection == "machineTypes" {
        offers::machines(zone).iter().map(|m| machine_type(project, zone, m)).collect()
    } else {
        offers::accelerators(zone).iter().map(|(n, d)| accelerator_type(project, zone, n, d)).collect()
    }
}

/// Machine and accelerator types of a zone.
fn offer(call: &Call, project: &str, zone: &str, collection: &str, name: Option<&str>) -> Result<Json, Refusal> {
    let path = format!("projects/{project}/zones/{zone}/{collection}");
    if !offers::is_zone(zone) {
        return Err(missing(&format!("projects/{project}/zones/{zone}")));
    }
    let items = offered(project, zone, collection);
    match name {
        None => listed(call, collection.trim_end_matches('s'), &path, items),
        Some(name) => {
            items.into_iter().find(|item| item["name"] == json!(name)).ok_or_else(|| missing(&format!("{path}/{name}")))
        }
    }
}

/// Removes what is ours.
fn shown(mut document: Json) -> Json {
    if let Some(object) = document.as_object_mut() {
        object.retain(|key, _| !key.starts_with('_'));
    }
    document
}

fn listed(call: &Call, kind: &str, path: &str, items: Vec<Json>) -> Result<Json, Refusal> {
    let (items, next) = page(call, filtered(call, items)?);
    let mut out = json!({
        "kind": format!("compute#{kind}List"), "id": path, "selfLink": format!("{ROOT}/{path}"),
    });
    if !items.is_empty() {
        out["items"] = json!(items);
    }
    if let Some(next) = next {
        out["nextPageToken"] = json!(next);
    }
    Ok(out)
}

fn filtered(call: &Call, items: Vec<Json>) -> Result<Vec<Json>, Refusal> {
    let Some(text) = call.query("filter").filter(|text| !text.is_empty()) else { return Ok(items) };
    let filter = filter::Filter::parse(text).ok_or_else(|| {
        Refusal::new(
            400,
            "",
            "invalid",
            format!("Invalid value for field 'filter': '{text}'. Invalid list filter expression."),
        )
    })?;
    Ok(items.into_iter().filter(|item| filter.matches(item)).collect())
}

/// The page that the call asks for and the token of the next one.
fn page<T>(call: &Call, items: Vec<T>) -> (Vec<T>, Option<String>) {
    let size = call.query("maxResults").and_then(|n| n.parse().ok()).unwrap_or(500usize).clamp(1, 500);
    let from: usize = call.query("pageToken").and_then(|t| t.parse().ok()).unwrap_or(0);
    let next = (items.len() > from + size).then(|| (from + size).to_string());
    (items.into_iter().skip(from).take(size).collect(), next)
}

/// `aggregated/X`: every scope of the project, those without items with a warning.
fn aggregated(google: &Google, call: &Call, project: &str, collection: &str) -> Result<Json, Refusal> {
    let offers_only = matches!(collection, "machineTypes" | "acceleratorTypes");
    let kind = match collection {
        "machineTypes" => "machineType",
        "acceleratorTypes" => "acceleratorType",
        _ => kind(collection).ok_or_else(|| unknown(call))?,
    };
    let mut found: Vec<(String, Json)> = if offers_only {
        let zones = offers::regions().flat_map(offers::zones_of);
        zones
            .flat_map(|zone| offered(project, &zone, collection).into_iter().map(move |i| (format!("zones/{zone}"), i)))
            .collect()
    } else {
        let mine = all(google, collection).into_iter().filter(|d| d["_project"] == json!(project));
        mine.map(|d| (d["_scope"].as_str().unwrap_or_default().to_owned(), shown(d))).collect()
    };
    if let Some(text) = call.query("filter").filter(|text| !text.is_empty()) {
        let bad = || {
            Refusal::new(
                400,
                "",
                "invalid",
                format!("Invalid value for field 'filter': '{text}'. Invalid list filter expression."),
            )
        };
        let filter = filter::Filter::parse(text).ok_or_else(bad)?;
        found.retain(|(_, item)| filter.matches(item));
    }
    let scoped = !offers_only;
    let mut items = Map::new();
    let empty = |scope: &str| {
        json!({"warning": {
            "code": "NO_RESULTS_ON_PAGE", "message": format!("There are no results for scope '{scope}' on this page."),
            "data": [{"key": "scope", "value": scope}],
        }})
    };
    if scoped {
        items.insert("global".to_owned(), empty("global"));
        for region in offers::regions() {
            items.insert(format!("regions/{region}"), empty(&format!("regions/{region}")));
        }
    }
    for zone in offers::regions().flat_map(offers::zones_of) {
        items.insert(format!("zones/{zone}"), empty(&format!("zones/{zone}")));
    }
    let hidden = google.faults.unreachable(collection, items.keys());
    found.retain(|(scope, _)| !hidden.contains(scope));
    let (found, next) = page(call, found);
    for (scope, item) in found {
        let slot = items.entry(scope).or_insert_with(|| json!({}));
        if slot.get("warning").is_some() {
            *slot = json!({});
        }
        match slot[collection].as_array_mut() {
            Some(list) => list.push(item),
            None => slot[collection] = json!([item]),
        }
    }
    for place in &hidden {
        items[place] = json!({"warning": {
            "code": "UNREACHABLE", "message": format!("The following scope is unreachable: {place}"),
            "data": [{"key": "scope", "value": place}],
        }});
    }
    let mut out = json!({
        "kind": format!("compute#{kind}AggregatedList"), "id": format!("projects/{project}/aggregated/{collection}"),
        "items": items, "selfLink": format!("{ROOT}/projects/{project}/aggregated/{collection}"),
    });
    if !hidden.is_empty() {
        out["unreachables"] = hidden.iter().map(|place| json!(format!("projects/{project}/{place}"))).collect();
    }
    if let Some(next) = next {
        out["nextPageToken"] = json!(next);
    }
    Ok(out)
}

/// Calls on resources of one scope.
fn resources(
    google: &Arc<Google>,
    call: &Call,
    project: &str,
    scope: &str,
    collection: &str,
    tail: &[&str],
) -> Result<Json, Refusal> {
    let kind = kind(collection).ok_or_else(|| unknown(call))?;
    let path = format!("projects/{project}/{scope}/{collection}");
    let find = |name: &str| {
        let found = google.world.get(&section(collection), &format!("{project}/{scope}/{name}"));
        found.map(|d| (*d).clone()).ok_or_else(|| missing(&format!("{path}/{name}")))
    };
    match (&call.method, tail) {
        (&Method::GET, []) => {
            let here = |d: &Json| d["_project"] == json!(project) && d["_scope"] == json!(scope);
            let items =
                all(google, collection).into_iter().filter(here).map(|d| fresh(google, collection, d)).collect();
            listed(call, kind, &path, items)
        }
        (&Method::GET, [name]) => find(name).map(|d| fresh(google, collection, d)),
        (&Method::GET, [name, "listErrors"]) if collection == "instanceGroupManagers" => {
            let errors = nodes::group_errors(google, &find(name)?);
            Ok(if errors.is_empty() { json!({}) } else { json!({ "items": errors }) })
        }
        (&Method::POST, [name, "listManagedInstances"]) if collection == "instanceGroupManagers" => {
            let group = find(name)?;
            let members: Vec<Json> = members(google, &group)
                .iter()
                .map(|i| json!({"instance": i["selfLink"], "id": i["id"], "instanceStatus": "RUNNING", "currentAction": "NONE"}))
                .collect();
            Ok(json!({ "managedInstances": members }))
        }
        (&Method::POST, [name, "listInstances"]) if collection == "instanceGroups" => {
            let members: Vec<Json> = members(google, &find(name)?)
                .iter()
                .map(|i| json!({"instance": i["selfLink"], "status": "RUNNING"}))
                .collect();
            Ok(json!({"kind": "compute#instanceGroupsListInstances", "items": members}))
        }
        (&Method::POST, []) => insert(google, call, project, scope, collection),
        (&Method::DELETE, [name]) => {
            let document = find(name)?;
            in_use(google, collection, &document)?;
            delete_document(google, collection, &document);
            released(google, collection, &document);
            Ok(operation(google, project, scope, "delete", &document, None))
        }
        (&Method::POST, [name, "setLabels"]) => {
            let mut document = find(name)?;
            document["labels"] = call.json()?["labels"].clone();
            replace(google, collection, document.clone());
            Ok(operation(google, project, scope, "setLabels", &document, None))
        }
        _ => Err(unknown(call)),
    }
}

/// Removes the machines whose time is over.
fn bury(google: &Google) {
    let now = google.clock.now().0;
    let over = |document: &&Json| document["_dies"].as_u64().is_some_and(|dies| dies <= now);
    for machine in all(google, "instances").iter().filter(over) {
        delete_document(google, "instances", machine);
        released(google, "instances", machine);
    }
}

fn members(google: &Google, group: &Json) -> Vec<Json> {
    all(google, "instances")
        .into_iter()
        .filter(|i| i["_group"] == group["name"] && i["_project"] == group["_project"])
        .collect()
}

/// A document with what is counted at the moment of asking.
fn fresh(google: &Google, collection: &str, mut document: Json) -> Json {
    if collection == "instanceGroupManagers" {
        let present = members(google, &document).len() as u64;
        let wanted = document["targetSize"].as_u64().unwrap_or(0);
        let mut actions = json!({});
        for action in [
            "abandoning",
            "creating",
            "creatingWithoutRetries",
            "deleting",
            "none",
            "recreating",
            "refreshing",
            "restarting",
            "resuming",
            "starting",
            "stopping",
            "suspending",
            "verifying",
        ] {
            actions[action] = json!(0);
        }
        actions["none"] = json!(present.min(wanted));
        actions["creating"] = json!(wanted.saturating_sub(present));
        actions["deleting"] = json!(present.saturating_sub(wanted));
        document["currentActions"] = actions;
        document["fingerprint"] = json!(google.digits(&format!("group {wanted}"), 8));
        document["status"] = json!({
            "allInstancesConfig": {"effective": true}, "isStable": present == wanted,
            "stateful": {"hasStatefulConfig": false, "isStateful": false, "perInstanceConfigs": {"allEffective": true}},
            "versionTarget": {"isReached": true},
        });
    }
    shown(document)
}

/// What goes with a thing, or is free after it: a group's machines, a machine's disks.
fn released(google: &Google, collection: &str, document: &Json) {
    if collection == "instanceGroupManagers" {
        for instance in members(google, document) {
            delete_document(google, "instances", &instance);
            released(google, "instances", &instance);
        }
    }
    if collection != "instances" {
        return;
    }
    for disk in all(google, "disks") {
        let users = disk["users"].as_array().cloned().unwrap_or_default();
        if !users.contains(&document["selfLink"]) {
            continue;
        }
        if disk["_boot"] == true {
            delete_document(google, "disks", &disk);
            continue;
        }
        let mut disk = disk;
        disk["users"] = users.into_iter().filter(|user| *user != document["selfLink"]).collect();
        replace(google, "disks", disk);
    }
}

/// Refuses to delete what something else uses.
fn in_use(google: &Google, collection: &str, document: &Json) -> Result<(), Refusal> {
    let link = document["selfLink"].as_str().unwrap_or_default();
    let by = match collection {
        "disks" => document["users"][0].as_str().map(str::to_owned),
        "targetPools" | "targetHttpProxies" | "targetHttpsProxies" | "targetSslProxies" | "targetTcpProxies" => {
            referrer(google, "forwardingRules", "target", link)
        }
        "networkEndpointGroups" | "instanceGroups" => all(google, "backendServices")
            .into_iter()
            .find(|service| {
                service["backends"].as_array().into_iter().flatten().any(|backend| backend["group"] == json!(link))
            })
            .and_then(|service| service["selfLink"].as_str().map(str::to_owned)),
        "healthChecks" | "httpHealthChecks" => ["backendServices", "targetPools"].iter().find_map(|users| {
            let uses = |user: &Json| user["healthChecks"].as_array().into_iter().flatten().any(|c| *c == json!(link));
            let user = all(google, users).into_iter().find(uses)?;
            user["selfLink"].as_str().map(str::to_owned)
        }),
        "backendServices" => referrer(google, "forwardingRules", "backendService", link)
            .or_else(|| referrer(google, "urlMaps", "defaultService", link)),
        "urlMaps" => {
            let proxies = ["targetHttpProxies", "targetHttpsProxies"];
            proxies.iter().find_map(|proxy| referrer(google, proxy, "urlMap", link))
        }
        "networks" => {
            referrer(google, "firewalls", "network", link).or_else(|| referrer(google, "instances", "network", link))
        }
        _ => None,
    };
    match by {
        None => Ok(()),
        Some(by) => {
            let short = |link: &str| link.strip_prefix(&format!("{ROOT}/")).unwrap_or(link).to_owned();
            let what = kind(collection).unwrap_or(collection);
            Err(Refusal::new(
                400,
                "",
                "resourceInUseByAnotherResource",
                format!("The {what} resource '{}' is already being used by '{}'", short(link), short(&by)),
            ))
        }
    }
}

fn referrer(google: &Google, collection: &str, field: &str, link: &str) -> Option<String> {
    let found = all(google, collection).into_iter().find(|d| d[field] == json!(link))?;
    found["selfLink"].as_str().map(str::to_owned)
}

/// A simple insert: what is asked for is what there is.
fn insert(google: &Arc<Google>, call: &Call, project: &str, scope: &str, collection: &str) -> Result<Json, Refusal> {
    let body = call.json()?;
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty()
        || name.len() > 63
        || !name.chars().all(inner)
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
    {
        let text = format!(
            "Invalid value for field 'resource.name': '{name}'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{{0,61}}[a-z0-9])?)'"
        );
        return Err(Refusal::new(400, "", "invalid", text));
    }
    if google.world.get(&section(collection), &format!("{project}/{scope}/{name}")).is_some() {
        let text = format!("The resource 'projects/{project}/{scope}/{collection}/{name}' already exists");
        return Err(Refusal::new(409, "", "alreadyExists", text));
    }
    let mut fields = body;
    match collection {
        "disks" => fields["status"] = json!("READY"),
        "addresses" => {
            let taken = fields["address"].is_string();
            if !taken {
                fields["address"] = json!(network::free_address(google));
            }
            fields["status"] = json!("RESERVED");
        }
        "instances" => {
            // A probe for capacity: this is where Compute says at once what GKE says after 35 minutes.
            let tail = |value: &Json| value.as_str().and_then(|t| t.rsplit('/').next()).unwrap_or_default().to_owned();
            let zone = scope.trim_start_matches("zones/");
            let machine = tail(&fields["machineType"]);
            let accelerator = tail(&fields["guestAccelerators"][0]["acceleratorType"]);
            if offers::machine(&machine, zone).is_none() {
                return Err(missing(&format!("projects/{project}/zones/{zone}/machineTypes/{machine}")));
            }
            if google.faults.stockout(zone, &machine, &accelerator).is_some() {
                let target =
                    json!({"name": name, "selfLink": format!("{ROOT}/projects/{project}/{scope}/instances/{name}")});
                let error = json!({"errors": [{
                    "code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
                    "message": format!(
                        "The zone 'projects/{project}/zones/{zone}' does not have enough resources available to fulfill \
                         the request.  A {machine} VM instance is currently unavailable in the {zone} zone. (state:STOCKOUT)"
                    ),
                }]});
                return Ok(operation(google, project, scope, "insert", &target, Some(error)));
            }
            fields["status"] = json!("RUNNING");
            let lifetime = fields["scheduling"]["maxRunDuration"]["seconds"].as_str().and_then(|s| s.parse().ok());
            if let (Some(seconds), "DELETE") =
                (lifetime, fields["scheduling"]["instanceTerminationAction"].as_str().unwrap_or_default())
            {
                fields["_dies"] = json!(google.clock.now().plus(Duration::from_secs(seconds)).0);
            }
        }
        _ => {}
    }
    put(google, project, collection, scope, &name, fields);
    let target = json!({"name": name, "selfLink": format!("{ROOT}/projects/{project}/{scope}/{collection}/{name}")});
    Ok(operation(google, project, scope, "insert", &target, None))
}

/// Seconds that an operation of Compute takes.
const OPERATION: Duration = Duration::from_secs(3);

/// Writes an operation that is RUNNING at first.
fn operation(google: &Google, project: &str, scope: &str, kind: &str, target: &Json, error: Option<Json>) -> Json {
    let now = google.clock.now();
    let name = format!("operation-{}-{}", now.0, google.digits(&format!("compute {}", google.serial()), 24));
    let mut document = json!({
        "kind": "compute#operation", "id": google.number(&name), "name": name, "operationType": kind, "progress": 0,
        "status": "RUNNING", "user": "user@example.com", "insertTime": created(google), "startTime": created(google),
        "selfLink": format!("{ROOT}/projects/{project}/{scope}/operations/{name}"),
        "targetLink": target["selfLink"], "targetId": target["id"],
        "_done": now.plus(OPERATION).0, "_error": error,
    });
    if let Some((word, _)) = scope.split_once('/') {
        document[if word == "zones" { "zone" } else { "region" }] = json!(format!("{ROOT}/projects/{project}/{scope}"));
    }
    if document["targetId"].is_null()
        && let Some(object) = document.as_object_mut()
    {
        object.remove("targetId");
    }
    google.world.put(&section("operations"), &format!("{project}/{scope}/{name}"), document.clone());
    shown(document)
}

fn operation_of(google: &Google, call: &Call, scope: &str, project: &str, name: &str) -> Result<Json, Refusal> {
    let found = google.world.get(&section("operations"), &format!("{project}/{scope}/{name}"));
    let found = found.ok_or_else(|| missing(&format!("projects/{project}/{scope}/operations/{name}")))?;
    if call.method != Method::GET && call.method != Method::POST {
        return Err(unknown(call));
    }
    let mut document = (*found).clone();
    if google.clock.now().0 >= document["_done"].as_u64().unwrap_or(0) {
        document["status"] = json!("DONE");
        document["progress"] = json!(100);
        document["endTime"] = json!(created(google));
        if !document["_error"].is_null() {
            document["error"] = document["_error"].clone();
            document["httpErrorStatusCode"] = json!(503);
            document["httpErrorMessage"] = json!("SERVICE UNAVAILABLE");
        }
    }
    Ok(shown(document))
}
