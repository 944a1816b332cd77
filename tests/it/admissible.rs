//! What a plan says of Kubernetes objects: the shipped stacks are clean, also against the real definitions, and
//! the simulated API server takes and refuses the same objects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use stackwright::address::Address;
use stackwright::env::clock::{SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::random::SeededRandom;
use stackwright::plan::admissible;
use stackwright::resource::model::{Desired, Resource};
use stackwright::sim::kube::api::{DeleteOptions, Gvk};
use stackwright::sim::kube::server::{ApiServer, Parts};
use stackwright::sim::world::World;
use stackwright::value::Value;

use crate::kube_server::Silent;
use crate::lab::{PRODUCTION, STACKS, is_long, shipped};

fn told(desired: &Desired) -> Vec<String> {
    admissible::check(desired).into_iter().map(|one| format!("{one} ({}; {:?})", one.detail, one.hint)).collect()
}

/// The real definitions by name, where they are at hand.
fn real() -> Option<BTreeMap<String, Json>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["../shared/crds", "../../shared/crds"].map(|folder| root.join(folder));
    let Some(folder) = folders.iter().find(|folder| folder.is_dir()) else {
        eprintln!("skipped: no shared/crds");
        return None;
    };
    Some(definitions(folder))
}

/// The definitions in a folder's files.
fn definitions(folder: &Path) -> BTreeMap<String, Json> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        if entry.path().extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).expect("text");
        let options = serde_saphyr::options! { budget: None };
        let documents: Vec<Json> = serde_saphyr::from_multiple_with_options(&text, options).expect("YAML");
        for document in documents.into_iter().filter(|document| document["kind"] == "CustomResourceDefinition") {
            found.insert(document["metadata"]["name"].as_str().expect("a name").to_owned(), document);
        }
    }
    found
}

