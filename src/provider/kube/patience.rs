//! When a cause is the end of a wait: what nothing but a person will change ends it once it has lasted.
//!
//! A first failure may be a race with something that is being made at the same moment, so almost nothing is final when
//! it is first seen. The one table of how long is here; what is looked at is in `causes`, `decided`, `supplies`,
//! `placement` and `last_words`.

use std::cmp::Reverse;
use std::time::Duration;

use serde_json::Value as Json;

use crate::env::clock::Timestamp;
use crate::resource::readiness::Readiness;

/// What a controller has decided about what it was given: somebody has to change one or the other.
pub const DECIDED: Duration = Duration::from_secs(60);

/// Something that is referred to and is not there: whoever else makes it has had the time.
pub const ABSENT: Duration = Duration::from_secs(120);

/// A webhook that is asked and does not answer rightly: one to three minutes are usual after a rollout of whoever
/// serves it. A volume or a network that a node does not get.
pub const SUPPLY: Duration = Duration::from_secs(180);

/// A kind that the API server does not serve: an operator may bring its definitions when it starts.
pub const DEFINED: Duration = Duration::from_secs(240);

/// A quota of the cloud, which others may free: controllers that meet it come back minutes later.
pub const CLOUD: Duration = Duration::from_secs(300);

/// A device that no node has to give: driver, toolkit and plugin have had their time.
pub const DEVICE: Duration = Duration::from_secs(300);

/// How much younger than the cause itself the first sight of it may be: explanations are not asked for at every poll.
const LATE: Duration = Duration::from_secs(15);

/// A chain of causes, and when it ends the wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Outermost first.
    pub causes: Vec<String>,
    /// When waiting longer cannot help.
    pub end: End,
}

/// When waiting longer cannot help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It may yet pass.
    #[default]
    Open,
    /// Once the cause has been there so long; `since` when the platform says so.
    Lasting(Duration, Option<Timestamp>),
    /// By what happened then, if that was in this wait: what an earlier one has met may have been mended since.
    At(Timestamp),
    /// Now.
    Now,
}

impl Explanation {
    /// A cause that may pass.
    pub fn open(cause: impl Into<String>) -> Self {
        Explanation { causes: vec![cause.into()], end: End::Open }
    }

    /// A cause that ends the wait as `end` says.
    pub fn ending(cause: impl Into<String>, end: End) -> Self {
        Explanation { causes: vec![cause.into()], end }
    }

    /// The same below a further cause.
    #[must_use]
    pub fn below(mut self, outer: impl Into<String>) -> Self {
        self.causes.insert(0, outer.into());
        self
    }

    /// How much it says, for choosing among several: the end of the wait before the wait for one; of the same, what has
    /// been there longest.
    pub fn weight(&self) -> (u8, Reverse<Timestamp>) {
        let never = Timestamp(u64::MAX);
        let (weight, since) = match self.end {
            End::Now => (2, Timestamp(0)),
            End::At(happened) => (2, happened),
            End::Lasting(_, since) => (1, since.unwrap_or(never)),
            End::Open => (0, never),
        };
        (weight, Reverse(since))
    }

    /// Whether the wait is over. The platform's own time counts as far as it agrees with ours: its clock may be another,
    /// and an old trouble that a new run meets gets its time again.
    pub fn is_over(&self, wait: Wait, now: Timestamp) -> bool {
        match self.end {
            End::Open => false,
            End::Now => true,
            // Times of the platform are whole seconds: in that of its beginning, a run has met nothing yet.
            End::At(happened) => happened >= before(wait.met) && happened > wait.begun,
            End::Lasting(patience, since) => {
                let since = since.unwrap_or(wait.seen).clamp(before(wait.seen), wait.seen);
                now.since(since) >= patience
            }
        }
    }
}

/// The wait in which a cause is found.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// When the run began: somebody may have mended what happened before.
    pub begun: Timestamp,
    /// When the object was first looked at.
    pub met: Timestamp,
    /// When the cause was first seen.
    pub seen: Timestamp,
}

/// What an object says of itself, without verdicts from before the run: a Deployment keeps that its pods were too slow
/// until one of them is ready, whatever has been mended since.
pub fn without_old_verdicts(readiness: Readiness, object: &Json, begun: Timestamp) -> Readiness {
    let Readiness::Failed { causes } = readiness else { return readiness };
    let conditions = object.pointer("/status/conditions").and_then(Json::as_array);
    let slow = conditions.into_iter().flatten().find(|condition| condition["reason"] == "ProgressDeadlineExceeded");
    let decided = slow.and_then(|slow| slow["lastUpdateTime"].as_str()).and_then(Timestamp::parse);
    match decided {
        Some(decided) if decided <= begun => Readiness::InProgress { waiting_for: causes.join(": ") },
        _ => Readiness::Failed { causes },
    }
}

/// As early as what is only seen now may have begun.
fn before(seen: Timestamp) -> Timestamp {
    Timestamp(seen.0.saturating_sub(millis(LATE)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_counts_from_its_own_time_but_not_from_long_ago() {
        let at = |seconds: u64| Timestamp(seconds * 1000);
        let lasting = |since| Explanation::ending("x", End::Lasting(DECIDED, since));
        let over = |explanation: Explanation, seen, now| {
            explanation.is_over(Wait { begun: at(95), met: at(100), seen: at(seen) }, at(now))
        };
        assert!(!over(Explanation::open("x"), 100, 10_000));
        assert!(over(Explanation::ending("x", End::Now), 100, 100));
        assert!(!over(lasting(None), 100, 159) && over(lasting(None), 100, 160));
        assert!(over(lasting(Some(at(92))), 100, 152), "as the platform dates it");
        assert!(!over(lasting(Some(at(10))), 100, 144), "but at most a little earlier than it was seen");
        assert!(over(lasting(Some(at(900))), 100, 160), "nor later");
        assert!(over(Explanation::ending("x", End::At(at(130))), 131, 131));
        assert!(over(Explanation::ending("x", End::At(at(96))), 100, 101), "just before the first look");
        assert!(!over(Explanation::ending("x", End::At(at(50))), 100, 200), "of an earlier run");
        assert!(!over(Explanation::ending("x", End::At(at(95))), 100, 200), "of an earlier run that has just ended");
    }

    #[test]
    fn a_verdict_from_before_the_run_is_a_wait() {
        let deployment = serde_json::json!({"kind": "Deployment", "status": {"conditions": [{"type": "Progressing",
            "reason": "ProgressDeadlineExceeded", "lastUpdateTime": "2026-01-01T00:10:00Z"}]}});
        let decided = Timestamp::parse("2026-01-01T00:10:00Z").expect("a time");
        let failed = Readiness::failed("too slow");
        let seen = |begun| without_old_verdicts(failed.clone(), &deployment, begun);
        assert_eq!(seen(Timestamp(decided.0 - 1)), failed);
        assert_eq!(seen(decided), Readiness::waiting("too slow"));
        assert_eq!(without_old_verdicts(Readiness::Current, &deployment, decided), Readiness::Current);
    }
}
