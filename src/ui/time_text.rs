//! How long a plan takes, for people: one line with the critical path, before a run and after it.

use std::time::Duration;

use crate::plan::time::Schedule;
use crate::ui::paint::{Paint, duration, tame_line};

/// So many legs of the critical path are named.
const NAMED: usize = 6;

/// A leg of less than this share of the whole is not named.
const NOTABLE: f64 = 0.01;

/// Of less than this, an estimate is not worth a figure.
const MOMENT: Duration = Duration::from_secs(2);

/// `Estimated time: 20m00s (critical path: cluster 4m00s → node_pools.gpu 7m00s → …).`; empty where nothing takes time.
pub fn estimate(schedule: &Schedule, paint: Paint) -> String {
    if schedule.total.is_zero() {
        return String::new();
    }
    let path = path(schedule);
    let text = match schedule.total < MOMENT || path.is_empty() {
        true => "a few seconds".to_owned(),
        false => format!("{} (critical path: {path})", duration(schedule.total)),
    };
    format!("{} {text}\n", paint.bold("Estimated time:"))
}

/// How long it took, what was expected, and what it waited for.
pub fn took(simulated: bool, elapsed: Duration, expected: &Schedule, executed: &Schedule) -> String {
    let name = if simulated { "Simulated time" } else { "Time" };
    let mut out = format!("{name}: {}", duration(elapsed));
    if !expected.total.is_zero() {
        out.push_str(&format!("; {} expected", duration(expected.total)));
    }
    let path = path(executed);
    if !path.is_empty() {
        out.push_str(&format!(" (critical path: {path})"));
    }
    out.push('.');
    out
}

/// The legs that matter, `cluster 4m00s → node_pools.gpu 7m00s`.
fn path(schedule: &Schedule) -> String {
    let legs = schedule.legs();
    let notable = |took: &Duration| took.as_secs_f64() >= NOTABLE * schedule.total.as_secs_f64() && took.as_secs() > 0;
    let mut longest = legs.iter().enumerate().filter(|(_, (_, took))| notable(took)).collect::<Vec<_>>();
    longest.sort_by_key(|(at, (_, took))| (std::cmp::Reverse(*took), *at));
    let mut named = longest.iter().take(NAMED).map(|(at, _)| *at).collect::<Vec<_>>();
    named.sort_unstable();
    let named = named.into_iter().map(|at| format!("{} {}", tame_line(legs[at].0), duration(legs[at].1)));
    named.collect::<Vec<_>>().join(" → ")
}
