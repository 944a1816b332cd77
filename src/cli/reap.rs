//! `reap`: destroys the stacks of a project whose time is over, and leaves a receipt for each.

use std::path::Path;
use std::process::ExitCode;

use crate::backend::Session;
use crate::cli::apply::ask;
use crate::cli::args::ReapArgs;
use crate::cli::kept::{Kept, Opening};
use crate::cli::reach::{Place, Site, with_platforms};
use crate::cli::run;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::dispatcher::Interrupt;
use crate::env::clock::Timestamp;
use crate::env::vars::Vars;
use crate::ops::apply::{Apply, apply};
use crate::ops::platforms::Platforms;
use crate::ops::preview::{Preview, Subject, preview};
use crate::ops::receipt::{self, Matter};
use crate::ops::{capture, reap};
use crate::plan::planner::Options;
use crate::platform::audit::{Receipt, Unseen};
use crate::platform::expiry::Marked;
use crate::resource::model::Desired;
use crate::ui::{reap_text, receipt_text};

/// Calls under way at a time.
const PARALLEL: usize = 16;

pub(super) fn reap(args: &ReapArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.place, Path::new("stack.toml"));
    let site = Site { project: Some(args.project.clone()), given: None };
    with_platforms(&place, site, async |platforms| all(args, &place, vars, &platforms, terminal).await)
}

