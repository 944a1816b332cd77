//! The way to Google Cloud: credentials, endpoint, time-outs; one request at a time, never retried here.
//!
//! GKE through Google's own client, Compute Engine and Resource Manager through small typed calls. Knows
//! nothing of attributes or diffs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{self, AccessTokenCredentials, anonymous};
use google_cloud_container_v1::client::ClusterManager;
use google_cloud_gax::retry_policy::NeverRetry;
use serde_json::Value as Json;
use tokio::sync::OnceCell;

use super::error::{Answer, LOGIN, chain, failed_call, refusal};
use super::login::Login;
use crate::env::clock::{SharedClock, Timestamp, timeout};
use crate::env::disk::RealDisk;
use crate::env::vars::ProcessVars;
use crate::env::wire::Request;
use crate::resource::error::{ErrorClass, ProviderError};

/// How long one request may take.
const ATTEMPT: Duration = Duration::from_secs(60);
/// How long finding credentials may take: the metadata server of a machine outside Google is only noticed
/// by silence, which Google's client waits for most of a minute.
const CREDENTIALS: Duration = Duration::from_secs(10);

/// Reaches Google Cloud, or the simulator in its place.
pub struct GoogleClient {
    endpoint: Option<String>,
    clock: SharedClock,
    manager: OnceCell<ClusterManager>,
    credentials: OnceCell<Option<(AccessTokenCredentials, Login)>>,
    http: OnceCell<reqwest::Client>,
    projects: Mutex<BTreeSet<String>>,
    /// Pools that are being made or changed, and when that was last seen.
    underway: Mutex<BTreeMap<String, Timestamp>>,
}

impl GoogleClient {
    /// A client; nothing is sent before the first call. With `endpoint` every service is asked there,
    /// without credentials.
    pub fn new(endpoint: Option<String>, clock: SharedClock) -> Arc<Self> {
        let endpoint = endpoint.map(|url| url.trim_end_matches('/').to_owned());
        Arc::new(GoogleClient {
            endpoint,
            clock,
            manager: OnceCell::new(),
            credentials: OnceCell::new(),
            http: OnceCell::new(),
            projects: Mutex::default(),
            underway: Mutex::default(),
        })
    }

    /// A client that speaks to a stand-in.
    #[cfg(test)]
    pub fn with_manager(manager: ClusterManager, clock: SharedClock) -> Arc<Self> {
        Arc::new(GoogleClient {
            // Nothing listens on port 0, so that a forgotten Compute call fails at once.
            endpoint: Some("http://127.0.0.1:0".to_owned()),
            clock,
            manager: OnceCell::new_with(Some(manager)),
            credentials: OnceCell::new_with(Some(None)),
            http: OnceCell::new(),
            projects: Mutex::default(),
            underway: Mutex::default(),
        })
    }

