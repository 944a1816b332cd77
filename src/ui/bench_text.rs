//! Reports of benchmarks for people, and the figures that all of their views share.

use crate::measure::cache::{Finding, Hits, Verdict};
use crate::measure::report::{CacheReport, RoutingReport, Scene, Throughput};
use crate::measure::stats::{Estimate, Summary};
use crate::ui::paint::{Paint, tame};

/// A time: `46 ms`, `1.24 s`.
pub fn time(seconds: f64) -> String {
    if seconds < 0.0995 {
        format!("{:.1} ms", seconds * 1000.0)
    } else if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.2} s")
    }
}

/// A time with its interval, where it has one.
pub fn times(estimate: Estimate) -> String {
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!("{} ({} to {})", time(estimate.value), time(low), time(high)),
        _ => time(estimate.value),
    }
}

/// A share with its interval, where it has one.
pub fn shares(estimate: Option<Estimate>) -> String {
    let percent = |share: f64| format!("{:.0}", share * 100.0);
    match estimate {
        None => "-".to_owned(),
        Some(Estimate { value, low: Some(low), high: Some(high) }) => {
            format!("{} % ({} to {})", percent(value), percent(low), percent(high))
        }
        Some(Estimate { value, .. }) => format!("{} %", percent(value)),
    }
}

/// Tokens from the cache as a ratio, with the largest that was possible.
pub fn ratio(hits: Option<Hits>) -> String {
    match hits {
        None => "unknown".to_owned(),
        Some(hits) => format!(
            "{:.0} of {:.0} (ratio {:.2}, at most {:.2})",
            hits.cold + hits.warm,
            hits.queries,
            hits.ratio,
            hits.cap
        ),
    }
}

/// Dollars for a million tokens.
pub fn dollars(amount: Option<f64>) -> String {
    amount.map_or("-".to_owned(), |amount| format!("${amount:.2}"))
}

/// What was asked at a time: `8 at a time, one prefix for all`.
pub fn level(throughput: &Throughput) -> String {
    let kind = if throughput.warm { "one prefix for all" } else { "new prefixes" };
    match throughput.parallel {
        1 => format!("one at a time, {kind}"),
        n => format!("{n} at a time, {kind}"),
    }
}

/// Why the largest ratio is less than one.
pub const CAP: &str = "A ratio cannot reach 1: of a round, the first request finds nothing, and the others find whole blocks of \
    what they share, never the last token: floor((prompt - 1) / block) x block.";

fn verdict(verdict: &Verdict, paint: Paint) -> String {
    let word = match verdict {
        Verdict::Proven(_) => paint.green(verdict.word()),
        Verdict::NotProven(_) => paint.red(verdict.word()),
        Verdict::NotMeasurable(_) => paint.yellow(verdict.word()),
    };
    format!("{}: {}", paint.bold(&word), tame(verdict.reason()))
}

/// The lines about where it ran.
pub fn scene(scene: &Scene) -> Vec<String> {
    let mut lines = vec![format!("{} at {}", tame(&scene.model), tame(&scene.url))];
    let simulated = if scene.simulated { ", simulated" } else { "" };
    lines.push(format!("began {}, took {:.0} s{simulated}; seed {}", scene.began, scene.seconds, scene.seed));
    lines.push(match scene.replicas.len() {
        0 => "metrics read through the URL".to_owned(),
        1 => format!("metrics read from 1 replica: {}", tame(&scene.replicas[0])),
        n => format!("metrics read from {n} replicas: {}", tame(&scene.replicas.join(", "))),
    });
    if let Some(why) = &scene.cut_short {
        lines.push(format!("ended early: {}", tame(why)));
    }
    lines
}

