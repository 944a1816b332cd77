//! The proof that a stack works: a completion of its model through its own gateway.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::retry::is_retryable;
use crate::event::{Event, Sink};
use crate::ops::passage::to_gateway;
use crate::ops::platforms::Platforms;
use crate::plan::model::PlannedProof;
use crate::platform::passage::Passage;
use crate::platform::{Completion, CompletionRequest, Concealed};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::{Scope, Value};

/// What is asked. Short, so that the first answer of a cold server comes soon.
const PROMPT: &str = "Say in one short sentence that you are ready.";

/// Between two tries; a route that was just accepted takes seconds to reach the gateway's proxies.
const PAUSE: Duration = Duration::from_secs(2);

/// Asks until the model answers, is refused for good, or the proof's time is up.
///
/// # Errors
/// The last answer.
pub async fn prove(
    platforms: &Platforms,
    proof: &PlannedProof,
    scope: &dyn Scope,
    sink: &Arc<dyn Sink>,
) -> Result<Completion, ProviderError> {
    let text = |value: &Value| -> Result<String, ProviderError> {
        let unresolved = |what: String| ProviderError::new(ErrorClass::Unknown, what);
        let resolved = value.resolve(scope).map_err(|error| unresolved(error.to_string()))?;
        resolved.scalar_text().ok_or_else(|| unresolved(format!("{} is not text", proof.component)))
    };
    let mut request = CompletionRequest {
        url: text(&proof.url)?,
        model: proof.model.clone(),
        ca_pem: proof.ca.as_ref().map(&text).transpose()?,
        server_name: proof.server_name.clone(),
        api_key: proof.api_key.as_ref().map(&text).transpose()?.map(Concealed),
        through: None,
        prompt: PROMPT.to_owned(),
    };
    let begun = platforms.clock.now();
    let mut said = None;
    let proving = |request: &CompletionRequest, waiting_for: Option<String>| Event::Proving {
        component: proof.component.clone(),
        url: request.url.clone(),
        through: request.through.as_ref().map(Passage::to_string),
        waiting_for,
    };
    let mut begins = true;
    loop {
        // Each time: a gateway's pods come and go.
        let way = to_gateway(platforms, proof, &request.url, scope).await;
        let way = way.map(|way| request.through = way);
        if std::mem::take(&mut begins) {
            sink.emit(proving(&request, None));
        }
        let answer = match way {
            Ok(()) => platforms.prover.complete(&request).await,
            Err(error) => Err(error),
        };
        let error = match answer {
            Ok(completion) => {
                sink.emit(Event::Proved {
                    component: proof.component.clone(),
                    url: request.url.clone(),
                    model: completion.model.clone(),
                    text: completion.text.clone(),
                    tokens: completion.completion_tokens,
                    elapsed: Duration::from_millis(completion.millis),
                    first_token: completion.first_token_millis.map(Duration::from_millis),
                });
                return Ok(completion);
            }
            Err(error) => error,
        };
        let elapsed = platforms.clock.now().since(begun);
        if !is_retryable(error.class) || elapsed.as_secs() > proof.timeout_seconds {
            return Err(error);
        }
        if said.as_ref() != Some(&error.message) {
            sink.emit(proving(&request, Some(error.message.clone())));
            said = Some(error.message.clone());
        }
        platforms.clock.sleep(error.retry_after.map_or(PAUSE, |asked| asked.max(PAUSE))).await;
    }
}
