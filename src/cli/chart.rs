//! `chart template`, `chart show`: charts without a stack, with helm template's flags and output.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::chart::set::Style;
use crate::chart::{self, Cause, Chart, ChartError, Files, Limits, Settings, Values};
use crate::cli::lock::{self, PullArgs};
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::clock::WallClock;
use crate::env::disk::{Disk, Entry, RealDisk};
use crate::env::random::{Random, SystemRandom};
use crate::env::vars::Vars;

#[derive(Debug, Args, Clone)]
pub(super) struct ChartArgs {
    #[command(subcommand)]
    pub command: ChartCommand,
}

#[derive(Debug, Subcommand, Clone)]
pub(super) enum ChartCommand {
    /// Render a chart and print its objects, as helm template does.
    Template(TemplateArgs),
    /// Print what a chart says of itself.
    Show(ShowArgs),
    /// Fetch a chart and write its archive.
    Pull(PullArgs),
}

#[derive(Debug, Args, Clone)]
pub(super) struct TemplateArgs {
    /// The release's name and the chart; with one word only, that is the chart.
    #[arg(value_name = "NAME] [CHART", num_args = 1..=2, required = true)]
    pub words: Vec<String>,
    /// The release's namespace.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// Values from a YAML file, - for standard input; may be repeated.
    #[arg(short = 'f', long = "values", value_name = "FILE", value_delimiter = ',')]
    pub values: Vec<String>,
    /// Set values: a.b=1,c={x,y}; may be repeated.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Set values that are texts whatever they look like; may be repeated.
    #[arg(long, value_name = "PATH=TEXT")]
    pub set_string: Vec<String>,
    /// Set values from JSON; may be repeated.
    #[arg(long, value_name = "PATH=JSON")]
    pub set_json: Vec<String>,
    /// Set values to the contents of files; may be repeated.
    #[arg(long, value_name = "PATH=FILE")]
    pub set_file: Vec<String>,
    /// Set a value to a text without escapes; may be repeated.
    #[arg(long, value_name = "PATH=TEXT")]
    pub set_literal: Vec<String>,
    /// The Kubernetes version that the chart is told.
    #[arg(long, value_name = "VERSION")]
    pub kube_version: Option<String>,
    /// Kubernetes API versions that the chart is told besides those of Kubernetes itself; may be repeated.
    #[arg(short, long, value_name = "VERSION", value_delimiter = ',')]
    pub api_versions: Vec<String>,
    /// Print what is in crds/ folders, too.
    #[arg(long)]
    pub include_crds: bool,
    /// Render for an upgrade instead of a first installation.
    #[arg(long)]
    pub is_upgrade: bool,
    /// Leave hooks out.
    #[arg(long)]
    pub no_hooks: bool,
    /// Leave tests out.
    #[arg(long)]
    pub skip_tests: bool,
    /// Take values that the chart's schema refuses.
    #[arg(long)]
    pub skip_schema_validation: bool,
    /// Print only what these templates make: templates/a.yaml, templates/*.yaml; may be repeated.
    #[arg(short, long, value_name = "TEMPLATE")]
    pub show_only: Vec<String>,
}

#[derive(Debug, Args, Clone)]
pub(super) struct ShowArgs {
    /// What to print.
    #[arg(value_enum)]
    pub what: What,
    /// The chart: a folder or a .tgz archive.
    pub chart: String,
}

/// The parts of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum What {
    /// Chart.yaml.
    Chart,
    /// values.yaml: every value with its default.
    Values,
    /// README.md.
    Readme,
    /// The definitions in crds/ folders.
    Crds,
    /// All of these.
    All,
}

pub(super) fn chart(args: &ChartArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    match &args.command {
        ChartCommand::Template(args) => template(args, terminal),
        ChartCommand::Show(args) => show(args, terminal),
        ChartCommand::Pull(args) => lock::pull(args, vars, terminal),
    }
}

fn failed(error: &ChartError) -> Diagnostics {
    error.diagnostic().into()
}

