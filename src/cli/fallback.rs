//! `[cluster] fallback_locations` at an apply: where a location has no capacity, what was made there is removed again and
//! the stack goes on in the next that was approved with the plan.
//!
//! What is recorded when, so that a run may stop anywhere, is `ops::places`'.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::backend::Session;
use crate::cli::apply::{Job, Performance, Seen, perform, tally};
use crate::cli::preflight;
use crate::cli::reach::Place;
use crate::cli::receipt::Looking;
use crate::cli::report::Page;
use crate::cli::run;
use crate::cli::source::Wanted;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::dispatcher::Interrupt;
use crate::event::timeline::Timeline;
use crate::ops::apply::Applied;
use crate::ops::places;
use crate::ops::platforms::Platforms;
use crate::ops::preflight::Report;
use crate::ops::preview::{Preview, Subject, preview};
use crate::ops::{capture, probe};
use crate::plan::model::Plan;
use crate::plan::places::Placement;
use crate::plan::planner::Options;
use crate::resource::model::Desired;
use crate::state::model::GivenUp;
use crate::ui::{places_text, preflight_text, summary};

/// An approved plan, and all that carrying it out needs.
pub(super) struct Attempt<'a> {
    pub job: &'a Job<'a>,
    pub platforms: &'a Platforms,
    pub terminal: &'a Terminal,
    pub place: &'a Place,
    pub interrupt: watch::Receiver<Interrupt>,
    pub wanted: &'a Wanted,
    pub ttl: Option<Duration>,
}

/// How it ended.
pub(super) struct Outcome {
    /// The plan in the location in which the stack is now.
    pub plan: Plan,
    /// How that went.
    pub applied: Applied,
    /// What happened there when.
    pub timeline: Arc<Timeline>,
    /// Nothing is left where the stack could not be.
    pub clean: bool,
}

