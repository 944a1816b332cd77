//! A model server's HTTP interface: paths, answers, streams, as a recorded vLLM gives them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};

use super::asked::{self, Api, Asked};
use super::metrics;
use super::model::{Job, Model, Plan};
use super::tokens;
use crate::env::clock::{SharedClock, Timestamp};

/// A request, read to its end.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path, without query.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// Events of a stream, each a complete frame.
pub type Events = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The body of an answer.
pub enum Body {
    /// At once.
    Whole(Bytes),
    /// Piece by piece, on the clock.
    Events(Events),
}

/// An answer.
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers, the length of a whole body excepted.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Body,
}

impl Answer {
    /// A whole answer.
    pub fn whole(status: u16, media: &str, body: impl Into<Bytes>) -> Answer {
        let headers = if media.is_empty() { Vec::new() } else { vec![("content-type", media.to_owned())] };
        Answer { status, headers, body: Body::Whole(body.into()) }
    }

    fn json(status: u16, body: &Json) -> Answer {
        Answer::whole(status, "application/json", body.to_string())
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }
}

const PATHS: &[(&str, &str)] = &[
    ("/health", "GET"),
    ("/ping", "GET"),
    ("/load", "GET"),
    ("/version", "GET"),
    ("/metrics", "GET"),
    ("/v1/models", "GET"),
    ("/v1/completions", "POST"),
    ("/v1/chat/completions", "POST"),
    ("/tokenize", "POST"),
    (RESET, "POST"),
];
/// Only in development mode.
const RESET: &str = "/reset_prefix_cache";

/// Answers a request.
pub async fn answer(model: &Arc<Model>, clock: &SharedClock, request: Request) -> Answer {
    let path = request.path.as_str();
    let open = |known: &str| known != RESET || model.build.development;
    let known = PATHS.iter().find(|(known, _)| *known == path && open(known));
    let mut answer = route(model, clock, &request, known).await;
    let handler = known.map_or("none", |(path, _)| path);
    if path != "/metrics" && path != "/health" {
        model.answered(handler, request.method.as_str(), answer.status);
    }
    answer.headers.push(("server", "uvicorn".to_owned()));
    answer.headers.push(("date", http_date(clock)));
    if answer.status != 401 {
        answer.headers.push(("vary", "Origin".to_owned()));
    }
    if model.build.arguments.request_id_headers {
        let given = request.headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        answer.headers.push(("x-request-id", given.unwrap_or_else(|| model.next_id())));
    }
    answer
}

