//! The report of a benchmark: what was measured, where, and what it costs. Data; the views show it.

use serde::Serialize;

use super::cache::{Finding, Server, Verdict};
use super::routing;

/// Tokens through a number of requests at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Throughput {
    /// Requests at a time.
    pub parallel: usize,
    /// Whether all requests share a prefix that the cache knows; else each has its own.
    pub warm: bool,
    /// Requests that were answered.
    pub requests: usize,
    /// Requests that were not.
    pub failed: usize,
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// US dollars for a million tokens of answers, at this pace, where the price of the stack is known.
    pub dollars_per_million_written: Option<f64>,
    /// US dollars for a million tokens of prompts and answers together.
    pub dollars_per_million_in_all: Option<f64>,
}

impl Throughput {
    /// Tokens of answers a second.
    pub fn written_per_second(&self) -> f64 {
        pace(self.completion_tokens, self.seconds)
    }

    /// Tokens of prompts and answers a second.
    pub fn tokens_per_second(&self) -> f64 {
        pace(self.prompt_tokens + self.completion_tokens, self.seconds)
    }

    /// With what the tokens cost where an hour costs so much.
    #[must_use]
    pub fn priced(mut self, per_hour: Option<f64>) -> Self {
        let million = |pace: f64| per_hour.filter(|_| pace > 0.0).map(|dollars| dollars / (pace * 3600.0) * 1e6);
        self.dollars_per_million_written = million(self.written_per_second());
        self.dollars_per_million_in_all = million(self.tokens_per_second());
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^52")]
fn pace(tokens: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
}

/// Where a benchmark ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scene {
    /// Base URL.
    pub url: String,
    /// The model.
    pub model: String,
    /// Replicas whose metrics were read; empty where they were read through the URL.
    pub replicas: Vec<String>,
    /// When it began.
    pub began: String,
    /// Seconds that it took.
    pub seconds: f64,
    /// The seed of its prompts and its resampling.
    pub seed: u64,
    /// What an hour of the stack costs, US dollars, where that is known.
    pub dollars_per_hour: Option<f64>,
    /// Whether time and servers were simulated.
    pub simulated: bool,
    /// Why it ended before everything was measured.
    pub cut_short: Option<String>,
}

/// What `bench cache` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CacheReport {
    /// Where.
    pub scene: Scene,
    /// What is known of the server.
    pub server: Server,
    /// By prefix length and length of answers.
    pub findings: Vec<Finding>,
    /// One at a time and several.
    pub throughput: Vec<Throughput>,
    /// What all of it shows.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What `bench routing` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoutingReport {
    /// Where.
    pub scene: Scene,
    /// What it shows.
    #[serde(flatten)]
    pub finding: routing::Finding,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_and_a_price_make_a_price_of_tokens() {
        let measured =
            Throughput { seconds: 10.0, prompt_tokens: 9000, completion_tokens: 1000, ..Throughput::default() };
        let priced = measured.priced(Some(0.72));
        // 100 tokens a second are 360,000 an hour.
        assert!((priced.dollars_per_million_written.expect("priced") - 2.0).abs() < 1e-9);
        assert!((priced.dollars_per_million_in_all.expect("priced") - 0.2).abs() < 1e-9);
        assert_eq!(measured.priced(None).dollars_per_million_written, None);
        assert_eq!(Throughput::default().priced(Some(1.0)).dollars_per_million_written, None);
    }
}
