//! The project that a run reaches, and what of a stack is left in it.
//!
//! Clusters and node pools are known by their labels; what clusters have left in Compute Engine is `audit`'s.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::audit::{self, Living, capture, removal};
use super::client::GoogleClient;
use super::expiry;
use super::operation::{self, Standing};
use super::pool::MARK;
use super::standing;
use crate::platform::audit::{Audit, Billed, Captured, Finding, Unseen, Verdict};
use crate::platform::expiry::Marked;
use crate::platform::standing::Thing;
use crate::platform::{Objects, Site, Target};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// A Google Cloud project, real or simulated.
pub struct GoogleSite {
    client: Arc<GoogleClient>,
    objects: Arc<dyn Objects>,
    project: Option<String>,
    target: OnceCell<Target>,
}

impl GoogleSite {
    /// The site of `project`; `None` for a stack without a Google project. `objects` looks into its clusters.
    pub fn new(client: Arc<GoogleClient>, objects: Arc<dyn Objects>, project: Option<String>) -> Self {
        GoogleSite { client, objects, project, target: OnceCell::new() }
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

    async fn capture(&self, cluster: &Value) -> Result<Option<Captured>, ProviderError> {
        let text = |key| cluster.get(key).and_then(Value::as_str).unwrap_or_default();
        let (project, location, name) = (text("project"), text("location"), text("name"));
        if project.is_empty() || location.is_empty() || name.is_empty() {
            return Ok(None);
        }
        let known = Captured {
            project: project.to_owned(),
            location: location.to_owned(),
            name: name.to_owned(),
            id: text("id").to_owned(),
            node_tag: capture::node_tag(name, text("id")),
            ..Captured::default()
        };
        let path = format!("projects/{project}/locations/{location}/clusters/{name}");
        let answer = self.client.call(|gke| async move { gke.get_cluster().set_name(path).send().await }).await;
        let mut captured = match answer {
            Ok(found) if known.id.is_empty() || found.id == known.id => capture::of_cluster(project, &found),
            // It is gone, and somebody else's may have its name.
            Ok(_) => return Ok((!known.id.is_empty()).then_some(known)),
            Err(error) if error.class == ErrorClass::NotFound => return Ok((!known.id.is_empty()).then_some(known)),
            Err(error) => return Err(error),
        };
        if cluster.get("endpoint").and_then(Value::as_str).is_some_and(|endpoint| !endpoint.is_empty())
            && let Err(error) = capture::of_inside(&*self.objects, cluster, &mut captured).await
        {
            tracing::info!(cluster = name, error = error.message, "the cluster does not say what it has made");
        }
        Ok(Some(captured))
    }

    async fn standing(&self, cluster: &Value) -> Result<Vec<Thing>, ProviderError> {
        standing::standing(&self.client, cluster).await
    }

    async fn audit(&self, stack_id: &str, captured: &[Captured]) -> Result<Audit, ProviderError> {
        let mut audit = Audit::default();
        let mut living = Vec::new();
        let mut projects = self.projects().await?;
        projects.extend(captured.iter().map(|cluster| cluster.project.clone()));
        for project in &projects {
            let parent = format!("projects/{project}/locations/-");
            let answer =
                self.client.call(|gke| async move { gke.list_clusters().set_parent(parent).send().await }).await?;
            audit.looked.extend(["cluster".to_owned(), "node pool".to_owned()]);
            for zone in &answer.missing_zones {
                // A place that cannot be seen into is no receipt.
                let what = format!("clusters of {project} in {zone}");
                audit.unseen.push(Unseen { what, why: "GKE could not look there".into() });
                // A cluster that may still be there has left nothing.
                let hidden = captured.iter().filter(|cluster| cluster.project == *project && cluster.location == *zone);
                audit.living.extend(hidden.map(|cluster| cluster.id.clone()));
            }
            for cluster in &answer.clusters {
                living.push(Living {
                    name: cluster.name.clone(),
                    location: cluster.location.clone(),
                    id: cluster.id.clone(),
                    created: cluster.create_time.clone(),
                });
                audit.living.insert(cluster.id.clone());
                let (place, name) = (&cluster.location, &cluster.name);
                let marked = cluster.resource_labels.get(MARK).is_some_and(|id| id == stack_id);
                if marked {
                    let delete =
                        format!("gcloud container clusters delete {name} --project {project} --location {place}");
                    let found = marked_thing("cluster", name.clone(), place, delete);
                    audit.findings.push(Finding { cluster: cluster.id.clone(), ..found });
                }
                for pool in &cluster.node_pools {
                    let mark = pool.config.as_ref().and_then(|config| config.resource_labels.get(MARK));
                    if !marked && mark.is_some_and(|id| id == stack_id) {
                        let delete = format!(
                            "gcloud container node-pools delete {} --cluster {name} --project {project} --location {place}",
                            pool.name
                        );
                        audit.findings.push(marked_thing("node pool", format!("{name}/{}", pool.name), place, delete));
                    }
                }
            }
        }
        audit::look(&self.client, stack_id, captured, &living, &mut audit).await;
        let listed = |project: &String| captured.iter().any(|c| c.project == *project && !audit.living.contains(&c.id));
        projects.retain(|project| !listed(project));
        for project in projects {
            audit::probes::look(&self.client, &project, stack_id, &mut audit).await;
        }
        Ok(audit)
    }

    async fn remove(&self, finding: &Finding) -> Result<Option<String>, ProviderError> {
        removal::remove(&self.client, finding).await
    }

    async fn is_over(&self, operation: &str) -> Result<bool, ProviderError> {
        // Those of GKE are in locations, those of Compute Engine in zones and regions.
        if !operation.contains("/locations/") {
            return removal::is_over(&self.client, operation).await;
        }
        Ok(matches!(operation::look(&self.client, operation).await?, Standing::Over))
    }

    async fn marked(&self, project: &str) -> Result<(Vec<Marked>, Vec<Unseen>), ProviderError> {
        expiry::marked(&self.client, project).await
    }

    async fn stray(&self, project: &str) -> Result<Vec<Finding>, ProviderError> {
        audit::probes::expired(&self.client, project, self.client.clock().now()).await
    }

    async fn renew(&self, cluster: &Value, expires: Option<u64>) -> Result<Option<String>, ProviderError> {
        expiry::renew(&self.client, cluster, expires).await
    }
}

/// Something that carries the stack's own mark; `destroy` removes it, not a sweep.
fn marked_thing(kind: &str, name: String, place: &str, command: String) -> Finding {
    Finding {
        kind: kind.to_owned(),
        name,
        place: place.to_owned(),
        path: String::new(),
        cluster: String::new(),
        verdict: Verdict::Proven,
        because: "its label names the stack".to_owned(),
        billed: Billed::Unknown,
        order: None,
        command,
    }
}
