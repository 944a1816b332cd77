//! The simulator's model server against recordings of a real vLLM: statuses, headers, bodies, streams, metrics, blocks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value as Json, json};
use stackwright::env::clock::{SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::measure::cache::findable;
use stackwright::measure::metrics::{Counters, Names, lines};
use stackwright::sim::serving::arguments::Arguments;
use stackwright::sim::serving::model::{Build, Model, Speed};
use stackwright::sim::serving::openai::{Body, Request, answer};

/// What the simulator does not do as recorded, and why. Each must really differ: what was mended leaves this list.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("http/completion_logprobs.txt", "the simulated model has no probabilities"),
    ("http/err_bad_role.txt", "one line in place of one for each of the eleven kinds of messages"),
    ("http/responses_api.txt", "the Responses API is not simulated"),
];

/// Recordings of connections, which `openai_client` holds sockets against.
const CONNECTIONS: &[&str] =
    &["https/plain_http_to_tls_port.txt", "https/tls_info.txt", "https/tls_verify_failure.txt"];

/// The folder of recordings.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vllm")
}

/// A recorded exchange.
struct Recording {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: String,
    status: u16,
    answered: BTreeMap<String, String>,
    said: String,
}

fn recording(name: &str) -> Recording {
    let text = std::fs::read_to_string(folder().join(name)).expect("a recording");
    let (first, rest) = text.split_once('\n').expect("a request");
    let (command, body) = match first.split_once(" -d ") {
        Some((command, body)) => (command, body),
        None => (first, ""),
    };
    let path = ["$URL", "https://127.0.0.1:8000"].iter().find_map(|root| command.split(root).nth(1)).expect("a path");
    let path = path.split(' ').next().expect("a path").to_owned();
    let mut headers = HeaderMap::new();
    for part in command.split(" -H ").skip(1) {
        let part = part.split(" $URL").next().and_then(|p| p.split(" https://").next()).expect("a header");
        let part = part.split(" -X ").next().expect("a header");
        if let Some((name, value)) = part.split_once(": ") {
            let name = name.to_lowercase().parse::<HeaderName>().expect("a name");
            headers.insert(name, HeaderValue::from_str(value.trim()).expect("a value"));
        }
    }
    let method = if command.contains(" -I ") {
        Method::HEAD
    } else if command.contains("-X POST") || !body.is_empty() {
        Method::POST
    } else {
        Method::GET
    };
    // Long bodies were sent from files, or are not kept whole; these are of their kind.
    let body = match body {
        "@./vt_huge.json" => {
            json!({"model": "/mnt/models", "prompt": "x".repeat(600_000), "max_tokens": 1}).to_string()
        }
        "@./vt_long.json" => {
            json!({"model": "/mnt/models", "prompt": "one ".repeat(5000), "max_tokens": 1}).to_string()
        }
        body if body.starts_with("@./") => {
            let messages = json!([{"role": "user", "content": "one ".repeat(5000)}]);
            let stream = body.contains("stream") || name.contains("stream");
            json!({"model": "/mnt/models", "messages": messages, "max_tokens": 1, "stream": stream}).to_string()
        }
        body if body.contains("The licence text repeats.") => {
            json!({"model": "/mnt/models", "prompt": "The licence text repeats. ".repeat(120), "max_tokens": 2})
                .to_string()
        }
        body => body.to_owned(),
    };
    let (head, said) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let mut head = head.lines();
    let status = head.next().and_then(|line| line.split(' ').nth(1)).and_then(|s| s.parse().ok()).expect("a status");
    let answered =
        head.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
    Recording { method, path, headers, body, status, answered, said: said.trim().to_owned() }
}

fn server(secure: bool) -> Arc<Model> {
    let more: &[&str] = if secure {
        &["--api-key", "test-key-123", "--enable-prompt-tokens-details", "--enable-request-id-headers"]
    } else {
        &[]
    };
    let words = [&["vllm", "serve", "/mnt/models", "--max-model-len", "4096"], more].concat();
    Arc::new(Model::new(Build {
        arguments: Arguments::parse(&words, "").expect("arguments"),
        max_model_len: 4096,
        block_size: if secure { 64 } else { 128 },
        blocks: 2000,
        speed: Speed {
            prefill_per_second: 2500.0,
            per_token: Duration::from_millis(28),
            overhead: Duration::from_millis(8),
            noise: 0.0,
        },
        version: "0.32.0".to_owned(),
        started: Timestamp(1_795_000_000_000),
        development: secure,
    }))
}

