//! Rules against plans made by hand: what each key of a rule asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::diag::Source;
use crate::plan::cost::{Amount, Cost};
use crate::plan::model::{Action, Basis, Pause, Reason};
use crate::stack::policy::policies;
use crate::stack::{self, NoLoader};
use crate::value::Value;

fn change(address: &str, kind: &str, action: Action, attrs: serde_json::Value) -> ResourceChange {
    let attrs = Some(Arc::new(Value::from_json(&attrs)));
    let leaves = matches!(action, Action::Delete | Action::Forget);
    ResourceChange {
        address: address.into(),
        kind: kind.to_owned(),
        action,
        reason: Reason::New,
        moved_from: None,
        changes: Vec::new(),
        before: attrs.clone().filter(|_| action != Action::Create),
        after: attrs.filter(|_| !leaves && action != Action::NoOp),
        id: None,
        needed: Vec::new(),
        connection: None,
        goes_with: None,
        ceded: Vec::new(),
        timeout_seconds: 1,
        estimate_seconds: 1,
        removal_seconds: 0,
        measured: 0,
        origin: None,
        resume: false,
        take: false,
    }
}

fn plan(changes: Vec<ResourceChange>) -> Plan {
    Plan {
        format: 0,
        stack: "s".to_owned(),
        basis: Basis::default(),
        changes,
        edges: Vec::new(),
        drift: Vec::new(),
        outputs: BTreeMap::new(),
        proofs: Vec::new(),
        partial: false,
        destroy: false,
        refresh_only: false,
        looked_up: BTreeMap::new(),
        pause: Pause::None,
        cost: None,
        placement: None,
    }
}

fn source(text: &str) -> Arc<Source> {
    Arc::new(Source { name: "rules.toml".to_owned(), text: text.to_owned() })
}

/// What a rule says of a plan of a stack.
fn said(rule: &str, plan: &Plan, stack: &str) -> Vec<String> {
    let rules = policies(&source(&format!("[[policy]]\nname = \"r\"\n{rule}"))).expect(rule);
    let text = format!("name = \"s\"\n{stack}");
    let stack = stack::load(source(&text), &NoLoader, &stack::inputs::Given::default(), &BTreeMap::new());
    let stack = stack.expect(&text).stack;
    judge(&rules, Subject { plan, stack: &stack }).iter().map(Breach::text).collect()
}

#[test]
fn actions_are_denied_by_kind_and_address_but_for_exceptions() {
    let made = plan(vec![
        change("charts.a/Deployment.apps/n/x", hook::OBJECT, Action::Update, json!({})),
        change("cluster", "gke.cluster", Action::Replace, json!({})),
        change("manifests.a/PersistentVolumeClaim/n/x", hook::OBJECT, Action::Delete, json!({})),
        change("node_pools.gpu", "gke.node_pool", Action::Delete, json!({})),
        change("node_pools.kept", "gke.node_pool", Action::NoOp, json!({})),
    ]);
    let of = |rule: &str| said(rule, &made, "");
    assert_eq!(of("deny = [\"replace\"]"), ["cluster would be deleted and made again"]);
    assert_eq!(
        of("deny = [\"delete\"]\nkinds = [\"gke.*\"]"),
        ["cluster would be deleted and made again", "node_pools.gpu would be deleted"]
    );
    assert_eq!(of("deny = [\"delete\"]\nkinds = [\"gke.*\"]\nunless = [\"node_pools.*\", \"cluster\"]"), [""; 0]);
    assert_eq!(of("deny = [\"delete\"]\nunless = [\"manifests.a\", \"cluster\"]"), ["node_pools.gpu would be deleted"]);
    assert_eq!(
        of("deny = [\"update\"]\naddresses = [\"charts.*/x\"]"),
        ["charts.a/Deployment.apps/n/x would be changed"]
    );
    assert_eq!(of("deny = [\"delete\"]\nkinds = [\"PersistentVolumeClaim\"]").len(), 1);
    assert_eq!(of("deny = [\"create\", \"run\", \"forget\", \"adopt\"]"), [""; 0]);
}

