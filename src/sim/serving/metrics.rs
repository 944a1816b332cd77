//! A model server's `/metrics`: the families that people read, under vLLM's names.

use std::fmt::Write as _;

use super::model::Model;

const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
];
const WHOLE: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
];

struct Page {
    out: String,
    labels: String,
    created: f64,
}

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.out, "{name}{{{labels}}} {value:?}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let labels = self.labels.clone();
        self.head(name, help, "gauge");
        self.line(name, &labels, value);
    }

    /// A counter and, as Prometheus' Python client adds, the time it was made.
    #[expect(clippy::cast_precision_loss, reason = "counters are far below 2^52")]
    fn counter(&mut self, name: &str, help: &str, values: &[(&str, u64)]) {
        let label = |page: &Page, extra: &str| match extra {
            "" => page.labels.clone(),
            extra => {
                // Labels stand in alphabetical order.
                let mut all: Vec<&str> = page.labels.split(',').chain(std::iter::once(extra)).collect();
                all.sort_unstable();
                all.join(",")
            }
        };
        self.head(&format!("{name}_total"), help, "counter");
        for (extra, value) in values {
            let labels = label(self, extra);
            self.line(&format!("{name}_total"), &labels, *value as f64);
        }
        self.head(&format!("{name}_created"), help, "gauge");
        for (extra, _) in values {
            let (labels, created) = (label(self, extra), self.created);
            self.line(&format!("{name}_created"), &labels, created);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counters are far below 2^52")]
    fn histogram(&mut self, name: &str, help: &str, bounds: &[f64], values: &[f64]) {
        self.head(name, help, "histogram");
        let (engine, model) =
            self.labels.split_once(',').map(|(e, m)| (e.to_owned(), m.to_owned())).unwrap_or_default();
        let texts =
            bounds.iter().map(|b| (format!("{b:?}"), *b)).chain(std::iter::once(("+Inf".to_owned(), f64::INFINITY)));
        for (text, bound) in texts {
            let below = values.iter().filter(|v| **v <= bound).count();
            self.line(&format!("{name}_bucket"), &format!("{engine},le=\"{text}\",{model}"), below as f64);
        }
        let (labels, created) = (self.labels.clone(), self.created);
        self.line(&format!("{name}_count"), &labels, values.len() as f64);
        self.line(&format!("{name}_sum"), &labels, values.iter().sum());
        self.head(&format!("{name}_created"), help, "gauge");
        self.line(&format!("{name}_created"), &labels, created);
    }
}

/// The page.
#[expect(clippy::cast_precision_loss, reason = "counters are far below 2^52")]
pub fn page(model: &Model) -> String {
    let (counters, usage) = model.counters();
    let build = &model.build;
    let name = &build.arguments.served_names[0];
    let created = build.started.0 as f64 / 1000.0;
    let mut page = Page { out: String::new(), labels: format!("engine=\"0\",model_name=\"{name}\""), created };
    page.head("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", "gauge");
    let _ = writeln!(page.out, "process_start_time_seconds {created:?}");
    let running = counters.running.min(build.arguments.max_sequences);
    page.gauge("vllm:num_requests_running", "Number of requests in model execution batches.", running as f64);
    let waiting = counters.running - running;
    page.gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", waiting as f64);
    page.gauge(
        "vllm:kv_cache_usage_perc",
        "KV-cache usage. 1 means 100 percent usage.",
        if running > 0 { usage } else { 0.0 },
    );
    let queries = "Prefix cache queries, in terms of number of queried tokens.";
    page.counter("vllm:prefix_cache_queries", queries, &[("", counters.queries)]);
    page.counter(
        "vllm:prefix_cache_hits",
        "Prefix cache hits, in terms of number of cached tokens.",
        &[("", counters.hits)],
    );
    let external = "External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of queried tokens.";
    page.counter("vllm:external_prefix_cache_queries", external, &[("", 0)]);
    let external = "External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached tokens.";
    page.counter("vllm:external_prefix_cache_hits", external, &[("", 0)]);
    page.counter("vllm:prompt_tokens", "Number of prefill tokens processed.", &[("", counters.prompt_tokens)]);
    page.counter(
        "vllm:prompt_tokens_by_source",
        "Number of prompt tokens by source.",
        &[
            ("source=\"local_compute\"", counters.prompt_tokens - counters.hits),
            ("source=\"local_cache_hit\"", counters.hits),
            ("source=\"external_kv_transfer\"", 0),
        ],
    );
    let cached = "Number of cached prompt tokens (local + external).";
    page.counter("vllm:prompt_tokens_cached", cached, &[("", counters.hits)]);
    page.counter(
        "vllm:generation_tokens",
        "Number of generation tokens processed.",
        &[("", counters.generation_tokens)],
    );
    page.counter(
        "vllm:request_success",
        "Count of successfully processed requests.",
        &[
            ("finished_reason=\"stop\"", counters.stopped),
            ("finished_reason=\"length\"", counters.length),
            ("finished_reason=\"abort\"", 0),
            ("finished_reason=\"error\"", 0),
        ],
    );
    let first = "Histogram of time to first token in seconds.";
    page.histogram("vllm:time_to_first_token_seconds", first, FIRST_TOKEN, &counters.first_token);
    let whole = "Histogram of e2e request latency in seconds.";
    page.histogram("vllm:e2e_request_latency_seconds", whole, WHOLE, &counters.whole);
    page.head("vllm:cache_config_info", "Information of the LLMEngine CacheConfig", "gauge");
    let caching = if build.arguments.prefix_caching { "True" } else { "False" };
    let info = format!(
        "block_size=\"{}\",cache_dtype=\"auto\",enable_prefix_caching=\"{caching}\",engine=\"0\",\
         gpu_memory_utilization=\"{:?}\",num_gpu_blocks=\"{}\",prefix_caching_hash_algo=\"sha256\"",
        build.block_size, build.arguments.memory_utilization, build.blocks
    );
    page.line("vllm:cache_config_info", &info, 1.0);
    page.head("http_requests_total", "Total number of requests by method, status and handler.", "counter");
    for ((handler, method, class), count) in &counters.http {
        let labels = format!("handler=\"{handler}\",method=\"{method}\",status=\"{class}\"");
        page.line("http_requests_total", &labels, *count as f64);
    }
    page.out
}
