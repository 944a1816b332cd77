//! Reports of benchmarks as one page with plots: no script, nothing from elsewhere, light and dark.

use std::fmt::Write as _;

use crate::measure::cache::{Finding, Verdict};
use crate::measure::report::{CacheReport, RoutingReport, Throughput};
use crate::measure::stats::Estimate;
use crate::ui::bench_text::{CAP, dollars, heading, level, ratio, scene, shares, time, times};

const STYLE: &str = ":root{color-scheme:light dark;--ink:#1d2330;--dim:#5d6678;--line:#d5dae3;--page:#fff;--cold:#4a6fa5;--warm:#d9822b;\
--good:#2b7a4b;--bad:#b3372f;--odd:#8a6d1a}@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--dim:#9aa4b6;--line:#39414f;\
--page:#14181f;--cold:#7fa3d6;--warm:#eba45c;--good:#69c08d;--bad:#ef8078;--odd:#d9b95a}}body{font:16px/1.5 system-ui,sans-serif;\
color:var(--ink);background:var(--page);margin:2rem auto;padding:0 1rem;max-width:60rem}h1{font-size:1.6rem}h2{font-size:1.15rem;\
margin-top:2rem}.verdict{border-left:.35rem solid;padding:.4rem 1rem}.proven{border-color:var(--good)}.not-proven{border-color:\
var(--bad)}.not-measurable{border-color:var(--odd)}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
.wide{overflow-x:auto}th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid var(--line)}th:first-child,td:first-child{\
text-align:left}.dim{color:var(--dim);font-size:.9rem}svg{width:100%;height:auto}svg text{fill:var(--ink);font-size:13px}\
.cold{fill:var(--cold)}.warm{fill:var(--warm)}.whisker{stroke:var(--ink);stroke-width:1.5}.axis{stroke:var(--line)}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn begin(title: &str, verdict: &Verdict, lines: &[String]) -> String {
    let class = verdict.word().replace(' ', "-");
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}: {}</title><style>{STYLE}</style></head><body>\n<h1>{title}: {}</h1>\n<p class=\"verdict {class}\">{}</p>\n\
         <p class=\"dim\">",
        verdict.word(),
        verdict.word(),
        escape(verdict.reason())
    );
    out.push_str(&lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("<br>"));
    out.push_str("</p>\n");
    out
}

/// One bar of a plot.
struct Bar {
    label: String,
    class: &'static str,
    value: f64,
    ends: Option<(f64, f64)>,
    said: String,
}

/// Horizontal bars with whiskers for intervals, on one scale.
fn bars(title: &str, bars: &[Bar]) -> String {
    let top = |bar: &Bar| bar.ends.map_or(bar.value, |(_, high)| high.max(bar.value));
    let most = bars.iter().map(top).fold(0.0, f64::max);
    if bars.is_empty() || most <= 0.0 {
        return String::new();
    }
    let (left, room, step) = (250.0, 420.0, 26.0);
    let height = step * usize_to_float(bars.len()) + 12.0;
    let mut out = format!(
        "<figure><svg viewBox=\"0 0 840 {height:.0}\" role=\"img\" aria-label=\"{}\"><line class=\"axis\" x1=\"{left}\" y1=\"0\" \
         x2=\"{left}\" y2=\"{height:.0}\"/>",
        escape(title)
    );
    for (at, bar) in bars.iter().enumerate() {
        let y = step * usize_to_float(at) + 6.0;
        let x = |value: f64| left + room * (value / most).clamp(0.0, 1.0);
        let end = x(top(bar));
        let _ = write!(
            out,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect class=\"{}\" x=\"{left}\" y=\"{y:.1}\" width=\"{:.1}\" \
             height=\"18\" rx=\"2\"><title>{}</title></rect>",
            left - 8.0,
            y + 14.0,
            escape(&bar.label),
            bar.class,
            (x(bar.value) - left).max(0.5),
            escape(&bar.said)
        );
        if let Some((low, high)) = bar.ends {
            let middle = y + 9.0;
            let _ = write!(
                out,
                "<line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>",
                x(low),
                x(high)
            );
        }
        let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", end + 6.0, y + 14.0, escape(&bar.said));
    }
    let _ = writeln!(out, "</svg><figcaption class=\"dim\">{}</figcaption></figure>", escape(title));
    out
}

#[expect(clippy::cast_precision_loss, reason = "a few bars")]
fn usize_to_float(n: usize) -> f64 {
    n as f64
}

