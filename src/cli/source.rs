//! From a stack file on disk to what it wants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::catalog;
use crate::chart::cache::Cache;
use crate::chart::{Answers, Library, Lock};
use crate::cli::args::{BundleArgs, InputArgs, StackArgs};
use crate::cli::reach::{Place, Site};
use crate::cli::terminal::Terminal;
use crate::cli::{lock, run};
use crate::cost;
use crate::diag::{Diagnostic, Diagnostics, Source};
use crate::env::disk::{Disk, RealDisk};
use crate::env::random::SystemRandom;
use crate::env::vars::Vars;
use crate::ops::conceal;
use crate::ops::layout;
use crate::ops::lookup::{self, Found};
use crate::ops::platforms::Platforms;
use crate::plan::admissible;
use crate::plan::planner::Options;
use crate::provider::kube::given::Given;
use crate::resource::model::Desired;
use crate::stack::{self, Stack};
use crate::state::key::Key;
use crate::state::model::State;

/// A stack, expanded, with the values of its secret inputs.
pub(super) struct Wanted {
    pub stack: Stack,
    pub desired: Desired,
    pub secrets: BTreeMap<String, String>,
    pub warnings: Vec<Diagnostic>,
    /// What charts have looked up, and what the stack's own Secrets hold.
    pub found: Found,
    /// Whether API servers would take the objects: what is wrong with them, or warnings.
    admissible: Result<Vec<Diagnostic>, Vec<Diagnostic>>,
}

impl Wanted {
    /// Says what is to be said of what the stack wants, and refuses what could not be had.
    pub(super) fn accept(&self, terminal: &Terminal) -> Result<(), Diagnostics> {
        terminal.diagnostics(&Diagnostics(self.warnings.clone()));
        terminal.diagnostics(&self.check_objects()?);
        self.check_budget()
    }

    /// Refuses a stack that costs more than its own limit.
    pub(super) fn check_budget(&self) -> Result<(), Diagnostics> {
        let Some(budget) = self.stack.limits.as_ref().and_then(|limits| limits.budget_per_day.as_ref()) else {
            return Ok(());
        };
        let places =
            self.desired.places.iter().map(|place| (place.location.as_str(), self.desired.at(&place.location)));
        let mut estimates =
            places.map(|(place, desired)| (place, cost::estimate(&desired.resources))).collect::<Vec<_>>();
        if estimates.is_empty() {
            estimates.push(("", cost::estimate(&self.desired.resources)));
        }
        let several = estimates.len() > 1;
        let dearest = estimates.into_iter().max_by(|(_, one), (_, other)| {
            (!one.is_complete(), one.per_day())
                .partial_cmp(&(!other.is_complete(), other.per_day()))
                .expect("prices are numbers")
        });
        let Some((place, estimate)) = dearest else { return Ok(()) };
        let what = if several { format!("in {place} the stack") } else { "the stack".to_owned() };
        let (limit, cost) = (budget.value.get(), estimate.per_day());
        let unknown = estimate.unknown().map(|line| line.what.as_str()).collect::<Vec<_>>();
        if cost <= limit && unknown.is_empty() {
            return Ok(());
        }
        let summary = if cost > limit {
            format!("{what} costs ${cost:.2} a day, more than its budget of ${limit:.2}")
        } else {
            format!("{what} costs at least ${cost:.2} a day; whether that is within ${limit:.2} cannot be said")
        };
        let mut lines = estimate
            .lines
            .iter()
            .map(|line| match line.per_hour {
                Some(price) => format!("{}: {} at ${:.2} a day", line.address, line.what, price * 24.0),
                None => format!("{}: {} has no known price ({})", line.address, line.what, line.source),
            })
            .collect::<Vec<_>>();
        lines.dedup();
        Err(Diagnostic::error(summary)
            .detail(lines.join("\n"))
            .hint(if several {
                "raise or remove [limits] budget_per_day, or take something away, a fallback location for example"
            } else {
                "raise or remove [limits] budget_per_day, or take something away"
            })
            .at(budget.span.clone(), "the limit")
            .into())
    }

    /// Refuses a stack with Kubernetes objects that no API server would take; the warnings otherwise.
    pub(super) fn check_objects(&self) -> Result<Diagnostics, Diagnostics> {
        self.admissible.clone().map(Diagnostics).map_err(Diagnostics)
    }

