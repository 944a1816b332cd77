//! Streams of completions: from bytes to server-sent events, from events to what was told, and when.
//!
//! Pure; reading and waiting are the client's.

use std::time::Duration;

use serde_json::Value as Json;

use crate::platform::models::{Told, refused};
use crate::resource::error::{ErrorClass, ProviderError};

/// Cuts bytes into events; the bytes may be cut anywhere.
#[derive(Default)]
pub(super) struct Frames {
    line: Vec<u8>,
    data: Option<String>,
}

impl Frames {
    /// Takes bytes; returns the data of the events that are complete now. Comments, which keep a connection alive, and
    /// fields other than `data` carry nothing.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut complete = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
            if line.is_empty() {
                complete.extend(self.data.take());
            } else if let Some(rest) = line.strip_prefix("data:") {
                let rest = rest.strip_prefix(' ').unwrap_or(rest);
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(rest);
                    }
                    none => *none = Some(rest.to_owned()),
                }
            }
        }
        complete
    }
}

/// What has been told so far.
pub(super) struct Story {
    told: Told,
    first: Option<Duration>,
    /// The first event with a choice, with text or without: the role of a chat's answer.
    opened: Option<Duration>,
    done: bool,
}

impl Story {
    /// Nothing yet; `model` is whom was asked.
    pub(super) fn new(model: &str) -> Self {
        Story { told: Told { model: model.to_owned(), ..Told::default() }, first: None, opened: None, done: false }
    }

    /// How far it is, for messages.
    pub(super) fn progress(&self) -> String {
        match self.told.pieces {
            0 => "before the first token".to_owned(),
            1 => "after the first token".to_owned(),
            pieces => format!("after {pieces} tokens"),
        }
    }

    /// Whether the last word was heard.
    pub(super) fn is_over(&self) -> bool {
        self.done
    }

    /// Hears an event, `now` after the request.
    ///
    /// # Errors
    /// A refusal in the middle of the stream, or an event that is none.
    pub(super) fn hear(&mut self, data: &str, now: Duration) -> Result<(), ProviderError> {
        if data.trim() == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let Ok(event) = serde_json::from_str::<Json>(data) else {
            let cut = data.chars().take(80).collect::<String>();
            let text = format!("an event of the stream is not JSON {}: {cut}", self.progress());
            return Err(ProviderError::new(ErrorClass::Unavailable, text)
                .hint("something else than a model server may answer under this URL"));
        };
        if let Some(error) = event.get("error") {
            let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
            let mut refusal = refused(status, data.as_bytes(), &self.told.model);
            refusal.message = format!("{}, {}", refusal.message, self.progress());
            return Err(refusal);
        }
        if let Some(model) = event["model"].as_str() {
            model.clone_into(&mut self.told.model);
        }
        // The last chunk but one has usage and no choices.
        for choice in event["choices"].as_array().into_iter().flatten() {
            self.opened.get_or_insert(now);
            let text = choice["text"].as_str().or_else(|| choice.pointer("/delta/content")?.as_str());
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                self.first.get_or_insert(now);
                self.told.pieces += 1;
                self.told.text.push_str(text);
            }
            if let Some(finish) = choice["finish_reason"].as_str() {
                self.told.finish = Some(finish.to_owned());
            }
        }
        let count = |pointer: &str| event.pointer(pointer).and_then(Json::as_u64);
        let told = &mut self.told;
        told.prompt_tokens = count("/usage/prompt_tokens").or(told.prompt_tokens);
        told.completion_tokens = count("/usage/completion_tokens").or(told.completion_tokens);
        told.cached_tokens = count("/usage/prompt_tokens_details/cached_tokens").or(told.cached_tokens);
        Ok(())
    }

    /// The end of the stream, `whole` after the request.
    ///
    /// # Errors
    /// When it ended too early, or told nothing.
    pub(super) fn told(self, whole: Duration) -> Result<Told, ProviderError> {
        let unavailable = |text: String| ProviderError::new(ErrorClass::Unavailable, text);
        if !self.done && self.told.finish.is_none() {
            return Err(unavailable(format!("the stream was cut {}", self.progress())).hint(
                "a replica may have ended, or something on the way limits how long an answer may take: see the pods",
            ));
        }
        let Some(first_token) = self.first.or(self.opened) else {
            return Err(unavailable("the stream has ended without a token".to_owned())
                .hint("something else than a model server may answer under this URL"));
        };
        Ok(Told { first_token, whole, ..self.told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = concat!(
        ": keep-alive\n\n",
        "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
        "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"H\u{e9}\"},\"finish_reason\":null}]}\r\n\r\n",
        ": keep-alive\n\n",
        "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"llo\"},\"finish_reason\":\"length\"}]}\n\n",
        "data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":25,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );

    fn hear(text: &str, cut: usize) -> Result<Told, ProviderError> {
        let (mut frames, mut story) = (Frames::default(), Story::new("asked"));
        for (at, bytes) in text.as_bytes().chunks(cut).enumerate() {
            for data in frames.push(bytes) {
                story.hear(&data, Duration::from_millis(at as u64))?;
            }
        }
        story.told(Duration::from_secs(9))
    }

    #[test]
    fn streams_may_be_cut_anywhere_on_the_wire() {
        for cut in [1, 2, 3, 7, 64, 10_000] {
            let told = hear(RECORDED, cut).expect("told");
            assert_eq!(told.text, "H\u{e9}llo", "{cut}");
            assert_eq!((told.prompt_tokens, told.completion_tokens, told.pieces), (Some(25), Some(2), 2));
            assert_eq!(told.finish.as_deref(), Some("length"));
        }
    }

    #[test]
    fn a_stream_that_ends_early_says_where() {
        let (whole, _) = RECORDED
            .split_once("data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"llo")
            .expect("it is there");
        let error = hear(whole, 5).expect_err("cut");
        assert_eq!(error.message, "the stream was cut after the first token");
        let error =
            hear("data: {\"error\":{\"message\":\"EngineCore died\",\"code\":500}}\n\n", 5).expect_err("failed");
        assert!(error.message.contains("EngineCore died") && error.message.contains("before the first"), "{error}");
        assert!(hear("data: [DONE]\n\n", 4).expect_err("nothing").message.contains("without a token"));
    }

    #[test]
    fn the_first_token_is_the_first_text() {
        // One byte a millisecond: the headers' and the role's time is not that of the first token.
        let told = hear(RECORDED, 1).expect("told");
        let role =
            RECORDED.find("\n\ndata: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"H").expect("there") as u64;
        assert!(told.first_token > Duration::from_millis(role + 20), "{:?}", told.first_token);
    }
}
