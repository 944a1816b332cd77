//! How far a run is: what is under way, what is ahead, and how long that takes by the plan's estimates.
//!
//! Pure: fed with events and asked with the time. Draws nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::address::Address;
use crate::env::clock::Timestamp;
use crate::event::Event;
use crate::plan::execution::{self, Phase, Task};
use crate::plan::model::{Action, Plan};

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
    tasks: Vec<Step>,
    numbers: BTreeMap<Task, usize>,
    dependents: Vec<Vec<usize>>,
    /// Dependents before what they need.
    backwards: Vec<usize>,
    /// The longest way through the plan, seconds.
    whole: u64,
}

struct Step {
    component: String,
    estimate: u64,
    standing: Standing,
}

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Ahead,
    Running(Timestamp),
    Over,
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
    /// How long it usually takes, seconds.
    pub(super) usual: u64,
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
        let graph = execution::graph(plan);
        let names = graph.nodes().cloned().collect::<Vec<_>>();
        let numbers = names.iter().enumerate().map(|(at, task)| (task.clone(), at)).collect::<BTreeMap<_, _>>();
        let dependents = names.iter().map(|task| {
            graph.dependents(task).into_iter().filter_map(|(key, _)| numbers.get(key).copied()).collect::<Vec<_>>()
        });
        let dependents = dependents.collect::<Vec<_>>();
        let order = graph.order().unwrap_or_default();
        let backwards = order.iter().rev().filter_map(|task| numbers.get(task).copied()).collect::<Vec<_>>();
        let tasks = names.iter().map(|task| {
            let change = plan.change(&task.address).filter(|change| {
                (change.action.acts() || change.resume) && change.goes_with.is_none() && task.phase != Phase::Clear
            });
            Step {
                component: task.address.component().to_owned(),
                estimate: change.map_or(0, |change| execution::seconds(change, task.phase)),
                standing: Standing::Ahead,
            }
        });
        let tasks = tasks.collect::<Vec<_>>();
        let (stack, destroy) = (plan.stack.clone(), plan.destroy);
        let mut course =
            Course { stack, destroy, components, begun: None, tasks, numbers, dependents, backwards, whole: 0 };
        course.whole = course.ahead(Timestamp::default(), None).into_iter().max().unwrap_or(0);
        let names = course.components.keys().cloned().collect::<Vec<_>>();
        for name in names {
            let usual = course.ahead(Timestamp::default(), Some(&name)).into_iter().max().unwrap_or(0);
            if let Some(component) = course.components.get_mut(&name) {
                component.usual = usual;
            }
        }
        course
    }

    /// Takes note of an event.
    pub(super) fn note(&mut self, event: &Event, now: Timestamp) {
        match event {
            Event::Started { address, action, .. } => {
                self.begun.get_or_insert(now);
                self.stand(address, *action, Standing::Running(now));
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
                self.stand(address, *action, Standing::Over);
                let component = self.components.entry(address.component().to_owned()).or_default();
                component.done += 1;
                component.running.remove(address);
            }
            Event::Failed { address, action, .. } => {
                if let Some(at) = self.number(address, *action) {
                    self.give_up(at);
                }
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

    /// The task that an action on a resource is.
    fn number(&self, address: &Address, action: Action) -> Option<usize> {
        let task = |phase| self.numbers.get(&Task { phase, address: address.clone() }).copied();
        match action {
            Action::Delete | Action::Forget => task(Phase::Destroy),
            _ => task(Phase::Apply).or_else(|| task(Phase::Destroy)),
        }
    }

    fn stand(&mut self, address: &Address, action: Action, standing: Standing) {
        if let Some(at) = self.number(address, action) {
            self.tasks[at].standing = standing;
        }
    }

    /// Neither it nor what needs it will take any time.
    fn give_up(&mut self, at: usize) {
        let mut queue = vec![at];
        while let Some(at) = queue.pop() {
            self.tasks[at].standing = Standing::Over;
            queue.extend(self.dependents[at].iter().filter(|next| self.tasks[**next].standing != Standing::Over));
        }
    }

    /// Seconds from now to the end by each task's longest way, counting only those of one component if so asked.
    fn ahead(&self, now: Timestamp, component: Option<&str>) -> Vec<u64> {
        let mut ahead = vec![0; self.tasks.len()];
        for &at in &self.backwards {
            let step = &self.tasks[at];
            let own = match step.standing {
                _ if component.is_some_and(|name| name != step.component) => 0,
                Standing::Over => 0,
                Standing::Ahead => step.estimate,
                Standing::Running(since) => step.estimate.saturating_sub(now.since(since).as_secs()),
            };
            ahead[at] = own + self.dependents[at].iter().map(|&next| ahead[next]).max().unwrap_or(0);
        }
        ahead
    }

    /// How long it takes from now by the estimates, and the component that the end waits for.
    pub(super) fn remaining(&self, now: Timestamp) -> (Duration, Option<&str>) {
        let ahead = self.ahead(now, None);
        let whole = ahead.iter().copied().max().unwrap_or(0);
        let running = self.tasks.iter().zip(&ahead).filter(|(step, _)| matches!(step.standing, Standing::Running(_)));
        let critical = running.max_by_key(|(_, ahead)| **ahead).map(|(step, _)| step.component.as_str());
        (Duration::from_secs(whole), critical)
    }

    /// How much of the way is done, from 0 to 1.
    pub(super) fn fraction(&self, now: Timestamp) -> f64 {
        let (done, total) = self.counted();
        #[expect(clippy::cast_precision_loss, reason = "figures of a bar")]
        let counted = if total == 0 { 0.0 } else { done as f64 / total as f64 };
        if self.whole == 0 {
            return counted;
        }
        #[expect(clippy::cast_precision_loss, reason = "minutes")]
        let timed = 1.0 - self.remaining(now).0.as_secs() as f64 / self.whole as f64;
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
    pub(super) fn pending(&self, now: Timestamp) -> Vec<&str> {
        let ahead = self.ahead(now, None);
        let mut urgency: BTreeMap<&str, u64> = BTreeMap::new();
        for (step, ahead) in self.tasks.iter().zip(&ahead).filter(|(step, _)| step.standing == Standing::Ahead) {
            let longest = urgency.entry(&step.component).or_default();
            *longest = (*longest).max(*ahead);
        }
        let untouched = |c: &Component| c.begun.is_none() && c.done < c.total;
        let mut pending =
            self.components.iter().filter(|(_, c)| untouched(c)).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        pending.sort_by_key(|name| (std::cmp::Reverse(urgency.get(name).copied()), *name));
        pending
    }
}