async fn all(
    args: &ReapArgs,
    place: &Place,
    vars: &dyn Vars,
    platforms: &Platforms,
    terminal: &Terminal,
) -> Result<ExitCode, Diagnostics> {
    let interrupt = run::interrupts();
    let (marked, mut unseen) = reap::marked(platforms, &args.project).await.map_err(|error| {
        let diagnostic = Diagnostic::error(format!("the clusters of {} cannot be listed", args.project))
            .detail(format!("{}. Nothing was changed.", error.message));
        Diagnostics::from(diagnostic.hint(error.hint.unwrap_or_else(|| "try again when Google Cloud answers".into())))
    })?;
    let stray = reap::stray(platforms, &args.project).await.unwrap_or_else(|error| {
        unseen.push(Unseen { what: format!("machines of probes in {}", args.project), why: error.message });
        Vec::new()
    });
    let now = platforms.clock.now();
    let expired = marked.iter().filter(|marked| marked.is_expired(now.seconds())).collect::<Vec<_>>();
    tell(args, &marked, &unseen, now, terminal);
    for machine in stray.iter().filter(|_| !args.json) {
        terminal.print(&reap_text::stray(machine));
    }
    let illegible = marked.iter().any(|marked| marked.illegible.is_some());
    let known = unseen.is_empty() && !illegible;
    if args.dry_run || (expired.is_empty() && stray.is_empty()) {
        return Ok(if known { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !args.auto_approve {
        if !terminal.interactive {
            return Err(Diagnostic::error("nobody is there to approve that stacks are destroyed")
                .detail("Standard input is not a terminal. Nothing was changed.")
                .hint("look with --dry-run, then use --auto-approve")
                .into());
        }
        let question =
            "\nDo you really want to destroy the expired stacks, and what they leave behind?\n  There is no undo.";
        if !ask(question, platforms, interrupt.clone(), terminal).await {
            terminal.say("Cancelled. Nothing was changed.");
            return Ok(ExitCode::FAILURE);
        }
    }
    let mut clean = known;
    for machine in &stray {
        let removed = receipt::remove(platforms, machine).await;
        clean &= removed.is_ok();
        let failed = removed.err().map(|error| error.message);
        if args.json {
            let line = serde_json::json!({"swept": {"kind": machine.kind, "name": machine.name, "failed": failed}});
            terminal.print(&format!("{line}\n"));
        } else {
            terminal.say(&reap_text::swept(machine, failed.as_deref(), terminal.err));
        }
    }
    for one in expired {
        if *interrupt.borrow() != Interrupt::None {
            clean = false;
            break;
        }
        let command = "stackwright reap";
        let opening = Opening { lock_timeout: None, vars, command, terminal, even_departed: true };
        // Whoever works on the stack just now is not undone; and nobody begins to while it is destroyed.
        let lease = match lease(args, place, one, &opening).await {
            Ok(lease) => lease,
            Err(in_use) => {
                terminal.say(&format!("{} ({}) is left alone:", one.stack, one.stack_id));
                terminal.diagnostics(&in_use);
                clean = false;
                continue;
            }
        };
        let destroyed = destroy(platforms, one, &interrupt, terminal).await;
        if let Some(mut lease) = lease {
            lease.close().await;
        }
        clean &= destroyed?;
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(args: &ReapArgs, marked: &[Marked], unseen: &[Unseen], now: Timestamp, terminal: &Terminal) {
    if let Some(lines) = &terminal.lines {
        let stacks = marked.iter().map(|marked| {
            let mut line = serde_json::to_value(marked).unwrap_or_default();
            line["expired"] = marked.is_expired(now.seconds()).into();
            line
        });
        lines.stacks(stacks.collect(), unseen);
    }
    if !args.json {
        terminal.print(&reap_text::stacks(&args.project, marked, unseen, now, terminal.out));
    }
}

/// Takes the state of a stack, where it is found: in the place that the user names, or beside this one. `None` where no
/// state of this very stack is there, or it cannot be read: labels are then all that is known.
///
/// # Errors
/// When somebody has it.
async fn lease(
    args: &ReapArgs,
    place: &Place,
    marked: &Marked,
    opening: &Opening<'_>,
) -> Result<Option<Box<dyn Session>>, Diagnostics> {
    let kept = Kept::beside(Path::new("stack.toml"), place, &marked.stack, args.state.as_deref())?;
    match kept.read_back().await {
        Ok(state) if state.stack_id == marked.stack_id => kept.open(opening).await.map(Some),
        _ => Ok(None),
    }
}

/// Destroys one stack; whether nothing of it is left.
async fn destroy(
    platforms: &Platforms,
    marked: &Marked,
    interrupt: &tokio::sync::watch::Receiver<Interrupt>,
    terminal: &Terminal,
) -> Result<bool, Diagnostics> {
    let failed = |what: &str, why: String| {
        Diagnostics::from(
            Diagnostic::error(format!("{} {}: {what}", marked.stack, marked.stack_id))
                .detail(why)
                .hint("run reap again: it goes on from what is there"),
        )
    };
    let session = reap::take_up(platforms, marked).await;
    let Some(mut session) = session.map_err(|error| failed("it could not be read", error.to_string()))? else {
        terminal.say(&format!("{} in {} is gone or was renewed since: left alone.", marked.name, marked.location));
        return Ok(true);
    };
    let options = Options { destroy: true, no_hooks: true, ..Options::default() };
    let desired = Desired { stack: marked.stack.clone(), ..Desired::default() };
    let subject = Subject::bare(&desired, session.state(), &options);
    let Preview { plan, observed, .. } = preview(platforms, subject).await?;
    capture::before(platforms, &mut session, &plan, &observed).await.map_err(|error| {
        failed("what it would leave behind could not be learned, so nothing was deleted", error.to_string())
    })?;
    terminal.say(&format!("\nDestroying {} ({}):", marked.stack, marked.stack_id));
    terminal.lines_of(&plan);
    let watch = terminal.watch(&plan, &platforms.clock);
    let sink = watch.sink.clone();
    let job = Apply {
        plan: &plan,
        observed,
        secrets: std::collections::BTreeMap::new(),
        ttl: None,
        parallelism: PARALLEL,
        sink,
        interrupt: interrupt.clone(),
        shuffle: None,
    };
    let applied = apply(platforms, &mut session, job).await;
    watch.finish();
    let applied = applied.map_err(|error| run::refused(&error))?;
    // What is left of a stack that is only half gone is its own: the next run takes it up by its labels.
    if !applied.is_complete() {
        return Ok(false);
    }
    let receipt = settle(platforms, &session, Matter::of(&session, &plan), interrupt, terminal).await;
    if let Some(lines) = &terminal.lines {
        lines.receipt(&receipt);
    } else {
        terminal.say(&receipt_text::receipt(&receipt, None, terminal.err));
    }
    Ok(receipt.is_clean())
}

/// Looks, and sweeps at once: without a state, nobody could prove later whose it was.
async fn settle(
    platforms: &Platforms,
    session: &dyn Session,
    matter: Matter,
    interrupt: &tokio::sync::watch::Receiver<Interrupt>,
    terminal: &Terminal,
) -> Receipt {
    let mut say = |finding: &crate::platform::audit::Finding| {
        terminal.say(&format!("Sweeping {} {}...", finding.kind, finding.name));
    };
    let found = match receipt::examine(platforms, &matter).await {
        Ok(found) if found.receipt.can_be_swept() => {
            receipt::sweep(platforms, session, &matter, found, interrupt, &mut say).await
        }
        found => found,
    };
    match found {
        Ok(found) => found.receipt,
        Err(error) => receipt::blind(platforms, &matter, &error),
    }
}