    /// From apply until `reap` may take it away.
    pub(super) fn ttl(&self) -> Option<Duration> {
        self.stack.limits.as_ref()?.ttl.as_ref().map(|ttl| ttl.value)
    }
}

/// The Google Cloud project of a stack, or the cluster that is there already.
fn site(stack: &Stack) -> Site {
    let Some(cluster) = &stack.cluster else { return Site::default() };
    let given = cluster.kubeconfig.as_ref().map(|file| {
        let beside = Path::new(&file.span.source.name).parent().unwrap_or(Path::new(""));
        let context = cluster.context.as_ref().map(|context| context.to_string());
        Given { path: beside.join(&***file), context }
    });
    Site { project: cluster.project.as_ref().map(|project| project.value.to_string()), given }
}

/// Reads a file that the user named.
pub(super) fn read(path: &Path) -> Result<Source, Diagnostics> {
    let bytes = RealDisk.read(path).map_err(|error| {
        let diagnostic = Diagnostic::error(format!("cannot read {}", path.display())).detail(error.to_string());
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "name a stack file, or make one with `stackwright new`",
            std::io::ErrorKind::IsADirectory => "name the stack file in that folder",
            _ => "check the path and its permissions",
        };
        Diagnostics::from(diagnostic.hint(hint))
    })?;
    stack::source(&path.display().to_string(), bytes)
}

