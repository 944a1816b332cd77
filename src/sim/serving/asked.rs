//! What a request to the OpenAI API asks for, and how vLLM words what is wrong with it.
//!
//! Wordings follow a recorded server. Everything is a 400 but an unknown model, which is a 404.

use serde_json::{Value as Json, json};

use super::model::Model;
use super::tokens::{self, Token};

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Json,
}

fn refusal(status: u16, kind: &str, message: &str, param: Json) -> Refusal {
    Refusal { status, body: json!({"error": {"message": message, "type": kind, "param": param, "code": status}}) }
}

/// A refusal by the parser: the request does not have the right form.
fn malformed(details: &str, param: Json) -> Refusal {
    refusal(400, "Bad Request", &format!("1 validation error:\n  {details}"), param)
}

/// A refusal by the server: the request has the right form and cannot be served.
fn unservable(message: &str, param: &str) -> Refusal {
    let param = if param.is_empty() { Json::Null } else { json!(param) };
    refusal(400, "BadRequestError", message, param)
}

/// Which of the two APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/completions`.
    Completions,
    /// `/v1/chat/completions`.
    Chat,
}

/// A request that can be served.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The name the model was called by.
    pub model: String,
    /// One prompt per answer, or several answers to one.
    pub prompts: Vec<Vec<Token>>,
    /// Answers per prompt.
    pub n: u64,
    /// Most tokens to write.
    pub max_tokens: u64,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// Whether to answer piece by piece.
    pub stream: bool,
    /// Whether the last event carries the usage.
    pub include_usage: bool,
    /// Whether every event does.
    pub continuous_usage: bool,
    /// Keeps cached prefixes of strangers apart.
    pub salt: String,
}

fn kind_of(value: &Json) -> String {
    match value {
        Json::Object(map) => format!("<dict of {} items>", map.len()),
        Json::Array(list) => format!("<list of {} items>", list.len()),
        Json::String(text) => text.clone(),
        Json::Null => "None".to_owned(),
        Json::Bool(true) => "True".to_owned(),
        Json::Bool(false) => "False".to_owned(),
        Json::Number(number) => number.to_string(),
    }
}

fn integer(body: &Json, field: &str) -> Result<Option<i64>, Refusal> {
    let at = format!("body.{field}");
    match body.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Number(number)) if number.as_i64().is_some() => Ok(number.as_i64()),
        Some(Json::String(text)) => text.parse().map(Some).map_err(|_| {
            let details = format!(
                "{{'type': 'int_parsing', 'loc': '{at}', 'msg': 'Input should be a valid integer, unable to parse string \
                 as an integer', 'input': '{text}'}}"
            );
            malformed(&details, json!(at))
        }),
        Some(other) => {
            let details = format!(
                "{{'type': 'int_type', 'loc': '{at}', 'msg': 'Input should be a valid integer', 'input': '{}'}}",
                kind_of(other)
            );
            Err(malformed(&details, json!(at)))
        }
    }
}

fn switch(body: &Json, field: &str) -> bool {
    body.get(field).and_then(Json::as_bool).unwrap_or(false)
}

