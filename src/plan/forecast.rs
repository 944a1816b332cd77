//! How far a run is, and how long the rest of it takes: the durations that its plan expects, less what is done.
//!
//! Pure, as [`super::time`], whose graph it walks: times are durations since the run began. Not what progress looks
//! like (`ui::progress`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::address::Address;
use crate::plan::execution::{Phase, Task};
use crate::plan::model::Action;
use crate::plan::time::Course;

/// What is expected of the rest of a run.
#[derive(Clone, Debug)]
pub struct Forecast {
    course: Course,
    standings: Vec<Standing>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Ahead,
    Running(Duration),
    Over,
}

/// The rest of a run, seen at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest<'f> {
    /// Until the end.
    pub total: Duration,
    /// The component under way that the end waits for.
    pub critical: Option<&'f str>,
    /// From the beginning of what has not begun to the end, by component: the longest is the most urgent.
    pub urgency: BTreeMap<&'f str, Duration>,
}

impl Forecast {
    /// Before anything has begun.
    pub fn new(course: Course) -> Self {
        let standings = vec![Standing::Ahead; course.tasks.len()];
        Forecast { course, standings }
    }

    /// An action on a resource began, so long after the run; what is not in the plan is passed over, and so is what is
    /// over already.
    pub fn begin(&mut self, address: &Address, action: Action, at: Duration) {
        let Some(number) = self.number(address, action) else { return };
        if self.standings[number] == Standing::Ahead {
            self.standings[number] = Standing::Running(at);
        }
    }

    /// It is done.
    pub fn end(&mut self, address: &Address, action: Action) {
        if let Some(number) = self.number(address, action) {
            self.standings[number] = Standing::Over;
        }
    }

    /// It failed: neither it nor what needs it will take any time.
    pub fn give_up(&mut self, address: &Address, action: Action) {
        let mut queue = self.number(address, action).into_iter().collect::<Vec<_>>();
        while let Some(at) = queue.pop() {
            self.standings[at] = Standing::Over;
            let dependents = self.course.dependents[at].iter();
            queue.extend(dependents.filter(|next| self.standings[**next] != Standing::Over));
        }
    }

    /// From beginning to end, when nothing had begun.
    pub fn whole(&self) -> Duration {
        self.course.urgency.iter().copied().max().unwrap_or_default()
    }

    /// How long the changes of each component take when they wait for nothing but each other.
    pub fn alone(&self) -> BTreeMap<&str, Duration> {
        let mut alone: BTreeMap<&str, Duration> = BTreeMap::new();
        let mut longest = vec![Duration::ZERO; self.course.tasks.len()];
        for &at in self.course.order.iter().rev() {
            let component = self.component(at);
            let own = self.course.dependents[at].iter().filter(|next| self.component(**next) == component);
            longest[at] = self.course.lengths[at] + own.map(|&next| longest[next]).max().unwrap_or_default();
            let known = alone.entry(component).or_default();
            *known = (*known).max(longest[at]);
        }
        alone
    }

    /// What is left so long after the beginning. Of what takes longer than expected, nobody knows when it ends: it is
    /// taken to need a tenth more again.
    pub fn rest(&self, now: Duration) -> Rest<'_> {
        let course = &self.course;
        let mut longest = vec![Duration::ZERO; course.tasks.len()];
        let mut rest = Rest { total: Duration::ZERO, critical: None, urgency: BTreeMap::new() };
        let mut last = Duration::ZERO;
        let mut ahead = 0;
        for &at in course.order.iter().rev() {
            let length = course.lengths[at];
            let own = match self.standings[at] {
                Standing::Over => Duration::ZERO,
                Standing::Ahead => length,
                Standing::Running(begun) => {
                    let elapsed = now.saturating_sub(begun);
                    if elapsed < length { length - elapsed } else { elapsed / 10 }
                }
            };
            let after = course.dependents[at].iter().map(|&dependent| longest[dependent]).max().unwrap_or_default();
            longest[at] = own + after;
            rest.total = rest.total.max(longest[at]);
            match self.standings[at] {
                Standing::Running(_) if rest.critical.is_none() || longest[at] > last => {
                    last = longest[at];
                    rest.critical = Some(self.component(at));
                }
                Standing::Ahead => {
                    ahead += u32::from(!length.is_zero());
                    let urgency = rest.urgency.entry(self.component(at)).or_default();
                    *urgency = (*urgency).max(longest[at]);
                }
                _ => {}
            }
        }
        rest.total = rest.total.max(course.waiting_for_places(ahead));
        rest
    }

    /// The half of a change that an action is.
    fn number(&self, address: &Address, action: Action) -> Option<usize> {
        let half = |phase| self.course.numbers.get(&Task { phase, address: address.clone() }).copied();
        match action {
            Action::Delete | Action::Forget => half(Phase::Destroy),
            _ => half(Phase::Apply).or_else(|| half(Phase::Destroy)),
        }
    }

    fn component(&self, at: usize) -> &str {
        self.course.tasks[at].address.component()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::time::tests::{diamond, seconds};

    #[test]
    fn what_remains_shrinks_with_what_is_done_and_grows_with_what_is_late() {
        let plan = diamond();
        let mut forecast = Forecast::new(Course::of(&plan, 16));
        assert_eq!(forecast.whole(), seconds(700));
        let before = forecast.rest(Duration::ZERO);
        assert_eq!((before.total, before.critical), (seconds(700), None));
        assert_eq!(before.urgency["node_pools.gpu"], seconds(500));
        forecast.begin(&Address::new("cluster"), Action::Create, Duration::ZERO);
        assert_eq!(forecast.rest(seconds(50)).total, seconds(650));
        // It is a hundred seconds late, and nobody knows for how long yet.
        assert_eq!(forecast.rest(seconds(300)).total, seconds(530));
        forecast.end(&Address::new("cluster"), Action::Create);
        assert_eq!(forecast.rest(seconds(300)).total, seconds(500));
        forecast.begin(&Address::new("node_pools.gpu"), Action::Create, seconds(300));
        assert_eq!(forecast.rest(seconds(300)).critical, Some("node_pools.gpu"));
        forecast.end(&Address::new("node_pools.gpu"), Action::Create);
        // What was expected to be quick is what everything waits for now.
        assert_eq!(forecast.rest(seconds(310)).total, seconds(130));
        forecast.give_up(&Address::new("addons.a"), Action::Create);
        assert_eq!(forecast.rest(seconds(310)).total, Duration::ZERO, "what needs it will not be tried");
    }
}
