//! `apply`: plan, ask, carry out, prove. What a destroy leaves behind is in `receipt`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::address::{Address, Identity};
use crate::backend::Session;
use crate::cli::args::{ApplyArgs, BundleArgs, PlanningArgs, StackArgs};
use crate::cli::fallback::{Attempt, Outcome};
use crate::cli::kept::{Kept, Opening};
use crate::cli::matter::Planning;
use crate::cli::policy::{Judgement, Rules};
use crate::cli::reach::{Place, with_platforms};
use crate::cli::receipt::Looking;
use crate::cli::source::Planned;
use crate::cli::terminal::Terminal;
use crate::cli::{aftermath, preflight, report, run, source};
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::dispatcher::Interrupt;
use crate::env::clock::Timestamp;
use crate::env::vars::Vars;
use crate::event::Sink;
use crate::event::timeline::Timeline;
use crate::ops::apply::{Applied, Apply, apply as carry_out, check_basis};
use crate::ops::capture::{self, CaptureError};
use crate::ops::expiry;
use crate::ops::places;
use crate::ops::platforms::Platforms;
use crate::ops::preview::{Preview, preview};
use crate::plan::model::{Drift, Pause, Plan, Reason};
use crate::plan::pause::Pausing;
use crate::plan::prior::{self, Known};
use crate::plan::time::Course;
use crate::platform::audit::Receipt;
use crate::resource::kind::Observed;
use crate::ui::plan_text;
use crate::ui::{summary, time_text, values};

/// What to do with a stack.
pub(super) struct Job<'a> {
    pub stack: &'a StackArgs,
    pub charts: &'a BundleArgs,
    pub planning: &'a PlanningArgs,
    pub auto_approve: bool,
    pub json: bool,
    pub destroy: bool,
    /// The time to live begins anew.
    pub extend: bool,
    /// Prove that there is capacity before anything is made.
    pub probe: bool,
    /// Remove what clusters have left behind.
    pub sweep: bool,
    /// Take note of drift, and change nothing.
    pub refresh_only: bool,
    /// End a pause.
    pub resume: bool,
    /// Where the report goes.
    pub report: Option<&'a Path>,
    /// A plan that was reviewed before.
    pub saved: Option<Plan>,
    /// Take over what is there.
    pub adopt: Vec<Address>,
    /// Only if the platform calls it so.
    pub adopt_id: Option<&'a str>,
    /// Leave it there when everything else goes.
    pub abandon: Vec<Address>,
    /// Files of rules that the plan must keep, beside the stack's own.
    pub policies: &'a [PathBuf],
}

pub(super) fn apply(args: &ApplyArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let mut stack = args.stack.clone();
    let saved = if run::is_saved_plan(&stack.file) {
        let plan = run::saved_plan(&stack.file)?;
        stack.file = args.plan_stack.clone().unwrap_or_else(|| "stack.toml".into());
        Some(plan)
    } else {
        None
    };
    let destroy = saved.as_ref().is_some_and(|plan| plan.destroy);
    let refresh_only = saved.as_ref().map_or(args.refresh_only, |plan| plan.refresh_only);
    if args.refresh_only && !refresh_only {
        return Err(Diagnostic::error("the saved plan changes more than the state")
            .hint("leave out --refresh-only, or save a plan with `plan --refresh-only --out`")
            .into());
    }
    let job = Job {
        stack: &stack,
        charts: &args.charts,
        planning: &args.planning,
        auto_approve: args.auto_approve || saved.is_some(),
        json: args.json,
        destroy,
        extend: args.extend,
        probe: args.probe,
        sweep: false,
        refresh_only,
        resume: args.resume || saved.as_ref().is_some_and(|plan| plan.pause == Pause::Resumes),
        report: args.report.as_deref(),
        saved,
        adopt: Vec::new(),
        adopt_id: None,
        abandon: Vec::new(),
        policies: &args.policy.files,
    };
    run_job(job, vars, terminal)
}

