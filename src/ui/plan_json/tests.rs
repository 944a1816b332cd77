//! Plans made by hand, told as JSON. Not the shape as a whole: that is held against a recording.

use serde_json::json;

use super::*;
use crate::plan::model::{Drift, OutputChange};
use crate::plan::sample;
use crate::resource::kind;

fn told(plan: &Plan, dialect: Dialect) -> Json {
    serde_json::to_value(document(plan, None, Options { dialect, full: false })).expect("JSON")
}

fn value(json: Json) -> Option<std::sync::Arc<Value>> {
    Some(std::sync::Arc::new(Value::from_json(&json)))
}

#[test]
fn each_action_has_terraforms_words() {
    for (action, reason, actions, why) in [
        (Action::NoOp, Reason::Same, json!(["no-op"]), Json::Null),
        (Action::Create, Reason::New, json!(["create"]), Json::Null),
        (Action::Update, Reason::Changed, json!(["update"]), Json::Null),
        (Action::Replace, Reason::Requested, json!(["delete", "create"]), "replace_by_request".into()),
        (Action::Replace, Reason::Forced(vec![]), json!(["delete", "create"]), "replace_because_cannot_update".into()),
        (Action::Replace, Reason::Unfinished, json!(["delete", "create"]), "replace_because_tainted".into()),
        (
            Action::Replace,
            Reason::ConnectionReplaced("cluster".into()),
            json!(["delete", "create"]),
            "replace_by_triggers".into(),
        ),
        (Action::Delete, Reason::Removed, json!(["delete"]), "delete_because_no_resource_config".into()),
        (Action::Delete, Reason::Destroyed, json!(["delete"]), Json::Null),
        (Action::Forget, Reason::Kept, json!(["forget"]), Json::Null),
        (Action::Adopt, Reason::Found, json!(["no-op"]), Json::Null),
        (Action::Run, Reason::New, json!(["create"]), Json::Null),
    ] {
        let plan = sample::plan(vec![sample::change("node_pools.gpu", action, reason)]);
        let change = &told(&plan, Dialect::Own)["resource_changes"][0];
        assert_eq!((&change["change"]["actions"], &change["action_reason"]), (&actions, &why), "{action:?}");
        assert_eq!(change["change"]["importing"].is_null(), action != Action::Adopt);
        assert!(change["action"].is_string() && !change["reason"].is_null());
    }
}

#[test]
fn what_is_forced_is_told_in_either_dialect() {
    let path = vec!["system_pool".to_owned(), "oauth_scopes".to_owned()];
    let mut change = sample::change("cluster", Action::Replace, Reason::Forced(vec![path]));
    change.before = value(json!({"location": "europe-west4-a", "name": "a"}));
    change.after = value(json!({"location": "europe-west4-a", "name": "b"}));
    let plan = sample::plan(vec![change]);
    let of = |dialect| told(&plan, dialect)["resource_changes"][0]["change"].clone();
    assert_eq!(of(Dialect::Own)["replace_paths"], json!([["system_pool", "oauth_scopes"]]));
    let terraform = of(Dialect::Terraform);
    assert_eq!(terraform["replace_paths"], json!([["node_pool", 0, "node_config", 0, "oauth_scopes"]]));
    // What is made anew has an id that nobody knows yet; what was there has one that is not told.
    assert_eq!((&terraform["after_unknown"]["id"], terraform["before"].get("id")), (&true.into(), None));
}

#[test]
fn what_others_keep_is_no_difference() {
    let mut change = sample::change("charts.a/Deployment.apps/n/x", Action::Update, Reason::Changed);
    change.ceded = vec![(vec!["spec".into(), "replicas".into()], "an autoscaler".into())];
    change.before = value(json!({"spec": {"replicas": 5, "paused": true}}));
    change.after = value(json!({"spec": {"replicas": 1, "paused": false}}));
    let document = told(&sample::plan(vec![change]), Dialect::Own);
    assert_eq!(document["resource_changes"][0]["change"]["after"], json!({"spec": {"replicas": 5, "paused": false}}));
}

#[test]
fn drift_is_told_from_what_was_to_what_is() {
    let difference = |before: Option<Value>, after: Option<Value>| kind::Change {
        path: vec!["nodes".to_owned()],
        before,
        after,
        forces_replace: false,
        effect: None,
        held_by: Vec::new(),
    };
    let mut pool = sample::change("node_pools.gpu", Action::Update, Reason::Changed);
    pool.before = value(json!({"nodes": 3, "name": "gpu"}));
    pool.after = value(json!({"nodes": 1, "name": "gpu"}));
    let mut plan = sample::plan(vec![pool]);
    let drift = |address: &str, changes| Drift { address: address.into(), changes, seen: None };
    plan.drift = vec![
        drift("node_pools.gpu", vec![difference(Some(1.into()), Some(3.into()))]),
        drift("node_pools.gone", Vec::new()),
    ];
    let document = told(&plan, Dialect::Own);
    let (changed, gone) = (&document["resource_drift"][0], &document["resource_drift"][1]);
    assert_eq!(changed["change"]["before"], json!({"nodes": 1, "name": "gpu"}));
    assert_eq!(changed["change"]["after"], json!({"nodes": 3, "name": "gpu"}));
    assert_eq!((&gone["change"]["actions"], &gone["change"]["after"]), (&json!(["delete"]), &Json::Null));
    // Of a plan that only takes note of drift, what differs is all that is told.
    plan.changes.clear();
    plan.refresh_only = true;
    let document = told(&plan, Dialect::Terraform);
    let changed = &document["resource_drift"][0];
    assert_eq!(
        (&changed["type"], &changed["change"]["after"]["node_count"]),
        (&"google_container_node_pool".into(), &3.into())
    );
}

#[test]
fn outputs_hide_what_is_sensitive() {
    let mut plan = sample::plan(Vec::new());
    let unknown = Value::from(Template::reference("cluster".into(), vec!["endpoint".into()]));
    let output = |before: Option<Value>, after: Option<Value>, sensitive| OutputChange { before, after, sensitive };
    plan.outputs = BTreeMap::from([
        ("at".to_owned(), output(None, Some(unknown), false)),
        ("gone".to_owned(), output(Some("x".into()), None, false)),
        ("hidden".to_owned(), output(Some("hunter2".into()), Some("hunter3".into()), true)),
        ("same".to_owned(), output(Some("x".into()), Some("x".into()), false)),
    ]);
    let document = told(&plan, Dialect::Own);
    assert!(!document.to_string().contains("hunter"));
    let of = |name: &str| document["output_changes"][name].clone();
    assert_eq!((&of("at")["actions"], &of("at")["after_unknown"]), (&json!(["create"]), &true.into()));
    assert!(of("at").get("after").is_none(), "what is not known is left out");
    assert_eq!(of("gone")["actions"], json!(["delete"]));
    assert_eq!((&of("hidden")["actions"], &of("hidden")["after_sensitive"]), (&json!(["update"]), &true.into()));
    assert_eq!(of("same")["actions"], json!(["no-op"]));
    assert_eq!(document["planned_values"]["outputs"].get("gone"), None);
}
