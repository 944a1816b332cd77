//! What prefix caching buys, and whether that is proven: rounds of one cold and some warm requests, and their verdict.
//!
//! A verdict never comes from times alone: a server without a cache showed savings of 6, 14 and 31 % by noise. Tokens
//! must have come from the cache, by the server's own count, and the time to the first token must be shorter by more
//! than its interval.

use serde::Serialize;

use super::metrics::Counted;
use super::stats::{Estimate, Summary, mean, median, saving, summary};

/// One request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds until the first token.
    pub first_token: f64,
    /// Seconds until the end.
    pub whole: f64,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Tokens of the prompt that came from the cache, where the answer says.
    pub cached_tokens: Option<u64>,
}

/// A prefix that nobody has sent before, and the same again.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Round {
    /// The first request.
    pub cold: Sample,
    /// Those after it.
    pub warm: Vec<Sample>,
    /// What the server counted for the first.
    pub cold_count: Option<Counted>,
    /// What it counted for those after it.
    pub warm_count: Option<Counted>,
}

/// Rounds of one prefix length and one length of answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cell {
    /// Tokens that all requests of a round begin with, as the server counts them.
    pub prefix_tokens: u64,
    /// Tokens that were asked for.
    pub generate: u64,
    /// The rounds.
    pub rounds: Vec<Round>,
}

/// What is known of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Server {
    /// Whether it says that its cache is on.
    pub caching: Option<bool>,
    /// Tokens in a block.
    pub block: Option<u64>,
    /// Why nothing can be counted from its metrics.
    pub uncounted: Option<String>,
}

/// What measurements show.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "snake_case")]
pub enum Verdict {
    /// It works, and this is what it does.
    Proven(String),
    /// It was looked at properly and did not show.
    NotProven(String),
    /// It could not be looked at properly.
    NotMeasurable(String),
}

impl Verdict {
    /// `proven`, `not proven`, `not measurable`.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Proven(_) => "proven",
            Verdict::NotProven(_) => "not proven",
            Verdict::NotMeasurable(_) => "not measurable",
        }
    }

    /// Why.
    pub fn reason(&self) -> &str {
        match self {
            Verdict::Proven(reason) | Verdict::NotProven(reason) | Verdict::NotMeasurable(reason) => reason,
        }
    }

    /// Whether it is [`Verdict::Proven`].
    pub fn is_proven(&self) -> bool {
        matches!(self, Verdict::Proven(_))
    }
}

/// Tokens from the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Hits {
    /// Of the first requests.
    pub cold: f64,
    /// Of those after them.
    pub warm: f64,
    /// Tokens looked up, first requests included.
    pub queries: f64,
    /// Of all tokens looked up, the share that was found.
    pub ratio: f64,
    /// The largest ratio that these requests could have: n warm ones of n + 1, cut to whole blocks.
    pub cap: f64,
    /// Tokens that the warm requests could have found: all whole blocks of what they share.
    pub possible: f64,
}

/// What a cell shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Tokens that all requests of a round begin with.
    pub prefix_tokens: u64,
    /// Tokens of whole prompts, median.
    pub prompt_tokens: f64,
    /// Tokens that were asked for.
    pub generate: u64,
    /// Rounds.
    pub rounds: usize,
    /// Seconds until the first token, cold and warm.
    pub first_token: [Option<Summary>; 2],
    /// Seconds until the end, cold and warm.
    pub whole: [Option<Summary>; 2],
    /// Share of the time to the first token that the cache saves.
    pub first_token_saved: Option<Estimate>,
    /// Share of the time to the end that the cache saves.
    pub whole_saved: Option<Estimate>,
    /// Tokens from the cache, where they could be counted.
    pub hits: Option<Hits>,
    /// What that means.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What is odd about it.
    pub note: Option<String>,
}

#[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^52")]
fn float(n: u64) -> f64 {
    n as f64
}

/// Tokens that a prompt can find in a cache of blocks, if its first `shared` tokens are there: whole blocks, and never
/// the last token, which has to be computed to get an answer at all.
pub fn findable(shared: u64, prompt: u64, block: u64) -> u64 {
    let block = block.max(1);
    shared.min(prompt.saturating_sub(1)) / block * block
}