pub(super) fn run_job(job: Job<'_>, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&job.stack.place, &job.stack.file);
    let (synthesize, fetch) = (place.is_simulated(), place.fetches(terminal));
    let planned = source::planned(job.stack, job.charts, vars, synthesize, fetch, job.destroy)?;
    if let Some(wanted) = planned.known() {
        wanted.accept(terminal)?;
    }
    let kept = Kept::of(job.stack, &place, planned.stack())?;
    let command = if job.destroy { "stackwright destroy" } else { "stackwright apply" };
    let opening =
        Opening { lock_timeout: job.planning.lock_timeout.as_deref(), vars, command, terminal, even_departed: false };
    let folder = kept.open_folder(&opening)?;
    with_platforms(&place, planned.site(), async |platforms| {
        let mut session = match folder {
            Some(session) => session,
            None => kept.open(&opening).await?,
        };
        let run = (&place, vars, terminal);
        let outcome = carry(&job, &planned, run, &platforms, session.as_mut()).await;
        session.close().await;
        outcome
    })
}

/// Plans, asks and carries out, with the state in hand.
async fn carry(
    job: &Job<'_>,
    planned: &Planned,
    (place, vars, terminal): (&Place, &dyn Vars, &Terminal),
    platforms: &Platforms,
    session: &mut dyn Session,
) -> Result<ExitCode, Diagnostics> {
    let rules = Rules::of(planned.stack(), job.policies)?;
    let interrupt = run::interrupts();
    let mut options = run::options(&job.planning.selection, planned.stack(), job.destroy);
    options.adopt.clone_from(&job.adopt);
    options.abandon.clone_from(&job.abandon);
    options.refresh_only = job.refresh_only;
    if job.resume {
        options.pausing = Pausing::Resume;
    }
    terminal.say(&terminal.err.dim("Reading what is there..."));
    let (args, options) = (job.stack, &options);
    let matter = Planning { args, place, planned, options, terminal, vars, create_key: true };
    let matter = matter.matter(platforms, session.state()).await?;
    let platforms = &matter.keyed(platforms);
    let wanted = matter.wanted();
    let Preview { mut plan, observed, unreachable, .. } =
        preview(platforms, matter.subject(session.state(), false)).await?;
    for cluster in &unreachable {
        let what = format!("{cluster} does not answer");
        let detail =
            "What is in it goes with it. What that owns outside, load balancers and disks, is looked for afterwards.";
        terminal.diagnostics(&Diagnostic::warning(what).detail(detail).into());
    }
    let plan = match &job.saved {
        None if rules.is_empty() => plan,
        None => {
            let desired = &wanted.desired;
            prior::fill(&mut plan, Known { desired, state: session.state(), observed: &observed });
            plan
        }
        Some(saved) => {
            check_basis(saved, session)?;
            check_secrets(saved, &plan)?;
            check_observation(saved, &plan)?;
            saved.clone()
        }
    };
    if !job.json {
        let view = terminal.plan_view();
        terminal.print(&plan_text::plan(&plan, view));
    }
    terminal.lines_of(&plan);
    check_adopted(job, &plan)?;
    let judgement = rules.judge(&plan, planned.stack());
    terminal.diagnostics(&judgement.said);
    if judgement.refused {
        terminal.say("Nothing was changed.");
        return Ok(Judgement::exit_code());
    }
    let ttl = wanted.ttl();
    if job.extend && ttl.is_none() {
        return Err(Diagnostic::error("the stack has no time to live that could be extended")
            .detail("Nothing was changed.")
            .hint("set `ttl` in [limits] of the stack file, for example \"8h\"")
            .into());
    }
    let renewals = |anew: bool| match job.destroy || job.refresh_only {
        true => Vec::new(),
        false => expiry::due(platforms, &plan, &observed, ttl, anew),
    };
    if plan.is_empty() && plan.pause != Pause::Resumes {
        let renewals = renewals(job.extend);
        renew(platforms, &renewals, terminal).await?;
        places::settle(session, &plan).await.map_err(|error| run::refused(&error))?;
        let code = finish_empty(job, terminal);
        if let Some(path) = job.report {
            report::of_plan(&plan, place.is_simulated(), job.planning.parallelism).write(path, terminal)?;
        }
        // What clusters have left behind is looked for until nothing of it is there.
        let probes = planned.stack().cluster.as_ref().and_then(|cluster| cluster.probe.as_ref());
        let probes = probes.is_some_and(|probe| probe.value) && !session.state().is_new();
        if job.destroy && (probes || !session.state().captured.is_empty()) {
            terminal.say("Looking once more for what clusters of this stack have left behind...");
            let looking = Looking { job, platforms, interrupt, terminal, place, plan: &plan };
            let receipt = looking.look(session).await?;
            looking.tell(&receipt);
            return Ok(if receipt.is_clean() { code } else { ExitCode::FAILURE });
        }
        return Ok(code);
    }
    check_pause(job, &plan)?;
    let short = preflight::first(platforms, &plan, &observed, terminal).await?;
    if let (Some(short), false) = (&short, job.json) {
        terminal.say(&terminal.err.yellow(&format!("Note: the first location has not what the stack needs: {short}")));
    }
    if !job.auto_approve && !approve(job, platforms, interrupt.clone(), terminal).await? {
        terminal.say("Cancelled. Nothing was changed.");
        return Ok(ExitCode::FAILURE);
    }
    capture::before(platforms, session, &plan, &observed).await.map_err(|error| uncaptured(&error))?;
    let renewals = renewals(true);
    renew(platforms, &renewals, terminal).await?;
    let attempt = Attempt { job, platforms, terminal, place, interrupt: interrupt.clone(), wanted, ttl };
    let Outcome { plan, applied, timeline, clean } = attempt.carry_out(plan, observed, short, session).await?;
    if !plan.destroy
        && let Err(error) = capture::after(platforms, session).await
    {
        tracing::info!(%error, "what the cluster will be known by was not captured");
    }
    let looking = Looking { job, platforms, interrupt, terminal, place, plan: &plan };
    let receipt = match looking.is_due(&applied) {
        true => Some(looking.look(session).await?),
        false => None,
    };
    let code = conclude(&looking, &applied, &timeline, receipt.as_ref())?;
    aftermath::tell(&looking, &applied, wanted, session.state()).await;
    if let Some(path) = job.report {
        report::Page::of(job, place, &plan).ran(&timeline, &applied, receipt.as_ref()).write(path, terminal)?;
    }
    Ok(if clean { code } else { ExitCode::FAILURE })
}

