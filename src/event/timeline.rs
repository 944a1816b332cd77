//! When things happened: a sink that notes the time of events and passes them on.
//!
//! Keeps what reports and critical paths are made of; a wait that says nothing new is not kept. Shows nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::address::Address;
use crate::env::clock::{SharedClock, Timestamp};
use crate::event::{Event, Sink};
use crate::plan::execution::{self, Phase, Task};
use crate::plan::model::{Action, Plan};

/// One event and when it came, since the run began.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Since the run began.
    pub at: Duration,
    /// What happened.
    pub event: Event,
}

/// A run's events with their times.
pub struct Timeline {
    clock: SharedClock,
    begun: Timestamp,
    next: Arc<dyn Sink>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    records: Vec<Record>,
    /// What each resource said last that it waits for.
    waiting: BTreeMap<Address, String>,
}

impl Timeline {
    /// Of a run that begins now; events go on to `next`.
    pub fn new(clock: SharedClock, next: Arc<dyn Sink>) -> Self {
        let begun = clock.now();
        Timeline { clock, begun, next, notes: Mutex::default() }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the run began.
    pub fn begun(&self) -> Timestamp {
        self.begun
    }

    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        self.clock.now().since(self.begun)
    }

    /// What has happened so far.
    pub fn records(&self) -> Vec<Record> {
        self.notes().records.clone()
    }

    /// How many were added, changed and destroyed so far.
    pub fn done(&self, plan: &Plan) -> (usize, usize, usize) {
        let mut done = (0, 0, 0);
        for record in &self.notes().records {
            let Event::Finished { address, action, .. } = &record.event else { continue };
            match (execution::half(plan, address, *action).phase, action) {
                (_, Action::Run | Action::Adopt | Action::NoOp | Action::Record) => {}
                (Phase::Destroy, _) => done.2 += 1,
                (_, Action::Update) => done.1 += 1,
                _ => done.0 += 1,
            }
        }
        done
    }

    /// When halves of changes began and ended; those that are not over last until now.
    pub fn spans(&self, plan: &Plan) -> BTreeMap<Task, (Duration, Duration)> {
        let now = self.elapsed();
        let mut spans = BTreeMap::new();
        for record in &self.notes().records {
            match &record.event {
                Event::Started { address, action, .. } => {
                    spans.insert(execution::half(plan, address, *action), (record.at, now));
                }
                Event::Finished { address, action, .. } | Event::Failed { address, action, .. } => {
                    if let Some((_, end)) = spans.get_mut(&execution::half(plan, address, *action)) {
                        *end = record.at;
                    }
                }
                _ => {}
            }
        }
        spans
    }
}

impl Sink for Timeline {
    fn emit(&self, event: Event) {
        let at = self.elapsed();
        let mut notes = self.notes();
        let is_news = match &event {
            Event::Waiting { address, waiting_for, .. } => {
                notes.waiting.insert(address.clone(), waiting_for.clone()).as_ref() != Some(waiting_for)
            }
            _ => true,
        };
        if is_news {
            notes.records.push(Record { at, event: event.clone() });
        }
        drop(notes);
        self.next.emit(event);
    }
}
