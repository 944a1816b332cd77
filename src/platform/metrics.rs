//! Names of vLLM's metrics over its versions: which there are, which there were, and what people ask for that never was.
//!
//! Data, and how to look a name up; reading a page is not for here. As recorded of a server of 0.32 and as vLLM's own
//! changes say.

/// One name, without labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// As the page has it.
    pub name: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What it says.
    pub says: &'static str,
}

/// How a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Servers of today have it.
    Current,
    /// Older servers had it: until when, and what to use instead.
    Gone(&'static str, &'static str),
    /// No server ever had it; what to use instead.
    Never(&'static str),
}

use Standing::{Current, Gone, Never};

const fn metric(name: &'static str, standing: Standing, says: &'static str) -> Metric {
    Metric { name, standing, says }
}

/// All names that are known here.
pub const METRICS: &[Metric] = &[
    metric("vllm:prefix_cache_queries_total", Current, "prompt tokens looked up in the prefix cache"),
    metric("vllm:prefix_cache_hits_total", Current, "of these, tokens that were found"),
    metric("vllm:kv_cache_usage_perc", Current, "share of the cache in use, 0 to 1"),
    metric("vllm:num_requests_running", Current, "requests under way"),
    metric("vllm:num_requests_waiting", Current, "requests that wait for their turn"),
    metric("vllm:prompt_tokens_total", Current, "tokens of prompts"),
    metric("vllm:prompt_tokens_cached_total", Current, "of these, tokens from a cache"),
    metric("vllm:generation_tokens_total", Current, "tokens written"),
    metric("vllm:time_to_first_token_seconds_bucket", Current, "histogram: from a request to its first token"),
    metric("vllm:e2e_request_latency_seconds_bucket", Current, "histogram: from a request to its end"),
    metric("vllm:cache_config_info", Current, "labels enable_prefix_caching and block_size say how the cache is set"),
    metric(
        "vllm:prefix_cache_misses_total",
        Never("vllm:prefix_cache_queries_total - vllm:prefix_cache_hits_total"),
        "tokens that were not found",
    ),
    metric(
        "vllm:gpu_cache_usage_perc",
        Gone("0.10", "vllm:kv_cache_usage_perc"),
        "share of the cache in use, of the time before TPUs had one",
    ),
    metric(
        "vllm:gpu_prefix_cache_queries_total",
        Gone("0.10", "vllm:prefix_cache_queries_total"),
        "tokens looked up; before May 2025 blocks",
    ),
    metric(
        "vllm:gpu_prefix_cache_hits_total",
        Gone("0.10", "vllm:prefix_cache_hits_total"),
        "tokens found; before May 2025 blocks",
    ),
    metric(
        "vllm:gpu_prefix_cache_hit_rate",
        Gone("the first engine", "vllm:prefix_cache_hits_total / vllm:prefix_cache_queries_total"),
        "a rate, from which nothing can be counted",
    ),
];

/// What to use in place of a name that servers of today do not have; `None` for those that they have, and for unknown ones.
pub fn instead_of(name: &str) -> Option<&'static str> {
    let found = METRICS.iter().find(|metric| metric.name == name)?;
    match found.standing {
        Current => None,
        Gone(_, instead) | Never(instead) => Some(instead),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_documentation_has_every_row() {
        let page = include_str!("../../docs/metrics.md");
        for metric in METRICS {
            let row = match metric.standing {
                Current => format!("| `{}` | {} |", metric.name, metric.says),
                Gone(until, instead) => format!("| `{}` | up to {until} | `{instead}` |", metric.name),
                Never(instead) => format!("| `{}` | never | `{instead}` |", metric.name),
            };
            assert!(page.contains(&row), "docs/metrics.md lacks\n{row}");
        }
    }

    #[test]
    fn what_is_to_be_used_instead_is_there() {
        for metric in METRICS {
            let Some(instead) = instead_of(metric.name) else { continue };
            for name in instead.split([' ', '-', '/']).filter(|name| !name.is_empty()) {
                let found = METRICS.iter().find(|other| other.name == name).expect("a row");
                assert_eq!(found.standing, Current, "{name}");
            }
        }
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "says what it skips")]
    fn a_real_server_has_the_current_names_and_no_other() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = ["../shared", "../../shared"].map(|up| root.join(up).join("recordings/vllm/http/metrics.txt"));
        let Some(page) = folders.iter().find_map(|path| std::fs::read_to_string(path).ok()) else {
            println!("skipped: no recording of a page");
            return;
        };
        for metric in METRICS {
            let there = page.lines().any(|line| line.split(['{', ' ']).next() == Some(metric.name));
            assert_eq!(there, metric.standing == Current, "{}", metric.name);
        }
    }
}
