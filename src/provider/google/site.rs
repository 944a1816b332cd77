//! The project that a run reaches, and what of a stack is left in it.
//!
//! Knows clusters and node pools by their labels; load balancers, disks and addresses are not asked for here.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::client::GoogleClient;
use super::pool::MARK;
use crate::platform::{Residue, Site, Target};
use crate::resource::error::{ErrorClass, ProviderError};

/// A Google Cloud project, real or simulated.
pub struct GoogleSite {
    client: Arc<GoogleClient>,
    project: Option<String>,
    target: OnceCell<Target>,
}

impl GoogleSite {
    /// The site of `project`; `None` for a stack without a Google project.
    pub fn new(client: Arc<GoogleClient>, project: Option<String>) -> Self {
        GoogleSite { client, project, target: OnceCell::new() }
    }

    /// Every project that may hold something of the stack.
    async fn projects(&self) -> Result<BTreeSet<String>, ProviderError> {
        let mut projects = self.client.projects();
        if self.client.endpoint().is_some() {
            let info = self.client.get("simulator", "/sim/v1/info").await?;
            let clusters = info["clusters"].as_array().into_iter().flatten();
            projects.extend(clusters.filter_map(|cluster| cluster["project"].as_str().map(str::to_owned)));
        }
        if projects.is_empty() {
            projects.extend(self.project.clone());
        }
        Ok(projects)
    }
}

#[async_trait]
impl Site for GoogleSite {
    async fn target(&self) -> Result<Target, ProviderError> {
        let target = self.target.get_or_try_init(|| async {
            if self.client.endpoint().is_some() {
                let info = self.client.get("simulator", "/sim/v1/info").await?;
                let id = info["world"].as_str().or_else(|| info["id"].as_str()).ok_or_else(|| {
                    ProviderError::new(ErrorClass::Invalid, "the endpoint is not a simulator: it names no world")
                })?;
                return Ok(Target { platform: "simulator".into(), id: id.to_owned() });
            }
            let Some(project) = &self.project else {
                return Ok(Target { platform: "none".into(), id: String::new() });
            };
            let answer = self.client.get("cloudresourcemanager", &format!("/v3/projects/{project}")).await?;
            // `name` is `projects/<number>`.
            let number = answer["name"].as_str().and_then(|name| name.strip_prefix("projects/"));
            let number = number.ok_or_else(|| {
                ProviderError::new(ErrorClass::Unknown, format!("Google Cloud names no number for project {project}"))
            })?;
            Ok(Target { platform: "google".into(), id: number.to_owned() })
        });
        target.await.cloned()
    }

    async fn residue(&self, stack_id: &str, clusters: &[String]) -> Result<Vec<Residue>, ProviderError> {
        let mut residue = Vec::new();
        for project in self.projects().await? {
            let parent = format!("projects/{project}/locations/-");
            let answer =
                self.client.call(|gke| async move { gke.list_clusters().set_parent(parent).send().await }).await?;
            for zone in &answer.missing_zones {
                // A place that cannot be seen into is no receipt.
                residue.push(Residue { kind: "unreachable location".into(), name: zone.clone() });
            }
            for cluster in &answer.clusters {
                let marked = cluster.resource_labels.get(MARK).is_some_and(|id| id == stack_id);
                if marked || clusters.contains(&cluster.id) {
                    let name = format!("{}/{}", cluster.location, cluster.name);
                    residue.push(Residue { kind: "cluster".into(), name });
                }
                for pool in &cluster.node_pools {
                    let mark = pool.config.as_ref().and_then(|config| config.resource_labels.get(MARK));
                    if !marked && mark.is_some_and(|id| id == stack_id) {
                        let name = format!("{}/{}/{}", cluster.location, cluster.name, pool.name);
                        residue.push(Residue { kind: "node pool".into(), name });
                    }
                }
            }
        }
        Ok(residue)
    }
}
