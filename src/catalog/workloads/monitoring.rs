//! Who collects a model's metrics: GKE's managed Prometheus, or an operator that watches ServiceMonitors. Over TLS that
//! is checked, with the copies' own authority.

use serde_json::{Value as Json, json};

use crate::catalog::expansion::{Expansion, mistake};
use crate::catalog::workloads::{PORT, Plan, network, tls};
use crate::stack::model::{Monitoring, Mtls};

/// Between two collections.
const INTERVAL: &str = "30s";

/// Mistakes about monitoring.
pub(super) fn check(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let Some(monitoring) = &plan.workload.monitoring else { return };
    if plan.workload.mtls() == Mtls::Strict {
        let what = "nobody outside the mesh can read the metrics of a workload with strict mTLS";
        let hint = "remove `mtls`, whose copies speak TLS all the same, or `monitoring`";
        expansion.report(mistake(what, &monitoring.span, "would be refused").hint(hint));
    }
}

/// Adds what tells the collector of the copies.
pub(super) fn add(expansion: &mut Expansion<'_>, plan: &Plan<'_>, hop: &tls::Hop) {
    let Some(monitoring) = &plan.workload.monitoring else { return };
    // Red Hat's KServe signs with the stack's authority and puts its certificate beside; KServe's own certificate
    // vouches for itself.
    let (secret, key) = match hop.secret() {
        Some(secret) => (secret.to_owned(), "ca.crt"),
        None if expansion.is_rhaii("kserve") => (format!("{}-kserve-self-signed-certs", plan.name), "ca.crt"),
        None => (format!("{}-kserve-self-signed-certs", plan.name), "tls.crt"),
    };
    let authority = json!({"secret": {"name": secret, "key": key}});
    let name = tls::copies(plan);
    let metadata = json!({"name": plan.name, "namespace": plan.namespace});
    let manifest = match monitoring.value {
        Monitoring::PodMonitoring => {
            reader(expansion, plan, &secret);
            json!({
                "apiVersion": "monitoring.googleapis.com/v1", "kind": "PodMonitoring", "metadata": metadata,
                "spec": {
                    "selector": {"matchLabels": network::labels(plan, network::COPIES)},
                    "endpoints": [{
                        "port": PORT, "path": "/metrics", "interval": INTERVAL, "scheme": "https",
                        "tls": {"ca": authority, "serverName": name},
                    }],
                },
            })
        }
        Monitoring::ServiceMonitor => json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": network::labels(plan, network::COPIES)},
                "endpoints": [{
                    "port": "https", "path": "/metrics", "interval": INTERVAL, "scheme": "https",
                    "tlsConfig": {"ca": authority, "serverName": name},
                }],
            },
        }),
    };
    expansion.own(&plan.component, &manifest);
}

/// Lets managed Prometheus read the authority's certificate; it may read no Secret otherwise.
fn reader(expansion: &mut Expansion<'_>, plan: &Plan<'_>, secret: &str) {
    let name = format!("{}-metrics-ca", plan.name);
    let metadata: Json = json!({"name": name, "namespace": plan.namespace});
    expansion.own(
        &plan.component,
        &json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}],
        }),
    );
    expansion.own(
        &plan.component,
        &json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "collector", "namespace": network::COLLECTORS}],
        }),
    );
}