/// The clock's time as HTTP writes it.
pub fn http_date(clock: &SharedClock) -> String {
    let seconds = i64::try_from(clock.now().seconds()).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

async fn route(model: &Arc<Model>, clock: &SharedClock, request: &Request, known: Option<&(&str, &str)>) -> Answer {
    let arguments = &model.build.arguments;
    if request.path.starts_with("/v1/") && !arguments.api_keys.is_empty() {
        let given = request.headers.get("authorization").and_then(|v| v.to_str().ok());
        let key = given.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
        if !arguments.api_keys.iter().any(|k| k == key) {
            return Answer::json(401, &json!({"error": "Unauthorized"}));
        }
    }
    let Some((path, method)) = known else { return Answer::json(404, &json!({"detail": "Not Found"})) };
    if request.method.as_str() != *method {
        return Answer::json(405, &json!({"detail": "Method Not Allowed"})).with("allow", *method);
    }
    let content_type = request.headers.get("content-type").and_then(|v| v.to_str().ok());
    match *path {
        "/health" | "/ping" => Answer::whole(200, "", Bytes::new()),
        RESET => {
            model.forget();
            Answer::json(200, &json!({"success": true}))
        }
        "/load" => Answer::json(200, &json!({"server_load": model.counters().0.running})),
        "/version" => Answer::json(200, &json!({"version": model.build.version})),
        "/metrics" => Answer::whole(200, "text/plain; version=1.0.0; charset=utf-8", metrics::page(model)),
        "/v1/models" => Answer::json(200, &models(model, clock)),
        "/tokenize" => match asked::parse(content_type, &request.body) {
            Ok(body) => {
                let text = body["prompt"].as_str().unwrap_or_default();
                let tokens = tokens::tokens(text);
                let limit = model.build.max_model_len;
                Answer::json(
                    200,
                    &json!({"count": tokens.len(), "max_model_len": limit, "tokens": tokens, "token_strs": null}),
                )
            }
            Err(refusal) => Answer::json(refusal.status, &refusal.body),
        },
        path => {
            let api = if path.ends_with("/chat/completions") { Api::Chat } else { Api::Completions };
            let parsed = asked::parse(content_type, &request.body);
            match parsed.and_then(|body| asked::understand(model, api, &body)) {
                Ok(asked) => {
                    let given = request.headers.get("x-request-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
                    let id = given.unwrap_or_else(|| model.next_id());
                    generate(model, clock, api, asked, &id).await
                }
                Err(refusal) => Answer::json(refusal.status, &refusal.body),
            }
        }
    }
}

fn models(model: &Model, clock: &SharedClock) -> Json {
    let created = clock.now().seconds();
    let arguments = &model.build.arguments;
    let entries: Vec<Json> = arguments
        .served_names
        .iter()
        .map(|name| {
            json!({
                "id": name, "object": "model", "created": created, "owned_by": "vllm", "root": arguments.model,
                "parent": null, "max_model_len": model.build.max_model_len,
                "permission": [{
                    "id": format!("modelperm-{}", model.next_id()), "object": "model_permission", "created": created,
                    "allow_create_engine": false, "allow_sampling": true, "allow_logprobs": true,
                    "allow_search_indices": false, "allow_view": true, "allow_fine_tuning": false,
                    "organization": "*", "group": null, "is_blocking": false,
                }],
            })
        })
        .collect();
    json!({"object": "list", "data": entries})
}

/// A request being answered; ends in the model's books when it is dropped.
struct Running {
    model: Arc<Model>,
    plans: Vec<Plan>,
    complete: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        for plan in &self.plans {
            self.model.finished(plan, self.complete);
        }
    }
}

/// How often others may run before time goes on: as many sockets as there are on the way to a client.
const TURNS: usize = 6;

/// Waits for simulated time while a client waits for us.
async fn pass(clock: &SharedClock, until: Timestamp) {
    // What was sent before is read first: else the client would find it later than it came.
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
    let _lent = clock.lend();
    clock.sleep(until.since(clock.now())).await;
}

fn fingerprint(model: &Model) -> String {
    let build = &model.build;
    let words: Vec<u32> = build.arguments.model.bytes().map(u32::from).collect();
    format!("vllm-{}-{:08x}", build.version, tokens::digest(&build.version, &words) >> 32)
}

/// What the answer to one request says around its text.
struct Frame {
    id: String,
    api: Api,
    created: u64,
    model: String,
    fingerprint: String,
    prompt_tokens: u64,
    details: bool,
    cached: u64,
}

impl Frame {
    fn usage(&self, written: u64, stream: bool) -> Json {
        let mut usage = json!({"prompt_tokens": self.prompt_tokens, "total_tokens": self.prompt_tokens + written,
            "completion_tokens": written});
        let created = if self.api == Api::Chat { json!(0) } else { Json::Null };
        let details = json!({"cached_tokens": self.cached, "created_cache_tokens": created, "multimodal_tokens": null});
        match (self.details, stream) {
            (true, false) => usage["prompt_tokens_details"] = details,
            (true, true) => {
                usage["prompt_tokens_details"] = json!({"cached_tokens": self.cached, "created_cache_tokens": 0})
            }
            (false, false) => usage["prompt_tokens_details"] = Json::Null,
            (false, true) => {}
        }
        if !stream {
            usage["completion_tokens_details"] = Json::Null;
        }
        usage
    }

    fn event(&self, choices: Json) -> Json {
        let object = if self.api == Api::Chat { "chat.completion.chunk" } else { "text_completion" };
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices})
    }
}

