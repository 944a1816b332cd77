//! Server-side apply against recorded exchanges, and its laws.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::openapi::crd::Definition;
use crate::openapi::{builtin, jsonpatch, prune, recordings, strategic};

fn write<'a>(schema: &'a Schema, api_version: &'a str, kind: &'a str, manager: &'a str, now: &'a str) -> Write<'a> {
    Write {
        schema,
        api_version,
        kind,
        manager,
        subresource: "",
        now,
        tracked: Tracked::except(&["status"]),
        knows_version: &|_| true,
    }
}

/// Without data there is no `data`: the API server does not store an empty map, and owning one is odd.
fn config_map(data: &Json) -> Json {
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    if data.as_object().is_some_and(|data| !data.is_empty()) {
        map["data"] = data.clone();
    }
    map
}

fn query<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = path.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The newest time in an object's managed fields: when the recorded server wrote it.
fn newest(object: &Json) -> String {
    let entries = object.pointer("/metadata/managedFields").and_then(Json::as_array);
    entries.into_iter().flatten().filter_map(|entry| entry["time"].as_str()).max().unwrap_or_default().to_owned()
}

/// What is compared: everything but what the server, controllers and admission set.
fn essence(object: &Json) -> Json {
    let mut essence = object.clone();
    let entries = object.pointer("/metadata/managedFields").and_then(Json::as_array).cloned().unwrap_or_default();
    let ours: Vec<Json> = entries
        .into_iter()
        .filter(|entry| !entry["manager"].as_str().unwrap_or_default().starts_with("kube-"))
        .collect();
    essence["metadata"] =
        json!({"labels": object.pointer("/metadata/labels"), "finalizers": object.pointer("/metadata/finalizers")});
    essence["managed"] = Json::Array(ours);
    let essence = essence.as_object_mut().expect("an object");
    if object["kind"] == "Deployment" {
        essence.shift_remove("status");
    }
    // Registries give namespaces a finalizer and a phase.
    if object["kind"] == "Namespace" {
        essence.retain(|key, _| key != "spec" && key != "status");
    }
    json!(essence)
}

/// Only who owns what. The annotation that daemon sets get on creation is the registry's.
fn ownership(object: &Json) -> Json {
    let owners = essence(object)["managed"].clone();
    let mut owners = if owners.is_array() { owners } else { json!([]) };
    for entry in owners.as_array_mut().into_iter().flatten() {
        if object["kind"] == "DaemonSet" {
            entry["fieldsV1"].as_object_mut().map(|fields| fields.shift_remove("f:metadata"));
        }
    }
    owners
}

type Schemas<'a> = &'a dyn Fn(&Json, &str) -> Option<std::sync::Arc<Schema>>;

fn replay(name: &str, schema: Schemas<'_>) -> Option<usize> {
    replay_with(name, schema, &essence)
}

