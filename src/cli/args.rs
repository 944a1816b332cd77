//! What can be typed. Documentation comments here are the program's help.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::ui::plan_json::{self, Dialect};

/// From an empty Google Cloud project to a language model that answers, and back to nothing.
#[derive(Debug, Parser)]
#[command(name = "stackwright", version, max_term_width = 100)]
pub(super) struct Cli {
    /// Show every object, operation and retry; twice for what goes over the wire.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How to talk on standard error: in text, or in lines of JSON for programs.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
    pub log_format: LogFormat,
    /// Draw up what was done when, and what waited for what, for https://ui.perfetto.dev or chrome://tracing.
    #[arg(long, global = true, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Never colour; NO_COLOR does the same.
    #[arg(long, global = true)]
    pub no_color: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// The words that name the command of a command line: `state mv`.
pub(super) fn command_of(arguments: &[std::ffi::OsString]) -> String {
    let mut command = Cli::command();
    let mut names = Vec::new();
    for word in arguments.iter().skip(1).filter_map(|word| word.to_str()) {
        let Some(next) = command.find_subcommand(word) else { continue };
        names.push(word.to_owned());
        command = next.clone();
    }
    names.join(" ")
}

/// How the program talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// For programs; see docs/events.md.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Prepare a folder: state directory and its .gitignore.
    Init(InitArgs),
    /// Write a new stack file to start from.
    New(NewArgs),
    /// Report every mistake of a stack file, without credentials or a cluster.
    Validate(ValidateArgs),
    /// Put stack files into the canonical form.
    Fmt(FmtArgs),
    /// Show what apply would do.
    Plan(PlanArgs),
    /// Show what others have changed since the last apply; changes nothing.
    Drift(DriftArgs),
    /// Make the stack real, and prove that its model answers.
    Apply(ApplyArgs),
    /// Take everything away that the stack made.
    Destroy(DestroyArgs),
    /// Destroy the stacks of a project whose time to live is over, by the labels of their clusters alone.
    Reap(ReapArgs),
    /// Make objects, a cluster or a pool that are there already part of the stack, without making them anew.
    Adopt(AdoptArgs),
    /// Drop a resource from the state and leave it where it is.
    Forget(ForgetArgs),
    /// Write the stack's Kubernetes manifests as files, for kubectl.
    Export(ExportArgs),
    /// Show the state, or a saved plan.
    Show(ShowArgs),
    /// Print the stack's outputs.
    Output(OutputArgs),
    /// Ask whether everything is there and ready, and whether the model answers; changes nothing.
    Status(StatusArgs),
    /// Check every link from the cluster to the last token, of a stack or of any server of the OpenAI API.
    Verify(super::verify::VerifyArgs),
    /// Find out why a stack does not work: causes with the fact that shows each and what to do; changes nothing.
    Diagnose(super::diagnose::DiagnoseArgs),
    /// Measure what a served model does: what its prefix cache buys, whether prefixes stay on a replica.
    Bench(super::bench::BenchArgs),
    /// Print the dependency graph, or why one resource needs another.
    Graph(GraphArgs),
    /// Show what the stack costs: now, running, paused and destroyed.
    Cost(CostArgs),
    /// Ask whether the project has what the stack needs: services, rights, offers, quotas; changes nothing.
    Preflight(PreflightArgs),
    /// Take the nodes with accelerators away, and remember them: the rest stays.
    Pause(PauseArgs),
    /// Bring the nodes of a paused stack back, and wait until its models answer.
    Resume(ResumeArgs),
    /// Lock every chart and manifest of a stack to the byte, or compare the lock with what is published.
    Lock(super::lock::LockArgs),
    /// Look at and mend the state.
    State(StateArgs),
    /// Show what the state was, and go back to it.
    History(HistoryArgs),
    /// Show who has the state, or take it from a run that cannot let go of it.
    Lease(LeaseArgs),
    /// The embedded simulator: serve it, print its environment, empty it.
    Sim(SimArgs),
    /// Render Helm charts, look into them, fetch them.
    Chart(super::chart::ChartArgs),
    /// Print the JSON Schema of stack files, or of what commands print.
    Schema(SchemaArgs),
    /// Say what a key, an attribute, a field of an object, a variable or an exit code is.
    Explain(ExplainArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command.
    Man(ManArgs),
}

impl Command {
    /// Whether what it prints are lines of JSON, one for each thing that happens.
    pub(super) fn prints_lines(&self) -> bool {
        match self {
            Command::Apply(args) => args.json,
            Command::Destroy(args) => args.json,
            Command::Reap(args) => args.json,
            Command::Adopt(args) => args.json,
            Command::Pause(args) => args.json,
            Command::Resume(args) => args.pause.json,
            Command::Forget(args) | Command::State(StateArgs { command: StateCommand::Rm(args) }) => args.json,
            _ => false,
        }
    }
}

/// Which stack, with which inputs, and where.
#[derive(Debug, Args, Clone, Default)]
pub(super) struct StackArgs {
    /// The stack file.
    #[arg(value_name = "STACK", default_value = "stack.toml")]
    pub file: PathBuf,
    #[command(flatten)]
    pub inputs: InputArgs,
    #[command(flatten)]
    pub place: PlaceArgs,
}

#[derive(Debug, Args, Clone, Default)]
pub(super) struct InputArgs {
    /// Set an input, as NAME=VALUE; may be repeated.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
    /// Set inputs from a TOML file; may be repeated.
    #[arg(long = "var-file", value_name = "FILE")]
    pub var_files: Vec<PathBuf>,
}

#[derive(Debug, Args, Clone, Default)]
pub(super) struct PlaceArgs {
    /// Use the simulator instead of a cloud: embedded, or the one that `sim serve` runs at URL.
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub sim: Option<String>,
    /// The simulator's world; default: state/.sim of the project.
    #[arg(long, value_name = "DIR", requires = "sim")]
    pub world: Option<PathBuf>,
}

impl PlaceArgs {
    /// The same flags once more, each after a space: for a command that a message proposes.
    pub(super) fn again(&self) -> String {
        let sim =
            self.sim.as_ref().map(|url| if url.is_empty() { " --sim".to_owned() } else { format!(" --sim={url}") });
        let world = self.world.as_ref().map(|folder| format!(" --world {}", folder.display()));
        sim.into_iter().chain(world).collect()
    }
}

/// Where charts come from.
#[derive(Debug, Args, Clone, Default)]
pub(super) struct BundleArgs {
    /// Take charts and manifests from a folder that `lock --bundle` wrote, and fetch nothing.
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
}

#[derive(Debug, Args, Clone)]
pub(super) struct InitArgs {
    /// The folder to prepare.
    #[arg(default_value = ".")]
    pub directory: PathBuf,
}

#[derive(Debug, Args, Clone)]
pub(super) struct NewArgs {
    /// The file to write.
    #[arg(default_value = "stack.toml")]
    pub file: PathBuf,
    /// What to start from.
    #[arg(long, value_enum, default_value = "gpu-t4")]
    pub template: super::scaffold::Template,
}

#[derive(Debug, Args, Clone)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    /// The folder to write to; default: the stack's name with -manifests.
    #[arg(short, long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Print the manifests instead.
    #[arg(long, conflicts_with = "directory")]
    pub stdout: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct FmtArgs {
    /// The files; `-` for standard input.
    #[arg(default_value = "stack.toml")]
    pub files: Vec<PathBuf>,
    /// Change nothing; exit 3 when a file is not in canonical form.
    #[arg(long)]
    pub check: bool,
    /// Print the differences.
    #[arg(long)]
    pub diff: bool,
}

/// What to plan.
#[derive(Debug, Args, Clone, Default)]
pub(super) struct SelectionArgs {
    /// Only this resource or component and what it needs, or in a destroy what needs it; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub target: Vec<String>,
    /// Replace this resource even if nothing differs; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub replace: Vec<String>,
    /// Take fields of Kubernetes objects back that others have set since.
    #[arg(long)]
    pub force_conflicts: bool,
    /// Run no hooks of charts.
    #[arg(long)]
    pub no_hooks: bool,
}

/// What to plan, and how to carry it out.
#[derive(Debug, Args, Clone, Default)]
pub(super) struct PlanningArgs {
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// How many requests may be under way at a time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub parallelism: usize,
    /// Wait this long for another run to release the state, for example 5m.
    #[arg(long, value_name = "DURATION")]
    pub lock_timeout: Option<String>,
}

/// Rules beside those of the stack.
#[derive(Debug, Args, Clone, Default)]
pub(super) struct PolicyArgs {
    /// Hold the plan against the rules of this file too, as [[policy]] of a stack (docs/policy.md); may be repeated.
    #[arg(long = "policy", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// JSON, and in whose words.
#[derive(Debug, Args, Clone, Default)]
pub(super) struct JsonArgs {
    /// Print JSON in the shape of Terraform's; with =terraform also in the words of its google and kubernetes providers,
    /// for rules that are written for them (docs/json.md).
    #[arg(long, value_enum, value_name = "WORDS", num_args = 0..=1, require_equals = true, default_missing_value = "own")]
    pub json: Option<Words>,
    /// With --json: large schemas of definitions as well, in whose place their digests and sizes stand otherwise.
    #[arg(long, requires = "json")]
    pub full: bool,
}

/// In whose words JSON is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Words {
    /// Our kinds and attributes.
    Own,
    /// Terraform's types: kubernetes_deployment.
    Terraform,
    /// The same with versioned names: kubernetes_deployment_v1.
    TerraformV1,
}

impl Words {
    /// How a plan or a state is told in them.
    pub(super) fn options(self, full: bool) -> plan_json::Options {
        let dialect = match self {
            Words::Own => Dialect::Own,
            Words::Terraform => Dialect::Terraform,
            Words::TerraformV1 => Dialect::TerraformV1,
        };
        plan_json::Options { dialect, full }
    }
}

#[derive(Debug, Args, Clone, Default)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    #[command(flatten)]
    pub planning: SelectionArgs,
    /// Save the plan for `apply FILE`.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Plan to take everything away.
    #[arg(long)]
    pub destroy: bool,
    /// With --destroy: leave this resource or component where it is, and forget it; may be repeated.
    #[arg(long, value_name = "ADDRESS", requires = "destroy")]
    pub abandon: Vec<String>,
    /// Only show what changed outside of stackwright; with --out, a plan to take note of it.
    #[arg(long, conflicts_with_all = ["destroy", "target", "replace"])]
    pub refresh_only: bool,
    /// Write the plan as a page of HTML that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub told: JsonArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Print the plan as Markdown: a comment on a pull request, at most 60,000 characters.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Say what became different since an earlier plan: a saved one, or its JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub compare: Option<PathBuf>,
    /// Plan the end of a pause with everything else.
    #[arg(long, conflicts_with_all = ["destroy", "refresh_only"])]
    pub resume: bool,
    /// Exit 2 when there are changes.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// What was changed outside.
#[derive(Debug, Args, Clone)]
pub(super) struct DriftArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    #[command(flatten)]
    pub told: JsonArgs,
    /// Exit 2 when anything was changed.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct ApplyArgs {
    /// The stack file, or a plan saved by `plan --out` (then name the stack with --stack if it is not stack.toml).
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    /// The stack file that a saved plan is for.
    #[arg(long = "stack", value_name = "FILE")]
    pub plan_stack: Option<PathBuf>,
    #[command(flatten)]
    pub planning: PlanningArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Change nothing; only take note, in the state, of what changed outside of stackwright.
    #[arg(long, conflicts_with_all = ["target", "replace"])]
    pub refresh_only: bool,
    /// End the pause of a paused stack, with everything else that is to be changed.
    #[arg(long, conflicts_with_all = ["target", "refresh_only"])]
    pub resume: bool,
    /// Afterwards, write what happened as a page of HTML, also where it failed or was interrupted.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Let the stack's time to live begin anew, even if nothing else is to be done.
    #[arg(long, conflicts_with = "refresh_only")]
    pub extend: bool,
    /// Prove that there are machines before anything is made: one of each sort with accelerators is made for a moment.
    #[arg(long, conflicts_with = "refresh_only")]
    pub probe: bool,
    /// Do not ask.
    #[arg(long)]
    pub auto_approve: bool,
    /// Print events as JSON lines.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct DestroyArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    /// Only this resource or component and what needs it; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub target: Vec<String>,
    /// How many requests may be under way at a time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub parallelism: usize,
    /// Run no hooks of charts.
    #[arg(long)]
    pub no_hooks: bool,
    /// Wait this long for another run to release the state, for example 5m.
    #[arg(long, value_name = "DURATION")]
    pub lock_timeout: Option<String>,
    /// Leave this resource or component where it is, and forget it: for what cannot be deleted; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub abandon: Vec<String>,
    /// Afterwards, write what happened as a page of HTML, also where it failed or was interrupted.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Afterwards, remove what clusters have left behind, where it is proven to be the stack's.
    #[arg(long)]
    pub sweep: bool,
    /// Do not ask.
    #[arg(long)]
    pub auto_approve: bool,
    /// Print events and the receipt as JSON lines.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct ReapArgs {
    /// The Google Cloud project.
    #[arg(long, value_name = "PROJECT")]
    pub project: String,
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Where states are kept, as [state] backend names it: a stack whose state somebody has is left alone. By default the
    /// project's own folder.
    #[arg(long, value_name = "BACKEND")]
    pub state: Option<String>,
    /// Only show which stacks there are, and which of them have expired.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub auto_approve: bool,
    /// Print stacks, events and receipts as JSON lines.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct AdoptArgs {
    /// The cluster, the node pool or the object, or the component whose objects are all there.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// Only if the platform calls it so: a cluster's id, a node pool's full name, an object's uid.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    /// How many requests may be under way at a time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub parallelism: usize,
    /// Wait this long for another run to release the state, for example 5m.
    #[arg(long, value_name = "DURATION")]
    pub lock_timeout: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub auto_approve: bool,
    /// Print events as JSON lines.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct ShowArgs {
    /// The stack file, or a saved plan.
    #[command(flatten)]
    pub stack: StackArgs,
    /// Write a saved plan as a page of HTML that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub told: JsonArgs,
    /// Print a saved plan as Markdown: a comment on a pull request, at most 60,000 characters.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Say what became different since an earlier plan: a saved one, or its JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub compare: Option<PathBuf>,
}