impl Attempt<'_> {
    /// Carries the plan out, and where its location lacks capacity, what was approved in its place. `short` is what is
    /// known to be missing in the first.
    ///
    /// # Errors
    /// When no location has what the stack needs, or what was made in one could not be removed again.
    pub(super) async fn carry_out(
        &self,
        plan: Plan,
        observed: Seen,
        short: Option<String>,
        session: &mut dyn Session,
    ) -> Result<Outcome, Diagnostics> {
        let (mut plan, mut observed, mut short, mut clean) = (plan, observed, short, true);
        // What happened last, for the report of a stack that could be nowhere.
        let mut last = None;
        let begun = self.platforms.clock.now();
        if let Some(location) = plan.placement.as_ref().and_then(|placement| placement.leaving.clone()) {
            clean &= self.leave(&location, session).await?;
            let here = plan.placement.as_ref().map(|placement| placement.location.as_str());
            // After the last of them it begins anew with the first.
            let here = here.filter(|here| session.state().placing.as_ref().is_some_and(|p| !p.has_given_up(here)));
            places::move_on(session, here).await.map_err(|error| run::refused(&error))?;
        }
        loop {
            if short.is_none() {
                short = self.probe(&plan, session).await?;
            }
            let reason = match short.take() {
                Some(reason) => reason,
                None => {
                    let (mut applied, timeline) = self.perform(&plan, std::mem::take(&mut observed), session).await?;
                    match places::shortage(&plan, &applied) {
                        None => {
                            applied.elapsed = self.platforms.clock.now().since(begun);
                            return Ok(Outcome { plan, applied, timeline, clean });
                        }
                        Some(reason) => {
                            last = Some((plan.clone(), applied, timeline));
                            reason
                        }
                    }
                }
            };
            places::give_up(self.platforms, session, &plan, &reason).await.map_err(|error| run::refused(&error))?;
            let next = plan.elsewhere();
            let made = !session.state().resources.is_empty();
            self.tell(&plan, &reason, made, next.as_ref());
            let here = plan.placement.as_ref().map(|placement| placement.location.clone()).unwrap_or_default();
            clean &= self.leave(&here, session).await?;
            let given_up = session.state().placing.as_ref().map(|p| p.given_up.clone()).unwrap_or_default();
            let there = next.as_ref().and_then(|next| next.placement.as_ref()).map(|p| p.location.as_str());
            places::move_on(session, there).await.map_err(|error| run::refused(&error))?;
            let Some(next) = next else {
                if let (Some(path), Some((plan, applied, timeline))) = (self.job.report, &last) {
                    Page::of(self.job, self.place, plan).ran(timeline, applied, None).write(path, self.terminal)?;
                }
                return Err(nowhere(&given_up, clean));
            };
            plan = next;
            short = preflight::first(self.platforms, &plan, &observed, self.terminal).await?;
        }
    }

    /// What a probe finds missing, where the stack may go on elsewhere.
    async fn probe(&self, plan: &Plan, session: &mut dyn Session) -> Result<Option<String>, Diagnostics> {
        let stack = &self.wanted.stack;
        let asked = stack.cluster.as_ref().and_then(|cluster| cluster.probe.as_ref()).is_some_and(|probe| probe.value);
        if (!asked && !self.job.probe) || plan.destroy {
            return Ok(None);
        }
        let owner = probe::owner(self.platforms, session, &stack.name.value).await;
        let owner = owner.map_err(|error| run::refused(&error))?;
        let trials = probe::trials(self.platforms, plan, &owner);
        if trials.is_empty() {
            return Ok(None);
        }
        self.terminal.say(&preflight_text::trials(&trials, probe::price(&trials)));
        let report = Report { checks: probe::probe(self.platforms, &trials).await };
        if let Some(shortfall) = places::shortfall(plan, &report.checks) {
            return Ok(Some(shortfall));
        }
        report.accept()?;
        if let Some(lines) = &self.terminal.lines {
            report.checks.iter().for_each(|check| lines.check(check));
        } else {
            self.terminal.say(preflight_text::probed(&report.checks, self.terminal.err).trim_end());
        }
        Ok(None)
    }

    async fn perform(
        &self,
        plan: &Plan,
        observed: Seen,
        session: &mut dyn Session,
    ) -> Result<(Applied, Arc<Timeline>), Diagnostics> {
        let performance = Performance {
            plan,
            observed,
            secrets: self.wanted.secrets.clone(),
            ttl: self.ttl,
            parallelism: self.job.planning.parallelism,
            interrupt: self.interrupt.clone(),
        };
        let performed = perform(performance, self.platforms, session, self.terminal).await;
        if let (Some(path), Err(why)) = (self.job.report, &performed.result) {
            Page::of(self.job, self.place, plan).stranded(&performed.timeline, why).write(path, self.terminal)?;
        }
        Ok((performed.result?, performed.timeline))
    }

    fn tell(&self, plan: &Plan, reason: &str, made: bool, next: Option<&Plan>) {
        let location = |plan: &Plan| plan.placement.as_ref().map(|p| p.location.clone()).unwrap_or_default();
        let (here, there) = (location(plan), next.map(location));
        if let Some(lines) = &self.terminal.lines {
            lines.given_up(&here, reason, there.as_deref());
        } else {
            let text = places_text::given_up(&here, reason, made, next, self.terminal.err);
            self.terminal.say(&text);
        }
    }

    /// Removes what was made in a location, with a receipt; whether nothing of it is left.
    async fn leave(&self, location: &str, session: &mut dyn Session) -> Result<bool, Diagnostics> {
        let desired = Desired {
            stack: self.wanted.desired.stack.clone(),
            places: self.wanted.desired.places.clone(),
            ..Desired::default()
        };
        let options = Options { destroy: true, ..Options::default() };
        let subject = Subject::bare(&desired, session.state(), &options);
        let Preview { mut plan, observed, .. } = preview(self.platforms, subject).await?;
        // The stack goes on elsewhere: it is not over with this.
        plan.placement = Some(Placement::left(location));
        if !plan.changes.is_empty() {
            capture::before(self.platforms, session, &plan, &observed).await.map_err(|error| {
                let why = "Nothing was deleted: afterwards nobody could tell what it leaves behind.";
                stuck(location).detail(format!("{error}. {why}"))
            })?;
            let (applied, _) = self.perform(&plan, observed, session).await?;
            if !applied.is_complete() {
                self.terminal.say(&summary::text(&tally(&applied), true, self.terminal.err));
                return Err(stuck(location).detail("What is left of it is still paid for.").into());
            }
        }
        if session.state().captured.is_empty() {
            return Ok(true);
        }
        let looking = Looking {
            job: self.job,
            platforms: self.platforms,
            interrupt: self.interrupt.clone(),
            terminal: self.terminal,
            place: self.place,
            plan: &plan,
        };
        let receipt = looking.look(session).await?;
        looking.tell(&receipt);
        Ok(receipt.is_clean())
    }
}

fn stuck(location: &str) -> Diagnostic {
    Diagnostic::error(format!("what was made in {location} could not be removed again"))
        .hint("run the same command again: it goes on with the removal, and then with the next location; `stackwright destroy` ends it")
}

/// All locations were tried.
fn nowhere(given_up: &[GivenUp], clean: bool) -> Diagnostics {
    let reasons = given_up.iter().map(|one| format!("{}: {}", one.location, one.reason)).collect::<Vec<_>>();
    let left = match clean {
        true => "What was made on the way is removed again: nothing of the stack is paid for.",
        false => "What was made on the way is removed again, but for what the receipts above name.",
    };
    Diagnostic::error("none of the stack's locations has what it needs")
        .detail(format!("{}\n{left}", reasons.join("\n")))
        .hint("apply again later, add to `fallback_locations`, or ask for quota; `stackwright preflight` shows what is missing where")
        .into()
}
