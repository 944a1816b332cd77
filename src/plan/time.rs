//! How long a plan takes, and what it waits for: expected before, measured afterwards; what remains in between is
//! [`super::forecast`]'s.
//!
//! All walk the very graph that is carried out ([`super::execution`]) with the durations that the plan expects
//! (`expectation`). Pure: times are durations since the run began, and whoever has a clock brings them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use crate::address::Address;
use crate::plan::execution::{self, Phase, Task};
use crate::plan::model::{Action, Plan};

/// Requests under way at a time, where nobody says another number.
pub const PARALLELISM: usize = 16;

/// How long the requests of one change occupy one of the places for them; the rest of its time is waiting, of which
/// there is no limit.
const CALL: Duration = Duration::from_millis(100);

/// When everything happens.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Schedule {
    /// From the first change to the last.
    #[serde(rename = "total_seconds", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub total: Duration,
    /// The chain of changes that each waited for the one before, up to the last: nothing else makes it faster.
    pub critical_path: Vec<Step>,
    /// By component, in the order in which they begin.
    pub components: Vec<ComponentTime>,
    /// By resource, in the order in which they begin; only what takes time.
    pub changes: Vec<Span>,
    /// So many of the changes have durations from earlier runs of this stack.
    pub measured: usize,
}

/// One step of the critical path.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Step {
    /// Of whom.
    pub address: Address,
    /// Which half of its change.
    pub phase: Phase,
    /// How long it takes.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub took: Duration,
    /// Of the whole, between 0 and 1.
    pub share: f64,
}

/// When a component is worked on.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct ComponentTime {
    /// Its name.
    pub component: String,
    /// Its first change begins.
    #[serde(rename = "begin_seconds", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub begin: Duration,
    /// Its last change is over.
    #[serde(rename = "end_seconds", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub end: Duration,
    /// Changes that take time.
    pub changes: usize,
    /// One of them is on the critical path.
    pub critical: bool,
}

/// When one half of a change happens.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Span {
    /// Of whom.
    pub address: Address,
    /// Which half.
    pub phase: Phase,
    /// What is done.
    pub action: Action,
    /// When it begins.
    #[serde(rename = "begin_seconds", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub begin: Duration,
    /// When it is over.
    #[serde(rename = "end_seconds", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub end: Duration,
    /// What it waited for last, of that which took time.
    pub after: Option<Address>,
    /// Whether it is on the critical path.
    pub critical: bool,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

impl Schedule {
    /// The critical path by component: neighbours of one component are one leg.
    pub fn legs(&self) -> Vec<(&str, Duration)> {
        let mut legs: Vec<(&str, Duration)> = Vec::new();
        for step in &self.critical_path {
            match legs.last_mut() {
                Some((component, took)) if *component == step.address.component() => *took += step.took,
                _ => legs.push((step.address.component(), step.took)),
            }
        }
        legs
    }
}

/// What is expected of a plan with so many requests at a time.
pub fn estimate(plan: &Plan, parallelism: usize) -> Schedule {
    Course::of(plan, parallelism).expected()
}

/// The graph of a plan's execution with durations.
#[derive(Clone, Debug)]
pub struct Course {
    pub(super) tasks: Vec<Task>,
    pub(super) numbers: BTreeMap<Task, usize>,
    actions: Vec<Action>,
    pub(super) lengths: Vec<Duration>,
    needs: Vec<Vec<usize>>,
    pub(super) dependents: Vec<Vec<usize>>,
    /// Each after all that it needs.
    pub(super) order: Vec<usize>,
    /// To the end of the plan by the longest way, from the beginning of the task: the most urgent is begun first.
    pub(super) urgency: Vec<Duration>,
    measured: usize,
    parallelism: usize,
}

