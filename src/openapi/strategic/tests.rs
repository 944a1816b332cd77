//! Strategic merges of built-in kinds.

use serde_json::json;

use super::*;
use crate::openapi::builtin;

fn pod(patch: &Json) -> Result<Json, PatchError> {
    let live = json!({"spec": {
        "containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}],
        "nodeSelector": {"k": "v"},
    }});
    let schema = builtin::schema("", "v1", "Pod").expect("a built-in kind");
    Ok(merge(&schema, &live, &json!({"spec": patch}))?["spec"].clone())
}

fn names(spec: &Json) -> Vec<&str> {
    spec["containers"].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect()
}

#[test]
fn items_are_merged_by_key() {
    let spec = pod(&json!({"containers": [{"name": "b", "image": "9", "args": ["y"]}]})).expect("a patch");
    assert_eq!(
        spec["containers"],
        json!([
            {"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "9", "args": ["y"]},
        ])
    );
    // Lists without a strategy are replaced.
    let spec = pod(&json!({"containers": [{"name": "a", "args": []}]})).expect("a patch");
    assert_eq!(spec["containers"][0]["args"], json!([]));
}

#[test]
fn new_items_come_first_unless_an_order_is_given() {
    let spec = pod(&json!({"containers": [{"name": "n", "image": "i"}]})).expect("a patch");
    assert_eq!(names(&spec), ["n", "a", "b"]);
    let order = json!([{"name": "b"}, {"name": "n"}, {"name": "a"}]);
    let patch = json!({"$setElementOrder/containers": order, "containers": [{"name": "n", "image": "i"}]});
    assert_eq!(names(&pod(&patch).expect("a patch")), ["b", "n", "a"]);
    let patch = json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]});
    assert_eq!(names(&pod(&patch).expect("a patch")), ["b", "a"]);
    let patch = json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "n"}]});
    assert!(matches!(pod(&patch), Err(PatchError::Failed(_))));
}

#[test]
fn directives() {
    let spec = pod(&json!({"containers": [{"name": "a", "$patch": "delete"}]})).expect("a patch");
    assert_eq!(names(&spec), ["b"]);
    let spec = pod(&json!({"containers": [{"name": "n", "image": "i"}, {"$patch": "replace"}]})).expect("a patch");
    assert_eq!(names(&spec), ["n"]);
    let spec = pod(&json!({"nodeSelector": {"$patch": "replace", "z": "1"}})).expect("a patch");
    assert_eq!(spec["nodeSelector"], json!({"z": "1"}));
    let spec = pod(&json!({"nodeSelector": null})).expect("a patch");
    assert_eq!(spec.get("nodeSelector"), None);
    let refused = pod(&json!({"nodeSelector": {"$patch": "explode"}})).expect_err("no such directive");
    assert!(refused.to_string().starts_with("unknown patch type: explode in map:"), "{refused}");
    let refused = pod(&json!({"containers": [{"image": "i"}]})).expect_err("no key");
    assert_eq!(refused.to_string(), "map: {\"image\":\"i\"} does not contain declared merge key: name");
}

#[test]
fn retained_keys_drop_the_others() {
    let schema = builtin::schema("apps", "v1", "Deployment").expect("a built-in kind");
    let live = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let new = merge(&schema, &live, &patch).expect("a patch");
    assert_eq!(new["spec"]["strategy"], json!({"type": "Recreate"}));
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["rollingUpdate"], "type": "Recreate"}}});
    assert_eq!(
        merge(&schema, &live, &patch),
        Err(PatchError::Malformed("invalid patch format of retainKeys".to_owned()))
    );
}

#[test]
fn lists_of_scalars_are_united() {
    let schema = builtin::schema("", "v1", "Pod").expect("a built-in kind");
    let live = json!({"metadata": {"finalizers": ["a", "b"]}});
    let new = merge(&schema, &live, &json!({"metadata": {"finalizers": ["b", "c"]}})).expect("a patch");
    let mut finalizers: Vec<&str> =
        new["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    finalizers.sort_unstable();
    assert_eq!(finalizers, ["a", "b", "c"]);
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}});
    let new = merge(&schema, &live, &patch).expect("a patch");
    assert_eq!(new["metadata"]["finalizers"], json!(["b"]));
}
