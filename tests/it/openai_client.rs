//! The client of models against servers that do everything wrong: certificates, keys, streams, metrics.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value as Json, json};
use stackwright::env::clock::{SharedClock, Timestamp, WallClock};
use stackwright::env::random::SeededRandom;
use stackwright::measure::checks::{Check, Outcome};
use stackwright::ops::platforms::Platforms;
use stackwright::ops::serving::Served;
use stackwright::ops::verify;
use stackwright::platform::models::{Endpoint, Models, Patience, Question, refused};
use stackwright::platform::{CompletionRequest, Prover};
use stackwright::provider::openai::OpenAiClient;
use stackwright::resource::error::{ErrorClass, ProviderError};
use stackwright::sim::serving::arguments::Arguments;
use stackwright::sim::serving::connection::{self, Certificates, respond};
use stackwright::sim::serving::model::{Build, Model, Speed};
use stackwright::sim::serving::openai::{self, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::lab::reaching;
use crate::vllm_conformance::folder;

/// A model server as vLLM is started with these words.
pub fn model(words: &[&str], speed: Speed, now: Timestamp) -> Arc<Model> {
    let arguments = Arguments::parse(&[&["vllm", "serve", "/mnt/models"], words].concat(), "").expect("arguments");
    let (version, started) = ("0.32.0".to_owned(), now);
    let (max_model_len, block_size, blocks) = (4096, 16, 20_000);
    Arc::new(Model::new(Build {
        arguments,
        max_model_len,
        block_size,
        blocks,
        speed,
        version,
        started,
        development: false,
    }))
}

/// As fast as can be.
pub fn quick() -> Speed {
    Speed {
        prefill_per_second: 1e6,
        per_token: Duration::from_millis(1),
        overhead: Duration::from_millis(1),
        noise: 0.0,
    }
}

/// Serves a model at a loopback port, with a certificate and key where it is to speak TLS.
pub async fn serve(model: Arc<Model>, clock: SharedClock, tls: Option<(String, String)>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).ok();
            let (model, clock, tls) = (model.clone(), clock.clone(), tls.clone());
            tokio::spawn(async move {
                let handle = move |request: hyper::Request<hyper::body::Incoming>| {
                    let (model, clock) = (model.clone(), clock.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = connection::read(body).await;
                        let path = parts.uri.path().to_owned();
                        let request = Request { method: parts.method, path, headers: parts.headers, body };
                        respond(openai::answer(&model, &clock, request).await)
                    }
                };
                match tls {
                    Some((chain, key)) => {
                        let certificates = Certificates::new(vec![(String::new(), chain, key)]);
                        // As uvicorn does: no ALPN, HTTP/1.1.
                        if let Ok((stream, _)) = connection::accept_tls(stream, certificates, &[]).await {
                            connection::serve_http(stream, false, handle).await.ok();
                        }
                    }
                    None => {
                        connection::serve_http(stream, false, handle).await.ok();
                    }
                }
            });
        }
    });
    port
}

/// A server that says these bytes, each after a pause, and hangs up.
async fn script(said: Vec<(u64, String)>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let said = said.clone();
            tokio::spawn(async move {
                let mut request = [0; 65536];
                if stream.read(&mut request).await.is_err() {
                    return;
                }
                for (pause, text) in said {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    stream.write_all(text.as_bytes()).await.ok();
                }
                stream.shutdown().await.ok();
            });
        }
    });
    port
}

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n";