/// Before anything else is done: a long run must not be overtaken by its own end.
async fn renew(platforms: &Platforms, renewals: &[expiry::Renewal], terminal: &Terminal) -> Result<(), Diagnostics> {
    for renewal in renewals {
        let expires = expiry::renew(platforms, renewal).await.map_err(|error| {
            let diagnostic = Diagnostic::error("until when the stack may live could not be written on its cluster");
            let hint = error.hint.unwrap_or_else(|| "nothing else was changed; run the same command again".to_owned());
            Diagnostics::from(diagnostic.detail(error.message).hint(hint))
        })?;
        terminal.say(&match expires {
            Some(at) => format!("The stack may live until {}.", Timestamp(at * 1000)),
            None => "The stack has no end to its time to live any more.".to_owned(),
        });
    }
    Ok(())
}

fn uncaptured(error: &CaptureError) -> Diagnostics {
    let diagnostic = Diagnostic::error("what the cluster would leave behind could not be learned").detail(format!(
        "{error}. Nothing was deleted: afterwards nobody could tell which disks and load balancers are the stack's."
    ));
    diagnostic.hint("run the same command again when Google Cloud answers").into()
}

/// What was there when a plan was made.
pub(super) type Seen = BTreeMap<Identity, Observed>;

/// A plan that is carried out before the user's eyes.
pub(super) struct Performance<'a> {
    pub plan: &'a Plan,
    pub observed: Seen,
    pub secrets: BTreeMap<String, String>,
    pub ttl: Option<Duration>,
    pub parallelism: usize,
    pub interrupt: watch::Receiver<Interrupt>,
}

