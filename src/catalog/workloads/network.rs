//! Who may speak with the copies of a model, and how many of them may be away at once.

use serde_json::{Value as Json, json};

use crate::address::Address;
use crate::catalog::expansion::Expansion;
use crate::catalog::gateway;
use crate::catalog::workloads::{PORT, Plan, routing, storage};
use crate::diag::Diagnostic;
use crate::stack::model::{Mtls, Routing};

/// The port on which the scheduler is asked.
const ASKED: i64 = 9002;

/// Where GKE's managed Prometheus collects from.
pub(super) const COLLECTORS: &str = "gmp-system";

/// Whether the copies are closed off from everybody who has no business with them.
fn is_closed(plan: &Plan<'_>) -> bool {
    let asked = plan.workload.network_policies.as_ref().map(|on| on.value);
    asked.unwrap_or(plan.workload.routing() != Routing::Direct)
}

/// The labels of the copies, or of the scheduler.
pub(super) fn labels(plan: &Plan<'_>, component: &str) -> Json {
    json!({
        "app.kubernetes.io/name": plan.name,
        "app.kubernetes.io/part-of": "llminferenceservice",
        "app.kubernetes.io/component": component,
    })
}

pub(super) const COPIES: &str = "llminferenceservice-workload";
const SCHEDULER: &str = "llminferenceservice-router-scheduler";

/// Adds policies and the disruption budget; copies and scheduler wait for what they may do.
pub(super) fn add(expansion: &mut Expansion<'_>, plan: &Plan<'_>, service: &Address) {
    if plan.workload.replicas() > 1 {
        expansion.own(
            &plan.component,
            &json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": plan.name, "namespace": plan.namespace},
                "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels(plan, COPIES)}},
            }),
        );
    }
    if !is_closed(plan) {
        return;
    }
    let policy = |name: &str, spec: Json| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": format!("{}-{name}", plan.name), "namespace": plan.namespace},
            "spec": spec,
        })
    };
    let (gateway_namespace, gateway_name) = gateway::place(expansion);
    let gateway = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": gateway_namespace}},
        "podSelector": {"matchLabels": {"gateway.networking.k8s.io/gateway-name": gateway_name}},
    });
    let pods = |component: &str| json!({"podSelector": {"matchLabels": labels(plan, component)}});
    let tcp = |port: i64| json!([{"protocol": "TCP", "port": port}]);
    let names = json!({
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    });
    // GKE's NodeLocal DNSCache answers at an address of the node, which no selector means.
    let node_names = json!({
        "to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    });
    let selected = |component: &str| json!({"matchLabels": labels(plan, component)});

    let everything = json!({"app.kubernetes.io/name": plan.name, "app.kubernetes.io/part-of": "llminferenceservice"});
    let mut own = |manifest: Json| {
        let address = expansion.own(&plan.component, &manifest);
        expansion.need(service, address, "its pods are closed off from their first moment");
    };
    own(policy(
        "default-deny",
        json!({"podSelector": {"matchLabels": everything}, "policyTypes": ["Ingress", "Egress"]}),
    ));
    let mut callers = vec![gateway.clone()];
    if routing::is_scheduled(plan.workload) {
        callers.push(pods(SCHEDULER));
    }
    callers.push(json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": COLLECTORS}},
    }));
    let mut goals = vec![names.clone(), node_names.clone()];
    if plan.workload.mtls() == Mtls::Strict {
        // Proxies get their certificates from the control plane.
        goals.push(json!({
            "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "istio-system"}}}],
            "ports": tcp(15012),
        }));
    }
    if matches!(storage::scheme(plan.workload), "hf" | "s3" | "gs") {
        // The model's files come from hosts with many addresses.
        goals.push(json!({"ports": tcp(443)}));
    }
    own(policy(
        "serving",
        json!({
            "podSelector": selected(COPIES), "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": callers, "ports": tcp(PORT)}], "egress": goals,
        }),
    ));
    if routing::is_scheduled(plan.workload) {
        // It watches its pool through the API server, and reads the copies' metrics.
        let goals = json!([names, node_names, {"ports": tcp(443)}, {"to": [pods(COPIES)], "ports": tcp(PORT)}]);
        own(policy(
            "scheduler",
            json!({
                "podSelector": selected(SCHEDULER), "policyTypes": ["Ingress", "Egress"],
                "ingress": [{"from": [gateway], "ports": tcp(ASKED)}], "egress": goals,
            }),
        ));
    }
}

/// Policies that nobody enforces.
pub(super) fn check(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let Some(cluster) = expansion.stack.cluster.as_ref().filter(|cluster| !cluster.is_given()) else { return };
    if !is_closed(plan) || cluster.network_policy.as_ref().is_some_and(|on| on.value) {
        return;
    }
    let what = format!("nobody enforces the network policies of {}", plan.component);
    let span = plan.workload.network_policies.as_ref().map_or(&cluster.span, |on| &on.span);
    let hint = "write network_policy = true in [cluster], or network_policies = false in the workload";
    expansion.report(Diagnostic::warning(what).at(span.clone(), "without Dataplane V2 they say nothing").hint(hint));
}
