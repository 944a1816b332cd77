//! The cluster of a kubeconfig as the place of a run: who it is, and what of a stack is left in it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use serde_json::Value as Json;

use super::client::{Cluster, Connections};
use super::discovery::{Resource, escape};
use super::object::MARK;
use super::refusal::Refusal;
use crate::platform::audit::{Audit, Billed, Captured, Finding, Unseen, Verdict};
use crate::platform::{Site, Target};
use crate::resource::error::{ErrorClass, ProviderError};

/// Requests in flight at a time.
const PARALLEL: usize = 8;

/// A cluster that is there already.
pub struct KubeSite {
    connections: Arc<Connections>,
}

impl KubeSite {
    /// The cluster that `connections` were given.
    pub fn new(connections: Arc<Connections>) -> Self {
        KubeSite { connections }
    }
}

#[async_trait]
impl Site for KubeSite {
    async fn target(&self) -> Result<Target, ProviderError> {
        let cluster = self.connections.given().await?;
        // The one object that lives as long as its cluster; sig-multicluster's convention for a cluster's id.
        let namespace = cluster.get("/api/v1/namespaces/kube-system").await;
        let namespace = namespace.map_err(|refusal| refusal.error("namespace kube-system", &Json::Null))?;
        let uid = namespace.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or_default();
        if uid.is_empty() {
            return Err(ProviderError::new(ErrorClass::Unknown, "the namespace kube-system has no uid"));
        }
        Ok(Target { platform: "kubeconfig".into(), id: uid.to_owned() })
    }

    async fn audit(&self, stack_id: &str, _: &[Captured]) -> Result<Audit, ProviderError> {
        let cluster = self.connections.given().await?;
        let catalogue = cluster.discover().await.map_err(|refusal| refusal.error("discovery", &Json::Null))?;
        let kinds =
            catalogue.preferred().map(|(kind, resource)| (kind.to_owned(), resource.clone())).collect::<Vec<_>>();
        let lists = stream::iter(kinds.into_iter().map(|(kind, resource)| {
            let cluster = cluster.clone();
            async move {
                let names = list(&cluster, &resource, stack_id).await;
                (kind, names)
            }
        }));
        let mut audit = Audit::default();
        for (kind, names) in lists.buffered(PARALLEL).collect::<Vec<_>>().await {
            match names {
                Ok(names) => {
                    audit.findings.extend(names.into_iter().map(|name| left(&kind, name)));
                    audit.looked.insert(kind);
                }
                // Not every kind can be listed (reviews), and its objects do not last.
                Err(refusal) if matches!(refusal.code(), Some(404 | 405)) => {}
                // A kind that may not be looked at is no receipt.
                Err(refusal) => {
                    let error = refusal.error(&kind, &Json::Null);
                    audit.unseen.push(Unseen { what: format!("objects of the kind {kind}"), why: error.message });
                }
            }
        }
        Ok(audit)
    }
}

/// An object with the stack's label.
fn left(kind: &str, name: String) -> Finding {
    let command = match name.split_once('/') {
        Some((namespace, name)) => format!("kubectl delete {kind} {name} --namespace {namespace}"),
        None => format!("kubectl delete {kind} {name}"),
    };
    Finding {
        kind: kind.to_owned(),
        name,
        place: String::new(),
        path: String::new(),
        cluster: String::new(),
        verdict: Verdict::Proven,
        because: "its label names the stack".to_owned(),
        billed: Billed::Nothing,
        order: None,
        command,
    }
}

async fn list(cluster: &Cluster, resource: &Resource, stack_id: &str) -> Result<Vec<String>, Refusal> {
    let selector = escape(&format!("{MARK}={stack_id}"));
    let page = cluster.get(&format!("{}?labelSelector={selector}&limit=50", resource.collection(None))).await?;
    let items = page["items"].as_array().into_iter().flatten();
    let name = |item: &Json| {
        let text = |pointer| item.pointer(pointer).and_then(Json::as_str);
        let name = text("/metadata/name").unwrap_or_default();
        text("/metadata/namespace").map_or(name.to_owned(), |namespace| format!("{namespace}/{name}"))
    };
    Ok(items.map(name).collect())
}