#[derive(Debug, Args, Clone)]
pub(super) struct OutputArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    /// Only this output.
    #[arg(long, value_name = "OUTPUT")]
    pub name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Print the bare value of --name.
    #[arg(long, requires = "name")]
    pub raw: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct CostArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct PreflightArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    /// Prove that there are machines: one of each sort with accelerators is made for a moment, and paid for. Not for stacks
    /// that are there.
    #[arg(long)]
    pub probe: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct PauseArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    /// How many requests may be under way at a time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub parallelism: usize,
    /// Wait this long for another run to release the state, for example 5m.
    #[arg(long, value_name = "DURATION")]
    pub lock_timeout: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub auto_approve: bool,
    /// Print events as JSON lines.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    pub pause: PauseArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
}

#[derive(Debug, Args, Clone)]
pub(super) struct GraphArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    /// Say why DEPENDENT needs DEPENDENCY: the reason of every edge between them.
    #[arg(long, num_args = 2, value_names = ["DEPENDENT", "DEPENDENCY"])]
    pub why: Option<Vec<String>>,
    /// One node per component instead of one per resource.
    #[arg(long)]
    pub components: bool,
    /// In which form: for GraphViz, for Markdown, as a picture, for programs.
    #[arg(long, value_enum, default_value = "dot", conflicts_with = "why")]
    pub format: super::graph::Format,
    /// Make a plan, and show what happens to each; a saved plan in the place of STACK shows it always.
    #[arg(long, conflicts_with = "why")]
    pub plan: bool,
    /// With --plan: the plan to take everything away.
    #[arg(long, requires = "plan")]
    pub destroy: bool,
}

