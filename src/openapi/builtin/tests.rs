//! The tables are complete and consistent; defaults are those that a real server fills in.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::openapi::{apply, decode, default, prune, recordings, validate};

fn of(api_version: &str, kind: &str) -> Arc<Schema> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    schema(group, version, kind).expect("a built-in kind")
}

#[test]
fn every_type_parses_and_every_name_resolves() {
    let known = [
        "string",
        "boolean",
        "integer",
        "number",
        "int32",
        "int64",
        "bytes",
        "time",
        "microtime",
        "intstr",
        "quantity",
        "object",
        "raw",
        "any",
    ];
    for entry in INDEX.types.values() {
        let parsed = entry.schema();
        assert_eq!(parsed.name, entry.name());
        assert!(parsed.properties.windows(2).all(|pair| pair[0].name < pair[1].name), "{}", entry.name());
        for line in entry.fields.lines().filter(|line| !line.is_empty()) {
            let kind = line.split(' ').nth(1).expect("a type").trim_start_matches("[]").trim_start_matches("{}");
            let kind = kind.trim_start_matches("[]");
            assert!(known.contains(&kind) || named(kind).is_some(), "{}: {kind}", entry.name());
        }
    }
    assert!(INDEX.types.len() > 400);
    assert!(kinds().count() > 60);
}

#[test]
fn every_default_names_a_field() {
    for entry in INDEX.types.values() {
        for (field, value) in defaults::constants(entry.name()) {
            assert!(entry.schema().property(field).is_some(), "{} has no {field}", entry.name());
            assert!(serde_json::from_str::<Json>(value).is_ok(), "{} {field} {value}", entry.name());
        }
    }
}

#[test]
fn facts_that_others_rely_on() {
    let pod = of("v1", "Pod");
    let containers = pod.property("spec").and_then(|spec| spec.schema.property("containers")).expect("declared");
    assert_eq!(containers.schema.list, ListType::Map(vec!["name".into()]));
    let patch = containers.patch.as_deref().expect("a strategy");
    assert!(patch.merge && patch.key.as_deref() == Some("name"));
    assert!(pod.at(&["spec", "containers", "ports", "protocol"]).is_some());
    let service = of("v1", "Service");
    assert!(service.at(&["spec", "selector"]).is_some_and(|selector| selector.atomic));
    // A recursive type: a schema inside a schema.
    let definition = of("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let path = ["spec", "versions", "schema", "openAPIV3Schema", "properties", "a", "properties", "b", "items", "type"];
    assert!(definition.at(&path).is_some_and(|kind| kind.kind == Type::String));
    assert!(schema("apps", "v1", "Nope").is_none());
}

#[test]
fn a_deployment_gets_its_defaults() {
    let mut object = json!({"spec": {"template": {"spec": {"containers": [{
        "name": "c", "image": "r.example.com:5000/i", "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}},
    }]}}}});
    default::apply(&of("apps/v1", "Deployment"), &mut object);
    let spec = &object["spec"];
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    assert_eq!((&spec["replicas"], &spec["revisionHistoryLimit"]), (&json!(1), &json!(10)));
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["dnsPolicy"], "ClusterFirst");
    let container = &pod["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["ports"][0]["protocol"], "TCP");
    assert_eq!(
        container["readinessProbe"],
        json!({
            "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        })
    );
    assert_eq!(container["resources"], json!({}));
}

#[test]
fn values_that_are_set_stay() {
    let mut object = json!({"spec": {"strategy": {"type": "Recreate"}, "replicas": 0}});
    default::apply(&of("apps/v1", "Deployment"), &mut object);
    assert_eq!(object["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(object["spec"]["replicas"], 0);
    let mut service =
        json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80, "targetPort": "http"}, {"port": 81}]}});
    default::apply(&of("v1", "Service"), &mut service);
    let spec = &service["spec"];
    assert_eq!(spec["ports"][0]["targetPort"], "http");
    assert_eq!(spec["ports"][1]["targetPort"], 81);
    assert_eq!(spec["externalTrafficPolicy"], "Cluster");
    assert_eq!(spec["allocateLoadBalancerNodePorts"], true);
    assert_eq!(spec["sessionAffinity"], "None");
}

