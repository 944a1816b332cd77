//! The last lines of containers' logs, for `pods/log`.
//!
//! Kept in memory only: a new process knows the logs of what it starts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::env::clock::Timestamp;

/// Lines kept of one container's run.
const LINES: usize = 500;

/// Logs by Pod uid and container.
#[derive(Debug, Default)]
pub struct Logs(Mutex<BTreeMap<(String, String), Log>>);

#[derive(Debug, Default)]
struct Log {
    lines: Vec<(Timestamp, String)>,
    /// Lines of this process that are no longer kept.
    dropped: usize,
    previous: Vec<(Timestamp, String)>,
}

impl Logs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Log>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new process of a container, with its first lines.
    pub fn begin(&self, pod_uid: &str, container: &str, now: Timestamp, lines: Vec<String>) {
        let mut logs = self.lock();
        let log = logs.entry((pod_uid.to_owned(), container.to_owned())).or_default();
        log.previous = std::mem::take(&mut log.lines);
        log.dropped = 0;
        log.lines = lines.into_iter().map(|line| (now, line)).collect();
    }

    /// More lines of the running process.
    pub fn append(&self, pod_uid: &str, container: &str, now: Timestamp, lines: &[String]) {
        let mut logs = self.lock();
        let log = logs.entry((pod_uid.to_owned(), container.to_owned())).or_default();
        log.lines.extend(lines.iter().map(|line| (now, line.clone())));
        let surplus = log.lines.len().saturating_sub(LINES);
        log.lines.drain(..surplus);
        log.dropped += surplus;
    }

    /// The lines of a container's present process after the first `seen`, and how many there are by now.
    pub fn after(&self, pod_uid: &str, container: &str, seen: usize) -> (Vec<(Timestamp, String)>, usize) {
        let logs = self.lock();
        let Some(log) = logs.get(&(pod_uid.to_owned(), container.to_owned())) else { return (Vec::new(), 0) };
        let all = log.dropped + log.lines.len();
        // A new process has fewer lines than were seen of the old one.
        let skip = if seen > all { 0 } else { seen.saturating_sub(log.dropped) };
        (log.lines.iter().skip(skip).cloned().collect(), all)
    }

    /// The lines of a container's present process, or of the one before, with the time of each.
    pub fn read(&self, pod_uid: &str, container: &str, previous: bool) -> Vec<(Timestamp, String)> {
        let logs = self.lock();
        let log = logs.get(&(pod_uid.to_owned(), container.to_owned()));
        log.map(|log| if previous { log.previous.clone() } else { log.lines.clone() }).unwrap_or_default()
    }

    /// The Pod is gone.
    pub fn forget(&self, pod_uid: &str) {
        self.lock().retain(|(uid, _), _| uid != pod_uid);
    }
}