#[test]
fn what_goes_is_asked_for_nothing_but_its_going() {
    let mut gone = plan(vec![change("cluster", "gke.cluster", Action::Delete, json!({"location": "us-east1"}))]);
    gone.destroy = true;
    let rule = "deny = [\"delete\"]\nlocations = [\"europe-west4\"]\nmax_ttl = \"1h\"";
    assert_eq!(said(rule, &gone, ""), ["cluster would be deleted"]);
}

#[test]
fn locations_hold_for_zones_nodes_and_fallbacks() {
    let attrs = json!({"location": "europe-west4-a", "node_locations": ["europe-west4-a", "us-central1-b"]});
    let made = plan(vec![change("cluster", "gke.cluster", Action::NoOp, attrs)]);
    let stack =
        "[cluster]\nproject = \"my-project\"\nlocation = \"europe-west4-a\"\nfallback_locations = [\"us-east1-b\"]";
    assert_eq!(
        said("locations = [\"europe-west4\"]", &made, stack),
        [
            "cluster is in us-central1-b, which is none of europe-west4",
            "cluster may fall back to us-east1-b, which is none of europe-west4"
        ]
    );
    assert_eq!(said("locations = [\"europe-*\", \"us-*\"]", &made, stack), [""; 0]);
    // A region is no prefix of another: `europe-west1` is not `europe-west12`.
    let far = plan(vec![change("cluster", "gke.cluster", Action::Create, json!({"location": "europe-west12-a"}))]);
    assert_eq!(said("locations = [\"europe-west1\"]", &far, "").len(), 1);
}

#[test]
fn versions_must_be_pinned() {
    let pod = |image: &str| json!({"spec": {"template": {"spec": {"initContainers": [{"image": image}]}}}});
    for (image, tags, digests) in [
        ("nginx", 1, 1),
        ("nginx:latest", 1, 1),
        ("localhost:5000/nginx", 1, 1),
        ("nginx:1.27", 0, 1),
        ("localhost:5000/nginx:1", 0, 1),
        ("nginx@sha256:00", 0, 0),
        ("nginx:latest@sha256:00", 0, 0),
    ] {
        let made = plan(vec![change("charts.a/Deployment.apps/n/x", hook::OBJECT, Action::NoOp, pod(image))]);
        assert_eq!(said("pinned = [\"images\"]", &made, "").len(), tags, "{image}");
        assert_eq!(said("pinned = [\"digests\"]", &made, "").len(), digests, "{image}");
    }
    let none = plan(Vec::new());
    for (chart, broken) in [
        ("source = \"https://a.example\"\nchart = \"a\"\nversion = \"^1.2\"", 1),
        ("source = \"https://a.example\"\nchart = \"a\"\nversion = \"1.2.3\"", 0),
        ("source = \"oci://a.example/a\"\nversion = \"1.x\"", 1),
        ("source = \"./a\"", 0),
    ] {
        let stack = format!("[cluster]\nkubeconfig = \"k\"\n[charts.a]\n{chart}");
        assert_eq!(said("pinned = [\"charts\"]", &none, &stack).len(), broken, "{chart}");
        assert_eq!(said("pinned = [\"charts\"]\nunless = [\"charts.a\"]", &none, &stack), [""; 0]);
    }
    let cluster = |attrs| plan(vec![change("cluster", "gke.cluster", Action::Create, attrs)]);
    assert_eq!(said("pinned = [\"cluster\"]", &cluster(json!({"release_channel": "rapid"})), "").len(), 1);
    assert_eq!(said("pinned = [\"cluster\"]", &cluster(json!({"version": "1.34"})), ""), [""; 0]);
}

#[test]
fn what_everybody_can_reach_is_found() {
    let service = |annotation: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer"},
        "metadata": {"annotations": {"networking.gke.io/load-balancer-type": annotation}}})
    };
    let gateway = |class: &str| {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "spec": {"gatewayClassName": class}})
    };
    for (kind, attrs, what, broken) in [
        (hook::OBJECT, service("External"), "services", 1),
        (hook::OBJECT, service("Internal"), "services", 0),
        (hook::OBJECT, gateway("istio"), "services", 1),
        (hook::OBJECT, gateway("gke-l7-rilb"), "services", 0),
        (hook::OBJECT, json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"}), "services", 1),
        ("gke.cluster", json!({}), "control-plane", 1),
        ("gke.cluster", json!({"private": true}), "control-plane", 0),
        ("gke.cluster", json!({"authorized_networks": [{"cidr": "203.0.113.0/24"}]}), "control-plane", 0),
        ("gke.cluster", json!({"authorized_networks": [{"cidr": "0.0.0.0/0"}]}), "control-plane", 1),
        ("gke.cluster", json!({}), "services", 0),
    ] {
        let made = plan(vec![change("charts.a/X/n/x", kind, Action::Create, attrs.clone())]);
        assert_eq!(said(&format!("private = [\"{what}\"]"), &made, "").len(), broken, "{attrs}");
    }
}