impl Course {
    /// Of a plan that is carried out with so many requests at a time.
    pub fn of(plan: &Plan, parallelism: usize) -> Self {
        let graph = execution::graph(plan);
        let tasks = graph.nodes().cloned().collect::<Vec<_>>();
        let numbers = tasks.iter().enumerate().map(|(at, task)| (task.clone(), at)).collect::<BTreeMap<_, _>>();
        let needs = tasks
            .iter()
            .map(|task| graph.dependencies(task).into_iter().filter_map(|(key, _)| numbers.get(key).copied()).collect())
            .collect::<Vec<Vec<usize>>>();
        let mut dependents = vec![Vec::new(); tasks.len()];
        for (at, needed) in needs.iter().enumerate() {
            needed.iter().for_each(|&need| dependents[need].push(at));
        }
        let order = graph.order().unwrap_or_default();
        let order = order.iter().filter_map(|task| numbers.get(task).copied()).collect::<Vec<_>>();
        let change = |task: &Task| plan.change(&task.address);
        let length = |task: &Task| change(task).map_or(0, |change| execution::seconds(change, task.phase));
        let lengths = tasks.iter().map(|task| Duration::from_secs(length(task))).collect::<Vec<_>>();
        let actions = tasks.iter().map(|task| match (change(task).map(|c| c.action), task.phase) {
            (Some(Action::Replace), Phase::Destroy) => Action::Delete,
            (action, _) => action.unwrap_or(Action::NoOp),
        });
        let mut urgency = vec![Duration::ZERO; tasks.len()];
        for &at in order.iter().rev() {
            let longest = dependents[at].iter().map(|&dependent| urgency[dependent]).max().unwrap_or_default();
            urgency[at] = lengths[at] + longest;
        }
        let measured = plan.changes.iter().filter(|c| c.measured > 0 && (c.action.acts() || c.resume)).count();
        Course {
            actions: actions.collect(),
            order,
            urgency,
            measured,
            parallelism: parallelism.clamp(1, tasks.len().max(1)),
            tasks,
            numbers,
            lengths,
            needs,
            dependents,
        }
    }

    /// How long it takes at least to begin so many changes.
    pub(super) fn waiting_for_places(&self, changes: u32) -> Duration {
        CALL * changes / u32::try_from(self.parallelism).unwrap_or(u32::MAX)
    }

    /// What is expected.
    pub fn expected(&self) -> Schedule {
        let mut missing = self.needs.iter().map(Vec::len).collect::<Vec<_>>();
        let mut spans = vec![None; self.tasks.len()];
        let mut places = (0..self.parallelism).map(|_| Reverse(Duration::ZERO)).collect::<BinaryHeap<_>>();
        let mut running = BinaryHeap::new();
        let urgent = |at: usize| (Reverse(self.urgency[at]), at);
        let mut ready = (0..missing.len()).filter(|&at| missing[at] == 0).map(urgent).collect::<BTreeSet<_>>();
        let mut now = Duration::ZERO;
        loop {
            let mut over = Vec::new();
            match ready.pop_first() {
                Some((_, at)) if self.lengths[at].is_zero() => over.push(at),
                Some((_, at)) => {
                    let Reverse(free) = places.pop().unwrap_or_default();
                    let begins = free.max(now);
                    places.push(Reverse(begins + CALL.min(self.lengths[at])));
                    spans[at] = Some((now, begins + self.lengths[at]));
                    running.push(Reverse((begins + self.lengths[at], at)));
                }
                None => {
                    let Some(Reverse((end, _))) = running.peek().copied() else { break };
                    now = end;
                    while let Some(Reverse((_, at))) = running.peek().copied().filter(|Reverse((at, _))| *at == now) {
                        running.pop();
                        over.push(at);
                    }
                }
            }
            for at in over {
                for &dependent in &self.dependents[at] {
                    missing[dependent] -= 1;
                    if missing[dependent] == 0 {
                        ready.insert(urgent(dependent));
                    }
                }
            }
        }
        self.schedule(&spans)
    }

    /// How it went: `spans` say when halves of changes began and ended, since the run began.
    pub fn executed(&self, spans: &BTreeMap<Task, (Duration, Duration)>) -> Schedule {
        let spans = self.tasks.iter().map(|task| spans.get(task).copied()).collect::<Vec<_>>();
        Schedule { measured: 0, ..self.schedule(&spans) }
    }

    fn schedule(&self, spans: &[Option<(Duration, Duration)>]) -> Schedule {
        let mut ends = vec![Duration::ZERO; self.tasks.len()];
        // The last of what each task waited for, and the last of that which took time.
        let mut causes: Vec<Option<usize>> = vec![None; self.tasks.len()];
        for &at in &self.order {
            let last = self.needs[at].iter().copied().max_by_key(|&need| (ends[need], Reverse(need)));
            let waited = last.and_then(|last| if takes_time(spans[last]) { Some(last) } else { causes[last] });
            causes[at] = waited;
            ends[at] = match spans[at] {
                Some((_, end)) => end,
                None => last.map_or(Duration::ZERO, |last| ends[last]),
            };
        }
        let timed = |at: &usize| takes_time(spans[*at]);
        let last = (0..self.tasks.len()).filter(timed).max_by_key(|&at| (ends[at], self.lengths[at], Reverse(at)));
        let mut chain = Vec::new();
        let mut next = last;
        while let Some(at) = next {
            chain.push(at);
            next = causes[at];
        }
        chain.reverse();
        let total = last.map_or(Duration::ZERO, |last| ends[last]);
        let critical = chain.iter().copied().collect::<BTreeSet<_>>();
        let took = |at: usize| spans[at].map_or(Duration::ZERO, |(begin, end)| end.saturating_sub(begin));
        let path = chain.iter().map(|&at| Step {
            address: self.tasks[at].address.clone(),
            phase: self.tasks[at].phase,
            took: took(at),
            share: (took(at).as_secs_f64() / total.as_secs_f64().max(0.001) * 1000.0).round() / 1000.0,
        });
        let mut changes = Vec::new();
        for (at, span) in spans.iter().enumerate() {
            let Some((begin, end)) = span.filter(|_| timed(&at)) else { continue };
            changes.push(Span {
                address: self.tasks[at].address.clone(),
                phase: self.tasks[at].phase,
                action: self.actions[at],
                begin,
                end,
                after: causes[at].map(|cause| self.tasks[cause].address.clone()),
                critical: critical.contains(&at),
            });
        }
        changes.sort_by(|a, b| (a.begin, a.end, &a.address).cmp(&(b.begin, b.end, &b.address)));
        Schedule {
            total,
            critical_path: path.collect(),
            components: components(&changes),
            changes,
            measured: self.measured,
        }
    }
}

