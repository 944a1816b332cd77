//! The command line: arguments, wiring, exit codes. The only place that names providers, simulator and
//! views together.
//!
//! One file per command; each is arguments in, one verb of `ops`, one view out.

mod adopt;
mod aftermath;
mod apply;
mod args;
mod bench;
mod chart;
mod complete;
mod cost;
mod destroy;
mod diagnose;
mod explain;
mod export;
mod fallback;
mod graph;
mod history;
mod inspect;
mod kept;
mod lease;
mod lock;
mod log;
mod matter;
mod panics;
mod pause;
mod plan;
mod policy;
mod preflight;
mod push;
mod reach;
mod reap;
mod rebuild;
mod receipt;
mod report;
mod review;
mod run;
mod scaffold;
mod sim;
mod source;
mod state;
mod target;
mod terminal;
mod validate;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::diag::Diagnostics;
use crate::env::vars::{ProcessVars, Vars};

pub use panics::tame as tame_panics;

/// Everything that can be typed, for tests and manuals.
pub fn command() -> clap::Command {
    let mut command = <args::Cli as clap::CommandFactory>::command();
    command.build();
    command
}

/// Runs the program with these arguments (the first is its own name).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    tame_panics();
    // reqwest, kube and the simulator use whichever provider is installed, and panic without one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let vars = ProcessVars;
    let arguments = arguments.into_iter().collect::<Vec<_>>();
    if let Some(answer) = complete::answer(&vars, &arguments) {
        std::io::Write::write_all(&mut std::io::stdout(), answer.as_bytes()).ok();
        return ExitCode::SUCCESS;
    }
    let parsed = match args::Cli::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1).min(1));
        }
    };
    let talk = terminal::Talk {
        no_color: parsed.no_color,
        verbosity: parsed.verbose,
        json_talk: parsed.log_format == args::LogFormat::Json,
        json_data: parsed.command.prints_lines(),
        command: &args::command_of(&arguments),
    };
    let mut terminal = terminal::Terminal::new(&vars, &talk);
    let result = log::listen(&mut terminal, parsed.verbose, parsed.trace.as_deref());
    let result = result.and_then(|()| dispatch(parsed.command, &vars, &terminal));
    let code = match &result {
        Ok(code) if *code == ExitCode::SUCCESS => 0,
        Ok(code) => code_of(*code),
        Err(diagnostics) => {
            terminal.diagnostics(diagnostics);
            1
        }
    };
    terminal.end(code);
    result.unwrap_or(ExitCode::FAILURE)
}

/// The figure of an exit code, which the standard library does not tell.
fn code_of(code: ExitCode) -> u8 {
    (1..=u8::MAX).find(|figure| ExitCode::from(*figure) == code).unwrap_or(1)
}

fn dispatch(command: args::Command, vars: &dyn Vars, terminal: &terminal::Terminal) -> Result<ExitCode, Diagnostics> {
    match command {
        args::Command::Init(args) => scaffold::init(&args, terminal),
        args::Command::New(args) => scaffold::new(&args, terminal),
        args::Command::Validate(args) => validate::validate(&args, vars, terminal),
        args::Command::Fmt(args) => validate::fmt(&args, terminal),
        args::Command::Schema(args) => validate::schema(&args, terminal),
        args::Command::Plan(args) => plan::plan(&args, vars, terminal),
        args::Command::Drift(args) => plan::drift(&args, vars, terminal),
        args::Command::Apply(args) => apply::apply(&args, vars, terminal),
        args::Command::Destroy(args) => destroy::destroy(&args, vars, terminal),
        args::Command::Reap(args) => reap::reap(&args, vars, terminal),
        args::Command::Adopt(args) => adopt::adopt(&args, vars, terminal),
        args::Command::Export(args) => export::export(&args, vars, terminal),
        args::Command::Show(args) => inspect::show(&args, vars, terminal),
        args::Command::Output(args) => inspect::output(&args, vars, terminal),
        args::Command::Status(args) => inspect::status(&args, vars, terminal),
        args::Command::Verify(args) => verify::verify(&args, vars, terminal),
        args::Command::Diagnose(args) => diagnose::diagnose(&args, vars, terminal),
        args::Command::Bench(args) => bench::bench(&args, vars, terminal),
        args::Command::Graph(args) => graph::graph(&args, vars, terminal),
        args::Command::Cost(args) => cost::cost(&args, vars, terminal),
        args::Command::Pause(args) => pause::pause(&args, vars, terminal),
        args::Command::Resume(args) => pause::resume(&args, vars, terminal),
        args::Command::Preflight(args) => preflight::preflight(&args, vars, terminal),
        args::Command::Lock(args) => lock::lock(&args, vars, terminal),
        args::Command::State(args) => state::state(&args, vars, terminal),
        args::Command::Forget(args) => state::forget(&args, vars, terminal),
        args::Command::History(args) => history::history(&args, vars, terminal),
        args::Command::Lease(args) => lease::lease(&args, vars, terminal),
        args::Command::Sim(args) => sim::sim(&args, vars, terminal),
        args::Command::Chart(args) => chart::chart(&args, vars, terminal),
        args::Command::Completions(args) => complete::completions(&args, terminal),
        args::Command::Man(args) => complete::man(&args, terminal),
        args::Command::Explain(args) => explain::explain(&args, vars, terminal),
    }
}
