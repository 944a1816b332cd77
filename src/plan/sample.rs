//! Plans made by hand, for the tests of whatever judges or shows one. Not for tests of the planner, which makes its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::address::Address;
use crate::plan::cost::{Amount, Cost};
use crate::plan::model::{Action, Basis, Drift, Edge, FORMAT, OutputChange, Pause, Plan, Reason, ResourceChange};
use crate::resource::kind::Change;
use crate::value::Value;

/// A plan with these changes and nothing else.
pub fn plan(mut changes: Vec<ResourceChange>) -> Plan {
    changes.sort_by(|a, b| a.address.cmp(&b.address));
    Plan {
        format: FORMAT,
        stack: "demo".to_owned(),
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

/// One change, of a kind that its address tells.
pub fn change(address: &str, action: Action, reason: Reason) -> ResourceChange {
    let kind = match address.split(['.', '/']).next() {
        _ if address.contains("-install:") || address.contains("-upgrade:") || address.contains("-delete:") => {
            "k8s.hook"
        }
        _ if address.contains('/') => "k8s.object",
        Some("cluster") => "gke.cluster",
        Some("node_pools") => "gke.node_pool",
        _ => "value",
    };
    ResourceChange {
        address: Address::new(address),
        kind: kind.to_owned(),
        action,
        reason,
        moved_from: None,
        changes: Vec::new(),
        before: None,
        after: None,
        id: None,
        needed: Vec::new(),
        connection: address.contains('/').then(|| Address::new("cluster")),
        goes_with: None,
        ceded: Vec::new(),
        timeout_seconds: 600,
        estimate_seconds: 10,
        removal_seconds: 0,
        measured: 0,
        origin: None,
        resume: false,
        take: false,
    }
}

/// One that is made.
pub fn created(address: &str, after: Json) -> ResourceChange {
    ResourceChange { after: Some(Arc::new(Value::from_json(&after))), ..change(address, Action::Create, Reason::New) }
}

/// One that is changed in place.
pub fn updated(address: &str, after: Json, changes: Vec<Change>) -> ResourceChange {
    let after = Some(Arc::new(Value::from_json(&after)));
    ResourceChange { after, changes, ..change(address, Action::Update, Reason::Changed) }
}

/// One that is made anew for what cannot be changed.
pub fn replaced(address: &str, after: Json, mut changes: Vec<Change>) -> ResourceChange {
    if let Some(first) = changes.first_mut() {
        first.forces_replace = true;
    }
    let forced = changes.iter().filter(|change| change.forces_replace).map(|change| change.path.clone()).collect();
    let after = Some(Arc::new(Value::from_json(&after)));
    ResourceChange { after, changes, ..change(address, Action::Replace, Reason::Forced(forced)) }
}

/// One that goes.
pub fn deleted(address: &str) -> ResourceChange {
    change(address, Action::Delete, Reason::Removed)
}

/// A difference; `null` stands for nothing. The path is written with dots.
pub fn differs(path: &str, before: Json, after: Json) -> Change {
    let value = |json: Json| (!json.is_null()).then(|| Value::from_json(&json));
    Change {
        path: path.split('.').map(str::to_owned).collect(),
        before: value(before),
        after: value(after),
        forces_replace: false,
        effect: None,
        held_by: Vec::new(),
    }
}

/// One that another hand has changed.
pub fn drifted(address: &str, changes: Vec<Change>) -> Drift {
    Drift { address: Address::new(address), changes, seen: None }
}

/// `dependent` needs `dependency`.
pub fn needs(dependent: &str, dependency: &str) -> Edge {
    let reasons = vec!["its pods run on these nodes".to_owned()];
    Edge { dependent: Address::new(dependent), dependency: Address::new(dependency), reasons }
}

/// An output; `null` stands for nothing.
pub fn output(before: Json, after: Json) -> OutputChange {
    let value = |json: Json| (!json.is_null()).then(|| Value::from_json(&json));
    OutputChange { before: value(before), after: value(after), sensitive: false }
}

/// What cannot be known before apply, as JSON.
pub fn unknown(address: &str, output: &str) -> Json {
    json!({"$deferred": {"parts": [{"reference": {"address": address, "path": [output]}}]}})
}

/// What must not be shown, as JSON.
pub fn secret(input: &str) -> Json {
    json!({"$deferred": {"parts": [{"secret": input}], "sensitive": true}})
}

/// Dollars an hour, before and after.
pub fn cost(now: f64, after: f64) -> Cost {
    let amount = |per_hour: f64| Amount { per_hour, per_day: per_hour * 24.0, complete: true };
    Cost {
        now: amount(now),
        after: amount(after),
        running: Some(amount(after)),
        most: None,
        paused: Some(amount(after / 2.0)),
        destroyed: amount(0.0),
        components: Vec::new(),
    }
}

/// One plan with every action and reason, unknowns, secrets, drift, hooks and outputs.
pub fn everything() -> Plan {
    const SERVICE: &str = "workloads.qwen/LLMInferenceService.serving.kserve.io/inference/qwen";
    let rolls = Change {
        effect: Some("rolls the pool's nodes".to_owned()),
        ..differs("machine_type", json!("n1-standard-4"), json!("n1-standard-8"))
    };
    let held =
        Change { held_by: vec!["kubectl-edit".to_owned()], ..differs("data.level", json!("debug"), json!("info")) };
    let secret_changed = Reason::SecretChanged(vec!["hf_token".to_owned()]);
    let named = |address: &str, json: Json| created(address, json);
    let changes = vec![
        change("cluster", Action::NoOp, Reason::Same),
        updated(
            "node_pools.gpu",
            json!({"name": "gpu", "nodes": 2, "machine_type": "n1-standard-8", "labels": {"a": "b"}}),
            vec![rolls, differs("nodes", json!(1), json!(2))],
        ),
        replaced(
            "node_pools.spot",
            json!({"name": "spot", "spot": true, "nodes": 1}),
            vec![differs("spot", json!(false), json!(true))],
        ),
        change("node_pools.kept", Action::Forget, Reason::Abandoned),
        named(
            "gateway/ConfigMap/gateway/front",
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "front", "namespace": "gateway"},
            "data": {"url": unknown("cluster", "endpoint"), "config.yaml": "listen: 80\nhosts:\n  - a\n  - b\n"}}),
        ),
        named(
            "gateway/Secret/gateway/token",
            json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "token", "namespace": "gateway"}, "stringData": {"token": secret("hf_token")}}),
        ),
        updated(
            SERVICE,
            json!({"apiVersion": "serving.kserve.io/v1alpha1", "kind": "LLMInferenceService",
            "metadata": {"name": "qwen", "namespace": "inference"}, "spec": {"replicas": 1,
            "model": {"uri": "hf://Qwen/Qwen2.5-1.5B-Instruct", "name": "qwen"},
            "template": {"containers": [{"name": "main", "image": "vllm:1", "args": ["--a=1", "--b=3", "--c=3"]}]}}}),
            vec![
                differs(
                    "spec.model.uri",
                    json!("hf://Qwen/Qwen2.5-3B-Instruct"),
                    json!("hf://Qwen/Qwen2.5-1.5B-Instruct"),
                ),
                differs(
                    "spec.template.containers.[name=main].args",
                    json!(["--a=1", "--b=2", "--c=3"]),
                    json!(["--a=1", "--b=3", "--c=3"]),
                ),
            ],
        ),
        updated(
            "addons.logs/ConfigMap/logs/settings",
            json!({"kind": "ConfigMap", "metadata": {"name": "settings"},
            "data": {"level": "info", "other": "x"}}),
            vec![held],
        ),
        ResourceChange {
            reason: secret_changed,
            ..updated(
                "addons.logs/Secret/logs/token",
                json!({"kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": secret("hf_token")}}),
                Vec::new(),
            )
        },
        deleted("addons.lws/CustomResourceDefinition.apiextensions.k8s.io/leaderworkersets.leaderworkerset.x-k8s.io"),
        deleted("addons.lws/Namespace/lws-system"),
        change("charts.db/PersistentVolumeClaim/db/data", Action::Forget, Reason::Kept),
        change("charts.web/post-upgrade:Job.batch/web/migrate", Action::Run, Reason::Changed),
        change("charts.web/pre-delete:Job.batch/web/clean", Action::Record, Reason::New),
        change("manifests.old/ConfigMap/old/found", Action::Adopt, Reason::Found),
        change("manifests.old/ConfigMap/old/wanted", Action::Update, Reason::Wanted),
        change("manifests.old/ConfigMap/old/vanished", Action::Create, Reason::Vanished),
        ResourceChange {
            resume: true,
            ..change("manifests.old/ConfigMap/old/unfinished", Action::NoOp, Reason::Unfinished)
        },
        ResourceChange {
            moved_from: Some("values.before".into()),
            ..change("values.after", Action::NoOp, Reason::Same)
        },
        change("values.asked", Action::Replace, Reason::Requested),
    ];
    let mut plan = plan(changes);
    plan.edges =
        vec![needs("node_pools.gpu", "cluster"), needs("node_pools.spot", "cluster"), needs(SERVICE, "node_pools.gpu")];
    plan.drift = vec![
        drifted("addons.logs/ConfigMap/logs/settings", vec![differs("data.level", json!("info"), json!("debug"))]),
        drifted("manifests.old/ConfigMap/old/vanished", Vec::new()),
    ];
    plan.outputs = BTreeMap::from([
        ("endpoint".to_owned(), output(json!("https://203.0.113.10"), unknown("gateway", "address"))),
        ("model".to_owned(), output(json!("Qwen2.5-3B"), json!("Qwen2.5-1.5B"))),
        ("gone".to_owned(), output(json!(1), Json::Null)),
        ("hidden".to_owned(), OutputChange { sensitive: true, ..output(Json::Null, secret("hf_token")) }),
    ]);
    plan.cost = Some(cost(1.18, 1.77));
    plan
}