fn token(text: &str, finish: Option<&str>) -> String {
    format!("data: {}\n\n", json!({"model": "m", "choices": [{"index": 0, "text": text, "finish_reason": finish}]}))
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority() -> Authority {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "a private CA");
    let pem = params.self_signed(&key).expect("signed").pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

impl Authority {
    fn sign(&self, name: &str, expired: bool) -> (String, String) {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("params");
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        (params.signed_by(&key, &self.issuer).expect("signed").pem(), key.serialize_pem())
    }
}

fn run<T>(work: impl AsyncFnOnce(OpenAiClient, SharedClock) -> T) -> T {
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let clock: SharedClock = Arc::new(WallClock::new());
    runtime.block_on(async { work(OpenAiClient::new(clock.clone(), None).expect("client"), clock.clone()).await })
}

fn endpoint(scheme: &str, port: u16, ca: Option<&str>) -> Endpoint {
    Endpoint {
        url: format!("{scheme}://127.0.0.1:{port}"),
        ca_pem: ca.map(str::to_owned),
        server_name: Some("model.test".to_owned()),
        api_key: None,
        through: None,
    }
}

async fn health(client: &OpenAiClient, endpoint: &Endpoint) -> Result<u16, ProviderError> {
    let patience =
        Patience { connect: Duration::from_secs(5), silence: Duration::from_secs(5), whole: Duration::from_secs(5) };
    client.ask(endpoint, &Question { patience, ..Question::get("/health") }).await.map(|reply| reply.status)
}

fn completion() -> Json {
    json!({"model": "/mnt/models", "prompt": "hi", "max_tokens": 4, "stream": true, "stream_options": {"include_usage": true}})
}

async fn listen(client: &OpenAiClient, endpoint: &Endpoint, silence: u64) -> Result<String, ProviderError> {
    let silence = Duration::from_millis(silence);
    let patience = Patience { connect: Duration::from_secs(5), silence, whole: Duration::from_secs(5) };
    let body = completion();
    let question = Question { patience, ..Question::post("/v1/completions", &body) };
    client.listen(endpoint, &question).await.map(|told| told.text)
}

/// An error with these words and a next step.
#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, ProviderError>, class: ErrorClass, words: &str, next: &str) {
    let error = result.expect_err("it must not work");
    assert!(error.message.contains(words), "{}", error.message);
    assert_eq!(error.class, class, "{}", error.message);
    let hint = error.hint.expect("a next step");
    assert!(hint.contains(next), "{hint}");
}

#[test]
fn a_private_ca_is_trusted_when_given() {
    run(async |client, clock| {
        let ca = authority();
        let port = serve(model(&[], quick(), clock.now()), clock.clone(), Some(ca.sign("model.test", false))).await;
        let there = endpoint("https", port, Some(&ca.pem));
        assert_eq!(health(&client, &there).await, Ok(200));
        let told = listen(&client, &there, 2000).await.expect("told");
        assert!(!told.is_empty());
        let shown = client.certificate(&there).await.expect("trusted").expect("TLS");
        assert_eq!(
            (shown.names.as_slice(), shown.issuer.as_str()),
            (&["model.test".to_owned()][..], "CN=a private CA")
        );
        assert!(shown.begins < clock.now() && shown.ends > clock.now());
    });
}

#[test]
fn without_its_ca_a_private_certificate_is_refused() {
    run(async |client, clock| {
        let ca = authority();
        let port = serve(model(&[], quick(), clock.now()), clock, Some(ca.sign("model.test", false))).await;
        let result = health(&client, &endpoint("https", port, None)).await;
        refusal(
            result,
            ErrorClass::Invalid,
            "signed by a CA that this system does not know",
            "output --raw ca_certificate",
        );
    });
}

#[test]
fn a_wrong_ca_is_refused() {
    run(async |client, clock| {
        let (ca, other) = (authority(), authority());
        let port = serve(model(&[], quick(), clock.now()), clock, Some(ca.sign("model.test", false))).await;
        let result = health(&client, &endpoint("https", port, Some(&other.pem))).await;
        refusal(result, ErrorClass::Invalid, "signed by somebody else than the CA", "which issuer");
        let result = health(&client, &endpoint("https", port, Some("no PEM"))).await;
        refusal(result, ErrorClass::Invalid, "is not a PEM certificate", "BEGIN CERTIFICATE");
    });
}

