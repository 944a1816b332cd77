//! Prompts of a wanted number of tokens, that no server has seen before.
//!
//! What makes a prefix new stands at its very beginning: anywhere later, the blocks before it would come from the cache.

use serde_json::{Value as Json, json};

use crate::measure::stats::Chance;
use crate::ops::platforms::Platforms;
use crate::ops::serving::{Served, brief};
use crate::platform::models::Question;
use crate::resource::error::ProviderError;

const WORDS: [&str; 24] = [
    "river", "stone", "light", "garden", "window", "paper", "winter", "bridge", "silver", "market", "forest", "letter",
    "copper", "island", "candle", "harbor", "meadow", "thread", "violin", "basket", "engine", "planet", "mirror",
    "saddle",
];
/// Words in the text that is measured.
const SAMPLE: usize = 400;

/// Makes prompts for one server.
pub(super) struct Prompts {
    chance: Chance,
    words_per_token: f64,
    /// Tokens that a template or a beginning adds to any prompt.
    base: f64,
}

impl Prompts {
    /// Measures how many tokens the server makes of words: by `/tokenize`, or by what an answer's usage says.
    ///
    /// # Errors
    /// When the server does neither.
    pub(super) async fn measure(platforms: &Platforms, served: &Served, seed: u64) -> Result<Self, ProviderError> {
        let mut prompts = Prompts { chance: Chance::new(seed), words_per_token: 1.0, base: 0.0 };
        let (short, long) = (prompts.text(SAMPLE / 4), prompts.text(SAMPLE));
        let (short, long) = (count(platforms, served, &short).await?, count(platforms, served, &long).await?);
        if let (Some(short), Some(long)) = (short, long)
            && long > short
        {
            prompts.words_per_token = float(SAMPLE - SAMPLE / 4) / as_float(long - short);
            prompts.base = (as_float(short) - float(SAMPLE / 4) / prompts.words_per_token).max(0.0);
        }
        Ok(prompts)
    }

    fn text(&mut self, words: usize) -> String {
        let words = (0..words).map(|_| WORDS[self.chance.below(WORDS.len())]);
        words.collect::<Vec<_>>().join(" ")
    }

    /// A prefix of about so many tokens, new from its first word on.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of words")]
    pub(super) fn prefix(&mut self, tokens: u64) -> String {
        let words = ((as_float(tokens) - self.base) * self.words_per_token).round().max(4.0) as usize;
        // Four random words in front: one of 331,776, and of as many again with the next four.
        let mut text = self.text(words);
        text.push_str(". ");
        text
    }

    /// What follows a prefix: another each time, of a few tokens.
    pub(super) fn question(number: usize) -> String {
        format!(
            "Say {} about {}.",
            ["one word", "a line", "a fact", "a name"][number % 4],
            WORDS[number / 4 % WORDS.len()]
        )
    }

    /// How many tokens a text has, roughly.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of tokens")]
    pub(super) fn estimate(&self, text: &str) -> u64 {
        (self.base + float(text.split_whitespace().count()) / self.words_per_token).round() as u64
    }
}

/// How many tokens the server makes of a text; `None` where neither `/tokenize` nor an answer says.
pub(super) async fn count(platforms: &Platforms, served: &Served, text: &str) -> Result<Option<u64>, ProviderError> {
    let body = json!({"model": served.model, "prompt": text});
    let question = Question { patience: brief(), ..Question::post("/tokenize", &body) };
    if let Ok(reply) = platforms.models.ask(&served.endpoint, &question).await
        && let Some(count) = serde_json::from_slice::<Json>(&reply.body).ok().and_then(|said| said["count"].as_u64())
    {
        return Ok(Some(count));
    }
    served.complete(platforms, text, 1).await.map(|told| told.prompt_tokens)
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand words")]
fn float(n: usize) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^52")]
fn as_float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_differ_from_the_beginning_and_repeat_with_their_seed() {
        let prompts = |seed| Prompts { chance: Chance::new(seed), words_per_token: 0.8, base: 2.0 };
        let mut one = prompts(1);
        let all = (0..200).map(|_| one.prefix(256)).collect::<Vec<_>>();
        let beginnings = all.iter().map(|text| text.split(' ').take(4).collect::<Vec<_>>());
        assert_eq!(beginnings.collect::<std::collections::BTreeSet<_>>().len(), 200);
        assert_eq!(all[0], prompts(1).prefix(256));
        assert_ne!(all[0], prompts(2).prefix(256));
        assert!(prompts(1).estimate(&all[0]).abs_diff(256) <= 2);
        assert_ne!(Prompts::question(1), Prompts::question(2));
    }
}
