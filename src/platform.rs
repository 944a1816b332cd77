//! What a platform can do besides resources: name the target of a run, prove that a model answers, audit.
//!
//! Traits only; `provider` implements them and `ops` uses them.

pub mod audit;
pub mod expiry;
pub mod metrics;
pub mod models;
pub mod passage;
pub mod preflight;
pub mod standing;

use async_trait::async_trait;

use self::audit::{Audit, Captured, Finding, Unseen};
use self::expiry::Marked;
use self::passage::{Duplex, Passage};
use self::standing::{LogOf, Thing};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// A secret on its way to a server. Shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Concealed(pub String);

impl std::fmt::Debug for Concealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// A proof, fully resolved.
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    /// Base URL, without `/v1`.
    pub url: String,
    /// The model to ask for.
    pub model: String,
    /// PEM certificates to trust in place of the system's.
    pub ca_pem: Option<String>,
    /// The name to verify the server's certificate against, when it is not the URL's host.
    pub server_name: Option<String>,
    /// The key to show, if the server wants one.
    pub api_key: Option<Concealed>,
    /// The way to the server, where its URL alone leads nowhere from here.
    pub through: Option<Passage>,
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
    /// Milliseconds from the request to the first token, where the server tells tokens one by one.
    pub first_token_millis: Option<u64>,
    /// The pod that a port was forwarded to, because the URL's address leads nowhere from here.
    pub through: Option<String>,
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

/// A page of a server in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod.
    pub pod: &'a str,
    /// Its port.
    pub port: u16,
    /// Whether the server speaks TLS.
    pub tls: bool,
    /// Path, with its `/`.
    pub path: &'a str,
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

    /// Lets the API server go through creating an object, its webhooks included, without keeping it. One try.
    ///
    /// # Errors
    /// The refusal, in the API server's words.
    async fn rehearse(&self, connection: Option<&Value>, object: &serde_json::Value) -> Result<(), ProviderError> {
        let _ = (connection, object);
        Err(ProviderError::new(ErrorClass::Invalid, "nothing can be rehearsed here"))
    }

    /// Reads a page of a server in a pod, through the API server. One try.
    ///
    /// # Errors
    /// When the API server or the pod does not answer, or with something else than a page.
    async fn page(&self, connection: Option<&Value>, door: &Door<'_>) -> Result<String, ProviderError> {
        let _ = (connection, door);
        Err(ProviderError::new(ErrorClass::Invalid, "pods cannot be reached from here"))
    }

    /// A connection to a port of a pod, through the API server. One try.
    ///
    /// # Errors
    /// When the API server or the pod does not let it.
    async fn forward(
        &self,
        connection: Option<&Value>,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> Result<Box<dyn Duplex>, ProviderError> {
        let _ = (connection, namespace, pod, port);
        Err(ProviderError::new(ErrorClass::Invalid, "no ports of pods can be forwarded from here"))
    }

    /// Reads the end of a container's log. One try.
    ///
    /// # Errors
    /// When the API server or the node does not answer, or there is no such container (any more).
    async fn log(&self, connection: Option<&Value>, log: &LogOf<'_>) -> Result<String, ProviderError> {
        let _ = (connection, log);
        Err(ProviderError::new(ErrorClass::Invalid, "logs cannot be read from here"))
    }
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

/// Names the target and looks for leftovers.
#[async_trait]
pub trait Site: Send + Sync {
    /// The target that this run reaches.
    async fn target(&self) -> Result<Target, ProviderError>;

    /// What a cluster, of which these are the outputs, is known by once it is gone. What cannot be asked for is left
    /// out; `None` for a platform whose clusters leave nothing behind.
    ///
    /// # Errors
    /// When the platform itself does not answer.
    async fn capture(&self, cluster: &Value) -> Result<Option<Captured>, ProviderError> {
        let _ = cluster;
        Ok(None)
    }

    /// How a cluster, of which this is known, and its pools stand, with what the platform says is wrong with them:
    /// conditions, failed operations, errors of instance groups. Nothing for a platform without clusters.
    ///
    /// # Errors
    /// When the platform itself does not answer.
    async fn standing(&self, cluster: &Value) -> Result<Vec<Thing>, ProviderError> {
        let _ = cluster;
        Ok(Vec::new())
    }

    /// Everything that still carries the stack's id, and everything that the captured clusters have left behind. What
    /// cannot be looked at is part of the answer.
    ///
    /// # Errors
    /// When nothing can be looked at at all.
    async fn audit(&self, stack_id: &str, captured: &[Captured]) -> Result<Audit, ProviderError>;

    /// Starts removing something that was found; the name of the operation that goes on, if one does. Once.
    ///
    /// # Errors
    /// The platform's refusal; [`ErrorClass::Busy`] while something uses it.
    async fn remove(&self, finding: &Finding) -> Result<Option<String>, ProviderError> {
        let text = format!("{} {} cannot be removed from here", finding.kind, finding.name);
        Err(ProviderError::new(ErrorClass::Invalid, text))
    }

    /// Whether an operation that this site has named is over. One look.
    ///
    /// # Errors
    /// The operation's own failure, or that of the look.
    async fn is_over(&self, operation: &str) -> Result<bool, ProviderError> {
        let _ = operation;
        Ok(true)
    }

    /// All clusters of a project that stacks have marked, whoever's they are, and where nobody could look.
    ///
    /// # Errors
    /// When they cannot be listed, or the platform has no projects.
    async fn marked(&self, project: &str) -> Result<(Vec<Marked>, Vec<Unseen>), ProviderError> {
        let text = format!("there are no clusters of a project {project} here");
        Err(ProviderError::new(ErrorClass::Invalid, text))
    }

    /// Machines of a project that runs have made to see whether there is capacity, and that should be gone by now.
    ///
    /// # Errors
    /// When they cannot be listed.
    async fn stray(&self, project: &str) -> Result<Vec<Finding>, ProviderError> {
        let _ = project;
        Ok(Vec::new())
    }

    /// Lets the cluster, of which these are the outputs, live until then (Unix seconds), or for ever; the operation that
    /// goes on, if one does.
    ///
    /// # Errors
    /// The platform's refusal.
    async fn renew(&self, cluster: &Value, expires: Option<u64>) -> Result<Option<String>, ProviderError> {
        let _ = (cluster, expires);
        Ok(None)
    }
}
