//! Each judgement on a plan that calls for it and on one that does not.

use serde_json::json;

use super::*;
use crate::plan::sample::{change, cost, created, deleted, differs, drifted, needs, plan, replaced, updated};
use crate::resource::kind::Change;

const DEPLOYMENT: &str = "workloads.m/Deployment.apps/serving/model";

/// Level, class, component, number of resources, and why.
fn told(plan: &Plan) -> Vec<String> {
    let row = |risk: &Risk| {
        let component = risk.component.as_deref().unwrap_or("*");
        let affects = if risk.affects.is_empty() { String::new() } else { format!(" ({})", risk.affects.join(", ")) };
        format!("{:?} {} {component} {}: {}{affects}", risk.level, risk.class.word(), risk.addresses.len(), risk.why)
    };
    plan.risks().iter().map(row).collect()
}

fn effect(path: &str, before: serde_json::Value, after: serde_json::Value, effect: &str) -> Change {
    Change { effect: Some(effect.to_owned()), ..differs(path, before, after) }
}

#[test]
fn harmless_changes_are_no_risk() {
    let changes = vec![
        created("values.a", json!({"input": 1})),
        created("addons.x/Namespace/x", json!({})),
        updated("addons.x/ConfigMap/x/a", json!({}), vec![differs("data.a", json!("1"), json!("2"))]),
        updated("node_pools.gpu", json!({"nodes": 2}), vec![differs("nodes", json!(1), json!(2))]),
        change("cluster", Action::NoOp, Reason::Same),
    ];
    assert_eq!(told(&plan(changes)), [""; 0]);
}

#[test]
fn pools_that_lose_nodes_name_the_workloads_on_them() {
    let pool = |nodes: i64, one: Change| {
        let mut plan = plan(vec![updated("node_pools.gpu", json!({"nodes": nodes}), vec![one])]);
        plan.edges = vec![
            needs("addons.gpu-operator/ClusterPolicy.nvidia.com/p", "node_pools.gpu"),
            needs("node_pools.gpu", "cluster"),
            needs("workloads.m/LLMInferenceService.serving.kserve.io/a/m", "node_pools.gpu"),
        ];
        plan
    };
    let rolls = || effect("machine_type", json!("a"), json!("b"), "rolls the pool's nodes");
    assert_eq!(told(&pool(1, rolls())), ["High node drain node_pools.gpu 1: rolls the pool's nodes (workloads.m)"]);
    assert_eq!(told(&pool(3, rolls())), ["Medium node drain node_pools.gpu 1: rolls the pool's nodes (workloads.m)"]);
    let fewer = effect("nodes", json!(2), json!(1), "1 of 2 nodes go");
    assert_eq!(told(&pool(1, fewer)), ["Medium node drain node_pools.gpu 1: 1 of 2 nodes go (workloads.m)"]);
    let none = effect("nodes", json!(2), json!(0), "2 of 2 nodes go");
    assert_eq!(told(&pool(0, none)), ["High node drain node_pools.gpu 1: 2 of 2 nodes go (workloads.m)"]);
    let mut anew = pool(1, rolls());
    anew.changes = vec![replaced("node_pools.gpu", json!({}), vec![differs("spot", json!(false), json!(true))])];
    let why = "spot cannot be changed in place; its nodes are deleted, with the pods on them (workloads.m)";
    assert_eq!(told(&anew), [format!("High replace node_pools.gpu 1: {why}")]);
}

#[test]
fn a_cluster_made_anew_takes_everything_along() {
    let lives_in = |address: &str, after| ResourceChange {
        reason: Reason::ConnectionReplaced("cluster".into()),
        ..replaced(address, after, Vec::new())
    };
    let toll = "the cluster is deleted with everything in it, then made anew";
    let changes = vec![
        replaced("cluster", json!({}), vec![effect("location", json!("a"), json!("b"), toll)]),
        lives_in("gateway/Gateway.gateway.networking.k8s.io/g/g", json!({})),
        lives_in("gateway/Service/g/front", json!({"spec": {"type": "LoadBalancer"}})),
        lives_in("gateway/Service/g/inner", json!({"spec": {"type": "ClusterIP"}})),
    ];
    let expected = [
        "High replace * 3: cluster, which it lives in, is made anew".to_owned(),
        format!("High replace cluster 1: location cannot be changed in place; {toll}"),
        "High address change gateway 2: it gets another address, unless that is reserved".to_owned(),
    ];
    assert_eq!(told(&plan(changes)), expected);
}