#[test]
fn decoding_moves_and_fills_in() {
    let mut secret = json!({"data": {"a": "YQ=="}, "stringData": {"a": "b", "c": "d"}});
    default::apply(&of("v1", "Secret"), &mut secret);
    assert_eq!(secret, json!({"data": {"a": "Yg==", "c": "ZA=="}, "type": "Opaque", "metadata": {}}));
    let mut set = json!({"spec": {}});
    default::apply(&of("apps/v1", "StatefulSet"), &mut set);
    assert_eq!(set["status"], json!({"replicas": 0, "availableReplicas": 0}));
    // The typed object before decoding: what is always written, and nothing else.
    assert_eq!(default::zero(&of("v1", "Namespace")), json!({"metadata": {}, "spec": {}, "status": {}}));
}

#[test]
fn pods_request_what_they_may_use() {
    let mut pod = json!({"spec": {"hostNetwork": true, "volumes": [{"name": "v"}], "containers": [{
        "name": "c", "image": "i:1", "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": 2, "memory": "2048Mi", "nvidia.com/gpu": 1}, "requests": {"cpu": 0.5}},
    }]}});
    default::apply(&of("v1", "Pod"), &mut pod);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"], json!({"cpu": "500m", "memory": "2Gi", "nvidia.com/gpu": "1"}));
    assert_eq!(container["ports"][0]["hostPort"], 80);
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(pod["spec"]["volumes"][0]["emptyDir"], json!({}));
}

/// Objects of a kind: some declared fields with values that fit, and some strangers.
fn any_object(schema: &'static Schema, depth: u32) -> BoxedStrategy<Json> {
    let fields: Vec<(String, BoxedStrategy<Json>)> = schema
        .properties
        .iter()
        .map(|property| (property.name.to_string(), any_value(&property.schema, depth)))
        .chain([("stranger".to_owned(), Just(json!(1)).boxed())])
        .collect();
    let count = fields.len();
    prop::collection::btree_set(0..count, 0..count.min(6))
        .prop_flat_map(move |chosen| {
            let (names, values): (Vec<String>, Vec<_>) = chosen.into_iter().map(|at| fields[at].clone()).unzip();
            values.prop_map(move |values| names.iter().cloned().zip(values).collect::<serde_json::Map<_, _>>().into())
        })
        .boxed()
}

fn any_value(schema: &'static Schema, depth: u32) -> BoxedStrategy<Json> {
    match schema.kind {
        Type::Object if depth > 0 && !schema.properties.is_empty() => any_object(schema, depth - 1),
        Type::Object => Just(json!({})).boxed(),
        Type::Array => match &schema.items {
            Some(items) if depth > 0 => {
                prop::collection::vec(any_value(items, depth - 1), 0..2).prop_map(Json::from).boxed()
            }
            _ => Just(json!([])).boxed(),
        },
        Type::Integer | Type::Number => (0..3_i64).prop_map(Json::from).boxed(),
        Type::Boolean => any::<bool>().prop_map(Json::from).boxed(),
        _ => prop::sample::select(vec![json!(""), json!("a"), Json::Null]).boxed(),
    }
}

