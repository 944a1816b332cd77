//! The way to a cluster's API server: one client per connection, one request at a time, never retried here.
//!
//! Turns transport failures into error classes and leaves the meaning of an API server's refusals to
//! `refusal`. Knows no kinds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::Upgraded;
use kube::client::Body;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value as Json;

use super::discovery::{Catalogue, escape};
use super::given::Given;
use super::live::Page;
use super::refusal::Refusal;
use super::transport;
use crate::env::clock::{SharedClock, timeout};
use crate::env::{websocket, wire};
use crate::provider::google::client::GoogleClient;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// How long one request may take: longer than a webhook's 30 s.
const ATTEMPT: Duration = Duration::from_secs(45);

/// How often a read is tried again before its failure counts, after how long first, and after how long at most.
const READS: usize = 4;
const AGAIN: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);

/// Who we are to an API server; asked before each request, cached and renewed below.
#[derive(Clone)]
enum Login {
    /// The Google account of this run.
    Google(Arc<GoogleClient>),
    /// A token that the connection carries.
    Fixed(String),
    /// Whatever the kubeconfig says; the client adds it to each request.
    Kubeconfig(Given),
}

/// How servers with public names and certificates are reached.
#[derive(Clone, Debug, Default)]
pub struct Public {
    /// An HTTP proxy on the way.
    pub proxy: Option<String>,
    /// The only certificates to trust, PEM, in place of the system's: the simulator's.
    pub root: Option<String>,
}

/// All clusters that a run reaches, by endpoint.
pub struct Connections {
    google: Arc<GoogleClient>,
    clock: SharedClock,
    open: Mutex<BTreeMap<String, Arc<Cluster>>>,
    /// The cluster of objects that no resource of the stack makes the cluster of.
    given: Option<Given>,
    public: Public,
    held: tokio::sync::OnceCell<Arc<Cluster>>,
}

impl Connections {
    /// No connection yet; `given` is the cluster of a kubeconfig.
    pub fn new(google: Arc<GoogleClient>, clock: SharedClock, given: Option<Given>, public: Public) -> Self {
        Connections { google, clock, open: Mutex::default(), given, public, held: tokio::sync::OnceCell::new() }
    }

    /// The run's clock.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Whether this run is making nodes, for any cluster.
    pub fn awaits_nodes(&self) -> bool {
        self.google.awaits_nodes()
    }

    /// Whether there is a cluster without a connection.
    pub fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The cluster of the kubeconfig.
    ///
    /// # Errors
    /// [`ErrorClass::Unavailable`] when there is none; whatever is wrong with the kubeconfig or its login.
    pub async fn given(&self) -> Result<Arc<Cluster>, ProviderError> {
        let given = self
            .given
            .as_ref()
            .ok_or_else(|| ProviderError::new(ErrorClass::Unavailable, "its cluster is not there"))?;
        let open = async || {
            let client = given.client().await?;
            let login = Login::Kubeconfig(given.clone());
            Ok(Arc::new(Cluster::new(client, login, self.clock.clone())))
        };
        self.held.get_or_try_init(open).await.cloned()
    }

    /// The cluster that a connection's outputs describe: `{endpoint, ca_certificate?, token?}`.
    ///
    /// # Errors
    /// [`ErrorClass::Invalid`] when they describe none, [`ErrorClass::Unavailable`] while there is no endpoint.
    pub fn reach(&self, connection: &Value) -> Result<Arc<Cluster>, ProviderError> {
        let text = |key| connection.get(key).and_then(Value::as_str);
        let invalid = |text: String| ProviderError::new(ErrorClass::Invalid, text);
        let endpoint = text("endpoint").ok_or_else(|| {
            // It comes with the control plane.
            ProviderError::new(ErrorClass::Unavailable, "the cluster has no endpoint yet")
        })?;
        let endpoint = if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") };
        let ca = text("ca_certificate").unwrap_or_default();
        let key = format!("{endpoint}\n{ca}\n{}", text("token").unwrap_or_default());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = open.get(&key) {
            return Ok(cluster.clone());
        }
        let uri = endpoint.parse().map_err(|_| invalid(format!("the endpoint {endpoint} is not a URL")))?;
        let mut config = kube::Config::new(uri);
        let roots = |pem: &str| {
            let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
            let certificates = certificates.ok().filter(|list| !list.is_empty());
            let certificates = certificates.ok_or_else(|| invalid("the cluster's CA certificate is not PEM".into()))?;
            Ok::<_, ProviderError>(certificates.iter().map(|der| der.to_vec()).collect())
        };
        if ca.is_empty() {
            // Its name is a public one, and so are its certificate and the way to it.
            config.root_cert = self.public.root.as_deref().map(roots).transpose()?;
            config.proxy_url = match &self.public.proxy {
                Some(proxy) => Some(proxy.parse().map_err(|_| invalid(format!("the proxy {proxy} is not a URL")))?),
                None => None,
            };
        } else {
            config.root_cert = Some(roots(ca)?);
        }
        let client = transport::client(config)
            .map_err(|error| invalid(format!("cannot prepare the client of {endpoint}: {error}")))?;
        let login = match text("token") {
            Some(token) => Login::Fixed(token.to_owned()),
            None => Login::Google(self.google.clone()),
        };
        let cluster = Arc::new(Cluster::new(client, login, self.clock.clone()));
        open.insert(key, cluster.clone());
        Ok(cluster)
    }

