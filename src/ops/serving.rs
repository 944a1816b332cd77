//! Models that are served, wherever they are: of a stack, through its gateway and in its pods, or behind any URL.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::diag::{Diagnostic, Diagnostics};
use crate::measure::metrics::Counters;
use crate::ops::passage::{known, to_gateway};
use crate::ops::platforms::Platforms;
use crate::ops::sight::{Sight, list, text};
use crate::plan::model::PlannedProof;
use crate::platform::Door;
use crate::platform::models::{Endpoint, Patience, Question, Told};
use crate::platform::passage::Passage;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// A model and the ways to it.
#[derive(Clone, Debug)]
pub struct Served {
    /// The workload, or the URL.
    pub of: String,
    /// The way that users have.
    pub endpoint: Endpoint,
    /// The name to ask for.
    pub model: String,
    /// Its servers, one by one; none for a URL.
    pub replicas: Vec<Replica>,
}

/// One server of a model.
#[derive(Clone, Debug)]
pub struct Replica {
    connection: Option<Value>,
    namespace: String,
    /// Its pod.
    pub pod: String,
    port: u16,
    tls: bool,
    /// Who may have signed its certificate.
    ca_pem: Option<String>,
}

impl Replica {
    /// What it has counted: by port-forward, which network policies do not keep out; or by `pods/proxy`, where the
    /// certificate is one that KServe has signed for itself and nobody can verify.
    ///
    /// # Errors
    /// When its page cannot be read either way: what the second says.
    pub async fn counters(&self, platforms: &Platforms) -> Result<Counters, ProviderError> {
        let Replica { connection, namespace, pod, port, tls, .. } = self;
        if let Ok(page) = self.forwarded(platforms).await {
            return Ok(Counters::read(&page));
        }
        let door = Door { namespace, pod, port: *port, tls: *tls, path: "/metrics" };
        platforms.objects.page(connection.as_ref(), &door).await.map(|page| Counters::read(&page))
    }

    async fn forwarded(&self, platforms: &Platforms) -> Result<String, ProviderError> {
        let through = Passage {
            objects: platforms.objects.clone(),
            connection: self.connection.clone(),
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            port: self.port,
        };
        let scheme = if self.tls { "https" } else { "http" };
        // The one name that every certificate of a copy has: its own probes ask for it.
        let endpoint = Endpoint {
            url: format!("{scheme}://localhost:{}", self.port),
            ca_pem: self.ca_pem.clone(),
            through: Some(through),
            ..Endpoint::default()
        };
        let question = Question { patience: brief(), ..Question::get("/metrics") };
        platforms.models.ask(&endpoint, &question).await?.text()
    }
}

impl Served {
    /// A workload of a stack.
    ///
    /// # Errors
    /// When its URL or CA is not known yet, or its pods cannot be listed.
    pub async fn of_stack(sight: &Sight<'_>, proof: &PlannedProof) -> Result<Served, ProviderError> {
        let endpoint = endpoint(sight, proof).await?;
        let replicas = replicas(sight, &proof.component, &endpoint).await?;
        Ok(Served { of: proof.component.clone(), endpoint, model: proof.model.clone(), replicas })
    }

    /// What is behind a URL; without a name, the first model that it lists.
    ///
    /// # Errors
    /// When it lists none.
    pub async fn behind(
        platforms: &Platforms,
        endpoint: Endpoint,
        model: Option<String>,
    ) -> Result<Served, ProviderError> {
        let of = endpoint.url.clone();
        let model = match model {
            Some(model) => model,
            None => models(platforms, &endpoint).await?.into_iter().next().map(|(name, _)| name).ok_or_else(|| {
                ProviderError::new(ErrorClass::Invalid, "the server lists no model").hint("name one with --model")
            })?,
        };
        Ok(Served { of, endpoint, model, replicas: Vec::new() })
    }

    /// What all servers have counted together: each by itself where they can be reached, else through the URL.
    ///
    /// # Errors
    /// When it cannot be read either way.
    pub async fn counters(&self, platforms: &Platforms) -> Result<Counters, ProviderError> {
        let mut all = Vec::new();
        for replica in &self.replicas {
            match replica.counters(platforms).await {
                Ok(counters) => all.push(counters),
                // Through the gateway, one of several answers, and nobody knows which.
                Err(error) if self.replicas.len() > 1 => return Err(error),
                Err(_) => {
                    all.clear();
                    break;
                }
            }
        }
        if !all.is_empty() {
            return Ok(Counters::sum(&all));
        }
        let question = Question { patience: brief(), ..Question::get("/metrics") };
        let page = platforms.models.ask(&self.endpoint, &question).await?.text();
        page.map(|page| Counters::read(&page)).map_err(|error| {
            ProviderError::new(error.class, format!("its metrics cannot be read: {}", error.message))
                .hint("let the way that you use lead to /metrics of the model server as well")
        })
    }

