//! What a model server's `/metrics` say of its prefix cache, over vLLM's versions.
//!
//! Names match whole: `…_created` beside a counter is a time, and `external_…` another cache. There is no counter of
//! misses: they are queries without hits.

use std::collections::BTreeMap;

use serde::Serialize;

/// A line of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The metric.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Reads Prometheus' text format; lines that are none are left out.
pub fn lines(page: &str) -> Vec<Line> {
    page.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    let end = text.find(['{', ' ', '\t'])?;
    let (name, mut rest) = text.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut chars = after.char_indices();
            rest = loop {
                match chars.next()? {
                    (_, '\\') => match chars.next()? {
                        (_, 'n') => value.push('\n'),
                        (_, c) => value.push(c),
                    },
                    (at, '"') => break &after[at + 1..],
                    (_, c) => value.push(c),
                }
            };
            labels.insert(key.trim().to_owned(), value);
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Line { name: name.to_owned(), labels, value })
}

/// Under which names a server counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// `vllm:prefix_cache_{queries,hits}_total`, in tokens.
    Current,
    /// `vllm:gpu_prefix_cache_{queries,hits}_total`, of before vLLM 0.11: tokens, or before May 2025 blocks.
    Old,
    /// `vllm:gpu_prefix_cache_hit_rate` alone, of vLLM's first engine: a rate, from which nothing can be counted.
    Rate,
    /// None of them.
    #[default]
    Absent,
}

/// What a server has counted, over all of its engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counters {
    /// Under which names.
    pub names: Names,
    /// Prompt tokens looked up in the cache.
    pub queries: f64,
    /// Of these, found.
    pub hits: f64,
    /// Prompt tokens in all, where that is counted.
    pub prompt_tokens: Option<f64>,
    /// Tokens written, where that is counted.
    pub generation_tokens: Option<f64>,
    /// Whether the cache is on, where the server says.
    pub caching: Option<bool>,
    /// Tokens in a block, where the server says.
    pub block: Option<u64>,
    /// Engines that count.
    pub engines: usize,
}

const CURRENT: (&str, &str) = ("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total");
const OLD: (&str, &str) = ("vllm:gpu_prefix_cache_queries_total", "vllm:gpu_prefix_cache_hits_total");
const RATE: &str = "vllm:gpu_prefix_cache_hit_rate";

impl Counters {
    /// Of a page.
    pub fn read(page: &str) -> Counters {
        let lines = lines(page);
        let sum = |name: &str| {
            let mut found = lines.iter().filter(|line| line.name == name).peekable();
            found.peek()?;
            Some(found.map(|line| line.value).sum::<f64>())
        };
        let pair = |names: (&str, &str)| Some((sum(names.0)?, sum(names.1)?));
        // Two generations of names stand beside each other in some versions: they count the same.
        let (names, queries, hits) = match (pair(CURRENT), pair(OLD)) {
            (Some((queries, hits)), _) => (Names::Current, queries, hits),
            (None, Some((queries, hits))) => (Names::Old, queries, hits),
            (None, None) if sum(RATE).is_some() => (Names::Rate, 0.0, 0.0),
            (None, None) => (Names::Absent, 0.0, 0.0),
        };
        let info = lines.iter().find(|line| line.name == "vllm:cache_config_info");
        let label = |name: &str| info.and_then(|line| line.labels.get(name));
        let counted = if names == Names::Old { OLD.0 } else { CURRENT.0 };
        Counters {
            names,
            queries,
            hits,
            prompt_tokens: sum("vllm:prompt_tokens_total"),
            generation_tokens: sum("vllm:generation_tokens_total"),
            caching: label("enable_prefix_caching").and_then(|text| match text.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            }),
            block: label("block_size").and_then(|text| text.parse().ok()),
            engines: lines.iter().filter(|line| line.name == counted).count(),
        }
    }

    /// Several servers' together. Names must agree: of counters of different units there is no sum.
    pub fn sum(all: &[Counters]) -> Counters {
        let Some((first, rest)) = all.split_first() else { return Counters::default() };
        rest.iter().fold(*first, |sum, next| {
            let both = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
            Counters {
                names: if sum.names == next.names { sum.names } else { Names::Absent },
                queries: sum.queries + next.queries,
                hits: sum.hits + next.hits,
                prompt_tokens: both(sum.prompt_tokens, next.prompt_tokens),
                generation_tokens: both(sum.generation_tokens, next.generation_tokens),
                caching: if sum.caching == next.caching { sum.caching } else { None },
                block: if sum.block == next.block { sum.block } else { None },
                engines: sum.engines + next.engines,
            }
        })
    }

    /// Why nothing can be counted here; `None` if it can.
    pub fn complaint(&self) -> Option<&'static str> {
        match self.names {
            Names::Current | Names::Old => None,
            Names::Rate => Some("the server is too old: its metrics have a hit rate, and no counters of hits"),
            Names::Absent => Some("the metrics have no counters of a prefix cache"),
        }
    }

    /// What was counted since; `None` where counters have begun anew, or under other names.
    pub fn since(&self, before: &Counters) -> Option<Counted> {
        let same = self.names == before.names && self.complaint().is_none();
        let counted = Counted { queries: self.queries - before.queries, hits: self.hits - before.hits };
        (same && counted.queries >= 0.0 && counted.hits >= 0.0).then_some(counted)
    }
}

