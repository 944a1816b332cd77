//! Benchmarks give planted truths back: speeds and caches of a simulated server with noise, through real sockets on
//! simulated time, and a hundred runs without a cache, none of which may prove one.

use std::sync::Arc;
use std::time::Duration;

use stackwright::env::clock::{SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::measure::cache::{Cell, Round, Sample, Server, judge};
use stackwright::measure::metrics::Counters;
use stackwright::measure::report::CacheReport;
use stackwright::ops::bench::{Bench, Limits, cache};
use stackwright::ops::serving::Served;
use stackwright::platform::models::Endpoint;
use stackwright::sim::serving::metrics::page;
use stackwright::sim::serving::model::{Job, Model, Speed};

use crate::openai_client::{model, platforms, serve};

const BEGAN: Timestamp = Timestamp(1_795_000_000_000);

fn planted(noise: f64) -> Speed {
    let (per_token, overhead) = (Duration::from_millis(20), Duration::from_millis(30));
    Speed { prefill_per_second: 2000.0, per_token, overhead, noise }
}

fn measure(words: &[&str], speed: Speed, seed: u64, limits: Limits, options: &cache::Options) -> CacheReport {
    rustls::crypto::ring::default_provider().install_default().ok();
    let clock = DiscreteClock::new(BEGAN.plus(Duration::from_secs(seed)));
    let runtime = clock.runtime().expect("runtime");
    let shared: SharedClock = Arc::new(clock);
    runtime.block_on(async {
        let port = serve(model(words, speed, shared.now()), shared.clone(), None).await;
        let platforms = platforms(&shared);
        let endpoint = Endpoint { url: format!("http://127.0.0.1:{port}"), ..Endpoint::default() };
        let served = Served::behind(&platforms, endpoint, None).await.expect("served");
        let bench = Bench::new(&platforms, &served, limits, seed, &|_| {});
        cache::run(bench, options).await.expect("measured")
    })
}

fn options(prefixes: &[u64], rounds: usize) -> cache::Options {
    cache::Options {
        prefixes: prefixes.to_vec(),
        generate: vec![8],
        rounds,
        warm: 3,
        parallel: 0,
        per_hour: Some(1.0),
        simulated: true,
    }
}

const PLENTY: Limits = Limits { requests: 10_000, time: Duration::from_secs(100_000) };

#[test]
fn planted_times_are_given_back_within_their_intervals() {
    let (mut within, mut of) = (0, 0);
    for seed in 0..8 {
        let report = measure(&[], planted(0.08), seed, PLENTY, &options(&[512, 1024], 8));
        assert!(report.verdict.is_proven(), "{:?}", report.verdict);
        for finding in &report.findings {
            let hits = finding.hits.expect("hits");
            assert!((hits.ratio - hits.cap).abs() < 0.02 && hits.cold < 1.0, "{hits:?}");
            // What was planted: the prompt less what is cached, at 2000 tokens a second, and 50 ms.
            let cached =
                (finding.prompt_tokens - 1.0).div_euclid(16.0).min((finding.prefix_tokens as f64).div_euclid(16.0))
                    * 16.0;
            let (cold, warm) =
                (finding.prompt_tokens / 2000.0 + 0.05, (finding.prompt_tokens - cached) / 2000.0 + 0.05);
            let [cold_found, warm_found] = finding.first_token.map(|summary| summary.expect("times").p50);
            let saved = finding.first_token_saved.expect("saved");
            for (found, truth) in [(cold_found, cold), (warm_found, warm), (saved, 1.0 - warm / cold)] {
                let (low, high) = (found.low.expect("low"), found.high.expect("high"));
                // The clock has milliseconds.
                of += 1;
                within += usize::from(low - 0.0015 <= truth && truth <= high + 0.0015);
            }
        }
    }
    // 95 % of 48 are 45.6; chance leaves three standard deviations of 1.5.
    println!("planted times within their intervals: {within} of {of}");
    assert!(within >= 41 && of == 48, "{within} of {of}");
}

#[test]
fn a_server_without_a_cache_proves_nothing_over_sockets() {
    for seed in 0..3 {
        let report = measure(&["--no-enable-prefix-caching"], planted(0.4), seed, PLENTY, &options(&[512], 6));
        assert_eq!(report.verdict.word(), "not proven", "{:?}", report.verdict);
    }
}

#[test]
fn limits_end_a_benchmark_and_are_named() {
    let limits = Limits { requests: 9, ..PLENTY };
    let report = measure(&[], planted(0.0), 1, limits, &options(&[256], 8));
    assert_eq!(report.findings[0].rounds, 2);
    assert!(report.scene.cut_short.as_deref().expect("cut").contains("--requests 9"));
    let limits = Limits { time: Duration::from_secs(3), ..PLENTY };
    let report = measure(&[], planted(0.0), 1, limits, &options(&[2048], 8));
    assert!(report.findings[0].rounds < 8 && report.scene.cut_short.expect("cut").contains("--max-seconds 3"));
}

#[test]
fn throughput_and_its_price_are_those_of_the_server() {
    let report = measure(&[], planted(0.0), 1, PLENTY, &cache::Options { parallel: 4, ..options(&[256], 3) });
    let alone = report.throughput.iter().find(|t| t.parallel == 1 && t.warm).expect("measured");
    // Eight tokens of 20 ms, 30 ms before them, and a few tokens read: some 0.2 s a request.
    let pace = alone.written_per_second();
    assert!((30.0..44.0).contains(&pace), "{alone:?}");
    let price = alone.dollars_per_million_written.expect("priced");
    assert!((price - 1e6 / (pace * 3600.0)).abs() < 1e-6, "{price}");
    let together = report.throughput.iter().find(|t| t.parallel == 4 && t.warm).expect("measured");
    assert!(together.written_per_second() > 2.5 * pace, "{together:?}");
}

/// A cell as the benchmark would have measured it, from the server's model alone.
fn cell(model: &Model, seed: u32) -> (Cell, Server) {
    let mut now = BEGAN;
    let mut cell = Cell { prefix_tokens: 900, generate: 16, rounds: Vec::new() };
    let counted = |model: &Model| Counters::read(&page(model));
    for round in 0..8_u32 {
        let mut ask = |number: u32| {
            let prefix = (0..900).map(|at| seed * 1_000_000 + round * 1000 + at);
            let prompt = prefix.chain([number; 12]).collect();
            let job = Job { prompt, salt: String::new(), max_tokens: 16, stop: Vec::new(), choice: 0 };
            let plan = model.begin(now, &job);
            model.finished(&plan, true);
            now = now.plus(plan.whole() + Duration::from_secs(1));
            let (first_token, whole) = (plan.first.as_secs_f64(), plan.whole().as_secs_f64());
            Sample { first_token, whole, prompt_tokens: 912, completion_tokens: 16, cached_tokens: None }
        };
        let before = counted(model);
        let cold = ask(0);
        let between = counted(model);
        let warm = (1..5).map(&mut ask).collect();
        let after = counted(model);
        cell.rounds.push(Round { cold, warm, cold_count: between.since(&before), warm_count: after.since(&between) });
    }
    let counters = counted(model);
    (cell, Server { caching: counters.caching, block: counters.block, uncounted: None })
}

#[test]
fn with_the_cache_off_none_of_a_hundred_noisy_runs_proves_anything() {
    let mut tempting = 0;
    for seed in 0..100 {
        let words: &[&str] = &["--no-enable-prefix-caching"];
        let server = model(words, planted(0.35), BEGAN.plus(Duration::from_millis(u64::from(seed))));
        let (cell, mut known) = cell(&server, seed);
        // Also where the server does not say that its cache is off.
        if seed % 2 == 0 {
            known.caching = None;
        }
        let finding = judge(&cell, &known, u64::from(seed));
        assert_eq!(finding.verdict.word(), "not proven", "{seed}: {:?}", finding.verdict);
        tempting += usize::from(finding.first_token_saved.is_some_and(|saved| saved.value > 0.05));
    }
    // Times alone would have fooled many.
    assert!(tempting > 10, "the noise is too small to mean anything: {tempting}");
}

#[test]
fn with_the_cache_on_all_of_a_hundred_noisy_runs_prove_it() {
    for seed in 0..100 {
        let server = model(&[], planted(0.35), BEGAN.plus(Duration::from_millis(u64::from(seed))));
        let (cell, known) = cell(&server, seed);
        let finding = judge(&cell, &known, u64::from(seed));
        assert!(finding.verdict.is_proven(), "{seed}: {:?}", finding.verdict);
    }
}
