//! `bench cache`: rounds of a new prefix and its repetitions, one request at a time; then throughput.

use futures_util::StreamExt;

use super::prompts::{Prompts, count};
use super::{Bench, ask};
use crate::diag::{Diagnostic, Diagnostics};
use crate::measure::cache::{Cell, Round, Server, judge, overall};
use crate::measure::metrics::Counters;
use crate::measure::report::{CacheReport, Throughput};
use crate::resource::error::ProviderError;

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Lengths of prefixes, in tokens.
    pub prefixes: Vec<u64>,
    /// Lengths of answers, in tokens.
    pub generate: Vec<u64>,
    /// New prefixes for each pair of them.
    pub rounds: usize,
    /// Repetitions of each prefix.
    pub warm: usize,
    /// Requests at a time, for throughput; none is measured with zero.
    pub parallel: usize,
    /// What an hour of the stack costs, US dollars.
    pub per_hour: Option<f64>,
    /// Whether all this is simulated.
    pub simulated: bool,
}

/// Measures.
///
/// # Errors
/// When the model does not answer at all.
pub async fn run(mut bench: Bench<'_>, options: &Options) -> Result<CacheReport, Diagnostics> {
    let cells = options.prefixes.len() * options.generate.len();
    let levels = if options.parallel == 0 { 0 } else { 2 * (sequential(options) + 2 * options.parallel) + 2 };
    bench.of = cells * options.rounds * (options.warm + 1) + levels;
    bench.say("finding out how the server counts tokens");
    let silent = |error: ProviderError| {
        let diagnostic = Diagnostic::error("the model does not answer").detail(error.message);
        Diagnostics::from(match error.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        })
    };
    let mut prompts = Prompts::measure(bench.platforms, bench.served, bench.seed).await.map_err(silent)?;
    let mut server = bench.server().await;
    // The first request after a start pays for much that no other pays for.
    let first = prompts.prefix(64);
    ask(bench.platforms, bench.served, &first, 4, 64).await.map_err(silent)?;
    let mut findings = Vec::new();
    for prefix in &options.prefixes {
        for generate in &options.generate {
            let cell = cell(&mut bench, &mut prompts, &mut server, (*prefix, *generate), options).await;
            if !cell.rounds.is_empty() {
                findings.push(judge(&cell, &server, bench.seed));
            }
        }
    }
    let throughput = throughputs(&mut bench, &mut prompts, options).await;
    bench.of = bench.asked;
    bench.say("done");
    let verdict = overall(&findings);
    Ok(CacheReport { scene: bench.scene(options.per_hour, options.simulated), server, findings, throughput, verdict })
}

fn sequential(options: &Options) -> usize {
    options.parallel.clamp(1, 4)
}

async fn cell(
    bench: &mut Bench<'_>,
    prompts: &mut Prompts,
    server: &mut Server,
    (prefix, generate): (u64, u64),
    options: &Options,
) -> Cell {
    let mut cell = Cell { prefix_tokens: prefix, generate, rounds: Vec::new() };
    for round in 0..options.rounds {
        if !bench.affords(options.warm + 1) {
            break;
        }
        let what = format!("prefix {prefix}, {generate} tokens, round {} of {}", round + 1, options.rounds);
        bench.say(&what);
        let text = prompts.prefix(prefix);
        if round == 0
            && let Ok(Some(tokens)) = count(bench.platforms, bench.served, &text).await
        {
            // As the server counts, and where it does so by an answer, this prefix is not new any more.
            cell.prefix_tokens = tokens;
        }
        let text = if round == 0 { prompts.prefix(prefix) } else { text };
        match measured(bench, prompts, server, &text, generate, options.warm).await {
            Ok(round) => cell.rounds.push(round),
            Err(error) => {
                bench.cut = Some(format!("a request failed: {}", error.message));
                break;
            }
        }
    }
    cell
}

async fn measured(
    bench: &mut Bench<'_>,
    prompts: &Prompts,
    server: &mut Server,
    prefix: &str,
    generate: u64,
    warm: usize,
) -> Result<Round, ProviderError> {
    let mut read = async |bench: &Bench<'_>| -> Option<Counters> {
        if server.uncounted.is_some() {
            return None;
        }
        bench.counters().await.map_err(|why| server.uncounted = Some(why)).ok()
    };
    let before = read(bench).await;
    let prompt = |number| format!("{prefix}{}", Prompts::question(number));
    let text = prompt(0);
    let cold = bench.ask(&text, generate, prompts.estimate(&text)).await?;
    let between = read(bench).await;
    let mut round = Round { cold, ..Round::default() };
    for number in 1..=warm {
        let text = prompt(number);
        round.warm.push(bench.ask(&text, generate, prompts.estimate(&text)).await?);
    }
    let after = read(bench).await;
    let since = |now: Option<Counters>, before: Option<Counters>| now?.since(&before?);
    round.cold_count = since(between, before);
    round.warm_count = since(after, between);
    Ok(round)
}

/// One at a time and several, with prefixes of their own and with one that the cache knows.
async fn throughputs(bench: &mut Bench<'_>, prompts: &mut Prompts, options: &Options) -> Vec<Throughput> {
    let mut found = Vec::new();
    let Some(prefix) = options.prefixes.get(options.prefixes.len() / 2).copied() else { return found };
    let generate = options.generate.iter().copied().max().unwrap_or(16);
    let several = (options.parallel > 1).then_some(options.parallel);
    let levels = (options.parallel > 0).then_some(1).into_iter().chain(several);
    for parallel in levels {
        for warm in [false, true] {
            let requests = if parallel == 1 { sequential(options) } else { 2 * parallel };
            if !bench.affords(requests + usize::from(warm)) {
                return found;
            }
            let kind = if warm { "one prefix for all" } else { "new prefixes" };
            bench.say(&format!("throughput, {parallel} at a time, {kind}"));
            let shared = prompts.prefix(prefix);
            if warm && bench.ask(&shared, 1, prefix).await.is_err() {
                continue;
            }
            let texts = (0..requests).map(|number| {
                let prefix = if warm { shared.clone() } else { prompts.prefix(prefix) };
                let text = format!("{prefix}{}", Prompts::question(number));
                let tokens = prompts.estimate(&text);
                (text, tokens)
            });
            let texts = texts.collect::<Vec<_>>();
            let began = bench.elapsed();
            let (platforms, served) = (bench.platforms, bench.served);
            let asking = texts.iter().map(|(text, tokens)| ask(platforms, served, text, generate, *tokens));
            let answers = futures_util::stream::iter(asking).buffer_unordered(parallel).collect::<Vec<_>>().await;
            let seconds = (bench.elapsed().saturating_sub(began)).as_secs_f64();
            bench.asked += requests;
            let mut throughput = Throughput { parallel, warm, seconds, ..Throughput::default() };
            for answer in &answers {
                match answer {
                    Ok(sample) => {
                        throughput.requests += 1;
                        throughput.prompt_tokens += sample.prompt_tokens;
                        throughput.completion_tokens += sample.completion_tokens;
                    }
                    Err(_) => throughput.failed += 1,
                }
            }
            found.push(throughput.priced(options.per_hour));
        }
    }
    found
}
