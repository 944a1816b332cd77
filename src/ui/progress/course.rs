//! How far a run is, as far as it is shown: what is under way and waits for what, what is ahead, how much is done.
//!
//! Pure: fed with events and asked with the time. Draws nothing; how long the rest takes is `plan::forecast`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::address::Address;
use crate::env::clock::Timestamp;
use crate::event::Event;
use crate::plan::forecast::{Forecast, Rest};
use crate::plan::model::{Action, Plan};
use crate::plan::time::{self, PARALLELISM};

/// The course of a run.
pub(super) struct Course {
    /// The stack's name.
    pub(super) stack: String,
    /// It is taken away.
    pub(super) destroy: bool,
    /// By name.
    pub(super) components: BTreeMap<String, Component>,
    /// When the first change began.
    pub(super) begun: Option<Timestamp>,
    forecast: Forecast,
}

/// A component's part in it.
#[derive(Default)]
pub(super) struct Component {
    /// Resources that change.
    pub(super) resources: usize,
    /// Changes: what is made anew counts twice.
    pub(super) total: usize,
    /// Changes that are complete.
    pub(super) done: usize,
    /// When its first change began.
    pub(super) begun: Option<Timestamp>,
    /// What is under way.
    pub(super) running: BTreeMap<Address, Running>,
    /// How long it usually takes.
    pub(super) usual: Duration,
}

/// A change that is under way.
pub(super) struct Running {
    /// Since when.
    pub(super) begun: Timestamp,
    /// For what it waits, as far as it has said.
    pub(super) waiting: Option<String>,
}

impl Course {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut components: BTreeMap<String, Component> = BTreeMap::new();
        for change in plan.changes.iter().filter(|c| (c.action.acts() || c.resume) && c.goes_with.is_none()) {
            let component = components.entry(change.address.component().to_owned()).or_default();
            component.resources += 1;
            component.total += if change.action == Action::Replace { 2 } else { 1 };
        }
        // Whoever carries the plan out may do more at a time, or less: it is an estimate.
        let forecast = Forecast::new(time::Course::of(plan, PARALLELISM));
        for (name, usual) in forecast.alone() {
            if let Some(component) = components.get_mut(name) {
                component.usual = usual;
            }
        }
        Course { stack: plan.stack.clone(), destroy: plan.destroy, components, begun: None, forecast }
    }

    /// Takes note of an event.
    pub(super) fn note(&mut self, event: &Event, now: Timestamp) {
        match event {
            Event::Started { address, action, .. } => {
                let begun = *self.begun.get_or_insert(now);
                self.forecast.begin(address, *action, now.since(begun));
                let component = self.components.entry(address.component().to_owned()).or_default();
                component.begun.get_or_insert(now);
                component.running.insert(address.clone(), Running { begun: now, waiting: None });
            }
            Event::Waiting { address, waiting_for: words, .. } | Event::Retrying { address, message: words, .. } => {
                if let Some(running) = self.running(address) {
                    running.waiting = Some(words.clone());
                }
            }
            Event::Finished { address, action, .. } => {
                self.forecast.end(address, *action);
                let component = self.components.entry(address.component().to_owned()).or_default();
                component.done += 1;
                component.running.remove(address);
            }
            Event::Failed { address, action, .. } => {
                self.forecast.give_up(address, *action);
                if let Some(component) = self.components.get_mut(address.component()) {
                    component.running.remove(address);
                }
            }
            _ => {}
        }
    }

    fn running(&mut self, address: &Address) -> Option<&mut Running> {
        self.components.get_mut(address.component())?.running.get_mut(address)
    }

    /// What is left, as expected now, in whole seconds.
    pub(super) fn rest(&self, now: Timestamp) -> Rest<'_> {
        let rest = self.forecast.rest(self.begun.map_or(Duration::ZERO, |begun| now.since(begun)));
        Rest { total: Duration::from_secs(rest.total.as_secs()), ..rest }
    }

    /// How much of the way is done, from 0 to 1.
    pub(super) fn fraction(&self, rest: &Rest<'_>) -> f64 {
        let (done, total) = self.counted();
        #[expect(clippy::cast_precision_loss, reason = "figures of a bar")]
        let counted = if total == 0 { 0.0 } else { done as f64 / total as f64 };
        let whole = self.forecast.whole();
        if whole.is_zero() {
            return counted;
        }
        let timed = 1.0 - rest.total.as_secs_f64() / whole.as_secs_f64();
        if done == total { 1.0 } else { timed.clamp(0.0, 0.99) }
    }

    /// Changes that are complete, and all.
    pub(super) fn counted(&self) -> (usize, usize) {
        self.components.values().fold((0, 0), |(done, total), c| (done + c.done, total + c.total.max(c.done)))
    }

    /// Components with something under way: the critical one first, then in the order in which they began.
    pub(super) fn active(&self, critical: Option<&str>) -> Vec<(&str, &Component)> {
        let active = self.components.iter().filter(|(_, component)| !component.running.is_empty());
        let mut active = active.map(|(name, component)| (name.as_str(), component)).collect::<Vec<_>>();
        active.sort_by_key(|(name, component)| (Some(*name) != critical, component.begun, *name));
        active
    }

    /// Components of which nothing has begun, those with the longest way to the end first.
    pub(super) fn pending(&self, rest: &Rest<'_>) -> Vec<&str> {
        let untouched = |c: &Component| c.begun.is_none() && c.done < c.total;
        let mut pending =
            self.components.iter().filter(|(_, c)| untouched(c)).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        pending.sort_by_key(|name| (std::cmp::Reverse(rest.urgency.get(name).copied()), *name));
        pending
    }
}
