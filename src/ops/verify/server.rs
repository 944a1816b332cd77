//! Checks of a server of models, as its users see it.

use serde_json::{Value as Json, json};

use super::{Course, Fact};
use crate::measure::metrics::Names;
use crate::ops::serving::{Served, brief, models};
use crate::ops::sight::{list, text};
use crate::platform::models::{Endpoint, Question};
use crate::resource::error::{ErrorClass, ProviderError};

/// What is asked. Short, so that the first answer of a cold server comes soon.
const PROMPT: &str = "Say in one short sentence that you are ready.";
/// How many tokens.
const TOKENS: u64 = 16;
/// A certificate that ends sooner should have been renewed: cert-manager does so after two thirds of 90 days.
const SOON: u64 = 7;

/// Links from the address to a completion.
pub(super) const ANSWERED: [&str; 3] = ["/health", "/v1/models", "completion"];
/// What else a model that answers can say.
pub(super) const SPOKEN: [&str; 3] = ["chat", "stream", "embeddings"];

/// Whether the server is there and is who it should be.
pub(super) async fn reached(course: &mut Course<'_>, of: &str, endpoint: &Endpoint) -> bool {
    let platforms = course.platforms;
    if let Some(passage) = &endpoint.through {
        let way = async {
            drop(passage.open().await?);
            Ok(Fact::Is(format!("by port-forward to {passage}: the gateway has no public address")))
        };
        course.take(of, "way", way).await;
    }
    let trusted = course.take(of, "tls", async {
        let Some(shown) = platforms.models.certificate(endpoint).await? else {
            return Ok(Fact::Absent("the URL has no TLS: what is said can be read on the way".to_owned()));
        };
        let left = shown.ends.since(platforms.clock.now()).as_secs() / 86_400;
        let trust = if endpoint.ca_pem.is_some() { "the given CA" } else { "the system's CAs" };
        let fact = format!(
            "for {}, signed by {}, until {} ({left} days); trusted by {trust}",
            if shown.names.is_empty() { common(&shown.subject).to_owned() } else { shown.names.join(", ") },
            common(&shown.issuer),
            shown.ends
        );
        if left < SOON {
            return Err(ProviderError::new(ErrorClass::Invalid, format!("it ends in {left} days: {fact}"))
                .hint("see why it was not renewed"));
        }
        Ok(Fact::Is(fact))
    });
    if !trusted.await && !course.is_chain {
        course.pass_over(of, &["/health"], "tls");
        return false;
    }
    let healthy = async {
        let question = Question { patience: brief(), ..Question::get("/health") };
        let reply = platforms.models.ask(endpoint, &question).await?;
        reply.text()?;
        Ok(Fact::Is(format!("200 after {} ms", reply.elapsed.as_millis())))
    };
    course.take(of, "/health", healthy).await
}

/// The common name of a subject.
fn common(subject: &str) -> &str {
    let name = subject.split(',').map(str::trim).find_map(|part| part.strip_prefix("CN="));
    name.unwrap_or(if subject.is_empty() { "(nobody)" } else { subject })
}

/// Whether it serves the model, and the model answers.
pub(super) async fn answers_as(course: &mut Course<'_>, served: &Served) -> bool {
    let platforms = course.platforms;
    let lists = async {
        let listed = models(platforms, &served.endpoint).await?;
        let names = listed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        match listed.iter().find(|(name, _)| *name == served.model) {
            Some((name, Some(longest))) => Ok(Fact::Is(format!("{name}, contexts of {longest} tokens"))),
            Some((name, None)) => Ok(Fact::Is(name.clone())),
            None => Err(ProviderError::new(ErrorClass::Invalid, format!("{} is not listed: {names}", served.model))
                .hint("compare the workload's model name with what is served")),
        }
    };
    if !course.take(&served.of, "/v1/models", lists).await {
        if !course.is_chain {
            course.pass_over(&served.of, &["completion"], "/v1/models");
        }
        return false;
    }
    let completes = async {
        let told = served.complete(platforms, PROMPT, TOKENS).await?;
        let tokens = told.completion_tokens.unwrap_or(told.pieces);
        let (first, whole) = (told.first_token.as_secs_f64(), told.whole.as_secs_f64());
        let said = told.text.trim().chars().take(60).collect::<String>();
        Ok(Fact::Is(format!("first token after {first:.2} s, {tokens} tokens in {whole:.2} s: {said:?}")))
    };
    course.take(&served.of, "completion", completes).await
}

/// All of the way to a completion.
pub(super) async fn answers(course: &mut Course<'_>, served: &Served) -> bool {
    if reached(course, &served.of, &served.endpoint).await {
        return answers_as(course, served).await;
    }
    if course.is_chain {
        return answers_as(course, served).await;
    }
    course.pass_over(&served.of, &ANSWERED[1..], "/health");
    false
}

