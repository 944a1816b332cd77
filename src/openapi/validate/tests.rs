//! Validation in the API server's words, as recorded.

use serde_json::json;

use super::*;
use crate::openapi::crd::{self, Definition};
use crate::openapi::{builtin, default, prune, recordings};

fn custom(schema: Json) -> Schema {
    crd::read(schema.as_object().expect("an object"))
}

fn messages(schema: &Schema, value: &Json) -> Vec<String> {
    validate(schema, value).iter().map(ToString::to_string).collect()
}

#[test]
fn recorded_refusals() {
    let Some(exchanges) = recordings::exchanges("06-crd") else { return };
    let definition = Definition::read(&exchanges[9]["request"]["body"]).expect("a definition");
    let schema = &definition.storage().expect("a stored version").schema;
    let mut compared = 0;
    for exchange in &exchanges {
        let (request, answer) = (&exchange["request"], &exchange["response"]["body"]);
        let mut object = request["body"].clone();
        let name = exchange["name"].as_str().unwrap_or_default();
        let decided_elsewhere = ["invalid name", "wrong kind", "transition", "put without"];
        if exchange["response"]["status"] != 422
            || !name.starts_with("CR ")
            || decided_elsewhere.iter().any(|word| name.contains(word))
        {
            continue;
        }
        let found = if name.contains("status") {
            let status = schema.property("status").expect("declared");
            validate_under("status", &with_rules(&status.schema), None, &object["status"])
        } else {
            default::apply(schema, &mut object);
            validate(schema, &object)
        };
        let mut found: Vec<Json> =
            found.iter().map(|e| json!({"reason": e.reason.name(), "message": e.message(), "field": e.path})).collect();
        let mut wanted = answer["details"]["causes"].as_array().cloned().expect("causes");
        // The recorded server walked a Go map: its order is random.
        found.sort_by_key(ToString::to_string);
        wanted.sort_by_key(ToString::to_string);
        assert_eq!(found, wanted, "{name}");
        compared += 1;
    }
    assert!(compared >= 8, "only {compared} refusals were comparable");
}

/// The status subresource is refused with the rules of the whole object in mind.
fn with_rules(schema: &Schema) -> Schema {
    Schema { rules_below: true, ..schema.clone() }
}

#[test]
fn every_restriction_has_its_sentence() {
    for (schema, value, message) in [
        (
            json!({"type": "integer", "minimum": 2, "exclusiveMinimum": true}),
            json!(2),
            "x in body should be greater than 2",
        ),
        (json!({"type": "number", "maximum": 1.5}), json!(2), "x in body should be less than or equal to 1.5"),
        (json!({"type": "integer", "multipleOf": 5}), json!(7), "x in body should be a multiple of 5"),
        (json!({"type": "string", "minLength": 2}), json!("a"), "x in body should be at least 2 chars long"),
        (json!({"type": "string", "pattern": "^b"}), json!("a"), "x in body should match '^b'"),
        (json!({"type": "string", "format": "date-time"}), json!("a"), "x in body must be of type date-time: \"a\""),
        (
            json!({"type": "array", "minItems": 1, "items": {"type": "string"}}),
            json!([]),
            "x in body should have at least 1 items",
        ),
        (
            json!({"type": "array", "maxItems": 1, "items": {"type": "string"}}),
            json!(["a", "b"]),
            "must have at most 1 item",
        ),
        (json!({"type": "object", "minProperties": 1}), json!({}), "x in body should have at least 1 properties"),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            "x in body must be of type integer,string: \"boolean\"",
        ),
        (json!({"type": "string"}), Json::Null, "x in body must be of type string: \"null\""),
        (
            json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({}),
            "\"x\" must validate one and only one schema (oneOf). Found none valid",
        ),
        (
            json!({"type": "object", "anyOf": [{"required": ["a"]}]}),
            json!({}),
            "\"x\" must validate at least one schema (anyOf)",
        ),
        (
            json!({"type": "object", "not": {"required": ["a"]}}),
            json!({"a": 1}),
            "\"x\" must not validate the schema (not)",
        ),
    ] {
        let whole = custom(json!({"type": "object", "properties": {"x": schema}}));
        let errors = validate(&whole, &json!({"x": value}));
        assert_eq!(errors.len(), 1, "{schema} {errors:?}");
        assert_eq!(errors[0].detail, message);
        // Each sentence is there because of the value.
        assert!(validate(&whole, &json!({})).is_empty());
    }
}

#[test]
fn nullable_and_open_values_pass() {
    let schema = custom(json!({"type": "object", "properties": {
        "a": {"type": "string", "nullable": true},
        "b": {"x-kubernetes-preserve-unknown-fields": true},
        "c": {"type": "object", "additionalProperties": {"type": "integer"}},
        "d": {"type": "number"},
    }}));
    let value = json!({"a": null, "b": [1, {"x": null}], "c": {"k": 1.0}, "d": 3});
    assert_eq!(messages(&schema, &value), Vec::<String>::new());
    assert_eq!(
        messages(&schema, &json!({"c": {"k": "v"}})),
        ["c.k: Invalid value: \"string\": c.k in body must be of type integer: \"string\""]
    );
}

