//! Any order that the graph allows brings a stack up, also while webhooks are slow.

use serde_json::json;

use crate::lab::{Conditions, PRODUCTION, STACKS, bring_up, is_long, shipped};

#[test]
fn random_orders_succeed_with_slow_admission() {
    let seeds = if is_long() { 500 } else { 2 };
    for (name, seeds) in STACKS.map(|name| (name, seeds)).into_iter().chain(PRODUCTION.map(|name| (name, seeds / 2))) {
        let (desired, secrets) = shipped(name);
        for seed in 0..seeds {
            let conditions = Conditions {
                faults: Some(json!({ "faults": [{ "kind": "webhook", "service": "*", "seconds": 2 }] })),
                shuffle: Some(seed),
                // One call at a time makes the order of calls the drawn one.
                parallelism: 1,
            };
            let outcome = bring_up(&desired, &secrets, &conditions);
            assert!(outcome.works(), "{name}, seed {seed}: {:#?}", outcome.failures);
        }
    }
}

#[test]
fn the_same_run_takes_the_same_simulated_time() {
    let (desired, secrets) = shipped("gpu-t4");
    let runs = [(); 2].map(|()| bring_up(&desired, &secrets, &Conditions::default()));
    for run in &runs {
        assert!(run.works(), "{:#?}", run.failures);
    }
    assert_eq!(runs[0].applied.elapsed, runs[1].applied.elapsed);
}
