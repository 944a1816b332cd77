//! Jobs: Pods that run until enough of them have succeeded or too many have failed.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::writes::Mood;
use super::{Controller, Key, Outcome, Surroundings, durations, fields, kinds, pods, writes};
use crate::env::clock::Timestamp;
use crate::sim::kube::api::{Api, Gvk, Status};

const COMPONENT: &str = "job-controller";

/// The Job controller.
#[derive(Debug, Clone, Copy)]
pub struct Jobs;

#[async_trait]
impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Job"), kinds::of("Pod")]
    }

    fn keys(&self, changed: &Key, object: &Json, _: &dyn Api) -> Vec<Key> {
        pods::owner_keys("Job", changed, object)
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(job) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if fields::is_going(&job) {
            return Ok(Outcome::Done);
        }
        let now = around.clock.now();
        if let Some(outcome) = self.retire(around, &job).await? {
            return Ok(outcome);
        }
        let mine = pods::controlled(&**api, &job);
        let phase = |wanted: &str| mine.iter().filter(|pod| fields::text(pod, "/status/phase") == wanted).count();
        let (succeeded, failed) = (phase("Succeeded"), phase("Failed"));
        let restarts: i64 = mine
            .iter()
            .filter(|pod| pods::is_active(pod) && fields::text(pod, "/spec/restartPolicy") == "OnFailure")
            .flat_map(|pod| fields::list(pod, "/status/containerStatuses"))
            .map(|status| fields::number(status, "/restartCount").unwrap_or_default())
            .sum();
        let active: Vec<_> = mine.iter().filter(|pod| pods::is_active(pod)).collect();
        let limit = fields::number(&job, "/spec/backoffLimit").unwrap_or(6);
        let parallel = usize::try_from(fields::number(&job, "/spec/parallelism").unwrap_or(1)).unwrap_or_default();
        let completions = fields::number(&job, "/spec/completions").and_then(|n| usize::try_from(n).ok());
        let suspended = fields::flag(&job, "/spec/suspend");
        let started = fields::time(&job, "/status/startTime");
        let deadline = fields::number(&job, "/spec/activeDeadlineSeconds")
            .and_then(|s| u64::try_from(s).ok())
            .map(Duration::from_secs);
        let over = started.zip(deadline).is_some_and(|(start, limit)| now.since(start) >= limit);
        let complete = match completions {
            Some(wanted) => succeeded >= wanted,
            None => succeeded > 0 && active.is_empty(),
        };
        let verdict = if i64::try_from(failed).unwrap_or(i64::MAX).saturating_add(restarts) > limit {
            Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
        } else if over {
            Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
        } else if complete {
            Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"))
        } else {
            None
        };
        if let Some(verdict) = verdict {
            for pod in &active {
                pods::delete(around, &job, pod, COMPONENT).await?;
            }
            self.observe(around, key, Some(verdict)).await?;
            return Ok(Outcome::After(Duration::from_millis(1)));
        }
        if suspended {
            for pod in &active {
                pods::delete(around, &job, pod, COMPONENT).await?;
            }
            self.observe(around, key, None).await?;
            return Ok(Outcome::Done);
        }
        let left = completions.map_or(parallel, |wanted| wanted.saturating_sub(succeeded));
        let wanted = if completions.is_none() && succeeded > 0 { 0 } else { parallel.min(left) };
        let mut failure = None;
        let mut wait = deadline.zip(started).map(|(limit, start)| limit.saturating_sub(now.since(start)));
        if active.len() < wanted {
            if let Some(pause) = pause(&mine, failed, now) {
                wait = Some(wait.map_or(pause, |known| known.min(pause)));
            } else {
                let prefix = format!("{}-", key.name);
                let seed = format!("{}/{failed}/{succeeded}", fields::uid(&job));
                for name in pods::fresh_names(around, &key.namespace, &prefix, &seed, wanted - active.len()) {
                    let pod = pod(&job, &name);
                    failure = pods::create(around, &job, pod, &prefix, COMPONENT).await.err();
                    if failure.is_some() {
                        break;
                    }
                }
            }
        }
        self.observe(around, key, None).await?;
        match failure {
            Some(failure) => Err(failure),
            None => Ok(wait.map_or(Outcome::Done, Outcome::After)),
        }
    }
}