    /// A streamed completion.
    ///
    /// # Errors
    /// As the client says.
    pub async fn complete(&self, platforms: &Platforms, prompt: &str, tokens: u64) -> Result<Told, ProviderError> {
        let body = json!({"model": self.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0,
            "stream": true, "stream_options": {"include_usage": true}});
        platforms.models.listen(&self.endpoint, &Question::post("/v1/completions", &body)).await
    }
}

/// For pages that a server has at hand.
pub fn brief() -> Patience {
    Patience { silence: Duration::from_secs(20), whole: Duration::from_secs(30), ..Patience::default() }
}

/// The models that a server lists, with their longest context.
///
/// # Errors
/// When it lists none.
pub async fn models(platforms: &Platforms, endpoint: &Endpoint) -> Result<Vec<(String, Option<u64>)>, ProviderError> {
    let question = Question { patience: brief(), ..Question::get("/v1/models") };
    let listed = platforms.models.ask(endpoint, &question).await?.document("")?;
    let entry = |entry: &Json| Some((entry["id"].as_str()?.to_owned(), entry["max_model_len"].as_u64()));
    Ok(list(&listed, "/data").iter().filter_map(entry).collect())
}

/// The way to a workload of a stack, as its users have it.
///
/// # Errors
/// When it is not known yet, or leads through a gateway of which no pod is ready.
pub async fn endpoint(sight: &Sight<'_>, proof: &PlannedProof) -> Result<Endpoint, ProviderError> {
    let resolve = |value: &Value| known(value, &sight.outputs, &proof.component);
    let url = resolve(&proof.url)?;
    Ok(Endpoint {
        through: to_gateway(sight.platforms, proof, &url, &sight.outputs).await?,
        url,
        ca_pem: proof.ca.as_ref().map(resolve).transpose()?,
        server_name: proof.server_name.clone(),
        api_key: proof.api_key.as_ref().map(resolve).transpose()?,
    })
}

/// The ready pods of a workload that serve its model.
async fn replicas(sight: &Sight<'_>, component: &str, front: &Endpoint) -> Result<Vec<Replica>, ProviderError> {
    let mut found = Vec::new();
    for service in
        sight.objects().filter(|wanted| wanted.component == component && wanted.kind == "LLMInferenceService")
    {
        let connection = sight.connection(service.resource).cloned();
        let pods = sight.list(service.resource, "v1", "Pod", &service.namespace).await?;
        let of_service = |pod: &&Json| {
            let label = |name: &str| pod["metadata"]["labels"][name].as_str().unwrap_or_default();
            label("app.kubernetes.io/name") == service.name && label("kserve.io/component") == "workload"
        };
        for pod in pods.iter().filter(of_service) {
            let probed = list(pod, "/spec/containers").iter().find_map(|container| {
                let probe = container.pointer("/readinessProbe/httpGet")?;
                Some((probe["port"].as_u64()?, probe["scheme"] == "HTTPS"))
            });
            let (port, tls) = probed.unwrap_or((8000, true));
            found.push(Replica {
                connection: connection.clone(),
                namespace: service.namespace.clone(),
                pod: text(pod, "/metadata/name").to_owned(),
                port: u16::try_from(port).unwrap_or(8000),
                tls,
                ca_pem: front.ca_pem.clone(),
            });
        }
    }
    found.sort_by(|a, b| a.pod.cmp(&b.pod));
    Ok(found)
}

/// The one workload that is meant: the only one, or the one of this name.
///
/// # Errors
/// When there is none, or several and none is named.
pub fn chosen<'p>(proofs: &'p [PlannedProof], named: Option<&str>) -> Result<&'p PlannedProof, Diagnostics> {
    let names = || {
        let names = proofs.iter().map(|proof| proof.component.trim_start_matches("workloads."));
        names.collect::<Vec<_>>().join(", ")
    };
    match (named, proofs) {
        (_, []) => Err(Diagnostic::error("the stack serves no model")
            .hint("declare one under [workloads.NAME], or name a server with --endpoint URL")
            .into()),
        (None, [only]) => Ok(only),
        (None, _) => Err(Diagnostic::error("the stack serves several models")
            .hint(format!("choose one with --workload: {}", names()))
            .into()),
        (Some(name), _) => {
            let wanted = name.trim_start_matches("workloads.");
            let found = proofs.iter().find(|proof| proof.component.trim_start_matches("workloads.") == wanted);
            found.ok_or_else(|| {
                Diagnostic::error(format!("the stack has no workload {wanted} that serves a model"))
                    .hint(format!("it has: {}", names()))
                    .into()
            })
        }
    }
}