async fn generate(model: &Arc<Model>, clock: &SharedClock, api: Api, asked: Asked, id: &str) -> Answer {
    let now = clock.now();
    let mut plans = Vec::new();
    for prompt in &asked.prompts {
        for choice in 0..asked.n {
            let job = Job {
                prompt: prompt.clone(),
                salt: asked.salt.clone(),
                max_tokens: asked.max_tokens,
                stop: asked.stop.clone(),
                choice,
            };
            plans.push(model.begin(now, &job));
        }
    }
    let frame = Frame {
        id: format!("{}-{id}", if api == Api::Chat { "chatcmpl" } else { "cmpl" }),
        api,
        created: now.seconds(),
        model: asked.model.clone(),
        fingerprint: fingerprint(model),
        prompt_tokens: asked.prompts.iter().map(|p| p.len() as u64).sum(),
        details: model.build.arguments.prompt_tokens_details,
        cached: plans.iter().map(|p| p.cached).sum(),
    };
    let mut running = Running { model: model.clone(), plans, complete: false };
    if asked.stream {
        let events = events(clock.clone(), running, frame, &asked);
        return Answer {
            status: 200,
            headers: vec![("content-type", "text/event-stream; charset=utf-8".to_owned())],
            body: Body::Events(events),
        };
    }
    let longest = running.plans.iter().map(Plan::whole).max().unwrap_or_default();
    pass(clock, now.plus(longest)).await;
    running.complete = true;
    Answer::json(200, &whole(&frame, &running.plans))
}

fn whole(frame: &Frame, plans: &[Plan]) -> Json {
    let written: u64 = plans.iter().map(|p| p.pieces.len() as u64).sum();
    let choices: Vec<Json> = plans
        .iter()
        .enumerate()
        .map(|(index, plan)| {
            let text = plan.pieces.concat();
            match frame.api {
                Api::Chat => json!({
                    "index": index,
                    "message": {"role": "assistant", "content": text.trim_start(), "refusal": null, "annotations": null,
                        "audio": null, "function_call": null, "reasoning": null},
                    "logprobs": null, "finish_reason": plan.finish, "stop_reason": null, "token_ids": null,
                    "routed_experts": null,
                }),
                Api::Completions => json!({
                    "index": index, "text": text, "logprobs": null, "finish_reason": plan.finish, "stop_reason": null,
                    "token_ids": null, "prompt_logprobs": null, "prompt_token_ids": null, "routed_experts": null,
                }),
            }
        })
        .collect();
    let object = if frame.api == Api::Chat { "chat.completion" } else { "text_completion" };
    let mut body = json!({
        "id": frame.id, "object": object, "created": frame.created, "model": frame.model, "choices": choices,
        "service_tier": null, "system_fingerprint": frame.fingerprint, "usage": frame.usage(written, false),
    });
    let nulls: &[&str] = match frame.api {
        Api::Chat => &[
            "prompt_logprobs",
            "prompt_token_ids",
            "prompt_text",
            "kv_transfer_params",
            "ec_transfer_params",
            "metrics",
        ],
        Api::Completions => &["kv_transfer_params", "ec_transfer_params", "metrics"],
    };
    for field in nulls {
        body[*field] = Json::Null;
    }
    body
}

/// One frame of the stream and the wait before it.
type Timed = (Duration, String);