/// Status, headers and body, and when each piece of it came, in milliseconds.
fn ask(model: &Arc<Model>, recording: &Recording) -> (u16, BTreeMap<String, String>, String, Vec<u64>) {
    let clock = DiscreteClock::new(Timestamp(1_795_000_000_000));
    let runtime = clock.runtime().expect("runtime");
    let shared: SharedClock = Arc::new(clock);
    let request = Request {
        method: recording.method.clone(),
        path: recording.path.clone(),
        headers: recording.headers.clone(),
        body: Bytes::copy_from_slice(recording.body.as_bytes()),
    };
    runtime.block_on(async {
        let began = shared.now();
        let answer = answer(model, &shared, request).await;
        let headers = answer.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (mut said, mut times) = (String::new(), Vec::new());
        match answer.body {
            Body::Whole(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
            Body::Events(mut events) => {
                while let Some(event) = events.next().await {
                    said.push_str(&String::from_utf8_lossy(&event));
                    times.push(u64::try_from(shared.now().since(began).as_millis()).expect("short"));
                }
            }
        }
        (answer.status, headers, said.trim().to_owned(), times)
    })
}

/// The keys of a document in their order, its values forgotten; what finished, and how, is kept.
fn shape(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let kept = |key: &str| matches!(key, "object" | "finish_reason" | "role" | "owned_by" | "type");
            let entry =
                |(key, value): (&String, &Json)| (key.clone(), if kept(key) { value.clone() } else { shape(value) });
            map.iter().map(entry).collect()
        }
        Json::Array(list) => list.first().map(shape).into_iter().collect(),
        Json::Null => Json::Null,
        Json::Number(_) => json!(0),
        Json::String(_) => json!(""),
        Json::Bool(truth) => json!(truth),
    }
}

/// What differs.
fn difference(recording: &Recording, model: &Arc<Model>) -> Option<String> {
    let (status, headers, said, _) = ask(model, recording);
    if status != recording.status {
        return Some(format!("status {status}, recorded {}", recording.status));
    }
    // What hyper adds by itself.
    let wire = ["content-length", "transfer-encoding", "date"];
    let names = |headers: &BTreeMap<String, String>| {
        let kept = headers.iter().filter(|(name, _)| !wire.contains(&name.as_str()));
        kept.map(|(n, v)| if n == "x-request-id" { n.clone() } else { format!("{n}: {v}") }).collect::<Vec<_>>()
    };
    let (got, wanted) = (names(&headers), names(&recording.answered));
    if got != wanted {
        return Some(format!("headers {got:?}, recorded {wanted:?}"));
    }
    if recording.method == Method::HEAD {
        return None;
    }
    let same = |got: &str, wanted: &str| match (serde_json::from_str::<Json>(got), serde_json::from_str::<Json>(wanted))
    {
        // Wordings of refusals are exact.
        (Ok(got), Ok(wanted)) if wanted.get("error").is_some() || wanted.get("detail").is_some() => {
            let hidden = |json: &Json| json.to_string().replace("<path>", "/mnt/models");
            hidden(&got) == hidden(&wanted)
        }
        (Ok(got), Ok(wanted)) => {
            // As text: the order of keys counts.
            let text = |json: &Json| shape(json).to_string();
            text(&got) == text(&wanted)
        }
        _ => got == wanted,
    };
    if recording.path == "/metrics" {
        return metrics(&said, &recording.said);
    }
    if recording.said.starts_with("data: ") {
        let events =
            |text: &str| text.lines().filter_map(|l| l.strip_prefix("data: ")).map(str::to_owned).collect::<Vec<_>>();
        let (got, wanted) = (events(&said), events(&recording.said));
        let fits = got.len() == wanted.len() && got.iter().zip(&wanted).all(|(got, wanted)| same(got, wanted));
        return (!fits).then(|| format!("events\n{}\nrecorded\n{}", got.join("\n"), wanted.join("\n")));
    }
    (!same(&said, &recording.said)).then(|| format!("said {said}, recorded {}", recording.said))
}

