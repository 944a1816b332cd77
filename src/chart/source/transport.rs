//! One GET after another: limits, time-outs, redirects, retries. Knows addresses and bytes, not charts.

use std::error::Error;
use std::time::Duration;

use backon::BackoffBuilder;
use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use sha2::{Digest as _, Sha256};

use super::{Fault, SourceError};
use crate::chart::cache::hex;
use crate::chart::reference::is_loopback;
use crate::env::clock::{SharedClock, timeout};

/// What a transfer may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a chart's archive.
    pub archive: u64,
    /// Bytes of a set of manifests.
    pub manifests: u64,
    /// Bytes of a repository's index.
    pub index: u64,
    /// Bytes of the archive of a whole Git repository.
    pub repository: u64,
    /// Bytes that such an archive may unpack to.
    pub unpacked: u64,
    /// Bytes of a document of an OCI registry.
    pub document: u64,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long a server may be silent, before its answer and within.
    pub silence: Duration,
    /// How long one transfer may take as a whole.
    pub whole: Duration,
    /// How often a request is made at most.
    pub tries: usize,
    /// The wait before the second try; doubled each time.
    pub pause: Duration,
    /// How many things are fetched at a time.
    pub parallel: usize,
}

const MIB: u64 = 1 << 20;

impl Default for Limits {
    /// The largest charts of the catalogue have 0.3 MB, the largest manifests 1 MB; well-known indexes have up
    /// to 25 MB, and archives of repositories with much history in them some 100 MB.
    fn default() -> Self {
        Limits {
            archive: 32 * MIB,
            manifests: 32 * MIB,
            index: 64 * MIB,
            repository: 256 * MIB,
            unpacked: 2048 * MIB,
            document: 4 * MIB,
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            whole: Duration::from_secs(600),
            tries: 4,
            pause: Duration::from_millis(500),
            parallel: 6,
        }
    }
}

/// A server may ask for patience, but not for more than this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Redirects in a row.
const REDIRECTS: usize = 8;

/// What came back, whatever its status.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// `sha256:…` of the body, computed while it came in.
    pub digest: String,
}

/// Makes requests.
pub(super) struct Transport {
    outward: reqwest::Client,
    /// For this machine, past any proxy.
    inward: reqwest::Client,
    clock: SharedClock,
    pub limits: Limits,
}

/// One request.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    pub url: &'a str,
    pub accept: Option<&'static str>,
    pub authorization: Option<HeaderValue>,
    /// The most bytes that the body may have.
    pub most: u64,
}

impl<'a> Ask<'a> {
    pub(super) fn new(url: &'a str, most: u64) -> Self {
        Ask { url, accept: None, authorization: None, most }
    }
}

/// How one try went wrong.
enum Failed {
    /// Another try may help; the server may have said when.
    ForNow(SourceError, Option<Duration>),
    ForGood(SourceError),
}

/// An address as it may be shown: queries can hold signatures.
pub(super) fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// Why a step from one address to another is refused.
pub(super) fn step(from: &Url, to: &Url) -> Result<(), String> {
    let here = |url: &Url| is_loopback(&host(url));
    match to.scheme() {
        // Whoever is elsewhere has no business sending us to this machine's own services.
        "http" | "https" if here(to) && !here(from) => {
            Err(format!("{} leads to this machine", from.origin().ascii_serialization()))
        }
        "https" => Ok(()),
        "http" if here(to) => Ok(()),
        // What was asked for without TLS to begin with may stay on its host.
        "http" if from.scheme() == "http" && from.origin() == to.origin() => Ok(()),
        scheme => Err(format!("{} is not https", format_args!("{scheme}://{}", host(to)))),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoRedirect(String);

fn client(limits: &Limits, proxied: bool) -> Result<reqwest::Client, SourceError> {
    let policy = reqwest::redirect::Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS {
            return attempt.error(NoRedirect(format!("more than {REDIRECTS} redirects")));
        }
        let refused = attempt.previous().last().and_then(|from| step(from, attempt.url()).err());
        match refused {
            Some(why) => attempt.error(NoRedirect(why)),
            None => attempt.follow(),
        }
    });
    let builder = reqwest::Client::builder()
        .redirect(policy)
        .referer(false)
        .connect_timeout(limits.connect)
        .user_agent(concat!("stackwright/", env!("CARGO_PKG_VERSION")));
    let builder = if proxied { builder } else { builder.no_proxy() };
    builder
        .build()
        .map_err(|error| SourceError::new(Fault::Unreachable, "cannot prepare the HTTP client").detail(chain(&error)))
}

impl Transport {
    pub(super) fn new(clock: SharedClock, limits: Limits) -> Result<Transport, SourceError> {
        Ok(Transport { outward: client(&limits, true)?, inward: client(&limits, false)?, clock, limits })
    }

