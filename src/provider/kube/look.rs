//! Single looks at objects of a cluster, for charts that ask. Nothing is changed, and nothing remembered.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::apply::version_of;
use super::client::Connections;
use super::discovery::escape;
use crate::platform::{Objects, Sought};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// Objects per page.
const PAGE: usize = 500;

/// A chart that wants more than this wants to know something else.
const MOST: usize = 10_000;

/// Looks through the connections of a run.
pub struct KubeObjects {
    connections: Arc<Connections>,
}

impl KubeObjects {
    /// Over these connections.
    pub fn new(connections: Arc<Connections>) -> Self {
        KubeObjects { connections }
    }
}

#[async_trait]
impl Objects for KubeObjects {
    async fn look(&self, connection: Option<&Value>, sought: &Sought<'_>) -> Result<Option<Json>, ProviderError> {
        let cluster = match connection {
            Some(connection) => self.connections.reach(connection)?,
            None => self.connections.given().await?,
        };
        let what = || format!("{} {} {}", sought.kind, sought.namespace, sought.name);
        let failed = |refusal: super::refusal::Refusal| refusal.error(what().trim(), &Json::Null);
        let group = sought.api_version.split_once('/').map_or("", |(group, _)| group);
        let resource = cluster.resource(group, Some(version_of(sought.api_version)), sought.kind).await;
        let Some(resource) = resource.map_err(failed)? else { return Ok(None) };
        let namespace = Some(sought.namespace).filter(|namespace| resource.namespaced && !namespace.is_empty());
        if !sought.name.is_empty() {
            if resource.namespaced && namespace.is_none() {
                return Ok(None);
            }
            return match cluster.get(&resource.object(namespace, sought.name)).await {
                Ok(found) => Ok(Some(found)),
                Err(refusal) if refusal.is_not_found() => Ok(None),
                Err(refusal) => Err(failed(refusal)),
            };
        }
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let page = cluster.get(&format!("{}?limit={PAGE}{next}", resource.collection(namespace))).await;
            let page = page.map_err(failed)?;
            for item in page["items"].as_array().into_iter().flatten() {
                let mut item = item.clone();
                // Items of a list carry neither.
                item["apiVersion"] = sought.api_version.into();
                item["kind"] = sought.kind.into();
                items.push(item);
            }
            if items.len() > MOST {
                let text = format!("{}: there are more than {MOST}", what().trim());
                return Err(ProviderError::new(ErrorClass::Invalid, text));
            }
            match page.pointer("/metadata/continue").and_then(Json::as_str) {
                Some(token) if !token.is_empty() => next = format!("&continue={}", escape(token)),
                _ => break,
            }
        }
        let kind = format!("{}List", sought.kind);
        Ok(Some(json!({"apiVersion": sought.api_version, "kind": kind, "metadata": {}, "items": items})))
    }
}