fn given(inputs: &InputArgs, synthesize: bool) -> Result<stack::inputs::Given, Diagnostics> {
    let files = inputs.var_files.iter().map(|path| read(path).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    Ok(stack::inputs::Given { flags: inputs.vars.clone(), files, synthesize })
}

/// Reads and checks a stack. `synthesize` makes up inputs that are missing.
pub(super) fn stack(
    file: &Path,
    inputs: &InputArgs,
    vars: &dyn Vars,
    synthesize: bool,
) -> Result<stack::Loaded, Diagnostics> {
    let source = Arc::new(read(file)?);
    stack::load(source, &stack::DiskLoader(&RealDisk), &given(inputs, synthesize)?, vars)
}

/// Reads a stack that is to go, or whose state is enough. Nothing of it is expanded: that must not depend on charts
/// being at hand. Secrets are for hooks that run at the deletion.
pub(super) fn leaving(args: &StackArgs, vars: &dyn Vars, synthesize: bool) -> Result<Wanted, Diagnostics> {
    let loaded = stack(&args.file, &args.inputs, vars, synthesize)?;
    let desired = catalog::nothing(&loaded.stack);
    let secrets = secrets(&loaded);
    let (found, admissible) = (Found::default(), Ok(Vec::new()));
    Ok(Wanted { stack: loaded.stack, desired, secrets, warnings: loaded.warnings, found, admissible })
}

/// The values of the secret inputs.
fn secrets(loaded: &stack::Loaded) -> BTreeMap<String, String> {
    let inputs = &loaded.inputs;
    inputs.names().filter_map(|name| Some((name.to_owned(), inputs.secret(name)?.to_owned()))).collect()
}

/// Reads, checks and expands a stack, as if there were no cluster to look anything up in. `synthesize` makes up inputs
/// that are missing. With `fetch`, what the lock names is fetched, and the lock is made where there is none; without,
/// what is at hand must do.
pub(super) fn load(
    args: &StackArgs,
    charts: &BundleArgs,
    vars: &dyn Vars,
    synthesize: bool,
    fetch: Option<&Terminal>,
) -> Result<Wanted, Diagnostics> {
    prepare(args, charts, vars, synthesize, fetch)?.expand(&Answers::default())
}

/// A stack, and everything that its expansion needs besides answers of a cluster.
pub(super) struct Prepared {
    loaded: stack::Loaded,
    lock: Option<Lock>,
    /// Folders.
    bundles: Vec<PathBuf>,
    vars: BTreeMap<String, String>,
    key: Option<[u8; 32]>,
    fetches: bool,
}

/// The variables that say where charts are.
const PLACES: [&str; 6] =
    ["STACKWRIGHT_CHARTS", "STACKWRIGHT_BUNDLE", "STACKWRIGHT_CACHE", "XDG_CACHE_HOME", "HOME", "USERPROFILE"];

/// Reads a stack, and has at hand what it needs; as [`load`].
pub(super) fn prepare(
    args: &StackArgs,
    charts: &BundleArgs,
    vars: &dyn Vars,
    synthesize: bool,
    fetch: Option<&Terminal>,
) -> Result<Prepared, Diagnostics> {
    let loaded = stack(&args.file, &args.inputs, vars, synthesize)?;
    let bundles = lock::bundles(&args.file, charts, vars)?.iter().map(|bundle| bundle.folder().to_owned()).collect();
    let lock = lock::provide(&loaded.stack, &args.file, charts, vars, fetch)?;
    let key = chart_key(args, vars, &loaded.stack)?;
    let vars = PLACES.into_iter().filter_map(|name| Some((name.to_owned(), vars.get(name)?))).collect();
    Ok(Prepared { loaded, lock, bundles, vars, key, fetches: fetch.is_some() })
}

impl Prepared {
    /// What the stack wants, with these answers to what charts ask about the cluster.
    pub(super) fn expand(&self, answers: &Answers) -> Result<Wanted, Diagnostics> {
        let loaded = &self.loaded;
        let library = Library::new(&RealDisk).locked(self.lock.as_ref());
        let bundles = self.bundles.iter().cloned().map(Cache::bundle);
        let library = bundles.fold(library, Library::shelf).of_environment(&self.vars);
        let options = catalog::ExpandOptions {
            loader: &stack::DiskLoader(&RealDisk),
            library: &library,
            secrets: loaded.inputs.secret_origins(),
            key: self.key,
            answers,
        };
        let expanded = catalog::expand(&loaded.stack, &options);
        let notes = library.notes().into_iter().map(Diagnostic::warning).collect::<Vec<_>>();
        let (mut desired, more) = expanded.map_err(|Diagnostics(mut mistakes)| {
            mistakes.extend(notes.clone());
            Diagnostics(mistakes)
        })?;
        if self.fetches {
            no_stand_ins(&desired)?;
        }
        let mut warnings = loaded.warnings.clone();
        warnings.extend(more);
        warnings.extend(notes);
        let stack = loaded.stack.clone();
        // The rules want to see what Secrets hold; nobody else does.
        let admissible = admissible::refuse(&desired).map_err(|Diagnostics(mistakes)| mistakes);
        let held = conceal::conceal(&mut desired);
        desired.secrets.extend(held.keys().map(|name| (name.clone(), "written in the stack".to_owned())));
        let mut secrets = secrets(loaded);
        secrets.extend(held.clone());
        let found = Found { secrets: held, ..Found::default() };
        Ok(Wanted { stack, desired, secrets, warnings, found, admissible })
    }

    /// What the stack wants, once charts have had a look at the cluster.
    async fn look(&self, platforms: &Platforms, state: &State, options: &Options) -> Result<Wanted, Diagnostics> {
        let alone = catalog::cluster_alone(&self.loaded.stack);
        let place = lookup::place(platforms, &alone, state, options, None).await?;
        let (mut wanted, found) = lookup::settle(platforms, &place, &|answers| self.expand(answers)).await?;
        wanted.secrets.extend(found.secrets.clone());
        for (name, origin) in &mut wanted.desired.secrets {
            if found.secrets.contains_key(name) {
                "looked up in the cluster".clone_into(origin);
            }
        }
        wanted.found.questions = found.questions;
        wanted.found.secrets.extend(found.secrets);
        Ok(wanted)
    }
}

/// A stack that is planned.
pub(super) enum Planned {
    /// It says by itself what it wants.
    Known(Box<Wanted>),
    /// Its charts ask about the cluster first.
    Asks(Box<Prepared>),
}

/// Reads a stack that is planned, as [`load`] or, where it is to go, [`leaving`].
pub(super) fn planned(
    args: &StackArgs,
    charts: &BundleArgs,
    vars: &dyn Vars,
    synthesize: bool,
    fetch: Option<&Terminal>,
    destroy: bool,
) -> Result<Planned, Diagnostics> {
    if destroy {
        return leaving(args, vars, synthesize).map(|wanted| Planned::Known(Box::new(wanted)));
    }
    let prepared = prepare(args, charts, vars, synthesize, fetch)?;
    let answers = Answers::default();
    let expanded = prepared.expand(&answers);
    // Without an answer, whatever a chart says of mistakes may be wrong.
    if answers.asked().is_empty() {
        expanded.map(|wanted| Planned::Known(Box::new(wanted)))
    } else {
        Ok(Planned::Asks(Box::new(prepared)))
    }
}

impl Planned {
    /// The stack.
    pub(super) fn stack(&self) -> &Stack {
        match self {
            Planned::Known(wanted) => &wanted.stack,
            Planned::Asks(prepared) => &prepared.loaded.stack,
        }
    }

    /// US dollars a day that it may cost.
    pub(super) fn budget(&self) -> Option<f64> {
        Some(self.stack().limits.as_ref()?.budget_per_day.as_ref()?.value.get())
    }

    /// The Google Cloud project, or the cluster that is there already.
    pub(super) fn site(&self) -> Site {
        site(self.stack())
    }

    /// What it wants, where that is known without a look at anything.
    pub(super) fn known(&self) -> Option<&Wanted> {
        match self {
            Planned::Known(wanted) => Some(wanted),
            Planned::Asks(_) => None,
        }
    }

    /// What it wants, where charts have to look first; checked as what is known at once was.
    pub(super) async fn look(
        &self,
        platforms: &Platforms,
        state: &State,
        options: &Options,
        terminal: &Terminal,
    ) -> Result<Option<Wanted>, Diagnostics> {
        let Planned::Asks(prepared) = self else { return Ok(None) };
        let wanted = prepared.look(platforms, state, options).await?;
        wanted.accept(terminal)?;
        Ok(Some(wanted))
    }
}

/// What random values in charts derive from: `STACKWRIGHT_KEY`, or the stack key. Digests of what charts consist of are
/// keyed with it, too.
///
/// A key is made for a stack that was never applied, if it has charts of its own: the catalogue's draw nothing. One that is lost later is not made anew: every password
/// that a chart has drawn would be another one.
fn chart_key(args: &StackArgs, vars: &dyn Vars, stack: &Stack) -> Result<Option<[u8; 32]>, Diagnostics> {
    let place = Place::of(&args.place, &args.file);
    let state = layout::state(&args.file, place.world(), &stack.name);
    let is_new = || RealDisk.list(&state).map_or(true, |names| names.is_empty());
    let key = match known_key(vars, &state)? {
        None if !stack.charts.is_empty() && is_new() => Some(made_key(&state)?),
        key => key,
    };
    Ok(key.map(|key| key.derived("charts")))
}

fn known_key(vars: &dyn Vars, state: &Path) -> Result<Option<Key>, Diagnostics> {
    let given = layout::given_key(vars).map_err(|error| run::unusable_key(&error))?;
    if given.is_some() {
        return Ok(given);
    }
    layout::kept_key(&RealDisk, state).map_err(|error| run::unusable_key(&error))
}

fn made_key(state: &Path) -> Result<Key, Diagnostics> {
    layout::make_key(&RealDisk, &SystemRandom, state).map_err(|error| run::unusable_key(&error))
}

/// Makes a key for a stack whose own is lost and whose charts draw from it: only for a state that is made anew.
pub(super) fn renew_key(args: &StackArgs, vars: &dyn Vars, synthesize: bool) -> Result<(), Diagnostics> {
    let stack = stack(&args.file, &args.inputs, vars, synthesize)?.stack;
    let place = Place::of(&args.place, &args.file);
    let state = layout::state(&args.file, place.world(), &stack.name);
    if !stack.charts.is_empty() && known_key(vars, &state)?.is_none() {
        made_key(&state)?;
    }
    Ok(())
}

/// A cloud gets the real things or nothing.
fn no_stand_ins(desired: &Desired) -> Result<(), Diagnostics> {
    let played = desired.resources.iter().filter(|resource| resource.origin.as_deref() == Some(catalog::STAND_IN));
    let names = played.map(|resource| resource.address.component()).collect::<BTreeSet<_>>();
    if names.is_empty() {
        return Ok(());
    }
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    Err(Diagnostic::error(format!("the charts of {names} are not at hand"))
        .detail("Stand-ins of our own would take their places, which only play a part in the simulator.")
        .hint("run `stackwright lock`, which fetches and pins them, or use --sim")
        .into())
}
