//! `pause` and `resume`: the nodes with accelerators go, and come back.

use std::process::ExitCode;
use std::sync::Arc;

use crate::backend::Session;
use crate::catalog;
use crate::cli::apply::{Performance, confirm, perform, tally};
use crate::cli::args::{BundleArgs, PauseArgs, ResumeArgs};
use crate::cli::kept::{Kept, Opening};
use crate::cli::matter::Planning;
use crate::cli::reach::{Place, with_platforms};
use crate::cli::source::Planned;
use crate::cli::terminal::Terminal;
use crate::cli::{preflight, run, source};
use crate::diag::Diagnostics;
use crate::env::vars::Vars;
use crate::event::{Collected, Sink};
use crate::ops::apply::Applied;
use crate::ops::platforms::Platforms;
use crate::ops::preview::{Preview, Subject, preview};
use crate::ops::{pause, status};
use crate::plan::model::Plan;
use crate::plan::pause::Pausing;
use crate::plan::planner::Options;
use crate::resource::model::Desired;
use crate::ui::{cost_text, plan_text, summary};

/// What the user is told before nodes are asked for again.
const CAPACITY: &str = "Note: what was given back is to be had again only if it is there: a zone may be out of such machines for \
                        hours. Then the pool waits, and so does the model; `stackwright pause` ends that.";

pub(super) fn pause(args: &PauseArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.stack.place, &args.stack.file);
    let charts = BundleArgs::default();
    // Of a stack that is paused, the state says all that is to be known.
    let planned = source::planned(&args.stack, &charts, vars, place.is_simulated(), None, true)?;
    Turn { args, planned: &planned, place: &place, vars, pausing: Pausing::Pause }.take(terminal)
}

pub(super) fn resume(args: &ResumeArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.pause.stack.place, &args.pause.stack.file);
    let (synthesize, fetch) = (place.is_simulated(), place.fetches(terminal));
    let planned = source::planned(&args.pause.stack, &args.charts, vars, synthesize, fetch, false)?;
    let turn = Turn { args: &args.pause, planned: &planned, place: &place, vars, pausing: Pausing::Resume };
    turn.take(terminal)
}

/// One pause, or its end.
struct Turn<'a> {
    args: &'a PauseArgs,
    planned: &'a Planned,
    place: &'a Place,
    vars: &'a dyn Vars,
    pausing: Pausing,
}

