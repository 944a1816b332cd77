//! Definitions: recorded refusals, real definitions, planted mistakes.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Instant;

use serde_json::json;

use super::*;
use crate::openapi::{recordings, validate};

const FILES: [&str; 10] = [
    "cert-manager",
    "gateway-api",
    "gpu-operator",
    "inference-extension",
    "istio",
    "kserve-llmisvc",
    "lws",
    "rhaii-cert-manager-operator",
    "rhaii-lws-operator",
    "sail-operator",
];

/// Read once: the files hold eight megabytes.
fn definitions() -> &'static [Json] {
    static DEFINITIONS: LazyLock<Vec<Json>> = LazyLock::new(|| {
        let documents = FILES.iter().filter_map(|name| recordings::documents(&format!("crds/{name}.yaml"))).flatten();
        documents.filter(|document| document["kind"] == "CustomResourceDefinition").collect()
    });
    &DEFINITIONS
}

#[test]
fn recorded_refusals() {
    let Some(exchanges) = recordings::exchanges("06-crd") else { return };
    let mut compared = 0;
    for exchange in &exchanges {
        let (request, response) = (&exchange["request"], &exchange["response"]);
        if request["method"] != "POST" || request["body"]["kind"] != "CustomResourceDefinition" {
            continue;
        }
        let found: Vec<Json> = check(&request["body"])
            .iter()
            .map(|e| json!({"reason": e.reason.name(), "message": e.message(), "field": e.path}))
            .collect();
        let wanted = match response["status"].as_u64() {
            Some(422) => response["body"]["details"]["causes"].as_array().cloned().expect("causes"),
            _ => Vec::new(),
        };
        assert_eq!(found, wanted, "{}", exchange["name"]);
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} requests were comparable");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn real_definitions_are_structural_and_read_quickly() {
    let definitions = definitions();
    let started = Instant::now();
    let mut versions = 0;
    for source in definitions {
        let definition = Definition::read(source).expect("a definition");
        assert_eq!(definition.versions.iter().filter(|version| version.storage).count(), 1, "{}", definition.kind);
        for version in &definition.versions {
            assert!(
                version.schema.property("spec").is_some() || version.schema.properties.len() > 3,
                "{}",
                definition.kind
            );
            versions += 1;
        }
    }
    let took = started.elapsed();
    // Ten megabytes of schema in a debug build; a release build takes a tenth.
    assert!(took.as_secs() < 5, "{versions} versions took {took:?}");
    for source in definitions {
        assert_eq!(check(source), [], "{}", source["metadata"]["name"]);
    }
    if !definitions.is_empty() {
        assert!(versions > 60, "only {versions} versions");
    }
}

/// Puts one mistake into a definition's schema and says what must be found.
fn planted(change: impl Fn(&mut Json)) -> Vec<String> {
    let mut definition = json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"list": {
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                        "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
                    }}},
                },
            }}}],
        },
    });
    assert_eq!(check(&definition), []);
    change(&mut definition);
    check(&definition).iter().map(ToString::to_string).collect()
}

