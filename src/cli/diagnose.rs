//! `diagnose`: from a symptom to its cause, and a bundle for whoever is asked for help. Changes nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::catalog;
use crate::cli::args::{BundleArgs, StackArgs};
use crate::cli::kept::{Kept, me};
use crate::cli::matter::Planning;
use crate::cli::reach::{Place, wall_clock_runtime, with_platforms};
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::diagnosis::facts::{Facts, Reach};
use crate::diagnosis::{causes, unexplained};
use crate::env::disk::{Disk, RealDisk, write_document};
use crate::env::vars::Vars;
use crate::ops::diagnose::failures::{self, LastFailure};
use crate::ops::diagnose::mask::Mask;
use crate::ops::diagnose::{Question, bundle, collect};
use crate::ops::layout;
use crate::ops::platforms::Platforms;
use crate::ops::preview::preview;
use crate::plan::planner::Options;
use crate::state::model::State;
use crate::ui::paint::count;
use crate::ui::{diagnose_text, plan_json};

#[derive(Debug, Args, Clone)]
pub(super) struct DiagnoseArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write everything that was seen, without secrets, into an archive for a report: what it holds is listed first.
    #[arg(long, value_name = "FILE.tar.gz")]
    pub bundle: Option<PathBuf>,
}

/// A single look may take as long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn diagnose(args: &DiagnoseArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let stack = &args.stack;
    let place = Place::of(&stack.place, &stack.file);
    let planned = source::planned(stack, &BundleArgs::default(), vars, place.is_simulated(), None, false)?;
    let kept = Kept::of(stack, &place, planned.stack())?;
    let name = planned.stack().name.to_string();
    let (state, unreadable) = match kept.read_as_it_is(terminal) {
        Ok(state) => (state, None),
        Err(error) => (State::empty(&name), Some(error.to_string())),
    };
    let failures = last_failures(stack, &place, &name);
    let options = Options::default();
    let planning = Planning {
        args: stack,
        place: &place,
        planned: &planned,
        options: &options,
        terminal,
        vars,
        create_key: false,
    };
    let again = format!("{}{}", stack.file.display(), stack.place.again());
    let holder = holder(&kept, vars);
    let (facts, files) = with_platforms(&place, planned.site(), async |platforms| {
        let looked = planned.look(&platforms, &state, &options, terminal).await.ok().flatten();
        let wanted = looked.as_ref().or(planned.known());
        // A chart that has to ask a cluster that does not answer says nothing of what it wants.
        let infrastructure = catalog::infrastructure(planned.stack());
        let nothing = std::collections::BTreeMap::new();
        let question = Question {
            desired: wanted.map_or(&infrastructure, |wanted| &wanted.desired),
            state: &state,
            unreadable,
            holder,
            failures: &failures,
            secrets: wanted.map_or(&nothing, |wanted| &wanted.secrets),
            again: again.clone(),
            patience: PATIENCE,
        };
        terminal.say(&terminal.err.dim("Looking at everything that may say why..."));
        let (facts, mask) = collect(&platforms, &question).await;
        let files = match &args.bundle {
            Some(_) => Some(contents(stack, &planning, &platforms, &state, &facts, &mask).await),
            None => None,
        };
        Ok((facts, files))
    })?;
    let found = causes(&facts);
    let left = unexplained(&facts);
    let fine = found.is_empty() && left.is_empty();
    if args.json {
        let unseen = facts.unseen.iter().map(|unseen| serde_json::json!({"what": unseen.what, "why": unseen.why}));
        let json = serde_json::json!({
            "stack": facts.stack, "healthy": fine, "cluster": facts.reach, "causes": found, "unexplained": left,
            "not_looked_at": unseen.collect::<Vec<_>>(),
        });
        terminal.print(&format!("{json:#}\n"));
    } else {
        terminal.print(&diagnose_text::causes(&found, terminal.out));
        if !left.is_empty() {
            terminal.print(&diagnose_text::unexplained(&left, terminal.out));
        }
        let unseen = facts.unseen.iter().map(|unseen| (unseen.what.clone(), unseen.why.clone())).collect::<Vec<_>>();
        terminal.print(&diagnose_text::unseen(&unseen, terminal.out));
        if fine {
            terminal.print(&format!("{}\n", terminal.out.green(&healthy(&facts))));
        }
    }
    if let (Some(path), Some(files)) = (&args.bundle, files) {
        write(path, &facts.stack, &files, terminal)?;
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why nothing is said.
fn healthy(facts: &Facts) -> String {
    if facts.recorded.resources == 0 && !matches!(facts.reach, Reach::There) {
        return "Nothing is there: the stack was not applied, or was destroyed. Nothing is known that would keep it from \
                being applied."
            .to_owned();
    }
    let objects = facts.objects.iter().filter(|object| object["kind"] != "Event").count();
    let nodes = facts.objects.iter().filter(|object| object["kind"] == "Node").count();
    format!(
        "Nothing is wrong: {} and {} were looked at, {} of the stack are recorded, and nothing says otherwise.",
        count(nodes, "node"),
        count(objects - nodes, "other object"),
        count(facts.recorded.resources, "resource"),
    )
}

/// What the last run of this stack has failed with.
fn last_failures(stack: &StackArgs, place: &Place, name: &str) -> Vec<LastFailure> {
    let path = layout::failures(&stack.file, place.world(), name);
    RealDisk.read(&path).map(|bytes| failures::decode(&bytes)).unwrap_or_default()
}

/// Who has the state; nobody where that cannot be told.
fn holder(kept: &Kept, vars: &dyn Vars) -> Option<String> {
    match kept {
        Kept::Local(backend) => backend.holder().ok().flatten(),
        Kept::Remote(backend) => {
            let held = wall_clock_runtime().ok()?.block_on(backend.held(&me(vars, "diagnose"))).ok()??;
            Some(held.lease.holder)
        }
    }
}

/// Everything for the bundle.
async fn contents(
    stack: &StackArgs,
    planning: &Planning<'_>,
    platforms: &Platforms,
    state: &State,
    facts: &Facts,
    mask: &Mask,
) -> bundle::Files {
    let mut given = Vec::new();
    let lock = stack.file.with_extension("lock");
    for (name, path) in [("stack.toml", stack.file.as_path()), ("stack.lock", lock.as_path())] {
        if let Ok(bytes) = RealDisk.read(path) {
            given.push((name.to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    let options = plan_json::Options { dialect: plan_json::Dialect::Own, full: false };
    given.push(("state.json".to_owned(), bundle::document(&plan_json::state(state, options), mask)));
    let planned = async {
        let matter = planning.matter(platforms, state).await?;
        preview(&matter.keyed(platforms), matter.subject(state, true)).await
    };
    given.push(match planned.await {
        Ok(preview) => {
            let options = plan_json::Options { dialect: plan_json::Dialect::Own, full: false };
            ("plan.json".to_owned(), bundle::document(&plan_json::plan(&preview.plan, None, options), mask))
        }
        Err(why) => ("plan.txt".to_owned(), format!("there is no plan: {why}\n")),
    });
    bundle::files(facts, &causes(facts), given, mask)
}

fn write(path: &Path, stack: &str, files: &bundle::Files, terminal: &Terminal) -> Result<(), Diagnostics> {
    let refused = |error: std::io::Error| {
        let diagnostic = Diagnostic::error(format!("cannot write {}", path.display())).detail(error.to_string());
        Diagnostics::from(diagnostic.hint("choose another file with --bundle"))
    };
    terminal.say(&format!("The bundle holds {}, without secrets:", count(files.len(), "file")));
    for name in files.keys() {
        terminal.say(&format!("  {name}"));
    }
    let packed = bundle::pack(&format!("diagnose-{stack}"), files).map_err(refused)?;
    write_document(path, &packed).map_err(refused)?;
    terminal.say(&format!("Written to {}. Look into it before you send it.", path.display()));
    Ok(())
}
