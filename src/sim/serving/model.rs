//! One running model server: its cache, its counters, how long it takes, what it writes.
//!
//! Knows nothing of HTTP. Times are simulated; speeds are estimates for models of three billion parameters on
//! one T4 and on four v6e chips, scaled by size.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::arguments::Arguments;
use super::cache::PrefixCache;
use super::tokens::{Token, Writer, digest, tokens};
use crate::env::clock::Timestamp;

/// How fast a server is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Prompt tokens read per second.
    pub prefill_per_second: f64,
    /// Time for one token written.
    pub per_token: Duration,
    /// Time for a request before any token is read.
    pub overhead: Duration,
    /// By what share times vary from request to request: the standard deviation of their logarithm.
    pub noise: f64,
}

/// What a server runs on and serves.
#[derive(Clone, Debug)]
pub struct Build {
    /// Its command line.
    pub arguments: Arguments,
    /// Longest context in tokens.
    pub max_model_len: u64,
    /// Tokens in a block of the cache.
    pub block_size: u64,
    /// Blocks that fit into memory.
    pub blocks: u64,
    /// How fast it is.
    pub speed: Speed,
    /// Of vLLM: `0.11.2`.
    pub version: String,
    /// Since when it serves.
    pub started: Timestamp,
    /// Whether `VLLM_SERVER_DEV_MODE` opens what is for developers.
    pub development: bool,
}

/// What has been counted since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Prompt tokens looked up in the cache.
    pub queries: u64,
    /// Of these, found.
    pub hits: u64,
    /// Prompt tokens in all.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub generation_tokens: u64,
    /// Requests that ended with a full stop, and by length.
    pub stopped: u64,
    /// Requests that ended because they reached their limit.
    pub length: u64,
    /// Running now.
    pub running: u64,
    /// Times to the first token, seconds: sum and buckets are made from these.
    pub first_token: Vec<f64>,
    /// Times from arrival to the end, seconds.
    pub whole: Vec<f64>,
    /// HTTP requests by handler, method and class of status.
    pub http: std::collections::BTreeMap<(String, String, String), u64>,
}

/// What shall be written.
#[derive(Clone, Debug)]
pub struct Job {
    /// The prompt.
    pub prompt: Vec<Token>,
    /// Keeps cached prefixes of strangers apart.
    pub salt: String,
    /// Most tokens to write.
    pub max_tokens: u64,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Which of several answers to one prompt.
    pub choice: u64,
}

/// What will be written, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The pieces, one token each.
    pub pieces: Vec<String>,
    /// `stop` or `length`.
    pub finish: &'static str,
    /// From arrival to the first token.
    pub first: Duration,
    /// From one token to the next.
    pub each: Duration,
    /// Prompt tokens that came from the cache.
    pub cached: u64,
}

impl Plan {
    /// From arrival to the last token.
    pub fn whole(&self) -> Duration {
        let more = u32::try_from(self.pieces.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.first + self.each * more
    }
}

/// A running server.
pub struct Model {
    /// What it is.
    pub build: Build,
    inner: Mutex<Inner>,
}

struct Inner {
    cache: PrefixCache,
    counters: Counters,
    /// When the prompts before have been read.
    free: Timestamp,
    served: u64,
    /// Where the next variation comes from.
    chance: u64,
}

impl Inner {
    /// A factor around one: what scheduling, clocks and neighbours do to a time.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn vary(&mut self, noise: f64) -> f64 {
        if noise <= 0.0 {
            return 1.0;
        }
        // The sum of twelve uniform numbers is nearly normal.
        let mut sum = -6.0;
        for _ in 0..12 {
            self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.chance;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            sum += ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        }
        (noise * sum).exp()
    }
}

