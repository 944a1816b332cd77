//! What resources are before a change, from what is desired, recorded and there.

use serde_json::json;

use super::*;
use crate::plan::model::Reason;
use crate::resource::kind::Change;
use crate::value::Template;

fn difference(path: &[&str], before: Option<Value>) -> Change {
    let path = path.iter().map(|key| (*key).to_owned()).collect();
    Change { path, before, after: None, forces_replace: false, effect: None, held_by: Vec::new() }
}

fn change(action: Action, changes: Vec<Change>, after: Option<Value>) -> ResourceChange {
    ResourceChange {
        address: "manifests.a/ConfigMap/n/c".into(),
        kind: hook::OBJECT.to_owned(),
        action,
        reason: Reason::Changed,
        moved_from: None,
        changes,
        before: None,
        after: after.map(Arc::new),
        id: None,
        needed: Vec::new(),
        connection: None,
        goes_with: None,
        ceded: vec![(vec!["spec".into(), "replicas".into()], "an autoscaler".into())],
        timeout_seconds: 1,
        estimate_seconds: 1,
        removal_seconds: 0,
        measured: 0,
        origin: None,
        resume: false,
        take: false,
    }
}

fn recorded(secrets: &[&str]) -> Recorded {
    Recorded {
        address: "manifests.a/ConfigMap/n/c".into(),
        kind: hook::OBJECT.to_owned(),
        id: None,
        record: Arc::new(Value::from_json(&json!({"api_version": "v1"}))),
        seen: None,
        needs: Vec::new(),
        connection: None,
        secrets: secrets.iter().map(|name| ((*name).to_owned(), "digest".to_owned())).collect(),
        pending: None,
    }
}

fn resource(attrs: Value) -> Resource {
    Resource {
        address: "manifests.a/ConfigMap/n/c".into(),
        kind: hook::OBJECT,
        attrs: Arc::new(attrs),
        needs: Vec::new(),
        connection: None,
        ceded: Vec::new(),
        timeout: std::time::Duration::ZERO,
        estimate: std::time::Duration::ZERO,
        origin: None,
    }
}

#[test]
fn each_difference_is_undone_and_nothing_else() {
    let desired = json!({"spec": {"replicas": 1, "cpu": "1000m", "containers": [
        {"name": "a", "image": "new", "env": [{"name": "NEW", "value": "x"}], "args": ["x"]}, {"name": "added"}]}});
    let changes = vec![
        difference(&["spec", "containers", "[name=a]", "image"], Some("old".into())),
        difference(&["spec", "containers", "[name=a]", "env", "[name=NEW]"], None),
        difference(&["spec", "containers", "[name=a]", "env", "[name=GONE]", "value"], Some("y".into())),
        difference(
            &["spec", "containers", "[name=a]", "ports", "[containerPort=80,protocol=TCP]", "name"],
            Some("w".into()),
        ),
        difference(&["spec", "containers", "[name=added]"], None),
        difference(&["metadata", "finalizers", "[x/y]"], Some("x/y".into())),
    ];
    let live = Observed { id: "u".into(), attrs: Value::from_json(&json!({"spec": {"replicas": 5, "cpu": 1}})) };
    let desired = Value::from_json(&desired);
    let before = as_it_is(
        &change(Action::Update, changes, Some(desired.clone())),
        &resource(desired),
        Some(&live),
        Some(&recorded(&[])),
    );
    let expected = json!({"spec": {"replicas": 5, "cpu": "1000m", "containers": [
        {"name": "a", "image": "old", "env": [{"name": "GONE", "value": "y"}], "args": ["x"],
         "ports": [{"containerPort": 80, "protocol": "TCP", "name": "w"}]}]},
        "metadata": {"finalizers": ["x/y"]}});
    assert_eq!(before.to_json(), expected);
}

#[test]
fn what_was_not_known_is_read_from_what_is_there_but_for_secrets() {
    let reference = Value::from(Template::reference("cluster".into(), vec!["endpoint".into()]));
    let secret = Value::from(Template::secret("token"));
    let desired = Value::Map(Map::from([(
        "data".to_owned(),
        Value::Map(Map::from([("at".to_owned(), reference), ("token".to_owned(), secret)])),
    )]));
    let live = json!({"data": {"at": "1.2.3.4", "token": "hunter2"}});
    let live = Observed { id: "u".into(), attrs: Value::from_json(&live) };
    let no_op = change(Action::NoOp, Vec::new(), None);
    let shown = as_it_is(&no_op, &resource(desired.clone()), Some(&live), Some(&recorded(&[])));
    assert_eq!(shown.at(&["data", "at"]), Some(&"1.2.3.4".into()));
    assert!(matches!(shown.at(&["data", "token"]), Some(Value::Deferred(_))));
    // Where a secret may be anywhere, no text that is there is shown.
    let told = as_it_is(&no_op, &resource(desired), Some(&live), Some(&recorded(&["token"])));
    assert_eq!(told.at(&["data", "at"]), Some(&discretion::hidden()));
}

#[test]
fn what_goes_is_shown_without_the_servers_own_and_without_secrets() {
    let live = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "aHVudGVyMg=="}, "type": "Opaque",
        "metadata": {"name": "c", "namespace": "n", "uid": "u", "managedFields": [],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "hunter2", "x": "y"}}, "status": {}});
    let live = Observed { id: "u".into(), attrs: Value::from_json(&live) };
    let delete = change(Action::Delete, Vec::new(), None);
    let shown = as_it_stays(&delete, Some(&live), Some(&recorded(&[])));
    let expected = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": discretion::hidden().to_json()},
        "type": "Opaque", "metadata": {"name": "c", "namespace": "n", "annotations": {"x": "y"}}});
    assert_eq!(shown.to_json(), expected);
    let told = as_it_stays(&delete, Some(&live), Some(&recorded(&["token"])));
    assert_eq!(told.at(&["metadata", "annotations", "x"]), Some(&discretion::hidden()));
    assert_eq!(told.at(&["metadata", "name"]), Some(&"c".into()));
    let unseen = as_it_stays(&delete, None, Some(&recorded(&[])));
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}});
    assert_eq!(unseen.to_json(), expected);
}