fn takes_time(span: Option<(Duration, Duration)>) -> bool {
    span.is_some_and(|(begin, end)| end > begin)
}

fn components(changes: &[Span]) -> Vec<ComponentTime> {
    let mut components: Vec<ComponentTime> = Vec::new();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for span in changes {
        let at = *numbers.entry(span.address.component()).or_insert_with(|| {
            components.push(ComponentTime {
                component: span.address.component().to_owned(),
                begin: span.begin,
                end: span.end,
                changes: 0,
                critical: false,
            });
            components.len() - 1
        });
        let component = &mut components[at];
        component.end = component.end.max(span.end);
        component.changes += 1;
        component.critical |= span.critical;
    }
    components
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::plan::model::ResourceChange;
    use crate::plan::sample::{created, deleted, needs, plan};

    fn lasting(change: ResourceChange, estimate_seconds: u64) -> ResourceChange {
        ResourceChange { estimate_seconds, ..change }
    }

    pub fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    /// A cluster, then a slow pool and a quick add-on side by side, then what needs both.
    pub fn diamond() -> Plan {
        let made = |address, seconds| lasting(created(address, serde_json::json!({})), seconds);
        let mut plan = plan(vec![
            made("cluster", 200),
            made("node_pools.gpu", 400),
            made("addons.a", 30),
            made("workloads.w", 100),
        ]);
        plan.edges = vec![
            needs("addons.a", "cluster"),
            needs("node_pools.gpu", "cluster"),
            needs("workloads.w", "addons.a"),
            needs("workloads.w", "node_pools.gpu"),
        ];
        plan
    }

    #[test]
    fn the_longest_chain_is_critical_and_the_rest_runs_beside_it() {
        let expected = estimate(&diamond(), 16);
        assert_eq!(expected.total, seconds(700));
        assert_eq!(
            expected.legs(),
            [("cluster", seconds(200)), ("node_pools.gpu", seconds(400)), ("workloads.w", seconds(100))]
        );
        let aside = expected.changes.iter().find(|span| span.address.as_str() == "addons.a").expect("it takes time");
        assert_eq!((aside.begin, aside.end, aside.critical), (seconds(200), seconds(230), false));
        assert_eq!(aside.after.as_ref().map(Address::as_str), Some("cluster"));
        assert!((expected.critical_path.iter().map(|step| step.share).sum::<f64>() - 1.0).abs() < 0.01);
    }

    #[test]
    fn requests_wait_for_a_place() {
        let objects = (0..100).map(|at| lasting(deleted(&format!("charts.x/ConfigMap/a/n{at:03}")), 1));
        let plan = plan(objects.collect());
        // Fifty turns of a tenth of a second, the last of which lasts its second.
        assert_eq!(estimate(&plan, 2).total, Duration::from_millis(49 * 100 + 1000));
        assert_eq!(estimate(&plan, 100).total, seconds(1));
    }

    #[test]
    fn the_executed_path_is_what_was_waited_for_and_not_what_was_expected() {
        let plan = diamond();
        let at = |address: &str, begin: u64, end: u64| {
            (execution::half(&plan, &Address::new(address), Action::Create), (seconds(begin), seconds(end)))
        };
        let spans = [
            at("cluster", 0, 100),
            at("node_pools.gpu", 100, 120),
            at("addons.a", 100, 900),
            at("workloads.w", 900, 950),
        ];
        let executed = Course::of(&plan, 16).executed(&BTreeMap::from(spans));
        assert_eq!(
            executed.legs(),
            [("cluster", seconds(100)), ("addons.a", seconds(800)), ("workloads.w", seconds(50))]
        );
        assert_eq!(executed.total, seconds(950));
    }
}