/// Replays every write of a recording on the state that was recorded before it; returns how many agreed.
fn replay_with(name: &str, schema: Schemas<'_>, essence: &dyn Fn(&Json) -> Json) -> Option<usize> {
    let mut objects: BTreeMap<String, Json> = BTreeMap::new();
    let mut agreed = 0;
    let mut wrong = Vec::new();
    for exchange in recordings::exchanges(name)? {
        let (request, response) = (&exchange["request"], &exchange["response"]);
        let path = request["path"].as_str().unwrap_or_default();
        let (method, body) = (request["method"].as_str().unwrap_or_default(), &request["body"]);
        let content = request["headers"]["Content-Type"].as_str().unwrap_or_default();
        let plain = path.split('?').next().unwrap_or_default();
        let status = plain.ends_with("/status");
        let key = match method {
            "POST" => format!("{plain}/{}", body["metadata"]["name"].as_str().unwrap_or_default()),
            _ => plain.trim_end_matches("/status").to_owned(),
        };
        let answer = &response["body"];
        let live = objects.get(&key).cloned();
        let found = (|| {
            let kind_of = live.as_ref().filter(|_| content != "application/apply-patch+yaml").unwrap_or(body);
            let schema = schema(kind_of, plain)?;
            let now = newest(answer);
            let agent = request["headers"]["User-Agent"].as_str().unwrap_or_default();
            let manager = query(path, "fieldManager").or(agent.split('/').next()).unwrap_or_default();
            let text = |name: &str| kind_of[name].as_str().unwrap_or_default();
            let mut write = write(&schema, text("apiVersion"), text("kind"), manager, &now);
            let custom = schema.name.is_empty();
            if status {
                write.subresource = "status";
                write.tracked = if custom { Tracked::Only("status") } else { Tracked::except(&["spec"]) };
            }
            if !custom && matches!(text("kind"), "ConfigMap" | "ClusterRole") {
                write.tracked = Tracked::All;
            }
            // The endpoint keeps what it does not own from the live object.
            let reset = |new: &mut Json| {
                let names: &[&str] = match (status, live.as_ref()) {
                    (true, _) => &["spec"],
                    (false, _) => &["status"],
                };
                for name in names {
                    match live.as_ref().and_then(|live| live.get(*name)) {
                        Some(old) => new[*name] = old.clone(),
                        None => {
                            new.as_object_mut()?.shift_remove(*name);
                        }
                    }
                }
                Some(())
            };
            if content == "application/apply-patch+yaml" {
                let force = query(path, "force") == Some("true") || query(path, "force") == Some("maybe");
                return Some(apply(&write, live.as_ref(), body, force).map(|mut new| {
                    reset(&mut new);
                    new
                }));
            }
            let mut new = match (method, content) {
                ("POST" | "PUT", _) => body.clone(),
                (_, "application/merge-patch+json") => {
                    let mut new = live.clone()?;
                    jsonpatch::merge(&mut new, body);
                    new
                }
                (_, "application/strategic-merge-patch+json") => {
                    strategic::merge(&schema, live.as_ref()?, body).ok()?
                }
                (_, "application/json-patch+json") => jsonpatch::apply(live.as_ref()?, body).ok()?,
                _ => return None,
            };
            prune::prune(&schema, &mut new);
            if method == "POST" {
                new.get_mut("metadata")?.as_object_mut()?.shift_remove("deletionTimestamp");
            }
            default::apply(&schema, &mut new);
            reset(&mut new);
            Some(Ok(update(&write, live.as_ref(), new)))
        })();
        let label = format!("{name} {} {}", exchange["name"], path);
        match (found, response["status"].as_u64()) {
            (Some(Ok(new)), Some(200 | 201)) if answer["kind"] == new["kind"] && !path.contains("/scale") => {
                if compare::same(&essence(&new), &essence(answer)) {
                    agreed += 1;
                } else {
                    wrong.push(format!("{label}\n  ours     {}\n  recorded {}", essence(&new), essence(answer)));
                }
            }
            (Some(Err(error)), Some(409 | 500)) => {
                let causes = match &error {
                    ApplyError::Conflict(conflicts) => conflicts
                        .iter()
                        .map(|c| json!({"reason": "FieldManagerConflict", "message": c.message(), "field": c.field()}))
                        .collect(),
                    _ => Vec::new(),
                };
                let recorded = answer.pointer("/details/causes").and_then(Json::as_array).cloned().unwrap_or_default();
                if answer["message"] == error.to_string().as_str() && causes == recorded {
                    agreed += 1;
                } else {
                    wrong.push(format!("{label}\n  ours     {error}\n  recorded {}", answer["message"]));
                }
            }
            // Refused before or after the merge: by preconditions, validation or admission.
            _ => {}
        }
        if path.contains("dryRun") || path.contains("/scale") {
            continue;
        }
        match response["status"].as_u64() {
            Some(200 | 201) if method == "DELETE" => {
                objects.remove(&key);
            }
            Some(200 | 201) if answer.get("metadata").is_some() && answer.get("items").is_none() => {
                objects.insert(key, answer.clone());
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    Some(agreed)
}

fn built_in(object: &Json, path: &str) -> Option<std::sync::Arc<Schema>> {
    // Subresources other than status have rules of their own.
    if path.ends_with("/token") || path.ends_with("/eviction") || path.ends_with("/binding") {
        return None;
    }
    let api_version = object["apiVersion"].as_str()?;
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    builtin::schema(group, version, object["kind"].as_str()?)
}

#[test]
fn recorded_applies() {
    if let Some(agreed) = replay("04-apply", &built_in) {
        assert!(agreed >= 30, "only {agreed} exchanges were comparable");
    }
}

#[test]
fn recorded_patches() {
    if let Some(agreed) = replay("05-patch", &built_in) {
        assert!(agreed >= 15, "only {agreed} exchanges were comparable");
    }
}

#[test]
fn recorded_custom_objects() {
    let Some(exchanges) = recordings::exchanges("06-crd") else { return };
    let definition = Definition::read(&exchanges[9]["request"]["body"]).expect("a definition");
    let schema = definition.storage().expect("a stored version").schema.clone();
    let custom = |object: &Json, path: &str| {
        path.contains("/rec.example.com/").then(|| schema.clone()).filter(|_| object["kind"] == "Widget")
    };
    let agreed = replay("06-crd", &custom).expect("the recording is there");
    assert!(agreed >= 20, "only {agreed} exchanges were comparable");
}

/// Other files differ by what registries, admission and controllers add; who owns what is the same.
#[test]
fn recorded_ownership_of_other_kinds() {
    for (name, least) in [("03-crud", 20), ("07-delete", 5), ("11-workloads", 10), ("12-admission", 3)] {
        if let Some(agreed) = replay_with(name, &built_in, &ownership) {
            assert!(agreed >= least, "only {agreed} exchanges of {name} were comparable");
        }
    }
}

fn apply_as(manager: &str, live: Option<&Json>, data: &Json) -> Result<Json, ApplyError> {
    let schema = builtin::schema("", "v1", "ConfigMap").expect("a built-in kind");
    apply(&write(&schema, "v1", "ConfigMap", manager, "2026-01-01T00:00:00Z"), live, &config_map(data), false)
}

#[test]
fn a_third_party_keeps_what_it_owns() {
    let one = apply_as("a", None, &json!({"k": "1", "j": "1"})).expect("no conflict");
    let two = apply_as("b", Some(&one), &json!({"k": "1"})).expect("no conflict");
    let three = apply_as("a", Some(&two), &json!({})).expect("no conflict");
    assert_eq!(three["data"], json!({"k": "1"}));
    let refused = apply_as("a", Some(&three), &json!({"k": "2"})).expect_err("b owns it");
    assert_eq!(refused.to_string(), "Apply failed with 1 conflict: conflict with \"b\": .data.k");
}

#[test]
fn entries_of_versions_that_are_gone_are_dropped() {
    let schema = builtin::schema("", "v1", "ConfigMap").expect("a built-in kind");
    let mut old = apply_as("a", None, &json!({"k": "1"})).expect("no conflict");
    old["metadata"]["managedFields"][0]["apiVersion"] = json!("v0");
    let knows = |version: &str| version == "v1";
    let write = Write { knows_version: &knows, ..write(&schema, "v1", "ConfigMap", "b", "2026-01-01T00:00:00Z") };
    let new = apply(&write, Some(&old), &config_map(&json!({"k": "2"})), false).expect("nobody owns it any more");
    assert_eq!(new["metadata"]["managedFields"].as_array().map(Vec::len), Some(1));
}

#[test]
fn old_updaters_are_folded_together() {
    let schema = builtin::schema("", "v1", "ConfigMap").expect("a built-in kind");
    let mut live = apply_as("a", None, &json!({"k": "1"})).expect("no conflict");
    for step in 0..15 {
        let (manager, now) = (format!("m{step}"), format!("2026-01-01T00:00:{step:02}Z"));
        let mut new = live.clone();
        new["data"][format!("k{step}")] = json!("x");
        live = update(&write(&schema, "v1", "ConfigMap", &manager, &now), Some(&live), new);
    }
    let managed = Managed::of(&live).expect("readable");
    assert_eq!(managed.entries.len(), 11);
    assert!(managed.entries.keys().any(|id| id.manager == "ancient-changes"));
    let all = managed.entries.values().fold(FieldSet::new(), |all, entry| all.union(&entry.set));
    assert_eq!(all.len(), 16);
}

#[test]
fn fields_that_became_one_value_are_owned_as_one() {
    let schema = builtin::schema("", "v1", "Service").expect("a built-in kind");
    let mut set = FieldSet::new();
    set.insert(&Path::of_fields(&["spec", "selector", "app"]).0);
    let reconciled = merge::reconcile(&schema, &set);
    assert_eq!(reconciled.to_string(), ".spec.selector");
}

#[test]
fn scaling_takes_the_replicas_of_the_parent() {
    let Some(exchanges) = recordings::exchanges("04-apply") else { return };
    let body = |name: &str, part: &str| {
        let exchange = exchanges.iter().find(|exchange| exchange["name"] == name).expect("recorded");
        exchange[part]["body"].clone()
    };
    let parent = body("apply to status subresource", "response");
    let path = Path::of_fields(&["spec", "replicas"]);
    let schema = builtin::schema("autoscaling", "v1", "Scale").expect("a built-in kind");
    let write = Write {
        subresource: "scale",
        tracked: Tracked::All,
        ..write(&schema, "autoscaling/v1", "Scale", "sc", "2026-11-22T10:22:02Z")
    };
    // A Scale of nothing leaves its replicas out.
    let mut live = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {}});
    scale::of_parent(&parent, &path).expect("readable").write_to(&mut live);
    let config = body("apply to scale subresource", "request");
    assert!(matches!(apply(&write, Some(&live), &config, false), Err(ApplyError::Conflict(_))));
    let scaled = Managed::of(&apply(&write, Some(&live), &config, true).expect("forced")).expect("readable");
    let owners = scale::to_parent(&parent, &path, "apps/v1", scaled).expect("readable").to_json();
    assert_eq!(owners, body("deployment get", "response")["metadata"]["managedFields"]);
}

/// Any JSON at all, with words that mean something here.
fn anything() -> impl Strategy<Value = Json> {
    let word = prop::sample::select(vec![
        "apiVersion",
        "kind",
        "metadata",
        "managedFields",
        "spec",
        "versions",
        "schema",
        "openAPIV3Schema",
        "type",
        "object",
        "array",
        "items",
        "properties",
        "x-kubernetes-list-type",
        "map",
        "x-kubernetes-list-map-keys",
        "$patch",
        "data",
        "containers",
        "name",
        "fieldsV1",
        "FieldsV1",
        "operation",
        "Apply",
        "fieldsType",
        "f:a",
        "k:{}",
        "labels",
        "status",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        word.clone().prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(word.clone(), inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

fn any_data() -> impl Strategy<Value = Json> {
    prop::collection::btree_map("[a-d]", "[xyz]", 0..4).prop_map(|map| json!(map))
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing(steps in prop::collection::vec((0..3_usize, any_data()), 1..8)) {
        let mut live: Option<Json> = None;
        for (who, data) in steps {
            let manager = ["a", "b", "c"][who];
            if let Ok(new) = apply_as(manager, live.as_ref(), &data) {
                let again = apply_as(manager, Some(&new), &data).expect("it was possible before");
                prop_assert!(same_but_times(&again, &new), "{} {}", again, new);
                // What was applied is there and owned; what nobody owns is not there.
                for (key, value) in data.as_object().expect("an object") {
                    prop_assert_eq!(&new["data"][key], value);
                }
                let managed = Managed::of(&new).expect("readable");
                let all = managed.entries.values().fold(FieldSet::new(), |all, entry| all.union(&entry.set));
                for key in new["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
                    prop_assert!(all.contains(&Path::of_fields(&["data", key]).0));
                }
                live = Some(new);
            }
        }
    }

    #[test]
    fn comparing_finds_every_change(old in any_data(), new in any_data()) {
        let schema = builtin::schema("", "v1", "ConfigMap").expect("a built-in kind");
        let changes = compare(&schema, &config_map(&old), &config_map(&new));
        let same = changes.added.is_empty() && changes.removed.is_empty() && changes.modified.is_empty();
        prop_assert_eq!(same, old == new);
    }

    #[test]
    fn nonsense_is_survived(live in anything(), config in anything()) {
        let definition = json!({"metadata": {"name": "a.b"}, "spec": {"group": "b", "names": {"plural": "a", "kind": "A"},
            "versions": [{"name": "v1", "storage": true, "schema": {"openAPIV3Schema": live}}]}});
        crate::openapi::crd::check(&definition);
        crate::openapi::crd::check(&live);
        let custom = Definition::read(&definition).and_then(|d| Some(d.storage()?.schema.clone())).expect("readable");
        let pod = builtin::schema("", "v1", "Pod").expect("a built-in kind");
        for schema in [custom, pod] {
            let mut value = config.clone();
            default::apply(&schema, &mut value);
            prune::prune(&schema, &mut value);
            crate::openapi::validate::validate(&schema, &config);
            crate::openapi::decode::check(&schema, &config);
            let _ = strategic::merge(&schema, &live, &config);
            let mut merged = live.clone();
            jsonpatch::merge(&mut merged, &config);
            let _ = jsonpatch::apply(&live, &config);
            let mut object = config.clone();
            if let Some(object) = object.as_object_mut() {
                object.insert("apiVersion".to_owned(), json!("v1"));
                object.insert("kind".to_owned(), json!("Pod"));
            }
            let write = write(&schema, "v1", "Pod", "m", "2026-01-01T00:00:00Z");
            let _ = apply(&write, Some(&live), &object, false);
            let _ = apply(&write, None, &object, true);
            let _ = update(&write, Some(&live), config.clone());
            let set = FieldSet::from_json(&config);
            set.pick(&live);
            set.remove_from(&mut merged);
        }
    }
}
