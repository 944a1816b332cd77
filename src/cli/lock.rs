//! `lock` and `chart pull`: what a stack is made with, and single charts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::catalog;
use crate::chart::cache::Cache;
use crate::chart::lock::{Entry, Lock, path};
use crate::chart::source::{Fetcher, Limits, Logins};
use crate::chart::{Library, LibraryError, Reference, Wanted, reference};
use crate::cli::args::{BundleArgs, InputArgs};
use crate::cli::reach::wall_clock_runtime;
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::clock::WallClock;
use crate::env::disk::{self, Disk, RealDisk, write_document};
use crate::env::vars::Vars;
use crate::ops::lock::{self, Completed, Difference, Locking, Upgrade};
use crate::stack::Stack;

#[derive(Debug, Args, Clone)]
pub(super) struct LockArgs {
    /// The stack file.
    #[arg(value_name = "STACK", default_value = "stack.toml")]
    pub file: PathBuf,
    #[command(flatten)]
    pub inputs: InputArgs,
    /// Lock the newest that the stack allows; with a name, only that component, whatever is published now.
    #[arg(long, value_name = "COMPONENT", num_args = 0..=1, default_missing_value = "")]
    pub upgrade: Vec<String>,
    /// Change nothing; exit 1 when the lock file differs from the stack or from what is published.
    #[arg(long, conflicts_with_all = ["upgrade", "bundle"])]
    pub check: bool,
    /// With --check: compare with the stack only, and ask nobody.
    #[arg(long, requires = "check")]
    pub offline: bool,
    /// Write everything that is locked into a folder, for a closed network.
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
}

#[derive(Debug, Args, Clone)]
pub(super) struct PullArgs {
    /// The chart: oci://…, https://….tgz, git+https://…?ref=TAG, https://REPOSITORY#NAME, or its name with --repo.
    #[arg(value_name = "CHART")]
    pub chart: String,
    /// The repository that has the chart.
    #[arg(long, value_name = "URL")]
    pub repo: Option<String>,
    /// The version or range of versions; the newest by default.
    #[arg(long)]
    pub version: Option<String>,
    /// The folder that it is written to.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
}

fn fetcher(vars: &dyn Vars) -> Result<Fetcher, Diagnostics> {
    let logins = Logins::of_environment(vars, &RealDisk);
    Fetcher::new(Arc::new(WallClock::new()), Limits::default(), logins).map_err(|error| error.diagnostic("").into())
}

/// Bundles to look into before the cache: the one that the user names, or the folder beside the lock file.
pub(super) fn bundles(file: &Path, charts: &BundleArgs, vars: &dyn Vars) -> Result<Vec<Cache>, Diagnostics> {
    let beside = path(file).with_extension("bundle");
    let is_folder = |folder: &Path| matches!(RealDisk.entry(folder), Ok(disk::Entry::Folder));
    let named = match &charts.bundle {
        Some(folder) if !is_folder(folder) => {
            let what = format!("{} is no folder with a bundle", folder.display());
            let hint = "write one with `stackwright lock STACK --bundle DIR` where there is a network";
            return Err(Diagnostic::error(what).hint(hint).into());
        }
        Some(folder) => Some(folder.clone()),
        None => Some(beside).filter(|folder| is_folder(folder)),
    };
    let of_environment = vars.get("STACKWRIGHT_BUNDLE").filter(|value| !value.is_empty());
    Ok(named.into_iter().chain(of_environment.map(PathBuf::from)).map(Cache::bundle).collect())
}

/// The user's cache, and the bundles.
fn shelves(file: &Path, charts: &BundleArgs, vars: &dyn Vars) -> Result<(Cache, Vec<Cache>), Diagnostics> {
    let place = Cache::place(vars).ok_or_else(|| {
        let what = "there is no folder for what is fetched";
        Diagnostics::from(Diagnostic::error(what).hint("set HOME, or name one with STACKWRIGHT_CACHE"))
    })?;
    Ok((Cache::new(place), bundles(file, charts, vars)?))
}