#[test]
fn what_is_destroyed_is_told_by_component_with_what_it_takes_along() {
    let changes = vec![
        deleted("addons.lws/CustomResourceDefinition.apiextensions.k8s.io/a"),
        deleted("addons.lws/CustomResourceDefinition.apiextensions.k8s.io/b"),
        deleted("addons.lws/Namespace/lws"),
        deleted("addons.x/ConfigMap/x/a"),
        change("addons.x/ConfigMap/x/b", Action::NoOp, Reason::Same),
        deleted("workloads.m/Service/a/m"),
    ];
    let gone = "the stack does not have it any more";
    let expected = [
        format!(
            "High destroy addons.lws 3: {gone}; every object of a kind that it defines goes too, whoever made it; \
             everything in its namespace goes too, whoever made it"
        ),
        format!("High destroy workloads.m 1: {gone}; its model answers no more"),
        format!("Medium destroy addons.x 1: {gone}; the rest of the component stays"),
    ];
    assert_eq!(told(&plan(changes.clone())), expected);
    let whole = Plan { destroy: true, ..plan(changes) };
    assert_eq!(told(&whole), ["High destroy * 5: the whole stack goes"]);
    let data = Plan { destroy: true, ..plan(vec![deleted("workloads.m/PersistentVolumeClaim/a/cache")]) };
    assert_eq!(told(&data), ["High destroy * 1: the whole stack goes, and the data on its volumes"]);
}

#[test]
fn rollouts_interrupt_where_nobody_is_left_to_answer() {
    let image = || vec![differs("spec.template.spec.containers", json!("a"), json!("b"))];
    let rollout = |after: serde_json::Value| told(&plan(vec![updated(DEPLOYMENT, after, image())]));
    let gpu = json!({"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": 1, "cpu": 1}}}]}});
    let cpu = json!({"spec": {"containers": [{"resources": {"limits": {"cpu": 1}}}]}});
    let recreate = "High downtime workloads.m 1: its pods are stopped before new ones start (strategy Recreate)";
    let cramped = "Medium downtime workloads.m 1: its only replica is replaced: without room for a second one, nobody \
                   answers until the new one is ready";
    let apart = "Medium downtime workloads.m 1: its only replica may stop before its successor is ready";
    for (spec, expected) in [
        (json!({"replicas": 3, "strategy": {"type": "Recreate"}, "template": cpu}), &[recreate][..]),
        (json!({"replicas": 1, "template": gpu}), &[cramped]),
        (json!({"template": gpu}), &[cramped]),
        (json!({"replicas": 2, "template": gpu}), &[]),
        (json!({"replicas": 1, "template": cpu}), &[]),
        (json!({"strategy": {"rollingUpdate": {"maxUnavailable": 1}}, "template": cpu}), &[apart]),
        (json!({"strategy": {"rollingUpdate": {"maxUnavailable": "100%"}}, "template": cpu}), &[apart]),
        (json!({"strategy": {"rollingUpdate": {"maxUnavailable": "50%"}}, "template": cpu}), &[]),
    ] {
        assert_eq!(rollout(json!({"spec": spec})), expected, "{spec}");
    }
    // How many there are, an autoscaler says.
    let mut scaled = updated(DEPLOYMENT, json!({"spec": {"template": gpu}}), image());
    scaled.ceded = vec![(vec!["spec".to_owned(), "replicas".to_owned()], "an autoscaler".to_owned())];
    assert_eq!(told(&plan(vec![scaled])), [""; 0]);
    let none = vec![differs("spec.replicas", json!(2), json!(0))];
    let emptied = updated(DEPLOYMENT, json!({"spec": {"replicas": 0}}), none);
    assert_eq!(told(&plan(vec![emptied])), ["High downtime workloads.m 1: no replica is left"]);
    let other = vec![differs("metadata.labels.a", json!("a"), json!("b"))];
    assert_eq!(told(&plan(vec![updated(DEPLOYMENT, json!({"spec": {"template": gpu}}), other)])), [""; 0]);
}