/// The files of the chart that a user names.
fn files(name: &str) -> Result<Files, Diagnostics> {
    let path = Path::new(name);
    let unreadable = |error: std::io::Error| {
        Diagnostics::from(
            Diagnostic::error(format!("cannot read the chart {name}"))
                .detail(error.to_string())
                .hint("name a folder with a Chart.yaml or an archive (.tgz)"),
        )
    };
    let named = |error: ChartError| failed(&error.of(name));
    match RealDisk.entry(path).map_err(unreadable)? {
        Entry::Folder => {
            let here = Path::new(".");
            chart::directory::read_with_neighbours(&RealDisk, path, here, &Limits::default()).map_err(named)
        }
        Entry::File { length } if length > Limits::default().packed as u64 => {
            Err(named(ChartError::new(Cause::Archive, name, "too large for a chart")))
        }
        _ => chart::archive::read(&RealDisk.read(path).map_err(unreadable)?, &Limits::default()).map_err(named),
    }
}

fn text(path: &str) -> Result<String, ChartError> {
    let bytes = if path.trim() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        RealDisk.read(Path::new(path))
    };
    let bytes = bytes
        .map_err(|error| ChartError::new(Cause::Values, "", format!("cannot read {path}")).detail(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The values of files and flags, in helm's order.
fn values(args: &TemplateArgs) -> Result<Values, ChartError> {
    let mut values = Values::new();
    for path in &args.values {
        values.add_file(&text(path)?).map_err(|error| error.file(path))?;
    }
    let read = |path: &str| text(path);
    for (lines, style) in [
        (&args.set_json, Style::Json),
        (&args.set, Style::Guess),
        (&args.set_string, Style::Text),
        (&args.set_file, Style::File(&read)),
        (&args.set_literal, Style::Literal),
    ] {
        lines.iter().try_for_each(|line| values.set(line, &style))?;
    }
    Ok(values)
}

fn template(args: &TemplateArgs, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let (name, chart) = match &args.words[..] {
        [name, chart] => (name.as_str(), chart),
        words => ("release-name", &words[0]),
    };
    let values = values(args).map_err(|error| failed(&error))?;
    let loaded = Chart::load(files(chart)?).map_err(|error| failed(&error.of(chart)))?;
    if loaded.metadata.deprecated {
        let warning = Diagnostic::warning(format!("the chart {} is deprecated", loaded.name()));
        terminal.diagnostics(&Diagnostics(vec![warning]));
    }
    let mut release = chart::Release::new(name, &args.namespace);
    release.is_upgrade = args.is_upgrade;
    let mut capabilities = chart::Capabilities::default();
    if let Some(version) = &args.kube_version {
        capabilities.kube_version.clone_from(version);
    }
    capabilities.api_versions.extend(args.api_versions.iter().cloned());
    let mut key = [0; 32];
    SystemRandom.fill(&mut key);
    let now = WallClock::real_now().0;
    let settings = Settings {
        key: Some(key),
        now: ((now / 1000) as i64, (now % 1000) as u32 * 1_000_000),
        schema: !args.skip_schema_validation,
        ..Settings::new(&release, &capabilities)
    };
    let documents = chart::heads(&loaded, &values, &settings).map_err(|error| failed(&error))?;
    let printed = documents.print(args.include_crds, !args.no_hooks, !args.skip_tests, &args.show_only);
    terminal.print_all(&printed.map_err(|error| failed(&error))?);
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let chart = Chart::load(files(&args.chart)?).map_err(|error| failed(&error.of(&args.chart)))?;
    let all = args.what == What::All;
    let wanted = |what| all || args.what == what;
    let mut parts = Vec::new();
    if wanted(What::Chart) {
        parts.push(String::from_utf8_lossy(&chart.metadata_text).into_owned());
    }
    if wanted(What::Values) {
        parts.extend(chart.values_text.as_ref().map(|text| String::from_utf8_lossy(text).into_owned()));
    }
    if wanted(What::Readme) {
        parts.extend(chart.readme().map(|text| String::from_utf8_lossy(text).into_owned()));
    }
    if wanted(What::Crds) {
        parts.extend(chart.all_crds().into_iter().map(|(_, text)| text));
    }
    let parts = parts.iter().map(|part| format!("{}\n", part.trim_end())).collect::<Vec<_>>();
    terminal.print(&parts.join("---\n"));
    Ok(ExitCode::SUCCESS)
}