/// What to drop from the state.
#[derive(Debug, Args, Clone)]
pub(super) struct ForgetArgs {
    /// The resource.
    pub address: String,
    #[command(flatten)]
    pub stack: StackArgs,
    /// Only say what would happen.
    #[arg(long)]
    pub dry_run: bool,
    /// Print events as JSON lines.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args, Clone)]
pub(super) struct HistoryArgs {
    #[command(subcommand)]
    pub command: HistoryCommand,
}

#[derive(Debug, Subcommand, Clone)]
pub(super) enum HistoryCommand {
    /// List the runs that have changed the state, with the serial that each ended with.
    List {
        #[command(flatten)]
        stack: StackArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what the state was, and how it differs from now.
    Show {
        /// The serial; any since the oldest that is kept.
        serial: u64,
        #[command(flatten)]
        stack: StackArgs,
        /// Print it as `state pull` does.
        #[arg(long)]
        json: bool,
    },
    /// Make the state what it was. Nothing in the world is changed by it.
    Restore {
        /// The serial; any since the oldest that is kept.
        serial: u64,
        #[command(flatten)]
        stack: StackArgs,
        /// Only say what would happen.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args, Clone)]
pub(super) struct StateArgs {
    #[command(subcommand)]
    pub command: StateCommand,
}

#[derive(Debug, Subcommand, Clone)]
pub(super) enum StateCommand {
    /// List the addresses in the state.
    List {
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Show one resource of the state.
    Show {
        /// The resource.
        address: String,
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Rename a resource in the state.
    Mv {
        /// The old address.
        from: String,
        /// The new address.
        to: String,
        #[command(flatten)]
        stack: StackArgs,
        /// Only say what would happen.
        #[arg(long)]
        dry_run: bool,
    },
    /// Drop a resource from the state; it stays where it is.
    Rm(ForgetArgs),
    /// Print the state as JSON.
    Pull {
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Put a state that was pulled in the place of what is there: a newer one of the same lineage.
    Push {
        /// What `state pull` printed; - for standard input.
        #[arg(value_name = "FILE")]
        pushed: PathBuf,
        #[command(flatten)]
        stack: StackArgs,
        /// Also an older one, or one of another lineage.
        #[arg(long)]
        force: bool,
        /// Only say what would happen.
        #[arg(long)]
        dry_run: bool,
    },
    /// Carry the state to another place, and mark the old one.
    Migrate {
        #[command(flatten)]
        stack: StackArgs,
        /// Where it is, as [state] backend named it; default: where [state] says.
        #[arg(long, value_name = "BACKEND")]
        from: Option<String>,
        /// Where it goes; default: where [state] says.
        #[arg(long, value_name = "BACKEND")]
        to: Option<String>,
    },
    /// Make a state that is lost again from what carries the stack's labels.
    Rebuild {
        #[command(flatten)]
        stack: StackArgs,
        #[command(flatten)]
        charts: BundleArgs,
        /// The stack id, where the labels say several or none.
        #[arg(long, value_name = "ID")]
        stack_id: Option<String>,
        /// Wait this long for another run to release the state, for example 5m.
        #[arg(long, value_name = "DURATION")]
        lock_timeout: Option<String>,
        /// Do not ask.
        #[arg(long)]
        auto_approve: bool,
    },
}

#[derive(Debug, Args, Clone)]
pub(super) struct LeaseArgs {
    #[command(subcommand)]
    pub command: LeaseCommand,
}

#[derive(Debug, Subcommand, Clone)]
pub(super) enum LeaseCommand {
    /// Show who has the state, without taking it.
    List {
        #[command(flatten)]
        stack: StackArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End the lease of a run that is gone: its next write is refused.
    Break {
        #[command(flatten)]
        stack: StackArgs,
        /// Do not ask.
        #[arg(long)]
        auto_approve: bool,
    },
}

#[derive(Debug, Args, Clone)]
pub(super) struct SimArgs {
    #[command(subcommand)]
    pub command: SimCommand,
}

#[derive(Debug, Subcommand, Clone)]
pub(super) enum SimCommand {
    /// Serve a simulated Google Cloud on a loopback address until Ctrl-C.
    Serve {
        /// Loopback address and port; port 0 picks one.
        #[arg(long, default_value = "127.0.0.1:7390")]
        addr: std::net::SocketAddr,
        /// The world; default: state/.sim.
        #[arg(long, value_name = "DIR")]
        world: Option<PathBuf>,
        /// How often a simulated second passes per real second; 1 for real time.
        #[arg(long, default_value_t = 60.0)]
        speed: f64,
    },
    /// Print the variables that point gcloud, kubectl and curl at a served simulator.
    Env {
        /// The simulator.
        #[arg(default_value = "http://127.0.0.1:7390")]
        url: String,
        /// Where gcloud's and kubectl's own files go.
        #[arg(long, value_name = "DIR", default_value = "state/.sim/clients")]
        directory: PathBuf,
    },
    /// Empty a world: everything in the simulated cloud and the state of stacks in it.
    Reset {
        /// The world; default: state/.sim.
        #[arg(long, value_name = "DIR")]
        world: Option<PathBuf>,
    },
}

#[derive(Debug, Args, Clone)]
pub(super) struct SchemaArgs {
    /// Which schema.
    #[arg(value_enum, default_value = "stack")]
    pub which: super::validate::Schema,
}

#[derive(Debug, Args, Clone)]
pub(super) struct ExplainArgs {
    /// What to explain: cluster.location, gke.node_pool, deployment.spec.replicas, exit-codes. Without it, a list.
    #[arg(value_name = "TOPIC")]
    pub topic: Option<String>,
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
}

#[derive(Debug, Args, Clone)]
pub(super) struct ManArgs {
    /// Write a page for each command into this folder.
    #[arg(short, long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

#[derive(Debug, Args, Clone)]
pub(super) struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_a_place_are_given_again_as_they_were() {
        for words in ["", " --sim", " --sim=http://127.0.0.1:8080", " --sim --world w", " --sim=http://h:1 --world a/b"]
        {
            let line = format!("stackwright plan x.toml{words}");
            let cli = Cli::try_parse_from(line.split(' ')).expect("a command");
            let Command::Plan(args) = cli.command else { panic!("{line}") };
            assert_eq!(args.stack.place.again(), words);
        }
    }
}