/// What `bench cache` found.
pub fn cache(report: &CacheReport, paint: Paint) -> String {
    let mut out = scene(&report.scene).join("\n") + "\n";
    for finding in &report.findings {
        out.push_str(&format!("\n{}\n", paint.bold(&heading(finding))));
        for (what, pair, saved) in [
            ("to the first token", finding.first_token, finding.first_token_saved),
            ("to the end", finding.whole, finding.whole_saved),
        ] {
            out.push_str(&format!("  {what:<19}  saved {}\n", shares(saved)));
            for (name, summary) in ["cold", "warm"].iter().zip(pair) {
                out.push_str(&summary.map_or(String::new(), |summary| line(name, summary)));
            }
        }
        out.push_str(&format!("  tokens from cache    {}\n", ratio(finding.hits)));
        out.push_str(&format!("  {}\n", verdict(&finding.verdict, paint)));
        if let Some(note) = &finding.note {
            out.push_str(&format!("  {}\n", paint.yellow(&format!("note: {}", tame(note)))));
        }
    }
    if !report.throughput.is_empty() {
        out.push_str(&format!("\n{}\n", paint.bold("Throughput")));
        for throughput in &report.throughput {
            let failed = if throughput.failed > 0 { format!(", {} failed", throughput.failed) } else { String::new() };
            out.push_str(&format!(
                "  {:<34}  {:>7.1} tokens/s written, {:>8.1} in all{failed}\n",
                level(throughput),
                throughput.written_per_second(),
                throughput.tokens_per_second()
            ));
            if throughput.dollars_per_million_written.is_some() {
                out.push_str(&format!(
                    "  {:<34}  {} for a million written, {} in all\n",
                    "",
                    dollars(throughput.dollars_per_million_written),
                    dollars(throughput.dollars_per_million_in_all)
                ));
            }
        }
        if let Some(per_hour) = report.scene.dollars_per_hour {
            out.push_str(&format!("  by ${per_hour:.2} an hour, list prices of the whole stack\n"));
        }
    }
    out.push_str(&format!("\nPrefix caching {}\n", verdict(&report.verdict, paint)));
    if report.findings.iter().any(|finding| finding.hits.is_some()) {
        out.push_str(&format!("{}\n", paint.dim(CAP)));
    }
    out
}

/// What a finding is about.
pub fn heading(finding: &Finding) -> String {
    format!("Prefix of {} tokens, answers of {}, {} rounds", finding.prefix_tokens, finding.generate, finding.rounds)
}

fn line(name: &str, summary: Summary) -> String {
    let Summary { n, p50, p90, p99, .. } = summary;
    format!("    {name}  p50 {}  p90 {}  p99 {}  of {n}\n", times(p50), time(p90.value), time(p99.value))
}

/// What `bench routing` found.
pub fn routing(report: &RoutingReport, paint: Paint) -> String {
    let mut out = scene(&report.scene).join("\n") + "\n\n";
    let finding = &report.finding;
    let width = finding.replicas.iter().map(|replica| replica.name.chars().count()).max().unwrap_or(0);
    for replica in &finding.replicas {
        out.push_str(&format!(
            "{:<width$}  {:>3} requests, {:.0} of {:.0} prompt tokens from its cache\n",
            tame(&replica.name),
            replica.requests,
            replica.hits,
            replica.queries
        ));
    }
    let (stayed, could) = finding.stayed;
    out.push_str(&format!(
        "\n{} prefixes; {stayed} of {could} requests stayed: {}; by chance {:.0} %\n",
        finding.prefixes,
        shares(Some(finding.share)),
        finding.chance * 100.0
    ));
    if stayed > 0 {
        out.push_str(&format!(
            "of the tokens of those that stayed, {:.0} % came from the cache\n",
            finding.hit_ratio * 100.0
        ));
    }
    out.push_str(&format!("\nRouting by prefix {}\n", verdict(&finding.verdict, paint)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(
            (time(0.0051), time(0.1234), time(0.9999), time(12.345)),
            ("5.1 ms".into(), "123 ms".into(), "1.00 s".into(), "12.35 s".into())
        );
        let estimate = Estimate { value: 0.9, low: Some(0.85), high: Some(0.93) };
        assert_eq!(shares(Some(estimate)), "90 % (85 to 93)");
        assert_eq!(shares(Some(Estimate { low: None, ..estimate })), "90 %");
        assert_eq!(times(Estimate { value: 0.2, low: Some(0.1), high: None }), "200 ms");
    }
}