/// Every line of the simulator's page must have its like on the recorded one, with the same labels, help and type.
fn metrics(got: &str, wanted: &str) -> Option<String> {
    let kinds = |page: &str| {
        let lines = lines(page).into_iter();
        lines
            .map(|line| (line.name, line.labels.into_keys().collect::<Vec<_>>()))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let heads = |page: &str| {
        let all = page.lines().filter(|line| line.starts_with("# ")).map(str::to_owned);
        all.collect::<std::collections::BTreeSet<_>>()
    };
    let (known, have) = (kinds(wanted), kinds(got));
    // The configuration has a label for each setting; those that are simulated must be among them.
    let strange = have.iter().filter(|kind| !known.contains(kind) && kind.0 != "vllm:cache_config_info");
    let mut strange = strange.map(|kind| format!("{kind:?}")).collect::<Vec<_>>();
    let settings = |kinds: &std::collections::BTreeSet<(String, Vec<String>)>| {
        kinds.iter().find(|kind| kind.0 == "vllm:cache_config_info").map(|kind| kind.1.clone()).unwrap_or_default()
    };
    let recorded = settings(&known);
    strange.extend(settings(&have).into_iter().filter(|label| !recorded.contains(label)));
    let known = heads(wanted);
    strange.extend(heads(got).into_iter().filter(|head| !known.contains(head)));
    (!strange.is_empty()).then(|| strange.join("\n"))
}

#[test]
fn the_simulated_server_answers_as_recorded() {
    let mut names = Vec::new();
    for half in ["http", "https"] {
        let entries = std::fs::read_dir(folder().join(half)).expect("recordings").flatten();
        names.extend(entries.map(|entry| format!("{half}/{}", entry.file_name().to_string_lossy())));
    }
    names.retain(|name| !CONNECTIONS.contains(&name.as_str()));
    names.sort();
    let (plain, secure) = (server(false), server(true));
    let (mut alike, mut wrong) = (0, Vec::new());
    for name in &names {
        let recording = recording(name);
        let model = if name.starts_with("https/") { &secure } else { &plain };
        let excepted = EXCEPTIONS.iter().any(|(exception, _)| exception == name);
        match (difference(&recording, model), excepted) {
            (None, false) => alike += 1,
            (None, true) => wrong.push(format!("{name}: is as recorded, and still listed as an exception")),
            (Some(_), true) => {}
            (Some(what), false) => wrong.push(format!("{name}: {what}")),
        }
    }
    println!("vLLM conformance: {alike} of {} recordings, {} exceptions", names.len(), EXCEPTIONS.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(names.len() >= 60, "recordings are missing: {}", names.len());
}

#[test]
fn cached_tokens_are_whole_blocks_as_recorded() {
    let model = server(true);
    for (name, warm) in [
        ("https/completion_cached_tokens_1_cold.txt", false),
        ("https/completion_cached_tokens_2_warm.txt", true),
        ("https/reset_prefix_cache_dev.txt", false),
        ("https/completion_cached_tokens_3_after_reset.txt", false),
    ] {
        let recording = recording(name);
        let (_, _, said, _) = ask(&model, &recording);
        let count = |text: &str, pointer: &str| {
            let json = serde_json::from_str::<Json>(text).expect("JSON");
            json.pointer(pointer).and_then(Json::as_u64)
        };
        let (prompt, cached) = ("/usage/prompt_tokens", "/usage/prompt_tokens_details/cached_tokens");
        for said in [said.as_str(), recording.said.as_str()] {
            let Some(prompt) = count(said, prompt) else {
                assert_eq!(said, "{\"success\":true}", "{name}");
                continue;
            };
            let possible = if warm { findable(prompt, prompt, 64) } else { 0 };
            assert_eq!(count(said, cached), Some(possible), "{name}: {said}");
        }
    }
}

#[test]
fn streams_come_piece_by_piece_in_time() {
    let model = server(false);
    let (_, _, said, times) = ask(&model, &recording("http/chat_stream_usage.txt"));
    assert_eq!(times.len(), said.matches("data: ").count());
    // The role and the first token come together, after the prompt was read; the others one by one.
    assert_eq!(times[0], times[1], "{times:?}");
    assert!(times[0] >= 36 && times[1..9].windows(2).all(|pair| pair[1] - pair[0] == 28), "{times:?}");
}

#[test]
fn the_recorded_metrics_are_understood() {
    let counters = Counters::read(&recording("http/metrics.txt").said);
    assert_eq!((counters.names, counters.queries, counters.hits), (Names::Current, 569_207.0, 445_952.0));
    assert_eq!((counters.caching, counters.block, counters.engines), (Some(true), Some(128), 1));
}