/// What came of a performance.
pub(super) struct Performed {
    /// How it went; an error where the state could not be written.
    pub result: Result<Applied, Diagnostics>,
    /// What happened when.
    pub timeline: Arc<Timeline>,
}

/// Carries a plan out, and shows how it goes.
pub(super) async fn perform(
    performance: Performance<'_>,
    platforms: &Platforms,
    session: &mut dyn Session,
    terminal: &Terminal,
) -> Performed {
    let Performance { plan, observed, secrets, ttl, parallelism, interrupt } = performance;
    let watch = terminal.watch(plan, &platforms.clock);
    let timeline = Arc::new(Timeline::new(platforms.clock.clone(), watch.sink.clone()));
    let sink: Arc<dyn Sink> = timeline.clone();
    let run = Apply { plan, observed, secrets, ttl, parallelism, sink, interrupt, shuffle: None };
    let applied = carry_out(platforms, session, run).await;
    watch.finish();
    Performed { result: applied.map_err(|error| run::stopped(&error, session)), timeline }
}

/// What needs nodes that are not there is not begun.
fn check_pause(job: &Job<'_>, plan: &Plan) -> Result<(), Diagnostics> {
    if plan.pause != Pause::Paused || job.destroy || plan.refresh_only {
        return Ok(());
    }
    let again = format!("{}{}", job.stack.file.display(), job.stack.place.again());
    Err(Diagnostic::error("the stack is paused")
        .detail("Its pools with accelerators have no nodes, so that what is to be changed might wait for them in vain. Nothing was changed.")
        .hint(format!("`stackwright apply {again} --resume` ends the pause and makes these changes, `stackwright resume {again}` ends it alone"))
        .into())
}

pub(super) fn tally(applied: &Applied) -> summary::Tally<'_> {
    let summary = &applied.summary;
    summary::Tally {
        counts: (summary.added, summary.changed, summary.destroyed),
        run: summary.run,
        failed: summary.failed.len(),
        skipped: summary.skipped,
        interrupted: summary.interrupted,
        unproved: applied
            .unproved
            .iter()
            .map(|(component, failure)| (component.as_str(), &failure.causes[..], failure.hint.as_deref()))
            .collect(),
    }
}

fn finish_empty(job: &Job<'_>, terminal: &Terminal) -> ExitCode {
    if let Some(lines) = &terminal.lines {
        lines.figures((0, 0, 0), 0, if job.destroy { "destroy" } else { "apply" });
    } else {
        let word = if job.destroy { "Destroy" } else { "Apply" };
        let text = format!("\n{word} complete! Resources: 0 added, 0 changed, 0 destroyed.");
        terminal.say(&terminal.err.bold(&terminal.err.green(&text)));
    }
    ExitCode::SUCCESS
}

async fn approve(
    job: &Job<'_>,
    platforms: &Platforms,
    interrupt: watch::Receiver<Interrupt>,
    terminal: &Terminal,
) -> Result<bool, Diagnostics> {
    let question = if job.destroy {
        "\nDo you really want to destroy everything shown above?\n  There is no undo."
    } else if job.refresh_only {
        "\nDo you want to take note of this in the state? Nothing else is changed."
    } else {
        "\nDo you want to perform these actions?"
    };
    confirm(question, platforms, interrupt, terminal).await
}

/// Asks, if somebody is there.
pub(super) async fn confirm(
    question: &str,
    platforms: &Platforms,
    interrupt: watch::Receiver<Interrupt>,
    terminal: &Terminal,
) -> Result<bool, Diagnostics> {
    if !terminal.interactive {
        return Err(Diagnostic::error("nobody is there to approve the plan")
            .detail("Standard input is not a terminal. Nothing was changed.")
            .hint("review a saved plan and apply that (`plan --out`), or use --auto-approve")
            .into());
    }
    Ok(ask(question, platforms, interrupt, terminal).await)
}