fn pair(finding: &Finding, summaries: [Option<crate::measure::stats::Summary>; 2]) -> Vec<Bar> {
    let classes = [("cold", "cold"), ("warm", "warm")];
    let bar = |((word, class), summary): ((&str, &'static str), Option<crate::measure::stats::Summary>)| {
        let Estimate { value, low, high } = summary?.p50;
        let label = format!("{} + {} tokens, {word}", finding.prefix_tokens, finding.generate);
        let said = times(Estimate { value, low, high });
        Some(Bar { label, class, value, ends: low.zip(high), said })
    };
    classes.into_iter().zip(summaries).filter_map(bar).collect()
}

/// What `bench cache` found.
pub fn cache(report: &CacheReport) -> String {
    let mut out = begin("Prefix caching", &report.verdict, &scene(&report.scene));
    out.push_str("<h2>Time to the first token</h2>\n");
    let first = report.findings.iter().flat_map(|finding| pair(finding, finding.first_token)).collect::<Vec<_>>();
    out.push_str(&bars("Median time to the first token; lines are intervals for 95 %", &first));
    out.push_str("<h2>Time to the end</h2>\n");
    let whole = report.findings.iter().flat_map(|finding| pair(finding, finding.whole)).collect::<Vec<_>>();
    out.push_str(&bars("Median time to the end of the answer", &whole));
    out.push_str(
        "<h2>Figures</h2>\n<div class=\"wide\"><table><thead><tr><th>Prefix and answer</th><th>First token saved</th><th>End to end \
         saved</th><th>p90 cold / warm</th><th>p99 cold / warm</th><th>Tokens from cache</th><th></th></tr></thead><tbody>\n",
    );
    for finding in &report.findings {
        let at = |of: fn(&crate::measure::stats::Summary) -> f64| {
            finding.first_token.map(|summary| summary.map_or("-".to_owned(), |summary| time(of(&summary)))).join(" / ")
        };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td title=\"{}\">{}</td></tr>",
            escape(&heading(finding)),
            shares(finding.first_token_saved),
            shares(finding.whole_saved),
            at(|summary| summary.p90.value),
            at(|summary| summary.p99.value),
            ratio(finding.hits),
            escape(finding.verdict.reason()),
            finding.verdict.word()
        );
    }
    out.push_str("</tbody></table></div>\n");
    for note in report.findings.iter().filter_map(|finding| finding.note.as_ref()) {
        let _ = writeln!(out, "<p class=\"dim\">{}</p>", escape(note));
    }
    if !report.throughput.is_empty() {
        out.push_str("<h2>Throughput</h2>\n");
        let bar = |throughput: &Throughput| Bar {
            label: level(throughput),
            class: if throughput.warm { "warm" } else { "cold" },
            value: throughput.written_per_second(),
            ends: None,
            said: format!("{:.1} tokens/s", throughput.written_per_second()),
        };
        out.push_str(&bars("Tokens written a second", &report.throughput.iter().map(bar).collect::<Vec<_>>()));
        out.push_str(
            "<div class=\"wide\"><table><thead><tr><th>At a time</th><th>Written/s</th><th>In all/s</th><th>$ a million \
             written</th><th>$ a million in all</th></tr></thead><tbody>\n",
        );
        for throughput in &report.throughput {
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{:.1}</td><td>{:.1}</td><td>{}</td><td>{}</td></tr>",
                level(throughput),
                throughput.written_per_second(),
                throughput.tokens_per_second(),
                dollars(throughput.dollars_per_million_written),
                dollars(throughput.dollars_per_million_in_all)
            );
        }
        out.push_str("</tbody></table></div>\n");
    }
    let _ = write!(out, "<p class=\"dim\">{CAP}</p>\n</body></html>\n");
    out
}

/// What `bench routing` found.
pub fn routing(report: &RoutingReport) -> String {
    let finding = &report.finding;
    let mut out = begin("Routing by prefix", &finding.verdict, &scene(&report.scene));
    out.push_str("<h2>Requests by replica</h2>\n");
    let bar = |replica: &crate::measure::routing::Replica| Bar {
        label: replica.name.chars().rev().take(32).collect::<Vec<_>>().into_iter().rev().collect(),
        class: "cold",
        value: usize_to_float(replica.requests),
        ends: None,
        said: format!(
            "{} requests, {:.0} of {:.0} tokens from its cache",
            replica.requests, replica.hits, replica.queries
        ),
    };
    out.push_str(&bars("Requests that each replica served", &finding.replicas.iter().map(bar).collect::<Vec<_>>()));
    let chance = Estimate { value: finding.chance, low: None, high: None };
    let share = |label: &str, class, estimate: Estimate| Bar {
        label: label.to_owned(),
        class,
        value: estimate.value,
        ends: estimate.low.zip(estimate.high),
        said: shares(Some(estimate)),
    };
    let both = [share("stayed where the prefix was", "warm", finding.share), share("would by chance", "cold", chance)];
    out.push_str(&bars("Share of requests that stayed; the line is the interval for 95 %", &both));
    out.push_str("</body></html>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_within_the_picture_and_names_are_escaped() {
        let bar = |label: &str, value| Bar {
            label: label.into(),
            class: "cold",
            value,
            ends: Some((value / 2.0, value * 2.0)),
            said: "x".into(),
        };
        let svg = bars("t", &[bar("<a>", 1.0), bar("b", 4.0)]);
        assert!(svg.contains("&lt;a&gt;") && !svg.contains("<a>"));
        let widest = svg.split("width=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse::<f64>().ok());
        assert!(widest.fold(0.0, f64::max) <= 420.0, "{svg}");
        assert_eq!(bars("t", &[]), "");
    }
}
