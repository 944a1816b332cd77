//! What a platform can do besides resources: name the target of a run, prove that a model answers, audit.
//!
//! Traits only; `provider` implements them and `ops` uses them.

use async_trait::async_trait;

use crate::resource::error::ProviderError;

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