impl Model {
    /// A server that has just started.
    pub fn new(build: Build) -> Self {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let cache = PrefixCache::new(size(build.block_size), size(build.blocks));
        let chance = build.started.0;
        let inner = Inner { cache, counters: Counters::default(), free: Timestamp::default(), served: 0, chance };
        Model { build, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tokens of a prompt are cached.
    pub fn known(&self, salt: &str, prompt: &[Token]) -> usize {
        self.lock().cache.known(salt, prompt)
    }

    /// Takes a request in at `now`: counts it, looks it up, plans its answer. [`Model::finished`] ends it.
    pub fn begin(&self, now: Timestamp, job: &Job) -> Plan {
        let caching = self.build.arguments.prefix_caching;
        let mut inner = self.lock();
        let cached = if caching { inner.cache.known(&job.salt, &job.prompt) } else { 0 };
        let (cached, length) = (cached as u64, job.prompt.len() as u64);
        if caching {
            inner.counters.queries += length;
            inner.counters.hits += cached;
        }
        inner.counters.prompt_tokens += length;
        inner.counters.running += 1;
        let speed = self.build.speed;
        #[expect(clippy::cast_precision_loss, reason = "prompts are far below 2^52 tokens")]
        let reading = Duration::from_secs_f64((length - cached) as f64 / speed.prefill_per_second);
        let reading = reading.mul_f64(inner.vary(speed.noise));
        let overhead = speed.overhead.mul_f64(inner.vary(speed.noise));
        let begins = inner.free.max(now);
        let read = begins.plus(reading);
        inner.free = read;
        let crowd = u32::try_from(inner.counters.running.saturating_sub(1)).unwrap_or(0);
        let each = (speed.per_token + speed.per_token * crowd / 30).mul_f64(inner.vary(speed.noise));
        let mut writer = Writer::new(digest(&job.choice.to_string(), &job.prompt));
        let (mut pieces, mut finish, mut text) = (Vec::new(), "length", String::new());
        while (pieces.len() as u64) < job.max_tokens {
            let Some(piece) = writer.next_piece() else {
                finish = "stop";
                break;
            };
            text.push_str(&piece);
            if let Some(at) = job.stop.iter().filter(|s| !s.is_empty()).filter_map(|s| text.find(s.as_str())).min() {
                // The text up to the stop word still belongs to the answer.
                let before = text.len() - piece.len();
                if at > before {
                    pieces.push(text[before..at].to_owned());
                }
                finish = "stop";
                break;
            }
            pieces.push(piece);
        }
        let mut remembered = job.prompt.clone();
        remembered.extend(pieces.iter().flat_map(|piece| tokens(piece)));
        if caching {
            inner.cache.remember(&job.salt, &remembered);
        }
        Plan { pieces, finish, first: read.since(now) + overhead + each, each, cached }
    }

    /// A request has been answered, or its client has left.
    pub fn finished(&self, plan: &Plan, complete: bool) {
        let mut inner = self.lock();
        let counters = &mut inner.counters;
        counters.running = counters.running.saturating_sub(1);
        counters.generation_tokens += plan.pieces.len() as u64;
        if complete {
            *(if plan.finish == "stop" { &mut counters.stopped } else { &mut counters.length }) += 1;
            counters.first_token.push(plan.first.as_secs_f64());
            counters.whole.push(plan.whole().as_secs_f64());
        }
    }

    /// Forgets all cached prefixes.
    pub fn forget(&self) {
        self.lock().cache.reset();
    }

    /// Counts an HTTP answer.
    pub fn answered(&self, handler: &str, method: &str, status: u16) {
        let class = format!("{}xx", status / 100);
        *self.lock().counters.http.entry((handler.to_owned(), method.to_owned(), class)).or_default() += 1;
    }

    /// The counters as they are, and the share of the cache in use.
    pub fn counters(&self) -> (Counters, f64) {
        let inner = self.lock();
        (inner.counters.clone(), inner.cache.usage())
    }

    /// A name for the next answer: the same sequence every time.
    pub fn next_id(&self) -> String {
        let mut inner = self.lock();
        inner.served += 1;
        let seed = [self.build.started.0.to_be_bytes(), inner.served.to_be_bytes()].concat();
        let words: Vec<Token> = seed.iter().map(|b| Token::from(*b)).collect();
        format!("{:016x}", digest("id", &words))
    }
}

#[cfg(test)]
#[expect(missing_docs, reason = "tests")]
pub mod tests {
    use super::*;

    /// A server as the stacks start it, for tests.
    pub fn model(words: &[&str]) -> Model {
        let arguments = Arguments::parse(words, "").expect("arguments");
        Model::new(Build {
            max_model_len: arguments.max_model_len.unwrap_or(4096),
            arguments,
            block_size: 16,
            blocks: 2000,
            speed: Speed {
                prefill_per_second: 2500.0,
                per_token: Duration::from_millis(28),
                overhead: Duration::from_millis(8),
                noise: 0.0,
            },
            version: "0.11.2".to_owned(),
            started: Timestamp(1_795_000_000_000),
            development: false,
        })
    }

    #[test]
    fn a_warm_prefix_saves_time_and_counts() {
        let model = model(&["vllm", "serve", "/mnt/models"]);
        let prompt: Vec<Token> = (0..1024).collect();
        let job = Job { prompt, salt: String::new(), max_tokens: 16, stop: Vec::new(), choice: 0 };
        let cold = model.begin(Timestamp(0), &job);
        model.finished(&cold, true);
        let warm = model.begin(Timestamp(60_000), &job);
        model.finished(&warm, true);
        assert_eq!((cold.cached, warm.cached), (0, 1008));
        assert_eq!(cold.pieces, warm.pieces);
        let saved = 1.0 - warm.first.as_secs_f64() / cold.first.as_secs_f64();
        assert!(saved > 0.85, "{saved}");
        let (counters, _) = model.counters();
        assert_eq!((counters.queries, counters.hits, counters.running), (2048, 1008, 0));
        assert_eq!(counters.generation_tokens, 32);
    }

    #[test]
    fn without_caching_nothing_counts() {
        let model = model(&["vllm", "serve", "/mnt/models", "--no-enable-prefix-caching"]);
        let job = Job { prompt: (0..64).collect(), salt: String::new(), max_tokens: 1, stop: Vec::new(), choice: 0 };
        model.begin(Timestamp(0), &job);
        assert_eq!(model.begin(Timestamp(0), &job).cached, 0);
        assert_eq!(model.counters().0.queries, 0);
    }

    #[test]
    fn a_stop_word_ends_the_answer() {
        let model = model(&["vllm", "serve", "/mnt/models"]);
        let mut job = Job { prompt: tokens("Say"), salt: String::new(), max_tokens: 500, stop: Vec::new(), choice: 0 };
        let whole = model.begin(Timestamp(0), &job);
        assert_eq!(whole.finish, "stop");
        let text = whole.pieces.concat();
        let word = text.split(' ').nth(2).expect("a word").to_owned();
        job.stop = vec![word.clone()];
        let cut = model.begin(Timestamp(0), &job).pieces.concat();
        assert!(!cut.contains(&word) && text.starts_with(&cut));
    }
}