#[test]
fn an_expired_certificate_is_refused_with_its_date() {
    run(async |client, clock| {
        let ca = authority();
        let port = serve(model(&[], quick(), clock.now()), clock, Some(ca.sign("model.test", true))).await;
        let result = health(&client, &endpoint("https", port, Some(&ca.pem))).await;
        refusal(result, ErrorClass::Invalid, "has expired, at 2021-01-01", "renewed");
    });
}

#[test]
fn a_certificate_for_another_name_is_refused_with_its_names() {
    run(async |client, clock| {
        let ca = authority();
        let port = serve(model(&[], quick(), clock.now()), clock, Some(ca.sign("other.test", false))).await;
        let result = health(&client, &endpoint("https", port, Some(&ca.pem))).await;
        refusal(result, ErrorClass::Invalid, "is not for model.test, but for", "must list the host name");
    });
}

#[test]
fn http_on_the_tls_port_and_tls_on_the_http_port_are_told_apart() {
    run(async |client, clock| {
        let ca = authority();
        let served = model(&[], quick(), clock.now());
        let secure = serve(served.clone(), clock.clone(), Some(ca.sign("model.test", false))).await;
        let plain = serve(served, clock, None).await;
        let result = health(&client, &endpoint("http", secure, None)).await;
        refusal(result, ErrorClass::Unavailable, "broke off without an answer", "try https://");
        let result = health(&client, &endpoint("https", plain, Some(&ca.pem))).await;
        refusal(result, ErrorClass::Invalid, "answers without TLS", "use http://");
        // As recorded: not one byte comes back.
        let mut raw = TcpStream::connect(("127.0.0.1", secure)).await.expect("open");
        raw.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        let mut said = Vec::new();
        raw.read_to_end(&mut said).await.ok();
        assert!(!String::from_utf8_lossy(&said).contains("HTTP/"), "{said:?}");
        // Nobody negotiates a protocol, and HTTP/1.1 is spoken.
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_pems(&ca.pem));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", secure)).await.expect("open");
        let name = rustls::pki_types::ServerName::try_from("model.test").expect("name");
        let session = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
        assert_eq!(session.get_ref().1.alpn_protocol(), None);
    });
}

fn rustls_pems(pem: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("PEM")
}

#[test]
fn a_missing_or_wrong_key_is_named_and_a_right_one_works() {
    run(async |client, clock| {
        let port = serve(model(&["--api-key", "right"], quick(), clock.now()), clock, None).await;
        let mut there = endpoint("http", port, None);
        refusal(
            listen(&client, &there, 2000).await,
            ErrorClass::Denied,
            "wants an API key (401): Unauthorized",
            "the key is missing or wrong",
        );
        there.api_key = Some("wrong".to_owned());
        refusal(listen(&client, &there, 2000).await, ErrorClass::Denied, "401", "the key is missing or wrong");
        there.api_key = Some("right".to_owned());
        assert!(!listen(&client, &there, 2000).await.expect("told").is_empty());
        // Health and metrics want none.
        there.api_key = None;
        assert_eq!(health(&client, &there).await, Ok(200));
    });
}

#[test]
fn a_slow_stream_is_waited_for_and_a_silent_one_is_not() {
    run(async |client, _| {
        let said = |pause| {
            vec![
                (0, STREAM.to_owned()),
                (pause, ": keep-alive\n\n".to_owned()),
                (pause, token("one", None)),
                (pause, token(" two", Some("stop"))),
                (pause, "data: [DONE]\n\n".to_owned()),
            ]
        };
        let port = script(said(60)).await;
        assert_eq!(listen(&client, &endpoint("http", port, None), 400).await.expect("told"), "one two");
        let mut silent = said(0);
        silent[3].0 = 1500;
        let port = script(silent).await;
        let result = listen(&client, &endpoint("http", port, None), 300).await;
        refusal(result, ErrorClass::Unavailable, "fell silent for 0 s after the first token", "overloaded");
    });
}