pub(super) fn lock(args: &LockArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let upgrade = upgrade(&args.upgrade)?;
    let loaded = source::stack(&args.file, &args.inputs, vars, true)?;
    let stack = &loaded.stack;
    refuse_mistakes(stack)?;
    let wanted = catalog::sources(stack);
    let before = lock::read(&RealDisk, &args.file)?;
    if args.check {
        return check(args, &wanted, before, vars, terminal);
    }
    let (cache, bundles) = shelves(&args.file, &BundleArgs::default(), vars)?;
    let fetcher = fetcher(vars)?;
    let locking = Locking { fetcher: &fetcher, disk: &RealDisk, cache: &cache, bundles: &bundles };
    let before = before.unwrap_or_default();
    let completed = wall_clock_runtime()?.block_on(async {
        let completed = locking.complete(&wanted, &before, catalog::capabilities(stack), &upgrade).await?;
        let bundled = match &args.bundle {
            Some(folder) => Some(locking.bundle(&wanted, &completed.lock, &Cache::bundle(folder.clone())).await?),
            None => None,
        };
        Ok::<_, Diagnostics>((completed, bundled))
    });
    say_notes([&cache].into_iter().chain(&bundles), terminal);
    let (completed, bundled) = completed?;
    terminal.diagnostics(&Diagnostics(completed.warnings.clone()));
    let written = lock::write(&RealDisk, &args.file, &completed.lock)?;
    terminal.print(&lines(&completed));
    let count = completed.lock.entries.len();
    let things = if count == 1 { "1 source".to_owned() } else { format!("{count} sources") };
    let place = path(&args.file).display().to_string();
    let verb = if written { "Wrote" } else { "No change to" };
    terminal.say(&format!("{verb} {place}: {things}."));
    if let (Some(folder), Some(bundled)) = (&args.bundle, bundled) {
        copy_lock(folder, &args.file, &completed.lock)?;
        terminal.say(&format!(
            "Bundled {bundled} files in {}. In the closed network: stackwright plan {} --bundle {0}",
            folder.display(),
            args.file.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// A bundle says by itself what it is for.
fn copy_lock(folder: &Path, stack_file: &Path, lock: &Lock) -> Result<(), Diagnostics> {
    let copy = folder.join(path(stack_file).file_name().unwrap_or_default());
    write_document(&copy, lock.encode().as_bytes()).map_err(|error| unwritable(&copy, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Diagnostics {
    let diagnostic = Diagnostic::error(format!("cannot write {}", path.display())).detail(error.to_string());
    diagnostic.hint("check the folder and its permissions").into()
}

fn upgrade(names: &[String]) -> Result<Upgrade, Diagnostics> {
    if let Some(file) = names.iter().find(|name| name.ends_with(".toml")) {
        let what = format!("--upgrade {file}: that is a file, not a component");
        return Err(Diagnostic::error(what).hint(format!("write `stackwright lock {file} --upgrade`")).into());
    }
    Ok(match names {
        [] => Upgrade::Nothing,
        names if names.iter().any(String::is_empty) => Upgrade::Everything,
        names => Upgrade::Only(names.iter().cloned().collect()),
    })
}

fn refuse_mistakes(stack: &Stack) -> Result<(), Diagnostics> {
    let mistakes = catalog::sources::mistakes(stack);
    if mistakes.is_empty() { Ok(()) } else { Err(Diagnostics(mistakes)) }
}

fn say_notes<'c>(caches: impl Iterator<Item = &'c Cache>, terminal: &Terminal) {
    for note in caches.flat_map(Cache::notes) {
        terminal.say(&terminal.err.yellow(&format!("Note: {note}")));
    }
}

/// One line per change.
fn lines(completed: &Completed) -> String {
    let named = |entry: &Entry| {
        let version = entry.version.clone().unwrap_or_else(|| "-".to_owned());
        format!("{version} {}", entry.digest)
    };
    let mut text = String::new();
    for (id, (before, after)) in &completed.changes {
        text.push_str(&match (before, after) {
            (None, Some(after)) => format!("+ {id} {} from {}\n", named(after), after.reference),
            (Some(before), None) => format!("- {id} {}\n", named(before)),
            (Some(before), Some(after)) => format!("~ {id} {} -> {}\n", named(before), named(after)),
            (None, None) => String::new(),
        });
    }
    text
}

fn check(
    args: &LockArgs,
    wanted: &[Wanted],
    before: Option<Lock>,
    vars: &dyn Vars,
    terminal: &Terminal,
) -> Result<ExitCode, Diagnostics> {
    let place = path(&args.file).display().to_string();
    let Some(lock) = before else {
        if wanted.iter().any(Wanted::is_remote) {
            let what = format!("there is no {place}");
            return Err(Diagnostic::error(what).hint("make it with `stackwright lock`").into());
        }
        terminal.say("Nothing to lock: everything lies beside the stack.");
        return Ok(ExitCode::SUCCESS);
    };
    let mut differences = lock::compare(wanted, &lock);
    if !args.offline {
        let (cache, bundles) = shelves(&args.file, &BundleArgs::default(), vars)?;
        let fetcher = fetcher(vars)?;
        let locking = Locking { fetcher: &fetcher, disk: &RealDisk, cache: &cache, bundles: &bundles };
        differences.extend(wall_clock_runtime()?.block_on(locking.check(wanted, &lock))?);
    }
    if differences.is_empty() {
        let with = if args.offline { "the stack" } else { "the stack and what is published" };
        terminal.say(&format!("{place} agrees with {with}: {} sources.", lock.entries.len()));
        return Ok(ExitCode::SUCCESS);
    }
    for Difference { id, what } in &differences {
        terminal.print(&format!("{id}: {what}\n"));
    }
    Ok(ExitCode::FAILURE)
}

/// What a plan rests on: the lock, made if there is none, and everything that it names in the cache. Without
/// `fetch`, the lock as it is; with a bundle, nothing is fetched either, and the lock in it will do.
pub(super) fn provide(
    stack: &Stack,
    file: &Path,
    charts: &BundleArgs,
    vars: &dyn Vars,
    fetch: Option<&Terminal>,
) -> Result<Option<Lock>, Diagnostics> {
    let mut lock = lock::read(&RealDisk, file)?;
    if let (None, Some(bundle)) = (&lock, &charts.bundle) {
        lock = lock::read(&RealDisk, &bundle.join(file.file_name().unwrap_or_default()))?;
    }
    let Some(terminal) = fetch else { return Ok(lock) };
    let wanted = catalog::sources(stack);
    if !wanted.iter().any(Wanted::is_remote) {
        return Ok(lock);
    }
    refuse_mistakes(stack)?;
    let (cache, bundles) = shelves(file, charts, vars)?;
    let fetcher = fetcher(vars)?;
    let locking = Locking { fetcher: &fetcher, disk: &RealDisk, cache: &cache, bundles: &bundles };
    let library = Library::new(&RealDisk).of_environment(vars);
    let result = match lock {
        Some(lock) => {
            // What the folder of archives has needs no lock.
            let needed = wanted.iter().filter(|wanted| !matches!(library.files(wanted), Ok(Some(_))));
            let needed = needed.cloned().collect::<Vec<_>>();
            let mut differences = lock::compare(&needed, &lock);
            differences.retain(|difference| needed.iter().any(|wanted| wanted.id == difference.id));
            if let Some(unfit) = lock::unfit(&differences, file) {
                return Err(unfit);
            }
            let shelved = self::bundles(file, charts, vars)?;
            let library = shelved.into_iter().fold(Library::new(&RealDisk).locked(Some(&lock)), Library::shelf);
            let library = library.of_environment(vars);
            let there = |wanted: &Wanted| library.files(wanted).map(|found| found.is_some());
            if let Some(bundle) = &charts.bundle {
                complete(bundle, &needed, &there)?;
            }
            let provided = wall_clock_runtime()?.block_on(locking.provide(&needed, &lock, there));
            library.notes().iter().for_each(|note| terminal.say(&terminal.err.yellow(&format!("Note: {note}"))));
            provided.map(|()| lock)
        }
        None if charts.bundle.is_some() => {
            let what = format!("there is no {}, and none in the bundle", path(file).display());
            let hint = "the lock file belongs to the stack: `stackwright lock STACK --bundle DIR` writes both";
            return Err(Diagnostic::error(what).hint(hint).into());
        }
        None => {
            let needed = wanted.into_iter().filter(|wanted| !matches!(library.files(wanted), Ok(Some(_))));
            let needed = needed.collect::<Vec<_>>();
            if !needed.iter().any(Wanted::is_remote) {
                return Ok(None);
            }
            terminal.say(&terminal.err.dim("Fetching charts and manifests, once..."));
            let capabilities = catalog::capabilities(stack);
            let completed = wall_clock_runtime()?.block_on(locking.complete(
                &needed,
                &Lock::default(),
                capabilities,
                &Upgrade::Nothing,
            ))?;
            lock::write(&RealDisk, file, &completed.lock)?;
            terminal.say(&format!("Wrote {}. Commit it: it names every chart to the byte.", path(file).display()));
            Ok(completed.lock)
        }
    };
    say_notes([&cache].into_iter().chain(&bundles), terminal);
    result.map(Some)
}

/// Refuses a bundle in which something is missing: nothing is fetched beside one.
fn complete(
    bundle: &Path,
    needed: &[Wanted],
    there: &dyn Fn(&Wanted) -> Result<bool, LibraryError>,
) -> Result<(), Diagnostics> {
    let mut missing = Vec::new();
    for wanted in needed {
        if !there(wanted).map_err(|why| Diagnostic::error(why.to_string()).hint(why.hint()))? {
            missing.push(format!("{}: {}", wanted.id, wanted.reference));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("the bundle {} lacks what the stack needs", bundle.display());
    let hint = "bundle it where there is a network: `stackwright lock STACK --bundle DIR`";
    Err(Diagnostic::error(what).detail(missing.join("\n")).hint(hint).into())
}

pub(super) fn pull(args: &PullArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let named = match &args.repo {
        Some(repository) => Reference::chart(repository, Some(&args.chart), reference::as_is),
        None => Reference::chart(&args.chart, None, reference::as_is),
    };
    let reference = named.map_err(|why| {
        Diagnostics::from(Diagnostic::error(format!("{} is no place for a chart", args.chart)).detail(why.to_string()))
    })?;
    if !reference.is_remote() {
        let what = format!("{reference} is a path: there is nothing to fetch");
        return Err(Diagnostic::error(what).hint("name a chart elsewhere, or a repository with --repo").into());
    }
    let wanted = Wanted { id: String::new(), reference, version: args.version.clone(), digest: None };
    let fetcher = fetcher(vars)?;
    let fetched = wall_clock_runtime()?
        .block_on(fetcher.resolve(&wanted))
        .map_err(|error| Diagnostics::from(error.diagnostic("")))?;
    let file = args.directory.join(file_name(&wanted.reference, fetched.entry.version.as_deref()));
    write_document(&file, &fetched.bytes).map_err(|error| unwritable(&file, &error))?;
    terminal.print(&format!("{}\n", file.display()));
    terminal.say(&format!("{} {}", fetched.entry.version.unwrap_or_default(), fetched.entry.digest));
    Ok(ExitCode::SUCCESS)
}

/// `<name>-<version>.tgz`; an archive on the web keeps its name.
fn file_name(reference: &Reference, version: Option<&str>) -> String {
    match (reference, version) {
        (Reference::Download(_), _) | (_, None) => reference.name().to_owned(),
        // A version never holds a slash: it was read as one, or is a tag.
        (_, Some(version)) => format!("{}-{}.tgz", reference.name(), version.replace('/', "-")),
    }
}