/// How long the next Pod is still held back after failures: 10 s, doubled each time, at most 6 min.
fn pause(mine: &[std::sync::Arc<Json>], failed: usize, now: Timestamp) -> Option<Duration> {
    let last = mine
        .iter()
        .filter(|pod| fields::text(pod, "/status/phase") == "Failed")
        .filter_map(|pod| {
            let statuses = fields::list(pod, "/status/containerStatuses").iter();
            let ends = statuses.filter_map(|status| fields::time(status, "/state/terminated/finishedAt")).max();
            ends.or_else(|| fields::time(pod, "/metadata/creationTimestamp"))
        })
        .max()?;
    let exponent = u32::try_from(failed.saturating_sub(1)).unwrap_or(16).min(16);
    let whole = durations::BACKOFF_FIRST.saturating_mul(1 << exponent).min(Duration::from_secs(360));
    let left = whole.saturating_sub(now.since(last));
    (!left.is_zero()).then_some(left)
}

fn pod(job: &Json, name: &str) -> Json {
    let mut pod = pods::from_template(job, &job["spec"]["template"], name);
    let labels = &mut pod["metadata"]["labels"];
    for prefix in ["", "batch.kubernetes.io/"] {
        labels[format!("{prefix}controller-uid")] = json!(fields::uid(job));
        labels[format!("{prefix}job-name")] = json!(fields::name(job));
    }
    if fields::text(&pod, "/spec/restartPolicy").is_empty() {
        pod["spec"]["restartPolicy"] = json!("Never");
    }
    pod
}

impl Jobs {
    /// Handles a Job that has ended: removes it when its time to live is over.
    async fn retire(&self, around: &Surroundings, job: &Json) -> Result<Option<Outcome>, Status> {
        let ended = ["Complete", "Failed"]
            .into_iter()
            .filter_map(|kind| fields::condition_entry(job, kind))
            .find(|entry| fields::text(entry, "/status") == "True");
        let Some(ended) = ended else { return Ok(None) };
        let Some(ttl) = fields::number(job, "/spec/ttlSecondsAfterFinished") else { return Ok(Some(Outcome::Done)) };
        let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or_default());
        let since = fields::time(ended, "/lastTransitionTime").unwrap_or_default();
        let passed = around.clock.now().since(since);
        if passed < ttl {
            return Ok(Some(Outcome::After(ttl.saturating_sub(passed))));
        }
        writes::delete(&around.api, job, None).await?;
        Ok(Some(Outcome::Done))
    }

    async fn observe(
        &self,
        around: &Surroundings,
        key: &Key,
        verdict: Option<(&str, &str, &str)>,
    ) -> Result<(), Status> {
        let api = &around.api;
        let Some(job) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(()) };
        let now = around.clock.now();
        let mine = pods::controlled(&**api, &job);
        let phase = |wanted: &str| mine.iter().filter(|pod| fields::text(pod, "/status/phase") == wanted).count();
        let active: Vec<_> = mine.iter().filter(|pod| pods::is_active(pod)).collect();
        let ready = active.iter().filter(|pod| pods::is_ready(pod)).count();
        let suspended = fields::flag(&job, "/spec/suspend");
        let mut next = (*job).clone();
        if !suspended && next.pointer("/status/startTime").is_none() {
            next["status"]["startTime"] = json!(now.rfc3339());
        }
        let counts = [("active", active.len()), ("succeeded", phase("Succeeded")), ("failed", phase("Failed"))];
        for (field, count) in counts {
            match next["status"].as_object_mut() {
                Some(status) if count == 0 => drop(status.shift_remove(field)),
                _ => next["status"][field] = json!(count),
            }
        }
        next["status"]["ready"] = json!(ready);
        next["status"]["uncountedTerminatedPods"] = json!({});
        next["status"]["terminating"] = json!(mine.iter().filter(|pod| fields::is_going(pod)).count());
        if suspended {
            fields::set_condition(&mut next, "Suspended", "True", "JobSuspended", "Job suspended", now);
        }
        if let Some((kind, reason, message)) = verdict {
            let target = if kind == "Complete" { "SuccessCriteriaMet" } else { "FailureTarget" };
            fields::set_condition(&mut next, target, "True", reason, message, now);
            fields::set_condition(&mut next, kind, "True", reason, message, now);
            if kind == "Complete" {
                next["status"]["completionTime"] = json!(now.rfc3339());
            }
        }
        writes::status(api, &job, next).await?;
        if let Some((kind, reason, message)) = verdict {
            let (mood, reason, message) = match kind {
                "Complete" => (Mood::Normal, "Completed", "Job completed"),
                _ => (Mood::Warning, reason, message),
            };
            writes::event(around, &job, mood, reason, message, COMPONENT).await;
        }
        Ok(())
    }
}