/// Reads the text of a chat message: a text, or parts of type `text`.
fn content(message: &Json) -> String {
    match &message["content"] {
        Json::String(text) => text.clone(),
        Json::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// Reads a body that should be JSON.
///
/// # Errors
/// How the server refuses it.
pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Json, Refusal> {
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(malformed("Unsupported Media Type: Only 'application/json' is allowed", Json::Null));
    }
    if body.is_empty() {
        let details = "{'type': 'missing', 'loc': 'body', 'msg': 'Field required', 'input': 'None'}";
        return Err(malformed(details, json!("body")));
    }
    let parsed: Json = serde_json::from_slice(body).map_err(|error| {
        let before: usize =
            body.split(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(|line| line.len() + 1).sum();
        let at = (before + error.column()).min(body.len());
        let details = format!(
            "{{'type': 'json_invalid', 'loc': 'body.{at}', 'msg': 'JSON decode error', 'input': '<dict of 0 items>', \
             'ctx': {{'error': 'Expecting value'}}}}"
        );
        malformed(&details, json!(format!("body.{at}")))
    })?;
    if !parsed.is_object() {
        let details = format!(
            "{{'type': 'model_attributes_type', 'loc': 'body', 'msg': 'Input should be a valid dictionary or object to \
             extract fields from', 'input': '{}'}}",
            kind_of(&parsed)
        );
        return Err(malformed(&details, json!("body")));
    }
    Ok(parsed)
}

/// Understands a request.
///
/// # Errors
/// How the server refuses it.
pub fn understand(model: &Model, api: Api, body: &Json) -> Result<Asked, Refusal> {
    if api == Api::Chat && body.get("messages").is_none() {
        let details = format!(
            "{{'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required', 'input': '{}'}}",
            kind_of(body)
        );
        return Err(malformed(&details, json!("body.messages")));
    }
    let named = if api == Api::Chat { integer(body, "max_completion_tokens")? } else { None };
    let max_tokens = named.or(integer(body, "max_tokens")?);
    let n = integer(body, "n")?.unwrap_or(1);
    let stream = switch(body, "stream");
    if body.get("stream_options").is_some_and(|o| !o.is_null()) && !stream {
        let message = "Stream options can only be defined when `stream=True`. (parameter=stream_options)";
        return Err(unservable(message, "stream_options"));
    }
    if api == Api::Completions && body.get("prompt").is_none_or(|p| p.is_null() || *p == "" || *p == json!([])) {
        let message = "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)";
        return Err(unservable(message, "prompt"));
    }
    let served = &model.build.arguments.served_names;
    let name = match body.get("model").and_then(Json::as_str) {
        None | Some("") => served[0].clone(),
        Some(name) if served.iter().any(|s| s == name) => name.to_owned(),
        Some(name) => {
            let message = format!("The model `{name}` does not exist. Valid aliases: {}", served.join(", "));
            return Err(refusal(404, "NotFoundError", &message, json!("model")));
        }
    };
    if let Some(temperature) = body.get("temperature").and_then(Json::as_f64)
        && temperature < 0.0
    {
        let message = format!(
            "temperature must be non-negative, got {temperature:?}. (parameter=temperature, value={temperature:?})"
        );
        return Err(unservable(&message, "temperature"));
    }
    let limit = model.build.max_model_len;
    if let Some(given) = max_tokens {
        if given < 1 {
            let message = format!("max_tokens must be at least 1, got {given}. (parameter=max_tokens, value={given})");
            return Err(unservable(&message, "max_tokens"));
        }
        if given.unsigned_abs() > limit {
            let message = format!(
                "max_tokens={given} cannot be greater than max_model_len={limit}. Please request fewer output tokens. \
                 (parameter=max_tokens, value={given})"
            );
            return Err(unservable(&message, "max_tokens"));
        }
    }
    let prompts = match api {
        Api::Chat => vec![chat_prompt(body)?],
        Api::Completions => completion_prompts(&body["prompt"], limit)?,
    };
    for prompt in &prompts {
        let length = prompt.len() as u64;
        if length >= limit {
            // The tokenizer stops one past the limit; it does not count the rest.
            let seen = limit + 1;
            let message = format!(
                "This model's maximum context length is {limit} tokens. However, your prompt contains at least {seen} input \
                 tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input \
                 prompt. (parameter=input_tokens, value={seen})"
            );
            return Err(unservable(&message, "input_tokens"));
        }
        if let Some(given) = max_tokens
            && length + given.unsigned_abs() > limit
        {
            let message = format!(
                "This model's maximum context length is {limit} tokens. However, you requested {given} output tokens and \
                 your prompt contains {length} input tokens, for a total of {} tokens. Please reduce the length of the \
                 input prompt or the number of requested output tokens. (parameter=input_tokens, value={length})",
                length + given.unsigned_abs()
            );
            return Err(unservable(&message, "input_tokens"));
        }
    }
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0) as u64;
    // Completions write 16 tokens unless told otherwise; a chat may fill the context.
    let default = if api == Api::Completions { 16.min(limit - longest) } else { limit - longest };
    let stop = match &body["stop"] {
        Json::String(one) => vec![one.clone()],
        Json::Array(many) => many.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let options = &body["stream_options"];
    Ok(Asked {
        model: name,
        prompts,
        n: n.clamp(1, 128).unsigned_abs(),
        max_tokens: max_tokens.map_or(default, i64::unsigned_abs),
        stop,
        stream,
        include_usage: switch(options, "include_usage"),
        continuous_usage: switch(options, "include_usage") && switch(options, "continuous_usage_stats"),
        salt: body.get("cache_salt").and_then(Json::as_str).unwrap_or_default().to_owned(),
    })
}

fn chat_prompt(body: &Json) -> Result<Vec<Token>, Refusal> {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    if messages.is_empty() {
        return Err(unservable(
            "Cannot apply chat template to an empty conversation. Provide at least one message.",
            "",
        ));
    }
    let mut conversation = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if !matches!(role, "system" | "user" | "assistant" | "tool" | "developer" | "function") {
            let at = format!("body.messages.{index}.role");
            let details = format!(
                "{{'type': 'literal_error', 'loc': '{at}', 'msg': \"Input should be 'developer', 'system', 'user', \
                 'assistant', 'tool' or 'function'\", 'input': '{}'}}",
                kind_of(&message["role"])
            );
            return Err(malformed(&details, json!(at)));
        }
        conversation.push((role.to_owned(), content(message)));
    }
    Ok(tokens::conversation(&conversation))
}

fn completion_prompts(prompt: &Json, limit: u64) -> Result<Vec<Vec<Token>>, Refusal> {
    // 79 characters a token at most is what the recorded server reckons with before it reads the text at all.
    let most = limit * 79;
    let encode = |text: &str| {
        let length = text.chars().count() as u64;
        if length > most {
            let message = format!(
                "This model's maximum context length is {limit} tokens. However, your prompt contains {length} characters \
                 (more than {most} characters, which is the upper bound for {limit} input tokens). Please reduce the length \
                 of the input prompt. (parameter=input_text, value={length})"
            );
            return Err(unservable(&message, "input_text"));
        }
        Ok(tokens::tokens(text))
    };
    let numbers = |list: &[Json]| -> Vec<Token> {
        list.iter().filter_map(|n| n.as_u64().and_then(|n| Token::try_from(n).ok())).collect()
    };
    match prompt {
        Json::String(text) => Ok(vec![encode(text)?]),
        Json::Array(list) if list.iter().all(Json::is_number) => Ok(vec![numbers(list)]),
        Json::Array(list) => list
            .iter()
            .map(|entry| match entry {
                Json::Array(list) => Ok(numbers(list)),
                other => encode(other.as_str().unwrap_or_default()),
            })
            .collect(),
        _ => Ok(vec![Vec::new()]),
    }
}