#[test]
fn control_planes_addresses_conflicts_and_what_stays() {
    let upgrade = effect("version", json!("1.33"), json!("1.34"), "upgrades the control plane");
    let held = Change { held_by: vec!["hpa".to_owned()], ..differs("spec.replicas", json!(1), json!(2)) };
    let taken = ResourceChange { take: true, ..updated("addons.b/ConfigMap/b/b", json!({}), vec![held.clone()]) };
    let gateway = "gateway/Gateway.gateway.networking.k8s.io/g/g";
    let changes = vec![
        updated("addons.a/ConfigMap/a/a", json!({}), vec![held]),
        taken,
        change("charts.c/PersistentVolumeClaim/c/c", Action::Forget, Reason::Kept),
        updated("cluster", json!({}), vec![upgrade]),
        updated(gateway, json!({}), vec![differs("spec.gatewayClassName", json!("a"), json!("b"))]),
        change("node_pools.old", Action::Forget, Reason::Abandoned),
        change("node_pools.new", Action::Update, Reason::Wanted),
    ];
    let expected = [
        "High address change gateway 1: it gets another address",
        "High conflict addons.a 1: \"hpa\" has set fields of it: apply stops there, unless --force-conflicts takes them",
        "High left behind node_pools.old 1: it stays where it is, and what it costs, it goes on costing",
        "Medium downtime cluster 1: upgrades the control plane",
        "Medium conflict addons.b 1: fields are taken from \"hpa\"",
        "Low left behind charts.c 1: its makers want it to stay",
        "Low takeover node_pools.new 1: it is there, was nobody's, and becomes this stack's",
    ];
    assert_eq!(told(&plan(changes)), expected);
}

#[test]
fn drift_is_told_by_what_becomes_of_it() {
    let mut plan = plan(vec![
        change("cluster", Action::NoOp, Reason::Same),
        change("values.a", Action::Create, Reason::Vanished),
        ResourceChange { moved_from: Some("values.c".into()), ..updated("values.b", json!({}), Vec::new()) },
        deleted("values.d"),
    ]);
    plan.drift = ["cluster", "values.a", "values.c", "values.d"].map(|address| drifted(address, Vec::new())).into();
    let found = outcomes(&plan).into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>();
    assert_eq!(found, [Outcome::Stays, Outcome::MadeAgain, Outcome::PutBack, Outcome::Goes]);
    let put_back = "Medium drift values.c 1: changed by others, and put back by this plan";
    assert!(told(&plan).contains(&put_back.to_owned()), "{:?}", told(&plan));
    plan.refresh_only = true;
    assert!(outcomes(&plan).iter().all(|(_, outcome)| *outcome == Outcome::Noted));
}

#[test]
fn the_bill_is_told_where_it_changes() {
    let with = |now, after| Plan { cost: Some(cost(now, after)), ..plan(Vec::new()) };
    assert_eq!(told(&with(1.0, 2.0)), ["Medium cost * 0: +$24.00 a day: $24.00 now, $48.00 afterwards"]);
    assert_eq!(told(&with(2.0, 1.0)), ["Low cost * 0: -$24.00 a day: $48.00 now, $24.00 afterwards"]);
    assert_eq!(told(&with(2.0, 2.0)), [""; 0]);
}

#[test]
fn everything_at_once_is_told_gravest_first() {
    let plan = crate::plan::sample::everything();
    let risks = plan.risks();
    assert!(risks.is_sorted_by_key(|risk| (risk.level, risk.class)), "{:#?}", told(&plan));
    let classes = risks.iter().map(|risk| risk.class).collect::<BTreeSet<_>>();
    let all = [Class::Replace, Class::Destroy, Class::Downtime, Class::Drain, Class::Conflict, Class::LeftBehind];
    for class in all.into_iter().chain([Class::Adopt, Class::Drift, Class::Cost]) {
        assert!(classes.contains(&class), "{class:?} is missing: {:#?}", told(&plan));
    }
    // Whatever goes or is made anew is named by one of them, and once.
    for change in plan.changes.iter().filter(|change| matches!(change.action, Action::Replace | Action::Delete)) {
        let naming = risks.iter().filter(|risk| matches!(risk.class, Class::Replace | Class::Destroy));
        assert_eq!(naming.filter(|risk| risk.addresses.contains(&change.address)).count(), 1, "{}", change.address);
    }
}