/// Of a cell's requests, what the server or its answers counted.
enum Counts {
    Known { cold: f64, warm: f64, queries: f64 },
    Others { queries: f64, sent: f64 },
    Unknown,
}

fn counts(cell: &Cell) -> Counts {
    let samples = || cell.rounds.iter().flat_map(|round| std::iter::once(&round.cold).chain(&round.warm));
    let sent = samples().map(|sample| float(sample.prompt_tokens)).sum::<f64>();
    // An answer that says so itself is about this request and no other.
    if samples().all(|sample| sample.cached_tokens.is_some()) && sent > 0.0 {
        let of = |sample: &Sample| float(sample.cached_tokens.unwrap_or_default());
        let cold = cell.rounds.iter().map(|round| of(&round.cold)).sum();
        let warm = cell.rounds.iter().flat_map(|round| &round.warm).map(of).sum();
        return Counts::Known { cold, warm, queries: sent };
    }
    let both = cell.rounds.iter().map(|round| Some((round.cold_count?, round.warm_count?)));
    let Some(both) = both.collect::<Option<Vec<_>>>().filter(|both| !both.is_empty()) else { return Counts::Unknown };
    let queries = both.iter().map(|(cold, warm)| cold.queries + warm.queries).sum::<f64>();
    // One per cent: a template's tokens are counted by some servers and not by others.
    if queries > sent * 1.01 + 1.0 {
        return Counts::Others { queries, sent };
    }
    let cold = both.iter().map(|(cold, _)| cold.hits).sum();
    Counts::Known { cold, warm: both.iter().map(|(_, warm)| warm.hits).sum(), queries }
}

/// A figure of a sample.
type Figure = fn(&Sample) -> f64;