    /// The body of a successful answer.
    pub(super) async fn fetch(&self, url: &str, most: u64) -> Result<Answer, SourceError> {
        let answer = self.ask(Ask::new(url, most)).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(refusal(url, &answer)) }
    }

    /// Any answer that another try would not change.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Answer, SourceError> {
        let mut delays = backon::ExponentialBuilder::default()
            .with_min_delay(self.limits.pause)
            .with_max_delay(PATIENCE)
            .with_max_times(self.limits.tries.saturating_sub(1))
            .build();
        loop {
            let (error, asked) = match self.once(&ask).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::ForNow(error, asked)) => (error, asked),
            };
            let Some(delay) = delays.next() else { return Err(error) };
            let delay = asked.map_or(delay, |asked| asked.clamp(delay, PATIENCE.max(delay)));
            tracing::debug!(url = shown(ask.url), %error, ?delay, "trying again");
            self.clock.sleep(delay).await;
        }
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Answer, Failed> {
        let url = Url::parse(ask.url).map_err(|error| {
            let text = format!("{} is not an address: {error}", shown(ask.url));
            Failed::ForGood(SourceError::new(Fault::Odd, text))
        })?;
        let client = if is_loopback(&host(&url)) { &self.inward } else { &self.outward };
        let mut request = client.get(url);
        if let Some(accept) = ask.accept {
            request = request.header(reqwest::header::ACCEPT, accept);
        }
        if let Some(value) = &ask.authorization {
            request = request.header(reqwest::header::AUTHORIZATION, value.clone());
        }
        let _busy = self.clock.busy();
        match timeout(&*self.clock, self.limits.whole, self.transfer(ask, request)).await {
            Ok(result) => result,
            Err(_) => Err(Failed::ForGood(slow(ask.url, self.limits.whole))),
        }
    }

    async fn transfer(&self, ask: &Ask<'_>, request: reqwest::RequestBuilder) -> Result<Answer, Failed> {
        let silence = self.limits.silence;
        let silent = |_| Failed::ForNow(slow(ask.url, silence), None);
        let broken = |error: reqwest::Error| broken(ask.url, error);
        let mut response = timeout(&*self.clock, silence, request.send()).await.map_err(silent)?.map_err(broken)?;
        let status = response.status();
        let headers = response.headers().clone();
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT || status.is_server_error()
        {
            let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let text = format!("{} answers {status}", shown(ask.url));
            let error = SourceError::new(Fault::Unreachable, text).hint("try again later");
            return Err(Failed::ForNow(error, asked.map(Duration::from_secs)));
        }
        // What an error says is read for its message only.
        let most = if status.is_success() { ask.most } else { 64 << 10 };
        let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if status.is_success() && announced.is_some_and(|announced| announced > most) {
            return Err(Failed::ForGood(too_big(ask.url, announced, most)));
        }
        let mut body = BytesMut::new();
        let mut hash = Sha256::new();
        loop {
            let chunk = timeout(&*self.clock, silence, response.chunk()).await.map_err(silent)?.map_err(broken)?;
            let Some(chunk) = chunk else { break };
            if (body.len() + chunk.len()) as u64 > most {
                if status.is_success() {
                    return Err(Failed::ForGood(too_big(ask.url, None, most)));
                }
                break;
            }
            hash.update(&chunk);
            body.extend_from_slice(&chunk);
        }
        let digest = format!("sha256:{}", hex(&hash.finalize()));
        Ok(Answer { status, headers, body: body.freeze(), digest })
    }
}

/// An unsuccessful answer as an error.
pub(super) fn refusal(url: &str, answer: &Answer) -> SourceError {
    let fault = match answer.status.as_u16() {
        401 | 403 => Fault::Denied,
        404 | 410 => Fault::Missing,
        _ => Fault::Odd,
    };
    let error = SourceError::new(fault, format!("{} answers {}", shown(url), answer.status));
    match fault {
        Fault::Denied => error.hint("check whether it needs a login: see docs/charts.md for logins"),
        Fault::Missing => error.hint("check the address, and that it still exists"),
        _ => error,
    }
}

fn too_big(url: &str, announced: Option<u64>, most: u64) -> SourceError {
    let size = announced.map_or_else(|| "more".to_owned(), |size| format!("{size} bytes"));
    let text = format!("{} is too big", shown(url));
    SourceError::new(Fault::TooBig, text).detail(format!("It has {size}; at most {most} bytes are taken."))
}

fn slow(url: &str, limit: Duration) -> SourceError {
    let text = format!("{} does not answer within {} s", shown(url), limit.as_secs_f64());
    SourceError::new(Fault::Unreachable, text).hint("try again later")
}

fn broken(url: &str, error: reqwest::Error) -> Failed {
    let redirected = error.is_redirect();
    let error = error.without_url();
    if redirected {
        let text = format!("{} redirects to where it is not followed", shown(url));
        return Failed::ForGood(SourceError::new(Fault::Odd, text).detail(deepest(&error)));
    }
    let text = format!("cannot fetch {}", shown(url));
    let error = SourceError::new(Fault::Unreachable, text).detail(chain(&error));
    Failed::ForNow(error.hint("check the network; in a closed one, name a bundle with --bundle DIR"), None)
}

fn deepest(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// An error and its causes, each once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_are_refused() {
        let good = |from: &str, to: &str| step(&from.parse().expect("url"), &to.parse().expect("url")).is_ok();
        assert!(good("https://a.example/x", "https://b.example/y"));
        assert!(good("http://a.example/x", "https://a.example/y"));
        assert!(good("http://a.example/x", "http://a.example/y"));
        assert!(good("http://127.0.0.1:1/x", "http://127.0.0.1:2/y"));
        assert!(good("http://127.0.0.1:1/x", "https://b.example/y"));
        assert!(!good("https://a.example/x", "http://a.example/y"));
        assert!(!good("http://a.example/x", "http://b.example/y"));
        assert!(!good("https://a.example/x", "http://127.0.0.1/y"));
        assert!(!good("https://a.example/x", "https://localhost/y"));
        assert!(!good("https://a.example/x", "file:///etc/passwd"));
    }

    #[test]
    fn queries_are_not_shown() {
        assert_eq!(shown("https://a.example/x?token=secret#f"), "https://a.example/x");
    }
}
