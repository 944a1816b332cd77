//! Conversations with servers of the OpenAI API, and what their refusals mean.
//!
//! Data, a trait and the meaning of answers; how bytes go over the wire is the provider's business, and what is asked
//! and concluded that of the verbs.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::env::clock::Timestamp;
use crate::platform::passage::Passage;
use crate::resource::error::{ErrorClass, ProviderError};

/// A server and how it is reached and recognised.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Base URL, with or without `/v1`.
    pub url: String,
    /// PEM certificates to trust in place of the system's.
    pub ca_pem: Option<String>,
    /// The name to verify the server's certificate against, when it is not the URL's host.
    pub server_name: Option<String>,
    /// The key to show, if the server wants one.
    pub api_key: Option<String>,
    /// The way to it, where its URL alone leads nowhere from here.
    pub through: Option<Passage>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.api_key.as_ref().map(|_| "(secret)");
        let ca = self.ca_pem.is_some();
        let Endpoint { url, server_name, through, .. } = self;
        write!(
            f,
            "Endpoint {{ url: {url:?}, own CA: {ca}, server_name: {server_name:?}, api_key: {key:?}, {through:?} }}"
        )
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection with its TLS session.
    pub connect: Duration,
    /// For the first piece of an answer, and between two pieces.
    pub silence: Duration,
    /// For everything together.
    pub whole: Duration,
}

impl Default for Patience {
    /// A cold prefill on a small accelerator takes tens of seconds, a long answer minutes.
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(120),
            whole: Duration::from_secs(600),
        }
    }
}

/// What to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Question<'a> {
    /// `GET` without a body, `POST` with one.
    pub body: Option<&'a Json>,
    /// Path below the base URL: `/v1/models`.
    pub path: &'a str,
    /// How long to wait.
    pub patience: Patience,
}

impl<'a> Question<'a> {
    /// Reads a page.
    pub fn get(path: &'a str) -> Self {
        Question { body: None, path, patience: Patience::default() }
    }

    /// Sends a document.
    pub fn post(path: &'a str, body: &'a Json) -> Self {
        Question { body: Some(body), path, patience: Patience::default() }
    }
}

/// A whole answer, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
    /// From the request to the last byte.
    pub elapsed: Duration,
}

impl Reply {
    /// The document of a successful answer.
    ///
    /// # Errors
    /// What the refusal means, or that this is no JSON.
    pub fn document(&self, model: &str) -> Result<Json, ProviderError> {
        if self.status != 200 {
            return Err(refused(self.status, &self.body, model));
        }
        serde_json::from_slice(&self.body).map_err(|_| {
            ProviderError::new(ErrorClass::Unavailable, format!("the answer is not JSON: {}", excerpt(&self.body)))
                .hint("something else than a model server may answer under this URL")
        })
    }