#[test]
fn the_shipped_stacks_are_clean() {
    for name in STACKS.into_iter().chain(PRODUCTION) {
        assert_eq!(told(&shipped(name).0), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_shipped_stacks_are_clean_against_the_real_definitions() {
    let Some(real) = real() else { return };
    let mut wrong = Vec::new();
    for name in STACKS.into_iter().chain(PRODUCTION) {
        let (mut desired, _) = shipped(name);
        let mut replaced = 0;
        for resource in &mut desired.resources {
            let key = resource.address.object_key().unwrap_or_default().to_owned();
            let crd = key.strip_prefix("CustomResourceDefinition.apiextensions.k8s.io/");
            if let Some(definition) = crd.and_then(|crd| real.get(crd)) {
                resource.attrs = Value::from_json(definition).into();
                replaced += 1;
            }
        }
        assert!(replaced > 5, "{name}: {replaced}");
        let start = Instant::now();
        wrong.extend(told(&desired).into_iter().map(|one| format!("{name}: {one}")));
        eprintln!("{name}: {} objects, {replaced} real definitions, {:?}", desired.resources.len(), start.elapsed());
    }
    assert_eq!(wrong, Vec::<String>::new(), "\n{}", wrong.join("\n"));
}

/// Where a stand-in's schema asks for something else than the real one at a field that both have. What the real one
/// fills in by itself need not be asked for.
fn compare(path: &str, ours: &Json, real: &Json, wrong: &mut Vec<String>) {
    let words = |schema: &Json, key: &str| {
        let list = schema[key].as_array().into_iter().flatten();
        list.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect::<BTreeSet<_>>()
    };
    let (asked, wanted) = (words(ours, "required"), words(real, "required"));
    for field in wanted.difference(&asked) {
        if real["properties"][field].get("default").is_none() {
            wrong.push(format!("{path}: does not ask for {field}"));
        }
    }
    for field in asked.difference(&wanted) {
        wrong.push(format!("{path}: asks for {field}"));
    }
    if words(ours, "enum") != words(real, "enum") {
        wrong.push(format!("{path}: other words, {:?}", words(real, "enum")));
    }
    for key in ["type", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "default"] {
        let untyped = key == "type" && real.get(key).is_none();
        if ours.get(key).is_some() && ours.get(key) != real.get(key) && !untyped {
            wrong.push(format!("{path}: {key} {} and not {}", ours[key], real[key]));
        }
    }
    for (name, below) in ours["properties"].as_object().into_iter().flatten() {
        if let Some(real) = real["properties"].get(name).filter(|_| name != "status" && name != "metadata") {
            compare(&format!("{path}.{name}"), below, real, wrong);
        }
    }
    for key in ["items", "additionalProperties"] {
        if ours[key].is_object() && real[key].is_object() {
            compare(&format!("{path}[]"), &ours[key], &real[key], wrong);
        }
    }
}

#[test]
fn stand_in_definitions_ask_for_what_the_real_ones_ask_for() {
    // A stand-in serves the stand-in's versions of Istio, and those of the real one are other releases' names.
    let other = [".spec.version: other words"];
    let Some(real) = real() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog/standins/crds");
    let ours = definitions(&folder);
    assert!(ours.len() > 40, "{}", ours.len());
    let mut wrong = Vec::new();
    for (name, ours) in &ours {
        let real = real.get(name).unwrap_or_else(|| panic!("no real definition of {name}"));
        assert_eq!(ours["spec"]["scope"], real["spec"]["scope"], "{name}");
        let served = real["spec"]["versions"].as_array().expect("versions");
        for version in ours["spec"]["versions"].as_array().expect("versions") {
            let place = format!("{name} {}", version["name"].as_str().unwrap_or_default());
            let Some(real) = served.iter().find(|real| real["name"] == version["name"]) else {
                wrong.push(format!("{place}: no such version"));
                continue;
            };
            if version["storage"] != real["storage"] || version["served"] != real["served"] {
                wrong.push(format!("{place}: served or stored otherwise"));
            }
            let schema = |version: &Json| version["schema"]["openAPIV3Schema"].clone();
            compare(&place, &schema(version), &schema(real), &mut wrong);
        }
    }
    wrong.retain(|line| !other.iter().any(|other| line.contains(other)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn object(manifest: &Json) -> Resource {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let name = text(&manifest["metadata"]["name"]);
    Resource {
        address: Address::new(format!("manifests.app/{}/{name}", text(&manifest["kind"]))),
        kind: "k8s.object",
        attrs: Value::from_json(manifest).into(),
        needs: Vec::new(),
        connection: Some(Address::new("cluster")),
        ceded: Vec::new(),
        timeout: Duration::from_secs(1),
        estimate: Duration::from_secs(1),
        origin: None,
    }
}

/// Paths of all values in a tree but for those below `metadata`, names and versions.
fn places(value: &Json, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let mut enter = |key: String, below: &Json| {
        path.push(key);
        found.push(path.clone());
        places(below, path, found);
        path.pop();
    };
    match value {
        Json::Object(map) => map.iter().for_each(|(key, below)| enter(key.clone(), below)),
        Json::Array(items) => items.iter().enumerate().for_each(|(at, below)| enter(at.to_string(), below)),
        _ => {}
    }
}

fn mutate(object: &mut Json, path: &[String], how: usize) {
    let pointer = |path: &[String]| {
        path.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect::<String>()
    };
    let (key, parent) = path.split_last().expect("not the root");
    if how == 0 {
        match object.pointer_mut(&pointer(parent)).expect("there") {
            Json::Object(map) => drop(map.shift_remove(key)),
            Json::Array(items) => drop(items.remove(key.parse().expect("an index"))),
            _ => {}
        }
        return;
    }
    let value = object.pointer_mut(&pointer(path)).expect("there");
    *value = match how {
        1 => json!(-1),
        2 => json!("Not A Word!"),
        3 => json!([]),
        4 => json!({}),
        5 => json!(true),
        6 => json!(""),
        _ => json!(70_000),
    };
}

#[test]
fn the_simulated_server_and_the_plan_agree() {
    let (desired, _) = shipped("gpu-t4");
    let mutations = if is_long() { 40 } else { 6 };
    let clock = DiscreteClock::new(Timestamp::parse("2026-11-22T10:00:00Z").expect("a time"));
    let shared: SharedClock = Arc::new(clock.clone());
    let (mut asked, mut refused, mut different) = (0_u32, 0_u32, Vec::new());
    clock.runtime().expect("a runtime").block_on(async {
        let server = ApiServer::open(Parts {
            cluster: "c".to_owned(),
            world: World::in_memory(),
            clock: shared.clone(),
            random: Arc::new(SeededRandom::new(1)),
            webhooks: Arc::new(Silent),
            plugins: Vec::new(),
            version: "v1.34.1-gke.1293000".to_owned(),
        });
        let api = server.api();
        let loops = tokio::spawn(server.clone().run());
        let is_definition = |resource: &Resource| resource.address.as_str().contains("/CustomResourceDefinition.");
        let mut definitions: BTreeMap<(String, String), &Resource> = BTreeMap::new();
        for resource in desired.resources.iter().filter(|resource| is_definition(resource)) {
            let mut definition = resource.attrs.to_json();
            // Nobody converts here.
            definition["spec"].as_object_mut().expect("a map").shift_remove("conversion");
            api.create(definition.clone()).await.expect("a good definition");
            let text = |value: &Json| value.as_str().expect("text").to_owned();
            let spec = &definition["spec"];
            definitions.insert((text(&spec["group"]), text(&spec["names"]["kind"])), resource);
        }
        shared.sleep(Duration::from_secs(5)).await;
        let mut random = 7_u64;
        let mut draw = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).expect("31 bits") % below
        };
        let mut number = 0;
        for resource in desired.resources.iter().filter(|r| r.kind == "k8s.object" && !is_definition(r)) {
            if !resource.attrs.is_known() {
                continue;
            }
            let good = resource.attrs.to_json();
            let gvk = Gvk::of(&good).expect("a kind");
            let mut all = Vec::new();
            places(&good, &mut Vec::new(), &mut all);
            all.retain(|path| !matches!(path[0].as_str(), "apiVersion" | "kind" | "metadata" | "status"));
            for _ in 0..mutations {
                let mut planted = good.clone();
                number += 1;
                planted["metadata"]["name"] = json!(format!("x-{number}"));
                if planted["metadata"].get("namespace").is_some() {
                    planted["metadata"]["namespace"] = json!("default");
                }
                let what = match all.get(draw(all.len().max(1))) {
                    Some(path) => {
                        let how = draw(8);
                        mutate(&mut planted, path, how);
                        format!("{} = #{how}", path.join("."))
                    }
                    None => String::new(),
                };
                let mut plan = Desired { resources: vec![object(&planted)], ..Desired::default() };
                plan.resources.extend(definitions.get(&(gvk.group.clone(), gvk.kind.clone())).map(|d| (*d).clone()));
                let found = admissible::check(&plan);
                let plan_refuses = found.iter().any(|one| one.severity == stackwright::diag::Severity::Error);
                let answer = api.create(planted).await;
                asked += 1;
                let server_refuses = match &answer {
                    Ok(made) => {
                        if gvk.group == "admissionregistration.k8s.io" {
                            // It would be asked about all that follows.
                            let name = made["metadata"]["name"].as_str().expect("a name");
                            api.delete(&gvk, "", name, DeleteOptions::default()).await.expect("deleted");
                        }
                        false
                    }
                    Err(status) => {
                        assert!(matches!(status.code, 400 | 422), "{status}");
                        true
                    }
                };
                refused += u32::from(server_refuses);
                if plan_refuses != server_refuses {
                    let said = answer.err().map_or_else(|| format!("{found:?}"), |status| status.to_string());
                    different.push(format!("{}: {what}: plan refuses: {plan_refuses}: {said}", resource.address));
                }
            }
        }
        loops.abort();
    });
    eprintln!("{asked} objects, {refused} refused by the server, {} judged differently", different.len());
    assert!(asked > 500 && refused > 100, "{asked} {refused}");
    assert_eq!(different, Vec::<String>::new(), "\n{}", different.join("\n"));
}