#[test]
fn a_cut_stream_says_how_far_it_came() {
    run(async |client, _| {
        let port = script(vec![(0, STREAM.to_owned()), (0, token("one", None)), (0, token(" two", None))]).await;
        let result = listen(&client, &endpoint("http", port, None), 1000).await;
        refusal(result, ErrorClass::Unavailable, "cut after 2 tokens", "see the pods");
        let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let event = token("one", None);
        let port = script(vec![(0, chunked.to_owned()), (0, format!("{:x}\r\n{event}\r\n", event.len()))]).await;
        let result = listen(&client, &endpoint("http", port, None), 1000).await;
        refusal(result, ErrorClass::Unavailable, "broke off after the first token", "cut the connection");
        let failed =
            format!("data: {}\n\n", json!({"error": {"message": "EngineCore encountered an issue", "code": 500}}));
        let port = script(vec![(0, STREAM.to_owned()), (0, token("one", None)), (0, failed)]).await;
        let result = listen(&client, &endpoint("http", port, None), 1000).await;
        refusal(result, ErrorClass::Unavailable, "EngineCore encountered an issue, after the first token", "logs");
        let port = script(vec![(0, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>".to_owned())]).await;
        refusal(
            listen(&client, &endpoint("http", port, None), 1000).await,
            ErrorClass::Unavailable,
            "not a completion",
            "something else",
        );
    });
}

#[test]
fn a_server_that_answers_in_one_piece_is_proven_but_has_no_first_token() {
    run(async |client, _| {
        let answer =
            json!({"model": "m", "choices": [{"text": "hello"}], "usage": {"completion_tokens": 1}}).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
        let port = script(vec![(0, head.to_owned()), (0, answer)]).await;
        let there = endpoint("http", port, None);
        refusal(listen(&client, &there, 1000).await, ErrorClass::Invalid, "answers in one piece", "collect streams");
        let (url, model, prompt) = (there.url, "m".to_owned(), "hi".to_owned());
        let request =
            CompletionRequest { url, model, ca_pem: None, server_name: None, api_key: None, through: None, prompt };
        let answer = client.complete(&request).await.expect("a token");
        assert_eq!((answer.text.as_str(), answer.completion_tokens, answer.first_token_millis), ("hello", 1, None));
    });
}

/// Checks of a server without a stack.
async fn verified(port: u16, clock: &SharedClock) -> Vec<Check> {
    verify::server(&platforms(clock), endpoint("http", port, None), None, &|_| {}).await
}

/// Platforms without a cloud: only models are talked to.
pub fn platforms(clock: &SharedClock) -> Platforms {
    reaching("http://127.0.0.1:9", None, None, clock, Arc::new(SeededRandom::new(1)))
}

fn page(metrics: &str) -> Vec<(u64, String)> {
    let length = metrics.len();
    vec![(
        0,
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{metrics}"
        ),
    )]
}

#[test]
fn metrics_that_are_missing_or_old_are_named() {
    run(async |_, clock| {
        let there = async |said| {
            let endpoint = endpoint("http", script(said).await, None);
            let served = Served { of: "x".into(), endpoint, model: "m".into(), replicas: Vec::new() };
            served.counters(&platforms(&clock)).await
        };
        let missing = vec![(0, "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned())];
        refusal(there(missing).await, ErrorClass::Unavailable, "metrics cannot be read", "/metrics");
        let rate = there(page("vllm:gpu_prefix_cache_hit_rate{} 0.5\n")).await.expect("a page");
        assert!(rate.complaint().expect("a complaint").contains("too old"));
        let none = there(page("up 1\n")).await.expect("a page");
        assert!(none.complaint().expect("a complaint").contains("no counters"));
        let old = there(page("vllm:gpu_prefix_cache_queries_total{} 9\nvllm:gpu_prefix_cache_hits_total{} 4\n")).await;
        assert_eq!(old.expect("a page").hits, 4.0);
    });
}

#[test]
fn a_server_without_a_stack_is_verified() {
    run(async |_, clock| {
        let port = serve(model(&[], quick(), clock.now()), clock.clone(), None).await;
        let checks = verified(port, &clock).await;
        let outcome = |name: &str| checks.iter().find(|check| check.name == name).map(|check| check.outcome);
        for name in ["/health", "/v1/models", "completion", "chat", "stream", "cache metrics"] {
            assert_eq!(outcome(name), Some(Outcome::Passed), "{name}: {checks:#?}");
        }
        // Nothing to check where there is no TLS, and no embeddings of a model that writes.
        assert_eq!((outcome("tls"), outcome("embeddings")), (Some(Outcome::Skipped), Some(Outcome::Skipped)));
        let nobody = verified(9, &clock).await;
        let failed = nobody.iter().filter(|check| check.outcome == Outcome::Failed).collect::<Vec<_>>();
        assert!(failed.len() == 1 && failed[0].hint.is_some(), "{nobody:#?}");
        assert!(nobody.iter().any(|check| check.name == "completion" && check.outcome == Outcome::Skipped));
    });
}

#[test]
fn every_recorded_error_becomes_a_message_with_a_next_step() {
    let wanted = [
        ("err_404_path", "not under this path (404): Not Found"),
        ("err_405_get", "not to this method (405): Method Not Allowed"),
        ("err_405_post_models", "not to this method (405)"),
        ("err_bad_json", "JSON decode error (at body.38)"),
        ("err_bad_role", "Input should be 'developer' (at body.messages.0"),
        ("err_content_type", "Unsupported Media Type: Only 'application/json' is allowed"),
        ("err_embeddings", "not under this path (404)"),
        ("err_empty_body", "Field required (at body)"),
        ("err_empty_messages", "empty conversation"),
        ("err_empty_prompt", "must be provided and non-empty"),
        ("err_huge_prompt", "600000 characters"),
        ("err_max_tokens_negative", "must be at least 1, got -1"),
        ("err_max_tokens_too_large", "cannot be greater than max_model_len=4096"),
        ("err_max_tokens_zero", "must be at least 1, got 0"),
        ("err_missing_messages", "Field required (at body.messages)"),
        ("err_missing_prompt", "must be provided and non-empty"),
        ("err_not_object", "Input should be a valid dictionary"),
        ("err_stream_options_without_stream", "Stream options can only be defined"),
        ("err_temperature", "temperature must be non-negative"),
        ("err_too_long_chat", "maximum context length is 4096"),
        ("err_too_long_chat_stream", "maximum context length is 4096"),
        ("err_too_long_completion", "maximum context length is 4096"),
        ("err_unknown_model_chat", "does not serve the model m (404)"),
        ("err_unknown_model_completion", "does not serve the model m (404)"),
        ("err_unknown_model_stream", "does not serve the model m (404)"),
        ("err_wrong_type", "valid integer, unable to parse string as an integer (at body.max_tokens)"),
    ];
    let mut seen = 0;
    for entry in std::fs::read_dir(folder().join("http")).expect("recordings").flatten() {
        let name = entry.file_name().to_string_lossy().trim_end_matches(".txt").to_owned();
        if !name.starts_with("err_") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).expect("readable");
        let status =
            text.lines().nth(1).and_then(|line| line.split(' ').nth(1)).and_then(|s| s.parse().ok()).expect("status");
        let (_, body) = text.split_once("\n\n").expect("a body");
        let error = refused(status, body.trim().as_bytes(), "m");
        let words = wanted.iter().find(|(file, _)| *file == name).unwrap_or_else(|| panic!("{name} has no row")).1;
        assert!(error.message.contains(words), "{name}: {}", error.message);
        assert!(error.hint.is_some() && !error.message.contains("{'"), "{name}: {error:?}");
        seen += 1;
    }
    assert_eq!(seen, wanted.len());
}
