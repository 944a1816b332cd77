//! The client of models: whole answers, streams and certificates, over HTTP or verified TLS.
//!
//! One connection and one request per call, straight on hyper and rustls: the certificate is checked against the name
//! that the stack gives, which need not be the URL's host, also behind a proxy. Verification is never switched off. No
//! retry; what answers mean is `platform::models`'s.

mod events;
mod road;
mod trust;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncWrite};

use self::events::{Frames, Story};
use self::road::{Goal, bracketed, goal};
use crate::env::clock::{SharedClock, timeout};
use crate::env::wire;
use crate::platform::models::{Endpoint, Models, Patience, Presented, Question, Reply, Told, refused};
use crate::platform::passage::{Duplex, Passage};
use crate::platform::{Completion, CompletionRequest, Prover};
use crate::resource::error::{ErrorClass, ProviderError};

/// How many tokens a proof asks for.
const TOKENS: u32 = 16;
/// The largest answer that is read: a metrics page has some 60 KB.
const MOST: usize = 32 << 20;

/// Talks to models served with an OpenAI API.
pub struct OpenAiClient {
    clock: SharedClock,
    proxy: Option<Uri>,
}

impl OpenAiClient {
    /// A client that reaches everything through `CONNECT` on `proxy` (`http://127.0.0.1:8080`), if there is one.
    ///
    /// # Errors
    /// When the proxy is not an `http://` URL.
    pub fn new(clock: SharedClock, proxy: Option<&str>) -> Result<Self, ProviderError> {
        let proxy = proxy.map(|text| match text.parse::<Uri>() {
            Ok(uri) if uri.scheme_str() == Some("http") && uri.host().is_some() => Ok(uri),
            _ => Err(ProviderError::new(ErrorClass::Invalid, format!("the proxy {text} is not an http:// URL"))),
        });
        Ok(OpenAiClient { clock, proxy: proxy.transpose()? })
    }

    /// An open connection, with its TLS session where the goal has one.
    async fn open(&self, goal: &Goal, endpoint: &Endpoint, patience: Patience) -> Result<Link, ProviderError> {
        let connect = async {
            let stream: Box<dyn Duplex> = match &endpoint.through {
                Some(passage) => passage.open().await?,
                None => Box::new(road::connect(goal, self.proxy.as_ref()).await?),
            };
            if !goal.tls {
                return Ok(Link::Plain(stream));
            }
            let name = endpoint.server_name.as_deref().unwrap_or(&goal.host);
            let session = trust::secure(stream, name, endpoint.ca_pem.as_deref(), self.clock.clone()).await?;
            Ok(Link::Secure(Box::new(session)))
        };
        timeout(&*self.clock, patience.connect, connect).await.unwrap_or_else(|_| {
            let text =
                format!("{}:{} accepts no connection within {} s", goal.host, goal.port, patience.connect.as_secs());
            Err(ProviderError::new(ErrorClass::Unavailable, text)
                .hint("see whether the address is the gateway's, and whether a firewall is on the way"))
        })
    }

    /// The head of the answer to a question.
    async fn send(
        &self,
        endpoint: &Endpoint,
        question: &Question<'_>,
    ) -> Result<(Response<Incoming>, Drive), ProviderError> {
        let goal = goal(&endpoint.url)?;
        let message = message(&goal, endpoint, question)?;
        let method = message.method().clone();
        let wire = wire::Request::begin(&*self.clock, method.as_str(), &endpoint.url);
        let answer = match self.open(&goal, endpoint, question.patience).await {
            Ok(Link::Plain(stream)) => exchange(stream, message, &goal).await,
            Ok(Link::Secure(stream)) => exchange(*stream, message, &goal).await,
            Err(error) => Err(error),
        };
        match &answer {
            Ok((response, _)) => wire.over(&response.status()),
            Err(_) => wire.over(&"no answer"),
        }
        answer
    }

    /// The rest of an answer, at once.
    async fn rest(&self, body: Incoming, silence: Duration) -> Result<Vec<u8>, ProviderError> {
        let mut body = body;
        let mut bytes = Vec::new();
        while let Some(frame) = self.next(&mut body, silence, "in the middle of the answer").await? {
            bytes.extend_from_slice(&frame);
            if bytes.len() > MOST {
                let text = format!("the answer has more than {} MB", MOST >> 20);
                return Err(ProviderError::new(ErrorClass::Invalid, text));
            }
        }
        Ok(bytes)
    }