    /// Whether another endpoint than Google's is used.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Remembers a project that a resource of the stack is in.
    pub fn note(&self, project: &str) {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner).insert(project.to_owned());
    }

    /// The projects that were noted.
    pub fn projects(&self) -> BTreeSet<String> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that a pool is being made or changed, or that it is not any more.
    pub fn note_pool(&self, pool: &str, underway: bool) {
        let mut all = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        if underway {
            all.insert(pool.to_owned(), self.clock.now());
        } else {
            all.remove(pool);
        }
    }

    /// Whether this run is at work on a pool, or was a minute ago: nodes may yet come.
    pub fn awaits_nodes(&self) -> bool {
        let now = self.clock.now();
        let all = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().any(|seen| now.since(*seen) < Duration::from_secs(60))
    }

    /// The clock.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Makes one GKE call: `client.call(|gke| gke.get_cluster().set_name(name).send()).await`.
    ///
    /// # Errors
    /// The answer's class; [`ErrorClass::Unauthenticated`] without credentials.
    pub async fn call<T, F>(&self, request: impl FnOnce(ClusterManager) -> F) -> Result<T, ProviderError>
    where
        F: Future<Output = google_cloud_container_v1::Result<T>>,
    {
        let manager = self.manager().await?;
        let busy = self.clock.busy();
        // Google's client does not tell its address; what is asked for says enough.
        let wanted = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
        let wire = Request::begin(&*self.clock, "GKE", wanted);
        let answer = timeout(&*self.clock, ATTEMPT, request(manager)).await;
        drop(busy);
        let answer = match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed_call(&error)),
            Err(_) => Err(late()),
        };
        match &answer {
            Ok(_) => wire.over(&"ok"),
            Err(error) => wire.over(&format_args!("{:?}", error.class)),
        }
        answer
    }

    async fn manager(&self) -> Result<ClusterManager, ProviderError> {
        let manager = self.manager.get_or_try_init(|| async {
            let builder = ClusterManager::builder().with_retry_policy(NeverRetry).with_attempt_timeout(ATTEMPT);
            let builder = match &self.endpoint {
                Some(endpoint) => {
                    builder.with_endpoint(endpoint.as_str()).with_credentials(anonymous::Builder::new().build())
                }
                None => {
                    self.token().await?;
                    let credentials = credentials::Builder::default().build().map_err(no_credentials)?;
                    builder.with_credentials(credentials)
                }
            };
            let _busy = self.clock.busy();
            builder.build().await.map_err(|error| {
                ProviderError::new(ErrorClass::Unavailable, format!("cannot prepare the GKE client: {}", chain(&error)))
            })
        });
        manager.await.cloned()
    }

    /// A bearer token for Google's APIs and for GKE's control planes; a fixed word for the simulator.
    /// Cached and renewed below, so ask before each use.
    ///
    /// # Errors
    /// [`ErrorClass::Unauthenticated`] with how to log in.
    pub async fn token(&self) -> Result<String, ProviderError> {
        let credentials = self.credentials.get_or_try_init(|| async {
            match self.endpoint {
                Some(_) => Ok(None),
                None => {
                    let login = Login::find(&ProcessVars, &RealDisk)?;
                    let credentials = credentials::Builder::default()
                        .with_scopes(["https://www.googleapis.com/auth/cloud-platform"])
                        .build_access_token_credentials()
                        .map_err(no_credentials)?;
                    Ok(Some((credentials, login)))
                }
            }
        });
        let Some((credentials, login)) = credentials.await? else { return Ok("simulated".to_owned()) };
        let _busy = self.clock.busy();
        match timeout(&*self.clock, CREDENTIALS, credentials.access_token()).await {
            Ok(Ok(token)) => Ok(token.token),
            Ok(Err(error)) => Err(login.refused(&chain(&error), error.is_transient())),
            Err(_) => Err(login.silent()),
        }
    }

    /// The project that calls are counted towards, where the login names one.
    fn quota_project(&self) -> Option<&str> {
        self.credentials.get()?.as_ref()?.1.quota_project.as_deref()
    }

    /// GETs a JSON document from `service` (`compute`, `cloudresourcemanager`) at `path`, which starts with `/`.
    ///
    /// # Errors
    /// The answer's class.
    pub async fn get(&self, service: &str, path: &str) -> Result<Json, ProviderError> {
        self.send(reqwest::Method::GET, service, path, None).await
    }

    /// POSTs a JSON document.
    ///
    /// # Errors
    /// The answer's class.
    pub async fn post(&self, service: &str, path: &str, body: &Json) -> Result<Json, ProviderError> {
        self.send(reqwest::Method::POST, service, path, Some(body)).await
    }

    /// DELETEs what is at `path` of a service; the answer is its operation.
    ///
    /// # Errors
    /// The answer's class.
    pub async fn delete(&self, service: &str, path: &str) -> Result<Json, ProviderError> {
        self.send(reqwest::Method::DELETE, service, path, None).await
    }

    async fn send(
        &self,
        method: reqwest::Method,
        service: &str,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Json, ProviderError> {
        let url = match &self.endpoint {
            Some(endpoint) => format!("{endpoint}{path}"),
            None => format!("https://{service}.googleapis.com{path}"),
        };
        let token = self.token().await?;
        let http = self.http.get_or_try_init(|| async {
            let builder = reqwest::Client::builder().timeout(ATTEMPT);
            // A stand-in is on this machine; real Google may be behind the proxy that the environment names.
            // The system's certificates take milliseconds to read, and plain HTTP needs none.
            let builder = match &self.endpoint {
                Some(endpoint) if endpoint.starts_with("http://") => builder.no_proxy().tls_certs_only([]),
                Some(_) => builder.no_proxy(),
                None => builder,
            };
            builder.build().map_err(|error| {
                ProviderError::new(ErrorClass::Unknown, format!("cannot prepare the HTTP client: {}", chain(&error)))
            })
        });
        let http = http.await?;
        let verb = method.to_string();
        let _busy = self.clock.busy();
        let exchange = async {
            let request = http.request(method, &url).bearer_auth(token);
            let request = match self.quota_project() {
                Some(project) => request.header("x-goog-user-project", project),
                None => request,
            };
            let request = if let Some(body) = body { request.json(body) } else { request };
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        };
        let wire = Request::begin(&*self.clock, &verb, &url);
        let answer = timeout(&*self.clock, ATTEMPT, exchange).await;
        match &answer {
            Ok(Ok((status, _))) => wire.over(status),
            _ => wire.over(&"no answer"),
        }
        let (status, body) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let error = error.without_url();
                let text = format!("cannot reach Google Cloud: {}", chain(&error));
                return Err(ProviderError::new(ErrorClass::Unavailable, text));
            }
            Err(_) => return Err(late()),
        };
        let body = serde_json::from_slice::<Json>(&body).unwrap_or_default();
        if status < 300 {
            return Ok(body);
        }
        let error = &body["error"];
        Err(refusal(Answer {
            http: status,
            status: error["status"].as_str().unwrap_or_default(),
            reason: error["details"].as_array().into_iter().flatten().find_map(|detail| detail["reason"].as_str()),
            message: error["message"].as_str().unwrap_or_default(),
        }))
    }
}

fn late() -> ProviderError {
    ProviderError::new(ErrorClass::Unavailable, format!("Google Cloud did not answer within {} s", ATTEMPT.as_secs()))
}

fn no_credentials(error: google_cloud_auth::build_errors::Error) -> ProviderError {
    ProviderError::new(ErrorClass::Unauthenticated, format!("no usable Google credentials: {}", chain(&error)))
        .hint(LOGIN)
}