    /// Puts a stand-in where `connection` leads.
    #[cfg(test)]
    pub fn stand_in(&self, endpoint: &str, client: kube::Client) {
        let cluster = Arc::new(Cluster::new(client, Login::Fixed("test".into()), self.clock.clone()));
        self.open.lock().expect("lock").insert(format!("{endpoint}\n\n"), cluster);
    }
}

/// A cluster's API server.
pub struct Cluster {
    client: Mutex<kube::Client>,
    /// Logins so far; a refused login is renewed once, not by each request that was refused with it.
    logins: tokio::sync::Mutex<u64>,
    login: Login,
    clock: SharedClock,
    /// What it serves; asked for at first use and when a kind is missing.
    pub(super) catalogue: tokio::sync::Mutex<Option<Arc<Catalogue>>>,
}

/// How a request's body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// `application/json`.
    Json,
    /// Server-side apply.
    Apply,
    /// JSON merge patch.
    Merge,
}

impl Cluster {
    fn new(client: kube::Client, login: Login, clock: SharedClock) -> Self {
        Cluster {
            client: Mutex::new(client),
            logins: tokio::sync::Mutex::default(),
            login,
            clock,
            catalogue: tokio::sync::Mutex::default(),
        }
    }

    fn client(&self) -> kube::Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs in again with the kubeconfig, unless another request has done so since `seen` logins.
    async fn renew(&self, given: &Given, seen: u64) -> Result<(), Refusal> {
        let mut logins = self.logins.lock().await;
        if *logins == seen {
            let fresh = given.client().await.map_err(Refusal::Failed)?;
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
            *logins += 1;
        }
        Ok(())
    }

    /// The clock.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// GETs a path with its query.
    ///
    /// # Errors
    /// Whatever was answered besides success.
    pub async fn get(&self, path: &str) -> Result<Json, Refusal> {
        self.get_as(path, "application/json").await
    }