/// What a cell shows. `seed` is for resampling.
pub fn judge(cell: &Cell, server: &Server, seed: u64) -> Finding {
    let colds = |of: fn(&Sample) -> f64| cell.rounds.iter().map(|round| of(&round.cold)).collect::<Vec<_>>();
    let warms =
        |of: fn(&Sample) -> f64| cell.rounds.iter().flat_map(|round| round.warm.iter().map(of)).collect::<Vec<_>>();
    let paired = |of: fn(&Sample) -> f64| {
        let rounds = cell.rounds.iter().map(|round| (of(&round.cold), round.warm.iter().map(of).collect::<Vec<_>>()));
        saving(&rounds.collect::<Vec<_>>(), seed)
    };
    let (first, whole): (Figure, Figure) = (|s| s.first_token, |s| s.whole);
    let prompt_tokens = median(&warms(|s| float(s.prompt_tokens)));
    let saved = paired(first);
    let counts = counts(cell);
    let block = server.block.unwrap_or(1);
    let possible = cell.rounds.iter().flat_map(|round| &round.warm);
    let possible = possible.map(|sample| float(findable(cell.prefix_tokens, sample.prompt_tokens, block))).sum::<f64>();
    let sent = mean(&colds(|s| float(s.prompt_tokens))) * float(cell.rounds.len() as u64)
        + warms(|s| float(s.prompt_tokens)).iter().sum::<f64>();
    let hits = match &counts {
        Counts::Known { cold, warm, queries } => Some(Hits {
            cold: *cold,
            warm: *warm,
            queries: *queries,
            ratio: if *queries > 0.0 { (cold + warm) / queries } else { 0.0 },
            cap: if sent > 0.0 { possible / sent } else { 0.0 },
            possible,
        }),
        _ => None,
    };
    let verdict = verdict(cell, server, &counts, possible, saved);
    let note = hits.filter(|hits| verdict.is_proven() && hits.warm < 0.5 * hits.possible).map(|hits| {
        format!(
            "only {:.0} of {:.0} tokens that the warm requests share came from the cache: they go to different replicas, \
             or it forgets too soon",
            hits.warm, hits.possible
        )
    });
    Finding {
        prefix_tokens: cell.prefix_tokens,
        prompt_tokens,
        generate: cell.generate,
        rounds: cell.rounds.len(),
        first_token: [summary(&colds(first)), summary(&warms(first))],
        whole: [summary(&colds(whole)), summary(&warms(whole))],
        first_token_saved: saved,
        whole_saved: paired(whole),
        hits,
        verdict,
        note,
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn verdict(cell: &Cell, server: &Server, counts: &Counts, possible: f64, saved: Option<Estimate>) -> Verdict {
    let unmeasurable = |reason: String| Verdict::NotMeasurable(reason);
    if cell.rounds.is_empty() {
        return unmeasurable("no round was completed".to_owned());
    }
    if server.caching == Some(false) {
        return Verdict::NotProven("the server says that its prefix cache is off".to_owned());
    }
    let (cold, warm, queries) = match counts {
        Counts::Known { cold, warm, queries } => (*cold, *warm, *queries),
        Counts::Others { queries, sent } => {
            return unmeasurable(format!(
                "others used the server meanwhile: it looked up {queries:.0} tokens, and {sent:.0} were sent"
            ));
        }
        Counts::Unknown => {
            let why = server.uncounted.as_deref().unwrap_or("its counters began anew in the middle");
            return unmeasurable(format!("nobody says how many tokens came from the cache: {why}"));
        }
    };
    if let Some(block) = server.block
        && possible < 1.0
    {
        return unmeasurable(format!(
            "the prefix of {} tokens is shorter than one block of {block}: only whole blocks are cached",
            cell.prefix_tokens
        ));
    }
    if warm <= 0.0 {
        let looked = if queries > 0.0 { "" } else { ", and none was looked up there" };
        return Verdict::NotProven(format!("no token of the warm requests came from the cache{looked}"));
    }
    let sent_cold = cell.rounds.iter().map(|round| float(round.cold.prompt_tokens)).sum::<f64>();
    if cold > 0.1 * sent_cold {
        return unmeasurable(format!(
            "the cold requests were not cold: {cold:.0} of their {sent_cold:.0} tokens came from the cache; the same --seed \
             sends the same prefixes"
        ));
    }
    let Some(Estimate { value, low: Some(low), high: Some(high) }) = saved else {
        return unmeasurable("fewer than three rounds: the times have no interval".to_owned());
    };
    let range = format!("{} of the time to the first token ({} to {})", percent(value), percent(low), percent(high));
    if low <= 0.0 {
        return Verdict::NotProven(format!(
            "{warm:.0} tokens came from the cache, but what it saves is within noise: {range}"
        ));
    }
    Verdict::Proven(format!("{warm:.0} tokens came from the cache, which saves {range}"))
}

/// What all cells show together: the best verdict, with where it holds.
pub fn overall(findings: &[Finding]) -> Verdict {
    let of = |wanted: fn(&Verdict) -> bool| findings.iter().filter(move |finding| wanted(&finding.verdict));
    let proven = of(Verdict::is_proven).collect::<Vec<_>>();
    let best = proven.iter().max_by(|a, b| {
        let saved = |finding: &Finding| finding.first_token_saved.map_or(0.0, |saved| saved.value);
        saved(a).total_cmp(&saved(b))
    });
    if let Some(best) = best {
        let (all, n) = (findings.len(), proven.len());
        let where_ = if n == all { "everywhere".to_owned() } else { format!("in {n} of {all} measurements") };
        return Verdict::Proven(format!("{where_}; at {} tokens, {}", best.prefix_tokens, best.verdict.reason()));
    }
    let not = of(|verdict| matches!(verdict, Verdict::NotProven(_))).next();
    match not.or(findings.first()) {
        Some(finding) => finding.verdict.clone(),
        None => Verdict::NotMeasurable("nothing was measured".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(first_token: f64) -> Sample {
        Sample {
            first_token,
            whole: first_token + 0.4,
            prompt_tokens: 1000,
            completion_tokens: 16,
            cached_tokens: None,
        }
    }

    fn cell(cold: f64, warm: f64, hits: Option<f64>) -> Cell {
        let counted = |hits: f64, queries| Counted { queries, hits };
        let round = |n: u32| Round {
            cold: sample(cold + f64::from(n) / 500.0),
            warm: (0..4).map(|m| sample(warm + f64::from(n + m) / 1000.0)).collect(),
            cold_count: hits.map(|_| counted(0.0, 1000.0)),
            warm_count: hits.map(|hits| counted(hits, 4000.0)),
        };
        Cell { prefix_tokens: 980, generate: 16, rounds: (0..8).map(round).collect() }
    }

    fn server() -> Server {
        Server { caching: Some(true), block: Some(16), uncounted: None }
    }

    #[test]
    fn hits_and_time_together_prove_it() {
        let found = judge(&cell(0.5, 0.05, Some(3900.0)), &server(), 1);
        assert!(found.verdict.is_proven(), "{:?}", found.verdict);
        let hits = found.hits.expect("hits");
        // 980 tokens are 61 blocks of 16; four of five requests can find them.
        assert!((hits.cap - 976.0 * 4.0 / 5000.0).abs() < 1e-9 && hits.ratio <= hits.cap + 1e-9, "{hits:?}");
        assert_eq!(found.note, None);
        let few = judge(&cell(0.5, 0.05, Some(900.0)), &server(), 1);
        assert!(few.note.expect("a note").contains("different replicas"));
    }

    #[test]
    fn neither_alone_does() {
        let by_time = judge(&cell(0.5, 0.05, Some(0.0)), &server(), 1);
        assert_eq!(by_time.verdict.word(), "not proven", "{:?}", by_time.verdict);
        let by_hits = judge(&cell(0.05, 0.05, Some(3900.0)), &server(), 1);
        assert_eq!(by_hits.verdict.word(), "not proven", "{:?}", by_hits.verdict);
        let off = judge(&cell(0.5, 0.05, Some(3900.0)), &Server { caching: Some(false), ..server() }, 1);
        assert_eq!(off.verdict.word(), "not proven");
    }

    #[test]
    fn what_cannot_be_measured_says_why() {
        let reason = |cell: &Cell, server: &Server| match judge(cell, server, 1).verdict {
            Verdict::NotMeasurable(reason) => reason,
            other => panic!("{other:?}"),
        };
        let blind = Server { uncounted: Some("no metrics (404)".into()), ..server() };
        assert!(reason(&cell(0.5, 0.05, None), &blind).contains("no metrics (404)"));
        let mut short = cell(0.5, 0.05, Some(0.0));
        short.prefix_tokens = 15;
        assert!(reason(&short, &server()).contains("shorter than one block of 16"));
        let mut shared = cell(0.5, 0.05, Some(3900.0));
        shared.rounds[3].warm_count = Some(Counted { queries: 9000.0, hits: 3900.0 });
        assert!(reason(&shared, &server()).contains("others used the server"));
        let mut warm = cell(0.5, 0.05, Some(3900.0));
        warm.rounds.iter_mut().for_each(|round| round.cold_count = Some(Counted { queries: 1000.0, hits: 900.0 }));
        assert!(reason(&warm, &server()).contains("were not cold"));
        let mut few = cell(0.5, 0.05, Some(3900.0));
        few.rounds.truncate(2);
        assert!(reason(&few, &server()).contains("fewer than three"));
        assert!(reason(&Cell::default(), &server()).contains("no round"));
    }

    #[test]
    fn answers_that_count_themselves_need_no_metrics() {
        let mut cell = cell(0.5, 0.05, None);
        for round in &mut cell.rounds {
            round.cold.cached_tokens = Some(0);
            round.warm.iter_mut().for_each(|warm| warm.cached_tokens = Some(976));
        }
        assert!(judge(&cell, &server(), 1).verdict.is_proven());
    }

    #[test]
    fn whole_blocks_without_the_last_token_can_be_found() {
        // From the recordings: 721 tokens in blocks of 64 gave 704.
        assert_eq!(findable(721, 721, 64), 704);
        assert_eq!((findable(128, 128, 128), findable(128, 129, 128), findable(64, 300, 128)), (0, 128, 0));
    }
}
