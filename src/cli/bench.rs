//! `bench`: measurements of a served model, and their reports.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::kept::Kept;
use crate::cli::matter::Planning;
use crate::cli::reach::{Place, Site, with_platforms};
use crate::cli::source;
use crate::cli::target::TargetArgs;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::write_document;
use crate::env::random::{Random, SystemRandom};
use crate::env::vars::Vars;
use crate::measure::cache::Verdict;
use crate::measure::report::{CacheReport, RoutingReport};
use crate::ops::bench::{Bench, Limits, Step, cache, routing};
use crate::ops::platforms::Platforms;
use crate::ops::preview::{Preview, preview};
use crate::ops::serving::{Served, chosen, models};
use crate::ops::sight::Sight;
use crate::plan::planner::Options;
use crate::resource::error::ProviderError;
use crate::ui::{bench_html, bench_markdown, bench_text};

#[derive(Debug, Args, Clone)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    pub command: BenchCommand,
}

#[derive(Debug, Subcommand, Clone)]
pub(super) enum BenchCommand {
    /// What prefix caching buys: times of new prefixes against known ones, tokens from the cache, throughput, cost.
    Cache(CacheArgs),
    /// Whether requests with the same prefix stay on one replica, by each replica's own counts.
    Routing(RoutingArgs),
}

/// What both have in common.
#[derive(Debug, Args, Clone)]
pub(super) struct MeasureArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Which workload of the stack, where it has several.
    #[arg(long, value_name = "NAME", conflicts_with = "endpoint")]
    pub workload: Option<String>,
    /// Send at most so many requests.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub requests: usize,
    /// Begin nothing new after so many seconds.
    #[arg(long, value_name = "S", default_value_t = 1800)]
    pub max_seconds: u64,
    /// Choose prompts and resampling by this number; by default another each time, so that no prompt is known.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Exit 1 unless it is proven.
    #[arg(long)]
    pub require_proof: bool,
    /// Print JSON.
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Print Markdown, for a pull request.
    #[arg(long)]
    pub markdown: bool,
    /// Write a page with plots as well; it needs nothing from anywhere.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Args, Clone)]
pub(super) struct CacheArgs {
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// Lengths of prefixes in tokens; those that the model's context cannot hold are left out.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [256, 1024, 2048], value_parser = clap::value_parser!(u64).range(1..))]
    pub prefix_tokens: Vec<u64>,
    /// Lengths of answers in tokens.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [16, 50], value_parser = clap::value_parser!(u64).range(1..))]
    pub generate: Vec<u64>,
    /// New prefixes for each pair of lengths; below three, times have no interval.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    pub rounds: usize,
    /// Repetitions of each prefix.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    pub warm: usize,
    /// Requests at a time, for throughput; 0 measures none.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub parallel: usize,
}

#[derive(Debug, Args, Clone)]
pub(super) struct RoutingArgs {
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// Prefixes for each replica.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    pub prefixes: usize,
    /// Tokens of each prefix.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..))]
    pub prefix_tokens: u64,
    /// How often each prefix comes again.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub visits: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a number of at least 1 is wanted".to_owned()),
        Ok(number) => Ok(number),
    }
}

pub(super) fn bench(args: &BenchArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    match &args.command {
        BenchCommand::Cache(args) => {
            let report = measured(&args.measure, vars, terminal, async |ground| {
                let prefixes = fitting(&ground, args, terminal).await?;
                let options = cache::Options {
                    prefixes,
                    generate: args.generate.clone(),
                    rounds: args.rounds,
                    warm: args.warm,
                    parallel: args.parallel,
                    per_hour: ground.per_hour,
                    simulated: ground.simulated,
                };
                cache::run(ground.bench(), &options).await
            })?;
            show(&args.measure, &Report::Cache(&report), terminal)
        }
        BenchCommand::Routing(args) => {
            let report = measured(&args.measure, vars, terminal, async |ground| {
                let options = routing::Options {
                    prefixes: args.prefixes,
                    tokens: args.prefix_tokens,
                    visits: args.visits,
                    per_hour: ground.per_hour,
                    simulated: ground.simulated,
                };
                routing::run(ground.bench(), &options).await
            })?;
            show(&args.measure, &Report::Routing(&report), terminal)
        }
    }
}

/// What a measurement stands on.
struct Ground<'a> {
    platforms: &'a Platforms,
    served: &'a Served,
    limits: Limits,
    seed: u64,
    tell: &'a (dyn Fn(&Step) + Send + Sync),
    per_hour: Option<f64>,
    simulated: bool,
}

impl<'a> Ground<'a> {
    fn bench(&self) -> Bench<'a> {
        Bench::new(self.platforms, self.served, self.limits, self.seed, self.tell)
    }
}

fn unreachable(error: ProviderError) -> Diagnostics {
    let diagnostic = Diagnostic::error("the model cannot be reached").detail(error.message);
    diagnostic.hint(error.hint.unwrap_or_else(|| "`stackwright verify` says what is wrong".to_owned())).into()
}

