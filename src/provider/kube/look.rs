//! Single looks at objects of a cluster and pages of its pods, and rehearsals. Nothing is changed, and nothing remembered.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::apply::version_of;
use super::client::{Cluster, Connections, Content};
use super::discovery::escape;
use super::forward;
use crate::platform::passage::Duplex;
use crate::platform::standing::LogOf;
use crate::platform::{Door, Objects, Sought};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// Objects per page.
const PAGE: usize = 500;

/// A chart that wants more than this wants to know something else.
const MOST: usize = 10_000;

/// Bytes of a log.
const MOST_LOG: usize = 65_536;

/// Looks through the connections of a run.
pub struct KubeObjects {
    connections: Arc<Connections>,
}

impl KubeObjects {
    /// Over these connections.
    pub fn new(connections: Arc<Connections>) -> Self {
        KubeObjects { connections }
    }

    async fn cluster(&self, connection: Option<&Value>) -> Result<Arc<Cluster>, ProviderError> {
        match connection {
            Some(connection) => self.connections.reach(connection),
            None => self.connections.given().await,
        }
    }
}

#[async_trait]
impl Objects for KubeObjects {
    async fn look(&self, connection: Option<&Value>, sought: &Sought<'_>) -> Result<Option<Json>, ProviderError> {
        let cluster = self.cluster(connection).await?;
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

    async fn rehearse(&self, connection: Option<&Value>, object: &Json) -> Result<(), ProviderError> {
        let cluster = self.cluster(connection).await?;
        let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        let what = format!("{kind} {}", text("/metadata/name"));
        let failed = |refusal: super::refusal::Refusal| refusal.error(&what, object);
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let resource = cluster.resource(group, Some(version_of(api_version)), kind).await.map_err(failed)?;
        let resource = resource.ok_or_else(|| {
            ProviderError::new(ErrorClass::NotFound, format!("the cluster does not know {api_version} {kind}"))
                .hint("its CustomResourceDefinition is missing: see the add-on that brings it")
        })?;
        let namespace =
            Some(text("/metadata/namespace")).filter(|namespace| resource.namespaced && !namespace.is_empty());
        let path = format!("{}?dryRun=All&fieldManager=stackwright-verify", resource.collection(namespace));
        cluster.write(http::Method::POST, &path, Content::Json, object).await.map(drop).map_err(failed)
    }

    async fn page(&self, connection: Option<&Value>, door: &Door<'_>) -> Result<String, ProviderError> {
        let cluster = self.cluster(connection).await?;
        let Door { namespace, pod, port, tls, path } = door;
        let scheme = if *tls { "https:" } else { "" };
        let path = format!("/api/v1/namespaces/{}/pods/{scheme}{}:{port}/proxy{path}", escape(namespace), escape(pod));
        let page = cluster.text(&path).await;
        page.map_err(|refusal| refusal.error(&format!("pod {namespace}/{pod}"), &Json::Null))
    }

    async fn forward(
        &self,
        connection: Option<&Value>,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> Result<Box<dyn Duplex>, ProviderError> {
        let cluster = self.cluster(connection).await?;
        let path = format!("/api/v1/namespaces/{}/pods/{}/portforward?ports={port}", escape(namespace), escape(pod));
        let upgraded = cluster.upgrade(&path, forward::PROTOCOL).await;
        let upgraded = upgraded.map_err(|refusal| refusal.error(&format!("pod {namespace}/{pod}"), &Json::Null))?;
        Ok(Box::new(forward::carried(upgraded)))
    }

    async fn log(&self, connection: Option<&Value>, log: &LogOf<'_>) -> Result<String, ProviderError> {
        let cluster = self.cluster(connection).await?;
        let LogOf { namespace, pod, container, previous, lines } = log;
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}/log?container={}&tailLines={lines}&limitBytes={MOST_LOG}&previous={previous}",
            escape(namespace),
            escape(pod),
            escape(container)
        );
        let text = cluster.text(&path).await;
        text.map_err(|refusal| refusal.error(&format!("log of {namespace}/{pod}"), &Json::Null))
    }
}