#[test]
fn money_and_time_have_limits() {
    let mut made = plan(Vec::new());
    let amount = |complete| Amount { per_hour: 2.0, per_day: 48.0, complete };
    let cost = |complete| Cost {
        now: Amount::default(),
        after: amount(complete),
        running: None,
        most: None,
        paused: None,
        destroyed: Amount::default(),
        components: Vec::new(),
    };
    made.cost = Some(cost(true));
    assert_eq!(said("max_per_day = 40", &made, ""), ["the stack would cost $48.00 a day, more than $40.00"]);
    assert_eq!(said("max_per_hour = 1.5", &made, ""), ["the stack would cost $2.00 an hour, more than $1.50"]);
    assert_eq!(said("max_per_day = 48\nmax_per_hour = 2", &made, ""), [""; 0]);
    made.cost = Some(cost(false));
    assert_eq!(said("max_per_day = 100", &made, "").len(), 1, "what has no price may cost anything");
    assert_eq!(said("max_ttl = \"8h\"", &made, ""), ["the stack has no time to live"]);
    assert_eq!(said("max_ttl = \"8h\"", &made, "[limits]\nttl = \"12h\"").len(), 1);
    assert_eq!(said("max_ttl = \"8h\"", &made, "[limits]\nttl = \"8h\""), [""; 0]);
}

#[test]
fn a_broken_rule_names_itself_its_place_and_a_way_out() {
    let rules = policies(&source(
        "[[policy]]\nname = \"keep\"\nmessage = \"Ask the team first.\"\ndeny = [\"delete\"]\n\
         [[policy]]\nname = \"soft\"\nseverity = \"warn\"\ndeny = [\"delete\"]\n",
    ))
    .expect("rules");
    let pools = (0..20).map(|n| change(&format!("node_pools.p{n}"), "gke.node_pool", Action::Delete, json!({})));
    let made = plan(pools.collect());
    let stack = stack::load(source("name = \"s\""), &NoLoader, &stack::inputs::Given::default(), &BTreeMap::new());
    let breaches = judge(&rules, Subject { plan: &made, stack: &stack.expect("a stack").stack });
    assert_eq!(breaches.len(), 40);
    assert!(refuses(&breaches));
    assert!(!refuses(&breaches[20..]), "a warning refuses nothing");
    let said = diagnostics(&breaches);
    assert_eq!(said.len(), 2);
    assert_eq!(said[0].to_string(), "rules.toml:4:9: the plan breaks the policy keep");
    assert!(said[0].detail.ends_with("and 8 more\nAsk the team first."), "{}", said[0].detail);
    assert_eq!((said[0].severity, said[1].severity), (Severity::Error, Severity::Warning));
}

#[test]
fn patterns_match_whole_texts() {
    for (pattern, text, is) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("*b", "ab", true),
        ("a*b*c", "a1b2c", true),
        ("a*b*c", "a1c2b", false),
        ("*", "", true),
        ("gke.*", "gke.node_pool", true),
    ] {
        assert_eq!(is_like(pattern, text), is, "{pattern} {text}");
    }
}

#[test]
fn files_of_rules_have_their_mistakes_named() {
    for (text, with) in [
        ("", "has no rule"),
        ("[[policy]]\nname = \"x\"", "asks for nothing"),
        ("[[policy]]\nname = \"x\"\ndeny = [\"destroy\"]", "destroy"),
        ("[[policy]]\ndeny = [\"delete\"]", "name"),
        ("[[policies]]\nname = \"x\"", "policies"),
        ("[[policy]]\nname = \"x\"\ndeny = [\"${inputs.a}\"]", "no input a"),
        ("policy = 1", "an array"),
    ] {
        let said = policies(&source(text)).expect_err(text).to_string();
        assert!(said.contains(with), "{text}: {said}");
    }
}