fn any_built_in() -> impl Strategy<Value = (&'static Schema, Json)> {
    let kinds = [
        ("v1", "Pod"),
        ("v1", "Service"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "Job"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("v1", "LimitRange"),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ];
    prop::sample::select(kinds.to_vec()).prop_flat_map(|(api_version, kind)| {
        let schema: &'static Schema = named(of(api_version, kind).name).expect("a type").schema();
        any_object(schema, 7).prop_map(move |object| (schema, object))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn defaulting_again_changes_nothing((schema, mut object) in any_built_in()) {
        default::apply(schema, &mut object);
        let once = object.clone();
        default::apply(schema, &mut object);
        prop_assert_eq!(object, once);
    }

    #[test]
    fn pruning_again_finds_nothing((schema, mut object) in any_built_in()) {
        let named = prune::unknown(schema, &object);
        prop_assert_eq!(&named, &prune::prune(schema, &mut object));
        prop_assert!(prune::prune(schema, &mut object).is_empty());
        prop_assert_eq!(named.is_empty(), !object.to_string().contains("stranger") && named.is_empty());
    }
}

#[test]
fn created_objects_come_out_as_from_a_real_server() {
    let mut compared = 0;
    for exchange in
        ["03-crud", "06-crd", "11-workloads"].iter().filter_map(|name| recordings::exchanges(name)).flatten()
    {
        let (request, answer) = (&exchange["request"], &exchange["response"]["body"]);
        let (api_version, kind) =
            (answer["apiVersion"].as_str().unwrap_or_default(), answer["kind"].as_str().unwrap_or_default());
        // Status is the server's on creation, and it fills in what is not a default.
        let decided_elsewhere = ["Pod", "Service", "Job", "Event", "TokenRequest", "Eviction"];
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let Some(schema) = schema(group, version, kind) else { continue };
        let created = request["method"] == "POST" && exchange["response"]["status"] == 201;
        if !created || decided_elsewhere.contains(&kind) || !request["body"].is_object() {
            continue;
        }
        let mut object = request["body"].clone();
        prune::prune(&schema, &mut object);
        default::apply(&schema, &mut object);
        let mut answer = answer.clone();
        for object in [&mut object, &mut answer] {
            for name in ["metadata", "kind", "apiVersion"] {
                object[name] = Json::Null;
            }
        }
        assert_eq!(object, answer, "{}", exchange["name"]);
        compared += 1;
    }
    if recordings::exchanges("03-crud").is_some() {
        assert!(compared > 15, "only {compared} creations were comparable");
    }
}

/// Objects as a real server returned them, lists and watch events taken apart.
fn recorded_objects() -> Vec<(String, Json)> {
    let names = [
        "02-namespaces",
        "03-crud",
        "04-apply",
        "05-patch",
        "06-crd",
        "07-delete",
        "08-list",
        "09-watch",
        "11-workloads",
        "11-workloads-kubemark",
        "07-delete-kubemark",
        "12-admission",
    ];
    let mut found = Vec::new();
    for name in names {
        for exchange in recordings::exchanges(name).into_iter().flatten() {
            let label = format!("{name} {}", exchange["name"]);
            let mut stack = vec![exchange["response"]["body"].clone()];
            while let Some(value) = stack.pop() {
                match value {
                    Json::Array(items) => stack.extend(items),
                    Json::Object(mut object) => {
                        stack.extend(object.shift_remove("items").filter(Json::is_array));
                        stack.extend(object.shift_remove("object"));
                        if object.contains_key("metadata") && object.contains_key("kind") {
                            found.push((label.clone(), Json::Object(object)));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    found
}

#[test]
fn objects_of_a_real_server_are_known_valid_and_complete() {
    let objects = recorded_objects();
    let mut wrong = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (label, object) in &objects {
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let kind = object["kind"].as_str().unwrap_or_default();
        let Some(schema) = schema(group, version, kind) else { continue };
        seen.insert(kind);
        let unknown = prune::unknown(&schema, object);
        if !unknown.is_empty() {
            wrong.push(format!("{label} {kind}: unknown {unknown:?}"));
        }
        wrong.extend(validate::validate(&schema, object).iter().map(|error| format!("{label} {kind}: {error}")));
        wrong.extend(decode::check(&schema, object).map(|error| format!("{label} {kind}: {error}")));
        let mut defaulted = object.clone();
        default::apply(&schema, &mut defaulted);
        let changes = apply::compare(&schema, object, &defaulted);
        for (what, set) in [("adds", changes.added), ("removes", changes.removed), ("changes", changes.modified)] {
            if !set.is_empty() {
                wrong.push(format!("{label} {kind}: defaulting {what} {}", set.to_string().replace('\n', " ")));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{} mistakes\n{}", wrong.len(), wrong.join("\n"));
    if !objects.is_empty() {
        assert!(seen.len() > 15, "only {seen:?}");
    }
}