/// What was counted from one moment to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counted {
    /// Prompt tokens looked up.
    pub queries: f64,
    /// Of these, found.
    pub hits: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_summed_and_neighbours_left_out() {
        let page = "# HELP x y\n\
            vllm:prefix_cache_queries_total{engine=\"0\",model_name=\"a b\"} 100.0\n\
            vllm:prefix_cache_queries_total{engine=\"1\",model_name=\"a \\\"b\\\"\"} 50.0\n\
            vllm:prefix_cache_queries_created{engine=\"0\"} 1.79e9\n\
            vllm:external_prefix_cache_queries_total{engine=\"0\"} 7.0\n\
            vllm:prefix_cache_hits_total{engine=\"0\"} 64\n\
            vllm:prefix_cache_hits_total{engine=\"1\"} 16\n\
            vllm:gpu_prefix_cache_hits_total{engine=\"0\"} 64\n\
            vllm:gpu_prefix_cache_queries_total{engine=\"0\"} 100\n\
            vllm:cache_config_info{block_size=\"16\",enable_prefix_caching=\"True\"} 1.0\n\
            nonsense\n";
        let found = Counters::read(page);
        assert_eq!((found.names, found.queries, found.hits, found.engines), (Names::Current, 150.0, 80.0, 2));
        assert_eq!((found.caching, found.block), (Some(true), Some(16)));
        assert_eq!(lines(page)[1].labels["model_name"], "a \"b\"");
    }

    #[test]
    fn older_servers_are_understood_or_named() {
        let old = "vllm:gpu_prefix_cache_queries_total{} 10\nvllm:gpu_prefix_cache_hits_total{} 4\n";
        assert_eq!((Counters::read(old).names, Counters::read(old).hits), (Names::Old, 4.0));
        let rate = Counters::read("vllm:gpu_prefix_cache_hit_rate{model_name=\"m\"} 0.7\n");
        assert!(rate.complaint().expect("a complaint").contains("too old"));
        assert!(Counters::read("up 1\n").complaint().is_some());
    }

    #[test]
    fn a_server_that_began_anew_is_noticed() {
        let at = |queries, hits| Counters { names: Names::Current, queries, hits, ..Counters::default() };
        assert_eq!(at(5.0, 2.0).since(&at(3.0, 1.0)), Some(Counted { queries: 2.0, hits: 1.0 }));
        assert_eq!(at(1.0, 0.0).since(&at(3.0, 1.0)), None);
        let old = Counters { names: Names::Old, ..at(5.0, 5.0) };
        assert_eq!(old.since(&at(3.0, 1.0)), None);
        assert!(Counters::sum(&[at(1.0, 1.0), old]).complaint().is_some());
    }
}