impl Turn<'_> {
    fn is_pause(&self) -> bool {
        self.pausing == Pausing::Pause
    }

    fn take(&self, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
        let kept = Kept::of(&self.args.stack, self.place, self.planned.stack())?;
        let command = if self.is_pause() { "stackwright pause" } else { "stackwright resume" };
        let lock_timeout = self.args.lock_timeout.as_deref();
        let opening = Opening { lock_timeout, vars: self.vars, command, terminal, even_departed: false };
        let folder = kept.open_folder(&opening)?;
        with_platforms(self.place, self.planned.site(), async |platforms| {
            let mut session = match folder {
                Some(session) => session,
                None => kept.open(&opening).await?,
            };
            let outcome = self.carry(&platforms, session.as_mut(), terminal).await;
            session.close().await;
            outcome
        })
    }

    async fn carry(
        &self,
        platforms: &Platforms,
        session: &mut dyn Session,
        terminal: &Terminal,
    ) -> Result<ExitCode, Diagnostics> {
        let interrupt = run::interrupts();
        let was_paused = session.state().pause().is_some();
        if !self.is_pause() && !was_paused {
            terminal.say("The stack is not paused: nothing was changed.");
            return Ok(ExitCode::SUCCESS);
        }
        let (plan, observed) = self.plan(platforms, session).await?;
        terminal.lines_of(&plan);
        if !self.args.json {
            let view = terminal.plan_view();
            terminal.print(&plan_text::plan(&plan, view));
            if !self.is_pause() {
                terminal.say(&terminal.err.yellow(CAPACITY));
            }
        }
        let question = match self.pausing {
            Pausing::Pause => "\nDo you want to pause the stack? Its models stop answering.",
            _ => "\nDo you want to resume the stack?",
        };
        if !self.is_pause() {
            preflight::first(platforms, &plan, &observed, terminal).await?;
        }
        let acts = !plan.is_empty();
        if acts && !self.args.auto_approve && !confirm(question, platforms, interrupt.clone(), terminal).await? {
            terminal.say("Cancelled. Nothing was changed.");
            return Ok(ExitCode::FAILURE);
        }
        let applied = if acts || self.is_pause() != was_paused {
            let (secrets, parallelism) = (Default::default(), self.args.parallelism);
            let performance = Performance { plan: &plan, observed, secrets, ttl: None, parallelism, interrupt };
            perform(performance, platforms, session, terminal).await.result?
        } else {
            Applied::default()
        };
        let mut unproved = 0;
        if applied.is_complete() && !self.is_pause() {
            unproved = self.prove(platforms, session, terminal).await?;
        }
        let complete = applied.is_complete() && unproved == 0;
        self.report(&plan, &applied, complete, terminal);
        Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn plan(
        &self,
        platforms: &Platforms,
        session: &dyn Session,
    ) -> Result<(Plan, crate::cli::apply::Seen), Diagnostics> {
        let state = session.state();
        let desired: Desired = match self.pausing {
            Pausing::Pause => pause::as_recorded(state),
            _ => catalog::infrastructure(self.planned.stack()),
        };
        let pools = pause::pools(&platforms.kinds, &desired, state)?;
        let options = Options { targets: pools.clone(), pausing: self.pausing, ..Options::default() };
        let subject = Subject::bare(&desired, state, &options);
        let Preview { plan, observed, .. } = preview(platforms, subject).await?;
        Ok((pause::of_pools(plan, &pools)?, observed))
    }

    /// Waits for the models; says how many do not answer.
    async fn prove(
        &self,
        platforms: &Platforms,
        session: &dyn Session,
        terminal: &Terminal,
    ) -> Result<usize, Diagnostics> {
        let sink: Arc<dyn Sink> = match &terminal.lines {
            Some(lines) => lines.clone(),
            None => Arc::new(Collected::default()),
        };
        let options = Options::default();
        let planning = Planning {
            args: &self.args.stack,
            place: self.place,
            planned: self.planned,
            options: &options,
            terminal,
            create_key: false,
            vars: self.vars,
        };
        terminal.say("The nodes are back. Waiting for the models to answer...");
        let matter = planning.matter(platforms, session.state()).await?;
        let platforms = &matter.keyed(platforms);
        let secrets = &matter.wanted().secrets;
        let proofs = status::answers_again(platforms, matter.subject(session.state(), false), secrets, &sink).await?;
        for (component, proof) in &proofs {
            match proof {
                Ok(answer) => terminal.say(&summary::answered(component, &answer.text)),
                Err(error) => match &terminal.lines {
                    Some(lines) => lines.unproved(component, error.message.clone(), error.hint.as_deref()),
                    None => terminal.say(&summary::silent(component, &error.message, terminal.err)),
                },
            }
        }
        Ok(proofs.iter().filter(|(_, proof)| proof.is_err()).count())
    }

    fn report(&self, plan: &Plan, applied: &Applied, complete: bool, terminal: &Terminal) {
        if let Some(lines) = &terminal.lines {
            let cost = plan.cost.as_ref().map(|cost| cost.after);
            let line = serde_json::json!({
                "complete": complete, "paused": self.is_pause(), "changed": applied.summary.changed,
                "failed": applied.summary.failed.len(), "cost": cost,
            });
            lines.summary(complete, line);
            return;
        }
        if !applied.is_complete() {
            terminal.say(&summary::text(&tally(applied), false, terminal.err));
            return;
        }
        let word = if self.is_pause() { "Paused." } else { "Resumed." };
        let pools = pause::sizes(plan);
        let changed = pools.iter().map(|(address, before, after)| {
            let nodes = |nodes: &Option<i64>| nodes.map_or("its".to_owned(), |n| n.to_string());
            format!(" {address}: {} -> {} nodes.", nodes(before), nodes(after))
        });
        terminal.say(&terminal.err.bold(&format!("\n{word}{}", changed.collect::<String>())));
        if let Some(cost) = &plan.cost {
            let (before, after) = (cost.now, cost.after);
            let was = match before == after {
                true => String::new(),
                false => format!("; it was {} a day", cost_text::dollars(before.per_day, before.complete)),
            };
            terminal.say(&format!(
                "Cost: {} an hour, {} a day{was}.",
                cost_text::dollars(after.per_hour, after.complete),
                cost_text::dollars(after.per_day, after.complete),
            ));
        }
        if self.is_pause() {
            terminal
                .say("`stackwright resume` brings the nodes back; `stackwright destroy` ends the rest of the cost.");
        }
    }
}