/// Asks somebody who is there. A signal is a no.
pub(super) async fn ask(
    question: &str,
    platforms: &Platforms,
    mut interrupt: watch::Receiver<Interrupt>,
    terminal: &Terminal,
) -> bool {
    // Waiting for a person must not let simulated time pass.
    let _busy = platforms.clock.busy();
    tokio::select! {
        approved = terminal.confirm(question) => approved,
        _ = interrupt.wait_for(|interrupt| *interrupt != Interrupt::None) => {
            terminal.say("");
            false
        }
    }
}

/// Secrets must have the values that the plan was made with.
fn check_secrets(saved: &Plan, now: &Plan) -> Result<(), Diagnostics> {
    if let (Some(then), Some(key)) = (&saved.basis.key, &now.basis.key)
        && then != key
    {
        return Err(Diagnostic::error("the saved plan was made with another stack key")
            .detail(format!("It was {then}, and here it is {key}: which values the plan was made with cannot be told."))
            .hint("make a new plan here, or bring the key of the other place")
            .into());
    }
    let mut used = BTreeSet::new();
    for after in saved.changes.iter().filter_map(|change| change.after.as_ref()) {
        after.visit_templates(&mut |template| used.extend(template.secrets().map(str::to_owned)));
    }
    used.extend(saved.basis.secrets.keys().cloned());
    // What the plan has no digest of, it does not bind: its maker's word would be good for any value.
    let differs = |name: &&String| {
        let then = saved.basis.secrets.get(*name);
        then.is_none() || then != now.basis.secrets.get(*name)
    };
    let names = used.iter().filter(differs).map(String::as_str).collect::<Vec<_>>();
    if names.is_empty() {
        return Ok(());
    }
    Err(Diagnostic::error(format!(
        "{} {} another value than when the plan was made",
        values::secrets(&names),
        if names.len() == 1 { "has" } else { "have" }
    ))
    .hint("give the same value, or make a new plan")
    .into())
}

/// What is there must still be what the plan was made from.
fn check_observation(saved: &Plan, now: &Plan) -> Result<(), Diagnostics> {
    let differs = |change: &&crate::plan::model::ResourceChange| {
        now.change(&change.address).is_none_or(|other| {
            let same = other.action == change.action && other.id == change.id;
            // What charts have looked up shows in what they make of it.
            !same || (!saved.looked_up.is_empty() && other.after != change.after)
        })
    };
    let location = |plan: &Plan| plan.placement.as_ref().map(|placement| placement.location.clone());
    if let (Some(then), Some(there)) = (location(saved), location(now))
        && then != there
    {
        return Err(Diagnostic::error("the saved plan is stale")
            .detail(format!("It is for {then}, and the stack goes on in {there} now."))
            .hint("make a new plan and review it")
            .into());
    }
    // Of drift that is to be taken note of, the state keeps what the plan has seen.
    let drifts = |drift: &&Drift| saved.refresh_only && !now.drift.contains(drift);
    let first = saved.changes.iter().find(differs).map(|change| &change.address);
    let first = first.or_else(|| saved.drift.iter().find(drifts).map(|drift| &drift.address));
    let Some(first) = first else { return Ok(()) };
    Err(Diagnostic::error("the saved plan is stale")
        .detail(format!("Since it was made, {first} has changed: the plan would now be another."))
        .hint("make a new plan and review it")
        .into())
}

/// What is adopted must be what the user meant, and must be able to stay what it is.
fn check_adopted(job: &Job<'_>, plan: &Plan) -> Result<(), Diagnostics> {
    let adopted = plan.changes.iter().filter(|change| change.reason == Reason::Wanted).collect::<Vec<_>>();
    if let Some(wanted) = job.adopt_id
        && !adopted.iter().any(|change| change.id.as_deref() == Some(wanted))
    {
        let there = adopted.iter().map(|change| change.id.as_deref().unwrap_or("without an id")).collect::<Vec<_>>();
        let there = if there.is_empty() { "nothing that could be adopted".to_owned() } else { there.join(", ") };
        return Err(Diagnostic::error(format!("{wanted} is not what is there"))
            .detail(format!("There is {there}. Nothing was changed."))
            .hint("check the id, and the names and places in the stack file")
            .into());
    }
    let mut mistakes = Vec::new();
    for change in adopted {
        let forcing = change.changes.iter().filter(|difference| difference.forces_replace);
        let forcing = forcing.map(|difference| difference.path.join(".")).collect::<Vec<_>>();
        if !forcing.is_empty() {
            mistakes.push(
                Diagnostic::error(format!("{} cannot be adopted: it would have to be made anew", change.address))
                    .detail(format!(
                        "What cannot be changed in place differs: {}. Nothing was changed.",
                        forcing.join(", ")
                    ))
                    .hint("let the stack file say what is there, then adopt again"),
            );
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Diagnostics(mistakes)) }
}