    async fn next(&self, body: &mut Incoming, silence: Duration, when: &str) -> Result<Option<Bytes>, ProviderError> {
        loop {
            let frame = timeout(&*self.clock, silence, body.frame()).await.map_err(|_| {
                let text = format!("the server fell silent for {} s {when}", silence.as_secs());
                ProviderError::new(ErrorClass::Unavailable, text)
                    .hint("the model may be overloaded: see its logs, and how many requests run and wait")
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    let text = format!("the connection broke off {when}: {error}");
                    return Err(ProviderError::new(ErrorClass::Unavailable, text).hint(
                        "a replica may have ended, or something on the way has cut the connection: see the pods",
                    ));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// The part of a connection that moves bytes; it ends with this.
struct Drive(tokio::task::JoinHandle<hyper::Result<()>>);

impl Drop for Drive {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Link {
    Plain(Box<dyn Duplex>),
    Secure(Box<trust::Session>),
}

fn message(goal: &Goal, endpoint: &Endpoint, question: &Question<'_>) -> Result<Request<Full<Bytes>>, ProviderError> {
    let host = endpoint.server_name.clone().unwrap_or_else(|| bracketed(&goal.host));
    let standard = goal.port == if goal.tls { 443 } else { 80 };
    let host = if standard { host } else { format!("{host}:{}", goal.port) };
    let method = if question.body.is_some() { http::Method::POST } else { http::Method::GET };
    let mut message = Request::builder()
        .method(method)
        .uri(format!("{}{}", goal.path, question.path))
        .header(http::header::HOST, host)
        .header(http::header::ACCEPT, "*/*");
    if let Some(key) = &endpoint.api_key {
        let mut value = http::HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| ProviderError::new(ErrorClass::Invalid, "the API key holds characters that no header may"))?;
        value.set_sensitive(true);
        message = message.header(http::header::AUTHORIZATION, value);
    }
    let bytes = match question.body {
        Some(body) => {
            message = message.header(http::header::CONTENT_TYPE, "application/json");
            Bytes::from(body.to_string())
        }
        None => Bytes::new(),
    };
    message.body(Full::new(bytes)).map_err(|error| {
        ProviderError::new(ErrorClass::Invalid, format!("{}{} is not a path: {error}", goal.path, question.path))
    })
}

async fn exchange<S>(
    stream: S,
    message: Request<Full<Bytes>>,
    goal: &Goal,
) -> Result<(Response<Incoming>, Drive), ProviderError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| {
        let broken = ProviderError::new(
            ErrorClass::Unavailable,
            format!("the connection to {} broke off without an answer: {error}", goal.host),
        );
        // A server that expects TLS says nothing to whoever speaks without it.
        if goal.tls {
            broken.hint("see the gateway's logs: it hung up before it answered")
        } else {
            broken.hint(format!("the server may speak TLS only: try https://{}:{}", bracketed(&goal.host), goal.port))
        }
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let drive = Drive(tokio::spawn(connection));
    let answer = sender.send_request(message).await.map_err(broken)?;
    Ok((answer, drive))
}

#[async_trait]
impl Models for OpenAiClient {
    async fn ask(&self, endpoint: &Endpoint, question: &Question<'_>) -> Result<Reply, ProviderError> {
        let began = self.clock.reading();
        // Simulated time stands still until the whole answer is read.
        let _busy = self.clock.busy();
        let patience = question.patience;
        let exchange = async {
            let (answer, _drive) = self.send(endpoint, question).await?;
            let status = answer.status().as_u16();
            let body = self.rest(answer.into_body(), patience.silence).await?;
            Ok(Reply { status, body, elapsed: self.clock.reading().saturating_sub(began) })
        };
        timeout(&*self.clock, patience.whole, exchange).await.unwrap_or_else(|_| Err(late(patience.whole)))
    }

    async fn listen(&self, endpoint: &Endpoint, question: &Question<'_>) -> Result<Told, ProviderError> {
        match self.hear(endpoint, question).await? {
            Heard::Told(told) => Ok(told),
            Heard::Whole(body, _) => Err(unstreamed(&body)),
        }
    }

    async fn certificate(&self, endpoint: &Endpoint) -> Result<Option<Presented>, ProviderError> {
        let goal = goal(&endpoint.url)?;
        if !goal.tls {
            return Ok(None);
        }
        let _busy = self.clock.busy();
        match self.open(&goal, endpoint, Patience::default()).await? {
            Link::Plain(_) => Ok(None),
            Link::Secure(session) => trust::presented(&session).map(Some),
        }
    }
}

/// How a stream was answered.
enum Heard {
    /// Piece by piece.
    Told(Told),
    /// With a whole body, after so long.
    Whole(Vec<u8>, Duration),
}

impl OpenAiClient {
    /// Hears a stream, or what comes in its place.
    async fn hear(&self, endpoint: &Endpoint, question: &Question<'_>) -> Result<Heard, ProviderError> {
        let began = self.clock.reading();
        let _busy = self.clock.busy();
        let patience = question.patience;
        let model = question.body.and_then(|body| body["model"].as_str()).unwrap_or_default();
        let exchange = async {
            let (answer, _drive) = self.send(endpoint, question).await?;
            let status = answer.status().as_u16();
            let media = answer.headers().get(http::header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
            let streams = media.is_some_and(|media| media.starts_with("text/event-stream"));
            if status != 200 || !streams {
                let body = self.rest(answer.into_body(), patience.silence).await?;
                let elapsed = self.clock.reading().saturating_sub(began);
                return if status == 200 {
                    Ok(Heard::Whole(body, elapsed))
                } else {
                    Err(refused(status, &body, model))
                };
            }
            let mut body = answer.into_body();
            let (mut frames, mut story) = (Frames::default(), Story::new(model));
            loop {
                let when = story.progress();
                let Some(bytes) = self.next(&mut body, patience.silence, &when).await? else { break };
                let now = self.clock.reading().saturating_sub(began);
                for data in frames.push(&bytes) {
                    story.hear(&data, now)?;
                }
                if story.is_over() {
                    break;
                }
            }
            story.told(self.clock.reading().saturating_sub(began)).map(Heard::Told)
        };
        timeout(&*self.clock, patience.whole, exchange).await.unwrap_or_else(|_| Err(late(patience.whole)))
    }
}

fn late(limit: Duration) -> ProviderError {
    ProviderError::new(ErrorClass::Unavailable, format!("the model did not answer within {} s", limit.as_secs()))
        .hint("a cold model may take longer; see its logs, and how many requests run and wait")
}

fn unstreamed(body: &[u8]) -> ProviderError {
    let json = serde_json::from_slice::<Json>(body).unwrap_or_default();
    if json.get("choices").is_some() {
        return ProviderError::new(
            ErrorClass::Invalid,
            "the server answers in one piece though a stream was asked for",
        )
        .hint(
            "something on the way may collect streams, or the server has none: time to first token is not to be had",
        );
    }
    ProviderError::new(ErrorClass::Unavailable, "the answer is not a completion")
        .hint("something else than a model server may answer under this URL")
}

#[async_trait]
impl Prover for OpenAiClient {
    async fn complete(&self, request: &CompletionRequest) -> Result<Completion, ProviderError> {
        let endpoint = Endpoint {
            url: request.url.clone(),
            ca_pem: request.ca_pem.clone(),
            server_name: request.server_name.clone(),
            api_key: request.api_key.as_ref().map(|key| key.0.clone()),
            through: request.through.clone(),
        };
        let body = json!({"model": request.model, "prompt": request.prompt, "max_tokens": TOKENS, "temperature": 0,
            "stream": true, "stream_options": {"include_usage": true}});
        let patience = Patience { whole: Patience::default().silence, ..Patience::default() };
        let question = Question { patience, ..Question::post("/v1/completions", &body) };
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let told = match self.hear(&endpoint, &question).await? {
            Heard::Told(told) => told,
            // A token is a token, also from a server that has no streams or behind what collects them.
            Heard::Whole(body, elapsed) => {
                let json = serde_json::from_slice::<Json>(&body).unwrap_or_default();
                let text = json.pointer("/choices/0/text").and_then(Json::as_str).filter(|text| !text.is_empty());
                let Some(text) = text else { return Err(unstreamed(&body)) };
                let count = |pointer| json.pointer(pointer).and_then(Json::as_u64).unwrap_or_default();
                return Ok(Completion {
                    text: text.to_owned(),
                    model: json["model"].as_str().unwrap_or(&request.model).to_owned(),
                    prompt_tokens: count("/usage/prompt_tokens"),
                    completion_tokens: count("/usage/completion_tokens"),
                    millis: millis(elapsed),
                    first_token_millis: None,
                    through: request.through.as_ref().map(Passage::to_string),
                });
            }
        };
        Ok(Completion {
            first_token_millis: Some(millis(told.first_token)),
            through: request.through.as_ref().map(Passage::to_string),
            millis: millis(told.whole),
            prompt_tokens: told.prompt_tokens.unwrap_or_default(),
            completion_tokens: told.completion_tokens.unwrap_or(told.pieces),
            model: told.model,
            text: told.text,
        })
    }
}