    /// The text of a successful answer.
    ///
    /// # Errors
    /// What the refusal means.
    pub fn text(&self) -> Result<String, ProviderError> {
        if self.status != 200 {
            return Err(refused(self.status, &self.body, ""));
        }
        Ok(String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// An answer that came piece by piece.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// All of it.
    pub text: String,
    /// The model that the server says answered.
    pub model: String,
    /// From the request to the first token. Not to the headers: they go out before the prompt has been read.
    pub first_token: Duration,
    /// From the request to the end.
    pub whole: Duration,
    /// Pieces with text.
    pub pieces: u64,
    /// Tokens of the prompt, where the server says.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, where the server says.
    pub completion_tokens: Option<u64>,
    /// Tokens of the prompt that came from its cache, where the server says; most do not.
    pub cached_tokens: Option<u64>,
    /// `stop` or `length`.
    pub finish: Option<String>,
}

/// The certificate that a server presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Whom it is for, as it says.
    pub subject: String,
    /// Who signed it, as it says.
    pub issuer: String,
    /// Host names and addresses it is good for.
    pub names: Vec<String>,
    /// From then.
    pub begins: Timestamp,
    /// Until then.
    pub ends: Timestamp,
    /// Certificates in the chain.
    pub chain: usize,
}

/// Talks to models. Each call is one request on a connection of its own, without a retry; TLS is always verified.
#[async_trait]
pub trait Models: Send + Sync {
    /// A question with a whole answer, whatever it says.
    ///
    /// # Errors
    /// When there is no connection, no trust or no answer.
    async fn ask(&self, endpoint: &Endpoint, question: &Question<'_>) -> Result<Reply, ProviderError>;

    /// A question whose answer comes as server-sent events.
    ///
    /// # Errors
    /// As [`Models::ask`]; what a refusal means; a stream that breaks off or falls silent.
    async fn listen(&self, endpoint: &Endpoint, question: &Question<'_>) -> Result<Told, ProviderError>;

    /// The verified certificate of a server; `None` for one without TLS.
    ///
    /// # Errors
    /// When there is no connection, or why the certificate is not trusted.
    async fn certificate(&self, endpoint: &Endpoint) -> Result<Option<Presented>, ProviderError>;
}

/// The beginning of a body, on one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(800)]).into_owned();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = line.chars().take(200).collect::<String>();
    if cut.is_empty() { "nothing".to_owned() } else { cut }
}

/// What vLLM's parser found, in its own words without their wrapping: the first mistake's message and place.
fn first_mistake(message: &str) -> Option<String> {
    let (_, details) = message.split_once("validation error")?;
    let field = |name: &str| {
        let (_, rest) = details.split_once(&format!("'{name}': "))?;
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        rest[1..].split(quote).next().map(str::to_owned)
    };
    let Some(found) = field("msg") else {
        return Some(details.trim_start_matches(['s', ':']).trim().to_owned());
    };
    Some(match field("loc") {
        Some(place) => format!("{found} (at {place})"),
        None => found,
    })
}

/// A refusal, with a next step: what the recorded servers say, `{"error": {"message", …}}`, `{"error": "Unauthorized"}`
/// or `{"detail": …}`, and what proxies on the way say in plain text.
pub fn refused(status: u16, body: &[u8], model: &str) -> ProviderError {
    let json = serde_json::from_slice::<Json>(body).unwrap_or_default();
    let message = json.pointer("/error/message").and_then(Json::as_str);
    let said = message.or_else(|| json.get("error")?.as_str()).or_else(|| json.get("detail")?.as_str());
    let said = match said {
        Some(text) => first_mistake(text).unwrap_or_else(|| text.to_owned()),
        None if body.iter().all(u8::is_ascii_whitespace) => String::new(),
        None => excerpt(body),
    };
    let error = |class, text: &str| {
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        ProviderError::new(class, format!("{text} ({status}){said}"))
    };
    let refusal = |hint: &str| error(ErrorClass::Invalid, "the model server refuses the request").hint(hint);
    match status {
        401 | 403 => error(ErrorClass::Denied, "the model server wants an API key")
            .hint("the key is missing or wrong: name the one that the server was started with"),
        404 if message.is_some_and(|text| text.contains("does not exist")) => {
            error(ErrorClass::Unavailable, &format!("the server does not serve the model {model}"))
                .hint("compare the model's name with what /v1/models lists")
        }
        404 if message.is_some() => error(ErrorClass::Invalid, "the server does not know what was asked for")
            .hint("compare with what /v1/models lists"),
        404 if json.get("detail").is_some() => {
            error(ErrorClass::Unavailable, "the server answers, but not under this path")
                .hint("check the path of the URL, without /v1; a model without this API answers so too")
        }
        404 => error(ErrorClass::Unavailable, "no route leads to the model yet")
            .hint("see whether the HTTPRoute is accepted and the URL's path is the one it matches"),
        405 => error(ErrorClass::Invalid, "the server answers under this path, but not to this method")
            .hint("check the path of the URL, without /v1"),
        400 if said.contains("maximum context length") || said.contains("max_model_len") => {
            refusal("ask for fewer tokens, or serve the model with a longer max_model_len")
        }
        400 if said.contains("empty conversation") => refusal("give at least one message"),
        400 if said.contains("must be provided") => refusal("give a prompt"),
        400 if said.contains("Unsupported Media Type") => refusal("send the header content-type: application/json"),
        400 if said.contains("stream_options") => refusal("leave stream_options out, or set stream"),
        400 | 413 | 415 | 422 => refusal("mend the part of the request that is named"),
        429 => error(ErrorClass::RateLimited, "the model server is over its limit")
            .hint("ask for less at a time, or serve more replicas"),
        503 if said.contains("no healthy upstream") => {
            error(ErrorClass::Unavailable, "no replica of the model is ready")
                .hint("see the model's pods and their events")
        }
        503 if said.contains("CERTIFICATE_VERIFY_FAILED") => {
            error(ErrorClass::Unavailable, "the gateway does not trust the model's certificate")
                .hint("see the DestinationRule of the model's service and the authority that signed its certificate")
        }
        503 if said.contains("WRONG_VERSION_NUMBER") => {
            error(ErrorClass::Unavailable, "the gateway speaks TLS to a model server that does not")
                .hint("see the DestinationRule of the model's service")
        }
        503 if said.contains("connection termination") => {
            error(ErrorClass::Unavailable, "the model server hangs up on the gateway")
                .hint("it may serve TLS while the gateway speaks plain HTTP: see the DestinationRule of its service")
        }
        500..=599 => error(ErrorClass::Unavailable, "the model is not ready")
            .hint("see the logs of the model's pods and of the gateway"),
        _ => error(ErrorClass::Unknown, "the server gave an unexpected answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_never_shown() {
        let endpoint = Endpoint { url: "https://x".into(), api_key: Some("sk-1234".into()), ..Endpoint::default() };
        let shown = format!("{endpoint:?}");
        assert!(shown.contains("(secret)") && !shown.contains("sk-1234"), "{shown}");
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (status, body, class, words) in [
            (
                404,
                r#"{"error":{"message":"The model `x` does not exist.","code":404}}"#,
                ErrorClass::Unavailable,
                "does not exist",
            ),
            (404, "", ErrorClass::Unavailable, "no route"),
            (404, r#"{"detail":"Not Found"}"#, ErrorClass::Unavailable, "not under this path"),
            (401, r#"{"error":"Unauthorized"}"#, ErrorClass::Denied, "Unauthorized"),
            (
                400,
                r#"{"error":{"message":"max_tokens must be at least 1, got 0."}}"#,
                ErrorClass::Invalid,
                "at least 1",
            ),
            (405, r#"{"detail":"Method Not Allowed"}"#, ErrorClass::Invalid, "Method Not Allowed"),
            (503, "no healthy upstream", ErrorClass::Unavailable, "no replica"),
            (502, "<html>bad</html>", ErrorClass::Unavailable, "<html>bad"),
        ] {
            let error = refused(status, body.as_bytes(), "x");
            assert_eq!(error.class, class, "{body}");
            assert!(error.message.contains(words), "{}", error.message);
            assert!(error.hint.is_some(), "{body}");
        }
        let wrapped = r#"{"error":{"message":"1 validation error:\n  {'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required', 'input': '<dict>'}"}}"#;
        let error = refused(400, wrapped.as_bytes(), "x");
        assert!(error.message.ends_with(": Field required (at body.messages)"), "{}", error.message);
    }
}
