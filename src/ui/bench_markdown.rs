//! Reports of benchmarks as Markdown, for pull requests and notes.

use crate::measure::report::{CacheReport, RoutingReport};
use crate::ui::bench_text::{CAP, dollars, level, ratio, scene, shares, times};
use crate::ui::paint::tame;

/// Text for a cell or a paragraph: nothing in it makes tables, links or HTML.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in tame(text).chars() {
        match c {
            '|' | '*' | '_' | '`' | '[' | ']' | '#' | '\\' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// What `bench cache` found.
pub fn cache(report: &CacheReport) -> String {
    let mut out = format!("## Prefix caching: {}\n\n{}\n\n", report.verdict.word(), plain(report.verdict.reason()));
    out.push_str("| Prefix | Answer | First token, cold | First token, warm | Saved | End to end saved | Tokens from cache | |\n");
    out.push_str("|--:|--:|--:|--:|--:|--:|--:|---|\n");
    for finding in &report.findings {
        let [cold, warm] =
            finding.first_token.map(|summary| summary.map_or("-".to_owned(), |summary| times(summary.p50)));
        out.push_str(&format!(
            "| {} | {} | {cold} | {warm} | {} | {} | {} | {} |\n",
            finding.prefix_tokens,
            finding.generate,
            shares(finding.first_token_saved),
            shares(finding.whole_saved),
            ratio(finding.hits),
            finding.verdict.word()
        ));
    }
    for finding in &report.findings {
        let note = finding.note.as_deref().or((!finding.verdict.is_proven()).then(|| finding.verdict.reason()));
        if let Some(note) = note {
            out.push_str(&format!(
                "\n- {} tokens, answers of {}: {}",
                finding.prefix_tokens,
                finding.generate,
                plain(note)
            ));
        }
    }
    if !report.throughput.is_empty() {
        out.push_str("\n| Throughput | Written/s | In all/s | $ a million written | $ a million in all |\n|---|--:|--:|--:|--:|\n");
        for throughput in &report.throughput {
            out.push_str(&format!(
                "| {} | {:.1} | {:.1} | {} | {} |\n",
                level(throughput),
                throughput.written_per_second(),
                throughput.tokens_per_second(),
                dollars(throughput.dollars_per_million_written),
                dollars(throughput.dollars_per_million_in_all)
            ));
        }
    }
    out.push_str(&format!("\nMedians, with intervals for 95 % where there are enough requests. {CAP}\n"));
    footer(&scene(&report.scene), &mut out);
    out
}

/// What `bench routing` found.
pub fn routing(report: &RoutingReport) -> String {
    let finding = &report.finding;
    let mut out =
        format!("## Routing by prefix: {}\n\n{}\n\n", finding.verdict.word(), plain(finding.verdict.reason()));
    out.push_str("| Replica | Requests | Prompt tokens | From its cache |\n|---|--:|--:|--:|\n");
    for replica in &finding.replicas {
        let (name, requests) = (plain(&replica.name), replica.requests);
        out.push_str(&format!("| {name} | {requests} | {:.0} | {:.0} |\n", replica.queries, replica.hits));
    }
    out.push_str(&format!(
        "\nStayed: {}; by chance {:.0} %. Of the tokens of those that stayed, {:.0} % came from the cache.\n",
        shares(Some(finding.share)),
        finding.chance * 100.0,
        finding.hit_ratio * 100.0
    ));
    footer(&scene(&report.scene), &mut out);
    out
}

fn footer(lines: &[String], out: &mut String) {
    out.push('\n');
    for line in lines {
        out.push_str(&format!("- {}\n", plain(line)));
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_make_no_tables() {
        assert_eq!(plain("a|b <x> `c`\nd"), "a\\|b &lt;x> \\`c\\` d");
    }
}