#[test]
fn built_in_objects_are_checked() {
    let schema = builtin::schema("apps", "v1", "Deployment").expect("a built-in kind");
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "labels": {"a": 1}},
        "spec": {
            "replicas": "2", "selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {"containers": [
                {"image": "i", "ports": [{"containerPort": 1}, {"containerPort": 1}]},
                {"name": "c", "resources": {"limits": {"cpu": "1core", "memory": 5}}, "nope": true},
            ]}},
        },
    });
    assert_eq!(prune::unknown(&schema, &object), ["spec.template.spec.containers[1].nope"]);
    default::apply(&schema, &mut object);
    assert_eq!(
        messages(&schema, &object),
        [
            "metadata.labels.a: Invalid value: \"integer\": metadata.labels.a in body must be of type string: \"integer\"",
            "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\"",
            "spec.template.spec.containers[0].name: Required value",
            "spec.template.spec.containers[1].resources.limits.cpu: Invalid value: \"1core\": \
         spec.template.spec.containers[1].resources.limits.cpu in body must be of type quantity: \"1core\"",
            "spec.template.spec.containers[0].ports[1]: Duplicate value: {\"containerPort\":1,\"protocol\":\"TCP\"}",
        ]
    );
}

#[test]
fn what_did_not_change_is_not_judged() {
    let schema = custom(json!({"type": "object", "properties": {
        "a": {"type": "integer", "maximum": 1}, "b": {"type": "integer", "maximum": 1},
        "list": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
            "items": {"type": "object", "properties": {"id": {"type": "string"}, "v": {"type": "integer", "maximum": 1}}},
        },
    }}));
    let old = json!({"a": 5, "b": 1, "list": [{"id": "x", "v": 5}, {"id": "y", "v": 1}]});
    let new = json!({"a": 5, "b": 6, "list": [{"id": "y", "v": 6}, {"id": "x", "v": 5}]});
    assert_eq!(validate(&schema, &new).len(), 4);
    let paths: Vec<String> = validate_update(&schema, &old, &new).into_iter().map(|error| error.path).collect();
    assert_eq!(paths, ["b", "list[0].v"]);
}

#[test]
fn what_is_known_only_at_apply_fits_everywhere() {
    let schema = builtin::schema("apps", "v1", "Deployment").expect("a built-in kind");
    let unknown = json!({"$deferred": {"parts": [{"reference": {"address": "cluster", "path": ["endpoint"]}}]}});
    let mut object = json!({"spec": {
        "replicas": unknown, "selector": {}, "strategy": unknown,
        "template": {"metadata": {"labels": {"a": unknown}}, "spec": {"containers": [{"name": "c", "image": unknown}]}},
    }});
    default::apply(&schema, &mut object);
    assert_eq!(object["spec"]["strategy"], unknown);
    assert_eq!(validate_planned(&schema, &object), []);
    assert_eq!(prune::unknown(&schema, &object), Vec::<String>::new());
    assert!(!validate(&schema, &object).is_empty());
    object["spec"]["replicas"] = json!("x");
    assert_eq!(validate_planned(&schema, &object).len(), 1);
}

#[test]
fn defaults_and_nulls_of_custom_objects() {
    let schema = custom(json!({"type": "object", "properties": {
        "plain": {"type": "string"}, "open": {"type": "string", "nullable": true},
        "filled": {"type": "string", "default": "d"}, "kept": {"type": "string", "default": "d", "nullable": true},
        "deep": {"type": "object", "default": {}, "properties": {"x": {"type": "integer", "default": 3}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"y": {"type": "string", "default": "z"}}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"y": {"type": "string", "default": "z"}}}},
    }}));
    let mut value = json!({
        "plain": null, "open": null, "filled": null, "kept": null, "stranger": null, "map": {"k": {}}, "list": [{}, {"y": "own"}],
    });
    default::apply(&schema, &mut value);
    assert_eq!(
        value,
        json!({
            "open": null, "filled": "d", "kept": null, "stranger": null, "deep": {"x": 3}, "map": {"k": {"y": "z"}},
            "list": [{"y": "z"}, {"y": "own"}],
        })
    );
    // Without a parent there is nothing to fill in.
    let mut empty = json!({});
    default::apply(
        &custom(json!({"type": "object", "properties": {"a": {"type": "object", "properties": {
            "b": {"type": "string", "default": "c"},
        }}}})),
        &mut empty,
    );
    assert_eq!(empty, json!({}));
}

#[test]
fn rules_of_transitions() {
    let Some(exchanges) = recordings::exchanges("06-crd") else { return };
    let definition = Definition::read(&exchanges[9]["request"]["body"]).expect("a definition");
    let schema = &definition.storage().expect("a stored version").schema;
    let at = exchanges.iter().position(|exchange| exchange["name"] == "CR transition rule violated").expect("recorded");
    let old = exchanges[at - 1]["response"]["body"].clone();
    let mut new = old.clone();
    crate::openapi::jsonpatch::merge(&mut new, &exchanges[at]["request"]["body"]);
    let said: Vec<String> = validate_update(schema, &old, &new).iter().map(ToString::to_string).collect();
    let answer = &exchanges[at]["response"]["body"];
    assert_eq!(said, ["spec: Invalid value: size may not shrink"]);
    assert!(answer["message"].as_str().is_some_and(|message| message.ends_with(&said[0])));
    // Without an old value there is no transition.
    assert_eq!(validate(schema, &new), []);
}
