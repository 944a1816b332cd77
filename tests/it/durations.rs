//! Expected times against the simulator's: where everything takes another time than the catalogue says, and sometimes
//! another one than the last time, three runs are enough to know. And the path that was expected to be critical is the
//! one that was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use stackwright::backend::Session;
use stackwright::backend::local::LocalBackend;
use stackwright::engine::dispatcher::Interrupt;
use stackwright::env::clock::{SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::memory_disk::MemoryDisk;
use stackwright::env::random::SeededRandom;
use stackwright::event::Collected;
use stackwright::event::timeline::Timeline;
use stackwright::ops::apply::{Apply, apply};
use stackwright::ops::platforms::Platforms;
use stackwright::ops::preview::{Subject, preview};
use stackwright::plan::execution::half;
use stackwright::plan::forecast::Forecast;
use stackwright::plan::planner::Options;
use stackwright::plan::time::{Course, Schedule};
use stackwright::resource::model::Desired;
use stackwright::sim::world::World;

use crate::lab::{STACKS, failures, platforms, shipped, simulate, with_room};

const PARALLELISM: usize = 16;

/// One run: what was expected of it, how it went, and what was expected of the rest of it on the way.
struct Run {
    expected: Schedule,
    executed: Schedule,
    /// At the end of each change: when, and how long the rest was expected to take.
    forecasts: Vec<(Duration, Duration)>,
}

impl Run {
    /// How far off the expectation was, as a part of what it took.
    fn error(&self) -> f64 {
        (self.expected.total.as_secs_f64() / self.executed.total.as_secs_f64() - 1.0).abs()
    }

    /// The critical path without what is over in a moment.
    fn path(&self, schedule: &Schedule) -> Vec<String> {
        let least = self.executed.total / 50;
        let steps = schedule.critical_path.iter().filter(|step| step.took >= least);
        steps.map(|step| format!("{:?} {}", step.phase, step.address)).collect()
    }
}

async fn run(
    desired: &Desired,
    secrets: &BTreeMap<String, String>,
    destroy: bool,
    platforms: &Platforms,
    session: &mut dyn Session,
) -> Run {
    let empty = Desired { stack: desired.stack.clone(), ..Desired::default() };
    let options = Options { destroy, ..Options::default() };
    let subject = Subject::bare(if destroy { &empty } else { desired }, session.state(), &options);
    let planned = preview(platforms, subject).await.expect("a plan");
    let (_sender, interrupt) = tokio::sync::watch::channel(Interrupt::None);
    let timeline = Arc::new(Timeline::new(platforms.clock.clone(), Arc::new(Collected::default())));
    let job = Apply {
        plan: &planned.plan,
        observed: planned.observed,
        secrets: secrets.clone(),
        ttl: None,
        parallelism: PARALLELISM,
        sink: timeline.clone(),
        interrupt,
        shuffle: None,
    };
    let applied = apply(platforms, session, job).await.expect("state can be written");
    assert_eq!(failures(&applied), Vec::<String>::new(), "{}", desired.stack);
    let course = Course::of(&planned.plan, PARALLELISM);
    let spans = timeline.spans(&planned.plan);
    let mut forecast = Forecast::new(course.clone());
    let mut marks = spans.iter().flat_map(|(task, (begin, end))| [(*begin, task, true), (*end, task, false)]);
    let mut marks = marks.by_ref().collect::<Vec<_>>();
    marks.sort();
    let mut forecasts = Vec::new();
    for (at, task, begins) in marks {
        let action = action(&planned.plan, task);
        match begins {
            true => forecast.begin(&task.address, action, at),
            false => forecast.end(&task.address, action),
        }
        forecasts.push((at, forecast.rest(at).total));
    }
    assert!(spans.keys().all(|task| half(&planned.plan, &task.address, action(&planned.plan, task)) == *task));
    Run { expected: course.expected(), executed: course.executed(&spans), forecasts }
}

/// What an event says that is done in a half of a change.
fn action(
    plan: &stackwright::plan::model::Plan,
    task: &stackwright::plan::execution::Task,
) -> stackwright::plan::model::Action {
    use stackwright::plan::execution::Phase;
    use stackwright::plan::model::Action;
    match (task.phase, plan.change(&task.address).map(|change| change.action)) {
        (Phase::Destroy, Some(Action::Replace)) => Action::Delete,
        (_, action) => action.unwrap_or(Action::NoOp),
    }
}

/// Three lives of a stack in a world where nothing takes as long as the catalogue says; then a fourth.
fn lives(stack: &str) -> Vec<[Run; 2]> {
    let (desired, secrets) = shipped(stack);
    with_room(|| {
        let clock = DiscreteClock::new(Timestamp(1_800_000_000_000));
        let runtime = clock.runtime().expect("runtime");
        runtime.block_on(async {
            let shared: SharedClock = Arc::new(clock.clone());
            let slow = |operation: &str, factor: f64, nth: u64, times: u64| {
                json!({ "kind": "slow", "operation": operation, "factor": factor, "nth": nth, "times": times })
            };
            let rules = json!({ "faults": [
                slow("CREATE_CLUSTER", 2.4, 1, 1),
                slow("CREATE_CLUSTER", 2.0, 2, 1),
                slow("CREATE_CLUSTER", 2.2, 3, 9),
                slow("CREATE_NODE_POOL", 1.7, 1, 1),
                // Once in a while a pool takes very long.
                slow("CREATE_NODE_POOL", 5.0, 2, 1),
                slow("CREATE_NODE_POOL", 1.9, 3, 9),
                slow("DELETE_NODE_POOL", 0.4, 1, 9),
                slow("DELETE_CLUSTER", 2.5, 1, 2),
                slow("DELETE_CLUSTER", 2.2, 3, 9),
            ]});
            let (_simulator, serving) = simulate(World::in_memory(), &shared, Some(rules)).await;
            let platforms = platforms(&serving, &shared, Arc::new(SeededRandom::new(5)));
            let backend = LocalBackend::new(Arc::new(MemoryDisk::new()), &PathBuf::from("state"), &desired.stack);
            let mut session = backend.open("lab").expect("state");
            let mut lives = Vec::new();
            for _ in 0..4 {
                let made = run(&desired, &secrets, false, &platforms, &mut session).await;
                let gone = run(&desired, &secrets, true, &platforms, &mut session).await;
                lives.push([made, gone]);
            }
            lives
        })
    })
}

#[test]
fn after_three_runs_the_time_of_the_fourth_is_known() {
    let mut first = BTreeSet::new();
    for stack in STACKS {
        let lives = lives(stack);
        for (at, what) in ["apply", "destroy"].into_iter().enumerate() {
            let errors = lives.iter().map(|life| life[at].error()).collect::<Vec<_>>();
            let last = &lives[3][at];
            let (expected, took) = (last.expected.total.as_secs(), last.executed.total.as_secs());
            let shown = errors.iter().map(|error| format!("{:.0} %", error * 100.0)).collect::<Vec<_>>().join(", ");
            println!("{stack} {what}: expected {expected} s, took {took} s; off by {shown}");
            assert!(errors[3] < 0.2, "{stack} {what}: off by {shown}");
            assert_eq!(last.path(&last.expected), last.path(&last.executed), "{stack} {what}");
            assert!(last.expected.measured > 0, "{stack} {what}");
            // On the way as well: at any moment, what has passed and what remains is about the whole.
            for (at, remaining) in &last.forecasts {
                let whole = (*at + *remaining).as_secs_f64();
                let off = (whole / last.executed.total.as_secs_f64() - 1.0).abs();
                assert!(off < 0.2, "{stack} {what}: after {at:?}, {remaining:?} remained of {took} s");
            }
            let (end, left) = last.forecasts.last().expect("something happened");
            assert_eq!((*end, *left), (last.executed.total, Duration::ZERO), "{stack} {what}");
            first.insert(errors[0] >= 0.2);
        }
    }
    assert!(first.contains(&true), "the catalogue alone would have known");
}