#[test]
fn planted_mistakes_are_found() {
    const ROOT: &str = "/spec/versions/0/schema/openAPIV3Schema";
    const LIST: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/list";
    let at = |path: &'static str, field: &'static str, value: Json| {
        move |definition: &mut Json| definition.pointer_mut(path).expect("it is there")[field] = value.clone()
    };
    let list = "spec.validation.openAPIV3Schema.properties[spec].properties[list]";
    assert_eq!(
        planted(at("/spec", "scope", json!("Galaxy"))),
        ["spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\""]
    );
    assert_eq!(
        planted(at(ROOT, "type", json!("array"))),
        [
            "spec.validation.openAPIV3Schema.items: Required value: must be specified",
            "spec.validation.openAPIV3Schema.type: Invalid value: \"array\": must be object at the root",
        ]
    );
    assert_eq!(
        planted(at(LIST, "x-kubernetes-list-map-keys", json!([]))),
        [format!(
            "{list}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"
        )]
    );
    assert_eq!(
        planted(at(LIST, "x-kubernetes-list-type", json!("set"))),
        [
            format!(
                "{list}.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with \
             x-kubernetes-list-type=set"
            ),
            format!(
                "{list}.x-kubernetes-list-type: Invalid value: \"set\": must be map if x-kubernetes-list-map-keys is \
             non-empty"
            ),
        ]
    );
    assert_eq!(
        planted(at(LIST, "anyOf", json!([{"type": "string"}]))),
        [format!("{list}.anyOf[0].type: Forbidden: must be empty to be structural")]
    );
    assert_eq!(
        planted(at(LIST, "uniqueItems", json!(true))),
        [format!(
            "{list}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )]
    );
    assert_eq!(planted(|d| d["spec"]["versions"][0]["storage"] = json!(false)).len(), 1);
    assert_eq!(
        planted(|d| {
            let mut second = d["spec"]["versions"][0].clone();
            second["name"] = json!("v2");
            second["storage"] = json!(false);
            second["schema"]["openAPIV3Schema"]["properties"]["spec"] = json!({});
            d["spec"]["versions"].as_array_mut().expect("a list").push(second);
        }),
        ["spec.versions[1].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for \
             specified object fields"]
    );
}

#[test]
fn mistakes_in_custom_objects_are_found() {
    let definitions = definitions();
    let Some(schema) = definitions
        .iter()
        .filter_map(Definition::read)
        .find(|definition| definition.kind == "HTTPRoute")
        .and_then(|definition| Some(definition.version("v1")?.schema.clone()))
    else {
        return;
    };
    let mut route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "n"},
        "spec": {
            "parentRefs": [{"name": "g"}], "hostnames": ["a.example.com"],
            "rules": [{"matches": [{"path": {"value": "/x"}}], "backendRefs": [{"name": "s", "port": 80}]}],
        },
    });
    default::apply(&schema, &mut route);
    assert_eq!(route["spec"]["rules"][0]["matches"][0]["path"]["type"], "PathPrefix");
    assert_eq!(route["spec"]["rules"][0]["backendRefs"][0]["weight"], 1);
    assert_eq!(validate::validate(&schema, &route), []);
    // A rule in CEL: exact paths hold no dots.
    let mut ruled = route.clone();
    ruled["spec"]["rules"][0]["matches"][0]["path"]["value"] = json!("/a/../b");
    let said = validate::validate(&schema, &ruled);
    assert!(said.iter().any(|error| error.path == "spec.rules[0].matches[0].path"), "{said:?}");
    route["spec"]["hostnames"] = json!(["under_score", 5]);
    route["spec"]["rules"][0]["backendRefs"][0]["port"] = json!(70_000);
    route["spec"]["rules"][0]["matches"][0]["path"]["type"] = json!("Guess");
    let paths: BTreeSet<String> = validate::validate(&schema, &route).into_iter().map(|error| error.path).collect();
    for path in [
        "spec.hostnames[0]",
        "spec.hostnames[1]",
        "spec.rules[0].backendRefs[0].port",
        "spec.rules[0].matches[0].path.type",
    ] {
        assert!(paths.contains(path), "{path} is not in {paths:?}");
    }
}

#[test]
fn most_rules_of_real_definitions_are_understood() {
    fn rules(value: &Json, found: &mut BTreeSet<String>) {
        match value {
            Json::Object(object) => {
                let own = object.get("x-kubernetes-validations").and_then(Json::as_array);
                found.extend(own.into_iter().flatten().filter_map(|rule| rule["rule"].as_str()).map(str::to_owned));
                object.values().for_each(|value| rules(value, found));
            }
            Json::Array(items) => items.iter().for_each(|value| rules(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    definitions().iter().for_each(|definition| rules(definition, &mut found));
    let unknown: Vec<&String> =
        found.iter().filter(|rule| crate::openapi::cel::Program::parse(rule).is_none()).collect();
    assert!(unknown.len() * 20 <= found.len(), "{} of {}: {unknown:#?}", unknown.len(), found.len());
}

#[test]
fn all_patterns_of_real_definitions_compile() {
    fn patterns(value: &Json, found: &mut BTreeSet<String>) {
        match value {
            Json::Object(object) => {
                found.extend(object.get("pattern").and_then(Json::as_str).map(str::to_owned));
                object.values().for_each(|value| patterns(value, found));
            }
            Json::Array(items) => items.iter().for_each(|value| patterns(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    definitions().iter().for_each(|definition| patterns(definition, &mut found));
    let unchecked: Vec<&String> = found.iter().filter(|source| !Pattern::new(source).is_checked()).collect();
    assert!(unchecked.is_empty(), "{unchecked:?}");
}
