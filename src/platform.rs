//! What a platform can do besides resources: name the target of a run, prove that a model answers, audit.
//!
//! Traits only; `provider` implements them and `ops` uses them.

pub mod preflight;

use async_trait::async_trait;

use crate::resource::error::ProviderError;
use crate::value::Value;

/// A proof, fully resolved.
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    /// Base URL, without `/v1`.
    pub url: String,
    /// The model to ask for.
    pub model: String,
    /// PEM certificates to trust besides the system's.
    pub ca_pem: Option<String>,
    /// The name to verify the server's certificate against, when it is not the URL's host.
    pub server_name: Option<String>,
    /// The prompt.
    pub prompt: String,
}

/// A model answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// What it said.
    pub text: String,
    /// The model that the server says answered.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Milliseconds from the request to the whole answer.
    pub millis: u64,
}

/// Asks a model for a completion through its gateway, once, verifying TLS.
#[async_trait]
pub trait Prover: Send + Sync {
    /// One request, no retry.
    async fn complete(&self, request: &CompletionRequest) -> Result<Completion, ProviderError>;
}

/// An object of a cluster, or all of a kind, that a chart asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought<'a> {
    /// `v1`, `apps/v1`.
    pub api_version: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Empty for all namespaces or none.
    pub namespace: &'a str,
    /// Empty for all objects of the kind.
    pub name: &'a str,
}

/// Looks at objects of a cluster, whoever's they are.
#[async_trait]
pub trait Objects: Send + Sync {
    /// The object, or a list with `items`; `None` where it, or its kind, is not there. `connection` is what describes
    /// the cluster, where that is not the one of a kubeconfig. One try.
    async fn look(
        &self,
        connection: Option<&Value>,
        sought: &Sought<'_>,
    ) -> Result<Option<serde_json::Value>, ProviderError>;
}

/// What a run would change, so that state for one place is never used on another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `google`, `kubeconfig`, `simulator`, or `none` for a stack of values only.
    pub platform: String,
    /// Project number, cluster uid, or world id.
    pub id: String,
}

/// Something left over that belongs to the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residue {
    /// What it is: `forwarding rule`.
    pub kind: String,
    /// Its name or link.
    pub name: String,
}

/// Names the target and looks for leftovers.
#[async_trait]
pub trait Site: Send + Sync {
    /// The target that this run reaches.
    async fn target(&self) -> Result<Target, ProviderError>;

    /// Everything that still carries the stack's id or belongs to a cluster that did.
    async fn residue(&self, stack_id: &str, clusters: &[String]) -> Result<Vec<Residue>, ProviderError>;
}