/// The lengths that the model's context can hold, with what is asked and answered.
async fn fitting(ground: &Ground<'_>, args: &CacheArgs, terminal: &Terminal) -> Result<Vec<u64>, Diagnostics> {
    let listed = models(ground.platforms, &ground.served.endpoint).await.map_err(unreachable)?;
    let longest = listed.into_iter().find(|(name, _)| *name == ground.served.model).and_then(|(_, longest)| longest);
    let answer = args.generate.iter().copied().max().unwrap_or_default();
    let fits = |prefix: &u64| longest.is_none_or(|longest| prefix + prefix / 20 + answer + 32 <= longest);
    let (prefixes, out) = args.prefix_tokens.iter().copied().partition::<Vec<_>, _>(fits);
    let longest = longest.unwrap_or_default();
    if !out.is_empty() {
        let out = out.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let note = format!("Note: left out are prefixes of {out} tokens: the model's context has {longest}.");
        terminal.say(&terminal.err.yellow(&note));
    }
    if prefixes.is_empty() {
        return Err(Diagnostic::error(format!("no prefix fits into the model's context of {longest} tokens"))
            .hint("choose shorter ones with --prefix-tokens, or shorter answers with --generate")
            .into());
    }
    Ok(prefixes)
}

/// Finds the server and measures it.
fn measured<T, W>(args: &MeasureArgs, vars: &dyn Vars, terminal: &Terminal, work: W) -> Result<T, Diagnostics>
where
    W: AsyncFnOnce(Ground<'_>) -> Result<T, Diagnostics>,
{
    let target = &args.target;
    let place = Place::of(&target.stack.place, &target.stack.file);
    let bar = terminal.live.then(|| {
        let bar = indicatif::ProgressBar::new(0);
        if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        bar
    });
    let last = std::sync::Mutex::new(String::new());
    let tell = |step: &Step| {
        if let Some(bar) = &bar {
            bar.set_length(step.of as u64);
            bar.set_position(step.done as u64);
            bar.set_message(step.what.clone());
            return;
        }
        // Rounds of the same thing are one line.
        let what = step.what.split(", round").next().unwrap_or_default().to_owned();
        let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != what {
            terminal.say(&format!("[{}/{}] {what}", step.done, step.of));
            *last = what;
        }
    };
    let seed = args.seed.unwrap_or_else(|| {
        let mut bytes = [0; 4];
        SystemRandom.fill(&mut bytes);
        u64::from(u32::from_be_bytes(bytes))
    });
    let limits = Limits { requests: args.requests, time: Duration::from_secs(args.max_seconds) };
    let simulated = place.is_simulated();
    let result = match target.endpoint(vars)? {
        Some(endpoint) => with_platforms(&place, Site::default(), async |platforms| {
            let served = Served::behind(&platforms, endpoint, target.model.clone()).await.map_err(unreachable)?;
            let (platforms, served, tell) = (&platforms, &served, &tell);
            work(Ground { platforms, served, limits, seed, tell, per_hour: None, simulated }).await
        }),
        None => {
            let planned = source::planned(&target.stack, &target.charts, vars, simulated, None, false)?;
            let state = Kept::of(&target.stack, &place, planned.stack())?.read(terminal)?;
            if state.resources.is_empty() {
                return Err(Diagnostic::error(
                    "nothing of this stack is recorded: it was not applied, or it was destroyed",
                )
                .hint("run `stackwright apply` first; `bench cache --endpoint URL` measures a server without a stack")
                .into());
            }
            let (options, stack, planned) = (&Options::default(), &target.stack, &planned);
            let planning = Planning { args: stack, place: &place, planned, options, terminal, vars, create_key: false };
            with_platforms(&place, planned.site(), async |platforms| {
                let matter = planning.matter(&platforms, &state).await?;
                let platforms = &matter.keyed(&platforms);
                let Preview { plan, observed, .. } = preview(platforms, matter.subject(&state, false)).await?;
                let proof = chosen(&plan.proofs, args.workload.as_deref())?;
                let wanted = matter.wanted();
                let sight = Sight::new(platforms, &wanted.desired, &plan, &observed).knowing(&wanted.secrets);
                let served = &Served::of_stack(&sight, proof).await.map_err(unreachable)?;
                // All of the stack: whoever serves one model pays for its cluster as well.
                let per_hour = plan.cost.as_ref().map(|cost| cost.now.per_hour).filter(|dollars| *dollars > 0.0);
                work(Ground { platforms, served, limits, seed, tell: &tell, per_hour, simulated }).await
            })
        }
    };
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    result
}

enum Report<'a> {
    Cache(&'a CacheReport),
    Routing(&'a RoutingReport),
}

fn show(args: &MeasureArgs, report: &Report<'_>, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    if let Some(path) = &args.html {
        let page = match report {
            Report::Cache(report) => bench_html::cache(report),
            Report::Routing(report) => bench_html::routing(report),
        };
        write_document(path, page.as_bytes()).map_err(|error| {
            let diagnostic = Diagnostic::error(format!("cannot write {}", path.display()));
            Diagnostics::from(diagnostic.detail(error.to_string()).hint("choose another file with --html"))
        })?;
    }
    let text = match (report, args.json, args.markdown) {
        (Report::Cache(report), true, _) => json(report),
        (Report::Routing(report), true, _) => json(report),
        (Report::Cache(report), _, true) => bench_markdown::cache(report),
        (Report::Routing(report), _, true) => bench_markdown::routing(report),
        (Report::Cache(report), ..) => bench_text::cache(report, terminal.out),
        (Report::Routing(report), ..) => bench_text::routing(report, terminal.out),
    };
    terminal.print(&text);
    let verdict: &Verdict = match report {
        Report::Cache(report) => &report.verdict,
        Report::Routing(report) => &report.finding.verdict,
    };
    Ok(if verdict.is_proven() || !args.require_proof { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn json(report: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(report).expect("reports have only string keys") + "\n"
}