    /// GETs a text.
    ///
    /// # Errors
    /// Whatever was answered besides success.
    pub async fn text(&self, path: &str) -> Result<String, Refusal> {
        let bytes = self.read(path, "*/*").await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// GETs a page of a list.
    ///
    /// # Errors
    /// Whatever was answered besides success.
    pub async fn page(&self, path: &str) -> Result<Page, Refusal> {
        let bytes = self.read(path, "application/json").await?;
        serde_json::from_slice(&bytes).map_err(|error| not_json(&error))
    }

    /// Waits until the object of this name in a collection is another than at `revision`, or `limit` is over.
    ///
    /// # Errors
    /// A watch that was refused or broke off.
    pub async fn until_changed(
        &self,
        collection: &str,
        name: &str,
        revision: &str,
        limit: Duration,
    ) -> Result<(), Refusal> {
        let query = format!(
            "watch=1&fieldSelector={}&resourceVersion={}&timeoutSeconds={}",
            escape(&format!("metadata.name={name}")),
            escape(revision),
            limit.as_secs().max(1)
        );
        let request = self.request(Method::GET, &format!("{collection}?{query}"), "application/json").await?;
        let request = request.body(Body::empty()).map_err(|error| not_a_path(collection, &error))?;
        let watch = async {
            let answer = self.client().send(request).await.map_err(|error| unreachable(&error))?;
            let status = answer.status();
            let mut body = answer.into_body();
            if !status.is_success() {
                let bytes = body.collect().await.map_err(|error| unreachable(&error))?.to_bytes();
                return Err(refused(status, None, &bytes));
            }
            // Without bookmarks, the first bytes are of an event.
            while let Some(frame) = body.frame().await {
                if frame.map_err(|error| unreachable(&error))?.data_ref().is_some_and(|data| !data.is_empty()) {
                    break;
                }
            }
            Ok(())
        };
        timeout(&*self.clock, limit, watch).await.unwrap_or(Ok(()))
    }

    /// GETs a path in the representation that `accept` asks for.
    ///
    /// # Errors
    /// Whatever was answered besides success.
    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Json, Refusal> {
        let bytes = self.read(path, accept).await?;
        serde_json::from_slice(&bytes).map_err(|error| not_json(&error))
    }

    /// GETs, and asks again while the refusal is a passing one.
    async fn read(&self, path: &str, accept: &str) -> Result<Bytes, Refusal> {
        let mut delay = AGAIN;
        for _ in 0..READS {
            let refusal = match self.fetch(Method::GET, path, accept, None).await {
                Err(refusal) if refusal.is_passing() => refusal,
                answer => return answer,
            };
            // Reading twice does no harm, and a server that is busy with its own changes says when to come back.
            let wait = refusal.retry_after().unwrap_or(delay).min(PATIENCE);
            tracing::debug!(path, ?wait, "asking again: {:?}", refusal.class());
            self.clock.sleep(wait).await;
            delay *= 2;
        }
        self.fetch(Method::GET, path, accept, None).await
    }

    /// Sends a document.
    ///
    /// # Errors
    /// Whatever was answered besides success.
    pub async fn write(&self, method: Method, path: &str, kind: Content, body: &Json) -> Result<Json, Refusal> {
        self.send(method, path, "application/json", Some((kind, body))).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(Content, &Json)>,
    ) -> Result<Json, Refusal> {
        let bytes = self.fetch(method, path, accept, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| not_json(&error))
    }

    /// The body of a successful answer.
    async fn fetch(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(Content, &Json)>,
    ) -> Result<Bytes, Refusal> {
        let Login::Kubeconfig(given) = &self.login else { return self.send_once(method, path, accept, body).await };
        let seen = *self.logins.lock().await;
        match self.send_once(method.clone(), path, accept, body).await {
            // The token ran out or was exchanged: nothing was done, so the request is good as it is.
            Err(refusal) if refusal.code() == Some(401) => {
                self.renew(given, seen).await?;
                self.send_once(method, path, accept, body).await
            }
            answer => answer,
        }
    }

    /// A request with its login.
    async fn request(&self, method: Method, path: &str, accept: &str) -> Result<http::request::Builder, Refusal> {
        let request = Request::builder().method(method).uri(path).header(http::header::ACCEPT, accept);
        let token = match &self.login {
            Login::Google(google) => google.token().await.map_err(Refusal::Failed)?,
            Login::Fixed(token) => token.clone(),
            Login::Kubeconfig(_) => return Ok(request),
        };
        Ok(request.header(http::header::AUTHORIZATION, format!("Bearer {token}")))
    }

    /// Turns a request into a connection of its own, in the words of a subprotocol of WebSockets.
    ///
    /// # Errors
    /// Whatever was answered instead.
    pub async fn upgrade(&self, path: &str, protocol: &'static str) -> Result<Upgraded, Refusal> {
        let Login::Kubeconfig(given) = &self.login else { return self.upgrade_once(path, protocol).await };
        let seen = *self.logins.lock().await;
        match self.upgrade_once(path, protocol).await {
            Err(refusal) if refusal.code() == Some(401) => {
                self.renew(given, seen).await?;
                self.upgrade_once(path, protocol).await
            }
            answer => answer,
        }
    }

    async fn upgrade_once(&self, path: &str, protocol: &'static str) -> Result<Upgraded, Refusal> {
        let key = websocket::key();
        let request = self.request(Method::GET, path, "*/*").await?;
        let request = request
            .header(http::header::CONNECTION, "Upgrade")
            .header(http::header::UPGRADE, "websocket")
            .header(http::header::SEC_WEBSOCKET_VERSION, "13")
            .header(http::header::SEC_WEBSOCKET_KEY, &key)
            .header(http::header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let request = request.body(Body::empty()).map_err(|error| not_a_path(path, &error))?;
        let _busy = self.clock.busy();
        let wire = wire::Request::begin(&*self.clock, "GET", path);
        let exchange = async {
            let answer = self.client().send(request).await.map_err(|error| unreachable(&error))?;
            let status = answer.status();
            if status != StatusCode::SWITCHING_PROTOCOLS {
                let bytes = answer.into_body().collect().await.map_err(|error| unreachable(&error))?.to_bytes();
                return Err(refused(status, None, &bytes));
            }
            let headers = answer.headers();
            let agreed = headers.get(http::header::SEC_WEBSOCKET_PROTOCOL).is_some_and(|value| value == protocol)
                && headers
                    .get(http::header::SEC_WEBSOCKET_ACCEPT)
                    .is_some_and(|value| *value == websocket::accept(&key));
            if !agreed {
                let text = format!("the API server does not speak {protocol}");
                return Err(Refusal::failed(ErrorClass::Invalid, text));
            }
            hyper::upgrade::on(answer).await.map_err(|error| unreachable(&error))
        };
        let answer = timeout(&*self.clock, ATTEMPT, exchange).await.unwrap_or_else(|_| Err(late()));
        match &answer {
            Ok(_) => wire.over(&101),
            Err(refusal) => match refusal.code() {
                Some(code) => wire.over(&code),
                None => wire.over(&"no answer"),
            },
        }
        answer
    }

    async fn send_once(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(Content, &Json)>,
    ) -> Result<Bytes, Refusal> {
        let mut request = self.request(method, path, accept).await?;
        let bytes = match body {
            None => Vec::new(),
            Some((content, body)) => {
                request = request.header(
                    http::header::CONTENT_TYPE,
                    match content {
                        Content::Json => "application/json",
                        // JSON is YAML, and this is the one name that every served version knows.
                        Content::Apply => "application/apply-patch+yaml",
                        Content::Merge => "application/merge-patch+json",
                    },
                );
                serde_json::to_vec(body).map_err(|error| Refusal::failed(ErrorClass::Invalid, error.to_string()))?
            }
        };
        let request = request.body(Body::from(bytes)).map_err(|error| not_a_path(path, &error))?;
        // Simulated time stands still until the whole answer is read.
        let _busy = self.clock.busy();
        let verb = request.method().to_string();
        let wire = wire::Request::begin(&*self.clock, &verb, path);
        let exchange = async {
            let answer = self.client().send(request).await.map_err(|error| unreachable(&error))?;
            let status = answer.status();
            let wait =
                answer.headers().get(http::header::RETRY_AFTER).and_then(|text| text.to_str().ok()?.parse().ok());
            let body = answer.into_body().collect().await.map_err(|error| unreachable(&error))?.to_bytes();
            Ok::<_, Refusal>((status, wait, body))
        };
        let answer = timeout(&*self.clock, ATTEMPT, exchange).await;
        match &answer {
            Ok(Ok((status, ..))) => wire.over(&status.as_u16()),
            _ => wire.over(&"no answer"),
        }
        let (status, wait, bytes) = answer.map_err(|_| late())??;
        if status.is_success() { Ok(bytes) } else { Err(refused(status, wait, &bytes)) }
    }
}

/// The refusal that an answer is; `wait` is what its header asks for, in seconds, which priority and fairness says
/// there alone.
fn refused(status: StatusCode, wait: Option<u64>, bytes: &[u8]) -> Refusal {
    let said = match serde_json::from_slice::<Json>(bytes) {
        Ok(said) if said.is_object() => said,
        // A proxy or a dying server: no Status object.
        _ => {
            let text = String::from_utf8_lossy(bytes).trim().chars().take(200).collect::<String>();
            serde_json::json!({ "message": text })
        }
    };
    Refusal::Answered { code: status.as_u16(), status: with_wait(said, wait) }
}

fn late() -> Refusal {
    Refusal::failed(ErrorClass::Unavailable, format!("the API server did not answer within {} s", ATTEMPT.as_secs()))
}

fn not_a_path(path: &str, error: &http::Error) -> Refusal {
    Refusal::failed(ErrorClass::Invalid, format!("{path} is not a path: {error}"))
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::failed(ErrorClass::Unavailable, format!("the API server's answer is not what was asked for: {error}"))
}

fn with_wait(mut status: Json, wait: Option<u64>) -> Json {
    if let Some(seconds) = wait
        && status.pointer("/details/retryAfterSeconds").is_none()
    {
        if !status["details"].is_object() {
            status["details"] = serde_json::json!({});
        }
        status["details"]["retryAfterSeconds"] = seconds.into();
    }
    status
}

fn unreachable(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let text = crate::provider::google::error::chain(error);
    if text.contains("certificate") || text.contains("UnknownIssuer") {
        return Refusal::Failed(
            ProviderError::new(ErrorClass::Unavailable, format!("the API server's certificate is not trusted: {text}"))
                .hint("the cluster may have been made anew, or something intercepts the connection"),
        );
    }
    Refusal::failed(ErrorClass::Unavailable, format!("cannot reach the API server: {text}"))
}