/// All frames of a streamed answer, in order.
fn frames(frame: &Frame, plans: &[Plan], include_usage: bool, continuous: bool) -> Vec<Timed> {
    let mut frames: Vec<Timed> = Vec::new();
    let mut total = 0;
    for (index, plan) in plans.iter().enumerate() {
        let mut wait = plan.first;
        if frame.api == Api::Chat {
            let delta = json!({"role": "assistant", "content": ""});
            let mut event =
                frame.event(json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": null}]));
            if continuous {
                event["usage"] = with_details(frame.usage(0, true));
            }
            event["prompt_token_ids"] = Json::Null;
            event["prompt_text"] = Json::Null;
            frames.push((wait, event.to_string()));
            wait = Duration::ZERO;
        }
        let mut pieces: Vec<&str> = plan.pieces.iter().map(String::as_str).collect();
        if pieces.is_empty() {
            pieces.push("");
        }
        let last = pieces.len() - 1;
        for (at, piece) in pieces.into_iter().enumerate() {
            total += 1;
            let finish = if at == last { json!(plan.finish) } else { Json::Null };
            let choice = match frame.api {
                Api::Chat => {
                    let piece = if at == 0 { piece.trim_start() } else { piece };
                    let mut choice =
                        json!({"index": index, "delta": {"content": piece}, "logprobs": null, "finish_reason": finish});
                    if at == last {
                        choice["stop_reason"] = Json::Null;
                    }
                    choice["token_ids"] = Json::Null;
                    choice
                }
                Api::Completions => json!({"index": index, "text": piece, "logprobs": null, "finish_reason": finish,
                    "stop_reason": null, "prompt_token_ids": null, "token_ids": null}),
            };
            let mut event = frame.event(json!([choice]));
            if continuous {
                event["usage"] = with_details(frame.usage(total, true));
            }
            if at == last && index + 1 == plans.len() && !include_usage {
                event["system_fingerprint"] = json!(frame.fingerprint);
            }
            frames.push((wait, event.to_string()));
            wait = plan.each;
        }
    }
    if include_usage {
        let mut event = frame.event(json!([]));
        let written = plans.iter().map(|p| p.pieces.len() as u64).sum();
        event["usage"] = frame.usage(written, true);
        event["system_fingerprint"] = json!(frame.fingerprint);
        frames.push((Duration::ZERO, event.to_string()));
    }
    frames.push((Duration::ZERO, "[DONE]".to_owned()));
    frames
}

fn with_details(mut usage: Json) -> Json {
    usage["completion_tokens_details"] = Json::Null;
    usage
}

fn events(clock: SharedClock, running: Running, frame: Frame, asked: &Asked) -> Events {
    let frames = frames(&frame, &running.plans, asked.include_usage, asked.continuous_usage);
    // The books are closed when the stream is dropped, read to its end or not.
    let state = (clock.now(), Duration::ZERO, clock, running, frames.into_iter());
    Box::pin(stream::unfold(state, |(began, passed, clock, mut running, mut frames)| async move {
        let (wait, text) = frames.next()?;
        // By the sum of the waits: what each is cut by to whole milliseconds would add up.
        let passed = passed + wait;
        if !wait.is_zero() {
            pass(&clock, began.plus(passed)).await;
        }
        if text == "[DONE]" {
            running.complete = true;
        }
        Some((Bytes::from(format!("data: {text}\n\n")), (began, passed, clock, running, frames)))
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::model::tests::model;
    use super::*;
    use crate::env::discrete::DiscreteClock;

    /// Status and body of a recorded answer; `None` where there are no recordings.
    fn recorded(file: &str) -> Option<(u16, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = ["../shared", "../../shared"].map(|up| root.join(up).join("recordings/vllm/http"));
        let text = folders.iter().find_map(|folder| std::fs::read_to_string(folder.join(file)).ok())?;
        let (head, body) = text.split_once("\r\n\r\n").or_else(|| text.split_once("\n\n"))?;
        let status = head.lines().find_map(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())?;
        Some((status, body.trim().to_owned()))
    }

    /// The keys of a document, its values forgotten.
    fn shape(value: &Json) -> Json {
        match value {
            Json::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
            Json::Array(list) => list.first().map(shape).into_iter().collect(),
            Json::Null => Json::Null,
            _ => json!("value"),
        }
    }

    fn ask(method: Method, path: &str, body: &str) -> (u16, String) {
        let discrete = DiscreteClock::new(Timestamp(1_795_000_000_000));
        let runtime = discrete.runtime().expect("runtime");
        let clock: SharedClock = Arc::new(discrete);
        let model = Arc::new(model(&["vllm", "serve", "/mnt/models", "--max-model-len", "4096"]));
        let mut headers = HeaderMap::new();
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        let request = Request { method, path: path.to_owned(), headers, body: Bytes::copy_from_slice(body.as_bytes()) };
        runtime.block_on(async {
            let answer = answer(&model, &clock, request).await;
            let body = match answer.body {
                Body::Whole(bytes) => bytes.to_vec(),
                Body::Events(events) => futures_util::StreamExt::concat(events.map_to_vec()).await,
            };
            (answer.status, String::from_utf8(body).expect("text"))
        })
    }

    trait MapToVec {
        fn map_to_vec(self) -> Pin<Box<dyn Stream<Item = Vec<u8>> + Send>>;
    }

    impl MapToVec for Events {
        fn map_to_vec(self) -> Pin<Box<dyn Stream<Item = Vec<u8>> + Send>> {
            Box::pin(futures_util::StreamExt::map(self, |bytes| bytes.to_vec()))
        }
    }

    const CHAT: &str = r#""model":"/mnt/models","messages":[{"role":"system","content":"You are a helper."},{"role":"user","content":"Say hello."}]"#;

    #[test]
    fn refusals_are_worded_as_recorded() {
        let (chat, plain) = ("/v1/chat/completions", "/v1/completions");
        for (file, path, body) in [
            ("err_bad_json.txt", chat, r#"{"model": "/mnt/models", "messages": ["#),
            ("err_empty_body.txt", chat, ""),
            ("err_empty_messages.txt", chat, r#"{"model":"/mnt/models","messages":[],"max_tokens":1}"#),
            ("err_empty_prompt.txt", plain, r#"{"model":"/mnt/models","prompt":"","max_tokens":1}"#),
            ("err_max_tokens_negative.txt", plain, r#"{"model":"/mnt/models","prompt":"hi","max_tokens":-1}"#),
            ("err_max_tokens_too_large.txt", plain, r#"{"model":"/mnt/models","prompt":"hi","max_tokens":100000}"#),
            ("err_max_tokens_zero.txt", plain, r#"{"model":"/mnt/models","prompt":"hi","max_tokens":0}"#),
            ("err_missing_messages.txt", chat, r#"{"model":"/mnt/models"}"#),
            ("err_missing_prompt.txt", plain, r#"{"model":"/mnt/models"}"#),
            ("err_not_object.txt", chat, "[1,2]"),
            ("err_temperature.txt", plain, r#"{"model":"/mnt/models","prompt":"x","max_tokens":1,"temperature":-1}"#),
            ("err_wrong_type.txt", plain, r#"{"model":"/mnt/models","prompt":"x","max_tokens":"many"}"#),
            ("err_embeddings.txt", "/v1/embeddings", r#"{"model":"/mnt/models","input":"x"}"#),
        ] {
            let Some((status, expected)) = recorded(file) else {
                #[expect(clippy::print_stderr, reason = "a skipped test says so")]
                {
                    eprintln!("no recordings here; skipped");
                }
                return;
            };
            assert_eq!(ask(Method::POST, path, body), (status, expected), "{file}");
        }
    }

    #[test]
    fn answers_have_the_recorded_shape() {
        let chat = format!("{{{CHAT},\"max_tokens\":12}}");
        let parse = |text: &str| -> Json { serde_json::from_str(text).expect("JSON") };
        for (file, method, path, body) in [
            ("models.txt", Method::GET, "/v1/models", ""),
            ("chat.txt", Method::POST, "/v1/chat/completions", chat.as_str()),
            ("completion.txt", Method::POST, "/v1/completions", r#"{"prompt":"The quick brown fox","max_tokens":12}"#),
        ] {
            let Some((status, expected)) = recorded(file) else { return };
            let (got, answer) = ask(method, path, body);
            assert_eq!(got, status);
            // The order of the keys as well.
            assert_eq!(shape(&parse(&answer)).to_string(), shape(&parse(&expected)).to_string(), "{file}");
        }
        let stream =
            format!("{{{CHAT},\"max_tokens\":8,\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}");
        let plain = r#"{"prompt":"The quick brown fox","max_tokens":8,"stream":true}"#;
        for (file, path, body) in [
            ("chat_stream_usage.txt", "/v1/chat/completions", stream.as_str()),
            ("completion_stream.txt", "/v1/completions", plain),
        ] {
            let Some((_, expected)) = recorded(file) else { return };
            let (_, answer) = ask(Method::POST, path, body);
            let events = |text: &str| -> Vec<String> {
                let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
                data.map(|d| serde_json::from_str(d).map_or_else(|_| d.to_owned(), |json| shape(&json).to_string()))
                    .collect()
            };
            assert_eq!(events(&answer), events(&expected), "{file}");
        }
    }
}