/// Chat, streams, embeddings.
pub(super) async fn speaks(course: &mut Course<'_>, served: &Served) {
    let platforms = course.platforms;
    let messages = json!([{"role": "user", "content": PROMPT}]);
    let chat = async {
        let body = json!({"model": served.model, "messages": messages, "max_tokens": TOKENS, "temperature": 0});
        let answer = platforms.models.ask(&served.endpoint, &Question::post("/v1/chat/completions", &body)).await?;
        let answer = answer.document(&served.model)?;
        let said = text(&answer, "/choices/0/message/content").trim().chars().take(60).collect::<String>();
        let role = text(&answer, "/choices/0/message/role");
        if role != "assistant" || said.is_empty() {
            return Err(ProviderError::new(ErrorClass::Invalid, "the answer has no message of the assistant")
                .hint("see whether the model has a chat template"));
        }
        Ok(Fact::Is(format!("{said:?}")))
    };
    course.take(&served.of, "chat", chat).await;
    let stream = async {
        let body = json!({"model": served.model, "messages": messages, "max_tokens": TOKENS, "temperature": 0,
            "stream": true, "stream_options": {"include_usage": true}});
        let told = platforms.models.listen(&served.endpoint, &Question::post("/v1/chat/completions", &body)).await?;
        if told.pieces < 2 {
            return Err(ProviderError::new(ErrorClass::Invalid, "the stream came in one piece")
                .hint("something on the way collects streams: users would wait for the whole answer"));
        }
        let usage = match told.completion_tokens {
            Some(tokens) => format!("{tokens} tokens by its usage"),
            None => "without usage".to_owned(),
        };
        let first = told.first_token.as_secs_f64();
        Ok(Fact::Is(format!("{} pieces, the first after {first:.2} s, {usage}", told.pieces)))
    };
    course.take(&served.of, "stream", stream).await;
    let embeddings = async {
        let body = json!({"model": served.model, "input": "ready"});
        let reply = platforms.models.ask(&served.endpoint, &Question::post("/v1/embeddings", &body)).await?;
        // A model that writes has none, and says so in one of these ways.
        if matches!(reply.status, 400 | 404 | 405 | 501) {
            return Ok(Fact::Absent(format!("the model has none ({})", reply.status)));
        }
        let answer = reply.document(&served.model)?;
        match list(&answer, "/data/0/embedding") {
            [] => Err(ProviderError::new(ErrorClass::Invalid, "the answer has no embedding")
                .hint("see whether the model is served for embeddings")),
            numbers if numbers.iter().all(Json::is_number) => Ok(Fact::Is(format!("{} dimensions", numbers.len()))),
            _ => Err(ProviderError::new(ErrorClass::Invalid, "the embedding has something else than numbers")),
        }
    };
    course.take(&served.of, "embeddings", embeddings).await;
}

/// What its servers count of their caches.
pub(super) async fn counts(course: &mut Course<'_>, served: &Served) {
    let platforms = course.platforms;
    let fact = |counters: crate::measure::metrics::Counters| -> Result<Fact, ProviderError> {
        if let Some(complaint) = counters.complaint() {
            return Err(ProviderError::new(ErrorClass::Invalid, complaint)
                .hint("serve the model with vLLM 0.9 or newer, and leave its statistics on"));
        }
        let caching = match counters.caching {
            Some(true) => "prefix cache on",
            Some(false) => "prefix cache off",
            None => "nothing said of whether the cache is on",
        };
        let block = counters.block.map(|block| format!(", blocks of {block} tokens")).unwrap_or_default();
        let old = if counters.names == Names::Old { ", by names of before vLLM 0.11" } else { "" };
        let (hits, queries) = (counters.hits, counters.queries);
        Ok(Fact::Is(format!("{caching}{block}; {hits:.0} of {queries:.0} prompt tokens from it{old}")))
    };
    if served.replicas.is_empty() {
        let read = async {
            match served.counters(platforms).await {
                Ok(counters) => fact(counters),
                // A gateway need not show them.
                Err(error) => Ok(Fact::Absent(error.message)),
            }
        };
        course.take(&served.of, "cache metrics", read).await;
        return;
    }
    for replica in &served.replicas {
        let name = format!("cache metrics of {}", replica.pod);
        let read = async {
            let counters = replica.counters(platforms).await.map_err(|error| match error.hint {
                Some(_) => error,
                None => {
                    error.hint("see the pod and its logs; reading it needs the right to pods/portforward or pods/proxy")
                }
            })?;
            fact(counters)
        };
        course.take(&served.of, &name, read).await;
    }
}
