//! `bench routing`: prefixes that are sent together and then come again, and which replica serves them.

use futures_util::StreamExt;

use super::prompts::Prompts;
use super::{Bench, ask};
use crate::diag::{Diagnostic, Diagnostics};
use crate::measure::metrics::Counters;
use crate::measure::report::RoutingReport;
use crate::measure::routing::{Replica, Visit, judge};
use crate::measure::stats::Chance;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Prefixes for each replica.
    pub prefixes: usize,
    /// Tokens of each.
    pub tokens: u64,
    /// How often each comes again.
    pub visits: usize,
    /// What an hour of the stack costs, US dollars.
    pub per_hour: Option<f64>,
    /// Whether all this is simulated.
    pub simulated: bool,
}

/// Measures.
///
/// # Errors
/// When the replicas cannot be told apart, or the model does not answer.
pub async fn run(mut bench: Bench<'_>, options: &Options) -> Result<RoutingReport, Diagnostics> {
    let names = bench.served.replicas.iter().map(|replica| replica.pod.clone()).collect::<Vec<_>>();
    if names.is_empty() {
        return Err(Diagnostic::error("the replicas of the model cannot be told apart")
            .detail("Which of them serves a request is read from each one's own metrics, in its pod.")
            .hint("run it for a stack: `stackwright bench routing STACK`")
            .into());
    }
    let silent = |message: String, hint: Option<String>| {
        let diagnostic = Diagnostic::error("the model does not answer").detail(message);
        Diagnostics::from(diagnostic.hint(hint.unwrap_or_else(|| "`stackwright status` says why".to_owned())))
    };
    let mut replicas = names.into_iter().map(|name| Replica { name, ..Replica::default() }).collect::<Vec<_>>();
    let prefixes = options.prefixes * replicas.len();
    bench.of = prefixes * (options.visits + 1);
    bench.say("sending the prefixes");
    let prompts = Prompts::measure(bench.platforms, bench.served, bench.seed).await;
    let mut prompts = prompts.map_err(|error| silent(error.message, error.hint))?;
    let texts = (0..prefixes).map(|_| prompts.prefix(options.tokens)).collect::<Vec<_>>();
    let mut visits = Vec::new();
    if replicas.len() > 1 && bench.affords(prefixes) {
        // Together, so that a scheduler that looks at load spreads them.
        let (platforms, served) = (bench.platforms, bench.served);
        let asking = texts.iter().map(|text| ask(platforms, served, text, 16, options.tokens));
        let answers = futures_util::stream::iter(asking).buffer_unordered(prefixes).collect::<Vec<_>>().await;
        bench.asked += prefixes;
        if let Some(Err(error)) = answers.into_iter().find(Result::is_err) {
            return Err(silent(error.message, error.hint));
        }
        let mut order =
            (0..prefixes).flat_map(|prefix| std::iter::repeat_n(prefix, options.visits)).collect::<Vec<_>>();
        Chance::new(bench.seed).shuffle(&mut order);
        let mut before = counters(&bench).await;
        for (number, prefix) in order.into_iter().enumerate() {
            if !bench.affords(1) {
                break;
            }
            bench.say("asking again, one at a time");
            let text = format!("{}{}", texts[prefix], Prompts::question(number));
            let estimate = prompts.estimate(&text);
            let sample = match bench.ask(&text, 4, estimate).await {
                Ok(sample) => sample,
                Err(error) => {
                    bench.cut = Some(format!("a request failed: {}", error.message));
                    break;
                }
            };
            let after = counters(&bench).await;
            let served = who(&before, &after, sample.prompt_tokens);
            let mut visit = Visit { prefix, replica: None, hits: 0.0, prompt_tokens: sample.prompt_tokens };
            if let Some((at, counted)) = served {
                let replica = &mut replicas[at];
                replica.requests += 1;
                replica.queries += counted.queries;
                replica.hits += counted.hits;
                visit.replica = Some(replica.name.clone());
                visit.hits = counted.hits;
            }
            visits.push(visit);
            before = after;
        }
    }
    bench.of = bench.asked;
    bench.say("done");
    let finding = judge(&visits, replicas);
    Ok(RoutingReport { scene: bench.scene(options.per_hour, options.simulated), finding })
}

async fn counters(bench: &Bench<'_>) -> Vec<Option<Counters>> {
    let mut all = Vec::new();
    for replica in &bench.served.replicas {
        all.push(replica.counters(bench.platforms).await.ok());
    }
    all
}

/// The one replica that has read a prompt of so many tokens meanwhile. Where its cache is off it looks nothing up, and
/// its count of prompt tokens tells.
fn who(
    before: &[Option<Counters>],
    after: &[Option<Counters>],
    tokens: u64,
) -> Option<(usize, crate::measure::metrics::Counted)> {
    let mut found = None;
    for (at, (before, after)) in before.iter().zip(after).enumerate() {
        let (before, after) = (before.as_ref()?, after.as_ref()?);
        let counted = after.since(before)?;
        let read = match (after.prompt_tokens, before.prompt_tokens) {
            (Some(after), Some(before)) => after - before,
            _ => counted.queries,
        };
        if read <= 0.0 {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^52")]
        let too_much = read > tokens as f64 * 1.5 + 16.0;
        if found.is_some() || too_much {
            return None;
        }
        found = Some((at, counted));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::metrics::Names;

    #[test]
    fn only_one_replica_can_have_served_a_request() {
        let at = |prompt: f64, hits: f64| {
            Some(Counters {
                names: Names::Current,
                queries: prompt,
                hits,
                prompt_tokens: Some(prompt),
                ..Counters::default()
            })
        };
        let before = [at(100.0, 0.0), at(50.0, 0.0)];
        let found = who(&before, &[at(100.0, 0.0), at(150.0, 96.0)], 100).expect("one");
        assert_eq!((found.0, found.1.hits), (1, 96.0));
        assert_eq!(who(&before, &[at(110.0, 0.0), at(150.0, 96.0)], 100), None, "somebody else asked too");
        assert_eq!(who(&before, &[at(100.0, 0.0), at(550.0, 96.0)], 100), None, "somebody else asked the same one");
        assert_eq!(who(&before, &[at(100.0, 0.0), None], 100), None);
        assert_eq!(who(&before, &before, 100), None);
    }
}
