//! The algebra of field sets, their text forms, and picking and removing without a schema.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn set(json: Json) -> FieldSet {
    FieldSet::from_json(&json)
}

#[test]
fn paths_read_as_in_conflicts() {
    let set = set(json!({"f:spec": {
        "f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:image": {}}},
        "f:ports": {"k:{\"protocol\":\"TCP\",\"containerPort\":80}": {}},
        "f:tags": {"v:\"t\"": {}, "v:3": {}, "i:0": {}},
    }}));
    let paths: Vec<String> = set.paths().iter().map(ToString::to_string).collect();
    assert_eq!(
        paths,
        [
            ".spec.containers[name=\"x\"]",
            ".spec.containers[name=\"x\"].image",
            ".spec.ports[containerPort=80,protocol=\"TCP\"]",
            ".spec.tags[=3]",
            ".spec.tags[=\"t\"]",
            ".spec.tags[0]",
        ]
    );
    assert_eq!(set.len(), 6);
}

#[test]
fn json_is_canonical() {
    let text = r#"{"f:a":{".":{},"f:b":{},"k:{\"n\":\"x\"}":{".":{},"f:n":{}},"v:1":{},"v:\"s\"":{},"i:2":{}}}"#;
    let shuffled = json!({"f:a": {
        "i:2": {}, "v:\"s\"": {}, "v:1": {}, "k:{\"n\":\"x\"}": {"f:n": {}, ".": {}}, "f:b": {}, ".": {},
    }});
    assert_eq!(set(shuffled).to_json().to_string(), text);
    assert_eq!(set(json!({"x:unknown": {}, "f:": 3})), FieldSet::new());
}

#[test]
fn owned_values_are_picked_without_a_schema() {
    let object = json!({
        "metadata": {"name": "d", "labels": {"a": "1", "b": "2"}},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"a": "1"}},
            "containers": [
                {"name": "sidecar", "image": "other"},
                {"name": "x", "image": "i", "args": ["1"], "ports": [{"containerPort": 80, "protocol": "TCP", "name": "p"}]},
            ],
            "tags": ["s", "t"],
        },
    });
    let mine = set(json!({
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {
            "f:gone": {}, "f:selector": {}, "f:tags": {"v:\"t\"": {}},
            "f:containers": {"k:{\"name\":\"x\"}": {
                ".": {}, "f:image": {}, "f:name": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
            }},
        },
    }));
    assert_eq!(
        mine.pick(&object),
        json!({
            "metadata": {"labels": {"a": "1"}},
            "spec": {
                "containers": [{"image": "i", "name": "x", "ports": [{"containerPort": 80, "protocol": "TCP"}]}],
                "selector": {"matchLabels": {"a": "1"}}, "tags": ["t"],
            },
        })
    );
    // Other parties' values do not matter, and neither does the order of a list of items.
    let mut other = object.clone();
    other["metadata"]["labels"]["b"] = json!("3");
    other["spec"]["containers"].as_array_mut().expect("a list").reverse();
    assert_eq!(mine.pick(&other), mine.pick(&object));
    other["spec"]["containers"][0]["image"] = json!("changed");
    assert_ne!(mine.pick(&other), mine.pick(&object));
}

#[test]
fn removing_takes_only_what_is_named() {
    let mut object = json!({
        "data": {"a": "1", "b": "2"}, "labels": {"x": "1"},
        "list": [{"name": "p", "v": 1, "w": 2}, {"name": "q", "v": 1}], "tags": ["s", "t"],
    });
    set(json!({
        "f:data": {"f:a": {}}, "f:labels": {".": {}, "f:x": {}}, "f:tags": {"v:\"s\"": {}},
        "f:list": {"k:{\"name\":\"p\"}": {"f:w": {}}, "k:{\"name\":\"q\"}": {".": {}, "f:name": {}, "f:v": {}}},
    }))
    .remove_from(&mut object);
    assert_eq!(object, json!({"data": {"b": "2"}, "list": [{"name": "p", "v": 1}], "tags": ["t"]}));
}

fn any_element() -> impl Strategy<Value = Element> {
    prop_oneof![
        4 => "[a-c]".prop_map(Element::Field),
        1 => "[a-c]".prop_map(|name| Element::Key(vec![("name".to_owned(), Scalar(json!(name)))])),
        1 => (0..3_i64).prop_map(|number| Element::Value(Scalar(json!(number)))),
        1 => (0..3_usize).prop_map(Element::Index),
    ]
}

fn any_set() -> impl Strategy<Value = FieldSet> {
    prop::collection::vec(prop::collection::vec(any_element(), 1..4).prop_map(Path), 0..10)
        .prop_map(|paths| paths.into_iter().collect())
}

proptest! {
    #[test]
    fn json_round_trips(a in any_set()) {
        prop_assert_eq!(FieldSet::from_json(&a.to_json()), a.clone());
        let listed: FieldSet = a.paths().into_iter().collect();
        prop_assert_eq!(listed, a);
    }

    #[test]
    fn algebra(a in any_set(), b in any_set(), c in any_set()) {
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.intersection(&b.union(&c)), a.intersection(&b).union(&a.intersection(&c)));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(a.difference(&b.union(&c)), a.difference(&b).difference(&c));
        prop_assert_eq!(a.difference(&a), FieldSet::new());
        prop_assert_eq!(a.len() + b.len(), a.union(&b).len() + a.intersection(&b).len());
        prop_assert_eq!(a.leaves().difference(&a), FieldSet::new());
    }

    #[test]
    fn membership(a in any_set(), b in any_set(), path in prop::collection::vec(any_element(), 1..4)) {
        prop_assert_eq!(a.union(&b).contains(&path), a.contains(&path) || b.contains(&path));
        prop_assert_eq!(a.intersection(&b).contains(&path), a.contains(&path) && b.contains(&path));
        prop_assert_eq!(a.difference(&b).contains(&path), a.contains(&path) && !b.contains(&path));
        let covered = (1..=path.len()).any(|length| b.contains(&path[..length]));
        prop_assert_eq!(a.without(&b).contains(&path), a.contains(&path) && !covered);
    }
}