/// The proof of each model, for programs.
fn proofs(applied: &Applied) -> serde_json::Map<String, serde_json::Value> {
    let proof = |(component, answer): &(String, crate::platform::Completion)| {
        let json = serde_json::json!({
            "model": answer.model, "tokens": answer.completion_tokens, "elapsed_ms": answer.millis,
            "first_token_ms": answer.first_token_millis,
        });
        (component.clone(), json)
    };
    applied.completions.iter().map(proof).collect()
}

fn conclude(
    looking: &Looking<'_>,
    applied: &Applied,
    timeline: &Timeline,
    receipt: Option<&Receipt>,
) -> Result<ExitCode, Diagnostics> {
    let Looking { job, terminal, plan, .. } = looking;
    let complete = applied.is_complete() && receipt.is_none_or(Receipt::is_clean);
    let run = &applied.summary;
    if let Some(lines) = &terminal.lines {
        let counts = (run.added, run.changed, run.destroyed);
        for (component, failure) in &applied.unproved {
            lines.unproved(component, failure.causes.join(": "), failure.hint.as_deref());
        }
        lines.figures(counts, run.run, if job.destroy { "destroy" } else { "apply" });
        if !job.destroy {
            lines.outputs(&applied.outputs);
        }
        if let Some(receipt) = receipt {
            looking.tell(receipt);
        }
        lines.summary(
            complete,
            serde_json::json!({
                "complete": complete, "added": run.added, "changed": run.changed,
                "destroyed": run.destroyed, "hooks_run": run.run, "noted": applied.noted,
                "failed": run.failed.len(), "skipped": run.skipped, "proofs": proofs(applied),
                "outputs": applied.outputs, "residue": receipt.map_or(0, |receipt| receipt.remaining.len()),
                "elapsed_seconds": applied.elapsed.as_secs(),
            }),
        );
        if !job.json && !job.destroy {
            terminal.print(&summary::outputs(&applied.outputs, terminal.out));
        }
    } else if job.refresh_only {
        terminal.say(&summary::noted(applied.noted, terminal.err));
    } else {
        let course = Course::of(plan, job.planning.parallelism);
        let executed = course.executed(&timeline.spans(plan));
        terminal.say(&summary::text(&tally(applied), job.destroy, terminal.err));
        let abandoned = plan.changes.iter().filter(|change| change.reason == Reason::Abandoned);
        let abandoned = abandoned.map(|change| (change.address.as_str(), change.id.as_deref())).collect::<Vec<_>>();
        if !abandoned.is_empty() {
            terminal.say(&summary::abandoned(&abandoned, terminal.err));
        }
        if let Some(receipt) = receipt {
            looking.tell(receipt);
        }
        if !job.destroy {
            terminal.print(&summary::outputs(&applied.outputs, terminal.out));
            for (component, answer) in &applied.completions {
                let (first, whole, through) = (answer.first_token_millis, answer.millis, answer.through.as_deref());
                let tokens = answer.completion_tokens;
                terminal.say(&summary::proved(component, &answer.model, tokens, first, whole, through));
            }
            let text = summary::cost(plan.cost.as_ref());
            if !text.is_empty() {
                terminal.say(&text);
            }
        }
        let simulated = job.stack.place.sim.is_some();
        terminal.say(&time_text::took(simulated, applied.elapsed, &course.expected(), &executed));
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
