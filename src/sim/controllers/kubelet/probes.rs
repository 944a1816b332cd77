//! When probes succeed and what their failures do.
//!
//! Probes run at `initialDelaySeconds` after the start and every `periodSeconds` from then; a program that
//! serves answers the next one.

use std::time::Duration;

use serde_json::Value as Json;

use super::super::fields;
use crate::env::clock::Timestamp;

/// What the probes of a running container say by now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) started: bool,
    pub(super) ready: bool,
    /// The probe that had it killed, and why that failed.
    pub(super) killed: Option<(&'static str, String)>,
    /// Why it is not ready, where the program gives a reason.
    pub(super) unready: Option<String>,
    /// When to look again.
    pub(super) wait: Option<Duration>,
}

struct Rhythm {
    delay: Duration,
    period: Duration,
    failures: u32,
    successes: u32,
}

fn rhythm(probe: &Json) -> Rhythm {
    let number = |field: &str, default: u32| {
        let value = probe.get(field).and_then(Json::as_u64).and_then(|v| u32::try_from(v).ok());
        value.filter(|v| *v > 0).unwrap_or(default)
    };
    let delay = probe.get("initialDelaySeconds").and_then(Json::as_u64).unwrap_or_default();
    Rhythm {
        delay: Duration::from_secs(delay),
        period: Duration::from_secs(u64::from(number("periodSeconds", 10))),
        failures: number("failureThreshold", 3),
        successes: number("successThreshold", 1),
    }
}

impl Rhythm {
    /// The first probe at or after a moment.
    fn next(&self, base: Timestamp, moment: Timestamp) -> Timestamp {
        let first = base.plus(self.delay);
        if moment <= first {
            return first;
        }
        let period = u64::try_from(self.period.as_millis()).unwrap_or(u64::MAX);
        Timestamp(first.0 + (moment.0 - first.0).div_ceil(period) * period)
    }

    /// The probe whose failure is one too many if none before succeeded.
    fn last_chance(&self, base: Timestamp) -> Timestamp {
        base.plus(self.delay).plus(self.period * (self.failures - 1))
    }
}

/// Whether it has a probe at all.
pub(super) fn any(container: &Json) -> bool {
    ["startupProbe", "livenessProbe", "readinessProbe"].iter().any(|probe| container.get(*probe).is_some())
}

/// Judges a container that started at `base` and serves from `serves` on (`None`: not foreseeable).
pub(super) fn judge(
    container: &Json,
    base: Timestamp,
    now: Timestamp,
    serves: Option<Timestamp>,
    answers: &dyn Fn(&Json) -> Result<(), String>,
    ready: &dyn Fn() -> Result<(), String>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut passed = base;
    let until = |verdict: &mut Verdict, moment: Timestamp| {
        let wait = moment.since(now).max(Duration::from_millis(1));
        verdict.wait = super::sooner(verdict.wait, Some(wait));
    };
    // A probe's reply: from when on it is right, or why it never is.
    let reply = |probe: &Json| -> Result<Option<Timestamp>, String> { answers(probe).map(|()| serves) };
    if let Some(probe) = container.get("startupProbe") {
        let rhythm = rhythm(probe);
        let end = rhythm.last_chance(base);
        match reply(probe) {
            Ok(Some(serves)) if rhythm.next(base, serves) <= end => {
                passed = rhythm.next(base, serves);
                if now < passed {
                    until(&mut verdict, passed);
                    return verdict;
                }
            }
            other => {
                if now >= end {
                    let why = other.err().unwrap_or_else(|| refused(probe));
                    verdict.killed = Some(("startupProbe", why));
                } else {
                    until(&mut verdict, end);
                }
                return verdict;
            }
        }
    }
    verdict.started = true;
    if let Some(probe) = container.get("livenessProbe") {
        let rhythm = rhythm(probe);
        let from = if container.get("startupProbe").is_some() { passed } else { base };
        let end = if from == base {
            rhythm.last_chance(base)
        } else {
            rhythm.next(base, from).plus(rhythm.period * (rhythm.failures - 1))
        };
        match reply(probe) {
            Ok(Some(serves)) if serves <= end => {}
            other if now >= end => {
                verdict.killed = Some(("livenessProbe", other.err().unwrap_or_else(|| refused(probe))));
                return verdict;
            }
            _ => until(&mut verdict, end),
        }
    }
    let Some(probe) = container.get("readinessProbe") else {
        verdict.ready = true;
        return verdict;
    };
    let rhythm = rhythm(probe);
    match reply(probe) {
        Ok(Some(serves)) => {
            let first = rhythm.next(base, serves.max(passed)).plus(rhythm.period * (rhythm.successes - 1));
            if now < first {
                until(&mut verdict, first);
                return verdict;
            }
            match ready() {
                Ok(()) => verdict.ready = true,
                Err(why) => {
                    verdict.unready = Some(why);
                    until(&mut verdict, now.plus(rhythm.period.max(Duration::from_secs(5))));
                }
            }
        }
        Ok(None) => {}
        Err(why) => {
            if now >= base.plus(rhythm.delay) {
                verdict.unready = Some(why);
            }
            until(&mut verdict, now.plus(rhythm.period.max(Duration::from_secs(5))));
        }
    }
    verdict
}

/// The kubelet's words about a port on which nobody listens yet.
fn refused(probe: &Json) -> String {
    let port = |at: &str| probe.pointer(at).map(|p| p.as_str().map_or_else(|| p.to_string(), str::to_owned));
    if let Some(port) = port("/httpGet/port") {
        let scheme = match fields::text(probe, "/httpGet/scheme") {
            "HTTPS" => "https",
            _ => "http",
        };
        let path = fields::text(probe, "/httpGet/path");
        return format!("Get \"{scheme}://:{port}{path}\": dial tcp :{port}: connect: connection refused");
    }
    if let Some(port) = port("/tcpSocket/port") {
        return format!("dial tcp :{port}: connect: connection refused");
    }
    if let Some(port) = port("/grpc/port") {
        return format!("timeout: failed to connect service \":{port}\" within 1s: context deadline exceeded");
    }
    "command failed".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn judge_at(container: &Json, now: u64, serves: u64) -> Verdict {
        judge(container, at(0), at(now), Some(at(serves)), &|_| Ok(()), &|| Ok(()))
    }

    #[test]
    fn readiness_waits_for_the_next_probe_after_it_serves() {
        let container = json!({"readinessProbe": {"initialDelaySeconds": 5, "periodSeconds": 10}});
        let verdict = judge_at(&container, 7, 6);
        assert_eq!((verdict.ready, verdict.wait), (false, Some(Duration::from_secs(8))));
        assert!(judge_at(&container, 15, 6).ready);
    }

    #[test]
    fn a_slow_start_is_killed_by_liveness_unless_a_startup_probe_covers_it() {
        let live = json!({"livenessProbe": {"initialDelaySeconds": 60, "periodSeconds": 10, "failureThreshold": 3}});
        assert_eq!(judge_at(&live, 79, 200).killed, None);
        assert_eq!(judge_at(&live, 80, 200).killed.map(|k| k.0), Some("livenessProbe"));
        let mut both = live;
        both["startupProbe"] = json!({"periodSeconds": 10, "failureThreshold": 60});
        assert_eq!(judge_at(&both, 150, 200).killed, None);
        assert!(judge_at(&both, 200, 200).started);
        both["startupProbe"]["failureThreshold"] = json!(5);
        assert_eq!(judge_at(&both, 40, 200).killed.map(|k| k.0), Some("startupProbe"));
    }
}
