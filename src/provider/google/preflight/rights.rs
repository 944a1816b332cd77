//! Which services are on, and what the account may do.

use serde_json::{Value as Json, json};

use super::{Asked, enable, fine, grant, unasked};
use crate::platform::preflight::{Check, Topic, Verdict};
use crate::provider::google::client::GoogleClient;

/// The services without which there is no cluster.
pub(super) const SERVICES: [&str; 2] = ["container.googleapis.com", "compute.googleapis.com"];

/// What an apply and a destroy ask for, and a role that allows it.
const PERMISSIONS: &[(&str, &str)] = &[
    ("container.clusters.create", "roles/container.admin"),
    ("container.clusters.delete", "roles/container.admin"),
    ("container.clusters.get", "roles/container.admin"),
    ("container.clusters.list", "roles/container.admin"),
    ("container.clusters.update", "roles/container.admin"),
    ("container.operations.get", "roles/container.admin"),
    ("container.operations.list", "roles/container.admin"),
    // Objects of Kubernetes: roles can be given only by who may bind and escalate.
    ("container.clusterRoles.bind", "roles/container.admin"),
    ("container.clusterRoles.escalate", "roles/container.admin"),
    ("container.customResourceDefinitions.create", "roles/container.admin"),
    ("container.secrets.create", "roles/container.admin"),
    ("compute.instanceGroupManagers.get", "roles/compute.viewer"),
    ("compute.regions.get", "roles/compute.viewer"),
    ("compute.machineTypes.get", "roles/compute.viewer"),
    // Nodes run as a service account.
    ("iam.serviceAccounts.actAs", "roles/iam.serviceAccountUser"),
];

/// Says which services are on.
const USAGE: Asked = Asked { service: "serviceusage.googleapis.com", role: "roles/serviceusage.serviceUsageViewer" };
/// Says what the account may do.
const PROJECTS: Asked = Asked { service: "cloudresourcemanager.googleapis.com", role: "roles/browser" };

/// Whether a service is on.
pub(super) async fn service(client: &GoogleClient, project: &str, service: &str) -> Vec<Check> {
    let subject = format!("{service} in {project}");
    let check = match client.get("serviceusage", &format!("/v1/projects/{project}/services/{service}")).await {
        Ok(answer) if answer["state"] == "ENABLED" => fine(Topic::Service, subject, "on".to_owned()),
        Ok(answer) if answer["state"] == "DISABLED" => Check {
            verdict: Verdict::Missing,
            mend: Some(enable(service, project)),
            ..fine(Topic::Service, subject, "off".to_owned())
        },
        Ok(answer) => Check {
            verdict: Verdict::Unknown,
            ..fine(Topic::Service, subject, format!("Service Usage calls its state {}", answer["state"]))
        },
        Err(error) => unasked(Topic::Service, subject, &error, &USAGE, project),
    };
    vec![check]
}

/// What the account may not do that it will have to.
pub(super) async fn permissions(client: &GoogleClient, project: &str) -> Vec<Check> {
    let all = PERMISSIONS.iter().map(|(permission, _)| *permission).collect::<Vec<_>>();
    let path = format!("/v3/projects/{project}:testIamPermissions");
    let subject = format!("rights in {project}");
    let granted = match client.post("cloudresourcemanager", &path, &json!({ "permissions": all })).await {
        Ok(answer) => answer["permissions"].as_array().cloned().unwrap_or_default(),
        Err(error) => {
            return vec![unasked(Topic::Permission, subject, &error, &PROJECTS, project)];
        }
    };
    let missing = PERMISSIONS.iter().filter(|(permission, _)| !granted.contains(&Json::from(*permission)));
    let missing = missing.map(|(permission, role)| Check {
        verdict: Verdict::Missing,
        mend: Some(grant(role, project)),
        ..fine(Topic::Permission, format!("{permission} in {project}"), "not granted to this account".to_owned())
    });
    let missing = missing.collect::<Vec<_>>();
    if missing.is_empty() {
        return vec![fine(Topic::Permission, subject, format!("all {} are granted", PERMISSIONS.len()))];
    }
    missing
}
