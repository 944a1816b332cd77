//! `bench`: measuring what a served model does: what its prefix cache buys, and whether prefixes stay on a replica.
//!
//! Requests, their order and their limits; what the figures mean is `measure`'s.

pub mod cache;
mod prompts;
pub mod routing;

use std::time::Duration;

use crate::env::clock::Timestamp;
use crate::measure::cache::{Sample, Server};
use crate::measure::metrics::Counters;
use crate::measure::report::Scene;
use crate::ops::platforms::Platforms;
use crate::ops::serving::Served;
use crate::resource::error::ProviderError;

/// How much may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests to the model.
    pub requests: usize,
    /// Time for everything.
    pub time: Duration,
}

/// How far a benchmark is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being measured.
    pub what: String,
    /// Requests that were answered.
    pub done: usize,
    /// Requests in all, as far as is known.
    pub of: usize,
}

/// Who hears of each step.
pub type Tell<'a> = &'a (dyn Fn(&Step) + Send + Sync);

/// A benchmark under way.
pub struct Bench<'a> {
    platforms: &'a Platforms,
    served: &'a Served,
    limits: Limits,
    tell: Tell<'a>,
    seed: u64,
    began: Duration,
    began_at: Timestamp,
    asked: usize,
    of: usize,
    /// Why it ends before everything was measured.
    cut: Option<String>,
}

impl<'a> Bench<'a> {
    /// Nothing asked yet.
    pub fn new(platforms: &'a Platforms, served: &'a Served, limits: Limits, seed: u64, tell: Tell<'a>) -> Self {
        let (began, began_at) = (platforms.clock.reading(), platforms.clock.now());
        Bench { platforms, served, limits, tell, seed, began, began_at, asked: 0, of: 0, cut: None }
    }

    fn elapsed(&self) -> Duration {
        self.platforms.clock.reading().saturating_sub(self.began)
    }

    /// Whether so many more requests are within the limits; if not, that is why it ends.
    fn affords(&mut self, requests: usize) -> bool {
        if self.cut.is_some() {
            return false;
        }
        if self.asked + requests > self.limits.requests {
            self.cut = Some(format!("--requests {} allows no more", self.limits.requests));
        } else if self.elapsed() >= self.limits.time {
            self.cut = Some(format!("--max-seconds {} are over", self.limits.time.as_secs()));
        }
        self.cut.is_none()
    }

    fn say(&self, what: &str) {
        (self.tell)(&Step { what: what.to_owned(), done: self.asked, of: self.of.max(self.asked) });
    }

    async fn ask(&mut self, prompt: &str, tokens: u64, estimate: u64) -> Result<Sample, ProviderError> {
        let sample = ask(self.platforms, self.served, prompt, tokens, estimate).await;
        self.asked += 1;
        sample
    }

    /// What the servers count, or why nothing can be counted.
    async fn counters(&self) -> Result<Counters, String> {
        let counters = self.served.counters(self.platforms).await.map_err(|error| error.message)?;
        match counters.complaint() {
            None => Ok(counters),
            Some(complaint) => Err(complaint.to_owned()),
        }
    }

    /// What is known of the server before anything is asked.
    async fn server(&self) -> Server {
        match self.counters().await {
            Ok(counters) => Server { caching: counters.caching, block: counters.block, uncounted: None },
            Err(why) => Server { caching: None, block: None, uncounted: Some(why) },
        }
    }

    fn scene(&self, per_hour: Option<f64>, simulated: bool) -> Scene {
        Scene {
            url: self.served.endpoint.url.clone(),
            model: self.served.model.clone(),
            replicas: self.served.replicas.iter().map(|replica| replica.pod.clone()).collect(),
            began: self.began_at.rfc3339(),
            seconds: self.elapsed().as_secs_f64(),
            seed: self.seed,
            dollars_per_hour: per_hour,
            simulated,
            cut_short: self.cut.clone(),
        }
    }
}

/// One streamed request. `estimate` is how many tokens its prompt has, should the server not say.
async fn ask(
    platforms: &Platforms,
    served: &Served,
    prompt: &str,
    tokens: u64,
    estimate: u64,
) -> Result<Sample, ProviderError> {
    let told = served.complete(platforms, prompt, tokens).await?;
    Ok(Sample {
        first_token: told.first_token.as_secs_f64(),
        whole: told.whole.as_secs_f64(),
        prompt_tokens: told.prompt_tokens.unwrap_or(estimate),
        completion_tokens: told.completion_tokens.unwrap_or(told.pieces),
        cached_tokens: told.cached_tokens,
    })
}
